"""GET /standin/whoami: whose credential it is, and what it may call."""

from cases import each
from conftest import client_of, replace_everywhere
from test_access import OPERATIONS, PUBLIC, call, shape
from test_workspaces import everything

from sigma import permissions as permissions_module
from sigma.http import credentials


def by_operation(routes, *members):
    """Return what a caller is told of each route, by its method and the shape of its path."""
    return {
        (route["method"], shape(route["path"].removeprefix("/api/v1"))): tuple(route[member] for member in members)
        for route in routes
    }


def test_a_key_is_told_what_it_is_and_what_it_may_call(standin, make_key):
    caller = make_key("read", "update-data")
    answer = standin("GET", "/whoami", headers=caller.headers)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "private, no-store")
    told = answer.json
    routes = told.pop("routes")
    assert told == {
        "kind": "api-key",
        "workspace": {"id": "ws-demo", "name": "Sigma Demo"},
        "key": {
            **{"id": caller.id, "name": "Key 1", "permissions": ["read", "update-data"]},
            **{"permissionUse": {}, "refused": {}, "unused": ["read", "update-data"]},
        },
    }
    assert len(routes) == len(OPERATIONS)
    assert by_operation(routes, "permission", "roleFlag") == {
        (operation.method, shape(operation.path)): (operation.required, None if operation.flag == PUBLIC else operation.flag)
        for operation in OPERATIONS
    }
    assert {route["permission"] for route in routes if route["allowed"]} == {"public", "read", "update-data"}


def test_a_user_is_told_who_it_is_and_what_the_role_allows(standin, editor):
    answer = standin("GET", "/whoami", headers=editor.headers)
    told = answer.json
    routes = told.pop("routes")
    flags = {flag: flag == "canExport" for flag in permissions_module.ROLE_FLAGS}
    user = {"id": "user-editor", "email": "editor@sigma.io", "name": "Editor User", "roleId": "role-editor"}
    assert told == {
        "kind": "user",
        "workspace": {"id": "ws-demo", "name": "Sigma Demo"},
        "user": {**user, "roleFlags": flags},
    }
    assert {route["roleFlag"] for route in routes if route["allowed"]} == {None, "canExport"}
    assert all(route["allowed"] for route in routes if route["roleFlag"] is None)


@each("permissions", [["read"], ["update-data", "delete-model"], None], ids=["reader", "writer", "editor"])
def test_what_one_is_told_is_what_one_finds(standin, make_key, editor, permissions):
    caller = make_key(*permissions) if permissions else editor
    routes = standin("GET", "/whoami", headers=caller.headers).json["routes"]
    found = {
        (operation.method, shape(operation.path)): (call(caller, operation).status_code not in (401, 403),)
        for operation in OPERATIONS
        if operation.path != "/auth/login"
    }
    assert by_operation(routes, "allowed") == {**found, ("POST", "/auth/login"): (True,)}


def test_no_credential_is_ever_shown(standin, make_key, editor):
    for caller in (make_key("read"), editor):
        answer = standin("GET", "/whoami", headers=caller.headers)
        (secret,) = caller.headers.values()
        assert secret.removeprefix("Bearer ") not in answer.text
        assert "sigma_sk_live" not in answer.text


def test_asking_changes_nothing_but_the_keys_last_use(app, standin, make_key, editor):
    key = make_key("read")
    before = everything(app)
    for caller in (key, editor):
        assert standin("GET", "/whoami", headers=caller.headers).status_code == 200
    after = everything(app)
    assert before.pop("ws-demo").pop("api_keys") != after.pop("ws-demo").pop("api_keys")
    assert after == before


def test_the_document_says_that_every_credential_will_do(anonymous):
    operation = client_of(anonymous.app).get("/openapi.json").json["paths"]["/standin/whoami"]["get"]
    assert "Every API key and every signed-in user may call it." in operation["description"]


def test_a_credential_that_is_removed_while_it_asks_is_refused(standin, error, monkeypatch):
    workspace = standin("POST", "/workspaces", {"keys": [["read"]]}).json
    authenticate = credentials.authenticate

    def remove_after(environ):
        caller = authenticate(environ)
        monkeypatch.undo()
        assert standin("DELETE", f"/workspaces/{workspace['id']}").status_code == 204
        return caller

    replace_everywhere(monkeypatch, credentials, "authenticate", remove_after)
    error(standin("GET", "/whoami", headers={"X-Sigma-ApiKey": workspace["keys"][0]["rawKey"]}), 401)


def test_whoami_is_there_in_a_deployment(deployment, standin, stranger):
    answer = standin("GET", "/whoami", headers=stranger.headers)
    assert (answer.status_code, answer.json["workspace"]) == (200, {"id": "ws-other", "name": "Other"})
    assert all(route["allowed"] for route in answer.json["routes"])
