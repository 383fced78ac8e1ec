"""The check of stored values against a new definition of their attribute."""

import functools
import json
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any, NamedTuple

from flask import g

from sigma.database import execute
from sigma.http.errors import ApiError, counted
from sigma.resources.role_limits import caller_levels, hides_attributes
from sigma.resources.rules import AttributeRules, current_rules
from sigma.resources.unique_values import claim_values


class Holder(NamedTuple):
    """A record or variant with its scoped values of one attribute."""

    id: str
    schema_id: str
    is_variant: bool
    entries: list[dict[str, Any]]


def _find_holders(alias: str) -> Generator[Holder, None, None]:
    sql = (
        "SELECT id, schema_id, is_variant, json_extract(body, ?) FROM entities"
        " WHERE tenant = ? AND json_type(body, ?) IS NOT NULL ORDER BY seq"
    )
    path = f'$.values."{alias}"'
    for id, schema_id, is_variant, entries in execute(sql, path, g.tenant, path):
        yield Holder(id, schema_id, bool(is_variant), json.loads(entries))


def _require_shown(field: str, alias: str) -> None:
    """Raise ApiError 409 if values are stored under an alias that the caller's role hides.

    An error that says whether they fit a new definition, or are unique, would reveal what they are; a new attribute with the
    alias of a deleted one would show them.
    """
    if not hides_attributes():
        return
    levels_of = functools.cache(caller_levels)
    with closing(_find_holders(alias)) as holders:
        if not all(levels_of(holder.schema_id).shows(alias) for holder in holders):
            raise ApiError(409, f"{field}: records hold values under '{alias}' that your role hides")


def _has_type(rules: AttributeRules, entry: dict[str, Any]) -> bool:
    value = entry["value"]
    return not any(map(rules.single_problem, value if isinstance(value, list) else [value]))


def _is_one_or_several(rules: AttributeRules, entry: dict[str, Any]) -> bool:
    return isinstance(entry["value"], list) == rules.is_multiple


def _has_dimensions(rules: AttributeRules, entry: dict[str, Any]) -> bool:
    return entry["scope"].keys() <= rules.dimensions.keys()


FITS: dict[str, Callable[[AttributeRules, dict[str, Any]], bool]] = {  # by member: whether a stored value still fits
    "type": _has_type,
    "multiple": _is_one_or_several,
    "optionListId": _has_type,
    "dimensionIds": _has_dimensions,
}


def _narrowed_members(old: dict[str, Any] | None, new: dict[str, Any]) -> list[str]:
    if old is None or old["alias"] != new["alias"]:  # values that another attribute left under the alias stay as they are
        return []
    members = [member for member in FITS if member != "dimensionIds" and old.get(member) != new.get(member)]
    if not set(old["dimensionIds"]) <= set(new["dimensionIds"]):
        members.append("dimensionIds")
    return members


def _describe_holders(records: int, variants: int) -> str:
    nouns = [counted(count, noun) for count, noun in ((records, "record"), (variants, "variant")) if count]
    return f"{' and '.join(nouns)} hold{'s' * (records + variants == 1)}"


def _require_fitting_values(members: list[str], new: dict[str, Any]) -> None:
    rules = current_rules({**new, "validation": {}})
    unfit, first = Counter[tuple[str, bool]](), dict[str, str]()
    for holder in _find_holders(new["alias"]):
        member = next((name for name in members if not all(FITS[name](rules, entry) for entry in holder.entries)), None)
        if member is not None:
            unfit[member, holder.is_variant] += 1
            first.setdefault(member, holder.id)
    for member in members:
        if member in first:
            count = _describe_holders(unfit[member, False], unfit[member, True])
            raise ApiError(409, f"{member}: {count} values that do not fit; the first is '{first[member]}'")


def _claim_stored_values(attribute: dict[str, Any]) -> None:
    rules = current_rules(attribute)
    with closing(_find_holders(rules.alias)) as holders:
        for holder in holders:
            try:
                claim_values(holder.id, rules, holder.entries)
            except ApiError as error:
                raise ApiError(
                    409, f"validation.unique: stored values are not unique: in '{holder.id}', {error.message}"
                ) from None


def _require_kept_alias(old: dict[str, Any], alias: str) -> None:
    with closing(_find_holders(old["alias"])) as holders:
        if old["alias"] != alias and (holder := next(holders, None)):
            first = "" if hides_attributes() else f"; the first is '{holder.id}'"
            raise ApiError(409, f"alias: records hold values under '{old['alias']}', which would be lost{first}")


def _claimed_as(attribute: dict[str, Any]) -> tuple[str, str, str | None, bool]:
    is_unique = attribute["validation"].get("unique", False)
    return attribute["alias"], attribute["type"], attribute.get("optionListId"), is_unique


def _is_claimed_anew(old: dict[str, Any] | None, new: dict[str, Any]) -> bool:
    return old is None or _claimed_as(old) != _claimed_as(new)


def reads_stored_values(old: dict[str, Any] | None, new: dict[str, Any]) -> bool:
    """Return whether check_stored_values() may go through all stored values."""
    return _is_claimed_anew(old, new) or bool(_narrowed_members(old, new))


def check_stored_values(old: dict[str, Any] | None, new: dict[str, Any]) -> None:
    """Check the stored values of an attribute against its new definition, and claim them if that is unique.

    Raises ApiError 409.
    """
    alias, *_, is_unique = _claimed_as(new)
    if old is not None:
        _require_kept_alias(old, alias)
    members, is_claimed_anew = _narrowed_members(old, new), _is_claimed_anew(old, new)
    if old is None or old["alias"] != alias:
        _require_shown("alias", alias)
    elif members:
        _require_shown(members[0], alias)
    elif is_claimed_anew and is_unique:
        _require_shown("validation.unique", alias)
    if members:
        _require_fitting_values(members, new)
    if is_claimed_anew:
        aliases = alias, alias if old is None else old["alias"]
        execute("DELETE FROM unique_values WHERE tenant = ? AND attribute IN (?, ?)", g.tenant, *aliases)
        if is_unique:
            _claim_stored_values(new)
