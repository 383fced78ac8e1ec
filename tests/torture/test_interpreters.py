"""The commands under other options, variables and locales of the interpreter than the usual ones."""

import json
import subprocess
import sys

import pytest
from processes import ROOT, START_TIMEOUT, environment

OPTIONS = ["-O", "-OO", "-I", "-E", "-s", "-P", "-B", "-b", "-Xdev", "-Xutf8=0", "-Werror"]
VARIABLES = {
    **dict.fromkeys(("PYTHONUTF8", "PYTHONHASHSEED", "PYTHONCOERCECLOCALE"), "0"),
    **dict.fromkeys(("PYTHONSAFEPATH", "PYTHONDEVMODE", "PYTHONUNBUFFERED", "PYTHONNOUSERSITE", "FLASK_DEBUG"), "1"),
    "PYTHONOPTIMIZE": "2",
    "PYTHONIOENCODING": "ascii",
    "PYTHONINTMAXSTRDIGITS": "640",
    "PYTHONWARNINGS": "error",
    "PYTHONMALLOC": "debug",
    "FLASK_APP": "nothing",
    "TZ": "Asia/Kathmandu",
}
LOCALES = ["C", "POSIX", "tr_TR.UTF-8", "ar_EG.UTF-8", "de_DE.ISO-8859-1", "none"]
WAYS = [
    *(((option,), {}) for option in OPTIONS),
    *(((), {name: value}) for name, value in VARIABLES.items()),
    *(((), {"LC_ALL": locale, "LANG": locale}) for locale in LOCALES),
]


def run(database, options, variables, *arguments):
    command = [sys.executable, *options, "-m", "flask", "--app", "app", *arguments]
    given = {**environment(database), **variables}
    return subprocess.run(command, cwd=ROOT, env=given, capture_output=True, timeout=START_TIMEOUT, check=False)


@pytest.mark.parametrize(("options", "variables"), WAYS, ids=str)
def test_a_command_says_the_same_and_nothing_on_the_side(tmp_path, options, variables):
    database = tmp_path / "sigma.db"
    made = run(database, options, variables, "demo")
    assert made.returncode == 0, made.stderr
    listed = run(database, options, variables, "workspace", "list", "--json")
    assert (listed.returncode, listed.stderr.decode()) == (0, "")
    (workspace,) = json.loads(listed.stdout)
    assert (workspace["id"], workspace["records"], len(workspace["users"])) == ("ws-demo", 47, 2)


@pytest.mark.parametrize("variables", [{"PYTHONWARNINGS": "error"}, {"PYTHONDEVMODE": "1"}], ids=str)
def test_nothing_is_warned_of_when_a_service_is_started_and_stopped(tmp_path, variables):
    database = tmp_path / "sigma.db"
    assert run(database, (), variables, "demo").returncode == 0
    try:
        started = run(database, (), {**variables, "PORT": "0"}, "start")
        assert (started.returncode, started.stderr.decode()) == (0, "")
    finally:
        stopped = run(database, (), variables, "stop")
    assert (stopped.returncode, stopped.stderr.decode()) == (0, "")
    log = (tmp_path / "sigma.db.log").read_text(encoding="utf-8")
    assert "Ready " in log
    assert "Warning" not in log
