"""What may be wrong with a deployment, and what to do about it."""

import json
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import click
from flask import current_app
from flask.cli import with_appcontext
from werkzeug.security import check_password_hash

from sigma.cli.backup import database_files, find_damage, find_missing_parts
from sigma.cli.console import Report, reports
from sigma.database import execute, fetch_one, get_db, pragma, snapshot
from sigma.http.access import holds_demo, is_loopback
from sigma.http.credentials import hash_key
from sigma.http.stamps import utc_now
from sigma.http.strict_json import to_json
from sigma.resources.roles import ADMINISTRATORS
from sigma.resources.unique_values import unique_key
from sigma.settings import read_setting, signing_secret
from sigma.standin.demo import read_demo


class Check(NamedTuple):
    """One thing to look at: its name, what a finding is worth, and what finds them."""

    name: str
    severity: str
    findings: Callable[[], Iterator[str]]


def exposed_files() -> Iterator[str]:
    """Yield the files that others can read, and a folder that they can put files into."""
    files = database_files()
    for file in files:
        if file.stat().st_mode & 0o077:
            yield f"others can open {file}: chmod 600 {file}"
    if files[0].parent.stat().st_mode & 0o002:
        yield f"others can put files beside the database: chmod o-w {files[0].parent}"


def incomplete_schema() -> Iterator[str]:
    """Yield what the database should have and has not."""
    for part in find_missing_parts(get_db()):
        yield f"{part}: restore a backup"


def damaged_parts() -> Iterator[str]:
    """Yield what is broken in the file."""
    for problem in find_damage(get_db()):
        yield f"{problem}: restore a backup"


def wrong_counts() -> Iterator[str]:
    """Yield the workspaces whose lists tell a total that is not so."""
    stored = "SELECT tenant, is_variant, schema_id, ifnull(state_id, ''), count(*) FROM entities GROUP BY 1, 2, 3, 4"
    counted = "SELECT tenant, is_variant, schema_id, state_id, total FROM entity_counts WHERE total > 0"
    assigned = (
        "SELECT c.tenant FROM categories c WHERE c.total <>"
        " (SELECT count(*) FROM category_assignments a WHERE a.tenant = c.tenant AND a.category_id = c.id)"
    )
    with snapshot():
        wrong = {*(set(execute(stored)) ^ set(execute(counted))), *execute(assigned)}
    for tenant in sorted({row[0] for row in wrong}):
        yield f"lists of '{tenant}' tell a wrong total: restore a backup"


def wrong_claims() -> Iterator[str]:
    """Yield the unique attributes whose values are claimed otherwise than they are stored."""
    attributes = (
        "SELECT w.id, o.id, o.alias FROM workspaces w JOIN model_objects o ON o.tenant = w.id AND o.kind = 'attribute'"
        " WHERE json_extract(o.body, '$.validation.unique')"
    )
    claims = "SELECT scope, value, entity_id FROM unique_values WHERE tenant = ? AND attribute = ?"
    values = "SELECT json_extract(body, ?), id FROM entities WHERE tenant = ? AND json_type(body, ?) IS NOT NULL"
    for tenant, id, alias in execute(attributes).fetchall():
        path = f'$.values."{alias}"'
        with snapshot():
            claimed, holders = set(execute(claims, tenant, alias)), execute(values, path, tenant, path).fetchall()
        stored = {
            (to_json(entry["scope"], sort_keys=True), unique_key(entry["value"]), entity_id)
            for entries, entity_id in holders
            for entry in json.loads(entries)
        }
        if stored != claimed:
            yield f"'{id}' of '{tenant}' is not kept unique: PUT it with validation.unique false, and then true again"


def other_journal() -> Iterator[str]:
    """Yield another journal mode than the one that lets reads go on during a write."""
    if (mode := pragma(get_db(), "journal_mode")) != "wal":
        yield f"it is '{mode}', not WAL, as on a network's drive: keep the database on a local disk"


def little_space() -> Iterator[str]:
    """Yield that a restore, which writes the database three times, would fill the disk."""
    files = database_files()
    needed, free = 3 * sum(file.stat().st_size for file in files) + 100_000_000, shutil.disk_usage(files[0].parent).free
    if free < needed:
        yield f"{free / 1e6:.0f} MB are free, a restore may need {needed / 1e6:.0f}: make room in {files[0].parent}"


def weak_secret() -> Iterator[str]:
    """Yield that the secret that signs session tokens is missing or can be guessed."""
    row = fetch_one("SELECT value FROM settings WHERE name = 'jwt_secret'")
    try:
        signing_secret(current_app.config["JWT_SECRET"] or (row[0] if row else ""))
    except ValueError as error:
        yield f"{error}; set it as SIGMA_JWT_SECRET"


def public_demo() -> Iterator[str]:
    """Yield demo workspaces that others can reach, or may soon."""
    config = current_app.config
    if config["ALLOW_PUBLIC_DEMO"] or not is_loopback(read_setting("HOST", config)):
        for (id,) in execute("SELECT id FROM workspaces WHERE is_demo"):
            yield f"everybody knows the passwords of '{id}', and others may reach it: flask workspace delete {id}"


def workspaces_without_administrator() -> Iterator[str]:
    """Yield the workspaces where nobody can manage roles and API keys."""
    for (id,) in execute("SELECT id FROM workspaces WHERE NOT is_disposable").fetchall():
        if not fetch_one(ADMINISTRATORS, id):
            yield f"nobody can manage roles and keys of '{id}': flask users role EMAIL --administrator"


def known_secrets() -> Iterator[str]:
    """Yield the demo's keys and passwords wherever they open something else."""
    demo = read_demo()
    keys = (
        "SELECT w.id, k.id FROM workspaces w JOIN api_keys k ON k.tenant = w.id"
        " WHERE NOT w.is_demo AND k.deactivated_at IS NULL AND k.hash = ?"
    )
    for key in demo["apiKeys"]:
        for tenant, id in execute(keys, hash_key(key["rawKey"])):
            yield f"everybody knows key '{id}' of '{tenant}': flask keys deactivate {id} --workspace {tenant}"
    users = (
        "SELECT u.email, u.password_hash FROM workspaces w JOIN users u ON u.tenant = w.id"
        " WHERE NOT w.is_demo AND NOT w.is_disposable"  # nobody has a password in those for tests
    )
    for email, password_hash in execute(users).fetchall():
        if any(check_password_hash(password_hash, user["password"]) for user in demo["users"]):
            yield f"everybody knows the password of {email}: flask users password {email}"


def unused_keys() -> Iterator[str]:
    """Yield the active API keys that nothing seems to need."""
    sql = (
        "SELECT w.id, k.id FROM workspaces w JOIN api_keys k ON k.tenant = w.id"
        " WHERE k.deactivated_at IS NULL AND ifnull(k.last_used_at, k.created_at) < ? ORDER BY k.seq"
    )
    for tenant, id in execute(sql, utc_now(90 * 24 * 3600)):
        yield f"key '{id}' of '{tenant}' was not used for 90 days: flask keys deactivate {id} --workspace {tenant}"


def uncounted_proxy() -> Iterator[str]:
    """Yield that failed logins may all be counted as a proxy's."""
    config = current_app.config
    if not config["PROXIES"] and not (is_loopback(read_setting("HOST", config)) and holds_demo()):
        yield "SIGMA_PROXIES is 0: if a proxy stands in front, set SIGMA_PROXIES=1, or one client's failures count for all"


# In others, a race may damage the file: https://sqlite.org/wal.html#walresetbug
SOUND_SQLITE = [((3, 44, 6), (3, 45)), ((3, 50, 7), (3, 51)), ((3, 51, 3), (4,))]  # from, and up to


def old_versions() -> Iterator[str]:
    """Yield what is too old of Python and SQLite."""
    end = datetime(2016 + sys.version_info.minor, 11, 1, tzinfo=UTC)  # PEP 602: five years after its release in October
    if datetime.now(UTC) > end:
        yield f"Python {sys.version.split()[0]} gets no security fixes since {end:%B %Y}: install a newer one"
    if not any(first <= sqlite3.sqlite_version_info < beyond for first, beyond in SOUND_SQLITE):
        yield (
            f"SQLite {sqlite3.sqlite_version} may, very rarely, damage a database that several processes write at the same"
            " moment: install a Python with SQLite 3.51.3 or newer, and make backups"
        )


CHECKS = [
    Check("file permissions", "problem", exposed_files),
    Check("schema", "problem", incomplete_schema),
    Check("integrity", "problem", damaged_parts),
    Check("totals", "problem", wrong_counts),
    Check("unique values", "problem", wrong_claims),
    Check("journal mode", "problem", other_journal),
    Check("disk space", "problem", little_space),
    Check("signing secret", "problem", weak_secret),
    Check("demo data", "problem", public_demo),
    Check("administrators", "problem", workspaces_without_administrator),
    Check("well-known secrets", "problem", known_secrets),
    Check("unused keys", "note", unused_keys),
    Check("proxies", "note", uncounted_proxy),
    Check("versions", "note", old_versions),
]


def examine(check: Check) -> dict[str, Any]:
    """Return what one check says; that it cannot look is a problem as well."""
    try:
        findings, severity = list(check.findings()), check.severity
    except (sqlite3.Error, OSError) as error:
        findings, severity = [f"cannot be looked at: {error}"], "problem"
    return {"check": check.name, "result": severity if findings else "ok", "findings": findings}


@click.command("doctor")
@with_appcontext
@reports
def doctor() -> Report:
    """Look for what is wrong with the database and the settings, and say what to do about it. Exit code 1: problems.

    Example: SIGMA_HOST=0.0.0.0 flask doctor
    """
    results = [examine(check) for check in CHECKS]
    lines = [
        f"{result['result']:<8} {result['check']}{': ' if result['findings'] else ''}{'; '.join(result['findings'])}"
        for result in results
    ]
    return Report(results, "\n".join(lines), int(any(result["result"] == "problem" for result in results)))
