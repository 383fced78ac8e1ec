"""Web pages of other origins: which may call the API from a browser, as browsers ask for it, and what the log says."""

import re
from pathlib import Path

import pytest
from cases import each

import app as service
from sigma import database

PAGE, OTHER = "http://localhost:5173", "https://shop.test"
SENT = "authorization,content-type,x-sigma-apikey"  # as browsers write the names of headers that a page adds
EXPOSED = {
    *("x-request-id", "x-sigma-required-permission", "x-sigma-fault", "x-sigma-ignored-query"),
    *("allow", "content-disposition", "retry-after", "www-authenticate"),
}


@pytest.fixture
def serve(app):
    """Return a function that makes an app with CORS_ORIGINS on the test's database, and a client of it."""

    def make(*origins):
        made = service.create_app({"DATABASE": app.config["DATABASE"], "CORS_ORIGINS": origins})
        return made.test_client()

    yield make
    database.close_db()


def preflight(client, path, origin=PAGE, method="PUT", headers=SENT):
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return client.options(path, headers=asked)


def cors(answer):
    """Return the headers of an answer that are for browsers, by the rest of their names."""
    start = "Access-Control-"
    return {name.removeprefix(start): value for name, value in answer.headers if name.startswith(start)}


def names(value):
    return {name.strip().lower() for name in value.split(",")}


# What a browser asks before a page's request


@each("path", ["/records", "/records/ent-coastal-wb", "/healthz", "/export-jobs", "/no/such/path"])
def test_a_preflight_of_a_listed_origin_is_answered_without_a_credential(serve, path):
    answer = preflight(serve(OTHER, PAGE), f"/api/v1{path}")
    assert (answer.status_code, answer.data) == (204, b"")
    told = cors(answer)
    assert told["Allow-Origin"] == PAGE
    assert names(told["Allow-Methods"]) == {"get", "head", "post", "put", "patch", "delete"}
    assert names(told["Allow-Headers"]) == names(SENT)
    assert told["Max-Age"] == "600"
    assert "Allow-Credentials" not in told  # no cookies here
    assert answer.headers["Vary"] == "Origin"
    assert "X-Request-Id" in answer.headers


@each("origins", [(), (OTHER,), ("http://localhost",), ("https://localhost:5173",)])
def test_a_preflight_of_another_origin_is_refused_and_the_log_says_what_would_allow_it(serve, capsys, error, origins):
    answer = preflight(serve(*origins), "/api/v1/records")
    error(answer, 405)
    assert cors(answer) == {}
    listed = ",".join((*origins, PAGE))
    assert f"origin, {PAGE}, was refused: SIGMA_CORS_ORIGINS={listed} would allow it" in capsys.readouterr().err


def test_the_log_says_what_the_docs_quote_of_a_preflight_and_nothing_of_a_plain_get(serve, capsys):
    document = (Path(service.__file__).parent / "docs/testing/front-end.md").read_text(encoding="utf-8")
    (quoted,) = re.findall("`(A web page of [^`]+)`", document)
    client = serve()
    client.get("/api/v1/healthz", headers={"Origin": PAGE})
    assert "of another origin" not in capsys.readouterr().err
    preflight(client, "/api/v1/records")
    assert " ".join(quoted.split()) in capsys.readouterr().err


@each("origin", ["null", "*", "x\ty", "http://a.test/path", "http://a.test,http://b.test", "a" * 999])
def test_of_what_is_no_origin_the_log_says_that_no_setting_allows_it(serve, capsys, error, origin):
    error(preflight(serve(PAGE), "/api/v1/records", origin), 405)
    first, *_ = capsys.readouterr().err.splitlines()
    assert "no setting allows it" in first
    assert "\t" not in first
    assert len(first) < 500


@each("listed", ["http://[::1]:5173", "http://a.test"])
@each("origin", ["http://1:5173", "http://::5173", "http://aXtest", "http://a.test.evil.test"])
def test_an_origin_is_no_pattern(serve, listed, origin):
    client = serve(listed)
    assert preflight(client, "/api/v1/records", origin).status_code == 405
    assert cors(client.get("/api/v1/healthz", headers={"Origin": origin})) == {}
    assert cors(client.get("/api/v1/healthz", headers={"Origin": listed}))["Allow-Origin"] == listed


@each("missing", ["Origin", "Access-Control-Request-Method"])
def test_what_is_no_preflight_is_a_method_that_no_path_has(serve, capsys, error, missing):
    headers = {"Origin": PAGE, "Access-Control-Request-Method": "PUT"}
    del headers[missing]
    error(serve(PAGE).options("/api/v1/records", headers=headers), 405)
    assert "SIGMA_CORS_ORIGINS" not in capsys.readouterr().err


def test_a_method_that_the_api_does_not_know_is_not_allowed(serve):
    assert "Allow-Methods" not in cors(preflight(serve(PAGE), "/api/v1/records", method="BREW"))


# The page's own requests


def test_a_page_reads_what_it_is_answered_and_the_headers_that_say_more(serve, key):
    answer = serve(OTHER, PAGE).get("/api/v1/records?limit=1&no-such-order=x", headers={**key.headers, "Origin": PAGE})
    assert (answer.status_code, answer.json["total"]) == (200, 47)
    told = cors(answer)
    assert told["Allow-Origin"] == PAGE
    assert names(told["Expose-Headers"]) == EXPOSED
    assert answer.headers["Vary"] == "Origin"


ERRORS = {  # by status: a request that is answered so
    400: ("POST", "/records", {"schemaId": 7}),
    401: ("GET", "/records", None),
    403: ("POST", "/catalogs", {}),
    404: ("GET", "/records/ent-none", None),
    405: ("PATCH", "/records", {}),
    409: ("POST", "/records", {"id": "ent-coastal-wb", "schemaId": "schema-apparel", "values": {}}),
    413: ("POST", "/records", {"values": "x" * 1024 * 1024}),
    415: ("POST", "/records", "text"),
    422: ("POST", "/records/ent-coastal-wb/transition", {"toStateId": "state-draft"}),
    501: ("GET", "/channels", None),
}


@each("status", ERRORS)
def test_a_page_reads_errors_too(serve, key, error, status):
    (method, path, body), headers = ERRORS[status], {"Origin": PAGE, **(key.headers if status != 401 else {})}
    options = {"data": body} if isinstance(body, str) else {"json": body} if body is not None else {}
    answer = serve(PAGE).open(f"/api/v1{path}", method=method, headers=headers, **options)
    error(answer, status)
    assert cors(answer)["Allow-Origin"] == PAGE
    assert answer.headers["Vary"] == "Origin"


def test_a_page_reads_that_a_path_does_not_exist_and_that_the_service_failed(serve, key, error, monkeypatch):
    client, headers = serve(PAGE), {**key.headers, "Origin": PAGE}
    error(client.get("/api/v1/no/such/path", headers=headers), 404)
    monkeypatch.setitem(client.application.view_functions, "Records.list_records", lambda: 1 / 0)
    answer = client.get("/api/v1/records", headers=headers)
    error(answer, 500)
    assert cors(answer)["Allow-Origin"] == PAGE


def test_an_export_that_is_streamed_can_be_read_too(serve, key):
    answer = serve(PAGE).get("/api/v1/export?format=csv", headers={**key.headers, "Origin": PAGE})
    assert (answer.status_code, cors(answer)["Allow-Origin"]) == (200, PAGE)
    assert answer.data.count(b"\n") > 47


def test_caches_are_told_that_the_answer_depends_on_the_origin_whoever_asks(serve):
    client = serve(PAGE)
    for headers in ({}, {"Origin": OTHER}):
        answer = client.get("/api/v1/healthz", headers=headers)
        assert (answer.status_code, cors(answer), answer.headers["Vary"]) == (200, {}, "Origin")


def test_a_cross_origin_request_is_held_to_its_credential_all_the_same(serve, make_key, error):
    reader = make_key("read")
    answer = serve(PAGE).post("/api/v1/records", json={}, headers={**reader.headers, "Origin": PAGE})
    assert "update-data" in error(answer, 403)


@each("path", ["/standin/whoami", "/standin/requests", "/healthz", "/openapi.json", "/console", "/"])
@each("origins", [(PAGE,), ("*",)])
def test_what_is_beside_the_api_is_for_no_page_of_another_origin(serve, key, path, origins):
    client = serve(*origins)
    with client.get(path, headers={**key.headers, "Origin": PAGE, "Host": "localhost:8080"}) as answer:
        assert cors(answer) == {}
    asked = preflight(client, path)
    assert (asked.status_code, cors(asked)) == (405, {})


def test_without_the_setting_nothing_is_added_to_a_request(app, key):
    plain = service.create_app({"DATABASE": app.config["DATABASE"]})
    assert plain.after_request_funcs == {}
    assert [hook.__name__ for hook in plain.before_request_funcs[None]] == ["guard"]
    answer = plain.test_client().get("/api/v1/records", headers={**key.headers, "Origin": PAGE})
    assert (cors(answer), answer.headers.get("Vary")) == ({}, None)
    database.close_db()


# Every origin


def test_beside_the_demo_every_origin_can_be_allowed(serve, key):
    client = serve("*")
    answer = client.get("/api/v1/records", headers={**key.headers, "Origin": "null"})
    assert cors(answer)["Allow-Origin"] == "*"
    assert "Vary" not in answer.headers
    asked = preflight(client, "/api/v1/records", OTHER)
    assert (asked.status_code, cors(asked)["Allow-Origin"]) == (204, "*")


REASON = "SIGMA_CORS_ORIGINS=* is for the demo"


def test_a_deployment_is_not_served_to_every_origin(deployment, run):
    deployment.config["CORS_ORIGINS"] = ("*",)
    result = run("serve")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: {REASON}: ")
    assert "List the origins of your pages" in result.stderr


def test_the_doctor_finds_a_deployment_that_would_be_served_to_every_origin(deployment, run):
    deployment.config["CORS_ORIGINS"] = ("*",)
    result = run("doctor")
    assert result.exit_code == 1
    assert f"problem  web pages: {REASON}" in result.output
    deployment.config["CORS_ORIGINS"] = (PAGE,)
    assert "ok       web pages" in run("doctor").output
