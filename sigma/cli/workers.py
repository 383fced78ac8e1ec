"""The processes of the service, under any HTTP server: how they start, and when they end."""

import ctypes
import logging
import os
import select
import signal
import time
import warnings
from collections.abc import Callable
from contextlib import suppress

from sigma.http.waiting import CLIENT_TIMEOUT, waiting_threads
from sigma.settings import ROOT

STOP_TIMEOUT = 8  # seconds for requests in flight: longer than a write waits, shorter than Docker waits before it kills
LARGE_BLOCK = 1024 * 1024  # bytes


def _return_large_blocks() -> None:
    """Have the C library give large blocks of memory back to the system as soon as they are freed.

    glibc learns to keep ever larger blocks for each thread: after 40 threads had sent 6 MB each, a worker kept 500 MB. Other C
    libraries have no such function.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(-3, LARGE_BLOCK)  # M_MMAP_THRESHOLD


def set_up_workers(workers: int, database: str) -> None:
    """Prepare this process, whose folder, environment, signal handling and memory settings its workers inherit."""
    _return_large_blocks()
    os.chdir(ROOT)  # workers may import from the folder they start in, and the caller's may have modules of the same names
    # A worker copies its environment into every WSGI environment, where these variables would look like request headers.
    for name in [name for name in os.environ if name.startswith(("HTTP_", "CONTENT_"))]:
        del os.environ[name]
    os.environ |= {"SIGMA_DATABASE": database, "SIGMA_WORKERS": str(workers)}  # for the workers
    # A worker that is told to stop before it serves has nothing to finish, and the inherited handler would ignore the signal.
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    # Python 3.12 and newer warn when a process with threads forks, as one may hold a lock; the threads here only wait then.
    warnings.filterwarnings("ignore", r"This process \(pid=\d+\) is multi-threaded", DeprecationWarning)


def stop_on_hangup() -> None:
    """Let SIGHUP, which a terminal that is closed sends, do what SIGTERM does, unless it is ignored, as below `nohup`."""
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))


def reap_orphans(list_workers: Callable[[], list[int]]) -> None:
    """Reap ended processes that process 1 has inherited, such as those of an interrupted health check; never return.

    The server waits for its workers itself. A worker that has only just started may not be listed yet: so a process is
    reaped only when it is found a second time.
    """
    last_pid = 0
    while True:
        time.sleep(1)
        with suppress(ChildProcessError):
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            pid = ended.si_pid if ended and ended.si_pid not in list_workers() else 0
            if pid and pid == last_pid:
                os.waitpid(pid, 0)
            last_pid = pid


def end_with_starter() -> None:
    """Wait until standard input or the process that started this one ends; then tell this process to stop.

    Each sign can fail: the input ends only when every process that has it open closes it, forks of the starter included; and
    a starter that ends before this process asks for its id is never seen to end.
    """
    starter = os.getppid()
    while os.getppid() == starter:
        if select.select([0], [], [], 1)[0] and not os.read(0, 65536):
            break
    os.kill(os.getpid(), signal.SIGTERM)


def watch_worker(parent: int, log: logging.Logger) -> None:
    """Wait until this worker's server is gone, or the worker has waited too long for a client; then end the worker.

    Without its server, a worker would go on and keep the port from the next server. While it waits for a client, it serves
    nobody else, and nothing can interrupt the wait; the server starts a new worker in its place.
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
