"""The integration of the story: a program that reads a record again and again, and counts what it is answered."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus

from sigma.cli.serve import send_request

PATH = "/api/v1/records/ent-coastal-wb"


def describe_status(status: int) -> str:
    """Return a status with its meaning."""
    return f"{status} {HTTPStatus(status).phrase}" if status else "no answer"


class Integration(threading.Thread):
    """A client that asks several processes by turns, and waits as long as an answer 429 says before it tries again."""

    def __init__(self, urls: list[str], pause: float):
        super().__init__(daemon=True)
        self.urls, self.pause, self.headers = urls, pause, dict[str, str]()
        self.stopped, self.counts = threading.Event(), Counter[int]()
        self.requests = self.waited = 0  # and for how many seconds in all

    def run(self) -> None:
        """Send requests until stopped."""
        while not self.stopped.wait(self.pause):
            answer = send_request(self.urls[self.requests % len(self.urls)], "GET", PATH, self.headers)
            self.counts[answer.status] += 1
            self.requests += 1
            if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
                self.stopped.wait(answer.retry_after)
                self.waited += answer.retry_after

    @property
    def failed(self) -> int:
        """How many requests were neither answered well nor put off."""
        return self.requests - self.counts[HTTPStatus.OK] - self.counts[HTTPStatus.TOO_MANY_REQUESTS]

    def describe(self) -> str:
        """Return one line with what it has been answered so far."""
        if not self.counts:
            return ""
        counted = ", ".join(f"{describe_status(status)}: {count}" for status, count in sorted(self.counts.copy().items()))
        waited = f", waited {self.waited} s" if self.waited else ""
        return f"Integration: {self.failed} failed; {counted}{waited}"  # which fits into 80 columns

    def use(self, headers: dict[str, str]) -> Callable[[], bool]:
        """Switch to a credential; return what tells whether all requests with the previous one have been answered."""
        self.headers, enough = headers, self.requests + 2 * len(self.urls)
        if not self.is_alive():
            self.start()
        return lambda: self.requests >= enough

    def gets(self, status: int, times: int) -> Callable[[], bool]:
        """Return what tells whether it has been answered a status so many times more, and then well again."""
        enough, good = self.counts[status] + times, None

        def has() -> bool:
            nonlocal good
            if self.counts[status] < enough:
                return False
            good = self.counts[HTTPStatus.OK] if good is None else good
            return self.counts[HTTPStatus.OK] > good

        return has

    def stop(self) -> None:
        """Send no more requests."""
        self.stopped.set()
        if self.is_alive():
            self.join()


def wait_for(is_so: Callable[[], bool], wait: Callable[[float], None], seconds: float = 30) -> bool:
    """Wait step by step until something is so; return whether it came to be."""
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until:
            return False
        wait(0.05)
    return True
