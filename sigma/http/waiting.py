"""Waiting without holding up other requests: in a thread of its own, where the server provides one."""

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

from flask import g, request

from sigma.http.errors import retry_error

# In the WSGI environment of a call on a worker's one thread: the places for calls that leave for a thread of their own.
PLACES = "sigma.places"
AFTERWARDS = "sigma.afterwards"  # there, too: functions to call after the response has been sent
DONE = "sigma.done"  # in the WSGI environment of any call: the results of once(), kept when the call starts again

Result = TypeVar("Result")


class Places:
    """The places in one worker for what waits: a limit for all, and a lower one for each workspace, so that none takes all.

    Calls without a known workspace, such as logins, share one whose id is "".
    """

    def __init__(self, most: int, most_of_one: int):
        self.most, self.most_of_one = most, most_of_one
        self.taken: Counter[str] = Counter()
        self.returned: deque[tuple[str, int]] = deque()  # given back, and still counted in `taken`
        self.lock = threading.Lock()

    def take(self, workspace: str, count: int = 1, must: bool = False) -> bool:
        """Take places for a workspace, if enough are free, none is taken at all, or it must be; return whether it got them."""
        with self.lock:
            self._count_returned()
            total, own = self.taken.total() + count, self.taken[workspace] + count
            is_free = must or (total <= self.most and own <= self.most_of_one) or total == count
            if is_free:
                self.taken[workspace] = own
            return is_free

    def give_back(self, workspace: str, count: int = 1) -> None:
        """Give back places that a workspace has taken.

        The garbage collector may call this in any thread, also in one that is in take(). So it never waits for the lock.
        """
        self.returned.append((workspace, count))
        if self.lock.acquire(blocking=False):
            try:
                self._count_returned()
            finally:
                self.lock.release()

    def _count_returned(self) -> None:
        while self.returned:
            workspace, count = self.returned.popleft()
            self.taken[workspace] -= count
            if not self.taken[workspace]:
                del self.taken[workspace]


class LeaveWorker(BaseException):
    """Ends a call of the application; the server then makes the call again, in a thread of its own.

    It is not an Exception, so that no error handler catches it. Takes the results of once(), the body, and the workspace for
    which a place was taken.
    """

    def __init__(self, done: dict[str, Any], body: bytes, workspace: str):
        super().__init__()
        self.done, self.body, self.workspace = done, body, workspace


def leave_worker() -> None:
    """Move this request to where it may wait, for a client or another server, without holding up other requests.

    The request starts again in a thread of its own, where this returns. So call this before anything is changed and outside
    of transactions, and use once() for what must not be done twice. Where the server has no such threads, this returns at
    once, and a request that waits holds up the next ones. Raises ApiError 503 when all places are taken: on the worker's one
    thread, a client that reads nothing of its response would hold up everybody for as long as it likes.
    """
    asked: Any = request._get_current_object()  # type: ignore[attr-defined]
    places: Places | None = asked.environ.get(PLACES)
    if places is None:
        return
    if asked.body is None:  # the server may allow this only on the worker's thread
        with waiting_for_client(asked):
            asked.body = asked.get_data()
    workspace = g.get("tenant", "")
    if not places.take(workspace):
        raise retry_error(503, "Too many slow calls are under way", 1)
    raise LeaveWorker(asked.environ.get(DONE, {}), asked.body, workspace)


_turn = threading.Lock()


@contextmanager
def one_by_one() -> Iterator[None]:
    """Let only one of the threads for calls that have left run the block at a time: what several read at once may be large.

    The worker's one thread must not wait, and goes on at once.
    """
    with nullcontext() if request and PLACES in request.environ else _turn:
        yield


PATIENCE = 0.1  # seconds that later requests wait for a call that cannot tell in advance how long it takes


def patience_ends() -> float:
    """Return the time.monotonic() at which such a call must leave_worker(); infinity where that would do nothing."""
    return time.monotonic() + PATIENCE if request and PLACES in request.environ else math.inf


def once(name: str, act: Callable[[], Result]) -> Result:
    """Return the result of `act`, which is called only once for a request, even if the request starts again."""
    done = request.environ.setdefault(DONE, {})
    if name not in done:
        done[name] = act()
    result: Result = done[name]
    return result


CLIENT_TIMEOUT = 10  # seconds that a worker waits for a client before it is replaced
waiting_threads: dict[int, tuple[float, str]] = {}  # by thread: since when it waits for a client, and in which request


@contextmanager
def waiting_for_client(asked: Any) -> Iterator[None]:
    """Let the thread that watches this worker know that the worker's one thread waits for its client to send more."""
    if PLACES in asked.environ:
        waiting_threads[threading.get_ident()] = time.monotonic(), asked.id
    try:
        yield
    finally:
        waiting_threads.pop(threading.get_ident(), None)
