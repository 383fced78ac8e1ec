"""The routes that make, list, copy and delete workspaces for tests, and reset the demo to its first state."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from flask import Response, g, request
from marshmallow import fields

from sigma.database import execute, fetch_one, snapshot, transaction
from sigma.http.access import demo_only
from sigma.http.credentials import acting_as
from sigma.http.errors import MAX_BODY, ApiError, get_or_404
from sigma.http.fields import Body, Flag, Items, described, dict_field, id_field, string_field, timestamp_field
from sigma.http.responses import NO_STORE, json_response
from sigma.http.stamps import random_id, utc_now
from sigma.http.strict_json import format_value, to_json
from sigma.http.waiting import leave_worker, one_by_one
from sigma.resources.api_keys import ApiKeyRequestBody, CreatedApiKeyBody, insert_api_key
from sigma.resources.roles import ADMINISTRATORS
from sigma.resources.sessions import NO_PASSWORD, SessionBody, make_session
from sigma.resources.users import fetch_users, insert_user
from sigma.standin.blueprint import blueprint
from sigma.standin.content import copy_rows, is_larger
from sigma.standin.demo import demo_users, has_large_seed, insert_demo, insert_demo_content, own_emails, read_demo
from sigma.standin.seeding import insert_seed, make_seed
from sigma.standin.seeds import SeedBody, read_seed
from sigma.standin.whoami import WorkspaceBody

MAX_WORKSPACES = 1000  # for tests, at once
MAX_SEED = 64 * 1024 * 1024  # bytes of the contents of which a seed is made, which takes ten times their memory
APART = 1024 * 1024  # bytes of contents that take long to copy or to make a seed of
APART_AS_SEED = 64 * 1024  # bytes of a body whose seed takes long to check and store

OURS = "SELECT 1 FROM standin_workspaces WHERE id = ?"


class WantedWorkspaceBody(Body):
    """A workspace to be made for a test."""

    content = fields.Raw(
        load_default="demo",
        metadata=described(
            "`demo`: the first contents of the demo workspace; `empty`: an administrator and nothing else; the id of the demo"
            " workspace or of one for tests: a copy of its current contents; an object: a seed, as"
            " `/standin/workspaces/{id}/seed` returns it or written by hand, in which every list may be left out. As any body,"
            f" the request may have at most {MAX_BODY} bytes",
            "demo",
        ),
    )
    keys = Items(
        ApiKeyRequestBody().fields["permissions"],
        "Lists of permissions; an API key is made with each list",
        most=100,
        load_default=list,
        example=[["read"], ["read", "update-data"]],
    )


class TestWorkspaceBody(WorkspaceBody):
    """A workspace that was made for a test, with the sessions and API keys to use it."""

    id = id_field("The workspace's id", example="ws-2f6c1d0b9a8e7453")
    name = string_field("The workspace's name", example="Test workspace")
    admin = fields.Nested(
        SessionBody,
        required=True,
        metadata={"description": "The session of its administrator: the first user who may manage roles, or else the first"},
    )
    editor = fields.Nested(SessionBody, metadata={"description": "The session of its user `user-editor`, if it has one"})
    others = dict_field("The sessions of its other users, if it has any, by their ids", "", fields.Nested(SessionBody))
    keys = Items(fields.Nested(CreatedApiKeyBody), "The API keys that were asked for, in that order", required=True)


class ListedWorkspaceBody(WorkspaceBody):
    """A workspace that was made for a test."""

    id = id_field("The workspace's id", example="ws-2f6c1d0b9a8e7453")
    name = string_field("The workspace's name", example="Test workspace")
    createdAt = timestamp_field("When it was made")


class ResetBody(Body):
    """What to reset besides the demo workspace."""

    removeTestWorkspaces = Flag("Whether to remove all workspaces for tests as well", load_default=False, example=True)


class Content(NamedTuple):
    """The contents for a new workspace."""

    users: list[dict[str, Any]]
    insert: Callable[[], None]  # stores everything else in the current workspace
    is_copy: bool = False  # of what a workspace holds when it is inserted


def _make_bounded_seed(tenant: str) -> dict[str, Any]:
    """Return the seed of a workspace. Raises ApiError 413 if it holds too much for one."""
    if is_larger(tenant, MAX_SEED):
        advice = f"POST /standin/workspaces with {to_json({'content': tenant})} copies it"
        raise ApiError(413, f"The contents of this workspace have more than {MAX_SEED} bytes, too many for a seed; {advice}")
    with one_by_one():
        return make_seed(tenant)


def _leave_if_long(wanted: Any) -> None:
    asked: Any = request._get_current_object()  # type: ignore[attr-defined]
    if isinstance(wanted, dict):
        takes_long = len(asked.body) > APART_AS_SEED
    else:
        takes_long = has_large_seed(APART) if wanted == "demo" else isinstance(wanted, str) and is_larger(wanted, APART)
    if takes_long:
        leave_worker()


def find_content(wanted: Any) -> Content:
    """Return the contents that a body's `content` asks for. Raises ApiError 400."""
    if wanted == "demo":
        demo = read_demo()
        return Content(demo_users(demo), functools.partial(insert_demo_content, demo))
    if wanted == "empty" or isinstance(wanted, dict):
        seed = read_seed({} if wanted == "empty" else wanted)
        return Content(seed["users"], functools.partial(insert_seed, seed))
    if isinstance(wanted, str) and fetch_one(OURS, wanted):
        users = fetch_users(wanted)
        if users:
            return Content(users, functools.partial(copy_rows, wanted), is_copy=True)
        return find_content(_make_bounded_seed(wanted))  # a seed without users gets an administrator
    expected = "demo, empty, the id of the demo workspace or of one for tests, or a seed"
    raise ApiError(400, f"content: Expected {expected}, got {format_value(wanted)}")


def raise_if_too_many() -> None:
    """Raise ApiError 409 if there are already as many workspaces for tests as there may be."""
    (count,) = fetch_one("SELECT count(*) FROM workspaces WHERE is_disposable")
    if count >= MAX_WORKSPACES:
        raise ApiError(
            409,
            f"There are {count} workspaces for tests, as many as there may be: DELETE /standin/workspaces/{{id}} removes one,"
            ' POST /standin/reset with {"removeTestWorkspaces":true} removes all of them',
        )


def insert_test_users(users: list[dict[str, Any]]) -> dict[str, Any]:
    """Store users with emails made for the workspace and without passwords; return their sessions by user id."""
    sessions, emails = {}, own_emails(users, f"{g.tenant}.example")
    for user in users:
        body = {"id": user["id"], "email": emails[user["id"]], "name": user["name"], "roleId": user["roleId"]}
        insert_user(body, NO_PASSWORD, 0)  # no older token can exist, because the workspace's id is new
        sessions[user["id"]] = make_session(g.tenant, body, 0)
    return sessions


def sort_sessions(sessions: dict[str, Any]) -> dict[str, Any]:
    """Return the members `admin`, `editor` and `others` of a response, given the sessions of a workspace's users by id."""
    roles = {id for (id,) in execute(ADMINISTRATORS, g.tenant)}
    admin = next((id for id, session in sessions.items() if session["user"]["roleId"] in roles), next(iter(sessions)))
    others = {id: session for id, session in sessions.items() if id != admin}
    editor = others.pop("user-editor", None)
    return {
        "admin": sessions[admin],
        **({"editor": editor} if editor else {}),
        **({"others": others} if others else {}),
    }


def insert_test_workspace(content: Content, keys: list[list[str]]) -> dict[str, Any]:
    """Store a workspace for a test, and return it with its sessions and API keys. Nobody can sign in to it with a password.

    Raises ApiError 409.
    """
    id, name, (users, insert, _) = random_id("ws"), "Test workspace", content
    raise_if_too_many()
    execute("INSERT INTO workspaces (id, name, created_at, is_disposable) VALUES (?, ?, ?, 1)", id, name, utc_now())
    with acting_as(id, users[0]["id"]):
        insert()
        sessions = sort_sessions(insert_test_users(users))
        made = [insert_api_key({"name": f"Test key {n}", "permissions": held}) for n, held in enumerate(keys, 1)]
    return {"id": id, "name": name, **sessions, "keys": made}


@blueprint.get("/workspaces")
@demo_only
@blueprint.response(200, ListedWorkspaceBody(many=True))
def list_test_workspaces() -> Any:
    """List the workspaces that were made for tests, oldest first."""
    rows = execute("SELECT id, name, created_at FROM workspaces WHERE is_disposable ORDER BY rowid")
    return [dict(zip(("id", "name", "createdAt"), row, strict=True)) for row in rows]


@blueprint.post("/workspaces")
@demo_only
@blueprint.arguments(WantedWorkspaceBody())
@blueprint.response(201, TestWorkspaceBody)
@blueprint.errors("CONFLICT")
def create_test_workspace(wanted: dict[str, Any]) -> Any:
    """Make a workspace for one test, with an administrator's session and the API keys asked for."""
    _leave_if_long(wanted["content"])
    if isinstance(wanted["content"], dict):  # reading a seed takes long
        raise_if_too_many()
    with snapshot():  # not yet the transaction, which would hold up all writes
        content = find_content(wanted["content"])
    with transaction():
        if content.is_copy:  # its source may have changed, or be gone
            content = find_content(wanted["content"])
        return insert_test_workspace(content, wanted["keys"]), 201, NO_STORE


@blueprint.get("/workspaces/<id>/seed")
@demo_only
@blueprint.response(200, SeedBody)
def get_workspace_seed(id: str) -> Response:
    """Get the current contents of the demo workspace or of one for tests, without emails, passwords and API keys.

    A new workspace made from this seed has the same contents. Contents of more than 64 MB are 413: those can be copied, by the
    workspace's id.
    """
    if is_larger(id, APART):
        leave_worker()
    with snapshot():
        get_or_404(fetch_one(OURS, id), "workspace", id)
        seed = _make_bounded_seed(id)
    return json_response(to_json(seed))


@blueprint.delete("/workspaces/<id>")
@demo_only
@blueprint.response(204)
def delete_test_workspace(id: str) -> None:
    """Delete a workspace that was made for a test, with all its contents; no other workspace can be deleted."""
    with transaction():
        get_or_404(fetch_one("SELECT 1 FROM workspaces WHERE id = ? AND is_disposable", id), "workspace", id)
        execute("DELETE FROM workspaces WHERE id = ?", id)


@blueprint.post("/reset")
@demo_only
@blueprint.arguments(ResetBody())
@blueprint.response(204)
def reset_demo(wanted: dict[str, Any]) -> None:
    """Bring the demo workspace back to its first state; valid tokens of its users stay valid."""
    _leave_if_long("demo")
    with transaction():
        demo = read_demo()
        id = demo["workspace"]["id"]
        living = dict(execute("SELECT id, sessions_from FROM users WHERE tenant = ?", id).fetchall())
        execute("DELETE FROM workspaces WHERE id = ?", id)
        insert_demo(demo, living)
        if wanted["removeTestWorkspaces"]:
            execute("DELETE FROM workspaces WHERE is_disposable")
