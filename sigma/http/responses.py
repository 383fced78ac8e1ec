"""Responses made of stored JSON text, which is sent as it is."""

import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

from sigma.http.errors import ApiError
from sigma.http.ready_response import ReadyResponse
from sigma.http.unsent import LARGE, hold_unsent

MAX_PAGE = 256 * 1024 * 1024  # bytes of the items on one page, which is built in memory
NO_STORE = {"Cache-Control": "no-store"}  # for every response that contains a secret


def _respond(text: bytes, before: bytes = b"", after: bytes = b"", status: int = 200) -> ReadyResponse:
    """Return a response of a JSON text between two others. Raises ApiError 503 for a large one when too many wait."""
    if len(text) > LARGE and (unsent := hold_unsent(before, text, after, b"\n")):
        headers = {"Content-Length": str(unsent.size)}
        return ReadyResponse(unsent, status, headers, content_type="application/json")
    return ReadyResponse.of(before, text, after, status=status)


def json_response(body: str | bytes, status: int = 200) -> ReadyResponse:
    """Return a response of one JSON text."""
    return _respond(body if isinstance(body, bytes) else body.encode(), status=status)


def join_texts(bodies: Iterable[tuple[bytes]]) -> bytes:
    """Return JSON texts, one in each row, joined by commas.

    The texts come as bytes, by CAST(body AS BLOB), because decoding and encoding takes half the time of a list. SQLite then
    does not notice a damaged text: so this checks, and raises sqlite3.DatabaseError as SQLite would.
    """
    texts = b",".join(itertools.chain.from_iterable(bodies))
    try:
        if not texts.isascii():
            texts.decode()
    except UnicodeDecodeError as error:
        raise sqlite3.DatabaseError(f"a stored text is damaged: {error.reason}") from None
    return texts


def parse_each(bodies: Iterable[tuple[bytes]]) -> Iterator[Any]:
    """Yield the values of JSON texts, one by one: all values together may take ten times the memory of their texts.

    A row may have several texts, separated by commas.
    """
    decode, text, place = json.JSONDecoder().raw_decode, join_texts(bodies).decode(), 0
    while place < len(text):
        value, end = decode(text, place)
        yield value
        place = end + 1


def json_list(bodies: Iterable[tuple[bytes]]) -> ReadyResponse:
    """Return a response with an array of JSON texts, which come as bytes, one in each row."""
    return _respond(join_texts(bodies), b"[", b"]")


def within_limit(bodies: Iterable[tuple[bytes]], limit: int) -> Iterator[tuple[bytes]]:
    """Yield the rows of a page with this limit. Raises ApiError 400 when their text is too large for one response."""
    size = 0
    for row in bodies:
        size += len(row[0])
        if size > MAX_PAGE:
            raise page_too_large(limit)
        yield row


def page_too_large(limit: int) -> ApiError:
    """Return the error for a page whose text would be too large."""
    return ApiError(400, f"limit: {limit} of these are too large for one response; ask for fewer")


def json_page(bodies: Iterable[tuple[bytes]], total: int, offset: int, limit: int) -> ReadyResponse:
    """Return a response with one page of a longer list of JSON texts, which come as bytes, one in each row."""
    end = f'],"total":{total},"offset":{offset},"limit":{limit}}}'.encode()
    return _respond(join_texts(bodies), b'{"items":[', end)
