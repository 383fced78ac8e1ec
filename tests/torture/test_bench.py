"""The benchmark itself: that it still measures every figure, in a run too short for the figures to mean anything."""

import re
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1] / "bench" / "bench.py"
GOALS = {
    "inprocess": 5,
    "importing": 1,
    "sizes": 3,
    "searching": 1,
    "starting": 1,
    "workspaces": 1,
    "locks": 1,
}  # rows that need no peer, by part


def run_bench(*arguments):
    return subprocess.run([sys.executable, BENCH, *arguments], capture_output=True, text=True, check=False)


def test_the_benchmark_measures_every_figure_that_needs_no_peer():
    done = run_bench(*GOALS, "--rounds", "1", "--many", "2000")
    assert (done.returncode, done.stderr) == (0, "")
    goals, besides = done.stdout.split("\n\n")[1:]
    verdicts = re.findall(r"[≤≥] [0-9.]+  (yes, the aim too|yes|NO|not run)$", goals, re.MULTILINE)
    assert len(verdicts) == len(goals.splitlines()) - 1
    assert len(verdicts) - verdicts.count("not run") == sum(GOALS.values())
    assert "not run" not in besides


def test_a_figure_that_cannot_be_measured_makes_the_benchmark_fail():
    done = run_bench("sizes", "--rounds", "1", "--many", "0")  # the demo workspace alone has more
    assert done.returncode == 1
    assert "RuntimeError: " in done.stderr
    assert len(re.findall("NOT MEASURED: RuntimeError", done.stdout)) == 6
