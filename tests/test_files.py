"""The files of a database: ones that may not be written, ones that go away while in use, and disks that get full."""

import errno
import json
import os
import pwd
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import forked
import pytest
from conftest import replace_everywhere, sql

import app as service
from sigma import database, files, settings, upgrades
from sigma.cli import backup

ROOT = Path(service.__file__).parent
OTHER = 65534 if os.geteuid() == 0 else os.geteuid()  # root may write everything
OTHERS_NAME = pwd.getpwuid(OTHER).pw_name
OWN_NAME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def folder():
    """Yield a folder that another user may enter."""
    with tempfile.TemporaryDirectory(prefix="sigma-test-", dir="/tmp") as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path
        path.chmod(0o755)


@pytest.fixture
def theirs(template, folder):
    """Return a database that belongs to whom the commands run as, as all its files do."""
    path = Path(shutil.copy(template, folder / "sigma.db"))
    for file in (folder, path):
        os.chown(file, OTHER, -1)
    path.chmod(0o600)
    return path


def flask(path, *arguments):
    """Run a command as the other user."""
    user = OTHER if os.geteuid() == 0 else None
    return forked.flask(*arguments, user=user, SIGMA_DATABASE=str(path), SIGMA_PORT="0")


def own_of_other(file):
    os.chown(file, os.geteuid(), -1)
    file.chmod(0o644)


def leave_log(path):
    """Leave the files beside a database that a process leaves which is killed, as those of the user who runs the tests."""
    script = "import os, sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('UPDATE settings SET value = value')\n"
    subprocess.run([sys.executable, "-c", f"{script}db.commit(); os._exit(0)", str(path)], check=True)
    for file in (Path(f"{path}-wal"), Path(f"{path}-shm")):
        os.chown(file, os.geteuid(), -1)
        file.chmod(0o600)


def told(file, owner, mode):
    return f"{file} belongs to {owner}:", f" and has mode {mode}, this process runs as {OTHERS_NAME}"


def check_refusal(result, path, file, owner, mode):
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1), result.stderr
    assert result.stderr.startswith(f"Error: The database {path} cannot be ")
    for part in told(file, owner, mode):
        assert part in result.stderr


def test_a_database_that_may_be_read_but_not_written_is_refused_at_the_start_and_by_the_doctor(theirs):
    theirs.chmod(0o444)
    check_refusal(flask(theirs, "serve"), theirs, theirs, OTHERS_NAME, "444")
    result = flask(theirs, "doctor", "--json")
    checks = {check["check"]: check for check in json.loads(result.stdout)}
    assert (result.returncode, checks["file permissions"]["result"]) == (1, "problem")
    assert all(part in checks["file permissions"]["findings"][0] for part in told(theirs, OTHERS_NAME, "444"))
    assert flask(theirs, "keys", "list", "--workspace", "ws-demo").returncode == 0  # to read it is allowed


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to others")
def test_a_database_of_another_owner_is_refused(theirs):
    own_of_other(theirs)
    check_refusal(flask(theirs, "serve"), theirs, theirs, OWN_NAME, "644")


def test_a_folder_that_takes_no_files_beside_the_database_is_refused(theirs):
    theirs.parent.chmod(0o555)
    check_refusal(flask(theirs, "serve"), theirs, theirs.parent, OTHERS_NAME, "555")
    check_refusal(flask(theirs, "doctor"), theirs, theirs.parent, OTHERS_NAME, "555")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to others")
def test_a_log_of_another_owner_is_refused(theirs):
    leave_log(theirs)
    check_refusal(flask(theirs, "serve"), theirs, f"{theirs}-wal", OWN_NAME, "600")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to others")
def test_what_a_service_of_another_user_left_beside_the_database_is_told_by_each_command_that_needs_it(theirs):
    left = Path(f"{theirs}.service")
    left.touch(0o600)
    owner, mode = told(left, OWN_NAME, "600")
    for command in ("serve", "start", "status", "stop", "env"):
        result = flask(theirs, command)
        assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1), result.stderr
        assert result.stderr.startswith(f"Error: {left}: Permission denied; {owner}")
        assert mode in result.stderr
    result = flask(theirs, "doctor", "--json")
    checks = {check["check"]: check for check in json.loads(result.stdout)}
    assert (result.returncode, checks["file permissions"]["result"]) == (1, "problem")
    assert mode in checks["file permissions"]["findings"][0]


WRITERS = (
    ["keys", "create", "--name", "Key", "--permission", "read", "--workspace", "ws-demo"],
    ["keys", "deactivate", "apikey-sync-prod", "--workspace", "ws-demo"],
    ["keys", "delete", "apikey-sync-prod", "--yes", "--workspace", "ws-demo"],
    ["users", "role", "editor@sigma.io", "role-admin"],
    ["users", "remove", "editor@sigma.io"],
    ["workspace", "delete", "ws-other", "--yes"],
    ["webhooks", "redeliver", "dlv-1", "--workspace", "ws-demo"],
    ["restore", "BACKUP", "--yes"],
)


@pytest.mark.parametrize("words", WRITERS, ids=lambda words: " ".join(words[:2]))
def test_each_command_that_writes_names_the_owner_of_a_database_that_may_only_be_read_and_leaves_nothing(
    theirs, template, words
):
    backup = Path(shutil.copy(template, theirs.with_name("backup")))
    backup.chmod(0o644)
    theirs.chmod(0o400)
    result = flask(theirs, *(str(backup) if word == "BACKUP" else word for word in words))
    assert (result.returncode, result.stdout) == (1, "")
    sentence = f"Error: {theirs} cannot be written to: run the command as its owner, or change the owner or the mode; "
    error = result.stderr.splitlines()[-1]
    assert error.startswith(sentence)
    assert all(part in error for part in told(theirs, OTHERS_NAME, "400"))
    left = {file.name for file in theirs.parent.iterdir()} - {"sigma.db-wal", "sigma.db-shm"}
    assert left == {"sigma.db", "backup"}


def test_what_may_be_written_gives_no_reason(theirs, tmp_path):
    assert files.unwritable_reason(str(theirs)) is None
    assert files.unwritable_reason(str(tmp_path / "new.db")) is None


# Files that go away while in use


@pytest.fixture(params=["file", "link", "folder"])
def path(request, app, tmp_path):
    """The database's own path, while the service uses that, a link to it, or one to its folder."""
    path = Path(app.config["DATABASE"])
    if request.param == "link":
        (tmp_path / "links").mkdir()
        link = tmp_path / "links" / "link.db"
        link.symlink_to(path)
    else:
        link = tmp_path.with_name(f"{tmp_path.name}-link")
        link.symlink_to(path.parent)
        link = link / path.name
    app.config["DATABASE"] = str(path if request.param == "file" else link)
    database.remember_file(app.config["DATABASE"])
    return str(path)


def test_nothing_is_acknowledged_or_lost_when_the_log_of_writes_is_removed(path, admin, key, error):
    body = {"schemaId": "schema-apparel", "values": {}}
    assert key.post("/records", {"id": "ent-before", **body}).status_code == 201
    for end in ("-wal", "-shm"):
        Path(f"{path}{end}").unlink()
    error(key.post("/records", {"id": "ent-after", **body}), 503)
    error(admin.get("/healthz"), 503)
    shutil.copy(path, f"{path}.copy")  # what a process finds that has not opened it before
    with closing(sqlite3.connect(f"{path}.copy")) as db:
        assert db.execute("SELECT id FROM entities WHERE id IN ('ent-before', 'ent-after')").fetchall() == [("ent-before",)]
    database.close_db()
    assert key.post("/records", {"id": "ent-after", **body}).status_code == 201


def test_a_log_that_another_process_has_made_anew_is_not_written_over(path, key, error):
    body = {"schemaId": "schema-apparel", "values": {}}
    assert key.post("/records", {"id": "ent-before", **body}).status_code == 201
    before = Path(path).read_bytes()
    Path(f"{path}-wal").rename(f"{path}.aside")
    Path(f"{path}-wal").write_bytes(b"")
    error(key.post("/records", {"id": "ent-after", **body}), 503)
    assert Path(path).read_bytes() == before
    Path(f"{path}.aside").rename(f"{path}-wal")
    assert key.post("/records", {"id": "ent-after", **body}).status_code == 201


def test_a_log_that_went_with_the_last_connection_is_no_loss(app, key):
    for number in range(3):
        body = {"id": f"ent-{number}", "schemaId": "schema-apparel", "values": {}}
        assert key.post("/records", body).status_code == 201
        database.close_db()
        assert not Path(f"{app.config['DATABASE']}-wal").exists()


def test_an_emptied_database_is_unavailable_and_no_fault_of_the_service(app, admin, error):
    sql(app, "PRAGMA wal_checkpoint(TRUNCATE)")
    database.close_db()
    os.truncate(app.config["DATABASE"], 0)
    for answer in (admin.get("/roles"), admin.get("/healthz"), admin.post("/roles", {"id": "role-x", "name": "X"})):
        error(answer, 503)


# Disks that get full


def full(*_, **__):
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorname = "SQLITE_FULL"
    raise error


def test_a_disk_that_gets_full_in_the_middle_of_a_backup_is_told_of_the_backup_and_leaves_nothing(run, tmp_path, monkeypatch):
    target = tmp_path / "backups" / "copy.db"
    target.parent.mkdir()
    with monkeypatch.context() as patch:
        replace_everywhere(patch, backup, "copy_database", full)
        result = run("backup", str(target))
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"Error: {target}: database or disk is full\n")
    assert list(target.parent.iterdir()) == []
    assert run("backup", str(target)).exit_code == 0


def test_a_disk_that_gets_full_in_the_middle_of_a_restore_is_told_of_the_database(app, run, tmp_path, monkeypatch, stored):
    target = tmp_path / "copy.db"
    assert run("backup", str(target)).exit_code == 0
    before, there = stored(), sorted(tmp_path.iterdir())
    with monkeypatch.context() as patch:
        replace_everywhere(patch, backup, "copy_database", full)
        result = run("restore", str(target), "--yes")
    path = app.config["DATABASE"]
    assert result.stderr == f"Error: There is no room beside {path} for a copy of {target}: database or disk is full\n"
    assert (result.exit_code, stored(), sorted(tmp_path.iterdir())) == (1, before, there)


@pytest.mark.parametrize(
    "arguments", [["seed", "export"], ["export", "--schema", "schema-apparel"]], ids=lambda words: words[0]
)
def test_a_file_that_finds_no_room_is_named_and_not_there(run, tmp_path, monkeypatch, arguments):
    def no_room(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = tmp_path / "out.json"
    monkeypatch.setattr(os, "fsync", no_room)
    result = run(*arguments, str(target), "--workspace", "ws-demo")
    assert (result.exit_code, result.stderr) == (1, f"Error: {target}: No space left on device\n")
    assert not target.exists()
    assert not list(tmp_path.glob("*.part-*"))


def no_memory_file(*_):
    """Fail as SQLite does where the disk has no room for the file with a database's index of its log."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = "SQLITE_IOERR_SHMSIZE"
    raise error


@pytest.mark.parametrize(
    ("fail", "told"), [(full, "is full"), (no_memory_file, "is full or fails (disk I/O error)")], ids=["full", "fails"]
)
def test_a_disk_that_is_full_when_the_database_is_opened_is_told_in_one_sentence(tmp_path, monkeypatch, fail, told):
    path = str(tmp_path / "new.db")
    replace_everywhere(monkeypatch, upgrades, "migrate", fail)
    with pytest.raises(settings.StartError) as refused:
        service.create_app({"DATABASE": path})
    assert refused.value.message == (
        f"The disk of the database {path} {told}: make room, or name another database in SIGMA_DATABASE."
    )
