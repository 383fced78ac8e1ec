"""Faults of a key: responses that a test wants instead of the real ones, to see how its integration handles them."""

import json
import random
import re
from collections.abc import Container, Iterator
from typing import Any

from flask import current_app, g, request
from marshmallow import fields, validate

from sigma.database import execute, fetch_one, get_db, transaction
from sigma.http.access import Access, Kind, demo_only, list_api_routes
from sigma.http.credentials import Caller, unauthorized
from sigma.http.errors import ApiError, get_or_404, raise_for_problems, retry_error
from sigma.http.fields import Body, Number, bound_field, described
from sigma.http.nearest import what_there_is
from sigma.http.strict_json import format_value, to_json
from sigma.http.waiting import leave_worker, once
from sigma.standin.blueprint import blueprint

STATUSES = (401, 403, 404, 409, 422, 429, 500, 503)
WAITING = (429, 503)  # the statuses that come with Retry-After
MAX_RULES = 100


class FaultBody(Body):
    """A rule: which calls of a key are delayed or refused. The first rule for the called route decides."""

    on = fields.String(
        allow_none=True,
        metadata=described("The route: method and path as in this document; absent: every route", "POST /records"),
    )
    status = fields.Integer(
        strict=True,
        allow_none=True,
        validate=validate.OneOf(STATUSES, error="Expected one of: {choices}"),
        metadata=described("The status of the response; absent: the real response, after the delay", 429),
    )
    retryAfter = bound_field("The seconds in Retry-After, with status 429 or 503; 1 when absent", 1, 86_400)
    delayMs = bound_field("How many milliseconds the response is held back", 0, 30_000)
    after = bound_field("How many calls are answered normally before the rule first fires", 0, 10**9)
    times = bound_field("How often the rule fires at most; after that, all calls are answered normally again", 1, 10**9)
    probability = Number(
        "The probability that the rule fires, from 0 to 1; 1 when absent",
        allow_none=True,
        validate=validate.Range(0, 1, error="Expected a number from {min} to {max}"),
    )


class StoredFaultBody(FaultBody):
    """A rule, and how often it has fired."""

    hits = fields.Integer(required=True, metadata=described("How often it has fired", 2))


def _route_shape(text: str) -> str:
    """Return a method and path in one form, whether parameters are written as {id}, :id or <id>."""
    method, _, path = text.partition(" ")
    return f"{method} {re.sub(r'/({[^/]+}|:[^/]+|<[^/]+>)(?=/|$)', '/*', path.removeprefix('/api/v1'))}"


def _known_routes() -> dict[str, tuple[str, Access]]:
    named = (
        (f"{method} {route.template.removeprefix('/api/v1')}", route.access) for method, route in list_api_routes(current_app)
    )
    return {_route_shape(name): (name, access) for name, access in named}


def _route_problem(on: str, routes: dict[str, tuple[str, Access]]) -> str | None:
    method, space, path = on.partition(" ")
    name, access = routes.get(_route_shape(method.upper() + space + path), (None, None))
    hint = ""
    if access is None:
        names = [known for known, access in routes.values() if access.kind is Kind.PERMISSION]
        expected, hint = "the method and path of a route of the API, such as 'PUT /records/{id}'", what_there_is(on, names)
    elif method != method.upper():
        expected = f"the method in capital letters: '{name}'"
    elif access.kind is not Kind.PERMISSION:
        expected = "a route that API keys may call"
    else:
        return None
    return f"Expected {expected}, got {format_value(on)}{hint}"


def _rule_problems(rules: list[dict[str, Any]], routes: dict[str, tuple[str, Access]]) -> Iterator[str]:
    if len(rules) > MAX_RULES:
        yield f"body: Expected at most {MAX_RULES} items, got {len(rules)}"
    for index, rule in enumerate(rules[:MAX_RULES]):
        if "on" in rule and (problem := _route_problem(rule["on"], routes)):
            yield f"[{index}].on: {problem}"
        if not {"status", "delayMs"} & rule.keys():
            yield f"[{index}]: Expected `status` or `delayMs`, or both"
        if "retryAfter" in rule and rule.get("status") not in WAITING:
            yield f"[{index}].retryAfter: Expected only with status {' or '.join(map(str, WAITING))}"


def _permission_problems(
    rules: list[dict[str, Any]], routes: dict[str, tuple[str, Access]], held: Container[str]
) -> Iterator[str]:
    """Yield the problems of rules, whose routes are known, for a key with these permissions: they would never fire."""
    for index, rule in enumerate(rules):
        name, access = routes[_route_shape(rule["on"])] if "on" in rule else ("", None)
        if access and access.permission not in held:
            got = f"got {format_value(name)}, for which it lacks {access.permission}"
            yield f"[{index}].on: Expected a route that this API key may call, {got}"


def _find_key(id: str) -> tuple[str, list[str], str | None]:
    """Return the workspace of a key of the demo or of a test, its permissions, and why it is refused, if it is.

    Raises ApiError 404.
    """
    row = fetch_one(
        "SELECT w.id, k.permissions, k.refusal FROM standin_workspaces w JOIN known_keys k ON k.tenant = w.id AND k.id = ?"
        " ORDER BY w.is_demo DESC",
        id,
    )
    tenant, permissions, refusal = get_or_404(row, "api-key", id)
    return tenant, json.loads(permissions), refusal


def _fetch_faults(tenant: str, id: str) -> list[dict[str, Any]]:
    sql = "SELECT body, hits FROM key_faults WHERE tenant = ? AND key_id = ? ORDER BY place"
    return [{**json.loads(body), "hits": hits} for body, hits in execute(sql, tenant, id)]


def _count_call(caller: Caller, route: str) -> dict[str, Any] | None:
    """Count a call, and return the rule that fires, or None. The transaction makes the counts hold across processes."""
    key = caller.tenant, caller.id
    with transaction():
        row = fetch_one(
            "SELECT place, body, calls, hits FROM key_faults"
            " WHERE tenant = ? AND key_id = ? AND ifnull(route, ?) = ? ORDER BY place LIMIT 1",
            *(*key, route, route),
        )
        if row is None:
            return None
        place, body, calls, hits = row
        fault: dict[str, Any] = json.loads(body)
        is_due = calls >= fault.get("after", 0) and hits < fault.get("times", hits + 1)
        is_hit = is_due and random.random() < fault.get("probability", 1)  # noqa: S311 (nobody gains by guessing it)
        sql = "UPDATE key_faults SET calls = calls + 1, hits = hits + ? WHERE tenant = ? AND key_id = ? AND place = ?"
        execute(sql, is_hit, *key, place)
    return fault if is_hit else None


def inject_fault(caller: Caller) -> None:
    """Delay or refuse a call, if a fault of its key says so. Raises ApiError."""
    route: Any = request.url_rule
    method = "GET" if request.method == "HEAD" else request.method
    fault = once("fault", lambda: _count_call(caller, f"{method} {route.template.removeprefix('/api/v1')}"))
    g.pop("has_stored", None)  # counting the call stores nothing that its client would do twice
    if fault is None:
        return
    delay = fault.get("delayMs", 0) / 1000
    if delay:
        leave_worker()
    g.fault_delay = delay  # seconds by which the response is held back
    if status := fault.get("status"):
        g.is_fault = True
        message = f"A fault of API key '{caller.id}', set by PUT /standin/keys/{caller.id}/faults, refused this call"
        if status == 401:
            raise unauthorized(message)
        if status not in WAITING:
            raise ApiError(status, message)
        raise retry_error(status, message, fault.get("retryAfter", 1))


@blueprint.get("/keys/<id>/faults")
@demo_only
@blueprint.response(200, StoredFaultBody(many=True))
def list_key_faults(id: str) -> list[dict[str, Any]]:
    """List the faults of an API key in order, each with how often it has fired."""
    return _fetch_faults(_find_key(id)[0], id)


@blueprint.put("/keys/<id>/faults")
@demo_only
@blueprint.arguments(FaultBody(many=True))
@blueprint.response(200, StoredFaultBody(many=True))
@blueprint.errors("CONFLICT")
def replace_key_faults(rules: list[dict[str, Any]], id: str) -> list[dict[str, Any]]:
    """Replace the faults of an API key: rules that delay or refuse calls that the key may make. Counts start from zero."""
    routes = _known_routes()
    raise_for_problems(_rule_problems(rules, routes))
    named = [rule | ({"on": routes[_route_shape(rule["on"])][0]} if "on" in rule else {}) for rule in rules]
    with transaction():
        tenant, held, refusal = _find_key(id)
        raise_for_problems(_permission_problems(named, routes, held))
        if refusal:
            raise ApiError(409, f"The calls of API key '{id}' are all refused anyway: {refusal}")
        execute("DELETE FROM key_faults WHERE tenant = ? AND key_id = ?", tenant, id)
        rows = ((tenant, id, place, to_json(rule)) for place, rule in enumerate(named))
        get_db().executemany("INSERT INTO key_faults (tenant, key_id, place, body) VALUES (?, ?, ?, ?)", rows)
        return _fetch_faults(tenant, id)


@blueprint.delete("/keys/<id>/faults")
@demo_only
@blueprint.response(204)
def delete_key_faults(id: str) -> None:
    """Remove the faults of an API key: all its calls are answered normally again."""
    with transaction():
        execute("DELETE FROM key_faults WHERE tenant = ? AND key_id = ?", _find_key(id)[0], id)
