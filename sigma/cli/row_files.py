"""Files of rows for an import: CSV and JSON in any encoding, read row by row."""

import codecs
import contextlib
import csv
import io
import itertools
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

from sigma.cli.json_rows import Pieces, RowFileError, read_values
from sigma.cli.terminal import printable
from sigma.http.strict_json import format_value
from sigma.resources.values import is_empty

PIECE = 64 * 1024  # the most characters of a line that are read at once
MAX_LINE = 4 * 1024 * 1024  # characters of a line or cell; this bounds the memory, whatever the file holds
ERROR = "_error"  # in a file of rows that failed, the column with the reason; an import ignores it
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t"}
FORMATS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json"}
MARKS = [  # byte order marks; the first match decides, because the one of UTF-32 begins with the one of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
]
OTHER_FILES = {b"PK\x03\x04": "a spreadsheet or an archive: save it as CSV", b"\x1f\x8b": "compressed: unpack it"}
UNDECODED = re.compile("[\udc80-\udcff]")  # what errors="surrogateescape" makes of bytes that cannot be decoded


class Row(NamedTuple):
    """A row of a file."""

    line: int  # on which it begins, counted from 1
    cells: dict[str, Any]  # by column, without CSV columns that have no name
    source: Any  # as it stands in the file: a list of cells, or an object by column
    problem: str = ""  # why it cannot be read as a row, if it cannot


class Layout(NamedTuple):
    """What the options say about a file; what is None is found from the file itself."""

    format: str | None = None
    delimiter: str | None = None
    encoding: str | None = None


def find_format(file: str, given: str | None = None) -> str:
    """Return a file's format. Raises click.UsageError."""
    format = given or FORMATS.get(Path(file).suffix.lower()) or ("csv" if file == "-" else None)
    if format is None:
        raise click.UsageError(f"{printable(file)} has none of the endings {', '.join(FORMATS)}: give --format csv or json")
    return format


class RowFile:
    """A file of rows that is being read."""

    def __init__(self, file: str, layout: Layout):
        self.name, self.format = printable(file), find_format(file, layout.format)
        self.columns: list[str] = []  # of a CSV file
        self.delimiter = layout.delimiter and DELIMITERS.get(layout.delimiter, layout.delimiter)
        self.line, self.characters = 0, 0  # read so far
        self.is_stdin = file == "-"
        self.size = None if self.is_stdin else Path(file).stat().st_size  # bytes
        raw: Any = sys.stdin.buffer if self.is_stdin else Path(file).open("rb", 0)  # noqa: SIM115 (see close)
        self.binary = io.BufferedReader(raw, PIECE)
        try:
            self.encoding = self._find_encoding(layout.encoding)
            self.text = io.TextIOWrapper(self.binary, self.encoding, errors="surrogateescape", newline="")
        except BaseException:
            self._release(self.binary.detach())
            raise

    def _release(self, raw: Any) -> None:
        if not self.is_stdin:
            raw.close()

    def close(self) -> None:
        """Close the file; standard input stays open."""
        self._release(self.text.detach().detach())

    def done(self) -> float | None:
        """Return the share of the file that has been read, from 0 to 1, or None where its size is not known."""
        return self.binary.tell() / self.size if self.size else None

    def _find_encoding(self, given: str | None) -> str:
        start = self.binary.peek(4)[:4]
        for mark, kind in OTHER_FILES.items():
            if start.startswith(mark):
                raise click.ClickException(f"{self.name} is {kind}")
        return next((encoding for mark, encoding in MARKS if start.startswith(mark)), given or "utf-8")

    def _pieces(self, most: int) -> Pieces:
        """Yield lines, or parts of lines with at most so many characters. Raises RowFileError for text in another encoding."""
        is_line_start = True
        try:
            while piece := self.text.readline(most):
                self.line += is_line_start
                self.characters += len(piece)
                is_line_start = piece.endswith(("\n", "\r"))
                if not piece.isascii() and (wrong := UNDECODED.search(piece)):
                    raise self._encoding_error(f"byte 0x{ord(wrong[0]) - 0xDC00:02X}")
                if self.line == 1 and "\0" in piece:  # further on it is a character like any other
                    raise RowFileError(
                        "expected no zero bytes; for UTF-16 without a mark, give --encoding utf-16-le", self.line
                    )
                yield self.line, piece
        except UnicodeError:
            self.line += 1
            raise self._encoding_error("something that") from None

    def _encoding_error(self, what: str) -> RowFileError:
        hint = "give --encoding windows-1252 for a file from Windows" if self.encoding == "utf-8" else "give another --encoding"
        return RowFileError(f"{what} is not {self.encoding.upper()}: {hint}, or save it as UTF-8", self.line)

    def rows(self) -> Iterator[Row]:
        """Return the rows that are not blank. They raise RowFileError where the file is broken: the rest cannot be trusted."""
        rows = self._json_rows() if self.format == "json" else self._csv_rows()
        return (row for row in rows if row.problem or not all(map(is_empty, row.cells.values())))

    def _json_rows(self) -> Iterator[Row]:
        for line, value in read_values(self._pieces(PIECE), MAX_LINE):
            if not isinstance(value, dict):
                raise RowFileError(f"expected an object of cells by column, got {format_value(value)}", line)
            yield Row(line, {name: cell for name, cell in value.items() if name != ERROR}, value)

    def _csv_rows(self) -> Iterator[Row]:
        with _long_cells():
            records = self._records(self._lines())
            _, self.columns = next(records, (1, []))
            self._require_columns()
            for line, cells in records:
                yield self._csv_row(line, cells)

    def _lines(self) -> Iterator[str]:
        for number, line in self._pieces(MAX_LINE):
            if len(line) == MAX_LINE:
                raise RowFileError(f"expected at most {MAX_LINE} characters in a line", number)
            yield line

    def _records(self, lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
        """Yield lists of cells, each with the line on which it begins. Blank lines are skipped."""
        first = next(lines, "")
        self.delimiter = self.delimiter or _find_delimiter(first)
        reader = csv.reader(itertools.chain([first], lines), delimiter=self.delimiter, strict=True)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise RowFileError(_csv_problem(error, self.delimiter), line) from None
            if cells:
                yield line, cells

    def _require_columns(self) -> None:
        names = [name for name in self.columns if name.strip()]
        if not names:
            raise RowFileError("expected a line with the names of columns", 1)
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise RowFileError(f"expected columns with different names, got '{printable(twice)[:100]}' twice", 1)

    def _csv_row(self, line: int, cells: list[str]) -> Row:
        if any(cells[len(self.columns) :]):
            most, actual = (count - (ERROR in self.columns) for count in (len(self.columns), len(cells)))
            return Row(line, {}, cells, f"expected at most {most} cells, as there are columns, got {actual}")
        named = zip(self.columns, cells, strict=False)
        return Row(line, {name: cell for name, cell in named if name.strip() and name != ERROR}, cells)


def _find_delimiter(line: str) -> str:
    """Return the delimiter that occurs most often in a line of column names, outside of quotation marks."""
    unquoted = re.sub('"[^"]*"?', "", line)
    return max(DELIMITERS.values(), key=unquoted.count)


def _csv_problem(error: csv.Error, delimiter: str) -> str:
    text = str(error)
    if "expected after" in text:
        name = next((name for name, sign in DELIMITERS.items() if sign == delimiter), f"'{delimiter}'")
        return f"expected a {name} after the quotation mark that ends a cell; one inside of a cell is written twice"
    return "a quotation mark opens a cell, and none ends it"


@contextlib.contextmanager
def _long_cells() -> Iterator[None]:
    """Let cells be as long as values may be during the block; the csv module has one limit for the whole process."""
    before = csv.field_size_limit(MAX_LINE)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _check_encoding(_context: click.Context, _parameter: click.Parameter, name: str | None) -> str | None:
    with contextlib.suppress(LookupError, ValueError):
        if name is None or "a".encode(name):  # this fails for codecs that are not text encodings
            return name
    raise click.BadParameter(f"'{name}' is not an encoding of text, such as windows-1252 or utf-16-le")


def _check_delimiter(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    if text is None or text in DELIMITERS or (len(text) == 1 and text not in '"\r\n '):
        return text
    raise click.BadParameter(f"expected {', '.join(DELIMITERS)} or a character, got '{text}'")


def layout_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options --encoding and --delimiter, for files from which they cannot be found."""
    encoding_help = "For a file that is not UTF-8 and has no mark, such as windows-1252."
    delimiter_help = "For CSV: comma, semicolon, tab or a character."
    command = click.option("--encoding", callback=_check_encoding, help=encoding_help)(command)
    return click.option("--delimiter", callback=_check_delimiter, help=delimiter_help)(command)
