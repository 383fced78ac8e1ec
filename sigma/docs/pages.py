"""The pages for people."""

from pathlib import Path
from typing import Any

import flask_swagger_ui
from flask import Blueprint, Response, current_app, redirect, request, send_from_directory

from sigma.http.access import public
from sigma.http.responses import json_response
from sigma.http.strict_json import to_json

DOCS_FOLDER = Path(flask_swagger_ui.__file__).parent / "dist"
DOCS_FILES = ("swagger-ui.css", "index.css", "favicon-32x32.png", "swagger-ui-bundle.js")  # of more, such as a page for OAuth

DOCS_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Sigma PIM API</title>
<link rel="stylesheet" href="docs/swagger-ui.css"><link rel="stylesheet" href="docs/index.css">
<link rel="icon" href="docs/favicon-32x32.png"></head>
<body><div id="swagger-ui"></div><script src="docs/swagger-ui-bundle.js"></script><script src="docs/start.js"></script></body>
</html>
"""

# The validator's badge, which some layouts show, would call another host. The list of schemas is closed: it is as long as
# that of the operations. Deep links stay off: Swagger UI would complain in the console of the `_` in operations' names.
DOCS_SCRIPT = """\
SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", validatorUrl: null, defaultModelsExpandDepth: 0});
"""

DOCS_POLICY = "; ".join(
    (
        "default-src 'self'",  # nothing from another host or to it, and no script or style outside of files
        "img-src 'self' data:",  # the style sheet of Swagger UI has its icons in it
        *("base-uri 'none'", "form-action 'none'"),  # of neither default-src says anything, and the page needs neither
        "frame-ancestors 'none'",  # no page around this one can steer a click to `Execute`
    )
)


pages = Blueprint("pages", __name__)


@pages.get("/")
@public
def show_index() -> Any:
    """Send a browser to the docs, and tell a program where things are."""
    is_browser = request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"
    places = {"api": "/api/v1", "docs": "/docs", "openapi": "/openapi.json", "health": "/healthz"}
    response = redirect("docs") if is_browser else json_response(to_json(places))
    response.headers["Vary"] = "Accept"
    return response


@pages.get("/docs")
@public
def show_docs() -> Response:
    """Serve the interactive docs, from files that came with the requirements."""
    page = current_app.response_class(DOCS_PAGE, mimetype="text/html")
    page.headers["Content-Security-Policy"] = DOCS_POLICY
    return page


@pages.get("/docs/start.js")
@public
def show_docs_script() -> Response:
    """Serve the script that starts the docs."""
    return current_app.response_class(DOCS_SCRIPT, mimetype="text/javascript")


@pages.get(f"/docs/<any({str(DOCS_FILES)[1:-1]}):file>")
@public
def send_docs_file(file: str) -> Response:
    """Serve a file that the docs load; browsers keep it, but ask about it each time."""
    return send_from_directory(DOCS_FOLDER, file)
