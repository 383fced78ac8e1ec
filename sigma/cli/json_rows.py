"""JSON values one after another: each on a line of its own, or the items of one array, however long that is."""

import json
import re
from collections.abc import Iterator
from typing import Any

from sigma.http.strict_json import parse_json

Pieces = Iterator[tuple[int, str]]  # of a text: each with the number of the line on which it begins


class RowFileError(Exception):
    """What is wrong with a file of rows, and in which line; what comes after it cannot be trusted."""

    def __init__(self, problem: str, line: int | None = None):
        super().__init__(problem)
        self.problem, self.line = problem, line

    def in_file(self, name: str) -> str:
        """Return the problem with the name of the file, and the line where that is known."""
        return f"{name}{f':{self.line}' if self.line else ''}: {self.problem}"


_BLANKS = re.compile(r"\s*")
_find_end = json.JSONDecoder().raw_decode  # it parses, too, but not as strictly as parse_json()
MARGIN = 8  # characters before the end of a piece in which an error may only mean that the piece ends there


def _parse(text: str, line: int) -> Any:
    try:
        return parse_json(text.encode())
    except ValueError as error:
        raise RowFileError(str(error), line) from None


def _join_lines(pieces: Pieces, longest: int) -> Pieces:
    """Yield whole lines, of which a piece may be only a part."""
    begun, text = 1, ""
    for line, piece in pieces:
        begun, text = (begun, text + piece) if text else (line, piece)
        if len(text) > longest:
            raise RowFileError(f"expected at most {longest} characters in a line", begun)
        if text.endswith(("\n", "\r")):
            yield begun, text
            text = ""
    yield begun, text


class _ArrayReader:
    """The items of an array, of which only the pieces that hold the next item are in memory."""

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
        """Pass over what stands after an item, and return it."""
        sign = self.peek()
        if sign not in (",", "]"):
            came = f"'{sign}'" if sign else "the end of the file"
            raise RowFileError(f"expected a comma or ] after an item, got {came}", self.line)
        self.move(1)
        return sign

    def take_item(self) -> tuple[int, Any]:
        """Pass over an item, and return it with the line on which it begins."""
        self.peek()
        line, end = self.line, self.find_end()
        item = _parse(self.text[self.place : end], line)
        self.move(end - self.place)
        return line, item

    def find_end(self) -> int:
        """Return where the item that comes next ends."""
        while True:
            try:
                return _find_end(self.text, self.place)[1]
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
        """Return what comes next but blanks; "" at the end."""
        while True:
            self.move(_BLANKS.match(self.text, self.place).end() - self.place)  # type: ignore[union-attr]
            if self.place < len(self.text):
                return self.text[self.place]
            if not self.read_on():
                return ""

    def move(self, characters: int) -> None:
        """Pass over so many characters."""
        self.line += self.text.count("\n", self.place, self.place + characters)
        self.place += characters

    def read_on(self) -> bool:
        """Have one more piece in memory, and return whether there was one."""
        piece = next(self.pieces, (0, ""))[1]
        self.text, self.place = self.text[self.place :] + piece, 0
        return bool(piece)


def read_values(pieces: Pieces, longest: int) -> Iterator[tuple[int, Any]]:
    """Yield the values of a text, which is an array or has one value in each line, with the lines on which they begin.

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
