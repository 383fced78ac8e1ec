"""`flask seed`: write the contents of a workspace to a file, and check whether such a file can be loaded."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from flask import current_app, g

from sigma.cli.console import Output, prints_output, prints_plainly, workspace_option
from sigma.cli.files import require_new_file, write_file
from sigma.cli.terminal import Group, note, printable
from sigma.database import close_db, execute, prepare_database, transaction
from sigma.http.credentials import acting_as
from sigma.http.errors import ApiError, counted
from sigma.http.stamps import utc_now
from sigma.http.strict_json import parse_json, to_json
from sigma.standin.seeding import insert_seed, make_seed
from sigma.standin.seeds import read_seed

PARTS = {  # the members of a seed, each with the words for one of what it holds and for several
    "model": ("object of the model", "objects of the model"),
    "records": ("record", "records"),
    "variants": ("variant", "variants"),
    "categories": ("category", "categories"),
    "savedQueries": ("saved query", "saved queries"),
    "webhooks": ("webhook", "webhooks"),
    "users": ("user", "users"),
}
COUNTED = ("model", "records", "variants", "categories")


@click.group("seed", cls=Group)
def seed_commands() -> None:
    """Write the contents of a workspace to a file, and check such files."""


def read_seed_file(file: str) -> Any:
    """Return the parsed content of a JSON file, or of standard input for "-". Raises click.ClickException or OSError."""
    data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        return parse_json(data.removeprefix(b"\xef\xbb\xbf"))
    except ValueError as error:
        raise click.ClickException(f"{printable(file)}: {error}") from None


@contextmanager
def mistakes_named(file: str) -> Iterator[None]:
    """Run the block, and turn an ApiError into a click.ClickException with a line for each mistake in the file."""
    try:
        yield
    except ApiError as error:
        raise click.ClickException(f"{printable(file)}: {error.message}".replace("; ", f"\n{printable(file)}: ")) from None


@contextmanager
def _scratch_database() -> Iterator[None]:
    """Run the block on a new database, which is removed afterwards."""
    config = current_app.config
    path = config["DATABASE"]
    with tempfile.TemporaryDirectory(prefix="sigma-") as folder:
        config["DATABASE"] = os.path.join(folder, "scratch.db")
        try:
            prepare_database(config["DATABASE"])
            yield
        finally:
            close_db()
            config["DATABASE"] = path


def _load_seed(seed: dict[str, Any]) -> None:
    """Load a seed into a temporary workspace, to check it. Raises ApiError 400."""
    with _scratch_database(), transaction():
        execute("INSERT INTO workspaces (id, name, created_at) VALUES ('ws-check', 'Check', ?)", utc_now())
        with acting_as("ws-check", "command-line"):
            insert_seed(seed)


def _count_parts(seed: dict[str, Any]) -> str:
    return ", ".join(counted(len(seed[name]), *PARTS[name]) for name in COUNTED)


@seed_commands.command("export")
@click.argument("file")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@prints_output
@workspace_option
def export_seed(file: str, force: bool) -> Output:
    """Write the contents of a workspace to FILE, or - for standard output, without emails, passwords and API keys.

    Example: flask seed export acme.seed.json --workspace acme
    """
    require_new_file(file, force)
    seed = make_seed(g.tenant)
    write_file(file, [to_json(seed).encode(), b"\n"])
    counts = {name: len(part) for name, part in seed.items()}
    if file == "-":
        note(f"{_count_parts(seed)}.")
    return Output({"file": file, **counts}, "" if file == "-" else f"{file} holds {_count_parts(seed)}.")


@seed_commands.command("check")
@click.argument("file")
@prints_plainly
def check_seed(file: str) -> Output:
    """Say whether the seed in FILE can be loaded, or what is wrong with it. It needs no database.

    Example: flask seed check acme.seed.json
    """
    given = read_seed_file(file)
    with mistakes_named(file):
        seed = read_seed(given)
        _load_seed(seed)
    counts = {name: len(part) for name, part in seed.items()}
    return Output({"file": file, **counts}, f"{file} can be loaded: {_count_parts(seed)}.")
