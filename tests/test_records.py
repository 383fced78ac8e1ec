"""Records: the list with its pages and filters, creating, reading, replacing values, setting one, deleting, the limit."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from cases import each

from sigma import database

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
NOBODY = "ent-nobody"


def everywhere(value):
    """The scoped values of an attribute that has one value for all scopes."""
    return [{"scope": {}, "value": value}]


def without_times(record):
    """Check the form of a record's timestamps, and answer the record without them."""
    assert TIME.fullmatch(record["createdAt"])
    assert TIME.fullmatch(record["updatedAt"])
    assert record["createdAt"] <= record["updatedAt"]
    return {name: value for name, value in record.items() if name not in ("createdAt", "updatedAt")}


def ids(answer):
    assert answer.status_code == 200, answer.json
    return [item["id"] for item in answer.json["items"]]


def add_tools(admin):
    """Add two schemas that share the attributes `title`, `weight` and `note`: one with a workflow, one without."""
    for alias, kind in (("title", "text"), ("weight", "number"), ("note", "text")):
        dimensions = ["dim-language"] if alias == "note" else []
        attribute = {"id": f"attr-{alias}", "alias": alias, "name": alias, "type": kind, "dimensionIds": dimensions}
        assert admin.post("/attributes", attribute).status_code == 201
    states = [{"id": "state-new", "name": "New"}, {"id": "state-old", "name": "Old"}]
    ways = [{"id": "tr-age", "fromStateId": "state-new", "toStateId": "state-old"}]
    workflow = {"id": "wf-tool", "alias": "tool", "name": "Tool", "defaultStateId": "state-new"}
    assert admin.post("/workflows", {**workflow, "states": states, "transitions": ways}).status_code == 201
    groups = [{"id": "grp-tool", "name": "All", "sortOrder": 0, "attributeIds": ["attr-title", "attr-weight", "attr-note"]}]
    for alias, more in (("tool", {"workflowId": "wf-tool"}), ("loose", {})):
        schema = {"id": f"schema-{alias}", "alias": alias, "name": alias, "variantEnabled": True, "attributeGroups": groups}
        assert admin.post("/schemas", {**schema, **more}).status_code == 201


@pytest.fixture(scope="module")
def initial_database(prepare):
    return prepare(add_tools)


@pytest.fixture
def make(admin):
    """Create a record, by the administrator unless told otherwise."""

    def make(id=None, schema="schema-tool", by=admin, **values):
        body = {"schemaId": schema, "values": {alias: everywhere(value) for alias, value in values.items()}}
        answer = by.post("/records", {**body, **({"id": id} if id else {})})
        assert answer.status_code == 201, answer.json
        return answer.json

    return make


# Lists


def test_a_workspace_without_records_lists_none(stranger):
    answer = stranger.get("/records")
    assert answer.status_code == 200
    assert list(answer.json.items()) == [("items", []), ("total", 0), ("offset", 0), ("limit", 50)]


def test_the_list_holds_whole_records_oldest_first(admin, make):
    one, two = make("ent-z", title="Saw"), make("ent-a", weight=2)
    answer = admin.get("/records?schemaId=schema-tool")
    assert answer.json == {"items": [one, two], "total": 2, "offset": 0, "limit": 50}


def test_a_change_does_not_move_a_record_in_the_list(admin, make):
    for id in ("ent-1", "ent-2", "ent-3"):
        make(id)
    assert admin.put("/records/ent-1", {"values": {"title": everywhere("Hammer")}}).status_code == 200
    assert admin.post("/records/ent-2/transition", {"toStateId": "state-old"}).status_code == 200
    assert ids(admin.get("/records?schemaId=schema-tool")) == ["ent-1", "ent-2", "ent-3"]


@each(
    "query, expected, offset, limit",
    [
        pytest.param("", [0, 1, 2, 3, 4], 0, 50, id="no bounds"),
        pytest.param("limit=2", [0, 1], 0, 2, id="first page"),
        pytest.param("limit=2&offset=2", [2, 3], 2, 2, id="middle page"),
        pytest.param("limit=2&offset=4", [4], 4, 2, id="last page"),
        pytest.param("offset=5", [], 5, 50, id="just past the end"),
        pytest.param("offset=1000000", [], 1000000, 50, id="far past the end"),
        pytest.param("limit=1", [0], 0, 1, id="least limit"),
        pytest.param("limit=1000&offset=0", [0, 1, 2, 3, 4], 0, 1000, id="greatest limit"),
    ],
)
def test_pages_of_the_list(admin, make, query, expected, offset, limit):
    made = [make(f"ent-{number}") for number in range(5)]
    answer = admin.get(f"/records?schemaId=schema-tool&{query}")
    assert answer.json == {"items": [made[index] for index in expected], "total": 5, "offset": offset, "limit": limit}


def test_a_page_holds_fifty_records_unless_told_otherwise(admin, make):
    made = [make(f"ent-{number}", title=f"Tool {number}")["id"] for number in range(53)]
    first, second = admin.get("/records?schemaId=schema-tool"), admin.get("/records?schemaId=schema-tool&offset=50")
    assert (ids(first), first.json["total"], first.json["limit"]) == (made[:50], 53, 50)
    assert (ids(second), second.json["total"], second.json["offset"]) == (made[50:], 53, 50)


@each(
    "name, text",
    [
        ("limit", "0"),
        ("limit", "1001"),
        ("limit", "-1"),
        ("limit", "1.5"),
        ("limit", "ten"),
        ("limit", ""),
        ("limit", "1e2"),
        ("offset", "-1"),
        ("offset", "0.5"),
        ("offset", "first"),
        ("offset", ""),
        ("offset", "9" * 400),
        ("offset", "%00"),
    ],
)
def test_page_bounds_that_are_no_fitting_numbers_are_refused(admin, error, name, text):
    for path in ("/records", "/variants", "/records/ent-coastal-wb/audit-log"):
        assert error(admin.get(f"{path}?{name}={text}"), 400).startswith(f"{name}: ")


DRAFTS = [
    *("ent-coastal-wb", "ent-meadow-light-jacket", "ent-half-zip-midlayer", "ent-breton-long-sleeve", "ent-running-tights"),
    *("ent-wool-midi-skirt", "ent-linen-wrap-dress", "ent-leather-belt", "ent-packable-backpack"),
]


@each(
    "query, expected",
    [
        pytest.param("schemaId=schema-tool", ["ent-1", "ent-2"], id="schema"),
        pytest.param("schemaId=schema-loose", ["ent-3"], id="schema without workflow"),
        pytest.param("lifecycleStateId=state-new", ["ent-1"], id="state"),
        pytest.param("lifecycleStateId=state-old", ["ent-2"], id="state moved to"),
        pytest.param("lifecycleStateId=state-draft", DRAFTS, id="state of another schema"),
        pytest.param("schemaId=schema-tool&lifecycleStateId=state-old", ["ent-2"], id="both"),
        pytest.param("schemaId=schema-tool&lifecycleStateId=state-draft", [], id="both, but none has both"),
        pytest.param("schemaId=schema-none", [], id="unknown schema"),
        pytest.param("lifecycleStateId=state-none", [], id="unknown state"),
        pytest.param("schemaId=schema%2Dtool%00", [], id="NUL"),
        pytest.param("schemaId=SCHEMA-TOOL", [], id="other case"),
        pytest.param("schemaId=%25", [], id="wildcard"),
        pytest.param("schemaId=", [], id="empty schema"),
        pytest.param("lifecycleStateId=", [], id="empty state"),
    ],
)
def test_filters_pick_what_matches_and_count_it(admin, make, query, expected):
    make("ent-1")
    make("ent-2")
    make("ent-3", schema="schema-loose")
    assert admin.post("/records/ent-2/transition", {"toStateId": "state-old"}).status_code == 200
    answer = admin.get(f"/records?{query}")
    assert ids(answer) == expected
    assert answer.json["total"] == len(expected)


@each("name", ["schemaId", "lifecycleStateId"])
def test_the_total_under_an_empty_filter_is_that_of_its_items(admin, make, name):
    make("ent-1", schema="schema-loose")
    answer = admin.get(f"/records?{name}=")
    assert len(ids(answer)) == answer.json["total"]


def test_filters_never_reach_into_another_workspace(stranger, make):
    make("ent-1")
    for query in ("schemaId=schema-tool", "lifecycleStateId=state-new", ""):
        assert stranger.get(f"/records?{query}").json == {"items": [], "total": 0, "offset": 0, "limit": 50}


def test_totals_follow_creating_moving_and_deleting(admin, make):
    def totals():
        queries = ("schemaId=schema-tool", "lifecycleStateId=state-new", "lifecycleStateId=state-old")
        return [admin.get(f"/records?{query}&limit=1").json["total"] for query in queries]

    make("ent-1")
    make("ent-2")
    assert totals() == [2, 2, 0]
    admin.post("/records/ent-2/transition", {"toStateId": "state-old"})
    assert totals() == [2, 1, 1]
    assert admin.delete("/records/ent-2").status_code == 204
    assert totals() == [1, 1, 0]


# Create


def test_a_record_is_answered_whole_and_begins_in_the_default_state(admin):
    values = {"title": everywhere("Saw"), "note": [{"scope": {"dim-language": "seg-da"}, "value": "Sav"}]}
    answer = admin.post("/records", {"id": "ent-saw", "schemaId": "schema-tool", "values": values})
    assert answer.status_code == 201
    order = ["id", "schemaId", "lifecycleStateId", "createdAt", "updatedAt", "createdBy", "updatedBy", "values"]
    assert list(answer.json) == list(admin.get("/records/ent-saw").json) == order
    assert without_times(answer.json) == {
        "id": "ent-saw",
        "schemaId": "schema-tool",
        "lifecycleStateId": "state-new",
        "createdBy": "user-admin",
        "updatedBy": "user-admin",
        "values": values,
    }
    assert answer.json["createdAt"] == answer.json["updatedAt"]


def test_a_record_of_a_schema_without_workflow_has_no_state(make):
    assert make(schema="schema-loose")["lifecycleStateId"] is None


def test_ids_are_made_for_records_that_come_without(admin, make):
    made = [
        make()["id"],
        make()["id"],
        admin.post("/records", {"id": None, "schemaId": "schema-tool", "values": {}}).json["id"],
    ]
    assert len(set(made)) == 3
    for id in made:
        assert re.fullmatch(r"ent-[A-Za-z0-9]{8,}", id)
        assert admin.get(f"/records/{id}").json["id"] == id


def test_a_scope_that_is_left_out_is_everywhere(admin):
    answer = admin.post("/records", {"schemaId": "schema-tool", "values": {"title": [{"value": "Saw"}]}})
    assert answer.json["values"] == {"title": everywhere("Saw")}


def test_an_attribute_without_values_is_not_kept(admin):
    values = {"title": [], "weight": everywhere(1)}
    assert admin.post("/records", {"schemaId": "schema-tool", "values": values}).json["values"] == {"weight": everywhere(1)}


def test_who_made_and_changed_a_record_is_the_user_or_the_key(admin, editor, key, make):
    record = make(by=key)
    assert (record["createdBy"], record["updatedBy"]) == (key.id, key.id)
    changed = editor.put(f"/records/{record['id']}", {"values": {"title": everywhere("Saw")}}).json
    assert (changed["createdBy"], changed["updatedBy"]) == (key.id, "user-editor")
    patched = admin.patch(f"/records/{record['id']}/values/title", {"value": "Axe"}).json
    assert (patched["createdBy"], patched["updatedBy"]) == (key.id, "user-admin")
    moved = key.post(f"/records/{record['id']}/transition", {"toStateId": "state-old"}).json
    assert (moved["createdBy"], moved["updatedBy"]) == (key.id, key.id)


def test_timestamps_are_now_and_only_the_second_moves(admin, make):
    record = make("ent-saw")
    made = datetime.fromisoformat(record["createdAt"])
    assert abs(datetime.now(UTC) - made) < timedelta(minutes=1)
    while datetime.now(UTC) - made < timedelta(milliseconds=2):  # until the clock of the service, in milliseconds, has moved
        pass
    changed = admin.put("/records/ent-saw", {"values": {"title": everywhere("Saw")}}).json
    assert changed["createdAt"] == record["createdAt"]
    assert TIME.fullmatch(changed["updatedAt"])
    assert changed["updatedAt"] > record["updatedAt"]


@each(
    "change, path",
    [
        pytest.param({"schemaId": None}, "schemaId", id="null schema"),
        pytest.param({"schemaId": 5}, "schemaId", id="schema is a number"),
        pytest.param({"schemaId": "schema-none"}, "schemaId", id="unknown schema"),
        pytest.param({"schemaId": "schema-\0"}, "schemaId", id="schema with NUL"),
        pytest.param({"schemaId": "wf-tool"}, "schemaId", id="another kind of id"),
        pytest.param({"values": None}, "values", id="null values"),
        pytest.param({"values": []}, "values", id="values are an array"),
        pytest.param({"values": "x"}, "values", id="values are a string"),
        pytest.param({"id": ""}, "id", id="empty id"),
        pytest.param({"id": 7}, "id", id="id is a number"),
        pytest.param({"id": "a/b"}, "id", id="id that cannot stand in a path"),
        pytest.param({"id": "a\n"}, "id", id="id with a line end"),
        pytest.param({"colour": "red"}, "colour", id="unknown member"),
        pytest.param({"lifecycleStateId": "state-old"}, "lifecycleStateId", id="state"),
        pytest.param({"createdBy": "user-editor"}, "createdBy", id="creator"),
        pytest.param({"values": {"length": everywhere(1)}}, "values.length", id="unknown alias"),
    ],
)
def test_a_record_that_cannot_be_made_is_refused_by_the_name_of_the_field(admin, error, change, path):
    before = admin.get("/records").json
    body = {"schemaId": "schema-tool", "values": {}, **change}
    assert error(admin.post("/records", body), 400).startswith(f"{path}: ")
    assert admin.get("/records").json == before


@each("left_out", ["schemaId", "values"])
def test_what_a_record_needs_cannot_be_left_out(admin, error, left_out):
    body = {"schemaId": "schema-tool", "values": {}}
    del body[left_out]
    assert error(admin.post("/records", body), 400).startswith(f"{left_out}: ")


@each(
    "method, path",
    [
        ("POST", "/records"),
        ("PUT", "/records/ent-coastal-wb"),
        ("PATCH", "/records/ent-coastal-wb/values/size"),
        ("POST", "/records/ent-coastal-wb/transition"),
        ("POST", "/records/ent-coastal-wb/variants"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(admin, error, method, path):
    before = admin.get("/records").json
    for text in ("[]", "null", '"x"', "7", "{", "{}x", "", "{'a': 1}"):
        error(admin.request(method, path, data=text, content_type="application/json"), 400)
    assert admin.get("/records").json == before


def test_another_workspaces_schema_is_an_unknown_one(stranger, error):
    message = error(stranger.post("/records", {"schemaId": "schema-tool", "values": {}}), 400)
    nowhere = error(stranger.post("/records", {"schemaId": "schema-mine", "values": {}}), 400)
    assert message == nowhere.replace("schema-mine", "schema-tool")
    assert stranger.get("/records").json["total"] == 0


def test_an_id_that_is_taken_is_a_conflict_and_changes_nothing(admin, make, error):
    record = make("ent-saw", title="Saw")
    body = {"id": "ent-saw", "schemaId": "schema-loose", "values": {"title": everywhere("Other")}}
    assert "ent-saw" in error(admin.post("/records", body), 409)
    assert admin.get("/records/ent-saw").json == record
    assert admin.get("/records?schemaId=schema-loose").json["total"] == 0


def test_a_variants_id_is_taken_for_records_and_a_records_for_variants(admin, make, error):
    make("ent-saw")
    assert admin.post("/records/ent-saw/variants", {"id": "var-saw", "values": {}}).status_code == 201
    error(admin.post("/records", {"id": "var-saw", "schemaId": "schema-tool", "values": {}}), 409)
    error(admin.post("/records/ent-saw/variants", {"id": "ent-saw", "values": {}}), 409)
    assert [variant["id"] for variant in admin.get("/records/ent-saw/variants").json] == ["var-saw"]


def test_the_same_id_may_be_used_in_two_workspaces(admin, stranger, make):
    make("ent-saw", title="Ours")
    assert stranger.post("/schemas", {"id": "s", "alias": "s", "name": "S", "variantEnabled": False}).status_code == 201
    assert stranger.post("/records", {"id": "ent-saw", "schemaId": "s", "values": {}}).status_code == 201
    assert stranger.get("/records/ent-saw").json["values"] == {}
    assert admin.get("/records/ent-saw").json["values"] == {"title": everywhere("Ours")}


def test_an_id_is_free_again_when_its_record_is_gone(admin, make):
    make("ent-saw", title="Old")
    assert admin.delete("/records/ent-saw").status_code == 204
    assert make("ent-saw", weight=1)["values"] == {"weight": everywhere(1)}


# Read


def test_every_way_to_read_a_record_gives_the_same_text(admin, make):
    values = {"weight": everywhere(1.0), "title": everywhere('Sæw \u2028 \\ / " <b>')}
    created = admin.post("/records", {"id": "ent-saw", "schemaId": "schema-tool", "values": values}).get_data(as_text=True)
    created = created.strip()
    assert '"value":1.0' in created.replace(" ", "")
    assert admin.get("/records/ent-saw").get_data(as_text=True).strip() == created
    assert created in admin.get("/records?schemaId=schema-tool").get_data(as_text=True)


LETTERS = "Ωμέγα Sæw 日本語 🎒 \u2028"


def test_every_list_gives_any_letters_as_they_were_sent(admin):
    value = {"scope": {}, "value": LETTERS}
    assert admin.put("/records/ent-coastal-wb", {"values": {"description": [value]}}).status_code == 200
    assert admin.put("/records/ent-coastal-wb/variants/var-cw-s", {"values": {"description": [value]}}).status_code == 200
    category = {"alias": "men-windbreakers", "name": LETTERS, "parentId": "cat-men"}
    assert admin.put("/categories/cat-men-windbreakers", category).status_code == 200
    attribute = {**admin.get("/attributes/attr-material").json, "name": LETTERS}
    assert admin.put("/attributes/attr-material", attribute).status_code == 200
    record, variant = "/records/ent-coastal-wb", "/records/ent-coastal-wb/variants/var-cw-s"
    for path, one in {
        "/records": record,
        "/categories/cat-men-windbreakers/entities": record,
        "/variants": variant,
        f"{record}/variants": variant,
        f"{record}/categories": "/categories/cat-men-windbreakers",
        "/attributes": "/attributes/attr-material",
        "/schemas/schema-apparel/attributes": "/attributes/attr-material",
    }.items():
        text = admin.get(one).get_data().strip()
        assert LETTERS.encode() in text
        assert text in admin.get(path).get_data(), path
    assert admin.get(f"{record}/audit-log").get_data().count(LETTERS.encode()) == 2


@each("write", ["put", "patch", "transition"])
def test_what_a_write_answers_is_what_is_read_afterwards(admin, make, write):
    make("ent-saw", title="Saw")
    answer = {
        "put": lambda: admin.put("/records/ent-saw", {"values": {"weight": everywhere(2.50)}}),
        "patch": lambda: admin.patch("/records/ent-saw/values/weight", {"value": 10**30}),
        "transition": lambda: admin.post("/records/ent-saw/transition", {"toStateId": "state-old"}),
    }[write]()
    assert answer.status_code == 200
    assert admin.get("/records/ent-saw").get_data(as_text=True) == answer.get_data(as_text=True)


@each(
    "method, path, body",
    [
        ("GET", "", None),
        ("PUT", "", {"values": {}}),
        ("PATCH", "/values/title", {"value": "x"}),
        ("DELETE", "", None),
        ("POST", "/transition", {"toStateId": "state-old"}),
        ("GET", "/transitions", None),
        ("GET", "/completeness", None),
        ("GET", "/audit-log", None),
        ("GET", "/categories", None),
        ("GET", "/variants", None),
        ("POST", "/variants", {"values": {}}),
    ],
)
def test_a_record_that_does_not_exist_is_not_found(admin, stranger, make, error, method, path, body):
    record = make("ent-saw")
    message = error(admin.request(method, f"/records/{NOBODY}{path}", json=body), 404)
    assert "record" in message.lower()
    assert NOBODY in message
    assert error(stranger.request(method, f"/records/ent-saw{path}", json=body), 404) == message.replace(NOBODY, "ent-saw")
    assert admin.get("/records/ent-saw").json == record


# Replace the values of attributes


def test_put_replaces_the_attributes_it_lists_and_leaves_the_others(admin, make):
    danish, swedish = ({"scope": {"dim-language": segment}, "value": segment} for segment in ("seg-da", "seg-sv"))
    before = make("ent-saw", title="Saw", weight=1, note="English")
    answer = admin.put("/records/ent-saw", {"values": {"note": [danish, swedish], "title": everywhere("Axe")}})
    assert answer.status_code == 200
    values = {"title": everywhere("Axe"), "weight": everywhere(1), "note": [danish, swedish]}
    assert without_times(answer.json) == {**without_times(before), "values": values}
    assert admin.get("/records/ent-saw").json == answer.json


def test_put_of_an_empty_array_clears_an_attribute(admin, make):
    make("ent-saw", title="Saw", weight=1)
    answer = admin.put("/records/ent-saw", {"values": {"title": []}})
    assert answer.json["values"] == {"weight": everywhere(1)}
    assert admin.put("/records/ent-saw", {"values": {"title": [], "weight": []}}).json["values"] == {}


def test_put_of_nothing_leaves_all_values(admin, make):
    record = make("ent-saw", title="Saw", weight=1)
    assert admin.put("/records/ent-saw", {"values": {}}).json["values"] == record["values"]


@each(
    "body, path",
    [
        pytest.param({}, "values", id="nothing"),
        pytest.param({"values": None}, "values", id="null"),
        pytest.param({"values": [1]}, "values", id="array"),
        pytest.param({"values": {}, "schemaId": "schema-loose"}, "schemaId", id="schema"),
        pytest.param({"values": {}, "id": "ent-other"}, "id", id="id"),
        pytest.param({"values": {"title": everywhere("Axe"), "length": everywhere(1)}}, "values.length", id="alias"),
        pytest.param({"values": {"title": everywhere("Axe"), "weight": everywhere("1")}}, "values.weight[0].value", id="type"),
    ],
)
def test_a_put_that_is_refused_changes_nothing(admin, make, error, body, path):
    record = make("ent-saw", title="Saw", weight=1)
    assert error(admin.put("/records/ent-saw", body), 400).startswith(f"{path}: ")
    assert admin.get("/records/ent-saw").json == record


# Set one value


def test_patch_sets_one_scope_and_leaves_the_others(admin, make):
    scope = {"dim-language": "seg-da"}
    make("ent-saw", title="Saw", note="English")
    added = admin.patch("/records/ent-saw/values/note", {"value": "Dansk", "scope": scope})
    assert added.status_code == 200
    both = [{"scope": {}, "value": "English"}, {"scope": scope, "value": "Dansk"}]
    assert added.json["values"] == {"title": everywhere("Saw"), "note": both}
    changed = admin.patch("/records/ent-saw/values/note", {"value": "British"})
    assert changed.json["values"]["note"] == [{"scope": {}, "value": "British"}, {"scope": scope, "value": "Dansk"}]
    assert admin.get("/records/ent-saw").json == changed.json


def test_patch_with_null_removes_one_scoped_value(admin, make):
    scope = {"dim-language": "seg-da"}
    make("ent-saw", title="Saw", note="English")
    admin.patch("/records/ent-saw/values/note", {"value": "Dansk", "scope": scope})
    answer = admin.patch("/records/ent-saw/values/note", {"value": None})
    assert answer.json["values"] == {"title": everywhere("Saw"), "note": [{"scope": scope, "value": "Dansk"}]}
    last = admin.patch("/records/ent-saw/values/note", {"value": None, "scope": scope})
    assert last.json["values"] == {"title": everywhere("Saw")}


def test_patch_with_null_of_a_value_that_is_not_there_leaves_the_values(admin, make):
    record = make("ent-saw", title="Saw")
    answer = admin.patch("/records/ent-saw/values/note", {"value": None, "scope": {"dim-language": "seg-da"}})
    assert answer.status_code == 200
    assert answer.json["values"] == record["values"]


@each(
    "body, path",
    [
        pytest.param({}, "value", id="nothing"),
        pytest.param({"scope": {}}, "value", id="no value"),
        pytest.param({"value": "x", "scope": None}, "scope", id="null scope"),
        pytest.param({"value": "x", "scope": []}, "scope", id="scope is an array"),
        pytest.param({"value": "x", "scope": {"dim-language": 1}}, "scope.dim-language", id="segment is a number"),
        pytest.param({"value": "x", "scope": {"dim-language": "seg-fi"}}, "scope.dim-language", id="unknown segment"),
        pytest.param({"value": "x", "scope": {"dim-market": "seg-dk"}}, "scope", id="dimension it does not have"),
        pytest.param({"value": 1}, "value", id="wrong type"),
        pytest.param({"value": "x", "attribute": "title"}, "attribute", id="unknown member"),
    ],
)
def test_a_patch_that_is_refused_changes_nothing(admin, make, error, body, path):
    record = make("ent-saw", title="Saw", note="English")
    assert error(admin.patch("/records/ent-saw/values/note", body), 400).startswith(f"{path}: ")
    assert admin.get("/records/ent-saw").json == record


@each("alias", ["length", "attr-title", "price", "%00"])
def test_patch_of_an_attribute_that_the_schema_does_not_have_is_not_found(admin, make, error, alias):
    record = make("ent-saw", title="Saw")
    message = error(admin.patch(f"/records/ent-saw/values/{alias}", {"value": "x"}), 404)
    assert alias.replace("%00", "\0") in message
    assert admin.get("/records/ent-saw").json == record


def test_changes_to_different_attributes_both_survive(admin, key, make):
    make("ent-saw", title="Saw", weight=1)
    admin.patch("/records/ent-saw/values/title", {"value": "Axe"})
    key.patch("/records/ent-saw/values/weight", {"value": 2})
    admin.put("/records/ent-saw", {"values": {"note": everywhere("Sharp")}})
    values = admin.get("/records/ent-saw").json["values"]
    assert values == {"title": everywhere("Axe"), "weight": everywhere(2), "note": everywhere("Sharp")}


def test_changes_at_the_same_moment_all_survive(key, make):
    make("ent-saw")
    scopes = [{}, *({"dim-language": segment} for segment in ("seg-en", "seg-da", "seg-sv"))]
    bodies = [("note", {"value": f"Note {index}", "scope": scope}) for index, scope in enumerate(scopes)]
    bodies += [("title", {"value": "Saw"}), ("weight", {"value": 1})]

    def patch(change):
        try:
            return key.patch(f"/records/ent-saw/values/{change[0]}", change[1]).status_code
        finally:
            database.close_db()

    with ThreadPoolExecutor(len(bodies)) as pool:
        assert list(pool.map(patch, bodies)) == [200] * len(bodies)
    values = key.get("/records/ent-saw").json["values"]
    notes = {entry["value"]: entry["scope"] for entry in values.pop("note")}
    assert notes == {f"Note {index}": scope for index, scope in enumerate(scopes)}
    assert values == {"title": everywhere("Saw"), "weight": everywhere(1)}
    assert key.get("/records/ent-saw/audit-log").json["total"] == 1 + len(bodies)


# Delete


def test_a_deleted_record_is_gone_with_its_variants_and_assignments(admin, error):
    answer = admin.delete("/records/ent-coastal-wb")
    assert (answer.status_code, answer.data) == (204, b"")
    for path in ("", "/variants", "/variants/var-cw-s", "/variants/var-cw-s/resolved", "/categories", "/completeness"):
        error(admin.get(f"/records/ent-coastal-wb{path}"), 404)
    assert ids(admin.get("/records?limit=1")) == ["ent-trail-cap"]
    assert admin.get("/records").json["total"] == 46
    assert admin.get("/variants").json == {"items": [], "total": 0, "offset": 0, "limit": 50}
    assert ids(admin.get("/categories/cat-men-windbreakers/entities")) == ["ent-skagen-anorak"]
    assert ids(admin.get("/categories/cat-accessories/entities"))[0] == "ent-trail-cap"


def test_deleting_twice_is_not_found_the_second_time(admin, make, error):
    make("ent-saw")
    make("ent-axe")
    assert admin.delete("/records/ent-saw").status_code == 204
    assert "ent-saw" in error(admin.delete("/records/ent-saw"), 404)
    assert ids(admin.get("/records?schemaId=schema-tool")) == ["ent-axe"]


# The record limit


def test_the_record_beyond_the_limit_is_refused(app, admin, key, make, error):
    app.config["RECORD_LIMIT"] = 48  # 47 are the demo's
    make("ent-saw")
    body = {"id": "ent-axe", "schemaId": "schema-tool", "values": {"title": everywhere("Axe")}}
    for caller in (admin, key):
        error(caller.post("/records", body), 403, "LIMIT_EXCEEDED")
    assert ids(admin.get("/records?offset=46")) == ["ent-packable-backpack", "ent-saw"]
    error(admin.get("/records/ent-axe"), 404)


def test_below_the_limit_again_a_record_may_be_made(app, admin, make, error):
    make("ent-saw")
    app.config["RECORD_LIMIT"] = 48
    error(admin.post("/records", {"schemaId": "schema-tool", "values": {}}), 403, "LIMIT_EXCEEDED")
    assert admin.delete("/records/ent-saw").status_code == 204
    make("ent-axe")
    error(admin.post("/records", {"schemaId": "schema-tool", "values": {}}), 403, "LIMIT_EXCEEDED")


def test_the_limit_counts_records_of_one_workspace_and_no_variants(app, admin, stranger):
    app.config["RECORD_LIMIT"] = 2
    assert stranger.post("/schemas", {"id": "s", "alias": "s", "name": "S", "variantEnabled": False}).status_code == 201
    for expected in (201, 201, 403):
        assert stranger.post("/records", {"schemaId": "s", "values": {}}).status_code == expected
    assert admin.post("/records/ent-trail-cap/variants", {"values": {}}).status_code == 201


def test_the_limit_lets_records_that_are_there_change(app, admin, make):
    make("ent-saw")
    app.config["RECORD_LIMIT"] = 1
    assert admin.put("/records/ent-saw", {"values": {"title": everywhere("Saw")}}).status_code == 200
    assert admin.post("/records/ent-saw/transition", {"toStateId": "state-old"}).status_code == 200
