"""The values of unique attributes, each of which only one record or variant can claim."""

import functools
import json
from collections.abc import Container, Iterable, Mapping
from typing import Any

from sigma.context import context
from sigma.database import execute, fetch_one, sql_function
from sigma.http.date_times import read_instant
from sigma.http.errors import ApiError
from sigma.http.strict_json import canonical_json, format_value, to_json
from sigma.resources.entities import find_schema
from sigma.resources.object_names import ids_by_name
from sigma.resources.role_limits import caller_levels
from sigma.resources.rules import AttributeRules
from sigma.resources.value_checks import Names
from sigma.resources.values import ScopeKey, is_empty, scope_key


def instant_or_itself(value: Any) -> Any:
    """Return the instant that a date-time means; any other value, which older releases accepted, as it is."""
    return (read_instant(value) or value) if isinstance(value, str) else value


def _id_or_itself(ids: Mapping[str, str], name: Any) -> Any:
    """Return the id of the option that a name means; any other value, such as the name of an option that is gone, as it is."""
    return ids.get(name, name) if isinstance(name, str) else name


def unique_key(kind: str, value: Any, options: Names = dict) -> str:
    """Return the text under which a value of this type is unique.

    Equal numbers are one value, however they are written and wherever they stand; equal instants are one date-time; an option
    is its id, whichever of its names is given; and the order of an object's members does not matter.
    """
    if kind == "datetime":
        value = list(map(instant_or_itself, value)) if isinstance(value, list) else instant_or_itself(value)
    elif kind == "option":
        ids = options()
        value = [_id_or_itself(ids, name) for name in value] if isinstance(value, list) else _id_or_itself(ids, value)
    if isinstance(value, str):
        return to_json(value)
    return canonical_json(value)


def scope_text(scope: dict[str, str]) -> str:
    """Return the same JSON text for equal scopes, whatever the order of their members."""
    return to_json(scope, sort_keys=True) if scope else "{}"


def claims(kind: str, entries: list[dict[str, Any]], options: Names) -> list[tuple[str, str] | None]:
    """Return the scope and key that each scoped value claims; None for an empty value, which claims nothing."""
    return [
        None if is_empty(entry["value"]) else (scope_text(entry["scope"]), unique_key(kind, entry["value"], options))
        for entry in entries
    ]


@functools.lru_cache(maxsize=4)  # an upgrade asks with the same list for each record
def _ids_of_options(option_list: str) -> dict[str, str]:
    return ids_by_name("option-list", option_list)


@sql_function(deterministic=True)
def unique_claims(attribute: str, entries: str | None, option_list: str | None = None) -> str:
    """Return, as JSON, what an attribute's scoped values claim, if there are any; for migrations, which are in SQL.

    Without the option list, each option claims the name by which it is stored.
    """
    options: Names = functools.partial(_ids_of_options, option_list) if option_list else dict
    found = claims(json.loads(attribute)["type"], json.loads(entries or "[]"), options)
    return to_json([claim for claim in found if claim is not None])


def find_holder(alias: str, scope: str, value: str) -> str | None:
    """Return the id of the record or variant that has claimed a value, by the texts of its scope and key, or None."""
    sql = "SELECT entity_id FROM unique_values WHERE tenant = ? AND attribute = ? AND scope = ? AND value = ?"
    row = fetch_one(sql, context().tenant, alias, scope, value)
    return row and row[0]


def name_holder(alias: str, id: str) -> str:
    """Return how a message names the holder of a unique value: not by its id if the caller's role hides the value."""
    return f"'{id}'" if caller_levels(find_schema(id)).shows(alias) else "another record or variant"


def claim_values(
    entity_id: str, rules: AttributeRules, entries: list[dict[str, Any]], scopes: Container[ScopeKey] | None = None
) -> None:
    """Claim a unique attribute's values, in these scopes or in all, for one record or variant.

    Raises ApiError 409 if another record or variant has one of them.
    """
    alias = rules.alias
    for index, claim in enumerate(claims(rules.kind, entries, rules.options)):
        if claim is None or (scopes is not None and scope_key(entries[index]["scope"]) not in scopes):
            continue
        sql = (
            "INSERT INTO unique_values (tenant, attribute, scope, value, entity_id) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING"
        )
        if not execute(sql, context().tenant, alias, *claim, entity_id).rowcount:
            value, holder = entries[index]["value"], str(find_holder(alias, *claim))
            sent = "what was sent" if isinstance(value, list | dict) else format_value(value)
            raise ApiError(409, f"values.{alias}[{index}].value: {sent} is already the value of {name_holder(alias, holder)}")


def free_values(entity_id: str, alias: str, scopes: Iterable[ScopeKey]) -> None:
    """Free what one record or variant has claimed of an attribute in these scopes."""
    # The + keeps SQLite from looking up by that column: an attribute may have any number of claims, a record has few.
    sql = "DELETE FROM unique_values WHERE tenant = ? AND entity_id = ? AND +attribute = ? AND +scope = ?"
    for scope in scopes:
        execute(sql, context().tenant, entity_id, alias, scope_text(dict(scope)))
