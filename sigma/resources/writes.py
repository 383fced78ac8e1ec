"""How records and variants are written: values are checked, unique ones claimed, and every change is added to the history.

What the caller's role may write is decided where values are stored: insert_entity(), save_changes() and, for an import,
ManyWrites are the gate, which no route can bypass. The role is asked earlier only for the sake of the order of errors: what
the role forbids is reported before what is wrong with the values, so that no message depends on hidden values.
"""

from collections.abc import Container, Iterable
from typing import Any

from sigma.context import context
from sigma.database import execute, fetch_one
from sigma.http.errors import ApiError, holder_named, name_of, not_found_error, raise_for_problems
from sigma.http.nearest import MOST
from sigma.http.stamps import utc_now
from sigma.http.strict_json import format_value, to_json
from sigma.resources.entities import Entity
from sigma.resources.history import log_change, value_changes
from sigma.resources.role_limits import Levels, caller_levels
from sigma.resources.rules import SchemaRules, schema_rules
from sigma.resources.unique_values import claim_values, free_values
from sigma.resources.values import Scopes, scope_key


def audit_fields() -> dict[str, str]:
    """Return who creates a record or variant, and when."""
    now, who = utc_now(), context().caller.id
    return {"createdAt": now, "updatedAt": now, "createdBy": who, "updatedBy": who}


def _require_write(levels: Levels, values: dict[str, Any], changed: Container[str]) -> None:
    """Raise ApiError 403 for values that the caller may not write; takes the aliases whose values would change.

    A body that lists a hidden attribute is refused even if nothing would change: success would reveal what is stored.
    """
    levels.require_write(alias for alias in values if alias in changed or not levels.shows(alias))


def check_new_values(rules: SchemaRules, values: dict[str, Any]) -> None:
    """Raise ApiError 403 for values of a new entity that the caller may not write, or 400 for those that break the rules."""
    if (levels := caller_levels(rules.schema["id"])).listed:
        _require_write(levels, values, {alias for alias, entries in values.items() if entries})
    raise_for_problems(rules.values_problems(values))


def _name_entity(id: str) -> str:
    (record,) = fetch_one("SELECT record_id FROM entities WHERE tenant = ? AND id = ?", context().tenant, id)
    return name_of("record", id) if record is None else f"{name_of('variant', id)} of {name_of('record', record)}"


def store_entity(rules: SchemaRules, entity: dict[str, Any]) -> str:
    """Store a new record or variant, without an entry in the history, and return its text. Raises ApiError 409."""
    body = to_json(entity)
    with holder_named(lambda _: _name_entity(entity["id"])):
        execute("INSERT INTO entities (tenant, schema_id, body) VALUES (?, ?, ?)", context().tenant, rules.schema["id"], body)
    for alias, entries in entity["values"].items():
        if rules.attributes[alias].is_unique:
            claim_values(entity["id"], rules.attributes[alias], entries)
    return body


def insert_entity(rules: SchemaRules, entity: dict[str, Any]) -> str:
    """Store a new record or variant, whose values were checked, and return its text. Raises ApiError 403 or 409."""
    caller_levels(rules.schema["id"]).require_write(entity["values"])
    body = store_entity(rules, entity)
    log_change("create", entity, body, entity["createdAt"], value_changes({}, entity["values"]))
    return body


def _scopes_by_attribute(changes: Iterable[dict[str, Any]]) -> Scopes:
    scopes: Scopes = {}
    for change in changes:
        scopes.setdefault(change["attribute"], set()).add(scope_key(change["scope"]))
    return scopes


def locked_attributes(rules: SchemaRules, state_id: str | None) -> Container[str]:
    """Return the aliases of the attributes that cannot change in a state."""
    return rules.states[state_id].read_only if state_id in rules.states else ()


def read_only_problem(rules: SchemaRules, state_id: str | None, alias: str) -> str:
    """Return a message that an attribute is read-only in a state, with the next states, if any, in which it is not."""
    targets = {transition["toStateId"] for transition in rules.transitions_from(state_id)}
    names = [format_value(state) for state in rules.states if state in targets and alias not in locked_attributes(rules, state)]
    advice = f"a transition to {' or '.join(names[:MOST])} makes it writable" if names else "no transition makes it writable"
    return f"is read-only in state '{state_id}' ({advice})"


def require_unlocked(rules: SchemaRules, state_id: str | None, aliases: Iterable[str]) -> None:
    """Raise ApiError 403 for an attribute that cannot change in a state."""
    locked = locked_attributes(rules, state_id)
    for alias in aliases:
        if alias in locked:
            raise ApiError(403, f"values.{alias}: attribute '{alias}' {read_only_problem(rules, state_id, alias)}")


def _move_claims(rules: SchemaRules, entity_id: str, values: dict[str, Any], scopes: Scopes) -> None:
    for alias, changed in scopes.items():
        attribute = rules.attributes.get(alias)
        if attribute is None or attribute.is_unique:  # claims of an attribute that the schema has lost are freed, too
            free_values(entity_id, alias, changed)
        if attribute is not None and attribute.is_unique:
            claim_values(entity_id, attribute, values[alias], changed)


def changed_body(entity: Entity, values: dict[str, Any], now: str) -> dict[str, Any]:
    """Return a record or variant in which the caller replaces these values now; empty ones are removed."""
    kept = {alias: entries for alias, entries in {**entity.body["values"], **values}.items() if entries}
    return {**entity.body, "updatedAt": now, "updatedBy": context().caller.id, "values": kept}


def save_changes(rules: SchemaRules, entity: Entity, values: dict[str, Any], changes: list[dict[str, Any]]) -> str:
    """Store the changed values of a record or variant, which were checked, and return its text.

    Without a change, nothing is stored. Raises ApiError 403 or 409.
    """
    if not changes:
        return entity.text
    scopes = _scopes_by_attribute(changes)
    caller_levels(entity.schema_id).require_write(scopes)
    require_unlocked(rules, entity.state_id, scopes)
    _move_claims(rules, entity.body["id"], values, scopes)
    now = utc_now()
    body = to_json(changed_body(entity, {alias: values[alias] for alias in scopes}, now))
    execute("UPDATE entities SET body = ? WHERE tenant = ? AND id = ?", body, context().tenant, entity.body["id"])
    log_change("update", entity.body, body, now, changes)
    return body


def save_values(entity: Entity, values: dict[str, Any]) -> str:
    """Replace the values of some attributes of a record or variant, and return its text.

    What does not change is not checked again. Raises ApiError 400, 403 or 409.
    """
    rules, levels = schema_rules(entity.schema_id), caller_levels(entity.schema_id)
    stored = levels.visible(entity.body["values"])
    changes = list(value_changes({alias: stored[alias] for alias in values if alias in stored}, values))
    scopes = _scopes_by_attribute(changes)
    _require_write(levels, values, scopes)
    require_unlocked(rules, entity.state_id, scopes)
    raise_for_problems(rules.change_problems(values, stored, scopes))
    return save_changes(rules, entity, values, changes)


def save_value(entity: Entity, alias: str, scope: dict[str, str], value: Any) -> str:
    """Set one value of a record or variant, or remove it with null, and return the text of the record or variant.

    Raises ApiError 400, 403, 404 or 409.
    """
    schema, levels = schema_rules(entity.schema_id), caller_levels(entity.schema_id)
    levels.require_write([alias])
    stored = levels.visible(entity.body["values"]).get(alias, [])
    index = next((index for index, entry in enumerate(stored) if entry["scope"] == scope), len(stored))
    new = [*stored[:index], *([] if value is None else [{"scope": scope, "value": value}]), *stored[index + 1 :]]
    changes = list(value_changes({alias: stored}, {alias: new}))
    require_unlocked(schema, entity.state_id, [alias] if changes else ())
    if index == len(stored) or (changes and value is not None):  # a stored value may stay or be removed, whatever it is
        rules = schema.attributes.get(alias)
        if rules is None:
            raise not_found_error("attribute", alias, schema.hint_at_alias(alias))
        raise_for_problems(rules.scope_problems(scope, "scope"))
        if value is not None and (problem := rules.value_problem(value)):
            raise ApiError(400, f"value: {problem}")
    return save_changes(schema, entity, {alias: new}, changes)
