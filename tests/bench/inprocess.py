"""The service's own cost: its application called in a loop, beside a bare Flask application."""

import json
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from measuring import Figure, MissingError, alternate, ratio, seconds_each
from peers import bare_flask
from wsgi import credentials, database, make_deployment, make_record, new_record, post_record, request

MEMORY = Path("/dev/shm")
# Calls in one batch, so that all batches of a round take about as long: a busy machine then disturbs them alike.
READS = {"bare": 20, "get": 14, "unknown": 14, "list": 8}
# What waits for the disk has longer batches, in which SQLite moves its log into the database at least once.
WRITES = {"bare": 400, "post": 100, "commit": 100}


def prepare_reads(app: Any) -> dict[str, Callable[[], bytes]]:
    """Make the records that are read, and prepare the requests that change nothing."""
    offset = json.loads(request(app, "/api/v1/records")())["total"]
    records = [json.loads(make_record(app)) for _ in range(50)]
    requests = {
        "bare": request(bare_flask.create_app(), "/records/ent-rain-hat", key=None),
        "get": request(app, f"/api/v1/records/{records[0]['id']}"),
        "unknown": request(app, f"/api/v1/records/{records[0]['id']}", 401, key=credentials.make_raw_key()),
        "list": request(app, f"/api/v1/records?limit=50&offset={offset}"),
    }
    if json.loads(requests["list"]())["items"] != records:
        raise RuntimeError("The list is not that of the 50 records")
    return requests


def measure_reads(app: Any, rounds: int) -> dict[str, Figure]:
    """Return the figures of what changes nothing."""
    requests = prepare_reads(app)
    batches = {name: lambda name=name: seconds_each([requests[name]] * READS[name]) for name in READS}
    seconds = alternate(batches, rounds)
    return {name: ratio(seconds[name], seconds["bare"]) for name in READS if name != "bare"}


def open_plain_database(path: Path) -> sqlite3.Connection:
    """Make a database as durable as the service's, with a table that promises nothing."""
    db = database.connect(str(path))
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE records (seq INTEGER PRIMARY KEY, body TEXT NOT NULL)")
    return db


def commit(db: sqlite3.Connection, text: str) -> None:
    """Do the least that it takes to keep a record: insert its bytes, and commit."""
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO records (body) VALUES (?)", (text,))
    db.execute("COMMIT")


def measure_writes(folder: Path, rounds: int) -> dict[str, Figure]:
    """Return how long a record takes that is made in a database in this folder, and what is the disk's part of it."""
    app, bare = make_deployment(folder / "written.db"), request(bare_flask.create_app(), "/records/ent-rain-hat", key=None)
    text = make_record(app).decode()
    with closing(open_plain_database(folder / "plain.db")) as db:
        batches = {
            "bare": lambda: seconds_each([bare] * WRITES["bare"]),
            "post": lambda: seconds_each([post_record(app, new_record()) for _ in range(WRITES["post"])]),
            "commit": lambda: seconds_each([lambda: commit(db, text)] * WRITES["commit"]),
        }
        seconds = alternate(batches, rounds)
        database.close_db()
    own = [post - plain for post, plain in zip(seconds["post"], seconds["commit"], strict=True)]
    return {
        "post": ratio(seconds["post"], seconds["bare"]),
        "post-to-commit": ratio(seconds["post"], seconds["commit"]),
        "commit": ratio(seconds["commit"], seconds["bare"]),
        "post-without-commit": ratio(own, seconds["bare"]),
    }


def measure_in_memory(rounds: int) -> Figure | MissingError:
    """Return how long a record takes that is made where no commit waits for a disk."""
    if not MEMORY.is_dir():
        return MissingError(f"there is no {MEMORY} here")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=MEMORY) as folder:
        return measure_writes(Path(folder), rounds)["post"]


def measure(folder: Path, rounds: int) -> dict[str, Figure | MissingError]:
    """Return this part's figures."""
    figures = measure_reads(make_deployment(folder / "service.db"), 10 * rounds)
    database.close_db()
    return {**figures, **measure_writes(folder, rounds), "post-in-memory": measure_in_memory(rounds)}
