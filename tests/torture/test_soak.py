"""The soak: that it measures the service under its mixed load, and finds what grows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import soak

FLAT = soak.Part(1, 500, 3, 40, 110, 58, 4, 10)


def test_a_quarter_of_a_minute_fills_the_table_and_every_answer_is_right():
    done = subprocess.run([sys.executable, soak.__file__, "0.25"], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    _, head, *lines, deliveries, verdict = done.stdout.splitlines()
    assert re.split(" {2,}", head) == [
        "minute", "requests/s", "p50 ms", "p99 ms", "memory MB", "descriptors", "WAL MB", "database MB",
    ]  # fmt: skip
    table = [[float(cell) for cell in line.split()] for line in lines]
    assert [row[0] for row in table] == [0.03, 0.05, 0.07, 0.1, 0.12, 0.15, 0.17, 0.2, 0.23, 0.25]
    assert all(requests > 10 and 0 < p50 <= p99 for _, requests, p50, p99, *_ in table)
    assert all(memory > 40 and descriptors > 16 and database > 1 for *_, memory, descriptors, _, database in table)
    assert int(deliveries.split()[0].replace(",", "")) > 2000  # those of the records that imports write
    assert "requests failed" not in verdict
    assert done.returncode == (0 if verdict == "Flat from the second line on" else 1)


@pytest.mark.parametrize(
    ("figure", "last", "told"),
    [
        ("memory", 130, ["memory grew from 110.0 to 130.0"]),
        ("memory", 120, []),
        ("descriptors", 70, ["descriptors grew from 58.0 to 70.0"]),
        ("descriptors", 60, []),
        ("wal", 20, ["wal grew from 4.0 to 20.0"]),
        ("p99", 75, ["p99 grew from 40.0 to 75.0"]),
        ("p99", 25, []),
        ("database", 500, []),  # histories are kept
    ],
)
def test_what_grows_is_named_and_what_changes_a_little_is_not(figure, last, told):
    parts = [FLAT] * 7 + [FLAT._replace(**{figure: last})] * 3
    assert soak.faults(parts, []) == told


def test_what_grows_in_the_first_part_alone_is_flat_and_so_is_one_part_that_stands_out():
    assert soak.faults([FLAT._replace(memory=60), *[FLAT] * 9], []) == []
    assert soak.faults([*[FLAT] * 8, FLAT._replace(p99=900), FLAT], []) == []


def test_a_wrong_answer_is_told():
    assert soak.faults([FLAT] * 10, ["GET / was answered 500", "x"]) == ["2 requests failed, the first: GET / was answered 500"]
