"""`flask serve --temporary`: a demo workspace that is there for as long as it is served."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flask import current_app

from sigma.cli.console import make_database
from sigma.cli.demo import insert_demo_if_empty
from sigma.database import close_db
from sigma.settings import StartError


def _remove_database(database: Path) -> None:
    close_db()
    for file in (Path(f"{database}{suffix}") for suffix in ("-wal", "-shm", "", ".log")):  # the log that a starter keeps there
        file.unlink(missing_ok=True)
    with suppress(OSError):  # something else is in it
        database.parent.rmdir()


@contextmanager
def temporary_demo() -> Iterator[None]:
    """Make the demo workspace for the block; afterwards remove the database, and its folder if nothing else is in it.

    Raises StartError for a database that holds a workspace.
    """
    database = current_app.config["DATABASE"]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the server has a handler of its own
    make_database()
    if not insert_demo_if_empty():
        raise StartError(
            f"{database} holds a workspace, and --temporary would remove it. Name a new file in SIGMA_DATABASE, or leave the"
            " option out."
        )
    try:
        yield
    finally:
        _remove_database(Path(database))
