"""The types of attributes, and the checks of their values."""

import functools
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import re2

from sigma.context import context
from sigma.http.date_times import read_instant
from sigma.http.nearest import what_there_is
from sigma.http.strict_json import MAX_DEPTH, exact, format_value, has_levels, to_json, without_quotes
from sigma.resources.entities import any_record_exists, record_exists

ATTRIBUTE_TYPES: dict[str, tuple[type, ...]] = {  # with the Python types of their JSON values
    "text": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "datetime": (str,),
    "media": (str,),
    "option": (str,),
    "relation": (str,),
    "complex": (dict,),
}


def compile_pattern(pattern: str) -> Any:
    """Compile a pattern with RE2, which matches in time proportional to the text and to the pattern's program.

    Raises re2.error for a pattern that does not compile, or whose program is too large.
    """
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 19
    return re2.compile(pattern, options)


# Characters matched against patterns in one request, or in one row of an import: the worst pattern then takes seconds at most.
MAX_MATCHED = 25_000
# The same for all rows of an import together: characters, each times the size of its pattern's program, which is 8,192 at most.
# So an import may cost as much as one request with the worst pattern; with simple patterns, no body reaches this limit.
MAX_STEPS = MAX_MATCHED * 8_192


def expectation(alias: str, expected: str) -> str:
    """Return a message that says what an attribute expects."""
    return f"Attribute '{alias}' expects {expected}"


def what_to_send(kind: str, value: Any) -> str:
    """Return the end of a message about a value of the wrong type: how to send it, if only its quotes are wrong."""
    if kind == "number" and isinstance(value, str):
        return without_quotes(value) or " (send a number without quotes, such as 129.99)"
    if kind == "boolean" and isinstance(value, str) and value.lower() in ("true", "false"):
        return f" (send {value.lower()} without quotes)"
    if ATTRIBUTE_TYPES[kind] == (str,) and type(value) in (int, float, bool):
        return f' (send "{to_json(value)}", in quotes)' if kind == "text" else ""
    return ""


# Levels of a complex value, whatever body it comes in: in a record that is read and put back, it is a few levels further down.
MAX_LEVELS = MAX_DEPTH - 10


def _length_problem(alias: str, most: int, value: str) -> str | None:
    return expectation(alias, f"at most {most} characters, got {len(value)}") if len(value) > most else None


def begin_row() -> None:
    """Let the next row of an import match as many characters against patterns as one request."""
    context().matched = 0


def begin_import() -> None:
    """Let the next rows take as many steps of patterns as one import."""
    context().match_steps = 0


def _pattern_problem(alias: str, pattern: str, compiled: Any, size: int, value: str) -> str | None:
    known = vars(context())
    known["matched"] = matched = known.get("matched", 0) + len(value)
    known["match_steps"] = steps = known.get("match_steps", 0) + len(value) * size
    if matched > MAX_MATCHED:
        return expectation(alias, f"texts with a pattern to have at most {MAX_MATCHED} characters together in one request")
    if steps > MAX_STEPS:
        return expectation(alias, "fewer rows at a time, because its pattern is costly")
    if not compiled.search(value.encode()):  # in a str, re2 would count the characters before the match
        return f"Value for '{alias}' does not match pattern '{pattern}', got {format_value(value)}"
    return None


def _range_problem(alias: str, least: Decimal | int, most: Decimal | int, expected: str, value: float) -> str | None:
    return None if least <= exact(value) <= most else expectation(alias, f"{expected}, got {format_value(value)}")


def _datetime_problem(alias: str, value: str) -> str | None:
    if read_instant(value) is not None:
        return None
    forms = "a date and time with a zone (RFC 3339, as 2026-03-01T08:00:00Z) or a plain date (as 2026-03-01)"
    return expectation(alias, f"{forms}, got {format_value(value)}")


def _option_problem(alias: str, list_id: str, options: set[str], value: str) -> str | None:
    if value in options:
        return None
    return expectation(
        alias, f"the id or alias of a value of '{list_id}', got {format_value(value)}{what_there_is(value, options)}"
    )


def _relation_problem(alias: str, value: str) -> str | None:
    return None if record_exists(value) else expectation(alias, f"the id of a record, got {format_value(value)}")


def _depth_problem(alias: str, value: dict[str, Any]) -> str | None:
    return expectation(alias, f"at most {MAX_LEVELS} levels") if has_levels(value, MAX_LEVELS + 1) else None


def find_target(kind: str, options: set[str]) -> Callable[[list[str]], bool] | None:
    """Return a function that tells whether any of these options or records exists; None for a type whose values name none."""
    if kind == "option":
        return lambda names: not options.isdisjoint(names)
    return any_record_exists if kind == "relation" else None


def value_checks(attribute: dict[str, Any], options: set[str]) -> Iterator[Callable[[Any], str | None]]:
    """Yield the checks of one value of an attribute, which take a value of the attribute's type."""
    alias, kind, limits = attribute["alias"], attribute["type"], attribute["validation"]
    if ATTRIBUTE_TYPES[kind] == (str,):
        if "maxLength" in limits:
            yield functools.partial(_length_problem, alias, limits["maxLength"])
        if "pattern" in limits:
            compiled = compile_pattern(limits["pattern"])
            yield functools.partial(_pattern_problem, alias, limits["pattern"], compiled, compiled.programsize)
    if kind == "number" and ("min" in limits or "max" in limits):
        least, most = (exact(limits.get(end, infinity)) for end, infinity in (("min", -math.inf), ("max", math.inf)))
        start, end = f" from {limits['min']}" if "min" in limits else " up", f" to {limits['max']}" if "max" in limits else ""
        expected = f"a number{start}{end}"
        yield functools.partial(_range_problem, alias, least, most, expected)
    if kind == "datetime":
        yield functools.partial(_datetime_problem, alias)
    if kind == "option":
        yield functools.partial(_option_problem, alias, attribute["optionListId"], options)
    if kind == "relation":
        yield functools.partial(_relation_problem, alias)
    if kind == "complex":
        yield functools.partial(_depth_problem, alias)
