"""Deliveries of the current workspace: what webhooks were sent and what came of it, and sending again by hand."""

import json
import time
from collections.abc import Mapping
from typing import Any

from flask import g
from marshmallow import fields

from sigma.database import execute, fetch_one, snapshot, transaction
from sigma.http.errors import not_found_error
from sigma.http.fields import Body, Items, described, enum_field, id_field, timestamp_field
from sigma.http.responses import page_too_large
from sigma.http.stamps import format_time
from sigma.http.strict_json import to_json
from sigma.http.waiting import leave_worker, one_by_one, patience_ends
from sigma.resources.entities import find_schema
from sigma.resources.outbox import EVENTS
from sigma.resources.role_limits import caller_levels, hides_attributes
from sigma.resources.sender import get_sender, wake_sender
from sigma.resources.sending import send_waiting

STATES = {
    "pending": "It waits, for its first attempt or the next one",
    "delivered": "The receiver has answered with a status from 200 to 299",
    "failed": "It is not tried any more, unless somebody sends it again",
}
MAX_RUN = 60  # seconds that a run waits for what it sends
MAX_SHOWN = 100  # deliveries in one answer: each may hold a record of a megabyte
MAX_TEXT = 128 * 1024 * 1024  # characters of the bodies of one list


EXAMPLE = {
    "deliveryId": "dlv-5f0c9d3b7a1e2468",
    "event": "entity.updated",
    "timestamp": "2026-03-08T10:00:11.200Z",
    "entityId": "ent-coastal-wb",
    "data": {"id": "ent-coastal-wb", "schemaId": "schema-apparel", "values": {}},
}


class AttemptBody(Body):
    """A call of a webhook's receiver."""

    at = timestamp_field("When it began")
    status = fields.Integer(
        required=True, allow_none=True, metadata=described("The status of the answer; null: none came", 503)
    )
    ms = fields.Float(required=True, metadata=described("How many milliseconds it took", 12.5))
    error = fields.String(
        required=True,
        allow_none=True,
        metadata=described("What went wrong; null: nothing did", "Expected a status from 200 to 299, got 503"),
    )


class DeliveryBody(Body):
    """What a webhook is sent because of one change, and what came of it."""

    deliveryId = id_field("The delivery's id, which X-Sigma-Delivery has, too", example="dlv-5f0c9d3b7a1e2468")
    webhookId = id_field("Id of the webhook", example="wh-sync-notify")
    event = enum_field("What happened", EVENTS, "WebhookEvent", "entity.updated", EVENTS)
    state = enum_field("How far it is", STATES, "DeliveryState", meanings=STATES)
    body = fields.Dict(required=True, metadata=described("What is sent, the same bytes with each attempt", EXAMPLE))
    attempts = Items(fields.Nested(AttemptBody), "The attempts so far, oldest first", required=True)
    nextAt = timestamp_field("When it is tried next; null when it is not", allow_none=True)


class RunBody(Body):
    """What came of all that waited."""

    delivered = fields.Integer(required=True, metadata=described("How many the receivers have now", 2))
    pending = fields.Integer(required=True, metadata=described("How many were tried, and wait for the next attempt", 0))
    failed = fields.Integer(required=True, metadata=described("How many are not tried any more", 0))
    items = Items(
        fields.Nested(DeliveryBody),
        f"The deliveries, in the order in which they were made, at most {MAX_SHOWN}",
        required=True,
    )


def _visible_body(text: str) -> dict[str, Any]:
    """Return what was sent, without the values that the caller's role hides."""
    body: dict[str, Any] = json.loads(text)
    if "caller" in g and hides_attributes():
        data = body["data"]
        levels = caller_levels(data.get("schemaId") or find_schema(body["entityId"]))
        body["data"] = {**data, "values": levels.visible(data["values"])}
    return body


def _describe(row: tuple[Any, ...]) -> dict[str, Any]:
    _, id, webhook_id, event, state, body, made_at, next_at = row
    sql = "SELECT at, status, ms, error FROM delivery_attempts WHERE tenant = ? AND delivery_id = ? ORDER BY number"
    attempts = [dict(zip(("at", "status", "ms", "error"), attempt, strict=True)) for attempt in execute(sql, g.tenant, id)]
    return {
        "deliveryId": id,
        "webhookId": webhook_id,
        "event": event,
        "state": state,
        "body": _visible_body(body),
        "attempts": attempts,
        "nextAt": None if next_at is None else format_time(next_at or made_at),
    }


DELIVERIES = "SELECT seq, id, webhook_id, event, state, body, made_at, next_at FROM deliveries WHERE tenant = ?"
COUNT = "SELECT count(*) FROM deliveries WHERE tenant = ?"
CHOSEN = " AND ifnull(?, webhook_id) = webhook_id AND ifnull(?, state) = state AND ifnull(?, event) = event"


def fetch_deliveries(wanted: Mapping[str, str], offset: int, limit: int) -> tuple[list[dict[str, Any]], int]:
    """Return a page of the deliveries, newest first, and how many there are; `webhookId`, `state` and `event` choose."""
    chosen = g.tenant, wanted.get("webhookId"), wanted.get("state"), wanted.get("event")
    with one_by_one(), snapshot():
        (total,) = fetch_one(f"{COUNT}{CHOSEN}", *chosen)
        rows = execute(f"{DELIVERIES}{CHOSEN} ORDER BY seq DESC LIMIT ? OFFSET ?", *chosen, limit, offset)
        described, until, size = [], patience_ends(), 0
        for row in rows:  # which hold records, of whatever size
            size += len(row[5])
            if size > MAX_TEXT:
                raise page_too_large(limit)
            described.append(_describe(row))
            if time.monotonic() > until:
                leave_worker()
        return described, total


def find_delivery(id: str) -> dict[str, Any]:
    """Return one delivery. Raises ApiError 404."""
    with snapshot():
        for row in execute(f"{DELIVERIES} AND id = ?", g.tenant, id):
            return _describe(row)
    raise not_found_error("delivery", id)


def redeliver(id: str) -> dict[str, Any]:
    """Let a delivery be sent again at once, whatever came of it so far, with as many attempts as a new one.

    Returns it as it is then: still waiting. Raises ApiError 404.
    """
    with transaction():
        sql = (
            "UPDATE deliveries SET state = 'pending', next_at = 0, attempts = 0, resends = resends + 1"
            " WHERE tenant = ? AND id = ?"
        )
        execute(sql, g.tenant, id)
        delivery = find_delivery(id)
    wake_sender()
    return delivery


WAITS = " FROM deliveries d JOIN webhooks w ON w.tenant = d.tenant AND w.id = d.webhook_id WHERE d.tenant = ? AND w.is_active"


def _make_due() -> list[tuple[int, str]]:
    """Let all that waits be due at once; return the place and webhook of each delivery, in order."""
    with transaction():
        waiting = execute(f"SELECT d.seq, d.webhook_id{WAITS} AND d.state = 'pending' ORDER BY d.seq", g.tenant).fetchall()
        for webhook in {webhook for _, webhook in waiting}:
            sql = "UPDATE deliveries SET next_at = 0 WHERE tenant = ? AND webhook_id = ? AND state = 'pending'"
            execute(sql, g.tenant, webhook)
    return waiting


def _send(webhooks: list[str], last: int) -> None:
    """Do something for what is left of a run: have it sent by this process's senders, or send it here."""
    if sender := get_sender():
        sender.wake()
    elif sum(send_waiting(g.tenant, webhook, lambda: False, last) for webhook in webhooks):
        return
    time.sleep(0.02)  # others are sending


def send_all_waiting() -> dict[str, Any]:
    """Send all that waits now, also what waits for its time, and return what came of it when each was tried once.

    What is paused stays so. It waits for a minute at most.
    """
    waiting, until = _make_due(), time.monotonic() + MAX_RUN
    first, last = (waiting[0][0], waiting[-1][0]) if waiting else (0, 0)
    left = f"SELECT DISTINCT d.webhook_id{WAITS} AND d.state = 'pending' AND d.next_at = 0 AND d.seq <= ?"
    while (webhooks := [id for (id,) in execute(left, g.tenant, last)]) and time.monotonic() < until:
        _send(webhooks, last)
    places = {place for place, _ in waiting}
    with snapshot():
        sql = "SELECT seq, state FROM deliveries WHERE tenant = ? AND seq BETWEEN ? AND ? ORDER BY seq"
        found = [(place, state) for place, state in execute(sql, g.tenant, first, last) if place in places]
        states, shown = [state for _, state in found], to_json([place for place, _ in found[:MAX_SHOWN]])
        sql = f"{DELIVERIES} AND seq IN (SELECT value FROM json_each(?)) ORDER BY seq"  # noqa: S608 (constants only)
        items = [_describe(row) for row in execute(sql, g.tenant, shown)]
    return {**{state: states.count(state) for state in ("delivered", "pending", "failed")}, "items": items}
