"""One app for the whole run, a fresh database for each test, and callers with real credentials.

Tests talk HTTP to the app as it is served: nothing here, or anywhere, switches access control off.
"""

import gc
import importlib
import itertools
import re
import shutil
import sqlite3
import sys
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from client import QuickClient
from receivers import receiving
from werkzeug.serving import make_server

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import app as service
from sigma import database
from sigma.resources import sessions

ALL_PERMISSIONS = ("read", "update-data", "delete-data", "update-model", "delete-model")
PASSWORD = "correct horse battery staple"  # of admin@other.example
HASHING = sessions.HASHING  # as it is served
EXAMPLE_KEY = "sigma_sk_live_abc123def456ghi789jkl012mno345pqr678"  # of the published page; the demo workspace has it


@cache
def client_of(app):
    """Return the one client of an app; it keeps no cookies, because the service sets none."""
    return app.test_client(use_cookies=False)


@dataclass
class Caller:
    """A client of the API with one credential, or none; `id` and `raw_key` are those of its API key."""

    app: Any
    headers: dict = field(default_factory=dict)
    id: str | None = None
    raw_key: str | None = None

    def request(self, method, path, json=None, headers=None, **options):
        """Send a request to a path below /api/v1, with a JSON body unless it is None."""
        if json is not None:
            options["json"] = json
        headers = {**self.headers, **(headers or {})}
        return client_of(self.app).open(f"/api/v1{path}", method=method, headers=headers, **options)

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, json=None, **options):
        return self.request("POST", path, json=json, **options)

    def put(self, path, json=None, **options):
        return self.request("PUT", path, json=json, **options)

    def patch(self, path, json=None, **options):
        return self.request("PATCH", path, json=json, **options)

    def delete(self, path, **options):
        return self.request("DELETE", path, **options)


def sql(app, statement, *parameters):
    """Run one statement on the test's database file, beside the service, and return the rows."""
    with closing(sqlite3.connect(app.config["DATABASE"])) as db, db:
        return db.execute(statement, parameters).fetchall()


def store_delivery(app, id, webhook="wh-sync-notify", made_at=None, body="{}", tenant="ws-demo"):
    """Store a delivery that waits for a webhook, as if a change had made it, now if no time is given."""
    columns = "INSERT INTO deliveries (tenant, id, webhook_id, event, body, made_at) VALUES (?, ?, ?, 'entity.created', ?, ?)"
    sql(app, columns, tenant, id, webhook, body, time.time() if made_at is None else made_at)


def without_hint(message):
    """Return a message without what it says in brackets of which names there are, or how a value is sent; see test_hints.py."""
    return re.sub(r" \((?:there (?:is|are)|its (?:id|alias) is|send) [^()]*\)", "", message)


def shape(answer):
    """Return all that a client sees of an answer, but for the id that each request has of its own."""
    return answer.status_code, sorted({**answer.headers, "X-Request-Id": ""}.items()), answer.data


def replace_everywhere(monkeypatch, module, name, new):
    """Put something else in the place of a function or constant, in every module that imports it."""
    original = getattr(module, name)
    for path, other in list(sys.modules.items()):
        if path.partition(".")[0] in ("app", "sigma") and getattr(other, name, None) is original:
            monkeypatch.setattr(other, name, new)


@pytest.fixture(scope="session", autouse=True)
def quick_passwords():
    """Let the run hash passwords at nearly no cost; test_sessions.py says what it is otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "HASHING", "scrypt:128:8:1")
        replace_everywhere(patch, sessions, "NO_PASSWORD", sessions.NO_PASSWORD.replace(HASHING, "scrypt:128:8:1"))
        yield


@pytest.fixture(scope="session")
def template(quick_passwords, tmp_path_factory):
    """Return the path of a database with the demo workspace, and a workspace `ws-other` of admin@other.example.

    Each test gets a copy, because making one takes longer than most tests.
    """
    path = tmp_path_factory.mktemp("template") / "template.db"
    app = service.create_app({"DATABASE": str(path)})
    runner = app.test_cli_runner()
    for arguments, stdin in (
        (["demo"], None),
        (["workspace", "create", "ws-other", "--name", "Other", "--email", "admin@other.example"], f"{PASSWORD}\n"),
    ):
        result = runner.invoke(args=arguments, input=stdin)
        assert result.exit_code == 0, result.output
    with app.app_context():
        database.execute("UPDATE users SET sessions_from = sessions_from - 86400")  # as if they had been made yesterday
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close_db()
    return path


@pytest.fixture(scope="session")
def session_app(template):
    """Return the one app of the run; tests take it from `app`, with a database of their own."""
    app = service.create_app({"DATABASE": str(template)})
    app.test_client_class = QuickClient
    return app


@pytest.fixture(scope="session")
def tokens(session_app):
    """Return a session token of each user by email; it is good for every copy of the template, with its signing secret."""
    users = {"admin@sigma.io": "admin", "editor@sigma.io": "editor", "admin@other.example": PASSWORD}
    answers = {
        email: Caller(session_app).post("/auth/login", {"email": email, "password": password})
        for email, password in users.items()
    }
    database.close_db()
    return {email: answer.json["token"] for email, answer in answers.items()}


@pytest.fixture(scope="session")
def prepare(session_app, template, tokens, tmp_path_factory):
    """Return a function that makes a template of a module's own: the common one, and what a function adds as a caller."""

    def make(add, email="admin@sigma.io"):
        path, common = tmp_path_factory.mktemp("prepared") / "template.db", session_app.config["DATABASE"]
        shutil.copy(template, path)
        session_app.config["DATABASE"] = str(path)
        add(Caller(session_app, {"Authorization": f"Bearer {tokens[email]}"}))
        database.close_db()  # which writes all of it to the file, because nobody else has it open
        session_app.config["DATABASE"] = common
        return path

    return make


@pytest.fixture(scope="module")
def initial_database(template):
    """Return the path of the database of which each test gets a copy; a module whose tests share more has its own."""
    return template


@pytest.fixture
def app(session_app, initial_database, tokens, tmp_path):
    """Yield the app, on a copy of the module's template that belongs to this test alone."""
    path = tmp_path / "sigma.db"
    shutil.copy(initial_database, path)
    before = dict(session_app.config)
    session_app.config["DATABASE"] = str(path)
    session_app.extensions["journal"].clear()
    yield session_app
    database.close_db()
    session_app.config.clear()
    session_app.config.update(before)


@pytest.fixture
def address(app, monkeypatch):
    """Yield the address at which the app is served, by one thread, as long as the test takes."""
    monkeypatch.setattr("werkzeug.serving.WSGIRequestHandler.log", lambda *_: None)
    app.config["REQUEST_LOG"] = False

    class Closing:  # each request closes its thread's connection, so that nothing outlives the test
        def __call__(self, environ, respond):
            try:
                return app(environ, respond)
            finally:
                database.close_db()

    server = make_server("127.0.0.1", 0, Closing())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def run(app):
    """Return a function that runs a command on the test's database and returns its result.

    The line that names the database is taken off; test_database_of_commands.py is about it.
    """

    def invoke(*arguments, stdin=None):
        result = app.test_cli_runner().invoke(args=arguments, input=stdin)
        database.close_db()
        line = f"Database: {app.config['DATABASE']}\n".encode()
        result.stderr_bytes = result.stderr_bytes.removeprefix(line)
        result.output_bytes = result.output_bytes.removeprefix(line)
        return result

    return invoke


@pytest.fixture
def deployment(app):
    """Return the app, on a database without the demo workspace, as one that was made for a company has it."""
    with_tenant = "SELECT m.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'tenant'"
    for (table,) in sql(app, with_tenant):
        sql(app, f"DELETE FROM {table} WHERE tenant <> 'ws-other'")
    sql(app, "DELETE FROM workspaces WHERE id <> 'ws-other'")
    return app


@pytest.fixture
def anonymous(app):
    """Return a caller without a credential."""
    return Caller(app)


@pytest.fixture
def sign_in(app, tokens):
    """Return a function that makes a caller who is signed in with an email."""
    return lambda email: Caller(app, {"Authorization": f"Bearer {tokens[email]}"})


@pytest.fixture
def admin(sign_in):
    """Return the demo workspace's administrator, signed in."""
    return sign_in("admin@sigma.io")


@pytest.fixture
def editor(sign_in):
    """Return the demo workspace's editor, signed in: a role that may manage nothing."""
    return sign_in("editor@sigma.io")


@pytest.fixture
def stranger(sign_in):
    """Return the administrator of another workspace, signed in."""
    return sign_in("admin@other.example")


@pytest.fixture
def make_key(app, admin):
    """Return a function that makes a caller with a new API key; it holds the permissions named, or all when none is."""
    count = itertools.count(1)

    def make(*permissions, by=admin):
        body = {"name": f"Key {next(count)}", "permissions": list(permissions or ALL_PERMISSIONS)}
        answer = by.post("/api-keys", body)
        assert answer.status_code == 201, answer.json
        return Caller(app, {"X-Sigma-ApiKey": answer.json["rawKey"]}, answer.json["id"], answer.json["rawKey"])

    return make


@pytest.fixture
def key(make_key):
    """Return a caller with a key that holds every permission."""
    return make_key()


@pytest.fixture
def receiver():
    """Yield a receiver of webhooks that takes what comes."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def subscribe(admin):
    """Return a function that makes a webhook for a receiver, and a record of which it is told for each id."""

    def make(receiver, *records, id="wh-one", **more):
        body = {"id": id, "name": "One", "url": receiver.url, "events": ["entity.created"], **more}
        answer = admin.post("/webhooks", body)
        assert answer.status_code == 201, answer.text
        for record in records:
            assert admin.post("/records", {"id": record, "schemaId": "schema-apparel", "values": {}}).status_code == 201

    return make


@pytest.fixture
def standin(app):
    """Return a function that sends a request to a path below /standin."""

    def send(method, path, json=None, **options):
        if json is not None:
            options["json"] = json
        return client_of(app).open(f"/standin{path}", method=method, **options)

    return send


@pytest.fixture
def stored(app):
    """Return a function that returns all that the database holds, but for API keys, whose use is recorded all the time."""

    def rows():
        with closing(sqlite3.connect(app.config["DATABASE"])) as db:
            tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            return {name: db.execute(f"SELECT * FROM {name}").fetchall() for name in tables if name != "api_keys"}

    return rows


@pytest.fixture
def error():
    """Return a function that checks that an answer is an error in the one shape, and returns its message."""
    codes = {  # a copy of the contract's table on purpose: read from the service, it would agree with any mistake there
        400: "VALIDATION_ERROR",
        401: "UNAUTHORIZED",
        403: "PERMISSION_DENIED",
        404: "NOT_FOUND",
        405: "METHOD_NOT_ALLOWED",
        409: "CONFLICT",
        413: "PAYLOAD_TOO_LARGE",
        415: "UNSUPPORTED_MEDIA_TYPE",
        422: "TRANSITION_ERROR",
        429: "RATE_LIMITED",
        500: "INTERNAL_ERROR",
        501: "NOT_IMPLEMENTED",
        503: "UNAVAILABLE",
    }

    def check(answer, status, code=None):
        assert answer.status_code == status, answer.get_data(as_text=True)
        assert answer.content_type == "application/json"
        assert list(answer.json) == ["error", "message"]
        assert answer.json["error"] == (code or codes[status])
        return answer.json["message"]

    return check


def pytest_sessionstart(session):
    """Import the test modules in another order in each worker of a whole run.

    In a fresh clone they have to be compiled first, which takes seconds; so no two workers compile the same ones.
    """
    worker = getattr(session.config, "workerinput", None)
    if worker and session.config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        modules = sorted(path.stem for path in Path(__file__).parent.glob("test_*.py"))
        first = len(modules) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
        for module in modules[first:] + modules[:first]:
            with suppress(Exception, pytest.skip.Exception):  # which is told when the module's tests are collected
                importlib.import_module(module)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Begin with the tests of many cases, which take longest: with one of them at the end, the other workers would wait."""
    items.sort(key=lambda item: getattr(item.function, "cases", 1) < 40)


def pytest_collection_finish():
    """Leave the tests themselves, thousands of objects that stay, out of every later look for garbage."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
