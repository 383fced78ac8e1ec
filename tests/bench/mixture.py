"""A mixed load: what sixteen clients ask of the service, over and over, and what each answer should be."""

import http.client
import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from servers import Target
from wsgi import new_record, scoped

TIMEOUT = 30  # seconds
IMPORTED, ROWS = 2000, 100  # records that imports write, and rows of each import
PERMISSIONS = ["read", "update-data", "delete-data"]


class Call(NamedTuple):
    """A request, and the status that it should be answered with."""

    method: str
    path: str
    status: int
    body: Any = None
    key: str | None = None  # the client's own, if it is None
    part: bytes = b""  # of the answer's body


class Answered(NamedTuple):
    """When a request was answered, and how long that took."""

    at: float
    seconds: float


class Totals:
    """What all clients have seen so far."""

    def __init__(self) -> None:
        self.answers: deque[Answered] = deque()
        self.wrong: deque[str] = deque(maxlen=1000)  # deque: threads may append to it at once
        self.delivered = itertools.count()


class Session:
    """A connection of somebody with a credential."""

    def __init__(self, port: int, headers: dict[str, str]):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        self.headers = headers

    def send(self, call: Call) -> tuple[int, bytes]:
        """Send a request; return the status and the body."""
        headers = {**self.headers, "Content-Type": "application/json"}
        if call.key is not None:
            headers["X-Sigma-ApiKey"] = call.key
        body = None if call.body is None else json.dumps(call.body)
        self.connection.request(call.method, call.path, body, headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def expect(self, call: Call) -> Any:
        """Send a request, and return the JSON of the answer. Raises RuntimeError for another status."""
        status, body = self.send(call)
        if status != call.status or call.part not in body:
            raise RuntimeError(f"{call.method} {call.path} was answered {status}: {body[:300]!r}")
        return json.loads(body or b"null")


# == What is asked ==


def read() -> Iterator[Call]:
    """Read one record, pages, a filtered list, a history, and what a search finds."""
    search = {"criteria": [{"attributeAlias": "price", "operator": "lt", "value": 100}], "limit": 20}
    while True:
        yield Call("GET", "/api/v1/records/ent-coastal-wb", 200)
        yield Call("GET", "/api/v1/records?limit=20", 200)
        yield Call("GET", "/api/v1/records?schemaId=schema-apparel&lifecycleStateId=state-draft&offset=1000&limit=20", 200)
        yield Call("GET", "/api/v1/records/ent-coastal-wb/audit-log", 200)
        yield Call("POST", "/api/v1/search", 200, search)


def write() -> Iterator[Call]:
    """Make a record, change it, and delete it, so that there are always about as many."""
    while True:
        record = new_record()
        path = f"/api/v1/records/{record['id']}"
        yield Call("POST", "/api/v1/records", 201, record)
        yield Call("PATCH", f"{path}/values/price", 200, scoped(299, market="seg-se"))
        yield Call("POST", "/api/v1/records", 409, record)
        yield Call("DELETE", path, 204)


def refuse() -> Iterator[Call]:
    """Ask for what is refused, for each kind of reason."""
    while True:
        yield Call("GET", "/api/v1/records", 401, key="sigma_sk_live_nobody")
        yield Call("POST", "/api/v1/schemas", 403, {"id": "schema-x"})
        yield Call("GET", "/api/v1/records/ent-nobody", 404)
        yield Call("POST", "/api/v1/records", 400, {"schemaId": "schema-apparel", "values": {"price": "free"}})


def one_import(rows: list[dict[str, Any]], part: str) -> Call:
    """Import rows into the demo's schema; the answer should have this part."""
    mapping = {"_id": "_id", "Name": "product-name", "Price": "price", "SKU": "sku"}
    body = {"schemaId": "schema-apparel", "columnMapping": {name: mapping[name] for name in rows[0]}, "rows": rows}
    return Call("POST", "/api/v1/import/execute", 200, body, part=part.encode())


def make_rows() -> Iterator[Call]:
    """Make the records that imports then write."""
    for first in range(0, IMPORTED, ROWS):
        rows = [
            {"Name": f"Hat {number}", "Price": "9.50", "SKU": f"HT-{number % 1000:03}"} for number in range(first, first + ROWS)
        ]
        yield one_import(rows, f'"created":{ROWS},')


def change_rows(ids: list[str]) -> Iterator[Call]:
    """Import rows, each time over the next of these records."""
    for turn in itertools.count():
        chosen = [ids[(turn * ROWS + row) % len(ids)] for row in range(ROWS)]
        rows = [{"_id": id, "Name": f"Hat {turn}", "Price": f"{turn % 900}.25"} for id in chosen]
        yield one_import(rows, f'"updated":{ROWS},')


def export() -> Iterator[Call]:
    """Export all records, in each format."""
    while True:
        yield Call("GET", "/api/v1/export?format=csv", 200)
        yield Call("GET", "/api/v1/export?format=json", 200)


def watch() -> Iterator[Call]:
    """Look at the list of requests, as an open console does."""
    while True:
        yield Call("GET", "/standin/requests?limit=100", 200)


class Role(NamedTuple):
    """So many clients that ask alike, and how many seconds each waits after an answer."""

    count: int
    calls: Callable[[], Iterator[Call]]
    pause: float


def make_roles(ids: list[str]) -> list[Role]:
    """Return who asks; imports write the records with these ids."""
    return [
        Role(6, read, 0.02),
        Role(5, write, 0.02),
        Role(2, refuse, 0.02),
        Role(1, lambda: change_rows(ids), 2),
        Role(1, export, 2),
        Role(1, watch, 1),
    ]


# == Who asks ==


def ask(session: Session, call: Call, totals: Totals) -> None:
    """Send a request, and note how long the answer took, and whether it was right."""
    begun = time.perf_counter()
    try:
        status, body = session.send(call)
    except (OSError, http.client.HTTPException) as error:
        session.connection.close()  # the next request makes another
        totals.wrong.append(f"{call.method} {call.path}: {error!r}")
        return
    totals.answers.append(Answered(time.monotonic(), time.perf_counter() - begun))
    if status != call.status or call.part not in body:
        totals.wrong.append(f"{call.method} {call.path} was answered {status}, not {call.status}: {body[:200]!r}")


def run_client(role: Role, session: Session, totals: Totals, stop: threading.Event) -> None:
    """Ask over one connection until it is enough."""
    for call in role.calls():
        ask(session, call, totals)
        if stop.wait(role.pause):
            break
    session.connection.close()


def start_receiver(totals: Totals) -> ThreadingHTTPServer:
    """Start a receiver of webhooks, which counts what it is sent."""

    class Receiver(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # which keeps connections

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            next(totals.delivered)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            """Leave it out."""

    receiver = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    return receiver


def prepare(target: Target, receiver: ThreadingHTTPServer) -> tuple[str, list[Role]]:
    """Make a webhook, the key that the clients have, and the records that imports write; return the key and the clients."""
    login = {"email": "admin@sigma.io", "password": "admin"}
    token = Session(target.port, {}).expect(Call("POST", "/api/v1/auth/login", 200, login))["token"]
    manager = Session(target.port, {"Authorization": f"Bearer {token}"})
    hook = {"name": "Soak", "url": f"http://127.0.0.1:{receiver.server_port}/", "events": ["entity.created", "entity.updated"]}
    manager.expect(Call("POST", "/api/v1/webhooks", 201, hook))
    made = manager.expect(Call("POST", "/api/v1/api-keys", 201, {"name": "Soak", "permissions": PERMISSIONS}))
    session = Session(target.port, {"X-Sigma-ApiKey": made["rawKey"]})
    for call in make_rows():
        session.expect(call)
    ids = [row["_id"] for row in session.expect(Call("GET", "/api/v1/export", 200))]
    return made["rawKey"], make_roles(ids[-IMPORTED:])
