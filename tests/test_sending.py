"""Sending: what a receiver gets, in which order, when it is tried again, and what is kept of it. The clock is the test's."""

import gc
import hashlib
import hmac
import itertools
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cases import each
from conftest import sql, store_delivery
from receivers import receiving

from sigma import database
from sigma.http.waiting import Places
from sigma.resources import sender, sending, webhook_calls

RECORD = {"schemaId": "schema-apparel", "values": {"product-name": [{"scope": {}, "value": "Regnfrakke 🧥"}]}}
SECRET = "a secret of the receiver's, with an æ"


class Clock:
    """A clock that goes only when a test moves it."""

    def __init__(self):
        self.now = float(int(time.time()))

    def __call__(self):
        return self.now

    def told(self, seconds=0):
        """How the API writes the time in so many seconds."""
        return f"{datetime.fromtimestamp(self.now + seconds, UTC):%Y-%m-%dT%H:%M:%S}.000Z"


@pytest.fixture
def clock(monkeypatch):
    """Return the clock of all that is sent; it stands still."""
    clock = Clock()
    monkeypatch.setattr(sending, "clock", clock)
    return clock


@pytest.fixture
def change(admin):
    """Return a function that makes records, and with each what is sent."""
    numbers = itertools.count()

    def make(count=1):
        for _ in range(count):
            assert admin.post("/records", {"id": f"ent-new-{next(numbers)}", **RECORD}).status_code == 201

    return make


@pytest.fixture
def send(app):
    """Return a function that sends what is due of a webhook, as the service's senders do."""

    def due(id="wh-one", is_stopping=lambda: False):
        with app.app_context():
            return sending.send_waiting("ws-demo", id, is_stopping)

    return due


@pytest.fixture
def deliveries(standin, admin):
    """Return a function that returns the deliveries, oldest first."""

    def read(**query):
        answer = standin("GET", "/deliveries", query_string=query, headers=admin.headers)
        assert answer.status_code == 200, answer.text
        return answer.json["items"][::-1]

    return read


# What is sent


def test_a_receiver_gets_the_bytes_of_the_moment_of_the_change(app, admin, subscribe, change, send, receiver):
    subscribe(receiver)
    change()
    ((body,),) = sql(app, "SELECT body FROM deliveries")
    assert admin.patch("/records/ent-new-0/values/product-name", {"value": "Something else"}).status_code == 200
    assert send() == 1
    (request,) = receiver.requests
    assert request.body == body.encode()
    told = json.loads(request.body)
    assert told["data"]["values"] == RECORD["values"]
    assert request.path == "/hook"
    assert request.headers == {
        **{"host": receiver.url.split("/")[2], "accept-encoding": "identity", "user-agent": "Sigma-PIM-embedded"},
        **{"content-type": "application/json", "content-length": str(len(request.body))},
        **{"x-sigma-event": "entity.created", "x-sigma-delivery": told["deliveryId"]},
    }


def test_what_was_sent_leaves_nothing_in_memory(app, subscribe, send, receiver):
    subscribe(receiver)

    def blocks_after(count):
        for number in range(count):
            store_delivery(app, f"dlv-{count}-{number}", "wh-one")
        assert send() == count
        receiver.requests.clear()
        gc.collect()
        return sys.getallocatedblocks()

    few = blocks_after(100)
    assert blocks_after(500) < few + 150


def test_with_a_secret_what_is_sent_is_signed(subscribe, change, send, receiver):
    subscribe(receiver, secret=SECRET)
    change()
    send()
    (request,) = receiver.requests
    expected = hmac.new(SECRET.encode(), request.body, hashlib.sha256).hexdigest()
    assert request.headers["x-sigma-signature"] == expected == expected.lower()


def test_signatures_are_those_that_rfc_4231_lists():
    signature = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert webhook_calls.sign("Jefe", b"what do ya want for nothing?") == signature


def test_a_new_url_and_a_new_secret_count_for_what_waits(admin, subscribe, change, send, receiver):
    with receiving() as other:
        subscribe(other, secret=SECRET)
        change()
        webhook = {"name": "One", "url": f"{receiver.url}?a=b%20c", "events": ["entity.created"], "secret": "new"}
        assert admin.put("/webhooks/wh-one", webhook).status_code == 200
        send()
        assert other.requests == []
    (request,) = receiver.requests
    assert request.path == "/hook?a=b%20c"
    assert request.headers["x-sigma-signature"] == webhook_calls.sign("new", request.body)


def recipes(language):
    """Return the examples in a language in the document for those who receive webhooks."""
    text = (Path(__file__).parent.parent / "docs/webhooks.md").read_text(encoding="utf-8")
    return [block.partition("```")[0] for block in text.split(f"```{language}\n")[1:]]


def check_recipe(command, source, request, folder):
    """Run a recipe on a delivery, on the same with another body, and on one with another signature."""
    (folder / "recipe").write_text(source, encoding="utf-8")
    signature = request.headers["x-sigma-signature"]
    other = "0" if signature[0] != "0" else "1"
    for body, given, expected in (
        (request.body, signature, "true"),
        (request.body + b" ", signature, "false"),
        (request.body, other + signature[1:], "false"),
        (request.body, signature[:-1], "false"),
        (request.body, "", "false"),
        (request.body, "æ" * 32, "false"),
    ):
        environment = {**os.environ, "SIGNATURE": given, "SECRET": SECRET, "PYTHONIOENCODING": "utf-8"}
        result = subprocess.run(command, input=body, env=environment, cwd=folder, capture_output=True, check=False)
        assert result.stdout.decode().strip() == expected, result.stderr.decode()


def test_the_recipe_in_python_verifies_what_is_sent(subscribe, change, send, receiver, tmp_path):
    (source,) = (recipe for recipe in recipes("python") if "hmac" in recipe)
    subscribe(receiver, secret=SECRET)
    change()
    send()
    use = (
        "\nimport os, sys\nbody = sys.stdin.buffer.read()\n"
        "print(str(is_genuine(body, os.environ['SIGNATURE'], os.environ['SECRET'])).lower())\n"
    )
    check_recipe([sys.executable, "recipe"], source + use, receiver.requests[0], tmp_path)


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node")
def test_the_recipe_in_node_verifies_what_is_sent(subscribe, change, send, receiver, tmp_path):
    (source,) = (recipe for recipe in recipes("js") if "createHmac" in recipe)
    subscribe(receiver, secret=SECRET)
    change()
    send()
    use = (
        "\nconst parts = []; for await (const part of process.stdin) parts.push(part)\n"
        "console.log(isGenuine(Buffer.concat(parts), process.env.SIGNATURE, process.env.SECRET))\n"
    )
    check_recipe(["node", "--input-type=module", "-e", source + use], "", receiver.requests[0], tmp_path)


# Order, and trying again


def test_deliveries_come_in_the_order_of_the_changes_on_one_connection(subscribe, change, send, receiver):
    subscribe(receiver)
    change(20)
    assert send() == 20
    assert [json.loads(request.body)["entityId"] for request in receiver.requests] == [f"ent-new-{n}" for n in range(20)]
    assert receiver.connections == 1


def test_what_fails_is_tried_again_after_10_60_and_300_seconds_and_then_given_up(clock, subscribe, change, send, deliveries):
    with receiving(500, 404, 302, 199) as receiver:
        subscribe(receiver)
        change()
        states, times = [], [clock.told(seconds) for seconds in (0, 10, 70, 370)]
        for wait in (10, 60, 300, None):
            assert send() == 1
            (delivery,) = deliveries()
            states.append((delivery["state"], delivery["nextAt"]))
            if wait is not None:
                clock.now += wait - 0.001
                assert send() == 0
                clock.now += 0.001
        clock.now += 10**6
        assert send() == 0
    assert states == [*(("pending", time) for time in times[1:]), ("failed", None)]
    assert len({request.body for request in receiver.requests}) == len(set(receiver.ids)) == 1
    assert [(attempt["status"], attempt["error"]) for attempt in delivery["attempts"]] == [
        (500, "Expected a status from 200 to 299, got 500"),
        (404, "Expected a status from 200 to 299, got 404"),
        (302, "Expected a status from 200 to 299, got 302; redirects are not followed"),
        (199, "Expected a status from 200 to 299, got 199"),
    ]
    assert [attempt["at"] for attempt in delivery["attempts"]] == times


def test_what_failed_holds_nothing_back_and_comes_first_when_it_is_due(clock, subscribe, change, send):
    with receiving(500, 200) as receiver:
        subscribe(receiver)
        change(3)
        assert send() == 3
        clock.now += 9
        change(1)
        assert send() == 1
        clock.now += 1
        change(1)
        assert send() == 2
    first, second, third, fourth, again, fifth = receiver.ids
    assert again == first
    assert len({first, second, third, fourth, fifth}) == 5


@each("status", [200, 201, 204, 299])
def test_each_status_from_200_to_299_is_good(subscribe, change, send, deliveries, status):
    with receiving(status) as receiver:
        subscribe(receiver)
        change()
        send()
    (delivery,) = deliveries()
    assert (delivery["state"], delivery["nextAt"]) == ("delivered", None)
    (attempt,) = delivery["attempts"]
    assert (attempt["status"], attempt["error"]) == (status, None)
    assert 0 < attempt["ms"] < 5000


def test_a_clock_that_steps_back_stops_nothing(app, clock, subscribe, change, send):
    with receiving(500, 200) as receiver:
        subscribe(receiver)
        change()
        send()
        sql(app, "UPDATE webhooks SET lease = 'of a sender that died', leased_until = ?", clock.now + sending.LEASE)
        clock.now -= 3600
        change()
        assert send() == 2
    assert len(receiver.requests) == 3


# How much at a time


@pytest.fixture
def room(monkeypatch):
    """Give what is sent at a time room for 2,000 bytes, 1,500 of them for one workspace, and no time to wait for it."""
    room = Places(2000, 1500)
    monkeypatch.setattr(sending, "_sent", room)
    monkeypatch.setattr(sending, "ROOM_TIMEOUT", 0)
    return room


def test_what_would_be_too_much_at_a_time_waits_and_counts_as_no_attempt(
    app, subscribe, change, send, receiver, room, deliveries
):
    subscribe(receiver)
    change(2)
    room.take("ws-other", 1999)
    assert send() == 0
    assert [(delivery["state"], delivery["attempts"]) for delivery in deliveries()] == [("pending", [])] * 2
    assert sql(app, "SELECT lease FROM webhooks WHERE id = 'wh-one'") == [(None,)]
    room.give_back("ws-other", 1999)
    assert send() == 2
    assert len(receiver.requests) == 2
    assert room.take("ws-demo", 1500)  # nothing is kept


def test_a_sender_waits_for_a_while_until_there_is_room(subscribe, change, send, receiver, room, monkeypatch):
    monkeypatch.setattr(sending, "ROOM_TIMEOUT", 30)
    subscribe(receiver)
    change()
    room.take("ws-demo", 1500)
    assert send(is_stopping=iter([False, False, True]).__next__) == 0
    threading.Timer(0.3, room.give_back, ("ws-demo", 1500)).start()
    assert send() == 1


def test_while_it_is_sent_a_body_counts_and_one_that_is_too_large_is_sent_alone(app, subscribe, change, send, room):
    sizes = []

    def count(connection):
        sizes.append(room.taken["ws-demo"])
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with receiving(count) as receiver:
        subscribe(receiver)
        change(2)
        sql(app, "UPDATE deliveries SET body = json_set(body, '$.more', ?) WHERE seq = 2", "æ" * 5000)
        assert send() == 2
    assert sizes == [len(body.encode()) for (body,) in sql(app, "SELECT body FROM deliveries ORDER BY seq")]
    assert sizes[1] > 10_000


# The lease


def test_one_sender_sends_for_a_webhook_and_a_dead_one_keeps_it_for_less_than_a_minute(
    app, clock, subscribe, change, send, receiver
):
    subscribe(receiver)
    change()
    sql(app, "UPDATE webhooks SET lease = 'of a sender that died', leased_until = ?", clock.now + sending.LEASE)
    assert send() == 0
    clock.now += sending.LEASE
    assert sending.LEASE < 60
    assert send() == 1
    assert sql(app, "SELECT lease FROM webhooks WHERE id = 'wh-one'") == [(None,)]


def test_a_lease_that_was_renewed_while_another_sender_waited_to_write_is_not_taken(
    app, clock, subscribe, change, send, receiver
):
    """The clock of whoever renewed it is a little ahead of that of whoever looks at it; it did not step back."""
    subscribe(receiver)
    change()
    sql(app, "UPDATE webhooks SET lease = 'of another', leased_until = ?", clock.now + sending.LEASE + 0.5)
    assert send() == 0


def test_a_lease_outlasts_all_that_its_sender_may_wait_for(app, clock, subscribe, change, send, monkeypatch):
    transaction, left = sending.transaction, []

    def wait_for_others():
        clock.now += sending.LOCK_TIMEOUT
        return transaction()

    def answer_late(connection):
        clock.now += sending.ROOM_TIMEOUT + webhook_calls.TIMEOUT
        ((until,),) = sql(app, "SELECT leased_until FROM webhooks WHERE id = 'wh-one'")
        left.append(until - clock.now)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    monkeypatch.setattr(sending, "transaction", wait_for_others)
    with receiving(answer_late) as receiver:
        subscribe(receiver)
        change(2)
        assert send() == 2
    assert min(left) > sending.LOCK_TIMEOUT
    assert sending.LEASE == 30  # as the docs say


def test_who_has_lost_the_lease_stops_and_leaves_it_to_the_other(app, subscribe, change, send):
    taken = []

    def lose(connection):
        sql(app, "UPDATE webhooks SET lease = 'another', leased_until = leased_until + 5")
        taken.append(sql(app, "SELECT lease, leased_until FROM webhooks WHERE id = 'wh-one'"))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with receiving(lose) as receiver:
        subscribe(receiver)
        change(2)
        assert send() == 1
    assert [sql(app, "SELECT lease, leased_until FROM webhooks WHERE id = 'wh-one'")] == taken
    assert sql(app, "SELECT state FROM deliveries ORDER BY seq") == [("delivered",), ("pending",)]


def test_nothing_is_locked_while_a_receiver_is_called_and_it_may_call_back(app, admin, subscribe, change, send):
    answers = []

    def call_back(connection):
        answers.append(admin.get("/records/ent-new-0").status_code)
        answers.append(admin.patch("/records/ent-new-0/values/product-name", {"value": "Seen"}).status_code)
        database.close_db()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with receiving(call_back) as receiver:
        subscribe(receiver)
        change()
        assert send() == 1
    assert answers == [200, 200]


def test_a_sender_that_is_stopped_makes_no_more_calls_and_gives_the_lease_back(app, subscribe, change, send, receiver):
    subscribe(receiver)
    change(3)
    assert send(is_stopping=lambda: len(receiver.requests) == 2) == 2
    ((lease, until),) = sql(app, "SELECT lease, leased_until FROM webhooks WHERE id = 'wh-one'")
    assert lease is None
    assert until <= time.time()
    assert send() == 1


@each(("table", "id"), [("webhooks", "wh-one"), ("workspaces", "ws-demo")])
def test_a_webhook_that_is_deleted_during_a_call_is_sent_no_more(app, subscribe, change, send, table, id):
    def delete(connection):
        with closing(database.connect(app.config["DATABASE"])) as db:
            db.execute(f"DELETE FROM {table} WHERE id = ?", (id,))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with receiving(delete) as receiver:
        subscribe(receiver)
        change(2)
        assert send() == 1
    assert len(receiver.requests) == 1
    assert sql(app, "SELECT * FROM deliveries") == sql(app, "SELECT * FROM delivery_attempts") == []


def test_what_waits_for_an_inactive_webhook_stays_until_it_is_active_again(
    admin, subscribe, change, send, receiver, deliveries
):
    subscribe(receiver)
    change(2)
    webhook = {"name": "One", "url": receiver.url, "events": ["entity.created"]}
    assert admin.put("/webhooks/wh-one", {**webhook, "active": False}).status_code == 200
    assert send() == 0
    assert [delivery["state"] for delivery in deliveries()] == ["pending", "pending"]
    change()  # of which nobody is told
    assert admin.put("/webhooks/wh-one", webhook).status_code == 200
    assert send() == 2


# What is kept


def test_what_is_older_than_seven_days_goes_but_not_what_waits(app, clock, subscribe, change, send, receiver):
    subscribe(receiver)
    week = 7 * 24 * 3600
    stored = [
        (week + 1, "failed", None),
        (week + 1, "pending", clock.now + 299),
        (week + 1, "delivered", None),
        (week - 1, "failed", None),
    ]
    for number, (age, *row) in enumerate(stored):
        store_delivery(app, f"dlv-{number}", "wh-one", clock.now - age)
        sql(app, "UPDATE deliveries SET state = ?, next_at = ? WHERE id = ?", *row, f"dlv-{number}")
    change()
    send()
    assert [id for (id,) in sql(app, "SELECT id FROM deliveries WHERE id LIKE 'dlv-_'")] == ["dlv-1", "dlv-3"]


def test_of_a_webhook_the_last_thousand_are_kept(app, clock, subscribe, change, send, receiver):
    subscribe(receiver)
    for id, state in (("wh-one", "delivered"), ("wh-sync-notify", "failed")):
        insert = (
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT 1200)"
            " INSERT INTO deliveries (tenant, id, webhook_id, event, body, made_at, state, next_at)"
            " SELECT 'ws-demo', ? || n, ?, 'entity.created', '{}', ?, ?, NULL FROM n"
        )
        sql(app, insert, id, id, clock.now, state)
    change()
    assert send() == 1
    counts = "SELECT webhook_id, count(*), min(seq) FROM deliveries GROUP BY webhook_id ORDER BY 1"
    assert sql(app, counts) == [("wh-one", 1001, 201), ("wh-sync-notify", 1200, 1201)]


def test_what_was_given_up_is_kept_however_much_waits(clock, monkeypatch, subscribe, change, send, deliveries):
    monkeypatch.setattr(sending, "MAX_WAITING", 5)
    monkeypatch.setattr(sending, "MAX_KEPT", 3)
    with receiving(500) as receiver:
        subscribe(receiver)
        change(8)
        for _ in range(3):
            send()
            clock.now += 1
    assert [delivery["state"] for delivery in deliveries()] == ["failed"] * 3 + ["pending"] * 5


def test_of_more_than_may_wait_the_oldest_fail_and_say_why(clock, monkeypatch, subscribe, change, send, deliveries):
    monkeypatch.setattr(sending, "MAX_WAITING", 3)
    with receiving(500) as receiver:
        subscribe(receiver)
        change(5)  # no write is refused
        assert send() == 3
        change(1)
        assert send() == 1
    came = [(delivery["state"], [attempt["status"] for attempt in delivery["attempts"]]) for delivery in deliveries()]
    assert came == [*[("failed", [None])] * 2, ("failed", [500, None]), *[("pending", [500])] * 3]
    last = deliveries()[2]["attempts"][-1]
    assert last == {"at": clock.told(), "status": None, "ms": 0, "error": "Given up: more than 3 were waiting"}


# The senders of a worker


@pytest.fixture
def running(app):
    """Return the senders of the app, which run until the test ends."""
    running = app.extensions["sender"] = sender.Sender(app)
    running.dispatcher.start()
    yield running
    running.stop()
    running.dispatcher.join(10)
    del app.extensions["sender"]
    assert not running.dispatcher.is_alive()


def wait_for(is_so, seconds=5):
    """Wait until something is so."""
    waited = threading.Event()
    for _ in range(int(seconds / 0.005)):
        if is_so():
            return
        waited.wait(0.005)
    raise AssertionError


def test_a_write_is_sent_at_once(running, subscribe, change, receiver, monkeypatch):
    monkeypatch.setattr(sender, "POLL_INTERVAL", 60)
    subscribe(receiver)
    change()
    wait_for(lambda: receiver.requests)


def test_when_it_has_stopped_its_threads_end_and_leave_nothing_open(running, subscribe, change, receiver):
    subscribe(receiver)
    change()
    wait_for(lambda: receiver.requests)
    running.stop()
    assert running.threads
    for thread in running.threads:
        thread.join(10)
        assert not thread.is_alive()


def test_a_write_of_another_process_is_sent_within_a_second(app, running, subscribe, receiver):
    subscribe(receiver)
    wait_for(lambda: not running.woken.is_set())
    store_delivery(app, "dlv-1", "wh-one")
    wait_for(lambda: receiver.requests, 1)


def test_receivers_that_never_answer_hold_up_no_other(running, subscribe, change, receiver, monkeypatch):
    monkeypatch.setattr(webhook_calls, "TIMEOUT", 1)
    over = threading.Event()
    with receiving(lambda connection: over.wait(5)) as slow:
        for number in range(8):
            subscribe(slow, id=f"wh-slow-{number}")
        subscribe(receiver)
        change(10)
        wait_for(lambda: len(receiver.requests) == 10, 0.9)
        over.set()
        running.stop()
        running.dispatcher.join(5)


def test_a_failure_of_the_database_stops_nothing_for_good(app, running, subscribe, change, receiver, monkeypatch):
    subscribe(receiver)
    monkeypatch.setattr(sender, "POLL_INTERVAL", 0.01)
    database_path, app.config["DATABASE"] = app.config["DATABASE"], "/nowhere/sigma.db"
    running.wake()
    wait_for(lambda: not running.woken.is_set())
    app.config["DATABASE"] = database_path
    change()
    wait_for(lambda: receiver.requests)


@pytest.mark.parametrize(
    ("owner", "name", "failure"),
    [
        (sender, "fetch_webhooks_in_turn", sqlite3.OperationalError("disk I/O error")),
        (sender, "fetch_webhooks_in_turn", ValueError("anything")),
        (sender, "drop_old_deliveries", sqlite3.OperationalError("database is locked")),
        (threading.Thread, "start", RuntimeError("can't start new thread")),
    ],
    ids=["a look", "a look, whatever it is", "tidying", "a thread"],
)
def test_what_fails_once_is_done_again_soon_though_nothing_has_changed_since(
    app, running, subscribe, receiver, monkeypatch, owner, name, failure
):
    subscribe(receiver)
    wait_for(lambda: not running.woken.is_set())
    function, calls = getattr(owner, name), []

    def fail_once(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise failure
        return function(*arguments)

    monkeypatch.setattr(owner, name, fail_once)
    running.tidied_at = -float("inf")
    store_delivery(app, "dlv-1", "wh-one")
    wait_for(lambda: receiver.requests and len(calls) > 1)
    wait_for(lambda: not running.busy)


def test_to_find_old_deliveries_their_bodies_are_not_read(app):
    statements = []
    with app.app_context():
        database.get_db().set_trace_callback(statements.append)
        sending.drop_old_deliveries("ws-demo", "wh-sync-notify")
        database.get_db().set_trace_callback(None)
        plans = [row[3] for statement in statements for row in database.execute(f"EXPLAIN QUERY PLAN {statement}")]
    # The one that looks in the table reads only the first of the young ones.
    looks = [plan for plan in plans if plan.startswith("SEARCH d USING")]
    assert [" COVERING INDEX " in plan for plan in looks[:2]] == [False, True], plans
    assert "SEARCH deliveries USING COVERING INDEX deliveries_webhook_idx (tenant=? AND webhook_id=?)" in plans
