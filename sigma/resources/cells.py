"""Cells: how the values of attributes are written in the rows of imports and exports."""

import re
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

from sigma.http.nearest import MOST, what_there_is
from sigma.http.strict_json import NumberError, format_value, is_same, parse_json, to_json
from sigma.resources.model import load_object
from sigma.resources.rules import AttributeRules
from sigma.resources.value_checks import expectation
from sigma.resources.values import is_empty

PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
FLAGS = {"true": True, "1": True, "false": False, "0": False}


def split_items(text: str) -> list[str]:
    r"""Return the items of a cell, which are separated by |; inside an item, \| stands for | and \\ for a backslash.

    A lone backslash stands for one empty item, which would otherwise look like an empty cell.
    """
    if "\\" not in text:
        return text.split("|")
    if text == "\\":
        return [""]
    items = [""]
    for part in re.split(r"(\\[\\|]|\|)", text):
        if part == "|":
            items.append("")
        else:
            items[-1] += part[1] if part in (r"\\", r"\|") else part
    return items


def join_items(items: Iterable[str]) -> str:
    """Return the cell that split_items() splits into these items."""
    return "|".join(re.sub(r"[\\|]", r"\\\g<0>", item) for item in items) or "\\"


def _read_json(text: str) -> Any:
    """Return the value of a JSON text, or the text itself if it is not JSON. Raises NumberError."""
    try:
        return parse_json(text.encode())
    except NumberError:
        raise
    except ValueError:
        return text


def _read_number(text: str) -> Any:
    """Return what _read_json() does, in a third of its time for a number of so few digits that a double keeps them."""
    if len(text) <= 15 and PLAIN_NUMBER.fullmatch(text):
        return float(text) if "." in text else int(text)
    return _read_json(text)


def _read_object(text: str) -> Any:
    """Return the value of a JSON text. Raises ValueError, which says why it is none, or NumberError."""
    return parse_json(text.encode())


def _read_flag(text: str) -> Any:
    return FLAGS.get(text.lower(), text)


READERS: dict[str, Callable[[str], Any]] = {"number": _read_number, "boolean": _read_flag, "complex": _read_object}


def _how_to_write(kind: str, cell: Any) -> str:
    """Return the end of a message about a cell: how to write what is probably meant, or nothing."""
    if kind == "number" and isinstance(cell, str) and re.fullmatch("[+-]?[0-9.,][0-9.,_' \u00a0]*", cell):
        return " (write digits, with a point before decimals, such as 1299.95)"
    if kind == "boolean":
        return " (write true or false, or 1 or 0)"
    if kind == "complex":
        return ' (write an object of JSON, such as {"wash":30})'
    return ""


class Cells(NamedTuple):
    """The cells of one attribute."""

    rules: AttributeRules
    option_ids: dict[str, str]  # by id and alias
    labelled: dict[str, list[str]]  # ids of options by label, which several may share
    names: Collection[str]  # one name of each option, for messages

    def write(self, value: Any) -> str:
        """Return the cell of a value; a missing or empty value makes an empty cell."""
        if is_empty(value):
            return ""
        return join_items(map(self.write_single, value)) if isinstance(value, list) else self.write_single(value)

    def write_single(self, value: Any) -> str:
        """Return the text of a single value, or of one item of several."""
        return self.option_ids.get(value, value) if isinstance(value, str) else to_json(value)

    def shows(self, cell: Any, value: Any) -> bool:
        """Return whether a cell is what an export writes for a value, or means an equal value."""
        if (isinstance(cell, str) and cell == self.write(value)) or is_same(cell, value):
            return True
        try:
            return is_same(self.read_any(cell), value)
        except ValueError:
            return False

    def read(self, cell: Any) -> Any:
        """Return the value that a cell, a text or JSON, means; None for an empty cell. Raises ValueError."""
        value = self.read_any(cell)
        if value is not None and (problem := self.rules.value_problem(value)):
            raise ValueError(problem)
        return value

    def read_any(self, cell: Any) -> Any:
        """Return the value that a cell means, checked for its type only; None for an empty cell. Raises ValueError."""
        if is_empty(cell):
            return None
        items = split_items(cell) if isinstance(cell, str) and self.rules.is_multiple else cell
        if self.rules.is_multiple and isinstance(items, list):
            value: Any = list(map(self.read_single, items))
        else:
            value = self.read_single(items)
        return None if is_empty(value) else value

    def read_single(self, cell: Any) -> Any:
        """Return the value that a cell, or one item of it, means. Raises ValueError."""
        kind = self.rules.kind
        if isinstance(cell, str) and kind == "option":
            return self.read_option(cell)
        try:
            value = READERS[kind](cell) if isinstance(cell, str) and kind in READERS else cell
        except NumberError as error:
            raise self.error(f"{error.expected}, got {format_value(cell)}") from None
        except ValueError as error:
            raise self.error(f"type '{kind}', got {format_value(cell)} ({error})") from None
        if type(value) not in self.rules.types and not isinstance(cell, list | dict):
            raise self.error(f"type '{kind}', got {format_value(cell)}{_how_to_write(kind, cell)}")
        return value

    def read_option(self, name: str) -> str:
        """Return the id of the option with this id, alias or label. Raises ValueError."""
        if name in self.option_ids:
            return self.option_ids[name]
        ids = self.labelled.get(name, [])
        if not ids:
            expected = f"the id, alias or label of an option, got {format_value(name)}"
            raise self.error(expected + what_there_is(name, self.names))
        if len(ids) > 1:
            expected = f"an id or alias, because several have this label, got {format_value(name)}"
            raise self.error(f"{expected} (it is the label of {', '.join(map(format_value, ids[:MOST]))})")
        return ids[0]

    def error(self, expected: str) -> ValueError:
        """Return an error that says what is expected instead of a cell."""
        return ValueError(expectation(self.rules.alias, expected))


def cells_of(rules: AttributeRules) -> Cells:
    """Return the cells of an attribute, with its option list as it is now."""
    options = load_object("option-list", rules.option_list)["values"] if rules.option_list else []
    labelled: dict[str, list[str]] = {}
    for option in options:
        labelled.setdefault(option["label"], []).append(option["id"])
    ids = {option["id"]: option["id"] for option in options}
    ids = {option["alias"]: option["id"] for option in options} | ids
    names = [option["label"] if len(labelled[option["label"]]) == 1 else option["id"] for option in options]
    return Cells(rules, ids, labelled, names)
