"""The journal of requests, GET and DELETE /standin/requests: what was asked, what was answered, and why."""

import io
import json
import re
import sqlite3
from pathlib import Path
from urllib.parse import quote

import pytest
from cases import each
from conftest import ALL_PERMISSIONS, EXAMPLE_KEY, PASSWORD, Caller, replace_everywhere, sql

import app as service
from sigma import database
from sigma.http import errors, masking, responses
from sigma.resources import exports, sessions
from sigma.standin import journal as journal_module

ROOT = Path(service.__file__).parent
HIDDEN = "••••••••"
RECORD = "/records/ent-coastal-wb"
MEMBERS = (
    "id at method path query ignored route status code message ms workspace caller needed held step requestBody responseBody"
)


@pytest.fixture
def journal(standin):
    """Return a function that returns the entries of the journal, newest first, by a query string."""

    def read(query=""):
        answer = standin("GET", f"/requests{query}")
        assert answer.status_code == 200, answer.text
        return answer.json

    return read


@pytest.fixture
def entry_of(standin):
    """Return a function that finds the entry of a request by the id in its answer."""

    def find(answer):
        found = standin("GET", f"/requests/{answer.headers['X-Request-Id']}")
        assert found.status_code == 200, found.text
        return found.json

    return find


@pytest.fixture
def alone(app):
    """Let the demo be the only workspace that is not for tests."""
    sql(app, "UPDATE workspaces SET is_disposable = 1 WHERE id = 'ws-other'")


# What an entry says


def test_an_entry_says_all_of_a_request_and_its_answer(make_key, entry_of):
    key = make_key("update-data", "read")
    body = {"value": "Regnhat", "scope": {"dim-language": "seg-da"}}
    answer = key.patch(f"{RECORD}/values/product-name?dryRun=1&x=%20&dryRun=2", body)
    assert answer.status_code == 200
    entry = entry_of(answer)
    assert list(entry) == MEMBERS.split()
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry.pop("at"))
    assert 0 < entry.pop("ms") < 10_000
    assert json.loads(entry.pop("requestBody")) == body
    assert entry.pop("responseBody") == answer.text
    assert entry == {
        "id": answer.headers["X-Request-Id"],
        "method": "PATCH",
        "path": f"/api/v1{RECORD}/values/product-name",
        "query": "dryRun=1&x=%20&dryRun=2",
        "ignored": ["dryRun", "x"],
        "route": "/api/v1/records/{id}/values/{attribute}",
        "status": 200,
        "code": None,
        "message": None,
        "workspace": "ws-demo",
        "caller": {"kind": "api-key", "id": key.id, "name": "Key 1"},
        "needed": "update-data",
        "held": ["read", "update-data"],
        "step": None,
    }


def test_a_refusal_says_what_was_needed_and_held(make_key, editor, tester, anonymous, entry_of):
    reader, everything = make_key("read"), make_key()
    cases = [
        (reader.delete(RECORD), "api-key", "delete-data", ["read"]),
        (reader.get("/api-keys"), "api-key", "session", ["read"]),
        (
            everything.post("/catalogs", {}),
            "api-key",
            "session",
            [*ALL_PERMISSIONS],
        ),
        (editor.get("/api-keys"), "user", "canManageRoles", "role-editor"),
        (editor.post("/dimensions", {}), "user", "canManageDimensions", "role-editor"),
    ]
    for answer, kind, needed, held in cases:
        entry = entry_of(answer)
        assert (entry["status"], entry["code"], entry["step"]) == (403, "PERMISSION_DENIED", "permission")
        assert entry["message"] == answer.json["message"]
        assert (entry["caller"]["kind"], entry["needed"], entry["held"]) == (kind, needed, held)
    entry = entry_of(tester.get("/records"))
    assert (entry["workspace"], entry["caller"]) == (tester.id, {"kind": "user", "id": "user-admin", "name": "Administrator"})
    assert (entry["needed"], entry["held"], entry["step"]) == ("session", "role-admin", None)
    entry = entry_of(anonymous.get("/records"))
    assert [entry[name] for name in ("workspace", "caller", "needed", "held")] == [None, None, "read", None]
    entry = entry_of(anonymous.get("/auth/tenants"))
    assert [entry[name] for name in ("caller", "needed", "held", "step")] == [None] * 4


def test_who_still_uses_a_deactivated_key_is_named(admin, make_key, entry_of):
    key = make_key("read")
    admin.post(f"/api-keys/{key.id}/deactivate")
    entry = entry_of(key.get("/records"))
    assert (entry["step"], entry["status"], entry["workspace"]) == ("credential", 401, "ws-demo")
    assert (entry["caller"]["id"], entry["needed"], entry["held"]) == (key.id, "read", ["read"])


# Where the order of the checks ended

SCHEMA = {"id": "schema-apparel", "alias": "other", "name": "Other", "variantEnabled": False}
LARGE = {"data": b" " * (1024 * 1024 + 1), "content_type": "application/json"}
STEPS = [  # who, method, path, options, status, step
    ("anonymous", "GET", "/nowhere", {}, 404, "path"),
    ("anonymous", "GET", "", {}, 404, "path"),
    ("admin", "GET", f"{RECORD}/", {}, 404, "path"),
    ("anonymous", "PUT", "/records", {"json": {}}, 405, "method"),
    ("anonymous", "OPTIONS", "/records", {}, 405, "method"),
    ("anonymous", "BREW", "/records", {}, 405, "method"),
    ("anonymous", "POST", "/auth/login", {"json": {"email": "locked@sigma.io", "password": "x"}}, 429, "throttle"),
    ("anonymous", "GET", "/records", {}, 401, "credential"),
    ("anonymous", "GET", "/records", {"headers": {"X-Sigma-ApiKey": "x"}}, 401, "credential"),
    ("anonymous", "GET", "/records", {"headers": {"Authorization": "Bearer x"}}, 401, "credential"),
    ("anonymous", "POST", "/auth/login", {"json": {"email": "admin@sigma.io", "password": "x"}}, 401, "credential"),
    ("reader", "POST", "/schemas", {"json": SCHEMA}, 403, "permission"),
    ("reader", "POST", "/schemas", LARGE, 403, "permission"),
    ("editor", "GET", "/api-keys", {}, 403, "permission"),
    ("key", "POST", "/roles", {"json": {"id": "r", "name": "R", "canManageRoles": True}}, 403, "permission"),
    ("full", "POST", "/records", {"json": {"schemaId": "schema-apparel", "values": {}}}, 403, "permission"),
    ("admin", "POST", "/records", LARGE, 413, "size"),
    ("admin", "GET", "/records", LARGE, 413, "size"),
    ("admin", "POST", "/records", {"data": b"{}", "content_type": "text/plain"}, 415, "body"),
    ("admin", "POST", "/records", {"data": b"{", "content_type": "application/json"}, 400, "body"),
    ("admin", "POST", "/records", {"json": {"surprise": 1}}, 400, "body"),
    ("admin", "POST", "/records", {"json": {"schemaId": "schema-none", "values": {}}}, 400, "body"),
    ("admin", "GET", "/records?limit=0", {}, 400, "body"),
    ("admin", "GET", "/records/ent-none", {}, 404, "missing"),
    ("admin", "DELETE", "/api-keys/apikey-none", {}, 404, "missing"),
    ("admin", "POST", "/schemas", {"json": SCHEMA}, 409, "conflict"),
    ("admin", "DELETE", "/schemas/schema-apparel", {}, 409, "conflict"),
    ("admin", "POST", f"{RECORD}/transition", {"json": {"toStateId": "state-published"}}, 422, "transition"),
    ("admin", "GET", "/channels", {}, 501, "missing"),
    ("key", "POST", "/change-sets/cs-1/apply", {"data": b"{"}, 501, "missing"),
    ("anonymous", "GET", "/channels", {}, 401, "credential"),
    ("admin", "GET", "/records", {}, 200, None),
    ("admin", "HEAD", "/records", {}, 200, None),
    ("admin", "POST", "/roles", {"json": {"id": "role-new", "name": "New"}}, 201, None),
    ("admin", "DELETE", "/records/ent-trail-cap", {}, 204, None),
]


@pytest.mark.parametrize(
    ("who", "method", "path", "options", "status", "step"),
    STEPS,
    ids=[f"{row[4]} {row[1]} {row[2]} {n}" for n, row in enumerate(STEPS)],
)
def test_each_outcome_has_its_step(
    who, method, path, options, status, step, request, app, anonymous, make_key, entry_of, monkeypatch
):
    if who == "full":
        monkeypatch.setitem(app.config, "RECORD_LIMIT", 1)
    if status == 429:
        replace_everywhere(monkeypatch, sessions, "FAILURES_OF_EMAIL", 1)
        anonymous.request(method, path, **options)
    caller = make_key("read") if who == "reader" else request.getfixturevalue("admin" if who == "full" else who)
    answer = caller.request(method, path, **options)
    assert answer.status_code == status, answer.text
    entry = entry_of(answer)
    assert (entry["status"], entry["step"]) == (status, step)
    error = answer.json if answer.content_type == "application/json" and status >= 400 and method != "HEAD" else {}
    assert (entry["code"], entry["message"]) == (error.get("error"), error.get("message"))


def test_a_failure_of_the_service_ends_at_the_server(admin, entry_of, monkeypatch):
    def fail(*_):
        raise RuntimeError("something nobody thought of")

    with monkeypatch.context() as patch:
        replace_everywhere(patch, responses, "json_list", fail)
        answer = admin.get("/schemas")
    entry = entry_of(answer)
    assert (entry["status"], entry["code"], entry["step"]) == (500, "INTERNAL_ERROR", "server")
    assert entry["needed"] == "session"
    assert "nobody thought" not in json.dumps(entry)


def test_while_the_database_does_not_answer_requests_are_kept_all_the_same(app, admin, journal, entry_of, monkeypatch):
    admin.get("/roles")

    def fail(*_):
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        replace_everywhere(patch, database, "fetch_one", fail)
        wait_until_it_looks_again(app)
        answer = admin.get("/schemas")
    entry = entry_of(answer)
    assert (entry["status"], entry["code"], entry["step"]) == (503, "UNAVAILABLE", "server")
    assert journal()[1]["path"] == "/api/v1/roles"


def test_every_code_of_an_error_has_a_step():
    steps = journal_module.STEPS.keys() | {"NOT_FOUND", "INTERNAL_ERROR", "UNAVAILABLE"}
    assert steps == errors.ERRORS.keys()


def test_the_console_and_the_docs_list_the_same_checks_in_the_same_order(anonymous):
    script = (ROOT / "sigma/docs/console/checks.js").read_text(encoding="utf-8")
    documented = (ROOT / "docs/testing/README.md").read_text(encoding="utf-8")
    step = (
        anonymous.app.test_client()
        .get("/openapi.json")
        .json["components"]["schemas"]["JournalEntry"]["properties"]["step"]["description"]
    )
    checks = list(journal_module.CHECKS)
    assert set(journal_module.STEPS.values()) | {"path", "fault", "server"} == set(checks)
    assert re.findall(r'^  \["([a-z]+)",', script, re.M) == checks
    assert re.findall("`([a-z]+)`", re.search("ended, one of (.*?), or null", documented, re.S)[1]) == checks
    assert re.findall("[a-z]+", step.split(": ")[1].split(";")[0].replace(" or ", " ")) == checks


# Which requests


def test_the_last_requests_to_the_api_are_kept_newest_first(app, admin, standin, journal):
    client = app.test_client()
    for path in ("/", "/docs", "/openapi.json", "/healthz", "/standin/whoami", "/standin/nowhere", "/records"):
        client.get(path).close()
    assert journal() == []
    client.get("/", environ_overrides={"PATH_INFO": "//api/v1/records"})
    assert [(entry["path"], entry["status"], entry["step"]) for entry in journal()] == [("//api/v1/records", 404, "path")]
    for number in range(505):
        admin.get(f"/nowhere/{number}")
    paths = [entry["path"] for entry in journal()]
    assert paths == [f"/api/v1/nowhere/{number}" for number in range(504, 4, -1)]
    assert len({entry["id"] for entry in journal()}) == 500
    assert (standin("DELETE", "/requests").status_code, journal()) == (204, [])
    answer = admin.get("/roles")
    assert [entry["id"] for entry in journal()] == [answer.headers["X-Request-Id"]]


@pytest.fixture
def tester(app, standin):
    """Return the administrator of a workspace for tests, with the workspace's id."""
    made = standin("POST", "/workspaces", {"content": "empty"}).json
    return Caller(app, {"Authorization": f"Bearer {made['admin']['token']}"}, made["id"])


@pytest.fixture
def seven(admin, make_key, tester, anonymous, standin):
    """Make seven requests, and return the key that sent some of them."""
    key = make_key("read")
    standin("DELETE", "/requests")
    key.get("/records")
    key.get("/records/ent-none")
    key.delete("/records/ent-none")
    admin.get("/records/ent-other")
    tester.get("/roles")
    anonymous.get("/roles")
    anonymous.post("/nowhere", {})
    return key


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "0123456"),
        ("workspace=ws-demo", "0123"),
        ("workspace={tester}", "4"),
        ("workspace=ws-none", ""),
        ("key={key}", "012"),
        ("key=user-admin", ""),
        ("key=apikey-none", ""),
        ("status=404", "136"),
        ("status=4xx", "12356"),
        ("status=2xx", "04"),
        ("status=599", ""),
        ("method=DELETE", "2"),
        ("method=HEAD", ""),
        ("path=ent-", "123"),
        ("path=/api/v1/roles", "45"),
        ("path=%E2%80%A6", ""),
        ("limit=2", "56"),
        ("status=404&limit=1&workspace=ws-demo", "3"),
        ("status=404&method=GET&path=none&key={key}&workspace=ws-demo", "1"),
        ("surprise=1", "0123456"),
    ],
)
def test_filters_choose_entries(seven, tester, journal, query, expected):
    entries = journal()
    places = {entry["id"]: len(entries) - 1 - place for place, entry in enumerate(entries)}
    chosen = journal(f"?{query.format(key=seven.id, tester=tester.id)}")
    assert "".join(str(places[entry["id"]]) for entry in reversed(chosen)) == expected
    assert [entry for entry in entries if entry in chosen] == chosen


@each(
    ("query", "told"),
    [
        ("status=4", "status: expected a status such as 404, or a class such as 4xx, got '4'"),
        *((f"status={bad}", "status: ") for bad in ("", "4XX", "xxx", "600", "099", "404,405", "4xx%0A", "%D9%A4%D9%A0%D9%A4")),
        ("method=get", "method: expected one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, got 'get'"),
        *((f"method={bad}", "method: ") for bad in ("", "BREW", "GET,PUT")),
        *((f"workspace={bad}", "workspace: expected the id of a workspace, got ") for bad in ("", "a%2Fb", "a b", "x" * 101)),
        *((f"key={bad}", "key: expected the id of an API key, got ") for bad in ("", "*", "%0A")),
        *((f"after={bad}", "after: expected the id of a request, got ") for bad in ("", "a b", "x" * 65)),
        *((f"path={bad}", "path: expected 1 to 500 characters of a path, got ") for bad in ("", "x" * 501)),
        *((f"limit={bad}", "limit: expected a whole number from 1 to 500, got ") for bad in ("0", "501", "-1", "x", "", "1.5")),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_and_named(standin, error, query, told):
    assert error(standin("GET", f"/requests?{query}"), 400).startswith(told)


def test_what_is_newer_than_an_entry_can_be_asked_for(admin, seven, journal):
    entries = journal()
    newest, oldest = entries[0]["id"], entries[-1]["id"]
    assert journal(f"?after={newest}") == []
    assert journal(f"?after={oldest}") == entries[:-1]
    assert journal(f"?after={oldest}&limit=2&status=404") == [entry for entry in entries if entry["status"] == 404][:2]
    later = admin.get("/roles").headers["X-Request-Id"]
    assert [entry["id"] for entry in journal(f"?after={newest}")] == [later]
    assert journal("?after=no-longer-there") == journal()


def test_of_requests_with_the_same_id_none_is_missed(anonymous, admin, journal, standin):
    for path in ("/first", "/second"):
        anonymous.get(path, headers={"X-Request-Id": "same"})
    admin.get("/roles")
    anonymous.get("/third", headers={"X-Request-Id": "same"})
    assert [entry["path"].rpartition("/")[2] for entry in journal("?after=same")] == ["third", "roles", "second"]
    assert standin("GET", "/requests/same").json["path"] == "/api/v1/third"


@each("id", ["none", "..", "a%2Fb", quote("'\"<b>"), EXAMPLE_KEY])
def test_an_unknown_entry_is_not_found(standin, error, id):
    message = error(standin("GET", f"/requests/{id}"), 404)
    assert EXAMPLE_KEY not in message
    assert message.startswith("Request '") or "%2F" in id


# Bodies


@pytest.mark.usefixtures("alone")
@each(
    ("path", "options", "status"),
    [
        ("/nowhere", {}, 404),
        ("/records", {"method": "PUT"}, 405),
        ("/records", {}, 401),
        ("/records", {"headers": {"X-Sigma-ApiKey": "bad"}}, 401),
    ],
)
def test_a_body_is_there_although_the_request_was_refused_before_it_was_read(anonymous, entry_of, path, options, status):
    method = options.pop("method", "POST")
    answer = anonymous.request(method, path, {"note": "Grüße"}, **options)
    assert answer.status_code == status
    assert json.loads(entry_of(answer)["requestBody"]) == {"note": "Grüße"}
    answer = anonymous.request(method, path, data=b"x" * 300_000, content_type="text/plain", **options)
    assert entry_of(answer)["requestBody"] == "x" * 9_999 + "…"


@pytest.mark.usefixtures("alone")
def test_of_a_body_that_is_too_large_the_beginning_is_there(admin, entry_of):
    body = b'{"note": "' + b"x" * 1024 * 1024 + b'"}'
    answer = admin.post("/records", data=body, content_type="application/json")
    assert answer.status_code == 413
    assert entry_of(answer)["requestBody"] == '{"note": "' + "x" * 9_989 + "…"
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    for caller, status in ((admin, 413), (Caller(admin.app), 401)):
        overrides = {**chunked, "wsgi.input": io.BytesIO(body)}
        answer = caller.post("/records", content_type="application/json", environ_overrides=overrides)
        assert answer.status_code == status
        assert entry_of(answer)["requestBody"] == '{"note": "' + "x" * 9_989 + "…"


@pytest.mark.usefixtures("alone")
def test_of_a_client_that_goes_away_what_came_is_kept(anonymous, admin, entry_of):
    environ = {"wsgi.input_terminated": True, "CONTENT_LENGTH": "500"}
    for caller, status in ((anonymous, 401), (admin, 400)):
        half = {"wsgi.input": io.BytesIO(b'{"note": "ha')}
        answer = caller.post("/records", content_type="application/json", environ_overrides={**environ, **half})
        assert (answer.status_code, entry_of(answer)["requestBody"]) == (status, '{"note": "ha')


@pytest.mark.usefixtures("alone")
def test_no_more_is_read_than_a_body_has(anonymous, entry_of):
    """What comes next over the connection is the next request, or nothing for a long time."""
    client = io.BytesIO(b'{"a": 1}GET /next')
    answer = anonymous.post("/records", environ_overrides={"wsgi.input": client, "CONTENT_LENGTH": "8"})
    assert (entry_of(answer)["requestBody"], client.tell()) == ('{"a": 1}', 8)
    client = io.BytesIO(b"GET /next")
    answer = anonymous.post("/records", environ_overrides={"wsgi.input": client, "CONTENT_LENGTH": ""})
    assert (entry_of(answer)["requestBody"], client.tell()) == (None, 0)


def test_a_client_that_waits_to_be_asked_for_its_body_is_not_asked(anonymous, entry_of):
    unread = io.BytesIO(b"{}")
    environ = {"wsgi.input": unread, "CONTENT_LENGTH": "2", "HTTP_EXPECT": "100-continue"}
    answer = anonymous.post("/records", content_type="application/json", environ_overrides=environ)
    assert (answer.status_code, entry_of(answer)["requestBody"], unread.tell()) == (401, None, 0)


def test_what_has_no_body_has_none_in_the_journal(admin, entry_of):
    for answer in (admin.request("HEAD", "/records"), admin.request("HEAD", "/export"), admin.delete("/records/ent-trail-cap")):
        entry = entry_of(answer)
        assert (entry["requestBody"], entry["responseBody"]) == (None, None)


def test_an_answer_that_is_sent_part_by_part_is_kept_as_far_as_it_was_sent(admin, entry_of, monkeypatch):
    replace_everywhere(monkeypatch, exports, "PART_SIZE", 1)
    whole = admin.get("/export?format=csv")
    assert (whole.is_streamed, whole.text.count("\r\n")) == (True, admin.get("/records").json["total"] + 1)
    assert entry_of(whole)["responseBody"] == (whole.text if len(whole.data) <= 10_000 else whole.text[:9_999] + "…")
    left = admin.get("/export?format=csv", buffered=False)
    left.close()
    assert entry_of(left)["status"] == 200
    assert whole.text.startswith((entry_of(left)["responseBody"] or "").rstrip("…"))


@pytest.mark.usefixtures("alone")
@each("data", [b"\xff\xfe\x00\x01", b'"\\ud800"', b"\x00", bytes(range(256))])
def test_a_body_that_is_no_text_is_shown_as_one(anonymous, entry_of, data):
    answer = anonymous.post("/records", data=data, content_type="application/json")
    assert isinstance(entry_of(answer)["requestBody"], str)


# Secrets


def pieces(secret, length=12):
    return {secret[start : start + length] for start in range(len(secret) - length + 1)}


@pytest.mark.usefixtures("alone")
def test_no_secret_is_in_the_journal_wherever_it_stood(app, admin, anonymous, make_key, standin):
    key, token = make_key("read"), admin.headers["Authorization"].removeprefix("Bearer ")
    password, raw = "correct horse battery staple", key.raw_key
    encoded = "".join(f"%{ord(letter):02x}" for letter in raw)
    for body in (
        {"email": "admin@other.example", "password": password},
        {"email": "admin@sigma.io", "password": {"nested": [password, password]}},
        {"email": "admin@sigma.io", "password": 123456789012345},
        {"email": raw, "password": raw, "note": f"my key is {raw}"},
        {"outer": {"inner": [{"secret": password}, {"token": token}]}},
    ):
        anonymous.post("/auth/login", body)
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in "password")
    for text in (
        f'{{"email": "admin@other.example", "{escaped}": "{password}"}}',
        f'{{"email": "x", "password": "{password}"',
        f"password={password}&email=x",
        f'{{"note": "{"x" * 9_975}", "password": "{password}"}}',
        f'{{"note": "{"x" * 9_960}{raw}"}}',
        f'{{"inner": "{{\\"token\\": \\"{token}\\"}}"}}',
    ):
        anonymous.post("/auth/login", data=text, content_type="application/json")
    for path in (
        *(f"/records/{raw}", f"/{raw}", f"/{encoded}", f"/records/{encoded}", f"/{quote(encoded)}", f"/{token}"),
        *(f"/records?key={raw}", f"/records?{encoded}=1", f"/records?limit={encoded}", f"/nowhere?token={token}"),
        *(f"/records?limit={token}", f"/x;password={quote(password)}", f"/records?password={quote(password)}"),
        f"/export?scope={quote(json.dumps({'password': password}))}",
    ):
        for headers in (key.headers, admin.headers, {}):
            anonymous.get(path, headers=headers)
    anonymous.request(raw.upper(), "/records")
    named = admin.post("/api-keys", {"name": f"for {raw}", "permissions": ["read"]})
    anonymous.get("/records", headers={"X-Sigma-ApiKey": named.json["rawKey"]})
    anonymous.post("/auth/refresh", headers=admin.headers)
    answer = standin("GET", "/requests")
    assert len(answer.json) > 50
    text = json.dumps(answer.json, ensure_ascii=False)
    assert HIDDEN in text
    for secret in (
        raw.removeprefix("sigma_sk_live_"),
        named.json["rawKey"].removeprefix("sigma_sk_live_"),
        token,
        password,
        "123456789012345",
    ):
        assert [piece for piece in pieces(secret) if piece.lower() in text.lower()] == []


@pytest.mark.usefixtures("alone")
def test_nothing_of_it_is_written_to_disk(app, anonymous, journal):
    anonymous.post("/records", {"note": "a note that only the journal knows"})
    assert "only the journal knows" in journal()[0]["requestBody"]
    files = [path for path in Path(app.config["DATABASE"]).parent.iterdir() if path.is_file()]
    assert files
    assert not any(b"only the journal knows" in path.read_bytes() for path in files)


@pytest.mark.usefixtures("alone")
def test_the_memory_that_it_takes_is_bounded(app, anonymous):
    for data in (b"x" * 500_000, b'{"note": "' + b"x" * 500_000 + b'"}'):
        anonymous.post(f"/nowhere/{'p' * 30_000}?{'q' * 30_000}", data=data)
        anonymous.post("/auth/login", data=data, content_type="application/json")
    entries = list(app.extensions["journal"].newest_first())
    assert len(entries) == 4
    for entry in entries:
        for value in (*entry, *entry.refusal):
            assert not isinstance(value, str | bytes) or len(value) <= 10_001


@pytest.mark.usefixtures("alone")
def test_what_is_secret_is_masked_once_however_often_the_journal_is_read(admin, anonymous, standin, entry_of, monkeypatch):
    anonymous.post("/auth/login", {"email": "admin@sigma.io", "password": "wrong, and nobody's business"})
    admin.get("/records")
    first, calls = standin("GET", "/requests").data, []
    replace_everywhere(monkeypatch, masking, "mask_body", lambda *_: calls.append(1) or "")
    assert standin("GET", "/requests").data == standin("GET", "/requests").data == first
    assert (HIDDEN in first.decode(), b"nobody" in first, calls) == (True, False, [])
    assert (entry_of(admin.get("/roles"))["responseBody"], calls) == ("", [1])


def test_an_entry_that_is_read_while_its_answer_is_sent_tells_all_of_it_afterwards(admin, journal, monkeypatch):
    replace_everywhere(monkeypatch, exports, "PART_SIZE", 1)
    answer = admin.get("/export?format=csv", buffered=False)
    beginning = journal()[0]["responseBody"] or ""
    whole = answer.text
    assert len(beginning) < len(journal()[0]["responseBody"])
    assert whole.startswith(journal()[0]["responseBody"].rstrip("…"))


# Where it is


def test_in_a_deployment_nothing_is_kept(deployment, stranger):
    assert stranger.get("/records").status_code == 200
    assert stranger.get("/nowhere").status_code == 404
    assert len(deployment.extensions["journal"].entries) == 0


def test_of_a_workspace_that_is_neither_the_demo_nor_for_tests_nothing_is_kept(
    app, standin, stranger, make_key, admin, anonymous, journal, error, monkeypatch
):
    """Whoever reads the journal needs no credential; and bodies, names and refusals would tell what a company has there."""
    theirs, gone = make_key("read", by=stranger), make_key("read", by=stranger)
    assert stranger.post(f"/api-keys/{gone.id}/deactivate").status_code == 200
    standin("DELETE", "/requests")
    answers = [
        stranger.get("/roles"),
        stranger.post("/roles", {"id": "x"}),
        stranger.get("/records/none"),
        theirs.get("/roles"),
    ]
    answers += [theirs.delete("/records/none"), theirs.get("/channels"), gone.get("/roles"), theirs.post("/roles", data=b"{")]
    answers += [anonymous.post("/auth/login", {"email": "admin@other.example", "password": PASSWORD})]
    assert [answer.status_code for answer in answers] == [200, 400, 404, 200, 403, 501, 401, 403, 200]
    for answer in answers:
        error(standin("GET", f"/requests/{answer.headers['X-Request-Id']}"), 404)
    assert journal() == journal("?workspace=ws-other") == []
    admin.get("/roles")
    anonymous.get("/roles")
    assert [entry["workspace"] for entry in journal()] == [None, "ws-demo"]
    # Nor is it kept while the database cannot say what kind of workspace it is.
    wait_until_it_looks_again(app)

    def fail(*_):
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "fetch_one", fail)
        assert theirs.get("/roles").status_code == 200
    assert len(journal()) == 2


def test_beside_another_workspace_what_somebody_unknown_sends_is_not_kept(app, anonymous, entry_of, stranger):
    """It may be meant for that workspace: a login with a wrong password, a record with a token that has ended."""
    calls = [
        lambda: anonymous.post("/auth/login?x=admin@other.example", {"email": "admin@other.example", "password": "wrong-one"}),
        lambda: anonymous.post("/records?x=2027", {"values": {"price": "secret until 2027"}}),
        lambda: anonymous.get("/records?x=2027"),
    ]
    for call in calls:
        entry = entry_of(call())
        assert (entry["query"], entry["requestBody"], entry["status"], entry["workspace"]) == ("", None, 401, None)
        assert entry["responseBody"]
    sql(app, "UPDATE workspaces SET is_disposable = 1 WHERE id = 'ws-other'")
    wait_until_it_looks_again(app)
    entries = [entry_of(call()) for call in calls]
    assert [entry["query"] for entry in entries] == ["x=admin@other.example", "x=2027", "x=2027"]
    assert [entry["requestBody"] is None for entry in entries] == [False, False, True]


def test_it_begins_with_the_demo_and_goes_with_it(app, admin, standin, journal, error):
    admin.get("/roles")
    assert len(journal()) == 1
    sql(app, "UPDATE workspaces SET is_demo = 0")
    error(standin("GET", "/requests"), 404)
    wait_until_it_looks_again(app)
    admin.get("/roles")
    assert len(app.extensions["journal"].entries) == 0
    sql(app, "UPDATE workspaces SET is_demo = 1 WHERE id = 'ws-demo'")
    wait_until_it_looks_again(app)
    admin.get("/roles")
    assert len(journal()) == 1


def wait_until_it_looks_again(app):
    app.extensions["journal"].looked_at -= 1


def test_with_several_processes_it_says_what_to_do(app, admin, standin, error, monkeypatch):
    admin.get("/roles")
    for environ, workers in (({}, 2), ({"wsgi.multiprocess": True}, 1)):
        monkeypatch.setitem(app.config, "WORKERS", workers)
        for method, path in (("GET", "/requests"), ("GET", "/requests/none"), ("DELETE", "/requests")):
            assert "SIGMA_WORKERS=1" in error(standin(method, path, environ_overrides=environ), 409)
        wait_until_it_looks_again(app)
        assert admin.get("/roles", environ_overrides=environ).status_code == 200
        assert len(app.extensions["journal"].entries) == 0


def test_an_app_of_its_own_has_a_journal_of_its_own(app, admin, journal):
    other = service.create_app({"DATABASE": app.config["DATABASE"]})
    assert Caller(other, admin.headers).get("/roles").status_code == 200
    assert journal() == []
    assert len(other.test_client().get("/standin/requests").json) == 1
    database.close_db()
