"""Commands for workspaces."""

import click
from flask.cli import AppGroup
from werkzeug.security import generate_password_hash

from sigma.cli.console import Report, choose_workspace, impersonate, reports, table, validated, yes_option
from sigma.cli.users import fetch_users, read_password, refusing_taken, validated_user
from sigma.database import execute, fetch_one
from sigma.resources.sessions import TenantBody, next_sessions_from
from sigma.standin.demo import insert_administrator_role, insert_user


@click.group("workspace", cls=AppGroup)
def workspace_commands() -> None:
    """Manage workspaces."""


@workspace_commands.command("list")
@reports
def show_workspaces() -> Report:
    """List the workspaces, oldest first.

    Example: flask workspace list
    """
    rows = execute(
        "SELECT w.id, w.name, w.is_demo,"
        " (SELECT count(*) FROM api_keys k WHERE k.tenant = w.id AND k.deactivated_at IS NULL),"
        " (SELECT ifnull(sum(c.total), 0) FROM entity_counts c WHERE c.tenant = w.id AND c.is_variant = 0)"
        " FROM workspaces w ORDER BY w.rowid"
    )
    workspaces = [
        {"id": id, "name": name, "demo": bool(demo), "users": fetch_users(id), "activeKeys": keys, "records": records}
        for id, name, demo, keys, records in rows
    ]
    lines = [
        (w["id"], w["name"], str(len(w["users"])), str(w["activeKeys"]), str(w["records"]), "demo" if w["demo"] else "")
        for w in workspaces
    ]
    return Report(workspaces, table(("ID", "NAME", "USERS", "ACTIVE KEYS", "RECORDS", ""), *lines))


@workspace_commands.command("create")
@click.argument("id")
@click.option("--name", required=True, help="Name of the workspace.")
@click.option("--email", required=True, help="Email of its first administrator.")
@click.option("--user-name", default="Administrator", show_default=True, help="Name of the administrator.")
@reports
def create_workspace(id: str, name: str, email: str, user_name: str) -> Report:
    """Make a workspace and its first administrator; the password is asked for, or read from standard input.

    Example: flask workspace create acme --name "Acme" --email admin@acme.example
    """
    workspace = validated(TenantBody(), {"id": id, "name": name, "users": []})
    user = validated_user({"id": "user-admin", "email": email, "name": user_name, "roleId": "role-admin"})
    password = read_password()
    with refusing_taken(id=id, email=email):
        execute("INSERT INTO workspaces (id, name) VALUES (?, ?)", id, name)
        impersonate(id, user["id"])
        insert_administrator_role(user["roleId"])
        insert_user(user, generate_password_hash(password), next_sessions_from())
    return Report({**workspace, "users": [user]}, f"Workspace '{id}' made; {email} can sign in.")


@workspace_commands.command("delete")
@click.argument("id")
@yes_option
@reports
def delete_workspace(id: str, yes: bool) -> Report:
    """Delete a workspace and all that it holds, for good. Without --yes, its id is to be typed once more.

    Example: flask workspace delete acme
    """
    sql = "SELECT ifnull(sum(total), 0) FROM entity_counts WHERE tenant = ? AND is_variant = 0"
    choose_workspace(id)
    question = f"Workspace '{id}' with its {fetch_one(sql, id)[0]} records, users and keys will be gone for good. Type its id"
    if not yes and click.prompt(question, err=True) != id:
        raise click.ClickException("That is not its id; nothing was deleted")
    execute("DELETE FROM workspaces WHERE id = ?", id)  # and by the foreign keys all that it holds, in one transaction
    return Report({"deleted": True}, f"Workspace '{id}' deleted.")
