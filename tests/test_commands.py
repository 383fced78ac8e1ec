"""The commands: flask demo, workspace, users, keys, serve; and the demo workspace itself."""

import json
import os
import re
import shlex
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import NamedTuple

import pytest
from cases import each
from click.testing import CliRunner
from conftest import ALL_PERMISSIONS, Caller, replace_everywhere, sql, without_hint
from flask.cli import FlaskGroup
from nouns import NOUNS, ROLE
from test_house import commands

import app as service
from sigma import database
from sigma import permissions as permissions_module
from sigma.cli import serve, workers
from sigma.cli import users as user_commands
from sigma.resources import sessions, users
from sigma.standin import demo

PUBLISHED_KEY = "sigma_sk_live_abc123def456ghi789jkl012mno345pqr678"
NEW = ["workspace", "create", "acme", "--name", "Acme", "--email", "ann@acme.example"]
PASSWORD = "a long enough password"
NO_WORKSPACE = "There is no workspace yet: run `flask demo` for the demo, or `flask workspace create` for your own"
ENDED = "Invalid or expired token: its session has ended; sign in again, with POST /api/v1/auth/login"


@pytest.fixture
def empty(app, tmp_path):
    """The app, on a new database without any workspace."""
    path = str(tmp_path / "empty.db")
    database.prepare_database(path)
    app.config["DATABASE"] = path
    return app


def content(app):
    """Everything the database holds."""
    with closing(sqlite3.connect(app.config["DATABASE"])) as db:
        return list(db.iterdump())


def done(result):
    """Check that a command did what it was asked to, and answer what it printed."""
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def bearer(app, token):
    return Caller(app, {"Authorization": f"Bearer {token}"})


def login(app, email, password):
    return Caller(app).post("/auth/login", {"email": email, "password": password})


# -- flask demo


def test_demo_makes_the_demo_workspace_once(empty, run):
    first = run("demo")
    assert (first.exit_code, first.stderr) == (0, "")
    before = content(empty)
    assert Caller(empty, {"X-Sigma-ApiKey": PUBLISHED_KEY}).get("/records").json["total"] == 47
    database.close_db()
    before = content(empty)
    again = run("demo")
    assert (again.exit_code, again.stdout) == (0, "The demo workspace is there already.\n")
    assert content(empty) == before


def test_demo_does_nothing_where_there_is_another_workspace(empty, run):
    assert run(*NEW, stdin=f"{PASSWORD}\n").exit_code == 0
    before = content(empty)
    done = run("demo")
    assert (done.exit_code, done.stdout) == (
        0,
        "There is a workspace already, and the demo is only made in an empty database.\n",
    )
    assert content(empty) == before
    assert Caller(empty).get("/auth/tenants").json == []


def test_demo_is_all_or_nothing(empty, run, monkeypatch):
    def fail(*_):
        raise RuntimeError("in the middle")

    before = content(empty)
    replace_everywhere(monkeypatch, demo, "insert_demo_keys", fail)
    assert isinstance(run("demo").exception, RuntimeError)
    assert content(empty) == before
    monkeypatch.undo()
    assert run("demo").exit_code == 0
    assert content(empty) != before


# -- The demo workspace


def test_the_demo_logins(app, anonymous):
    users = [
        {"id": "user-admin", "email": "admin@sigma.io", "name": "Admin User", "roleId": "role-admin"},
        {"id": "user-editor", "email": "editor@sigma.io", "name": "Editor User", "roleId": "role-editor"},
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


@each(
    ("path", "ids"),
    [
        ("/roles", ["role-admin", "role-editor"]),
        ("/dimensions", ["dim-language", "dim-market"]),
        ("/option-lists", ["ol-colors", "ol-categories"]),
        ("/workflows", ["wf-product-lifecycle", "wf-standard"]),
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
    for path in (noun.path for noun in NOUNS):
        for body in admin.get(path).json:
            answer = admin.put(f"{path}/{body['id']}", body)
            assert (answer.status_code, answer.json) == (200, body)


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
    lists = ("/api-keys", *(noun.path for noun in NOUNS if noun is not ROLE))
    assert {path: acme.get(path).json for path in lists} == {path: [] for path in lists}
    assert [role["id"] for role in acme.get("/roles").json] == ["role-admin"]
    assert acme.get("/records").json == {"items": [], "total": 0, "offset": 0, "limit": 50}


def test_the_name_of_the_administrator_can_be_given(empty, run):
    assert run(*NEW, "--user-name", "Ann Åse", stdin=f"{PASSWORD}\n").exit_code == 0
    assert login(empty, "ann@acme.example", PASSWORD).json["user"]["name"] == "Ann Åse"


@each("password", [" pass word ", "pässwörd-密码", "x" * 500])
def test_every_character_of_the_password_counts(empty, run, error, password):
    assert run(*NEW, stdin=f"{password}\n").exit_code == 0
    assert login(empty, "ann@acme.example", password).status_code == 200
    error(login(empty, "ann@acme.example", password[:-1]), 401)


@each("ending", ["", "\n", "\r\n", "\nsomething else\n"], ids=["none", "LF", "CRLF", "more lines"])
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


def test_without_a_terminal_and_without_input_it_is_said_that_no_password_came(empty, run):
    message = refused(run, empty, *NEW, stdin="")
    assert message.endswith("The password: nothing came on standard input, and there is no terminal to ask on\n")


@each("stdin", ["\n", "short\n", "1234567\n"], ids=["empty", "short", "seven characters"])
def test_a_password_too_short_is_refused(empty, run, stdin):
    message = refused(run, empty, *NEW, stdin=stdin)
    assert "8" in message
    assert stdin.strip() in message.split("Error: ")[0] or stdin.strip() not in message


@each("option", ["--password", "--pass", "-p"])
def test_the_password_is_never_an_argument(empty, run, option):
    assert "No such option" in refused(run, empty, *NEW, option, "secret-argument")


def test_a_workspace_is_stored_by_the_name_that_is_told(empty, run):
    named = [*NEW[:3], "--name", "   Acme  ", "--email", "ann@acme.example"]
    assert run(*named, stdin=f"{PASSWORD}\n").exit_code == 0
    assert sql(empty, "SELECT name FROM workspaces") == [("Acme",)]


def test_so_are_users_and_keys(app, run):
    named = ["--name", "   Eve  ", "--workspace", "ws-demo"]
    assert run("users", "add", "eve@acme.example", *named, "--role", "role-editor", stdin=f"{PASSWORD}\n").exit_code == 0
    assert run("keys", "create", *named, "--permission", "read").exit_code == 0
    assert sql(app, "SELECT name FROM users WHERE email = 'eve@acme.example'") == [("Eve",)]
    assert sql(app, "SELECT name FROM api_keys ORDER BY seq DESC LIMIT 1") == [("Eve",)]


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


@each("id", ["", " ", "a b", "a/b", "-a", "ä", "a\nb", "a\n", "x" * 101, "a\0b"], ids=ascii)
def test_a_bad_id_is_refused(empty, run, id):
    refused(run, empty, "workspace", "create", "--name", "N", "--email", "a@b.example", "--", id)


@each("email", ["", " ", "ann", "@", "ann@", "@acme.example"], ids=ascii)
def test_a_bad_email_is_refused(empty, run, email):
    assert "email" in refused(run, empty, "workspace", "create", "acme", "--name", "Acme", "--email", email)


@each("name", ["", " ", "x" * 201], ids=["empty", "blank", "long"])
def test_a_bad_name_is_refused(empty, run, name):
    assert "name" in refused(run, empty, "workspace", "create", "acme", "--name", name, "--email", "a@b.example")


def test_workspaces_are_listed(app, run, admin):
    made = admin.post("/api-keys", {"name": "Off", "permissions": ["read"]}).json
    admin.post(f"/api-keys/{made['id']}/deactivate")
    assert done(run("workspace", "list")) == (
        "ID        NAME        USERS  ACTIVE KEYS  RECORDS\n"
        "ws-demo   Sigma Demo  2      2            47       demo\n"
        "ws-other  Other       1      0            0\n"
    )
    ann = {"id": "user-admin", "email": "admin@other.example", "name": "Administrator", "roleId": "role-admin"}
    demo, other = json.loads(done(run("workspace", "list", "--json")))
    assert demo == {
        **Caller(app).get("/auth/tenants").json[0],
        **{"demo": True, "activeKeys": 2, "records": 47},
    }
    assert other == {"id": "ws-other", "name": "Other", "demo": False, "users": [ann], "activeKeys": 0, "records": 0}


def test_without_a_workspace_nothing_but_the_heading_is_listed(empty, run):
    assert done(run("workspace", "list")) == "ID  NAME  USERS  ACTIVE KEYS  RECORDS\n"
    assert done(run("workspace", "list", "--json")) == "[]\n"


def test_a_workspace_is_deleted_with_all_that_it_holds_and_nothing_else(app, run, admin, stranger, error):
    assert stranger.post("/api-keys", {"name": "Key", "permissions": ["read"]}).status_code == 201
    key = Caller(app, {"X-Sigma-ApiKey": PUBLISHED_KEY})
    assert key.get("/records").json["total"] == 47
    database.close_db()
    before = content(app)
    question = "Workspace 'ws-demo' with its 47 records, users and keys will be gone for good. Type its id to confirm: "
    result = run("workspace", "delete", "ws-demo", stdin="ws-demo\n")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "Workspace 'ws-demo' deleted.\n", f"{question}ws-demo\n")
    assert content(app) == [line for line in before if "'ws-demo'" not in line]
    error(key.get("/records"), 401)
    error(admin.get("/records"), 401)
    assert stranger.get("/api-keys").json[0]["name"] == "Key"
    assert done(run("workspace", "delete", "ws-other", "--yes", "--json")) == '{"deleted":true}\n'
    assert done(run("workspace", "list", "--json")) == "[]\n"


def test_a_token_of_a_deleted_workspace_does_not_open_another_with_its_id(app, run, error):
    """Nor one that was asked for in the second in which the new workspace was made."""
    create = ["workspace", "create", "acme", "--name", "Acme", "--email", "ann@acme.example"]
    tokens = []
    for _ in range(3):
        done(run(*create, stdin=f"{PASSWORD}\n"))
        mine = bearer(app, login(app, "ann@acme.example", PASSWORD).json["token"])
        made = mine.post("/api-keys", {"name": "Feed", "permissions": ["read"]}).json
        assert mine.get("/api-keys").status_code == 200
        tokens += [mine, bearer(app, mine.post("/auth/refresh").json["token"])]
        key = Caller(app, {"X-Sigma-ApiKey": made["rawKey"]})
        assert key.get("/roles").status_code == 200
        done(run("workspace", "delete", "acme", "--yes"))
        done(run(*create, stdin=f"{PASSWORD}\n"))
        for token in tokens:
            assert error(token.get("/api-keys"), 401) == ENDED
            error(token.post("/auth/refresh"), 401)
        error(key.get("/roles"), 401)
        anew = bearer(app, login(app, "ann@acme.example", PASSWORD).json["token"])
        assert anew.get("/api-keys").json == []
        tokens.append(anew)
        done(run("workspace", "delete", "acme", "--yes"))


def test_a_token_does_not_outlive_the_database_of_its_workspace(tmp_path, monkeypatch, error):
    """With a signing secret of the operator's, another database may have the same workspace and user."""
    monkeypatch.setenv("SIGMA_JWT_SECRET", "0123456789abcdef" * 2)
    apps = []
    for name in ("a.db", "b.db"):
        apps.append(service.create_app({"DATABASE": str(tmp_path / name)}))
        result = apps[-1].test_cli_runner().invoke(args=NEW, input=f"{PASSWORD}\n")
        assert result.exit_code == 0, result.output
        if name == "a.db":
            old = login(apps[0], "ann@acme.example", PASSWORD).json["token"]
            time.sleep(1 - time.time() % 1)
    assert bearer(apps[0], old).get("/api-keys").status_code == 200
    error(bearer(apps[1], old).get("/api-keys"), 401)
    database.close_db()


@each("answer", ["ws-other\n", "y\n", "WS-DEMO\n", ""], ids=["another id", "yes", "capitals", "nothing"])
def test_a_workspace_is_not_deleted_unless_its_id_is_typed(app, run, answer):
    before = content(app)
    assert run("workspace", "delete", "ws-demo", stdin=answer).exit_code == 1
    assert content(app) == before


# -- Which workspace


@each("command", [["keys", "list"], ["users", "list"], ["keys", "deactivate", "apikey-sync-prod"]], ids=" ".join)
def test_where_there_are_several_workspaces_one_must_be_named(app, run, command):
    result = run(*command)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith("Error: --workspace: expected one of ws-demo, ws-other\n")
    assert run(*command, "--workspace", "ws-demo").exit_code == 0


def test_the_only_workspace_need_not_be_named(app, run):
    done(run("workspace", "delete", "ws-other", "--yes"))
    assert "apikey-sync-prod" in done(run("keys", "list"))
    done(run("workspace", "delete", "ws-demo", "--yes"))
    result = run("keys", "list")
    assert (result.exit_code, result.stderr) == (1, f"Error: {NO_WORKSPACE}\n")


NEAR = "ws-demo", "ws-other"


@each("id", ["nowhere", "", "ws-demo ", "WS-DEMO"])
def test_a_workspace_that_is_not_there_is_refused(app, run, id):
    for command in (["keys", "list", "--workspace", id], ["workspace", "delete", id, "--yes"]):
        told = refused(run, app, *command).partition("Error: ")[2]
        assert told in [f"Workspace '{id}' not found (there are '{a}', '{b}')\n" for a, b in (NEAR, NEAR[::-1])]


# -- flask keys


@pytest.fixture
def keys(run):
    """Run one of the commands for keys in the demo workspace."""
    return lambda command, *arguments, **options: run("keys", command, *arguments, "--workspace", "ws-demo", **options)


def cells(output):
    """The rows of a table, each with its cells by their titles, which stand above them."""
    titles, *rows = output.splitlines()
    places = [(found[0], found.start()) for found in re.finditer(r"\S+( \S+)*", titles)]
    ends = [start for _, start in places[1:]] + [None]
    return [{title: row[start:end].rstrip() for (title, start), end in zip(places, ends, strict=True)} for row in rows]


@pytest.fixture
def optional(app):
    """Return the last cells of a key's rows by their titles: whatever the API says that a key may lack."""
    schema = app.test_client().get("/openapi.json").json["components"]["schemas"]["ApiKey"]
    members = [member for member in schema["properties"] if member not in schema["required"]]
    titles = [re.sub("([A-Z])", r" \1", member.removesuffix("At")).upper() for member in members]
    return lambda key: {title: key.get(member, "") for title, member in zip(titles, members, strict=True)}


def test_keys_are_listed_as_the_api_lists_them(keys, admin, optional):
    made = admin.post("/api-keys", {"name": "Sync \x1b[2J\nof Åse", "permissions": ["delete-data", "read"]}).json
    off = admin.post(f"/api-keys/{made['id']}/deactivate").json["deactivatedAt"]
    first, second, third = admin.get("/api-keys").json
    listed = cells(done(keys("list")))
    assert [list(row) for row in listed] == [["ID", "NAME", "PERMISSIONS", "LAST USED", *optional(first)]] * 3
    assert [tuple(row.values()) for row in listed] == [
        ("apikey-sync-prod", "Shopify Sync - Production", "read update-data", first["lastUsedAt"], *optional(first).values()),
        ("apikey-export-staging", "Export Service - Staging", "read", second["lastUsedAt"], *optional(second).values()),
        (made["id"], "Sync ?[2J?of Åse", "read delete-data", "never", *optional(third).values()),
    ]
    assert [row["DEACTIVATED"] for row in listed] == ["", "", off]
    assert json.loads(done(keys("list", "--json"))) == admin.get("/api-keys").json


def test_a_new_key_is_shown_once_and_works_at_once(app, keys, admin):
    output = done(keys("create", "--name", "Sync", "--permission", "update-data", "--permission", "read"))
    listed = admin.get("/api-keys").json[-1]
    raw_key = output.splitlines()[1]
    assert output == f"Key '{listed['id']}' created (read, update-data). It is shown only now:\n{raw_key}\n"
    assert (listed["name"], listed["permissions"], listed["active"]) == ("Sync", ["read", "update-data"], True)
    assert Caller(app, {"X-Sigma-ApiKey": raw_key}).get("/records").status_code == 200
    assert raw_key not in keys("list").output + keys("list", "--json").output


def test_a_new_key_is_told_to_programs_as_the_api_tells_it(app, keys, admin, error):
    made = json.loads(done(keys("create", "--name", "Sync", "--permission", "read", "--json")))
    by_api = admin.post("/api-keys", {"name": "Sync", "permissions": ["read"]}).json
    assert list(made) == list(by_api)
    assert {**made, **{name: by_api[name] for name in ("id", "rawKey", "createdAt")}} == by_api
    caller = Caller(app, {"X-Sigma-ApiKey": made["rawKey"]})
    assert caller.get("/records").status_code == 200
    error(caller.delete("/records/ent-coastal-wb"), 403)


@each(
    ("name", "permissions"),
    [("", ["read"]), (" ", ["read"]), ("x" * 201, ["read"]), ("Sync", ["Read"]), ("", ["write", "read", ""])],
    ids=["empty", "blank", "long", "capitals", "everything"],
)
def test_a_key_is_refused_in_the_words_of_the_api(app, run, admin, error, name, permissions):
    told = error(admin.post("/api-keys", {"name": name, "permissions": permissions}), 400)
    options = [word for permission in permissions for word in ("--permission", permission)]
    database.close_db()
    message = refused(run, app, "keys", "create", "--name", name, *options, "--workspace", "ws-demo")
    assert message == f"Error: {told}\n"


@each("options", [["--name", "Sync"], ["--permission", "read"], ["--name", "Sync", "--permission"]], ids=" ".join)
def test_a_key_without_a_name_or_permission_is_wrong_usage(keys, options):
    result = keys("create", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage: " in result.stderr


def test_a_deactivated_key_is_refused_at_once_and_stays_listed(app, keys, admin, error):
    caller = Caller(app, {"X-Sigma-ApiKey": PUBLISHED_KEY})
    assert caller.get("/records").status_code == 200
    output = done(keys("deactivate", "apikey-sync-prod"))
    assert "deactivated" in error(caller.get("/records"), 401)
    told = admin.post("/api-keys/apikey-sync-prod/deactivate").json
    assert output == f"Key 'apikey-sync-prod' has been refused since {told['deactivatedAt']}.\n"
    assert json.loads(done(keys("deactivate", "apikey-sync-prod", "--json"))) == told


def test_deleting_a_key_that_is_active_is_asked_about(app, keys, admin, error):
    ids = [key["id"] for key in admin.get("/api-keys").json]
    question = "Key 'apikey-sync-prod' is active: whatever uses it will be refused. Delete it? [y/N]: "
    for answer in ("n\n", "\n", ""):
        result = keys("delete", "apikey-sync-prod", stdin=answer)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(question)
    assert [key["id"] for key in admin.get("/api-keys").json] == ids
    result = keys("delete", "apikey-sync-prod", stdin="y\n")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "Key 'apikey-sync-prod' deleted.\n", f"{question}y\n")
    error(Caller(app, {"X-Sigma-ApiKey": PUBLISHED_KEY}).get("/records"), 401)
    assert [key["id"] for key in admin.get("/api-keys").json] == ids[1:]


def test_a_key_that_was_deactivated_is_deleted_without_a_question(keys, admin):
    done(keys("deactivate", "apikey-sync-prod"))
    assert done(keys("delete", "apikey-sync-prod")) == "Key 'apikey-sync-prod' deleted.\n"
    assert done(keys("delete", "apikey-export-staging", "--yes", "--json")) == '{"deleted":true}\n'
    assert admin.get("/api-keys").json == []


def refuse(caller, *calls):
    """Send requests that a key may not send."""
    for method, path in calls:
        assert caller.request(method, path).status_code == 403


def age(app, id, column, **ago):
    """Put a time of a key into the past, and return it as it is stored then."""
    moment = (datetime.now(UTC) - timedelta(**ago)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    sql(app, f"UPDATE api_keys SET {column} = ? WHERE id = ?", moment, id)
    return moment


def test_keys_are_listed_with_what_each_permission_was_used_for(keys, standin, admin, make_key, optional):
    key = make_key("read", "update-model")
    key.get("/roles")
    refuse(key, ("DELETE", "/records/ent-x"), ("GET", "/api-keys"), ("DELETE", "/records/ent-x"))
    deactivated = admin.post(f"/api-keys/{key.id}/deactivate").json["deactivatedAt"]
    told = standin("GET", "/keys", headers=admin.headers).json
    use, refused = told[-1]["permissionUse"]["read"], told[-1]["refused"]
    listed = cells(done(keys("list", "--use")))
    assert [list(row) for row in listed] == [["ID", "NAME", "PERMISSION", "LAST USED", "REFUSED", *optional(told[0])]] * 7
    none, own = optional(told[0]).values(), optional(told[-1]).values()
    assert [tuple(row.values()) for row in listed] == [
        ("apikey-sync-prod", "Shopify Sync - Production", "read", "2026-03-08T10:00:11.200Z", "", *none),
        ("apikey-sync-prod", "Shopify Sync - Production", "update-data", "2026-03-08T10:00:12.450Z", "", *none),
        ("apikey-export-staging", "Export Service - Staging", "read", "2026-03-07T16:45:00.000Z", "", *none),
        (key.id, "Key 1", "read", use, "", *own),
        (key.id, "Key 1", "update-model", "never", "", *own),
        (key.id, "Key 1", "delete-data", "not held", f"2, last {refused['delete-data']['lastAt']}", *own),
        (key.id, "Key 1", "session", "not held", f"1, last {refused['session']['lastAt']}", *own),
    ]
    assert [row["DEACTIVATED"] for row in listed] == ["", "", "", *[deactivated] * 4]
    assert json.loads(done(keys("list", "--use", "--json"))) == told


def test_a_key_that_never_used_a_permission_is_advised_to_become_smaller(app, run, keys, admin, make_key):
    key = make_key("read", "update-model", "delete-model")
    key.get("/roles")
    key.delete("/roles/role-nobody")
    refuse(key, *[("DELETE", "/records/ent-x")] * 3)
    for column, ago in (("created_at", {"days": 40, "minutes": 5}), ("last_used_at", {})):
        age(app, key.id, column, **ago)
    use = "json_set(permission_use, '$.read', (SELECT created_at FROM api_keys WHERE id = k.id))"
    sql(app, f"UPDATE api_keys AS k SET permission_use = {use} WHERE id = ?", key.id)
    command = "flask keys create --name 'Key 1' --permission read --permission delete-model --workspace ws-demo"
    assert done(keys("advise", key.id)).splitlines() == [
        f"Key '{key.id}' (Key 1):",
        "- read was last used 40 days ago",
        "- update-model was never used in 40 days",
        "- delete-model was last used less than a minute ago",
        "- delete-data was refused 3 times, last less than a minute ago",
        "- if the refused calls are needed, make a key that also holds delete-data",
        "A key that holds only what this one used:",
        command,
    ]
    done(run(*shlex.split(command)[1:]))
    made = admin.get("/api-keys").json[-1]
    assert (made["name"], made["permissions"]) == ("Key 1", ["read", "delete-model"])
    data = json.loads(done(keys("advise", key.id, "--json")))
    assert (data["unused"], data["refused"]["delete-data"]["count"]) == (["update-model"], 3)
    assert (data["command"], data["since"]) == (command, data["createdAt"])


def test_advice_for_a_key_that_used_all_or_nothing_or_is_deactivated(keys, admin, make_key):
    whole, idle, off = make_key("read"), make_key("read", "delete-data"), make_key("read")
    whole.get("/roles")
    refuse(whole, ("GET", "/api-keys"))
    assert done(keys("advise", whole.id)).splitlines()[1:] == [
        "- read was last used less than a minute ago",
        "- a session, which no key can stand for, was refused once, last less than a minute ago",
        "It used every permission that it holds; a smaller key would not do.",
    ]
    assert done(keys("advise", idle.id)).splitlines()[1:] == [
        "- read was never used in less than a minute",
        "- delete-data was never used in less than a minute",
        "If nothing is to use it any more:",
        f"flask keys deactivate {idle.id} --workspace ws-demo",
    ]
    admin.post(f"/api-keys/{off.id}/deactivate")
    assert done(keys("advise", off.id)).splitlines()[2:] == [
        "It is not accepted any more. When nothing needs it:",
        f"flask keys delete {off.id} --workspace ws-demo",
    ]
    assert json.loads(done(keys("advise", whole.id, "--json")))["command"] is None


def test_of_the_time_before_its_ledger_began_nothing_is_claimed_of_a_key(app, keys, make_key):
    key = make_key("read", "update-data")
    age(app, key.id, "created_at", days=400)
    begun = age(app, key.id, "ledger_from", hours=5, minutes=1)
    assert done(keys("advise", key.id)).splitlines()[1:4] == [
        "- read was never used in 5 hours",
        "- update-data was never used in 5 hours",
        f"- what it did before {begun} is not known",
    ]
    assert json.loads(done(keys("advise", key.id, "--json")))["since"] == begun


def test_no_name_of_a_key_can_give_orders_to_the_terminal_or_the_shell(keys, admin):
    body = {"name": "a\x1b[2J; rm -rf ~ '$(id)'", "permissions": ["read", "update-data"]}
    made = admin.post("/api-keys", body).json
    Caller(admin.app, {"X-Sigma-ApiKey": made["rawKey"]}).get("/roles")
    lines = done(keys("advise", made["id"])).splitlines()
    assert lines[0] == f"Key '{made['id']}' (a?[2J; rm -rf ~ '$(id)'):"
    assert shlex.split(lines[-1])[:5] == ["flask", "keys", "create", "--name", "a?[2J; rm -rf ~ '$(id)'"]


NEEDS = [  # routes as people write them down, and what a key needs for them, or why it can have none
    ("POST /records", "update-data"),
    ("GET /schemas", "read"),
    ("GET /records/ent-coastal-wb", "read"),
    ("HEAD /records/ent-coastal-wb", "read"),
    ("GET /api/v1/records", "read"),
    ("GET http://127.0.0.1:8080/api/v1/records?limit=5#top", "read"),
    ("patch /records/:id/values/:attr", "update-data"),
    ("DELETE /records/{id}/variants/{vid}", "delete-data"),
    ("POST /categories/cat-men/unassign", "delete-data"),
    ("POST /dimensions/scope-matrix", "read"),
    ("PUT /roles/role%20x", "update-model"),
    ("DELETE /option-lists/ol-colors/values/val-red", "delete-model"),
    ("POST /import/execute", "update-data"),
    ("GET /healthz", "Needs no credential."),
    ("POST /api/v1/auth/login", "Needs no credential."),
    ("GET /standin/whoami", "Every API key and every signed-in user may call it."),
]
NO_NEEDS = [
    ("GET /api-keys", "No API key may call it; a signed-in user needs a role with `canManageRoles`."),
    ("POST /saved-queries", "No API key may call it; any signed-in user may call it."),
    ("GET /standin/keys", "No API key may call it; a signed-in user needs a role with `canManageRoles`."),
    (
        "POST /change-sets/cs-1/apply",
        "Sigma PIM documents /change-sets, the review of changes before they are applied; this stand-in does not have it.",
    ),
    ("GET /nothing", "There is no such path; `make routes` lists every path"),
    ("GET /api/v2/records", "There is no such path; the nearest is /records; `make routes` lists every path"),
    ("GET /records/", "There is no such path; the nearest is /records; `make routes` lists every path"),
    ("GET /record", "There is no such path; the nearest is /records; `make routes` lists every path"),
    ("GET /api/v1/recrods/ent-1", "There is no such path; the nearest is /records/ent-1; `make routes` lists every path"),
    (
        "PUT /standin/key/k-1/faults",
        "There is no such path; the nearest is /standin/keys/k-1/faults; `make routes` lists every path",
    ),
    ("GET /records/a/b", "There is no such path; `make routes` lists every path"),
    ("DELETE /records", "There is no DELETE of this path, only GET, POST"),
    ("/records", "Expected a method and a path, such as: GET /records"),
    ("GET /records now", "Expected a method and a path, such as: GET /records"),
]


@each(("route", "needed"), NEEDS)
def test_a_route_needs_what_the_service_asks_for(run, route, needed):
    printed = done(run("keys", "needs", route)).splitlines()
    assert printed[0] == f"{route}  {needed}"
    held = [needed] if needed in ALL_PERMISSIONS else []
    assert printed[1:] == [
        "",
        f"A key for these needs: {needed}",
        f"flask keys create --name NAME --permission {needed}",
    ] * len(held)
    assert json.loads(done(run("keys", "needs", route, "--json")))["permissions"] == held


@each(("route", "problem"), NO_NEEDS)
def test_a_route_that_no_key_may_call_is_told_with_exit_code_1(run, route, problem):
    result = run("keys", "needs", "GET /schemas", route)
    printed = result.stdout.splitlines()
    assert (result.exit_code, result.stderr) == (1, "")
    assert re.split(" {2,}", printed[1]) == [route, problem]
    assert printed[3:] == ["A key for the others needs: read", "flask keys create --name NAME --permission read"]
    data = json.loads(run("keys", "needs", route, "--json").stdout)
    assert data == {"permissions": [], "routes": [{"route": route, "permission": None, "remark": None, "problem": problem}]}


def test_the_fewest_permissions_for_all_routes_come_in_the_published_order_from_wherever_routes_come(run, tmp_path):
    routes = ["DELETE /schemas/x", "POST /records", "GET /records", "POST /records", "PUT /records/ent-1"]
    file = tmp_path / "routes.txt"
    file.write_text("# what the sync calls\n\n" + "\n".join(f"  {route}\t" for route in routes), encoding="utf-8")
    told = json.loads(done(run("keys", "needs", *routes, "--json")))
    assert told["permissions"] == ["read", "update-data", "delete-model"]
    assert [(need["route"], need["permission"]) for need in told["routes"]] == [
        ("DELETE /schemas/x", "delete-model"),
        ("POST /records", "update-data"),
        ("GET /records", "read"),
        ("PUT /records/ent-1", "update-data"),
    ]
    text = file.read_text(encoding="utf-8")
    for arguments, stdin in ((["--file", str(file)], None), (["--file", "-"], text), ([], text)):
        assert json.loads(done(run("keys", "needs", "--json", *arguments, stdin=stdin))) == told


def test_no_route_is_wrong_usage_and_a_file_that_cannot_be_read_is_refused(run, tmp_path):
    (tmp_path / "latin").write_bytes(b"GET /\xe9\n")
    for arguments, code, message in (
        ([], 2, "Expected routes such as"),
        (["--file", str(tmp_path / "nothing")], 2, "No such file or directory"),
        (["--file", str(tmp_path / "latin")], 1, "Expected text in UTF-8"),
    ):
        result = run("keys", "needs", *arguments)
        assert (result.exit_code, result.stdout) == (code, "")
        assert message in result.stderr


@each("command", ["deactivate", "delete", "advise"])
def test_a_key_of_another_workspace_is_not_there(app, run, stranger, command):
    id = stranger.post("/api-keys", {"name": "Key", "permissions": ["read"]}).json["id"]
    database.close_db()
    for unknown in (id, "apikey-nobody", ""):
        message = refused(run, app, "keys", command, unknown, "--workspace", "ws-demo", stdin="y\n")
        assert message == f"Error: API key '{unknown}' not found\n"


@each("command", ["deactivate", "delete", "advise"])
def test_of_a_key_that_is_called_by_its_name_the_id_is_told(app, run, admin, command):
    body = {"name": "Shop sync", "permissions": ["read"]}
    ids = [admin.post("/api-keys", body).json["id"] for _ in range(2)]
    message = refused(run, app, "keys", command, "Shop sync", "--workspace", "ws-demo", stdin="y\n")
    assert message == f"Error: API key 'Shop sync' not found: expected its id, '{ids[0]}' or '{ids[1]}'\n"


# -- flask users

ADD = ["users", "add", "eve@acme.example", "--name", "Eve", "--workspace", "ws-demo", "--role"]


def test_users_are_listed(app, run):
    assert done(run("users", "list", "--workspace", "ws-demo")) == (
        "ID           EMAIL            NAME         ROLE\n"
        "user-admin   admin@sigma.io   Admin User   role-admin\n"
        "user-editor  editor@sigma.io  Editor User  role-editor\n"
    )
    users = json.loads(done(run("users", "list", "--workspace", "ws-demo", "--json")))
    assert users == Caller(app).get("/auth/tenants").json[0]["users"]


def test_a_new_user_can_sign_in_and_do_what_the_role_allows(app, run, error):
    assert (
        done(run(*ADD, "role-editor", stdin=f"{PASSWORD}\n"))
        == "eve@acme.example can sign in to 'ws-demo' with role 'role-editor'.\n"
    )
    answer = login(app, "eve@acme.example", PASSWORD).json
    assert {**answer["user"], "id": "an id"} == {
        **{"id": "an id", "email": "eve@acme.example", "name": "Eve", "roleId": "role-editor"},
    }
    eve = Caller(app, {"Authorization": f"Bearer {answer['token']}"})
    assert eve.get("/records").json["total"] == 47
    error(eve.get("/api-keys"), 403)
    assert answer["user"] in json.loads(done(run("users", "list", "--workspace", "ws-demo", "--json")))


@each(
    ("arguments", "stdin", "told"),
    [
        ([*ADD, "role-nobody"], PASSWORD, "role: role 'role-nobody' does not exist"),
        ([*ADD, "role-editor"], "short", "The password: expected at least 8 characters"),
        (["users", "add", "eve", *ADD[3:], "role-editor"], PASSWORD, "email: expected an address, got 'eve'"),
        (
            ["users", "add", "eve\u200b@acme.example", *ADD[3:], "role-editor"],
            PASSWORD,
            "email: expected visible characters, got U+200B (zero width space) as character 4",
        ),
        (
            ["users", "add", "Admin@Sigma.io", *ADD[3:], "role-editor"],
            PASSWORD,
            "email: 'Admin@Sigma.io' is already taken by user 'user-admin' of workspace 'ws-demo'",
        ),
        (
            [*ADD[:4], " ", *ADD[5:], "role-editor"],
            PASSWORD,
            "name: Expected at least one character that is not blank, got ' '",
        ),
    ],
    ids=["role", "password", "email", "invisible in email", "email taken", "name"],
)
def test_a_user_is_refused_in_plain_words(app, run, arguments, stdin, told):
    assert without_hint(refused(run, app, *arguments, stdin=f"{stdin}\n")) == f"Error: {told}\n"


@each(
    ("arguments", "told"),
    [
        ([*NEW[:2], "ws-demo", *NEW[3:]], "id: 'ws-demo' is already taken"),
        ([*NEW[:5], "--email", "admin@sigma.io"], "email: 'admin@sigma.io' is already taken by user 'user-admin'"),
        ([*ADD, "role-nobody"], "role: role 'role-nobody' does not exist"),
        (["users", "add", "admin@sigma.io", *ADD[3:], "role-editor"], "email: 'admin@sigma.io' is already taken"),
        (["users", "password", "nobody@acme.example"], "User 'nobody@acme.example' not found"),
    ],
)
def test_nobody_types_a_password_for_what_is_refused_anyway(app, run, monkeypatch, arguments, told):
    asked = []
    replace_everywhere(monkeypatch, user_commands, "read_password", lambda: asked.append(1) or PASSWORD)
    assert f"Error: {told}" in refused(run, app, *arguments)
    assert asked == []


def test_a_new_password_takes_the_place_of_the_old(app, run, error):
    output = done(run("users", "password", "ADMIN@sigma.io", stdin=f"{PASSWORD}\n"))
    assert output == "admin@sigma.io has a new password, and must sign in again.\n"
    error(login(app, "admin@sigma.io", "admin"), 401)
    assert login(app, "admin@sigma.io", PASSWORD).status_code == 200


def test_a_new_password_ends_every_session_that_began_before_it(app, run, editor, error):
    admin, other = (bearer(app, login(app, "admin@sigma.io", "admin").json["token"]) for _ in range(2))
    late = bearer(app, admin.post("/auth/refresh").json["token"])
    made = admin.post("/api-keys", {"name": "Feed", "permissions": ["read"]}).json
    done(run("users", "password", "admin@sigma.io", stdin=f"{PASSWORD}\n"))
    for session in (admin, other, late):
        assert error(session.get("/api-keys"), 401) == ENDED
        error(session.post("/auth/refresh"), 401)
        error(session.post("/api-keys", {"name": "Mine", "permissions": ["read"]}), 401)
    again = bearer(app, login(app, "admin@sigma.io", PASSWORD).json["token"])
    assert [key["id"] for key in again.get("/api-keys").json][-1] == made["id"]
    assert bearer(app, again.post("/auth/refresh").json["token"]).get("/api-keys").status_code == 200
    assert Caller(app, {"X-Sigma-ApiKey": made["rawKey"]}).get("/roles").status_code == 200
    assert editor.get("/roles").status_code == 200


def test_a_session_that_begins_while_a_new_password_is_being_stored_ends_too(app, run, error, monkeypatch):
    """The request has passed every check with the old password, and waits for the transaction that stores the new one."""
    session, begun, waits = bearer(app, login(app, "admin@sigma.io", "admin").json["token"]), [], threading.Event()
    execute, remember_session = database.execute, users.remember_session
    # As long ago as it would be in a run of an hour: the request then has something to store, too.
    sql(app, "UPDATE settings SET value = value - 3600 WHERE name = 'sessions_from'")

    def remember(begins):
        waits.set()
        remember_session(begins)

    def store_slowly(statement, *parameters):
        if statement.startswith("UPDATE users SET password_hash") and not begun:
            time.sleep(1)
            begun.append(pool.submit(session.post, "/auth/refresh"))
            assert waits.wait(5)
        return execute(statement, *parameters)

    replace_everywhere(monkeypatch, users, "remember_session", remember)
    replace_everywhere(monkeypatch, database, "execute", store_slowly)
    with ThreadPoolExecutor(1) as pool:
        assert run("users", "password", "admin@sigma.io", stdin=f"{PASSWORD}\n").exit_code == 0
        late = begun[0].result()
    assert late.status_code == 200
    error(bearer(app, late.json["token"]).get("/roles"), 401)
    assert bearer(app, login(app, "admin@sigma.io", PASSWORD).json["token"]).get("/roles").status_code == 200


@each("way", ["login", "refresh"])
def test_a_session_that_was_asked_for_before_a_new_password_was_stored_ends_too(app, run, error, monkeypatch, way):
    """The request has passed every check with the old password when the new one is stored, and answers only then."""
    session, begun = bearer(app, login(app, "admin@sigma.io", "admin").json["token"]), []
    make_session = sessions.make_session

    def make_late(*arguments):
        if not begun:
            begun.append(True)
            with ThreadPoolExecutor(1) as pool:
                done(pool.submit(run, "users", "password", "admin@sigma.io", stdin=f"{PASSWORD}\n").result())
            time.sleep(1 - time.time() % 1)  # or the times of both would be the same second
        return make_session(*arguments)

    replace_everywhere(monkeypatch, sessions, "make_session", make_late)
    late = login(app, "admin@sigma.io", "admin") if way == "login" else session.post("/auth/refresh")
    assert late.status_code == 200
    error(bearer(app, late.json["token"]).get("/roles"), 401)
    error(bearer(app, late.json["token"]).post("/auth/refresh"), 401)
    assert bearer(app, login(app, "admin@sigma.io", PASSWORD).json["token"]).get("/roles").status_code == 200


@each("command", ["password", "remove", "role"])
def test_a_user_who_is_not_there_is_refused(app, run, command):
    rest = ["role-admin"] if command == "role" else []
    assert refused(run, app, "users", command, "eve@acme.example", *rest) == "Error: User 'eve@acme.example' not found\n"


def test_another_role_counts_at_once(run, editor, error):
    error(editor.get("/api-keys"), 403)
    assert done(run("users", "role", "editor@sigma.io", "role-admin")) == "editor@sigma.io has role 'role-admin'.\n"
    assert editor.get("/api-keys").status_code == 200
    user = json.loads(done(run("users", "role", "editor@sigma.io", "role-editor", "--json")))
    assert user == {"id": "user-editor", "email": "editor@sigma.io", "name": "Editor User", "roleId": "role-editor"}
    error(editor.get("/api-keys"), 403)


def test_a_role_of_another_workspace_cannot_be_given(app, run, stranger):
    assert stranger.post("/roles", {"id": "role-theirs", "name": "Theirs"}).status_code == 201
    database.close_db()
    message = refused(run, app, "users", "role", "editor@sigma.io", "role-theirs")
    assert message == "Error: role: role 'role-theirs' does not exist (there are 'role-editor', 'role-admin')\n"


def test_a_removed_user_is_signed_out_at_once(app, run, editor, error):
    assert done(run("users", "remove", "editor@sigma.io")) == "editor@sigma.io removed from 'ws-demo'.\n"
    error(editor.get("/records"), 401)
    assert [user["id"] for user in Caller(app).get("/auth/tenants").json[0]["users"]] == ["user-admin"]


@each("command", [["remove", "admin@sigma.io"], ["role", "admin@sigma.io", "role-editor"]], ids=" ".join)
def test_the_last_who_can_manage_roles_stays_unless_that_is_forced(app, run, admin, error, command):
    told = "Error: Nobody could manage roles and keys of 'ws-demo' any more; use --force to do it anyway\n"
    assert refused(run, app, "users", *command) == told
    assert admin.get("/api-keys").status_code == 200
    database.close_db()
    done(run("users", *command, "--force"))
    assert admin.get("/api-keys").status_code in (401, 403)
    done(run("users", "remove", "editor@sigma.io"))  # nothing gets worse by that


def test_where_nobody_can_manage_roles_any_more_somebody_is_enabled_to(run, admin, error):
    role = admin.get("/roles/role-admin").json
    assert admin.put("/roles/role-admin", {**role, "canManageRoles": False}).status_code == 200
    error(admin.get("/api-keys"), 403)
    user = json.loads(done(run("users", "role", "admin@sigma.io", "--administrator", "--json")))
    made = admin.get(f"/roles/{user['roleId']}").json
    assert (made["name"], {made[flag] for flag in permissions_module.ROLE_FLAGS}) == ("Administrator", {True})
    assert admin.put("/roles/role-admin", role).status_code == 200
    done(run("users", "role", "admin@sigma.io", "role-admin"))
    assert admin.delete(f"/roles/{user['roleId']}").status_code == 204


@each("options", [[], ["role-admin", "--administrator"]], ids=["neither", "both"])
def test_a_role_is_either_named_or_made(run, options):
    result = run("users", "role", "editor@sigma.io", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith("Error: Expected either ROLE-ID or --administrator\n")


# -- Beside a running service


def test_a_write_that_does_not_end_is_waited_for_and_then_told(app, run, monkeypatch):
    replace_everywhere(monkeypatch, database, "BUSY_TIMEOUT", 0.05)
    database.close_db()
    with closing(sqlite3.connect(app.config["DATABASE"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert run("workspace", "list").exit_code == 0
        result = run("users", "remove", "editor@sigma.io")
    assert result.exit_code == 1
    told = f"{app.config['DATABASE']} is locked: another process has kept it for 5 seconds or more; try again later"
    assert result.stderr == f"Error: {told}\n"


# -- flask serve


class Run(NamedTuple):
    """What a server would have been run with."""

    host: str
    port: int
    workers: int
    database: str


@pytest.fixture
def servers(monkeypatch):
    """The servers that would have been run."""
    started = []
    monkeypatch.setattr(serve, "run_server", lambda *arguments: started.append(Run(*arguments[:4])))
    monkeypatch.setattr(serve, "reserve_port", lambda _, port: nullcontext(port))  # the addresses are none of this machine's
    return started


def test_serve_says_where_everything_is(app, run, servers):
    app.config.update(HOST="127.0.0.1", PORT=8123)
    result = run("serve")
    assert (result.exit_code, result.stderr) == (0, "")
    for part in ("http://127.0.0.1:8123", "http://127.0.0.1:8123/docs", "admin@sigma.io", "admin", PUBLISHED_KEY):
        assert part in result.output
    assert app.config["DATABASE"] in result.output
    assert len(servers) == 1


def test_serve_says_nothing_secret_of_a_workspace_that_is_no_demo(empty, run, servers):
    assert run(*NEW, stdin=f"{PASSWORD}\n").exit_code == 0
    output = run("serve").output
    assert "http://127.0.0.1:8080" in output
    assert "sigma_sk_live" not in output
    assert "ann@" not in output


def test_serve_says_how_to_make_a_workspace_when_there_is_none(empty, run, servers):
    assert f"{NO_WORKSPACE}\n" in run("serve").output


def test_serve_runs_the_server_with_the_settings(app, run, servers):
    app.config.update(HOST="127.0.0.2", PORT=9001, WORKERS=3)
    run("serve")
    assert servers == [("127.0.0.2", 9001, 3, app.config["DATABASE"])]


def test_workers_get_the_environment_but_nothing_in_it_that_would_look_like_a_header(monkeypatch):
    monkeypatch.chdir(os.getcwd())  # both come back after the test
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(os, "register_at_fork", lambda **_: None)
    monkeypatch.setenv("SIGMA_RECORD_LIMIT", "5")
    before = os.environ["PATH"]
    for name in ("HTTP_X_SIGMA_APIKEY", "HTTP_AUTHORIZATION", "HTTP_PROXY", "HTTP_HOST", "CONTENT_TYPE", "CONTENT_LENGTH"):
        monkeypatch.setenv(name, PUBLISHED_KEY)
    workers.set_up_workers(2, "/srv/sigma.db")
    told = [os.environ[name] for name in ("SIGMA_DATABASE", "SIGMA_WORKERS", "SIGMA_RECORD_LIMIT", "PATH")]
    assert told == ["/srv/sigma.db", "2", "5", before]
    assert [name for name in os.environ if name.startswith(("HTTP_", "CONTENT_"))] == []


LOOPBACK = ["127.0.0.1", "127.1.2.3", "::1", "localhost"]
OPEN = ["0.0.0.0", "::", "192.0.2.1", "::ffff:c000:201"]
NAMES = ["sigma.example", "localhost.sigma.example", "127.0.0.1.sigma.example", "0"]


@pytest.mark.parametrize("host", LOOPBACK)
def test_demo_data_is_served_to_this_machine(app, run, servers, host):
    app.config["HOST"] = host
    result = run("serve")
    assert result.exit_code == 0
    assert len(servers) == 1
    address = "127.0.0.1" if host == "localhost" else host
    assert f"http://{address if '.' in address else f'[{address}]'}:" in result.output


@each("host", OPEN)
def test_demo_data_is_not_served_to_others(app, run, servers, host):
    app.config["HOST"] = host
    result = run("serve")
    assert result.exit_code == 1
    assert servers == []
    assert result.output.startswith("Error: ")
    assert PUBLISHED_KEY not in result.output
    for part in (str(ip_address(host)), "demo", "SIGMA_DATABASE", "SIGMA_ALLOW_PUBLIC_DEMO"):  # as this Python writes it
        assert part in result.output


@each("host", NAMES)
def test_what_is_no_address_is_not_served_on(app, run, servers, host):
    app.config["HOST"] = host
    result = run("serve")
    assert (result.exit_code, servers) == (1, [])
    assert result.output == f"Error: HOST: expected an IP address or localhost, got '{host}'\n"


def test_demo_data_is_served_to_others_when_that_is_asked_for(app, run, servers):
    app.config.update(HOST="0.0.0.0", ALLOW_PUBLIC_DEMO=True)
    assert run("serve").exit_code == 0
    assert servers[0].host == "0.0.0.0"


@pytest.mark.parametrize(("host", "url"), [("0.0.0.0", "http://127.0.0.1:8123"), ("::", "http://[::1]:8123")])
def test_the_address_that_is_printed_can_be_opened_where_all_addresses_are_served(app, run, servers, monkeypatch, host, url):
    app.config.update(HOST=host, PORT=8123, ALLOW_PUBLIC_DEMO=True)
    monkeypatch.setattr(serve, "reserve_port", lambda _, port: nullcontext(port))
    printed = run("serve").output
    assert servers[0].host == host
    assert f"Console      {url}/console\n" in printed
    assert host not in printed.replace(url, "")


@pytest.mark.parametrize("host", OPEN[:3])
def test_a_workspace_of_ones_own_is_served_to_others(empty, run, servers, host):
    assert run(*NEW, stdin=f"{PASSWORD}\n").exit_code == 0
    empty.config["HOST"] = host
    assert run("serve").exit_code == 0
    assert len(servers) == 1


# -- Help


@pytest.fixture
def flask(tmp_path):
    """Return a function that runs `flask` itself, as it is installed, with a database that is not there."""
    made = FlaskGroup(create_app=lambda: service.create_app({"DATABASE": str(tmp_path / "none.db")}))
    return lambda *arguments: CliRunner().invoke(made, arguments)


@each(
    ("typed", "told"),
    [
        ("key list", "No such command 'key'. Did you mean 'keys'?"),
        ("keys lst", "No such command 'lst'. Did you mean 'list'?"),
        ("serv", "No such command 'serv'. (Did you mean one of: 'serve', 'users'?)"),
        ("dokter", "No such command 'dokter'. Did you mean 'doctor'?"),
        ("zzz", "No such command 'zzz'."),
        ("keys revoke", "No such command 'revoke'. The commands are: advise, create, deactivate, delete, list, needs."),
        ("seed make", "No such command 'make'. The commands are: check, export."),
    ],
)
def test_for_a_mistyped_command_the_nearest_is_told(flask, typed, told):
    result = flask(*typed.split())
    assert (result.exit_code, result.stdout, result.stderr.splitlines()[-1]) == (2, "", f"Error: {told}")


def test_the_help_lists_every_command_and_not_flasks_own_server_which_is_refused(flask):
    listed = re.findall(r"^  ([a-z]+)  ", flask("--help").stdout.partition("Commands:")[2], re.MULTILINE)
    assert sorted(listed) == sorted({"routes", "shell", *(command.split()[1] for command in commands())})
    assert "`flask run` is not for this service: use `flask serve`" in flask("run").stderr


@each("command", list(commands()))
def test_help_shows_an_example(run, command):
    output = done(run(*command.split()[1:], "--help"))
    assert command in " ".join(output.split("Example: ")[1].split())


def test_text_that_is_not_utf_8_is_refused_in_one_line(run, app):
    result = run("keys", "create", "--workspace", "ws-demo", "--name", "\udcff", "--permission", "read")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "Error: Expected text in UTF-8\n")
