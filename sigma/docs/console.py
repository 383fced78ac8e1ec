"""The console: one page for people, and the files that it loads."""

from pathlib import Path

from flask import Blueprint, Response, send_from_directory

from sigma.docs.pages import PAGE_POLICY
from sigma.http.access import public

CONSOLE_FOLDER = Path(__file__).with_name("console")
CONSOLE_TYPES = {  # by ending; what a system's own list says may differ, and browsers run no script of another type
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}

console = Blueprint("console", __name__)


def _send_console_file(name: str) -> Response:
    response = send_from_directory(CONSOLE_FOLDER, name, mimetype=CONSOLE_TYPES.get(Path(name).suffix))
    response.headers["Content-Security-Policy"] = PAGE_POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@console.get("/console")
@public
def show_console() -> Response:
    """Return the console's page."""
    return _send_console_file("page.html")


@console.get("/console/<file>")
@public
def show_console_file(file: str) -> Response:
    """Return a file that the console's page loads."""
    return _send_console_file(file)
