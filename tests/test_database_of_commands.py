"""Which database a command acts on: it is named, never made by the way, and what keeps it from being used is one sentence."""

import gzip
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from conftest import replace_everywhere
from forked import flask
from test_house import commands

import app as service
from sigma import database, settings, upgrades

USES = {  # each command that needs a database which is there
    "flask keys list": [],
    "flask keys create": ["--name", "Key", "--permission", "read"],
    "flask keys deactivate": ["apikey-sync-prod"],
    "flask keys delete": ["apikey-sync-prod", "--yes"],
    "flask keys advise": ["apikey-sync-prod"],
    "flask users list": [],
    "flask users add": ["ann@acme.example", "--name", "Ann", "--role", "role-admin"],
    "flask users password": ["editor@sigma.io"],
    "flask users role": ["editor@sigma.io", "role-admin"],
    "flask users remove": ["editor@sigma.io"],
    "flask workspace list": [],
    "flask workspace delete": ["ws-other", "--yes"],
    "flask backup": ["copy.db"],
    "flask import": ["rows.csv", "--schema", "schema-apparel"],
    "flask export": ["out.csv", "--schema", "schema-apparel"],
    "flask seed export": ["out.json"],
    "flask schema create": ["seed.json"],
    "flask webhooks list": [],
    "flask webhooks deliveries": [],
    "flask webhooks redeliver": ["dlv-1"],
    "flask webhooks run": [],
    "flask doctor": [],
}
MAKES = {"flask demo", "flask serve", "flask start", "flask workspace create", "flask restore"}
NEEDS_NONE = {
    "flask status",
    "flask stop",
    "flask env",
    "flask keys needs",
    "flask seed check",
    "flask schema guess",
    "flask play",
}


def test_each_command_uses_a_database_makes_one_or_needs_none():
    assert set(USES) | MAKES | NEEDS_NONE == set(commands())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with rows for an import and a seed in it."""
    monkeypatch.chdir(tmp_path)
    Path("seed.json").write_text('{"model": []}', encoding="utf-8")
    Path("rows.csv").write_text("sku,product-name\nXX-001,Hat\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("command", USES)
def test_a_database_that_is_not_there_is_named_and_not_made(app, run, folder, command):
    app.config["DATABASE"] = missing = str(folder / "missing.db")
    result = run(*command.split()[1:], *USES[command], stdin="a long enough password\n")
    assert (result.exit_code, result.stdout) == (1, "")
    told = "make one with `flask workspace create`, or with `flask demo`, or name another in SIGMA_DATABASE"
    assert result.stderr == f"Error: There is no database at {missing}: {told}\n"
    assert sorted(path.name for path in folder.iterdir()) == ["rows.csv", "seed.json", "sigma.db"]


@pytest.mark.parametrize("command", USES)
def test_people_are_told_on_standard_error_which_database_it_is(app, folder, command):
    arguments = [*command.split()[1:], *USES[command]]
    if command.split()[1] in ("keys", "import", "export", "seed", "schema", "webhooks") or command in (
        "flask users list",
        "flask users add",
    ):
        arguments += ["--workspace", "ws-demo"]
    result = app.test_cli_runner().invoke(args=arguments, input="a long enough password\n")
    database.close_db()
    line = f"Database: {app.config['DATABASE']}\n"
    if command == "flask doctor":
        assert result.stdout.startswith(f"ok       database: {app.config['DATABASE']}, ")
    else:
        assert result.exit_code == (command == "flask webhooks redeliver"), result.output
        assert result.stderr.startswith(line)
        assert line not in result.stdout


def test_programs_that_read_json_are_told_nothing_beside_it(run):
    result = run("keys", "list", "--workspace", "ws-demo", "--json")
    assert (result.exit_code, result.stderr) == (0, "")


def test_from_a_shell_a_command_makes_no_database_and_one_that_is_to_make_it_does(tmp_path):
    path = tmp_path / "new.db"
    result = flask("keys", "list", SIGMA_DATABASE=str(path))
    assert (result.returncode, path.exists()) == (1, False), result.stderr
    result = flask("demo", SIGMA_DATABASE=str(path))
    assert (result.returncode, result.stdout) == (0, "Made the demo workspace.\n")
    assert result.stderr == f"Database: {path}\n"


def test_a_new_workspace_and_a_restore_make_the_database(app, run, folder):
    app.config["DATABASE"] = made = str(folder / "made.db")
    new = ["workspace", "create", "acme", "--name", "Acme", "--email", "ann@acme.example"]
    assert run(*new, stdin="short\n").exit_code == 1
    assert not Path(made).exists()
    assert run(*new, stdin="a long enough password\n").exit_code == 0
    assert run("backup", "copy.db").exit_code == 0
    app.config["DATABASE"] = restored = str(folder / "restored.db")
    assert run("restore", "missing.db", "--yes").stderr == f"Error: {folder}/missing.db cannot be read: there is no such file\n"
    assert not Path(restored).exists()
    assert run("restore", "copy.db", "--yes").exit_code == 0
    assert "acme" in run("workspace", "list").stdout


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        ("SQLITE_BUSY", "is locked: another process has kept it for 5 seconds or more; try again later"),
        ("SQLITE_FULL", "cannot grow, because the disk is full: make room, and try again"),
        ("SQLITE_READONLY", "cannot be written to: run the command as its owner, or change the owner or the mode"),
        ("SQLITE_READONLY_CANTINIT", "cannot be written to: run the command as its owner, or change the owner or the mode"),
        ("SQLITE_CANTOPEN", "cannot be opened: run the command as its owner, or change the owner or the mode"),
        ("SQLITE_CORRUPT", "is damaged: `flask doctor` says how, and `flask restore` puts a backup in its place"),
        ("SQLITE_NOTADB", "is damaged: `flask restore` puts a backup in its place"),
    ],
)
def test_what_keeps_a_command_from_using_the_database_is_one_sentence(app, run, monkeypatch, problem, told):
    def fail(*_):
        error = sqlite3.OperationalError("as SQLite says it")
        error.sqlite_errorname = problem
        raise error

    replace_everywhere(monkeypatch, database, "fetch_one", fail)
    result = run("keys", "list", "--workspace", "ws-demo")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"Error: {app.config['DATABASE']} {told}\n")


@pytest.mark.parametrize("command", ["serve", "env"])
def test_so_it_is_for_what_serves_or_looks_for_it(app, run, monkeypatch, command):
    def fail(*_):
        error = sqlite3.OperationalError("as SQLite says it")
        error.sqlite_errorname = "SQLITE_FULL"
        raise error

    app.config.update(HOST="127.0.0.1", PORT=0)
    replace_everywhere(monkeypatch, database, "fetch_one", fail)
    result = run(command)
    told = f"Error: {app.config['DATABASE']} cannot grow, because the disk is full: make room, and try again\n"
    assert (result.exit_code, result.stderr) == (1, told)


def test_a_file_that_is_not_ours_one_of_a_newer_release_and_a_locked_one_are_one_sentence_each(template, tmp_path):
    text, newer, foreign = (tmp_path / name for name in ("text.db", "newer.db", "foreign.db"))
    text.write_text("Dear diary, " * 500, encoding="utf-8")
    for path, change in ((newer, "PRAGMA user_version = 99"), (foreign, "PRAGMA application_id = 7")):
        shutil.copy(template, path)
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute(change)
    told = {
        text: f"{text} is not an SQLite database: name another file in SIGMA_DATABASE, or put a backup in its place.",
        newer: f"{newer} has schema version 99, and this release reads version {upgrades.SCHEMA_VERSION}: use the release that"
        " made it or a newer one, or name another file in SIGMA_DATABASE.",
        foreign: f"{foreign} is a database of another program: name another file in SIGMA_DATABASE.",
    }
    for path, sentence in told.items():
        before = path.read_bytes()
        result = flask("users", "list", SIGMA_DATABASE=str(path))
        assert (result.returncode, result.stdout, result.stderr) == (1, "", f"Error: {sentence}\n")
        assert path.read_bytes() == before


def test_a_database_that_another_process_keeps_for_itself_is_told(template, tmp_path, monkeypatch):
    path = tmp_path / "locked.db"
    shutil.copy(template, path)
    monkeypatch.setattr("sigma.database.BUSY_TIMEOUT", 0)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(database.StartError) as raised:
            database.prepare_database(str(path))
    assert raised.value.message == (
        f"The database {path} is locked by another process: end that process, or try again when it has ended."
    )


def test_where_there_can_be_no_database_the_reason_is_told_by_each_command_that_would_make_one(tmp_path):
    (tmp_path / "file").touch()
    told = {
        tmp_path: "it is a folder",
        tmp_path / "none/x.db": f"there is no folder {tmp_path}/none",
        tmp_path / "file/x.db": f"{tmp_path}/file is no folder",
    }
    for path, reason in told.items():
        message = f"Error: There can be no database at {path}, because {reason}:"
        create = ("workspace", "create", "acme", "--name", "Acme", "--email", "ann@acme.example")  # asks for no password
        for command in (("demo",), ("serve",), ("start",), create):
            result = flask(*command, SIGMA_DATABASE=str(path))
            assert result.returncode == 1
            end = "name another file in SIGMA_DATABASE."
            assert result.stderr.splitlines()[-1] == f"{message} {end}"
        assert "Traceback" not in flask("env", SIGMA_DATABASE=str(path)).stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@pytest.mark.parametrize(
    "command",
    [
        ["backup"],
        ["export", "--schema", "schema-apparel", "--format", "csv", "--workspace", "ws-demo"],
        ["seed", "export", "--workspace", "ws-demo"],
        ["schema", "guess", "rows.csv", "--output"],
        ["import", "rows.csv", "--schema", "schema-apparel", "--workspace", "ws-demo", "--errors"],
    ],
)
def test_a_file_in_a_folder_that_is_not_there_is_refused_with_that_reason(run, folder, command):
    for place, reason in (
        ("none/file", f"there is no folder {folder}/none"),
        ("rows.csv/file", f"{folder}/rows.csv is no folder"),
    ):
        result = run(*command, place)
        named = place if command[0] in ("import",) else f"{folder}/{place}"
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == f"Error: {named}: {reason}\n"


@pytest.fixture
def older(folder):
    """A database of an older release, beside which something stands that says it is served; returned with that process."""
    path = folder / "older.db"
    path.write_bytes(gzip.decompress((settings.ROOT / "tests/data/version-3.db.gz").read_bytes()))
    code = "import sys, time; from sigma.cli.running import registered\n"
    code += "with registered(sys.argv[1], 'http://127.0.0.1:1'): print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=settings.ROOT, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield path, process
        process.kill()


def test_a_database_that_an_older_release_serves_is_left_to_it_until_it_is_stopped(older):
    path, process = older
    before = path.read_bytes()
    told = f"Error: An older release serves {path} at http://127.0.0.1:1 (process {process.pid}). It would fail as soon as this"
    new = ["new", "--name", "New", "--email", "new@acme.example"]
    arguments = {
        **{command: USES[command] for command in ("flask keys list", "flask backup", "flask doctor", "flask webhooks run")},
        **{"flask serve": [], "flask start": [], "flask demo": []},
        **{"flask workspace create": new, "flask restore": [str(path)]},
    }
    for command, more in arguments.items():
        result = flask(*command.split()[1:], *more, SIGMA_DATABASE=str(path), SIGMA_PORT="0")
        assert (result.returncode, result.stdout) == (1, ""), command
        assert told in result.stderr, command
        assert f": stop it first, with `SIGMA_DATABASE={path} " in result.stderr, command
        assert result.stderr.endswith(" stop`.\n"), command
    status = flask("status", SIGMA_DATABASE=str(path))
    assert status.stdout.startswith(f"Address      http://127.0.0.1:1\nProcess      {process.pid}\n")
    assert path.read_bytes() == before
    assert flask("stop", SIGMA_DATABASE=str(path)).returncode == 0
    assert process.wait(10) == -signal.SIGTERM
    assert path.read_bytes() == before
    assert flask("keys", "list", "--workspace", "ws-demo", SIGMA_DATABASE=str(path)).returncode == 0
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (upgrades.SCHEMA_VERSION,)


def test_a_server_of_ones_own_does_not_upgrade_what_an_older_release_serves_either(older):
    path, process = older
    with pytest.raises(settings.StartError, match=f"An older release serves {path} .*process {process.pid}"):
        service.create_app({"DATABASE": str(path)})
    process.kill()
    process.wait()
    service.create_app({"DATABASE": str(path)})
