"""Records: the products."""

import math
from typing import Any

from flask import Response, current_app
from marshmallow import fields

from sigma.context import context
from sigma.database import execute, fetch_one, transaction
from sigma.http.access import requires
from sigma.http.blueprint import ApiBlueprint
from sigma.http.errors import ApiError, counted, get_or_404
from sigma.http.fields import PlainBody, Reference, described, id_field, string_field, timestamp_field
from sigma.http.paging import Parameter, page_of
from sigma.http.stamps import random_id
from sigma.http.waiting import leave_worker
from sigma.resources.entities import ListFilter, are_many, entity_response, list_entities, list_parameters, load_record
from sigma.resources.history import log_deletions
from sigma.resources.rules import SchemaRules, schema_rules
from sigma.resources.value_bodies import BodyWithValues, ValuesBody
from sigma.resources.values import ValuePatchBody, Values
from sigma.resources.writes import audit_fields, check_new_values, insert_entity, save_value, save_values

blueprint = ApiBlueprint("Records", "The products, with their values in every language and market.")


class ProductRecordBody(PlainBody):
    """A record: one product."""

    id = id_field("The record's id")
    schemaId = Reference("schema", required=True)
    lifecycleStateId = fields.String(
        required=True, allow_none=True, metadata=described("Null without a workflow", "state-draft")
    )
    createdAt = timestamp_field("When it was made")
    updatedAt = timestamp_field("When it was last changed")
    createdBy = string_field("Id of the user or API key that made it", example="user-admin")
    updatedBy = string_field("Id of the user or API key that changed it last", example="user-admin")
    values = Values(required=True)


class ProductRecordRequestBody(ProductRecordBody, BodyWithValues):
    """A record to be created."""

    id = id_field("The record's id; made when absent", required=False)

    class Meta(PlainBody.Meta):
        fields = ("id", "schemaId", "values")


FILTERS = (
    ListFilter(Parameter("schemaId", "Only records of this schema"), "schema_id = ?", is_counted=True),
    # In entity_counts, '' stands for no state; a request for the state '' finds nothing, because no state has this id.
    ListFilter(Parameter("lifecycleStateId", "Only records in this state"), "state_id = ? AND state_id <> ''", is_counted=True),
)


@blueprint.get("/records")
@requires("read")
@blueprint.doc(parameters=list_parameters(FILTERS))
@blueprint.ready_response(200, page_of(ProductRecordBody))
def list_records() -> Response:
    """List records, page by page, newest last."""
    return list_entities(0, FILTERS)


def places_left() -> float:
    """Return how many more records the workspace may hold; infinity without a limit."""
    limit = current_app.config["RECORD_LIMIT"]
    if limit is None:
        return math.inf
    row = fetch_one("SELECT records FROM workspace_totals WHERE tenant = ?", context().tenant)
    places: int = limit - get_or_404(row, "workspace", context().tenant)[0]
    return places


def full_message() -> str:
    """Return the message that the workspace is full."""
    limit = counted(current_app.config["RECORD_LIMIT"], "record")
    return f"This workspace is full at {limit}; SIGMA_RECORD_LIMIT sets the limit"


def _raise_if_full() -> None:
    if places_left() <= 0:
        raise ApiError(403, full_message(), error="LIMIT_EXCEEDED")


def new_record(rules: SchemaRules, id: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return a record that the caller makes now, in its workflow's default state."""
    return {
        "id": id,
        "schemaId": rules.schema["id"],
        "lifecycleStateId": rules.workflow["defaultStateId"] if rules.workflow else None,
        **audit_fields(),
        "values": {alias: entries for alias, entries in values.items() if entries},
    }


def _insert_record(body: dict[str, Any]) -> str:
    rules = schema_rules(body["schemaId"])
    check_new_values(rules, body["values"])
    return insert_entity(rules, new_record(rules, body.get("id") or random_id("ent"), body["values"]))


@blueprint.post("/records")
@requires("update-data")
@blueprint.arguments(ProductRecordRequestBody())
@blueprint.ready_response(201, ProductRecordBody)
@blueprint.errors("LIMIT_EXCEEDED", "CONFLICT")
def create_record(body: dict[str, Any]) -> Response:
    """Create a record of a schema; its values are checked against the schema, and it starts in its workflow's default state."""
    with transaction():
        _raise_if_full()
        return entity_response(_insert_record(body), 201)


@blueprint.get("/records/<id>")
@requires("read")
@blueprint.ready_response(200, ProductRecordBody)
def get_record(id: str) -> Response:
    """Get one record with all its scoped values."""
    sql = "SELECT body FROM entities WHERE tenant = ? AND id = ? AND is_variant = 0"
    return entity_response(get_or_404(fetch_one(sql, context().tenant, id), "record", id)[0])


@blueprint.put("/records/<id>")
@requires("update-data")
@blueprint.arguments(ValuesBody())
@blueprint.ready_response(200, ProductRecordBody)
@blueprint.errors("CONFLICT")
def replace_record_values(body: dict[str, Any], id: str) -> Response:
    """Replace the values of each attribute listed; an empty array clears one, and unchanged values are not checked again."""
    with transaction():
        return entity_response(save_values(load_record(id), body["values"]))


@blueprint.patch("/records/<id>/values/<attribute>")
@requires("update-data")
@blueprint.arguments(ValuePatchBody())
@blueprint.ready_response(200, ProductRecordBody)
@blueprint.errors("CONFLICT")
def set_record_value(body: dict[str, Any], id: str, attribute: str) -> Response:
    """Set one scoped value of a record; null removes it."""
    with transaction():
        return entity_response(save_value(load_record(id), attribute, body["scope"], body["value"]))


@blueprint.delete("/records/<id>")
@requires("delete-data")
@blueprint.response(204)
def delete_record(id: str) -> None:
    """Delete a record with its variants and category assignments; its history stays."""
    if are_many("SELECT length(CAST(body AS BLOB)) FROM entities WHERE tenant = ? AND record_id = ?", context().tenant, id):
        leave_worker()
    with transaction():
        load_record(id)
        sql = "SELECT body FROM entities WHERE tenant = ? AND (id = ? OR record_id = ?) ORDER BY seq"
        log_deletions(text for (text,) in execute(sql, context().tenant, id, id).fetchall())
        execute("DELETE FROM entities WHERE tenant = ? AND id = ?", context().tenant, id)
