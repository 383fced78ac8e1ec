"""The recipes of docs/testing/, each run as it is written, with the tools that it is for, beside a checkout of this project.

What is not on this machine is skipped, and says so: Java, npm's registry, zsh.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from processes import ROOT, START_TIMEOUT, environment, is_up, program, run_group, wait_until
from terminals import CONTROLLED, SHELLS, in_terminal
from test_clients import install_from_npm

from sigma.cli.running import is_registered

RECIPES = ROOT / "docs" / "testing"
PLAYWRIGHT = "@playwright/test@1.65.1"
KEY = "sigma_sk_live_abc123def456ghi789jkl012mno345pqr678"
RECORD = "ent-coastal-wb"
in_both_shells = pytest.mark.parametrize("name", ["bash", "zsh"])


def blocks(document, language):
    """Return the code blocks of a document in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture
def home(tmp_path):
    """A checkout, where everything has been installed; whatever runs in it ends with the test."""
    home = tmp_path / "sigma-pim-embedded"
    shutil.copytree(ROOT / "sigma", home / "sigma", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("app.py", "schema.sql", "Makefile", "requirements.txt"):
        shutil.copy(ROOT / name, home)
    os.utime(home / "requirements.txt", (0, 0))  # or make would install them again
    (home / ".venv").symlink_to(Path(sys.executable).parent.parent)
    yield home
    stop = [home / ".venv/bin/flask", "--app", "app", "stop"]
    for database in home.glob("*.db"):
        subprocess.run(stop, cwd=home, env=environment(database), check=True, capture_output=True)


@pytest.fixture
def project(tmp_path, home):
    """A project of somebody else's, beside the checkout, with both helpers in it."""
    project = tmp_path / "project"
    project.mkdir()
    for name in ("sigma_standin.py", "sigma_standin.mjs"):
        shutil.copy(RECIPES / name, project)
    return project


def variables(**more):
    """Return the environment of a developer: without settings, with what the tests' own environment has on its PATH."""
    inherited = {name: value for name, value in environment("").items() if name != "SIGMA_DATABASE"}
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**inherited, "SIGMA_PORT": "0", "PATH": beside, **more}


def shell(script, folder, *command, name="bash", **more):
    """Run lines of a shell as a block, and return what they print."""
    command = command or (program(name, "this test"), "-eu", "-o", "pipefail", "-c")
    return run_group([*command, script], folder, variables(**more))


def no_temporary_database_is_left(folder):
    return wait_until(lambda: list(folder.glob("sigma-standin-*")) == [])


@pytest.fixture
def temporary(tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


# -- The README


def test_the_example_of_the_readme(project, monkeypatch):
    (example,) = (block for block in blocks(ROOT / "README.md", "python") if "import Standin" in block)
    integration = (
        "import urllib.error, urllib.request\n"
        "def run_my_integration(url, key):\n"
        f"    asked = urllib.request.Request(f'{{url}}/records/{RECORD}', headers={{'X-Sigma-ApiKey': key}})\n"
        "    try:\n"
        "        urllib.request.urlopen(asked)\n"
        "    except urllib.error.HTTPError as error:\n"
        "        assert error.code == 429\n"
        "        urllib.request.urlopen(asked).close()\n"
    )
    done = subprocess.run([sys.executable, "-c", integration + example], cwd=project, env=variables(), check=False)
    assert done.returncode == 0


README = (ROOT / "README.md").read_text(encoding="utf-8")
PASSWORD = "correct horse battery"
STATE = """printf '%s\\n' "$PATH" "$(command -v python3)" "${SIGMA_DATABASE-}" "${FLASK_APP-}" > """


@in_both_shells
def test_the_readme_from_its_first_line_to_its_last_in_one_shell(tmp_path, home, name):
    """What serves in the foreground is ended by Ctrl-C; for the story it serves in another terminal, as the README says."""
    run, demo, story, own, testing, deploying = blocks(ROOT / "README.md", "sh")
    start_own, stop_own, serve = re.findall("`(SIGMA_DATABASE=[^`]+ make [a-z]+)`", README)
    port, other = str(free_port()), str(free_port())
    settings = variables(SIGMA_PORT=port, HOME=str(tmp_path), TERM="xterm", AUTO="1", FAST="1", EXIT="1")
    command = [*CONTROLLED, program(name, "this test"), *SHELLS[name]]
    with in_terminal(command, cwd=home, env=settings) as (_, read, type_text):
        shown = ""

        def wait_for(words):
            nonlocal shown
            before, shown = shown, read(words.encode())
            return shown[len(before) :]

        def paste(lines, number):
            lines = f"{lines.rstrip()}\nprintf 'done %s\\n' {number}\n".encode()
            threading.Thread(target=type_text, args=(lines,), daemon=True).start()
            return wait_for(f"done {number}\r\n")

        def serve_until_ctrl_c(line, database):
            type_text(f"{line.rstrip()}\n".encode())
            assert wait_until(lambda: is_up(int(port)), START_TIMEOUT)
            type_text(b"\x03")
            assert wait_until(lambda: not is_registered(str(database)))

        paste(f"{STATE} before", 1)
        serve_until_ctrl_c(run, home / "sigma.db")
        assert "requests; 0 failed." in paste(demo, 2)
        with in_terminal(["make", "run"], cwd=home, env=settings):
            assert wait_until(lambda: is_up(int(port)), START_TIMEOUT)
            told = paste(story.replace("8080", port), 3)
            assert re.findall(r"([0-9]{3})  (?:\{\"|\r)", told)[-4:] == ["200", "401", "204", "200"]
            assert "Created 2, updated 0." in paste(own, 4)
            assert f"http://127.0.0.1:{other}" in paste(start_own.replace("8081", other), 5)
            assert f"Stopped http://127.0.0.1:{other} " in paste(stop_own, 6)
        assert wait_until(lambda: not is_registered(str(home / "sigma.db")))
        told = paste(testing, 7)
        assert (f'{{"id":"{RECORD}",' in told, f"Stopped http://127.0.0.1:{port} " in told) == (True, True)
        type_text(deploying.encode())
        for words in ("Password: ", "Repeat for confirmation: "):
            wait_for(words)
            type_text(f"{PASSWORD}\n".encode())
        wait_for("Workspace 'acme' created")
        serve_until_ctrl_c(serve, tmp_path / "sigma-pim" / "sigma.db")
        paste(f"{STATE} after", 8)
    assert (home / "after").read_text() == (home / "before").read_text()


@in_both_shells
def test_the_lines_for_shells(home, name):
    """Pasted as a block, twice in a row, and found in the README as well."""
    short = next(block for block in blocks(ROOT / "README.md", "sh") if "make start" in block)
    (long,) = blocks(RECIPES / "shell.md", "sh")
    (home.parent / "project").mkdir()
    for script, folder in ((short, home), (short, home), (long, home.parent / "project")):
        told = shell(script, folder, name=name)
        assert f'{{"id":"{RECORD}",' in told
        stopped = rf"Stopped http://127\.0\.0\.1:\d+ \(process \d+\): nothing runs on {re.escape(str(home))}/sigma\.db any more"
        assert re.fullmatch(stopped, told.splitlines()[-1])
        assert (home / "sigma.db.log").exists()


# -- pytest


@in_both_shells
def test_pytest(project, temporary, name):
    conftest, tests, more = blocks(RECIPES / "pytest.md", "python")
    (project / "conftest.py").write_text(conftest)
    (project / "test_prices.py").write_text(tests)
    (project / "test_empty.py").write_text("import requests\n" + more)
    (script,) = blocks(RECIPES / "pytest.md", "sh")
    settings = {"TMPDIR": str(temporary), "PYTEST_ADDOPTS": "-p no:cacheprovider -W error"}
    told = shell(script, project, name=name, **settings)
    assert re.findall(r"(\d+) passed", told) == ["3", "3"]
    (project / "conftest.py").unlink()
    as_a_plugin = re.search("`(python -m pytest -p .*?)`", (RECIPES / "pytest.md").read_text())[1]
    told = shell(as_a_plugin, project, name=name, SIGMA_STANDIN="../sigma-pim-embedded", **settings)
    assert re.findall(r"(\d+) passed", told) == ["3"]
    assert no_temporary_database_is_left(temporary)


# -- Node


@in_both_shells
def test_node(project, temporary, name):
    program("node", "this test")
    (tests,) = blocks(RECIPES / "node.md", "js")
    (script,) = blocks(RECIPES / "node.md", "sh")
    (project / "prices.test.mjs").write_text(tests)
    told = shell(script, project, name=name, TMPDIR=str(temporary))
    assert re.findall(r"^\S+ (pass|fail) (\d+)$", told, re.MULTILINE) == [("pass", "2"), ("fail", "0")]
    assert no_temporary_database_is_left(temporary)


# -- Webhooks


@in_both_shells
def test_webhooks_with_pytest(project, temporary, name):
    conftest, tests = blocks(RECIPES / "webhooks.md", "python")
    (project / "conftest.py").write_text(conftest)
    (project / "test_webhooks.py").write_text(tests)
    script, _ = blocks(RECIPES / "webhooks.md", "sh")
    told = shell(script * 3, project, name=name, TMPDIR=str(temporary), PYTEST_ADDOPTS="-p no:cacheprovider -W error")
    assert re.findall(r"(\d+) passed", told) == ["2", "2", "2"]
    assert no_temporary_database_is_left(temporary)


@in_both_shells
def test_webhooks_with_node(project, temporary, name):
    program("node", "this test")
    (tests,) = blocks(RECIPES / "webhooks.md", "js")
    _, script = blocks(RECIPES / "webhooks.md", "sh")
    (project / "webhooks.test.mjs").write_text(tests)
    told = shell(script * 3, project, name=name, TMPDIR=str(temporary))
    assert re.findall(r"^\S+ (pass|fail) (\d+)$", told, re.MULTILINE) == [("pass", "2"), ("fail", "0")] * 3
    assert no_temporary_database_is_left(temporary)


def free_port():
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        return probe.getsockname()[1]


def test_playwright(project, home):
    program("npm", "this test")
    install_from_npm(project, PLAYWRIGHT)
    port = str(free_port())
    for file, block in zip(("playwright.config.mjs", "records.spec.mjs"), blocks(RECIPES / "playwright.md", "js"), strict=True):
        (project / file).write_text(block.replace("8089", port))
    (script,) = blocks(RECIPES / "playwright.md", "sh")
    told = shell(script, project, CI="1", DEBUG="pw:webserver")
    assert "1 passed" in told
    assert not is_registered(str(home / "playwright.db"))
    shell(script, project, name="zsh" if shutil.which("zsh") else "bash", CI="1")  # with the database of the first time


# -- Java


@in_both_shells
def test_java(project, temporary, name):
    program("java", "this test")
    (source,) = blocks(RECIPES / "java.md", "java")
    (script,) = blocks(RECIPES / "java.md", "sh")
    (project / "SigmaStandin.java").write_text(source)
    told = shell(script, project, name=name, JAVA_TOOL_OPTIONS=f"-Djava.io.tmpdir={temporary}")
    assert f'{{"id":"{RECORD}",' in told
    assert no_temporary_database_is_left(temporary)


# -- CI


def test_github_actions(tmp_path, home):
    workflow = yaml.safe_load((RECIPES / "github-actions.yml").read_text(encoding="utf-8"))
    steps = workflow["jobs"]["tests"]["steps"]
    assert [step["uses"].partition("@")[0] for step in steps if "uses" in step] == [
        "actions/checkout",
        "actions/checkout",
        "actions/setup-python",
    ]
    (tmp_path / steps[1]["with"]["path"]).symlink_to(home)
    told, given = "", tmp_path / "github.env"
    given.touch()
    for step in (step for step in steps if "run" in step):  # the last one too, which is for failures
        known = dict(line.split("=", 1) for line in given.read_text().splitlines())
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]
        told += shell(step["run"], tmp_path, *command, GITHUB_ENV=str(given), **known)
    assert known.keys() == {"SIGMA_API_URL", "SIGMA_API_KEY"}
    assert known["SIGMA_API_KEY"] == KEY
    assert f'{{"id":"{RECORD}",' in told
    assert "GET /api/v1/records/<id> 200" in told  # in the log


def test_gitlab_ci(tmp_path, home):
    """Its git is one that finds the project there."""
    job = yaml.safe_load((RECIPES / "gitlab-ci.yml").read_text(encoding="utf-8"))["tests"]
    git = tmp_path / "git"
    git.write_text(f'#!/bin/sh -eu\ncase "$4" in https://gitlab-ci-token:T@gitlab.test/*.git) ln -s {home} "$5" ;; esac\n')
    git.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = {"CI_JOB_TOKEN": "T", "CI_SERVER_HOST": "gitlab.test", "PATH": path}
    assert f'{{"id":"{RECORD}",' in shell("\n".join(job["before_script"] + job["script"]), tmp_path, **settings)
    (log,) = job["artifacts"]["paths"]
    assert "GET /api/v1/records/<id> 200" in (tmp_path / log).read_text(encoding="utf-8")
    assert "Stopped" in shell("\n".join(job["after_script"]), tmp_path, **settings)


def test_every_recipe_is_linked():
    recipes = {path.name for path in RECIPES.iterdir() if path.is_file()}
    here = {
        "github-actions.yml",
        "gitlab-ci.yml",
        "java.md",
        "node.md",
        "playwright.md",
        "pytest.md",
        "shell.md",
        "webhooks.md",
    }
    assert recipes - here == {"README.md", "within-python.md", "front-end.md", "sigma_standin.py", "sigma_standin.mjs"}
    for name in recipes - {"README.md"}:
        assert f"docs/testing/{name})" in (ROOT / "README.md").read_text(encoding="utf-8")
        assert f"]({name})" in (RECIPES / "README.md").read_text(encoding="utf-8")
