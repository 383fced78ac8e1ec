"""`flask export`: write records to a file that `flask import` can read."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from sigma.cli.columns import find_schema_id
from sigma.cli.console import Output, prints_output, workspace_option
from sigma.cli.files import require_new_file, write_file
from sigma.cli.terminal import Command, note, printable
from sigma.database import snapshot
from sigma.resources.exports import CONTENT_TYPES, Export, read_export
from sigma.resources.model import load_object


def _find_format(file: str, given: str | None) -> str:
    ending = Path(file).suffix.lower().removeprefix(".")
    format = given or ("csv" if file == "-" else ending)
    if format not in CONTENT_TYPES:
        raise click.UsageError(f"{printable(file)} ends neither in .csv nor in .json: give --format csv or json")
    return format


def _parts(export: Export, totals: Counter[str]) -> Iterator[bytes]:
    """Yield an export part by part, and add its rows and bytes to the totals."""
    last: int | None = 0
    while last is not None:
        part = export.part(last)
        totals.update(rows=part.rows, bytes=len(part.data))
        last = part.last
        yield part.data


def _describe(rows: int, bytes: int) -> str:
    size = f"{bytes / 1e6:.1f} MB" if bytes >= 1e6 else f"{bytes / 1e3:.1f} kB"
    return f"{rows:,} row{'' if rows == 1 else 's'} ({size})"


@click.command("export", cls=Command)
@with_appcontext
@click.argument("file")
@click.option("--schema", "schema", metavar="ID", required=True, help="The schema of the records.")
@click.option("--catalog", metavar="ID", help="Only records in a category of this catalog.")
@click.option("--scope", metavar="JSON", help="Export the values of this scope: segment ids by dimension id.")
@click.option("--format", type=click.Choice(list(CONTENT_TYPES)), help="The format of FILE, if its ending does not tell.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@prints_output
@workspace_option
def export_file(file: str, schema: str, **options: Any) -> Output:
    """Write the records of a schema to FILE, or - for standard output, as GET /export does.

    Example: flask export products.csv --schema schema-apparel
    """
    query = {"format": _find_format(file, options["format"]), "schemaId": find_schema_id(schema)}
    query |= {"catalogId": options["catalog"], "scope": options["scope"]}
    if options["catalog"] is not None:
        load_object("catalog", options["catalog"])  # raises for an unknown one, which the API answers with an empty list
    require_new_file(file, options["force"])
    totals = Counter[str]()
    # A file shows one state of the database. A slow reader of standard output must not keep a snapshot open, so it gets none.
    with contextlib.nullcontext() if file == "-" else snapshot():
        export = read_export({name: value for name, value in query.items() if value is not None})
        write_file(file, _parts(export, totals))
    summary = _describe(**totals)
    if file == "-":
        note(f"{summary}.")
    return Output({"file": file, **totals}, "" if file == "-" else f"{file} holds {summary}.")
