"""The route that says whose credential a request carries, and what it may call."""

from collections.abc import Iterator
from typing import Any

from flask import current_app, g
from marshmallow import fields

from sigma.database import fetch_one
from sigma.http.access import any_credential, list_api_routes
from sigma.http.credentials import Caller, unauthorized
from sigma.http.fields import Body, Flag, Items, described, dict_field, enum_field, id_field, string_field
from sigma.http.guard import may_call
from sigma.permissions import PERMISSIONS, ROLE_FLAGS
from sigma.resources.ledger import KeyLedgerBody, find_ledger
from sigma.resources.users import UserBody
from sigma.standin.blueprint import blueprint


class WorkspaceBody(Body):
    """A workspace."""

    id = id_field("The workspace's id")
    name = string_field("The workspace's name")


class HeldKeyBody(KeyLedgerBody):
    """The API key that was presented, without its secret."""

    class Meta(Body.Meta):
        fields = ("id", "name", "permissions", "permissionUse", "refused", "unused")


class SignedInUserBody(UserBody):
    """The user whose token was presented, with what the role allows."""

    roleFlags = dict_field(
        "Whether the user's role has each flag now", "RoleFlags", Flag("Whether the role has it", required=True), required=True
    )


class RouteBody(Body):
    """A route of the API, and whether a credential may call it."""

    method = enum_field("The method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
    path = string_field("The path, as in this document", example="/api/v1/records")
    permission = enum_field("What a key needs; session: no key may call it", [*PERMISSIONS, "session", "public"])
    roleFlag = fields.String(
        required=True,
        allow_none=True,
        metadata=described("What a user's role needs; null: any user may call it", None),
    )
    allowed = Flag("Whether the credential may call it", required=True)


class WhoamiBody(Body):
    """The owner of the presented credential, and what the credential may call."""

    kind = enum_field("What the credential is", ["api-key", "user"], "CredentialKind")
    workspace = fields.Nested(WorkspaceBody, required=True, metadata={"description": "The workspace in which it is valid"})
    key = fields.Nested(
        HeldKeyBody,
        metadata=described(
            "The API key; absent for a user",
            {
                "id": "apikey-sync-prod",
                "name": "Shopify Sync - Production",
                "permissions": ["read", "update-data"],
                "permissionUse": {"read": "2026-03-08T10:00:11.200Z", "update-data": "2026-03-08T10:00:12.450Z"},
                "refused": {"delete-data": {"count": 3, "lastAt": "2026-03-08T09:12:44.031Z"}},
                "unused": [],
            },
        ),
    )
    user = fields.Nested(SignedInUserBody, metadata={"description": "The user; absent for an API key"})
    routes = Items(fields.Nested(RouteBody), "Every route of the API", required=True)


def _describe_routes(caller: Caller) -> Iterator[dict[str, Any]]:
    for method, route in list_api_routes(current_app):
        yield {
            "method": method,
            "path": route.template,
            "permission": route.access.requirement,
            "roleFlag": route.access.flag,
            "allowed": may_call(caller, route.access),
        }


@blueprint.get("/whoami")
@any_credential
@blueprint.response(200, WhoamiBody)
def get_caller() -> Any:
    """Say whose credential this is, and which routes it may call; the credential itself is never shown."""
    workspace = fetch_one("SELECT id, name FROM workspaces WHERE id = ?", g.tenant)
    key = find_ledger(g.caller.id) if g.caller.is_key else None
    if workspace is None or (g.caller.is_key and key is None):
        raise unauthorized("This credential was removed a moment ago")
    caller: dict[str, Any] = {"kind": "user", "workspace": dict(zip(("id", "name"), workspace, strict=True))}
    if g.caller.is_key:
        caller |= {"kind": "api-key", "key": key}
    else:
        caller["user"] = {**g.caller.user, "roleFlags": {flag: g.caller.role_says(flag) for flag in ROLE_FLAGS}}
    return {**caller, "routes": list(_describe_routes(g.caller))}
