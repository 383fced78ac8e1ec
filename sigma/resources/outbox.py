"""The outbox: the webhook deliveries of a change to a record or variant, stored in the same transaction as the change."""

import time
from collections.abc import Iterator
from typing import Any

from sigma.context import context
from sigma.database import call_when_stored, execute, get_db
from sigma.http.stamps import random_id
from sigma.http.strict_json import to_json
from sigma.resources.sender import wake_sender

EVENTS = {
    "entity.created": "A record was made",
    "entity.updated": "Values of a record changed",
    "entity.deleted": "A record was deleted; the events of its variants come first",
    "entity.transition": "A record moved to another state of its workflow",
    "variant.created": "A variant was made",
    "variant.updated": "Values of a variant changed",
    "variant.deleted": "A variant was deleted, alone or with its record",
}

_PAST = {"create": "created", "update": "updated", "delete": "deleted", "transition": "transition"}  # by action


def _members(event: str, entity: dict[str, Any], text: str, at: str, changes: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the members of a delivery's body after its id, as JSON text."""
    yield f'"event":"{event}"'
    yield f'"timestamp":"{at}"'
    yield f'"entityId":{to_json(entity.get("entityId", entity["id"]))}'
    if "entityId" in entity:
        yield f'"variantId":{to_json(entity["id"])}'
    yield f'"data":{text}'  # as stored, not serialized again
    if event == "entity.transition":
        (change,) = changes
        yield f'"fromStateId":{to_json(change["oldValue"])}'
        yield f'"toStateId":{to_json(change["newValue"])}'


def _event(action: str, is_variant: bool) -> str:
    return f"{'variant' if is_variant else 'entity'}.{_PAST[action]}"


def _fetch_subscribers(event: str) -> list[str]:
    sql = (
        "SELECT id FROM webhooks WHERE tenant = ? AND is_active"
        " AND EXISTS (SELECT 1 FROM json_each(body, '$.events') WHERE value = ?)"
    )
    return [id for (id,) in execute(sql, context().tenant, event)]


def count_subscribers(action: str) -> int:
    """Return how many active webhooks subscribe to the event of this action on a record."""
    return len(_fetch_subscribers(_event(action, is_variant=False)))


def enqueue(action: str, entity: dict[str, Any], text: str, at: str, changes: list[dict[str, Any]]) -> None:
    """Store the deliveries of a change: one for each active webhook that subscribes to its event.

    `text` is the record or variant as it is stored now, or as it was before it was deleted. All of it is sent, including
    what the role of the person who changed it hides.
    """
    event = _event(action, "entityId" in entity)
    if not (subscribers := _fetch_subscribers(event)):
        return
    call_when_stored(wake_sender)
    members, now = ",".join(_members(event, entity, text, at, changes)), time.time()
    deliveries = ((random_id("dlv"), webhook) for webhook in subscribers)
    get_db().executemany(
        "INSERT INTO deliveries (tenant, id, webhook_id, event, body, made_at) VALUES (?, ?, ?, ?, ?, ?)",
        ((context().tenant, id, webhook, event, f'{{"deliveryId":"{id}",{members}}}', now) for id, webhook in deliveries),
    )
