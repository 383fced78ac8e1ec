"""The outbox: each change to a record or variant stores what webhooks are sent, in its own transaction; nothing else does."""

import json
import re
import sqlite3
import time
from collections import Counter
from contextlib import closing

import pytest
from cases import each
from conftest import replace_everywhere, sql

from sigma import database
from sigma.resources import history

EVENTS = (
    *("entity.created", "entity.updated", "entity.deleted", "entity.transition"),
    *("variant.created", "variant.updated", "variant.deleted"),
)
RECORD = "/records/ent-coastal-wb"
VARIANT = f"{RECORD}/variants/var-cw-s"
NOW = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def values(**named):
    return {alias.replace("_", "-"): [{"scope": {}, "value": value}] for alias, value in named.items()}


@pytest.fixture
def subscribe(admin):
    """Return a function that makes a webhook that asks for events, all if none is named."""

    def make(*events, id="wh-all", by=admin, **more):
        body = {"id": id, "name": "All", "url": "http://127.0.0.1:9/", "events": list(events or EVENTS), **more}
        answer = by.post("/webhooks", body)
        assert answer.status_code == 201, answer.text

    return make


@pytest.fixture
def sent(app):
    """Return a function that returns the deliveries that came since it was last called: webhook, event and body."""
    seen = 0

    def read():
        nonlocal seen
        rows = sql(app, "SELECT seq, webhook_id, event, body FROM deliveries WHERE seq > ? ORDER BY seq", seen)
        seen = max([seen, *(row[0] for row in rows)])
        return [row[1:] for row in rows]

    return read


@pytest.fixture
def text_of(app):
    """Return a function that returns the stored text of a record or variant."""

    def read(id):
        ((text,),) = sql(app, "SELECT body FROM entities WHERE tenant = 'ws-demo' AND id = ?", id)
        return text

    return read


def check_body(delivery, event, data, record_id, variant_id=None, more=""):
    """Check a delivery's body to the byte, but for its id and time, which are returned."""
    _, told, body = delivery
    assert told == event
    variant = f',"variantId":"{variant_id}"' if variant_id else ""
    beginning = rf'\{{"deliveryId":"(dlv-[0-9a-f]{{16}})","event":"{event}","timestamp":"({NOW})","entityId":"{record_id}"'
    match = re.match(beginning, body)
    assert match, body
    assert body == f'{match[0]}{variant},"data":{data}{more}}}'
    return match[1], match[2]


# Each event, by each way to write


CREATED = {
    "id": "ent-new",
    "schemaId": "schema-apparel",
    "values": values(product_name='Größe "L" 🧥', sku="NW-001", price=1e23),
}
UPDATES = {  # that change a record
    "a put": ("PUT", RECORD, {"values": values(size="L", material="Wool")}),
    "a put that clears": ("PUT", RECORD, {"values": {"material": []}}),
    "a patch": ("PATCH", f"{RECORD}/values/size", {"value": "XL"}),
    "a patch that removes": ("PATCH", f"{RECORD}/values/sku", {"value": None}),
}
VARIANT_UPDATES = {
    "a put": ("PUT", VARIANT, {"values": values(size="L")}),
    "a patch": ("PATCH", f"{VARIANT}/values/product-name", {"value": "Small"}),
}


@pytest.mark.parametrize("who", ["key", "admin"])
def test_a_new_record(request, who, subscribe, sent, text_of):
    subscribe()
    answer = request.getfixturevalue(who).post("/records", CREATED)
    assert answer.status_code == 201
    (delivery,) = sent()
    _, at = check_body(delivery, "entity.created", text_of("ent-new"), "ent-new")
    assert json.loads(delivery[2])["data"] == answer.json
    assert at == answer.json["createdAt"]


@pytest.mark.parametrize("write", UPDATES.values(), ids=UPDATES)
def test_changed_values_of_a_record(key, subscribe, sent, text_of, write):
    subscribe()
    answer = key.request(*write)
    assert answer.status_code == 200
    (delivery,) = sent()
    _, at = check_body(delivery, "entity.updated", text_of("ent-coastal-wb"), "ent-coastal-wb")
    assert json.loads(delivery[2])["data"] == answer.json
    assert at == answer.json["updatedAt"] != "2024-01-16T14:22:00Z"


def test_a_transition_with_the_states_between_which_it_leads(admin, subscribe, sent, text_of):
    before = admin.get("/records/ent-trail-cap").json["lifecycleStateId"]
    subscribe()
    answer = admin.post("/records/ent-trail-cap/transition", {"toStateId": "state-published"})
    assert (before, answer.status_code) == ("state-review", 200)
    (delivery,) = sent()
    states = ',"fromStateId":"state-review","toStateId":"state-published"'
    _, at = check_body(delivery, "entity.transition", text_of("ent-trail-cap"), "ent-trail-cap", more=states)
    assert json.loads(delivery[2])["data"] == answer.json
    assert at == answer.json["updatedAt"]


def test_a_new_variant(key, subscribe, sent, text_of):
    subscribe()
    answer = key.post(f"{RECORD}/variants", {"id": "var-new", "parentId": "var-cw-s", "values": values(size="M")})
    assert answer.status_code == 201
    (delivery,) = sent()
    _, at = check_body(delivery, "variant.created", text_of("var-new"), "ent-coastal-wb", "var-new")
    assert json.loads(delivery[2])["data"] == answer.json
    assert at == answer.json["createdAt"]


@pytest.mark.parametrize("write", VARIANT_UPDATES.values(), ids=VARIANT_UPDATES)
def test_changed_values_of_a_variant(key, subscribe, sent, text_of, write):
    subscribe()
    answer = key.request(*write)
    assert answer.status_code == 200
    (delivery,) = sent()
    _, at = check_body(delivery, "variant.updated", text_of("var-cw-s"), "ent-coastal-wb", "var-cw-s")
    assert json.loads(delivery[2])["data"] == answer.json
    assert at == answer.json["updatedAt"]


@pytest.fixture
def family(admin):
    """A record with variants three levels deep, in which the deep ones are not the latest."""
    assert (
        admin.post("/records", {"id": "ent-f", "schemaId": "schema-apparel", "values": values(sku="FA-001")}).status_code == 201
    )
    for id, parent in (("var-a", "ent-f"), ("var-aa", "var-a"), ("var-aaa", "var-aa"), ("var-b", "ent-f"), ("var-ab", "var-a")):
        body = {"id": id, "parentId": parent, "values": values(size=id)}
        assert admin.post("/records/ent-f/variants", body).status_code == 201
    return ("ent-f", "var-a", "var-aa", "var-aaa", "var-b", "var-ab")


def check_deletions(deliveries, texts, ids):
    """Check that these are gone, in this order, each with the text that it had."""
    assert len(deliveries) == len(ids)
    times = set()
    for delivery, id in zip(deliveries, ids, strict=True):
        variant = () if id == "ent-f" else (id,)
        times.add(check_body(delivery, f"{'variant' if variant else 'entity'}.deleted", texts[id], "ent-f", *variant)[1])
    assert len(times) == 1


def test_a_deleted_record_after_each_of_its_variants_the_deepest_first(key, subscribe, sent, text_of, family):
    subscribe()
    texts = {id: text_of(id) for id in family}
    assert key.delete("/records/ent-f").status_code == 204
    check_deletions(sent(), texts, ["var-aaa", "var-aa", "var-ab", "var-a", "var-b", "ent-f"])


def test_a_deleted_variant_after_those_below_it(key, subscribe, sent, text_of, family):
    subscribe()
    texts = {id: text_of(id) for id in family}
    assert key.delete("/records/ent-f/variants/var-a").status_code == 204
    check_deletions(sent(), texts, ["var-aaa", "var-aa", "var-ab", "var-a"])


def test_a_deletion_is_stored_at_once_however_many_variants_go_with_it(key, subscribe, sent, family, monkeypatch):
    subscribe()
    stored, enqueue = [], history.enqueue
    monkeypatch.setattr(history, "enqueue", lambda changes: stored.append(len(changes)) or enqueue(changes))
    assert key.delete("/records/ent-f").status_code == 204
    assert (stored, len(sent())) == ([len(family)], len(family))


def test_what_is_stored_is_sent_as_it_is_and_not_written_anew(app, admin, subscribe, sent, text_of):
    sql(app, """UPDATE entities SET body = replace(body, '{"id"', '{ "id"') WHERE id = 'ent-trail-cap'""")
    text = text_of("ent-trail-cap")
    subscribe()
    assert admin.delete("/records/ent-trail-cap").status_code == 204
    check_body(sent()[-1], "entity.deleted", text, "ent-trail-cap")
    assert text.startswith('{ "id"')


def test_an_import_sends_as_post_and_put_do(key, subscribe, sent, text_of):
    subscribe()
    rows = [
        {"Id": "ent-trail-cap", "Size": "Huge"},
        {"Id": "", "Name": "New one", "Sku": "NO-001"},
        {"Id": "ent-coastal-wb", "Name": "Coastal Windbreaker"},  # as it is
        {"Id": "ent-coastal-wb", "Sku": "wrong"},
        {"Id": "ent-trail-cap", "Size": "Huge"},  # by now as it is
        {"Id": "ent-trail-cap", "Size": "Tiny"},
    ]
    mapping = {"Id": "_id", "Name": "product-name", "Sku": "sku", "Size": "size"}
    body = {"schemaId": "schema-apparel", "columnMapping": mapping, "rows": rows}
    assert key.post("/import/preview", body).json["validRows"] == 5
    assert sent() == []
    answer = key.post("/import/execute", body)
    assert [answer.json[name] for name in ("created", "updated")] == [1, 4]
    assert [row["row"] for row in answer.json["errors"]] == [3]
    first, made, last = sent()
    new = json.loads(made[2])["entityId"]
    check_body(made, "entity.created", text_of(new), new)
    check_body(last, "entity.updated", text_of("ent-trail-cap"), "ent-trail-cap")
    assert [json.loads(delivery[2])["data"]["values"]["size"] for delivery in (first, last)] == [
        values(size=size)["size"] for size in ("Huge", "Tiny")
    ]
    assert first[1] == "entity.updated"


# To whom


def test_each_webhook_that_asks_for_an_event_is_sent_it_with_an_id_of_its_own(admin, stranger, subscribe, sent):
    subscribe("entity.created", "variant.created", id="wh-one")
    subscribe("entity.created", id="wh-two")
    subscribe("entity.updated", id="wh-other-event")
    subscribe("entity.created", id="wh-off", active=False)
    subscribe("entity.created", id="wh-elsewhere", by=stranger)
    assert admin.post("/records", CREATED).status_code == 201
    deliveries = sent()
    assert [webhook for webhook, *_ in deliveries] == ["wh-one", "wh-two"]
    bodies = [json.loads(body) for *_, body in deliveries]
    assert len({body.pop("deliveryId") for body in bodies}) == 2
    assert bodies[0] == bodies[1]
    assert admin.post("/records/ent-new/variants", {"id": "var-new"}).status_code == 201
    assert [(webhook, event) for webhook, event, _ in sent()] == [("wh-one", "variant.created")]


def test_a_delivery_waits_from_the_moment_of_the_change_and_is_due_at_once(app, admin, subscribe):
    subscribe("entity.created", id="wh-one")
    before = time.time()
    assert admin.post("/records", CREATED).status_code == 201
    names = "tenant, id, webhook_id, event, state, attempts, made_at, next_at"
    (((tenant, id, webhook, event, state, attempts, made_at, next_at)),) = sql(app, f"SELECT {names} FROM deliveries")
    assert (tenant, webhook, event, state, attempts) == ("ws-demo", "wh-one", "entity.created", "pending", 0)
    assert before <= made_at <= time.time()
    assert next_at == 0  # at once, whatever becomes of the clock
    assert json.loads(sql(app, "SELECT body FROM deliveries")[0][0])["deliveryId"] == id


def test_what_the_role_of_the_writer_hides_is_sent_too(admin, editor, subscribe, sent, text_of):
    role = admin.get("/roles/role-editor").json
    levels = [{"schemaId": "schema-apparel", "attributePermissions": {"price": "hidden", "material": "hidden"}}]
    assert admin.put("/roles/role-editor", {**role, "schemaPermissions": levels}).status_code == 200
    subscribe()
    answer = editor.patch(f"{RECORD}/values/size", {"value": "L"})
    assert {"price", "material"} & answer.json["values"].keys() == set()
    (delivery,) = sent()
    check_body(delivery, "entity.updated", text_of("ent-coastal-wb"), "ent-coastal-wb")
    assert {"price", "material"} <= json.loads(delivery[2])["data"]["values"].keys()


# What sends nothing


def done(answer):
    assert answer.status_code < 300, answer.text
    return answer


def test_a_write_that_changes_nothing_sends_nothing(admin, key, subscribe, sent):
    subscribe()
    record, variant = admin.get(RECORD).json, admin.get(VARIANT).json
    done(key.put(RECORD, {"values": record["values"]}))
    done(key.put(RECORD, {"values": {}}))
    done(key.patch(f"{RECORD}/values/price", {"value": 129.99}))
    done(key.patch(f"{RECORD}/values/price", {"value": 969.0, "scope": {"dim-market": "seg-dk"}}))
    done(key.patch(f"{RECORD}/values/image", {"value": None}))
    done(key.put(VARIANT, {"values": variant["values"]}))
    assert sent() == []


REFUSED = [
    ("POST", "/records", {"schemaId": "schema-apparel", "values": values(price="dear")}, 400),
    ("POST", "/records", {"id": "ent-coastal-wb", "schemaId": "schema-apparel", "values": {}}, 409),
    ("POST", "/records", {"schemaId": "schema-apparel", "values": values(ean="9520000010072")}, 409),
    ("PUT", "/records/ent-trail-cap", {"values": values(ean="9520000010072")}, 409),
    ("PATCH", f"{RECORD}/values/lost", {"value": 1}, 404),
    ("POST", f"{RECORD}/transition", {"toStateId": "state-published"}, 422),
    ("DELETE", "/records/ent-lost", None, 404),
    ("DELETE", f"{RECORD}/variants/var-lost", None, 404),
    ("POST", f"{RECORD}/variants", {"id": "var-cw-s"}, 409),
]


def test_what_is_refused_sends_nothing(admin, subscribe, sent):
    subscribe()
    for method, path, body, status in REFUSED:
        assert admin.request(method, path, body).status_code == status, (method, path)
    assert sent() == []


def test_what_is_no_write_to_a_record_sends_nothing(admin, standin, subscribe, sent):
    """Also where it reaches into records: those of a schema that gets a workflow begin in its first state."""
    schema = {"id": "schema-plain", "alias": "plain", "name": "Plain", "variantEnabled": False, "attributeGroups": []}
    done(admin.post("/schemas", schema))
    done(admin.post("/records", {"id": "ent-plain", "schemaId": "schema-plain", "values": {}}))
    subscribe()
    done(admin.put("/schemas/schema-plain", {**schema, "workflowId": "wf-standard"}))
    assert admin.get("/records/ent-plain").json["lifecycleStateId"] == "state-draft"
    done(admin.delete("/option-lists/ol-colors/values/val-navy"))
    done(admin.post("/categories/cat-men/assign", {"entityId": "ent-trail-cap"}))
    done(admin.post("/categories/cat-men/unassign", {"entityId": "ent-trail-cap"}))
    done(admin.delete("/categories/cat-men"))
    done(admin.post("/saved-queries", {"name": "Q", "query": {}}))
    done(standin("POST", "/workspaces", {"content": "ws-demo"}))
    done(standin("POST", "/workspaces", {"content": standin("GET", "/workspaces/ws-demo/seed").json}))
    assert sent() == []
    done(standin("POST", "/reset", {}))
    assert sent() == []


def test_without_a_webhook_nothing_is_stored(app, admin):
    done(admin.post("/records", CREATED))
    done(admin.patch("/records/ent-new/values/size", {"value": "L"}))
    done(admin.delete("/records/ent-new"))
    assert sql(app, "SELECT count(*) FROM deliveries") == [(0,)]


# One transaction


ALL_WRITES = [
    ("POST", "/records", CREATED),
    *UPDATES.values(),
    *VARIANT_UPDATES.values(),
    ("POST", "/records/ent-trail-cap/transition", {"toStateId": "state-published"}),
    ("POST", f"{RECORD}/variants", {"id": "var-new"}),
    ("DELETE", VARIANT, None),
    ("DELETE", RECORD, None),
    (
        *("POST", "/import/execute"),
        {
            "schemaId": "schema-apparel",
            "columnMapping": {"Name": "product-name", "SKU": "sku"},
            "rows": [{"Name": "One", "SKU": "IM-001"}, {"Name": "Two", "SKU": "IM-002"}],
        },
    ),
]


@each("write", ALL_WRITES, ids=[f"{method} {path}" for method, path, _ in ALL_WRITES])
def test_a_change_that_cannot_be_committed_leaves_no_delivery(admin, subscribe, stored, monkeypatch, write):
    subscribe()
    before = stored()

    def fail(_):
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        replace_everywhere(patch, database, "require_same_file", fail)
        assert admin.request(*write).status_code == 503
    assert stored() == before


@each("write", ALL_WRITES, ids=[f"{method} {path}" for method, path, _ in ALL_WRITES])
def test_a_delivery_that_cannot_be_stored_leaves_no_change(app, admin, subscribe, stored, write):
    subscribe()
    sql(app, "CREATE TRIGGER spoiled BEFORE INSERT ON deliveries BEGIN SELECT RAISE(ABORT, 'no'); END")
    before = stored()
    assert admin.request(*write).status_code == 500
    assert stored() == before


def test_the_history_and_what_is_sent_tell_the_same(app, admin, subscribe):
    subscribe()
    (start,) = sql(app, "SELECT max(seq) FROM audit_log")[0]
    for write in ALL_WRITES:
        assert admin.request(*write).status_code < 300, write
    past = {"create": "created", "update": "updated", "delete": "deleted", "transition": "transition"}
    with closing(sqlite3.connect(app.config["DATABASE"])) as db:
        history = [
            (record, entry["entityId"], past[entry["action"]], entry["timestamp"])
            for record, entry in (
                (record, json.loads(body))
                for record, body in db.execute("SELECT record_id, body FROM audit_log WHERE seq > ? ORDER BY seq", (start,))
            )
        ]
        bodies = [json.loads(body) for (body,) in db.execute("SELECT body FROM deliveries ORDER BY seq")]
    told = [
        (body["entityId"], body.get("variantId", body["entityId"]), body["event"].partition(".")[2], body["timestamp"])
        for body in bodies
    ]
    assert told == history
    assert Counter(body["event"] for body in bodies) == {
        **{"entity.created": 3, "entity.updated": 4, "entity.transition": 1, "entity.deleted": 1},
        **{"variant.created": 1, "variant.updated": 2, "variant.deleted": 3},
    }
