"""Which service runs on a database: a file beside the database says it, and is locked for as long as the service lives."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

PATIENCE = 0.5  # seconds to wait for those who look whether the file is locked, which takes them much less


class Running(NamedTuple):
    """A service that runs: its main process, its address on this machine, and its log if `flask start` has made it."""

    pid: int
    url: str
    log: str | None


def log_path(database: str) -> Path:
    """Return where the log of a service on this database is, if `flask start` starts it."""
    return Path(f"{os.path.realpath(database)}.log")


def _state_path(database: str) -> Path:
    return Path(f"{os.path.realpath(database)}.service")  # the same for all paths that lead to one database


def _try_lock(file: int, how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_state(path: Path) -> int | None:
    """Return the file, open and locked, or None when another service has it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if _try_lock(file, fcntl.LOCK_EX):
            with suppress(FileNotFoundError):  # a service that just ended may have removed it
                if os.path.samestat(os.fstat(file), path.stat()):
                    return file
        os.close(file)
        time.sleep(0.01)
    return None


def _own_log(database: str) -> str | None:
    """Return the path of the log that `flask start` makes, if that is where this process prints."""
    path = log_path(database)
    with suppress(OSError):
        return str(path) if os.path.samestat(os.fstat(1), path.stat()) else None
    return None


@contextmanager
def registered(database: str, url: str) -> Iterator[None]:
    """Let others find this process during the block, unless another service on this database is there already.

    The lock goes with the last process that has the file open: those of the service, which are forks of this one.
    """
    file, path = None, _state_path(database)
    with suppress(OSError):  # what cannot be found can serve all the same
        file = _lock_state(path)
    if file is None:
        yield
        return
    try:
        with suppress(OSError):
            os.ftruncate(file, 0)
            os.write(file, json.dumps(Running(os.getpid(), url, _own_log(database))._asdict()).encode())
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(file)


def is_registered(database: str) -> bool:
    """Return whether a service runs on this database, or one that was killed has processes left."""
    try:
        file = os.open(_state_path(database), os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(file, fcntl.LOCK_SH)
    finally:
        os.close(file)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    with suppress(
        OSError
    ):  # on Linux: it may be dead, and nobody has asked for its exit code, as in a container without an init
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    return True


def find_running(database: str) -> Running | None:
    """Return the service that runs on this database; it need not answer yet, or any more."""
    if not is_registered(database):
        return None
    with suppress(FileNotFoundError, ValueError, TypeError):  # it is just beginning or ending
        running = Running(**json.loads(_state_path(database).read_text(encoding="utf-8")))
        return running if _is_alive(running.pid) else None  # its workers may go on for a second, and even answer
    return None
