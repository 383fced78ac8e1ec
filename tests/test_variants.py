"""Variants: creating them at any level, reading, what they inherit, replacing and removing overrides, deleting."""

import re

import pytest
from cases import each

RECORD = "/records/ent-shoe"
DANISH = {"dim-language": "seg-da"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def everywhere(value):
    """The scoped values of an attribute that has one value for all scopes."""
    return [{"scope": {}, "value": value}]


def scoped(**values):
    return {alias: value if isinstance(value, list) else everywhere(value) for alias, value in values.items()}


def ids(variants):
    return [variant["id"] for variant in variants]


@pytest.fixture
def shoes(admin):
    """A schema with variants and one without; the first has the records `ent-shoe` and `ent-boot`, the other `ent-lace`."""
    for alias, more in (("label", {"dimensionIds": ["dim-language"]}), ("fit", {}), ("gtin", {"inheritable": False})):
        attribute = {"id": f"attr-{alias}", "alias": alias, "name": alias, "type": "text", **more}
        assert admin.post("/attributes", attribute).status_code == 201
    group = {"id": "grp-1", "name": "All", "sortOrder": 0, "attributeIds": ["attr-label", "attr-fit", "attr-gtin"]}
    for alias, enabled in (("shoe", True), ("lace", False)):
        schema = {"id": f"schema-{alias}", "alias": alias, "name": alias, "variantEnabled": enabled}
        assert admin.post("/schemas", {**schema, "attributeGroups": [group]}).status_code == 201
    label = [*everywhere("Shoe"), {"scope": DANISH, "value": "Sko"}]
    for id, schema, values in (
        ("ent-shoe", "shoe", scoped(label=label, fit="normal", gtin="1")),
        ("ent-boot", "shoe", {}),
        ("ent-lace", "lace", {}),
    ):
        assert admin.post("/records", {"id": id, "schemaId": f"schema-{schema}", "values": values}).status_code == 201


@pytest.fixture
def make(admin, shoes):
    """Create a variant of `ent-shoe`, or of another record, below the record or the parent named."""

    def make(id, parent=None, record="ent-shoe", **values):
        body = {"id": id, "values": scoped(**values), **({"parentId": parent} if parent else {})}
        answer = admin.post(f"/records/{record}/variants", body)
        assert answer.status_code == 201, answer.json
        return answer.json

    return make


# Create and read


def test_a_variant_is_answered_whole_and_read_as_it_was_answered(admin, key, shoes):
    answer = key.post(f"{RECORD}/variants", {"id": "var-1", "parentId": "ent-shoe", "values": scoped(fit="wide", label=[])})
    assert answer.status_code == 201
    variant = answer.json
    for name in ("createdAt", "updatedAt"):
        assert TIME.fullmatch(variant[name])
    assert variant == {
        "id": "var-1",
        "entityId": "ent-shoe",
        "parentId": "ent-shoe",
        "level": 1,
        "createdAt": variant["createdAt"],
        "updatedAt": variant["createdAt"],
        "createdBy": key.id,
        "updatedBy": key.id,
        "values": scoped(fit="wide"),
    }
    assert admin.get(f"{RECORD}/variants/var-1").data == answer.data
    assert admin.get(f"{RECORD}/variants").json == [variant]
    assert admin.get("/variants?schemaId=schema-shoe").json["items"] == [variant]


def test_a_variant_without_id_and_parent_gets_an_id_and_stands_below_the_record(admin, shoes):
    made = [admin.post(f"{RECORD}/variants", {"values": {}}).json for _ in range(2)]
    assert made[0]["id"] != made[1]["id"]
    for variant in made:
        assert re.fullmatch(r"var-[A-Za-z0-9]{8,}", variant["id"])
        assert (variant["parentId"], variant["level"]) == ("ent-shoe", 1)


def test_the_level_follows_the_parent(make):
    variants = [make("var-1"), make("var-2", "var-1"), make("var-3", "var-2"), make("var-4", "var-1")]
    assert [(variant["parentId"], variant["level"], variant["entityId"]) for variant in variants] == [
        ("ent-shoe", 1, "ent-shoe"),
        ("var-1", 2, "ent-shoe"),
        ("var-2", 3, "ent-shoe"),
        ("var-1", 2, "ent-shoe"),
    ]


@each(
    "body, path",
    [
        pytest.param({"parentId": "var-none"}, "parentId", id="unknown parent"),
        pytest.param({"parentId": "ent-boot"}, "parentId", id="another record as parent"),
        pytest.param({"parentId": "var-boot"}, "parentId", id="another record's variant as parent"),
        pytest.param({"parentId": "var-new", "id": "var-new"}, "parentId", id="itself as parent"),
        pytest.param({"parentId": ""}, "parentId", id="empty parent"),
        pytest.param({"parentId": 1}, "parentId", id="number as parent"),
        pytest.param({"parentId": ["var-1"]}, "parentId", id="array as parent"),
        pytest.param({"id": "a b"}, "id", id="id that cannot stand in a path"),
        pytest.param({"id": 5}, "id", id="number as id"),
        pytest.param({"level": 2}, "level", id="level"),
        pytest.param({"entityId": "ent-boot"}, "entityId", id="record"),
        pytest.param({"values": None}, "values", id="null values"),
        pytest.param({"values": scoped(colour="red")}, "values.colour", id="unknown alias"),
        pytest.param({"values": scoped(fit=[{"value": 1}])}, "values.fit[0].value", id="wrong type"),
    ],
)
def test_a_variant_that_cannot_be_made_is_refused_by_the_name_of_the_field(admin, make, error, body, path):
    make("var-boot", record="ent-boot")
    before = admin.get("/variants").json
    assert error(admin.post(f"{RECORD}/variants", {"values": {}, **body}), 400).startswith(f"{path}: ")
    assert admin.get("/variants").json == before


def test_a_schema_without_variants_refuses_them(admin, shoes, error):
    error(admin.post("/records/ent-lace/variants", {"values": {}}), 400)
    assert admin.get("/records/ent-lace/variants").json == []
    assert admin.get("/variants?schemaId=schema-lace").json == {"items": [], "total": 0, "offset": 0, "limit": 50}


def test_an_id_that_is_taken_is_a_conflict(admin, make, error):
    make("var-1", fit="wide")
    for record in ("ent-shoe", "ent-boot"):
        error(admin.post(f"/records/{record}/variants", {"id": "var-1", "values": {}}), 409)
    assert admin.get(f"{RECORD}/variants/var-1").json["values"] == scoped(fit="wide")
    assert admin.get("/records/ent-boot/variants").json == []


# Where variants are, and where not

CALLS = [
    ("GET", "", None),
    ("GET", "/resolved", None),
    ("PUT", "", {"values": {}}),
    ("PATCH", "/values/fit", {"value": "x"}),
    ("DELETE", "", None),
]


@each("method, path, body", CALLS)
def test_a_variant_is_found_under_its_own_record_alone(admin, stranger, make, error, method, path, body):
    variant = make("var-1", fit="wide")
    for record, id in (("ent-shoe", "var-2"), ("ent-boot", "var-1"), ("ent-shoe", "ent-shoe"), ("ent-shoe", "ent-boot")):
        message = error(admin.request(method, f"/records/{record}/variants/{id}{path}", json=body), 404)
        assert "variant" in message.lower()
        assert id in message
    for record in ("ent-none", "var-1"):
        assert record in error(admin.request(method, f"/records/{record}/variants/var-1{path}", json=body), 404)
    error(stranger.request(method, f"{RECORD}/variants/var-1{path}", json=body), 404)
    assert admin.get(f"{RECORD}/variants/var-1").json == variant


@each(
    "method, path, body",
    [
        ("GET", "", None),
        ("PUT", "", {"values": {}}),
        ("PATCH", "/values/fit", {"value": "x"}),
        ("DELETE", "", None),
        ("GET", "/variants", None),
        ("POST", "/variants", {"values": {}}),
        ("GET", "/completeness", None),
        ("GET", "/transitions", None),
        ("GET", "/audit-log", None),
        ("GET", "/categories", None),
        ("POST", "/transition", {"toStateId": "state-draft"}),
    ],
)
def test_a_variant_is_no_record(admin, make, error, method, path, body):
    variant = make("var-1", fit="wide")
    error(admin.request(method, f"/records/var-1{path}", json=body), 404)
    assert admin.get(f"{RECORD}/variants/var-1").json == variant


def test_records_and_variants_are_listed_apart(admin, make):
    make("var-1")
    assert ids(admin.get("/records?schemaId=schema-shoe").json["items"]) == ["ent-shoe", "ent-boot"]
    assert ids(admin.get("/variants?schemaId=schema-shoe").json["items"]) == ["var-1"]


def test_the_variants_of_a_record_are_a_bare_array_of_every_level(admin, make):
    made = [make("var-z"), make("var-a", "var-z"), make("var-m")]
    make("var-boot", record="ent-boot")
    assert admin.get(f"{RECORD}/variants").json == made
    assert admin.get("/records/ent-lace/variants").json == []


def test_all_variants_are_listed_page_by_page_and_by_schema(admin, stranger, make):
    made = [make(f"var-{number}", record=("ent-shoe", "ent-boot")[number % 2]) for number in range(5)]
    first = admin.get("/variants?schemaId=schema-shoe&limit=2")
    assert list(first.json) == ["items", "total", "offset", "limit"]
    assert first.json == {"items": made[:2], "total": 5, "offset": 0, "limit": 2}
    last = admin.get("/variants?schemaId=schema-shoe&limit=2&offset=4").json
    assert last == {"items": made[4:], "total": 5, "offset": 4, "limit": 2}
    everything = admin.get("/variants").json
    assert ids(everything["items"]) == ["var-cw-s", "var-cw-s-red", *ids(made)]
    assert (everything["total"], everything["limit"]) == (7, 50)
    nothing = {"items": [], "total": 0, "offset": 0, "limit": 50}
    assert admin.get("/variants?schemaId=schema-none").json == stranger.get("/variants").json == nothing


# Inheritance


def resolve(caller, id, record="ent-shoe"):
    """What `resolved` adds to a variant, its lists sorted, after checking that the rest is the variant."""
    answer = caller.get(f"/records/{record}/variants/{id}/resolved")
    assert answer.status_code == 200, answer.json
    variant = caller.get(f"/records/{record}/variants/{id}").json
    assert {name: answer.json[name] for name in variant} == variant
    added = {name: value for name, value in answer.json.items() if name not in variant}
    assert list(added) == ["effectiveValues", "overriddenAttributes", "inheritedAttributes"]
    return added["effectiveValues"], sorted(added["overriddenAttributes"]), sorted(added["inheritedAttributes"])


LABEL = [*everywhere("Shoe"), {"scope": DANISH, "value": "Sko"}]


def test_a_variant_without_overrides_inherits_all_that_is_inheritable(admin, make):
    make("var-1")
    assert resolve(admin, "var-1") == (scoped(label=LABEL, fit="normal"), [], ["fit", "label"])


def test_an_override_replaces_all_scopes_of_the_attribute(admin, make):
    make("var-1", label="Clog")
    assert resolve(admin, "var-1") == (scoped(label="Clog", fit="normal"), ["label"], ["fit"])
    make("var-2", label=[{"scope": DANISH, "value": "Træsko"}])
    expected = scoped(label=[{"scope": DANISH, "value": "Træsko"}], fit="normal")
    assert resolve(admin, "var-2") == (expected, ["label"], ["fit"])


def test_the_nearest_override_counts_over_several_levels(admin, make):
    make("var-1", fit="wide")
    make("var-2", "var-1", label="Clog")
    make("var-3", "var-2", fit="narrow")
    make("var-4", "var-3")
    make("var-other", "var-1")
    assert resolve(admin, "var-2") == (scoped(label="Clog", fit="wide"), ["label"], ["fit"])
    assert resolve(admin, "var-3") == (scoped(label="Clog", fit="narrow"), ["fit"], ["label"])
    assert resolve(admin, "var-4") == (scoped(label="Clog", fit="narrow"), [], ["fit", "label"])
    assert resolve(admin, "var-other") == (scoped(label=LABEL, fit="wide"), [], ["fit", "label"])


def test_what_is_not_inheritable_is_never_inherited_from_any_level(admin, make):
    make("var-1", gtin="11")
    make("var-2", "var-1")
    make("var-3", "var-2", gtin="13")
    assert resolve(admin, "var-1") == (scoped(label=LABEL, fit="normal", gtin="11"), ["gtin"], ["fit", "label"])
    assert resolve(admin, "var-2") == (scoped(label=LABEL, fit="normal"), [], ["fit", "label"])
    assert resolve(admin, "var-3") == (scoped(label=LABEL, fit="normal", gtin="13"), ["gtin"], ["fit", "label"])


def test_a_change_above_is_inherited_at_once(admin, make):
    make("var-1")
    make("var-2", "var-1")
    assert admin.put(RECORD, {"values": scoped(fit="loose", label=[])}).status_code == 200
    assert resolve(admin, "var-2") == (scoped(fit="loose"), [], ["fit"])
    assert admin.patch(f"{RECORD}/variants/var-1/values/fit", {"value": "tight"}).status_code == 200
    assert resolve(admin, "var-2") == (scoped(fit="tight"), [], ["fit"])
    attribute = admin.get("/attributes/attr-fit").json
    assert admin.put("/attributes/attr-fit", {**attribute, "inheritable": False}).status_code == 200
    assert resolve(admin, "var-2") == ({}, [], [])


def test_the_same_value_as_above_is_an_override_all_the_same(admin, make):
    make("var-1", fit="normal")
    assert resolve(admin, "var-1") == (scoped(label=LABEL, fit="normal"), ["fit"], ["label"])


def test_the_demo_variant_resolves_as_its_levels_say(key):
    record = key.get("/records/ent-coastal-wb").json["values"]
    effective, overridden, inherited = resolve(key, "var-cw-s-red", "ent-coastal-wb")
    own = scoped(sku="CW-102", ean="9520000013226", color="val-red")
    assert effective == {**record, **own}
    assert overridden == ["color", "ean", "sku"]
    assert inherited == sorted(record.keys() - own.keys())


# Change


def test_put_replaces_the_overrides_it_lists_and_leaves_the_others(admin, editor, make):
    before = make("var-1", fit="wide", gtin="11")
    answer = editor.put(f"{RECORD}/variants/var-1", {"values": scoped(fit="narrow", label="Clog")})
    assert answer.status_code == 200
    changed = {"updatedAt": answer.json["updatedAt"], "updatedBy": "user-editor"}
    assert answer.json == {**before, **changed, "values": scoped(fit="narrow", gtin="11", label="Clog")}
    assert answer.json["updatedAt"] >= before["updatedAt"]
    assert admin.get(f"{RECORD}/variants/var-1").data == answer.data
    assert admin.get(RECORD).json["values"] == scoped(label=LABEL, fit="normal", gtin="1")


def test_put_of_an_empty_array_restores_inheritance(admin, make):
    make("var-1", fit="wide", gtin="11")
    assert admin.put(f"{RECORD}/variants/var-1", {"values": {"fit": []}}).json["values"] == scoped(gtin="11")
    assert resolve(admin, "var-1") == (scoped(label=LABEL, fit="normal", gtin="11"), ["gtin"], ["fit", "label"])


def test_patch_sets_one_scope_of_an_override(admin, make):
    make("var-1", fit="wide")
    answer = admin.patch(f"{RECORD}/variants/var-1/values/label", {"value": "Træsko", "scope": DANISH})
    assert answer.status_code == 200
    label = [{"scope": DANISH, "value": "Træsko"}]
    assert answer.json["values"] == scoped(fit="wide", label=label)
    assert resolve(admin, "var-1") == (scoped(fit="wide", label=label), ["fit", "label"], [])


def test_patch_with_null_restores_inheritance_once_no_scope_is_overridden(admin, make):
    path = f"{RECORD}/variants/var-1/values/label"
    make("var-1", label=[*everywhere("Clog"), {"scope": DANISH, "value": "Træsko"}])
    assert admin.patch(path, {"value": None}).status_code == 200
    assert resolve(admin, "var-1")[0]["label"] == [{"scope": DANISH, "value": "Træsko"}]
    assert admin.patch(path, {"value": None, "scope": DANISH}).json["values"] == {}
    assert resolve(admin, "var-1") == (scoped(label=LABEL, fit="normal"), [], ["fit", "label"])


@each(
    "body",
    [
        {},
        {"values": None},
        {"values": {}, "parentId": "ent-shoe"},
        {"values": {}, "level": 1},
        {"values": scoped(colour="red")},
        {"values": scoped(label="Clog", fit=[{"value": 1}])},
    ],
    ids=["nothing", "null", "parent", "level", "unknown alias", "wrong type"],
)
def test_a_put_that_is_refused_changes_nothing(admin, make, error, body):
    variant = make("var-1", fit="wide")
    error(admin.put(f"{RECORD}/variants/var-1", body), 400)
    assert admin.get(f"{RECORD}/variants/var-1").json == variant


def test_patch_of_an_attribute_that_the_schema_does_not_have_is_not_found(admin, make, error):
    variant = make("var-1", fit="wide")
    assert "price" in error(admin.patch(f"{RECORD}/variants/var-1/values/price", {"value": 1}), 404)
    assert admin.get(f"{RECORD}/variants/var-1").json == variant


# Delete


def test_a_deleted_variant_takes_those_below_it_along_and_no_others(admin, make, error):
    for id, parent in (("var-1", None), ("var-2", "var-1"), ("var-3", "var-2"), ("var-4", "var-1"), ("var-5", None)):
        make(id, parent)
    answer = admin.delete(f"{RECORD}/variants/var-2")
    assert (answer.status_code, answer.data) == (204, b"")
    assert ids(admin.get(f"{RECORD}/variants").json) == ["var-1", "var-4", "var-5"]
    assert admin.delete(f"{RECORD}/variants/var-1").status_code == 204
    assert ids(admin.get(f"{RECORD}/variants").json) == ["var-5"]
    assert admin.get("/variants?schemaId=schema-shoe").json["total"] == 1
    for id in ("var-1", "var-2", "var-3", "var-4"):
        error(admin.get(f"{RECORD}/variants/{id}"), 404)
        error(admin.delete(f"{RECORD}/variants/{id}"), 404)
    assert admin.get(RECORD).status_code == 200


def test_a_deleted_record_takes_its_variants_along_and_no_others(admin, make):
    make("var-1")
    make("var-2", "var-1")
    make("var-boot", record="ent-boot")
    assert admin.delete(RECORD).status_code == 204
    assert ids(admin.get("/variants?schemaId=schema-shoe").json["items"]) == ["var-boot"]
    assert admin.get("/variants?schemaId=schema-shoe").json["total"] == 1


def test_the_id_of_a_deleted_variant_is_free_again(admin, make):
    make("var-1", fit="wide")
    make("var-2", "var-1")
    assert admin.delete(f"{RECORD}/variants/var-1").status_code == 204
    assert make("var-2", record="ent-boot")["level"] == 1
    assert make("var-1", gtin="5")["values"] == scoped(gtin="5")


# Many


def test_a_chain_of_five_hundred_levels_resolves_and_is_deleted(admin, make):
    make("var-1", fit="wide")
    for level in range(2, 501):
        body = {"id": f"var-{level}", "parentId": f"var-{level - 1}"}
        assert admin.post(f"{RECORD}/variants", body).json["level"] == level
    assert resolve(admin, "var-500") == (scoped(label=LABEL, fit="wide"), [], ["fit", "label"])
    assert admin.get("/variants?schemaId=schema-shoe&offset=499").json["total"] == 500
    assert admin.delete(f"{RECORD}/variants/var-251").status_code == 204
    assert ids(admin.get(f"{RECORD}/variants").json) == [f"var-{level}" for level in range(1, 251)]
    assert admin.delete(RECORD).status_code == 204
    assert admin.get("/variants?schemaId=schema-shoe").json["total"] == 0


def test_hundreds_of_variants_of_one_record_are_listed_and_deleted_with_it(admin, make):
    made = [make(f"var-{number}", gtin=str(number)) for number in range(200)]
    assert admin.get(f"{RECORD}/variants").json == made
    page = admin.get("/variants?schemaId=schema-shoe&offset=190&limit=20").json
    assert page == {"items": made[190:], "total": 200, "offset": 190, "limit": 20}
    assert admin.delete(RECORD).status_code == 204
    assert admin.get("/variants?schemaId=schema-shoe").json["total"] == 0
    assert admin.get(f"{RECORD}/audit-log?limit=1").json["total"] == 402
