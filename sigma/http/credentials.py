"""Credentials: API keys and session tokens, and the callers they belong to."""

import functools
import hashlib
import json
import re
import secrets
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jwt
from flask import current_app, g

from sigma.database import fetch_one
from sigma.http.credential_hints import JWT, KEY, TOKEN, other_kind, what_to_send
from sigma.http.errors import ApiError

SESSION_LASTS = 24 * 3600  # seconds
CLOCK_STEP = 2 * 3600  # seconds by which the clock may be set back without ending a session that began before


class Caller(NamedTuple):
    """The owner of a valid credential: an API key, or a signed-in user."""

    tenant: str  # the workspace's id
    id: str
    name: str = ""
    permissions: tuple[str, ...] = ()  # of the key
    last_used_at: str = ""  # of the key, before this call
    permission_use: str = "{}"  # of the key, before this call: when each permission was last used, as JSON
    has_faults: bool = False  # of the key
    user: dict[str, str] | None = None
    role: dict[str, Any] | None = None  # of the user
    sessions_from: int = 0  # of the user

    @property
    def is_key(self) -> bool:
        """Whether this is an API key."""
        return self.user is None

    def role_says(self, member: str) -> Any:
        """Return a member of the user's role; None for a key."""
        return (self.role or {}).get(member)


KEY_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def check_characters(stem: str) -> str:
    """Return the seven characters that end a key: the CRC-32 of the characters before them, in base 36."""
    crc, digits = zlib.crc32(stem.encode()), ""
    for _ in range(7):
        crc, digit = divmod(crc, 36)
        digits = KEY_ALPHABET[digit] + digits
    return digits


def make_raw_key() -> str:
    """Return a new key: the prefix, 29 random characters (150 bits), and their check characters."""
    stem = "sigma_sk_live_" + "".join(secrets.choice(KEY_ALPHABET) for _ in range(29))
    return stem + check_characters(stem)


def hash_key(raw_key: str) -> bytes:
    """Return the hash by which a key is stored and looked up.

    A fast hash without a salt is right here, and only here: nobody can guess 150 random bits, so a slow hash would protect
    nothing more. Passwords, which people choose, are hashed with scrypt.
    """
    return hashlib.sha256(raw_key.encode()).digest()


def unauthorized(message: str) -> ApiError:
    """Return the error 401 with a message."""
    return ApiError(401, message, headers={"WWW-Authenticate": 'Bearer realm="Sigma PIM"'})


def diagnose_key(raw_key: str) -> str:
    """Return what is wrong with a key that is not in the database, as far as the key itself shows."""
    if hint := other_kind(raw_key, KEY):
        return hint
    if not re.fullmatch("sigma_sk_live_[a-z0-9]{36}", raw_key):
        return "expected one X-Sigma-ApiKey header with sigma_sk_live_ and 36 characters of a-z and 0-9"
    if check_characters(raw_key[:-7]) != raw_key[-7:]:
        return "it was mistyped, or not made here; it may be a key of the production service"
    return "it is not known here; make one with POST /api/v1/api-keys"


@functools.lru_cache(maxsize=1024)
def _parse_permissions(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


def authenticate_key(raw_key: str) -> Caller:
    """Return the caller that a key belongs to. Raises ApiError 401.

    The key is looked up every time: a cache would keep a deactivated key alive in another process.
    """
    sql = (
        "SELECT tenant, id, name, permissions, ifnull(last_used_at, ''), permission_use, refusal,"
        " EXISTS (SELECT 1 FROM key_faults f WHERE f.tenant = k.tenant AND f.key_id = k.id) FROM known_keys k WHERE hash = ?"
    )
    row = fetch_one(sql, hash_key(raw_key))
    if row is None:
        raise unauthorized(f"Invalid API key: {diagnose_key(raw_key)}")
    tenant, id, name, permissions, last_used_at, permission_use, refusal, has_faults = row
    caller = Caller(tenant, id, name, _parse_permissions(permissions), last_used_at, permission_use, bool(has_faults))
    if refusal:
        g.caller = caller  # so that the log shows who still uses the key
        raise unauthorized(f"Invalid API key: {refusal}; send the one that takes its place")
    return caller


def jwt_secret() -> str:
    """Return the secret that signs session tokens."""
    return current_app.config["JWT_SECRET"] or fetch_one("SELECT value FROM settings WHERE name = 'jwt_secret'")[0]


AGAIN = "sign in again, with POST /api/v1/auth/login"


def _diagnose_token(token: str) -> str:
    if hint := other_kind(token, TOKEN):
        return hint
    if not JWT.fullmatch(token):
        return "expected one Authorization header with Bearer and the token of a login"
    return f"it was not made here, or is damaged; {AGAIN}"


def _invalid_token(reason: str) -> ApiError:
    return unauthorized(f"Invalid or expired token: {reason}")


def _decode_token(token: str) -> dict[str, Any]:
    names = ("userId", "workspaceId", "roleId")
    # _authenticate_token() checks `iat`, because it knows since when the user's sessions are valid.
    options: Any = {"require": [*names, "iat", "exp"], "verify_iat": False}
    try:
        claims: dict[str, Any] = jwt.decode(token, jwt_secret(), algorithms=["HS256"], options=options)
    except jwt.ExpiredSignatureError:
        raise _invalid_token(f"it has expired; {AGAIN}") from None
    except jwt.InvalidTokenError:
        raise _invalid_token(_diagnose_token(token)) from None
    if not all(isinstance(claims[name], str) and claims[name].isascii() for name in names) or type(claims["iat"]) is not int:
        raise _invalid_token(f"this service did not make it; {AGAIN}")
    return claims


def _authenticate_token(token: str) -> Caller:
    claims = _decode_token(token)
    row = fetch_one(
        "SELECT u.id, u.email, u.name, u.role_id, u.sessions_from, r.body FROM users u"
        " JOIN model_objects r ON r.tenant = u.tenant AND r.kind = u.role_kind AND r.id = u.role_id"
        " WHERE u.tenant = ? AND u.id = ?",
        *(claims["workspaceId"], claims["userId"]),
    )
    if row is None:
        raise _invalid_token(f"its user does not exist here; {AGAIN}")
    id, email, name, role_id, sessions_from, role = row
    if claims["iat"] < sessions_from:  # from before a new password, or of an earlier user with the same ids
        raise _invalid_token(f"its session has ended; {AGAIN}")
    if claims["exp"] > time.time() + SESSION_LASTS + CLOCK_STEP:  # otherwise it would outlast its 24 hours
        raise _invalid_token(f"it was made when the clock here was ahead; {AGAIN}")
    user = {"id": id, "email": email, "name": name, "roleId": role_id}
    return Caller(claims["workspaceId"], id, name, user=user, role=json.loads(role), sessions_from=sessions_from)


def authenticate(environ: dict[str, Any]) -> Caller:
    """Return who is calling; when a key and a token are sent, only the key counts. Raises ApiError 401."""
    raw_key = environ.get("HTTP_X_SIGMA_APIKEY")
    if raw_key is not None:
        return authenticate_key(raw_key)
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "bearer":
        raise unauthorized(f"Missing authentication: {what_to_send(environ)}")
    return _authenticate_token(token.strip())


def act_as(tenant: str, user_id: str) -> None:
    """Act in a workspace as one of its users, until the application context ends."""
    g.tenant, g.caller = tenant, Caller(tenant, user_id, user={"id": user_id}, role={})


@contextmanager
def acting_as(tenant: str, user_id: str) -> Iterator[None]:
    """Let the block act in a workspace as one of its users; the log still names the real caller."""
    with current_app.app_context():
        act_as(tenant, user_id)
        yield
