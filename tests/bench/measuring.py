"""Measuring side by side: rounds in which everything has its turn, and the ratios that come of them."""

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

MOST_SECONDS = 60
Measured = TypeVar("Measured")


class Figure(NamedTuple):
    """What was measured, and a remark on it."""

    value: float
    remark: str


class MissingError(Exception):
    """A peer cannot be installed or started here."""


def alternate(batches: Mapping[Any, Callable[[], Measured]], rounds: int) -> dict[Any, list[Measured]]:
    """Return what each batch measured in each round; every round begins with another one, and one round is for warming up.

    There are fewer rounds, though never fewer than three, where they would take more than a minute.
    """
    names, measured, until = list(batches), {name: [] for name in batches}, time.monotonic() + MOST_SECONDS
    for turn in range(-1, rounds):
        if turn >= 3 and time.monotonic() > until:
            break
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            result = batches[name]()
            if turn >= 0:
                measured[name].append(result)
    return measured


def median(values: list[float]) -> Figure:
    """Return the median, with the range of the middle half."""
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return Figure(middle, f"{short(low)} to {short(high)}")


def ratio(ours: list[float], theirs: list[float]) -> Figure:
    """Return ours ÷ theirs, with the range of the middle half of the rounds.

    It is the median of each round's own ratio: the machine's speed changes from round to round, and cancels out.
    """
    return median([mine / yours for mine, yours in zip(ours, theirs, strict=True)])


def short(number: float) -> str:
    """Write a number with as many digits as mean something here."""
    return f"{number:,.{0 if number >= 100 or number == int(number) else 1 if number >= 10 else 2}f}"


def seconds_each(calls: list[Callable[[], object]]) -> float:
    """Return how long these calls take on average."""
    begun = time.perf_counter()
    for call in calls:
        call()
    return (time.perf_counter() - begun) / len(calls)


@contextmanager
def standard_error_discarded() -> Iterator[None]:
    """Let what is written to standard error, such as the log of requests, be written, but kept nowhere."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def file_system(folder: Path) -> str:
    """Return the type of the file system that a folder is on."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return "an unknown file system"
    around = [(len(mount[1]), mount[2]) for mount in mounts if folder.resolve().is_relative_to(mount[1])]
    return max(around)[1]
