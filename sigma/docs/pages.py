"""The pages for people: the interactive docs, which are Swagger UI, and the front page, which leads on."""

from pathlib import Path
from typing import Any

import flask_swagger_ui
from flask import Blueprint, Response, current_app, redirect, request, send_from_directory

from sigma.docs.addresses import path_prefix, service_url
from sigma.http.access import public
from sigma.http.responses import NO_STORE, json_response
from sigma.http.strict_json import to_json

DOCS_FOLDER = Path(flask_swagger_ui.__file__).parent / "dist"
DOCS_FILES = ("swagger-ui.css", "index.css", "favicon-32x32.png", "swagger-ui-bundle.js")  # the folder has more, unused here

DOCS_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Sigma PIM API</title>
<link rel="stylesheet" href="docs/swagger-ui.css"><link rel="stylesheet" href="docs/index.css">
<link rel="icon" href="docs/favicon-32x32.png"></head>
<body><div id="swagger-ui"></div><script src="docs/swagger-ui-bundle.js"></script><script src="docs/start.js"></script></body>
</html>
"""

# The browser knows the service's address, whatever proxies do or do not say of it, so requests go there.
# Without `validatorUrl: null`, some layouts show a badge that calls another host. The list of schemas is closed, because it
# is as long as that of the operations. Deep links stay off: Swagger UI logs a warning for each `_` in an operation's name.
DOCS_SCRIPT = """\
const here = new URL(".", location.href).href;
const servers = [{url: here.replace(/\\/$/, ""), description: "Where this page is"}];
SwaggerUIBundle({
  url: "openapi.json", dom_id: "#swagger-ui", validatorUrl: null, defaultModelsExpandDepth: 0,
  responseInterceptor: (answer) => {
    if (answer.url === here + "openapi.json") answer.text = JSON.stringify({...JSON.parse(answer.text), servers});
    return answer;
  },
});
"""

PAGE_POLICY = "; ".join(
    (
        "default-src 'self'",  # load from and send to this host only; no inline script or style
        "img-src 'self' data:",  # Swagger UI's style sheet has its icons as data: URLs
        *("base-uri 'none'", "form-action 'none'"),  # default-src does not cover these two, and the page needs neither
        "frame-ancestors 'none'",  # no other page can frame this one and trick its user into clicking `Execute`
    )
)


pages = Blueprint("pages", __name__)


@pages.get("/")
@public
def show_index() -> Any:
    """Redirect a browser to the console, or to the docs where it is left out, and return the service's addresses to a program.

    Where the service does not know its own address they are relative, and a browser's always is: a redirect to another
    host, made up by whoever asks, must not get into a cache.
    """
    is_browser = request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"
    prefix, url = path_prefix(), service_url()
    paths = {"api": "api/v1", "docs": "docs", "openapi": "openapi.json", "health": "healthz"}
    if current_app.config["CONSOLE"]:
        paths["console"] = "console"
    page = paths.get("console", "docs")
    addresses = {name: path if url is None else f"{url}/{path}" for name, path in paths.items()}
    response = redirect(page if prefix is None else f"{prefix}/{page}") if is_browser else json_response(to_json(addresses))
    response.headers.update({"Vary": "Accept", **NO_STORE})
    return response


@pages.get("/docs")
@public
def show_docs() -> Response:
    """Return the page of the interactive docs; its files came with the requirements."""
    page = current_app.response_class(DOCS_PAGE, mimetype="text/html")
    page.headers["Content-Security-Policy"] = PAGE_POLICY
    return page


@pages.get("/docs/start.js")
@public
def show_docs_script() -> Response:
    """Return the script that starts the docs."""
    return current_app.response_class(DOCS_SCRIPT, mimetype="text/javascript")


@pages.get(f"/docs/<any({str(DOCS_FILES)[1:-1]}):file>")
@public
def send_docs_file(file: str) -> Response:
    """Return a file that the docs load; browsers keep it, and ask each time whether it has changed."""
    return send_from_directory(DOCS_FOLDER, file)
