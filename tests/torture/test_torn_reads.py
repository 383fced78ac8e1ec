"""An answer is of one state of the database, whoever writes between the reads that it is made of."""

import shutil
import sqlite3
from contextlib import closing

import pytest
from conftest import Caller, replace_everywhere
from nouns import NOUNS, ROLE

from sigma import database

RECORD, VARIANT = "/records/ent-coastal-wb", "/records/ent-coastal-wb/variants/var-cw-s-red"
READS = [
    *("/records", "/records?schemaId=schema-apparel&limit=1", RECORD, "/variants", f"{RECORD}/variants", VARIANT),
    *(f"{VARIANT}/resolved", f"{RECORD}/completeness", f"{RECORD}/transitions", f"{RECORD}/audit-log", f"{RECORD}/categories"),
    *(path for noun in NOUNS for path in (noun.path, noun.demo_url)),
    *("/schemas/schema-apparel/attributes", "/catalogs/cat-webshop/tree"),
    *("/categories/cat-men", "/categories/cat-men/entities", "/api-keys"),
    *("/search/text?q=coastal", "/saved-queries", "/saved-queries/sq-cheap-caps", "/webhooks", "/webhooks/wh-sync-notify"),
    *("/export", "/export?format=csv&schemaId=schema-apparel", "/export?catalogId=cat-webshop"),
]
MATRIX = "/dimensions/scope-matrix", {"dimensionIds": ["dim-language", "dim-market"]}
RESOLVED = "/roles/role-editor/resolve", {"schemaId": "schema-apparel", "attributeIds": ["attr-size", "attr-sku"]}
FILLED = [{"attribute": "product-name", "operator": "isNotEmpty"}, {"attribute": "size", "operator": "notEquals", "value": "S"}]
SEARCH = "/search", {"schemaId": "schema-apparel", "criteria": FILLED}
FULL_TEXT = "/search/full-text", {"schemaId": "schema-apparel", "query": "coastal"}
EXECUTION = "/saved-queries/sq-cheap-caps/execute", None
ROWS = [{"Id": "ent-coastal-wb", "Name": "Other", "SKU": "NW-100"}, {"Name": "New"}]
COLUMNS = {"Id": "_id", "Name": "product-name", "SKU": "sku"}
PREVIEW = "/import/preview", {"schemaId": "schema-apparel", "columnMapping": COLUMNS, "rows": ROWS}
POSTS = [MATRIX, RESOLVED, SEARCH, FULL_TEXT, EXECUTION, PREVIEW]


def everywhere(value):
    """The scoped values of an attribute that has one value for all scopes."""
    return [{"scope": {}, "value": value}]


def call(caller, method, path, body=None):
    """Send a request that must succeed."""
    answer = caller.request(method, path, json=body)
    assert answer.status_code in (200, 201, 204), answer.text
    return answer.json if answer.data else None


def change_all(admin):
    """Change what is read together, in such a way that parts of the old state and of the new show as a mixture."""
    for path in (RECORD, VARIANT):
        values = {"size": "new", "care": {}, "description": f"New {path}", "sku": f"NW-{len(path):03}"}
        call(admin, "PUT", path, {"values": {alias: everywhere(value) for alias, value in values.items()}})
    for id, more in {"attr-size": {"inheritable": False, "validation": {"required": True}}, "attr-sku": {}}.items():
        attribute = call(admin, "GET", f"/attributes/{id}")
        call(admin, "PUT", f"/attributes/{id}", {**attribute, **more, "name": "New"})
    schema = call(admin, "GET", "/schemas/schema-apparel")
    for place, group in enumerate(schema["attributeGroups"]):
        group.update(sortOrder=-place, attributeIds=group["attributeIds"][::-1])
    call(admin, "PUT", "/schemas/schema-apparel", schema)
    for id in ("dim-language", "dim-market"):
        dimension = call(admin, "GET", f"/dimensions/{id}")
        call(admin, "PUT", f"/dimensions/{id}", {**dimension, "segments": dimension["segments"][::-1]})
    workflow, ends = call(admin, "GET", "/workflows/wf-standard"), {"fromStateId": "state-draft", "toStateId": "state-review"}
    ways = [{"id": f"tr-{score}", **ends, "requiresCompleteness": score} for score in (0, 100)]
    call(admin, "PUT", "/workflows/wf-standard", {**workflow, "transitions": ways})
    call(admin, "POST", f"{RECORD}/variants", {"id": "var-new"})
    call(admin, "POST", "/records", {"id": "ent-new", "schemaId": "schema-apparel", "values": {}})
    call(admin, "POST", "/catalogs/cat-webshop/categories", {"id": "cat-new", "alias": "new", "name": "New"})
    for record in ("ent-coastal-wb", "ent-new"):
        call(admin, "POST", "/categories/cat-men/assign", {"entityId": record})
    call(admin, "PUT", "/catalogs/cat-webshop", {"alias": "webshop", "name": "New"})
    levels = [{"schemaId": "schema-apparel", "attributePermissions": {"size": "hidden", "sku": "hidden"}}]
    role = call(admin, "GET", "/roles/role-editor")
    call(admin, "PUT", "/roles/role-editor", {**role, "schemaPermissions": levels})
    call(admin, "DELETE", "/saved-queries/sq-cheap-caps")
    call(admin, "POST", "/saved-queries", {"id": "sq-cheap-caps", "name": "New", "query": SEARCH[1]})
    webhook = call(admin, "GET", "/webhooks/wh-sync-notify")
    call(admin, "PUT", "/webhooks/wh-sync-notify", {**webhook, "name": "New"})


def delete_all(admin):
    """Delete what can be deleted."""
    call(admin, "DELETE", "/webhooks/wh-sync-notify")
    call(admin, "DELETE", "/saved-queries/sq-cheap-caps")
    for record in call(admin, "GET", "/records")["items"]:
        call(admin, "DELETE", f"/records/{record['id']}")
    for role in call(admin, "GET", "/roles"):
        call(admin, "PUT", f"/roles/{role['id']}", {**role, "schemaPermissions": [], "catalogPermissions": []})
    for workflow in call(admin, "GET", "/workflows"):
        call(admin, "PUT", f"/workflows/{workflow['id']}", {**workflow, "transitions": []})
    for path in (noun.path for noun in reversed(NOUNS) if noun is not ROLE):
        for item in reversed(call(admin, "GET", path)):  # an attribute may refer to an older one
            call(admin, "DELETE", f"{path}/{item['id']}")


@pytest.fixture(scope="module")
def states(session_app, template, tokens, tmp_path_factory):
    """Databases of the demo: as it is, with all changed, with all deleted."""
    folder, before = tmp_path_factory.mktemp("states"), session_app.config["DATABASE"]
    admin = Caller(session_app, {"Authorization": f"Bearer {tokens['admin@sigma.io']}"})
    for name, prepare in {"old": lambda _: None, "changed": change_all, "gone": delete_all}.items():
        session_app.config["DATABASE"] = str(shutil.copy(template, folder / name))
        prepare(admin)
        database.close_db()
    session_app.config["DATABASE"] = before
    return folder


@pytest.fixture
def put_in_place(app, states):
    """Put one of the states in the place of what the database holds, in one transaction, as `flask restore` does."""

    def put(name):
        with closing(sqlite3.connect(states / name)) as source, closing(sqlite3.connect(app.config["DATABASE"])) as live:
            source.backup(live)

    return put


def test_every_read_is_tried(app):
    routes, alone = app.url_map.bind("localhost"), {"/api/v1/auth/tenants", "/api/v1/healthz"}  # these two read once
    tried = {routes.match(f"/api/v1{path.partition('?')[0]}", return_rule=True)[0].rule for path in READS}
    routes = [rule for rule in app.url_map.iter_rules() if rule.access.kind != "not-built"]
    reads = {rule.rule for rule in routes if rule.rule.startswith("/api/v1/") and "GET" in rule.methods}
    assert tried == reads - alone


@pytest.mark.parametrize("new", ["changed", "gone"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [*(("GET", path, None) for path in READS), *(("POST", *post) for post in POSTS)],
    ids=[*READS, *(path for path, _ in POSTS)],
)
def test_an_answer_is_of_one_state(admin, put_in_place, monkeypatch, new, method, path, body):
    def ask():
        answer = admin.request(method, path, json=body)
        return answer.status_code, answer.data

    expected = set()
    for name in ("old", new):
        put_in_place(name)
        expected.add(ask())
    original, moment, calls = database.get_db, 0, 0

    def get_db():  # every statement asks for the connection first
        nonlocal calls
        calls += 1
        if calls == moment:
            put_in_place(new)
        return original()

    replace_everywhere(monkeypatch, database, "get_db", get_db)
    while calls >= moment:
        moment, calls = moment + 1, 0
        put_in_place("old")
        assert ask() in expected, f"another writer came before statement {moment}"
    assert moment > 2
