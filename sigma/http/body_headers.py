"""The headers that describe a request's body: if one is not true of it, the request is refused, and the header named."""

import base64
import binascii
import hashlib
from collections.abc import Callable
from typing import Any

from sigma.http.errors import ApiError
from sigma.http.strict_json import format_value

Check = Callable[
    [str, bytes], str | None
]  # takes a header's value and the body; returns what was expected, or None if all is well

DIGESTS = {"md5": "md5", "sha": "sha1", "sha-256": "sha256", "sha-512": "sha512"}  # RFC 3230's and 9530's names, and hashlib's


def _only(expected: str, *values: str) -> Check:
    """Return the check of a header that may list only these values."""
    return lambda value, _: None if all(item.strip().lower() in values for item in value.split(",")) else expected


def _has_digest(algorithm: str, text: str, data: bytes) -> bool:
    try:
        digest = base64.b64decode(text.strip().strip(":"), validate=True)
    except (binascii.Error, ValueError):
        return False
    return digest == hashlib.new(DIGESTS[algorithm], data, usedforsecurity=False).digest()


def _check_md5(value: str, data: bytes) -> str | None:
    return None if _has_digest("md5", value, data) else "the MD5 of the body, in Base64"


def _check_digest(value: str, data: bytes) -> str | None:
    digests = [digest.strip().partition("=") for digest in value.split(",")]
    known = {name.lower(): digest for name, _, digest in digests if name.lower() in DIGESTS}
    if known and all(_has_digest(name, digest, data) for name, digest in known.items()):
        return None
    return "digests of the body, in Base64, by md5, sha, sha-256 or sha-512"


HEADERS: dict[str, tuple[int, Check]] = {  # the status of the refusal, and the check
    "Content-Encoding": (415, _only("the body as it is, not compressed", "", "identity")),
    "Transfer-Encoding": (415, _only("only chunked", "", "chunked", "identity")),
    "Content-Transfer-Encoding": (415, _only("the body as it is", "", "7bit", "8bit", "binary")),
    "Content-Range": (400, _only("none, because a body is always sent whole", "")),
    "Expect": (400, _only("only 100-continue", "", "100-continue")),
    "Content-MD5": (400, _check_md5),
    "Digest": (400, _check_digest),
    "Content-Digest": (400, _check_digest),
    "Repr-Digest": (400, _check_digest),
}
VARIABLES = {name: f"HTTP_{name.upper().replace('-', '_')}" for name in HEADERS}  # in the WSGI environ


def _check_content_type(asked: Any, data: bytes) -> None:
    if asked.environ.get("CONTENT_TYPE") == "application/json":  # the usual one need not be taken apart
        return
    if not asked.is_json and (data or asked.mimetype):
        raise ApiError(415, f"Content-Type: expected application/json, got '{asked.mimetype or 'nothing'}'")
    charset = asked.mimetype_params.get("charset", "utf-8")
    if charset.lower() not in ("utf-8", "utf8"):
        raise ApiError(415, f"Content-Type: expected the charset utf-8, got {format_value(charset)}")


def check_body_headers(asked: Any, data: bytes) -> None:
    """Raise ApiError 400 or 415 for a header that is not true of the body, or asks for what is not supported."""
    _check_content_type(asked, data)
    for name, (status, check) in HEADERS.items():
        value = asked.environ.get(VARIABLES[name])
        if value is not None and (expected := check(value, data)):
            headers = {"Accept-Encoding": "identity"} if name == "Content-Encoding" else None  # RFC 9110, section 15.5.16
            raise ApiError(status, f"{name}: expected {expected}, got {format_value(value)}", headers=headers)
