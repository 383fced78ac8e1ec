"""What `sigma-pim.pyz` does once it is unpacked: the command that it is given, or without one what `make run` does."""

import os
import sys
from typing import Any

import click
from flask.cli import FlaskGroup, ScriptInfo

from sigma.cli.console import name_program
from sigma.settings import ROOT

WITHOUT_A_COMMAND = (["demo"], ["serve"])


class Carried(FlaskGroup):
    """The commands of `flask`, in whose errors they are called as one calls them here."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except click.UsageError:  # which has named the command
            raise
        except click.ClickException as error:
            raise click.ClickException(name_program(error.message)) from None


commands = Carried(help="Sigma PIM, embedded. Without a command: serve the demo workspace, which is created if there is none.")


def run_command(arguments: list[str], info: ScriptInfo) -> None:
    """Run one command. Raises SystemExit if it fails."""
    try:
        commands.main(arguments, prog_name=os.path.basename(sys.argv[0]), obj=info)
    except SystemExit as ended:
        if ended.code:
            raise


def main() -> None:
    """Run what the command line says."""
    info = ScriptInfo(app_import_path=str(ROOT / "app.py"))
    for arguments in [sys.argv[1:]] if sys.argv[1:] else WITHOUT_A_COMMAND:
        run_command(arguments, info)


if __name__ == "__main__":
    main()
