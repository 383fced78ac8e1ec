"""Many times: kill -9 in the middle of writing, start again, and find every write that was acknowledged, and what it sends."""

import http.client
import itertools
import json
import os
import random
import sqlite3
import threading
import time
from contextlib import closing

import pytest
from conftest import Caller
from processes import check_file, serving

ROUNDS, WRITERS = int(os.environ.get("KILLS", "20")), 4
LATEST = 300  # changes that are held against what they send; of older deliveries the service may keep none
EVENTS = ("entity.created", "entity.updated", "entity.deleted")


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


def check_outbox(database):
    """Check that each of the latest changes has its delivery, and each of the latest deliveries its change, in one order."""
    history = (
        "SELECT json_extract(body, '$.entityId'), json_extract(body, '$.action') || 'd', json_extract(body, '$.timestamp')"
        " FROM audit_log WHERE json_extract(body, '$.entityId') GLOB 'e[0-9]*' ORDER BY seq DESC LIMIT ?"
    )
    outbox = (
        "SELECT json_extract(body, '$.entityId'), substr(event, 8), json_extract(body, '$.timestamp')"
        " FROM deliveries ORDER BY seq DESC LIMIT ?"
    )
    with closing(sqlite3.connect(database)) as db:
        changes, deliveries = (db.execute(query, (LATEST,)).fetchall() for query in (history, outbox))
    assert deliveries == changes
    return len(changes)


@pytest.fixture
def headers(app, tokens):
    return {"Authorization": f"Bearer {tokens['admin@sigma.io']}"}


def test_what_was_acknowledged_survives_kill_9(app, headers):
    database, chance, promises, kept = app.config["DATABASE"], random.Random(9), {}, {}
    webhook = {"name": "All", "url": "http://127.0.0.1:9/", "events": list(EVENTS)}
    assert Caller(app, headers).post("/webhooks", webhook).status_code == 201
    for number in range(ROUNDS):
        with serving(database, WORKERS="2") as server:
            check_file(database)  # only now: it is the service that has to mend what the kill left
            check_outbox(database)
            check_promises(server, headers, promises)
            promises = write_until_killed(server, headers, number, delay=chance.uniform(0, 0.3))
            kept |= promises
    with serving(database, WORKERS="2") as server:
        check_file(database)
        assert check_outbox(database) >= min(LATEST, ROUNDS * WRITERS)
        check_promises(server, headers, kept)
