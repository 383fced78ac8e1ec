"""Workspaces for tests, and the demo workspace as it was at first: POST and DELETE /standin/workspaces, POST /standin/reset."""

import re
import sqlite3
from contextlib import closing

import pytest
from cases import each
from conftest import EXAMPLE_KEY, Caller, replace_everywhere, sql
from nouns import LISTS

from sigma import permissions as permissions_module
from sigma.http import credentials
from sigma.http.waiting import AFTERWARDS, PLACES, LeaveWorker, Places
from sigma.resources import sessions as sessions_module
from sigma.standin import demo as demo_module
from sigma.standin import workspaces as workspaces_module

PATHS = (
    *(f"/{noun}" for noun in LISTS),
    *("/records", "/variants", "/records/ent-coastal-wb/audit-log", "/records/ent-trail-cap/audit-log"),
    *("/records/ent-coastal-wb/variants/var-cw-s-red/resolved", "/records/ent-trail-cap/transitions"),
    *("/records/ent-coastal-wb/categories", "/catalogs/cat-webshop/tree", "/catalogs/cat-marketplace/tree"),
    *("/categories/cat-men-windbreakers/entities", "/categories/cat-accessories/entities"),
)


@pytest.fixture
def make(app, standin):
    """Return a function that makes a workspace for a test, and returns the answer and the workspace's administrator."""

    def make(**body):
        answer = standin("POST", "/workspaces", body)
        assert answer.status_code == 201, answer.json
        return answer.json, signed_in(app, answer.json["admin"])

    return make


def signed_in(app, session):
    return Caller(app, {"Authorization": f"Bearer {session['token']}"})


def with_key(app, key):
    return Caller(app, {"X-Sigma-ApiKey": key["rawKey"]})


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
    """Return what each workspace holds, by table."""
    found = {}
    with closing(sqlite3.connect(app.config["DATABASE"])) as db:
        for tenant, table, rows in read_everything(db):
            found.setdefault(tenant, {})[table] = without_times(rows.fetchall())
    return found


def contents(app, tenant):
    return everything(app)[tenant]


def spoil(app, admin):
    """Change something of every kind in a workspace that holds what the demo does."""
    bodies = {noun: admin.get(f"/{noun}").json for noun in LISTS}
    editor = next(role for role in bodies["roles"] if role["id"] == "role-editor")
    answers = [
        admin.put("/roles/role-editor", {**editor, "canManageRoles": True, "catalogPermissions": []}),
        admin.post("/roles", {"id": "role-new", "name": "New"}),
        admin.put("/dimensions/dim-market", {**bodies["dimensions"][1], "name": "Region"}),
        admin.post("/option-lists/ol-colors/values", {"id": "val-new", "alias": "new", "label": "New"}),
        admin.put(
            "/attributes/attr-size",
            {**next(item for item in bodies["attributes"] if item["id"] == "attr-size"), "name": "How big"},
        ),
        admin.put("/workflows/wf-standard", {**bodies["workflows"][1], "name": "Slow"}),
        admin.put("/schemas/schema-apparel", {**bodies["schemas"][0], "icon": "hat"}),
        admin.delete("/catalogs/cat-webshop"),
        admin.post("/catalogs/cat-marketplace/categories", {"alias": "new", "name": "New"}),
        admin.patch("/records/ent-trail-cap/values/price", {"value": 1}),
        admin.delete("/records/ent-coastal-wb"),
        admin.post("/records", {"schemaId": "schema-apparel", "values": {"sku": [{"scope": {}, "value": "CW-001"}]}}),
        admin.put("/webhooks/wh-sync-notify", {"name": "Off", "url": "http://off.example/", "events": ["variant.created"]}),
        admin.delete("/webhooks/wh-lifecycle-slack"),
    ]
    assert [answer.status_code for answer in answers if answer.status_code >= 400] == []


# Workspaces for tests


def test_a_workspace_for_a_test_holds_what_the_demo_holds_at_first(app, admin, make):
    first, spoiled = contents(app, "ws-demo"), [without_times(admin.get(path).json) for path in PATHS]
    spoil(app, admin)
    workspace, ours = make()
    assert [without_times(ours.get(path).json) for path in PATHS] == spoiled
    copied = contents(app, workspace["id"])
    for table in ("users", "api_keys", "key_faults"):
        del first[table], copied[table]
    assert copied == first
    assert {table for table, rows in first.items() if not rows} == {"deliveries", "delivery_attempts"}


def test_it_is_answered_with_all_it_takes_to_use_it(app, standin):
    answer = standin("POST", "/workspaces", {"content": "demo", "keys": [["update-data", "read", "read"], ["delete-model"]]})
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    workspace = answer.json
    id, keys = workspace["id"], workspace["keys"]
    assert re.fullmatch("ws-[0-9a-f]{16}", id)
    assert list(workspace) == ["id", "name", "admin", "editor", "keys"]
    for who, name in (("admin", "Admin User"), ("editor", "Editor User")):
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
    assert ours.post("/catalogs", {"id": "c", "alias": "c", "name": "C"}).status_code == 201


def test_nobody_signs_in_to_it_by_password(anonymous, make, error):
    workspace, _ = make()
    error(anonymous.post("/auth/login", {"email": workspace["admin"]["user"]["email"], "password": "admin"}), 401)


def test_making_one_takes_no_slow_hash(app, make, monkeypatch):
    def fail(*_):
        raise RuntimeError("a password was hashed")

    replace_everywhere(monkeypatch, sessions_module, "hash_password", fail)
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


@each("id", ["ws-demo", "ws-other", "ws-nowhere", "%"])
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


@each("tenant", ["ws-demo", "a new one"])
def test_long_chains_of_categories_and_variants_are_no_obstacle(app, standin, make, tenant):
    before = everything(app)
    tenant = make()[0]["id"] if tenant == "a new one" else tenant
    for insert in CHAINS:
        sql(app, insert, tenant)
    if tenant == "ws-demo":
        assert standin("POST", "/reset", {}).status_code == 204
    else:
        assert standin("DELETE", f"/workspaces/{tenant}").status_code == 204
    assert everything(app) == before


@each(
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
def test_a_bad_body_makes_no_workspace(app, standin, error, body, part):
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
    error(ours.post("/roles", {"id": "role-late", "name": "Late"}), 401)


# Large ones


def test_contents_that_are_too_large_for_a_seed_are_copied_without_one(app, standin, error, admin, monkeypatch):
    monkeypatch.setattr("sigma.standin.workspaces.MAX_SEED", 10_000)
    assert error(standin("GET", "/workspaces/ws-demo/seed"), 413) == (
        "The contents of this workspace have more than 10000 bytes, too many for a seed;"
        ' POST /standin/workspaces with {"content":"ws-demo"} copies it'
    )
    spoil(app, admin)
    answer = standin("POST", "/workspaces", {"content": "ws-demo"})
    assert answer.status_code == 201
    copied, source = (everything(app)[id] for id in (answer.json["id"], "ws-demo"))
    for rows in (copied, source):
        for table in ("users", "api_keys", "key_faults", "deliveries", "delivery_attempts", "webhooks", "entity_counts"):
            rows.pop(table, None)
    assert copied == source
    assert len(copied["entities"]) > 10
    small = standin("POST", "/workspaces", {"content": "empty"}).json["id"]
    assert standin("GET", f"/workspaces/{small}/seed").status_code == 200


@each("body", [{"content": "ws-demo"}, {"content": {"users": [], "savedQueries": [], "model": []}}, None])
def test_a_workspace_that_takes_long_to_make_or_to_show_is_made_where_it_holds_up_nobody(app, body, monkeypatch):
    def ask(environ):
        client = app.test_client()
        if body is None:
            return client.get("/standin/workspaces/ws-demo/seed", environ_overrides=environ)
        return client.post("/standin/workspaces", json=body, environ_overrides=environ)

    worker = {PLACES: Places(2, 1), AFTERWARDS: []}
    assert ask(worker).status_code in (200, 201)
    monkeypatch.setattr("sigma.standin.workspaces.APART", 1000)
    monkeypatch.setattr("sigma.standin.workspaces.APART_AS_SEED", 20)
    before = sql(app, "SELECT id FROM workspaces")
    with pytest.raises(LeaveWorker):
        ask(worker)
    assert sql(app, "SELECT id FROM workspaces") == before
    assert ask({}).status_code in (200, 201)


# The demo as it was at first


def test_a_reset_brings_the_demo_workspace_back(app, admin, editor, anonymous, standin, make_key, error):
    before, answers = contents(app, "ws-demo"), [without_times(admin.get(path).json) for path in PATHS]
    made = make_key("read")
    example = Caller(app, {"X-Sigma-ApiKey": EXAMPLE_KEY})
    assert example.get("/roles").status_code == 200
    for id in ("apikey-sync-prod", "apikey-export-staging"):
        assert admin.delete(f"/api-keys/{id}").status_code == 200
    spoil(app, admin)
    sql(app, "UPDATE users SET role_id = 'role-new' WHERE id = 'user-editor' AND tenant = 'ws-demo'")
    sql(app, "UPDATE users SET password_hash = 'scrypt:gone' WHERE tenant = 'ws-demo'")
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


@each("body", [{"everything": True}, {"removeTestWorkspaces": 1}, {"removeTestWorkspaces": None}, []], ids=str)
def test_a_reset_that_asks_for_something_else_does_nothing(app, admin, standin, error, body):
    spoil(app, admin)
    before = everything(app)
    error(standin("POST", "/reset", body), 400)
    assert everything(app) == before


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


def test_resets_do_not_move_sessions_into_the_future(app, standin, run, anonymous):
    """Only a user who is new gets a later second from which sessions count."""
    before = sql(app, "SELECT id, sessions_from FROM users WHERE tenant = 'ws-demo'")
    for _ in range(5):
        assert standin("POST", "/reset", {}).status_code == 204
    assert sql(app, "SELECT id, sessions_from FROM users WHERE tenant = 'ws-demo'") == before


def test_a_seed_is_read_before_the_write_lock_is_taken_and_not_where_there_are_too_many(app, standin, monkeypatch, error):
    read, locked = [], []

    def note_lock(seed):
        read.append(seed)
        with closing(sqlite3.connect(app.config["DATABASE"], timeout=0)) as db:
            try:
                db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                locked.append(seed)
        return read_seed(seed)

    read_seed = workspaces_module.read_seed
    monkeypatch.setattr(workspaces_module, "read_seed", note_lock)
    assert standin("POST", "/workspaces", {"content": "empty"}).status_code == 201
    assert (len(read), locked) == (1, [])
    monkeypatch.setattr(workspaces_module, "MAX_WORKSPACES", 1)
    error(standin("POST", "/workspaces", {"content": {}}), 409)
    error(standin("POST", "/workspaces", {"content": "nope"}), 400)
    assert len(read) == 1
