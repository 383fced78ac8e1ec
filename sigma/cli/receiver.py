"""The receiver of the story: a server on this machine that takes what a webhook sends, and fails when it is told to."""

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

SECRET = "demo-webhook-secret"  # noqa: S105 (of the story's webhook, which is there as long as the story)


class Taken(NamedTuple):
    """A delivery as it came, and the status that it was answered with."""

    event: str
    id: str
    record: str
    is_genuine: bool  # whether the signature is that of the very bytes
    is_repeated: bool  # whether the same bytes came before, under the same id
    status: int

    def describe(self) -> str:
        """Return one line about it."""
        seen = "the same bytes once more" if self.is_repeated else "signature good" if self.is_genuine else "signature bad"
        return f"Receiver: {self.event} of {self.record}, {seen}; it answers {self.status}"


class Handler(BaseHTTPRequestHandler):
    """Takes what is posted, and answers what the receiver says."""

    server: "Receiver"

    def do_POST(self) -> None:
        """Take a delivery."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.server.take(self.headers, body))
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Print nothing: the story does."""


class Receiver(ThreadingHTTPServer):
    """What the webhook of the story calls."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/hook"
        self.status = 204  # that it answers with
        self.taken, self.bodies = list[Taken](), dict[str, bytes]()

    def take(self, headers: Any, body: bytes) -> int:
        """Keep what came, and return the status to answer with."""
        id, signature = headers["X-Sigma-Delivery"], headers["X-Sigma-Signature"] or ""
        is_genuine = hmac.compare_digest(hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(), signature)
        is_repeated = self.bodies.setdefault(id, body) is not body and self.bodies[id] == body
        record = json.loads(body)["entityId"]
        self.taken.append(Taken(headers["X-Sigma-Event"], id, record, is_genuine, is_repeated, self.status))
        return self.status

    def gets(self, status: int) -> Callable[[], bool]:
        """Fail or not from now on; return what tells whether a delivery has come since."""
        self.status, so_far = status, len(self.taken)
        return lambda: len(self.taken) > so_far


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver during the block."""
    with Receiver() as receiver:
        threading.Thread(target=receiver.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
