"""Waiting without holding up other requests: in a thread of its own, where the server provides one."""

import math
import sqlite3
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

from flask import g, request

from sigma.database import get_db
from sigma.http.errors import retry_error

# In the WSGI environment of a call on a worker's one thread: the places for calls that leave for a thread of their own.
PLACES = "sigma.places"
SEARCHES = "sigma.searches"  # there, too: the places for searches and lists that turn out to take long
SIGN_INS = "sigma.sign_ins"  # there, too: the places for logins, which are shared by addresses
AFTERWARDS = "sigma.afterwards"  # there, too: functions to call after the response has been sent
DONE = "sigma.done"  # in the WSGI environment of any call: the results of once(), kept when the call starts again

Result = TypeVar("Result")


class Places:
    """The places in one worker for what waits: a limit for all, and a lower one for each holder, so that none takes all.

    A holder is a workspace, or an address for logins. Other calls without a known workspace share one whose id is "".
    """

    def __init__(self, most: int, most_of_one: int):
        self.most, self.most_of_one = most, most_of_one
        self.taken: Counter[str] = Counter()
        self.returned: deque[tuple[str, int]] = deque()  # given back, and still counted in `taken`
        self.lock = threading.Lock()

    def take(self, holder: str, count: int = 1, must: bool = False) -> bool:
        """Take places for a holder, if enough are free, none is taken at all, or it must be; return whether it got them."""
        with self.lock:
            self._count_returned()
            total, own = self.taken.total() + count, self.taken[holder] + count
            is_free = must or (total <= self.most and own <= self.most_of_one) or total == count
            if is_free:
                self.taken[holder] = own
            return is_free

    def taken_by(self, holder: str) -> int:
        """Return how many places a holder has."""
        with self.lock:
            self._count_returned()
            return self.taken[holder]

    def give_back(self, holder: str, count: int = 1) -> None:
        """Give back places that a holder has taken.

        The garbage collector may call this in any thread, also in one that is in take(). So it never waits for the lock.
        """
        self.returned.append((holder, count))
        if self.lock.acquire(blocking=False):
            try:
                self._count_returned()
            finally:
                self.lock.release()

    def _count_returned(self) -> None:
        while self.returned:
            holder, count = self.returned.popleft()
            self.taken[holder] -= count
            if not self.taken[holder]:
                del self.taken[holder]


class LeaveWorker(BaseException):
    """Ends a call of the application; the server then makes the call again, in a thread of its own.

    It is not an Exception, so that no error handler catches it. Takes the results of once(), the body, the places of which
    one was taken, and its holder.
    """

    def __init__(self, done: dict[str, Any], body: bytes, places: Places, holder: str):
        super().__init__()
        self.done, self.body, self.places, self.holder = done, body, places, holder

    def give_back(self) -> None:
        """Give back the place."""
        self.places.give_back(self.holder)


def leave_worker(kind: str = PLACES, holder: str | None = None) -> None:
    """Move this request to where it may wait, for a client or another server, without holding up other requests.

    The request starts again in a thread of its own, where this returns. So call this before anything is changed and outside
    of transactions, and use once() for what must not be done twice. Where the server has no such threads, this returns at
    once, and a request that waits holds up the next ones. The place is one of a kind, and its holder the caller's workspace
    unless another is given. Raises ApiError 503 when all places are taken: on the worker's one thread, a client that reads
    nothing of its response would hold up everybody for as long as it likes.
    """
    if not request or PLACES not in request.environ:  # a command has no request
        return
    asked: Any = request._get_current_object()  # type: ignore[attr-defined]
    places: Places = asked.environ[kind]
    if asked.body is None:  # the server may allow this only on the worker's thread
        with waiting_for_client(asked):
            asked.body = asked.get_data()
    holder = g.get("tenant", "") if holder is None else holder
    if not places.take(holder):
        raise retry_error(503, "Too many slow calls are under way", 1)
    raise LeaveWorker(asked.environ.get(DONE, {}), asked.body, places, holder)


class Turns:
    """A lock that holders get in turn, however often each of them waits. threading.Lock may pass over one again and again."""

    def __init__(self) -> None:
        self.waiting: dict[str, deque[object]] = {}  # by holder; the first one is next
        self.is_taken, self.changed = False, threading.Condition()

    @contextmanager
    def turn(self, holder: str) -> Iterator[None]:
        """Run the block when it is the holder's turn, and nobody else's."""
        this = object()
        with self.changed:
            self.waiting.setdefault(holder, deque()).append(this)
            self.changed.wait_for(lambda: not self.is_taken and next(iter(self.waiting.values()))[0] is this)
            self.is_taken, own = True, self.waiting.pop(holder)
            own.popleft()
            if own:
                self.waiting[holder] = own  # behind all others
        try:
            yield
        finally:
            with self.changed:
                self.is_taken = False
                self.changed.notify_all()


_turn = threading.Lock()


@contextmanager
def one_by_one() -> Iterator[None]:
    """Let only one of the threads for calls that have left run the block at a time: what several read at once may be large.

    The worker's one thread must not wait, and goes on at once.
    """
    with nullcontext() if request and PLACES in request.environ else _turn:
        yield


PATIENCE = 0.1  # seconds that later requests wait for a call that cannot tell in advance how long it takes
STEPS = 200  # of SQLite's machine between two looks at the clock: some 20 rows, each of up to a megabyte


def patience_ends() -> float:
    """Return the time.monotonic() at which such a call must leave_worker(SEARCHES); infinity where that would do nothing.

    It is now while such a call of the same workspace is under way: if each took its time here first, a few callers of one
    workspace would hold up all others for most of the time.
    """
    if not request or PLACES not in request.environ:
        return math.inf
    return time.monotonic() + (0 if request.environ[SEARCHES].taken_by(g.tenant) else PATIENCE)


@contextmanager
def leaving_if_long() -> Iterator[float]:
    """Run a block that reads the database, and leave_worker(SEARCHES) if a statement in it is still running when it must.

    Yields that time, as patience_ends() does, for what the block does between its statements.
    """
    until = patience_ends()
    if math.isinf(until):
        yield until
        return
    db = get_db()
    db.set_progress_handler(lambda: time.monotonic() > until, STEPS)
    try:
        yield until
    except sqlite3.OperationalError as error:
        if str(error) != "interrupted":
            raise
        leave_worker(SEARCHES)
    finally:
        db.set_progress_handler(None, 0)


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
