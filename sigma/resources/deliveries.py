"""Deliveries of the current workspace: listing them with their outcome, and sending them again by hand."""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from flask import g
from marshmallow import Schema, fields

from sigma.context import confirm_caller
from sigma.database import execute, fetch_one, snapshot, transaction
from sigma.http.errors import not_found_error
from sigma.http.fields import Body, Items, described, enum_field, id_field, timestamp_field
from sigma.http.responses import APART_IF_CHANGED, page_too_large
from sigma.http.stamps import format_time
from sigma.http.strict_json import to_json
from sigma.http.waiting import SEARCHES, leave_worker, leaving_if_long, one_by_one
from sigma.resources.entities import find_schema
from sigma.resources.outbox import EVENTS
from sigma.resources.role_limits import caller_levels, hides_attributes
from sigma.resources.sender import get_sender, wake_sender
from sigma.resources.sending import send_waiting

STATES = {
    "pending": "It waits for its first attempt, or for the next one",
    "delivered": "The receiver answered with a status from 200 to 299",
    "failed": "It is not tried again, unless somebody resends it",
}
MAX_RUN = 60  # seconds after which a run begins no more calls
MAX_SHOWN = 100  # deliveries in one response: each may hold a record of a megabyte
MAX_TEXT = 128 * 1024 * 1024  # characters of the bodies of one list

EXAMPLE = {
    "deliveryId": "dlv-5f0c9d3b7a1e2468",
    "event": "entity.updated",
    "timestamp": "2026-03-08T10:00:11.200Z",
    "entityId": "ent-coastal-wb",
    "data": {"id": "ent-coastal-wb", "schemaId": "schema-apparel", "values": {}},
}


class AttemptBody(Body):
    """A call to a webhook's receiver."""

    at = timestamp_field("When it began")
    status = fields.Integer(
        required=True, allow_none=True, metadata=described("The status of the response; null if there was none", 503)
    )
    ms = fields.Float(required=True, metadata=described("How many milliseconds it took", 12.5))
    error = fields.String(
        required=True,
        allow_none=True,
        metadata=described("What went wrong; null if nothing did", "Expected a status from 200 to 299, got 503"),
    )


class DeliveryBody(Body):
    """What one change sends to a webhook, and the outcome."""

    deliveryId = id_field("The delivery's id, also sent in X-Sigma-Delivery", example="dlv-5f0c9d3b7a1e2468")
    webhookId = id_field("Id of the webhook", example="wh-sync-notify")
    event = enum_field("What happened", EVENTS, "WebhookEvent", "entity.updated", EVENTS)
    state = enum_field("Whether it waits, was delivered, or failed", STATES, "DeliveryState", meanings=STATES)
    body = fields.Dict(required=True, metadata=described("What is sent, the same bytes in each attempt", EXAMPLE))
    attempts = Items(fields.Nested(AttemptBody), "The attempts so far, oldest first", required=True)
    nextAt = timestamp_field("When it is tried next; null if it is not", allow_none=True)


def counts_body(name: str, doc: str, **more: fields.Field[Any]) -> type[Schema]:
    """Return the schema of a body that says how many deliveries are in each state, and has more fields."""
    counts = {state: fields.Integer(required=True, metadata=described(f"How many are {state}", 1)) for state in STATES}
    members: dict[str, Any] = {**counts, **more, "__doc__": doc}
    return Body.from_dict(members, name=name)


RunBody = counts_body(
    "RunBody",
    "The outcome of sending all waiting deliveries.",
    items=Items(fields.Nested(DeliveryBody), f"The deliveries, oldest first; at most {MAX_SHOWN}", required=True),
)


def _visible_body(text: str) -> dict[str, Any]:
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


def _statements(wanted: Mapping[str, str]) -> tuple[str, str, list[str]]:
    """Return the statements that count and read the deliveries that are wanted, and the parameters of both.

    The one that reads takes the workspace before them, and limit and offset behind. It chooses the page without bodies.
    """
    chosen, parameters = "", [g.tenant]
    if "webhookId" in wanted:
        chosen += " AND webhook_id = ?"
        parameters.append(wanted["webhookId"])
    if "state" in wanted:
        chosen += " AND state = ?"
        parameters.append(wanted["state"])
    if "event" in wanted:
        chosen += " AND event = ?"
        parameters.append(wanted["event"])
    page = f"SELECT seq FROM deliveries WHERE tenant = ?{chosen} ORDER BY seq DESC LIMIT ? OFFSET ?"  # noqa: S608 (constants only)
    return f"{COUNT}{chosen}", f"{DELIVERIES} AND seq IN ({page}) ORDER BY seq DESC", parameters


def fetch_deliveries(wanted: Mapping[str, str], offset: int, limit: int) -> tuple[list[str], int]:
    """Return a page of the deliveries as JSON texts, newest first, and the total.

    `wanted` may have a `webhookId`, `state` and `event`.
    """
    count, select, filters = _statements(wanted)
    with one_by_one(), snapshot(), leaving_if_long() as until:
        confirm_caller()  # it may have waited for its turn
        (total,) = fetch_one(count, *filters)
        texts, size = [], 0
        with closing(execute(select, g.tenant, *filters, limit, offset)) as rows:
            for row in rows:  # they hold whole records, of any size
                size += len(row[5])
                if size > MAX_TEXT:
                    raise page_too_large(limit)
                if time.monotonic() > until or size > APART_IF_CHANGED:
                    leave_worker(SEARCHES)
                texts.append(to_json(_describe(row)))
        return texts, total


def find_delivery(id: str) -> dict[str, Any]:
    """Return one delivery. Raises ApiError 404."""
    with snapshot():
        for row in execute(f"{DELIVERIES} AND id = ?", g.tenant, id):
            return _describe(row)
    raise not_found_error("delivery", id)


def redeliver(id: str) -> dict[str, Any]:
    """Make a delivery due at once, whatever its state, with as many attempts as a new one.

    Returns it as it then is: waiting. Raises ApiError 404.
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


ACTIVE = " FROM deliveries d JOIN webhooks w ON w.tenant = d.tenant AND w.id = d.webhook_id WHERE d.tenant = ? AND w.is_active"


def _make_due() -> list[tuple[int, str]]:
    """Make all waiting deliveries due at once; return the `seq` and the webhook's id of each, oldest first."""
    with transaction():
        waiting = execute(f"SELECT d.seq, d.webhook_id{ACTIVE} AND d.state = 'pending' ORDER BY d.seq", g.tenant).fetchall()
        for webhook in {webhook for _, webhook in waiting}:
            sql = "UPDATE deliveries SET next_at = 0 WHERE tenant = ? AND webhook_id = ? AND state = 'pending'"
            execute(sql, g.tenant, webhook)
    return waiting


def _send(webhooks: list[str], last: int, is_over: Callable[[], bool]) -> None:
    """Have this process's senders send what is left of a run; if it has none, send it here, as long as the run is not over."""
    if sender := get_sender():
        sender.wake()
    elif sum(send_waiting(g.tenant, webhook, is_over, last) for webhook in webhooks if not is_over()):
        return
    time.sleep(0.02)  # while other threads or processes send


def send_all_waiting() -> dict[str, Any]:
    """Send all waiting deliveries now, even those that are to be tried later; return the outcome once each was tried.

    Deliveries of inactive webhooks keep waiting. After a minute no more calls begin, and the outcome so far is returned.
    """
    waiting, deadline = _make_due(), time.monotonic() + MAX_RUN

    def is_over() -> bool:
        return time.monotonic() > deadline

    first, last = (waiting[0][0], waiting[-1][0]) if waiting else (0, 0)
    left = f"SELECT DISTINCT d.webhook_id{ACTIVE} AND d.state = 'pending' AND d.next_at = 0 AND d.seq <= ?"
    while (webhooks := [id for (id,) in execute(left, g.tenant, last)]) and not is_over():
        _send(webhooks, last, is_over)
    places = {place for place, _ in waiting}
    with snapshot():
        sql = "SELECT seq, state FROM deliveries WHERE tenant = ? AND seq BETWEEN ? AND ? ORDER BY seq"
        found = [(place, state) for place, state in execute(sql, g.tenant, first, last) if place in places]
        states, shown = [state for _, state in found], to_json([place for place, _ in found[:MAX_SHOWN]])
        sql = f"{DELIVERIES} AND seq IN (SELECT value FROM json_each(?)) ORDER BY seq"  # noqa: S608 (constants only)
        items = [_describe(row) for row in execute(sql, g.tenant, shown)]
    return {**{state: states.count(state) for state in STATES}, "items": items}
