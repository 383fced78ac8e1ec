"""Replication off the machine: the disk is lost while the service writes, and comes back from the replica."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.client import HTTPException
from json import JSONDecodeError
from pathlib import Path

import pytest
from processes import ROOT, START_TIMEOUT, check_file, program, serving, wait_until
from test_commands_beside_the_service import run
from test_kill import WRITERS, steps
from test_readme import block

RECIPE = ROOT / "docs/deploy/litestream.yml"
SECONDS = 6  # of writing before the disk is lost
AT_RISK = 2  # seconds; what the docs say
SLACK = 3  # more, on a machine as busy as one that runs tests


class Setup:
    """What the docs say, done in a folder of the test's own."""

    def __init__(self, folder, shell):
        self.command = [program(shell, "this test"), "-eu", "-c"]
        self.folder, self.disk, self.elsewhere = folder, folder / "disk", folder / "elsewhere"
        self.database, self.settings = self.disk / "sigma.db", folder / "litestream.yml"
        self.disk.mkdir()
        self.settings.write_text(self.localized(RECIPE.read_text(encoding="utf-8")), encoding="utf-8")
        self.environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def localized(self, text):
        return text.replace("/var/lib/sigma-pim", str(self.disk)).replace("/mnt/elsewhere", str(self.elsewhere))

    @contextmanager
    def replicating(self):
        """Run the docs' command until the block ends; begin the block when there is a replica."""
        with (self.folder / "litestream.log").open("a") as log:
            process = subprocess.Popen(
                [*self.command, block("sh", "litestream replicate")],
                **{"cwd": self.folder, "env": self.environment, "stdout": log, "stderr": log, "start_new_session": True},
            )
        replica = Path(self.settings.read_text(encoding="utf-8").rpartition("path: ")[2].strip())
        try:
            assert wait_until(lambda: [*replica.rglob("*.ltx")], START_TIMEOUT), self.log()
            yield process
        finally:
            kill(process)

    def lose_and_restore(self):
        """Lose the disk, run the docs' command, and check what it brings back."""
        shutil.rmtree(self.disk)
        self.disk.mkdir()
        self.run("litestream restore")
        check_file(self.database)

    def begin_anew(self):
        """Do what the docs say when the service was killed: another path, and the docs' command."""
        text = self.settings.read_text(encoding="utf-8")
        self.settings.write_text(text.replace(f"{self.elsewhere}/sigma", f"{self.elsewhere}/sigma-2"), encoding="utf-8")
        self.run("litestream reset")

    def run(self, begins):
        """Run the docs' block that holds these words."""
        script = self.localized(block("sh", begins))
        done = subprocess.run(
            [*self.command, script], check=False, cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr + self.log()

    def log(self):
        return (self.folder / "litestream.log").read_text(encoding="utf-8")


def kill(process):
    """End a process and all that it started, at once."""
    if process.returncode is None:
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


@contextmanager
def writing(server, headers, prefix):
    """Write from several threads at once until the server is gone, which the block sees to; answer each one's log."""
    logs, problems = [[] for _ in range(WRITERS)], []
    threads = [
        threading.Thread(target=write, args=(server, headers, f"{prefix}-{number}", log, problems))
        for number, log in enumerate(logs)
    ]
    for thread in threads:
        thread.start()
    time.sleep(SECONDS)
    yield logs
    for thread in threads:
        thread.join(30)
    assert problems == []


def is_record(name):
    return name.startswith("/records/")


def seen(server, headers, name):
    """Return how something is answered now."""
    if is_record(name):
        return server.request("GET", name, headers)
    status, answer = server.request("GET", "/catalogs", {"X-Sigma-ApiKey": name})
    return True if status == 200 else False if "deactivated" in answer["message"] else None


def never_made(name):
    """Return how something is answered that was never made."""
    if is_record(name):
        return 404, {"error": "NOT_FOUND", "message": f"Record '{name.rpartition('/')[2]}' not found"}
    return None


def count_restored(log, found):
    """Return how many of a writer's steps are there, from the first on: none of them is missing, and there is none beyond."""
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


def check_all_restored(server, headers, logs):
    """Check that all is there that was acknowledged."""
    for log in logs:
        assert count_restored(log, {name: seen(server, headers, name) for _, name, _ in log}) == len(log)


@pytest.fixture(params=["bash", "zsh"])
def setup(request, template, tmp_path):
    setup = Setup(tmp_path, request.param)
    shutil.copy(template, setup.database)
    return setup


@pytest.fixture
def headers(tokens):
    return {"Authorization": f"Bearer {tokens['admin@sigma.io']}"}


def test_a_lost_disk_comes_back_but_for_the_last_moment_and_again_after_that(setup, headers):
    kept = {}
    for turn in ("first", "second"):
        with (
            serving(setup.database) as server,
            setup.replicating() as replication,
            writing(server, headers, turn) as logs,
        ):
            lost_at = time.monotonic()
            kill(replication)
            server.kill()
        setup.lose_and_restore()
        with serving(setup.database) as server:
            assert {name: seen(server, headers, name) for name in kept} == kept
            kept |= check_restored(server, headers, lost_at, logs)
    assert "level=ERROR" not in setup.log()
    for path in (setup.database, *setup.elsewhere.rglob("*.ltx")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_backup_that_is_restored_is_replicated_once_the_replication_is_started_again(setup, headers):
    backup = setup.folder / "from before.db"
    run(setup.database, "backup", str(backup))
    with serving(setup.database) as server:
        with setup.replicating():
            body = {"id": "ent-old", "schemaId": "schema-apparel", "values": {}}
            assert server.request("POST", "/records", headers, body)[0] == 201
            run(setup.database, "restore", str(backup), "--yes")
        with setup.replicating():
            with writing(server, headers, "new") as logs:
                server.process.terminate()
            time.sleep(AT_RISK + SLACK)
    setup.lose_and_restore()
    with serving(setup.database) as server:
        assert server.request("GET", "/records/ent-old", headers)[0] == 404
        check_all_restored(server, headers, logs)


def test_when_the_service_alone_was_killed_the_replication_that_begins_anew_has_everything(setup, headers):
    with setup.replicating(), serving(setup.database) as server, writing(server, headers, "before") as before:
        server.kill()
    setup.begin_anew()
    with serving(setup.database) as server, setup.replicating():
        with writing(server, headers, "after") as after:
            server.process.terminate()
        time.sleep(AT_RISK + SLACK)
    setup.lose_and_restore()
    with serving(setup.database) as server:
        check_all_restored(server, headers, before + after)
