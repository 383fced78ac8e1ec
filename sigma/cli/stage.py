"""The terminal in which the story is played: what stays there, and below it one line that is drawn again and again."""

import select
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any

from sigma.cli.terminal import write_text


class Stage:
    """Where the story is shown. Without a terminal nothing is drawn again, and nobody is waited for."""

    def __init__(self, describe: Callable[[], str], pause: float, waits_for_enter: bool):
        self.describe, self.pause = describe, pause  # what the line says, and how many seconds a step is looked at
        self.is_live = sys.stdout.isatty()
        self.waits_for_enter = waits_for_enter and self.is_live and sys.stdin.isatty()
        self.line = ""  # as it is drawn now

    def _draw(self, line: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        line = line[:width]
        if self.is_live and line != self.line:
            write_text(f"\r{line.ljust(min(width, len(self.line)))}", nl=False)  # no escapes: also without colour
            self.line = line

    def show(self, text: str = "", **style: Any) -> None:
        """Show lines that stay, above the one that is drawn again."""
        self._draw("")
        write_text("\r" * self.is_live, nl=False)
        write_text(text, **style)

    def wait(self, seconds: float) -> None:
        """Wait, and draw the line meanwhile."""
        until = time.monotonic() + seconds
        self._draw(self.describe())
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
            self._draw(self.describe())

    def end_act(self, what_next: str) -> None:
        """Wait for Enter, if somebody is there to press it, and leave the line as it is then."""
        if self.waits_for_enter:
            self.show(f"\nPress Enter for: {what_next}", bold=True)
            while not select.select([sys.stdin], [], [], 0.1)[0]:
                self._draw(self.describe())
            self.waits_for_enter = bool(sys.stdin.readline())  # at the end of the input nobody will press it any more
            self.line = ""  # the terminal has begun a new one
            return
        self.wait(self.pause)
        if line := self.describe():
            self.show(line, fg="cyan")
