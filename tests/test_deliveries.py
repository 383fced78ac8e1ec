"""The routes and commands of deliveries: who may call them, what they show, sending again, and sending all that waits."""

import json
import threading
import time

import pytest
from cases import each
from conftest import sql, store_delivery
from receivers import receiving

from sigma.resources import deliveries, webhook_calls, webhook_health

ROUTES = [("GET", "", 200), ("GET", "/dlv-1", 200), ("POST", "/dlv-1/redeliver", 200), ("POST", "/run", 200)]
RECORD = {"schemaId": "schema-apparel", "values": {}}


@pytest.fixture
def beside_the_demo(standin):
    """Return a function that calls a route of deliveries without a credential."""

    def call(method, path="", workspace="ws-demo", **query):
        return standin(method, f"/deliveries{path}", query_string={"workspace": workspace, **query})

    return call


# Who may call them


@each(("method", "path", "status"), ROUTES)
def test_beside_the_demo_the_name_of_a_workspace_does_for_a_credential(app, beside_the_demo, method, path, status):
    store_delivery(app, "dlv-1")
    answer = beside_the_demo(method, path)
    assert answer.status_code == status
    assert answer.headers["X-Sigma-Required-Permission"] == "session"


@each(("method", "path"), [route[:2] for route in ROUTES])
def test_it_does_so_for_nothing_else(app, standin, anonymous, editor, make_key, stranger, admin, error, stored, method, path):
    store_delivery(app, "dlv-1")
    key, before = make_key(), stored()

    def call(query, headers=None, **options):
        return standin(method, f"/deliveries{path}", query_string=query, headers=headers, **options)

    for query in ({}, {"workspace": ""}):
        error(call(query), 401 if not query else 404)
    for workspace in ("ws-other", "nowhere", "WS-DEMO", "%"):  # ws-other is neither the demo's nor one for tests
        assert error(call({"workspace": workspace}), 404) == f"Workspace '{workspace}' not found"
    # A credential that is sent decides, also a bad one.
    for headers in ({"X-Sigma-ApiKey": "nonsense"}, {"Authorization": "Bearer nonsense"}, {"Authorization": ""}):
        error(call({"workspace": "ws-demo"}, headers), 401)
    error(call({"workspace": "ws-demo"}, key.headers), 403)
    error(call({"workspace": "ws-demo"}, editor.headers), 403)
    assert error(call({"workspace": "ws-demo"}, stranger.headers), 404) == "Workspace 'ws-demo' not found"
    # Neither pages of other origins, nor other machines.
    local = {"workspace": "ws-demo"}
    error(call(local, {"Origin": "http://evil.example"}), 403)
    error(call(local, {"Sec-Fetch-Site": "cross-site"}), 403)
    error(call(local, {"Host": "evil.example"}), 403)
    error(call(local, environ_base={"REMOTE_ADDR": "10.0.0.8"}), 403)
    assert stored() == before


@each(("method", "path", "status"), ROUTES)
def test_a_session_needs_no_name_and_may_say_its_own(app, standin, admin, method, path, status):
    store_delivery(app, "dlv-1")
    for query in ({}, {"workspace": "ws-demo"}):
        answer = standin(method, f"/deliveries{path}", query_string=query, headers=admin.headers)
        assert answer.status_code == status


@each(("method", "path", "status"), ROUTES)
def test_in_a_deployment_they_need_a_session(deployment, stranger, standin, error, method, path, status):
    sql(
        deployment,
        "INSERT INTO webhooks (tenant, body) VALUES ('ws-other', json_object('id', 'wh-one', 'url', 'http://a.invalid/',"
        " 'active', json('true')))",
    )
    store_delivery(deployment, "dlv-1", "wh-one", tenant="ws-other")
    for workspace in ("ws-other", "ws-demo"):
        error(standin(method, f"/deliveries{path}", query_string={"workspace": workspace}), 401)
    assert standin(method, f"/deliveries{path}", headers=stranger.headers).status_code == status


def test_another_workspaces_deliveries_are_not_there(app, admin, stranger, standin, error):
    store_delivery(app, "dlv-1")
    for method, path in (("GET", "/dlv-1"), ("POST", "/dlv-1/redeliver")):
        assert error(standin(method, f"/deliveries{path}", headers=stranger.headers), 404) == "Delivery 'dlv-1' not found"
    assert standin("GET", "/deliveries", headers=stranger.headers).json["total"] == 0
    empty = {"delivered": 0, "pending": 0, "failed": 0, "items": []}
    assert standin("POST", "/deliveries/run", headers=stranger.headers).json == empty
    assert sql(app, "SELECT state, next_at FROM deliveries") == [("pending", 0)]


def test_a_workspace_for_a_test_has_its_own(app, standin, beside_the_demo, receiver):
    made = standin("POST", "/workspaces", {"content": "demo"}).json
    headers, client = {"Authorization": f"Bearer {made['admin']['token']}"}, app.test_client()
    body = {"id": "wh-one", "name": "One", "url": receiver.url, "events": ["entity.created"]}
    assert client.post("/api/v1/webhooks", json=body, headers=headers).status_code == 201
    assert client.post("/api/v1/records", json=RECORD, headers=headers).status_code == 201
    assert beside_the_demo("POST", "/run", made["id"]).json["delivered"] == 1
    assert beside_the_demo("GET", "", made["id"]).json["total"] == 1
    assert beside_the_demo("GET").json["total"] == 0


# What they show


def test_a_delivery_is_shown_with_its_body_and_its_attempts(subscribe, beside_the_demo):
    with receiving(503, 200) as receiver:
        subscribe(receiver, "ent-one")
        before = beside_the_demo("GET").json["items"]
        beside_the_demo("POST", "/run")
        beside_the_demo("POST", "/run")
    (waiting,), (shown,) = before, beside_the_demo("GET").json["items"]
    body = json.loads(receiver.requests[0].body)
    assert list(shown) == ["deliveryId", "webhookId", "event", "state", "body", "attempts", "nextAt"]
    assert waiting == {
        **{"deliveryId": body["deliveryId"], "webhookId": "wh-one", "event": "entity.created", "state": "pending"},
        **{"body": body, "attempts": [], "nextAt": waiting["nextAt"]},
    }
    first, second = shown.pop("attempts")
    assert shown == {**{name: waiting[name] for name in waiting if name != "attempts"}, "state": "delivered", "nextAt": None}
    assert list(first) == ["at", "status", "ms", "error"]
    assert (first["status"], first["error"]) == (503, "Expected a status from 200 to 299, got 503")
    assert (second["status"], second["error"]) == (200, None)
    assert body["timestamp"] <= first["at"] < second["at"]
    assert beside_the_demo("GET", f"/{body['deliveryId']}").json == {**shown, "attempts": [first, second]}


def test_deliveries_come_newest_first_by_pages_and_filters(app, subscribe, beside_the_demo, receiver):
    subscribe(receiver, "ent-1", "ent-2", events=["entity.created", "entity.deleted"])
    beside_the_demo("POST", "/run")
    subscribe(receiver, "ent-3", id="wh-two")

    def told(**query):
        answer = beside_the_demo("GET", **query).json
        return [(d["webhookId"][3:], d["body"]["entityId"][4:], d["state"]) for d in answer["items"]], answer["total"]

    everything = [("two", "3", "pending"), ("one", "3", "pending"), ("one", "2", "delivered"), ("one", "1", "delivered")]
    assert told() == (everything, 4)
    assert told(offset=1, limit=2) == (everything[1:3], 4)
    assert told(webhookId="wh-one") == (everything[1:], 3)
    assert told(state="pending") == (everything[:2], 2)
    assert told(event="entity.created", state="pending", webhookId="wh-two") == (everything[:1], 1)
    assert told(event="entity.deleted") == told(webhookId="nowhere") == told(state="failed") == ([], 0)


@each(
    ("query", "message"),
    [
        ({"state": "lost"}, "state: expected one of pending, delivered, failed, got 'lost'"),
        ({"state": ""}, "state: expected one of pending, delivered, failed, got ''"),
        ({"event": "entity.lost"}, "event: expected one of entity.created, entity.updated,"),
        ({"limit": "0"}, "limit: expected a whole number from 1 to 100, got '0'"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(beside_the_demo, error, query, message):
    assert error(beside_the_demo("GET", **query), 400).startswith(message)


# Sending again, and sending all


def test_redelivering_sends_the_same_bytes_under_the_same_id_with_new_attempts(subscribe, beside_the_demo):
    with receiving(200, 500) as receiver:
        subscribe(receiver, "ent-one")
        (sent,) = beside_the_demo("POST", "/run").json["items"]
        path = f"/{sent['deliveryId']}"
        waits = beside_the_demo("POST", f"{path}/redeliver").json
        assert waits == {**sent, "state": "pending", "nextAt": waits["nextAt"]}
        states = [beside_the_demo("POST", "/run").json["items"][0]["state"] for _ in range(4)]
    assert states == ["pending", "pending", "pending", "failed"]
    shown = beside_the_demo("GET", path).json
    assert [attempt["status"] for attempt in shown["attempts"]] == [200, 500, 500, 500, 500]
    assert len(receiver.requests) == 5
    assert {(request.id, request.body) for request in receiver.requests} == {(sent["deliveryId"], receiver.requests[0].body)}


def test_redelivering_while_it_is_being_sent_sends_it_once_more(subscribe, beside_the_demo):
    def ask_again(connection):
        (item,) = beside_the_demo("GET").json["items"]
        assert beside_the_demo("POST", f"/{item['deliveryId']}/redeliver").json["state"] == "pending"
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with receiving(ask_again, 204) as receiver:
        subscribe(receiver, "ent-one")
        (item,) = beside_the_demo("POST", "/run").json["items"]
    assert len(receiver.requests) == 2
    assert (item["state"], [attempt["status"] for attempt in item["attempts"]]) == ("delivered", [200, 204])


def test_an_answer_has_at_most_a_hundred_deliveries_and_counts_them_all(subscribe, beside_the_demo):
    with receiving() as receiver:
        subscribe(receiver, *(f"ent-{number:03}" for number in range(103)))
        done = beside_the_demo("POST", "/run").json
    assert (done["delivered"], len(done["items"])) == (103, 100)
    assert [item["body"]["entityId"] for item in done["items"]] == [f"ent-{number:03}" for number in range(100)]
    assert len(beside_the_demo("GET", limit=100).json["items"]) == 100


def test_a_run_sends_what_waits_for_its_time_and_tells_what_came_of_it(subscribe, beside_the_demo):
    with receiving(500, 200, 500) as receiver:
        subscribe(receiver, "ent-1", "ent-2", "ent-3")
        first = beside_the_demo("POST", "/run").json
        assert (first["delivered"], first["pending"], first["failed"]) == (1, 2, 0)
        assert [item["body"]["entityId"] for item in first["items"]] == ["ent-1", "ent-2", "ent-3"]
        assert [item["state"] for item in first["items"]] == ["pending", "delivered", "pending"]
        second = beside_the_demo("POST", "/run").json  # at once: nothing waits for its 10 seconds
    assert [item["body"]["entityId"] for item in second["items"]] == ["ent-1", "ent-3"]
    assert len(receiver.requests) == 5
    assert [len(item["attempts"]) for item in second["items"]] == [2, 2]


def test_a_run_sends_each_once_and_nothing_of_what_a_receiver_does_meanwhile(app, admin, subscribe, beside_the_demo):
    def write_back(connection):
        assert admin.post("/records", RECORD).status_code == 201
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with receiving(write_back) as receiver:
        subscribe(receiver, "ent-1", "ent-2")
        assert beside_the_demo("POST", "/run").json["delivered"] == 2
        assert len(receiver.requests) == 2
    assert beside_the_demo("GET", state="pending").json["total"] == 2


def test_a_run_leaves_alone_what_is_paused(admin, subscribe, beside_the_demo, receiver):
    subscribe(receiver, "ent-1")
    paused = {"name": "One", "url": receiver.url, "events": ["entity.created"], "active": False}
    assert admin.put("/webhooks/wh-one", paused).status_code == 200
    assert beside_the_demo("POST", "/run").json["items"] == []
    assert receiver.requests == []


def test_a_run_waits_for_what_another_sender_is_sending(app, subscribe, beside_the_demo, receiver):
    subscribe(receiver, "ent-1")
    sql(app, "UPDATE webhooks SET lease = 'of another', leased_until = ? WHERE id = 'wh-one'", time.time() + 0.3)
    assert beside_the_demo("POST", "/run").json["delivered"] == 1


def test_a_run_begins_no_more_calls_when_its_time_is_over(admin, subscribe, beside_the_demo, monkeypatch):
    monkeypatch.setattr(webhook_calls, "TIMEOUT", 0.2)
    monkeypatch.setattr(deliveries, "MAX_RUN", 0.3)
    over, calls = threading.Event(), []

    def keep_silent(_):
        calls.append(time.monotonic())
        over.wait(5)

    with receiving(keep_silent) as receiver:
        for number in range(8):
            subscribe(receiver, id=f"wh-{number}")
        assert admin.post("/records", RECORD).status_code == 201
        done = beside_the_demo("POST", "/run").json
        over.set()
    assert len(calls) <= 2
    assert (done["pending"], len(done["items"])) == (8, 8)


# How webhooks do


def test_each_webhook_says_how_many_deliveries_it_has_and_what_came_of_the_latest_attempt(
    admin, standin, subscribe, beside_the_demo
):
    def health():
        return standin("GET", "/webhooks", query_string={"workspace": "ws-demo"}).json

    assert [(one["id"], one["deliveries"], one["lastAttempt"]) for one in health()] == [
        (id, {"pending": 0, "delivered": 0, "failed": 0}, None) for id in ("wh-sync-notify", "wh-lifecycle-slack")
    ]
    with receiving(200, 500, 503, 200) as receiver:
        subscribe(receiver, "ent-1", "ent-2", secret="nobody's business")
        beside_the_demo("POST", "/run")
        shown = health()[2]
        second, first = beside_the_demo("GET").json["items"]
        assert shown == {
            **admin.get("/webhooks/wh-one").json,
            "deliveries": {"pending": 1, "delivered": 1, "failed": 0},
            "lastAttempt": {"deliveryId": second["deliveryId"], **second["attempts"][0]},
        }
        assert (shown["secret"], shown["lastAttempt"]["status"]) == ("••••••••", 500)
        beside_the_demo("POST", f"/{first['deliveryId']}/redeliver")
        beside_the_demo("POST", "/run")
        (told,) = (one for one in standin("GET", "/webhooks", headers=admin.headers).json if one["id"] == "wh-one")
        assert told["deliveries"] == {"pending": 1, "delivered": 1, "failed": 0}
        assert told["lastAttempt"]["status"] == 200


def test_the_latest_attempt_is_told_also_when_many_others_have_come_since(
    app, standin, admin, subscribe, beside_the_demo, monkeypatch
):
    with receiving(500, 200) as receiver:
        for id in ("wh-one", "wh-two"):
            subscribe(receiver, id=id)
        assert admin.post("/records", RECORD).status_code == 201
        beside_the_demo("POST", "/run")
    store_delivery(app, "dlv-new")  # without an attempt

    def told():
        health = standin("GET", "/webhooks", headers=admin.headers).json
        return {one["id"]: one["lastAttempt"] and one["lastAttempt"]["status"] for one in health}

    whole = told()
    assert sorted([whole["wh-one"], whole["wh-two"]]) == [200, 500]
    assert [whole["wh-sync-notify"], whole["wh-lifecycle-slack"]] == [None, None]
    for recent in (1, 0):
        monkeypatch.setattr(webhook_health, "RECENT", recent)
        assert told() == whole


def test_how_webhooks_do_is_told_to_those_alone_who_may_see_their_deliveries(standin, editor, make_key, stranger, error):
    error(standin("GET", "/webhooks"), 401)
    error(standin("GET", "/webhooks", query_string={"workspace": "ws-other"}), 404)
    for caller in (editor, make_key()):
        error(standin("GET", "/webhooks", headers=caller.headers), 403)
    assert standin("GET", "/webhooks", headers=stranger.headers).json == []


# The commands


def test_the_commands_show_and_send_the_same(run, subscribe, beside_the_demo):
    with receiving(500, 200) as receiver:
        subscribe(receiver, "ent-1")
        listed = json.loads(run("webhooks", "list", "--workspace", "ws-demo", "--json").output)
        assert [webhook["id"] for webhook in listed] == ["wh-sync-notify", "wh-lifecycle-slack", "wh-one"]
        assert listed[2]["deliveries"] == {"pending": 1, "delivered": 0, "failed": 0}
        assert listed[2]["lastAttempt"] is None
        (sent,) = json.loads(run("webhooks", "run", "--workspace", "ws-demo", "--json").output)["items"]
        rows = run("webhooks", "list", "--workspace", "ws-demo").output.splitlines()
        assert [row.split()[-4:] for row in rows[2:]] == [["paused", "0", "0", "0"], ["failing", "1", "0", "0"]]
        assert "What came of it: 0 pending, 1 delivered, 0 failed.\n" in run("webhooks", "run", "--workspace", "ws-demo").output
        id = sent["deliveryId"]
        told = run("webhooks", "redeliver", id, "--workspace", "ws-demo").output
        assert told == f"Delivery '{id}' waits to be sent again.\n"
    (shown,) = json.loads(run("webhooks", "deliveries", "--workspace", "ws-demo", "--state", "pending", "--json").output)
    assert shown == beside_the_demo("GET").json["items"][0]
    title, row = run("webhooks", "deliveries", "--workspace", "ws-demo").output.splitlines()
    assert title.split() == ["ID", "WEBHOOK", "EVENT", "RECORD", "STATE", "ATTEMPTS", "LAST", "ANSWER", "NEXT"]
    assert row.split()[:6] == [id, "wh-one", "entity.created", "ent-1", "pending", "2"]
    result = run("webhooks", "redeliver", "dlv-lost", "--workspace", "ws-demo")
    assert (result.exit_code, result.output) == (1, "Error: Delivery 'dlv-lost' not found\n")


def test_the_command_lists_deliveries_of_any_size(app, run):
    body = json.dumps({"entityId": "ent-1", "data": {"values": {"title": "x" * 500_000}}})
    for number in range(3):
        store_delivery(app, f"dlv-{number}", body=body)
    listed = json.loads(run("webhooks", "deliveries", "--workspace", "ws-demo", "--json").output)
    assert [delivery["deliveryId"] for delivery in listed] == ["dlv-2", "dlv-1", "dlv-0"]


def test_the_commands_show_no_secret(run, subscribe, receiver):
    subscribe(receiver, "ent-1", secret="nobody's business")
    for command in (["list"], ["list", "--json"], ["deliveries"], ["run", "--json"]):
        result = run("webhooks", *command, "--workspace", "ws-demo")
        assert result.exit_code == 0
        assert "nobody's business" not in result.output


def test_without_the_setting_of_the_service_the_command_sends_nothing_and_lets_all_wait(app, run, subscribe, receiver):
    subscribe(receiver, "ent-1")
    sql(app, "UPDATE workspaces SET is_demo = 0")
    before = sql(app, "SELECT * FROM deliveries")
    told = "Nothing was sent. Webhook 'wh-one': The host '127.0.0.1' has a loopback address, and SIGMA_WEBHOOK_HOSTS does not"
    result = run("webhooks", "run", "--workspace", "ws-demo")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"Error: {told} name it. Set it for this command, too, if the service has it\n" in result.stderr
    assert (receiver.requests, sql(app, "SELECT * FROM deliveries")) == ([], before)
    app.config["WEBHOOK_HOSTS"] = ("127.0.0.1",)
    assert "What came of it: 0 pending, 1 delivered, 0 failed.\n" in run("webhooks", "run", "--workspace", "ws-demo").output
