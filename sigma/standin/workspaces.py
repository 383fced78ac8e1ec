"""Workspaces for tests, and the demo as it was at first."""

from typing import Any

from marshmallow import fields, validate

from sigma.database import execute, fetch_one, transaction
from sigma.http.access import demo_only
from sigma.http.credentials import acting_as
from sigma.http.errors import get_or_404
from sigma.http.fields import Body, Flag, Items, id_field, string_field
from sigma.http.responses import NO_STORE
from sigma.http.stamps import random_id
from sigma.resources.api_keys import ApiKeyRequestBody, CreatedApiKeyBody, insert_api_key
from sigma.resources.sessions import NO_PASSWORD, SessionBody, make_session
from sigma.resources.users import insert_administrator_role, insert_user
from sigma.standin.demo import insert_demo, insert_demo_content, read_demo
from sigma.standin.whoami import WorkspaceBody, blueprint


class WantedWorkspaceBody(Body):
    """A workspace to be made for a test."""

    content = fields.String(
        load_default="demo",
        validate=validate.OneOf(["demo", "empty"], error="Expected one of: {choices}"),
        metadata={
            "description": "demo: what the demo workspace holds at first; empty: an administrator and nothing else",
            "title": "WorkspaceContent",
        },
    )
    keys = Items(
        ApiKeyRequestBody().fields["permissions"],
        "Lists of permissions; an API key is made with each of them",
        most=100,
        load_default=list,
        example=[["read"], ["read", "update-data"]],
    )


class TestWorkspaceBody(WorkspaceBody):
    """A workspace that was made for a test, and what it takes to use it."""

    id = id_field("The workspace's id", example="ws-2f6c1d0b9a8e7453")
    name = string_field("The workspace's name", example="Test workspace")
    admin = fields.Nested(SessionBody, required=True, metadata={"description": "The session of its administrator"})
    editor = fields.Nested(SessionBody, metadata={"description": "The session of its editor; absent in an empty workspace"})
    keys = Items(fields.Nested(CreatedApiKeyBody), "The API keys that were asked for, in that order", required=True)


class ResetBody(Body):
    """What is to be as it was at first, beside the demo workspace."""

    removeTestWorkspaces = Flag(
        "Whether all workspaces that were made for tests are removed, too", load_default=False, example=True
    )


def insert_test_workspace(content: str, keys: list[list[str]]) -> dict[str, Any]:
    """Store a workspace for a test, and return it with what it takes to use it; nobody can sign in to it by password."""
    id, name, demo = random_id("ws"), "Test workspace", read_demo()
    users = demo["users"] if content == "demo" else [{"id": "user-admin", "name": "Administrator", "roleId": "role-admin"}]
    sessions = {}
    execute("INSERT INTO workspaces (id, name, is_disposable) VALUES (?, ?, 1)", id, name)
    with acting_as(id, users[0]["id"]):
        if content == "demo":
            insert_demo_content(demo)
        else:
            insert_administrator_role(users[0]["roleId"])
        for user in users:
            who = user["id"].removeprefix("user-")
            known = {"id": user["id"], "email": f"{who}@{id}.example", "name": user["name"], "roleId": user["roleId"]}
            insert_user(known, NO_PASSWORD, 0)  # there is no older token: the workspace's id is new for good
            sessions[who] = make_session(id, known, 0)
        made = [insert_api_key({"name": f"Test key {n}", "permissions": held}) for n, held in enumerate(keys, 1)]
    return {"id": id, "name": name, **sessions, "keys": made}


@blueprint.post("/workspaces")
@demo_only
@blueprint.arguments(WantedWorkspaceBody())
@blueprint.response(201, TestWorkspaceBody)
def create_test_workspace(wanted: dict[str, Any]) -> Any:
    """Make a workspace of its own for a test, with an administrator's session and the API keys asked for."""
    with transaction():
        return insert_test_workspace(**wanted), 201, NO_STORE


@blueprint.delete("/workspaces/<id>")
@demo_only
@blueprint.response(204)
def delete_test_workspace(id: str) -> None:
    """Delete a workspace that was made for a test, with all that it holds; no other workspace can be deleted."""
    with transaction():
        get_or_404(fetch_one("SELECT 1 FROM workspaces WHERE id = ? AND is_disposable", id), "workspace", id)
        execute("DELETE FROM workspaces WHERE id = ?", id)


@blueprint.post("/reset")
@demo_only
@blueprint.arguments(ResetBody())
@blueprint.response(204)
def reset_demo(wanted: dict[str, Any]) -> None:
    """Bring the demo workspace back to its first state; tokens of its users stay good, unless they had ended."""
    with transaction():
        demo = read_demo()
        id = demo["workspace"]["id"]
        living = dict(execute("SELECT id, sessions_from FROM users WHERE tenant = ?", id).fetchall())
        execute("DELETE FROM workspaces WHERE id = ?", id)
        insert_demo(demo, living)
        if wanted["removeTestWorkspaces"]:
            execute("DELETE FROM workspaces WHERE is_disposable")
