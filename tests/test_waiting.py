"""Requests that wait: they leave the thread that serves all, if the server has others, and begin anew with what they had."""

import gc
import io
import json
import os
import socket
import sys
import threading
import time
import weakref
from contextlib import closing
from types import SimpleNamespace

import pytest
from cases import each
from conftest import sql, store_delivery

from sigma.cli import server
from sigma.http import responses, waiting
from sigma.http.waiting import AFTERWARDS, DONE, PLACES, SEARCHES, SIGN_INS, LeaveWorker, Places, Turns, one_by_one
from sigma.resources import entities

LOGIN = {"email": "admin@sigma.io", "password": "admin"}

RECORD = {"id": "ent-new", "schemaId": "schema-apparel", "values": {}}


@pytest.fixture
def faults(app, key):
    """Give the key faults, and return how often each has fired."""

    def set_faults(*rules):
        path = f"/standin/keys/{key.id}/faults"
        answer = app.test_client().put(path, json=list(rules)) if rules else app.test_client().get(path)
        assert answer.status_code == 200, answer.json
        return [rule["hits"] for rule in answer.json]

    return set_faults


@pytest.fixture
def worker():
    """The environment of a call on a worker's one thread, when two calls may leave it, one of each workspace.

    And so may two long searches, and two logins, one from each address.
    """
    return {PLACES: Places(2, 1), SEARCHES: Places(2, 1), SIGN_INS: Places(2, 1), AFTERWARDS: []}


def sign_in(caller, environ, address="127.0.0.1", **body):
    return caller.post("/auth/login", {**LOGIN, **body}, environ_overrides={**environ, "REMOTE_ADDR": address})


def test_a_delayed_call_leaves_before_it_changes_anything_and_counts_once(admin, key, faults, worker):
    faults({"on": "POST /records", "delayMs": 1, "times": 1})
    with pytest.raises(LeaveWorker) as left:
        key.post("/records", RECORD, environ_overrides=worker)
    assert admin.get("/records/ent-new").status_code == 404
    body = left.value.body
    again = {DONE: left.value.done, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    answer = key.post("/records", content_type="application/json", environ_overrides=again)
    assert (answer.status_code, answer.headers["X-Sigma-Fault"], answer.json["id"]) == (201, "1", "ent-new")
    assert faults() == [1]
    assert "X-Sigma-Fault" not in key.post("/records", RECORD | {"id": "ent-next"}).headers


def test_what_does_not_wait_stays(key, faults, worker):
    faults({"on": "GET /roles", "status": 503}, {"on": "GET /schemas", "delayMs": 0})
    assert key.get("/roles", environ_overrides=worker).status_code == 503
    assert key.get("/schemas", environ_overrides=worker).headers["X-Sigma-Fault"] == "1"
    assert key.post("/records", RECORD, environ_overrides=worker).status_code == 201


def test_an_export_and_a_login_leave(key, anonymous, worker):
    with pytest.raises(LeaveWorker) as left:
        key.get("/export", environ_overrides=worker)
    assert (left.value.places, left.value.holder) == (worker[PLACES], "ws-demo")
    with pytest.raises(LeaveWorker) as left:
        sign_in(anonymous, worker)
    assert (left.value.places, left.value.holder) == (worker[SIGN_INS], "127.0.0.1")


def test_a_call_that_would_leave_and_finds_no_place_is_refused_and_may_be_tried_again(key, anonymous, worker):
    calls = {
        PLACES: ("ws-demo", lambda: key.get("/export", environ_overrides=worker)),
        SIGN_INS: ("127.0.0.1", lambda: sign_in(anonymous, worker)),
    }
    for kind, (holder, call) in calls.items():
        others = [holder] if kind == PLACES else ["192.0.2.1", "192.0.2.2"]
        assert all(map(worker[kind].take, others))
        answer = call()
        assert (answer.status_code, answer.json["error"], answer.headers["Retry-After"]) == (503, "UNAVAILABLE", "1")
        for other in others:
            worker[kind].give_back(other)
        with pytest.raises(LeaveWorker):
            call()


@each("own", [True, False], ids=["right", "wrong"])
@each(
    ("address", "same", "other"),
    [("192.0.2.1", "192.0.2.1", "192.0.2.2"), ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1")],
    ids=["ipv4", "ipv6"],
)
def test_one_address_has_few_logins_under_way_and_takes_no_place_of_others(anonymous, worker, error, own, address, same, other):
    body = {} if own else {"email": "nobody@sigma.io"}
    worker[SIGN_INS] = Places(12, 8)
    for _ in range(8):
        with pytest.raises(LeaveWorker) as left:
            sign_in(anonymous, worker, address, **body)
    for email in ("editor@sigma.io", "nobody@sigma.io"):
        refused = sign_in(anonymous, worker, same, email=email)
        assert error(refused, 429) == "Too many logins from your address are under way; try again in 1 second"
        assert refused.headers["Retry-After"] == "1"
    with pytest.raises(LeaveWorker):
        sign_in(anonymous, worker, other)
    left.value.give_back()
    with pytest.raises(LeaveWorker):
        sign_in(anonymous, worker, same)


def test_logins_and_other_slow_calls_take_no_places_from_one_another(key, anonymous, worker):
    for kind, holders in ((PLACES, ("", "ws-demo")), (SIGN_INS, ("192.0.2.1", "192.0.2.2"))):
        call = (
            (lambda: sign_in(anonymous, worker)) if kind == PLACES else (lambda: key.get("/export", environ_overrides=worker))
        )
        assert all(map(worker[kind].take, holders))
        with pytest.raises(LeaveWorker):
            call()
        worker[PLACES], worker[SIGN_INS] = Places(2, 1), Places(2, 1)


def test_who_has_failed_too_often_is_told_on_the_worker_and_takes_no_place(anonymous, worker, error):
    for _ in range(10):
        error(sign_in(anonymous, {}, password="wrong"), 401)
    answer = sign_in(anonymous, worker)
    assert error(answer, 429).startswith("Too many failed logins; try again in ")
    assert int(answer.headers["Retry-After"]) > 50
    assert not worker[SIGN_INS].taken
    with pytest.raises(LeaveWorker):
        sign_in(anonymous, worker, "192.0.2.2")


def test_who_waits_for_a_turn_waits_for_one_of_each_other_holder_and_in_order():
    turns, served, threads = Turns(), [], []

    def come(name):
        with turns.turn(name[0]):
            served.append(name)

    with turns.turn("a"):
        for name in ("a1", "a2", "a3", "b1", "a4", "c1", "b2"):
            threads.append(threading.Thread(target=come, args=(name,)))
            threads[-1].start()
            while sum(map(len, turns.waiting.values())) < len(threads):
                time.sleep(0.001)
        assert served == []
    for thread in threads:
        thread.join()
    assert served == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]
    assert turns.waiting == {}


def test_a_failure_in_a_turn_ends_it():
    turns = Turns()
    with pytest.raises(ValueError, match="in the turn"), turns.turn("a"):
        raise ValueError("in the turn")
    with turns.turn("a"), turns.changed:
        pass


def test_a_call_that_is_refused_for_want_of_a_place_is_not_delayed(key, faults, worker):
    faults({"on": "GET /roles", "delayMs": 30_000})
    assert worker[PLACES].take("ws-demo")
    answer = key.get("/roles", environ_overrides=worker)
    assert answer.status_code == 503
    assert "X-Sigma-Fault" not in answer.headers


def test_one_workspace_leaves_places_to_the_others():
    places = Places(5, 2)
    assert [places.take("a") for _ in range(3)] == [True, True, False]
    assert [places.take("b") for _ in range(3)] == [True, True, False]
    assert [places.take("c"), places.take("c"), places.take("")] == [True, False, False]
    places.give_back("a")
    assert [places.take("b"), places.take(""), places.take("a")] == [False, True, False]


def test_a_workspace_takes_as_many_places_at_once_as_there_are_and_any_number_while_none_is_taken():
    places = Places(10, 6)
    assert [places.take("a", 4), places.take("a", 3), places.take("a", 2), places.take("b", 5)] == [True, False, True, False]
    places.give_back("a", 6)
    assert [places.take("b", 1000), places.take("a", 1)] == [True, False]
    places.give_back("b", 1000)
    assert not places.taken


def test_what_is_given_back_while_somebody_takes_places_counts_from_the_next_time_on():
    """The garbage collector may give back in the very thread that is taking."""
    places = Places(2, 2)
    assert places.take("a", 2)
    with places.lock:
        places.give_back("a", 2)
    assert [places.take("b", 2), places.take("a"), dict(places.taken)] == [True, False, {"b": 2}]


def test_a_place_is_given_back_when_no_thread_can_be_started(monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    kept = []
    monkeypatch.setattr(server, "Places", lambda *limits: kept.append(Places(*limits)) or kept[-1])
    monkeypatch.setattr(server.granian.wsgi, "_callback_wrapper", lambda application, *_: application)
    monkeypatch.setattr(server.threading.Thread, "start", refuse)

    def leave(protocol, environ):
        assert environ[PLACES].take("ws-demo")
        raise LeaveWorker({}, b"", environ[PLACES], "ws-demo")

    with pytest.raises(RuntimeError):
        server._wrap_application(leave)(SimpleNamespace(response_bytes=None), {})
    assert not any(places.taken for places in kept)


def test_calls_that_have_left_read_what_may_be_large_one_by_one_and_the_worker_waits_for_none(app, worker):
    read, begun, may_end = [], threading.Event(), threading.Event()

    def reading(name, environ):
        with app.test_request_context(environ_overrides=environ), one_by_one():
            read.append(name)
            begun.set()
            may_end.wait(30)

    threads = [threading.Thread(target=reading, args=call) for call in (("first", {}), ("second", {}), ("worker", worker))]
    try:
        threads[0].start()
        assert begun.wait(30)
        threads[1].start()
        threads[2].start()
        threads[1].join(0.3)
        assert read == ["first", "worker"]
    finally:
        may_end.set()
        for thread in threads:
            thread.join()
    assert read == ["first", "worker", "second"]


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux ends connections that stall")
def test_connections_that_a_worker_has_or_gets_end_when_nobody_takes_what_they_bring():
    def seconds(connection):
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1000

    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with socket.create_connection(address), closing(listener.accept()[0]) as before:
            assert seconds(before) == 0
            server.end_stalled_connections.cache_clear()
            server.end_stalled_connections()
            with socket.create_connection(address), closing(listener.accept()[0]) as later:
                assert [seconds(before), seconds(later)] == [server.STALL_TIMEOUT] * 2
        assert os.get_inheritable(listener.fileno()) is False  # it is still open


@pytest.mark.parametrize("path", ["/search", "/search/full-text", "/search/text?q=cap"])
def test_a_search_leaves_when_it_takes_long_and_not_before(key, worker, monkeypatch, path):
    body = {"/search": {"criteria": [{"attribute": "sku", "operator": "contains", "value": "0"}]}}.get(path, {"query": "cap"})

    def search(environ):
        return key.get(path, environ_overrides=environ) if "?" in path else key.post(path, body, environ_overrides=environ)

    found = search(worker).json
    assert found["total"] > 0
    monkeypatch.setattr(waiting, "PATIENCE", 0)
    with pytest.raises(LeaveWorker):
        search(worker)
    assert search({}).json == found
    assert search(worker).status_code == 503  # the one place is taken
    assert key.get("/records", environ_overrides=worker).status_code == 200


@pytest.mark.parametrize("path", ["/search", "/search/full-text", "/search/text?q=cap", "/standin/deliveries"])
def test_while_a_long_search_of_its_workspace_is_under_way_the_next_leaves_at_once(app, admin, worker, monkeypatch, path):
    hook = {"id": "wh-new", "name": "New", "url": "https://receiver.example", "events": ["entity.created"]}
    assert admin.post("/webhooks", hook).status_code == 201
    assert admin.post("/records", RECORD).status_code == 201
    monkeypatch.setattr(waiting, "PATIENCE", 3600)
    body = {"/search": {"criteria": [{"attribute": "sku", "operator": "contains", "value": "0"}]}}.get(path, {"query": "cap"})
    method = "POST" if path in ("/search", "/search/full-text") else "GET"
    whole = path if path.startswith("/standin") else f"/api/v1{path}"

    def ask():
        options = {"json": body} if method == "POST" else {}
        return app.test_client().open(whole, method=method, headers=admin.headers, environ_overrides=worker, **options)

    searches = worker[SEARCHES] = Places(16, 2)
    found = ask()
    assert (found.status_code, found.json["total"] > 0) == (200, True)
    assert searches.take("ws-other")
    assert ask().json == found.json  # another workspace's holds up none of this
    assert searches.take("ws-demo")
    with pytest.raises(LeaveWorker) as left:
        ask()
    assert (left.value.places, left.value.holder) == (searches, "ws-demo")
    assert ask().status_code == 503  # both places are taken
    left.value.give_back()
    searches.give_back("ws-demo")
    assert ask().json == found.json


def test_long_searches_and_other_slow_calls_take_no_places_from_one_another(key, worker, monkeypatch):
    monkeypatch.setattr(waiting, "PATIENCE", 0)
    with pytest.raises(LeaveWorker):
        key.get("/search/text?q=cap", environ_overrides=worker)
    with pytest.raises(LeaveWorker):
        key.get("/export", environ_overrides=worker)
    assert [worker[kind].taken_by("ws-demo") for kind in (SEARCHES, PLACES)] == [1, 1]


@each("path", ["/records", "/records?limit=1000", "/search/text?q=coastal", "/records/ent-coastal-wb/audit-log", "/schemas"])
def test_a_page_that_takes_long_to_make_leaves(admin, editor, worker, monkeypatch, path):
    """Much longer for a role that hides something: each record is parsed."""
    role = admin.get("/roles/role-editor").json
    role["schemaPermissions"] = [{"schemaId": "schema-apparel", "attributePermissions": {"sku": "hidden"}}]
    assert admin.put("/roles/role-editor", role).status_code == 200
    whole, visible = admin.get(path).json, editor.get(path).json
    assert (whole == visible) == (path == "/schemas")
    for module in (responses, entities):
        monkeypatch.setattr(module, "LARGE", 100)
    monkeypatch.setattr(responses, "APART_IF_CHANGED", 200)
    assert admin.get(path, environ_overrides=worker).json == whole
    leaving = [] if path == "/schemas" else [(editor, visible)]
    for apart, callers in ((responses.APART, leaving), (200, [(admin, whole), *leaving])):
        monkeypatch.setattr(responses, "APART", apart)
        for caller, expected in callers:
            with pytest.raises(LeaveWorker):
                caller.get(path, environ_overrides=worker)
            assert caller.get(path).json == expected
            worker[PLACES].give_back("ws-demo")


def test_a_large_record_of_which_a_role_hides_something_leaves(admin, editor, worker, monkeypatch):
    role = admin.get("/roles/role-editor").json
    role["schemaPermissions"] = [{"schemaId": "schema-apparel", "attributePermissions": {"size": "hidden"}}]
    assert admin.put("/roles/role-editor", role).status_code == 200
    path, change = "/records/ent-coastal-wb", {"values": {"material": [{"value": "new"}]}}
    assert editor.get(path, environ_overrides=worker).status_code == 200
    monkeypatch.setattr(entities, "APART_IF_CHANGED", 200)
    assert admin.get(path, environ_overrides=worker).status_code == 200
    assert editor.put(path, change, environ_overrides=worker).status_code == 200  # it would be stored twice
    with pytest.raises(LeaveWorker):
        editor.get(path, environ_overrides=worker)


def test_a_preview_of_many_rows_leaves(key, worker):
    body = {"schemaId": "schema-apparel", "columnMapping": {}, "rows": [{}] * 1000}
    answer = key.post("/import/preview", body, environ_overrides=worker)
    assert (answer.status_code, answer.json["totalRows"]) == (200, 1000)
    with pytest.raises(LeaveWorker):
        key.post("/import/preview", {**body, "rows": [{}] * 1001}, environ_overrides=worker)


def replaced(path, **members):
    """Return a change of a model object that has other members then: the method, the path, and what makes the body."""
    return "PUT", path, lambda stored: {**stored, **members}


def created(path, **members):
    return "POST", path, lambda _: members


def deleted(path):
    return "DELETE", path, lambda _: None


UNFIT = "47 records hold values that do not fit; the first is 'ent-coastal-wb'"
GOING_THROUGH_ALL = {  # changes that may do so, with the status of their answers and what these say
    "another type": (replaced("/attributes/attr-material", type="number"), 409, f"type: {UNFIT}"),
    "several values": (replaced("/attributes/attr-material", multiple=True), 409, f"multiple: {UNFIT}"),
    "another alias": (replaced("/attributes/attr-image", alias="picture"), 200, ""),
    "unique": (replaced("/attributes/attr-sku", validation={"unique": True}), 200, ""),
    "not unique": (replaced("/attributes/attr-ean", validation={}), 200, ""),
    "an attribute": (created("/attributes", id="attr-new", alias="new", name="New", type="text"), 201, ""),
    "a workflow": (replaced("/schemas/schema-plain", workflowId="wf-standard"), 200, ""),
    "no catalog": (deleted("/catalogs/cat-new"), 204, ""),
    "no category": (deleted("/categories/cat-men"), 204, ""),
}
GOING_THROUGH_NONE = {
    "another name": (replaced("/attributes/attr-material", name="Fabric"), 200),
    "a stricter rule": (replaced("/attributes/attr-material", validation={"maxLength": 1}), 200),
    "no attribute": (deleted("/attributes/attr-new"), 404),
    "fewer attributes": (replaced("/schemas/schema-apparel", attributeGroups=[]), 200),
    "no workflow": (replaced("/schemas/schema-apparel", workflowId=None), 409),
    "a schema": (created("/schemas", id="schema-new", alias="new", name="New", variantEnabled=False), 201),
    "another catalog": (replaced("/catalogs/cat-webshop", name="Shop"), 200),
    "another category": (replaced("/categories/cat-men", name="Gentlemen"), 200),
}
MODEL_PATHS = (
    "/attributes",
    "/schemas",
    "/catalogs",
    "/catalogs/cat-webshop/tree",
    "/records?limit=1000",
    "/records/ent-plain/audit-log",
)


@pytest.fixture
def change(admin):
    """Change the model, on the worker or, by default, elsewhere.

    It has a catalog that nothing refers to, and a schema without a workflow and with one record.
    """
    assert admin.post("/catalogs", {"id": "cat-new", "alias": "new", "name": "New"}).status_code == 201
    plain = {"id": "schema-plain", "alias": "plain", "name": "Plain", "variantEnabled": False}
    assert admin.post("/schemas", plain).status_code == 201
    assert admin.post("/records", {"id": "ent-plain", "schemaId": "schema-plain", "values": {}}).status_code == 201

    def make_change(method, path, body_of, environ=None):
        body = body_of(admin.get(path).json)
        return admin.request(method, path, body, environ_overrides=environ or {})

    return make_change


@each(("wanted", "status", "message"), GOING_THROUGH_ALL.values(), ids=GOING_THROUGH_ALL)
def test_a_change_that_may_go_through_many_records_leaves(admin, change, worker, monkeypatch, wanted, status, message):
    monkeypatch.setattr(entities, "MANY", 49)
    before = [admin.get(path).json for path in MODEL_PATHS]
    with pytest.raises(LeaveWorker) as left:
        change(*wanted, worker)
    left.value.give_back()
    assert left.value.holder == "ws-demo"
    assert [admin.get(path).json for path in MODEL_PATHS] == before
    answer = change(*wanted)
    assert answer.status_code == status
    assert message in answer.text
    assert ([admin.get(path).json for path in MODEL_PATHS] == before) == (status == 409)


def test_a_workflow_begins_for_records_when_the_change_has_left(admin, change, worker, monkeypatch):
    monkeypatch.setattr(entities, "MANY", 0)
    wanted = replaced("/schemas/schema-plain", workflowId="wf-standard")
    with pytest.raises(LeaveWorker) as left:
        change(*wanted, worker)
    assert admin.get("/records/ent-plain").json["lifecycleStateId"] is None
    body = left.value.body
    again = {DONE: left.value.done, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    path, kind = "/schemas/schema-plain", "application/json"
    assert admin.put(path, content_type=kind, environ_overrides=again).json["workflowId"] == "wf-standard"
    assert admin.get("/records/ent-plain").json["lifecycleStateId"] == "state-draft"
    actions = [entry["action"] for entry in admin.get("/records/ent-plain/audit-log").json["items"]]
    assert actions == ["transition", "create"]


@each(("wanted", "status"), GOING_THROUGH_NONE.values(), ids=GOING_THROUGH_NONE)
def test_a_change_that_goes_through_no_records_stays(change, worker, monkeypatch, wanted, status):
    monkeypatch.setattr(entities, "MANY", 0)
    assert change(*wanted, worker).status_code == status


def test_a_change_stays_where_records_and_variants_are_few_and_small(app, change, stranger, worker, monkeypatch):
    wanted = replaced("/attributes/attr-material", type="number")
    counted = "SELECT count(*), sum(length(CAST(body AS BLOB))) FROM entities WHERE tenant = 'ws-demo'"
    ((count, size),) = sql(app, counted)
    assert (count, change(*wanted, worker).status_code) == (50, 409)
    for name, most in (("MANY", count), ("APART_IF_CHANGED", size)):
        with monkeypatch.context() as patch:
            patch.setattr(entities, name, most)
            assert change(*wanted, worker).status_code == 409
            patch.setattr(entities, name, most - 1)
            with pytest.raises(LeaveWorker):
                change(*wanted, worker)
            worker[PLACES].give_back("ws-demo")
            attribute = {"id": "attr-new", "alias": "new", "name": "New", "type": "text"}
            assert stranger.post("/attributes", {**attribute, "id": name}, environ_overrides=worker).status_code == 201
            assert stranger.delete(f"/attributes/{name}", environ_overrides=worker).status_code == 204


def test_a_list_of_deliveries_leaves_when_it_takes_long(app, admin, worker, monkeypatch):
    hook = {"id": "wh-new", "name": "New", "url": "https://receiver.example", "events": ["entity.created"]}
    assert admin.post("/webhooks", hook).status_code == 201
    assert admin.post("/records", RECORD).status_code == 201

    def list_deliveries():
        return app.test_client().get("/standin/deliveries", headers=admin.headers, environ_overrides=worker)

    assert list_deliveries().json["total"] == 1
    monkeypatch.setattr(waiting, "PATIENCE", 0)
    with pytest.raises(LeaveWorker):
        list_deliveries()


def test_a_list_of_large_deliveries_leaves_however_quickly_they_are_read(app, admin, worker, monkeypatch):
    monkeypatch.setattr(waiting, "PATIENCE", 3600)
    for number in range(3):
        store_delivery(app, f"dlv-{number}", body=json.dumps({"data": {"values": {}}, "more": "x" * 500_000}))

    def list_deliveries(limit, environ):
        path = f"/standin/deliveries?limit={limit}"
        return app.test_client().get(path, headers=admin.headers, environ_overrides=environ)

    assert len(list_deliveries(2, worker).json["items"]) == 2
    with pytest.raises(LeaveWorker):
        list_deliveries(3, worker)
    assert len(list_deliveries(3, {}).json["items"]) == 3


@each("path", ["/records/ent-coastal-wb", "/records/ent-coastal-wb/variants/var-all"])
def test_a_deletion_of_many_variants_leaves(admin, worker, monkeypatch, path):
    for number in range(4):
        above = {"parentId": "var-all"} if number else {"id": "var-all"}
        assert admin.post("/records/ent-coastal-wb/variants", above).status_code == 201
    variants = admin.get("/records/ent-coastal-wb/variants").json
    counted = len(variants) if path.endswith("wb") else 4
    monkeypatch.setattr(entities, "MANY", counted - 1)
    with pytest.raises(LeaveWorker) as left:
        admin.delete(path, environ_overrides=worker)
    left.value.give_back()
    assert admin.get("/records/ent-coastal-wb/variants").json == variants
    monkeypatch.setattr(entities, "MANY", counted)
    assert admin.delete(path, environ_overrides=worker).status_code == 204
    assert admin.get(path).status_code == 404


@each("path", ["/deliveries?state=failed", "/webhooks"])
def test_what_goes_through_many_deliveries_leaves(app, admin, worker, monkeypatch, path):
    rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
    columns = "INSERT INTO deliveries (tenant, id, webhook_id, event, body, made_at)"
    sql(app, f"{rows} {columns} SELECT 'ws-demo', 'dlv-' || i, 'wh-sync-notify', 'entity.created', '{{}}', 0 FROM n")

    def ask(environ):
        return app.test_client().get(f"/standin{path}", headers=admin.headers, environ_overrides=environ)

    whole = ask(worker)
    assert whole.status_code == 200
    monkeypatch.setattr(waiting, "PATIENCE", 0)
    with pytest.raises(LeaveWorker) as left:
        ask(worker)
    assert left.value.places is worker[SEARCHES]
    left.value.give_back()
    assert ask({}).json == whole.json
    assert admin.get("/records", environ_overrides=worker).status_code == 200  # nothing is interrupted any more


def test_a_list_that_leaves_lets_the_worker_see_what_changes_meanwhile(app, admin, key, worker, monkeypatch):
    assert key.get("/roles").status_code == 200
    for number in range(3):
        store_delivery(app, f"dlv-{number}", body='{"data": {"values": {}}, "entityId": "ent-one"}')
    monkeypatch.setattr(waiting, "PATIENCE", 0)
    with pytest.raises(LeaveWorker) as left:
        app.test_client().get("/standin/deliveries", headers=admin.headers, environ_overrides=worker)
    sql(app, "UPDATE api_keys SET deactivated_at = '2026-01-01T00:00:00.000Z' WHERE id = ?", key.id)
    assert left.tb is not None  # it holds all that the call had
    assert key.get("/roles").status_code == 401


def test_a_call_that_leaves_is_gone_before_the_garbage_collector_comes(monkeypatch):
    class Held:
        pass

    kept = []

    def leave(protocol, environ):
        held = Held()
        kept.append(weakref.ref(held))
        try:
            try:
                raise ValueError
            except ValueError:
                raise LeaveWorker({}, b"", environ[PLACES], "ws-demo")  # noqa: B904 (as a search does)
        except BaseException:
            held.error = sys.exc_info()[1]  # as Flask does
            raise

    monkeypatch.setattr(server.granian.wsgi, "_callback_wrapper", lambda application, *_: application)
    monkeypatch.setattr(server.threading, "Thread", lambda **_: SimpleNamespace(start=lambda: None))
    gc.disable()
    try:
        server._wrap_application(leave)(SimpleNamespace(response_bytes=None), {})
        assert kept[0]() is None
    finally:
        gc.enable()


def test_whoever_may_not_export_is_told_without_leaving(anonymous, make_key, worker):
    for caller, status in ((anonymous, 401), (make_key("update-data"), 403)):
        assert caller.get("/export", environ_overrides=worker).status_code == status


def send_unread(caller, worker):
    """Send a body that is refused unread; return the answer, and how much of the body was read then."""
    body = io.BytesIO(b'{"note": 1}')
    environ = {**worker, "wsgi.input": body, "CONTENT_LENGTH": "11"}
    return caller.post("/records", content_type="application/json", environ_overrides=environ), body.tell()


@pytest.mark.parametrize(("permissions", "status"), [(["read"], 403), (None, 401)])
def test_the_journal_reads_a_body_that_was_refused_unread_when_the_answer_has_been_sent(
    app, anonymous, make_key, worker, permissions, status
):
    sql(
        app, "UPDATE workspaces SET is_disposable = 1 WHERE id = 'ws-other'"
    )  # else nothing is read of a caller who is not known
    answer, taken = send_unread(make_key(*permissions) if permissions else anonymous, worker)
    assert (answer.status_code, taken) == (status, 0)
    (read,) = worker[AFTERWARDS]
    read()
    entry = app.test_client().get(f"/standin/requests/{answer.headers['X-Request-Id']}").json
    assert entry["requestBody"] == '{"note": 1}'
