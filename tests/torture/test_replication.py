"""The README's replication off the machine: the disk is lost while the service writes, and comes back from the replica."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http.client import HTTPException
from json import JSONDecodeError
from pathlib import Path

import pytest
from test_kill import WRITERS, check_file, serving, steps
from test_readme import block
from test_stopping import wait_until

SECONDS = 6  # of writing before the disk is lost
AT_RISK = 2  # seconds; what the README says
SLACK = 3  # more, on a machine as busy as one that runs tests


class Setup:
    """What the README says, done in a folder of the test's own."""

    def __init__(self, folder):
        self.folder, self.disk, self.elsewhere = folder, folder / "disk", folder / "elsewhere"
        self.database = self.disk / "acme.db"
        self.disk.mkdir()
        (folder / "litestream.yml").write_text(self.localized(block("yaml", "dbs:")), encoding="utf-8")
        self.environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def localized(self, text):
        return text.replace("/srv/sigma", str(self.disk)).replace("/mnt/elsewhere", str(self.elsewhere))

    @contextmanager
    def replicating(self):
        """Run the README's command until the block ends, or ends it."""
        with (self.folder / "litestream.log").open("a") as log:
            process = subprocess.Popen(
                ["bash", "-eu", "-c", block("sh", "litestream replicate")],
                **{"cwd": self.folder, "env": self.environment, "stdout": log, "stderr": log, "start_new_session": True},
            )
        try:
            yield process
        finally:
            kill(process)

    def restore(self):
        """Run the README's command."""
        script = self.localized(block("sh", "litestream restore"))
        done = subprocess.run(
            ["bash", "-eu", "-c", script], check=False, cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr + self.log()

    def log(self):
        return (self.folder / "litestream.log").read_text(encoding="utf-8")


def kill(process):
    """End a process and all that it started, at once."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def write(server, headers, prefix, log, problems):
    """Write until the server is gone; log what was acknowledged: when, what, and how it is to be answered from then on."""
    try:
        for name, promise in steps(server, headers, prefix):
            log.append((time.monotonic(), name, promise))
    except (OSError, HTTPException, JSONDecodeError):
        pass
    except AssertionError as problem:
        problems.append(problem)


def write_until_lost(server, headers, prefix, replication):
    """Write from several threads at once until all is killed; answer when that was, and what each thread logged."""
    logs, problems = [[] for _ in range(WRITERS)], []
    threads = [
        threading.Thread(target=write, args=(server, headers, f"{prefix}-{number}", log, problems))
        for number, log in enumerate(logs)
    ]
    for thread in threads:
        thread.start()
    time.sleep(SECONDS)
    lost_at = time.monotonic()
    kill(replication)
    server.kill()
    for thread in threads:
        thread.join(30)
    assert problems == []
    return lost_at, logs


def is_record(name):
    return name.startswith("/records/")


def seen(server, headers, name):
    """Answer how something is answered now."""
    if is_record(name):
        return server.request("GET", name, headers)
    status, answer = server.request("GET", "/catalogs", {"X-Sigma-ApiKey": name})
    return True if status == 200 else False if "deactivated" in answer["message"] else None


def never_made(name):
    """Answer how something is answered that was never made."""
    if is_record(name):
        return 404, {"error": "NOT_FOUND", "message": f"Record '{name.rpartition('/')[2]}' not found"}
    return None


def count_restored(log, found):
    """Answer how many of a writer's steps are there, from the first on: none of them is missing, and there is none beyond."""
    for count in range(len(log), -1, -1):
        state = {name: promise for _, name, promise in log[:count]}
        # What was under way when all was killed would have followed the last step, and may have been done or not.
        names = found.keys() - {log[-1][1]} if count == len(log) else found.keys()
        if all(found[name] == state.get(name, never_made(name)) for name in names):
            return count
    raise AssertionError("what is there is not what was written up to some moment")


def check_restored(server, headers, lost_at, logs):
    """Check that all was restored but what was acknowledged last; answer how what was restored is to be answered."""
    kept, ages = {}, []
    for log in logs:
        found = {name: seen(server, headers, name) for _, name, _ in log}
        count = count_restored(log, found)
        ages += [lost_at - at for at, _, _ in log[count : count + 1]]
        kept |= {name: found[name] for _, name, _ in log[:count]}
        assert count > len(log) // 4
    print(f"Of {sum(map(len, logs))} acknowledged steps, the oldest lost was {max(ages, default=0):.2f} s old.")  # noqa: T201
    assert max(ages, default=0) < AT_RISK + SLACK
    return kept


@pytest.fixture
def setup(template, tmp_path):
    setup = Setup(tmp_path)
    shutil.copy(template, setup.database)
    return setup


def test_a_lost_disk_comes_back_but_for_the_last_moment_and_again_after_that(setup, tokens):
    headers, kept = {"Authorization": f"Bearer {tokens['admin@sigma.io']}"}, {}
    for turn in ("first", "second"):
        with serving(setup.database) as server, setup.replicating() as replication:
            assert wait_until(lambda: [*setup.elsewhere.rglob("*.ltx")], seconds=20), setup.log()
            lost_at, logs = write_until_lost(server, headers, turn, replication)
        shutil.rmtree(setup.disk)
        setup.disk.mkdir()
        setup.restore()
        check_file(setup.database)
        with serving(setup.database) as server:
            assert {name: seen(server, headers, name) for name in kept} == kept
            kept |= check_restored(server, headers, lost_at, logs)
    assert "level=ERROR" not in setup.log()
    for path in (setup.database, *setup.elsewhere.rglob("*.ltx")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
