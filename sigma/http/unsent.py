"""Large responses: a worker holds their texts until the clients have read them, within a limit."""

import time
import weakref
from collections.abc import Iterator, Sequence

from flask import g, request

from sigma.http.errors import retry_error
from sigma.http.waiting import PLACES, Places

LARGE = 256 * 1024  # bytes; the server takes smaller responses at once, and they are not counted
PIECE = 32 * 1024  # bytes that the server takes at a time; it buffers six pieces for a client
PLACE_TIMEOUT, LOOK_AGAIN = 5, 0.05  # seconds that a call in a thread of its own waits for its place, and between two looks
UNSENT = "sigma.unsent"  # in the WSGI environment of a worker: the bytes that it holds, as Places


class UnsentText:
    """The text of a large response, piece by piece; its bytes count as held until it is closed or garbage-collected.

    So they are given back whatever becomes of the response: it may never be made, or be sent, broken off, or replaced.
    """

    def __init__(self, size: int, held: Places, workspace: str):
        self.size, self.held, self.workspace = size, held, workspace
        self.parts: Sequence[bytes] = ()
        self.close = weakref.finalize(self, held.give_back, workspace, size)

    def fill(self, parts: Sequence[bytes]) -> None:
        """Set the text, given in parts, and give back what it needs less than was held for it.

        The parts are not joined: that would take their size in memory once more.
        """
        self.close.detach()
        thought, self.parts, self.size = self.size, parts, sum(map(len, parts))
        self.held.give_back(self.workspace, thought - self.size)
        self.close = weakref.finalize(self, self.held.give_back, self.workspace, self.size)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces."""
        for part in self.parts:
            for start in range(0, len(part), PIECE):
                yield part[start : start + PIECE]


def hold_unsent(size: int) -> UnsentText | None:
    """Return a large response's text of so many bytes at most, to be filled; None where the server takes any response at once.

    Call it before the text is made, where its size is known: so nothing is made for nothing. Raises ApiError 503 when the
    worker would hold too much, unless the request has stored something: a client that is told to try again would do it twice.
    A worker that holds nothing takes a response of any size. A call in a thread of its own waits a while for its place.
    """
    held: Places | None = request.environ.get(UNSENT)
    if held is None:
        return None
    workspace = g.get("tenant", "")
    until = time.monotonic() + (0 if PLACES in request.environ else PLACE_TIMEOUT)
    while not held.take(workspace, size, must=g.get("has_stored", False)):
        if time.monotonic() >= until:
            raise retry_error(503, "Too many large answers wait for their clients", 1)
        time.sleep(LOOK_AGAIN)
    return UnsentText(size, held, workspace)
