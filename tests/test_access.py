"""Who may call what: a second table of every operation, written by hand, and the wall held to it.

Nothing here is read from the service's own declarations. The one database of this file is shared by its tests, which knock
with requests that change nothing: unknown ids in the path, and a body that no operation takes. Tests that change
something have a database of their own.
"""

import io
import itertools
import json
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import NamedTuple

import jwt
import pytest
from conftest import ALL_PERMISSIONS, Caller
from werkzeug.test import create_environ

import app as service
from sigma import database
from sigma.resources import model

PUBLIC, NO_KEY, ANY_USER = "public", None, None
SCHEMAS, ROLES, DIMENSIONS, LISTS = "canManageSchemas", "canManageRoles", "canManageDimensions", "canManageOptionLists"
FLAGS = (SCHEMAS, ROLES, DIMENSIONS, LISTS, "canExport", "canImport")
HEADER = "X-Sigma-Required-Permission"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "BREW")
WITHOUT_BODY = ("/auth/refresh", "/api-keys/:id/deactivate")


class Operation(NamedTuple):
    """One operation: the permission that a key needs, and the flag that a role needs."""

    method: str
    path: str
    key: str | None
    flag: str | None

    @property
    def required(self):
        """What answers say that it takes."""
        return self.key or "session"

    @property
    def takes_body(self):
        return self.method in ("POST", "PUT", "PATCH") and self.path not in WITHOUT_BODY

    @property
    def reached(self):
        """The status with which a harmless request is answered once it is past the wall."""
        if self.takes_body:
            return 400
        return 404 if ":" in self.path else 200


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
        ("GET", "/schemas", "read", ANY_USER),
        ("GET", "/schemas/:id", "read", ANY_USER),
        ("GET", "/schemas/:id/attributes", "read", ANY_USER),
        ("POST", "/schemas", "update-model", SCHEMAS),
        ("PUT", "/schemas/:id", "update-model", SCHEMAS),
        ("DELETE", "/schemas/:id", "delete-model", SCHEMAS),
        ("GET", "/attributes", "read", ANY_USER),
        ("GET", "/attributes/:id", "read", ANY_USER),
        ("POST", "/attributes", "update-model", SCHEMAS),
        ("PUT", "/attributes/:id", "update-model", SCHEMAS),
        ("DELETE", "/attributes/:id", "delete-model", SCHEMAS),
        ("GET", "/dimensions", "read", ANY_USER),
        ("GET", "/dimensions/:id", "read", ANY_USER),
        ("POST", "/dimensions/scope-matrix", "read", ANY_USER),
        ("POST", "/dimensions", "update-model", DIMENSIONS),
        ("PUT", "/dimensions/:id", "update-model", DIMENSIONS),
        ("DELETE", "/dimensions/:id", "delete-model", DIMENSIONS),
        ("GET", "/option-lists", "read", ANY_USER),
        ("GET", "/option-lists/:id", "read", ANY_USER),
        ("POST", "/option-lists", "update-model", LISTS),
        ("PUT", "/option-lists/:id", "update-model", LISTS),
        ("DELETE", "/option-lists/:id", "delete-model", LISTS),
        ("POST", "/option-lists/:id/values", "update-model", LISTS),
        ("PUT", "/option-lists/:id/values/:valueId", "update-model", LISTS),
        ("DELETE", "/option-lists/:id/values/:valueId", "delete-model", LISTS),
        ("GET", "/workflows", "read", ANY_USER),
        ("GET", "/workflows/:id", "read", ANY_USER),
        ("POST", "/workflows", "update-model", SCHEMAS),
        ("PUT", "/workflows/:id", "update-model", SCHEMAS),
        ("DELETE", "/workflows/:id", "delete-model", SCHEMAS),
        ("GET", "/roles", "read", ANY_USER),
        ("GET", "/roles/:id", "read", ANY_USER),
        ("POST", "/roles/:id/resolve", "read", ANY_USER),
        ("POST", "/roles", "update-model", ROLES),
        ("PUT", "/roles/:id", "update-model", ROLES),
        ("DELETE", "/roles/:id", "delete-model", ROLES),
        ("GET", "/catalogs", "read", ANY_USER),
        ("GET", "/catalogs/:id", "read", ANY_USER),
        ("GET", "/catalogs/:id/tree", "read", ANY_USER),
        ("POST", "/catalogs", NO_KEY, SCHEMAS),
        ("PUT", "/catalogs/:id", NO_KEY, SCHEMAS),
        ("DELETE", "/catalogs/:id", NO_KEY, SCHEMAS),
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
        ("POST", "/import/preview", "read", "canImport"),
        ("POST", "/import/execute", "update-data", "canImport"),
        ("GET", "/export", "read", "canExport"),
    )
]
GUARDED = [operation for operation in OPERATIONS if operation.key != PUBLIC]

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


def each(operations):
    """Run a test once for each of these operations."""
    return pytest.mark.parametrize("operation", operations, ids=lambda operation: f"{operation.method} {operation.path}")


def readable(value):
    """How a table's value shows in a test's name."""
    return "-" if isinstance(value, dict) else str(value)


def shape(path):
    """A path with its parameters unnamed; one that is more than a plain segment stays as it is."""
    return re.sub(r"<\w+>|\{\w+\}|:\w+", "*", path)


def knock(caller, operation, method=None, **options):
    """Send a request for an operation that cannot do harm, whoever sends it."""
    if operation.takes_body and not options:
        options["json"] = {"nonsense": True}
    return caller.request(method or operation.method, re.sub(r":\w+", "nowhere", operation.path), **options)


def permissions_named(message):
    """The permissions that a message names."""
    return set(re.findall(rf"(?<![\w-])(?:{'|'.join(ALL_PERMISSIONS)})(?![\w-])", message))


def with_check_characters(stem):
    """A key that has the right check characters."""
    crc = zlib.crc32(stem.encode())
    return stem + "".join("0123456789abcdefghijklmnopqrstuvwxyz"[crc // 36**place % 36] for place in range(6, -1, -1))


def open_raw(app, path, headers):
    """Ask for a path exactly as a server hands it over: decoded, not normalised."""
    return app.test_client().get("/", environ_overrides={"PATH_INFO": path}, headers=headers)


@pytest.fixture(scope="module")
def wall(template, tokens, tmp_path_factory):
    """The app on a database that this file shares."""
    path = tmp_path_factory.mktemp("access") / "wall.db"
    shutil.copy(template, path)
    yield service.create_app({"DATABASE": str(path)})
    database.close_db()


@pytest.fixture(scope="module")
def wall_admin(wall, tokens):
    """The administrator, at the shared database."""
    return Caller(wall, {"Authorization": f"Bearer {tokens['admin@sigma.io']}"})


@pytest.fixture(scope="module")
def wall_editor(wall, tokens):
    """The editor, at the shared database; tests change what the role may do, each for itself."""
    return Caller(wall, {"Authorization": f"Bearer {tokens['editor@sigma.io']}"})


@pytest.fixture(scope="module")
def key_with(wall, wall_admin):
    """Make a caller with a key at the shared database."""

    def make(permissions):
        answer = wall_admin.post("/api-keys", {"name": "Wall", "permissions": sorted(permissions)})
        assert answer.status_code == 201, answer.json
        return Caller(wall, {"X-Sigma-ApiKey": answer.json["rawKey"]}, answer.json["id"], answer.json["rawKey"])

    return make


@pytest.fixture(scope="module")
def keys(key_with):
    """A key for every set of permissions that a key can hold."""
    sizes = range(1, len(ALL_PERMISSIONS) + 1)
    subsets = itertools.chain.from_iterable(itertools.combinations(ALL_PERMISSIONS, size) for size in sizes)
    return {frozenset(subset): key_with(subset) for subset in subsets}


@pytest.fixture(scope="module")
def bad_credentials(key_with, wall_admin, tokens):
    """Headers that let nobody in: small changes to good ones, and good ones in the wrong place."""
    good, deactivated, deleted = (key_with(ALL_PERMISSIONS) for _ in range(3))
    assert wall_admin.post(f"/api-keys/{deactivated.id}/deactivate").status_code == 200
    assert wall_admin.delete(f"/api-keys/{deleted.id}").status_code == 200
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


def test_the_table_holds_each_of_the_79_operations_once():
    assert len(OPERATIONS) == 79
    assert len({(operation.method, shape(operation.path)) for operation in OPERATIONS}) == 79


def test_the_table_is_the_live_url_map(wall):
    live = sorted(
        (method, shape(rule.rule.removeprefix("/api/v1")))
        for rule in wall.url_map.iter_rules()
        if rule.rule.startswith("/api")
        for method in rule.methods
    )
    heads = [("HEAD", shape(operation.path)) for operation in OPERATIONS if operation.method == "GET"]
    assert live == sorted(heads + [(operation.method, shape(operation.path)) for operation in OPERATIONS])


def test_the_table_is_what_the_openapi_document_says(wall):
    paths = wall.test_client().get("/openapi.json").json["paths"]
    documented = {
        (method.upper(), shape(path.removeprefix("/api/v1"))): (operation["x-required-permission"], operation["security"])
        for path, item in paths.items()
        for method, operation in item.items()
        if path.startswith("/api/v1") and method != "parameters"
    }
    schemes = {PUBLIC: [], NO_KEY: [{"session": []}]}
    assert documented == {
        (operation.method, shape(operation.path)): (
            operation.required,
            schemes.get(operation.key, [{"apiKey": []}, {"session": []}]),
        )
        for operation in OPERATIONS
    }


# Credentials


def check_unauthorized(operation, wall, name, headers, error):
    answer = knock(Caller(wall, headers), operation)
    assert (name, answer.status_code, answer.headers.get(HEADER)) == (name, 401, operation.required)
    error(answer, 401)
    assert answer.headers["WWW-Authenticate"]


@each(GUARDED)
def test_nobody_passes_with_a_bad_credential(operation, wall, bad_credentials, error):
    for name in COMMON_FAULTS:
        check_unauthorized(operation, wall, name, bad_credentials[name], error)


@each([operation for operation in GUARDED if operation.path in ("/records", "/api-keys", "/auth/refresh")])
def test_nobody_passes_with_a_credential_that_is_bad_in_a_rarer_way(operation, wall, bad_credentials, error):
    for name, headers in bad_credentials.items():
        check_unauthorized(operation, wall, name, headers, error)


def test_a_key_in_the_url_is_no_credential(anonymous, key, error):
    query = dict.fromkeys(("X-Sigma-ApiKey", "apiKey", "api_key", "token"), key.raw_key)
    error(anonymous.get("/records", query_string=query), 401)


def test_a_deleted_key_is_refused_in_the_words_for_one_that_never_was(wall, bad_credentials):
    def refusal(name):
        answer = Caller(wall, bad_credentials[name]).get("/records")
        return answer.status_code, answer.json, answer.headers["WWW-Authenticate"]

    assert refusal("key: deleted") == refusal("key: unknown, with right check characters")


@pytest.mark.parametrize("name", ["empty", "unknown", "deactivated", "deleted", "doubled"])
def test_a_bad_key_is_refused_although_a_good_token_comes_with_it(name, wall_admin, bad_credentials, error):
    headers = bad_credentials[f"key: {name}"]
    error(wall_admin.get("/schemas", headers=headers), 401)
    error(wall_admin.get("/api-keys", headers=headers), 401)


@each(GUARDED)
def test_a_key_decides_alone_also_against_an_administrators_token(operation, keys, wall_admin, error):
    weak = keys[frozenset(ALL_PERMISSIONS) - {operation.key} if operation.key else frozenset(ALL_PERMISSIONS)]
    error(knock(weak, operation, headers={**wall_admin.headers}), 403)


def test_a_good_key_passes_although_a_bad_token_comes_with_it(keys, wall_admin):
    reader = keys[frozenset({"read"})]
    assert reader.get("/schemas", headers={"Authorization": "Bearer x"}).json == wall_admin.get("/schemas").json


def test_a_key_chooses_the_workspace_although_a_token_of_another_comes_with_it(make_key, admin, stranger):
    foreign = make_key("read", by=stranger)
    assert admin.get("/records").json["total"] == 2
    assert foreign.get("/records", headers=admin.headers).json == {"items": [], "total": 0, "offset": 0, "limit": 50}


# Keys and their permissions


@each(GUARDED)
def test_a_key_passes_when_it_holds_the_permission_and_only_then(operation, keys, error):
    for held, caller in keys.items():
        answer = knock(caller, operation)
        assert answer.headers[HEADER] == operation.required
        if operation.key in held:
            assert (held, answer.status_code) == (held, operation.reached)
        else:
            assert (held, answer.status_code) == (held, 403)
            assert permissions_named(error(answer, 403)) == held | ({operation.key} - {NO_KEY})


def test_of_the_32_sets_of_permissions_only_the_empty_one_makes_no_key(keys, admin, error):
    assert len(keys) == 31
    before = admin.get("/api-keys").json
    assert "permissions" in error(admin.post("/api-keys", {"name": "Idle", "permissions": []}), 400)
    assert admin.get("/api-keys").json == before


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/roles"), ("PUT", "/roles/role-editor")],
    ids=["in a new role", "in a role that is there"],
)
def test_a_key_cannot_turn_on_the_managing_of_roles(method, path, key, admin, error):
    before = admin.get("/roles").json
    body = {"id": "role-editor" if method == "PUT" else "role-boss", "name": "Boss", "canManageRoles": True}
    assert "canManageRoles" in error(key.request(method, path, json=body), 403)
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


@each(GUARDED)
def test_a_user_passes_when_the_role_has_the_flag_and_only_then(operation, wall_admin, wall_editor, error):
    def knock_with(flags):
        role = {"name": "Editor", **dict.fromkeys(flags, True)}
        assert wall_admin.put("/roles/role-editor", role).status_code == 200
        answer = knock(wall_editor, operation)
        assert answer.headers[HEADER] == operation.required
        return answer

    needed = {operation.flag} - {ANY_USER}
    assert knock_with(needed).status_code == operation.reached
    if needed:
        error(knock_with(set(FLAGS) - needed), 403)


def test_a_role_counts_as_it_is_at_each_request(admin, editor, error):
    error(editor.post("/dimensions", {}), 403)
    admin.put("/roles/role-editor", {"name": "Editor", "canManageDimensions": True})
    error(editor.post("/dimensions", {}), 400)
    admin.put("/roles/role-editor", {"name": "Editor"})
    error(editor.post("/dimensions", {}), 403)


# What answers say


@pytest.mark.parametrize(
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
    assert (answer.status_code, answer.headers.get(HEADER)) == (status, required)


def test_also_the_answer_when_the_database_is_gone_says_what_it_takes(app, admin, error, tmp_path):
    app.config["DATABASE"] = str(tmp_path / "nowhere" / "sigma.db")
    answer = admin.get("/records")
    error(answer, 503)
    assert answer.headers.get(HEADER) == "read"


def test_also_the_answer_to_a_failure_says_what_it_takes(admin, error, monkeypatch):
    monkeypatch.delattr(model, "json_list")
    answer = admin.get("/schemas")
    error(answer, 500)
    assert answer.headers.get(HEADER) == "read"


@pytest.mark.parametrize(
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


@pytest.mark.parametrize("path", ["/healthz", "/auth/tenants"])
def test_public_routes_do_not_look_at_credentials(path, wall, bad_credentials):
    expected = Caller(wall).get(path).json
    for name, headers in bad_credentials.items():
        answer = Caller(wall, headers).get(path)
        assert (name, answer.status_code, answer.json) == (name, 200, expected)


def test_signing_in_does_not_look_at_credentials(app):
    headers = {"X-Sigma-ApiKey": "bad", "Authorization": "Bearer bad"}
    answer = Caller(app, headers).post("/auth/login", {"email": "admin@sigma.io", "password": "admin"})
    assert (answer.status_code, answer.json["user"]["id"]) == (200, "user-admin")


def test_the_hosts_own_health_check_does_not_look_at_credentials(app):
    answer = app.test_client().get("/healthz", headers={"X-Sigma-ApiKey": "bad", "Authorization": "Bearer bad"})
    assert (answer.status_code, answer.json, HEADER in answer.headers) == (200, {"status": "ok"}, False)


# The order of the checks


@each(GUARDED)
def test_a_caller_is_refused_before_the_body_is_looked_at(operation, wall, keys, error):
    weak = keys[frozenset(ALL_PERMISSIONS) - {operation.key}]
    for body in (LARGE, NOT_JSON, BROKEN):
        error(knock(Caller(wall), operation, **body), 401)
        error(knock(weak, operation, **body), 403)


@each([operation for operation in GUARDED if operation.takes_body])
def test_a_body_is_looked_at_before_the_resource(operation, wall_admin, error):
    error(knock(wall_admin, operation, **LARGE), 413)
    error(knock(wall_admin, operation, **NOT_JSON), 415)
    error(knock(wall_admin, operation, **BROKEN), 400)


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


@pytest.mark.parametrize(
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
def test_the_first_thing_wrong_decides(who, method, path, options, status, wall, keys, wall_admin, error):
    callers = {"anonymous": Caller(wall), "reader": keys[frozenset({"read"})], "admin": wall_admin}
    error(callers[who].request(method, path, **options), status)


# Methods and paths


@pytest.mark.parametrize("path", sorted({operation.path for operation in OPERATIONS}))
def test_another_method_is_refused_with_those_that_are_allowed(path, wall, wall_admin):
    here = [operation for operation in OPERATIONS if re.fullmatch(re.sub(r":\w+", "[^/]+", operation.path), path)]
    allowed = {operation.method for operation in here} | ({"HEAD"} if any(one.method == "GET" for one in here) else set())
    for method, caller in itertools.product(sorted(set(METHODS) - allowed), (Caller(wall), wall_admin)):
        answer = caller.request(method, re.sub(r":\w+", "nowhere", path))
        assert (method, answer.status_code) == (method, 405)
        assert set(answer.headers["Allow"].split(", ")) == allowed
        assert method == "HEAD" or answer.json["error"] == "METHOD_NOT_ALLOWED"


@each([operation for operation in GUARDED if operation.method == "GET"])
def test_head_is_guarded_like_get(operation, wall, keys, wall_admin):
    everything = frozenset(ALL_PERMISSIONS)
    cases = [
        (Caller(wall), 401),
        (Caller(wall, {"X-Sigma-ApiKey": "bad"}), 401),
        (keys[everything - {operation.key}], 403),
        (keys[frozenset({operation.key})] if operation.key else wall_admin, operation.reached),
    ]
    for caller, status in cases:
        answer = knock(caller, operation, method="HEAD")
        assert (answer.status_code, answer.data, answer.headers[HEADER]) == (status, b"", operation.required)


def test_a_header_cannot_change_the_method(make_key, admin, error):
    reader, override = make_key("read"), {"X-HTTP-Method-Override": "GET", "X-HTTP-Method": "GET", "X-Method-Override": "GET"}
    error(reader.delete("/records/ent-coastal-wb", headers=override), 403)
    assert admin.get("/records/ent-coastal-wb").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "//api/v1/records",
        "///api/v1/records",
        "//healthz",
        "//openapi.json",
        "//",
        "//api/v1/api-keys/nobody/deactivate",
        "//standin/reset",
        "/api//v1/records",
        "/api/v1//records",
        "/api/v1/records/",
        "/api/v1/records//",
        "/api/v1/records/ent-coastal-wb/",
        "/API/v1/records",
        "/api/V1/records",
        "/api/v1/Records",
        "/api/v1/RECORDS",
        "/api/v1/./records",
        "/./api/v1/records",
        "/api/v1/auth/../records",
        "/api/v1/healthz/../records",
        "/api/v1/auth/tenants/../../records",
        "/docs/../api/v1/records",
        "/docs/../../app.py",
        "/api/v1/auth/tenants/records",
        "/api/v1/healthz/records",
        "/healthz/api/v1/records",
        "/api/v1/records;x",
        "/api/v1/records%2f",
        "/api/v1/records%00",
        "/api/v1/records\x00",
        "/api/v1/records ",
        "/api/v1/records\\",
        "/api/v1/records.json",
        "/api/v1",
        "/api/v1/",
        "/api/v2/records",
        "/v1/records",
        "/records",
    ],
)
def test_a_path_that_only_looks_like_one_is_unknown(path, wall, wall_admin, error):
    for headers in ({}, wall_admin.headers):
        answer = open_raw(wall, path, headers)
        error(answer, 404)
        assert HEADER not in answer.headers


@pytest.mark.parametrize(
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
    assert (started, body["api"]) == (["200 OK"], "/api/v1")


@pytest.mark.parametrize("path", ["/api/v1/records/..", "/api/v1/records/.", "/api/v1/schemas/../attributes"])
def test_dots_in_the_place_of_an_id_are_an_id_like_any_other(path, wall, wall_admin, error):
    error(open_raw(wall, path, {}), 401)
    error(open_raw(wall, path, wall_admin.headers), 404)


# Declarations

# Each case spoils a process of its own, forked from one that has imported the service; it prints why it did not start.
SPOIL = """
import os

import marshmallow

import app as service
from sigma import settings
from sigma.docs import pages
from sigma.http import access, fields
from sigma.resources import records
from sigma.standin import whoami


def leak():
    return "leaked"


def take_unknown_kind():
    body = fields.Body.from_dict({"partId": fields.Reference("spare-part")})
    take = access.requires("read")(records.blueprint.arguments(body())(lambda body: None))
    records.blueprint.post("/leak", endpoint="leak")(take)


def past_the_blueprint(before, view):
    class Leaky(service.Service):
        def add_url_rule(self, rule, *arguments, **options):
            if rule == before:
                super().add_url_rule("/api/v1/leak", "leak", view)
            super().add_url_rule(rule, *arguments, **options)
    service.Service = Leaky


api, standin = records.blueprint, whoami.blueprint
cases = {
    "a declared route": lambda: api.get("/leak")(access.requires("read")(leak)),
    "nothing declared": lambda: api.get("/leak")(leak),
    "an unknown permission": lambda: api.get("/leak")(access.requires("write-all")(leak)),
    "an unknown role flag": lambda: api.get("/leak")(access.requires("read", "canManageAll")(leak)),
    "an unknown kind": take_unknown_kind,
    "nothing declared beside the API": lambda: standin.get("/leak")(leak),
    "nothing declared on a page": lambda: pages.pages.get("/leak")(leak),
    "the demo's declaration in the API": lambda: api.get("/leak")(access.demo_only(leak)),
    "any credential in the API": lambda: api.get("/leak")(access.any_credential(leak)),
    "nothing declared past the blueprints": lambda: past_the_blueprint("/api/v1/records", leak),
    "nothing declared past the blueprints, last": lambda: past_the_blueprint("/openapi.json", leak),
    "no tag declared": lambda: past_the_blueprint("/api/v1/records", access.requires("read")(leak)),
}
for number, (name, spoil) in enumerate(cases.items()):
    if os.fork() == 0:
        spoil()
        try:
            service.create_app({"DATABASE": f"{number}.db"})
            print(f"{name}: it started", flush=True)
        except settings.StartError as error:
            print(f"{name}: {error.message}", flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def starts(tmp_path_factory):
    """What became of each start with a spoiled route."""
    done = subprocess.run(
        [sys.executable, "-c", SPOIL],
        cwd=tmp_path_factory.mktemp("spoiled"),
        env={"PYTHONPATH": str(Path(service.__file__).parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return dict(line.split(": ", 1) for line in done.stdout.splitlines())


COMPLAINTS = {
    "nothing declared": ("GET /api/v1/leak", "does not declare who may call it: add @requires, @session_only or @public"),
    "an unknown permission": ("GET /api/v1/leak", "requires 'write-all', which is no permission: there are read, "),
    "an unknown role flag": ("GET /api/v1/leak", "requires the role flag 'canManageAll', which does not exist"),
    "an unknown kind": (
        "POST /api/v1/leak",
        "takes the id of a 'spare-part', which is no kind of the model: there are ",
    ),
    "nothing declared beside the API": ("GET /standin/leak", "does not declare"),
    "nothing declared on a page": ("GET /leak", "does not declare"),
    "the demo's declaration in the API": ("GET /api/v1/leak", "requires 'demo', which is no permission"),
    "any credential in the API": ("GET /api/v1/leak", "requires 'credential', which is no permission"),
    "nothing declared past the blueprints": ("GET /api/v1/leak", "does not declare"),
    "nothing declared past the blueprints, last": ("GET /api/v1/leak", "does not declare"),
    "no tag declared": ("GET /api/v1/leak", "belongs to no ApiBlueprint, which declares its tag"),
}


@pytest.mark.parametrize("case", COMPLAINTS)
def test_the_service_does_not_start_with(case, starts):
    """What it says begins with the route, and with the file and line where its view is."""
    route, complaint = COMPLAINTS[case]
    assert re.match(rf"{re.escape(route)} \(.*:[0-9]+\) {re.escape(complaint)}", starts[case])


def test_the_service_starts_with_one_more_route_that_declares_who_may_call_it(starts):
    assert starts["a declared route"] == "it started"
