"""Times and ids as the API writes them."""

import functools
import os
import time


@functools.lru_cache(maxsize=8)
def whole_second(seconds: int) -> str:
    """Return a time without its fraction. Cached, because thousands of requests ask for the same one."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def format_time(at: float) -> str:
    """Return a time, in seconds since the epoch, as the API writes it: UTC, milliseconds, Z."""
    seconds, milliseconds = divmod(int(1000 * at), 1000)
    return f"{whole_second(seconds)}.{milliseconds:03}Z"


def utc_now(seconds_ago: float = 0) -> str:
    """Return the current time, or that of some seconds ago, as the API writes it."""
    return format_time(time.time() - seconds_ago)


def random_id(prefix: str) -> str:
    """Return a new random id with a prefix."""
    return f"{prefix}-{os.urandom(8).hex()}"  # what secrets.token_hex() does after three calls of its own
