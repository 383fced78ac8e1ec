"""The audit log of a record and its variants: whole entries, newest first, page by page, also after the record is gone."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from cases import each

from sigma.resources import history

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
DANISH = {"dim-language": "seg-da"}
LOG = "/records/ent-book/audit-log"


def everywhere(value):
    """The scoped values of an attribute that has one value for all scopes."""
    return [{"scope": {}, "value": value}]


def change(attribute, old, new, scope=None):
    return {"attribute": attribute, "scope": scope or {}, "oldValue": old, "newValue": new}


def entries(caller, path=LOG):
    """A log's entries, newest first, as (record or variant, action, who, changes), after checking their ids and times."""
    answer = caller.get(path)
    assert answer.status_code == 200, answer.json
    items = answer.json["items"]
    assert answer.json == {"items": items, "total": len(items), "offset": 0, "limit": 50}
    for item in items:
        assert list(item) == ["id", "entityId", "action", "userId", "timestamp", "changes"]
        assert all(list(one) == ["attribute", "scope", "oldValue", "newValue"] for one in item["changes"])
        assert isinstance(item["id"], str)
        assert TIME.fullmatch(item["timestamp"])
    assert len({item["id"] for item in items}) == len(items)
    times = [item["timestamp"] for item in items]
    assert times == sorted(times, reverse=True)
    return [(item["entityId"], item["action"], item["userId"], in_order(item["changes"])) for item in items]


def in_order(changes):
    """Changes by attribute and scope: one entry's come in no order that is promised."""
    return sorted(changes, key=lambda one: (one["attribute"], str(one["scope"])))


@pytest.fixture
def book(admin):
    """The record `ent-book`, made by the administrator with a title, and `CREATED` in its log."""
    for alias, more in (
        ("title", {"dimensionIds": ["dim-language"]}),
        ("pages", {"type": "number"}),
        ("isbn", {"validation": {"unique": True}}),
        ("extra", {"type": "complex"}),
        ("tale", {}),
    ):
        attribute = {"id": f"attr-{alias}", "alias": alias, "name": alias, "type": "text", **more}
        assert admin.post("/attributes", attribute).status_code == 201
    workflow = {
        "id": "wf-book",
        "alias": "book",
        "name": "Book",
        "defaultStateId": "state-plan",
        "states": [{"id": "state-plan", "name": "Plan"}, {"id": "state-sold", "name": "Sold", "readOnly": ["pages"]}],
        "transitions": [{"id": "tr-sell", "fromStateId": "state-plan", "toStateId": "state-sold"}],
    }
    assert admin.post("/workflows", workflow).status_code == 201
    attributes = ["attr-title", "attr-pages", "attr-isbn", "attr-extra", "attr-tale"]
    schema = {
        "id": "schema-book",
        "alias": "book",
        "name": "Book",
        "variantEnabled": True,
        "workflowId": "wf-book",
        "attributeGroups": [{"id": "grp-1", "name": "All", "sortOrder": 0, "attributeIds": attributes}],
    }
    assert admin.post("/schemas", schema).status_code == 201
    body = {"id": "ent-book", "schemaId": "schema-book", "values": {"title": everywhere("Emma")}}
    answer = admin.post("/records", body)
    assert answer.status_code == 201, answer.json
    return answer.json


CREATED = ("ent-book", "create", "user-admin", [change("title", None, "Emma")])


# Entries


def test_creating_is_logged_with_every_value_and_no_old_one(admin, key, book):
    title = [*everywhere("Emma"), {"scope": DANISH, "value": "Emma (dansk)"}]
    values = {"title": title, "pages": everywhere(400), "extra": everywhere({"a": [1.5, None]}), "tale": []}
    body = {"id": "ent-2", "schemaId": "schema-book", "values": values}
    assert key.post("/records", body).status_code == 201
    changes = [
        change("extra", None, {"a": [1.5, None]}),
        change("pages", None, 400),
        change("title", None, "Emma (dansk)", DANISH),
        change("title", None, "Emma"),
    ]
    assert entries(admin, "/records/ent-2/audit-log") == [("ent-2", "create", key.id, in_order(changes))]
    assert entries(admin) == [CREATED]


def test_a_record_created_empty_is_logged_without_changes(admin, book):
    assert admin.post("/records", {"id": "ent-2", "schemaId": "schema-book", "values": {}}).status_code == 201
    assert entries(admin, "/records/ent-2/audit-log") == [("ent-2", "create", "user-admin", [])]


def test_a_time_in_the_log_is_now(admin, book):
    timestamp = admin.get(LOG).json["items"][0]["timestamp"]
    assert abs(datetime.now(UTC) - datetime.fromisoformat(timestamp)) < timedelta(minutes=1)


def test_a_change_has_the_time_that_the_record_has_for_it(admin, book):
    def latest():
        return admin.get(LOG).json["items"][0]["timestamp"]

    assert latest() == book["createdAt"] == book["updatedAt"]
    changed = admin.patch("/records/ent-book/values/pages", {"scope": {}, "value": 400}).json
    assert latest() == changed["updatedAt"]
    moved = admin.post("/records/ent-book/transition", {"toStateId": "state-sold"}).json
    assert latest() == moved["updatedAt"]
    variant = admin.post("/records/ent-book/variants", {"id": "var-book", "values": {}}).json
    assert latest() == variant["createdAt"]


def test_put_is_logged_with_what_changed_only(admin, editor, book):
    first = {"title": [*everywhere("Emma"), {"scope": DANISH, "value": "Dansk"}], "pages": everywhere(400)}
    assert editor.put("/records/ent-book", {"values": first}).status_code == 200
    second = {"title": [{"scope": DANISH, "value": "Ny"}], "pages": everywhere(400), "isbn": everywhere("1")}
    assert admin.put("/records/ent-book", {"values": second}).status_code == 200
    third = {"title": [], "pages": everywhere(401)}
    assert admin.put("/records/ent-book", {"values": third}).status_code == 200
    assert entries(admin) == [
        ("ent-book", "update", "user-admin", [change("pages", 400, 401), change("title", "Ny", None, DANISH)]),
        (
            "ent-book",
            "update",
            "user-admin",
            in_order([change("isbn", None, "1"), change("title", "Dansk", "Ny", DANISH), change("title", "Emma", None)]),
        ),
        ("ent-book", "update", "user-editor", [change("pages", None, 400), change("title", None, "Dansk", DANISH)]),
        CREATED,
    ]


def test_patch_is_logged_with_its_one_value(admin, key, book):
    for body in ({"value": "Emma!"}, {"value": "Dansk", "scope": DANISH}, {"value": None}):
        assert key.patch("/records/ent-book/values/title", body).status_code == 200
    assert entries(admin) == [
        ("ent-book", "update", key.id, [change("title", "Emma!", None)]),
        ("ent-book", "update", key.id, [change("title", None, "Dansk", DANISH)]),
        ("ent-book", "update", key.id, [change("title", "Emma", "Emma!")]),
        CREATED,
    ]


@each(
    "alias, old, new",
    [
        pytest.param("pages", 0, 1, id="zero"),
        pytest.param("tale", "", "x", id="empty text"),
        pytest.param("tale", "lille \0 😀", "other", id="unicode"),
        pytest.param("extra", {"a": 1}, {"a": True}, id="one and true"),
        pytest.param("extra", {}, {"a": {"b": [None]}}, id="objects"),
        pytest.param("pages", 10**30, 10**30 + 1, id="big numbers"),
    ],
)
def test_old_and_new_values_are_logged_as_they_were(admin, book, alias, old, new):
    for value in (old, new):
        assert admin.patch(f"/records/ent-book/values/{alias}", {"value": value}).status_code == 200
    expected = change(alias, old, new)
    ((_, _, _, (logged,)), *_) = entries(admin)
    assert logged == expected
    assert repr(logged["newValue"]) == repr(new)  # to Python, True is 1


def test_a_transition_is_logged_as_a_change_of_the_state(admin, key, book):
    assert key.post("/records/ent-book/transition", {"toStateId": "state-sold"}).status_code == 200
    moved = ("ent-book", "transition", key.id, [change("lifecycleStateId", "state-plan", "state-sold")])
    assert entries(admin) == [moved, CREATED]


def test_an_entry_that_a_new_workflow_makes_is_like_that_of_a_transition(admin, key, book):
    assert key.post("/records/ent-book/transition", {"toStateId": "state-sold"}).status_code == 200
    schema = {**admin.get("/schemas/schema-book").json, "id": "schema-loose", "alias": "loose"}
    workflow = schema.pop("workflowId")
    assert admin.post("/schemas", schema).status_code == 201
    assert (
        admin.post(
            "/records", {"id": "ent-loose", "schemaId": "schema-loose", "values": {"title": everywhere("Jane")}}
        ).status_code
        == 201
    )
    assert admin.put("/schemas/schema-loose", {**schema, "workflowId": workflow}).status_code == 200
    usual, made = (admin.get(f"/records/{id}/audit-log").json["items"][0] for id in ("ent-book", "ent-loose"))
    assert made["changes"] == [change("lifecycleStateId", None, "state-plan")]
    assert [list(made), *map(list, made["changes"])] == [list(usual), *map(list, usual["changes"])]
    assert [made["action"], re.sub("[0-9a-f]", "0", made["id"])] == [usual["action"], re.sub("[0-9a-f]", "0", usual["id"])]


def test_deleting_is_logged_with_every_value_and_no_new_one(admin, editor, book):
    assert admin.patch("/records/ent-book/values/pages", {"value": 5}).status_code == 200
    assert editor.delete("/records/ent-book").status_code == 204
    assert entries(admin) == [
        ("ent-book", "delete", "user-editor", [change("pages", 5, None), change("title", "Emma", None)]),
        ("ent-book", "update", "user-admin", [change("pages", None, 5)]),
        CREATED,
    ]


def test_variants_are_logged_with_their_record(admin, editor, key, book, error):
    variants = "/records/ent-book/variants"
    assert key.post(variants, {"id": "var-1", "values": {"pages": everywhere(10)}}).status_code == 201
    assert editor.put(f"{variants}/var-1", {"values": {"title": everywhere("Short")}}).status_code == 200
    assert admin.patch(f"{variants}/var-1/values/pages", {"value": 11}).status_code == 200
    assert key.delete(f"{variants}/var-1").status_code == 204
    assert entries(admin) == [
        ("var-1", "delete", key.id, [change("pages", 11, None), change("title", "Short", None)]),
        ("var-1", "update", "user-admin", [change("pages", 10, 11)]),
        ("var-1", "update", "user-editor", [change("title", None, "Short")]),
        ("var-1", "create", key.id, [change("pages", None, 10)]),
        CREATED,
    ]
    error(admin.get("/records/var-1/audit-log"), 404)


def test_everything_that_goes_with_a_variant_or_a_record_is_logged(admin, book):
    for id, parent in (("var-1", "ent-book"), ("var-2", "var-1"), ("var-3", "ent-book")):
        body = {"id": id, "parentId": parent, "values": {"tale": everywhere(id)}}
        assert admin.post("/records/ent-book/variants", body).status_code == 201
    assert admin.delete("/records/ent-book/variants/var-1").status_code == 204
    gone = sorted((entry for entry in entries(admin) if entry[1] == "delete"), key=str)
    assert gone == [(id, "delete", "user-admin", [change("tale", id, None)]) for id in ("var-1", "var-2")]
    assert admin.delete("/records/ent-book").status_code == 204
    last, *others = [id for id, action, *_ in entries(admin) if action == "delete"]
    assert (last, set(others)) == ("ent-book", {"var-1", "var-2", "var-3"})
    gone = sorted((entry for entry in entries(admin) if entry[1] == "delete"), key=str)
    assert gone == [
        ("ent-book", "delete", "user-admin", [change("title", "Emma", None)]),
        *((id, "delete", "user-admin", [change("tale", id, None)]) for id in ("var-1", "var-2", "var-3")),
    ]


# Reading it


def test_the_log_comes_page_by_page(admin, book):
    for pages in range(7):
        assert admin.patch("/records/ent-book/values/pages", {"value": pages}).status_code == 200
    everything = admin.get(LOG).json["items"]
    assert [item["changes"][0]["newValue"] for item in everything] == [6, 5, 4, 3, 2, 1, 0, "Emma"]
    assert list(admin.get(LOG).json) == ["items", "total", "offset", "limit"]
    for offset, limit in ((0, 3), (3, 3), (6, 3), (8, 1), (100, 1000)):
        page = admin.get(f"{LOG}?offset={offset}&limit={limit}").json
        assert page == {"items": everything[offset : offset + limit], "total": 8, "offset": offset, "limit": limit}


def test_the_log_can_be_read_after_the_record_is_gone(admin, key, book, error):
    assert admin.delete("/records/ent-book").status_code == 204
    error(key.get("/records/ent-book"), 404)
    assert [entry[1] for entry in entries(key)] == ["delete", "create"]


def test_a_record_made_anew_under_an_id_continues_its_log(admin, book):
    assert admin.delete("/records/ent-book").status_code == 204
    assert admin.post("/records", {"id": "ent-book", "schemaId": "schema-book", "values": {}}).status_code == 201
    assert [entry[1] for entry in entries(admin)] == ["create", "delete", "create"]


def test_an_id_that_never_was_a_records_has_no_log(admin, stranger, book, error):
    for id in ("ent-none", "schema-book", "cat-webshop", "%00"):
        assert id.replace("%00", "\0") in error(admin.get(f"/records/{id}/audit-log"), 404)
    error(stranger.get(LOG), 404)
    assert admin.delete("/records/ent-book").status_code == 204
    error(stranger.get(LOG), 404)


def test_what_a_key_did_stays_its_own_when_the_key_is_gone(admin, key, book):
    assert key.patch("/records/ent-book/values/pages", {"value": 1}).status_code == 200
    before = entries(admin)
    assert before[0][2] == key.id
    assert admin.delete(f"/api-keys/{key.id}").status_code == 200
    assert entries(admin) == before
    record = admin.get("/records/ent-book").json
    assert (record["createdBy"], record["updatedBy"]) == ("user-admin", key.id)


def test_the_demo_records_have_a_history(admin):
    log = admin.get("/records/ent-trail-cap/audit-log").json
    assert [item["action"] for item in log["items"]] == ["transition", "create"]


# What is not logged


@each(
    "method, path, body, status",
    [
        pytest.param("POST", "", {"id": "ent-book", "schemaId": "schema-book", "values": {}}, 409, id="create: taken id"),
        pytest.param("PUT", "/ent-book", {"values": {"isbn": everywhere(5)}}, 400, id="put: wrong type"),
        pytest.param("PUT", "/ent-book", {"values": {"isbn": everywhere("taken")}}, 409, id="put: unique"),
        pytest.param("PUT", "/ent-book", {"values": {"pages": everywhere(1)}}, 403, id="put: read-only"),
        pytest.param("PATCH", "/ent-book/values/pages", {"value": 1}, 403, id="patch: read-only"),
        pytest.param("PATCH", "/ent-book/values/isbn", {"value": "taken"}, 409, id="patch: unique"),
        pytest.param("PATCH", "/ent-book/values/length", {"value": 1}, 404, id="patch: unknown attribute"),
        pytest.param("POST", "/ent-book/transition", {"toStateId": "state-plan"}, 422, id="transition: no way"),
        pytest.param("POST", "/ent-book/variants", {"values": {"isbn": everywhere("taken")}}, 409, id="variant: unique"),
        pytest.param("POST", "/ent-book/variants", {"parentId": "x", "values": {}}, 400, id="variant: parent"),
        pytest.param("DELETE", "/ent-book/variants/var-none", None, 404, id="variant: unknown"),
    ],
)
def test_what_was_refused_is_not_logged(admin, book, error, method, path, body, status):
    taken = {"id": "ent-2", "schemaId": "schema-book", "values": {"isbn": everywhere("taken")}}
    assert admin.post("/records", taken).status_code == 201
    assert admin.post("/records/ent-book/transition", {"toStateId": "state-sold"}).status_code == 200
    logs = [admin.get(f"/records/{id}/audit-log").json for id in ("ent-book", "ent-2")]
    error(admin.request(method, f"/records{path}", json=body), status)
    assert [admin.get(f"/records/{id}/audit-log").json for id in ("ent-book", "ent-2")] == logs


def test_what_a_caller_may_not_do_and_reading_are_not_logged(admin, make_key, anonymous, book, error):
    reader = make_key("read", "update-model", "delete-model")
    before = admin.get(LOG).json
    for caller, status in ((reader, 403), (anonymous, 401)):
        error(caller.put("/records/ent-book", {"values": {}}), status)
        error(caller.patch("/records/ent-book/values/pages", {"value": 1}), status)
        error(caller.delete("/records/ent-book"), status)
    for page in ("", "/variants", "/completeness", "/transitions", "/categories", "/audit-log"):
        assert reader.get(f"/records/ent-book{page}").status_code == 200
    assert admin.get(LOG).json == before


def test_one_records_log_holds_nothing_of_another(admin, book):
    for id in ("ent-boo", "ent-book-2", "ENT-BOOK"):
        assert admin.post("/records", {"id": id, "schemaId": "schema-book", "values": {}}).status_code == 201
    assert entries(admin) == [CREATED]


# A write that changes nothing


BOTH = {"dim-language": "seg-da", "dim-market": "seg-dk"}
SAME_SCOPE = {"dim-market": "seg-dk", "dim-language": "seg-da"}
HELD = {  # by the attributes of `held`
    "title": [*everywhere("Emma"), {"scope": DANISH, "value": "Emma (dansk)"}, {"scope": BOTH, "value": "Ema"}],
    "pages": everywhere(1),
    "extra": everywhere({"a": 1, "b": [True, None]}),
    "shade": everywhere("val-navy"),
}
PUT, PATCH, GONE = "PUT", "PATCH", []
UNCHANGING = {
    "put of no attribute": (PUT, {}),
    "put of all as they are": (PUT, HELD),
    "put of one as it is": (PUT, {"pages": HELD["pages"]}),
    "put in another order": (PUT, {"title": HELD["title"][::-1]}),
    "put without the scope": (PUT, {"pages": [{"value": 1}]}),
    "put with a scope in another order": (PUT, {"title": [*HELD["title"][:2], {"scope": SAME_SCOPE, "value": "Ema"}]}),
    "put that clears what is not there": (PUT, {"tale": GONE}),
    "put of some as they are, that clears what is not there": (PUT, {"title": HELD["title"], "isbn": GONE}),
    "patch with the same text": (PATCH, "title", "Emma (dansk)", DANISH),
    "patch with the same number": (PATCH, "pages", 1, {}),
    "a number written otherwise": (PATCH, "pages", 1.0, {}),
    "put of a number written otherwise": (PUT, {"pages": everywhere(1.0)}),
    "members in another order": (PATCH, "extra", {"b": [True, None], "a": 1}, {}),
    "a number written otherwise, within": (PUT, {"extra": everywhere({"b": [True, None], "a": 1e0})}),
    "patch with the same object": (PATCH, "extra", {"a": 1, "b": [True, None]}, {}),
    "patch with a scope in another order": (PATCH, "title", "Ema", SAME_SCOPE),
    "patch with null of a value that is not there": (PATCH, "tale", None, {}),
    "patch with null of a scope that is not there": (PATCH, "title", None, {"dim-language": "seg-sv"}),
}
CHANGING = {  # what a read shows otherwise is a change: the attribute, its old and its new value
    "one for true": (PATCH, "extra", {"a": 1, "b": [1, None]}, {}),
    "a member more": (PATCH, "extra", {"a": 1, "b": [True, None], "c": None}, {}),
    "another text": (PATCH, "title", "Emma ", {}),
    "a letter composed otherwise": (PATCH, "title", "Emma\u0301", {}),
    "put that leaves a scope out": (PUT, {"title": HELD["title"][:2]}),
    "put of one more": (PUT, {**HELD, "tale": everywhere("")}),
}


@pytest.fixture(params=["/records/ent-held", "/records/ent-book/variants/var-held"], ids=["record", "variant"])
def held(request, admin, book):
    """The path of a record or variant with these values, of which the shade's option is gone."""
    attribute = admin.get("/attributes/attr-title").json
    assert admin.put("/attributes/attr-title", {**attribute, "dimensionIds": ["dim-language", "dim-market"]}).status_code == 200
    shade = {"id": "attr-shade", "alias": "shade", "name": "Shade", "type": "option", "optionListId": "ol-colors"}
    assert admin.post("/attributes", shade).status_code == 201
    schema = admin.get("/schemas/schema-book").json
    schema["attributeGroups"][0]["attributeIds"].append("attr-shade")
    assert admin.put("/schemas/schema-book", schema).status_code == 200
    collection, _, id = request.param.rpartition("/")
    schema = {"schemaId": "schema-book"} if collection == "/records" else {}
    assert admin.post(collection, {"id": id, "values": HELD, **schema}).status_code == 201
    assert admin.delete("/option-lists/ol-colors/values/val-navy").status_code == 204
    return request.param


def write(caller, path, method, what, *one):
    """PUT these values, or PATCH an attribute with one value in a scope."""
    if method == PUT:
        return caller.put(path, {"values": what})
    return caller.patch(f"{path}/values/{what}", dict(zip(("value", "scope"), one, strict=True)))


def stored(path, caller):
    return caller.get(path).data, caller.get(f"{'/'.join(path.split('/')[:3])}/audit-log").json


@each("change", UNCHANGING.values(), ids=UNCHANGING)
def test_a_write_that_changes_nothing_leaves_no_history_and_no_byte_changed(app, admin, editor, held, change):
    before = stored(held, admin)
    answer = write(editor, held, *change)
    assert (answer.status_code, answer.data) == (200, before[0])
    assert stored(held, admin) == before


@each("change", CHANGING.values(), ids=CHANGING)
def test_what_a_read_shows_otherwise_is_a_change(admin, editor, held, change):
    before, log = stored(held, admin)
    answer = write(editor, held, *change)
    assert (answer.status_code, answer.json["updatedBy"]) == (200, "user-editor")
    after, (latest, *older) = admin.get(held).data, stored(held, admin)[1]["items"]
    assert (after == before, older) == (False, log["items"])
    assert (latest["action"], len(latest["changes"])) == ("update", 1)


def test_attributes_that_a_put_does_not_change_stay_as_they_are_beside_those_that_it_changes(admin, held):
    values = admin.get(held).json["values"]
    answer = admin.put(held, {"values": {"title": values["title"][::-1], "pages": everywhere(2)}})
    assert list(answer.json["values"].items()) == list({**values, "pages": everywhere(2)}.items())
    assert [change["attribute"] for change in stored(held, admin)[1]["items"][0]["changes"]] == ["pages"]


def test_a_value_given_twice_is_refused_though_one_of_the_two_is_stored(admin, held, error):
    before = stored(held, admin)
    for pages in ([1, 1], [1, 2], [2, 1]):
        message = error(admin.put(held, {"values": {"pages": [entry for page in pages for entry in everywhere(page)]}}), 400)
        assert message == "values.pages: expected one value per scope, got more for {}"
    assert stored(held, admin) == before


def test_what_the_schema_lost_may_be_put_back_and_taken_away_but_not_changed(admin, held, error):
    schema = admin.get("/schemas/schema-book").json
    assert admin.put("/schemas/schema-book", {**schema, "attributeGroups": []}).status_code == 200
    before, values = stored(held, admin), admin.get(held).json["values"]
    assert admin.put(held, {"values": values}).data == before[0]
    assert admin.patch(f"{held}/values/pages", {"value": 1}).data == before[0]
    assert stored(held, admin) == before
    told = "schema 'schema-book' has no attribute with this alias (there are none)"
    assert error(admin.put(held, {"values": {"pages": everywhere(2)}}), 400) == f"values.pages: {told}"
    assert error(admin.put(held, {"values": {"pages": [*everywhere(1), {"scope": DANISH, "value": 1}]}}), 400)
    error(admin.patch(f"{held}/values/pages", {"value": 2}), 404)
    assert admin.put(held, {"values": {"title": values["title"][1:]}}).json["values"]["title"] == values["title"][1:]
    assert "pages" not in admin.put(held, {"values": {"pages": []}}).json["values"]


# What changed between two sets of values


@each(
    ("old", "new", "changes"),
    [
        ({}, {}, []),
        ({}, {"a": everywhere(1)}, [change("a", None, 1)]),
        ({"a": everywhere(1)}, {}, [change("a", 1, None)]),
        ({"a": everywhere(1)}, {"a": []}, [change("a", 1, None)]),
        ({"a": everywhere(1)}, {"a": everywhere(1)}, []),
        ({"a": everywhere(1)}, {"a": everywhere(1.0)}, []),
        ({"a": everywhere({"b": 1e23, "c": 0})}, {"a": everywhere({"c": -0.0, "b": 10**23})}, []),
        ({"a": everywhere([1, 2])}, {"a": everywhere([2, 1])}, [change("a", [1, 2], [2, 1])]),
        ({"a": everywhere("1")}, {"a": everywhere(1)}, [change("a", "1", 1)]),
        ({"a": everywhere(1)}, {"a": everywhere(True)}, [change("a", 1, True)]),
        ({"a": everywhere(0)}, {"a": everywhere(False)}, [change("a", 0, False)]),
        ({"a": everywhere("")}, {"b": everywhere("")}, [change("a", "", None), change("b", None, "")]),
        (
            {"a": [*everywhere(1), {"scope": DANISH, "value": 2}]},
            {"a": [{"scope": DANISH, "value": 3}, {"scope": BOTH, "value": 1}]},
            [change("a", 1, None), change("a", 2, 3, DANISH), change("a", None, 1, BOTH)],
        ),
        ({"a": [{"scope": BOTH, "value": 1}]}, {"a": [{"scope": SAME_SCOPE, "value": 1}]}, []),
    ],
)
def test_changes_are_told_by_attribute_and_scope(old, new, changes):
    assert [repr(one) for one in history.value_changes(old, new)] == [repr(one) for one in changes]  # to Python, True is 1
