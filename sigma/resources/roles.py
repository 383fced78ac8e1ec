"""Roles: what people may do."""

import json
from typing import Any

from flask import Response, g
from marshmallow import fields

from sigma.database import execute, snapshot
from sigma.http.access import requires
from sigma.http.blueprint import ApiBlueprint
from sigma.http.errors import ApiError, raise_for_problems
from sigma.http.fields import (
    AttributeName,
    Body,
    Flag,
    Items,
    Reference,
    dict_field,
    enum_field,
    id_field,
    string_field,
    unique_items,
)
from sigma.http.responses import json_response
from sigma.http.strict_json import to_json
from sigma.permissions import ROLE_FLAGS
from sigma.resources.model import (
    ModelBody,
    add_model_routes,
    fetch_attribute_texts,
    hint_at_id,
    load_object,
    require_existing,
)
from sigma.resources.role_limits import LEVELS, caller_levels, read_levels

blueprint = ApiBlueprint("Roles", "What people may do.")

# Users who can manage the roles of a workspace can also give themselves all other rights.
ADMINISTRATORS = (
    "SELECT u.role_id FROM users u JOIN model_objects r ON r.tenant = u.tenant AND r.kind = u.role_kind AND r.id = u.role_id"
    " WHERE u.tenant = ? AND json_extract(r.body, '$.canManageRoles')"
)


class SchemaPermissionBody(Body):
    """What a role may do with the attributes of one schema."""

    schemaId = Reference("schema", required=True)
    attributePermissions = dict_field(
        "Levels by attribute alias or id; an attribute that is not listed is write",
        "Levels",
        enum_field("A level", LEVELS),
        keys=AttributeName(),
        load_default=dict,
    )


class CatalogPermissionBody(Body):
    """What a role may do with one catalog."""

    catalogId = Reference("catalog", required=True)
    canView = Flag("Whether people with the role see the catalog", load_default=False)
    canAssign = Flag("Whether people with the role may put records into its categories, and take them out", load_default=False)


class RoleBody(ModelBody):
    """What the people who have this role may do."""

    id = id_field("The role's id")
    name = string_field("The role's name")
    description = string_field("Who it is for", required=False, longest=10_000)
    locals().update({flag: Flag(meaning, load_default=False) for flag, meaning in ROLE_FLAGS.items()})
    schemaPermissions = Items(
        fields.Nested(SchemaPermissionBody),
        "One entry for each schema; a schema without an entry is not restricted",
        load_default=list,
        validate=unique_items("schemaId"),
    )
    catalogPermissions = Items(
        fields.Nested(CatalogPermissionBody),
        "One entry for each catalog; a catalog without an entry is not restricted",
        load_default=list,
        validate=unique_items("catalogId"),
    )

    def check_change(self, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
        """Raise ApiError 403 if an API key turns on canManageRoles, which lets users make stronger keys.

        A key cannot turn it off for the last users who have it either: only they can deactivate that key.
        """
        had_it = bool(old and old["canManageRoles"])
        if not g.caller.is_key or new["canManageRoles"] == had_it:
            return
        if new["canManageRoles"] or {role_id for (role_id,) in execute(ADMINISTRATORS, g.tenant)} == {new["id"]}:
            held = ", ".join(g.caller.permissions)
            change = "on" if new["canManageRoles"] else "off for the last users who have it"
            problem = f"canManageRoles: only a signed-in user may turn this {change}, not a key"
            raise ApiError(403, f"{problem}; the key holds: {held}; sign in with POST /api/v1/auth/login")


add_model_routes(
    blueprint,
    "role",
    RoleBody,
    update=requires("update-model", "canManageRoles"),
    delete=requires("delete-model", "canManageRoles"),
)


class ResolveBody(Body):
    """The attributes whose levels are returned."""

    schemaId = Reference("schema", required=True)
    attributeIds = Items(
        Reference("attribute"), "All attributes of the schema when absent", example=["attr-product-name", "attr-price"]
    )


@blueprint.post("/roles/<id>/resolve")
@requires("read")
@blueprint.arguments(ResolveBody())
@blueprint.ready_response(200, {"$ref": "#/components/schemas/Levels"})
def resolve_role(body: dict[str, Any], id: str) -> Response:
    """Return what a role may do with each attribute of a schema, by alias."""
    schema_id = body["schemaId"]
    with snapshot():
        role = load_object("role", id)
        require_existing([("schemaId", "schema", schema_id)])
        attributes = [json.loads(stored) for stored in fetch_attribute_texts(load_object("schema", schema_id))]
        levels = read_levels(role["schemaPermissions"], schema_id)
    aliases = {attribute["id"]: attribute["alias"] for attribute in attributes}
    wanted = body.get("attributeIds", list(aliases))
    own_levels = caller_levels(schema_id)
    known = [id for id, alias in aliases.items() if own_levels.shows(alias)]
    raise_for_problems(
        f"attributeIds[{index}]: schema '{schema_id}' has no attribute '{attribute}'{hint_at_id('attribute', attribute, known)}"
        for index, attribute in enumerate(wanted)
        if attribute not in aliases
    )
    return json_response(to_json({aliases[id]: levels.of(aliases[id]) for id in wanted}))


def has_every_flag(role_id: str) -> bool:
    """Return whether a role may do everything. Raises ApiError 404."""
    role = load_object("role", role_id)
    return all(role[flag] for flag in ROLE_FLAGS)
