"""The service under a mixed load for a long time: whether memory, descriptors, the log of the database and p99 stay flat.

What is measured of processes is read from /proc, so this needs Linux.
"""

import argparse
import os
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench import forget_settings
from measuring import file_system
from mixture import Answered, Session, Totals, prepare, run_client, start_receiver
from servers import Target, flask_serve, running
from wsgi import database, make_service

PARTS = 10  # lines of the table; the first one is for warming up
EVERY = 5  # seconds between two samples, or fewer where a part would have less than three
MB = 1024 * 1024


class Sample(NamedTuple):
    """What the service takes at one moment, in bytes but for the open files."""

    at: float
    memory: int  # resident, of all processes of the service
    descriptors: int
    wal: int
    database: int


class Part(NamedTuple):
    """A tenth of the time: what was answered in it, and the most of what the service took."""

    minute: float  # since the beginning, at its end
    requests: float  # a second
    p50: float  # milliseconds
    p99: float
    memory: float  # MB
    descriptors: int
    wal: float  # MB
    database: float  # MB


class Limit(NamedTuple):
    """How much a figure may grow: by this factor, and this much besides, which is what it changes by without a cause."""

    name: str
    factor: float
    besides: float


LIMITS = [Limit("memory", 1.1, 8), Limit("descriptors", 1, 8), Limit("wal", 1.25, 8), Limit("p99", 1.5, 10)]


def read_processes() -> Iterator[tuple[int, int]]:
    """Yield each process and the one that started it."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            yield int(path.parent.name), int(path.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has just ended


def descendants(pid: int) -> set[int]:
    """Return the processes that a process has started, and what these have."""
    parents, found = dict(read_processes()), {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def resident(pid: int) -> int:
    """Return how much memory a process has, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmRSS:")))


def take_sample(pids: Iterable[int], file: Path) -> Sample:
    """Return what these processes and a database take now."""
    wal = Path(f"{file}-wal")
    return Sample(
        time.monotonic(),
        sum(map(resident, pids)),
        sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids),
        wal.stat().st_size if wal.exists() else 0,
        file.stat().st_size,
    )


def summarise(begun: float, end: float, answers: list[Answered], samples: list[Sample], since: float) -> Part:
    """Return a part of the time."""
    took = [1000 * answer.seconds for answer in answers if begun <= answer.at < end]
    inside = [sample for sample in samples if begun <= sample.at < end]
    if len(took) < 2 or not inside:
        raise RuntimeError(f"Between {begun - since:.0f} and {end - since:.0f} s nothing was answered or measured")
    return Part(
        round((end - since) / 60, 2),
        len(took) / (end - begun),
        statistics.median(took),
        statistics.quantiles(took, n=100)[98],
        max(sample.memory for sample in inside) / MB,
        max(sample.descriptors for sample in inside),
        max(sample.wal for sample in inside) / MB,
        max(sample.database for sample in inside) / MB,
    )


def growth(parts: list[Part], limit: Limit) -> tuple[float, float]:
    """Return a figure after the first part and at the end, each as the median of three parts."""
    figures = [getattr(part, limit.name) for part in parts]
    return statistics.median(figures[1:4]), statistics.median(figures[-3:])


def faults(parts: list[Part], wrong: Iterable[str]) -> list[str]:
    """Return what is not flat from the second part on, and which answers were wrong."""
    found = []
    for limit in LIMITS:
        before, after = growth(parts, limit)
        if after > limit.factor * before + limit.besides:
            found.append(f"{limit.name} grew from {before:.1f} to {after:.1f}")
    listed = list(wrong)
    if listed:
        found.append(f"{len(listed)} requests failed, the first: {listed[0]}")
    return found


def table(parts: list[Part]) -> Iterator[str]:
    """Yield the lines of the table."""
    head = ["minute", "requests/s", "p50 ms", "p99 ms", "memory MB", "descriptors", "WAL MB", "database MB"]
    yield "  ".join(head)
    for part in parts:
        cells = [f"{part.minute:g}", *(f"{value:.1f}" if isinstance(value, float) else str(value) for value in part[1:])]
        yield "  ".join(cell.rjust(len(name)) for cell, name in zip(cells, head, strict=True))


@contextmanager
def load(target: Target, totals: Totals) -> Iterator[None]:
    """Let all clients ask during the block."""
    receiver, stop = start_receiver(totals), threading.Event()
    key, roles = prepare(target, receiver)
    threads = [
        threading.Thread(target=run_client, args=(role, Session(target.port, {"X-Sigma-ApiKey": key}), totals, stop))
        for role in roles
        for _ in range(role.count)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        receiver.shutdown()
        receiver.server_close()


def soak(file: Path, minutes: float, totals: Totals) -> list[Part]:
    """Put the load on a service for so long; return the parts of that time, and print each when it is over."""
    make_service(file)
    database.close_db()
    each = 60 * minutes / PARTS
    parts: list[Part] = []
    with running(flask_serve(file, "/healthz")) as target, load(target, totals):
        begun, pids = time.monotonic(), descendants(os.getpid())
        while len(parts) < PARTS:
            parts.append(measure_part(begun, each, len(parts), pids, file, totals))
            print(list(table(parts))[-1], flush=True)
    return parts


def measure_part(begun: float, each: float, number: int, pids: set[int], file: Path, totals: Totals) -> Part:
    """Take samples until a part is over, and return it; what was answered in it is forgotten."""
    start, end, samples = begun + number * each, begun + (number + 1) * each, []
    while time.monotonic() < end:
        samples.append(take_sample(pids, file))
        time.sleep(max(0, min(EVERY, each / 3, end - time.monotonic())))
    answers = [totals.answers.popleft() for _ in range(len(totals.answers))]
    return summarise(start, end, answers, samples, begun)


def main() -> int:
    """Run it; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", type=float, help="how long the load is kept up")
    minutes, totals, where = parser.parse_args().minutes, Totals(), tempfile.gettempdir()
    forget_settings()
    print(
        f"Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}; databases in {where} on {file_system(Path(where))}"
    )
    print(next(table([])))
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        parts = soak(Path(folder) / "soak.db", minutes, totals)
    found = faults(parts, totals.wrong)
    print(f"{next(totals.delivered):,} webhook deliveries came")
    print("NOT FLAT: " + "; ".join(found) if found else "Flat from the second line on")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
