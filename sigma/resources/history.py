"""The history of records and variants: what is added to it with each change."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from flask import g

from sigma.database import execute
from sigma.http.stamps import random_id, utc_now
from sigma.http.strict_json import is_same, to_json
from sigma.resources.values import by_scope


def value_changes(old: dict[str, Any], new: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what changed between two sets of values, by attribute and scope.

    Equal values are none, because clients that read and write back may write 1.0 as 1 and order members anew; true is no 1.
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


def insert_entry(record_id: str, entry: dict[str, Any]) -> None:
    """Add an entry to the history of a record and its variants."""
    body = to_json({"id": random_id("audit"), **entry})
    execute("INSERT INTO audit_log (tenant, record_id, body) VALUES (?, ?, ?)", g.tenant, record_id, body)


def log_change(action: str, entity: dict[str, Any], at: str, changes: Iterable[dict[str, Any]], by: str | None = None) -> None:
    """Add to the history of a record or variant what was changed, at the time that the record or variant has for it, too.

    The caller did it, unless somebody else is named.
    """
    entry = {
        "entityId": entity["id"],
        "action": action,
        "userId": by or g.caller.id,
        "timestamp": at,
        "changes": list(changes),
    }
    insert_entry(entity.get("entityId", entity["id"]), entry)


def log_deletions(bodies: Iterable[tuple[str]]) -> None:
    """Add to the history that records or variants, of which these are the texts, are gone."""
    now = utc_now()
    for (body,) in bodies:
        entity = json.loads(body)
        log_change("delete", entity, now, value_changes(entity["values"], {}))
