"""What the commands share: options, questions, output and errors."""

import functools
import sqlite3
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import click
import marshmallow as ma

from sigma.database import execute, fetch_one
from sigma.http.bodies import flatten_messages
from sigma.http.credentials import act_as
from sigma.http.errors import ApiError, get_or_404, raise_for_problems, translate_database_error
from sigma.http.strict_json import to_json

yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


class Output(NamedTuple):
    """The result of a command: data for programs (with --json), text for people, and the exit code."""

    data: Any
    text: str
    exit_code: int = 0


def prints_output(command: Callable[..., Output]) -> Callable[..., None]:
    """Print what a command returns, and report an expected error in one line, with exit code 1."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
    @functools.wraps(command)
    def run(as_json: bool, **arguments: Any) -> None:
        try:
            output = command(**arguments)
        except sqlite3.Error as error:
            raise click.ClickException(str(translate_database_error(error).description)) from None
        except ApiError as error:
            raise click.ClickException(str(error.description)) from None
        except OSError as error:
            raise click.ClickException(str(error)) from None
        except UnicodeError:
            raise click.ClickException("Expected text in UTF-8") from None
        click.echo(to_json(output.data) if as_json else output.text)
        sys.exit(output.exit_code)

    return run


def resolve_workspace(id: str | None) -> str:
    """Return the id of the named workspace, or of the only one there is. Workspaces of test runs do not count.

    Raises ApiError 404, or click.UsageError when a name is needed.
    """
    if id is not None:
        return str(get_or_404(fetch_one("SELECT id FROM workspaces WHERE id = ?", id), "workspace", id)[0])
    ids = [id for (id,) in execute("SELECT id FROM workspaces WHERE NOT is_disposable ORDER BY rowid")]
    if not ids:
        raise ApiError(404, "There is no workspace yet: run `flask workspace create`")
    if len(ids) > 1:
        raise click.UsageError(f"--workspace: expected one of {', '.join(ids)}")
    return str(ids[0])


def workspace_option(command: Callable[..., Output]) -> Callable[..., Output]:
    """Add the option --workspace to a command, and run the command in that workspace."""

    @click.option("--workspace", metavar="ID", help="The workspace; may be omitted when there is only one.")
    @functools.wraps(command)
    def run(workspace: str | None, **arguments: Any) -> Output:
        act_as(resolve_workspace(workspace), "command-line")
        return command(**arguments)

    return run


def confirm(question: str, yes: bool) -> None:
    """Ask, unless --yes was given, and raise click.Abort for any answer but yes."""
    if not yes:
        click.confirm(question, abort=True, err=True)


def printable(text: str) -> str:
    """Return a text without the control characters that a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def format_table(*rows: Iterable[str]) -> str:
    """Return rows as aligned columns."""
    cells = [list(map(printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)


def validate_body(schema: ma.Schema, body: dict[str, Any]) -> dict[str, Any]:
    """Return a body as the API would take it. Raises ApiError 400."""
    raise_for_problems(flatten_messages(schema.validate(body), body))
    return schema.load(body)
