"""`flask backup` and `flask restore`: copy the database and put a copy back, while the service runs."""

import math
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import click
from flask import current_app
from flask.cli import with_appcontext

from sigma.cli.console import (
    Output,
    confirm,
    database_problem,
    make_database,
    name_database,
    prints_output,
    prints_plainly,
    upgrade_database,
    yes_option,
)
from sigma.cli.files import atomic_file, is_write_failure
from sigma.cli.interrupts import Interrupts
from sigma.cli.terminal import Command, format_table, note
from sigma.database import close_db, connect, execute, get_db
from sigma.files import no_database_message
from sigma.http.errors import counted
from sigma.upgrades import APPLICATION_ID, SCHEMA_VERSION, make_tables, migrate, pragma

PAGES_PER_STEP = 16  # of a restore; an empty database has more, so SQLite calls back at least once before the last step


class Totals(NamedTuple):
    """How much a database holds."""

    workspaces: int
    records: int

    def __str__(self) -> str:
        return f"{counted(self.workspaces, 'workspace')}, {counted(self.records, 'record')}"


def _count_totals(db: sqlite3.Connection) -> Totals:
    return Totals(*db.execute("SELECT count(*), ifnull(sum(records), 0) FROM workspace_totals").fetchone())


def find_damage(db: sqlite3.Connection) -> list[str]:
    """Return the first few problems that SQLite finds in a database, each as a text."""
    try:
        problems = [line for (line,) in db.execute("PRAGMA integrity_check(5)") if line != "ok"]
        dangling = [] if problems else db.execute("PRAGMA foreign_key_check").fetchmany(5)
    except sqlite3.DatabaseError as error:  # damage can also stop the check itself
        return [str(error)]
    return problems + [f"row {row} of {name} refers to a row of {parent} that is missing" for name, row, parent, _ in dangling]


def find_missing_parts(db: sqlite3.Connection) -> list[str]:
    """Return the tables, indexes, triggers and views of this version that a database lacks."""
    sql = "SELECT type, name FROM sqlite_schema"
    with closing(sqlite3.connect(":memory:")) as new:
        make_tables(new)
        missing = set(new.execute(sql)) - set(db.execute(sql))
    return [f"the {kind} {name} is missing" for kind, name in sorted(missing)]


def _require_intact(db: sqlite3.Connection, name: str | Path) -> None:
    if pragma(db, "application_id") != APPLICATION_ID:
        raise click.ClickException(f"{name} is not a database of Sigma PIM")
    if problems := find_damage(db):
        raise click.ClickException(f"{name} is damaged: {'; '.join(problems)}")


def database_files() -> list[Path]:
    """Return the existing files of the database: the main file, and those beside it that SQLite keeps."""
    path = Path(current_app.config["DATABASE"]).resolve()
    return [file for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")) if file.exists()]


def _is_database(file: Path) -> bool:
    return any(file.exists() and file.samefile(part) for part in database_files())


def copy_database(source: sqlite3.Connection, copy: sqlite3.Connection) -> None:
    """Copy a consistent state of a database, while others go on writing to it."""
    source.backup(copy)
    copy.execute("PRAGMA journal_mode = DELETE")  # so that the copy is a single file, without -wal and -shm


@click.command("backup", cls=Command)
@with_appcontext
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@prints_output
def backup(file: Path, force: bool) -> Output:
    """Copy the database to FILE, and check the copy. The service may keep running.

    Example: flask backup /backup/acme.db
    """
    file, path = file.resolve(), current_app.config["DATABASE"]
    if _is_database(file) or (file.exists() and not file.is_file()):
        raise click.ClickException(f"{file} is the database itself, or not a regular file")
    if file.exists() and not force:
        raise click.ClickException(f"{file} exists already; use --force to replace it")
    with atomic_file(file) as part, closing(connect(str(part))) as copy:
        copy_database(get_db(), copy)
        _require_intact(copy, path)
        totals = _count_totals(copy)
        if not totals.workspaces:
            raise click.ClickException(f"{path} holds no workspace; is SIGMA_DATABASE right?")
    size = file.stat().st_size
    return Output({"file": str(file), "bytes": size, **totals._asdict()}, f"{file} holds {totals} ({size / 1e6:.1f} MB).")


def _open_backup(file: Path) -> sqlite3.Connection:
    """Open a backup so that nothing is written to it or beside it."""
    has_log = any(Path(f"{file}-{suffix}").exists() for suffix in ("wal", "journal"))  # these hold a part of its contents
    return sqlite3.connect(f"{file.as_uri()}?mode=ro{'' if has_log else '&immutable=1'}", uri=True)


def _stage_backup(file: Path, copy: sqlite3.Connection) -> None:
    try:
        with closing(_open_backup(file)) as source:
            copy_database(source, copy)
        _require_intact(copy, file)
        migrate(copy)
        live = current_app.config["DATABASE"]
        size = pragma(get_db() if os.path.exists(live) else copy, "page_size")  # which a live database cannot change
        if size != pragma(copy, "page_size"):
            copy.execute(f"PRAGMA page_size = {size}")
            copy.execute("VACUUM")
    except sqlite3.Error as error:
        if is_write_failure(error):
            message = f"There is no room beside {current_app.config['DATABASE']} for a copy of {file}: {error}"
            raise click.ClickException(message) from None
        raise click.ClickException(f"{file} cannot be read: {error}") from None
    version = pragma(copy, "user_version")
    if version != SCHEMA_VERSION:
        raise click.ClickException(f"{file} has schema version {version}, this release reads versions up to {SCHEMA_VERSION}")
    if missing := find_missing_parts(copy):
        raise click.ClickException(f"{file} is incomplete: {'; '.join(missing)}")


def _find_reaccepted_keys(backup: sqlite3.Connection) -> list[dict[str, str]]:
    """Return the API keys that are refused now but would be accepted once the backup is restored."""
    sql = (
        "SELECT w.id, k.id, k.name, k.hash FROM workspaces w JOIN known_keys k ON k.tenant = w.id"
        " WHERE k.is_active ORDER BY k.seq"
    )
    accepted = set(execute(sql))
    rows = (row for row in backup.execute(sql) if row not in accepted)
    return [{"workspace": workspace, "id": id, "name": name} for workspace, id, name, _ in rows]


def _keep_ended_sessions(copy: sqlite3.Connection) -> None:
    """Keep sessions ended that have ended since the backup: restoring must not make their tokens valid again.

    Since the backup, a user may have changed the password or been deleted, alone or with the workspace, and a new user may
    have the same ids. For each such user, only tokens made from now on are valid, later than any token of either database.
    """
    counter = "SELECT ifnull(max(CAST(value AS INTEGER)), 0) FROM settings WHERE name = 'sessions_from'"
    second = 1 + max(math.floor(time.time()), *(db.execute(counter).fetchone()[0] for db in (copy, get_db())))
    users = "SELECT tenant, id, sessions_from FROM users"
    ended = set(copy.execute(users)) - set(execute(users))
    rows = [(second, tenant, id) for tenant, id, _ in ended]
    copy.executemany("UPDATE users SET sessions_from = ? WHERE tenant = ? AND id = ?", rows)
    copy.execute("INSERT OR REPLACE INTO settings (name, value) VALUES ('sessions_from', ?)", (second,))


def _replace_database(new: sqlite3.Connection, kept: Path | None) -> None:
    """Replace the contents of the live database, and keep the old ones in a file; None if there are none.

    SQLite's backup into the live database is one transaction: processes that have the database open see the old contents
    until it commits, and the new ones from then on; after a crash the database holds either the old or the new contents.
    The old contents are copied while the write lock is held, so the copy includes every write that was acknowledged. If the
    database then is not replaced, the copy is removed.
    """
    interrupts = Interrupts()
    interrupts.is_held = True  # a signal takes effect in keep(), and none does once SQLite has begun to commit

    def keep(status: int, remaining: int, _: int) -> None:
        if interrupts.was_signalled and remaining:
            raise KeyboardInterrupt
        if status == sqlite3.SQLITE_BUSY:  # after the busy timeout
            raise click.ClickException(database_problem("SQLITE_BUSY"))
        if kept and not kept.exists():
            with atomic_file(kept) as part, closing(connect(str(part))) as copy:
                copy_database(get_db(), copy)

    with closing(connect(current_app.config["DATABASE"])) as live, interrupts.handled():
        try:
            new.backup(live, pages=PAGES_PER_STEP, progress=keep)
        except BaseException:
            if kept:
                kept.unlink(missing_ok=True)
            raise
        live.execute("PRAGMA busy_timeout = 0")  # otherwise the checkpoint would make writes wait until old reads have ended
        live.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def _new_database() -> Iterator[None]:
    """Make the database for the block, and remove it if the block fails."""
    make_database()
    try:
        yield
    except BaseException:
        close_db()
        for file in database_files():
            file.unlink()
        raise


def _question(path: Path, file: Path, totals: Totals, is_new: bool) -> str:
    if is_new:
        return f"Make the database {path} from {file} ({totals})?"
    return f"Replace the contents of {path} ({_count_totals(get_db())}) with {file} ({totals})?"


@click.command("restore", cls=Command)
@with_appcontext
@click.argument("file", type=click.Path(path_type=Path))
@yes_option
@prints_plainly
def restore(file: Path, yes: bool) -> Output:
    """Replace the database's contents with a backup, and keep the old ones in a file. The service may keep running.

    Example: flask restore /backup/acme.db
    """
    upgrade_database()
    path, file = Path(name_database()), file.resolve()  # the backup's -wal lies beside the file itself, not beside a link to it
    if _is_database(file):
        raise click.ClickException(f"{file} is the database itself")
    if not file.is_file():
        reason = "it is not a regular file" if file.exists() else "there is no such file"
        raise click.ClickException(f"{file} cannot be read: {reason}")
    is_new = not path.exists()
    if message := no_database_message(str(path)):
        raise click.ClickException(message)
    kept = None if is_new else path.with_name(f"{path.name}.before-restore-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}")
    with (
        tempfile.TemporaryDirectory(prefix=f"{path.name}.part-", dir=path.parent) as folder,
        closing(connect(f"{folder}/restored.db")) as new,
    ):
        _stage_backup(file, new)
        totals, keys = _count_totals(new), [] if is_new else _find_reaccepted_keys(new)
        if keys:
            note("These API keys are refused now, and will be accepted again:")
            note(format_table(("WORKSPACE", "ID", "NAME"), *(key.values() for key in keys)))
        confirm(_question(path, file, totals, is_new), yes)
        with _new_database() if is_new else nullcontext():
            _keep_ended_sessions(new)
            _replace_database(new, kept)
    data = {"database": str(path), "kept": kept and str(kept), **totals._asdict(), "keysAcceptedAgain": keys}
    told = f"; its old contents are in {kept}" if kept else ""
    return Output(data, f"{path} now holds the contents of {file}{told}.")
