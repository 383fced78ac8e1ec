"""Import: what becomes of rows, that a preview says it beforehand and stores nothing, and what is refused as a whole.

The workspace is `ws-other`, which has nothing but what is made here.
"""

import io
import json
import sqlite3
import sys
import tracemalloc
from contextlib import closing

import pytest
from cases import each
from conftest import sql

from sigma import database
from sigma.http import errors
from sigma.resources import history, import_rows, imports, many_writes, value_checks

DANISH = {"dim-language": "seg-da"}
ATTRIBUTES = {
    "name": {"type": "text", "dimensionIds": ["dim-language"], "validation": {"required": True, "maxLength": 40}},
    "sku": {"type": "text", "validation": {"pattern": "^[A-Z]{2}-[0-9]+$"}},
    "price": {"type": "number", "validation": {"min": 0}},
    "ean": {"type": "number", "validation": {"unique": True}},
    "color": {"type": "option", "optionListId": "ol-colors"},
    "tags": {"type": "text", "multiple": True},
    "sold": {"type": "boolean"},
    "since": {"type": "datetime"},
    "like": {"type": "relation"},
    "care": {"type": "complex"},
}
MODEL = [
    ("/dimensions", {"id": "dim-language", "alias": "language", "name": "Language", "defaultSegmentId": "seg-en",
                     "segments": [{"id": f"seg-{name}", "alias": name, "name": name} for name in ("en", "da")]}),
    ("/option-lists", {"id": "ol-colors", "alias": "colors", "name": "Colors",
                       "values": [{"id": f"val-{name}", "alias": name, "label": name.title()} for name in ("red", "blue")]}),
    *(("/attributes", {"id": f"attr-{alias}", "alias": alias, "name": alias, **more}) for alias, more in ATTRIBUTES.items()),
    ("/workflows", {"id": "wf-thing", "alias": "thing", "name": "Thing", "defaultStateId": "new",
                    "states": [{"id": "new", "name": "New"}, {"id": "fixed", "name": "Fixed", "readOnly": ["sku"]}],
                    "transitions": [{"id": "fix", "fromStateId": "new", "toStateId": "fixed"}]}),
]  # fmt: skip
COLUMNS = {"Ref": "_id", "Name": "name", "SKU": "sku", **{alias.title(): alias for alias in ATTRIBUTES if alias != "sku"}}


def everywhere(value):
    """The scoped values of an attribute that has one value for all scopes."""
    return [{"scope": {}, "value": value}]


def make_schema(caller, name, attributes):
    """Make a schema with these attributes, made before, in the workflow that there is."""
    group = {"id": "grp", "name": "All", "sortOrder": 0, "attributeIds": attributes}
    schema = {"id": f"schema-{name}", "alias": name, "name": name, "workflowId": "wf-thing", "variantEnabled": True}
    assert caller.post("/schemas", {**schema, "attributeGroups": [group]}).status_code == 201


def add_schema(stranger):
    """Add the schema `schema-thing`, which has attributes of every type."""
    for path, body in MODEL:
        answer = stranger.post(path, body)
        assert answer.status_code == 201, answer.json
    make_schema(stranger, "thing", [f"attr-{alias}" for alias in ATTRIBUTES])


@pytest.fixture(scope="module")
def initial_database(prepare):
    return prepare(add_schema, "admin@other.example")


@pytest.fixture
def shop(stranger):
    """Return the administrator of the workspace with `schema-thing`."""
    return stranger


@pytest.fixture
def make(shop):
    """Create a record of `schema-thing`, named ent-<name>, with a name and these values for all scopes."""

    def make(name, schema="schema-thing", **values):
        entries = {alias: everywhere(value) for alias, value in {"name": name, **values}.items()}
        answer = shop.post("/records", {"id": f"ent-{name}", "schemaId": schema, "values": entries})
        assert answer.status_code == 201, answer.json
        return answer.json

    return make


def table(*rows, columns=None, schema="schema-thing"):
    """An import of these rows, whose columns are mapped as far as some row has them."""
    if columns is None:
        columns = {column: alias for column, alias in COLUMNS.items() if any(column in row for row in rows)}
    return {"schemaId": schema, "columnMapping": columns, "rows": list(rows)}


def preview(caller, *rows, **options):
    """What a preview says of each row: the action and the errors."""
    answer = caller.post("/import/preview", table(*rows, **options))
    assert answer.status_code == 200, answer.json
    assert list(answer.json) == ["totalRows", "validRows", "errorRows", "results"]
    results, wrong = answer.json["results"], sum(not result["valid"] for result in answer.json["results"])
    assert [answer.json[name] for name in ("totalRows", "validRows", "errorRows")] == [len(rows), len(rows) - wrong, wrong]
    for number, result in enumerate(results):
        assert (list(result), result["row"]) == (["row", "valid", "action", "errors"], number)
        assert result["valid"] == (result["errors"] == [])
    return [(result["action"], result["errors"]) for result in results]


def execute(caller, *rows, **options):
    """Import the rows, and answer how many were created and updated, and the errors by row."""
    answer = caller.post("/import/execute", table(*rows, **options))
    assert answer.status_code == 200, answer.json
    assert list(answer.json) == ["created", "updated", "errors"]
    assert answer.json["created"] + answer.json["updated"] + len(answer.json["errors"]) == len(rows)
    return answer.json["created"], answer.json["updated"], {error["row"]: error["message"] for error in answer.json["errors"]}


def both(caller, *rows, **options):
    """Preview the rows and then import them, check that the two say the same, and answer the errors by row."""
    said = preview(caller, *rows, **options)
    created, updated, wrong = execute(caller, *rows, **options)
    assert {row: "; ".join(problems) for row, (_, problems) in enumerate(said) if problems} == wrong
    good = [action for action, problems in said if not problems]
    assert (good.count("create"), good.count("update")) == (created, updated)
    return wrong


def refused(caller, error, status, body):
    """Check that both routes refuse a body alike, and answer the message."""
    answers = [caller.post(f"/import/{route}", body) for route in ("preview", "execute")]
    assert answers[0].json == answers[1].json
    return error(answers[0], status)


def contents(app):
    """All that the database holds, apart from when keys were last used."""
    with closing(sqlite3.connect(app.config["DATABASE"])) as db:
        return [line for line in db.iterdump() if not line.startswith('INSERT INTO "api_keys"')]


def things(caller):
    """The records of `schema-thing`."""
    return caller.get("/records?schemaId=schema-thing&limit=1000").json["items"]


def kept(caller, id):
    """The values of a record."""
    return caller.get(f"/records/{id}").json["values"]


# Rows that are good


def test_a_row_without_an_id_makes_a_record(shop):
    cells = {"Name": "Cap", "SKU": "TC-001", "Price": "19.50", "Ean": "0", "Color": "Red", "Tags": r"a|b\|c", "Sold": "FALSE"}
    cells |= {"Since": "2026-03-01", "Care": '{"wash": 30}', "Like": "", "Ref": ""}
    assert both(shop, cells) == {}
    (record,) = things(shop)
    assert record["lifecycleStateId"] == "new"
    assert (record["createdBy"], record["updatedBy"]) == (record["updatedBy"], shop.post("/auth/refresh").json["user"]["id"])
    assert record["values"] == {
        "name": everywhere("Cap"),
        "sku": everywhere("TC-001"),
        "price": everywhere(19.5),
        "ean": everywhere(0),
        "color": everywhere("val-red"),
        "tags": everywhere(["a", "b|c"]),
        "sold": everywhere(False),
        "since": everywhere("2026-03-01"),
        "care": everywhere({"wash": 30}),
    }


def test_a_row_with_an_id_changes_the_record_in_what_it_gives_and_no_other(shop, make):
    make("cap", price=5, tags=["a"])
    shop.patch("/records/ent-cap/values/name", {"scope": DANISH, "value": "Kasket"})
    assert both(shop, {"Ref": "ent-cap", "Name": "Hat", "Price": "", "Tags": None, "Sold": "1"}) == {}
    assert kept(shop, "ent-cap") == {
        "name": [*everywhere("Hat"), {"scope": DANISH, "value": "Kasket"}],
        "price": everywhere(5),
        "tags": everywhere(["a"]),
        "sold": everywhere(True),
    }


def test_a_value_that_counts_everywhere_is_added_to_those_of_other_scopes(shop, make):
    make("cap")
    danish = [{"scope": DANISH, "value": "Kasket"}]
    assert shop.put("/records/ent-cap", {"values": {"name": danish}}).status_code == 200
    assert both(shop, {"Ref": "ent-cap", "Name": "Hat"}) == {}
    assert kept(shop, "ent-cap") == {"name": [*danish, *everywhere("Hat")]}


def test_the_history_tells_of_an_import_as_of_any_write(shop, make, make_key):
    make("cap", price=5)
    importer = make_key("update-data", by=shop)
    assert execute(importer, {"Ref": "ent-cap", "Price": "6"}, {"Name": "New", "Price": "7"}) == (1, 1, {})
    new = things(shop)[1]
    assert (new["createdBy"], new["updatedBy"]) == (importer.id, importer.id)
    changed = shop.get("/records/ent-cap/audit-log").json["items"][0]
    made = shop.get(f"/records/{new['id']}/audit-log").json["items"]
    assert [changed[name] for name in ("action", "userId")] == ["update", importer.id]
    assert changed["changes"] == [{"attribute": "price", "scope": {}, "oldValue": 5, "newValue": 6}]
    assert [(entry["action"], entry["userId"], entry["timestamp"]) for entry in made] == [
        ("create", importer.id, new["createdAt"])
    ]
    assert [(change["attribute"], change["newValue"]) for change in made[0]["changes"]] == [("name", "New"), ("price", 7)]


def test_a_row_that_changes_nothing_leaves_no_trace(app, shop, make):
    make("cap", price=5, color="red", tags=["a|b"], sold=False)
    before = contents(app)
    row = {"Ref": "ent-cap", "Name": "cap", "Price": "5", "Color": "val-red", "Tags": r"a\|b", "Sold": "false"}
    assert both(shop, row, {"Ref": "ent-cap", "Color": "red", "Tags": ["a|b"], "Sold": False}, {"Ref": "ent-cap"}) == {}
    assert contents(app) == before


def test_json_values_of_the_attributes_types_are_taken_as_well(shop):
    row = {"Name": "Cap", "Price": 0, "Color": "blue", "Tags": ["a", "b"], "Sold": True, "Care": {"wash": [30]}, "Ean": None}
    assert both(shop, row) == {}
    values = {alias: entries[0]["value"] for alias, entries in things(shop)[0]["values"].items()}
    assert values == {"name": "Cap", "price": 0, "color": "val-blue", "tags": ["a", "b"], "sold": True, "care": {"wash": [30]}}


def test_a_text_is_stored_as_it_is_whatever_it_has_in_it(shop):
    names = ['"', "\\", "\\u0041", "\0", "\n\t", "{}[],", "null", "ø", "\U0001f9e2", "\u2028", "</script>", "'; --"]
    assert both(shop, *({"Name": name, "Tags": [name]} for name in names)) == {}
    assert [record["values"]["name"][0]["value"] for record in things(shop)] == names
    assert [record["values"]["tags"][0]["value"] for record in things(shop)] == [[name] for name in names]


def test_what_is_one_options_id_and_anothers_alias_means_the_one_with_the_id(shop):
    options = [{"id": "val-a", "alias": "both", "label": "A"}, {"id": "both", "alias": "b", "label": "B"}]
    colors = shop.get("/option-lists/ol-colors").json
    assert shop.put("/option-lists/ol-colors", {**colors, "values": options}).status_code == 200
    assert both(shop, *({"Name": "Cap", "Color": name} for name in ("both", "val-a", "b", "B", "A"))) == {}
    assert [record["values"]["color"][0]["value"] for record in things(shop)] == ["both", "val-a", "both", "both", "val-a"]


def unique_color(shop):
    """Make the attribute `color` unique."""
    color = shop.get("/attributes/attr-color").json
    assert shop.put("/attributes/attr-color", {**color, "validation": {"unique": True}}).status_code == 200


def test_an_option_is_one_unique_value_by_its_id_alias_and_label(shop, make):
    unique_color(shop)
    make("cap", color="blue")
    rows = [{"Name": "Hat", "Color": name} for name in ("Blue", "blue", "val-blue", "Red", "red")]
    clash = "Color: Attribute 'color' is unique, and {} has this value, got '{}'"
    assert both(shop, *rows) == {
        **{row: clash.format("'ent-cap'", name) for row, name in enumerate(("Blue", "blue", "val-blue"))},
        4: clash.format("row 3", "red"),
    }


def test_an_update_frees_what_the_record_has_claimed_and_not_what_its_value_means_now(shop, make):
    unique_color(shop)
    make("cap", color="red")
    values = [{"id": "val-red", "alias": "crimson", "label": "Crimson"}, {"id": "val-new", "alias": "red", "label": "Red"}]
    colors = shop.get("/option-lists/ol-colors").json
    assert shop.put("/option-lists/ol-colors", {**colors, "values": [*values, colors["values"][1]]}).status_code == 200
    make("hat", color="val-new")
    rows = {"Ref": "ent-cap", "Color": "Blue"}, {"Name": "Coat", "Color": "Red"}
    assert both(shop, *rows) == {1: "Color: Attribute 'color' is unique, and 'ent-hat' has this value, got 'Red'"}


def test_columns_that_are_not_mapped_are_ignored_and_cells_that_are_missing_are_empty(shop):
    columns = {"Name": "name", "Price": "price"}
    rows = {"Name": "Cap", "Price": "1", "Note": "?"}, {"Name": "Hat", "Sold": "perhaps"}
    assert both(shop, *rows, columns=columns) == {}
    assert [sorted(record["values"]) for record in things(shop)] == [["name", "price"], ["name"]]


def test_any_name_can_be_that_of_a_column(shop):
    columns = {"": "name", "a.b[0]": "price", "_id": "sku"}
    assert both(shop, {"": "Cap", "a.b[0]": "1", "_id": "AA-1"}, columns=columns) == {}
    assert kept(shop, things(shop)[0]["id"])["sku"] == everywhere("AA-1")


def test_no_rows_are_an_import_of_nothing(shop):
    assert both(shop, columns={"Name": "name"}) == {}
    assert both(shop, columns={}) == {}


def test_a_record_may_come_twice_and_the_later_row_finds_what_the_earlier_one_has_stored(shop, make):
    make("cap", ean=1)
    rows = [{"Ref": "ent-cap", "Ean": "2", "Price": "5"}, {"Ref": "ent-cap", "Ean": "1"}, {"Ref": "ent-cap", "Price": "6"}]
    assert both(shop, *rows) == {}
    assert kept(shop, "ent-cap") == {"name": everywhere("cap"), "ean": everywhere(1), "price": everywhere(6)}
    assert shop.get("/records/ent-cap/audit-log").json["total"] == 4
    assert both(shop, {"Name": "Hat", "Ean": "2"}) == {}


def test_a_record_that_comes_often_has_all_that_the_rows_before_have_changed(shop, make):
    make("cap", ean=1)
    changes = [{"Ean": "2"}, {"Price": "5"}, {"Ean": "1"}]
    rows = [*({"Ref": "ent-cap", **change} for change in changes), {"Name": "Hat", "Ean": "1"}, {"Name": "Hat", "Ean": "2"}]
    assert both(shop, *rows) == {3: "Ean: Attribute 'ean' is unique, and row 2 has this value, got 1"}
    assert kept(shop, "ent-cap") == {"name": everywhere("cap"), "ean": everywhere(1), "price": everywhere(5)}


# Rows that are not


def test_the_published_sample_fails_in_its_third_row_on_an_empty_name_and_a_price_that_is_no_number(shop):
    lines = [("Coastal Windbreaker", "CW-001", "129.99"), ("Summit Parka", "SP-002", "249.50"), ("", "XX-003", "not-a-number")]
    rows = [dict(zip(("Name", "SKU", "Price"), line, strict=True)) for line in lines]
    assert preview(shop, *rows) == [
        ("create", []),
        ("create", []),
        (
            "create",
            [
                "Name: Attribute 'name' expects a value, got ''",
                "Price: Attribute 'price' expects type 'number', got 'not-a-number'",
            ],
        ),
    ]
    assert list(both(shop, *rows)) == [2]
    assert [record["values"]["price"] for record in things(shop)] == [everywhere(129.99), everywhere(249.5)]


@each(
    ("cells", "message"),
    [
        ({"Name": "x" * 41}, "Name: Attribute 'name' expects at most 40 characters, got 41"),
        ({"SKU": "cw-1"}, "SKU: Value for 'sku' does not match pattern '^[A-Z]{2}-[0-9]+$', got 'cw-1'"),
        ({"Price": "-1"}, "Price: Attribute 'price' expects a number from 0, got -1"),
        ({"Price": "1,5"}, "Price: Attribute 'price' expects type 'number', got '1,5'"),
        ({"Price": True}, "Price: Attribute 'price' expects type 'number', got true"),
        ({"Ean": "4006381333931.00000000000000001"}, "Ean: Attribute 'ean' expects a number of which all digits can be kept"),
        ({"Color": "Teal"}, "Color: Attribute 'color' expects the id, alias or label of an option, got 'Teal'"),
        ({"Tags": 5}, "Tags: Attribute 'tags' expects type 'text', got 5"),
        ({"Sold": "yes"}, "Sold: Attribute 'sold' expects type 'boolean', got 'yes'"),
        ({"Since": "yesterday"}, "Since: Attribute 'since' expects a date and time with a zone (RFC 3339, "),
        ({"Like": "ent-lost"}, "Like: Attribute 'like' expects the id of a record, got 'ent-lost'"),
        ({"Care": "[1]"}, "Care: Attribute 'care' expects type 'complex', got '[1]' (write an object of JSON, such as "),
        ({"Care": '{"wash":30,}'}, """Care: Attribute 'care' expects type 'complex', got '{"wash":30,}' (expected JSON: """),
        ({"SKU": '5" x 3"'}, """SKU: Value for 'sku' does not match pattern '^[A-Z]{2}-[0-9]+$', got '5" x 3"'"""),
        ({"Care": '{"a": 0.10000000000000000555}'}, "Care: Attribute 'care' expects a number of which all digits can be kept"),
    ],
)
def test_a_cell_that_is_wrong_is_named_with_its_column_alias_and_value(shop, make, cells, message):
    make("cap")
    before = things(shop)
    wrong = both(shop, {"Name": "Hat", **cells}, {"Ref": "ent-cap", **cells})
    assert list(wrong) == [0, 1]
    assert all(said.startswith(message) for said in wrong.values()), wrong
    assert things(shop) == before


def test_a_row_that_makes_a_record_must_give_what_is_required_and_one_that_changes_one_need_not(shop, make):
    make("cap")
    wrong = both(shop, {"Name": None, "Price": "1"}, {"Price": "1"}, {"Ref": "ent-cap", "Price": "1", "Name": ""})
    assert wrong == {
        0: "Name: Attribute 'name' expects a value, got null",
        1: "Name: Attribute 'name' expects a value, got nothing",
    }
    unmapped = both(shop, {"Price": "1"}, {"Ref": "ent-cap", "Price": "2"})
    assert unmapped == {0: "columnMapping: Attribute 'name' expects a value, and no column is mapped to it"}


@each("id", ["ent-lost", "var-cap", " ent-cap", "x" * 1000, 5, True, ["ent-cap"], {"id": "ent-cap"}, 0, []])
def test_an_id_that_no_record_has_is_wrong_whatever_it_is(shop, make, id):
    make("cap")
    assert shop.post("/records/ent-cap/variants", {"id": "var-cap"}).status_code == 201
    said = preview(shop, {"Ref": id, "Name": "Hat", "Price": "no"})
    wrong = both(shop, {"Ref": id, "Name": "Hat", "Price": "no"})
    assert said[0][0] == "update"
    assert wrong[0].startswith("Ref: _id expects the id of a record, got ")


def test_a_record_of_another_schema_is_wrong(shop, make):
    make_schema(shop, "other", ["attr-name"])
    make("hat", schema="schema-other")
    message = "Ref: _id expects a record of schema 'schema-thing', got 'ent-hat' of 'schema-other'"
    assert both(shop, {"Ref": "ent-hat", "Name": "Hat"}) == {0: message}


def test_what_a_records_state_makes_read_only_is_wrong_when_it_would_change(shop, make):
    make("cap", sku="AA-1")
    assert shop.post("/records/ent-cap/transition", {"toStateId": "fixed"}).status_code == 200
    wrong = both(shop, {"Ref": "ent-cap", "SKU": "AA-2"}, {"Ref": "ent-cap", "SKU": "AA-1", "Name": "Hat"})
    assert wrong == {0: "SKU: Attribute 'sku' is read-only in state 'fixed' (no transition makes it writable), got 'AA-2'"}
    assert kept(shop, "ent-cap") == {"name": everywhere("Hat"), "sku": everywhere("AA-1")}


def test_what_a_record_holds_already_is_not_judged_again(shop, make):
    make("other")
    make("cap", color="blue", like="ent-other", tags=["a"])
    shop.delete("/option-lists/ol-colors/values/val-blue")
    shop.delete("/records/ent-other")
    row = {"Color": "blue", "Like": "ent-other"}
    assert list(both(shop, {"Ref": "ent-cap", **row, "Tags": "b"}, {"Name": "Hat", **row})) == [1]
    values = {alias: entries[0]["value"] for alias, entries in kept(shop, "ent-cap").items()}
    assert values == {"name": "cap", "color": "blue", "like": "ent-other", "tags": ["b"]}


def test_a_raw_key_in_a_cell_is_not_repeated(shop, make_key):
    raw_key = make_key("read").raw_key
    ((_, problems),) = preview(shop, {"Name": "Cap", "Price": raw_key})
    assert problems == ["Price: Attribute 'price' expects type 'number', got 'sigma_sk_live_…'"]
    assert raw_key not in execute(shop, {"Name": "Cap", "Price": raw_key})[2][0]


def test_of_many_bad_rows_the_later_ones_tell_only_what_is_wrong_first(shop, monkeypatch):
    monkeypatch.setattr(imports, "MANY_BAD_ROWS", 2)
    said = preview(shop, *[{"Name": "", "Price": "no"}] * 4)
    assert [len(problems) for _, problems in said] == [2, 2, 1, 1]
    monkeypatch.setattr(imports, "MAX_PROBLEMS", 1)
    assert len(preview(shop, {"Name": "", "Price": "no"})[0][1]) == 1


# Unique values


def test_a_unique_value_that_a_record_has_is_wrong_in_another(shop, make):
    make("cap", ean=1)
    wrong = both(shop, {"Name": "Hat", "Ean": "1.0"}, {"Ref": "ent-cap", "Ean": "1", "Price": "5"})
    assert wrong == {0: "Ean: Attribute 'ean' is unique, and 'ent-cap' has this value, got 1.0"}


def test_a_record_may_have_its_own_unique_value_written_anew(shop, make):
    make("cap", ean=1)
    assert both(shop, {"Ref": "ent-cap", "Ean": "1.0"}, {"Ref": "ent-cap", "Ean": "1e0", "Price": "5"}) == {}
    assert json.dumps(kept(shop, "ent-cap")["ean"]) == json.dumps(everywhere(1))
    assert list(both(shop, {"Name": "Hat", "Ean": "1"})) == [0]


def test_a_unique_value_that_a_good_row_before_has_is_wrong(shop, make):
    make("cap")
    rows = [
        {"Name": "A", "Ean": "7", "Price": "no"},
        {"Name": "B", "Ean": "7"},
        {"Name": "C", "Ean": "7e0"},
        {"Ref": "ent-cap", "Ean": "7"},
        {"Ref": "ent-cap", "Ean": "8"},
        {"Name": "D", "Ean": 8},
        {"Name": "E"},
        {"Name": "F"},
    ]
    wrong = both(shop, *rows)
    assert list(wrong) == [0, 2, 3, 5]
    assert [wrong[row] for row in (2, 3, 5)] == [
        "Ean: Attribute 'ean' is unique, and row 1 has this value, got 7.0",
        "Ean: Attribute 'ean' is unique, and row 1 has this value, got 7",
        "Ean: Attribute 'ean' is unique, and row 4 has this value, got 8",
    ]


def test_a_unique_value_that_a_row_before_has_given_up_is_free(shop, make):
    make("cap", ean=1)
    make("hat", ean=2)
    wrong = both(
        shop,
        {"Name": "Too early", "Ean": "1"},
        {"Ref": "ent-cap", "Ean": "3"},
        {"Ref": "ent-hat", "Ean": "1"},
        {"Ref": "ent-cap", "Ean": "2"},
        {"Name": "New", "Ean": "3"},
        {"Name": "Too late", "Ean": "3"},
    )
    assert wrong == {
        0: "Ean: Attribute 'ean' is unique, and 'ent-cap' has this value, got 1",
        5: "Ean: Attribute 'ean' is unique, and row 4 has this value, got 3",
    }
    assert [record["values"]["ean"][0]["value"] for record in things(shop)] == [2, 1, 3]


# All rows together


def test_a_preview_stores_nothing(app, shop, make, make_key):
    make("cap", ean=1)
    reader = make_key("read", by=shop)
    before = contents(app)
    rows = [{"Name": f"New {number}", "Ean": str(number + 10)} for number in range(200)]
    said = preview(reader, *rows, {"Ref": "ent-cap", "Ean": "2", "Price": "5"}, {"Name": "", "Ean": "x"})
    assert [action for action, _ in said] == ["create"] * 200 + ["update", "create"]
    assert contents(app) == before


@pytest.fixture
def statements(shop):
    """The statements that the database is asked to run from now on, each by its first words."""
    said = []
    shop.get("/schemas")  # opens the connection
    database._thread.connection.set_trace_callback(lambda text: said.append(" ".join(text.split()[:2])))
    yield said
    database._thread.connection.set_trace_callback(None)


def test_a_preview_neither_waits_for_a_writer_nor_keeps_one_waiting(app, shop, statements):
    with closing(sqlite3.connect(app.config["DATABASE"], isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert preview(shop, {"Name": "Cap"}) == [("create", [])]
        writer.execute("ROLLBACK")
    assert {said.split()[0] for said in statements} == {"BEGIN", "SELECT", "COMMIT"}
    assert "BEGIN IMMEDIATE" not in statements


def test_an_import_is_one_transaction(shop, statements):
    assert execute(shop, *({"Name": f"New {number}", "Ean": str(number)} for number in range(50)))[0] == 50
    assert [said for said in statements if said.split()[0] in ("BEGIN", "COMMIT", "SAVEPOINT")] == ["BEGIN IMMEDIATE", "COMMIT"]


def test_an_import_that_fails_leaves_nothing_and_works_when_nothing_fails_any_more(app, shop, make, error, monkeypatch):
    make("cap", ean=1)
    before, calls, store = contents(app), [], history.Log.store

    def failing(log):
        calls.append(len(log.entries))
        store(log)
        if len(calls) == 3:
            raise RuntimeError("the fifth and sixth row")

    rows = [{"Ref": "ent-cap", "Ean": "2"}, *({"Name": "New", "Ean": str(number)} for number in range(3, 9))]
    with monkeypatch.context() as patch:
        patch.setattr(history.Log, "store", failing)
        patch.setattr(many_writes, "MOST_RECORDS", 2)
        error(shop.post("/import/execute", table(*rows)), 500)
    assert (contents(app), calls) == (before, [2, 2, 2])
    assert execute(shop, *rows) == (6, 1, {})


def test_a_workspace_that_is_full_takes_no_more_rows_that_make_records(app, shop, make, error):
    make("cap")
    app.config["RECORD_LIMIT"] = 3
    rows = [{"Name": "A"}, {"Name": "B", "Price": "no"}, {"Ref": "ent-cap", "Price": "5"}, *({"Name": name} for name in "CDE")]
    full = "This workspace is full at 3 records; SIGMA_RECORD_LIMIT sets the limit"
    wrong = both(shop, *rows)
    assert wrong == {1: "Price: Attribute 'price' expects type 'number', got 'no'", 4: full, 5: full}
    assert len(things(shop)) == 3
    assert both(shop, {"Name": "F"}, {"Ref": "ent-cap", "Price": "6"}) == {0: full}


def test_the_rows_of_an_import_may_hold_more_text_against_patterns_than_one_request(shop):
    longest = value_checks.MAX_MATCHED // 2
    rows = [{"Name": str(number), "SKU": f"AA-{'1' * longest}"} for number in range(5)]
    assert both(shop, *rows, {"Name": "Cap", "SKU": f"AA-{'1' * 2 * longest}"}) == {
        5: "SKU: Attribute 'sku' expects texts with a pattern to have at most 25000 characters together in one request"
    }


def cost_of(shop, pattern, count, cell):
    """Return what is wrong with each of these many rows whose `SKU` is held against a pattern."""
    sku = {"id": "attr-sku", "alias": "sku", "name": "sku", "type": "text", "validation": {"pattern": pattern}}
    assert shop.put("/attributes/attr-sku", sku).status_code == 200
    rows = [{"Name": str(number), "SKU": cell} for number in range(count)]
    return [" ".join(problems) for _, problems in preview(shop, *rows)]


def test_all_rows_together_cost_no_more_than_one_request_with_the_worst_pattern(shop, monkeypatch):
    monkeypatch.setattr(value_checks, "MAX_SECONDS", 0.01)
    wrong = cost_of(shop, "(?:a?){999}" * 4 + "b", 12, "a" * 400)  # 3.2 million steps each
    assert all("does not match pattern" in problem for problem in wrong[:7])
    assert set(wrong[7:]) == {"SKU: Attribute 'sku' expects fewer rows or values at a time, because its pattern is costly"}


def test_rows_are_not_refused_for_a_pattern_that_costs_little(shop):
    assert set(cost_of(shop, r"^[\p{L}\p{N} ]+$", 1000, "Åben blå jakke med hætte")) == {""}  # 36 million steps


# What an import costs


def multiply(app, record, count):
    """Store copies of a record, as ent-0, ent-1 and so on."""
    copies = ((json.dumps({**record, "id": f"ent-{number}"}),) for number in range(count))
    with closing(sqlite3.connect(app.config["DATABASE"])) as db, db:
        statement = "INSERT INTO entities (tenant, schema_id, body) VALUES ('ws-other', ?, ?)"
        db.executemany(statement, ((record["schemaId"], body) for (body,) in copies))


@pytest.fixture
def large(app, shop):
    """Records of 20 kB each: ent-0 to ent-199, of `schema-large`, whose attribute `code` is unique and has most of them."""
    for alias, more in {"code": {"validation": {"unique": True}}, "note": {}}.items():
        assert (
            shop.post("/attributes", {"id": f"attr-{alias}", "alias": alias, "name": alias, "type": "text", **more}).status_code
            == 201
        )
    make_schema(shop, "large", ["attr-code", "attr-note", "attr-price"])
    record = shop.post("/records", {"schemaId": "schema-large", "values": {}}).json
    multiply(app, {**record, "values": {"code": everywhere("x" * 18_000), "note": everywhere("y" * 2000)}}, 200)


@each("alias", ["price", "note", "code"])
def test_a_preview_keeps_of_the_records_what_rows_change_and_no_more(app, shop, large, alias):
    columns = {"Ref": "_id", "New": alias}
    rows = [{"Ref": f"ent-{number}", "New": str(number)} for number in range(200)]
    preview(shop, *rows[:1], columns=columns, schema="schema-large")
    tracemalloc.start()
    said = preview(shop, *rows, *rows, columns=columns, schema="schema-large")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert said == [("update", [])] * 400
    assert peak < 1_000_000  # the records are 4 MB of text


def test_an_import_gathers_a_part_of_the_records_at_a_time_before_it_stores_them(app, shop, large, monkeypatch):
    monkeypatch.setattr(many_writes, "MOST_CHARACTERS", 100_000)
    rows = [{"Ref": f"ent-{number}", "New": str(number)} for number in range(200)]
    tracemalloc.start()
    outcome = execute(shop, *rows, columns={"Ref": "_id", "New": "price"}, schema="schema-large")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert outcome == (0, 200, {})
    assert peak < 1_000_000  # the records are 4 MB of text


def test_the_rows_of_an_import_may_name_records_of_so_much_text_together(shop, make, monkeypatch):
    records = [make(name, tags=["x" * 1000]) for name in "ab"]
    monkeypatch.setattr(import_rows, "MAX_READ", 3 * max(len(json.dumps(record)) for record in records))
    rows = [{"Ref": f"ent-{name}", "Price": str(number)} for number, name in enumerate("abababa")]
    wrong = both(shop, *rows, {"Name": "Cap"})
    assert wrong == dict.fromkeys(
        range(4, 7), "Ref: _id expects fewer rows at a time, because the records that they name are large"
    )
    assert [kept(shop, f"ent-{name}")["price"] for name in "ab"] == [everywhere(2), everywhere(3)]
    assert both(shop, *rows[4:]) == {}
    assert [kept(shop, f"ent-{name}")["price"] for name in "ab"] == [everywhere(6), everywhere(5)]


def test_the_rows_of_an_import_may_send_so_much_to_webhooks_together(app, shop, make, monkeypatch):
    record = make("cap", tags=["x" * 1000])
    for name, events in (("one", ["entity.created", "entity.updated"]), ("two", ["entity.updated"])):
        hook = {"id": f"wh-{name}", "name": name, "url": "https://receiver.example", "events": events}
        assert shop.post("/webhooks", hook).status_code == 201
    update = 2 * (import_rows.DELIVERY + len(json.dumps(record, separators=(",", ":"))))
    monkeypatch.setattr(import_rows, "MAX_SENT", 3 * update + import_rows.DELIVERY + 300)  # for the price in what is stored
    rows = [{"Ref": "ent-cap", "Price": str(price)} for price in (1, 1, 2, 3, 4)]  # the second one changes and sends nothing
    wrong = both(shop, *rows, {"Name": "Hat"}, {"Name": "Bag"})
    assert wrong == {
        4: "Expected fewer rows at a time: each is sent to 2 webhooks",
        6: "Expected fewer rows at a time: each is sent to 1 webhook",
    }
    assert sql(app, "SELECT webhook_id, count(*) FROM deliveries GROUP BY webhook_id") == [("wh-one", 4), ("wh-two", 3)]
    assert both(shop, rows[4], {"Name": "Bag"}) == {}


def test_a_row_costs_what_is_in_it_however_many_columns_are_mapped_and_attributes_there_are(shop, make):
    make("cap")
    ids = [f"attr-wide-{number}" for number in range(200)]
    for id in ids:
        body = {"id": id, "alias": id[5:], "name": "Wide", "type": "text", "validation": {"required": True}}
        assert shop.post("/attributes", body).status_code == 201
    for name, count in (("narrow", 2), ("wide", 200)):
        make_schema(shop, name, ids[:count])
        record = {"id": f"ent-{name}", "schemaId": f"schema-{name}", "values": {}}
        assert shop.post("/records", record).status_code == 201

    def calls(name, count):
        """How many functions a preview of many short rows calls, of which one has all columns."""
        made = 0

        def note(_frame, event, _argument):
            nonlocal made
            made += event in ("call", "c_call")

        aliases = [id[5:] for id in ids[:count]]
        few = [{"Ref": f"ent-{name}", aliases[0]: "x"}, {aliases[0]: "y"}] * 1000
        rows = [*few, {"Ref": f"ent-{name}", **dict.fromkeys(aliases, "x")}]
        table_of_all = table(*rows, columns={"Ref": "_id", **{alias: alias for alias in aliases}}, schema=f"schema-{name}")
        shop.post("/import/preview", table_of_all)
        sys.setprofile(note)
        answer = shop.post("/import/preview", table_of_all)
        sys.setprofile(None)
        assert answer.json["errorRows"] == 1000
        return made

    narrow, wide = calls("narrow", 2), calls("wide", 200)
    assert wide < 2.5 * narrow  # a wide row that lacks values has 20 lines for them, a narrow one has one


def test_of_very_many_bad_rows_each_is_told_of_in_few_words(shop, monkeypatch):
    attribute = shop.get("/attributes/attr-sku").json
    strict = {**attribute, "validation": {"pattern": "^(" + "x|" * 300 + "y)$"}}
    assert shop.put("/attributes/attr-sku", strict).status_code == 200
    monkeypatch.setattr(imports, "MANY_BAD_ROWS", 2)
    said = preview(shop, *[{"Name": "Cap", "SKU": "AA-1"}] * 3)
    lengths = [len(problems[0]) for _, problems in said]
    assert lengths[0] == lengths[1] > 600
    assert said[2] == ("create", [said[0][1][0][:200]])


# What is refused as a whole


@each(
    ("columns", "message"),
    [
        ({"Name": "title"}, "columnMapping.Name: schema 'schema-thing' has no attribute 'title'"),
        ({"Name": "attr-name"}, "columnMapping.Name: schema 'schema-thing' has no attribute 'attr-name'"),
        ({"Name": ""}, "columnMapping.Name: schema 'schema-thing' has no attribute ''"),
        ({"Name": "alone"}, "columnMapping.Name: schema 'schema-thing' has no attribute 'alone'"),
        ({"Name": "name", "Price": "name"}, "columnMapping.Price: expected one column for 'name', but 'Name' is mapped to it"),
        ({"Name": "_id", "Price": "_id"}, "columnMapping.Price: expected one column for '_id', but 'Name' is mapped to it"),
        ({"Name": "name", "Prise": "price"}, "columnMapping.Prise: expected a column that at least one row has"),
        ({"Name": 5}, "columnMapping.Name: Expected a string, got 5"),
        (["Name"], "columnMapping: Expected an object, got 'array'"),
        (None, "columnMapping: Expected a value, got null"),
    ],
)
def test_columns_that_cannot_be_mapped_are_refused_by_name(app, shop, error, columns, message):
    assert shop.post("/attributes", {"id": "attr-alone", "alias": "alone", "name": "Alone", "type": "text"}).status_code == 201
    before = contents(app)
    body = {**table({"Name": "Cap", "Price": "1"}, {"Name": "Hat"}), "columnMapping": columns}
    assert refused(shop, error, 400, body).startswith(message)
    assert contents(app) == before


@each(
    ("change", "message"),
    [
        ({"rows": {}}, "rows: Expected an array, got 'object'"),
        ({"rows": None}, "rows: Expected a value, got null"),
        ({"rows": [{}, 5, ["Cap"]]}, "rows[1]: Expected an object of cells by column, got 5; rows[2]: Expected an object"),
        ({"rows": [None]}, "rows[0]: Expected an object of cells by column, got null"),
        ({"schemaId": "schema-lost"}, "schemaId: schema 'schema-lost' does not exist"),
        ({"schemaId": 5}, "schemaId: Expected a string, got 5"),
        ({"mapping": {}}, "mapping: Unknown field"),
    ],
)
def test_a_body_of_another_shape_is_refused(shop, error, change, message):
    assert refused(shop, error, 400, {**table({"Name": "Cap"}), **change}).startswith(message)


@each("member", ["rows", "schemaId", "columnMapping"])
def test_a_body_that_lacks_a_member_is_refused(shop, error, member):
    body = table({"Name": "Cap"})
    del body[member]
    assert refused(shop, error, 400, body) == f"{member}: Expected a value, but it is missing"


@each("route", ["preview", "execute"])
@each("announced", [True, False])
def test_a_body_that_is_too_large_is_refused_with_what_to_do_about_it(shop, error, route, announced):
    body = json.dumps(table({"Name": "Cap"})).encode().ljust(errors.MAX_BODY + 1)
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    options = {"data": body} if announced else {"environ_overrides": {**chunked, "wsgi.input": io.BytesIO(body)}}
    message = error(shop.post(f"/import/{route}", content_type="application/json", **options), 413)
    assert message == "The body is larger than 1048576 bytes; send fewer rows at a time"
    assert things(shop) == []


def test_rows_are_imported_by_the_thousand_in_one_body(shop):
    body = {**table(columns={"n": "name"}), "rows": [{"n": str(number)} for number in range(10_000)]}
    answer = shop.post("/import/execute", json=body)
    assert answer.json == {"created": 10_000, "updated": 0, "errors": []}
    assert shop.get("/records").json["total"] == 10_000


# As the docs say


def test_the_examples_of_the_docs_are_what_the_service_says(app, admin):
    paths = app.test_client().get("/openapi.json").json["paths"]
    for route in ("preview", "execute"):
        operation = paths[f"/api/v1/import/{route}"]["post"]
        sent, answered = (
            part["content"]["application/json"]["example"] for part in (operation["requestBody"], operation["responses"]["200"])
        )
        assert admin.post(f"/import/{route}", sent).json == answered
