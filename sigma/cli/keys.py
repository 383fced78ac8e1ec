"""Commands for API keys."""

import click
from flask.cli import AppGroup

from sigma.cli.console import Report, confirm, in_workspace, reports, table, validated, yes_option
from sigma.database import transaction
from sigma.permissions import PERMISSIONS
from sigma.resources.api_keys import ApiKeyRequestBody, deactivate_stored_key, delete_stored_key, fetch_api_keys, insert_api_key


@click.group("keys", cls=AppGroup)
def key_commands() -> None:
    """Manage API keys."""


@key_commands.command("list")
@reports
@in_workspace
def show_keys() -> Report:
    """List the API keys of a workspace, oldest first.

    Example: flask keys list --workspace acme
    """
    keys = fetch_api_keys()
    rows = (
        (key["id"], key["name"], " ".join(key["permissions"]), key["lastUsedAt"] or "never", key.get("deactivatedAt", ""))
        for key in keys
    )
    return Report(keys, table(("ID", "NAME", "PERMISSIONS", "LAST USED", "DEACTIVATED"), *rows))


@key_commands.command("create")
@click.option("--name", required=True, help="What the key is for.")
@click.option("--permission", "permissions", required=True, multiple=True, help=f"One of {', '.join(PERMISSIONS)}; repeatable.")
@reports
@in_workspace
def create_key(name: str, permissions: tuple[str, ...]) -> Report:
    """Make an API key. This is the only time that it is shown.

    Example: flask keys create --name "Shopify sync" --permission read --permission update-data
    """
    wanted = validated(ApiKeyRequestBody(), {"name": name, "permissions": list(permissions)})
    with transaction():
        key = insert_api_key(wanted)
    return Report(key, f"Key '{key['id']}' made ({', '.join(key['permissions'])}). It is shown only now:\n{key['rawKey']}")


@key_commands.command("deactivate")
@click.argument("id")
@reports
@in_workspace
def deactivate_key(id: str) -> Report:
    """Deactivate an API key: it is refused everywhere from this moment on.

    Example: flask keys deactivate apikey-0123456789abcdef
    """
    key = deactivate_stored_key(id)
    return Report(key, f"Key '{id}' is refused since {key['deactivatedAt']}.")


@key_commands.command("delete")
@click.argument("id")
@yes_option
@reports
@in_workspace
def delete_key(id: str, yes: bool) -> Report:
    """Delete an API key for good. Without --yes, one that was not deactivated first is asked about.

    Example: flask keys delete apikey-0123456789abcdef
    """
    if any(key["id"] == id and key["active"] for key in fetch_api_keys()):
        confirm(f"Key '{id}' is active: what uses it will be refused. Delete it?", yes)
    return Report(delete_stored_key(id), f"Key '{id}' deleted.")
