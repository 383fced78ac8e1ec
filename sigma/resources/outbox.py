"""The outbox: the webhook deliveries of a change to a record or variant, stored in the same transaction as the change."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

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


class Change(NamedTuple):
    """What was done to a record or variant."""

    action: str
    entity: dict[str, Any]  # before or after the change
    text: str  # as it is stored now, or as it was before it was deleted
    at: str
    changes: list[dict[str, Any]]  # by attribute and scope

    @property
    def event(self) -> str:
        """Return what webhooks call it."""
        return _event(self.action, "entityId" in self.entity)


def _event(action: str, is_variant: bool) -> str:
    return f"{'variant' if is_variant else 'entity'}.{_PAST[action]}"


def _members(event: str, change: Change) -> Iterator[str]:
    """Yield the members of a delivery's body after its id, as JSON text."""
    entity = change.entity
    yield f'"event":"{event}"'
    yield f'"timestamp":"{change.at}"'
    yield f'"entityId":{to_json(entity.get("entityId", entity["id"]))}'
    if "entityId" in entity:
        yield f'"variantId":{to_json(entity["id"])}'
    yield f'"data":{change.text}'  # as stored, not serialized again
    if event == "entity.transition":
        (moved,) = change.changes
        yield f'"fromStateId":{to_json(moved["oldValue"])}'
        yield f'"toStateId":{to_json(moved["newValue"])}'


def _fetch_subscribers(event: str) -> list[str]:
    sql = (
        "SELECT id FROM webhooks WHERE tenant = ? AND is_active"
        " AND EXISTS (SELECT 1 FROM json_each(body, '$.events') WHERE value = ?)"
    )
    return [id for (id,) in execute(sql, context().tenant, event)]


def count_subscribers(action: str) -> int:
    """Return how many active webhooks subscribe to the event of this action on a record."""
    return len(_fetch_subscribers(_event(action, is_variant=False)))


def _delivery_rows(changes: Sequence[Change], subscribers: Mapping[str, list[str]]) -> Iterator[tuple[Any, ...]]:
    for change in changes:
        event = change.event
        if not subscribers[event]:
            continue
        members, now = ",".join(_members(event, change)), time.time()
        for webhook in subscribers[event]:
            id = random_id("dlv")
            yield context().tenant, id, webhook, event, f'{{"deliveryId":"{id}",{members}}}', now


def enqueue(changes: Sequence[Change]) -> None:
    """Store the deliveries of changes, in their order: one for each active webhook that subscribes to a change's event.

    All of a record or variant is sent, including what the role of the person who changed it hides.
    """
    subscribers = {event: _fetch_subscribers(event) for event in {change.event for change in changes}}
    if not any(subscribers.values()):
        return
    call_when_stored(wake_sender)
    get_db().executemany(
        "INSERT INTO deliveries (tenant, id, webhook_id, event, body, made_at) VALUES (?, ?, ?, ?, ?, ?)",
        _delivery_rows(changes, subscribers),
    )
