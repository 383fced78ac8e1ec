"""FastAPI and sqlite3: one record by id, for callers whose key's hash is in the database.

It does what the service does, as fast as FastAPI lets it: one open connection, the stored text sent as it is, and no
hop to another thread. `python fastapi_sqlite.py` makes the database from record.json in BENCH_FOLDER, and prints a key.
"""

import hashlib
import json
import os
import secrets
import sqlite3
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, Response

FOLDER = Path(os.environ["BENCH_FOLDER"])
db = sqlite3.connect(FOLDER / "fastapi.db", isolation_level=None)
app = FastAPI()


def hash_key(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


async def check_key(x_api_key: Annotated[str, Header()]) -> None:
    if db.execute("SELECT 1 FROM api_keys WHERE hash = ? AND active", (hash_key(x_api_key),)).fetchone() is None:
        raise HTTPException(401, "Invalid API key")


@app.get("/records/{id}", dependencies=[Depends(check_key)])
async def get_record(id: str) -> Response:
    row = db.execute("SELECT body FROM records WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise HTTPException(404, "No such record")
    return Response(row[0], media_type="application/json")


def make_database():
    record, key = json.loads((FOLDER / "record.json").read_text(encoding="utf-8")), secrets.token_urlsafe(32)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE api_keys (hash BLOB NOT NULL PRIMARY KEY, active INTEGER NOT NULL) WITHOUT ROWID")
    db.execute("CREATE TABLE records (id TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL)")
    db.execute("INSERT INTO api_keys VALUES (?, 1)", (hash_key(key),))
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    db.execute("INSERT INTO records VALUES (?, ?)", (record["id"], text))
    return key


if __name__ == "__main__":
    print(make_database())
