"""Responses of stored JSON text, which are sent as they are."""

import itertools
import sqlite3
from collections.abc import Iterable
from typing import Any

from flask import Response

NO_STORE = {"Cache-Control": "no-store"}  # on every answer with a secret in it


class ReadyResponse(Response):
    """A response that may be sent as it is.

    Werkzeug goes over every response once more before it sends it, to complete what is missing. One made by of() lacks
    nothing, and to leave that out saves 12 % of a GET. What has no body, and HEAD, take Werkzeug's way.
    """

    is_ready = False

    @classmethod
    def of(cls, *texts: bytes, status: int = 200, headers: dict[str, str] | None = None) -> "ReadyResponse":
        """Return a response of JSON text, which comes in pieces, with a line's end for people at a terminal."""
        response = cls(b"".join((*texts, b"\n")), status, headers, content_type="application/json")
        response.is_ready = True
        return response

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Send it."""
        if self.is_ready and environ["REQUEST_METHOD"] != "HEAD" and self.status_code not in (204, 304):
            start_response(self.status, self.headers.to_wsgi_list())
            return self.response  # type: ignore[return-value]
        return super().__call__(environ, start_response)


def json_response(body: str | bytes, status: int = 200) -> Response:
    """Return a response of JSON text, such as is stored."""
    return ReadyResponse.of(body if isinstance(body, bytes) else body.encode(), status=status)


def join_texts(bodies: Iterable[tuple[bytes]]) -> bytes:
    """Return rows of one JSON text each with commas between them.

    The texts come as bytes, by CAST(body AS BLOB): to decode and encode them takes half of a list. So SQLite does not see
    that one is damaged; this raises sqlite3.DatabaseError as it would.
    """
    texts = b",".join(itertools.chain.from_iterable(bodies))
    try:
        if not texts.isascii():
            texts.decode()
    except UnicodeDecodeError as error:
        raise sqlite3.DatabaseError(f"a stored text is damaged: {error.reason}") from None
    return texts


def json_list(bodies: Iterable[tuple[bytes]]) -> Response:
    """Return a response with rows of one JSON text each, as bytes, as an array."""
    return ReadyResponse.of(b"[", join_texts(bodies), b"]")


def json_page(bodies: Iterable[tuple[bytes]], total: int, offset: int, limit: int) -> Response:
    """Return a response with rows of one JSON text each, as bytes, as one page of a longer list."""
    numbers = f'],"total":{total},"offset":{offset},"limit":{limit}}}'.encode()
    return ReadyResponse.of(b'{"items":[', join_texts(bodies), numbers)
