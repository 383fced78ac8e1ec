"""How the cost grows with what is stored: a small database beside one with a million keys and records."""

import itertools
import json
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from measuring import Figure, alternate, ratio, seconds_each
from wsgi import credentials, database, make_record, make_service, request

FEW_KEYS, FEW_RECORDS = 10, 1_000
MOST_USED = 1000  # keys, and records, that are asked for, spread evenly over all there are
CREATED = "2026-01-01T00:00:00.000Z"
STATES = ("state-draft", "state-review", "state-published")
TENANT = "ws-demo"
# Calls in one batch: few, so that a round is over before the machine has changed its speed.
CALLS = {"look-up": 40, "get": 20, "page": 8, "total": 20, "filtered": 8, "deep": 2}


class Filled(NamedTuple):
    """A service with as many keys and records as were asked for."""

    app: Any
    thread: ThreadPoolExecutor  # that calls it: each thread has one connection, and opening it again would count
    raw_keys: list[str]  # some of its keys
    paths: dict[str, list[str]]  # what is asked for


def key_rows(count: int, used: dict[int, str]) -> Iterator[tuple[Any, ...]]:
    """Yield rows for the table of keys; those of the raw keys that are used, by number, are in their places among them."""
    for number in range(count):
        hash = credentials.hash_key(used[number]) if number in used else os.urandom(32)
        yield TENANT, f"apikey-{number}", "Shop sync", hash, '["read"]', CREATED


def record_rows(count: int, text: str) -> Iterator[tuple[str, str, str]]:
    """Yield rows for the table of records: copies of one that the service has made, a third of them in each state."""
    record = json.loads(text)
    before_id, rest = text.split(record["id"])
    before_state, rest = rest.split(STATES[0])
    for number, state in zip(range(count), itertools.cycle(STATES), strict=False):
        yield TENANT, record["schemaId"], f"{before_id}ent-f{number}{before_state}{state}{rest}"


def fill(path: Path, raw_keys: dict[int, str], keys: int, records: int, text: str) -> None:
    """Add so many keys and records to a database that nobody uses, with all its triggers and constraints."""
    with closing(database.connect(str(path))) as db:
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA cache_size = -1000000")
        db.execute("BEGIN IMMEDIATE")
        columns = "tenant, id, name, hash, permissions, created_at"
        db.executemany(f"INSERT INTO api_keys ({columns}) VALUES (?, ?, ?, ?, ?, ?)", key_rows(keys, raw_keys))
        db.executemany("INSERT INTO entities (tenant, schema_id, body) VALUES (?, ?, ?)", record_rows(records, text))
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = WAL")


def count_rows(path: Path) -> tuple[int, int]:
    """Return how many keys and records there are."""
    with closing(sqlite3.connect(path)) as db:
        return tuple(
            db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("api_keys", "entities WHERE is_variant = 0")
        )


def spread(count: int) -> list[int]:
    """Return up to MOST_USED numbers, evenly spread below this one, in a random order that is always the same."""
    numbers = list(range(0, count, max(1, count // MOST_USED)))
    random.Random(count).shuffle(numbers)
    return numbers


def make_filled(path: Path, keys: int, records: int) -> Filled:
    """Make a service with so many keys and records in all."""
    app = make_service(path)
    text = make_record(app, with_ean=False).decode().rstrip("\n")
    database.close_db()
    has_keys, has_records = count_rows(path)
    raw_keys = {number: credentials.make_raw_key() for number in spread(keys - has_keys)}
    fill(path, raw_keys, keys - has_keys, records - has_records, text)
    if count_rows(path) != (keys, records):
        raise RuntimeError(f"{path} was meant to have {keys} keys and {records} records, and has {count_rows(path)}")
    paths = {
        "get": [f"/api/v1/records/ent-f{number}" for number in spread(records - has_records)],
        "page": ["/api/v1/records"],
        "total": ["/api/v1/records?limit=1"],
        "filtered": ["/api/v1/records?schemaId=schema-apparel&lifecycleStateId=state-review"],
        "deep": [f"/api/v1/records?offset={9 * records // 10}"],
    }
    return Filled(app, ThreadPoolExecutor(max_workers=1), list(raw_keys.values()), paths)


def look_up_batch(filled: Filled) -> Callable[[], float]:
    """Prepare looking keys up, without the requests that bring them."""
    raw_keys = itertools.cycle(filled.raw_keys)

    def batch() -> float:
        with filled.app.app_context():
            return seconds_each([partial(credentials.authenticate_key, next(raw_keys)) for _ in range(CALLS["look-up"])])

    return batch


def request_batch(filled: Filled, calls: int, paths: list[str]) -> Callable[[], float]:
    """Prepare requests of paths in turn, all with one key.

    The first use of a key within a second is written down. With another key each time, the disk would be measured.
    """
    turns = itertools.cycle(paths)
    return lambda: seconds_each([request(filled.app, path) for path in itertools.islice(turns, calls)])


def prepare_batches(filled: Filled) -> dict[str, Callable[[], float]]:
    """Prepare what is measured on each of the two services, to run in the thread that has its connection."""
    batches = {name: request_batch(filled, CALLS[name], paths) for name, paths in filled.paths.items()}
    batches["look-up"] = look_up_batch(filled)
    return {name: lambda batch=batch: filled.thread.submit(batch).result() for name, batch in batches.items()}


def measure(folder: Path, rounds: int, many: int) -> dict[str, Figure]:
    """Return this part's figures: the large database ÷ the small one."""
    small = make_filled(folder / "small.db", FEW_KEYS, FEW_RECORDS)
    begun = time.monotonic()
    large = make_filled(folder / "large.db", many, many)
    print(f"  filling in {many:,} keys and as many records took {time.monotonic() - begun:.0f} s", flush=True)
    batches = {
        (size, name): batch
        for size, filled in (("large", large), ("small", small))
        for name, batch in prepare_batches(filled).items()
    }
    seconds = alternate(batches, rounds)
    for filled in (small, large):
        filled.thread.submit(database.close_db).result()
        filled.thread.shutdown()
    return {name: ratio(seconds["large", name], seconds["small", name]) for name in CALLS}
