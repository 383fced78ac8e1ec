"""Clients that send a part of a request and not the rest, as when the network fails: nobody else waits long for them."""

import http.client
import json
import os
import re
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress

import pytest
from test_processes import starting
from test_stopping import BEGINNING, SOON, wait_until, workers

from sigma.cli import serve
from sigma.http import bodies

SILENT = bodies.BODY_TIMEOUT + 1 + SOON  # seconds until who sends nothing more is hung up on, at the latest
DRIPPING = SILENT + serve.PATIENCE
ANYONE = DRIPPING + serve.PATIENCE  # whatever it did
HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"


@contextmanager
def serving(template, tokens, folder, **settings):
    """Serve the demo with a single worker, which a single client can keep busy."""
    shutil.copy(template, folder / "sigma.db")
    with starting(folder / "sigma.db", folder / "server.log", tokens["admin@sigma.io"], WORKERS="1", **settings) as server:
        until = time.monotonic() + 60
        while "Ready" not in server.log.read_text():
            assert time.monotonic() < until, server.log.read_text()
            time.sleep(0.05)
        yield server


@pytest.fixture
def server(template, tokens, tmp_path):
    with serving(template, tokens, tmp_path) as server:
        yield server


def connect(server, address=HERE, to="127.0.0.1"):
    """Connect from this address."""
    return closing(socket.create_connection((to, server.port), timeout=ANYONE, source_address=(address, 0)))


def head(server, length, *more):
    """Write the beginning of a request that makes a record, with a body of this length."""
    lines = ["POST /api/v1/records HTTP/1.1", "Host: localhost", "Content-Type: application/json", f"Content-Length: {length}"]
    return "\r\n".join([*lines, f"Authorization: {server.authorization['Authorization']}", *more, "", ""]).encode()


def record(id):
    return {"id": id, "schemaId": "schema-apparel", "values": {}}


def make(server, id, address=HERE):
    """Make a record from this address, however long it takes, and answer the status."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=DRIPPING, source_address=(address, 0))) as client:
        headers = {"Content-Type": "application/json", **server.authorization}
        client.request("POST", "/api/v1/records", json.dumps(record(id)), headers)
        return client.getresponse().status


def check_health(server, address=HERE, to="127.0.0.1"):
    """Check that the service answers a request that comes from this address, however long it takes."""
    with closing(http.client.HTTPConnection(to, server.port, timeout=ANYONE, source_address=(address, 0))) as client:
        client.request("GET", "/healthz")
        answer = client.getresponse()
        assert (answer.status, json.loads(answer.read())) == (200, {"status": "ok"})


def is_hung_up_on(client):
    """Return whether the server ends a connection without an answer."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def descriptors(server):
    """Return what the worker has open, once it has had time to close what has ended."""
    time.sleep(1)
    (worker,) = workers(server)
    opened = [os.readlink(f"/proc/{worker}/fd/{number}") for number in os.listdir(f"/proc/{worker}/fd")]
    return sorted(name.partition("[")[0] for name in opened)


def hung_up(server):
    """Return the lines of the log that tell of it; the first is written a moment after it has happened."""
    assert wait_until(lambda: "was hung up on" in server.log.read_text()), server.log.read_text()
    return [line for line in server.log.read_text().splitlines() if "was hung up on" in line]


def test_who_sends_half_a_body_and_no_more_is_hung_up_on_and_nobody_else(server):
    with connect(server) as silent:
        begun = time.monotonic()
        silent.sendall(BEGINNING)
        time.sleep(2)
        assert make(server, "ent-waited") == 201
        assert bodies.BODY_TIMEOUT <= time.monotonic() - begun < SILENT
        assert is_hung_up_on(silent)
    (line,) = hung_up(server)
    assert "127.0.0.1 was hung up on (1)" in line


def test_who_asks_meanwhile_over_a_connection_of_before_is_answered(server):
    with closing(http.client.HTTPConnection(HERE, server.port, timeout=SILENT)) as kept, connect(server) as silent:
        kept.request("GET", "/healthz")
        kept.getresponse().read()
        connection = kept.sock
        time.sleep(1)
        silent.sendall(BEGINNING)
        time.sleep(2)
        kept.request("GET", "/healthz")
        assert kept.getresponse().status == 200
        assert kept.sock is connection
        assert is_hung_up_on(silent)


def test_many_who_send_half_a_body_are_hung_up_on_together(server):
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(20)]
        for client in clients:
            client.sendall(BEGINNING)
        time.sleep(2)
        check_health(server)
        assert all(map(is_hung_up_on, clients))


def test_who_sends_a_body_drop_by_drop_is_hung_up_on_and_nobody_else(server):
    with connect(server) as dripping, ThreadPoolExecutor(3) as pool:
        dripping.sendall(head(server, 900))
        begun, waiting = time.monotonic(), []
        with pytest.raises(OSError):  # a broken pipe or a reset, as it happens
            while time.monotonic() - begun < DRIPPING:
                time.sleep(1)
                waiting.append(pool.submit(make, server, f"ent-waited-{len(waiting)}"))
                dripping.sendall(b" ")
        assert [answer.result() for answer in waiting] == [201] * len(waiting)
        assert len(waiting) > bodies.BODY_TIMEOUT
    (line,) = hung_up(server)
    assert "127.0.0.1 was hung up on (1)" in line


def test_a_request_that_came_only_in_part_is_not_carried_out(server):
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(3)]
        for number, client in enumerate(clients):  # whole JSON, though not a whole body
            body = json.dumps(record(f"ent-part-{number}")).encode()
            client.sendall(head(server, len(body) + 9) + body)
        assert all(map(is_hung_up_on, clients))
    with connect(server) as client:
        body = json.dumps(record("ent-part-3")).encode()
        client.sendall(head(server, len(body) + 9) + body)
        client.shutdown(socket.SHUT_WR)
        client.recv(1)
    with connect(server) as client:
        body = json.dumps(record("ent-part-4")).encode()
        beginning = re.sub(rb"Content-Length: \d+", b"Transfer-Encoding: chunked", head(server, 0))
        client.sendall(beginning + b"%x\r\n%b\r\n" % (len(body), body))
        assert is_hung_up_on(client)
    assert wait_until(lambda: server.log.read_text().count(" POST /api/v1/records 400 ") == 5), server.log.read_text()
    for number in range(5):
        status, _, _ = server.call("GET", f"/records/ent-part-{number}", headers=server.authorization)
        assert status == 404


def test_who_sends_a_body_slowly_is_served(server):
    body = json.dumps(record("ent-slow")).encode()
    with connect(server) as slow:
        slow.sendall(head(server, len(body)))
        for byte in range(4):
            time.sleep(bodies.BODY_TIMEOUT / 5)
            slow.sendall(body[byte : byte + 1])
        slow.sendall(body[4:])
        assert slow.recv(65536).startswith(b"HTTP/1.1 201 ")
    status, _, made = server.call("GET", "/records/ent-slow", headers=server.authorization)
    assert (status, made["id"]) == (200, "ent-slow")


def test_who_waits_to_be_told_to_continue_and_then_does_not_is_hung_up_on(server):
    with connect(server) as client:
        client.sendall(head(server, 90, "Expect: 100-continue"))
        assert client.recv(65536).startswith(b"HTTP/1.1 100 ")
        assert is_hung_up_on(client)


def test_who_takes_an_earlier_answer_meanwhile_is_hung_up_on(server):
    with closing(socket.socket()) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((HERE, server.port))
        client.settimeout(ANYONE)
        client.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" + BEGINNING)
        for _ in range(20):
            client.recv(4096)
            time.sleep(0.1)
        check_health(server, ELSEWHERE)
        with suppress(ConnectionResetError):
            while client.recv(1 << 20):
                pass
    assert hung_up(server)


def test_who_reads_a_large_answer_slowly_gets_all_of_it(server):
    server.manage("POST", "/attributes", {"id": "attr-tale", "alias": "tale", "name": "Tale", "type": "text"})
    group = {"id": "grp-all", "name": "All", "sortOrder": 0, "attributeIds": ["attr-tale"]}
    server.manage(
        "POST",
        "/schemas",
        {"id": "schema-tale", "alias": "tale", "name": "Tale", "variantEnabled": False, "attributeGroups": [group]},
    )
    values = {"tale": [{"scope": {}, "value": "x" * 900_000}]}
    for number in range(15):
        server.manage("POST", "/records", {"id": f"ent-{number}", "schemaId": "schema-tale", "values": values})
    with connect(server) as reader, connect(server) as silent:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        headers = f"Host: localhost\r\nConnection: close\r\nAuthorization: {server.authorization['Authorization']}\r\n\r\n"
        reader.sendall(f"GET /api/v1/records?limit=50 HTTP/1.1\r\n{headers}".encode())
        received = reader.recv(65536)
        length = int(received.lower().partition(b"content-length: ")[2].split()[0])
        silent.sendall(BEGINNING)
        until = time.monotonic() + DRIPPING
        while data := reader.recv(1 << 20):
            received += data
            time.sleep(0.05 if time.monotonic() < until else 0)
        assert is_hung_up_on(silent)
    assert length == len(received.partition(b"\r\n\r\n")[2]) > 15 * 900_000


def test_hanging_up_again_and_again_leaves_nothing_open(server):
    check_health(server)
    with connect(server) as client:
        client.sendall(BEGINNING)
        assert is_hung_up_on(client)
    before = descriptors(server)
    for _ in range(3):
        with connect(server) as client:
            client.sendall(BEGINNING)
            assert is_hung_up_on(client)
    check_health(server)
    assert descriptors(server) == before


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6")
def test_over_ipv6_it_is_the_same(template, tokens, tmp_path):
    with serving(template, tokens, tmp_path, HOST="::1") as server, connect(server, "::1", "::1") as silent:
        silent.sendall(BEGINNING)
        time.sleep(2)
        check_health(server, "::1", "::1")
        assert is_hung_up_on(silent)
        (line,) = hung_up(server)
        assert "::1 was hung up on (1)" in line


def test_behind_a_proxy_it_is_the_proxy_that_is_hung_up_on(template, tokens, tmp_path):
    with serving(template, tokens, tmp_path, SIGMA_PROXIES="1") as server, connect(server) as silent:
        silent.sendall(BEGINNING.replace(b"Host:", b"X-Forwarded-For: 203.0.113.9\r\nHost:"))
        check_health(server, ELSEWHERE)
        assert is_hung_up_on(silent)
        (line,) = hung_up(server)
        assert "127.0.0.1 was hung up on (1)" in line
