"""Scoped values: their shape, and what each attribute's must be."""

import functools
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

import marshmallow as ma
from flask import g
from marshmallow import fields

from sigma.database import fetch_one
from sigma.http.fields import Body, Items, dict_field
from sigma.http.strict_json import JSON_TYPES, format_value, to_json
from sigma.resources.attributes import ATTRIBUTE_TYPES, compile_pattern


class ScopedValueBody(Body):
    """A value, and where it counts: everywhere, or in one segment of some dimensions."""

    scope = dict_field("Segment ids by dimension id, {} meaning everywhere", "Scope", fields.String(), load_default=dict)
    value = fields.Raw(
        required=True, allow_none=True, metadata={"description": "What the attribute's type says; null removes it"}
    )


class Values(fields.Dict):
    """Scoped values by attribute alias.

    Their shape is checked by hand, because a marshmallow schema for each value would cost more than all the rest of a
    write; what the values must be is data, and checked against the product schema.
    """

    def __init__(self, **options: Any):
        scoped = Items(fields.Nested(ScopedValueBody), "An attribute's values, one for each scope")
        metadata = {"description": "Scoped values by attribute alias", "title": "ScopedValues"}
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
        """Return a scoped value with both its members, or None for what is none."""
        if not isinstance(entry, dict) or "value" not in entry:
            return None
        scope = entry.get("scope", {})
        if not isinstance(scope, dict) or len(entry) > 1 + ("scope" in entry):
            return None
        return {"scope": scope, "value": entry["value"]}

    @staticmethod
    def entry_problem(entry: Any) -> Any:
        """Say, as marshmallow nests its messages, what keeps an entry from being a scoped value."""
        if not isinstance(entry, dict):
            return ["Expected an object with scope and value"]
        if "value" not in entry:
            return {"value": ["Missing data for required field."]}
        if not isinstance(entry.get("scope", {}), dict):
            return {"scope": ["Expected an object"]}
        return {name: ["Unknown field"] for name in entry.keys() - {"scope", "value"}}


def record_exists(id: str) -> bool:
    """Return whether the workspace has this record."""
    return fetch_one("SELECT 1 FROM entities WHERE tenant = ? AND id = ? AND is_variant = 0", g.tenant, id) is not None


def scope_key(scope: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Return what tells one scope from another, whatever the order of their members."""
    return tuple(sorted(scope.items()))


MAX_MATCHED = 25_000  # characters held against patterns in one request, so that the worst pattern costs seconds at most


def length_problem(most: int, value: str) -> str | None:
    """Say what is expected in place of a text that is too long, or None."""
    return f"at most {most} characters, got {len(value)}" if len(value) > most else None


def pattern_problem(pattern: str, compiled: Any, value: str) -> str | None:
    """Say what is expected in place of a text without a match of a pattern, or None."""
    g.matched = matched = g.get("matched", 0) + len(value)
    if matched > MAX_MATCHED:
        return f"texts with a pattern to have at most {MAX_MATCHED} characters together in one request"
    if not compiled.search(value.encode()):  # of a string, re2 counts the characters before the match
        return f"a match of {pattern}, got {format_value(value)}"
    return None


def range_problem(limits: dict[str, Any], value: float) -> str | None:
    """Say what is expected in place of a number out of range, or None."""
    if limits.get("min", value) <= value <= limits.get("max", value):
        return None
    return f"a number from {limits.get('min', 'any')} to {limits.get('max', 'any')}, got {format_value(value)}"


def datetime_problem(value: str) -> str | None:
    """Say what is expected in place of a text that is no ISO 8601 date, nor date and time, or None."""
    try:
        datetime.fromisoformat(value)
        is_datetime = value[10:11] in ("", "T", " ")  # Python takes any character there
    except ValueError:
        is_datetime = False
    return None if is_datetime else f"an ISO 8601 date and time, got {format_value(value)}"


def option_problem(list_id: str, options: set[str], value: str) -> str | None:
    """Say what is expected in place of what is no option of a list, or None."""
    return None if value in options else f"the id or alias of a value of '{list_id}', got {format_value(value)}"


def relation_problem(value: str) -> str | None:
    """Say what is expected in place of an id that no record has, or None."""
    return None if record_exists(value) else f"the id of a record, got {format_value(value)}"


def value_checks(attribute: dict[str, Any], options: set[str]) -> Iterator[Callable[[Any], str | None]]:
    """Yield what one value of an attribute is to be held against, once it has the attribute's type."""
    kind, limits = attribute["type"], attribute["validation"]
    if ATTRIBUTE_TYPES[kind] == (str,):
        if "maxLength" in limits:
            yield functools.partial(length_problem, limits["maxLength"])
        if "pattern" in limits:
            yield functools.partial(pattern_problem, limits["pattern"], compile_pattern(limits["pattern"]))
    if kind == "number" and ("min" in limits or "max" in limits):
        yield functools.partial(range_problem, limits)
    if kind == "datetime":
        yield datetime_problem
    if kind == "option":
        yield functools.partial(option_problem, attribute["optionListId"], options)
    if kind == "relation":
        yield relation_problem


class AttributeRules(NamedTuple):
    """What the values of one attribute must be."""

    alias: str
    kind: str
    types: tuple[type, ...]
    is_multiple: bool
    is_required: bool
    is_unique: bool
    is_inheritable: bool
    checks: list[Callable[[Any], str | None]]
    dimensions: dict[str, set[str]]  # segment ids by dimension id

    def value_problem(self, value: Any) -> str | None:
        """Say what is wrong with a value, or None."""
        if not self.is_multiple:
            problem = self.single_problem(value)
        elif not isinstance(value, list):
            problem = f"an array of type '{self.kind}', got '{JSON_TYPES[type(value)]}'"
        else:
            problem = next(filter(None, map(self.single_problem, value)), None)
        return problem and f"Attribute '{self.alias}' expects {problem}"

    def single_problem(self, value: Any) -> str | None:
        """Say what is expected in place of a value, or of one of several, or None."""
        if type(value) not in self.types:  # isinstance() would take true for a number
            return f"type '{self.kind}', got '{JSON_TYPES[type(value)]}'"
        for check in self.checks:
            if problem := check(value):
                return problem
        return None

    def entries_problems(self, entries: list[dict[str, Any]], path: str) -> Iterator[str]:
        """Yield what is wrong with the attribute's scoped values."""
        seen = set()
        for index, entry in enumerate(entries):
            scope = entry["scope"]
            wrong = list(self.scope_problems(scope, f"{path}[{index}].scope")) if scope else []
            yield from wrong
            if problem := self.value_problem(entry["value"]):
                yield f"{path}[{index}].value: {problem}"
            if len(entries) > 1 and not wrong:  # a wrong scope may hold what has no place in a set
                if (key := scope_key(scope)) in seen:
                    yield f"{path}: expected one value per scope, got more for {to_json(scope, sort_keys=True)}"
                seen.add(key)

    def scope_problems(self, scope: dict[str, Any], path: str) -> Iterator[str]:
        """Yield what is wrong with a scope."""
        for dimension, segment in scope.items():
            if dimension not in self.dimensions:
                yield f"{path}: attribute '{self.alias}' has no dimension {format_value(dimension)}"
            elif not isinstance(segment, str) or segment not in self.dimensions[dimension]:
                yield f"{path}.{dimension}: expected the id of a segment of '{dimension}', got {format_value(segment)}"
