"""`flask start`, `status`, `stop` and `env`: a service in the background, one on each database unless more are asked for."""

import fcntl
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

import click
from flask import current_app
from flask.cli import with_appcontext

from sigma.cli.client import send_request
from sigma.cli.commands import FLASK
from sigma.cli.console import (
    NO_WORKSPACE,
    Output,
    errors_told,
    make_database,
    prints_plainly,
    upgrade_database,
    warn_of_unknown_variables,
)
from sigma.cli.files import open_private
from sigma.cli.running import Running, find_running, is_alive, is_one_unsettled, is_registered, log_path
from sigma.cli.terminal import START_WITH_DEMO, Command, hand_on_program, note, stop_command, write_output
from sigma.cli.unpack import MADE_FOR
from sigma.cli.workers import STOP_TIMEOUT
from sigma.database import close_db, fetch_one
from sigma.http.loopback import holds_demo
from sigma.settings import ROOT, is_set, read_setting
from sigma.standin.demo import read_demo

START_TIMEOUT = 60  # seconds; a busy machine may need them
END_TIMEOUT = STOP_TIMEOUT + 6  # seconds until the last process is gone; workers outlive a killed main process for a while
# Seconds to wait for a main process to end after its registration is gone. Without /proc, as on macOS, a zombie that nobody
# reaps seems alive for ever, so the wait is short.
LAST_MOMENT = 2


def _database() -> str:
    return str(current_app.config["DATABASE"])


def _answers(running: Running) -> bool:
    return send_request(running.url, "GET", "/api/v1/healthz", {}).status == 200


def _wait_until(condition: Callable[[], Any], seconds: float) -> Any:
    """Call a function until its result is true or the time is over, and return the last result."""
    deadline = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return result


def _find_wanted() -> list[Running]:
    """Return the services that run on the database: those at the port that a setting names, or all if none names a port."""
    port = read_setting("PORT", current_app.config) if is_set("PORT", current_app.config) else 0
    return [running for running in find_running(_database()) if not port or running.url.endswith(f":{port}")]


def _find_answering() -> Running | None:
    return next(filter(_answers, _find_wanted()), None)


def _how_to_start() -> str:
    upgrade_database()
    has_workspace = os.path.exists(_database()) and fetch_one("SELECT 1 FROM workspaces")  # without, it serves nothing
    if has_workspace:
        return "start it with `flask start`"
    return f"start the demo with {START_WITH_DEMO}, or make a workspace of your own with `flask workspace create`"


def _describe_service(running: Running, answers: bool) -> str:
    log = running.log or "the output of that process"
    text = f"Address      {running.url}\nProcess      {running.pid}\nDatabase     {_database()}\nLog          {log}"
    return text if answers else f"{text}\nIt does not answer. It may be starting or stopping; if that lasts, the log says why"


def _describe(services: list[Running], answering: Running | None = None) -> Output:
    """Return a description of the services on the database; the exit code is 0 if all answer. One may be known to answer."""
    database = _database()
    if not services:
        nothing: dict[str, Any] = {"answers": False, "url": None, "pid": None, "database": database, "log": None, "others": []}
        return Output(nothing, f"Nothing runs on {database}: {_how_to_start()}", 1)
    answers = [running == answering or _answers(running) for running in services]
    texts = list(map(_describe_service, services, answers))
    first, *others = (
        {"answers": is_up, "url": running.url, "pid": running.pid, "database": database, "log": running.log}
        for running, is_up in zip(services, answers, strict=True)
    )
    return Output({**first, "others": others}, "\n\n".join(texts), int(not all(answers)))


def _explain_end(text: str) -> str:
    """Return why the service ended before it answered, taken from its output."""
    reasons = [line.removeprefix("Error: ") for line in text.splitlines() if line.startswith("Error: ")]
    return reasons[-1] if reasons else "The service ended before it answered. The end of its log:\n" + text[-2000:].strip()


def _find_started(pid: int) -> Running | None:
    return next((running for running in find_running(_database()) if running.pid == pid and _answers(running)), None)


def _how_to_serve() -> dict[str, Any]:
    """Return the command of the service, with its folder and environment.

    The one file runs itself once more, because what it unpacked for this command may be removed when the command ends.
    """
    environment = {**os.environ, **hand_on_program(), "SIGMA_DATABASE": _database()}
    if not (ROOT / MADE_FOR).exists():
        return {"args": [*FLASK, "serve"], "cwd": ROOT, "env": environment}
    environment["PYTHONPATH"] = environment["PYTHONPATH"].removeprefix(str(ROOT)).removeprefix(os.pathsep)
    return {"args": [sys.executable, os.path.abspath(sys.argv[0]), "serve"], "cwd": "/", "env": environment}


def _run_service(log: IO[bytes]) -> Running:
    """Start the service, detached from this process and its terminal; return it when it answers. Raises ClickException."""
    log_start, output = log.tell(), {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
    options: dict[str, Any] = {**_how_to_serve(), **output}
    process = subprocess.Popen(**options, start_new_session=True)
    try:
        running = _wait_until(lambda: _find_started(process.pid) or process.poll() is not None, START_TIMEOUT)
        if isinstance(running, Running):
            process.returncode = 0  # it goes on alone; Python would warn of one that nobody has waited for
            return running
        log.seek(log_start)
        reason = _explain_end(log.read().decode(errors="replace"))
        raise click.ClickException(reason if running else f"No answer within {START_TIMEOUT} seconds; the log is {log.name}")
    except BaseException:
        process.terminate()
        process.wait(END_TIMEOUT)
        raise


def _is_decided() -> bool:
    """Return whether one of the wanted services answers, or none is there; False while one is starting or ending."""
    return _find_answering() is not None or not (_find_wanted() or is_one_unsettled(_database()))


@click.command("start", cls=Command)
@with_appcontext
@prints_plainly
def start() -> Output:
    """Serve in the background, and return when the service answers. If a service already runs on the database, start none.

    If SIGMA_PORT names another port, start a second one on the same database. The log is beside the database: sigma.db.log.

    Example: SIGMA_PORT=9000 flask start
    """
    database = _database()
    make_database()
    close_db()
    with open(log_path(database), "ab+", opener=open_private) as log, log_path(database).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # if two commands run at once, the second one finds the service started
        _wait_until(_is_decided, END_TIMEOUT)
        found = _find_wanted()
        answering = _find_answering() if found else _run_service(log)
    running = answering or found[0]
    output = _describe([running, *(other for other in find_running(database) if other.pid != running.pid)], answering)
    hint = f"{NO_WORKSPACE}\n" if answering and not fetch_one("SELECT 1 FROM workspaces") else ""
    end = f"{hint}Stop {'them' if output.data['others'] else 'it'} with {stop_command()}"
    beginning = "It runs already\n" if found else ""
    return output._replace(text=f"{beginning}{output.text}\n{end}")


@click.command("status", cls=Command)
@with_appcontext
@prints_plainly
def status() -> Output:
    """Say which services run on the database, and where. The exit code is 0 if all of them answer, 1 if not or if none runs.

    Example: flask status --json
    """
    return _describe(find_running(_database()))


def _send_signal(running: Running, number: int) -> None:
    with suppress(ProcessLookupError):  # the main process is gone, and its workers end by themselves
        os.kill(running.pid, number)


@click.command("stop", cls=Command)
@with_appcontext
@prints_plainly
def stop() -> Output:
    """Stop the services that run on the database, and return when all their processes are gone.

    Example: flask stop
    """
    database = _database()
    close_db()
    _wait_until(lambda: find_running(database) or not is_registered(database), END_TIMEOUT)
    services = find_running(database)
    if not services:
        return Output({"stopped": []}, f"Nothing runs on {database}")
    names = " and ".join(f"{running.url} (process {running.pid})" for running in services)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for running in find_running(database):
            _send_signal(running, number)
        if _wait_until(lambda: not is_registered(database), END_TIMEOUT):
            _wait_until(lambda: not any(is_alive(running.pid) for running in services), LAST_MOMENT)
            message = f"Stopped {names}: nothing runs on {database} any more"
            return Output({"stopped": [running.pid for running in services]}, message)
    raise click.ClickException(f"{database} is still served by {names}, which could not be stopped")


def _find_demo_key(url: str) -> str | None:
    """Return the demo's first API key if the database holds the demo and the service accepts the key, else None."""
    if not holds_demo():
        return None
    key: str = read_demo()["apiKeys"][0]["rawKey"]
    if send_request(url, "GET", "/standin/whoami", {"X-Sigma-ApiKey": key}).status == 200:
        return key
    note("The demo's API key is refused. POST /standin/reset brings it back.")
    return None


@click.command("env", cls=Command)
@click.option("--unset", is_flag=True, help="Print the command that removes the variables.")
@with_appcontext
@errors_told()
def env(unset: bool) -> None:
    """Print variables for a shell: the address of the service on the database, and the API key of the demo if it is there.

    Example: eval "$(flask env)"
    """
    if unset:
        write_output("unset SIGMA_API_URL SIGMA_API_KEY")
        return
    warn_of_unknown_variables()
    running = _find_answering()
    if running is None:
        write_output("unset SIGMA_API_URL; false")  # for a shell that evaluates it: else a former address would stay
        raise click.ClickException(f"No service answers on {_database()}: {_how_to_start()}")
    write_output(f"export SIGMA_API_URL={shlex.quote(f'{running.url}/api/v1')}")
    if key := _find_demo_key(running.url):
        write_output(f"export SIGMA_API_KEY={shlex.quote(key)}")
