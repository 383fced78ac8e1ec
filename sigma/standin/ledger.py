"""The route of the ledger of API keys, which the published list of keys has no room for."""

from typing import Any

from sigma.http.access import session_only
from sigma.resources.ledger import KeyLedgerBody, fetch_ledgers
from sigma.standin.blueprint import blueprint


@blueprint.get("/keys")
@session_only("canManageRoles")
@blueprint.response(200, KeyLedgerBody(many=True))
def list_key_ledgers() -> list[dict[str, Any]]:
    """List all API keys of the workspace, oldest first, each with what it used, what it lacked and what it never used."""
    return fetch_ledgers()
