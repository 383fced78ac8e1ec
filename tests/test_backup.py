"""Backup and restore: real files, real databases, beside connections that are open."""

import functools
import gzip
import json
import os
import re
import shutil
import signal
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Caller, replace_everywhere

import app as service
from sigma import database, settings, upgrades
from sigma.cli import backup, files

KEY = "sigma_sk_live_abc123def456ghi789jkl012mno345pqr678"
OLD = sorted((Path(__file__).parent / "data").glob("*.gz"))


@pytest.fixture
def path(app):
    """The database's file."""
    return Path(app.config["DATABASE"])


@pytest.fixture
def copy(run, tmp_path):
    """A backup of the database as it was when the test began, in a folder of its own."""
    (tmp_path / "backup").mkdir()
    file = tmp_path / "backup" / "copy.db"
    result = run("backup", str(file))
    assert result.exit_code == 0, result.output
    return file


def rows(path, sql):
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def content(path):
    """Everything that a database holds, but from when on sessions count, which is later after a restore."""
    with closing(sqlite3.connect(":memory:")) as copy:
        with closing(sqlite3.connect(path)) as db:
            db.backup(copy)
        copy.execute("UPDATE users SET sessions_from = 0")
        copy.execute("DELETE FROM settings WHERE name = 'sessions_from'")
        return list(copy.iterdump())


def listing(path):
    """The names beside a file, without those that SQLite makes while the database is open."""
    return sorted(file.name for file in path.parent.iterdir() if not re.search("-(wal|shm)$", file.name))


# -- flask backup


def test_a_backup_holds_what_the_database_holds_in_one_file_for_its_owner_alone(path, run, tmp_path):
    (tmp_path / "backup").mkdir()
    file, before = tmp_path / "backup" / "copy.db", os.umask(0)
    try:
        result = run("backup", str(file))
    finally:
        os.umask(before)
    told = f"{file} holds 2 workspaces, 47 records ({file.stat().st_size / 1e6:.1f} MB).\n"
    assert (result.exit_code, result.stdout, result.stderr) == (0, told, "")
    assert [entry.name for entry in file.parent.iterdir()] == ["copy.db"]
    assert stat.filemode(file.stat().st_mode) == "-rw-------"
    assert content(file) == content(path)
    assert rows(file, "PRAGMA integrity_check") == [("ok",)]
    assert rows(file, "PRAGMA journal_mode") == [("delete",)]  # so that it can be read where nothing can be written
    assert rows(file, "PRAGMA application_id") == [(upgrades.APPLICATION_ID,)]


def test_a_backup_tells_programs_what_it_holds(run, tmp_path, admin):
    assert admin.delete("/records/ent-coastal-wb").status_code == 204
    result = run("backup", str(tmp_path / "copy.db"), "--json")
    size = (tmp_path / "copy.db").stat().st_size
    assert json.loads(result.stdout) == {"file": str(tmp_path / "copy.db"), "bytes": size, "workspaces": 2, "records": 46}


def test_a_backup_goes_on_beside_a_write_and_holds_nothing_unfinished(path, run, tmp_path):
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("INSERT INTO workspaces (id, name) VALUES ('ws-done', 'Done')")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO workspaces (id, name) VALUES ('ws-begun', 'Begun')")
        assert run("backup", str(tmp_path / "copy.db")).exit_code == 0
        writer.execute("ROLLBACK")
    assert rows(tmp_path / "copy.db", "SELECT id FROM workspaces ORDER BY rowid") == [("ws-demo",), ("ws-other",), ("ws-done",)]


def test_a_backup_takes_the_place_of_a_file_only_when_that_is_forced(path, run, tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    result = run("backup", str(file))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"Error: {file} exists already; use --force to replace it\n"
    assert file.read_text() == "mine"
    assert run("backup", str(file), "--force").exit_code == 0
    assert content(file) == content(path)


def place(kind, path, folder):
    """Make a place where no backup can be, and answer its path."""
    file = folder / "place"
    if kind == "a folder":
        file.mkdir()
    elif kind == "a device":
        return Path("/dev/null")
    elif kind == "a link to the database":
        file.symlink_to(path)
    elif kind == "another name of the database":
        file.hardlink_to(path)
    return {"the database": path, "what is written ahead": Path(f"{path}-wal"), "a missing folder": file / "copy.db"}.get(
        kind, file
    )


@pytest.mark.parametrize(
    "kind",
    [
        *("the database", "what is written ahead", "a link to the database", "another name of the database"),
        *("a folder", "a device", "a missing folder"),
    ],
)
def test_a_backup_is_refused_where_it_would_do_harm(path, run, tmp_path, kind):
    (tmp_path / "folder").mkdir()
    with closing(sqlite3.connect(path)) as other:  # keeps what is written ahead in a file of its own
        other.execute("SELECT count(*) FROM workspaces").fetchone()
        file = place(kind, path, tmp_path / "folder")
        before = content(path), listing(path), path.stat().st_ino, listing(tmp_path / "folder" / "any")
        result = run("backup", str(file), "--force")
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: ")
        assert (content(path), listing(path), path.stat().st_ino, listing(tmp_path / "folder" / "any")) == before


def spoil(path):
    """Overwrite a part of a database that is not read when it is opened."""
    ((page,),) = rows(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'users_role_idx'")
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\x55" * 4096)


def test_a_damaged_database_is_no_backup(path, run, tmp_path):
    spoil(path)
    (tmp_path / "backup").mkdir()
    file = tmp_path / "backup" / "copy.db"
    file.write_text("the last good one")
    result = run("backup", str(file), "--force")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: {path} is damaged: ")
    assert [entry.name for entry in file.parent.iterdir()] == ["copy.db"]
    assert file.read_text() == "the last good one"


def test_an_empty_database_which_a_wrong_path_makes_is_no_backup(app, run, tmp_path):
    file = tmp_path / "copy.db"
    file.write_text("the last good one")
    app.config["DATABASE"] = str(tmp_path / "mistyped.db")
    database.prepare_database(app.config["DATABASE"])
    result = run("backup", str(file), "--force")
    told = f"Error: {tmp_path}/mistyped.db holds no workspace; is SIGMA_DATABASE right?\n"
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", told)
    assert file.read_text() == "the last good one"


# -- flask restore


def test_a_restore_brings_back_all_that_was_there_and_keeps_what_is_replaced(path, run, copy, admin):
    before = content(path)
    assert admin.delete("/records/ent-coastal-wb").status_code == 204
    assert admin.post("/records", {"id": "ent-late", "schemaId": "schema-apparel", "values": {}}).status_code == 201
    database.close_db()
    late, names = content(path), listing(path)
    result = run("restore", str(copy), "--yes")
    (kept,) = set(listing(path)) - set(names)
    assert re.fullmatch(r"sigma\.db\.before-restore-\d{8}-\d{6}-\d{6}", kept)
    told = f"{path} now holds the contents of {copy}; its old contents are in {path.parent / kept}.\n"
    assert (result.exit_code, result.stdout, result.stderr) == (0, told, "")
    assert content(path) == before == content(copy)
    assert content(path.parent / kept) == late
    assert stat.filemode((path.parent / kept).stat().st_mode) == "-rw-------"
    assert rows(path, "PRAGMA journal_mode") == [("wal",)]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    records = admin.get("/records").json
    assert (records["total"], records["items"][0]["id"]) == (47, "ent-coastal-wb")
    database.close_db()
    assert run("restore", str(path.parent / kept), "--yes").exit_code == 0
    assert content(path) == late


def test_what_webhooks_had_pending_is_sent_again_after_a_restore(run, subscribe, receiver, tmp_path):
    subscribe(receiver, "ent-one")
    file = tmp_path / "copy.db"
    assert run("backup", str(file)).exit_code == 0
    assert run("webhooks", "run", "--workspace", "ws-demo").exit_code == 0
    assert run("webhooks", "run", "--workspace", "ws-demo").exit_code == 0  # nothing waits any more
    assert len(receiver.requests) == 1
    assert run("restore", str(file), "--yes").exit_code == 0
    assert run("webhooks", "run", "--workspace", "ws-demo").exit_code == 0
    first, again = receiver.requests
    assert (again.id, again.body) == (first.id, first.body)


def test_a_restore_is_asked_about(path, run, copy, admin):
    assert admin.delete("/records/ent-coastal-wb").status_code == 204
    database.close_db()
    before, names = content(path), listing(path)
    question = f"Replace the contents of {path} (2 workspaces, 46 records) with {copy} (2 workspaces, 47 records)? [y/N]: "
    for answer in ("n\n", "\n", ""):
        result = run("restore", str(copy), stdin=answer)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(question)
        assert (content(path), listing(path)) == (before, names)
    assert run("restore", str(copy), stdin="y\n").exit_code == 0
    assert content(path) == content(copy)


def test_keys_that_would_be_accepted_again_are_named_before_the_question(app, run, copy, admin, make_key, error):
    admin.post("/api-keys/apikey-sync-prod/deactivate")
    assert admin.delete("/api-keys/apikey-export-staging").status_code == 200
    make_key("read")
    database.close_db()
    again = (
        "These API keys are refused now, and will be accepted again:\n"
        "WORKSPACE  ID                     NAME\n"
        "ws-demo    apikey-sync-prod       Shopify Sync - Production\n"
        "ws-demo    apikey-export-staging  Export Service - Staging\n"
    )
    result = run("restore", str(copy), stdin="n\n")
    assert result.stderr.startswith(f"{again}Replace ")
    error(Caller(app, {"X-Sigma-ApiKey": KEY}).get("/records"), 401)
    database.close_db()
    result = run("restore", str(copy), "--yes", "--json")
    assert (result.exit_code, result.stderr) == (0, again)
    told = json.loads(result.stdout)
    assert told == {
        "database": app.config["DATABASE"],
        "kept": told["kept"],
        "workspaces": 2,
        "records": 47,
        "keysAcceptedAgain": [
            {"workspace": "ws-demo", "id": "apikey-sync-prod", "name": "Shopify Sync - Production"},
            {"workspace": "ws-demo", "id": "apikey-export-staging", "name": "Export Service - Staging"},
        ],
    }
    assert Caller(app, {"X-Sigma-ApiKey": KEY}).get("/records").status_code == 200
    assert len(admin.get("/api-keys").json) == 2


@pytest.mark.parametrize("old", OLD, ids=lambda file: file.name)
def test_a_backup_of_an_older_release_is_brought_forward_and_itself_left_alone(path, run, tmp_path, old):
    (tmp_path / "backup").mkdir()
    file = tmp_path / "backup" / "old.db"
    file.write_bytes(gzip.decompress(old.read_bytes()))
    file.chmod(0o400)
    before = file.read_bytes()
    assert run("restore", str(file), "--yes").exit_code == 0
    assert rows(path, "PRAGMA user_version") == [(upgrades.SCHEMA_VERSION,)]
    assert rows(path, "SELECT records FROM workspace_totals WHERE tenant = 'ws-demo'") == [(31,)]
    assert rows(path, "SELECT count(*) FROM unique_values WHERE tenant = 'ws-demo' AND attribute = 'sku'") == [(33,)]
    assert [entry.name for entry in file.parent.iterdir()] == ["old.db"]
    assert file.read_bytes() == before


def test_what_is_written_ahead_of_a_copy_belongs_to_it(path, run, tmp_path):
    (tmp_path / "backup").mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("INSERT INTO workspaces (id, name) VALUES ('ws-ahead', 'Ahead')")
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", tmp_path / "backup" / f"copied.db{suffix}")
        db.execute("DELETE FROM workspaces WHERE id = 'ws-ahead'")
    (tmp_path / "latest.db").symlink_to(tmp_path / "backup" / "copied.db")
    assert run("restore", str(tmp_path / "latest.db"), "--yes").exit_code == 0
    assert rows(path, "SELECT name FROM workspaces WHERE id = 'ws-ahead'") == [("Ahead",)]


def test_a_backup_from_where_pages_are_of_another_size_is_restored(path, run, copy):
    before = content(path)
    with closing(sqlite3.connect(copy, isolation_level=None)) as db:
        db.execute("PRAGMA page_size = 8192")
        db.execute("VACUUM")
    assert rows(copy, "PRAGMA page_size") == [(8192,)]
    assert run("restore", str(copy), "--yes").exit_code == 0
    assert rows(path, "PRAGMA page_size") == [(4096,)]
    assert sorted(content(path)) == sorted(before)


def newer(file):
    database.prepare_database(str(file))
    rows(file, "PRAGMA user_version = 99")


def foreign(file):
    rows(file, "CREATE TABLE notes (text)")


def damaged(file):
    database.prepare_database(str(file))
    spoil(file)


def inconsistent(file):
    database.prepare_database(str(file))
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("INSERT INTO audit_log (tenant, record_id, body) VALUES ('ws-nowhere', 'x', '{}')")


def without_history(file):
    database.prepare_database(str(file))
    rows(file, "DROP TABLE audit_log")


BAD = {
    "without a table": (
        without_history,
        "{file} is incomplete: the index audit_log_record_idx is missing; the table audit_log is missing",
    ),
    "a pipe": (os.mkfifo, "{file} cannot be read: it is not a regular file"),
    "of a newer release": (newer, "{file} has schema version 99, this release reads versions up to {version}"),
    "of another program": (foreign, "{file} is not a database of Sigma PIM"),
    "empty": (Path.touch, "{file} is not a database of Sigma PIM"),
    "text": (lambda file: file.write_text("Dear diary, " * 500), "{file} cannot be read: file is not a database"),
    "missing": (lambda file: None, "{file} cannot be read: there is no such file"),
    "a folder": (Path.mkdir, "{file} cannot be read: "),
    "damaged": (damaged, "{file} is damaged: "),
    "inconsistent": (inconsistent, "{file} is damaged: row 1 of audit_log refers to a row of workspaces that is missing"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_good_backup_is_refused_and_changes_nothing(path, run, tmp_path, kind):
    (tmp_path / "backup").mkdir()
    file = tmp_path / "backup" / "given.db"
    make, told = BAD[kind]
    make(file)
    before = content(path), listing(path), listing(file)
    result = run("restore", str(file), "--yes")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: {told.format(file=file, version=upgrades.SCHEMA_VERSION)}")
    assert (content(path), listing(path), listing(file)) == before


def test_a_database_that_no_command_can_open_is_moved_away_first(path, run, copy):
    path.write_bytes(b"\xff" * 4096)
    with pytest.raises(settings.StartError, match="is not an SQLite database"):
        service.create_app({"DATABASE": str(path)})
    path.rename(f"{path}.damaged")
    app = service.create_app({"DATABASE": str(path)})
    result = app.test_cli_runner().invoke(args=["restore", str(copy), "--yes"])
    database.close_db()
    assert result.exit_code == 0
    assert content(path) == content(copy)


def test_the_database_is_no_backup_of_itself(path, run, tmp_path):
    (tmp_path / "link.db").symlink_to(path)
    for file in (path, tmp_path / "link.db"):
        assert run("restore", str(file), "--yes").stderr == f"Error: {path} is the database itself\n"


def test_a_connection_that_is_open_sees_the_old_until_the_new_is_whole(path, run, copy, monkeypatch):
    seen, keep = [], backup.copy_database
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("INSERT INTO workspaces (id, name) VALUES ('ws-late', 'Late')")
        other.execute("BEGIN")
        count = "SELECT count(*) FROM workspaces"
        assert other.execute(count).fetchall() == [(3,)]

        def copy_database(source, target):
            seen.extend(rows(path, count))
            keep(source, target)

        replace_everywhere(monkeypatch, backup, "copy_database", copy_database)
        assert run("restore", str(copy), "--yes").exit_code == 0
        assert seen == [(3,), (3,)]  # when the backup was read, and when what was there was kept
        assert other.execute(count).fetchall() == [(3,)]
        other.execute("COMMIT")
        assert other.execute(count).fetchall() == [(2,)]
        other.execute("INSERT INTO workspaces (id, name) VALUES ('ws-next', 'Next')")
    assert rows(path, count) == [(3,)]


def test_a_restore_that_fails_changes_nothing(path, run, copy, admin, monkeypatch):
    admin.delete("/records/ent-coastal-wb")
    database.close_db()
    before, names = content(path), listing(path)

    def flush(file):
        raise OSError(28, "No space left on device", str(file))

    replace_everywhere(monkeypatch, files, "sync_to_disk", flush)
    result = run("restore", str(copy), "--yes")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "No space left on device" in result.stderr
    assert (content(path), listing(path)) == (before, names)


@pytest.mark.parametrize("left", ["something", "nothing"])
def test_a_restore_that_is_interrupted_tells_what_became_of_it(path, run, copy, admin, monkeypatch, left):
    """Once SQLite has begun to commit, the restore is completed: else the old contents, or the only copy of them, were lost."""

    class Interrupted(sqlite3.Connection):
        def backup(self, target, *, pages, progress):
            def interrupt(status, remaining, total):
                if bool(remaining) == (left == "something") and target_is_live(target):
                    os.kill(os.getpid(), signal.SIGINT)
                progress(status, remaining, total)

            super().backup(target, pages=pages, progress=interrupt)

    def target_is_live(target):
        return target.execute("PRAGMA database_list").fetchone()[2] == str(path)

    admin.delete("/records/ent-coastal-wb")
    database.close_db()
    connect = functools.partial(sqlite3.connect, isolation_level=None, factory=Interrupted)
    monkeypatch.setattr(backup, "connect", connect)
    before, names = content(path), listing(path)
    result = run("restore", str(copy), "--yes")
    kept = sorted(set(listing(path)) - set(names))
    if left == "something":
        assert (result.exit_code, result.stdout, kept, content(path)) == (1, "", [], before)
        assert result.stderr.endswith("Aborted!\n")
    else:
        assert (result.exit_code, len(kept)) == (0, 1)
        assert content(path.with_name(kept[0])) == before
        assert rows(path, "SELECT count(*) FROM entities WHERE id = 'ent-coastal-wb'") == [(1,)]


def test_a_restore_waits_for_a_write_and_gives_up_on_one_that_does_not_end(path, run, copy, monkeypatch):
    replace_everywhere(monkeypatch, database, "BUSY_TIMEOUT", 0.05)
    names = listing(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("INSERT INTO workspaces (id, name) VALUES ('ws-late', 'Late')")
        writer.execute("BEGIN IMMEDIATE")
        result = run("restore", str(copy), "--yes")
        assert result.exit_code == 1
        assert result.stderr == f"Error: {path} is locked: another process has kept it for 5 seconds or more; try again later\n"
        writer.execute("COMMIT")
    assert rows(path, "SELECT count(*) FROM workspaces") == [(3,)]
    assert listing(path) == names


def test_a_restore_revives_no_session_and_none_fits_a_workspace_that_comes_later(app, admin, path, tmp_path, run):
    """Since the backup was made, sessions may have ended, and users and workspaces gone whose ids come back."""
    create = ["workspace", "create", "acme", "--name", "Acme", "--email", "ann@acme.example"]

    def sign_in(password):
        answer = Caller(app).post("/auth/login", {"email": "ann@acme.example", "password": password})
        assert answer.status_code == 200, answer.json
        return Caller(app, {"Authorization": f"Bearer {answer.json['token']}"})

    assert run(*create, stdin="the first password\n").exit_code == 0
    first = sign_in("the first password")
    assert run("backup", str(tmp_path / "copy.db")).exit_code == 0
    assert run("users", "password", "ann@acme.example", stdin="the second password\n").exit_code == 0
    second = sign_in("the second password")
    result = run("restore", str(tmp_path / "copy.db"), "--yes")
    assert result.exit_code == 0
    again = sign_in("the first password")
    assert [caller.get("/roles").status_code for caller in (first, second, again, admin)] == [401, 401, 200, 200]
    assert run("workspace", "delete", "acme", "--yes").exit_code == 0
    assert run(*create, stdin="the third password\n").exit_code == 0
    third = sign_in("the third password")
    assert [caller.get("/roles").status_code for caller in (first, second, again, third)] == [401, 401, 401, 200]


@pytest.fixture
def elsewhere(app, copy, tmp_path):
    """The app, with a database that is not there yet, in a folder of its own."""
    (tmp_path / "elsewhere").mkdir()
    app.config["DATABASE"] = str(tmp_path / "elsewhere/acme.db")
    return tmp_path / "elsewhere"


def test_a_restore_where_there_is_no_database_names_no_keys_and_leaves_nothing_behind_without_a_yes(run, copy, elsewhere):
    for answer in ("n\n", "\n", ""):
        result = run("restore", str(copy), stdin=answer)
        question = f"Make the database {elsewhere}/acme.db from {copy} (2 workspaces, 47 records)? [y/N]: "
        assert (result.exit_code, result.stdout, result.stderr.startswith(question)) == (1, "", True)
        assert listing(elsewhere / "acme.db") == []
    result = run("restore", str(copy), stdin="y\n")
    assert (result.exit_code, result.stdout) == (0, f"{elsewhere}/acme.db now holds the contents of {copy}.\n")
    assert "refused now" not in result.stderr
    assert content(elsewhere / "acme.db") == content(copy)
    assert listing(elsewhere / "acme.db") == ["acme.db"]
    (elsewhere / "acme.db").unlink()
    told = json.loads(run("restore", str(copy), "--yes", "--json").stdout)
    assert (told["kept"], told["keysAcceptedAgain"]) == (None, [])


def test_a_restore_that_fails_where_there_is_no_database_leaves_none(run, copy, elsewhere, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device", "acme.db")

    replace_everywhere(monkeypatch, backup, "_replace_database", fail)
    result = run("restore", str(copy), "--yes")
    assert (result.exit_code, result.stderr) == (1, "Error: acme.db: No space left on device\n")
    assert listing(elsewhere / "acme.db") == []


def test_a_restore_to_where_there_can_be_no_database_is_refused_with_the_reason(app, run, copy, elsewhere):
    app.config["DATABASE"] = str(elsewhere / "none/acme.db")
    told = f"Error: There can be no database at {elsewhere}/none/acme.db, because there is no folder {elsewhere}/none: "
    assert run("restore", str(copy), "--yes").stderr == f"{told}name another file in SIGMA_DATABASE.\n"
