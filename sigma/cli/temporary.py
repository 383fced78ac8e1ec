"""`flask serve --temporary`: a demo workspace that exists only while it is served."""

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
    for suffix in ("-wal", "-shm", "", ".log"):  # .log: written by the program that starts the service
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    with suppress(OSError):  # the folder may hold something else
        database.parent.rmdir()


@contextmanager
def temporary_demo() -> Iterator[None]:
    """Make the demo workspace for the block; afterwards remove the database, and its folder if nothing else is in it.

    Raises StartError if the database already holds a workspace.
    """
    database = current_app.config["DATABASE"]
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
