"""`make reset`: move the database away, so that `make run` makes a new one.

It also runs where nothing is installed.
"""

import errno
import fcntl
import os
import sys
import time
from pathlib import Path

from sigma.cli.running import find_running, is_registered

OPEN_BYTE = 128  # of the -shm file: locked by every process with the database open, https://www.sqlite.org/walformat.html


def _is_open(database: Path) -> bool:
    """Return whether SQLite's locks show that a process has the database open."""
    try:
        with open(f"{database}-shm", "rb+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, OPEN_BYTE)
    except OSError as error:
        return error.errno in (errno.EAGAIN, errno.EACCES) and not isinstance(error, FileNotFoundError)
    return False


def find_user(database: Path) -> str:
    """Return in words which processes use a database, and how to stop them; "" if none does."""
    if services := find_running(str(database)):
        names = " and ".join(f"the service at {running.url} (process {running.pid})" for running in services)
        advice = "runs on it: stop it" if len(services) == 1 else "run on it: stop them"
        return f"{names} {advice}, by Ctrl-C or `make stop`"
    if is_registered(str(database)) or _is_open(database):
        return "a process has it open: end that"
    return ""


def move_database(database: Path) -> Path:
    """Move a database and the files that belong to it into a new folder beside it, and return the folder."""
    folder = database.with_name(f"old-{database.name}-{time.strftime('%Y%m%d-%H%M%S')}")
    folder.mkdir()
    files = [file for file in database.parent.iterdir() if file.name.startswith((f"{database.name}-", f"{database.name}."))]
    for file in [*files, database]:  # the database last: its -wal must never be left where a new database may be made
        file.rename(folder / file.name)
    return folder


def main() -> None:
    """Move the database of SIGMA_DATABASE away, unless it is in use."""
    database = Path(os.environ.get("SIGMA_DATABASE") or "sigma.db").resolve()
    if not database.is_file():
        sys.stdout.write(f"There is no database at {database}: nothing to reset.\n")
    elif user := find_user(database):
        sys.exit(f"Error: {database} is not moved away, because {user}, and run `make reset` again.")
    else:
        sys.stdout.write(f"{database} is now in {move_database(database)}; `make run` makes a new one.\n")


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        main()
    except OSError as error:
        sys.exit(f"Error: {error}")
