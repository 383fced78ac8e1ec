"""The database: made or refused when the service starts, shared by processes, threads and apps, and failing."""

import ast
import gc
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Caller, replace_everywhere, sql
from forked import flask

import app as service
from sigma import database, files, settings, upgrades
from sigma.http import responses
from sigma.resources import history

ROOT = Path(service.__file__).parent


@pytest.fixture(autouse=True)
def no_connection_left():
    yield
    database.close_db()


def query(path, sql):
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def refusal(path):
    """Return why the service does not start on this file."""
    with pytest.raises(settings.StartError) as caught:
        service.create_app({"DATABASE": str(path)})
    return caught.value.format_message()


# Made or refused


def test_the_database_is_made_on_first_use(tmp_path):
    path = tmp_path / "new.db"
    app = service.create_app({"DATABASE": str(path)})
    assert Caller(app).get("/auth/tenants").json == []
    assert query(path, "PRAGMA user_version") == [(upgrades.SCHEMA_VERSION,)]
    assert query(path, "PRAGMA application_id") == [(0x5349474D,)]
    assert query(path, "PRAGMA journal_mode") == [("wal",)]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    assert query(path, "SELECT id FROM workspaces") == []
    with app.app_context():
        assert database.fetch_one("PRAGMA foreign_keys") == (1,)
        assert database.fetch_one("PRAGMA synchronous") == (2,)


def test_only_its_owner_may_read_the_database(tmp_path):
    before = os.umask(0)
    try:
        app = service.create_app({"DATABASE": str(tmp_path / "new.db")})
        result = app.test_cli_runner().invoke(args=["demo"])
        assert result.exit_code == 0, result.output
        files = {path.name: stat.filemode(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert files == dict.fromkeys(("new.db", "new.db-wal", "new.db-shm"), "-rw-------")  # which hold the same secrets


def test_an_existing_database_is_kept(app, admin):
    path = app.config["DATABASE"]
    assert admin.post("/catalogs", {"id": "cat-kept", "alias": "kept", "name": "Kept"}).status_code == 201
    database.close_db()
    before = query(path, "SELECT * FROM settings"), query(path, "SELECT * FROM model_objects")
    again = Caller(service.create_app({"DATABASE": path}), admin.headers)
    assert again.get("/catalogs/cat-kept").json == {"id": "cat-kept", "alias": "kept", "name": "Kept"}
    assert (query(path, "SELECT * FROM settings"), query(path, "SELECT * FROM model_objects")) == before


def test_an_empty_file_becomes_a_database(tmp_path):
    path = tmp_path / "empty.db"
    path.touch()
    service.create_app({"DATABASE": str(path)})
    assert query(path, "PRAGMA user_version") == [(upgrades.SCHEMA_VERSION,)]


def test_starting_in_many_places_at_once_makes_one_database(tmp_path):
    path = tmp_path / "new.db"
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(database.prepare_database, [str(path)] * 8)) == [None] * 8
    assert query(path, "SELECT count(*) FROM settings") == [(1,)]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


def newer(path):
    database.prepare_database(str(path))
    query(path, "PRAGMA user_version = 99")


def older(path):
    database.prepare_database(str(path))
    query(path, "PRAGMA user_version = 0")


def foreign(path):
    query(path, "CREATE TABLE notes (text)")


def damaged(path):
    database.prepare_database(str(path))
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * 4000)


def in_utf_16(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA encoding = 'UTF-16'")
        db.execute("CREATE TABLE workspaces (id TEXT)")


UNUSABLE = {
    "in UTF-16": in_utf_16,
    "of a newer release": newer,
    "of an unknown release": older,
    "of another program": foreign,
    "damaged": damaged,
    "text": lambda path: path.write_text("Dear diary, " * 500),
    "a directory": lambda path: path.mkdir(),
    "a link to nowhere": lambda path: path.symlink_to("/nowhere/at/all.db"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_file_that_cannot_be_used_is_named_and_so_is_the_way_out(tmp_path, kind):
    path = tmp_path / "given.db"
    UNUSABLE[kind](path)
    before = path.read_bytes() if path.is_file() else None
    message = refusal(path)
    assert str(path) in message
    assert "SIGMA_DATABASE" in message
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_newer_database_is_told_with_both_versions(tmp_path):
    newer(tmp_path / "given.db")
    message = refusal(tmp_path / "given.db")
    assert "99" in message
    assert str(upgrades.SCHEMA_VERSION) in message


@pytest.mark.parametrize("version", [(3, 36, 0), (2, 8, 17)], ids=str)
def test_an_sqlite_that_is_too_old_is_told_and_nothing_is_made(tmp_path, monkeypatch, version):
    path = tmp_path / "new.db"
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    with pytest.raises(settings.StartError) as refused:
        service.create_app({"DATABASE": str(path)})
    assert refused.value.message.startswith("SQLite 3.37 or newer is needed (STRICT tables); this Python has ")
    assert not path.exists()


@pytest.mark.parametrize("place", ["missing/sigma.db", "file/sigma.db", "missing/"])
def test_a_place_where_no_file_can_be_is_named_and_so_is_the_way_out(tmp_path, place):
    (tmp_path / "file").touch()
    message = refusal(f"{tmp_path}/{place}")
    assert f"{tmp_path}/{place}" in message
    assert "SIGMA_DATABASE" in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_file_that_may_not_be_opened_is_named_and_so_is_the_way_out(tmp_path, monkeypatch):
    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "open", refuse)  # a real one would not stop root
    message = refusal(tmp_path / "given.db")
    assert str(tmp_path / "given.db") in message
    assert "Permission denied" in message
    assert "SIGMA_DATABASE" in message


def test_on_the_command_line_a_refusal_is_one_line_and_no_stack_trace(tmp_path):
    foreign(tmp_path / "given.db")
    result = flask("serve", SIGMA_DATABASE=str(tmp_path / "given.db"))
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert result.stderr.startswith("Error: ")
    assert str(tmp_path / "given.db") in result.stderr


def test_a_database_in_memory_is_refused_because_each_thread_would_have_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "file" in refusal(":memory:")
    monkeypatch.setenv("SIGMA_DATABASE", ":memory:")
    with pytest.raises(settings.StartError, match="must be a file"):
        service.create_app()
    assert list(tmp_path.iterdir()) == []


# Shared


ANOTHER_PROCESS = """
import sqlite3
import sys

with sqlite3.connect(sys.argv[1]) as db:
    print([value for (value,) in db.execute("SELECT value FROM settings WHERE name LIKE 'note %' ORDER BY name")])
db.close()
"""


def seen_by_another_process(path):
    """Return what is noted in a database, as another process sees it that opens and closes it."""
    done = subprocess.run([sys.executable, "-c", ANOTHER_PROCESS, path], capture_output=True, text=True, check=True)
    return ast.literal_eval(done.stdout)


def test_a_second_app_on_a_database_in_use_loses_none_of_its_writes(tmp_path):
    """POSIX drops a process's locks on a file when it closes any descriptor of it; SQLite then loses its log."""
    path = str(tmp_path / "sigma.db")
    app = service.create_app({"DATABASE": path})
    with app.app_context():
        database.execute("INSERT INTO settings (name, value) VALUES ('note 1', 'before')")
        service.create_app({"DATABASE": path})
        assert seen_by_another_process(path) == ["before"]
        database.execute("INSERT INTO settings (name, value) VALUES ('note 2', 'after')")
        assert seen_by_another_process(path) == ["before", "after"]
        database.close_db()


def test_an_app_made_anew_uses_the_database_that_is_there_now(tmp_path):
    path = str(tmp_path / "sigma.db")
    with service.create_app({"DATABASE": path}).app_context():
        database.execute("INSERT INTO settings (name, value) VALUES ('note', 'of the first')")
    for file in tmp_path.iterdir():
        file.unlink()
    with service.create_app({"DATABASE": path}).app_context():
        assert database.fetch_one("SELECT value FROM settings WHERE name = 'note'") is None


@pytest.fixture
def two_apps(tmp_path):
    """Yield two apps on databases of their own; the first has the demo workspace."""
    demo, empty = (service.create_app({"DATABASE": str(tmp_path / f"{name}.db")}) for name in ("demo", "empty"))
    assert demo.test_cli_runner().invoke(args=["demo"]).exit_code == 0
    yield demo, empty
    database.close_db()


def workspaces():
    return [id for (id,) in database.execute("SELECT id FROM workspaces")]


def test_two_apps_in_one_thread_keep_to_their_own_databases(two_apps):
    for _ in range(2):
        tenants = [app.test_client().get("/api/v1/auth/tenants").json for app in two_apps]
        assert [[tenant["id"] for tenant in of_one] for of_one in tenants] == [["ws-demo"], []]
        for app, expected in zip(two_apps, (["ws-demo"], []), strict=True):
            with app.app_context():
                assert workspaces() == expected


def test_a_context_within_one_of_another_app_ends_with_it(two_apps):
    demo, empty = two_apps
    with empty.app_context():
        with demo.app_context():
            assert workspaces() == ["ws-demo"]
        assert workspaces() == []
        assert demo.test_client().get("/api/v1/auth/tenants").json != []
        assert empty.test_client().get("/api/v1/auth/tenants").json == []
        assert workspaces() == []


def test_a_context_belongs_to_the_thread_that_begins_it(two_apps):
    context = two_apps[0].app_context()

    def ask():
        with context:
            found = workspaces()
            database.close_db()
            return found

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(ask).result() == ["ws-demo"]


# Failing


@pytest.fixture
def impatient(app):
    """Return the app, waiting for a lock for no more than a moment."""
    with app.app_context():
        database.execute("PRAGMA busy_timeout = 5")
    return app


def test_a_locked_database_is_503_and_works_again_afterwards(impatient, admin, error, caplog):
    body = {"id": "cat-new", "alias": "new", "name": "New"}
    with closing(sqlite3.connect(impatient.config["DATABASE"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = admin.post("/catalogs", body)
        error(answer, 503)
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.headers["X-Sigma-Required-Permission"] == "session"
        assert "locked" in caplog.text
        assert admin.get("/catalogs/cat-webshop").status_code == 200
        login = admin.post("/auth/login", {"email": "admin@sigma.io", "password": "admin"})
        error(login, 503)
        assert "Retry-After" in login.headers
        other.execute("ROLLBACK")
    error(admin.get("/catalogs/cat-new"), 404)
    assert admin.post("/catalogs", body).status_code == 201
    assert admin.get("/catalogs/cat-new").json == body


def test_a_key_reads_while_its_use_cannot_be_recorded(app, make_key, caplog):
    key = make_key("read")
    started = time.monotonic()
    with closing(sqlite3.connect(app.config["DATABASE"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert key.get("/catalogs").status_code == 200
    assert time.monotonic() - started < 3  # the wait for a write that matters is five seconds
    assert f"The use of API key {key.id} was not recorded" in caplog.text


DAMAGES = {
    "folder gone": lambda path: path.parent / "gone" / "sigma.db",
    "no database": lambda path: path.write_bytes(b"not a database at all" * 1000) and path,
    "empty file": lambda path: path.write_bytes(b"") or path,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_database_that_does_not_answer_makes_health_503(app, anonymous, admin, error, tmp_path, damage):
    app.config["DATABASE"] = str(DAMAGES[damage](tmp_path / "damaged.db"))
    for answer in (anonymous.get("/healthz"), app.test_client().get("/healthz")):
        error(answer, 503)
        assert int(answer.headers["Retry-After"]) > 0
    app.config["DATABASE"] = str(tmp_path / "sigma.db")
    assert anonymous.get("/healthz").json == {"status": "ok"}


def test_nothing_is_acknowledged_while_the_database_is_gone_or_another_is_in_its_place(app, admin, error, caplog):
    """SQLite itself would go on writing to the file that it has open, and all of that would be lost with it."""
    path, body = Path(app.config["DATABASE"]), {"id": "cat-new", "alias": "new", "name": "New"}
    assert admin.get("/catalogs").status_code == 200
    aside = path.rename(path.with_name("aside.db"))
    error(admin.post("/catalogs", body), 503)
    error(app.test_client().get("/healthz"), 503)
    assert not path.exists()
    shutil.copy(aside, path)
    error(admin.post("/catalogs", body), 503)
    assert f"{path} was replaced while in use" in caplog.text
    aside.rename(path)
    assert admin.post("/catalogs", body).status_code == 201


def test_a_write_into_a_database_that_goes_away_meanwhile_is_not_acknowledged(app, admin, error, monkeypatch):
    path, log_change = app.config["DATABASE"], history.log_change

    def log_and_lose(*arguments):
        log_change(*arguments)
        os.rename(path, f"{path}.gone")

    replace_everywhere(monkeypatch, history, "log_change", log_and_lose)
    record = {"id": "ent-lost", "schemaId": "schema-apparel", "values": {}}
    answer = admin.post("/records", record)
    error(answer, 503)
    assert answer.headers["Retry-After"] == "1"
    os.rename(f"{path}.gone", path)
    monkeypatch.undo()
    error(admin.get("/records/ent-lost"), 404)
    assert admin.post("/records", record).status_code == 201


def test_a_read_that_the_disk_fails_is_503_and_the_next_one_works(app, admin, error, monkeypatch):
    assert admin.patch("/records/ent-coastal-wb/values/price", {"value": 1}).status_code == 200

    def fail(*_):
        database.get_db().execute("ROLLBACK")  # as SQLite does by itself when the disk fails
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        replace_everywhere(patch, responses, "json_page", fail)
        error(admin.get("/records/ent-coastal-wb/audit-log"), 503)
    assert admin.get("/records/ent-coastal-wb/audit-log").status_code == 200


def test_damage_is_503_until_it_is_mended_and_is_not_remembered(app, admin, error):
    path = Path(app.config["DATABASE"])
    assert admin.post("/catalogs", {"id": "cat-new", "alias": "new", "name": "New"}).status_code == 201
    with app.app_context():
        database.execute("PRAGMA wal_checkpoint")
        database.execute("PRAGMA shrink_memory")  # nothing is answered from memory
    good = path.read_bytes()
    for content in (good[:4096] + b"x" * (len(good) - 4096), good):
        with path.open("r+b") as file:
            file.write(content)
        for url in ("/catalogs", "/healthz"):
            answer = admin.get(url)
            assert answer.status_code == 200 if content == good else error(answer, 503)


def test_a_stored_text_that_is_not_utf_8_any_more_is_damage_in_a_list_too(app, admin, error):
    body = {"id": "cat-new", "alias": "new", "name": "Nyt katalog på dansk"}
    assert admin.post("/catalogs", body).status_code == 201
    mend = "UPDATE model_objects SET body = CAST(? AS TEXT) WHERE tenant = 'ws-demo' AND kind = 'catalog' AND id = 'cat-new'"
    good = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    for text in (good.replace("å".encode(), b"\xff"), good):
        with app.app_context():
            database.execute(mend, text)
        for path in ("/catalogs", "/catalogs/cat-new"):
            answer = admin.get(path)
            assert answer.status_code == 200 if text == good else error(answer, 503)


def test_a_stored_text_that_is_no_json_is_damage(app, make_key, error):
    key = make_key("read")
    with app.app_context():
        database.execute("PRAGMA ignore_check_constraints = ON")
        database.execute("UPDATE api_keys SET permissions = '[\"read' WHERE tenant = 'ws-demo' AND id = ?", key.id)
    error(key.get("/records"), 503)


@pytest.fixture
def open_in_thread(app):
    """Return a function that opens a connection in a thread that then ends, and returns the connection."""

    def open_db():
        with app.app_context():
            return database.get_db()

    def run():
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(open_db).result()

    gc.disable()  # it closes connections, too, some time
    yield run
    gc.enable()


def is_open(connection):
    try:
        return connection.execute("SELECT 1").fetchone() == (1,)
    except sqlite3.ProgrammingError:
        return False


def test_what_a_thread_leaves_open_is_closed_when_the_next_one_is_opened(app, admin, open_in_thread):
    """A server may have a thread for each request: each would keep files open until Python looks for garbage."""
    assert admin.get("/roles").status_code == 200
    with app.app_context():
        kept = database.get_db()
    opened = [open_in_thread() for _ in range(3)]
    assert [is_open(connection) for connection in opened] == [False, False, True]
    assert is_open(kept)  # its thread goes on
    database.close_db()
    assert admin.get("/roles").status_code == 200
    assert not is_open(opened[-1])


def test_a_write_is_stored_while_the_last_other_connection_is_closed_and_one_is_opened(app, admin, monkeypatch):
    """The write-ahead log may then be another, and the one that was known is not compared with it."""
    path, identify, others = app.config["DATABASE"], files._identify_log, []

    def close_and_open(connection):
        files.forget_log(path, connection)
        with closing(database.connect(path)) as other:
            files.remember_log(path, other)
            files.forget_log(path, other)

    def identify_meanwhile(path):
        monkeypatch.setattr(files, "_identify_log", lambda path: None)
        others.append(threading.Thread(target=close_and_open, args=(database.get_db(),)))
        others[0].start()
        others[0].join(0.2)
        return identify(path)

    before = admin.get("/records").json["total"]  # opens a connection
    monkeypatch.setattr(files, "_identify_log", identify_meanwhile)
    assert admin.post("/records", {"schemaId": "schema-apparel", "values": {}}).status_code == 201
    others[0].join()
    monkeypatch.setattr(files, "_identify_log", identify)
    assert admin.get("/records").json["total"] == before + 1


def test_a_fork_leaves_the_connections_of_other_threads_alone(open_in_thread):
    """To close one there would take the log of writes from the process that has it open."""
    inherited = open_in_thread()
    if not (child := os.fork()):
        try:
            open_in_thread()
        finally:
            os._exit(0 if is_open(inherited) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    open_in_thread()
    assert not is_open(inherited)


def test_a_cursor_that_is_only_partly_read_ends_with_its_context_so_that_the_next_one_sees_what_has_changed(app):
    with app.app_context():
        rows = database.execute("SELECT id FROM workspaces")
        next(rows)
    sql(app, "UPDATE workspaces SET name = 'New'")
    with app.app_context():
        assert database.fetch_one("SELECT DISTINCT name FROM workspaces") == ("New",)
    with pytest.raises(sqlite3.ProgrammingError):
        next(rows)


def test_a_thread_of_which_there_may_be_many_keeps_little_of_the_database_in_memory(app):
    def cache_size(prepare):
        prepare()
        with app.app_context():
            (size,) = database.fetch_one("PRAGMA cache_size")
            database.close_db()
        return size

    for prepare, size in ((database.use_small_cache, -2000), (lambda: None, -32000)):
        with ThreadPoolExecutor(max_workers=1) as thread:
            assert thread.submit(cache_size, prepare).result() == size
