"""What `sigma-pim.pyz` does once it is unpacked: run the given command, or without one do what `make run` does."""

import sys

from flask.cli import FlaskGroup, ScriptInfo

from sigma.cli.routes import list_routes
from sigma.cli.terminal import Command, find_program
from sigma.settings import ROOT

WITHOUT_A_COMMAND = (["demo", "--quiet"], ["serve"])


class Carried(Command, FlaskGroup):
    """All commands."""


commands = Carried(
    help="Sigma PIM, embedded. Without a command: serve the demo workspace, made if there is none.",
    add_default_commands=False,
    add_version_option=False,
)
commands.params.clear()  # Flask's options choose another application, or need what is not in the file
commands.add_command(list_routes)  # instead of Flask's own, which does not say who may call a route


def run_command(arguments: list[str], info: ScriptInfo) -> None:
    """Run one command. Raises SystemExit if it fails."""
    try:
        commands.main(arguments, prog_name=find_program(), obj=info)
    except SystemExit as ended:
        if ended.code:
            raise


def main() -> None:
    """Run the commands that the command line asks for."""
    info = ScriptInfo(app_import_path=str(ROOT / "app.py"))
    for arguments in [sys.argv[1:]] if sys.argv[1:] else WITHOUT_A_COMMAND:
        run_command(arguments, info)


if __name__ == "__main__":
    main()
