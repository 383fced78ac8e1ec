"""Output that fails: what a command has done by then, what becomes of a secret that nobody saw, and what the exit code says."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import click
import pytest
from cases import each
from conftest import replace_everywhere, sql, store_delivery

import app as service
from sigma import database
from sigma.cli import console

ROOT = Path(service.__file__).parent
CREATE = ["keys", "create", "--name", "Unseen", "--permission", "read", "--workspace", "ws-demo"]
NEW_USER = ["users", "add", "ann@acme.example", "--name", "Ann", "--role", "role-admin", "--workspace", "ws-demo"]
REASON = "Standard output does not take the result: it is full"
DONE = f"Error: {REASON}. The command itself was carried out\n"

# Every command that writes: its arguments, what it reads, and a query that says that it has been done.
WRITERS = {
    "keys deactivate": (
        ["keys", "deactivate", "apikey-sync-prod", "--workspace", "ws-demo"],
        "SELECT 1 FROM known_keys WHERE id = 'apikey-sync-prod' AND NOT is_active",
    ),
    "keys delete": (
        ["keys", "delete", "apikey-sync-prod", "--yes", "--workspace", "ws-demo"],
        "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM api_keys WHERE id = 'apikey-sync-prod')",
    ),
    "users add": (NEW_USER, "SELECT 1 FROM users WHERE email = 'ann@acme.example'"),
    "users password": (
        ["users", "password", "editor@sigma.io"],
        "SELECT 1 FROM users WHERE id = 'user-editor' AND sessions_from > unixepoch() - 3600",
    ),
    "users role": (
        ["users", "role", "editor@sigma.io", "role-admin"],
        "SELECT 1 FROM users WHERE id = 'user-editor' AND role_id = 'role-admin'",
    ),
    "users remove": (
        ["users", "remove", "editor@sigma.io"],
        "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM users WHERE id = 'user-editor')",
    ),
    "workspace create": (
        ["workspace", "create", "acme", "--name", "Acme", "--email", "bob@acme.example"],
        "SELECT 1 FROM workspaces WHERE id = 'acme'",
    ),
    "workspace delete": (
        ["workspace", "delete", "ws-other", "--yes"],
        "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM workspaces WHERE id = 'ws-other')",
    ),
    "import": (
        ["import", "rows.csv", "--schema", "schema-apparel", "--workspace", "ws-demo"],
        "SELECT 1 FROM entities WHERE json_extract(body, '$.values.sku[0].value') = 'XX-001'",
    ),
    "schema create": (
        ["schema", "create", "seed.json", "--workspace", "ws-demo"],
        "SELECT 1 FROM model_objects WHERE tenant = 'ws-demo' AND id = 'attr-unseen'",
    ),
    "webhooks redeliver": (
        ["webhooks", "redeliver", "dlv-unseen", "--workspace", "ws-demo"],
        "SELECT 1 FROM deliveries WHERE id = 'dlv-unseen' AND resends = 1",
    ),
    "restore": (["restore", "other.db", "--yes"], "SELECT 1 FROM workspaces WHERE id = 'ws-other' AND name = 'Unseen'"),
}
SEED = {"model": [["attribute", {"id": "attr-unseen", "alias": "unseen", "name": "Unseen", "type": "text"}]]}


@pytest.fixture
def folder(app, tmp_path, monkeypatch):
    """The working folder, with the files that the commands read, and a delivery in the database."""
    monkeypatch.chdir(tmp_path)
    Path("seed.json").write_text(json.dumps(SEED), encoding="utf-8")
    Path("rows.csv").write_text("sku,product-name\nXX-001,Hat\n", encoding="utf-8")
    shutil.copy(app.config["DATABASE"], "other.db")
    with closing(sqlite3.connect("other.db")) as db, db:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("UPDATE workspaces SET name = 'Unseen' WHERE id = 'ws-other'")
    store_delivery(app, "dlv-unseen")
    return tmp_path


@pytest.fixture
def full_output(monkeypatch):
    """Let no command's result be taken."""

    def write_output(_):
        raise click.ClickException(REASON)

    replace_everywhere(monkeypatch, console, "write_output", write_output)


def keys(app):
    return sql(app, "SELECT * FROM api_keys ORDER BY seq")


@each("options", [[], ["--json"]], ids=["text", "json"])
def test_a_key_that_nobody_saw_is_not_left_in_force(app, run, full_output, options):
    before = keys(app)
    result = run(*CREATE, *options)
    told, rest = result.stderr.split("'apikey-")
    assert (result.exit_code, result.stdout, told) == (1, "", f"Error: {REASON}. Key ")
    assert rest.endswith("' is deleted again, because nobody has seen it\n")
    assert keys(app) == before


def test_a_key_whose_maker_was_interrupted_before_it_was_shown_is_not_left_in_force(app, run, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    before = keys(app)
    replace_everywhere(monkeypatch, console, "write_output", interrupt)
    assert run(*CREATE).exit_code == 1
    assert keys(app) == before


def test_a_key_whose_maker_is_told_to_end_while_nobody_reads_is_not_left_in_force(app, run, monkeypatch):
    before = keys(app)
    replace_everywhere(monkeypatch, console, "write_output", lambda _: signal.raise_signal(signal.SIGTERM))
    assert run(*CREATE).exit_code == 1
    assert keys(app) == before


@each(("arguments", "query"), WRITERS.values(), ids=WRITERS)
def test_what_is_done_when_its_result_cannot_be_shown_stays_and_is_told(app, run, folder, full_output, arguments, query):
    assert sql(app, query) == []
    result = run(*arguments, stdin="a long enough password\n")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", DONE)
    assert sql(app, query) == [(1,)]


def test_a_file_that_is_written_when_that_cannot_be_told_stays(run, full_output, tmp_path):
    for arguments in (["backup"], ["seed", "export", "--workspace", "ws-demo"]):
        target = tmp_path / f"{arguments[0]}.out"
        result = run(*arguments, str(target))
        assert (result.exit_code, result.stderr, target.stat().st_size > 1000) == (1, DONE, True)


@each(
    "arguments",
    [CREATE, ["backup", "copy.db"], *(words for words, _ in WRITERS.values())],
    ids=["keys create", "backup", *WRITERS],
)
def test_without_standard_output_nothing_is_done(app, run, folder, monkeypatch, stored, arguments):
    monkeypatch.setattr(sys, "__stdout__", None)
    before = stored(), keys(app), sorted(folder.iterdir())
    result = run(*arguments, stdin="a long enough password\n")
    told = "Error: Standard output does not take the result: it is closed; nothing was done\n"
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", told)
    assert (stored(), keys(app), sorted(folder.iterdir())) == before


@each("redirection", ["> /dev/full", ">&-", "| true"])
def test_from_a_shell_a_key_that_nobody_saw_is_not_left_in_force(app, redirection):
    before = keys(app)
    database.close_db()
    words = " ".join(f"'{word}'" for word in [sys.executable, "-m", "flask", "--app", "app", *CREATE])
    # Standard output breaks before the command begins to write: what reads it has ended by then.
    command = f"(sleep 0.2; {words}; echo $? > '{app.config['DATABASE']}.rc') {redirection}"
    environment = {"SIGMA_DATABASE": app.config["DATABASE"], "PATH": "/usr/bin:/bin"}
    result = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=60
    )
    assert Path(f"{app.config['DATABASE']}.rc").read_text(encoding="ascii") == "1\n"
    assert "Standard output does not take the result" in result.stderr
    assert keys(app) == before
