"""Connections to the one SQLite file, and transactions; the file is opened, made or upgraded first."""

import atexit
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from flask import current_app

from sigma.context import context
from sigma.files import (
    Connection,
    LogLostError,
    forget_log,
    remember_file,
    remember_log,
    require_same_file,
    save_log,
    unusable_message,
)
from sigma.settings import StartError
from sigma.upgrades import APPLICATION_ID, SCHEMA_VERSION, is_older, migrate, pragma

BUSY_TIMEOUT = 5  # seconds that a write waits for another


class ThreadState(threading.local):
    """What each thread keeps: its open connection, the path of the file, and what to call when its transaction is stored."""

    path: str | None = None
    connection: Connection
    when_stored: Callable[[], None] | None = None
    has_small_cache: bool = False


_thread = ThreadState()


SqlFunction = Callable[..., Any]
SQL_FUNCTIONS: dict[str, tuple[SqlFunction, bool]] = {}  # by name; a migration that misses one fails as a whole


def sql_function(deterministic: bool) -> Callable[[SqlFunction], SqlFunction]:
    """Return a decorator that lets SQL call a function by its name; for functions of modules that may not be imported here.

    SQLite may reuse the result of a deterministic function for the same arguments.
    """

    def decorator(function: SqlFunction) -> SqlFunction:
        SQL_FUNCTIONS[function.__name__] = function, deterministic
        return function

    return decorator


def connect(path: str) -> Connection:
    """Return a new connection to a database file. A commit is on disk before it is acknowledged (synchronous=FULL)."""
    db = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, cached_statements=256, factory=Connection)
    try:
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA cache_size = -32000")  # kB: keeps the indexes' upper levels in memory, even with a million keys
        for name, (function, deterministic) in SQL_FUNCTIONS.items():
            db.create_function(name, -1, function, deterministic=deterministic)
    except sqlite3.Error:  # not a database
        db.close()
        raise
    return db


def _open_db(path: str) -> None:
    close_db()
    require_same_file(path)
    connection = connect(path)
    try:
        if _thread.has_small_cache:
            connection.execute("PRAGMA cache_size = -2000")
        connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    remember_log(path, connection)
    _thread.connection, _thread.path = connection, path


def use_small_cache() -> None:
    """Limit the cache of this thread's connection, which is not open yet, to 2 MB instead of 32 MB.

    Threads that may be many need this: 64 exports, which read each record only once, would fill 2 GB.
    """
    _thread.has_small_cache = True


def close_db() -> None:
    """Close this thread's connection, if it has one."""
    if _thread.path is not None:
        forget_log(_thread.path, _thread.connection)
        _thread.connection.close()
    _thread.path = None


@atexit.register
def _close_at_exit() -> None:  # a command so removes the write-ahead log, if nobody else has the database open
    if _thread.path is not None and _thread.connection.process == os.getpid():  # not that of a process that forked this one
        close_db()


def get_db() -> sqlite3.Connection:
    """Return this thread's connection to the current application's database."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # an attribute read through the proxy costs 1 % of a GET
    path = app.config["DATABASE"]
    if path != _thread.path:
        _open_db(path)
    return _thread.connection


def execute(sql: str, *parameters: Any) -> sqlite3.Cursor:
    """Run one statement, and return its cursor, which is closed when the application context ends, if not before."""
    cursor = get_db().execute(sql, parameters)
    if cursor.description is not None:  # it has rows
        known = context()
        if "cursors" not in known:
            known.cursors = weakref.WeakSet()
        known.cursors.add(cursor)
    return cursor


def close_cursors(_: BaseException | None = None) -> None:
    """Close the cursors of this application context that are still open.

    A cursor that is only partly read holds a read transaction, after whose beginning its connection sees no change, such as a
    key that was deactivated. The traceback of an error may keep it until the garbage collector comes.
    """
    for cursor in context().get("cursors", ()):
        with suppress(sqlite3.ProgrammingError):  # its connection is closed
            cursor.close()


def fetch_one(sql: str, *parameters: Any) -> Any:
    """Return the first row of a query, or None."""
    return get_db().execute(sql, parameters).fetchone()


def call_when_stored(function: Callable[[], None]) -> None:
    """Call a function when the transaction under way has been stored, not if it fails; a later function replaces it."""
    _thread.when_stored = function


@contextmanager
def transaction() -> Iterator[None]:
    """Run the block as one transaction: either all of it is stored, or nothing.

    It takes the write lock first (BEGIN IMMEDIATE): what the block reads stays true until the commit, and only here does a
    request wait for another writer, at most BUSY_TIMEOUT. The caller's permissions may change during that wait: so the first
    transaction of a request calls `g.confirm()`, which the guard has set to check them again.
    """
    db, known = get_db(), context()
    db.execute("BEGIN IMMEDIATE")
    _thread.when_stored = None
    try:
        if confirm := known.pop("confirm", None):
            confirm()
        yield
        require_same_file(str(_thread.path))  # get_db() has set it
        db.execute("COMMIT")
        known.has_stored = True  # for hold_unsent()
    except BaseException as error:
        if db.in_transaction:  # after some failures, such as a full disk, SQLite has already rolled back
            db.execute("ROLLBACK")
        if isinstance(error, LogLostError):
            save_log(str(_thread.path), db)
        raise
    if _thread.when_stored:
        _thread.when_stored()


@contextmanager
def snapshot() -> Iterator[None]:
    """Let all statements of the block read the same state of the database; inside a transaction, they do so anyway."""
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


def _read_versions(path: str) -> tuple[int, int]:
    """Return the application id and schema version of a database, after creating or upgrading it where needed.

    Raises OSError or sqlite3.Error for a file that cannot be used.
    """
    if not os.path.exists(path):  # for a database that this process has open, os.close() would drop its locks
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite would make the file readable by everyone
    db = connect(path)
    try:
        if (encoding := pragma(db, "encoding")) != "UTF-8":
            raise sqlite3.DatabaseError(f"its text is in {encoding}, not in UTF-8")
        if not db.execute("SELECT 1 FROM sqlite_schema").fetchone() or is_older(db):
            migrate(db)
        versions = pragma(db, "application_id"), pragma(db, "user_version")
        if versions == (APPLICATION_ID, SCHEMA_VERSION):
            db.execute("PRAGMA journal_mode = WAL")  # a restored file may be in another mode
        return versions
    finally:
        db.close()


def prepare_database(path: str) -> None:
    """Create the database if there is none, and upgrade a database of an older release.

    Raises StartError for a file that cannot be opened, is no database of this service, or was made by a newer release.
    """
    if sqlite3.sqlite_version_info < (3, 37):
        raise StartError(f"SQLite 3.37 or newer is needed (STRICT tables); this Python has {sqlite3.sqlite_version}.")
    if path == ":memory:":
        raise StartError("The database must be a file: each thread has its own connection to it.")
    for tries_left in reversed(range(20)):
        try:
            application_id, version = _read_versions(path)
            break
        except (OSError, sqlite3.Error) as error:
            # While another process creates the same database, SQLite does not wait, unlike everywhere else.
            is_locked = getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY")
            if not is_locked or not tries_left:
                raise StartError(unusable_message(path, error, is_locked)) from error
            time.sleep(0.2)
    if application_id != APPLICATION_ID:
        raise StartError(f"{path} is a database of another program: name another file in SIGMA_DATABASE.")
    if version != SCHEMA_VERSION:
        raise StartError(
            f"{path} has schema version {version}, and this release reads version {SCHEMA_VERSION}:"
            " use the release that made it or a newer one, or name another file in SIGMA_DATABASE."
        )
    if _thread.path == path:  # this thread may still have an earlier file of this path open
        close_db()
    remember_file(path)
