"""Export: records as the rows of a table, in JSON or CSV, sent in parts."""

import csv
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from sqlite3 import Cursor
from typing import Any, NamedTuple

from flask import Flask, Response, current_app, g, request

from sigma.context import confirm_caller, context
from sigma.database import execute, fetch_one, snapshot
from sigma.http.access import requires, role_advice
from sigma.http.errors import ApiError, not_found_error, raise_for_problems
from sigma.http.paging import query_parameter
from sigma.http.strict_json import format_value, parse_json, to_json
from sigma.http.waiting import leave_worker
from sigma.resources.cells import Cells, cells_of
from sigma.resources.dimensions import unknown_segments
from sigma.resources.role_limits import caller_levels, hidden_catalogs
from sigma.resources.rules import AttributeRules, schema_rules
from sigma.resources.transfer import ID, blueprint
from sigma.resources.values import ScopeKey

CONTENT_TYPES = {"json": "application/json", "csv": "text/csv; charset=utf-8"}  # by format

# Characters of one part, which its last row may exceed. The server keeps up to six parts for a client, so an export that is
# read slowly costs the worker about 2 MB.
PART_SIZE = 256 * 1024

# The end of an export that fails, or is broken off, after its first part: whatever is raised, the server ends the response as
# if it were whole. Its quotation mark is never closed, so the export is no valid JSON or strict CSV; lax CSV readers see a last
# row of one cell.
FAILED = b'"The export failed here; the log of the service says why'

MADE_AT = "SELECT created_at FROM workspaces WHERE id = ?"
LAST = "SELECT ifnull(max(seq), 0) FROM entities WHERE tenant = ? AND is_variant = 0"


class Echo:
    """A file whose write() returns the text."""

    def write(self, text: str) -> str:
        """Return the text."""
        return text


csv_line = csv.writer(Echo(), lineterminator="\r\n").writerow  # RFC 4180


class Column(NamedTuple):
    """The column of one attribute."""

    cells: Cells
    rank: Callable[[ScopeKey], tuple[Any, ...] | None]  # of a value's scope: the lowest is shown, None never

    def pick(self, values: dict[str, Any]) -> Any:
        """Return the value that the column shows of a record's values, or None."""
        shown, lowest = None, None
        for entry in values.get(self.cells.rules.alias, ()):
            rank = self.rank(tuple(entry["scope"].items()))
            if rank is not None and (lowest is None or rank < lowest):
                shown, lowest = entry["value"], rank
        return shown


class Part(NamedTuple):
    """A part of an export."""

    data: bytes
    last: int | None  # the `seq` of its last record if more may follow, else None
    rows: int


class Export(NamedTuple):
    """What to export, and how."""

    tenant: str
    format: str
    columns: dict[str, Column]  # by alias, in order
    aliases: dict[str, set[str]]  # of each schema's attributes, by schema id
    schema_id: str | None  # None: records of all schemas
    catalog_id: str | None  # None: records in any catalog or in none
    made_at: Any  # the row of MADE_AT
    end: int  # the `seq` of the workspace's last record when the export began; if that is deleted, a new one may get its `seq`

    def require_permitted(self) -> None:
        """Raise ApiError unless the workspace is that of the start, and the caller's role still shows all that is exported."""
        if fetch_one(MADE_AT, self.tenant) != self.made_at:  # it was deleted, and perhaps another made with its id
            raise not_found_error("workspace", self.tenant)
        levels = {id: caller_levels(id) for id in self.aliases}
        is_shown = all(levels[id].shows(alias) for id, aliases in self.aliases.items() for alias in aliases)
        if not is_shown or self.catalog_id in hidden_catalogs():
            role = context().caller.role_says("id")
            raise ApiError(403, f"Role '{role}' now hides some of what is exported; {role_advice(role)}")

    def records_after(self, last: int) -> Cursor:
        """Return the `seq`, schema id and stored text of each record after the one with this `seq`."""
        sql = "SELECT seq, schema_id, body FROM entities WHERE tenant = ? AND is_variant = 0 AND seq > ? AND seq <= ?"
        parameters: list[Any] = [self.tenant, last, self.end]
        if self.schema_id is not None:
            sql += " AND schema_id = ?"
            parameters.append(self.schema_id)
        if self.catalog_id is not None:  # without the hints, SQLite reads all categories of the catalog, or all assignments
            sql += (
                " AND EXISTS (SELECT 1 FROM category_assignments a INDEXED BY category_assignments_record_idx"
                " CROSS JOIN categories c ON c.tenant = a.tenant AND c.id = a.category_id"
                " WHERE a.tenant = entities.tenant AND a.record_id = entities.id AND c.catalog_id = ?)"
            )
            parameters.append(self.catalog_id)
        return execute(f"{sql} ORDER BY seq", *parameters)

    def part(self, after: int) -> Part:
        """Return the part that begins after the record with this `seq`; 0 stands for the first part."""
        lines, size, last = [], 0, None
        with closing(self.records_after(after)) as records:
            for seq, schema_id, body in records:
                lines.append(self.line(schema_id, json.loads(body)))
                size += len(lines[-1])
                if size >= PART_SIZE:
                    last = seq
                    break
        if self.format == "csv":
            header = "" if after else csv_line([ID, *self.columns])
            return Part((header + "".join(lines)).encode(), last, len(lines))
        opening = ("," if lines else "") if after else "["
        return Part((opening + ",".join(lines) + ("]\n" if last is None else "")).encode(), last, len(lines))

    def line(self, schema_id: str, record: dict[str, Any]) -> str:
        """Return the row of a record."""
        aliases, values = self.aliases.get(schema_id, ()), record["values"]
        shown = {alias: column.pick(values) if alias in aliases else None for alias, column in self.columns.items()}
        if self.format == "json":
            return to_json({ID: record["id"], **shown})
        line: str = csv_line([record["id"], *(column.cells.write(shown[alias]) for alias, column in self.columns.items())])
        return line


def _read_scope(text: str) -> dict[str, str]:
    try:
        scope = parse_json(text.encode())
    except ValueError as error:
        raise ApiError(400, f'scope: {error}; an example is {{"dim-language": "seg-da"}}') from None
    if not isinstance(scope, dict):
        raise ApiError(400, f"scope: expected a JSON object of segment ids by dimension id, got {format_value(scope)}")
    raise_for_problems(unknown_segments(scope, "scope"))
    return scope


def _scope_rank(
    dimensions: Iterable[str], wanted: dict[str, str], defaults: dict[str, str]
) -> Callable[[ScopeKey], tuple[Any, ...] | None]:
    """Return a function that ranks the scopes of an attribute's values: the lowest rank is shown, None never.

    `wanted` is the scope of the request. The order of the ranks, from the lowest:

    1. The wanted segments alone, as far as the attribute has their dimensions. Then the same with the default segments of the
       other dimensions, of more dimensions before fewer.
    2. The same for fewer of the wanted segments.
    3. Default segments alone, of more dimensions before fewer.
    4. The scope {}, whose values hold everywhere.
    """
    default = {id: defaults[id] for id in dimensions}

    @functools.lru_cache(maxsize=1024)
    def rank(scope: ScopeKey) -> tuple[Any, ...] | None:
        matched = [id for id, segment in scope if wanted.get(id) == segment]
        rest = {id: segment for id, segment in scope if wanted.get(id) != segment}
        is_default = all(default.get(id) == segment for id, segment in scope)
        if matched and all(id not in wanted and default.get(id) == segment for id, segment in rest.items()):
            order = -len(matched), bool(rest), -len(rest)
        elif is_default:
            order = 0, False, -len(scope)
        else:
            return None
        ids = dict(scope)
        return (*order, [id not in ids for id in default])

    return rank


def _fetch_default_segments() -> dict[str, str]:
    sql = "SELECT id, json_extract(body, '$.defaultSegmentId') FROM model_objects WHERE tenant = ? AND kind = 'dimension'"
    return dict(execute(sql, g.tenant).fetchall())


def _fetch_attributes(schema_id: str | None) -> dict[str, dict[str, AttributeRules]]:
    """Return the attributes that the caller may see, by schema id and alias: of all schemas, or of this one."""
    sql = "SELECT id FROM model_objects WHERE tenant = ? AND kind = 'schema' AND id = ifnull(?, id) ORDER BY seq"
    return {
        id: caller_levels(id).visible(schema_rules(id).attributes) for (id,) in execute(sql, g.tenant, schema_id).fetchall()
    }


def read_export(query: Mapping[str, str]) -> Export:
    """Return the export that a query string describes. Raises ApiError 400."""
    format = query.get("format", "json")
    if format not in CONTENT_TYPES:
        raise ApiError(400, f"format: expected json or csv, got {format_value(format)}")
    scope, defaults = _read_scope(query["scope"]) if "scope" in query else {}, _fetch_default_segments()
    schemas = _fetch_attributes(query.get("schemaId"))
    columns = {
        alias: Column(cells_of(rules), _scope_rank(rules.dimensions, scope, defaults))
        for attributes in schemas.values()
        for alias, rules in attributes.items()
    }
    catalog = query.get("catalogId")
    if catalog in hidden_catalogs():
        catalog = ""  # no catalog has this id, so the export is empty
    aliases, made_at, (end,) = {id: set(schemas[id]) for id in schemas}, fetch_one(MADE_AT, g.tenant), fetch_one(LAST, g.tenant)
    return Export(g.tenant, format, columns, aliases, query.get("schemaId"), catalog, made_at, end)


def _next_part(known: Any, export: Export, after: int) -> Part:
    """Return the part after the record with this `seq`. Raises ApiError if the caller may not have it any more.

    `known` is what `g` held when the export began. Both are read from one state of the database.
    """
    with snapshot():
        g.tenant, g.caller = export.tenant, known.caller
        known.confirm()
        export.require_permitted()
        return export.part(after)


def _send_parts(app: Flask, asked: Any, known: Any, export: Export, part: Part) -> Iterator[bytes]:
    """Yield the first part, then the others, each read when the client has taken the one before it.

    Each part is read on its own, so that no client, however slow, keeps SQLite from reusing its log. So each part shows one
    state of the database, and each record comes once. A client that disconnects leaves nothing open behind. As that may take
    hours, the caller is checked again before each part.
    """
    try:
        while True:
            yield part.data
            if part.last is None:
                return
            with app.app_context():
                part = _next_part(known, export, part.last)
    except ApiError as refusal:
        app.logger.warning("The export of request %s was broken off: %s", asked.id, refusal.message)
        yield FAILED  # nothing is raised: the server would add a stack trace to the log
    except Exception:
        app.logger.exception("The export of request %s failed after its first part", asked.id)
        yield FAILED
        raise


@blueprint.get("/export")
@requires("read", "canExport")
@blueprint.doc(
    parameters=[
        query_parameter("format", "The format of the rows", type="string", enum=list(CONTENT_TYPES), default="json"),
        query_parameter("schemaId", "Only records of this schema, with its attributes as the columns"),
        query_parameter("catalogId", "Only records in a category of this catalog"),
        query_parameter("scope", "Which values to export: a JSON object of segment ids by dimension id"),
    ]
)
@blueprint.response(200, {"type": "array", "items": {"type": "object", "additionalProperties": {}}})
@blueprint.alt_response(
    200,
    schema={"type": "string"},
    example="_id,product-name,sku\r\nent-coastal-wb,Coastal Windbreaker,CW-001\r\n",
    content_type="text/csv",
)
def export_records() -> Response:
    """Export records as rows with one value per attribute: the scope's, else the default segments', else that of no scope.

    It is sent in parts, without records that were made after it began. An export that fails on the way, or whose caller may
    not have the rest any more, ends with a line that says so, and is not valid JSON or strict CSV.
    """
    leave_worker()  # the client may read slowly
    with snapshot():
        confirm_caller()  # it may have waited for its thread
        export = read_export(request.args)
        part = export.part(0)
    data: Any = part.data
    if part.last is not None:
        app, asked = current_app._get_current_object(), request._get_current_object()  # type: ignore[attr-defined]
        data = _send_parts(app, asked, context(), export, part)
    response = current_app.response_class(data, content_type=CONTENT_TYPES[export.format])
    if export.format == "csv":
        schema = request.args.get("schemaId", "")
        name = schema if schema in export.aliases else "records"  # the caller may have sent any text as the id
        response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response
