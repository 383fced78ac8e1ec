"""What records and variants share: how they are stored, found, listed and sent.

Responses with records or variants are made here, without the values that the caller's role hides.
"""

import functools
import json
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from flask import Response, request

from sigma.context import context
from sigma.database import execute, fetch_one, get_db, snapshot
from sigma.http.errors import get_or_404, not_found_error
from sigma.http.paging import PAGE_PARAMETERS, Parameter, page_bounds
from sigma.http.responses import MAX_PAGE, json_list, json_page, json_response, page_too_large, parse_each, within_limit
from sigma.http.strict_json import to_json
from sigma.resources.role_limits import caller_levels, hides_attributes

BUCKET_BITS = 12  # a bucket of entity_counts is `seq` without this many low bits; the triggers of schema.sql say the same
BUCKET_SIZE = 1 << BUCKET_BITS
MAX_SEQ = 2**63 - 1


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


def _visible_texts(bodies: Iterable[tuple[bytes]]) -> Iterable[tuple[bytes]]:
    return _reduced_texts(bodies) if hides_attributes() else bodies


def _reduced_texts(bodies: Iterable[tuple[bytes]]) -> Iterator[tuple[bytes]]:
    levels_of = functools.cache(caller_levels)
    for entity in parse_each(bodies):
        schema_id = entity["schemaId"] if "schemaId" in entity else find_schema(entity["id"])
        yield (to_json({**entity, "values": levels_of(schema_id).visible(entity["values"])}).encode(),)


def entity_response(text: str, status: int = 200) -> Response:
    """Return a response with a record or variant, given its stored text."""
    if hides_attributes():
        ((body,),) = _visible_texts([(text.encode(),)])
        return json_response(body, status)
    return json_response(text, status)


def entity_list(bodies: Iterable[tuple[bytes]]) -> Response:
    """Return a response with an array of records or variants, given rows of one stored text each."""
    return json_list(_visible_texts(bodies))


def entity_page(bodies: Iterable[tuple[bytes]], total: int, offset: int, limit: int) -> Response:
    """Return a response with one page of a list of records or variants, given rows of stored texts."""
    return json_page(_visible_texts(within_limit(bodies, limit)), total, offset, limit)


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
    page: str
    counts: str
    page_uncounted: str


@functools.cache
def _list_statements(is_variant: int, *filters: str) -> _ListStatements:
    kind = "is_variant = 1" if is_variant else "is_variant = 0"  # written out: some indexes hold records only
    conditions = " AND ".join(("", kind, *filters))
    # One statement, so that the total and the page show the same state. Joining the texts of 50 records in SQLite takes half as
    # long. The innermost query reads only an index on its way to where the page begins, and no bodies.
    page = (
        f"SELECT (SELECT ifnull(sum(total), 0) FROM entity_counts WHERE tenant = ?{conditions}),"  # noqa: S608 (constants only)
        " CAST(group_concat(body) AS BLOB)"
        f" FROM (SELECT body FROM entities WHERE tenant = ?{conditions}"
        f" AND seq >= (SELECT seq FROM entities WHERE tenant = ?{conditions} AND seq >= ? ORDER BY seq LIMIT 1 OFFSET ?)"
        " ORDER BY seq LIMIT ?)"
    )
    counts = f"SELECT bucket, sum(total) FROM entity_counts WHERE tenant = ?{conditions} GROUP BY bucket ORDER BY bucket"  # noqa: S608
    page_uncounted = (
        f"WITH met AS MATERIALIZED (SELECT seq FROM entities WHERE tenant = ?{conditions})"  # noqa: S608
        " SELECT (SELECT count(*) FROM met), CAST(group_concat(body) AS BLOB)"
        " FROM (SELECT body FROM entities WHERE tenant = ? AND seq IN (SELECT seq FROM met ORDER BY seq LIMIT ? OFFSET ?)"
        " ORDER BY seq)"
    )
    return _ListStatements(page, counts, page_uncounted)


def _find_start(offset: int, counts: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Return the first `seq` of the bucket in which a page begins, and how many rows to skip from there.

    `counts` has each bucket with its number of rows, in order. Skipping whole buckets makes all pages take about as long.
    """
    for bucket, count in counts:
        if offset < count:
            return bucket << BUCKET_BITS, offset
        offset -= count
    return MAX_SEQ, 0


def list_entities(is_variant: int, filters: Iterable[ListFilter]) -> Response:
    """Return one page of the records, or of the variants, that the query string asks for, newest last. Raises ApiError 400."""
    query = request.args
    offset, limit = page_bounds(query)
    asked = [(wanted, text) for wanted in filters if (text := wanted.parameter.read(query)) is not None]
    statements = _list_statements(is_variant, *(wanted.condition for wanted, _ in asked))
    arguments = [context().tenant, *(text for _, text in asked)]
    db = get_db()
    limit_before = db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_PAGE)
    try:
        if not all(wanted.is_counted for wanted, _ in asked):
            total, texts = fetch_one(statements.page_uncounted, *arguments, context().tenant, limit, offset)
        elif offset < BUCKET_SIZE:
            total, texts = fetch_one(statements.page, *arguments, *arguments, *arguments, 0, offset, limit)
        else:
            with snapshot():
                first, skipped = _find_start(offset, execute(statements.counts, *arguments))
                total, texts = fetch_one(statements.page, *arguments, *arguments, *arguments, first, skipped, limit)
    except sqlite3.DataError:
        raise page_too_large(limit) from None
    finally:
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limit_before)
    return entity_page([(texts,)] if texts else [], total, offset, limit)
