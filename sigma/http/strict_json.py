"""JSON text: written once, compactly, and read strictly."""

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


MAX_DEPTH = 500  # SQLite follows 1,000 levels, Python fewer or more, depending on its release


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):  # a name that comes twice would mean two things to two parsers
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the member '{twice}' comes twice in one object")
    return members


def _finite_number(text: str) -> int | float:
    value = float(text)
    if not math.isfinite(value):  # NaN and what a double cannot hold would not come back as they were
        raise ValueError(f"the number {text[:20]} is out of range")
    return int(text) if text.lstrip("-").isdecimal() else value


def _is_too_deep(value: Any) -> bool:
    level = [value]  # level by level, because recursion may not reach the end
    for _ in range(MAX_DEPTH):
        containers = [item for item in level if isinstance(item, list | dict)]
        if not containers:
            return False
        level = [child for item in containers for child in (item.values() if isinstance(item, dict) else item)]
    return True


_decode = json.JSONDecoder(
    object_pairs_hook=_unique_members, parse_int=_finite_number, parse_float=_finite_number, parse_constant=_finite_number
).decode


def parse_json(data: bytes) -> Any:
    """Return the value of a JSON text.

    Raises ValueError for what is not JSON, and for what is but would not survive: numbers beyond a double, names that
    come twice, half a surrogate pair, endless nesting. The message begins "expected JSON".
    """
    try:
        text = data.decode("utf-8")
        value = _decode(text)
        if text.count("[") + text.count("{") > MAX_DEPTH and _is_too_deep(value):
            raise RecursionError
        if "\\u" in text:
            to_json(value).encode("utf-8")
    except RecursionError:
        raise ValueError(f"expected JSON of at most {MAX_DEPTH} levels") from None
    except UnicodeError:
        raise ValueError("expected JSON in UTF-8, got text that is not Unicode") from None
    except ValueError as error:
        raise ValueError(f"expected JSON: {error}") from None
    return value
