"""`flask play` and `make demo`: the story of an API key, played in the terminal against a service of its own."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from sigma.cli.serve import send_request
from sigma.cli.server import STOP_TIMEOUT
from sigma.http.errors import CODES
from sigma.http.strict_json import to_json
from sigma.settings import ROOT, StartError
from sigma.standin.demo import read_demo


def start_server(folder: Path, log: Path) -> "subprocess.Popen[bytes]":
    """Start the service on a new demo workspace in a folder. Exits if that cannot be made."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("SIGMA_")}
    port = os.environ.get("SIGMA_PORT") or os.environ.get("PORT") or "0"
    serving = {"SIGMA_HOST": "127.0.0.1", "SIGMA_PORT": port, "SIGMA_WORKERS": "1"}
    environment = {**others, **serving, "SIGMA_DATABASE": str(folder / "demo.db")}
    flask = [sys.executable, "-m", "flask", "--app", "app"]
    if subprocess.run([*flask, "demo"], cwd=ROOT, env=environment, check=False).returncode:  # noqa: S603 (the command is ours)
        sys.exit(1)  # it has printed why
    with log.open("wb") as output:
        # In a session of its own, it does not get a terminal's Ctrl-C as well as the signal to stop.
        options: dict[str, Any] = {"stdout": output, "stderr": output, "start_new_session": True}
        return subprocess.Popen([*flask, "serve"], cwd=ROOT, env=environment, **options)  # noqa: S603


@contextmanager
def demo_server(folder: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Run the service on a demo workspace of its own during the block; yield its URL and process. Raises StartError."""
    log = folder / "log"
    server = start_server(folder, log)
    try:
        while not (ready := re.search(r"^Ready +(\S+)", log.read_text(encoding="utf-8"), re.MULTILINE)):
            if server.poll() is not None:
                raise StartError(log.read_text(encoding="utf-8").strip().removeprefix("Error: "))
            time.sleep(0.05)
        yield ready[1], server
    finally:
        server.terminate()
        try:
            server.wait(STOP_TIMEOUT + 2)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


class Integration(threading.Thread):
    """A program that requests a record again and again, and counts how often that fails."""

    def __init__(self, url: str):
        super().__init__(daemon=True)
        self.url, self.headers, self.stopped = url, dict[str, str](), threading.Event()
        self.requests = self.failed = 0

    def run(self) -> None:
        """Send requests until stopped."""
        while not self.stopped.wait(0.02):
            status, _ = send_request(self.url, "GET", "/records/ent-coastal-wb", self.headers)
            self.failed += status != 200
            self.requests += 1

    def use(self, headers: dict[str, str]) -> None:
        """Switch to a credential; on return, all requests with the previous one have been answered."""
        self.headers, before = headers, self.requests
        if not self.is_alive():
            self.start()
        while self.requests < before + 10:
            time.sleep(0.01)

    def stop(self) -> None:
        """Send no more requests."""
        self.stopped.set()
        self.join()


def format_response(body: Any, members: list[str]) -> list[str]:
    """Return lines that show these members of a body, or of each of its items; of an error, the message."""
    if isinstance(body, list):
        return ["   ".join(format_response(item, members)) for item in body]
    return [f"{name}: " + to_json(body[name]).strip('"') for name in members] or [body["message"]]


class Story:
    """The story of demo.json, as far as it has been played: whose credentials are known, and which ids."""

    def __init__(self, url: str):
        self.url, self.integration = url, Integration(url)
        self.ids, self.headers = dict[str, str](), {"nobody": dict[str, str]()}

    def play_step(self, number: int, step: dict[str, Any], pause: float) -> None:
        """Send a step's request and print it with its response. Raises ClickException for another status than the story's."""
        method, path = step["request"].format(**self.ids).split()
        click.secho(f"\n{number:2}  {step['caption']}", bold=True)
        click.echo(f"    {step['by']}: {method} {path}" + (f"\n    {to_json(step['body'])}" if "body" in step else ""))
        time.sleep(pause / 2)
        status, body = send_request(self.url, method, path, self.headers[step["by"]], step.get("body"))
        if status != step["status"]:
            raise click.ClickException(f"Step {number} was answered with {status}, not with {step['status']}.")
        click.secho(f"    {status} {CODES.get(status, 'OK')}", fg="green" if status < 400 else "red", bold=True)
        click.echo("\n".join(f"    {line}" for line in format_response(body, step.get("show", []))))
        if "gives" in step:
            self.remember(step["gives"], body)

    def remember(self, name: str, body: dict[str, Any]) -> None:
        """Keep the id and the credential of what a request has created, for later steps."""
        self.ids[name] = body.get("id", "")
        token = {"Authorization": f"Bearer {body.get('token')}"}
        self.headers[name] = {"X-Sigma-ApiKey": body["rawKey"]} if "rawKey" in body else token

    def play(self, pause: float) -> None:
        """Play all steps. Raises ClickException where it goes otherwise than it is told."""
        for number, step in enumerate(read_demo()["story"], 1):
            self.play_step(number, step, pause)
            if "integration" in step:
                self.integration.use(self.headers[step["integration"]])
            requests, failed = self.integration.requests, self.integration.failed
            if self.integration.is_alive():
                click.secho(f"    The integration: {requests} requests, {failed} failed", fg="cyan")
            time.sleep(pause)
        self.integration.stop()
        requests, failed = self.integration.requests, self.integration.failed
        click.secho(f"\nThe integration sent {requests} requests; {failed} failed.", bold=True)
        if failed:
            raise click.ClickException("None should have failed.")


@click.command("play")
@click.option("--fast", is_flag=True, help="Make no pauses.")
@click.option("--exit", "exits", is_flag=True, help="Stop the service after the story; otherwise it runs until Ctrl-C.")
def play(fast: bool, exits: bool) -> None:
    """Show in the terminal how an API key is replaced without a failed request. Uses a demo workspace of its own.

    Example: flask play --fast
    """
    if os.environ.get("NO_COLOR"):
        click.get_current_context().color = False
    for number in (signal.SIGTERM, signal.SIGHUP):  # by raising SystemExit, they clean up as well
        signal.signal(number, lambda *_: sys.exit(1))
    click.echo("Starting the service, with a demo workspace of its own …")
    with tempfile.TemporaryDirectory(prefix="sigma-demo-") as folder, demo_server(Path(folder)) as (url, server):
        Story(url).play(0 if fast else 2)
        if sys.stdout.isatty() and not exits:
            logins = ", ".join(f"{user['email']} / {user['password']}" for user in read_demo()["users"])
            with suppress(KeyboardInterrupt):  # from the moment that the words are there
                click.echo(f"\nSigma PIM    {url}/api/v1\nDocs         {url}/docs\nLogins       {logins}\nStop         Ctrl-C")
                server.wait()
