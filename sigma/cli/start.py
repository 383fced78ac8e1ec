"""`flask start`, `status`, `stop` and `env`: a service in the background, one for each database."""

import fcntl
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

import click
from flask import current_app
from flask.cli import with_appcontext

from sigma.cli.console import Output, make_database, prints_plainly
from sigma.cli.running import Running, find_running, is_registered, log_path
from sigma.cli.serve import FLASK, send_request
from sigma.cli.server import STOP_TIMEOUT
from sigma.cli.terminal import Command, note, write_output
from sigma.database import close_db
from sigma.http.loopback import holds_demo
from sigma.settings import ROOT
from sigma.standin.demo import read_demo

START_TIMEOUT = 60  # seconds that a busy machine may take
END_TIMEOUT = STOP_TIMEOUT + 6  # and for the last process to be gone; killed at once, the main one leaves workers for a while


def _database() -> str:
    return str(current_app.config["DATABASE"])


def _answers(running: Running) -> bool:
    return send_request(running.url, "GET", "/api/v1/healthz", {}).status == 200


def _wait_until(is_so: Callable[[], Any], seconds: float) -> Any:
    """Return what comes of a question, asked again until it is true or the time is over."""
    deadline = time.monotonic() + seconds
    while not (result := is_so()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return result


def _find_answering() -> Running | None:
    running = find_running(_database())
    return running if running and _answers(running) else None


def _describe(running: Running | None, answers: bool) -> Output:
    """Return what is known of the service on the database; the exit code is 0 if it answers."""
    database = _database()
    if running is None:
        told = f"Nothing runs on {database}: start it with `flask start`"
    else:
        log = running.log or "where the process that serves prints"
        told = f"Address      {running.url}\nProcess      {running.pid}\nDatabase     {database}\nLog          {log}"
    if running and not answers:
        told += "\nIt does not answer. It may be starting or stopping; if that lasts, the log says why"
    found = running or Running(0, "", None)
    data = {"answers": answers, "url": found.url or None, "pid": found.pid or None, "database": database, "log": found.log}
    return Output(data, told, int(not answers))


def _explain_end(text: str) -> str:
    """Return why the service ended before it answered, by what it has printed."""
    reasons = [line.removeprefix("Error: ") for line in text.splitlines() if line.startswith("Error: ")]
    return reasons[-1] if reasons else "The service ended before it answered. The end of its log:\n" + text[-2000:].strip()


def _run_service(log: IO[bytes]) -> Running:
    """Start the service, detached from this process and its terminal; return it when it answers. Raises ClickException."""
    begun, environment = log.tell(), {**os.environ, "SIGMA_DATABASE": _database()}
    output: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
    process = subprocess.Popen([*FLASK, "serve"], cwd=ROOT, env=environment, start_new_session=True, **output)  # noqa: S603
    try:
        running = _wait_until(lambda: _find_answering() or process.poll() is not None, START_TIMEOUT)
        if isinstance(running, Running):
            return running
        log.seek(begun)
        reason = _explain_end(log.read().decode(errors="replace"))
        raise click.ClickException(reason if running else f"No answer within {START_TIMEOUT} seconds; the log is {log.name}")
    except BaseException:
        process.terminate()
        process.wait(END_TIMEOUT)
        raise


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@click.command("start", cls=Command)
@with_appcontext
@prints_plainly
def start() -> Output:
    """Serve in the background, as `flask serve` does, and return when the service answers. One that runs already is left alone.

    The log is beside the database: sigma.db.log.

    Example: SIGMA_PORT=9000 flask start
    """
    database = _database()
    make_database()
    close_db()
    with open(log_path(database), "ab+", opener=_open_private) as log, log_path(database).open("rb") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # of two that start it at once, the second one finds it started
        _wait_until(lambda: _find_answering() or not is_registered(database), END_TIMEOUT)  # it may be starting, or ending
        is_there = is_registered(database)
        running, answers = (find_running(database), bool(_find_answering())) if is_there else (_run_service(log), True)
    output = _describe(running, answers)
    return output._replace(text=("It runs already\n" if is_there else "") + output.text + "\nStop it with `flask stop`")


@click.command("status", cls=Command)
@with_appcontext
@prints_plainly
def status() -> Output:
    """Say whether a service runs on the database, and where. The exit code is 0 if it answers, 1 if not.

    Example: flask status --json
    """
    running = find_running(_database())
    return _describe(running, running is not None and _answers(running))


def _send_signal(running: Running, number: int) -> None:
    with suppress(ProcessLookupError):  # it is gone, and its workers end by themselves
        os.kill(running.pid, number)


@click.command("stop", cls=Command)
@with_appcontext
@prints_plainly
def stop() -> Output:
    """Stop the service that runs on the database, and return when all its processes are gone.

    Example: flask stop
    """
    database = _database()
    close_db()
    running = _wait_until(lambda: find_running(database) or not is_registered(database), END_TIMEOUT)
    if not isinstance(running, Running):
        return Output({"stopped": None}, f"Nothing runs on {database}")
    for number in (signal.SIGTERM, signal.SIGKILL):
        _send_signal(running, number)
        if _wait_until(lambda: not is_registered(database), END_TIMEOUT):
            return Output({"stopped": running.pid}, f"Stopped: nothing runs on {database} any more")
    raise click.ClickException(f"Process {running.pid}, which serves {database}, does not end")


def _find_demo_key(url: str) -> str | None:
    """Return the demo's first API key, beside the demo, if it is still good."""
    if not holds_demo():
        return None
    key: str = read_demo()["apiKeys"][0]["rawKey"]
    if send_request(url, "GET", "/standin/whoami", {"X-Sigma-ApiKey": key}).status == 200:
        return key
    note("The demo's API key is refused. POST /standin/reset makes it good again.")
    return None


@click.command("env", cls=Command)
@click.option("--unset", is_flag=True, help="Print what takes the variables away again.")
@with_appcontext
def env(unset: bool) -> None:
    """Print variables for a shell: where the service on the database is, and beside the demo its API key.

    Example: eval "$(flask env)"
    """
    if unset:
        write_output("unset SIGMA_API_URL SIGMA_API_KEY")
        return
    running = _find_answering()
    if running is None:
        raise click.ClickException(f"No service answers on {_database()}: start it with `flask start`")
    write_output(f"export SIGMA_API_URL={shlex.quote(f'{running.url}/api/v1')}")
    if key := _find_demo_key(running.url):
        write_output(f"export SIGMA_API_KEY={shlex.quote(key)}")
