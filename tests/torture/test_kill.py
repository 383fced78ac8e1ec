"""Twenty times: kill -9 in the middle of writing, start again, and find every write that was acknowledged."""

import http.client
import itertools
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

import app as service

ROOT = Path(service.__file__).parent
ROUNDS, WRITERS = 20, 4


class Server:
    """The service as it is deployed: several processes on one database."""

    def __init__(self, database):
        with closing(socket.socket()) as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        settings = {"SIGMA_DATABASE": str(database), "HOST": "127.0.0.1", "PORT": str(self.port), "WORKERS": "2"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", "app", "serve"],
            **{"cwd": ROOT, "env": {**os.environ, **settings}, "start_new_session": True},  # a group of its own, to be killed
            **{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL},
        )
        self.wait_until_ready()

    def wait_until_ready(self):
        until = time.monotonic() + 60
        while True:
            with suppress(OSError, http.client.HTTPException):
                if self.request("GET", "/healthz", {})[0] == 200:
                    return
            assert self.process.poll() is None, "the server ended"
            assert time.monotonic() < until, "the server does not answer"
            time.sleep(0.02)

    def request(self, method, path, headers, body=None):
        """Send a request on a connection of its own; answer the status and the body."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            data = None if body is None else json.dumps(body)
            connection.request(method, f"/api/v1{path}", data, {**headers, "Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None

    def kill(self):
        """End every process at once, without a chance to finish anything."""
        if self.process.returncode is None:  # afterwards, its number may be another's
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def serving(database):
    server = Server(database)
    try:
        yield server
    finally:
        server.kill()


def steps(server, headers, prefix):
    """Write one thing after another; yield each acknowledgement: the path, and how it is to be answered from then on."""
    for number in itertools.count():
        path = f"/records/{prefix}-{number}"
        body = {"id": path.rpartition("/")[2], "schemaId": "schema-apparel", "values": {"size": [{"scope": {}, "value": "S"}]}}
        status, record = server.request("POST", "/records", headers, body)
        assert status == 201, record
        yield path, (200, record)
        status, record = server.request("PATCH", f"{path}/values/size", headers, {"value": f"size {number}"})
        assert status == 200, record
        yield path, (200, record)
        if number % 3 == 0:
            status, _ = server.request("DELETE", path, headers)
            assert status == 204
            yield path, (404, {"error": "NOT_FOUND", "message": f"Record '{path.rpartition('/')[2]}' not found"})
        status, made = server.request("POST", "/api-keys", headers, {"name": path, "permissions": ["read"]})
        assert status == 201, made
        yield made["rawKey"], True
        if number % 2 == 0:
            status, answer = server.request("POST", f"/api-keys/{made['id']}/deactivate", headers)
            assert (status, answer["active"]) == (200, False)
            yield made["rawKey"], False


def write(server, headers, prefix, promises, problems):
    """Write until the server is gone, keeping what it promised; what was under way then may or may not have happened."""
    last = None
    try:
        for name, promise in steps(server, headers, prefix):
            promises[name], last = promise, name
    except (OSError, http.client.HTTPException, json.JSONDecodeError):
        # The next step would have changed the last thing, or made another.
        if last is not None:
            promises.pop(last)
    except AssertionError as problem:
        problems.append(problem)


def write_until_killed(server, headers, number, delay):
    """Write from several threads at once until the server is killed; answer what was promised."""
    promises, problems = {}, []
    threads = [
        threading.Thread(target=write, args=(server, headers, f"e{number}-{writer}", promises, problems))
        for writer in range(WRITERS)
    ]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 20
    while len(promises) < 3 * WRITERS and time.monotonic() < until:
        time.sleep(0.005)
    time.sleep(delay)  # the moment of the blow is the point
    server.kill()
    for thread in threads:
        thread.join(30)
    assert problems == []
    assert len(promises) > WRITERS
    return promises


def check_promises(server, headers, promises):
    """Check that everything that was promised is so."""
    for name, promise in promises.items():
        if name.startswith("/records/"):
            assert server.request("GET", name, headers) == promise
        else:
            status, answer = server.request("GET", "/catalogs", {"X-Sigma-ApiKey": name})
            assert status == (200 if promise else 401), answer
            assert promise or "deactivated" in answer["message"]


def check_file(database):
    """Check that the file is whole, and agrees with itself."""
    with closing(sqlite3.connect(database)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        counted, stored = "SELECT sum(total) FROM entity_counts", "SELECT count(*) FROM entities"
        assert db.execute(counted).fetchone() == db.execute(stored).fetchone()


@pytest.fixture
def headers(app, tokens):
    return {"Authorization": f"Bearer {tokens['admin@sigma.io']}"}


def test_what_was_acknowledged_survives_kill_9(app, headers):
    database, chance, promises, kept = app.config["DATABASE"], random.Random(9), {}, {}
    for number in range(ROUNDS):
        with serving(database) as server:
            check_file(database)  # only now: it is the service that has to mend what the kill left
            check_promises(server, headers, promises)
            promises = write_until_killed(server, headers, number, delay=chance.uniform(0, 0.3))
            kept |= promises
    with serving(database) as server:
        check_file(database)
        check_promises(server, headers, kept)
