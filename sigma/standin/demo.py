"""The demo workspace as it is at first, from demo.json."""

import functools
import json
from pathlib import Path
from typing import Any

import marshmallow as ma
from flask import g
from marshmallow import fields
from werkzeug.security import generate_password_hash

from sigma.database import execute
from sigma.http.credentials import acting_as, hash_key
from sigma.http.strict_json import to_json
from sigma.resources.categories import CategoryRequestBody, insert_assignment, insert_category
from sigma.resources.lifecycle import transition
from sigma.resources.model import MODEL, exists, load_object, store_object
from sigma.resources.records import RecordRequestBody, insert_record
from sigma.resources.saved_queries import SavedQueryRequestBody, insert_saved_query
from sigma.resources.users import insert_user, next_sessions_from
from sigma.resources.variants import VariantRequestBody, insert_variant

DEMO_FILE = Path(__file__).with_name("demo.json")


def read_demo() -> dict[str, Any]:
    """Return what demo.json says."""
    demo: dict[str, Any] = json.loads(DEMO_FILE.read_text(encoding="utf-8"))
    return demo


def collect_objects(schema: ma.Schema, body: dict[str, Any], objects: dict[str, Any]) -> None:
    """Add a body, and the first of each kind of body inside it, by the names of their classes."""
    objects.setdefault(type(schema).__name__, body)
    for name, field in schema.fields.items():
        inner = field.inner if isinstance(field, fields.List) else field
        if isinstance(inner, fields.Nested) and body.get(name):
            first = body[name][0] if inner is not field else body[name]
            collect_objects(inner.schema, first, objects)


def read_examples() -> dict[str, Any]:
    """Return what the OpenAPI document takes its examples from.

    These are ids by kind, the alias of an attribute among them; objects by the class that describes them; what single
    operations are sent, answer or refuse; the messages of errors, by their code; and credentials, by the document's name.
    """
    demo = read_demo()
    examples, key, user = demo["examples"], demo["apiKeys"][0], demo["users"][0]
    record, (_, variant), (_, category), query = (
        demo[many][0] for many in ("records", "variants", "categories", "savedQueries")
    )
    objects: dict[str, Any] = {"RecordBody": record, "VariantBody": variant, "CategoryBody": category, "SavedQueryBody": query}
    objects |= {"UserBody": user, "LoginBody": user, "ApiKeyBody": key}
    objects |= dict.fromkeys(("TenantBody", "WorkspaceBody"), demo["workspace"])
    ids = {"record": record["id"], "variant": variant["id"], "category": category["id"], "saved-query": query["id"]}
    ids |= {"api-key": key["id"], "key": key["id"]} | examples["ids"]
    for (kind, _), body in {(kind, body["id"]): body for kind, body in demo["model"]}.items():  # of two, the last is stored
        if ids.setdefault(kind, body["id"]) == body["id"]:
            collect_objects(MODEL[kind], MODEL[kind].load(body), objects)
    ids |= {"alias": objects["AttributeBody"]["alias"], "value": objects["OptionValueBody"]["id"]}
    return {
        **examples,
        "ids": ids,
        "objects": objects,
        "credentials": {
            "apiKey": f"the demo workspace has `{key['rawKey']}` ({', '.join(key['permissions'])})",
            "session": f"in the demo workspace as `{user['email']}` with the password `{user['password']}`",
        },
    }


def insert_content(demo: dict[str, Any]) -> None:
    """Store what the demo workspace holds in the current workspace, checked as if it had come through the API."""
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
    for query in demo["savedQueries"]:
        insert_saved_query(SavedQueryRequestBody().load(query))


hash_demo_password = functools.cache(generate_password_hash)  # slow on purpose, and everybody knows these


def insert_demo_keys(demo: dict[str, Any]) -> None:
    """Store the documented API keys of the demo workspace."""
    for key in demo["apiKeys"]:
        execute(
            "INSERT INTO api_keys (tenant, id, name, hash, permissions, created_at, last_used_at, permission_use)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *(g.tenant, key["id"], key["name"], hash_key(key["rawKey"])),
            *(to_json(key["permissions"]), key["createdAt"], key["lastUsedAt"], to_json(key["permissionUse"])),
        )


def insert_demo(demo: dict[str, Any], living: dict[str, int]) -> None:
    """Store the demo workspace as it is at first: its content, its users and its documented keys.

    Takes from which second on the sessions count of users who were there before; theirs go on.
    """
    id = demo["workspace"]["id"]
    execute("INSERT INTO workspaces (id, name, is_demo) VALUES (?, ?, 1)", id, demo["workspace"]["name"])
    with acting_as(id, demo["users"][0]["id"]):
        insert_content(demo)
        for user in demo["users"]:
            sessions_from = living[user["id"]] if user["id"] in living else next_sessions_from()
            insert_user(user, hash_demo_password(user["password"]), sessions_from)
        insert_demo_keys(demo)
