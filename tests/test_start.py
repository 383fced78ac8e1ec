"""The commands for a service in the background: flask start, status, stop, env; and what `flask serve` does for them."""

import json
import os
import shlex
import signal
import stat
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import forked
import pytest
from conftest import EXAMPLE_KEY, sql

from sigma import database
from sigma.cli import client, running, serve, start

URL = "http://127.0.0.1:1"  # nothing answers there
HOLD = """
import fcntl, json, os, signal, sys, time
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
json.dump({"pid": os.getpid(), "url": "http://127.0.0.1:1", "log": None}, file)
file.flush()
"""
SLEEP = HOLD + "print('held', flush=True); time.sleep(60)"
DEAF = HOLD + "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('held', flush=True); time.sleep(60)"
LINGERS = (
    HOLD
    + """
def end(*_):
    file.close()
    time.sleep(0.2)
    os._exit(0)

signal.signal(signal.SIGTERM, end)
print("held", flush=True)
time.sleep(60)
"""
)
LEAVES_A_WORKER = HOLD + "pid = os.fork(); print('held', flush=True) if pid else time.sleep(0.3)"


@pytest.fixture
def path(app):
    return app.config["DATABASE"]


@pytest.fixture
def state(path):
    """The file that says which service runs on the database."""
    return Path(f"{path}.service")


@pytest.fixture
def url(path, address):
    """The address of a service that answers, and is registered for the database."""
    with running.registered(path, address):
        yield address


@pytest.fixture
def holder(state):
    """Return a function that starts a process which is registered for the database, and does not answer."""
    started = []

    def begin(script, number=1):
        file = state if number == 1 else f"{state}-{number}"
        process = subprocess.Popen([sys.executable, "-S", "-c", script, file], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def service_is(monkeypatch, tmp_path):
    """Return a function that puts a program in the place of the one that `flask start` starts."""
    pids = tmp_path / "pids"

    def replace(script):
        script = f"import os, sys, time\nwith open({str(pids)!r}, 'a') as file:\n    print(os.getpid(), file=file)\n{script}"
        monkeypatch.setattr(start, "FLASK", [sys.executable, "-S", "-c", script])
        return pids

    return replace


# -- Nothing runs


def test_nothing_runs_where_there_is_no_database(app, run, tmp_path):
    app.config["DATABASE"] = str(tmp_path / "none" / "none.db")
    assert [run(command).exit_code for command in ("status", "stop", "env")] == [1, 0, 1]
    result = run("start")
    assert (result.exit_code, result.stdout) == (1, "")
    assert app.config["DATABASE"] in result.stderr
    assert not (tmp_path / "none").exists()


def test_nothing_runs(run, path, state):
    result = run("status")
    assert (result.exit_code, result.stdout) == (1, f"Nothing runs on {path}: start it with `flask start`\n")
    nothing = {"answers": False, "url": None, "pid": None, "database": path, "log": None, "others": []}
    result = run("status", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (1, nothing)
    result = run("stop")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"Nothing runs on {path}\n", "")
    result = run("env")
    assert (result.exit_code, result.stdout) == (1, "unset SIGMA_API_URL; false\n")
    assert result.stderr == f"Error: No service answers on {path}: start it with `flask start`\n"
    assert not state.exists()


@pytest.mark.parametrize("is_there", [True, False])
def test_where_there_is_no_workspace_a_service_is_to_be_started_with_one(run, app, tmp_path, is_there):
    app.config["DATABASE"] = path = str(tmp_path / "new.db")
    if is_there:
        database.prepare_database(path)
    own = "make a workspace of your own with `flask workspace create`"
    told = f"on {path}: start the demo with `flask demo`, then `flask start`, or {own}\n"
    assert run("status").stdout == f"Nothing runs {told}"
    assert run("env").stderr == f"Error: No service answers {told}"
    assert os.path.exists(path) == is_there


@pytest.mark.parametrize("left", ["", "{", "[]", '{"pid": 1}', f'{{"pid": PID, "url": "{URL}", "log": null}}'])
def test_what_a_killed_service_leaves_behind_is_no_service(run, state, left):
    """The process may be another's by now; nobody sends it a signal."""
    left = left.replace("PID", str(os.getpid()))
    state.write_text(left)
    assert run("status").exit_code == 1
    assert run("env").exit_code == 1
    assert run("stop").stdout.startswith("Nothing runs on ")
    assert state.read_text() == left


# -- A service answers


def test_the_status_of_a_service_that_answers(run, path, url):
    result = run("status")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split(maxsplit=1) for line in result.stdout.splitlines()] == [
        ["Address", url],
        ["Process", str(os.getpid())],
        ["Database", path],
        ["Log", "the output of that process"],
    ]
    found = {"answers": True, "url": url, "pid": os.getpid(), "database": path, "log": None, "others": []}
    assert json.loads(run("status", "--json").stdout) == found


def test_a_service_is_found_by_every_path_to_its_database(app, run, path, url, tmp_path):
    (tmp_path / "link.db").symlink_to(path)
    app.config["DATABASE"] = str(tmp_path / "link.db")
    database.prepare_database(app.config["DATABASE"])
    result = run("status")
    assert (result.exit_code, url in result.stdout) == (0, True)


def test_a_service_that_runs_is_not_started_again(run, url, path, service_is):
    pids = service_is("")
    result = run("start")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[:2] == ["It runs already", f"Address      {url}"]
    assert result.stdout.splitlines()[-1] == "Stop it with `flask stop`"
    assert not pids.exists()


@pytest.mark.parametrize(("left", "is_told"), [(0, True), (1, False)])
def test_a_start_on_a_database_without_a_workspace_says_how_to_make_one(run, app, url, service_is, left, is_told):
    sql(app, "DELETE FROM workspaces WHERE id <> 'ws-demo' OR ?", not left)
    service_is("")
    told = "There is no workspace yet: run `flask demo` for the demo, or `flask workspace create` for your own"
    assert (run("start").stdout.splitlines()[-2] == told) == is_told


def shell(script, variables):
    """Run lines of a shell that begins without the variables, and return what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIGMA_")}
    command = ["sh", "-eu", "-c", f'eval "$1"; {script}', "sh", variables]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_a_shell_is_told_the_address_and_the_key_of_the_demo(run, url):
    result = run("env")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"export SIGMA_API_URL={url}/api/v1\nexport SIGMA_API_KEY={EXAMPLE_KEY}\n"
    told = "printenv SIGMA_API_URL SIGMA_API_KEY"
    assert shell(told, result.stdout).splitlines() == [f"{url}/api/v1", EXAMPLE_KEY]
    gone = "echo ${SIGMA_API_URL-gone} ${SIGMA_API_KEY-gone}"
    assert shell(gone, result.stdout + run("env", "--unset").stdout) == "gone gone\n"


def test_a_shell_is_told_an_address_of_whatever_form(run, path, monkeypatch):
    monkeypatch.setattr(start, "send_request", lambda *_: client.Answer(200))
    with running.registered(path, odd := "http://[::1]:8080/$(id) 'x"):
        result = run("env")
    assert shlex.split(result.stdout.splitlines()[0]) == ["export", f"SIGMA_API_URL={odd}/api/v1"]
    assert shell("printenv SIGMA_API_URL", result.stdout) == f"{odd}/api/v1\n"


def test_a_shell_forgets_the_address_of_a_service_that_has_ended_and_is_told_that_it_failed(run):
    former = "export SIGMA_API_URL=http://127.0.0.1:8080/api/v1 SIGMA_API_KEY=mine"
    script = f'{former}; eval "$2" || echo failed; echo ${{SIGMA_API_URL-gone}} $SIGMA_API_KEY'
    done = subprocess.run(["sh", "-eu", "-c", script, "sh", "", run("env").stdout], capture_output=True, text=True, check=True)
    assert done.stdout == "failed\ngone mine\n"


def test_a_key_of_the_demo_that_is_refused_is_not_told(run, app, url):
    sql(app, "UPDATE api_keys SET deactivated_at = created_at WHERE tenant = 'ws-demo'")
    result = run("env")
    assert (result.exit_code, result.stdout) == (0, f"export SIGMA_API_URL={url}/api/v1\n")
    assert result.stderr == "The demo's API key is refused. POST /standin/reset brings it back.\n"


def test_in_a_deployment_no_key_is_told(run, deployment, url):
    result = run("env")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"export SIGMA_API_URL={url}/api/v1\n", "")


def test_taking_the_variables_away_needs_no_service(run):
    assert run("env", "--unset").stdout == "unset SIGMA_API_URL SIGMA_API_KEY\n"


# -- A service does not answer


def test_a_service_that_does_not_answer_is_told(run, path, holder, monkeypatch):
    monkeypatch.setattr(start, "END_TIMEOUT", 0)
    process = holder(SLEEP)
    for command in ("status", "start"):
        result = run(command)
        assert (result.exit_code, result.stderr) == (1, "")
        assert f"Address      {URL}\nProcess      {process.pid}\nDatabase     {path}\n" in result.stdout
        assert "It does not answer" in result.stdout
    assert run("env").exit_code == 1
    assert process.poll() is None


def test_a_service_is_stopped(run, path, holder):
    process = holder(SLEEP)
    result = run("stop")
    assert (result.exit_code, result.stdout) == (0, f"Stopped {URL} (process {process.pid}): nothing runs on {path} any more\n")
    assert process.wait(10) == -signal.SIGTERM
    assert run("status").exit_code == 1


@pytest.mark.parametrize("left", [b"damaged", b""], ids=["damaged", "emptied"])
def test_a_service_is_found_and_stopped_whatever_has_become_of_its_database(path, holder, left):
    process = holder(SLEEP)
    Path(path).write_bytes(left)
    found = forked.flask("status", SIGMA_DATABASE=path)
    assert (found.returncode, found.stdout.splitlines()[0], found.stderr) == (1, f"Address      {URL}", "")
    result = forked.flask("stop", SIGMA_DATABASE=path)
    assert (result.returncode, result.stdout.split(":")[0], result.stderr) == (0, "Stopped http", "")
    assert process.wait(10) == -signal.SIGTERM
    assert Path(path).read_bytes() == left


def test_a_database_that_cannot_be_used_is_told_where_nothing_runs_on_it(path):
    Path(path).write_bytes(b"Dear diary, " * 50)
    told = f"Error: {path} is not an SQLite database: name another file in SIGMA_DATABASE, or put a backup in its place.\n"
    for command in ("status", "env"):
        result = forked.flask(command, SIGMA_DATABASE=path)
        assert (result.returncode, result.stderr) == (1, told)


def test_a_service_that_is_found_no_more_is_waited_for_until_its_process_is_gone(run, holder):
    process = holder(LINGERS)
    assert run("stop").exit_code == 0
    assert process.poll() == 0


def test_a_service_that_takes_no_notice_is_killed(run, holder, monkeypatch):
    monkeypatch.setattr(start, "END_TIMEOUT", 0.2)
    process = holder(DEAF)
    assert run("stop").exit_code == 0
    assert process.wait(10) == -signal.SIGKILL


def test_workers_that_a_killed_service_leaves_are_waited_for(run, holder, path):
    process = holder(LEAVES_A_WORKER)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is dead, and stays a zombie
    assert running.is_registered(path)
    assert run("status").exit_code == 1
    assert run("stop").stdout == f"Nothing runs on {path}\n"
    assert not running.is_registered(path)


# -- Several services


@pytest.fixture
def both(holder, url, path):
    """A service that answers, and the process of another on the same database, which does not."""
    process = holder(SLEEP, 2)
    return url, process


def test_the_status_of_several_services_shows_each(run, path, both):
    url, process = both
    result = run("status")
    assert result.exit_code == 1  # one of them does not answer
    assert [line.split()[1] for line in result.stdout.splitlines() if line.startswith("Address")] == [url, URL]
    assert result.stdout.count("It does not answer.") == 1
    told = json.loads(run("status", "--json").stdout)
    assert (told["url"], told["answers"]) == (url, True)
    assert told["others"] == [{"answers": False, "url": URL, "pid": process.pid, "database": path, "log": None}]


def test_a_start_beside_several_services_names_each_and_starts_none(run, both, service_is):
    pids = service_is("")
    result = run("start")
    assert result.stdout.startswith(f"It runs already\nAddress      {both[0]}\n")
    assert f"\nAddress      {URL}\n" in result.stdout
    assert result.stdout.endswith("Stop them with `flask stop`\n")
    assert not pids.exists()


def test_a_start_at_another_port_that_is_asked_for_starts_one(app, run, url, service_is):
    app.config["PORT"] = 1
    pids = service_is("print('Error: It ends.')")
    result = run("start")
    assert (result.exit_code, result.stderr, pids.exists()) == (1, "Error: It ends.\n", True)


def test_a_shell_is_told_the_address_at_the_port_that_is_asked_for(app, run, path, url, monkeypatch):
    monkeypatch.setattr(start, "send_request", lambda *_: client.Answer(200))
    with running.registered(path, URL):
        assert run("env").stdout.startswith(f"export SIGMA_API_URL={url}/api/v1\n")
        app.config["PORT"] = 1
        assert run("env").stdout.startswith(f"export SIGMA_API_URL={URL}/api/v1\n")


def test_a_stop_stops_each_service(run, path, holder):
    processes = [holder(SLEEP, number) for number in (1, 2)]
    result = run("stop")
    names = " and ".join(f"{URL} (process {process.pid})" for process in processes)
    assert (result.exit_code, result.stdout) == (0, f"Stopped {names}: nothing runs on {path} any more\n")
    assert [process.wait(10) for process in processes] == [-signal.SIGTERM] * 2


# -- A service does not start


def test_a_start_that_fails_says_what_the_service_said(run, path, service_is):
    service_is("print('Sigma PIM'); print('Error: Cannot serve on 127.0.0.1: it is taken.', file=sys.stderr); sys.exit(1)")
    result = run("start")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: Cannot serve on 127.0.0.1: it is taken.\n"
    log = Path(f"{path}.log")
    assert stat.S_IMODE(log.stat().st_mode) == 0o600  # it names keys and people
    assert log.read_text().count("it is taken") == 1
    service_is("print('Error: Another reason.')")
    assert run("start").stderr == "Error: Another reason.\n"
    assert "it is taken" in log.read_text()  # it is kept


def test_a_start_that_fails_without_a_reason_shows_the_end_of_the_log(run, service_is):
    service_is("1 / 0")
    result = run("start")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: The service ended before it answered. The end of its log:\nTraceback")
    assert result.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_a_service_that_does_not_come_to_answer_is_ended(run, path, service_is, monkeypatch):
    monkeypatch.setattr(start, "START_TIMEOUT", 0.3)
    pids = service_is("time.sleep(60)")
    result = run("start")
    assert (result.exit_code, result.stderr) == (1, f"Error: No answer within 0.3 seconds; the log is {path}.log\n")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids.read_text()), 0)


# -- What serves


def test_each_of_two_services_on_a_database_is_registered(path, state):
    first, second = ((os.getpid(), url, None) for url in ("http://127.0.0.1:1111", "http://127.0.0.1:2222"))
    with running.registered(path, first[1]):
        with running.registered(path, second[1]):
            assert running.find_running(path) == [first, second]
        assert running.find_running(path) == [first]
        assert running.is_registered(path)
        assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert not running.is_registered(path)
    assert list(state.parent.glob(f"{state.name}*")) == []


def test_more_services_than_can_be_registered_serve_all_the_same(path, monkeypatch):
    monkeypatch.setattr(running, "MOST", 1)
    with running.registered(path, "http://127.0.0.1:1111"), running.registered(path, "http://127.0.0.1:2222"):
        assert [found.url for found in running.find_running(path)] == ["http://127.0.0.1:1111"]


def test_a_service_that_cannot_be_registered_serves_all_the_same(path, state):
    state.mkdir()
    with running.registered(path, URL):
        pass
    state.rmdir()


@pytest.fixture
def served(monkeypatch):
    """The services that would have been run, each with what was found of it meanwhile, and the number of demo workspaces."""
    found = []

    def run_server(host, port, workers, path, announce):
        found.append((running.find_running(path), os.path.exists(path)))

    monkeypatch.setattr(serve, "run_server", run_server)
    monkeypatch.setattr(serve, "reserve_port", lambda _, port: nullcontext(port))  # the addresses are none of this machine's
    return found


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8123"),
        ("0.0.0.0", "http://127.0.0.1:8123"),
        ("::", "http://[::1]:8123"),
        ("::ffff:0:0", "http://127.0.0.1:8123"),
        ("192.0.2.1", "http://192.0.2.1:8123"),
    ],
)
def test_what_serves_says_where_this_machine_finds_it(app, run, path, served, host, url):
    app.config.update(HOST=host, PORT=8123, ALLOW_PUBLIC_DEMO=True)
    assert run("serve").exit_code == 0
    assert served == [([(os.getpid(), url, None)], True)]
    assert not running.is_registered(path)


GOOD = "UPDATE api_keys SET deactivated_at = created_at WHERE tenant = 'ws-demo' AND id {}"
HEADER = "X-Sigma-ApiKey: "
SECOND_KEY = "sigma_sk_live_abc123def456ghi789"


@pytest.mark.parametrize(
    ("off", "told"),
    [
        ("= ''", f"{HEADER}{EXAMPLE_KEY}  (read, update-data)"),
        ("= 'apikey-sync-prod'", f"{HEADER}{SECOND_KEY}  (read)"),
        ("LIKE '%'", "deactivated; Reset, in the console, brings it back"),
    ],
)
def test_what_serves_tells_a_key_that_is_good_and_what_to_try_first(app, run, served, off, told):
    sql(app, GOOD.format(off))
    app.config.update(HOST="127.0.0.1", PORT=8123)
    lines = dict(line.split(maxsplit=1) for line in run("serve").stdout.replace("Demo ", "Demo-").splitlines())
    assert lines["Demo-login"] == "admin@sigma.io / admin"
    assert lines["Demo-key"] == told
    assert lines["Stop"] == "`flask stop`"
    shown = [line for line in run("serve").stdout.splitlines() if line.startswith("Try first    ")]
    if told.startswith(HEADER):
        header = told.partition("  ")[0]
        url = "http://127.0.0.1:8123/api/v1/records?limit=1"
        assert [shlex.split(line)[2:] for line in shown] == [["curl", "-s", url, "-H", header]]
        answer = app.test_client().get(url, headers=dict([header.split(": ")]))
        assert (answer.status_code, answer.json["total"]) == (200, 47)
    else:
        assert shown == []


def test_a_second_service_at_the_same_address_is_told_how_to_stop_the_first(app, run, path, served):
    app.config.update(HOST="127.0.0.1", PORT=8123)
    with running.registered(path, "http://127.0.0.1:8123"):
        result = run("serve")
    assert (result.exit_code, served) == (1, [])
    told = f"It runs already, at http://127.0.0.1:8123 (process {os.getpid()}): `flask stop` stops it."
    assert result.stderr == f"Error: {told}\n"


def test_a_second_service_at_a_port_that_nobody_asks_for_is_not_served(run, path, served):
    with running.registered(path, "http://127.0.0.1:8123"):
        result = run("serve")
    assert (result.exit_code, result.stdout, served) == (1, "", [])
    assert result.stderr == (
        f"Error: It runs already, at http://127.0.0.1:8123 (process {os.getpid()}): `flask stop` stops it."
        " To serve it at http://127.0.0.1:8080 as well, set SIGMA_PORT=8080.\n"
    )


def test_a_second_service_at_a_port_that_is_asked_for_says_which_is_there(app, run, path, served):
    app.config.update(HOST="127.0.0.1", PORT=8124)
    first, second = ((os.getpid(), url, None) for url in ("http://127.0.0.1:8123", "http://127.0.0.1:8124"))
    with running.registered(path, first[1]):
        result = run("serve")
    assert (result.exit_code, served) == (0, [([first, second], True)])
    assert f"The same database is also served at http://127.0.0.1:8123 (process {os.getpid()}).\n" in result.stderr


@pytest.fixture
def restore_sigterm():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("restore_sigterm")
def test_a_temporary_demo_goes_with_its_service(app, run, served, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    app.config["DATABASE"] = str(folder / "new.db")
    database.prepare_database(app.config["DATABASE"])
    (folder / "new.db.log").touch()
    result = run("serve", "--temporary")
    assert (result.exit_code, result.stderr) == (0, "")
    assert EXAMPLE_KEY in result.stdout
    assert served[0][1] is True
    assert not folder.exists()


@pytest.mark.usefixtures("restore_sigterm")
def test_a_database_that_holds_something_is_not_served_as_a_temporary_one(run, stored, served, path):
    before = stored()
    result = run("serve", "--temporary")
    assert (result.exit_code, result.stdout, served) == (1, "", [])
    assert result.stderr.startswith(f"Error: {path} holds a workspace, and --temporary would remove it.")
    assert stored() == before


@pytest.mark.usefixtures("restore_sigterm")
def test_of_a_temporary_demo_only_what_is_its_own_goes(app, run, served, tmp_path):
    app.config["DATABASE"] = str(tmp_path / "new.db")
    database.prepare_database(app.config["DATABASE"])
    (tmp_path / "notes.txt").touch()
    assert run("serve", "--temporary").exit_code == 0
    assert [file.name for file in tmp_path.glob("new.db*")] == []
    assert (tmp_path / "notes.txt").exists()
