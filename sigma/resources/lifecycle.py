"""The lifecycle of records: transitions and completeness."""

from typing import Any

from flask import Response, g
from marshmallow import fields

from sigma.database import execute, snapshot, transaction
from sigma.http.access import requires
from sigma.http.errors import MAX_PROBLEMS, ApiError
from sigma.http.fields import Body, Items, described, string_field
from sigma.http.nearest import what_there_is
from sigma.http.responses import json_response
from sigma.http.stamps import utc_now
from sigma.http.strict_json import format_value, to_json
from sigma.resources.entities import Entity, entity_response, load_record
from sigma.resources.history import log_change
from sigma.resources.records import ProductRecordBody, blueprint
from sigma.resources.role_limits import Levels, caller_levels
from sigma.resources.roles import has_every_flag
from sigma.resources.rules import SchemaRules, schema_rules
from sigma.resources.values import is_empty
from sigma.resources.workflows import TransitionBody


class ToStateBody(Body):
    """The state that a record moves to."""

    toStateId = string_field("The state to move to", example="state-review")


class CompletenessOfStateBody(Body):
    """How complete a record is for one state."""

    stateId = fields.String(required=True, metadata=described("The state", "state-draft"))
    score = fields.Integer(required=True, metadata=described("Percentage, rounded down; 100 when nothing is required", 66))
    filled = Items(
        fields.String(), "Aliases of required attributes with a value", required=True, example=["product-name", "sku"]
    )
    missing = Items(fields.String(), "Aliases of required attributes without one", required=True, example=["description"])


class CompletenessBody(CompletenessOfStateBody):
    """How complete a record is for its state, and for each state of its workflow."""

    entityId = fields.String(required=True, metadata=described("Id of the record", "ent-coastal-wb"))
    stateId = fields.String(
        required=True, allow_none=True, metadata=described("The state; null without a workflow", "state-draft")
    )
    states = Items(fields.Nested(CompletenessOfStateBody), "The same for every state of the workflow", required=True)


def completeness(rules: SchemaRules, values: dict[str, Any], state_id: str | None, levels: Levels) -> dict[str, Any]:
    """Return how complete values are for a state; hidden attributes count, but are not named.

    A hidden value that names an option or a record counts even if that is deleted: otherwise, callers could find out which
    one it names by deleting one after another.
    """
    by_state = rules.states[state_id].required if state_id in rules.states else ()
    filled: list[str] = []
    missing: list[str] = []
    for alias, rule in rules.attributes.items():
        if alias in by_state or rule.is_required:
            entries = values.get(alias, [])
            if levels.shows(alias):
                has_value = any(map(rule.is_filled_by, entries))
            else:
                has_value = any(not is_empty(entry["value"]) for entry in entries)
            (filled if has_value else missing).append(alias)
    required = len(filled) + len(missing)
    score = 100 * len(filled) // required if required else 100
    filled, missing = (list(filter(levels.shows, aliases)) for aliases in (filled, missing))
    return {"stateId": state_id, "score": score, "filled": filled, "missing": missing}


def _role_problem(roles: list[str]) -> str | None:
    """Return why this caller may not do what is only for these roles, or None; a key acts as an administrator."""
    only = f"is for {', '.join(roles)} only"
    if g.caller.is_key:
        return None if any(map(has_every_flag, roles)) else f"{only}; a key may take it when one of these roles has every flag"
    return None if g.caller.role_says("id") in roles else only


def blocked_reason(transition: dict[str, Any], report: dict[str, Any]) -> str | None:
    """Return why this caller cannot take a transition, given the record's completeness report, or None."""
    roles, needed = transition["allowedRoleIds"], transition["requiresCompleteness"]
    if roles and (problem := _role_problem(roles)):
        return f"Transition '{transition['id']}' {problem}"
    if report["score"] < needed:
        missing = ", ".join(report["missing"][:MAX_PROBLEMS]) + (" and more" if len(report["missing"]) > MAX_PROBLEMS else "")
        missing = missing or "attributes that your role hides"
        return f"Transition '{transition['id']}' needs completeness {needed}, but it is {report['score']}; missing: {missing}"
    return None


@blueprint.get("/records/<id>/transitions")
@requires("read")
@blueprint.ready_response(200, TransitionBody(many=True))
def list_record_transitions(id: str) -> Response:
    """List the transitions that the caller may take with a record now."""
    with snapshot():
        record = load_record(id)
        rules = schema_rules(record.schema_id)
        report = completeness(rules, record.body["values"], record.state_id, caller_levels(record.schema_id))
        leaving = rules.transitions_from(record.state_id)
        return json_response(to_json([transition for transition in leaving if blocked_reason(transition, report) is None]))


def set_state(record: Entity, state_id: str) -> str:
    """Store a record in another state and return its text."""
    now = utc_now()
    body = to_json({**record.body, "lifecycleStateId": state_id, "updatedAt": now, "updatedBy": g.caller.id})
    execute("UPDATE entities SET body = ? WHERE tenant = ? AND id = ?", body, g.tenant, record.body["id"])
    change: dict[str, Any] = {"attribute": "lifecycleStateId", "scope": {}, "oldValue": record.state_id, "newValue": state_id}
    log_change("transition", record.body, body, now, [change])
    return body


def transition(id: str, to_state: str) -> str:
    """Store a record in another state and return its text. Raises ApiError 400, 404 or 422."""
    record = load_record(id)
    rules = schema_rules(record.schema_id)
    if rules.workflow is None:
        raise ApiError(422, f"Schema '{record.schema_id}' has no workflow, and so no transitions")
    if to_state not in rules.states:
        hint = what_there_is(to_state, [state["id"] for state in rules.workflow["states"]])
        raise ApiError(400, f"toStateId: workflow '{rules.workflow['id']}' has no state {format_value(to_state)}{hint}")
    report = completeness(rules, record.body["values"], record.state_id, caller_levels(record.schema_id))
    leaving = rules.transitions_from(record.state_id)
    problems = [blocked_reason(candidate, report) for candidate in leaving if candidate["toStateId"] == to_state]
    if None in problems:
        return set_state(record, to_state)
    if first_problem := next(iter(problems), None):
        raise ApiError(422, first_problem)
    hint = what_there_is(to_state, dict.fromkeys(candidate["toStateId"] for candidate in leaving))
    raise ApiError(422, f"No transition leads from '{record.state_id}' to '{to_state}'{hint}")


@blueprint.post("/records/<id>/transition")
@requires("update-data")
@blueprint.arguments(ToStateBody())
@blueprint.ready_response(200, ProductRecordBody)
@blueprint.errors("TRANSITION_ERROR")
def transition_record(body: dict[str, Any], id: str) -> Response:
    """Move a record to another state, by a transition of its workflow that the caller may take now."""
    with transaction():
        return entity_response(transition(id, body["toStateId"]))


@blueprint.get("/records/<id>/completeness")
@requires("read")
@blueprint.ready_response(200, CompletenessBody)
def get_record_completeness(id: str) -> Response:
    """Get how complete a record is, for its state and for every state of its workflow."""
    with snapshot():
        record = load_record(id)
        rules, levels, values = schema_rules(record.schema_id), caller_levels(record.schema_id), record.body["values"]
        report = completeness(rules, values, record.state_id, levels)
        states = [completeness(rules, values, state, levels) for state in rules.states]
    return json_response(to_json({"entityId": id, **report, "states": states}))
