"""`flask workspace`: list, create and delete workspaces."""

import os
from typing import Any

import click
from flask import current_app

from sigma.cli.console import (
    Output,
    make_database,
    name_database,
    prints_output,
    prints_plainly,
    resolve_workspace,
    upgrade_database,
    validate_body,
    yes_option,
)
from sigma.cli.terminal import Group, format_table
from sigma.cli.users import conflicts_reported, read_password, require_storable, validate_user
from sigma.database import execute, fetch_one
from sigma.files import no_database_message
from sigma.http.credentials import act_as
from sigma.http.errors import counted
from sigma.http.stamps import utc_now
from sigma.resources.sessions import TenantBody, hash_password
from sigma.resources.users import ADMINISTRATOR, fetch_users, insert_administrator_role, insert_user, next_sessions_from


def fetch_workspaces() -> list[dict[str, Any]]:
    """Return all workspaces, oldest first, each with its users and the numbers of active keys and records."""
    rows = execute(
        "SELECT w.id, w.name, w.is_demo, t.active_keys, t.records"
        " FROM workspaces w JOIN workspace_totals t ON t.tenant = w.id ORDER BY w.rowid"
    )
    return [
        {"id": id, "name": name, "demo": bool(demo), "users": fetch_users(id), "activeKeys": keys, "records": records}
        for id, name, demo, keys, records in rows
    ]


@click.group("workspace", cls=Group)
def workspace_commands() -> None:
    """Manage workspaces."""


@workspace_commands.command("list")
@prints_output
def list_workspaces() -> Output:
    """List the workspaces, oldest first.

    Example: flask workspace list
    """
    workspaces = fetch_workspaces()
    rows = (
        (w["id"], w["name"], str(len(w["users"])), str(w["activeKeys"]), str(w["records"]), "demo" if w["demo"] else "")
        for w in workspaces
    )
    return Output(workspaces, format_table(("ID", "NAME", "USERS", "ACTIVE KEYS", "RECORDS", ""), *rows))


@workspace_commands.command("create")
@click.argument("id")
@click.option("--name", required=True, help="The workspace's name.")
@click.option("--email", required=True, help="The email of its first administrator.")
@click.option("--user-name", default="Administrator", show_default=True, help="The administrator's name.")
@prints_plainly
def create_workspace(id: str, name: str, email: str, user_name: str) -> Output:
    """Create a workspace and its first administrator. Asks for the password, or reads it from standard input.

    Example: flask workspace create acme --name "Acme" --email admin@acme.example
    """
    upgrade_database()
    name_database()
    workspace = validate_body(TenantBody(), {"id": id, "name": name, "users": []})
    user = validate_user({**ADMINISTRATOR, "email": email, "name": user_name})

    def store(password_hash: str) -> None:
        execute("INSERT INTO workspaces (id, name, created_at) VALUES (?, ?, ?)", id, workspace["name"], utc_now())
        act_as(id, user["id"])
        insert_administrator_role(user["roleId"])
        insert_user(user, password_hash, next_sessions_from())

    if os.path.exists(current_app.config["DATABASE"]):
        require_storable(store, id=id, email=email)
    elif message := no_database_message(current_app.config["DATABASE"]):
        raise click.ClickException(message)
    password_hash = hash_password(read_password())
    make_database()
    with conflicts_reported(id=id, email=email):
        store(password_hash)
    return Output({**workspace, "users": [user]}, f"Workspace '{id}' created; {email} can sign in.")


@workspace_commands.command("delete")
@click.argument("id")
@yes_option
@prints_output
def delete_workspace(id: str, yes: bool) -> Output:
    """Delete a workspace and everything in it, for good. Without --yes, the command asks for the workspace's id.

    Example: flask workspace delete acme
    """
    (records,) = fetch_one("SELECT records FROM workspace_totals WHERE tenant = ?", resolve_workspace(id))
    contents = f"{counted(records, 'record')}, users and keys"
    question = f"Workspace '{id}' with its {contents} will be gone for good. Type its id to confirm"
    if not yes and click.prompt(question, err=True) != id:
        raise click.ClickException("That is not its id; nothing was deleted")
    execute("DELETE FROM workspaces WHERE id = ?", id)  # its contents go with it, by foreign keys
    return Output({"deleted": True}, f"Workspace '{id}' deleted.")
