"""The types of attributes, and the checks of their values."""

import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping
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

Names = Callable[[], Mapping[str, str]]  # returns the ids of a list's options, or of a dimension's segments, by their names


PATTERN_MEMORY = 1 << 19  # bytes that a compiled pattern may take
MAX_MATCHED = 25_000  # characters matched against patterns in one request, or in one row of an import

# A step is a byte of a text times the size of its pattern's program, which is 27,000 at most. It takes 15 ns at most, but for
# most patterns and texts next to nothing, because RE2 then follows a table. So a request or an import may match no more only
# when it has passed both limits: the steps alone would refuse imports that take no time, and the seconds alone could refuse
# anything on a slow machine. One match cannot be stopped, so its steps are bounded. The worst request takes 0.3 seconds.
MAX_STEPS = 25_000_000
MAX_SECONDS = 0.1
FEW_STEPS = 500  # a match of no more is not counted
USUAL_SECONDS = 5e-6  # of any other match; not counted either


def compile_pattern(pattern: str) -> Any:
    """Compile a pattern with RE2, which matches in time proportional to the text and to the pattern's program.

    Raises re2.error for a pattern that does not compile, or whose program is too large.
    """
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True  # what groups hold is not asked for, and keeping it can cost many times the match
    options.max_mem = PATTERN_MEMORY
    compiled = re2.compile(pattern, options)
    re2.purge()  # re2 would keep the last 128, up to 64 MB, beside the rules
    return compiled


class Pattern:
    """A pattern, compiled when it is first needed: a schema may have many that take milliseconds each."""

    def __init__(self, text: str):
        self.text = text

    @functools.cached_property
    def compiled(self) -> tuple[Callable[[bytes], Any], int]:
        """Return the function that searches a text for the pattern, and the size of its program."""
        program = compile_pattern(self.text)
        return program.search, program.programsize


def expectation(alias: str, expected: str) -> str:
    """Return a message that says what an attribute expects."""
    return f"Attribute '{alias}' expects {expected}"


def how_to_send(kind: str, value: Any) -> str:
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
    """Let the next rows match as long as those of one import."""
    context().match_steps = context().match_seconds = 0


def _cost_problem(alias: str, size: int, steps: int) -> str | None:
    known = vars(context())
    if steps > MAX_STEPS:
        return expectation(alias, f"a text of at most {MAX_STEPS // size} bytes, because its pattern is costly")
    known["match_steps"] = known.get("match_steps", 0) + steps
    if known["match_steps"] > MAX_STEPS and known.get("match_seconds", 0) > MAX_SECONDS:
        return expectation(alias, "fewer rows or values at a time, because its pattern is costly")
    return None


def _search_timed(search: Callable[[bytes], Any], text: bytes) -> Any:
    start = time.thread_time()
    found = search(text)
    known = vars(context())
    known["match_seconds"] = known.get("match_seconds", 0) + max(0, time.thread_time() - start - USUAL_SECONDS)
    return found


def _pattern_problem(alias: str, pattern: Pattern, value: str) -> str | None:
    known = vars(context())
    known["matched"] = matched = known.get("matched", 0) + len(value)
    if matched > MAX_MATCHED:
        return expectation(alias, f"texts with a pattern to have at most {MAX_MATCHED} characters together in one request")
    search, size = pattern.compiled
    text = value.encode()  # in a str, re2 would count the characters before the match
    if (steps := len(text) * size) <= FEW_STEPS:
        found = search(text)
    elif problem := _cost_problem(alias, size, steps):
        return problem
    else:
        found = _search_timed(search, text)
    return None if found else f"Value for '{alias}' does not match pattern '{pattern.text}', got {format_value(value)}"


def _range_problem(alias: str, least: Decimal | int, most: Decimal | int, expected: str, value: float) -> str | None:
    return None if least <= exact(value) <= most else expectation(alias, f"{expected}, got {format_value(value)}")


def _datetime_problem(alias: str, value: str) -> str | None:
    if read_instant(value) is not None:
        return None
    forms = "a date and time with a zone (RFC 3339, as 2026-03-01T08:00:00Z) or a plain date (as 2026-03-01)"
    return expectation(alias, f"{forms}, got {format_value(value)}")


def _option_problem(alias: str, list_id: str, names: Names, value: str) -> str | None:
    if value in (options := names()):
        return None
    return expectation(
        alias, f"the id or alias of a value of '{list_id}', got {format_value(value)}{what_there_is(value, options)}"
    )


def _relation_problem(alias: str, value: str) -> str | None:
    return None if record_exists(value) else expectation(alias, f"the id of a record, got {format_value(value)}")


def _depth_problem(alias: str, value: dict[str, Any]) -> str | None:
    return expectation(alias, f"at most {MAX_LEVELS} levels") if has_levels(value, MAX_LEVELS + 1) else None


def find_target(kind: str, options: Names) -> Callable[[list[str]], bool] | None:
    """Return a function that tells whether any of these options or records exists; None for a type whose values name none."""
    if kind == "option":
        return lambda names: not options().keys().isdisjoint(names)
    return any_record_exists if kind == "relation" else None


def value_checks(
    attribute: dict[str, Any], options: Names, pattern_of: Callable[[str], Pattern]
) -> Iterator[Callable[[Any], str | None]]:
    """Yield the checks of one value of an attribute, which take a value of the attribute's type."""
    alias, kind, limits = attribute["alias"], attribute["type"], attribute["validation"]
    if ATTRIBUTE_TYPES[kind] == (str,):
        if "maxLength" in limits:
            yield functools.partial(_length_problem, alias, limits["maxLength"])
        if "pattern" in limits:
            yield functools.partial(_pattern_problem, alias, pattern_of(limits["pattern"]))
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
