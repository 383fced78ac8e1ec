"""A write that fails in the middle leaves nothing behind: no half record, no claimed value, no count, no history."""

import sqlite3

import pytest
from cases import each
from conftest import replace_everywhere, sql
from nouns import ATTRIBUTE, CATALOG, ROLE, SCHEMA, WORKFLOW, each_noun
from test_model import make

from sigma.http import responses
from sigma.resources import history, unique_values

SECRET = "the cause, which is nobody's business"


def everywhere(value):
    """Return the scoped values of an attribute that has one value for all scopes."""
    return [{"scope": {}, "value": value}]


EAN = "4006381333931"
# Every kind of write to records and variants, done to the demo's. All but the last three claim or free a unique EAN.
WRITES = {
    "create": (
        "POST",
        "/records",
        {"id": "ent-new", "schemaId": "schema-apparel", "values": {"ean": everywhere(EAN), "size": everywhere("L")}},
    ),
    "put": ("PUT", "/records/ent-coastal-wb", {"values": {"ean": everywhere(EAN), "size": everywhere("L")}}),
    "put that clears": ("PUT", "/records/ent-coastal-wb", {"values": {"ean": [], "size": everywhere("L")}}),
    "patch": ("PATCH", "/records/ent-coastal-wb/values/ean", {"value": EAN}),
    "delete": ("DELETE", "/records/ent-coastal-wb", None),
    "variant create": ("POST", "/records/ent-coastal-wb/variants", {"id": "var-new", "values": {"ean": everywhere(EAN)}}),
    "variant put": ("PUT", "/records/ent-coastal-wb/variants/var-cw-s", {"values": {"ean": everywhere(EAN)}}),
    "variant patch": ("PATCH", "/records/ent-coastal-wb/variants/var-cw-s/values/ean", {"value": EAN}),
    "variant delete": ("DELETE", "/records/ent-coastal-wb/variants/var-cw-s", None),
    "transition": ("POST", "/records/ent-trail-cap/transition", {"toStateId": "state-draft"}),
    "put of a plain value": ("PUT", "/records/ent-coastal-wb", {"values": {"size": everywhere("L")}}),
    "patch of a plain value": ("PATCH", "/records/ent-coastal-wb/values/size", {"value": "L"}),
}
CLAIMING = ["create", "put", "patch", "variant create", "variant put", "variant patch"]
DELETING = ["delete", "variant delete"]
PAGES = [
    "/records",
    "/records?lifecycleStateId=state-draft",
    "/records?lifecycleStateId=state-review",
    "/variants",
    "/records/ent-coastal-wb/variants",
    "/records/ent-coastal-wb/audit-log",
    "/records/ent-trail-cap/audit-log",
    "/categories/cat-men-windbreakers/entities",
    "/records/ent-coastal-wb/variants/var-cw-s-red/resolved",
]


def send(caller, write):
    method, path, body = WRITES[write]
    return caller.request(method, path, json=body)


def everything(caller):
    """Return what can be read of the workspace's records."""
    answers = [caller.get(page) for page in PAGES]
    return [(answer.status_code, answer.json) for answer in answers]


def fail_in(monkeypatch, name, error=None, after=False, call=1):
    """Let a function or method of the service raise an error: before or after its work, at its first or a later call."""
    owner = {"add": history.Log, "store": history.Log, "claim_values": unique_values, "json_response": responses}[name]
    original, calls = getattr(owner, name), []

    def failing(*args, **kwargs):
        calls.append(name)
        if len(calls) < call:
            return original(*args, **kwargs)
        if after:
            original(*args, **kwargs)
        raise error or RuntimeError(SECRET)

    if owner is history.Log:
        monkeypatch.setattr(owner, name, failing)
    else:
        replace_everywhere(monkeypatch, owner, name, failing)
    return calls


def check_failure_leaves_nothing(caller, error, monkeypatch, write, calls):
    """Send a write that fails, and see that nothing came of it, and that it works once nothing fails any more."""
    before = everything(caller)
    answer = send(caller, write)
    message = error(answer, 500)
    assert calls, "the fault was never reached"
    assert SECRET not in message
    assert "Error" not in message
    monkeypatch.undo()
    assert everything(caller) == before
    again = send(caller, write)
    assert again.status_code in (200, 201, 204), again.json  # in particular, no 409 for a value that was half claimed
    assert everything(caller) != before


@each("after", [False, True], ids=["before it is logged", "after it is logged"])
@each("write", WRITES)
def test_a_write_whose_logging_fails_leaves_nothing(admin, error, monkeypatch, write, after):
    calls = fail_in(monkeypatch, "store", after=after)
    check_failure_leaves_nothing(admin, error, monkeypatch, write, calls)


@each("write", DELETING)
def test_a_deletion_that_fails_halfway_through_its_variants_leaves_all(admin, error, monkeypatch, write):
    calls = fail_in(monkeypatch, "add", after=True, call=2)
    check_failure_leaves_nothing(admin, error, monkeypatch, write, calls)


@each("after", [False, True], ids=["before it is claimed", "after it is claimed"])
@each("write", CLAIMING)
def test_a_write_that_fails_at_a_unique_value_leaves_nothing(admin, error, monkeypatch, write, after):
    calls = fail_in(monkeypatch, "claim_values", after=after)
    check_failure_leaves_nothing(admin, error, monkeypatch, write, calls)


@each("write", sorted(WRITES.keys() - set(DELETING)))
def test_a_write_that_fails_while_its_answer_is_made_leaves_nothing(admin, error, monkeypatch, write):
    before = everything(admin)
    calls = fail_in(monkeypatch, "json_response")
    error(send(admin, write), 500)
    assert calls, "the fault was never reached"
    monkeypatch.undo()
    assert everything(admin) == before
    assert send(admin, write).status_code in (200, 201)


@each("write", ["create", "variant delete"])
@each(
    "fault",
    [
        pytest.param(sqlite3.IntegrityError(SECRET), id="constraint"),
        pytest.param(MemoryError(SECRET), id="memory"),
        pytest.param(KeyError(SECRET), id="lookup"),
    ],
)
def test_whatever_fails_the_answer_tells_nothing_of_it(admin, error, monkeypatch, write, fault):
    calls = fail_in(monkeypatch, "store", fault)
    check_failure_leaves_nothing(admin, error, monkeypatch, write, calls)


def test_a_failure_is_written_to_the_log_of_the_service(admin, error, monkeypatch, caplog):
    fail_in(monkeypatch, "store")
    error(send(admin, "put"), 500)
    assert SECRET in caplog.text


def test_the_next_request_works_even_while_failures_go_on(admin, key, error, monkeypatch):
    fail_in(monkeypatch, "store")
    for write in WRITES:
        error(send(admin, write), 500)
        assert key.get("/records").json["total"] == 47
    body = {"name": "Other", "permissions": ["read"]}
    assert admin.post("/api-keys", body).status_code == 201


def test_a_write_that_was_refused_counts_for_nothing_in_the_limit(app, admin, error, monkeypatch):
    app.config["RECORD_LIMIT"] = 48
    fail_in(monkeypatch, "store", after=True)
    for _ in range(3):
        error(send(admin, "create"), 500)
    monkeypatch.undo()
    assert send(admin, "create").status_code == 201
    assert admin.get("/records").json["total"] == 48


# The model, its option values, categories and assignments


FAULTS = ("INSERT", "UPDATE", "DELETE")


@pytest.fixture
def break_down(app):
    """Return a function that makes the database fail right after it has changed a row of a table; what it returns ends that."""

    def install(event, table):
        sql(app, f"CREATE TRIGGER breakdown AFTER {event} ON {table} BEGIN SELECT RAISE(FAIL, 'injected detail'); END")
        return lambda: sql(app, "DROP TRIGGER breakdown")

    return install


def check_failure_leaves_no_trace(stored, break_down, fault, write):
    """Check that a write under a failing database is 5xx and changes nothing, and works once the database does."""
    before = stored()
    repair = break_down(*fault)
    answer = write()
    assert answer.status_code in (500, 503)
    assert answer.json["error"] == {500: "INTERNAL_ERROR", 503: "UNAVAILABLE"}[answer.status_code]
    assert "injected" not in answer.text and "sqlite" not in answer.text.lower()
    assert stored() == before
    repair()
    assert write().status_code in (200, 201, 204)
    assert stored() != before


@each_noun
@each("event", FAULTS)
def test_a_failure_in_the_middle_of_a_write_leaves_no_trace(noun, event, admin, stored, break_down):
    if event != "INSERT":
        make(admin, noun.path, noun.full)
    write = {
        "INSERT": lambda: admin.post(noun.path, noun.full),
        "UPDATE": lambda: admin.put(noun.url, noun.minimal),
        "DELETE": lambda: admin.delete(noun.url),
    }[event]
    check_failure_leaves_no_trace(stored, break_down, (event, "model_objects"), write)


@each("noun", [SCHEMA, ATTRIBUTE, WORKFLOW, ROLE], ids=lambda noun: noun.path[1:])
def test_a_failure_while_references_are_stored_leaves_no_trace(noun, admin, stored, break_down):
    fault = ("INSERT", "model_references")
    check_failure_leaves_no_trace(stored, break_down, fault, lambda: admin.post(noun.path, noun.full))
    renamed = {**noun.full, "name": "Renamed"}
    check_failure_leaves_no_trace(stored, break_down, fault, lambda: admin.put(noun.url, renamed))


OTHER_WRITES = {
    "add-option-value": (
        ("UPDATE", "model_objects"),
        ("POST", "/option-lists/ol-colors/values", {"id": "val-x", "alias": "x", "label": "X"}),
    ),
    "change-option-value": (
        ("UPDATE", "model_objects"),
        ("PUT", "/option-lists/ol-colors/values/val-red", {"alias": "x", "label": "X"}),
    ),
    "remove-option-value": (("UPDATE", "model_objects"), ("DELETE", "/option-lists/ol-categories/values/val-clothing", None)),
    "create-category": (("INSERT", "categories"), ("POST", "/catalogs/cat-webshop/categories", {"alias": "x", "name": "X"})),
    "move-category": (("UPDATE", "categories"), ("PUT", "/categories/cat-men-windbreakers", {"alias": "x", "name": "X"})),
    "delete-category-with-its-assignments": (("DELETE", "category_assignments"), ("DELETE", "/categories/cat-men", None)),
    "assign": (("INSERT", "category_assignments"), ("POST", "/categories/cat-men/assign", {"entityId": "ent-trail-cap"})),
    "unassign": (
        ("DELETE", "category_assignments"),
        ("POST", "/categories/cat-accessories/unassign", {"entityId": "ent-trail-cap"}),
    ),
}


@each(("fault", "write"), OTHER_WRITES.values(), ids=OTHER_WRITES)
def test_a_failure_in_the_middle_of_another_write_leaves_no_trace(fault, write, admin, stored, break_down):
    method, path, body = write
    check_failure_leaves_no_trace(stored, break_down, fault, lambda: admin.request(method, path, json=body))


def test_a_failure_while_a_catalog_is_emptied_leaves_no_trace(admin, stored, break_down):
    make(admin, CATALOG.path, CATALOG.full)
    make(admin, "/catalogs/cat-outlet/categories", {"id": "top", "alias": "top", "name": "Top"})
    make(admin, "/catalogs/cat-outlet/categories", {"id": "low", "alias": "low", "name": "Low", "parentId": "top"})
    check_failure_leaves_no_trace(stored, break_down, ("DELETE", "categories"), lambda: admin.delete("/catalogs/cat-outlet"))


def test_a_failure_while_an_attribute_becomes_unique_leaves_no_trace(admin, stored, break_down):
    write = {**admin.get("/attributes/attr-sku").json, "validation": {"unique": True}}
    for fault in (("INSERT", "unique_values"), ("UPDATE", "model_objects")):
        check_failure_leaves_no_trace(stored, break_down, fault, lambda: admin.put("/attributes/attr-sku", write))
        assert admin.put("/attributes/attr-sku", {**write, "validation": {}}).status_code == 200
