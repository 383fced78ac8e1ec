"""The integration of the story: a client that reads a record again and again, and counts the responses by status."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus

from sigma.cli.client import send_request

PATH = "/api/v1/records/ent-coastal-wb"


def describe_status(status: int) -> str:
    """Return a status with its phrase, such as "200 OK"; 0 stands for no response."""
    return f"{status} {HTTPStatus(status).phrase}" if status else "no answer"


class Integration(threading.Thread):
    """A client that calls several processes in turn, and after a 429 waits as long as Retry-After says."""

    def __init__(self, urls: list[str], pause: float):
        super().__init__(daemon=True)
        self.urls, self.pause, self.headers = urls, pause, dict[str, str]()
        self.stopped, self.counts = threading.Event(), Counter[int]()
        self.requests = self.waited = 0  # waited: seconds in total

    def run(self) -> None:
        """Send requests until stopped."""
        while not self.stopped.wait(self.pause):
            response = send_request(self.urls[self.requests % len(self.urls)], "GET", PATH, self.headers)
            self.counts[response.status] += 1
            self.requests += 1
            if response.status == HTTPStatus.TOO_MANY_REQUESTS:
                self.stopped.wait(response.retry_after)
                self.waited += response.retry_after

    @property
    def failed(self) -> int:
        """How many requests were answered neither with 200 nor with 429."""
        return self.requests - self.counts[HTTPStatus.OK] - self.counts[HTTPStatus.TOO_MANY_REQUESTS]

    def describe(self) -> str:
        """Return one line about the responses so far; "" before the first one."""
        if not self.counts:
            return ""
        counted = ", ".join(f"{describe_status(status)}: {count}" for status, count in sorted(self.counts.copy().items()))
        waited = f", waited {self.waited} s" if self.waited else ""
        return f"Integration: {self.failed} failed; {counted}{waited}"  # fits into 80 columns

    def use(self, headers: dict[str, str]) -> Callable[[], bool]:
        """Switch to a credential. Return a function that tells whether every process has been called with it."""
        self.headers, enough = headers, self.requests + 2 * len(self.urls)
        if not self.is_alive():
            self.start()
        return lambda: self.requests >= enough

    def gets(self, status: int, times: int) -> Callable[[], bool]:
        """Return a function that tells whether a status has come that many more times, and a 200 after that."""
        enough, successes = self.counts[status] + times, None

        def has_recovered() -> bool:
            nonlocal successes
            if self.counts[status] < enough:
                return False
            successes = self.counts[HTTPStatus.OK] if successes is None else successes
            return self.counts[HTTPStatus.OK] > successes

        return has_recovered

    def stop(self) -> None:
        """Send no more requests."""
        self.stopped.set()
        if self.is_alive():
            self.join()


def wait_for(condition: Callable[[], bool], wait: Callable[[float], None], seconds: float = 30) -> bool:
    """Wait until a condition is true, with short calls of wait(); return False if it is not true in time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        wait(0.05)
    return True
