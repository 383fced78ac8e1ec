"""The journal: the last requests to the API that this process has answered, and the reason for each response, in memory."""

import math
import sqlite3
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from flask import current_app

from sigma.database import fetch_one
from sigma.http.access import Route
from sigma.http.app import ApiRequest
from sigma.http.credentials import Caller
from sigma.http.ignored_query import ignored_names
from sigma.http.loopback import holds_demo
from sigma.http.masking import mask_body, mask_query, mask_text, redact
from sigma.http.ready_response import ReadyResponse
from sigma.http.stamps import format_time
from sigma.http.strict_json import to_json
from sigma.http.waiting import AFTERWARDS, waiting_for_client

PATHS = ("/api/v1", "//api/v1")  # the second comes from an easy mistake
MAX_ENTRIES = 500
MAX_TEXT = 10_000  # bytes of a body, characters of a path or query, that are shown
KEPT = MAX_TEXT + 1  # bytes of a body; the extra byte shows that there was more

# What a request is checked for, in this order; a request that is refused ends at one of them.
CHECKS = (
    *("path", "method", "throttle", "credential", "permission", "fault", "size", "body", "missing", "conflict", "transition"),
    "server",
)

# The check that refused a request, by error code. NOT_FOUND is `path` or `missing`, and codes that are not here are `server`.
# NOT_IMPLEMENTED is `missing`, because the caller is known by then, and nothing failed.
STEPS = {
    "METHOD_NOT_ALLOWED": "method",
    "RATE_LIMITED": "throttle",
    "UNAUTHORIZED": "credential",
    "PERMISSION_DENIED": "permission",
    "LIMIT_EXCEEDED": "permission",
    "PAYLOAD_TOO_LARGE": "size",
    "UNSUPPORTED_MEDIA_TYPE": "body",
    "VALIDATION_ERROR": "body",
    "CONFLICT": "conflict",
    "TRANSITION_ERROR": "transition",
    "NOT_IMPLEMENTED": "missing",
}


class Entry(NamedTuple):
    """A request and its response, with all that it takes to describe them later."""

    id: str
    at: float
    took: float
    method: str
    path: str
    query: bytes
    route: Route | None
    status: int
    refusal: tuple[str, str, bool] | None  # code, message, and whether it is a fault of the key
    caller: Caller | None
    request_body: bytes | bytearray | None
    response_body: bytes | bytearray | None
    described: list[bytes]  # holds the result of describe(), once it can no longer change

    @property
    def step(self) -> str | None:
        """The check that refused the request; None if it passed them all."""
        if self.refusal is None:
            return None
        code, _, is_fault = self.refusal
        if code == "NOT_FOUND" and not is_fault:
            return "missing" if self.route else "path"
        return "fault" if is_fault else STEPS.get(code, "server")

    @property
    def needed(self) -> str | None:
        """What this caller needed: for a user, a role flag or just a session; for other callers, a permission or a session."""
        if self.route is None or self.route.access.announced is None:
            return None
        access = self.route.access
        return access.announced if self.caller is None or self.caller.is_key else access.flag or "session"

    def describe_caller(self) -> dict[str, Any]:
        """Return the members that say who called, what the caller needed, and what the caller held."""
        if (caller := self.caller) is None:
            return dict.fromkeys(("workspace", "caller", "needed", "held")) | {"needed": self.needed}
        kind, held = ("api-key", caller.permissions) if caller.is_key else ("user", caller.role_says("id"))
        who = {"kind": kind, "id": caller.id, "name": caller.name}
        return {"workspace": caller.tenant, "caller": who, "needed": self.needed, "held": held}

    def describe(self) -> bytes:
        """Return the JSON text of the entry, with all secrets masked.

        It is made once and kept with the entry, because the console asks for it again and again.
        """
        if self.described:
            return self.described[0]
        text = self._make_description()
        may_grow = bytearray in (type(self.request_body), type(self.response_body))
        if not may_grow and len(text) <= 4 * MAX_TEXT:  # this bounds the memory, whatever clients send
            self.described.append(text)
        return text

    def _make_description(self) -> bytes:
        code, message, _ = self.refusal or (None, None, None)
        is_sent = self.response_body and self.method != "HEAD"
        query = self.query.decode()
        names = [name for name, _ in parse_qsl(query, keep_blank_values=True, errors="replace")]
        described = {
            "id": self.id,
            "at": format_time(self.at),
            "method": mask_text(self.method),
            "path": mask_text(self.path),
            "query": mask_query(query),
            "ignored": list(map(mask_text, ignored_names(self.route, names))) if self.route else [],
            "route": self.route.template if self.route else None,
            "status": self.status,
            "code": code,
            "message": message and mask_text(message),
            "ms": round(self.took, 1),
            **self.describe_caller(),
            "step": self.step,
            "requestBody": mask_body(bytes(self.request_body), MAX_TEXT) if self.request_body else None,
            "responseBody": mask_body(bytes(self.response_body or b""), MAX_TEXT) if is_sent else None,
        }
        return redact(to_json(described)).encode("utf-8", "replace")  # a body may escape half of a surrogate pair


def _read_unread(asked: ApiRequest) -> bytes | bytearray:
    """Return the beginning of a body that has not been read, because the request was refused or the route takes no body.

    The client may have sent only a part of it. So where one thread serves all clients, the body is read after the response
    has been sent, into the bytearray that is returned.
    """
    environ, length = asked.environ, asked.environ.get("CONTENT_LENGTH", "")
    if length == "0" or "HTTP_EXPECT" in environ:  # with Expect, the client sends the body only when it is asked to
        return b""
    has_end = environ.get("wsgi.input_terminated", False)  # if not, reading to the end would wait for the next request
    size, data = min(int(length), KEPT) if length.isdecimal() else KEPT * has_end, bytearray()

    def read() -> None:
        with waiting_for_client(asked):
            data.extend(environ["wsgi.input"].read(size))

    if AFTERWARDS not in environ:
        read()
    else:
        environ[AFTERWARDS].append(read)
    return data


def _copy_beginning(parts: Any, kept: bytearray) -> Iterator[bytes]:
    with closing(parts):
        for part in parts:
            kept += part[: KEPT - len(kept)]
            yield part


def _keep_beginning(response: ReadyResponse) -> bytes | bytearray | None:
    """Return the first bytes of a response; if it is streamed, in a bytearray that is filled while it is sent."""
    if response.status_code in (204, 304):  # the body is not sent, even if a view has returned one
        return None
    if isinstance(response.response, list):
        return b"".join(response.response)[:KEPT]
    kept = bytearray()
    response.response = _copy_beginning(response.response, kept)
    return kept


class Journal:
    """The last requests to the API. They are kept only while the database holds the demo, and in a single process.

    Reading it needs no credential. So it keeps no request of a workspace that is neither the demo nor one for tests; while
    there is such a workspace, it keeps no query and no body of a caller who is not known, who may belong to it.
    """

    def __init__(self) -> None:
        self.entries: deque[tuple[Any, ...]] = deque(maxlen=MAX_ENTRIES)  # each has the members of an Entry
        self.is_kept, self.has_others, self.looked_at = False, True, -math.inf
        self.shown: dict[str, bool] = {}  # whether requests are kept, by workspace

    def clear(self) -> None:
        """Forget all requests, and check anew whether to keep any."""
        self.entries.clear()
        self.looked_at = -math.inf

    def look(self, asked: ApiRequest) -> None:
        """Check whether requests are to be kept. This is done once a second, which costs a deployment nothing."""
        self.looked_at = asked.began
        try:
            self.is_kept = not has_several_processes(asked.environ) and holds_demo()
            others = "SELECT 1 FROM workspaces WHERE id NOT IN (SELECT id FROM standin_workspaces)"
            self.has_others = self.is_kept and fetch_one(others) is not None
        except sqlite3.Error:  # the database does not answer: keep the last result
            return
        self.shown = {}
        if not self.is_kept:
            self.entries.clear()

    def shows(self, workspace: str) -> bool:
        """Return whether a workspace is the demo, or one for tests; False while the database does not answer."""
        try:
            row = fetch_one("SELECT 1 FROM standin_workspaces WHERE id = ?", workspace)
        except sqlite3.Error:
            return False
        self.shown[workspace] = row is not None
        return self.shown[workspace]

    def record(self, asked: ApiRequest, response: ReadyResponse, known: dict[str, Any]) -> None:
        """Keep a request to the API, with what Flask's `g` holds about it in `known`.

        This takes 4 to 5 % of a GET. Everything else, such as masking, is left for when the entry is read.
        """
        if asked.began - self.looked_at > 1:
            self.look(asked)
        if not self.is_kept or not asked.path.startswith(PATHS):
            return
        environ, refusal, caller = asked.environ, known.get("refusal"), known.get("caller")
        workspace = known.get("tenant") if caller is None else caller.tenant
        if workspace is not None:
            is_shown = self.shown.get(workspace)
            if not (self.shows(workspace) if is_shown is None else is_shown):
                return
        is_whole = workspace is not None or not self.has_others
        body: bytes | bytearray | None = asked.body  # read even where it is not kept, so that the connection goes on
        if body is None and ("CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ):
            body = _read_unread(asked)
        if caller is not None and caller.role is not None:  # a role may be large, and only its id is shown
            caller = caller._replace(role={"id": caller.role["id"]})
        self.entries.append(
            (  # in the order of an Entry; making an Entry here would cost three times as much, a hundredth of a GET
                asked.id,
                asked.came_at,
                asked.took,
                asked.method[:MAX_TEXT],
                asked.path[:MAX_TEXT],
                asked.query_string[:MAX_TEXT] if is_whole else b"",
                asked.url_rule,
                response.status_code,
                refusal and (refusal[0], refusal[1][:MAX_TEXT], "is_fault" in known),
                caller,
                body and body[:KEPT] if is_whole else b"",
                response.response[0][:KEPT] if response.is_ready else _keep_beginning(response),  # type: ignore[index]
                [],
            )
        )

    def newest_first(self, after: str | None = None) -> Iterable[Entry]:
        """Return the entries, or those newer than the one with an id; all of them if that one is no longer held.

        Clients may choose ids, so several requests may have the same id. Then the oldest of them counts, so that a client that
        asks for new entries misses none.
        """
        entries = [Entry(*kept) for kept in list(self.entries)]
        ids = [entry.id for entry in entries]
        return reversed(entries[ids.index(after) + 1 :] if after in ids else entries)


def has_several_processes(environ: dict[str, Any]) -> bool:
    """Return whether other processes answer requests as well, which this one does not know of."""
    return current_app.config.get("WORKERS", 1) > 1 or bool(environ.get("wsgi.multiprocess"))
