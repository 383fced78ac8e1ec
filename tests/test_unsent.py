"""Large answers: a worker counts what it holds of them until it is sent, and refuses what would be too much."""

import gc
import json
import threading
import time

import pytest
from cases import each
from conftest import sql

from sigma.http import responses, unsent
from sigma.http.unsent import LARGE, PIECE, UNSENT
from sigma.http.waiting import PLACES, Places
from sigma.resources import entities

LARGE_RECORD, SMALL_RECORD = "/records/ent-large", "/records/ent-small"


OPTIONS = {
    "id": "ol-new",
    "alias": "new",
    "name": "New",
    "values": [{"id": f"val-{number}", "alias": f"{number}", "label": "x" * 100} for number in range(2000)],
}


def record(id, size):
    return {"id": id, "schemaId": "schema-apparel", "values": {"size": [{"scope": {}, "value": "x" * size}]}}


@pytest.fixture
def held():
    """What a worker may hold: a megabyte, and of one workspace less."""
    return Places(1_000_000, 700_000)


@pytest.fixture
def key(make_key):
    """Return a caller in whose workspace are a record that is large, and one that only just is not."""
    caller = make_key()
    for id, size in (("ent-small", LARGE - 1000), ("ent-large", LARGE)):
        assert caller.post("/records", record(id, size)).status_code == 201
    return caller


@pytest.fixture
def ask(key, held, monkeypatch):
    """Return a function that sends a request to a worker, which waits for no place; nobody has taken the answer yet."""
    monkeypatch.setattr(unsent, "PLACE_TIMEOUT", 0)
    return lambda method, path, *body, caller=key: caller.request(method, path, *body, environ_overrides={UNSENT: held})


def test_a_large_answer_counts_until_it_is_taken_and_comes_in_pieces(ask, held, key):
    whole = key.get(LARGE_RECORD)
    answer = ask("GET", LARGE_RECORD)
    assert dict(held.taken) == {"ws-demo": len(whole.data)}
    pieces = list(answer.response)
    assert max(map(len, pieces)) == PIECE
    assert b"".join(pieces) == whole.data
    ignored = {"X-Request-Id": ""}
    assert {**answer.headers, **ignored} == {**whole.headers, **ignored}
    assert answer.headers["Content-Length"] == str(len(whole.data))
    answer.close()
    assert not held.taken


@each(
    ("method", "path", "body"),
    [
        ("GET", "/records?limit=1000", None),
        ("GET", "/records/ent-large/audit-log", None),
        ("POST", "/search", {}),
        ("PATCH", "/records/ent-large/values/sku", {"value": "LR-001"}),
        ("POST", "/option-lists", OPTIONS),
    ],
)
def test_so_does_every_large_answer(ask, held, admin, method, path, body):
    answer = ask(method, path, body, caller=admin)
    assert answer.status_code in (200, 201)
    taken = held.taken["ws-demo"]
    assert taken == len(answer.data) > LARGE
    answer.close()
    assert not held.taken


def test_what_views_return_as_values_counts_too(app, make_key, held, admin, monkeypatch):
    monkeypatch.setattr("sigma.http.responses.LARGE", 100)
    answer = admin.get("/api-keys", environ_overrides={UNSENT: held})
    assert held.taken["ws-demo"] == len(answer.data)
    assert len(answer.json) > 1


def test_what_is_not_large_or_has_no_body_is_not_counted(ask, held):
    answers = [ask("GET", SMALL_RECORD), ask("HEAD", LARGE_RECORD), ask("DELETE", LARGE_RECORD)]
    assert [answer.status_code for answer in answers] == [200, 200, 204]
    assert not held.taken


def test_an_answer_that_is_broken_off_or_that_nobody_wants_is_given_back(ask, held):
    answer = ask("GET", LARGE_RECORD)
    next(iter(answer.response))
    answer.close()
    assert not held.taken
    del answer
    answer = ask("GET", LARGE_RECORD)
    assert held.taken
    del answer
    gc.collect()
    assert not held.taken


PAGES = [
    ("GET", "/records?limit=1000", None),
    ("GET", "/records?limit=2", None),
    ("GET", "/records?offset=5000", None),
    ("GET", "/records?schemaId=schema-apparel&offset=3&limit=999", None),
    ("GET", "/variants?limit=500", None),
    ("GET", "/records/ent-coastal-wb/variants", None),
    ("GET", "/records/ent-large/audit-log", None),
    ("GET", "/categories/cat-men/entities", None),
    ("POST", "/search", {"limit": 1000}),
    ("GET", "/search/text?q=coastal", None),
    ("GET", "/schemas", None),
    ("GET", "/records/ent-coastal-wb/categories", None),
]


@pytest.fixture
def hide(admin):
    """Return a function that lets the editor's role hide attributes of the demo's schema."""

    def make(*aliases):
        role = admin.get("/roles/role-editor").json
        levels = dict.fromkeys(aliases, "hidden")
        role["schemaPermissions"] = [{"schemaId": "schema-apparel", "attributePermissions": levels}]
        assert admin.put("/roles/role-editor", role).status_code == 200

    return make


@pytest.fixture
def all_are_large(monkeypatch):
    """Return a function that lets every list count as large from then on."""

    def make():
        monkeypatch.setattr(responses, "LARGE", 0)
        monkeypatch.setattr(entities, "LARGE", 0)

    return make


@each(("method", "path", "body"), PAGES)
def test_a_page_is_the_same_whether_it_is_large_or_not(ask, held, key, editor, hide, all_are_large, method, path, body):
    hide("size", "material")
    assert key.post("/categories/cat-men/assign", {"entityId": "ent-coastal-wb"}).status_code == 204
    small = [ask(method, path, body, caller=caller).data for caller in (key, editor)]
    all_are_large()
    for caller, expected in zip((key, editor), small, strict=True):
        assert expected.count(b"{") > 0
        answer = ask(method, path, body, caller=caller)
        if path != "/records?offset=5000":
            assert dict(held.taken) == {"ws-demo": len(expected)}
        assert answer.data == expected
        answer.close()
        assert not held.taken


@each("is_hidden", [False, True])
@each("path", ["/records?limit=1000", "/records/ent-large/audit-log", "/search/text?q=xx"])
def test_a_page_that_would_be_too_much_is_refused_before_it_is_made(
    ask, held, editor, hide, error, monkeypatch, is_hidden, path
):
    if is_hidden:
        hide("material")
    monkeypatch.setattr(responses, "_join_in_parts", None)  # which would make it
    held.take("ws-demo", 600_000)
    for method in ("GET", "HEAD"):
        refused = ask(method, path, caller=editor)
        assert refused.status_code == 503
    assert error(ask("GET", path, caller=editor), 503) == "Too many large answers wait for their clients; try again in 1 second"
    assert dict(held.taken) == {"ws-demo": 600_000}


def test_what_a_page_needs_less_because_of_what_a_role_hides_is_given_back(ask, held, editor, hide, monkeypatch):
    hide("size")
    while_it_is_made = []
    monkeypatch.setattr(
        responses, "one_by_one", lambda made=responses.one_by_one: while_it_is_made.append(held.taken["ws-demo"]) or made()
    )
    answer = ask("GET", "/records?limit=1000", caller=editor)
    assert held.taken["ws-demo"] == int(answer.headers["Content-Length"]) == len(answer.data) < LARGE
    assert b"xxx" not in answer.data
    assert max(while_it_is_made) > 2 * LARGE - 1000
    answer.close()
    assert not held.taken


def test_a_large_page_that_fails_while_it_is_made_is_given_back(app, ask, held, key):
    sql(app, "UPDATE entities SET body = replace(body, 'xxxxx', CAST(x'ff' AS TEXT)) WHERE id = 'ent-large'")
    sql(app, "UPDATE entities SET body = replace(body, 'Coastal', ?)", "Coastal" * 100_000)
    assert ask("GET", "/records?limit=1000").status_code == 503
    gc.collect()
    assert not held.taken


def test_a_call_that_may_wait_waits_for_its_place_for_a_while(ask, held, monkeypatch):
    monkeypatch.setattr(unsent, "PLACE_TIMEOUT", 30)
    held.take("ws-demo", 700_000)
    threading.Timer(0.3, held.give_back, ("ws-demo", 700_000)).start()
    assert ask("GET", "/records?limit=1000").status_code == 200
    monkeypatch.setattr(unsent, "PLACE_TIMEOUT", 0.2)
    held.take("ws-demo", 700_000)
    begun = time.monotonic()
    assert ask("GET", "/records?limit=1000").status_code == 503
    assert time.monotonic() - begun >= 0.2


def test_a_call_on_the_one_thread_does_not_wait_for_its_place(ask, held, key):
    held.take("ws-demo", 700_000)
    begun = time.monotonic()
    environ = {UNSENT: held, PLACES: Places(1, 1)}
    assert key.get("/records?limit=1000", environ_overrides=environ).status_code == 503
    assert time.monotonic() - begun < 1


def test_what_would_be_too_much_is_refused_and_may_be_tried_again(ask, held, error):
    answers = [ask("GET", LARGE_RECORD) for _ in range(2)]
    refused = ask("GET", LARGE_RECORD)
    assert error(refused, 503) == "Too many large answers wait for their clients; try again in 1 second"
    assert refused.headers["Retry-After"] == "1"
    assert ask("GET", SMALL_RECORD).status_code == 200
    answers.pop().close()
    assert ask("GET", LARGE_RECORD).status_code == 200


def test_one_workspace_leaves_room_to_the_others(ask, held, stranger):
    held.take("ws-demo", 700_000)
    assert ask("GET", LARGE_RECORD).status_code == 503
    assert held.take("ws-other", 300_000)
    assert not held.take("ws-third", 1)


def test_a_worker_that_holds_nothing_takes_an_answer_of_any_size(ask, held):
    held.most = held.most_of_one = 1
    answer = ask("GET", LARGE_RECORD)
    assert (answer.status_code, ask("GET", LARGE_RECORD).status_code) == (200, 503)
    assert answer.json["id"] == "ent-large"


@each(
    ("method", "path", "body"),
    [
        ("PATCH", "/records/ent-large/values/sku", {"value": "LR-001"}),
        ("PUT", "/records/ent-large", {"values": {"sku": [{"value": "LR-001"}]}}),
        ("POST", "/records", record("ent-new", LARGE)),
        ("POST", "/option-lists", OPTIONS),
    ],
)
def test_a_write_whose_answer_would_be_too_much_stores_nothing(ask, held, stored, admin, error, method, path, body):
    def rows():
        return {name: found for name, found in stored().items() if name not in ("api_key_uses", "settings")}

    before = rows()
    held.take("ws-demo", 700_000)
    error(ask(method, path, body, caller=admin), 503)
    assert rows() == before
    held.give_back("ws-demo", 700_000)
    assert ask(method, path, body, caller=admin).status_code in (200, 201)
    assert rows() != before


def test_the_answer_to_what_is_stored_is_never_refused(app, held, monkeypatch):
    """Its client would be told to do it again."""
    monkeypatch.setattr("sigma.http.responses.LARGE", 100)
    monkeypatch.setattr("sigma.http.unsent.PLACE_TIMEOUT", 0.1)
    held.take("ws-demo", 1_000_000)
    before = len(app.test_client().get("/standin/workspaces").json)
    assert app.test_client().get("/api/v1/auth/tenants", environ_overrides={UNSENT: held}).status_code == 503
    made = app.test_client().post("/standin/workspaces", json={}, environ_overrides={UNSENT: held})
    assert made.status_code == 201
    assert held.taken[""] == len(made.data)
    assert len(app.test_client().get("/standin/workspaces").json) == before + 1


def test_counting_a_call_for_a_fault_is_nothing_that_the_request_has_stored(ask, held, key, standin):
    for route in ("GET /schemas", "GET /records/{id}"):
        assert standin("PUT", f"/keys/{key.id}/faults", [{"on": route, "status": 500, "after": 100}]).status_code == 200
        held.take("ws-demo", 700_000)
        assert ask("GET", LARGE_RECORD).status_code == 503
        held.give_back("ws-demo", 700_000)
        assert ask("GET", LARGE_RECORD).status_code == 200


def test_the_journal_keeps_the_beginning_of_a_large_answer(app, ask, standin):
    answer = ask("GET", LARGE_RECORD)
    assert answer.json["id"] == "ent-large"
    answer.close()
    entry = standin("GET", f"/requests/{answer.headers['X-Request-Id']}").json
    assert entry["responseBody"].startswith('{"id":"ent-large"')
    assert json.loads(answer.data) == answer.json
