"""Large answers: what a worker holds of them until their clients have taken it, and no more than it may."""

import weakref
from collections.abc import Iterator

from flask import g, request

from sigma.http.errors import retry_error
from sigma.http.waiting import Places

LARGE = 256 * 1024  # bytes; what is smaller, the server takes at once, and nobody counts it
PIECE = 32 * 1024  # bytes that the server takes at a time; it keeps six pieces for a client
UNSENT = "sigma.unsent"  # in the WSGI environment of a worker: the bytes that it holds, as places that are taken


class UnsentText:
    """The text of a large answer, piece by piece. Its bytes count until it is closed, or nobody has it any more.

    So they are given back whatever becomes of the answer: it may be sent, broken off, or replaced by another one.
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
    """Return the text of a large answer, to be sent piece by piece; None where the server takes it at once.

    Its parts are not joined, which would take its size once more. Raises ApiError 503 when the worker holds so much already
    that this would be too much. So it is called before a change is stored. When it holds nothing, an answer may have any size.
    """
    held: Places | None = request.environ.get(UNSENT)
    if held is None or request.method == "HEAD":
        return None
    workspace, size = g.get("tenant", ""), sum(map(len, texts))
    if not held.take(workspace, size):
        raise retry_error(503, "Too many large answers wait for their clients", 1)
    return UnsentText(texts, size, held, workspace)
