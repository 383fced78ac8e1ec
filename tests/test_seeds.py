"""Seeds: what a workspace holds, read out whole, and workspaces made of that, or as copies of others."""

import itertools
import json
import re

import pytest
from cases import each
from conftest import EXAMPLE_KEY, Caller, sql

from sigma.http.errors import MAX_BODY
from sigma.standin.demo import read_demo

PARTS = ("model", "records", "variants", "history", "categories", "assignments", "savedQueries", "webhooks")
TABLES = (
    *("model_objects", "model_references", "entities", "entity_counts", "unique_values", "audit_log", "categories"),
    *("category_assignments", "saved_queries"),
)
TIME = "2024-05-06T07:08:09.000Z"


@pytest.fixture
def make(app, standin):
    """Return a function that makes a workspace with some content, and returns the answer with its administrator."""

    def make(content, **more):
        answer = standin("POST", "/workspaces", {"content": content, **more})
        assert answer.status_code == 201, answer.text
        return answer.json, Caller(app, {"Authorization": f"Bearer {answer.json['admin']['token']}"})

    return make


@pytest.fixture
def seed_of(standin):
    """Return a function that returns a workspace's seed, of the demo's if none is named."""

    def get(id="ws-demo"):
        answer = standin("GET", f"/workspaces/{id}/seed")
        assert answer.status_code == 200, answer.text
        return answer.json

    return get


def rows(app, tenant):
    """Return what a workspace holds, by table, without the numbers that only order its rows."""
    found = {}
    for table in TABLES:
        columns = [row[1] for row in sql(app, f"PRAGMA table_info({table})")]
        listed = ", ".join(name for name in columns if name not in ("seq", "tenant"))
        is_list = "seq" in columns and table not in ("entities", "model_references")  # records come before variants, anew
        order = "seq" if is_list else listed
        found[table] = sql(app, f"SELECT {listed} FROM {table} WHERE tenant = ? ORDER BY {order}", tenant)
    return found


def first_difference(one, other):
    """Return the first items of two lists that differ; what is all the same is not worth comparing by pytest, which is slow."""
    return next((pair for pair in itertools.zip_longest(one, other) if pair[0] != pair[1]), None)


def assert_same(app, seed_of, one, other):
    """Check that two workspaces hold the same."""
    seeds, tables = (seed_of(one), seed_of(other)), (rows(app, one), rows(app, other))
    for pair in (seeds, tables):
        assert [(name, first_difference(pair[0][name], pair[1][name])) for name in pair[0]] == [
            (name, None) for name in pair[0]
        ]
    assert seeds[0] == seeds[1]


def text_attribute(name, **more):
    return ["attribute", {"id": f"attr-{name}", "alias": name, "name": name, "type": "text", **more}]


def schema(*attributes, **more):
    groups = [{"id": "g", "name": "G", "attributeIds": [f"attr-{name}" for name in attributes]}]
    body = {"id": "schema-hat", "alias": "hat", "name": "Hat", "variantEnabled": True, "attributeGroups": groups, **more}
    return ["schema", body]


def values(**named):
    return {alias: [{"scope": {}, "value": value}] for alias, value in named.items()}


# The demo's seed


def test_the_seed_of_the_demo_is_what_demo_json_says_without_its_credentials(seed_of):
    seed, demo = seed_of(), read_demo()
    assert list(seed) == ["users", *PARTS]
    assert [(user["id"], user["name"], user["roleId"]) for user in demo["users"]] == [
        tuple(user.values()) for user in seed["users"]
    ]
    assert [(kind, body["id"]) for kind, body in seed["model"]] == [(kind, body["id"]) for kind, body in demo["model"]]
    for part in ("records", "variants", "assignments"):
        assert seed[part] == demo[part]
    assert [query["query"] for query in seed["savedQueries"]] == [query["query"] for query in demo["savedQueries"]]
    assert seed["webhooks"] == [{name: webhook[name] for name in webhook if name != "secret"} for webhook in demo["webhooks"]]
    told = [{name: entry[name] for name in entry if name != "id"} for entry in seed["history"]]
    assert [entry for entry in told if entry in demo["history"]] == demo["history"]
    created = {entry["entityId"]: (entry["timestamp"], entry["userId"]) for entry in told if entry["action"] == "create"}
    assert created == {item["id"]: (item["createdAt"], item["createdBy"]) for item in seed["records"] + seed["variants"]}


def test_a_seed_has_no_credential_in_it(app, admin, make_key, standin, seed_of):
    make_key("read")
    assert Caller(app, {"X-Sigma-ApiKey": EXAMPLE_KEY}).get("/records").status_code == 200
    text = json.dumps(seed_of())
    for word in ("sigma_sk_live_", "scrypt", "password", "hash", "rawKey", "token", "@sigma.io", "apikey-", "secret"):
        assert word not in text, word


def test_what_is_read_out_and_stored_again_is_the_same(app, make, seed_of):
    seed = seed_of()
    made, ours = make(seed)
    assert_same(app, seed_of, made["id"], "ws-demo")
    assert ours.get("/records/ent-coastal-wb/audit-log").json["total"] >= 3


def test_a_copy_holds_what_the_other_one_holds_now(app, admin, make, seed_of):
    assert admin.patch("/records/ent-trail-cap/values/price", {"value": 1}).status_code == 200
    assert admin.delete("/records/ent-coastal-wb").status_code == 204
    first, ours = make("ws-demo", keys=[["read"]])
    assert_same(app, seed_of, first["id"], "ws-demo")
    assert ours.get("/records/ent-trail-cap").json["values"]["price"][0]["value"] == 1
    assert ours.delete("/records/ent-trail-cap").status_code == 204
    second, theirs = make(first["id"])
    assert_same(app, seed_of, second["id"], first["id"])
    assert "ent-trail-cap" not in [record["id"] for record in seed_of(second["id"])["records"]]
    assert theirs.post("/roles", {"id": "role-new", "name": "New"}).status_code == 201
    assert "role-new" not in json.dumps(seed_of(first["id"]))  # a snapshot is a copy nobody touches
    assert second["keys"] == theirs.get("/api-keys").json == []


# Webhooks

HOOK = {"name": "Hook", "url": "http://127.0.0.1:9/", "events": ["entity.created"]}
RECORD = {"schemaId": "schema-hat", "values": {}}


def hooks_of(app, tenant):
    return sql(app, "SELECT id, is_active, secret FROM webhooks WHERE tenant = ? ORDER BY seq", tenant)


@each("way", ["by its id", "by its seed"])
def test_a_copys_webhooks_are_paused_and_without_secrets_and_what_waits_stays_behind(app, admin, make, seed_of, way):
    assert admin.post("/webhooks", {**HOOK, "id": "wh-live", "secret": "only-here"}).status_code == 201
    assert admin.post("/records", {"schemaId": "schema-apparel", "values": {}}).status_code == 201
    before = hooks_of(app, "ws-demo")
    assert before[2] == ("wh-live", 1, "only-here")
    made, ours = make("ws-demo" if way == "by its id" else seed_of())
    copied = ours.get("/webhooks").json
    assert copied[2] == {"id": "wh-live", **HOOK, "active": False}
    assert [list(webhook)[:2] for webhook in copied] == [["id", "name"]] * 3
    assert hooks_of(app, made["id"]) == [(id, 0, None) for id, *_ in before]
    assert ours.post("/records", {"schemaId": "schema-apparel", "values": {}}).status_code == 201
    assert sql(app, "SELECT tenant, webhook_id FROM deliveries") == [("ws-demo", "wh-live")]
    assert hooks_of(app, "ws-demo") == before


def test_each_demo_workspace_has_the_documented_webhooks_with_the_documented_secret(app, make, standin):
    expected = [("wh-sync-notify", 0, "demo-webhook-secret"), ("wh-lifecycle-slack", 0, None)]
    for id in ("ws-demo", make("demo")[0]["id"], make("demo")[0]["id"]):
        assert hooks_of(app, id) == expected
    sql(app, "DELETE FROM webhooks WHERE tenant = 'ws-demo'")
    assert standin("POST", "/reset", {}).status_code == 204
    assert hooks_of(app, "ws-demo") == expected


def test_a_reset_and_a_deleted_workspace_leave_no_delivery_behind(app, admin, make, standin):
    made, ours = make(small())
    assert admin.post("/webhooks", HOOK).status_code == 201
    assert ours.post("/records", RECORD).status_code == 201
    assert admin.post("/records", {**RECORD, "schemaId": "schema-apparel"}).status_code == 201
    assert sorted(sql(app, "SELECT tenant FROM deliveries")) == sorted([("ws-demo",), *[(made["id"],)] * 2])
    assert standin("DELETE", f"/workspaces/{made['id']}").status_code == 204
    assert sql(app, "SELECT tenant FROM deliveries") == [("ws-demo",)]
    assert standin("POST", "/reset", {}).status_code == 204
    assert sql(app, "SELECT tenant FROM deliveries") == []


def test_a_webhook_in_a_seed_written_by_hand_sends_from_the_first_change_on(app, make, seed_of):
    seed = {**small(), "webhooks": [{**HOOK, "secret": "by-hand"}, {**HOOK, "id": "wh-off", "active": False}]}
    made, ours = make(seed)
    ((id, *live), off) = hooks_of(app, made["id"])
    assert re.fullmatch("wh-[0-9a-f]{16}", id)
    assert (live, off) == ([1, "by-hand"], ("wh-off", 0, None))
    assert list(ours.get(f"/webhooks/{id}").json) == ["id", "name", "url", "events", "secret", "active"]
    assert sql(app, "SELECT count(*) FROM deliveries") == [(0,)]
    assert ours.post("/records", RECORD).status_code == 201
    assert sql(app, "SELECT webhook_id FROM deliveries") == [(id,)]
    assert "by-hand" not in json.dumps(seed_of(made["id"]))


# Whatever became of a workspace


@pytest.fixture
def worn(app, make):
    """A workspace with all that makes reading it back hard, and its administrator."""
    made, ours = make("demo")
    bodies = {noun: {item["id"]: item for item in ours.get(f"/{noun}").json} for noun in ("schemas", "workflows")}

    def done(answer):
        assert answer.status_code < 300, answer.text
        return answer

    # What comes first refers to what comes later.
    done(ours.post("/catalogs/cat-webshop/categories", {"id": "cat-late", "alias": "late", "name": "Late"}))
    category = ours.get("/categories/cat-men").json
    done(ours.put("/categories/cat-men", {**category, "parentId": "cat-late"}))
    done(ours.post("/roles", {"id": "role-late", "name": "Late"}))
    workflow = bodies["workflows"]["wf-standard"]
    workflow["transitions"][0]["allowedRoleIds"] = ["role-late"]
    done(ours.put("/workflows/wf-standard", workflow))
    # Values, variants, queries that a new rule would refuse.
    done(ours.delete("/option-lists/ol-colors/values/val-navy"))
    done(
        ours.post(
            "/saved-queries",
            {"id": "sq-size", "name": "Size", "query": {"criteria": [{"attribute": "size", "operator": "isEmpty"}]}},
        )
    )
    hat = bodies["schemas"]["schema-apparel"]
    for group in hat["attributeGroups"]:
        group["attributeIds"] = [id for id in group["attributeIds"] if id != "attr-size"]
    done(ours.put("/schemas/schema-apparel", {**hat, "variantEnabled": False}))
    done(ours.delete("/attributes/attr-size"))
    # Two records with one unique value, as an upgrade may leave them; the later one has the claim.
    done(ours.post("/records", {"id": "ent-1", "schemaId": "schema-apparel", "values": values(ean="9520000099991")}))
    done(ours.post("/records", {"id": "ent-2", "schemaId": "schema-apparel", "values": values(ean="9520000099992")}))
    sql(
        app,
        "UPDATE entities SET body = replace(body, '9520000099991', '9520000099992') WHERE tenant = ? AND id = 'ent-1'",
        made["id"],
    )
    sql(app, "DELETE FROM unique_values WHERE tenant = ? AND entity_id = 'ent-1'", made["id"])
    # A variant that is gone, whose history is its record's, and an id that was used again.
    done(ours.delete("/records/ent-coastal-wb/variants/var-cw-s-red"))
    done(ours.post("/records", {"id": "var-cw-s-red", "schemaId": "schema-apparel", "values": {}}))
    return made, ours


def test_a_workspace_that_was_worked_in_is_the_same_when_it_is_read_back(app, make, seed_of, worn, error):
    made, ours = worn
    seed = seed_of(made["id"])
    again, theirs = make(seed)
    assert_same(app, seed_of, again["id"], made["id"])
    for path in (
        "/records/ent-coastal-wb/audit-log",
        "/records/var-cw-s-red/audit-log",
        "/catalogs/cat-webshop/tree",
        "/variants",
    ):
        assert theirs.get(path).json == ours.get(path).json, path
    stale = {item["id"] for part in ("records", "variants", "savedQueries") for item in seed[part] if item.get("unchecked")}
    navy = {
        record["id"]
        for record in seed["records"]
        if record["values"].get("color") == [{"scope": {}, "value": "val-navy"}] or "size" in record["values"]
    }
    assert stale == navy | {item["id"] for item in seed["variants"]} | {"ent-1", "sq-size"}
    assert "'ent-2'" in error(theirs.patch("/records/ent-trail-cap/values/ean", {"value": "9520000099992"}), 409)


def test_what_is_marked_as_unchecked_is_refused_without_the_mark(make, seed_of, worn, standin, error):
    seed = seed_of(worn[0]["id"])
    for record in seed["records"]:
        record.pop("unchecked", None)
    message = error(standin("POST", "/workspaces", {"content": seed}), 400)
    place = next(
        n for n, record in enumerate(seed["records"]) if record["values"].get("color", [{}])[0].get("value") == "val-navy"
    )
    assert message.startswith(
        f"records[{place}].values.color[0].value: Attribute 'color' expects the id or alias of a value of"
    )


def test_a_copy_can_be_made_of_any_of_them(app, make, seed_of, worn):
    again, _ = make(worn[0]["id"])
    assert_same(app, seed_of, again["id"], worn[0]["id"])


# Written by hand


def test_a_seed_may_leave_out_what_it_does_not_care_for(app, make, seed_of):
    model = [schema("title"), text_attribute("title")]  # in any order
    made, ours = make({"model": model, "records": [{"schemaId": "schema-hat", "values": values(title="Cap")}]}, keys=[["read"]])
    assert list(made) == ["id", "name", "admin", "keys"]
    (record,) = ours.get("/records").json["items"]
    assert re.fullmatch("ent-[0-9a-f]{16}", record["id"])
    assert list(record) == [
        *("id", "schemaId", "lifecycleStateId", "createdAt", "updatedAt", "createdBy", "updatedBy", "values"),
    ]
    assert (record["lifecycleStateId"], record["createdBy"], record["updatedBy"]) == (None, "user-admin", "user-admin")
    assert record["createdAt"] == record["updatedAt"]
    (entry,) = ours.get(f"/records/{record['id']}/audit-log").json["items"]
    assert (entry["action"], entry["timestamp"], entry["changes"][0]["newValue"]) == ("create", record["createdAt"], "Cap")
    assert [role["name"] for role in ours.get("/roles").json] == ["Administrator"]
    assert make(seed_of(made["id"]))[1].get("/records").json["items"] == [record]


def test_records_begin_in_the_default_state_or_are_in_the_one_that_is_named(make):
    states = [{"id": "draft", "name": "Draft"}, {"id": "done", "name": "Done"}]
    flow = ["workflow", {"id": "wf", "alias": "wf", "name": "W", "defaultStateId": "draft", "states": states}]
    records = [
        {"id": "a", "schemaId": "schema-hat", "values": {}},
        {
            "id": "b",
            "schemaId": "schema-hat",
            "values": {},
            "lifecycleStateId": "done",
            "createdAt": TIME,
            "createdBy": "apikey-x",
        },
    ]
    _, ours = make({"model": [schema("title", workflowId="wf"), text_attribute("title"), flow], "records": records})
    one, other = ours.get("/records").json["items"]
    assert (one["lifecycleStateId"], other["lifecycleStateId"]) == ("draft", "done")
    assert [other[name] for name in ("createdAt", "updatedAt", "createdBy", "updatedBy")] == [
        TIME,
        TIME,
        "apikey-x",
        "apikey-x",
    ]


def test_every_user_of_a_seed_has_a_session_and_none_a_password(app, make, anonymous, error):
    roles = [["role", {"id": f"role-{name}", "name": name, "canManageRoles": name == "chief"}] for name in ("reader", "chief")]
    users = [
        {"id": "user-editor", "name": "Ed", "roleId": "role-reader"},
        {"id": "editor", "name": "Edna", "roleId": "role-reader"},  # whose email would be the same
        {"id": "user-boss", "name": "Bo", "roleId": "role-chief"},
    ]
    made, ours = make({"users": users, "model": roles})
    assert list(made) == ["id", "name", "admin", "editor", "others", "keys"]
    assert (made["admin"]["user"]["id"], made["editor"]["user"]["id"], list(made["others"])) == (
        *("user-boss", "user-editor", ["editor"]),
    )
    assert ours.get("/api-keys").status_code == 200
    for session in (made["editor"], made["others"]["editor"]):
        caller = Caller(app, {"Authorization": f"Bearer {session['token']}"})
        assert caller.get("/roles").status_code == 200
        error(caller.get("/api-keys"), 403)
        error(anonymous.post("/auth/login", {"email": session["user"]["email"], "password": "admin"}), 401)


def test_an_empty_seed_is_an_empty_workspace(make, seed_of):
    assert seed_of(make({})[0]["id"]) == seed_of(make("empty")[0]["id"])


# What is wrong with one


def small():
    """Return a seed that is right, to be made wrong."""
    return {
        "users": [{"id": "user-admin", "name": "A", "roleId": "role-a"}],
        "model": [
            ["role", {"id": "role-a", "name": "A"}],
            text_attribute("title", validation={"unique": True, "maxLength": 5}),
            ["attribute", {"id": "attr-price", "alias": "price", "name": "Price", "type": "number"}],
            schema("title", "price"),
            schema("title", id="schema-sock", alias="sock", variantEnabled=False),
            ["catalog", {"id": "cat-a", "alias": "a", "name": "A"}],
            ["catalog", {"id": "cat-b", "alias": "b", "name": "B"}],
        ],
        "records": [
            {"id": "ent-1", "schemaId": "schema-hat", "values": values(title="One", price=1)},
            {"id": "ent-2", "schemaId": "schema-hat", "values": values(title="Two")},
            {"id": "ent-3", "schemaId": "schema-sock", "values": {}},
        ],
        "variants": [
            {"id": "var-1", "entityId": "ent-1", "values": values(title="V1")},
            {"id": "var-2", "entityId": "ent-1", "parentId": "var-1", "values": {}},
        ],
        "history": [{"entityId": "ent-1", "action": "update", "userId": "user-admin", "timestamp": TIME, "changes": []}],
        "categories": [
            ["cat-a", {"id": "top", "alias": "top", "name": "Top"}],
            ["cat-a", {"id": "low", "alias": "low", "name": "Low", "parentId": "top"}],
        ],
        "assignments": [["low", "ent-1"]],
        "savedQueries": [
            {"id": "sq-1", "name": "Q", "query": {"criteria": [{"attribute": "title", "operator": "equals", "value": "x"}]}}
        ],
        "webhooks": [{**HOOK, "id": "wh-1"}, {**HOOK, "id": "wh-2"}],
    }


WRONG = [  # where, what is put there, and the message, or how it begins
    (("records", 1, "values", "price"), [{"value": "x"}], "records[1].values.price[0].value: Attribute 'price' expects type"),
    (
        ("records", 1, "values", "title"),
        [{"value": "Longer"}],
        "records[1].values.title[0].value: Attribute 'title' expects at",
    ),
    (("records", 1, "values", "colour"), [{"value": 1}], "records[1].values.colour: schema 'schema-hat' has no attribute"),
    (("records", 1, "values", "price"), [{"value": 1, "scpe": {}}], "records[1].values.price[0].scpe: Unknown field"),
    (("records", 1, "values", "price"), 5, "records[1].values.price: Expected an array of values with their scopes"),
    (
        ("records", 1, "values", "price"),
        [{"scope": {"dim-x": "y"}, "value": 1}],
        "records[1].values.price[0].scope: attribute 'price' has no dimension 'dim-x'",
    ),
    (
        ("variants", 0, "values", "title", 0, "value"),
        "Two",
        "variants[0].values.title[0].value: 'Two' is already the value of 'ent-2'",
    ),
    (("records", 1, "schemaId"), "schema-x", "records[1].schemaId: schema 'schema-x' does not exist in this seed"),
    (("records", 1, "schemaId"), None, "records[1].schemaId: Expected a value"),
    (("records", 1, "id"), "ent-1", "records[1].id: 'ent-1' is already taken in this seed"),
    (("records", 1, "id"), "a/b", "records[1].id: Expected 1 to 100 letters"),
    (("records", 1, "createdAt"), "yesterday", "records[1].createdAt: Expected a date and time with a zone"),
    (("records", 1, "lifecycleStateId"), "s", "records[1].lifecycleStateId: expected none, got 's'"),
    (("records", 1, "colour"), "red", "records[1].colour: Unknown field"),
    (("records",), {}, "records: Expected an array"),
    (("variants", 0, "entityId"), "ent-9", "variants[0].entityId: record 'ent-9' does not exist in this seed"),
    (("variants", 0, "entityId"), "ent-3", "variants[1].parentId: expected 'ent-1' or a variant of it"),
    (("variants", 1, "parentId"), "var-9", "variants[1].parentId: expected 'ent-1' or a variant of it that comes before, got"),
    (("variants", 1, "level"), 1, "variants[1].level: expected 2, got 1"),
    (("variants", 1, "id"), "ent-2", "variants[1].id: 'ent-2' is already taken in this seed"),
    (("variants", 1), {"entityId": "ent-3", "values": {}}, "variants[1].entityId: schema 'schema-sock' has no variants"),
    (("history", 0, "action"), "looked", "history[0].action: Expected one of: create, update"),
    (("history", 0, "timestamp"), "2024-13-01", "history[0].timestamp: Expected a date and time with a zone"),
    (("history", 0, "timestamp"), "2024-12-01", "history[0].timestamp: Expected a date and time with a zone"),
    (
        ("history",),
        2 * [{"id": "audit-1", "entityId": "ent-1", "action": "update", "userId": "u", "timestamp": TIME, "changes": []}],
        "history[1].id: 'audit-1' is already taken in this seed",
    ),
    (("model", 1, 1, "alias"), None, "model[1][1].alias: Expected a value"),
    (("model", 1, 1, "type"), "txt", "model[1][1].type: Expected one of: text"),
    (("model", 2, 1, "alias"), "title", "model[2][1].alias: 'title' is already taken in this seed"),
    (("model", 2, 1, "id"), "attr-title", "model[2][1].id: 'attr-title' is already taken in this seed"),
    (("model", 3, 1, "workflowId"), "wf-x", "model[3][1].workflowId: workflow 'wf-x' does not exist in this seed"),
    (
        ("model", 3, 1, "attributeGroups", 0, "attributeIds", 1),
        "attr-x",
        "model[3][1].attributeGroups[0].attributeIds[1]: attribute 'attr-x' does not exist in this seed",
    ),
    (("model", 0, 0), "rolle", "model[0][0]: Expected one of: "),
    (("model", 0, 0), ["role"], "model[0][0]: Expected one of: "),
    (("model", 0), {"role": {}}, "model[0]: Expected an array of two: a kind of model object, and its body"),
    (("model", 0, 1), "role-a", "model[0][1]: Expected an object, got 'role-a'"),
    (("users", 0, "roleId"), "role-x", "users[0].roleId: role 'role-x' does not exist in this seed"),
    (("users", 0, "password"), "secret-1", "users[0].password: Unknown field"),
    (("users", 0, "email"), "a@b.example", "users[0].email: Unknown field"),
    (("apiKeys",), [], "apiKeys: Unknown field"),
    (("categories", 1, 1, "parentId"), "lost", "categories[1][1].parentId: category 'lost' does not exist in catalog 'cat-a'"),
    (("categories", 1, 0), "cat-b", "categories[1][1].parentId: category 'top' does not exist in catalog 'cat-b'"),
    (("categories", 0, 0), "cat-x", "categories[0][0]: catalog 'cat-x' does not exist in this seed"),
    (("categories", 0, 1, "parentId"), "low", "categories[0][1].parentId: expected a category that is not below this one"),
    (("categories", 0, 1, "name"), " ", "categories[0][1].name: Expected at least one character that is not blank"),
    (("categories", 1, 1), {"id": "top", "alias": "a", "name": "A"}, "categories[1][1].id: 'top' is already taken in this"),
    (("assignments", 0, 0), "lost", "assignments[0][0]: category 'lost' does not exist in this seed"),
    (("assignments", 0, 1), "var-1", "assignments[0][1]: record 'var-1' does not exist in this seed"),
    (("assignments", 0), ["low"], "assignments[0]: Expected an array of two: the ids of a category and of a record"),
    (
        ("savedQueries", 0, "query", "criteria", 0, "attribute"),
        "x",
        "savedQueries[0].query.criteria[0].attribute: no attribute",
    ),
    (("savedQueries", 0, "query"), 1, "savedQueries[0].query: Expected an object"),
    (("webhooks", 1, "id"), "wh-1", "webhooks[1].id: 'wh-1' is already taken in this seed"),
    (("webhooks", 1, "url"), "ftp://a", "webhooks[1].url: Expected an http or https URL with a host"),
    (("webhooks", 1, "url"), "http://a:0/", "webhooks[1].url: Expected a URL with the name or IP address of a host"),
    (("webhooks", 1, "events"), [], "webhooks[1].events: Expected at least one event"),
    (("webhooks", 1, "secret"), "••••••••", "webhooks[1].secret: Expected the secret itself"),
    (("webhooks", 1, "secret"), "", "webhooks[1].secret: Expected 1 to 200 characters"),
    (("webhooks",), [HOOK] * 51, "webhooks: Expected at most 50 items, got 51"),
]


@each(("place", "value", "said"), WRONG, ids=[f"{'.'.join(map(str, case[0]))}={case[1]}"[:60] for case in WRONG])
def test_what_is_wrong_with_a_seed_is_named_by_its_path_and_nothing_is_made(standin, stored, error, place, value, said):
    seed, before = small(), stored()
    here = seed
    for step in place[:-1]:
        here = here[step]
    here[place[-1]] = value
    assert said in (message := error(standin("POST", "/workspaces", {"content": seed}), 400)), message
    assert message.startswith(said) or place == ("variants", 0, "entityId")
    assert stored() == before


def test_a_seed_may_not_name_one_unique_option_twice(standin, make, seed_of, error):
    seed = seed_of()
    color = next(body for kind, body in seed["model"] if kind == "attribute" and body.get("optionListId") == "ol-colors")
    (option, *_) = next(body for kind, body in seed["model"] if body["id"] == "ol-colors")["values"]
    color["validation"] = {"unique": True}
    names = option["id"], option["alias"]
    seed["records"] = [
        {"id": f"ent-{name}", "schemaId": "schema-apparel", "values": values(**{color["alias"]: name})} for name in names
    ]
    for part in ("variants", "history", "assignments"):
        seed[part] = []
    expected = f"records[1].values.{color['alias']}[0].value: '{names[1]}' is already the value of 'ent-{names[0]}'"
    assert error(standin("POST", "/workspaces", {"content": seed}), 400) == expected
    del seed["records"][0]
    made, ours = make(seed)
    taken = {"schemaId": "schema-apparel", "values": values(**{color["alias"]: names[0]})}
    for caller in (ours, make(made["id"])[1], make(seed_of(made["id"]))[1]):
        error(caller.post("/records", taken), 409)


def test_the_history_of_each_record_of_the_demo_is_in_the_order_of_time(admin):
    for record in admin.get("/records?limit=1000").json["items"]:
        entries = admin.get(f"/records/{record['id']}/audit-log?limit=1000").json["items"]
        times = [entry["timestamp"] for entry in entries]
        assert times == sorted(times, reverse=True), record["id"]
        assert (entries[-1]["action"], entries[-1]["entityId"]) == ("create", record["id"])


def test_a_creation_that_a_seed_lacks_comes_where_its_time_is_and_before_all_else_of_its_own(make):
    seed = small()
    change = {"action": "update", "userId": "user-admin", "changes": []}
    seed["records"][0]["createdAt"], seed["variants"][0]["createdAt"] = "2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z"
    record, variant = seed["records"][0]["id"], seed["variants"][0]["id"]
    assert seed["variants"][0]["entityId"] == record
    seed["history"] = [
        {"entityId": record, "timestamp": "2026-01-02T01:00:00+01:00", **change},
        {"entityId": record, "timestamp": "2026-01-04T00:00:00Z", **change},
        {"entityId": record, "timestamp": "2026-01-01T12:00:00Z", **change},  # the clock had been set back
        {"entityId": seed["variants"][1]["id"], "timestamp": "2026-01-05T00:00:00Z", **change},  # made now, says its creation
    ]
    client = make(seed)[1]
    entries = client.get(f"/records/{record}/audit-log").json["items"]
    assert [(entry["action"], entry["entityId"], entry["timestamp"][:13]) for entry in reversed(entries)][:-2] == [
        ("create", record, "2026-01-01T00"),
        ("update", record, "2026-01-02T01"),
        ("create", variant, "2026-01-03T00"),
        ("update", record, "2026-01-04T00"),
        ("update", record, "2026-01-01T12"),
    ]
    assert [entry["action"] for entry in entries[:2]] == ["update", "create"]


def test_the_same_seed_with_nothing_wrong_is_taken(make, seed_of):
    seed = seed_of(make(small())[0]["id"])
    assert [variant["level"] for variant in seed["variants"]] == [1, 2]
    assert [entry["action"] for entry in seed["history"]] == ["create", "update"] + ["create"] * 4


def test_many_faults_are_named_at_once(standin, error):
    seed = small()
    seed["records"][0]["values"]["price"][0]["value"] = seed["records"][1]["values"]["title"][0]["value"] = True
    assert error(standin("POST", "/workspaces", {"content": seed}), 400) == (
        "records[0].values.price[0].value: Attribute 'price' expects type 'number', got 'boolean';"
        " records[1].values.title[0].value: Attribute 'title' expects type 'text', got 'boolean' (send \"true\", in quotes)"
    )


@each("content", [["demo"], 5, True, None, "", "full", "ws-nowhere", "ws-other", "WS-DEMO"], ids=str)
def test_content_that_is_none_makes_no_workspace(standin, stored, error, content):
    before = stored()
    assert error(standin("POST", "/workspaces", {"content": content}), 400).startswith("content: ")
    assert stored() == before


def test_a_deployments_workspace_is_answered_like_an_unknown_one(standin, error):
    for method, path, body, status in (
        ("POST", "/workspaces", {"content": "ID"}, 400),
        ("GET", "/workspaces/ID/seed", None, 404),
    ):
        told = [
            error(standin(method, path.replace("ID", id), body and {"content": id}), status).replace(id, "…")
            for id in ("ws-other", "ws-nowhere")
        ]
        assert told[0] == told[1]


def test_a_seed_of_more_than_a_mebibyte_is_too_large_and_is_copied_by_its_id_instead(
    app, standin, make, seed_of, error, stored
):
    seed = small()
    seed["model"][1] = text_attribute("title", validation={})
    seed["records"] = [{"schemaId": "schema-hat", "values": values(title="x" * 500)} for _ in range(1200)]
    seed["variants"], seed["assignments"], seed["history"] = [], [], []
    made, ours = make(seed)
    whole = seed_of(made["id"])
    assert len(json.dumps(whole)) > MAX_BODY
    before = stored()
    error(standin("POST", "/workspaces", {"content": whole}), 413)
    assert stored() == before
    assert make(made["id"])[1].get("/records").json["total"] == ours.get("/records").json["total"] == 1200


# How many there are


def test_test_workspaces_are_listed_oldest_first(standin, make):
    assert standin("GET", "/workspaces").json == []
    made = [make("empty")[0]["id"] for _ in range(3)]
    assert standin("DELETE", f"/workspaces/{made.pop(1)}").status_code == 204
    made.append(make("demo")[0]["id"])
    listed = standin("GET", "/workspaces").json
    assert [list(item) for item in listed] == [["id", "name", "createdAt"]] * 3
    assert [item["id"] for item in listed] == made
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", item["createdAt"]) for item in listed)
    assert [item["createdAt"] for item in listed] == sorted(item["createdAt"] for item in listed)


def test_there_are_at_most_a_thousand_and_the_refusal_says_how_to_have_fewer(app, standin, make, error, stored):
    numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999)"
    sql(
        app, f"{numbers} INSERT INTO workspaces (id, name, is_disposable, created_at) SELECT 'ws-' || i, 'T', 1, ? FROM n", TIME
    )
    last = make("empty")[0]["id"]
    before = stored()
    message = error(standin("POST", "/workspaces", {}), 409)
    assert "1000" in message
    assert "DELETE /standin/workspaces/{id} removes one, POST /standin/reset with {" in message
    body = json.loads(message[message.rindex("{") : message.rindex("}") + 1])
    assert stored() == before
    assert standin("DELETE", f"/workspaces/{last}").status_code == 204
    make("empty")
    assert standin("POST", "/reset", body).status_code == 204
    assert standin("GET", "/workspaces").json == []
    make("demo")


def test_a_demo_without_users_can_be_copied_too(app, make):
    for user in ("admin@sigma.io", "editor@sigma.io"):
        sql(app, "DELETE FROM users WHERE email = ?", user)
    made, ours = make("ws-demo")
    assert made["admin"]["user"]["id"] == "user-admin"
    assert ours.get("/records").json["total"] == 47
