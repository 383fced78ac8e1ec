"""The journal and the faults of keys as they are served: by workers that share only the database, to clients over sockets."""

import json
import os
import re
import signal
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from processes import EXAMPLE_KEY, SOON, START_TIMEOUT, check_file, copy_demo, listeners, send, serving, wait_until

CLIENTS, CALLS = 8, 120


@pytest.fixture
def database(template, tmp_path):
    return copy_demo(template, tmp_path)


def standin(server, method, path, body=None):
    """Send a request to a path below /standin, and return its status and body."""
    with server.connect() as connection:
        data, headers = (None, {}) if body is None else (json.dumps(body), {"Content-Type": "application/json"})
        connection.request(method, f"/standin{path}", data, headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None


def test_two_workers_and_eight_clients_count_faults_exactly(database, tokens):
    with serving(database, token=tokens["admin@sigma.io"], WORKERS="2") as server:
        assert wait_until(lambda: listeners(server.port) == 2, START_TIMEOUT)
        made, headers = server.make_key("read")
        rules = [
            {"on": "GET /roles", "status": 429, "after": 100, "times": 333},
            {"on": "GET /schemas", "status": 503, "probability": 0.5},
            {"status": 500, "after": CLIENTS * CALLS - 1},
        ]
        assert standin(server, "PUT", f"/keys/{made['id']}/faults", rules)[0] == 200

        def call(_):
            seen = Counter()
            for _ in range(CALLS // 10):  # a new connection now and then, so that both workers have some
                with server.connect() as connection:
                    for path in ("/roles", "/schemas", "/attributes") * 10:
                        seen[path, send(connection, "GET", path, headers=headers)[0]] += 1
            return seen

        with ThreadPoolExecutor(CLIENTS) as pool:
            seen = sum(pool.map(call, range(CLIENTS)), Counter())
        _, shown = standin(server, "GET", f"/keys/{made['id']}/faults")
    total = CLIENTS * CALLS
    assert (seen["/roles", 429], seen["/roles", 200]) == (333, total - 333)
    assert (seen["/attributes", 500], seen["/attributes", 200]) == (1, total - 1)
    assert seen["/schemas", 503] + seen["/schemas", 200] == total
    assert 0.35 * total < seen["/schemas", 503] < 0.65 * total
    assert [rule["hits"] for rule in shown] == [333, seen["/schemas", 503], 1]
    check_file(database)


def test_with_two_workers_the_journal_says_what_to_do_and_with_one_it_is_there(database, tokens):
    with serving(database, token=tokens["admin@sigma.io"], WORKERS="2") as server:
        server.manage("GET", "/roles")
        for method in ("GET", "DELETE"):
            status, answer = standin(server, method, "/requests")
            assert (status, answer["error"]) == (409, "CONFLICT")
            assert "SIGMA_WORKERS=1" in answer["message"]
    with serving(database, token=tokens["admin@sigma.io"]) as server:
        server.manage("GET", "/roles")
        status, (entry, *_) = standin(server, "GET", "/requests")
        assert (status, entry["path"], entry["caller"]["id"]) == (200, "/api/v1/roles", "user-admin")


def test_a_body_is_in_the_journal_as_far_as_it_came(database):
    head = "POST /api/v1/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n"
    with serving(database) as server:
        (worker,) = server.workers()
        with closing(socket.create_connection(("127.0.0.1", server.port), timeout=SOON)) as client:
            client.sendall(head.encode() + b'{"note": "ha')
            client.shutdown(socket.SHUT_WR)
            client.recv(65536)
        assert wait_until(lambda: standin(server, "GET", "/requests")[1][0]["requestBody"] == '{"note": "ha')
        for chunked in (False, True):
            status, _, _ = server.call("POST", "/records", {"note": "x" * 500_000}, chunked=chunked)
            assert status == 401
            assert standin(server, "GET", "/requests")[1][0]["requestBody"] == '{"note": "' + "x" * 9_989 + "…"
        assert server.workers() == [worker]


def test_after_a_body_that_only_the_journal_has_read_the_connection_goes_on(database):
    with serving(database) as server, server.connect() as connection:
        for size in (0, 10, 9_999, 10_000, 10_001, 70_000):
            for _ in range(2):
                status, _, answer = send(connection, "POST", "/records", b"x" * size)
                assert (status, answer["error"]) == (401, "UNAUTHORIZED")
        headers = {"X-Sigma-ApiKey": EXAMPLE_KEY}
        assert send(connection, "GET", "/records/ent-coastal-wb", headers=headers)[0] == 200


def test_an_export_that_is_sent_part_by_part_is_in_the_journal_and_whole(database, tokens):
    with serving(database, token=tokens["admin@sigma.io"]) as server:
        values = {"size": [{"scope": {}, "value": "x" * 900_000}]}
        for number in range(3):  # each part of an export is a megabyte
            server.manage("POST", "/records", {"id": f"ent-{number}", "schemaId": "schema-apparel", "values": values})
        rows = server.manage("GET", "/export")
        assert [len(row["size"] or "") for row in rows][-3:] == [900_000] * 3
        (entry, *_) = standin(server, "GET", "/requests?path=export")[1]
        assert (entry["status"], entry["step"], len(entry["responseBody"])) == (200, None, 10_000)


def test_every_line_of_the_log_is_in_utc_also_those_of_the_server_program(database, tokens):
    with serving(database, token=tokens["admin@sigma.io"], WORKERS="2", TZ="Asia/Kolkata") as server:
        assert wait_until(lambda: listeners(server.port) == 2, START_TIMEOUT)
        server.manage("GET", "/roles")
        killed = server.workers()[0]
        before = len(server.log.read_text(encoding="utf-8").splitlines())
        os.kill(killed, signal.SIGKILL)
        assert wait_until(lambda: killed not in server.workers() and listeners(server.port) == 2, START_TIMEOUT)
        lines = server.log.read_text(encoding="utf-8").splitlines()
    now = time.strftime("%Y-%m-%dT%H", time.gmtime())
    told = [line for line in lines[before:] if line]
    assert told
    assert [line for line in told if not re.match(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", line)] == []
    assert told[-1][:10] == now[:10]
