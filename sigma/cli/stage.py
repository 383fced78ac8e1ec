"""The terminal in which the story is played: lines that stay, and below them one line that is redrawn."""

import re
import select
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any

from sigma.cli.terminal import write_text

BREAKS = re.compile(r'(?<=\s)(?=\S)|(?<=,)(?=["{\[])')  # where a line may end: after a blank, or a comma in JSON


def wrap(line: str, width: int) -> str:
    """Return a line in as many lines of this width as it takes, each further one indented; only longer words stick out."""
    indent = " " * (len(line) - len(line.lstrip()))
    lines = [indent]
    for word in BREAKS.split(line[len(indent) :]):
        if len(lines[-1] + word.rstrip()) > width and lines[-1].strip():
            lines.append(f"{indent}  ")
        lines[-1] += word
    return "\n".join(map(str.rstrip, lines))


def fit(text: str) -> str:
    """Return a text whose lines are not longer than those of the terminal; where there is none, the text as it is."""
    if not sys.stdout.isatty():
        return text
    width = shutil.get_terminal_size().columns - 1
    return "\n".join(wrap(line, width) for line in text.split("\n"))


class Stage:
    """The output of the story. Without a terminal, no line is redrawn, and nothing waits for Enter."""

    def __init__(self, describe: Callable[[], str], pause: float, waits_for_enter: bool):
        self.describe, self.pause = describe, pause  # describe: returns the redrawn line; pause: seconds for each step
        self.is_live = sys.stdout.isatty()
        self.waits_for_enter = waits_for_enter and self.is_live and sys.stdin.isatty()
        self.line = ""  # as it was last drawn

    def _draw(self, line: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        line = line[:width]
        if self.is_live and line != self.line:
            write_text(f"\r{line.ljust(min(width, len(self.line)))}", nl=False)  # works without escape sequences
            self.line = line

    def show(self, text: str = "", **style: Any) -> None:
        """Show lines that stay, above the redrawn one."""
        self._draw("")
        write_text("\r" * self.is_live, nl=False)
        write_text(fit(text), **style)

    def wait(self, seconds: float) -> None:
        """Wait, and keep the line up to date meanwhile."""
        until = time.monotonic() + seconds
        self._draw(self.describe())
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
            self._draw(self.describe())

    def end_act(self, what_next: str) -> None:
        """Wait for Enter, or without a person for the pause, and leave the line as it then is."""
        if self.waits_for_enter:
            self.show(f"\nPress Enter for: {what_next}", bold=True)
            while not select.select([sys.stdin], [], [], 0.1)[0]:
                self._draw(self.describe())
            self.waits_for_enter = bool(sys.stdin.readline())  # at the end of the input, nobody can press Enter any more
            self.line = ""  # Enter has moved the cursor to a new line
            return
        self.wait(self.pause)
        if line := self.describe():
            self.show(line, fg="cyan")
