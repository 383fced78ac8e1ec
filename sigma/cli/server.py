"""The HTTP server, granian, which only this module knows; workers.py has what the processes need under any server."""

import functools
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

from sigma.cli.workers import STOP_TIMEOUT, reap_orphans, set_up_workers, stop_on_hangup
from sigma.database import close_db, use_small_cache
from sigma.http.app import LogFormatter
from sigma.http.unsent import UNSENT
from sigma.http.waiting import AFTERWARDS, DONE, PLACES, SEARCHES, SIGN_INS, LeaveWorker, Places
from sigma.settings import ROOT

MAX_APART = 64  # slow calls that a worker runs at once, each in a thread of its own
MAX_APART_OF_ONE = 48  # of these, calls of one workspace
MAX_SEARCHES = 24  # searches and lists, beside these, that turned out to take long: they share the processor with all calls
MAX_SEARCHES_OF_ONE = 8  # of these, those of one workspace
MAX_SIGN_INS = 96  # logins, beside these, that a worker checks or that wait for it
MAX_SIGN_INS_OF_ONE = 24  # of these, logins from one address: as many as tests that begin side by side may need
MAX_UNSENT = 256 * 1024 * 1024  # bytes of large responses that a worker holds until their clients read them
MAX_UNSENT_OF_ONE = 192 * 1024 * 1024  # of these, bytes of one workspace
MAX_BUFFER = 64 * 1024  # bytes that the server buffers of a response in pieces, and of a request's head
STALL_TIMEOUT = 60  # seconds; a client that reads nothing of its response for this long loses its connection

LOG = {  # the server's own messages go to the service's log, in its format
    "formatters": {"service": {"()": LogFormatter}},
    "handlers": {"service": {"class": "logging.StreamHandler", "formatter": "service"}},
    "loggers": {"_granian": {"handlers": ["service"], "propagate": False}},
}


def run_server(host: str, port: int, workers: int, database: str, announce: Callable[[], None]) -> None:
    """Run the server and its workers until it is told to stop; call `announce` in a thread when the workers have started.

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
        http=HTTPModes.http1,  # over HTTP/2, granian resets a request whose body is not read, and the error response is lost
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
        while len(server.wrks) < workers:  # a worker forked while this thread holds a lock would wait forever
            time.sleep(0.01)
        announce()

    threading.Thread(target=announce_when_started, daemon=True).start()
    if os.getpid() == 1:
        threading.Thread(target=lambda: reap_orphans(list_workers), daemon=True).start()
    server.serve()


def _end_on_hangup(server: Any) -> None:
    """Let SIGHUP do what stop_on_hangup() says, also after the server has set its own handler, which restarts the workers."""
    handler = signal.getsignal(signal.SIGHUP)

    @server.on_startup
    def set_handler() -> None:
        signal.signal(signal.SIGHUP, handler)
        stop_on_hangup()


def let_calls_leave() -> None:
    """Let a call that has to wait leave the worker's one thread, and send its response from a thread of its own.

    granian accepts a response from any thread, at any time, through the protocol object that it makes for each call. This
    is not documented, so granian's version is pinned, and tests/torture/test_waiting_served.py shows whether it still works.
    The documented ways cost more: a second thread slows all calls by a third, the asynchronous interface by a fifth (GET, 16
    connections; two fifths with one connection).
    """
    setattr(granian.server.mp, "_wsgi_call_wrap", _wrap_application)  # noqa: B010 (to a type checker, it has no such name)


class WorkerProtocol:
    """Takes the response of a call on a worker's one thread; a response in pieces is sent from a thread of its own."""

    def __init__(self, protocol: Any):
        self.protocol, self.response_bytes = protocol, protocol.response_bytes

    def response_iter(self, *response: Any) -> None:
        """Send the pieces, each when the client has read enough of the earlier ones."""
        threading.Thread(target=self.protocol.response_iter, args=response, daemon=True).start()


@functools.cache
def end_stalled_connections() -> None:
    """Have the system close each connection of this worker, now or later, whose client reads nothing for too long.

    New connections inherit the option from the listening socket, which the server creates and does not expose: so the first
    request sets it on all open sockets. Only Linux has it; elsewhere a client that reads nothing keeps its connection.
    """
    option: Any = getattr(socket, "TCP_USER_TIMEOUT", None)
    for number in os.listdir("/proc/self/fd") if option is not None and os.path.isdir("/proc/self/fd") else ():
        with suppress(OSError):  # it is not a socket, or closed by now
            open_socket = socket.socket(fileno=int(number))
            try:
                open_socket.setsockopt(socket.IPPROTO_TCP, option, 1000 * STALL_TIMEOUT)
            finally:
                open_socket.detach()


def _wrap_application(application: Any, *options: Any) -> Callable[[Any, dict[str, Any]], None]:
    call = granian.wsgi._callback_wrapper(application, *options)
    limits = {
        PLACES: Places(MAX_APART, MAX_APART_OF_ONE),
        SEARCHES: Places(MAX_SEARCHES, MAX_SEARCHES_OF_ONE),
        SIGN_INS: Places(MAX_SIGN_INS, MAX_SIGN_INS_OF_ONE),
        UNSENT: Places(MAX_UNSENT, MAX_UNSENT_OF_ONE),
    }

    def call_apart(protocol: Any, environ: dict[str, Any], left: LeaveWorker) -> None:
        use_small_cache()
        try:
            call(protocol, environ)
        finally:
            close_db()
            left.give_back()

    def call_on_worker(protocol: Any, environ: dict[str, Any]) -> None:
        end_stalled_connections()
        environ.update(limits)
        environ[AFTERWARDS] = []
        try:
            call(WorkerProtocol(protocol), environ)
            for act in environ[AFTERWARDS]:
                act()
        except LeaveWorker as left:
            left.__traceback__ = left.__context__ = None  # else a cycle keeps the call until the garbage collector comes
            del environ[PLACES]
            environ[DONE], environ["wsgi.input"] = left.done, io.BytesIO(left.body)
            try:
                threading.Thread(target=call_apart, args=(protocol, environ, left), daemon=True).start()
            except RuntimeError:  # the system allows no more threads
                left.give_back()
                raise

    return call_on_worker
