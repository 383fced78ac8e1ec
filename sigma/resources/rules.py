"""What the records of a schema must be like, worked out once for each state of the model."""

import functools
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from flask import g

from sigma.database import fetch_one, snapshot
from sigma.http.errors import get_or_404
from sigma.http.strict_json import JSON_TYPES, format_value, to_json
from sigma.resources.model import fetch_attribute_texts, load_object, require_existing
from sigma.resources.value_checks import ATTRIBUTE_TYPES, value_checks
from sigma.resources.values import scope_key


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


class StateRules(NamedTuple):
    """What a state says of attributes, by alias."""

    required: set[str]
    read_only: set[str]


class SchemaRules(NamedTuple):
    """What the records of one schema must be like."""

    schema: dict[str, Any]
    attributes: dict[str, AttributeRules]  # by alias
    workflow: dict[str, Any] | None
    states: dict[str | None, StateRules]  # by id
    transitions: list[dict[str, Any]]

    def values_problems(self, values: dict[str, Any], stored: dict[str, Any]) -> Iterator[str]:
        """Yield what is wrong with values to be written."""
        for alias, entries in values.items():
            rules = self.attributes.get(alias)
            if rules is not None:
                yield from rules.entries_problems(entries, f"values.{alias}")
            elif entries or alias not in stored:  # what the schema had once may still be cleared
                yield f"values.{alias[:100]}: schema '{self.schema['id']}' has no attribute with this alias"


def attribute_alias(name: str) -> str:
    """Return the alias of the attribute that goes by this alias, or else by this id; the name itself if there is none."""
    sql = (
        "SELECT alias FROM model_objects WHERE tenant = ?1 AND kind = 'attribute' AND (alias = ?2 OR id = ?2)"
        " ORDER BY alias = ?2 DESC LIMIT 1"
    )
    row = fetch_one(sql, g.tenant, name)
    return row[0] if row else name


@functools.lru_cache(maxsize=128)
def compile_rules(version: bytes, tenant: str, schema_id: str) -> SchemaRules:
    """Work out a schema's rules. Raises ApiError 400 if there is no such schema.

    The version takes no part in that: it makes each state of the model an entry of its own in the cache. It is random, so
    that no other database, and no transaction that was rolled back, can come up with the same one.
    """
    require_existing([("schemaId", "schema", schema_id)])
    schema = load_object("schema", schema_id)
    attributes = [json.loads(text) for text in fetch_attribute_texts(schema)]
    used = {id for attribute in attributes for id in attribute["dimensionIds"]}
    segments = {id: {segment["id"] for segment in load_object("dimension", id)["segments"]} for id in used}
    lists = {attribute["optionListId"] for attribute in attributes if "optionListId" in attribute}
    options = {
        id: {value[name] for value in load_object("option-list", id)["values"] for name in ("id", "alias")} for id in lists
    }
    rules = {
        attribute["alias"]: AttributeRules(
            attribute["alias"],
            attribute["type"],
            ATTRIBUTE_TYPES[attribute["type"]],
            attribute["multiple"],
            attribute["validation"].get("required", False),
            attribute["validation"].get("unique", False),
            attribute["inheritable"],
            list(value_checks(attribute, options.get(attribute.get("optionListId"), set()))),
            {id: segments[id] for id in attribute["dimensionIds"]},
        )
        for attribute in attributes
    }
    workflow = load_object("workflow", schema["workflowId"]) if "workflowId" in schema else None
    states, transitions = (workflow["states"], workflow["transitions"]) if workflow else ([], [])
    names = {name for state in states for name in state["required"] + state["readOnly"]}
    aliases = {name: name if name in rules else attribute_alias(name) for name in names}
    by_id = {
        state["id"]: StateRules({aliases[name] for name in state["required"]}, {aliases[name] for name in state["readOnly"]})
        for state in states
    }
    return SchemaRules(schema, rules, workflow, by_id, transitions)


def schema_rules(schema_id: str) -> SchemaRules:
    """Return a schema's rules, as the model is now. Raises ApiError 400 if there is no such schema."""
    tenant = g.tenant
    with snapshot():
        row = fetch_one("SELECT model_version FROM workspaces WHERE id = ?", tenant)
        (version,) = get_or_404(row, "workspace", tenant)  # it may have been removed since the caller was let in
        return compile_rules(version, tenant, schema_id)
