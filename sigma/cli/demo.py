"""`flask demo`: the demo workspace."""

import click
from flask.cli import with_appcontext

from sigma.database import fetch_one, transaction
from sigma.standin.demo import insert_demo, read_demo


def insert_demo_if_empty() -> bool:
    """Store the demo workspace and return True, unless the database holds a workspace."""
    with transaction():
        if is_empty := not fetch_one("SELECT 1 FROM workspaces"):
            insert_demo(read_demo(), living={})
    return is_empty


@click.command("demo")
@with_appcontext
def make_demo() -> None:
    """Create the demo workspace, if the database is empty.

    Example: flask demo
    """
    insert_demo_if_empty()
