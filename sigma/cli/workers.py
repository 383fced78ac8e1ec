"""The processes of the service, whichever program serves it: what they start with, and when they end."""

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

STOP_TIMEOUT = 8  # seconds for requests in flight: more than a write waits, less than Docker does before it kills


def set_up_workers(workers: int, database: str) -> None:
    """Change this process so that the workers that it makes start as they should."""
    os.chdir(ROOT)  # workers may look for modules where they start, and the caller's folder may have some of the same names
    # A worker copies the environment into every WSGI environment, where these would look like headers of the request.
    for name in [name for name in os.environ if name.startswith(("HTTP_", "CONTENT_"))]:
        del os.environ[name]
    os.environ |= {"SIGMA_DATABASE": database, "SIGMA_WORKERS": str(workers)}  # which the workers read
    # A worker that is told to stop before it serves has nothing to finish; the handler that it inherits would do nothing.
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    # Since version 3.12 Python warns when a process with threads forks: one may hold a lock. The threads here only wait then.
    warnings.filterwarnings("ignore", r"This process \(pid=\d+\) is multi-threaded", DeprecationWarning)


def stop_on_hangup() -> None:
    """Let SIGHUP, which a terminal that is closed sends, do what SIGTERM does, unless it is ignored, as below `nohup`."""
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))


def reap_orphans(list_workers: Callable[[], list[int]]) -> None:
    """Let go of processes that process 1 inherited and that have ended; a health check that is broken off leaves some.

    A worker is for the server to wait for. So is one that it has only just started, and that is not listed yet: hence a
    process is looked at twice. Runs in a thread.
    """
    seen = 0
    while True:
        time.sleep(1)
        with suppress(ChildProcessError):
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            pid = ended.si_pid if ended and ended.si_pid not in list_workers() else 0
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
