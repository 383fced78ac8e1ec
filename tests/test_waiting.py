"""Requests that wait: they leave the thread that serves all, if the server has others, and begin anew with what they had."""

import io

import pytest

from sigma.http.waiting import AFTERWARDS, DONE, MAY_LEAVE, LeaveWorker

RECORD = {"id": "ent-new", "schemaId": "schema-apparel", "values": {}}


@pytest.fixture
def key(make_key):
    return make_key("read", "update-data")


@pytest.fixture
def faults(app, key):
    """Give the key faults, and return how often each has fired."""

    def set_faults(*rules):
        path = f"/standin/keys/{key.id}/faults"
        answer = app.test_client().put(path, json=list(rules)) if rules else app.test_client().get(path)
        assert answer.status_code == 200, answer.json
        return [rule["hits"] for rule in answer.json]

    return set_faults


def leave(caller, method, path, body=None):
    """Send a request that leaves the thread that serves all, and return what it takes along."""
    with pytest.raises(LeaveWorker) as left:
        caller.request(method, path, body, environ_overrides={MAY_LEAVE: True, AFTERWARDS: []})
    return left.value


def test_a_delayed_call_leaves_with_its_body_before_it_changes_anything_and_counts_once(admin, key, faults):
    faults({"on": "POST /records", "delayMs": 1, "times": 1})
    left = leave(key, "POST", "/records", RECORD)
    assert b'"ent-new"' in left.body
    assert admin.get("/records/ent-new").status_code == 404
    again = {DONE: left.done, "wsgi.input": io.BytesIO(left.body), "CONTENT_LENGTH": str(len(left.body))}
    answer = key.post("/records", content_type="application/json", environ_overrides=again)
    assert (answer.status_code, answer.headers["X-Sigma-Fault"], answer.json["id"]) == (201, "1", "ent-new")
    assert faults() == [1]
    assert "X-Sigma-Fault" not in key.post("/records", RECORD | {"id": "ent-next"}).headers


def test_what_does_not_wait_stays(key, faults):
    faults({"on": "GET /roles", "status": 503}, {"on": "GET /schemas", "delayMs": 0})
    stays = {MAY_LEAVE: True, AFTERWARDS: []}
    assert key.get("/roles", environ_overrides=stays).status_code == 503
    assert key.get("/schemas", environ_overrides=stays).headers["X-Sigma-Fault"] == "1"
    assert key.post("/records", RECORD, environ_overrides=stays).status_code == 201


def test_an_export_leaves(key):
    assert leave(key, "GET", "/export").body == b""
    assert key.get("/export").status_code == 200


def test_whoever_may_not_export_is_told_without_leaving(anonymous, make_key):
    for caller, status in ((anonymous, 401), (make_key("update-data"), 403)):
        assert caller.get("/export", environ_overrides={MAY_LEAVE: True, AFTERWARDS: []}).status_code == status


def test_the_journal_reads_the_body_of_a_refused_request_when_the_answer_has_been_sent(app, anonymous):
    afterwards, body = [], io.BytesIO(b'{"note": 1}')
    environ = {"wsgi.input": body, "CONTENT_LENGTH": "11", MAY_LEAVE: True, AFTERWARDS: afterwards}
    answer = anonymous.post("/records", content_type="application/json", environ_overrides=environ)
    assert (answer.status_code, body.tell()) == (401, 0)
    (read,) = afterwards
    read()
    entry = app.test_client().get(f"/standin/requests/{answer.headers['X-Request-Id']}").json
    assert entry["requestBody"] == '{"note": 1}'
