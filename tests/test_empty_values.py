"""What counts as no value: the same for completeness, unique attributes, isEmpty, exports and imports."""

import csv
import time

import pytest
from cases import each

ATTRIBUTES = {
    "text": {"type": "text"},
    "texts": {"type": "text", "multiple": True},
    "media": {"type": "media"},
    "number": {"type": "number"},
    "numbers": {"type": "number", "multiple": True},
    "flag": {"type": "boolean"},
    "flags": {"type": "boolean", "multiple": True},
    "object": {"type": "complex"},
    "objects": {"type": "complex", "multiple": True},
    "option": {"type": "option", "optionListId": "ol-colors"},
    "options": {"type": "option", "optionListId": "ol-colors", "multiple": True},
    "moments": {"type": "datetime", "multiple": True},
    "relations": {"type": "relation", "multiple": True},
}
EMPTY = [
    *(("text", ""), ("media", ""), ("object", {})),
    *((alias, []) for alias, fields in ATTRIBUTES.items() if fields.get("multiple")),
]
FILLED = [
    ("text", " "),
    ("text", "\t\n"),
    ("text", "0"),
    ("text", "null"),
    ("text", "{}"),
    ("texts", [""]),
    ("texts", ["", ""]),
    ("texts", ["", "a"]),
    ("texts", [" "]),
    ("texts", ["\\"]),
    ("media", "."),
    ("number", 0),
    ("number", -0.0),
    ("numbers", [0]),
    ("flag", False),
    ("flags", [False]),
    ("object", {"a": None}),
    ("object", {"": {}}),
    ("objects", [{}]),
    ("objects", [{}, {"a": []}]),
    ("option", "val-red"),
    ("options", ["val-red"]),
    ("moments", ["2026-03-01"]),
    ("relations", ["ent-coastal-wb"]),
]
TABLE = [*((*pair, True) for pair in EMPTY), *((*pair, False) for pair in FILLED)]
each_value = each(("alias", "value", "is_empty"), TABLE, ids=lambda value: repr(value)[:30])


def add_schema(admin):
    """Add the schema `schema-thing`, all of whose attributes are required and unique."""
    for alias, fields in ATTRIBUTES.items():
        body = {"id": f"attr-x-{alias}", "alias": f"x-{alias}", "name": alias, "validation": {"required": True, "unique": True}}
        assert admin.post("/attributes", {**body, **fields}).status_code == 201
    group = {"id": "g", "name": "All", "attributeIds": [f"attr-x-{alias}" for alias in ATTRIBUTES]}
    schema = {"id": "schema-thing", "alias": "thing", "name": "Thing", "variantEnabled": False, "attributeGroups": [group]}
    assert admin.post("/schemas", schema).status_code == 201


@pytest.fixture(scope="module")
def initial_database(prepare):
    return prepare(add_schema)


@pytest.fixture
def shop(admin):
    """Return the administrator, beside the schema `schema-thing`."""
    return admin


def make(caller, id, alias, value):
    """Create a record that holds this value, and answer the status."""
    values = {f"x-{alias}": [{"scope": {}, "value": value}]}
    return caller.post("/records", {"id": id, "schemaId": "schema-thing", "values": values}).status_code


@each_value
def test_completeness(shop, alias, value, is_empty):
    assert make(shop, "ent-1", alias, value) == 201
    report = shop.get("/records/ent-1/completeness").json
    assert (f"x-{alias}" in report["missing"], f"x-{alias}" in report["filled"]) == (is_empty, not is_empty)
    assert report["score"] == (0 if is_empty else 100 // len(ATTRIBUTES))


@each_value
def test_unique(shop, alias, value, is_empty):
    assert make(shop, "ent-1", alias, value) == 201
    assert make(shop, "ent-2", alias, value) == (201 if is_empty else 409)


@each_value
def test_search(shop, alias, value, is_empty):
    assert make(shop, "ent-1", alias, value) == 201
    for operator, finds in (("isEmpty", is_empty), ("isNotEmpty", not is_empty)):
        criteria = {"schemaId": "schema-thing", "criteria": [{"attribute": f"x-{alias}", "operator": operator}]}
        found = [record["id"] for record in shop.post("/search", criteria).json["items"]]
        assert found == (["ent-1"] if finds else [])


@each_value
def test_export(shop, alias, value, is_empty):
    assert make(shop, "ent-1", alias, value) == 201
    query = {"schemaId": "schema-thing", "format": "csv"}
    (row,) = csv.DictReader(shop.get("/export", query_string=query).get_data(as_text=True).splitlines(keepends=True))
    assert (row[f"x-{alias}"] == "") is is_empty
    (row,) = shop.get("/export", query_string={**query, "format": "json"}).json
    assert row[f"x-{alias}"] == value


def imported(caller, row):
    """Import a row, mapped as it is, and answer how many records it made and changed, and what was wrong."""
    body = {"schemaId": "schema-thing", "rows": [row], "columnMapping": {name: name for name in row}}
    answer = caller.post("/import/execute", body).json
    return answer["created"], answer["updated"], [error["message"] for error in answer["errors"]]


@each_value
def test_import(shop, alias, value, is_empty):
    name = f"x-{alias}"
    assert make(shop, "ent-1", alias, value) == 201
    query = {"schemaId": "schema-thing", "format": "csv"}
    (cells,) = csv.DictReader(shop.get("/export", query_string=query).get_data(as_text=True).splitlines(keepends=True))
    for number, cell in enumerate((cells[name], value)):
        assert shop.delete(f"/records/ent-{number + 1}").status_code == 204
        record = {"id": f"ent-{number + 2}", "schemaId": "schema-thing", "values": {}}
        assert shop.post("/records", record).status_code == 201
        assert imported(shop, {"_id": record["id"], name: cell}) == (0, 1, [])
        became = shop.get(f"/records/{record['id']}").json["values"]
        assert became == ({} if is_empty else {name: [{"scope": {}, "value": value}]})


@each("cell", [None, "", [], {}])
@each("alias", ATTRIBUTES)
def test_an_empty_cell_of_any_kind_sets_nothing_and_is_missing_where_a_value_is_required(shop, alias, cell):
    created, _, problems = imported(shop, {f"x-{alias}": cell})
    assert created == 0
    (problem,) = problems
    assert f"x-{alias}: Attribute 'x-{alias}' expects a value, got " in problem


def test_what_is_not_there_is_empty_too(shop):
    assert shop.post("/records", {"id": "ent-1", "schemaId": "schema-thing", "values": {}}).status_code == 201
    assert shop.get("/records/ent-1/completeness").json["missing"] == [f"x-{alias}" for alias in ATTRIBUTES]
    criteria = {"schemaId": "schema-thing", "criteria": [{"attribute": "x-text", "operator": "isEmpty"}]}
    assert shop.post("/search", criteria).json["total"] == 1
    assert shop.get("/export", query_string={"schemaId": "schema-thing"}).json == [
        {"_id": "ent-1", **{f"x-{alias}": None for alias in ATTRIBUTES}}
    ]


def test_null_removes_a_value_and_is_none_itself(shop, error):
    assert make(shop, "ent-1", "text", "a") == 201
    body = {"schemaId": "schema-thing", "values": {"x-text": [{"scope": {}, "value": None}]}}
    assert error(shop.post("/records", body), 400).endswith("Attribute 'x-text' expects type 'text', got 'null'")
    assert shop.patch("/records/ent-1/values/x-text", {"value": None}).json["values"] == {}


# Derived figures: what is not there any more counts as missing


@pytest.fixture
def gated(admin):
    """The administrator, beside a workflow whose one transition asks for all that its first state does."""
    fields = {
        "hue": {"type": "option", "optionListId": "ol-hues"},
        "hues": {"type": "option", "optionListId": "ol-hues", "multiple": True},
        "like": {"type": "relation"},
        "likes": {"type": "relation", "multiple": True},
        "fit": {"type": "text", "dimensionIds": ["dim-market"]},
    }
    states = [
        {"id": "st-1", "name": "One", "required": list(fields)},
        {"id": "st-2", "name": "Two", "required": ["hue", "fit"]},
    ]
    way = {"id": "tr-1", "fromStateId": "st-1", "toStateId": "st-2", "requiresCompleteness": 100}
    options = [{"id": f"val-{name}", "alias": name, "label": name} for name in ("old", "new")]
    workflow = {"id": "wf-g", "alias": "g", "name": "G", "defaultStateId": "st-1", "states": states, "transitions": [way]}
    group = {"id": "g", "name": "All", "attributeIds": [f"attr-{alias}" for alias in fields]}
    schema = {"id": "schema-g", "alias": "g", "name": "G", "variantEnabled": False, "workflowId": "wf-g"}
    for path, body in (
        ("/option-lists", {"id": "ol-hues", "alias": "hues", "name": "H", "values": options}),
        *(("/attributes", {"id": f"attr-{alias}", "alias": alias, "name": alias, **more}) for alias, more in fields.items()),
        ("/workflows", workflow),
        ("/schemas", {**schema, "attributeGroups": [group]}),
        *(("/records", {"id": f"ent-{name}", "schemaId": "schema-g", "values": {}}) for name in ("old", "new")),
    ):
        answer = admin.post(path, body)
        assert answer.status_code == 201, answer.json
    return admin


NORWAY = {"dim-market": "seg-no"}
WHOLE = {
    "hue": [{"scope": {}, "value": "old"}],
    "hues": [{"scope": {}, "value": ["val-old"]}],
    "like": [{"scope": {}, "value": "ent-old"}],
    "likes": [{"scope": {}, "value": ["ent-old"]}],
    "fit": [{"scope": NORWAY, "value": "wide"}],
}


def delete_option(caller):
    return caller.delete("/option-lists/ol-hues/values/val-old")


def delete_target(caller):
    return caller.delete("/records/ent-old")


def delete_segment(caller):
    dimension = caller.get("/dimensions/dim-market").json
    segments = [segment for segment in dimension["segments"] if segment["id"] != "seg-no"]
    return caller.put("/dimensions/dim-market", {**dimension, "segments": segments})


@each(
    ("delete", "missing", "score", "later"),
    [
        (delete_option, ["hue", "hues"], 60, 50),
        (delete_target, ["like", "likes"], 60, 100),
        (delete_segment, ["fit"], 80, 50),
    ],
)
def test_what_does_not_exist_any_more_is_missing_and_gates_follow(gated, error, delete, missing, score, later):
    assert gated.post("/records", {"id": "ent-1", "schemaId": "schema-g", "values": WHOLE}).status_code == 201
    assert gated.get("/records/ent-1/completeness").json["score"] == 100
    assert [way["id"] for way in gated.get("/records/ent-1/transitions").json] == ["tr-1"]
    assert delete(gated).status_code in (200, 204)
    report, before = gated.get("/records/ent-1/completeness").json, gated.get("/records/ent-1").data
    assert (report["missing"], report["score"]) == (missing, score)
    assert report["filled"] == [alias for alias in WHOLE if alias not in missing]
    assert [state["score"] for state in report["states"]] == [score, later]
    assert gated.get("/records/ent-1/transitions").json == []
    message = error(gated.post("/records/ent-1/transition", {"toStateId": "st-2"}), 422)
    assert message.endswith(f"needs completeness 100, but it is {score}; missing: {', '.join(missing)}")
    assert gated.get("/records/ent-1").data == before


@each("delete", [delete_option, delete_target, delete_segment])
def test_of_several_one_that_exists_is_enough(gated, delete):
    more = {"hues": ["old", "new"], "likes": ["ent-old", "ent-new"]}
    values = {**WHOLE, **{alias: [{"scope": {}, "value": value}] for alias, value in more.items()}}
    values |= {"fit": [*WHOLE["fit"], {"scope": {}, "value": "wide"}], "hue": [{"scope": {}, "value": "new"}]}
    values["like"] = [{"scope": {}, "value": "ent-new"}]
    assert gated.post("/records", {"id": "ent-1", "schemaId": "schema-g", "values": values}).status_code == 201
    assert delete(gated).status_code in (200, 204)
    assert gated.get("/records/ent-1/completeness").json["missing"] == []
    assert gated.post("/records/ent-1/transition", {"toStateId": "st-2"}).status_code == 200


def test_a_target_that_is_made_again_counts_again(gated):
    assert gated.post("/records", {"id": "ent-1", "schemaId": "schema-g", "values": WHOLE}).status_code == 201
    delete_target(gated)
    assert gated.get("/records/ent-1/completeness").json["missing"] == ["like", "likes"]
    assert gated.post("/records", {"id": "ent-old", "schemaId": "schema-g", "values": {}}).status_code == 201
    assert gated.get("/records/ent-1/completeness").json["missing"] == []


def test_a_record_of_another_workspace_is_no_target(gated, stranger):
    assert gated.post("/records", {"id": "ent-1", "schemaId": "schema-g", "values": WHOLE}).status_code == 201
    delete_target(gated)
    schema = {"id": "schema-x", "alias": "x", "name": "X", "variantEnabled": False}
    assert stranger.post("/schemas", schema).status_code == 201
    assert stranger.post("/records", {"id": "ent-old", "schemaId": "schema-x", "values": {}}).status_code == 201
    assert gated.get("/records/ent-1/completeness").json["missing"] == ["like", "likes"]


def test_many_targets_that_are_gone_are_looked_up_without_delay(gated):
    values = {**WHOLE, "likes": [{"scope": {}, "value": ["ent-old"] * 50_000}]}
    assert gated.post("/records", {"id": "ent-1", "schemaId": "schema-g", "values": values}).status_code == 201
    delete_target(gated)
    started = time.thread_time()
    assert gated.get("/records/ent-1/completeness").json["missing"] == ["like", "likes"]
    assert time.thread_time() - started < 1
