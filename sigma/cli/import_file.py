"""`flask import`: records from a file of any size, by the rules of POST /import/execute."""

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import click
from flask import g
from flask.cli import with_appcontext

from sigma.cli.columns import Columns, find_schema_id, read_mappings
from sigma.cli.console import Output, describe_database_error, prints_output, workspace_option
from sigma.cli.disk_dict import DiskDict
from sigma.cli.import_report import ErrorFile, Progress, Report
from sigma.cli.interrupts import Interrupts
from sigma.cli.json_rows import RowFileError
from sigma.cli.row_files import ERROR, Layout, Row, RowFile, layout_options
from sigma.cli.terminal import Command, name_program, note
from sigma.database import snapshot, transaction
from sigma.http.errors import MAX_BODY, MAX_PROBLEMS, ApiError
from sigma.resources.import_rows import FILE, Batch, Earlier, Owner
from sigma.resources.imports import require_mapping
from sigma.resources.rules import schema_rules
from sigma.resources.values import is_empty

BATCH = 500  # rows in one transaction, which other writers wait for: tens of milliseconds
# Seconds between two transactions. A waiting writer tries ten times a second: without a pause, some waited for more than three
# seconds during an import of 100,000 rows, and after five they would be refused.
PAUSE = 0.02
NO_VALUE = "expected a value in a column that is imported"  # without one, the row would create a record that has nothing


@dataclass
class FileImport:
    """An import of a file: how to import it, and the outcome so far."""

    schema_id: str
    columns: Columns
    is_dry_run: bool
    earlier: Earlier | None  # in a dry run: what the rows so far would have stored
    created: int = 0
    updated: int = 0
    failed: int = 0
    next_line: int = 0  # the first line of which nothing was imported
    seen: dict[str, None] = field(default_factory=dict)  # the columns so far, in order

    @property
    def done(self) -> int:
        """How many rows were processed."""
        return self.created + self.updated + self.failed

    def add(self, rows: list[Row]) -> list[tuple[Row, list[str]]]:
        """Store the valid rows in one transaction, and return the others, each with its problems."""
        with snapshot() if self.is_dry_run else transaction():
            outcomes = list(self._judge(rows))
        bad = [(row, problems) for row, _, problems in outcomes if problems]
        self.failed += len(bad)
        self.created += sum(creates and not problems for _, creates, problems in outcomes)
        self.updated += sum(not creates and not problems for _, creates, problems in outcomes)
        return bad

    def _judge(self, rows: list[Row]) -> Iterator[tuple[Row, bool, list[str]]]:
        rules = schema_rules(self.schema_id)
        mapping = self.columns.map_columns(self.seen)
        require_mapping(rules, mapping, self.seen, FILE)
        batch = Batch(rules, mapping, not self.is_dry_run, FILE, self.earlier)
        for row in rows:
            problem = row.problem
            if not problem and all(is_empty(row.cells.get(column)) for column in mapping):
                problem = NO_VALUE
            if problem:
                yield row, False, [problem]
            else:
                batch.begin_body()
                judged = batch.add(row.line, row.cells, MAX_PROBLEMS)
                yield row, judged.creates, list(judged.problems)
        batch.finish()

    def see(self, columns: Iterable[str]) -> list[str]:
        """Remember columns, and return the new ones that are not imported, unless --map leaves them out."""
        new = [column for column in dict.fromkeys(columns) if column not in self.seen]
        self.seen |= dict.fromkeys(new)
        mapping = self.columns.map_columns(self.seen)
        return [column for column in new if column not in mapping and column not in self.columns.given]


def _make_batches(file: RowFile, from_line: int) -> Iterator[list[Row]]:
    """Yield the rows of a file in parts that fit into memory. Raises RowFileError after the rows before a broken line."""
    batch, start, problem = list[Row](), file.characters, None
    try:
        for row in file.rows():
            if row.line < from_line:
                start = file.characters
                continue
            batch.append(row)
            if len(batch) >= BATCH or file.characters - start >= MAX_BODY:
                yield batch
                batch, start = [], file.characters
    except RowFileError as error:
        problem = error
    if batch:
        yield batch
    if problem:
        raise problem


def _import_batches(work: FileImport, file: RowFile, report: Report, interrupts: Interrupts, from_line: int) -> None:
    for batch in _make_batches(file, from_line):
        work.next_line = batch[0].line
        unmapped = work.see(file.columns or (column for row in batch for column in row.cells))
        work.columns.require_some(work.columns.map_columns(work.seen), work.seen)
        for sentence in work.columns.explain_left_out(column for column in unmapped if column.strip() and column != ERROR):
            report.say(sentence)
        with interrupts.held():
            for row, problems in work.add(batch):
                report.fail(row, problems)
            work.next_line = batch[-1].line + 1
            if report.errors:
                report.errors.flush()
        if not work.is_dry_run:
            time.sleep(PAUSE)
        report.progress.show(file.done(), f"{work.done:,} rows, {work.failed:,} failed")


@contextmanager
def _earlier_on_disk() -> Iterator[Earlier]:
    owners = DiskDict[bytes, Owner | None](lambda pair: pair and Owner(*pair))
    with closing(DiskDict[str, dict[str, Any]](dict)) as given, closing(owners):
        yield Earlier(given, owners)


def _explain_stop(error: BaseException, file: RowFile) -> str:
    match error:
        case RowFileError():
            return error.in_file(file.name)
        case ApiError():
            return error.message
        case sqlite3.Error():
            return describe_database_error(error)
        case KeyboardInterrupt():
            return "Stopped"
        case OSError(filename=name, strerror=reason) if name and reason:
            return f"{name}: {reason}"
    return str(error)


def _run_import(work: FileImport, file: RowFile, errors: ErrorFile | None, from_line: int) -> str | None:
    """Import a file, and return what stopped the import before its end, or None."""
    interrupts, report = Interrupts(), Report(file, errors, Progress())
    try:
        with interrupts.handled():
            _import_batches(work, file, report, interrupts, from_line)
    except (RowFileError, ApiError, sqlite3.Error, OSError, KeyboardInterrupt) as error:
        return _explain_stop(error, file)
    finally:
        report.finish()
        if errors:
            errors.close()
    return None


def _describe(work: FileImport, stop: str | None, errors: str | None) -> str:
    verb = "Would create" if work.is_dry_run else "Created"
    text = f"{verb} {work.created:,}, update{'' if work.is_dry_run else 'd'} {work.updated:,}"
    text += f"; {work.failed:,} row{'s' * (work.failed != 1)} failed." if work.failed else "."
    if errors and work.failed:
        text += f" Correct the failed rows in {errors}, and import that file."
    if stop is not None and work.done:
        text += f" Nothing was done from line {work.next_line} on: go on with --from-line {work.next_line}."
    return text


@click.command("import", cls=Command)
@with_appcontext
@click.argument("file")
@click.option("--schema", "schema", metavar="ID", required=True, help="The schema of the records.")
@click.option("--map", "maps", metavar="COLUMN=ALIAS", multiple=True, help="Map a column to an attribute, _id or nothing.")
@click.option("--dry-run", is_flag=True, help="Check every row, and store nothing.")
@click.option("--errors", metavar="FILE", help="A new file for the rows that fail, to correct and import again.")
@click.option("--from-line", type=click.IntRange(1), default=1, help="Skip the rows before this line.")
@click.option("--format", type=click.Choice(["csv", "json"]), help="The format of FILE, if its ending does not tell.")
@layout_options
@prints_output
@workspace_option
def import_file(file: str, schema: str, maps: tuple[str, ...], **options: Any) -> Output:
    """Create and update records from the rows of FILE, or - for standard input. Rows that fail are reported and left out.

    Columns with the name of an attribute need no --map. The exit code is 1 if a row fails, or the import stops.

    Example: flask import products.csv --schema schema-apparel --map "Item no.=sku" --errors mend.csv
    """
    columns, is_dry_run = Columns(schema_id := find_schema_id(schema), read_mappings(maps)), options["dry_run"]
    layout = Layout(options["format"], options["delimiter"], options["encoding"])
    with _earlier_on_disk() if is_dry_run else nullcontext() as earlier:
        work = FileImport(schema_id, columns, is_dry_run, earlier)
        with closing(RowFile(file, layout)) as rows:
            errors = ErrorFile(options["errors"], rows) if options["errors"] else None
            stop = _run_import(work, rows, errors, options["from_line"])
    if stop is not None:
        note(name_program(f"Error: {stop}"))
    data = {"workspace": g.tenant, "schemaId": schema_id, "dryRun": is_dry_run, "created": work.created}
    data |= {"updated": work.updated, "failed": work.failed, "stopped": stop, "nextLine": work.next_line if stop else None}
    return Output(data, _describe(work, stop, options["errors"]), int(bool(stop or work.failed)))
