"""The service as clients meet it: over sockets, beside a bare Flask application and beside its peers."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from load import Target, seconds_each_answer
from measuring import Figure, MissingError, alternate, ratio
from servers import PEER_COMMANDS, bare_flask, canned, fetch, flask_serve, running, start_peer
from wsgi import database, make_record, make_service

# That one server is asked in one round, by connections: long enough that what the others left in the processor's caches
# is a small part of it.
SECONDS = {16: 0.6, 1: 0.2}


def make_database(folder: Path) -> str:
    """Make the service's database, and the record that the peers are to serve; answer its id."""
    text = make_record(make_service(folder / "service.db"))
    database.close_db()
    (folder / "record.json").write_bytes(text)
    return json.loads(text)["id"]


def start_all(folder: Path, stack: ExitStack) -> tuple[dict[str, Target], dict[str, MissingError]]:
    """Start every server, to end with the stack; answer those that run, and why the others do not."""
    id, missing = make_database(folder), {}
    commands = {
        "service": flask_serve(folder / "service.db", f"/api/v1/records/{id}"),
        "bare": bare_flask(),
        "canned": canned(),
    }
    targets = {name: stack.enter_context(running(command)) for name, command in commands.items()}
    for name in PEER_COMMANDS:
        try:
            targets[name] = start_peer(name, folder, id, stack)
        except MissingError as error:
            missing[name] = error
    return targets, missing


def check_answers(targets: dict[str, Target], folder: Path) -> None:
    """Raise RuntimeError unless the service and its peers serve the same record, and all but json-server ask for a key."""
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    for name in targets.keys() - {"bare", "canned"}:
        status, answer = fetch(targets[name])
        if status != 200 or json.loads(answer) != record:
            raise RuntimeError(f"{name} serves another record: {status} {answer!r}")
        status, answer = fetch(targets[name]._replace(headers={}))
        if status == 200 and name != "json-server":
            raise RuntimeError(f"{name} asks for no key")


def load_batch(target: Target, connections: int) -> Callable[[], float]:
    """Prepare asking one server."""
    return lambda: seconds_each_answer(target, connections, SECONDS[connections])


def measure(folder: Path, rounds: int) -> dict[str, Figure | MissingError]:
    """Return this part's figures: how many times as many answers the service gives as another server."""
    with ExitStack() as stack:
        targets, missing = start_all(folder, stack)
        check_answers(targets, folder)
        seconds = alternate(
            {(name, number): load_batch(target, number) for number in SECONDS for name, target in targets.items()}, rounds
        )
    others = [name for name in targets if name not in ("service", "canned")]
    figures: dict[str, Figure | MissingError] = {
        f"{name}-{number}": ratio(seconds[name, number], seconds["service", number]) for number in SECONDS for name in others
    }
    figures |= {f"{name}-{number}": error for number in SECONDS for name, error in missing.items()}
    fastest = [min(answers) for answers in zip(*(seconds[name, 16] for name in ["service", *others]), strict=True)]
    return {**figures, "generator": ratio(fastest, seconds["canned", 16])}
