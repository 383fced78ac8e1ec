"""The files of a database: whether this process can use them, and whether they are still the ones that it opened."""

import gc
import grp
import os
import pwd
import sqlite3
import stat
import threading
import time
import weakref
from typing import Any

from sigma.settings import StartError

FileId = tuple[int, int]  # device and inode

# By path of a database:
_files: dict[str, FileId] = {}  # the file that was there when this process prepared it
_logs: dict[str, FileId] = {}  # its write-ahead log when the first of the open connections was opened
_users: dict[str, set["Connection"]] = {}  # the open connections that threads keep
_opening = threading.Lock()
_thread = threading.local()


def _user(id: int) -> str:
    try:
        return pwd.getpwuid(id).pw_name
    except KeyError:
        return str(id)


def _group(id: int) -> str:
    try:
        return grp.getgrgid(id).gr_name
    except KeyError:
        return str(id)


def describe_owner(file: str) -> str:
    """Return in words whose a file is, its mode, and as whom this process runs."""
    status = os.stat(file)
    owner, mode = f"{_user(status.st_uid)}:{_group(status.st_gid)}", stat.S_IMODE(status.st_mode)
    description = f"{file} belongs to {owner} and has mode {mode:o}, this process runs as {_user(os.geteuid())}"
    if os.statvfs(file).f_flag & os.ST_RDONLY:
        return f"{description}, and it is on a file system that is mounted read-only"
    return description


def unwritable_reason(path: str) -> str | None:
    """Return which of a database's files, or its folder, this process may not read and write, and who owns that.

    The first one found is described. None if the system reports no such obstacle; a write may fail all the same.
    """
    path = os.path.realpath(path)
    folder, effective = os.path.dirname(path), os.access in os.supports_effective_ids
    for file in (path, f"{path}-wal", f"{path}-shm", f"{path}-journal", folder):
        wanted = os.R_OK | os.W_OK | (os.X_OK if file == folder else 0)  # SQLite makes and removes files in it
        if os.path.exists(file) and not os.access(file, wanted, effective_ids=effective):
            return describe_owner(file)
    return None


def require_writable(path: str) -> None:
    """Raise StartError unless this process may write to the database, which commands that only read need not."""
    if reason := unwritable_reason(path):
        raise StartError(
            f"The database {path} cannot be written to: {reason};"
            " run the service as the owner, or change the owner or the mode."
        )


def no_file_reason(path: str) -> str | None:
    """Return why there can be no file at a path: it is a folder, or its folder is not there. None if there can be one."""
    if os.path.isdir(path):
        return "it is a folder"
    folder = os.path.dirname(os.path.realpath(path))
    if os.path.isdir(folder):
        return None
    return f"{folder} is no folder" if os.path.exists(folder) else f"there is no folder {folder}"


def no_database_message(path: str) -> str | None:
    """Return in one sentence why there can be no database at a path, and what to do; None if there can be one."""
    obstacle = no_file_reason(path)
    return obstacle and f"There can be no database at {path}, because {obstacle}: name another file in SIGMA_DATABASE."


def unusable_message(path: str, error: Exception, is_locked: bool) -> str:
    """Return in one sentence why a file cannot be used as the database, given the error of trying, and what to do."""
    if is_locked:
        return f"The database {path} is locked by another process: end that process, or try again when it has ended."
    if message := no_database_message(path):
        return message
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_NOTADB":
        return f"{path} is not an SQLite database: name another file in SIGMA_DATABASE, or put a backup in its place."
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        state = "is full" if name == "SQLITE_FULL" else f"is full or fails ({error})"
        return f"The disk of the database {path} {state}: make room, or name another database in SIGMA_DATABASE."
    reason = unwritable_reason(path) or error
    return f"The database {path} cannot be used: {reason}; correct this, or name another database in SIGMA_DATABASE."


class Life:
    """An object that only one thread refers to, so that it is gone when the thread is."""


class Connection(sqlite3.Connection):
    """A connection that a thread may keep. Once its thread has ended, the next connection that a thread opens closes it.

    Nothing closes it as its thread ends: closing would run Python code while a thread of the server program ends, which
    crashes the program. Python itself closes it much later, and since 3.13 warns of it.
    """

    process: int
    thread: "weakref.ref[Life]"

    def __init__(self, path: str, **options: Any):
        super().__init__(path, check_same_thread=False, **options)  # another thread may have to close it

    def keep(self) -> None:
        """Note that this thread keeps the connection."""
        self.process, self.thread = os.getpid(), weakref.ref(_thread.__dict__.setdefault("life", Life()))

    def is_left(self) -> bool:
        """Return whether its thread has ended. After a fork, the new process may not close the connections of the old one."""
        return self.thread() is None and self.process == os.getpid()


class DatabaseMovedError(sqlite3.OperationalError):
    """The database was removed or replaced while in use."""

    sqlite_errorname = "SQLITE_READONLY_DBMOVED"  # SQLite's own name for this; in WAL mode it does not check


class LogLostError(DatabaseMovedError):
    """The write-ahead log beside the database was removed or replaced while in use."""


def _identify(path: str) -> FileId:
    """Return the id of the file at a path. Raises DatabaseMovedError if there is none."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise DatabaseMovedError(f"{path}: {error.strerror}") from error
    return status.st_dev, status.st_ino


def log_file(path: str) -> str:
    """Return the path of a database's write-ahead log, which lies beside the file itself, not beside a link to it."""
    return f"{os.path.realpath(path)}-wal"


def save_log(path: str, db: sqlite3.Connection) -> None:
    """Copy a removed write-ahead log, still open here, into the database, unless another process has made a new log."""
    if not os.path.exists(log_file(path)):
        db.execute("PRAGMA wal_checkpoint(FULL)")


def _identify_log(path: str) -> FileId | None:
    try:
        return _identify(log_file(path))
    except DatabaseMovedError:
        return None


def remember_file(path: str) -> None:
    """Remember the file at a path as the database that this process uses. Raises DatabaseMovedError if there is none."""
    _files[path] = _identify(path)


def require_same_file(path: str) -> None:
    """Raise DatabaseMovedError if the file at a path, or its write-ahead log, is not the one that this process uses.

    SQLite would go on writing to a file that was removed or replaced, and acknowledged writes would be lost.
    """
    file = _identify(path)
    if _files.setdefault(path, file) != file:
        raise DatabaseMovedError(f"{path} was replaced while in use; put it back, or start the service again")
    with _opening:  # while the last connection is closed, and another opened, the log is removed and made anew
        is_lost = path in _logs and bool(_users[path]) and _identify_log(path) != _logs[path]
    if is_lost:
        raise LogLostError(f"{log_file(path)} was removed or replaced while in use; start the service again")


def _close_left() -> None:
    for users in _users.values():
        for connection in [user for user in users if user.is_left()]:
            users.discard(connection)
            connection.close()


def close_as_threads_end(seconds: float) -> None:
    """Close the connections of threads as these end, until none is open or the time is over.

    The last thread of a worker calls this: closing the last connection removes the write-ahead log, and Python closes none when
    a process ends that was forked. The traceback of an error may keep a call of the server, and that its thread, in a cycle.
    """
    gc.collect()
    deadline = time.monotonic() + seconds
    while True:
        with _opening:
            _close_left()
            if not any(_users.values()) or time.monotonic() > deadline:
                return
        time.sleep(0.01)


def remember_log(path: str, connection: Connection) -> None:
    """Note that this thread keeps a connection to the database at a path. Call this after its first read, which opens the log.

    SQLite removes the write-ahead log only when the last connection that has it open is closed.
    """
    with _opening:
        _close_left()
        connection.keep()
        users = _users.setdefault(path, set())
        if not users:
            _logs.pop(path, None)
            if log := _identify_log(path):
                _logs[path] = log
        users.add(connection)


def forget_log(path: str, connection: Connection) -> None:
    """Note that a connection is about to be closed."""
    with _opening:
        _users.get(path, set()).discard(connection)
