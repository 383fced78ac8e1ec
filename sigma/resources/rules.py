"""The rules that the records of a schema must meet, worked out once for each version of the model."""

import functools
import json
from collections.abc import Callable, Container, Iterator
from typing import Any, NamedTuple

from sigma.context import context
from sigma.database import fetch_one, snapshot
from sigma.http.errors import get_or_404
from sigma.http.nearest import what_there_is
from sigma.http.strict_json import JSON_TYPES, format_value, to_json
from sigma.resources.model import fetch_attribute_texts, hint_at_id, load_object, require_existing
from sigma.resources.role_limits import caller_levels
from sigma.resources.value_checks import ATTRIBUTE_TYPES, expectation, find_target, value_checks, what_to_send
from sigma.resources.values import ScopeKey, Scopes, by_scope, is_empty, scope_key


class AttributeRules(NamedTuple):
    """The rules that the values of one attribute must meet."""

    alias: str
    kind: str
    types: tuple[type, ...]
    is_multiple: bool
    is_required: bool
    is_unique: bool
    is_inheritable: bool
    checks: list[Callable[[Any], str | None]]
    has_target: Callable[[list[str]], bool] | None  # whether any of the options or records that a value names exists
    dimensions: dict[str, set[str]]  # segment ids by dimension id
    segments: frozenset[tuple[str, str]]  # the same as pairs of a dimension and a segment
    option_list: str | None  # its id

    def value_problem(self, value: Any) -> str | None:
        """Return what is wrong with a value, or None."""
        if not self.is_multiple:
            return self.single_problem(value)
        if not isinstance(value, list):
            return expectation(self.alias, f"an array of type '{self.kind}', got '{JSON_TYPES[type(value)]}'")
        return next(filter(None, map(self.single_problem, value)), None)

    def single_problem(self, value: Any) -> str | None:
        """Return what is wrong with a single value, or with one item of several, or None."""
        if type(value) not in self.types:  # isinstance() would take true for a number
            expected = f"type '{self.kind}', got '{JSON_TYPES[type(value)]}'"
            return expectation(self.alias, expected + what_to_send(self.kind, value))
        for check in self.checks:
            if problem := check(value):
                return problem
        return None

    def is_filled_by(self, entry: dict[str, Any]) -> bool:
        """Return whether a scoped value counts: it is not empty, and its scope and what it names exist."""
        value = entry["value"]
        if is_empty(value) or not self.has_scope(entry["scope"]):
            return False
        names = [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]
        return self.has_target is None or self.has_target(names)

    def entries_problems(
        self, entries: list[dict[str, Any]], path: str, scopes: Container[ScopeKey] | None = None
    ) -> Iterator[str]:
        """Yield what is wrong with the attribute's scoped values, in these scopes or in all."""
        seen = set()
        for index, entry in enumerate(entries):
            scope = entry["scope"]
            key = scope_key(scope) if scopes is not None or len(entries) > 1 else ()
            if scopes is None or key in scopes:
                if not self.has_scope(scope):
                    yield from self.scope_problems(scope, f"{path}[{index}].scope")
                if problem := self.value_problem(entry["value"]):
                    yield f"{path}[{index}].value: {problem}"
            if key in seen:
                yield f"{path}: expected one value per scope, got more for {to_json(scope, sort_keys=True)}"
            seen.add(key)

    def has_scope(self, scope: dict[str, str]) -> bool:
        """Return whether the attribute has the dimensions of a scope, and they have its segments."""
        return scope.items() <= self.segments

    def scope_problems(self, scope: dict[str, str], path: str) -> Iterator[str]:
        """Yield what is wrong with a scope."""
        for dimension, segment in scope.items():
            if dimension not in self.dimensions:
                hint = hint_at_id("dimension", dimension, self.dimensions)
                yield f"{path}: attribute '{self.alias}' has no dimension {format_value(dimension)}{hint}"
            elif segment not in (segments := self.dimensions[dimension]):
                got = f"{format_value(segment)}{what_there_is(segment, segments)}"
                yield f"{path}.{dimension}: expected the id of a segment of '{dimension}', got {got}"


def option_names(list_id: str | None) -> set[str]:
    """Return the ids and aliases of a list's options; none without a list."""
    options = [] if list_id is None else load_object("option-list", list_id)["values"]
    return {option[name] for option in options for name in ("id", "alias")}


def attribute_rules(attribute: dict[str, Any], options: set[str], segments: dict[str, set[str]]) -> AttributeRules:
    """Return the rules of one attribute, given the names of its options and the segments of each dimension."""
    return AttributeRules(
        alias=attribute["alias"],
        kind=attribute["type"],
        types=ATTRIBUTE_TYPES[attribute["type"]],
        is_multiple=attribute["multiple"],
        is_required=attribute["validation"].get("required", False),
        is_unique=attribute["validation"].get("unique", False),
        is_inheritable=attribute["inheritable"],
        checks=list(value_checks(attribute, options)),
        has_target=find_target(attribute["type"], options),
        dimensions={id: segments[id] for id in attribute["dimensionIds"]},
        segments=frozenset((id, segment) for id in attribute["dimensionIds"] for segment in segments[id]),
        option_list=attribute.get("optionListId"),
    )


class StateRules(NamedTuple):
    """The attributes, by alias, that a state requires and those that it locks."""

    required: set[str]
    read_only: set[str]


class SchemaRules(NamedTuple):
    """The rules that the records of one schema must meet."""

    schema: dict[str, Any]
    attributes: dict[str, AttributeRules]  # by alias
    workflow: dict[str, Any] | None
    states: dict[str | None, StateRules]  # by id
    transitions: list[dict[str, Any]]

    def transitions_from(self, state_id: str | None) -> list[dict[str, Any]]:
        """Return the transitions that leave a state."""
        return [transition for transition in self.transitions if transition["fromStateId"] == state_id]

    def values_problems(self, values: dict[str, Any]) -> Iterator[str]:
        """Yield what is wrong with the values of a new record or variant."""
        for alias, entries in values.items():
            rules = self.attributes.get(alias)
            yield from rules.entries_problems(entries, f"values.{alias}") if rules else [self.unknown_alias(alias)]

    def change_problems(self, values: dict[str, Any], stored: dict[str, Any], scopes: Scopes) -> Iterator[str]:
        """Yield what is wrong with values that replace stored ones; only those in the given scopes change."""
        for alias, entries in values.items():
            rules, changing = self.attributes.get(alias), scopes.get(alias, set())
            if rules is not None:
                yield from rules.entries_problems(entries, f"values.{alias}", changing)
            # Values may still be cleared that are stored under an alias the schema does not have any more.
            elif alias not in stored or changing & by_scope(entries).keys():
                yield self.unknown_alias(alias)

    def unknown_alias(self, alias: str) -> str:
        """Return a message that the schema does not have an attribute."""
        return f"values.{alias[:100]}: schema '{self.schema['id']}' has no attribute with this alias{self.hint_at_alias(alias)}"

    def hint_at_alias(self, name: str) -> str:
        """Return the end of a message about an unknown alias: the alias of the attribute with this id, or which there are.

        It names no attribute that the caller's role hides.
        """
        levels = caller_levels(self.schema["id"])
        shown = [alias for alias in self.attributes if levels.shows(alias)]
        alias = _attribute_alias(name)
        return f" (its alias is '{alias}')" if alias in shown else what_there_is(name, shown)


def _attribute_alias(name: str) -> str:
    """Return the alias of the attribute with this alias, or else with this id; the name itself if there is none."""
    sql = (
        "SELECT alias FROM model_objects WHERE tenant = ? AND kind = 'attribute' AND (alias = ? OR id = ?)"
        " ORDER BY alias = ? DESC LIMIT 1"
    )
    row = fetch_one(sql, context().tenant, name, name, name)
    return row[0] if row else name


def _state_rules(states: list[dict[str, Any]], known: Container[str]) -> dict[str | None, StateRules]:
    names = {name for state in states for name in state["required"] + state["readOnly"]}
    aliases = {name: name if name in known else _attribute_alias(name) for name in names}
    return {
        state["id"]: StateRules({aliases[name] for name in state["required"]}, {aliases[name] for name in state["readOnly"]})
        for state in states
    }


@functools.lru_cache(maxsize=128)
def _compile_rules(version: bytes, tenant: str, schema_id: str) -> SchemaRules:
    """Work out a schema's rules. Raises ApiError 400 if there is no such schema.

    The version of the model is only a key of the cache. It is random, so that no other database, and no transaction that was
    rolled back, has the same version.
    """
    require_existing([("schemaId", "schema", schema_id)])
    schema = load_object("schema", schema_id)
    attributes = [json.loads(text) for text in fetch_attribute_texts(schema)]
    used = {id for attribute in attributes for id in attribute["dimensionIds"]}
    segments = {id: {segment["id"] for segment in load_object("dimension", id)["segments"]} for id in used}
    options = {id: option_names(id) for id in {attribute.get("optionListId") for attribute in attributes}}
    rules = {
        attribute["alias"]: attribute_rules(attribute, options[attribute.get("optionListId")], segments)
        for attribute in attributes
    }
    workflow = load_object("workflow", schema["workflowId"]) if "workflowId" in schema else None
    states, transitions = (workflow["states"], workflow["transitions"]) if workflow else ([], [])
    return SchemaRules(schema, rules, workflow, _state_rules(states, rules), transitions)


def schema_rules(schema_id: str) -> SchemaRules:
    """Return a schema's rules for the model as it is now. Raises ApiError 400 if there is no such schema."""
    tenant = context().tenant
    with snapshot():
        row = fetch_one("SELECT model_version FROM workspaces WHERE id = ?", tenant)
        (version,) = get_or_404(row, "workspace", tenant)  # it may have been removed since the access check
        return _compile_rules(version, tenant, schema_id)
