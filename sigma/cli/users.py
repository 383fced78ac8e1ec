"""`flask users`: list, add, change and remove the people who may sign in."""

import re
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click
from flask import g

from sigma.cli.console import Output, prints_output, validate_body, workspace_option
from sigma.cli.terminal import Group, format_table
from sigma.database import execute, fetch_one, transaction
from sigma.http.credentials import act_as
from sigma.http.errors import ApiError, conflict_message, get_or_404, name_of
from sigma.http.stamps import random_id
from sigma.http.strict_json import format_value
from sigma.resources.model import require_existing
from sigma.resources.roles import ADMINISTRATORS
from sigma.resources.sessions import NO_PASSWORD, hash_password
from sigma.resources.users import (
    UserBody,
    fetch_users,
    insert_administrator_role,
    insert_user,
    next_sessions_from,
    user_summary,
)
from sigma.settings import require_plain

force_option = click.option("--force", is_flag=True, help="Do it even if nobody can manage roles and API keys afterwards.")


def validate_user(user: dict[str, str]) -> dict[str, str]:
    """Return a new user, whose role need not exist yet. Raises ApiError 400."""
    user = validate_body(UserBody(), user)
    try:
        require_plain(user["email"])
    except ValueError as error:
        raise ApiError(400, f"email: {error}") from None
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", user["email"]):
        raise ApiError(400, f"email: expected an address, got {format_value(user['email'])}")
    return user


def read_password() -> str:
    """Ask for a password twice, or read it from standard input if that is not a terminal. Raises click.ClickException."""
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline()
        if not password:
            raise click.ClickException("The password: nothing came on standard input, and there is no terminal to ask on")
        password = password.rstrip("\r\n")
    if len(password) < 8:
        raise click.ClickException("The password: expected at least 8 characters")
    return password


def _fetch_user(email: str) -> Any:
    return fetch_one("SELECT tenant, id, email, name, role_id FROM users WHERE email = ?", email)


@contextmanager
def conflicts_reported(**body: str) -> Iterator[None]:
    """Run the block as one transaction. Raises ApiError 409 if an id or email of the body is already taken."""
    try:
        with transaction():
            yield
    except sqlite3.IntegrityError as error:
        message, row = conflict_message(error, body), _fetch_user(body["email"])
        holder = ""
        if row and message.startswith("email"):
            holder = f" by {name_of('user', row[1])} of {name_of('workspace', row[0])}"
        raise ApiError(409, f"{message}{holder}") from None


class _TriedError(Exception):
    """What undoes a transaction that was only tried."""


def require_storable(store: Callable[[str], None], **body: str) -> None:
    """Raise what storing a user would raise, before the password is asked for; store nothing. Takes what conflicts may name."""
    with suppress(_TriedError), conflicts_reported(**body):
        store(NO_PASSWORD)
        raise _TriedError


@contextmanager
def _administrator_kept(force: bool) -> Iterator[None]:
    """Run the block as one transaction. Raises ApiError 409 if it takes the workspace's last administrator away."""
    with transaction():
        had_one = fetch_one(ADMINISTRATORS, g.tenant)
        yield
        if had_one and not force and not fetch_one(ADMINISTRATORS, g.tenant):
            raise ApiError(409, f"Nobody could manage roles and keys of '{g.tenant}' any more; use --force to do it anyway")


def _resolve_user(email: str) -> dict[str, str]:
    tenant, *user = get_or_404(_fetch_user(email), "user", email)
    act_as(tenant, "command-line")
    return user_summary(user)


@click.group("users", cls=Group)
def user_commands() -> None:
    """Manage the people who may sign in."""


@user_commands.command("list")
@prints_output
@workspace_option
def list_users() -> Output:
    """List the users of a workspace, oldest first.

    Example: flask users list --workspace acme
    """
    users = fetch_users(g.tenant)
    return Output(users, format_table(("ID", "EMAIL", "NAME", "ROLE"), *(user.values() for user in users)))


@user_commands.command("add")
@click.argument("email")
@click.option("--name", required=True, help="The person's name.")
@click.option("--role", "role_id", metavar="ROLE-ID", required=True, help="A role of the workspace.")
@prints_output
@workspace_option
def add_user(email: str, name: str, role_id: str) -> Output:
    """Add a user. The command asks for the password, or reads it from standard input.

    Example: flask users add ann@acme.example --name "Ann" --role role-admin
    """
    user = validate_user({"id": random_id("user"), "email": email, "name": name, "roleId": role_id})

    def store(password_hash: str) -> None:
        require_existing([("role", "role", role_id)])
        insert_user(user, password_hash, next_sessions_from())

    require_storable(store, email=email)
    password_hash = hash_password(read_password())
    with conflicts_reported(email=email):
        store(password_hash)
    return Output(user, f"{email} can sign in to '{g.tenant}' with role '{role_id}'.")


@user_commands.command("password")
@click.argument("email")
@prints_output
def change_password(email: str) -> Output:
    """Change a user's password, and end the user's sessions. Asks for it, or reads it from standard input.

    Example: flask users password ann@acme.example
    """
    user = _resolve_user(email)
    password_hash = hash_password(read_password())
    sql = "UPDATE users SET password_hash = ?, sessions_from = ? WHERE tenant = ? AND id = ?"
    sessions_from = 0
    while time.time() >= sessions_from:  # again if time has passed: a session may have begun while the password was stored
        with transaction():
            sessions_from = next_sessions_from()
            execute(sql, password_hash, sessions_from, g.tenant, user["id"])
    return Output(user, f"{user['email']} has a new password, and must sign in again.")


@user_commands.command("role")
@click.argument("email")
@click.argument("role-id", metavar="[ROLE-ID]", required=False)
@click.option("--administrator", is_flag=True, help="Instead of ROLE-ID: a new role that may do everything.")
@force_option
@prints_output
def change_role(email: str, role_id: str | None, administrator: bool, force: bool) -> Output:
    """Give a user another role, or with --administrator a new one that may do everything, for when nobody else can.

    Example: flask users role ann@acme.example role-editor
    """
    if (role_id is not None) == administrator:
        raise click.UsageError("Expected either ROLE-ID or --administrator")
    user = _resolve_user(email)
    with _administrator_kept(force):
        user["roleId"] = role_id or insert_administrator_role(random_id("role"))
        require_existing([("role", "role", user["roleId"])])
        execute("UPDATE users SET role_id = ? WHERE tenant = ? AND id = ?", user["roleId"], g.tenant, user["id"])
    return Output(user, f"{user['email']} has role '{user['roleId']}'.")


@user_commands.command("remove")
@click.argument("email")
@force_option
@prints_output
def remove_user(email: str, force: bool) -> Output:
    """Remove a user, and end the user's sessions.

    Example: flask users remove ann@acme.example
    """
    user = _resolve_user(email)
    with _administrator_kept(force):
        execute("DELETE FROM users WHERE tenant = ? AND id = ?", g.tenant, user["id"])
    return Output({"deleted": True}, f"{user['email']} removed from '{g.tenant}'.")
