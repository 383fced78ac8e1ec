"""The values that are claimed for one record or variant alone."""

import json
from typing import Any

from flask import g

from sigma.database import execute, fetch_one
from sigma.http.errors import ApiError
from sigma.http.strict_json import format_value, to_json


def unique_key(value: Any) -> str:
    """Return the text under which a value is unique: 1.0 is 1, wherever it stands, and the order of members does not matter."""
    if isinstance(value, str):
        return to_json(value)

    def number(text: str) -> int | float:
        return int(float(text)) if float(text).is_integer() else float(text)

    return to_json(json.loads(to_json(value), parse_float=number), sort_keys=True)


def claim_values(entity_id: str, alias: str, entries: list[dict[str, Any]]) -> None:
    """Claim the values of a unique attribute for one record or variant. Raises ApiError 409 if another has one."""
    for index, entry in enumerate(entries):
        key = (g.tenant, alias, to_json(entry["scope"], sort_keys=True), unique_key(entry["value"]))
        if not execute(
            "INSERT INTO unique_values (tenant, attribute, scope, value, entity_id) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            *key,
            entity_id,
        ).rowcount:
            sql = "SELECT entity_id FROM unique_values WHERE tenant = ? AND attribute = ? AND scope = ? AND value = ?"
            holder = fetch_one(sql, *key)[0]
            raise ApiError(
                409, f"values.{alias}[{index}].value: {format_value(entry['value'])} is already the value of '{holder}'"
            )
