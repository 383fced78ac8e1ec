"""Cells: what each type of attribute makes of text, what text it makes of a value, and that the two fit together."""

import json
import random

import pytest
from cases import each
from flask import Flask

from sigma.resources import cells, import_columns, value_checks
from sigma.resources.rules import attribute_rules

OPTIONS = {"val-red": "val-red", "red": "val-red", "val-blue": "val-blue", "blue": "val-blue"}
LABELS = {"Red": ["val-red"], "Blue": ["val-blue"], "blue": ["val-red"], "Dark": ["val-red", "val-blue"]}


@pytest.fixture(autouse=True)
def context():
    """A request's, in which the names that it looks through are counted."""
    with Flask("cells").app_context():
        yield


def cells_of(kind, multiple=False, **validation):
    """The cells of an attribute `thing` of this type."""
    attribute = {"alias": "thing", "type": kind, "multiple": multiple, "inheritable": True, "dimensionIds": []}
    definition = {**attribute, "validation": validation, "optionListId": "ol-x"}
    rules = attribute_rules(definition, lambda kind, id: lambda: OPTIONS)
    return cells.Cells(rules, OPTIONS, LABELS, ["Red", "Blue"])


# Several in one cell


@each(
    ("text", "items"),
    [
        ("a", ["a"]),
        ("a|b", ["a", "b"]),
        ("a||b", ["a", "", "b"]),
        ("|", ["", ""]),
        (r"a\|b", ["a|b"]),
        (r"a\\|b", ["a\\", "b"]),
        (r"a\\\|b", ["a\\|b"]),
        (r"C:\temp|D:\new", [r"C:\temp", r"D:\new"]),  # a backslash before anything else is one
        ("a\\", ["a\\"]),
        ("\\", [""]),  # or it would be an empty cell
        ("\\\\", ["\\"]),
        (" a | b ", [" a ", " b "]),
    ],
)
def test_items_are_split_at_bars_that_no_backslash_takes_for_text(text, items):
    assert cells.split_items(text) == items


def test_items_that_were_joined_are_split_again():
    chance = random.Random(7)
    for _ in range(2000):
        items = ["".join(chance.choices("a|\\, \n", k=chance.randrange(6))) for _ in range(chance.randint(1, 4))]
        assert cells.split_items(cells.join_items(items)) == items


# From text


@each(
    ("kind", "cell", "value"),
    [
        ("text", "0012", "0012"),
        ("text", "=1+1", "=1+1"),
        ("text", " a ", " a "),
        ("text", "null", "null"),
        ("text", "a|b", "a|b"),
        ("text", "\\", "\\"),
        ("media", "a.jpg", "a.jpg"),
        ("number", "129.99", 129.99),
        ("number", "0", 0),
        ("number", "-3", -3),
        ("number", "1.0", 1.0),
        ("number", "249.50", 249.5),
        ("number", "1e23", 1e23),
        ("number", "1E-7", 1e-7),
        ("number", "123456789012345678901234567890", 123456789012345678901234567890),
        ("boolean", "true", True),
        ("boolean", "TRUE", True),
        ("boolean", "False", False),
        ("boolean", "1", True),
        ("boolean", "0", False),
        ("datetime", "2026-03-01", "2026-03-01"),
        ("datetime", "2026-03-01t08:00:00+02:00", "2026-03-01t08:00:00+02:00"),
        ("option", "val-red", "val-red"),
        ("option", "red", "val-red"),
        ("option", "Red", "val-red"),
        ("option", "blue", "val-blue"),  # an alias goes before another's label
        ("complex", '{"a": [1, null], "b": "|"}', {"a": [1, None], "b": "|"}),
    ],
)
def test_text_becomes_a_value_of_the_type(kind, cell, value):
    read = cells_of(kind).read(cell)
    assert (read, type(read)) == (value, type(value))
    assert cells_of(kind, multiple=True).read(cells.join_items([cell])) == [value]
    assert cells_of(kind, multiple=True).read(cells.join_items([cell, cell])) == [value, value]


@each(
    ("kind", "cell", "message"),
    [
        ("number", "not-a-number", "type 'number', got 'not-a-number'"),
        ("number", "1,299.99", "type 'number', got '1,299.99'"),
        ("number", "129,99", "type 'number', got '129,99'"),
        ("number", "1 299", "type 'number', got '1 299'"),
        ("number", "1_000", "type 'number', got '1_000'"),
        ("number", "007", "type 'number', got '007'"),
        ("number", "+5", "type 'number', got '+5'"),
        ("number", ".5", "type 'number', got '.5'"),
        ("number", "0x10", "type 'number', got '0x10'"),
        ("number", "١٢", "type 'number', got '١٢'"),
        ("number", "NaN", "type 'number', got 'NaN'"),
        ("number", "Infinity", "type 'number', got 'Infinity'"),
        ("number", "1e999", "a number within the range of a double, got '1e999'"),
        ("number", "true", "type 'number', got 'true'"),
        ("number", '"5"', "type 'number', got '\"5\"'"),
        ("number", "[5]", "type 'number', got '[5]'"),
        ("number", "0.12345678901234567890", "a number of which all digits can be kept, got '0.12345678901234567890'"),
        ("number", "12345678901234567.25", "a number of which all digits can be kept, got '12345678901234567.25'"),
        ("number", "1e-999", "a number of which all digits can be kept, got '1e-999'"),
        ("number", "1e-9999999999999999999999", "a number of which all digits can be kept, got '1e-9999999999999999999999'"),
        ("boolean", "yes", "type 'boolean', got 'yes'"),
        ("boolean", "2", "type 'boolean', got '2'"),
        ("boolean", " true", "type 'boolean', got ' true'"),
        ("datetime", "01.03.2026", "a date and time with a zone"),
        ("datetime", "2026-02-30", "got '2026-02-30'"),
        ("option", "Teal", "the id, alias or label of an option, got 'Teal'"),
        ("option", "red ", "the id, alias or label of an option, got 'red '"),
        ("option", "Dark", "an id or alias, because several have this label, got 'Dark'"),
        ("complex", "{'a': 1}", "type 'complex', got '{'a': 1}' (expected JSON: "),
        ("complex", "[1]", "type 'complex', got '[1]'"),
        ("complex", '{"a":1,}', """type 'complex', got '{"a":1,}' (expected JSON: """),
        ("complex", '{"a": 1, "a": 2}', "got '{\"a\": 1, \"a\": 2}' (expected JSON: the member 'a' comes twice in one object)"),
        ("complex", '{"a": NaN}', "type 'complex', got '{\"a\": NaN}' (expected JSON: NaN is not JSON)"),
        ("complex", "wash 30", "type 'complex', got 'wash 30' (expected JSON, got text that begins with 'w')"),
        ("complex", " ", "type 'complex', got ' ' (expected JSON, got only blanks)"),
        ("complex", '{"a": 0.10000000000000001}', "a number of which all digits can be kept, got "),
    ],
)
def test_text_that_means_no_value_of_the_type_is_refused_by_name(kind, cell, message):
    for wrong, several in ((cell, False), (cells.join_items(["val-red", cell]) if kind == "option" else cell, True)):
        with pytest.raises(ValueError, match=r"^Attribute 'thing' expects ") as caught:
            cells_of(kind, multiple=several).read(wrong)
        assert message in str(caught.value)


# From JSON


@each(
    ("kind", "multiple", "cell"),
    [
        ("text", False, "a"),
        ("text", True, ["a|b", "", "\\"]),
        ("number", False, 0),
        ("number", False, 1.5),
        ("number", True, [1, 2.5]),
        ("boolean", False, False),
        ("boolean", True, [True, False]),
        ("complex", False, {"a": 1}),
        ("complex", True, [{"a": 1}, {}]),
        ("option", True, ["val-red"]),
    ],
)
def test_a_json_value_of_the_type_is_taken_as_it_is(kind, multiple, cell):
    read = cells_of(kind, multiple).read(cell)
    assert json.dumps(read) == json.dumps(cell)


@each(
    ("kind", "multiple", "cell", "message"),
    [
        ("text", False, 5, "type 'text', got 5"),
        ("text", False, ["a"], "type 'text', got 'array'"),
        ("text", True, 5, "type 'text', got 5"),
        ("text", True, {"a": 1}, "an array of type 'text', got 'object'"),
        ("text", True, ["a", None], "type 'text', got null"),
        ("text", True, ["a", ["b"]], "type 'text', got 'array'"),
        ("number", False, True, "type 'number', got true"),
        ("number", True, [1, True], "type 'number', got true"),
        ("boolean", False, 1, "type 'boolean', got 1"),
        ("complex", False, [1], "type 'complex', got 'array'"),
        ("option", False, 1, "type 'option', got 1"),
    ],
)
def test_a_json_value_of_another_type_is_refused(kind, multiple, cell, message):
    with pytest.raises(ValueError, match="Attribute 'thing' expects") as caught:
        cells_of(kind, multiple).read(cell)
    assert message in str(caught.value)


@each("kind", ["text", "number", "boolean", "datetime", "option", "relation", "media", "complex"])
@each("multiple", [False, True])
@each("cell", [None, "", [], {}])
def test_an_empty_cell_means_no_value(kind, multiple, cell):
    assert cells_of(kind, multiple).read(cell) is None
    assert cells_of(kind, multiple).write(cell) == ""


def test_an_empty_object_in_text_means_no_value():
    assert cells_of("complex").read("{}") is None


@each(
    ("validation", "cell", "message"),
    [({"maxLength": 3}, "four", "at most 3 characters, got 4"), ({"min": 0, "max": 9}, "10", "a number from 0 to 9, got 10")],
)
def test_a_value_is_held_against_the_attributes_limits(validation, cell, message):
    with pytest.raises(ValueError, match="Attribute 'thing' expects") as caught:
        cells_of("text" if "maxLength" in validation else "number", **validation).read(cell)
    assert message in str(caught.value)


# To text


@each(
    ("kind", "value", "text"),
    [
        ("text", "0012", "0012"),
        ("text", "a|b\\", "a|b\\"),
        ("text", ["a|b", "c\\", ""], r"a\|b|c\\|"),
        ("text", [""], "\\"),
        ("text", ["\\"], "\\\\"),
        ("text", ["", ""], "|"),
        ("number", 0, "0"),
        ("number", 249.5, "249.5"),
        ("number", 1.0, "1.0"),
        ("number", [1, 2.5], "1|2.5"),
        ("boolean", False, "false"),
        ("boolean", [True, False], "true|false"),
        ("option", "red", "val-red"),
        ("option", "val-gone", "val-gone"),
        ("option", ["red", "val-blue"], "val-red|val-blue"),
        ("complex", {"a": [1, None], "b": "é|"}, '{"a":[1,null],"b":"é|"}'),
        ("complex", [{"a": "|"}], r'{"a":"\|"}'),
    ],
)
def test_a_value_becomes_the_text_that_an_import_takes(kind, value, text):
    assert cells_of(kind, isinstance(value, list)).write(value) == text


def test_a_cell_shows_a_value_when_an_export_would_give_it_in_one_format_or_the_other():
    color, tags, price = cells_of("option"), cells_of("text", multiple=True), cells_of("number")
    assert all(color.shows(cell, "red") for cell in ("red", "val-red"))
    assert not any(color.shows(cell, "red") for cell in ("Red", "val-blue", "", None))
    assert all(tags.shows(cell, ["a|b", "c"]) for cell in (r"a\|b|c", ["a|b", "c"]))
    assert all(price.shows(cell, 1.0) for cell in ("1.0", "1", "1e0", 1, 1.0))
    assert not any(price.shows(cell, 1.0) for cell in (True, "true", "1.1", "", None))
    assert all(cells_of("boolean").shows(cell, False) for cell in (False, "false", "FALSE", "0"))
    assert not any(cells_of("boolean").shows(cell, False) for cell in (0, "1", None))
    assert cells_of("complex").shows('{"b": 2.0, "a": 1}', {"a": 1, "b": 2})
    assert cells_of("text").shows("five", "five")
    assert cells_of("text", maxLength=3).shows("five", "five")


ODD_CELLS = [
    *(None, "", [], {}, True, False, 0, 1, 1.5, -0.0, 10**30, "x", " ", "|", "a|b", "\\", "null", ["a"], [1], [""], {"a": 1}),
    *("0", "-0", "-0.0", "12", "-12.50", "0.1", "1e3", "1.0E-7", "01", "1.", ".5", "+1", " 1", "1 ", "1\n", "\u0661", "1_0"),
    *("9" * 15, "9" * 16, "9" * 30, "0.1234567890123", "0.12345678901234567890", "1e999", "NaN", "true", "TRUE", "yes"),
    *("2026-03-01", "2026-02-30", "2026-03-01T08:00:00Z", "red", "Red", "Dark", "Teal", "ent-none", "{}", "[]", '{"a": 1}'),
]


@each("kind", [kind for kind in value_checks.ATTRIBUTE_TYPES if kind != "relation"])
@each("multiple", [False, True])
def test_what_an_import_reads_by_a_short_way_is_what_the_cell_means(kind, multiple):
    limits = {"number": {"min": -5, "max": 10**29}, "text": {"maxLength": 5, "pattern": "^[a-z0-9 |-]*$"}}
    column = cells_of(kind, multiple, **limits.get(kind, {}))

    def outcome(read, cell):
        value_checks.begin_row()
        try:
            return repr(read(cell))
        except ValueError as error:
            return f"refused: {error}"

    short = import_columns._reader(column)
    assert [outcome(short, cell) for cell in ODD_CELLS] == [outcome(column.read, cell) for cell in ODD_CELLS]


def test_a_number_of_few_digits_is_read_as_any_json_is():
    chance = random.Random(1)
    texts = ["".join(chance.choices("0123456789.-", k=chance.randint(1, 18))) for _ in range(5_000)]
    texts += [f"{chance.randrange(10**8)}.{chance.randrange(10**6):06}" for _ in range(5_000)]

    def outcome(read, text):
        try:
            return repr(read(text))
        except ValueError as error:
            return f"refused: {error}"

    assert [outcome(cells._read_number, text) for text in texts] == [outcome(cells._read_json, text) for text in texts]
