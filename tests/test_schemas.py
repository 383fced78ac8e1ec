"""Schemas: their groups, their attributes, and their workflow. What they share with the other nouns is in test_model.py."""

import itertools
import json
import sqlite3
from contextlib import closing

import pytest
from cases import each
from conftest import replace_everywhere

from sigma.resources import model


def schema(*groups, **members):
    """Return the schema `schema-x` with groups of these attribute ids."""
    return {
        "id": "schema-x",
        "alias": "x",
        "name": "X",
        "variantEnabled": False,
        "attributeGroups": [
            {"id": f"grp-{place}", "name": f"Group {place}", "sortOrder": place, "attributeIds": list(ids)}
            for place, ids in enumerate(groups)
        ],
        **members,
    }


def workflow(name, *states):
    """Return a workflow that begins in the first of these states and leads from each to the next."""
    return {
        "id": f"wf-{name}",
        "alias": name,
        "name": name.title(),
        "defaultStateId": states[0],
        "states": [{"id": id, "name": id.title()} for id in states],
        "transitions": [
            {"id": f"{start}-{end}", "fromStateId": start, "toStateId": end} for start, end in itertools.pairwise(states)
        ],
    }


@pytest.fixture
def make(admin):
    def post(path, body):
        answer = admin.post(path, body)
        assert answer.status_code == 201, answer.text
        return answer.json

    return post


# Groups and attributes


BAD_GROUPS = {
    "attribute-in-two-groups": schema(["attr-sku", "attr-price"], ["attr-color", "attr-sku"]),
    "attribute-twice-in-a-group": schema(["attr-sku", "attr-price", "attr-sku"]),
    "attribute-twice-in-a-later-group": schema([], ["attr-sku", "attr-price", "attr-sku"]),
    "group-twice": schema(attributeGroups=[{"id": "grp", "name": "One"}, {"id": "grp", "name": "Two"}]),
    "group-that-is-no-object": schema(attributeGroups=["grp"]),
    "attribute-that-is-null": schema(["attr-sku", None]),
    "attribute-that-is-an-object": schema([{"id": "attr-sku"}]),
}


@each("bad", BAD_GROUPS.values(), ids=BAD_GROUPS)
def test_bad_groups_are_refused(bad, make, admin, error):
    assert error(admin.post("/schemas", bad), 400).startswith("attributeGroups[")
    error(admin.get("/schemas/schema-x"), 404)
    made = make("/schemas", schema(["attr-sku"]))
    assert error(admin.put("/schemas/schema-x", bad), 400).startswith("attributeGroups[")
    assert admin.get("/schemas/schema-x").json == made


def test_one_attribute_may_be_in_two_schemas(make):
    make("/schemas", schema(["attr-sku"]))
    assert make("/schemas", schema(["attr-sku"], id="schema-y", alias="y"))["id"] == "schema-y"


def test_a_schemas_attributes_come_whole_and_in_the_order_of_its_groups(make, admin):
    make("/schemas", schema(["attr-price", "attr-care"], [], ["attr-color", "attr-sku"]))
    answer = admin.get("/schemas/schema-x/attributes")
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    everything = {attribute["id"]: attribute for attribute in admin.get("/attributes").json}
    assert answer.json == [everything[id] for id in ("attr-price", "attr-care", "attr-color", "attr-sku")]


def test_a_schemas_attributes_follow_its_changes_and_theirs(make, admin):
    make("/schemas", schema(["attr-price", "attr-care"]))
    admin.put("/schemas/schema-x", schema(["attr-care"], ["attr-launch"]))
    renamed = {**admin.get("/attributes/attr-care").json, "name": "Renamed"}
    admin.put("/attributes/attr-care", renamed)
    assert admin.get("/schemas/schema-x/attributes").json == [renamed, admin.get("/attributes/attr-launch").json]


def test_a_schema_without_groups_has_no_attributes(make, admin):
    make("/schemas", schema())
    assert admin.get("/schemas/schema-x/attributes").json == []


def test_the_attributes_of_an_unknown_schema_are_404(admin, stranger, error):
    assert error(admin.get("/schemas/schema-nowhere/attributes"), 404) == "Schema 'schema-nowhere' not found"
    assert stranger.post("/schemas", schema()).status_code == 201
    assert error(admin.get("/schemas/schema-x/attributes"), 404) == "Schema 'schema-x' not found"


def test_a_new_attribute_can_be_written_at_once(make, admin, error):
    make("/schemas", schema(["attr-sku"]))
    make("/records", {"id": "rec-1", "schemaId": "schema-x", "values": {}})
    error(admin.patch("/records/rec-1/values/size", {"value": "M"}), 404)
    admin.put("/schemas/schema-x", schema(["attr-sku", "attr-size"]))
    assert admin.patch("/records/rec-1/values/size", {"value": "M"}).json["values"] == {"size": [{"scope": {}, "value": "M"}]}


def store_attributes(path, ids):
    """Store attributes as the service does: 500 over HTTP would be 500 commits."""
    rest = {"name": "X", "type": "number", "dimensionIds": [], "inheritable": True, "validation": {}, "guards": []}
    bodies = [json.dumps({"id": id, "alias": f"{id}-alias", **rest, "multiple": False}) for id in ids]
    with closing(sqlite3.connect(path)) as db, db:
        sql = "INSERT INTO model_objects (tenant, kind, body) VALUES ('ws-demo', 'attribute', ?)"
        db.executemany(sql, [(body,) for body in bodies])
    return [json.loads(body) for body in bodies]


def test_a_schema_may_have_500_attributes(app, make, admin):
    ids = [f"attr-{number}" for number in range(500)]
    attributes = store_attributes(app.config["DATABASE"], ids)
    assert make("/schemas", schema(ids[:250], ids[250:])) == schema(ids[:250], ids[250:])
    assert admin.get("/schemas/schema-x/attributes").json == attributes

    values = {f"{id}-alias": [{"scope": {}, "value": number}] for number, id in enumerate(ids)}
    assert make("/records", {"id": "rec-1", "schemaId": "schema-x", "values": values})["values"] == values
    turned = schema(ids[250:], ids[:250])
    assert admin.put("/schemas/schema-x", turned).json == turned
    assert admin.get("/records/rec-1").json["values"] == values


# The workflow


@pytest.fixture
def record(make):
    """A record in the state `open` of the workflow `wf-old`, which `schema-x` follows."""
    make("/workflows", workflow("old", "open", "done"))
    make("/schemas", schema(workflowId="wf-old"))
    made = make("/records", {"id": "rec-1", "schemaId": "schema-x", "values": {}})
    assert made["lifecycleStateId"] == "open"
    return made


def test_another_workflow_with_the_states_in_use_takes_over_at_once(record, make, admin, error):
    make("/workflows", workflow("new", "start", "open", "closed"))
    answer = admin.put("/schemas/schema-x", schema(workflowId="wf-new"))
    assert (answer.status_code, answer.json["workflowId"]) == (200, "wf-new")
    assert admin.get("/records/rec-1").json == record
    assert [way["toStateId"] for way in admin.get("/records/rec-1/transitions").json] == ["closed"]
    error(admin.post("/records/rec-1/transition", {"toStateId": "start"}), 422)
    assert make("/records", {"schemaId": "schema-x", "values": {}})["lifecycleStateId"] == "start"
    assert admin.delete("/workflows/wf-old").status_code == 204


def test_a_workflow_that_lacks_a_state_in_use_is_refused(record, make, admin, error):
    make("/workflows", workflow("new", "start", "done"))
    before = admin.get("/schemas/schema-x").json
    message = error(admin.put("/schemas/schema-x", schema(workflowId="wf-new")), 409)
    assert "'open'" in message
    assert admin.get("/schemas/schema-x").json == before
    assert admin.get("/records/rec-1").json == record

    assert admin.post("/records/rec-1/transition", {"toStateId": "done"}).status_code == 200
    assert admin.put("/schemas/schema-x", schema(workflowId="wf-new")).status_code == 200


def test_the_workflow_of_a_schema_without_records_can_change_freely(record, make, admin):
    make("/workflows", workflow("new", "start"))
    assert admin.delete("/records/rec-1").status_code == 204
    for members in ({"workflowId": "wf-new"}, {}, {"workflowId": "wf-old"}):
        assert admin.put("/schemas/schema-x", schema(**members)).json == schema(**members)


def test_records_of_a_schema_without_a_workflow_have_no_state(make):
    make("/schemas", schema())
    assert make("/records", {"schemaId": "schema-x", "values": {}})["lifecycleStateId"] is None


def test_without_variants_enabled_a_schemas_records_have_none(make, admin, error):
    make("/schemas", schema())
    make("/records", {"id": "rec-1", "schemaId": "schema-x", "values": {}})
    error(admin.post("/records/rec-1/variants", {"values": {}}), 400)
    assert admin.put("/schemas/schema-x", schema(variantEnabled=True)).status_code == 200
    assert admin.post("/records/rec-1/variants", {"values": {}}).status_code == 201


def test_attributes_are_read_from_one_state_of_the_model_though_it_changes_meanwhile(app, admin, monkeypatch):
    before = admin.get("/schemas/schema-apparel/attributes").json
    load = model.load_object

    def load_while_another_writes(kind, id):
        loaded = load(kind, id)
        with closing(sqlite3.connect(app.config["DATABASE"])) as db, db:
            db.execute("DELETE FROM model_references WHERE kind = 'schema' AND target_id = 'attr-sku'")
        return loaded

    replace_everywhere(monkeypatch, model, "load_object", load_while_another_writes)
    answer = admin.get("/schemas/schema-apparel/attributes")
    assert (answer.status_code, answer.json) == (200, before)
