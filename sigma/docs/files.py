"""The files of the pages for people: where they are, what type they have, and what a page may load."""

from pathlib import Path

from flask import Response, send_from_directory

CONSOLE_FOLDER = Path(__file__).with_name("console")
TYPES = {  # by ending; the system's own list may differ, and browsers run no script of another type
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
PAGE_POLICY = "; ".join(
    (
        "default-src 'self'",  # load from and send to this host only; no inline script or style
        "img-src 'self' data:",  # Swagger UI's style sheet has its icons as data: URLs
        *("base-uri 'none'", "form-action 'none'"),  # default-src does not cover these two, and the page needs neither
        "frame-ancestors 'none'",  # no other page can frame this one and trick its user into clicking `Execute`
    )
)


def send_page_file(folder: Path, name: str) -> Response:
    """Return a page, or a file that a page loads. Browsers cache it, and ask each time whether it has changed."""
    response = send_from_directory(folder, name, mimetype=TYPES.get(Path(name).suffix))
    response.headers["Content-Security-Policy"] = PAGE_POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
