"""Categories: their place in a catalog's tree, and the records in them. The tree as a whole is in test_catalogs.py."""

import re

import pytest
from cases import each

MADE_ID = re.compile(r"cat-[A-Za-z0-9._~-]+")


def make_catalog(caller):
    """Make an empty catalog, and return its id."""
    answer = caller.post("/catalogs", {"id": "cat-outlet", "alias": "outlet", "name": "Outlet"})
    assert answer.status_code == 201
    return "cat-outlet"


def make_category(caller, id, parent=None, **members):
    """Make a category in that catalog, and return it."""
    body = {"id": id, "alias": id, "name": id.title(), "parentId": parent, **members}
    answer = caller.post("/catalogs/cat-outlet/categories", body)
    assert answer.status_code == 201, answer.text
    return answer.json


def make_family(caller):
    """Make the categories a with b and c below it, d below b, and e beside a, and return them by id."""
    parents = {"a": None, "b": "a", "c": "a", "d": "b", "e": None}
    return {id: make_category(caller, id, parent) for id, parent in parents.items()}


def make_records(caller):
    """Make three records, and return them."""
    bodies = ({"id": id, "schemaId": "schema-apparel", "values": {}} for id in ("rec-1", "rec-2", "rec-3"))
    answers = [caller.post("/records", body) for body in bodies]
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    return [answer.json for answer in answers]


def put_into(caller, category, *records):
    """Assign these records to a category."""
    for record in records:
        answer = caller.post(f"/categories/{category}/assign", {"entityId": record})
        assert (answer.status_code, answer.data) == (204, b"")


def read_outline(caller, catalog="cat-outlet"):
    """Return the ids of a catalog's tree, as nested dicts."""

    def nested(nodes):
        return {node["id"]: nested(node["children"]) for node in nodes}

    answer = caller.get(f"/catalogs/{catalog}/tree")
    assert answer.status_code == 200
    return nested(answer.json)


@pytest.fixture
def catalog(admin):
    """Return the id of a new and empty catalog."""
    return make_catalog(admin)


@pytest.fixture
def make(admin, catalog):
    """Return a function that makes a category in the new catalog."""
    return lambda id, parent=None, **members: make_category(admin, id, parent, **members)


@pytest.fixture
def family(admin, catalog):
    """Return the categories a with b and c below it, d below b, and e beside a, by id."""
    return make_family(admin)


@pytest.fixture
def outline(admin):
    """Return a function that returns the ids of a catalog's tree as nested dicts."""
    return lambda catalog="cat-outlet": read_outline(admin, catalog)


@pytest.fixture
def records(admin):
    """Return three new records."""
    return make_records(admin)


@pytest.fixture
def assign(admin):
    """Return a function that puts records into a category."""
    return lambda category, *records: put_into(admin, category, *records)


@pytest.fixture
def members(admin):
    """Return a function that returns the ids of the records in a category."""

    def read(category):
        page = admin.get(f"/categories/{category}/entities").json
        assert page["total"] == len(page["items"])
        return [record["id"] for record in page["items"]]

    return read


# Categories


def test_a_category_is_answered_as_it_is_stored(catalog, admin):
    full = {
        "id": "boots",
        "catalogId": catalog,
        "alias": "the-boots",
        "name": "Boots",
        "parentId": None,
        "sortOrder": 2.5,
        "description": "For rain",
    }
    answer = admin.post(f"/catalogs/{catalog}/categories", {name: full[name] for name in reversed(full) if name != "catalogId"})
    assert (answer.status_code, answer.content_type) == (201, "application/json")
    assert answer.json == full
    order = [name for name in answer.json if name != "catalogId"]
    assert order == ["id", "alias", "name", "parentId", "sortOrder", "description"]
    assert admin.get("/categories/boots").text == answer.text


def test_a_category_without_an_id_gets_one(catalog, admin):
    made = [admin.post(f"/catalogs/{catalog}/categories", {"alias": "x", "name": "X"}).json for _ in range(2)]
    ids = {category["id"] for category in made}
    assert len(ids) == 2
    assert all(MADE_ID.fullmatch(id) for id in ids)
    for category in made:
        rest = {"catalogId": catalog, "alias": "x", "name": "X", "parentId": None, "sortOrder": 0}
        assert category == {"id": category["id"], **rest}
        assert admin.get(f"/categories/{category['id']}").json == category


def test_an_id_is_taken_in_the_whole_workspace(make, admin, outline, error):
    made = make("a")
    for catalog in ("cat-outlet", "cat-webshop"):
        before = outline(catalog)
        message = error(admin.post(f"/catalogs/{catalog}/categories", {"id": "a", "alias": "other", "name": "Other"}), 409)
        assert message.startswith("id: ") and "'a'" in message
        assert outline(catalog) == before
    assert admin.get("/categories/a").json == made


def test_another_workspace_may_use_the_same_ids(make, stranger, outline):
    make("a")
    assert stranger.post("/catalogs", {"id": "cat-outlet", "alias": "outlet", "name": "Outlet"}).status_code == 201
    assert stranger.post("/catalogs/cat-outlet/categories", {"id": "a", "alias": "a", "name": "Theirs"}).status_code == 201
    assert stranger.delete("/catalogs/cat-outlet").status_code == 204
    assert outline() == {"a": {}}


def test_put_replaces_the_whole_category(make, catalog, admin):
    make("top")
    make("a", "top", sortOrder=5, description="Old")
    answer = admin.put("/categories/a", {"alias": "new", "name": "New"})
    assert answer.status_code == 200
    assert answer.json == {"id": "a", "catalogId": catalog, "alias": "new", "name": "New", "parentId": None, "sortOrder": 0}
    assert admin.get("/categories/a").text == answer.text


def test_putting_a_category_back_changes_nothing(family, catalog, admin):
    before = admin.get(f"/catalogs/{catalog}/tree").text
    for id, category in family.items():
        answer = admin.put(f"/categories/{id}", category)
        assert (answer.status_code, answer.json) == (200, category)
    assert admin.get(f"/catalogs/{catalog}/tree").text == before


BAD = {
    "number-for-id": ({"id": 5}, "id: "),
    "id-that-cannot-stand-in-a-path": ({"id": "a/b"}, "id: "),
    "empty-id": ({"id": ""}, "id: "),
    "number-for-alias": ({"alias": 5}, "alias: "),
    "null-name": ({"name": None}, "name: "),
    "blank-name": ({"name": " "}, "name: "),
    "number-for-parent": ({"parentId": 5}, "parentId: "),
    "unknown-parent": ({"parentId": "nowhere"}, "parentId: "),
    "empty-parent": ({"parentId": ""}, "parentId: "),
    "parent-in-another-catalog": ({"parentId": "cat-men"}, "parentId: "),
    "catalog-as-parent": ({"parentId": "cat-outlet"}, "parentId: "),
    "itself-as-parent": ({"parentId": "e"}, "parentId: "),
    "text-for-sort-order": ({"sortOrder": "1"}, "sortOrder: "),
    "number-for-description": ({"description": 5}, "description: "),
    "another-catalog": ({"catalogId": "cat-webshop"}, "catalogId: "),
    "unknown-member": ({"children": []}, "children: Unknown field"),
}


@each(("members", "message"), BAD.values(), ids=BAD)
def test_a_bad_category_is_refused(members, message, catalog, make, admin, outline, error):
    make("a")
    body = {"id": "e", "alias": "e", "name": "E", **members}
    assert error(admin.post(f"/catalogs/{catalog}/categories", body), 400).startswith(message)
    error(admin.get("/categories/e"), 404)
    made = make("e", "a")
    assert error(admin.put("/categories/e", body), 400).startswith(message)
    assert admin.get("/categories/e").json == made
    assert outline() == {"a": {"e": {}}}


def test_missing_members_are_named(catalog, make, admin, error):
    made = make("a")
    for answer in (admin.post(f"/catalogs/{catalog}/categories", {}), admin.put("/categories/a", {})):
        assert [problem.partition(":")[0] for problem in error(answer, 400).split("; ")] == ["alias", "name"]
    assert admin.get("/categories/a").json == made


def test_put_with_another_id_is_refused(family, admin, error):
    assert error(admin.put("/categories/a", {**family["a"], "id": "z"}), 400).startswith("id: ")
    assert admin.get("/categories/a").json == family["a"]


# Moving


def test_moving_a_category_moves_what_is_below_it(family, admin, outline):
    answer = admin.put("/categories/b", {**family["b"], "parentId": "e"})
    assert (answer.status_code, answer.json) == (200, {**family["b"], "parentId": "e"})
    assert outline() == {"a": {"c": {}}, "e": {"b": {"d": {}}}}
    assert admin.put("/categories/b", {**family["b"], "parentId": None}).status_code == 200
    assert outline() == {"a": {"c": {}}, "b": {"d": {}}, "e": {}}


@each(("id", "parent"), [("a", "a"), ("a", "b"), ("a", "d"), ("b", "d"), ("d", "d")])
def test_a_category_cannot_be_moved_below_itself(id, parent, family, admin, outline, error):
    before = outline()
    assert error(admin.put(f"/categories/{id}", {**family[id], "parentId": parent}), 400).startswith("parentId: ")
    assert outline() == before


# Deleting


def test_deleting_a_category_deletes_those_below_it_and_their_assignments_but_no_record(
    family, records, assign, members, admin, outline, error
):
    assign("d", "rec-1", "rec-2")
    assign("b", "rec-3")
    assign("e", "rec-1")
    answer = admin.delete("/categories/b")
    assert (answer.status_code, answer.data) == (204, b"")
    assert outline() == {"a": {"c": {}}, "e": {}}
    for id in ("b", "d"):
        error(admin.get(f"/categories/{id}"), 404)
        error(admin.get(f"/categories/{id}/entities"), 404)
    assert [admin.get(f"/records/{record['id']}").json for record in records] == records
    assert admin.get("/records/rec-1/categories").json == [family["e"]]
    assert admin.get("/records/rec-2/categories").json == []
    assert members("e") == ["rec-1"]


def test_a_category_made_again_is_empty(family, records, assign, make, members, admin):
    assign("d", "rec-1")
    assert admin.delete("/categories/d").status_code == 204
    make("d", "b")
    assert members("d") == []


def test_deleting_a_record_takes_it_out_of_its_categories(family, records, assign, members, admin):
    assign("a", "rec-1", "rec-2")
    assert admin.delete("/records/rec-1").status_code == 204
    assert members("a") == ["rec-2"]


# Assignments


def test_assigning_twice_is_no_duplicate(family, records, assign, members, admin):
    assign("a", "rec-1", "rec-1", "rec-2", "rec-1")
    assert members("a") == ["rec-1", "rec-2"]
    assert admin.get("/records/rec-1/categories").json == [family["a"]]


def test_a_record_may_be_in_many_categories_of_many_catalogs(family, records, assign, admin):
    assign("d", "rec-1")
    assign("a", "rec-1")
    assign("cat-market-jackets", "rec-1")
    expected = [family["d"], family["a"], admin.get("/categories/cat-market-jackets").json]
    listed = admin.get("/records/rec-1/categories")
    assert (listed.status_code, listed.content_type) == (200, "application/json")
    assert sorted(listed.json, key=lambda item: item["id"]) == sorted(expected, key=lambda item: item["id"])


def test_a_record_below_is_not_in_the_category_above(family, records, assign, members):
    assign("d", "rec-1")
    assert members("b") == []


def test_an_unassigned_record_is_out_of_this_category_only(family, records, assign, members, admin):
    assign("a", "rec-1", "rec-2")
    assign("b", "rec-1")
    answer = admin.post("/categories/a/unassign", {"entityId": "rec-1"})
    assert (answer.status_code, answer.data) == (204, b"")
    assert members("a") == ["rec-2"]
    assert members("b") == ["rec-1"]
    assert admin.get("/records/rec-1/categories").json == [family["b"]]
    assert admin.get("/records/rec-1").json == records[0]


BAD_ASSIGNMENTS = {
    "nothing": ({}, "entityId: "),
    "null": ({"entityId": None}, "entityId: "),
    "number": ({"entityId": 5}, "entityId: "),
    "list": ({"entityId": ["rec-1"]}, "entityId: "),
    "unknown-record": ({"entityId": "nowhere"}, "entityId: "),
    "variant": ({"entityId": "var-cw-s"}, "entityId: "),
    "category": ({"entityId": "b"}, "entityId: "),
    "unknown-member": ({"entityId": "rec-1", "position": 1}, "position: Unknown field"),
}


@each("verb", ["assign", "unassign"])
@each(("body", "message"), BAD_ASSIGNMENTS.values(), ids=BAD_ASSIGNMENTS)
def test_a_bad_assignment_is_refused(body, message, verb, family, records, assign, members, admin, error):
    assign("a", "rec-1")
    assert error(admin.post(f"/categories/a/{verb}", body), 400).startswith(message)
    assert members("a") == ["rec-1"]


def test_the_records_in_a_category_come_whole_and_page_by_page(family, records, assign, admin):
    ids = [record["id"] for record in records]
    assign("a", *ids)

    def page(query=""):
        answer = admin.get(f"/categories/a/entities{query}")
        assert (answer.status_code, list(answer.json)) == (200, ["items", "total", "offset", "limit"])
        return answer.json

    assert page() == {"items": records, "total": 3, "offset": 0, "limit": 50}
    assert page("?limit=2") == {"items": records[:2], "total": 3, "offset": 0, "limit": 2}
    assert page("?offset=2&limit=2") == {"items": records[2:], "total": 3, "offset": 2, "limit": 2}
    assert page("?offset=3&limit=1000") == {"items": [], "total": 3, "offset": 3, "limit": 1000}
    assert admin.get("/categories/b/entities").json == {"items": [], "total": 0, "offset": 0, "limit": 50}
