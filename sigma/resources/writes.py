"""How records and variants are written: with their values checked, unique ones claimed, and every change in the history."""

from typing import Any

from flask import g

from sigma.database import execute
from sigma.http.bodies import raise_for_problems
from sigma.http.errors import ApiError, not_found_error
from sigma.http.stamps import utc_now
from sigma.http.strict_json import to_json
from sigma.resources.entities import Entity
from sigma.resources.history import log_change, value_changes
from sigma.resources.rules import SchemaRules, schema_rules
from sigma.resources.unique_values import claim_values


def audit_fields() -> dict[str, str]:
    """Return who makes a record or variant, and when."""
    now, who = utc_now(), g.caller.id
    return {"createdAt": now, "updatedAt": now, "createdBy": who, "updatedBy": who}


def insert_entity(rules: SchemaRules, entity: dict[str, Any]) -> str:
    """Store a new record or variant and return its text. Raises ApiError 409."""
    body = to_json(entity)
    execute("INSERT INTO entities (tenant, schema_id, body) VALUES (?, ?, ?)", g.tenant, rules.schema["id"], body)
    for alias, entries in entity["values"].items():
        if rules.attributes[alias].is_unique:
            claim_values(entity["id"], alias, entries)
    log_change("create", entity, entity["createdAt"], value_changes({}, entity["values"]))
    return body


def save_values(rules: SchemaRules, entity: Entity, changed: dict[str, Any]) -> str:
    """Store a record or variant with some attributes' values, which were checked, replaced. Raises ApiError 403 or 409."""
    old, id = entity.body["values"], entity.body["id"]
    new = {alias: entries for alias, entries in {**old, **changed}.items() if entries}
    changes = list(value_changes(old, new))
    locked = rules.states[entity.state_id].read_only if entity.state_id in rules.states else ()
    for change in changes:
        if change["attribute"] in locked:
            alias = change["attribute"]
            raise ApiError(403, f"values.{alias}: attribute '{alias}' is read-only in state '{entity.state_id}'")
    for alias, entries in changed.items():
        is_unique = alias in rules.attributes and rules.attributes[alias].is_unique
        if is_unique or alias not in rules.attributes:  # what an attribute claimed before the schema lost it is freed
            execute("DELETE FROM unique_values WHERE tenant = ? AND attribute = ? AND entity_id = ?", g.tenant, alias, id)
        if is_unique:
            claim_values(id, alias, entries)
    now = utc_now()
    body = to_json({**entity.body, "updatedAt": now, "updatedBy": g.caller.id, "values": new})
    execute("UPDATE entities SET body = ? WHERE tenant = ? AND id = ?", body, g.tenant, id)
    log_change("update", entity.body, now, changes)
    return body


def save_checked_values(entity: Entity, changed: dict[str, Any]) -> str:
    """Store a record or variant with some attributes' values replaced. Raises ApiError 400, 403 or 409."""
    rules = schema_rules(entity.schema_id)
    raise_for_problems(rules.values_problems(changed, entity.body["values"]))
    return save_values(rules, entity, changed)


def save_value(entity: Entity, alias: str, scope: dict[str, str], value: Any) -> str:
    """Store a record or variant with one value set, or removed by null. Raises ApiError 400, 403, 404 or 409."""
    schema, entries = schema_rules(entity.schema_id), list(entity.body["values"].get(alias, []))
    rules = schema.attributes.get(alias)
    place = next((index for index, entry in enumerate(entries) if entry["scope"] == scope), len(entries))
    if value is not None or place == len(entries):  # what is stored may be removed, whatever has become of its attribute
        if rules is None:
            raise not_found_error("attribute", alias)
        raise_for_problems(rules.scope_problems(scope, "scope"))
        if value is not None and (problem := rules.value_problem(value)):
            raise ApiError(400, f"value: {problem}")
    entries[place : place + 1] = [] if value is None else [{"scope": scope, "value": value}]
    return save_values(schema, entity, {alias: entries})
