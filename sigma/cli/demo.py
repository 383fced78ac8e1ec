"""`flask demo`: the demo workspace."""

from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext

from sigma.cli.console import Output, make_database, name_database, prints_plainly
from sigma.cli.seeds import mistakes_named, read_seed_file
from sigma.cli.terminal import Command
from sigma.database import fetch_one, transaction
from sigma.http.loopback import holds_demo
from sigma.http.strict_json import to_json
from sigma.standin.demo import complete_own_seed, digest_seed, insert_demo, keep_own_seed, own_digest, read_demo


def insert_demo_if_empty(seed: dict[str, Any] | None = None, digest: str = "") -> bool:
    """Make the demo workspace if the database is empty, and return whether it was.

    Raises click.ClickException if a seed is given and the database already holds anything but the demo made from it.
    """
    with transaction():
        if not fetch_one("SELECT 1 FROM workspaces"):
            keep_own_seed(seed, digest)
            insert_demo(read_demo(), living={})
            return True
        is_same = own_digest() == digest and fetch_one("SELECT 1 FROM workspaces WHERE is_demo")
    if seed is not None and not is_same:
        raise click.ClickException(f"The seed was not loaded, because {_describe_obstacle()}")
    return False


def _describe_obstacle() -> str:
    """Return what a database holds that keeps a seed from becoming its demo workspace, and what to do instead."""
    other = "name another file in SIGMA_DATABASE"
    if holds_demo():
        return f"the database holds the demo made from something else: {other}, or move this one away with `make reset`"
    return (
        "the database holds a workspace, and the demo is only made in an empty one: `flask schema create` creates the schemas"
        f" of the seed in that workspace; for the demo, {other}"
    )


@click.command("demo", cls=Command)
@with_appcontext
@click.option("--quiet", is_flag=True, help="Print nothing, unless it fails.")
@click.option("--seed", "file", metavar="FILE", help="A seed to load instead of the documentation's examples.")
@prints_plainly
def make_demo(file: str | None, quiet: bool) -> Output:
    """Create the demo workspace, if the database is empty.

    Example: flask demo --seed products.seed.json
    """
    seed, digest = None, ""
    if file is not None:
        given = read_seed_file(file)
        with mistakes_named(file):
            seed, digest = complete_own_seed(given), digest_seed(to_json(given))
    path = current_app.config["DATABASE"] if quiet else name_database()
    make_database()
    with mistakes_named(file or ""):
        is_made = insert_demo_if_empty(seed, digest)
    return Output({"database": path, "made": is_made}, "" if quiet else _describe_result(is_made, file))


def _describe_result(is_made: bool, file: str | None) -> str:
    if is_made:
        return f"Made the demo workspace{f' from {file}' if file else ''}."
    if holds_demo():
        return "The demo workspace is there already."
    return "There is a workspace already, and the demo is only made in an empty database."
