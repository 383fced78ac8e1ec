"""Upgrades in processes of their own: several at once, beside a backup, and one that is killed."""

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from forked import flask
from test_upgrade import CLAIMED_ANEW, ROOT, STORED, contents, old, rows, shape, unpack  # noqa: F401 (old is a fixture)

import app as service
from sigma import database, upgrades


def start(path, before="pass"):
    """Begin to start the service in a process of its own, which runs a statement before."""
    code = f"import app, os; from sigma import database; {before}; app.create_app({{'DATABASE': {str(path)!r}}})"
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def test_processes_of_their_own_that_start_together_find_it_done(tmp_path):
    path = unpack(1, tmp_path)
    processes = [start(path) for _ in range(3)]
    assert [process.communicate(timeout=60) for process in processes] == [(None, "")] * 3
    assert [process.returncode for process in processes] == [0] * 3
    assert rows(path, "PRAGMA user_version") == [(upgrades.SCHEMA_VERSION,)]


@pytest.mark.parametrize("old", [1, max(STORED)], indirect=True)
def test_a_backup_that_is_made_during_an_upgrade_has_all_of_it_and_a_copy_beside_it_none(old, tmp_path, monkeypatch):  # noqa: F811 (the fixture)
    begun, ends, run = threading.Event(), threading.Event(), upgrades._run_migrations

    def run_and_wait(db):
        run(db)
        begun.set()
        assert ends.wait(30)

    monkeypatch.setattr(upgrades, "_run_migrations", run_and_wait)
    version, ids = rows(old, "PRAGMA user_version"), rows(old, "SELECT id FROM entities ORDER BY id")
    beside, made = tmp_path / "beside.db", tmp_path / "made.db"
    with ThreadPoolExecutor(2) as pool:
        upgrade = pool.submit(database.prepare_database, str(old))
        assert begun.wait(30)
        with closing(sqlite3.connect(old)) as source, closing(sqlite3.connect(beside)) as copy:
            source.backup(copy)
        backup = pool.submit(flask, "backup", str(made), SIGMA_DATABASE=str(old))
        time.sleep(0.5)  # in which a backup that waits for nothing would be made
        assert not made.exists()
        ends.set()
        assert upgrade.result() is None
        assert backup.result().returncode == 0, backup.result().stderr
    assert (rows(beside, "PRAGMA user_version"), rows(made, "PRAGMA user_version")) == (version, [(upgrades.SCHEMA_VERSION,)])
    for path in (beside, made):
        assert rows(path, "PRAGMA integrity_check") == [("ok",)]
        assert rows(path, "SELECT id FROM entities ORDER BY id") == ids


@pytest.mark.parametrize("old", CLAIMED_ANEW, indirect=True)
def test_a_process_that_is_killed_in_the_middle_leaves_the_database_as_it_was(old):  # noqa: F811 (the fixture)
    before = contents(old), shape(old), rows(old, "SELECT * FROM unique_values"), rows(old, "PRAGMA user_version")
    kill = "database.SQL_FUNCTIONS['unique_claims'] = lambda *_: os.kill(os.getpid(), 9), True"
    process = start(old, before=kill)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert [file.name for file in old.parent.iterdir() if file.stat().st_size] != ["old.db"]  # it had begun to write
    after = contents(old), shape(old), rows(old, "SELECT * FROM unique_values"), rows(old, "PRAGMA user_version")
    assert after == before
    service.create_app({"DATABASE": str(old)})
    assert rows(old, "PRAGMA user_version") == [(upgrades.SCHEMA_VERSION,)]
