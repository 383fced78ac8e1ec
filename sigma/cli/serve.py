"""Serving: the server, and the processes that it runs."""

import fcntl
import http.client
import json
import math
import os
import select
import signal
import socket
import struct
import sys
import termios
import time
from contextlib import closing, suppress
from typing import Any

import click
from flask import Flask, current_app

from sigma.cli import commands
from sigma.database import close_db, fetch_one
from sigma.http.bodies import BODY_TIMEOUT, Waiting, _awaited
from sigma.http.loopback import is_loopback
from sigma.http.strict_json import to_json
from sigma.settings import ROOT, StartError, read_setting
from sigma.standin.demo import read_demo

STOP_TIMEOUT = 8  # seconds for requests in flight: more than a write waits, less than Docker does before it kills


def require_private_demo(host: str) -> None:
    """Raise StartError before demo data is served where others can reach it, unless a setting allows that."""
    config = current_app.config
    if is_loopback(host) or config["ALLOW_PUBLIC_DEMO"] or not fetch_one("SELECT 1 FROM workspaces WHERE is_demo"):
        return
    raise StartError(
        f"{config['DATABASE']} holds the demo workspace, whose passwords and keys are public, and others can reach {host}."
        " Serve another database (SIGMA_DATABASE), or on 127.0.0.1, or set SIGMA_ALLOW_PUBLIC_DEMO=1."
    )


def require_free_port(host: str, port: int) -> None:
    """Raise StartError for an address that is in use: granian would share it, and each server answer some requests."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what a server left behind a moment ago does not count
        try:
            probe.bind((host.strip("[]"), port))
        except OSError as error:
            raise StartError(
                f"Cannot serve on {host}, port {port}: {error.strerror}. Choose others with SIGMA_HOST and SIGMA_PORT."
            ) from None


def take_free_port(host: str) -> int:
    """Return a port that is free, and keep it so for the server that this process becomes.

    The socket stays open, without listening; the server binds its own beside it, and nobody else gets the port meanwhile.
    """
    keeper = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as granian does
    keeper.bind((host.strip("[]"), 0))
    port: int = keeper.getsockname()[1]
    os.set_inheritable(keeper.detach(), True)
    return port


def send(url: str, method: str, path: str, headers: dict[str, str], body: Any = None) -> tuple[int, Any]:
    """Send a request to the API, and answer the status and the body, 0 and None if none comes."""
    data = None if body is None else to_json(body).encode()
    try:
        with closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)) as connection:
            connection.request(method, f"/api/v1{path}", data, {**headers, "Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
    except (OSError, http.client.HTTPException):
        return 0, None


def announce_when_ready(url: str) -> None:
    """Leave a process behind that says when the server, which this one becomes, answers.

    It has no parent, because the server would not wait for a child that it does not know. The server holds the writing end
    of a pipe without knowing it either: when that closes, there is nothing to be announced any more.
    """
    over, alive = os.pipe()
    os.set_inheritable(alive, True)
    if child := os.fork():
        os.waitpid(child, 0)
        return
    try:
        if not os.fork():
            os.close(alive)
            pause = 0.02
            while not select.select([over], [], [], pause)[0]:
                if send(url, "GET", "/healthz", {})[0] == 200:
                    click.echo(f"Ready        {url}")
                    break
                pause = min(1, pause * 1.1)
    finally:
        os._exit(0)


@commands.command("serve")
def serve() -> None:
    """Serve on SIGMA_HOST and SIGMA_PORT with SIGMA_WORKERS processes, and print `Ready <url>` when the service answers.

    Example: SIGMA_PORT=9000 flask serve
    """
    config = current_app.config
    host, port, workers = (read_setting(name, config) for name in ("HOST", "PORT", "WORKERS"))
    require_private_demo(host)
    require_free_port(host, port)
    port = port or take_free_port(host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    click.echo(f"Sigma PIM    {url}/api/v1\nDocs         {url}/docs\nDatabase     {config['DATABASE']}")
    if fetch_one("SELECT 1 FROM workspaces WHERE is_demo"):
        demo = read_demo()
        user, key = demo["users"][0], demo["apiKeys"][0]
        click.echo(f"Demo login   {user['email']} / {user['password']}")
        click.echo(f"Demo key     X-Sigma-ApiKey: {key['rawKey']}  ({', '.join(key['permissions'])})")
    elif not fetch_one("SELECT 1 FROM workspaces"):
        click.echo("No workspace yet: make one with `flask workspace create`")
    close_db()
    announce_when_ready(url)
    # One blocking thread a worker is the fastest. Variables named HTTP_… would reach the WSGI environment, where they
    # look like headers of every request.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HTTP_")}
    environment.update(SIGMA_DATABASE=config["DATABASE"], PYTHONPATH=str(ROOT))
    options = {
        "interface": "wsgi",
        "host": host,
        "port": port,
        "workers": workers,
        "blocking-threads": 1,
        "log-level": "warning",
        "http": "1",  # over HTTP/2, granian resets a request whose body is not read, and its refusal is lost
        "workers-kill-timeout": STOP_TIMEOUT,
    }
    arguments = [argument for name, value in options.items() for argument in (f"--{name}", str(value))]
    arguments += ["--no-ws", "--respawn-failed-workers", "--factory", "app:create_worker_app"]
    os.execve(sys.executable, [sys.executable, "-m", "granian", *arguments], environment)  # noqa: S606 (no shell is meant)


def end_with(parent: int) -> None:
    """Stop this process when the one that started it is gone; it would go on serving, and keep the port from the next."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_TIMEOUT)
    os._exit(1)


PATIENCE = 2  # seconds more, after which it counts less whether a client may be another one


def sent_and_came(connection: socket.socket) -> tuple[float, float]:
    """Return for how many seconds nothing has been sent over a connection, and for how many nothing has come."""
    if sys.platform != "linux":
        return math.inf, math.inf  # it does not tell: any client at an address may be the one that is waited for
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 56)  # struct tcp_info of linux/tcp.h
    last_data_sent, _, last_data_recv = struct.unpack_from("=3I", info, 44)
    return last_data_sent / 1000, last_data_recv / 1000


def has_unsent(connection: socket.socket) -> bool:
    """Return whether there is something that the client at a connection has not taken yet."""
    if sys.platform != "linux":
        return True  # another system may not tell
    (count,) = struct.unpack("=i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))
    return bool(count)


def keeps_waiting(connection: socket.socket, waiting: Waiting, seconds: float) -> bool:
    """Return whether it may be for this client at an address that a thread has been waiting for so many seconds.

    When a body is waited for, others may wait for the same thread. At first only those count who have been silent all the
    time, and to whom nothing was sent, except perhaps a "100 Continue" at the beginning; then also those who have sent
    something. In the end all do: what was sent may be the rest of an earlier answer, or sent again because the network has
    failed. When an answer is to be taken, the client is one who has not taken what was sent.
    """
    peer = connection.getpeername()
    if not isinstance(peer, tuple) or peer[0].partition("%")[0] != waiting.address:
        return False
    if not waiting.for_body:
        return has_unsent(connection)
    sent, came = sent_and_came(connection)
    may_have_sent, may_be_anyone = (seconds > BODY_TIMEOUT + times * PATIENCE for times in (1, 2))
    return may_be_anyone or (sent > seconds - 0.5 and (may_have_sent or came > BODY_TIMEOUT))


def hang_up(waiting: Waiting, seconds: float) -> int:
    """End this process's connections to clients of whom keeps_waiting() is true, and answer how many they were.

    Their descriptors are the server's, which does not say which one a request comes over: none is closed here, nor is a
    copy of one, which for a database's file would drop SQLite's locks.
    """
    ended = 0
    for number in map(int, os.listdir("/dev/fd")):
        with suppress(OSError):  # it is no socket, or closed meanwhile
            connection = socket.socket(fileno=number)
            try:
                if keeps_waiting(connection, waiting, seconds):
                    connection.shutdown(socket.SHUT_RDWR)
                    ended += 1
            finally:
                connection.detach()
    return ended


def hang_up_on_half_requests(app: Flask) -> None:
    """Hang up on clients who do not send all of a body in time, or do not take an answer: granian would wait forever."""
    while True:
        time.sleep(1)
        for waiting in list(_awaited.values()):
            waited = time.monotonic() - waiting.since
            with suppress(OSError):  # no descriptor is left to look at the others; the next look may have one
                if waited > BODY_TIMEOUT and (ended := hang_up(waiting, waited)):
                    done = "sent only a part" if waiting.for_body else "took only a part of the answer"
                    message = "%s was hung up on (%d): of request %s it %s"
                    app.logger.warning(message, waiting.address, ended, waiting.request_id, done)
