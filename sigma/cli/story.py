"""`flask play` and `make demo`: the story of an API key and of a webhook, played in the terminal beside the console.

It runs two services on one new database, each a single process on its own port. So the story shows that a change made through
one counts at once in the other, and the console still has a journal, which needs a single process: that of the first service.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from sigma.cli.client import send_request
from sigma.cli.commands import FLASK
from sigma.cli.integration import Integration, describe_status, wait_for
from sigma.cli.ports import is_held
from sigma.cli.receiver import SECRET, Receiver, receiving
from sigma.cli.stage import Stage, fit
from sigma.cli.terminal import Command, note, write_text
from sigma.cli.workers import STOP_TIMEOUT
from sigma.http.errors import CODES, ERRORS
from sigma.http.strict_json import to_json
from sigma.settings import ROOT, StartError, read_setting
from sigma.standin.demo import read_demo


def choose_port() -> str:
    """Return the port to serve on: that of the settings, or "0" for any free one if another program holds it.

    Raises StartError for a setting that is no port.
    """
    port = read_setting("PORT", {})
    if port and is_held(port):
        write_text(f"Port {port} is taken; using another.")
        return "0"
    return str(port)


STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Delay signals to stop until the block is over, so that everything it makes is cleaned up."""
    received: list[int] = []
    handlers = {number: signal.signal(number, lambda sent, _: received.append(sent)) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder that is removed after the block, even if a signal ends it."""
    folder = None
    try:
        with undisturbed():
            folder = tempfile.mkdtemp(prefix="sigma-demo-")
        yield Path(folder)
    finally:
        with undisturbed():
            if folder:
                shutil.rmtree(folder)


def make_environment(database: Path, port: str) -> dict[str, str]:
    """Return the environment of a process that serves a database on a port, without the settings of this process."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("SIGMA_")}
    serving = {"SIGMA_HOST": "127.0.0.1", "SIGMA_PORT": port, "SIGMA_WORKERS": "1"}
    return {**others, **serving, "SIGMA_DATABASE": str(database)}


def stop_server(server: "subprocess.Popen[bytes]") -> None:
    """Stop a process of the service; kill it and its children if it does not end in time."""
    server.terminate()
    try:
        server.wait(STOP_TIMEOUT + 2)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def wait_for_url(server: "subprocess.Popen[bytes]", log: Path) -> str:
    """Return the URL of a process of the service, as soon as it answers. Raises StartError."""
    while not (ready := re.search(r"^Ready +(\S+)", log.read_text(encoding="utf-8"), re.MULTILINE)):
        if server.poll() is not None:
            raise StartError(log.read_text(encoding="utf-8").strip().removeprefix("Error: "))
        time.sleep(0.05)
    return ready[1]


@contextmanager
def demo_server(folder: Path, name: str, port: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Run a process of the service during the block; yield its URL and the process. Raises StartError."""
    log, environment, server = folder / f"log-{name}", make_environment(folder / "demo.db", port), None
    try:
        with log.open("wb") as output, undisturbed():
            # In its own session, it gets only the signal to stop, and not also the terminal's Ctrl-C.
            options: dict[str, Any] = {"stdout": output, "stderr": output, "start_new_session": True}
            server = subprocess.Popen([*FLASK, "serve"], cwd=ROOT, env=environment, **options)  # noqa: S603 (it is ours)
        yield wait_for_url(server, log), server
    finally:
        with undisturbed():
            if server:
                stop_server(server)


@contextmanager
def demo_servers() -> Iterator[tuple[dict[str, str], "subprocess.Popen[bytes]"]]:
    """Run two services on a new demo workspace during the block; yield their URLs and the first process. Exits on failure."""
    port = choose_port()
    with temporary_folder() as folder:
        environment = make_environment(folder / "demo.db", port)
        options: dict[str, Any] = {"cwd": ROOT, "env": environment, "stderr": subprocess.PIPE, "text": True}
        made = subprocess.run([*FLASK, "demo"], check=False, **options)  # noqa: S603 (it is ours)
        if made.returncode:
            note(made.stderr, nl=False)
            sys.exit(1)
        with demo_server(folder, "A", port) as (first, server), demo_server(folder, "B", "0") as (second, _):
            yield {"A": first, "B": second}, server


def format_member(name: str, value: Any) -> str:
    """Return a member's value in one line; for `attempts`, only the statuses."""
    return ", ".join(str(attempt["status"]) for attempt in value) if name == "attempts" else to_json(value).strip('"')


def format_response(body: Any, members: list[str]) -> list[str]:
    """Return lines that show these members of a body, or of each of its items; without members, the message of an error."""
    if members and "items" in body:
        body = body["items"]
    if isinstance(body, list):
        return ["   ".join(format_response(item, members)) for item in body]
    if body is None:
        return []
    return [f"{name}: {format_member(name, body[name])}" for name in members] or [body["message"]]


def explain_status(status: int) -> str:
    """Return a status with its meaning; for an error, the code and its meaning in the API's documentation."""
    code = CODES.get(status)
    return f"{status} {code}: {ERRORS[code].meaning}" if code else describe_status(status)


class Story:
    """The story of demo.json while it is played: it keeps the ids and credentials that earlier steps have made."""

    def __init__(self, urls: dict[str, str], receiver: Receiver, pause: float, waits_for_enter: bool):
        self.urls, self.receiver, self.integration = urls, receiver, Integration(list(urls.values()), 0.1 if pause else 0.02)
        self.stage = Stage(self.integration.describe, pause, waits_for_enter)
        self.ids, self.headers = {"receiver": receiver.url, "secret": SECRET}, {"nobody": dict[str, str]()}

    def fill_in(self, step: dict[str, Any]) -> dict[str, Any]:
        """Return a step in which names in braces are replaced by the ids known so far."""
        return json.loads(re.sub(r"{([a-z ]+)}", lambda name: self.ids.get(name[1], name[0]), to_json(step)))

    def await_effects(self, step: dict[str, Any]) -> list[Callable[[], bool]]:
        """Return a function for each effect that a step's request should have, which tells whether it has come about."""
        conditions = [self.integration.gets(**step["integrationGets"])] if "integrationGets" in step else []
        return [*conditions, self.receiver.gets(step["receiverAnswers"])] if "receiverAnswers" in step else conditions

    def play_step(self, step: dict[str, Any]) -> None:
        """Send a step's request, and show it with its response and effects. Raises ClickException if one is not as told."""
        step, show = self.fill_in(step), self.stage.show
        method, path = step["request"].split(" ", 1)
        show(f"\n{step['caption']}", bold=True)
        show(f"    {step['by']}: {method} {path}" + (f"\n    {to_json(step['body'])}" if "body" in step else ""))
        self.stage.wait(self.stage.pause / 2)
        if step.get("stopsIntegration"):
            self.integration.stop()
        conditions, delivery_count = self.await_effects(step), len(self.receiver.received)
        url = self.urls[step.get("process", "A")]
        status, body, _ = send_request(url, method, path, self.headers[step["by"]], step.get("body"))
        if status != step["status"]:
            raise click.ClickException(f"{method} {path} was answered with {status}, not with {step['status']}.")
        show(f"    {explain_status(status)}", fg="green" if status < 400 else "red", bold=True)
        for line in format_response(body, step.get("show", [])):
            show(f"    {line}")
        if "gives" in step:
            self.remember(step["gives"], body)
        if "integration" in step:
            conditions.append(self.integration.use(self.headers[step["integration"]]))
        if not all(wait_for(condition, self.stage.wait) for condition in conditions):
            raise click.ClickException(f"The expected effect did not follow. {self.integration.describe()}")
        for delivery in self.receiver.received[delivery_count:]:
            show(f"    {delivery.describe()}", fg="green" if delivery.status < 400 else "red")
            self.ids["delivery"] = delivery.id
        self.stage.wait(self.stage.pause / 2)

    def remember(self, name: str, body: dict[str, Any]) -> None:
        """Keep the id and the credential that a request has created, for later steps."""
        self.ids[name] = body.get("id", "")
        token = {"Authorization": f"Bearer {body.get('token')}"}
        self.headers[name] = {"X-Sigma-ApiKey": body["rawKey"]} if "rawKey" in body else token

    def play(self) -> None:
        """Play all acts. Raises ClickException if something happens that the story does not tell."""
        acts = read_demo()["story"]
        titles = [f"{number}. {act['title']}" for number, act in enumerate(acts, 1)]
        self.stage.end_act(titles[0])
        for act, title, next_title in zip(acts, titles, [*titles[1:], "the end"], strict=True):
            self.stage.show(f"\n{title}", bold=True, fg="blue")
            for step in act["steps"]:
                self.play_step(step)
            self.stage.end_act(next_title)
        total, failed = self.integration.requests, self.integration.failed
        self.stage.show(f"\nThe integration sent {total} requests; {failed} failed.", bold=True)
        if failed:
            raise click.ClickException("None should have failed.")


def print_places(urls: dict[str, str]) -> None:
    """Print the addresses of both services, and how to sign in."""
    logins = ", ".join(f"{user['email']} / {user['password']}" for user in read_demo()["users"])
    write_text(f"\nConsole      {urls['A']}/console", bold=True)
    write_text(f"Sigma PIM    {urls['A']}/api/v1\nDocs         {urls['A']}/docs\nLogins       {logins}")
    write_text(fit(f"Processes    A is {urls['A']}, B is {urls['B']}, on one database; the console's requests are those of A"))
    write_text("Stop         Ctrl-C")


@click.command("play", cls=Command)
@click.option("--auto", is_flag=True, help="Go from act to act without waiting for Enter.")
@click.option("--fast", is_flag=True, help="Like --auto, and without pauses.")
@click.option("--exit", "exits", is_flag=True, help="Stop the service after the story; otherwise it runs until Ctrl-C.")
def play(auto: bool, fast: bool, exits: bool) -> None:
    """Play the story of an API key and a webhook in the terminal, beside the console. It uses its own demo workspace.

    Example: flask play --auto
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in STOPPING[1:]:  # SystemExit lets the context managers clean up
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        _play(auto, fast, exits)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C changes nothing
        note("\nStopped. The service and its demo workspace are gone.")
        sys.exit(130)


def _play(auto: bool, fast: bool, exits: bool) -> None:
    write_text("Starting the service, with a demo workspace of its own …")
    with demo_servers() as (urls, server), receiving() as receiver:
        print_places(urls)
        story = Story(urls, receiver, 0 if fast else 2, waits_for_enter=not auto and not fast)
        try:
            story.play()
        finally:
            story.integration.stop()
        if sys.stdout.isatty() and not exits:
            with suppress(KeyboardInterrupt):  # as soon as the text invites it
                write_text("\nThe service keeps running for the console and the docs, until Ctrl-C.")
                server.wait()
