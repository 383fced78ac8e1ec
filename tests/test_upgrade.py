"""A database of an older release: brought forward when the service starts, with all that is in it."""

import gzip
import json
import os
import re
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from conftest import EXAMPLE_KEY, PASSWORD, Caller

import app as service
from sigma import database, settings, upgrades
from sigma.http.stamps import utc_now

# Each made by the release that had this version, through its API: the demo workspace and another, records, variants,
# assignments, history, keys. Each later one is the one before, brought forward, with what happened since: in the second a
# test workspace, in the third the workspace `ws-values`, whose unique values are the same, or were not, by the rules of then,
# in the fourth one more record in it, in the fifth a saved query of `acme`, in the sixth what GOOD_KEY used and lacked,
# in the seventh two faults of GOOD_KEY, one of which has fired twice and is spent, in the eighth an empty test workspace,
# in the ninth a delivery that waits for the paused webhook `wh-old` of `ws-demo`, since then nothing. data/make.py makes
# the next one.
DATA = Path(__file__).parent / "data"
STORED = {version: DATA / f"version-{version}.db.gz" for version in range(1, len(list(DATA.glob("*.db.gz"))) + 1)}
GOOD_KEY = "sigma_sk_live_wzfmx1uhyh94sbo182bvtviqqkb151lctq55"  # of `ws-demo`
DEACTIVATED_KEY = "sigma_sk_live_gsyjpmgcsofsyqzsnoyxbkagfsjwq1rcr036"  # of `ws-demo`
VALUES_KEY = "sigma_sk_live_xeooopl63eoq98m3p3h43341bq1jn0zba5zm"  # of `ws-values`, with all five permissions
WITHOUT_LEDGER = (1, 2, 3, 4, 5)  # the versions that did not record what a key was used for
CLAIMED_ANEW = (1, 2, 3)  # the versions whose unique values are claimed anew, by a function of the service
ROOT = Path(service.__file__).parent


@pytest.fixture(params=STORED)
def old(request, tmp_path):
    """The path of a database as an older release left it."""
    yield unpack(request.param, tmp_path)
    database.close_db()


@pytest.fixture
def values(tmp_path):
    """A caller with the key of `ws-values`, in the database of version 3 after it was brought forward."""
    app = service.create_app({"DATABASE": str(unpack(3, tmp_path))})
    yield Caller(app, {"X-Sigma-ApiKey": VALUES_KEY})
    database.close_db()


def unpack(version, folder):
    path = folder / "old.db"
    path.write_bytes(gzip.decompress(STORED[version].read_bytes()))
    return path


def rows(path, sql):
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def contents(path):
    """Every row of every table by its columns' names, but for what is worked out from the rest."""
    with closing(sqlite3.connect(path)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
        found = {}
        for table in tables:
            cursor = db.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in cursor.description]
            found[table] = [dict(zip(names, row, strict=True)) for row in cursor]
    del found["unique_values"], found["entity_counts"]
    for key in found["api_keys"]:
        key.pop("is_active", None)  # a column until version 10, a view's since
    found["settings"] = [row for row in found["settings"] if row["name"] != "demo_first_state"]
    return found


def words(sql):
    """The words of a statement, in any order: a column that was added later stands behind the others."""
    return sorted(re.findall(r"\w+|[^\w\s,\"]", re.sub("--.*", "", sql or "")))


def shape(path):
    """The tables, columns, indexes, foreign keys, checks, triggers and views of a database."""
    with closing(sqlite3.connect(path)) as db:
        made_by = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name").fetchall()
        columns = {
            table: (
                {column[1:] for column in db.execute(f"PRAGMA table_xinfo({table})")},
                sorted(column[2:] for column in db.execute(f"PRAGMA foreign_key_list({table})")),
                sorted(column[2:] for column in db.execute(f"PRAGMA index_list({table})")),
            )
            for kind, table, *_ in made_by
            if kind == "table"
        }
    return [(kind, name, table, words(sql)) for kind, name, table, sql in made_by], columns


def test_a_database_of_every_older_version_is_stored_here():
    assert list(STORED) == list(upgrades.MIGRATIONS) == list(range(1, database.SCHEMA_VERSION))


def test_an_older_database_becomes_like_a_new_one_and_keeps_every_row(old, tmp_path):
    before = contents(old)
    service.create_app({"DATABASE": str(old)})
    service.create_app({"DATABASE": str(tmp_path / "new.db")})
    assert shape(old) == shape(tmp_path / "new.db")
    assert rows(old, "PRAGMA user_version") == [(upgrades.SCHEMA_VERSION,)]
    assert rows(old, "PRAGMA integrity_check") == [("ok",)]
    assert rows(old, "PRAGMA foreign_key_check") == []
    after = contents(old)
    assert {
        table: [{name: row[name] for name in was} for was, row in zip(before[table], after[table], strict=True)]
        for table in before
    } == before


def test_records_and_variants_are_counted_where_they_stand(old):
    service.create_app({"DATABASE": str(old)})
    counted = rows(old, "SELECT * FROM entity_counts")
    stored = rows(
        old,
        "SELECT tenant, is_variant, schema_id, ifnull(state_id, ''), seq / 4096, count(*) FROM entities GROUP BY 1, 2, 3, 4, 5",
    )
    assert sorted(counted) == sorted(stored)
    assert len(stored) >= 3


def test_unique_texts_stay_claimed_as_they_were(old):
    sql = "SELECT * FROM unique_values WHERE attribute = 'sku' ORDER BY tenant, value"
    before = rows(old, sql)
    service.create_app({"DATABASE": str(old)})
    assert len(before) >= 33
    assert rows(old, sql) == before


def test_an_older_database_is_served_as_if_it_had_been_made_by_this_release(old, error):
    app = service.create_app({"DATABASE": str(old)})
    key, off = Caller(app, {"X-Sigma-ApiKey": GOOD_KEY}), Caller(app, {"X-Sigma-ApiKey": DEACTIVATED_KEY})
    assert key.get("/records?limit=1").json["total"] == 31
    assert key.get("/records/ent-old-3").json["values"]["sku"] == [{"scope": {}, "value": "OL-3"}]
    assert key.get("/records/ent-old-29/audit-log").json["items"][0]["action"] == "delete"
    assert key.get("/variants").json["total"] == 12
    assert "deactivated" in error(off.get("/records"), 401)
    for (category,) in rows(old, "SELECT DISTINCT category_id FROM category_assignments WHERE tenant = 'ws-demo'"):
        page = key.get(f"/categories/{category}/entities").json
        assert page["total"] == len(page["items"]) >= 1
    login = Caller(app).post("/auth/login", {"email": "admin@acme.example", "password": PASSWORD})
    assert login.status_code == 200
    assert Caller(app, {"Authorization": f"Bearer {login.json['token']}"}).get("/attributes/attr-a").json["name"] == "A"


@pytest.mark.parametrize("old", WITHOUT_LEDGER, indirect=True)
def test_of_older_keys_the_ledger_begins_with_the_upgrade_and_claims_nothing_of_the_time_before(old):
    used = rows(old, "SELECT id, last_used_at FROM api_keys ORDER BY seq")
    before = utc_now()
    app = service.create_app({"DATABASE": str(old)})
    assert rows(old, "SELECT id, last_used_at FROM api_keys ORDER BY seq") == used
    assert all(before <= begun <= utc_now() for (begun,) in rows(old, "SELECT ledger_from FROM api_keys"))
    token = Caller(app).post("/auth/login", {"email": "admin@sigma.io", "password": "admin"}).json["token"]

    def ledgers():
        keys = app.test_client().get("/standin/keys", headers={"Authorization": f"Bearer {token}"}).json
        return {key["id"]: (list(key["permissionUse"]), key["unused"], key["refused"], key["lastUsedAt"]) for key in keys}

    assert ledgers()["apikey-sync-prod"] == ([], ["read", "update-data"], {}, "2026-03-08T10:00:12.450Z")
    assert Caller(app, {"X-Sigma-ApiKey": EXAMPLE_KEY}).get("/records").status_code == 200
    assert ledgers()["apikey-sync-prod"][:3] == (["read"], ["update-data"], {})


# Unique values, by the rules of now


def test_of_values_that_have_become_one_the_first_keeps_the_claim_and_every_one_stays(values, error):
    def write(alias, value):
        return values.post("/records", {"schemaId": "schema-v", "values": {alias: [{"scope": {}, "value": value}]}})

    taken = {
        "ent-1": [
            *(("count", 10**23), ("count", 1e23), ("at", "2025-12-31T19:00:00-05:00"), ("at", "2026-01-01")),
            *(("sizes", [1.0, 10**23]), ("times", ["2026-01-01T00:00:00Z", "2026-06-01T12:00:00.50Z"])),
        ],
        "ent-2": [("spec", {"b": [9007199254740993], "a": 1})],
        "ent-3": [("count", 0), ("spec", {"a": 1.0, "b": [9007199254740992]}), ("code", "text")],
        "ent-4": [("count", 99999999999999991611393), ("code", "2026-01-01")],
        "var-1": [("count", 2.0), ("at", "2026-01-02")],
        "var-2": [("count", 2.5)],
    }
    for holder, claimed in taken.items():
        for alias, value in claimed:
            assert error(write(alias, value), 409).endswith(f"is already the value of '{holder}'")
    for alias, value in (("count", 99999999999999991611392), ("code", ""), ("sizes", []), ("at", "2026-01-01T10:00:00Z")):
        assert write(alias, value).status_code == 201


def test_what_older_rules_let_in_can_be_put_back_as_it_is(values):
    items = values.get("/records").json["items"] + values.get("/variants").json["items"]
    assert len(items) == 6
    for item in items:
        path = f"/records/{item['entityId']}/variants/{item['id']}" if "entityId" in item else f"/records/{item['id']}"
        before = values.get(path).data
        assert values.put(path, {"values": item["values"]}).data == before
        assert values.get(path).data == before


def test_an_option_is_claimed_by_its_id_however_it_was_sent(tmp_path, error):
    app = service.create_app({"DATABASE": str(unpack(13, tmp_path))})
    values = Caller(app, {"X-Sigma-ApiKey": VALUES_KEY})

    def write(ink):
        return values.post("/records", {"schemaId": "schema-pens", "values": {"ink": [{"scope": {}, "value": ink}]}})

    for inks, holder in ((("red", "val-red"), "pen-0"), (("blue", "val-blue"), "pen-2"), (("green", "val-green"), "pen-3")):
        for ink in inks:
            assert error(write(ink), 409).endswith(f"'{ink}' is already the value of '{holder}'")
    assert write("black").status_code == 201
    assert values.get("/records/pen-1").json["values"]["ink"] == [{"scope": {}, "value": "val-red"}]
    assert values.delete("/records/pen-0").status_code == 204
    assert write("val-red").status_code == 201  # the second holder never had the claim
    database.close_db()


def test_a_second_holder_of_a_value_loses_nothing_when_it_is_changed_or_deleted(values, error):
    number = {"values": {"count": [{"scope": {}, "value": 7}]}}
    assert values.put("/records/ent-2", number).status_code == 200
    assert "'ent-1'" in error(values.patch("/records/ent-2/values/count", {"value": 10**23}), 409)
    assert values.delete("/records/ent-3").status_code == 204
    assert "'ent-1'" in error(values.patch("/records/ent-4/values/at", {"value": "2026-01-01"}), 409)


# All of it, or nothing


def test_processes_that_start_together_bring_a_database_forward_once(old):
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(database.prepare_database, [str(old)] * 8)) == [None] * 8
    assert rows(old, "PRAGMA user_version") == [(upgrades.SCHEMA_VERSION,)]


def test_a_view_of_the_operators_own_outlives_an_upgrade(old):
    with closing(sqlite3.connect(old)) as db, db:
        db.execute("CREATE VIEW my_records AS SELECT id FROM entities WHERE is_variant = 0")
    before = rows(old, "SELECT * FROM my_records ORDER BY id")
    service.create_app({"DATABASE": str(old)})
    assert before == rows(old, "SELECT * FROM my_records ORDER BY id") != []


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(old, monkeypatch):
    before = old.read_bytes()
    last = max(upgrades.MIGRATIONS)
    monkeypatch.setitem(upgrades.MIGRATIONS, last, upgrades.MIGRATIONS[last] + "\nINSERT INTO no_such_table VALUES (1);")
    with pytest.raises(settings.StartError, match="no_such_table"):
        service.create_app({"DATABASE": str(old)})
    assert old.read_bytes() == before


@pytest.mark.parametrize("old", CLAIMED_ANEW, indirect=True)
def test_without_what_claims_values_nothing_is_brought_forward(old, monkeypatch):
    before = old.read_bytes()
    monkeypatch.delitem(database.SQL_FUNCTIONS, "unique_claims")
    with pytest.raises(settings.StartError, match="unique_claims"):
        service.create_app({"DATABASE": str(old)})
    assert old.read_bytes() == before


def test_a_row_that_refers_to_nothing_keeps_a_database_from_being_brought_forward(old):
    with closing(sqlite3.connect(old)) as db, db:
        db.execute("UPDATE model_references SET target_id = 'attr-gone' WHERE target_kind = 'attribute'")
    before = old.read_bytes()
    with pytest.raises(settings.StartError, match="a row of model_references refers to a row of model_objects"):
        service.create_app({"DATABASE": str(old)})
    assert old.read_bytes() == before


def test_another_programs_database_is_left_as_it_is_whatever_its_version_and_state(tmp_path):
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript("CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (a REFERENCES a); INSERT INTO b VALUES (5)")
        db.execute("PRAGMA user_version = 2")
    before = path.read_bytes()
    with pytest.raises(settings.StartError, match="is a database of another program"):
        service.create_app({"DATABASE": str(path)})
    assert not upgrades.needs_upgrade(str(path))
    assert path.read_bytes() == before


def test_foreign_keys_hold_after_an_upgrade(old):
    with closing(database.connect(str(old))) as db:
        upgrades.migrate(db)
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            db.execute("INSERT INTO audit_log (tenant, record_id, body) VALUES ('ws-none', 'x', '{}')")
        assert db.execute("PRAGMA foreign_keys").fetchone() == (1,)


# What a later release adds


def test_a_key_with_a_permission_of_a_later_release_is_accepted_for_what_is_known_here(app, admin, make_key, error):
    key = make_key("read")
    with closing(sqlite3.connect(app.config["DATABASE"])) as db, db:
        held = json.dumps(["read", "no-such-permission"])
        db.execute("UPDATE api_keys SET permissions = ? WHERE id = ?", (held, key.id))
    assert key.get("/records").status_code == 200
    assert "the key holds: read, no-such-permission" in error(
        key.post("/records", {"schemaId": "schema-apparel", "values": {}}), 403
    )
    listed = {item["id"]: item for item in admin.get("/api-keys").json}
    assert listed[key.id]["permissions"] == ["read", "no-such-permission"]
    assert admin.post(f"/api-keys/{key.id}/deactivate").json["permissions"] == ["read", "no-such-permission"]


LATER = """
import os, sys
from sigma import permissions
permissions.PERMISSIONS["no-such-permission"] = "Invented"

import app as service
from sigma.http.fields import id_field, string_field
from sigma.http.access import requires
from sigma.resources import catalogs
from sigma.resources.model import ModelBody, add_model_routes

class InventedBody(ModelBody):
    "A thing that is invented."

    id = id_field("Its id")
    alias = id_field("Short name")
    name = string_field("Its name")

update, delete = requires("update-model", "canManageSchemas"), requires("delete-model", "canManageSchemas")
add_model_routes(catalogs.blueprint, "no-such-noun", InventedBody, update=update, delete=delete)
sys.path.insert(0, "tests")
from conftest import Caller

app = service.create_app({"DATABASE": sys.argv[1], "REQUEST_LOG": "0"})
assert app.test_cli_runner().invoke(args=["demo"]).exit_code == 0
login = Caller(app).post("/auth/login", {"email": "admin@sigma.io", "password": "admin"}).json
admin = Caller(app, {"Authorization": f"Bearer {login['token']}"})
made = admin.post("/api-keys", {"name": "All six", "permissions": list(permissions.PERMISSIONS)})
assert (made.status_code, made.json["permissions"]) == (201, list(permissions.PERMISSIONS)), made.text
key = Caller(app, {"X-Sigma-ApiKey": made.json["rawKey"]})
asset = {"id": "media-1", "alias": "one", "name": "One"}
for method, path, body, status in (
    ("POST", "/no-such-nouns", asset, 201),
    ("GET", "/no-such-nouns/media-1", None, 200),
    ("PUT", "/no-such-nouns/media-1", {**asset, "name": "First"}, 200),
    ("POST", "/no-such-nouns", {**asset, "id": "media-2"}, 409),
    ("GET", "/no-such-nouns", None, 200),
    ("DELETE", "/no-such-nouns/media-1", None, 204),
    ("GET", "/api-keys", None, 403),
):
    answer = key.request(method, path, json=body)
    assert answer.status_code == status, (method, path, answer.text)
assert admin.get("/api-keys").json[-1]["permissions"] == list(permissions.PERMISSIONS)
document = app.test_client().get("/openapi.json")
assert (document.status_code, "/api/v1/no-such-nouns/{id}" in document.json["paths"]) == (200, True)
print("all of it works")
"""


def test_a_sixth_permission_and_an_eighth_kind_need_nothing_of_the_database(tmp_path):
    arguments = [sys.executable, "-c", LATER, str(tmp_path / "later.db")]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ}, timeout=60)
    assert (done.stdout, done.returncode) == ("all of it works\n", 0), done.stderr


def test_the_demo_stays_as_it_was_stored_until_it_is_reset(old):
    """Then it is that of this release, with both of the documented keys."""
    records = rows(old, "SELECT id, body FROM entities WHERE tenant = 'ws-demo' ORDER BY seq")
    app = service.create_app({"DATABASE": str(old)})
    assert rows(old, "SELECT id, body FROM entities WHERE tenant = 'ws-demo' ORDER BY seq") == records
    others = {name: kept for name, kept in contents(old).items() if name not in ("settings", "login_attempts")}
    assert app.test_client().post("/standin/reset", json={}).status_code == 204
    for raw_key in (EXAMPLE_KEY, EXAMPLE_KEY[:32]):
        page = Caller(app, {"X-Sigma-ApiKey": raw_key}).get("/records?limit=1").json
        assert (page["total"], page["items"][0]["createdAt"]) == (47, "2024-01-15T10:30:00Z")
    for name, kept in others.items():
        theirs = [
            [row for row in found if "ws-demo" not in (row.get("tenant"), row.get("id"))]
            for found in (kept, contents(old)[name])
        ]
        assert theirs[0] == theirs[1], name
