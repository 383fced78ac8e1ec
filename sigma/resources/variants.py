"""Variants of records, which hold only what they override."""

import json
from typing import Any

from flask import Response, g
from marshmallow import fields

from sigma.database import execute, fetch_one, snapshot, transaction
from sigma.http.access import requires
from sigma.http.blueprint import ApiBlueprint
from sigma.http.errors import ApiError, not_found_error
from sigma.http.fields import Items, PlainBody, described, id_field, string_field, timestamp_field
from sigma.http.paging import Parameter, page_of
from sigma.http.responses import TEXT_OR_SIZE, Rows, json_response
from sigma.http.stamps import random_id
from sigma.http.strict_json import format_value, to_json
from sigma.http.waiting import leave_worker
from sigma.resources.entities import (
    Entity,
    ListFilter,
    are_many,
    entity_list,
    entity_response,
    list_entities,
    list_parameters,
    load_record,
    require_record,
)
from sigma.resources.history import log_deletions
from sigma.resources.role_limits import caller_levels
from sigma.resources.rules import schema_rules
from sigma.resources.value_bodies import BodyWithValues, ValuesBody
from sigma.resources.values import ValuePatchBody, Values
from sigma.resources.writes import audit_fields, check_new_values, insert_entity, save_value, save_values

blueprint = ApiBlueprint("Variants", "Versions of a record, such as its sizes, which hold only what they override.")


class VariantBody(PlainBody):
    """A variant of a record: only what it overrides."""

    id = id_field("The variant's id")
    entityId = string_field("Id of its record", example="ent-coastal-wb")
    parentId = string_field("Id of its record, or of the variant above it", example="ent-coastal-wb")
    level = fields.Integer(required=True, metadata=described("1 below the record, 2 below a variant of level 1, and so on", 1))
    createdAt = timestamp_field("When it was made")
    updatedAt = timestamp_field("When it was last changed")
    createdBy = string_field("Id of the user or API key that made it", example="user-admin")
    updatedBy = string_field("Id of the user or API key that changed it last", example="user-admin")
    values = Values(required=True)


class VariantRequestBody(VariantBody, BodyWithValues):
    """A variant to be created."""

    id = id_field("The variant's id; made when absent", required=False)
    parentId = string_field("Id of the record or variant above it; its record when absent", required=False)
    values = Values(load_default=dict)

    class Meta(PlainBody.Meta):
        fields = ("id", "parentId", "values")


class ResolvedVariantBody(VariantBody):
    """A variant with what it inherits."""

    effectiveValues = Values(
        required=True,
        example={
            "sku": [{"scope": {}, "value": "CW-101"}],
            "ean": [{"scope": {}, "value": "9520000013158"}],
            "size": [{"scope": {}, "value": "S"}],
            "product-name": [{"scope": {}, "value": "Coastal Windbreaker"}],
        },
    )
    overriddenAttributes = Items(
        fields.String(),
        "Aliases of the attributes that are set on the variant itself",
        required=True,
        example=["sku", "ean", "size"],
    )
    inheritedAttributes = Items(
        fields.String(), "Aliases of the attributes whose values come from above it", required=True, example=["product-name"]
    )


def _fetch_variant_text(record_id: str, id: str) -> str:
    row = fetch_one("SELECT body FROM entities WHERE tenant = ? AND record_id = ? AND id = ?", g.tenant, record_id, id)
    if row is None:
        require_record(record_id)
        raise not_found_error("variant", id)
    text: str = row[0]
    return text


def _load_variant(record_id: str, id: str) -> Entity:
    text = _fetch_variant_text(record_id, id)
    return load_record(record_id)._replace(text=text, body=json.loads(text))


FILTERS = (ListFilter(Parameter("schemaId", "Only of records of this schema"), "schema_id = ?", is_counted=True),)


@blueprint.get("/variants")
@requires("read")
@blueprint.doc(parameters=list_parameters(FILTERS))
@blueprint.ready_response(200, page_of(VariantBody))
def list_variants() -> Response:
    """List the variants of all records, page by page, newest last."""
    return list_entities(1, FILTERS)


@blueprint.get("/records/<id>/variants")
@requires("read")
@blueprint.ready_response(200, VariantBody(many=True))
def list_record_variants(id: str) -> Response:
    """List the variants of a record, of every level, newest last."""
    sql = f"SELECT {TEXT_OR_SIZE} FROM entities WHERE tenant = ? AND record_id = ? ORDER BY seq"  # noqa: S608
    with snapshot():
        require_record(id)
        return entity_list(Rows(sql, (g.tenant, id)))


def _insert_variant(body: dict[str, Any], record_id: str) -> str:
    record, parent = load_record(record_id), body.get("parentId", record_id)
    rules = schema_rules(record.schema_id)
    if not rules.schema["variantEnabled"]:
        raise ApiError(400, f"schemaId: schema '{record.schema_id}' has no variants (variantEnabled is false)")
    sql = "SELECT json_extract(body, '$.level') FROM entities WHERE tenant = ? AND record_id = ? AND id = ?"
    row = (0,) if parent == record_id else fetch_one(sql, g.tenant, record_id, parent)
    if row is None:
        raise ApiError(400, f"parentId: expected '{record_id}' or a variant of it, got {format_value(parent)}")
    check_new_values(rules, body["values"])
    variant = {
        "id": body.get("id") or random_id("var"),
        "entityId": record_id,
        "parentId": parent,
        "level": row[0] + 1,
        **audit_fields(),
        "values": {alias: entries for alias, entries in body["values"].items() if entries},
    }
    return insert_entity(rules, variant)


@blueprint.post("/records/<id>/variants")
@requires("update-data")
@blueprint.arguments(VariantRequestBody())
@blueprint.ready_response(201, VariantBody)
@blueprint.errors("CONFLICT")
def create_variant(body: dict[str, Any], id: str) -> Response:
    """Create a variant of a record, or of another variant of it."""
    with transaction():
        return entity_response(_insert_variant(body, id), 201)


@blueprint.get("/records/<id>/variants/<variant_id>")
@requires("read")
@blueprint.ready_response(200, VariantBody)
def get_variant(id: str, variant_id: str) -> Response:
    """Get one variant with what it overrides."""
    return entity_response(_fetch_variant_text(id, variant_id))


def _fetch_values_above(id: str) -> list[dict[str, Any]]:
    sql = (
        "WITH RECURSIVE above (id, parent_id, body, distance) AS ("
        " SELECT id, parent_id, body, 0 FROM entities WHERE tenant = ? AND id = ?"
        " UNION ALL SELECT e.id, e.parent_id, e.body, distance + 1 FROM above a"
        " JOIN entities e ON e.tenant = ? AND e.id = a.parent_id"
        ") SELECT body FROM above WHERE distance > 0 ORDER BY distance"
    )
    return [json.loads(body)["values"] for (body,) in execute(sql, g.tenant, id, g.tenant)]


def _merge_inherited(own: dict[str, Any], above: list[dict[str, Any]], excluded: set[str]) -> dict[str, Any]:
    """Return a variant's own values with those it inherits: the nearest of each attribute that is not excluded."""
    effective = own
    for values in above:
        effective = {**{alias: entries for alias, entries in values.items() if alias not in excluded}, **effective}
    return effective


@blueprint.get("/records/<id>/variants/<variant_id>/resolved")
@requires("read")
@blueprint.ready_response(200, ResolvedVariantBody)
def resolve_variant(id: str, variant_id: str) -> Response:
    """Get one variant with the values it inherits, from the variants above it and from the record."""
    with snapshot():
        variant = _load_variant(id, variant_id)
        attributes = schema_rules(variant.schema_id).attributes
        above, levels = _fetch_values_above(variant_id), caller_levels(variant.schema_id)
    excluded = {alias for alias, rules in attributes.items() if not rules.is_inheritable}
    own = levels.visible(variant.body["values"])
    effective = levels.visible(_merge_inherited(variant.body["values"], above, excluded))
    resolved = {
        **variant.body,
        "values": own,
        "effectiveValues": effective,
        "overriddenAttributes": list(own),
        "inheritedAttributes": [alias for alias in effective if alias not in own],
    }
    return json_response(to_json(resolved))


@blueprint.put("/records/<id>/variants/<variant_id>")
@requires("update-data")
@blueprint.arguments(ValuesBody())
@blueprint.ready_response(200, VariantBody)
@blueprint.errors("CONFLICT")
def replace_variant_values(body: dict[str, Any], id: str, variant_id: str) -> Response:
    """Replace a variant's own values of each attribute listed; an attribute with an empty array is inherited again."""
    with transaction():
        return entity_response(save_values(_load_variant(id, variant_id), body["values"]))


@blueprint.patch("/records/<id>/variants/<variant_id>/values/<attribute>")
@requires("update-data")
@blueprint.arguments(ValuePatchBody())
@blueprint.ready_response(200, VariantBody)
@blueprint.errors("CONFLICT")
def set_variant_value(body: dict[str, Any], id: str, variant_id: str, attribute: str) -> Response:
    """Set one scoped value of a variant; null removes it, and an attribute without values of its own is inherited again."""
    with transaction():
        return entity_response(save_value(_load_variant(id, variant_id), attribute, body["scope"], body["value"]))


BELOW = (  # a variant and all variants below it
    "WITH RECURSIVE below (id) AS (SELECT ?"
    " UNION ALL SELECT e.id FROM below b JOIN entities e ON e.tenant = ? AND e.parent_id = b.id)"
)
SIZES_BELOW = f"{BELOW} SELECT length(CAST(e.body AS BLOB)) FROM below b JOIN entities e ON e.tenant = ? AND e.id = b.id"  # noqa: S608


@blueprint.delete("/records/<id>/variants/<variant_id>")
@requires("delete-data")
@blueprint.response(204)
def delete_variant(id: str, variant_id: str) -> None:
    """Delete a variant and all variants below it."""
    if are_many(SIZES_BELOW, variant_id, g.tenant, g.tenant):
        leave_worker()
    sql = f"{BELOW} DELETE FROM entities WHERE tenant = ? AND id IN below RETURNING seq, body"  # noqa: S608 (constants only)
    with transaction():
        _fetch_variant_text(id, variant_id)
        log_deletions(text for _, text in sorted(execute(sql, variant_id, g.tenant, g.tenant).fetchall()))
