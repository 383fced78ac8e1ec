"""The story of a key, played in the terminal: it goes as it is told, and leaves nothing behind, however it ends."""

import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from processes import ROOT, SOON, START_TIMEOUT, environment, is_up, wait_until

PLAY = [sys.executable, "-c", "from sigma.cli.story import play; play()"]
STATUSES = [200, 201, 200, 403, 201, 200, 200, 200, 401, 401, 401, 200, 200, 401]


def processes_of(folder):
    """Return the processes that have something to do with a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(folder).encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:  # it has ended, or is another user's
            continue
    return found


@pytest.fixture
def folder(tmp_path):
    """Where the story makes its temporary files; checks that nothing is left there in the end, nor of its processes."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    yield folder
    assert wait_until(lambda: not processes_of(folder)), processes_of(folder)
    assert list(folder.iterdir()) == []
    assert not (tmp_path / "unused.db").exists()


def settings(folder, **more):
    return {**environment(folder.parent / "unused.db"), "TMPDIR": str(folder), "TERM": "xterm", **more}


def play(folder, *arguments, **more):
    """Play the story where no terminal is, and return the result."""
    options = {"cwd": ROOT, "env": settings(folder, **more), "capture_output": True, "text": True, "timeout": START_TIMEOUT}
    return subprocess.run([*PLAY, *arguments], check=False, **options)


@contextmanager
def playing(folder, *arguments, **more):
    """Play the story in a terminal; yield the process, and a function that reads what is shown up to some words."""
    ours, theirs = pty.openpty()
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    process = subprocess.Popen([*PLAY, *arguments], cwd=ROOT, env=settings(folder, **more), start_new_session=True, **streams)
    os.close(theirs)
    shown = b""

    def read(words=b"nothing more"):
        nonlocal shown
        while words not in shown:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # nobody writes any more
                break
        return shown.decode()

    try:
        yield process, read
    finally:
        os.close(ours)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_story_goes_as_it_is_told(folder):
    done = play(folder, "--fast")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert [int(status) for status in re.findall(r"^    ([1-5][0-9]{2}) [A-Z_]+$", done.stdout, re.MULTILINE)] == STATUSES
    requests, failed = re.search(r"The integration sent (\d+) requests; (\d+) failed\.", done.stdout).groups()
    assert int(requests) >= 4
    assert failed == "0"
    for part in ("'update-data'; the key holds: read", "it has been deactivated", "deleted: true"):
        assert part in done.stdout
    assert "\x1b" not in done.stdout


def test_in_a_terminal_the_service_stays_until_it_is_interrupted(folder):
    with playing(folder, "--fast") as (process, read):
        output = read(b"Ctrl-C")
        assert "\x1b[31m" in output
        (port,) = set(re.findall(r"http://127\.0\.0\.1:(\d+)/docs", output))
        assert is_up(int(port))
        os.killpg(process.pid, signal.SIGINT)  # as the terminal does
        assert process.wait(SOON) == 0
        assert "Traceback" not in read()
    assert not is_up(int(port))


def test_in_a_terminal_it_can_be_told_to_end_and_to_use_no_colour(folder):
    with playing(folder, "--fast", "--exit", NO_COLOR="1") as (process, read):
        output = read()
        assert process.wait(SOON) == 0
    assert "requests; 0 failed." in output
    assert "\x1b" not in output


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_story_that_is_broken_off_leaves_nothing_behind_either(folder, sent):
    with playing(folder) as (process, read):
        read(b"POST /api-keys")
        os.kill(process.pid, sent)
        assert process.wait(SOON) != 0
        assert "Traceback" not in read()


def test_a_story_that_cannot_begin_says_why(folder):
    done = play(folder, "--fast", PORT="none")
    assert done.returncode == 1
    assert "PORT" in done.stderr
    assert "Traceback" not in done.stderr
