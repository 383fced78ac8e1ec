"""How a database is made from schema.sql, and how one of an older release is upgraded."""

import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from sigma.migrations import MIGRATIONS
from sigma.settings import ROOT

SCHEMA_VERSION = max(MIGRATIONS) + 1  # the same as in schema.sql
APPLICATION_ID = 0x5349474D  # likewise
VIEW = re.compile(r"^CREATE VIEW (\w+) .*", re.DOTALL | re.MULTILINE)


def pragma(db: sqlite3.Connection, name: str) -> Any:
    """Return the value of one of the database's pragmas."""
    return db.execute(f"PRAGMA {name}").fetchone()[0]


def split_statements(script: str) -> Iterator[str]:
    """Yield the statements of a script, each of which must end its line; executescript() would commit the open transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def schema_statements() -> Iterator[str]:
    """Yield the statements of schema.sql."""
    return split_statements((ROOT / "schema.sql").read_text(encoding="utf-8"))


def schema_views() -> dict[str, str]:
    """Return the statements of schema.sql that make its views, by the view's name."""
    return {match[1]: match[0] for match in map(VIEW.search, schema_statements()) if match}


def is_older(db: sqlite3.Connection) -> bool:
    """Return whether a database is one that an older release of this service made."""
    return pragma(db, "application_id") == APPLICATION_ID and pragma(db, "user_version") in MIGRATIONS


def needs_upgrade(path: str) -> bool:
    """Return whether a database was made by an older release; False for a file that is none. Looking changes nothing."""
    try:
        with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=rw", uri=True)) as db:
            return is_older(db)
    except sqlite3.Error:
        return False


def make_tables(db: sqlite3.Connection) -> None:
    """Create the tables of an empty database, and the secret that signs its session tokens."""
    for statement in schema_statements():
        db.execute(statement)
    db.execute("INSERT INTO settings (name, value) VALUES ('jwt_secret', ?)", (secrets.token_hex(32),))


def _run_migrations(db: sqlite3.Connection) -> None:
    views = schema_views()
    for view in views:
        db.execute(f"DROP VIEW IF EXISTS {view}")
    while (version := pragma(db, "user_version")) in MIGRATIONS:
        for statement in split_statements(MIGRATIONS[version]):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {version + 1}")
    for statement in views.values():
        db.execute(statement)
    for table, _, parent, _ in db.execute("PRAGMA foreign_key_check"):
        raise sqlite3.IntegrityError(f"a row of {table} refers to a row of {parent} that is missing")


def migrate(db: sqlite3.Connection) -> None:
    """Create the tables of an empty database, or upgrade a database of an older release: completely, or not at all.

    When several processes start together, the first does this, and the others wait and find it done. Raises
    sqlite3.IntegrityError if an upgraded row refers to a row that is missing.
    """
    try:
        db.execute("PRAGMA foreign_keys = OFF")  # otherwise, rebuilding a table would delete the rows that refer to it
        db.execute("BEGIN IMMEDIATE")
        if not db.execute("SELECT 1 FROM sqlite_schema").fetchone():
            make_tables(db)
        if is_older(db):
            _run_migrations(db)
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
        db.execute("PRAGMA foreign_keys = ON")
