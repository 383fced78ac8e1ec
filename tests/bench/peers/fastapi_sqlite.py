"""FastAPI and sqlite3: records, for callers whose key's hash is in the database.

It does what the service does, as fast as FastAPI lets it: a key is looked up and its permissions are checked; the stored
text is sent as it is; what is new is validated by pydantic, and committed with an entry of its history, its claim of a
unique value and the count of records, on disk before it is acknowledged.

`app` has `async` endpoints, which call sqlite3 in the event loop, on one connection; `threads` has plain ones, as FastAPI's
tutorial shows, each thread with a connection. `python fastapi_sqlite.py` makes the database from record.json in BENCH_FOLDER,
and prints a key.
"""

import hashlib
import json
import os
import secrets
import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, FastAPI, Header, HTTPException, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

FOLDER = Path(os.environ["BENCH_FOLDER"])
SCHEMA = """
CREATE TABLE api_keys (hash BLOB NOT NULL PRIMARY KEY, name TEXT NOT NULL, permissions TEXT NOT NULL, active INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE records (id TEXT NOT NULL PRIMARY KEY, schema_id TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX records_by_schema ON records (schema_id);
CREATE TABLE history (seq INTEGER PRIMARY KEY, record_id TEXT NOT NULL, action TEXT NOT NULL, at TEXT NOT NULL,
    who TEXT NOT NULL, changes TEXT NOT NULL);
CREATE INDEX history_by_record ON history (record_id);
CREATE TABLE unique_values (attribute TEXT NOT NULL, value TEXT NOT NULL, record_id TEXT NOT NULL,
    PRIMARY KEY (attribute, value)) WITHOUT ROWID;
CREATE TABLE counts (schema_id TEXT NOT NULL PRIMARY KEY, records INTEGER NOT NULL);
"""
app, threads = FastAPI(), FastAPI()
local = threading.local()

Value = TypeVar("Value")
Id = Annotated[str, Field(pattern="^[A-Za-z0-9._~-]+$", max_length=100)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Scoped(Body, Generic[Value]):
    scope: dict[str, str] = {}
    value: Value


class Values(Body):
    name: list[Scoped[StrictStr]] = Field(alias="product-name")
    description: list[Scoped[StrictStr]] = []
    price: list[Scoped[StrictInt | StrictFloat]] = []
    tags: list[Scoped[list[StrictStr]]] = []
    waterproof: list[Scoped[StrictBool]] = []
    ean: list[Scoped[StrictStr]] = []


class NewRecord(Body):
    id: Id
    schemaId: Id
    values: Values


def connection() -> sqlite3.Connection:
    if not hasattr(local, "db"):
        local.db = sqlite3.connect(FOLDER / "fastapi.db", isolation_level=None, timeout=5)
        local.db.execute("PRAGMA journal_mode = WAL")
        local.db.execute("PRAGMA synchronous = FULL")
    return local.db


def hash_key(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def find_key(x_api_key: str, permission: str) -> str:
    key = (
        connection()
        .execute("SELECT name, permissions FROM api_keys WHERE hash = ? AND active", (hash_key(x_api_key),))
        .fetchone()
    )
    if key is None:
        raise HTTPException(401, "Invalid API key")
    if permission not in key[1].split():
        raise HTTPException(403, f"The key needs {permission}")
    return key[0]


def fetch_record(id: str) -> Response:
    row = connection().execute("SELECT body FROM records WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise HTTPException(404, "No such record")
    return Response(row[0], media_type="application/json")


def store_record(new: NewRecord, who: str) -> Response:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    body = {**new.model_dump(by_alias=True, exclude_unset=True), "createdAt": now, "updatedAt": now}
    body |= {"createdBy": who, "updatedBy": who, "lifecycleStateId": "state-draft"}
    text, db = json.dumps(body, ensure_ascii=False, separators=(",", ":")), connection()
    changes = json.dumps(body["values"], ensure_ascii=False, separators=(",", ":"))
    db.execute("BEGIN IMMEDIATE")
    try:
        db.execute("INSERT INTO records VALUES (?, ?, ?)", (new.id, new.schemaId, text))
        for ean in new.values.ean:
            db.execute("INSERT INTO unique_values VALUES ('ean', ?, ?)", (ean.value, new.id))
        db.execute("INSERT INTO history VALUES (NULL, ?, 'create', ?, ?, ?)", (new.id, now, who, changes))
        db.execute(
            "INSERT INTO counts VALUES (?, 1) ON CONFLICT (schema_id) DO UPDATE SET records = records + 1", (new.schemaId,)
        )
        db.execute("COMMIT")
    except sqlite3.IntegrityError as error:
        db.execute("ROLLBACK")
        raise HTTPException(409, "There is such a record, or one with this EAN") from error
    return Response(text, 201, media_type="application/json")


async def may_read(x_api_key: Annotated[str, Header()]) -> str:
    return find_key(x_api_key, "read")


async def may_write(x_api_key: Annotated[str, Header()]) -> str:
    return find_key(x_api_key, "update-data")


@app.get("/records/{id}", dependencies=[Depends(may_read)])
async def get_record(id: str) -> Response:
    return fetch_record(id)


@app.post("/records")
async def create_record(new: NewRecord, who: Annotated[str, Depends(may_write)]) -> Response:
    return store_record(new, who)


def thread_may_read(x_api_key: Annotated[str, Header()]) -> str:
    return find_key(x_api_key, "read")


def thread_may_write(x_api_key: Annotated[str, Header()]) -> str:
    return find_key(x_api_key, "update-data")


@threads.get("/records/{id}", dependencies=[Depends(thread_may_read)])
def get_record_in_thread(id: str) -> Response:
    return fetch_record(id)


@threads.post("/records")
def create_record_in_thread(new: NewRecord, who: Annotated[str, Depends(thread_may_write)]) -> Response:
    return store_record(new, who)


def make_database():
    record, key = json.loads((FOLDER / "record.json").read_text(encoding="utf-8")), secrets.token_urlsafe(32)
    (FOLDER / "fastapi.db").unlink(missing_ok=True)
    connection().executescript(SCHEMA)
    connection().execute("INSERT INTO api_keys VALUES (?, 'bench', 'read update-data', 1)", (hash_key(key),))
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    connection().execute("INSERT INTO records VALUES (?, ?, ?)", (record["id"], record["schemaId"], text))
    return key


if __name__ == "__main__":
    print(make_database())
