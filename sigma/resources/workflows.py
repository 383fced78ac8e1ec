"""Workflows: the states that records go through."""

from collections.abc import Collection
from typing import Any

import marshmallow as ma
from flask import g
from marshmallow import fields, validate

from sigma.database import fetch_one
from sigma.http.access import requires
from sigma.http.blueprint import ApiBlueprint
from sigma.http.errors import ApiError
from sigma.http.fields import Body, Items, Number, Reference, attributes_field, id_field, string_field, unique_items
from sigma.http.nearest import some_of
from sigma.resources.model import ModelBody, add_model_routes

blueprint = ApiBlueprint("Workflows", "The states that records go through, and the transitions between them.")


class StateBody(Body):
    """A state that records can be in; the lists name attributes by alias, or by id."""

    id = id_field("The state's id")
    name = string_field("The state's name")
    color = string_field("A colour, in hex", required=False)
    hidden = attributes_field("Attributes not shown in this state")
    required = attributes_field("Attributes that count for completeness")
    readOnly = attributes_field("Attributes that cannot change")


class TransitionBody(Body):
    """A step that records may take from one state to another."""

    id = id_field("The transition's id")
    name = string_field("The transition's name", required=False)
    fromStateId = string_field("The state it leaves")
    toStateId = string_field("The state it leads to")
    allowedRoleIds = Items(
        Reference("role"),
        "The roles that may take it; everybody may if there are none",
        load_default=list,
        validate=unique_items(),
    )
    requiresCompleteness = Number(
        "Completeness score that a record needs to take it",
        load_default=0,
        validate=validate.Range(0, 100, error="Expected 0 to 100"),
    )


def _expected_state(id: str, states: Collection[str]) -> str:
    return f"Expected the id of one of the states: {some_of(id, states)}"


class WorkflowBody(ModelBody):
    """The states that the records of a schema go through."""

    id = id_field("The workflow's id")
    alias = id_field("Short name")
    name = string_field("The workflow's name")
    description = string_field("What it is for", required=False, longest=10_000)
    defaultStateId = string_field("The state of new records")
    states = Items(
        fields.Nested(StateBody), "The states that records can be in", required=True, most=500, validate=unique_items("id")
    )
    transitions = Items(
        fields.Nested(TransitionBody),
        "The transitions between states",
        load_default=list,
        most=5000,
        validate=unique_items("id"),
    )

    @ma.validates_schema
    def check_states(self, data: dict[str, Any], **_: Any) -> None:
        """Raise ValidationError unless the default state and both ends of every transition are among the states."""
        states = {state["id"]: None for state in data["states"]}
        if data["defaultStateId"] not in states:
            raise ma.ValidationError({"defaultStateId": [_expected_state(data["defaultStateId"], states)]})
        for index, transition in enumerate(data["transitions"]):
            for end in ("fromStateId", "toStateId"):
                if transition[end] not in states:
                    raise ma.ValidationError({"transitions": {index: {end: [_expected_state(transition[end], states)]}}})

    def check_change(self, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
        """Raise ApiError 409 if a state is removed that records are in."""
        if old is None:
            return
        kept = {state["id"] for state in new["states"]}
        sql = (
            "SELECT r.id, sum(c.total) FROM model_references r"
            " JOIN entity_counts c ON c.tenant = r.tenant AND c.is_variant = 0 AND c.schema_id = r.id"
            " WHERE r.tenant = ? AND r.kind = 'schema' AND r.target_kind = 'workflow' AND r.target_id = ? AND c.state_id = ?"
            " GROUP BY r.id HAVING sum(c.total) > 0 ORDER BY min(r.seq)"
        )
        for state in old["states"]:
            if state["id"] not in kept and (row := fetch_one(sql, g.tenant, new["id"], state["id"])):
                reason = f"because records are in it ({row[1]} of schema '{row[0]}')"
                raise ApiError(409, f"states: '{state['id']}' cannot be taken out, {reason}")


add_model_routes(
    blueprint,
    "workflow",
    WorkflowBody,
    update=requires("update-model", "canManageSchemas"),
    delete=requires("delete-model", "canManageSchemas"),
)
