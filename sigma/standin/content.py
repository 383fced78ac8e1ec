"""What a workspace holds besides its users and API keys: stored from a description of it, or from another one's rows."""

from typing import Any

from flask import g

from sigma.database import execute, get_db
from sigma.http.errors import raise_for_problems
from sigma.resources.categories import CategoryRequestBody, insert_assignment, insert_category
from sigma.resources.history import insert_entry, log_change, value_changes
from sigma.resources.model import MODEL, exists, load_object, store_object
from sigma.resources.records import ProductRecordBody
from sigma.resources.rules import schema_rules
from sigma.resources.saved_queries import SavedQueryRequestBody, insert_saved_query
from sigma.resources.variants import VariantBody
from sigma.resources.writes import store_entity


def insert_entities(content: dict[str, Any]) -> None:
    """Store records and variants as they are served, with their history.

    One of whose creation the history says nothing was created with the values that it has.
    """
    records, variants = ProductRecordBody(many=True).load(content["records"]), VariantBody(many=True).load(content["variants"])
    created = {entry["entityId"] for entry in content["history"] if entry["action"] == "create"}
    schemas = {record["id"]: record["schemaId"] for record in records}
    record_ids = {entity["id"]: entity.get("entityId", entity["id"]) for entity in (*records, *variants)}
    for entity in (*records, *variants):
        store_entity(schema_rules(schemas[record_ids[entity["id"]]]), entity)
        if entity["id"] not in created:
            log_change("create", entity, entity["createdAt"], value_changes({}, entity["values"]), entity["createdBy"])
    for entity in (*records, *variants):  # when all are there, because they may be related to one another
        raise_for_problems(schema_rules(schemas[record_ids[entity["id"]]]).values_problems(entity["values"]))
    for entry in content["history"]:
        insert_entry(record_ids[entry["entityId"]], entry)


def insert_content(content: dict[str, Any]) -> None:
    """Store in the current workspace what a description like demo.json says, checked as if it had come through the API."""
    for kind, body in content["model"]:  # one that comes again replaces the first: roles and workflows refer to each other
        old = load_object(kind, body["id"]) if exists(kind, body["id"]) else None
        store_object(kind, MODEL[kind].load(body), old)
    insert_entities(content)
    for catalog_id, category in content["categories"]:
        insert_category(CategoryRequestBody().load(category), catalog_id)
    for category_id, record_id in content["assignments"]:
        insert_assignment(category_id, record_id)
    for query in content["savedQueries"]:
        insert_saved_query(SavedQueryRequestBody().load(query))


CONTENT = (  # how each table's rows are read and stored, what is referred to before what refers to it
    (
        "SELECT kind, body FROM model_objects WHERE tenant = ? ORDER BY seq",
        "INSERT INTO model_objects (tenant, kind, body) VALUES (?, ?, ?)",
    ),
    (
        "SELECT kind, id, field, target_kind, target_id FROM model_references WHERE tenant = ? ORDER BY seq",
        "INSERT INTO model_references (tenant, kind, id, field, target_kind, target_id) VALUES (?, ?, ?, ?, ?, ?)",
    ),
    (
        "SELECT schema_id, body FROM entities WHERE tenant = ? ORDER BY seq",
        "INSERT INTO entities (tenant, schema_id, body) VALUES (?, ?, ?)",
    ),
    (
        "SELECT attribute, scope, value, entity_id FROM unique_values WHERE tenant = ?",
        "INSERT INTO unique_values (tenant, attribute, scope, value, entity_id) VALUES (?, ?, ?, ?, ?)",
    ),
    (
        "SELECT record_id, body FROM audit_log WHERE tenant = ? ORDER BY seq",
        "INSERT INTO audit_log (tenant, record_id, body) VALUES (?, ?, ?)",
    ),
    (
        "SELECT body FROM categories WHERE tenant = ? ORDER BY seq",
        "INSERT INTO categories (tenant, body) VALUES (?, ?)",
    ),
    (
        "SELECT category_id, record_id FROM category_assignments WHERE tenant = ? ORDER BY seq",
        "INSERT INTO category_assignments (tenant, category_id, record_id) VALUES (?, ?, ?)",
    ),
    (
        "SELECT body FROM saved_queries WHERE tenant = ? ORDER BY seq",
        "INSERT INTO saved_queries (tenant, body) VALUES (?, ?)",
    ),
)

Rows = list[list[tuple[Any, ...]]]  # of each table in CONTENT


def fetch_rows() -> Rows:
    """Return the rows of what the current workspace holds, oldest first."""
    return [execute(select, g.tenant).fetchall() for select, _ in CONTENT]


def insert_rows(tables: Rows) -> None:
    """Store in the current workspace, which is empty, what the rows of another one hold."""
    for (_, insert), rows in zip(CONTENT, tables, strict=True):
        get_db().executemany(insert, ((g.tenant, *row) for row in rows))
