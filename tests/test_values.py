"""Values: what each type of attribute takes, its limits, uniqueness, scopes, clearing, and what survives storing."""

import json
import time

import pytest
from cases import each
from conftest import without_hint

from sigma.resources.values import by_scope, scope_key

ENTRY = "values.thing[0]"
JSON_VALUES = {
    "string": "x",
    "number": 5,
    "boolean": True,
    "array": ["x"],
    "object": {"x": 1},
    "null": None,
}
TYPES = {
    "text": "string",
    "number": "number",
    "boolean": "boolean",
    "datetime": "string",
    "media": "string",
    "option": "string",
    "relation": "string",
    "complex": "object",
}
DANISH, SWEDISH = {"dim-language": "seg-da"}, {"dim-language": "seg-sv"}


def entry(value, scope=None):
    return {"scope": scope or {}, "value": value}


def everywhere(value):
    """The scoped values of an attribute that has one value for all scopes."""
    return [entry(value)]


@pytest.fixture
def define(admin):
    """Define attributes, each by its alias and what is not the default, and the schema `schema-thing` that has them."""

    def define(**attributes):
        for alias, fields in attributes.items():
            body = {"id": f"attr-{alias}", "alias": alias, "name": alias, **fields}
            if body["type"] == "option":
                body = {"optionListId": "ol-colors", **body}
            answer = admin.post("/attributes", body)
            assert answer.status_code == 201, answer.json
        group = {"id": "grp-1", "name": "All", "sortOrder": 0, "attributeIds": [f"attr-{alias}" for alias in attributes]}
        schema = {"id": "schema-thing", "alias": "thing", "name": "Thing", "variantEnabled": True, "attributeGroups": [group]}
        assert admin.post("/schemas", schema).status_code == 201

    return define


@pytest.fixture
def make(admin):
    """Create a record of `schema-thing`, named ent-<name>, with these scoped values."""

    def make(name, **values):
        answer = admin.post("/records", {"id": f"ent-{name}", "schemaId": "schema-thing", "values": values})
        assert answer.status_code == 201, answer.json
        return answer.json

    return make


@pytest.fixture
def thing(define, make):
    """Define one attribute, `thing`, and make the record `ent-1`, without a value unless it is given."""

    def thing(type, values=None, **fields):
        define(thing={"type": type, **fields})
        return make("1", **({"thing": values} if values else {}))

    return thing


def put(caller, *entries, path="/records/ent-1", alias="thing"):
    return caller.put(path, {"values": {alias: list(entries)}})


def kept(caller, path="/records/ent-1", alias="thing"):
    """The scoped values that are stored."""
    answer = caller.get(path)
    assert answer.status_code == 200, answer.json
    return answer.json["values"].get(alias)


# Types and limits

WRONG_TYPES = [
    pytest.param(type, came, id=f"{type} gets {came}") for type, good in TYPES.items() for came in JSON_VALUES if came != good
]


@each("type, came", WRONG_TYPES)
def test_a_value_of_another_type_is_refused(admin, thing, error, type, came):
    record = thing(type)
    message = error(put(admin, entry(JSON_VALUES[came])), 400)
    assert without_hint(message) == f"{ENTRY}.value: Attribute 'thing' expects type '{type}', got '{came}'"
    assert admin.get("/records/ent-1").json == record


@each("type", TYPES)
def test_a_value_of_another_type_among_several_is_refused(admin, thing, error, type):
    record = thing(type, multiple=True)
    for came in JSON_VALUES.keys() - {TYPES[type]}:
        message = error(put(admin, entry([JSON_VALUES[came]])), 400)
        assert message.startswith(f"{ENTRY}.value")
        assert without_hint(message).endswith(f"Attribute 'thing' expects type '{type}', got '{came}'")
    assert admin.get("/records/ent-1").json == record


def test_the_documented_message_comes_as_documented(key, error):
    message = error(put(key, entry("19.50"), path="/records/ent-coastal-wb", alias="price"), 400)
    assert message == "values.price[0].value: Attribute 'price' expects type 'number', got 'string' (send 19.50 without quotes)"


@each(
    "type, value, fields",
    [
        pytest.param("text", "", {}, id="empty text"),
        pytest.param("text", " \n\t", {}, id="blank text"),
        pytest.param("text", "日本語 😀", {}, id="unicode"),
        pytest.param("text", "12345", {"validation": {"maxLength": 5}}, id="longest"),
        pytest.param("text", "😀日本語é", {"validation": {"maxLength": 5}}, id="longest, in characters"),
        pytest.param("text", "", {"validation": {"maxLength": 0}}, id="nothing allowed, nothing given"),
        pytest.param("text", "AB-1", {"validation": {"pattern": "^[A-Z]+-[0-9]$"}}, id="pattern"),
        pytest.param("number", 0, {}, id="zero"),
        pytest.param("number", -1.5, {}, id="negative"),
        pytest.param("number", 10**40, {}, id="big"),
        pytest.param("number", 0, {"validation": {"min": 0}}, id="least"),
        pytest.param("number", 9.5, {"validation": {"max": 9.5}}, id="greatest"),
        pytest.param("number", 10**40, {"validation": {"min": 0.5}}, id="big, with a least"),
        pytest.param("boolean", True, {}, id="true"),
        pytest.param("boolean", False, {}, id="false"),
        pytest.param("datetime", "2026-03-01T08:00:00Z", {}, id="UTC"),
        pytest.param("datetime", "2026-03-01T08:00:00.123Z", {}, id="milliseconds"),
        pytest.param("datetime", "2026-03-01T08:00:00+02:00", {}, id="offset"),
        pytest.param("datetime", "2024-02-29T00:00:00Z", {}, id="leap day"),
        pytest.param("media", "coast.jpg", {}, id="media"),
        pytest.param("option", "val-navy", {}, id="option by id"),
        pytest.param("option", "navy", {}, id="option by alias"),
        pytest.param("option", "val-tops", {"optionListId": "ol-categories"}, id="option below another"),
        pytest.param("relation", "ent-trail-cap", {}, id="relation"),
        pytest.param("relation", "ent-1", {}, id="relation to itself"),
        pytest.param("complex", {}, {}, id="empty object"),
        pytest.param("complex", {"a": [1, {"b": None}], "": [[]]}, {}, id="nested object"),
        pytest.param("text", [], {"multiple": True}, id="none of several"),
        pytest.param("text", ["a", "b", "a"], {"multiple": True}, id="several texts"),
        pytest.param("number", [1, 2.5], {"multiple": True, "validation": {"min": 1}}, id="several numbers"),
        pytest.param("option", ["navy", "val-red"], {"multiple": True}, id="several options"),
        pytest.param("relation", ["ent-trail-cap", "ent-coastal-wb"], {"multiple": True}, id="several relations"),
        pytest.param("complex", [{"a": 1}, {}], {"multiple": True}, id="several objects"),
    ],
)
def test_a_fitting_value_is_stored_as_it_is(admin, thing, type, value, fields):
    thing(type, **fields)
    answer = put(admin, entry(value))
    assert answer.status_code == 200, answer.json
    assert answer.json["values"] == {"thing": everywhere(value)}
    assert kept(admin) == everywhere(value)
    assert admin.patch("/records/ent-1/values/thing", {"value": value}).json["values"] == {"thing": everywhere(value)}


@each(
    "limits, told",
    [
        ({"min": 10}, "a number from 10"),
        ({"max": 8.5}, "a number up to 8.5"),
        ({"min": 10, "max": 20}, "a number from 10 to 20"),
    ],
)
def test_a_number_beyond_the_limits_is_told_those_that_there_are(admin, thing, error, limits, told):
    thing("number", validation=limits)
    assert error(put(admin, entry(9)), 400).endswith(f"Attribute 'thing' expects {told}, got 9")


@each(
    "type, value, fields",
    [
        pytest.param("text", "123456", {"validation": {"maxLength": 5}}, id="too long"),
        pytest.param("text", "x", {"validation": {"maxLength": 0}}, id="nothing allowed"),
        pytest.param("text", "ab", {"validation": {"pattern": "^[A-Z]+$"}}, id="pattern"),
        pytest.param("text", "", {"validation": {"pattern": "^[A-Z]+$"}}, id="empty, pattern"),
        pytest.param("number", -0.001, {"validation": {"min": 0}}, id="below min"),
        pytest.param("number", 100.001, {"validation": {"max": 100}}, id="above max"),
        pytest.param("number", -(10**40), {"validation": {"min": -1e39}}, id="far below min"),
        pytest.param("datetime", "", {}, id="empty time"),
        pytest.param("datetime", "yesterday", {}, id="no time"),
        pytest.param("datetime", "2026-02-30T00:00:00Z", {}, id="no such day"),
        pytest.param("datetime", "2026-01-01T25:00:00Z", {}, id="no such hour"),
        pytest.param("datetime", "1767225600", {}, id="seconds"),
        pytest.param("option", "val-purple", {}, id="unknown option"),
        pytest.param("option", "Navy", {}, id="label of an option"),
        pytest.param("option", "", {}, id="empty option"),
        pytest.param("option", "val-tops", {}, id="option of another list"),
        pytest.param("relation", "ent-none", {}, id="unknown record"),
        pytest.param("relation", "", {}, id="empty relation"),
        pytest.param("relation", "\0", {}, id="relation with NUL"),
        pytest.param("relation", "var-cw-s", {}, id="relation to a variant"),
        pytest.param("relation", "schema-apparel", {}, id="relation to a schema"),
        pytest.param("text", ["12345", "123456"], {"multiple": True, "validation": {"maxLength": 5}}, id="second too long"),
        pytest.param("text", ["AB", "ab"], {"multiple": True, "validation": {"pattern": "^[A-Z]+$"}}, id="second pattern"),
        pytest.param("number", [1, -1], {"multiple": True, "validation": {"min": 0}}, id="second below min"),
        pytest.param("option", ["navy", "purple"], {"multiple": True}, id="second option"),
        pytest.param("relation", ["ent-1", "ent-2"], {"multiple": True}, id="second relation"),
        pytest.param("text", "x", {"multiple": True}, id="one where several are expected"),
        pytest.param("complex", {"0": {}}, {"multiple": True}, id="object where several are expected"),
    ],
)
def test_a_value_beyond_the_limits_is_refused(admin, thing, error, type, value, fields):
    record = thing(type, **fields)
    pattern = fields.get("validation", {}).get("pattern")
    told = f"Value for 'thing' does not match pattern '{pattern}', got " if pattern else "Attribute 'thing' expects "
    assert error(put(admin, entry(value)), 400).startswith(f"{ENTRY}.value: {told}")
    assert error(admin.patch("/records/ent-1/values/thing", {"value": value}), 400).startswith(f"value: {told}")
    assert admin.get("/records/ent-1").json == record


def test_another_workspaces_record_is_no_target_of_a_relation(admin, stranger, thing, error):
    schema = {"id": "s", "alias": "s", "name": "S", "variantEnabled": False}
    assert stranger.post("/schemas", schema).status_code == 201
    assert stranger.post("/records", {"id": "ent-theirs", "schemaId": "s", "values": {}}).status_code == 201
    thing("relation")
    assert error(put(admin, entry("ent-theirs")), 400).startswith(f"{ENTRY}.value: Attribute 'thing' expects")
    assert kept(admin) is None


@each(
    "method, path, patch",
    [
        ("POST", "/records", False),
        ("PUT", "/records/ent-1", False),
        ("PATCH", "/records/ent-1/values/thing", True),
        ("POST", "/records/ent-1/variants", False),
        ("PUT", "/records/ent-1/variants/var-1", False),
        ("PATCH", "/records/ent-1/variants/var-1/values/thing", True),
    ],
)
def test_every_way_to_write_checks_values(admin, thing, error, method, path, patch):
    thing("number", [entry(1)])
    assert admin.post("/records/ent-1/variants", {"id": "var-1", "values": {"thing": [entry(2)]}}).status_code == 201
    pages = ("/records", "/variants", "/records/ent-1/audit-log")
    before = [admin.get(page).json for page in pages]
    body = {"value": "3"} if patch else {"values": {"thing": [entry("3")]}}
    if path == "/records":
        body["schemaId"] = "schema-thing"
    message = error(admin.request(method, path, json=body), 400)
    place = "value" if patch else "values.thing[0].value"
    assert message == f"{place}: Attribute 'thing' expects type 'number', got 'string' (send 3 without quotes)"
    assert [admin.get(page).json for page in pages] == before


@each("required", ["attribute", "state"])
def test_what_is_required_never_blocks_a_write(admin, define, required):
    define(thing={"type": "text", "validation": {"required": required == "attribute"}}, other={"type": "text"})
    state = {"id": "state-1", "name": "One", "required": ["thing"] if required == "state" else []}
    workflow = {"id": "wf-1", "alias": "one", "name": "One", "defaultStateId": "state-1", "states": [state]}
    assert admin.post("/workflows", workflow).status_code == 201
    schema = admin.get("/schemas/schema-thing").json
    assert admin.put("/schemas/schema-thing", {**schema, "workflowId": "wf-1"}).status_code == 200
    assert admin.post("/records", {"id": "ent-1", "schemaId": "schema-thing", "values": {}}).status_code == 201
    assert put(admin, entry("x")).status_code == 200
    assert put(admin, entry("x"), alias="other").status_code == 200
    answer = put(admin)
    assert answer.status_code == 200
    assert answer.json["values"] == {"other": everywhere("x")}


# Shapes and scopes


@each(
    "values, path",
    [
        pytest.param({"other": everywhere("x")}, "values.other", id="unknown alias"),
        pytest.param({"other": []}, "values.other", id="unknown alias, cleared"),
        pytest.param({"attr-thing": everywhere("x")}, "values.attr-thing", id="id in place of the alias"),
        pytest.param({"": everywhere("x")}, "values.", id="empty alias"),
        pytest.param({"thing": "x"}, "values.thing", id="bare value"),
        pytest.param({"thing": None}, "values.thing", id="null"),
        pytest.param({"thing": entry("x")}, "values.thing", id="entry without array"),
        pytest.param({"thing": ["x"]}, ENTRY, id="values without scopes"),
        pytest.param({"thing": [None]}, ENTRY, id="null entry"),
        pytest.param({"thing": [[]]}, ENTRY, id="array entry"),
        pytest.param({"thing": [{}]}, ENTRY, id="empty entry"),
        pytest.param({"thing": [{"scope": {}}]}, ENTRY, id="entry without value"),
        pytest.param({"thing": [{"scope": None, "value": "x"}]}, f"{ENTRY}.scope", id="null scope"),
        pytest.param({"thing": [{"scope": [], "value": "x"}]}, f"{ENTRY}.scope", id="array scope"),
        pytest.param({"thing": [{"scope": "seg-da", "value": "x"}]}, f"{ENTRY}.scope", id="text scope"),
        pytest.param({"thing": [entry("x", {"dim-none": "seg-da"})]}, f"{ENTRY}.scope", id="unknown dimension"),
        pytest.param({"thing": [entry("x", {"language": "seg-da"})]}, f"{ENTRY}.scope", id="alias of a dimension"),
        pytest.param({"thing": [entry("x", {"dim-season": "seg-da"})]}, f"{ENTRY}.scope", id="dimension it does not have"),
        pytest.param({"thing": [entry("x", {"dim-language": "seg-fi"})]}, f"{ENTRY}.scope", id="unknown segment"),
        pytest.param({"thing": [entry("x", {"dim-language": "da"})]}, f"{ENTRY}.scope", id="alias of a segment"),
        pytest.param(
            {"thing": [entry("x", {"dim-language": "seg-dk"})]}, f"{ENTRY}.scope", id="segment of the other dimension"
        ),
        pytest.param({"thing": [entry("x", {"dim-language": None})]}, f"{ENTRY}.scope", id="null segment"),
        pytest.param({"thing": [entry("x", {"dim-language": ["seg-da"]})]}, f"{ENTRY}.scope", id="array segment"),
        pytest.param({"thing": [entry("x", {"dim-language": {}})]}, f"{ENTRY}.scope", id="object segment"),
        pytest.param({"thing": [entry("x", {"dim-language": []})] * 2}, f"{ENTRY}.scope", id="array segment, twice"),
        pytest.param({"_schema": "x"}, "values._schema", id="an alias that marshmallow uses, bare value"),
        pytest.param(
            {"_schema": [{}]},
            "values._schema: schema 'schema-thing' has no attribute",
            id="an alias that marshmallow uses, empty entry",
        ),
        pytest.param({"_schema": everywhere("x")}, "values._schema", id="an alias that marshmallow uses"),
        pytest.param({"thing": [entry("x"), entry("y", {"dim-language": "no"})]}, "values.thing[1].scope", id="second scope"),
        pytest.param({"thing": [entry("x"), entry("y")]}, "values.thing", id="one scope twice"),
        pytest.param({"thing": [entry("x"), {"value": "x"}]}, "values.thing", id="one scope twice, once left out"),
        pytest.param(
            {
                "thing": [
                    entry("x", {"dim-language": "seg-da", "dim-market": "seg-dk"}),
                    entry("y", {"dim-market": "seg-dk", "dim-language": "seg-da"}),
                ]
            },
            "values.thing",
            id="one scope twice, in another order",
        ),
    ],
)
def test_values_of_another_shape_are_refused(admin, thing, error, values, path):
    record = thing("text", [entry("old")], dimensionIds=["dim-language", "dim-market"])
    assert error(admin.put("/records/ent-1", {"values": values}), 400).startswith(path)
    error(admin.post("/records", {"schemaId": "schema-thing", "values": values}), 400)
    error(admin.post("/records/ent-1/variants", {"values": values}), 400)
    assert admin.get("/records/ent-1").json == record
    assert admin.get("/records?schemaId=schema-thing").json["total"] == 1
    assert admin.get("/records/ent-1/variants").json == []


def test_an_unknown_member_of_a_scoped_value_is_named(admin, thing, error):
    record = thing("text")
    assert "colour" in error(put(admin, {"scope": {}, "value": "x", "colour": "red"}), 400)
    assert admin.get("/records/ent-1").json == record


def test_an_attribute_without_dimensions_has_no_scopes(admin, thing, error):
    thing("text", [entry("old")])
    error(put(admin, entry("x", DANISH)), 400)
    error(admin.patch("/records/ent-1/values/thing", {"value": "x", "scope": DANISH}), 400)
    assert kept(admin) == everywhere("old")


def test_scopes_may_use_some_of_the_dimensions_or_all(admin, thing):
    thing("text", dimensionIds=["dim-language", "dim-market"])
    scopes = [{}, DANISH, {"dim-market": "seg-no"}, {"dim-market": "seg-dk", **DANISH}, {"dim-market": "seg-se", **DANISH}]
    entries = [entry(f"Text {index}", scope) for index, scope in enumerate(scopes)]
    assert put(admin, *entries).json["values"] == {"thing": entries}
    assert kept(admin) == entries


def test_patch_finds_a_scope_in_whatever_order_its_dimensions_come(admin, thing):
    thing(
        "text", [entry("old", {"dim-language": "seg-da", "dim-market": "seg-dk"})], dimensionIds=["dim-language", "dim-market"]
    )
    scope = {"dim-market": "seg-dk", "dim-language": "seg-da"}
    answer = admin.patch("/records/ent-1/values/thing", {"value": "new", "scope": scope})
    assert answer.json["values"]["thing"] == [entry("new", scope)]


def test_many_values_of_one_scope_are_refused_without_delay(admin, thing, error):
    thing("number")
    started = time.thread_time()
    assert error(put(admin, *([{"value": 1}] * 70_000)), 400).startswith("values.thing: ")
    assert time.thread_time() - started < 3
    assert kept(admin) is None


# Unique values


@pytest.fixture
def unique(define, make):
    """Two records of a schema with the unique `gtin`, by market; the first has the value `100` everywhere."""
    rules = {"validation": {"unique": True}, "dimensionIds": ["dim-market"]}
    define(gtin={"type": "text", **rules}, code={"type": "text", **rules}, title={"type": "text"})
    make("1", gtin=[entry("100")])
    make("2", title=[entry("Two")])


NORWAY = {"dim-market": "seg-no"}
TAKE = {  # every way to write the value 100 a second time
    "create": ("POST", "/records", {"id": "ent-3", "schemaId": "schema-thing", "values": {"gtin": [entry("100")]}}),
    "put": ("PUT", "/records/ent-2", {"values": {"title": [entry("New")], "gtin": [entry("100")]}}),
    "patch": ("PATCH", "/records/ent-2/values/gtin", {"value": "100"}),
    "variant of another": ("POST", "/records/ent-2/variants", {"values": {"gtin": [entry("100")]}}),
    "variant of the same": ("POST", "/records/ent-1/variants", {"values": {"gtin": [entry("100")]}}),
    "variant put": ("PUT", "/records/ent-2/variants/var-2", {"values": {"gtin": [entry("100")]}}),
    "variant patch": ("PATCH", "/records/ent-2/variants/var-2/values/gtin", {"value": "100"}),
}


@each("way", TAKE)
def test_a_unique_value_cannot_be_taken_twice(admin, unique, error, way):
    assert admin.post("/records/ent-2/variants", {"id": "var-2", "values": {"title": [entry("Variant")]}}).status_code == 201
    before = [admin.get(path).json for path in ("/records", "/variants", "/records/ent-2/audit-log")]
    method, path, body = TAKE[way]
    message = error(admin.request(method, path, json=body), 409)
    assert message.startswith("value" if "patch" in way else "values.gtin[0].value: ")
    assert [admin.get(path).json for path in ("/records", "/variants", "/records/ent-2/audit-log")] == before


@each("way", ["create", "put", "patch"])
def test_a_variants_unique_value_is_taken_for_records_too(admin, unique, error, way):
    assert put(admin, alias="gtin").status_code == 200
    assert admin.post("/records/ent-1/variants", {"values": {"gtin": [entry("100")]}}).status_code == 201
    method, path, body = TAKE[way]
    error(admin.request(method, path, json=body), 409)
    assert kept(admin, "/records/ent-2", "gtin") is None


def test_a_unique_value_is_free_in_other_scopes_and_attributes(admin, unique, error):
    values = {"gtin": [entry("100", NORWAY)], "code": [entry("100")], "title": [entry("100")]}
    assert admin.put("/records/ent-2", {"values": values}).json["values"] == {"title": values["title"], **values}
    error(put(admin, entry("100", NORWAY), alias="gtin"), 409)
    assert kept(admin, alias="gtin") == everywhere("100")


FREE = {
    "delete": lambda caller: caller.delete("/records/ent-1"),
    "clear": lambda caller: put(caller, alias="gtin"),
    "clear by patch": lambda caller: caller.patch("/records/ent-1/values/gtin", {"value": None}),
    "replace": lambda caller: put(caller, entry("200"), alias="gtin"),
    "replace by patch": lambda caller: caller.patch("/records/ent-1/values/gtin", {"value": "200"}),
    "move to another scope": lambda caller: put(caller, entry("100", NORWAY), alias="gtin"),
}


@each("way", FREE)
def test_a_unique_value_is_free_again_when_nobody_has_it(admin, unique, error, way):
    error(put(admin, entry("100"), path="/records/ent-2", alias="gtin"), 409)
    assert FREE[way](admin).status_code in (200, 204)
    assert put(admin, entry("100"), path="/records/ent-2", alias="gtin").status_code == 200


@each("gone", ["/records/ent-1/variants/var-2", "/records/ent-1/variants/var-1", "/records/ent-1"])
def test_a_variants_unique_value_is_free_when_it_or_what_is_above_it_is_deleted(admin, unique, error, gone):
    for variant in (
        {"id": "var-1", "values": {"gtin": [entry("101")]}},
        {"id": "var-2", "parentId": "var-1", "values": {"gtin": [entry("102")]}},
    ):
        assert admin.post("/records/ent-1/variants", variant).status_code == 201
    error(put(admin, entry("102"), path="/records/ent-2", alias="gtin"), 409)
    assert admin.delete(gone).status_code == 204
    assert put(admin, entry("102"), path="/records/ent-2", alias="gtin").status_code == 200
    below = put(admin, entry("101", None), path="/records/ent-2", alias="gtin")
    assert below.status_code == (409 if gone.endswith("var-2") else 200)


def test_a_record_may_write_its_own_unique_value_again(admin, unique):
    for _ in range(2):
        assert put(admin, entry("100"), alias="gtin").status_code == 200
        assert admin.patch("/records/ent-1/values/gtin", {"value": "100"}).status_code == 200
    assert kept(admin, alias="gtin") == everywhere("100")


def test_a_record_may_swap_unique_values_between_its_scopes(admin, unique):
    assert put(admin, entry("100"), entry("200", NORWAY), alias="gtin").status_code == 200
    assert put(admin, entry("200"), entry("100", NORWAY), alias="gtin").status_code == 200
    assert kept(admin, alias="gtin") == [entry("200"), entry("100", NORWAY)]


def test_a_refused_write_keeps_no_unique_value(admin, unique, error):
    values = {"code": [entry("free")], "gtin": [entry("100")]}
    error(admin.post("/records", {"schemaId": "schema-thing", "values": values}), 409)
    error(admin.put("/records/ent-2", {"values": values}), 409)
    error(admin.post("/records", {"id": "ent-1", "schemaId": "schema-thing", "values": {"code": [entry("free")]}}), 409)
    assert put(admin, entry("free"), alias="code").status_code == 200


def test_a_refused_write_frees_no_unique_value(admin, unique, error):
    assert put(admin, entry("mine"), path="/records/ent-2", alias="code").status_code == 200
    error(admin.put("/records/ent-2", {"values": {"code": [], "gtin": [entry("100")]}}), 409)
    error(put(admin, entry("mine"), alias="code"), 409)
    assert kept(admin, "/records/ent-2", "code") == everywhere("mine")


def test_a_unique_value_holds_over_all_schemas_that_share_the_attribute(admin, unique, error):
    group = {"id": "grp-1", "name": "All", "sortOrder": 0, "attributeIds": ["attr-gtin"]}
    schema = {"id": "schema-2", "alias": "two", "name": "Two", "variantEnabled": False, "attributeGroups": [group]}
    assert admin.post("/schemas", schema).status_code == 201
    error(admin.post("/records", {"schemaId": "schema-2", "values": {"gtin": [entry("100")]}}), 409)
    assert admin.get("/records?schemaId=schema-2").json["total"] == 0


def test_a_unique_value_of_another_workspace_is_free(stranger, unique):
    attribute = {"id": "attr-gtin", "alias": "gtin", "name": "EAN", "type": "text", "validation": {"unique": True}}
    assert stranger.post("/attributes", attribute).status_code == 201
    group = {"id": "grp-1", "name": "All", "sortOrder": 0, "attributeIds": ["attr-gtin"]}
    schema = {"id": "schema-thing", "alias": "thing", "name": "T", "variantEnabled": False, "attributeGroups": [group]}
    assert stranger.post("/schemas", schema).status_code == 201
    body = {"schemaId": "schema-thing", "values": {"gtin": [entry("100")]}}
    assert [stranger.post("/records", body).status_code for _ in range(2)] == [201, 409]


def test_a_unique_number_is_the_same_however_it_is_written(admin, define, make, error):
    define(thing={"type": "number", "validation": {"unique": True}})
    make("1", thing=[entry(1)])
    make("2")
    for text in ("1", "1.0", "1e0"):
        body = f'{{"value": {text}}}'
        error(admin.patch("/records/ent-2/values/thing", data=body, content_type="application/json"), 409)
    assert admin.patch("/records/ent-2/values/thing", {"value": 2}).status_code == 200


# What the model lost since a value was stored


def test_a_value_whose_option_is_gone_stays_until_it_is_changed(admin, define, make, error):
    define(thing={"type": "option"}, other={"type": "text"})
    make("1", thing=[entry("val-navy")])
    make("2")
    assert admin.delete("/option-lists/ol-colors/values/val-navy").status_code == 204
    assert kept(admin) == everywhere("val-navy")
    assert put(admin, entry("x"), alias="other").json["values"] == {"thing": everywhere("val-navy"), "other": everywhere("x")}
    assert put(admin, entry("val-navy")).status_code == 200
    assert admin.patch("/records/ent-1/values/thing", {"value": "val-navy"}).status_code == 200
    assert error(put(admin, entry("navy")), 400).startswith(f"{ENTRY}.value: Attribute 'thing' expects")
    assert error(put(admin, entry("val-navy"), path="/records/ent-2"), 400).startswith(f"{ENTRY}.value")
    assert kept(admin) == everywhere("val-navy")
    assert put(admin, entry("val-red")).status_code == 200
    error(put(admin, entry("val-navy")), 400)


@pytest.fixture
def norwegian(admin, thing):
    """The record `ent-1`, with values everywhere and for Norway, which is a market no more."""
    thing("text", [entry("all"), entry("norsk", NORWAY)], dimensionIds=["dim-market"])
    dimension = admin.get("/dimensions/dim-market").json
    dimension["segments"] = [segment for segment in dimension["segments"] if segment["id"] != "seg-no"]
    assert admin.put("/dimensions/dim-market", dimension).status_code == 200


def test_a_value_whose_segment_is_gone_stays_while_another_scope_is_written(admin, norwegian):
    assert kept(admin) == [entry("all"), entry("norsk", NORWAY)]
    answer = admin.patch("/records/ent-1/values/thing", {"value": "dansk", "scope": {"dim-market": "seg-dk"}})
    assert answer.json["values"]["thing"] == [entry("all"), entry("norsk", NORWAY), entry("dansk", {"dim-market": "seg-dk"})]


@each("way", ["put", "patch"])
def test_a_value_whose_segment_is_gone_may_be_written_as_it_is_and_no_other(admin, norwegian, error, way):
    def write(value):
        if way == "put":
            return put(admin, entry("all"), entry(value, NORWAY))
        return admin.patch("/records/ent-1/values/thing", {"value": value, "scope": NORWAY})

    assert error(write("nynorsk"), 400).startswith("values.thing[1].scope" if way == "put" else "scope")
    assert write("norsk").status_code == 200
    assert kept(admin) == [entry("all"), entry("norsk", NORWAY)]


def test_a_value_whose_segment_is_gone_can_be_removed(admin, norwegian):
    answer = admin.patch("/records/ent-1/values/thing", {"value": None, "scope": NORWAY})
    assert answer.status_code == 200
    assert kept(admin) == everywhere("all")
    assert put(admin).json["values"] == {}


def test_a_relation_whose_target_is_gone_stays_until_it_is_changed(admin, define, make, error):
    define(thing={"type": "relation", "multiple": True}, other={"type": "text"})
    make("2")
    make("1", thing=[entry(["ent-2", "ent-trail-cap"])])
    assert admin.delete("/records/ent-2").status_code == 204
    assert put(admin, entry("x"), alias="other").status_code == 200
    assert kept(admin) == everywhere(["ent-2", "ent-trail-cap"])
    assert put(admin, entry(["ent-2", "ent-trail-cap"])).status_code == 200
    error(put(admin, entry(["ent-trail-cap", "ent-2"])), 400)
    assert put(admin, entry(["ent-trail-cap"])).status_code == 200


def test_a_stricter_rule_leaves_stored_values_until_they_are_changed(admin, thing, error):
    thing("text", [entry("long text")])
    attribute = admin.get("/attributes/attr-thing").json
    assert admin.put("/attributes/attr-thing", {**attribute, "validation": {"maxLength": 4}}).status_code == 200
    assert kept(admin) == everywhere("long text")
    assert put(admin, entry("long text")).status_code == 200
    error(put(admin, entry("long text!")), 400)
    assert put(admin, entry("text")).status_code == 200
    error(put(admin, entry("long text")), 400)


# What survives


@each(
    "type, text",
    [
        ("number", "1.0"),
        ("number", "0.1"),
        ("number", "-7"),
        ("number", "123456789012345678901234567890"),
        ("number", "9007199254740993"),
        ("number", "-9223372036854775809"),
        ("number", "1249.5"),
        ("text", '"naïve 日本語 😀"'),
        ("text", '"\u2028\u2029\u200b\ufeff"'),
        ("text", r'"a\"b\\c\nd\te"'),
        ("text", '"<script>&amp;/"'),
        ("text", '" spaces  "'),
        ("text", '"é"'),
        ("text", '"e\u0301"'),
        ("complex", '{"b":1,"a":[1.0,{"z":null,"y":[[],{}]},"x"],"":false}'),
        ("complex", '{"big":123456789012345678901234567890,"scope":{},"value":[{"scope":{},"value":1}]}'),
    ],
)
def test_values_survive_letter_by_letter(admin, thing, type, text):
    thing(type)
    assert admin.post("/records/ent-1/variants", {"id": "var-1"}).status_code == 201
    body = f'{{"values":{{"thing":[{{"scope":{{}},"value":{text}}}]}}}}'
    stored = body.removeprefix('{"values":').removesuffix("}")
    for path in ("/records/ent-1", "/records/ent-1/variants/var-1"):
        answer = admin.put(path, data=body.encode(), content_type="application/json")
        assert answer.status_code == 200, answer.json
        assert stored in answer.get_data(as_text=True)
        for page in (path, "/records?limit=1000", "/records/ent-1/variants/var-1/resolved"):
            assert text in admin.get(page).get_data(as_text=True)
    assert f'"newValue":{text}' in admin.get("/records/ent-1/audit-log").get_data(as_text=True)


@each(
    "text",
    [
        pytest.param(b"NaN", id="NaN"),
        pytest.param(b"Infinity", id="Infinity"),
        pytest.param(b"-Infinity", id="-Infinity"),
        pytest.param(b"1e999", id="1e999"),
        pytest.param(b"-1e999", id="-1e999"),
        pytest.param(b'{"a": NaN}', id="NaN within"),
        pytest.param(b'{"a": [1e999]}', id="1e999 within"),
        pytest.param(b'{"a": 1, "a": 2}', id="one name twice"),
        pytest.param(b'{"b": {"a": 1, "\\u0061": 1}}', id="one name twice, within and escaped"),
        pytest.param(b'"\\ud800"', id="half a surrogate pair"),
        pytest.param(b'"\\udc00\\ud800"', id="surrogates the wrong way round"),
        pytest.param(b'{"\\ud800": 1}', id="half a surrogate pair as a name"),
        pytest.param(b'"\xff"', id="no UTF-8"),
        pytest.param(b'"\xed\xa0\x80"', id="surrogate in UTF-8"),
        pytest.param(b'"\x00"', id="bare NUL"),
        pytest.param(b'"a\nb"', id="bare line end"),
        pytest.param(b"'x'", id="single quotes"),
        pytest.param(b"01", id="leading zero"),
        pytest.param(b"+1", id="plus"),
        pytest.param(b".5", id="no zero"),
        pytest.param(b'"x', id="cut off"),
    ],
)
def test_what_json_cannot_hold_is_refused(admin, thing, error, text):
    record = thing("complex")
    for method, path, body in (
        ("PATCH", "/records/ent-1/values/thing", b'{"value": %s}'),
        ("PUT", "/records/ent-1", b'{"values": {"thing": [{"value": %s}]}}'),
        ("POST", "/records", b'{"schemaId": "schema-thing", "values": {"thing": [{"value": %s}]}}'),
    ):
        error(admin.request(method, path, data=body % text, content_type="application/json"), 400)
    assert admin.get("/records/ent-1").json == record
    assert admin.get("/records?schemaId=schema-thing").json["total"] == 1


@each(
    "body",
    [
        pytest.param(b'{"values": {}, "values": {}}', id="values"),
        pytest.param(b'{"values": {"thing": [], "thing": []}}', id="alias"),
        pytest.param(b'{"values": {"thing": [{"value": "a", "value": "b"}]}}', id="value"),
        pytest.param(b'{"values": {"thing": [{"value": "a", "scope": {"d": "s", "d": "s"}}]}}', id="dimension"),
        pytest.param(b'{"values": {"\\ud800": []}}', id="half a surrogate pair as an alias"),
        pytest.param(b'{"values": {"thing": [{"value": "a", "scope": {"\\ud800": "s"}}]}}', id="half a pair as a dimension"),
        pytest.param(b'\xef\xbb\xbf{"values": {}', id="byte order mark, cut off"),
    ],
)
def test_bodies_that_mean_two_things_or_nothing_are_refused(admin, thing, error, body):
    record = thing("text", [entry("old")])
    error(admin.put("/records/ent-1", data=body, content_type="application/json"), 400)
    assert admin.get("/records/ent-1").json == record


@each(
    "type, value",
    [
        pytest.param("text", "\0", id="NUL"),
        pytest.param("text", "a\0b\x01\x1f\x7f", id="control characters"),
        pytest.param("complex", {"\0": {"a\0b": "\0"}}, id="NUL in names"),
        pytest.param("complex", {"__proto__": 1, "$.a": 2, '"': 3, "a.b": 4, "[0]": 5}, id="odd names"),
        pytest.param("media", "\0", id="NUL in media"),
    ],
)
def test_nul_and_the_like_are_stored_as_they_are_or_refused(admin, thing, type, value):
    thing(type, validation={"unique": True})
    answer = put(admin, entry(value))
    assert answer.status_code in (200, 400), answer.json
    if answer.status_code == 200:
        assert kept(admin) == everywhere(value)
        assert admin.get("/records/ent-1/audit-log").json["items"][0]["changes"][0]["newValue"] == value
    else:
        assert kept(admin) is None
    assert admin.delete("/records/ent-1").status_code == 204


@each("shape", [("[", "]"), ('{"a":', "}")], ids=["arrays", "objects"])
@each("depth", [200, 900, 930, 990, 1010, 50_000])
def test_deep_nesting_is_stored_as_it_is_or_refused(admin, thing, error, shape, depth):
    record = thing("complex")
    opening, closing = shape
    text = f'{{"a":{opening * depth}{"1"}{closing * depth}}}'
    answer = admin.patch("/records/ent-1/values/thing", data=f'{{"value":{text}}}', content_type="application/json")
    if answer.status_code == 200:
        assert text in admin.get("/records/ent-1").get_data(as_text=True)
        assert text in admin.get("/records/ent-1/audit-log").get_data(as_text=True)
        assert admin.post("/records/ent-1/variants", {"id": "var-1"}).status_code == 201
        assert text in admin.get("/records/ent-1/variants/var-1/resolved").get_data(as_text=True)
        for page in ("completeness", "transitions", "variants"):
            assert admin.get(f"/records/ent-1/{page}").status_code == 200
    else:
        assert depth > 200
        error(answer, 400)
        assert admin.get("/records/ent-1").json == record
    assert admin.delete("/records/ent-1").status_code == 204


@each("way", ["post", "put", "patch", "import as text", "import"])
@each("several", [False, True])
def test_a_value_may_be_so_deep_that_its_record_can_be_put_back_and_no_deeper(admin, thing, error, way, several):
    thing("complex", multiple=several)

    def write(levels):
        value = {}
        for _ in range(levels - 1):
            value = {"a": value}
        value = [value] if several else value
        cell = json.dumps(value[0] if several else value) if way == "import as text" else value
        sent = {
            "post": ("POST", "/records", {"id": "ent-2", "schemaId": "schema-thing", "values": {"thing": everywhere(value)}}),
            "put": ("PUT", "/records/ent-1", {"values": {"thing": everywhere(value)}}),
            "patch": ("PATCH", "/records/ent-1/values/thing", {"value": value}),
        }
        columns, rows = {"Id": "_id", "Thing": "thing"}, [{"Id": "ent-1", "Thing": cell}]
        table = {"schemaId": "schema-thing", "columnMapping": columns, "rows": rows}
        return admin.request(*sent.get(way, ("POST", "/import/execute", table)))

    answer = write(491)
    if way.startswith("import"):
        assert answer.json["errors"][0]["message"] == "Thing: Attribute 'thing' expects at most 490 levels"
    else:
        assert error(answer, 400).endswith("Attribute 'thing' expects at most 490 levels")
    assert kept(admin) is None
    assert write(490).status_code in (200, 201)
    id = "ent-2" if way == "post" else "ent-1"
    record = admin.get(f"/records/{id}").json
    assert record["values"]["thing"]
    changed = {"values": {**record["values"], "thing": [{**record["values"]["thing"][0], "scope": {}}]}}
    assert admin.put(f"/records/{id}", changed).json == record
    asked = {"criteria": [{"attribute": "thing", "operator": "equals", "value": record["values"]["thing"][0]["value"]}]}
    if not several:
        assert admin.post("/search", asked).json["total"] == 1


def test_a_long_text_is_kept_whole_and_not_repeated_in_a_refusal(admin, thing, error):
    thing("text")
    text = "ø" * 400_000
    assert put(admin, entry(text)).status_code == 200
    assert kept(admin) == everywhere(text)
    assert len(error(put(admin, entry({"a": text})), 400)) < 1000
    assert len(error(admin.put("/records/ent-1", {"values": {text: []}}), 400)) < 1000


def test_many_attributes_in_one_write_are_all_kept(admin, define, make):
    define(**{f"a{number}": {"type": "number"} for number in range(60)})
    values = {f"a{number}": [entry(number)] for number in range(60)}
    make("1", **values)
    changed = {alias: [entry(-entries[0]["value"])] for alias, entries in values.items() if entries[0]["value"] % 2}
    answer = admin.put("/records/ent-1", {"values": changed})
    assert answer.json["values"] == {**values, **changed}
    assert json.loads(admin.get("/records/ent-1").data) == answer.json


def test_taking_a_value_of_an_attribute_that_the_schema_lost_leaves_the_others_free(define, make, admin):
    define(fit={"type": "text", "dimensionIds": ["dim-language"]})
    schema = admin.get("/schemas/schema-thing").json
    for name in ("1", "2"):
        make(name, fit=[entry("same"), entry("q", DANISH)])
    assert admin.put("/schemas/schema-thing", {**schema, "attributeGroups": []}).status_code == 200
    for name in ("1", "2"):
        answer = admin.patch(f"/records/ent-{name}/values/fit", {"value": None, "scope": DANISH})
        assert (answer.status_code, answer.json["values"]) == (200, {"fit": [entry("same")]})


def test_texts_held_against_a_pattern_are_bounded_for_one_request(define, make, admin, error):
    define(code={"type": "text", "multiple": True, "validation": {"pattern": "x$"}})
    before = make("1", code=everywhere(["x" * 5_000] * 5))
    message = error(admin.put("/records/ent-1", {"values": {"code": everywhere(["x" * 5_000] * 6)}}), 400)
    assert message.startswith("values.code[0].value: Attribute 'code' expects texts with a pattern to have at most 25000 ")
    assert admin.get("/records/ent-1").json == before


def test_a_unique_number_is_the_same_however_it_is_written_and_wherever_it_stands(define, make, admin, error):
    define(spec={"type": "complex", "validation": {"unique": True}})
    make("1", spec=everywhere({"sizes": [1, 2.5], "b": 0}))
    before = make("2")
    error(admin.put("/records/ent-2", {"values": {"spec": everywhere({"b": 0.0, "sizes": [1.0, 2.5]})}}), 409)
    assert admin.get("/records/ent-2").json == before


# What tells scopes apart


@each(
    ("one", "other", "same"),
    [
        ({}, {}, True),
        ({"a": "x"}, {"a": "x"}, True),
        ({"a": "x", "b": "y"}, {"b": "y", "a": "x"}, True),
        ({}, {"a": "x"}, False),
        ({"a": "x"}, {"a": "y"}, False),
        ({"a": "x"}, {"b": "x"}, False),
        ({"a": "x", "b": "y"}, {"a": "y", "b": "x"}, False),
        ({"a": 'x","b":"y'}, {"a": "x", "b": "y"}, False),
    ],
)
def test_scopes_are_told_apart_by_their_members_in_whatever_order(one, other, same):
    assert (scope_key(one) == scope_key(other)) == same
    assert len(by_scope([entry(1, one), entry(2, other)])) == (1 if same else 2)
