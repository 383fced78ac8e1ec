"""`make dist`: the one file to carry, in folders and homes of every kind, as somebody uses it who has nothing but Python."""

import ast
import errno
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from processes import EXAMPLE_KEY, PACKAGES, ROOT, SOON, START_TIMEOUT, starting, wait_until

from sigma.cli import dist, unpack
from sigma.cli.commands import COMMANDS, load_command

KEY = {"X-Sigma-ApiKey": EXAMPLE_KEY}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    target = tmp_path_factory.mktemp("dist") / "sigma-pim.pyz"
    dist.build_archive(target)
    return target


@pytest.fixture
def carried(built, tmp_path):
    """The file in a folder with nothing else, with a home of its own, and what runs it there."""
    return Carried(Path(shutil.copy(built, tmp_path / "sigma-pim.pyz")), tmp_path)


class Carried:
    def __init__(self, file, folder):
        self.file, self.here, self.home = file, folder / "here", folder / "home"
        self.here.mkdir(exist_ok=True)
        self.home.mkdir(exist_ok=True)
        found = shutil.which(Path(sys.executable).name)  # as in the PATH that settings() gives
        self.typed = f"{Path(sys.executable).name if found == sys.executable else sys.executable} {file}"
        self.unpacked = self.home / ".cache" / "sigma-pim"

    def settings(self, **settings):
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return {**kept, "HOME": str(self.home), **settings}

    def run(self, *arguments, options=(), cwd=None, stdin=None, **settings):
        """Run a command, and return its result."""
        command = [sys.executable, *options, str(self.file), *arguments]
        given = {"cwd": cwd or self.here, "env": self.settings(**settings), "input": stdin, "timeout": START_TIMEOUT}
        return subprocess.run(command, check=False, capture_output=True, text=True, **given)

    def serving(self, *arguments, options=(), **settings):
        """Run the service during the block."""
        unset = dict.fromkeys(("XDG_CACHE_HOME", "PYTHONPATH"), "")
        command = (sys.executable, *options, str(self.file), *arguments)
        given = {**unset, "HOME": str(self.home), **settings}
        return starting("", self.here.with_suffix(".log"), command=command, cwd=self.here, **given)


def parts(folder):
    return [path.name for path in folder.iterdir() if ".part-" in path.name] if folder.is_dir() else []


# -- What it does


@pytest.mark.parametrize("options", [(), ("-I",), ("-B", "-s", "-S")], ids=" ".join)
def test_without_a_command_it_makes_the_demo_and_serves_it_and_twice_in_a_row(carried, options):
    for _ in range(2):
        with carried.serving(options=options) as server:
            server.wait_until_ready()
            status, records = server.request("GET", "/records", KEY)
            assert (status, records["total"]) == (200, 47)
            assert {os.readlink(f"/proc/{pid}/cwd") for pid in server.workers()} == {str(*carried.unpacked.iterdir())}
            begun = time.monotonic()
            server.process.terminate()
            assert server.process.wait(5) == 0
            assert time.monotonic() - begun < 5
    assert {path.name.partition(".db")[0] for path in carried.here.iterdir()} == {"sigma"}  # beside it there is nothing


ALONE = """
import fcntl, socket, struct, subprocess, sys, urllib.request
with socket.socket() as any:  # in a network of its own, not even loopback is up
    fcntl.ioctl(any, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))
assert len(socket.if_nameindex()) == 1 or open("/proc/net/route").read().count("\\n") == 1
service = subprocess.Popen([sys.executable, sys.argv[1]], stdout=subprocess.PIPE, text=True)
url = next(line.split()[1] for line in service.stdout if line.startswith("Ready"))
for path in ("/healthz", "/docs", "/docs/swagger-ui-bundle.js", "/console", "/openapi.json"):
    assert urllib.request.urlopen(url + path).status == 200, path
service.terminate()
sys.exit(service.wait())
"""


def test_it_serves_without_a_network(carried):
    command = ["unshare", "--net", "--map-root-user", sys.executable, "-c", ALONE, str(carried.file)]
    if subprocess.run([*command[:3], "true"], check=False).returncode:
        pytest.skip("no network namespace can be made here")
    options = {"cwd": carried.here, "env": carried.settings(PORT="0"), "timeout": START_TIMEOUT}
    done = subprocess.run(command, check=False, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr


PAGES = [
    "/",
    "/docs",
    "/docs/operations.js",
    "/docs/theme.css",
    "/llms.txt",
    "/docs/swagger-ui.css",
    "/docs/swagger-ui-bundle.js",
    "/docs/icon.svg",
]


def test_it_answers_what_a_checkout_answers(carried, template, tmp_path):
    console = [f"/console/{path.name}" for path in (ROOT / "sigma/docs/console").iterdir() if path.suffix != ".html"]
    paths = [*PAGES, "/console", *console, "/openapi.json", "/api/v1/auth/tenants"]
    answers = []
    database = shutil.copy(template, tmp_path / "copy.db")
    with carried.serving("serve", SIGMA_DATABASE=str(database)) as one, starting(database, tmp_path / "log") as other:
        for server in (one, other):
            server.wait_until_ready()
            told = []
            for path in paths:
                with server.connect() as connection:
                    connection.request("GET", path, headers={"Host": "pim.test"})
                    answer = connection.getresponse()
                    told.append((path, answer.status, answer.headers["Content-Type"], answer.read()))
            answers.append(told)
    assert answers[0] == answers[1]
    assert {status for _, status, *_ in answers[0]} == {200}


def names(commands=None, before=()):
    for command in commands or map(load_command, COMMANDS):
        words = (*before, command.name)
        yield from names(command.commands.values(), words) if isinstance(command, click.Group) else [words]


def test_it_takes_every_command(carried):
    listed = list(names())
    assert {("keys", "list"), ("backup",), ("serve",)} <= set(listed)
    for words in listed:
        done = carried.run(*words, "--help")
        assert (done.returncode, done.stderr) == (0, ""), words
        assert done.stdout.startswith(f"Usage: {carried.typed} {' '.join(words)}")


def test_its_help_begins_with_what_it_does_and_has_nothing_of_flask(carried):
    help = carried.run("--help").stdout
    start = f"Usage: {carried.typed} [OPTIONS] COMMAND [ARGS]...\n\n  Sigma PIM, embedded. Without a command: "
    assert " ".join(help.split()).startswith(" ".join(start.split()))
    assert re.findall(r"^  (-\S+)", help, re.MULTILINE) == ["--help"]
    listed = re.findall(r"^  ([a-z]+)  ", help.partition("Commands:")[2], re.MULTILINE)
    assert listed == sorted({"routes", *(words[0] for words in names())})
    assert "Flask" not in help


def test_commands_do_what_they_do_elsewhere_and_call_themselves_as_one_calls_them_here(carried):
    done = carried.run("keys", "list")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: There is no database at {carried.here}/sigma.db: ")
    assert f"`{carried.typed} workspace create`" in done.stderr
    assert "flask" not in done.stderr
    arguments = ("workspace", "create", "acme", "--name", "Acme", "--email", "ann@acme.example")
    assert carried.run(*arguments, stdin="correct horse battery\n").returncode == 0
    made = json.loads(carried.run("keys", "create", "--name", "Feed", "--permission", "read", "--json").stdout)
    assert [key["id"] for key in json.loads(carried.run("keys", "list", "--json").stdout)] == [made["id"]]
    advised = carried.run("keys", "advise", made["id"]).stdout
    assert f"{carried.typed} keys deactivate {made['id']}" in advised
    assert carried.run("keys", "list", "--nonsense").returncode == 2
    assert carried.run("backup", "copy.db").returncode == 0
    assert (carried.here / "copy.db").is_file()


def test_it_starts_in_the_background_and_stops(carried):
    assert carried.run("demo").returncode == 0
    try:
        started = carried.run("start", PORT="0")
        assert started.returncode == 0, started.stderr
        assert f"`{carried.typed} stop`" in started.stdout
        assert "There is no workspace" not in started.stdout
        assert f"Stop         `{carried.typed} stop`\n" in (carried.here / "sigma.db.log").read_text()
        assert carried.run("status").returncode == 0
    finally:
        assert carried.run("stop").returncode == 0


def test_whoever_starts_it_in_an_empty_folder_is_told_how_to_make_a_workspace(carried):
    try:
        started = carried.run("start", PORT="0").stdout.splitlines()
        told = f"There is no workspace yet: run `{carried.typed} demo` for the demo, or `{carried.typed} workspace create`"
        assert started[-2] == f"{told} for your own"
        assert carried.run("demo").returncode == 0
        assert carried.run("env").stdout.splitlines()[1] == f"export SIGMA_API_KEY={EXAMPLE_KEY}"
    finally:
        assert carried.run("stop").returncode == 0


def test_a_test_suite_starts_it_by_the_helper(carried, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs/testing")
    for name, value in carried.settings().items():
        monkeypatch.setenv(name, value)
    helper = importlib.import_module("sigma_standin")
    with helper.Standin(carried.file) as standin:
        assert standin.key("read").startswith("sigma_sk_live_")
        assert standin.workspace("empty").id
    assert list(carried.here.iterdir()) == []


def test_it_plays_the_story(carried):
    done = carried.run("play", "--fast", "--exit", PORT="0")
    assert done.returncode == 0, done.stderr
    assert "; 0 failed." in done.stdout


def test_another_database_is_used_if_one_is_named(carried, tmp_path):
    assert carried.run("demo", SIGMA_DATABASE=str(tmp_path / "named.db")).returncode == 0
    assert carried.run("demo", SIGMA_DATABASE="").returncode == 0  # which says nothing
    assert (tmp_path / "named.db").is_file()
    assert (carried.here / "sigma.db").is_file()
    assert [path.name for path in next(carried.unpacked.iterdir()).glob("*.db")] == []


def test_it_is_a_program_of_its_own(carried, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    environment = carried.settings(PATH=f"{tmp_path}/bin:/usr/bin:/bin")
    done = subprocess.run([carried.file, "--help"], cwd=carried.here, env=environment, capture_output=True, check=False)
    assert done.returncode == 0


# -- What is around it


@pytest.mark.parametrize("options", [(), ("-I",)], ids=" ".join)
def test_nothing_is_imported_from_the_folder_that_one_stands_in_or_from_what_else_is_installed(carried, options):
    (carried.here / "sigma").mkdir()
    for name in ("app", "secrets", "struct", "multiprocessing", "sigma/__init__", "sitecustomize", *PACKAGES):
        (carried.here / f"{name}.py").write_text("raise SystemExit(f'{__file__} was imported')")
    with carried.serving(options=options) as server:
        server.wait_until_ready()
        assert server.request("GET", "/records", KEY)[0] == 200


def test_those_who_start_at_the_same_moment_unpack_it_once(carried):
    command = [sys.executable, carried.file, "demo", "--help"]
    started = [subprocess.Popen(command, env=carried.settings(), stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [process.wait(START_TIMEOUT) for process in started] == [0] * 4
    assert len(list(carried.unpacked.iterdir())) == 1


def test_who_is_killed_while_unpacking_leaves_nothing_that_counts(carried):
    process = subprocess.Popen([sys.executable, carried.file], cwd=carried.here, env=carried.settings(PORT="0"))
    assert wait_until(lambda: parts(carried.unpacked))
    process.kill()
    process.wait()
    (left,) = parts(carried.unpacked)
    assert carried.run("demo").returncode == 0
    assert parts(carried.unpacked) == [left]  # somebody may be at it still
    shutil.rmtree(next(path for path in carried.unpacked.iterdir() if path.name != left))
    os.utime(carried.unpacked / left, (0, 0))
    assert carried.run("demo").returncode == 0
    assert parts(carried.unpacked) == []


def rebuilt(carried, name, **changes):
    """Make another one of the file, as if of another version, or by another Python."""
    other = carried.file.with_name(name)
    with zipfile.ZipFile(carried.file) as old, zipfile.ZipFile(other, "w", zipfile.ZIP_STORED) as new:
        for member in old.namelist():
            content = old.read(member)
            if member == unpack.MADE_FOR:
                content = json.dumps({**json.loads(content), **changes})
            new.writestr(member, content)
    return Carried(other, carried.here.parent)


def test_two_versions_do_not_get_in_each_others_way(carried):
    other = rebuilt(carried, "other.pyz", build="0123456789abcdef")
    with carried.serving() as one:
        one.wait_until_ready()
        assert other.run("keys", "list").returncode == 0
        assert one.request("GET", "/records", KEY)[0] == 200
    assert len(list(carried.unpacked.iterdir())) == 2


@pytest.mark.parametrize(
    "settings", [{"HOME": "/proc"}, {"XDG_CACHE_HOME": "/proc/none"}, {"XDG_CACHE_HOME": "relative"}, {"HOME": "here"}], ids=str
)
def test_without_a_home_that_can_be_written_it_unpacks_into_a_folder_that_is_removed_at_the_end(carried, tmp_path, settings):
    (tmp_path / "tmp").mkdir()
    settings = {**settings, "TMPDIR": str(tmp_path / "tmp")}
    with carried.serving(**settings) as server:
        server.wait_until_ready()
        assert server.request("GET", "/records", KEY)[0] == 200
        assert len(list((tmp_path / "tmp").iterdir())) == 1
        server.process.terminate()
        assert server.process.wait(SOON) == 0
    assert list((tmp_path / "tmp").iterdir()) == []
    assert carried.run("keys", "list", **settings).returncode == 0
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not carried.unpacked.exists()
    assert {path.name.partition(".db")[0] for path in carried.here.iterdir()} == {"sigma"}


def test_a_service_in_the_background_has_such_a_folder_until_it_stops(carried, tmp_path):
    (tmp_path / "tmp").mkdir()
    settings = {"HOME": "/proc", "TMPDIR": str(tmp_path / "tmp"), "PORT": "0", "PYTHONPATH": str(tmp_path / "own")}
    (tmp_path / "sigma.pyz").symlink_to(carried.file)
    assert carried.run("demo", **settings).returncode == 0
    try:
        command = [sys.executable, "../sigma.pyz", "start", "--json"]
        started = subprocess.run(command, cwd=carried.here, env=carried.settings(**settings), capture_output=True, check=False)
        assert started.returncode == 0, started.stderr
        (left,) = (tmp_path / "tmp").iterdir()
        service = Path(f"/proc/{json.loads(started.stdout)['pid']}")
        variables = dict(pair.split("=", 1) for pair in (service / "environ").read_text().split("\0") if pair)
        assert variables["PYTHONPATH"] == settings["PYTHONPATH"]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{json.loads(started.stdout)['url']}/docs") as answer:
            assert answer.status == 200
    finally:
        assert carried.run("stop", **settings).returncode == 0
    assert wait_until(lambda: list((tmp_path / "tmp").iterdir()) == []), left


def test_a_cache_into_which_others_can_put_files_is_not_used(carried):
    carried.unpacked.mkdir(parents=True)
    carried.unpacked.chmod(0o777)
    assert carried.run("demo").returncode == 0
    assert list(carried.unpacked.iterdir()) == []
    carried.unpacked.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(carried.unpacked, 1, 1)
        assert carried.run("demo").returncode == 0
        assert list(carried.unpacked.iterdir()) == []


MOUNTED = 'mount -t tmpfs -o {options} none "$HOME" && exec "$0" "$@"'


@pytest.mark.parametrize("options", ["noexec", "size=1m", "ro"])
def test_a_home_that_runs_no_programs_or_is_full_or_read_only_is_passed_over(carried, options):
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", MOUNTED.format(options=options)]
    if subprocess.run([*command, "true"], env=carried.settings(), check=False).returncode:
        pytest.skip("nothing can be mounted here")
    given = {"cwd": carried.here, "env": carried.settings(), "timeout": START_TIMEOUT}
    done = subprocess.run(
        [*command, sys.executable, carried.file, "demo"], check=False, capture_output=True, text=True, **given
    )
    assert (done.returncode, done.stdout) == (0, "Made the demo workspace.\n"), done.stderr


def test_without_any_folder_one_sentence_says_so(carried, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    monkeypatch.setattr(unpack.tempfile, "mkdtemp", lambda **_: os.mkdir("/proc/none"))
    with pytest.raises(SystemExit) as ended:
        unpack.unpack(str(carried.file), "build")
    assert str(ended.value).startswith("Error: found no folder to unpack into: ")
    assert "Set XDG_CACHE_HOME" in str(ended.value)
    assert "\n" not in str(ended.value)


@pytest.mark.parametrize("changes", [{"python": "3.99"}, {"interface": "cpython-311-riscv64-linux-musl"}], ids=str)
def test_another_python_is_told_which_one_is_needed(carried, changes):
    done = rebuilt(carried, "other.pyz", **changes).run("keys", "list")
    assert (done.returncode, done.stdout) == (1, "")
    (told,) = done.stderr.splitlines()
    wanted = {**unpack.describe_python(), **changes}
    assert told.startswith(
        f"Error: other.pyz was made for Python {wanted['python']} ({wanted['interface']}), this is Python 3."
    )
    assert f"Run `python{wanted['python']} other.pyz`" in told
    assert not carried.unpacked.exists()


def test_older_versions_of_python_can_read_what_tells_them_so():
    tree = ast.parse(Path(unpack.__file__).read_text(encoding="utf-8"), feature_version=(3, 6))
    annotations = [node.returns for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert {ast.unparse(annotation) for annotation in annotations} <= {"None", "dict", "str", "bool"}  # list[str] fails there


# -- How it is built


def test_one_and_the_same_is_built_of_the_same_files(built, tmp_path):
    dist.build_archive(tmp_path / "again.pyz")
    assert (tmp_path / "again.pyz").read_bytes() == built.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.pyz"]


def test_a_disk_that_is_full_leaves_what_was_there(tmp_path, monkeypatch):
    target = tmp_path / "sigma-pim.pyz"
    target.write_bytes(b"the one of before")
    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "writestr", raise_no_room)
        result = CliRunner().invoke(dist.make_dist, [str(target)])
    assert (result.exit_code, result.output) == (1, f"Error: {target}: No space left on device\n")
    assert (os.listdir(tmp_path), target.read_bytes()) == (["sigma-pim.pyz"], b"the one of before")


def raise_no_room(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_is_in_it(built):
    with zipfile.ZipFile(built) as archive:
        members = set(archive.namelist())
    assert built.stat().st_size < 10_000_000
    tracked = subprocess.run(
        ["git", "ls-files", "app.py", "schema.sql", "sigma"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(tracked.stdout.split()) <= members
    assert {"flask_swagger_ui/dist/swagger-ui-bundle.js", "__main__.py"} <= members
    assert [name for name in PACKAGES if not any(re.match(rf"{name}(?:/__init__)?\.", member) for member in members)] == []
    assert [name for name in members if name.startswith(("tests/", "pytest/", "ruff", "/")) or ".." in name] == []
    assert any(name.endswith("LICENSE") or "/licenses/" in name for name in members)


def test_what_is_not_what_the_requirements_say_is_not_built(tmp_path, monkeypatch):
    for line, told in (("flask==0.1", "flask is installed as 3."), ("no-such-package==1", "no-such-package is not installed")):
        (tmp_path / "requirements.txt").write_text(f"# Comment\n\n{line} \\\n    --hash=sha256:{'0' * 64}\n")
        monkeypatch.setattr(dist, "ROOT", tmp_path)
        with pytest.raises(click.ClickException, match=told):
            dist.build_archive(tmp_path / "sigma-pim.pyz")
        assert not (tmp_path / "sigma-pim.pyz").exists()


def test_make_builds_it(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    for name in ("app.py", "schema.sql", "sigma", "requirements.txt", "Makefile"):
        (home / name).symlink_to(ROOT / name)
    (home / ".venv").symlink_to(sys.prefix)
    done = subprocess.run(["make", "--old-file=.venv/installed", "dist"], cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("sigma-pim.pyz  ")
    assert os.access(home / "sigma-pim.pyz", os.X_OK)
