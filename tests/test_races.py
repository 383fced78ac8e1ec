"""Races: what another request or command does after a request was let in, and before its own transaction begins."""

import io
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from cases import each
from conftest import Caller, client_of, replace_everywhere, sql
from test_atomicity import WRITES

from sigma import database
from sigma.http import bodies
from sigma.resources import deliveries

RECORD = {"id": "ent-new", "schemaId": "schema-apparel", "values": {}}
IMPORT = {
    "schemaId": "schema-apparel",
    "columnMapping": {"Name": "product-name", "SKU": "sku", "Size": "size"},
    "rows": [{"Name": "Parka", "SKU": "ZZ-901", "Size": "L"}],
}
MODEL_WRITES = {
    "attribute": ("POST", "/attributes", {"id": "attr-new", "alias": "new", "name": "New", "type": "text"}),
    "import": ("POST", "/import/execute", IMPORT),
}
SESSION_WRITES = {
    "API key": ("POST", "/api-keys", {"name": "Kept", "permissions": ["read"]}),
    "webhook": ("POST", "/webhooks", {"name": "Kept", "url": "http://127.0.0.1:9/", "events": ["entity.created"]}),
    "saved query": ("POST", "/saved-queries", {"name": "Kept", "query": {"criteria": []}}),
}
EVERY_KEYS = {**WRITES, **MODEL_WRITES}
EVERY_USERS = {**EVERY_KEYS, **SESSION_WRITES}


def in_a_thread(act):
    try:
        act()
    finally:
        database.close_db()


@pytest.fixture
def meanwhile(monkeypatch):
    """Return a function that lets something happen just before the next transaction begins."""
    original = database.transaction

    def arrange(act):
        happened = []

        def begin():
            if not happened:
                happened.append(True)
                with ThreadPoolExecutor(1) as pool:  # in a thread, because requests within each other would share Flask's `g`
                    pool.submit(in_a_thread, act).result()
            return original()

        replace_everywhere(monkeypatch, database, "transaction", begin)
        return happened

    return arrange


def send(caller, write):
    method, path, body = write
    return caller.request(method, path, json=body)


@each("way", ["deactivate", "delete"])
@each("write", EVERY_KEYS)
def test_a_key_that_ends_while_its_write_waits_writes_nothing(admin, make_key, error, stored, meanwhile, write, way):
    key, after = make_key(), []

    def end():
        answer = admin.post(f"/api-keys/{key.id}/deactivate") if way == "deactivate" else admin.delete(f"/api-keys/{key.id}")
        assert answer.status_code in (200, 204)
        after.append(stored())

    happened = meanwhile(end)
    message = error(send(key, EVERY_KEYS[write]), 401)
    assert ("deactivated" in message) is (way == "deactivate")
    assert happened
    assert [stored()] == after


class SlowBody(io.BytesIO):
    """A body during which something happens before all of it has come."""

    def __init__(self, data, act):
        super().__init__(data)
        self.act = act

    def read(self, *size):
        if self.act:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(in_a_thread, self.act).result()
            self.act = None
        return super().read(*size)


def send_slowly(caller, read, act):
    """Send a request, let something happen, and then send its body."""
    path, body = read
    data = json.dumps(body).encode()
    sent = {"wsgi.input": SlowBody(data, act), "CONTENT_LENGTH": str(len(data)), "CONTENT_TYPE": "application/json"}
    return caller.post(path, environ_overrides=sent)


READS = {
    "search": ("/search", {"criteria": []}),
    "full text": ("/search/full-text", {"query": "jacket"}),
    "preview": ("/import/preview", IMPORT),
    "scope matrix": ("/dimensions/scope-matrix", {"dimensionIds": ["dim-language"]}),
    "role": ("/roles/role-editor/resolve", {"schemaId": "schema-apparel"}),
}


@each("way", ["deactivate", "delete"])
@each("read", READS)
def test_a_key_that_ends_while_its_body_is_sent_reads_nothing(admin, make_key, error, monkeypatch, read, way):
    monkeypatch.setattr(bodies, "LONG_WAIT", 0)
    key = make_key("read")

    def end():
        answer = admin.post(f"/api-keys/{key.id}/deactivate") if way == "deactivate" else admin.delete(f"/api-keys/{key.id}")
        assert answer.status_code in (200, 204)

    assert send_slowly(key, READS[read], None).status_code == 200
    assert ("deactivated" in error(send_slowly(key, READS[read], end), 401)) is (way == "deactivate")


def test_a_body_that_comes_in_less_than_a_tenth_of_a_second_does_not_count_as_slow(make_key, monkeypatch):
    checks = []
    monkeypatch.setattr(bodies, "confirm_caller", lambda: checks.append(True))
    key = make_key("read")
    assert (send_slowly(key, READS["search"], None).status_code, checks) == (200, [])
    assert (send_slowly(key, READS["search"], lambda: time.sleep(0.12)).status_code, checks) == (200, [True])


def test_a_role_that_changes_while_the_body_is_sent_decides_what_is_read(editor, change_role, error, monkeypatch):
    monkeypatch.setattr(bodies, "LONG_WAIT", 0)
    change_role(canImport=True)
    error(send_slowly(editor, READS["preview"], lambda: change_role(canImport=False)), 403)
    hidden = [{"schemaId": "schema-apparel", "attributePermissions": {"sku": "hidden"}}]
    found = send_slowly(editor, READS["search"], lambda: change_role(schemaPermissions=hidden)).json["items"]
    assert found
    assert [record for record in found if "sku" in record["values"]] == []


def test_a_session_that_ends_while_its_list_of_deliveries_waits_for_its_turn_reads_none(app, admin, error, monkeypatch):
    original = deliveries.snapshot

    def end_first():
        sql(app, "UPDATE users SET sessions_from = sessions_from + 864000 WHERE tenant = 'ws-demo'")
        return original()

    monkeypatch.setattr(deliveries, "snapshot", end_first)
    error(client_of(app).get("/standin/deliveries", headers=admin.headers), 401)


@each("way", ["new password", "removal"])
@each("write", EVERY_USERS)
def test_a_session_that_ends_while_its_write_waits_writes_nothing(app, admin, error, stored, meanwhile, write, way):
    after = []

    def end():
        if way == "removal":
            sql(app, "DELETE FROM users WHERE tenant = 'ws-demo' AND id = 'user-admin'")
        else:
            sql(app, "UPDATE users SET sessions_from = sessions_from + 864000 WHERE tenant = 'ws-demo'")
        after.append(stored())

    meanwhile(end)
    error(send(admin, EVERY_USERS[write]), 401)
    assert [stored()] == after


@pytest.fixture
def change_role(admin):
    """Return a function that changes the role of the demo's editor."""

    def change(**members):
        role = admin.get("/roles/role-editor").json
        answer = admin.put("/roles/role-editor", {**role, **members})
        assert answer.status_code == 200, answer.json

    return change


ADVICE = (
    "someone who manages roles can change it with PUT /api/v1/roles/role-editor, or whoever runs the service can give you"
    " another with `flask users role`"
)


@each(
    ("members", "expected"),
    [
        ({"canImport": False}, f"This route needs a role with canImport; yours is 'role-editor'; {ADVICE}"),
        (
            {"schemaPermissions": [{"schemaId": "schema-apparel", "attributePermissions": {"size": "read"}}]},
            f"columnMapping.Size: attribute 'size' is 'read' for role 'role-editor', not 'write'; {ADVICE}",
        ),
    ],
    ids=["may import", "may write an attribute"],
)
def test_a_role_that_changes_while_an_import_waits_decides_about_it(editor, error, meanwhile, change_role, members, expected):
    change_role(canImport=True)
    before = editor.get("/records").json["total"]
    meanwhile(lambda: change_role(**members))
    assert error(editor.post("/import/execute", IMPORT), 403) == expected
    assert editor.get("/records").json["total"] == before


def test_a_role_that_gains_something_while_a_write_waits_counts_too(editor, meanwhile, change_role):
    limited = [{"schemaId": "schema-apparel", "attributePermissions": {"size": "read"}}]
    change_role(canImport=True, schemaPermissions=limited)
    meanwhile(lambda: change_role(schemaPermissions=[]))
    assert editor.post("/import/execute", IMPORT).json == {"created": 1, "updated": 0, "errors": []}


def test_of_two_makers_of_one_id_the_second_is_told_and_changes_nothing(key, admin, error, meanwhile):
    made = []
    meanwhile(lambda: made.append(admin.post("/records", {**RECORD, "values": {"size": [{"scope": {}, "value": "S"}]}})))
    assert error(key.post("/records", RECORD), 409) == "id: 'ent-new' is already taken in this workspace by record 'ent-new'"
    assert made[0].status_code == 201
    assert key.get("/records/ent-new").json == made[0].json
    assert key.get("/records/ent-new/audit-log").json["total"] == 1


def test_a_record_that_is_deleted_while_a_write_to_it_waits_is_not_made_again(key, admin, error, meanwhile):
    meanwhile(lambda: admin.delete("/records/ent-coastal-wb"))
    assert error(send(key, WRITES["put of a plain value"]), 404) == "Record 'ent-coastal-wb' not found"
    error(key.get("/records/ent-coastal-wb"), 404)


@each("write", WRITES)
def test_a_workspace_that_is_deleted_while_a_write_waits_stays_deleted(app, standin, error, stored, meanwhile, write):
    made = standin("POST", "/workspaces", {"keys": [["read", "update-data", "delete-data"]]}).json
    key, before = Caller(app, {"X-Sigma-ApiKey": made["keys"][0]["rawKey"]}), []

    def delete():
        assert standin("DELETE", f"/workspaces/{made['id']}").status_code == 204
        before.append(stored())

    # That deletion has a transaction of its own, before which nothing more happens.
    meanwhile(delete)
    error(send(key, WRITES[write]), 401)
    assert [stored()] == before


def test_a_workspace_that_is_deleted_while_it_is_copied_is_copied_whole_or_refused(standin, error, stored, meanwhile):
    made = standin("POST", "/workspaces", {}).json
    before = []

    def delete():
        assert standin("DELETE", f"/workspaces/{made['id']}").status_code == 204
        before.append(stored())

    meanwhile(delete)
    assert "content: Expected demo, empty, the id of" in error(standin("POST", "/workspaces", {"content": made["id"]}), 400)
    assert [stored()] == before


@each("write", WRITES)
def test_a_write_that_waits_for_a_reset_is_done_to_the_demo_as_it_was_at_first(admin, standin, error, meanwhile, write):
    assert admin.post("/records", {**RECORD, "id": "ent-before"}).status_code == 201
    total = admin.get("/records").json["total"] - 1
    meanwhile(lambda: standin("POST", "/reset", {}))
    assert send(admin, WRITES[write]).status_code in (200, 201, 204)
    error(admin.get("/records/ent-before"), 404)
    assert admin.get("/records").json["total"] == total + {"create": 1, "delete": -1}.get(write, 0)


def test_the_second_of_two_transactions_of_a_request_is_not_held_up(admin, receiver, subscribe, standin):
    subscribe(receiver, "ent-told")
    assert standin("POST", "/deliveries/run", headers=admin.headers).status_code == 200
