"""What is worked out once for each version of something: only that of the newest version is kept, and only so much in all."""

import threading
from typing import Any, Generic, NamedTuple, TypeVar

Result = TypeVar("Result")


class _Kept(NamedTuple):
    version: bytes
    result: Any
    weight: int


class NewestVersions(Generic[Result]):
    """Results by key, each for one version: those used last, up to a weight in all.

    The one used last stays even if it alone weighs more: without it, each call would work it out anew. A version is random, so
    that no other database, and no transaction that was rolled back, has the same.
    """

    def __init__(self, most: int):
        self.most = most
        self.kept: dict[tuple[str, str], _Kept] = {}  # the one used last is the last
        self.weight = 0
        self.lock = threading.Lock()

    def find(self, key: tuple[str, str], version: bytes) -> Result | None:
        """Return the result for this version, or None."""
        with self.lock:
            kept = self.kept.get(key)
            if kept is None or kept.version != version:
                return None
            self.kept[key] = self.kept.pop(key)
            result: Result = kept.result
            return result

    def find_any(self, key: tuple[str, str]) -> Result | None:
        """Return the result for whatever version is kept, or None."""
        with self.lock:
            kept = self.kept.get(key)
            return kept and kept.result

    def keep(self, key: tuple[str, str], version: bytes, result: Result, weight: int) -> None:
        """Keep a result instead of the one for another version."""
        with self.lock:
            self._drop(key)
            self.kept[key] = _Kept(version, result, weight)
            self.weight += weight
            while self.weight > self.most and len(self.kept) > 1:
                self._drop(next(iter(self.kept)))

    def _drop(self, key: tuple[str, str]) -> None:
        if dropped := self.kept.pop(key, None):
            self.weight -= dropped.weight
