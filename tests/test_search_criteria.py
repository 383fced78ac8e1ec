"""The forms in which values are compared by a search."""

import pytest

from sigma.resources.search_criteria import EQUAL_FORMS, Criterion, fold, instant, make_criterion, number, truth, wanted_form


@pytest.mark.parametrize(
    ("item", "form"),
    [
        (1, 1),
        (1.0, 1),
        (-0.0, 0),
        (0.1, 0.1),
        (2**53 + 1, 2**53 + 1),
        (float(2**60), 1152921504606847000),  # as repr() writes it, and JSON
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


@pytest.mark.parametrize(
    ("value", "form"),
    [
        *(("100", 100), ("1e2", 100), (" 0.5\n", 0.5), ("-0", 0), ("1e23", 10**23), (7, 7)),
        *(
            (text, None)
            for text in ("", "+1", "1,5", "1_000", "007", ".5", "0x10", "NaN", "1e999", "true", "[1]", '"1"', "9" * 400)
        ),
        *((value, None) for value in (True, [1], {"a": 1})),
    ],
)
def test_a_text_is_a_number_where_json_would_read_one(value, form):
    assert wanted_form("number", number, value) == form
    assert wanted_form("text", fold, str(value)) == str(value).casefold()


def test_what_has_no_such_form_is_passed_over():
    assert [fold(5), instant("noon"), instant(5), truth(1), truth("true")] == [None] * 5


@pytest.mark.parametrize(
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


def test_a_scope_is_exactly_the_one_that_is_asked_for():
    values = [({}, 1), ({"a": "x"}, 2), ({"b": "y", "a": "x"}, 3)]

    def holding(scope):
        return [item for item in (1, 2, 3) if Criterion(scope, number, lambda held: held == item).is_met(values)]  # noqa: B023

    assert [holding(scope) for scope in (None, {}, {"a": "x"}, {"a": "x", "b": "y"}, {"b": "y"})] == [
        [1, 2, 3],
        [1],
        [2],
        [3],
        [],
    ]


@pytest.mark.parametrize("how", ["equals", "contains", "gt", "lt", "isNotEmpty"])
def test_without_values_what_asks_for_one_is_not_met(how):
    assert not make_criterion({"operator": how, "value": "1"}, "number").is_met([])


@pytest.mark.parametrize("how", ["notEquals", "isEmpty"])
def test_without_values_what_asks_for_none_is_met(how):
    assert make_criterion({"operator": how, "value": "1"}, "number").is_met([])
