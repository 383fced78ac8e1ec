"""The service as clients meet it: over sockets, beside a bare Flask application and beside its peers, reading and writing."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from load import Load, Target, put_load
from measuring import Figure, MissingError, alternate, median, ratio
from servers import PEER_COMMANDS, Server, bare_flask, canned, fetch, flask_serve, start, start_peer
from wsgi import database, make_deployment, make_record

# How long one server is asked in one round, by connections: so long that what the others left in the processor's caches
# is a small part of it.
SECONDS = {16: 0.6, 1: 0.2}
KEYLESS = ("bare", "canned", "json-server")


def make_database(folder: Path) -> str:
    """Make the service's database, and the record that the peers are to serve; answer its id."""
    text = make_record(make_deployment(folder / "service.db"))
    database.close_db()
    (folder / "record.json").write_bytes(text)
    return json.loads(text)["id"]


def start_all(folder: Path, stack: ExitStack) -> tuple[dict[str, Server], dict[str, MissingError]]:
    """Start every server, to end with the stack; answer those that run, and why the others do not."""
    id, missing = make_database(folder), {}
    commands = {
        "service": flask_serve(folder / "service.db", f"/api/v1/records/{id}"),
        "bare": bare_flask(),
        "canned": canned(),
    }
    servers = {name: start(command, stack) for name, command in commands.items()}
    for name in PEER_COMMANDS:
        try:
            servers[name] = start_peer(name, folder, id, stack)
        except MissingError as error:
            missing[name] = error
    return servers, missing


def check_answers(servers: dict[str, Server], folder: Path) -> None:
    """Raise RuntimeError unless the service and its peers serve the same values, and all but json-server ask for a key."""
    values = json.loads((folder / "record.json").read_text(encoding="utf-8"))["values"]
    for name in servers.keys() - {"bare", "canned"}:
        target = servers[name].reading
        status, answer = fetch(target)
        if status != 200 or json.loads(answer)["values"] != values:
            raise RuntimeError(f"{name} serves another record: {status} {answer!r}")
        status, answer = fetch(target._replace(headers={}))
        if status == 200 and name not in KEYLESS:
            raise RuntimeError(f"{name} asks for no key")


def prepare_load(target: Target, connections: int) -> Callable[[], Load]:
    """Prepare asking one server."""
    return lambda: put_load(target, connections, SECONDS[connections])


def measure_in_turns(targets: dict[str, Target], rounds: int) -> dict[tuple[str, int], list[Load]]:
    """Return what each server did in each round, for each number of connections."""
    batches = {(name, number): prepare_load(target, number) for number in SECONDS for name, target in targets.items()}
    return alternate(batches, rounds)


def compare(loads: dict[tuple[str, int], list[Load]], verb: str = "") -> dict[str, Figure]:
    """Return how many times as many answers the service gives as each other server, for each number of connections."""
    seconds = {of: [load.each for load in rounds] for of, rounds in loads.items()}
    others = [of for of in loads if of[0] != "service"]
    return {f"{verb}{name}-{number}": ratio(seconds[name, number], seconds["service", number]) for name, number in others}


def tails(loads: dict[tuple[str, int], list[Load]], kind: str) -> dict[str, Figure]:
    """Return how many times as long as half of the answers the slowest in a hundred take."""
    return {f"{kind}-tail-{name}-{number}": median([load.tail for load in rounds]) for (name, number), rounds in loads.items()}


def measure(folder: Path, rounds: int) -> dict[str, Figure | MissingError]:
    """Return this part's figures."""
    with ExitStack() as stack:
        servers, missing = start_all(folder, stack)
        check_answers(servers, folder)
        reads = measure_in_turns({name: server.reading for name, server in servers.items()}, rounds)
        writing = {name: server.writing for name, server in servers.items() if server.writing is not None}
        writes = measure_in_turns(writing, rounds)
    figures: dict[str, Figure | MissingError] = (
        compare(reads) | compare(writes, "post-") | tails(reads, "get") | tails(writes, "post")
    )
    for name, error in missing.items():
        figures |= {f"{verb}{name}-{number}": error for verb in ("", "post-") for number in SECONDS}
    compared = [[load.each for load in reads[name, 16]] for name in servers if name != "canned"]
    canned_seconds = [load.each for load in reads["canned", 16]]
    return {**figures, "generator": ratio([min(each) for each in zip(*compared, strict=True)], canned_seconds)}
