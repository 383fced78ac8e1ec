"""Import: the rows of a table that create and update records, first in a preview, then for good."""

from collections.abc import Collection, Iterator
from typing import Any

import marshmallow as ma
from flask import Response, request
from marshmallow import fields
from werkzeug.exceptions import RequestEntityTooLarge

from sigma.database import snapshot, transaction
from sigma.http.access import requires
from sigma.http.errors import (
    MAX_PROBLEMS,
    ApiError,
    error_response,
    handle_http_exception,
    raise_for_problems,
    redact_keys,
)
from sigma.http.fields import Body, Flag, Items, Reference, described, dict_field, enum_field
from sigma.http.nearest import what_there_is
from sigma.http.responses import json_response
from sigma.http.strict_json import format_value, to_json
from sigma.http.waiting import leave_worker
from sigma.resources.import_rows import BODY, Batch, Source
from sigma.resources.role_limits import caller_levels
from sigma.resources.rules import SchemaRules, schema_rules
from sigma.resources.transfer import ID, blueprint

MANY_BAD_ROWS = 1000  # after these, a row reports only its first problem, shortened: a body can hold 100,000 rows and more
MANY_ROWS = 1000  # a preview of more may take seconds
NONE: list[str] = []  # problems of a good row; shared, because there may be very many
SHORTENED = 200  # characters of a shortened problem; a pattern that it quotes may have a thousand

EXAMPLES_OF_ERRORS = [
    "Name: Attribute 'product-name' expects a value, got ''",
    "Price: Attribute 'price' expects type 'number', got 'not-a-number'",
]


class Rows(Items):
    """Rows of cells; their shape is checked by hand, because there may be very many."""

    def __init__(self, description: str, example: Any, **options: Any):
        cells = fields.Raw(allow_none=True)
        super().__init__(dict_field("Cells by the name of their column", "", cells), description, example=example, **options)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        wrong = [index for index, row in enumerate(value) if not isinstance(row, dict)][: MAX_PROBLEMS + 1]
        if wrong:
            raise ma.ValidationError({index: ["Expected an object of cells by column"] for index in wrong})
        return value


class ImportRequestBody(Body):
    """Rows to import, and what their columns hold."""

    schemaId = Reference("schema", required=True)
    columnMapping = dict_field(
        f"Aliases of attributes by column, and {ID} for a column of record ids; other columns are ignored",
        "ColumnMapping",
        fields.String(),
        example={"Name": "product-name", "SKU": "sku", "Price": "price"},
        required=True,
    )
    rows = Rows(
        "The rows; a cell is a text, or a JSON value of the attribute's type",
        example=[
            {"Name": "Summit Parka", "SKU": "SP-002", "Price": "249.50"},
            {"Name": "", "SKU": "XX-003", "Price": "not-a-number"},
        ],
        required=True,
    )


class PreviewedRowBody(Body):
    """What an import would do with one row."""

    row = fields.Integer(required=True, metadata=described("The row's place, from 0"))
    valid = Flag("Whether it can be imported", required=True)
    action = enum_field("Whether it would create or update a record", ["create", "update"])
    errors = Items(fields.String(), "What is wrong with it", required=True)


class ImportPreviewBody(Body):
    """What an import would do."""

    totalRows = fields.Integer(required=True, metadata=described("How many rows there are", 2))
    validRows = fields.Integer(required=True, metadata=described("How many of them can be imported", 1))
    errorRows = fields.Integer(required=True, metadata=described("How many of them cannot", 1))
    results = Items(
        fields.Nested(PreviewedRowBody),
        "What the import would do with each row",
        required=True,
        example=[
            {"row": 0, "valid": True, "action": "create", "errors": []},
            {"row": 1, "valid": False, "action": "create", "errors": EXAMPLES_OF_ERRORS},
        ],
    )


class RowErrorBody(Body):
    """Why a row was left out."""

    row = fields.Integer(required=True, metadata=described("The row's place, from 0", 1))
    message = fields.String(
        required=True,
        metadata=described("What is wrong with it", "; ".join(EXAMPLES_OF_ERRORS)),
    )


class ImportResultBody(Body):
    """What an import has done."""

    created = fields.Integer(required=True, metadata=described("How many records it created", 1))
    updated = fields.Integer(required=True, metadata=described("How many rows named an existing record", 0))
    errors = Items(fields.Nested(RowErrorBody), "The rows that were left out", required=True)


def _mapping_problems(
    rules: SchemaRules, mapping: dict[str, str], columns: Collection[str] | None, source: Source
) -> Iterator[str]:
    mapped: dict[str, str] = {}
    for column, alias in mapping.items():
        path = f"{source.field}{source.link}{column[:100]}"
        if alias != ID and alias not in rules.attributes:
            yield f"{path}: schema '{rules.schema['id']}' has no attribute {format_value(alias)}{rules.hint_at_alias(alias)}"
        elif alias in mapped:
            yield f"{path}: expected one column for '{alias}', but '{mapped[alias][:100]}' is mapped to it already"
        if columns is not None and column not in columns:
            yield f"{path}: expected a column that at least one row has{what_there_is(column, columns)}"
        mapped.setdefault(alias, column)


def require_mapping(
    rules: SchemaRules, mapping: dict[str, str], columns: Collection[str] | None, source: Source = BODY
) -> None:
    """Raise ApiError 400 for a mapping that names what does not exist, or 403 for what the caller may not write.

    Takes the columns that rows have; None if there are no rows.
    """
    raise_for_problems(_mapping_problems(rules, mapping, columns, source))
    levels = caller_levels(rules.schema["id"])
    for column, alias in mapping.items():
        levels.require_write([alias], f"{source.field}{source.link}{column[:100]}")


def import_rows(body: dict[str, Any], stores: bool) -> list[tuple[str, list[str]]]:
    """Return for each row its action, create or update, and its problems; store the rows without problems if asked to.

    Raises ApiError 400 or 403.
    """
    rows, rules, mapping = body["rows"], schema_rules(body["schemaId"]), body["columnMapping"]
    require_mapping(rules, mapping, set[str]().union(*rows) if rows else None)
    batch, bad_rows = Batch(rules, mapping, stores), 0
    outcomes: list[tuple[str, list[str]]] = []
    for number, cells in enumerate(rows):
        is_short = bad_rows >= MANY_BAD_ROWS
        row = batch.add(number, cells, most=1 if is_short else MAX_PROBLEMS)
        bad_rows += bool(row.problems)
        problems = (
            [redact_keys(problem)[: SHORTENED if is_short else None] for problem in row.problems] if row.problems else NONE
        )
        outcomes.append(("create" if row.creates else "update", problems))
    batch.finish()
    return outcomes


@blueprint.post("/import/preview")
@requires("read", "canImport")
@blueprint.arguments(ImportRequestBody())
@blueprint.response(200, ImportPreviewBody)
def preview_import(body: dict[str, Any]) -> Response:
    """Check the rows of an import and report what it would do with each; nothing is stored."""
    if len(body["rows"]) > MANY_ROWS:
        leave_worker()
    with snapshot():
        outcomes = import_rows(body, stores=False)
    results = [
        {"row": number, "valid": not problems, "action": action, "errors": problems}
        for number, (action, problems) in enumerate(outcomes)
    ]
    valid = sum(not problems for _, problems in outcomes)
    counts = {"totalRows": len(outcomes), "validRows": valid, "errorRows": len(outcomes) - valid}
    return json_response(to_json({**counts, "results": results}))


@blueprint.post("/import/execute")
@requires("update-data", "canImport")
@blueprint.arguments(ImportRequestBody())
@blueprint.response(200, ImportResultBody)
def execute_import(body: dict[str, Any]) -> Response:
    """Create and update records from rows; rows with problems are left out, and the response says why.

    All rows are stored in one transaction. Other writes wait for it, and fail with 503 after five seconds: where there are
    other writers, send at most ten thousand rows at a time.
    """
    with transaction():
        outcomes = import_rows(body, stores=True)
        good = [action for action, problems in outcomes if not problems]
        errors = [{"row": number, "message": "; ".join(found)} for number, (_, found) in enumerate(outcomes) if found]
        return json_response(to_json({"created": good.count("create"), "updated": good.count("update"), "errors": errors}))


@blueprint.errorhandler(RequestEntityTooLarge)
def refuse_too_many_rows(error: RequestEntityTooLarge) -> Response:
    """Return the error for a body that is too large, with advice; not for an export, which shares the blueprint."""
    if request.method == "GET":
        return handle_http_exception(error)
    return error_response(ApiError(413, f"{error.description}; send fewer rows at a time"))
