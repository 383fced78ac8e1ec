"""The console: one page for people, and the files that it loads."""

from flask import Blueprint, Response

from sigma.docs.files import CONSOLE_FOLDER, send_page_file
from sigma.http.access import public

console = Blueprint("console", __name__)


@console.get("/console")
@public
def show_console() -> Response:
    """Return the console's page."""
    return send_page_file(CONSOLE_FOLDER, "page.html")


@console.get("/console/<file>")
@public
def show_console_file(file: str) -> Response:
    """Return a file that the console's page loads."""
    return send_page_file(CONSOLE_FOLDER, file)
