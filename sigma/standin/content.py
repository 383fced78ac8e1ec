"""The contents of a workspace except its users and API keys: read as rows, and stored in another workspace."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from flask import g

from sigma.database import execute, get_db
from sigma.http.strict_json import to_json

CONTENT = {  # the statements that read and store each table's rows
    "model_objects": (
        "SELECT kind, body FROM model_objects WHERE tenant = ? ORDER BY seq",
        "INSERT INTO model_objects (tenant, kind, body) VALUES (?, ?, ?)",
    ),
    "model_references": (
        "SELECT kind, id, field, target_kind, target_id FROM model_references WHERE tenant = ? ORDER BY seq",
        "INSERT INTO model_references (tenant, kind, id, field, target_kind, target_id) VALUES (?, ?, ?, ?, ?, ?)",
    ),
    "entities": (
        "SELECT schema_id, body FROM entities WHERE tenant = ? ORDER BY seq",
        "INSERT INTO entities (tenant, schema_id, body) VALUES (?, ?, ?)",
    ),
    "unique_values": (
        "SELECT attribute, scope, value, entity_id FROM unique_values WHERE tenant = ?",
        "INSERT INTO unique_values (tenant, attribute, scope, value, entity_id) VALUES (?, ?, ?, ?, ?)",
    ),
    "audit_log": (
        "SELECT record_id, body FROM audit_log WHERE tenant = ? ORDER BY seq",
        "INSERT INTO audit_log (tenant, record_id, body) VALUES (?, ?, ?)",
    ),
    "categories": (
        "SELECT body FROM categories WHERE tenant = ? ORDER BY seq",
        "INSERT INTO categories (tenant, body) VALUES (?, ?)",
    ),
    "category_assignments": (
        "SELECT category_id, record_id FROM category_assignments WHERE tenant = ? ORDER BY seq",
        "INSERT INTO category_assignments (tenant, category_id, record_id) VALUES (?, ?, ?)",
    ),
    "saved_queries": (
        "SELECT body FROM saved_queries WHERE tenant = ? ORDER BY seq",
        "INSERT INTO saved_queries (tenant, body) VALUES (?, ?)",
    ),
    "webhooks": (
        "SELECT body, secret FROM webhooks WHERE tenant = ? ORDER BY seq",
        "INSERT INTO webhooks (tenant, body, secret) VALUES (?, ?, ?)",
    ),
}

Rows = Mapping[str, Iterable[tuple[Any, ...]]]  # by table


def fetch_rows(tenant: str) -> Rows:
    """Return the rows of a workspace by table, oldest first."""
    return {table: execute(select, tenant).fetchall() for table, (select, _) in CONTENT.items()}


def insert_rows(tables: Rows) -> None:
    """Store rows in the current workspace, which must not hold them yet. Must be called inside a transaction."""
    execute("PRAGMA defer_foreign_keys = ON")  # until the commit: a category may be below one that was made later
    for table, rows in tables.items():
        get_db().executemany(CONTENT[table][1], ((g.tenant, *row) for row in rows))


def pause_webhooks(rows: Rows) -> Rows:
    """Return the rows with all webhooks inactive and without secrets, so that a copy does not send to the same receivers."""
    webhooks = [json.loads(text) for text, _ in rows["webhooks"]]
    for webhook in webhooks:
        webhook.pop("secret", None)
        webhook["active"] = False
    return {**rows, "webhooks": [(to_json(webhook), None) for webhook in webhooks]}
