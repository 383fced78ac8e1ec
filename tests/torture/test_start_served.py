"""`flask start`, `status`, `env` and `stop` with real services, one for each database."""

import json
import os
import re
import signal
import socket
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from processes import EXAMPLE_KEY, FLASK, SOON, environment, flask, is_running, is_up, run_group, serving, wait_until


@contextmanager
def stopping(*databases):
    """End what runs on the databases, whatever happens in the block."""
    try:
        yield
    finally:
        for database in databases:
            flask(database, "stop")


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "sigma.db"
    assert flask(path, "demo").returncode == 0
    with stopping(path):
        yield path


def start(database, **settings):
    """Start a service on a free port, and return what `--json` tells."""
    done = flask(database, "start", "--json", PORT="0", **settings)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def port_of(told):
    return int(told["url"].rpartition(":")[2])


def test_the_life_of_a_service_in_the_background(database):
    told = start(database)
    assert told == {**told, "answers": True, "database": str(database), "log": f"{database}.log"}
    assert is_up(port_of(told))
    assert os.getsid(told["pid"]) == told["pid"] != os.getsid(0)  # a terminal that is closed does not end it
    assert json.loads(flask(database, "status", "--json").stdout) == told
    assert start(database) == told
    shown = flask(database, "env").stdout
    assert shown == f"export SIGMA_API_URL={told['url']}/api/v1\nexport SIGMA_API_KEY={EXAMPLE_KEY}\n"
    assert f"Ready        {told['url']}\n" in Path(told["log"]).read_text(encoding="utf-8")

    with suppress(urllib.error.HTTPError):  # the traceback of which must not keep the log of writes
        urllib.request.urlopen(f"{told['url']}/nowhere", timeout=10)
    done = flask(database, "stop")
    assert (done.returncode, done.stdout) == (
        0,
        f"Stopped {told['url']} (process {told['pid']}): nothing runs on {database} any more\n",
    )
    assert not is_running(told["pid"])
    assert not is_up(port_of(told))
    assert flask(database, "status").returncode == 1
    assert sorted(path.name for path in database.parent.iterdir()) == ["sigma.db", "sigma.db.log"]


def test_of_many_who_start_it_at_once_one_does_and_all_find_it(database):
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(start, [database] * 4))
    assert told == told[:1] * 4


def test_a_second_one_at_another_port_that_is_asked_for_is_known_to_all(database):
    first = start(database)
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = str(other.getsockname()[1])
    done = flask(database, "start", "--json", PORT=port)
    second = json.loads(done.stdout)
    assert (done.returncode, port_of(second), [one["pid"] for one in second["others"]]) == (0, int(port), [first["pid"]])
    told = json.loads(flask(database, "status", "--json").stdout)
    assert [told["pid"], *(one["pid"] for one in told["others"])] == [first["pid"], second["pid"]]
    assert f":{port}/api/v1" in flask(database, "env", PORT=port).stdout
    assert json.loads(flask(database, "stop", "--json").stdout) == {"stopped": [first["pid"], second["pid"]]}
    assert not is_up(port_of(first))
    assert not is_up(port_of(second))


def test_each_database_has_a_service_of_its_own(database, tmp_path):
    other = tmp_path / "other.db"
    with stopping(other):
        first, second = start(database), start(other)
        assert first["pid"] != second["pid"]
        assert "SIGMA_API_KEY" not in flask(other, "env").stdout  # it is not the demo's
        assert flask(database, "stop").returncode == 0
        assert is_up(port_of(second))


def test_the_path_of_a_database_is_that_of_the_folder_one_is_in(database, tmp_path):
    settings = environment("sigma.db", PORT="0", FLASK_APP=str(Path(__file__).parents[2] / "app.py"))
    told = json.loads(run_group([FLASK, "start", "--json"], tmp_path, settings))
    assert told["database"] == str(database)
    assert json.loads(flask(database, "status", "--json").stdout) == told


def test_a_service_in_a_terminal_is_found_and_stopped(database, tmp_path):
    with serving(database, tmp_path / "terminal") as server:
        told = start(database)
        assert told == {**told, "pid": server.process.pid, "url": f"http://127.0.0.1:{server.port}", "log": None}
        assert EXAMPLE_KEY in flask(database, "env").stdout
        assert flask(database, "stop").returncode == 0
        assert server.process.wait(SOON) == 0


@pytest.mark.parametrize("times", [1, 2])
def test_after_a_kill_it_starts_again_at_once(database, times):
    for _ in range(times):
        told = start(database)
        os.kill(told["pid"], signal.SIGKILL)  # its worker goes on for a second, and even answers
    again = start(database)
    assert again["pid"] != told["pid"]
    assert is_up(port_of(again))
    assert not is_up(port_of(told))


def test_a_port_that_is_taken_is_told_and_nothing_is_left(database):
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        done = flask(database, "start", PORT=str(port))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: Port {port} of 127.0.0.1 is taken by process {os.getpid()} (")
    assert re.search(r"\): end that, or choose another, SIGMA_PORT=\d+\.\n$", done.stderr)
    assert flask(database, "status").returncode == 1
    assert start(database)["answers"]


def test_what_keeps_it_from_starting_is_told(database):
    done = flask(database, "start", PORT="0", SIGMA_HOST="0.0.0.0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {database} holds the demo workspace, whose passwords and keys are public")
    done = flask(database, "start", PORT="none")
    told = "Error: PORT: expected a whole number from 0 to 65535, got 'none'; "
    assert done.returncode == 1
    assert done.stderr == f"{told}if PORT belongs to another program, set SIGMA_PORT, which takes precedence\n"


def test_a_service_for_all_addresses_is_found_on_this_machine(database):
    told = start(database, SIGMA_HOST="0.0.0.0", SIGMA_ALLOW_PUBLIC_DEMO="1")
    assert told["url"].startswith("http://127.0.0.1:")
    assert EXAMPLE_KEY in flask(database, "env").stdout


def test_one_that_hangs_is_killed(database):
    """With all its workers, which are asked first and take their time."""
    told = start(database, WORKERS="2")
    children = Path(f"/proc/{told['pid']}/task/{told['pid']}/children").read_text(encoding="utf-8").split()
    os.kill(told["pid"], signal.SIGSTOP)
    done = flask(database, "stop")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(children) == 2
    assert wait_until(lambda: not any(is_running(int(pid)) for pid in [told["pid"], *children]))
