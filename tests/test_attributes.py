"""Attributes: types, rules for values, guards, uniqueness. What they share with the other nouns is in test_model.py."""

import sqlite3
import time
from contextlib import closing

import pytest
from cases import each

from sigma.resources import value_checks

TYPES = {  # a value of each type that may be stored, and one that may not
    "text": ("Words", 5),
    "number": (2.5, "2.5"),
    "boolean": (False, "false"),
    "datetime": ("2026-03-01T08:00:00Z", "yesterday"),
    "media": ("picture.jpg", {"file": "picture.jpg"}),
    "option": ("val-red", "val-nowhere"),
    "relation": ("ent-trail-cap", "ent-nowhere"),
    "complex": ({"wash": 30}, "wash at 30"),
}


def attribute(type="text", **members):
    """Return the attribute `attr-x` of this type."""
    options = {"optionListId": "ol-colors"} if type == "option" else {}
    return {"id": "attr-x", "alias": "x", "name": "X", "type": type, **options, **members}


def entry(value, **scope):
    """Return a value in a scope; in names of dimensions, underscores stand for hyphens."""
    return {"scope": {name.replace("_", "-"): segment for name, segment in scope.items()}, "value": value}


@pytest.fixture
def make(admin):
    def post(path, body):
        answer = admin.post(path, body)
        assert answer.status_code == 201, answer.text
        return answer.json

    return post


@pytest.fixture
def make_schema(make):
    """Make the attribute `attr-x` as told, and the schema `schema-x` that holds it."""

    def post(*arguments, **members):
        made = make("/attributes", attribute(*arguments, **members))
        groups = [{"id": "grp", "name": "Group", "attributeIds": ["attr-x"]}]
        body = {"id": "schema-x", "alias": "x", "name": "X", "variantEnabled": True, "attributeGroups": groups}
        make("/schemas", body)
        return made

    return post


@pytest.fixture
def write(admin):
    """Write a record of `schema-x` with these values of the attribute x, and answer the answer."""

    def post(*entries):
        return admin.post("/records", {"schemaId": "schema-x", "values": {"x": list(entries)}})

    return post


@pytest.fixture
def change(admin):
    """Put the attribute `attr-x` in place of what it was, and answer the answer."""
    return lambda *arguments, **members: admin.put("/attributes/attr-x", attribute(*arguments, **members))


# Types


@each(("type", "good", "bad"), [(type, *values) for type, values in TYPES.items()], ids=TYPES)
def test_each_type_takes_its_own_values(type, good, bad, make_schema, write, error):
    assert make_schema(type)["type"] == type
    assert write(entry(good)).json["values"] == {"x": [entry(good)]}
    assert error(write(entry(bad)), 400).startswith("values.x[0].value: ")


@each(("type", "good"), [(type, good) for type, (good, _) in TYPES.items()], ids=TYPES)
def test_an_attribute_with_multiple_values_takes_arrays(type, good, make_schema, write, error):
    make_schema(type, multiple=True)
    assert write(entry([good, good])).json["values"] == {"x": [entry([good, good])]}
    error(write(entry(good)), 400)


BAD = {
    "unknown-type": ({"type": "string"}, "type: "),
    "upper-case-type": ({"type": "Text"}, "type: "),
    "option-without-a-list": ({"type": "option"}, "optionListId: "),
    "option-with-null": ({"type": "option", "optionListId": None}, "optionListId: "),
    "option-with-an-unknown-list": (
        {"type": "option", "optionListId": "ol-nowhere"},
        "optionListId: option list 'ol-nowhere' does not exist",
    ),
    "dimension-twice": ({"dimensionIds": ["dim-market", "dim-language", "dim-market"]}, "dimensionIds[2]: "),
    "negative-length": ({"validation": {"maxLength": -1}}, "validation.maxLength: "),
    "min-above-max": ({"validation": {"min": 2, "max": 1.5}}, "validation.max: "),
    "unknown-rule": ({"validation": {"minLength": 5}}, "validation.minLength: Unknown field"),
    "pattern-open-bracket": ({"validation": {"pattern": "[a-"}}, "validation.pattern: "),
    "pattern-open-group": ({"validation": {"pattern": "(a"}}, "validation.pattern: "),
    "pattern-nothing-to-repeat": ({"validation": {"pattern": "*"}}, "validation.pattern: "),
    "pattern-bad-escape": ({"validation": {"pattern": "a\\"}}, "validation.pattern: "),
    "pattern-of-a-gigabyte": ({"validation": {"pattern": "((a{1000}){1000}){1000}"}}, "validation.pattern: "),
    "guard-without-operator": ({"guards": [{"attributeId": "attr-sku"}]}, "guards[0].operator: "),
    "guard-with-unknown-operator": (
        {"guards": [{"attributeId": "attr-sku", "operator": "contains", "value": "x"}]},
        "guards[0].operator: ",
    ),
    "guard-on-nothing": ({"guards": [{"operator": "isEmpty"}]}, "guards[0].attributeId: "),
    "guard-on-an-unknown-attribute": (
        {"guards": [{"attributeId": "attr-sku", "operator": "isEmpty"}, {"attributeId": "sku", "operator": "isEmpty"}]},
        "guards[1].attributeId: attribute 'sku' does not exist",
    ),
}


@each(("members", "message"), BAD.values(), ids=BAD)
def test_a_bad_attribute_is_refused(members, message, make, admin, error):
    bad = {**attribute(), **members}
    assert error(admin.post("/attributes", bad), 400).startswith(message)
    error(admin.get("/attributes/attr-x"), 404)
    made = make("/attributes", attribute())
    assert error(admin.put("/attributes/attr-x", bad), 400).startswith(message)
    assert admin.get("/attributes/attr-x").json == made


# Rules


RULES = {  # type, rule, values that keep it, values that break it
    "maxLength": ("text", {"maxLength": 3}, ["", "abc", "日本語"], ["abcd"]),
    "min": ("number", {"min": -0.5}, [-0.5, 10**20], [-0.6]),
    "max": ("number", {"max": 3}, [3, -3.5], [3.01, 4]),
    "min-is-max": ("number", {"min": 2, "max": 2}, [2, 2.0], [1.9, 2.1]),
    "pattern": ("text", {"pattern": "^[A-Z]{2}-[0-9]+$"}, ["AB-1"], ["ab-1", "AB-", "xAB-1", ""]),
    "pattern-anywhere": ("text", {"pattern": "b+"}, ["abc"], ["ac"]),
    "pattern-beyond-ascii": ("text", {"pattern": "^[æøå]$"}, ["å"], ["åå", "a"]),
}


@each(("type", "validation", "good", "bad"), RULES.values(), ids=RULES)
def test_a_rule_is_stored_and_kept(type, validation, good, bad, make_schema, write, error):
    assert make_schema(type, validation=validation)["validation"] == validation
    for value in good:
        assert write(entry(value)).json["values"] == {"x": [entry(value)]}
    told = (
        f"Value for 'x' does not match pattern '{validation.get('pattern')}', got "
        if "pattern" in validation
        else "Attribute 'x' expects "
    )
    for value in bad:
        assert error(write(entry(value)), 400).startswith(f"values.x[0].value: {told}")


def test_a_changed_rule_counts_at_once_and_leaves_what_is_stored(make_schema, write, change, admin, error):
    make_schema()
    record = write(entry("ABC")).json
    assert change(validation={"pattern": "^[a-z]+$", "maxLength": 5}).status_code == 200
    assert admin.get(f"/records/{record['id']}").json == record
    error(write(entry("ABC")), 400)
    assert write(entry("abc")).status_code == 201
    assert change().status_code == 200
    assert write(entry("ABCDEF")).status_code == 201


@each("pattern", ["^(a+)+$", "^(a|aa)+$", "(.*a){25}$", "^([a-zA-Z]+)*$"])
def test_no_pattern_can_hang_the_service(pattern, make_schema, write, error):
    make_schema(validation={"pattern": pattern})
    start = time.thread_time()
    error(write(entry("a" * 20_000 + "!")), 400)
    assert time.thread_time() - start < 1


COSTLY = "(?:a?){999}" * 4 + "b"  # each character takes as many steps as the pattern's program has: 7,997


@each("character, most", [("a", 3126), ("å", 1563)])
def test_how_long_a_text_may_be_depends_on_what_its_pattern_costs(character, most, make_schema, write, error):
    make_schema(validation={"pattern": COSTLY})
    start = time.thread_time()
    assert "does not match pattern" in error(write(entry(character * most)), 400)
    message = error(write(entry(character * (most + 1))), 400)
    assert message == "values.x[0].value: Attribute 'x' expects a text of at most 3126 bytes, because its pattern is costly"
    assert time.thread_time() - start < 1


def test_many_texts_in_one_request_cost_no_more_than_a_long_one(make_schema, write, error, monkeypatch):
    make_schema(multiple=True, validation={"pattern": COSTLY.replace("b", "$")})
    assert write(entry(["a" * 2000])).status_code == 201
    monkeypatch.setattr(value_checks, "MAX_SECONDS", 0.01)
    message = error(write(entry(["a" * 2000, "a" * 2000])), 400)
    assert message.endswith("Attribute 'x' expects fewer rows or values at a time, because its pattern is costly")


def test_texts_that_cost_little_are_bounded_by_their_characters_alone(make_schema, write):
    make_schema(multiple=True, validation={"pattern": r"^[\p{L}\p{N} ]{1,9}$"})
    assert write(entry(["blå hætte"] * 2700)).status_code == 201  # 300 million steps


def test_what_groups_of_a_pattern_hold_costs_nothing(make_schema, write, error):
    make_schema(validation={"pattern": "(a?)" * 200 + "b"})
    start = time.thread_time()
    assert "does not match pattern" in error(write(entry("a" * 25_000)), 400)
    assert time.thread_time() - start < 0.2


# Guards


@each("operator", ["equals", "notEquals", "isEmpty", "isNotEmpty", "in"])
def test_a_guard_is_stored_as_given(operator, make):
    guards = [
        {"attributeId": "attr-sku", "operator": operator, "value": value}
        for value in ("text", 0, 1.5, False, None, ["a", None], {"deep": {"er": [None]}})
    ]
    assert make("/attributes", attribute(guards=guards))["guards"] == guards


def test_a_guard_may_do_without_a_value(make):
    guards = [{"attributeId": "attr-sku", "operator": "isEmpty"}]
    assert make("/attributes", attribute(guards=guards))["guards"] == guards


# Uniqueness


@each(
    ("first", "second"),
    [(entry("A"), entry("A")), (entry("A", dim_market="seg-se"), entry("A", dim_market="seg-se"))],
    ids=["global", "scoped"],
)
def test_values_that_collide_keep_an_attribute_from_becoming_unique(first, second, make_schema, write, change, admin, error):
    made = make_schema(dimensionIds=["dim-market"])
    records = [write(first).json, write(entry("B")).json, write(second).json]
    message = error(change(dimensionIds=["dim-market"], validation={"unique": True}), 409)
    begun, _, third = (record["id"] for record in records)
    twice = f"in '{third}', values.x[0].value: 'A' is already the value of '{begun}'"
    assert message == f"validation.unique: stored values are not unique: {twice}"
    assert admin.get("/attributes/attr-x").json == made
    for record in records:
        assert admin.get(f"/records/{record['id']}").json == record
    assert write(first).status_code == 201, "it is not unique"


def test_a_variants_value_can_keep_an_attribute_from_becoming_unique(make_schema, write, change, admin, error):
    made = make_schema()
    record = write(entry("A")).json["id"]
    variant = admin.post(f"/records/{record}/variants", {"values": {"x": [entry("A")]}})
    assert variant.status_code == 201
    error(change(validation={"unique": True}), 409)
    assert admin.get("/attributes/attr-x").json == made
    assert admin.delete(f"/records/{record}/variants/{variant.json['id']}").status_code == 204
    assert change(validation={"unique": True}).status_code == 200


def test_stored_values_are_unique_from_the_moment_the_attribute_is(make_schema, write, change, admin, error):
    make_schema(dimensionIds=["dim-market"])
    first = write(entry("A"), entry("B", dim_market="seg-se")).json
    second = write(entry("A", dim_market="seg-se")).json
    assert change(dimensionIds=["dim-market"], validation={"unique": True}).status_code == 200

    for taken in (entry("A"), entry("B", dim_market="seg-se"), entry("A", dim_market="seg-se")):
        assert "'A'" in error(write(taken), 409) or taken["value"] == "B"
    assert write(entry("B")).status_code == 201
    for record in (first, second):
        assert admin.get(f"/records/{record['id']}").json == record
        assert admin.put(f"/records/{record['id']}", {"values": record["values"]}).status_code == 200


def test_an_attribute_that_is_no_longer_unique_takes_the_same_value_twice(make_schema, write, change, error):
    make_schema(validation={"unique": True})
    assert write(entry("A")).status_code == 201
    error(write(entry("A")), 409)
    assert change().status_code == 200
    assert write(entry("A")).status_code == 201
    error(change(validation={"unique": True}), 409)


def test_another_change_to_a_unique_attribute_keeps_it_unique(make_schema, write, change, error):
    make_schema(validation={"unique": True})
    assert write(entry("A")).status_code == 201
    assert change(name="Renamed", validation={"unique": True, "maxLength": 5}).status_code == 200
    error(write(entry("A")), 409)


def test_an_attribute_made_again_is_unique_over_what_records_hold_under_its_alias(make_schema, write, admin):
    make_schema()
    assert write(entry("A")).status_code == 201
    schema = admin.get("/schemas/schema-x").json
    assert admin.put("/schemas/schema-x", {**schema, "attributeGroups": []}).status_code == 200
    assert admin.delete("/attributes/attr-x").status_code == 204

    made_again = admin.post("/attributes", attribute(validation={"unique": True}))
    attached = admin.put("/schemas/schema-x", schema)
    assert 409 in [answer.status_code for answer in (made_again, attached, write(entry("A")))]


def test_another_workspaces_values_do_not_collide(make_schema, write, change, stranger):
    make_schema()
    write(entry("A"))
    group = {"id": "grp", "name": "Group", "attributeIds": ["attr-x"]}
    for path, body in (
        ("/attributes", attribute(validation={"unique": True})),
        ("/schemas", {"id": "schema-x", "alias": "x", "name": "X", "variantEnabled": False, "attributeGroups": [group]}),
        ("/records", {"schemaId": "schema-x", "values": {"x": [entry("A")]}}),
    ):
        assert stranger.post(path, body).status_code == 201
    assert change(validation={"unique": True}).status_code == 200


def test_a_pattern_whose_program_would_be_huge_is_refused(admin, error):
    body = {"id": "attr-x", "alias": "x", "name": "X", "type": "text", "validation": {"pattern": ".*a" + ".{0,900}b" * 25}}
    message = error(admin.post("/attributes", body), 400)
    assert message.startswith("validation.pattern: Expected an RE2 pattern: pattern too large")
    error(admin.get("/attributes/attr-x"), 404)


# A definition that stored values would not fit


NUMBERS, TEXTS, DATES = [1, 2.5], ["1", "blue"], ["2026-01-01", "2026-01-01T10:00:00+01:00"]
SCOPED = {"dimensionIds": ["dim-market", "dim-language"]}
OPTIONS = {"optionListId": "ol-categories"}
UNFIT = {  # what it was, what is stored in two records, what it is to be, and the member that is named
    "text to number": (attribute(), TEXTS, attribute("number"), "type"),
    "text to boolean": (attribute(), TEXTS, attribute("boolean"), "type"),
    "text to datetime": (attribute(), ["2026-01-01T10:00", "2026-02-30"], attribute("datetime"), "type"),
    "text to option": (attribute(), ["teal", "purple"], attribute("option"), "type"),
    "text to relation": (attribute(), ["ent-none", "var-cw-s"], attribute("relation"), "type"),
    "text to complex": (attribute(), TEXTS, attribute("complex"), "type"),
    "number to text": (attribute("number"), NUMBERS, attribute(), "type"),
    "number to boolean": (attribute("number"), NUMBERS, attribute("boolean"), "type"),
    "boolean to number": (attribute("boolean"), [True, False], attribute("number"), "type"),
    "several texts to numbers": (attribute(multiple=True), [["a"], ["b", ""]], attribute("number", multiple=True), "type"),
    "one to several": (attribute(), TEXTS, attribute(multiple=True), "multiple"),
    "several to one": (attribute(multiple=True), [["a"], []], attribute(), "multiple"),
    "another list": (attribute("option"), ["val-red", "navy"], attribute("option", **OPTIONS), "optionListId"),
}
FITTING = {  # what it was, what is stored, what it is to be
    "text to media": (attribute(), TEXTS, attribute("media")),
    "text to datetime": (attribute(), DATES, attribute("datetime")),
    "text to option": (attribute(), ["val-red", "navy"], attribute("option")),
    "text to relation": (attribute(), ["ent-coastal-wb", "ent-trail-cap"], attribute("relation")),
    "datetime to text": (attribute("datetime"), DATES, attribute()),
    "option to text": (attribute("option"), ["val-red", "navy"], attribute()),
    "no several texts to no several numbers": (attribute(multiple=True), [[], []], attribute("number", multiple=True)),
    "a rule that they break": (attribute(), TEXTS, attribute(validation={"maxLength": 0, "pattern": "^z"})),
    "a type with a rule that they break": (attribute(), TEXTS, attribute("media", validation={"maxLength": 0})),
    "more dimensions": (attribute(), TEXTS, attribute(**SCOPED)),
    "fewer dimensions that none uses": (attribute(**SCOPED), TEXTS, attribute()),
    "dimensions in another order": (attribute(**SCOPED), TEXTS, attribute(dimensionIds=["dim-language", "dim-market"])),
}


def define(admin, definition, values):
    """Make the attribute `attr-x` and the records rec-0, rec-1, … of `schema-x` that hold these values of it."""
    assert admin.post("/attributes", definition).status_code == 201
    groups = [{"id": "grp", "name": "Group", "attributeIds": ["attr-x"]}]
    schema = {"id": "schema-x", "alias": "x", "name": "X", "variantEnabled": True, "attributeGroups": groups}
    assert admin.post("/schemas", schema).status_code == 201
    for number, value in enumerate(values):
        body = {"id": f"rec-{number}", "schemaId": "schema-x", "values": {"x": [entry(value)]}}
        assert admin.post("/records", body).status_code == 201


@each(("was", "values", "new", "member"), UNFIT.values(), ids=UNFIT)
def test_a_definition_that_stored_values_do_not_fit_is_refused(was, values, new, member, admin, error):
    define(admin, was, values)
    before = [admin.get(path).json for path in ("/attributes/attr-x", "/records")]
    message = error(admin.put("/attributes/attr-x", new), 409)
    assert message == f"{member}: 2 records hold values that do not fit; the first is 'rec-0'"
    assert [admin.get(path).json for path in ("/attributes/attr-x", "/records")] == before
    for number in range(2):
        assert admin.put(f"/records/rec-{number}", {"values": {"x": []}}).status_code == 200
    assert admin.put("/attributes/attr-x", new).status_code == 200


@each(("was", "values", "new"), FITTING.values(), ids=FITTING)
def test_a_definition_that_all_stored_values_fit_is_taken(was, values, new, admin):
    define(admin, was, values)
    assert admin.put("/attributes/attr-x", new).status_code == 200
    assert [admin.get(f"/records/rec-{number}").json["values"]["x"] for number in range(2)] == [[entry(v)] for v in values]


def test_only_records_and_variants_that_do_not_fit_are_counted(admin, stranger, error):
    define(admin, attribute(), ["2026-01-01", "soon", "never"])
    for name, value in {"a": "2026-01-02", "b": "later"}.items():
        body = {"id": f"var-{name}", "values": {"x": [entry(value)]}}
        assert admin.post("/records/rec-0/variants", body).status_code == 201
    define(stranger, attribute(), ["not theirs"])
    message = error(admin.put("/attributes/attr-x", attribute("datetime")), 409)
    assert message == "type: 2 records and 1 variant hold values that do not fit; the first is 'rec-1'"
    for number in (1, 2):
        assert admin.delete(f"/records/rec-{number}").status_code == 204
    message = error(admin.put("/attributes/attr-x", attribute("datetime")), 409)
    assert message == "type: 1 variant holds values that do not fit; the first is 'var-b'"


def test_a_dimension_that_a_stored_value_is_scoped_by_stays(admin, error):
    define(admin, attribute(**SCOPED), ["everywhere"])
    values = [entry("everywhere"), entry("dansk", dim_language="seg-da")]
    assert admin.put("/records/rec-0", {"values": {"x": values}}).status_code == 200
    fewer = attribute(dimensionIds=["dim-market"])
    message = "dimensionIds: 1 record holds values that do not fit; the first is 'rec-0'"
    assert error(admin.put("/attributes/attr-x", fewer), 409) == message
    assert admin.put("/attributes/attr-x", attribute(dimensionIds=["dim-language"])).status_code == 200
    assert admin.patch("/records/rec-0/values/x", {"value": None, "scope": {"dim-language": "seg-da"}}).status_code == 200
    assert admin.put("/attributes/attr-x", attribute()).status_code == 200


def test_values_whose_option_or_target_is_gone_do_not_keep_the_rest_from_changing(admin, error):
    define(admin, attribute("option", **SCOPED), ["val-navy"])
    assert admin.delete("/option-lists/ol-colors/values/val-navy").status_code == 204
    assert admin.put("/attributes/attr-x", attribute("option", name="Renamed")).status_code == 200
    error(admin.put("/attributes/attr-x", attribute("option", **OPTIONS)), 409)


def test_values_of_a_schema_that_lost_the_attribute_count_too(admin, error):
    define(admin, attribute(), ["blue"])
    schema = admin.get("/schemas/schema-x").json
    assert admin.put("/schemas/schema-x", {**schema, "attributeGroups": []}).status_code == 200
    error(admin.put("/attributes/attr-x", attribute("number")), 409)


@each("way", ["made again", "renamed"])
def test_values_that_another_attribute_has_left_under_the_alias_stay_as_they_are(way, admin):
    """They are not changed by it, and checked only when they are written."""
    define(admin, attribute(), ["blue", "red"])
    schema = admin.get("/schemas/schema-x").json
    assert admin.put("/schemas/schema-x", {**schema, "attributeGroups": []}).status_code == 200
    assert admin.delete("/attributes/attr-x").status_code == 204
    number = attribute("number", id="attr-y", alias="y")
    assert admin.post("/attributes", number).status_code == 201
    before = admin.get("/records/rec-0").json
    if way == "made again":
        assert admin.post("/attributes", attribute("number")).status_code == 201
    else:
        assert admin.put("/attributes/attr-y", {**number, "alias": "x"}).status_code == 200
    assert admin.get("/records/rec-0").json == before


def test_a_taken_alias_is_told_as_such_whatever_records_hold_under_it(admin, error):
    define(admin, attribute(), ["blue"])
    message = error(admin.post("/attributes", attribute("number", id="attr-y")), 409)
    assert message == "alias: 'x' is already taken in this workspace by attribute 'attr-x'"


def test_a_unique_attribute_of_another_type_claims_its_values_as_that_type(admin, error):
    define(admin, attribute(validation={"unique": True}), ["2026-01-01", "2026-01-02T00:00:00Z"])
    datetime = attribute("datetime", validation={"unique": True})
    assert admin.put("/attributes/attr-x", datetime).status_code == 200
    taken = {"schemaId": "schema-x", "values": {"x": [entry("2026-01-02")]}}
    assert "already the value of 'rec-1'" in error(admin.post("/records", taken), 409)
    assert admin.put("/attributes/attr-x", attribute(validation={"unique": True})).status_code == 200
    assert admin.post("/records", taken).status_code == 201
    message = error(admin.put("/attributes/attr-x", datetime), 409)
    assert message.startswith("validation.unique: stored values are not unique: in ")


def test_a_definition_is_held_against_ten_thousand_records_without_delay(app, admin, error):
    define(admin, attribute(), ["blue"])
    with closing(sqlite3.connect(app.config["DATABASE"])) as db, db:
        (body,) = db.execute("SELECT body FROM entities WHERE id = 'rec-0'").fetchone()
        copies = [("ws-demo", "schema-x", body.replace("rec-0", f"copy-{number}")) for number in range(10_000)]
        db.executemany("INSERT INTO entities (tenant, schema_id, body) VALUES (?, ?, ?)", copies)
    started = time.thread_time()
    message = error(admin.put("/attributes/attr-x", attribute("number")), 409)
    assert message == "type: 10001 records hold values that do not fit; the first is 'rec-0'"
    assert time.thread_time() - started < 3
