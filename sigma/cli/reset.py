"""`make reset`: move the database away, so that `make run` makes a new one.

It also runs where nothing is installed.
"""

import errno
import fcntl
import os
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

from sigma.cli.running import find_running, is_registered

MAGIC, APPLICATION_ID = b"SQLite format 3\0", b"SIGM"  # how a file begins, and what it has from its 68th byte on
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


def is_ours(database: Path) -> bool:
    """Return whether a file is a database of this service; an empty one counts, because the service would make it one."""
    with database.open("rb") as file:
        header = file.read(100)
    return not header or (header.startswith(MAGIC) and header[68:72] == APPLICATION_ID)


def find_own(database: Path) -> str:
    """Return in words what a database holds besides the demo and workspaces for tests; "" if there is nothing else."""
    try:
        how = "mode=rw" if Path(f"{database}-wal").exists() else "immutable=1"  # which leaves no files beside it
        with closing(sqlite3.connect(f"{database.as_uri()}?{how}", uri=True)) as db:
            db.row_factory = sqlite3.Row
            if not db.execute("SELECT 1 FROM sqlite_schema").fetchone():
                return ""
            rows = [dict(row) for row in db.execute("SELECT * FROM workspaces ORDER BY rowid")]
    except sqlite3.Error as error:
        return f"cannot be read ({error})"
    own = [repr(row["id"]) for row in rows if not row["is_demo"] and not row.get("is_disposable")]
    return f"holds workspace{'s' if len(own) > 1 else ''} {', '.join(own)}, not only the demo" if own else ""


def confirm(database: Path, own: str) -> None:
    """Ask whether a database is to be moved that holds something of the user's own. Raises SystemExit for no."""
    sys.stdout.write(f"{database} {own}. It is moved, not deleted. Type {database.name} to move it: ")
    sys.stdout.flush()
    if sys.stdin.readline().strip() != database.name:
        sys.exit(f"\nError: That is not {database.name}; nothing was moved. `make reset YES=1` does not ask.")


def move_database(database: Path) -> Path:
    """Move a database and the files that belong to it into a new folder beside it, and return the folder."""
    folder = database.with_name(f"old-{database.name}-{time.strftime('%Y%m%d-%H%M%S')}")
    folder.mkdir()
    files = [file for file in database.parent.iterdir() if file.name.startswith((f"{database.name}-", f"{database.name}."))]
    for file in [*files, database]:  # the database last: its -wal must never be left where a new database may be made
        file.rename(folder / file.name)
    return folder


def main(arguments: list[str]) -> None:
    """Move the database of SIGMA_DATABASE away, unless it is in use. What is not only the demo is asked about without --yes."""
    database = Path(os.environ.get("SIGMA_DATABASE") or "sigma.db").resolve()
    if database.is_dir():
        sys.exit(f"Error: {database} is a folder: name the file of a database in SIGMA_DATABASE.")
    if not database.is_file():
        sys.stdout.write(f"There is no database at {database}: nothing to reset.\n")
        return
    if not is_ours(database):
        sys.exit(f"Error: {database} is no database of Sigma PIM, and stays where it is: is SIGMA_DATABASE right?")
    if user := find_user(database):
        sys.exit(f"Error: {database} is not moved away, because {user}, and run `make reset` again.")
    own = find_own(database)
    if own and "--yes" not in arguments:
        confirm(database, own)
    advice = "`flask workspace create` or `flask restore` makes a new one" if own else "`make run` makes a new one"
    sys.stdout.write(f"{database} is now in {move_database(database)}; {advice}.\n")


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        main(sys.argv[1:])
    except OSError as error:
        sys.exit(f"Error: {error}")
