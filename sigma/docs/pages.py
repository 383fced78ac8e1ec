"""The pages for people: the interactive docs, which are Swagger UI, and the front page, which redirects to a page."""

from pathlib import Path
from typing import Any

import flask_swagger_ui
from flask import Blueprint, Response, current_app, redirect
from flask.blueprints import BlueprintSetupState
from werkzeug.routing import AnyConverter, Map

from sigma.docs.addresses import path_prefix, service_url
from sigma.docs.files import CONSOLE_FOLDER, send_page_file
from sigma.http.access import public
from sigma.http.responses import NO_STORE, json_response
from sigma.http.strict_json import to_json
from sigma.http.unknown_paths import asks_for_page

DOCS_FOLDER = Path(__file__).with_name("reference")
SWAGGER_FOLDER = Path(flask_swagger_ui.__file__).parent / "dist"
DOCS_FILES = {  # the folder of each file that the page loads; the folders hold others, which are not served here
    **dict.fromkeys(("swagger-ui.css", "swagger-ui-bundle.js"), SWAGGER_FOLDER),
    **dict.fromkeys(("theme.css", "icon.svg", "dom.js"), CONSOLE_FOLDER),
    **dict.fromkeys(
        ("style.css", "swagger.css", "main.js", "operations.js", "routes.js", "session.js", "tabs.js"), DOCS_FOLDER
    ),
}

pages = Blueprint("pages", __name__)


class DocsFile(AnyConverter):
    """Matches the name of a file that the docs load. With all names in the rule, `flask routes` would be 231 columns wide."""

    def __init__(self, map: Map):
        super().__init__(map, *DOCS_FILES)


@pages.record
def know_docs_files(state: BlueprintSetupState) -> None:
    """Add the converter to an application, whose rules can then use <docs:file>."""
    state.app.url_map.converters["docs"] = DocsFile


@pages.get("/")
@public
def show_index() -> Any:
    """Redirect a browser to the console, or to the docs where there is no console; return the addresses to a program.

    The addresses are relative where the service does not know its own. The redirect always is: a client could make up a host
    name, and a redirect to that must not get into a cache.
    """
    prefix, url = path_prefix(), service_url()
    paths = {"api": "api/v1", "docs": "docs", "openapi": "openapi.json", "llms": "llms.txt", "health": "healthz"}
    if current_app.config["CONSOLE"]:
        paths["console"] = "console"
    page = paths.get("console", "docs")
    addresses = {name: path if url is None else f"{url}/{path}" for name, path in paths.items()}
    response = (
        redirect(page if prefix is None else f"{prefix}/{page}") if asks_for_page() else json_response(to_json(addresses))
    )
    response.headers.update({"Vary": "Accept", **NO_STORE})
    return response


@pages.get("/docs")
@public
def show_docs() -> Response:
    """Return the page of the interactive docs."""
    return send_page_file(DOCS_FOLDER, "page.html")


@pages.get("/docs/<docs:file>")
@public
def send_docs_file(file: str) -> Response:
    """Return a file that the docs load."""
    return send_page_file(DOCS_FILES[file], file)
