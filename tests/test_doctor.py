"""flask doctor: each thing that it looks at, as it is when all is well, and spoiled."""

import json
import re
import shutil
import sqlite3
from collections import namedtuple
from contextlib import closing
from pathlib import Path

import pytest
from conftest import replace_everywhere

from sigma import database, upgrades
from sigma.http import stamps

CHECKS = [
    *("database", "workspaces", "file permissions", "integrity", "journal mode", "disk space", "demo data", "administrators"),
    *("web pages", "well-known secrets", "unused keys", "unused permissions", "proxies", "settings"),
]


@pytest.fixture
def path(app, run):
    """A database with the demo workspace alone, all of whose keys are in use."""
    path = Path(app.config["DATABASE"])
    change(path, "DELETE FROM workspaces WHERE id = 'ws-other'", "UPDATE api_keys SET last_used_at = '2099-01-01'")
    return path


@pytest.fixture
def make_deployed_key(deployment, make_key, stranger):
    """Return a function that makes a key in a deployment, which is well otherwise."""
    deployment.config["PROXIES"] = 1
    return lambda *permissions: make_key(*permissions, by=stranger)


def change(path, *statements):
    """Change a database behind the service's back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA foreign_keys = ON")
        for statement in statements:
            db.execute(statement)


def all_is_well(path):
    """What the doctor says when it finds nothing; it names the database first."""
    lines = [f"ok       {name}\n" for name in CHECKS[1:]]
    return f"ok       database: {path}, schema version {upgrades.SCHEMA_VERSION}\n{''.join(lines)}"


def found(run, name):
    """Return what the doctor finds; check that it is the one thing that is wrong, and what the exit code says."""
    result = run("doctor", "--json")
    results = {item["check"]: item for item in json.loads(result.stdout)}
    assert [check for check, item in results.items() if item["result"] != "ok"] == [name]
    assert result.exit_code == (results[name]["result"] == "problem")
    return results[name]["findings"]


def test_all_is_well_with_a_new_database(path, run):
    result = run("doctor")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == all_is_well(path)
    found = {"database": [f"{path}, schema version {upgrades.SCHEMA_VERSION}"]}
    told = [{"check": name, "result": "ok", "findings": found.get(name, [])} for name in CHECKS]
    assert json.loads(run("doctor", "--json").stdout) == told


def test_the_check_of_a_large_database_says_beforehand_that_it_takes_long(path, run, monkeypatch):
    monkeypatch.setattr("sigma.cli.doctor.LARGE", path.stat().st_size)
    result = run("doctor")
    size = f"{path.stat().st_size / 1e9:.1f}"
    assert result.stderr == f"Reading the whole database, {size} GB: this can take minutes; the service goes on meanwhile ...\n"
    assert (result.exit_code, result.stdout) == (0, all_is_well(path))


def test_a_database_without_a_workspace_is_a_problem_and_the_doctor_says_how_to_make_one(path, run):
    change(path, "DELETE FROM workspaces")
    told = "there is none, so nobody can sign in: flask workspace create ID --name NAME --email EMAIL"
    results = {item["check"]: item for item in json.loads(run("doctor", "--json").stdout)}
    assert results["workspaces"] == {"check": "workspaces", "result": "problem", "findings": [told]}
    result = run("doctor")
    assert (result.exit_code, f"problem  workspaces: {told}" in result.stdout.splitlines()) == (1, True)


def test_each_check_is_a_line_that_begins_with_what_it_says(deployment, run, make_deployed_key):
    path, key = deployment.config["DATABASE"], make_deployed_key("read")
    change(path, "UPDATE api_keys SET created_at = '2020-01-01'", "DROP TRIGGER entity_moved", "DROP VIEW referrers")
    result = run("doctor")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"ok       database: {path}")
    assert lines[3] == (
        "problem  integrity: the trigger entity_moved is missing: restore a backup;"
        " the view referrers is missing: restore a backup"
    )
    assert lines[10] == (
        f"note     unused keys: key '{key.id}' of 'ws-other' was not used for 90 days:"
        f" flask keys deactivate {key.id} --workspace ws-other"
    )
    assert [line for index, line in enumerate(lines) if index not in (0, 3, 10)] == [
        f"ok       {name}" for name in CHECKS if name not in ("database", "integrity", "unused keys")
    ]


def test_files_that_others_can_open_are_named(path, run):
    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT count(*) FROM workspaces").fetchone()
        path.chmod(0o640)
        Path(f"{path}-wal").chmod(0o604)
        path.parent.chmod(0o777)
        findings = found(run, "file permissions")
    path.parent.chmod(0o700)
    assert findings == [
        f"others can open {path}: chmod 600 {path}",
        f"others can open {path}-wal: chmod 600 {path}-wal",
        f"others can put files beside the database: chmod o-w {path.parent}",
    ]


def test_a_damaged_file_is_told_and_the_other_checks_go_on(path, run):
    with closing(sqlite3.connect(path)) as db:
        ((page,),) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'entities_state_idx'").fetchall()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\x55" * 4096)
    result = run("doctor", "--json")
    results = {item["check"]: item for item in json.loads(result.stdout)}
    assert (result.exit_code, list(results)) == (1, CHECKS)
    assert results["integrity"]["result"] == "problem"
    assert results["integrity"]["findings"][0].endswith(": restore a backup")
    assert results["disk space"]["result"] == "ok"


def test_a_row_that_refers_to_nothing_is_told(path, run):
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("INSERT INTO audit_log (seq, tenant, record_id, body) VALUES (7000, 'ws-gone', 'x', '{}')")
    told = "row 7000 of audit_log refers to a row of workspaces that is missing: restore a backup"
    assert found(run, "integrity") == [told]


def test_another_journal_mode_is_told(path, run, monkeypatch):
    change(path, "PRAGMA journal_mode = DELETE")
    replace_everywhere(monkeypatch, database, "prepare_database", lambda _: None)  # which on a network drive changes nothing
    (finding,) = found(run, "journal mode")
    assert finding.startswith("it is 'delete', not WAL")


def test_a_disk_that_is_nearly_full_is_told(path, run, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**12, 10**12, 50_000_000))
    (finding,) = found(run, "disk space")
    assert re.fullmatch(rf"50 MB are free, a restore may need 10\d: make room in {path.parent}", finding)


@pytest.mark.parametrize("settings", [{"HOST": "0.0.0.0", "PROXIES": 1}, {"ALLOW_PUBLIC_DEMO": True}], ids=str)
def test_demo_data_that_others_may_reach_is_told(app, path, run, settings):
    app.config.update(settings)
    told = "everybody knows the passwords of 'ws-demo', and others may reach it: flask workspace delete ws-demo"
    assert found(run, "demo data") == [told]


def test_a_workspace_where_nobody_can_manage_roles_is_told_and_the_advice_mends_it(path, run):
    change(path, "UPDATE users SET role_id = 'role-editor'")
    told = "nobody can manage roles and keys of 'ws-demo': flask users role EMAIL --administrator"
    assert found(run, "administrators") == [told]
    assert run("users", "role", "editor@sigma.io", "--administrator").exit_code == 0
    assert run("doctor").exit_code == 0


def test_the_demos_secrets_in_another_workspace_are_told(app, path, run):
    app.config["PROXIES"] = 1
    change(path, "UPDATE workspaces SET is_demo = 0", "DELETE FROM users WHERE id = 'user-editor'")
    assert found(run, "well-known secrets") == [
        "everybody knows key 'apikey-sync-prod' of 'ws-demo': flask keys deactivate apikey-sync-prod --workspace ws-demo",
        "everybody knows key 'apikey-export-staging' of 'ws-demo':"
        " flask keys deactivate apikey-export-staging --workspace ws-demo",
        "everybody knows the password of admin@sigma.io: flask users password admin@sigma.io",
    ]


def test_only_keys_that_are_active_and_were_not_used_for_90_days_are_told(deployment, run, make_deployed_key):
    path = Path(deployment.config["DATABASE"])
    used, _, idle = (make_deployed_key("read") for _ in range(3))
    long_ago, lately = stamps.utc_now(91 * 86400), stamps.utc_now(89 * 86400)
    change(
        path,
        f"UPDATE api_keys SET last_used_at = '{lately}', permission_use = json_object('read', '{lately}'),"
        f" created_at = '{long_ago}' WHERE id = '{used.id}'",
        f"UPDATE api_keys SET last_used_at = NULL, created_at = '{long_ago}' WHERE id = '{idle.id}'",
    )
    told = f"key '{idle.id}' of 'ws-other' was not used for 90 days: flask keys deactivate {idle.id} --workspace ws-other"
    assert found(run, "unused keys") == [told]
    run("keys", "deactivate", idle.id)
    assert run("doctor").stdout == all_is_well(path)


def test_keys_of_the_demo_and_of_test_runs_are_nobodys_way_in(path, run, standin, key):
    made = standin("POST", "/workspaces", {"content": "demo", "keys": [["read", "update-data"]]})
    assert made.status_code == 201
    database.close_db()
    change(path, "UPDATE api_keys SET created_at = '2020-01-01', ledger_from = NULL, last_used_at = NULL")
    assert run("doctor").stdout == all_is_well(path)
    change(path, "UPDATE api_keys SET last_used_at = '2099-01-01'")  # and never used what it holds
    assert run("doctor").stdout == all_is_well(path)


def test_only_permissions_that_a_key_in_use_never_used_in_90_days_are_told(deployment, run, make_deployed_key, stranger):
    path = deployment.config["DATABASE"]
    long_ago, lately = stamps.utc_now(91 * 86400), stamps.utc_now(89 * 86400)
    sparing, young, migrated, off = (make_deployed_key("read", "update-model", "delete-model") for _ in range(4))
    for key in (sparing, young, migrated, off):
        assert key.delete("/schemas/nowhere").status_code == 404
    change(
        path,
        f"UPDATE api_keys SET created_at = '{long_ago}' WHERE id <> '{young.id}'",
        f"UPDATE api_keys SET created_at = '{lately}' WHERE id = '{young.id}'",
        f"UPDATE api_keys SET ledger_from = '{lately}' WHERE id = '{migrated.id}'",
    )
    assert stranger.post(f"/api-keys/{off.id}/deactivate").status_code == 200
    advice = f"flask keys advise {sparing.id} --workspace ws-other"
    assert found(run, "unused permissions") == [
        f"key '{sparing.id}' of 'ws-other' never used {permission} in 90 days: {advice}"
        for permission in ("read", "update-model")
    ]
    change(path, f"UPDATE api_keys SET last_used_at = '{long_ago}' WHERE id = '{sparing.id}'")
    assert [finding.split()[1] for finding in found(run, "unused keys")] == [f"'{sparing.id}'"]


def test_a_host_that_is_none_is_judged_only_by_what_serves(path, run, monkeypatch):
    """conda sets HOST to the kind of machine."""
    before = run("doctor").stdout
    monkeypatch.setenv("HOST", "x86_64-conda-linux-gnu")
    assert run("doctor").stdout == before


def test_a_proxy_that_may_stand_in_front_is_a_note(app, path, run):
    change(path, "UPDATE workspaces SET is_demo = 0", "DELETE FROM api_keys", "UPDATE users SET password_hash = 'scrypt:'")
    app.config["HOST"] = "192.0.2.1"
    told = "SIGMA_PROXIES is 0: if a proxy stands in front, set SIGMA_PROXIES=1, or failed logins of one count for all"
    assert found(run, "proxies") == [told]
    app.config["HOST"] = "127.0.0.1"  # as is recommended behind a proxy
    assert found(run, "proxies") == [told]
    app.config["PROXIES"] = 1
    assert run("doctor").exit_code == 0
