"""Servers as they are really started: the service, a bare Flask application beside it, and the peers."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from load import Target
from measuring import MissingError
from wsgi import KEY, new_record

HERE = Path(__file__).resolve().parent
PEERS = HERE.parents[1] / ".venv-bench"
STARTING = 30  # seconds that a server may take to start


class Command(NamedTuple):
    """How a server is started, what it is asked for then, and what is posted to it, if it takes anything."""

    arguments: list[str]
    environment: dict[str, str]
    target: Target
    writing: Target | None = None


class Server(NamedTuple):
    """A server that runs: what it is asked for, and what is posted to it."""

    reading: Target
    writing: Target | None


def free_port() -> int:
    """Return a port that nobody uses."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def fetch(target: Target) -> tuple[int, bytes]:
    """Ask once, on a connection of its own; answer the status and the body."""
    with closing(http.client.HTTPConnection("127.0.0.1", target.port, timeout=10)) as connection:
        connection.request("GET", target.path, headers=target.headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


@contextmanager
def running(command: Command, log: Path | None = None) -> Iterator[Target]:
    """Start a server, wait for its first 200, and end it and its workers whatever happens.

    Its output goes to the log, or nowhere. Raises RuntimeError when it does not start.
    """
    with open(log or os.devnull, "wb") as output:
        process = subprocess.Popen(
            command.arguments,
            cwd=HERE.parents[1],
            env=command.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until_ready(process, command.target)
        yield command.target
    finally:
        end(process)


def wait_until_ready(process: subprocess.Popen, target: Target) -> None:
    """Wait for the first 200. Raises RuntimeError when none comes."""
    answer, until = None, time.monotonic() + STARTING
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"it ended with status {process.returncode}")
        with suppress(OSError, http.client.HTTPException):
            answer = fetch(target)
            if answer[0] == 200:
                return
        time.sleep(0.001)
    raise RuntimeError(f"it did not answer {target.path} with 200 within {STARTING} seconds, but with {answer}")


def end(process: subprocess.Popen) -> None:
    """End a server, and what it has started."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5)
    with suppress(ProcessLookupError):  # it has left nothing behind
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


# == The service, and bare Flask on the same server ==


def new_body() -> bytes:
    """Return the body of a record that nobody has yet, with an EAN that nobody has."""
    return json.dumps(new_record()).encode()


def flask_serve(database: Path, path: str, workers: int = 1) -> Command:
    """Return how people start the service."""
    port, key = free_port(), {"X-Sigma-ApiKey": KEY}
    arguments = [sys.executable, "-m", "flask", "--app", "app", "serve"]
    environment = {**os.environ, "SIGMA_DATABASE": str(database), "PORT": str(port), "WORKERS": str(workers)}
    return Command(arguments, environment, Target(port, path, key), Target(port, "/api/v1/records", key, new_body))


def bare_flask() -> Command:
    """Return how to start a bare Flask application on the same server, with the same options."""
    port = free_port()
    options = {"interface": "wsgi", "blocking-threads": 1, "http": "1", "log-level": "warning", "port": port}
    arguments = [f"--{name}={value}" for name, value in options.items()]
    arguments += ["--no-ws", "--respawn-failed-workers", "--factory", "bare_flask:create_app"]
    environment = {**os.environ, "PYTHONPATH": str(HERE / "peers")}
    return Command([sys.executable, "-m", "granian", *arguments], environment, Target(port, "/records/ent-rain-hat", {}))


def canned() -> Command:
    """Return how to start the server that does nothing, which shows what the load generator is capable of."""
    port = free_port()
    arguments = [sys.executable, str(HERE / "peers" / "canned.py"), str(port)]
    return Command(arguments, dict(os.environ), Target(port, "/", {}))


# == Peers ==


def what_went_wrong(log: Path) -> str:
    """Return the line of a log that says it best: the first that speaks of an error, else the last."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
    return next((line for line in lines if "error" in line.lower()), lines[-1] if lines else f"nothing is in {log}")


def installed(name: str, log: str) -> str:
    """Return the path of a peer's program. Raises MissingError with the reason that installing it left in the log."""
    program = PEERS / name
    if not program.exists():
        raise MissingError(f"not installed: {what_went_wrong(PEERS / log)}")
    return str(program)


def prepare_python_peer(name: str, folder: Path) -> tuple[dict[str, str], str]:
    """Let a peer make its database; answer its environment and a key."""
    environment = {**os.environ, "BENCH_FOLDER": str(folder), "PYTHONPATH": str(HERE / "peers")}
    arguments = [installed("bin/python", "python.log"), str(HERE / "peers" / f"{name}.py")]
    return environment, run_preparation(arguments, environment)


def run_preparation(arguments: list[str], environment: dict[str, str]) -> str:
    """Run what makes a peer's database, and return what it prints. Raises MissingError when it fails."""
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"its database could not be made: {(done.stderr.strip().splitlines() or ['no output'])[-1]}")
    return done.stdout.strip()


def django_rest(folder: Path, id: str) -> Command:
    """Return how to start Django REST framework, on gunicorn's synchronous workers."""
    program, port = installed("bin/gunicorn", "python.log"), free_port()
    environment, key = prepare_python_peer("django_rest", folder)
    arguments = [program, "--workers", "2", "--bind", f"127.0.0.1:{port}", "django_rest:application"]
    return Command(arguments, environment, Target(port, f"/records/{id}", {"Authorization": f"Api-Key {key}"}))


def fastapi_sqlite(folder: Path, id: str, application: str = "app") -> Command:
    """Return how to start FastAPI, on one uvicorn worker with its fast event loop and parser, without a log."""
    program, port = installed("bin/uvicorn", "python.log"), free_port()
    environment, key = prepare_python_peer("fastapi_sqlite", folder)
    options = ["--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    reading = Target(port, f"/records/{id}", {"X-Api-Key": key})
    writing = Target(port, "/records", {"X-Api-Key": key}, new_body)
    return Command([program, *options, f"fastapi_sqlite:{application}"], environment, reading, writing)


def fastapi_threads(folder: Path, id: str) -> Command:
    """Return how to start FastAPI with plain endpoints, which it calls in threads; a folder of its own has its database."""
    own = folder / "threads"
    own.mkdir()
    shutil.copy(folder / "record.json", own)
    return fastapi_sqlite(own, id, "threads")


def pocketbase(folder: Path, id: str) -> Command:
    """Return how to start PocketBase, whose record has an id of its own."""
    program, port = installed("bin/pocketbase", "pocketbase.log"), free_port()
    environment = {**os.environ, "BENCH_FOLDER": str(folder), "PYTHONPATH": str(HERE / "peers")}
    own = folder / "pocketbase"
    arguments = [sys.executable, str(HERE / "peers" / "pocketbase.py"), program, str(port)]
    key, own_id = run_preparation(arguments, environment).split()
    options = [f"--http=127.0.0.1:{port}", f"--dir={own}/data", f"--hooksDir={own}/hooks"]
    path, headers = "/api/collections/records/records", {"X-Api-Key": key}
    return Command(
        [program, "serve", *options],
        environment,
        Target(port, f"{path}/{own_id}", headers),
        Target(port, path, headers, pocket_body),
    )


def pocket_body() -> bytes:
    """Return the body of a record that nobody has yet, as PocketBase takes it: it gives the id."""
    record = new_record()
    return json.dumps({**record, "id": "", "ean": record["values"]["ean"][0]["value"]}).encode()


def json_server(folder: Path, id: str) -> Command:
    """Return how to start json-server, which asks for no key, without its log."""
    program, port = installed("node_modules/.bin/json-server", "node.log"), free_port()
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    (folder / "json-server.json").write_text(json.dumps({"records": [record]}), encoding="utf-8")
    options = ["--host", "127.0.0.1", "--port", str(port), "--quiet"]
    environment = {**os.environ, "NODE_ENV": "production"}
    return Command([program, *options, str(folder / "json-server.json")], environment, Target(port, f"/records/{id}", {}))


PEER_COMMANDS: dict[str, Callable[[Path, str], Command]] = {
    "django": django_rest,
    "fastapi": fastapi_sqlite,
    "fastapi-threads": fastapi_threads,
    "pocketbase": pocketbase,
    "json-server": json_server,
}


def start(command: Command, stack: ExitStack, log: Path | None = None) -> Server:
    """Start a server, which ends with the stack. Raises RuntimeError when it does not start."""
    return Server(stack.enter_context(running(command, log)), command.writing)


def start_peer(name: str, folder: Path, id: str, stack: ExitStack) -> Server:
    """Start a peer, which ends with the stack. Raises MissingError when it cannot be started."""
    command, log = PEER_COMMANDS[name](folder, id), folder / f"{name}.log"
    try:
        return start(command, stack, log)
    except (OSError, RuntimeError) as error:
        raise MissingError(f"not started: {error}; {what_went_wrong(log)}") from error
