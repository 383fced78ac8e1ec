"""Catalogs: their trees, and what goes with one that is deleted. What they share with the other nouns: test_model.py."""

import json
import re
import sqlite3
from contextlib import closing

import pytest
from test_categories import make_catalog, make_category, make_family, make_records, put_into, read_outline


@pytest.fixture
def catalog(admin):
    """Return the id of a new and empty catalog."""
    return make_catalog(admin)


def test_the_tree_nests_whole_categories(catalog, admin):
    top, low = make_category(admin, "top", description="All"), make_category(admin, "low", "top")
    answer = admin.get(f"/catalogs/{catalog}/tree")
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert answer.json == [{**top, "children": [{**low, "children": []}]}]


def test_the_tree_of_an_empty_catalog_is_empty(catalog, admin):
    assert admin.get(f"/catalogs/{catalog}/tree").json == []


def test_siblings_come_by_sort_order_and_then_by_name(catalog, admin):
    make_category(admin, "top")
    for id, order, name in (
        ("tenth", 10, "A"),
        ("second", 2, "A"),
        ("half", 0.5, "Z"),
        ("minus", -1, "Z"),
        ("two-b", 2, "B"),
        ("two-ab", 2.0, "Ab"),
    ):
        make_category(admin, id, "top", sortOrder=order, name=name)
        make_category(admin, f"root-{id}", sortOrder=order, name=name)
    expected = ["minus", "half", "second", "two-ab", "two-b", "tenth"]
    assert list(read_outline(admin)["top"]) == expected
    assert [id for id in read_outline(admin) if id != "top"] == [f"root-{id}" for id in expected]


def test_the_tree_shows_each_category_below_its_parent(catalog, admin):
    make_family(admin)
    assert read_outline(admin) == {"a": {"b": {"d": {}}, "c": {}}, "e": {}}


@pytest.fixture
def chain(app, catalog):
    """Store a chain of 1,998 categories, each below the one before: over HTTP it would take seconds."""
    with closing(sqlite3.connect(app.config["DATABASE"])) as db, db:
        for depth in range(1998):
            parent = f"c{depth - 1}" if depth else None
            body = {"id": f"c{depth}", "catalogId": catalog, "alias": "c", "name": "C", "parentId": parent, "sortOrder": 0}
            db.execute("INSERT INTO categories (tenant, body) VALUES ('ws-demo', ?)", (json.dumps(body),))


def test_a_tree_may_be_2000_levels_deep(chain, catalog, admin, error):
    make_category(admin, "c1998", "c1997")
    last = make_category(admin, "c1999", "c1998")
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


def test_deleting_a_catalog_deletes_its_categories_and_assignments_but_no_record(catalog, admin, error):
    family, records = make_family(admin), make_records(admin)
    put_into(admin, "d", "rec-1", "rec-2")
    put_into(admin, "cat-men", "rec-1")
    others = [read_outline(admin, id) for id in ("cat-webshop", "cat-marketplace")]
    assert admin.delete(f"/catalogs/{catalog}").status_code == 204
    error(admin.get(f"/catalogs/{catalog}/tree"), 404)
    for id in family:
        error(admin.get(f"/categories/{id}"), 404)
    assert [admin.get(f"/records/{record['id']}").json for record in records] == records
    assert [category["id"] for category in admin.get("/records/rec-1/categories").json] == ["cat-men"]
    assert admin.get("/records/rec-2/categories").json == []
    assert [read_outline(admin, id) for id in ("cat-webshop", "cat-marketplace")] == others
