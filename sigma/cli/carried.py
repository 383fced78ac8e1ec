"""What `sigma-pim.pyz` does once it is unpacked: the command that it is given, or without one what `make run` does."""

import os
import sys

from flask.cli import ScriptInfo, cli

from sigma.settings import ROOT

WITHOUT_A_COMMAND = (["demo"], ["serve"])


def run_command(arguments: list[str], info: ScriptInfo) -> None:
    """Run one command of the service. Raises SystemExit if it fails."""
    try:
        cli.main(arguments, prog_name=os.path.basename(sys.argv[0]), obj=info)
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
