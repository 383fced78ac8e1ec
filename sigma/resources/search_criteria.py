"""The criteria of a search: their shape, what is wrong with them, and which values of an attribute meet them.

A record meets a criterion when one of its values of the attribute does, in the criterion's scope or in any; of a `multiple`
value, one item. An option goes by its id and by its alias, whichever the record holds. A text contains another whatever the
case, by Unicode's full case folding: "STRASSE" finds "Straße". What is no matter of case is told apart, such as "é" and "e".
"""

import functools
import json
import operator
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import marshmallow as ma
from flask import g
from marshmallow import fields

from sigma.database import fetch_one
from sigma.http.date_times import Instant, read_instant
from sigma.http.errors import raise_for_problems
from sigma.http.fields import Body, dict_field, enum_field
from sigma.http.strict_json import exact, format_value, parse_json
from sigma.resources.model import exists, load_object
from sigma.resources.unique_values import instant_or_itself, unique_key
from sigma.resources.values import is_empty

WITHOUT_VALUE = ("isEmpty", "isNotEmpty")
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {"gt": operator.lt, "lt": operator.gt}  # of what is wanted with an item
OPERATORS = ("equals", "notEquals", "contains", *WITHOUT_VALUE, *COMPARISONS)
LITERAL_TYPES = ("text", "media", "relation")  # of attributes whose values are texts that mean nothing else


class CriterionBody(Body):
    """What the values of one attribute must be like."""

    attribute = fields.String(allow_none=True, metadata={"description": "Alias of the attribute"})
    attributeAlias = fields.String(allow_none=True, metadata={"description": "The same as attribute; one of the two is given"})
    operator = enum_field(
        "How values are compared; contains looks for a part of a text, whatever the case, gt and lt are for numbers and"
        " date-times",
        OPERATORS,
        "SearchOperator",
    )
    value = fields.Raw(
        allow_none=True, metadata={"description": "What they are compared with; isEmpty and isNotEmpty need none"}
    )
    scope = dict_field("Only the value of exactly this scope; any when absent", "Scope", fields.String(), allow_none=True)

    @ma.validates_schema
    def check_members(self, data: dict[str, Any], **_: Any) -> None:
        """One attribute is named, and there is the value that the operator needs."""
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


Form = Callable[[Any], Any]  # in which items are compared; it returns None for one that has no such form, and meets nothing


def itself(item: Any) -> Any:
    """Return an item as it is."""
    return item


def fold(item: Any) -> str | None:
    """Return a text without its case."""
    return item.casefold() if isinstance(item, str) else None


def number(item: Any) -> int | float | None:
    """Return a number such that Python compares it as it is written; it would take 1e23 for the double next to it."""
    if type(item) is int or (type(item) is float and -(2**53) < item < 2**53):
        return item
    return int(exact(item)) if type(item) is float else None


def truth(item: Any) -> bool | None:
    """Return true or false, and nothing that Python takes for them."""
    return item if isinstance(item, bool) else None


def instant(item: Any) -> Instant | None:
    """Return the instant that a date-time means."""
    return read_instant(item) if isinstance(item, str) else None


EQUAL_FORMS: dict[str, Form] = {  # by the type of attribute; the others' items are compared as they are
    "number": number,
    "boolean": truth,
    "datetime": instant_or_itself,
    "complex": functools.partial(unique_key, "complex"),
}
ORDERED_FORMS: dict[str, Form] = {"number": number, "datetime": instant}
ORDERED_VALUES = {
    "number": "a number of which all digits can be kept, or a text that is one",
    "datetime": "a date and time with a zone (RFC 3339), or a plain date",
}


def wanted_form(kind: str, form: Form, value: Any) -> Any:
    """Return what a criterion compares with in the form of items; a text that JSON would read as a number may be one."""
    if kind == "number" and isinstance(value, str):
        try:
            value = parse_json(value.encode())
        except ValueError:
            return None
    return form(value)


def is_part(wanted: str, text: str) -> bool:
    """Return whether a text contains what is wanted."""
    return wanted in text


def is_filled(value: Any) -> bool:
    """Return whether a value is not empty."""
    return not is_empty(value)


class Criterion(NamedTuple):
    """What one criterion asks of an attribute's values."""

    scope: dict[str, str] | None  # of the value; None: any
    form: Form | None  # of the items that are tested; None: whole values are
    test: Callable[[Any], bool]
    is_negated: bool = False

    def is_met(self, formed: list[tuple[dict[str, str], Any]]) -> bool:
        """Return whether values meet it, which come in its form, each with its scope."""
        scope, test = self.scope, self.test
        for where, item in formed:
            if (scope is None or where == scope) and test(item):
                return not self.is_negated
        return self.is_negated


def make_criterion(criterion: dict[str, Any], kind: str) -> Criterion:
    """Return a criterion on an attribute of a type, ready to be tried."""
    how, scope = criterion["operator"], criterion.get("scope")
    if how in WITHOUT_VALUE:
        return Criterion(scope, None, is_filled, how == "isEmpty")
    value = criterion["value"]
    if how == "contains":
        return Criterion(scope, fold, functools.partial(is_part, value.casefold()))
    form = ORDERED_FORMS[kind] if how in COMPARISONS else EQUAL_FORMS.get(kind, itself)
    wanted = wanted_form(kind, form, value)
    return Criterion(scope, form, functools.partial(COMPARISONS.get(how, operator.eq), wanted), how == "notEquals")


read_json = json.JSONDecoder().raw_decode  # json.loads() takes twice as long for a short text


class AttributeCriteria(NamedTuple):
    """What a search asks of the values of one attribute."""

    attribute: dict[str, Any]
    synonyms: dict[str, set[str]]  # of each option's id and alias: both
    criteria: list[Criterion]
    is_one_enough: bool  # or else all are to be met
    literals: list[str]  # that a record which meets them all has somewhere in its text, whatever the case

    def are_met(self, text: str | None) -> bool:
        """Return whether a record's scoped values of the attribute, as JSON text, meet the criteria; None: it has none."""
        entries = read_json(text)[0] if text else []
        formed: dict[Form | None, list[tuple[dict[str, str], Any]]] = {}  # for all criteria that compare in the same form
        for criterion in self.criteria:
            form = criterion.form
            if form not in formed:
                formed[form] = self.in_form(entries, form)
            if criterion.is_met(formed[form]) is self.is_one_enough:
                return self.is_one_enough
        return not self.is_one_enough

    def in_form(self, entries: list[dict[str, Any]], form: Form | None) -> list[tuple[dict[str, str], Any]]:
        """Return the items of scoped values in a form, each with its scope; without a form, the values."""
        if form is None:
            return [(entry["scope"], entry["value"]) for entry in entries]
        return [
            (entry["scope"], formed)
            for entry in entries
            for value in (entry["value"],)
            for item in (value if isinstance(value, list) else (value,))
            for name in (self.synonyms.get(item, (item,)) if self.synonyms and isinstance(item, str) else (item,))
            if (formed := form(name)) is not None
        ]


def named_in(criterion: dict[str, Any]) -> str:
    """Return the member in which a criterion names its attribute."""
    return "attribute" if "attribute" in criterion else "attributeAlias"


def find_attribute(alias: str) -> dict[str, Any] | None:
    """Return the attribute with an alias, or None."""
    row = fetch_one("SELECT body FROM model_objects WHERE tenant = ? AND kind = 'attribute' AND alias = ?", g.tenant, alias)
    return json.loads(row[0]) if row else None


def find_segments(dimension: str) -> set[str] | None:
    """Return the ids of a dimension's segments, or None if there is no such dimension."""
    if not exists("dimension", dimension):
        return None
    return {segment["id"] for segment in load_object("dimension", dimension)["segments"]}


def option_synonyms(list_id: str | None) -> dict[str, set[str]]:
    """Return the id and the alias of each option of a list, by both of them; none without a list."""
    synonyms: dict[str, set[str]] = {}
    for option in [] if list_id is None else load_object("option-list", list_id)["values"]:
        for name in (option["id"], option["alias"]):  # a name may be one option's id and another's alias
            synonyms.setdefault(name, set()).update((option["id"], option["alias"]))
    return synonyms


def comparison_problem(criterion: dict[str, Any], attribute: dict[str, Any]) -> str | None:
    """Say what keeps an attribute's values from being compared as a criterion says, or None."""
    how, value, kind = criterion["operator"], criterion.get("value"), attribute["type"]
    if how not in COMPARISONS:
        return None
    if kind not in ORDERED_FORMS:
        others = ", ".join(name for name in OPERATORS if name not in COMPARISONS)
        return f"operator: expected one of {others} for attribute '{attribute['alias']}' of type '{kind}', got '{how}'"
    if wanted_form(kind, ORDERED_FORMS[kind], value) is None:
        return f"value: expected {ORDERED_VALUES[kind]}, got {format_value(value)}"
    return None


def criteria_problems(criteria: list[dict[str, Any]], attributes: dict[str, Any], path: str) -> Iterator[str]:
    """Yield what is wrong with criteria on these attributes, of which one that does not exist is None."""
    segments_of = functools.cache(find_segments)
    for index, criterion in enumerate(criteria):
        here, name = f"{path}criteria[{index}]", named_in(criterion)
        attribute = attributes[criterion[name]]
        if attribute is None:
            yield f"{here}.{name}: no attribute has the alias {format_value(criterion[name])}"
        elif problem := comparison_problem(criterion, attribute):
            yield f"{here}.{problem}"
        for dimension, segment in criterion.get("scope", {}).items():
            if (segments := segments_of(dimension)) is None:
                yield f"{here}.scope: dimension {format_value(dimension)} does not exist"
            elif segment not in segments:
                expected = f"the id of a segment of '{dimension}'"
                yield f"{here}.scope.{dimension}: expected {expected}, got {format_value(segment)}"


def make_attribute_criteria(
    attribute: dict[str, Any], criteria: list[dict[str, Any]], is_one_enough: bool
) -> AttributeCriteria:
    """Return the criteria on one attribute, ready to be tried."""
    kind, synonyms = attribute["type"], option_synonyms(attribute.get("optionListId"))
    ready = [make_criterion(criterion, kind) for criterion in criteria]
    texts = [criterion["value"] for criterion in criteria if criterion["operator"] in ("contains", "equals")]
    literals = [text for text in texts if isinstance(text, str)] if kind in LITERAL_TYPES and not is_one_enough else []
    return AttributeCriteria(attribute, synonyms, ready, is_one_enough, literals)


def make_criteria(criteria: list[dict[str, Any]], is_one_enough: bool, path: str) -> list[AttributeCriteria]:
    """Return the criteria of a search by attribute, ready to be tried. Raises ApiError 400, naming fields below the path."""
    by_alias: dict[str, list[dict[str, Any]]] = {}
    for criterion in criteria:
        by_alias.setdefault(criterion[named_in(criterion)], []).append(criterion)
    attributes = {alias: find_attribute(alias) for alias in by_alias}
    raise_for_problems(criteria_problems(criteria, attributes, path))
    return [
        make_attribute_criteria(attribute, by_alias[alias], is_one_enough)
        for alias, attribute in attributes.items()
        if attribute is not None
    ]
