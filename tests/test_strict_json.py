"""JSON text: written compactly, read strictly, and shown in messages."""

import json

import pytest
from test_bodies import UNREADABLE

from sigma.http.strict_json import format_value, parse_json, to_json

NO_OBJECTS = ("array", "null", "number", "string", "true")  # which are good JSON, though no body


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"null", None),
        (b" [1, 2] \n", [1, 2]),
        (b'{"b": 1, "a": {"b": 2}}', {"b": 1, "a": {"b": 2}}),
        (b'[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
        (b"[1, 1.0, -7, -0.5, 1e3, 1E-2]", [1, 1.0, -7, -0.5, 1000.0, 0.01]),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b"[1.7976931348623157e308, 5e-324, 1e-999]", [1.7976931348623157e308, 5e-324, 0.0]),
        ('"æ \U0001f600"'.encode(), "æ \U0001f600"),
        (b'"\\u00e6 \\ud83d\\ude00 \\u0000"', "æ \U0001f600 \0"),
        (b'"\\\\ud800"', "\\ud800"),
        (b'{"": []}', {"": []}),
    ],
    ids=ascii,
)
def test_json_is_read(data, value):
    assert repr(parse_json(data)) == repr(value)  # 1 is no 1.0, nor true


@pytest.mark.parametrize("name", sorted(UNREADABLE.keys() - set(NO_OBJECTS)))
def test_what_is_no_json_or_would_not_survive_is_refused(name):
    data = UNREADABLE[name]
    with pytest.raises(ValueError, match=r"^expected JSON"):
        parse_json(data.encode() if isinstance(data, str) else data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": 1, "b": 2, "a": 3}', "expected JSON: the member 'a' comes twice in one object"),
        (b"[NaN]", "expected JSON: the number NaN is out of range"),
        (b"-1e999", "expected JSON: the number -1e999 is out of range"),
        (b"9" * 400, f"expected JSON: the number {'9' * 20} is out of range"),
        (b'"\\ud800"', "expected JSON in UTF-8, got text that is not Unicode"),
        (b'"\xff"', "expected JSON in UTF-8, got text that is not Unicode"),
    ],
)
def test_a_refusal_says_why(data, message):
    with pytest.raises(ValueError, match="expected JSON") as refusal:
        parse_json(data)
    assert str(refusal.value) == message


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('{"a":[', "]}")])
def test_500_levels_are_read_and_no_more(opening, closing):
    pairs = 500 // len(opening.replace('"a":', ""))
    assert json.dumps(parse_json(f"{opening * pairs}1{closing * pairs}".encode())).count("1") == 1
    for too_many in (pairs + 1, 100_000):
        with pytest.raises(ValueError, match=r"^expected JSON of at most 500 levels$"):
            parse_json(f"{opening * too_many}1{closing * too_many}".encode())


def test_what_is_wide_is_not_deep():
    assert parse_json(b"[" + b"[{}]," * 1000 + b"[]]") == [[{}]] * 1000 + [[]]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": [1, 1.0, True, None], "a": 'æ \u2028 " \\ \n'}, '{"b":[1,1.0,true,null],"a":"æ \u2028 \\" \\\\ \\n"}'),
        ({}, "{}"),
        ("", '""'),
        (1e23, "1e+23"),
    ],
)
def test_json_is_written_compactly_and_in_order(value, text):
    assert to_json(value) == text


def test_members_are_sorted_where_that_is_asked_for():
    assert to_json({"b": 1, "a": {"d": 1, "c": 2}}, sort_keys=True) == '{"a":{"c":2,"d":1},"b":1}'


def test_what_is_no_json_value_is_not_written():
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            to_json(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"),
        (True, "true"),
        (7, "7"),
        (-2.5, "-2.5"),
        ("", "''"),
        ("it's", "'it's'"),
        ('say "a"', "'say \\'a\\''"),
        ("line\n", "'line\\n'"),
        ("é" * 58, f"'{'é' * 58}'"),
        ("é" * 59, "'string'"),
        (10**59, "1" + "0" * 59),
        (10**60, "'number'"),
        ([], "'array'"),
        ([1], "'array'"),
        ({"a": 1}, "'object'"),
    ],
)
def test_a_message_shows_a_value_as_it_is_or_by_its_type(value, shown):
    assert format_value(value) == shown
