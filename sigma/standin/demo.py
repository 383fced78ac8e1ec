"""The demo workspace in its first state, from demo.json or from a seed of the user's own."""

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import marshmallow as ma
from flask import g
from marshmallow import fields

from sigma.database import execute, fetch_one
from sigma.http.credentials import acting_as
from sigma.http.errors import ApiError
from sigma.http.stamps import utc_now
from sigma.http.strict_json import to_json
from sigma.resources.api_keys import store_api_key
from sigma.resources.model import MODEL
from sigma.resources.sessions import NO_PASSWORD, hash_password
from sigma.resources.users import ADMINISTRATOR, insert_user, next_sessions_from
from sigma.standin.content import Rows, fetch_rows, insert_rows
from sigma.standin.seeding import insert_seed
from sigma.standin.seeds import SeedBody, SeedUserBody, add_administrator, read_seed

DEMO_FILE = Path(__file__).with_name("demo.json")
MAX_OWN_SEED = 64 * 1024 * 1024  # bytes; making a workspace of it takes ten times its memory


def read_demo() -> dict[str, Any]:
    """Return the parsed demo.json."""
    demo: dict[str, Any] = json.loads(DEMO_FILE.read_text(encoding="utf-8"))
    return demo


def collect_objects(schema: ma.Schema, body: dict[str, Any], objects: dict[str, Any]) -> None:
    """Add a body, and the first body in each of its nested fields, under the names of their schema classes."""
    objects.setdefault(type(schema).__name__, body)
    for name, field in schema.fields.items():
        inner = field.inner if isinstance(field, fields.List) else field
        if isinstance(inner, fields.Nested) and body.get(name):
            first = body[name] if inner is field else body[name][0]
            collect_objects(inner.schema, first, objects)


def read_examples() -> dict[str, Any]:
    """Return the source of the examples in the OpenAPI document.

    It holds ids by kind, among them an alias of an attribute; objects by the class that describes them; requests, responses
    and errors of single operations; messages of errors by code; the keys and the users' logins; and credentials by the name
    of their security scheme.
    """
    demo = read_demo()
    examples, key, user = demo["examples"], demo["apiKeys"][0], demo["users"][0]
    lists = ("records", "variants", "categories", "savedQueries", "webhooks")
    record, variant, (_, category), query, webhook = (demo[many][0] for many in lists)
    objects: dict[str, Any] = {
        "ProductRecordBody": record,
        "VariantBody": variant,
        "CategoryBody": category,
        "SavedQueryBody": query,
        "WebhookBody": webhook,
    }
    objects |= {"UserBody": user, "LoginBody": user, "ApiKeyBody": key}
    objects |= dict.fromkeys(("TenantBody", "WorkspaceBody"), demo["workspace"])
    ids = {"record": record["id"], "variant": variant["id"], "category": category["id"], "saved-query": query["id"]}
    ids["webhook"] = webhook["id"]
    ids |= {"api-key": key["id"], "key": key["id"]} | examples["ids"]
    for kind, body in demo["model"]:
        if ids.setdefault(kind, body["id"]) == body["id"]:
            collect_objects(MODEL[kind], MODEL[kind].load(body), objects)
    ids |= {"alias": objects["ProductAttributeBody"]["alias"], "value": objects["OptionValueBody"]["id"]}
    return {
        **examples,
        "ids": ids,
        "objects": objects,
        "keys": [{member: key[member] for member in ("rawKey", "permissions")} for key in demo["apiKeys"]],
        "logins": [{member: user[member] for member in ("email", "password")} for user in demo["users"]],
        "credentials": {
            "apiKey": f"the demo workspace has `{key['rawKey']}` ({', '.join(key['permissions'])})",
            "session": f"in the demo workspace as `{user['email']}` with the password `{user['password']}`",
        },
    }


_prepared: dict[str, Rows] = {}  # the demo's rows by the digest of its seed, once this process has stored them


def demo_users(demo: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the demo's users in the form of a seed."""
    own = own_digest()
    return _own_users(own) if own else [{name: user[name] for name in SeedUserBody().fields} for user in demo["users"]]


def own_digest() -> str:
    """Return the digest of the seed that the demo workspace was made from; "" if it was made from demo.json."""
    row = fetch_one("SELECT value FROM settings WHERE name = 'demo_seed_digest'")
    return row[0] if row else ""


def digest_seed(text: str) -> str:
    """Return a digest of a seed's text, which identifies it."""
    return hashlib.sha256(text.encode()).hexdigest()


def has_large_seed(most: int) -> bool:
    """Return whether the demo workspace has a seed of its own with more bytes than this."""
    row = fetch_one("SELECT length(CAST(value AS BLOB)) FROM settings WHERE name = 'demo_seed'")
    return row is not None and row[0] > most


def _read_own_seed() -> dict[str, Any]:
    if has_large_seed(MAX_OWN_SEED):
        advice = "make the demo of a smaller one, and import the rest"
        raise ApiError(413, f"The demo's seed has more than {MAX_OWN_SEED} bytes: {advice}")
    (text,) = fetch_one("SELECT value FROM settings WHERE name = 'demo_seed'")
    seed: dict[str, Any] = json.loads(text)
    return seed


@functools.lru_cache(maxsize=4)
def _own_users(_digest: str) -> list[dict[str, Any]]:
    """Return the users of the demo workspace's own seed. Cached: it may be large, and each workspace for a test needs them."""
    users: list[dict[str, Any]] = _read_own_seed()["users"]
    return users


def complete_own_seed(given: Any) -> dict[str, Any]:
    """Return a checked seed for the demo workspace, with the documented administrator added if it lacks that user.

    Raises ApiError 400, naming paths in the seed.
    """
    seed = read_seed(given)
    if all(user["id"] != ADMINISTRATOR["id"] for user in seed["users"]):
        add_administrator(seed)
    return seed


def keep_own_seed(seed: dict[str, Any] | None, digest: str = "") -> None:
    """Store the seed from which the demo workspace is made, so that a reset can make it again; None stands for demo.json."""
    execute("DELETE FROM settings WHERE name IN ('demo_seed', 'demo_seed_digest')")
    if seed is not None:
        sql = "INSERT INTO settings (name, value) VALUES ('demo_seed', ?), ('demo_seed_digest', ?)"
        execute(sql, to_json(seed), digest)


def insert_demo_content(demo: dict[str, Any]) -> None:
    """Store the first contents of the demo workspace in the current workspace.

    They are checked only the first time. After that, the rows are copied, which is much faster: a test suite makes a
    workspace for each of its tests.
    """
    digest = own_digest()
    if digest in _prepared:
        insert_rows(_prepared[digest])
        return
    seed = _read_own_seed() if digest else {name: demo[name] for name in SeedBody().fields} | {"users": demo_users(demo)}
    insert_seed(read_seed(seed))
    _prepared[digest] = fetch_rows(g.tenant)


def own_emails(users: list[dict[str, Any]], domain: str) -> dict[str, str]:
    """Return by user id an email made from the id, different for each user."""
    emails, taken = {}, set[str]()
    for user in users:
        name = user["id"].removeprefix("user-")
        while name.lower() in taken:
            name += "-2"
        taken.add(name.lower())
        emails[user["id"]] = f"{name}@{domain}"
    return emails


hash_demo_password = functools.cache(hash_password)  # hashing is slow on purpose, which public passwords do not need


def insert_demo_keys(demo: dict[str, Any]) -> None:
    """Store the documented API keys of the demo workspace."""
    for key in demo["apiKeys"]:
        store_api_key(key, key["id"], key["rawKey"], key["createdAt"])
        sql = "UPDATE api_keys SET last_used_at = ?, permission_use = ? WHERE tenant = ? AND id = ?"
        execute(sql, key["lastUsedAt"], to_json(key["permissionUse"]), g.tenant, key["id"])


def insert_demo_users(demo: dict[str, Any], living: dict[str, int]) -> None:
    """Store the users of the demo workspace: the documented ones, and others, who cannot sign in with a password.

    `living` has `sessions_from` of the users before a reset by id: their tokens stay valid.
    """
    documented, users = {user["id"]: user for user in demo["users"]}, demo_users(demo)
    emails = own_emails(users, f"{g.tenant}.example")
    for user in users:
        login = documented.get(user["id"], {})
        sessions_from = living[user["id"]] if user["id"] in living else next_sessions_from()
        password_hash = hash_demo_password(login["password"]) if login else NO_PASSWORD
        insert_user({**user, "email": login.get("email", emails[user["id"]])}, password_hash, sessions_from)


def insert_demo(demo: dict[str, Any], living: dict[str, int]) -> None:
    """Store the demo workspace in its first state: its contents, its users and its documented keys.

    `living` is as for insert_demo_users().
    """
    id = demo["workspace"]["id"]
    sql = "INSERT INTO workspaces (id, name, created_at, is_demo) VALUES (?, ?, ?, 1)"
    execute(sql, id, demo["workspace"]["name"], utc_now())
    with acting_as(id, demo["users"][0]["id"]):
        insert_demo_content(demo)
        insert_demo_users(demo, living)
        insert_demo_keys(demo)
