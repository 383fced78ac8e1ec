"""The commands of `flask`."""

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
