"""Commands beside a running service: backup and restore while writers write, kill -9 of a restore, a huge workspace deleted."""

import itertools
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from processes import EXAMPLE_KEY, ROOT, serving

from sigma import database as database_module

WRITERS = 4
KEY = {"X-Sigma-ApiKey": EXAMPLE_KEY}


@pytest.fixture
def database(app):
    return app.config["DATABASE"]


@pytest.fixture
def headers(app, tokens):
    return {"Authorization": f"Bearer {tokens['admin@sigma.io']}"}


def command(database, *arguments):
    """Start one of the commands, as a process of its own."""
    arguments = [sys.executable, "-m", "flask", "--app", "app", *arguments]
    environment = {**os.environ, "SIGMA_DATABASE": str(database)}
    return subprocess.Popen(arguments, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(database, *arguments):
    """Run one of the commands, and answer what it says to programs."""
    process = command(database, *arguments, "--json")
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return json.loads(output)


def rows(path, sql):
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def records(path):
    """Check that a database is whole, and answer the ids of its records."""
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    assert rows(path, "PRAGMA foreign_key_check") == []
    ids = {id for (id,) in rows(path, "SELECT id FROM entities WHERE is_variant = 0")}
    assert rows(path, "SELECT ifnull(sum(total), 0) FROM entity_counts WHERE is_variant = 0") == [(len(ids),)]
    return ids


class Writer(threading.Thread):
    """Makes one record after another, and remembers when each was sent and when it was acknowledged."""

    def __init__(self, server, headers, name):
        super().__init__()
        self.server, self.headers, self.prefix = server, headers, name
        self.sent, self.acknowledged, self.stopped, self.problem = {}, {}, threading.Event(), None

    def run(self):
        values = {"size": [{"scope": {}, "value": "S"}]}
        for number in itertools.count():
            if self.stopped.is_set():
                return
            id = f"{self.prefix}-{number}"
            self.sent[id] = time.monotonic()
            body = {"id": id, "schemaId": "schema-apparel", "values": values}
            status, answer = self.server.request("POST", "/records", self.headers, body)
            if status == 201:
                self.acknowledged[id] = time.monotonic()
            elif status != 503:  # that the database is busy may be said, and then nothing was promised
                self.problem = answer
                return


@contextmanager
def writing(server, headers):
    """Write from several threads; answer them, and a function that waits until so many more writes were acknowledged."""
    writers = [Writer(server, headers, f"w{number}") for number in range(WRITERS)]

    def count():
        return sum(len(writer.acknowledged) for writer in writers)

    def wait_for(more):
        enough, until = count() + more, time.monotonic() + 60
        while count() < enough:
            assert time.monotonic() < until, [writer.problem for writer in writers]
            time.sleep(0.01)

    for writer in writers:
        writer.start()
    try:
        yield writers, wait_for
    finally:
        for writer in writers:
            writer.stopped.set()
        for writer in writers:
            writer.join(30)
    assert [writer.problem for writer in writers] == [None] * WRITERS


def ids(writers, name, before=float("inf"), after=0):
    """Return the ids of the records that were sent, or acknowledged, before or after a moment."""
    return {id for writer in writers for id, moment in getattr(writer, name).items() if after < moment < before}


def test_a_backup_taken_while_writers_write_has_all_that_was_acknowledged_before_and_is_restored_whole(
    database, headers, tmp_path
):
    copy = tmp_path / "copy.db"
    demo = records(database)
    with serving(database) as server:
        with writing(server, headers) as (writers, wait_for):
            wait_for(50)
            begun = time.monotonic()
            told = run(database, "backup", str(copy))
            ended = time.monotonic()
            wait_for(50)
        held = records(copy)
        assert ids(writers, "acknowledged", before=begun) | demo <= held <= ids(writers, "sent", before=ended) | demo
        assert told == {"file": str(copy), "bytes": copy.stat().st_size, "workspaces": 2, "records": len(held)}
        restored = run(database, "restore", str(copy), "--yes")
        assert restored["records"] == len(held)
        assert server.request("GET", "/records?limit=1", headers)[1]["total"] == len(held)
        for id in ids(writers, "acknowledged"):
            assert server.request("GET", f"/records/{id}", headers)[0] == (200 if id in held else 404)
        status, _ = server.request("POST", "/records", headers, {"id": "after", "schemaId": "schema-apparel", "values": {}})
        assert status == 201
    assert records(database) == held | {"after"}
    assert ids(writers, "acknowledged") <= records(restored["kept"])


def test_a_restore_while_writers_write_loses_nothing_that_was_acknowledged(database, headers, tmp_path):
    copy = tmp_path / "copy.db"
    run(database, "backup", str(copy))
    with serving(database) as server:
        assert server.request("POST", "/api-keys/apikey-sync-prod/deactivate", headers)[0] == 200
        assert server.request("GET", "/records", KEY)[0] == 401
        with writing(server, headers) as (writers, wait_for):
            wait_for(50)
            begun = time.monotonic()
            told = run(database, "restore", str(copy), "--yes")
            ended = time.monotonic()
            assert server.request("GET", "/records", KEY)[0] == 200
            wait_for(50)
    replaced, live, acknowledged = records(told["kept"]), records(database), ids(writers, "acknowledged")
    assert [key["id"] for key in told["keysAcceptedAgain"]] == ["apikey-sync-prod"]
    assert acknowledged <= replaced | live
    assert not replaced & live & acknowledged
    assert ids(writers, "acknowledged", before=begun) <= replaced
    assert ids(writers, "sent", after=ended) & acknowledged <= live


def fill(database, count):
    """Give the demo workspace records, chains of 500 variants and a chain of 500 categories."""
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        one = "SELECT body FROM {} WHERE tenant = 'ws-demo' AND id = '{}'"
        record, variant, category = (
            json.loads(db.execute(one.format(*which)).fetchone()[0])
            for which in (("entities", "ent-coastal-wb"), ("entities", "var-cw-s"), ("categories", "cat-accessories"))
        )
        entity = "INSERT INTO entities (tenant, schema_id, body) VALUES ('ws-demo', 'schema-apparel', ?)"
        db.execute("BEGIN")
        for number in range(count):
            id = f"big-{number}"
            db.execute(entity, (json.dumps({**record, "id": id}),))
            assignment = (
                "INSERT INTO category_assignments (tenant, category_id, record_id) VALUES ('ws-demo', 'cat-accessories', ?)"
            )
            db.execute(assignment, (id,))
            db.execute("INSERT INTO unique_values VALUES ('ws-demo', 'ean', '{}', ?, ?)", (f'"{number}"', id))
        for number in range(count // 1000):
            parent = f"big-{number}"
            for level in range(1, 501):
                link = {"id": f"v-{number}-{level}", "entityId": f"big-{number}", "parentId": parent, "level": level}
                db.execute(entity, (json.dumps({**variant, **link}),))
                parent = link["id"]
        parent = category["id"]
        for level in range(500):
            link = {"id": f"deep-{level}", "alias": f"deep-{level}", "parentId": parent}
            db.execute("INSERT INTO categories (tenant, body) VALUES ('ws-demo', ?)", (json.dumps({**category, **link}),))
            parent = link["id"]
        db.execute("COMMIT")


@contextmanager
def restoring(database, copy):
    """Start a restore, wait until it works on its files, and clear away what it leaves when it is killed."""
    folder, process = Path(database).parent, command(database, "restore", str(copy), "--yes")
    while not list(folder.glob("sigma.db.part-*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.001)
    yield process
    process.kill()
    process.communicate()
    for left in folder.glob("sigma.db.part-*"):
        shutil.rmtree(left)


def test_after_kill_9_in_a_restore_the_database_is_the_old_one_or_the_new_one(database, tmp_path):
    copy, chance, killed = tmp_path / "copy.db", random.Random(9), 0
    fill(database, 5000)
    run(database, "backup", str(copy))
    new = records(copy)
    with restoring(database, copy) as process:
        begun = time.monotonic()
        process.wait()
        usual = time.monotonic() - begun
    for _ in range(20):
        with closing(database_module.connect(database)) as db:
            db.execute("DELETE FROM entities WHERE id = 'big-4999'")
        with restoring(database, copy) as process:
            time.sleep(chance.uniform(0, 1) * usual)  # the moment of the blow is the point
            killed += process.poll() is None
        assert records(database) in (new, new - {"big-4999"})
    assert killed > 5
    run(database, "restore", str(copy), "--yes")
    assert records(database) == new


def test_a_huge_workspace_with_long_chains_is_deleted_at_once_while_another_is_served(database, tokens):
    fill(database, 20_000)
    other = {"Authorization": f"Bearer {tokens['admin@other.example']}"}
    with serving(database) as server:
        process, statuses = command(database, "workspace", "delete", "ws-demo", "--yes"), set()
        while process.poll() is None:
            statuses.add(server.request("GET", "/roles", other)[0])
            statuses.add(server.request("GET", "/records?limit=1", KEY)[0])
        assert process.communicate() == ("Workspace 'ws-demo' deleted.\n", f"Database: {database}\n")
        assert process.returncode == 0
        assert statuses <= {200, 401}
        assert server.request("GET", "/records?limit=1", KEY)[0] == 401
        role = {"id": "role-next", "name": "Next"}
        assert server.request("POST", "/roles", other, role)[0] == 201
    assert records(database) == set()
    with closing(sqlite3.connect(database)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        left = {name for name in tables if any("ws-demo" in row for row in db.execute(f"SELECT * FROM {name}"))}
    assert left == set()
