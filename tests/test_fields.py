"""The fields that bodies are described with."""

import json
import random

import marshmallow as ma
import pytest
from cases import each
from flask import g
from marshmallow import fields

from sigma.http.fields import (
    AttributeName,
    Body,
    Flag,
    Items,
    Number,
    PlainBody,
    Reference,
    attributes_field,
    dict_field,
    enum_field,
    id_field,
    string_field,
    timestamp_field,
    unique_items,
    with_article,
)
from sigma.http.references import attribute_names, reference_kinds, references
from sigma.resources import records, value_bodies, values, variants


class PartBody(Body):
    schemaId = Reference("schema", required=True)
    note = string_field("A note", required=False)


class ThingBody(Body):
    roleId = Reference("role")
    listIds = Items(Reference("option-list"), "Lists")
    deepIds = Items(Items(Reference("attribute"), "Row"), "Rows")
    part = fields.Nested(PartBody)
    parts = Items(fields.Nested(PartBody), "Parts")
    names = attributes_field("Names")
    levels = dict_field("Levels", "", fields.String(), keys=AttributeName())
    free = fields.Raw()


def load(field, *values):
    """Return what a body's one field makes of each value: what is stored, or the messages."""
    body = Body.from_dict({"it": field})()
    results = []
    for value in values:
        try:
            results.append(body.load({"it": value})["it"])
        except ma.ValidationError as error:
            results.append(error.messages["it"])
    return results


def test_the_kinds_that_a_body_may_refer_to_are_found_at_any_depth():
    assert reference_kinds(ThingBody()) == {"role", "option-list", "attribute", "schema"}
    assert reference_kinds(PartBody()) == {"schema"}
    assert reference_kinds(Body()) == set()


def test_every_reference_in_a_body_is_found_with_its_path():
    body = {
        "roleId": "r",
        "listIds": ["a", "b"],
        "part": {"schemaId": "s"},
        "parts": [{"schemaId": "t", "note": "n"}, {"schemaId": "u"}],
        "names": ["v"],
        "levels": {"w": "x"},
        "free": {"roleId": "x"},
    }
    assert list(references(ThingBody(), body)) == [
        ("roleId", "role", "r"),
        ("listIds[0]", "option-list", "a"),
        ("listIds[1]", "option-list", "b"),
        ("part.schemaId", "schema", "s"),
        ("parts[0].schemaId", "schema", "t"),
        ("parts[1].schemaId", "schema", "u"),
    ]
    assert list(references(ThingBody(), {"deepIds": [[], ["a"]]})) == [("deepIds[1][0]", "attribute", "a")]
    assert list(references(ThingBody(), {})) == []


def test_every_name_of_an_attribute_in_a_body_is_found_with_its_path():
    body = {"deepIds": [["a"]], "names": ["b", "c"], "levels": {"d": "e", "f": "g"}, "free": {"names": ["h"]}}
    assert list(attribute_names(ThingBody(), body)) == [
        ("names[0]", "b"),
        ("names[1]", "c"),
        ("levels.d", "d"),
        ("levels.f", "f"),
    ]
    assert list(attribute_names(ThingBody(), {})) == []


@each(
    ("kind", "words"),
    [("role", "a role"), ("option-list", "an option list"), ("attribute", "an attribute"), ("image", "an image")],
)
def test_a_kind_has_its_article(kind, words):
    assert with_article(kind) == words


def test_a_flag_takes_true_and_false_and_nothing_like_them():
    wrong = ["Expected true or false"]
    assert load(Flag("It"), True, False) == [True, False]
    assert load(Flag("It"), 1, 0, "true", "", [], 1.0) == [wrong] * 6


def test_a_number_stays_as_it_was_written():
    assert [repr(value) for value in load(Number("It"), 1, 1.0, -2.5, 10**30)] == ["1", "1.0", "-2.5", repr(10**30)]
    assert load(Number("It"), True, "1", [1]) == [["Expected a number"]] * 3


def test_reading_an_array_stops_at_its_first_bad_items_or_at_once_when_it_has_too_many():
    assert load(Items(Flag("It"), "Flags"), [True, False], []) == [[True, False], []]
    assert load(Items(Flag("It"), "Flags"), "ab", {"0": True}) == [["Not a valid list."]] * 2
    (found,) = load(Items(Flag("It"), "Flags"), [True, *[5] * 100])
    assert found == {place: ["Expected true or false"] for place in range(1, 22)}
    assert load(Items(Flag("It"), "Flags", most=2), [True, True], [5, 5, 5]) == [[True, True], ["Expected at most 2 items"]]


def test_a_string_that_is_required_is_not_blank_and_one_that_is_not_may_be_null():
    blank, long = ["Expected at least one character that is not blank"], ["Expected at most 200 characters"]
    good = ["a", "a" * 200, "\n a", "\0.", "\u200b\u0301", "\ue000", "\U0001f600" * 200, "\u202ea"]
    assert load(string_field("It"), *good) == good
    assert load(string_field("It"), "", " \t\n", "\u00a0", "a" * 201) == [blank, blank, blank, long]
    invisible = ["\0", "\u200b", "\ufeff", "\u202e\u2066", "\u3164", "\u2800", " \u200d\u00ad", "\U000e0041"]
    assert load(string_field("It"), *invisible) == [["Expected at least one visible character"]] * 8
    assert load(string_field("It"), None) == [["Field may not be null."]]
    assert load(string_field("It", required=False, longest=3), "", "abc", "abcd") == [
        "",
        "abc",
        ["Expected at most 3 characters"],
    ]


def test_an_id_can_stand_in_a_path():
    wrong = ["Expected 1 to 100 letters, digits or . _ ~ - beginning with a letter or digit"]
    good = ["a", "0", "A.b_c~d-9", "a" * 100, "a.."]
    assert load(id_field("It"), *good) == good
    bad = ["", ".", "-a", "a" * 101, "a/b", "a b", "a\n", "æ", "a%20"]
    assert load(id_field("It"), *bad) == [wrong] * len(bad)


def test_null_means_leaving_an_optional_member_out_unless_that_is_its_default():
    class NullableBody(Body):
        left_out = string_field("Optional", required=False)
        kept = fields.String(load_default=None, allow_none=True)
        required = timestamp_field("Required", allow_none=True)

    assert NullableBody().load({"left_out": None, "kept": None, "required": None}) == {"kept": None, "required": None}
    assert NullableBody().load({"left_out": "", "required": "now"}) == {"left_out": "", "kept": None, "required": "now"}


def test_a_choice_is_one_of_a_few():
    assert load(enum_field("It", ["a", "b"], "It"), "a", "A", "ab") == ["a", *[["Expected one of: a, b"]] * 2]


def test_members_of_a_map_are_checked_one_by_one():
    (found,) = load(dict_field("It", "It", Flag("On")), {"a": True, "b": 5})
    assert found == {"b": {"value": ["Expected true or false"]}}


@each(
    ("members", "items", "wrong"),
    [
        ((), [], None),
        ((), ["a", "b"], None),
        ((), ["a", "b", "a", "b"], {2: ["Expected each only once"]}),
        (("id",), [{"id": "a"}, {"id": "b"}], None),
        (("id",), [{"id": "a", "x": 1}, {"id": "a", "x": 2}], {1: {"id": ["Expected each only once"]}}),
        (("id", "alias"), [{"id": "a", "alias": "z"}, {"id": "b", "alias": "z"}], {1: {"alias": ["Expected each only once"]}}),
        (("id", "alias"), [{"id": "a", "alias": "b"}, {"id": "b", "alias": "a"}], None),
    ],
)
def test_an_item_that_comes_twice_is_named(members, items, wrong):
    check = unique_items(*members)
    if wrong is None:
        assert check(items) is None
    else:
        with pytest.raises(ma.ValidationError) as refusal:
            check(items)
        assert refusal.value.messages == wrong


def test_an_alias_is_listed_once():
    assert load(attributes_field("Them"), ["a", "b"], ["a", "a"]) == [["a", "b"], [{1: ["Expected each only once"]}]]


# The bodies of the service that are taken at once when they are right, and for each member values of every kind.
PLAIN = [
    body
    for module in (records, variants, values, value_bodies)
    for body in vars(module).values()
    if isinstance(body, type) and issubclass(body, PlainBody) and body.__module__ == module.__name__
]
SCOPED = {"scope": {"dim-language": "seg-en"}, "value": 1}
MEMBERS = [
    *(ma.missing, None, "", "ent-1", "ent-2", "-x", "a" * 101, 1, True, [], {}),
    *({"price": []}, {"price": [SCOPED]}, {"price": [{"value": None}]}, {"price": [{}]}, {"price": 1}, {"d": "s"}, {"d": 1}),
]


def outcome(app, load, body):
    """Return what a body is loaded as, with its members in their order, which is that of what is stored; or the messages."""
    with app.test_request_context():  # of its own, because what a request is told of what there is, is counted
        g.tenant = "ws-demo"
        try:
            return json.dumps(load(body))
        except ma.ValidationError as error:
            return error.messages


@pytest.mark.parametrize("body", [body for body in PLAIN if len(body().fields) < 6], ids=lambda body: body.__name__)
def test_what_is_taken_at_once_is_what_marshmallow_makes_of_it(body, app):
    schema, chance, outcomes = body(), random.Random(3), set()
    for _ in range(300):
        names = chance.sample([*schema.fields, "unknown"], len(schema.fields) + (chance.random() < 0.1))
        chosen = {name: chance.choice(MEMBERS) for name in names}
        sent = {name: value for name, value in chosen.items() if value is not ma.missing}
        for given in (sent, [sent], None):
            expected = outcome(app, lambda data: Body.load(schema, data), given)
            assert outcome(app, schema.load, given) == expected, given
        outcomes.add(type(outcome(app, schema.load, sent)))
    assert outcomes == {str, dict}  # some are right, and some are not


def test_only_bodies_whose_members_are_judged_alone_are_taken_at_once():
    assert len(PLAIN) == 9
    for body in PLAIN:
        hooks = [name for named in body._hooks.values() for name, *_ in named]
        assert hooks == ["drop_nulls"], body
