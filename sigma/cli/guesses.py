"""What attributes the columns of a file may be, by their cells: types, option lists, and ids for all of them."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from sigma.resources.attributes import ProductAttributeBody
from sigma.resources.cells import Cells, cells_of
from sigma.resources.rules import attribute_rules

KINDS = ("boolean", "number", "datetime")  # what is none of them is an option or a text
MOST_OPTIONS = 50  # of a list
LONGEST_OPTION = 60  # characters
USES_OF_AN_OPTION = 4  # on average, or more
LONGEST_SHOWN = 24  # characters of a cell that people are told
LONGEST_SLUG = 80  # characters; ids have a prefix, and may have 100
CODE = re.compile("[0-9]{8,}")  # all of one length: bar codes and the like, with which nobody calculates
LETTERS = str.maketrans({"æ": "ae", "ø": "o", "ß": "ss", "đ": "d", "ł": "l", "œ": "oe", "þ": "th", "ð": "d"})


def slug(text: str) -> str:
    """Return a text as an alias; "" if it has no letter or digit of ASCII."""
    letters = unicodedata.normalize("NFKD", text.casefold().translate(LETTERS)).encode("ascii", "ignore").decode()
    return re.sub("[^a-z0-9]+", "-", letters).strip("-")[:LONGEST_SLUG].strip("-")


def assign_slugs(texts: Iterable[str], fallback: str, plain: Callable[[str], str]) -> dict[str, str]:
    """Return an alias for each text, all different.

    A text that is such an alias already gets it, so that an import never takes it for another one's.
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
    return cells_of(attribute_rules(body, set(), {}))


def _can_read(cells: Cells, cell: str) -> bool:
    try:
        return cells.read(cell) is not None
    except ValueError:
        return False


class ColumnGuess:
    """What the cells of one column may be; it takes little memory, however many they are."""

    def __init__(self, name: str, alias: str):
        self.name, self.alias, self.filled, self.has_words = name, alias, 0, False
        self.readers = {kind: _cells_of_kind(kind) for kind in KINDS}
        self.code_lengths: set[int] = set()  # 0: of what is no code
        self.values: Counter[str] | None = Counter()  # None: there are too many, or they are too long
        self.odd_one = ""  # the line and the beginning of the first cell with which the column is of none of the KINDS

    def look(self, cell: str, line: int) -> None:
        """Take a cell into account; an empty one may be anything."""
        if cell == "":
            return
        self.filled += 1
        self.has_words = self.has_words or cell.isalpha()
        if self.readers:
            self.readers = {kind: cells for kind, cells in self.readers.items() if _can_read(cells, cell)}
            self.odd_one = "" if self.readers else f"line {line}: '{cell[:LONGEST_SHOWN]}{'…' * (len(cell) > LONGEST_SHOWN)}'"
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
        """Why the cells are no numbers, dates or booleans, where they are not."""
        if not self.filled:
            return "no cell is filled"
        return f"codes of {min(self.code_lengths)} digits" if self.is_code else self.odd_one

    @property
    def kind(self) -> str:
        """The type of attribute that takes all the cells."""
        wrong = {"boolean": not self.has_words}  # 0 and 1 alone are numbers
        fitting = [kind for kind in self.readers if not wrong.get(kind)]
        if not self.filled or self.is_code:
            return "text"
        if fitting:
            return fitting[0]
        return "option" if self.values and len(self.values) * USES_OF_AN_OPTION <= self.filled else "text"

    def make_objects(self) -> list[list[Any]]:
        """Return the column's part of a model: its option list, if it has one, and its attribute."""
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
