"""Guesses from the cells of a file's columns: the type of attribute for each, its option list, and ids for all of them."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from sigma.resources.attributes import ProductAttributeBody
from sigma.resources.cells import Cells, cells_of
from sigma.resources.rules import attribute_rules

KINDS = ("boolean", "number", "datetime")  # a column that is none of these is of type option or text
MOST_OPTIONS = 50  # of a list
LONGEST_OPTION = 60  # characters
USES_OF_AN_OPTION = 4  # how often each value must occur, on average, for a column to be of type option
LONGEST_SHOWN = 24  # characters of a cell in a message
LONGEST_SLUG = 80  # characters; ids add a prefix, and may have 100
CODE = re.compile("[0-9]{8,}")  # a bar code or the like, if all have one length: not a number that anybody calculates with
LETTERS = str.maketrans({"æ": "ae", "ø": "o", "ß": "ss", "đ": "d", "ł": "l", "œ": "oe", "þ": "th", "ð": "d"})


def slug(text: str) -> str:
    """Return an alias made from a text; "" if nothing of it can be written in ASCII letters and digits."""
    letters = unicodedata.normalize("NFKD", text.casefold().translate(LETTERS)).encode("ascii", "ignore").decode()
    return re.sub("[^a-z0-9]+", "-", letters).strip("-")[:LONGEST_SLUG].strip("-")


def assign_slugs(texts: Iterable[str], fallback: str, plain: Callable[[str], str]) -> dict[str, str]:
    """Return a different alias for each text.

    A text that already is an alias keeps it, so that an import cannot take the text for the name of another column.
    """
    texts = list(texts)
    slugs = {text: slug(text) for text in texts if slug(text) and slug(text) == plain(text)}
    given = set(slugs.values())
    for text in texts:
        if text not in slugs:
            stem = name = slug(text) or fallback
            count = 1
            while name in given:
                count += 1
                name = f"{stem}-{count}"
            given.add(name)
            slugs[text] = name
    return {text: slugs[text] for text in texts}


def _cells_of_kind(kind: str) -> Cells:
    body = ProductAttributeBody().load({"id": "attr-x", "alias": "x", "name": "x", "type": kind})
    return cells_of(attribute_rules(body, lambda kind, id: dict))


def _can_read(cells: Cells, cell: str) -> bool:
    try:
        return cells.read(cell) is not None
    except ValueError:
        return False


class ColumnGuess:
    """What type the cells of one column may have. It takes little memory, however many cells there are."""

    def __init__(self, name: str, alias: str):
        self.name, self.alias, self.filled, self.has_words = name, alias, 0, False
        self.readers = {kind: _cells_of_kind(kind) for kind in KINDS}
        self.code_lengths: set[int] = set()  # 0 stands for a cell that is not a code
        self.values: Counter[str] | None = Counter()  # None: too many different values, or one too long, for an option list
        self.odd_cell = ""  # the line and the beginning of the cell that ruled out the last of the KINDS

    def look(self, cell: str, line: int) -> None:
        """Take a cell into account; an empty one rules nothing out."""
        if cell == "":
            return
        self.filled += 1
        self.has_words = self.has_words or cell.isalpha()
        if self.readers:
            self.readers = {kind: cells for kind, cells in self.readers.items() if _can_read(cells, cell)}
            self.odd_cell = "" if self.readers else f"line {line}: '{cell[:LONGEST_SHOWN]}{'…' * (len(cell) > LONGEST_SHOWN)}'"
        if len(self.code_lengths) < 2:
            self.code_lengths.add(len(cell) if CODE.fullmatch(cell) else 0)
        if self.values is not None:
            self.values[cell] += 1
            if len(cell) > LONGEST_OPTION or not cell.strip() or len(self.values) > MOST_OPTIONS:
                self.values = None

    @property
    def is_code(self) -> bool:
        """Whether all cells are codes of one length."""
        return len(self.code_lengths) == 1 and 0 not in self.code_lengths

    @property
    def reason(self) -> str:
        """Why the column is of none of the KINDS: in words, or as the cell that does not fit; "" if it is of one."""
        if not self.filled:
            return "no cell is filled"
        return f"codes of {min(self.code_lengths)} digits" if self.is_code else self.odd_cell

    @property
    def kind(self) -> str:
        """The type of attribute that all the cells fit."""
        if not self.filled or self.is_code:
            return "text"
        fitting = [kind for kind in self.readers if kind != "boolean" or self.has_words]  # only 0 and 1: a number
        if fitting:
            return fitting[0]
        return "option" if self.values and len(self.values) * USES_OF_AN_OPTION <= self.filled else "text"

    def make_objects(self) -> list[list[Any]]:
        """Return the model objects of the column: its option list, if it has one, and its attribute."""
        attribute = {"id": f"attr-{self.alias}", "alias": self.alias, "name": self.name[:200], "type": self.kind}
        if self.kind != "option":
            return [["attribute", attribute]]
        options = {"id": f"ol-{self.alias}", "alias": self.alias, "name": self.name[:200], "values": self._make_options()}
        return [["option-list", options], ["attribute", {**attribute, "optionListId": options["id"]}]]

    def _make_options(self) -> list[dict[str, Any]]:
        slugs = assign_slugs(sorted(self.values or ()), "option", str)
        return [
            {"id": name, "alias": name, "label": label, "sortOrder": place} for place, (label, name) in enumerate(slugs.items())
        ]
