"""The README's story, snippets and recipes, run as a newcomer would paste them."""

import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from processes import EXAMPLE_KEY, FLASK, ROOT, environment, flask, program, serving, starting, wait_until
from receivers import receiving
from terminals import in_terminal

import app as service
from sigma import database as database_module

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = "\n".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)

SHELLS = ["bash", "zsh"]


def block(language, containing):
    """Return the one code block, of the README or docs/, in this language with these words in it."""
    blocks = [text for text in re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL) if containing in text]
    assert len(blocks) == 1
    return blocks[0]


@pytest.fixture
def server(tmp_path):
    database = tmp_path / "sigma.db"
    assert flask(database, "demo").returncode == 0
    with serving(database) as server:
        yield server


def run_lines(shell, script, folder, **options):
    """Run lines of a shell, which stop at the first that fails, and return the result."""
    command = [program(shell, "this test"), *(["-f"] if shell == "zsh" else []), "-eu", "-c", script]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **{"timeout": 120, **options})


def paste(shell, script, folder):
    """Paste lines as a block into a shell in a terminal, and return all that is shown."""
    options = ["-f", "-i"] if shell == "zsh" else ["--norc", "--noprofile", "-i"]
    command, settings = [program(shell, "this test"), *options], {**os.environ, "TERM": "xterm"}
    with in_terminal(command, cwd=folder, env=settings) as (_, read, type_text):
        threading.Thread(target=type_text, args=(f"{script}\nexit\n".encode(),), daemon=True).start()
        return read()


@pytest.mark.parametrize("shell", SHELLS)
def test_the_story_can_be_pasted_into_a_terminal(server, tmp_path, shell):
    script = block("sh", "The administrator signs in").replace("127.0.0.1:8080", f"127.0.0.1:{server.port}")
    shown = paste(shell, script * 2, tmp_path)
    # While a call is under way the terminal echoes what is pasted meanwhile, so an answer need not begin a line.
    statuses = re.findall(r"([0-9]{3})  (?:\{\"|\r)", shown)
    assert statuses == ["200", "201", "201", "200", "422", "200", "200", "403", "200", "401", "204", "200"] * 2


def test_powershell_is_told_the_same(server, tmp_path):
    script = block("powershell", "Invoke-RestMethod").replace("127.0.0.1:8080", f"127.0.0.1:{server.port}")
    command = [program("pwsh", "this test"), "-NoProfile", "-NonInteractive", "-Command", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert "UNAUTHORIZED" in done.stdout, done.stderr
    assert done.stdout.split()[-1] == "401"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("line", ["make run", "SIGMA_CORS_ORIGINS=http://localhost:5173 make run"])
def test_the_service_starts_as_it_is_written(tmp_path, shell, line):
    assert f"```sh\n{line}\n```" in TEXT
    for path in ROOT.iterdir():
        if path.name in ("app.py", "sigma", "schema.sql", "Makefile", "requirements.txt", ".venv"):
            (tmp_path / path.name).symlink_to(path)
    command = (program(shell, "this test"), "-c", f"exec env {line}")
    with starting(tmp_path / "sigma.db", tmp_path / "log", command=command, cwd=tmp_path) as server:
        server.wait_until_ready()
        status, headers, _ = server.call("GET", "/healthz", headers={"Origin": "http://localhost:5173"})
        assert status == 200
        assert ("Access-Control-Allow-Origin" in headers) is ("CORS" in line)


# What comes of a call after each of the faults: what is called, and what the statuses are from then on.
SPOILED = [
    ("POST", "/records", [429, 429, 201, 201]),
    ("GET", "/roles", [200] * 20 + [401, 401]),
    ("GET", "/roles", [200]),
    ("GET", "/records/ent-coastal-wb", [503, 503, 503]),
]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_faults_of_the_docs_do_what_they_say(server, tmp_path, shell):
    script = block("sh", "FAULTS=").replace("127.0.0.1:8080", f"127.0.0.1:{server.port}")
    beginning, *lines = re.split(r"\n+(?=fault |curl )", script)
    key = {"X-Sigma-ApiKey": EXAMPLE_KEY}
    outcomes = iter(SPOILED)
    for line in lines:
        done = run_lines(shell, f"{beginning}\n{line}", tmp_path)
        assert done.returncode == 0, done.stderr
        if line.startswith("fault"):
            method, path, expected = next(outcomes)
            body, begun = {"schemaId": "schema-apparel", "values": {}} if method == "POST" else None, time.monotonic()
            calls = [server.call(method, path, body, key) for _ in expected]
            assert [status for status, *_ in calls] == expected, line
            assert {headers.get("Retry-After") for status, headers, _ in calls if status == 429} <= {"2"}
            assert (time.monotonic() - begun >= 2) or "delayMs" not in line
        elif "DELETE" not in line:
            assert json.loads(done.stdout) == [{"on": "GET /records/{id}", "status": 503, "hits": 3}]
    assert list(outcomes) == []
    assert server.call("GET", "/records/ent-coastal-wb", None, key)[0] == 200


@pytest.mark.parametrize("shell", SHELLS)
def test_a_seed_is_posted_copied_and_read_as_the_docs_say(server, tmp_path, shell):
    script = block("sh", "STANDIN=http").replace("127.0.0.1:8080", f"127.0.0.1:{server.port}")
    done = run_lines(shell, script + "cat seed.json\n", tmp_path)
    assert done.returncode == 0, done.stderr
    made, copied, seed = done.stdout.splitlines()
    assert json.loads(made)["id"] != json.loads(copied)["id"]
    assert [record["id"] for record in json.loads(seed)["records"]] == ["ent-1"]
    assert not (tmp_path / "books.json").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_deliveries_are_seen_and_repeated_as_the_docs_say(server, tmp_path, shell):
    with receiving(500) as receiver:
        webhook = {"name": "One", "url": receiver.url, "events": ["entity.created"]}
        token = server.request("POST", "/auth/login", {}, {"email": "admin@sigma.io", "password": "admin"})[1]["token"]
        server.authorization = {"Authorization": f"Bearer {token}"}
        server.manage("POST", "/webhooks", webhook)
        server.manage("POST", "/records", {"schemaId": "schema-apparel", "values": {}})
        assert wait_until(lambda: receiver.requests)
        address, delivery = f"127.0.0.1:{server.port}", receiver.requests[0].id
        script = f"DELIVERY={delivery}\n" + block("sh", "DELIVERIES=").replace("127.0.0.1:8080", address)
        lines = script.splitlines()
        done = run_lines(shell, "\n".join([*lines[:3], *lines[2:3] * 3, *lines[3:]]), tmp_path)  # until it is given up
    assert done.returncode == 0, done.stderr
    *_, failed, one, again = done.stdout.splitlines()
    assert [entry["deliveryId"] for entry in json.loads(failed)["items"]] == [delivery]
    assert [attempt["status"] for attempt in json.loads(one)["attempts"]] == [500] * 4
    assert json.loads(again)["deliveryId"] == delivery


def test_the_snippet_of_the_docs_works(tmp_path):
    snippet = block("python", "from app import create_app").replace("/tmp/my-tests.db", str(tmp_path / "tests.db"))
    done = subprocess.run([sys.executable, "-W", "error", "-c", snippet], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


TYPED = {  # what a command asks for
    "flask workspace create": "correct horse battery",
    "flask users add": "correct horse battery",
    "flask users password": "battery horse correct",
    "flask workspace delete": "acme",
    "flask restore": "y",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_deployment_is_made_as_the_readme_says(tmp_path, shell):
    script = block("sh", "workspace create")
    settings = {**environment(tmp_path / "unused.db"), "HOME": str(tmp_path)}
    done = run_lines(shell, script, ROOT, input="correct horse battery\n", env=settings)
    assert (done.returncode, done.stderr) == (0, f"Database: {tmp_path}/sigma-pim/sigma.db\n")
    app = service.create_app({"DATABASE": str(tmp_path / "sigma-pim/sigma.db")})
    answer = app.test_client().post(
        "/api/v1/auth/login", json={"email": "admin@acme.example", "password": "correct horse battery"}
    )
    assert answer.json["user"] == {
        "id": "user-admin",
        "email": "admin@acme.example",
        "name": "Administrator",
        "roleId": "role-admin",
    }
    database_module.close_db()


def store_webhook(database, delivery):
    """Store a webhook of the deployment, and something that was sent to it and failed."""
    webhook = json.dumps({"id": "wh-one", "name": "One", "url": "http://nowhere.invalid/", "events": [], "active": True})
    row = ("acme", delivery, "wh-one", "entity.created", '{"entityId": "ent-one"}', "failed", time.time())
    with closing(sqlite3.connect(database)) as db, db:
        db.execute("INSERT INTO webhooks (tenant, body) VALUES ('acme', ?)", (webhook,))
        columns = "tenant, id, webhook_id, event, body, state, made_at, next_at"
        db.execute(f"INSERT INTO deliveries ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, NULL)", row)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_deployment_is_managed_as_the_docs_say(tmp_path, shell):
    """Each line is run by itself, elsewhere than in the project's folder, with the key's id, and the answers it asks for."""
    made = next(line for line in block("sh", "workspace create").splitlines() if "flask" in line).partition(".venv/bin/")[2]
    operations = (ROOT / "docs/operations.md").read_text(encoding="utf-8").replace("/var/lib/sigma-pim", str(tmp_path))
    lines = [made, *re.findall(r"^\| `(flask .+?)` \|", operations, re.MULTILINE)]
    settings = {"FLASK_APP": f"{ROOT}/app.py", "PATH": f"{Path(FLASK).parent}:{os.environ['PATH']}"}
    (tmp_path / "products.csv").write_text("sku\nXX-1\nXX-2\n", encoding="utf-8")
    id, outputs = "", []
    for line in lines:
        if line.startswith("flask webhooks list"):
            store_webhook(tmp_path / "acme.db", "dlv-0123456789abcdef")
        done = run_lines(
            shell,
            line.replace("apikey-0123456789abcdef", id),
            tmp_path,
            env={**environment(tmp_path / "acme.db"), **settings},
            input=next((f"{typed}\n" for words, typed in TYPED.items() if line.startswith(words)), ""),
        )
        assert done.returncode == 0, (line, done.stderr)
        id = next(iter(re.findall("apikey-[0-9a-f]{16}", done.stdout)), id)
        outputs.append(done.stdout)
    assert len(lines) == 27
    assert all(outputs)
