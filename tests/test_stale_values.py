"""Read, change, write back: a stored value that would not be taken today stays, is never judged again, and can be mended.

Each way in which a stored value can become invalid is tried with a record and with a variant, by PUT, PATCH and import.
"""

import csv
import json

import pytest
from cases import each

NORWAY = {"dim-market": "seg-no"}
MODEL = {  # by alias, what is not the default; "note" is what is changed elsewhere
    "name": {"type": "text"},
    "note": {"type": "text"},
    "color": {"type": "option", "optionListId": "ol-hues"},
    "colors": {"type": "option", "optionListId": "ol-hues", "multiple": True},
    "like": {"type": "relation"},
    "likes": {"type": "relation", "multiple": True},
    "code": {"type": "text"},
    "codes": {"type": "text", "multiple": True},
    "size": {"type": "number"},
    "care": {"type": "complex"},
    "title": {"type": "text", "dimensionIds": ["dim-market"]},
}


def everywhere(value):
    return [{"scope": {}, "value": value}]


HELD = {
    "name": everywhere("Cap"),
    "color": everywhere("val-old"),
    "colors": everywhere(["val-new", "old"]),
    "like": everywhere("ent-gone"),
    "likes": everywhere(["ent-other", "ent-gone"]),
    "code": everywhere("AB-1"),
    "codes": everywhere(["AB-1", "long enough"]),
    "size": everywhere(7.0),
    "care": everywhere({"b": 1.0, "a": [True, {"d": 2, "c": "x"}]}),
    "title": [*everywhere("Cap"), {"scope": NORWAY, "value": "Lue"}],
}


def put_attribute(caller, name, **fields):
    return caller.put(f"/attributes/attr-{name}", {**caller.get(f"/attributes/attr-{name}").json, **fields})


def delete_option(caller):
    return caller.delete("/option-lists/ol-hues/values/val-old")


def replace_options(caller):
    body = caller.get("/option-lists/ol-hues").json
    return caller.put("/option-lists/ol-hues", {**body, "values": body["values"][1:]})


def delete_segment(caller):
    body = caller.get("/dimensions/dim-market").json
    return caller.put(
        "/dimensions/dim-market", {**body, "segments": [one for one in body["segments"] if one["id"] != "seg-no"]}
    )


def change_schema(caller, **fields):
    return caller.put("/schemas/schema-stale", {**caller.get("/schemas/schema-stale").json, **fields})


# What makes stored values invalid; which they are; and another invalid value of each, which is refused.
WAYS = {
    "an option is deleted": (delete_option, {"color": "old", "colors": ["old", "val-new"]}),
    "an option is left out of its list": (replace_options, {"color": "old", "colors": ["val-old"]}),
    "a related record is deleted": (
        lambda caller: caller.delete("/records/ent-gone"),
        {"like": "ent-never", "likes": ["ent-gone", "ent-other"]},
    ),
    "a pattern is set": (
        lambda caller: [put_attribute(caller, alias, validation={"pattern": "^[0-9]+$"}) for alias in ("code", "codes")][-1],
        {"code": "AB-2", "codes": ["AB-1"]},
    ),
    "a length is limited": (
        lambda caller: [put_attribute(caller, alias, validation={"maxLength": 3}) for alias in ("code", "codes")][-1],
        {"code": "AB-12", "codes": ["long enough"]},
    ),
    "a least number is set": (lambda caller: put_attribute(caller, "size", validation={"min": 10}), {"size": 8}),
    "a greatest number is set": (lambda caller: put_attribute(caller, "size", validation={"max": 5}), {"size": 6}),
    "a segment is deleted": (delete_segment, {"title": "Hue"}),
    "an attribute is taken out of the schema": (
        lambda caller: change_schema(
            caller, attributeGroups=[{"id": "g", "name": "G", "attributeIds": ["attr-name", "attr-note"]}]
        ),
        {"size": 8, "title": "Hue", "color": "val-new", "like": "ent-other", "care": {}},
    ),
}
each_way = each("way", WAYS)


def add_model(stranger):
    """Add the model, and two records of it."""
    options = [{"id": f"val-{name}", "alias": name, "label": name.title()} for name in ("old", "new")]
    segments = [{"id": f"seg-{name}", "alias": name, "name": name} for name in ("dk", "no")]
    market = {"id": "dim-market", "alias": "market", "name": "M", "defaultSegmentId": "seg-dk", "segments": segments}
    group = {"id": "g", "name": "G", "attributeIds": [f"attr-{alias}" for alias in MODEL]}
    for path, body in (
        ("/option-lists", {"id": "ol-hues", "alias": "hues", "name": "Hues", "values": options}),
        ("/dimensions", market),
        *(("/attributes", {"id": f"attr-{alias}", "alias": alias, "name": alias, **more}) for alias, more in MODEL.items()),
        ("/schemas", {"id": "schema-stale", "alias": "s", "name": "S", "variantEnabled": True, "attributeGroups": [group]}),
        *(("/records", {"id": f"ent-{name}", "schemaId": "schema-stale", "values": {}}) for name in ("other", "gone")),
    ):
        answer = stranger.post(path, body)
        assert answer.status_code == 201, answer.json


@pytest.fixture(scope="module")
def initial_database(prepare):
    return prepare(add_model, "admin@other.example")


@pytest.fixture
def shop(stranger):
    """Return the administrator of a workspace with the model, and two records of it."""
    return stranger


@pytest.fixture(params=["/records/ent-held", "/records/ent-other/variants/var-held"], ids=["record", "variant"])
def held(request, shop):
    """The path of a record or variant with values of all attributes."""
    collection, _, id = request.param.rpartition("/")
    answer = shop.post(
        collection, {"id": id, "values": HELD, **({"schemaId": "schema-stale"} if collection == "/records" else {})}
    )
    assert answer.status_code == 201, answer.json
    return request.param


def history(caller, path):
    """How much has happened to a record or variant."""
    return caller.get(f"{'/'.join(path.split('/')[:3])}/audit-log").json["total"]


def spoil(caller, way):
    """Make values invalid in this way, and answer another invalid value of each attribute that has one."""
    change, others = WAYS[way]
    assert change(caller).status_code in (200, 204)
    return others


def as_other_clients_write(values):
    """The values as a client writes them that knows no 1.0, and sorts members."""
    return json.loads(json.dumps(values, sort_keys=True).replace("7.0", "7").replace("1.0", "1"))


@each_way
def test_what_was_read_can_be_put_back_and_nothing_has_changed(way, shop, held):
    spoil(shop, way)
    before, entries = shop.get(held).data, history(shop, held)
    values = shop.get(held).json["values"]
    assert values == HELD
    for written in (values, {alias: values[alias][::-1] for alias in reversed(values)}, as_other_clients_write(values)):
        answer = shop.put(held, {"values": written})
        assert (answer.status_code, answer.data) == (200, before), answer.json
    for alias, written in values.items():
        for entry in written:
            answer = shop.patch(f"{held}/values/{alias}", entry)
            assert (answer.status_code, answer.data) == (200, before), answer.json
    assert (shop.get(held).data, history(shop, held)) == (before, entries)


@each_way
def test_something_else_can_be_changed_meanwhile(way, shop, held):
    spoil(shop, way)
    values = shop.get(held).json["values"]
    answer = shop.put(held, {"values": {**as_other_clients_write(values), "note": everywhere("put")}})
    assert (answer.status_code, answer.json["values"]) == (200, {**HELD, "note": everywhere("put")})
    assert shop.patch(f"{held}/values/note", {"value": "patched"}).json["values"] == {**HELD, "note": everywhere("patched")}
    assert shop.get(held).json["values"] == {**HELD, "note": everywhere("patched")}


@each_way
def test_what_is_changed_is_judged_by_the_rules_of_today(way, shop, held, error):
    others, before = spoil(shop, way), shop.get(held).data
    for alias, value in others.items():
        scope = NORWAY if alias == "title" else {}
        entries = [*(entry for entry in HELD[alias] if entry["scope"] != scope), {"scope": scope, "value": value}]
        assert error(shop.put(held, {"values": {**HELD, alias: entries}}), 400).startswith(f"values.{alias}")
        error(shop.patch(f"{held}/values/{alias}", {"scope": scope, "value": value}), 404 if "taken out" in way else 400)
        assert shop.get(held).data == before


@each_way
def test_nothing_new_is_made_with_what_is_invalid_today(way, shop, held, error):
    others = spoil(shop, way)
    for path, more in (("/records", {"schemaId": "schema-stale"}), ("/records/ent-other/variants", {})):
        message = error(shop.post(path, {"values": {alias: HELD[alias] for alias in others}, **more}), 400)
        for alias in others:
            assert f"values.{alias}" in message


@each_way
def test_what_is_invalid_can_be_taken_away(way, shop, held):
    left = dict(HELD)
    for alias in spoil(shop, way):
        answer = shop.patch(f"{held}/values/{alias}", {"scope": HELD[alias][-1]["scope"], "value": None})
        left = {**left, alias: HELD[alias][:-1]}
        assert answer.status_code == 200, answer.json
        assert answer.json["values"] == {name: entries for name, entries in left.items() if entries}
    assert shop.put(held, {"values": {alias: [] for alias in answer.json["values"]}}).json["values"] == {}


def test_one_scope_can_be_changed_beside_another_that_is_invalid(shop, held):
    spoil(shop, "a segment is deleted")
    values = [{"scope": {}, "value": "Hat"}, HELD["title"][1]]
    assert shop.put(held, {"values": {"title": values}}).json["values"]["title"] == values
    danish = {"scope": {"dim-market": "seg-dk"}, "value": "Hue"}
    assert shop.patch(f"{held}/values/title", danish).json["values"]["title"] == [*values, danish]


# By import, which knows records only


@pytest.fixture
def record(shop):
    """The path of a record with values of all attributes."""
    assert shop.post("/records", {"id": "ent-held", "schemaId": "schema-stale", "values": HELD}).status_code == 201
    return "/records/ent-held"


def export_rows(caller, format):
    """The export's row of the record, as whoever reads the file has it."""
    answer = caller.get("/export", query_string={"schemaId": "schema-stale", "format": format})
    if format == "json":
        return [row for row in answer.json if row["_id"] == "ent-held"]
    return [row for row in csv.DictReader(answer.text.splitlines()) if row["_id"] == "ent-held"]


def import_rows(caller, rows):
    """Import rows, whose preview says the same, and answer the problems."""
    body = {"schemaId": "schema-stale", "rows": rows, "columnMapping": {column: column for column in rows[0]}}
    told = caller.post("/import/preview", body).json["results"]
    done = caller.post("/import/execute", body).json
    assert [result["errors"] for result in told if result["errors"]] == [[error["message"]] for error in done["errors"]]
    return [error["message"] for error in done["errors"]]


@each("format", ["json", "csv"])
@each_way
def test_what_was_exported_can_be_imported_again(way, format, shop, record):
    spoil(shop, way)
    before, entries = shop.get(record).data, history(shop, record)
    rows = export_rows(shop, format)
    assert import_rows(shop, rows) == []
    whole = [{**row, **({"size": "7"} if "size" in row else {})} for row in rows]  # as spreadsheets write 7.0
    assert import_rows(shop, whole) == []
    assert (shop.get(record).data, history(shop, record)) == (before, entries)
    assert import_rows(shop, [{**row, "note": "imported"} for row in rows]) == []
    assert shop.get(record).json["values"] == {**HELD, "note": everywhere("imported")}


@each_way
def test_a_cell_that_is_changed_is_judged(way, shop, record):
    others, before = spoil(shop, way), shop.get(record).data
    for alias in others.keys() - ({"title"} | (HELD.keys() if "taken out" in way else set())):
        (problem,) = import_rows(shop, [{**row, alias: others[alias]} for row in export_rows(shop, "json")])
        assert problem.startswith(
            (f"{alias}: Attribute '{alias}' expects ", f"{alias}: Value for '{alias}' does not match pattern ")
        )
    assert shop.get(record).data == before


# What cannot come about, because it is refused while values are stored


@each(
    ("change", "message"),
    [
        (lambda caller: put_attribute(caller, "title", dimensionIds=[]), "dimensionIds: 1 "),
        (lambda caller: put_attribute(caller, "code", type="number"), "type: 1 "),
        (lambda caller: put_attribute(caller, "code", multiple=True), "multiple: 1 "),
        (lambda caller: put_attribute(caller, "codes", multiple=False), "multiple: 1 "),
        (lambda caller: put_attribute(caller, "code", alias="other-code"), "alias: records hold values under 'code'"),
        (lambda caller: caller.delete("/dimensions/dim-market"), "Dimension 'dim-market' is in use by "),
        (lambda caller: caller.delete("/option-lists/ol-hues"), "Option list 'ol-hues' is in use by "),
        (lambda caller: caller.delete("/attributes/attr-code"), "Attribute 'attr-code' is in use by "),
    ],
)
def test_a_change_of_the_model_that_values_do_not_fit_is_refused(change, message, shop, held, error):
    before, model = shop.get(held).data, shop.get("/attributes").data
    assert error(change(shop), 409).startswith(message)
    assert (shop.get(held).data, shop.get("/attributes").data) == (before, model)


def test_unique_cannot_be_switched_on_where_two_hold_the_same(shop, held, error):
    body = {"id": "ent-same", "schemaId": "schema-stale", "values": {"code": HELD["code"]}}
    assert shop.post("/records", body).status_code == 201
    assert "'ent-same'" in error(put_attribute(shop, "code", validation={"unique": True}), 409)
    assert shop.delete("/records/ent-same").status_code == 204
    assert put_attribute(shop, "code", validation={"unique": True}).status_code == 200
    assert shop.put(held, {"values": HELD}).status_code == 200
    assert "is already the value of" in error(shop.post("/records", body), 409)


def test_an_attribute_made_anew_under_an_alias_judges_nothing_that_was_there(shop, held, error):
    spoil(shop, "an attribute is taken out of the schema")
    assert shop.delete("/attributes/attr-code").status_code == 204
    body = {"id": "attr-code", "alias": "code", "name": "Code", "type": "number", "validation": {"required": True}}
    assert shop.post("/attributes", body).status_code == 201
    group = {"id": "g", "name": "G", "attributeIds": ["attr-name", "attr-note", "attr-code"]}
    assert change_schema(shop, attributeGroups=[group]).status_code == 200
    assert shop.put(held, {"values": {**HELD, "note": everywhere("new")}}).json["values"]["code"] == HELD["code"]
    error(shop.put(held, {"values": {"code": everywhere("AB-2")}}), 400)
    assert shop.put(held, {"values": {"code": everywhere(5)}}).json["values"]["code"] == everywhere(5)


def test_variants_that_a_schema_does_not_have_any_more_can_be_changed(shop, held):
    assert change_schema(shop, variantEnabled=False).status_code == 200
    assert shop.put(held, {"values": {"note": everywhere("x")}}).json["values"]["note"] == everywhere("x")
