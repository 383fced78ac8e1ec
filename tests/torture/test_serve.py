"""`flask serve`: how the service starts and stops, and what becomes of it when one of its processes does not go on."""

import os
import pty
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from processes import (
    EXAMPLE_KEY,
    FLASK,
    PACKAGES,
    ROOT,
    SOON,
    START_TIMEOUT,
    check_file,
    environment,
    flask,
    is_running,
    is_up,
    listeners,
    program,
    serving,
    starting,
    wait_until,
)
from terminals import CONTROLLED, SHELLS

from sigma.cli.running import is_registered
from sigma.cli.workers import STOP_TIMEOUT
from sigma.http.waiting import CLIENT_TIMEOUT

KEY = {"X-Sigma-ApiKey": EXAMPLE_KEY}
BODY = b'{"id": "ent-slow", "schemaId": "schema-apparel", "values": {}}'


def beginning(length):
    """Return the head of a request that makes a record, with a body of this length."""
    lines = ["POST /api/v1/records HTTP/1.1", "Host: localhost", "Content-Type: application/json", f"Content-Length: {length}"]
    return "\r\n".join([*lines, f"X-Sigma-ApiKey: {EXAMPLE_KEY}", "", ""]).encode()


HALF_A_REQUEST = beginning(90) + b"{"


@pytest.fixture
def database(template, tmp_path):
    return shutil.copy(template, tmp_path / "sigma.db")


@pytest.fixture
def server(database, tokens):
    """The service with two workers, both of which are ready."""
    with serving(database, token=tokens["admin@sigma.io"], WORKERS="2") as server:
        assert wait_until(lambda: listeners(server.port) == 2, START_TIMEOUT), server.log.read_text()
        yield server


def connect(server):
    return closing(socket.create_connection(("127.0.0.1", server.port), timeout=CLIENT_TIMEOUT + SOON))


# -- Starting


def test_servers_that_start_together_find_ports_of_their_own_and_answer_once_they_say_so(database):
    with ExitStack() as stack:
        servers = [stack.enter_context(starting(database, database.with_suffix(f".{n}.log"), WORKERS="2")) for n in range(3)]
        for server in servers:
            server.wait_until_ready()
            assert all(is_up(server.port) for _ in range(20))
        assert len({server.port for server in servers}) == 3


def test_a_port_that_is_taken_is_refused_with_the_way_out(server, database, tmp_path):
    done = flask(database, "serve", PORT=str(server.port))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: It runs already, at http://127.0.0.1:{server.port} (process ")
    done = flask(tmp_path / "another.db", "serve", PORT=str(server.port))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: Port {server.port} of 127.0.0.1 is taken by process ")
    assert "SIGMA_PORT" in done.stderr


def test_a_demo_workspace_is_not_served_beyond_this_machine(database):
    done = flask(database, "serve", HOST="0.0.0.0", PORT="0")
    assert (done.returncode, done.stdout) == (1, "")
    assert "SIGMA_ALLOW_PUBLIC_DEMO=1" in done.stderr
    assert "Traceback" not in done.stderr
    assert EXAMPLE_KEY not in done.stderr


SPAWNING = """
import multiprocessing

from flask.cli import main

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])  # how workers are made depends on the system, and on Python's version
def test_nothing_is_imported_from_the_folder_that_one_stands_in(database, tmp_path, method):
    here = tmp_path / "here"
    (here / "sigma").mkdir(parents=True)
    for name in ("app", "secrets", "struct", "multiprocessing", "sigma/__init__", *PACKAGES):
        (here / f"{name}.py").write_text("raise SystemExit(f'{__file__} was imported')")
    (tmp_path / "spawning.py").write_text(SPAWNING)
    program = [FLASK] if method == "fork" else [sys.executable, str(tmp_path / "spawning.py")]
    command = [*program, "--app", f"{ROOT}/app.py", "serve"]
    with starting("../sigma.db", tmp_path / "server.log", cwd=here, command=command, WORKERS="2") as server:
        server.wait_until_ready()
        assert server.request("GET", "/records", KEY)[0] == 200
        assert {os.readlink(f"/proc/{pid}/cwd") for pid in server.workers()} == {str(ROOT)}


MAKE_DATABASE = """
import sys
import time

import app

time.sleep(max(0, float(sys.argv[1]) - time.time()))
app.create_app()
"""


def test_processes_that_start_at_the_same_moment_on_no_database_share_the_one_they_make(tmp_path):
    for turn in range(3):
        database, moment = tmp_path / f"{turn}.db", time.time() + 2
        command, given = [sys.executable, "-c", MAKE_DATABASE, str(moment)], environment(database)
        processes = [subprocess.Popen(command, cwd=ROOT, env=given) for _ in range(4)]
        assert [process.wait(START_TIMEOUT) for process in processes] == [0] * 4
        check_file(database)


def test_a_variable_of_the_environment_is_no_header(database):
    with serving(database, HTTP_X_SIGMA_APIKEY=EXAMPLE_KEY, CONTENT_LENGTH="9") as server:
        assert server.request("GET", "/roles")[0] == 401
        assert server.request("GET", "/roles", KEY)[0] == 200


# -- Stopping


def check_stopped(server, workers, database):
    """Check that the service ended well, with all its workers, and left the port and the database to others."""
    assert server.process.returncode == 0, server.log.read_text()
    assert not any(map(is_running, workers))
    assert listeners(server.port) == 0
    assert "Traceback" not in server.log.read_text()
    check_file(database)


def test_requests_under_way_are_answered_when_the_service_is_told_to_stop(server, database):
    workers = server.workers()
    bodies = [{"id": f"ent-{number}", "schemaId": "schema-apparel", "values": {}} for number in range(6)]
    with (
        closing(sqlite3.connect(database, isolation_level=None)) as other,
        server.connect() as idle,
        ThreadPoolExecutor(len(bodies)) as pool,
    ):
        idle.request("GET", "/healthz")
        assert idle.getresponse().read()
        other.execute("BEGIN IMMEDIATE")
        answers = [pool.submit(server.call, "POST", "/records", body, server.authorization) for body in bodies]
        time.sleep(0.5)  # by now each worker waits for the lock, and the other requests wait for the workers
        server.process.terminate()
        assert wait_until(lambda: listeners(server.port) == 0)
        assert server.process.poll() is None
        other.execute("ROLLBACK")
        assert [answer.result()[0] for answer in answers] == [201] * len(bodies)
    server.process.wait(SOON)
    check_stopped(server, workers, database)
    with closing(sqlite3.connect(database)) as db:
        assert {body["id"] for body in bodies} <= {id for (id,) in db.execute("SELECT id FROM entities")}


def test_half_a_request_does_not_keep_the_service_from_stopping(server, database):
    workers = server.workers()
    with connect(server) as client:
        client.sendall(HALF_A_REQUEST)
        time.sleep(0.5)
        server.process.terminate()
        server.process.wait(STOP_TIMEOUT + SOON)
    check_stopped(server, workers, database)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGHUP])  # by Ctrl-C, and by a terminal that is closed
def test_what_reaches_all_processes_at_once_ends_them_at_once(server, database, sent):
    workers = server.workers()
    os.killpg(server.process.pid, sent)
    server.process.wait(SOON)
    check_stopped(server, workers, database)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("line", "lives_on"), [("flask serve", False), ("nohup flask serve", True), ("flask start", True)])
def test_a_closed_terminal_ends_what_runs_in_it_and_not_what_was_started_to_outlive_it(database, shell, line, lives_on):
    ours, theirs = pty.openpty()
    command = [*CONTROLLED, program(shell, "this test"), *SHELLS[shell]]
    settings = environment(database, PORT="0", WORKERS="2", TERM="xterm", FLASK_APP=f"{ROOT}/app.py")
    settings["PATH"] = f"{Path(FLASK).parent}:{settings['PATH']}"
    options = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "cwd": database.parent, "env": settings}
    with subprocess.Popen(command, start_new_session=True, **options) as terminal:
        os.close(theirs)
        os.write(ours, f"{line}\n".encode())
        try:
            assert wait_until(lambda: flask(database, "status").returncode == 0, START_TIMEOUT)
            time.sleep(1)  # for the shell, which may have more to do
            os.close(ours)
            terminal.wait(SOON)
            if lives_on:
                time.sleep(3)
                assert flask(database, "status").returncode == 0
            else:
                assert wait_until(lambda: not is_registered(str(database)), STOP_TIMEOUT + SOON)
        finally:
            flask(database, "stop")
            terminal.kill()


def test_a_service_that_is_told_to_stop_while_it_starts_stops(database):
    with starting(database, WORKERS="2") as server:
        assert wait_until(lambda: len(server.workers()) == 2, START_TIMEOUT)
        workers = server.workers()
        server.process.terminate()
        server.process.wait(STOP_TIMEOUT + SOON)
    check_stopped(server, workers, database)


# -- A process that does not go on


def test_a_worker_that_is_killed_is_replaced_while_the_other_goes_on(server):
    made, headers = server.make_key("read")
    killed, kept = server.workers()
    os.kill(killed, signal.SIGKILL)
    assert wait_until(lambda: not is_running(killed))
    for _ in range(20):
        with suppress(ConnectionError):  # one that was waiting for the worker that is gone
            assert server.request("GET", "/roles", headers)[0] == 200
    assert wait_until(lambda: listeners(server.port) == 2, START_TIMEOUT)
    assert kept in server.workers()
    assert killed not in server.workers()
    server.manage("POST", f"/api-keys/{made['id']}/deactivate")
    assert [server.request("GET", "/roles", headers)[0] for _ in range(40)] == [401] * 40


@pytest.mark.parametrize("sent", [b"", HALF_A_REQUEST], ids=["idle", "with half a request"])
def test_workers_whose_main_process_is_killed_stop_and_leave_the_port_to_the_next(server, database, sent):
    workers = server.workers()
    with connect(server) as client:
        client.sendall(sent)
        time.sleep(0.5)
        server.process.kill()
        server.process.wait()
        assert wait_until(lambda: not any(map(is_running, workers)), STOP_TIMEOUT + SOON)
    assert listeners(server.port) == 0
    check_file(database)


def test_half_a_request_costs_one_worker_ten_seconds_and_is_not_carried_out(server):
    before = server.workers()
    with connect(server) as client:
        begun = time.monotonic()
        client.sendall(beginning(len(BODY) + 1) + BODY)  # whole JSON, though not a whole body
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""
        assert CLIENT_TIMEOUT <= time.monotonic() - begun < CLIENT_TIMEOUT + SOON
    assert wait_until(lambda: len(set(server.workers()) & set(before)) == 1, SOON)  # the other one goes on
    assert wait_until(lambda: listeners(server.port) == 2, START_TIMEOUT)
    assert "kept this worker waiting for its client for 10 seconds: this worker ends" in server.log.read_text()
    assert server.request("GET", "/records/ent-slow", KEY)[0] == 404


def test_a_body_that_comes_slowly_is_carried_out_and_one_that_is_too_short_is_not(server):
    with connect(server) as client:
        client.sendall(beginning(len(BODY) + 1) + BODY)
        client.shutdown(socket.SHUT_WR)
        client.recv(65536)
    assert wait_until(lambda: " POST /api/v1/records 400 " in server.log.read_text())
    assert server.request("GET", "/records/ent-slow", KEY)[0] == 404
    with connect(server) as client:
        client.sendall(beginning(len(BODY)))
        for start in range(0, len(BODY), 16):
            time.sleep(CLIENT_TIMEOUT / 6)
            client.sendall(BODY[start : start + 16])
        assert client.recv(65536).startswith(b"HTTP/1.1 201 ")
