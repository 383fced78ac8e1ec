"""`flask doctor`: what may be wrong with a deployment, and what to do about it."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import click
from flask import current_app
from flask.cli import with_appcontext
from werkzeug.security import check_password_hash

from sigma.cli.backup import database_files, find_damage, find_missing_parts
from sigma.cli.console import Output, prints_plainly, require_database
from sigma.cli.running import files_of_others
from sigma.cli.terminal import Command, note
from sigma.database import execute, fetch_one, get_db
from sigma.files import describe_owner, unwritable_reason
from sigma.http.cors import require_listed_origins
from sigma.http.credentials import hash_key
from sigma.http.loopback import holds_demo, is_loopback
from sigma.http.stamps import utc_now
from sigma.resources.roles import ADMINISTRATORS
from sigma.settings import StartError, read_setting, unknown_variables
from sigma.standin.demo import read_demo
from sigma.upgrades import pragma

LARGE = 1_000_000_000  # bytes of a database that takes seconds to read


class Check(NamedTuple):
    """A check: its name, how severe its findings are ("problem", "note" or "ok"), and the function that yields them."""

    name: str
    severity: str
    find: Callable[[], Iterator[str]]


def _describe_database() -> Iterator[str]:
    yield f"{current_app.config['DATABASE']}, schema version {pragma(get_db(), 'user_version')}"


def _find_no_workspace() -> Iterator[str]:
    if not fetch_one("SELECT 1 FROM workspaces"):
        yield "there is none, so nobody can sign in: flask workspace create ID --name NAME --email EMAIL"


def _find_wrong_modes() -> Iterator[str]:
    if reason := unwritable_reason(current_app.config["DATABASE"]):
        yield f"{reason}: run the service as the owner, or change the owner or the mode"
    for file in files_of_others(current_app.config["DATABASE"]):
        yield f"{describe_owner(str(file))}: the service cannot start or be stopped beside it, so remove it when none runs"
    files = database_files()
    for file in files:
        if file.stat().st_mode & 0o077:
            yield f"others can open {file}: chmod 600 {file}"
    if files[0].parent.stat().st_mode & 0o002:
        yield f"others can put files beside the database: chmod o-w {files[0].parent}"


def _find_corruption() -> Iterator[str]:
    size = database_files()[0].stat().st_size
    if size >= LARGE:
        note(f"Reading the whole database, {size / 1e9:.1f} GB: this can take minutes; the service goes on meanwhile ...")
    for problem in find_damage(get_db()) + find_missing_parts(get_db()):
        yield f"{problem}: restore a backup"


def _find_journal_mode() -> Iterator[str]:
    if (mode := pragma(get_db(), "journal_mode")) != "wal":
        yield f"it is '{mode}', not WAL, which happens on a network drive: keep the database on a local disk"


def _find_full_disk() -> Iterator[str]:
    """Yield a finding if there is no room for a restore, which writes the database three times."""
    files = database_files()
    needed, free = 3 * sum(file.stat().st_size for file in files) + 100_000_000, shutil.disk_usage(files[0].parent).free
    if free < needed:
        yield f"{free / 1e6:.0f} MB are free, a restore may need {needed / 1e6:.0f}: make room in {files[0].parent}"


def _serves_beyond_loopback() -> bool:
    """Return whether other machines can reach the service; False if HOST is not an address, which `flask serve` reports."""
    try:
        return not is_loopback(read_setting("HOST", current_app.config))
    except StartError:
        return False


def _find_public_demo() -> Iterator[str]:
    config = current_app.config
    if config["ALLOW_PUBLIC_DEMO"] or _serves_beyond_loopback():
        for (id,) in execute("SELECT id FROM workspaces WHERE is_demo"):
            yield f"everybody knows the passwords of '{id}', and others may reach it: flask workspace delete {id}"


def _find_missing_administrators() -> Iterator[str]:
    for (id,) in execute("SELECT id FROM workspaces WHERE NOT is_disposable").fetchall():
        if not fetch_one(ADMINISTRATORS, id):
            yield f"nobody can manage roles and keys of '{id}': flask users role EMAIL --administrator"


def _find_well_known_secrets() -> Iterator[str]:
    demo = read_demo()
    keys = (
        "SELECT w.id, k.id FROM workspaces w JOIN known_keys k ON k.tenant = w.id"
        " WHERE NOT w.is_demo AND k.is_active AND k.hash = ?"
    )
    for key in demo["apiKeys"]:
        for tenant, id in execute(keys, hash_key(key["rawKey"])):
            yield f"everybody knows key '{id}' of '{tenant}': flask keys deactivate {id} --workspace {tenant}"
    users = (
        "SELECT u.email, u.password_hash FROM workspaces w JOIN users u ON u.tenant = w.id"
        " WHERE NOT w.is_demo AND NOT w.is_disposable"  # nobody has a password in a workspace for tests
    )
    for email, password_hash in execute(users).fetchall():
        if any(check_password_hash(password_hash, user["password"]) for user in demo["users"]):
            yield f"everybody knows the password of {email}: flask users password {email}"


def _find_unused_keys() -> Iterator[str]:
    sql = (  # keys of the demo and of workspaces for tests open nothing that needs protection
        "SELECT w.id, k.id FROM workspaces w JOIN known_keys k ON k.tenant = w.id"
        " WHERE NOT w.is_demo AND NOT w.is_disposable AND k.is_active AND ifnull(k.last_used_at, k.created_at) < ?"
        " ORDER BY k.seq"
    )
    for tenant, id in execute(sql, utc_now(90 * 24 * 3600)):
        yield f"key '{id}' of '{tenant}' was not used for 90 days: flask keys deactivate {id} --workspace {tenant}"


def _find_unused_permissions() -> Iterator[str]:
    sql = (
        "SELECT w.id, k.id, held.value FROM workspaces w JOIN known_keys k ON k.tenant = w.id, json_each(k.permissions) held"
        " WHERE NOT w.is_demo AND NOT w.is_disposable AND k.is_active AND k.last_used_at >= ?"
        " AND ifnull(k.ledger_from, k.created_at) < ?"
        " AND held.value NOT IN (SELECT used.key FROM json_each(k.permission_use) used) ORDER BY k.seq, held.key"
    )
    since = utc_now(90 * 24 * 3600)
    for tenant, id, permission in execute(sql, since, since):
        yield f"key '{id}' of '{tenant}' never used {permission} in 90 days: flask keys advise {id} --workspace {tenant}"


def _find_undeclared_proxy() -> Iterator[str]:
    config = current_app.config
    if not config["PROXIES"] and (_serves_beyond_loopback() or not holds_demo()):
        yield "SIGMA_PROXIES is 0: if a proxy stands in front, set SIGMA_PROXIES=1, or failed logins of one count for all"


def _find_any_origin() -> Iterator[str]:
    try:
        require_listed_origins()
    except StartError as error:
        yield error.message


def _find_unknown_variables() -> Iterator[str]:
    yield from unknown_variables()


CHECKS = [
    Check("database", "ok", _describe_database),
    Check("workspaces", "problem", _find_no_workspace),
    Check("file permissions", "problem", _find_wrong_modes),
    Check("integrity", "problem", _find_corruption),
    Check("journal mode", "problem", _find_journal_mode),
    Check("disk space", "problem", _find_full_disk),
    Check("demo data", "problem", _find_public_demo),
    Check("administrators", "problem", _find_missing_administrators),
    Check("web pages", "problem", _find_any_origin),
    Check("well-known secrets", "problem", _find_well_known_secrets),
    Check("unused keys", "note", _find_unused_keys),
    Check("unused permissions", "note", _find_unused_permissions),
    Check("proxies", "note", _find_undeclared_proxy),
    Check("settings", "note", _find_unknown_variables),
]


def _run_check(check: Check) -> dict[str, Any]:
    try:
        findings, severity = list(check.find()), check.severity
    except (sqlite3.Error, OSError, StartError) as error:
        findings, severity = [f"cannot be checked: {error}"], "problem"
    return {"check": check.name, "result": severity if findings else "ok", "findings": findings}


def _format_result(result: dict[str, Any]) -> str:
    findings = f": {'; '.join(result['findings'])}" if result["findings"] else ""
    return f"{result['result']:<8} {result['check']}{findings}"


@click.command("doctor", cls=Command)
@with_appcontext
@prints_plainly
def doctor() -> Output:
    """Check the database and the settings, and say what to do about each problem. The exit code is 1 if there is one.

    Example: SIGMA_HOST=0.0.0.0 flask doctor
    """
    require_database()
    results = [_run_check(check) for check in CHECKS]
    has_problem = any(result["result"] == "problem" for result in results)
    return Output(results, "\n".join(map(_format_result, results)), int(has_problem))
