"""The health of the workspace's webhooks: how many deliveries each has, and how the last attempt ended."""

import json
from typing import Any

from flask import g
from marshmallow import fields

from sigma.database import execute, snapshot
from sigma.http.fields import Body, described, id_field
from sigma.resources.deliveries import STATES, AttemptBody
from sigma.resources.webhooks import WebhookBody


class DeliveryCountsBody(Body):
    """How many of a webhook's kept deliveries are in each state."""

    pending = fields.Integer(required=True, metadata=described("How many wait", 1))
    delivered = fields.Integer(required=True, metadata=described("How many the receiver has accepted", 12))
    failed = fields.Integer(required=True, metadata=described("How many failed and are not tried again", 0))


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


def _last_attempts() -> dict[str, dict[str, Any]]:
    sql = (  # with max(), SQLite takes the other columns from the row that has the maximum
        "SELECT d.webhook_id, max(a.seq), a.at, a.status, a.ms, a.error, d.id FROM deliveries d"
        " JOIN delivery_attempts a ON a.tenant = d.tenant AND a.delivery_id = d.id WHERE d.tenant = ? GROUP BY d.webhook_id"
    )
    names = ("at", "status", "ms", "error", "deliveryId")
    return {webhook: dict(zip(names, attempt, strict=True)) for webhook, _, *attempt in execute(sql, g.tenant)}


def fetch_webhook_health() -> list[dict[str, Any]]:
    """Return all webhooks of the workspace with their health, oldest first."""
    with snapshot():
        counts, attempts = _count_states(), _last_attempts()
        bodies = execute("SELECT body FROM webhooks WHERE tenant = ? ORDER BY seq", g.tenant).fetchall()
    no_deliveries = dict.fromkeys(STATES, 0)
    return [
        {**webhook, "deliveries": counts.get(webhook["id"], no_deliveries), "lastAttempt": attempts.get(webhook["id"])}
        for webhook in (json.loads(body) for (body,) in bodies)
    ]


def is_failing(webhook: dict[str, Any]) -> bool:
    """Return whether the latest attempt of an active webhook failed."""
    return webhook["active"] and webhook["lastAttempt"] is not None and webhook["lastAttempt"]["error"] is not None
