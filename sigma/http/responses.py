"""Responses of stored JSON text, which are sent as they are."""

import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

from sigma.http.errors import ApiError
from sigma.http.ready_response import ReadyResponse
from sigma.http.unsent import LARGE, hold_unsent

MAX_PAGE = 256 * 1024 * 1024  # bytes of the items of one page, which is made as a whole
NO_STORE = {"Cache-Control": "no-store"}  # on every answer with a secret in it


def _respond(text: bytes, before: bytes = b"", after: bytes = b"", status: int = 200) -> ReadyResponse:
    """Return a response of JSON text, which stands between others. Raises ApiError 503 for a large one when too many wait."""
    if len(text) > LARGE and (unsent := hold_unsent(before, text, after, b"\n")):
        headers = {"Content-Length": str(unsent.size)}
        return ReadyResponse(unsent, status, headers, content_type="application/json")
    return ReadyResponse.of(before, text, after, status=status)


def json_response(body: str | bytes, status: int = 200) -> ReadyResponse:
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


def json_list(bodies: Iterable[tuple[bytes]]) -> ReadyResponse:
    """Return a response with rows of one JSON text each, as bytes, as an array."""
    return _respond(join_texts(bodies), b"[", b"]")


def within_limit(bodies: Iterable[tuple[bytes]], limit: int) -> Iterator[tuple[bytes]]:
    """Yield the rows of a page of so many at most. Raises ApiError 400 when they have more text than one answer may."""
    size = 0
    for row in bodies:
        size += len(row[0])
        if size > MAX_PAGE:
            raise page_too_large(limit)
        yield row


def page_too_large(limit: int) -> ApiError:
    """Return the refusal of a page that would be too large."""
    return ApiError(400, f"limit: {limit} of these have more text than one answer may; ask for fewer")


def json_page(bodies: Iterable[tuple[bytes]], total: int, offset: int, limit: int) -> ReadyResponse:
    """Return a response with rows of one JSON text each, as bytes, as one page of a longer list."""
    numbers = f'],"total":{total},"offset":{offset},"limit":{limit}}}'.encode()
    return _respond(join_texts(bodies), b'{"items":[', numbers)
