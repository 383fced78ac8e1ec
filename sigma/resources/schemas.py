"""Product schemas: which attributes the records of one kind of product have."""

from typing import Any

import marshmallow as ma
from flask import g
from marshmallow import fields

from sigma.database import execute
from sigma.http.access import requires
from sigma.http.blueprint import ApiBlueprint
from sigma.http.errors import ApiError
from sigma.http.fields import Body, Flag, Items, Number, Reference, id_field, string_field, unique_items
from sigma.http.stamps import utc_now
from sigma.http.strict_json import to_json
from sigma.resources.model import ModelBody, add_model_routes, load_object

blueprint = ApiBlueprint("Schemas", "Which attributes the records of one kind of product have.")


class AttributeGroupBody(Body):
    """A group of attributes that people see together."""

    id = id_field("The group's id")
    name = string_field("The group's name")
    sortOrder = Number("Groups are shown in ascending order", load_default=0)
    attributeIds = Items(Reference("attribute"), "The group's attributes, in order", load_default=list)


class ProductSchemaBody(ModelBody):
    """A product schema: which attributes the records of one kind of product have."""

    id = id_field("The schema's id")
    alias = id_field("URL-safe short name")
    name = string_field("The schema's name")
    description = string_field("What it is for", required=False, longest=10_000)
    icon = string_field("Name of an icon", required=False)
    variantEnabled = Flag("Whether its records may have variants", required=True)
    workflowId = Reference("workflow", allow_none=True)
    attributeGroups = Items(fields.Nested(AttributeGroupBody), "Its attributes", load_default=list, validate=unique_items("id"))

    @ma.validates_schema
    def check_groups(self, data: dict[str, Any], **_: Any) -> None:
        """Raise ValidationError for an attribute that is listed more than once."""
        seen: set[str] = set()
        for index, group in enumerate(data["attributeGroups"]):
            for place, attribute in enumerate(group["attributeIds"]):
                if attribute in seen:
                    message = {place: ["Expected each attribute only once in a schema"]}
                    raise ma.ValidationError({"attributeGroups": {index: {"attributeIds": message}}})
                seen.add(attribute)

    def check_change(self, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
        """Raise ApiError 409 if records are in a state that another workflow lacks.

        Put records without a state into the default state of that workflow.
        """
        if old is None or old.get("workflowId") == new.get("workflowId"):
            return
        workflow = load_object("workflow", new["workflowId"]) if "workflowId" in new else {"states": []}
        states = [state["id"] for state in workflow["states"]]
        sql = (
            "SELECT state_id, sum(total) FROM entity_counts WHERE tenant = ? AND schema_id = ? AND state_id <> ''"
            " GROUP BY state_id"
        )
        for state, count in execute(sql, g.tenant, new["id"]):
            if state not in states:
                raise ApiError(409, f"workflowId: records are in state '{state}' ({count}), which would no longer exist")
        if states:
            self.begin_lifecycle(new["id"], workflow["defaultStateId"])

    def goes_through_records(self, old: dict[str, Any] | None, new: dict[str, Any] | None) -> bool:
        """Return whether records are put into a workflow's default state."""
        return bool(old and new and new.get("workflowId") not in (None, old.get("workflowId")))

    @staticmethod
    def begin_lifecycle(schema_id: str, state_id: str) -> None:
        """Put the records without a state into one; in two statements, because there may be any number of records."""
        stateless = "tenant = ? AND schema_id = ? AND is_variant = 0 AND state_id IS NULL"
        change: dict[str, Any] = {"attribute": "lifecycleStateId", "scope": {}, "oldValue": None, "newValue": state_id}
        entry = (
            "json_object('id', 'audit-' || lower(hex(randomblob(8))), 'entityId', id, 'action', 'transition',"
            " 'userId', ?, 'timestamp', ?, 'changes', json(?))"
        )
        now, user_id, schema_key = utc_now(), g.caller.id, (g.tenant, schema_id)
        execute(
            f"INSERT INTO audit_log (tenant, record_id, body) SELECT tenant, id, {entry} FROM entities"  # noqa: S608
            f" WHERE {stateless} ORDER BY seq",
            *(user_id, now, to_json([change]), *schema_key),
        )
        members = "'$.lifecycleStateId', ?, '$.updatedAt', ?, '$.updatedBy', ?"
        sql = f"UPDATE entities SET body = json_set(body, {members}) WHERE {stateless}"  # noqa: S608
        execute(sql, state_id, now, user_id, *schema_key)


add_model_routes(
    blueprint,
    "schema",
    ProductSchemaBody,
    update=requires("update-model", "canManageSchemas"),
    delete=requires("delete-model", "canManageSchemas"),
)
