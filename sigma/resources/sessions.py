"""The sessions of people: signing in, and the limits on logins."""

import hashlib
import ipaddress
import math
import re
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
from sigma.http.waiting import PLACES, SIGN_INS, Places, Turns, leave_worker
from sigma.resources.users import UserBody, fetch_users, remember_session, user_summary

blueprint = ApiBlueprint("Authentication", "The sessions of people; integrations use API keys.")


FAILURES_OF_EMAIL = 10  # failed logins for one email from one address within the window
FAILURES_OF_ADDRESS = 100  # failed logins from one address within the window, for any emails
FAILURES_WINDOW = 60  # seconds

HASHING = "scrypt:32768:8:1"
# Checked for an unknown email, so that it takes as long as a wrong password. It is not the hash of any password.
NO_PASSWORD = f"{HASHING}${'0' * 16}${'0' * 128}"

_hashing = Turns()  # one at a time: each takes 32 MB and a processor


def hash_password(password: str) -> str:
    """Return a password's hash for storage. It is slow on purpose, because people choose passwords that can be guessed."""
    return generate_password_hash(password, HASHING)


class LoginBody(Body):
    """An email and a password."""

    email = string_field("The email to sign in with")
    password = fields.String(
        required=True,
        load_only=True,
        validate=validate.Length(min=1, error="Expected a value"),
        metadata={"description": "The password", "format": "password"},
    )

    def handle_error(self, error: ma.ValidationError, data: Any, **_: Any) -> None:
        """Raise ApiError 400 with the documented opening, if the email or the password is missing."""
        if isinstance(data, dict) and not (data.get("email") and data.get("password")):
            raise_for_problems(flatten_messages(error.normalized_messages(), data), "Email and password are required: ")


class SessionBody(Body):
    """A session token, valid for 24 hours, and its user."""

    token = string_field("Send it as Authorization: Bearer <token>", longest=2000, example="eyJhbGciOiJIUzI1NiIs...")
    user = fields.Nested(UserBody, required=True, metadata={"description": "The user who signed in"})


class TenantBody(Body):
    """A workspace and the users who may sign in to it."""

    id = id_field("The workspace's id")
    name = name_field("The workspace's name")
    users = Items(fields.Nested(UserBody), "The users who may sign in", required=True)


def make_session(tenant: str, user: dict[str, str], sessions_from: int) -> dict[str, Any]:
    """Return a new session for a user. It begins when the request came, so that a password change in between ends it.

    If the clock was ahead when `sessions_from` was set, the session begins later, but still ends by the clock of now.
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
    """Return the address by which failed logins are counted; for IPv6, its /64 network, which is what one customer gets.

    Some proxies add a port to the address, and a server that listens on IPv4 and IPv6 writes 192.0.2.1 as ::ffff:192.0.2.1.
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
    """Raise ApiError 429 if one of the digests in `limits` has reached its limit of failures within the window."""
    now, wait = time.time(), 0.0
    sql = "SELECT at FROM login_attempts WHERE who = ? AND at > ? AND at <= ? ORDER BY at DESC LIMIT 1 OFFSET ?"
    for who, limit in limits.items():
        row = fetch_one(sql, who, now - FAILURES_WINDOW, now, limit - 1)
        wait = max(wait, row[0] + FAILURES_WINDOW - now if row else 0)
    if wait:
        raise retry_error(429, "Too many failed logins", math.ceil(wait))


def _leave_for_sign_in(address: str) -> None:
    """Leave the worker, because checking a password is slow on purpose, if the address has few logins under way.

    Otherwise raise ApiError 429, so that other addresses find places and do not wait for long.
    """
    if PLACES in request.environ:
        places: Places = request.environ[SIGN_INS]
        if places.taken_by(address) >= places.most_of_one:
            raise retry_error(429, "Too many logins from your address are under way", 1)
    leave_worker(SIGN_INS, address)


def record_login_attempt(limits: dict[bytes, int], pair: bytes, is_right: bool) -> None:
    """Count a failed login in the database, for all processes; a right password clears the count of its email and address.

    Raises ApiError 429 if concurrent logins have used up the limit in between, even for a right password, so that trying
    many passwords at once finds no more than trying one after another.
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
    email, password = credentials["email"], credentials["password"]
    address = address_of_caller()
    pair, address_alone = (hashlib.sha256(text.encode()).digest() for text in (f"{email.lower()} {address}", address))
    limits = {pair: FAILURES_OF_EMAIL, address_alone: FAILURES_OF_ADDRESS}
    _raise_if_throttled(limits)
    _leave_for_sign_in(address)
    row = fetch_one("SELECT tenant, id, email, name, role_id, sessions_from, password_hash FROM users WHERE email = ?", email)
    with _hashing.turn(address):
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
    """Exchange a valid session token for a new one."""
    return make_session(g.tenant, g.caller.user, g.caller.sessions_from)
