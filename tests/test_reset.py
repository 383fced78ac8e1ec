"""`make reset`: which database is moved away, with what, and beside what it is not."""

import io
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from sigma.cli import reset, running
from sigma.database import connect
from sigma.upgrades import APPLICATION_ID, make_tables

HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("SELECT * FROM workspaces").fetchall()
print("open", flush=True)
input()
"""


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A database that has been used, with what may stand beside it."""
    path = tmp_path / "acme.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("CREATE TABLE workspaces (id, is_demo, is_disposable)")
        db.execute("INSERT INTO workspaces VALUES ('ws-demo', 1, 0), ('ws-test', 0, 1)")
        db.commit()
        db.execute("PRAGMA journal_mode = WAL")
    for name in ("acme.db.log", "acme.db.before-restore-1", "acme.dbx", "other.db"):
        (tmp_path / name).touch()
    monkeypatch.setenv("SIGMA_DATABASE", str(path))
    return path


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def run(capsys, *arguments):
    """Run it, and return its exit code, output and error."""
    try:
        reset.main(list(arguments))
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


def test_what_is_no_database_of_the_service_stays_where_it_is(path, capsys, monkeypatch, tmp_path):
    text, foreign, folder = (tmp_path / name for name in ("README.md", "foreign.db", "folder"))
    text.write_text("# Mine\n" * 100, encoding="utf-8")
    folder.mkdir()
    with closing(sqlite3.connect(foreign)) as db:
        db.execute("CREATE TABLE workspaces (id, is_demo)")
    told = {
        text: "is no database of Sigma PIM, and stays where it is: is SIGMA_DATABASE right?",
        foreign: "is no database of Sigma PIM, and stays where it is: is SIGMA_DATABASE right?",
        folder: "is a folder: name the file of a database in SIGMA_DATABASE.",
    }
    before = names(tmp_path)
    for file, reason in told.items():
        monkeypatch.setenv("SIGMA_DATABASE", str(file))
        assert run(capsys, "--yes") == (1, "", f"Error: {file} {reason}")
    assert names(tmp_path) == before


def add_workspace(path, id):
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO workspaces VALUES (?, 0, 0)", (id,))


@pytest.mark.parametrize("typed", ["", "\n", "y\n", "acme\n"])
def test_a_database_that_holds_more_than_the_demo_stays_unless_its_name_is_typed(path, capsys, monkeypatch, typed):
    add_workspace(path, "acme")
    before = names(path.parent)
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    code, told, error = run(capsys)
    question = "holds workspace 'acme', not only the demo. It is moved, not deleted. Type acme.db to move it: "
    assert (code, told) == (1, f"{path} {question}")
    assert error == "\nError: That is not acme.db; nothing was moved. `make reset YES=1` does not ask."
    assert names(path.parent) == before


def test_it_is_moved_when_its_name_is_typed_or_no_question_is_wanted_and_no_demo_is_advised_in_its_place(
    path, capsys, monkeypatch
):
    for id in ("acme", "other"):
        add_workspace(path, id)
    path.with_name("acme.db.copy").write_bytes(path.read_bytes())
    monkeypatch.setattr("sys.stdin", io.StringIO("acme.db\n"))
    code, told, _ = run(capsys)
    (folder,) = path.parent.glob("old-acme.db-*")
    end = f"{path} is now in {folder}; `flask workspace create` or `flask restore` makes a new one.\n"
    assert (code, told.startswith(f"{path} holds workspaces 'acme', 'other', not only"), told.endswith(end)) == (0, True, True)
    (folder / "acme.db.copy").rename(path)
    folder.rename(folder.with_name("older"))
    monkeypatch.setattr("sys.stdin", None)
    code, told, _ = run(capsys, "--yes")
    assert (code, path.exists(), "Type" in told, "make run" in told) == (0, False, False, False)


def test_a_database_that_cannot_be_read_is_asked_about_and_one_without_a_workspace_is_not(path, capsys, monkeypatch):
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE workspaces")
        db.execute("CREATE TABLE other (c)")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run(capsys)[1].startswith(f"{path} cannot be read (no such table: workspaces). It is moved, not deleted.")
    path.unlink()
    with closing(connect(str(path))) as db:
        make_tables(db)
    assert run(capsys)[:2] == (0, f"{path} is now in {next(path.parent.glob('old-acme.db-*'))}; `make run` makes a new one.\n")
