"""The forms in which values are compared by a search."""

import json
import time
from decimal import Decimal

from cases import each

from sigma.resources.search_criteria import AttributeCriteria, group_criteria, make_criterion
from sigma.resources.search_forms import EQUAL_FORMS, exact_number, fold, instant, number, truth, wanted_form


@each(
    ("item", "form"),
    [
        (1, 1),
        (1.0, 1),
        (-0.0, 0),
        (0.1, 0.1),
        (2**53 + 1, 2**53 + 1),
        (float(2**60), 1152921504606847000),  # as repr() writes it, and JSON
        (float(2**59), 576460752303423500),
        (-float(2**59), -576460752303423500),
        (1e23, 10**23),
        (-1e23, -(10**23)),
        (True, None),
        ("1", None),
        (None, None),
        ([1], None),
    ],
)
def test_a_number_is_compared_as_it_is_written(item, form):
    assert number(item) == form


@each(
    ("value", "form"),
    [
        *(("100", 100), ("1e2", 100), (" 0.5\n", 0.5), ("-0", 0), ("1e23", 10**23), (7, 7)),
        *(
            (text, None)
            for text in ("", "+1", "1,5", "1_000", "007", ".5", "0x10", "NaN", "true", "[1]", '"1"', "٣", "1e" + "9" * 30)
        ),
        *((text, Decimal(text)) for text in ("1e999", "9" * 400, "9007199254740993.0", "0.1000000000000000055")),
        *((value, None) for value in (True, [1], {"a": 1})),
    ],
)
def test_a_text_is_a_number_where_json_would_read_one(value, form):
    assert wanted_form("number", number, value) == form
    assert wanted_form("text", fold, str(value)) == str(value).casefold()


def test_what_has_no_such_form_is_passed_over():
    assert [fold(5), instant("noon"), instant(5), truth(1), truth("true")] == [None] * 5


@each(
    ("one", "other", "are_equal"),
    [
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}, True),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1e23}, {"a": 10**23}, True),
        ({"a": 1e23}, {"a": 99999999999999991611392}, False),
        ({}, [], False),
    ],
)
def test_objects_are_equal_whatever_the_order_of_their_members(one, other, are_equal):
    form = EQUAL_FORMS["complex"]
    assert (form(one) == form(other)) is are_equal


def test_a_number_has_all_the_digits_that_are_written():
    assert [exact_number(item) for item in (0.1, 1e23, 7)] == [Decimal("0.1"), 10**23, 7]
    assert [exact_number(item) for item in (True, "1", None)] == [None] * 3


def matches(entries, *criteria, kind="number", is_one_enough=False):
    """Whether a record with these scoped values meets criteria on one attribute."""
    readings = group_criteria(make_criterion(criterion, kind) for criterion in criteria)
    scoped = [{"scope": scope, "value": value} for scope, value in entries]
    return AttributeCriteria({}, {}, readings, is_one_enough, []).matches(json.dumps(scoped) if entries else None)


def test_a_scope_is_exactly_the_one_that_is_asked_for():
    values = [({}, 1), ({"a": "x"}, 2), ({"b": "y", "a": "x"}, 3)]

    def holding(scope):
        asked = {"operator": "equals"} | ({} if scope is None else {"scope": scope})
        return [item for item in (1, 2, 3) if matches(values, {**asked, "value": item})]

    found = [holding(scope) for scope in (None, {}, {"a": "x"}, {"a": "x", "b": "y"}, {"b": "y"})]
    assert found == [[1, 2, 3], [1], [2], [3], []]


def test_criteria_on_one_attribute_each_count_in_their_own_scope():
    values = [({}, 1), ({"a": "x"}, 5)]
    both = [{"operator": "gt", "value": 2, "scope": {"a": "x"}}, {"operator": "lt", "value": 2, "scope": {}}]
    assert matches(values, *both)
    assert not matches(values, *both, {"operator": "gt", "value": 2, "scope": {}})
    assert matches(values, *both, {"operator": "gt", "value": 2, "scope": {}}, is_one_enough=True)


@each("how", ["equals", "contains", "gt", "lt", "isNotEmpty"])
def test_without_values_what_asks_for_one_is_not_met(how):
    assert not matches([], {"operator": how, "value": "1"})


@each("how", ["notEquals", "isEmpty"])
def test_without_values_what_asks_for_none_is_met(how):
    assert matches([], {"operator": how, "value": "1"})


def test_a_part_of_two_texts_together_is_in_neither():
    values = [({}, ["ab", "cd"])]
    for wanted, is_found in (("ab", True), ("CD", True), ("bc", False), ("b\nc", False), ("", True)):
        assert matches(values, {"operator": "contains", "value": wanted}, kind="text") is is_found
    assert not matches([({}, 5), ({}, [])], {"operator": "contains", "value": ""}, kind="text")


def test_many_criteria_on_very_many_items_take_little_longer_than_one():
    values = [({}, [f"item {number}" for number in range(50_000)])]

    def seconds(count):
        criteria = [{"operator": "contains", "value": f"nothing {number}"} for number in range(count)]
        began = time.process_time()
        assert not matches(values, *criteria, kind="text", is_one_enough=True)
        return time.process_time() - began

    assert min(seconds(50) for _ in range(3)) < 10 * min(seconds(1) for _ in range(3))
