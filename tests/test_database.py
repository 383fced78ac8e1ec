"""Starting: the database that is made or refused, and the settings."""

import ast
import os
import re
import sqlite3
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import jwt
import pytest
from conftest import Caller

import app as service
from sigma import database, settings

ROOT = Path(service.__file__).parent
SECRET = "0123456789abcdef0123456789abcdef"

# Every setting: its variable, a good value, what is made of it, and what it is without one.
SETTINGS = {
    "DATABASE": ("SIGMA_DATABASE", "{tmp}/other.db", "{tmp}/other.db", str(ROOT / "sigma.db")),
    "JWT_SECRET": ("SIGMA_JWT_SECRET", SECRET, SECRET, None),
    "RECORD_LIMIT": ("SIGMA_RECORD_LIMIT", "500", 500, None),
    "ALLOW_PUBLIC_DEMO": ("SIGMA_ALLOW_PUBLIC_DEMO", "1", True, False),
    "PROXIES": ("SIGMA_PROXIES", "2", 2, 0),
    "REQUEST_LOG": ("SIGMA_REQUEST_LOG", "0", False, True),
    "STANDIN_HOSTS": (
        *("SIGMA_STANDIN_HOSTS", "pim.test, Sigma_1,[FD00::1]"),
        *(("pim.test", "sigma_1", "[fd00::1]"), ()),
    ),
    "HOST": ("SIGMA_HOST", "0.0.0.0", "0.0.0.0", "127.0.0.1"),
    "PORT": ("SIGMA_PORT", "9000", 9000, 8080),
    "WORKERS": ("SIGMA_WORKERS", "4", 4, 1),
}

ARGUMENTS = {  # what a program may give in the place of 7, and what is made of it
    "DATABASE": ("argument.db", None),
    "JWT_SECRET": (SECRET, SECRET),
    "ALLOW_PUBLIC_DEMO": (True, True),
    "REQUEST_LOG": (False, False),
    "STANDIN_HOSTS": (["A.test", "b.test"], ("a.test", "b.test")),
    "HOST": ("::1", "::1"),
}
SERVING = ["HOST", "PORT", "WORKERS"]  # only what serves looks at these, and at their plain names when the others are not set


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    """No setting comes from the environment that the tests run in."""
    for variable in (*(variable for variable, *_ in SETTINGS.values()), *SERVING):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(autouse=True)
def no_connection_left():
    yield
    database.close_db()


def query(path, sql):
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def refusal(path):
    """Why the service does not start on this file."""
    with pytest.raises(settings.StartError) as caught:
        service.create_app({"DATABASE": str(path)})
    return caught.value.format_message()


def flask(*arguments, **environment):
    """Run a command as people do."""
    command, environment = [sys.executable, "-m", "flask", "--app", "app", *arguments], {**os.environ, **environment}
    return subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30)


# -- The database


def test_the_database_is_made_on_first_use(tmp_path):
    path = tmp_path / "new.db"
    app = service.create_app({"DATABASE": str(path)})
    assert Caller(app).get("/auth/tenants").json == []
    assert query(path, "PRAGMA user_version") == [(database.SCHEMA_VERSION,)]
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
    assert files["new.db"] == "-rw-------"
    assert set(files.values()) == {"-rw-------"}  # what is written ahead holds the same secrets


def test_each_database_has_a_signing_secret_of_its_own(tmp_path):
    secrets = []
    for name in ("a.db", "b.db"):
        service.create_app({"DATABASE": str(tmp_path / name)})
        secrets += query(tmp_path / name, "SELECT value FROM settings WHERE name = 'jwt_secret'")[0]
    assert secrets[0] != secrets[1]
    assert all(re.fullmatch("[0-9a-f]{64}", secret) for secret in secrets)


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
    assert query(path, "PRAGMA user_version") == [(database.SCHEMA_VERSION,)]


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
    assert str(database.SCHEMA_VERSION) in message


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


# -- Settings


def test_the_table_above_has_every_setting():
    assert {name: setting.variables for name, setting in settings.SETTINGS.items()} == {
        name: (variable, name) if name in SERVING else (variable,) for name, (variable, *_) in SETTINGS.items()
    }


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_comes_from_its_argument_else_the_environment_else_its_default(tmp_path, monkeypatch, name):
    variable, text, value, default = (part.format(tmp=tmp_path) if isinstance(part, str) else part for part in SETTINGS[name])
    assert settings.read_setting(name, {}) == default
    monkeypatch.setenv(variable, text)
    assert settings.read_setting(name, {}) == value
    argument, read = ARGUMENTS.get(name, (7, 7))
    argument = tmp_path / argument if name == "DATABASE" else argument
    config = service.create_app({"DATABASE": str(tmp_path / "new.db"), name: argument}).config
    assert config[name] == (str(argument) if name == "DATABASE" else read)
    assert settings.read_setting(name, config) == config[name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("DATABASE", value) for value in ("a\n.db", "a\0.db", {}, 1.5)),
        *(("RECORD_LIMIT", value) for value in ("many", "1_000", -1, 1.5, [1, 2], "True")),
        *(("JWT_SECRET", value) for value in ("short", 10**6, b"0" * 40)),
        *(("ALLOW_PUBLIC_DEMO", value) for value in ("yes", 2, "True")),
        *(("STANDIN_HOSTS", value) for value in ("*", ["a.test", "b.test:80"], [None])),
        *(("PORT", value) for value in ("http", -1, 65536)),
        *(("HOST", value) for value in ("pim.example.org", 7)),
        ("PROXIES", 11),
        ("REQUEST_LOG", "no"),
        ("WORKERS", 0),
    ],
    ids=repr,
)
def test_an_argument_is_read_as_the_variable_is(tmp_path, name, value):
    with pytest.raises(settings.StartError) as caught:
        service.create_app({"DATABASE": str(tmp_path / "new.db"), name: value})
    assert re.match(f"{name}: expected ", caught.value.format_message())
    assert list(tmp_path.iterdir()) == []


def test_an_argument_that_is_none_means_the_default_whatever_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGMA_RECORD_LIMIT", "5")
    config = {"DATABASE": str(tmp_path / "new.db")}
    assert service.create_app(config).config["RECORD_LIMIT"] == 5
    assert service.create_app({**config, "RECORD_LIMIT": None}).config["RECORD_LIMIT"] is None


def test_an_unknown_setting_is_refused_and_those_that_exist_are_named(tmp_path):
    with pytest.raises(settings.StartError) as caught:
        service.create_app({"DATABASE": str(tmp_path / "new.db"), "RECORDLIMIT": 5, "TESTING": True})
    message = caught.value.format_message()
    assert message.startswith("RECORDLIMIT: ")
    assert "TESTING" not in message
    assert all(name in message for name in SETTINGS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", SERVING)
def test_the_services_own_variable_wins_over_the_plain_one(monkeypatch, name):
    variable, text, value, default = SETTINGS[name]
    monkeypatch.setenv(name, text)
    assert settings.read_setting(name, {}) == value
    monkeypatch.setenv(variable, str(default))
    assert settings.read_setting(name, {}) == default


def test_what_only_serving_needs_is_judged_only_there(tmp_path):
    """conda sets HOST to the kind of machine, x86_64-conda-linux-gnu."""
    environment = {"SIGMA_DATABASE": str(tmp_path / "new.db"), "HOST": "x86_64-conda-linux-gnu", "PORT": "none"}
    for command in (["demo"], ["workspace", "list"], ["keys", "list"], ["routes"]):
        result = flask(*command, **environment)
        assert (result.returncode, result.stderr) == (0, "")
    result = flask("serve", **environment)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "Error: HOST: expected an IP address or localhost, got 'x86_64-conda-linux-gnu'\n"
    result = flask("serve", **environment, SIGMA_HOST="127.0.0.1")
    assert result.stderr == "Error: PORT: expected a whole number from 0 to 65535, got 'none'\n"


@pytest.mark.parametrize("variable", [variable for variable, *_ in SETTINGS.values()])
def test_an_empty_variable_is_like_none(monkeypatch, variable):
    monkeypatch.setenv(variable, "")
    assert {name: settings.read_setting(name, {}) for name in SETTINGS} == {
        name: default for name, (*_, default) in SETTINGS.items()
    }


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        *(("SIGMA_RECORD_LIMIT", text) for text in ("-1", "many", "1.5", "1e3", " ", "1_000", "\u0661", "+1")),
        *(("SIGMA_JWT_SECRET", text) for text in ("short", SECRET[:-1])),
        *(("SIGMA_ALLOW_PUBLIC_DEMO", text) for text in ("yes", "2")),
        *(("SIGMA_STANDIN_HOSTS", text) for text in ("*", "a.test:80", "http://a.test", "a.test,", ".test", "fd00::1")),
    ],
)
def test_a_bad_value_is_refused_and_its_variable_named(tmp_path, monkeypatch, variable, text):
    monkeypatch.setenv(variable, text)
    with pytest.raises(settings.StartError) as caught:
        service.create_app({"DATABASE": str(tmp_path / "new.db")})
    message = caught.value.format_message()
    assert variable in message
    assert "xpected" in message
    assert SECRET[:-1] not in message
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        *(("PORT", text) for text in ("-1", "http", "80.0", "65536", "999999999")),
        *(("HOST", text) for text in ("pim.example.org", "localhost:80", "256.1.1.1", "*")),
        *(("WORKERS", text) for text in ("0", "-1", "two", "1.5")),
    ],
)
@pytest.mark.parametrize("prefix", ["", "SIGMA_"])
def test_a_bad_value_of_what_serving_needs_is_refused_too(monkeypatch, variable, text, prefix):
    monkeypatch.setenv(prefix + variable, text)
    with pytest.raises(settings.StartError, match=f"^{prefix}{variable}: expected "):
        settings.read_setting(variable, {})


def test_a_relative_path_means_the_directory_one_started_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIGMA_DATABASE", "here.db")
    app = service.create_app()
    monkeypatch.chdir("/")
    assert Caller(app).get("/healthz").status_code == 200
    assert (tmp_path / "here.db").is_file()


def test_the_secret_signs_the_sessions(app, admin, error):
    app.config["JWT_SECRET"] = SECRET
    error(admin.get("/records"), 401)
    claims = {"userId": "user-admin", "workspaceId": "ws-demo", "roleId": "role-admin", "iat": int(time.time()), "exp": 10**11}
    ours = {"Authorization": f"Bearer {jwt.encode(claims, SECRET, algorithm='HS256')}"}
    token = Caller(app, ours).post("/auth/refresh").json["token"]
    assert jwt.decode(token, SECRET, algorithms=["HS256"])["userId"] == "user-admin"
    app.config["JWT_SECRET"] = None
    error(Caller(app, ours).get("/records"), 401)
    assert admin.get("/records").status_code == 200


@pytest.mark.parametrize("limit", [0, 2, 3])
def test_the_record_limit_is_kept(app, key, error, limit):
    app.config["RECORD_LIMIT"] = limit
    answers = [key.post("/records", {"schemaId": "schema-apparel", "values": {}}) for _ in range(2)]
    free = max(0, limit - 2)  # the demo workspace has two
    assert [answer.status_code for answer in answers] == [201] * free + [403] * (2 - free)
    error(answers[-1], 403, "LIMIT_EXCEEDED")
    assert key.get("/records").json["total"] == 2 + free


def test_a_setting_of_one_app_is_none_of_another(tmp_path):
    first = service.create_app({"DATABASE": str(tmp_path / "a.db"), "RECORD_LIMIT": 1})
    second = service.create_app({"DATABASE": str(tmp_path / "b.db")})
    assert (first.config["RECORD_LIMIT"], second.config["RECORD_LIMIT"]) == (1, None)


ANOTHER_PROCESS = """
import sqlite3
import sys

with sqlite3.connect(sys.argv[1]) as db:
    print([value for (value,) in db.execute("SELECT value FROM settings WHERE name LIKE 'note %' ORDER BY name")])
db.close()
"""


def seen_by_another_process(path):
    """What is noted in a database, as a process sees it that opens it and closes it again."""
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
    """Two apps on databases of their own; the first has the demo workspace."""
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


def test_a_database_in_memory_is_refused_because_each_thread_would_have_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "file" in refusal(":memory:")
    monkeypatch.setenv("SIGMA_DATABASE", ":memory:")
    with pytest.raises(settings.StartError, match="must be a file"):
        service.create_app()
    assert list(tmp_path.iterdir()) == []
