"""The rows of an import: what each would store, and what is wrong with it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from sigma.http.errors import ApiError
from sigma.http.stamps import random_id
from sigma.http.strict_json import format_value
from sigma.resources.cells import Cells, cells_of
from sigma.resources.entities import Entity, load_record
from sigma.resources.history import value_changes
from sigma.resources.records import full_message, places_left, store_record
from sigma.resources.rules import SchemaRules
from sigma.resources.unique_values import claims, find_holder, name_holder
from sigma.resources.value_checks import begin_row, expectation
from sigma.resources.writes import locked_attributes, save_changes

ID = "_id"  # what a column of record ids is mapped to


class Holder(NamedTuple):
    """Who has a unique value."""

    id: str
    name: str  # that messages have


class Row:
    """A row, and what it would store as far as that has been found out."""

    def __init__(self, number: int, cells: dict[str, Any], id_column: str | None):
        self.number, self.cells = number, cells
        self.record_id: Any = cells.get(id_column) if id_column is not None else None
        self.creates = self.record_id is None or self.record_id == ""
        self.record: Entity | None = None  # the one that it updates
        self.values: dict[str, Any] = {}  # scoped values by alias, of the attributes that it changes
        self.changes: list[dict[str, Any]] = []
        self.problems: list[str] = []

    @property
    def stored(self) -> dict[str, Any]:
        """The values that the record has so far."""
        return self.record.body["values"] if self.record else {}


def value_everywhere(entries: list[dict[str, Any]]) -> Any:
    """Return which of an attribute's scoped values counts everywhere, or None."""
    return next((entry["value"] for entry in entries if entry["scope"] == {}), None)


def with_value_everywhere(entries: list[dict[str, Any]], value: Any) -> list[dict[str, Any]]:
    """Return an attribute's scoped values with another that counts everywhere; the others stay as they are."""
    new = {"scope": {}, "value": value}
    if value_everywhere(entries) is None:
        return [*entries, new]
    return [new if entry["scope"] == {} else entry for entry in entries]


class Batch:
    """The rows of one import, each judged as if the good ones before it were stored.

    That is so whether they are or not: a preview says what the import would, writes nothing and keeps nobody from writing.
    """

    def __init__(self, rules: SchemaRules, mapping: dict[str, str]):
        self.rules = rules
        self.columns = {alias: column for column, alias in mapping.items()}
        self.cells = {alias: cells_of(rules.attributes[alias]) for alias in self.columns if alias != ID}
        self.places = places_left()
        self.records: dict[str, Entity] = {}  # by id, those that rows have changed
        self.holders: dict[tuple[str, ...], Holder | None] = {}  # by alias, scope and key, where rows have changed them

    def judge(self, number: int, cells: dict[str, Any], most: int) -> Row:
        """Return a row with what it would store, and with at most so many of its problems."""
        begin_row()
        row = Row(number, cells, self.columns.get(ID))
        for problem in self.row_problems(row):
            row.problems.append(problem)
            if len(row.problems) == most:
                break
        return row

    def row_problems(self, row: Row) -> Iterator[str]:
        """Yield what is wrong with a row, and fill in what it would store."""
        if row.creates:
            row.record_id = random_id("ent")
        else:
            yield from self.id_problems(row)
            if row.record is None:
                return
        for alias, rules in self.rules.attributes.items():
            if alias in self.cells:
                yield from self.cell_problems(row, self.cells[alias])
            elif rules.is_required and row.creates:
                yield f"columnMapping: {expectation(alias, 'a value, and no column is mapped to it')}"
        before = {alias: row.stored[alias] for alias in row.values if alias in row.stored}
        row.changes.extend(value_changes(before, row.values))
        yield from self.change_problems(row)
        if row.creates and not row.problems and self.places <= 0:
            yield full_message()

    def id_problems(self, row: Row) -> Iterator[str]:
        """Yield what is wrong with the id that a row has, or fill in its record."""
        about, id, schema = f"{self.columns[ID][:100]}: {ID} expects", row.record_id, self.rules.schema["id"]
        try:
            record = (self.records.get(id) or load_record(id)) if isinstance(id, str) else None
        except ApiError:
            record = None
        if record is None:
            yield f"{about} the id of a record, got {format_value(id)}"
        elif record.schema_id != schema:
            yield f"{about} a record of schema '{schema}', got {format_value(id)} of '{record.schema_id}'"
        else:
            row.record = record

    def cell_problems(self, row: Row, cells: Cells) -> Iterator[str]:
        """Yield what is wrong with a cell, or fill in the value that it means, unless the record has it already."""
        alias = cells.rules.alias
        column, entries = self.columns[alias], row.stored.get(alias, [])
        cell = row.cells.get(column)
        if not row.creates and cells.shows(cell, value_everywhere(entries)):
            return  # and is not judged again: an option that is gone since may stay
        try:
            value = cells.read(cell)
        except ValueError as error:
            yield f"{column[:100]}: {error}"
            return
        if value is not None:
            row.values[alias] = with_value_everywhere(entries, value)
        elif cells.rules.is_required and row.creates:
            came = format_value(cell) if column in row.cells else "nothing"
            yield f"{column[:100]}: {expectation(alias, f'a value, got {came}')}"

    def change_problems(self, row: Row) -> Iterator[str]:
        """Yield what keeps the attributes of a row from changing."""
        for change in row.changes:
            alias = change["attribute"]
            for problem in self.obstacles(row, change):
                yield f"{self.columns[alias][:100]}: Attribute '{alias}' {problem}, got {format_value(change['newValue'])}"

    def obstacles(self, row: Row, change: dict[str, Any]) -> Iterator[str]:
        """Yield what keeps one attribute from changing so."""
        state = row.record.state_id if row.record else None
        if row.record and change["attribute"] in locked_attributes(self.rules, state):
            yield f"is read-only in state '{state}'"
        for claim in self.claims_of(change, "newValue"):
            holder = self.find_holder(claim)
            if holder and holder.id != row.record_id:
                yield f"is unique, and {holder.name} has this value"

    def claims_of(self, change: dict[str, Any], member: str) -> Iterator[tuple[str, ...]]:
        """Yield which unique value a change brings or takes, if it does: alias, scope and key."""
        rules, value = self.rules.attributes[change["attribute"]], change[member]
        if rules.is_unique and value is not None:
            for claim in claims(rules.kind, [{"scope": change["scope"], "value": value}]):
                if claim:
                    yield (rules.alias, *claim)

    def find_holder(self, claim: tuple[str, ...]) -> Holder | None:
        """Return who has a unique value by now."""
        if claim in self.holders:
            return self.holders[claim]
        id = find_holder(*claim)
        return Holder(id, name_holder(claim[0], id)) if id else None

    def accept(self, row: Row) -> None:
        """Judge the rows that come as if this one were stored."""
        for change in row.changes:
            for claim in self.claims_of(change, "oldValue"):
                holder = self.find_holder(claim)
                self.holders[claim] = None if holder and holder.id == row.record_id else holder
            for claim in self.claims_of(change, "newValue"):
                self.holders[claim] = Holder(row.record_id, f"row {row.number}")
        if row.record is None:
            self.places -= 1
        else:
            self.records[row.record_id] = row.record._replace(body={**row.record.body, "values": {**row.stored, **row.values}})

    def store(self, row: Row) -> None:
        """Store a row in which nothing was found wrong."""
        if row.record is None:
            store_record(self.rules, row.record_id, row.values)
        else:
            save_changes(self.rules, row.record, row.values, row.changes)
