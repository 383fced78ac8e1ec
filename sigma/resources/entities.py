"""What records and variants share: how they are stored, and their history."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from flask import Response, g, request

from sigma.database import execute, fetch_one, snapshot
from sigma.http.errors import ApiError, get_or_404, not_found_error, raise_for_problems
from sigma.http.fields import Body
from sigma.http.paging import page_bounds
from sigma.http.responses import json_page
from sigma.http.stamps import random_id, utc_now
from sigma.http.strict_json import to_json
from sigma.resources.rules import SchemaRules, schema_rules
from sigma.resources.unique_values import claim_values
from sigma.resources.values import Values, scope_key


class ValuesBody(Body):
    """Values to be replaced: those of each attribute listed, while the others stay; an empty array clears one."""

    values = Values(required=True)


class Entity(NamedTuple):
    """A record or a variant as it is stored."""

    schema_id: str
    state_id: str | None  # a variant's is its record's
    body: dict[str, Any]


def load_record(id: str) -> Entity:
    """Return a record. Raises ApiError 404."""
    sql = "SELECT schema_id, state_id, body FROM entities WHERE tenant = ? AND id = ? AND is_variant = 0"
    schema_id, state_id, body = get_or_404(fetch_one(sql, g.tenant, id), "record", id)
    return Entity(schema_id, state_id, json.loads(body))


def audit_fields() -> dict[str, str]:
    """Return who makes a record or variant, and when."""
    now, who = utc_now(), g.caller.id
    return {"createdAt": now, "updatedAt": now, "createdBy": who, "updatedBy": who}


def log_change(action: str, entity: dict[str, Any], at: str, changes: Iterable[dict[str, Any]]) -> None:
    """Add to the history of a record or variant what was changed, at the time that the record or variant has for it, too."""
    caller = g.caller
    entry = {
        "id": random_id("audit"),
        "entityId": entity["id"],
        "action": action,
        "userId": caller.id,
        "timestamp": at,
        "changes": list(changes),
    }
    record_id = entity.get("entityId", entity["id"])
    execute("INSERT INTO audit_log (tenant, record_id, body) VALUES (?, ?, ?)", caller.tenant, record_id, to_json(entry))


def by_scope(entries: Iterable[dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    """Return scoped values by their scopes, in which the order of members does not matter."""
    return {scope_key(entry["scope"]): entry for entry in entries}


def value_changes(old: dict[str, Any], new: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what changed between two sets of values, by attribute and scope."""
    for alias in {**old, **new}:
        if alias not in old:
            for entry in new[alias]:
                yield {"attribute": alias, "scope": entry["scope"], "oldValue": None, "newValue": entry["value"]}
            continue
        before, after = by_scope(old[alias]), by_scope(new.get(alias, ()))
        for key, entry in {**before, **after}.items():
            was, became = (entries[key]["value"] if key in entries else None for entries in (before, after))
            if was is None or became is None or to_json(was) != to_json(became):  # as text, because to Python True is 1
                yield {"attribute": alias, "scope": entry["scope"], "oldValue": was, "newValue": became}


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


def log_deletions(bodies: Iterable[tuple[str]]) -> None:
    """Add to the history that records or variants, of which these are the texts, are gone."""
    now = utc_now()
    for (body,) in bodies:
        entity = json.loads(body)
        log_change("delete", entity, now, value_changes(entity["values"], {}))


def list_entities(is_variant: int) -> Response:
    """Return one page of the records, or of the variants, that the query string asks for, newest last."""
    query = request.args
    offset, limit = page_bounds(query)
    filters, parameters = " AND is_variant = " + ("1" if is_variant else "0"), [g.tenant]
    for column, name in [("schema_id", "schemaId")] + ([] if is_variant else [("state_id", "lifecycleStateId")]):
        if name in query:
            filters += f" AND {column} = ? AND {column} <> ''"  # '' stands for no state in entity_counts
            parameters.append(query[name])
    counts = f"SELECT ifnull(sum(total), 0) FROM entity_counts WHERE tenant = ?{filters}"  # noqa: S608 (constants only)
    # The inner query walks an index alone to where the page begins, so that no body before it is read.
    page = (
        f"SELECT CAST(body AS BLOB) FROM entities WHERE tenant = ?{filters}"  # noqa: S608 (constants only)
        f" AND seq >= (SELECT seq FROM entities WHERE tenant = ?{filters} ORDER BY seq LIMIT 1 OFFSET ?) ORDER BY seq LIMIT ?"
    )
    with snapshot():
        (total,) = fetch_one(counts, *parameters)
        return json_page(execute(page, *parameters, *parameters, offset, limit), total, offset, limit)
