"""How commands print: in any encoding, in colour where the terminal shows it, and with commands as the user types them."""

import codecs
import contextlib
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from flask.cli import AppGroup, ScriptInfo

from sigma.settings import ROOT, SETTINGS

# Variables for processes that cannot know: the words typed before the name of a command, and the command that stops them.
PROGRAM, STOP = "_SIGMA_PROGRAM", "_SIGMA_STOP"

START_WITH_DEMO = "`flask demo`, then `flask start`"  # which is `make start` in the service's own folder


def require_stdout() -> None:
    """Raise ValueError if the process was started without standard output, where click would silently print nothing."""
    if sys.__stdout__ is None:
        raise ValueError("it is closed")


def drop_stdout() -> None:
    """Discard what is left for standard output: Python would try, and fail, to write it again when the process ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_text(text: str, nl: bool = True, **style: Any) -> None:
    """Write a text to standard output. Raises click.ClickException if it cannot be written."""
    try:
        require_stdout()
        click.echo(click.style(encodable(text), **style) if style else encodable(text), nl=nl)
    except (OSError, ValueError) as error:
        drop_stdout()
        raise click.ClickException(f"Standard output does not take the result: {error}") from None


def write_output(text: str) -> None:
    """Write a text to standard output, unless it is empty. Raises click.ClickException if it cannot be written."""
    if text:
        write_text(text)


def say(text: str) -> None:
    """Write a text to standard output, for a service, which goes on if it cannot be written."""
    try:
        click.echo(encodable(text))
    except (OSError, ValueError):
        drop_stdout()


def note(text: str, nl: bool = True) -> None:
    """Write a text for people to standard error, which is not part of the result. A failure to write is ignored."""
    with contextlib.suppress(OSError, ValueError):
        click.echo(encodable(text, sys.stderr), nl=nl, err=True)


def stream_encoding(stream: Any = None) -> str:
    """Return the name of a stream's encoding; without a stream, that of standard output."""
    return codecs.lookup(getattr(stream or sys.stdout, "encoding", None) or "utf-8").name


def encodable(text: str, stream: Any = None) -> str:
    """Return a text with "?" for what a stream's encoding cannot express; without a stream, that of standard output."""
    encoding = stream_encoding(stream)
    return text.encode(encoding, "replace").decode(encoding)


def printable(text: str) -> str:
    """Return a text with "?" for control characters, which a terminal would obey."""
    return "".join(character if character.isprintable() else "?" for character in text)


def format_table(*rows: Iterable[str]) -> str:
    """Return rows, the first of them titles, as aligned columns; on a terminal that is too narrow, a line for each cell."""
    titles, *others = cells = [list(map(printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    if others and sys.stdout and sys.stdout.isatty() and max(map(len, lines)) > shutil.get_terminal_size().columns:
        width = max(map(len, titles))
        blocks = ([f"{title:<{width}}  {cell}" for title, cell in zip(titles, row, strict=True) if cell] for row in others)
        return "\n\n".join("\n".join(block) for block in blocks)
    return "\n".join(lines)


def _shortest_path(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _name_flask() -> str:
    script = Path(sys.executable).with_name("flask")
    on_path = shutil.which("flask")
    is_found = on_path is not None and os.path.realpath(on_path) == os.path.realpath(script)
    words = ["flask"] if is_found else [_shortest_path(script)] if script.exists() else [sys.executable, "-m", "flask"]
    context = click.get_current_context().find_root()
    finds_app = Path.cwd() == ROOT and not os.environ.get("FLASK_APP")  # `flask` finds app.py in the current folder
    if context.get_parameter_source("app") is ParameterSource.COMMANDLINE and not finds_app:
        words += ["--app", str(context.ensure_object(ScriptInfo).app_import_path)]
    return shlex.join(words)


def _name_python() -> str:
    path = sys.orig_argv[0]  # a full path even after a bare name, where pyenv looks the name up
    return name if shutil.which(name := os.path.basename(path)) == path else path


def find_program() -> str | None:
    """Return what the user types before the name of a command, or None where no user has typed the command."""
    script, context = Path(sys.argv[0]), click.get_current_context(silent=True)
    if inherited := os.environ.get(PROGRAM):
        return inherited
    if script.suffix == ".pyz":
        return shlex.join([_name_python(), sys.argv[0]])
    is_flask = script.name == "flask" or script.parts[-2:] == ("flask", "__main__.py")
    return _name_flask() if context and is_flask else None


def hand_on_program() -> dict[str, str]:
    """Return variables for a service in the background, so that its log names commands as its starter types them."""
    program = find_program()
    return {STOP: stop_command(), **({PROGRAM: program} if program else {})}


def stop_command(database: str | None = None) -> str:
    """Return the command that stops what serves a database; without one, the database that this command acts on.

    It names the database, as a user has to who named it for one command only, unless that is the default.
    """
    if database is None and (inherited := os.environ.get(STOP)):
        return inherited
    named = database or os.environ.get("SIGMA_DATABASE")
    default = os.path.abspath("sigma.db") if Path(sys.argv[0]).suffix == ".pyz" else SETTINGS["DATABASE"].default
    if named is None or (database is None and os.path.abspath(named) == default):
        return "`flask stop`"
    return f"`SIGMA_DATABASE={shlex.quote(_shortest_path(Path(named).absolute()))} flask stop`"


def name_program(text: str) -> str:
    """Return a text in which commands of `flask` are written as the user types them."""
    program = find_program()
    if program is None:
        return text
    if Path.cwd() == ROOT and (ROOT / "Makefile").exists():
        text = text.replace(START_WITH_DEMO, "`make start`")
    if os.environ.get("MAKELEVEL") and Path.cwd() == ROOT:
        text = re.sub(r"(?<=[` ])flask (serve|start|status|stop)(?=`)", r"make \1", text)
    if Path(sys.argv[0]).suffix == ".pyz":  # without a command, it does what `make run` does
        text = text.replace("`make run`", f"`{program}` alone").replace("`make routes`", f"`{program} routes`")
    return re.sub(r"(?<![\w/.-])flask (?=[a-z])", lambda _: f"{program} ", text)


def shows_colour() -> bool:
    """Return whether colours are wanted and the terminal can show them; whether there is a terminal, click finds out."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Run the block so that any terminal can show what it prints, and its errors name commands as the user types them.

    A process that was started without standard input has an empty one.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 (as long as the process)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        yield
    except click.ClickException as error:
        error.message = encodable(name_program(error.message), sys.stderr)  # type: ignore[misc]
        raise


def _show_help(ctx: click.Context, _: click.Parameter, is_wanted: bool) -> None:
    if is_wanted and not ctx.resilient_parsing:
        write_text(ctx.get_help())
        ctx.exit()


class Command(click.Command):
    """A command of the service."""

    def make_context(self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any) -> Any:
        """Read the command line, and show the help if that is what it asks for."""
        with plain_errors():
            self.help = name_program(self.help or "")
            if parent and (program := find_program()):
                parent.find_root().info_name = program
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        if not shows_colour():
            ctx.color = False
        with plain_errors():
            return super().invoke(ctx)

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return the option --help."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return the line for lists of commands."""
        return encodable(name_program(super().get_short_help_str(limit)))


class Group(Command, AppGroup):
    """A group of commands that act on the application."""

    command_class = Command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Return the command that is meant. Raises click.UsageError, which names similar commands, or all of them."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            if not error.possibilities:
                commands = ", ".join(self.list_commands(ctx))
                error.message += f" The commands are: {commands}."  # type: ignore[misc]
            raise
