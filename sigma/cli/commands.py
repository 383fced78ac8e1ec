"""The commands of `flask`."""

import click
from flask import Flask
from flask.cli import FlaskGroup, run_command

from sigma.cli import (
    backup,
    demo,
    doctor,
    export_file,
    import_file,
    keys,
    schema_guess,
    seeds,
    serve,
    start,
    story,
    users,
    webhooks,
    workspaces,
)

COMMANDS = [
    demo.make_demo,
    serve.serve,
    start.start,
    start.status,
    start.stop,
    start.env,
    story.play,
    keys.key_commands,
    users.user_commands,
    workspaces.workspace_commands,
    webhooks.webhook_commands,
    backup.backup,
    backup.restore,
    import_file.import_file,
    export_file.export_file,
    schema_guess.schema_commands,
    seeds.seed_commands,
    doctor.doctor,
]


def add_commands(app: Flask) -> None:
    """Add the commands to an application, and to `flask` itself where it runs: for a typo it suggests only its own commands."""
    context = click.get_current_context(silent=True)
    root = context.find_root().command if context else None
    for command in COMMANDS:
        app.cli.add_command(command)
        if isinstance(root, FlaskGroup):
            root.add_command(command)
    run_command.hidden = True  # `flask run` is refused: see require_no_other_server()
