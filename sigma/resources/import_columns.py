"""The columns of an import: what each is mapped to, and how its cells are read, worked out once for all rows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sigma.http.strict_json import NumberError
from sigma.resources.cells import READERS, Cells, cells_of
from sigma.resources.rules import AttributeRules


class Column(NamedTuple):
    """A column that is mapped to an attribute."""

    name: str  # as rows have it
    title: str  # as messages have it
    alias: str
    place: int  # of the attribute in the schema
    rules: AttributeRules
    cells: Cells
    read: Callable[[Any], Any]  # what Cells.read() does


def _reader(cells: Cells) -> Callable[[Any], Any]:
    """Return what Cells.read() does, which a cell that means one value of the right type needs no more than half of."""
    rules, read_any = cells.rules, cells.read
    types = () if rules.is_multiple or rules.kind in ("option", "complex") else rules.types
    convert, checks = READERS.get(rules.kind) if types else None, rules.checks

    def read(cell: Any) -> Any:
        try:
            value = convert(cell) if convert and isinstance(cell, str) else cell
        except NumberError:
            return read_any(cell)
        if type(value) not in types or value == "":
            return read_any(cell)
        for check in checks:
            if problem := check(value):
                raise ValueError(problem)
        return value

    return read


class Columns:
    """The mapped columns of an import, by name."""

    def __init__(self, attributes: Mapping[str, AttributeRules], names: Mapping[str, str]):
        self.by_name: dict[str, Column] = {}
        for place, (alias, rules) in enumerate(attributes.items()):
            if (name := names.get(alias)) is not None:
                cells = cells_of(rules)
                self.by_name[name] = Column(name, name[:100], alias, place, rules, cells, _reader(cells))
        self.last_names: Sequence[str] = ()
        self.last: Sequence[Column] = ()

    def of(self, row: Iterable[str]) -> Sequence[Column]:
        """Return the columns that a row has, in the order of the schema; most rows have the same as the row before."""
        names = tuple(row)
        if names != self.last_names:
            found = (self.by_name[name] for name in names if name in self.by_name)
            self.last_names, self.last = names, sorted(found, key=lambda column: column.place)
        return self.last
