"""Clients of a large export who take it slowly, or not at all, or leave: what becomes of them, and of those who wait."""

import csv
import io
import json
import re
import socket
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
from test_half_requests import ANYONE, HERE, check_health, connect, hung_up, make, serving
from test_stopping import workers

from sigma.http import bodies

RECORDS = 30_000
NEVER_LONGER = bodies.BODY_TIMEOUT + 1  # seconds that the next part of an answer waits to be taken; the look is once a second


def fill(path):
    """Put records into the demo workspace, 2 kB each."""
    values = {"material": [{"scope": {}, "value": "x" * 2000}]}
    moment = "2026-01-01T00:00:00.000Z"
    head = {"schemaId": "schema-apparel", "lifecycleStateId": "state-draft", "createdAt": moment, "updatedAt": moment}
    body = {**head, "createdBy": "user-admin", "updatedBy": "user-admin", "values": values}
    with closing(sqlite3.connect(path)) as db, db:
        rows = ((json.dumps({"id": f"ent-{number}", **body}),) for number in range(RECORDS))
        db.executemany("INSERT INTO entities (tenant, schema_id, body) VALUES ('ws-demo', 'schema-apparel', ?)", rows)


@pytest.fixture
def server(template, tokens, tmp_path):
    """The demo with so many records that an export is 60 MB, served by a single worker."""
    with serving(template, tokens, tmp_path) as server:
        fill(tmp_path / "sigma.db")
        yield server


def ask(server, client, path="/export?format=csv"):
    """Ask for an export over a connection."""
    headers = f"Host: localhost\r\nConnection: close\r\nAuthorization: {server.authorization['Authorization']}\r\n\r\n"
    client.sendall(f"GET /api/v1{path} HTTP/1.0\r\n{headers}".encode())


def narrow(server):
    """Connect with little room for what comes."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.settimeout(ANYONE)
    client.connect((HERE, server.port))
    return closing(client)


def peak_of(pid):
    """How much memory a process has had at most since it was reset, in MB."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def test_who_takes_nothing_is_hung_up_on_and_nobody_else(server):
    with connect(server) as other, narrow(server) as stalled:
        ask(server, stalled)
        time.sleep(1)
        begun = time.monotonic()
        assert make(server, "ent-waited") == 201
        assert time.monotonic() - begun < 2 * NEVER_LONGER
        other.sendall(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert other.recv(65536).startswith(b"HTTP/1.0 200 ")
        received = 0
        with suppress(ConnectionResetError):
            while data := stalled.recv(1 << 20):
                received += len(data)
        assert received < RECORDS * 2000
    (line,) = hung_up(server)
    assert "127.0.0.1 was hung up on (1)" in line
    assert "took only a part of the answer" in line


def test_who_leaves_ends_it_at_once(server):
    for _ in range(5):
        with narrow(server) as client:
            ask(server, client)
            assert client.recv(1000).startswith(b"HTTP/1.0 200 ")
        begun = time.monotonic()
        check_health(server)
        assert time.monotonic() - begun < bodies.BODY_TIMEOUT
    assert make(server, "ent-after") == 201
    assert "was hung up on" not in server.log.read_text()


def test_who_takes_it_slowly_gets_all_of_it_in_bounded_memory(server):
    (worker,) = workers(server)
    Path(f"/proc/{worker}/clear_refs").write_text("5")
    before, received = peak_of(worker), []
    with narrow(server) as slow:
        ask(server, slow)
        began = time.monotonic()
        while data := slow.recv(1 << 16):
            received.append(data)
            if time.monotonic() - began < 2 * NEVER_LONGER:
                time.sleep(len(data) / 1_000_000)
    lines = list(csv.reader(io.StringIO(b"".join(received).partition(b"\r\n\r\n")[2].decode(), newline=""), strict=True))
    assert len(lines) == 1 + 2 + RECORDS
    assert peak_of(worker) - before < 80
    assert "was hung up on" not in server.log.read_text()
