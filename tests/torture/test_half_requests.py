"""Clients that send a part of a request and not the rest, as when the network fails: nobody else waits long for them."""

import http.client
import json
import shutil
import socket
import time
from contextlib import ExitStack, closing

import pytest
from test_processes import starting
from test_stopping import BEGINNING, SOON

import app as service

AWAY = service.BODY_TIMEOUT + SOON  # seconds after which one is hung up on, whatever it does
HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"


@pytest.fixture
def server(template, tokens, tmp_path):
    """A service with a single worker, which a single client can keep busy."""
    shutil.copy(template, tmp_path / "sigma.db")
    with starting(tmp_path / "sigma.db", tmp_path / "server.log", tokens["admin@sigma.io"], WORKERS="1") as server:
        until = time.monotonic() + 60
        while "Ready" not in server.log.read_text():
            assert time.monotonic() < until, server.log.read_text()
            time.sleep(0.05)
        yield server


def connect(server, address=HERE):
    """Connect from this address."""
    return closing(socket.create_connection(("127.0.0.1", server.port), timeout=AWAY, source_address=(address, 0)))


def check_health(server, address):
    """Check that the service answers a request that comes from this address, however long it takes."""
    source = (address, 0)
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=AWAY, source_address=source)) as connection:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())) == (200, {"status": "ok"})


def is_hung_up_on(client):
    """Answer whether the server has ended a connection without an answer."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_who_sends_half_a_body_and_no_more_is_hung_up_on_and_nobody_else(server):
    with connect(server) as silent:
        begun = time.monotonic()
        silent.sendall(BEGINNING)
        time.sleep(2)
        check_health(server, HERE)
        waited = time.monotonic() - begun
        assert service.BODY_TIMEOUT <= waited < AWAY
        assert is_hung_up_on(silent)
    assert "127.0.0.1 was hung up on" in server.log.read_text()
    check_health(server, HERE)


def test_many_who_send_half_a_body_are_hung_up_on_together(server):
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(20)]
        for client in clients:
            client.sendall(BEGINNING)
        time.sleep(2)
        check_health(server, HERE)
        assert all(map(is_hung_up_on, clients))


def test_who_sends_a_body_drop_by_drop_is_hung_up_on(server):
    with connect(server) as dripping:
        dripping.sendall(BEGINNING.replace(b"Content-Length: 9", b"Content-Length: 900"))
        until = time.monotonic() + AWAY
        with pytest.raises(OSError):  # a broken pipe or a reset, as it happens
            while time.monotonic() < until:
                time.sleep(1)
                dripping.sendall(b" ")
        check_health(server, ELSEWHERE)


def test_who_sends_a_body_slowly_is_served(server):
    body = json.dumps({"id": "ent-slow", "schemaId": "schema-apparel", "values": {}}).encode()
    head = (
        "POST /api/v1/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: {server.authorization['Authorization']}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with connect(server) as slow:
        slow.sendall(head.encode() + body[:1])
        for byte in range(1, 6):
            time.sleep(service.BODY_TIMEOUT / 10)
            slow.sendall(body[byte : byte + 1])
        slow.sendall(body[6:])
        assert slow.recv(65536).startswith(b"HTTP/1.1 201 ")
    status, _, record = server.call("GET", "/records/ent-slow", headers=server.authorization)
    assert (status, record["id"]) == (200, "ent-slow")


def test_an_idle_connection_is_kept_while_others_are_hung_up_on(server):
    with closing(http.client.HTTPConnection(HERE, server.port, timeout=AWAY, source_address=(ELSEWHERE, 0))) as idle:
        idle.request("GET", "/healthz")
        assert idle.getresponse().read()
        kept = idle.sock
        with connect(server) as silent:
            silent.sendall(BEGINNING)
            assert is_hung_up_on(silent)
        idle.request("GET", "/healthz")
        assert idle.getresponse().status == 200
        assert idle.sock is kept
