"""JSON text: written compactly, read strictly, and shown in messages."""

import datetime
import itertools
import json
import math
import random
import struct
import sys
import time
from fractions import Fraction

import pytest
from cases import each
from test_bodies import UNREADABLE

from sigma.http.strict_json import NumberError, format_value, is_same, parse_json, to_json

NO_OBJECTS = ("array", "null", "number", "string", "true")  # which are good JSON, though no body


@each(
    ("data", "value"),
    [
        (b"null", None),
        (b" [1, 2] \n", [1, 2]),
        (b'{"b": 1, "a": {"b": 2}}', {"b": 1, "a": {"b": 2}}),
        (b'[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
        (b"[1, 1.0, -7, -0.5, 1e3, 1E-2]", [1, 1.0, -7, -0.5, 1000.0, 0.01]),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b"[1.7976931348623157e308, 5e-324, 0e-999, -0, -0.0]", [1.7976931348623157e308, 5e-324, 0.0, 0, -0.0]),
        (b"[1E5, 1.10, 100.00, 0.30000000000000004, 1e23]", [100000.0, 1.1, 100.0, 0.30000000000000004, 1e23]),
        ('"æ \U0001f600"'.encode(), "æ \U0001f600"),
        (b'"\\u00e6 \\ud83d\\ude00 \\u0000"', "æ \U0001f600 \0"),
        (b'"\\\\ud800"', "\\ud800"),
        (b'{"": []}', {"": []}),
    ],
    ids=ascii,
)
def test_json_is_read(data, value):
    assert repr(parse_json(data)) == repr(value)  # 1 is no 1.0, nor true


@each("name", sorted(UNREADABLE.keys() - set(NO_OBJECTS)))
def test_what_is_no_json_or_would_not_survive_is_refused(name):
    data = UNREADABLE[name]
    with pytest.raises(ValueError, match=r"^expected JSON"):
        parse_json(data.encode() if isinstance(data, str) else data)


@each(
    ("data", "message"),
    [
        (b'{"a": 1, "b": 2, "a": 3}', "expected JSON: the member 'a' comes twice in one object"),
        (b"[NaN]", "expected JSON: NaN is not JSON"),
        (b"-Infinity", "expected JSON: -Infinity is not JSON"),
        (b'"\\ud800"', "expected JSON in UTF-8, got half a surrogate pair, which is not a character"),
        (b'"\xff"', "expected JSON in UTF-8, got byte 0xFF at position 2, which is not UTF-8"),
        (b"{\0}\0", "expected JSON in UTF-8, got UTF-16"),
        (b"[\0\0\0", "expected JSON in UTF-8, got UTF-32"),
        (b"\0\0\0\0", "expected JSON, got text that begins with '\\u0000'"),
        (b"{]", "expected JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    ],
)
def test_a_refusal_says_why(data, message):
    with pytest.raises(ValueError, match="expected JSON") as refusal:
        parse_json(data)
    assert str(refusal.value) == message


@each(
    ("data", "path", "message"),
    [
        ("-1e999", "", "expected a number within the range of a double, got -1e999"),
        ("9" * 400, "", f"expected a number within the range of a double, got {'9' * 40}…"),
        ("1e-999", "", "expected a number of which all digits can be kept, got 1e-999"),
        ("[1, [0.10000000000000001]]", "[1][0]", "expected a number of which all digits can be kept, got 0.10000000000000001"),
        ('{"a": {"b": [9007199254740993.0]}}', "a.b[0]", "expected a number of which all digits can be kept, got 90071"),
        (f'{{"{"x" * 200}": 1e400}}', "x" * 100, "expected a number within the range of a double, got 1e400"),
        ('{"a": 1e400', "", "expected a number within the range of a double, got 1e400"),
        ("1e-99999999999999999999", "", "expected a number of which all digits can be kept, got 1e-99999999999999999999"),
    ],
    ids=lambda value: value[:20],
)
def test_a_number_that_would_become_another_is_refused_with_its_place(data, path, message):
    with pytest.raises(NumberError) as refusal:
        parse_json(data.encode())
    assert str(refusal.value).startswith(message)
    assert refusal.value.path == path


def test_numbers_are_kept_exactly_or_refused():
    chance = random.Random(5)
    outcomes = set()
    for _ in range(5000):
        text = chance.choice(["", "-"]) + str(chance.randrange(10 ** chance.randint(1, 22)))
        text += chance.choice(["", f".{chance.randrange(10 ** chance.randint(1, 22))}"])
        text += chance.choice(["", "", f"e{chance.randint(-340, 320)}", f"E+{chance.randint(0, 30)}"])
        try:
            number = parse_json(text.encode())
        except NumberError:
            assert abs(float(text)) == float("inf") or Fraction(text) != Fraction(repr(float(text)))
            outcomes.add("refused")
        else:
            assert Fraction(text) == Fraction(to_json(number))
            outcomes.add("kept")
    assert outcomes == {"kept", "refused"}


@each(
    "text",
    [
        '{"a":1,"a":1}',
        '[{"b":{}},{"a":"\\"","b":[{"a":"\\"","a":"\\"\\""}]}]',
        r'{"a":1,"a":2,"b":"\u0022\u0022"}',
        r'{"a":1,"\u0061":2}',
        '{"a":null,"a":1e-05,"b":null}',
        '{"":"","":""}',
    ],
)
def test_a_member_that_comes_twice_is_noticed_whatever_else_the_text_has(text):
    with pytest.raises(ValueError, match=r"^expected JSON: the member '.*' comes twice in one object$"):
        parse_json(text.encode())


def test_members_that_come_twice_are_noticed_among_members_that_do_not():
    chance, outcomes = random.Random(7), set()
    for _ in range(3000):
        names = [chance.choice(["a", "b", "c", '\\"', "d", "e", "f"]) for _ in range(chance.randint(1, 4))]
        values = [chance.choice(["1", "null", '"\\""', '"x"', '{"a":"\\"\\""}', "1e-07", "[]"]) for _ in names]
        text = "{" + ",".join(f'"{name}": {value}' for name, value in zip(names, values, strict=True)) + "}"
        try:
            parse_json(text.encode())
        except ValueError:
            outcomes.add(len(set(names)) < len(names))
        else:
            assert len(set(names)) == len(names), text
            outcomes.add("read")
    assert outcomes == {True, "read"}


@each(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('{"a":[', "]}")])
def test_500_levels_are_read_and_no_more(opening, closing):
    pairs = 500 // len(opening.replace('"a":', ""))
    assert json.dumps(parse_json(f"{opening * pairs}1{closing * pairs}".encode())).count("1") == 1
    for too_many in (pairs + 1, 100_000):
        with pytest.raises(ValueError, match=r"^expected JSON of at most 500 levels$"):
            parse_json(f"{opening * too_many}1{closing * too_many}".encode())


def test_what_is_wide_is_not_deep():
    assert parse_json(b"[" + b"[{}]," * 1000 + b"[]]") == [[{}]] * 1000 + [[]]


@each(
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


def test_what_is_written_is_what_was_meant_to_the_last_digit():
    chance = random.Random(7)
    doubles = [struct.unpack("d", chance.randbytes(8))[0] for _ in range(20_000)]
    small = [chance.randrange(10**17) / 10 ** chance.randint(1, 40) for _ in range(20_000)]
    whole = [chance.randrange(10 ** chance.randint(1, 40)) * chance.choice((1, -1)) for _ in range(2_000)]
    numbers = [number for number in doubles + small if math.isfinite(number)] + whole
    assert repr(json.loads(to_json(numbers))) == repr(numbers)
    for number in numbers[::100]:  # also alone, in an object, and sorted
        assert repr(json.loads(to_json({"it": number}))["it"]) == repr(number)
        assert repr(json.loads(to_json(number, sort_keys=True))) == repr(number)


def test_every_character_is_written_as_jsons_own_writer_writes_it():
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    assert to_json(characters) == json.dumps(characters, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, 10**300, {"it": [2**64]}, (1, (2, 3)), {1: 2, None: "x"}])
def test_what_one_writer_does_not_take_the_other_does(value):
    assert to_json(value) == json.dumps(value, separators=(",", ":"))


def test_500_levels_are_written():
    text = "[" * 500 + "]" * 500
    assert to_json(json.loads(text)) == text


def test_half_of_a_surrogate_pair_is_written_and_cannot_be_sent():
    with pytest.raises(UnicodeEncodeError):
        to_json({"it": "\ud800"}).encode()


@each("value", [float("nan"), float("inf"), [1, None, {"it": float("-inf")}]])
def test_a_number_that_is_none_is_not_written(value):
    for sort_keys in (False, True):
        with pytest.raises(ValueError, match="not JSON compliant"):
            to_json(value, sort_keys)


@each("value", [object(), {"it": {1, 2}}, Fraction(1, 2), datetime.datetime(2026, 1, 1)])
def test_what_has_no_form_in_json_is_not_written(value):
    with pytest.raises(TypeError, match="not JSON serializable"):
        to_json(value)


SAME = [
    ["1", "1.0", "1e0", "10E-1"],
    ["0", "-0", "-0.0"],
    ["100000000000000000000000", "1e23"],
    ["99999999999999991611392"],
    ["9007199254740993"],
    ["9007199254740992", "9007199254740992.0"],
    ["true"],
    ["false"],
    ["null"],
    ['"1"'],
    ['"1.0"'],
    ['""'],
    ["[]"],
    ["[1]", "[1.0]"],
    ["[1,2]", "[1e0,2.0]"],
    ["[2,1]"],
    ["{}"],
    ['{"a":1,"b":{"c":2,"d":[0]}}', '{"b":{"d":[-0.0],"c":2.0},"a":1}'],
    ['{"a":1,"b":{"c":2,"d":[false]}}'],
]


def test_equal_values_are_the_same_and_no_others():
    for line, texts in enumerate(SAME):
        for other, more in enumerate(SAME):
            for text, another in itertools.product(texts, more):
                assert is_same(json.loads(text), json.loads(another)) == (line == other), (text, another)


def test_a_small_value_is_told_from_a_large_one_at_once():
    large = {"a": [{}] * 100_000}
    others = [{}, {"b": 1}, {"a": []}, {"a": 5}, [], 5, "a", None]
    began = time.process_time()
    to_json(large)
    once = time.process_time() - began
    assert not any(is_same(large, other) or is_same(other, large) for other in others for _ in range(10))
    assert time.process_time() - began < 2 * once + 0.01


def test_equal_values_may_be_deep():
    deep, other = [], []
    for _ in range(5000):
        deep, other = [deep], [other]
    assert is_same(deep, other)
    assert not is_same(deep, other[0])


@each(
    ("value", "shown"),
    [
        (None, "null"),
        (True, "true"),
        (7, "7"),
        (-2.5, "-2.5"),
        ("", "''"),
        ("it's", "'it's'"),
        ('say "a"', """'say "a"'"""),
        ('"', """'"'"""),
        ('\\"', """'\\\\"'"""),  # a backslash is written twice, as before an n
        ("\\n", "'\\\\n'"),
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
