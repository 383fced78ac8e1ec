"""What the caller's role allows with attributes and catalogs.

Only signed-in users have a role: a key is limited by its permissions alone. The role is read with the credential, and again
in each transaction, so that a change to the role counts for every write that is stored after it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from flask import g

from sigma.context import context
from sigma.database import execute
from sigma.http.access import role_advice
from sigma.http.errors import ApiError
from sigma.http.strict_json import to_json

LEVELS = ("write", "read", "hidden")


class Levels(NamedTuple):
    """What a role allows with the attributes of one schema."""

    listed: Mapping[str, str] = {}  # by alias
    attributes: frozenset[str] = frozenset()  # the aliases that the schema has
    hides: bool = False  # whether the role hides any attribute

    def of(self, alias: str) -> str:
        """Return the level of the values under an alias; it is write if the role does not list the attribute.

        A role that hides anything also hides the values under an alias that the schema does not have any more: they may
        belong to a hidden attribute that was renamed, taken out of the schema or deleted.
        """
        return self.listed.get(alias) or ("hidden" if self.hides and alias not in self.attributes else "write")

    def shows(self, alias: str) -> bool:
        """Return whether the values under an alias are shown."""
        return self.of(alias) != "hidden"

    def visible(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return those of the scoped values, by alias, that the role shows."""
        return {alias: entries for alias, entries in values.items() if self.shows(alias)} if self.hides else values

    def require_write(self, aliases: Iterable[str], path: str = "") -> None:
        """Raise ApiError 403 for an attribute that the role may not write, naming the field: the path, or that of the value.

        An alias that neither the role nor the schema knows is refused elsewhere, as for every caller.
        """
        for alias in aliases if self.listed else ():
            if (level := self.listed.get(alias, "write")) != "write":
                field, role = path or f"values.{alias}", _caller_role()["id"]
                problem = f"{field}: attribute '{alias}' is '{level}' for role '{role}', not 'write'"
                raise ApiError(403, f"{problem}; {role_advice(role)}")


UNLIMITED = Levels()


def _caller_role() -> Any:
    return context().caller.role


def _schema_permissions() -> list[dict[str, Any]]:
    role = _caller_role()
    return role.get("schemaPermissions", []) if role else []


def hides_attributes() -> bool:
    """Return whether the caller's role hides attributes of any schema; if so, stored text cannot be sent as it is."""
    permissions = _schema_permissions()
    return bool(permissions) and any("hidden" in item["attributePermissions"].values() for item in permissions)


def _aliases_of(ids: Iterable[str]) -> dict[str, str]:
    sql = (
        "SELECT id, alias FROM model_objects WHERE tenant = ? AND kind = 'attribute' AND id IN (SELECT value FROM json_each(?))"
    )
    return dict(execute(sql, g.tenant, to_json(list(ids))).fetchall())


def read_levels(permissions: Iterable[dict[str, Any]], schema_id: str) -> Levels:
    """Return what a role with these permissions for schemas allows with the attributes of one schema.

    A role names attributes by alias or id; if it names one by both, the alias wins. It also limits attributes that the schema
    does not have any more, because values may still be stored under their aliases.
    """
    named = next((item["attributePermissions"] for item in permissions if item["schemaId"] == schema_id), None)
    if not named:
        return UNLIMITED
    sql = "SELECT alias FROM schema_attributes WHERE tenant = ? AND schema_id = ?"
    attributes = frozenset(alias for (alias,) in execute(sql, g.tenant, schema_id))
    by_id = {alias: named[id] for id, alias in _aliases_of(named).items()}
    return Levels({**by_id, **named}, attributes, "hidden" in named.values())


def _strictest_levels() -> Levels:
    """Return levels for a schema that is not known any more: what the caller's role hides in any schema is hidden."""
    listed = [permission["attributePermissions"].items() for permission in _schema_permissions()]
    names = {name for items in listed for name, level in items if level == "hidden"}
    sql = "SELECT id, alias FROM model_objects WHERE tenant = ? AND kind = 'attribute'"
    aliases = dict(execute(sql, g.tenant).fetchall()) if names else {}
    hidden = names | {aliases[name] for name in names & aliases.keys()}
    return Levels(dict.fromkeys(hidden, "hidden"), frozenset(aliases.values()), bool(names))


def caller_levels(schema_id: str | None) -> Levels:
    """Return what the caller's role allows with the attributes of a schema; None: a schema that is not known any more."""
    permissions = _schema_permissions()
    if not permissions:
        return UNLIMITED
    return _strictest_levels() if schema_id is None else read_levels(permissions, schema_id)


def limiting_roles(attribute: dict[str, Any]) -> list[str]:
    """Return the ids of the roles that limit an attribute, by its id or alias, in any schema."""
    sql = (
        "SELECT DISTINCT r.id FROM model_objects r, json_each(r.body, '$.schemaPermissions') s,"
        " json_each(s.value, '$.attributePermissions') p"
        " WHERE r.tenant = ? AND r.kind = 'role' AND p.key IN (?, ?) AND p.value <> 'write' ORDER BY r.seq"
    )
    return [id for (id,) in execute(sql, g.tenant, attribute["id"], attribute["alias"])]


def require_searchable(fields: Mapping[str, str], schema_id: str | None) -> None:
    """Raise ApiError 403 for an attribute that the caller's role hides in the schema searched; without one, in any schema.

    Takes the aliases of the attributes by the paths of the fields that name them.
    """
    permissions = _schema_permissions()
    for searched in (item["schemaId"] for item in permissions if schema_id in (None, item["schemaId"])):
        levels = read_levels(permissions, searched)
        for path, alias in fields.items():
            if alias in levels.attributes and not levels.shows(alias):
                role = _caller_role()["id"]
                problem = f"{path}: attribute '{alias}' of schema '{searched}' is 'hidden' for role '{role}'"
                raise ApiError(403, f"{problem}; {role_advice(role)}")


def _catalog_permissions() -> dict[str, dict[str, Any]]:
    role = _caller_role()
    return {item["catalogId"]: item for item in role.get("catalogPermissions", [])} if role else {}


def hidden_catalogs() -> list[str]:
    """Return the ids of the catalogs that the caller's role hides."""
    return [id for id, permission in _catalog_permissions().items() if not permission["canView"]]


def require_assignable(catalog_id: str) -> None:
    """Raise ApiError 403 if the caller's role may not put records into a catalog's categories or take them out."""
    permission = _catalog_permissions().get(catalog_id)
    if permission and not permission["canAssign"]:
        role = _caller_role()["id"]
        problem = f"Role '{role}' may not assign records in catalog '{catalog_id}': canAssign is false"
        raise ApiError(403, f"{problem}; {role_advice(role)}")
