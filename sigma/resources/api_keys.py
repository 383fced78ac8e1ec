"""API keys: creating, listing, deactivating and deleting them."""

import json
from typing import Any

from flask import g
from marshmallow import fields, validate

from sigma.database import execute, fetch_one, transaction
from sigma.http.access import session_only
from sigma.http.blueprint import ApiBlueprint
from sigma.http.credentials import hash_key, make_raw_key
from sigma.http.errors import get_or_404, not_found_error
from sigma.http.fields import Body, Flag, Items, enum_field, id_field, name_field, timestamp_field
from sigma.http.stamps import random_id, utc_now
from sigma.http.strict_json import to_json
from sigma.permissions import PERMISSIONS

blueprint = ApiBlueprint("API Keys", "The credentials of integrations, each with no more permissions than it needs.")


def permission_field() -> fields.String:
    """Return a field for one of the published permissions."""
    return enum_field("A permission", PERMISSIONS, "Permission", meanings=PERMISSIONS)


class ApiKeyBody(Body):
    """An API key as lists show it, without the key itself or its hash."""

    id = id_field("The key's id")
    name = name_field("Human-readable name for the key")
    rawKey = fields.String(required=True, metadata={"description": "The secret; it cannot be retrieved again"})
    permissions = Items(
        permission_field(),
        "What the key may do; grant only what the integration needs",
        required=True,
        validate=validate.Length(min=1, error="Expected at least one permission"),
    )
    active = Flag("Whether the key is accepted", required=True)
    createdAt = timestamp_field("When it was made")
    lastUsedAt = timestamp_field("When it was last used, accurate to a second; null before the first use", allow_none=True)
    deactivatedAt = timestamp_field("When it was deactivated; absent while it is active", required=False)

    class Meta(Body.Meta):
        exclude = ("rawKey",)


OPTIONAL_MEMBERS = tuple(name for name, field in ApiKeyBody().fields.items() if not field.required)  # a key may lack them


class ApiKeyRequestBody(ApiKeyBody):
    """An API key to be created."""

    class Meta(Body.Meta):
        fields = ("name", "permissions")


class CreatedApiKeyBody(ApiKeyBody):
    """A new API key; only this response ever shows the raw key."""

    createdAt = timestamp_field("When it was made", example="2026-03-08T12:00:00.000Z")

    class Meta(Body.Meta):
        exclude = ("active", "lastUsedAt", "deactivatedAt")


class DeactivatedApiKeyBody(ApiKeyBody):
    """An API key that is no longer accepted."""

    active = Flag("Always false", required=True, example=False)
    deactivatedAt = timestamp_field("When it was first deactivated", example="2026-03-08T12:30:00.000Z")

    class Meta(Body.Meta):
        exclude = ("rawKey", "lastUsedAt")


class DeletedBody(Body):
    """The response when an API key has been deleted."""

    deleted = Flag("Always true", required=True)


def parse_key(body: str) -> dict[str, Any]:
    """Return a key as lists show it, from its body in `known_keys`; optional members that are null are left out."""
    key: dict[str, Any] = json.loads(body)
    return {name: value for name, value in key.items() if value is not None or name not in OPTIONAL_MEMBERS}


def _dump_key(body: ApiKeyBody, key: dict[str, Any]) -> dict[str, Any]:
    return {name: key[name] for name in body.fields if name in key}


def fetch_api_keys() -> list[dict[str, Any]]:
    """Return all API keys of the workspace, oldest first."""
    sql = "SELECT body FROM known_keys WHERE tenant = ? ORDER BY seq"
    return [parse_key(body) for (body,) in execute(sql, g.tenant)]


def _fetch_api_key(id: str) -> dict[str, Any]:
    sql = "SELECT body FROM known_keys WHERE tenant = ? AND id = ?"
    (body,) = get_or_404(fetch_one(sql, g.tenant, id), "api-key", id)
    return parse_key(body)


def store_api_key(key: dict[str, Any], id: str, raw_key: str, created_at: str) -> None:
    """Store an API key, given as a request describes it and with what the service adds."""
    permissions = [permission for permission in PERMISSIONS if permission in key["permissions"]]
    sql = "INSERT INTO api_keys (tenant, id, name, hash, permissions, created_at) VALUES (?, ?, ?, ?, ?, ?)"
    execute(sql, g.tenant, id, key["name"], hash_key(raw_key), to_json(permissions), created_at)


def insert_api_key(key: dict[str, Any]) -> dict[str, Any]:
    """Store a new API key, and return it with its raw key, as the response shows it. Call it inside a transaction."""
    id, raw_key = random_id("apikey"), make_raw_key()
    store_api_key(key, id, raw_key, utc_now())
    return _dump_key(CreatedApiKeyBody(), {**_fetch_api_key(id), "rawKey": raw_key})


def deactivate_stored_key(id: str) -> dict[str, Any]:
    """Deactivate an API key if it is active, and return it, without lastUsedAt as published. Raises ApiError 404."""
    sql = "UPDATE api_keys SET deactivated_at = ifnull(deactivated_at, ?) WHERE tenant = ? AND id = ?"
    with transaction():
        execute(sql, utc_now(), g.tenant, id)
        return _dump_key(DeactivatedApiKeyBody(), _fetch_api_key(id))


def delete_stored_key(id: str) -> dict[str, bool]:
    """Delete an API key. Raises ApiError 404."""
    with transaction():
        if not execute("DELETE FROM api_keys WHERE tenant = ? AND id = ?", g.tenant, id).rowcount:
            raise not_found_error("api-key", id)
    return {"deleted": True}


@blueprint.get("/api-keys")
@session_only("canManageRoles")
@blueprint.response(200, ApiKeyBody(many=True))
def list_api_keys() -> list[dict[str, Any]]:
    """List all API keys of the workspace, oldest first."""
    return fetch_api_keys()


@blueprint.post("/api-keys")
@session_only("canManageRoles")
@blueprint.arguments(ApiKeyRequestBody())
@blueprint.response(201, CreatedApiKeyBody)
def create_api_key(key: dict[str, Any]) -> Any:
    """Generate a new API key; only this response shows the raw key, so store it now."""
    with transaction():
        return insert_api_key(key)


@blueprint.post("/api-keys/<id>/deactivate")
@session_only("canManageRoles")
@blueprint.response(200, DeactivatedApiKeyBody)
def deactivate_api_key(id: str) -> dict[str, Any]:
    """Deactivate an API key: it is refused everywhere from this moment on. Repeating the call changes nothing."""
    return deactivate_stored_key(id)


@blueprint.delete("/api-keys/<id>")
@session_only("canManageRoles")
@blueprint.response(200, DeletedBody)
def delete_api_key(id: str) -> dict[str, bool]:
    """Delete an API key for good; deactivate it first to be sure that nothing uses it."""
    return delete_stored_key(id)
