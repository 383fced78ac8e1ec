"""What records and variants share: how they are stored, found and listed."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from flask import Response, g, request

from sigma.database import execute, fetch_one, snapshot
from sigma.http.errors import get_or_404, not_found_error
from sigma.http.paging import page_bounds
from sigma.http.responses import json_page
from sigma.http.strict_json import to_json


class Entity(NamedTuple):
    """A record or a variant as it is stored."""

    schema_id: str
    state_id: str | None  # a variant's is its record's
    text: str
    body: dict[str, Any]


def record_exists(id: str) -> bool:
    """Return whether the workspace has this record."""
    return fetch_one("SELECT 1 FROM entities WHERE tenant = ? AND id = ? AND is_variant = 0", g.tenant, id) is not None


def any_record_exists(ids: Iterable[str]) -> bool:
    """Return whether the workspace has at least one of these records."""
    sql = "SELECT 1 FROM entities WHERE tenant = ? AND id IN (SELECT value FROM json_each(?)) AND is_variant = 0 LIMIT 1"
    return fetch_one(sql, g.tenant, to_json(list(ids))) is not None


def require_record(id: str) -> None:
    """Raise ApiError 404 unless the workspace has this record."""
    if not record_exists(id):
        raise not_found_error("record", id)


def load_record(id: str) -> Entity:
    """Return a record. Raises ApiError 404."""
    sql = "SELECT schema_id, state_id, body FROM entities WHERE tenant = ? AND id = ? AND is_variant = 0"
    schema_id, state_id, text = get_or_404(fetch_one(sql, g.tenant, id), "record", id)
    return Entity(schema_id, state_id, text, json.loads(text))


def list_entities(is_variant: int) -> Response:
    """Return one page of the records, or of the variants, that the query string asks for, newest last."""
    query = request.args
    offset, limit = page_bounds(query)
    filters, parameters = " AND is_variant = " + ("1" if is_variant else "0"), [g.tenant]
    for column, name in [("schema_id", "schemaId")] + ([] if is_variant else [("state_id", "lifecycleStateId")]):
        if name in query:
            filters += f" AND {column} = ? AND {column} <> ''"  # '' stands for no state in entity_counts
            parameters.append(query[name])
    counts = f"SELECT ifnull(sum(total), 0) FROM entity_counts WHERE tenant = ?{filters}"  # noqa: S608 (constants only)
    # The inner query walks an index alone to where the page begins, so that no body before it is read.
    page = (
        f"SELECT CAST(body AS BLOB) FROM entities WHERE tenant = ?{filters}"  # noqa: S608 (constants only)
        f" AND seq >= (SELECT seq FROM entities WHERE tenant = ?{filters} ORDER BY seq LIMIT 1 OFFSET ?) ORDER BY seq LIMIT ?"
    )
    with snapshot():
        (total,) = fetch_one(counts, *parameters)
        return json_page(execute(page, *parameters, *parameters, offset, limit), total, offset, limit)
