"""A clock that is set back and forward while the service runs: the whole service with its workers has it, and all goes on."""

import base64
import json
import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from processes import EXAMPLE_KEY, program, send, serving, wait_until
from receivers import receiving

HOUR, DAY, YEAR = 3600, 86400, 366 * 86400
KEY = {"X-Sigma-ApiKey": EXAMPLE_KEY}


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    """Return the path of a library that sets the clock of a program that loads it."""
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([program("cc", "setting a clock"), "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return library


@pytest.fixture
def step(tmp_path):
    """Return a function that sets the clock of the service by so many seconds, compared with what it truly is."""
    file = tmp_path / "clock"

    def step(seconds):
        part = file.with_name("clock.part")
        part.write_text(str(seconds), encoding="ascii")
        part.replace(file)

    step(0)
    return step


@pytest.fixture
def server(template, tmp_path, shim, step):
    (tmp_path / "data").mkdir()
    database = tmp_path / "data" / "sigma.db"
    database.write_bytes(template.read_bytes())
    with serving(database, LD_PRELOAD=str(shim), CLOCK_FILE=str(tmp_path / "clock")) as server:
        server.database = database
        server.sign_in = lambda: {"Authorization": f"Bearer {login(server)[1]['token']}"}
        yield server


def sql_rows(server, statement):
    with closing(sqlite3.connect(server.database)) as db:
        return db.execute(statement).fetchall()


def login(server, password="admin"):
    return server.request("POST", "/auth/login", body={"email": "admin@sigma.io", "password": password})


def claims(session):
    part = session["Authorization"].split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_the_clock_of_the_service_is_the_one_that_is_set(server, step):
    for seconds in (YEAR, -HOUR, 0):
        step(seconds)
        assert abs(claims(server.sign_in())["iat"] - time.time() - seconds) < 5


def test_sessions_end_when_they_should(server, step):
    before = server.sign_in()
    for seconds, status in ((-HOUR, 200), (DAY - 60, 200), (DAY + 60, 401), (0, 200)):
        step(seconds)
        assert server.request("GET", "/api-keys", before)[0] == status
    step(YEAR)
    ahead = server.sign_in()
    step(0)
    assert server.request("GET", "/api-keys", ahead)[0] == 401
    assert server.request("GET", "/api-keys", server.sign_in())[0] == 200


@pytest.mark.parametrize("seconds", [-HOUR, HOUR, YEAR])
def test_who_may_not_try_to_sign_in_may_when_the_clock_was_set(server, step, seconds):
    assert [login(server, "wrong")[0] for _ in range(11)] == [401] * 10 + [429]
    step(seconds)
    assert login(server)[0] == 200
    assert [login(server, "wrong")[0] for _ in range(11)] == [401] * 10 + [429]


def test_the_last_use_of_a_key_goes_on(server, step):
    for seconds in (YEAR, -HOUR, 0):
        step(seconds)
        assert server.request("GET", "/roles", KEY)[0] == 200
        ((used,),) = sql_rows(server, "SELECT unixepoch(last_used_at) FROM api_keys WHERE id = 'apikey-sync-prod'")
        assert abs(used - time.time() - seconds) < 5


@pytest.mark.parametrize("seconds", [-HOUR, YEAR])
def test_what_a_webhook_could_not_be_sent_is_tried_again(server, step, seconds):
    session = server.sign_in()
    with receiving(503, 200) as receiver:
        body = {"id": "wh-one", "name": "One", "url": receiver.url, "events": ["entity.created"]}
        assert server.request("POST", "/webhooks", session, body)[0] == 201
        assert server.request("POST", "/records", KEY, {"id": "ent-1", "schemaId": "schema-apparel", "values": {}})[0] == 201
        assert wait_until(lambda: len(receiver.requests) == 1)
        assert wait_until(lambda: sql_rows(server, "SELECT attempts FROM deliveries") == [(1,)])
        step(seconds)
        assert server.request("POST", "/records", KEY, {"id": "ent-2", "schemaId": "schema-apparel", "values": {}})[0] == 201
        assert wait_until(lambda: len(receiver.requests) == 3)
        assert wait_until(lambda: sql_rows(server, "SELECT DISTINCT state FROM deliveries") == [("delivered",)])


def test_a_machine_that_slept_goes_on_where_it_was(server, step):
    session, workers = server.sign_in(), server.workers()
    with receiving(503, 200) as receiver:
        body = {"id": "wh-one", "name": "One", "url": receiver.url, "events": ["entity.created"]}
        assert server.request("POST", "/webhooks", session, body)[0] == 201
        assert server.request("POST", "/records", KEY, {"id": "ent-1", "schemaId": "schema-apparel", "values": {}})[0] == 201
        assert wait_until(lambda: sql_rows(server, "SELECT attempts FROM deliveries") == [(1,)])
        with server.connect() as connection:
            assert send(connection, "GET", "/roles", headers=session)[0] == 200
            os.killpg(server.process.pid, signal.SIGSTOP)
            time.sleep(3)  # it sleeps; its clock is set when it wakes
            step(8 * HOUR)
            os.killpg(server.process.pid, signal.SIGCONT)
            assert send(connection, "GET", "/roles", headers=session)[0] == 200
        assert wait_until(lambda: len(receiver.requests) == 2)
        assert wait_until(lambda: sql_rows(server, "SELECT state FROM deliveries") == [("delivered",)])
    assert server.workers() == workers
    step(DAY + 60)
    assert server.request("GET", "/roles", session)[0] == 401


def test_the_journal_and_histories_keep_the_order_of_what_happened(server, step):
    for seconds, name in ((YEAR, "ahead"), (-HOUR, "behind"), (0, "now")):
        step(seconds)
        body = {"scope": {}, "value": name}
        assert server.request("PATCH", "/records/ent-coastal-wb/values/product-name", KEY, body)[0] == 200
    _, history = server.request("GET", "/records/ent-coastal-wb/audit-log?limit=3", KEY)
    assert [entry["changes"][0]["newValue"] for entry in history["items"]] == ["now", "behind", "ahead"]
