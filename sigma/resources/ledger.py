"""The ledger of API keys: which permissions each key used, which it lacked, and which it never used."""

import json
from typing import Any

from flask import g
from marshmallow import fields

from sigma.database import execute, fetch_one
from sigma.http.fields import Body, Items, dict_field, timestamp_field
from sigma.permissions import PERMISSIONS
from sigma.resources.api_keys import ApiKeyBody, parse_key, permission_field


class RefusalBody(Body):
    """How often a key was refused because it lacked one permission."""

    count = fields.Integer(required=True, metadata={"description": "How many calls were refused", "example": 3})
    lastAt = timestamp_field("When the last of them was refused")


class KeyLedgerBody(ApiKeyBody):
    """An API key as it is listed, and what it was used for."""

    permissionUse = dict_field(
        "When the key last used each permission, to within a second; permissions that it never used are absent",
        "PermissionUse",
        timestamp_field("When it was last used"),
        required=True,
    )
    refused = dict_field(
        "What the key lacked when it was refused: a permission, or a session",
        "Refusals",
        fields.Nested(RefusalBody),
        required=True,
    )
    unused = Items(permission_field(), "The permissions that the key holds but never used", required=True)


def _in_published_order(by_permission: dict[str, Any]) -> dict[str, Any]:
    return {name: by_permission[name] for name in (*PERMISSIONS, *by_permission) if name in by_permission}


def _ledger_summary(body: str, permission_use: str, refused: str) -> dict[str, Any]:
    key, use = parse_key(body), json.loads(permission_use)
    unused = [permission for permission in key["permissions"] if permission not in use]
    return {
        **key,
        "permissionUse": _in_published_order(use),
        "refused": _in_published_order(json.loads(refused)),
        "unused": unused,
    }


def fetch_ledgers() -> list[dict[str, Any]]:
    """Return all API keys of the workspace with their ledgers, oldest first."""
    sql = "SELECT body, permission_use, refused FROM known_keys WHERE tenant = ? ORDER BY seq"
    return [_ledger_summary(*row) for row in execute(sql, g.tenant)]


def find_ledger(id: str) -> dict[str, Any] | None:
    """Return an API key with its ledger; None if there is no such key."""
    sql = "SELECT body, permission_use, refused FROM known_keys WHERE tenant = ? AND id = ?"
    row = fetch_one(sql, g.tenant, id)
    return row and _ledger_summary(*row)
