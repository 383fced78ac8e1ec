"""JSON text: written compactly, and read strictly."""

import codecs
import json
import math
import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import orjson

JSON_TYPES = {str: "string", bool: "boolean", int: "number", float: "number", list: "array", dict: "object", type(None): "null"}

# json.dumps() with options would make an encoder for each call.
_encode, _encode_sorted = (
    json.JSONEncoder(
        ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"), sort_keys=sort_keys
    ).encode
    for sort_keys in (False, True)
)

# Objects that JSON cannot represent, such as dates, are errors, as they are to json.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


def to_json(value: Any, sort_keys: bool = False, is_finite: bool = False) -> str:
    """Return a value's JSON text, compact. `is_finite` says that all its numbers are known to be finite.

    Raises ValueError for NaN and the infinities, and TypeError for a type that JSON does not have. orjson takes a tenth of
    json's time, which saves 3 % of a POST. But it writes some small numbers differently, such as 0.00001 for 1e-05. So sorted
    text, which is compared with stored text, is left to json, and so is what orjson does not take: very large whole numbers,
    more than 254 levels, and half of a surrogate pair.
    """
    if sort_keys:
        return _encode_sorted(value)
    try:
        text = orjson.dumps(value, option=_OPTIONS)
    except TypeError:
        return _encode(value)
    # orjson writes NaN and the infinities as null; json refuses them.
    return _encode(value) if not is_finite and b"null" in text else text.decode()


def format_value(value: Any) -> str:
    """Return how a message shows a value: as it is if that is short, else by its type."""
    text = to_json(value) if not isinstance(value, list | dict) else ""
    if not 0 < len(text) <= 60:
        return f"'{JSON_TYPES[type(value)]}'"
    return "'{}'".format(text[1:-1].replace(r"\"", '"')) if isinstance(value, str) else text


def without_quotes(text: str) -> str:
    """Return the end of a message about a text sent as a number: how to send the number in it; "" if there is none in it."""
    number = text.strip()
    return f" (send {number} without quotes)" if re.fullmatch(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?", number) else ""


def _shared_number(text: str) -> int | float:
    number = float(text)
    return int(Decimal(text)) if number.is_integer() else number


def canonical_json(value: Any) -> str:
    """Return the same JSON text for all equal values: 1.0 becomes 1, 1e23 becomes 1 and 23 zeros, and members are sorted."""
    return to_json(json.loads(to_json(value), parse_float=_shared_number), sort_keys=True)


def _is_same_scalar(one: Any, other: Any) -> bool:
    kinds = type(one), type(other)
    if float in kinds and kinds[0] in (int, float) and kinds[1] in (int, float):
        return exact(one) == exact(other)
    return kinds[0] is kinds[1] and bool(one == other)


def is_same(one: Any, other: Any) -> bool:
    """Return whether two values are equal, however their numbers are written and their members ordered; 1 is not true.

    The comparison ends at the first difference, so a small value differs from a large one at once.
    """
    pending = [(one, other)]
    while pending:
        left, right = pending.pop()
        if left is right:
            continue
        if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
            pending.extend(zip(left, right, strict=True))
        elif isinstance(left, dict) and isinstance(right, dict) and left.keys() == right.keys():
            pending.extend((left[name], right[name]) for name in left)
        elif isinstance(left, list | dict) or not _is_same_scalar(left, right):
            return False
    return True


MAX_DEPTH = 500  # levels; SQLite reads 1,000, Python fewer or more, depending on its release


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):  # parsers differ on which value of a repeated name counts
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the member '{twice[:100]}' comes twice in one object")
    return members


class NumberError(ValueError):
    """A number that would not come back as it was sent: what is expected instead, and where the number is."""

    path = ""  # in the JSON text

    def __init__(self, expected: str, text: str):
        super().__init__(f"expected {expected}, got {text[:40]}{'…' * (len(text) > 40)}")
        self.expected = expected


def exact(number: float) -> Decimal | int:
    """Return a number's exact value as it is written, for comparisons: Python compares 1e23 by the double nearest to it."""
    return number if isinstance(number, int) else Decimal(repr(number))


def _is_kept(text: str, number: float) -> bool:
    try:
        return repr(number) == text or Decimal(text) == exact(number)
    except ArithmeticError:  # an exponent that is too large even for a Decimal
        return False


def _read_number(text: str) -> int | float:
    number = float(text)
    if not math.isfinite(number):
        raise NumberError("a number within the range of a double", text)
    if text.lstrip("-").isdecimal():
        return int(text)
    if (len(text) > 16 or "e" in text or "E" in text) and not _is_kept(text, number):  # a double keeps any 15 digits
        raise NumberError("a number of which all digits can be kept", text)
    return number


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


class _Refused(str):
    """The text of a refused number, which takes its place in the value."""


def _mark_refused(text: str) -> Any:
    try:
        return _read_number(text)
    except NumberError:
        return _Refused(text)


def _refused_path(text: str) -> str:
    """Return the path of the first refused number in a JSON text; "" if the rest of the text is malformed."""
    try:
        pending = [("", _mark(text))]
    except (ValueError, RecursionError):
        return ""
    for path, item in pending:  # grows as it goes
        if isinstance(item, _Refused):
            return path
        if isinstance(item, dict):
            pending += [(f"{path}.{name[:100]}" if path else name[:100], child) for name, child in item.items()]
        elif isinstance(item, list):
            pending += [(f"{path}[{index}]", child) for index, child in enumerate(item)]
    return ""


def has_levels(value: Any, levels: int) -> bool:
    """Return whether a value has at least so many levels of arrays and objects."""
    kinds = (list, dict)  # `list | dict` would be made anew, and take eight times as long, for each of a body's thousands
    level = [value]  # level by level, because recursion may exceed Python's limit
    for _ in range(levels):
        containers = [item for item in level if isinstance(item, kinds)]
        if not containers:
            return False
        level = [child for item in containers for child in (item.values() if isinstance(item, dict) else item)]
    return True


def _decoder(read_number: Callable[[str], Any], **options: Any) -> Callable[[str], Any]:
    return json.JSONDecoder(parse_int=read_number, parse_float=read_number, parse_constant=_refuse_constant, **options).decode


_decode, _mark = (_decoder(read, object_pairs_hook=_unique_members) for read in (_read_number, _mark_refused))
_decode_quickly = _decoder(_read_number)


def _decode_plain(text: str) -> Any:
    """Return the value of a JSON text, or None where only _decode() can tell what is wrong or right.

    Without escapes such as \\u0022, a text has as many quotes as its value written anew, unless a member has got lost that
    came twice. Counting them takes a quarter of what _unique_members() takes, which saves 3 % of a POST.
    """
    if "\\u" in text:
        return None
    try:
        value = _decode_quickly(text)
        return value if text.count('"') == to_json(value, is_finite=True).count('"') else None
    except (ValueError, RecursionError):
        return None


OTHER_FORMS = {  # by their first bytes; UTF-32 comes first, because its mark begins with that of UTF-16
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
    b"\x1f\x8b": "gzip",
}


def _other_form(data: bytes) -> str | None:
    for beginning, form in OTHER_FORMS.items():
        if data.startswith(beginning):
            return form
    zeros = data[:4].count(0)  # JSON begins with ASCII: in UTF-16 every other byte is zero, in UTF-32 three of four
    return (None, "UTF-16", "UTF-16", "UTF-32", None)[zeros]


def _syntax_problem(error: json.JSONDecodeError) -> str:
    before, after = error.doc[: error.pos].strip(), error.doc[error.pos :].strip()
    if before and after:
        return f"expected JSON: {error}"
    if after:
        return f"expected JSON, got text that begins with {format_value(after[0])}"
    return "expected JSON, got text that ends too early" if before else "expected JSON, got only blanks"


def _explain(error: ValueError | RecursionError, data: bytes) -> str:
    if isinstance(error, UnicodeDecodeError | json.JSONDecodeError) and (form := _other_form(data)):
        return f"expected JSON in UTF-8, got {form}"
    match error:
        case UnicodeDecodeError(start=start):
            return f"expected JSON in UTF-8, got byte 0x{data[start]:02X} at position {start + 1}, which is not UTF-8"
        case UnicodeEncodeError():
            return "expected JSON in UTF-8, got half a surrogate pair, which is not a character"
        case json.JSONDecodeError():
            return _syntax_problem(error)
        case RecursionError():
            return f"expected JSON of at most {MAX_DEPTH} levels"
    return f"expected JSON: {error}"


def parse_json(data: bytes) -> Any:
    """Return the value of a JSON text.

    Raises ValueError, whose message begins "expected JSON", for text that is not JSON, and for JSON that would not come back as
    it was sent: a repeated name, half a surrogate pair, too many levels. Raises NumberError for a number that would change.
    """
    try:
        text = data.decode("utf-8")
        value = _decode_plain(text) or _decode(text)
        if text.count("[") + text.count("{") > MAX_DEPTH and has_levels(value, MAX_DEPTH):
            raise RecursionError
        if "\\u" in text:
            to_json(value).encode("utf-8")
    except NumberError as error:
        error.path = _refused_path(text)
        raise
    except (ValueError, RecursionError) as error:
        raise ValueError(_explain(error, data)) from None
    return value
