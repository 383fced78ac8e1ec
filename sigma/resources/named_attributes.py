"""Attributes that roles and workflows name, by alias or id: that they exist, and that they stay."""

from collections.abc import Iterable

from flask import g

from sigma.database import execute
from sigma.http.errors import raise_for_problems
from sigma.http.nearest import MAX_COMPARED, what_there_is
from sigma.http.strict_json import format_value, to_json


def _find_known(names: Iterable[str]) -> set[str]:
    sql = (
        "SELECT id, alias FROM model_objects WHERE tenant = ? AND kind = 'attribute'"
        " AND (id IN (SELECT value FROM json_each(?)) OR alias IN (SELECT value FROM json_each(?)))"
    )
    wanted = to_json(list(names))
    return {name for pair in execute(sql, g.tenant, wanted, wanted) for name in pair}


def require_attributes(named: Iterable[tuple[str, str]], kept: set[str]) -> None:
    """Raise ApiError 400 for names of attributes, each with its field, that the workspace does not have, unless kept."""
    new = [(field, name) for field, name in named if name not in kept]
    known = _find_known(name for _, name in new) if new else set()
    unknown = [(field, name) for field, name in new if name not in known]
    if unknown:
        sql = "SELECT alias FROM model_objects WHERE tenant = ? AND kind = 'attribute' ORDER BY seq LIMIT ?"
        aliases = [alias for (alias,) in execute(sql, g.tenant, MAX_COMPARED)]
        raise_for_problems(
            f"{field}: attribute {format_value(name)} does not exist{what_there_is(name, aliases)}" for field, name in unknown
        )


def find_namers(*names: str) -> list[tuple[str, str]]:
    """Return the kinds and ids of the roles and workflows that name an attribute in one of these ways, in order of creation."""
    sql = (
        "SELECT kind, id FROM model_objects o WHERE tenant = ? AND kind IN ('role', 'workflow') AND ("
        "EXISTS (SELECT 1 FROM json_each(o.body, '$.schemaPermissions') s, json_each(s.value, '$.attributePermissions') p"
        " WHERE p.key IN (SELECT value FROM json_each(?)))"
        " OR EXISTS (SELECT 1 FROM json_each(o.body, '$.states') s,"
        " json_each(json_extract(s.value, '$.hidden', '$.required', '$.readOnly')) l, json_each(l.value) n"
        " WHERE n.value IN (SELECT value FROM json_each(?)))"
        ") ORDER BY seq"
    )
    wanted = to_json(names)
    return [(kind, id) for kind, id in execute(sql, g.tenant, wanted, wanted)]
