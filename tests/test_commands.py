"""The commands: flask demo, flask workspace create, flask serve; and the demo workspace itself."""

import os
import sqlite3
from contextlib import closing

import pytest
from conftest import ALL_PERMISSIONS, Caller

import app as service

PUBLISHED_KEY = "sigma_sk_live_abc123def456ghi789jkl012mno345pqr678"
NEW = ["workspace", "create", "acme", "--name", "Acme", "--email", "ann@acme.example"]
PASSWORD = "a long enough password"


@pytest.fixture
def run(app):
    """Run a command on the test's database and answer its result."""

    def invoke(*arguments, stdin=None):
        result = app.test_cli_runner().invoke(args=arguments, input=stdin)
        service.close_db()
        return result

    return invoke


@pytest.fixture
def empty(app, tmp_path):
    """The app, on a new database without any workspace."""
    path = str(tmp_path / "empty.db")
    service.prepare_database(path)
    app.config["DATABASE"] = path
    return app


def content(app):
    """Everything the database holds."""
    with closing(sqlite3.connect(app.config["DATABASE"])) as db:
        return list(db.iterdump())


def login(app, email, password):
    return Caller(app).post("/auth/login", {"email": email, "password": password})


# -- flask demo


def test_demo_makes_the_demo_workspace_once(empty, run):
    first = run("demo")
    assert (first.exit_code, first.stderr) == (0, "")
    before = content(empty)
    assert Caller(empty, {"X-Sigma-ApiKey": PUBLISHED_KEY}).get("/records").json["total"] == 2
    service.close_db()
    before = content(empty)
    assert run("demo").exit_code == 0
    assert content(empty) == before


def test_demo_does_nothing_where_there_is_another_workspace(empty, run):
    assert run(*NEW, stdin=f"{PASSWORD}\n").exit_code == 0
    before = content(empty)
    assert run("demo").exit_code == 0
    assert content(empty) == before
    assert Caller(empty).get("/auth/tenants").json == []


def test_demo_is_all_or_nothing(empty, run, monkeypatch):
    def fail(*_):
        raise RuntimeError("in the middle")

    before = content(empty)
    monkeypatch.setattr(service, "insert_assignment", fail)
    assert isinstance(run("demo").exception, RuntimeError)
    assert content(empty) == before
    monkeypatch.undo()
    assert run("demo").exit_code == 0
    assert content(empty) != before


# -- The demo workspace


def test_the_demo_logins(app, anonymous):
    users = [
        {"id": "user-admin", "email": "admin@sigma.io", "name": "Ada Admin", "roleId": "role-admin"},
        {"id": "user-editor", "email": "editor@sigma.io", "name": "Eddie Editor", "roleId": "role-editor"},
    ]
    assert anonymous.get("/auth/tenants").json == [{"id": "ws-demo", "name": "Sigma Demo", "users": users}]
    for user, password in zip(users, ("admin", "editor"), strict=True):
        answer = login(app, user["email"], password)
        assert (answer.status_code, answer.json["user"]) == (200, user)


def test_the_demo_keys(app, admin, error):
    listed = [{name: key[name] for name in ("id", "name", "permissions", "active")} for key in admin.get("/api-keys").json]
    assert listed == [
        {
            "id": "apikey-sync-prod",
            "name": "Shopify Sync - Production",
            "permissions": ["read", "update-data"],
            "active": True,
        },
        {"id": "apikey-export-staging", "name": "Export Service - Staging", "permissions": ["read"], "active": True},
    ]
    published = Caller(app, {"X-Sigma-ApiKey": PUBLISHED_KEY})
    assert published.get("/records").status_code == 200
    assert published.post("/records", {"schemaId": "schema-apparel", "values": {}}).status_code == 201
    assert "delete-data" in error(published.delete("/records/ent-coastal-wb"), 403)


@pytest.mark.parametrize(
    ("path", "ids"),
    [
        ("/roles", ["role-admin", "role-editor"]),
        ("/dimensions", ["dim-language", "dim-market"]),
        ("/option-lists", ["ol-colors", "ol-categories"]),
        ("/workflows", ["wf-standard"]),
        ("/schemas", ["schema-apparel"]),
        ("/catalogs", ["cat-webshop", "cat-marketplace"]),
    ],
)
def test_the_demo_model(admin, path, ids):
    assert [noun["id"] for noun in admin.get(path).json] == ids


def test_the_demo_segments_and_attributes(admin):
    segments = {noun["id"]: [segment["id"] for segment in noun["segments"]] for noun in admin.get("/dimensions").json}
    assert segments == {"dim-language": ["seg-en", "seg-da", "seg-sv"], "dim-market": ["seg-dk", "seg-se", "seg-no"]}
    assert {noun["id"]: noun["defaultSegmentId"] for noun in admin.get("/dimensions").json} == {
        "dim-language": "seg-en",
        "dim-market": "seg-dk",
    }
    attributes = admin.get("/schemas/schema-apparel/attributes").json
    assert {"attr-product-name", "attr-sku", "attr-price", "attr-description", "attr-material"} <= {a["id"] for a in attributes}
    assert sorted(a["id"] for a in attributes) == sorted(a["id"] for a in admin.get("/attributes").json)
    assert {a["type"] for a in attributes} == {
        *("text", "number", "boolean", "datetime", "media", "option", "relation", "complex")
    }


def test_the_demo_record_and_its_variant(admin):
    record = admin.get("/records/ent-coastal-wb").json
    assert (record["schemaId"], record["lifecycleStateId"], record["createdBy"]) == (
        "schema-apparel",
        "state-draft",
        "user-admin",
    )
    variant = admin.get("/records/ent-coastal-wb/variants/var-cw-s").json
    assert (variant["parentId"], variant["level"]) == ("ent-coastal-wb", 1)


def test_the_demo_roles_do_what_their_names_say(admin, editor, error):
    flags = [name for name in admin.get("/roles/role-admin").json if name.startswith("can")]
    assert len(flags) == 6
    assert all(admin.get("/roles/role-admin").json[flag] for flag in flags)
    error(editor.get("/api-keys"), 403)


def test_the_demo_is_made_as_the_api_would_make_it(app, admin):
    """Each model object can be put back as it was read."""
    for kind in ("dimensions", "option-lists", "attributes", "roles", "workflows", "schemas", "catalogs"):
        for noun in admin.get(f"/{kind}").json:
            answer = admin.put(f"/{kind}/{noun['id']}", noun)
            assert (answer.status_code, answer.json) == (200, noun)


# -- flask workspace create


def test_a_new_administrator_can_sign_in_and_do_everything(empty, run):
    result = run(*NEW, stdin=f"{PASSWORD}\n")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "acme" in result.output
    assert "ann@acme.example" in result.output
    answer = login(empty, "ann@acme.example", PASSWORD)
    user = {"id": "user-admin", "email": "ann@acme.example", "name": "Administrator", "roleId": "role-admin"}
    assert (answer.status_code, answer.json["user"]) == (200, user)
    admin = Caller(empty, {"Authorization": f"Bearer {answer.json['token']}"})
    for path, body in {
        "/api-keys": {"name": "Key", "permissions": list(ALL_PERMISSIONS)},
        "/attributes": {"id": "a", "alias": "a", "name": "A", "type": "text"},
        "/schemas": {
            **{"id": "s", "alias": "s", "name": "S", "variantEnabled": True},
            "attributeGroups": [{"id": "g", "name": "G", "attributeIds": ["a"]}],
        },
        "/dimensions": {
            "id": "d",
            "alias": "d",
            "name": "D",
            "defaultSegmentId": "x",
            "segments": [{"id": "x", "alias": "x", "name": "X"}],
        },
        "/option-lists": {"id": "o", "alias": "o", "name": "O"},
        "/roles": {"id": "r", "name": "R", "canManageRoles": True},
        "/catalogs": {"id": "c", "alias": "c", "name": "C"},
        "/catalogs/c/categories": {"id": "k", "alias": "k", "name": "K"},
        "/records": {"id": "e", "schemaId": "s", "values": {"a": [{"scope": {}, "value": "text"}]}},
        "/records/e/variants": {"id": "v", "values": {}},
    }.items():
        assert admin.post(path, body).status_code == 201, path
    for path in ("/records/e", "/schemas/s", "/dimensions/d", "/option-lists/o", "/roles/r", "/catalogs/c"):
        assert admin.delete(path).status_code == 204, path
    assert Caller(empty).get("/auth/tenants").json == []


def test_a_new_workspace_sees_nothing_of_another(app, run):
    assert run(*NEW, stdin=f"{PASSWORD}\n").exit_code == 0
    token = login(app, "ann@acme.example", PASSWORD).json["token"]
    acme = Caller(app, {"Authorization": f"Bearer {token}"})
    lists = ("api-keys", "schemas", "attributes", "dimensions", "option-lists", "workflows", "catalogs")
    assert {path: acme.get(f"/{path}").json for path in lists} == {path: [] for path in lists}
    assert [role["id"] for role in acme.get("/roles").json] == ["role-admin"]
    assert acme.get("/records").json == {"items": [], "total": 0, "offset": 0, "limit": 50}


def test_the_name_of_the_administrator_can_be_given(empty, run):
    assert run(*NEW, "--user-name", "Ann Åse", stdin=f"{PASSWORD}\n").exit_code == 0
    assert login(empty, "ann@acme.example", PASSWORD).json["user"]["name"] == "Ann Åse"


@pytest.mark.parametrize("password", [" pass word ", "pässwörd-密码", "x" * 500])
def test_every_character_of_the_password_counts(empty, run, error, password):
    assert run(*NEW, stdin=f"{password}\n").exit_code == 0
    assert login(empty, "ann@acme.example", password).status_code == 200
    error(login(empty, "ann@acme.example", password[:-1]), 401)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\nsomething else\n"], ids=["none", "LF", "CRLF", "more lines"])
def test_the_password_is_the_first_line_of_the_input(empty, run, ending):
    assert run(*NEW, stdin=PASSWORD + ending).exit_code == 0
    assert login(empty, "ann@acme.example", PASSWORD).status_code == 200


def refused(run, app, *arguments, stdin=f"{PASSWORD}\n"):
    """Check that a command is refused in plain words and changes nothing, and answer its message."""
    before = content(app)
    result = run(*arguments, stdin=stdin)
    assert result.exit_code in (1, 2)
    assert "Error: " in result.output
    assert "Traceback" not in result.output
    assert PASSWORD not in result.output
    assert content(app) == before
    return result.output


@pytest.mark.parametrize("stdin", ["", "\n", "short\n", "1234567\n"], ids=["missing", "empty", "short", "seven characters"])
def test_a_password_too_short_is_refused(empty, run, stdin):
    message = refused(run, empty, *NEW, stdin=stdin)
    assert "8" in message
    assert stdin.strip() in message.split("Error: ")[0] or stdin.strip() not in message


@pytest.mark.parametrize("option", ["--password", "--pass", "-p"])
def test_the_password_is_never_an_argument(empty, run, option):
    assert "No such option" in refused(run, empty, *NEW, option, "secret-argument")


def test_an_id_or_email_that_is_taken_is_refused(empty, run):
    assert run(*NEW, stdin=f"{PASSWORD}\n").exit_code == 0
    other = ["--name", "Acme", "--email", "bob@acme.example"]
    message = refused(run, empty, "workspace", "create", "acme", *other)
    assert "id" in message
    assert "acme" in message
    for email in ("ann@acme.example", "ANN@ACME.example"):
        message = refused(run, empty, "workspace", "create", "other", "--name", "Other", "--email", email)
        assert "email" in message
        assert email in message


@pytest.mark.parametrize("id", ["", " ", "a b", "a/b", "-a", "ä", "a\nb", "a\n", "x" * 101, "a\0b"], ids=ascii)
def test_a_bad_id_is_refused(empty, run, id):
    refused(run, empty, "workspace", "create", "--name", "N", "--email", "a@b.example", "--", id)


@pytest.mark.parametrize("email", ["", " ", "ann", "@", "ann@", "@acme.example"], ids=ascii)
def test_a_bad_email_is_refused(empty, run, email):
    assert "email" in refused(run, empty, "workspace", "create", "acme", "--name", "Acme", "--email", email)


@pytest.mark.parametrize("name", ["", " ", "x" * 201], ids=["empty", "blank", "long"])
def test_a_bad_name_is_refused(empty, run, name):
    assert "name" in refused(run, empty, "workspace", "create", "acme", "--name", name, "--email", "a@b.example")


# -- flask serve


@pytest.fixture
def executed(monkeypatch):
    """What would be executed in place of the command: program, arguments by name, environment."""
    calls = []

    def execve(program, arguments, environment):
        calls.append((program, arguments, environment))

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(service, "refuse_taken_port", lambda *_: None)  # the addresses here are none of this machine's
    return calls


def option(arguments, name):
    return arguments[arguments.index(f"--{name}") + 1]


def test_serve_says_where_everything_is(app, run, executed):
    app.config.update(HOST="127.0.0.1", PORT=8123)
    result = run("serve")
    assert (result.exit_code, result.stderr) == (0, "")
    for part in ("http://127.0.0.1:8123", "http://127.0.0.1:8123/docs", "admin@sigma.io", "admin", PUBLISHED_KEY):
        assert part in result.output
    assert app.config["DATABASE"] in result.output
    assert len(executed) == 1


def test_serve_says_nothing_secret_of_a_workspace_that_is_no_demo(empty, run, executed):
    assert run(*NEW, stdin=f"{PASSWORD}\n").exit_code == 0
    output = run("serve").output
    assert "http://127.0.0.1:8080" in output
    assert "sigma_sk_live" not in output
    assert "ann@" not in output


def test_serve_says_how_to_make_a_workspace_when_there_is_none(empty, run, executed):
    assert "flask workspace create" in run("serve").output


def test_serve_runs_the_server_with_the_settings(app, run, executed, monkeypatch):
    monkeypatch.setenv("SIGMA_RECORD_LIMIT", "5")
    app.config.update(HOST="127.0.0.2", PORT=9001, WORKERS=3)
    run("serve")
    ((program, arguments, environment),) = executed
    assert os.access(program, os.X_OK)
    assert arguments[1:3] == ["-m", "granian"]
    assert {name: option(arguments, name) for name in ("interface", "host", "port", "workers")} == {
        "interface": "wsgi",
        "host": "127.0.0.2",
        "port": "9001",
        "workers": "3",
    }
    assert environment["SIGMA_DATABASE"] == app.config["DATABASE"]
    assert environment["SIGMA_RECORD_LIMIT"] == "5"
    assert environment["PATH"] == os.environ["PATH"]


def test_nothing_in_the_environment_looks_like_a_header_to_the_server(app, run, executed, monkeypatch):
    for name in ("HTTP_X_SIGMA_APIKEY", "HTTP_AUTHORIZATION", "HTTP_PROXY", "HTTP_HOST"):
        monkeypatch.setenv(name, PUBLISHED_KEY)
    run("serve")
    ((_, _, environment),) = executed
    assert [name for name in environment if name.upper().startswith("HTTP_")] == []
    assert os.environ["HTTP_PROXY"] == PUBLISHED_KEY


LOOPBACK = ["127.0.0.1", "127.1.2.3", "::1", "localhost"]
OPEN = [
    "0.0.0.0",
    "::",
    "192.0.2.1",
    "::ffff:192.0.2.1",
    "sigma.example",
    "localhost.sigma.example",
    "127.0.0.1.sigma.example",
    "0",
]


@pytest.mark.parametrize("host", LOOPBACK)
def test_demo_data_is_served_to_this_machine(app, run, executed, host):
    app.config["HOST"] = host
    result = run("serve")
    assert result.exit_code == 0
    assert len(executed) == 1
    assert f"http://{host if '.' in host or host == 'localhost' else f'[{host}]'}:" in result.output


@pytest.mark.parametrize("host", OPEN)
def test_demo_data_is_not_served_to_others(app, run, executed, host):
    app.config["HOST"] = host
    result = run("serve")
    assert result.exit_code == 1
    assert executed == []
    assert result.output.startswith("Error: ")
    assert PUBLISHED_KEY not in result.output
    for part in (host, "demo", "SIGMA_DATABASE", "SIGMA_ALLOW_PUBLIC_DEMO"):
        assert part in result.output


def test_demo_data_is_served_to_others_when_that_is_asked_for(app, run, executed):
    app.config.update(HOST="0.0.0.0", ALLOW_PUBLIC_DEMO=True)
    assert run("serve").exit_code == 0
    assert option(executed[0][1], "host") == "0.0.0.0"


@pytest.mark.parametrize("host", OPEN[:3])
def test_a_workspace_of_ones_own_is_served_to_others(empty, run, executed, host):
    assert run(*NEW, stdin=f"{PASSWORD}\n").exit_code == 0
    empty.config["HOST"] = host
    assert run("serve").exit_code == 0
    assert len(executed) == 1


# -- Help


@pytest.mark.parametrize("command", [["demo"], ["serve"], ["workspace", "create"]], ids=" ".join)
def test_help_shows_an_example(run, command):
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Example: " in result.output
    assert f"flask {' '.join(command)}" in result.output.split("Example: ")[1]
