"""Backup and restore."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import click
from flask import current_app
from flask.cli import with_appcontext

from sigma.cli.console import Report, confirm, reports, table, yes_option
from sigma.database import APPLICATION_ID, SCHEMA_VERSION, connect, execute, get_db, make_tables, migrate, pragma
from sigma.http.errors import database_unavailable


def find_damage(db: sqlite3.Connection) -> list[str]:
    """Return the first few things that are broken in a database."""
    try:
        problems = [line for (line,) in db.execute("PRAGMA integrity_check(5)") if line != "ok"]
        dangling = [] if problems else db.execute("PRAGMA foreign_key_check").fetchmany(5)
    except sqlite3.DatabaseError as error:  # what is broken may also keep SQLite from looking any further
        return [str(error)]
    return problems + [
        f"row {row} of {name} refers to a row of {parent} that is not there" for name, row, parent, _ in dangling
    ]


def require_whole(db: sqlite3.Connection, name: str | Path) -> None:
    """Raise click.ClickException unless this is a database of the service, and whole."""
    if pragma(db, "application_id") != APPLICATION_ID:
        raise click.ClickException(f"{name} is no database of Sigma PIM")
    if problems := find_damage(db):
        raise click.ClickException(f"{name} is damaged: {'; '.join(problems)}")


def find_missing_parts(db: sqlite3.Connection) -> list[str]:
    """Return the tables, indexes, triggers and views that a database of this version has, and this one has not."""
    sql = "SELECT type, name FROM sqlite_schema"
    with closing(sqlite3.connect(":memory:")) as new:
        make_tables(new)
        missing = set(new.execute(sql)) - set(db.execute(sql))
    return [f"the {kind} {name} is missing" for kind, name in sorted(missing)]


class Totals(NamedTuple):
    """How much a database holds."""

    workspaces: int
    records: int

    def __str__(self) -> str:
        return ", ".join(f"{count} {name[:-1] if count == 1 else name}" for name, count in self._asdict().items())


def count_totals(db: sqlite3.Connection) -> Totals:
    """Return how much a database holds."""
    sql = (
        "SELECT count(DISTINCT w.id), ifnull(sum(c.total), 0) FROM workspaces w"
        " LEFT JOIN entity_counts c ON c.tenant = w.id AND c.is_variant = 0"
    )
    return Totals(*db.execute(sql).fetchone())


def sync_to_disk(path: Path) -> None:
    """See that a file's bytes, or a folder's names, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Let the block write a file for its owner alone, and put it at a path when it is done and on disk, or not at all."""
    with tempfile.TemporaryDirectory(prefix=f"{path.name}.part-", dir=path.parent) as folder:
        part = Path(folder) / path.name
        part.touch(0o600)
        yield part
        sync_to_disk(part)
        part.replace(path)
        sync_to_disk(path.parent)


def copy_database(source: sqlite3.Connection, copy: sqlite3.Connection) -> None:
    """Copy what a database holds at this moment; others go on writing to it meanwhile."""
    source.backup(copy)
    copy.execute("PRAGMA journal_mode = DELETE")  # one file, without neighbours


def database_files() -> list[Path]:
    """Return the files that make up the database."""
    path = Path(current_app.config["DATABASE"]).resolve()
    return [file for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")) if file.exists()]


def is_database(file: Path) -> bool:
    """Return whether a file is one of those that make up the database, by whatever name."""
    return any(file.exists() and file.samefile(part) for part in database_files())


@click.command("backup")
@with_appcontext
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@reports
def backup(file: Path, force: bool) -> Report:
    """Copy the database to FILE, checked and whole, while the service goes on.

    Example: flask backup /backup/acme.db
    """
    file = file.resolve()
    if is_database(file) or (file.exists() and not file.is_file()):
        raise click.ClickException(f"{file} is the database itself, or no ordinary file")
    if file.exists() and not force:
        raise click.ClickException(f"{file} is there already; --force replaces it")
    with new_file(file) as part, closing(connect(str(part))) as copy:
        copy_database(get_db(), copy)
        require_whole(copy, current_app.config["DATABASE"])
        holds = count_totals(copy)
        if not holds.workspaces:
            raise click.ClickException(f"{current_app.config['DATABASE']} holds no workspace; is it the one that is meant?")
    size = file.stat().st_size
    return Report({"file": str(file), "bytes": size, **holds._asdict()}, f"{file} holds {holds} ({size / 1e6:.1f} MB).")


def open_backup(file: Path) -> sqlite3.Connection:
    """Open a backup so that nothing is written to it, nor beside it."""
    has_neighbours = any(Path(f"{file}-{suffix}").exists() for suffix in ("wal", "journal"))  # which hold a part of it
    return sqlite3.connect(f"{file.as_uri()}?mode=ro{'' if has_neighbours else '&immutable=1'}", uri=True)


def stage_backup(file: Path, copy: sqlite3.Connection) -> None:
    """Copy a backup, and bring the copy forward to this release's version. Raises click.ClickException."""
    try:
        with closing(open_backup(file)) as source:
            copy_database(source, copy)
        require_whole(copy, file)
        migrate(copy)
        if (size := pragma(get_db(), "page_size")) != pragma(copy, "page_size"):  # one in use cannot change its own
            copy.execute(f"PRAGMA page_size = {size}")
            copy.execute("VACUUM")
    except sqlite3.Error as error:
        raise click.ClickException(f"{file} cannot be read: {error}") from None
    version = pragma(copy, "user_version")
    if version != SCHEMA_VERSION:
        raise click.ClickException(f"{file} has schema version {version}, this release reads versions up to {SCHEMA_VERSION}")
    if missing := find_missing_parts(copy):
        raise click.ClickException(f"{file} is not whole: {'; '.join(missing)}")


def keys_that_return(backup: sqlite3.Connection) -> list[dict[str, str]]:
    """Return the API keys that are accepted by what a backup holds, and refused now."""
    sql = (
        "SELECT w.id, k.id, k.name, k.hash FROM workspaces w JOIN api_keys k ON k.tenant = w.id"
        " WHERE k.deactivated_at IS NULL ORDER BY k.seq"
    )
    accepted = set(execute(sql))
    rows = (row for row in backup.execute(sql) if row not in accepted)
    return [{"workspace": workspace, "id": id, "name": name} for workspace, id, name, _ in rows]


PAGES_A_STEP = 16  # fewer than an empty database has, so that there is a moment between the first step and the last


def replace_database(new: sqlite3.Connection, kept: Path) -> None:
    """Put a database's contents in the place of the live one's, and what was there into a file.

    SQLite's backup, with the live database as its destination, is one transaction: processes that have the database open
    see the old contents until it commits, and the new ones from then on; after a crash it is the one or the other. What
    was there is kept when the write lock is held, so that it has every write that was acknowledged.
    """

    def keep(status: int, *_: int) -> None:
        if status == sqlite3.SQLITE_BUSY:  # after the busy timeout
            raise database_unavailable("another write does not end")
        if not kept.exists():
            with new_file(kept) as part, closing(connect(str(part))) as copy:
                copy_database(get_db(), copy)

    with closing(connect(current_app.config["DATABASE"])) as live:
        new.backup(live, pages=PAGES_A_STEP, progress=keep)
        live.execute("PRAGMA busy_timeout = 0")  # writes would wait with it for reads of the old contents to end
        live.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@click.command("restore")
@with_appcontext
@click.argument("file", type=click.Path(path_type=Path))
@yes_option
@reports
def restore(file: Path, yes: bool) -> Report:
    """Put a backup in the place of the database, also while the service runs; what was there is kept beside it.

    Example: flask restore /backup/acme.db
    """
    path, file = Path(current_app.config["DATABASE"]), file.resolve()  # what stands beside a link is not its neighbours
    if is_database(file):
        raise click.ClickException(f"{file} is the database itself")
    if file.exists() and not file.is_file():
        raise click.ClickException(f"{file} cannot be read: it is no ordinary file")
    kept = path.with_name(f"{path.name}.before-restore-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}")
    with (
        tempfile.TemporaryDirectory(prefix=f"{path.name}.part-", dir=path.parent) as folder,
        closing(connect(f"{folder}/restored.db")) as new,
    ):
        stage_backup(file, new)
        holds, keys = count_totals(new), keys_that_return(new)
        if keys:
            click.echo("These API keys are refused now, and will be accepted again:", err=True)
            click.echo(table(("WORKSPACE", "ID", "NAME"), *(key.values() for key in keys)), err=True)
        confirm(f"Replace what {path} holds ({count_totals(get_db())}) by {file} ({holds})?", yes)
        replace_database(new, kept)
    body = {"database": str(path), "kept": str(kept), **holds._asdict(), "keysAcceptedAgain": keys}
    return Report(body, f"{path} is as in {file}; what was there is in {kept}.")
