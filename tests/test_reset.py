"""`make reset`: which database is moved away, with what, and beside what it is not."""

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from sigma.cli import reset, running

HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("SELECT * FROM t").fetchall()
print("open", flush=True)
input()
"""


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A database that has been used, with what may stand beside it."""
    path = tmp_path / "acme.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE t (c)")
    for name in ("acme.db.log", "acme.db.before-restore-1", "acme.dbx", "other.db"):
        (tmp_path / name).touch()
    monkeypatch.setenv("SIGMA_DATABASE", str(path))
    return path


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def run(capsys):
    """Run it, and return its exit code, output and error."""
    try:
        reset.main()
    except SystemExit as ended:
        return 1, capsys.readouterr().out, str(ended.code)
    return 0, capsys.readouterr().out, ""


def test_the_database_of_the_setting_goes_with_all_that_belongs_to_it_and_nothing_else(path, capsys):
    code, told, _ = run(capsys)
    (folder,) = path.parent.glob("old-acme.db-*")
    assert (code, told) == (0, f"{path} is now in {folder}; `make run` makes a new one.\n")
    assert names(path.parent) == sorted(["acme.dbx", folder.name, "other.db"])
    assert names(folder) == ["acme.db", "acme.db.before-restore-1", "acme.db.log"]


def test_without_a_database_there_is_nothing_to_reset(path, capsys):
    path.unlink()
    before = names(path.parent)
    assert run(capsys) == (0, f"There is no database at {path}: nothing to reset.\n", "")
    assert names(path.parent) == before


def test_a_database_that_is_served_stays_where_it_is(path, capsys):
    with running.registered(str(path), "http://127.0.0.1:8123"):
        before = names(path.parent)
        code, told, error = run(capsys)
        assert (code, told, names(path.parent)) == (1, "", before)
    assert error.startswith(f"Error: {path} is not moved away, because the service at http://127.0.0.1:8123 (process ")
    assert error.endswith("runs on it: stop it, by Ctrl-C or `make stop`, and run `make reset` again.")
    assert run(capsys)[0] == 0


def test_of_several_services_each_is_named(path, capsys):
    with running.registered(str(path), "http://127.0.0.1:8123"), running.registered(str(path), "http://127.0.0.1:8124"):
        before = names(path.parent)
        code, told, error = run(capsys)
        assert (code, told, names(path.parent)) == (1, "", before)
    assert re.search(r"the service at http://127.0.0.1:8123 \(process \d+\) and the service at http://127.0.0.1:8124 ", error)
    assert error.endswith("run on it: stop them, by Ctrl-C or `make stop`, and run `make reset` again.")


def test_a_database_that_any_process_has_open_stays_where_it_is(path, capsys):
    with subprocess.Popen([sys.executable, "-S", "-c", HOLD, path], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout.readline() == "open\n"
        code, _, error = run(capsys)
        assert (code, path.exists()) == (1, True)
        assert error == f"Error: {path} is not moved away, because a process has it open: end that, and run `make reset` again."
        process.communicate("\n")
    assert run(capsys)[0] == 0
    assert not path.exists()


def test_by_itself_it_is_about_the_database_of_this_folder(path, capsys, monkeypatch):
    monkeypatch.setenv("SIGMA_DATABASE", "")
    monkeypatch.chdir(path.parent)
    Path("sigma.db").touch()
    assert run(capsys)[0] == 0
    assert not Path("sigma.db").exists()
    assert path.exists()
