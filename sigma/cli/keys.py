"""`flask keys`: list, create, deactivate and delete API keys."""

import re
from collections.abc import Iterator
from typing import Any

import click
from flask import g

from sigma.cli.advice import advise_key, list_needs, require_key
from sigma.cli.console import Output, confirm, prints_output, validate_body, workspace_option, yes_option
from sigma.cli.terminal import Group, format_table
from sigma.database import fetch_one, transaction
from sigma.http.guard import ACTIVE_KEY
from sigma.permissions import PERMISSIONS
from sigma.resources.api_keys import (
    OPTIONAL_MEMBERS,
    ApiKeyRequestBody,
    deactivate_stored_key,
    delete_stored_key,
    fetch_api_keys,
    insert_api_key,
)
from sigma.resources.ledger import fetch_ledgers


@click.group("keys", cls=Group)
def key_commands() -> None:
    """Manage API keys."""


key_commands.add_command(advise_key)
key_commands.add_command(list_needs)

# The last columns of both tables: whatever a key may lack, in the order and by the names of the API.
OPTIONAL_TITLES = tuple(re.sub("(?=[A-Z])", " ", name.removesuffix("At")).upper() for name in OPTIONAL_MEMBERS)


def _optional_cells(key: dict[str, Any]) -> Iterator[str]:
    return (key.get(name, "") for name in OPTIONAL_MEMBERS)


def _use_rows(key: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    lacked = [permission for permission in key["refused"] if permission not in key["permissions"]]
    for permission in (*key["permissions"], *lacked):
        last_use = key["permissionUse"].get(permission, "not held" if permission in lacked else "never")
        refused = key["refused"].get(permission)
        refusals = f"{refused['count']}, last {refused['lastAt']}" if refused else ""
        yield key["id"], key["name"], permission, last_use, refusals, *_optional_cells(key)


@key_commands.command("list")
@click.option("--use", is_flag=True, help="Say when each permission was last used, and how often one was refused.")
@prints_output
@workspace_option
def list_keys(use: bool) -> Output:
    """List the API keys of a workspace, oldest first.

    Example: flask keys list --use --workspace acme
    """
    if use:
        keys, columns = fetch_ledgers(), ("ID", "NAME", "PERMISSION", "LAST USED", "REFUSED", *OPTIONAL_TITLES)
        return Output(keys, format_table(columns, *(row for key in keys for row in _use_rows(key))))
    keys = fetch_api_keys()
    rows = (
        (key["id"], key["name"], " ".join(key["permissions"]), key["lastUsedAt"] or "never", *_optional_cells(key))
        for key in keys
    )
    return Output(keys, format_table(("ID", "NAME", "PERMISSIONS", "LAST USED", *OPTIONAL_TITLES), *rows))


@key_commands.command("create")
@click.option("--name", required=True, help="What the key is for.")
@click.option("--permission", "permissions", required=True, multiple=True, help=f"One of {', '.join(PERMISSIONS)}; repeatable.")
@prints_output
@workspace_option
def create_key(name: str, permissions: tuple[str, ...]) -> Output:
    """Create an API key and show it. It cannot be shown again.

    Example: flask keys create --name "Shopify sync" --permission read --permission update-data
    """
    body = validate_body(ApiKeyRequestBody(), {"name": name, "permissions": list(permissions)})
    with transaction():
        key = insert_api_key(body)

    def undo() -> str:
        delete_stored_key(key["id"])
        return f"Key '{key['id']}' is deleted again, because nobody has seen it"

    text = f"Key '{key['id']}' created ({', '.join(key['permissions'])}). It is shown only now:\n{key['rawKey']}"
    return Output(key, text, undo=undo)


@key_commands.command("deactivate")
@click.argument("id")
@prints_output
@workspace_option
def deactivate_key(id: str) -> Output:
    """Deactivate an API key: from now on it is refused everywhere.

    Example: flask keys deactivate apikey-0123456789abcdef
    """
    require_key(id)
    key = deactivate_stored_key(id)
    return Output(key, f"Key '{id}' has been refused since {key['deactivatedAt']}.")


@key_commands.command("delete")
@click.argument("id")
@yes_option
@prints_output
@workspace_option
def delete_key(id: str, yes: bool) -> Output:
    """Delete an API key for good. For an active key, the command asks for confirmation.

    Example: flask keys delete apikey-0123456789abcdef
    """
    require_key(id)
    if fetch_one(ACTIVE_KEY, g.tenant, id):
        confirm(f"Key '{id}' is active: whatever uses it will be refused. Delete it?", yes)
    return Output(delete_stored_key(id), f"Key '{id}' deleted.")
