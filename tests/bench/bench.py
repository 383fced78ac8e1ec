"""Measure the service beside a bare Flask application and its peers, and print every figure with its goal.

Every figure is a ratio of two things that were measured in turns in one run, because the machine's speed changes too much
for seconds to mean anything; but for how long a test waits for a workspace, which is in milliseconds. A goal that is missed
is printed, and is no failure; a figure that could not be measured is one, unless a peer is what is missing.
"""

import argparse
import os
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import importing
import inprocess
import locks
import searching
import sizes
import sockets
import starting
import workspaces
from measuring import Figure, MissingError, file_system, short, standard_error_discarded
from wsgi import settings


class Goal(NamedTuple):
    """What a figure must be, and what it had better be."""

    must: float
    aim: float
    at_least: bool = False

    def verdict(self, value: float) -> str:
        """Say whether a value is good enough."""
        met = [value >= goal if self.at_least else value <= goal for goal in (self.must, self.aim)]
        return {0: "NO", 1: "yes", 2: "yes, the aim too"}[sum(met)]


class Row(NamedTuple):
    """A figure, where it comes from and what it tells."""

    part: str
    name: str
    tells: str
    goal: Goal | None = None


SIXTEEN, ONE = "over sockets, 16 connections:", "over sockets, 1 connection:"
GOALS = [
    Row("inprocess", "get", "authenticated GET of a 1 kB record ÷ bare Flask, in-process", Goal(1.15, 1.00)),
    Row("inprocess", "list", "authenticated list of 50 such records ÷ the same", Goal(2.1, 1.7)),
    Row("inprocess", "unknown", "refusal of an unknown key ÷ the same", Goal(1.15, 1.00)),
    Row("inprocess", "post-in-memory", "POST of a 1 kB record ÷ the same, databases in memory", Goal(4.5, 3.5)),
    Row("inprocess", "post-to-commit", "POST of a 1 kB record ÷ BEGIN; INSERT; COMMIT of its bytes", Goal(8, 5)),
    Row("importing", "import", "a record by POST ÷ a record of 1,000 by `/import/execute`", Goal(10, 15, True)),
    Row("sizes", "look-up", "key look-up at {many:,} keys ÷ at 10", Goal(2, 1.2)),
    Row("sizes", "page", "page and `total` with {many:,} records ÷ with 1,000", Goal(3, 1.1)),
    Row("sizes", "deep", "page at offset {deep:,} of {many:,} ÷ at 900 of 1,000", Goal(3, 1.1)),
    Row("searching", "search", "search of 10,000 records by a word and a price ÷ a bare scan with json_each", Goal(2, 1.2)),
    Row("sockets", "fastapi-16", f"{SIXTEEN} GET, ours ÷ FastAPI + sqlite3", Goal(1.5, 2, True)),
    Row("sockets", "fastapi-1", f"{ONE} GET, ours ÷ FastAPI + sqlite3", Goal(1.0, 1.2, True)),
    Row("sockets", "pocketbase-16", f"{SIXTEEN} GET, ours ÷ PocketBase", Goal(1.5, 2, True)),
    Row("sockets", "pocketbase-1", f"{ONE} GET, ours ÷ PocketBase", Goal(1.2, 1.5, True)),
    Row("sockets", "post-fastapi-threads-16", f"{SIXTEEN} POST, ours ÷ FastAPI + sqlite3, `def`", Goal(1.2, 1.5, True)),
    Row("sockets", "post-fastapi-threads-1", f"{ONE} POST, ours ÷ FastAPI + sqlite3, `def`", Goal(1.0, 1.3, True)),
    Row("sockets", "post-fastapi-16", f"{SIXTEEN} POST, ours ÷ FastAPI + sqlite3, `async def`", Goal(0.9, 1.2, True)),
    Row("sockets", "post-fastapi-1", f"{ONE} POST, ours ÷ FastAPI + sqlite3, `async def`", Goal(0.9, 1.1, True)),
    Row("sockets", "post-pocketbase-16", f"{SIXTEEN} POST, ours ÷ PocketBase, less durable", Goal(0.75, 1, True)),
    Row("sockets", "post-pocketbase-1", f"{ONE} POST, ours ÷ PocketBase, less durable", Goal(0.85, 1, True)),
    Row("sockets", "bare-16", f"{SIXTEEN} GET, ours ÷ bare Flask on the same server", Goal(0.90, 1.0, True)),
    Row("sockets", "django-16", f"{SIXTEEN} GET, ours ÷ DRF + API keys", Goal(8, 10, True)),
    Row("sockets", "json-server-16", f"{SIXTEEN} GET, ours ÷ json-server", Goal(2.4, 4, True)),
    Row("sockets", "post-tail-service-16", f"{SIXTEEN} POST, the slowest in a hundred ÷ the median", Goal(2.5, 1.8)),
    Row("starting", "start", "`flask serve` to first 200 ÷ bare Flask on the same server", Goal(1.8, 1.5)),
    Row("workspaces", "workspace", "a workspace for a test, with the demo's content and a key: milliseconds", Goal(20, 10)),
    Row("locks", "locked", "'database is locked' seen by 8 clients that write through 2 workers", Goal(0, 0)),
]

PEERS = {"fastapi": "FastAPI, `async def`", "fastapi-threads": "FastAPI, `def`", "pocketbase": "PocketBase"}
BESIDES = [
    Row("inprocess", "post", "POST of a 1 kB record, validated and committed ÷ bare Flask, in-process"),
    Row("inprocess", "commit", "what the disk alone takes for these bytes (BEGIN; INSERT; COMMIT) ÷ bare Flask"),
    Row("inprocess", "post-without-commit", "POST of a 1 kB record, less what the disk alone takes ÷ bare Flask"),
    Row("sizes", "total", "page of one record and `total`, likewise"),
    Row("sizes", "filtered", "page of a filtered list, likewise"),
    Row("sizes", "get", "one record by its id, likewise"),
    Row("searching", "numbers", "search by two limits of a price, which most records meet ÷ the same"),
    Row("workspaces", "copy", "the same, copied by the demo's id: milliseconds"),
    Row("workspaces", "seed", "the same, from the demo's seed: milliseconds"),
    Row("workspaces", "empty", "an empty one: milliseconds"),
    Row("sockets", "bare-1", f"{ONE} GET, ours ÷ bare Flask"),
    Row("sockets", "django-1", f"{ONE} GET, ours ÷ DRF + API keys"),
    Row("sockets", "json-server-1", f"{ONE} GET, ours ÷ json-server"),
    Row("sockets", "fastapi-threads-16", f"{SIXTEEN} GET, ours ÷ FastAPI + sqlite3, `def`"),
    Row("sockets", "get-tail-service-16", f"{SIXTEEN} GET, the slowest in a hundred ÷ the median"),
    *(Row("sockets", f"post-tail-{peer}-16", f"{SIXTEEN} POST, likewise, {name}") for peer, name in PEERS.items()),
    Row("sockets", "generator", "what the load generator can do ÷ the fastest of these servers (to be far above 1)"),
]

Figures = Mapping[str, Figure | MissingError]


def prepare_parts(rounds: int | None, many: int) -> dict[str, Callable[[Path], Figures]]:
    """Return the parts, each with as many rounds as it takes for a steady figure, or with so many."""
    return {
        "inprocess": partial(inprocess.measure, rounds=rounds or 50),
        "importing": partial(importing.measure, rounds=rounds or 20),
        "sizes": partial(sizes.measure, rounds=rounds or 100, many=many),
        "searching": partial(searching.measure, rounds=rounds or 50),
        "sockets": partial(sockets.measure, rounds=rounds or 30),
        "starting": partial(starting.measure, rounds=rounds or 10),
        "workspaces": partial(workspaces.measure, rounds=rounds or 100),
        "locks": partial(locks.measure, seconds=rounds or 5),
    }


def run_part(name: str, measure: Callable[[Path], Figures]) -> Figures | Exception:
    """Return a part's figures, or why there are none: the other parts are worth having all the same."""
    print(f"{name} …", flush=True)
    begun = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, standard_error_discarded():
            return measure(Path(folder))
    except Exception as error:
        traceback.print_exc()
        return error
    finally:
        print(f"  {time.monotonic() - begun:.0f} s", flush=True)


def cells(row: Row, results: Mapping[str, Figures | Exception]) -> list[str]:
    """Return a row of a table."""
    goals = [f"{'≥' if row.goal.at_least else '≤'} {goal:g}" for goal in row.goal[:2]] if row.goal else ["", ""]
    result = results.get(row.part, MissingError("not run"))
    figure = result.get(row.name, MissingError("not measured")) if isinstance(result, Mapping) else result
    if isinstance(figure, Figure):
        return [row.tells, short(figure.value), figure.remark, *goals, row.goal.verdict(figure.value) if row.goal else ""]
    return [row.tells, "-", "", *goals, str(figure) if isinstance(figure, MissingError) else f"NOT MEASURED: {figure!r}"]


def print_table(title: str, rows: list[list[str]]) -> None:
    """Print some rows."""
    table = [[title, "measured", "middle half", "must", "aim", "met"], *rows]
    widths = [max(map(len, column)) for column in zip(*(line[:-1] for line in table), strict=True)]
    print()
    for line in table:
        print("  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:-1], widths[1:]), line[-1]]).rstrip())


def read_arguments(parts: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"what to measure: {', '.join(parts)}; all when absent")
    parser.add_argument("--rounds", type=int, help="rounds of each part, few to try whether it works")
    parser.add_argument("--many", type=int, default=1_000_000, help="keys and records of a large database")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(parts):
        parser.error(f"there is no part {', '.join(unknown)}, only {', '.join(parts)}")
    return arguments


def forget_settings() -> None:
    """Leave out of the environment what would make the service another one than that which is served by default."""
    for variable in (name for setting in settings.SETTINGS.values() for name in setting.variables):
        os.environ.pop(variable, None)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a start is measured as it is from the second time on


def main() -> int:
    """Measure what was asked for; answer the exit status."""
    arguments = read_arguments(list(prepare_parts(None, 0)))
    forget_settings()
    parts, where = prepare_parts(arguments.rounds, arguments.many), tempfile.gettempdir()
    print(f"Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}, {os.cpu_count()} cores;", end=" ")
    print(f"databases in {where} on {file_system(Path(where))} (TMPDIR names another folder)")
    results = {name: run_part(name, parts[name]) for name in arguments.parts or parts}
    sizes_told = {"many": arguments.many, "deep": 9 * arguments.many // 10}
    goals, besides = ([row._replace(tells=row.tells.format(**sizes_told)) for row in rows] for rows in (GOALS, BESIDES))
    print_table("Goals", [cells(row, results) for row in goals])
    print_table("Besides", [cells(row, results) for row in besides if row.part in results])
    return int(any(isinstance(result, Exception) for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
