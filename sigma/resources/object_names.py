"""The names that values and their scopes may use of what a model object lists: a list's options, a dimension's segments."""

import hashlib
import json
from collections.abc import Mapping
from typing import NamedTuple

from sigma.context import context
from sigma.database import execute, fetch_one, snapshot
from sigma.http.errors import get_or_404
from sigma.http.strict_json import to_json
from sigma.resources.model import fetch_object_text

# By kind: where they are, and which names they have, the one that counts last.
LISTED = {"option-list": ("values", ("alias", "id")), "dimension": ("segments", ("id",))}


def model_version() -> bytes:
    """Return the version of the workspace's model. Raises ApiError 404."""
    tenant = context().tenant
    row = fetch_one("SELECT model_version FROM workspaces WHERE id = ?", tenant)
    version: bytes = get_or_404(row, "workspace", tenant)[0]  # it may have been removed since the access check
    return version


def ids_by_name(kind: str, text: str) -> dict[str, str]:
    """Return the ids that an object's text lists, by each of their names."""
    member, names = LISTED[kind]
    items = json.loads(text)[member]
    return {item[name]: item["id"] for name in names for item in items}


class ReadNames(NamedTuple):
    """The names that a text had."""

    digest: bytes  # of the text
    size: int  # of the text, in characters
    ids: dict[str, str]  # by name


class ObjectNames:
    """The names in one version of an option list or a dimension.

    They are read when they are first needed: a schema may have millions of options, and a request needs few lists of them.
    `last` has those of an earlier version: names of a text that has not changed are not made again.
    """

    def __init__(self, kind: str, id: str, version: bytes, last: ReadNames | None = None):
        self.kind, self.id, self.version, self.last = kind, id, version, last
        self.current: dict[str, str] | None = None

    def __call__(self) -> dict[str, str]:
        """Return the names, each with the id of what it names."""
        if self.current is not None:
            return self.current
        with snapshot():
            text, version = fetch_object_text(self.kind, self.id), model_version()
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        if self.last and self.last.digest == digest:
            found = self.last
        else:
            found = ReadNames(digest, len(text), ids_by_name(self.kind, text))
        if version == self.version:
            self.last, self.current = found, found.ids
        return found.ids


def weigh(objects: Mapping[tuple[str, str], ObjectNames]) -> int:
    """Return about how many bytes the names in some objects, by their kind and id, take at most once they have been read.

    In memory, names take up to three times as much as in the text of their object.
    """
    sql = "SELECT kind, id, length(body) FROM model_objects WHERE tenant = ? AND id IN (SELECT value FROM json_each(?))"
    rows = execute(sql, context().tenant, to_json([id for _, id in objects]))
    sizes = {(kind, id): size for kind, id, size in rows if (kind, id) in objects}
    return 3 * sum(max(sizes.get(key, 0), names.last.size if names.last else 0) for key, names in objects.items())
