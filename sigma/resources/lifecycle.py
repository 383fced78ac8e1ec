"""The lifecycle of records: transitions, completeness, history."""

from typing import Any

from flask import Response, g, request
from marshmallow import fields

from sigma.database import execute, one, snapshot, transaction
from sigma.http.access import requires
from sigma.http.blueprint import api
from sigma.http.errors import MOST_PROBLEMS, ApiError, not_found
from sigma.http.fields import Body, Items, choice, identifier, mapping, moment, string
from sigma.http.paging import PAGE_PARAMETERS, page_bounds, page_of
from sigma.http.responses import answer, answer_page
from sigma.http.stamps import utc_now
from sigma.http.strict_json import shown, to_json
from sigma.resources.entities import Entity, load_record, log_change
from sigma.resources.records import RecordBody
from sigma.resources.rules import SchemaRules, schema_rules
from sigma.resources.workflows import TransitionBody


class ToStateBody(Body):
    """Where a record is to go."""

    toStateId = string("The state to move to")


class CompletenessOfStateBody(Body):
    """How much of what one state requires a record has."""

    stateId = fields.String(required=True, allow_none=True, metadata={"description": "The state; null without a workflow"})
    score = fields.Integer(required=True, metadata={"description": "Percentage, rounded down"})
    filled = Items(fields.String(), "Required attributes with a value", required=True)
    missing = Items(fields.String(), "Required attributes without one", required=True)


class CompletenessBody(CompletenessOfStateBody):
    """How much of what its state, and each other one, requires a record has."""

    entityId = fields.String(required=True, metadata={"description": "Id of the record"})
    states = Items(fields.Nested(CompletenessOfStateBody), "The same for every state of the workflow", required=True)


class ChangeBody(Body):
    """One value that changed."""

    attribute = fields.String(required=True, metadata={"description": "Alias, or lifecycleStateId"})
    scope = mapping("Where: segment ids by dimension id", "Scope", fields.String(), required=True)
    oldValue = fields.Raw(required=True, allow_none=True, metadata={"description": "What it was; null if there was none"})
    newValue = fields.Raw(required=True, allow_none=True, metadata={"description": "What it became; null if it was removed"})


class AuditEntryBody(Body):
    """One change to a record or variant."""

    id = identifier("The entry's id")
    entityId = string("Id of the record or variant")
    action = choice("What was done", ["create", "update", "delete", "transition"], "AuditAction")
    userId = string("Id of the user or API key that did it")
    timestamp = moment("When it was done")
    changes = Items(fields.Nested(ChangeBody), "The values that it changed", required=True)


def completeness(rules: SchemaRules, values: dict[str, Any], state_id: str | None) -> dict[str, Any]:
    """Answer how much of what a state requires these values have."""
    by_state = rules.states[state_id].required if state_id in rules.states else ()
    filled: list[str] = []
    missing: list[str] = []
    for alias, rule in rules.attributes.items():
        if alias in by_state or rule.is_required:
            has_value = any(entry["value"] not in ("", [], {}) for entry in values.get(alias, []))
            (filled if has_value else missing).append(alias)
    required = len(filled) + len(missing)
    score = 100 * len(filled) // required if required else 100
    return {"stateId": state_id, "score": score, "filled": filled, "missing": missing}


def gate_problem(transition: dict[str, Any], report: dict[str, Any]) -> str | None:
    """Say what keeps this caller from taking a transition, with this completeness of the record, or None."""
    roles, needed = transition["allowedRoleIds"], transition["requiresCompleteness"]
    if roles and g.caller.role_says("id") not in roles:
        return f"Transition '{transition['id']}' is for {', '.join(roles)} only"
    if report["score"] < needed:
        missing = ", ".join(report["missing"][:MOST_PROBLEMS]) + (" and more" if len(report["missing"]) > MOST_PROBLEMS else "")
        return f"Transition '{transition['id']}' needs completeness {needed}, it is {report['score']}; missing: {missing}"
    return None


@api.get("/records/<id>/transitions")
@requires("read")
@api.response(200, TransitionBody(many=True))
def list_record_transitions(id: str) -> Response:
    """List the transitions that this caller may take with the record now."""
    record = load_record(id)
    rules = schema_rules(record.schema_id)
    report = completeness(rules, record.body["values"], record.state_id)
    ways = [way for way in rules.transitions if way["fromStateId"] == record.state_id]
    return answer(to_json([way for way in ways if gate_problem(way, report) is None]))


def put_in_state(record: Entity, state_id: str) -> str:
    """Store a record in another state and answer its text."""
    now = utc_now()
    body = to_json({**record.body, "lifecycleStateId": state_id, "updatedAt": now, "updatedBy": g.caller.id})
    execute("UPDATE entities SET body = ? WHERE tenant = ? AND id = ?", body, g.tenant, record.body["id"])
    change: dict[str, Any] = {"attribute": "lifecycleStateId", "scope": {}, "oldValue": record.state_id, "newValue": state_id}
    log_change("transition", record.body, now, [change])
    return body


def move_record(id: str, to_state: str) -> str:
    """Store a record in another state and answer its text. Raises ApiError 400, 404 or 422."""
    record = load_record(id)
    rules = schema_rules(record.schema_id)
    if rules.workflow is None:
        raise ApiError(422, f"Schema '{record.schema_id}' has no workflow, and so no transitions")
    if to_state not in rules.states:
        raise ApiError(400, f"toStateId: workflow '{rules.workflow['id']}' has no state {shown(to_state)}")
    ends = (record.state_id, to_state)
    ways = [way for way in rules.transitions if (way["fromStateId"], way["toStateId"]) == ends]
    report, first = completeness(rules, record.body["values"], record.state_id), None
    for way in ways:
        problem = gate_problem(way, report)
        if problem is None:
            return put_in_state(record, to_state)
        first = first or problem
    raise ApiError(422, first or f"No transition leads from '{record.state_id}' to '{to_state}'")


@api.post("/records/<id>/transition")
@requires("update-data")
@api.arguments(ToStateBody())
@api.response(200, RecordBody)
def transition_record(body: dict[str, Any], id: str) -> Response:
    """Move a record to another state, along its workflow's transitions and past their gates."""
    with transaction():
        return answer(move_record(id, body["toStateId"]))


@api.get("/records/<id>/completeness")
@requires("read")
@api.response(200, CompletenessBody)
def get_record_completeness(id: str) -> Response:
    """Say which required attributes a record has and which it lacks, for its state and for every other."""
    record = load_record(id)
    rules, values = schema_rules(record.schema_id), record.body["values"]
    states = [completeness(rules, values, state) for state in rules.states]
    return answer(to_json({"entityId": id, **completeness(rules, values, record.state_id), "states": states}))


@api.get("/records/<id>/audit-log")
@requires("read")
@api.doc(parameters=PAGE_PARAMETERS)
@api.response(200, page_of(AuditEntryBody))
def list_record_changes(id: str) -> Response:
    """List what was done to a record and its variants, page by page, newest first; also after it is gone."""
    offset, limit = page_bounds(request.args)
    sql = "SELECT CAST(body AS BLOB) FROM audit_log WHERE tenant = ? AND record_id = ? ORDER BY seq DESC LIMIT ? OFFSET ?"
    with snapshot():
        (total,) = one("SELECT count(*) FROM audit_log WHERE tenant = ? AND record_id = ?", g.tenant, id)
        if not total:
            raise not_found("record", id)
        return answer_page(execute(sql, g.tenant, id, limit, offset), total, offset, limit)
