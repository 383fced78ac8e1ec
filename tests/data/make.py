"""Keep a database of the schema's version as it is now: run it before the version goes up.

It brings the newest that is stored here forward. To add what only this version can hold, name a script in Python, which
finds the service as `app`: `.venv/bin/python tests/data/make.py more.py`.
"""

import gzip
import runpy
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import app as service
from sigma import database, upgrades

HERE = Path(__file__).resolve().parent


def make(folder, addition=None):
    """Store the database of this version and return its file."""
    path, version = Path(folder) / "kept.db", upgrades.SCHEMA_VERSION
    path.write_bytes(gzip.decompress((HERE / f"version-{version - 1}.db.gz").read_bytes()))
    app = service.create_app({"DATABASE": str(path)})
    if addition:
        runpy.run_path(addition, {"app": app})
    database.close_db()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    kept = HERE / f"version-{version}.db.gz"
    kept.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    return kept


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(f"{make(folder, *sys.argv[1:2])}\n")
