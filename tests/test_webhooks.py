"""Webhooks: who is told of what, and where; made, changed and deleted, and their secrets never shown."""

import json
import re
import sqlite3
from contextlib import closing

import pytest
from cases import each
from conftest import sql, without_hint

BULLETS = "••••••••"
SECRET = "nobody-but-the-receiver-knows-this"
EVENTS = (
    *("entity.created", "entity.updated", "entity.deleted", "entity.transition"),
    *("variant.created", "variant.updated", "variant.deleted"),
)
HOOK = {"name": "Shop", "url": "http://127.0.0.1:9000/hook?shop=1", "events": ["entity.created", "variant.deleted"]}
EVERY_MEMBER = {
    "id": "wh-shop",
    "name": "Shop",
    "description": "Fetches anew",
    "url": "https://shop.example/hook",
    "events": ["entity.deleted", "entity.created"],
    "secret": SECRET,
    "active": False,
}
DEMO = ["wh-sync-notify", "wh-lifecycle-slack"]


@pytest.fixture
def hook(admin):
    """A webhook with every member, as it is answered."""
    answer = admin.post("/webhooks", EVERY_MEMBER)
    assert answer.status_code == 201, answer.text
    return answer.json


@pytest.fixture
def stored_secret(app):
    """Return a function that returns the secret that is stored of a webhook."""
    return lambda id="wh-shop": sql(app, "SELECT secret FROM webhooks WHERE tenant = 'ws-demo' AND id = ?", id)[0][0]


# Made and listed


def test_a_webhook_is_answered_as_it_was_sent_with_an_id_and_active(admin):
    answer = admin.post("/webhooks", HOOK)
    assert answer.status_code == 201
    assert list(answer.json) == ["id", "name", "url", "events", "active"]
    assert re.fullmatch("wh-[0-9a-f]{16}", answer.json["id"])
    assert answer.json == {"id": answer.json["id"], **HOOK, "active": True}
    assert admin.get(f"/webhooks/{answer.json['id']}").data == answer.data


def test_every_member_comes_in_the_published_order_and_the_secret_as_eight_bullets(admin, hook, stored_secret):
    assert list(hook) == ["id", "name", "description", "url", "events", "secret", "active"]
    assert hook == {**EVERY_MEMBER, "secret": BULLETS}
    assert admin.get("/webhooks/wh-shop").json == hook
    assert stored_secret() == SECRET


def test_what_is_null_is_absent(admin, stored_secret):
    answer = admin.post("/webhooks", {**HOOK, "id": None, "description": None, "secret": None})
    assert (answer.status_code, list(answer.json)) == (201, ["id", "name", "url", "events", "active"])
    assert stored_secret(answer.json["id"]) is None


def test_webhooks_are_listed_in_order_of_creation_for_whoever_is_signed_in(admin, editor, hook):
    made = [hook, *(admin.post("/webhooks", {**HOOK, "id": id}).json for id in ("z", "a"))]
    for caller in (admin, editor):
        assert [item["id"] for item in caller.get("/webhooks").json] == [*DEMO, "wh-shop", "z", "a"]
        assert caller.get("/webhooks").json[2:] == made


def test_an_id_is_the_callers_to_choose_once(admin, stored, hook, error):
    before = stored()
    message = error(admin.post("/webhooks", {**HOOK, "id": "wh-shop", "secret": "other"}), 409)
    assert message == "id: 'wh-shop' is already taken in this workspace by webhook 'wh-shop'"
    assert stored() == before
    assert admin.delete("/webhooks/wh-shop").status_code == 204
    assert admin.post("/webhooks", {**HOOK, "id": "wh-shop"}).status_code == 201


def test_an_unknown_one_is_named(admin, error):
    for answer in (admin.get("/webhooks/wh-lost"), admin.put("/webhooks/wh-lost", HOOK), admin.delete("/webhooks/wh-lost")):
        assert error(answer, 404) == "Webhook 'wh-lost' not found"


@each("event", EVENTS)
def test_each_published_event_can_be_asked_for(admin, event):
    assert admin.post("/webhooks", {**HOOK, "events": [event]}).json["events"] == [event]


# Replaced


def test_a_put_replaces_the_whole(admin, hook):
    answer = admin.put("/webhooks/wh-shop", HOOK)
    assert (answer.status_code, answer.json) == (200, {"id": "wh-shop", **HOOK, "active": True})
    assert list(answer.json) == ["id", "name", "url", "events", "active"]
    assert admin.get("/webhooks/wh-shop").json == answer.json
    assert [item["id"] for item in admin.get("/webhooks").json] == [*DEMO, "wh-shop"]


@each(
    ("sent", "kept"),
    [
        ({"secret": BULLETS}, SECRET),
        ({"secret": "a new one"}, "a new one"),
        ({"secret": None}, None),
        ({}, None),
    ],
    ids=["bullets keep it", "another replaces it", "null removes it", "absent removes it"],
)
def test_what_a_put_does_to_the_secret(admin, hook, stored_secret, sent, kept):
    answer = admin.put("/webhooks/wh-shop", {**HOOK, **sent})
    assert answer.status_code == 200
    assert answer.json.get("secret") == (BULLETS if kept else None)
    assert admin.get("/webhooks/wh-shop").json == answer.json
    assert stored_secret() == kept


def test_what_was_read_can_be_put_back(admin, hook, stored_secret):
    assert admin.put("/webhooks/wh-shop", admin.get("/webhooks/wh-shop").json).json == hook
    assert stored_secret() == SECRET


def test_bullets_are_no_secret_where_there_is_none_to_keep(admin, stored, error):
    assert admin.post("/webhooks", {**HOOK, "id": "wh-bare"}).status_code == 201
    before = stored()
    expected = f"secret: Expected the secret itself, because there is none that {BULLETS} could keep"
    assert error(admin.post("/webhooks", {**HOOK, "secret": BULLETS}), 400) == expected
    assert error(admin.put("/webhooks/wh-bare", {**HOOK, "secret": BULLETS}), 400) == expected
    assert stored() == before


def test_an_id_in_the_body_is_that_of_the_path(admin, hook, error):
    assert error(admin.put("/webhooks/wh-shop", {**HOOK, "id": "wh-other"}), 400) == (
        "id: expected 'wh-shop' as in the path, got 'wh-other'"
    )
    assert admin.get("/webhooks/wh-shop").json == hook


# Refused

NO_URL = "url: Expected an http or https URL with a host, in ASCII, without user and fragment"
NO_ADDRESS = "url: Expected a URL with the name or IP address of a host, and a port from 1 to 65535"
WRONG = [
    ({"name": "  "}, "name: Expected at least one character that is not blank, got '  '"),
    ({"name": "n" * 201}, "name: Expected at most 200 characters, got 201"),
    ({"description": "d" * 10_001}, "description: Expected at most 10000 characters, got 10001"),
    ({"events": []}, "events: Expected at least one event, got 0"),
    ({"events": None}, "events: Expected a value, got null"),
    ({"events": "entity.created"}, "events: Expected an array, got 'entity.created'"),
    ({"events": ["entity.created", "entity.gone"]}, f"events[1]: Expected one of: {', '.join(EVENTS)}, got 'entity.gone'"),
    ({"events": ["entity.created"] * 2}, "events[1]: Expected each only once, got 'entity.created'"),
    ({"active": "yes"}, "active: Expected true or false, got 'yes'"),
    ({"secret": ""}, "secret: Expected 1 to 200 characters, got 0"),
    ({"secret": "s" * 201}, "secret: Expected 1 to 200 characters, got 'string'"),
    ({"secret": 5}, "secret: Expected a string, got 'number'"),
    ({"method": "PUT"}, "method: Unknown field"),
    ({"id": "wh shop"}, "id: Expected 1 to 100 letters, digits or . _ ~ - beginning with a letter or digit, got 'wh shop'"),
    ({"url": None}, "url: Expected a value, got null"),
    ({"url": "http://a/" + "x" * 2000}, "url: Expected at most 2000 characters, got 2009"),
    *(
        ({"url": url}, f"{NO_URL}, got '{url}'")
        for url in (
            *("", "shop", "//shop.example/", "ftp://shop.example", "file:///etc/passwd", "javascript:alert(1)", "http:shop"),
            *(
                "http://",
                "http:///hook",
                "https://?x",
                "http://shop..example/",
                "http://.",
                "http://shop.example:/",
                "http://:80",
            ),
            *("http://shop.example/#part", "http://shop example/", " http://shop.example", "http://sköp.example/"),
            *("http://shop.example:80:80/", "http://shop.example:123456/", "http://[::1", "http://[zz]/", "http://a,b/"),
        )
    ),
    *(
        ({"url": url}, f"{NO_ADDRESS}, got '{url}'")
        for url in ("http://shop.example:0/", "http://shop.example:65536/", "http://[:::]/", "http://[127.0.0.1]/")
    ),
]


@each(("part", "message"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_named_and_changes_nothing(admin, hook, stored, error, part, message):
    before = stored()
    assert without_hint(error(admin.post("/webhooks", {**HOOK, **part}), 400)) == message
    if "id" not in part:
        assert without_hint(error(admin.put("/webhooks/wh-shop", {**HOOK, **part}), 400)) == message
    assert stored() == before


@each("member", ["name", "url", "events"])
def test_what_is_required_is_missed(admin, hook, error, member):
    body = {name: value for name, value in HOOK.items() if name != member}
    for answer in (admin.post("/webhooks", body), admin.put("/webhooks/wh-shop", body)):
        assert error(answer, 400) == f"{member}: Expected a value, but it is missing"
    assert admin.get("/webhooks/wh-shop").json == hook


@each(
    "url",
    [
        *("http://localhost", "HTTPS://Shop.Example:443/Hook?a=[1]&b=%20", "http://a?x", "http://shop.example./"),
        *("http://[::1]:80/x", "http://[::ffff:10.0.0.1]", "http://127.0.0.1:65535/@home", "http://my_service:1/"),
    ],
)
def test_a_url_stays_as_it_was_written(admin, url):
    assert admin.post("/webhooks", {**HOOK, "url": url}).json["url"] == url


@each("url", ["http://user:hunter2@shop.example/", "ftp://user:hunter2@a/", "http://shop.example\\@hunter2/"])
def test_a_password_in_a_url_is_refused_and_not_repeated(admin, hook, error, url):
    for answer in (admin.post("/webhooks", {**HOOK, "url": url}), admin.put("/webhooks/wh-shop", {**HOOK, "url": url})):
        assert error(answer, 400) == NO_URL
    assert admin.get("/webhooks/wh-shop").json == hook


def test_a_workspace_has_at_most_fifty(app, admin, stranger, error):
    """Most of them are stored by hand, which takes less time."""
    insert = "INSERT INTO webhooks (tenant, body) SELECT 'ws-demo', json_set(?, '$.id', 'wh-' || value) FROM json_each(?)"
    sql(app, insert, json.dumps({**HOOK, "active": True}), json.dumps(list(range(47))))
    assert admin.post("/webhooks", HOOK).status_code == 201
    message = error(admin.post("/webhooks", HOOK), 409)
    assert message == "This workspace has 50 webhooks, as many as it may have; delete one first"
    assert len(admin.get("/webhooks").json) == 50
    assert admin.put("/webhooks/wh-1", HOOK).status_code == 200
    assert stranger.post("/webhooks", HOOK).status_code == 201
    assert admin.delete("/webhooks/wh-1").status_code == 204
    assert admin.post("/webhooks", HOOK).status_code == 201


def test_no_key_may_see_or_touch_one_and_an_editor_only_see(key, editor, stored, error):
    before = stored()
    for method, path, body in (
        *(("GET", "/webhooks", None), ("GET", "/webhooks/wh-sync-notify", None), ("POST", "/webhooks", HOOK)),
        *(("PUT", "/webhooks/wh-sync-notify", HOOK), ("DELETE", "/webhooks/wh-sync-notify", None)),
    ):
        assert error(key.request(method, path, body), 403).startswith("This route needs a signed-in user, not a key")
        if method != "GET":
            message = error(editor.request(method, path, body), 403)
            assert message.startswith("This route needs a role with canManageSchemas; yours is 'role-editor'; ")
    assert stored() == before


# The secret


def test_a_secret_is_nowhere_but_in_its_column(app, admin, hook, standin, capfd, error):
    answers = [
        admin.get("/webhooks"),
        admin.get("/webhooks/wh-shop"),
        admin.put("/webhooks/wh-shop", EVERY_MEMBER),
        admin.post("/webhooks", EVERY_MEMBER),
        admin.post("/webhooks", {**EVERY_MEMBER, "name": 5}),
        admin.post("/webhooks", {**EVERY_MEMBER, "Secret": SECRET, "secret": [SECRET]}),
        admin.post("/records", {"schemaId": "schema-apparel", "values": {}}),
        standin("GET", "/workspaces/ws-demo/seed"),
        standin("GET", "/requests"),
        app.test_client().get("/openapi.json"),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 409, 400, 400, 201, 200, 200, 200]
    assert [answer.text for answer in answers if SECRET in answer.text] == []
    assert SECRET not in "".join(capfd.readouterr())
    with closing(sqlite3.connect(app.config["DATABASE"])) as db:
        holders = set()
        for (table,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            cursor = db.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in cursor.description]
            holders |= {(table, name) for row in cursor for name, value in zip(names, row, strict=True) if SECRET in str(value)}
    assert holders == {("webhooks", "secret")}


def test_the_journal_shows_the_request_with_the_secret_masked(admin, hook, standin):
    admin.put("/webhooks/wh-shop", {**HOOK, "secret": SECRET})
    for entry in standin("GET", "/requests?path=/webhooks").json:
        assert json.loads(entry["requestBody"])["secret"] == BULLETS
    assert SECRET not in standin("GET", "/requests").text


# Paused and deleted


@pytest.fixture
def waiting(app, admin):
    """A function that returns for which webhooks how many deliveries wait, after a change that two are told of."""
    for id in ("wh-one", "wh-two"):
        assert admin.post("/webhooks", {**HOOK, "id": id}).status_code == 201
    assert admin.post("/records", {"id": "ent-1", "schemaId": "schema-apparel", "values": {}}).status_code == 201
    return lambda: dict(sql(app, "SELECT webhook_id, count(*) FROM deliveries WHERE state = 'pending' GROUP BY 1"))


def test_an_inactive_webhook_is_sent_nothing_new_and_keeps_what_waits(admin, waiting):
    assert waiting() == {"wh-one": 1, "wh-two": 1}
    assert admin.put("/webhooks/wh-one", {**HOOK, "active": False}).json["active"] is False
    assert admin.post("/records", {"schemaId": "schema-apparel", "values": {}}).status_code == 201
    assert waiting() == {"wh-one": 1, "wh-two": 2}
    assert admin.put("/webhooks/wh-one", HOOK).json["active"] is True
    assert admin.post("/records", {"schemaId": "schema-apparel", "values": {}}).status_code == 201
    assert waiting() == {"wh-one": 2, "wh-two": 3}


def test_deleting_a_webhook_drops_what_waits_for_it_and_for_no_other(app, admin, waiting):
    ((id,),) = sql(app, "SELECT id FROM deliveries WHERE webhook_id = 'wh-one'")
    sql(app, "INSERT INTO delivery_attempts VALUES (NULL, 'ws-demo', ?, 1, '2026-01-01T00:00:00.000Z', 500, 1.5, 'no')", id)
    assert admin.delete("/webhooks/wh-one").status_code == 204
    assert waiting() == {"wh-two": 1}
    assert sql(app, "SELECT count(*) FROM delivery_attempts") == [(0,)]
    assert admin.post("/webhooks", {**HOOK, "id": "wh-one"}).status_code == 201
    assert waiting() == {"wh-two": 1}


def test_a_change_keeps_what_waits_and_who_is_sending(app, admin, waiting):
    sql(app, "UPDATE webhooks SET lease = 'somebody', leased_until = 5 WHERE id = 'wh-one'")
    before = sql(app, "SELECT * FROM deliveries ORDER BY seq")
    assert admin.put("/webhooks/wh-one", {**HOOK, "url": "http://elsewhere.example/"}).status_code == 200
    assert sql(app, "SELECT * FROM deliveries ORDER BY seq") == before
    assert sql(app, "SELECT lease, leased_until FROM webhooks WHERE id = 'wh-one'") == [("somebody", 5.0)]
