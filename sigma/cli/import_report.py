"""What an import reports while it runs: its progress, the rows that fail, and a file with those rows to correct."""

import csv
import io
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import click

from sigma.cli.files import open_private
from sigma.cli.row_files import ERROR, Row, RowFile
from sigma.cli.terminal import note, printable
from sigma.http.errors import redact_keys
from sigma.http.strict_json import to_json

MOST_LINES = 100  # about rows that fail; further ones are only counted
PAUSE = 0.1  # seconds between two updates of the progress line


class Progress:
    """A progress line on a terminal; nothing elsewhere."""

    def __init__(self) -> None:
        self.is_on = sys.stderr is not None and sys.stderr.isatty()
        self.width, self.next = 0, 0.0

    def show(self, done: float | None, text: str) -> None:
        """Show the share of the work that is done, from 0 to 1 or None where it is not known, and a text."""
        if not self.is_on or time.monotonic() < self.next:
            return
        self.next = time.monotonic() + PAUSE
        bar = f"{done:4.0%} [{'#' * int(20 * done):<20}] " if done is not None else ""
        line = f"{bar}{text}"[: shutil.get_terminal_size().columns - 1]
        self._write(f"\r{line.ljust(self.width)}")
        self.width = len(line)

    def clear(self) -> None:
        """Remove the line, before other output."""
        if self.width:
            self._write(f"\r{' ' * self.width}\r")
            self.width = 0

    @staticmethod
    def _write(text: str) -> None:
        note(text, nl=False)


class ErrorFile:
    """A file of the rows that failed, each with the reason before its cells, to be corrected and imported again."""

    def __init__(self, path: str, rows: RowFile):
        self.path, self.rows, self.count = Path(path), rows, 0
        try:
            self.binary: Any = open(path, "xb", opener=open_private)  # noqa: SIM115 (see close)
        except FileExistsError:
            raise click.ClickException(f"{printable(path)} exists already: remove it, or name another file") from None
        self.is_csv = rows.format == "csv"
        self.text = io.TextIOWrapper(self.binary, "utf-8-sig" if self.is_csv else "utf-8", newline="")  # Excel needs the BOM

    def add(self, row: Row, problems: list[str]) -> None:
        """Write a row that failed."""
        reason = "; ".join(problems)
        if not self.is_csv:
            self.text.write(f"{to_json({ERROR: reason, **row.cells})}\n")
        else:
            if not self.count:
                self._write_cells(ERROR, self.rows.columns)
            self._write_cells(reason, row.source)
        self.count += 1

    def _write_cells(self, reason: str, cells: list[str]) -> None:
        columns = self.rows.columns
        old_reason = columns.index(ERROR) if ERROR in columns else None  # from the import before this one
        kept = (cell for index, cell in enumerate(cells) if index != old_reason)
        csv.writer(self.text, delimiter=self.rows.delimiter or ",").writerow([reason, *kept])

    def flush(self) -> None:
        """Pass on to the system what was written so far."""
        self.text.flush()

    def close(self) -> None:
        """Close the file, and remove it if it has no row."""
        self.text.close()
        if not self.count:
            self.path.unlink()


class Report:
    """The report of rows that fail: a line for each problem on standard error, and the file of these rows."""

    def __init__(self, rows: RowFile, errors: ErrorFile | None, progress: Progress):
        self.rows, self.errors, self.progress, self.lines = rows, errors, progress, 0

    def fail(self, row: Row, problems: list[str]) -> None:
        """Report the problems of a row that failed."""
        for problem in problems:
            self.lines += 1
            if self.lines <= MOST_LINES:
                self.say(f"{self.rows.name}:{row.line}: {printable(redact_keys(problem))}")
        if self.errors:
            self.errors.add(row, problems)

    def say(self, text: Any) -> None:
        """Write a text to standard error. The import goes on if it cannot be written."""
        self.progress.clear()
        note(str(text))

    def finish(self) -> None:
        """Say how many lines were left out."""
        self.progress.clear()
        if self.lines > MOST_LINES:
            kept = f"{self.errors.path} has all of them" if self.errors else "--errors FILE keeps all of them"
            self.say(f"and {self.lines - MOST_LINES:,} more; {kept}")
