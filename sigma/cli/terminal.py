"""What all commands print: in any encoding, in colour where it can be seen, and with commands as one types them here."""

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

from sigma.settings import ROOT

PROGRAM = "_SIGMA_PROGRAM"  # the variable with what one types before the name of a command, where a process cannot tell


def require_stdout() -> None:
    """Raise ValueError if the process was started without standard output: what is written then goes nowhere."""
    if sys.__stdout__ is None:
        raise ValueError("it is closed")


def drop_stdout() -> None:
    """Let nothing more be written to standard output: what nobody takes would be tried again when the process ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_text(text: str, nl: bool = True, **style: Any) -> None:
    """Write a text to standard output. Raises click.ClickException if nobody takes it."""
    try:
        require_stdout()
        click.echo(click.style(encodable(text), **style) if style else encodable(text), nl=nl)
    except (OSError, ValueError) as error:
        drop_stdout()
        raise click.ClickException(f"Standard output does not take the result: {error}") from None


def write_output(text: str) -> None:
    """Write a text, if it is not empty, to standard output. Raises click.ClickException if nobody takes it."""
    if text:
        write_text(text)


def say(text: str) -> None:
    """Write a text that a service goes on without, if nobody takes it, to standard output."""
    try:
        click.echo(encodable(text))
    except (OSError, ValueError):
        drop_stdout()


def note(text: str, nl: bool = True) -> None:
    """Write a text for people beside the result, to standard error. That nobody takes it changes nothing."""
    with contextlib.suppress(OSError, ValueError):
        click.echo(encodable(text, sys.stderr), nl=nl, err=True)


def stream_encoding(stream: Any = None) -> str:
    """Return the name of the encoding of a stream, of standard output unless another is given."""
    return codecs.lookup(getattr(stream or sys.stdout, "encoding", None) or "utf-8").name


def encodable(text: str, stream: Any = None) -> str:
    """Return a text as far as the encoding of a stream can show it, of standard output unless another is given."""
    encoding = stream_encoding(stream)
    return text.encode(encoding, "replace").decode(encoding)


def printable(text: str) -> str:
    """Return a text without the control characters that a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def format_table(*rows: Iterable[str]) -> str:
    """Return rows as aligned columns; on a terminal too narrow for them, each row as lines of its own, after the titles."""
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
    is_at_hand = Path.cwd() == ROOT and not os.environ.get("FLASK_APP")  # `flask` finds it by itself there
    if context.get_parameter_source("app") is ParameterSource.COMMANDLINE and not is_at_hand:
        words += ["--app", str(context.ensure_object(ScriptInfo).app_import_path)]
    return shlex.join(words)


def _name_python() -> str:
    path = sys.orig_argv[0]  # the whole one, where somebody types a name that pyenv looks up
    return name if shutil.which(name := os.path.basename(path)) == path else path


def find_program() -> str | None:
    """Return what one types here before the name of a command, or None where a program calls it."""
    script, context = Path(sys.argv[0]), click.get_current_context(silent=True)
    if handed_on := os.environ.get(PROGRAM):
        return handed_on
    if script.suffix == ".pyz":
        return shlex.join([_name_python(), sys.argv[0]])
    is_flask = script.name == "flask" or script.parts[-2:] == ("flask", "__main__.py")
    return _name_flask() if context and is_flask else None


def hand_on_program() -> dict[str, str]:
    """Return a variable for a service in the background, whose log names commands as they were typed where it was started."""
    program = find_program()
    return {PROGRAM: program} if program else {}


def name_program(text: str) -> str:
    """Return a text in which commands are written as one types them here, in place of `flask`."""
    program = find_program()
    if program is None:
        return text
    if os.environ.get("MAKELEVEL") and Path.cwd() == ROOT:
        text = re.sub(r"`flask (serve|start|status|stop)`", r"`make \1`", text)
    if Path(sys.argv[0]).suffix == ".pyz":  # which does without a command what `make run` does
        text = text.replace("`make run`", f"`{program}` alone")
    return re.sub(r"(?<![\w/.-])flask (?=[a-z])", lambda _: f"{program} ", text)


def shows_colour() -> bool:
    """Return whether the terminal shows colours, and nobody has asked for none; click looks whether there is one."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Run the block, and let whatever it says be shown by every terminal, with commands as one types them here."""
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
    """A group of commands, which all act on the application."""

    command_class = Command
