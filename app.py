"""The service: one Flask app, its blueprints, its hooks."""

import functools
import gc
import json
import os
import signal
import sqlite3
import threading
from typing import Any

import click
from flask import Flask, Response
from flask.logging import default_handler
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.middleware.proxy_fix import ProxyFix

# isort: off
from sigma.resources import (  # noqa: F401 (their routes come in this order)
    health,
    sessions,
    api_keys,
    schemas,
    attributes,
    dimensions,
    option_lists,
    workflows,
    roles,
    records,
    lifecycle,
    variants,
    catalogs,
)
from sigma.standin import whoami, workspaces as test_workspaces  # noqa: F401
# isort: on

from sigma.cli import COMMANDS
from sigma.cli.serve import require_private_demo, watch_worker
from sigma.database import prepare_database
from sigma.docs.openapi import document_api, openapi_document
from sigma.docs.pages import add_docs, show_index
from sigma.http.access import bind_access, is_hidden
from sigma.http.app import LogFormatter, Service
from sigma.http.errors import Smorest, error_response, translate_database_error
from sigma.http.responses import json_response
from sigma.resources.health import get_health
from sigma.settings import read_settings
from sigma.standin.demo import read_demo


def refuse_method(error: MethodNotAllowed, smorest: Smorest) -> Response:
    """Return a wrong method; for a route that is hidden, as if there were no such path."""
    try:
        return smorest.handle_http_exception(NotFound() if is_hidden(error) else error)
    except sqlite3.Error as failure:  # for which Flask asks no handler, being in one
        return error_response(translate_database_error(failure))


def create_app(config: dict[str, Any] | None = None) -> Flask:
    """Make the WSGI application, and its database if there is none.

    Takes settings by name, which win over the environment. Raises StartError.
    """
    app = Service(__name__, static_folder=None)
    app.config.update(PROVIDE_AUTOMATIC_OPTIONS=False)
    app.config.update(read_settings(config or {}))
    app.json.sort_keys, app.json.ensure_ascii = False, False  # type: ignore[attr-defined]
    app.url_map.merge_slashes = False  # a redirect would answer before the caller is known
    if app.config["PROXIES"]:  # who calls is what the outermost of them saw
        app.wsgi_app = ProxyFix(app.wsgi_app, app.config["PROXIES"], 0, 0)  # type: ignore[method-assign]
    prepare_database(app.config["DATABASE"])
    default_handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s request=%(request)s %(message)s"))
    app.logger.addHandler(default_handler)
    app.logger.propagate = False  # another handler's format could show a key

    smorest = document_api(app)
    for failure in (sqlite3.Error, json.JSONDecodeError):  # the latter of what was stored: parse_json() reads the bodies
        app.register_error_handler(failure, lambda error: smorest.handle_http_exception(translate_database_error(error)))
    app.register_error_handler(MethodNotAllowed, lambda error: refuse_method(error, smorest))
    document = functools.cache(lambda: openapi_document(smorest, read_demo()))
    app.add_url_rule("/", view_func=show_index)
    app.add_url_rule("/healthz", view_func=get_health)
    app.add_url_rule("/openapi.json", "openapi", lambda: json_response(document()))
    add_docs(app)
    bind_access(app)
    for command in COMMANDS:
        app.cli.add_command(command)

    context = click.get_current_context(silent=True)
    if context is not None and context.info_name == "run":  # `flask run --host …`
        with app.app_context():
            require_private_demo(context.params["host"])
    return app


def create_worker_app() -> Flask:
    """Make the application for one of the processes of the server that `flask serve` runs.

    A Ctrl-C reaches all of them at once, and then the main one ends the others. A worker that is told twice may hang.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    app = create_app()
    threading.Thread(target=watch_worker, args=(os.getppid(), app.logger), daemon=True).start()
    gc.freeze()  # what stays for good need not be gone through again and again for garbage
    return app
