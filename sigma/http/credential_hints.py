"""Hints for a 401: where a misplaced credential was found, and where it belongs, without repeating the credential."""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

KEY, TOKEN = "API key", "session token"
SENT_AS = {KEY: "X-Sigma-ApiKey: <key>", TOKEN: "Authorization: Bearer <token>"}
BOTH_WAYS = f"send {SENT_AS[KEY]}, or {SENT_AS[TOKEN]}"
SIGN_IN = f"sign in at /api/v1/auth/login and send {SENT_AS[TOKEN]}, because no API key may call this route"
JWT = re.compile(r"eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")

HEADERS = {  # where other services expect a credential, and of which kind
    **dict.fromkeys(("X-Api-Key", "X-ApiKey", "Api-Key", "ApiKey", "X-Sigma-Api-Key", "X-Sigma-Key", "Sigma-ApiKey"), KEY),
    **dict.fromkeys(("X-Auth-Token", "X-Access-Token", "Token"), TOKEN),
}
QUERY_NAMES = {  # the same for query parameters, in lower case, without - and _
    **dict.fromkeys(("apikey", "key", "xapikey", "sigmaapikey", "xsigmaapikey"), KEY),
    **dict.fromkeys(("token", "accesstoken", "authtoken", "authorization", "bearer", "jwt"), TOKEN),
}


def kind_of(text: str) -> str | None:
    """Return the kind of credential that a text seems to contain; None if it seems to contain none."""
    if "sigma_sk_" in text.lower():
        return KEY
    return TOKEN if JWT.search(text) else None


def other_kind(text: str, kind: str) -> str | None:
    """Return the hint that a text sent as one kind of credential looks like the other, and where that belongs, or None."""
    found = kind_of(text)
    return None if found in (None, kind) else f"it looks like {_with_place(found)}"


def _with_place(kind: str) -> str:
    return f"{'an' if kind == KEY else 'a'} {kind}, which is sent as {SENT_AS[kind]}"


def _authorization_text(value: str) -> str:
    """Return the contents of an Authorization header, decoded if its scheme is Basic."""
    scheme, _, rest = value.partition(" ")
    if scheme.lower() != "basic":
        return value
    try:
        return base64.b64decode(rest.strip(), validate=True).decode("latin-1")
    except (binascii.Error, ValueError):
        return ""


def _misplaced_credentials(environ: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if kind := kind_of(_authorization_text(environ.get("HTTP_AUTHORIZATION", ""))):
        yield "Authorization", kind
    for name, usual in HEADERS.items():
        if value := environ.get(f"HTTP_{name.upper().replace('-', '_')}"):
            yield name, kind_of(value) or usual
    for name, value in parse_qsl(environ.get("QUERY_STRING", "")):
        if kind := kind_of(value) or QUERY_NAMES.get(re.sub("[-_]", "", name.lower())):
            yield "The query string", kind


def what_to_send(environ: dict[str, Any]) -> str:
    """Return how to send a credential, for a caller that sent none in the right place."""
    for place, kind in _misplaced_credentials(environ):
        return f"{place} has what looks like {_with_place(kind)}"
    return BOTH_WAYS
