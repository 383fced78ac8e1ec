"""`make routes`: a table of all routes and who may call them, as wide as the terminal."""

import shutil
import sys

import click
from flask import current_app
from flask.cli import with_appcontext

from sigma.cli.terminal import Command, write_output
from sigma.http.access import list_built_routes


def _format_routes(rows: list[tuple[str, str, str]], width: int) -> str:
    """Return a line for each route; where the path is too long for its column, what the route needs goes on the next line."""
    longest, needs_width = (max(map(len, column)) for column in list(zip(*rows, strict=True))[1:])
    paths_end = max(min(longest, width - needs_width - 10), 1)
    lines = []
    for method, path, needs in rows:
        start = f"{method:<7} {path:<{paths_end}}"
        lines.append(f"{start}  {needs}" if len(path) <= paths_end else f"{start}\n{'':{paths_end + 8}}  {needs}")
    return "\n".join(lines)


@click.command("routes", cls=Command)
@with_appcontext
def list_routes() -> None:
    """List every route and what it takes to call it: what a key needs, and after it the flag that a user's role needs.

    Example: flask routes
    """
    rows = [(method, route.template, route.access.in_short) for method, route in list_built_routes(current_app)]
    width = shutil.get_terminal_size().columns if sys.stdout and sys.stdout.isatty() else sys.maxsize
    write_output(_format_routes(sorted(rows, key=lambda row: row[1]), width))
