"""The ledger of API keys: when each permission was last used, which one a key lacked, and which it never used."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from cases import each
from conftest import ALL_PERMISSIONS, EXAMPLE_KEY, Caller, replace_everywhere, sql
from test_api_keys import is_now, text_of

import app as service
from sigma import database

RECORD = "/records/ent-coastal-wb"
USES = [  # a call of each kind, with what it takes, and how it is answered to a key that holds that
    ("GET", "/roles", None, "read", 200),
    ("HEAD", "/roles", None, "read", 200),
    ("GET", "/records/nowhere", None, "read", 404),
    ("POST", "/search", {}, "read", 200),
    ("GET", "/records?limit=none", None, "read", 400),
    ("POST", "/records", {}, "update-data", 400),
    ("PATCH", f"{RECORD}/values/size", {"value": "M"}, "update-data", 200),
    ("DELETE", "/records/nowhere", None, "delete-data", 404),
    ("POST", "/categories/cat-men/unassign", {"entityId": "ent-coastal-wb"}, "delete-data", 204),
    ("POST", "/roles", {"id": "role-boss", "name": "Boss", "canManageRoles": True}, "update-model", 403),
    ("PUT", "/dimensions/nowhere", {}, "update-model", 400),
    ("DELETE", "/schemas/schema-apparel", None, "delete-model", 409),
]
LACKS = [(*call, needed) for *call, needed, _ in USES if needed != "read"] + [
    ("GET", "/api-keys", None, "session"),
    ("POST", "/api-keys", {"name": "Mine", "permissions": ["read"]}, "session"),
    ("DELETE", "/catalogs/cat-webshop", None, "session"),
]
PUBLISHED = ["id", "name", "permissions", "active", "createdAt", "lastUsedAt"]


@pytest.fixture
def ledger(app, admin):
    """Return a function that returns the ledger of a key, as those who manage keys see it."""

    def find(id, by=admin):
        answer = app.test_client().get("/standin/keys", headers=by.headers)
        assert answer.status_code == 200, answer.text
        return next((key for key in answer.json if key["id"] == id), None)

    return find


def seconds_ago(seconds):
    return text_of(datetime.now(UTC) - timedelta(seconds=seconds))


def store_use(app, id, uses, last_used_at=None):
    """Set when a key last used each permission, and when it was last used at all."""
    for permission, moment in uses.items():
        statement = "UPDATE api_keys SET permission_use = json_set(permission_use, ?, ?) WHERE id = ?"
        sql(app, statement, f'$."{permission}"', moment, id)
    sql(app, "UPDATE api_keys SET last_used_at = ? WHERE id = ?", last_used_at or max(uses.values()), id)


# What was used


def test_a_new_key_has_used_nothing(ledger, make_key):
    key = make_key("delete-model", "read")
    told = ledger(key.id)
    assert told == {
        **{"id": key.id, "name": "Key 1", "permissions": ["read", "delete-model"], "active": True},
        **{"createdAt": told["createdAt"], "lastUsedAt": None},
        **{"permissionUse": {}, "refused": {}, "unused": ["read", "delete-model"]},
    }
    assert list(told) == [*PUBLISHED, "permissionUse", "refused", "unused"]


@each(("method", "path", "body", "needed", "status"), USES, ids=lambda value: str(value)[:30])
def test_a_call_uses_the_permission_that_it_takes_whatever_the_answer(ledger, key, method, path, body, needed, status):
    before = text_of(datetime.now(UTC))
    assert key.request(method, path, json=body).status_code == status
    told = ledger(key.id)
    assert list(told["permissionUse"]) == [needed]
    assert is_now(told["permissionUse"][needed], before)
    assert told["lastUsedAt"] == told["permissionUse"][needed]
    assert told["unused"] == [permission for permission in ALL_PERMISSIONS if permission != needed]
    assert told["refused"] == {}


def test_each_permission_has_a_time_of_its_own_in_the_published_order(ledger, key):
    moments = {}
    for method, path, body, needed, _ in USES[::-1]:
        key.request(method, path, json=body)
        moments.setdefault(needed, ledger(key.id)["permissionUse"][needed])
    told = ledger(key.id)
    assert list(told["permissionUse"]) == [*ALL_PERMISSIONS]
    assert told["permissionUse"] == moments
    assert sorted(moments.values()) == list(moments.values())
    assert told["lastUsedAt"] == max(moments.values())
    assert told["unused"] == []


@each("path", ["/healthz", "/auth/tenants", "/nowhere"])
def test_where_nobody_looks_at_the_key_nothing_is_used(ledger, key, path):
    key.get(path)
    key.request("DELETE", "/records")
    told = ledger(key.id)
    assert (told["permissionUse"], told["refused"], told["lastUsedAt"]) == ({}, {}, None)


def test_a_use_within_a_second_of_the_last_is_not_written(app, ledger, key):
    lately = seconds_ago(0.3)
    store_use(app, key.id, {"read": lately})
    for _ in range(3):
        assert key.get("/roles").status_code == 200
    assert ledger(key.id)["permissionUse"] == {"read": lately}
    assert ledger(key.id)["lastUsedAt"] == lately


def test_the_first_use_of_another_permission_is_written_at_once(app, ledger, key):
    lately = seconds_ago(0.3)
    store_use(app, key.id, {"read": lately})
    assert key.delete("/records/nowhere").status_code == 404
    told = ledger(key.id)
    assert told["permissionUse"]["read"] == lately < told["permissionUse"]["delete-data"] == told["lastUsedAt"]


def test_a_use_after_a_second_is_written_for_that_permission_alone(app, ledger, key):
    long_ago, then = seconds_ago(40 * 86400), seconds_ago(1.1)
    store_use(app, key.id, {"read": then, "update-data": long_ago})
    before = text_of(datetime.now(UTC))
    assert key.get("/roles").status_code == 200
    told = ledger(key.id)["permissionUse"]
    assert is_now(told["read"], before)
    assert told["update-data"] == long_ago


@each("ahead", [3600, 366 * 86400], ids=["an hour", "a year"])
def test_a_clock_that_is_set_back_keeps_no_use_and_no_refusal_from_being_recorded(app, ledger, make_key, ahead):
    reader, later, before = make_key("read", "update-data"), seconds_ago(-ahead), text_of(datetime.now(UTC))
    store_use(app, reader.id, {"read": later})
    sql(app, "UPDATE api_keys SET refused = json_object('delete-data', json_object('count', 1, 'lastAt', ?))", later)
    for method, path in (("GET", "/roles"), ("POST", "/records"), ("DELETE", RECORD)):
        reader.request(method, path)
    told = ledger(reader.id)
    times = [told["lastUsedAt"], *told["permissionUse"].values(), told["refused"]["delete-data"]["lastAt"]]
    assert (len(times), told["refused"]["delete-data"]["count"]) == (4, 2)
    assert all(is_now(time, before) for time in times)


def test_of_two_processes_the_later_time_stays(app, ledger, make_key):
    reader, later = make_key("read", "update-data"), seconds_ago(-0.9)
    store_use(app, reader.id, {"read": later})
    sql(app, "UPDATE api_keys SET refused = json_object('delete-data', json_object('count', 1, 'lastAt', ?))", later)
    for method, path in (("GET", "/roles"), ("POST", "/records"), ("DELETE", RECORD)):
        reader.request(method, path)
    told = ledger(reader.id)
    assert (told["lastUsedAt"], told["permissionUse"]["read"]) == (later, later)
    assert is_now(told["permissionUse"]["update-data"])
    assert told["refused"] == {"delete-data": {"count": 2, "lastAt": later}}


def test_a_key_in_constant_use_costs_no_statement_more_than_its_look_up(app, key):
    assert key.get(RECORD).status_code == 200
    statements = []
    with app.app_context():
        database.get_db().set_trace_callback(statements.append)
    assert key.get(RECORD).status_code == 200
    assert [statement.split()[0] for statement in statements] == ["SELECT", "SELECT"]
    assert ["FROM known_keys" in statement for statement in statements] == [True, False]


# What was lacked


@each(("method", "path", "body", "needed"), LACKS, ids=lambda value: str(value)[:30])
def test_a_refusal_counts_for_what_was_lacked_and_is_no_use(ledger, stored, make_key, method, path, body, needed):
    reader, before = make_key("read"), text_of(datetime.now(UTC))
    rows = stored()
    for _ in range(3):
        assert reader.request(method, path, json=body).status_code == 403
    told = ledger(reader.id)
    assert told["refused"] == {needed: {"count": 3, "lastAt": told["lastUsedAt"]}}
    assert is_now(told["lastUsedAt"], before)
    assert (told["permissionUse"], told["unused"]) == ({}, ["read"])
    assert stored() == rows


def test_refusals_are_counted_apart_in_the_published_order_with_sessions_last(ledger, make_key):
    reader = make_key("read")
    for times, (method, path) in enumerate(
        [("POST", "/api-keys"), ("POST", "/roles"), ("DELETE", RECORD), ("DELETE", "/roles/role-editor")], 1
    ):
        for _ in range(times):
            assert reader.request(method, path).status_code == 403
    told = ledger(reader.id)["refused"]
    assert [(name, entry["count"]) for name, entry in told.items()] == [
        *(("delete-data", 3), ("update-model", 2), ("delete-model", 4), ("session", 1)),
    ]
    assert told["session"]["lastAt"] <= told["update-model"]["lastAt"] <= told["delete-data"]["lastAt"]
    assert all(list(entry) == ["count", "lastAt"] for entry in told.values())


def test_what_is_refused_for_another_reason_is_a_use(ledger, key, admin, error):
    workflow = admin.get("/workflows/wf-standard").json
    for state in workflow["states"]:
        state["readOnly"] = ["size"]
    assert admin.put("/workflows/wf-standard", workflow).status_code == 200
    error(key.patch(f"{RECORD}/values/size", {"value": "XL"}), 403)
    told = ledger(key.id)
    assert (list(told["permissionUse"]), told["refused"]) == (["update-data"], {})


def test_a_deactivated_key_is_not_recorded_and_keeps_its_ledger(ledger, make_key, admin):
    reader = make_key("read", "update-data")
    reader.get("/roles")
    reader.delete(RECORD)
    before = ledger(reader.id)
    deactivated = admin.post(f"/api-keys/{reader.id}/deactivate").json["deactivatedAt"]
    for method, path in (("GET", "/roles"), ("POST", "/records"), ("DELETE", RECORD)):
        assert reader.request(method, path).status_code == 401
    assert ledger(reader.id) == {**before, "active": False, "deactivatedAt": deactivated}


def test_a_deleted_key_has_no_ledger_any_more(app, ledger, make_key, admin):
    reader = make_key("read")
    reader.delete(RECORD)
    assert admin.delete(f"/api-keys/{reader.id}").status_code == 200
    assert reader.delete(RECORD).status_code == 401
    assert ledger(reader.id) is None
    assert sql(app, "SELECT count(*) FROM api_keys WHERE refused <> '{}'") == [(0,)]


def test_eight_clients_of_two_apps_on_one_file_are_counted_exactly(app, ledger, make_key):
    reader = make_key("read")
    apps = [app, service.create_app({"DATABASE": app.config["DATABASE"], "REQUEST_LOG": False})]

    def try_often(number):
        caller = Caller(apps[number % 2], reader.headers)
        statuses = {caller.delete(RECORD).status_code for _ in range(25)}
        statuses |= {caller.get("/roles").status_code for _ in range(5)}
        database.close_db()
        return statuses

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(try_often, range(8))) == [{403, 200}] * 8
    told = ledger(reader.id)
    assert told["refused"]["delete-data"]["count"] == 200
    assert is_now(told["permissionUse"]["read"])
    assert told["lastUsedAt"] == max(told["permissionUse"]["read"], told["refused"]["delete-data"]["lastAt"])


@each(("method", "status"), [("GET", 200), ("DELETE", 403)])
def test_that_a_ledger_cannot_be_written_is_logged_and_changes_no_answer(
    app, ledger, make_key, monkeypatch, capsys, method, status
):
    reader = make_key("read")
    database.close_db()
    replace_everywhere(monkeypatch, database, "BUSY_TIMEOUT", 0.1)
    with closing(sqlite3.connect(app.config["DATABASE"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert reader.request(method, RECORD).status_code == status
        other.execute("ROLLBACK")
    assert f"The use of API key {reader.id} was not recorded: database is locked" in capsys.readouterr().err
    told = ledger(reader.id)
    assert (told["permissionUse"], told["refused"], told["lastUsedAt"]) == ({}, {}, None)
    with app.app_context():
        assert database.fetch_one("PRAGMA synchronous") == (2,)  # FULL, for what comes after
        assert database.fetch_one("PRAGMA busy_timeout") == (100,)


def test_every_write_after_a_refusal_waits_for_the_disk_again(app, make_key):
    reader = make_key("read")
    for _ in range(2):
        assert reader.delete(RECORD).status_code == 403
        with app.app_context():
            assert database.fetch_one("PRAGMA synchronous") == (2,)


# Who sees it


def test_a_key_is_told_its_own_ledger(standin, make_key):
    reader, other = make_key("read", "update-data"), make_key("read")
    reader.get("/roles")
    reader.delete(RECORD)
    other.get("/roles")
    told = standin("GET", "/whoami", headers=reader.headers).json["key"]
    assert list(told) == ["id", "name", "permissions", "permissionUse", "refused", "unused"]
    assert told["id"] == reader.id
    assert list(told["permissionUse"]) == ["read"]
    assert is_now(told["permissionUse"]["read"])
    assert told["refused"] == {"delete-data": {"count": 1, "lastAt": told["refused"]["delete-data"]["lastAt"]}}
    assert told["unused"] == ["update-data"]


def test_asking_whose_key_it_is_uses_no_permission(ledger, standin, key):
    assert standin("GET", "/whoami", headers=key.headers).status_code == 200
    told = ledger(key.id)
    assert is_now(told["lastUsedAt"])
    assert (told["permissionUse"], told["refused"]) == ({}, {})
    first = told["lastUsedAt"]
    standin("GET", "/whoami", headers=key.headers)
    assert ledger(key.id)["lastUsedAt"] == first


def test_the_published_list_has_no_more_members_than_published(standin, admin, make_key):
    reader = make_key("read")
    reader.get("/roles")
    reader.delete(RECORD)
    listed = admin.get("/api-keys").json
    assert [list(key) for key in listed] == [PUBLISHED] * 3
    with_ledgers = standin("GET", "/keys", headers=admin.headers).json
    assert [{name: key[name] for name in PUBLISHED} for key in with_ledgers] == listed


def test_only_those_who_manage_keys_see_the_ledgers_and_only_of_their_own_workspace(
    standin, error, key, editor, admin, stranger, make_key
):
    theirs = make_key("read", by=stranger)
    message = error(standin("GET", "/keys", headers=key.headers), 403)
    assert "signed-in user" in message
    assert "canManageRoles" in error(standin("GET", "/keys", headers=editor.headers), 403)
    error(standin("GET", "/keys"), 401)
    ours = [entry["id"] for entry in standin("GET", "/keys", headers=admin.headers).json]
    assert ours == ["apikey-sync-prod", "apikey-export-staging", key.id]
    assert [entry["id"] for entry in standin("GET", "/keys", headers=stranger.headers).json] == [theirs.id]


def test_keys_with_one_id_in_two_workspaces_have_ledgers_of_their_own(app, ledger, admin, stranger, make_key):
    ours, theirs = make_key("read"), make_key("read", by=stranger)
    sql(app, "UPDATE api_keys SET id = ? WHERE id = ?", ours.id, theirs.id)
    theirs.get("/roles")
    theirs.delete("/roles/role-nobody")
    assert (ledger(ours.id)["permissionUse"], ledger(ours.id)["refused"]) == ({}, {})
    told = ledger(ours.id, by=stranger)
    assert (list(told["permissionUse"]), told["refused"]["delete-model"]["count"]) == (["read"], 1)
    ours.delete(RECORD)
    assert ledger(ours.id)["refused"]["delete-data"]["count"] == 1
    assert ledger(ours.id, by=stranger) == told


def test_a_deployment_has_it(deployment, stranger, make_key, ledger):
    key = make_key("read", by=stranger)
    key.delete("/roles/role-nobody")
    told = ledger(key.id, by=stranger)
    assert (told["refused"]["delete-model"]["count"], told["unused"]) == (1, ["read"])


# Where it is kept


def test_it_survives_a_restart(app, ledger, make_key, admin):
    reader = make_key("read")
    reader.get("/roles")
    reader.delete(RECORD)
    before = ledger(reader.id)
    database.close_db()
    again = service.create_app({"DATABASE": app.config["DATABASE"], "REQUEST_LOG": False})
    keys = again.test_client().get("/standin/keys", headers=admin.headers).json
    assert keys[-1] == before


def test_a_backup_keeps_it_and_a_restore_brings_it_back(run, ledger, make_key, tmp_path):
    reader, copy = make_key("read"), str(tmp_path / "copy.db")
    reader.get("/roles")
    reader.delete(RECORD)
    before = ledger(reader.id)
    assert run("backup", copy).exit_code == 0
    reader.delete(RECORD)
    assert ledger(reader.id)["refused"]["delete-data"]["count"] == 2
    assert run("restore", copy, "--yes").exit_code == 0
    assert ledger(reader.id) == before


def test_the_demos_keys_are_as_at_first_after_a_reset(ledger, standin, anonymous):
    first = ledger("apikey-sync-prod")
    assert first["permissionUse"] == {"read": "2026-03-08T10:00:11.200Z", "update-data": "2026-03-08T10:00:12.450Z"}
    assert first["lastUsedAt"] == "2026-03-08T10:00:12.450Z"
    assert (first["refused"], first["unused"]) == ({}, [])
    for method in ("GET", "DELETE"):
        anonymous.request(method, RECORD, headers={"X-Sigma-ApiKey": EXAMPLE_KEY})
    used = ledger("apikey-sync-prod")
    assert is_now(used["permissionUse"]["read"])
    assert used["refused"]["delete-data"]["count"] == 1
    assert standin("POST", "/reset", {}).status_code == 204
    assert ledger("apikey-sync-prod") == first


def test_keys_of_test_workspaces_begin_with_an_empty_ledger(app, standin, ledger):
    made = standin("POST", "/workspaces", {"keys": [["read"]]}).json
    (key,), admin = made["keys"], Caller(app, {"Authorization": f"Bearer {made['admin']['token']}"})
    told = ledger(key["id"], by=admin)
    assert (told["permissionUse"], told["refused"], told["unused"]) == ({}, {}, ["read"])


@each("column", ["permission_use", "refused"])
@each("value", ["", "[]", "null", '"read"', None, '{"read"'])
def test_the_database_takes_nothing_but_an_object_for_a_ledger(app, column, value):
    with pytest.raises((sqlite3.IntegrityError, sqlite3.OperationalError)):
        sql(app, f"UPDATE api_keys SET {column} = ?", value)
