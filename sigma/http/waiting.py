"""Waiting for clients without holding up others: in a thread of its own, where the server has one for that."""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

from flask import g, request

from sigma.http.errors import retry_error

# In the WSGI environment of a call on a worker's one thread: the places of calls that leave for a thread of their own.
PLACES = "sigma.places"
AFTERWARDS = "sigma.afterwards"  # there, too: what is to be done when the answer has been sent
DONE = "sigma.done"  # what a call has done that it does not do again when it begins anew

Result = TypeVar("Result")


class Places:
    """The places in one worker for what waits: so many in all, and fewer of one workspace, which so keeps out no other.

    What is for nobody who is known, such as logins, counts as that of one more workspace, whose id is "".
    """

    def __init__(self, most: int, most_of_one: int):
        self.most, self.most_of_one = most, most_of_one
        self.taken: Counter[str] = Counter()
        self.lock = threading.Lock()

    def take(self, workspace: str, count: int = 1) -> bool:
        """Take places for a workspace, and return whether there were so many, or none was taken at all."""
        with self.lock:
            total, own = self.taken.total() + count, self.taken[workspace] + count
            is_free = (total <= self.most and own <= self.most_of_one) or total == count
            if is_free:
                self.taken[workspace] = own
            return is_free

    def give_back(self, workspace: str, count: int = 1) -> None:
        """Give back places that a workspace has taken."""
        with self.lock:
            self.taken[workspace] -= count
            if not self.taken[workspace]:
                del self.taken[workspace]


class LeaveWorker(BaseException):
    """Ends a call of the application, which the server then makes again, in a thread of its own.

    It is no Exception, so that no handler of errors takes it for one. Takes what has been done once, the body, and the
    workspace whose place the call has taken.
    """

    def __init__(self, done: dict[str, Any], body: bytes, workspace: str):
        super().__init__()
        self.done, self.body, self.workspace = done, body, workspace


def leave_worker() -> None:
    """Go on where this request may wait, for a client or another server, and holds up nobody.

    The request begins anew in a thread of its own, where this returns. So it is called before anything is changed, and
    outside of transactions; what must not be done twice is done by once(). Where the server has no such threads, this
    returns at once, and what waits holds up who comes after it. Raises ApiError 503 when all places are taken: on the
    worker's one thread, a client that takes nothing of its answer would hold up everybody for as long as it likes.
    """
    asked: Any = request._get_current_object()  # type: ignore[attr-defined]
    places: Places | None = asked.environ.get(PLACES)
    if places is None:
        return
    if asked.body is None:  # the server may let it be read only here
        with waiting_for_client(asked):
            asked.body = asked.get_data()
    workspace = g.get("tenant", "")
    if not places.take(workspace):
        raise retry_error(503, "Too many slow calls are under way", 1)
    raise LeaveWorker(asked.environ.get(DONE, {}), asked.body, workspace)


_turn = threading.Lock()


@contextmanager
def one_by_one() -> Iterator[None]:
    """Run the block in one thread at a time, of those to which calls leave: what many of them read at once may be large.

    The worker's one thread, which must not wait, goes on at once.
    """
    with nullcontext() if request and PLACES in request.environ else _turn:
        yield


PATIENCE = 0.1  # seconds that those who come after it wait for a call which cannot say before how long it takes


def patience_ends() -> float:
    """Return when such a call is to leave_worker(), by time.monotonic(); never where that would do nothing."""
    return time.monotonic() + PATIENCE if request and PLACES in request.environ else math.inf


def once(name: str, act: Callable[[], Result]) -> Result:
    """Return what `act` returns, which is called once for a request, also if that begins anew."""
    done = request.environ.setdefault(DONE, {})
    if name not in done:
        done[name] = act()
    result: Result = done[name]
    return result


CLIENT_TIMEOUT = 10  # seconds that a worker waits for its client; then it is replaced
waiting_threads: dict[int, tuple[float, str]] = {}  # by thread: since when it waits for its client, and in which request


@contextmanager
def waiting_for_client(asked: Any) -> Iterator[None]:
    """Let the thread that watches the worker know that the worker's one thread waits for a client, to send more."""
    if PLACES in asked.environ:
        waiting_threads[threading.get_ident()] = time.monotonic(), asked.id
    try:
        yield
    finally:
        waiting_threads.pop(threading.get_ident(), None)
