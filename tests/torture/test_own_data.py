"""Files of one's own that are large: how long an import takes, in how much memory, beside a service, killed and stopped."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from processes import EXAMPLE_KEY, FLASK, ROOT, environment, flask, program, serving, wait_until
from test_readme import block

ROWS = 100_000
KEY = {"X-Sigma-ApiKey": EXAMPLE_KEY}
MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def write_rows(path, count):
    """Write a file of jackets, of six columns, and return its path."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["Product name", "SKU", "Price", "Colour", "Description", "Launch"])
        for number in range(count):
            colour = ("Red", "Blue", "Black")[number % 3]
            writer.writerow([f"Jacket {number}", f"QQ-{number:06}", f"{number % 500}.50", colour, "Dry. " * 20, "2026-03-01"])
    return path


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("rows") / "jackets.csv", ROWS)


@pytest.fixture
def database(tmp_path, rows):
    """A database whose demo workspace has a schema that was guessed from the rows, and nothing else."""
    path, seed = tmp_path / "own.db", tmp_path / "seed.json"
    done = flask(path, "schema", "guess", str(rows), "--output", str(seed), timeout=120)
    assert done.returncode == 0, done.stderr
    done = flask(path, "demo", "--seed", str(seed))
    assert done.returncode == 0, done.stderr
    return path


def measured(database, *arguments):
    """Run a command, and return its result, the seconds that it took, and the megabytes that it had at most."""
    command, begun = [sys.executable, "-c", MEASURE, FLASK, "--app", "app", *arguments], time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, env=environment(database), capture_output=True, text=True, check=False, timeout=600
    )
    *lines, size = done.stdout.splitlines()
    return (done.returncode, lines, done.stderr), time.monotonic() - begun, int(size) / 1024


def test_a_hundred_thousand_rows_take_less_than_two_minutes_and_a_hundred_megabytes(database, rows, tmp_path):
    named, where = f"Database: {database}\n", ("--schema", "schema-jackets")
    result, seconds, megabytes = measured(database, "import", str(rows), *where, "--dry-run")
    assert result == (0, [f"Would create {ROWS:,}, update 0."], named)
    assert (seconds < 120, megabytes < 100) == (True, True), (seconds, megabytes)
    result, seconds, megabytes = measured(database, "import", str(rows), *where)
    assert result == (0, [f"Created {ROWS:,}, updated 0."], named)
    assert (seconds < 120, megabytes < 100) == (True, True), (seconds, megabytes)
    for file in ("all.csv", "all.json"):
        result, seconds, megabytes = measured(database, "export", str(tmp_path / file), *where)
        assert (result[0], seconds < 60, megabytes < 120) == (0, True, True), (seconds, megabytes)
        result, seconds, megabytes = measured(database, "import", str(tmp_path / file), *where)
        assert result == (0, [f"Created 0, updated {ROWS:,}."], named)
        assert (seconds < 120, megabytes < 100) == (True, True), (seconds, megabytes)


def test_others_write_beside_an_import_and_none_is_refused(database, rows):
    with serving(database) as server:
        command = [FLASK, "--app", "app", "import", str(rows), "--schema", "schema-jackets"]
        with subprocess.Popen(command, cwd=ROOT, env=environment(database), stdout=subprocess.PIPE, text=True) as process:
            longest, count = 0.0, 0
            while process.poll() is None:
                begun = time.monotonic()
                status, answer = server.request("POST", "/records", KEY, {"schemaId": "schema-jackets", "values": {}})
                assert status == 201, answer
                longest, count = max(longest, time.monotonic() - begun), count + 1
            assert process.stdout.read() == f"Created {ROWS:,}, updated 0.\n"
        assert server.request("GET", "/records?limit=1", KEY)[1]["total"] == ROWS + count
    assert count > 100
    assert longest < 4


def start_import(database, rows):
    """Start an import, and return its process when it has stored something."""
    command = [FLASK, "--app", "app", "import", str(rows), "--schema", "schema-jackets"]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT, "env": environment(database)}
    process = subprocess.Popen(command, **options)
    assert wait_until(lambda: stored(database) > 2000, 60)
    return process


def stored(database):
    listed = json.loads(flask(database, "workspace", "list", "--json").stdout)
    return listed[0]["records"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_import_that_is_stopped_says_what_is_stored_and_goes_on_from_there(database, rows, number):
    process = start_import(database, rows)
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors.splitlines()[-1]) == (1, "Error: Stopped")
    created, line = re.fullmatch(
        r"Created ([\d,]+), updated 0\. Nothing was done from line (\d+) on: go on with --from-line \2\.\n", output
    ).groups()
    created = int(created.replace(",", ""))
    assert (stored(database), int(line)) == (created, created + 2)
    done = flask(database, "import", str(rows), "--schema", "schema-jackets", "--from-line", line, timeout=300)
    assert (done.returncode, stored(database)) == (0, ROWS)


def test_an_import_that_is_killed_leaves_whole_batches(database, rows):
    process = start_import(database, rows)
    process.kill()
    process.communicate()
    count = stored(database)
    assert count > 2000
    assert count % 500 == 0
    assert flask(database, "doctor").returncode == 0


def test_what_reads_an_export_may_go_away(database, rows):
    assert flask(database, "import", str(rows), "--schema", "schema-jackets", timeout=300).returncode == 0
    command = [FLASK, "--app", "app", "export", "-", "--schema", "schema-jackets"]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": ROOT, "env": environment(database)}
    with subprocess.Popen(command, **options) as process:
        assert process.stdout.readline().startswith(b"_id,product-name")
        process.stdout.close()
        errors = process.stderr.read().decode().splitlines()
    assert process.returncode == 1
    assert len(errors) == 2
    assert errors[1].startswith("Error: Standard output does not take the result: ")


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1"])
def test_a_terminal_that_cannot_show_a_letter_gets_another_and_programs_get_all_of_it(tmp_path, encoding):
    database, odd = tmp_path / "own.db", "Ærø 赤"
    file = tmp_path / "odd.csv"
    file.write_text(f"{odd}\nx\n", encoding="utf-8")
    given = environment(database, PYTHONIOENCODING=encoding, PYTHONUTF8="0")

    def run(*arguments):
        command = [FLASK, "--app", "app", *arguments]
        options = {"encoding": encoding, "errors": "backslashreplace"}  # click takes ASCII for a mistake, and writes UTF-8
        done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, check=False, timeout=60, **options)
        assert "Traceback" not in done.stderr
        return done

    for options in ([], ["--json"]):
        done = run("schema", "guess", str(file), *options)
        assert (done.returncode, json.loads(done.stdout)["model"][0][1]["name"], done.stdout.isascii()) == (0, odd, True)
    done = run("schema", "guess", str(file), "--output", str(tmp_path / "seed.json"))
    shown = {"ascii": "?r?", "iso-8859-1": "Ærø"}[encoding]
    assert (done.returncode, done.stdout.splitlines()[1].split()) == (
        0,
        [shown, "?", "aero", "text", "1", "1", "line", "2:", "'x'"],
    )
    assert json.loads((tmp_path / "seed.json").read_text(encoding="utf-8"))["model"][0][1]["name"] == odd
    assert run("seed", "check", str(file)).returncode == 1


def run_block(shell, script, folder):
    """Run lines of a shell in a folder that is like a checkout, and return what they print."""
    for path in ROOT.iterdir():
        if path.name in ("app.py", "sigma", "schema.sql", ".venv") and not (folder / path.name).exists():
            (folder / path.name).symlink_to(path)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SIGMA_")}
    command = [program(shell, "this test"), "-euc", script]
    done = subprocess.run(command, cwd=folder, env=inherited, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_readme_takes_a_file_to_a_workspace(tmp_path, shell):
    told = run_block(shell, block("sh", "printf 'Name;Price"), tmp_path)
    assert told.count("Created 2, updated 0.\n") == 1
    exported = ["name,price,colour", "Rain Hat,19.5,Red", "Cap,25,"]
    assert [line.partition(",")[2] for line in told.splitlines()[-3:]] == exported


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_docs_take_a_file_to_a_workspace_and_back(tmp_path, shell):
    beginning = "export PATH=$PWD/.venv/bin:$PATH SIGMA_DATABASE=$PWD/mine.db\n"
    (tmp_path / "products.csv").write_text("Name;Price\nRain Hat;19.50\nCap;25\n", encoding="utf-8")
    run_block(shell, beginning + block("sh", "flask seed check products.seed.json"), tmp_path)
    run_block(shell, beginning + "flask demo --seed products.seed.json", tmp_path)
    dry, real, mended = block("sh", "--dry-run").splitlines()
    told = run_block(shell, f"{beginning}{dry}\n{real}", tmp_path)
    assert re.findall(r"^.*reated? 2, updated? 0", told, re.MULTILINE | re.IGNORECASE) != [], told
    shutil.copy(tmp_path / "products.csv", tmp_path / "mend.csv")
    assert "Created 2" in run_block(shell, beginning + mended, tmp_path)
    (tmp_path / "products.csv").unlink()
    told = run_block(shell, beginning + block("sh", "flask seed export").replace("schema-apparel", "schema-products"), tmp_path)
    assert (tmp_path / "products.csv").read_text(encoding="utf-8").count("Cap") == 2
    assert '"Cap"' in told
    assert len(json.loads((tmp_path / "acme.seed.json").read_text(encoding="utf-8"))["records"]) == 4


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_docs_take_a_file_into_a_deployment(tmp_path, shell):
    beginning = "export PATH=$PWD/.venv/bin:$PATH SIGMA_DATABASE=$PWD/acme.db\n"
    (tmp_path / "products.csv").write_text("Name;Price\nRain Hat;19.50\nCap;25\n", encoding="utf-8")
    create = 'echo "a long enough password" | flask workspace create acme --name Acme --email ann@acme.example\n'
    run_block(shell, beginning + create, tmp_path)
    guess, make = block("sh", "flask seed check products.seed.json"), block("sh", "flask schema create")
    told = run_block(shell, beginning + guess + make, tmp_path)
    assert told.splitlines()[-1] == "Created 2 attributes, 1 schema in workspace 'acme'."
    line = block("sh", "--dry-run").splitlines()[1]
    assert "Created 2, updated 0.\n" in run_block(shell, beginning + line, tmp_path)
