"""Who may call what: a second table of every route, written by hand, and the service held to it.

Nothing here is read from the service's own declarations. Most tests share one database; their requests change nothing,
whoever sends them, because they name ids that do not exist and send a body that no operation takes. Tests that change
something have a database of their own.
"""

import io
import itertools
import json
import re
import shutil
import zlib
from typing import NamedTuple

import jwt
import pytest
from cases import each
from conftest import ALL_PERMISSIONS, Caller, client_of
from nouns import NOUNS
from werkzeug.test import create_environ

import app as service
from sigma import database
from sigma.resources import model

PUBLIC = "public"  # needs no credential, and looks at none
DEMO = "demo"  # the same, but only while the database holds the demo, and for programs on this machine: see test_standin.py
ANY_KEY = "credential"  # any key, whatever it holds
NO_KEY, ANY_USER = None, None
SCHEMAS, ROLES, DIMENSIONS, LISTS = "canManageSchemas", "canManageRoles", "canManageDimensions", "canManageOptionLists"
FLAGS = (SCHEMAS, ROLES, DIMENSIONS, LISTS, "canExport", "canImport")
HEADER = "X-Sigma-Required-Permission"
NOT_CACHED = ["private, no-store"]  # what each answer of a guarded route says of caches
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "BREW")
WITHOUT_BODY = (
    *("/auth/refresh", "/api-keys/:id/deactivate", "/saved-queries/:id/execute"),
    *("/standin/deliveries/:id/redeliver", "/standin/deliveries/run"),
)
# And below: also, for the demo and without a credential, whoever names a workspace.
OR_DEMO = ("/standin/deliveries", "/standin/webhooks")
NEEDS_QUERY = ("/search/text",)  # in the URL


class Operation(NamedTuple):
    """A method and a path, the permission that a key needs, and the flag that the role of a signed-in user needs."""

    method: str
    path: str
    key: str | None
    flag: str | None
    root: str = "/api/v1"  # what the path is below of

    @property
    def url(self):
        """The path from the host's root, with ids that do not exist."""
        return self.root + re.sub(r":\w+", "nowhere", self.path)

    @property
    def required(self):
        """What the OpenAPI document says that a key needs."""
        return self.key or "session"

    @property
    def announced(self):
        """What answers say that it takes, in X-Sigma-Required-Permission."""
        return None if self.key in (PUBLIC, DEMO, ANY_KEY) else self.required

    @property
    def takes_body(self):
        return self.method in ("POST", "PUT", "PATCH") and self.path not in WITHOUT_BODY

    @property
    def reached(self):
        """The status with which a harmless request is answered when its caller is let through."""
        if self.takes_body or self.path in NEEDS_QUERY:
            return 400
        return 404 if ":" in self.path else 204 if self.method == "DELETE" else 200

    def takes(self, held):
        """Return whether a key that holds these permissions may call it."""
        return self.key == ANY_KEY or self.key in held


OPERATIONS = [
    Operation(*row)
    for row in (
        ("GET", "/healthz", PUBLIC, PUBLIC),
        ("GET", "/auth/tenants", PUBLIC, PUBLIC),
        ("POST", "/auth/login", PUBLIC, PUBLIC),
        ("POST", "/auth/refresh", NO_KEY, ANY_USER),
        ("GET", "/api-keys", NO_KEY, ROLES),
        ("POST", "/api-keys", NO_KEY, ROLES),
        ("POST", "/api-keys/:id/deactivate", NO_KEY, ROLES),
        ("DELETE", "/api-keys/:id", NO_KEY, ROLES),
        *(row for noun in NOUNS for row in noun.operations),
        ("GET", "/schemas/:id/attributes", "read", ANY_USER),
        ("POST", "/dimensions/scope-matrix", "read", ANY_USER),
        ("POST", "/option-lists/:id/values", "update-model", LISTS),
        ("PUT", "/option-lists/:id/values/:valueId", "update-model", LISTS),
        ("DELETE", "/option-lists/:id/values/:valueId", "delete-model", LISTS),
        ("POST", "/roles/:id/resolve", "read", ANY_USER),
        ("GET", "/catalogs/:id/tree", "read", ANY_USER),
        ("POST", "/catalogs/:id/categories", NO_KEY, SCHEMAS),
        ("GET", "/categories/:id", "read", ANY_USER),
        ("GET", "/categories/:id/entities", "read", ANY_USER),
        ("PUT", "/categories/:id", NO_KEY, SCHEMAS),
        ("DELETE", "/categories/:id", NO_KEY, SCHEMAS),
        ("POST", "/categories/:id/assign", "update-data", ANY_USER),
        ("POST", "/categories/:id/unassign", "delete-data", ANY_USER),
        ("GET", "/records", "read", ANY_USER),
        ("GET", "/records/:id", "read", ANY_USER),
        ("GET", "/records/:id/transitions", "read", ANY_USER),
        ("GET", "/records/:id/completeness", "read", ANY_USER),
        ("GET", "/records/:id/audit-log", "read", ANY_USER),
        ("GET", "/records/:id/categories", "read", ANY_USER),
        ("POST", "/records", "update-data", ANY_USER),
        ("PUT", "/records/:id", "update-data", ANY_USER),
        ("PATCH", "/records/:id/values/:attr", "update-data", ANY_USER),
        ("POST", "/records/:id/transition", "update-data", ANY_USER),
        ("DELETE", "/records/:id", "delete-data", ANY_USER),
        ("GET", "/variants", "read", ANY_USER),
        ("GET", "/records/:id/variants", "read", ANY_USER),
        ("GET", "/records/:id/variants/:vid", "read", ANY_USER),
        ("GET", "/records/:id/variants/:vid/resolved", "read", ANY_USER),
        ("POST", "/records/:id/variants", "update-data", ANY_USER),
        ("PUT", "/records/:id/variants/:vid", "update-data", ANY_USER),
        ("PATCH", "/records/:id/variants/:vid/values/:attr", "update-data", ANY_USER),
        ("DELETE", "/records/:id/variants/:vid", "delete-data", ANY_USER),
        ("POST", "/search", "read", ANY_USER),
        ("POST", "/search/full-text", "read", ANY_USER),
        ("GET", "/search/text", "read", ANY_USER),
        ("GET", "/saved-queries", "read", ANY_USER),
        ("POST", "/saved-queries", NO_KEY, ANY_USER),
        ("GET", "/saved-queries/:id", "read", ANY_USER),
        ("DELETE", "/saved-queries/:id", NO_KEY, ANY_USER),
        ("POST", "/saved-queries/:id/execute", "read", ANY_USER),
        ("POST", "/import/preview", "read", "canImport"),
        ("POST", "/import/execute", "update-data", "canImport"),
        ("GET", "/export", "read", "canExport"),
        ("GET", "/webhooks", NO_KEY, ANY_USER),
        ("GET", "/webhooks/:id", NO_KEY, ANY_USER),
        ("POST", "/webhooks", NO_KEY, SCHEMAS),
        ("PUT", "/webhooks/:id", NO_KEY, SCHEMAS),
        ("DELETE", "/webhooks/:id", NO_KEY, SCHEMAS),
    )
]
OUTSIDE_THE_API = [
    Operation(*row, root="")
    for row in (
        ("GET", "/", PUBLIC, PUBLIC),
        ("GET", "/healthz", PUBLIC, PUBLIC),
        ("GET", "/openapi.json", PUBLIC, PUBLIC),
        ("GET", "/docs", PUBLIC, PUBLIC),
        ("GET", "/docs/swagger-ui.css", PUBLIC, PUBLIC),
        ("GET", "/docs/swagger-ui-bundle.js", PUBLIC, PUBLIC),
        ("GET", "/docs/theme.css", PUBLIC, PUBLIC),
        ("GET", "/docs/icon.svg", PUBLIC, PUBLIC),
        ("GET", "/docs/dom.js", PUBLIC, PUBLIC),
        ("GET", "/docs/style.css", PUBLIC, PUBLIC),
        ("GET", "/docs/swagger.css", PUBLIC, PUBLIC),
        ("GET", "/docs/main.js", PUBLIC, PUBLIC),
        ("GET", "/docs/operations.js", PUBLIC, PUBLIC),
        ("GET", "/docs/routes.js", PUBLIC, PUBLIC),
        ("GET", "/docs/session.js", PUBLIC, PUBLIC),
        ("GET", "/docs/tabs.js", PUBLIC, PUBLIC),
        ("GET", "/llms.txt", PUBLIC, PUBLIC),
        ("GET", "/console", PUBLIC, PUBLIC),
        ("GET", "/console/:file", PUBLIC, PUBLIC),
        ("GET", "/standin/whoami", ANY_KEY, ANY_USER),
        ("GET", "/standin/keys", NO_KEY, ROLES),
        ("GET", "/standin/workspaces", DEMO, DEMO),
        ("POST", "/standin/workspaces", DEMO, DEMO),
        ("GET", "/standin/workspaces/:id/seed", DEMO, DEMO),
        ("DELETE", "/standin/workspaces/:id", DEMO, DEMO),
        ("POST", "/standin/reset", DEMO, DEMO),
        ("GET", "/standin/requests", DEMO, DEMO),
        ("GET", "/standin/requests/:id", DEMO, DEMO),
        ("DELETE", "/standin/requests", DEMO, DEMO),
        ("GET", "/standin/keys/:id/faults", DEMO, DEMO),
        ("PUT", "/standin/keys/:id/faults", DEMO, DEMO),
        ("DELETE", "/standin/keys/:id/faults", DEMO, DEMO),
        ("GET", "/standin/webhooks", NO_KEY, SCHEMAS),
        ("GET", "/standin/deliveries", NO_KEY, SCHEMAS),
        ("GET", "/standin/deliveries/:id", NO_KEY, SCHEMAS),
        ("POST", "/standin/deliveries/:id/redeliver", NO_KEY, SCHEMAS),
        ("POST", "/standin/deliveries/run", NO_KEY, SCHEMAS),
    )
]
NOT_BUILT = [  # any credential comes as far as being told so
    Operation("any method", path, ANY_KEY, ANY_USER)
    for name in ("/export-jobs", "/channels", "/change-sets")
    for path in (name, f"{name}/", f"{name}/:rest")
]
ALL = OPERATIONS + OUTSIDE_THE_API
OPEN = [operation for operation in ALL if operation.key in (PUBLIC, DEMO)]
GUARDED = [operation for operation in ALL if operation not in OPEN]

# The faults that every operation is tried with; a few operations are tried with all there are (see bad_credentials).
COMMON_FAULTS = (
    "none",
    *(f"key: {fault}" for fault in ("deactivated", "deleted", "unknown", "empty", "doubled", "truncated", "upper-case")),
    *(f"key: {fault}" for fault in ("space before", "space within")),
    *(f"authorization: {fault}" for fault in ("a key as token", "truncated signature")),
)

SCHEMA = {"id": "schema-apparel", "alias": "other", "name": "Other", "variantEnabled": False, "attributeGroups": []}
LARGE = {"data": b" " * (1024 * 1024 + 1), "content_type": "application/json"}
NOT_JSON = {"data": b"<a/>", "content_type": "text/xml"}
BROKEN = {"data": b'{"a', "content_type": "application/json"}


def each_operation(operations):
    """Run a test once for each of these operations."""
    return each("operation", operations, ids=lambda operation: f"{operation.method} {operation.path}")


def readable(value):
    """Return how a table's value shows in a test's name."""
    return "-" if isinstance(value, dict) else str(value)


def shape(path):
    """Return a path with its parameters unnamed; one that is more than a plain segment stays as it is."""
    return re.sub(r"<(path:)?\w+>|\{\w+\}|:\w+", "*", path)


def spelled_out(rule):
    """Return the paths of a rule of the URL map, of which some take any of a few names."""
    if "<docs:file>" not in rule.rule:
        return [rule.rule]
    return [rule.rule.replace("<docs:file>", name) for name in rule.map.converters["docs"](rule.map).items]


def call(caller, operation, method=None, **options):
    """Send a request for an operation that cannot do harm, whoever sends it."""
    if operation.takes_body and not options:
        options["json"] = {"nonsense": True}
    headers = {**caller.headers, **options.pop("headers", {})}
    return client_of(caller.app).open(operation.url, method=method or operation.method, headers=headers, **options)


def caching(answer):
    """Return what an answer says of caches, each time that it says so."""
    return answer.headers.getlist("Cache-Control")


def permissions_named(message):
    """Return the permissions that a message names."""
    return set(re.findall(rf"(?<![\w-])(?:{'|'.join(ALL_PERMISSIONS)})(?![\w-])", message))


def with_check_characters(stem):
    """Return a key with the right check characters."""
    crc = zlib.crc32(stem.encode())
    return stem + "".join("0123456789abcdefghijklmnopqrstuvwxyz"[crc // 36**place % 36] for place in range(6, -1, -1))


def open_raw(app, path, headers, method="GET"):
    """Ask for a path exactly as a server hands it over: decoded, not normalised."""
    return client_of(app).open("/", method=method, environ_overrides={"PATH_INFO": path}, headers=headers)


@pytest.fixture(scope="module")
def shared_app(template, tokens, tmp_path_factory):
    """Yield the app on a database that this file shares."""
    path = tmp_path_factory.mktemp("access") / "shared.db"
    shutil.copy(template, path)
    yield service.create_app({"DATABASE": str(path)})
    database.close_db()


@pytest.fixture(scope="module")
def shared_admin(shared_app, tokens):
    """Return the administrator, at the shared database."""
    return Caller(shared_app, {"Authorization": f"Bearer {tokens['admin@sigma.io']}"})


@pytest.fixture(scope="module")
def shared_editor(shared_app, tokens):
    """Return the editor, at the shared database; tests change what the role may do, each for itself."""
    return Caller(shared_app, {"Authorization": f"Bearer {tokens['editor@sigma.io']}"})


@pytest.fixture(scope="module")
def key_with(shared_app, shared_admin):
    """Return a function that makes a caller with a key at the shared database."""

    def make(permissions):
        answer = shared_admin.post("/api-keys", {"name": "Shared", "permissions": sorted(permissions)})
        assert answer.status_code == 201, answer.json
        return Caller(shared_app, {"X-Sigma-ApiKey": answer.json["rawKey"]}, answer.json["id"], answer.json["rawKey"])

    return make


@pytest.fixture(scope="module")
def keys(key_with):
    """Return a key for every set of permissions that a key can hold."""
    sizes = range(1, len(ALL_PERMISSIONS) + 1)
    subsets = itertools.chain.from_iterable(itertools.combinations(ALL_PERMISSIONS, size) for size in sizes)
    return {frozenset(subset): key_with(subset) for subset in subsets}


@pytest.fixture(scope="module")
def bad_credentials(key_with, shared_admin, tokens):
    """Return headers that let nobody in: small changes to good ones, and good ones in the wrong place."""
    good, deactivated, deleted = (key_with(ALL_PERMISSIONS) for _ in range(3))
    assert shared_admin.post(f"/api-keys/{deactivated.id}/deactivate").status_code == 200
    assert shared_admin.delete(f"/api-keys/{deleted.id}").status_code == 200
    raw, token = good.raw_key, tokens["admin@sigma.io"]
    head, claims, signature = token.split(".")
    another = "b" if raw[20] == "a" else "a"
    changed_keys = {
        "deactivated": deactivated.raw_key,
        "deleted": deleted.raw_key,
        "empty": "",
        "blank": " ",
        "unknown": f"{raw[:20]}{another}{raw[21:]}",
        "unknown, with right check characters": with_check_characters(f"{raw[:20]}{another}{raw[21:-7]}"),
        "doubled": f"{raw},{raw}",
        "doubled, with a space": f"{raw}, {raw}",
        "truncated": raw[:-1],
        "lengthened": f"{raw}0",
        "without its first character": raw[1:],
        "without its prefix": raw.removeprefix("sigma_sk_live_"),
        "upper-case": raw.upper(),
        "space before": f" {raw}",
        "space after": f"{raw} ",
        "tab after": f"{raw}\t",
        "space within": f"{raw[:20]} {raw[20:]}",
        "quoted": f'"{raw}"',
        "not ASCII": f"{raw[:-1]}\xe9",
        "only the prefix": "sigma_sk_live_",
        "a token": token,
    }
    changed_tokens = {
        "a key as token": f"Bearer {raw}",
        "no token": "Bearer",
        "empty token": "Bearer ",
        "another scheme": f"Basic {token}",
        "a key behind a scheme of its own": f"X-Sigma-ApiKey {raw}",
        "no scheme": token,
        "empty": "",
        "no signature": f"Bearer {head}.{claims}.",
        "truncated signature": f"Bearer {head}.{claims}.{signature[:-2]}",
        "unsigned": f"Bearer {jwt.encode(jwt.decode(token, options={'verify_signature': False}), None, algorithm='none')}",
        "doubled token": f"Bearer {token},Bearer {token}",
    }
    return {
        "none": {},
        **{f"key: {name}": {"X-Sigma-ApiKey": value} for name, value in changed_keys.items()},
        **{f"authorization: {name}": {"Authorization": value} for name, value in changed_tokens.items()},
        "key in a cookie": {"Cookie": f"X-Sigma-ApiKey={raw}; token={token}"},
        "key in another header": {"X-Api-Key": raw},
    }


# The table


def test_the_table_holds_each_operation_of_the_api_once():
    assert len({(operation.method, shape(operation.path)) for operation in OPERATIONS}) == len(OPERATIONS)


def test_the_table_is_the_live_url_map(shared_app):
    live = sorted(
        (method, shape(path))
        for rule in shared_app.url_map.iter_rules()
        for method in rule.methods or ["any method"]
        for path in spelled_out(rule)
    )
    listed = [(operation.method, operation.root + shape(operation.path)) for operation in ALL + NOT_BUILT]
    assert live == sorted([*listed, *(("HEAD", path) for method, path in listed if method == "GET")])


def test_the_table_is_what_the_openapi_document_says(shared_app):
    paths = shared_app.test_client().get("/openapi.json").json["paths"]
    documented = {
        (method.upper(), shape(path)): (operation.get("x-required-permission"), operation["security"])
        for path, item in paths.items()
        for method, operation in item.items()
        if method != "parameters"
    }
    schemes = {PUBLIC: [], DEMO: [], NO_KEY: [{"session": []}]}
    assert documented == {
        (operation.method, operation.root + shape(operation.path)): (
            operation.required,
            schemes.get(operation.key, [{"apiKey": []}, {"session": []}]) + [{}] * operation.path.startswith(OR_DEMO),
        )
        for operation in ALL
        if operation.root or operation.path.startswith("/standin/")
    }


# Credentials


def check_unauthorized(operation, shared_app, name, headers, error):
    answer = call(Caller(shared_app, headers), operation)
    assert (name, answer.status_code, answer.headers.get(HEADER)) == (name, 401, operation.announced)
    error(answer, 401)
    assert answer.headers["WWW-Authenticate"]
    assert caching(answer) == NOT_CACHED


@each_operation(GUARDED)
def test_nobody_passes_with_a_bad_credential(operation, shared_app, bad_credentials, error):
    for name in COMMON_FAULTS:
        check_unauthorized(operation, shared_app, name, bad_credentials[name], error)


@each_operation([o for o in GUARDED if o.path in ("/records", "/api-keys", "/auth/refresh", "/standin/whoami")])
def test_nobody_passes_with_a_credential_that_is_bad_in_a_rarer_way(operation, shared_app, bad_credentials, error):
    for name, headers in bad_credentials.items():
        check_unauthorized(operation, shared_app, name, headers, error)


def test_a_key_in_the_url_or_the_body_is_no_credential(anonymous, key, error):
    members = dict.fromkeys(("X-Sigma-ApiKey", "apiKey", "api_key", "token"), key.raw_key)
    error(anonymous.get("/records", query_string=members), 401)
    error(anonymous.get("/records", json=members), 401)


def test_a_key_that_is_sent_in_two_headers_is_refused(shared_app, key_with, error):
    twice = [("X-Sigma-ApiKey", key_with(["read"]).raw_key)] * 2
    error(shared_app.test_client().get("/api/v1/roles", headers=twice), 401)


@each("name", ["empty", "unknown", "deactivated", "deleted", "doubled"])
def test_a_bad_key_is_refused_although_a_good_token_comes_with_it(name, shared_admin, bad_credentials, error):
    headers = bad_credentials[f"key: {name}"]
    error(shared_admin.get("/schemas", headers=headers), 401)
    error(shared_admin.get("/api-keys", headers=headers), 401)


@each_operation([operation for operation in GUARDED if operation.key != ANY_KEY])
def test_a_key_decides_alone_also_against_an_administrators_token(operation, keys, shared_admin, error):
    weak = keys[frozenset(ALL_PERMISSIONS) - {operation.key} if operation.key else frozenset(ALL_PERMISSIONS)]
    error(call(weak, operation, headers={**shared_admin.headers}), 403)


def test_a_good_key_passes_although_a_bad_token_comes_with_it(keys, shared_admin):
    reader = keys[frozenset({"read"})]
    assert reader.get("/schemas", headers={"Authorization": "Bearer x"}).json == shared_admin.get("/schemas").json


def test_a_key_chooses_the_workspace_although_a_token_of_another_comes_with_it(make_key, admin, stranger):
    foreign = make_key("read", by=stranger)
    assert admin.get("/records").json["total"] == 47
    assert foreign.get("/records", headers=admin.headers).json == {"items": [], "total": 0, "offset": 0, "limit": 50}


# Keys and their permissions


@each_operation(GUARDED)
def test_a_key_passes_when_it_holds_the_permission_and_only_then(operation, keys, error):
    for held, caller in keys.items():
        answer = call(caller, operation)
        assert (answer.headers.get(HEADER), caching(answer)) == (operation.announced, NOT_CACHED)
        if operation.takes(held):
            assert (held, answer.status_code) == (held, operation.reached)
        else:
            assert (held, answer.status_code) == (held, 403)
            assert permissions_named(error(answer, 403)) == held | ({operation.key} - {NO_KEY})


def test_of_all_sets_of_permissions_only_the_empty_one_makes_no_key(keys, admin, error):
    assert len(keys) == 2 ** len(ALL_PERMISSIONS) - 1
    before = admin.get("/api-keys").json
    assert "permissions" in error(admin.post("/api-keys", {"name": "Idle", "permissions": []}), 400)
    assert admin.get("/api-keys").json == before


@each(
    ("method", "path"),
    [("POST", "/roles"), ("PUT", "/roles/role-editor")],
    ids=["in a new role", "in a role that is there"],
)
def test_a_key_cannot_turn_on_the_managing_of_roles(method, path, key, admin, error):
    before = admin.get("/roles").json
    body = {"id": "role-editor" if method == "PUT" else "role-boss", "name": "Boss", "canManageRoles": True}
    message = error(key.request(method, path, json=body), 403)
    assert "canManageRoles" in message
    assert permissions_named(message) == set(ALL_PERMISSIONS)
    assert admin.get("/roles").json == before


def test_a_key_may_write_roles_and_turn_on_everything_else(key, admin):
    role = {
        "id": "role-boss",
        "name": "Boss",
        **dict.fromkeys(FLAGS, True),
        "canManageRoles": False,
        "schemaPermissions": [],
        "catalogPermissions": [],
    }
    assert key.post("/roles", role).status_code == 201
    assert admin.get("/roles/role-boss").json == role
    renamed = {**role, "name": "Chief"}
    assert key.put("/roles/role-boss", renamed).json == renamed
    assert admin.get("/roles/role-boss").json == renamed


def test_a_key_may_write_a_role_that_manages_roles_already(key, admin):
    renamed = {**admin.get("/roles/role-admin").json, "name": "Root"}
    assert renamed["canManageRoles"] is True
    assert key.put("/roles/role-admin", renamed).json == renamed
    assert admin.get("/roles/role-admin").json == renamed


def test_an_administrator_may_turn_on_the_managing_of_roles(admin, editor, error):
    error(editor.get("/api-keys"), 403)
    assert admin.put("/roles/role-editor", {"name": "Editor", "canManageRoles": True}).status_code == 200
    assert editor.get("/api-keys").json == admin.get("/api-keys").json


# Sessions and their roles


@each_operation(GUARDED)
def test_a_user_passes_when_the_role_has_the_flag_and_only_then(operation, shared_admin, shared_editor, error):
    def call_with(flags):
        role = {"name": "Editor", **dict.fromkeys(flags, True)}
        assert shared_admin.put("/roles/role-editor", role).status_code == 200
        answer = call(shared_editor, operation)
        assert (answer.headers.get(HEADER), caching(answer)) == (operation.announced, NOT_CACHED)
        return answer

    needed = {operation.flag} - {ANY_USER}
    assert call_with(needed).status_code == operation.reached
    if needed:
        error(call_with(set(FLAGS) - needed), 403)


def test_a_role_counts_as_it_is_at_each_request(admin, editor, error):
    error(editor.post("/dimensions", {}), 403)
    admin.put("/roles/role-editor", {"name": "Editor", "canManageDimensions": True})
    error(editor.post("/dimensions", {}), 400)
    admin.put("/roles/role-editor", {"name": "Editor"})
    error(editor.post("/dimensions", {}), 403)


# What answers say


@each(
    ("status", "method", "path", "options", "required"),
    [
        (200, "GET", "/records/ent-coastal-wb", {}, "read"),
        (200, "HEAD", "/records/ent-coastal-wb", {}, "read"),
        (200, "GET", "/api-keys", {}, "session"),
        (201, "POST", "/roles", {"json": {"id": "role-new", "name": "New"}}, "update-model"),
        (204, "DELETE", "/records/ent-trail-cap", {}, "delete-data"),
        (400, "POST", "/records", {"json": {}}, "update-data"),
        (400, "GET", "/records?limit=0", {}, "read"),
        (404, "GET", "/records/nowhere", {}, "read"),
        (404, "DELETE", "/catalogs/nowhere", {}, "session"),
        (409, "POST", "/schemas", {"json": SCHEMA}, "update-model"),
        (409, "DELETE", "/schemas/schema-apparel", {}, "delete-model"),
        (413, "POST", "/records", LARGE, "update-data"),
        (415, "POST", "/records", NOT_JSON, "update-data"),
        (422, "POST", "/records/ent-coastal-wb/transition", {"json": {"toStateId": "state-published"}}, "update-data"),
    ],
    ids=readable,
)
def test_every_answer_of_a_guarded_route_says_what_it_takes(status, method, path, options, required, admin):
    answer = admin.request(method, path, **options)
    assert (answer.status_code, answer.headers.get(HEADER), caching(answer)) == (status, required, NOT_CACHED)


def test_also_the_answer_when_the_database_is_gone_says_what_it_takes(app, admin, error, tmp_path):
    app.config["DATABASE"] = str(tmp_path / "nowhere" / "sigma.db")
    answer = admin.get("/records")
    error(answer, 503)
    assert (answer.headers.get(HEADER), caching(answer)) == ("read", NOT_CACHED)


def test_also_the_answer_to_a_failure_says_what_it_takes(admin, error, monkeypatch):
    monkeypatch.delattr(model, "json_list")
    answer = admin.get("/schemas")
    error(answer, 500)
    assert (answer.headers.get(HEADER), caching(answer)) == ("read", NOT_CACHED)


@each(
    ("status", "method", "path", "options"),
    [
        (200, "GET", "/healthz", {}),
        (200, "GET", "/auth/tenants", {}),
        (200, "POST", "/auth/login", {"json": {"email": "admin@sigma.io", "password": "admin"}}),
        (400, "POST", "/auth/login", {"json": {}}),
        (401, "POST", "/auth/login", {"json": {"email": "admin@sigma.io", "password": "wrong"}}),
        (404, "GET", "/nowhere", {}),
        (405, "DELETE", "/records", {}),
        (413, "POST", "/auth/login", LARGE),
        (415, "POST", "/auth/login", NOT_JSON),
    ],
    ids=readable,
)
def test_no_other_answer_says_that_it_takes_something(status, method, path, options, anonymous):
    answer = anonymous.request(method, path, **options)
    assert (answer.status_code, HEADER in answer.headers) == (status, False)
    assert caching(answer) == (["no-store"] if "token" in answer.json else [])


@each_operation(OPEN)
def test_where_no_credential_is_needed_none_is_looked_at(operation, shared_app, bad_credentials, shared_editor, keys):
    shared_app.extensions["journal"].clear()  # or each answer of the journal tells of a thousand requests

    def outcome(caller):
        with call(caller, operation) as answer:
            assert HEADER not in answer.headers
            assert caching(answer) != NOT_CACHED
            return answer.status_code, answer.get_data()

    expected = operation.reached, outcome(Caller(shared_app))[1]
    for headers in bad_credentials.values():
        assert outcome(Caller(shared_app, headers)) == expected
    assert outcome(shared_editor) == outcome(keys[frozenset({"read"})]) == expected


def test_signing_in_does_not_look_at_credentials(app):
    headers = {"X-Sigma-ApiKey": "bad", "Authorization": "Bearer bad"}
    answer = Caller(app, headers).post("/auth/login", {"email": "admin@sigma.io", "password": "admin"})
    assert (answer.status_code, answer.json["user"]["id"]) == (200, "user-admin")


# The order of the checks


@each_operation(GUARDED)
def test_a_caller_is_refused_before_the_body_is_looked_at(operation, shared_app, keys, error):
    weak = keys[frozenset(ALL_PERMISSIONS) - {operation.key}]
    for body in (LARGE, NOT_JSON, BROKEN):
        error(call(Caller(shared_app), operation, **body), 401)
        if operation.key != ANY_KEY:
            error(call(weak, operation, **body), 403)


@each_operation([operation for operation in GUARDED if operation.takes_body])
def test_a_body_is_looked_at_before_the_resource(operation, shared_admin, error):
    error(call(shared_admin, operation, **LARGE), 413)
    error(call(shared_admin, operation, **NOT_JSON), 415)
    error(call(shared_admin, operation, **BROKEN), 400)


def test_a_large_body_whose_length_is_not_announced_is_refused_all_the_same(anonymous, admin, make_key, error):
    """Cut off where it becomes too large, this body would be a good one."""
    record = json.dumps({"id": "ent-cut", "schemaId": "schema-apparel", "values": {}}).encode()
    body = record.ljust(1024 * 1024) + b"and more"

    def send(caller):
        chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
        chunked["wsgi.input"] = io.BytesIO(body)
        return caller.post("/records", content_type="application/json", environ_overrides=chunked)

    error(send(anonymous), 401)
    error(send(make_key("read")), 403)
    error(send(admin), 413)
    error(admin.get("/records/ent-cut"), 404)


@each(
    ("who", "method", "path", "options", "status"),
    [
        pytest.param("anonymous", "PATCH", "/nowhere", {}, 404, id="unknown path before wrong method"),
        pytest.param("anonymous", "GET", "/nowhere", {}, 404, id="unknown path before no credential"),
        pytest.param("reader", "PUT", "/records", {}, 405, id="wrong method before not permitted"),
        pytest.param("anonymous", "PUT", "/records", LARGE, 405, id="wrong method before no credential and a large body"),
        pytest.param("anonymous", "DELETE", "/schemas/nowhere", {}, 401, id="no credential before missing resource"),
        pytest.param("reader", "DELETE", "/schemas/nowhere", {}, 403, id="not permitted before missing resource"),
        pytest.param("reader", "POST", "/schemas", {"json": SCHEMA}, 403, id="not permitted before conflict"),
        pytest.param("reader", "DELETE", "/schemas/schema-apparel", {}, 403, id="not permitted before resource in use"),
        pytest.param("admin", "GET", "/records/nowhere/audit-log?limit=0", {}, 400, id="bad query before missing record"),
        pytest.param("admin", "GET", "/categories/nowhere/entities?offset=x", {}, 400, id="bad query before missing category"),
        pytest.param("admin", "PUT", "/schemas/nowhere", {"json": {}}, 400, id="malformed before missing resource"),
        pytest.param("admin", "POST", "/schemas", {"json": {**SCHEMA, "x": 1}}, 400, id="malformed before conflict"),
        pytest.param(
            "admin",
            "POST",
            "/schemas",
            {"json": {**SCHEMA, "workflowId": "wf-x"}},
            400,
            id="unknown id in the body before conflict",
        ),
        pytest.param(
            "admin",
            "PUT",
            "/schemas/schema-x",
            {"json": {**SCHEMA, "id": "schema-x", "alias": "apparel"}},
            404,
            id="missing resource before conflict",
        ),
        pytest.param(
            "admin", "POST", "/records/ent-x/variants", {"json": {"id": "var-cw-s"}}, 404, id="missing record before conflict"
        ),
        pytest.param(
            "admin",
            "POST",
            "/records/ent-x/transition",
            {"json": {"toStateId": "state-published"}},
            404,
            id="missing record before refused transition",
        ),
        pytest.param(
            "admin",
            "POST",
            "/records/ent-coastal-wb/transition",
            {"json": {"toStateId": "state-published", "x": 1}},
            400,
            id="malformed before refused transition",
        ),
    ],
)
def test_the_first_thing_wrong_decides(who, method, path, options, status, shared_app, keys, shared_admin, error):
    callers = {"anonymous": Caller(shared_app), "reader": keys[frozenset({"read"})], "admin": shared_admin}
    error(callers[who].request(method, path, **options), status)


# Methods and paths


@each("url", sorted({operation.url for operation in ALL}))
def test_another_method_is_refused_with_those_that_are_allowed(url, shared_app, shared_admin):
    patterns = {operation: re.escape(operation.root) + re.sub(r":\w+", "[^/]+", operation.path) for operation in ALL}
    allowed = {operation.method for operation, pattern in patterns.items() if re.fullmatch(pattern, url)}
    allowed |= {"HEAD"} if "GET" in allowed else set()
    for method, headers in itertools.product(sorted(set(METHODS) - allowed), ({}, shared_admin.headers)):
        answer = shared_app.test_client().open(url, method=method, headers=headers)
        assert (method, answer.status_code) == (method, 405)
        assert set(answer.headers["Allow"].split(", ")) == allowed
        assert method == "HEAD" or answer.json["error"] == "METHOD_NOT_ALLOWED"


@each_operation([operation for operation in GUARDED if operation.method == "GET"])
def test_head_is_guarded_like_get(operation, shared_app, keys, shared_admin):
    everything = frozenset(ALL_PERMISSIONS)
    weak = keys[everything - {operation.key}]
    cases = [
        (Caller(shared_app), 401),
        (Caller(shared_app, {"X-Sigma-ApiKey": "bad"}), 401),
        (weak, operation.reached if operation.key == ANY_KEY else 403),
        (keys.get(frozenset({operation.key}), shared_admin), operation.reached),
    ]
    for caller, status in cases:
        answer = call(caller, operation, method="HEAD")
        assert (answer.status_code, answer.data, answer.headers.get(HEADER)) == (status, b"", operation.announced)
        assert caching(answer) == NOT_CACHED


def test_a_header_cannot_change_the_method(make_key, admin, error):
    reader, override = make_key("read"), {"X-HTTP-Method-Override": "GET", "X-HTTP-Method": "GET", "X-Method-Override": "GET"}
    error(reader.delete("/records/ent-coastal-wb", headers=override), 403)
    assert admin.get("/records/ent-coastal-wb").status_code == 200


NO_PATHS = [  # as a server hands them over: decoded, not normalised
    *("//api/v1/records", "///api/v1/records", "//healthz", "//openapi.json", "//", "//api/v1/api-keys/nobody/deactivate"),
    *("/api//v1/records", "/api/v1//records", "/api/v1/records/", "/api/v1/records//", "/api/v1/records/ent-coastal-wb/"),
    *("/API/v1/records", "/api/V1/records", "/api/v1/Records", "/api/v1/RECORDS"),
    *("/api/v1/./records", "/./api/v1/records", "/api/v1/auth/../records", "/api/v1/healthz/../records"),
    *("/api/v1/auth/tenants/../../records", "/api/v1/auth/tenants/records", "/api/v1/healthz/records"),
    *("/api/v1/records;x", "/api/v1/records%2f", "/api/v1/records%00", "/api/v1/records\x00", "/api/v1/records "),
    *("/api/v1/records\\", "/api/v1/records.json", "/api/v1/records/a/b/c", "/api/v1/\x00"),
    *("/nothing", "/api", "/api/v1", "/api/v1/", "/api/v1/nothing", "/api/v2/records", "/v1/records", "/records"),
    *("/healthz/", "/healthz/api/v1/records", "/openapi.json/", "/docs/", "/docs/.", "/docs/nothing.js"),
    *("/docs/oauth2-redirect.html", "/docs/__init__.py", "/docs/../app.py", "/docs/../../app.py", "/docs/../api/v1/records"),
    *("/static/app.py", "/app.py", "/sigma.db", "/\xff", "/\xc3\xa9"),
    *("/standin", "/standin/", "/standin/nothing", "//standin/reset", "/standin//reset", "/standin/reset/"),
    *("/api/v1/standin/reset", "/api/v1/../standin/reset", "//standin/whoami", "/standin/whoami/", "/api/v1/whoami"),
]


@each("path", NO_PATHS)
def test_a_path_that_only_looks_like_one_is_unknown(path, shared_app, shared_admin, error):
    for method, headers in itertools.product(("GET", "POST", "PUT", "PATCH", "DELETE"), ({}, shared_admin.headers)):
        answer = open_raw(shared_app, path, headers, method)
        error(answer, 404)
        assert HEADER not in answer.headers


@each(
    "headers",
    [{"Host": "a..b"}, {"Host": "x" * 100}, {"Connection": "Upgrade", "Upgrade": "websocket"}],
    ids=["a host with an empty part", "a host with a long part", "an upgrade"],
)
def test_no_header_but_the_credential_decides(headers, anonymous, key, error):
    error(anonymous.get("/records", headers=headers), 401)
    assert key.get("/records", headers=headers).json == key.get("/records").json


def test_hosts_that_an_embedding_program_trusts_are_the_only_ones(app, anonymous, error):
    app.config["TRUSTED_HOSTS"] = ["sigma.example"]
    error(anonymous.get("/healthz"), 400)
    assert anonymous.get("/healthz", headers={"Host": "sigma.example"}).json == {"status": "ok"}


def test_a_server_may_leave_an_empty_path_out(app):
    started = []
    environ = {name: value for name, value in create_environ("/").items() if name != "PATH_INFO"}
    body = json.loads(b"".join(app(environ, lambda status, headers, _=None: started.append(status))))
    assert (started, body["api"]) == (["200 OK"], "http://localhost/api/v1")


@each("path", ["/api/v1/records/..", "/api/v1/records/.", "/api/v1/schemas/../attributes"])
def test_dots_in_the_place_of_an_id_are_an_id_like_any_other(path, shared_app, shared_admin, error):
    error(open_raw(shared_app, path, {}), 401)
    error(open_raw(shared_app, path, shared_admin.headers), 404)
