"""The journal of requests: the last ones to the API in the memory of this process, and why each was answered as it was."""

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

PATHS = ("/api/v1", "//api/v1")  # the second is an easy mistake
MAX_ENTRIES = 500
MAX_TEXT = 10_000  # bytes of a body, characters of a path or query, that are shown
KEPT = MAX_TEXT + 1  # of a body; one more shows that there was more

# Where the order of the checks ended, by the code of the refusal. NOT_FOUND is `path` or `missing`, and the rest `server`.
# What is not built is `missing`: the caller is known by then, and nothing failed.
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
    """A request and its answer: what it takes to describe them, when somebody asks for it."""

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
    described: list[bytes]  # what describe() has returned, once nothing of it changes any more

    @property
    def step(self) -> str | None:
        """Where the order of the checks ended; None if the request passed them all."""
        if self.refusal is None:
            return None
        code, _, is_fault = self.refusal
        if code == "NOT_FOUND" and not is_fault:
            return "missing" if self.route else "path"
        return "fault" if is_fault else STEPS.get(code, "server")

    @property
    def needed(self) -> str | None:
        """What this caller needed: a user a flag of the role or just to be signed in, everybody else a permission."""
        if self.route is None or self.route.access.announced is None:
            return None
        access = self.route.access
        return access.announced if self.caller is None or self.caller.is_key else access.flag or "session"

    def describe_caller(self) -> dict[str, Any]:
        """Return the members that say who called, and what that one held."""
        if (caller := self.caller) is None:
            return dict.fromkeys(("workspace", "caller", "needed", "held")) | {"needed": self.needed}
        kind, held = ("api-key", caller.permissions) if caller.is_key else ("user", caller.role_says("id"))
        who = {"kind": kind, "id": caller.id, "name": caller.name}
        return {"workspace": caller.tenant, "caller": who, "needed": self.needed, "held": held}

    def describe(self) -> bytes:
        """Return the JSON text of the entry, with everything secret in it masked.

        It is made once, because the console asks again and again, and goes with the entry.
        """
        if self.described:
            return self.described[0]
        text = self._make_description()
        may_grow = bytearray in (type(self.request_body), type(self.response_body))
        if not may_grow and len(text) <= 4 * MAX_TEXT:  # which bounds the memory, whatever is sent
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
        return redact(to_json(described)).encode("utf-8", "replace")  # half of a surrogate pair, once escaped, is no text


def _read_unread(asked: ApiRequest) -> bytes | bytearray:
    """Return the beginning of a body that the request was refused, or answered, without reading.

    The client may have sent half of it. So where one thread serves all, the answer is sent first.
    """
    environ, length = asked.environ, asked.environ.get("CONTENT_LENGTH", "")
    if length == "0" or "HTTP_EXPECT" in environ:  # the client sends it only when it is asked to
        return b""
    has_end = environ.get("wsgi.input_terminated", False)  # by itself; else reading on would wait for the next request
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
    """Return the first bytes of an answer; of one that is sent part by part, they will be there when they have been sent."""
    if response.status_code in (204, 304):  # what a view has returned is not sent
        return None
    if isinstance(response.response, list):
        return b"".join(response.response)[:KEPT]
    kept = bytearray()
    response.response = _copy_beginning(response.response, kept)
    return kept


class Journal:
    """The last requests to the API, beside the demo workspace and in a single process; elsewhere it keeps nothing.

    Whoever reaches it needs no credential. So it keeps nothing of a workspace that is neither the demo nor one for tests.
    """

    def __init__(self) -> None:
        self.entries: deque[dict[str, Any]] = deque(maxlen=MAX_ENTRIES)  # each the members of an Entry
        self.is_kept, self.looked_at = False, -math.inf
        self.shown: dict[str, bool] = {}  # by workspace, whether its requests are kept

    def clear(self) -> None:
        """Forget all requests, and look anew whether to keep any."""
        self.entries.clear()
        self.looked_at = -math.inf

    def look(self, asked: ApiRequest) -> None:
        """Find out whether requests are to be kept now. To do so once a second costs a deployment nothing."""
        self.looked_at = asked.began
        try:
            self.is_kept = not has_several_processes(asked.environ) and holds_demo()
        except sqlite3.Error:  # the database does not answer: all stays as it was
            return
        self.shown = {}
        if not self.is_kept:
            self.entries.clear()

    def shows(self, workspace: str) -> bool:
        """Return whether a workspace is the demo, or one for tests; False while the database does not answer."""
        try:
            row = fetch_one("SELECT 1 FROM workspaces WHERE id = ? AND (is_demo OR is_disposable)", workspace)
        except sqlite3.Error:
            return False
        self.shown[workspace] = row is not None
        return self.shown[workspace]

    def record(self, asked: ApiRequest, response: ReadyResponse, known: dict[str, Any]) -> None:
        """Keep a request to the API, with what is known of it in Flask's `g`.

        This takes 4 to 5 % of a GET. All that can wait, masking too, is done when somebody asks.
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
        body: bytes | bytearray | None = asked.body
        if body is None and ("CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ):
            body = _read_unread(asked)
        if caller is not None and caller.role is not None:  # which may be large
            caller = caller._replace(role={"id": caller.role["id"]})
        self.entries.append(
            {  # an Entry made here would cost three times as much, a hundredth of a GET
                "id": asked.id,
                "at": asked.came_at,
                "took": asked.took,
                "method": asked.method[:MAX_TEXT],
                "path": asked.path[:MAX_TEXT],
                "query": asked.query_string[:MAX_TEXT],
                "route": asked.url_rule,
                "status": response.status_code,
                "refusal": refusal and (refusal[0], refusal[1][:MAX_TEXT], "is_fault" in known),
                "caller": caller,
                "request_body": body and body[:KEPT],
                "response_body": response.response[0][:KEPT] if response.is_ready else _keep_beginning(response),  # type: ignore[index]
                "described": [],
            }
        )

    def newest_first(self, after: str | None = None) -> Iterable[Entry]:
        """Return the entries, or those that are newer than one of them.

        Clients may choose ids, and several requests may have the same. Then those newer than the first of them are returned,
        so that who asks for what is new misses nothing.
        """
        entries = [Entry(**kept) for kept in list(self.entries)]
        ids = [entry.id for entry in entries]
        return reversed(entries[ids.index(after) + 1 :] if after in ids else entries)


def has_several_processes(environ: dict[str, Any]) -> bool:
    """Return whether other processes answer requests, too, of which this one knows nothing."""
    return current_app.config.get("WORKERS", 1) > 1 or bool(environ.get("wsgi.multiprocess"))
