"""Responses of stored JSON text, which are sent as they are."""

import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

from flask import Response

from sigma.http.ready_response import ReadyResponse
from sigma.http.unsent import LARGE, hold_unsent

NO_STORE = {"Cache-Control": "no-store"}  # on every answer with a secret in it


def _respond(*texts: bytes, status: int = 200) -> Response:
    """Return a response of JSON text, which comes in pieces. Raises ApiError 503 when too much is held that nobody takes."""
    size = sum(map(len, texts)) + 1
    if size > LARGE and (unsent := hold_unsent((*texts, b"\n"), size)):
        headers = {"Content-Length": str(size)}
        return ReadyResponse(unsent, status, headers, content_type="application/json")
    return ReadyResponse.of(*texts, status=status)


def json_response(body: str | bytes, status: int = 200) -> Response:
    """Return a response of JSON text, such as is stored."""
    return _respond(body if isinstance(body, bytes) else body.encode(), status=status)


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


def parse_each(bodies: Iterable[tuple[bytes]]) -> Iterator[Any]:
    """Yield the values of rows of JSON texts, one after another: all of them at once may take ten times their texts.

    A row may have several texts, with commas between them.
    """
    decode, text, place = json.JSONDecoder().raw_decode, join_texts(bodies).decode(), 0
    while place < len(text):
        value, end = decode(text, place)
        yield value
        place = end + 1


def json_list(bodies: Iterable[tuple[bytes]]) -> Response:
    """Return a response with rows of one JSON text each, as bytes, as an array."""
    return _respond(b"[", join_texts(bodies), b"]")


def json_page(bodies: Iterable[tuple[bytes]], total: int, offset: int, limit: int) -> Response:
    """Return a response with rows of one JSON text each, as bytes, as one page of a longer list."""
    numbers = f'],"total":{total},"offset":{offset},"limit":{limit}}}'.encode()
    return _respond(b'{"items":[', join_texts(bodies), numbers)
