"""A database of an older release: brought forward when the service starts, with all that is in it."""

import gzip
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Caller

import app as service
from sigma import database, settings

# Each made by the release that had this version, through its API: the demo workspace and another, records, variants,
# assignments, history, keys; the second is the first one, brought forward, with a test workspace and what happened since.
# The raw keys are those of the other workspace's two keys, of which the second is deactivated.
STORED = {version: Path(__file__).parent / "data" / f"version-{version}.db.gz" for version in (1, 2)}
GOOD_KEY = "sigma_sk_live_wzfmx1uhyh94sbo182bvtviqqkb151lctq55"
DEACTIVATED_KEY = "sigma_sk_live_gsyjpmgcsofsyqzsnoyxbkagfsjwq1rcr036"


@pytest.fixture(params=STORED)
def old(request, tmp_path):
    """The path of a database as an older release left it."""
    path = tmp_path / "old.db"
    path.write_bytes(gzip.decompress(STORED[request.param].read_bytes()))
    yield path
    database.close_db()


def rows(path, sql):
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def contents(path):
    """Every row of every table by its columns' names, but for the columns that came later and what counts as it goes."""
    with closing(sqlite3.connect(path)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
        found = {}
        for table in tables:
            cursor = db.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in cursor.description]
            found[table] = [dict(zip(names, row, strict=True)) for row in cursor]
    return found


def shape(path):
    """The tables, columns, indexes, foreign keys and triggers of a database."""
    with closing(sqlite3.connect(path)) as db:
        names = db.execute("SELECT type, name, tbl_name FROM sqlite_schema ORDER BY type, name").fetchall()
        columns = {
            table: (
                {column[1:] for column in db.execute(f"PRAGMA table_xinfo({table})")},
                sorted(column[2:] for column in db.execute(f"PRAGMA foreign_key_list({table})")),
                sorted(column[2:] for column in db.execute(f"PRAGMA index_list({table})")),
            )
            for kind, table, _ in names
            if kind == "table"
        }
        made_by = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
        triggers = {name: " ".join(sql.split()) for name, sql in made_by}
    return names, columns, triggers


def test_a_database_of_every_older_version_is_stored_here():
    assert list(STORED) == list(database.MIGRATIONS) == list(range(1, database.SCHEMA_VERSION))


def test_an_older_database_becomes_like_a_new_one_and_keeps_every_row(old, tmp_path):
    before = contents(old)
    service.create_app({"DATABASE": str(old)})
    service.create_app({"DATABASE": str(tmp_path / "new.db")})
    assert shape(old) == shape(tmp_path / "new.db")
    assert rows(old, "PRAGMA user_version") == [(database.SCHEMA_VERSION,)]
    assert rows(old, "PRAGMA integrity_check") == [("ok",)]
    assert rows(old, "PRAGMA foreign_key_check") == []
    after = contents(old)
    assert {
        table: [{name: row[name] for name in was} for was, row in zip(before[table], after[table], strict=True)]
        for table in before
    } == before


def test_an_older_database_is_served_as_if_it_had_been_made_by_this_release(old, error):
    app = service.create_app({"DATABASE": str(old)})
    key, off = Caller(app, {"X-Sigma-ApiKey": GOOD_KEY}), Caller(app, {"X-Sigma-ApiKey": DEACTIVATED_KEY})
    assert key.get("/records?limit=1").json["total"] == 31
    assert key.get("/records/ent-old-3").json["values"]["sku"] == [{"scope": {}, "value": "OL-3"}]
    assert key.get("/records/ent-old-29/audit-log").json["items"][0]["action"] == "delete"
    assert key.get("/variants").json["total"] == 12
    assert "deactivated" in error(off.get("/records"), 401)
    for category, _ in rows(old, "SELECT DISTINCT category_id, tenant FROM category_assignments"):
        page = key.get(f"/categories/{category}/entities").json
        assert page["total"] == len(page["items"]) >= 1
    login = Caller(app).post("/auth/login", {"email": "admin@acme.example", "password": "correct horse battery staple"})
    assert login.status_code == 200
    assert Caller(app, {"Authorization": f"Bearer {login.json['token']}"}).get("/attributes/attr-a").json["name"] == "A"


def test_processes_that_start_together_bring_a_database_forward_once(old):
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(database.prepare_database, [str(old)] * 8)) == [None] * 8
    assert rows(old, "PRAGMA user_version") == [(database.SCHEMA_VERSION,)]


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(old, monkeypatch):
    before = old.read_bytes()
    last = max(database.MIGRATIONS)
    monkeypatch.setitem(database.MIGRATIONS, last, database.MIGRATIONS[last] + "; INSERT INTO no_such_table VALUES (1);")
    with pytest.raises(settings.StartError, match="no_such_table"):
        service.create_app({"DATABASE": str(old)})
    assert old.read_bytes() == before
