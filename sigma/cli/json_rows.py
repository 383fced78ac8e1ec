"""A stream of JSON values: one value on each line, or the items of one array of any length."""

import json
import re
from collections.abc import Iterator
from typing import Any

from sigma.http.strict_json import parse_json

Pieces = Iterator[tuple[int, str]]  # pieces of a text, each with the number of the line on which it begins


class RowFileError(Exception):
    """A problem in a file of rows, and its line where that is known; what comes after it cannot be trusted."""

    def __init__(self, problem: str, line: int | None = None):
        super().__init__(problem)
        self.problem, self.line = problem, line

    def in_file(self, name: str) -> str:
        """Return the problem after the name of the file and the line."""
        return f"{name}{f':{self.line}' if self.line else ''}: {self.problem}"


_BLANKS = re.compile(r"\s*")
_decode = json.JSONDecoder().raw_decode  # used only to find where a value ends: parse_json() is stricter
MARGIN = 8  # an error in the last so many characters of a piece may only mean that a token is cut off there


def _parse(text: str, line: int) -> Any:
    try:
        return parse_json(text.encode())
    except ValueError as error:
        raise RowFileError(str(error), line) from None


def _join_lines(pieces: Pieces, longest: int) -> Pieces:
    """Yield whole lines, joined where a piece is only a part of one."""
    number, text = 1, ""
    for line, piece in pieces:
        number, text = (number, text + piece) if text else (line, piece)
        if len(text) > longest:
            raise RowFileError(f"expected at most {longest} characters in a line", number)
        if text.endswith(("\n", "\r")):
            yield number, text
            text = ""
    yield number, text


class _ArrayReader:
    """Reads the items of an array, and keeps only the pieces that hold the next item in memory."""

    def __init__(self, line: int, text: str, pieces: Pieces, longest: int):
        self.line, self.text, self.place, self.pieces, self.longest = line, text, 0, pieces, longest

    def items(self) -> Iterator[tuple[int, Any]]:
        """Yield each item with the line on which it begins. Raises RowFileError."""
        if self.peek() == "]":
            self.move(1)
        else:
            yield self.take_item()
            while self.take_separator() == ",":
                yield self.take_item()
        if sign := self.peek():
            raise RowFileError(f"expected nothing after the end of the array, got '{sign}'", self.line)

    def take_separator(self) -> str:
        """Consume the comma or bracket after an item, and return it."""
        sign = self.peek()
        if sign not in (",", "]"):
            actual = f"'{sign}'" if sign else "the end of the file"
            raise RowFileError(f"expected a comma or ] after an item, got {actual}", self.line)
        self.move(1)
        return sign

    def take_item(self) -> tuple[int, Any]:
        """Consume an item, and return it with the line on which it begins."""
        self.peek()
        line, end = self.line, self.find_end()
        item = _parse(self.text[self.place : end], line)
        self.move(end - self.place)
        return line, item

    def find_end(self) -> int:
        """Return where the next item ends, reading on until it is whole. Raises RowFileError."""
        while True:
            try:
                return _decode(self.text, self.place)[1]
            except RecursionError:
                raise RowFileError("expected JSON of fewer levels", self.line) from None
            except json.JSONDecodeError as error:
                is_cut = error.pos > len(self.text) - MARGIN or error.msg.startswith("Unterminated string")
                if len(self.text) - self.place > self.longest:
                    raise RowFileError(f"expected at most {self.longest} characters in an item", self.line) from None
                if not (is_cut and self.read_on()):
                    line = self.line + self.text.count("\n", self.place, error.pos)
                    raise RowFileError(f"expected JSON: {error.msg}", line) from None

    def peek(self) -> str:
        """Skip blanks, and return the next character; "" at the end."""
        while True:
            self.move(_BLANKS.match(self.text, self.place).end() - self.place)  # type: ignore[union-attr]
            if self.place < len(self.text):
                return self.text[self.place]
            if not self.read_on():
                return ""

    def move(self, characters: int) -> None:
        """Move forward by a number of characters, and count their lines."""
        self.line += self.text.count("\n", self.place, self.place + characters)
        self.place += characters

    def read_on(self) -> bool:
        """Read the next piece and drop the text before the current place; return False at the end."""
        piece = next(self.pieces, (0, ""))[1]
        self.text, self.place = self.text[self.place :] + piece, 0
        return bool(piece)


def read_values(pieces: Pieces, longest: int) -> Iterator[tuple[int, Any]]:
    """Yield the values of a text, which is one array or has a value on each line, with the line on which each begins.

    Raises RowFileError.
    """
    for line, piece in pieces:
        if (start := piece.lstrip()).startswith("["):
            blanks = len(piece) - len(start)
            yield from _ArrayReader(line + piece.count("\n", 0, blanks), start[1:], pieces, longest).items()
            return
        if start:
            break
    else:
        return

    def all_pieces() -> Pieces:
        yield line, piece
        yield from pieces

    for number, text in _join_lines(all_pieces(), longest):
        if text.strip():
            yield number, _parse(text, number)
