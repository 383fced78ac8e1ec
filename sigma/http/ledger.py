"""The ledger of API keys: when a key last used each of its permissions, and how often it lacked one."""

import functools
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from flask import current_app

from sigma.database import BUSY_TIMEOUT, execute
from sigma.http.credentials import Caller
from sigma.http.stamps import utc_now

# ?1 is now, ?2 one second from now, ?3 a path in the JSON, ?4 the workspace, ?5 the key's id, ?6 one second ago. A stored time
# after ?2 was written before the clock was set back, and is replaced by ?1; one between ?1 and ?2 is another process's.
USE_KEY = (
    "UPDATE api_keys SET last_used_at = ?1 WHERE tenant = ?4 AND id = ?5 AND ifnull(last_used_at, '') NOT BETWEEN ?6 AND ?2"
)
USE_PERMISSION = (
    "UPDATE api_keys SET last_used_at = iif(last_used_at BETWEEN ?1 AND ?2, last_used_at, ?1),"
    " permission_use = json_set(permission_use, ?3, ?1)"
    " WHERE tenant = ?4 AND id = ?5 AND ifnull(json_extract(permission_use, ?3), '') NOT BETWEEN ?6 AND ?2"
)
COUNT_REFUSAL = (
    "UPDATE api_keys SET last_used_at = iif(last_used_at BETWEEN ?1 AND ?2, last_used_at, ?1),"
    " refused = json_set(refused, ?3, json_object("
    "'count', ifnull(json_extract(refused, ?3 || '.count'), 0) + 1, 'lastAt', iif("
    "json_extract(refused, ?3 || '.lastAt') BETWEEN ?1 AND ?2, json_extract(refused, ?3 || '.lastAt'), ?1)))"
    " WHERE tenant = ?4 AND id = ?5"
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


def _parameters(caller: Caller, permission: str) -> tuple[str, ...]:
    return utc_now(), utc_now(seconds_ago=-1), f'$."{permission}"', caller.tenant, caller.id


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
            execute(USE_PERMISSION if is_held else USE_KEY, *_parameters(caller, permission), utc_now(seconds_ago=1))
        finally:
            execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT * 1000}")


def record_refusal(caller: Caller, permission: str) -> None:
    """Count that a key was refused because it lacks a permission or is not a session: every time, in every process.

    So that no refusal is lost, this waits for other writes, as they wait for each other. But only the first refusal in each
    second waits for the disk. Otherwise a client that keeps trying would hold the database's lock most of the time: that left
    another process 4 writes a second, where now it has 97 of 117.
    """
    parameters = _parameters(caller, permission)
    is_first = caller.last_used_at[:19] != parameters[0][:19]
    with _failure_logged(caller):
        execute(f"PRAGMA synchronous = {'FULL' if is_first else 'NORMAL'}")
        try:
            execute(COUNT_REFUSAL, *parameters)
        finally:
            execute("PRAGMA synchronous = FULL")
