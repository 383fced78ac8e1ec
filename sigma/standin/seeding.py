"""Storing a seed in an empty workspace, with all checks, and making a seed from the contents of a workspace."""

import json
import operator
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from flask import g

from sigma.database import snapshot
from sigma.http.credentials import acting_as
from sigma.http.date_times import Instant, read_instant
from sigma.http.errors import ApiError, raise_for_problems
from sigma.http.references import references
from sigma.http.stamps import random_id, utc_now
from sigma.http.strict_json import format_value, to_json
from sigma.resources.history import value_changes
from sigma.resources.model import MODEL
from sigma.resources.rules import AttributeRules, SchemaRules, current_rules, schema_rules
from sigma.resources.saved_queries import QUERY_PATH
from sigma.resources.search import read_query
from sigma.resources.unique_values import claims, find_holder
from sigma.resources.users import fetch_users
from sigma.resources.value_checks import begin_row
from sigma.resources.webhooks import webhook_problems, webhook_row
from sigma.standin.content import Rows, fetch_rows, insert_rows, pause_webhooks


class Entity(NamedTuple):
    """A record or variant of a seed."""

    path: str  # in the seed
    schema_id: str
    is_checked: bool
    body: dict[str, Any]  # as it is stored

    @property
    def id(self) -> str:
        """Its id."""
        id: str = self.body["id"]
        return id

    @property
    def record_id(self) -> str:
        """The id of its record: a record's own."""
        id: str = self.body.get("entityId", self.body["id"])
        return id


def insert_model(model: list[list[Any]]) -> None:
    """Store model objects, each of which may refer to any other, in any order."""
    links = [(kind, body["id"], *link) for kind, body in model for link in references(MODEL[kind], body)]
    insert_rows({"model_objects": [(kind, to_json(body)) for kind, body in model], "model_references": links})


def _stamps(given: dict[str, Any]) -> dict[str, str]:
    made, by = given.get("createdAt") or utc_now(), given.get("createdBy") or g.caller.id
    changed = {"updatedAt": given.get("updatedAt", made), "updatedBy": given.get("updatedBy", by)}
    return {"createdAt": made, "updatedAt": changed["updatedAt"], "createdBy": by, "updatedBy": changed["updatedBy"]}


def _own_members(given: dict[str, Any], is_checked: bool) -> dict[str, Any]:
    """Return the members that only records have, or only variants."""
    if "entityId" in given:
        record = given["entityId"]
        return {"entityId": record, "parentId": given.get("parentId", record), "level": given["level"]}
    state, workflow = given.get("lifecycleStateId"), schema_rules(given["schemaId"]).workflow
    if state is None and workflow and is_checked:
        state = workflow["defaultStateId"]
    return {"schemaId": given["schemaId"], "lifecycleStateId": state}


def _make_entities(seed: dict[str, Any]) -> list[Entity]:
    schemas = {record["id"]: record["schemaId"] for record in seed["records"]}
    entities = []
    for member in ("records", "variants"):
        for index, given in enumerate(seed[member]):
            is_checked = not given.get("unchecked", False)
            values = {alias: entries for alias, entries in given["values"].items() if entries}
            body = {"id": given["id"], **_own_members(given, is_checked), **_stamps(given), "values": values}
            schema_id = schemas[given.get("entityId", given["id"])]
            entities.append(Entity(f"{member}[{index}]", schema_id, is_checked, body))
    return entities


def _state_problem(rules: SchemaRules, state_id: str | None) -> str | None:
    if rules.workflow is None:
        expected = "none" if state_id is not None else None
    else:
        expected = f"the id of a state of workflow '{rules.workflow['id']}'" if state_id not in rules.states else None
    return expected and f"lifecycleStateId: expected {expected}, got {format_value(state_id)}"


def entity_problems(schema_id: str, body: dict[str, Any]) -> Iterator[str]:
    """Yield the problems of a stored record or variant by the rules of the model."""
    begin_row()  # the limit on matching patterns holds for each one, as for each row of an import
    rules = schema_rules(schema_id)
    if "entityId" not in body:
        yield from filter(None, [_state_problem(rules, body["lifecycleStateId"])])
    elif not rules.schema["variantEnabled"]:
        yield f"entityId: schema '{schema_id}' has no variants (variantEnabled is false)"
    yield from rules.values_problems(body["values"])


def _unique_attributes(model: list[list[Any]]) -> dict[str, AttributeRules]:
    """Return the rules of the attributes with unique values, by alias; takes the stored model."""
    attributes = [body for kind, body in model if kind == "attribute"]
    return {body["alias"]: current_rules(body) for body in attributes if body["validation"].get("unique")}


def _entity_claims(unique: dict[str, AttributeRules], body: dict[str, Any]) -> Iterator[tuple[str, Any, tuple[str, str, str]]]:
    """Yield the unique values of a record or variant: each with its path and its key of attribute, scope and value."""
    for alias, entries in body["values"].items():
        rules = unique.get(alias)
        for index, claim in enumerate(claims(rules.kind, entries, rules.options) if rules else ()):
            if claim is not None:
                yield f"values.{alias}[{index}].value", entries[index]["value"], (alias, *claim)


def _insert_claims(entities: list[Entity], unique: dict[str, AttributeRules]) -> None:
    holders: dict[tuple[str, str, str], str] = {}
    problems = []
    for entity in sorted(entities, key=lambda entity: not entity.is_checked):  # unchecked ones get the values that are left
        for path, value, key in _entity_claims(unique, entity.body):
            holder = holders.setdefault(key, entity.id)
            if entity.is_checked and holder != entity.id:
                problems.append(f"{entity.path}.{path}: {format_value(value)} is already the value of '{holder}'")
    raise_for_problems(problems)
    insert_rows({"unique_values": [(*key, holder) for key, holder in holders.items()]})


def _insert_entities(seed: dict[str, Any]) -> list[Entity]:
    entities = _make_entities(seed)
    insert_rows({"entities": [(entity.schema_id, to_json(entity.body)) for entity in entities]})
    raise_for_problems(  # after all are stored, because they may refer to one another
        f"{entity.path}.{problem}"
        for entity in entities
        if entity.is_checked
        for problem in entity_problems(entity.schema_id, entity.body)
    )
    _insert_claims(entities, _unique_attributes(seed["model"]))
    return entities


def _creation(entity: Entity) -> dict[str, Any]:
    body = entity.body
    action = {"action": "create", "userId": body["createdBy"], "timestamp": body["createdAt"]}
    return {"entityId": entity.id, **action, "changes": list(value_changes({}, body["values"]))}


def _instant(entry: dict[str, Any]) -> Instant:
    return cast(Instant, read_instant(entry["timestamp"]))  # the seed's form was checked


def _by_time(creations: list[dict[str, Any]], history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the entries of a history and the creations that it lacks, by time.

    The given entries keep their order, and a creation comes before all else that happened to its record or variant.
    """
    given: list[tuple[Instant, dict[str, Any]]] = []
    first: dict[str, Instant] = {}  # by record or variant: when its given history begins
    latest = Instant(0, "")
    for entry in history:
        latest = max(latest, _instant(entry))
        first.setdefault(entry["entityId"], latest)
        given.append((latest, entry))
    made = [(min(_instant(entry), first.get(entry["entityId"], _instant(entry))), entry) for entry in creations]
    return [entry for _, entry in sorted([*made, *given], key=operator.itemgetter(0))]


def _insert_history(entities: list[Entity], history: list[dict[str, Any]]) -> None:
    created = {entry["entityId"] for entry in history if entry["action"] == "create"}
    entries = _by_time([_creation(entity) for entity in entities if entity.id not in created], history)
    record_ids = {entity.id: entity.record_id for entity in entities}
    rows = []
    for entry in entries:
        record_id = entry.get("recordId") or record_ids.get(entry["entityId"], entry["entityId"])
        kept = {name: value for name, value in entry.items() if name != "recordId"}
        rows.append((record_id, to_json({"id": random_id("audit"), **kept})))
    insert_rows({"audit_log": rows})


def _insert_queries(queries: list[dict[str, Any]]) -> None:
    rows = []
    for index, query in enumerate(queries):
        if not query.get("unchecked"):
            read_query(query["query"], f"savedQueries[{index}].{QUERY_PATH}")
        saved = {"createdAt": query.get("createdAt") or utc_now(), "createdBy": query.get("createdBy") or g.caller.id}
        rows.append((to_json({"id": query["id"], "name": query["name"], "query": query["query"], **saved}),))
    insert_rows({"saved_queries": rows})


def _insert_webhooks(webhooks: list[dict[str, Any]]) -> None:
    raise_for_problems(
        problem for index, webhook in enumerate(webhooks) for problem in webhook_problems(webhook, f"webhooks[{index}].")
    )
    insert_rows({"webhooks": map(webhook_row, webhooks)})


def insert_seed(seed: dict[str, Any]) -> None:
    """Store a seed, except its users, in the current workspace, which is empty; check it as the API would.

    Raises ApiError 400, naming paths in the seed.
    """
    insert_model(seed["model"])
    entities = _insert_entities(seed)
    _insert_history(entities, seed["history"])
    categories = [(to_json({"id": body["id"], "catalogId": catalog, **body}),) for catalog, body in seed["categories"]]
    insert_rows({"categories": categories, "category_assignments": dict.fromkeys(map(tuple, seed["assignments"]))})
    _insert_queries(seed["savedQueries"])
    _insert_webhooks(seed["webhooks"])


def _is_refused(query: dict[str, Any]) -> bool:
    try:
        read_query(query, "")
    except ApiError:
        return True
    return False


def _describe_entities(rows: Rows, unique: dict[str, AttributeRules]) -> dict[str, list[dict[str, Any]]]:
    described: dict[str, list[dict[str, Any]]] = {"records": [], "variants": []}
    for schema_id, text in rows["entities"]:
        body = json.loads(text)
        holders = (find_holder(*key) for *_, key in _entity_claims(unique, body))
        is_stale = any(entity_problems(schema_id, body)) or any(holder not in (None, body["id"]) for holder in holders)
        described["variants" if "entityId" in body else "records"].append(body | ({"unchecked": True} if is_stale else {}))
    return described


def _describe_history(rows: Rows) -> list[dict[str, Any]]:
    entities = [json.loads(text) for _, text in rows["entities"]]
    records = {body["id"]: body.get("entityId", body["id"]) for body in entities}
    history = []
    for record_id, text in rows["audit_log"]:
        entry = json.loads(text)
        is_implied = records.get(entry["entityId"], entry["entityId"]) == record_id  # False for a variant that is gone
        history.append(entry if is_implied else {**entry, "recordId": record_id})
    return history


def _describe_queries(rows: Rows) -> list[dict[str, Any]]:
    queries = [json.loads(text) for (text,) in rows["saved_queries"]]
    return [query | ({"unchecked": True} if _is_refused(query["query"]) else {}) for query in queries]


def make_seed(tenant: str) -> dict[str, Any]:
    """Return the seed of a workspace: all its contents except emails, passwords, API keys and deliveries.

    Its webhooks are paused and have no secrets.
    """
    with acting_as(tenant, ""), snapshot():
        rows = fetch_rows(tenant)
        model = [[kind, json.loads(text)] for kind, text in rows["model_objects"]]
        categories = [json.loads(text) for (text,) in rows["categories"]]
        return {
            "users": [{name: user[name] for name in ("id", "name", "roleId")} for user in fetch_users(tenant)],
            "model": model,
            **_describe_entities(rows, _unique_attributes(model)),
            "history": _describe_history(rows),
            "categories": [[body.pop("catalogId"), body] for body in categories],
            "assignments": list(map(list, rows["category_assignments"])),
            "savedQueries": _describe_queries(rows),
            "webhooks": [json.loads(text) for text, _ in pause_webhooks(rows["webhooks"])],
        }
