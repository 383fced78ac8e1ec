"""Requests that wait, for a time, a body or a reader: they hold up nobody who is served by the same worker."""

import http.client
import json
import socket
import sqlite3
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress

import pytest
from processes import EXAMPLE_KEY, SOON, copy_demo, is_up, serving
from werkzeug.security import generate_password_hash

from sigma.cli.server import MAX_APART_OF_ONE
from sigma.http.waiting import CLIENT_TIMEOUT
from sigma.resources.sessions import HASHING

KEY = {"X-Sigma-ApiKey": EXAMPLE_KEY}
UNFIT = "type: 2 records hold values that do not fit; the first is 'ent-a'"
AT_ONCE = 0.1  # seconds that an answer may take while others wait


@pytest.fixture
def server(template, tmp_path, tokens):
    """The service with a single worker and the demo, and so with the journal."""
    with serving(copy_demo(template, tmp_path), token=tokens["admin@sigma.io"], WORKERS="1") as server:
        yield server


@contextmanager
def same_worker(server):
    """Check that the worker outlives what happens in the block."""
    before = server.workers()
    yield
    assert server.workers() == before
    assert "this worker ends" not in server.log.read_text(encoding="utf-8")


def seconds(act):
    """Return how long a call takes: the fastest of three, because the machine may be busy with something else."""
    took = []
    for _ in range(3):
        begun = time.monotonic()
        assert act()
        took.append(time.monotonic() - begun)
    return min(took)


def check_others_go_on(server):
    """Check that callers without a credential, with a key and with a session are answered, and that writes are made."""
    record = {"schemaId": "schema-apparel", "values": {}}
    for act in (
        lambda: is_up(server.port),
        lambda: server.request("GET", "/records/ent-coastal-wb", KEY)[0] == 200,
        lambda: server.request("GET", "/roles", server.authorization)[0] == 200,
        lambda: server.request("POST", "/records", KEY, record)[0] == 201,
    ):
        assert seconds(act) < AT_ONCE


def standin(server, method, path, body=None):
    with server.connect() as connection:
        data = None if body is None else json.dumps(body)
        connection.request(method, f"/standin{path}", data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None


@contextmanager
def half_a_request(server, path, came, length=500, headers=""):
    """Send a request with the beginning of a body, and keep the connection open during the block, for the rest."""
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=CLIENT_TIMEOUT + SOON)) as client:
        head = f"POST /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}"
        client.sendall(f"{head}Content-Length: {length}\r\n\r\n{came}".encode())
        yield client


def receive(client):
    """Return the status and the body of an answer."""
    received = b""
    while b"\r\n\r\n" not in received or not received.endswith(b"}"):
        data = client.recv(65536).rstrip(b"\n")
        assert data, received
        received += data
    return int(received.split()[1]), json.loads(received.partition(b"\r\n\r\n")[2])


def entries(server, status):
    """Return the journal's entries with this status, newest first."""
    found = standin(server, "GET", "/requests")[1]
    return [entry for entry in found if entry["status"] == status]


def test_a_delay_holds_up_nobody_but_its_caller(server):
    made, headers = server.make_key("read", "update-data")
    rules = [{"on": "POST /records", "delayMs": 5000}, {"on": "GET /roles", "delayMs": 5000, "status": 503}]
    assert standin(server, "PUT", f"/keys/{made['id']}/faults", rules)[0] == 200
    calls = [("POST", "/records", {"id": f"ent-{n}", "schemaId": "schema-apparel", "values": {}}) for n in range(3)]
    calls.append(("GET", "/roles", None))
    with same_worker(server), ThreadPoolExecutor(4) as pool:
        begun = time.monotonic()
        answers = [pool.submit(server.call, method, path, body, headers) for method, path, body in calls]
        time.sleep(0.5)
        check_others_go_on(server)
        assert server.request("GET", "/records/ent-0", KEY)[0] == 200  # it is made; only its answer is late
        assert not any(answer.done() for answer in answers)
        done = [answer.result() for answer in answers]
        assert 5 <= time.monotonic() - begun < 8
    assert [(status, head["X-Sigma-Fault"]) for status, head, _ in done] == [(201, "1")] * 3 + [(503, "1")]
    hits = [rule["hits"] for rule in standin(server, "GET", f"/keys/{made['id']}/faults")[1]]
    assert hits == [3, 1]  # each call counts once, though it began anew
    assert sum(entry["ms"] >= 5000 for entry in entries(server, 201)) == 3
    assert [entry["step"] for entry in entries(server, 503)] == ["fault"]


def test_more_calls_that_wait_than_there_are_places_hold_up_nobody(server):
    made, headers = server.make_key("read")
    assert standin(server, "PUT", f"/keys/{made['id']}/faults", [{"delayMs": 5000}])[0] == 200
    with same_worker(server), ThreadPoolExecutor(MAX_APART_OF_ONE + 3) as pool:
        answers = [pool.submit(server.call, "GET", "/roles", None, headers) for _ in range(MAX_APART_OF_ONE + 3)]
        time.sleep(1)
        check_others_go_on(server)
        statuses = [answer.result()[0] for answer in answers]
    assert (statuses.count(200), statuses.count(503)) == (MAX_APART_OF_ONE, 3)
    _, headers = server.make_key("read")
    assert server.call("GET", "/export", None, headers)[0] == 200  # the places were given back


def test_a_long_search_holds_up_nobody(server):
    _, headers = server.make_key("read", "update-data")
    attribute = {"id": "attr-long", "alias": "long", "name": "Long", "type": "text"}
    group = {"id": "grp", "name": "All", "attributeIds": ["attr-long"]}
    schema = {"id": "schema-long", "alias": "long", "name": "Long", "variantEnabled": False, "attributeGroups": [group]}
    for path, body in (("/attributes", attribute), ("/schemas", schema)):
        assert server.request("POST", path, server.authorization, body)[0] == 201
    for _ in range(20):
        record = {"schemaId": "schema-long", "values": {"long": [{"value": "x" * 900_000}]}}
        assert server.call("POST", "/records", record, headers)[0] == 201
    wanted = {"attribute": "long", "operator": "contains"}
    criteria = [{**wanted, "value": f"{'x' * 9000}{number}{'x' * 9000}"} for number in range(50)]
    search = {"criteriaOperator": "or", "criteria": criteria}
    with same_worker(server), ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.call, "POST", "/search", search, headers)
        time.sleep(0.5)
        check_others_go_on(server)
        assert not answer.done()
        status, _, found = answer.result()
    assert (status, found["total"]) == (200, 0)


def test_a_worker_that_a_long_list_has_left_refuses_a_key_as_soon_as_it_is_deactivated(server, tmp_path):
    made, headers = server.make_key("read")
    body = json.dumps({"entityId": "ent-a", "data": {"values": {}}, "more": "x" * 800_000})
    insert = (
        "INSERT INTO deliveries (tenant, id, webhook_id, event, body, made_at)"
        " VALUES ('ws-demo', ?, 'wh-sync-notify', 'entity.created', ?, 0)"
    )
    with closing(sqlite3.connect(tmp_path / "sigma.db")) as db:
        with db:
            db.executemany(insert, ((f"dlv-{number}", body) for number in range(100)))
        with same_worker(server):
            assert server.call("GET", "/roles", None, headers)[0] == 200
            status, listed = standin(server, "GET", "/deliveries?workspace=ws-demo&limit=100")
            assert (status, len(listed["items"])) == (200, 100)
            with db:
                db.execute("UPDATE api_keys SET deactivated_at = '2026-01-01T00:00:00.000Z' WHERE id = ?", (made["id"],))
            assert server.call("GET", "/roles", None, headers)[0] == 401
            check_others_go_on(server)


def test_a_change_that_goes_through_many_records_is_made_and_takes_its_place_among_slow_calls(server):
    """Where slow calls have all places, it is refused, and a change that goes through no records is made."""
    made, headers = server.make_key("read", "update-data", "update-model", "delete-model")
    attribute = {"id": "attr-long", "alias": "long", "name": "Long", "type": "text"}
    group = {"id": "grp", "name": "All", "attributeIds": ["attr-long"]}
    schema = {"id": "schema-long", "alias": "long", "name": "Long", "variantEnabled": False, "attributeGroups": [group]}
    for path, body in (("/attributes", attribute), ("/schemas", schema)):
        assert server.call("POST", path, body, headers)[0] == 201
    for letter in "ab":
        record = {"id": f"ent-{letter}", "schemaId": "schema-long", "values": {"long": [{"value": letter * 600_000}]}}
        assert server.call("POST", "/records", record, headers)[0] == 201
    unfit, unique = {**attribute, "type": "number"}, {**attribute, "validation": {"unique": True}}
    with same_worker(server):
        status, _, answer = server.call("PUT", "/attributes/attr-long", unfit, headers)
        assert (status, answer["message"]) == (409, UNFIT)
        assert server.call("PUT", "/attributes/attr-long", unique, headers)[0] == 200
        taken = {"schemaId": "schema-long", "values": {"long": [{"value": "b" * 600_000}]}}
        assert server.call("POST", "/records", taken, headers)[0] == 409
        with_workflow = {**schema, "workflowId": "wf-standard"}
        assert server.call("PUT", "/schemas/schema-long", with_workflow, headers)[0] == 200
        assert server.call("GET", "/records/ent-b", None, headers)[2]["lifecycleStateId"] == "state-draft"
        catalog = {"id": "cat-new", "alias": "new", "name": "New"}
        assert server.request("POST", "/catalogs", server.authorization, catalog)[0] == 201
        assert server.request("DELETE", "/catalogs/cat-new", server.authorization)[0] == 204
        assert standin(server, "PUT", f"/keys/{made['id']}/faults", [{"on": "GET /roles", "delayMs": 3000}])[0] == 200
        with ThreadPoolExecutor(MAX_APART_OF_ONE) as pool:
            answers = [pool.submit(server.call, "GET", "/roles", None, headers) for _ in range(MAX_APART_OF_ONE)]
            time.sleep(1)
            assert server.call("PUT", "/attributes/attr-long", unfit, headers)[0] == 503
            assert server.call("PUT", "/attributes/attr-long", {**unique, "name": "Longer"}, headers)[0] == 200
            assert [answer.result()[0] for answer in answers] == [200] * MAX_APART_OF_ONE
        assert server.call("PUT", "/attributes/attr-long", unfit, headers)[0] == 409


@pytest.mark.parametrize(("path", "status"), [("/records", 401), ("/nowhere", 404)])
def test_half_a_body_that_is_refused_is_answered_at_once_and_kept_as_far_as_it_came(server, path, status):
    with same_worker(server):
        with half_a_request(server, path, '{"note": "ha') as client:
            begun = time.monotonic()
            assert receive(client)[0] == status
            assert time.monotonic() - begun < AT_ONCE
        check_others_go_on(server)  # when that client is gone, or has sent the rest
        (entry,) = entries(server, status)
        assert (entry["path"], entry["requestBody"]) == (f"/api/v1{path}", '{"note": "ha')


def test_the_body_of_a_request_that_is_refused_to_a_key_is_there_for_who_asks_next(server):
    _, headers = server.make_key("read")
    for number in range(50):
        assert server.call("POST", "/records", {"number": number}, headers)[0] == 403
        assert entries(server, 403)[0]["requestBody"] == f'{{"number": {number}}}'


def test_half_a_body_of_a_key_is_refused_before_it_is_waited_for(server):
    made, _ = server.make_key("read")
    key = f"X-Sigma-ApiKey: {made['rawKey']}\r\n"
    with same_worker(server), half_a_request(server, "/records", '{"note": "ha', length=15, headers=key) as client:
        begun = time.monotonic()
        assert receive(client)[0] == 403
        assert time.monotonic() - begun < AT_ONCE
        client.sendall(b'"}\n')
        assert entries(server, 403)[0]["requestBody"] == '{"note": "ha"}\n'


def test_logins_hold_up_nobody(server):
    wrong = {"email": "nobody@sigma.io", "password": "wrong"}
    with same_worker(server), ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(server.call, "POST", "/auth/login", wrong) for _ in range(8)]
        assert seconds(lambda: is_up(server.port)) < AT_ONCE
        assert [answer.result()[0] for answer in answers] == [401] * 8


def sign_in(server, address, email, password):
    """Return the status of a login from an address of this machine."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, 30, (address, 0))) as connection:
        body = json.dumps({"email": email, "password": password})
        connection.request("POST", "/api/v1/auth/login", body, {"Content-Type": "application/json"})
        return connection.getresponse().status


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a machine has no 127.0.0.2")
@pytest.mark.parametrize(("email", "expected"), [("nobody{}@sigma.io", 401), ("editor@sigma.io", 200)])
def test_one_address_keeps_no_other_from_signing_in(server, tmp_path, email, expected):
    with closing(sqlite3.connect(tmp_path / "sigma.db")) as db, db:  # as slow to check as outside of tests
        for user in ("admin", "editor"):
            password_hash = generate_password_hash(user, HASHING)
            db.execute("UPDATE users SET password_hash = ? WHERE email = ?", (password_hash, f"{user}@sigma.io"))
    stop, statuses = threading.Event(), set()

    def attack(number):
        while not stop.is_set():
            statuses.add(sign_in(server, "127.0.0.2", email.format(number), "editor"))
            stop.wait(0.2)

    with same_worker(server), ThreadPoolExecutor(60) as pool:
        attacks = [pool.submit(attack, number) for number in range(60)]
        try:
            time.sleep(0.3)
            assert [sign_in(server, "127.0.0.9", "admin@sigma.io", "admin") for _ in range(5)] == [200] * 5
        finally:
            stop.set()
        for done in attacks:
            done.result()
    assert statuses == {expected, 429}


def test_a_delayed_call_has_its_body_and_one_that_is_cut_off_is_refused(server):
    made, headers = server.make_key("update-data")
    assert standin(server, "PUT", f"/keys/{made['id']}/faults", [{"delayMs": 300}])[0] == 200
    with same_worker(server):
        for chunked in (False, True):
            body = {"id": f"ent-{chunked}", "schemaId": "schema-apparel", "values": {}}
            status, head, record = server.call("POST", "/records", body, headers, chunked)
            assert (status, head["X-Sigma-Fault"], record["id"]) == (201, "1", body["id"])
        key = f"X-Sigma-ApiKey: {made['rawKey']}\r\n"
        with half_a_request(server, "/records", "{", headers=key) as client:
            client.shutdown(socket.SHUT_WR)
            with suppress(AssertionError, ConnectionResetError):
                assert receive(client)[0] == 400
        assert server.call("POST", "/records", {"a": "x" * 2_000_000}, headers)[0] == 413
    assert entries(server, 201)[0]["ms"] >= 300
