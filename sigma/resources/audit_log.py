"""The audit log of records: what was done to each record and its variants, by whom and when."""

import itertools
from typing import Any

from flask import Response, g, request
from marshmallow import fields

from sigma.database import fetch_one, snapshot
from sigma.http.access import requires
from sigma.http.errors import not_found_error
from sigma.http.fields import Body, Items, described, dict_field, enum_field, id_field, string_field, timestamp_field
from sigma.http.paging import PAGE_PARAMETERS, page_bounds, page_of
from sigma.http.responses import TEXT_OR_SIZE, Change, Rows, json_page
from sigma.resources.entities import find_schema, record_exists
from sigma.resources.records import blueprint
from sigma.resources.role_limits import caller_levels, hides_attributes


class ChangeBody(Body):
    """One value that changed."""

    attribute = fields.String(required=True, metadata=described("Alias, or lifecycleStateId", "price"))
    scope = dict_field(
        "The value's scope: segment ids by dimension id",
        "Scope",
        fields.String(),
        required=True,
        example={"dim-market": "seg-dk"},
    )
    oldValue = fields.Raw(required=True, allow_none=True, metadata=described("The value before; null if there was none", 949))
    newValue = fields.Raw(required=True, allow_none=True, metadata=described("The value after; null if it was removed", 969))


class AuditEntryBody(Body):
    """One change to a record or variant."""

    id = id_field("The entry's id", example="audit-2f6c1d0b9a8e7453")
    entityId = string_field("Id of the record or variant", example="ent-coastal-wb")
    action = enum_field("What was done", ["create", "update", "delete", "transition"], "AuditAction", example="update")
    userId = string_field("Id of the user or API key that did it", example="apikey-sync-prod")
    timestamp = timestamp_field("When it was done")
    changes = Items(fields.Nested(ChangeBody), "The values that it changed", required=True)


def _count_current_entries(id: str) -> int:
    """Return how many entries of an id's history belong to the record that has the id now, rather than to deleted ones."""
    sql = (
        "SELECT count(*) FROM audit_log WHERE tenant = ? AND record_id = ? AND seq >="
        " (SELECT max(seq) FROM audit_log WHERE tenant = ? AND record_id = ?"
        " AND json_extract(body, '$.action') = 'create' AND json_extract(body, '$.entityId') = record_id)"
    )
    count: int = fetch_one(sql, g.tenant, id, g.tenant, id)[0] if record_exists(id) else 0
    return count


def _visible_part(id: str, offset: int) -> Change:
    """Return a function that leaves out what the caller's role hides, for one entry of an id's history after another.

    They come newest first; the offset is the position of the first of them in the whole history. The schema of a deleted
    record is not known any more, so what the role hides in any schema is hidden in its entries.
    """
    current, levels, earlier_levels = _count_current_entries(id), caller_levels(find_schema(id)), caller_levels(None)
    positions = itertools.count(offset)

    def leave_out(entry: dict[str, Any]) -> dict[str, Any]:
        shows = (levels if next(positions) < current else earlier_levels).shows
        if entry["action"] != "transition":
            entry["changes"] = [change for change in entry["changes"] if shows(change["attribute"])]
        return entry

    return leave_out


@blueprint.get("/records/<id>/audit-log")
@requires("read")
@blueprint.doc(parameters=PAGE_PARAMETERS)
@blueprint.ready_response(200, page_of(AuditEntryBody))
def list_record_changes(id: str) -> Response:
    """List what was done to a record and its variants, page by page, newest first; also after the record is deleted."""
    offset, limit = page_bounds(request.args)
    sql = f"SELECT {TEXT_OR_SIZE} FROM audit_log WHERE tenant = ? AND record_id = ? ORDER BY seq DESC LIMIT ? OFFSET ?"  # noqa: S608
    with snapshot():
        (total,) = fetch_one("SELECT count(*) FROM audit_log WHERE tenant = ? AND record_id = ?", g.tenant, id)
        if not total:
            raise not_found_error("record", id)
        change = _visible_part(id, offset) if hides_attributes() else None
        return json_page(Rows(sql, (g.tenant, id, limit, offset)), total, offset, limit, change)
