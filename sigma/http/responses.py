"""Answers that are ready to be sent."""

import itertools
import sqlite3
from collections.abc import Iterable
from typing import Any

from flask import Response

NO_STORE = {"Cache-Control": "no-store"}  # on every answer with a secret in it


class ReadyResponse(Response):
    """A response that may be ready to be sent as it is.

    Werkzeug goes over every response once more before it is sent, to complete what is missing. An answer() lacks
    nothing, and leaving that out saves a tenth of a request; what has no body, or none for HEAD, takes the usual way.
    """

    is_ready = False

    @classmethod
    def of(cls, body: bytes, status: int, headers: dict[str, str] | None = None) -> "ReadyResponse":
        """Make one that is ready, of JSON text, to which it adds a line's end for people at a terminal."""
        response = cls(body + b"\n", status, headers, content_type="application/json")
        response.is_ready = True
        return response

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Send it."""
        if self.is_ready and environ["REQUEST_METHOD"] != "HEAD" and self.status_code not in (204, 304):
            start_response(self.status, self.headers.to_wsgi_list())
            return self.response  # type: ignore[return-value]
        return super().__call__(environ, start_response)


def json_response(body: str | bytes, status: int = 200) -> Response:
    """Return JSON text, such as is stored."""
    return ReadyResponse.of(body if isinstance(body, bytes) else body.encode(), status)


def join_texts(bodies: Iterable[tuple[bytes]]) -> bytes:
    """Return rows of one stored JSON text each with commas between them.

    The texts come as bytes, by CAST(body AS BLOB): to decode them only to encode them again takes half of a list. What
    SQLite would have said of texts that are damaged is said here. Raises sqlite3.DatabaseError.
    """
    texts = b",".join(itertools.chain.from_iterable(bodies))
    try:
        if not texts.isascii():
            texts.decode()
    except UnicodeDecodeError as error:
        raise sqlite3.DatabaseError(f"a stored text is damaged: {error.reason}") from None
    return texts


def json_list(bodies: Iterable[tuple[bytes]]) -> Response:
    """Return rows of one stored JSON text each, as bytes, as an array."""
    return json_response(b"[" + join_texts(bodies) + b"]")


def json_page(bodies: Iterable[tuple[bytes]], total: int, offset: int, limit: int) -> Response:
    """Return rows of one stored JSON text each, as bytes, as one page of a longer list."""
    numbers = f'"total":{total},"offset":{offset},"limit":{limit}'.encode()
    return json_response(b'{"items":[' + join_texts(bodies) + b"]," + numbers + b"}")
