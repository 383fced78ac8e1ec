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

    def __init__(self, text: bytes, held: Places, workspace: str):
        self.text = text
        self.close = weakref.finalize(self, held.give_back, workspace, len(text))

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces."""
        for start in range(0, len(self.text), PIECE):
            yield self.text[start : start + PIECE]


def hold_unsent(text: bytes) -> UnsentText | None:
    """Return the text of a large answer, to be sent piece by piece; None where the server takes it at once.

    Raises ApiError 503 when the worker holds so much already that this would be too much. So it is called before a change is
    stored. When it holds nothing, it takes an answer of any size.
    """
    held: Places | None = request.environ.get(UNSENT)
    if held is None or request.method == "HEAD":
        return None
    workspace = g.get("tenant", "")
    if not held.take(workspace, len(text)):
        raise retry_error(503, "Too many large answers wait for their clients", 1)
    return UnsentText(text, held, workspace)
