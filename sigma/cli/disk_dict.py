"""A dict on disk, for data that may not fit into memory."""

import json
import sqlite3
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, TypeVar

from sigma.http.strict_json import to_json

Key = TypeVar("Key", str, bytes)
Value = TypeVar("Value")


class DiskDict(MutableMapping[Key, Value]):
    """A dict whose values are stored as JSON, in a temporary file that SQLite removes when the dict is closed."""

    def __init__(self, load: Callable[[Any], Value]):
        self.load = load  # makes a value from parsed JSON
        self.db = sqlite3.connect("", isolation_level=None)
        self.db.execute("CREATE TABLE pairs (key PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
        self.db.execute("BEGIN")  # and never commit: nothing has to outlive this object

    def __getitem__(self, key: Key) -> Value:
        row = self.db.execute("SELECT value FROM pairs WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        return self.load(json.loads(row[0]))

    def __setitem__(self, key: Key, value: Value) -> None:
        self.db.execute("INSERT OR REPLACE INTO pairs (key, value) VALUES (?, ?)", (key, to_json(value)))

    def __delitem__(self, key: Key) -> None:
        if not self.db.execute("DELETE FROM pairs WHERE key = ?", (key,)).rowcount:
            raise KeyError(key)

    def __iter__(self) -> Iterator[Key]:
        return (key for (key,) in self.db.execute("SELECT key FROM pairs"))

    def __len__(self) -> int:
        count: int = self.db.execute("SELECT count(*) FROM pairs").fetchone()[0]
        return count

    def close(self) -> None:
        """Remove the file."""
        self.db.close()
