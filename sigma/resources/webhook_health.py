"""The health of the workspace's webhooks: how many deliveries each has, and how the last attempt ended."""

import json
from collections.abc import Iterable
from typing import Any

from flask import g
from marshmallow import fields

from sigma.context import confirm_caller
from sigma.database import execute, fetch_one, snapshot
from sigma.http.fields import described, id_field
from sigma.http.waiting import leaving_if_long
from sigma.resources.deliveries import STATES, AttemptBody, counts_body
from sigma.resources.webhooks import WebhookBody

DeliveryCountsBody = counts_body("DeliveryCountsBody", "How many of a webhook's kept deliveries are in each state.")


class LastAttemptBody(AttemptBody):
    """The latest call to a webhook's receiver."""

    deliveryId = id_field("Id of the delivery", example="dlv-5f0c9d3b7a1e2468")


class WebhookHealthBody(WebhookBody):
    """A webhook as it is listed, and its health."""

    deliveries = fields.Nested(
        DeliveryCountsBody, required=True, metadata=described("How many of its deliveries are kept, by state")
    )
    lastAttempt = fields.Nested(
        LastAttemptBody,
        required=True,
        allow_none=True,
        metadata=described("The latest attempt, which shows whether the receiver fails now; null if there was none"),
    )


def _count_states() -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    sql = "SELECT webhook_id, state, count(*) FROM deliveries WHERE tenant = ? GROUP BY webhook_id, state"
    for webhook, state, count in execute(sql, g.tenant):
        counts.setdefault(webhook, dict.fromkeys(STATES, 0))[state] = count
    return counts


RECENT = 1000  # attempts, of all workspaces: the latest of most webhooks is among them
LAST_OF_RECENT = (  # the + keeps SQLite from going through all attempts of the workspace
    "SELECT d.webhook_id, a.at, a.status, a.ms, a.error, d.id FROM delivery_attempts a"
    " JOIN deliveries d ON d.tenant = a.tenant AND d.id = a.delivery_id"
    " WHERE +a.tenant = ? AND a.seq > (SELECT max(seq) FROM delivery_attempts) - ? ORDER BY a.seq"
)
LAST_OF_ALL = (  # with max(), SQLite takes the other columns from the row that has the maximum
    "SELECT max(a.seq), a.at, a.status, a.ms, a.error, d.id FROM deliveries d"
    " JOIN delivery_attempts a ON a.tenant = d.tenant AND a.delivery_id = d.id WHERE d.tenant = ? AND d.webhook_id = ?"
)


def _last_attempts(webhooks: Iterable[str]) -> dict[str, dict[str, Any] | None]:
    """Return the latest attempt of each of these webhooks; None if there was none."""
    recent = {webhook: attempt for webhook, *attempt in execute(LAST_OF_RECENT, g.tenant, RECENT)}
    attempts: dict[str, dict[str, Any] | None] = {}
    for webhook in webhooks:
        attempt = recent.get(webhook) or fetch_one(LAST_OF_ALL, g.tenant, webhook)[1:]
        found = dict(zip(("at", "status", "ms", "error", "deliveryId"), attempt, strict=True))
        attempts[webhook] = found if found["deliveryId"] else None
    return attempts


def fetch_webhook_health() -> list[dict[str, Any]]:
    """Return all webhooks of the workspace with their health, oldest first."""
    with snapshot(), leaving_if_long():
        confirm_caller()  # it may have waited for its thread
        counts = _count_states()
        attempts = _last_attempts(counts)
        bodies = execute("SELECT body FROM webhooks WHERE tenant = ? ORDER BY seq", g.tenant).fetchall()
    no_deliveries = dict.fromkeys(STATES, 0)
    return [
        {**webhook, "deliveries": counts.get(webhook["id"], no_deliveries), "lastAttempt": attempts.get(webhook["id"])}
        for webhook in (json.loads(body) for (body,) in bodies)
    ]


def is_failing(webhook: dict[str, Any]) -> bool:
    """Return whether the latest attempt of an active webhook failed."""
    return webhook["active"] and webhook["lastAttempt"] is not None and webhook["lastAttempt"]["error"] is not None
