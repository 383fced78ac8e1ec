"""The ledger of API keys: when a key last used each of its permissions, and how often it lacked one."""

import functools
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from flask import current_app

from sigma.database import BUSY_TIMEOUT, execute
from sigma.http.credentials import Caller
from sigma.http.stamps import utc_now

USE_KEY = "UPDATE api_keys SET last_used_at = ? WHERE tenant = ? AND id = ? AND ifnull(last_used_at, '') < ?"
USE_PERMISSION = (
    "UPDATE api_keys SET last_used_at = max(ifnull(last_used_at, ''), ?), permission_use = json_set(permission_use, ?, ?)"
    " WHERE tenant = ? AND id = ? AND ifnull(json_extract(permission_use, ?), '') < ?"
)
COUNT_REFUSAL = (
    "UPDATE api_keys SET last_used_at = max(ifnull(last_used_at, ''), ?), refused = json_set(refused, ?, json_object("
    "'count', ifnull(json_extract(refused, ?), 0) + 1, 'lastAt', max(ifnull(json_extract(refused, ?), ''), ?)))"
    " WHERE tenant = ? AND id = ?"
)


@functools.lru_cache(maxsize=1024)
def _parse_use(text: str) -> dict[str, str]:
    use: dict[str, str] = json.loads(text)
    return use


@contextmanager
def _failure_logged(caller: Caller) -> Iterator[None]:
    """Let the block write to a key's ledger; that it cannot is logged, and is no reason to refuse a request."""
    try:
        yield
    except sqlite3.OperationalError as error:
        current_app.logger.error("The use of API key %s was not recorded: %s", caller.id, error)


def touch_key(caller: Caller, permission: str) -> None:
    """Record that a key uses a permission now, unless that has been recorded within the last second.

    To write on every call would cost more than all the rest. A long write elsewhere does not keep a read waiting.
    """
    stale = utc_now(seconds_ago=1)
    is_held = permission in caller.permissions  # not so where any key will do
    if (_parse_use(caller.permission_use).get(permission, "") if is_held else caller.last_used_at) >= stale:
        return
    now, path, whose = utc_now(), f'$."{permission}"', (caller.tenant, caller.id)
    with _failure_logged(caller):
        execute("PRAGMA busy_timeout = 250")
        try:
            if is_held:
                execute(USE_PERMISSION, now, path, now, *whose, path, stale)
            else:
                execute(USE_KEY, now, *whose, stale)
        finally:
            execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT * 1000}")


def record_refusal(caller: Caller, permission: str) -> None:
    """Count that a key was refused for want of a permission, or of a session: each time, whichever process refuses.

    So that none is lost, it waits for other writes as they wait for each other. But only the first refusal in each second
    waits for the disk. Otherwise a client that goes on trying would keep the database locked most of the time: it left
    another process 4 writes a second, where now there are 97 of 117.
    """
    now, path = utc_now(), f'$."{permission}"'
    is_first = caller.last_used_at[:19] < now[:19]
    with _failure_logged(caller):
        execute(f"PRAGMA synchronous = {'FULL' if is_first else 'NORMAL'}")
        try:
            execute(COUNT_REFUSAL, now, path, f"{path}.count", f"{path}.lastAt", now, caller.tenant, caller.id)
        finally:
            execute("PRAGMA synchronous = FULL")
