"""The history of records and variants: each change is added to it, and sent to webhooks."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from sigma.context import context
from sigma.database import get_db
from sigma.http.stamps import random_id, utc_now
from sigma.http.strict_json import is_same, to_json
from sigma.resources.outbox import Change, enqueue
from sigma.resources.values import by_scope


def value_changes(old: dict[str, Any], new: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what changed between two sets of values, by attribute and scope.

    Equal values are no change, because clients that write back what they read may turn 1.0 into 1 and reorder members; true
    does not equal 1.
    """
    for alias in {**old, **new}:
        if alias not in old:
            for entry in new[alias]:
                yield {"attribute": alias, "scope": entry["scope"], "oldValue": None, "newValue": entry["value"]}
            continue
        before, after = by_scope(old[alias]), by_scope(new.get(alias, ()))
        for key, entry in {**before, **after}.items():
            was, became = (entries[key]["value"] if key in entries else None for entries in (before, after))
            if was is None or became is None or not is_same(was, became):
                yield {"attribute": alias, "scope": entry["scope"], "oldValue": was, "newValue": became}


class Log:
    """Changes that the caller makes, which are added to the history together, with a delivery for each webhook that asks."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, str]] = []  # rows of audit_log
        self.changes: list[Change] = []

    def add(self, action: str, entity: dict[str, Any], text: str, at: str, changes: list[dict[str, Any]]) -> None:
        """Add a change, as log_change() takes it."""
        known, change = context(), Change.of(action, entity, text, at, changes)
        entry = {
            "id": random_id("audit"),
            "entityId": entity["id"],
            "action": action,
            "userId": known.caller.id,
            "timestamp": at,
            "changes": changes,
        }
        body = to_json(entry, is_finite=True)  # what has been stored is, and the nulls of a new record would cost 5 % of a POST
        self.entries.append((known.tenant, change.record_id, body))
        self.changes.append(change)

    def store(self) -> None:
        """Store what was added, in its order: in the history, and as deliveries to webhooks."""
        get_db().executemany("INSERT INTO audit_log (tenant, record_id, body) VALUES (?, ?, ?)", self.entries)
        enqueue(self.changes)


def log_change(action: str, entity: dict[str, Any], text: str, at: str, changes: Iterable[dict[str, Any]]) -> None:
    """Add what the caller changed to the history of a record or variant, and to what waits to be sent to webhooks.

    Takes the record or variant before or after the change, the text that is stored now (or was, before a deletion), and the
    time of the change.
    """
    log = Log()
    log.add(action, entity, text, at, list(changes))
    log.store()


def log_deletions(texts: Iterable[str]) -> None:
    """Add the deletion of records and variants, given by their texts, to the history, and to what waits for webhooks.

    The lowest level comes first.
    """
    now, log = utc_now(), Log()
    deleted = [(json.loads(text), text) for text in texts]
    for entity, text in sorted(deleted, key=lambda pair: -pair[0].get("level", 0)):
        log.add("delete", entity, text, now, list(value_changes(entity["values"], {})))
    log.store()
