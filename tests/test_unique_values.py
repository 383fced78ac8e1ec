"""Unique values: which are one value, and what claims none."""

import json

import pytest
from cases import each

from sigma.resources.unique_values import unique_claims, unique_key

GOOGOL = "1" + 100 * "0"
# Each line is one value, in JSON; the lines are of different values.
VALUES = {
    "number": [
        ["0", "-0", "0.0", "-0.0", "0e5", "-0E-5"],
        ["1", "1.0", "1.00", "1e0", "1E+0", "10e-1"],
        ["-1", "-1.0", "-10E-1"],
        ["100", "1e2", "1E+02", "100.0"],
        ["0.1", "1e-1", "0.10"],
        ["0.10000000000000002"],
        ["9007199254740992", "9007199254740992.0", "9.007199254740992e15"],
        ["9007199254740993"],
        ["9007199254740994", "9007199254740994.0"],
        ["123456789012345680", "1.2345678901234568e17"],
        ["123456789012345678"],
        ["100000000000000000000000", "1e23", "1E+23", "10e22", "1.0e23"],
        ["99999999999999991611392"],
        [GOOGOL, "1e100", "1E+100", "10E99"],
        ["5e-324", "5.0E-324"],
        ["1.7976931348623157e308", "17976931348623157" + 292 * "0"],
    ],
    "text": [["1"], ["1.0"], ["1e0"], ["true"], ["2026-01-01"], ["2026-01-01T00:00:00Z"], [" "], ["É"], ["é"], ["e\u0301"]],
    "boolean": [["true"], ["false"]],
    "complex": [
        ['{"a":1}', '{"a":1.0}', '{ "a" : 1e0 }'],
        ['{"a":"1"}'],
        ['{"a":true}'],
        ['{"a":null}'],
        ['{"a":[1,2]}', '{"a":[1.0,2e0]}'],
        ['{"a":[2,1]}'],
        ['{"a":{"b":1e23,"c":[{"d":0}]},"e":2}', '{"e":2.0,"a":{"c":[{"d":-0.0}],"b":100000000000000000000000}}'],
    ],
    "datetime": [
        ["2026-01-01", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00.000+01:00"],
        ["2026-01-01T00:00:00.000000001Z"],
        ["2026-01-01T10:00"],  # older releases took these two forms
        ["2026-01-01 10:00:00Z"],
        ["2026-01-01T10:00:00Z", "2026-01-01T05:00:00-05:00"],
    ],
}
TEXTS = ("text", "datetime")


def as_json(kind, text):
    return json.dumps(text, ensure_ascii=False) if kind in TEXTS else text


@each("kind", VALUES)
def test_equal_values_have_one_key_and_others_have_others(kind):
    keys = [{unique_key(kind, json.loads(as_json(kind, text))) for text in same} for same in VALUES[kind]]
    assert [len(same) for same in keys] == [1] * len(keys)
    assert len(set.union(*keys)) == len(keys)


@each("kind", ["number", "datetime"])
def test_equal_values_are_equal_in_arrays(kind):
    for same in VALUES[kind]:
        values = [json.loads(as_json(kind, text)) for text in same]
        assert len({unique_key(kind, ["2026-05-05", 5, value]) for value in values}) == 1
        assert unique_key(kind, values[:1]) != unique_key(kind, values[0])


def test_a_text_a_number_and_a_truth_value_are_three():
    assert len({unique_key("complex", {"a": value}) for value in ("1", 1, True, [1], None, "true")}) == 6


def test_what_an_older_release_left_of_another_type_has_a_key_too():
    assert len({unique_key("datetime", value) for value in (5, True, {"a": 1}, ["x", 5], "5")}) == 5


# Over HTTP


@pytest.fixture
def write(admin):
    """Write one value, as this text of JSON, into a new record: of a type of attribute, which may take several."""
    ids = []
    for kind in VALUES:
        for name, multiple in ((kind, False), (f"{kind}s", True)):
            attribute = {"id": f"attr-{name}", "alias": name, "name": name, "type": kind, "multiple": multiple}
            assert admin.post("/attributes", {**attribute, "validation": {"unique": True}}).status_code == 201
            ids.append(attribute["id"])
    group = {"id": "grp", "name": "All", "attributeIds": ids}
    schema = {"id": "schema-x", "alias": "x", "name": "X", "variantEnabled": True, "attributeGroups": [group]}
    assert admin.post("/schemas", schema).status_code == 201

    def write(alias, text):
        body = f'{{"schemaId": "schema-x", "values": {{"{alias}": [{{"value": {text}}}]}}}}'
        return admin.post("/records", data=body.encode(), content_type="application/json")

    return write


@each("several", [False, True], ids=["one", "several"])
@each("kind", ["number", "text", "boolean", "complex"])
def test_each_value_can_be_taken_once_however_it_is_written(write, error, kind, several):
    alias, form = (f"{kind}s", "[{}]") if several else (kind, "{}")
    for same in VALUES[kind]:
        first, *others = (form.replace("{}", as_json(kind, text)) for text in same)
        assert write(alias, first).status_code == 201
        for again in [first, *others]:
            assert error(write(alias, again), 409).startswith(f"values.{alias}[0].value: ")


@each(("alias", "text"), [("text", '""'), ("texts", "[]"), ("numbers", "[]"), ("datetimes", "[]"), ("complex", "{}")])
def test_what_is_empty_claims_nothing(write, admin, run, alias, text):
    first, second = write(alias, text), write(alias, text)
    assert (first.status_code, second.status_code) == (201, 201)
    assert admin.put(f"/records/{first.json['id']}", {"values": first.json["values"]}).status_code == 200
    attribute = admin.get(f"/attributes/attr-{alias}").json
    for unique in (False, True):
        assert admin.put(f"/attributes/attr-{alias}", {**attribute, "validation": {"unique": unique}}).status_code == 200
    assert "unique values" not in [line.split(":")[0][9:] for line in run("doctor").stdout.splitlines() if line[0] == "p"]


@each(("alias", "text"), [("number", "0"), ("boolean", "false"), ("text", '" "'), ("texts", '[""]'), ("complexs", "[{}]")])
def test_what_is_not_empty_is_claimed(write, error, alias, text):
    assert write(alias, text).status_code == 201
    error(write(alias, text), 409)


@each("limits", [("1e23", "100000000000000000000000"), ("100000000000000000000000", "1e23")])
def test_a_number_at_its_limit_is_within_it_however_both_are_written(admin, limits):
    rules = f'"validation": {{"min": {limits[0]}, "max": {limits[1]}}}'
    body = f'{{"id": "attr-x", "alias": "x", "name": "X", "type": "number", {rules}}}'
    assert admin.post("/attributes", data=body, content_type="application/json").status_code == 201
    group = {"id": "grp", "name": "All", "attributeIds": ["attr-x"]}
    schema = {"id": "schema-x", "alias": "x", "name": "X", "variantEnabled": True, "attributeGroups": [group]}
    assert admin.post("/schemas", schema).status_code == 201
    for text, status in {"1e23": 201, "100000000000000000000000": 201, "99999999999999991611392": 400}.items():
        body = f'{{"schemaId": "schema-x", "values": {{"x": [{{"value": {text}}}]}}}}'
        assert admin.post("/records", data=body, content_type="application/json").status_code == status


# What an attribute claimed stays claimed while its value stays, whatever becomes of its schema


def test_a_value_that_stays_while_another_scope_is_removed_stays_claimed(admin, error):
    attribute = {"id": "attr-x", "alias": "x", "name": "X", "type": "text", "dimensionIds": ["dim-market"]}
    assert admin.post("/attributes", {**attribute, "validation": {"unique": True}}).status_code == 201
    group = {"id": "grp", "name": "All", "attributeIds": ["attr-x"]}
    for name in ("one", "two"):
        schema = {"id": f"schema-{name}", "alias": name, "name": name, "variantEnabled": False, "attributeGroups": [group]}
        assert admin.post("/schemas", schema).status_code == 201
    danish = {"dim-market": "seg-dk"}
    values = {"x": [{"scope": {}, "value": "A"}, {"scope": danish, "value": "B"}]}
    assert admin.post("/records", {"id": "rec-1", "schemaId": "schema-one", "values": values}).status_code == 201
    assert (
        admin.put("/schemas/schema-one", {**schema, "id": "schema-one", "alias": "one", "attributeGroups": []}).status_code
        == 200
    )
    assert admin.patch("/records/rec-1/values/x", {"value": None, "scope": danish}).status_code == 200
    taken = {"schemaId": "schema-two", "values": {"x": [{"scope": {}, "value": "A"}]}}
    assert "is already the value of 'rec-1'" in error(admin.post("/records", taken), 409)
    freed = {"schemaId": "schema-two", "values": {"x": [{"scope": danish, "value": "B"}]}}
    assert admin.post("/records", freed).status_code == 201


# An option is one value by its id and by its alias


def options(*aliases, name="ours", **ids):
    """Return an option list; an option's id is made of its alias unless it is given."""
    values = [{"id": ids.get(alias, f"val-{alias}"), "alias": alias, "label": alias.title()} for alias in aliases]
    return {"id": f"ol-{name}", "alias": name, "name": name, "hierarchical": False, "values": values}


@pytest.fixture
def tint(admin):
    """Return the attribute `tint`, unique, in the schema `schema-c`, and `tints`, which takes several; both are stored."""
    assert admin.post("/option-lists", options("red", "blue")).status_code == 201
    attributes = [
        {"id": f"attr-{name}", "alias": name, "name": name, "type": "option", "optionListId": "ol-ours", "multiple": multiple}
        for name, multiple in (("tint", False), ("tints", True))
    ]
    for attribute in attributes:
        assert admin.post("/attributes", {**attribute, "validation": {"unique": True}}).status_code == 201
    group = {"id": "grp", "name": "All", "attributeIds": ["attr-tint", "attr-tints"]}
    schema = {"id": "schema-c", "alias": "c", "name": "C", "variantEnabled": True, "attributeGroups": [group]}
    assert admin.post("/schemas", schema).status_code == 201
    return attributes[0]


@pytest.fixture
def paint(admin, tint):
    """Make the record `rec-<name>` with one tint, or with several."""

    def paint(name, value):
        alias = "tints" if isinstance(value, list) else "tint"
        return admin.post("/records", {"id": f"rec-{name}", "schemaId": "schema-c", "values": {alias: [{"value": value}]}})

    return paint


@each(
    ("first", "again"),
    [("val-red", "red"), ("red", "val-red"), (["red", "val-blue"], ["val-red", "blue"]), (["val-red"], ["red"])],
)
def test_an_option_is_one_value_by_its_id_and_its_alias(paint, admin, error, first, again):
    assert paint("a", first).status_code == 201
    for value in (first, again):
        assert error(paint("b", value), 409).endswith(" is already the value of 'rec-a'")
    alias = "tints" if isinstance(first, list) else "tint"
    variant = {"values": {alias: [{"value": again}]}}
    assert "'rec-a'" in error(admin.post("/records/rec-a/variants", variant), 409)
    assert admin.patch(f"/records/rec-a/values/{alias}", {"scope": {}, "value": again}).status_code == 200
    error(paint("b", first), 409)
    assert admin.delete("/records/rec-a").status_code == 204
    assert paint("b", first).status_code == 201


def test_the_same_options_in_another_order_are_another_value(paint):
    assert [paint("a", ["red", "blue"]).status_code, paint("b", ["val-blue", "val-red"]).status_code] == [201, 201]


def test_values_are_not_unique_if_two_name_one_option(admin, tint, paint, error):
    assert admin.put("/attributes/attr-tint", tint).status_code == 200
    assert (paint("a", "red").status_code, paint("b", "val-red").status_code) == (201, 201)
    message = error(admin.put("/attributes/attr-tint", {**tint, "validation": {"unique": True}}), 409)
    assert message.startswith("validation.unique: stored values are not unique: in 'rec-b'")


def test_an_option_stays_claimed_when_its_alias_changes(admin, paint, error):
    assert paint("a", "red").status_code == 201
    renamed = options("crimson", "blue", "red", crimson="val-red", red="val-new")
    assert admin.put("/option-lists/ol-ours", renamed).status_code == 200
    for value in ("crimson", "val-red"):
        assert "'rec-a'" in error(paint("b", value), 409)
    assert paint("b", "red").status_code == 201
    assert "'rec-b'" in error(paint("c", "val-new"), 409)


def test_an_option_of_another_list_is_claimed_as_the_value_that_it_is_now(admin, tint, paint, error):
    assert paint("a", "red").status_code == 201
    assert admin.post("/option-lists", options("red", name="other", red="val-other")).status_code == 201
    moved = {**tint, "optionListId": "ol-other", "validation": {"unique": True}}
    assert admin.put("/attributes/attr-tint", moved).status_code == 200
    assert "'rec-a'" in error(paint("b", "val-other"), 409)


def test_a_migration_can_claim_options_by_their_ids():
    attribute, listed = json.dumps({"type": "option"}), json.dumps(options("red", "blue"))
    entries = json.dumps([{"scope": {}, "value": value} for value in ("red", "val-red", ["blue", "gone"], "")])
    keys = [key for _, key in json.loads(unique_claims(attribute, entries, listed))]
    assert keys == ['"val-red"', '"val-red"', '["val-blue","gone"]']
    assert unique_claims(attribute, None, listed) == "[]"
