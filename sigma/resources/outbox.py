"""The outbox: what a change to a record or variant sends to webhooks, stored in one transaction with the change."""

import time
from collections.abc import Iterator
from typing import Any

from flask import g

from sigma.database import call_when_stored, execute, get_db
from sigma.http.stamps import random_id
from sigma.http.strict_json import to_json
from sigma.resources.sender import wake_sender

EVENTS = {
    "entity.created": "A record was made",
    "entity.updated": "Values of a record changed",
    "entity.deleted": "A record was deleted; its variants' own events came before",
    "entity.transition": "A record moved to another state of its workflow",
    "variant.created": "A variant was made",
    "variant.updated": "Values of a variant changed",
    "variant.deleted": "A variant was deleted, alone or with its record",
}

_PAST = {"create": "created", "update": "updated", "delete": "deleted", "transition": "transition"}  # by what the history says


def _parts(event: str, entity: dict[str, Any], text: str, at: str, changes: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the members of a delivery's body after its id. The text goes in as it is stored, and is not written anew."""
    yield f'"event":"{event}"'
    yield f'"timestamp":"{at}"'
    yield f'"entityId":{to_json(entity.get("entityId", entity["id"]))}'
    if "entityId" in entity:
        yield f'"variantId":{to_json(entity["id"])}'
    yield f'"data":{text}'
    if event == "entity.transition":
        (change,) = changes
        yield f'"fromStateId":{to_json(change["oldValue"])}'
        yield f'"toStateId":{to_json(change["newValue"])}'


def _event(action: str, is_variant: bool) -> str:
    return f"{'variant' if is_variant else 'entity'}.{_PAST[action]}"


def _fetch_told(event: str) -> list[str]:
    """Return the ids of the webhooks that are told of an event."""
    sql = (
        "SELECT id FROM webhooks WHERE tenant = ? AND is_active"
        " AND EXISTS (SELECT 1 FROM json_each(body, '$.events') WHERE value = ?)"
    )
    return [id for (id,) in execute(sql, g.tenant, event)]


def count_told(action: str) -> int:
    """Return how many webhooks are told when this is done to a record."""
    return len(_fetch_told(_event(action, is_variant=False)))


def enqueue(action: str, entity: dict[str, Any], text: str, at: str, changes: list[dict[str, Any]]) -> None:
    """Store what a change sends: a delivery to each active webhook that asks for its event.

    Takes the text of the record or variant as it is stored now, or as it was, if it is gone. All of it is sent, whatever
    the role of whoever changed it hides.
    """
    event = _event(action, "entityId" in entity)
    if not (webhooks := _fetch_told(event)):
        return
    call_when_stored(wake_sender)
    told, now = ",".join(_parts(event, entity, text, at, changes)), time.time()
    deliveries = ((random_id("dlv"), webhook) for webhook in webhooks)
    get_db().executemany(
        "INSERT INTO deliveries (tenant, id, webhook_id, event, body, made_at) VALUES (?, ?, ?, ?, ?, ?)",
        ((g.tenant, id, webhook, event, f'{{"deliveryId":"{id}",{told}}}', now) for id, webhook in deliveries),
    )
