"""The server program, granian, and the worker processes that it runs: all that knows which one it is."""

import gc
import io
import logging
import os
import signal
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import granian.server.mp
import granian.wsgi
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels

from sigma.database import close_db
from sigma.http.app import LogFormatter
from sigma.http.waiting import AFTERWARDS, CLIENT_TIMEOUT, DONE, MAY_LEAVE, LeaveWorker, Wait, waits
from sigma.settings import ROOT, StartError

STOP_TIMEOUT = 8  # seconds for requests in flight: more than a write waits, less than Docker does before it kills
GRACE = 2  # seconds more, until a worker ends that still waits for a body
ESTABLISHED = 1  # of a connection, in Linux
NEARLY = 0.1  # seconds that the system's times and ours may differ

LOG = {  # what the server itself has to say goes into the service's log, and looks like the rest of it
    "formatters": {"service": {"()": LogFormatter}},
    "handlers": {"service": {"class": "logging.StreamHandler", "formatter": "service"}},
    "loggers": {"_granian": {"handlers": ["service"], "propagate": False}},
}


@contextmanager
def reserve_port(host: str, port: int) -> Iterator[int]:
    """Keep a port for the server during the block, and yield it; 0 becomes a free one.

    Raises StartError for an address that is in use: two servers would share it, and each get some of the requests.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that a stopped server left do not count
        try:
            reserved.bind((host, port))
        except OSError as error:
            raise StartError(
                f"Cannot serve on {host}, port {port}: {error.strerror}. Choose others with SIGMA_HOST and SIGMA_PORT."
            ) from None
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # only from now on, for the workers' sockets
        yield reserved.getsockname()[1]


def run_server(host: str, port: int, workers: int, database: str, announce: Callable[[], None]) -> None:
    """Run the server and its workers until it is told to stop; `announce` is called in a thread when they have started.

    Raises SystemExit when the workers keep failing.
    """
    os.chdir(ROOT)  # workers may look for modules where they start, and the caller's folder may have some of the same names
    # A worker copies the environment into every WSGI environment, where these would look like headers of the request.
    for name in [name for name in os.environ if name.startswith(("HTTP_", "CONTENT_"))]:
        del os.environ[name]
    os.environ |= {"SIGMA_DATABASE": database, "SIGMA_WORKERS": str(workers)}  # which the workers read
    # A worker that is told to stop before it serves has nothing to finish; the handler that it inherits would do nothing.
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
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
        websockets=False,
        log_level=LogLevels.warning,
        log_dictconfig=LOG,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_TIMEOUT,
    )

    def announce_when_started() -> None:
        while len(server.wrks) < workers:  # one that were forked while this thread holds a lock would wait for it forever
            time.sleep(0.01)
        announce()

    threading.Thread(target=announce_when_started, daemon=True).start()
    gc.freeze()  # what the workers share with this process then stays shared: four take 92 MB in all, not 130
    server.serve()


def let_requests_leave() -> None:
    """Let a request that has to wait leave this worker, and be answered from a thread of its own.

    granian has one object for each answer, which takes it from any thread and at any time, and calls with it what
    _callback_wrapper() makes of the application; when that returns, the worker goes on. That is no documented part of
    granian: it holds for the version that the requirements pin, and tests/torture/test_waiting_served.py shows whether it does.
    """
    setattr(granian.server.mp, "_wsgi_call_wrap", _wrap_application)  # noqa: B010 (to a type checker, it has no such name)


def _wrap_application(application: Any, *options: Any) -> Callable[[Any, dict[str, Any]], None]:
    call = granian.wsgi._callback_wrapper(application, *options)

    def call_apart(protocol: Any, scope: dict[str, Any]) -> None:
        try:
            call(protocol, scope)
        finally:
            close_db()

    def call_on_worker(protocol: Any, scope: dict[str, Any]) -> None:
        scope[MAY_LEAVE], scope[AFTERWARDS] = True, []
        try:
            call(protocol, scope)
            for act in scope[AFTERWARDS]:
                act()
        except LeaveWorker as left:
            del scope[MAY_LEAVE], scope[AFTERWARDS]
            scope |= {DONE: left.done, "wsgi.input": io.BytesIO(left.body)}  # granian takes away its own when this returns
            threading.Thread(target=call_apart, args=(protocol, scope), daemon=True).start()

    return call_on_worker


def _find_connections(wait: Wait) -> list[socket.socket]:
    """Return the connections that may be the one whose client is waited for, the likeliest first.

    granian does not tell which one that is, but the system tells when something went over each: on this one, the last that
    came did so when the waiting began, or, if the request has been answered, the answer went then.
    """
    found, waited = [], time.monotonic() - wait.since
    for number in map(int, os.listdir("/dev/fd") if hasattr(socket, "TCP_INFO") else ()):
        with suppress(OSError):  # it is gone, or no connection
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            with socket.socket(fileno=os.dup(number)) as connection:
                info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 56)
                state, sent, came = struct.unpack("B43xI4xI", info)
                apart = abs((sent if wait.is_answered else came) / 1000 - waited)
                if state == ESTABLISHED and apart < NEARLY:
                    found.append((apart, connection.dup()))
    return [connection for _, connection in sorted(found, key=lambda pair: pair[0])]


def _hang_up(thread: int, wait: Wait, log: logging.Logger) -> None:
    """Hear no more from the client that a thread waits for: its request is answered as one that was cut off."""
    for connection in _find_connections(wait):
        with connection, suppress(OSError):  # it has gone by itself
            if waits.get(thread) == wait:
                connection.shutdown(socket.SHUT_RD)
                log.warning("Request %s: the rest of its body did not come in %g seconds", wait.request_id, wait.seconds)
                time.sleep(NEARLY)
    if waits.get(thread) == wait and time.monotonic() - wait.since > CLIENT_TIMEOUT + GRACE:
        log.warning("Request %s kept this worker waiting for its body: this worker ends", wait.request_id)
        os._exit(1)


def watch_worker(parent: int, log: logging.Logger) -> None:
    """Hang up on clients that do not send their bodies, and end this worker when its server is gone. Runs in a thread.

    While it waits for a body it serves nobody else. It ends, too, when hanging up does not help; the server starts a new
    worker in its place. Without its server it would go on, and keep the port from the next one.
    """
    while os.getppid() == parent:
        for thread, wait in list(waits.items()):
            if time.monotonic() - wait.since > wait.seconds:
                _hang_up(thread, wait, log)
        time.sleep(0.25)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_TIMEOUT)
    os._exit(1)
