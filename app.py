"""Sigma PIM, embedded: the product-information service's REST API on one machine, in one file, on one SQLite database.

Start it with `make run`, or from Python with `create_app({"DATABASE": "sigma.db"})`, which answers the WSGI application.
Integrations send an API key in X-Sigma-ApiKey, people a Bearer token; every route below /api/v1 says who may call it, in
the line that starts with @requires, @session_only or @public, and one before_request hook holds them all to it.

`grep '^# ==' app.py` prints the map; nothing is used before it is defined.
"""

import functools
import gc
import hashlib
import http.client
import ipaddress
import itertools
import json
import logging
import math
import os
import re
import secrets
import select
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import click
import flask_swagger_ui
import jwt
import marshmallow as ma
import re2
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import (
    Flask,
    Request,
    Response,
    current_app,
    g,
    has_app_context,
    has_request_context,
    redirect,
    request,
    send_from_directory,
)
from flask.ctx import AppContext
from flask.logging import default_handler
from flask.sessions import NullSession, SessionInterface
from flask_smorest import Api, Blueprint
from marshmallow import fields, validate
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import MapAdapter, Rule
from werkzeug.security import check_password_hash, generate_password_hash

HERE = Path(__file__).resolve().parent


# == Permissions ==
# The published catalogue: what an API key may hold, in the order in which keys list what they hold.

PERMISSIONS = {
    "read": "Read all resources: records, schemas, catalogs, dimensions, option lists, workflows",
    "update-data": "Create and update records, variants, catalog assignments",
    "delete-data": "Delete records, variants, catalog assignments",
    "update-model": "Create and update schemas, attributes, dimensions, option lists, workflows, roles",
    "delete-model": "Delete schemas, attributes, dimensions, option lists, workflows, roles",
}

# What a role may allow the people who have it.
ROLE_FLAGS = {
    "canManageSchemas": "Create, edit and delete schemas, attributes, workflows, catalogs",
    "canManageRoles": "Create, edit and delete roles and API keys",
    "canManageDimensions": "Create, edit and delete dimensions",
    "canManageOptionLists": "Create, edit and delete option lists",
    "canExport": "Export data",
    "canImport": "Import data",
}


# == Settings ==


class StartError(click.ClickException):
    """Why the service cannot start, and what to do about it."""


class Setting(NamedTuple):
    """One setting: its environment variables, of which the first counts, how its text is read, its default, what it means."""

    variables: tuple[str, ...]
    read: Callable[[str], Any]
    default: Any
    meaning: str
    is_for_serving: bool = False  # and judged only by what serves: a shell may have a HOST of its own, as conda's does


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Answer a reader of whole numbers in a range."""

    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,15}", text) or not least <= int(text) <= most:
            raise ValueError(f"expected a whole number from {least} to {most}, got '{text[:60]}'")
        return int(text)

    return read


def yes_or_no(text: str) -> bool:
    """Read a switch."""
    if text not in ("0", "1"):
        raise ValueError(f"expected 0 or 1, got '{text}'")
    return text == "1"


def host_names(text: str) -> tuple[str, ...]:
    """Read a list of hosts' names or addresses, without ports."""
    names = tuple(name.strip().lower() for name in text.split(","))
    for name in names:
        if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]", name):
            raise ValueError(f"expected host names without ports, with commas between them, got '{name[:60]}'")
    return names


def database_path(text: str) -> str:
    """Read a file's path, which from then on means the same wherever one goes."""
    if not text.isprintable():
        raise ValueError(f"expected the path of a file, got {text[:60]!r}")
    if text == ":memory:":
        return text
    return os.path.abspath(text) + os.sep * text.endswith(os.sep)  # what can only be a folder stays one


def host_address(text: str) -> str:
    """Read an address to serve on; names are left to those who know to which of a host's addresses they lead."""
    try:
        return str(ipaddress.ip_address("127.0.0.1" if text == "localhost" else text.strip("[]")))
    except ValueError:
        raise ValueError(f"expected an IP address or localhost, got '{text[:60]}'") from None


def signing_secret(text: str) -> str:
    """Read a secret long enough for HS256 (RFC 7518, section 3.2: as long as the hash)."""
    if len(text.encode()) < 32:
        raise ValueError("expected 32 bytes or more, for example from: openssl rand -hex 32")
    return text


SETTINGS = {
    "DATABASE": Setting(("SIGMA_DATABASE",), database_path, str(HERE / "sigma.db"), "The SQLite file, made when missing"),
    "JWT_SECRET": Setting(
        ("SIGMA_JWT_SECRET",), signing_secret, None, "Signs session tokens; unset, a random one in the database"
    ),
    "RECORD_LIMIT": Setting(
        ("SIGMA_RECORD_LIMIT",), whole_number(0, 10**9), None, "Most records a workspace may hold; unset, no limit"
    ),
    "ALLOW_PUBLIC_DEMO": Setting(("SIGMA_ALLOW_PUBLIC_DEMO",), yes_or_no, False, "1 serves demo data beyond loopback"),
    "PROXIES": Setting(
        ("SIGMA_PROXIES",), whole_number(0, 10), 0, "How many proxies stand in front, each adding to X-Forwarded-For"
    ),
    "REQUEST_LOG": Setting(("SIGMA_REQUEST_LOG",), yes_or_no, True, "0 leaves out of the log the line about each request"),
    "STANDIN_HOSTS": Setting(
        ("SIGMA_STANDIN_HOSTS",), host_names, (), "More names of this host, by which test suites may call /standin"
    ),
    "HOST": Setting(("SIGMA_HOST", "HOST"), host_address, "127.0.0.1", "Address to serve on", is_for_serving=True),
    "PORT": Setting(
        ("SIGMA_PORT", "PORT"), whole_number(0, 65535), 8080, "Port to serve on; 0 takes a free one", is_for_serving=True
    ),
    "WORKERS": Setting(("SIGMA_WORKERS", "WORKERS"), whole_number(1, 64), 1, "Worker processes", is_for_serving=True),
}


def setting_text(value: Any) -> str:
    """Answer how a value that a program gives would stand in the environment. Raises ValueError."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, list | tuple):
        return ",".join(setting_text(item) or "''" for item in value)
    if isinstance(value, str | int | os.PathLike):
        return os.fspath(value) if isinstance(value, os.PathLike) else str(value)
    raise ValueError(f"expected text or a number, got {type(value).__name__}")


def read_setting(name: str, given: Mapping[str, Any]) -> Any:
    """Answer a setting's value: what a program gives for it, else what the environment says, else its default.

    Raises StartError for a value that cannot be read.
    """
    setting = SETTINGS[name]
    source = name if name in given else next((name for name in setting.variables if os.environ.get(name)), "")
    try:
        text = setting_text(given[name]) if name in given else os.environ.get(source, "")
        return setting.read(text) if text else setting.default
    except ValueError as error:
        raise StartError(f"{source}: {error}") from None


def read_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the value of each setting but those that only serving needs, unless a program gives them.

    Raises StartError for a value that cannot be read, or a name that is no setting of the service or of Flask.
    """
    if unknown := given.keys() - SETTINGS.keys() - Flask.default_config.keys():
        raise StartError(f"{', '.join(sorted(unknown))}: no such setting; there are {', '.join(SETTINGS)}, and those of Flask")
    wanted = (name for name, setting in SETTINGS.items() if name in given or not setting.is_for_serving)
    return {**given, **{name: read_setting(name, given) for name in wanted}}


# == Database ==
# One SQLite file; one connection for each thread, kept open, because opening one costs more than a whole request.

SCHEMA_VERSION = 3
APPLICATION_ID = 0x5349474D
UPGRADES = {  # what brings a database of each older version to the next one; schema.sql says what the columns mean
    1: """
        ALTER TABLE workspaces ADD COLUMN is_disposable INTEGER NOT NULL DEFAULT 0 CHECK (is_disposable IN (0, 1));
        ALTER TABLE categories ADD COLUMN total INTEGER NOT NULL DEFAULT 0 CHECK (total >= 0);
        UPDATE categories SET total = (
            SELECT count(*) FROM category_assignments a WHERE a.tenant = categories.tenant AND a.category_id = categories.id
        );
        CREATE TRIGGER category_assigned AFTER INSERT ON category_assignments BEGIN
            UPDATE categories SET total = total + 1 WHERE tenant = new.tenant AND id = new.category_id;
        END;
        CREATE TRIGGER category_unassigned AFTER DELETE ON category_assignments BEGIN
            UPDATE categories SET total = total - 1 WHERE tenant = old.tenant AND id = old.category_id;
        END;
        PRAGMA user_version = 2;
    """,
    2: """
        ALTER TABLE users ADD COLUMN sessions_from INTEGER NOT NULL DEFAULT 0;
        PRAGMA user_version = 3;
    """,
}
BUSY_TIMEOUT = 5  # seconds that a write waits for another one
LOOK_EVERY = 0.1  # seconds; a look before every statement would make a read a tenth slower


class ThreadState(threading.local):
    """What each thread keeps: the database that its statements go to, and its connection."""

    db: sqlite3.Connection
    path = ""
    file: tuple[int, int] | None = None  # which file the connection is open on
    look_at = 0.0  # when to see next whether that is still the one at the path


_thread = ThreadState()
_prepared: dict[str, tuple[int, int]] = {}  # which file each path meant when this process prepared it


class DatabaseMovedError(sqlite3.OperationalError):
    """That the database was removed or replaced while in use."""

    sqlite_errorname = "SQLITE_READONLY_DBMOVED"  # SQLite's own word for it; in WAL mode it does not look


def identify(path: str) -> tuple[int, int]:
    """Answer which file is at a path. Raises DatabaseMovedError if there is none."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise DatabaseMovedError(f"{path}: {error.strerror}") from error
    return status.st_dev, status.st_ino


def connect(path: str) -> sqlite3.Connection:
    """Open the database file. Every commit is on disk before it is acknowledged (synchronous=FULL)."""
    db = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, cached_statements=256)
    try:
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA cache_size = -32000")  # kB: the indexes' upper levels stay in memory, with a million keys too
    except sqlite3.Error:  # not a database
        db.close()
        raise
    return db


def close_db() -> None:
    """Close this thread's connection, if it has one."""
    if _thread.file is not None:
        _thread.db.close()
    _thread.file, _thread.look_at = None, 0.0


def require_same_file(path: str) -> None:
    """Raise DatabaseMovedError unless the file at a path is the one that this process prepared."""
    file = identify(path)
    if _prepared.setdefault(path, file) != file:
        raise DatabaseMovedError(f"{path} was replaced while in use; put it back, or start the service again")


def open_db() -> None:
    """Open this thread's connection, or see that the file it is open on is still the one at the path.

    Raises DatabaseMovedError for one that was removed or replaced while in use: SQLite would go on writing to the file
    that is gone, and what is acknowledged would be gone with it.
    """
    require_same_file(_thread.path)
    file = _prepared[_thread.path]
    if _thread.file != file:
        close_db()
        _thread.db, _thread.file = connect(_thread.path), file
    _thread.look_at = time.monotonic() + LOOK_EVERY


def use_database(path: str) -> None:
    """Let this thread's statements go to the database at a path from now on."""
    if path != _thread.path:
        _thread.path, _thread.look_at = path, 0.0


class DatabaseContext(AppContext):
    """A context of the application, in which this thread's statements go to its database; one around it has its own."""

    def __init__(self, app: Flask):
        super().__init__(app)
        self.around: list[str | None] = []

    def push(self) -> None:
        """Begin it."""
        self.around.append(_thread.path if has_app_context() else None)
        use_database(self.app.config["DATABASE"])
        super().push()

    def pop(self, *error: Any) -> None:
        """End it."""
        path = self.around.pop()
        super().pop(*error)
        if path is not None:
            use_database(path)


def get_db() -> sqlite3.Connection:
    """Answer this thread's connection to the application's database."""
    if time.monotonic() > _thread.look_at:
        open_db()
    return _thread.db


def execute(sql: str, *parameters: Any) -> sqlite3.Cursor:
    """Run one statement."""
    return get_db().execute(sql, parameters)


def one(sql: str, *parameters: Any) -> Any:
    """Answer a query's first row, or None."""
    return get_db().execute(sql, parameters).fetchone()


@contextmanager
def transaction() -> Iterator[None]:
    """Run the block as one transaction: all of it is stored, or nothing.

    It takes the write lock first (BEGIN IMMEDIATE), so that what the block reads stays true until it commits, and
    waiting for another writer happens here, under the busy timeout, and nowhere else.
    """
    db = get_db()
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        require_same_file(_thread.path)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite has already rolled back after some failures, a full disk among them
            db.execute("ROLLBACK")
        raise


@contextmanager
def snapshot() -> Iterator[None]:
    """Let the statements of the block read one and the same state of the database; inside a transaction they do anyway."""
    db = get_db()
    if db.in_transaction:
        yield
        return
    db.execute("BEGIN")
    try:
        yield
    finally:
        if db.in_transaction:
            db.execute("COMMIT")


def split_statements(script: str) -> Iterator[str]:
    """Yield a script's statements one by one, because executescript() would commit around them."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def pragma(db: sqlite3.Connection, name: str) -> Any:
    """Answer what the database says of itself."""
    return db.execute(f"PRAGMA {name}").fetchone()[0]


def make_tables(db: sqlite3.Connection) -> None:
    """Make the tables of an empty database."""
    for statement in split_statements((HERE / "schema.sql").read_text(encoding="utf-8")):
        db.execute(statement)
    db.execute("INSERT INTO settings (name, value) VALUES ('jwt_secret', ?)", (secrets.token_hex(32),))


def bring_forward(db: sqlite3.Connection) -> None:
    """Make the tables of an empty database, and bring an older release's to this one's: all of it, or nothing.

    Processes that start together do it one after another, and those that come later find it done.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        if not db.execute("SELECT 1 FROM sqlite_schema").fetchone():
            make_tables(db)
        while pragma(db, "application_id") == APPLICATION_ID and (upgrade := UPGRADES.get(pragma(db, "user_version"))):
            for statement in split_statements(upgrade):
                db.execute(statement)
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def read_versions(path: str) -> tuple[int, int]:
    """Answer whose database a file is, and its schema's version; make the database, or bring it forward, first.

    Raises OSError or sqlite3.Error for a file that cannot be used.
    """
    if not os.path.exists(path):  # closing a file that is a database in use here would drop this process's locks on it
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite would make it readable by everyone
    db = connect(path)
    try:
        if (encoding := pragma(db, "encoding")) != "UTF-8":
            raise sqlite3.DatabaseError(f"its texts are in {encoding}, not in UTF-8")
        if not db.execute("SELECT 1 FROM sqlite_schema").fetchone() or pragma(db, "user_version") in UPGRADES:
            bring_forward(db)
        versions = pragma(db, "application_id"), pragma(db, "user_version")
        if versions == (APPLICATION_ID, SCHEMA_VERSION):
            db.execute("PRAGMA journal_mode = WAL")  # also after a restore, which may have left it behind
        return versions
    finally:
        db.close()


def prepare_database(path: str) -> None:
    """Make the database if there is none, and bring an older release's forward.

    Raises StartError for a file that cannot be opened, is something else, or was made by a newer release.
    """
    if sqlite3.sqlite_version_info < (3, 37):
        raise StartError(f"SQLite 3.37 or newer is needed (STRICT tables); this Python has {sqlite3.sqlite_version}.")
    if path == ":memory:":
        raise StartError("The database must be a file: each thread has a connection of its own to it.")
    for tries_left in reversed(range(20)):
        try:
            application_id, version = read_versions(path)
            break
        except (OSError, sqlite3.Error) as error:
            # Only here SQLite does not wait for another process that is making the same database.
            if not getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY") or not tries_left:
                message = f"The database {path} cannot be used: {error}. Mend it, or name another in SIGMA_DATABASE."
                raise StartError(message) from error
            time.sleep(0.2)
    if application_id != APPLICATION_ID:
        raise StartError(f"{path} is a database of another program. Name another file in SIGMA_DATABASE.")
    if version != SCHEMA_VERSION:
        raise StartError(
            f"{path} has schema version {version}, this release reads version {SCHEMA_VERSION}. "
            "Use the release that made it or a newer one, or name another file in SIGMA_DATABASE."
        )
    _prepared[path], _thread.look_at = identify(path), 0.0  # this thread may be open on a file that was here before


# == JSON text ==
# What is stored is what is served: an object's text is made once, when it is written.

JSON_TYPES = {str: "string", bool: "boolean", int: "number", float: "number", list: "array", dict: "object", type(None): "null"}


# json.dumps() with options makes an encoder for each call.
_encode, _encode_sorted = (
    json.JSONEncoder(
        ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"), sort_keys=sort_keys
    ).encode
    for sort_keys in (False, True)
)


def to_json(value: Any, sort_keys: bool = False) -> str:
    """Answer a value's JSON text, compact."""
    return _encode_sorted(value) if sort_keys else _encode(value)


def shown(value: Any) -> str:
    """Answer how a message shows a value: as it is when that is short, else by its type."""
    text = to_json(value) if not isinstance(value, list | dict) else ""
    return text.replace('"', "'") if 0 < len(text) <= 60 else f"'{JSON_TYPES[type(value)]}'"


# == Answers ==

NOT_STORED = {"Cache-Control": "no-store"}  # on every answer with a secret in it


class ReadyResponse(Response):
    """A response that may be ready to be sent as it is.

    Werkzeug goes over every response once more before it is sent, to complete what is missing. An answer() lacks
    nothing, and leaving that out saves a tenth of a request; what has no body, or none for HEAD, takes the usual way.
    """

    is_ready = False

    @classmethod
    def of(cls, body: bytes, status: int, headers: dict[str, str] | None = None) -> "ReadyResponse":
        """Make one that is ready, of JSON text, to which it adds a line's end for people at a terminal."""
        response = cls(body + b"\n", status, headers, content_type="application/json")
        response.is_ready = True
        return response

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Send it."""
        if self.is_ready and environ["REQUEST_METHOD"] != "HEAD" and self.status_code not in (204, 304):
            start_response(self.status, self.headers.to_wsgi_list())
            return self.response  # type: ignore[return-value]
        return super().__call__(environ, start_response)


def answer(body: str | bytes, status: int = 200) -> Response:
    """Answer JSON text, such as is stored."""
    return ReadyResponse.of(body if isinstance(body, bytes) else body.encode(), status)


def joined(bodies: Iterable[tuple[bytes]]) -> bytes:
    """Answer rows of one stored JSON text each with commas between them.

    The texts come as bytes, by CAST(body AS BLOB): to decode them only to encode them again takes half of a list. What
    SQLite would have said of texts that are damaged is said here. Raises sqlite3.DatabaseError.
    """
    texts = b",".join(itertools.chain.from_iterable(bodies))
    try:
        if not texts.isascii():
            texts.decode()
    except UnicodeDecodeError as error:
        raise sqlite3.DatabaseError(f"a stored text is damaged: {error.reason}") from None
    return texts


def answer_list(bodies: Iterable[tuple[bytes]]) -> Response:
    """Answer rows of one stored JSON text each, as bytes, as an array."""
    return answer(b"[" + joined(bodies) + b"]")


def answer_page(bodies: Iterable[tuple[bytes]], total: int, offset: int, limit: int) -> Response:
    """Answer rows of one stored JSON text each, as bytes, as one page of a longer list."""
    numbers = f'"total":{total},"offset":{offset},"limit":{limit}'.encode()
    return answer(b'{"items":[' + joined(bodies) + b"]," + numbers + b"}")


# == Errors ==

MAX_BODY = 1024 * 1024  # bytes

CODES = {
    400: "VALIDATION_ERROR",
    401: "UNAUTHORIZED",
    403: "PERMISSION_DENIED",  # or LIMIT_EXCEEDED
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


class ApiError(HTTPException):
    """A refusal: its status, and what to tell the caller."""

    code: int

    def __init__(self, status: int, message: str, error: str | None = None, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.code, self.message, self.error, self.headers = status, message, error, headers


def not_found(kind: str, id: str) -> ApiError:
    """Answer the 404 that names the type and the id."""
    return ApiError(404, f"{kind.replace('-', ' ').capitalize()} '{id}' not found")


def found(row: Any, kind: str, id: str) -> Any:
    """Answer the row that a query found. Raises ApiError 404 if it found none."""
    if row is None:
        raise not_found(kind, id)
    return row


def database_unavailable(reason: object) -> ApiError:
    """Answer the 503, and log why."""
    current_app.logger.error("The database does not answer: %s", reason)
    return ApiError(503, "The database does not answer; try again", headers={"Retry-After": "1"})


def taken(error: Exception, body: dict[str, Any]) -> str:
    """Say which member of a body a UNIQUE constraint refused: every key ends in the field it guards.

    "UNIQUE constraint failed: model_objects.tenant, model_objects.kind, model_objects.alias" is about alias.
    """
    field = str(error).rpartition(".")[2]
    return f"{field}: {shown(body.get(field))} is already taken"


def is_damage(error: Exception) -> bool:
    """Answer whether an error says that what was read from the database is not what was written to it."""
    name = getattr(error, "sqlite_errorname", "")
    return not name or name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or str(error) == "malformed JSON"


def translate_database_error(error: sqlite3.Error | json.JSONDecodeError) -> ApiError:
    """Answer what a client is told of a database error; what is a fault of ours is raised again, and a 500."""
    name = getattr(error, "sqlite_errorname", "")
    if name in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"):
        return ApiError(409, f"{taken(error, g.get('body', {}))} in this workspace")
    if name == "SQLITE_CONSTRAINT_FOREIGNKEY" and not one("SELECT 1 FROM workspaces WHERE id = ?", g.get("tenant")):
        return not_found("workspace", g.tenant)  # removed since the caller was let in
    if not isinstance(error, sqlite3.OperationalError | json.JSONDecodeError) and type(error) is not sqlite3.DatabaseError:
        raise error
    if is_damage(error):
        close_db()  # its connection would remember the damage when the file has been mended
    elif name == "SQLITE_ERROR":
        raise error
    return database_unavailable(error)  # locked, full, damaged, gone


class ErrorBody(ma.Schema):
    """The one shape of every error."""

    error = fields.String(
        required=True,
        validate=validate.OneOf([*CODES.values(), "LIMIT_EXCEEDED"]),
        metadata={"description": "A stable constant", "title": "ErrorCode"},
    )
    message = fields.String(required=True, metadata={"description": "What went wrong, for people; it may change"})


def without_keys(text: str) -> str:
    """Answer a text for a client or the log with the raw keys in it made unreadable, wherever in a request they stood."""
    if "sigma_sk_live_" not in text.lower():
        return text
    return re.sub("sigma_sk_live_[a-z0-9]+", "sigma_sk_live_…", text, flags=re.IGNORECASE)


def refuse(error: ApiError) -> Response:
    """Answer a refusal in the one shape."""
    body = to_json({"error": error.error or CODES[error.code], "message": without_keys(error.message)})
    return ReadyResponse.of(body.encode(), error.code, error.headers)


class Smorest(Api):
    """flask-smorest, with the service's own error shape and component names."""

    DEFAULT_ERROR_RESPONSE_NAME = None  # openapi_document() documents each error by its own status
    ERROR_SCHEMA = ErrorBody

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Give every error, also the framework's own, the service's shape."""
        if isinstance(error, ApiError):
            return refuse(error)
        status, message = error.code or 500, error.description or ""
        if status == 404:
            message = f"There is no {request.path} here; /docs lists every path"
        if status == 413:
            message = f"The body is larger than {MAX_BODY} bytes"
        if status == 500:
            message = "The service failed; its log says how, under the id in X-Request-Id"
        headers = {name: value for name, value in error.get_headers(request.environ) if name != "Content-Type"}
        return refuse(ApiError(status, message, CODES.get(status) or error.name.upper().replace(" ", "_"), headers))


# == JSON bodies ==
def unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its members; a name that comes twice would mean two things to two parsers."""
    members = dict(pairs)
    if len(members) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the member '{twice}' comes twice in one object")
    return members


def finite_number(text: str) -> int | float:
    """Read a number; NaN and what a double cannot hold are not JSON, and would not come back as they were."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is out of range")
    return int(text) if text.lstrip("-").isdecimal() else value


MAX_DEPTH = 500  # SQLite follows 1,000 levels, Python fewer or more, depending on its release


def is_too_deep(value: Any) -> bool:
    """Answer whether a value is nested too deep; without recursion, which may not reach its end."""
    level = [value]
    for _ in range(MAX_DEPTH):
        containers = [item for item in level if isinstance(item, list | dict)]
        if not containers:
            return False
        level = [child for item in containers for child in (item.values() if isinstance(item, dict) else item)]
    return True


_decode = json.JSONDecoder(
    object_pairs_hook=unique_members, parse_int=finite_number, parse_float=finite_number, parse_constant=finite_number
).decode


def parse_json(data: bytes) -> Any:
    """Read JSON strictly.

    Raises ApiError 400 for what is not JSON, and for what is but would not survive: numbers beyond a double, names
    that come twice, half a surrogate pair, endless nesting.
    """
    try:
        text = data.decode("utf-8")
        value = _decode(text)
        if text.count("[") + text.count("{") > MAX_DEPTH and is_too_deep(value):
            raise RecursionError
        if "\\u" in text:
            to_json(value).encode("utf-8")
    except RecursionError:
        raise ApiError(400, f"body: expected JSON of at most {MAX_DEPTH} levels") from None
    except UnicodeError:
        raise ApiError(400, "body: expected JSON in UTF-8, got text that is not Unicode") from None
    except ValueError as error:
        raise ApiError(400, f"body: expected JSON: {error}") from None
    return value


_MISSING = object()

MOST_PROBLEMS = 20  # that one answer names

EXPECTATIONS = {  # what marshmallow says is wrong, said as what was expected
    "Missing data for required field.": "Expected a value, but it is missing",
    "Field may not be null.": "Expected a value",
    "Not a valid string.": "Expected a string",
    "Not a valid list.": "Expected an array",
    "Not a valid integer.": "Expected a whole number",
    "Not a valid mapping type.": "Expected an object",
}


def amount(value: Any, message: str) -> str:
    """Answer what a message says has come: how much of it, where that is what was wrong."""
    counted = message.endswith(" characters") if isinstance(value, str) else message.startswith("Expected at ")
    return str(len(value)) if counted and isinstance(value, str | list) else shown(value)


def flatten_messages(messages: Any, value: Any, path: str = "") -> Iterator[str]:
    """Yield a line for each of marshmallow's nested messages: the field's path, what is wrong, and what came."""
    if isinstance(messages, list):
        for message in messages:
            if not isinstance(message, str):  # one of several validators names an item
                yield from flatten_messages(message, value, path)
                continue
            came = "" if value is _MISSING or message.startswith("Unknown") else f", got {amount(value, message)}"
            yield f"{path or 'body'}: {EXPECTATIONS.get(message, message)}{came}"
        return
    # In the order of the body: marshmallow tells of the members that it does not know in any order.
    places = {name: place for place, name in enumerate(value)} if isinstance(value, dict) else {}
    for key, inner in sorted(messages.items(), key=lambda item: places.get(item[0], -1)):
        if isinstance(value, list) and isinstance(key, int):
            yield from flatten_messages(inner, value[key], f"{path}[{key}]")
        elif isinstance(value, dict) and (key != "_schema" or key in value):
            yield from flatten_messages(inner, value.get(key, _MISSING), f"{path}.{key[:100]}" if path else key[:100])
        else:  # "_schema", and the "key" and "value" of a fields.Dict, are no members of the body
            yield from flatten_messages(inner, value, path)


def refuse_problems(problems: Iterable[str]) -> None:
    """Raise ApiError 400 with the first few problems, if there are any."""
    first = list(itertools.islice(problems, MOST_PROBLEMS + 1))
    if first:
        raise ApiError(400, "; ".join(first[:MOST_PROBLEMS]) + ("; and more" if len(first) > MOST_PROBLEMS else ""))


def not_json(asked: Request) -> ApiError:
    """Answer the 415."""
    return ApiError(415, f"Content-Type: expected application/json, got '{asked.mimetype or 'nothing'}'")


BODY_TIMEOUT = 5  # seconds that a body may take to come, because a worker serves nobody else meanwhile

# By thread: since when it waits for a body, from which address, and of which request.
_awaited: dict[int, tuple[float, str, str]] = {}


def read_body(schema: ma.Schema) -> Any:
    """Answer the body of the request, checked. Raises RequestEntityTooLarge, or ApiError 415 or 400."""
    asked = request._get_current_object()  # type: ignore[attr-defined]
    address = asked.environ.get("werkzeug.proxy_fix.orig", asked.environ).get("REMOTE_ADDR", "")
    thread, since = threading.get_ident(), time.monotonic()
    _awaited[thread] = since, address, asked.id
    try:
        data = asked.get_data()
    finally:
        del _awaited[thread]
    if time.monotonic() - since > BODY_TIMEOUT or len(data) < min(asked.content_length or 0, MAX_BODY):
        raise ApiError(400, f"body: expected all of it, within {BODY_TIMEOUT} seconds")
    if len(data) > MAX_BODY:
        raise RequestEntityTooLarge
    if not asked.is_json and (data or asked.mimetype):
        raise not_json(asked)
    if not data:
        raise ApiError(400, "body: expected a JSON object, got nothing")
    g.body = body = parse_json(data)
    try:
        return schema.load(body)
    except ma.ValidationError as error:
        refuse_problems(flatten_messages(error.normalized_messages(), body))


# == Fields ==
# A class named …Body describes a JSON body (a marshmallow schema); "schema" alone is always a product schema.


class Body(ma.Schema):
    """A JSON object; a member it does not name is an error."""

    class Meta:
        unknown = ma.RAISE

    error_messages = {"type": "Expected an object", "unknown": "Unknown field"}  # noqa: RUF012 (as marshmallow declares it)

    def __deepcopy__(self, memo: Any) -> "Body":
        """Answer itself: nobody changes a body's description, and flask-smorest copies each some ten times while starting."""
        return self

    @ma.post_load
    def drop_nulls(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Let null mean the same as leaving an optional member out."""
        if None not in data.values():
            return data
        keep = {name for name, field in self.fields.items() if field.required or field.load_default is None}
        return {name: value for name, value in data.items() if value is not None or name in keep}


class Flag(fields.Boolean):
    """true or false, and nothing that only looks like it."""

    def __init__(self, description: str, **options: Any):
        super().__init__(metadata={"description": description}, **options)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise ma.ValidationError("Expected true or false")
        return value


class Number(fields.Float):
    """A JSON number, kept as it was written: 1 stays 1."""

    def __init__(self, description: str, **options: Any):
        super().__init__(metadata={"description": description}, **options)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ma.ValidationError("Expected a number")
        return value


class Items(fields.List):
    """An array; reading it stops at the first few bad items, and at once if it has too many."""

    def __init__(self, inner: Any, description: str, most: int | None = None, **options: Any):
        bound = {} if most is None else {"maxItems": most}
        super().__init__(inner, metadata={"description": description, **bound}, **options)
        self.most = most

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        if self.most is not None and len(value) > self.most:
            raise ma.ValidationError(f"Expected at most {self.most} items")
        result: list[Any] = []
        errors: dict[int, Any] = {}
        for index, item in enumerate(value):
            try:
                result.append(self.inner.deserialize(item, **kwargs))
            except ma.ValidationError as error:
                errors[index] = error.messages
                if len(errors) > MOST_PROBLEMS:
                    break
        if errors:
            raise ma.ValidationError(errors)
        return result


def with_article(kind: str) -> str:
    """Answer a kind of thing in words: an option list."""
    return f"{'an' if kind[0] in 'aeio' else 'a'} {kind.replace('-', ' ')}"


class Reference(fields.String):
    """The id of a model object of one kind; that it exists is checked when the body is stored."""

    def __init__(self, kind: str, **options: Any):
        super().__init__(metadata={"description": f"Id of {with_article(kind)}"}, **options)
        self.kind = kind


def string(description: str, required: bool = True, longest: int = 200) -> fields.String:
    """A string; one that is required must not be blank, one that is not may be null."""
    rules: list[Any] = [validate.Length(max=longest, error="Expected at most {max} characters")]
    if required:
        rules.append(validate.Regexp(r"^[\s\S]*\S", error="Expected at least one character that is not blank"))
    return fields.String(required=required, allow_none=not required, validate=rules, metadata={"description": description})


def identifier(description: str, required: bool = True) -> fields.String:
    """A name that can stand in a path."""
    rule = validate.Regexp(
        r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,99}$(?!\n)",
        error="Expected 1 to 100 letters, digits or . _ ~ - beginning with a letter or digit",
    )
    return fields.String(required=required, allow_none=not required, validate=rule, metadata={"description": description})


def moment(description: str, required: bool = True, allow_none: bool = False) -> fields.String:
    """A time as the API writes it."""
    metadata = {"description": description, "format": "date-time"}
    return fields.String(required=required, allow_none=allow_none, metadata=metadata)


def choice(description: str, choices: Iterable[str], title: str) -> fields.String:
    """One of a few strings; in the OpenAPI document they are a type with this title."""
    rule = validate.OneOf(list(choices), error="Expected one of: {choices}")
    return fields.String(required=True, validate=rule, metadata={"description": description, "title": title})


def mapping(description: str, title: str, values: fields.Field, **options: Any) -> fields.Dict:
    """Values by name; in the OpenAPI document they are a type with this title."""
    return fields.Dict(keys=fields.String(), values=values, metadata={"description": description, "title": title}, **options)


def each_once(*members: str) -> Callable[[list[Any]], None]:
    """Answer a validator: no two items of a list have the same member, or are the same, if no member is named."""

    def check(items: list[Any]) -> None:
        message = ["Expected each only once"]
        for member in members or (None,):
            seen = set()
            for index, item in enumerate(items):
                key = item[member] if member else item
                if key in seen:
                    raise ma.ValidationError({index: {member: message} if member else message})
                seen.add(key)

    return check


def aliases(description: str) -> Items:
    """A list of attributes' aliases, each once."""
    return Items(fields.String(), description, load_default=list, validate=each_once())


def field_references(field: Any, value: Any, path: str) -> Iterator[tuple[str, str, str]]:
    """Yield the path, kind and id of every Reference in one field's value."""
    if isinstance(field, Reference):
        yield path, field.kind, value
    elif isinstance(field, fields.Nested):
        yield from references(field.schema, value, f"{path}.")
    elif isinstance(field, fields.List):
        for index, item in enumerate(value):
            yield from field_references(field.inner, item, f"{path}[{index}]")


def references(schema: ma.Schema, body: dict[str, Any], path: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield the path, kind and id of every Reference in a body."""
    for name, field in schema.fields.items():
        if name in body:
            yield from field_references(field, body[name], path + name)


# == Credentials and access ==


class Access(NamedTuple):
    """Who may call a route."""

    permission: str  # that an API key needs; "session": no key may call it; "public": everybody may
    flag: str | None = None  # that the role of a signed-in user needs

    @property
    def is_named(self) -> bool:
        """Whether answers name the permission, in X-Sigma-Required-Permission."""
        return self.permission == "session" or self.permission in PERMISSIONS


class Route(Rule):
    """A path with its methods, and who may call it: settle_access() puts that here from what the view declares."""

    access: Access | None = None


def requires(permission: str, flag: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Admit API keys that hold the permission, and users whose role has the flag (any user without one)."""

    def decorator(view: Callable[..., Any]) -> Callable[..., Any]:
        setattr(view, "access", Access(permission, flag))  # noqa: B010 (to a type checker, functions have no such attribute)
        return view

    return decorator


def session_only(flag: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Admit users whose role has the flag (any user without one), and no API key, whatever it holds."""
    return requires("session", flag)


public = requires("public")
any_caller = requires("credential")  # of /standin: admits every good credential
demo_only = requires("demo")  # of /standin: asks for no credential, and is there only beside the demo workspace


class Caller(NamedTuple):
    """Whoever presented a good credential: an API key, or a signed-in user."""

    tenant: str
    id: str
    permissions: tuple[str, ...] = ()  # of the key
    user: dict[str, str] | None = None
    role: dict[str, Any] | None = None  # of the user
    sessions_from: int = 0  # of the user

    @property
    def is_key(self) -> bool:
        """Whether this is an API key."""
        return self.user is None

    def role_says(self, member: str) -> Any:
        """Answer a member of the user's role; None for a key."""
        return (self.role or {}).get(member)


@functools.lru_cache(maxsize=4)
def whole_second(seconds: int) -> str:
    """Answer a time without its fraction; thousands of requests ask for the same."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def utc_now(seconds_ago: float = 0) -> str:
    """Answer the time as the API writes it: UTC, milliseconds, Z."""
    seconds, milliseconds = divmod(int(1000 * (time.time() - seconds_ago)), 1000)
    return f"{whole_second(seconds)}.{milliseconds:03}Z"


def random_id(prefix: str) -> str:
    """Answer an id that no one has used."""
    return f"{prefix}-{secrets.token_hex(8)}"


KEY_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def check_characters(stem: str) -> str:
    """Answer the seven characters that end a key: the CRC-32 of what stands before them, in base 36."""
    crc, digits = zlib.crc32(stem.encode()), ""
    for _ in range(7):
        crc, digit = divmod(crc, 36)
        digits = KEY_ALPHABET[digit] + digits
    return digits


def make_raw_key() -> str:
    """Make a key: the prefix, 29 random characters (150 bits), and their check characters."""
    stem = "sigma_sk_live_" + "".join(secrets.choice(KEY_ALPHABET) for _ in range(29))
    return stem + check_characters(stem)


def hash_key(raw_key: str) -> bytes:
    """Hash a key for storage and look-up.

    A fast hash without salt is right here, and only here: nobody can guess 150 random bits, so there is nothing for a
    slow hash to slow down. Passwords, which people choose, are hashed with scrypt.
    """
    return hashlib.sha256(raw_key.encode()).digest()


def unauthorized(message: str) -> ApiError:
    """Answer the 401."""
    return ApiError(401, message, headers={"WWW-Authenticate": 'Bearer realm="Sigma PIM"'})


def record_use(tenant: str, id: str, stale: str) -> None:
    """Record that an API key is used now, unless another process has done so since a moment ago.

    A full disk, or a long write elsewhere, is no reason to refuse a read or to keep it waiting: then it is logged.
    """
    sql = "UPDATE api_keys SET last_used_at = ? WHERE tenant = ? AND id = ? AND ifnull(last_used_at, '') < ?"
    try:
        execute("PRAGMA busy_timeout = 250")
        execute(sql, utc_now(), tenant, id, stale)
    except sqlite3.OperationalError as error:
        current_app.logger.error("The use of API key %s was not recorded: %s", id, error)
    finally:
        execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT * 1000}")


def fault_of_key(raw_key: str) -> str:
    """Say what is wrong with a key that is not in the database, as far as the key itself tells."""
    if not re.fullmatch("sigma_sk_live_[a-z0-9]{36}", raw_key):
        return "expected one X-Sigma-ApiKey header with sigma_sk_live_ and 36 characters of a-z and 0-9"
    if check_characters(raw_key[:-7]) != raw_key[-7:]:
        return "it was mistyped, or not made here; it may be a key of the production service"
    return "it is not known here"


@functools.cache
def read_permissions(text: str) -> tuple[str, ...]:
    """Read a key's permissions as they are stored; there are 31 such texts."""
    return tuple(json.loads(text))


def authenticate_key(raw_key: str) -> Caller:
    """Answer whose key this is, and record its use. Raises ApiError 401.

    It looks the key up every time: a cache would keep a deactivated key alive in another process.
    """
    sql = "SELECT tenant, id, permissions, last_used_at, deactivated_at FROM api_keys WHERE hash = ?"
    row = one(sql, hash_key(raw_key))
    if row is None:
        raise unauthorized(f"Invalid API key: {fault_of_key(raw_key)}")
    tenant, id, permissions, last_used_at, deactivated_at = row
    if deactivated_at is not None:
        request.caller = Caller(tenant, id)  # type: ignore[attr-defined] # for the log: somebody still uses it
        raise unauthorized("Invalid API key: it has been deactivated")
    # Writing on every call would cost more than all the rest, so a use within a second of the last is not written.
    stale = utc_now(seconds_ago=1)
    if last_used_at is None or last_used_at < stale:
        record_use(tenant, id, stale)
    return Caller(tenant, id, permissions=read_permissions(permissions))


def jwt_secret() -> str:
    """Answer the secret that signs session tokens."""
    return current_app.config["JWT_SECRET"] or one("SELECT value FROM settings WHERE name = 'jwt_secret'")[0]


def authenticate_token(token: str) -> Caller:
    """Answer whose session token this is, with the user and role as they are now. Raises ApiError 401."""
    claims = ("userId", "workspaceId", "roleId")
    try:
        # When it was issued is looked at below, where it is known from when on the user's sessions count.
        options: Any = {"require": [*claims, "iat", "exp"], "verify_iat": False}
        payload = jwt.decode(token, jwt_secret(), algorithms=["HS256"], options=options)
    except jwt.ExpiredSignatureError:
        raise unauthorized("Session token expired: sign in again") from None
    except jwt.InvalidTokenError:
        raise unauthorized("Invalid session token") from None
    issued = payload["iat"]
    if not all(isinstance(payload[claim], str) and payload[claim].isascii() for claim in claims) or type(issued) is not int:
        raise unauthorized("Invalid session token")
    row = one(
        "SELECT u.id, u.email, u.name, u.role_id, u.sessions_from, r.body FROM users u"
        " JOIN model_objects r ON r.tenant = u.tenant AND r.kind = u.role_kind AND r.id = u.role_id"
        " WHERE u.tenant = ? AND u.id = ?",
        payload["workspaceId"],
        payload["userId"],
    )
    if row is None:
        raise unauthorized("Invalid session token")
    id, email, name, role_id, sessions_from, role = row
    if issued < sessions_from:
        raise unauthorized("Session ended: sign in again")
    if issued > max(time.time(), sessions_from):
        raise unauthorized("Invalid session token")
    user = {"id": id, "email": email, "name": name, "roleId": role_id}
    return Caller(payload["workspaceId"], id, user=user, role=json.loads(role), sessions_from=sessions_from)


def authenticate(environ: dict[str, Any]) -> Caller:
    """Answer who is calling; when a key and a token are sent, the key decides alone. Raises ApiError 401."""
    raw_key = environ.get("HTTP_X_SIGMA_APIKEY")
    if raw_key is not None:
        return authenticate_key(raw_key)
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "bearer":
        raise unauthorized("Authentication required: send X-Sigma-ApiKey: <key>, or Authorization: Bearer <token>")
    return authenticate_token(token.strip())


def check_permitted(caller: Caller, access: Access) -> None:
    """Raise ApiError 403 unless the caller may call the route."""
    if caller.is_key:
        if access.permission not in caller.permissions:
            held = ", ".join(caller.permissions)
            if access.permission == "session":
                raise ApiError(
                    403, f"This route needs a signed-in user, not a key: POST /api/v1/auth/login; the key holds: {held}"
                )
            advice = "make a key that holds it, with POST /api/v1/api-keys"
            raise ApiError(403, f"This route needs permission '{access.permission}'; the key holds: {held}; {advice}")
    elif access.flag is not None and not caller.role_says(access.flag):
        raise ApiError(403, f"This route needs a role with {access.flag}; yours is '{caller.role_says('id')}'")


@functools.cache
def shared(body: type[ma.Schema]) -> ma.Schema:
    """Answer the instance of a body's class that all routes share; to make one for each is a good part of starting."""
    return body()


class ReadyBlueprint(Blueprint):
    """A blueprint whose views answer what is ready to be sent, or nothing; describing them does not slow them down."""

    def arguments(self, schema: ma.Schema, **description: Any) -> Callable[..., Any]:
        """Describe the body that a view takes, as flask-smorest does, and let the view have it, checked."""
        describe = self.without_wrapping(super().arguments(schema, **description))

        def decorator(view: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(describe(view))
            def with_body(**ids: str) -> Any:
                return view(read_body(schema), **ids)

            return with_body

        return decorator

    def doc(self, **description: Any) -> Callable[..., Any]:
        """Describe a view, as flask-smorest does, but do not wrap it."""
        return self.without_wrapping(super().doc(**description))

    def response(self, status_code: int, schema: Any = None, **options: Any) -> Callable[..., Any]:
        """Describe what a view answers, as flask-smorest does, but do not wrap it to dump its answer."""
        document = super().response(status_code, shared(schema) if isinstance(schema, type) else schema, **options)
        return self.without_wrapping(document) if schema is not None else document

    @staticmethod
    def without_wrapping(document: Callable[..., Any]) -> Callable[..., Any]:
        """Answer a decorator that takes over what another one writes on a view, and not the wrapper that it makes."""

        def decorator(view: Callable[..., Any]) -> Callable[..., Any]:
            documented = vars(document(view))
            vars(view).update({name: value for name, value in documented.items() if name != "__wrapped__"})
            return view

        return decorator


api = ReadyBlueprint("api", __name__, url_prefix="/api/v1", cli_group=None)


@api.before_request
def guard() -> Response | None:
    """Let a request through to its view only if its caller may call it: the one place where that is decided."""
    about, asked = g._get_current_object(), request._get_current_object()  # type: ignore[attr-defined]
    access, environ = asked.url_rule.access, asked.environ
    if access.permission != "public":
        try:
            about.caller = asked.caller = caller = authenticate(environ)
            about.tenant = caller.tenant
            check_permitted(caller, access)
        except ApiError as error:  # answered here, because Flask's way to its error handlers costs half a request
            return refuse(error)
    if environ.get("CONTENT_LENGTH") and (asked.content_length or 0) > MAX_BODY:
        raise RequestEntityTooLarge
    return None


DECLARATIONS = {  # by the path that routes are below: the blueprint that guards them, and what they may declare
    "/api/v1": ("api", [*PERMISSIONS, "session", "public"]),
    "/standin": ("standin", ["credential", "demo"]),
}


def settle_access(app: Flask) -> None:
    """Put on each route under these paths who may call it, as its view declares; what guards them goes by that.

    Raises StartError for a route whose view does not say it, or says it in an unknown word.
    """
    for rule in app.url_map.iter_rules():
        place = next((path for path in DECLARATIONS if rule.rule.startswith(path)), None)
        if place is None:
            continue
        blueprint, words = DECLARATIONS[place]
        access = getattr(app.view_functions[rule.endpoint], "access", None)
        route = f"{'/'.join(sorted((rule.methods or set()) - {'HEAD', 'OPTIONS'}))} {rule.rule} ({rule.endpoint})"
        if access is None or not rule.endpoint.startswith(f"{blueprint}."):
            decorators = "@requires, @session_only or @public" if blueprint == "api" else "@any_caller or @demo_only"
            raise StartError(f"{route} does not declare who may call it: add {decorators} to a route of `{blueprint}`")
        if access.permission not in words:
            raise StartError(f"{route} requires '{access.permission}', which is no permission of {place}: {', '.join(words)}")
        if access.flag is not None and access.flag not in ROLE_FLAGS:
            raise StartError(f"{route} requires the role flag '{access.flag}', which does not exist: {', '.join(ROLE_FLAGS)}")
        rule.access = access  # type: ignore[attr-defined]


# == Requests ==


NOBODY = Caller("-", "-")


class ApiRequest(Request):
    """A request with what the log says of it: when it came, its id, which a proxy in front may have chosen, and its caller."""

    caller = NOBODY

    # A body without a length is cut off at the limit, without a word; one byte more shows that there was more.
    max_content_length = MAX_BODY + 1
    url_rule: Route | None

    def __init__(self, environ: dict[str, Any], *args: Any, **options: Any):
        super().__init__(environ, *args, **options)
        given = environ.get("HTTP_X_REQUEST_ID")
        is_id = given is not None and re.fullmatch("[A-Za-z0-9._-]{1,64}", given) and given == without_keys(given)
        self.id: str = given if given is not None and is_id else secrets.token_hex(8)
        self.came_at, self.began = time.time(), time.perf_counter()  # the time of day, and one that never goes back


class LogFormatter(logging.Formatter):
    """Names the request in every line of the log, and keeps raw keys out of it."""

    def format(self, record: logging.LogRecord) -> str:
        """Answer the line, or with a stack trace the lines."""
        record.request = getattr(request, "id", "-") if has_request_context() else "-"  # Flask's handler serves other apps, too
        return without_keys(super().format(record))


def route_template(asked: Request) -> str:
    """Answer the path that a request was routed by; its own may hold anything, also a secret or a line's end."""
    return asked.url_rule.rule if asked.url_rule else "-"


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def method_name(asked: Request) -> str:
    """Answer a request's method; what is none could be anything, as with the path."""
    return asked.method if asked.method in METHODS else "-"


class NoSessions(SessionInterface):
    """Flask's cookie sessions, of which the service has none."""

    none = NullSession()

    def open_session(self, *_: Any) -> NullSession:
        """Answer that there is none."""
        return self.none


class Service(Flask):
    """Flask without what no request here needs, and with what every answer carries."""

    url_rule_class = Route
    request_class = ApiRequest
    response_class = ReadyResponse
    session_interface = NoSessions()

    def app_context(self) -> AppContext:
        """Make a context, in which statements go to this application's database."""
        return DatabaseContext(self)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Let a request be routed by its path; Flask would look three times for a host, by which nothing is routed here.

        Raises NotFound for a path with two slashes in front: the router would pass over that, a proxy that looks at
        prefixes does not.
        """
        if request is None:
            return None
        if request.environ.get("PATH_INFO", "").startswith("//"):
            raise ApiError(404, "There is no path with two slashes in front here; /docs lists every path")
        if self.config["TRUSTED_HOSTS"] is not None:
            return super().create_url_adapter(request)
        return self.url_map.bind("", subdomain="", default_method=request.method, path_info=request.path)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Answer the function as it is: none is a coroutine, and asking takes time, several times a request."""
        return func

    def log_exception(self, exc_info: Any) -> None:
        """Log a failure of ours with its stack trace."""
        self.logger.error("%s %s failed", method_name(request), route_template(request), exc_info=exc_info)

    def process_response(self, response: Response) -> Response:
        """Add what every answer carries, and write the request's line into the log."""
        response, asked = super().process_response(response), request._get_current_object()  # type: ignore[attr-defined]
        headers, rule = response.headers, asked.url_rule
        headers.add("X-Request-Id", asked.id)
        headers.add("X-Content-Type-Options", "nosniff")
        if rule is not None and rule.access is not None and rule.access.is_named:
            headers.add("X-Sigma-Required-Permission", rule.access.permission)
        if self.config["REQUEST_LOG"]:
            log_request(asked, response.status_code)
        return response


def log_request(asked: ApiRequest, status: int) -> None:
    """Write a request's line into the log: never a body, a query or a credential."""
    took, caller = 1000 * (time.perf_counter() - asked.began), asked.caller
    line = (
        f"{utc_now()} {method_name(asked)} {route_template(asked)} {status} {took:.1f}ms"
        f" request={asked.id} workspace={caller.tenant} caller={caller.id}\n"
    )
    # Python's logging would cost more than looking up the key. A log that is full or gone must not stop the service.
    try:  # noqa: SIM105 (suppress() would cost as much as writing the line)
        sys.stderr.write(line)
    except (OSError, ValueError, AttributeError):
        pass


# == Query strings ==


def query_number(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """Read a whole number from the query string. Raises ApiError 400."""
    text = query.get(name)
    if text is None:
        return default
    try:
        return whole_number(least, most)(text)
    except ValueError as error:
        raise ApiError(400, f"{name}: {error}") from None


def page_bounds(query: Mapping[str, str]) -> tuple[int, int]:
    """Read `offset` and `limit` from the query string. Raises ApiError 400."""
    return query_number(query, "offset", 0, 0, 10**12), query_number(query, "limit", 50, 1, 1000)


def query_parameter(name: str, description: str, **schema: Any) -> dict[str, Any]:
    """Describe a query parameter for the OpenAPI document."""
    return {"name": name, "in": "query", "description": description, "schema": schema or {"type": "string"}}


PAGE_PARAMETERS = [
    query_parameter("offset", "How many to pass over", type="integer", minimum=0, maximum=10**12, default=0),
    query_parameter("limit", "How many to answer at most", type="integer", minimum=1, maximum=1000, default=50),
]


@functools.cache
def page_of(item: type[ma.Schema]) -> type[ma.Schema]:
    """Answer the body of one page of a list of these items."""
    members: dict[str, Any] = {
        "items": Items(fields.Nested(item), "What is on this page", required=True),
        "total": fields.Integer(required=True, metadata={"description": "How many there are on all pages", "example": 1}),
        "offset": fields.Integer(required=True, metadata={"description": "How many were passed over", "example": 0}),
        "limit": fields.Integer(required=True, metadata={"description": "How many a page holds at most", "example": 50}),
        "__doc__": "One page of a longer list.",
    }
    return Body.from_dict(members, name=f"{item.__name__.removesuffix('Body')}PageBody")


# == Health ==


class HealthBody(Body):
    """Whether the service works."""

    status = choice("Always ok", ["ok"], "HealthStatus")


@api.get("/healthz")
@public
@api.response(200, HealthBody)
def get_health() -> dict[str, str]:
    """Say that the service and its database answer; 503 when the database does not."""
    (version,) = one("PRAGMA user_version")
    if version != SCHEMA_VERSION:
        raise database_unavailable(f"it has schema version {version}")
    one("SELECT 1 FROM workspaces")
    return {"status": "ok"}


# == Authentication ==

FAILURES_OF_EMAIL, FAILURES_OF_ADDRESS = 10, 100  # tries, both from one address
FAILURES_WINDOW = 60  # seconds

# Checked in place of a hash that does not exist, so that an unknown email takes as long as a wrong password. It has the
# cost of werkzeug's own hashes, and is no password's.
NO_PASSWORD = f"scrypt:32768:8:1${'0' * 16}${'0' * 128}"


class LoginBody(Body):
    """An email and a password."""

    email = string("The email people sign in with")
    password = fields.String(required=True, load_only=True, metadata={"description": "The password", "format": "password"})


class UserBody(Body):
    """A person who may sign in."""

    id = identifier("The user's id")
    email = string("The email people sign in with")
    name = string("The person's name")
    roleId = Reference("role", required=True)


class SessionBody(Body):
    """A session token, good for 24 hours, and whose it is."""

    token = string("Send it as Authorization: Bearer <token>", longest=2000)
    user = fields.Nested(UserBody, required=True, metadata={"description": "Who signed in"})


class TenantBody(Body):
    """A workspace and the users who may sign in to it."""

    id = identifier("The workspace's id")
    name = string("The workspace's name")
    users = Items(fields.Nested(UserBody), "Who may sign in", required=True)


def next_sessions_from() -> int:
    """Answer from which second on sessions count of a user who was made now, or has a new password now.

    It is later than that of every token so far, because each user, also one by the ids of another who is gone, and each new
    password get a later one. Who signs in before that second has begun gets a token that says it was issued in it.
    """
    sql = (
        "INSERT INTO settings (name, value) VALUES ('sessions_from', ?1 + 1)"
        " ON CONFLICT (name) DO UPDATE SET value = max(CAST(value AS INTEGER), ?1) + 1 RETURNING CAST(value AS INTEGER)"
    )
    ((second,),) = execute(sql, math.floor(time.time())).fetchall()
    return int(second)


def make_session(tenant: str, user: dict[str, str], sessions_from: int) -> dict[str, Any]:
    """Make a session token for a user, from when the request came: a password that was changed meanwhile ends it, too."""
    now = max(math.floor(request.came_at), sessions_from)  # type: ignore[attr-defined]
    claims = {
        "userId": user["id"],
        "workspaceId": tenant,
        "roleId": user["roleId"],
        "iat": now,
        "exp": now + 24 * 3600,
    }
    return {"token": jwt.encode(claims, jwt_secret(), algorithm="HS256"), "user": user}


def address_of_caller() -> str:
    """Answer the network address that tries are counted by: of IPv6 the first half, which is what one customer gets.

    Some proxies add the port to it, and a server that listens on both calls 192.0.2.1 ::ffff:192.0.2.1.
    """
    text = request.remote_addr or ""
    try:
        address = ipaddress.ip_address(re.sub(r"^(?:\[(.*)\]|([0-9.]+))(?::[0-9]+)?$", r"\1\2", text))
    except ValueError:
        return text
    if isinstance(address, ipaddress.IPv6Address) and not address.ipv4_mapped:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)


def refuse_throttled(limits: dict[bytes, int]) -> None:
    """Raise ApiError 429 after too many failures within the window, by whom, and how many each is allowed."""
    now, wait = time.time(), 0.0
    sql = "SELECT at FROM login_attempts WHERE who = ? AND at > ? AND at <= ? ORDER BY at DESC LIMIT 1 OFFSET ?"
    for who, allowed in limits.items():
        row = one(sql, who, now - FAILURES_WINDOW, now, allowed - 1)
        wait = max(wait, row[0] + FAILURES_WINDOW - now if row else 0)
    if wait:
        seconds = math.ceil(wait)
        raise ApiError(429, f"Too many failed logins; try again in {seconds} seconds", headers={"Retry-After": str(seconds)})


def settle_attempt(limits: dict[bytes, int], pair: bytes, is_right: bool) -> None:
    """Count a try to sign in that failed, in the database and so across all processes; one that is right clears the count.

    Raises ApiError 429 when others, who tried at the same time, have used up the limit meanwhile: also for a right
    password, so that trying many at once finds no more than trying one after another.
    """
    with transaction():
        refuse_throttled(limits)
        now = time.time()
        execute("DELETE FROM login_attempts WHERE at <= ? OR at > ?", now - FAILURES_WINDOW, now)
        if is_right:
            execute("DELETE FROM login_attempts WHERE who = ?", pair)
        else:
            get_db().executemany("INSERT INTO login_attempts (who, at) VALUES (?, ?)", ((who, now) for who in limits))


@api.get("/auth/tenants")
@public
@api.response(200, TenantBody(many=True))
def list_tenants() -> list[dict[str, Any]]:
    """List the demo workspaces with the users to sign in as; no other workspace is ever listed."""
    tenants: dict[str, dict[str, Any]] = {}
    for tenant, name, id, email, user_name, role_id in execute(
        "SELECT w.id, w.name, u.id, u.email, u.name, u.role_id FROM workspaces w JOIN users u ON u.tenant = w.id"
        " WHERE w.is_demo ORDER BY w.rowid, u.rowid"
    ):
        workspace = tenants.setdefault(tenant, {"id": tenant, "name": name, "users": []})
        workspace["users"].append({"id": id, "email": email, "name": user_name, "roleId": role_id})
    return list(tenants.values())


@api.post("/auth/login")
@public
@api.arguments(LoginBody())
@api.response(200, SessionBody)
def login(credentials: dict[str, str]) -> Any:
    """Sign in with email and password; after ten failures within a minute, 429 until the minute is over."""
    email, password = credentials["email"], credentials["password"]
    address = address_of_caller()
    pair, alone = (hashlib.sha256(text.encode()).digest() for text in (f"{email.lower()} {address}", address))
    limits = {pair: FAILURES_OF_EMAIL, alone: FAILURES_OF_ADDRESS}
    refuse_throttled(limits)
    row = one("SELECT tenant, id, email, name, role_id, sessions_from, password_hash FROM users WHERE email = ?", email)
    is_right = check_password_hash(row[6] if row else NO_PASSWORD, password) and row is not None
    settle_attempt(limits, pair, is_right)
    if not is_right:
        raise unauthorized("Wrong email or password")
    tenant, *user, sessions_from, _ = row
    known = dict(zip(("id", "email", "name", "roleId"), user, strict=True))
    return make_session(tenant, known, sessions_from), 200, NOT_STORED


@api.post("/auth/refresh")
@session_only()
@api.response(200, SessionBody)
def refresh_session() -> Any:
    """Exchange a session token that is still good for a new one."""
    return make_session(g.tenant, g.caller.user, g.caller.sessions_from), 200, NOT_STORED


# == API keys ==


class ApiKeyBody(Body):
    """An API key as it is listed; its hash is never shown."""

    id = identifier("The key's id")
    name = string("Human-readable name for the key")
    rawKey = fields.String(required=True, metadata={"description": "The secret; it cannot be retrieved again"})
    permissions = Items(
        choice("A permission", PERMISSIONS, "Permission"),
        "What the key may do; grant only what the integration needs",
        required=True,
        validate=validate.Length(min=1, error="Expected at least one permission"),
    )
    active = Flag("Whether the key is accepted", required=True)
    createdAt = moment("When it was made")
    lastUsedAt = moment("When it was last used, right to a second; null before the first use", allow_none=True)
    deactivatedAt = moment("When it was deactivated; absent while it is active", required=False)

    class Meta(Body.Meta):
        exclude = ("rawKey",)


class ApiKeyRequestBody(ApiKeyBody):
    """An API key to be made."""

    class Meta(Body.Meta):
        fields = ("name", "permissions")


class NewApiKeyBody(ApiKeyBody):
    """An API key that was just made: the only answer that ever carries the raw key."""

    class Meta(Body.Meta):
        fields = ("id", "name", "rawKey", "permissions", "createdAt")


class DeactivatedApiKeyBody(ApiKeyBody):
    """An API key that is not accepted any more."""

    deactivatedAt = moment("When it was first deactivated")

    class Meta(Body.Meta):
        fields = ("id", "name", "permissions", "active", "createdAt", "deactivatedAt")


class DeletedBody(Body):
    """That an API key is gone."""

    deleted = Flag("Always true", required=True)


def key_as_listed(row: tuple[Any, ...]) -> dict[str, Any]:
    """Answer a key's row as the list shows it."""
    id, name, permissions, created_at, last_used_at, deactivated_at = row
    listed = {
        "id": id,
        "name": name,
        "permissions": json.loads(permissions),
        "active": deactivated_at is None,
        "createdAt": created_at,
        "lastUsedAt": last_used_at,
    }
    return listed if deactivated_at is None else {**listed, "deactivatedAt": deactivated_at}


def listed_api_keys() -> list[dict[str, Any]]:
    """Answer all API keys of the workspace, oldest first."""
    rows = execute(
        "SELECT id, name, permissions, created_at, last_used_at, deactivated_at FROM api_keys WHERE tenant = ? ORDER BY seq",
        g.tenant,
    )
    return [key_as_listed(row) for row in rows]


def insert_api_key(key: dict[str, Any]) -> dict[str, Any]:
    """Store a new API key, and answer it with its raw key."""
    raw_key = make_raw_key()
    permissions = [permission for permission in PERMISSIONS if permission in key["permissions"]]
    created = {
        "id": random_id("apikey"),
        "name": key["name"],
        "rawKey": raw_key,
        "permissions": permissions,
        "createdAt": utc_now(),
    }
    sql = "INSERT INTO api_keys (tenant, id, name, hash, permissions, created_at) VALUES (?, ?, ?, ?, ?, ?)"
    execute(sql, g.tenant, created["id"], key["name"], hash_key(raw_key), to_json(permissions), created["createdAt"])
    return created


def switch_off_api_key(id: str) -> dict[str, Any]:
    """Deactivate an API key, unless it is, and answer it. Raises ApiError 404."""
    with transaction():  # RETURNING alone commits only when its rows are read to the end
        row = one(
            "UPDATE api_keys SET deactivated_at = ifnull(deactivated_at, ?) WHERE tenant = ? AND id = ?"
            " RETURNING id, name, permissions, created_at, last_used_at, deactivated_at",
            *(utc_now(), g.tenant, id),
        )
    key = key_as_listed(found(row, "api-key", id))
    del key["lastUsedAt"]  # as published
    return key


def remove_api_key(id: str) -> dict[str, bool]:
    """Delete an API key. Raises ApiError 404."""
    with transaction():
        if not execute("DELETE FROM api_keys WHERE tenant = ? AND id = ?", g.tenant, id).rowcount:
            raise not_found("api-key", id)
    return {"deleted": True}


@api.get("/api-keys")
@session_only("canManageRoles")
@api.response(200, ApiKeyBody(many=True))
def list_api_keys() -> list[dict[str, Any]]:
    """List all API keys of the workspace, oldest first."""
    return listed_api_keys()


@api.post("/api-keys")
@session_only("canManageRoles")
@api.arguments(ApiKeyRequestBody())
@api.response(201, NewApiKeyBody)
def create_api_key(key: dict[str, Any]) -> Any:
    """Generate a new API key; this answer is the only one that shows the raw key, so store it now."""
    with transaction():
        return insert_api_key(key), 201, NOT_STORED


@api.post("/api-keys/<id>/deactivate")
@session_only("canManageRoles")
@api.response(200, DeactivatedApiKeyBody)
def deactivate_api_key(id: str) -> dict[str, Any]:
    """Deactivate an API key: it is refused everywhere from this moment on. Doing it again changes nothing."""
    return switch_off_api_key(id)


@api.delete("/api-keys/<id>")
@session_only("canManageRoles")
@api.response(200, DeletedBody)
def delete_api_key(id: str) -> dict[str, bool]:
    """Delete an API key for good; deactivate it first to be sure that nothing uses it."""
    return remove_api_key(id)


# == The model: what its seven nouns share ==


class ModelBody(Body):
    """A model object: what the caller gives is what is stored and served."""

    def check_change(self, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
        """Refuse a change that the stored data or the caller does not allow (ApiError). Nothing, unless overridden."""


MODEL: dict[str, ModelBody] = {}


def exists(kind: str, id: str) -> bool:
    """Answer whether the workspace has this model object."""
    return one("SELECT 1 FROM model_objects WHERE tenant = ? AND kind = ? AND id = ?", g.tenant, kind, id) is not None


def require_existing(links: Iterable[tuple[str, str, str]]) -> None:
    """Raise ApiError 400, naming the fields, unless everything that these references name exists."""
    refuse_problems(
        f"{field}: {kind.replace('-', ' ')} '{id}' does not exist" for field, kind, id in links if not exists(kind, id)
    )


def object_text(kind: str, id: str) -> str:
    """Answer a model object's stored text. Raises ApiError 404."""
    sql = "SELECT body FROM model_objects WHERE tenant = ? AND kind = ? AND id = ?"
    return found(one(sql, g.tenant, kind, id), kind, id)[0]


def load_object(kind: str, id: str) -> Any:
    """Answer a model object. Raises ApiError 404."""
    return json.loads(object_text(kind, id))


def store_object(kind: str, new: dict[str, Any], old: dict[str, Any] | None = None) -> str:
    """Store a new model object, or one in place of the old, and answer its text. Raises ApiError 400, 403 or 409."""
    id, links = new["id"], list(references(MODEL[kind], new))
    require_existing(link for link in links if link[1:] != (kind, id))
    MODEL[kind].check_change(old, new)
    body = to_json(new)
    if old is None:
        execute("INSERT INTO model_objects (tenant, kind, body) VALUES (?, ?, ?)", g.tenant, kind, body)
    else:
        execute("UPDATE model_objects SET body = ? WHERE tenant = ? AND kind = ? AND id = ?", body, g.tenant, kind, id)
        execute("DELETE FROM model_references WHERE tenant = ? AND kind = ? AND id = ?", g.tenant, kind, id)
    get_db().executemany(
        "INSERT INTO model_references (tenant, kind, id, field, target_kind, target_id) VALUES (?, ?, ?, ?, ?, ?)",
        ((g.tenant, kind, id, *link) for link in links),
    )
    return body


def remove_object(kind: str, id: str) -> None:
    """Delete a model object that nothing refers to. Raises ApiError 404 or 409."""
    object_text(kind, id)
    sql = "SELECT DISTINCT kind, id FROM referrers WHERE tenant = ? AND target_kind = ? AND target_id = ? LIMIT 4"
    referrers = [f"{source.replace('-', ' ')} '{source_id}'" for source, source_id in execute(sql, g.tenant, kind, id)]
    if referrers:
        more = " and more" if len(referrers) > 3 else ""
        raise ApiError(409, f"{kind.replace('-', ' ').capitalize()} '{id}' is in use by {', '.join(referrers[:3])}{more}")
    execute("DELETE FROM model_objects WHERE tenant = ? AND kind = ? AND id = ?", g.tenant, kind, id)


def with_path_id(body: dict[str, Any], id: str) -> dict[str, Any]:
    """Answer a body with the id of the path, which it may leave out. Raises ApiError 400 when it names another."""
    if body.get("id", id) != id:
        raise ApiError(400, f"id: expected '{id}' as in the path, got {shown(body['id'])}")
    return {"id": id, **body}


def register_reads(kind: str, body: type[ModelBody]) -> None:
    """Register a model noun's list and get."""
    name, noun = kind.replace("-", "_"), kind.replace("-", " ")

    @api.get(f"/{kind}s", endpoint=f"list_{name}s")
    @requires("read")
    @api.response(200, body(many=True))
    @api.doc(summary=f"List all {noun}s, in order of creation.")
    def list_objects() -> Response:
        sql = "SELECT CAST(body AS BLOB) FROM model_objects WHERE tenant = ? AND kind = ? ORDER BY seq"
        return answer_list(execute(sql, g.tenant, kind))

    @api.get(f"/{kind}s/<id>", endpoint=f"get_{name}")
    @requires("read")
    @api.response(200, body)
    @api.doc(summary=f"Get one {noun}.")
    def get_object(id: str) -> Response:
        return answer(object_text(kind, id))


def register_writes(kind: str, body: type[ModelBody], update: str, delete: str, flag: str) -> None:
    """Register a model noun's create, replace and delete."""
    name, noun = kind.replace("-", "_"), with_article(kind)

    @api.post(f"/{kind}s", endpoint=f"create_{name}")
    @requires(update, flag)
    @api.arguments(shared(body))
    @api.response(201, body)
    @api.doc(summary=f"Create {noun}; its id and alias must be new in the workspace.")
    def create_object(new: dict[str, Any]) -> Response:
        with transaction():
            return answer(store_object(kind, new), 201)

    @api.put(f"/{kind}s/<id>", endpoint=f"replace_{name}")
    @requires(update, flag)
    @api.arguments(body(partial=("id",)))
    @api.response(200, body)
    @api.doc(summary=f"Replace {noun} as a whole; the body may leave its id out.")
    def replace_object(new: dict[str, Any], id: str) -> Response:
        new = with_path_id(new, id)
        with transaction():
            return answer(store_object(kind, new, load_object(kind, id)))

    @api.delete(f"/{kind}s/<id>", endpoint=f"delete_{name}")
    @requires(delete, flag)
    @api.response(204)
    @api.doc(summary=f"Delete {noun} that nothing refers to.")
    def delete_object(id: str) -> None:
        with transaction():
            remove_object(kind, id)


def model_noun(kind: str, body: type[ModelBody], update: str, delete: str, flag: str) -> None:
    """Register the five operations that every kind of model object has, and who may call them."""
    MODEL[kind] = shared(body)  # type: ignore[assignment]
    register_reads(kind, body)
    register_writes(kind, body, update, delete, flag)


# == Schemas ==


class AttributeGroupBody(Body):
    """A group of attributes, as people see them together."""

    id = identifier("The group's id")
    name = string("The group's name")
    sortOrder = Number("Groups are shown in ascending order", load_default=0)
    attributeIds = Items(Reference("attribute"), "The group's attributes, in order", load_default=list)


class SchemaBody(ModelBody):
    """A product schema: what the records of one kind of product hold."""

    id = identifier("The schema's id")
    alias = identifier("URL-safe short name")
    name = string("The schema's name")
    description = string("What it is for", required=False, longest=10_000)
    icon = string("Name of an icon", required=False)
    variantEnabled = Flag("Whether its records may have variants", required=True)
    workflowId = Reference("workflow", allow_none=True)
    attributeGroups = Items(fields.Nested(AttributeGroupBody), "Its attributes", load_default=list, validate=each_once("id"))

    @ma.validates_schema
    def check_groups(self, data: dict[str, Any], **_: Any) -> None:
        """An attribute is in one group, once."""
        seen: set[str] = set()
        for index, group in enumerate(data["attributeGroups"]):
            for place, attribute in enumerate(group["attributeIds"]):
                if attribute in seen:
                    message = {place: ["Expected each attribute only once in a schema"]}
                    raise ma.ValidationError({"attributeGroups": {index: {"attributeIds": message}}})
                seen.add(attribute)

    def check_change(self, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
        """Another workflow must have the states that records are in; records in none begin in its default state."""
        if old is None or old.get("workflowId") == new.get("workflowId"):
            return
        workflow = load_object("workflow", new["workflowId"]) if "workflowId" in new else {"states": []}
        states = [state["id"] for state in workflow["states"]]
        sql = "SELECT state_id FROM entity_counts WHERE tenant = ? AND schema_id = ? AND total > 0 AND state_id <> ''"
        for (state,) in execute(sql, g.tenant, new["id"]):
            if state not in states:
                raise ApiError(409, f"workflowId: records are in state '{state}', which would not exist any more")
        if states:
            self.begin_lifecycle(new["id"], workflow["defaultStateId"])

    @staticmethod
    def begin_lifecycle(schema_id: str, state_id: str) -> None:
        """Put the records that are in no state into one; in two statements, because there may be any number of them."""
        stateless = "tenant = ? AND schema_id = ? AND is_variant = 0 AND state_id IS NULL"
        change: dict[str, Any] = {"attribute": "lifecycleStateId", "scope": {}, "oldValue": None, "newValue": state_id}
        entry = (
            "json_object('id', 'audit-' || lower(hex(randomblob(8))), 'entityId', id, 'action', 'transition',"
            " 'userId', ?, 'timestamp', ?, 'changes', json(?))"
        )
        now, who, which = utc_now(), g.caller.id, (g.tenant, schema_id)
        execute(
            f"INSERT INTO audit_log (tenant, record_id, body) SELECT tenant, id, {entry} FROM entities"  # noqa: S608
            f" WHERE {stateless} ORDER BY seq",
            *(who, now, to_json([change]), *which),
        )
        members = "'$.lifecycleStateId', ?, '$.updatedAt', ?, '$.updatedBy', ?"
        execute(f"UPDATE entities SET body = json_set(body, {members}) WHERE {stateless}", state_id, now, who, *which)  # noqa: S608


model_noun("schema", SchemaBody, "update-model", "delete-model", "canManageSchemas")


# == Attributes ==

ATTRIBUTE_TYPES: dict[str, tuple[type, ...]] = {  # and what their values are in JSON
    "text": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "datetime": (str,),
    "media": (str,),
    "option": (str,),
    "relation": (str,),
    "complex": (dict,),
}


def compile_pattern(pattern: str) -> Any:
    """Compile a pattern with RE2, whose matching takes time in proportion to the text and to the pattern's program.

    Raises re2.error for a pattern that does not compile, or to too large a program.
    """
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 19
    return re2.compile(pattern, options)


class ValidationBody(Body):
    """What the values of an attribute must be like."""

    required = Flag("Counts for completeness; never blocks a write")
    maxLength = fields.Integer(
        strict=True,
        allow_none=True,
        validate=validate.Range(0, error="Expected 0 or more"),
        metadata={"description": "Most characters of a text"},
    )
    min = Number("Least number", allow_none=True)
    max = Number("Greatest number", allow_none=True)
    pattern = string("Regular expression (RE2 syntax) that texts must contain a match of", required=False, longest=1000)
    unique = Flag("No two records or variants may hold the same value in the same scope")

    @ma.validates_schema
    def check_rules(self, data: dict[str, Any], **_: Any) -> None:
        """The pattern compiles, and the range is not empty."""
        try:
            compile_pattern(data.get("pattern") or "")
        except re2.error as error:
            reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error
            raise ma.ValidationError(f"Expected an RE2 pattern: {reason}", "pattern") from None
        if data.get("min") is not None and data.get("max") is not None and data["min"] > data["max"]:
            raise ma.ValidationError("Expected a number not less than min", "max")


class AttributeGuardBody(Body):
    """Shows or hides the attribute by another one's value."""

    attributeId = Reference("attribute", required=True)
    operator = choice("How the value is compared", ["equals", "notEquals", "isEmpty", "isNotEmpty", "in"], "GuardOperator")
    value = fields.Raw(allow_none=True, metadata={"description": "What it is compared with"})


def unique_key(value: Any) -> str:
    """Answer the text under which a value is unique: 1.0 is 1, wherever it stands, and the order of members does not matter."""
    if isinstance(value, str):
        return to_json(value)

    def number(text: str) -> int | float:
        return int(float(text)) if float(text).is_integer() else float(text)

    return to_json(json.loads(to_json(value), parse_float=number), sort_keys=True)


def claim_values(entity_id: str, alias: str, entries: list[dict[str, Any]]) -> None:
    """Claim the values of a unique attribute for one record or variant. Raises ApiError 409 if another has one."""
    for index, entry in enumerate(entries):
        key = (g.tenant, alias, to_json(entry["scope"], sort_keys=True), unique_key(entry["value"]))
        if not execute(
            "INSERT INTO unique_values (tenant, attribute, scope, value, entity_id) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            *key,
            entity_id,
        ).rowcount:
            sql = "SELECT entity_id FROM unique_values WHERE tenant = ? AND attribute = ? AND scope = ? AND value = ?"
            holder = one(sql, *key)[0]
            raise ApiError(409, f"values.{alias}[{index}].value: {shown(entry['value'])} is already the value of '{holder}'")


class AttributeBody(ModelBody):
    """An attribute: one kind of value that records hold."""

    id = identifier("The attribute's id")
    alias = identifier("Short name, under which records hold its values")
    name = string("The attribute's name")
    type = choice("What its values are", ATTRIBUTE_TYPES, "AttributeType")
    dimensionIds = Items(Reference("dimension"), "What its values differ by", load_default=list, validate=each_once())
    inheritable = Flag("Whether variants inherit it", load_default=True)
    validation = fields.Nested(ValidationBody, load_default=dict, metadata={"description": "What its values must be like"})
    guards = Items(fields.Nested(AttributeGuardBody), "What showing it depends on", load_default=list, most=100)
    optionListId = Reference("option-list", allow_none=True)
    multiple = Flag("Whether each value is an array", load_default=False)

    @ma.validates_schema
    def check_options(self, data: dict[str, Any], **_: Any) -> None:
        """Options come from a list, and nothing else does."""
        if (data["type"] == "option") != (data.get("optionListId") is not None):
            expected = "the id of an option list" if data["type"] == "option" else "none, because the type is not option"
            raise ma.ValidationError(f"Expected {expected}", "optionListId")

    def check_change(self, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
        """Stored values keep their alias; from the moment an attribute is unique, so are the values under its alias."""
        alias, was, is_unique = new["alias"], old or {"alias": None, "validation": {}}, new["validation"].get("unique", False)
        used = "SELECT 1 FROM entities WHERE tenant = ? AND json_type(body, ?) IS NOT NULL"
        if old is not None and was["alias"] != alias and one(used, g.tenant, f'$.values."{was["alias"]}"'):
            raise ApiError(409, f"alias: records hold values under '{was['alias']}', which would be lost")
        if (was["alias"], was["validation"].get("unique", False)) != (alias, is_unique):
            execute("DELETE FROM unique_values WHERE tenant = ? AND attribute IN (?, ?)", g.tenant, was["alias"], alias)
            if is_unique:
                self.claim_stored_values(alias)

    @staticmethod
    def claim_stored_values(alias: str) -> None:
        """Claim the values that records already hold. Raises ApiError 409 where two hold the same."""
        sql = "SELECT id, json_extract(body, ?) FROM entities WHERE tenant = ? AND json_type(body, ?) IS NOT NULL ORDER BY seq"
        path = f'$.values."{alias}"'
        for entity_id, entries in execute(sql, path, g.tenant, path).fetchall():
            try:
                claim_values(entity_id, alias, json.loads(entries))
            except ApiError as error:
                message = f"values are there more than once: of '{entity_id}', {error.message}"
                raise ApiError(409, f"validation.unique: {message}") from None


model_noun("attribute", AttributeBody, "update-model", "delete-model", "canManageSchemas")


def attribute_texts(schema: dict[str, Any]) -> list[str]:
    """Answer the stored texts of a schema's attributes, in the order of its groups."""
    sql = (
        "SELECT o.id, o.body FROM model_references r"
        " JOIN model_objects o ON o.tenant = r.tenant AND o.kind = r.target_kind AND o.id = r.target_id"
        " WHERE r.tenant = ? AND r.kind = 'schema' AND r.id = ? AND r.target_kind = 'attribute'"
    )
    bodies = dict(execute(sql, g.tenant, schema["id"]).fetchall())
    groups = sorted(schema["attributeGroups"], key=lambda group: group["sortOrder"])
    return [bodies[attribute] for group in groups for attribute in group["attributeIds"]]


@api.get("/schemas/<id>/attributes")
@requires("read")
@api.response(200, AttributeBody(many=True))
def list_schema_attributes(id: str) -> Response:
    """List the attributes of one schema, in the order of its groups."""
    with snapshot():
        return answer_list((text.encode(),) for text in attribute_texts(load_object("schema", id)))


# == Dimensions ==


class SegmentBody(Body):
    """One value of a dimension."""

    id = identifier("The segment's id")
    alias = identifier("Short name")
    name = string("The segment's name")
    isDefault = Flag("Whether it is the default, which defaultSegmentId decides", load_default=False)


class DimensionBody(ModelBody):
    """Something that values differ by, such as language or market."""

    id = identifier("The dimension's id")
    alias = identifier("Short name")
    name = string("The dimension's name")
    defaultSegmentId = string("The segment that counts when none is named")
    segments = Items(fields.Nested(SegmentBody), "Its values, in order", required=True, validate=each_once("id", "alias"))

    @ma.validates_schema
    def check_segments(self, data: dict[str, Any], **_: Any) -> None:
        """The id is not the one that the path of the scope matrix takes; the default is one of the segments."""
        if data.get("id") == "scope-matrix":
            raise ma.ValidationError("Expected another id: this one is reserved", "id")
        if data["defaultSegmentId"] not in [segment["id"] for segment in data["segments"]]:
            raise ma.ValidationError("Expected the id of one of the segments", "defaultSegmentId")

    @ma.post_load
    def mark_default(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Keep isDefault in step with defaultSegmentId."""
        for segment in data["segments"]:
            segment["isDefault"] = segment["id"] == data["defaultSegmentId"]
        return data


model_noun("dimension", DimensionBody, "update-model", "delete-model", "canManageDimensions")


class ScopeMatrixBody(Body):
    """The dimensions whose scopes are wanted."""

    dimensionIds = Items(Reference("dimension"), "Combined in this order", required=True, most=20, validate=each_once())


@api.post("/dimensions/scope-matrix")
@requires("read")
@api.arguments(ScopeMatrixBody())
@api.response(200, {"type": "array", "items": {"$ref": "#/components/schemas/Scope"}})
def compute_scope_matrix(body: dict[str, Any]) -> Response:
    """Answer every combination of the dimensions' segments, in the order given; at most 10,000."""
    ids = body["dimensionIds"]
    require_existing(references(ScopeMatrixBody(), body))
    segments = [[segment["id"] for segment in load_object("dimension", id)["segments"]] for id in ids]
    if math.prod(map(len, segments)) > 10_000:
        raise ApiError(400, "dimensionIds: expected at most 10000 combinations, got more")
    return answer(to_json([dict(zip(ids, scope, strict=True)) for scope in itertools.product(*segments)]))


# == Option lists ==


class OptionValueBody(Body):
    """One value of an option list."""

    id = identifier("The value's id")
    alias = identifier("Short name")
    label = string("What people see")
    sortOrder = Number("Values are listed in ascending order", load_default=0)
    color = string("A colour, in hex", required=False)
    parentId = string("The value above it, in a hierarchical list", required=False)


def with_below(ids: Iterable[str], values: list[dict[str, Any]]) -> set[str]:
    """Answer these ids and those of all values below them."""
    children: dict[str | None, list[str]] = {}
    for value in values:
        children.setdefault(value.get("parentId"), []).append(value["id"])
    found_ids = list(ids)
    for above in found_ids:  # grows as it goes
        found_ids.extend(children.get(above, []))
    return set(found_ids)


def parent_problems(values: list[dict[str, Any]], hierarchical: bool) -> dict[int, str]:
    """Answer what is wrong with the values' parents, by the values' place in the list."""
    ids, problems = {value["id"] for value in values}, {}
    rooted = with_below((value["id"] for value in values if value.get("parentId") not in ids), values)
    for index, value in enumerate(values):
        parent = value.get("parentId")
        if parent is not None and not hierarchical:
            problems[index] = "Expected none, because the list is not hierarchical"
        elif parent is not None and parent not in ids:
            problems[index] = "Expected the id of another value of the list"
        elif value["id"] not in rooted:
            problems[index] = "Expected a value that is not below this one"
    return problems


class OptionListBody(ModelBody):
    """A list of values to choose from."""

    id = identifier("The list's id")
    alias = identifier("Short name")
    name = string("The list's name")
    hierarchical = Flag("Whether its values may stand below one another", load_default=False)
    values = Items(fields.Nested(OptionValueBody), "Its values", load_default=list, validate=each_once("id", "alias"))

    @ma.validates_schema
    def check_values(self, data: dict[str, Any], **_: Any) -> None:
        """Each parent is a value of the list."""
        problems = parent_problems(data["values"], data["hierarchical"])
        if problems:
            raise ma.ValidationError({"values": {index: {"parentId": [text]} for index, text in problems.items()}})

    @ma.post_load
    def sort_values(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """List the values in ascending sortOrder."""
        return {**data, "values": sorted(data["values"], key=lambda value: value["sortOrder"])}


model_noun("option-list", OptionListBody, "update-model", "delete-model", "canManageOptionLists")


def find_option_value(id: str, value_id: str) -> tuple[dict[str, Any], int]:
    """Answer an option list, and the place of one of its values. Raises ApiError 404."""
    options = load_object("option-list", id)
    for place, value in enumerate(options["values"]):
        if value["id"] == value_id:
            return options, place
    raise not_found("option-value", value_id)


def store_option_values(old: dict[str, Any], values: list[dict[str, Any]], new: dict[str, Any] | None = None) -> None:
    """Store a list with other values, of which one may be new. Raises ApiError 400 or 409."""
    if new is not None:
        for member in ("id", "alias"):
            if sum(value[member] == new[member] for value in values) > 1:
                raise ApiError(409, f"{member}: {shown(new[member])} is already taken in option list '{old['id']}'")
        for problem in parent_problems(values, old["hierarchical"]).values():
            raise ApiError(400, f"parentId: {problem}, got {shown(new.get('parentId'))}")
    store_object("option-list", {**old, "values": sorted(values, key=lambda value: value["sortOrder"])}, old)


@api.post("/option-lists/<id>/values")
@requires("update-model", "canManageOptionLists")
@api.arguments(OptionValueBody())
@api.response(201, OptionValueBody)
def create_option_value(value: dict[str, Any], id: str) -> Response:
    """Add a value to an option list."""
    with transaction():
        options = load_object("option-list", id)
        store_option_values(options, [*options["values"], value], value)
    return answer(to_json(value), 201)


@api.put("/option-lists/<id>/values/<value_id>")
@requires("update-model", "canManageOptionLists")
@api.arguments(OptionValueBody(partial=("id",)))
@api.response(200, OptionValueBody)
def replace_option_value(value: dict[str, Any], id: str, value_id: str) -> Response:
    """Replace a value of an option list; the body may leave its id out."""
    value = with_path_id(value, value_id)
    with transaction():
        options, place = find_option_value(id, value_id)
        values = options["values"]
        store_option_values(options, [*values[:place], value, *values[place + 1 :]], value)
    return answer(to_json(value))


@api.delete("/option-lists/<id>/values/<value_id>")
@requires("delete-model", "canManageOptionLists")
@api.response(204)
def delete_option_value(id: str, value_id: str) -> None:
    """Remove a value from an option list, and the values below it."""
    with transaction():
        options, _ = find_option_value(id, value_id)
        removed = with_below([value_id], options["values"])
        store_option_values(options, [value for value in options["values"] if value["id"] not in removed])


# == Workflows ==


class StateBody(Body):
    """A state that records can be in; the lists name attributes by alias, or by id."""

    id = identifier("The state's id")
    name = string("The state's name")
    color = string("A colour, in hex", required=False)
    hidden = aliases("Attributes not shown in this state")
    required = aliases("Attributes that count for completeness")
    readOnly = aliases("Attributes that cannot change")


class TransitionBody(Body):
    """A way from one state to another."""

    id = identifier("The transition's id")
    name = string("The transition's name", required=False)
    fromStateId = string("The state it leaves")
    toStateId = string("The state it leads to")
    allowedRoleIds = Items(
        Reference("role"), "Who may take it, everybody if there are none", load_default=list, validate=each_once()
    )
    requiresCompleteness = Number(
        "Least score to take it with", load_default=0, validate=validate.Range(0, 100, error="Expected 0 to 100")
    )


class WorkflowBody(ModelBody):
    """The states that the records of a schema go through."""

    id = identifier("The workflow's id")
    alias = identifier("Short name")
    name = string("The workflow's name")
    description = string("What it is for", required=False, longest=10_000)
    defaultStateId = string("The state of new records")
    states = Items(fields.Nested(StateBody), "What records can be in", required=True, most=500, validate=each_once("id"))
    transitions = Items(
        fields.Nested(TransitionBody), "The ways between states", load_default=list, most=5000, validate=each_once("id")
    )

    @ma.validates_schema
    def check_states(self, data: dict[str, Any], **_: Any) -> None:
        """The default state and both ends of every transition are among the states."""
        states, message = {state["id"] for state in data["states"]}, ["Expected the id of one of the states"]
        if data["defaultStateId"] not in states:
            raise ma.ValidationError({"defaultStateId": message})
        for index, transition in enumerate(data["transitions"]):
            for end in ("fromStateId", "toStateId"):
                if transition[end] not in states:
                    raise ma.ValidationError({"transitions": {index: {end: message}}})

    def check_change(self, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
        """A state that records are in stays."""
        kept = {state["id"] for state in new["states"]}
        sql = (
            "SELECT sum(c.total) FROM model_references r"
            " JOIN entity_counts c ON c.tenant = r.tenant AND c.is_variant = 0 AND c.schema_id = r.id"
            " WHERE r.tenant = ? AND r.kind = 'schema' AND r.target_kind = 'workflow' AND r.target_id = ? AND c.state_id = ?"
        )
        for state in (old or {"states": []})["states"]:
            if state["id"] not in kept and one(sql, g.tenant, new["id"], state["id"])[0]:
                raise ApiError(409, f"states: '{state['id']}' cannot be taken out, because records are in it")


model_noun("workflow", WorkflowBody, "update-model", "delete-model", "canManageSchemas")


# == Roles ==

LEVELS = ["write", "read", "hidden"]

# Whoever can manage the roles of a workspace can also give themselves the rest.
ADMINISTRATORS = (
    "SELECT u.role_id FROM users u JOIN model_objects r ON r.tenant = u.tenant AND r.kind = u.role_kind AND r.id = u.role_id"
    " WHERE u.tenant = ? AND json_extract(r.body, '$.canManageRoles')"
)


class SchemaPermissionBody(Body):
    """What a role may do with the attributes of one schema."""

    schemaId = Reference("schema", required=True)
    attributePermissions = mapping("By attribute alias, or id", "Levels", choice("A level", LEVELS, "Level"), load_default=dict)


class CatalogPermissionBody(Body):
    """What a role may do with one catalog."""

    catalogId = Reference("catalog", required=True)
    canView = Flag("Whether its people see the catalog", load_default=False)
    canAssign = Flag("Whether its people put records into its categories", load_default=False)


class RoleBody(ModelBody):
    """What the people who have this role may do."""

    id = identifier("The role's id")
    name = string("The role's name")
    description = string("Who it is for", required=False, longest=10_000)
    canManageSchemas = Flag(ROLE_FLAGS["canManageSchemas"], load_default=False)
    canManageRoles = Flag(ROLE_FLAGS["canManageRoles"], load_default=False)
    canManageDimensions = Flag(ROLE_FLAGS["canManageDimensions"], load_default=False)
    canManageOptionLists = Flag(ROLE_FLAGS["canManageOptionLists"], load_default=False)
    canExport = Flag(ROLE_FLAGS["canExport"], load_default=False)
    canImport = Flag(ROLE_FLAGS["canImport"], load_default=False)
    schemaPermissions = Items(
        fields.Nested(SchemaPermissionBody), "By schema", load_default=list, validate=each_once("schemaId")
    )
    catalogPermissions = Items(
        fields.Nested(CatalogPermissionBody), "By catalog", load_default=list, validate=each_once("catalogId")
    )

    def check_change(self, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
        """An API key cannot turn on canManageRoles: whoever has that may make stronger keys.

        Nor can it turn it off for all who have it, and who alone can deactivate that key.
        """
        was = bool(old and old["canManageRoles"])
        if not g.caller.is_key or new["canManageRoles"] == was:
            return
        if new["canManageRoles"] or {role_id for (role_id,) in execute(ADMINISTRATORS, g.tenant)} == {new["id"]}:
            held, switched = ", ".join(g.caller.permissions), "on" if new["canManageRoles"] else "off, for the last who have it"
            raise ApiError(
                403, f"canManageRoles: only a signed-in user may turn this {switched}, not a key; the key holds: {held}"
            )


model_noun("role", RoleBody, "update-model", "delete-model", "canManageRoles")


class ResolveBody(Body):
    """The attributes whose levels are wanted."""

    schemaId = Reference("schema", required=True)
    attributeIds = Items(Reference("attribute"), "Absent: all attributes of the schema")


@api.post("/roles/<id>/resolve")
@requires("read")
@api.arguments(ResolveBody())
@api.response(200, {"$ref": "#/components/schemas/Levels"})
def resolve_role(body: dict[str, Any], id: str) -> Response:
    """Answer what a role may do with each attribute of a schema, by alias."""
    schema_id = body["schemaId"]
    with snapshot():
        role = load_object("role", id)
        require_existing([("schemaId", "schema", schema_id)])
        attributes = [json.loads(stored) for stored in attribute_texts(load_object("schema", schema_id))]
    aliases = {attribute["id"]: attribute["alias"] for attribute in attributes}
    wanted = body.get("attributeIds", list(aliases))
    refuse_problems(
        f"attributeIds[{index}]: schema '{schema_id}' has no attribute '{attribute}'"
        for index, attribute in enumerate(wanted)
        if attribute not in aliases
    )
    listed = {item["schemaId"]: item["attributePermissions"] for item in role["schemaPermissions"]}.get(schema_id, {})
    by_id = {aliases[name]: listed[name] for name in listed.keys() & aliases.keys() - set(aliases.values())}
    levels, unlisted = by_id | listed, "write" if role["canManageSchemas"] else "read"
    return answer(to_json({aliases[id]: levels.get(aliases[id], unlisted) for id in wanted}))


# == Records ==


class ScopedValueBody(Body):
    """A value, and where it counts: everywhere, or in one segment of some dimensions."""

    scope = mapping("Segment ids by dimension id, {} meaning everywhere", "Scope", fields.String(), load_default=dict)
    value = fields.Raw(
        required=True, allow_none=True, metadata={"description": "What the attribute's type says; null removes it"}
    )


class Values(fields.Dict):
    """Scoped values by attribute alias.

    Their shape is checked by hand, because a marshmallow schema for each value would cost more than all the rest of a
    write; what the values must be is data, and checked against the product schema.
    """

    def __init__(self, **options: Any):
        scoped = Items(fields.Nested(ScopedValueBody), "An attribute's values, one for each scope")
        metadata = {"description": "Scoped values by attribute alias", "title": "ScopedValues"}
        super().__init__(keys=fields.String(), values=scoped, metadata=metadata, **options)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> dict[str, list[dict[str, Any]]]:
        if not isinstance(value, dict):
            raise ma.ValidationError("Expected an object")
        values: dict[str, Any] = {}
        problems: dict[str, Any] = {}
        for alias, entries in value.items():
            if not isinstance(entries, list):
                problems[alias] = ["Expected an array of values with their scopes"]
                continue
            values[alias] = read = list(map(self.read_entry, entries))
            if None in read:
                index = read.index(None)
                problems[alias] = {index: self.entry_problem(entries[index])}
        if problems:
            raise ma.ValidationError(problems)
        return values

    @staticmethod
    def read_entry(entry: Any) -> dict[str, Any] | None:
        """Answer a scoped value with both its members, or None for what is none."""
        if not isinstance(entry, dict) or "value" not in entry:
            return None
        scope = entry.get("scope", {})
        if not isinstance(scope, dict) or len(entry) > 1 + ("scope" in entry):
            return None
        return {"scope": scope, "value": entry["value"]}

    @staticmethod
    def entry_problem(entry: Any) -> Any:
        """Say, as marshmallow nests its messages, what keeps an entry from being a scoped value."""
        if not isinstance(entry, dict):
            return ["Expected an object with scope and value"]
        if "value" not in entry:
            return {"value": ["Missing data for required field."]}
        if not isinstance(entry.get("scope", {}), dict):
            return {"scope": ["Expected an object"]}
        return {name: ["Unknown field"] for name in entry.keys() - {"scope", "value"}}


class RecordBody(Body):
    """A record: one product."""

    id = identifier("The record's id")
    schemaId = Reference("schema", required=True)
    lifecycleStateId = fields.String(required=True, allow_none=True, metadata={"description": "Null without a workflow"})
    createdAt = moment("When it was made")
    updatedAt = moment("When it was last changed")
    createdBy = string("Id of the user or API key that made it")
    updatedBy = string("Id of the user or API key that changed it last")
    values = Values(required=True)


class RecordRequestBody(RecordBody):
    """A record to be made."""

    id = identifier("The record's id; made when absent", required=False)

    class Meta(Body.Meta):
        fields = ("id", "schemaId", "values")


class ValuesBody(Body):
    """Values to be replaced: those of each attribute listed, while the others stay; an empty array clears one."""

    values = Values(required=True)


def record_exists(id: str) -> bool:
    """Answer whether the workspace has this record."""
    return one("SELECT 1 FROM entities WHERE tenant = ? AND id = ? AND is_variant = 0", g.tenant, id) is not None


def scope_key(scope: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Answer what tells one scope from another, whatever the order of their members."""
    return tuple(sorted(scope.items()))


MOST_MATCHED = 25_000  # characters held against patterns in one request, so that the worst pattern costs seconds at most


def length_problem(most: int, value: str) -> str | None:
    """Say what is expected in place of a text that is too long, or None."""
    return f"at most {most} characters, got {len(value)}" if len(value) > most else None


def pattern_problem(pattern: str, compiled: Any, value: str) -> str | None:
    """Say what is expected in place of a text without a match of a pattern, or None."""
    g.matched = matched = g.get("matched", 0) + len(value)
    if matched > MOST_MATCHED:
        return f"texts with a pattern to have at most {MOST_MATCHED} characters together in one request"
    if not compiled.search(value.encode()):  # of a string, re2 counts the characters before the match
        return f"a match of {pattern}, got {shown(value)}"
    return None


def range_problem(limits: dict[str, Any], value: float) -> str | None:
    """Say what is expected in place of a number out of range, or None."""
    if limits.get("min", value) <= value <= limits.get("max", value):
        return None
    return f"a number from {limits.get('min', 'any')} to {limits.get('max', 'any')}, got {shown(value)}"


def datetime_problem(value: str) -> str | None:
    """Say what is expected in place of a text that is no ISO 8601 date, nor date and time, or None."""
    try:
        datetime.fromisoformat(value)
        is_datetime = value[10:11] in ("", "T", " ")  # Python takes any character there
    except ValueError:
        is_datetime = False
    return None if is_datetime else f"an ISO 8601 date and time, got {shown(value)}"


def option_problem(list_id: str, options: set[str], value: str) -> str | None:
    """Say what is expected in place of what is no option of a list, or None."""
    return None if value in options else f"the id or alias of a value of '{list_id}', got {shown(value)}"


def relation_problem(value: str) -> str | None:
    """Say what is expected in place of an id that no record has, or None."""
    return None if record_exists(value) else f"the id of a record, got {shown(value)}"


def value_checks(attribute: dict[str, Any], options: set[str]) -> Iterator[Callable[[Any], str | None]]:
    """Yield what one value of an attribute is to be held against, once it has the attribute's type."""
    kind, limits = attribute["type"], attribute["validation"]
    if ATTRIBUTE_TYPES[kind] == (str,):
        if "maxLength" in limits:
            yield functools.partial(length_problem, limits["maxLength"])
        if "pattern" in limits:
            yield functools.partial(pattern_problem, limits["pattern"], compile_pattern(limits["pattern"]))
    if kind == "number" and ("min" in limits or "max" in limits):
        yield functools.partial(range_problem, limits)
    if kind == "datetime":
        yield datetime_problem
    if kind == "option":
        yield functools.partial(option_problem, attribute["optionListId"], options)
    if kind == "relation":
        yield relation_problem


class AttributeRules(NamedTuple):
    """What the values of one attribute must be."""

    alias: str
    kind: str
    types: tuple[type, ...]
    is_multiple: bool
    is_required: bool
    is_unique: bool
    is_inheritable: bool
    checks: list[Callable[[Any], str | None]]
    dimensions: dict[str, set[str]]  # segment ids by dimension id

    def value_problem(self, value: Any) -> str | None:
        """Say what is wrong with a value, or None."""
        if not self.is_multiple:
            problem = self.single_problem(value)
        elif not isinstance(value, list):
            problem = f"an array of type '{self.kind}', got '{JSON_TYPES[type(value)]}'"
        else:
            problem = next(filter(None, map(self.single_problem, value)), None)
        return problem and f"Attribute '{self.alias}' expects {problem}"

    def single_problem(self, value: Any) -> str | None:
        """Say what is expected in place of a value, or of one of several, or None."""
        if type(value) not in self.types:  # isinstance() would take true for a number
            return f"type '{self.kind}', got '{JSON_TYPES[type(value)]}'"
        for check in self.checks:
            if problem := check(value):
                return problem
        return None

    def entries_problems(self, entries: list[dict[str, Any]], path: str) -> Iterator[str]:
        """Yield what is wrong with the attribute's scoped values."""
        seen = set()
        for index, entry in enumerate(entries):
            scope = entry["scope"]
            wrong = list(self.scope_problems(scope, f"{path}[{index}].scope")) if scope else []
            yield from wrong
            if problem := self.value_problem(entry["value"]):
                yield f"{path}[{index}].value: {problem}"
            if len(entries) > 1 and not wrong:  # a wrong scope may hold what has no place in a set
                if (key := scope_key(scope)) in seen:
                    yield f"{path}: expected one value per scope, got more for {to_json(scope, sort_keys=True)}"
                seen.add(key)

    def scope_problems(self, scope: dict[str, Any], path: str) -> Iterator[str]:
        """Yield what is wrong with a scope."""
        for dimension, segment in scope.items():
            if dimension not in self.dimensions:
                yield f"{path}: attribute '{self.alias}' has no dimension {shown(dimension)}"
            elif not isinstance(segment, str) or segment not in self.dimensions[dimension]:
                yield f"{path}.{dimension}: expected the id of a segment of '{dimension}', got {shown(segment)}"


class StateRules(NamedTuple):
    """What a state says of attributes, by alias."""

    required: set[str]
    read_only: set[str]


class SchemaRules(NamedTuple):
    """What the records of one schema must be like."""

    schema: dict[str, Any]
    attributes: dict[str, AttributeRules]  # by alias
    workflow: dict[str, Any] | None
    states: dict[str | None, StateRules]  # by id
    transitions: list[dict[str, Any]]

    def values_problems(self, values: dict[str, Any], stored: dict[str, Any]) -> Iterator[str]:
        """Yield what is wrong with values to be written."""
        for alias, entries in values.items():
            rules = self.attributes.get(alias)
            if rules is not None:
                yield from rules.entries_problems(entries, f"values.{alias}")
            elif entries or alias not in stored:  # what the schema had once may still be cleared
                yield f"values.{alias[:100]}: schema '{self.schema['id']}' has no attribute with this alias"


def attribute_alias(name: str) -> str:
    """Answer the alias of the attribute that goes by this alias, or else by this id; the name itself if there is none."""
    sql = (
        "SELECT alias FROM model_objects WHERE tenant = ?1 AND kind = 'attribute' AND (alias = ?2 OR id = ?2)"
        " ORDER BY alias = ?2 DESC LIMIT 1"
    )
    row = one(sql, g.tenant, name)
    return row[0] if row else name


@functools.lru_cache(maxsize=128)
def compile_rules(version: bytes, tenant: str, schema_id: str) -> SchemaRules:
    """Work out a schema's rules. Raises ApiError 400 if there is no such schema.

    The version takes no part in that: it makes each state of the model an entry of its own in the cache. It is random, so
    that no other database, and no transaction that was rolled back, can come up with the same one.
    """
    require_existing([("schemaId", "schema", schema_id)])
    schema = load_object("schema", schema_id)
    attributes = [json.loads(text) for text in attribute_texts(schema)]
    used = {id for attribute in attributes for id in attribute["dimensionIds"]}
    segments = {id: {segment["id"] for segment in load_object("dimension", id)["segments"]} for id in used}
    lists = {attribute["optionListId"] for attribute in attributes if "optionListId" in attribute}
    options = {
        id: {value[name] for value in load_object("option-list", id)["values"] for name in ("id", "alias")} for id in lists
    }
    rules = {
        attribute["alias"]: AttributeRules(
            attribute["alias"],
            attribute["type"],
            ATTRIBUTE_TYPES[attribute["type"]],
            attribute["multiple"],
            attribute["validation"].get("required", False),
            attribute["validation"].get("unique", False),
            attribute["inheritable"],
            list(value_checks(attribute, options.get(attribute.get("optionListId"), set()))),
            {id: segments[id] for id in attribute["dimensionIds"]},
        )
        for attribute in attributes
    }
    workflow = load_object("workflow", schema["workflowId"]) if "workflowId" in schema else None
    states, transitions = (workflow["states"], workflow["transitions"]) if workflow else ([], [])
    names = {name for state in states for name in state["required"] + state["readOnly"]}
    aliases = {name: name if name in rules else attribute_alias(name) for name in names}
    by_id = {
        state["id"]: StateRules({aliases[name] for name in state["required"]}, {aliases[name] for name in state["readOnly"]})
        for state in states
    }
    return SchemaRules(schema, rules, workflow, by_id, transitions)


def schema_rules(schema_id: str) -> SchemaRules:
    """Answer a schema's rules, as the model is now. Raises ApiError 400 if there is no such schema."""
    tenant = g.tenant
    with snapshot():
        row = one("SELECT model_version FROM workspaces WHERE id = ?", tenant)
        (version,) = found(row, "workspace", tenant)  # it may have been removed since the caller was let in
        return compile_rules(version, tenant, schema_id)


class Entity(NamedTuple):
    """A record or a variant as it is stored."""

    schema_id: str
    state_id: str | None  # a variant's is its record's
    body: dict[str, Any]


def load_record(id: str) -> Entity:
    """Answer a record. Raises ApiError 404."""
    sql = "SELECT schema_id, state_id, body FROM entities WHERE tenant = ? AND id = ? AND is_variant = 0"
    schema_id, state_id, body = found(one(sql, g.tenant, id), "record", id)
    return Entity(schema_id, state_id, json.loads(body))


def authorship() -> dict[str, str]:
    """Answer who makes a record or variant, and when."""
    now, who = utc_now(), g.caller.id
    return {"createdAt": now, "updatedAt": now, "createdBy": who, "updatedBy": who}


def log_change(action: str, entity: dict[str, Any], at: str, changes: Iterable[dict[str, Any]]) -> None:
    """Add to the history of a record or variant what was changed, at the time that the record or variant has for it, too."""
    caller = g.caller
    entry = {
        "id": random_id("audit"),
        "entityId": entity["id"],
        "action": action,
        "userId": caller.id,
        "timestamp": at,
        "changes": list(changes),
    }
    record_id = entity.get("entityId", entity["id"])
    execute("INSERT INTO audit_log (tenant, record_id, body) VALUES (?, ?, ?)", caller.tenant, record_id, to_json(entry))


def by_scope(entries: Iterable[dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    """Answer scoped values by their scopes, in which the order of members does not matter."""
    return {scope_key(entry["scope"]): entry for entry in entries}


def value_changes(old: dict[str, Any], new: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what changed between two sets of values, by attribute and scope."""
    for alias in {**old, **new}:
        if alias not in old:
            for entry in new[alias]:
                yield {"attribute": alias, "scope": entry["scope"], "oldValue": None, "newValue": entry["value"]}
            continue
        before, after = by_scope(old[alias]), by_scope(new.get(alias, ()))
        for key, entry in {**before, **after}.items():
            was, became = (entries[key]["value"] if key in entries else None for entries in (before, after))
            if was is None or became is None or to_json(was) != to_json(became):  # as text, because to Python True is 1
                yield {"attribute": alias, "scope": entry["scope"], "oldValue": was, "newValue": became}


def insert_entity(rules: SchemaRules, entity: dict[str, Any]) -> str:
    """Store a new record or variant and answer its text. Raises ApiError 409."""
    body = to_json(entity)
    execute("INSERT INTO entities (tenant, schema_id, body) VALUES (?, ?, ?)", g.tenant, rules.schema["id"], body)
    for alias, entries in entity["values"].items():
        if rules.attributes[alias].is_unique:
            claim_values(entity["id"], alias, entries)
    log_change("create", entity, entity["createdAt"], value_changes({}, entity["values"]))
    return body


def save_values(rules: SchemaRules, entity: Entity, changed: dict[str, Any]) -> str:
    """Store a record or variant with some attributes' values, which were checked, replaced. Raises ApiError 403 or 409."""
    old, id = entity.body["values"], entity.body["id"]
    new = {alias: entries for alias, entries in {**old, **changed}.items() if entries}
    changes = list(value_changes(old, new))
    locked = rules.states[entity.state_id].read_only if entity.state_id in rules.states else ()
    for change in changes:
        if change["attribute"] in locked:
            alias = change["attribute"]
            raise ApiError(403, f"values.{alias}: attribute '{alias}' is read-only in state '{entity.state_id}'")
    for alias, entries in changed.items():
        is_unique = alias in rules.attributes and rules.attributes[alias].is_unique
        if is_unique or alias not in rules.attributes:  # what an attribute claimed before the schema lost it is freed
            execute("DELETE FROM unique_values WHERE tenant = ? AND attribute = ? AND entity_id = ?", g.tenant, alias, id)
        if is_unique:
            claim_values(id, alias, entries)
    now = utc_now()
    body = to_json({**entity.body, "updatedAt": now, "updatedBy": g.caller.id, "values": new})
    execute("UPDATE entities SET body = ? WHERE tenant = ? AND id = ?", body, g.tenant, id)
    log_change("update", entity.body, now, changes)
    return body


def save_checked_values(entity: Entity, changed: dict[str, Any]) -> str:
    """Store a record or variant with some attributes' values replaced. Raises ApiError 400, 403 or 409."""
    rules = schema_rules(entity.schema_id)
    refuse_problems(rules.values_problems(changed, entity.body["values"]))
    return save_values(rules, entity, changed)


def save_value(entity: Entity, alias: str, scope: dict[str, str], value: Any) -> str:
    """Store a record or variant with one value set, or removed by null. Raises ApiError 400, 403, 404 or 409."""
    schema, entries = schema_rules(entity.schema_id), list(entity.body["values"].get(alias, []))
    rules = schema.attributes.get(alias)
    place = next((index for index, entry in enumerate(entries) if entry["scope"] == scope), len(entries))
    if value is not None or place == len(entries):  # what is stored may be removed, whatever has become of its attribute
        if rules is None:
            raise not_found("attribute", alias)
        refuse_problems(rules.scope_problems(scope, "scope"))
        if value is not None and (problem := rules.value_problem(value)):
            raise ApiError(400, f"value: {problem}")
    entries[place : place + 1] = [] if value is None else [{"scope": scope, "value": value}]
    return save_values(schema, entity, {alias: entries})


def log_deletions(bodies: Iterable[tuple[str]]) -> None:
    """Add to the history that records or variants, of which these are the texts, are gone."""
    now = utc_now()
    for (body,) in bodies:
        entity = json.loads(body)
        log_change("delete", entity, now, value_changes(entity["values"], {}))


def list_entities(is_variant: int) -> Response:
    """Answer one page of the records, or of the variants, that the query string asks for, newest last."""
    query = request.args
    offset, limit = page_bounds(query)
    filters, parameters = " AND is_variant = " + ("1" if is_variant else "0"), [g.tenant]
    for column, name in [("schema_id", "schemaId")] + ([] if is_variant else [("state_id", "lifecycleStateId")]):
        if name in query:
            filters += f" AND {column} = ? AND {column} <> ''"  # '' stands for no state in entity_counts
            parameters.append(query[name])
    counts = f"SELECT ifnull(sum(total), 0) FROM entity_counts WHERE tenant = ?{filters}"  # noqa: S608 (constants only)
    # The inner query walks an index alone to where the page begins, so that no body before it is read.
    page = (
        f"SELECT CAST(body AS BLOB) FROM entities WHERE tenant = ?{filters}"  # noqa: S608 (constants only)
        f" AND seq >= (SELECT seq FROM entities WHERE tenant = ?{filters} ORDER BY seq LIMIT 1 OFFSET ?) ORDER BY seq LIMIT ?"
    )
    with snapshot():
        (total,) = one(counts, *parameters)
        return answer_page(execute(page, *parameters, *parameters, offset, limit), total, offset, limit)


@api.get("/records")
@requires("read")
@api.doc(
    parameters=[
        query_parameter("schemaId", "Only of this schema"),
        query_parameter("lifecycleStateId", "Only in this state"),
        *PAGE_PARAMETERS,
    ]
)
@api.response(200, page_of(RecordBody))
def list_records() -> Response:
    """List records, page by page, newest last."""
    return list_entities(0)


def refuse_full_workspace() -> None:
    """Raise ApiError 403 when the workspace holds as many records as it may."""
    limit = current_app.config["RECORD_LIMIT"]
    sql = "SELECT ifnull(sum(total), 0) FROM entity_counts WHERE tenant = ? AND is_variant = 0"
    if limit is not None and one(sql, g.tenant)[0] >= limit:
        raise ApiError(403, f"This workspace may hold {limit} records, and does", error="LIMIT_EXCEEDED")


def insert_record(body: dict[str, Any]) -> str:
    """Store a new record and answer its text. Raises ApiError 400 or 409."""
    rules = schema_rules(body["schemaId"])
    refuse_problems(rules.values_problems(body["values"], {}))
    record = {
        "id": body.get("id") or random_id("ent"),
        "schemaId": body["schemaId"],
        "lifecycleStateId": rules.workflow["defaultStateId"] if rules.workflow else None,
        **authorship(),
        "values": {alias: entries for alias, entries in body["values"].items() if entries},
    }
    return insert_entity(rules, record)


@api.post("/records")
@requires("update-data")
@api.arguments(RecordRequestBody())
@api.response(201, RecordBody)
def create_record(body: dict[str, Any]) -> Response:
    """Create a record of a schema; its values are checked against it, and it begins in its workflow's default state."""
    with transaction():
        refuse_full_workspace()
        return answer(insert_record(body), 201)


@api.get("/records/<id>")
@requires("read")
@api.response(200, RecordBody)
def get_record(id: str) -> Response:
    """Get one record with all its scoped values."""
    sql = "SELECT body FROM entities WHERE tenant = ? AND id = ? AND is_variant = 0"
    return answer(found(one(sql, g.tenant, id), "record", id)[0])


@api.put("/records/<id>")
@requires("update-data")
@api.arguments(ValuesBody())
@api.response(200, RecordBody)
def replace_record_values(body: dict[str, Any], id: str) -> Response:
    """Replace the values of each attribute listed; the others stay, and an empty array clears one."""
    with transaction():
        return answer(save_checked_values(load_record(id), body["values"]))


@api.patch("/records/<id>/values/<attribute>")
@requires("update-data")
@api.arguments(ScopedValueBody())
@api.response(200, RecordBody)
def set_record_value(body: dict[str, Any], id: str, attribute: str) -> Response:
    """Set one scoped value of a record; null removes it."""
    with transaction():
        return answer(save_value(load_record(id), attribute, body["scope"], body["value"]))


@api.delete("/records/<id>")
@requires("delete-data")
@api.response(204)
def delete_record(id: str) -> None:
    """Delete a record with its variants and category assignments; its history stays."""
    with transaction():
        load_record(id)
        sql = "SELECT body FROM entities WHERE tenant = ? AND (id = ? OR record_id = ?) ORDER BY is_variant DESC, seq"
        log_deletions(execute(sql, g.tenant, id, id).fetchall())
        execute("DELETE FROM entities WHERE tenant = ? AND id = ?", g.tenant, id)


# == Lifecycle: transitions, completeness, history ==


class ToStateBody(Body):
    """Where a record is to go."""

    toStateId = string("The state to move to")


class CompletenessOfStateBody(Body):
    """How much of what one state requires a record has."""

    stateId = fields.String(required=True, allow_none=True, metadata={"description": "The state; null without a workflow"})
    score = fields.Integer(required=True, metadata={"description": "Percentage, rounded down"})
    filled = Items(fields.String(), "Required attributes with a value", required=True)
    missing = Items(fields.String(), "Required attributes without one", required=True)


class CompletenessBody(CompletenessOfStateBody):
    """How much of what its state, and each other one, requires a record has."""

    entityId = fields.String(required=True, metadata={"description": "Id of the record"})
    states = Items(fields.Nested(CompletenessOfStateBody), "The same for every state of the workflow", required=True)


class ChangeBody(Body):
    """One value that changed."""

    attribute = fields.String(required=True, metadata={"description": "Alias, or lifecycleStateId"})
    scope = mapping("Where: segment ids by dimension id", "Scope", fields.String(), required=True)
    oldValue = fields.Raw(required=True, allow_none=True, metadata={"description": "What it was; null if there was none"})
    newValue = fields.Raw(required=True, allow_none=True, metadata={"description": "What it became; null if it was removed"})


class AuditEntryBody(Body):
    """One change to a record or variant."""

    id = identifier("The entry's id")
    entityId = string("Id of the record or variant")
    action = choice("What was done", ["create", "update", "delete", "transition"], "AuditAction")
    userId = string("Id of the user or API key that did it")
    timestamp = moment("When it was done")
    changes = Items(fields.Nested(ChangeBody), "The values that it changed", required=True)


def completeness(rules: SchemaRules, values: dict[str, Any], state_id: str | None) -> dict[str, Any]:
    """Answer how much of what a state requires these values have."""
    by_state = rules.states[state_id].required if state_id in rules.states else ()
    filled: list[str] = []
    missing: list[str] = []
    for alias, rule in rules.attributes.items():
        if alias in by_state or rule.is_required:
            has_value = any(entry["value"] not in ("", [], {}) for entry in values.get(alias, []))
            (filled if has_value else missing).append(alias)
    required = len(filled) + len(missing)
    score = 100 * len(filled) // required if required else 100
    return {"stateId": state_id, "score": score, "filled": filled, "missing": missing}


def gate_problem(transition: dict[str, Any], report: dict[str, Any]) -> str | None:
    """Say what keeps this caller from taking a transition, with this completeness of the record, or None."""
    roles, needed = transition["allowedRoleIds"], transition["requiresCompleteness"]
    if roles and g.caller.role_says("id") not in roles:
        return f"Transition '{transition['id']}' is for {', '.join(roles)} only"
    if report["score"] < needed:
        missing = ", ".join(report["missing"][:MOST_PROBLEMS]) + (" and more" if len(report["missing"]) > MOST_PROBLEMS else "")
        return f"Transition '{transition['id']}' needs completeness {needed}, it is {report['score']}; missing: {missing}"
    return None


@api.get("/records/<id>/transitions")
@requires("read")
@api.response(200, TransitionBody(many=True))
def list_record_transitions(id: str) -> Response:
    """List the transitions that this caller may take with the record now."""
    record = load_record(id)
    rules = schema_rules(record.schema_id)
    report = completeness(rules, record.body["values"], record.state_id)
    ways = [way for way in rules.transitions if way["fromStateId"] == record.state_id]
    return answer(to_json([way for way in ways if gate_problem(way, report) is None]))


def put_in_state(record: Entity, state_id: str) -> str:
    """Store a record in another state and answer its text."""
    now = utc_now()
    body = to_json({**record.body, "lifecycleStateId": state_id, "updatedAt": now, "updatedBy": g.caller.id})
    execute("UPDATE entities SET body = ? WHERE tenant = ? AND id = ?", body, g.tenant, record.body["id"])
    change: dict[str, Any] = {"attribute": "lifecycleStateId", "scope": {}, "oldValue": record.state_id, "newValue": state_id}
    log_change("transition", record.body, now, [change])
    return body


def move_record(id: str, to_state: str) -> str:
    """Store a record in another state and answer its text. Raises ApiError 400, 404 or 422."""
    record = load_record(id)
    rules = schema_rules(record.schema_id)
    if rules.workflow is None:
        raise ApiError(422, f"Schema '{record.schema_id}' has no workflow, and so no transitions")
    if to_state not in rules.states:
        raise ApiError(400, f"toStateId: workflow '{rules.workflow['id']}' has no state {shown(to_state)}")
    ends = (record.state_id, to_state)
    ways = [way for way in rules.transitions if (way["fromStateId"], way["toStateId"]) == ends]
    report, first = completeness(rules, record.body["values"], record.state_id), None
    for way in ways:
        problem = gate_problem(way, report)
        if problem is None:
            return put_in_state(record, to_state)
        first = first or problem
    raise ApiError(422, first or f"No transition leads from '{record.state_id}' to '{to_state}'")


@api.post("/records/<id>/transition")
@requires("update-data")
@api.arguments(ToStateBody())
@api.response(200, RecordBody)
def transition_record(body: dict[str, Any], id: str) -> Response:
    """Move a record to another state, along its workflow's transitions and past their gates."""
    with transaction():
        return answer(move_record(id, body["toStateId"]))


@api.get("/records/<id>/completeness")
@requires("read")
@api.response(200, CompletenessBody)
def get_record_completeness(id: str) -> Response:
    """Say which required attributes a record has and which it lacks, for its state and for every other."""
    record = load_record(id)
    rules, values = schema_rules(record.schema_id), record.body["values"]
    states = [completeness(rules, values, state) for state in rules.states]
    return answer(to_json({"entityId": id, **completeness(rules, values, record.state_id), "states": states}))


@api.get("/records/<id>/audit-log")
@requires("read")
@api.doc(parameters=PAGE_PARAMETERS)
@api.response(200, page_of(AuditEntryBody))
def list_record_changes(id: str) -> Response:
    """List what was done to a record and its variants, page by page, newest first; also after it is gone."""
    offset, limit = page_bounds(request.args)
    sql = "SELECT CAST(body AS BLOB) FROM audit_log WHERE tenant = ? AND record_id = ? ORDER BY seq DESC LIMIT ? OFFSET ?"
    with snapshot():
        (total,) = one("SELECT count(*) FROM audit_log WHERE tenant = ? AND record_id = ?", g.tenant, id)
        if not total:
            raise not_found("record", id)
        return answer_page(execute(sql, g.tenant, id, limit, offset), total, offset, limit)


# == Variants ==


class VariantBody(Body):
    """A variant of a record: only what it overrides."""

    id = identifier("The variant's id")
    entityId = string("Id of its record")
    parentId = string("Its record, or the variant of it that it stands below")
    level = fields.Integer(
        required=True, metadata={"description": "1 below the record, 2 below a variant of level 1, and so on"}
    )
    createdAt = moment("When it was made")
    updatedAt = moment("When it was last changed")
    createdBy = string("Id of the user or API key that made it")
    updatedBy = string("Id of the user or API key that changed it last")
    values = Values(required=True)


class VariantRequestBody(VariantBody):
    """A variant to be made."""

    id = identifier("The variant's id; made when absent", required=False)
    parentId = string("What it stands below; its record when absent", required=False)
    values = Values(load_default=dict)

    class Meta(Body.Meta):
        fields = ("id", "parentId", "values")


class ResolvedVariantBody(VariantBody):
    """A variant with what it inherits."""

    effectiveValues = Values(required=True)
    overriddenAttributes = Items(fields.String(), "Set on the variant itself", required=True)
    inheritedAttributes = Items(fields.String(), "Taken from what is above it", required=True)


def variant_text(record_id: str, id: str) -> str:
    """Answer a variant's stored text. Raises ApiError 404."""
    row = one("SELECT body FROM entities WHERE tenant = ? AND record_id = ? AND id = ?", g.tenant, record_id, id)
    if row is None:
        raise not_found("variant", id) if record_exists(record_id) else not_found("record", record_id)
    return row[0]


def load_variant(record_id: str, id: str) -> Entity:
    """Answer a variant, in the state of its record. Raises ApiError 404."""
    return load_record(record_id)._replace(body=json.loads(variant_text(record_id, id)))


@api.get("/variants")
@requires("read")
@api.doc(parameters=[query_parameter("schemaId", "Only of records of this schema"), *PAGE_PARAMETERS])
@api.response(200, page_of(VariantBody))
def list_variants() -> Response:
    """List the variants of all records, page by page, newest last."""
    return list_entities(1)


@api.get("/records/<id>/variants")
@requires("read")
@api.response(200, VariantBody(many=True))
def list_record_variants(id: str) -> Response:
    """List the variants of a record, of every level, newest last."""
    if not record_exists(id):
        raise not_found("record", id)
    sql = "SELECT CAST(body AS BLOB) FROM entities WHERE tenant = ? AND record_id = ? ORDER BY seq"
    return answer_list(execute(sql, g.tenant, id))


def insert_variant(body: dict[str, Any], record_id: str) -> str:
    """Store a new variant and answer its text. Raises ApiError 400, 404 or 409."""
    record, parent = load_record(record_id), body.get("parentId", record_id)
    rules = schema_rules(record.schema_id)
    if not rules.schema["variantEnabled"]:
        raise ApiError(400, f"schemaId: schema '{record.schema_id}' has no variants (variantEnabled is false)")
    sql = "SELECT json_extract(body, '$.level') FROM entities WHERE tenant = ? AND record_id = ? AND id = ?"
    row = (0,) if parent == record_id else one(sql, g.tenant, record_id, parent)
    if row is None:
        raise ApiError(400, f"parentId: expected '{record_id}' or a variant of it, got {shown(parent)}")
    refuse_problems(rules.values_problems(body["values"], {}))
    variant = {
        "id": body.get("id") or random_id("var"),
        "entityId": record_id,
        "parentId": parent,
        "level": row[0] + 1,
        **authorship(),
        "values": {alias: entries for alias, entries in body["values"].items() if entries},
    }
    return insert_entity(rules, variant)


@api.post("/records/<id>/variants")
@requires("update-data")
@api.arguments(VariantRequestBody())
@api.response(201, VariantBody)
def create_variant(body: dict[str, Any], id: str) -> Response:
    """Create a variant of a record, or of another variant of it."""
    with transaction():
        return answer(insert_variant(body, id), 201)


@api.get("/records/<id>/variants/<variant_id>")
@requires("read")
@api.response(200, VariantBody)
def get_variant(id: str, variant_id: str) -> Response:
    """Get one variant with what it overrides."""
    return answer(variant_text(id, variant_id))


@api.get("/records/<id>/variants/<variant_id>/resolved")
@requires("read")
@api.response(200, ResolvedVariantBody)
def resolve_variant(id: str, variant_id: str) -> Response:
    """Get one variant with the values it inherits, from the variants above it and from the record."""
    variant = load_variant(id, variant_id)
    attributes, own = schema_rules(variant.schema_id).attributes, variant.body["values"]
    kept = {alias for alias, rules in attributes.items() if not rules.is_inheritable}
    effective = dict(own)
    for (body,) in execute(
        "WITH RECURSIVE above (id, parent_id, body, distance) AS ("
        " SELECT id, parent_id, body, 0 FROM entities WHERE tenant = ? AND id = ?"
        " UNION ALL SELECT e.id, e.parent_id, e.body, distance + 1 FROM above a"
        " JOIN entities e ON e.tenant = ? AND e.id = a.parent_id"
        ") SELECT body FROM above WHERE distance > 0 ORDER BY distance",
        *(g.tenant, variant_id, g.tenant),
    ):
        inherited = json.loads(body)["values"]
        effective = {**{alias: entries for alias, entries in inherited.items() if alias not in kept}, **effective}
    resolved = {
        **variant.body,
        "effectiveValues": effective,
        "overriddenAttributes": list(own),
        "inheritedAttributes": [alias for alias in effective if alias not in own],
    }
    return answer(to_json(resolved))


@api.put("/records/<id>/variants/<variant_id>")
@requires("update-data")
@api.arguments(ValuesBody())
@api.response(200, VariantBody)
def replace_variant_values(body: dict[str, Any], id: str, variant_id: str) -> Response:
    """Replace what a variant overrides of each attribute listed; an empty array restores inheritance."""
    with transaction():
        return answer(save_checked_values(load_variant(id, variant_id), body["values"]))


@api.patch("/records/<id>/variants/<variant_id>/values/<attribute>")
@requires("update-data")
@api.arguments(ScopedValueBody())
@api.response(200, VariantBody)
def set_variant_value(body: dict[str, Any], id: str, variant_id: str, attribute: str) -> Response:
    """Set one scoped value of a variant; null removes it, and with the last one gone it inherits again."""
    with transaction():
        return answer(save_value(load_variant(id, variant_id), attribute, body["scope"], body["value"]))


@api.delete("/records/<id>/variants/<variant_id>")
@requires("delete-data")
@api.response(204)
def delete_variant(id: str, variant_id: str) -> None:
    """Delete a variant with those below it."""
    sql = (
        "WITH RECURSIVE below (id) AS (SELECT ?"
        " UNION ALL SELECT e.id FROM below b JOIN entities e ON e.tenant = ? AND e.parent_id = b.id)"
        " DELETE FROM entities WHERE tenant = ? AND id IN below RETURNING body"
    )
    with transaction():
        variant_text(id, variant_id)
        log_deletions(execute(sql, variant_id, g.tenant, g.tenant).fetchall())


# == Catalogs and categories ==


class CatalogBody(ModelBody):
    """A way of presenting products, with its own tree of categories."""

    id = identifier("The catalog's id")
    alias = identifier("Short name")
    name = string("The catalog's name")
    description = string("What it is for", required=False, longest=10_000)


model_noun("catalog", CatalogBody, "session", "session", "canManageSchemas")


class CategoryBody(Body):
    """A place in a catalog's tree."""

    id = identifier("The category's id")
    catalogId = string("The catalog it belongs to")
    alias = identifier("Short name")
    name = string("The category's name")
    parentId = fields.String(
        load_default=None, allow_none=True, metadata={"description": "The category above; null at the top"}
    )
    sortOrder = Number("Siblings come in ascending order, then by name", load_default=0)
    description = string("What belongs here", required=False, longest=10_000)


class CategoryRequestBody(CategoryBody):
    """A category to be made, or put in another's place."""

    id = identifier("The category's id; made when absent", required=False)
    catalogId = string("The catalog it belongs to, which the path says already", required=False)


class CategoryNodeBody(CategoryBody):
    """A category with those below it."""

    children = Items(fields.Nested("CategoryNodeBody"), "The categories right below", required=True)


class AssignmentBody(Body):
    """A record to put into a category, or take out."""

    entityId = fields.String(required=True, metadata={"description": "Id of a record"})


CATEGORY_SUBTREE = (  # a category and those below it, to any depth; takes id, tenant
    "WITH RECURSIVE below (id) AS (SELECT ?"
    " UNION ALL SELECT c.id FROM below b JOIN categories c ON c.tenant = ? AND c.parent_id = b.id)"
)


def category_text(id: str) -> str:
    """Answer a category's stored text. Raises ApiError 404."""
    return found(one("SELECT body FROM categories WHERE tenant = ? AND id = ?", g.tenant, id), "category", id)[0]


def category_text_from(body: dict[str, Any], id: str, catalog_id: str) -> str:
    """Answer the text of a category to be stored. Raises ApiError 400 for a parent that is not in the catalog."""
    if body.get("catalogId", catalog_id) != catalog_id:
        raise ApiError(400, f"catalogId: expected '{catalog_id}', got {shown(body['catalogId'])}")
    parent, sql = body["parentId"], "SELECT 1 FROM categories WHERE tenant = ? AND catalog_id = ? AND id = ?"
    if parent is not None and not one(sql, g.tenant, catalog_id, parent):
        raise ApiError(400, f"parentId: category '{parent}' does not exist in catalog '{catalog_id}'")
    return to_json({"id": id, "catalogId": catalog_id, **body})


@api.get("/catalogs/<id>/tree")
@requires("read")
@api.response(200, CategoryNodeBody(many=True))
def get_catalog_tree(id: str) -> Response:
    """Get a catalog's categories as a tree, siblings by sortOrder and then by name."""
    object_text("catalog", id)
    below: dict[str | None, list[tuple[str, str]]] = {}
    for category, parent, body in execute(
        "SELECT id, parent_id, body FROM categories WHERE tenant = ? AND catalog_id = ?"
        " ORDER BY json_extract(body, '$.sortOrder') DESC, json_extract(body, '$.name') DESC, seq DESC",
        *(g.tenant, id),
    ):
        below.setdefault(parent, []).append((category, body))
    # Written from a stack, because a tree may be deeper than Python's calls. Each list is reversed, so pop() is in order.
    pieces: list[str] = []
    open_lists = [below.get(None, [])]
    while open_lists:
        if not open_lists[-1]:
            open_lists.pop()
            pieces.append("]}" if open_lists else "]")
            continue
        category, body = open_lists[-1].pop()
        pieces.append(("," if pieces and pieces[-1] == "]}" else "") + body[:-1] + ',"children":[')
        open_lists.append(below.get(category, []))
    return answer("[" + "".join(pieces))


def insert_category(body: dict[str, Any], catalog_id: str) -> str:
    """Store a new category and answer its text. Raises ApiError 400, 404 or 409."""
    object_text("catalog", catalog_id)
    stored = category_text_from(body, body.get("id") or random_id("cat"), catalog_id)
    execute("INSERT INTO categories (tenant, body) VALUES (?, ?)", g.tenant, stored)
    return stored


@api.post("/catalogs/<id>/categories")
@session_only("canManageSchemas")
@api.arguments(CategoryRequestBody())
@api.response(201, CategoryBody)
def create_category(body: dict[str, Any], id: str) -> Response:
    """Create a category in a catalog, at the top or below another one."""
    with transaction():
        return answer(insert_category(body, id), 201)


@api.get("/categories/<id>")
@requires("read")
@api.response(200, CategoryBody)
def get_category(id: str) -> Response:
    """Get one category."""
    return answer(category_text(id))


@api.put("/categories/<id>")
@session_only("canManageSchemas")
@api.arguments(CategoryRequestBody())
@api.response(200, CategoryBody)
def replace_category(body: dict[str, Any], id: str) -> Response:
    """Replace a category as a whole; another parentId moves it, with all below it."""
    body = with_path_id(body, id)
    with transaction():
        stored = category_text_from(body, id, json.loads(category_text(id))["catalogId"])
        is_below = f"{CATEGORY_SUBTREE} SELECT 1 FROM below WHERE id = ?"  # noqa: S608 (constants only)
        if one(is_below, id, g.tenant, body["parentId"]):
            raise ApiError(400, f"parentId: expected a category that is not '{id}' or below it, got {shown(body['parentId'])}")
        execute("UPDATE categories SET body = ? WHERE tenant = ? AND id = ?", stored, g.tenant, id)
    return answer(stored)


@api.delete("/categories/<id>")
@session_only("canManageSchemas")
@api.response(204)
def delete_category(id: str) -> None:
    """Delete a category with all below it; the records in them stay."""
    with transaction():
        category_text(id)
        sql = f"{CATEGORY_SUBTREE} DELETE FROM categories WHERE tenant = ? AND id IN (SELECT id FROM below)"  # noqa: S608
        execute(sql, id, g.tenant, g.tenant)


@api.get("/categories/<id>/entities")
@requires("read")
@api.doc(parameters=PAGE_PARAMETERS)
@api.response(200, page_of(RecordBody))
def list_category_records(id: str) -> Response:
    """List the records in a category, page by page, in the order in which they were put in."""
    offset, limit = page_bounds(request.args)
    sql = (
        "SELECT CAST(e.body AS BLOB) FROM (SELECT seq, tenant, record_id FROM category_assignments"
        " WHERE tenant = ? AND category_id = ? ORDER BY seq LIMIT ? OFFSET ?) a"
        " JOIN entities e ON e.tenant = a.tenant AND e.id = a.record_id ORDER BY a.seq"
    )
    with snapshot():
        row = one("SELECT total FROM categories WHERE tenant = ? AND id = ?", g.tenant, id)
        (total,) = found(row, "category", id)
        return answer_page(execute(sql, g.tenant, id, limit, offset), total, offset, limit)


def require_record(body: dict[str, Any]) -> None:
    """Raise ApiError 400 unless the workspace has the record that a body names."""
    if not record_exists(body["entityId"]):
        raise ApiError(400, f"entityId: record {shown(body['entityId'])} does not exist")


def insert_assignment(category_id: str, record_id: str) -> None:
    """Put a record into a category, unless it is there."""
    sql = "INSERT INTO category_assignments (tenant, category_id, record_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
    execute(sql, g.tenant, category_id, record_id)


@api.post("/categories/<id>/assign")
@requires("update-data")
@api.arguments(AssignmentBody())
@api.response(204)
def assign_record(body: dict[str, Any], id: str) -> None:
    """Put a record into a category; doing it again changes nothing."""
    with transaction():
        category_text(id)
        require_record(body)
        insert_assignment(id, body["entityId"])


@api.post("/categories/<id>/unassign")
@requires("delete-data")
@api.arguments(AssignmentBody())
@api.response(204)
def unassign_record(body: dict[str, Any], id: str) -> None:
    """Take a record out of a category; doing it again changes nothing."""
    with transaction():
        category_text(id)
        require_record(body)
        sql = "DELETE FROM category_assignments WHERE tenant = ? AND category_id = ? AND record_id = ?"
        execute(sql, g.tenant, id, body["entityId"])


@api.get("/records/<id>/categories")
@requires("read")
@api.response(200, CategoryBody(many=True))
def list_record_categories(id: str) -> Response:
    """List the categories that a record is in, in the order in which it was put there."""
    if not record_exists(id):
        raise not_found("record", id)
    rows = execute(
        "SELECT CAST(c.body AS BLOB) FROM category_assignments a"
        " JOIN categories c ON c.tenant = a.tenant AND c.id = a.category_id"
        " WHERE a.tenant = ? AND a.record_id = ? ORDER BY a.seq",
        *(g.tenant, id),
    )
    return answer_list(rows)


# == The stand-in's own ==
# What the real service has not: for test suites and demos. None of it is below /api/v1.

DEMO_FILE = HERE / "demo.json"

CONTENTS = (  # how what a workspace holds is read, and stored in another one; foreign keys allow this order
    (
        "SELECT kind, body FROM model_objects WHERE tenant = ? ORDER BY seq",
        "INSERT INTO model_objects (tenant, kind, body) VALUES (?, ?, ?)",
    ),
    (
        "SELECT kind, id, field, target_kind, target_id FROM model_references WHERE tenant = ? ORDER BY seq",
        "INSERT INTO model_references (tenant, kind, id, field, target_kind, target_id) VALUES (?, ?, ?, ?, ?, ?)",
    ),
    (
        "SELECT schema_id, body FROM entities WHERE tenant = ? ORDER BY seq",
        "INSERT INTO entities (tenant, schema_id, body) VALUES (?, ?, ?)",
    ),
    (
        "SELECT attribute, scope, value, entity_id FROM unique_values WHERE tenant = ?",
        "INSERT INTO unique_values (tenant, attribute, scope, value, entity_id) VALUES (?, ?, ?, ?, ?)",
    ),
    ("SELECT body FROM categories WHERE tenant = ? ORDER BY seq", "INSERT INTO categories (tenant, body) VALUES (?, ?)"),
    (
        "SELECT category_id, record_id FROM category_assignments WHERE tenant = ? ORDER BY seq",
        "INSERT INTO category_assignments (tenant, category_id, record_id) VALUES (?, ?, ?)",
    ),
    (
        "SELECT record_id, body FROM audit_log WHERE tenant = ? ORDER BY seq",
        "INSERT INTO audit_log (tenant, record_id, body) VALUES (?, ?, ?)",
    ),
)

REMOVE_CONTENTS = (  # table by table, because SQLite follows a cascade, as from category to category, 1,000 levels deep
    "DELETE FROM category_assignments WHERE tenant = ?",
    "DELETE FROM categories WHERE tenant = ?",
    "DELETE FROM unique_values WHERE tenant = ?",
    "DELETE FROM entities WHERE tenant = ?",
    "DELETE FROM entity_counts WHERE tenant = ?",
    "DELETE FROM audit_log WHERE tenant = ?",
    "DELETE FROM model_references WHERE tenant = ?",
    "DELETE FROM users WHERE tenant = ?",
    "DELETE FROM api_keys WHERE tenant = ?",
    "DELETE FROM model_objects WHERE tenant = ?",
)


class HeldKeyBody(ApiKeyBody):
    """The API key that was presented, without its secret."""

    class Meta(Body.Meta):
        fields = ("id", "name", "permissions")


class SignedInUserBody(UserBody):
    """The user whose token was presented, with what the role allows."""

    roleFlags = mapping(
        "Whether the user's role has each flag now", "RoleFlags", Flag("Whether the role has it", required=True), required=True
    )


class WorkspaceBody(Body):
    """A workspace."""

    id = identifier("The workspace's id")
    name = string("The workspace's name")


class RouteBody(Body):
    """A route of the API, and whether a credential may call it."""

    method = choice("The method", ["GET", "POST", "PUT", "PATCH", "DELETE"], "Method")
    path = string("The path, as in this document")
    permission = choice("What a key needs; session: no key may call it", [*PERMISSIONS, "session", "public"], "RoutePermission")
    roleFlag = fields.String(
        required=True, allow_none=True, metadata={"description": "What a user's role needs; null: any user may call it"}
    )
    allowed = Flag("Whether the credential may call it", required=True)


class WhoamiBody(Body):
    """Whose credential was presented, and what it may call."""

    kind = choice("What the credential is", ["api-key", "user"], "CredentialKind")
    workspace = fields.Nested(WorkspaceBody, required=True, metadata={"description": "Where it is good"})
    key = fields.Nested(HeldKeyBody, metadata={"description": "The API key; absent for a user"})
    user = fields.Nested(SignedInUserBody, metadata={"description": "The user; absent for an API key"})
    routes = Items(fields.Nested(RouteBody), "Every route of the API", required=True)


class WantedWorkspaceBody(Body):
    """A workspace to be made for a test."""

    content = fields.String(
        load_default="demo",
        validate=validate.OneOf(["demo", "empty"], error="Expected one of: {choices}"),
        metadata={
            "description": "demo: what the demo workspace holds at first; empty: an administrator and nothing else",
            "title": "WorkspaceContent",
        },
    )
    keys = Items(
        ApiKeyRequestBody().fields["permissions"],
        "Lists of permissions; an API key is made with each of them",
        most=100,
        load_default=list,
    )


class TestWorkspaceBody(WorkspaceBody):
    """A workspace that was made for a test, and what it takes to use it."""

    admin = fields.Nested(SessionBody, required=True, metadata={"description": "The session of its administrator"})
    editor = fields.Nested(SessionBody, metadata={"description": "The session of its editor; absent in an empty workspace"})
    keys = Items(fields.Nested(NewApiKeyBody), "The API keys that were asked for, in that order", required=True)


class ResetBody(Body):
    """What is to be as it was at first, beside the demo workspace."""

    removeTestWorkspaces = Flag("Whether all workspaces that were made for tests are removed, too", load_default=False)


def read_demo() -> dict[str, Any]:
    """Answer what the demo workspace is made of."""
    demo: dict[str, Any] = json.loads(DEMO_FILE.read_text(encoding="utf-8"))
    return demo


@contextmanager
def acting_as(tenant: str, user_id: str) -> Iterator[None]:
    """Let the block act in a workspace as one of its users, whoever sent the request."""
    with current_app.app_context():  # so that the log does not take the user for who sent it
        g.tenant, g.caller = tenant, Caller(tenant, user_id, user={"id": user_id}, role={})
        yield


def insert_user(user: dict[str, str], password_hash: str, sessions_from: int) -> None:
    """Store a user. Raises sqlite3.IntegrityError for an email that is taken."""
    execute(
        "INSERT INTO users (tenant, id, email, name, password_hash, role_id, sessions_from) VALUES (?, ?, ?, ?, ?, ?, ?)",
        *(g.tenant, user["id"], user["email"], user["name"], password_hash, user["roleId"], sessions_from),
    )


def insert_administrator_role(id: str) -> str:
    """Store a role that may do everything, and answer its id."""
    store_object("role", RoleBody().load({"id": id, "name": "Administrator", **dict.fromkeys(ROLE_FLAGS, True)}))
    return id


def insert_contents(demo: dict[str, Any]) -> None:
    """Store what the demo workspace holds at first, checked as if it had come through the API."""
    for kind, body in demo["model"]:  # one that comes again replaces the first: roles and workflows refer to each other
        old = load_object(kind, body["id"]) if exists(kind, body["id"]) else None
        store_object(kind, MODEL[kind].load(body), old)
    for record in demo["records"]:
        insert_record(RecordRequestBody().load(record))
    for record_id, variant in demo["variants"]:
        insert_variant(VariantRequestBody().load(variant), record_id)
    for catalog_id, category in demo["categories"]:
        insert_category(CategoryRequestBody().load(category), catalog_id)
    for category_id, record_id in demo["assignments"]:
        insert_assignment(category_id, record_id)
    for record_id, state_id in demo["transitions"]:
        move_record(record_id, state_id)


def make_first_state(demo: dict[str, Any]) -> list[list[tuple[str, ...]]]:
    """Answer the rows of what the demo workspace holds at first: they are made in a workspace that is then taken back."""
    tenant = random_id("ws")
    execute("SAVEPOINT first_state")
    execute("INSERT INTO workspaces (id, name) VALUES (?, '')", tenant)
    with acting_as(tenant, demo["users"][0]["id"]):
        insert_contents(demo)
    rows = [execute(select, tenant).fetchall() for select, _ in CONTENTS]
    execute("ROLLBACK TO first_state")
    execute("RELEASE first_state")
    return rows


def insert_first_state(demo: dict[str, Any]) -> None:
    """Store what the demo workspace holds at first; rows that were made once are stored in a tenth of the time."""
    made_from = hashlib.sha256(to_json(demo).encode()).hexdigest()
    row = one("SELECT value FROM settings WHERE name = 'demo_first_state'")
    kept = json.loads(row[0]) if row else {}
    if kept.get("madeFrom") != made_from:  # there is none yet, or another release made it
        kept = {"madeFrom": made_from, "rows": make_first_state(demo)}
        execute("INSERT OR REPLACE INTO settings (name, value) VALUES ('demo_first_state', ?)", to_json(kept))
    for (_, insert), rows in zip(CONTENTS, kept["rows"], strict=True):
        get_db().executemany(insert, ((g.tenant, *columns) for columns in rows))


def remove_contents(tenant: str) -> None:
    """Remove all that a workspace holds."""
    for sql in REMOVE_CONTENTS:
        execute(sql, tenant)


hash_demo_password = functools.cache(generate_password_hash)  # slow on purpose, and everybody knows these


def insert_demo(demo: dict[str, Any]) -> None:
    """Store all that the demo workspace holds at first: its contents, its users and its documented keys."""
    with acting_as(demo["workspace"]["id"], demo["users"][0]["id"]):
        insert_first_state(demo)
        for user in demo["users"]:
            insert_user(user, hash_demo_password(user["password"]), next_sessions_from())
        for key in demo["apiKeys"]:
            execute(
                "INSERT INTO api_keys (tenant, id, name, hash, permissions, created_at, last_used_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                *(g.tenant, key["id"], key["name"], hash_key(key["rawKey"])),
                *(to_json(key["permissions"]), key["createdAt"], key["lastUsedAt"]),
            )


def insert_test_workspace(content: str, keys: list[list[str]]) -> dict[str, Any]:
    """Store a workspace for a test, and answer it with what it takes to use it; nobody can sign in to it by password."""
    id, name, demo = random_id("ws"), "Test workspace", read_demo()
    users = demo["users"] if content == "demo" else [{"id": "user-admin", "name": "Administrator", "roleId": "role-admin"}]
    sessions = {}
    execute("INSERT INTO workspaces (id, name, is_disposable) VALUES (?, ?, 1)", id, name)
    with acting_as(id, users[0]["id"]):
        if content == "demo":
            insert_first_state(demo)
        else:
            insert_administrator_role(users[0]["roleId"])
        for user in users:
            who = user["id"].removeprefix("user-")
            known = {"id": user["id"], "email": f"{who}@{id}.example", "name": user["name"], "roleId": user["roleId"]}
            insert_user(known, NO_PASSWORD, 0)  # there is no older token: the workspace's id is new for good
            sessions[who] = make_session(id, known, 0)
        made = [insert_api_key({"name": f"Test key {n}", "permissions": held}) for n, held in enumerate(keys, 1)]
    return {"id": id, "name": name, **sessions, "keys": made}


standin = ReadyBlueprint("standin", __name__, url_prefix="/standin", cli_group=None)


def is_loopback(host: str) -> bool:
    """Answer whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def is_our_host(host: str) -> bool:
    """Answer whether a Host header has a name that only this machine's own programs use, or that a setting allows."""
    name = re.sub(r":[0-9]{1,5}\Z", "", host.lower())
    if name in ("localhost", "[::1]", *current_app.config["STANDIN_HOSTS"]):
        return True
    return re.fullmatch(r"127(\.[0-9]{1,3}){3}", name) is not None


def refuse_outsiders() -> None:
    """Raise ApiError 403 for what a page of another origin can make a developer's browser send, or another machine sends.

    A page may send a request across origins, or lead its own host name to this machine (DNS rebinding). What is no
    browser may send any Host; that is let in from another machine only where the setting expects it.
    """
    forwarded = not current_app.config["PROXIES"] and any(
        name in request.environ for name in ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_VIA")
    )
    if not current_app.config["STANDIN_HOSTS"] and (forwarded or not is_loopback(request.remote_addr or "")):
        raise ApiError(403, "This is for programs on this machine; SIGMA_STANDIN_HOSTS opens it to others")
    host, origin = request.environ.get("HTTP_HOST", ""), request.headers.get("Origin")
    if not is_our_host(host):
        raise ApiError(403, f"Host: expected localhost, a loopback address or a name in SIGMA_STANDIN_HOSTS, got {shown(host)}")
    if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
        raise ApiError(403, f"Origin: expected none, or this service's own, got {shown(origin)}")
    site = request.headers.get("Sec-Fetch-Site", "none")
    if site not in ("none", "same-origin"):
        raise ApiError(403, f"Sec-Fetch-Site: expected none or same-origin, got {shown(site)}")


def holds_demo() -> bool:
    """Answer whether the database holds the demo workspace, which a deployment's never does."""
    return one("SELECT 1 FROM workspaces WHERE is_demo") is not None


@standin.before_request
def guard_standin() -> None:
    """Let a request through to its view only if its caller may call it: the one place where that is decided."""
    if request.url_rule.access.permission == "credential":  # type: ignore[union-attr]
        g.caller = request.caller = authenticate(request.environ)  # type: ignore[attr-defined]
        g.tenant = g.caller.tenant
    else:
        if not holds_demo():
            raise NotFound
        refuse_outsiders()
    if (request.content_length or 0) > MAX_BODY:
        raise RequestEntityTooLarge
    if request.method == "POST" and not request.is_json:  # a form of a web page cannot send JSON
        raise not_json(request)


def is_hidden(error: MethodNotAllowed) -> bool:
    """Answer whether a wrong method is one of a route that is there only beside the demo: elsewhere it has no methods."""
    if error is not request.routing_exception:
        return False
    adapter = current_app.create_url_adapter(request)
    rule: Any = adapter.match(method=next(iter(error.valid_methods or ())), return_rule=True)[0]  # type: ignore[union-attr]
    return rule.access is not None and rule.access.permission == "demo" and not holds_demo()


def may_call(caller: Caller, access: Access) -> bool:
    """Answer whether the caller may call a route; it is asked of what decides when the route is called."""
    try:
        if access.permission != "public":
            check_permitted(caller, access)
    except ApiError:
        return False
    return True


def describe_routes(caller: Caller) -> Iterator[dict[str, Any]]:
    """Yield every route of the API with what it takes to call it, and whether this caller may."""
    for rule in current_app.url_map.iter_rules():
        if not rule.endpoint.startswith("api."):
            continue
        access = rule.access  # type: ignore[attr-defined]
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield {
                "method": method,
                "path": re.sub("<([a-z_]+)>", r"{\1}", rule.rule),
                "permission": access.permission,
                "roleFlag": access.flag,
                "allowed": may_call(caller, access),
            }


@standin.get("/whoami")
@any_caller
@standin.response(200, WhoamiBody)
def get_caller() -> Any:
    """Say whose credential this is, and which routes it may call; the credential itself is never shown."""
    row = one(
        "SELECT w.name, k.name FROM workspaces w LEFT JOIN api_keys k ON k.tenant = w.id AND k.id = ? WHERE w.id = ?",
        *(g.caller.id, g.tenant),
    )
    workspace, key = row or (None, None)
    if workspace is None or (g.caller.is_key and key is None):
        raise unauthorized("This credential was removed a moment ago")
    caller: dict[str, Any] = {"kind": "user", "workspace": {"id": g.tenant, "name": workspace}}
    if g.caller.is_key:
        caller["kind"] = "api-key"
        caller["key"] = {"id": g.caller.id, "name": key, "permissions": g.caller.permissions}
    else:
        caller["user"] = {**g.caller.user, "roleFlags": {flag: g.caller.role_says(flag) for flag in ROLE_FLAGS}}
    return {**caller, "routes": list(describe_routes(g.caller))}, 200, NOT_STORED


@standin.post("/workspaces")
@demo_only
@standin.arguments(WantedWorkspaceBody())
@standin.response(201, TestWorkspaceBody)
def create_test_workspace(wanted: dict[str, Any]) -> Any:
    """Make a workspace of its own for a test, with an administrator's session and the API keys asked for."""
    with transaction():
        return insert_test_workspace(**wanted), 201, NOT_STORED


@standin.delete("/workspaces/<id>")
@demo_only
@standin.response(204)
def delete_test_workspace(id: str) -> None:
    """Remove a workspace that was made for a test, with all that it holds; no other workspace can be removed."""
    with transaction():
        found(one("SELECT 1 FROM workspaces WHERE id = ? AND is_disposable", id), "workspace", id)
        remove_contents(id)
        execute("DELETE FROM workspaces WHERE id = ? AND is_disposable", id)


@standin.post("/reset")
@demo_only
@standin.arguments(ResetBody())
@standin.response(204)
def reset_demo(wanted: dict[str, Any]) -> None:
    """Bring the demo workspace back to its first state; tokens of its users stay good, unless they had ended."""
    with transaction():
        demo = read_demo()
        id = demo["workspace"]["id"]
        living = execute("SELECT sessions_from, tenant, id FROM users WHERE tenant = ?", id).fetchall()
        remove_contents(id)
        insert_demo(demo)
        get_db().executemany("UPDATE users SET sessions_from = ? WHERE tenant = ? AND id = ?", living)
        if wanted["removeTestWorkspaces"]:
            for (id,) in execute("SELECT id FROM workspaces WHERE is_disposable").fetchall():
                remove_contents(id)
            execute("DELETE FROM workspaces WHERE is_disposable")


# == OpenAPI and pages ==

TAGS = {  # by the last noun of a path, in the order of the API: what is done there, and with what
    "healthz": ("Health", "Whether the service works."),
    "auth": ("Authentication", "The sessions of people; integrations use API keys."),
    "api-keys": ("API Keys", "The credentials of integrations, each with no more permissions than it needs."),
    "schemas": ("Schemas", "What the records of one kind of product hold."),
    "attributes": ("Attributes", "The kinds of values that records hold."),
    "dimensions": ("Dimensions", "What values differ by, such as language or market."),
    "option-lists": ("Option Lists", "The values that there are to choose from."),
    "workflows": ("Workflows", "The states that records go through, and the ways between them."),
    "roles": ("Roles", "What people may do."),
    "records": ("Records", "The products, with their values in every language and market."),
    "variants": ("Variants", "Versions of a record, such as its sizes, which hold only what they override."),
    "catalogs": ("Catalogs", "Ways of presenting products."),
    "categories": ("Categories", "The places in the trees of catalogs, and the records in them."),
    "standin": ("Stand-in", "What only the stand-in has, for test suites and demos; the real service knows nothing of it."),
}

REFUSALS: dict[str, tuple[Any, ...]] = {  # by code: its status, when it comes, and the header that comes with it
    "VALIDATION_ERROR": (400, "The request is not as it must be, or its body names what does not exist."),
    "UNAUTHORIZED": (401, "There is no credential, or it is not accepted.", "WWW-Authenticate"),
    "PERMISSION_DENIED": (403, "The caller may not do this."),
    "LIMIT_EXCEEDED": (403, "The workspace may hold no more records; other causes have the code PERMISSION_DENIED."),
    "NOT_FOUND": (404, "The workspace has nothing by an id that the path names."),
    "METHOD_NOT_ALLOWED": (405, "The path has other methods only, which the header `Allow` lists."),
    "CONFLICT": (409, "The request clashes with what is stored."),
    "PAYLOAD_TOO_LARGE": (413, f"The body has more than {MAX_BODY} bytes."),
    "UNSUPPORTED_MEDIA_TYPE": (415, "The body is not JSON."),
    "TRANSITION_ERROR": (422, "The workflow does not let the record through."),
    "RATE_LIMITED": (429, "There were too many failed logins.", "Retry-After"),
    "INTERNAL_ERROR": (500, "The service failed."),
    "UNAVAILABLE": (503, "The database does not answer.", "Retry-After"),
}


HEADERS = {
    name: {"description": description, "required": True, "schema": {"type": "string", **schema}}
    for name, description, schema in (
        ("X-Request-Id", "Names the request in the service's log", {"pattern": "^[A-Za-z0-9._-]{1,64}$"}),
        ("X-Sigma-Required-Permission", "What a key needs; session: none may call", {"enum": [*PERMISSIONS, "session"]}),
        ("WWW-Authenticate", "How to authenticate", {}),
        ("Retry-After", "How many seconds to wait", {"type": "integer", "minimum": 1}),
    )
}

DESCRIPTION = """A local stand-in for the Sigma PIM API: same paths, same bodies, same refusals, real state.

Integrations send an API key in `X-Sigma-ApiKey`; people sign in at `POST /api/v1/auth/login` and send the token as
`Authorization: Bearer <token>`. Each operation says in `x-required-permission` which permission a key needs for it:

""" + "\n".join(f"- `{permission}`: {meaning}" for permission, meaning in PERMISSIONS.items())

DESCRIPTION += "\n\nEvery refusal has the same shape, and one of these codes:\n\n" + "\n".join(
    f"- {status} `{code}`: {when}" for code, (status, when, *_) in REFUSALS.items()
)

DOCS_FOLDER = Path(flask_swagger_ui.__file__).parent / "dist"
DOCS_FILES = ("swagger-ui.css", "index.css", "favicon-32x32.png", "swagger-ui-bundle.js")  # of more, such as a page for OAuth

DOCS_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Sigma PIM API</title>
<link rel="stylesheet" href="docs/swagger-ui.css"><link rel="stylesheet" href="docs/index.css">
<link rel="icon" href="docs/favicon-32x32.png"></head>
<body><div id="swagger-ui"></div><script src="docs/swagger-ui-bundle.js"></script><script src="docs/start.js"></script></body>
</html>
"""

# The validator's badge, which some layouts show, would call another host. The list of schemas is closed: it is as long as
# that of the operations. Deep links stay off: Swagger UI would complain in the console of the `_` in operations' names.
DOCS_SCRIPT = """\
SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", validatorUrl: null, defaultModelsExpandDepth: 0});
"""

DOCS_POLICY = "; ".join(
    (
        "default-src 'self'",  # nothing from another host or to it, and no script or style outside of files
        "img-src 'self' data:",  # the style sheet of Swagger UI has its icons in it
        *("base-uri 'none'", "form-action 'none'"),  # of neither default-src says anything, and the page needs neither
        "frame-ancestors 'none'",  # no page around this one can steer a click to `Execute`
    )
)

SCHEMA_NAME = re.compile('(?<="#/components/schemas/)[A-Za-z]+')


def component_name(schema: Any) -> str:
    """Name a body in the OpenAPI document; one for PUT, whose id is optional, is a schema of its own."""
    cls = schema if isinstance(schema, type) else type(schema)
    return cls.__name__.removesuffix("Body") + ("Replacement" if getattr(schema, "partial", None) else "")


def name_titled(part: Any, schemas: dict[str, Any]) -> Any:
    """Answer a part of a schema; what has a title there becomes a schema of its own, for which clients get one type."""
    if isinstance(part, list):
        return [name_titled(item, schemas) for item in part]
    if not isinstance(part, dict):
        return part
    part = {word: name_titled(item, schemas) for word, item in part.items()}
    if "type" not in part:
        part.pop("nullable", None)  # it would mean nothing: without a type, null is a value like any other
    if not isinstance(part.get("title"), str):
        return part
    title = part.pop("title")
    schemas.setdefault(title, part)
    return {"allOf": [{"$ref": f"#/components/schemas/{title}"}], "description": part["description"]}


def mentioned(part: Any, schemas: dict[str, Any]) -> set[str]:
    """Answer the names of the schemas that a part of the document refers to, also through one another."""
    names = SCHEMA_NAME.findall(to_json(part))
    for name in names:  # grows as it goes
        names.extend(set(SCHEMA_NAME.findall(to_json(schemas[name]))) - set(names))
    return set(names)


def one_way(schema: dict[str, Any], body: ma.Schema | None, is_answer: bool) -> dict[str, Any]:
    """Answer what a body is like in an answer, where what has a default is always there, or in a request, where it need not be.

    To generators of clients the word `default` would be a promise that it is there in both.
    """
    if body is None:
        return schema
    required, properties = set(schema.get("required", ())), {}
    for name, member in schema["properties"].items():
        default = body.fields[name].load_default
        is_optional = name not in required and default is not None
        dropped = {"default", "nullable"} if is_answer and is_optional else {"default"}
        properties[name] = {word: value for word, value in member.items() if word not in dropped}
        if default is not ma.missing and is_answer:
            required.add(name)
        elif default not in (ma.missing, None):
            absent = to_json(default() if callable(default) else default)
            properties[name]["description"] += f"; {absent} when absent"
    return {**schema, "properties": properties, **({"required": sorted(required)} if required else {})}


def split_bodies(operations: list[dict[str, Any]], schemas: dict[str, Any], bodies: dict[str, ma.Schema]) -> dict[str, Any]:
    """Answer the schemas that operations use; one that is both sent and answered becomes two, unless that is the same."""
    sent = mentioned([operation.get("requestBody") for operation in operations], schemas)
    answered = mentioned([operation["responses"] for operation in operations], schemas)
    requests, answers = (
        {name: one_way(schema, bodies.get(name), is_answer) for name, schema in schemas.items()} for is_answer in (False, True)
    )
    twins = {
        name for name in sent & answered if any(requests[n] != answers[n] for n in {name, *mentioned(schemas[name], schemas)})
    }

    def as_sent(part: Any) -> Any:
        return json.loads(SCHEMA_NAME.sub(lambda name: name[0] + "Request" * (name[0] in twins), to_json(part)))

    for operation in operations:
        operation.update(as_sent({name: operation[name] for name in ("requestBody",) if name in operation}))
    used: dict[str, Any] = {}
    for name in schemas:
        used |= {name: answers[name]} if name in answered else {}
        used |= {name + "Request" * (name in twins): as_sent(requests[name])} if name in sent else {}
    return used


def example_facts(demo: dict[str, Any], bodies: dict[str, ma.Schema]) -> dict[str, dict[str, Any]]:
    """Answer what the examples of each body say: what an object of the demo says, and what demo.json adds."""
    shown, more = demo["examples"]["ids"].values(), demo["examples"]["bodies"]
    facts = {component_name(MODEL[kind]): MODEL[kind].load(body) for kind, body in demo["model"] if body["id"] in shown}
    facts |= {"OptionValue": facts["OptionList"]["values"][0], "Transition": facts["Workflow"]["transitions"][0]}
    facts |= {"User": demo["users"][0], "Login": demo["users"][0], "Tenant": demo["workspace"], "ApiKey": demo["apiKeys"][0]}
    facts |= {"Record": demo["records"][0], "Variant": demo["variants"][0][1], "Category": demo["categories"][0][1]}
    for name, body in bodies.items():  # what is said of a body holds for those that are made from it
        bases = [component_name(base) for base in reversed(type(body).__mro__) if issubclass(base, Body)]
        said = [known.get(base, {}) for base in bases for known in (facts, more)]
        facts[f"{name}Request"] = facts[name] = {member: value for known in said for member, value in known.items()}
    return {**more, **facts}


class Examples(NamedTuple):
    """Composes examples of bodies."""

    schemas: dict[str, Any]
    facts: dict[str, dict[str, Any]]  # by the name of a schema

    def of(self, schema: dict[str, Any], said: dict[str, Any]) -> Any:
        """Answer an example of what a schema describes; what is said of this one goes before what is said of all."""
        schema = schema.get("allOf", [schema])[0]
        if "items" in schema:
            return [self.of(schema["items"], said)]
        if "$ref" not in schema:
            return schema.get("example")
        name = schema["$ref"].rpartition("/")[2]
        body, known = self.schemas[name], {**self.facts.get(name, {}), **said}
        if "properties" not in body:
            return known
        return {
            member: known[member] if member in known else self.of(inner, {})
            for member, inner in body["properties"].items()
            if member in known or member in body.get("required", ())
        }

    def add_to(self, operation: dict[str, Any], said: dict[str, Any], keeps: bool) -> None:
        """Add examples of what is sent and answered; of objects in the answer, what is not sent may have been kept."""
        sent: dict[str, Any] = {}
        for content in operation.get("requestBody", {}).get("content", {}).values():
            sent = content["example"] = self.of(content["schema"], said)
        for content in operation["responses"][min(operation["responses"])].get("content", {}).values():
            example = content["example"] = self.of(content["schema"], {} if keeps else said)
            for member in sent.keys() & example.keys() if keeps else ():
                example[member] = {**example[member], **sent[member]} if isinstance(sent[member], dict) else sent[member]


def who_may_call(access: Access) -> str:
    """Say what it takes to call an operation."""
    if access.permission == "public":
        return "Needs no credential."
    if access.permission == "credential":
        return "Every API key and every signed-in user may call it."
    if access.permission == "demo":
        return "Needs no credential. It is there only beside the demo workspace, and not for web pages of other origins."
    key = "No API key may call it" if access.permission == "session" else f"An API key needs `{access.permission}`"
    user = f"a signed-in user needs a role with `{access.flag}`" if access.flag else "any signed-in user may call it"
    return f"{key}; {user}."


def error_codes(access: Access, id: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    """Yield the codes with which an operation may refuse."""
    verb, _, noun = id.partition("_")
    guarded, has_body, beside_demo = access.permission != "public", "requestBody" in operation, access.permission == "demo"
    writes = verb in ("create", "replace", "set") and id not in (
        *("create_api_key", "replace_role", "replace_category", "create_test_workspace"),
    )
    comes = {
        "VALIDATION_ERROR": has_body or "parameters" in operation,
        "UNAUTHORIZED": (guarded and not beside_demo) or verb == "login",
        "PERMISSION_DENIED": guarded and access.permission != "credential",
        "LIMIT_EXCEEDED": id == "create_record",
        "NOT_FOUND": "{" in path or beside_demo,
        "METHOD_NOT_ALLOWED": False,
        "CONFLICT": writes or (verb == "delete" and noun.replace("_", "-") in MODEL),
        "UNSUPPORTED_MEDIA_TYPE": has_body,
        "TRANSITION_ERROR": verb == "transition",
        "RATE_LIMITED": verb == "login",
    }
    yield from (code for code in REFUSALS if comes.get(code, True))


def response_headers(access: Access, *more: str) -> dict[str, Any]:
    """Refer to the headers of an answer."""
    names = ["X-Request-Id", *more] + (["X-Sigma-Required-Permission"] if access.is_named else [])
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def refusal(access: Access, code: str, message: str) -> dict[str, Any]:
    """Describe an answer that refuses."""
    _, description, *headers = REFUSALS[code]
    content = {"schema": {"$ref": "#/components/schemas/Error"}, "example": {"error": code, "message": message}}
    return {
        "description": description,
        "headers": response_headers(access, *headers),
        "content": {"application/json": content},
    }


def describe(operation: dict[str, Any], rule: Any, path: str, examples: dict[str, Any], shared: dict[str, Any]) -> None:
    """Say where an operation belongs, what it does, who may call it, and how it refuses; what guarded ones answer is shared."""
    access, id, text = rule.access, rule.endpoint.partition(".")[2], operation["summary"].removesuffix(".")
    schemes: dict[str, list[str]] = {"public": [], "demo": [], "session": ["session"]}
    operation |= {
        "operationId": id,
        "tags": [[TAGS[part][0] for part in path.split("/") if part in TAGS][-1]],
        "summary": re.split("[,;:.]", text)[0] + ".",
        "description": f"{text}.\n\n{who_may_call(access)}",
        "x-required-permission": access.permission,
        "security": [{scheme: []} for scheme in schemes.get(access.permission, ["apiKey", "session"])],
    }
    responses = operation["responses"] = {
        status: {**response, "headers": response_headers(access)}
        for status, response in operation["responses"].items()
        if status.startswith("2")
    }
    for code in error_codes(access, id, path, operation):
        message = examples["operations"].get(id, {}).get(code, examples["refusals"][code])
        response = refusal(access, code, message)
        if access.is_named:
            shared[code], response = response, {"$ref": f"#/components/responses/{code}"}
        responses[str(REFUSALS[code][0])] = response


def describe_parameters(path: str, parameters: list[dict[str, Any]], ids: dict[str, str]) -> None:
    """Say what stands in the places of a path."""
    for (noun, name), parameter in zip(re.findall("([a-z-]+)/{([a-z_]+)}", path), parameters, strict=True):
        kind = re.sub("ies$", "y", noun).removesuffix("s")
        parameter["description"] = "Alias of an attribute" if name == "attribute" else f"Id of {with_article(kind)}"
        parameter["example"] = ids.get(name, ids.get(noun))


def name_demo_credentials(schemes: dict[str, Any], demo: dict[str, Any]) -> None:
    """Say with what the demo workspace can be tried out, in the place where the docs ask for it."""
    key, user = demo["apiKeys"][0], demo["users"][0]
    schemes["apiKey"]["description"] += f"; the demo workspace has `{key['rawKey']}` ({', '.join(key['permissions'])})"
    schemes["session"]["description"] += f"; in the demo workspace as `{user['email']}` with the password `{user['password']}`"


def openapi_document(smorest: Api) -> str:
    """Answer the OpenAPI document: what flask-smorest knows, and of each operation its access, its errors and examples."""
    for blueprint in (api, standin):  # only now, because it takes as long as all the rest of starting
        blueprint.register_views_in_doc(smorest, current_app, smorest.spec, name=blueprint.name, parameters=None)
    document, demo = json.loads(to_json(smorest.spec.to_dict())), read_demo()
    examples, components, operations = demo["examples"], document["components"], []
    components |= {"responses": {}, "headers": HEADERS}
    for rule in current_app.url_map.iter_rules():
        if rule.endpoint.startswith(("api.", "standin.")):
            path = re.sub("<([a-z_]+)>", r"{\1}", rule.rule)
            (method,) = {method.lower() for method in rule.methods or ()} - {"head", "options"}
            describe(document["paths"][path][method], rule, path, examples, components["responses"])
            operations.append(document["paths"][path][method])
    for path, item in document["paths"].items():
        describe_parameters(path, item.get("parameters", []), examples["ids"])
    bodies = {name: cls() for (cls, *_), name in smorest.ma_plugin.converter.refs.items()}
    schemas = components["schemas"]
    for name, body in bodies.items():
        schemas[name] = {**name_titled(schemas[name], schemas), "description": type(body).__doc__}
    components["schemas"] = split_bodies(operations, schemas, bodies)
    composer = Examples(components["schemas"], example_facts(demo, bodies))
    for operation in operations:
        id = operation["operationId"]
        composer.add_to(operation, examples["operations"].get(id, {}), keeps=id.startswith("replace_"))
    name_demo_credentials(components["securitySchemes"], demo)
    document["tags"] = [{"name": tag, "description": meaning} for tag, meaning in TAGS.values()]
    return to_json(document)


def show_index() -> Any:
    """Send a browser to the docs, and tell a program where things are."""
    is_browser = request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"
    places = {"api": "/api/v1", "docs": "/docs", "openapi": "/openapi.json", "health": "/healthz"}
    response = redirect("docs") if is_browser else answer(to_json(places))
    response.headers["Vary"] = "Accept"
    return response


def show_docs() -> Response:
    """Serve the interactive docs, from files that came with the requirements."""
    page = current_app.response_class(DOCS_PAGE, mimetype="text/html")
    page.headers["Content-Security-Policy"] = DOCS_POLICY
    return page


def add_docs(app: Flask) -> None:
    """Register the interactive docs and the files that they load, which browsers keep but ask about each time."""
    app.add_url_rule("/docs", view_func=show_docs)
    app.add_url_rule("/docs/start.js", "docs_script", lambda: app.response_class(DOCS_SCRIPT, mimetype="text/javascript"))
    for file in DOCS_FILES:
        endpoint = f"docs_{file.replace('.', '_')}"
        app.add_url_rule(f"/docs/{file}", endpoint, functools.partial(send_from_directory, DOCS_FOLDER, file))


# == Commands ==

STOP_TIMEOUT = 8  # seconds for requests in flight: more than a write waits, less than Docker does before it kills


def refuse_public_demo(host: str) -> None:
    """Raise StartError before demo data is served where others can reach it, unless a setting allows that."""
    config = current_app.config
    if is_loopback(host) or config["ALLOW_PUBLIC_DEMO"] or not one("SELECT 1 FROM workspaces WHERE is_demo"):
        return
    raise StartError(
        f"{config['DATABASE']} holds the demo workspace, whose passwords and keys are public, and others can reach {host}."
        " Serve another database (SIGMA_DATABASE), or on 127.0.0.1, or set SIGMA_ALLOW_PUBLIC_DEMO=1."
    )


def refuse_taken_port(host: str, port: int) -> None:
    """Raise StartError for an address that is in use: granian would share it, and each server answer some requests."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what a server left behind a moment ago does not count
        try:
            probe.bind((host.strip("[]"), port))
        except OSError as error:
            raise StartError(
                f"Cannot serve on {host}, port {port}: {error.strerror}. Choose others with SIGMA_HOST and SIGMA_PORT."
            ) from None


def take_free_port(host: str) -> int:
    """Answer a port that is free, and keep it so for the server that this process becomes.

    The socket stays open, without listening; the server binds its own beside it, and nobody else gets the port meanwhile.
    """
    keeper = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as granian does
    keeper.bind((host.strip("[]"), 0))
    port: int = keeper.getsockname()[1]
    os.set_inheritable(keeper.detach(), True)
    return port


def send(url: str, method: str, path: str, headers: dict[str, str], body: Any = None) -> tuple[int, Any]:
    """Send a request to the API, and answer the status and the body, 0 and None if none comes."""
    data = None if body is None else to_json(body).encode()
    try:
        with closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)) as connection:
            connection.request(method, f"/api/v1{path}", data, {**headers, "Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
    except (OSError, http.client.HTTPException):
        return 0, None


def announce_when_ready(url: str) -> None:
    """Leave a process behind that says when the server, which this one becomes, answers.

    It has no parent, because the server would not wait for a child that it does not know. The server holds the writing end
    of a pipe without knowing it either: when that closes, there is nothing to be announced any more.
    """
    over, alive = os.pipe()
    os.set_inheritable(alive, True)
    if child := os.fork():
        os.waitpid(child, 0)
        return
    try:
        if not os.fork():
            os.close(alive)
            pause = 0.02
            while not select.select([over], [], [], pause)[0]:
                if send(url, "GET", "/healthz", {})[0] == 200:
                    click.echo(f"Ready        {url}")
                    break
                pause = min(1, pause * 1.1)
    finally:
        os._exit(0)


def act_as(tenant: str, user_id: str) -> None:
    """Let a command act in a workspace as one of its users."""
    g.tenant, g.caller = tenant, Caller(tenant, user_id, user={"id": user_id}, role={})


@api.cli.command("demo")
def make_demo() -> None:
    """Put the demo workspace into the database, if the database is empty.

    Example: flask demo
    """
    with transaction():
        if not one("SELECT 1 FROM workspaces"):
            demo = read_demo()
            sql = "INSERT INTO workspaces (id, name, is_demo) VALUES (?, ?, 1)"
            execute(sql, demo["workspace"]["id"], demo["workspace"]["name"])
            insert_demo(demo)


@api.cli.command("serve")
def serve() -> None:
    """Serve on SIGMA_HOST and SIGMA_PORT with SIGMA_WORKERS processes, and print `Ready <url>` when the service answers.

    Example: SIGMA_PORT=9000 flask serve
    """
    config = current_app.config
    host, port, workers = (read_setting(name, config) for name in ("HOST", "PORT", "WORKERS"))
    refuse_public_demo(host)
    refuse_taken_port(host, port)
    port = port or take_free_port(host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    click.echo(f"Sigma PIM    {url}/api/v1\nDocs         {url}/docs\nDatabase     {config['DATABASE']}")
    if one("SELECT 1 FROM workspaces WHERE is_demo"):
        demo = read_demo()
        user, key = demo["users"][0], demo["apiKeys"][0]
        click.echo(f"Demo login   {user['email']} / {user['password']}")
        click.echo(f"Demo key     X-Sigma-ApiKey: {key['rawKey']}  ({', '.join(key['permissions'])})")
    elif not one("SELECT 1 FROM workspaces"):
        click.echo("No workspace yet: make one with `flask workspace create`")
    close_db()
    announce_when_ready(url)
    # One blocking thread a worker is the fastest. Variables named HTTP_… would reach the WSGI environment, where they
    # look like headers of every request.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HTTP_")}
    environment.update(SIGMA_DATABASE=config["DATABASE"], PYTHONPATH=str(HERE))
    options = {
        "interface": "wsgi",
        "host": host,
        "port": port,
        "workers": workers,
        "blocking-threads": 1,
        "log-level": "warning",
        "http": "1",  # over HTTP/2, granian resets a request whose body is not read, and its refusal is lost
        "workers-kill-timeout": STOP_TIMEOUT,
    }
    arguments = [argument for name, value in options.items() for argument in (f"--{name}", str(value))]
    arguments += ["--no-ws", "--respawn-failed-workers", "--factory", "app:create_worker_app"]
    os.execve(sys.executable, [sys.executable, "-m", "granian", *arguments], environment)  # noqa: S606 (no shell is meant)


class Report(NamedTuple):
    """What a command tells when it is done: to programs, to people, and by its exit code."""

    body: Any
    text: str
    exit_code: int = 0


def reports(command: Callable[..., Report]) -> Callable[..., None]:
    """Print a command's report, as JSON with --json; a refusal is an error in the API's words."""

    @click.option("--json", "as_json", is_flag=True, help="Answer JSON, for programs.")
    @functools.wraps(command)
    def run(as_json: bool, **arguments: Any) -> None:
        try:
            report = command(**arguments)
        except sqlite3.Error as error:
            raise click.ClickException(str(translate_database_error(error).description)) from None
        except ApiError as error:
            raise click.ClickException(str(error.description)) from None
        except OSError as error:
            raise click.ClickException(str(error)) from None
        except UnicodeError:
            raise click.ClickException("Expected text in UTF-8") from None
        click.echo(to_json(report.body) if as_json else report.text)
        sys.exit(report.exit_code)

    return run


def choose_workspace(id: str | None) -> str:
    """Answer the workspace that is named, or else the only one there is.

    Raises ApiError 404, or click.UsageError when there are several to choose from.
    """
    if id is not None:
        return str(found(one("SELECT id FROM workspaces WHERE id = ?", id), "workspace", id)[0])
    ids = [lasting for (lasting,) in execute("SELECT id FROM workspaces WHERE NOT is_disposable ORDER BY rowid")]
    if not ids:
        raise ApiError(404, "No workspace yet: make one with `flask workspace create`")
    if len(ids) > 1:
        raise click.UsageError(f"--workspace: expected one of {', '.join(ids)}")
    return str(ids[0])


def in_workspace(command: Callable[..., Report]) -> Callable[..., Report]:
    """Let a command work in the workspace that --workspace names."""

    @click.option("--workspace", metavar="ID", help="The workspace; may be left out when there is only one.")
    @functools.wraps(command)
    def run(workspace: str | None, **arguments: Any) -> Report:
        act_as(choose_workspace(workspace), "command-line")
        return command(**arguments)

    return run


yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def ask(question: str, yes: bool) -> None:
    """Go on only if the answer is yes."""
    if not yes:
        click.confirm(question, abort=True, err=True)


def table(*rows: Iterable[str]) -> str:
    """Lay rows out in columns; what a terminal would obey rather than print becomes a question mark."""
    cells = [["".join(letter if letter.isprintable() else "?" for letter in cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)


def checked(schema: ma.Schema, body: dict[str, Any]) -> dict[str, Any]:
    """Answer a body as the API would take it. Raises ApiError 400."""
    refuse_problems(flatten_messages(schema.validate(body), body))
    return schema.load(body)


def checked_user(user: dict[str, str]) -> dict[str, str]:
    """Answer a new user, of whom all but the role has been checked. Raises ApiError 400."""
    user = checked(UserBody(), user)
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", user["email"]):
        raise ApiError(400, f"email: expected an address, got {shown(user['email'])}")
    return user


def read_password() -> str:
    """Ask for a password twice, or read it from standard input when that is no terminal."""
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if len(password) < 8:
        raise click.ClickException("The password: expected at least 8 characters")
    return password


@contextmanager
def refusing_taken(**body: str) -> Iterator[None]:
    """Run the block as one transaction. Raises ApiError 409 if it stores an id or email that the database has already."""
    try:
        with transaction():
            yield
    except sqlite3.IntegrityError as error:
        raise ApiError(409, taken(error, body)) from None


def user_as_listed(row: Iterable[str]) -> dict[str, str]:
    """Answer a user's row as the API shows users."""
    return dict(zip(("id", "email", "name", "roleId"), row, strict=True))


def listed_users(tenant: str) -> list[dict[str, str]]:
    """Answer the users of a workspace, oldest first."""
    rows = execute("SELECT id, email, name, role_id FROM users WHERE tenant = ? ORDER BY rowid", tenant)
    return [user_as_listed(row) for row in rows]


@api.cli.group("workspace")
def workspace_commands() -> None:
    """Manage workspaces."""


@workspace_commands.command("list")
@reports
def show_workspaces() -> Report:
    """List the workspaces, oldest first.

    Example: flask workspace list
    """
    rows = execute(
        "SELECT w.id, w.name, w.is_demo,"
        " (SELECT count(*) FROM api_keys k WHERE k.tenant = w.id AND k.deactivated_at IS NULL),"
        " (SELECT ifnull(sum(c.total), 0) FROM entity_counts c WHERE c.tenant = w.id AND c.is_variant = 0)"
        " FROM workspaces w ORDER BY w.rowid"
    )
    workspaces = [
        {"id": id, "name": name, "demo": bool(demo), "users": listed_users(id), "activeKeys": keys, "records": records}
        for id, name, demo, keys, records in rows
    ]
    lines = [
        (w["id"], w["name"], str(len(w["users"])), str(w["activeKeys"]), str(w["records"]), "demo" if w["demo"] else "")
        for w in workspaces
    ]
    return Report(workspaces, table(("ID", "NAME", "USERS", "ACTIVE KEYS", "RECORDS", ""), *lines))


@workspace_commands.command("create")
@click.argument("id")
@click.option("--name", required=True, help="Name of the workspace.")
@click.option("--email", required=True, help="Email of its first administrator.")
@click.option("--user-name", default="Administrator", show_default=True, help="Name of the administrator.")
@reports
def create_workspace(id: str, name: str, email: str, user_name: str) -> Report:
    """Make a workspace and its first administrator; the password is asked for, or read from standard input.

    Example: flask workspace create acme --name "Acme" --email admin@acme.example
    """
    workspace = checked(TenantBody(), {"id": id, "name": name, "users": []})
    user = checked_user({"id": "user-admin", "email": email, "name": user_name, "roleId": "role-admin"})
    password = read_password()
    with refusing_taken(id=id, email=email):
        execute("INSERT INTO workspaces (id, name) VALUES (?, ?)", id, name)
        act_as(id, user["id"])
        insert_administrator_role(user["roleId"])
        insert_user(user, generate_password_hash(password), next_sessions_from())
    return Report({**workspace, "users": [user]}, f"Workspace '{id}' made; {email} can sign in.")


@workspace_commands.command("delete")
@click.argument("id")
@yes_option
@reports
def delete_workspace(id: str, yes: bool) -> Report:
    """Delete a workspace and all that it holds, for good. Without --yes, its id is to be typed once more.

    Example: flask workspace delete acme
    """
    sql = "SELECT ifnull(sum(total), 0) FROM entity_counts WHERE tenant = ? AND is_variant = 0"
    choose_workspace(id)
    question = f"Workspace '{id}' with its {one(sql, id)[0]} records, users and keys will be gone for good. Type its id"
    if not yes and click.prompt(question, err=True) != id:
        raise click.ClickException("That is not its id; nothing was deleted")
    execute("DELETE FROM workspaces WHERE id = ?", id)  # and by the foreign keys all that it holds, in one transaction
    return Report({"deleted": True}, f"Workspace '{id}' deleted.")


@api.cli.group("users")
def user_commands() -> None:
    """Manage the people who may sign in."""


force_option = click.option("--force", is_flag=True, help="Even if nobody is left who can manage roles and API keys.")


@contextmanager
def keeping_an_administrator(force: bool) -> Iterator[None]:
    """Run the block as one transaction. Raises ApiError 409 if it leaves the workspace without its last administrator."""
    with transaction():
        had_one = one(ADMINISTRATORS, g.tenant)
        yield
        if had_one and not force and not one(ADMINISTRATORS, g.tenant):
            raise ApiError(409, f"Nobody could manage roles and keys of '{g.tenant}' any more; with --force it is done anyway")


def choose_user(email: str) -> dict[str, str]:
    """Answer the user with this email, and act in the user's workspace from now on. Raises ApiError 404."""
    tenant, *user = found(one("SELECT tenant, id, email, name, role_id FROM users WHERE email = ?", email), "user", email)
    act_as(tenant, "command-line")
    return user_as_listed(user)


@user_commands.command("list")
@reports
@in_workspace
def show_users() -> Report:
    """List the users of a workspace, oldest first.

    Example: flask users list --workspace acme
    """
    users = listed_users(g.tenant)
    return Report(users, table(("ID", "EMAIL", "NAME", "ROLE"), *(user.values() for user in users)))


@user_commands.command("add")
@click.argument("email")
@click.option("--name", required=True, help="The person's name.")
@click.option("--role", "role_id", metavar="ROLE-ID", required=True, help="The role; one that the workspace has.")
@reports
@in_workspace
def add_user(email: str, name: str, role_id: str) -> Report:
    """Let somebody sign in; the password is asked for, or read from standard input.

    Example: flask users add ann@acme.example --name "Ann" --role role-admin
    """
    user = checked_user({"id": random_id("user"), "email": email, "name": name, "roleId": role_id})
    password = read_password()
    with refusing_taken(email=email):
        require_existing([("role", "role", role_id)])
        insert_user(user, generate_password_hash(password), next_sessions_from())
    return Report(user, f"{email} can sign in to '{g.tenant}' with role '{role_id}'.")


@user_commands.command("password")
@click.argument("email")
@reports
def change_password(email: str) -> Report:
    """Give a user a new password, which is asked for, or read from standard input; whoever is signed in must do so again.

    Example: flask users password ann@acme.example
    """
    user = choose_user(email)
    hashed = generate_password_hash(read_password())
    sql = "UPDATE users SET password_hash = ?, sessions_from = ? WHERE tenant = ? AND id = ?"
    sessions_from = 0
    while time.time() >= sessions_from:  # a session could have begun while that was being stored
        with transaction():
            sessions_from = next_sessions_from()
            execute(sql, hashed, sessions_from, g.tenant, user["id"])
    return Report(user, f"{user['email']} has a new password, and must sign in again.")


@user_commands.command("role")
@click.argument("email")
@click.argument("role-id", metavar="[ROLE-ID]", required=False)
@click.option("--administrator", is_flag=True, help="Instead of ROLE-ID: a new role that may do everything.")
@force_option
@reports
def change_role(email: str, role_id: str | None, administrator: bool, force: bool) -> Report:
    """Give a user another role, or with --administrator a new one that may do everything, when nobody else can.

    Example: flask users role ann@acme.example role-editor
    """
    if (role_id is not None) == administrator:
        raise click.UsageError("Expected either ROLE-ID or --administrator")
    user = choose_user(email)
    with keeping_an_administrator(force):
        user["roleId"] = role_id or insert_administrator_role(random_id("role"))
        require_existing([("role", "role", user["roleId"])])
        execute("UPDATE users SET role_id = ? WHERE tenant = ? AND id = ?", user["roleId"], g.tenant, user["id"])
    return Report(user, f"{user['email']} has role '{user['roleId']}'.")


@user_commands.command("remove")
@click.argument("email")
@force_option
@reports
def remove_user(email: str, force: bool) -> Report:
    """Remove a user, who is signed out at once.

    Example: flask users remove ann@acme.example
    """
    user = choose_user(email)
    with keeping_an_administrator(force):
        execute("DELETE FROM users WHERE tenant = ? AND id = ?", g.tenant, user["id"])
    return Report({"deleted": True}, f"{user['email']} removed from '{g.tenant}'.")


@api.cli.group("keys")
def key_commands() -> None:
    """Manage API keys."""


@key_commands.command("list")
@reports
@in_workspace
def show_keys() -> Report:
    """List the API keys of a workspace, oldest first.

    Example: flask keys list --workspace acme
    """
    keys = listed_api_keys()
    rows = (
        (key["id"], key["name"], " ".join(key["permissions"]), key["lastUsedAt"] or "never", key.get("deactivatedAt", ""))
        for key in keys
    )
    return Report(keys, table(("ID", "NAME", "PERMISSIONS", "LAST USED", "DEACTIVATED"), *rows))


@key_commands.command("create")
@click.option("--name", required=True, help="What the key is for.")
@click.option("--permission", "permissions", required=True, multiple=True, help=f"One of {', '.join(PERMISSIONS)}; repeatable.")
@reports
@in_workspace
def create_key(name: str, permissions: tuple[str, ...]) -> Report:
    """Make an API key. This is the only time that it is shown.

    Example: flask keys create --name "Shopify sync" --permission read --permission update-data
    """
    wanted = checked(ApiKeyRequestBody(), {"name": name, "permissions": list(permissions)})
    with transaction():
        key = insert_api_key(wanted)
    return Report(key, f"Key '{key['id']}' made ({', '.join(key['permissions'])}). It is shown only now:\n{key['rawKey']}")


@key_commands.command("deactivate")
@click.argument("id")
@reports
@in_workspace
def deactivate_key(id: str) -> Report:
    """Deactivate an API key: it is refused everywhere from this moment on.

    Example: flask keys deactivate apikey-0123456789abcdef
    """
    key = switch_off_api_key(id)
    return Report(key, f"Key '{id}' is refused since {key['deactivatedAt']}.")


@key_commands.command("delete")
@click.argument("id")
@yes_option
@reports
@in_workspace
def delete_key(id: str, yes: bool) -> Report:
    """Delete an API key for good. Without --yes, one that was not deactivated first is asked about.

    Example: flask keys delete apikey-0123456789abcdef
    """
    if any(key["id"] == id and key["active"] for key in listed_api_keys()):
        ask(f"Key '{id}' is active: what uses it will be refused. Delete it?", yes)
    return Report(remove_api_key(id), f"Key '{id}' deleted.")


# == Backup and restore ==


def damage(db: sqlite3.Connection) -> list[str]:
    """Answer the first few things that are broken in a database."""
    try:
        problems = [line for (line,) in db.execute("PRAGMA integrity_check(5)") if line != "ok"]
        dangling = [] if problems else db.execute("PRAGMA foreign_key_check").fetchmany(5)
    except sqlite3.DatabaseError as error:  # what is broken may also keep SQLite from looking any further
        return [str(error)]
    return problems + [
        f"row {row} of {name} refers to a row of {parent} that is not there" for name, row, parent, _ in dangling
    ]


def refuse_damaged(db: sqlite3.Connection, name: str | Path) -> None:
    """Raise click.ClickException unless this is a database of the service, and whole."""
    if pragma(db, "application_id") != APPLICATION_ID:
        raise click.ClickException(f"{name} is no database of Sigma PIM")
    if problems := damage(db):
        raise click.ClickException(f"{name} is damaged: {'; '.join(problems)}")


def missing_parts(db: sqlite3.Connection) -> list[str]:
    """Answer the tables, indexes, triggers and views that a database of this version has, and this one has not."""
    sql = "SELECT type, name FROM sqlite_schema"
    with closing(sqlite3.connect(":memory:")) as new:
        make_tables(new)
        missing = set(new.execute(sql)) - set(db.execute(sql))
    return [f"the {kind} {name} is missing" for kind, name in sorted(missing)]


class Contents(NamedTuple):
    """How much a database holds."""

    workspaces: int
    records: int

    def __str__(self) -> str:
        return ", ".join(f"{count} {name[:-1] if count == 1 else name}" for name, count in self._asdict().items())


def contents(db: sqlite3.Connection) -> Contents:
    """Answer how much a database holds."""
    sql = (
        "SELECT count(DISTINCT w.id), ifnull(sum(c.total), 0) FROM workspaces w"
        " LEFT JOIN entity_counts c ON c.tenant = w.id AND c.is_variant = 0"
    )
    return Contents(*db.execute(sql).fetchone())


def flush(path: Path) -> None:
    """See that a file's bytes, or a folder's names, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Let the block write a file for its owner alone, and put it at a path when it is done and on disk, or not at all."""
    with tempfile.TemporaryDirectory(prefix=f"{path.name}.part-", dir=path.parent) as folder:
        part = Path(folder) / path.name
        part.touch(0o600)
        yield part
        flush(part)
        part.replace(path)
        flush(path.parent)


def copy_database(source: sqlite3.Connection, copy: sqlite3.Connection) -> None:
    """Copy what a database holds at this moment; others go on writing to it meanwhile."""
    source.backup(copy)
    copy.execute("PRAGMA journal_mode = DELETE")  # one file, without neighbours


def database_files() -> list[Path]:
    """Answer the files that make up the database."""
    path = Path(current_app.config["DATABASE"]).resolve()
    return [file for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")) if file.exists()]


def is_database(file: Path) -> bool:
    """Answer whether a file is one of those that make up the database, by whatever name."""
    return any(file.exists() and file.samefile(part) for part in database_files())


@api.cli.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@reports
def backup(file: Path, force: bool) -> Report:
    """Copy the database to FILE, checked and whole, while the service goes on.

    Example: flask backup /backup/acme.db
    """
    file = file.resolve()
    if is_database(file) or (file.exists() and not file.is_file()):
        raise click.ClickException(f"{file} is the database itself, or no ordinary file")
    if file.exists() and not force:
        raise click.ClickException(f"{file} is there already; --force replaces it")
    with new_file(file) as part, closing(connect(str(part))) as copy:
        copy_database(get_db(), copy)
        refuse_damaged(copy, current_app.config["DATABASE"])
        holds = contents(copy)
        if not holds.workspaces:
            raise click.ClickException(f"{current_app.config['DATABASE']} holds no workspace; is it the one that is meant?")
    size = file.stat().st_size
    return Report({"file": str(file), "bytes": size, **holds._asdict()}, f"{file} holds {holds} ({size / 1e6:.1f} MB).")


def open_backup(file: Path) -> sqlite3.Connection:
    """Open a backup so that nothing is written to it, nor beside it."""
    has_neighbours = any(Path(f"{file}-{suffix}").exists() for suffix in ("wal", "journal"))  # which hold a part of it
    return sqlite3.connect(f"{file.as_uri()}?mode=ro{'' if has_neighbours else '&immutable=1'}", uri=True)


def stage_backup(file: Path, copy: sqlite3.Connection) -> None:
    """Copy a backup, and bring the copy forward to this release's version. Raises click.ClickException."""
    try:
        with closing(open_backup(file)) as source:
            copy_database(source, copy)
        refuse_damaged(copy, file)
        bring_forward(copy)
        if (size := pragma(get_db(), "page_size")) != pragma(copy, "page_size"):  # one in use cannot change its own
            copy.execute(f"PRAGMA page_size = {size}")
            copy.execute("VACUUM")
    except sqlite3.Error as error:
        raise click.ClickException(f"{file} cannot be read: {error}") from None
    version = pragma(copy, "user_version")
    if version != SCHEMA_VERSION:
        raise click.ClickException(f"{file} has schema version {version}, this release reads versions up to {SCHEMA_VERSION}")
    if missing := missing_parts(copy):
        raise click.ClickException(f"{file} is not whole: {'; '.join(missing)}")


def keys_that_return(backup: sqlite3.Connection) -> list[dict[str, str]]:
    """Answer the API keys that are accepted by what a backup holds, and refused now."""
    sql = (
        "SELECT w.id, k.id, k.name, k.hash FROM workspaces w JOIN api_keys k ON k.tenant = w.id"
        " WHERE k.deactivated_at IS NULL ORDER BY k.seq"
    )
    accepted = set(execute(sql))
    rows = (row for row in backup.execute(sql) if row not in accepted)
    return [{"workspace": workspace, "id": id, "name": name} for workspace, id, name, _ in rows]


PAGES_A_STEP = 16  # fewer than an empty database has, so that there is a moment between the first step and the last


def replace_contents(new: sqlite3.Connection, kept: Path) -> None:
    """Put a database's contents in the place of the live one's, and what was there into a file.

    SQLite's backup, with the live database as its destination, is one transaction: processes that have the database open
    see the old contents until it commits, and the new ones from then on; after a crash it is the one or the other. What
    was there is kept when the write lock is held, so that it has every write that was acknowledged.
    """

    def keep(status: int, *_: int) -> None:
        if status == sqlite3.SQLITE_BUSY:  # after the busy timeout
            raise database_unavailable("another write does not end")
        if not kept.exists():
            with new_file(kept) as part, closing(connect(str(part))) as copy:
                copy_database(get_db(), copy)

    with closing(connect(current_app.config["DATABASE"])) as live:
        new.backup(live, pages=PAGES_A_STEP, progress=keep)
        live.execute("PRAGMA busy_timeout = 0")  # writes would wait with it for reads of the old contents to end
        live.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@api.cli.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@yes_option
@reports
def restore(file: Path, yes: bool) -> Report:
    """Put a backup in the place of the database, also while the service runs; what was there is kept beside it.

    Example: flask restore /backup/acme.db
    """
    path, file = Path(current_app.config["DATABASE"]), file.resolve()  # what stands beside a link is not its neighbours
    if is_database(file):
        raise click.ClickException(f"{file} is the database itself")
    if file.exists() and not file.is_file():
        raise click.ClickException(f"{file} cannot be read: it is no ordinary file")
    kept = path.with_name(f"{path.name}.before-restore-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}")
    with (
        tempfile.TemporaryDirectory(prefix=f"{path.name}.part-", dir=path.parent) as folder,
        closing(connect(f"{folder}/restored.db")) as new,
    ):
        stage_backup(file, new)
        holds, keys = contents(new), keys_that_return(new)
        if keys:
            click.echo("These API keys are refused now, and will be accepted again:", err=True)
            click.echo(table(("WORKSPACE", "ID", "NAME"), *(key.values() for key in keys)), err=True)
        ask(f"Replace what {path} holds ({contents(get_db())}) by {file} ({holds})?", yes)
        replace_contents(new, kept)
    body = {"database": str(path), "kept": str(kept), **holds._asdict(), "keysAcceptedAgain": keys}
    return Report(body, f"{path} is as in {file}; what was there is in {kept}.")


# == Doctor ==
# What may be wrong with a deployment, and what to do about it.


class Check(NamedTuple):
    """One thing to look at: its name, what a finding is worth, and what finds them."""

    name: str
    severity: str
    findings: Callable[[], Iterator[str]]


def exposed_files() -> Iterator[str]:
    """Yield the files that others can read, and a folder that they can put files into."""
    files = database_files()
    for file in files:
        if file.stat().st_mode & 0o077:
            yield f"others can open {file}: chmod 600 {file}"
    if files[0].parent.stat().st_mode & 0o002:
        yield f"others can put files beside the database: chmod o-w {files[0].parent}"


def incomplete_schema() -> Iterator[str]:
    """Yield what the database should have and has not."""
    for part in missing_parts(get_db()):
        yield f"{part}: restore a backup"


def damaged_parts() -> Iterator[str]:
    """Yield what is broken in the file."""
    for problem in damage(get_db()):
        yield f"{problem}: restore a backup"


def wrong_counts() -> Iterator[str]:
    """Yield the workspaces whose lists tell a total that is not so."""
    stored = "SELECT tenant, is_variant, schema_id, ifnull(state_id, ''), count(*) FROM entities GROUP BY 1, 2, 3, 4"
    counted = "SELECT tenant, is_variant, schema_id, state_id, total FROM entity_counts WHERE total > 0"
    assigned = (
        "SELECT c.tenant FROM categories c WHERE c.total <>"
        " (SELECT count(*) FROM category_assignments a WHERE a.tenant = c.tenant AND a.category_id = c.id)"
    )
    with snapshot():
        wrong = {*(set(execute(stored)) ^ set(execute(counted))), *execute(assigned)}
    for tenant in sorted({row[0] for row in wrong}):
        yield f"lists of '{tenant}' tell a wrong total: restore a backup"


def wrong_claims() -> Iterator[str]:
    """Yield the unique attributes whose values are claimed otherwise than they are stored."""
    attributes = (
        "SELECT w.id, o.id, o.alias FROM workspaces w JOIN model_objects o ON o.tenant = w.id AND o.kind = 'attribute'"
        " WHERE json_extract(o.body, '$.validation.unique')"
    )
    claims = "SELECT scope, value, entity_id FROM unique_values WHERE tenant = ? AND attribute = ?"
    values = "SELECT json_extract(body, ?), id FROM entities WHERE tenant = ? AND json_type(body, ?) IS NOT NULL"
    for tenant, id, alias in execute(attributes).fetchall():
        path = f'$.values."{alias}"'
        with snapshot():
            claimed, holders = set(execute(claims, tenant, alias)), execute(values, path, tenant, path).fetchall()
        stored = {
            (to_json(entry["scope"], sort_keys=True), unique_key(entry["value"]), entity_id)
            for entries, entity_id in holders
            for entry in json.loads(entries)
        }
        if stored != claimed:
            yield f"'{id}' of '{tenant}' is not kept unique: PUT it with validation.unique false, and then true again"


def other_journal() -> Iterator[str]:
    """Yield another journal mode than the one that lets reads go on during a write."""
    if (mode := pragma(get_db(), "journal_mode")) != "wal":
        yield f"it is '{mode}', not WAL, as on a network's drive: keep the database on a local disk"


def little_space() -> Iterator[str]:
    """Yield that a restore, which writes the database three times, would fill the disk."""
    files = database_files()
    needed, free = 3 * sum(file.stat().st_size for file in files) + 100_000_000, shutil.disk_usage(files[0].parent).free
    if free < needed:
        yield f"{free / 1e6:.0f} MB are free, a restore may need {needed / 1e6:.0f}: make room in {files[0].parent}"


def weak_secret() -> Iterator[str]:
    """Yield that the secret that signs session tokens is missing or can be guessed."""
    row = one("SELECT value FROM settings WHERE name = 'jwt_secret'")
    try:
        signing_secret(current_app.config["JWT_SECRET"] or (row[0] if row else ""))
    except ValueError as error:
        yield f"{error}; set it as SIGMA_JWT_SECRET"


def public_demo() -> Iterator[str]:
    """Yield demo workspaces that others can reach, or may soon."""
    config = current_app.config
    if config["ALLOW_PUBLIC_DEMO"] or not is_loopback(read_setting("HOST", config)):
        for (id,) in execute("SELECT id FROM workspaces WHERE is_demo"):
            yield f"everybody knows the passwords of '{id}', and others may reach it: flask workspace delete {id}"


def workspaces_without_administrator() -> Iterator[str]:
    """Yield the workspaces where nobody can manage roles and API keys."""
    for (id,) in execute("SELECT id FROM workspaces WHERE NOT is_disposable").fetchall():
        if not one(ADMINISTRATORS, id):
            yield f"nobody can manage roles and keys of '{id}': flask users role EMAIL --administrator"


def known_secrets() -> Iterator[str]:
    """Yield the demo's keys and passwords wherever they open something else."""
    demo = read_demo()
    keys = (
        "SELECT w.id, k.id FROM workspaces w JOIN api_keys k ON k.tenant = w.id"
        " WHERE NOT w.is_demo AND k.deactivated_at IS NULL AND k.hash = ?"
    )
    for key in demo["apiKeys"]:
        for tenant, id in execute(keys, hash_key(key["rawKey"])):
            yield f"everybody knows key '{id}' of '{tenant}': flask keys deactivate {id} --workspace {tenant}"
    users = (
        "SELECT u.email, u.password_hash FROM workspaces w JOIN users u ON u.tenant = w.id"
        " WHERE NOT w.is_demo AND NOT w.is_disposable"  # nobody has a password in those for tests
    )
    for email, password_hash in execute(users).fetchall():
        if any(check_password_hash(password_hash, user["password"]) for user in demo["users"]):
            yield f"everybody knows the password of {email}: flask users password {email}"


def unused_keys() -> Iterator[str]:
    """Yield the active API keys that nothing seems to need."""
    sql = (
        "SELECT w.id, k.id FROM workspaces w JOIN api_keys k ON k.tenant = w.id"
        " WHERE k.deactivated_at IS NULL AND ifnull(k.last_used_at, k.created_at) < ? ORDER BY k.seq"
    )
    for tenant, id in execute(sql, utc_now(90 * 24 * 3600)):
        yield f"key '{id}' of '{tenant}' was not used for 90 days: flask keys deactivate {id} --workspace {tenant}"


def uncounted_proxy() -> Iterator[str]:
    """Yield that failed logins may all be counted as a proxy's."""
    config = current_app.config
    if not config["PROXIES"] and not (is_loopback(read_setting("HOST", config)) and holds_demo()):
        yield "SIGMA_PROXIES is 0: if a proxy stands in front, set SIGMA_PROXIES=1, or one client's failures count for all"


# In others, a race may damage the file: https://sqlite.org/wal.html#walresetbug
SOUND_SQLITE = [((3, 44, 6), (3, 45)), ((3, 50, 7), (3, 51)), ((3, 51, 3), (4,))]  # from, and up to


def old_versions() -> Iterator[str]:
    """Yield what is too old of Python and SQLite."""
    end = datetime(2016 + sys.version_info.minor, 11, 1, tzinfo=UTC)  # PEP 602: five years after its release in October
    if datetime.now(UTC) > end:
        yield f"Python {sys.version.split()[0]} gets no security fixes since {end:%B %Y}: install a newer one"
    if not any(first <= sqlite3.sqlite_version_info < beyond for first, beyond in SOUND_SQLITE):
        yield (
            f"SQLite {sqlite3.sqlite_version} may, very rarely, damage a database that several processes write at the same"
            " moment: install a Python with SQLite 3.51.3 or newer, and make backups"
        )


CHECKS = [
    Check("file permissions", "problem", exposed_files),
    Check("schema", "problem", incomplete_schema),
    Check("integrity", "problem", damaged_parts),
    Check("totals", "problem", wrong_counts),
    Check("unique values", "problem", wrong_claims),
    Check("journal mode", "problem", other_journal),
    Check("disk space", "problem", little_space),
    Check("signing secret", "problem", weak_secret),
    Check("demo data", "problem", public_demo),
    Check("administrators", "problem", workspaces_without_administrator),
    Check("well-known secrets", "problem", known_secrets),
    Check("unused keys", "note", unused_keys),
    Check("proxies", "note", uncounted_proxy),
    Check("versions", "note", old_versions),
]


def examine(check: Check) -> dict[str, Any]:
    """Answer what one check says; that it cannot look is a problem as well."""
    try:
        findings, severity = list(check.findings()), check.severity
    except (sqlite3.Error, OSError) as error:
        findings, severity = [f"cannot be looked at: {error}"], "problem"
    return {"check": check.name, "result": severity if findings else "ok", "findings": findings}


@api.cli.command("doctor")
@reports
def doctor() -> Report:
    """Look for what is wrong with the database and the settings, and say what to do about it. Exit code 1: problems.

    Example: SIGMA_HOST=0.0.0.0 flask doctor
    """
    results = [examine(check) for check in CHECKS]
    lines = [
        f"{result['result']:<8} {result['check']}{': ' if result['findings'] else ''}{'; '.join(result['findings'])}"
        for result in results
    ]
    return Report(results, "\n".join(lines), int(any(result["result"] == "problem" for result in results)))


# == The story in the terminal ==


@contextmanager
def serving_demo(folder: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Serve a demo workspace of its own during the block; yield its URL and the server. Raises StartError."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("SIGMA_")}
    port = os.environ.get("SIGMA_PORT") or os.environ.get("PORT") or "0"
    serving = {"SIGMA_HOST": "127.0.0.1", "SIGMA_PORT": port, "SIGMA_WORKERS": "1"}
    environment = {**others, **serving, "SIGMA_DATABASE": str(folder / "demo.db")}
    flask, log = [sys.executable, "-m", "flask", "--app", "app"], folder / "log"
    if subprocess.run([*flask, "demo"], cwd=HERE, env=environment, check=False).returncode:  # noqa: S603 (the command is ours)
        sys.exit(1)  # it has said why
    with log.open("wb") as output:
        command = [*flask, "serve"]
        # In a session of its own, it gets one signal to stop, and not a terminal's Ctrl-C as well.
        options: dict[str, Any] = {"stdout": output, "stderr": output, "start_new_session": True}
        server = subprocess.Popen(command, cwd=HERE, env=environment, **options)  # noqa: S603
    try:
        while not (ready := re.search(r"^Ready +(\S+)", log.read_text(encoding="utf-8"), re.MULTILINE)):
            if server.poll() is not None:
                raise StartError(log.read_text(encoding="utf-8").strip().removeprefix("Error: "))
            time.sleep(0.05)
        yield ready[1], server
    finally:
        server.terminate()
        try:
            server.wait(STOP_TIMEOUT + 2)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


class Integration(threading.Thread):
    """A program that asks for a record all the time, whatever is done to its key."""

    def __init__(self, url: str):
        super().__init__(daemon=True)
        self.url, self.headers, self.over = url, dict[str, str](), threading.Event()
        self.requests = self.failed = 0

    def run(self) -> None:
        """Ask until it is over, and count what is not answered as it should be."""
        while not self.over.wait(0.02):
            status, _ = send(self.url, "GET", "/records/ent-coastal-wb", self.headers)
            self.failed += status != 200
            self.requests += 1

    def move_to(self, headers: dict[str, str]) -> None:
        """Use another credential; when this returns, what was sent with the one before has been answered."""
        self.headers, before = headers, self.requests
        if not self.is_alive():
            self.start()
        while self.requests < before + 10:
            time.sleep(0.01)


def answer_lines(answer: Any, members: list[str]) -> list[str]:
    """Answer how the story shows an answer: these members of it, or of each item; of a refusal, the message."""
    if isinstance(answer, list):
        return ["   ".join(answer_lines(item, members)) for item in answer]
    return [f"{name}: " + to_json(answer[name]).strip('"') for name in members] or [answer["message"]]


def tell_story(url: str, pause: float) -> None:
    """Play the story of demo.json in the terminal. Raises ClickException where it goes otherwise than it is told."""
    integration, ids, headers = Integration(url), dict[str, str](), {"nobody": dict[str, str]()}
    for number, step in enumerate(read_demo()["story"], 1):
        method, path = step["request"].format(**ids).split()
        click.secho(f"\n{number:2}  {step['caption']}", bold=True)
        click.echo(f"    {step['by']}: {method} {path}" + (f"\n    {to_json(step['body'])}" if "body" in step else ""))
        time.sleep(pause / 2)
        status, answer = send(url, method, path, headers[step["by"]], step.get("body"))
        if status != step["status"]:
            raise click.ClickException(f"Step {number} was answered with {status}, not with {step['status']}.")
        click.secho(f"    {status} {CODES.get(status, 'OK')}", fg="green" if status < 400 else "red", bold=True)
        click.echo("\n".join(f"    {line}" for line in answer_lines(answer, step.get("show", []))))
        if "gives" in step:
            ids[step["gives"]] = answer.get("id", "")
            token = f"Bearer {answer.get('token')}"
            headers[step["gives"]] = {"X-Sigma-ApiKey": answer["rawKey"]} if "rawKey" in answer else {"Authorization": token}
        if "integration" in step:
            integration.move_to(headers[step["integration"]])
        if integration.is_alive():
            click.secho(f"    The integration: {integration.requests} requests, {integration.failed} failed", fg="cyan")
        time.sleep(pause)
    integration.over.set()
    integration.join()
    click.secho(f"\nThe integration sent {integration.requests} requests; {integration.failed} failed.", bold=True)
    if integration.failed:
        raise click.ClickException("None should have failed.")


@api.cli.command("play", with_appcontext=False)
@click.option("--fast", is_flag=True, help="Make no pauses.")
@click.option("--exit", "ends", is_flag=True, help="End after the story; otherwise the service stays until Ctrl-C.")
def play(fast: bool, ends: bool) -> None:
    """Play in the terminal how a key is replaced without a failed request, on a demo workspace made for that.

    Example: flask play --fast
    """
    if os.environ.get("NO_COLOR"):
        click.get_current_context().color = False
    for number in (signal.SIGTERM, signal.SIGHUP):  # also then nothing is left behind
        signal.signal(number, lambda *_: sys.exit(1))
    click.echo("Starting the service, with a demo workspace of its own …")
    with tempfile.TemporaryDirectory(prefix="sigma-demo-") as folder, serving_demo(Path(folder)) as (url, server):
        tell_story(url, 0 if fast else 2)
        if sys.stdout.isatty() and not ends:
            logins = ", ".join(f"{user['email']} / {user['password']}" for user in read_demo()["users"])
            click.echo(f"\nSigma PIM    {url}/api/v1\nDocs         {url}/docs\nLogins       {logins}\nEnd          Ctrl-C")
            with suppress(KeyboardInterrupt):
                server.wait()


# == Application ==


def document_api(app: Flask) -> Smorest:
    """Register the API's routes, and what its OpenAPI document says of it as a whole; openapi_document() adds the rest."""
    smorest = Smorest(
        app,
        spec_kwargs={
            "title": "Sigma PIM API",
            "version": "1.0",
            "openapi_version": "3.0.3",
            "info": {
                "description": DESCRIPTION,
                "contact": {"name": "Whoever runs this service"},
                "license": {"name": "None stated", "url": "/"},
            },
            "servers": [{"url": "/", "description": "The host that serves this document"}],
            "marshmallow_plugin": MarshmallowPlugin(schema_name_resolver=component_name),
        },
    )
    key, session = "An integration's API key", "A person's session token, from logging in"
    scheme = smorest.spec.components.security_scheme
    scheme("apiKey", {"type": "apiKey", "in": "header", "name": "X-Sigma-ApiKey", "description": key})
    scheme("session", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": session})
    app.register_blueprint(api)
    app.register_blueprint(standin)
    return smorest


def refuse_method(error: MethodNotAllowed, smorest: Smorest) -> Response:
    """Answer a wrong method; for a route that is hidden, as if there were no such path."""
    try:
        return smorest.handle_http_exception(NotFound() if is_hidden(error) else error)
    except sqlite3.Error as failure:  # for which Flask asks no handler, being in one
        return refuse(translate_database_error(failure))


def create_app(config: dict[str, Any] | None = None) -> Flask:
    """Make the WSGI application, and its database if there is none.

    Takes settings by name, which win over the environment. Raises StartError.
    """
    app = Service(__name__, static_folder=None)
    app.config.update(PROVIDE_AUTOMATIC_OPTIONS=False)
    app.config.update(read_settings(config or {}))
    app.json.sort_keys, app.json.ensure_ascii = False, False  # type: ignore[attr-defined]
    app.url_map.merge_slashes = False  # a redirect would answer before the caller is known
    if app.config["PROXIES"]:  # who calls is what the outermost of them saw
        app.wsgi_app = ProxyFix(app.wsgi_app, app.config["PROXIES"], 0, 0)  # type: ignore[method-assign]
    prepare_database(app.config["DATABASE"])
    default_handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s request=%(request)s %(message)s"))
    app.logger.addHandler(default_handler)
    app.logger.propagate = False  # another handler's format could show a key

    smorest = document_api(app)
    for failure in (sqlite3.Error, json.JSONDecodeError):  # the latter of what was stored: parse_json() reads the bodies
        app.register_error_handler(failure, lambda error: smorest.handle_http_exception(translate_database_error(error)))
    app.register_error_handler(MethodNotAllowed, lambda error: refuse_method(error, smorest))
    document = functools.cache(lambda: openapi_document(smorest))
    app.add_url_rule("/", view_func=show_index)
    app.add_url_rule("/healthz", view_func=get_health)
    app.add_url_rule("/openapi.json", "openapi", lambda: answer(document()))
    add_docs(app)
    settle_access(app)

    context = click.get_current_context(silent=True)
    if context is not None and context.info_name == "run":  # `flask run --host …`
        with app.app_context():
            refuse_public_demo(context.params["host"])
    return app


def end_with(parent: int) -> None:
    """Stop this process when the one that started it is gone; it would go on serving, and keep the port from the next."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_TIMEOUT)
    os._exit(1)


PATIENCE = 2  # seconds more, after which it counts less whether a client may be another one


def sent_and_came(connection: socket.socket) -> tuple[float, float]:
    """Answer for how many seconds nothing has been sent over a connection, and for how many nothing has come."""
    if sys.platform != "linux":
        return math.inf, math.inf  # it does not tell: any client at an address may be the one that is waited for
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 56)  # struct tcp_info of linux/tcp.h
    last_data_sent, _, last_data_recv = struct.unpack_from("=3I", info, 44)
    return last_data_sent / 1000, last_data_recv / 1000


def keeps_waiting(connection: socket.socket, address: str, seconds: float) -> bool:
    """Answer whether it may be for this client at an address that a thread has been waiting for so many seconds.

    Others may wait for the same thread. At first only those count who have been silent all the time, and to whom nothing
    was sent, except perhaps a "100 Continue" at the beginning; then also those who have sent something. In the end all do:
    what was sent may be the rest of an earlier answer, or sent again because the network has failed.
    """
    peer = connection.getpeername()
    if not isinstance(peer, tuple) or peer[0].partition("%")[0] != address:
        return False
    sent, came = sent_and_came(connection)
    may_have_sent, may_be_anyone = (seconds > BODY_TIMEOUT + times * PATIENCE for times in (1, 2))
    return may_be_anyone or (sent > seconds - 0.5 and (may_have_sent or came > BODY_TIMEOUT))


def hang_up(address: str, seconds: float) -> int:
    """End this process's connections to clients of whom keeps_waiting() is true, and answer how many they were.

    Their descriptors are the server's, which does not say which one a request comes over: none is closed here, nor is a
    copy of one, which for a database's file would drop SQLite's locks.
    """
    ended = 0
    for number in map(int, os.listdir("/dev/fd")):
        with suppress(OSError):  # it is no socket, or closed meanwhile
            connection = socket.socket(fileno=number)
            try:
                if keeps_waiting(connection, address, seconds):
                    connection.shutdown(socket.SHUT_RDWR)
                    ended += 1
            finally:
                connection.detach()
    return ended


def hang_up_on_half_requests(app: Flask) -> None:
    """Hang up on clients who do not send all of a body in time: granian would wait for it forever."""
    while True:
        time.sleep(1)
        for since, address, id in list(_awaited.values()):
            waited = time.monotonic() - since
            with suppress(OSError):  # no descriptor is left to look at the others; the next look may have one
                if waited > BODY_TIMEOUT and (ended := hang_up(address, waited)):
                    app.logger.warning("%s was hung up on (%d): of request %s only a part has come", address, ended, id)


def create_worker_app() -> Flask:
    """Make the application for one of the processes of the server that `flask serve` runs.

    A Ctrl-C reaches all of them at once, and then the main one ends the others. A worker that is told twice may hang.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    app = create_app()
    threading.Thread(target=hang_up_on_half_requests, args=(app,), daemon=True).start()
    gc.freeze()  # what stays for good need not be gone through again and again for garbage
    return app
