"""`flask serve`: the server, and the worker processes that it runs."""

import gc
import http.client
import json
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server.common import AbstractServer

from sigma.database import close_db, fetch_one
from sigma.http.access import holds_demo
from sigma.http.bodies import CLIENT_TIMEOUT, waiting_threads
from sigma.http.loopback import is_loopback
from sigma.http.strict_json import to_json
from sigma.settings import ROOT, StartError, read_setting
from sigma.standin.demo import read_demo

STOP_TIMEOUT = 8  # seconds for requests in flight: more than a write waits, less than Docker does before it kills


def require_private_demo(host: str) -> None:
    """Raise StartError before demo data is served where others can reach it, unless a setting allows that."""
    config = current_app.config
    if is_loopback(host) or config["ALLOW_PUBLIC_DEMO"] or not holds_demo():
        return
    raise StartError(
        f"{config['DATABASE']} holds the demo workspace, whose passwords and keys are public, and others can reach {host}."
        " Serve another database (SIGMA_DATABASE), or on 127.0.0.1, or set SIGMA_ALLOW_PUBLIC_DEMO=1."
    )


@contextmanager
def reserve_port(host: str, port: int) -> Iterator[int]:
    """Keep a port for the server during the block, and yield it; 0 becomes a free one.

    Raises StartError for an address that is in use: two servers would share it, and each get some of the requests.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that a stopped server left do not count
        try:
            reserved.bind((host, port))
        except OSError as error:
            raise StartError(
                f"Cannot serve on {host}, port {port}: {error.strerror}. Choose others with SIGMA_HOST and SIGMA_PORT."
            ) from None
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # only from now on, for the workers' sockets
        yield reserved.getsockname()[1]


def send_request(url: str, method: str, path: str, headers: dict[str, str], body: Any = None) -> tuple[int, Any]:
    """Send a request to the API, and return the status and the body, or 0 and None if there is no answer."""
    data = None if body is None else to_json(body).encode()
    try:
        with closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)) as connection:
            connection.request(method, f"/api/v1{path}", data, {**headers, "Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
    except (OSError, http.client.HTTPException):
        return 0, None


def print_banner(url: str) -> None:
    """Print where everything is, and how to begin."""
    click.echo(f"Sigma PIM    {url}/api/v1\nDocs         {url}/docs\nDatabase     {current_app.config['DATABASE']}")
    if holds_demo():
        demo = read_demo()
        user, key = demo["users"][0], demo["apiKeys"][0]
        click.echo(f"Demo login   {user['email']} / {user['password']}")
        click.echo(f"Demo key     X-Sigma-ApiKey: {key['rawKey']}  ({', '.join(key['permissions'])})")
    elif not fetch_one("SELECT 1 FROM workspaces"):
        click.echo("There is no workspace yet: run `flask workspace create`")


def announce_when_ready(server: AbstractServer[Any], url: str) -> None:
    """Print where the service answers, as soon as it does."""
    while len(server.wrks) < server.workers:  # one that were forked while this thread holds a lock would wait for it forever
        time.sleep(0.01)
    pause = 0.02
    while send_request(url, "GET", "/healthz", {})[0] != 200:
        time.sleep(pause)
        pause = min(1, pause * 1.1)
    click.echo(f"Ready        {url}")


def run_server(host: str, port: int, workers: int, url: str) -> None:
    """Run the server and its workers until it is told to stop. Raises SystemExit when they keep failing."""
    os.chdir(ROOT)  # workers may look for modules where they start, and the caller's folder may have some of the same names
    # A worker copies the environment into every WSGI environment, where these would look like headers of the request.
    for name in [name for name in os.environ if name.startswith(("HTTP_", "CONTENT_"))]:
        del os.environ[name]
    os.environ["SIGMA_DATABASE"] = current_app.config["DATABASE"]
    # A worker that is told to stop before it serves has nothing to finish; the handler that it inherits would do nothing.
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    server = Granian(
        "app:create_worker_app",
        factory=True,
        working_dir=ROOT,
        interface=Interfaces.WSGI,
        address=host,
        port=port,
        workers=workers,
        blocking_threads=1,  # a second one makes a worker a third slower
        http=HTTPModes.http1,  # over HTTP/2, it resets a request whose body is not read, and the error response is lost
        websockets=False,
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_TIMEOUT,
    )
    threading.Thread(target=announce_when_ready, args=(server, url), daemon=True).start()
    gc.freeze()  # what the workers share with this process then stays shared: four take 92 MB in all, not 130
    server.serve()


@click.command("serve")
@with_appcontext
def serve() -> None:
    """Serve on SIGMA_HOST and SIGMA_PORT with SIGMA_WORKERS processes, and print `Ready <url>` when the service answers.

    Example: SIGMA_PORT=9000 flask serve
    """
    host, port, workers = (read_setting(name, current_app.config) for name in ("HOST", "PORT", "WORKERS"))
    require_private_demo(host)
    with reserve_port(host, port) as port:
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        print_banner(url)
        close_db()  # SQLite's connections must not be forked
        run_server(host, port, workers, url)


def watch_worker(parent: int, log: logging.Logger) -> None:
    """End this worker process when its server is gone, or when it waits too long for a client. Runs in a thread.

    Without its server it would go on, and keep the port from the next one. While it waits for a client it serves nobody
    else, and nothing interrupts the waiting; the server starts a new worker in its place.
    """
    while os.getppid() == parent:
        for since, request_id in list(waiting_threads.values()):
            if time.monotonic() - since > CLIENT_TIMEOUT:
                message = "Request %s kept this worker waiting for its client for %d seconds: this worker ends"
                log.warning(message, request_id, CLIENT_TIMEOUT)
                os._exit(1)
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_TIMEOUT)
    os._exit(1)
