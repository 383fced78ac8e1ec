"""What the stand-in adds for test suites and demos: who am I, workspaces for tests, the demo as it was at first."""

import re
import shutil
import sqlite3
from contextlib import closing

import pytest
from conftest import Caller, replace_everywhere
from test_access import OPERATIONS, knock
from test_openapi import operations, problems, responses, success

import app as service
from sigma import database
from sigma import permissions as permissions_module
from sigma.cli import users
from sigma.http import credentials, errors
from sigma.standin import demo as demo_module

EXAMPLE_KEY = "sigma_sk_live_abc123def456ghi789jkl012mno345pqr678"
HIDDEN = [("POST", "/workspaces"), ("DELETE", "/workspaces/ws-demo"), ("POST", "/reset")]
MODEL = ("roles", "dimensions", "option-lists", "attributes", "workflows", "schemas", "catalogs")
PATHS = (
    *(f"/{noun}" for noun in MODEL),
    *("/records", "/variants", "/records/ent-coastal-wb/audit-log", "/records/ent-trail-cap/audit-log"),
    *("/records/ent-coastal-wb/variants/var-cw-s-red/resolved", "/records/ent-trail-cap/transitions"),
    *("/records/ent-coastal-wb/categories", "/catalogs/cat-webshop/tree", "/catalogs/cat-marketplace/tree"),
    *("/categories/cat-men-windbreakers/entities", "/categories/cat-accessories/entities"),
)


@pytest.fixture
def standin(app):
    """Send a request to a path below /standin."""

    def send(method, path, json=None, **options):
        if json is not None:
            options["json"] = json
        return app.test_client().open(f"/standin{path}", method=method, **options)

    return send


@pytest.fixture
def make(app, standin):
    """Make a workspace for a test; answer what is answered, and its administrator."""

    def make(**body):
        answer = standin("POST", "/workspaces", body)
        assert answer.status_code == 201, answer.json
        return answer.json, signed_in(app, answer.json["admin"])

    return make


@pytest.fixture
def deployment(app):
    """The app on a database that was made for one company alone."""
    with closing(sqlite3.connect(app.config["DATABASE"])) as db, db:
        for table in contents(app, "ws-demo"):
            db.execute(f"DELETE FROM {table} WHERE tenant <> 'ws-other'")
        db.execute("DELETE FROM workspaces WHERE id <> 'ws-other'")
    return app


def signed_in(app, session):
    return Caller(app, {"Authorization": f"Bearer {session['token']}"})


def with_key(app, key):
    return Caller(app, {"X-Sigma-ApiKey": key["rawKey"]})


def query(app, sql, *parameters):
    with closing(sqlite3.connect(app.config["DATABASE"])) as db, db:
        return db.execute(sql, parameters).fetchall()


def without_times(value):
    """Return a row or an answer without what is new each time that it is made: times, and the ids of changes."""
    if isinstance(value, str):
        return re.sub(r"20[0-9]{2}-[0-9-]{5}T[0-9:]{8}\.[0-9]{3}Z|audit-[0-9a-f]{16}", "…", value)
    if isinstance(value, dict):
        return {name: without_times(item) for name, item in value.items()}
    return type(value)(map(without_times, value)) if isinstance(value, list | tuple) else value


def read_everything(db):
    """Yield each workspace's rows of each table, without the numbers that only order them."""
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    columns = {table: [row[1] for row in db.execute(f"PRAGMA table_info({table})")] for table in names}
    for (tenant,) in db.execute("SELECT id FROM workspaces ORDER BY id").fetchall():
        for table in names:
            if "tenant" in columns[table]:
                listed = ", ".join(name for name in columns[table] if name not in ("seq", "tenant", "password_hash"))
                order = "seq" if "seq" in columns[table] else listed
                yield tenant, table, db.execute(f"SELECT {listed} FROM {table} WHERE tenant = ? ORDER BY {order}", (tenant,))


def everything(app):
    """What each workspace holds, by table."""
    found = {}
    with closing(sqlite3.connect(app.config["DATABASE"])) as db:
        for tenant, table, rows in read_everything(db):
            found.setdefault(tenant, {})[table] = without_times(rows.fetchall())
    return found


def contents(app, tenant):
    return everything(app)[tenant]


def spoil(app, admin):
    """Change something of every kind in a workspace that holds what the demo does."""
    bodies = {noun: admin.get(f"/{noun}").json for noun in MODEL}
    editor = next(role for role in bodies["roles"] if role["id"] == "role-editor")
    answers = [
        admin.put("/roles/role-editor", {**editor, "canManageRoles": True, "catalogPermissions": []}),
        admin.post("/roles", {"id": "role-new", "name": "New"}),
        admin.put("/dimensions/dim-market", {**bodies["dimensions"][1], "name": "Region"}),
        admin.post("/option-lists/ol-colors/values", {"id": "val-new", "alias": "new", "label": "New"}),
        admin.put("/attributes/attr-size", {**bodies["attributes"][8], "name": "How big"}),
        admin.put("/workflows/wf-standard", {**bodies["workflows"][0], "name": "Slow"}),
        admin.put("/schemas/schema-apparel", {**bodies["schemas"][0], "icon": "hat"}),
        admin.delete("/catalogs/cat-webshop"),
        admin.post("/catalogs/cat-marketplace/categories", {"alias": "new", "name": "New"}),
        admin.patch("/records/ent-trail-cap/values/price", {"value": 1}),
        admin.delete("/records/ent-coastal-wb"),
        admin.post("/records", {"schemaId": "schema-apparel", "values": {"sku": [{"scope": {}, "value": "CW-001"}]}}),
    ]
    assert [answer.status_code for answer in answers if answer.status_code >= 400] == []


# -- Who am I


def test_a_key_is_told_what_it_is_and_what_it_may_call(app, make_key):
    caller = make_key("read", "update-data")
    answer = app.test_client().get("/standin/whoami", headers=caller.headers)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    told = answer.json
    routes = told.pop("routes")
    assert told == {
        "kind": "api-key",
        "workspace": {"id": "ws-demo", "name": "Sigma Demo"},
        "key": {"id": caller.id, "name": "Key 1", "permissions": ["read", "update-data"]},
    }
    expected = {
        (o.method, re.sub(r":\w+", "*", o.path)): {"permission": o.required, "roleFlag": None if o.flag == "public" else o.flag}
        for o in OPERATIONS
    }
    assert {
        (route["method"], re.sub(r"{\w+}", "*", route["path"].removeprefix("/api/v1"))): {
            name: route[name] for name in ("permission", "roleFlag")
        }
        for route in routes
    } == expected
    assert len(routes) == len(expected)
    assert {route["permission"] for route in routes if route["allowed"]} == {"public", "read", "update-data"}


def test_a_user_is_told_who_it_is_and_what_the_role_allows(app, editor):
    answer = app.test_client().get("/standin/whoami", headers=editor.headers)
    told = answer.json
    routes = told.pop("routes")
    flags = {flag: flag == "canExport" for flag in permissions_module.ROLE_FLAGS}
    user = {"id": "user-editor", "email": "editor@sigma.io", "name": "Eddie Editor", "roleId": "role-editor"}
    assert told == {
        "kind": "user",
        "workspace": {"id": "ws-demo", "name": "Sigma Demo"},
        "user": {**user, "roleFlags": flags},
    }
    assert {route["roleFlag"] for route in routes if route["allowed"]} == {None, "canExport"}
    assert all(route["allowed"] for route in routes if route["roleFlag"] is None)


@pytest.mark.parametrize("permissions", [["read"], ["update-data", "delete-model"], None], ids=["reader", "writer", "editor"])
def test_what_one_is_told_is_what_one_finds(app, make_key, editor, permissions):
    caller = make_key(*permissions) if permissions else editor
    routes = app.test_client().get("/standin/whoami", headers=caller.headers).json["routes"]
    found = {
        (operation.method, re.sub(r":\w+", "*", operation.path)): knock(caller, operation).status_code not in (401, 403)
        for operation in OPERATIONS
        if operation.path != "/auth/login"
    }
    told = {
        (route["method"], re.sub(r"{\w+}", "*", route["path"].removeprefix("/api/v1"))): route["allowed"] for route in routes
    }
    assert told.pop(("POST", "/auth/login")) is True
    assert told == found


def test_no_credential_is_ever_shown(app, make_key, editor):
    for caller in (make_key("read"), editor):
        answer = app.test_client().get("/standin/whoami", headers=caller.headers)
        (secret,) = caller.headers.values()
        assert secret.removeprefix("Bearer ") not in answer.text
        assert "sigma_sk_live" not in answer.text


def test_a_bad_credential_is_refused_as_everywhere(app, admin, make_key, anonymous):
    off = make_key("read")
    assert admin.post(f"/api-keys/{off.id}/deactivate").status_code == 200
    token = admin.headers["Authorization"]
    for headers in (
        *({}, {"X-Sigma-ApiKey": ""}, {"X-Sigma-ApiKey": "nonsense"}, {"X-Sigma-ApiKey": EXAMPLE_KEY[:-1]}, off.headers),
        *({"Authorization": token[:-3]}, {"Authorization": "Basic x"}, {**admin.headers, "X-Sigma-ApiKey": "nonsense"}),
    ):
        here, there = app.test_client().get("/standin/whoami", headers=headers), anonymous.get("/roles", headers=headers)
        assert (here.status_code, here.json) == (there.status_code, there.json)
        assert here.status_code == 401
        assert here.headers["WWW-Authenticate"] == there.headers["WWW-Authenticate"]


def test_asking_changes_nothing_but_the_keys_last_use(app, make_key, editor):
    key = make_key("read")
    before = everything(app)
    for caller in (key, editor):
        assert app.test_client().get("/standin/whoami", headers=caller.headers).status_code == 200
    after = everything(app)
    assert before.pop("ws-demo").pop("api_keys") != after.pop("ws-demo").pop("api_keys")
    assert after == before


def test_a_credential_that_is_removed_while_it_asks_is_refused(app, standin, make, error, monkeypatch):
    workspace, _ = make(keys=[["read"]])
    authenticate = credentials.authenticate

    def remove_after(environ):
        caller = authenticate(environ)
        monkeypatch.undo()
        assert standin("DELETE", f"/workspaces/{workspace['id']}").status_code == 204
        return caller

    replace_everywhere(monkeypatch, credentials, "authenticate", remove_after)
    error(app.test_client().get("/standin/whoami", headers={"X-Sigma-ApiKey": workspace["keys"][0]["rawKey"]}), 401)


def test_whoami_is_there_in_a_deployment(deployment, stranger):
    answer = deployment.test_client().get("/standin/whoami", headers=stranger.headers)
    assert (answer.status_code, answer.json["workspace"]) == (200, {"id": "ws-other", "name": "Other"})
    assert all(route["allowed"] for route in answer.json["routes"])


# -- Workspaces for tests


def test_a_workspace_for_a_test_holds_what_the_demo_holds_at_first(app, admin, make):
    first, spoiled = contents(app, "ws-demo"), [without_times(admin.get(path).json) for path in PATHS]
    spoil(app, admin)
    workspace, ours = make()
    assert [without_times(ours.get(path).json) for path in PATHS] == spoiled
    copied = contents(app, workspace["id"])
    for table in ("users", "api_keys"):
        del first[table], copied[table]
    assert copied == first
    assert all(first.values())


def test_it_is_answered_with_all_it_takes_to_use_it(app, standin):
    answer = standin("POST", "/workspaces", {"content": "demo", "keys": [["update-data", "read", "read"], ["delete-model"]]})
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    workspace = answer.json
    id, keys = workspace["id"], workspace["keys"]
    assert re.fullmatch("ws-[0-9a-f]{16}", id)
    assert list(workspace) == ["id", "name", "admin", "editor", "keys"]
    for who, name in (("admin", "Ada Admin"), ("editor", "Eddie Editor")):
        user = {"id": f"user-{who}", "email": f"{who}@{id}.example", "name": name, "roleId": f"role-{who}"}
        assert workspace[who] == {"token": workspace[who]["token"], "user": user}
        assert signed_in(app, workspace[who]).post("/auth/refresh").json["user"] == user
    assert [list(key) for key in keys] == [["id", "name", "rawKey", "permissions", "createdAt"]] * 2
    assert [key["permissions"] for key in keys] == [["read", "update-data"], ["delete-model"]]
    listed = signed_in(app, workspace["admin"]).get("/api-keys").json
    assert [(key["id"], key["name"], key["permissions"]) for key in listed] == [
        (key["id"], key["name"], key["permissions"]) for key in keys
    ]
    assert with_key(app, keys[0]).get("/records").status_code == 200
    assert with_key(app, keys[1]).get("/records").status_code == 403


def test_an_empty_workspace_has_an_administrator_and_nothing_else(app, make):
    workspace, ours = make(content="empty", keys=[["read"]])
    assert list(workspace) == ["id", "name", "admin", "keys"]
    assert {table: len(rows) for table, rows in contents(app, workspace["id"]).items() if rows} == {
        **{"users": 1, "api_keys": 1, "model_objects": 1}
    }
    (role,) = ours.get("/roles").json
    assert (role["id"], [role[flag] for flag in permissions_module.ROLE_FLAGS]) == ("role-admin", [True] * 6)
    assert ours.post("/dimensions", {"id": "d", "alias": "d", "name": "D", "segments": []}).status_code in (201, 400)
    assert ours.post("/catalogs", {"id": "c", "alias": "c", "name": "C"}).status_code == 201


def test_nobody_signs_in_to_it_by_password(anonymous, make, error):
    workspace, _ = make()
    error(anonymous.post("/auth/login", {"email": workspace["admin"]["user"]["email"], "password": "admin"}), 401)


def test_making_one_takes_no_slow_hash(app, make, monkeypatch):
    def fail(*_):
        raise RuntimeError("a password was hashed")

    replace_everywhere(monkeypatch, users, "generate_password_hash", fail)
    replace_everywhere(monkeypatch, demo_module, "hash_demo_password", fail)
    assert make(keys=[["read"]] * 3)[1].get("/roles").status_code == 200


def test_the_log_takes_nobody_for_the_caller(app, standin, capsys):
    for path in ("/workspaces", "/reset"):
        assert standin("POST", path, {}).status_code < 300
        assert re.search(rf"POST /standin{path} 20[14] .* workspace=- caller=-\n$", capsys.readouterr().err)


def test_it_is_not_listed(anonymous, make):
    make()
    assert [tenant["id"] for tenant in anonymous.get("/auth/tenants").json] == ["ws-demo"]


def test_what_is_done_in_one_is_seen_in_no_other(app, make):
    (one, ours), (two, _) = make(), make()
    before = everything(app)
    spoil(app, ours)
    after = everything(app)
    assert before.pop(one["id"]) != after.pop(one["id"])
    assert after == before
    assert two["id"] in after


def test_a_removed_one_leaves_nothing_behind(app, standin, make, error):
    before = everything(app)
    workspace, ours = make(keys=[["read"]])
    spoil(app, ours)
    answer = standin("DELETE", f"/workspaces/{workspace['id']}")
    assert (answer.status_code, answer.data) == (204, b"")
    assert everything(app) == before
    error(ours.get("/roles"), 401)
    error(with_key(app, workspace["keys"][0]).get("/roles"), 401)
    assert error(standin("DELETE", f"/workspaces/{workspace['id']}"), 404) == f"Workspace '{workspace['id']}' not found"


@pytest.mark.parametrize("id", ["ws-demo", "ws-other", "ws-nowhere", "%"])
def test_no_other_workspace_can_be_removed(app, standin, make, error, id):
    make()
    before = everything(app)
    assert error(standin("DELETE", f"/workspaces/{id}"), 404) == f"Workspace '{id}' not found"
    assert everything(app) == before


CHAINS = (  # longer than SQLite follows a cascade
    """WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)
    INSERT INTO categories (tenant, body) SELECT ?, json_object('id', 'c' || i, 'catalogId', 'cat-webshop', 'alias', 'c',
    'name', 'C', 'sortOrder', 0, 'parentId', CASE i WHEN 1 THEN NULL ELSE 'c' || (i - 1) END) FROM n""",
    """WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)
    INSERT INTO entities (tenant, schema_id, body) SELECT ?, 'schema-apparel', json_object('id', 'v' || i, 'entityId',
    'ent-trail-cap', 'parentId', CASE i WHEN 1 THEN 'ent-trail-cap' ELSE 'v' || (i - 1) END, 'level', i) FROM n""",
)


@pytest.mark.parametrize("tenant", ["ws-demo", "a new one"])
def test_long_chains_of_categories_and_variants_are_no_obstacle(app, standin, make, tenant):
    before = everything(app)
    tenant = make()[0]["id"] if tenant == "a new one" else tenant
    for sql in CHAINS:
        query(app, sql, tenant)
    if tenant == "ws-demo":
        assert standin("POST", "/reset", {}).status_code == 204
    else:
        assert standin("DELETE", f"/workspaces/{tenant}").status_code == 204
    assert everything(app) == before


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({"keys": [[]]}, "keys[0]"),
        ({"keys": [["read"], ["write"]]}, "keys[1][0]"),
        ({"keys": ["read"]}, "keys[0]"),
        ({"keys": [["read"]] * 101}, "keys"),
        ({"content": "full"}, "content"),
        ({"from": "demo"}, "from"),
        ([], "body"),
    ],
    ids=["no permission", "unknown permission", "no list", "too many", "unknown content", "unknown member", "no object"],
)
def test_a_bad_wish_makes_nothing(app, standin, error, body, part):
    before = everything(app)
    assert error(standin("POST", "/workspaces", body), 400).startswith(f"{part}: ")
    assert everything(app) == before


def test_a_workspace_is_made_whole_or_not_at_all(app, standin, error, monkeypatch):
    def fail():
        raise RuntimeError("in the middle")

    before = everything(app)
    with monkeypatch.context() as patch:
        replace_everywhere(patch, credentials, "make_raw_key", fail)
        error(standin("POST", "/workspaces", {"keys": [["read"]]}), 500)
    assert everything(app) == before


def test_what_is_under_way_when_its_workspace_is_removed_is_refused(app, standin, make, error, monkeypatch):
    workspace, ours = make()
    authenticate = credentials.authenticate

    def remove_after(environ):
        caller = authenticate(environ)
        monkeypatch.undo()
        assert standin("DELETE", f"/workspaces/{workspace['id']}").status_code == 204
        return caller

    replace_everywhere(monkeypatch, credentials, "authenticate", remove_after)
    error(ours.post("/roles", {"id": "role-late", "name": "Late"}), 404)


# -- The demo as it was at first


def test_a_reset_brings_the_demo_workspace_back(app, admin, editor, anonymous, standin, make_key, error):
    before, answers = contents(app, "ws-demo"), [without_times(admin.get(path).json) for path in PATHS]
    made = make_key("read")
    example = Caller(app, {"X-Sigma-ApiKey": EXAMPLE_KEY})
    assert example.get("/roles").status_code == 200
    for id in ("apikey-sync-prod", "apikey-export-staging"):
        assert admin.delete(f"/api-keys/{id}").status_code == 200
    spoil(app, admin)
    query(app, "UPDATE users SET role_id = 'role-new' WHERE id = 'user-editor' AND tenant = 'ws-demo'")
    query(app, "UPDATE users SET password_hash = 'scrypt:gone' WHERE tenant = 'ws-demo'")
    answer = standin("POST", "/reset", {})
    assert (answer.status_code, answer.data) == (204, b"")
    assert contents(app, "ws-demo") == before
    assert [without_times(admin.get(path).json) for path in PATHS] == answers
    assert [caller.get("/roles").status_code for caller in (admin, editor, example)] == [200, 200, 200]
    error(made.get("/roles"), 401)
    assert anonymous.post("/auth/login", {"email": "editor@sigma.io", "password": "editor"}).status_code == 200
    assert [tenant["id"] for tenant in anonymous.get("/auth/tenants").json] == ["ws-demo"]


def test_a_reset_leaves_other_workspaces_alone_unless_those_for_tests_are_meant(app, standin, make, admin):
    one, two = make()[0]["id"], make(content="empty")[0]["id"]
    before = everything(app)
    spoil(app, admin)
    assert standin("POST", "/reset", {"removeTestWorkspaces": False}).status_code == 204
    assert everything(app) == before
    assert standin("POST", "/reset", {"removeTestWorkspaces": True}).status_code == 204
    assert everything(app) == {tenant: rows for tenant, rows in before.items() if tenant not in (one, two)}


@pytest.mark.parametrize(
    "body", [{"everything": True}, {"removeTestWorkspaces": 1}, {"removeTestWorkspaces": None}, []], ids=str
)
def test_a_reset_that_asks_for_something_else_does_nothing(app, admin, standin, error, body):
    spoil(app, admin)
    before = everything(app)
    error(standin("POST", "/reset", body), 400)
    assert everything(app) == before


# -- Where they are, and for whom


def test_a_deployment_has_none_of_it(deployment):
    before, client = everything(deployment), deployment.test_client()
    for method, path in HIDDEN:
        for options in ({}, {"json": {}}, {"data": "x"}, {"headers": {"Host": "evil.example", "Origin": "null"}}):
            answer = client.open(f"/standin{path}", method=method, **options)
            unknown = client.open("/standin/nowhere", method=method, **options)
            assert answer.text == unknown.text.replace("/standin/nowhere", f"/standin{path}")
            assert answer.status_code == 404
            assert {
                name: value for name, value in answer.headers.items() if name not in ("X-Request-Id", "Content-Length")
            } == {name: value for name, value in unknown.headers.items() if name not in ("X-Request-Id", "Content-Length")}
    assert everything(deployment) == before


@pytest.mark.parametrize(("method", "path"), HIDDEN)
def test_beside_the_demo_a_wrong_method_is_told_as_everywhere(standin, error, method, path):
    answer = standin("PATCH", path, {})
    error(answer, 405)
    assert answer.headers["Allow"] == method


def test_while_the_database_does_not_answer_nothing_is_said_of_them(standin, error, monkeypatch):
    def fail(*_):
        raise sqlite3.OperationalError("disk I/O error")

    replace_everywhere(monkeypatch, database, "fetch_one", fail)
    for method, path in HIDDEN:
        error(standin(method, path, {}), 503)


@pytest.fixture(scope="module")
def wall(template, tmp_path_factory):
    """The app on a database that the tests of refusals share; one name beside loopback is allowed."""
    path = tmp_path_factory.mktemp("standin") / "wall.db"
    shutil.copy(template, path)
    app = service.create_app({"DATABASE": str(path), "STANDIN_HOSTS": ("pim.test", "[fd00::1]")})
    yield app
    database.close_db()


def test_another_machine_is_let_in_only_where_a_setting_names_this_one(app, wall, error):
    for address in ("192.0.2.7", "2001:db8::7", "10.0.0.5"):
        assert "this machine" in error(reset(app, REMOTE_ADDR=address), 403)
        assert reset(wall, REMOTE_ADDR=address, HTTP_HOST="pim.test").status_code == 204
        error(reset(wall, REMOTE_ADDR=address, HTTP_HOST="another.test"), 403)
    for address in ("127.0.0.1", "::1"):
        assert reset(app, REMOTE_ADDR=address).status_code == 204
        for header in ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_VIA"):
            assert "this machine" in error(reset(app, REMOTE_ADDR=address, **{header: "for=192.0.2.7"}), 403)


def reset(app, path="/standin/reset", method="POST", **environ):
    """Send a request with exactly these headers; None sends none."""
    environ = {"HTTP_HOST": "localhost:8080", "CONTENT_TYPE": "application/json", **environ}
    data = environ.pop("data", b"{}")
    client = app.test_client()
    with client.open(path, method=method, data=data, environ_overrides=environ) as answer:
        return answer


OURS = [
    *("localhost", "localhost:8080", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:65535", "127.1.2.3:80", "[::1]", "[::1]:8080"),
    *("pim.test", "Pim.Test:9000", "[fd00::1]:80"),
]
FOREIGN = [
    *("", "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "evil-localhost"),
    *(
        "localhost@evil.example",
        "user@localhost",
        "user:pass@localhost:8080",
        "evil.example#localhost",
        "evil.example/localhost",
    ),
    *("localhost.", "127.0.0.1.", "pim.test.", "sub.pim.test", "pim.test.evil.example", "localhost localhost"),
    *(
        "localhost:",
        "localhost:8080:8080",
        "localhost:http",
        "localhost:999999",
        "localhost:-1",
        "localhost:+80",
        "localhost:\xb2",
    ),
    *("::1", "[::1", "::1]", "[::1]]", "[::1]8080", "[::1%25lo]", "[::ffff:127.0.0.1]", "[::]", "[localhost]", "[127.0.0.1]"),
    *("0.0.0.0", "127.1", "2130706433", "0x7f.0.0.1", "1127.0.0.1", "192.168.0.1", "localhost, evil.example", "localhost\n"),
]


@pytest.mark.parametrize("host", OURS)
def test_a_host_of_this_machine_is_let_in(wall, host):
    assert reset(wall, HTTP_HOST=host).status_code == 204
    assert reset(wall, HTTP_HOST=host, HTTP_ORIGIN=f"http://{host}", HTTP_SEC_FETCH_SITE="same-origin").status_code == 204


@pytest.mark.parametrize("host", FOREIGN)
def test_a_name_that_may_have_been_led_here_is_refused(wall, error, host):
    """A page of evil.example, whose name suddenly means 127.0.0.1, is of the same origin as what it asks for."""
    for origin in ({}, {"HTTP_ORIGIN": f"http://{host}", "HTTP_SEC_FETCH_SITE": "same-origin"}):
        assert error(reset(wall, HTTP_HOST=host, **origin), 403).startswith("Host: ")


def test_only_what_the_client_sent_as_host_counts(wall, error):
    headers = {"HTTP_X_FORWARDED_HOST": "localhost", "HTTP_FORWARDED": "host=localhost", "SERVER_NAME": "localhost"}
    error(reset(wall, HTTP_HOST="evil.example", **headers), 403)


CROSS_SITE = [
    *({"HTTP_ORIGIN": origin} for origin in ("null", "", "http://evil.example", "https://localhost.evil.example:8080")),
    *({"HTTP_ORIGIN": f"http://{host}"} for host in ("localhost", "localhost:3000", "127.0.0.1:8080", "user@localhost:8080")),
    *({"HTTP_ORIGIN": origin} for origin in ("localhost:8080", "file://", "http://localhost:8080, http://evil.example")),
    *({"HTTP_ORIGIN": origin} for origin in ("http://localhost:8080/", "chrome-extension://localhost:8080")),
    *({"HTTP_SEC_FETCH_SITE": site} for site in ("cross-site", "same-site", "", "none, cross-site", "Same-Origin")),
    {"HTTP_ORIGIN": "http://localhost:8080", "HTTP_SEC_FETCH_SITE": "cross-site"},
    {"HTTP_ORIGIN": "http://evil.example", "HTTP_SEC_FETCH_SITE": "same-origin"},
]


@pytest.mark.parametrize("headers", CROSS_SITE, ids=lambda headers: " ".join(headers.values()) or "empty")
def test_a_web_page_of_another_origin_is_refused(wall, error, headers):
    for method, path in HIDDEN:
        message = error(reset(wall, f"/standin{path}", method, **headers), 403)
        assert re.match("Origin: |Sec-Fetch-Site: ", message)


@pytest.mark.parametrize(
    "type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain; a=application/json"]
)
@pytest.mark.parametrize("data", [b"", b"{}"], ids=["empty", "JSON"])
def test_a_body_that_a_form_can_send_is_refused(wall, error, type, data):
    for path in ("/standin/reset", "/standin/workspaces"):
        error(reset(wall, path, CONTENT_TYPE=type, data=data), 415 if type or data else 400)


def test_the_path_has_one_spelling(wall, admin, error):
    for path in ("//standin/reset", "/standin//reset", "/standin/reset/", "/api/v1/standin/reset", "/api/v1/../standin/reset"):
        error(reset(wall, PATH_INFO=path), 404)
    for path in ("//standin/whoami", "/standin/whoami/", "/api/v1/whoami"):
        answer = wall.test_client().get("/", environ_overrides={"PATH_INFO": path}, headers=admin.headers)
        error(answer, 404)


def test_no_answer_invites_a_page_of_another_origin(wall):
    for path, method in (("/standin/reset", "POST"), ("/standin/reset", "OPTIONS"), ("/standin/whoami", "OPTIONS")):
        answer = reset(wall, path, method, HTTP_ORIGIN="http://localhost:8080")
        assert "access-control" not in str(answer.headers).lower()


# -- The OpenAPI document


@pytest.fixture
def document(app):
    return app.test_client().get("/openapi.json").json


def test_the_document_says_how_each_of_them_is_called_and_refuses(document):
    told = {
        (method, path): (operation["security"], sorted(operation["responses"]))
        for method, path, operation in operations(document, below="/standin")
    }
    common = ["413", "500", "503"]
    assert told == {
        ("GET", "/whoami"): ([{"apiKey": []}, {"session": []}], ["200", "401", *common]),
        ("POST", "/workspaces"): ([], sorted(["201", "400", "403", "404", "415", *common])),
        ("DELETE", "/workspaces/{id}"): ([], sorted(["204", "403", "404", *common])),
        ("POST", "/reset"): ([], sorted(["204", "400", "403", "404", "415", *common])),
    }
    for method, path, operation in operations(document, below="/standin"):
        assert operation["tags"] == ["Stand-in"]
        assert ("demo workspace" in operation["description"]) == (path != "/whoami"), (method, path)
        for _, response in responses(document, operation):
            assert "X-Sigma-Required-Permission" not in response["headers"]


def test_what_the_document_gives_as_examples_is_accepted_and_answered_like_that(document, standin, editor):
    for method, path, operation in operations(document, below="/standin"):
        if method != "DELETE":
            sent = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
            answer = standin(method, path, sent, headers=editor.headers)
            status, announced = success(operation)
            assert answer.status_code == status
            for body in (answer.json, announced["example"]) if announced else ():
                assert problems(document, announced["schema"], body) == []
                assert problems(document, announced["schema"], {**body, "surprise": 1}) != []


def test_bodies_too_large_are_refused_by_each_of_them(document, standin, editor, error):
    for method, path, _ in operations(document, below="/standin"):
        large = {"environ_overrides": {"CONTENT_LENGTH": str(errors.MAX_BODY + 1)}, "content_type": "application/json"}
        error(standin(method, path, headers=editor.headers, **large), 413)


def test_a_limit_of_records_is_for_callers_and_not_for_the_demos_own(app, standin):
    app.config["RECORD_LIMIT"] = 1
    assert standin("POST", "/reset", {}).status_code == 204
    assert standin("POST", "/workspaces", {}).status_code == 201


def test_a_reset_ends_no_session_and_revives_none(app, standin, admin, editor, run, anonymous, error):
    """Sessions that ended by a new password, or with their user, stay ended when the user is there again."""
    live = Caller(app, admin.headers)
    run("users", "password", "editor@sigma.io", stdin="another password\n")
    error(editor.get("/roles"), 401)
    assert standin("POST", "/reset", {}).status_code == 204
    error(editor.get("/roles"), 401)
    assert live.get("/roles").status_code == 200
    again = signed_in(app, anonymous.post("/auth/login", {"email": "editor@sigma.io", "password": "editor"}).json)
    assert again.get("/roles").status_code == 200
    assert run("users", "remove", "editor@sigma.io").exit_code == 0
    error(again.get("/roles"), 401)
    assert standin("POST", "/reset", {}).status_code == 204
    for ended in (editor, again):
        error(ended.get("/roles"), 401)
        error(ended.post("/auth/refresh"), 401)
    assert live.get("/roles").status_code == 200
    new = signed_in(app, anonymous.post("/auth/login", {"email": "editor@sigma.io", "password": "editor"}).json)
    assert new.get("/roles").status_code == 200
