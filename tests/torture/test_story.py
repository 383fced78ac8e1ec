"""The story of a key and a webhook, told in the terminal: it goes as it is told, and leaves nothing behind, however it ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
from processes import ROOT, SOON, START_TIMEOUT, environment, is_up, wait_until
from terminals import in_terminal

PLAY = [sys.executable, "-m", "sigma.cli.play"]
STATUSES = [  # a line for each act
    *(200, 201, 200),
    *(201, 200, 200),
    *(200, 401, 401, 200, 200),
    *(403, 403, 200),
    *(200, 200),
    *(201, 200, 200, 200, 200, 200),
    *(204, 401, 200),
]


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
    return {**environment(folder.parent / "unused.db"), "TMPDIR": str(folder), "TERM": "xterm", "PORT": "0", **more}


def play(folder, *arguments, **more):
    """Play the story where no terminal is, and return the result."""
    options = {"cwd": ROOT, "env": settings(folder, **more), "capture_output": True, "text": True, "timeout": START_TIMEOUT}
    return subprocess.run([*PLAY, *arguments], check=False, **options)


def playing(folder, *arguments, **more):
    """Play the story in a terminal, as in_terminal() does."""
    return in_terminal([*PLAY, *arguments], cwd=ROOT, env=settings(folder, **more))


def test_the_story_goes_as_it_is_told(folder):
    done = play(folder, "--fast")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    told = re.findall(r"^    ([1-5][0-9]{2}) ((?:[A-Z_]+: )?[A-Z].+)$", done.stdout, re.MULTILINE)
    assert [int(status) for status, _ in told] == STATUSES
    assert dict(told) == {
        "200": "OK",
        "201": "Created",
        "204": "No Content",
        "401": "UNAUTHORIZED: There is no credential, or it is not accepted.",
        "403": "PERMISSION_DENIED: The caller may not do this.",
    }
    assert re.findall(r"^([1-7])\. ", done.stdout, re.MULTILINE) == list("1234567")
    requests, failed = re.search(r"The integration sent (\d+) requests; (\d+) failed\.", done.stdout).groups()
    assert int(requests) >= 4
    assert failed == "0"
    assert re.search(r"^Integration: 0 failed; 200 OK: \d+, 429 Too Many Requests: 2, waited 2 s$", done.stdout, re.MULTILINE)
    for part in ("'update-data'; the key holds: read", "deleted: true", "hits: 2", '"update-data":{"count":1,'):
        assert part in done.stdout
    assert done.stdout.count("it has been deactivated") == 2  # in both processes
    came = re.findall(r"^    Receiver: entity\.updated of ent-coastal-wb, (.+); it answers (\d+)$", done.stdout, re.MULTILINE)
    assert came == [
        *(("signature good", "204"), ("signature good", "503")),
        *(("the same bytes once more", "204"), ("the same bytes once more", "204")),
    ]
    assert "state: delivered   attempts: 503, 204\n" in done.stdout  # the retry: nobody waits for it
    for sign in ("\x1b", "\r", "Press Enter"):
        assert sign not in done.stdout


def test_in_a_terminal_the_service_stays_until_it_is_interrupted_with_the_consoles_journal(folder):
    with playing(folder, "--fast") as (process, read, _):
        output = read(b"until Ctrl-C.")
        assert "\x1b[31m" in output
        (port,) = set(re.findall(r"http://127\.0\.0\.1:(\d+)/console", output))
        (other,) = set(re.findall(r"B is http://127\.0\.0\.1:(\d+)", output))
        assert port != other
        assert is_up(int(port))
        assert is_up(int(other))
        with urlopen(f"http://127.0.0.1:{port}/standin/requests?status=401") as answer:
            assert ["deactivated" in entry["message"] for entry in json.load(answer)] == [True]
        os.killpg(process.pid, signal.SIGINT)  # as the terminal does
        assert process.wait(SOON) == 0
        assert "Traceback" not in read()
    assert not is_up(int(port))
    assert not is_up(int(other))


def test_in_a_terminal_it_can_be_told_to_end_and_to_use_no_colour(folder):
    with playing(folder, "--fast", "--exit", NO_COLOR="1") as (process, read, _):
        output = read()
        assert process.wait(SOON) == 0
    assert "requests; 0 failed." in output
    assert "\x1b" not in output


def test_in_a_terminal_no_line_is_broken_within_a_word(folder):
    with playing(folder, "--fast", "--exit", COLUMNS="100", NO_COLOR="1") as (process, read, _):
        output = read()
        assert process.wait(SOON) == 0
    lines = [line.rpartition("\r")[2] for line in output.replace("\r\n", "\n").split("\n")]
    assert max(map(len, lines)) < 100
    for line in (
        "    This route needs permission 'update-data'; the key holds: read; make a key that holds it, with",
        "      POST /api/v1/api-keys",
        '      "secret":"demo-webhook-secret"}',
    ):
        assert line in lines


def test_in_a_terminal_it_waits_for_enter_between_acts_while_the_count_goes_on_in_one_line(folder):
    with playing(folder, "--exit") as (process, read, type):
        assert "The administrator signs in." not in read(b"Press Enter for: 1.")
        type(b"\n")
        read(b"Press Enter for: 2.")
        drawn = read(b"Integration: 0 failed; 200 OK: 20")
        lines = drawn.rpartition("Press Enter for: 2.")[2]
        assert lines.count("\n") == 1  # that of the words themselves
        assert lines.count("\rIntegration: ") >= 2
        assert "A second key is made." not in lines
        type(b"\n")
        read(b"A second key is made.")
        for _ in range(3):  # somebody who is impatient
            process.send_signal(signal.SIGINT)
        assert process.wait(SOON) == 130
        assert read().endswith("\r\nStopped. The service and its demo workspace are gone.\r\n")


def test_where_nobody_can_press_enter_it_goes_by_itself(folder):
    with playing(folder, "--exit") as (process, read, type):
        read(b"Press Enter for: 1.")
        type(b"\x04")  # Ctrl-D: the end of the input
        read(b"A second key is made.")
        assert "Press Enter for: 2." not in read(b"The integration switches")
        process.terminate()
        assert process.wait(SOON) != 0
    with playing(folder, "--auto") as (process, read, type):
        assert "Press Enter" not in read(b"A second key is made.")
        process.terminate()
        assert process.wait(SOON) != 0


def test_another_port_is_taken_when_the_one_wanted_is_held(folder):
    with socket.create_server(("127.0.0.1", 0)) as other:
        held = other.getsockname()[1]
        done = play(folder, "--fast", PORT=str(held))
    assert done.returncode == 0, done.stderr
    assert f"Port {held} is taken; using another." in done.stdout
    assert f"127.0.0.1:{held}/" not in done.stdout


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("words", [b"Starting the service", b"Press Enter", b"POST /api/v1/api-keys", b"hits: 2"])
def test_a_story_that_is_broken_off_leaves_nothing_behind_either(folder, sent, words):
    options = [] if words == b"Press Enter" else ["--fast"] if words == b"hits: 2" else ["--auto"]
    with playing(folder, *options) as (process, read, _):
        read(words)
        os.kill(process.pid, sent)
        assert process.wait(SOON) == (130 if sent == signal.SIGINT else 1)
        shown = read()
        assert "Traceback" not in shown
        assert shown.endswith("\r\nStopped. The service and its demo workspace are gone.\r\n") == (sent == signal.SIGINT)


def test_a_story_that_is_broken_off_while_its_modules_load_is_one_sentence_too(folder, tmp_path):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "click.py").write_text("import os, time\nos.kill(os.getpid(), 2)\ntime.sleep(60)")
    done = play(folder, PYTHONPATH=str(tmp_path / "modules"))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\nStopped.\n")


def test_a_story_that_cannot_begin_says_why(folder):
    done = play(folder, "--fast", PORT="none")
    assert done.returncode == 1
    assert "PORT" in done.stderr
    assert "Traceback" not in done.stderr
