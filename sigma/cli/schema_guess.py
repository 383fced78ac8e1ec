"""`flask schema guess`: make a schema for the rows of a file, as a seed to review and load."""

import json
import shlex
from pathlib import Path
from typing import Any

import click

from sigma.cli.columns import plain_name
from sigma.cli.console import Output, json_text, prints_plainly
from sigma.cli.files import require_new_file, write_file
from sigma.cli.guesses import ColumnGuess, assign_slugs, slug
from sigma.cli.import_report import Progress
from sigma.cli.json_rows import RowFileError
from sigma.cli.row_files import ERROR, Layout, RowFile, layout_options
from sigma.cli.schema_create import create_schemas
from sigma.cli.terminal import Group, format_table, name_program, note
from sigma.http.errors import counted
from sigma.resources.transfer import ID


@click.group("schema", cls=Group)
def schema_commands() -> None:
    """Make schemas."""


schema_commands.add_command(create_schemas)


def _guess_columns(file: RowFile) -> list[ColumnGuess]:
    """Return the guesses. Raises RowFileError, also for rows whose cells may be in other columns than they are meant for."""
    guesses: dict[str, ColumnGuess] = {}
    wrong, wrong_rows = None, 0
    progress = Progress()
    for count, row in enumerate(file.rows()):
        if row.problem:
            wrong, wrong_rows = wrong or row, wrong_rows + 1
        guesses = guesses or _begin_guesses(file.columns)
        for column, cell in row.cells.items():
            if column in guesses:
                guesses[column].look(cell, row.line)
        progress.show(file.done(), f"{count:,} rows")
    progress.clear()
    if wrong:
        more = f" (and {counted(wrong_rows - 1, 'more row')} like it)" if wrong_rows > 1 else ""
        raise RowFileError(f"{wrong.problem}{more}", wrong.line)
    return list((guesses or _begin_guesses(file.columns)).values())


def _begin_guesses(columns: list[str]) -> dict[str, ColumnGuess]:
    """Return an empty guess for each column with a name. Raises RowFileError for names that an import cannot tell apart."""
    named = [column for column in columns if column.strip() and column not in (ID, ERROR)]
    plain = [plain_name(column) for column in named]
    if twice := next((column for column in named if plain.count(plain_name(column)) > 1), None):
        raise RowFileError(f"expected columns with different names, got '{twice}' twice, or nearly so", 1)
    aliases = assign_slugs(named, "column", plain_name)
    return {column: ColumnGuess(column, alias) for column, alias in aliases.items()}


def _make_seed(guesses: list[ColumnGuess], name: str) -> dict[str, Any]:
    alias = slug(name) or "records"
    objects = [made for guess in guesses for made in guess.make_objects()]
    group = {"id": "grp-main", "name": name, "sortOrder": 0, "attributeIds": [f"attr-{guess.alias}" for guess in guesses]}
    schema = {"id": f"schema-{alias}", "alias": alias, "name": name, "variantEnabled": False, "attributeGroups": [group]}
    return {"model": [*objects, ["schema", schema]]}


def _describe(guesses: list[ColumnGuess], seed: dict[str, Any], file: str, output: str | None) -> str:
    rows = (
        (
            guess.name,
            guess.alias,
            guess.kind,
            str(guess.filled),
            str(len(guess.values)) if guess.values else "many",
            guess.reason,
        )
        for guess in guesses
    )
    table = format_table(("COLUMN", "ATTRIBUTE", "TYPE", "FILLED", "DIFFERENT", "DECIDED BY"), *rows)
    seed_file, schema = output or "SEED", seed["model"][-1][1]["id"]
    create, demo = ["flask", "schema", "create", seed_file], ["flask", "demo", "--seed", seed_file]
    saved = "Review the seed." if output else "Save the seed in a file, SEED, and review it."
    lines = [f"{saved} Then create the schema in your workspace:", shlex.join(create)]
    lines += ["or a demo workspace, in a database of its own:", f"SIGMA_DATABASE=new.db {shlex.join(demo)}"]
    lines += ["and import the file, into the same database:", shlex.join(["flask", "import", file, "--schema", schema])]
    return "\n".join([table, "", *lines])


@schema_commands.command("guess")
@click.argument("file")
@click.option("--name", help="The schema's name; otherwise that of FILE.")
@click.option("--output", metavar="SEED", help="A new file for the seed; otherwise it is printed.")
@click.option("--force", is_flag=True, help="Replace SEED if it exists.")
@layout_options
@prints_plainly
def guess_schema(file: str, name: str | None, output: str | None, force: bool, **layout: Any) -> Output:
    """Guess the attributes from the columns and cells of a CSV file, and make a seed with a schema of them.

    Example: flask schema guess products.csv --output products.seed.json
    """
    if output is not None:
        require_new_file(output, force)
    rows = RowFile(file, Layout("csv", **layout))
    try:
        guesses = _guess_columns(rows)
    except RowFileError as error:
        raise click.ClickException(error.in_file(rows.name)) from None
    finally:
        rows.close()
    seed = _make_seed(guesses, name or Path(file).stem.replace("-", " ").replace("_", " ").strip().capitalize() or "Records")
    summary = _describe(guesses, seed, file, output)
    if output is None:
        note(name_program(summary))
        return Output(seed, json_text(seed, indent=2))
    write_file(output, [json.dumps(seed, ensure_ascii=False, indent=2).encode(), b"\n"])
    return Output(seed, summary)
