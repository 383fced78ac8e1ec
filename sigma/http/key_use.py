"""What an API key leaves behind in its ledger: when it last used each of its permissions, and how often it lacked one."""

import functools
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from flask import current_app

from sigma.database import BUSY_TIMEOUT, execute, get_db
from sigma.http.credentials import Caller
from sigma.http.stamps import utc_now

# :soon is one second after :now, :before one second earlier, and :path a path in the JSON. A stored time after :soon was
# written before the clock was set back, and is replaced by :now; one between :now and :soon is another process's.
USE_KEY = (
    "UPDATE api_keys SET last_used_at = :now"
    " WHERE tenant = :tenant AND id = :id AND ifnull(last_used_at, '') NOT BETWEEN :before AND :soon"
)
USE_PERMISSION = (
    "UPDATE api_keys SET last_used_at = iif(last_used_at BETWEEN :now AND :soon, last_used_at, :now),"
    " permission_use = json_set(permission_use, :path, :now)"
    " WHERE tenant = :tenant AND id = :id"
    " AND ifnull(json_extract(permission_use, :path), '') NOT BETWEEN :before AND :soon"
)
COUNT_REFUSAL = (
    "UPDATE api_keys SET last_used_at = iif(last_used_at BETWEEN :now AND :soon, last_used_at, :now),"
    " refused = json_set(refused, :path, json_object("
    "'count', ifnull(json_extract(refused, :path || '.count'), 0) + 1, 'lastAt', iif("
    "json_extract(refused, :path || '.lastAt') BETWEEN :now AND :soon, json_extract(refused, :path || '.lastAt'), :now)))"
    " WHERE tenant = :tenant AND id = :id"
)


@functools.lru_cache(maxsize=1024)
def _parse_use(text: str) -> dict[str, str]:
    use: dict[str, str] = json.loads(text)
    return use


@contextmanager
def _failure_logged(caller: Caller) -> Iterator[None]:
    """Run a block that writes to a key's ledger. A failure to write is logged; the request goes on."""
    try:
        yield
    except sqlite3.OperationalError as error:
        current_app.logger.error("The use of API key %s was not recorded: %s", caller.id, error)


def _parameters(caller: Caller, permission: str) -> dict[str, str]:
    times = {"now": utc_now(), "soon": utc_now(seconds_ago=-1), "before": utc_now(seconds_ago=1)}
    return {**times, "path": f'$."{permission}"', "tenant": caller.tenant, "id": caller.id}


@functools.lru_cache(maxsize=1024)
def _seconds(used: str) -> float:
    return datetime.fromisoformat(used).timestamp() if used else 0


def _is_recent(used: str) -> bool:
    return -1 <= time.time() - _seconds(used) <= 1


def touch_key(caller: Caller, permission: str) -> None:
    """Record that a key uses a permission now, unless a use was recorded within the last second.

    A write on every call would cost more than the rest of the call. This one waits only 250 ms for other writes, so that a
    long one does not hold up a read.
    """
    is_held = permission in caller.permissions  # False for a route that any key may call
    if _is_recent(_parse_use(caller.permission_use).get(permission, "") if is_held else caller.last_used_at):
        return
    with _failure_logged(caller):
        execute("PRAGMA busy_timeout = 250")
        try:
            get_db().execute(USE_PERMISSION if is_held else USE_KEY, _parameters(caller, permission))
        finally:
            execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT * 1000}")


def record_refusal(caller: Caller, permission: str) -> None:
    """Count that a key was refused because it lacks a permission or is not a session: every time, in every process.

    So that no refusal is lost, this waits for other writes, as they wait for each other. But only the first refusal in each
    second waits for the disk. Otherwise a client that keeps trying would hold the database's lock most of the time: that left
    another process 4 writes a second, where now it has 97 of 117.
    """
    parameters = _parameters(caller, permission)
    is_first = caller.last_used_at[:19] != parameters["now"][:19]
    with _failure_logged(caller):
        execute(f"PRAGMA synchronous = {'FULL' if is_first else 'NORMAL'}")
        try:
            get_db().execute(COUNT_REFUSAL, parameters)
        finally:
            execute("PRAGMA synchronous = FULL")
