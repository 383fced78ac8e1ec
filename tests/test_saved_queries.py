"""Saved queries: kept, listed, run, deleted."""

import re

import pytest
from cases import each

CAPS = {"criteria": [{"attribute": "product-name", "operator": "contains", "value": "cap"}]}
EVERY_MEMBER = {
    "criteriaOperator": "or",
    "criteria": [
        {"attribute": "price", "operator": "gt", "value": "10", "scope": {"dim-market": "seg-dk"}},
        {"attributeAlias": "care", "operator": "equals", "value": {"wash": 30, "iron": False}},
        {"attribute": "size", "operator": "isEmpty"},
        {"attribute": "size", "operator": "isNotEmpty", "value": None},
    ],
    "schemaId": "schema-apparel",
    "offset": 1,
    "limit": 7,
}


@pytest.fixture
def save(admin):
    """Save a query, and answer what is answered."""

    def post(query, **more):
        answer = admin.post("/saved-queries", {"name": "Saved", "query": query, **more})
        assert answer.status_code == 201, answer.json
        return answer.json

    return post


def test_a_saved_query_is_answered_as_it_was_sent_with_who_saved_it_and_when(admin, editor):
    assert admin.put("/roles/role-editor", {"name": "Editor"}).status_code == 200  # which hides nothing
    answer = editor.post("/saved-queries", {"name": "  Mine ", "query": EVERY_MEMBER})
    assert answer.status_code == 201
    assert list(answer.json) == ["id", "name", "query", "createdAt", "createdBy"]
    assert re.fullmatch("sq-[0-9a-f]{16}", answer.json["id"])
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z", answer.json["createdAt"])
    assert (answer.json["name"], answer.json["query"], answer.json["createdBy"]) == ("Mine", EVERY_MEMBER, "user-editor")
    assert admin.get(f"/saved-queries/{answer.json['id']}").data == answer.data


def test_saved_queries_are_listed_in_order_of_creation(admin, key, save):
    assert [saved["id"] for saved in admin.get("/saved-queries").json] == ["sq-cheap-caps"]
    made = [save({}, id=id) for id in ("z", "a", "m")]
    for caller in (admin, key):
        assert caller.get("/saved-queries").json[1:] == made


def test_an_id_is_the_callers_to_choose_once(admin, save, error):
    first = save(CAPS, id="sq-mine")
    assert first["id"] == "sq-mine"
    message = error(admin.post("/saved-queries", {"id": "sq-mine", "name": "Again", "query": {}}), 409)
    assert message == "id: 'sq-mine' is already taken in this workspace by saved query 'sq-mine'"
    assert admin.get("/saved-queries/sq-mine").json == first
    assert admin.delete("/saved-queries/sq-mine").status_code == 204
    assert save({}, id="sq-mine")["query"] == {}


def test_a_saved_query_is_deleted_by_any_user_and_by_no_key(admin, editor, key, save, error):
    path = f"/saved-queries/{save(CAPS)['id']}"
    assert "signed-in user" in error(key.delete(path), 403)
    assert "signed-in user" in error(key.post("/saved-queries", {"name": "Key's", "query": {}}), 403)
    answer = editor.delete(path)
    assert (answer.status_code, answer.data) == (204, b"")
    for caller, method, more in ((admin, "GET", ""), (admin, "DELETE", ""), (key, "POST", "/execute")):
        assert error(caller.request(method, path + more), 404) == f"Saved query '{path[15:]}' not found"


@each(
    ("body", "said"),
    [
        ({"query": {}}, "name: Expected a value, but it is missing"),
        ({"name": "", "query": {}}, "name: Expected at least one character that is not blank"),
        ({"name": " \t", "query": {}}, "name: Expected at least one character that is not blank"),
        ({"name": "x" * 201, "query": {}}, "name: Expected at most 200 characters, got 201"),
        ({"name": "x"}, "query: Expected a value, but it is missing"),
        ({"name": "x", "query": []}, "query: Expected an object"),
        ({"name": "x", "query": {}, "createdBy": "user-admin"}, "createdBy: Unknown field"),
        ({"name": "x", "query": {}, "id": "a b"}, "id: Expected 1 to 100 letters"),
        ({"name": "x", "query": {"x": 1}}, "query.x: Unknown field"),
        ({"name": "x", "query": {"limit": 0}}, "query.limit: Expected a whole number from 1 to 1000"),
        ({"name": "x", "query": {"schemaId": "schema-x"}}, "query.schemaId: schema 'schema-x' does not exist"),
        (
            {"name": "x", "query": {"criteria": [{"attribute": "x", "operator": "isEmpty"}]}},
            "query.criteria[0].attribute: no attr",
        ),
        (
            {"name": "x", "query": {"criteria": [{"attribute": "sku", "operator": "gt", "value": 1}]}},
            "query.criteria[0].operator:",
        ),
        (
            {"name": "x", "query": {"criteria": [{"attribute": "sku", "operator": "equals"}]}},
            "query.criteria[0].value: Expected",
        ),
    ],
)
def test_what_could_not_be_run_is_not_saved(body, said, admin, error):
    before = admin.get("/saved-queries").json
    assert error(admin.post("/saved-queries", body), 400).startswith(said)
    assert admin.get("/saved-queries").json == before


def test_a_name_has_up_to_200_characters_and_need_not_be_unique(save):
    assert [save({}, name="x" * 200)["name"] for _ in range(2)] == ["x" * 200] * 2


@each("query", [{}, CAPS, EVERY_MEMBER, {"limit": 1}, {"criteriaOperator": "or", **CAPS, "offset": 1}])
def test_a_saved_query_finds_what_the_search_finds(query, save, make_key):
    reader = make_key("read")
    path = f"/saved-queries/{save(query)['id']}/execute"
    assert reader.post(path).data == reader.post("/search", query).data


def test_the_members_of_a_query_have_the_order_of_a_search_whatever_order_they_came_in(admin, save):
    mixed = dict(sorted(EVERY_MEMBER.items(), reverse=True))
    saved = save(mixed)
    for query in (saved["query"], admin.get(f"/saved-queries/{saved['id']}").json["query"]):
        assert list(query) == ["criteriaOperator", "criteria", "schemaId", "offset", "limit"]


@each("body", ["{}", '{"limit": 1}', "{nonsense", ""])
def test_a_body_is_ignored_when_a_query_is_run(body, admin):
    expected = admin.post("/saved-queries/sq-cheap-caps/execute")
    assert expected.json["total"] > 0
    answer = admin.post("/saved-queries/sq-cheap-caps/execute", data=body, content_type="application/json")
    assert (answer.status_code, answer.json) == (200, expected.json)


@each("nulls", [{"criteriaOperator": None}, {"criteria": None}, {"schemaId": None, "limit": None}])
def test_a_member_of_a_query_that_is_null_is_saved_as_one_left_out(nulls, save):
    assert save(nulls)["query"] == {}


@each(
    ("asked", "offset", "limit"),
    [("", 1, 7), ("?offset=0", 0, 7), ("?limit=50", 1, 50), ("?offset=2&limit=1", 2, 1), ("?page=3", 1, 7)],
)
def test_the_page_that_is_asked_for_goes_before_the_saved_one(asked, offset, limit, admin, save):
    query = {"offset": 1, "limit": 7}
    expected = admin.get(f"/records?offset={offset}&limit={limit}").json
    assert expected["total"] == 47
    assert admin.post(f"/saved-queries/{save(query)['id']}/execute{asked}").json == expected


@each(
    ("asked", "said"),
    [
        ("limit=0", "limit: expected a whole number from 1 to 1000, got '0'"),
        ("limit=1001", "limit: expected a whole number from 1 to 1000, got '1001'"),
        ("offset=x", "offset: expected a whole number"),
    ],
)
def test_a_page_that_makes_no_sense_is_refused_before_a_query_is_looked_for(asked, said, admin, error):
    for id in ("sq-cheap-caps", "sq-lost"):
        assert error(admin.post(f"/saved-queries/{id}/execute?{asked}"), 400).startswith(said)


def test_a_query_is_checked_again_when_it_is_run(admin, save, error):
    """What it names may be gone, or be another by then; the saved query stays as it is."""
    attribute = {"id": "attr-new", "alias": "new", "name": "New", "type": "number", "dimensionIds": ["dim-new"]}
    segments = [{"id": f"seg-{name}", "alias": name, "name": name} for name in ("one", "two")]
    dimension = {"id": "dim-new", "alias": "new", "name": "New", "defaultSegmentId": "seg-one", "segments": segments}
    schema = {"id": "schema-new", "alias": "new", "name": "New", "variantEnabled": False}
    for path, body in (("/dimensions", dimension), ("/attributes", attribute), ("/schemas", schema)):
        assert admin.post(path, body).status_code == 201
    criterion = {"attribute": "new", "operator": "gt", "value": 5, "scope": {"dim-new": "seg-two"}}
    saved = save({"criteria": [criterion], "schemaId": "schema-new"})
    path = f"/saved-queries/{saved['id']}/execute"
    assert admin.post(path).json["total"] == 0
    admin.put("/dimensions/dim-new", {**dimension, "segments": segments[:1]})
    assert error(admin.post(path), 400).startswith("query.criteria[0].scope.dim-new: expected the id of a segment")
    admin.put("/attributes/attr-new", {**attribute, "type": "text", "dimensionIds": []})
    assert error(admin.post(path), 400).startswith("query.criteria[0].operator: expected one of equals")
    admin.delete("/attributes/attr-new")
    assert error(admin.post(path), 400).startswith("query.criteria[0].attribute: no attribute has the alias 'new'")
    admin.delete("/schemas/schema-new")
    assert error(admin.post(path), 400) == "query.schemaId: schema 'schema-new' does not exist (there is 'schema-apparel')"
    assert admin.get(path.removesuffix("/execute")).json == saved


def test_saved_queries_go_with_their_workspace(app):
    made = app.test_client().post("/standin/workspaces", json={}).json
    client, bearer = app.test_client(), {"Authorization": f"Bearer {made['admin']['token']}"}
    assert [saved["id"] for saved in client.get("/api/v1/saved-queries", headers=bearer).json] == ["sq-cheap-caps"]
    assert client.delete(f"/standin/workspaces/{made['id']}").status_code == 204
