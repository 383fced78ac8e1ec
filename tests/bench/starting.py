"""How long the service takes to start, beside a bare Flask application on the same server."""

import json
import time
from pathlib import Path

from measuring import Figure, alternate, ratio
from servers import Command, bare_flask, flask_serve, running
from wsgi import database as database_module
from wsgi import make_record, make_service


def seconds_to_first_answer(command: Command) -> float:
    """Return how long it takes from the start of the process to its first 200."""
    begun = time.perf_counter()
    with running(command):
        return time.perf_counter() - begun


def measure(folder: Path, rounds: int) -> dict[str, Figure]:
    """Return this part's figures."""
    database = folder / "service.db"
    path = f"/api/v1/records/{json.loads(make_record(make_service(database)))['id']}"
    database_module.close_db()
    batches = {
        "bare": lambda: seconds_to_first_answer(bare_flask()),
        "start": lambda: seconds_to_first_answer(flask_serve(database, path)),
    }
    seconds = alternate(batches, rounds)
    return {"start": ratio(seconds["start"], seconds["bare"])}
