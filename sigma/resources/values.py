"""Scoped values: their shape, and the keys that tell their scopes apart."""

from collections.abc import Iterable
from typing import Any

import marshmallow as ma
from marshmallow import fields

from sigma.http.fields import Items, PlainBody, described, dict_field
from sigma.http.nearest import what_there_is


class ScopedValueBody(PlainBody):
    """A value and its scope: everywhere, or one segment of each of some dimensions."""

    scope = dict_field("Segment ids by dimension id, {} meaning everywhere", "Scope", fields.String(), load_default=dict)
    value = fields.Raw(required=True, metadata={"description": "A value of the attribute's type, or an array of them"})


class ValuePatchBody(ScopedValueBody):
    """A value to set in a scope, or to remove from it."""

    value = fields.Raw(
        required=True,
        allow_none=True,
        metadata={"description": "A value of the attribute's type, or an array of them; null removes what is there"},
    )


class Values(fields.Dict):
    """Scoped values by attribute alias.

    Their shape is checked by hand, because a marshmallow schema for each value would cost more than all the rest of a write.
    The rules for values are data, and are checked against the product schema.
    """

    def __init__(self, example: Any = ma.missing, **options: Any):
        scoped = Items(fields.Nested(ScopedValueBody), "An attribute's values, one for each scope")
        metadata = described("Scoped values by attribute alias", example, title="ScopedValues")
        super().__init__(keys=fields.String(), values=scoped, metadata=metadata, **options)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> dict[str, list[dict[str, Any]]]:
        if not isinstance(value, dict):
            raise ma.ValidationError("Expected an object")
        values: dict[str, Any] = {}
        problems: dict[str, Any] = {}
        for alias, entries in value.items():
            if not isinstance(entries, list):
                problems[alias] = ["Expected an array of values with their scopes"]
                continue
            values[alias] = read = list(map(self.read_entry, entries))
            if None in read:
                index = read.index(None)
                problems[alias] = {index: self.entry_problem(entries[index])}
        if problems:
            raise ma.ValidationError(problems)
        return values

    @staticmethod
    def read_entry(entry: Any) -> dict[str, Any] | None:
        """Return a scoped value with both its members, or None if the entry is not a scoped value."""
        if not isinstance(entry, dict) or "value" not in entry:
            return None
        scope = entry.get("scope", {})
        if not isinstance(scope, dict) or len(entry) > 1 + ("scope" in entry):
            return None
        for segment in scope.values():
            if not isinstance(segment, str):
                return None
        return {"scope": scope, "value": entry["value"]}

    @staticmethod
    def entry_problem(entry: Any) -> Any:
        """Return why an entry is not a scoped value, nested as marshmallow nests its messages."""
        if not isinstance(entry, dict):
            return ["Expected an object with scope and value"]
        if "value" not in entry:
            return {"value": ["Missing data for required field."]}
        scope = entry.get("scope", {})
        if not isinstance(scope, dict):
            return {"scope": ["Expected an object"]}
        segments = {dimension: ["Not a valid string."] for dimension in scope if not isinstance(scope[dimension], str)}
        known = ("scope", "value")
        unknown: Any = {name: [f"Unknown field{what_there_is(name, known)}"] for name in entry if name not in known}
        return unknown or {"scope": segments}


def is_empty(value: Any) -> bool:
    """Return whether a value counts as none: null, or an empty text, list or object, but not a text of blanks.

    An empty value is missing for completeness, is found by isEmpty, claims nothing as unique, is an empty cell in an export,
    and is ignored by an import.
    """
    return value is None or value in ("", [], {})


ScopeKey = tuple[tuple[str, str], ...]
Scopes = dict[str, set[ScopeKey]]  # by the alias of an attribute


def scope_key(scope: dict[str, str]) -> ScopeKey:
    """Return a key that equal scopes share, whatever the order of their members."""
    return tuple(sorted(scope.items()) if len(scope) > 1 else scope.items())


def by_scope(entries: Iterable[dict[str, Any]]) -> dict[ScopeKey, dict[str, Any]]:
    """Return scoped values by the keys of their scopes."""
    return {scope_key(entry["scope"]): entry for entry in entries}


def value_everywhere(entries: list[dict[str, Any]]) -> Any:
    """Return the value with the scope {}; None if there is none."""
    return next((entry["value"] for entry in entries if entry["scope"] == {}), None)


def with_value_everywhere(entries: list[dict[str, Any]], value: Any) -> list[dict[str, Any]]:
    """Return scoped values with another value for the scope {}."""
    new = {"scope": {}, "value": value}
    if value_everywhere(entries) is None:
        return [*entries, new]
    return [new if entry["scope"] == {} else entry for entry in entries]
