"""One app for the whole run, a fresh database for each test, and callers with real credentials.

Every test talks HTTP to the app as it is served: nothing here, or anywhere, switches access control off.
"""

import itertools
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import app as service
from sigma import database

ALL_PERMISSIONS = ("read", "update-data", "delete-data", "update-model", "delete-model")
PASSWORD = "correct horse battery staple"


@dataclass
class Caller:
    """A client of the API with one credential, or none."""

    app: Any
    headers: dict = field(default_factory=dict)
    id: str | None = None
    raw_key: str | None = None

    def request(self, method, path, json=None, headers=None, **options):
        """Send a request to a path below /api/v1; `json` is sent even when it is falsy, unless it is None."""
        if json is not None:
            options["json"] = json
        return self.app.test_client().open(
            f"/api/v1{path}", method=method, headers={**self.headers, **(headers or {})}, **options
        )

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


def replace_everywhere(monkeypatch, module, name, new):
    """Put something else in the place of a function or constant, in every module that has it."""
    original = getattr(module, name)
    for path, other in list(sys.modules.items()):
        if path.partition(".")[0] in ("app", "sigma") and getattr(other, name, None) is original:
            monkeypatch.setattr(other, name, new)


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A database with the demo workspace, and a second workspace `ws-other` whose admin is admin@other.example."""
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
    return service.create_app({"DATABASE": str(template)})


@pytest.fixture(scope="session")
def tokens(session_app):
    """One session token for each user, good for every copy of the template: they share its signing secret."""
    users = {"admin@sigma.io": "admin", "editor@sigma.io": "editor", "admin@other.example": PASSWORD}
    answers = {
        email: Caller(session_app).post("/auth/login", {"email": email, "password": password})
        for email, password in users.items()
    }
    database.close_db()
    return {email: answer.json["token"] for email, answer in answers.items()}


@pytest.fixture
def app(session_app, template, tokens, tmp_path):
    """The app, on a copy of the template that belongs to this test alone."""
    path = tmp_path / "sigma.db"
    shutil.copy(template, path)
    before = dict(session_app.config)
    session_app.config["DATABASE"] = str(path)
    yield session_app
    database.close_db()
    session_app.config.clear()
    session_app.config.update(before)


@pytest.fixture
def run(app):
    """Run a command on the test's database and answer its result."""

    def invoke(*arguments, stdin=None):
        result = app.test_cli_runner().invoke(args=arguments, input=stdin)
        database.close_db()
        return result

    return invoke


@pytest.fixture
def anonymous(app):
    """A caller without a credential."""
    return Caller(app)


@pytest.fixture
def sign_in(app, tokens):
    """Make a caller who is signed in with this email."""
    return lambda email: Caller(app, {"Authorization": f"Bearer {tokens[email]}"})


@pytest.fixture
def admin(sign_in):
    """The demo workspace's administrator, signed in."""
    return sign_in("admin@sigma.io")


@pytest.fixture
def editor(sign_in):
    """The demo workspace's editor, signed in: a role without any flag to manage things."""
    return sign_in("editor@sigma.io")


@pytest.fixture
def stranger(sign_in):
    """The administrator of another workspace, signed in."""
    return sign_in("admin@other.example")


@pytest.fixture
def make_key(app, admin):
    """Make a caller with a new API key that holds these permissions (all of them when none is named)."""
    count = itertools.count(1)

    def make(*permissions, by=admin):
        body = {"name": f"Key {next(count)}", "permissions": list(permissions or ALL_PERMISSIONS)}
        answer = by.post("/api-keys", body)
        assert answer.status_code == 201, answer.json
        return Caller(app, {"X-Sigma-ApiKey": answer.json["rawKey"]}, answer.json["id"], answer.json["rawKey"])

    return make


@pytest.fixture
def key(make_key):
    """A caller with a key that holds every permission."""
    return make_key()


@pytest.fixture
def error():
    """Check that an answer is a refusal in the one shape, and answer its message."""
    codes = {
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
        503: "UNAVAILABLE",
    }

    def check(answer, status, code=None):
        assert answer.status_code == status, answer.get_data(as_text=True)
        assert answer.content_type == "application/json"
        assert list(answer.json) == ["error", "message"]
        assert answer.json["error"] == (code or codes[status])
        return answer.json["message"]

    return check
