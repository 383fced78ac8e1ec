"""How many cases are tried in one test: all of them, each from the same beginning, and those that fail are named."""

import pytest
from cases import each


@pytest.fixture(autouse=True)
def no_limit(request, monkeypatch):
    """Try all cases, also while pytest is to stop at the first test that fails."""
    monkeypatch.setattr(request.config.option, "maxfail", 0)


def notes_of(error):
    return [note for part in error.exceptions for note in part.__notes__]


def test_each_case_is_tried_and_those_that_fail_are_named(request):
    tried = []

    @each(("number", "told"), [(1, "a"), pytest.param(2, "b", id="two"), (3, "c"), (4, "d")])
    def check(number, told):
        tried.append(told)
        assert number % 2

    with pytest.raises(ExceptionGroup, match="2 of 4 cases") as caught:
        check(request)
    assert tried == ["a", "b", "c", "d"]
    assert notes_of(caught.value) == ["That was the case two (number=2, told='b')", "That was the case number=4, told='d'"]


def test_no_more_are_tried_when_the_first_failure_is_to_be_the_last(request, monkeypatch):
    monkeypatch.setattr(request.config.option, "maxfail", 1)
    tried = []

    @each("number", [1, 2, 3])
    def check(number):
        tried.append(number)
        assert number == 1

    with pytest.raises(AssertionError):
        check(request)
    assert tried == [1, 2]


@each("ids", [["first", "second"], {"first": 1, "second": 2}, str])
def test_a_case_that_fails_alone_is_told_like_any_test(request, ids):
    @each("value", [1, 2], ids=ids)
    def check(value):
        if value == 2:
            pytest.fail("as some do")

    with pytest.raises(pytest.fail.Exception, match="as some do") as caught:
        check(request)
    assert caught.value.__notes__ == [f"That was the case {'2' if ids is str else 'second'} (value=2)"]


def test_cases_of_two_kinds_are_tried_with_each_other(request):
    tried = []

    @each("a", [1, 2])
    @each("b", [3, 4])
    def check(a, b):
        tried.append((a, b))

    check(request)
    assert tried == [(1, 3), (1, 4), (2, 3), (2, 4)]


def test_each_case_begins_with_what_the_fixtures_have_left(request, app, key, monkeypatch):
    @each("times", [1, 2, 2])
    def check(times, monkeypatch):
        assert app.config["RECORD_LIMIT"] is None
        assert key.post("/records", {"id": "ent-of-a-case", "schemaId": "schema-apparel", "values": {}}).status_code == 201
        app.config["RECORD_LIMIT"] = 1
        monkeypatch.setattr(app, "tried", times, raising=False)

    check(request, monkeypatch=monkeypatch)
    assert not hasattr(app, "tried")
    assert key.get("/records/ent-of-a-case").status_code == 404
