"""Receivers of webhooks: sockets of this machine that answer as a test says."""

import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Request:
    """What a receiver was sent."""

    path: str
    headers: dict
    body: bytes

    @property
    def id(self):
        return self.headers["x-sigma-delivery"]


def read_request(stream):
    """Read a request; return None at the end of the connection, also if it comes within a request."""
    line = stream.readline().decode()
    if not line:
        return None
    headers = {}
    while header := stream.readline().decode().strip():
        name, _, value = header.partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(length := int(headers.get("content-length", 0)))
    return Request(line.split()[1], headers, body) if len(body) == length else None


@dataclass
class Receiver:
    """A server that keeps what it is sent, and answers with a status, or as a function does that takes the connection.

    `answers` are used one after another, and the last one for all that follow.
    """

    answers: list
    requests: list = field(default_factory=list)
    connections: int = 0
    listener: Any = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}/hook"

    @property
    def ids(self):
        return [request.id for request in self.requests]

    def serve(self, connection):
        with connection, suppress(OSError):
            stream = connection.makefile("rb")
            while request := read_request(stream):
                answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
                if callable(answer):
                    self.requests.append(request)
                    answer(connection)
                    return
                # Kept before it is answered: whoever waits for the answer finds it.
                self.requests.append(request)
                connection.sendall(f"HTTP/1.1 {answer} Whatever\r\nContent-Length: 2\r\n\r\nok".encode())

    def listen(self):
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections += 1
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()


@contextmanager
def receiving(*answers, host="127.0.0.1", family=socket.AF_INET):
    """Run a receiver during the block; it answers 200 unless it is told otherwise."""
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        listener.listen(200)
        receiver = Receiver(list(answers or [200]), listener=listener)
        thread = threading.Thread(target=receiver.listen, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)
