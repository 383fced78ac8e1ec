"""The commands of `flask`, each of which is imported only when it is called or listed."""

import importlib
import sys

import click
from flask import Flask
from flask.cli import AppGroup, run_command

from sigma.cli.terminal import name_program
from sigma.settings import ROOT, StartError

FLASK = [sys.executable, "-m", "flask", "--app", str(ROOT / "app.py")]  # runs a command in another process

COMMANDS = {  # by name: the module in this folder, and what it calls the command
    "demo": ("demo", "make_demo"),
    "serve": ("serve", "serve"),
    "start": ("start", "start"),
    "status": ("start", "status"),
    "stop": ("start", "stop"),
    "env": ("start", "env"),
    "play": ("story", "play"),
    "keys": ("keys", "key_commands"),
    "users": ("users", "user_commands"),
    "workspace": ("workspaces", "workspace_commands"),
    "webhooks": ("webhooks", "webhook_commands"),
    "backup": ("backup", "backup"),
    "restore": ("backup", "restore"),
    "import": ("import_file", "import_file"),
    "export": ("export_file", "export_file"),
    "schema": ("schema_guess", "schema_commands"),
    "seed": ("seeds", "seed_commands"),
    "doctor": ("doctor", "doctor"),
}


def load_command(name: str) -> click.Command:
    """Import a command. To import all of them and the server, which one needs, would take a sixth of a command's time."""
    module, member = COMMANDS[name]
    command: click.Command = getattr(importlib.import_module(f"sigma.cli.{module}"), member)
    return command


class Commands(AppGroup):
    """All commands of the service."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command. For an unknown name, add all to `flask` itself, which suggests only what it has."""
        if cmd_name in COMMANDS:
            return load_command(cmd_name)
        root = ctx.find_root().command
        if isinstance(root, click.Group):
            for name in COMMANDS:
                root.add_command(load_command(name))
        return None


def add_commands(app: Flask) -> None:
    """Add the commands to an application."""
    app.cli = Commands(app.name)
    run_command.hidden = True  # `flask run` is refused: see require_no_other_server()


def require_no_other_server() -> None:
    """Raise StartError for `flask run`: Flask's own server sends no webhooks, and does not behave as the service does."""
    context = click.get_current_context(silent=True)
    if context is not None and context.command is run_command:
        raise StartError(name_program("`flask run` is not for this service: use `flask serve`, or `make run` for the demo."))
