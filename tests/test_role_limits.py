"""What a role shows and lets write: levels of attributes and permissions for catalogs, tried on every route that they concern.

The role under trial is that of the demo's editor, put anew by each test; so each shows, too, that a change counts from the
next request on. Records, attributes and catalogs are this file's own. Nothing here is read from the service's own rules.
"""

import ast
import json
import re

import pytest
from cases import each
from conftest import sql
from flask import g
from nouns import LISTS
from test_access import OPERATIONS, shape
from test_house import TREES, nodes

from sigma import database
from sigma.http import credentials
from sigma.http.errors import ApiError
from sigma.http.strict_json import to_json
from sigma.resources import writes
from sigma.resources.entities import load_record
from sigma.resources.many_writes import ManyWrites
from sigma.resources.role_limits import UNLIMITED, Levels
from sigma.resources.rules import schema_rules

FLAGS = ("canManageSchemas", "canManageRoles", "canManageDimensions", "canManageOptionLists", "canExport", "canImport")
SECRET, ALIAS = "Quetzal", "margin-note"  # a text that stands nowhere else, and the attribute whose value it is
TITLE = {"title": [{"scope": {}, "value": "Part one"}]}
NOTE = {ALIAS: [{"scope": {}, "value": SECRET}]}
OTHER_NOTE = {ALIAS: [{"scope": {}, "value": "Other"}]}
ATTRIBUTES = {
    "title": {"type": "text", "dimensionIds": ["dim-language"]},
    ALIAS: {"type": "text"},
    "cost": {"type": "number"},
    "marks": {"type": "text", "multiple": True},
    "code": {"type": "text", "validation": {"unique": True}},
}
STATES = [{"id": "state-rough", "name": "Rough", "required": ["title", ALIAS]}, {"id": "state-ready", "name": "Ready"}]
READY = {"id": "tr-ready", "fromStateId": "state-rough", "toStateId": "state-ready", "requiresCompleteness": 100}
CATEGORIES = {"cat-open": "cat-webshop", "cat-shut": "cat-marketplace"}  # each with its catalog


def role(**members):
    """Return the editor's role: it may do everything but for what is said here."""
    return {"name": "Editor", **dict.fromkeys(FLAGS, True), **members}


def levels(schema="schema-part", **attributes):
    """Return a role's permissions for schemas; underscores stand for hyphens."""
    named = {name.replace("_", "-"): level for name, level in attributes.items()}
    return {"schemaPermissions": [{"schemaId": schema, "attributePermissions": named}]}


def catalog(id="cat-marketplace", **flags):
    """Return a role's permissions for catalogs."""
    return {"catalogPermissions": [{"catalogId": id, **flags}]}


RECORD, VARIANT = "/records/ent-part", "/records/ent-part/variants/var-part"
HIDDEN = levels(margin_note="hidden", marks="hidden", cost="hidden")


@pytest.fixture(scope="module")
def initial_database(prepare):
    return prepare(make_parts)


@pytest.fixture
def limit(admin):
    """Return a function that puts limits on the editor's role."""
    return lambda **members: put_limits(admin, **members)


def put_limits(admin, **members):
    answer = admin.put("/roles/role-editor", role(**members))
    assert answer.status_code == 200, answer.json


def make_parts(admin):
    """Make two schemas with the same attributes, a record of each, a variant of the first, categories and a saved query."""

    def post(path, body):
        answer = admin.post(path, body)
        assert answer.status_code in (201, 204), answer.json

    put_limits(admin)
    for alias, members in ATTRIBUTES.items():
        post("/attributes", {"id": f"attr-{alias}-x", "alias": alias, "name": alias, **members})
    states = {"defaultStateId": "state-rough", "states": STATES, "transitions": [READY]}
    post("/workflows", {"id": "wf-part", "alias": "part", "name": "Part", **states})
    for name in ("part", "tool"):
        group = {"id": "grp", "name": "All", "attributeIds": [f"attr-{alias}-x" for alias in ATTRIBUTES]}
        schema = {"id": f"schema-{name}", "alias": name, "name": name, "variantEnabled": True, "workflowId": "wf-part"}
        post("/schemas", {**schema, "attributeGroups": [group]})
        values = {**TITLE, **NOTE, "cost": [{"scope": {}, "value": 5}], "code": [{"scope": {}, "value": f"code-{name}"}]}
        values["marks"] = [{"scope": {}, "value": ["fine", "Marsupial"]}]
        post("/records", {"id": f"ent-{name}", "schemaId": f"schema-{name}", "values": values})
    post("/records/ent-part/variants", {"id": "var-part", "values": NOTE})
    post("/records/ent-part/variants", {"id": "var-below", "parentId": "var-part"})
    for id, above in CATEGORIES.items():
        post(f"/catalogs/{above}/categories", {"id": id, "alias": id, "name": id})
        post(f"/categories/{id}/assign", {"entityId": "ent-part"})
    post("/saved-queries", {"id": "sq-part", "name": "Parts", "query": {"schemaId": "schema-part"}})


# Every route that answers values


TELLING = {  # each with a request whose answer has the secret in it, for whom it is not hidden from
    ("GET", "/records"): ("/records?schemaId=schema-part", None),
    ("GET", "/records/:id"): ("/records/ent-part", None),
    ("POST", "/records"): ("/records", {"schemaId": "schema-part", "values": NOTE}),
    ("PUT", "/records/:id"): ("/records/ent-part", {"values": {"code": []}}),
    ("PATCH", "/records/:id/values/:attr"): ("/records/ent-part/values/code", {"value": "new"}),
    ("POST", "/records/:id/transition"): ("/records/ent-part/transition", {"toStateId": "state-ready"}),
    ("GET", "/records/:id/completeness"): ("/records/ent-part/completeness", None),
    ("GET", "/records/:id/audit-log"): ("/records/ent-part/audit-log", None),
    ("GET", "/variants"): ("/variants?schemaId=schema-part", None),
    ("GET", "/records/:id/variants"): ("/records/ent-part/variants", None),
    ("GET", "/records/:id/variants/:vid"): ("/records/ent-part/variants/var-part", None),
    ("GET", "/records/:id/variants/:vid/resolved"): ("/records/ent-part/variants/var-below/resolved", None),
    ("POST", "/records/:id/variants"): ("/records/ent-part/variants", {"values": NOTE}),
    ("PUT", "/records/:id/variants/:vid"): ("/records/ent-part/variants/var-part", {"values": {"code": []}}),
    ("PATCH", "/records/:id/variants/:vid/values/:attr"): (
        "/records/ent-part/variants/var-part/values/code",
        {"value": "new"},
    ),
    ("GET", "/categories/:id/entities"): ("/categories/cat-open/entities", None),
    ("POST", "/search"): ("/search", {"schemaId": "schema-part"}),
    ("POST", "/search/full-text"): ("/search/full-text", {"query": "part", "schemaId": "schema-part"}),
    ("GET", "/search/text"): ("/search/text?q=part&schemaId=schema-part", None),
    ("POST", "/saved-queries/:id/execute"): ("/saved-queries/sq-part/execute", None),
    ("GET", "/export"): ("/export?schemaId=schema-part", None),
}
MAKING = {("POST", "/records"), ("POST", "/records/:id/variants")}  # whose answers have what was sent, and nothing else
SILENT = {  # what answers no values of records, whoever asks
    *(("GET", path) for path in ("/healthz", "/auth/tenants", "/api-keys", "/records/:id/transitions")),
    *(("POST", f"/auth/{name}") for name in ("login", "refresh")),
    *(("POST", "/api-keys"), ("POST", "/api-keys/:id/deactivate"), ("DELETE", "/api-keys/:id")),
    *(
        (method, f"/{kind}{id}")
        for kind in (*LISTS, "webhooks")
        for method, id in (("GET", ""), ("GET", "/:id"), ("POST", ""), ("PUT", "/:id"), ("DELETE", "/:id"))
    ),
    *(("GET", "/schemas/:id/attributes"), ("POST", "/dimensions/scope-matrix"), ("POST", "/roles/:id/resolve")),
    *(("POST", "/option-lists/:id/values"), *((m, "/option-lists/:id/values/:valueId") for m in ("PUT", "DELETE"))),
    *(("GET", "/catalogs/:id/tree"), ("POST", "/catalogs/:id/categories"), ("GET", "/records/:id/categories")),
    *((method, "/categories/:id") for method in ("GET", "PUT", "DELETE")),
    *(("POST", f"/categories/:id/{verb}") for verb in ("assign", "unassign")),
    *(("DELETE", "/records/:id"), ("DELETE", "/records/:id/variants/:vid")),
    *(("GET", "/saved-queries"), ("POST", "/saved-queries")),
    *((method, "/saved-queries/:id") for method in ("GET", "DELETE")),
    *(("POST", "/import/preview"), ("POST", "/import/execute")),
}
VALUES_IN_DOCUMENT = {"ScopedValues", "Change", "Row"}  # what the OpenAPI document calls what has values of records in it


def ask(caller, operation):
    """Send a request whose answer may tell the secret."""
    path, body = TELLING[operation]
    return caller.request(operation[0], path, json=body)


def test_every_route_is_known_to_answer_values_or_none():
    assert TELLING.keys() | SILENT == {(operation.method, operation.path) for operation in OPERATIONS}
    assert TELLING.keys() & SILENT == set()


def test_what_the_document_says_has_values_in_it_is_among_those_that_answer_them(app):
    document = app.test_client().get("/openapi.json").json

    def names_in(part, seen):
        for name in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(part)):
            if name not in seen:
                seen.add(name)
                names_in(document["components"]["schemas"][name], seen)
        return seen

    telling = {
        (method.upper(), shape(path))
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if path.startswith("/api/") and method != "parameters"
        for status, answer in operation["responses"].items()
        if status.startswith("2") and names_in(answer, set()) & VALUES_IN_DOCUMENT
    }
    assert len(telling) > 15
    assert telling <= {(method, f"/api/v1{shape(path)}") for method, path in TELLING}


def each_telling(test):
    return pytest.mark.parametrize("operation", TELLING, ids=" ".join)(test)


@each_telling
def test_who_may_see_it_is_told(operation, editor, limit):
    limit(**levels(margin_note="write" if operation in MAKING else "read"))
    answer = ask(editor, operation)
    assert answer.status_code in (200, 201), answer.json
    assert ALIAS in answer.text
    assert SECRET in answer.text or operation[1].endswith("/completeness")


@each_telling
def test_a_key_is_told_whatever_roles_say(operation, key, limit):
    limit(**HIDDEN)
    answer = ask(key, operation)
    assert answer.status_code in (200, 201), answer.json
    assert ALIAS in answer.text
    assert SECRET in answer.text or operation[1].endswith("/completeness")


@each_telling
@each("name", ["margin_note", "attr_margin_note_x"], ids=["by-alias", "by-id"])
def test_from_whom_it_is_hidden_is_not_told(operation, name, editor, limit):
    limit(**levels(**{name: "hidden"}))
    answer = ask(editor, operation)
    assert SECRET not in answer.text
    if operation in MAKING:
        assert answer.status_code == 403
    else:
        assert answer.status_code == 200, answer.json
        assert ALIAS not in answer.text


@each("operation", [operation for operation in TELLING if operation[0] == "GET"], ids=" ".join)
def test_a_change_of_the_role_counts_at_the_next_request(operation, editor, limit):
    before = ask(editor, operation).data
    limit(**HIDDEN)
    assert ALIAS not in ask(editor, operation).text
    limit()
    assert ask(editor, operation).data == before


# What is left of an answer


def test_a_record_is_as_it_is_without_the_hidden_values(editor, admin, limit):
    limit(**HIDDEN)
    whole = admin.get("/records/ent-part").json
    shown = {**whole, "values": {alias: whole["values"][alias] for alias in ("title", "code")}}
    assert editor.get("/records/ent-part").json == shown
    page = editor.get("/records?schemaId=schema-part").json
    assert page == {"items": [shown], "total": 1, "offset": 0, "limit": 50}
    assert list(page["items"][0]) == list(whole)


def test_a_resolved_variant_is_told_without_hidden_values_its_own_or_inherited(editor, limit):
    limit(**levels(margin_note="hidden", marks="hidden"))
    for id in ("var-part", "var-below"):
        variant = editor.get(f"/records/ent-part/variants/{id}/resolved").json
        assert (variant["values"], variant["overriddenAttributes"]) == ({}, [])
        assert sorted(variant["inheritedAttributes"]) == ["code", "cost", "title"]
        assert variant["effectiveValues"].keys() == {"code", "cost", "title"}


def test_completeness_counts_what_is_hidden_and_does_not_name_it(editor, admin, limit, error):
    limit(**HIDDEN)
    for values, score, missing in ({ALIAS: []}, 50, []), ({"title": []}, 0, ["title"]), (NOTE, 50, ["title"]):
        assert admin.put("/records/ent-part", {"values": values}).status_code == 200
        report = editor.get("/records/ent-part/completeness").json
        part = {"score": score, "filled": ["title"] * (missing == []), "missing": missing}
        rough, ready = ({"stateId": STATES[0]["id"], **part}, {"stateId": STATES[1]["id"], "score": 100})
        assert report == {"entityId": "ent-part", **rough, "states": [rough, {**ready, "filled": [], "missing": []}]}
        message = error(editor.post("/records/ent-part/transition", {"toStateId": "state-ready"}), 422)
        assert message == (
            f"Transition 'tr-ready' needs completeness 100, but it is {score};"
            f" missing: {', '.join(missing) or 'attributes that your role hides'}"
        )
        assert editor.get("/records/ent-part/transitions").json == []


def test_hidden_attributes_are_no_columns_of_an_export(editor, admin, limit):
    limit(**HIDDEN)
    (row,) = editor.get("/export?schemaId=schema-part").json
    assert row == {"_id": "ent-part", "title": "Part one", "code": "code-part"}
    csv = editor.get("/export?schemaId=schema-part&format=csv").text
    assert csv == "_id,title,code\r\nent-part,Part one,code-part\r\n"


def test_what_is_hidden_of_one_schema_is_seen_of_another(editor, admin, limit):
    limit(**HIDDEN)
    assert editor.get("/records/ent-tool").data == admin.get("/records/ent-tool").data
    rows = {row["_id"]: row for row in editor.get("/export").json}
    assert (rows["ent-part"][ALIAS], rows["ent-tool"][ALIAS]) == (None, SECRET)
    found = editor.post("/search", {}).json["items"]
    assert [ALIAS in record["values"] for record in found if record["id"] in ("ent-part", "ent-tool")] == [False, True]
    history = editor.get("/records/ent-tool/audit-log")
    assert history.data == admin.get("/records/ent-tool/audit-log").data


def test_an_alias_that_a_role_lists_goes_before_an_id(editor, limit):
    limit(**levels(attr_margin_note_x="hidden", margin_note="read", attr_cost_x="hidden"))
    assert {ALIAS, "cost"} & editor.get("/records/ent-part").json["values"].keys() == {ALIAS}


# History


def changed(answer):
    """Return of each entry of a history its action and which attributes changed."""
    assert answer.status_code == 200
    return [
        (entry["entityId"], entry["action"], sorted({change["attribute"] for change in entry["changes"]}))
        for entry in answer.json["items"]
    ]


def test_a_history_has_every_entry_and_no_hidden_change(editor, admin, limit):
    limit(**HIDDEN)
    assert admin.patch("/records/ent-part/values/cost", {"value": 7}).status_code == 200
    assert admin.patch("/records/ent-part/values/title", {"value": "Part two"}).status_code == 200
    assert admin.post("/records/ent-part/transition", {"toStateId": "state-ready"}).status_code == 200
    entries = [
        ("ent-part", "transition", ["lifecycleStateId"]),
        ("ent-part", "update", ["title"]),
        ("ent-part", "update", []),
        ("var-below", "create", []),
        ("var-part", "create", []),
        ("ent-part", "create", ["code", "title"]),
    ]
    whole = editor.get("/records/ent-part/audit-log")
    assert (changed(whole), whole.json["total"]) == (entries, 6)
    for place in range(6):
        assert changed(editor.get(f"/records/ent-part/audit-log?offset={place}&limit=1")) == entries[place : place + 1]


def test_of_a_record_that_is_gone_what_is_hidden_of_any_schema_is_hidden(editor, admin, limit):
    """Nothing says any more of which schema it was."""
    limit(**HIDDEN)
    for id in ("ent-part", "ent-tool"):
        assert admin.delete(f"/records/{id}").status_code == 204
    shown = ["code", "title"]
    variants = [("var-below", "delete", []), ("var-part", "delete", [])]
    made = [("var-below", "create", []), ("var-part", "create", []), ("ent-part", "create", shown)]
    history = changed(editor.get("/records/ent-part/audit-log"))
    assert [history[0], sorted(history[1:3]), history[3:]] == [("ent-part", "delete", shown), variants, made]
    assert changed(editor.get("/records/ent-tool/audit-log")) == [("ent-tool", act, shown) for act in ("delete", "create")]


@each("becomes", ["record", "variant"])
def test_an_id_that_is_used_again_does_not_open_the_history_of_the_record_that_had_it(becomes, editor, admin, limit):
    limit(**HIDDEN)
    assert admin.delete("/records/ent-part").status_code == 204
    new = {"id": "ent-part", "values": {**NOTE, **TITLE}}
    if becomes == "record":
        assert editor.post("/records", {**new, "schemaId": "schema-tool"}).status_code == 201
    else:
        assert editor.post("/records/ent-tool/variants", new).status_code == 201
    history = editor.get("/records/ent-part/audit-log")
    seen = changed(history)
    if becomes == "record":
        assert seen.pop(0) == ("ent-part", "create", [ALIAS, "title"])
        assert SECRET in history.text
    else:
        assert SECRET not in history.text
    assert {alias for _, _, aliases in seen for alias in aliases} == {"code", "title"}


@each("name", ["margin_note", "attr_margin_note_x"], ids=["by-alias", "by-id"])
@each("fate", ["taken out", "deleted", "renamed"])
def test_what_has_been_hidden_stays_hidden_when_its_attribute_goes(name, fate, app, editor, admin, limit):
    """To delete or rename it, the role must let go of it first; a role of an older version may name what is not there."""
    limit()
    let_go(admin)
    if fate == "renamed":
        for path in ("/records/ent-part", "/records/ent-tool", "/records/ent-part/variants/var-part"):
            assert admin.put(path, {"values": {ALIAS: []}}).status_code == 200
        attribute = admin.get("/attributes/attr-margin-note-x").json
        assert admin.put("/attributes/attr-margin-note-x", {**attribute, "alias": "remark"}).status_code == 200
    else:
        for schema in ("part", "tool"):
            body = admin.get(f"/schemas/schema-{schema}").json
            body["attributeGroups"][0]["attributeIds"].remove("attr-margin-note-x")
            assert admin.put(f"/schemas/schema-{schema}", body).status_code == 200
        if fate == "deleted":
            assert admin.delete("/attributes/attr-margin-note-x").status_code == 204
    put = "UPDATE model_objects SET body = json_set(body, '$.schemaPermissions', json(?)) WHERE kind = 'role' AND id = ?"
    sql(app, put, to_json(levels(**{name: "hidden"})["schemaPermissions"]), "role-editor")
    assert SECRET in admin.get("/records/ent-part/audit-log").text
    for path in ("", "/audit-log", "/variants", "/variants/var-part", "/variants/var-below/resolved"):
        assert SECRET not in editor.get(f"/records/ent-part{path}").text
    # Nor does a write tell whether a guess is right.
    guesses = [editor.put(RECORD, {"values": values}) for values in (NOTE, OTHER_NOTE, {ALIAS: []})]
    patches = [editor.patch(f"{RECORD}/values/{ALIAS}", {"value": value}) for value in (SECRET, "Other", None)]
    for answers in (guesses, patches):
        assert answers[0].status_code in (400, 403, 404)
        assert len({answer.data for answer in answers}) == 1
    assert admin.delete("/records/ent-part").status_code == 204
    assert SECRET not in editor.get("/records/ent-part/audit-log").text


# Search


def criteria(alias, operator="isNotEmpty", **members):
    return {
        "criteria": [{"attribute": "title", "operator": "isNotEmpty"}, {"attribute": alias, "operator": operator, **members}]
    }


ADVICE = (
    "; someone who manages roles can change it with PUT /api/v1/roles/role-editor, or whoever runs the service can give you"
    " another with `flask users role`"
)
REFUSED = f"criteria[1].attribute: attribute '{ALIAS}' of schema 'schema-part' is 'hidden' for role 'role-editor'{ADVICE}"
BY_WHAT = {operator: {"value": SECRET} for operator in ("equals", "notEquals", "contains")} | {"isEmpty": {}, "isNotEmpty": {}}


@each("operator", BY_WHAT)
@each("within", [{}, {"schemaId": "schema-part"}], ids=["everywhere", "in-the-schema"])
def test_a_criterion_on_what_is_hidden_is_refused(operator, within, editor, admin, key, limit, error):
    limit(**HIDDEN)
    query = {**criteria(ALIAS, operator, **BY_WHAT[operator]), **within}
    assert error(editor.post("/search", query), 403) == REFUSED
    assert error(editor.post("/search", {**query, "criteriaOperator": "or"}), 403) == REFUSED
    assert admin.post("/search", query).data == key.post("/search", query).data


def test_a_criterion_may_name_what_is_hidden_of_another_schema(editor, admin, limit):
    limit(**HIDDEN)
    query = {**criteria(ALIAS, "equals", value=SECRET), "schemaId": "schema-tool"}
    answer = editor.post("/search", query)
    assert [record["id"] for record in answer.json["items"]] == ["ent-tool"]
    assert answer.data == admin.post("/search", query).data


def test_a_criterion_may_name_what_a_schema_with_hidden_attributes_does_not_have(editor, admin, limit):
    limit(**HIDDEN)
    for alias in ("code", "sku"):  # of this schema and another, and of the demo's
        query = {"criteria": [{"attribute": alias, "operator": "isNotEmpty"}]}
        assert editor.post("/search", query).json["total"] == admin.post("/search", query).json["total"] > 1


def test_a_criterion_on_what_may_only_be_read_is_fine(editor, admin, limit):
    limit(**levels(margin_note="read"))
    query = criteria(ALIAS, "equals", value=SECRET)
    assert editor.post("/search", query).data == admin.post("/search", query).data


def test_the_other_name_of_the_member_is_no_way_round(editor, limit, error):
    limit(**HIDDEN)
    query = {"criteria": [{"attributeAlias": ALIAS, "operator": "isEmpty"}]}
    assert error(editor.post("/search", query), 403).startswith("criteria[0].attributeAlias: ")


def test_a_criterion_on_what_is_hidden_is_refused_before_it_is_held_against_the_attribute(editor, limit, error):
    limit(**HIDDEN)
    error(editor.post("/search", criteria(ALIAS, "contains")), 400)  # malformed, whatever it is about
    for query in (criteria(ALIAS, "gt", value="5"), criteria(ALIAS, scope={"dim-none": "x"})):
        assert f"attribute '{ALIAS}' of schema" in error(editor.post("/search", query), 403)


def test_a_query_on_what_is_hidden_is_neither_saved_nor_run(editor, admin, key, limit, stored, error):
    limit(**HIDDEN)
    assert admin.post("/saved-queries", {"id": "sq-note", "name": "Notes", "query": criteria(ALIAS)}).status_code == 201
    before = stored()
    body = {"id": "sq-mine", "name": "Mine", "query": criteria(ALIAS)}
    assert error(editor.post("/saved-queries", body), 403) == f"query.{REFUSED}"
    assert error(editor.post("/saved-queries/sq-note/execute"), 403) == f"query.{REFUSED}"
    assert stored() == before
    assert admin.post("/saved-queries/sq-note/execute").json["total"] == 2
    assert key.post("/saved-queries/sq-note/execute").json["total"] == 2
    limit()
    assert editor.post("/saved-queries/sq-note/execute").json["total"] == 2


@each("word", [SECRET, SECRET.lower(), "quet", "Marsupial", "fine"])
def test_a_word_in_a_hidden_value_is_not_found(word, editor, admin, limit):
    def found(caller, words=word, **within):
        by_body = caller.post("/search/full-text", {"query": words, **within})
        by_query = caller.get("/search/text", query_string={"q": words, **within})
        assert by_body.data == by_query.data
        return [record["id"] for record in by_body.json["items"]]

    limit(**HIDDEN)
    assert (found(admin), found(editor)) == (["ent-part", "ent-tool"], ["ent-tool"])
    assert (found(admin, schemaId="schema-part"), found(editor, schemaId="schema-part")) == (["ent-part"], [])
    assert found(editor, f"part {word}") == ["ent-tool"]
    assert found(editor, "part") == ["ent-running-tights", "ent-part", "ent-tool"]  # the tights are Löpartights in Swedish


# Writing


IMPORT = {
    "schemaId": "schema-part",
    "columnMapping": {"Key": "_id", "Note": ALIAS},
    "rows": [{"Key": "ent-part", "Note": "Other"}],
}
WRITES = {  # each with what the attribute has in the end, of the record or variant that is written, if it may be written
    "POST record": ("POST", "/records", {"id": "ent-new", "schemaId": "schema-part", "values": OTHER_NOTE}, "Other"),
    "PUT record": ("PUT", RECORD, {"values": OTHER_NOTE}, "Other"),
    "PUT record, clearing": ("PUT", RECORD, {"values": {ALIAS: []}}, None),
    "PATCH record": ("PATCH", f"{RECORD}/values/{ALIAS}", {"value": "Other"}, "Other"),
    "PATCH record, clearing": ("PATCH", f"{RECORD}/values/{ALIAS}", {"value": None}, None),
    "POST variant": ("POST", f"{RECORD}/variants", {"id": "var-new", "values": OTHER_NOTE}, "Other"),
    "PUT variant": ("PUT", VARIANT, {"values": OTHER_NOTE}, "Other"),
    "PUT variant, clearing": ("PUT", VARIANT, {"values": {ALIAS: []}}, None),
    "PATCH variant": ("PATCH", f"{VARIANT}/values/{ALIAS}", {"value": "Other"}, "Other"),
    "import": ("POST", "/import/execute", IMPORT, "Other"),
    "preview of an import": ("POST", "/import/preview", IMPORT, SECRET),
}


def each_write(test):
    return pytest.mark.parametrize(("method", "path", "body", "becomes"), WRITES.values(), ids=WRITES)(test)


def test_values_are_stored_where_the_role_is_asked_and_nowhere_else():
    writing = {
        path
        for path, tree in TREES.items()
        for node in nodes(tree)
        if isinstance(node, ast.Constant) and re.match(r"(INSERT INTO|REPLACE INTO|UPDATE) entities\b", str(node.value))
    }
    only_states = {"sigma/resources/lifecycle.py", "sigma/resources/schemas.py"}
    the_stand_ins_own = "sigma/standin/content.py"  # which copies rows of the demo, for no caller
    assert writing == {"sigma/resources/writes.py", "sigma/resources/many_writes.py", the_stand_ins_own, *only_states}


def test_what_stores_values_asks_the_role_itself(app, admin, limit, stored):
    """So a route that forgets to ask stores nothing."""
    limit(**HIDDEN)
    before, limits = stored(), {"id": "role-editor", **HIDDEN}
    entity = {"id": "ent-new", "schemaId": "schema-part", "createdAt": "2026-03-01T08:00:00.000Z", "values": OTHER_NOTE}
    change = {"attribute": ALIAS, "scope": {}, "oldValue": SECRET, "newValue": "Other"}
    with app.test_request_context():
        g.tenant, g.caller = "ws-demo", credentials.Caller("ws-demo", "user-editor", user={"id": "user-editor"}, role=limits)
        rules = schema_rules("schema-part")
        with pytest.raises(ApiError, match="'hidden'"), database.transaction():
            writes.insert_entity(rules, entity)
        with pytest.raises(ApiError, match="'hidden'"), database.transaction():
            writes.save_changes(rules, load_record("ent-part"), OTHER_NOTE, [change])
        many = ManyWrites(rules)
        for write in (
            lambda: many.create("ent-new", OTHER_NOTE, [{**change, "oldValue": None}], {}),
            lambda: many.update(load_record("ent-part"), OTHER_NOTE, [change], {}),
        ):
            with pytest.raises(ApiError, match="'hidden'"), database.transaction():
                write()
                many.store()
            many.start()
    assert stored() == before


def check_written(app, method, path, body, becomes):
    """Check what the record or variant has that a request wrote."""
    id = body.get("id") or ("var-part" if path.startswith(VARIANT) else "ent-part")
    ((text,),) = sql(app, "SELECT body FROM entities WHERE tenant = 'ws-demo' AND id = ?", id)
    assert json.loads(text)["values"].get(ALIAS) == (becomes and [{"scope": {}, "value": becomes}])


@each_write
@each("level", ["read", "hidden"])
@each("name", ["margin_note", "attr_margin_note_x"], ids=["by-alias", "by-id"])
def test_what_a_role_may_not_write_is_refused_and_nothing_is_stored(
    name, level, method, path, body, becomes, editor, limit, stored, error
):
    limit(**levels(**{name: level}))
    before = stored()
    field = "columnMapping.Note" if path.startswith("/import/") else f"values.{ALIAS}"
    message = error(editor.request(method, path, json=body), 403)
    assert message == f"{field}: attribute '{ALIAS}' is '{level}' for role 'role-editor', not 'write'{ADVICE}"
    assert stored() == before


FREE = {
    "listed as write": levels(margin_note="write"),
    "not listed": levels(title="hidden", cost="read"),
    "no entry": {},
    "another schema's": levels("schema-tool", margin_note="hidden"),
    "an id that goes behind an alias": levels(attr_margin_note_x="hidden", margin_note="write"),
}


@each_write
@each("limits", FREE.values(), ids=FREE)
def test_what_a_role_may_write_is_stored(limits, method, path, body, becomes, app, editor, limit):
    limit(**limits)
    answer = editor.request(method, path, json=body)
    assert answer.status_code in (200, 201), answer.json
    check_written(app, method, path, body, becomes)


@each_write
def test_a_key_writes_whatever_roles_say(method, path, body, becomes, app, key, limit):
    limit(**HIDDEN)
    answer = key.request(method, path, json=body)
    assert answer.status_code in (200, 201), answer.json
    check_written(app, method, path, body, becomes)


@each("level", ["read", "hidden"])
@each("beside", [TITLE, {"title": [{"scope": {}, "value": 5}]}], ids=["good", "bad"])
def test_what_may_be_written_is_not_stored_either_when_it_comes_with_what_may_not(level, beside, editor, limit, stored, error):
    limit(**levels(margin_note=level))
    before = stored()
    for method, path in (("POST", "/records"), ("POST", f"{RECORD}/variants"), ("PUT", RECORD), ("PUT", VARIANT)):
        body = {"values": {**beside, **OTHER_NOTE}, **({"schemaId": "schema-part"} if path == "/records" else {})}
        assert f"'{level}'" in error(editor.request(method, path, json=body), 403)
    assert stored() == before


@each("level", ["read", "hidden"])
def test_what_a_put_does_not_list_stays(level, editor, admin, limit):
    limit(**levels(margin_note=level))
    before = admin.get(RECORD).json
    assert editor.put(RECORD, {"values": {"title": [{"scope": {}, "value": "New"}]}}).status_code == 200
    after = admin.get(RECORD).json
    assert after["values"] == {**before["values"], "title": [{"scope": {}, "value": "New"}]}
    assert after["updatedBy"] == "user-editor"


def test_what_was_read_can_be_changed_and_put_back(editor, admin, limit):
    """What may only be read comes back unchanged, which is no write of it; what is hidden does not come at all."""
    limit(**levels(margin_note="read", cost="hidden"))
    before = admin.get(RECORD).json["values"]
    body = {"values": {**editor.get(RECORD).json["values"], "title": [{"scope": {}, "value": "New"}]}}
    assert body["values"].keys() == {"title", ALIAS, "marks", "code"}
    assert editor.put(RECORD, body).status_code == 200
    assert admin.get(RECORD).json["values"] == {**before, "title": [{"scope": {}, "value": "New"}]}


def test_a_hidden_attribute_is_not_listed_in_what_is_sent_not_even_without_values(editor, limit, stored, error):
    """By PUT that would clear it; by POST it would change nothing, and is refused all the same."""
    limit(**levels(margin_note="hidden", cost="read"))
    before = stored()
    for method, path in (("POST", "/records"), ("POST", f"{RECORD}/variants"), ("PUT", RECORD), ("PUT", VARIANT)):
        body = {"values": {ALIAS: []}, **({"schemaId": "schema-part"} if path == "/records" else {})}
        message = error(editor.request(method, path, json=body), 403)
        assert message == f"values.{ALIAS}: attribute '{ALIAS}' is 'hidden' for role 'role-editor', not 'write'{ADVICE}"
    assert stored() == before
    assert editor.post("/records", {"schemaId": "schema-part", "values": {"cost": []}}).status_code == 201


def test_a_put_does_not_tell_whether_a_guess_at_a_hidden_value_is_right(editor, limit, error):
    limit(**HIDDEN)
    guesses = [NOTE, OTHER_NOTE, {ALIAS: []}, {ALIAS: [{"scope": {}, "value": 5}]}]
    assert len({error(editor.put(RECORD, {"values": guess}), 403) for guess in guesses}) == 1
    values = [SECRET, "Other", None, 5]
    assert len({error(editor.patch(f"{RECORD}/values/{ALIAS}", {"value": value}), 403) for value in values}) == 1


def test_a_body_is_found_well_formed_and_what_the_path_names_is_found_before_the_role_is_asked(editor, limit, error):
    limit(**HIDDEN)
    error(editor.put(RECORD, {"values": NOTE, "more": 1}), 400)
    error(editor.put(RECORD, {"values": {ALIAS: SECRET}}), 400)
    error(editor.put("/records/nowhere", {"values": NOTE}), 404)
    error(editor.patch(f"/records/nowhere/values/{ALIAS}", {"value": 1}), 404)
    error(editor.post("/records", {"schemaId": "nowhere", "values": NOTE}), 400)
    error(editor.post("/import/execute", {**IMPORT, "columnMapping": {"Note": ALIAS, "Key": "unknown"}}), 400)


def test_a_transition_and_a_deletion_change_no_attribute(editor, admin, limit, error):
    limit(**HIDDEN)
    assert editor.post(f"{RECORD}/transition", {"toStateId": "state-ready"}).json["lifecycleStateId"] == "state-ready"
    assert ALIAS in admin.get(RECORD).json["values"]
    assert editor.delete(VARIANT).status_code == 204
    assert editor.delete(RECORD).status_code == 204
    error(admin.get(RECORD), 404)


def test_an_alias_that_the_schema_does_not_have_is_told_as_ever(editor, limit, error):
    limit(**HIDDEN)
    message = error(editor.put(RECORD, {"values": {"marginal": []}}), 400)
    assert message == "values.marginal: schema 'schema-part' has no attribute with this alias (there are 'title', 'code')"
    assert error(editor.put(RECORD, {"values": {"marginal": 3}}), 400) == message
    assert error(editor.put(RECORD, {"values": {ALIAS: 3}}), 400).startswith(f"values.{ALIAS}: Expected an array")
    error(editor.patch(f"{RECORD}/values/marginal", {"value": 1}), 404)


# What is said of unique values


TAKEN = [{"scope": {}, "value": "code-part"}]


def conflicts(caller, error):
    """Return what is said of a unique value that the hidden record has: by POST, PATCH, and an import."""
    yield error(caller.post("/records", {"schemaId": "schema-tool", "values": {"code": TAKEN}}), 409)
    yield error(caller.patch("/records/ent-tool/values/code", {"value": "code-part"}), 409)
    body = {"schemaId": "schema-tool", "columnMapping": {"Code": "code"}, "rows": [{"Code": "code-part"}]}
    yield caller.post("/import/preview", body).json["results"][0]["errors"][0]


def test_a_conflict_does_not_tell_whose_hidden_value_it_is(editor, admin, limit, error):
    limit(**levels(code="hidden"))
    for message in conflicts(editor, error):
        assert "another record or variant" in message
        assert "ent-part" not in message
    for message in conflicts(admin, error):
        assert "'ent-part'" in message


# What becomes of hidden values when the model changes


def take_out(caller, id, *schemas):
    """Take an attribute out of schemas."""
    for schema in schemas or ("schema-part", "schema-tool"):
        body = caller.get(f"/schemas/{schema}").json
        body["attributeGroups"][0]["attributeIds"].remove(id)
        assert caller.put(f"/schemas/{schema}", body).status_code == 200


def let_go(admin):
    """Make the states of the workflow name no attribute."""
    workflow = admin.get("/workflows/wf-part").json
    states = [{**state, "required": []} for state in workflow["states"]]
    assert admin.put("/workflows/wf-part", {**workflow, "states": states}).status_code == 200


def put_in(caller, id, schema="schema-part"):
    """Put an attribute into a schema."""
    body = caller.get(f"/schemas/{schema}").json
    body["attributeGroups"][0]["attributeIds"].append(id)
    assert caller.put(f"/schemas/{schema}", body).status_code == 200


NOTE_ID = "attr-margin-note-x"


@each("level", ["read", "hidden"])
@each("name", ["margin_note", "attr_margin_note_x"], ids=["by-alias", "by-id"])
def test_an_attribute_that_a_role_limits_is_neither_deleted_nor_renamed(name, level, editor, admin, make_key, limit, error):
    """Else another one could take its alias, and with it what is stored under that, without the limit."""
    let_go(admin)
    limit(**levels(**{name: level}))
    take_out(editor, NOTE_ID)
    for path in (RECORD, VARIANT, "/records/ent-tool"):
        assert admin.put(path, {"values": {ALIAS: []}}).status_code == 200
    attribute = admin.get(f"/attributes/{NOTE_ID}").json
    for caller in (editor, admin, make_key("update-model", "delete-model")):
        message = error(caller.delete(f"/attributes/{NOTE_ID}"), 409)
        assert message == f"Attribute '{NOTE_ID}' is in use by role 'role-editor'"
        message = error(caller.put(f"/attributes/{NOTE_ID}", {**attribute, "alias": "remark"}), 409)
        assert message == f"alias: role 'role-editor' limits attribute '{NOTE_ID}', and would no longer do so"
        assert admin.get(f"/attributes/{NOTE_ID}").json == attribute
    limit(**levels(**{name: "write"}, cost="read"))
    assert error(admin.delete(f"/attributes/{NOTE_ID}"), 409) == f"Attribute '{NOTE_ID}' is in use by role 'role-editor'"
    renamed = admin.put(f"/attributes/{NOTE_ID}", {**attribute, "alias": "remark"})
    if name == "margin_note":
        expected = f"alias: role 'role-editor' names attribute '{NOTE_ID}' by this alias, and would no longer find it"
        assert error(renamed, 409) == expected
    else:
        assert renamed.status_code == 200
    limit(**levels(cost="read"))
    assert admin.put(f"/attributes/{NOTE_ID}", {**attribute, "alias": "remark"}).status_code == 200
    assert admin.delete(f"/attributes/{NOTE_ID}").status_code == 204


@each("name", ["margin_note", "attr_margin_note_x"], ids=["by-alias", "by-id"])
@each("step", ["taken out", "put back", "another has its id as its alias", "taken out elsewhere"])
def test_nobody_lifts_a_limit_by_changing_the_model(step, name, editor, limit):
    limit(**levels(**{name: "hidden"}))
    if step == "another has its id as its alias":
        other = {"id": "attr-other", "alias": NOTE_ID, "name": "Other", "type": "text"}
        assert editor.post("/attributes", other).status_code == 201
        put_in(editor, "attr-other")
    else:
        take_out(editor, NOTE_ID, "schema-tool" if step == "taken out elsewhere" else "schema-part")
    if step == "put back":
        put_in(editor, NOTE_ID)
    for operation in TELLING.keys() - MAKING:
        assert SECRET not in ask(editor, operation).text, operation
    assert editor.delete("/records/ent-part").status_code == 204
    assert SECRET not in editor.get("/records/ent-part/audit-log").text


@each("name", ["margin_note", "attr_margin_note_x"], ids=["by-alias", "by-id"])
def test_what_may_only_be_read_is_not_cleared_by_way_of_the_schema(name, editor, admin, limit, error):
    """What a schema does not have any more may be cleared; not so by whom a role lets only read it."""
    limit(**levels(**{name: "read"}))
    take_out(editor, NOTE_ID)
    for answer in (editor.put(RECORD, {"values": {ALIAS: []}}), editor.patch(f"{RECORD}/values/{ALIAS}", {"value": None})):
        assert (
            error(answer, 403) == f"values.{ALIAS}: attribute '{ALIAS}' is 'read' for role 'role-editor', not 'write'{ADVICE}"
        )
    assert admin.get(RECORD).json["values"][ALIAS] == NOTE[ALIAS]
    assert editor.get(RECORD).json["values"][ALIAS] == NOTE[ALIAS]


@each("way", ["made", "renamed"])
def test_what_an_attribute_that_is_gone_has_left_is_not_shown_by_a_new_one(way, editor, admin, limit, error):
    """From whom something is hidden does not get at what is hidden with it by an attribute with the alias of the old one."""
    limit()
    let_go(admin)
    take_out(admin, NOTE_ID)
    assert admin.delete(f"/attributes/{NOTE_ID}").status_code == 204
    limit(**levels(cost="hidden"))
    assert SECRET not in editor.get(RECORD).text
    new = {"id": "attr-new", "alias": "newer", "name": "New", "type": "text"}
    if way == "renamed":
        assert editor.post("/attributes", new).status_code == 201
    new["alias"] = ALIAS
    for unique in ({}, {"validation": {"unique": True}}):
        body = {**new, **unique}
        answer = editor.post("/attributes", body) if way == "made" else editor.put("/attributes/attr-new", body)
        assert error(answer, 409) == f"alias: records hold values under '{ALIAS}' that your role hides"
    assert ALIAS not in [attribute["alias"] for attribute in admin.get("/attributes").json]
    answer = admin.post("/attributes", new) if way == "made" else admin.put("/attributes/attr-new", new)
    assert answer.status_code in (200, 201), answer.json


REDEFINED = {  # what an attribute becomes, a value that would fit and one that would not, and what an administrator is told
    "type": ({"type": "boolean"}, True, "yes", "type: 1 record holds values that do not fit; the first is 'ent-part'"),
    "multiple": ({"multiple": True}, ["a"], "a", "multiple: 1 record holds values that do not fit; the first is 'ent-part'"),
    "optionListId": (
        {"type": "option", "optionListId": "ol-colors"},
        *("navy", "none"),
        "type: 1 record holds values that do not fit; the first is 'ent-part'",
    ),
    "unique": (
        {"validation": {"unique": True}},
        *("a", "b"),
        "validation.unique: stored values are not unique: in 'ent-tool', values.guess[0].value: 'b' is already the value of"
        " 'ent-part'",
    ),
}


@each("member", REDEFINED)
@each("fits", [True, False], ids=["fits", "does-not-fit"])
def test_a_changed_attribute_does_not_tell_what_is_hidden(member, fits, app, editor, admin, limit, error, stored):
    """Else who may change attributes could guess: with a type, with lists of one option, or with a value of another schema."""
    becomes, fitting, unfit, told = REDEFINED[member]
    limit()
    attribute = {"id": "attr-guess", "alias": "guess", "name": "Guess", "type": "text"}
    assert admin.post("/attributes", attribute).status_code == 201
    for schema in ("schema-part", "schema-tool"):
        put_in(admin, "attr-guess", schema)
    value = to_json([{"scope": {}, "value": fitting if fits else unfit}])
    write = "UPDATE entities SET body = json_set(body, '$.values.guess', json(?)) WHERE tenant = 'ws-demo' AND id IN (?, ?)"
    sql(app, write, value, "ent-part", "ent-tool" if member == "unique" and not fits else "-")
    limit(**levels(guess="hidden"))
    before, field = stored(), "validation.unique" if member == "unique" else told.partition(":")[0]
    message = error(editor.put("/attributes/attr-guess", {**attribute, **becomes}), 409)
    assert message == f"{field}: records hold values under 'guess' that your role hides"
    assert stored() == before
    answer = admin.put("/attributes/attr-guess", {**attribute, **becomes})
    if fits:
        assert answer.status_code == 200, answer.json
    else:
        assert error(answer, 409) == told
        assert stored() == before


def test_who_sees_the_values_is_told_which_do_not_fit(editor, limit, error):
    """What the role hides is something else, or is hidden of a schema without such values."""
    for hidden in (levels(cost="hidden"), levels("schema-apparel", margin_note="hidden", sku="hidden")):
        limit(**hidden)
        attribute = {**editor.get(f"/attributes/{NOTE_ID}").json, "type": "number"}
        message = error(editor.put(f"/attributes/{NOTE_ID}", attribute), 409)
        assert message == "type: 2 records and 1 variant hold values that do not fit; the first is 'ent-part'"


# Catalogs


SEEN, USED, SHUT = {"canView": True}, {"canView": True, "canAssign": True}, {"canAssign": True}
ENTITY = {"entityId": "ent-part"}
NEW = {"id": "cat-new", "alias": "new", "name": "New"}
CATALOG_ROUTES = [  # and what is answered: where the role has no entry, USED, SEEN, and SHUT or {}
    ("GET", "/catalogs/cat-marketplace", None, (200, 200, 200, 404)),
    ("PUT", "/catalogs/cat-marketplace", {"alias": "m", "name": "M"}, (200, 200, 200, 404)),
    ("DELETE", "/catalogs/cat-marketplace", None, (204, 409, 409, 404)),
    ("GET", "/catalogs/cat-marketplace/tree", None, (200, 200, 200, 404)),
    ("POST", "/catalogs/cat-marketplace/categories", NEW, (201, 201, 201, 404)),
    ("GET", "/categories/cat-shut", None, (200, 200, 200, 404)),
    ("PUT", "/categories/cat-shut", {"alias": "s", "name": "S"}, (200, 200, 200, 404)),
    ("DELETE", "/categories/cat-shut", None, (204, 204, 204, 404)),
    ("GET", "/categories/cat-shut/entities", None, (200, 200, 200, 404)),
    ("POST", "/categories/cat-shut/assign", {"entityId": "ent-tool"}, (204, 204, 403, 404)),
    ("POST", "/categories/cat-shut/unassign", ENTITY, (204, 204, 403, 404)),
]


def each_catalog_route(test):
    ids = [f"{method} {path}" for method, path, *_ in CATALOG_ROUTES]
    return pytest.mark.parametrize(("method", "path", "body", "statuses"), CATALOG_ROUTES, ids=ids)(test)


def in_words(answer, ids=("cat-marketplace", "cat-shut")):
    """Return an answer's status and text, with a dash in the place of these ids."""
    return answer.status_code, re.sub("|".join(ids), "-", answer.text)


@each_catalog_route
@each(
    ("limits", "place"),
    [({}, 0), (catalog("cat-webshop"), 0), (catalog(**USED), 1), (catalog(**SEEN), 2), (catalog(**SHUT), 3), (catalog(), 3)],
    ids=["no entry", "another one's", "view and assign", "view", "assign", "nothing"],
)
def test_a_catalog_is_as_the_role_says(limits, place, method, path, body, statuses, editor, limit, stored):
    limit(**limits)
    before = stored()
    answer = editor.request(method, path, json=body)
    assert answer.status_code == statuses[place], answer.json
    if answer.status_code == 403:
        expected = "Role 'role-editor' may not assign records in catalog 'cat-marketplace': canAssign is false" + ADVICE
        assert answer.json["message"] == expected
    if answer.status_code == 404:
        nowhere = path.replace("cat-marketplace", "nowhere").replace("cat-shut", "nowhere")
        assert in_words(answer) == in_words(editor.request(method, nowhere, json=body), ["nowhere"])
    if answer.status_code >= 400 or method == "GET":
        assert stored() == before
    else:
        assert stored() != before


@each_catalog_route
def test_a_key_sees_every_catalog(method, path, body, statuses, key, limit):
    limit(**catalog())
    permitted = method == "GET" or path.endswith("assign")
    assert key.request(method, path, json=body).status_code == (statuses[0] if permitted else 403)


def test_lists_leave_out_the_catalogs_that_a_role_does_not_show(editor, admin, key, limit):
    limit(**catalog())

    def seen(caller):
        lists = (caller.get(path).json for path in ("/catalogs", "/records/ent-part/categories"))
        return [[item["id"] for item in items] for items in lists]

    assert seen(admin) == seen(key) == [["cat-webshop", "cat-marketplace"], ["cat-open", "cat-shut"]]
    assert seen(editor) == [["cat-webshop"], ["cat-open"]]
    rows = [caller.get("/export?schemaId=schema-part&catalogId=cat-marketplace").json for caller in (admin, editor)]
    assert [[row["_id"] for row in shown] for shown in rows] == [["ent-part"], []]
    limit(**catalog(**SEEN))
    assert seen(editor) == seen(admin)


def test_a_body_is_found_well_formed_before_the_role_is_asked_to_assign(editor, limit, error):
    limit(**catalog(**SEEN))
    error(editor.post("/categories/cat-shut/assign", {}), 400)
    error(editor.post("/categories/nowhere/assign", ENTITY), 404)
    error(editor.post("/categories/cat-shut/assign", {"entityId": "nowhere"}), 403)


# Who is not limited, and what that costs


def statements_of(app, call):
    """Return the statements that a request runs, but for those about the key itself."""
    seen = []
    with app.app_context():
        database.get_db().set_trace_callback(seen.append)
        assert call().status_code == 200
        database.get_db().set_trace_callback(None)
    return [statement for statement in seen if not re.search("api_keys|known_keys|busy_timeout", statement)]


@each("path", ["/records/ent-part", "/records?schemaId=schema-part", "/records/ent-part/variants/var-part"])
def test_to_keys_and_to_who_sees_everything_what_is_stored_is_sent_as_it_is(path, app, key, admin, editor, limit):
    limit(**levels(cost="read"), **catalog())
    ids = {"/records/ent-part/variants/var-part": "var-part"}
    ((text,),) = sql(app, "SELECT body FROM entities WHERE tenant = 'ws-demo' AND id = ?", ids.get(path, "ent-part"))
    for caller in (key, admin, editor):
        assert text in caller.get(path).text


def test_a_read_with_a_key_asks_for_the_record_and_for_nothing_else(app, key):
    assert len(statements_of(app, lambda: key.get("/records/ent-part"))) == 1
    assert len(statements_of(app, lambda: key.get("/records"))) == 1
    assert len(statements_of(app, lambda: key.get("/records/ent-part/variants/var-part"))) == 1


def test_the_limits_of_one_workspace_are_none_of_another(stranger, limit, admin):
    """The role's id is the same in both, and so are the ids of the schema and of the attribute."""
    limit(**HIDDEN)
    assert stranger.post("/roles", role(id="role-editor", name="Editor")).status_code == 201
    attribute = {"id": "attr-margin-note-x", "alias": ALIAS, "name": "Note", "type": "text"}
    assert stranger.post("/attributes", attribute).status_code == 201
    group = {"id": "grp", "name": "All", "attributeIds": ["attr-margin-note-x"]}
    schema = {"id": "schema-part", "alias": "part", "name": "Part", "variantEnabled": False, "attributeGroups": [group]}
    assert stranger.post("/schemas", schema).status_code == 201
    assert stranger.post("/records", {"id": "ent-part", "schemaId": "schema-part", "values": NOTE}).status_code == 201
    assert SECRET in stranger.get("/records/ent-part").text


# The rules alone


@each(
    ("level", "alias", "of", "shows"),
    [
        (UNLIMITED, "x", "write", True),
        (Levels({"a": "read"}, frozenset("ab")), "a", "read", True),
        (Levels({"a": "read"}, frozenset("ab")), "gone", "write", True),
        (Levels({"a": "hidden"}, frozenset("ab"), True), "a", "hidden", False),
        (Levels({"a": "hidden"}, frozenset("ab"), True), "b", "write", True),
        (Levels({"a": "hidden"}, frozenset("ab"), True), "gone", "hidden", False),
        (Levels({"a": "hidden", "gone": "read"}, frozenset("ab"), True), "gone", "read", True),
    ],
)
def test_levels(level, alias, of, shows):
    assert (level.of(alias), level.shows(alias)) == (of, shows)
    assert level.visible({alias: [], "b": []}) == (
        {alias: [], "b": []} if shows else {"b": []} if not level.hides or "b" in level.attributes else {}
    )


def test_what_webhooks_were_sent_is_shown_without_what_is_hidden(editor, admin, limit, app):
    url = {"name": "All", "url": "http://127.0.0.1:9/", "events": ["entity.updated", "entity.deleted", "variant.updated"]}
    assert admin.post("/webhooks", url).status_code == 201
    for path in (RECORD, VARIANT):
        assert admin.put(path, {"values": {ALIAS: [{"scope": {}, "value": f"{SECRET} again"}]}}).status_code == 200
    assert admin.delete(RECORD).status_code == 204
    limit(**HIDDEN)

    def deliveries(caller):
        return app.test_client().get("/standin/deliveries", headers=caller.headers)

    assert deliveries(admin).text.count(f"{SECRET} again") == 3
    answer = deliveries(editor)
    assert (answer.status_code, answer.json["total"], SECRET in answer.text) == (200, 3, False)
    (item,) = [item for item in answer.json["items"] if item["event"] == "entity.updated"]
    assert item["body"]["data"]["values"]["title"] == TITLE["title"]
    one = app.test_client().get(f"/standin/deliveries/{item['deliveryId']}", headers=editor.headers)
    assert one.json == item


def test_completeness_does_not_tell_which_option_a_hidden_value_names(editor, admin, limit):
    """Else who may manage option lists deletes one option after another, and sees for which one the score falls."""
    color = admin.get("/attributes/attr-color").json
    validation = {**color.get("validation", {}), "required": True}
    assert admin.put("/attributes/attr-color", {**color, "validation": validation}).status_code == 200
    path = "/records/ent-coastal-wb/completeness"
    before, as_admin = editor.get(path).json["score"], admin.get(path).json["score"]
    assert before == as_admin
    limit(**levels("schema-apparel", color="hidden"))
    options = admin.get("/option-lists/ol-colors").json
    for option in options["values"]:
        answer = editor.delete(f"/option-lists/ol-colors/values/{option['id']}")
        assert answer.status_code == 204, answer.json
        assert editor.get(path).json["score"] == before
    assert admin.get(path).json["score"] < as_admin
