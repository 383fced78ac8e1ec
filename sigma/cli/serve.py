"""`flask serve`: check and print what is needed before the server runs, and announce when it is ready."""

import functools
import signal
import sys
import threading
import time
from contextlib import nullcontext

import click
from flask import current_app
from flask.cli import with_appcontext

from sigma.cli.client import send_request
from sigma.cli.console import NO_WORKSPACE, errors_told, make_database, warn_of_unknown_variables
from sigma.cli.ports import reserve_port
from sigma.cli.running import find_running, registered
from sigma.cli.server import run_server
from sigma.cli.temporary import temporary_demo
from sigma.cli.terminal import Command, name_program, note, say, stop_command
from sigma.cli.workers import end_with_starter, stop_on_hangup
from sigma.database import close_db, execute, fetch_one
from sigma.files import require_writable
from sigma.http.app import OWN_REQUEST
from sigma.http.cors import require_listed_origins
from sigma.http.credentials import hash_key
from sigma.http.loopback import holds_demo, is_loopback
from sigma.settings import StartError, is_set, read_setting
from sigma.standin.demo import read_demo


def require_private_demo(host: str) -> None:
    """Raise StartError if the demo would be served where other machines can reach it, unless a setting allows that."""
    config = current_app.config
    if is_loopback(host) or config["ALLOW_PUBLIC_DEMO"] or not holds_demo():
        return
    raise StartError(
        f"{config['DATABASE']} holds the demo workspace, whose passwords and keys are public, and others can reach {host}."
        " Serve another database (SIGMA_DATABASE), or on 127.0.0.1, or set SIGMA_ALLOW_PUBLIC_DEMO=1."
    )


def _describe_demo_key(url: str) -> str:
    """Return lines with the first of the demo's API keys that is still active, and a command to try it with."""
    sql = "SELECT k.hash FROM workspaces w JOIN known_keys k ON k.tenant = w.id WHERE w.is_demo AND k.is_active"
    active = {hash for (hash,) in execute(sql)}
    key = next((key for key in read_demo()["apiKeys"] if hash_key(key["rawKey"]) in active), None)
    if key is None:
        return "Demo key     deactivated; Reset, in the console, brings it back"
    header = f"X-Sigma-ApiKey: {key['rawKey']}"
    return (
        f"Demo key     {header}  ({', '.join(key['permissions'])})\n"
        f'Try first    curl -s "{url}/api/v1/records?limit=1" -H "{header}"'
    )


def print_banner(url: str) -> None:
    """Print the addresses of the service, and how to sign in and try it."""
    say(f"Sigma PIM    {url}/api/v1")
    if current_app.config["CONSOLE"]:
        say(f"Console      {url}/console")
    say(f"Docs         {url}/docs\nDatabase     {current_app.config['DATABASE']}")
    if holds_demo():
        user = read_demo()["users"][0]
        say(f"Demo login   {user['email']} / {user['password']}")
        say(_describe_demo_key(url))
    elif not fetch_one("SELECT 1 FROM workspaces"):
        say(name_program(NO_WORKSPACE))
    is_watched = sys.stdout is not None and sys.stdout.isatty()
    say(f"Stop         {'Ctrl-C' if is_watched else name_program(stop_command())}")


def _announce_when_ready(url: str) -> None:
    pause = 0.02
    while send_request(url, "GET", "/api/v1/healthz", {"X-Request-Id": OWN_REQUEST}).status != 200:
        time.sleep(pause)
        pause = min(1, pause * 1.1)
    say(f"Ready        {url}")


def _format_url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _local_url(host: str, port: int) -> str:
    """Return the URL at which programs on this machine reach a service on this host, which may stand for all addresses."""
    every = {"0.0.0.0": "127.0.0.1", "::": "::1", "::ffff:0:0": "127.0.0.1", "::ffff:0.0.0.0": "127.0.0.1"}  # noqa: S104
    return _format_url(every.get(host, host), port)


def _require_no_twin(host: str, port: int) -> None:
    """Raise StartError if a service already runs on this database, unless a setting asks for another port."""
    services, url = find_running(current_app.config["DATABASE"]), _local_url(host, port)
    is_port_set = is_set("PORT", current_app.config)
    for running in services:
        if running.url == url or not is_port_set:
            hint = "" if running.url == url else f" To serve it at {url} as well, set SIGMA_PORT={port}."
            raise StartError(f"It runs already, at {running.url} (process {running.pid}): {stop_command()} stops it.{hint}")
    for running in services:
        note(f"The same database is also served at {running.url} (process {running.pid}).")


@click.command("serve", cls=Command)
@click.option(
    "--temporary",
    is_flag=True,
    help="Serve a new demo workspace in SIGMA_DATABASE, which must hold no workspace, and remove the database at the end.",
)
@click.option(
    "--until-eof", is_flag=True, help="End when standard input ends, which it does when the program that started this ends."
)
@with_appcontext
@errors_told()
def serve(temporary: bool, until_eof: bool) -> None:
    """Serve on SIGMA_HOST and SIGMA_PORT with SIGMA_WORKERS processes, and print `Ready <url>` when the service answers.

    Example: SIGMA_PORT=9000 flask serve
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the server has a handler; without one, PID 1 would ignore it
    stop_on_hangup()
    config = current_app.config
    host, port, workers = (read_setting(name, config) for name in ("HOST", "PORT", "WORKERS"))
    with temporary_demo() if temporary else nullcontext():
        if until_eof:
            threading.Thread(target=end_with_starter, daemon=True).start()
        make_database()
        warn_of_unknown_variables()
        require_writable(config["DATABASE"])
        require_private_demo(host)
        require_listed_origins()
        _require_no_twin(host, port)
        with reserve_port(host, port) as port, registered(config["DATABASE"], _local_url(host, port)):
            url = _local_url(host, port)
            print_banner(url)
            close_db()  # SQLite's connections must not be forked
            run_server(host, port, workers, config["DATABASE"], functools.partial(_announce_when_ready, url))
