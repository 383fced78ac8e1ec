"""The criteria of a search: their shape, what is wrong with them, and which values of an attribute meet them.

A record meets a criterion if one of its values of the attribute does, in the criterion's scope or in any scope; of a `multiple`
value, one item is enough. An option matches by its id and by its alias, whichever of them the record holds.
"""

import functools
import json
import operator
from collections.abc import Callable, Container, Iterable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import marshmallow as ma
from flask import g
from marshmallow import fields

from sigma.database import execute, fetch_one
from sigma.http.errors import raise_for_problems
from sigma.http.fields import Body, dict_field, enum_field
from sigma.http.nearest import what_there_is
from sigma.http.strict_json import format_value
from sigma.resources.dimensions import find_segments, unknown_segments
from sigma.resources.model import load_object
from sigma.resources.role_limits import caller_levels
from sigma.resources.search_forms import (
    EQUAL_FORMS,
    ORDERED_FORMS,
    ORDERED_VALUES,
    Form,
    exact_number,
    fold,
    itself,
    wanted_form,
)
from sigma.resources.values import is_empty, scope_key

WITHOUT_VALUE = ("isEmpty", "isNotEmpty")
COMPARISONS: dict[str, tuple[Callable[..., Any], Callable[[Any, Any], bool]]] = {
    "gt": (max, operator.lt),  # picks the item that decides; compares what is wanted with it
    "lt": (min, operator.gt),
}
OPERATORS = ("equals", "notEquals", "contains", *WITHOUT_VALUE, *COMPARISONS)
LITERAL_TYPES = ("text", "media", "relation")  # of attributes whose values are plain texts


class CriterionBody(Body):
    """A criterion for the values of one attribute."""

    attribute = fields.String(allow_none=True, metadata={"description": "Alias of the attribute"})
    attributeAlias = fields.String(
        allow_none=True, metadata={"description": "The same as attribute; only one of the two may be given"}
    )
    operator = enum_field(
        "How values are compared; contains looks for a part of a text, whatever the case; gt and lt are for numbers and"
        " date-times",
        OPERATORS,
        "SearchOperator",
    )
    value = fields.Raw(
        allow_none=True, metadata={"description": "What values are compared with; isEmpty and isNotEmpty need none"}
    )
    scope = dict_field(
        "Only the value with exactly this scope counts; any when absent", "Scope", fields.String(), allow_none=True
    )

    @ma.validates_schema
    def check_members(self, data: dict[str, Any], **_: Any) -> None:
        """Raise ValidationError unless one attribute is named and the value that the operator needs is given."""
        names = [name for name in ("attribute", "attributeAlias") if data.get(name) is not None]
        if not names:
            raise ma.ValidationError("Missing data for required field.", "attribute")
        if len(names) > 1:
            raise ma.ValidationError("Expected none, because attribute is given", "attributeAlias")
        if data["operator"] in WITHOUT_VALUE:
            return
        if data.get("value") is None:
            raise ma.ValidationError("Expected a value" if "value" in data else "Missing data for required field.", "value")
        if data["operator"] == "contains" and not isinstance(data["value"], str):
            raise ma.ValidationError("Not a valid string.", "value")


BETWEEN = "\ud800"  # separates texts that are searched as one; none contains it, as half a surrogate pair in JSON is refused


def _is_any_filled(values: list[Any]) -> bool:
    return not all(map(is_empty, values))


def _is_in(wanted: Any, items: Container[Any]) -> bool:
    """Return whether what is wanted is one of the items, or a part of them if they are joined to a text."""
    return wanted in items


Gather = Callable[[list[Any]], Any]  # turns items into what is tested
Test = Callable[[Any], bool]  # counts as false if there are no items


class Criterion(NamedTuple):
    """What one criterion asks of an attribute's values."""

    scope: dict[str, str] | None  # of the value; None: any
    form: Form | None  # of the items that are tested; None: whole values are tested
    gather: Gather
    test: Test
    is_negated: bool = False


def make_criterion(criterion: dict[str, Any], kind: str) -> Criterion:
    """Return a criterion on an attribute of this type, ready to be tested."""
    operator_name, scope = criterion["operator"], criterion.get("scope")
    if operator_name in WITHOUT_VALUE:
        return Criterion(scope, None, itself, _is_any_filled, operator_name == "isEmpty")
    value = criterion["value"]
    if operator_name == "contains":
        return Criterion(scope, fold, BETWEEN.join, functools.partial(_is_in, value.casefold()))
    form = ORDERED_FORMS[kind] if operator_name in COMPARISONS else EQUAL_FORMS.get(kind, itself)
    wanted = wanted_form(kind, form, value)
    if isinstance(wanted, Decimal):
        form = exact_number
    if operator_name in COMPARISONS:
        gather, compare = COMPARISONS[operator_name]
        return Criterion(scope, form, gather, functools.partial(compare, wanted))
    return Criterion(scope, form, itself, functools.partial(_is_in, wanted), operator_name == "notEquals")


class Reading(NamedTuple):
    """Criteria that test the same items of an attribute's values, which are read once for all of them."""

    scope: dict[str, str] | None
    form: Form | None
    tests: dict[Gather, list[tuple[Test, bool]]]  # by how items are gathered: each test, and whether it is negated


def group_criteria(criteria: Iterable[Criterion]) -> list[Reading]:
    """Return the criteria on one attribute, grouped by what they read."""
    readings: dict[Any, Reading] = {}
    for scope, form, gather, test, is_negated in criteria:
        key = form, None if scope is None else scope_key(scope)
        reading = readings.setdefault(key, Reading(scope, form, {}))
        reading.tests.setdefault(gather, []).append((test, is_negated))
    return list(readings.values())


decode_json = json.JSONDecoder().raw_decode  # json.loads() takes twice as long for a short text


class AttributeCriteria(NamedTuple):
    """What a search asks of the values of one attribute."""

    attribute: dict[str, Any]
    synonyms: dict[str, set[str]]  # by an option's id or alias: both of them
    readings: list[Reading]
    is_one_enough: bool  # otherwise all must be met
    literals: list[str]  # texts that a record has somewhere in its text, whatever the case, if it meets all criteria

    def matches(self, text: str | None) -> bool:
        """Return whether a record's scoped values of the attribute, as JSON text or None, meet the criteria."""
        entries = decode_json(text)[0] if text else []
        for scope, form, tests in self.readings:
            items = self.items_of(entries if scope is None else [entry for entry in entries if entry["scope"] == scope], form)
            for gather, group in tests.items():
                gathered = gather(items) if items else None
                for test, is_negated in group:
                    is_met = (test(gathered) if items else False) is not is_negated
                    if is_met is self.is_one_enough:
                        return is_met
        return not self.is_one_enough

    def items_of(self, entries: list[dict[str, Any]], form: Form | None) -> list[Any]:
        """Return the items of scoped values in a form; without a form, the whole values."""
        if form is None:
            return [entry["value"] for entry in entries]
        return [
            formed
            for entry in entries
            for value in (entry["value"],)
            for item in (value if isinstance(value, list) else (value,))
            for name in (self.synonyms.get(item, (item,)) if self.synonyms and isinstance(item, str) else (item,))
            if (formed := form(name)) is not None
        ]


def named_in(criterion: dict[str, Any]) -> str:
    """Return the member in which a criterion names its attribute."""
    return "attribute" if "attribute" in criterion else "attributeAlias"


def _find_attribute(alias: str) -> dict[str, Any] | None:
    row = fetch_one("SELECT body FROM model_objects WHERE tenant = ? AND kind = 'attribute' AND alias = ?", g.tenant, alias)
    return json.loads(row[0]) if row else None


def _option_synonyms(list_id: str | None) -> dict[str, set[str]]:
    synonyms: dict[str, set[str]] = {}
    for option in [] if list_id is None else load_object("option-list", list_id)["values"]:
        for name in (option["id"], option["alias"]):  # a name may be one option's id and another's alias
            synonyms.setdefault(name, set()).update((option["id"], option["alias"]))
    return synonyms


def _comparison_problem(criterion: dict[str, Any], attribute: dict[str, Any]) -> str | None:
    operator_name, value, kind = criterion["operator"], criterion.get("value"), attribute["type"]
    if operator_name not in COMPARISONS:
        return None
    if kind not in ORDERED_FORMS:
        others = ", ".join(name for name in OPERATORS if name not in COMPARISONS)
        return (
            f"operator: expected one of {others} for attribute '{attribute['alias']}' of type '{kind}', got '{operator_name}'"
        )
    if wanted_form(kind, ORDERED_FORMS[kind], value) is None:
        return f"value: expected {ORDERED_VALUES[kind]}, got {format_value(value)}"
    return None


def _hint_at_alias(name: str) -> str:
    """Return the end of a message about an unknown alias; it names none that the caller's role hides in any schema."""
    levels = caller_levels(None)
    sql = "SELECT id, alias FROM model_objects WHERE tenant = ? AND kind = 'attribute'"
    shown = {id: alias for id, alias in execute(sql, g.tenant) if levels.shows(alias)}
    return f" (its alias is '{shown[name]}')" if name in shown else what_there_is(name, shown.values())


def _criteria_problems(criteria: list[dict[str, Any]], attributes: dict[str, Any], path: str) -> Iterator[str]:
    """Yield what is wrong with criteria; takes their attributes by alias, None for one that does not exist."""
    segments_of = functools.cache(find_segments)
    for index, criterion in enumerate(criteria):
        here, name = f"{path}criteria[{index}]", named_in(criterion)
        attribute = attributes[criterion[name]]
        if attribute is None:
            yield f"{here}.{name}: no attribute has the alias {format_value(criterion[name])}{_hint_at_alias(criterion[name])}"
        elif problem := _comparison_problem(criterion, attribute):
            yield f"{here}.{problem}"
        yield from unknown_segments(criterion.get("scope", {}), f"{here}.scope", segments_of)


def _make_attribute_criteria(
    attribute: dict[str, Any], criteria: list[dict[str, Any]], is_one_enough: bool
) -> AttributeCriteria:
    kind, synonyms = attribute["type"], _option_synonyms(attribute.get("optionListId"))
    readings = group_criteria(make_criterion(criterion, kind) for criterion in criteria)
    texts = [criterion["value"] for criterion in criteria if criterion["operator"] in ("contains", "equals")]
    literals = [text for text in texts if isinstance(text, str)] if kind in LITERAL_TYPES and not is_one_enough else []
    return AttributeCriteria(attribute, synonyms, readings, is_one_enough, literals)


def make_criteria(criteria: list[dict[str, Any]], is_one_enough: bool, path: str) -> list[AttributeCriteria]:
    """Return the criteria of a search, grouped by attribute. Raises ApiError 400, naming fields below the path."""
    by_alias: dict[str, list[dict[str, Any]]] = {}
    for criterion in criteria:
        by_alias.setdefault(criterion[named_in(criterion)], []).append(criterion)
    attributes = {alias: _find_attribute(alias) for alias in by_alias}
    raise_for_problems(_criteria_problems(criteria, attributes, path))
    return [
        _make_attribute_criteria(attribute, by_alias[alias], is_one_enough)
        for alias, attribute in attributes.items()
        if attribute is not None
    ]
