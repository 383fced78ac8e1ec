"""What the OpenAPI document says of values, tried against the service."""

import json
import re

import pytest
from cases import each

RECORD, VARIANT = "/records/ent-coastal-wb", "/records/ent-coastal-wb/variants/var-cw-s"
NULL = {"values": {"size": [{"scope": {}, "value": None}]}}
WRITES = {  # every way to write a value, here null
    "create_record": ("POST", "/records", {"schemaId": "schema-apparel", **NULL}),
    "replace_record_values": ("PUT", RECORD, NULL),
    "set_record_value": ("PATCH", f"{RECORD}/values/size", {"value": None}),
    "create_variant": ("POST", f"{RECORD}/variants", NULL),
    "replace_variant_values": ("PUT", VARIANT, NULL),
    "set_variant_value": ("PATCH", f"{VARIANT}/values/size", {"value": None}),
}


@pytest.fixture(scope="module")
def document(session_app):
    return session_app.test_client().get("/openapi.json").json


@pytest.fixture(scope="module")
def operations(document):
    everything = [operation for path in document["paths"].values() for operation in path.values()]
    return {operation["operationId"]: operation for operation in everything if "operationId" in operation}


def descriptions(document, part, member, of=()):
    """Return what a part of the document says of a member, in every body that it refers to and that has these as well."""
    names = re.findall("#/components/schemas/([A-Za-z]+)", json.dumps(part))
    for name in names:  # grows as it goes
        inner = re.findall("#/components/schemas/([A-Za-z]+)", json.dumps(document["components"]["schemas"][name]))
        names.extend(set(inner) - set(names))
    bodies = [document["components"]["schemas"][name].get("properties", {}) for name in names]
    wanted = [
        body for body in bodies if body.keys() >= {member, *of} and "operator" not in body
    ]  # which a search's criterion has
    return {body[member]["description"] for body in wanted}


def told_of_values(document, operation):
    return descriptions(document, operation.get("requestBody"), "value", of=["scope"])


def test_every_operation_that_takes_values_is_tried(document, operations):
    assert {id for id, operation in operations.items() if told_of_values(document, operation)} == set(WRITES)


@each("id", WRITES)
def test_null_removes_a_value_where_the_description_says_so_and_nowhere_else(id, document, operations, admin):
    for path in (RECORD, VARIANT):
        assert admin.patch(f"{path}/values/size", {"value": "M"}).status_code == 200
    (told,) = told_of_values(document, operations[id])
    method, path, body = WRITES[id]
    answer = admin.request(method, path, json=body)
    removed = answer.status_code == 200 and "size" not in answer.json["values"]
    assert removed == ("null removes" in told)
    assert removed or answer.status_code == 400


def test_put_does_what_its_description_says(operations, admin):
    told = operations["replace_record_values"]["description"]
    assert "an empty array clears one, and unchanged values are not checked again" in told
    values = admin.get(RECORD).json["values"]
    assert admin.delete("/option-lists/ol-colors/values/val-navy").status_code == 204
    answer = admin.put(RECORD, {"values": {"color": values["color"], "tags": []}})
    assert answer.json["values"] == {alias: entries for alias, entries in values.items() if alias != "tags"}


def test_what_is_said_of_date_times_unique_values_and_scores_is_so(document, operations, admin):
    attribute = document["components"]["schemas"]["AttributeType"]
    assert "datetime is RFC 3339 with a zone, or a plain date" in attribute["description"]
    (unique,) = descriptions(document, operations["create_attribute"]["requestBody"], "unique")
    assert "empty values do not count" in unique
    for kind, name, good in (("datetime", "at", "2026-01-01"), ("text", "code", "")):
        body = {"id": f"attr-{name}", "alias": name, "name": name, "type": kind, "validation": {"unique": True}}
        assert admin.post("/attributes", body).status_code == 201
        group = {"id": "grp", "name": "All", "attributeIds": [body["id"]]}
        schema = {"id": f"schema-{name}", "alias": name, "name": name, "variantEnabled": False, "attributeGroups": [group]}
        assert admin.post("/schemas", schema).status_code == 201
        values = {"values": {name: [{"value": good}]}, "schemaId": f"schema-{name}"}
        made = [admin.post("/records", values) for _ in range(2)]
        assert [answer.status_code for answer in made] == [201, 409 if good else 201]
    assert admin.get(f"/records/{made[0].json['id']}/completeness").json["score"] == 100
    (score,) = descriptions(document, operations["get_record_completeness"]["responses"]["200"]["content"], "score")
    assert "100 when nothing is required" in score
