"""The README's story, snippets and recipes, run as a newcomer would paste them."""

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from processes import EXAMPLE_KEY, FLASK, ROOT, environment, flask, serving

import app as service
from sigma import database as database_module

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = "\n".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)

STORY = [  # what each answer is, in order: an error's code, or a member and its value
    ("name", "Shop sync"),
    ("id", "ent-rain-hat"),
    ("updatedBy", "the key"),
    ("lifecycleStateId", "state-draft"),
    ("id", "ent-rain-hat"),
    ("error", "TRANSITION_ERROR"),
    ("missing", ["description"]),
    ("lifecycleStateId", "state-draft"),
    ("lifecycleStateId", "state-review"),
    ("lifecycleStateId", "state-published"),
    ("total", 11),
    ("level", 1),
    ("overriddenAttributes", ["sku", "size"]),
    ("error", "PERMISSION_DENIED"),
    ("active", False),
    ("error", "UNAUTHORIZED"),
    ("deleted", True),
]


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


def test_the_story_of_the_readme_goes_as_it_says(server, tmp_path):
    script = block("sh", "rain-hat").replace("127.0.0.1:8080", f"127.0.0.1:{server.port}")
    done = subprocess.run(["bash", "-eu", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    key = answers[0]["id"]
    told = [
        (member, "the key" if answer[member] == key else answer[member])
        for answer, (member, _) in zip(answers, STORY, strict=True)
    ]
    assert told == STORY


# What comes of a call after each of the README's faults: what is called, and what the statuses are from then on.
SPOILED = [
    ("POST", "/records", [429, 429, 201, 201]),
    ("GET", "/roles", [200] * 20 + [401, 401]),
    ("GET", "/roles", [200]),
    ("GET", "/records/ent-coastal-wb", [503, 503, 503]),
]


def test_the_faults_of_the_readme_do_what_it_says(server):
    script = block("sh", "FAULTS=").replace("127.0.0.1:8080", f"127.0.0.1:{server.port}")
    beginning, *lines = re.split(r"\n+(?=fault |curl )", script)
    key = {"X-Sigma-ApiKey": EXAMPLE_KEY}
    outcomes = iter(SPOILED)
    for line in lines:
        done = subprocess.run(["bash", "-eu", "-c", f"{beginning}\n{line}"], capture_output=True, text=True, check=True)
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


def test_the_snippet_of_the_readme_works(tmp_path):
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


def test_a_deployment_is_made_as_the_readme_says(tmp_path):
    script = block("sh", "workspace create").replace("/srv/sigma", str(tmp_path)).replace("make serve", "")
    script = script.replace("$PWD/.venv/bin", str(Path(FLASK).parent))
    done = subprocess.run(
        ["bash", "-eu", "-c", script], cwd=ROOT, input="correct horse battery\n", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, f"Database: {tmp_path}/acme.db\n")
    app = service.create_app({"DATABASE": str(tmp_path / "acme.db")})
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


def store_schema(database):
    """Store the schema whose records the file `products.csv` has, and make that file beside the database."""
    app = service.create_app({"DATABASE": str(database)})
    client = app.test_client()
    login = {"email": "admin@acme.example", "password": TYPED["flask workspace create"]}
    token = client.post("/api/v1/auth/login", json=login).json["token"]
    attribute = {"id": "attr-sku", "alias": "sku", "name": "SKU", "type": "text"}
    group = {"id": "grp", "name": "All", "attributeIds": ["attr-sku"]}
    schema = {"id": "schema-products", "alias": "products", "name": "Products", "variantEnabled": False}
    for path, body in (("attributes", attribute), ("schemas", {**schema, "attributeGroups": [group]})):
        answer = client.post(f"/api/v1/{path}", json=body, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 201, answer.json
    database_module.close_db()
    (database.parent / "products.csv").write_text("sku\nXX-1\nXX-2\n", encoding="utf-8")


def test_a_deployment_is_managed_as_the_readme_says(tmp_path):
    """Each line is run by itself, elsewhere than in the project's folder, with the key's id, and the answers it asks for."""
    made, script = block("sh", "workspace create"), block("sh", "keys create").replace("/srv/sigma", str(tmp_path))
    lines = [next(line for line in made.splitlines() if line.startswith("flask")), *script.splitlines()]
    settings = {"FLASK_APP": f"{ROOT}/app.py", "PATH": f"{Path(FLASK).parent}:{os.environ['PATH']}"}
    id, outputs = "", []
    for line in lines:
        if line.startswith("flask import"):
            store_schema(tmp_path / "acme.db")
        if line.startswith("flask webhooks list"):
            store_webhook(tmp_path / "acme.db", "dlv-0123456789abcdef")
        done = subprocess.run(
            ["bash", "-eu", "-c", line.replace("apikey-0123456789abcdef", id)],
            cwd=tmp_path,
            env={**environment(tmp_path / "acme.db"), **settings},
            input=next((f"{typed}\n" for words, typed in TYPED.items() if line.startswith(words)), ""),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (line, done.stderr)
        id = next(iter(re.findall("apikey-[0-9a-f]{16}", done.stdout)), id)
        outputs.append(done.stdout)
    assert len(lines) == 26
    assert all(outputs)
