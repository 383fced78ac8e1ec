"""Sigma PIM, embedded: one Flask app, its blueprints, and the one hook that guards every route.

Start it with `make run`, or from Python with `create_app({"DATABASE": "sigma.db"})`, which returns the WSGI application.
"""

import gc
import os
import signal
import sys
import threading
from importlib.util import find_spec
from typing import Any

if __name__ == "__main__" or ("flask.cli" in sys.modules and not find_spec("marshmallow")):
    sys.exit("Run `make run` in this folder: it installs what the service needs, and serves it.")
if collects := gc.isenabled():
    gc.disable()  # while modules load: they leave hardly any garbage, and looking for it takes 5 % of a start

from flask import Flask, current_app, has_app_context
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.middleware.proxy_fix import ProxyFix

from sigma.cli.commands import add_commands, require_no_other_server
from sigma.cli.console import prepare_unserved, runs_command
from sigma.cli.workers import watch_worker
from sigma.database import close_cursors, prepare_database
from sigma.docs.console import console
from sigma.docs.llms import llms_view
from sigma.docs.openapi import document_view
from sigma.docs.pages import pages
from sigma.files import require_writable
from sigma.http.app import Service, set_up_log
from sigma.http.cors import allow_origins
from sigma.http.declarations import bind_access, require_no_other_hooks
from sigma.http.errors import register_error_handlers
from sigma.http.guard import guard
from sigma.http.unknown_paths import refuse_unknown_method, refuse_unknown_path
from sigma.resources import (
    api_keys,
    attributes,
    audit_log,
    catalogs,
    categories,
    dimensions,
    exports,
    health,
    imports,
    lifecycle,
    not_built,
    option_lists,
    records,
    roles,
    saved_queries,
    schemas,
    search,
    sessions,
    variants,
    webhooks,
    workflows,
)
from sigma.resources.model import MODEL
from sigma.resources.sender import Sender
from sigma.settings import read_setting, read_settings
from sigma.standin import deliveries, faults, ledger, requests, whoami, workspaces
from sigma.standin.blueprint import blueprint as standin_blueprint
from sigma.standin.demo import read_examples
from sigma.standin.journal import Journal

if runs_command():
    gc.freeze()  # what has been loaded stays until the end, where Python would look through all of it once more
if collects:
    gc.enable()

# In the order of the API's documentation.
MODEL_NOUNS = (schemas, attributes, dimensions, option_lists, workflows, roles)
API = (
    *(health, sessions, api_keys, *MODEL_NOUNS, records, lifecycle, audit_log, variants, catalogs, categories),
    *(search, saved_queries, imports, exports, webhooks),
)
STANDIN = (whoami, ledger, workspaces, requests, faults, deliveries)


def create_app(config: dict[str, Any] | None = None) -> Flask:
    """Return the WSGI application; create or upgrade its database, except for a command, which does so if it needs one.

    `config` has settings by name, which take precedence over the environment. Raises StartError if the service cannot start.
    """
    require_no_other_server()
    app = Service(__name__, static_folder=None)
    app.config.update(read_settings(config or {}), PROVIDE_AUTOMATIC_OPTIONS=False)
    app.url_map.merge_slashes = False  # a redirect would be sent before the caller is authenticated
    if app.config["PROXIES"]:  # the client's address is the one that the outermost proxy saw
        app.wsgi_app = ProxyFix(app.wsgi_app, app.config["PROXIES"], 0, 0)  # type: ignore[method-assign]
    if not runs_command():
        prepare_unserved(app.config["DATABASE"])
        require_writable(app.config["DATABASE"])
    set_up_log(app)
    app.extensions["journal"] = journal = Journal()
    app.record, app.inject_fault = journal.record, faults.inject_fault
    add_routes(app)
    add_commands(app)
    app.before_request(guard)
    app.teardown_appcontext(close_cursors)
    bind_access(app, MODEL)
    require_no_other_hooks(app)

    return app


def add_routes(app: Flask) -> None:
    """Add the routes, and the handlers that turn exceptions into responses."""
    register_error_handlers(app)
    app.register_error_handler(NotFound, refuse_unknown_path)
    app.register_error_handler(MethodNotAllowed, refuse_unknown_method)
    allow_origins(app)
    blueprints = list(dict.fromkeys(module.blueprint for module in API + STANDIN))  # some modules share a blueprint
    for blueprint in [*blueprints, not_built.blueprint]:
        app.register_blueprint(blueprint, url_prefix="/standin" if blueprint is standin_blueprint else "/api/v1")
    app.register_blueprint(pages)
    if app.config["CONSOLE"]:
        app.register_blueprint(console)
    app.add_url_rule("/healthz", "healthz", health.get_health)
    app.add_url_rule("/openapi.json", "openapi", document_view(blueprints, read_examples))
    app.add_url_rule("/llms.txt", "llms", llms_view(blueprints, read_examples))


def create_worker_app() -> Flask:
    """Return the application for one worker of the server that `flask serve` runs.

    Ctrl-C, and the end of a terminal, reach all processes at once, and the main one then stops the workers. A worker that is
    told to stop twice may hang, so workers block SIGINT and SIGHUP.
    """
    from sigma.cli.server import let_calls_leave  # noqa: PLC0415 (commands do without the server, and so take a sixth less)

    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGHUP])
    if has_app_context():  # in a fork, which shares what the main process has made: four workers so take 83 MB in all, not 97
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
        prepare_database(app.config["DATABASE"])
    else:
        app = create_app()
    app.config["WORKERS"] = read_setting("WORKERS", {})
    let_calls_leave()
    threading.Thread(target=watch_worker, args=(os.getppid(), app.logger), daemon=True).start()
    app.extensions["sender"] = sender = Sender(app)
    sender.start()
    gc.freeze()  # the garbage collector need not examine again and again, nor copy from the main process, what stays for good
    return app
