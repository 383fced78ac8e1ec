"""The demo workspace: what it holds at first."""

import functools
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import current_app, g
from werkzeug.security import generate_password_hash

from sigma.database import execute, fetch_one, get_db
from sigma.http.credentials import Caller, hash_key
from sigma.http.stamps import random_id
from sigma.http.strict_json import to_json
from sigma.permissions import ROLE_FLAGS
from sigma.resources.categories import CategoryRequestBody, insert_assignment, insert_category
from sigma.resources.lifecycle import transition
from sigma.resources.model import MODEL, exists, load_object, store_object
from sigma.resources.records import RecordRequestBody, insert_record
from sigma.resources.roles import RoleBody
from sigma.resources.sessions import next_sessions_from
from sigma.resources.variants import VariantRequestBody, insert_variant

DEMO_FILE = Path(__file__).with_name("demo.json")

CONTENT_TABLES = (  # how what a workspace holds is read, and stored in another one; foreign keys allow this order
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
    ("SELECT body FROM categories WHERE tenant = ? ORDER BY seq", "INSERT INTO categories (tenant, body) VALUES (?, ?)"),
    (
        "SELECT category_id, record_id FROM category_assignments WHERE tenant = ? ORDER BY seq",
        "INSERT INTO category_assignments (tenant, category_id, record_id) VALUES (?, ?, ?)",
    ),
    (
        "SELECT record_id, body FROM audit_log WHERE tenant = ? ORDER BY seq",
        "INSERT INTO audit_log (tenant, record_id, body) VALUES (?, ?, ?)",
    ),
)

CONTENT_DELETIONS = (  # table by table, because SQLite follows a cascade, as from category to category, 1,000 levels deep
    "DELETE FROM category_assignments WHERE tenant = ?",
    "DELETE FROM categories WHERE tenant = ?",
    "DELETE FROM unique_values WHERE tenant = ?",
    "DELETE FROM entities WHERE tenant = ?",
    "DELETE FROM entity_counts WHERE tenant = ?",
    "DELETE FROM audit_log WHERE tenant = ?",
    "DELETE FROM model_references WHERE tenant = ?",
    "DELETE FROM users WHERE tenant = ?",
    "DELETE FROM api_keys WHERE tenant = ?",
    "DELETE FROM model_objects WHERE tenant = ?",
)


def read_demo() -> dict[str, Any]:
    """Return what the demo workspace is made of."""
    demo: dict[str, Any] = json.loads(DEMO_FILE.read_text(encoding="utf-8"))
    return demo


@contextmanager
def impersonating(tenant: str, user_id: str) -> Iterator[None]:
    """Let the block act in a workspace as one of its users, whoever sent the request."""
    with current_app.app_context():  # so that the log does not take the user for who sent it
        g.tenant, g.caller = tenant, Caller(tenant, user_id, user={"id": user_id}, role={})
        yield


def insert_user(user: dict[str, str], password_hash: str, sessions_from: int) -> None:
    """Store a user. Raises sqlite3.IntegrityError for an email that is taken."""
    execute(
        "INSERT INTO users (tenant, id, email, name, password_hash, role_id, sessions_from) VALUES (?, ?, ?, ?, ?, ?, ?)",
        *(g.tenant, user["id"], user["email"], user["name"], password_hash, user["roleId"], sessions_from),
    )


def insert_administrator_role(id: str) -> str:
    """Store a role that may do everything, and answer its id."""
    store_object("role", RoleBody().load({"id": id, "name": "Administrator", **dict.fromkeys(ROLE_FLAGS, True)}))
    return id


def insert_content(demo: dict[str, Any]) -> None:
    """Store what the demo workspace holds at first, checked as if it had come through the API."""
    for kind, body in demo["model"]:  # one that comes again replaces the first: roles and workflows refer to each other
        old = load_object(kind, body["id"]) if exists(kind, body["id"]) else None
        store_object(kind, MODEL[kind].load(body), old)
    for record in demo["records"]:
        insert_record(RecordRequestBody().load(record))
    for record_id, variant in demo["variants"]:
        insert_variant(VariantRequestBody().load(variant), record_id)
    for catalog_id, category in demo["categories"]:
        insert_category(CategoryRequestBody().load(category), catalog_id)
    for category_id, record_id in demo["assignments"]:
        insert_assignment(category_id, record_id)
    for record_id, state_id in demo["transitions"]:
        transition(record_id, state_id)


def make_first_state(demo: dict[str, Any]) -> list[list[tuple[str, ...]]]:
    """Return the rows of what the demo workspace holds at first: they are made in a workspace that is then taken back."""
    tenant = random_id("ws")
    execute("SAVEPOINT first_state")
    execute("INSERT INTO workspaces (id, name) VALUES (?, '')", tenant)
    with impersonating(tenant, demo["users"][0]["id"]):
        insert_content(demo)
    rows = [execute(select, tenant).fetchall() for select, _ in CONTENT_TABLES]
    execute("ROLLBACK TO first_state")
    execute("RELEASE first_state")
    return rows


def insert_first_state(demo: dict[str, Any]) -> None:
    """Store what the demo workspace holds at first; rows that were made once are stored in a tenth of the time."""
    made_from = hashlib.sha256(to_json(demo).encode()).hexdigest()
    row = fetch_one("SELECT value FROM settings WHERE name = 'demo_first_state'")
    kept = json.loads(row[0]) if row else {}
    if kept.get("madeFrom") != made_from:  # there is none yet, or another release made it
        kept = {"madeFrom": made_from, "rows": make_first_state(demo)}
        execute("INSERT OR REPLACE INTO settings (name, value) VALUES ('demo_first_state', ?)", to_json(kept))
    for (_, insert), rows in zip(CONTENT_TABLES, kept["rows"], strict=True):
        get_db().executemany(insert, ((g.tenant, *columns) for columns in rows))


def delete_content(tenant: str) -> None:
    """Remove all that a workspace holds."""
    for sql in CONTENT_DELETIONS:
        execute(sql, tenant)


hash_demo_password = functools.cache(generate_password_hash)  # slow on purpose, and everybody knows these


def insert_demo(demo: dict[str, Any]) -> None:
    """Store all that the demo workspace holds at first: its contents, its users and its documented keys."""
    with impersonating(demo["workspace"]["id"], demo["users"][0]["id"]):
        insert_first_state(demo)
        for user in demo["users"]:
            insert_user(user, hash_demo_password(user["password"]), next_sessions_from())
        for key in demo["apiKeys"]:
            execute(
                "INSERT INTO api_keys (tenant, id, name, hash, permissions, created_at, last_used_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                *(g.tenant, key["id"], key["name"], hash_key(key["rawKey"])),
                *(to_json(key["permissions"]), key["createdAt"], key["lastUsedAt"]),
            )
