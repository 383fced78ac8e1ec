"""Catalogs: their categories, the tree, and the records in them. What catalogs share with the other nouns: test_model.py."""

import json
import re
import sqlite3
from contextlib import closing

import pytest

MADE_ID = re.compile(r"cat-[A-Za-z0-9._~-]+")


@pytest.fixture
def catalog(admin):
    """A catalog of our own, empty: its id."""
    answer = admin.post("/catalogs", {"id": "cat-outlet", "alias": "outlet", "name": "Outlet"})
    assert answer.status_code == 201
    return "cat-outlet"


@pytest.fixture
def make(admin, catalog):
    """Make a category in our own catalog, unless told otherwise."""

    def post(id, parent=None, catalog=catalog, **members):
        body = {"id": id, "alias": id, "name": id.title(), "parentId": parent, **members}
        answer = admin.post(f"/catalogs/{catalog}/categories", body)
        assert answer.status_code == 201, answer.text
        return answer.json

    return post


@pytest.fixture
def family(make):
    """The categories a with b and c below it, d below b, and e beside a: their bodies by id."""
    return {id: make(id, parent) for id, parent in (("a", None), ("b", "a"), ("c", "a"), ("d", "b"), ("e", None))}


@pytest.fixture
def outline(admin, catalog):
    """Return the ids of our own catalog's tree as nested dicts."""

    def nested(nodes):
        return {node["id"]: nested(node["children"]) for node in nodes}

    def read(id=catalog):
        answer = admin.get(f"/catalogs/{id}/tree")
        assert answer.status_code == 200
        return nested(answer.json)

    return read


@pytest.fixture
def records(admin):
    """Three records of our own: their bodies."""
    answers = [
        admin.post("/records", {"id": id, "schemaId": "schema-apparel", "values": {}}) for id in ("rec-1", "rec-2", "rec-3")
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    return [answer.json for answer in answers]


@pytest.fixture
def assign(admin):
    def post(category, *entities):
        for entity in entities:
            answer = admin.post(f"/categories/{category}/assign", {"entityId": entity})
            assert (answer.status_code, answer.data) == (204, b"")

    return post


@pytest.fixture
def members(admin):
    """Return the ids of the records in a category."""

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


def test_unknown_catalogs_and_categories_are_404_and_named(admin, error):
    body = {"alias": "x", "name": "X"}
    for answer in (admin.get("/catalogs/nowhere/tree"), admin.post("/catalogs/nowhere/categories", body)):
        assert error(answer, 404) == "Catalog 'nowhere' not found"
    for answer in (
        admin.get("/categories/nowhere"),
        admin.put("/categories/nowhere", body),
        admin.delete("/categories/nowhere"),
        admin.get("/categories/nowhere/entities"),
        admin.post("/categories/nowhere/assign", {"entityId": "ent-trail-cap"}),
        admin.post("/categories/nowhere/unassign", {"entityId": "ent-trail-cap"}),
    ):
        assert error(answer, 404) == "Category 'nowhere' not found"
    assert error(admin.get("/records/nowhere/categories"), 404) == "Record 'nowhere' not found"


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


@pytest.mark.parametrize(("members", "message"), BAD.values(), ids=BAD)
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


# The tree


def test_the_tree_nests_whole_categories(catalog, make, admin):
    top, low = make("top", description="All"), make("low", "top")
    answer = admin.get(f"/catalogs/{catalog}/tree")
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert answer.json == [{**top, "children": [{**low, "children": []}]}]


def test_the_tree_of_an_empty_catalog_is_empty(catalog, admin):
    assert admin.get(f"/catalogs/{catalog}/tree").json == []


def test_siblings_come_by_sort_order_and_then_by_name(make, outline):
    make("top")
    for id, order, name in (
        ("tenth", 10, "A"),
        ("second", 2, "A"),
        ("half", 0.5, "Z"),
        ("minus", -1, "Z"),
        ("two-b", 2, "B"),
        ("two-ab", 2.0, "Ab"),
    ):
        make(id, "top", sortOrder=order, name=name)
        make(f"root-{id}", sortOrder=order, name=name)
    expected = ["minus", "half", "second", "two-ab", "two-b", "tenth"]
    assert list(outline()["top"]) == expected
    assert [id for id in outline() if id != "top"] == [f"root-{id}" for id in expected]


def test_the_tree_shows_each_category_below_its_parent(family, outline):
    assert outline() == {"a": {"b": {"d": {}}, "c": {}}, "e": {}}


def test_moving_a_category_moves_what_is_below_it(family, admin, outline):
    answer = admin.put("/categories/b", {**family["b"], "parentId": "e"})
    assert (answer.status_code, answer.json) == (200, {**family["b"], "parentId": "e"})
    assert outline() == {"a": {"c": {}}, "e": {"b": {"d": {}}}}
    assert admin.put("/categories/b", {**family["b"], "parentId": None}).status_code == 200
    assert outline() == {"a": {"c": {}}, "b": {"d": {}}, "e": {}}


@pytest.mark.parametrize(("id", "parent"), [("a", "a"), ("a", "b"), ("a", "d"), ("b", "d"), ("d", "d")])
def test_a_category_cannot_be_moved_below_itself(id, parent, family, admin, outline, error):
    before = outline()
    assert error(admin.put(f"/categories/{id}", {**family[id], "parentId": parent}), 400).startswith("parentId: ")
    assert outline() == before


@pytest.fixture
def chain(app, catalog):
    """Store a chain of 1,998 categories, each below the one before: over HTTP it would take seconds."""
    with closing(sqlite3.connect(app.config["DATABASE"])) as db, db:
        for depth in range(1998):
            parent = f"c{depth - 1}" if depth else None
            body = {"id": f"c{depth}", "catalogId": catalog, "alias": "c", "name": "C", "parentId": parent, "sortOrder": 0}
            db.execute("INSERT INTO categories (tenant, body) VALUES ('ws-demo', ?)", (json.dumps(body),))


def test_a_tree_may_be_2000_levels_deep(chain, make, catalog, admin, error):
    make("c1998", "c1997")
    last = make("c1999", "c1998")
    text = admin.get(f"/catalogs/{catalog}/tree").text.strip()  # too deep for Python's own parser
    assert re.findall(r'"id":\s*"c(\d+)"', text) == [str(depth) for depth in range(2000)]
    assert text.startswith("[{") and text.endswith('"children":[' + "]}" * 2000 + "]")

    error(admin.put("/categories/c0", {"alias": "c", "name": "C", "parentId": "c1999"}), 400)
    assert admin.get("/categories/c1999").json == last
    assert admin.delete("/categories/c1").status_code == 204
    assert [node["id"] for node in admin.get(f"/catalogs/{catalog}/tree").json] == ["c0"]
    error(admin.get("/categories/c1999"), 404)


def test_a_deep_catalog_can_be_deleted(chain, catalog, admin, error):
    assert admin.delete(f"/catalogs/{catalog}").status_code == 204
    error(admin.get("/categories/c1997"), 404)
    error(admin.get(f"/catalogs/{catalog}/tree"), 404)


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


def test_deleting_a_catalog_deletes_its_categories_and_assignments_but_no_record(
    family, catalog, records, assign, admin, outline, error
):
    assign("d", "rec-1", "rec-2")
    assign("cat-men", "rec-1")
    others = outline("cat-webshop"), outline("cat-marketplace")
    assert admin.delete(f"/catalogs/{catalog}").status_code == 204
    error(admin.get(f"/catalogs/{catalog}/tree"), 404)
    for id in family:
        error(admin.get(f"/categories/{id}"), 404)
    assert [admin.get(f"/records/{record['id']}").json for record in records] == records
    assert [category["id"] for category in admin.get("/records/rec-1/categories").json] == ["cat-men"]
    assert admin.get("/records/rec-2/categories").json == []
    assert (outline("cat-webshop"), outline("cat-marketplace")) == others


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


@pytest.mark.parametrize("verb", ["assign", "unassign"])
@pytest.mark.parametrize(("body", "message"), BAD_ASSIGNMENTS.values(), ids=BAD_ASSIGNMENTS)
def test_a_bad_assignment_is_refused(body, message, verb, family, records, assign, members, admin, error):
    assign("a", "rec-1")
    assert error(admin.post(f"/categories/a/{verb}", body), 400).startswith(message)
    assert members("a") == ["rec-1"]


def test_another_workspaces_records_and_categories_do_not_exist(family, records, assign, members, stranger, admin, error):
    group = {"id": "schema-x", "alias": "x", "name": "X", "variantEnabled": False}
    assert stranger.post("/schemas", group).status_code == 201
    assert stranger.post("/records", {"id": "theirs", "schemaId": "schema-x", "values": {}}).status_code == 201
    assign("a", "rec-1")
    for verb in ("assign", "unassign"):
        error(stranger.post(f"/categories/a/{verb}", {"entityId": "theirs"}), 404)
        error(stranger.post(f"/categories/a/{verb}", {"entityId": "rec-1"}), 404)
        error(admin.post(f"/categories/a/{verb}", {"entityId": "theirs"}), 400)
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


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit=1.5", "offset=-1", "offset=x"])
def test_a_bad_page_is_refused(query, family, admin, error):
    name = query.partition("=")[0]
    assert error(admin.get(f"/categories/a/entities?{query}"), 400).startswith(f"{name}: ")


def test_keys_read_and_assign_with_their_permissions_and_write_no_category(family, records, members, make_key, admin, error):
    reader, writer, remover = (make_key(permission) for permission in ("read", "update-data", "delete-data"))
    body = {"entityId": "rec-1"}
    error(reader.post("/categories/a/assign", body), 403)
    error(remover.post("/categories/a/assign", body), 403)
    assert members("a") == []
    assert writer.post("/categories/a/assign", body).status_code == 204
    error(writer.post("/categories/a/unassign", body), 403)
    assert reader.get("/records/rec-1/categories").json == [family["a"]]
    assert remover.post("/categories/a/unassign", body).status_code == 204
    assert members("a") == []

    everything = make_key()
    for answer in (
        everything.post("/catalogs/cat-outlet/categories", {"alias": "x", "name": "X"}),
        everything.put("/categories/a", {**family["a"], "name": "Taken over"}),
        everything.delete("/categories/a"),
    ):
        error(answer, 403)
    assert admin.get("/categories/a").json == family["a"]
