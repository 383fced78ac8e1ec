"""The rules that the records of a schema must meet, worked out once for each version of the model."""

import json
from collections.abc import Callable, Container, Iterator
from typing import Any, NamedTuple

from sigma.context import context
from sigma.database import fetch_one, snapshot
from sigma.http.nearest import what_there_is
from sigma.http.strict_json import JSON_TYPES, format_value, to_json
from sigma.resources.model import fetch_attribute_texts, hint_at_id, load_object, require_existing
from sigma.resources.newest_versions import NewestVersions
from sigma.resources.object_names import ObjectNames, model_version, weigh
from sigma.resources.role_limits import caller_levels
from sigma.resources.value_checks import (
    ATTRIBUTE_TYPES,
    PATTERN_MEMORY,
    Names,
    Pattern,
    expectation,
    find_target,
    how_to_send,
    value_checks,
)
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
    dimensions: dict[str, Names]  # the ids of their segments, by dimension id
    option_list: str | None  # its id
    options: Names  # of that list

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
            return expectation(self.alias, expected + how_to_send(self.kind, value))
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
        for id, segment in scope.items():  # all() with a generator would cost 0.5 % of a POST
            segments = self.dimensions.get(id)
            if segments is None or segment not in segments():
                return False
        return True

    def scope_problems(self, scope: dict[str, str], path: str) -> Iterator[str]:
        """Yield what is wrong with a scope."""
        for dimension, segment in scope.items():
            if dimension not in self.dimensions:
                hint = hint_at_id("dimension", dimension, self.dimensions)
                yield f"{path}: attribute '{self.alias}' has no dimension {format_value(dimension)}{hint}"
            elif segment not in (segments := self.dimensions[dimension]()):
                got = f"{format_value(segment)}{what_there_is(segment, segments)}"
                yield f"{path}.{dimension}: expected the id of a segment of '{dimension}', got {got}"


def attribute_rules(
    attribute: dict[str, Any],
    names_of: Callable[[str, str], Names],
    pattern_of: Callable[[str], Pattern] = Pattern,
) -> AttributeRules:
    """Return the rules of one attribute, given functions that return an object's names, by its kind and id, and a pattern."""
    list_id = attribute.get("optionListId")
    options: Names = dict if list_id is None else names_of("option-list", list_id)
    return AttributeRules(
        alias=attribute["alias"],
        kind=attribute["type"],
        types=ATTRIBUTE_TYPES[attribute["type"]],
        is_multiple=attribute["multiple"],
        is_required=attribute["validation"].get("required", False),
        is_unique=attribute["validation"].get("unique", False),
        is_inheritable=attribute["inheritable"],
        checks=list(value_checks(attribute, options, pattern_of)),
        has_target=find_target(attribute["type"], options),
        dimensions={id: names_of("dimension", id) for id in attribute["dimensionIds"]},
        option_list=list_id,
        options=options,
    )


def current_rules(attribute: dict[str, Any]) -> AttributeRules:
    """Return the rules of one attribute, which need not be stored, for the option lists and dimensions as they are now."""
    version = model_version()
    return attribute_rules(attribute, lambda kind, id: ObjectNames(kind, id, version))


class StateRules(NamedTuple):
    """The attributes, by alias, that a state requires and those that it locks."""

    required: set[str]
    read_only: set[str]


class Parts:
    """What the rules of one version of a schema are made of, and those of the next one may take over."""

    def __init__(self, version: bytes, last: "Parts | None"):
        self.version, self.last = version, last
        self.names: dict[tuple[str, str], ObjectNames] = {}  # by kind and id
        self.patterns: dict[str, Pattern] = {}

    def names_of(self, kind: str, id: str) -> ObjectNames:
        """Return the names in an option list or a dimension."""
        key = kind, id
        if key not in self.names:
            earlier = self.last.names.get(key) if self.last else None
            self.names[key] = ObjectNames(kind, id, self.version, earlier.last if earlier else None)
        return self.names[key]

    def pattern_of(self, text: str) -> Pattern:
        """Return a pattern."""
        if text not in self.patterns:
            self.patterns[text] = (self.last and self.last.patterns.get(text)) or Pattern(text)
        return self.patterns[text]

    def weigh(self) -> int:
        """Return about how many bytes they take at most."""
        return weigh(self.names) + PATTERN_MEMORY // 2 * len(self.patterns)  # matching fills half of it


class SchemaRules(NamedTuple):
    """The rules that the records of one schema must meet."""

    schema: dict[str, Any]
    attributes: dict[str, AttributeRules]  # by alias
    workflow: dict[str, Any] | None
    states: dict[str | None, StateRules]  # by id
    transitions: list[dict[str, Any]]
    parts: Parts

    def weigh(self) -> int:
        """Return about how many bytes the rules take at most."""
        objects = to_json([self.schema, self.workflow])
        return 10 * len(objects) + 5000 * len(self.attributes) + self.parts.weigh()

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


_newest = NewestVersions[SchemaRules](most=128 * 1024 * 1024)  # bytes, about; by workspace and schema


def _compile_rules(schema_id: str, parts: Parts) -> SchemaRules:
    require_existing([("schemaId", "schema", schema_id)])
    schema = load_object("schema", schema_id)
    attributes = map(json.loads, fetch_attribute_texts(schema))
    rules = {attribute["alias"]: attribute_rules(attribute, parts.names_of, parts.pattern_of) for attribute in attributes}
    workflow = load_object("workflow", schema["workflowId"]) if "workflowId" in schema else None
    states, transitions = (workflow["states"], workflow["transitions"]) if workflow else ([], [])
    parts.last = None  # so that no more than one version is kept
    return SchemaRules(schema, rules, workflow, _state_rules(states, rules), transitions, parts)


def schema_rules(schema_id: str) -> SchemaRules:
    """Return a schema's rules for the model as it is now. Raises ApiError 400 if there is no such schema."""
    with snapshot():
        version, key = model_version(), (context().tenant, schema_id)
        rules = _newest.find(key, version)
        if rules is None:
            last = _newest.find_any(key)
            rules = _compile_rules(schema_id, Parts(version, last and last.parts))
            _newest.keep(key, version, rules, rules.weigh())
        return rules
