"""Ctrl-C and SIGTERM for a command that works in steps: a step that has begun is completed first."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """A handler that turns the signals into KeyboardInterrupt: at once, or at the end of a step."""

    def __init__(self) -> None:
        self.is_held = self.was_signalled = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals in the block."""
        if threading.current_thread() is not threading.main_thread():  # only the main thread can
            yield
            return
        before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Complete the block before a signal takes effect. Raises KeyboardInterrupt after it."""
        self.is_held = True
        try:
            yield
        finally:
            self.is_held = False
        if self.was_signalled:
            raise KeyboardInterrupt

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.was_signalled = True
        if not self.is_held:
            raise KeyboardInterrupt
