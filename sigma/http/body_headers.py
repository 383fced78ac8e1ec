"""What the headers of a request say of its body: it is so, or the request is refused by the name of the header."""

import base64
import binascii
import hashlib
from collections.abc import Callable
from typing import Any

from sigma.http.errors import ApiError
from sigma.http.strict_json import format_value

Expectation = Callable[[str, bytes], str | None]  # of a header, and of the body: what is expected in place of it, or None

DIGESTS = {"md5": "md5", "sha": "sha1", "sha-256": "sha256", "sha-512": "sha512"}  # RFC 3230 and 9530, by Python's names


def _one_of(expected: str, *values: str) -> Expectation:
    """Return the expectation of a header that lists no other values than these."""
    return lambda value, _: None if all(one.strip().lower() in values for one in value.split(",")) else expected


def _has_digest(algorithm: str, text: str, data: bytes) -> bool:
    try:
        digest = base64.b64decode(text.strip().strip(":"), validate=True)
    except (binascii.Error, ValueError):
        return False
    return digest == hashlib.new(DIGESTS[algorithm], data, usedforsecurity=False).digest()


def _md5_problem(value: str, data: bytes) -> str | None:
    return None if _has_digest("md5", value, data) else "the MD5 of the body, in Base64"


def _digest_problem(value: str, data: bytes) -> str | None:
    digests = [digest.strip().partition("=") for digest in value.split(",")]
    known = {name.lower(): digest for name, _, digest in digests if name.lower() in DIGESTS}
    if known and all(_has_digest(name, digest, data) for name, digest in known.items()):
        return None
    return "digests of the body, in Base64, by md5, sha, sha-256 or sha-512"


HEADERS: dict[str, tuple[int, Expectation]] = {  # with what status a request is refused that does not meet the expectation
    "Content-Encoding": (415, _one_of("the body as it is, not compressed", "", "identity")),
    "Transfer-Encoding": (415, _one_of("no other than chunked", "", "chunked", "identity")),
    "Content-Transfer-Encoding": (415, _one_of("the body as it is", "", "7bit", "8bit", "binary")),
    "Content-Range": (400, _one_of("none, because a body is always whole", "")),
    "Expect": (400, _one_of("no other than 100-continue", "", "100-continue")),
    "Content-MD5": (400, _md5_problem),
    "Digest": (400, _digest_problem),
    "Content-Digest": (400, _digest_problem),
    "Repr-Digest": (400, _digest_problem),
}
VARIABLES = {name: f"HTTP_{name.upper().replace('-', '_')}" for name in HEADERS}  # of WSGI


def _check_content_type(asked: Any, data: bytes) -> None:
    if not asked.is_json and (data or asked.mimetype):
        raise ApiError(415, f"Content-Type: expected application/json, got '{asked.mimetype or 'nothing'}'")
    charset = asked.mimetype_params.get("charset", "utf-8")
    if charset.lower() not in ("utf-8", "utf8"):
        raise ApiError(415, f"Content-Type: expected the charset utf-8, got {format_value(charset)}")


def check_body_headers(asked: Any, data: bytes) -> None:
    """Raise ApiError 400 or 415 for a header that says of the body what is not so, or what cannot be honoured."""
    _check_content_type(asked, data)
    for name, (status, problem_of) in HEADERS.items():
        value = asked.environ.get(VARIABLES[name])
        if value is not None and (expected := problem_of(value, data)):
            headers = {"Accept-Encoding": "identity"} if name == "Content-Encoding" else None  # RFC 9110, section 15.5.16
            raise ApiError(status, f"{name}: expected {expected}, got {format_value(value)}", headers=headers)
