"""How commands write files: whole or not at all, and safely on disk; or to standard output."""

import errno
import os
import re
import sqlite3
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from sigma.cli.terminal import drop_stdout, printable, require_stdout


def sync_to_disk(path: Path) -> None:
    """Wait until a file's contents, or the names in a folder, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_private(path: str, flags: int) -> int:
    """Open a file, as the opener of open(); a new file can be opened only by its owner."""
    return os.open(path, flags, 0o600)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary file to write, which only its owner can open. After the block it is synced and moved to the path.

    Raises OSError that names the path, also if SQLite finds the disk full.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=f"{path.name}.part-", dir=path.parent) as folder:
            part = Path(folder) / path.name
            part.touch(0o600)
            yield part
            sync_to_disk(part)
            part.replace(path)
            sync_to_disk(path.parent)
    except sqlite3.OperationalError as error:
        if not is_write_failure(error):
            raise
        raise OSError(errno.EIO, str(error), str(path)) from None
    except OSError as error:
        if error.filename is not None and ".part-" not in str(error.filename):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


def is_write_failure(error: sqlite3.Error) -> bool:
    """Return whether SQLite could not write a file, because the disk is full or fails, or because of a limit."""
    return re.fullmatch("SQLITE_(FULL|IOERR(_(WRITE|FSYNC|TRUNCATE))?)", getattr(error, "sqlite_errorname", "")) is not None


def require_new_file(file: str, force: bool) -> None:
    """Raise click.ClickException if the path is not a regular file, or is one and force is False. "-" is standard output."""
    path, name = Path(file), printable(file)
    if file == "-" or not os.path.lexists(path):
        return
    if not path.is_file():
        raise click.ClickException(f"{name} is not a regular file; - is standard output")
    if not force:
        raise click.ClickException(f"{name} exists already; use --force to replace it")


def _write_to_stdout(parts: Iterable[bytes]) -> None:
    try:
        require_stdout()
        sys.stdout.buffer.writelines(parts)
        sys.stdout.buffer.flush()
    except (OSError, ValueError) as error:
        drop_stdout()
        raise click.ClickException(f"Standard output does not take the result: {error}") from None


def write_file(file: str, parts: Iterable[bytes]) -> None:
    """Write parts to a file, or to standard output for "-"; the file appears only when it is complete.

    Raises click.ClickException or OSError.
    """
    if file == "-":
        _write_to_stdout(parts)
        return
    with atomic_file(Path(file).resolve()) as part, part.open("wb") as stream:
        stream.writelines(parts)
