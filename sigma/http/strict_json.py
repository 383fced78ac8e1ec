"""JSON text: what is stored is what is served, and what is read is read strictly."""

import json
import math
from collections import Counter
from typing import Any

JSON_TYPES = {str: "string", bool: "boolean", int: "number", float: "number", list: "array", dict: "object", type(None): "null"}


# json.dumps() with options makes an encoder for each call.
_encode, _encode_sorted = (
    json.JSONEncoder(
        ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"), sort_keys=sort_keys
    ).encode
    for sort_keys in (False, True)
)


def to_json(value: Any, sort_keys: bool = False) -> str:
    """Return a value's JSON text, compact."""
    return _encode_sorted(value) if sort_keys else _encode(value)


def format_value(value: Any) -> str:
    """Return how a message shows a value: as it is when that is short, else by its type."""
    text = to_json(value) if not isinstance(value, list | dict) else ""
    return text.replace('"', "'") if 0 < len(text) <= 60 else f"'{JSON_TYPES[type(value)]}'"


def unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its members; a name that comes twice would mean two things to two parsers."""
    members = dict(pairs)
    if len(members) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the member '{twice}' comes twice in one object")
    return members


def finite_number(text: str) -> int | float:
    """Read a number; NaN and what a double cannot hold are not JSON, and would not come back as they were."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is out of range")
    return int(text) if text.lstrip("-").isdecimal() else value


MAX_DEPTH = 500  # SQLite follows 1,000 levels, Python fewer or more, depending on its release


def is_too_deep(value: Any) -> bool:
    """Return whether a value is nested too deep; without recursion, which may not reach its end."""
    level = [value]
    for _ in range(MAX_DEPTH):
        containers = [item for item in level if isinstance(item, list | dict)]
        if not containers:
            return False
        level = [child for item in containers for child in (item.values() if isinstance(item, dict) else item)]
    return True


_decode = json.JSONDecoder(
    object_pairs_hook=unique_members, parse_int=finite_number, parse_float=finite_number, parse_constant=finite_number
).decode
