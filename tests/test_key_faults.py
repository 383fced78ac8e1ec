"""Faults of one key, GET, PUT and DELETE /standin/keys/:id/faults: which calls are spoiled, how, and how often."""

import json
import random
import re
import time

import pytest
from cases import each
from conftest import EXAMPLE_KEY, Caller, replace_everywhere, sql
from test_access import OPERATIONS

from sigma import database
from sigma.permissions import PERMISSIONS

RECORD = "/records/ent-coastal-wb"
UNCHANGED = ("entities", "audit_log", "model_objects", "categories", "category_assignments", "users", "workspaces")
CODES = {  # a copy of the contract's table on purpose
    401: "UNAUTHORIZED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "CONFLICT",
    422: "TRANSITION_ERROR",
    429: "RATE_LIMITED",
    500: "INTERNAL_ERROR",
    503: "UNAVAILABLE",
}


@pytest.fixture
def faults(standin):
    """Return a function that sets the faults of a key, or returns them when none are given."""

    def send(key, *rules):
        answer = standin("PUT", f"/keys/{key.id}/faults", list(rules)) if rules else standin("GET", f"/keys/{key.id}/faults")
        assert answer.status_code == 200, answer.text
        return answer.json

    return send


def statuses(caller, times, method="GET", path="/roles", json=None):
    return [caller.request(method, path, json).status_code for _ in range(times)]


def hits(rules):
    return [rule["hits"] for rule in rules]


# What a fault does


@each("status", CODES)
def test_each_status_comes_in_the_apis_own_shape(key, faults, error, status):
    faults(key, {"status": status})
    answer = key.get("/records")
    told = f"A fault of API key '{key.id}', set by PUT /standin/keys/{key.id}/faults, refused this call"
    assert error(answer, status) == told + ("; try again in 1 second" if status in (429, 503) else "")
    assert (answer.json["error"], answer.headers["X-Sigma-Fault"]) == (CODES[status], "1")
    assert answer.headers["X-Sigma-Required-Permission"] == "read"
    assert answer.headers.get("Retry-After") == ("1" if status in (429, 503) else None)
    assert answer.headers.get("WWW-Authenticate") == ('Bearer realm="Sigma PIM"' if status == 401 else None)


def test_a_client_is_told_how_long_to_wait(key, faults):
    for status in (429, 503):
        faults(key, {"status": status, "retryAfter": 7})
        assert key.get("/records").headers["Retry-After"] == "7"


def test_a_spoiled_write_writes_nothing(app, key, faults, stored):
    faults(key, {"status": 503})
    before = {name: stored()[name] for name in UNCHANGED}
    for method, path, body in (
        ("POST", "/records", {"schemaId": "schema-apparel", "values": {}}),
        ("PATCH", f"{RECORD}/values/size", {"value": "XL"}),
        ("DELETE", "/records/ent-trail-cap", None),
        ("POST", "/categories/cat-accessories/assign", {"entityId": "ent-coastal-wb"}),
    ):
        assert key.request(method, path, body).status_code == 503
    assert {name: stored()[name] for name in UNCHANGED} == before


def test_a_delay_holds_the_answer_back_and_changes_nothing_else(key, faults, monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    real = key.get(RECORD)
    faults(
        key,
        {"delayMs": 1500, "times": 1},
    )
    answer = key.get(RECORD)
    assert (answer.status_code, answer.data, answer.headers["X-Sigma-Fault"]) == (200, real.data, "1")
    again = key.get(RECORD)
    assert (again.status_code, "X-Sigma-Fault" in again.headers) == (200, False)
    faults(key, {"delayMs": 30_000, "status": 503})
    assert key.get(RECORD).status_code == 503
    assert slept == [1.5, 30.0]


def test_a_delay_takes_its_time(key, faults):
    faults(key, {"delayMs": 120})
    begun = time.monotonic()
    assert key.get("/roles").status_code == 200
    assert time.monotonic() - begun >= 0.12


def test_the_journal_says_that_it_was_a_fault(key, faults, standin):
    def entry(answer):
        return standin("GET", f"/requests/{answer.headers['X-Request-Id']}").json

    faults(key, {"on": "GET /roles", "status": 404}, {"on": "GET /schemas", "delayMs": 1})
    spoiled = entry(key.get("/roles"))
    assert (spoiled["status"], spoiled["code"], spoiled["step"], spoiled["needed"]) == (404, "NOT_FOUND", "fault", "read")
    assert entry(key.get("/schemas"))["step"] is None
    assert entry(key.get("/records/ent-none"))["step"] == "missing"


# Which calls


def test_a_key_that_is_revoked_in_mid_run(key, faults):
    faults(key, {"status": 401, "after": 20})
    assert statuses(key, 25) == [200] * 20 + [401] * 5
    assert hits(faults(key)) == [5]


def test_a_client_that_is_told_to_slow_down_and_tries_again(key, faults):
    faults(key, {"on": "POST /records", "status": 429, "retryAfter": 2, "times": 2})
    record = {"schemaId": "schema-apparel", "values": {}}
    assert statuses(key, 3) == [200] * 3
    assert statuses(key, 4, "POST", "/records", record) == [429, 429, 201, 201]
    assert faults(key) == [{"on": "POST /records", "status": 429, "retryAfter": 2, "times": 2, "hits": 2}]


def test_after_and_times_count_the_calls_that_match(key, faults):
    faults(key, {"on": "GET /roles", "status": 500, "after": 2, "times": 3})
    assert statuses(key, 4, path="/schemas") == [200] * 4
    assert statuses(key, 7) == [200, 200, 500, 500, 500, 200, 200]


def test_the_first_rule_that_matches_decides_also_when_it_is_spent(key, faults):
    faults(
        key,
        {"on": "GET /roles", "status": 429, "times": 1},
        {"on": "GET /roles", "status": 500},
        {"status": 503, "after": 1},
        {"on": "GET /schemas", "status": 404},
    )
    assert statuses(key, 3) == [429, 200, 200]
    assert statuses(key, 2, path="/schemas") == [200, 503]
    assert hits(faults(key)) == [1, 0, 1, 0]


def test_a_probability_spoils_some_calls(key, faults, monkeypatch):
    rolls = iter([0.0, 0.29, 0.3, 0.99, 0.1, 0.2])
    monkeypatch.setattr(random, "random", lambda: next(rolls))
    faults(key, {"status": 500, "probability": 0.3, "times": 3})
    assert statuses(key, 6) == [500, 500, 200, 200, 500, 200]
    monkeypatch.undo()
    for probability, expected in ((0, 200), (1, 500)):
        faults(key, {"status": 500, "probability": probability})
        assert statuses(key, 20) == [expected] * 20


@each(
    ("on", "stored", "spoiled"),
    [
        ("GET /records", "GET /records", [("GET", "/records"), ("GET", "/records?limit=1"), ("HEAD", "/records")]),
        ("GET /records/{id}", "GET /records/{id}", [("GET", RECORD), ("GET", "/records/ent-none")]),
        ("GET /records/{anything}", "GET /records/{id}", [("GET", RECORD)]),
        ("GET /api/v1/records/:id", "GET /records/{id}", [("GET", RECORD)]),
        ("PATCH /records/:id/values/:attr", "PATCH /records/{id}/values/{attribute}", [("PATCH", f"{RECORD}/values/size")]),
        (
            "DELETE /records/<id>/variants/<vid>",
            "DELETE /records/{id}/variants/{variant_id}",
            [("DELETE", f"{RECORD}/variants/v")],
        ),
        ("POST /dimensions/scope-matrix", "POST /dimensions/scope-matrix", [("POST", "/dimensions/scope-matrix")]),
    ],
)
def test_a_rule_of_one_route_spoils_that_route_alone(key, faults, on, stored, spoiled):
    assert faults(key, {"on": on, "status": 500})[0]["on"] == stored
    calls = [("GET", "/records"), ("GET", RECORD), ("POST", "/records"), ("DELETE", "/records/ent-none"), ("GET", "/variants")]
    calls += [("PATCH", f"{RECORD}/values/size"), ("DELETE", f"{RECORD}/variants/v"), ("POST", "/dimensions/scope-matrix")]
    calls += [("GET", f"{RECORD}/variants"), ("GET", f"{RECORD}/audit-log"), ("PUT", RECORD)]
    for method, path in {*calls, *spoiled}:
        assert (key.request(method, path).status_code == 500) == ((method, path) in spoiled), (method, path)
    assert hits(faults(key)) == [len(spoiled)]


def test_it_comes_after_the_credential_and_the_permission_and_before_all_else(admin, make_key, faults, error):
    reader = make_key("read")
    faults(reader, {"status": 409})
    error(reader.delete(RECORD), 403)
    error(reader.get("/api-keys"), 403)
    error(reader.get("/nowhere"), 404)
    error(reader.put("/records"), 405)
    error(reader.get("/channels"), 501)
    error(reader.get("/healthz") and reader.post("/auth/login", {"email": "a", "password": "b"}), 401)
    assert hits(faults(reader)) == [0]
    error(reader.get("/records/ent-none"), 409)
    error(reader.get("/records?limit=0"), 409)
    error(reader.post("/search", {"surprise": 1}), 409)
    error(reader.post("/search", data=b" " * (1024 * 1024 + 1), content_type="application/json"), 409)
    assert hits(faults(reader)) == [4]


def test_only_that_key_has_them_and_only_in_the_api(app, admin, make_key, faults, standin):
    one, other = make_key("read"), make_key("read")
    faults(one, {"status": 500})
    assert statuses(one, 2) == [500, 500]
    assert statuses(other, 2) == statuses(admin, 2) == [200, 200]
    assert standin("GET", "/whoami", headers=one.headers).status_code == 200
    assert one.get("/roles", headers=admin.headers).status_code == 500  # the key decides alone
    assert hits(faults(one)) == [3]


def test_a_fault_is_no_refusal_for_want_of_a_permission(admin, make_key, faults, standin):
    key = make_key("read")
    faults(key, {"status": 403})
    assert statuses(key, 1) == [403]
    (listed,) = [item for item in standin("GET", "/keys", headers=admin.headers).json if item["id"] == key.id]
    assert (listed["refused"], list(listed["permissionUse"])) == ({}, ["read"])


# The rules themselves


def test_rules_are_shown_in_their_order_as_they_were_written_with_their_hits(key, faults, standin):
    rules = [
        {"on": "PUT /records/{id}", "status": 503, "retryAfter": 5, "delayMs": 10, "after": 1, "times": 2, "probability": 0.5},
        {"status": 429},
        {"delayMs": 0},
        {"on": "GET /roles", "status": 401, "after": None, "times": None},
    ]
    expected = [{name: value for name, value in rule.items() if value is not None} | {"hits": 0} for rule in rules]
    for answer in (standin("PUT", f"/keys/{key.id}/faults", rules), standin("GET", f"/keys/{key.id}/faults")):
        assert answer.json == expected
        assert [list(rule) for rule in answer.json] == [list(rule) for rule in expected]


def test_setting_them_anew_begins_to_count_anew_and_removing_them_ends_it(key, faults, standin):
    rule = {"status": 500, "times": 1}
    for _ in range(2):
        faults(key, rule)
        assert statuses(key, 2) == [500, 200]
        assert hits(faults(key)) == [1]
    assert (standin("DELETE", f"/keys/{key.id}/faults").status_code, faults(key)) == (204, [])
    faults(key, rule)
    answer = standin("PUT", f"/keys/{key.id}/faults", [])
    assert (answer.json, statuses(key, 1)) == ([], [200])
    assert standin("DELETE", f"/keys/{key.id}/faults").status_code == 204


@each(
    ("rules", "told"),
    [
        ({"status": 401}, "body: Expected an array, got 'object'"),
        ({}, "body: Expected an array, got 'object'"),
        ("x", "body: Expected an array, got 'x'"),
        ([1], "[0]: Expected an object, got 1"),
        ([[]], "[0]: Expected an object, got 'array'"),
        ([{"status": 401}, None], "[1]: Expected an object, got null"),
        ([{"status": 400}], "[0].status: Expected one of: 401, 403, 404, 409, 422, 429, 500, 503, got 400"),
        *(([{"status": bad}], "[0].status: ") for bad in (200, "429", 429.5, True, 0)),
        ([{}], "[0]: Expected `status` or `delayMs`, or both"),
        ([{"status": 401}, {"on": "GET /roles", "times": 2}], "[1]: Expected `status` or `delayMs`, or both"),
        (
            [{"status": 401}, {"on": "GET /nowhere", "status": 401}],
            "[1].on: Expected the method and path of a route of the API, such as 'PUT /records/{id}', got 'GET /nowhere'",
        ),
        *(
            ([{"on": bad, "status": 500}], "[0].on: ")
            for bad in (
                *("", "/records", "GET", "get /records", "GET  /records", "GET records", "GET /records/", " GET /records"),
                *(
                    "GET /records/ent-1",
                    "PUT /records",
                    "HEAD /records",
                    "OPTIONS /records",
                    "GET /channels",
                    "POST /standin/reset",
                ),
                *(
                    "GET /standin/whoami",
                    "GET /api/v1/api/v1/records",
                    "GET /records?limit=1",
                    "GET /docs",
                    "* /records",
                    "GET *",
                ),
            )
        ),
        ([{"on": 5, "status": 500}], "[0].on: Expected a string, got 5"),
        (
            [{"status": 401}, {"on": "get /api/v1/records/:id", "status": 500}],
            "[1].on: Expected the method in capital letters: 'GET /records/{id}', got 'get /api/v1/records/:id'",
        ),
        *(
            ([{"on": on, "status": 500}], f"[0].on: Expected a route that API keys may call, got '{on}'")
            for on in ("POST /auth/login", "GET /healthz", "POST /api-keys/{id}/deactivate", "POST /saved-queries")
        ),
        ([{"status": 500, "delayMs": 30_001}], "[0].delayMs: Expected a whole number from 0 to 30000, got 30001"),
        *(([{"delayMs": bad}], "[0].delayMs: ") for bad in (-1, 1.5, "5", True)),
        ([{"status": 429, "retryAfter": 0}], "[0].retryAfter: Expected a whole number from 1 to 86400, got 0"),
        ([{"status": 500, "retryAfter": 2}], "[0].retryAfter: Expected only with status 429 or 503"),
        ([{"delayMs": 5, "retryAfter": 2}], "[0].retryAfter: Expected only with status 429 or 503"),
        ([{"status": 500, "after": -1}], "[0].after: Expected a whole number from 0 to 1000000000, got -1"),
        ([{"status": 500, "times": 0}], "[0].times: Expected a whole number from 1 to 1000000000, got 0"),
        ([{"status": 500, "probability": 1.1}], "[0].probability: Expected a number from 0 to 1, got 1.1"),
        *(([{"status": 500, "probability": bad}], "[0].probability: ") for bad in (-0.1, "1", True)),
        ([{"status": 500, "hits": 3}], "[0].hits: Unknown field"),
        ([{"status": 500, "surprise": 3}], "[0].surprise: Unknown field"),
        ([{"status": 500}] * 101, "body: Expected at most 100 items, got 101"),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_a_rule_that_makes_no_sense_is_refused_and_nothing_changes(key, faults, standin, error, rules, told):
    before = faults(key, {"status": 503, "after": 1000})
    assert error(
        standin("PUT", f"/keys/{key.id}/faults", data=json.dumps(rules), content_type="application/json"), 400
    ).startswith(told)
    assert faults(key) == before


def test_a_rule_for_a_route_that_this_key_may_not_call_is_refused(make_key, faults, standin, error):
    """It would never fire."""
    reader = make_key("read")
    before = faults(reader, {"on": "GET /records", "status": 500})
    for on, stored, permission in (
        ("POST /records", "POST /records", "update-data"),
        ("PUT /roles/:id", "PUT /roles/{id}", "update-model"),
        ("DELETE /records/{id}", "DELETE /records/{id}", "delete-data"),
    ):
        rules = [{"status": 503}, {"on": on, "status": 500}]
        message = error(standin("PUT", f"/keys/{reader.id}/faults", rules), 400)
        expected = "[1].on: Expected a route that this API key may call"
        assert message == f"{expected}, got '{stored}', for which it lacks {permission}"
        assert faults(reader) == before
        holder = make_key(permission)
        assert faults(holder, rules[1])[0]["on"] == stored
        assert holder.request(on.split()[0], stored.split()[1].replace("{id}", "x"), {}).status_code == 500


def test_a_rule_may_name_any_route_of_the_api_that_a_key_may_call(key, faults):
    named = [(operation.method, operation.path) for operation in OPERATIONS if operation.key in PERMISSIONS]
    assert len(named) > 60
    for method, path in named:
        (rule,) = faults(key, {"on": f"{method} {path}", "status": 500})
        assert re.sub("{[a-z_]+}", ":", rule["on"]) == re.sub(":[A-Za-z]+", ":", f"{method} {path}")


# Whose they are


def test_the_documented_key_can_have_them(app, standin, anonymous):
    assert standin("PUT", "/keys/apikey-sync-prod/faults", [{"status": 429}]).status_code == 200
    assert anonymous.get("/records", headers={"X-Sigma-ApiKey": EXAMPLE_KEY}).status_code == 429


def test_a_key_of_a_test_workspace_can_have_them_and_one_of_a_workspace_of_a_company_cannot(
    app, standin, make_key, stranger, error
):
    made = standin("POST", "/workspaces", {"content": "empty", "keys": [["read"]]}).json["keys"][0]
    assert standin("PUT", f"/keys/{made['id']}/faults", [{"status": 500}]).status_code == 200
    assert statuses(Caller(app, {"X-Sigma-ApiKey": made["rawKey"]}), 1) == [500]
    theirs = make_key("read", by=stranger)
    for method, body in (("GET", None), ("PUT", [{"status": 500}]), ("DELETE", None)):
        unknown = error(standin(method, "/keys/apikey-none/faults", body), 404)
        assert error(standin(method, f"/keys/{theirs.id}/faults", body), 404) == unknown.replace("apikey-none", theirs.id)
    assert statuses(theirs, 1) == [200]
    assert sql(app, "SELECT count(*) FROM key_faults WHERE tenant = 'ws-other'") == [(0,)]


@each("id", ["..", "a%2Fb", "a/b", "x/../apikey-sync-prod", "%2e%2e", "'; DROP TABLE key_faults; --", "*", "x" * 5000, "%00"])
def test_an_id_that_is_none_is_not_found(app, standin, error, id):
    for method, body in (("GET", None), ("PUT", [{"status": 500}]), ("DELETE", None)):
        error(standin(method, f"/keys/{id}/faults", body), 404)
    assert sql(app, "SELECT count(*) FROM key_faults") == [(0,)]


def test_a_deactivated_or_deleted_key_loses_them(app, admin, make_key, faults, standin, error):
    off, gone = make_key("read"), make_key("read")
    for key in (off, gone):
        faults(key, {"status": 500})
    assert admin.post(f"/api-keys/{off.id}/deactivate").status_code == 200
    assert faults(off) == []
    assert "deactivated" in error(standin("PUT", f"/keys/{off.id}/faults", [{"status": 500}]), 409)
    assert faults(off) == []
    assert admin.delete(f"/api-keys/{gone.id}").status_code == 200
    error(standin("GET", f"/keys/{gone.id}/faults"), 404)
    assert sql(app, "SELECT * FROM key_faults") == []


def test_a_reset_clears_them_and_leaves_those_of_test_workspaces_to_their_tests(app, standin, key, faults):
    test = Caller(app, id=standin("POST", "/workspaces", {"keys": [["read"]]}).json["keys"][0]["id"])
    documented = Caller(app, id="apikey-sync-prod")
    for one in (key, documented, test):
        faults(one, {"status": 500})
    assert standin("POST", "/reset", {}).status_code == 204
    assert (faults(documented), hits(faults(test))) == ([], [0])
    assert standin("POST", "/reset", {"removeTestWorkspaces": True}).status_code == 204
    assert sql(app, "SELECT * FROM key_faults") == []


# What it costs


def test_a_key_without_faults_costs_no_statement_more(app, key, make_key, faults, monkeypatch):
    ran = []
    execute = database.execute

    def count(statement, *parameters):
        ran.append(statement)
        return execute(statement, *parameters)

    replace_everywhere(monkeypatch, database, "execute", count)
    replace_everywhere(monkeypatch, database, "fetch_one", lambda *arguments: count(*arguments).fetchone())
    other = make_key("read")
    other.get(RECORD)
    ran.clear()
    other.get(RECORD)
    without = len(ran)
    faults(key, {"status": 500})
    ran.clear()
    other.get(RECORD)
    assert len(ran) == without == 2  # whose key it is, and the record


def test_what_does_not_match_is_not_counted(app, key, faults):
    faults(key, {"on": "POST /records", "status": 500})
    key.get("/roles")
    assert sql(app, "SELECT calls, hits FROM key_faults") == [(0, 0)]
