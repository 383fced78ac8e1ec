"""A load generator: requests over connections that stay open, as fast as they are answered, and little else.

It knows an answer by its length once it has read the first one, so that it costs far less than any server it measures;
`ceiling` says how much less.
"""

import re
import selectors
import socket
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

TIMEOUT = 10  # seconds


class LoadError(Exception):
    """An answer was not what it should be."""


class Target(NamedTuple):
    """What is asked for, and where; with a function that returns a new body each time, it is what is posted."""

    port: int
    path: str
    headers: dict[str, str]
    make_body: Callable[[], bytes] | None = None

    def requests(self) -> Callable[[], bytes]:
        """Return a function that returns the next request as it is sent."""
        headers = {"Host": f"127.0.0.1:{self.port}", "User-Agent": "bench", "Accept": "*/*", **self.headers}
        lines = [f"{name}: {value}" for name, value in headers.items()]
        if self.make_body is None:
            request = "\r\n".join([f"GET {self.path} HTTP/1.1", *lines, "", ""]).encode()
            return lambda: request
        head, make_body = "\r\n".join([f"POST {self.path} HTTP/1.1", *lines, "Content-Type: application/json"]), self.make_body

        def request_with_body() -> bytes:
            body = make_body()
            return f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

        return request_with_body


class Load(NamedTuple):
    """How long an answer takes on average, and how many times as long as half of them the slowest in a hundred take."""

    each: float
    tail: float


class Client:
    """One connection, or one after the other where the server closes them, with at most one request on its way."""

    def __init__(self, target: Target, selector: selectors.BaseSelector):
        self.target, self.selector, self.next_request = target, selector, target.requests()
        self.received, self.length, self.closes = b"", 0, False
        self.connect()
        self.send()

    def connect(self) -> None:
        """Connect."""
        self.socket = socket.create_connection(("127.0.0.1", self.target.port), timeout=TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.register(self.socket, selectors.EVENT_READ, self)

    def close(self) -> None:
        """Disconnect."""
        self.selector.unregister(self.socket)
        self.socket.close()

    def send(self) -> None:
        """Send a request."""
        if self.closes:
            self.close()
            self.connect()
        request = self.next_request()
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Read what has come, and answer whether that completes an answer. Raises LoadError for a refusal."""
        data = self.socket.recv(65536)
        if not data:
            raise LoadError(f"Port {self.target.port} closed a connection in the middle of an answer")
        if self.received or len(data) != self.length:
            data = self.received = self.received + data
            if not self.is_complete():
                return False
            self.received = b""
        if not data.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 201 ")):
            raise LoadError(f"{self.target.path} was answered {data[:300]!r}")
        return True

    def is_complete(self) -> bool:
        """Return whether all of an answer has come, and remember how long it was."""
        head, separator, _ = self.received.partition(b"\r\n\r\n")
        if not separator:
            return False
        content_length = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
        if not content_length:
            raise LoadError(f"{self.target.path} was answered without a length: {head!r}")
        self.length = len(head) + len(separator) + int(content_length[1])
        self.closes = re.search(rb"(?i)\r\nconnection: *close", head) is not None
        return len(self.received) >= self.length


def answered(selector: selectors.BaseSelector) -> list[Client]:
    """Wait until something comes; answer which clients' answers that completes. Raises LoadError."""
    ready = selector.select(TIMEOUT)
    if not ready:
        raise LoadError(f"A server has not answered for {TIMEOUT} seconds")
    return [key.data for key, _ in ready if key.data.receive()]


def put_load(target: Target, connections: int, seconds: float) -> Load:
    """Return how quickly a server answers when so many connections ask for so long. Raises LoadError."""
    with selectors.DefaultSelector() as selector:
        clients = {Client(target, selector) for _ in range(connections)}
        try:
            took, begun = [], time.perf_counter()
            while (elapsed := time.perf_counter() - begun) < seconds:
                for client in answered(selector):
                    took.append(time.perf_counter() - client.sent_at)
                    client.send()
            while clients:  # what is still on its way is no part of this measurement, nor of the next one
                for client in answered(selector):
                    clients.remove(client)
                    client.close()
        finally:
            for client in clients:
                client.close()
    return Load(elapsed / len(took), statistics.quantiles(took, n=100)[98] / statistics.median(took))
