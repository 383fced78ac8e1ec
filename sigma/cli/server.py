"""The server program, granian, which only this module knows; what its processes need whichever it is, is in workers.py."""

import functools
import gc
import io
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import granian.server.mp
import granian.wsgi
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from sigma.cli.workers import STOP_TIMEOUT, reap_orphans, set_up_workers
from sigma.database import close_db, use_small_cache
from sigma.http.app import LogFormatter
from sigma.http.unsent import UNSENT
from sigma.http.waiting import AFTERWARDS, DONE, PLACES, LeaveWorker, Places
from sigma.settings import ROOT

MAX_APART = 64  # calls that wait at once, each in a thread of its own
MAX_APART_OF_ONE = 48  # of these, calls of one workspace
MAX_UNSENT = 256 * 1024 * 1024  # bytes of large answers that a worker holds for clients who have not taken them yet
MAX_UNSENT_OF_ONE = 192 * 1024 * 1024  # of these, bytes of one workspace
MAX_BUFFER = 64 * 1024  # bytes that the server keeps of an answer that comes in pieces, and of the head of a request
STALL_TIMEOUT = 60  # seconds; a client that takes nothing of its answer for so long loses its connection

LOG = {  # what the server itself has to say goes into the service's log, and looks like the rest of it
    "formatters": {"service": {"()": LogFormatter}},
    "handlers": {"service": {"class": "logging.StreamHandler", "formatter": "service"}},
    "loggers": {"_granian": {"handlers": ["service"], "propagate": False}},
}


def run_server(host: str, port: int, workers: int, database: str, announce: Callable[[], None]) -> None:
    """Run the server and its workers until it is told to stop; `announce` is called in a thread when they have started.

    Raises SystemExit when the workers keep failing.
    """
    set_up_workers(workers, database)
    server = Granian(
        "app:create_worker_app",
        factory=True,
        working_dir=ROOT,
        interface=Interfaces.WSGI,
        address=host,
        port=port,
        workers=workers,
        blocking_threads=1,  # a second one makes a worker a third slower
        http=HTTPModes.http1,  # over HTTP/2, it resets a request whose body is not read, and the error response is lost
        http1_settings=HTTP1Settings(max_buffer_size=MAX_BUFFER),
        websockets=False,
        log_level=LogLevels.warning,
        log_dictconfig=LOG,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_TIMEOUT,
    )

    _end_on_hangup(server)

    def list_workers() -> list[int]:
        return [worker.inner.pid for worker in server.wrks]

    def announce_when_started() -> None:
        while len(server.wrks) < workers:  # one that were forked while this thread holds a lock would wait for it forever
            time.sleep(0.01)
        announce()

    threading.Thread(target=announce_when_started, daemon=True).start()
    if os.getpid() == 1:
        threading.Thread(target=lambda: reap_orphans(list_workers), daemon=True).start()
    gc.freeze()  # what the workers share with this process then stays shared: four take 92 MB in all, not 130
    server.serve()


def _end_on_hangup(server: Any) -> None:
    """Let SIGHUP end the server as SIGTERM does, or be ignored if it is now; by itself, the server starts its workers anew."""
    is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

    @server.on_startup
    def set_handler() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN if is_ignored else signal.getsignal(signal.SIGTERM))


def let_calls_leave() -> None:
    """Let a call of the application that has to wait leave the worker's one thread, and be answered from one of its own.

    granian takes an answer from any thread, at any time, by the object that it makes for each call; that is no documented
    part of it. So it is pinned, and tests/torture/test_waiting_served.py shows whether this holds. What is documented costs
    more: a second thread a third of all calls, its asynchronous interface a fifth (GET, 16 connections; of one two fifths).
    """
    setattr(granian.server.mp, "_wsgi_call_wrap", _wrap_application)  # noqa: B010 (to a type checker, it has no such name)


class Answer:
    """What takes the answer of a call on a worker's one thread: one of several pieces goes on in a thread of its own."""

    def __init__(self, protocol: Any):
        self.protocol, self.response_bytes = protocol, protocol.response_bytes

    def response_iter(self, *answer: Any) -> None:
        """Send the pieces, each when the client has taken enough of those before."""
        threading.Thread(target=self.protocol.response_iter, args=answer, daemon=True).start()


@functools.cache
def end_stalled_connections() -> None:
    """Let the system end each connection of this worker whose client takes nothing for too long, also those to come.

    These have it from the socket that listens, which the server makes itself, and does not tell: so it is looked for among
    all sockets, by the first request. Only Linux does this; elsewhere a client may keep what it does not take.
    """
    option: Any = getattr(socket, "TCP_USER_TIMEOUT", None)
    for number in os.listdir("/proc/self/fd") if option is not None and os.path.isdir("/proc/self/fd") else ():
        with suppress(OSError):  # it is no socket, or closed by now
            found = socket.socket(fileno=int(number))
            try:
                found.setsockopt(socket.IPPROTO_TCP, option, 1000 * STALL_TIMEOUT)
            finally:
                found.detach()


def _wrap_application(application: Any, *options: Any) -> Callable[[Any, dict[str, Any]], None]:
    """Return what granian calls for each request, with the object that takes the answer, and the environment."""
    call, places = granian.wsgi._callback_wrapper(application, *options), Places(MAX_APART, MAX_APART_OF_ONE)
    unsent = Places(MAX_UNSENT, MAX_UNSENT_OF_ONE)

    def call_apart(protocol: Any, environ: dict[str, Any], workspace: str) -> None:
        use_small_cache()
        try:
            call(protocol, environ)
        finally:
            close_db()
            places.give_back(workspace)

    def call_on_worker(protocol: Any, environ: dict[str, Any]) -> None:
        end_stalled_connections()
        environ[PLACES], environ[AFTERWARDS], environ[UNSENT] = places, [], unsent
        try:
            call(Answer(protocol), environ)
            for act in environ[AFTERWARDS]:
                act()
        except LeaveWorker as left:
            del environ[PLACES]
            environ[DONE], environ["wsgi.input"] = left.done, io.BytesIO(left.body)
            threading.Thread(target=call_apart, args=(protocol, environ, left.workspace), daemon=True).start()

    return call_on_worker
