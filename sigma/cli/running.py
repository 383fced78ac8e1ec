"""Which services run on a database: for each there is a file beside it, locked for as long as the service lives."""

import fcntl
import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

PATIENCE = 0.5  # seconds to wait for commands that check whether the file is locked; the check takes much less
MOST = 9  # services on one database that can be found; more can run, but are not found


class Running(NamedTuple):
    """A running service: its main process, its address on this machine, and its log if `flask start` made one."""

    pid: int
    url: str
    log: str | None


def log_path(database: str) -> Path:
    """Return the path of the log that `flask start` makes for a service on this database."""
    return Path(f"{os.path.realpath(database)}.log")


def _state_paths(database: str) -> list[Path]:
    first = f"{os.path.realpath(database)}.service"  # the same for every path to the database
    return [Path(first), *(Path(f"{first}-{number}") for number in range(2, MOST + 1))]


def files_of_others(database: str) -> list[Path]:
    """Return the files beside a database that say which services run on it, or are their log, and that are not ours to use."""
    return [
        file
        for file in (*_state_paths(database), log_path(database))
        if file.exists() and not os.access(file, os.R_OK | os.W_OK)
    ]


def database_of_state(files: Iterable[str]) -> str | None:
    """Return the database that a process serves, given the paths of all files that it has open; None if it serves none."""
    states = (re.fullmatch(r"(.+)[.]service(-[2-9])?", file) for file in files)
    return next((state[1] for state in states if state), None)


def _try_lock(file: int, how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_state(path: Path) -> int | None:
    """Return the file, open and locked, or None if another service holds it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if _try_lock(file, fcntl.LOCK_EX):
            with suppress(FileNotFoundError):  # a service that just ended may have removed the file
                if os.path.samestat(os.fstat(file), path.stat()):
                    return file
        is_taken = not _try_lock(file, fcntl.LOCK_SH)  # a shared lock fails only against a service, not against a check
        os.close(file)
        if is_taken:
            return None
        time.sleep(0.01)
    return None


def _register(database: str) -> tuple[int, Path] | None:
    """Return a file that no other service on the database holds, open and locked, with its path; None if there is none."""
    for path in _state_paths(database):
        with suppress(OSError):  # a service that cannot be found can serve all the same
            if (file := _lock_state(path)) is not None:
                return file, path
    return None


def _own_log(database: str) -> str | None:
    """Return the path of the log that `flask start` makes, if this process prints to it."""
    path = log_path(database)
    with suppress(OSError):
        return str(path) if os.path.samestat(os.fstat(1), path.stat()) else None
    return None


@contextmanager
def registered(database: str, url: str) -> Iterator[None]:
    """Make this service findable during the block, beside other services on the database.

    The lock is held until the last process of the service has ended, because its workers are forks that inherit the file.
    """
    registration = _register(database)
    if registration is None:
        yield
        return
    file, path = registration
    try:
        with suppress(OSError):
            os.ftruncate(file, 0)
            os.write(file, json.dumps(Running(os.getpid(), url, _own_log(database))._asdict()).encode())
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(file)


def _is_held(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        return not _try_lock(file, fcntl.LOCK_SH)
    finally:
        os.close(file)


def is_registered(database: str) -> bool:
    """Return whether a service runs on this database, or workers of a killed one are left."""
    return any(map(_is_held, _state_paths(database)))


def is_alive(pid: int) -> bool:
    """Return whether a process has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's process
        return True
    with suppress(OSError):  # on Linux it may be a zombie that nobody reaps, as in a container without an init
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    return True


def _read_state(path: Path) -> Running | None:
    with suppress(FileNotFoundError, ValueError, TypeError):  # the service is just starting or ending
        running = Running(**json.loads(path.read_text(encoding="utf-8")))
        return running if is_alive(running.pid) else None  # workers of a killed one may go on for a second, and even answer
    return None


def find_running(database: str) -> list[Running]:
    """Return the services that run on this database, also those that do not answer yet, or no longer do."""
    found = [_read_state(path) for path in _state_paths(database) if _is_held(path)]
    return [running for running in found if running]


def is_one_unsettled(database: str) -> bool:
    """Return whether a service on this database is just starting or ending, so that find_running() does not return it."""
    return any(_is_held(path) and _read_state(path) is None for path in _state_paths(database))
