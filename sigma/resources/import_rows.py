"""The rows of an import: what each would store, and what is wrong with it."""

import hashlib
import itertools
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sigma.http.errors import MAX_BODY, ApiError, counted
from sigma.http.stamps import random_id
from sigma.http.strict_json import format_value
from sigma.resources.entities import Entity, load_record
from sigma.resources.history import value_changes
from sigma.resources.import_columns import Columns
from sigma.resources.many_writes import EVERYWHERE, ManyWrites
from sigma.resources.outbox import count_subscribers
from sigma.resources.records import full_message, places_left
from sigma.resources.rules import AttributeRules, SchemaRules
from sigma.resources.transfer import ID
from sigma.resources.unique_values import find_holder, name_holder, unique_key
from sigma.resources.value_checks import begin_import, begin_row, expectation
from sigma.resources.values import is_empty, value_everywhere, with_value_everywhere
from sigma.resources.writes import locked_attributes, read_only_problem

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


class Claim(NamedTuple):
    """A unique value of an attribute, with the scope {}."""

    key: str  # as in unique_values
    digest: bytes  # of the alias and the key: short, however long the value is


@dataclass(slots=True)
class Row:
    """A row after reading: what it would do with a record, and what is wrong with it."""

    number: int
    cells: dict[str, Any]  # by column
    creates: bool
    record_id: Any
    record: Entity | None = None  # the record that it updates, as the earlier rows leave it
    faults: dict[str, str] = field(default_factory=dict)  # by alias: why a cell could not be read
    values: dict[str, Any] = field(default_factory=dict)  # scoped values by alias, of the attributes that it changes
    changes: list[dict[str, Any]] = field(default_factory=list)
    claims: dict[str, Claim] = field(default_factory=dict)  # by alias: what its changes claim
    problems: Sequence[str] = ()


def _claim(rules: AttributeRules, value: Any) -> Claim | None:
    """Return what a value claims of a unique attribute; None for an empty value, which claims nothing."""
    if is_empty(value):
        return None
    key = unique_key(rules.kind, value, rules.options)
    return Claim(key, hashlib.sha256(f"{rules.alias}\0{key}".encode()).digest())


class Batch:
    """The rows of one import, each judged as if the earlier good rows were stored.

    This holds for a preview, too, which reports what the import would do, but writes nothing and blocks no other writes.
    The size of the body bounds what is kept from row to row, whatever the records hold; for a file, Earlier may keep it on
    disk.
    """

    def __init__(
        self, rules: SchemaRules, mapping: dict[str, str], stores: bool, source: Source = BODY, earlier: Earlier | None = None
    ):
        self.rules, self.stores, self.source, self.earlier = rules, stores, source, earlier or Earlier()
        self.id_column = next((column for column, alias in mapping.items() if alias == ID), None)
        self.columns = Columns(rules.attributes, {alias: column for column, alias in mapping.items()})
        self.mapped = {column.alias: column for column in self.columns.by_name.values()}
        self.unique = {alias for alias, column in self.mapped.items() if column.rules.is_unique}
        self.writes = ManyWrites(rules)
        required = [alias for alias, attribute in rules.attributes.items() if attribute.is_required]
        self.required = [alias for alias in required if alias in self.mapped]
        self.unmapped = [alias for alias in required if alias not in self.mapped]
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
        row.problems = list(itertools.islice(self.problems_of(row), most))
        if row.creates and not row.problems and self.places_left <= 0:
            row.problems = [full_message()]
        if not row.problems and (row.creates or row.changes) and not self.may_send(row):
            receivers = counted(self.subscribers[row.creates], "webhook")
            row.problems = [f"Expected fewer rows at a time: each is sent to {receivers}"]
        return row

    def may_send(self, row: Row) -> bool:
        """Return whether what a row sends to webhooks is within the limit; if so, count it."""
        if not self.subscribers[row.creates]:
            return True
        size = self.subscribers[row.creates] * (DELIVERY + (len(row.record.text) if row.record else 0))
        is_within = self.characters_sent + size <= MAX_SENT
        self.characters_sent += size if is_within else 0
        return is_within

    def read_row(self, number: int, cells: dict[str, Any]) -> Row:
        """Return a row with the values that its cells mean, and the changes that they make."""
        given = None if self.id_column is None else cells.get(self.id_column)
        if given is None or given == "":
            row = Row(number, cells, creates=True, record_id=random_id("ent"))
            self.read_new(row)
            return row
        row = Row(number, cells, creates=False, record_id=given)
        try:
            row.record = self.load(given)
        except ValueError as error:
            row.faults[ID] = f"{str(self.id_column)[:100]}: {ID} expects {error}"
            return row
        self.read_changed(row, row.record.body["values"])
        return row

    def read_new(self, row: Row) -> None:
        """Read the cells of a row that creates a record."""
        cells, values, changes = row.cells, row.values, row.changes
        for column in self.columns.of(cells):
            name, alias, read = column.name, column.alias, column.read
            try:
                value = read(cells[name])
            except ValueError as error:
                row.faults[alias] = f"{column.title}: {error}"
                continue
            if value is not None:
                values[alias] = [{"scope": {}, "value": value}]
                changes.append({"attribute": alias, "scope": {}, "oldValue": None, "newValue": value})

    def read_changed(self, row: Row, stored: dict[str, Any]) -> None:
        """Read the cells of a row that updates a record, which has these values."""
        for column in self.columns.of(row.cells):
            alias, cell = column.alias, row.cells[column.name]
            entries = stored.get(alias, [])
            if column.cells.shows(cell, value_everywhere(entries)):
                continue  # what does not change is not checked again: an option that was deleted since may stay
            try:
                value = column.read(cell)
            except ValueError as error:
                row.faults[alias] = f"{column.title}: {error}"
                continue
            if value is not None:
                row.values[alias] = with_value_everywhere(entries, value)
        before = {alias: stored[alias] for alias in row.values if alias in stored}
        row.changes = list(value_changes(before, row.values))

    def load(self, id: Any) -> Entity:
        """Return the record with an id, as the earlier good rows leave it. Raises ValueError, which says what is expected."""
        if self.characters_read > MAX_READ:
            raise ValueError("fewer rows at a time, because the records that they name are large")
        if isinstance(id, str) and id in self.writes.updated:
            self.writes.store()
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
            alias: with_value_everywhere(values.get(alias, []), value)
            for alias, value in self.earlier.given.get(id, {}).items()
        }
        return record._replace(body={**record.body, "values": {**values, **changed}})

    def problems_of(self, row: Row) -> Iterator[str]:
        """Yield what is wrong with a row."""
        if row.creates:
            yield from self.missing_values(row)
        yield from row.faults.values()
        state = row.record.state_id if row.record else None
        locked = locked_attributes(self.rules, state)
        for change in row.changes:
            alias = change["attribute"]
            if alias in locked:
                yield self.refusal(row, change, read_only_problem(self.rules, state, alias))
            if alias in self.unique and (owner := self.other_owner(row, change)):
                yield self.refusal(row, change, f"is unique, and {owner.name} has this value")

    def refusal(self, row: Row, change: dict[str, Any], obstacle: str) -> str:
        """Return a message that something prevents a change of one attribute."""
        column, value = self.mapped[change["attribute"]], change["newValue"]
        # An option, or one of several items, may be written otherwise in the cell than it is stored.
        got = format_value(row.cells[column.name] if isinstance(value, str | list) else value)
        return f"{column.title}: Attribute '{column.alias}' {obstacle}, got {got}"

    def missing_values(self, row: Row) -> Iterator[str]:
        """Yield which values a row lacks to create a record; a cell that cannot be read is not missing."""
        for alias in self.required:
            if alias not in row.values and alias not in row.faults:
                column = self.mapped[alias]
                got = format_value(row.cells[column.name]) if column.name in row.cells else "nothing"
                yield f"{column.title}: {expectation(alias, f'a value, got {got}')}"
        for alias in self.unmapped:
            yield f"{self.source.field}: {expectation(alias, 'a value, and no column is mapped to it')}"

    def other_owner(self, row: Row, change: dict[str, Any]) -> Owner | None:
        """Return who else has the unique value that a row takes, or None; note what the row claims."""
        claim = _claim(self.mapped[change["attribute"]].rules, change["newValue"])
        if claim is None:
            return None
        row.claims[change["attribute"]] = claim
        owner = self.owner_of(change["attribute"], claim)
        return owner if owner and owner.id != row.record_id else None

    def owner_of(self, alias: str, claim: Claim) -> Owner | None:
        """Return who has a unique value after the earlier rows."""
        if claim.digest in self.earlier.owners:
            return self.earlier.owners[claim.digest]
        id = find_holder(alias, EVERYWHERE, claim.key)
        return Owner(id, name_holder(alias, id)) if id else None

    def accept(self, row: Row) -> None:
        """Store a row without problems, or note it so that the next rows are judged as if it were stored."""
        self.note_owners(row)
        self.places_left -= row.creates
        if self.stores:
            self.store(row)
            return
        self.earlier.created += row.creates
        if row.record and row.changes:
            changed = {change["attribute"]: change["newValue"] for change in row.changes}
            self.earlier.given[row.record_id] = self.earlier.given.get(row.record_id, {}) | changed

    def note_owners(self, row: Row) -> None:
        """Note which unique values a row gives up and takes."""
        for change in row.changes:
            if (alias := change["attribute"]) in self.unique:
                freed = _claim(self.mapped[alias].rules, change["oldValue"])
                # An option's alias may have come to mean another option since the record claimed it.
                if freed and (owner := self.owner_of(alias, freed)) and owner.id == row.record_id:
                    self.earlier.owners[freed.digest] = None
                if claim := row.claims.get(alias):
                    self.earlier.owners[claim.digest] = Owner(row.record_id, f"{self.source.row} {row.number}")

    def store(self, row: Row) -> None:
        """Let what a row creates or changes be stored, with the next rows or by finish()."""
        keys = {alias: claim.key for alias, claim in row.claims.items()}
        if row.record is None:
            self.writes.create(row.record_id, row.values, row.changes, keys)
        elif row.changes:
            self.writes.update(row.record, row.values, row.changes, keys)

    def finish(self) -> None:
        """Store what is left of the rows."""
        self.writes.store()
