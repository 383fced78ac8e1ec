"""What records and variants share: how they are stored, found, listed and sent.

Responses with records or variants are made here, without the values that the caller's role hides.
"""

import functools
import itertools
import json
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any, NamedTuple

from flask import Response, request

from sigma.context import context
from sigma.database import execute, fetch_one, get_db, snapshot
from sigma.http.errors import get_or_404, not_found_error
from sigma.http.paging import PAGE_PARAMETERS, Parameter, page_bounds
from sigma.http.responses import (
    APART_IF_CHANGED,
    TEXT_OR_SIZE,
    Change,
    Rows,
    joined_page,
    json_list,
    json_page,
    json_response,
)
from sigma.http.strict_json import to_json
from sigma.http.unsent import LARGE
from sigma.http.waiting import leave_worker
from sigma.resources.role_limits import caller_levels, hides_attributes

BUCKET_BITS = 12  # a bucket of entity_counts is `seq` without this many low bits; the triggers of schema.sql say the same
BUCKET_SIZE = 1 << BUCKET_BITS
MAX_SEQ = 2**63 - 1
MANY = 1000  # records and variants: going through more of them, or of more bytes than APART_IF_CHANGED, may take long
MAX_JOINED = 200  # records: of more, reading each on its own takes no longer than joining their texts in SQLite


class Entity(NamedTuple):
    """A record or a variant as it is stored."""

    schema_id: str
    state_id: str | None  # a variant has its record's
    text: str
    body: dict[str, Any]


def record_exists(id: str) -> bool:
    """Return whether the workspace has this record."""
    return fetch_one("SELECT 1 FROM entities WHERE tenant = ? AND id = ? AND is_variant = 0", context().tenant, id) is not None


def any_record_exists(ids: Iterable[str]) -> bool:
    """Return whether the workspace has at least one of these records."""
    # The + keeps SQLite from entities_variant_idx, through which it would read all records.
    sql = "SELECT 1 FROM entities WHERE tenant = ? AND id IN (SELECT value FROM json_each(?)) AND +is_variant = 0 LIMIT 1"
    return fetch_one(sql, context().tenant, to_json(list(ids))) is not None


def are_many(sql: str, *parameters: Any) -> bool:
    """Return whether records and variants are so many or so large that going through them may take long.

    Takes a query of their sizes in bytes.
    """
    with closing(execute(sql, *parameters)) as sizes:
        totals = enumerate(itertools.accumulate(size for (size,) in sizes), 1)
        return any(number > MANY or total > APART_IF_CHANGED for number, total in totals)


def holds_much() -> bool:
    """Return whether the workspace has so many or such large records and variants that going through all may take long."""
    return are_many("SELECT length(CAST(body AS BLOB)) FROM entities WHERE tenant = ?", context().tenant)


def require_record(id: str) -> None:
    """Raise ApiError 404 unless the workspace has this record."""
    if not record_exists(id):
        raise not_found_error("record", id)


def load_record(id: str) -> Entity:
    """Return a record. Raises ApiError 404."""
    sql = "SELECT schema_id, state_id, body FROM entities WHERE tenant = ? AND id = ? AND is_variant = 0"
    schema_id, state_id, text = get_or_404(fetch_one(sql, context().tenant, id), "record", id)
    return Entity(schema_id, state_id, text, json.loads(text))


def find_schema(id: str) -> str | None:
    """Return the id of the schema of a record or variant, or None if there is none with this id."""
    row = fetch_one("SELECT schema_id FROM entities WHERE tenant = ? AND id = ?", context().tenant, id)
    return row and row[0]


def _visible_part() -> Change | None:
    """Return the function that leaves out the values that the caller's role hides; None if it hides none."""
    if not hides_attributes():
        return None
    levels_of = functools.cache(caller_levels)

    def leave_out(entity: dict[str, Any]) -> dict[str, Any]:
        schema_id = entity["schemaId"] if "schemaId" in entity else find_schema(entity["id"])
        return {**entity, "values": levels_of(schema_id).visible(entity["values"])}

    return leave_out


def entity_response(text: str, status: int = 200) -> Response:
    """Return a response with a record or variant, given its stored text."""
    if change := _visible_part():
        if len(text) > APART_IF_CHANGED and request.method == "GET":
            leave_worker()
        text = to_json(change(json.loads(text)))
    return json_response(text, status)


def entity_list(rows: Rows) -> Response:
    """Return a response with an array of records or variants. Raises ApiError 503."""
    return json_list(rows, _visible_part())


def entity_page(rows: Rows, total: int, offset: int, limit: int) -> Response:
    """Return a response with one page of a list of records or variants. Raises ApiError 400 or 503."""
    return json_page(rows, total, offset, limit, _visible_part())


class ListFilter(NamedTuple):
    """A query parameter that limits a list to the records or variants that meet a condition."""

    parameter: Parameter
    condition: str  # SQL on entities; its one ? takes the parameter's value
    # Whether entity_counts also has the columns of the condition. If not, each page goes through all records, which takes about
    # 6 ms per thousand; for many records, add an index on entities of the tenant and the columns that are compared.
    is_counted: bool = False


def list_parameters(filters: Iterable[ListFilter]) -> list[dict[str, Any]]:
    """Return the OpenAPI parameters of a list with these filters."""
    return [*(wanted.parameter.describe() for wanted in filters), *PAGE_PARAMETERS]


class _ListStatements(NamedTuple):
    page: str  # with the total
    counts: str
    joined: tuple[str, str]  # the texts of a page that begins after a `seq`, or before one
    rows: tuple[str, str]  # likewise
    places: str


@functools.cache
def _list_statements(is_variant: int, *filters: str) -> _ListStatements:
    kind = "is_variant = 1" if is_variant else "is_variant = 0"  # written out: some indexes hold records only
    conditions = " AND ".join(("", kind, *filters))
    # The innermost query reads only an index on its way to where the page begins, and no bodies.
    bodies_from, bodies_above = (
        f" FROM entities WHERE tenant = ?{conditions}"  # noqa: S608
        f" AND seq >= (SELECT seq FROM entities WHERE tenant = ?{conditions} AND {way} LIMIT 1 OFFSET ?) ORDER BY seq LIMIT ?"
        for way in ("seq >= ? ORDER BY seq", "seq < ? ORDER BY seq DESC")
    )
    # Joining the texts of 50 records in SQLite takes half as long.
    joined_from = f"SELECT CAST(group_concat(body) AS BLOB) FROM (SELECT body{bodies_from})"  # noqa: S608
    joined_above = f"SELECT CAST(group_concat(body) AS BLOB) FROM (SELECT body{bodies_above})"  # noqa: S608
    # One statement, so that the total and the page show the same state.
    page = f"SELECT (SELECT ifnull(sum(total), 0) FROM entity_counts WHERE tenant = ?{conditions}), ({joined_from})"  # noqa: S608
    counts = (
        f"SELECT (SELECT seq FROM entities WHERE tenant = ?{conditions} ORDER BY seq DESC LIMIT 1),"  # noqa: S608
        " ifnull(sum(total), 0), ifnull(sum(iif(bucket < ?, total, 0)), 0), ifnull(sum(iif(bucket = ?, total, 0)), 0)"
        f" FROM entity_counts WHERE tenant = ?{conditions}"
    )
    rows = f"SELECT {TEXT_OR_SIZE}{bodies_from}", f"SELECT {TEXT_OR_SIZE}{bodies_above}"
    places = f"SELECT seq FROM entities WHERE tenant = ?{conditions} ORDER BY seq"  # noqa: S608
    return _ListStatements(page, counts, (joined_from, joined_above), rows, places)


class _Counts(NamedTuple):
    last: int  # `seq`
    total: int
    below: int  # how many are in the buckets before one, and how many in that one
    inside: int


class _Start(NamedTuple):
    """Where a page begins: so many rows from a `seq` on, or back from there."""

    total: int
    seq: int
    skipped: int = 0
    is_above: bool = False


def _start_in(bucket: int, offset: int, counts: _Counts) -> _Start:
    """Return where a page begins that begins in a bucket: from that end of the bucket which is nearer."""
    first, skipped = bucket << BUCKET_BITS, offset - counts.below
    if counts.inside == BUCKET_SIZE:  # each `seq` of it
        return _Start(counts.total, first + skipped)
    rest = counts.inside - skipped
    return _Start(counts.total, first, skipped) if skipped < rest else _Start(counts.total, first + BUCKET_SIZE, rest - 1, True)


def _find_start(offset: int, counts_at: Callable[[int], _Counts]) -> _Start:
    """Return where a page begins.

    `counts_at` takes a bucket. Skipping whole buckets makes all pages take about as long. The first guess is where the page
    begins if all have a `seq` without gaps, and it begins no earlier. The next ones divide what is between two known places in
    the proportion of their counts; later every second one halves it, which always ends soon.
    """
    guess = low = offset  # a `seq` from which on the page begins: none is negative, so no fewer than `offset` are below it
    high = below_low = below_high = 0  # `high` is not known yet
    for number in itertools.count(1):
        bucket = guess >> BUCKET_BITS
        last, total, below, inside = counts = counts_at(bucket)
        if offset >= total:
            break
        if below <= offset < below + inside:
            return _start_in(bucket, offset, counts)
        if offset < below:
            high, below_high = bucket << BUCKET_BITS, below
        else:
            low, below_low = (bucket + 1) << BUCKET_BITS, below + inside
        if not high:
            high, below_high = last + 1, total
        share = (offset - below_low) / (below_high - below_low) if number < 4 or number % 2 else 0.5
        guess = low + int((high - low) * share)
    return _Start(total, MAX_SEQ)


def rows_of(places: Iterable[int]) -> Rows:
    """Return the rows of the records or variants with these `seq`, newest last."""
    sql = f"SELECT {TEXT_OR_SIZE} FROM entities WHERE tenant = ? AND seq IN (SELECT value FROM json_each(?)) ORDER BY seq"  # noqa: S608
    return Rows(sql, (context().tenant, to_json(list(places))))


def _locate(statements: _ListStatements, filled: list[str], offset: int) -> _Start:
    return _find_start(offset, lambda bucket: _Counts(*fetch_one(statements.counts, *filled, bucket, bucket, *filled)))


def _fetch_joined(statements: _ListStatements, filled: list[str], offset: int, limit: int) -> tuple[int, bytes | None] | None:
    """Return how many there are on all pages, and the texts of one page, joined by commas; None if it is large."""
    db = get_db()
    limit_before = db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGE)
    try:
        if offset < BUCKET_SIZE:
            page: tuple[int, bytes | None] = fetch_one(statements.page, *filled, *filled, *filled, 0, offset, limit)
            return page
        with snapshot():
            start = _locate(statements, filled, offset)
            sql = statements.joined[start.is_above]
            (texts,) = fetch_one(sql, *filled, *filled, start.seq, start.skipped, limit)
            return start.total, texts
    except sqlite3.DataError:
        return None
    finally:
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limit_before)


def _find_rows(statements: _ListStatements, filled: list[str], offset: int, limit: int) -> tuple[int, Rows]:
    start = _locate(statements, filled, offset)
    return start.total, Rows(statements.rows[start.is_above], (*filled, *filled, start.seq, start.skipped, limit))


def list_entities(is_variant: int, filters: Iterable[ListFilter]) -> Response:
    """Return one page of the records, or of the variants, that the query string asks for, newest last. Raises ApiError 400."""
    query = request.args.to_dict()  # where a parameter is missing, request.args itself is slow
    offset, limit = page_bounds(query)
    asked = [(wanted, text) for wanted in filters if (text := wanted.parameter.read(query)) is not None]
    statements = _list_statements(is_variant, *(wanted.condition for wanted, _ in asked))
    filled, is_counted = [context().tenant, *(text for _, text in asked)], all(wanted.is_counted for wanted, _ in asked)
    if limit <= MAX_JOINED and is_counted and (page := _fetch_joined(statements, filled, offset, limit)):
        total, texts = page
        return joined_page(texts, total, offset, limit, _visible_part())
    with snapshot():
        if is_counted:
            total, rows = _find_rows(statements, filled, offset, limit)
        else:
            places = [place for (place,) in execute(statements.places, *filled)]
            total, rows = len(places), rows_of(places[offset : offset + limit])
        return entity_page(rows, total, offset, limit)
