"""What real processes of the commands do with a standard output that takes nothing, or shows little."""

import os
import subprocess
import sys

import pytest
from processes import FLASK, ROOT, START_TIMEOUT, environment, flask, starting, wait_until

from sigma.cli import dist

LOST = {
    "full": ("exec {command} > /dev/full", "No space left on device"),
    "closed": ("exec {command} >&-", "it is closed"),
    "gone": ("{{ sleep 0.5; {command}; }} | exit; exit ${{PIPESTATUS[0]}}", "Broken pipe"),
}
COMMANDS = [
    "keys list --workspace ws-demo",
    "workspace list --json",
    "export - --schema schema-apparel",
    "keys create --help",
    "play --fast",
]


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    database = tmp_path_factory.mktemp("database") / "sigma.db"
    assert flask(database, "demo").returncode == 0
    return database


def run(line, database, **more):
    variables = environment(database, **more)
    options = {"cwd": ROOT, "env": variables, "capture_output": True, "timeout": START_TIMEOUT}
    return subprocess.run(["bash", "-c", line], check=False, **options)


def what_is_done(words, how):
    """The end of the line: what has been done although nobody sees it."""
    if words in ("keys create --help", "play --fast"):  # which have done nothing so far
        return ""
    if how == "closed":
        return "; nothing was done"
    return "" if words.startswith("export - ") else ". The command itself was carried out"


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_whose_output_is_lost_ends_with_1_and_a_sentence(database, words, how):
    line, reason = LOST[how]
    done = run(line.format(command=f"{FLASK} --app app {words}"), database)
    told = [line for line in done.stderr.decode().splitlines() if not line.startswith("Database: ")]
    assert len(told) == 1, told
    assert told[0].startswith("Error: Standard output does not take the result: ")
    assert told[0].endswith(reason + what_is_done(words, how))
    assert done.returncode == 1


NOTHING_TO_READ = {
    "users password editor@sigma.io": "The password: nothing came on standard input, and there is no terminal to ask on",
    "keys needs": 'Expected routes such as "GET /records", as arguments, in a --file or on standard input',
    "seed check -": "-: expected JSON, got only blanks",
    "import - --schema schema-apparel --format csv": "-:1: expected a line with the names of columns",
    "workspace delete ws-demo": "Aborted!",
}


@pytest.mark.parametrize("words", NOTHING_TO_READ)
def test_a_command_without_standard_input_reads_nothing(database, words):
    done = run(f"exec {FLASK} --app app {words} <&-", database)
    told = done.stderr.decode().splitlines()[-1]
    assert told.endswith(NOTHING_TO_READ[words]), told
    assert done.returncode in (1, 2)


@pytest.mark.parametrize("how", ["full", "closed"])
def test_a_service_goes_on_without_a_standard_output_and_ends_with_0(database, how):
    line = LOST[how][0].format(command=f"{FLASK} --app app serve")
    with starting(database, command=("bash", "-c", line)) as server:
        assert wait_until(lambda: flask(database, "status").returncode == 0)
        server.process.terminate()
        assert server.process.wait(START_TIMEOUT) == 0
        assert "Traceback" not in server.log.read_text(encoding="utf-8")


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", b"?"), ("latin-1", b"?")])
def test_the_story_is_told_in_any_encoding(database, encoding, shown):
    done = run(f"exec {FLASK} --app app play --fast", database, PYTHONIOENCODING=encoding, PORT="0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"Starting the service, with a demo workspace of its own " + shown)
    assert b"requests; 0 failed." in done.stdout


def test_the_one_file_to_carry_is_told_by_its_name_in_all_that_it_prints(tmp_path):
    archive = tmp_path / "sigma-pim.pyz"
    dist.build_archive(archive)
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python3").symlink_to(os.path.realpath(sys.executable))  # the one that the archive is for
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    variables = {**environment(tmp_path / "sigma.db"), "XDG_CACHE_HOME": str(tmp_path), "PATH": path}
    options = {"cwd": tmp_path, "env": variables, "capture_output": True, "text": True}
    for words in ("--help", "users --help", "start --help", "status", "keys list", "run", "users role"):
        told = subprocess.run(["bash", "-c", f"python3 sigma-pim.pyz {words} 2>&1"], check=False, **options).stdout
        assert "python3 sigma-pim.pyz" in told, words
        assert "Traceback" not in told
        for line in told.splitlines():
            assert "`flask " not in line
            assert "Example: flask" not in line
    lost = subprocess.run(["bash", "-c", "python3 sigma-pim.pyz --help >/dev/full"], check=False, **options)
    assert lost.returncode == 1
    assert lost.stderr == "Error: Standard output does not take the result: [Errno 28] No space left on device\n"
