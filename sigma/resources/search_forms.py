"""The forms in which a search compares values, and what a criterion compares them with.

A text contains another whatever the case, by Unicode's full case folding: "STRASSE" finds "Straße". Other differences count,
such as that between "é" and "e". Numbers are compared as they are written, date-times as instants.
"""

import functools
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sigma.http.date_times import Instant, read_instant
from sigma.http.strict_json import NumberError, exact, parse_json
from sigma.resources.unique_values import instant_or_itself, unique_key

Form = Callable[[Any], Any]  # turns an item into what is compared; None if it has no such form, and so meets no criterion


def itself(item: Any) -> Any:
    """Return an item as it is."""
    return item


def fold(item: Any) -> str | None:
    """Return a text in folded case."""
    return item.casefold() if isinstance(item, str) else None


def number(item: Any) -> int | float | None:
    """Return a number so that Python compares it as it is written: as a float, 1e23 is not quite that number."""
    if type(item) is int or (type(item) is float and -(2**53) < item < 2**53):
        return item
    return int(exact(item)) if type(item) is float else None


def exact_number(item: Any) -> Decimal | int | None:
    """Return a number with all the digits that are written, to compare it with a number that no double can hold."""
    return exact(item) if type(item) in (int, float) else None


def truth(item: Any) -> bool | None:
    """Return true or false, but not 1 or 0, which Python takes for them."""
    return item if isinstance(item, bool) else None


def instant(item: Any) -> Instant | None:
    """Return the instant that a date-time means."""
    return read_instant(item) if isinstance(item, str) else None


EQUAL_FORMS: dict[str, Form] = {  # by the type of attribute; items of other types are compared as they are
    "number": number,
    "boolean": truth,
    "datetime": instant_or_itself,
    "complex": functools.partial(unique_key, "complex"),
}
ORDERED_FORMS: dict[str, Form] = {"number": number, "datetime": instant}
ORDERED_VALUES = {
    "number": "a number, or a text that is one",
    "datetime": "a date and time with a zone (RFC 3339), or a plain date",
}


# A number as JSON writes it, and blanks around it.
NUMBER = re.compile(r"[ \t\r\n]*(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)[ \t\r\n]*")


def _wanted_number(value: Any) -> int | float | Decimal | None:
    """Return the number that a criterion compares with, which may be given as a text that JSON would read as a number.

    If the text has more digits than a double keeps, the number is a Decimal.
    """
    if not isinstance(value, str):
        return number(value)
    match = NUMBER.fullmatch(value)
    try:
        return None if match is None else number(parse_json(match[1].encode()))
    except NumberError:
        return _read_decimal(match[1]) if match else None


def _read_decimal(text: str) -> Decimal | None:
    """Return the number that a text is, or None for an exponent too large even for a Decimal."""
    try:
        return Decimal(text)
    except ArithmeticError:
        return None


def wanted_form(kind: str, form: Form, value: Any) -> Any:
    """Return what a criterion compares with, in the form that items have; None if it has no such form."""
    return _wanted_number(value) if kind == "number" else form(value)
