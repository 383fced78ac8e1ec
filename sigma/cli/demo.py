"""The command that makes the demo workspace."""

from sigma.cli import commands
from sigma.database import fetch_one, transaction
from sigma.standin.demo import insert_demo, read_demo


@commands.command("demo")
def make_demo() -> None:
    """Put the demo workspace into the database, if the database is empty.

    Example: flask demo
    """
    with transaction():
        if not fetch_one("SELECT 1 FROM workspaces"):
            insert_demo(read_demo())
