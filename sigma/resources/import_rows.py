"""The rows of an import: what each would store, and what is wrong with it."""

import hashlib
import itertools
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sigma.http.errors import MAX_BODY, ApiError, counted
from sigma.http.stamps import random_id
from sigma.http.strict_json import format_value
from sigma.resources.cells import cells_of
from sigma.resources.entities import Entity, load_record
from sigma.resources.history import value_changes
from sigma.resources.outbox import count_subscribers
from sigma.resources.records import full_message, places_left, store_record
from sigma.resources.rules import SchemaRules
from sigma.resources.transfer import ID
from sigma.resources.unique_values import claims, find_holder, name_holder
from sigma.resources.value_checks import begin_import, begin_row, expectation
from sigma.resources.writes import locked_attributes, read_only_problem, save_changes

# Characters of stored records that the rows of one import may read; a record counts each time it is named. The worst imports
# within this limit take seconds, and a body full of ids whose records have five thousand characters does not reach it.
MAX_READ = 128 * MAX_BODY

# Characters that the rows of one import may send to webhooks, and those that a delivery has besides the record's values. Each
# row sends the whole record to each webhook: without a limit, a body of a few rows could fill the disk.
MAX_SENT, DELIVERY = 128 * MAX_BODY, 400


class Owner(NamedTuple):
    """The record or variant that has a unique value."""

    id: str
    name: str  # as messages call it


class Source(NamedTuple):
    """How messages name where rows come from."""

    row: str  # what the number of a row counts
    field: str  # where columns are mapped to attributes
    link: str  # between the field and the name of a column


BODY, FILE = Source("row", "columnMapping", "."), Source("line", "--map", " ")


@dataclass
class Earlier:
    """What the earlier good rows have done, as far as the database does not show it."""

    given: MutableMapping[str, dict[str, Any]] = field(default_factory=dict)  # by record id and alias: values of a preview
    owners: MutableMapping[bytes, Owner | None] = field(default_factory=dict)  # of unique values; None for one that was freed
    created: int = 0  # records that a preview would have created


class Row(NamedTuple):
    """A row after reading: what it would do with a record, and what is wrong with it."""

    number: int
    cells: dict[str, Any]  # by column
    creates: bool
    record_id: Any
    faults: dict[str, str]  # by alias: why a cell could not be read
    values: dict[str, Any]  # scoped values by alias, of the attributes that it changes
    changes: list[dict[str, Any]]
    record: Entity | None = None  # the record that it updates, as the earlier rows leave it
    problems: Sequence[str] = ()


def _value_everywhere(entries: list[dict[str, Any]]) -> Any:
    return next((entry["value"] for entry in entries if entry["scope"] == {}), None)


def _with_value_everywhere(entries: list[dict[str, Any]], value: Any) -> list[dict[str, Any]]:
    new = {"scope": {}, "value": value}
    if _value_everywhere(entries) is None:
        return [*entries, new]
    return [new if entry["scope"] == {} else entry for entry in entries]


def _digest(alias: str, claim: tuple[str, str]) -> bytes:
    """Return a short key for a unique value of an attribute, however long the value is."""
    return hashlib.sha256("\0".join((alias, *claim)).encode()).digest()


class Batch:
    """The rows of one import, each judged as if the earlier good rows were stored.

    This holds for a preview, too, which reports what the import would do, but writes nothing and blocks no other writes.
    The size of the body bounds what is kept from row to row, whatever the records hold; for a file, Earlier may keep it on
    disk.
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
        self.places_left = places_left() - self.earlier.created
        self.characters_read = self.characters_sent = 0
        # How many webhooks get a row, by whether it creates a record.
        self.subscribers = {True: count_subscribers("create"), False: count_subscribers("update")}

    def add(self, number: int, cells: dict[str, Any], most: int) -> Row:
        """Return a row with at most this many of its problems; a row without problems is accepted."""
        row = self.judge(number, cells, most)
        if not row.problems:
            self.accept(row)
        return row

    def begin_body(self) -> None:
        """Let the next rows cost as much as those of a whole body; only a command may do so, as it delays no other client."""
        self.characters_read = self.characters_sent = 0
        begin_import()

    def judge(self, number: int, cells: dict[str, Any], most: int) -> Row:
        """Return a row with what it would store, and with at most this many of its problems."""
        begin_row()
        row = self.read_row(number, cells)
        problems = list(itertools.islice(self.problems_of(row), most))
        if row.creates and not problems and self.places_left <= 0:
            problems = [full_message()]
        if not problems and (row.creates or row.changes) and not self.may_send(row):
            receivers = counted(self.subscribers[row.creates], "webhook")
            problems = [f"Expected fewer rows at a time: each is sent to {receivers}"]
        return row._replace(problems=problems)

    def may_send(self, row: Row) -> bool:
        """Return whether what a row sends to webhooks is within the limit; if so, count it."""
        size = self.subscribers[row.creates] * (DELIVERY + (len(row.record.text) if row.record else 0))
        is_within = self.characters_sent + size <= MAX_SENT
        self.characters_sent += size if is_within else 0
        return is_within

    def read_row(self, number: int, cells: dict[str, Any]) -> Row:
        """Return a row with the values that its cells mean, and the changes that they make."""
        given = cells.get(self.columns[ID]) if ID in self.columns else None
        if given is None or given == "":
            record = None
            row = Row(number, cells, creates=True, record_id=random_id("ent"), faults={}, values={}, changes=[])
        else:
            row = Row(number, cells, creates=False, record_id=given, faults={}, values={}, changes=[])
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
        """Return the record with an id, as the earlier good rows leave it. Raises ValueError, which says what is expected."""
        if self.characters_read > MAX_READ:
            raise ValueError("fewer rows at a time, because the records that they name are large")
        try:
            record = load_record(id) if isinstance(id, str) else None
        except ApiError:
            record = None
        if record is None:
            raise ValueError(f"the id of a record, got {format_value(id)}")
        self.characters_read += len(record.text)
        if record.schema_id != (schema := self.rules.schema["id"]):
            raise ValueError(f"a record of schema '{schema}', got {format_value(id)} of '{record.schema_id}'")
        values = record.body["values"]
        changed = {
            alias: _with_value_everywhere(values.get(alias, []), value)
            for alias, value in self.earlier.given.get(id, {}).items()
        }
        return record._replace(body={**record.body, "values": {**values, **changed}})

    def read_cells(self, row: Row, stored: dict[str, Any]) -> dict[str, Any]:
        """Return the scoped values that a row leaves of the attributes it changes; add unreadable cells to the row's faults."""
        values = {}
        for column in sorted((name for name in row.cells if name in self.cells), key=self.order.__getitem__):
            cells, cell = self.cells[column], row.cells[column]
            entries = stored.get(cells.rules.alias, [])
            if not row.creates and cells.shows(cell, _value_everywhere(entries)):
                continue  # what does not change is not checked again: an option that was deleted since may stay
            try:
                value = cells.read(cell)
            except ValueError as error:
                row.faults[cells.rules.alias] = f"{column[:100]}: {error}"
                continue
            if value is not None:
                values[cells.rules.alias] = _with_value_everywhere(entries, value)
        return values

    def problems_of(self, row: Row) -> Iterator[str]:
        """Yield what is wrong with a row."""
        if row.creates:
            yield from self.missing_values(row)
        yield from row.faults.values()
        for change in row.changes:
            alias = change["attribute"]
            for obstacle in self.obstacles(row, change):
                yield f"{self.columns[alias][:100]}: Attribute '{alias}' {obstacle}, got {format_value(change['newValue'])}"

    def missing_values(self, row: Row) -> Iterator[str]:
        """Yield which values a row lacks to create a record; a cell that cannot be read is not missing."""
        for alias in self.required:
            column = self.columns[alias]
            if alias not in row.values and alias not in row.faults:
                got = format_value(row.cells[column]) if column in row.cells else "nothing"
                yield f"{column[:100]}: {expectation(alias, f'a value, got {got}')}"
        for alias in self.unmapped:
            yield f"{self.source.field}: {expectation(alias, 'a value, and no column is mapped to it')}"

    def obstacles(self, row: Row, change: dict[str, Any]) -> Iterator[str]:
        """Yield what prevents a change of one attribute."""
        alias, state = change["attribute"], row.record.state_id if row.record else None
        if alias in locked_attributes(self.rules, state):
            yield read_only_problem(self.rules, state, alias)
        if claim := self.claim(alias, change["newValue"]):
            owner = self.owner_of(alias, claim)
            if owner and owner.id != row.record_id:
                yield f"is unique, and {owner.name} has this value"

    def claim(self, alias: str, value: Any) -> tuple[str, str] | None:
        """Return the scope and key that a value with the scope {} claims of an attribute; None if it claims nothing."""
        rules = self.rules.attributes[alias]
        return claims(rules.kind, [{"scope": {}, "value": value}])[0] if rules.is_unique else None

    def owner_of(self, alias: str, claim: tuple[str, str]) -> Owner | None:
        """Return who has a unique value after the earlier rows."""
        if (key := _digest(alias, claim)) in self.earlier.owners:
            return self.earlier.owners[key]
        id = find_holder(alias, *claim)
        return Owner(id, name_holder(alias, id)) if id else None

    def accept(self, row: Row) -> None:
        """Store a row without problems, or note it so that the next rows are judged as if it were stored."""
        for change in row.changes:
            for member, owner in (("oldValue", None), ("newValue", Owner(row.record_id, f"{self.source.row} {row.number}"))):
                if claim := self.claim(change["attribute"], change[member]):
                    self.earlier.owners[_digest(change["attribute"], claim)] = owner
        self.places_left -= row.creates
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
