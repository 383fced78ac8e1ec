"""Option lists: their values, one by one and as a tree. What they share with the other nouns is in test_model.py."""

import time

import pytest
from cases import each
from conftest import without_hint

from sigma.resources import option_lists


def value(name, **members):
    return {"id": name, "alias": name, "label": name.title(), **members}


def stored(name, **members):
    """Return a value as it is served."""
    return {**value(name), "sortOrder": 0, **members}


@pytest.fixture
def make(admin):
    """Make the option list `ol-x`, hierarchical unless told otherwise, and return it."""

    def post(*values, hierarchical=True, name="x"):
        body = {"id": f"ol-{name}", "alias": name, "name": "X", "hierarchical": hierarchical, "values": list(values)}
        answer = admin.post("/option-lists", body)
        assert answer.status_code == 201, answer.text
        return answer.json

    return post


@pytest.fixture
def values(admin):
    """Return the values that `ol-x` has now."""
    return lambda: admin.get("/option-lists/ol-x").json["values"]


@pytest.fixture
def family(make):
    """Return the values of a new list `ol-x`: a with b and c below it, d below b, and e beside a."""
    return make(value("a"), value("b", parentId="a"), value("c", parentId="a"), value("d", parentId="b"), value("e"))["values"]


# Values as a list


def test_adding_a_value_answers_the_value(make, admin, values):
    make()
    full = {
        "id": "oak",
        "alias": "the-oak",
        "label": "Oak",
        "sortOrder": 1.5,
        "color": "#aa8855",
    }
    answer = admin.post("/option-lists/ol-x/values", full)
    assert (answer.status_code, answer.content_type) == (201, "application/json")
    assert list(answer.json.items()) == list(full.items())

    below = admin.post("/option-lists/ol-x/values", {"parentId": "oak", "label": "Red oak", "alias": "red", "id": "red-oak"})
    assert below.status_code == 201
    assert list(below.json.items()) == [
        ("id", "red-oak"),
        ("alias", "red"),
        ("label", "Red oak"),
        ("sortOrder", 0),
        ("parentId", "oak"),
    ]
    assert values() == [below.json, full]


def test_values_are_listed_by_sort_order_however_they_came(make, admin, values):
    created = make(value("c", sortOrder=30), value("a", sortOrder=-1.5), value("b", sortOrder=2))
    assert [item["id"] for item in created["values"]] == ["a", "b", "c"]
    admin.post("/option-lists/ol-x/values", value("d", sortOrder=2.5))
    assert [item["id"] for item in values()] == ["a", "b", "d", "c"]
    admin.put("/option-lists/ol-x/values/a", value("a", sortOrder=100))
    assert [item["id"] for item in values()] == ["b", "d", "c", "a"]
    everything = next(item for item in admin.get("/option-lists").json if item["id"] == "ol-x")
    assert everything["values"] == values()


def test_put_replaces_the_whole_value(make, admin, values):
    make(value("a", color="#112233", sortOrder=5), value("b", parentId="a", color="#445566", sortOrder=6))
    answer = admin.put("/option-lists/ol-x/values/b", {"alias": "bee", "label": "Bee"})
    assert (answer.status_code, answer.json) == (200, {"id": "b", "alias": "bee", "label": "Bee", "sortOrder": 0})
    assert values() == [answer.json, stored("a", color="#112233", sortOrder=5)]


def test_putting_a_value_back_changes_nothing(family, admin, values):
    for item in family:
        answer = admin.put(f"/option-lists/ol-x/values/{item['id']}", item)
        assert (answer.status_code, answer.json) == (200, item)
        assert values() == family


def test_put_with_another_id_is_refused(family, admin, values, error):
    assert error(admin.put("/option-lists/ol-x/values/c", value("z")), 400).startswith("id: ")
    assert values() == family


def test_removing_a_value_answers_204_and_nothing_and_then_it_is_gone(family, admin, values, error):
    answer = admin.delete("/option-lists/ol-x/values/e")
    assert (answer.status_code, answer.data) == (204, b"")
    assert values() == family[:-1]
    assert "'e'" in error(admin.delete("/option-lists/ol-x/values/e"), 404)
    assert admin.post("/option-lists/ol-x/values", value("e")).status_code == 201


def test_a_value_of_another_list_is_not_found(family, admin, values, error):
    for answer in (
        admin.put("/option-lists/ol-x/values/val-red", value("val-red")),
        admin.delete("/option-lists/ol-x/values/val-red"),
    ):
        assert error(answer, 404) == "Option value 'val-red' not found"
    assert values() == family
    assert len(admin.get("/option-lists/ol-colors").json["values"]) == 9


TAKEN = {
    "add-id": ("POST", "", value("a", alias="new"), "id: "),
    "add-alias": ("POST", "", value("new", alias="a"), "alias: "),
    "change-alias": ("PUT", "/b", value("b", alias="a"), "alias: "),
}


@each(("method", "path", "body", "message"), TAKEN.values(), ids=TAKEN)
def test_an_id_or_alias_that_another_value_has_is_409(method, path, body, message, family, admin, values, error):
    refusal = error(admin.request(method, f"/option-lists/ol-x/values{path}", json=body), 409)
    assert refusal.startswith(message) and "'a'" in refusal
    assert values() == family


BAD_VALUES = {
    "nothing": ({}, ["id", "alias", "label"]),
    "no-label": ({"id": "z", "alias": "z"}, ["label"]),
    "blank-label": (value("z", label="  "), ["label"]),
    "number-for-label": (value("z", label=5), ["label"]),
    "id-that-cannot-stand-in-a-path": (value("z", id="a/b"), ["id"]),
    "text-for-sort-order": (value("z", sortOrder="1"), ["sortOrder"]),
    "flag-for-sort-order": (value("z", sortOrder=True), ["sortOrder"]),
    "number-for-color": (value("z", color=255), ["color"]),
    "list-for-parent": (value("z", parentId=["a"]), ["parentId"]),
    "unknown-member": (value("z", colour="red"), ["colour"]),
    "unknown-parent": (value("z", parentId="nowhere"), ["parentId"]),
    "parent-of-another-list": (value("z", parentId="val-clothing"), ["parentId"]),
    "itself-as-parent": (value("z", parentId="z"), ["parentId"]),
}


@each(("body", "fields"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_a_bad_value_is_refused(body, fields, family, admin, values, error):
    message = error(admin.post("/option-lists/ol-x/values", body), 400)
    assert [problem.partition(":")[0] for problem in message.split("; ")] == fields
    assert values() == family


@each("parent", ["nowhere", "val-clothing"], ids=["unknown-parent", "parent-of-another-list"])
def test_a_bad_parent_in_a_new_list_is_refused_with_its_place(parent, admin, error):
    values = [value("a"), value("z", parentId=parent)]
    new = {"id": "ol-x", "alias": "x", "name": "X", "hierarchical": True, "values": values}
    assert error(admin.post("/option-lists", new), 400).startswith("values[1].parentId: ")
    error(admin.get("/option-lists/ol-x"), 404)


@each("member", ["id", "alias"])
def test_a_value_that_comes_twice_in_a_body_is_refused(member, admin, error):
    new = {"id": "ol-x", "alias": "x", "name": "X", "values": [value("a"), value("b", **{member: "a"})]}
    answer = admin.post("/option-lists", new)
    assert error(answer, answer.status_code).startswith(f"values[1].{member}: ")
    assert answer.status_code in (400, 409)
    error(admin.get("/option-lists/ol-x"), 404)


def test_two_lists_may_have_values_of_the_same_name(make):
    assert make(value("a"))["values"] == make(value("a"), name="y")["values"]


# Values as a tree


def test_a_flat_list_has_no_parents(make, admin, values, error):
    flat = make(value("a"), value("b"), hierarchical=False)["values"]
    for answer in (
        admin.post("/option-lists/ol-x/values", value("c", parentId="a")),
        admin.put("/option-lists/ol-x/values/b", value("b", parentId="a")),
    ):
        assert error(answer, 400).startswith("parentId: ")
    body = admin.get("/option-lists/ol-x").json
    body["values"][1]["parentId"] = "a"
    assert error(admin.put("/option-lists/ol-x", body), 400).startswith("values[1].parentId: ")
    assert values() == flat


def test_a_list_with_parents_cannot_be_made_flat(family, admin, values, error):
    before = admin.get("/option-lists/ol-x").json
    assert error(admin.put("/option-lists/ol-x", {**before, "hierarchical": False}), 400).startswith("values[1].parentId: ")
    assert admin.get("/option-lists/ol-x").json == before


def test_a_parent_may_come_after_its_children(make):
    created = make(value("low", parentId="top", sortOrder=1), value("top", sortOrder=2))
    assert created["values"] == [stored("low", sortOrder=1, parentId="top"), stored("top", sortOrder=2)]


@each(("id", "parent"), [("a", "a"), ("a", "b"), ("a", "d"), ("b", "d")])
def test_a_value_cannot_be_moved_below_itself(id, parent, family, admin, values, error):
    message = error(admin.put(f"/option-lists/ol-x/values/{id}", value(id, parentId=parent)), 400)
    assert message.startswith("parentId: ")
    assert values() == family


def test_a_circle_in_a_body_is_refused_where_it_is(admin, error):
    circle = [value("top"), value("a", parentId="c"), value("b", parentId="a"), value("c", parentId="b")]
    body = {"id": "ol-x", "alias": "x", "name": "X", "hierarchical": True, "values": circle}
    message = error(admin.post("/option-lists", body), 400)
    assert {problem.partition(":")[0] for problem in message.split("; ")} <= {f"values[{i}].parentId" for i in (1, 2, 3)}
    error(admin.get("/option-lists/ol-x"), 404)


def test_a_value_can_be_moved_with_what_is_below_it(family, admin, values):
    moved = admin.put("/option-lists/ol-x/values/b", value("b", parentId="e"))
    assert moved.json == stored("b", parentId="e")
    assert {item["id"]: item.get("parentId") for item in values()} == {"a": None, "b": "e", "c": "a", "d": "b", "e": None}


def test_removing_a_value_removes_those_below_it(family, admin, values):
    assert admin.delete("/option-lists/ol-x/values/b").status_code == 204
    assert values() == [stored("a"), stored("c", parentId="a"), stored("e")]
    assert admin.delete("/option-lists/ol-x/values/a").status_code == 204
    assert values() == [stored("e")]


def test_a_tree_of_values_may_be_deep(make, admin, values, error):
    chain = [value("v0"), *(value(f"v{depth}", parentId=f"v{depth - 1}") for depth in range(1, 1500))]
    assert len(make(*reversed(chain))["values"]) == 1500
    error(admin.put("/option-lists/ol-x/values/v0", value("v0", parentId="v1499")), 400)
    assert admin.delete("/option-lists/ol-x/values/v1").status_code == 204
    assert values() == [stored("v0")]


# Values and the records that hold them


def test_a_value_that_is_gone_stays_in_records_until_it_is_changed(admin, error):
    record = admin.get("/records/ent-coastal-wb").json
    navy = [{"scope": {}, "value": "val-navy"}]
    assert record["values"]["color"] == navy
    assert admin.delete("/option-lists/ol-colors/values/val-navy").status_code == 204
    assert admin.get("/records/ent-coastal-wb").json == record
    assert admin.put("/records/ent-coastal-wb", {"values": {"color": navy}}).json == record
    message = error(admin.put("/records/ent-trail-cap", {"values": {"color": navy}}), 400)
    assert message.startswith("values.color[0].value: ")
    assert admin.get("/records/ent-coastal-wb").json == record


def test_a_new_value_can_be_used_at_once(admin, error):
    def paint(color):
        return admin.patch("/records/ent-coastal-wb/values/color", {"value": color})

    error(paint("val-teal"), 400)
    admin.post("/option-lists/ol-colors/values", value("val-teal", alias="teal"))
    assert paint("val-teal").json["values"]["color"] == [{"scope": {}, "value": "val-teal"}]
    assert paint("teal").status_code == 200
    admin.put("/option-lists/ol-colors/values/val-teal", value("val-teal", alias="petrol"))
    assert paint("petrol").status_code == 200
    error(paint("teal"), 400)


def test_a_list_in_use_can_be_changed_but_not_deleted(admin, error):
    body = {**admin.get("/option-lists/ol-colors").json, "values": []}
    assert admin.put("/option-lists/ol-colors", body).json == body
    error(admin.delete("/option-lists/ol-colors"), 409)
    assert admin.get("/option-lists/ol-colors").json == body


def test_a_ring_of_ten_thousand_values_is_refused_without_delay(admin, error):
    count = 10_000
    values = [
        {"id": f"v{number}", "alias": f"v{number}", "label": "V", "parentId": f"v{(number + 1) % count}"}
        for number in range(count)
    ]
    body = {"id": "ol-ring", "alias": "ring", "name": "Ring", "hierarchical": True, "values": values}
    started = time.thread_time()
    assert error(admin.post("/option-lists", body), 400).startswith("values[0].parentId: ")
    assert time.thread_time() - started < 5
    error(admin.get("/option-lists/ol-ring"), 404)


# What is below what


FAMILY = [{"id": "a"}, *({"id": id, "parentId": parent} for id, parent in ("ba", "ca", "db")), {"id": "e"}]
RING = [{"id": "x", "parentId": "y"}, {"id": "y", "parentId": "x"}]
NONE = "Expected none, because the list is not hierarchical"
UNKNOWN = "Expected the id of another value of the list"
BELOW = "Expected a value that is not below this one"


@each(
    ("ids", "below"),
    [("", ""), ("a", "abcd"), ("b", "bd"), ("d", "d"), ("e", "e"), ("be", "bde"), ("z", "z")],
)
def test_descendants_are_the_values_themselves_and_all_below_them(ids, below):
    assert option_lists.descendants(ids, FAMILY) == set(below)


@each(
    ("values", "hierarchical", "problems"),
    [
        ([], True, {}),
        (FAMILY, True, {}),
        (FAMILY[::-1], True, {}),
        (FAMILY, False, {1: NONE, 2: NONE, 3: NONE}),
        (FAMILY[1:], True, {0: UNKNOWN, 1: UNKNOWN}),
        ([*FAMILY, *RING], True, {5: BELOW, 6: BELOW}),
        ([{"id": "x", "parentId": "x"}], True, {0: BELOW}),
        ([*RING, {"id": "z", "parentId": "y"}], True, {0: BELOW, 1: BELOW, 2: BELOW}),
        ([{"id": "x", "parentId": None}], False, {}),
    ],
)
def test_what_is_wrong_with_parents_is_told_by_the_place_of_the_value(app, values, hierarchical, problems):
    with app.app_context():
        told = option_lists.parent_problems(values, hierarchical)
    assert {place: without_hint(text) for place, text in told.items()} == problems
