"""Another workspace's ids: answered like ids that exist nowhere, wherever they stand, and never touched.

The tables name ids of the demo workspace; their callers are the administrator of `ws-other`, and a key of it. Each request
is sent twice, with the demo's id and with one that exists nowhere but is as long, and the two answers have to be the same
to the byte, headers included. A second database holds a workspace `ws-other` that uses the same ids as the demo.
"""

import re
import shutil
import sqlite3
import time
from contextlib import closing

import jwt
import nouns
import pytest
from cases import each
from conftest import Caller
from nouns import NOUNS, ROLE

import app as service
from sigma import database

SCOPED = {"scope": {}}
EMPTY_PAGE = {"items": [], "total": 0, "offset": 0, "limit": 50}
LISTS = (*nouns.LISTS, "api-keys", "records", "variants", "saved-queries", "webhooks")

NAMED = {"alias": "renamed", "name": "Renamed"}
OPTION = {"alias": "renamed", "label": "Renamed"}
WEBHOOK = {"name": "Renamed", "url": "http://renamed.example/", "events": ["variant.created"]}

STATES = [{"id": f"state-{state}", "name": "Renamed"} for state in ("draft", "review", "published")]
REPLACEMENTS = {  # what those of the demo can be replaced with, where that is not the smallest body
    "attributes": {"alias": "sku", "name": "Renamed", "type": "text"},
    "schemas": {**NAMED, "variantEnabled": True, "workflowId": "{wf-standard}", "attributeGroups": []},
    "dimensions": {**NAMED, "defaultSegmentId": "seg-dk", "segments": [{"id": "seg-dk", "alias": "dk", "name": "Renamed"}]},
    "workflows": {**NAMED, "defaultStateId": "state-draft", "states": STATES, "transitions": []},
}


def common_paths(noun):
    """Return the rows of FOREIGN_PATHS that every noun of the model has."""
    path = f"{noun.path}/{{{noun.demo_id}}}"
    renamed = {name: NAMED.get(name, value) for name, value in noun.minimal.items() if name != "id"}
    yield "GET", path, None, 200
    yield "PUT", path, REPLACEMENTS.get(noun.name, renamed), 200
    yield "DELETE", path, None, 409 if noun.is_used else 204


# Every operation with an id in its path: the demo's ids in braces, a body that would do, and what a workspace that has
# these ids itself is answered.
FOREIGN_PATHS = [
    ("POST", "/api-keys/{apikey-sync-prod}/deactivate", None, 404),
    ("DELETE", "/api-keys/{apikey-sync-prod}", None, 404),
    *(row for noun in NOUNS for row in common_paths(noun)),
    ("GET", "/schemas/{schema-apparel}/attributes", None, 200),
    ("POST", "/option-lists/{ol-colors}/values", {"id": "val-new", "alias": "new", "label": "New"}, 201),
    ("PUT", "/option-lists/{ol-colors}/values/{val-red}", OPTION, 200),
    ("DELETE", "/option-lists/{ol-colors}/values/{val-red}", None, 204),
    ("POST", "/roles/{role-editor}/resolve", {"schemaId": "{schema-apparel}"}, 200),
    ("GET", "/catalogs/{cat-webshop}/tree", None, 200),
    ("POST", "/catalogs/{cat-webshop}/categories", {"id": "cat-new", **NAMED}, 201),
    ("GET", "/categories/{cat-men}", None, 200),
    ("GET", "/categories/{cat-men-windbreakers}/entities", None, 200),
    ("PUT", "/categories/{cat-men}", NAMED, 200),
    ("DELETE", "/categories/{cat-men}", None, 204),
    ("POST", "/categories/{cat-men}/assign", {"entityId": "{ent-trail-cap}"}, 204),
    ("POST", "/categories/{cat-men-windbreakers}/unassign", {"entityId": "{ent-coastal-wb}"}, 204),
    ("GET", "/records/{ent-coastal-wb}", None, 200),
    ("GET", "/records/{ent-coastal-wb}/transitions", None, 200),
    ("GET", "/records/{ent-coastal-wb}/completeness", None, 200),
    ("GET", "/records/{ent-coastal-wb}/audit-log", None, 200),
    ("GET", "/records/{ent-coastal-wb}/categories", None, 200),
    ("GET", "/records/{ent-coastal-wb}/variants", None, 200),
    ("PUT", "/records/{ent-coastal-wb}", {"values": {"size": [{**SCOPED, "value": "XL"}]}}, 200),
    ("PATCH", "/records/{ent-coastal-wb}/values/{size}", {"value": "XL"}, 200),
    ("POST", "/records/{ent-trail-cap}/transition", {"toStateId": "state-draft"}, 200),
    ("DELETE", "/records/{ent-coastal-wb}", None, 204),
    ("POST", "/records/{ent-coastal-wb}/variants", {"id": "var-new", "values": {}}, 201),
    ("GET", "/records/{ent-coastal-wb}/variants/{var-cw-s}", None, 200),
    ("GET", "/records/{ent-coastal-wb}/variants/{var-cw-s}/resolved", None, 200),
    ("PUT", "/records/{ent-coastal-wb}/variants/{var-cw-s}", {"values": {"size": [{**SCOPED, "value": "XL"}]}}, 200),
    ("PATCH", "/records/{ent-coastal-wb}/variants/{var-cw-s}/values/{size}", {"value": "XL"}, 200),
    ("DELETE", "/records/{ent-coastal-wb}/variants/{var-cw-s}", None, 204),
    ("GET", "/saved-queries/{sq-cheap-caps}", None, 200),
    ("DELETE", "/saved-queries/{sq-cheap-caps}", None, 204),
    ("POST", "/saved-queries/{sq-cheap-caps}/execute", None, 200),
    ("GET", "/webhooks/{wh-sync-notify}", None, 200),
    ("PUT", "/webhooks/{wh-sync-notify}", WEBHOOK, 200),
    ("DELETE", "/webhooks/{wh-sync-notify}", None, 204),
]

KINDS = {  # how a 404 calls what is missing, by what stands before its id in the path
    **{noun.name: noun.kind for noun in NOUNS},
    **{"api-keys": "API key", "categories": "Category", "records": "Record", "variants": "Variant"},
    **{"saved-queries": "Saved query", "webhooks": "Webhook"},
}

# What a workspace with ids of its own puts in those bodies, so that nothing but the path can be at fault.
MINE = {"schema-apparel": "schema-own", "wf-standard": "wf-own", "ent-coastal-wb": "ent-own", "ent-trail-cap": "ent-own"}

# Paths that begin with an id of one's own workspace and end with one of another, or the other way round.
MIXED_PATHS = [
    ("PUT", "/option-lists/ol-own/values/{val-red}", OPTION),
    ("DELETE", "/option-lists/ol-own/values/{val-red}", None),
    ("PATCH", "/records/ent-own/values/{sku}", {"value": "XL"}),
    ("GET", "/records/ent-own/variants/{var-cw-s}", None),
    ("GET", "/records/ent-own/variants/{var-cw-s}/resolved", None),
    ("PUT", "/records/ent-own/variants/{var-cw-s}", {"values": {}}),
    ("PATCH", "/records/ent-own/variants/{var-cw-s}/values/own-name", {"value": "Mine"}),
    ("PATCH", "/records/ent-own/variants/var-own/values/{sku}", {"value": "XL"}),
    ("DELETE", "/records/ent-own/variants/{var-cw-s}", None),
    ("GET", "/records/{ent-coastal-wb}/variants/var-own", None),
    ("GET", "/records/{ent-coastal-wb}/variants/var-own/resolved", None),
    ("PUT", "/records/{ent-coastal-wb}/variants/var-own", {"values": {}}),
    ("PATCH", "/records/{ent-coastal-wb}/variants/var-own/values/own-name", {"value": "Mine"}),
    ("DELETE", "/records/{ent-coastal-wb}/variants/var-own", None),
]

# A little of everything in a workspace, in the order in which it can be made.
OWN = [
    ("/dimensions", {"id": "dim-own", "alias": "own", "name": "Own", "defaultSegmentId": "seg-own",
                     "segments": [{"id": "seg-own", "alias": "own", "name": "Own"}]}),
    ("/option-lists", {"id": "ol-own", "alias": "own", "name": "Own",
                       "values": [{"id": "val-own", "alias": "own", "label": "Own", "sortOrder": 1}]}),
    ("/attributes", {"id": "attr-own-name", "alias": "own-name", "name": "Name", "type": "text", "dimensionIds": ["dim-own"]}),
    ("/attributes", {"id": "attr-own-color", "alias": "own-color", "name": "Hue", "type": "option", "optionListId": "ol-own"}),
    ("/attributes", {"id": "attr-own-link", "alias": "own-link", "name": "Link", "type": "relation"}),
    ("/attributes", {"id": "attr-own-list", "alias": "own-list", "name": "List", "type": "relation", "multiple": True}),
    ("/workflows", {"id": "wf-own", "alias": "own", "name": "Own", "defaultStateId": "state-own",
                    "states": [{"id": "state-own", "name": "Own"}], "transitions": []}),
    ("/schemas", {"id": "schema-own", "alias": "own", "name": "Own", "variantEnabled": True, "workflowId": "wf-own",
                  "attributeGroups": [{"id": "grp-own", "name": "Own", "sortOrder": 0,
                                       "attributeIds": ["attr-own-name", "attr-own-color", "attr-own-link",
                                                        "attr-own-list"]}]}),
    ("/roles", {"id": "role-own", "name": "Own"}),
    ("/catalogs", {"id": "cat-own", "alias": "own", "name": "Own"}),
    ("/catalogs/cat-own/categories", {"id": "cat-own-top", "alias": "top", "name": "Top"}),
    ("/catalogs/cat-own/categories", {"id": "cat-own-low", "alias": "low", "name": "Low", "parentId": "cat-own-top"}),
    ("/records", {"id": "ent-own", "schemaId": "schema-own", "values": {}}),
    ("/records/ent-own/variants", {"id": "var-own", "values": {}}),
    ("/saved-queries", {"id": "sq-own", "name": "Own", "query": {}}),
    ("/webhooks", {"id": "wh-own", "name": "Own", "url": "http://own.example/", "events": ["entity.created"], "active": False}),
]  # fmt: skip
OWN_IDS = {
    **{name: [] for name in LISTS},
    "schemas": ["schema-own"],
    "attributes": ["attr-own-name", "attr-own-color", "attr-own-link", "attr-own-list"],
    "dimensions": ["dim-own"],
    "option-lists": ["ol-own"],
    "workflows": ["wf-own"],
    "roles": ["role-admin", "role-own"],
    "catalogs": ["cat-own"],
    "records": ["ent-own"],
    "variants": ["var-own"],
    "saved-queries": ["sq-own"],
    "webhooks": ["wh-own"],
}

NEW = {"id": "new", "alias": "new", "name": "New"}
ATTRIBUTE = {**NEW, "type": "text"}
SCHEMA = {**NEW, "variantEnabled": False, "attributeGroups": []}


def group(attribute_id):
    return {"id": "grp", "name": "Group", "sortOrder": 0, "attributeIds": ["attr-own-name", attribute_id]}


def record(**values):
    """Return a record with one value for each of these attributes of `ws-other`."""
    entries = {f"own-{alias}": [{**SCOPED, **value}] for alias, value in values.items()}
    return {"schemaId": "schema-own", "values": entries}


def criterion(alias="own-name", **more):
    """A criterion of a search."""
    return {"attribute": alias, "operator": "isNotEmpty", **more}


def table(schema_id, **cells):
    """An import of one row."""
    return {"schemaId": schema_id, "columnMapping": {column: column for column in cells}, "rows": [cells]}


def guarded_by(id):
    return {**ATTRIBUTE, "guards": [{"attributeId": id, "operator": "equals", "value": True}]}


def allowed_to(id):
    states = [{"id": "one", "name": "One"}, {"id": "two", "name": "Two"}]
    transition = {"id": "go", "fromStateId": "one", "toStateId": "two", "allowedRoleIds": ["role-admin", id]}
    return {**NEW, "defaultStateId": "one", "states": states, "transitions": [transition]}


def in_role(**permission):
    field = "schemaPermissions" if "schemaId" in permission else "catalogPermissions"
    return {"id": "new", "name": "New", field: [permission]}


# Every place in a body where an id can stand: the field that the refusal names, an id of the demo workspace, one of
# `ws-other` in its place, and the body.
FOREIGN_BODIES = [
    ("POST", "/schemas", "workflowId", "wf-standard", "wf-own", lambda id: {**SCHEMA, "workflowId": id}),
    ("PUT", "/schemas/schema-own", "workflowId", "wf-standard", "wf-own",
     lambda id: {**SCHEMA, "id": "schema-own", "workflowId": id}),
    ("POST", "/schemas", "attributeGroups[0].attributeIds[1]", "attr-sku", "attr-own-color",
     lambda id: {**SCHEMA, "attributeGroups": [group(id)]}),
    ("POST", "/attributes", "dimensionIds[0]", "dim-market", "dim-own", lambda id: {**ATTRIBUTE, "dimensionIds": [id]}),
    ("POST", "/attributes", "optionListId", "ol-colors", "ol-own",
     lambda id: {**ATTRIBUTE, "type": "option", "optionListId": id}),
    ("POST", "/attributes", "guards[0].attributeId", "attr-sku", "attr-own-name", guarded_by),
    ("POST", "/workflows", "transitions[0].allowedRoleIds[1]", "role-editor", "role-own", allowed_to),
    ("POST", "/roles", "schemaPermissions[0].schemaId", "schema-apparel", "schema-own",
     lambda id: in_role(schemaId=id, attributePermissions={})),
    ("POST", "/roles", "catalogPermissions[0].catalogId", "cat-webshop", "cat-own",
     lambda id: in_role(catalogId=id, canView=True)),
    ("PUT", "/roles/role-own", "catalogPermissions[0].catalogId", "cat-webshop", "cat-own",
     lambda id: in_role(catalogId=id, canView=True) | {"id": "role-own"}),
    ("POST", "/roles/role-own/resolve", "schemaId", "schema-apparel", "schema-own", lambda id: {"schemaId": id}),
    ("POST", "/roles/role-own/resolve", "attributeIds[1]", "attr-sku", "attr-own-color",
     lambda id: {"schemaId": "schema-own", "attributeIds": ["attr-own-name", id]}),
    ("POST", "/dimensions/scope-matrix", "dimensionIds[0]", "dim-market", "dim-own", lambda id: {"dimensionIds": [id]}),
    ("POST", "/catalogs/cat-own/categories", "parentId", "cat-men", "cat-own-top", lambda id: {**NEW, "parentId": id}),
    ("PUT", "/categories/cat-own-low", "parentId", "cat-men", "cat-own-top",
     lambda id: {"alias": "low", "name": "Low", "parentId": id}),
    ("POST", "/categories/cat-own-top/assign", "entityId", "ent-coastal-wb", "ent-own", lambda id: {"entityId": id}),
    ("POST", "/categories/cat-own-top/unassign", "entityId", "ent-coastal-wb", "ent-own", lambda id: {"entityId": id}),
    ("POST", "/records", "schemaId", "schema-apparel", "schema-own", lambda id: {"schemaId": id, "values": {}}),
    ("POST", "/records", "values.own-link[0].value", "ent-coastal-wb", "ent-own", lambda id: record(link={"value": id})),
    ("POST", "/records", "values.own-list[0].value", "ent-coastal-wb", "ent-own", lambda id: record(list={"value": [id]})),
    ("POST", "/records", "values.own-color[0].value", "val-red", "val-own", lambda id: record(color={"value": id})),
    ("POST", "/records", "values.own-name[0].scope", "dim-market", "dim-own",
     lambda id: record(name={"value": "Mine", "scope": {id: "seg-own"}})),
    ("POST", "/records", "values.own-name[0].scope", "seg-dk", "seg-own",
     lambda id: record(name={"value": "Mine", "scope": {"dim-own": id}})),
    ("PUT", "/records/ent-own", "values.own-link[0].value", "ent-coastal-wb", "ent-own",
     lambda id: {"values": record(link={"value": id})["values"]}),
    ("PATCH", "/records/ent-own/values/own-link", "value", "ent-coastal-wb", "ent-own", lambda id: {"value": id}),
    ("PATCH", "/records/ent-own/values/own-name", "scope", "seg-dk", "seg-own",
     lambda id: {"value": "Mine", "scope": {"dim-own": id}}),
    ("POST", "/import/preview", "schemaId", "schema-apparel", "schema-own", table),
    ("POST", "/import/execute", "schemaId", "schema-apparel", "schema-own", table),
    ("POST", "/records/ent-own/variants", "parentId", "var-cw-s", "var-own", lambda id: {"parentId": id, "values": {}}),
    ("POST", "/records/ent-own/variants", "parentId", "ent-coastal-wb", "ent-own", lambda id: {"parentId": id, "values": {}}),
    ("PUT", "/records/ent-own/variants/var-own", "values.own-link[0].value", "ent-coastal-wb", "ent-own",
     lambda id: {"values": record(link={"value": id})["values"]}),
    ("PATCH", "/records/ent-own/variants/var-own/values/own-link", "value", "ent-coastal-wb", "ent-own",
     lambda id: {"value": id}),
    ("POST", "/search", "schemaId", "schema-apparel", "schema-own", lambda id: {"schemaId": id}),
    ("POST", "/search", "criteria[0].attribute", "size", "own-name", lambda id: {"criteria": [criterion(id)]}),
    ("POST", "/search", "criteria[0].scope", "dim-market", "dim-own",
     lambda id: {"criteria": [criterion(scope={id: "seg-own"})]}),
    ("POST", "/search", "criteria[0].scope.dim-own", "seg-dk", "seg-own",
     lambda id: {"criteria": [criterion(scope={"dim-own": id})]}),
    ("POST", "/search/full-text", "schemaId", "schema-apparel", "schema-own", lambda id: {"query": "a", "schemaId": id}),
    ("POST", "/saved-queries", "query.schemaId", "schema-apparel", "schema-own",
     lambda id: {"name": "New", "query": {"schemaId": id}}),
    ("POST", "/saved-queries", "query.criteria[0].attribute", "size", "own-name",
     lambda id: {"name": "New", "query": {"criteria": [criterion(id)]}}),
]  # fmt: skip


def fill(template, change=str):
    """Return a path or body with the ids in braces as they are, or changed."""
    if isinstance(template, dict):
        return {name: fill(value, change) for name, value in template.items()}
    if not isinstance(template, str):
        return template
    return re.sub(r"\{([^}]+)\}", lambda match: change(match[1]), template)


def nowhere(id):
    """Return an id that exists nowhere, as long as this one, so that two answers can be compared to the byte."""
    return f"{id[:-1]}0"


def outcome(answer, *ids):
    """Return all of an answer, with these ids replaced by ones that exist nowhere."""
    text = answer.get_data(as_text=True)
    for id in ids:
        text = text.replace(id, nowhere(id))
    return answer.status_code, {**answer.headers, "X-Request-Id": "another for each"}, text


def message_for(path):
    """Return what a 404 says of the first id in braces, when that exists nowhere."""
    parent, id = re.search(r"/([a-z-]+)/\{([^}]+)\}", path).groups()
    value = "Option value" if path.startswith("/option-lists") else "Attribute"
    hint = " (there are 'own-link', 'own-list', 'own-color', 'own-name')" if id == "sku" else ""  # of one's own workspace
    return f"{KINDS.get(parent, value)} '{nowhere(id)}' not found{hint}"


def ids_in(template):
    """Return the ids in braces, longest first, so that none is replaced as part of another."""
    return sorted(re.findall(r"\{([^}]+)\}", template), key=len, reverse=True)


def contents(app, tenant=None):
    """Return all that the database holds of one workspace, or of all, apart from the use of keys."""
    with closing(sqlite3.connect(app.config["DATABASE"])) as db:
        db.row_factory = sqlite3.Row
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()]
        rows = {name: [dict(row) for row in db.execute(f"SELECT * FROM {name}")] for name in tables}
    for row in rows["api_keys"]:
        del row["last_used_at"], row["permission_use"], row["refused"]
    if tenant is None:
        return rows
    return {name: [row for row in rows[name] if tenant in (row.get("tenant"), row.get("id"))] for name in rows}


def listed(caller):
    """Return what a caller sees in all lists."""
    return {name: caller.get(f"/{name}").json for name in LISTS}


def build(caller, things):
    for path, body in things:
        answer = caller.post(path, body)
        assert answer.status_code == 201, (path, answer.json)


def copy_demo(admin, stranger):
    """Make everything the demo workspace holds, under the same ids, in another one."""
    for noun in NOUNS:  # the role names what comes later
        bodies = [{"id": "role-editor", "name": "Editor"}] if noun is ROLE else admin.get(noun.path).json
        build(stranger, [(noun.path, body) for body in bodies])
    assert stranger.put("/roles/role-editor", admin.get("/roles/role-editor").json).status_code == 200
    for body in admin.get("/records").json["items"]:
        build(stranger, [("/records", {name: body[name] for name in ("id", "schemaId", "values")})])
    for body in admin.get("/variants").json["items"]:
        variant = {name: body[name] for name in ("id", "parentId", "values")}
        build(stranger, [(f"/records/{body['entityId']}/variants", variant)])
    for catalog in admin.get("/catalogs").json:
        copy_categories(admin.get(f"/catalogs/{catalog['id']}/tree").json, admin, stranger)
    for body in admin.get("/saved-queries").json:
        build(stranger, [("/saved-queries", {name: body[name] for name in ("id", "name", "query")})])
    for body in admin.get("/webhooks").json:
        build(stranger, [("/webhooks", {name: body[name] for name in body if name != "secret"})])
    assert stranger.post("/records/ent-trail-cap/transition", {"toStateId": "state-review"}).status_code == 200


def copy_categories(nodes, admin, stranger):
    for node in nodes:
        category = {name: node[name] for name in ("id", "alias", "name", "parentId", "sortOrder")}
        build(stranger, [(f"/catalogs/{node['catalogId']}/categories", category)])
        for body in admin.get(f"/categories/{node['id']}/entities").json["items"]:
            assert stranger.post(f"/categories/{node['id']}/assign", {"entityId": body["id"]}).status_code == 204
        copy_categories(node["children"], admin, stranger)


@pytest.fixture(scope="module")
def prepared(template, tokens, tmp_path_factory):
    """Return two databases: `own`, where `ws-other` has a little of everything, and `same`, where it has the demo's ids."""
    folder, paths = tmp_path_factory.mktemp("tenants"), {}
    for name in ("own", "same"):
        paths[name] = folder / f"{name}.db"
        shutil.copy(template, paths[name])
        app = service.create_app({"DATABASE": str(paths[name])})
        admin, stranger = (
            Caller(app, {"Authorization": f"Bearer {tokens[email]}"}) for email in ("admin@sigma.io", "admin@other.example")
        )
        if name == "own":
            build(stranger, OWN)
        else:
            copy_demo(admin, stranger)
        database.close_db()
    return paths


@pytest.fixture
def own(app, prepared, tmp_path):
    """Return the app, where `ws-other` has objects of its own, and ids that the demo has not."""
    app.config["DATABASE"] = str(shutil.copy(prepared["own"], tmp_path / "own.db"))
    return app


@pytest.fixture
def same(app, prepared, tmp_path):
    """Return the app, where `ws-other` uses the demo's ids for objects of its own."""
    app.config["DATABASE"] = str(shutil.copy(prepared["same"], tmp_path / "same.db"))
    return app


@pytest.fixture
def sign(app):
    """Return a function that makes a caller with a session token of these claims, signed with the service's own secret."""

    def make(**claims):
        with closing(sqlite3.connect(app.config["DATABASE"])) as db:
            (secret,) = db.execute("SELECT value FROM settings WHERE name = 'jwt_secret'").fetchone()
        now = int(time.time())
        claims = {
            "userId": "user-editor",
            "workspaceId": "ws-demo",
            "roleId": "role-editor",
            "iat": now,
            "exp": now + 60,
        } | claims
        return Caller(app, {"Authorization": f"Bearer {jwt.encode(claims, secret, algorithm='HS256')}"})

    return make


# Ids in the path


def test_the_table_of_paths_holds_every_operation_with_an_id_in_its_path(app):
    live = {
        (method, re.sub(r"<\w+>", "*", rule.rule.removeprefix("/api/v1")))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1") and "<" in rule.rule and rule.access.kind != "not-built"
        for method in rule.methods - {"HEAD"}
    }
    assert {(method, fill(path, lambda _: "*")) for method, path, *_ in FOREIGN_PATHS} == live


@each(
    ("method", "path", "body"),
    [row[:3] for row in FOREIGN_PATHS] + MIXED_PATHS,
    ids=[f"{method} {path}" for method, path, *_ in FOREIGN_PATHS + MIXED_PATHS],
)
def test_an_id_of_another_workspace_in_the_path_is_not_found_like_one_that_exists_nowhere(
    method, path, body, own, stranger, make_key, error
):
    stranger_key = make_key(by=stranger)
    before = contents(own)
    for caller in (stranger, stranger_key):
        foreign = caller.request(method, fill(path), json=fill(body, MINE.get))
        unknown = caller.request(method, fill(path, nowhere), json=fill(body, MINE.get))
        if caller is stranger_key and unknown.headers["X-Sigma-Required-Permission"] == "session":  # no key may
            error(unknown, 403)
        else:
            assert error(unknown, 404) == message_for(path)
        assert outcome(foreign, *ids_in(path)) == outcome(unknown)
    assert contents(own) == before


@each(("method", "path", "body", "status"), FOREIGN_PATHS, ids=[f"{method} {path}" for method, path, *_ in FOREIGN_PATHS])
def test_an_id_that_both_workspaces_have_is_ones_own(method, path, body, status, same, stranger):
    before = contents(same, "ws-demo")
    assert stranger.request(method, fill(path), json=fill(body)).status_code == status
    assert contents(same, "ws-demo") == before


def test_the_history_of_a_deleted_record_stays_in_its_workspace(admin, stranger, error):
    assert admin.delete("/records/ent-trail-cap").status_code == 204
    foreign = stranger.get("/records/ent-trail-cap/audit-log")
    error(foreign, 404)
    assert outcome(foreign, "ent-trail-cap") == outcome(stranger.get(f"/records/{nowhere('ent-trail-cap')}/audit-log"))
    assert admin.get("/records/ent-trail-cap/audit-log").json["items"][0]["action"] == "delete"


# Ids in a body


@each(
    ("method", "path", "field", "id", "own_id", "body"),
    FOREIGN_BODIES,
    ids=[f"{method} {path} {field} {id}" for method, path, field, id, *_ in FOREIGN_BODIES],
)
def test_an_id_of_another_workspace_in_a_body_is_an_unknown_one(method, path, field, id, own_id, body, own, stranger, error):
    before = contents(own)
    foreign = stranger.request(method, path, json=body(id))
    assert error(foreign, 400).startswith(field)
    nowhere_to_be_found = outcome(stranger.request(method, path, json=body(nowhere(id))))
    of_own = [
        (*rest, sorted(re.findall(r"[\w-]+", text))) for *rest, text in (outcome(foreign, id), nowhere_to_be_found)
    ]  # by likeness
    assert of_own[0] == of_own[1]
    assert contents(own) == before
    assert stranger.request(method, path, json=body(own_id)).status_code in (200, 201, 204)


def test_a_state_of_another_workspace_is_an_unknown_one(own, stranger):
    before = contents(own)
    foreign, unknown = (
        stranger.post("/records/ent-own/transition", {"toStateId": id}) for id in ("state-draft", nowhere("state-draft"))
    )
    assert foreign.status_code in (400, 422)
    assert outcome(foreign, "state-draft") == outcome(unknown)
    assert contents(own) == before


# Lists and filters


@each(
    "path",
    [
        "/records?schemaId={schema-apparel}",
        "/records?lifecycleStateId={state-draft}",
        "/records?schemaId={schema-apparel}&lifecycleStateId={state-draft}",
        "/variants?schemaId={schema-apparel}",
    ],
)
def test_filtering_by_an_id_of_another_workspace_finds_nothing(path, own, stranger, admin):
    assert admin.get(fill(path)).json["total"] > 0
    assert stranger.get(fill(path)).json == EMPTY_PAGE
    assert stranger.get(fill(path, nowhere)).json == EMPTY_PAGE


def test_filtering_by_ones_own_ids_finds_ones_own(same, stranger, admin):
    assert stranger.delete("/records/ent-coastal-wb").status_code == 204
    for path, ours, theirs in (
        ("/records?schemaId=schema-apparel", 47, 46),
        ("/records?lifecycleStateId=state-draft", 9, 45),  # one is deleted, one was submitted
        ("/records?lifecycleStateId=state-review", 8, 1),
        ("/records?schemaId=schema-apparel&lifecycleStateId=state-draft", 9, 45),
        ("/variants?schemaId=schema-apparel", 2, 0),
    ):
        answers = [caller.get(path).json for caller in (admin, stranger)]
        assert [answer["total"] for answer in answers] == [ours, theirs]
        assert [len(answer["items"]) for answer in answers] == [ours, theirs]


def test_a_search_finds_ones_own_records_and_no_other(same, stranger, admin):
    cap = [{"attribute": "product-name", "operator": "contains", "value": "cap"}]
    asked = [
        *(("POST", "/search", {}), ("POST", "/search", {"criteria": cap}), ("POST", "/search/full-text", {"query": "cap"})),
        *(("GET", "/search/text?q=cap", None), ("POST", "/saved-queries/sq-cheap-caps/execute", None)),
    ]

    def found(caller):
        answers = [caller.request(*question).json for question in asked]
        assert all(answer["total"] == len(answer["items"]) for answer in answers)
        return [[item["id"] for item in answer["items"]] for answer in answers]

    everything = [item["id"] for item in admin.get("/records").json["items"]]
    assert found(admin) == found(stranger) == [everything] + [["ent-trail-cap"]] * 4
    assert stranger.delete("/records/ent-trail-cap").status_code == 204
    values = {"product-name": [{**SCOPED, "value": "Night Cap"}], "price": [{**SCOPED, "value": 5}]}
    build(stranger, [("/records", {"id": "ent-night-cap", "schemaId": "schema-apparel", "values": values})])
    assert found(admin) == [everything] + [["ent-trail-cap"]] * 4
    theirs = [id for id in everything if id != "ent-trail-cap"]
    assert found(stranger) == [[*theirs, "ent-night-cap"]] + [["ent-night-cap"]] * 4


@each("query", ["schemaId={schema-apparel}", "catalogId={cat-webshop}", "schemaId=schema-own&catalogId={cat-webshop}"])
def test_exporting_by_an_id_of_another_workspace_finds_nothing(query, own, stranger, admin):
    path = f"/export?{query}"
    assert admin.get(fill(path)).json != [] or "schema-own" in query
    assert stranger.get(fill(path)).json == stranger.get(fill(path, nowhere)).json == []


def test_a_catalogs_export_goes_by_the_categories_of_ones_own_workspace(own, stranger, admin):
    """A category may have one id in two workspaces, and be of another catalog there."""
    for id in ("cat-first", "cat-second"):
        for caller in (stranger, admin):
            assert caller.post("/catalogs", {"id": id, "alias": id, "name": id}).status_code == 201
    category = {"id": "cat-shared", "alias": "shared", "name": "Shared"}
    assert stranger.post("/catalogs/cat-first/categories", category).status_code == 201
    assert admin.post("/catalogs/cat-second/categories", category).status_code == 201
    assert stranger.post("/categories/cat-shared/assign", {"entityId": "ent-own"}).status_code == 204
    assert [row["_id"] for row in stranger.get("/export?catalogId=cat-first").json] == ["ent-own"]
    assert stranger.get("/export?catalogId=cat-second").json == []


def test_a_search_goes_by_the_attributes_that_ones_own_schema_has(same, stranger, admin):
    """A schema and an attribute may have the same ids in two workspaces, and belong together in one of them alone."""
    wanted = {"criteria": [{"attribute": "product-name", "operator": "isNotEmpty"}]}
    assert stranger.post("/search", wanted).json["total"] > 0
    schema = stranger.get("/schemas/schema-apparel").json
    for group in schema["attributeGroups"]:
        group["attributeIds"] = [id for id in group["attributeIds"] if id != "attr-product-name"]
    assert stranger.put("/schemas/schema-apparel", schema).status_code == 200
    assert stranger.post("/search", wanted).json["total"] == 0
    assert admin.post("/search", wanted).json["total"] > 0


def test_an_export_holds_the_records_and_columns_of_ones_own_workspace(own, stranger, admin):
    columns = ["_id", "own-name", "own-color", "own-link", "own-list"]
    assert [list(row) for row in stranger.get("/export").json] == [columns]
    assert stranger.get("/export").json[0]["_id"] == "ent-own"
    for row in admin.get("/export").json:
        assert row["_id"] != "ent-own"
        assert not set(columns[1:]) & set(row)


@each("scope", ['{"{dim-market}": "seg-own"}', '{"dim-own": "{seg-dk}"}'])
def test_a_scope_of_another_workspace_is_an_unknown_one(scope, own, stranger, error):
    name = ids_in(scope)[0]
    foreign, unknown = (stranger.get("/export", query_string={"scope": fill(scope, change)}) for change in (str, nowhere))
    assert error(foreign, 400).startswith("scope")
    assert outcome(foreign, name) == outcome(unknown)


@each("route", ["preview", "execute"])
def test_a_row_that_names_what_is_another_workspaces_is_wrong_as_if_it_were_nowhere(route, own, stranger):
    before = contents(own)
    for column, id in (("_id", "ent-coastal-wb"), ("own-link", "ent-coastal-wb"), ("own-color", "val-red")):
        foreign, unknown = (
            stranger.post(f"/import/{route}", table("schema-own", **{column: change(id)})) for change in (str, nowhere)
        )
        assert foreign.json.get("errorRows", len(foreign.json.get("errors", ()))) == 1
        assert outcome(foreign, id) == outcome(unknown)
    assert contents(own) == before


def test_a_new_workspace_sees_nothing_of_another(stranger):
    roles = stranger.get("/roles").json
    assert [role["id"] for role in roles] == ["role-admin"]
    empty = {name: [] for name in LISTS} | {"records": EMPTY_PAGE, "variants": EMPTY_PAGE, "roles": roles}
    assert listed(stranger) == empty


def test_lists_hold_what_is_in_ones_own_workspace_and_nothing_else(own, stranger, admin):
    def ids(answer):
        return [item["id"] for item in (answer if isinstance(answer, list) else answer["items"])]

    assert {name: ids(answer) for name, answer in listed(stranger).items()} == OWN_IDS
    for name, answer in listed(admin).items():
        assert not set(ids(answer)) & set(OWN_IDS[name]) - {"role-admin"}


def test_what_one_workspace_makes_changes_no_list_of_another(app, admin, stranger):
    before = listed(admin)
    build(stranger, OWN)
    assert listed(admin) == before


def test_a_key_sees_the_workspace_it_was_made_in(same, admin, stranger, make_key):
    stranger.delete("/records/ent-trail-cap")
    own_key, foreign_key = make_key("read"), make_key("read", by=stranger)
    assert own_key.get("/records").json == admin.get("/records").json
    assert foreign_key.get("/records").json == stranger.get("/records").json
    kept = [item["id"] for item in foreign_key.get("/records").json["items"]]
    assert (len(kept), "ent-trail-cap" in kept) == (46, False)


def test_only_demo_workspaces_are_shown_to_everyone(anonymous):
    assert [tenant["id"] for tenant in anonymous.get("/auth/tenants").json] == ["ws-demo"]


# The same ids in two workspaces


def test_the_same_ids_can_be_used_in_two_workspaces(same, admin, stranger):
    for path in (noun.path for noun in NOUNS if noun is not ROLE):
        assert stranger.get(path).json == admin.get(path).json
    for path in (
        "/catalogs/cat-webshop/tree",
        "/catalogs/cat-marketplace/tree",
        "/records/ent-coastal-wb/categories",
        "/records/ent-coastal-wb/completeness",
        "/records/ent-trail-cap/completeness",
        "/schemas/schema-apparel/attributes",
    ):
        assert stranger.get(path).json == admin.get(path).json


def test_unique_values_are_unique_in_each_workspace_alone(same, admin, stranger, error):
    taken = [{"scope": {}, "value": "9520000010072"}]
    assert stranger.get("/records/ent-coastal-wb").json["values"]["ean"] == taken
    assert admin.get("/records/ent-coastal-wb").json["values"]["ean"] == taken
    again = {"schemaId": "schema-apparel", "values": {"ean": taken}}
    error(stranger.post("/records", again), 409)
    assert stranger.delete("/records/ent-coastal-wb").status_code == 204
    error(admin.post("/records", again), 409)
    assert stranger.post("/records", again).status_code == 201


def test_a_changed_model_counts_in_its_own_workspace_alone(same, admin, stranger, error):
    for variant in stranger.get("/variants").json["items"]:
        stranger.put(f"/records/{variant['entityId']}/variants/{variant['id']}", {"values": {"size": []}})
    retyped = {**stranger.get("/attributes/attr-size").json, "type": "number"}
    assert stranger.put("/attributes/attr-size", retyped).status_code == 200
    for caller, good, bad in ((stranger, 42, "XL"), (admin, "XL", 42), (stranger, 43, "XL")):
        error(caller.patch("/records/ent-coastal-wb/values/size", {"value": bad}), 400)
        assert caller.patch("/records/ent-coastal-wb/values/size", {"value": good}).status_code == 200
    assert stranger.get("/records/ent-coastal-wb").json["values"]["size"] == [{"scope": {}, "value": 43}]
    assert admin.get("/records/ent-coastal-wb").json["values"]["size"] == [{"scope": {}, "value": "XL"}]


def test_history_is_kept_for_each_workspace(same, admin, stranger):
    before = admin.get("/records/ent-coastal-wb/audit-log").json
    assert stranger.patch("/records/ent-coastal-wb/values/size", {"value": "XL"}).status_code == 200
    assert admin.get("/records/ent-coastal-wb/audit-log").json == before
    assert stranger.get("/records/ent-coastal-wb/audit-log").json["items"][0]["changes"] == [
        {"attribute": "size", "scope": {}, "oldValue": None, "newValue": "XL"}
    ]


# Keys and sessions


def test_a_key_of_another_workspace_cannot_be_listed_deactivated_or_deleted(stranger, admin, make_key, error):
    key = make_key("read")
    before = admin.get("/api-keys").json
    assert stranger.get("/api-keys").json == []
    for method, path in (("POST", f"/api-keys/{key.id}/deactivate"), ("DELETE", f"/api-keys/{key.id}")):
        foreign = stranger.request(method, path)
        error(foreign, 404)
        assert outcome(foreign, key.id) == outcome(stranger.request(method, path.replace(key.id, nowhere(key.id))))
    assert admin.get("/api-keys").json == before
    assert key.get("/records").status_code == 200


@each(
    "claims",
    [
        {"workspaceId": "ws-other"},
        {"workspaceId": "ws-other", "roleId": "role-admin"},
        {"workspaceId": "ws-nowhere"},
        {"workspaceId": ""},
        {"userId": "user-nowhere"},
        {"userId": "admin@sigma.io"},
    ],
    ids=str,
)
def test_a_token_for_a_user_who_is_not_in_its_workspace_is_refused(claims, sign, error):
    assert sign().get("/records").json["total"] == 47
    error(sign(**claims).get("/records"), 401)


def test_a_token_chooses_the_workspace_among_users_of_the_same_id(sign, admin, stranger):
    ids = {"userId": "user-admin", "roleId": "role-admin"}
    assert listed(sign(**ids, workspaceId="ws-demo")) == listed(admin)
    assert listed(sign(**ids, workspaceId="ws-other")) == listed(stranger)
