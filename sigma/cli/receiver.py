"""The receiver of the story: a server on this machine that takes a webhook's deliveries, and can be told to fail."""

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

SECRET = "demo-webhook-secret"  # noqa: S105 (of the story's webhook, which exists only during the story)


class ReceivedDelivery(NamedTuple):
    """A delivery as it was received, and the status of the response."""

    event: str
    id: str
    record: str
    is_genuine: bool  # whether the signature fits the body, byte for byte
    is_repeated: bool  # whether the same bytes came before under the same id
    status: int

    def describe(self) -> str:
        """Return one line about the delivery."""
        verdict = "the same bytes once more" if self.is_repeated else "signature good" if self.is_genuine else "signature bad"
        return f"Receiver: {self.event} of {self.record}, {verdict}; it answers {self.status}"


class Handler(BaseHTTPRequestHandler):
    """Hands each POST to the receiver, and responds with the status that it returns."""

    server: "Receiver"

    def do_POST(self) -> None:
        """Take a delivery."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.server.take(self.headers, body))
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Print nothing: the story prints the deliveries."""


class Receiver(ThreadingHTTPServer):
    """The server that the webhook of the story calls."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/hook"
        self.status = 204  # of its responses
        self.received, self.bodies = list[ReceivedDelivery](), dict[str, bytes]()  # bodies by id of the delivery

    def take(self, headers: Any, body: bytes) -> int:
        """Keep a delivery, and return the status of the response."""
        id, signature = headers["X-Sigma-Delivery"], headers["X-Sigma-Signature"] or ""
        is_genuine = hmac.compare_digest(hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(), signature)
        is_repeated = self.bodies.setdefault(id, body) is not body and self.bodies[id] == body
        record = json.loads(body)["entityId"]
        event = headers["X-Sigma-Event"]
        self.received.append(ReceivedDelivery(event, id, record, is_genuine, is_repeated, self.status))
        return self.status

    def gets(self, status: int) -> Callable[[], bool]:
        """Respond with a status from now on. Return a function that tells whether a delivery has come since."""
        self.status, so_far = status, len(self.received)
        return lambda: len(self.received) > so_far


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver during the block."""
    with Receiver() as receiver:
        threading.Thread(target=receiver.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
