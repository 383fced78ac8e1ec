"""The line that says that the service is ready, the port that it finds itself, and the story in the terminal."""

import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from test_processes import FLASK, ROOT, environment, is_up

from sigma.cli import serve

STORY = [200, 201, 200, 403, 201, 200, 200, 200, 401, 401, 401, 200, 200, 401]


@contextmanager
def served(database, **settings):
    """Start a server on a port that it finds itself, with its standard output open to be read."""
    process = subprocess.Popen(
        [FLASK, "--app", "app", "serve"],
        cwd=ROOT,
        env=environment(database, PORT="0", **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=20)


def port_announced(process):
    """Read up to the line that says where the service answers."""
    line = next(line for line in process.stdout if line.startswith("Ready"))
    return int(re.fullmatch(r"Ready +http://127\.0\.0\.1:([0-9]+)\n", line)[1])


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "sigma.db"
    subprocess.run([FLASK, "--app", "app", "demo"], cwd=ROOT, env=environment(path), check=True)
    return path


# -- Ready


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_service_answers_from_the_moment_it_says_so(database, workers):
    with served(database, WORKERS=workers) as process:
        port = port_announced(process)
        assert all(is_up(port) for _ in range(20))
        with closing(socket.socket()) as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))


def test_servers_that_start_together_find_ports_of_their_own(database):
    with served(database) as one, served(database) as two, served(database) as three:
        ports = [port_announced(process) for process in (one, two, three)]
        assert len(set(ports)) == 3
        assert all(is_up(port) for port in ports)


def test_what_announced_the_service_is_gone_afterwards(database):
    with served(database) as process:
        port = port_announced(process)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 1  # the worker
        assert is_up(port)


def test_nothing_waits_for_a_server_that_has_ended_before_it_was_ready(database):
    with served(database) as process:
        for line in process.stdout:
            if line.startswith("Database"):
                break
        process.terminate()
        process.communicate(timeout=20)  # ends when nobody is left who could write


def test_ctrl_c_which_reaches_all_processes_at_once_ends_them_at_once(database):
    for _ in range(4):  # a worker that is told twice hangs every other time
        with served(database) as process:
            port = port_announced(process)
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(serve.STOP_TIMEOUT - 3) == 0
            assert not is_up(port)


# -- The story


def sigma_processes(folder):
    """The processes that have something to do with this folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(folder).encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:  # it has ended, or is another user's
            continue
    return found


def assert_nothing_remains(folder, output):
    deadline = time.monotonic() + 10
    while sigma_processes(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (sigma_processes(folder), list(folder.iterdir())) == ([], [])
    for port in set(re.findall(r"127\.0\.0\.1:(\d+)", output)):
        assert not is_up(int(port))


@pytest.fixture
def folder(tmp_path):
    """Where temporary files are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


PLAY = [sys.executable, "-c", "from sigma.cli.story import play; play()"]


def play_environment(tmp_path, folder, **settings):
    return {**environment(tmp_path / "unused.db"), "TMPDIR": str(folder), "TERM": "xterm", **settings}


def test_the_story_goes_as_it_is_told_and_leaves_nothing_behind(tmp_path, folder):
    done = subprocess.run(
        [*PLAY, "--fast"],
        cwd=ROOT,
        env=play_environment(tmp_path, folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert [int(status) for status in re.findall(r"^    ([1-5][0-9]{2}) [A-Z_]+$", done.stdout, re.MULTILINE)] == STORY
    requests, failed = re.search(r"The integration sent (\d+) requests; (\d+) failed\.", done.stdout).groups()
    assert int(requests) >= 4
    assert failed == "0"
    for part in ("'update-data'; the key holds: read", "it has been deactivated", "deleted: true"):
        assert part in done.stdout
    assert "\x1b" not in done.stdout
    assert not (tmp_path / "unused.db").exists()
    assert_nothing_remains(folder, done.stdout)


@contextmanager
def played(tmp_path, folder, *arguments, **settings):
    """Play the story in a terminal; answer the process, and a function that reads what is shown up to some words."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*PLAY, *arguments],
        cwd=ROOT,
        env=play_environment(tmp_path, folder, **settings),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""

    def read(words):
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


def test_in_a_terminal_the_service_stays_until_it_is_interrupted(tmp_path, folder):
    with played(tmp_path, folder, "--fast") as (process, read):
        output = read(b"Ctrl-C")
        assert "\x1b[31m" in output
        (port,) = set(re.findall(r"http://127\.0\.0\.1:(\d+)/docs", output))
        for _ in range(3):
            assert is_up(int(port))
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)  # as the terminal does
        assert process.wait(20) == 0
        assert "Traceback" not in read(b"nothing more")
    assert_nothing_remains(folder, output)


def test_in_a_terminal_it_can_be_told_to_end_and_to_use_no_colour(tmp_path, folder):
    with played(tmp_path, folder, "--fast", "--exit", NO_COLOR="1") as (process, read):
        output = read(b"nothing more")
        assert process.wait(20) == 0
    assert "requests; 0 failed." in output
    assert "\x1b" not in output
    assert_nothing_remains(folder, output)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_story_that_is_broken_off_leaves_nothing_behind_either(tmp_path, folder, sent):
    with played(tmp_path, folder) as (process, read):
        output = read(b"POST /api-keys")
        os.kill(process.pid, sent)
        assert process.wait(20) != 0
        assert "Traceback" not in read(b"nothing more")
    assert_nothing_remains(folder, output)


def test_a_story_that_cannot_begin_says_why(tmp_path, folder):
    done = subprocess.run(
        [*PLAY, "--fast"],
        cwd=ROOT,
        env=play_environment(tmp_path, folder, PORT="none"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "PORT" in done.stderr
    assert "Traceback" not in done.stderr
    assert_nothing_remains(folder, done.stdout)
