"""The sessions of people: signing in, and trying to."""

import hashlib
import ipaddress
import math
import re
import threading
import time
from typing import Any

import jwt
import marshmallow as ma
from flask import g, request
from marshmallow import fields, validate
from werkzeug.security import check_password_hash, generate_password_hash

from sigma.database import execute, fetch_one, get_db, snapshot, transaction
from sigma.http.access import public, session_only
from sigma.http.blueprint import ApiBlueprint
from sigma.http.bodies import flatten_messages
from sigma.http.credentials import CLOCK_STEP, SESSION_LASTS, jwt_secret, unauthorized
from sigma.http.errors import raise_for_problems, retry_error
from sigma.http.fields import Body, Items, id_field, name_field, string_field
from sigma.http.responses import NO_STORE
from sigma.http.waiting import leave_worker
from sigma.resources.users import UserBody, fetch_users, remember_session, user_summary

blueprint = ApiBlueprint("Authentication", "The sessions of people; integrations use API keys.")


FAILURES_OF_EMAIL, FAILURES_OF_ADDRESS = 10, 100  # tries, both from one address
FAILURES_WINDOW = 60  # seconds

HASHING = "scrypt:32768:8:1"
# Checked in place of a hash that does not exist, so that an unknown email takes as long as a wrong password. It is no
# password's.
NO_PASSWORD = f"{HASHING}${'0' * 16}${'0' * 128}"


_hashing = threading.RLock()  # one after another: each takes 32 MB and a processor


def hash_password(password: str) -> str:
    """Hash a password for storage, slowly on purpose: people choose passwords that can be guessed."""
    return generate_password_hash(password, HASHING)


class LoginBody(Body):
    """An email and a password."""

    email = string_field("The email people sign in with")
    password = fields.String(
        required=True,
        load_only=True,
        validate=validate.Length(min=1, error="Expected a value"),
        metadata={"description": "The password", "format": "password"},
    )

    def handle_error(self, error: ma.ValidationError, data: Any, **_: Any) -> None:
        """Raise ApiError 400 that begins as the documentation has it, if the email or the password is missing."""
        if isinstance(data, dict) and not (data.get("email") and data.get("password")):
            raise_for_problems(flatten_messages(error.normalized_messages(), data), "Email and password are required: ")


class SessionBody(Body):
    """A session token, good for 24 hours, and whose it is."""

    token = string_field("Send it as Authorization: Bearer <token>", longest=2000, example="eyJhbGciOiJIUzI1NiIs...")
    user = fields.Nested(UserBody, required=True, metadata={"description": "Who signed in"})


class TenantBody(Body):
    """A workspace and the users who may sign in to it."""

    id = id_field("The workspace's id")
    name = name_field("The workspace's name")
    users = Items(fields.Nested(UserBody), "Who may sign in", required=True)


def make_session(tenant: str, user: dict[str, str], sessions_from: int) -> dict[str, Any]:
    """Make a session token for a user, from when the request came: a password that was changed meanwhile ends it, too.

    It ends by the clock of now, also for a user whose sessions count only from later on, because the clock was ahead then.
    """
    now: int = math.floor(request.came_at)  # type: ignore[attr-defined]
    begins = max(now, sessions_from)
    remember_session(begins)
    claims = {
        "userId": user["id"],
        "workspaceId": tenant,
        "roleId": user["roleId"],
        "iat": begins,
        "exp": min(begins, now + CLOCK_STEP) + SESSION_LASTS,
    }
    return {"token": jwt.encode(claims, jwt_secret(), algorithm="HS256"), "user": user}


def address_of_caller() -> str:
    """Return the network address that tries are counted by: of IPv6 the first half, which is what one customer gets.

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


def _raise_if_throttled(limits: dict[bytes, int]) -> None:
    """Raise ApiError 429 after too many failures within the window, by whom, and how many each is allowed."""
    now, wait = time.time(), 0.0
    sql = "SELECT at FROM login_attempts WHERE who = ? AND at > ? AND at <= ? ORDER BY at DESC LIMIT 1 OFFSET ?"
    for who, allowed in limits.items():
        row = fetch_one(sql, who, now - FAILURES_WINDOW, now, allowed - 1)
        wait = max(wait, row[0] + FAILURES_WINDOW - now if row else 0)
    if wait:
        raise retry_error(429, "Too many failed logins", math.ceil(wait))


def record_login_attempt(limits: dict[bytes, int], pair: bytes, is_right: bool) -> None:
    """Count a try to sign in that failed, in the database and so across all processes; one that is right clears the count.

    Raises ApiError 429 when others, who tried at the same time, have used up the limit meanwhile: also for a right
    password, so that trying many at once finds no more than trying one after another.
    """
    with transaction():
        _raise_if_throttled(limits)
        now = time.time()
        execute("DELETE FROM login_attempts WHERE at <= ? OR at > ?", now - FAILURES_WINDOW, now)
        if is_right:
            execute("DELETE FROM login_attempts WHERE who = ?", pair)
        else:
            get_db().executemany("INSERT INTO login_attempts (who, at) VALUES (?, ?)", ((who, now) for who in limits))


@blueprint.get("/auth/tenants")
@public
@blueprint.response(200, TenantBody(many=True))
def list_tenants() -> list[dict[str, Any]]:
    """List the demo workspaces with the users to sign in as; no other workspace is ever listed."""
    with snapshot():
        demos = execute("SELECT id, name FROM workspaces WHERE is_demo ORDER BY rowid").fetchall()
        return [{"id": id, "name": name, "users": fetch_users(id)} for id, name in demos]


@blueprint.post("/auth/login")
@public
@blueprint.arguments(LoginBody())
@blueprint.response(200, SessionBody)
@blueprint.errors("UNAUTHORIZED", "RATE_LIMITED")
def login(credentials: dict[str, str]) -> Any:
    """Sign in with email and password; after ten failures within a minute, 429 until the minute is over."""
    leave_worker()  # to check a password is slow on purpose
    email, password = credentials["email"], credentials["password"]
    address = address_of_caller()
    pair, alone = (hashlib.sha256(text.encode()).digest() for text in (f"{email.lower()} {address}", address))
    limits = {pair: FAILURES_OF_EMAIL, alone: FAILURES_OF_ADDRESS}
    _raise_if_throttled(limits)
    row = fetch_one("SELECT tenant, id, email, name, role_id, sessions_from, password_hash FROM users WHERE email = ?", email)
    with _hashing:
        is_right = check_password_hash(row[6] if row else NO_PASSWORD, password) and row is not None
    record_login_attempt(limits, pair, is_right)
    if not is_right:
        raise unauthorized("Wrong email or password")
    g.tenant, *user, sessions_from, _ = row
    return make_session(g.tenant, user_summary(user), sessions_from), 200, NO_STORE


@blueprint.post("/auth/refresh")
@session_only()
@blueprint.response(200, SessionBody)
def refresh_session() -> Any:
    """Exchange a session token that is still good for a new one."""
    return make_session(g.tenant, g.caller.user, g.caller.sessions_from), 200, NO_STORE
