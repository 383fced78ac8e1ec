"""Deliveries of the service as it is run: through kill -9, while it stops, side by side, and how many there can be."""

import http.client
import json
import os
import random
import socket
import sqlite3
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from processes import check_file, peak_of, reset_peak, send, serving, starting, wait_until

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from receivers import receiving

KILLS, WRITERS = 40, 3
RECORD = {"schemaId": "schema-apparel", "values": {"size": [{"scope": {}, "value": "S"}]}}
EVENTS = ["entity.created", "entity.updated"]
# The service with leases that end soon, so that those of killed processes need not be waited for each time.
SHORT_LEASES = (
    "import sys; from sigma.resources import sending; sending.LEASE = 1.0; from flask.cli import main;"
    " sys.argv = ['flask', '--app', 'app', 'serve']; main()"
)


@pytest.fixture
def token(tokens):
    return tokens["admin@sigma.io"]


def subscribe(server, receiver, id="wh-one", **more):
    server.manage("POST", "/webhooks", {"id": id, "name": "One", "url": receiver.url, "events": EVENTS, **more})


def states(database):
    """Count the deliveries in each state."""
    with closing(sqlite3.connect(database)) as db:
        return Counter(state for (state,) in db.execute("SELECT state FROM deliveries"))


def write_until_killed(server, number, delay):
    """Write from several threads at once, then kill all processes; return the records that were acknowledged."""
    made, begun = [], threading.Event()

    def write(writer):
        try:
            with server.connect() as connection:
                for count in range(10**6):
                    id = f"ent-{number}-{writer}-{count}"
                    status, _, _ = send(connection, "POST", "/records", {"id": id, **RECORD}, server.authorization)
                    assert status == 201
                    made.append(id)
                    begun.set()
        except (OSError, http.client.HTTPException, json.JSONDecodeError):
            return

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    begun.wait(20)
    time.sleep(delay)  # the moment of the blow is the point
    server.kill()
    for thread in threads:
        thread.join(30)
    return made


def test_through_kill_9_each_delivery_comes_at_least_once_in_order_and_none_is_lost(app, token, capsys):
    database, chance, made = app.config["DATABASE"], random.Random(15), []
    command = (sys.executable, "-c", SHORT_LEASES)
    with receiving() as first, receiving() as second:
        for number in range(KILLS):
            with starting(database, token=token, command=command, WORKERS="2", SIGMA_REQUEST_LOG="0") as server:
                server.wait_until_ready()
                check_file(database)
                if not number:
                    subscribe(server, first)
                    subscribe(server, second, "wh-two")
                made += write_until_killed(server, number, chance.uniform(0, 0.4))
        with starting(database, token=token, command=command, WORKERS="2") as server:
            server.wait_until_ready()
            assert wait_until(lambda: not states(database)["pending"], 60)
        with closing(sqlite3.connect(database)) as db:
            order = [
                id for (id,) in db.execute("SELECT id FROM entities WHERE id LIKE 'ent-%-%-%' AND is_variant = 0 ORDER BY seq")
            ]
        order = [id for id in order if id[4].isdecimal()]
        assert states(database)["failed"] == 0
        assert set(made) <= set(order)
        for receiver in (first, second):
            came = [json.loads(request.body)["entityId"] for request in receiver.requests]
            assert list(dict.fromkeys(came)) == order
            assert len(set(receiver.ids)) == len(order)
        twice = sum(len(receiver.ids) - len(set(receiver.ids)) for receiver in (first, second))
    with capsys.disabled():
        sys.stdout.write(f"\n{2 * len(order)} deliveries through {KILLS} kills of two workers: {twice} came twice\n")


def test_large_deliveries_to_receivers_that_take_nothing_cost_bounded_memory(app, token):
    database = app.config["DATABASE"]
    large = {"material": [{"scope": {}, "value": "x" * 6_000_000}]}
    with closing(sqlite3.connect(database)) as db, db:
        sql = "UPDATE entities SET body = json_set(body, '$.values', json(?)) WHERE tenant = 'ws-demo' AND id = 'ent-trail-cap'"
        db.execute(sql, (json.dumps(large),))
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener, serving(database, token=token, WORKERS="1") as server:
        (worker,) = server.workers()
        for number in range(40):
            hook = {
                "id": f"wh-{number}",
                "name": "One",
                "url": f"http://127.0.0.1:{listener.getsockname()[1]}/",
                "events": EVENTS,
            }
            server.manage("POST", "/webhooks", hook)
        before = reset_peak(worker)
        change = {"values": {"size": [{"value": "S"}]}}
        with server.connect(60) as connection:
            assert send(connection, "PUT", "/records/ent-trail-cap", change, server.authorization)[0] == 200
        time.sleep(8)  # in which all senders have begun with what they may
        assert states(database)["pending"] == 40
        assert peak_of(worker) - before < 400
        assert server.workers() == [worker]


def test_while_workers_are_killed_one_by_one_the_others_go_on_with_what_they_sent(app, token):
    """A worker that is killed within seconds after its start would end the service, so here are fewer kills."""
    database = app.config["DATABASE"]
    command = (sys.executable, "-c", SHORT_LEASES)
    with receiving() as receiver, starting(database, token=token, command=command, WORKERS="2") as server:
        server.wait_until_ready()
        subscribe(server, receiver)
        made = []
        for number in range(4):
            for count in range(30):
                id = f"ent-{number}-{count}"
                status = 0
                while status not in (201, 409):  # a connection may be that of the worker that is killed
                    try:
                        status = server.request("POST", "/records", server.authorization, {"id": id, **RECORD})[0]
                    except (OSError, http.client.HTTPException):
                        time.sleep(0.05)
                made.append(id)
                if count == 15:
                    os.kill(server.workers()[0], 9)
            time.sleep(5)
        assert wait_until(lambda: not states(database)["pending"], 30)
        came = [json.loads(request.body)["entityId"] for request in receiver.requests]
        assert list(dict.fromkeys(came)) == made


@pytest.mark.parametrize("workers", ["1", "2"])
def test_two_hundred_deliveries_a_second(app, token, workers, capsys):
    with receiving() as receiver, serving(app.config["DATABASE"], token=token, WORKERS=workers) as server:
        subscribe(server, receiver, secret="s")
        began, count = time.monotonic(), 1000
        with server.connect() as connection:
            for _ in range(count):
                assert send(connection, "POST", "/records", RECORD, server.authorization)[0] == 201
        assert wait_until(lambda: len(receiver.requests) == count, 30)
        rate = count / (time.monotonic() - began)
    with capsys.disabled():
        sys.stdout.write(f"\n{rate:.0f} records a second were written and delivered by {workers} workers\n")
    assert rate > 200


def test_a_receiver_may_call_back_before_it_answers(app, token):
    answers = []

    def call_back(connection):
        id = json.loads(receiver.requests[-1].body)["entityId"]
        answers.append(server.request("GET", f"/records/{id}", server.authorization)[0])
        body = {"value": "L"}
        answers.append(server.request("PATCH", f"/records/{id}/values/size", server.authorization, body)[0])
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with receiving(call_back, 200) as receiver, serving(app.config["DATABASE"], token=token, WORKERS="1") as server:
        subscribe(server, receiver)
        server.manage("POST", "/records", RECORD)
        assert wait_until(lambda: len(receiver.requests) == 2, 5)
    assert answers == [200, 200]
    assert [json.loads(request.body)["event"] for request in receiver.requests] == EVENTS


def test_a_receiver_may_call_back_during_a_run(app, token):
    def call_back(connection):
        assert server.request("GET", "/records/ent-run", server.authorization)[0] == 200
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with receiving(500, call_back, 200) as receiver, serving(app.config["DATABASE"], token=token, WORKERS="1") as server:
        subscribe(server, receiver)
        server.manage("POST", "/records", {"id": "ent-run", **RECORD})
        assert wait_until(lambda: states(app.config["DATABASE"])["pending"] and len(receiver.requests) == 1, 5)
        began = time.monotonic()
        with server.connect() as connection:
            connection.request("POST", "/standin/deliveries/run?workspace=ws-demo")
            told = json.loads(connection.getresponse().read())
        assert time.monotonic() - began < 3
    assert (told["delivered"], told["pending"], told["failed"]) == (1, 0, 0)


def test_slow_receivers_hold_up_no_other_and_no_client(app, token):
    over = threading.Event()
    with receiving(lambda connection: over.wait(20)) as slow, receiving() as quick:
        with serving(app.config["DATABASE"], token=token, WORKERS="1") as server:
            for number in range(10):
                subscribe(server, slow, f"wh-slow-{number}")
            subscribe(server, quick)
            server.manage("POST", "/records", RECORD)
            assert wait_until(lambda: len(slow.requests) == 10, 3)
            for _ in range(50):
                began = time.monotonic()
                server.manage("POST", "/records", RECORD)
                assert time.monotonic() - began < 1
            assert wait_until(lambda: len(quick.requests) == 51, 3)
        over.set()


def test_stopping_waits_five_seconds_at_most_and_what_is_interrupted_is_sent_again(app, token):
    database, over = app.config["DATABASE"], threading.Event()
    with receiving(lambda connection: over.wait(30), 200) as receiver:
        with serving(database, token=token, WORKERS="2") as server:
            subscribe(server, receiver)
            server.manage("POST", "/records", RECORD)
            assert wait_until(lambda: receiver.requests)
            began = time.monotonic()
            server.process.terminate()
            assert server.process.wait(20) == 0
            assert time.monotonic() - began < 6
        over.set()
        assert states(database) == {"pending": 1}
        with serving(
            database, token=token, WORKERS="2"
        ):  # the attempt failed for want of an answer, and 10 s later it comes again
            assert wait_until(lambda: states(database)["delivered"], 25)
    assert len(set(receiver.ids)) == 1


def test_stopping_waits_for_an_answer_that_comes(app, token):
    database = app.config["DATABASE"]

    def late(connection):
        time.sleep(1.5)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with receiving(late) as receiver, serving(database, token=token, WORKERS="1") as server:
        subscribe(server, receiver)
        server.manage("POST", "/records", RECORD)
        assert wait_until(lambda: receiver.requests)
        server.process.terminate()
        assert server.process.wait(20) == 0
    assert states(database) == {"delivered": 1}
    assert len(receiver.requests) == 1


def test_looking_for_what_waits_costs_next_to_nothing(app, token):
    """Of a second a worker with nothing to send uses less than a hundredth for it."""

    def used(pid):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    with receiving() as receiver, serving(app.config["DATABASE"], token=token, WORKERS="1") as server:
        for number in range(40):
            subscribe(server, receiver, f"wh-{number}")
        (pid,) = server.workers()
        before = used(pid)
        time.sleep(10)
        assert used(pid) - before < 0.1
