"""`flask webhooks`: list webhooks and their deliveries, and send deliveries again or at once."""

import json
from typing import Any

import click

from sigma.cli.console import Output, prints_output, workspace_option
from sigma.cli.terminal import Group, format_table
from sigma.http.paging import DEFAULT_LIMIT, MAX_LIMIT
from sigma.resources.deliveries import STATES, fetch_deliveries, redeliver, send_all_waiting
from sigma.resources.outbox import EVENTS
from sigma.resources.webhook_addresses import ForbiddenHostError, find_addresses, read_url
from sigma.resources.webhook_calls import TIMEOUT
from sigma.resources.webhook_health import fetch_webhook_health, is_failing


@click.group("webhooks", cls=Group)
def webhook_commands() -> None:
    """List webhooks and their deliveries, and send deliveries again or at once."""


def _state_of(webhook: dict[str, Any]) -> str:
    return "failing" if is_failing(webhook) else "active" if webhook["active"] else "paused"


@webhook_commands.command("list")
@prints_output
@workspace_option
def list_webhooks() -> Output:
    """List the webhooks of a workspace, oldest first, with the number of deliveries in each state.

    A webhook is failing if its latest attempt failed.

    Example: flask webhooks list --workspace acme
    """
    webhooks = fetch_webhook_health()
    rows = ((w["id"], w["name"], w["url"], _state_of(w), *map(str, w["deliveries"].values())) for w in webhooks)
    return Output(webhooks, format_table(("ID", "NAME", "URL", "", *map(str.upper, STATES)), *rows))


def _delivery_row(delivery: dict[str, Any]) -> tuple[str, ...]:
    attempts = delivery["attempts"]
    last = attempts[-1] if attempts else {"at": "", "status": None, "error": None}
    outcome = last["error"] or str(last["status"] or "")
    first = (delivery["deliveryId"], delivery["webhookId"], delivery["event"], delivery["body"]["entityId"], delivery["state"])
    return *map(str, first), str(len(attempts)), str(last["at"]), outcome, delivery["nextAt"] or ""


def _format_deliveries(deliveries: list[dict[str, Any]]) -> str:
    titles = ("ID", "WEBHOOK", "EVENT", "RECORD", "STATE", "ATTEMPTS", "LAST", "ANSWER", "NEXT")
    return format_table(titles, *map(_delivery_row, deliveries))


@webhook_commands.command("deliveries")
@click.option("--webhook", metavar="ID", help="Only deliveries of this webhook.")
@click.option("--state", type=click.Choice(list(STATES)), help="Only deliveries in this state.")
@click.option("--event", type=click.Choice(list(EVENTS)), help="Only deliveries of this event.")
@click.option("--limit", type=click.IntRange(1, MAX_LIMIT), default=DEFAULT_LIMIT, show_default=True, help="How many at most.")
@prints_output
@workspace_option
def list_deliveries(webhook: str | None, state: str | None, event: str | None, limit: int) -> Output:
    """List the deliveries of a workspace's webhooks, newest first.

    Example: flask webhooks deliveries --state failed
    """
    wanted = {"webhookId": webhook, "state": state, "event": event}
    texts, _ = fetch_deliveries({name: text for name, text in wanted.items() if text is not None}, 0, limit)
    deliveries = [json.loads(text) for text in texts]
    return Output(deliveries, _format_deliveries(deliveries))


def _require_callable() -> None:
    """Raise click.ClickException if an address may not be called that something waits for: it would fail for good."""
    for webhook in fetch_webhook_health():
        if webhook["active"] and webhook["deliveries"]["pending"]:
            try:
                find_addresses(read_url(webhook["url"]), TIMEOUT)
            except ForbiddenHostError as error:
                settings = "Set it for this command, too, if the service has it"
                raise click.ClickException(f"Nothing was sent. Webhook '{webhook['id']}': {error}. {settings}") from None
            except OSError:  # no address now; it is tried again later
                continue


@webhook_commands.command("run")
@prints_output
@workspace_option
def run_waiting() -> Output:
    """Send all waiting deliveries of a workspace now, even those that are to be tried later.

    Example: flask webhooks run --workspace acme
    """
    _require_callable()
    run = send_all_waiting()
    text = f"What came of it: {', '.join(f'{run[state]} {state}' for state in STATES)}."
    return Output(run, f"{text}\n{_format_deliveries(run['items'])}" if run["items"] else text)


@webhook_commands.command("redeliver")
@click.argument("id")
@prints_output
@workspace_option
def redeliver_delivery(id: str) -> Output:
    """Queue a delivery to be sent again, whatever its state. A running service sends it at once, else `flask webhooks run`.

    Example: flask webhooks redeliver dlv-0123456789abcdef
    """
    return Output(redeliver(id), f"Delivery '{id}' waits to be sent again.")
