"""The story of a key, played in the terminal."""

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

from sigma.cli.serve import STOP_TIMEOUT, send
from sigma.http.errors import CODES
from sigma.http.strict_json import to_json
from sigma.settings import ROOT, StartError
from sigma.standin.demo import read_demo


@contextmanager
def serving_demo(folder: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Serve a demo workspace of its own during the block; yield its URL and the server. Raises StartError."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("SIGMA_")}
    port = os.environ.get("SIGMA_PORT") or os.environ.get("PORT") or "0"
    serving = {"SIGMA_HOST": "127.0.0.1", "SIGMA_PORT": port, "SIGMA_WORKERS": "1"}
    environment = {**others, **serving, "SIGMA_DATABASE": str(folder / "demo.db")}
    flask, log = [sys.executable, "-m", "flask", "--app", "app"], folder / "log"
    if subprocess.run([*flask, "demo"], cwd=ROOT, env=environment, check=False).returncode:  # noqa: S603 (the command is ours)
        sys.exit(1)  # it has said why
    with log.open("wb") as output:
        command = [*flask, "serve"]
        # In a session of its own, it gets one signal to stop, and not a terminal's Ctrl-C as well.
        options: dict[str, Any] = {"stdout": output, "stderr": output, "start_new_session": True}
        server = subprocess.Popen(command, cwd=ROOT, env=environment, **options)  # noqa: S603
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
    """A program that asks for a record all the time, whatever is done to its key."""

    def __init__(self, url: str):
        super().__init__(daemon=True)
        self.url, self.headers, self.over = url, dict[str, str](), threading.Event()
        self.requests = self.failed = 0

    def run(self) -> None:
        """Ask until it is over, and count what is not answered as it should be."""
        while not self.over.wait(0.02):
            status, _ = send(self.url, "GET", "/records/ent-coastal-wb", self.headers)
            self.failed += status != 200
            self.requests += 1

    def move_to(self, headers: dict[str, str]) -> None:
        """Use another credential; when this returns, what was sent with the one before has been answered."""
        self.headers, before = headers, self.requests
        if not self.is_alive():
            self.start()
        while self.requests < before + 10:
            time.sleep(0.01)


def answer_lines(answer: Any, members: list[str]) -> list[str]:
    """Return how the story shows an answer: these members of it, or of each item; of a refusal, the message."""
    if isinstance(answer, list):
        return ["   ".join(answer_lines(item, members)) for item in answer]
    return [f"{name}: " + to_json(answer[name]).strip('"') for name in members] or [answer["message"]]


def tell_story(url: str, pause: float) -> None:
    """Play the story of demo.json in the terminal. Raises ClickException where it goes otherwise than it is told."""
    integration, ids, headers = Integration(url), dict[str, str](), {"nobody": dict[str, str]()}
    for number, step in enumerate(read_demo()["story"], 1):
        method, path = step["request"].format(**ids).split()
        click.secho(f"\n{number:2}  {step['caption']}", bold=True)
        click.echo(f"    {step['by']}: {method} {path}" + (f"\n    {to_json(step['body'])}" if "body" in step else ""))
        time.sleep(pause / 2)
        status, answer = send(url, method, path, headers[step["by"]], step.get("body"))
        if status != step["status"]:
            raise click.ClickException(f"Step {number} was answered with {status}, not with {step['status']}.")
        click.secho(f"    {status} {CODES.get(status, 'OK')}", fg="green" if status < 400 else "red", bold=True)
        click.echo("\n".join(f"    {line}" for line in answer_lines(answer, step.get("show", []))))
        if "gives" in step:
            ids[step["gives"]] = answer.get("id", "")
            token = f"Bearer {answer.get('token')}"
            headers[step["gives"]] = {"X-Sigma-ApiKey": answer["rawKey"]} if "rawKey" in answer else {"Authorization": token}
        if "integration" in step:
            integration.move_to(headers[step["integration"]])
        if integration.is_alive():
            click.secho(f"    The integration: {integration.requests} requests, {integration.failed} failed", fg="cyan")
        time.sleep(pause)
    integration.over.set()
    integration.join()
    click.secho(f"\nThe integration sent {integration.requests} requests; {integration.failed} failed.", bold=True)
    if integration.failed:
        raise click.ClickException("None should have failed.")


@click.command("play")
@click.option("--fast", is_flag=True, help="Make no pauses.")
@click.option("--exit", "ends", is_flag=True, help="End after the story; otherwise the service stays until Ctrl-C.")
def play(fast: bool, ends: bool) -> None:
    """Play in the terminal how a key is replaced without a failed request, on a demo workspace made for that.

    Example: flask play --fast
    """
    if os.environ.get("NO_COLOR"):
        click.get_current_context().color = False
    for number in (signal.SIGTERM, signal.SIGHUP):  # also then nothing is left behind
        signal.signal(number, lambda *_: sys.exit(1))
    click.echo("Starting the service, with a demo workspace of its own …")
    with tempfile.TemporaryDirectory(prefix="sigma-demo-") as folder, serving_demo(Path(folder)) as (url, server):
        tell_story(url, 0 if fast else 2)
        if sys.stdout.isatty() and not ends:
            logins = ", ".join(f"{user['email']} / {user['password']}" for user in read_demo()["users"])
            click.echo(f"\nSigma PIM    {url}/api/v1\nDocs         {url}/docs\nLogins       {logins}\nEnd          Ctrl-C")
            with suppress(KeyboardInterrupt):
                server.wait()
