"""Waiting without holding up others: a request that has to wait goes on in a thread of its own, where the server has one."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from flask import request

# In the WSGI environment, of a server that has threads for those who wait: whether this call may leave for one, what it has
# done that is not to be done again there, and what is to be done when the answer has been sent.
MAY_LEAVE, DONE, AFTERWARDS = "sigma.may_leave", "sigma.done", "sigma.afterwards"

CLIENT_TIMEOUT, STRANGER_TIMEOUT = 10, 2  # seconds that a body may take to come, of a caller who is known or not

Result = TypeVar("Result")


class LeaveWorker(BaseException):
    """Ends a call of the application, which the server then makes again, in a thread of its own.

    It is no Exception, so that no handler of errors takes it for one.
    """

    def __init__(self, done: dict[str, Any], body: bytes):
        super().__init__()
        self.done, self.body = done, body


def leave_worker() -> None:
    """Go on where this request may wait for a time, a client or another server, and holds up nobody.

    The request begins anew in a thread of its own, where this returns. So it is called before anything is changed, and
    outside of transactions; what must not be done twice is done by once(). Where the server has no such threads, this
    returns at once, and what waits holds up who comes after it.
    """
    asked: Any = request._get_current_object()  # type: ignore[attr-defined]
    if not asked.environ.get(MAY_LEAVE):
        return
    if asked.body is None:  # which may be read only here
        with waiting_for_body(asked.id):
            asked.body = asked.get_data()
    raise LeaveWorker(asked.environ.get(DONE, {}), asked.body)


def once(name: str, act: Callable[[], Result]) -> Result:
    """Return what `act` returns, which is called once for a request, also if that begins anew."""
    done = request.environ.setdefault(DONE, {})
    if name not in done:
        done[name] = act()
    result: Result = done[name]
    return result


class Wait(NamedTuple):
    """A thread's waiting for the rest of a request."""

    request_id: str
    seconds: float  # that it may last
    is_answered: bool
    since: float


waits: dict[int, Wait] = {}  # by thread


@contextmanager
def waiting_for_body(request_id: str, seconds: float = CLIENT_TIMEOUT, is_answered: bool = False) -> Iterator[None]:
    """Let the thread that watches the worker know that this one waits for a body, and how long it may."""
    thread = threading.get_ident()
    waits[thread] = Wait(request_id, seconds, is_answered, time.monotonic())
    try:
        yield
    finally:
        del waits[thread]
