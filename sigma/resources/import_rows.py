"""The rows of an import: what each would store, and what is wrong with it."""

import hashlib
import itertools
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sigma.http.errors import MAX_BODY, ApiError
from sigma.http.stamps import random_id
from sigma.http.strict_json import format_value
from sigma.resources.cells import cells_of
from sigma.resources.entities import Entity, load_record
from sigma.resources.history import value_changes
from sigma.resources.outbox import count_told
from sigma.resources.records import full_message, places_left, store_record
from sigma.resources.rules import SchemaRules
from sigma.resources.transfer import ID
from sigma.resources.unique_values import claims, find_holder, name_holder
from sigma.resources.value_checks import begin_import, begin_row, expectation
from sigma.resources.writes import locked_attributes, read_only_problem, save_changes

# Characters of stored records that the rows of one import may name, each as often as it is named: the worst of them cost
# seconds, and a body full of ids whose records have five thousand characters is within that.
MAX_READ = 128 * MAX_BODY

# Characters of what the rows of one import may send to webhooks, and what a delivery has besides the record's values. Each
# row sends the whole record to each webhook: without a limit a body of a few rows could fill the disk.
MAX_SENT, DELIVERY = 128 * MAX_BODY, 400


class Owner(NamedTuple):
    """The record or variant that has a unique value."""

    id: str
    name: str  # that messages have


class Source(NamedTuple):
    """How messages name where rows come from."""

    row: str  # what a row's number counts
    field: str  # what says which column is which attribute
    link: str  # what stands between that and the name of a column


BODY, FILE = Source("row", "columnMapping", "."), Source("line", "--map", " ")


@dataclass
class Earlier:
    """What the good rows before have done, as far as the database does not tell."""

    given: MutableMapping[str, dict[str, Any]] = field(default_factory=dict)  # by id and alias: values that a preview changed
    owners: MutableMapping[bytes, Owner | None] = field(default_factory=dict)  # of the unique values that were brought or taken
    created: int = 0  # records that a preview would have made


class Row(NamedTuple):
    """A row as it was read: what it would do with a record, and the cells that could not be read."""

    number: int
    cells: dict[str, Any]  # by column
    creates: bool
    record_id: Any
    faults: dict[str, str]  # by alias
    values: dict[str, Any]  # scoped values by alias, of the attributes that it changes
    changes: list[dict[str, Any]]
    record: Entity | None = None  # the one that it updates, as the rows before leave it
    problems: Sequence[str] = ()


def _value_everywhere(entries: list[dict[str, Any]]) -> Any:
    return next((entry["value"] for entry in entries if entry["scope"] == {}), None)


def _with_value_everywhere(entries: list[dict[str, Any]], value: Any) -> list[dict[str, Any]]:
    new = {"scope": {}, "value": value}
    if _value_everywhere(entries) is None:
        return [*entries, new]
    return [new if entry["scope"] == {} else entry for entry in entries]


def _digest(alias: str, claim: tuple[str, str]) -> bytes:
    """Return what stands for a unique value of an attribute, however long that is."""
    return hashlib.sha256("\0".join((alias, *claim)).encode()).digest()


class Batch:
    """The rows of one import, each judged as if the good ones before it were stored.

    That is so whether they are or not: a preview says what the import would, writes nothing and keeps nobody from writing.
    What is kept from row to row is bounded by the body, whatever the records hold; of a file, Earlier may keep it on disk.
    """

    def __init__(
        self,
        rules: SchemaRules,
        mapping: dict[str, str],
        stores: bool,
        source: Source = BODY,
        earlier: Earlier | None = None,
    ):
        self.rules, self.stores, self.source, self.earlier = rules, stores, source, earlier or Earlier()
        self.columns = {alias: column for column, alias in mapping.items()}
        mapped = {alias: attribute for alias, attribute in rules.attributes.items() if alias in self.columns}
        self.cells = {self.columns[alias]: cells_of(attribute) for alias, attribute in mapped.items()}  # by column
        self.order = {column: place for place, column in enumerate(self.cells)}
        required = [alias for alias, attribute in rules.attributes.items() if attribute.is_required]
        self.required = [alias for alias in required if alias in mapped]
        self.unmapped = [alias for alias in required if alias not in mapped]
        self.places, self.read, self.sent = places_left() - self.earlier.created, 0, 0
        self.told = {creates: count_told("create" if creates else "update") for creates in (True, False)}  # webhooks

    def add(self, number: int, cells: dict[str, Any], most: int) -> Row:
        """Return a row with at most so many of its problems; one that has none is stored, or counts for those that come."""
        row = self.judge(number, cells, most)
        if not row.problems:
            self.accept(row)
        return row

    def begin_body(self) -> None:
        """Let the rows that come cost as much as those of a whole body: whoever runs a command keeps nobody else waiting."""
        self.read = self.sent = 0
        begin_import()

    def judge(self, number: int, cells: dict[str, Any], most: int) -> Row:
        """Return a row with what it would store, and with at most so many of its problems."""
        begin_row()
        row = self.read_row(number, cells)
        problems = list(itertools.islice(self.problems_of(row), most))
        if row.creates and not problems and self.places <= 0:
            problems = [full_message()]
        if not problems and (row.creates or row.changes) and not self.may_send(row):
            told = self.told[row.creates]
            problems = [f"Expected fewer rows at a time: {told} webhook{'s are' if told > 1 else ' is'} told of each"]
        return row._replace(problems=problems)

    def may_send(self, row: Row) -> bool:
        """Return whether there is room left for what a row sends to webhooks, and take it."""
        size = self.told[row.creates] * (DELIVERY + (len(row.record.text) if row.record else 0))
        is_within = self.sent + size <= MAX_SENT
        self.sent += size if is_within else 0
        return is_within

    def read_row(self, number: int, cells: dict[str, Any]) -> Row:
        """Return a row with what its cells mean."""
        given = cells.get(self.columns[ID]) if ID in self.columns else None
        if given is None or given == "":
            record, row = None, Row(number, cells, True, random_id("ent"), {}, {}, [])
        else:
            row = Row(number, cells, False, given, {}, {}, [])
            try:
                record = self.load(given)
            except ValueError as error:
                row.faults[ID] = f"{self.columns[ID][:100]}: {ID} expects {error}"
                return row
        stored = record.body["values"] if record else {}
        values = self.read_cells(row, stored)
        before = {alias: stored[alias] for alias in values if alias in stored}
        return row._replace(record=record, values=values, changes=list(value_changes(before, values)))

    def load(self, id: Any) -> Entity:
        """Return the record with an id, as the good rows before leave it. Raises ValueError with what is expected instead."""
        if self.read > MAX_READ:
            raise ValueError("fewer rows at a time, because the records that they name are large")
        try:
            record = load_record(id) if isinstance(id, str) else None
        except ApiError:
            record = None
        if record is None:
            raise ValueError(f"the id of a record, got {format_value(id)}")
        self.read += len(record.text)
        if record.schema_id != (schema := self.rules.schema["id"]):
            raise ValueError(f"a record of schema '{schema}', got {format_value(id)} of '{record.schema_id}'")
        values = record.body["values"]
        changed = {
            alias: _with_value_everywhere(values.get(alias, []), value)
            for alias, value in self.earlier.given.get(id, {}).items()
        }
        return record._replace(body={**record.body, "values": {**values, **changed}})

    def read_cells(self, row: Row, stored: dict[str, Any]) -> dict[str, Any]:
        """Return scoped values by alias of what a row changes in these, and note the cells that cannot be read."""
        values = {}
        for column in sorted((name for name in row.cells if name in self.cells), key=self.order.__getitem__):
            cells, cell = self.cells[column], row.cells[column]
            entries = stored.get(cells.rules.alias, [])
            if not row.creates and cells.shows(cell, _value_everywhere(entries)):
                continue  # and is not judged again: an option that is gone since may stay
            try:
                value = cells.read(cell)
            except ValueError as error:
                row.faults[cells.rules.alias] = f"{column[:100]}: {error}"
                continue
            if value is not None:
                values[cells.rules.alias] = _with_value_everywhere(entries, value)
        return values

    def problems_of(self, row: Row) -> Iterator[str]:
        """Yield what is wrong with a row that was read."""
        if row.creates:
            yield from self.missing_values(row)
        yield from row.faults.values()
        for change in row.changes:
            alias = change["attribute"]
            for obstacle in self.obstacles(row, change):
                yield f"{self.columns[alias][:100]}: Attribute '{alias}' {obstacle}, got {format_value(change['newValue'])}"

    def missing_values(self, row: Row) -> Iterator[str]:
        """Yield which values a row that makes a record lacks; what is there and cannot be read is not missing."""
        for alias in self.required:
            column = self.columns[alias]
            if alias not in row.values and alias not in row.faults:
                came = format_value(row.cells[column]) if column in row.cells else "nothing"
                yield f"{column[:100]}: {expectation(alias, f'a value, got {came}')}"
        for alias in self.unmapped:
            yield f"{self.source.field}: {expectation(alias, 'a value, and no column is mapped to it')}"

    def obstacles(self, row: Row, change: dict[str, Any]) -> Iterator[str]:
        """Yield what keeps one attribute from changing so."""
        alias, state = change["attribute"], row.record.state_id if row.record else None
        if alias in locked_attributes(self.rules, state):
            yield read_only_problem(self.rules, state, alias)
        if claim := self.claim(alias, change["newValue"]):
            owner = self.owner_of(alias, claim)
            if owner and owner.id != row.record_id:
                yield f"is unique, and {owner.name} has this value"

    def claim(self, alias: str, value: Any) -> tuple[str, str] | None:
        """Return what a value that counts everywhere claims of an attribute: scope and key; None where that is nothing."""
        rules = self.rules.attributes[alias]
        return claims(rules.kind, [{"scope": {}, "value": value}])[0] if rules.is_unique else None

    def owner_of(self, alias: str, claim: tuple[str, str]) -> Owner | None:
        """Return who has a unique value by now."""
        if (key := _digest(alias, claim)) in self.earlier.owners:
            return self.earlier.owners[key]
        id = find_holder(alias, *claim)
        return Owner(id, name_holder(alias, id)) if id else None

    def accept(self, row: Row) -> None:
        """Store a row in which nothing was found wrong, or judge the rows that come as if it were stored."""
        for change in row.changes:
            for member, owner in (("oldValue", None), ("newValue", Owner(row.record_id, f"{self.source.row} {row.number}"))):
                if claim := self.claim(change["attribute"], change[member]):
                    self.earlier.owners[_digest(change["attribute"], claim)] = owner
        self.places -= row.creates
        if self.stores:
            self.store(row)
            return
        self.earlier.created += row.creates
        if row.record and row.changes:
            changed = {change["attribute"]: change["newValue"] for change in row.changes}
            self.earlier.given[row.record_id] = self.earlier.given.get(row.record_id, {}) | changed

    def store(self, row: Row) -> None:
        """Store what a row creates or changes."""
        if row.record is None:
            store_record(self.rules, row.record_id, row.values)
        else:
            save_changes(self.rules, row.record, row.values, row.changes)
