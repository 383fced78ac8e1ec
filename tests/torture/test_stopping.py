"""Stopping, as a supervisor does it and as it happens: SIGTERM at any moment, and processes that are killed one by one."""

import http.client
import os
import shutil
import signal
import socket
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from test_kill import check_file
from test_processes import starting

from sigma.cli import serve

SOON, START_TIMEOUT = 4, 60  # seconds that a busy machine may take for what takes none, and to start
STOP_TIMEOUT = serve.STOP_TIMEOUT + SOON
BEGINNING = (
    b"POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
)


def state_of(pid):
    """Return the state of a process, by its letter; Z for one that has ended, whether or not anybody took note."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def workers(server):
    """Return the ids of the server's worker processes that have not ended."""
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return [int(child) for child in children if state_of(child) != "Z"]


def wait_until(so, seconds=SOON):
    """Wait until something is so, and answer whether it came to be."""
    deadline = time.monotonic() + seconds
    while not so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def listeners(port):
    """Count the sockets that listen on a port of this machine; each worker has one when it is ready."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]]
    return sum(line[1] == f"0100007F:{port:04X}" and line[3] == "0A" for line in lines)


@pytest.fixture
def database(template, tmp_path):
    shutil.copy(template, tmp_path / "sigma.db")
    return tmp_path / "sigma.db"


@pytest.fixture
def server(database, tokens, tmp_path):
    with starting(database, tmp_path / "server.log", tokens["admin@sigma.io"], WORKERS="2") as server:
        assert wait_until(lambda: listeners(server.port) == 2, START_TIMEOUT), server.log.read_text()
        yield server


def check_stopped(server, ids, database):
    """Check that a server ended well, with all its workers, and left the database to others."""
    assert server.process.returncode == 0, server.log.read_text()
    assert [pid for pid in ids if state_of(pid) != "Z"] == []
    assert listeners(server.port) == 0
    assert "Traceback" not in server.log.read_text()
    with closing(sqlite3.connect(database, timeout=0, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        db.execute("ROLLBACK")
        assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    check_file(database)


def test_requests_in_flight_are_answered_when_the_service_is_told_to_stop(server, database):
    ids = workers(server)
    bodies = [{"id": f"ent-{number}", "schemaId": "schema-apparel", "values": {}} for number in range(6)]
    with (
        ThreadPoolExecutor(len(bodies)) as pool,
        closing(sqlite3.connect(database, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        answers = [pool.submit(server.call, "POST", "/records", body, server.authorization) for body in bodies]
        time.sleep(0.5)  # by now each worker waits for the lock, and the other requests wait for the workers
        server.process.terminate()
        assert wait_until(lambda: listeners(server.port) == 0)
        with pytest.raises(ConnectionRefusedError):
            server.call("GET", "/healthz")
        assert server.process.poll() is None
        other.execute("ROLLBACK")
        assert [answer.result()[0] for answer in answers] == [201] * len(bodies)
    server.process.wait(SOON)
    check_stopped(server, ids, database)
    with closing(sqlite3.connect(database)) as db:
        stored = {id for (id,) in db.execute("SELECT id FROM entities")}
    assert {body["id"] for body in bodies} <= stored


def test_clients_that_hold_on_to_their_connections_do_not_keep_the_service_from_stopping(server, database):
    ids = workers(server)
    with ExitStack() as stack:
        idle = stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", server.port)))
        idle.request("GET", "/healthz")
        assert idle.getresponse().read()
        for beginning in (b"", BEGINNING[:40], BEGINNING):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.sendall(beginning)
        time.sleep(0.5)
        server.process.terminate()
        assert wait_until(lambda: listeners(server.port) == 0)
        server.process.wait(STOP_TIMEOUT)
    check_stopped(server, ids, database)


def test_a_service_that_is_told_to_stop_while_it_starts_stops(database, tmp_path):
    with starting(database, tmp_path / "server.log", WORKERS="2") as server:
        assert wait_until(lambda: len(workers(server)) == 2, START_TIMEOUT)
        ids = workers(server)
        server.process.terminate()
        server.process.wait(STOP_TIMEOUT)
    check_stopped(server, ids, database)


def test_a_worker_that_is_killed_is_replaced_while_the_other_goes_on(server, tokens):
    made, headers = server.make_key("read")
    killed, kept = workers(server)
    os.kill(killed, signal.SIGKILL)
    assert wait_until(lambda: state_of(killed) == "Z")
    for _ in range(20):
        with suppress(ConnectionError):  # one that was waiting for the worker that is gone
            assert server.use(headers)[0] == 200
    assert wait_until(lambda: listeners(server.port) == 2, START_TIMEOUT)
    assert kept in workers(server)
    assert killed not in workers(server)
    server.manage("POST", f"/api-keys/{made['id']}/deactivate")
    assert [server.use(headers)[0] for _ in range(40)] == [401] * 40
    server.process.terminate()
    assert server.process.wait(STOP_TIMEOUT) == 0


def test_a_service_whose_workers_keep_dying_ends_for_its_supervisor_to_start_it_again(server):
    ids = workers(server)
    os.kill(ids[0], signal.SIGKILL)
    assert wait_until(lambda: set(workers(server)) - set(ids))
    (replacement,) = set(workers(server)) - set(ids)
    os.kill(replacement, signal.SIGKILL)
    assert server.process.wait(STOP_TIMEOUT) == 1
    assert {state_of(pid) for pid in [*ids, replacement]} == {"Z"}
    assert listeners(server.port) == 0


@pytest.mark.parametrize("beginning", [b"", BEGINNING], ids=["idle", "with half a request"])
def test_workers_whose_main_process_is_killed_stop_and_leave_the_port_to_the_next(server, database, beginning):
    ids = workers(server)
    with closing(socket.create_connection(("127.0.0.1", server.port))) as client:
        client.sendall(beginning)
        time.sleep(0.5)
        server.process.kill()
        server.process.wait()
        assert wait_until(lambda: {state_of(pid) for pid in ids} == {"Z"}, STOP_TIMEOUT if beginning else SOON)
    assert listeners(server.port) == 0
    check_file(database)
