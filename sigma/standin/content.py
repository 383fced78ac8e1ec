"""The contents of a workspace except its users and API keys: read as rows, and stored in another workspace, or copied."""

import itertools
import json
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any

from flask import g

from sigma.database import execute, get_db
from sigma.http.strict_json import to_json

CONTENT = {  # the statements that read and store each table's rows, and copy them to another workspace
    "model_objects": (
        "SELECT kind, body FROM model_objects WHERE tenant = ? ORDER BY seq",
        "INSERT INTO model_objects (tenant, kind, body) VALUES (?, ?, ?)",
        "INSERT INTO model_objects (tenant, kind, body) SELECT ?, kind, body FROM model_objects WHERE tenant = ? ORDER BY seq",
    ),
    "model_references": (
        "SELECT kind, id, field, target_kind, target_id FROM model_references WHERE tenant = ? ORDER BY seq",
        "INSERT INTO model_references (tenant, kind, id, field, target_kind, target_id) VALUES (?, ?, ?, ?, ?, ?)",
        "INSERT INTO model_references (tenant, kind, id, field, target_kind, target_id)"
        " SELECT ?, kind, id, field, target_kind, target_id FROM model_references WHERE tenant = ? ORDER BY seq",
    ),
    "entities": (
        "SELECT schema_id, body FROM entities WHERE tenant = ? ORDER BY seq",
        "INSERT INTO entities (tenant, schema_id, body) VALUES (?, ?, ?)",
        "INSERT INTO entities (tenant, schema_id, body) SELECT ?, schema_id, body FROM entities WHERE tenant = ? ORDER BY seq",
    ),
    "unique_values": (
        "SELECT attribute, scope, value, entity_id FROM unique_values WHERE tenant = ?",
        "INSERT INTO unique_values (tenant, attribute, scope, value, entity_id) VALUES (?, ?, ?, ?, ?)",
        "INSERT INTO unique_values (tenant, attribute, scope, value, entity_id)"
        " SELECT ?, attribute, scope, value, entity_id FROM unique_values WHERE tenant = ?",
    ),
    "audit_log": (
        "SELECT record_id, body FROM audit_log WHERE tenant = ? ORDER BY seq",
        "INSERT INTO audit_log (tenant, record_id, body) VALUES (?, ?, ?)",
        "INSERT INTO audit_log (tenant, record_id, body)"
        " SELECT ?, record_id, body FROM audit_log WHERE tenant = ? ORDER BY seq",
    ),
    "categories": (
        "SELECT body FROM categories WHERE tenant = ? ORDER BY seq",
        "INSERT INTO categories (tenant, body) VALUES (?, ?)",
        "INSERT INTO categories (tenant, body) SELECT ?, body FROM categories WHERE tenant = ? ORDER BY seq",
    ),
    "category_assignments": (
        "SELECT category_id, record_id FROM category_assignments WHERE tenant = ? ORDER BY seq",
        "INSERT INTO category_assignments (tenant, category_id, record_id) VALUES (?, ?, ?)",
        "INSERT INTO category_assignments (tenant, category_id, record_id)"
        " SELECT ?, category_id, record_id FROM category_assignments WHERE tenant = ? ORDER BY seq",
    ),
    "saved_queries": (
        "SELECT body FROM saved_queries WHERE tenant = ? ORDER BY seq",
        "INSERT INTO saved_queries (tenant, body) VALUES (?, ?)",
        "INSERT INTO saved_queries (tenant, body) SELECT ?, body FROM saved_queries WHERE tenant = ? ORDER BY seq",
    ),
    "webhooks": (
        "SELECT body, secret FROM webhooks WHERE tenant = ? ORDER BY seq",
        "INSERT INTO webhooks (tenant, body, secret) VALUES (?, ?, ?)",
        None,
    ),
}

Rows = Mapping[str, Iterable[tuple[Any, ...]]]  # by table


def fetch_rows(tenant: str) -> Rows:
    """Return the rows of a workspace by table, oldest first."""
    return {table: execute(select, tenant).fetchall() for table, (select, *_) in CONTENT.items()}


def insert_rows(tables: Rows) -> None:
    """Store rows in the current workspace, which must not hold them yet. Must be called inside a transaction."""
    execute("PRAGMA defer_foreign_keys = ON")  # until the commit: a category may be below one that was made later
    for table, rows in tables.items():
        get_db().executemany(CONTENT[table][1], ((g.tenant, *row) for row in rows))


def copy_rows(tenant: str) -> None:
    """Store copies of a workspace's rows in the current workspace, as insert_rows() does; the webhooks are paused.

    SQLite copies them within its cache, however many they are.
    """
    webhooks = execute(CONTENT["webhooks"][0], tenant).fetchall()
    insert_rows({"webhooks": pause_webhooks(webhooks)})
    for _, _, copy in CONTENT.values():
        if copy:
            execute(copy, g.tenant, tenant)


def is_larger(tenant: str, most: int) -> bool:
    """Return whether the contents of a workspace have more bytes than this. Nearly all are in three tables."""
    sql = (
        "SELECT length(CAST(body AS BLOB)) FROM entities WHERE tenant = ?"
        " UNION ALL SELECT length(CAST(body AS BLOB)) FROM audit_log WHERE tenant = ?"
        " UNION ALL SELECT length(CAST(body AS BLOB)) FROM model_objects WHERE tenant = ?"
    )
    with closing(execute(sql, tenant, tenant, tenant)) as sizes:
        return any(total > most for total in itertools.accumulate(size for (size,) in sizes))


def pause_webhooks(rows: Iterable[tuple[str, str | None]]) -> list[tuple[str, None]]:
    """Return rows of webhooks, inactive and without secrets, so that a copy does not send to the same receivers."""
    webhooks = [json.loads(text) for text, _ in rows]
    for webhook in webhooks:
        webhook.pop("secret", None)
        webhook["active"] = False
    return [(to_json(webhook), None) for webhook in webhooks]
