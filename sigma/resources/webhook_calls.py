"""One call of a webhook: what is sent, how it is signed, and what the receiver answers, within five seconds in all."""

import functools
import hashlib
import hmac
import http.client
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, NamedTuple

from sigma.resources.webhook_addresses import ForbiddenHostError, Target, find_addresses, read_url

TIMEOUT = 5  # seconds for a whole call: look-up of the host, connection, request and answer
MAX_HEAD = 64 * 1024  # bytes of an answer before its body: its status and headers, and the answers 100 before it
MAX_HEADS = 11  # of them, the answers 100, and the one that they announce
MAX_ANSWER = 64 * 1024  # bytes of an answer's body that are read, and thrown away
USER_AGENT = "Sigma-PIM-embedded"

_ERRORS = (OSError, http.client.HTTPException, ValueError)


class Outcome(NamedTuple):
    """The outcome of a call."""

    status: int | None  # None: there was no answer
    error: str | None  # None: the receiver has the delivery
    is_final: bool = False  # whether it is useless to try again


def sign(secret: str, body: bytes) -> str:
    """Return the signature of a body: HMAC-SHA256 of its bytes, in hexadecimal."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def make_headers(event: str, delivery_id: str, secret: str | None, body: bytes) -> dict[str, str]:
    """Return the headers of a delivery."""
    headers = {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "X-Sigma-Event": event,
        "X-Sigma-Delivery": delivery_id,
    }
    return headers if secret is None else {**headers, "X-Sigma-Signature": sign(secret, body)}


@functools.cache
def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()  # trusts the system's certificates, or those of SSL_CERT_FILE
    context.set_alpn_protocols(["http/1.1"])
    return context


class _Cutter:
    """A thread that ends calls whose time is up, whatever they are doing.

    A socket's own timeout begins anew with each byte, and a receiver may go on sending bytes. A timer for each call would take
    longer than the rest of the call.
    """

    def __init__(self) -> None:
        self.calls: dict[object, tuple[float, socket.socket]] = {}
        self.has_calls, self.lock = threading.Event(), threading.Lock()
        self.thread: threading.Thread | None = None

    def _run(self) -> None:
        while self.has_calls.wait():
            time.sleep(0.05)
            for call, (deadline, sock) in list(self.calls.items()):
                if time.monotonic() >= deadline and self.calls.pop(call, None) is not None:
                    self._cut(sock)
            self.has_calls.clear()
            if self.calls:
                self.has_calls.set()

    def _cut(self, sock: socket.socket) -> None:
        # The shutdown() of a TLS socket would change what is being read. A socket that has ended raises OSError.
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    @contextmanager
    def cutting(self, sock: socket.socket, deadline: float) -> Iterator[None]:
        """Shut down a socket at the deadline, whatever the block is doing with it."""
        with self.lock:
            if self.thread is None:
                self.thread = threading.Thread(target=self._run, name="webhook-deadlines", daemon=True)
                self.thread.start()
        call = object()
        self.calls[call] = deadline, sock
        self.has_calls.set()
        try:
            yield
        finally:
            self.calls.pop(call, None)


_cutter = _Cutter()


class _TooMuchError(http.client.HTTPException):
    """A receiver sends more than is read; the message says of what."""


class _BoundedFile:
    """What a receiver sends, as far as it is read: http.client would go on for as long as there is more."""

    def __init__(self, file: Any):
        self.file, self.left, self.heads_left = file, MAX_HEAD, MAX_HEADS
        self.close, self.flush = file.close, file.flush

    def allow_body(self) -> None:
        """Let a body be read, too, with what divides it into chunks and what follows them."""
        self.left = MAX_ANSWER

    def _counted(self, data: bytes) -> bytes:
        self.left -= len(data)
        if self.left < 0:
            raise _TooMuchError(f"The status and headers of the answer have more than {MAX_HEAD // 1024} kB")
        return data

    def read(self, size: int) -> bytes:
        """Return so many bytes. Raises _TooMuchError."""
        return self._counted(self.file.read(size))

    def readline(self, size: int) -> bytes:
        """Return a line, or so many bytes of it; a blank one ends a head. Raises _TooMuchError."""
        line = self._counted(self.file.readline(size))
        self.heads_left -= line in (b"\r\n", b"\n")
        if self.heads_left < 0:
            raise _TooMuchError(f"There were more than {MAX_HEADS - 1} answers with the status 100 before the answer")
        return line


class _Answer(http.client.HTTPResponse):
    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.fp: Any = _BoundedFile(self.fp)

    def begin(self) -> None:
        """Read the status and the headers. Raises an exception of _ERRORS."""
        file = self.fp
        super().begin()
        file.allow_body()


def _describe_failure(error: Exception) -> str:
    """Return in plain words why a call got no answer, without anything that the receiver sent."""
    if isinstance(error, _TooMuchError):
        return str(error)
    if isinstance(error, TimeoutError):
        return f"No answer within {TIMEOUT} seconds"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"The receiver's certificate was not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"The secure connection failed: {error.reason}"
    if isinstance(error, ConnectionRefusedError):
        return "The connection was refused"
    if isinstance(error, ConnectionError):
        return "The receiver closed the connection without an answer"
    if isinstance(error, OSError):
        return f"The connection failed: {error.strerror}" if error.strerror else str(error)
    return "The answer could not be read as HTTP"


class _Connection(http.client.HTTPConnection):
    """A connection to an address of a receiver; over TLS, the receiver's certificate must be that of its host's name."""

    response_class = _Answer

    def __init__(self, target: Target, address: str, seconds: float):
        super().__init__(address, target.port, seconds)
        self.target = target

    def connect(self) -> None:
        """Connect, and check the certificate. Raises OSError."""
        super().connect()
        if self.target.is_secure:
            self.sock = _tls_context().wrap_socket(self.sock, server_hostname=self.target.host)

    def can_be_used(self) -> bool:
        """Return whether the connection was kept, and the receiver has neither closed it nor sent what nobody asked for."""
        if self.sock is None:
            return False
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)


class Receiver:
    """The receiver of one webhook, with a connection that is kept between calls."""

    def __init__(self, url: str):
        self.url, self.target = url, read_url(url)
        self.connection: _Connection | None = None

    def close(self) -> None:
        """Close the connection; the next call makes a new one, with the addresses that the host has then."""
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def _open(self, address: str, seconds: float) -> _Connection:
        self.connection = connection = _Connection(self.target, address, seconds)
        connection.connect()
        return connection

    def _connect(self, deadline: float) -> _Connection:
        """Connect to one of the addresses that were checked: the host is looked up only here, and only once."""
        addresses = find_addresses(self.target, deadline - time.monotonic())
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                return self._open(address, max(0.001, (deadline - time.monotonic()) / left))
            except _ERRORS:
                self.close()
                if left == 1:
                    raise
        raise OSError(f"The host '{self.target.host}' has no address")

    def _exchange(self, connection: _Connection, headers: dict[str, str], body: bytes, deadline: float) -> int:
        """Send the request on an open connection, and return the status of the answer, which alone decides the outcome."""
        connection.sock.settimeout(max(0.001, deadline - time.monotonic()))
        with _cutter.cutting(connection.sock, deadline):
            connection.request("POST", self.target.path, body, {"Host": self.target.authority, **headers})
            with closing(connection.getresponse()) as response:
                if time.monotonic() >= deadline:  # a cut looks like the end of the headers
                    raise TimeoutError
                is_final = response.status >= 200  # otherwise another answer follows
                if not _read_to_end(response) or not is_final or time.monotonic() >= deadline:
                    self.close()
                return response.status

    def _post(self, headers: dict[str, str], body: bytes, deadline: float) -> int:
        if self.connection is not None and self.connection.can_be_used():
            try:
                return self._exchange(self.connection, headers, body, deadline)
            except ConnectionError:  # a kept connection may be closed at any time; then the request was not read
                if time.monotonic() >= deadline:
                    raise
        self.close()
        return self._exchange(self._connect(deadline), headers, body, deadline)

    def post(self, headers: dict[str, str], body: bytes) -> Outcome:
        """Send a delivery, and return the outcome, after five seconds at the latest."""
        deadline = time.monotonic() + TIMEOUT
        try:
            status = self._post(headers, body, deadline)
        except ForbiddenHostError as error:
            return Outcome(None, str(error), is_final=True)
        except _ERRORS as error:
            self.close()
            is_late = time.monotonic() >= deadline
            return Outcome(None, _describe_failure(TimeoutError() if is_late else error))
        if 200 <= status < 300:
            return Outcome(status, None)
        hint = "; redirects are not followed" if 300 <= status < 400 else ""
        return Outcome(status, f"Expected a status from 200 to 299, got {status}{hint}")


def _read_to_end(response: http.client.HTTPResponse) -> bool:
    """Read an answer's body, and return whether it was read to its end, so that the connection can be used again."""
    try:
        response.read(MAX_ANSWER)
    except _ERRORS:
        return False
    return response.isclosed()
