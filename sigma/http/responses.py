"""Responses made of stored JSON text, which is sent as it is."""

import itertools
import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

from flask import request

from sigma.database import execute
from sigma.http.errors import ApiError
from sigma.http.ready_response import ReadyResponse
from sigma.http.strict_json import to_json
from sigma.http.unsent import LARGE, UnsentText, hold_unsent
from sigma.http.waiting import leave_worker, one_by_one

MAX_PAGE = 256 * 1024 * 1024  # bytes of the items on one page, which is made in memory
NO_STORE = {"Cache-Control": "no-store"}  # where no credential is needed; other routes have it anyway

# Bytes of stored text of which a response is made in a thread of its own: on the worker's one thread, more would hold up all
# others for more than some 30 ms. Reading a megabyte takes up to 1 ms, and with parsing it 10 to 30 ms.
APART, APART_IF_CHANGED = 16 * 1024 * 1024, 1024 * 1024

# The one column of a query of Rows. The texts come as bytes, because decoding and encoding takes half the time of a list.
TEXT_OR_SIZE = "iif(?, length(CAST(body AS BLOB)), CAST(body AS BLOB))"

Change = Callable[[Any], Any]  # takes the value of a stored text, and returns what is sent of it


class Rows(NamedTuple):
    """A query of JSON texts, one in each row, which can tell how large they are before they are read."""

    sql: str  # SELECT {TEXT_OR_SIZE} FROM …
    parameters: tuple[Any, ...]

    def texts(self) -> sqlite3.Cursor:
        """Return the texts."""
        return execute(self.sql, False, *self.parameters)

    def sizes(self) -> sqlite3.Cursor:
        """Return how many bytes each text has."""
        return execute(self.sql, True, *self.parameters)


def _send(unsent: UnsentText, status: int = 200) -> ReadyResponse:
    headers = {"Content-Length": str(unsent.size)}
    return ReadyResponse(unsent, status, headers, content_type="application/json")


def json_response(body: str | bytes, status: int = 200) -> ReadyResponse:
    """Return a response of one JSON text. Raises ApiError 503 for a large one when too many wait."""
    text = body if isinstance(body, bytes) else body.encode()
    if len(text) > LARGE and request.method != "HEAD" and (unsent := hold_unsent(len(text) + 1)):
        unsent.fill((text, b"\n"))
        return _send(unsent, status)
    return ReadyResponse.of(text, status=status)


def join_texts(texts: Iterable[bytes]) -> bytes:
    """Return JSON texts joined by commas.

    SQLite does not notice a damaged text that comes as bytes: so this checks, and raises sqlite3.DatabaseError as it would.
    """
    joined = b",".join(texts)
    try:
        if not joined.isascii():
            joined.decode()
    except UnicodeDecodeError as error:
        raise sqlite3.DatabaseError(f"a stored text is damaged: {error.reason}") from None
    return joined


def _changed(texts: bytes, change: Change) -> Iterator[bytes]:
    """Yield the texts of changed values, given the texts of the values, joined by commas.

    Only one is parsed at a time: values may take ten times the memory of their texts.
    """
    decode, text, place = json.JSONDecoder().raw_decode, texts.decode(), 0
    while place < len(text):
        value, end = decode(text, place)
        yield to_json(change(value)).encode()
        place = end + 1


def _changed_one_by_one(texts: Iterable[bytes], change: Change) -> Iterator[bytes]:
    for text in texts:
        with one_by_one():
            changed = b"".join(_changed(join_texts((text,)), change))
        yield changed


def _join_in_parts(texts: Iterable[bytes]) -> Iterator[bytes]:
    part, size = list[bytes](), 0
    for text in texts:
        part.append(text)
        size += len(text)
        if size > LARGE:
            yield join_texts(part)
            part, size = [b""], 0  # so that the next part begins with a comma
    if size:
        yield join_texts(part)


def _measure(rows: Rows, limit: int | None, apart: float) -> int:
    """Return how many bytes a response needs for its rows, or leave the worker if they are too many for its one thread.

    Raises ApiError 400 if they are too many for a page with this limit.
    """
    size = commas = 0
    with one_by_one(), closing(rows.sizes()) as sizes:
        for (length,) in sizes:
            size, commas = size + length, commas + 1
            if limit is not None and size > MAX_PAGE:
                raise page_too_large(limit)
            if size > apart:
                leave_worker()
                apart = math.inf
    return size + commas


def _respond(rows: Rows, before: bytes, after: bytes, limit: int | None, change: Change | None) -> ReadyResponse:
    """Return a response of the texts of rows between two others.

    A large one takes its place among those that wait for their clients before it is made, and is made in parts. Raises
    ApiError 400 for a page with this limit that is too large, and 503 when too many wait.
    """
    read, size = list[bytes](), 0
    with closing(rows.texts()) as found:
        for (text,) in found:
            read.append(text)
            size += len(text)
            if size > LARGE:  # while this query is open, the next one reads the same state of the database
                size = _measure(rows, limit, APART_IF_CHANGED if change else APART)
                unsent = hold_unsent(len(before) + size + len(after))
                texts = itertools.chain(read, (text for (text,) in found))
                parts = _join_in_parts(_changed_one_by_one(texts, change) if change else texts)
                return _send_parts([before, *parts, after], unsent)
    return _respond_joined(join_texts(read), before, after, change)


def _respond_joined(texts: bytes, before: bytes, after: bytes, change: Change | None) -> ReadyResponse:
    return ReadyResponse.of(before, b",".join(_changed(texts, change)) if change else texts, after)


def _send_parts(parts: list[bytes], unsent: UnsentText | None) -> ReadyResponse:
    if unsent is None:
        return ReadyResponse.of(*parts)
    parts[-1] += b"\n"
    unsent.fill(parts)
    response = _send(unsent)
    if request.method == "HEAD":
        unsent.close()
    return response


def json_list(rows: Rows, change: Change | None = None) -> ReadyResponse:
    """Return a response with an array of JSON texts. Raises ApiError 503."""
    return _respond(rows, b"[", b"]", None, change)


def page_too_large(limit: int) -> ApiError:
    """Return the error for a page whose text would be too large."""
    return ApiError(400, f"limit: {limit} of these are too large for one response; ask for fewer")


def _page_ends(total: int, offset: int, limit: int) -> tuple[bytes, bytes]:
    return b'{"items":[', f'],"total":{total},"offset":{offset},"limit":{limit}}}'.encode()


def json_page(rows: Rows, total: int, offset: int, limit: int, change: Change | None = None) -> ReadyResponse:
    """Return a response with one page of a longer list of JSON texts. Raises ApiError 400 when it is too large, and 503."""
    return _respond(rows, *_page_ends(total, offset, limit), limit, change)


def joined_page(texts: bytes | None, total: int, offset: int, limit: int, change: Change | None = None) -> ReadyResponse:
    """Return a response with one page, which is not large, given its JSON texts joined by commas."""
    return _respond_joined(join_texts((texts or b"",)), *_page_ends(total, offset, limit), change)
