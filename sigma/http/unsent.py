"""Large responses: a worker holds their texts until the clients have read them, within a limit."""

import weakref
from collections.abc import Iterator

from flask import g, request

from sigma.http.errors import retry_error
from sigma.http.waiting import Places

LARGE = 256 * 1024  # bytes; the server takes smaller responses at once, and they are not counted
PIECE = 32 * 1024  # bytes that the server takes at a time; it buffers six pieces for a client
UNSENT = "sigma.unsent"  # in the WSGI environment of a worker: the bytes that it holds, as Places


class UnsentText:
    """The text of a large response, piece by piece; its bytes count as held until it is closed or garbage-collected.

    So they are given back whatever becomes of the response: it may be sent, broken off, or replaced by another one.
    """

    def __init__(self, texts: tuple[bytes, ...], size: int, held: Places, workspace: str):
        self.texts, self.size = texts, size
        self.close = weakref.finalize(self, held.give_back, workspace, size)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces."""
        for text in self.texts:
            for start in range(0, len(text), PIECE):
                yield text[start : start + PIECE]


def hold_unsent(*texts: bytes) -> UnsentText | None:
    """Return the text of a large response, to be sent piece by piece; None where the server takes it at once.

    The parts are not joined: that would take their size in memory once more. Raises ApiError 503 when the worker would hold
    too much, unless the request has stored something: a client that is told to try again would do it twice. A worker that
    holds nothing takes a response of any size.
    """
    held: Places | None = request.environ.get(UNSENT)
    if held is None or request.method == "HEAD":
        return None
    workspace, size = g.get("tenant", ""), sum(map(len, texts))
    if not held.take(workspace, size, must=g.get("has_stored", False)):
        raise retry_error(503, "Too many large answers wait for their clients", 1)
    return UnsentText(texts, size, held, workspace)
