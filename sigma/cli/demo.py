"""`flask demo`: the demo workspace."""

import click
from flask.cli import with_appcontext

from sigma.database import fetch_one, transaction
from sigma.standin.demo import insert_demo, read_demo


@click.command("demo")
@with_appcontext
def make_demo() -> None:
    """Create the demo workspace, if the database is empty.

    Example: flask demo
    """
    with transaction():
        if not fetch_one("SELECT 1 FROM workspaces"):
            insert_demo(read_demo())
