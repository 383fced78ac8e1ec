"""The server program, granian, and the worker processes that it runs: all that knows which one it is."""

import errno
import functools
import gc
import io
import logging
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import granian.server.mp
import granian.wsgi
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from sigma.cli.ports import describe_holder, find_free_port
from sigma.database import close_db, use_small_cache
from sigma.http.app import LogFormatter
from sigma.http.unsent import UNSENT
from sigma.http.waiting import AFTERWARDS, CLIENT_TIMEOUT, DONE, PLACES, LeaveWorker, Places, waiting_threads
from sigma.settings import ROOT, StartError

MAX_APART = 64  # calls that wait at once, each in a thread of its own
MAX_APART_OF_ONE = 48  # of these, calls of one workspace
MAX_UNSENT = 256 * 1024 * 1024  # bytes of large answers that a worker holds for clients who have not taken them yet
MAX_UNSENT_OF_ONE = 192 * 1024 * 1024  # of these, bytes of one workspace
MAX_BUFFER = 64 * 1024  # bytes that the server keeps of an answer that comes in pieces, and of the head of a request
STALL_TIMEOUT = 60  # seconds; a client that takes nothing of its answer for so long loses its connection
STOP_TIMEOUT = 8  # seconds for requests in flight: more than a write waits, less than Docker does before it kills

LOG = {  # what the server itself has to say goes into the service's log, and looks like the rest of it
    "formatters": {"service": {"()": LogFormatter}},
    "handlers": {"service": {"class": "logging.StreamHandler", "formatter": "service"}},
    "loggers": {"_granian": {"handlers": ["service"], "propagate": False}},
}


def _explain_port(host: str, port: int, error: OSError) -> str:
    if error.errno != errno.EADDRINUSE:
        return f"Cannot serve on {host}, port {port}: {error.strerror}. Choose others with SIGMA_HOST and SIGMA_PORT."
    holder, free = describe_holder(port) or "another program", find_free_port(host, port)
    return f"Port {port} of {host} is taken by {holder}: end that, or choose another, SIGMA_PORT={free or 0}."


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
            raise StartError(_explain_port(host, port, error)) from None
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
        http1_settings=HTTP1Settings(max_buffer_size=MAX_BUFFER),
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
    if os.getpid() == 1:
        threading.Thread(target=_reap_orphans, args=(server,), daemon=True).start()
    gc.freeze()  # what the workers share with this process then stays shared: four take 92 MB in all, not 130
    server.serve()


def _reap_orphans(server: Any) -> None:
    """Let go of processes that process 1 inherited and that have ended; a health check that is broken off leaves some.

    A worker is for the server to wait for. So is one that it has only just started, and that it does not list yet: hence a
    process is looked at twice.
    """
    seen = 0
    while True:
        time.sleep(1)
        with suppress(ChildProcessError):
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            pid = ended.si_pid if ended and ended.si_pid not in [worker.inner.pid for worker in server.wrks] else 0
            if pid and pid == seen:
                os.waitpid(pid, 0)
            seen = pid


def end_with_starter() -> None:
    """Tell this process to stop when its standard input ends, or the process that started it. Runs in a thread.

    Either may be late: the input ends only when all have closed it who have it open, forks of the starter among them; and
    a starter that ends before this process looks who it is, is never seen to end.
    """
    starter = os.getppid()
    while os.getppid() == starter:
        if select.select([0], [], [], 1)[0] and not os.read(0, 65536):
            break
    os.kill(os.getpid(), signal.SIGTERM)


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


def watch_worker(parent: int, log: logging.Logger) -> None:
    """End this worker process when its server is gone, or when it waits too long for a client. Runs in a thread.

    Without its server it would go on, and keep the port from the next one. While it waits for a client it serves nobody
    else, and nothing interrupts the waiting; the server starts a new worker in its place.
    """
    while os.getppid() == parent:
        for since, request_id in list(waiting_threads.values()):
            if time.monotonic() - since > CLIENT_TIMEOUT:
                message = "Request %s kept this worker waiting for its client for %d seconds: this worker ends"
                log.warning(message, request_id, CLIENT_TIMEOUT)
                os._exit(1)
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_TIMEOUT)
    os._exit(1)
