"""What commands share: what they ask, and what they tell."""

import functools
import sqlite3
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import click
import marshmallow as ma
from flask import g

from sigma.database import execute, fetch_one
from sigma.http.bodies import flatten_messages
from sigma.http.credentials import Caller
from sigma.http.errors import ApiError, get_or_404, raise_for_problems, translate_database_error
from sigma.http.strict_json import to_json


def impersonate(tenant: str, user_id: str) -> None:
    """Let a command act in a workspace as one of its users."""
    g.tenant, g.caller = tenant, Caller(tenant, user_id, user={"id": user_id}, role={})


class Report(NamedTuple):
    """What a command tells when it is done: to programs, to people, and by its exit code."""

    body: Any
    text: str
    exit_code: int = 0


def reports(command: Callable[..., Report]) -> Callable[..., None]:
    """Print a command's report, as JSON with --json; a refusal is an error in the API's words."""

    @click.option("--json", "as_json", is_flag=True, help="Answer JSON, for programs.")
    @functools.wraps(command)
    def run(as_json: bool, **arguments: Any) -> None:
        try:
            report = command(**arguments)
        except sqlite3.Error as error:
            raise click.ClickException(str(translate_database_error(error).description)) from None
        except ApiError as error:
            raise click.ClickException(str(error.description)) from None
        except OSError as error:
            raise click.ClickException(str(error)) from None
        except UnicodeError:
            raise click.ClickException("Expected text in UTF-8") from None
        click.echo(to_json(report.body) if as_json else report.text)
        sys.exit(report.exit_code)

    return run


def choose_workspace(id: str | None) -> str:
    """Return the workspace that is named, or else the only one there is.

    Raises ApiError 404, or click.UsageError when there are several to choose from.
    """
    if id is not None:
        return str(get_or_404(fetch_one("SELECT id FROM workspaces WHERE id = ?", id), "workspace", id)[0])
    ids = [lasting for (lasting,) in execute("SELECT id FROM workspaces WHERE NOT is_disposable ORDER BY rowid")]
    if not ids:
        raise ApiError(404, "No workspace yet: make one with `flask workspace create`")
    if len(ids) > 1:
        raise click.UsageError(f"--workspace: expected one of {', '.join(ids)}")
    return str(ids[0])


def in_workspace(command: Callable[..., Report]) -> Callable[..., Report]:
    """Let a command work in the workspace that --workspace names."""

    @click.option("--workspace", metavar="ID", help="The workspace; may be left out when there is only one.")
    @functools.wraps(command)
    def run(workspace: str | None, **arguments: Any) -> Report:
        impersonate(choose_workspace(workspace), "command-line")
        return command(**arguments)

    return run


yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def confirm(question: str, yes: bool) -> None:
    """Go on only if the answer is yes."""
    if not yes:
        click.confirm(question, abort=True, err=True)


def table(*rows: Iterable[str]) -> str:
    """Lay rows out in columns; what a terminal would obey rather than print becomes a question mark."""
    cells = [["".join(letter if letter.isprintable() else "?" for letter in cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)


def validated(schema: ma.Schema, body: dict[str, Any]) -> dict[str, Any]:
    """Return a body as the API would take it. Raises ApiError 400."""
    raise_for_problems(flatten_messages(schema.validate(body), body))
    return schema.load(body)
