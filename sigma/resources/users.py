"""Users: the people who may sign in to a workspace."""

import math
import time
from collections.abc import Iterable
from typing import Any

from flask import g

from sigma.database import execute, fetch_one
from sigma.http.fields import Body, Reference, id_field, name_field, string_field
from sigma.permissions import ROLE_FLAGS
from sigma.resources.model import store_object
from sigma.resources.roles import RoleBody


class UserBody(Body):
    """A person who may sign in."""

    id = id_field("The user's id")
    email = string_field("The email people sign in with")
    name = name_field("The person's name")
    roleId = Reference("role", required=True)


def user_summary(row: Iterable[str]) -> dict[str, str]:
    """Return a user as the API shows it, from a row of id, email, name and role_id."""
    return dict(zip(("id", "email", "name", "roleId"), row, strict=True))


def fetch_users(tenant: str) -> list[dict[str, str]]:
    """Return the users of a workspace, oldest first."""
    rows = execute("SELECT id, email, name, role_id FROM users WHERE tenant = ? ORDER BY rowid", tenant)
    return [user_summary(row) for row in rows]


def next_sessions_from() -> int:
    """Return the second from which sessions count for a user who is new or has a new password.

    It is later than the time of every token issued so far, even if the clock was set back: the last second is remembered.
    So the token of a removed user never fits a new user with the same ids. A user who signs in before that second begins
    gets a token that says it was issued in it.
    """
    sql = (
        "INSERT INTO settings (name, value) VALUES ('sessions_from', ? + 1)"
        " ON CONFLICT (name) DO UPDATE SET value = max(CAST(value AS INTEGER) + 1, CAST(excluded.value AS INTEGER))"
        " RETURNING CAST(value AS INTEGER)"
    )
    ((second,),) = execute(sql, math.floor(time.time())).fetchall()
    return int(second)


def remember_session(begins: int) -> None:
    """Remember when a session begins, so that a later password ends it even if the clock is set back in between."""
    if begins <= int((fetch_one("SELECT value FROM settings WHERE name = 'sessions_from'") or [0])[0]):
        return
    execute(
        "INSERT INTO settings (name, value) VALUES ('sessions_from', ?) ON CONFLICT (name)"
        " DO UPDATE SET value = excluded.value WHERE CAST(value AS INTEGER) < CAST(excluded.value AS INTEGER)",
        begins,
    )


def insert_user(user: dict[str, str], password_hash: str, sessions_from: int) -> None:
    """Store a user. Raises sqlite3.IntegrityError for an email that another user has."""
    execute(
        "INSERT INTO users (tenant, id, email, name, password_hash, role_id, sessions_from) VALUES (?, ?, ?, ?, ?, ?, ?)",
        *(g.tenant, *(user[member] for member in ("id", "email", "name")), password_hash, user["roleId"], sessions_from),
    )


ADMINISTRATOR = {"id": "user-admin", "name": "Administrator", "roleId": "role-admin"}  # the first user of a new workspace


def administrator_role(id: str) -> dict[str, Any]:
    """Return a role that allows everything."""
    role: dict[str, Any] = RoleBody().load({"id": id, "name": "Administrator", **dict.fromkeys(ROLE_FLAGS, True)})
    return role


def insert_administrator_role(id: str) -> str:
    """Store a role that allows everything, and return its id."""
    store_object("role", administrator_role(id))
    return id
