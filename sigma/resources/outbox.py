"""The outbox: the webhook deliveries of a change to a record or variant, stored in the same transaction as the change."""

import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

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


@functools.cache
def _event(action: str, is_variant: bool) -> str:
    return f"{'variant' if is_variant else 'entity'}.{_PAST[action]}"


class Change(NamedTuple):
    """What webhooks are told of a change; only texts, because an import gathers hundreds."""

    event: str
    record_id: str
    variant_id: str | None
    text: str  # the record or variant as it is stored now, or as it was before it was deleted
    at: str
    states: tuple[str | None, str] | None  # of a transition: that before, and that after

    @classmethod
    def of(cls, action: str, entity: dict[str, Any], text: str, at: str, changes: Sequence[dict[str, Any]]) -> Self:
        """Return a change, given the record or variant before or after it, and what changed in it."""
        id, is_variant = entity["id"], "entityId" in entity
        states = (changes[0]["oldValue"], changes[0]["newValue"]) if action == "transition" else None
        record_id, variant_id = (entity["entityId"], id) if is_variant else (id, None)
        return cls(_event(action, is_variant), record_id, variant_id, text, at, states)

    def members(self) -> Iterator[str]:
        """Yield the members of a delivery's body after its id, as JSON text."""
        yield f'"event":"{self.event}"'
        yield f'"timestamp":"{self.at}"'
        yield f'"entityId":{to_json(self.record_id)}'
        if self.variant_id is not None:
            yield f'"variantId":{to_json(self.variant_id)}'
        yield f'"data":{self.text}'  # as stored, not serialized again
        if self.states:
            yield f'"fromStateId":{to_json(self.states[0])}'
            yield f'"toStateId":{to_json(self.states[1])}'


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
        if not subscribers[change.event]:
            continue
        members, now = ",".join(change.members()), time.time()
        for webhook in subscribers[change.event]:
            id = random_id("dlv")
            yield context().tenant, id, webhook, change.event, f'{{"deliveryId":"{id}",{members}}}', now


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
