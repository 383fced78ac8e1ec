"""What the commands share: the database, options, questions, results and errors."""

import contextlib
import functools
import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import click
import marshmallow as ma
from flask import current_app
from flask.cli import FlaskGroup

from sigma.cli.interrupts import Interrupts
from sigma.cli.running import find_running, is_registered
from sigma.cli.terminal import name_program, note, printable, require_stdout, stop_command, stream_encoding, write_output
from sigma.database import BUSY_TIMEOUT, execute, fetch_one, prepare_database
from sigma.files import describe_owner, no_file_reason, unwritable_reason
from sigma.http.bodies import flatten_messages
from sigma.http.credentials import act_as
from sigma.http.errors import ApiError, not_found_error, raise_for_problems, translate_database_error
from sigma.http.nearest import MOST, what_there_is
from sigma.settings import StartError, unknown_variables
from sigma.upgrades import needs_upgrade

NO_WORKSPACE = "There is no workspace yet: run `flask demo` for the demo, or `flask workspace create` for your own"
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


class Output(NamedTuple):
    """The result of a command: data for programs (with --json), text for people, and the exit code.

    A command whose output is shown only once, such as a new key, also returns a function that undoes the command if the
    output cannot be written, and returns a text that says so.
    """

    data: Any
    text: str
    exit_code: int = 0
    undo: Callable[[], str] | None = None


def runs_command() -> bool:
    """Return whether a command of `flask` is starting: a command makes the database itself, if it makes one at all."""
    context = click.get_current_context(silent=True)
    return context is not None and isinstance(context.find_root().command, FlaskGroup)


def _require_no_older_service(path: str) -> None:
    """Raise StartError while an older release serves a database, which this one would upgrade."""
    try:
        if not needs_upgrade(path) or not is_registered(path):
            return
    except OSError as error:  # what another user's service has left beside it
        raise StartError(_describe_file_error(error)) from None
    names = " and ".join(f"at {running.url} (process {running.pid})" for running in find_running(path))
    raise StartError(
        f"An older release serves {path}{f' {names}' if names else ''}. It would fail as soon as this release upgrades the"
        f" database: stop it first, with {stop_command()}."
    )


def prepare_unserved(path: str) -> None:
    """Make the database if there is none, and upgrade one of an older release. Raises StartError if it cannot be used.

    That includes a database that an older release still serves.
    """
    _require_no_older_service(path)
    prepare_database(path)


def warn_of_unknown_variables() -> None:
    """Warn, on standard error, of variables that look like settings but are not."""
    for warning in unknown_variables():
        note(f"Warning: {printable(warning)}")


def name_database() -> str:
    """Return the path of the database, and say on standard error that the command acts on it, unless --json is given."""
    path: str = current_app.config["DATABASE"]
    if not click.get_current_context().params.get("as_json"):
        note(f"Database: {printable(path)}")
    return path


def make_database() -> None:
    """Make the database if there is none, and upgrade one of an older release. Raises StartError if it cannot be used."""
    prepare_unserved(current_app.config["DATABASE"])


def upgrade_database() -> None:
    """Do as make_database() does, but make none."""
    if os.path.exists(current_app.config["DATABASE"]):
        make_database()


def require_database() -> None:
    """Do as upgrade_database() does. Raises click.ClickException if there is no database."""
    upgrade_database()
    if not os.path.exists(path := current_app.config["DATABASE"]):
        raise click.ClickException(
            f"There is no database at {printable(path)}: make one with `flask workspace create`, or with `flask demo`,"
            " or name another in SIGMA_DATABASE"
        )


DATABASE_PROBLEMS = {  # by SQLite's name of the error
    "SQLITE_BUSY": f"is locked: another process has kept it for {BUSY_TIMEOUT} seconds or more; try again later",
    "SQLITE_FULL": "cannot grow, because the disk is full: make room, and try again",
    "SQLITE_IOERR": "cannot be read or written: the disk fails or is full, or there is a limit on the size of files",
    "SQLITE_READONLY": "cannot be written to: run the command as its owner, or change the owner or the mode",
    "SQLITE_CANTOPEN": "cannot be opened: run the command as its owner, or change the owner or the mode",
    "SQLITE_CORRUPT": "is damaged: `flask doctor` says how, and `flask restore` puts a backup in its place",
    "SQLITE_NOTADB": "is damaged: `flask restore` puts a backup in its place",
}


def database_problem(name: str) -> str:
    """Return in one sentence why SQLite cannot use the database, given SQLite's name of the error."""
    path = current_app.config["DATABASE"]
    reason = unwritable_reason(path) if name in ("SQLITE_READONLY", "SQLITE_CANTOPEN") else None
    return f"{printable(path)} {DATABASE_PROBLEMS[name]}{f'; {reason}' if reason else ''}"


def describe_database_error(error: sqlite3.Error) -> str:
    """Return in one sentence why a command cannot use the database. Raises the error again if it is a fault of this program."""
    name = "_".join(getattr(error, "sqlite_errorname", "").split("_")[:2])  # without the detail, as in SQLITE_BUSY_SNAPSHOT
    if name in DATABASE_PROBLEMS:
        return database_problem(name)
    return str(translate_database_error(error).description)


def json_text(data: Any, indent: int | None = None) -> str:
    """Return JSON for standard output: plain if its encoding is UTF-8, otherwise with everything but ASCII escaped."""
    separators = (",", ":") if indent is None else None
    return json.dumps(data, ensure_ascii=stream_encoding() != "utf-8", indent=indent, separators=separators)


def _describe_file_error(error: OSError) -> str:
    if not error.filename or not error.strerror:
        return str(error)
    if isinstance(error, PermissionError) and os.path.exists(error.filename):
        return f"{error.filename}: {error.strerror}; {describe_owner(str(error.filename))}"
    is_misplaced = isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
    return f"{error.filename}: {(is_misplaced and no_file_reason(str(error.filename))) or error.strerror}"


@contextlib.contextmanager
def errors_told() -> Iterator[None]:
    """Run the block, and tell an expected error in one sentence. Raises click.ClickException."""
    try:
        yield
    except sqlite3.Error as error:
        raise click.ClickException(describe_database_error(error)) from None
    except ApiError as error:
        raise click.ClickException(str(error.description)) from None
    except OSError as error:
        raise click.ClickException(_describe_file_error(error)) from None
    except UnicodeError:
        raise click.ClickException("Expected text in UTF-8") from None


def _undo(undo: Callable[[], str]) -> str:
    with errors_told():
        return undo()


def _require_stdout_open() -> None:
    """Raise click.ClickException, before anything is done, if the result could not be shown."""
    try:
        require_stdout()
    except ValueError as error:
        raise click.ClickException(f"Standard output does not take the result: {error}; nothing was done") from None


@contextlib.contextmanager
def _undone_if_unseen(output: Output) -> Iterator[None]:
    """Run the block, which shows the output. If that fails, undo the command where it can be undone; else say it was done."""
    try:
        with Interrupts().handled() if output.undo else contextlib.nullcontext():  # a signal may come while nobody reads
            yield
    except BaseException as error:
        undo = output.undo
        outcome = "The command itself was carried out" if undo is None else _undo(undo)
        if isinstance(error, click.ClickException):
            raise click.ClickException(f"{error.message}. {outcome}") from None
        raise


def prints_plainly(command: Callable[..., Output]) -> Callable[..., None]:
    """Make a command that prints the output of a function, and reports an expected error in one line, with exit code 1."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
    @functools.wraps(command)
    def run(as_json: bool, **arguments: Any) -> None:
        _require_stdout_open()
        if not as_json and not arguments.get("quiet"):
            warn_of_unknown_variables()
        with errors_told():
            output = command(**arguments)
        with _undone_if_unseen(output):
            write_output(json_text(output.data) if as_json else name_program(output.text))
        sys.exit(output.exit_code)

    return run


def prints_output(command: Callable[..., Output]) -> Callable[..., None]:
    """Do as prints_plainly() does, and also require that there is a database, and tell people which one it is."""

    @functools.wraps(command)
    def run(**arguments: Any) -> Output:
        require_database()
        name_database()
        return command(**arguments)

    return prints_plainly(run)


def resolve_workspace(id: str | None) -> str:
    """Return the id of the named workspace, or without a name that of the only one. Workspaces for tests do not count.

    Raises ApiError 404, or click.UsageError when a name is needed.
    """
    if id is not None and fetch_one("SELECT 1 FROM workspaces WHERE id = ?", id):
        return id
    ids = [known for (known,) in execute("SELECT id FROM workspaces WHERE NOT is_disposable ORDER BY rowid")]
    if not ids:
        raise ApiError(404, NO_WORKSPACE)
    if id is not None:
        raise ApiError(404, f"{not_found_error('workspace', id).message}{what_there_is(id, ids)}")
    if len(ids) > 1:
        rest = f" and {len(ids) - MOST} more" if len(ids) > MOST else ""
        raise click.UsageError(f"--workspace: expected one of {', '.join(ids[:MOST])}{rest}")
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
    """Ask a question, unless --yes was given. Raises click.Abort for any answer but yes."""
    if not yes:
        click.confirm(question, abort=True, err=True)


def validate_body(schema: ma.Schema, body: dict[str, Any]) -> dict[str, Any]:
    """Return a body as the API loads it. Raises ApiError 400."""
    raise_for_problems(flatten_messages(schema.validate(body), body))
    return schema.load(body)
