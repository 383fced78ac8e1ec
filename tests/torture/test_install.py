"""The first minutes: `make` in a fresh copy of the project, with nothing but Python, and where something is missing."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from processes import EXAMPLE_KEY, ROOT, SOON, is_up, wait_until
from terminals import in_terminal

INSTALL_TIMEOUT = 300  # seconds, for an index that is far away and a busy machine
PRETENDING = """#!/bin/sh
exec '{python}' -c '
import importlib.util, runpy, shutil, sys
{lines}
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")' "$@"
"""
HIDE = "found = importlib.util.find_spec; importlib.util.find_spec = lambda name: None if name == '{}' else found(name)"


def environment(**more):
    names = ("SIGMA_", "PORT", "HOST", "WORKERS", "MAKE", "NO_COLOR", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(names)} | more


def copy_project(folder):
    shutil.copytree(ROOT / "sigma", folder / "sigma", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "requirements.txt", "app.py", "schema.sql"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def project(tmp_path):
    """A fresh copy of the project, in a folder with a name that is not the plainest."""
    return copy_project(tmp_path / "my project")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A project in which everything is installed."""
    folder = copy_project(tmp_path_factory.mktemp("installed") / "project")
    done = make(folder, "install")
    assert done.returncode == 0, done.stderr
    return folder


def make(folder, *arguments, **more):
    options = {"cwd": folder, "env": environment(**more), "capture_output": True, "text": True, "timeout": INSTALL_TIMEOUT}
    return subprocess.run(["make", f"PYTHON={sys.executable}", *arguments], check=False, **options)


def refused(done):
    """Check that make says in one sentence what is wrong, and return that."""
    assert done.returncode == 2, done.stdout
    said, make_itself = done.stderr.splitlines()
    assert said.startswith("Error: ")
    assert said.endswith(".")
    assert make_itself.startswith("make: *** ")
    return said


def pretend(folder, lines):
    """Make a Python that pretends something to what it runs."""
    program = folder.parent / "python"
    program.write_text(PRETENDING.format(python=sys.executable, lines=lines), encoding="utf-8")
    program.chmod(0o755)
    return f"PYTHON={program}"


def banner(folder, url):
    header = f"X-Sigma-ApiKey: {EXAMPLE_KEY}"
    return [
        f"Sigma PIM    {url}/api/v1",
        f"Console      {url}/console",
        f"Docs         {url}/docs",
        f"Database     {folder}/sigma.db",
        "Demo login   admin@sigma.io / admin",
        f"Demo key     {header}  (read, update-data)",
        f'Try first    curl -s "{url}/api/v1/records?limit=1" -H "{header}"',
        "Stop         Ctrl-C",
        f"Ready        {url}",
    ]


def test_the_first_run_says_what_it_does_and_the_second_one_only_where_everything_is(project):
    packages = len(re.findall("^[A-Za-z]", (project / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE))
    for is_first in (True, False):
        command = ["make", f"PYTHON={sys.executable}", "run"]
        with in_terminal(command, 100, cwd=project, env=environment(SIGMA_PORT="0")) as (process, read, _):
            url = re.search(r"Docs +(http://127.0.0.1:[0-9]+)/docs", read(b"Ready"))[1]
            lines = read(f"Ready        {url}".encode()).replace("\r\n", "\n").strip().split("\n")
            assert lines[-9:] == banner(project, url)
            if is_first:
                assert lines[0].startswith(f"Installing {packages} packages into {project}/.venv")
                assert f"  {packages} of {packages}: " in lines[1]
                assert all(len(line) < 100 for line in lines[1].split("\r"))
                assert re.search(r"\rInstalled in \d+ s\.$", lines[1])
            else:
                assert len(lines) == 9
            curl = lines[-3].removeprefix("Try first    ")
            for shell in filter(shutil.which, ("sh", "bash", "zsh")):
                answer = subprocess.run([shell, "-c", curl], capture_output=True, text=True, check=True).stdout
                assert '"total":47' in answer
            os.killpg(process.pid, signal.SIGINT)  # as the terminal does
            process.wait(SOON)
            assert "Traceback" not in read()
            assert not is_up(int(url.rpartition(":")[2]))


def test_without_a_terminal_there_is_a_line_for_each_package(project):
    done = make(project, "install")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    requirements = re.findall(r"^([A-Za-z0-9-]+)==", (project / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert lines[0].startswith("Installing ")
    told = [re.fullmatch(r"  (\d+) of \d+: (\S+)", line) for line in lines[2:-3]]
    assert [int(match[1]) for match in told] == list(range(1, len(requirements) + 1))
    plain = {match[2].lower().replace("_", "-") for match in told}
    assert plain == {name.lower() for name in requirements}
    assert re.fullmatch(r"Installed in \d+ s\.", lines[-2])
    assert make(project, "install").stdout == "make: Nothing to be done for 'install'.\n"


# -- What may be missing

BARE = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": "", "PIP_NO_CACHE_DIR": "1"}


def download(folder):
    command = [sys.executable, "-m", "pip", "download", "--quiet", "-r", ROOT / "requirements.txt", "-d", folder]
    subprocess.run(command, check=True, timeout=INSTALL_TIMEOUT)
    return folder


def test_without_a_network_it_says_how_to_give_it_packages_and_takes_them(project, tmp_path):
    refusing = {**BARE, "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"}
    done = make(project, "run", **refusing)
    said = refused(done)
    for words in ("does not answer", "PIP_INDEX_URL=", "PIP_NO_INDEX=1 PIP_FIND_LINKS=", "pip download -r requirements.txt"):
        assert words in said
    assert "  no answer from the package index: trying again (Ctrl-C ends it)\n" in done.stdout
    empty = tmp_path / "empty"
    empty.mkdir()
    given = {**BARE, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(empty)}
    assert "does not have what is needed" in refused(make(project, "run", **given))
    wheels = download(tmp_path / "wheels")
    done = make(project, "install", **{**BARE, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)})
    assert (done.returncode, done.stderr) == (0, "")
    assert "  18 of 18: " in done.stdout


def test_a_file_that_was_changed_is_told_and_nothing_is_installed(project, tmp_path):
    wheels = download(tmp_path / "wheels")
    (wheel,) = wheels.glob("webargs-*.whl")
    released = wheel.read_bytes()
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("webargs/more.py", "")
    given = {**BARE, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    said = refused(make(project, "install", **given))
    assert f"The file of webargs==8.7.1 from {wheel.as_uri()} does not have the hash of the released file" in said
    assert ", so nothing is installed: " in said
    modules = {path.name for path in project.glob(".venv/lib/*/site-packages/*")}
    assert "pip" in modules
    assert {"flask", "webargs", "werkzeug"}.isdisjoint(modules)
    assert not (project / ".venv" / "installed").exists()
    wheel.write_bytes(released)
    assert make(project, "install", **given).returncode == 0


def test_an_index_without_a_version_for_this_python_is_told(project, tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "flask-0.1-py3-none-any.whl").touch()
    given = {**BARE, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    assert "has no flask==" in refused(make(project, "install", **given))


def test_a_python_that_is_not_there_is_told(project):
    said = refused(make(project, "run", "PYTHON=/nowhere/python3"))
    assert (
        said == "Error: There is no /nowhere/python3: install Python 3.11 or newer, or name it, make PYTHON=/path/to/python3."
    )


def test_a_python_that_is_too_old_is_told(project):
    said = refused(make(project, "run", pretend(project, "sys.version_info = (3, 9, 18)")))
    assert "Python 3.11 or newer is needed" in said
    assert " is 3.9.18: " in said
    assert "make PYTHON=" in said
    assert not (project / ".venv").exists()


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_python_without_a_part_is_told_with_the_package_that_has_it(project, module):
    said = refused(make(project, "run", pretend(project, HIDE.format(module).replace("'", '"'))))
    assert f"has no module {module}: " in said
    assert f"apt install python3.{sys.version_info[1]}-venv" in said


def test_a_full_disk_is_told_before_and_while_something_is_installed(project, tmp_path):
    said = refused(
        make(project, "run", pretend(project, "shutil.disk_usage = lambda path: shutil._ntuple_diskusage(1, 1, 5000000)"))
    )
    assert said.startswith(f"Error: The disk is full: 100 MB are needed in {project}, 5 MB are free")
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=30m", "none", small], capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        copy = Path(shutil.copytree(project, small / "project"))
        enough = pretend(project, "shutil.disk_usage = lambda path: shutil._ntuple_diskusage(9**9, 1, 9**9)")
        assert refused(make(copy, "run", enough)).startswith("Error: The disk is full: make room there")
        subprocess.run(["mount", "-o", "remount,size=300m", small], check=True)
        assert make(copy, "install").returncode == 0
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_folder_that_is_anothers_is_told(project):
    python = shutil.which("python3", path="/usr/bin:/bin")
    if os.geteuid() or python is None:
        pytest.skip("becoming another user needs the right to, and a Python that others may run")
    for folder in project.parents[:4]:
        folder.chmod(folder.stat().st_mode | 0o055)
    options = {"cwd": project, "env": environment(), "user": 65534, "group": 65534, "extra_groups": []}
    done = subprocess.run(["make", f"PYTHON={python}", "run"], capture_output=True, text=True, check=False, **options)
    said = refused(done)
    assert said == f"Error: {project} cannot be written to: run make as the user who owns it, or in a copy of your own."


# -- What may happen


def begin_install(folder):
    command, options = ["make", f"PYTHON={sys.executable}", "install"], {"cwd": folder, "env": environment()}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, **options)


@pytest.mark.parametrize(
    "seen", ["unfinished", "bin/python", "lib/*/site-packages/pip/__init__.py", "lib/*/site-packages/flask"]
)
def test_an_install_that_is_killed_begins_anew(project, seen):
    process = begin_install(project)
    assert wait_until(lambda: any((project / ".venv").glob(seen)), INSTALL_TIMEOUT)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (project / ".venv" / "installed").exists()
    assert make(project, "install").returncode == 0
    assert make(project, "routes").returncode == 0


def test_two_that_install_at_once_do_not_disturb_each_other(project):
    processes = [begin_install(project) for _ in range(2)]
    assert [process.wait(INSTALL_TIMEOUT) for process in processes] == [0, 0]
    assert make(project, "routes").returncode == 0


def test_what_does_not_run_any_more_is_installed_anew(project):
    assert make(project, "install").returncode == 0
    moved = project.rename(project.with_name("moved"))
    assert "/api/v1/records" in make(moved, "routes").stdout
    python = moved / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    done = make(moved, "routes")
    assert "Installing " in done.stdout
    assert "/api/v1/records" in done.stdout
    assert "Installing " not in make(moved, "routes").stdout


def test_a_folder_of_anothers_is_never_cleared(project, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "precious").touch()
    (project / ".venv").symlink_to(other)
    assert "is a link to" in refused(make(project, "run"))
    assert (other / "precious").exists()


def test_a_port_that_is_taken_is_told_with_the_process_that_has_it_and_another(installed):
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        said = make(installed, "run", SIGMA_PORT=str(port)).stderr.splitlines()[0]
    assert said.startswith(f"Error: Port {port} of 127.0.0.1 is taken by process {os.getpid()} (")
    free = int(re.search(r"choose another, SIGMA_PORT=(\d+)\.$", said)[1])
    with socket.create_server(("127.0.0.1", free)):
        pass


# -- Without an installation, and with one


@pytest.mark.parametrize("isolated", [["-S"], []])
def test_app_py_says_what_to_run_instead(project, isolated):
    done = subprocess.run([sys.executable, *isolated, "app.py"], cwd=project, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Run `make run` in this folder: it installs what the service needs, and serves it.\n"


def test_flask_run_says_what_to_run_instead(installed):
    command = [installed / ".venv" / "bin" / "flask", "run"]
    done = subprocess.run(command, cwd=installed, env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "use `.venv/bin/flask serve`, or `make run` for the demo." in done.stderr


def test_flask_run_where_only_flask_is_installed_says_what_to_run_instead(project, tmp_path):
    environ = tmp_path / "environ"
    subprocess.run([sys.executable, "-m", "venv", environ], check=True)
    install = [environ / "bin" / "python", "-m", "pip", "install", "--quiet", "flask"]
    subprocess.run(install, check=True, timeout=INSTALL_TIMEOUT, capture_output=True)
    done = subprocess.run([environ / "bin" / "flask", "run"], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "Run `make run` in this folder: it installs what the service needs, and serves it.\n"


def test_reset_needs_no_installation_where_there_is_nothing(project):
    done = make(project, "reset")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"There is no database at {project}/sigma.db: nothing to reset.\n"
    assert not (project / ".venv").exists()


def test_reset_refuses_beside_a_service_and_then_moves_the_database_away(installed):
    done = make(installed, "start", SIGMA_PORT="0")
    assert done.returncode == 0, done.stderr
    try:
        assert done.stdout.endswith("Stop it with `make stop`\n")
        url = re.search(r"Address +(\S+)", done.stdout)[1]
        told = make(installed, "status")
        assert (told.returncode, told.stdout.splitlines()[0].split()) == (0, ["Address", url])
        said = make(installed, "reset").stderr.splitlines()[0]
        assert said.startswith(f"Error: {installed}/sigma.db is not moved away, because the service at {url} (process ")
        assert "stop it, by Ctrl-C or `make stop`" in said
        assert (installed / "sigma.db").exists()
    finally:
        assert make(installed, "stop").returncode == 0
    told = make(installed, "status")
    nothing = f"Nothing runs on {installed}/sigma.db: start it with `make start`\n"
    assert (told.returncode, told.stdout) == (2, nothing)
    assert make(installed, "reset").returncode == 0
    (folder,) = installed.glob("old-sigma.db-*")
    assert {"sigma.db", "sigma.db.log"} <= {file.name for file in folder.iterdir()}
    assert list(installed.glob("sigma.db*")) == []
    time.sleep(1)  # the name of the folder has the second


def test_the_options_of_the_demo_are_variables_of_make(installed):
    told = make(installed, "--dry-run", "demo", "AUTO=1", "FAST=0", "EXIT=yes", "ARGS=--help").stdout
    assert re.sub(r"[\s\\]+", " ", told).strip().endswith("-m sigma.cli.play --auto --exit --help")


def test_a_mistyped_verb_is_told_where_the_verbs_are(installed):
    done = make(installed, "strat")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: There is no verb strat: `make help` lists the verbs.\n")
