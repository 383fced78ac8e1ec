"""The history of records and variants: each change is added to it, and sent to webhooks."""

import json
from collections.abc import Iterable, Iterator, Sequence
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


def _entry_row(change: Change) -> tuple[str, str, str]:
    known, entity = context(), change.entity
    entry = {
        "id": random_id("audit"),
        "entityId": entity["id"],
        "action": change.action,
        "userId": known.caller.id,
        "timestamp": change.at,
        "changes": change.changes,
    }
    text = to_json(entry, is_finite=True)  # what has been stored is, and the nulls of a new record would cost 5 % of a POST
    return known.tenant, entity.get("entityId", entity["id"]), text


def log_changes(changes: Sequence[Change]) -> None:
    """Add what the caller changed to the history of records and variants, and send it to webhooks."""
    get_db().executemany("INSERT INTO audit_log (tenant, record_id, body) VALUES (?, ?, ?)", map(_entry_row, changes))
    enqueue(changes)


def log_change(action: str, entity: dict[str, Any], text: str, at: str, changes: Iterable[dict[str, Any]]) -> None:
    """Do the same for one change.

    Takes the record or variant before or after the change, the text that is stored now (or was, before a deletion), and the
    time of the change.
    """
    log_changes([Change(action, entity, text, at, list(changes))])


def log_deletions(texts: Iterable[str]) -> None:
    """Add the deletion of records and variants, given by their texts, to the history: the lowest level first."""
    now = utc_now()
    deleted = [(json.loads(text), text) for text in texts]
    for entity, text in sorted(deleted, key=lambda pair: -pair[0].get("level", 0)):
        log_change("delete", entity, text, now, value_changes(entity["values"], {}))
