"""Times and ids as the API writes them."""

import functools
import secrets
import time


@functools.lru_cache(maxsize=8)
def whole_second(seconds: int) -> str:
    """Return a time without its fraction; thousands of requests ask for the same."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def format_time(at: float) -> str:
    """Return a time, in seconds since the epoch, as the API writes it: UTC, milliseconds, Z."""
    seconds, milliseconds = divmod(int(1000 * at), 1000)
    return f"{whole_second(seconds)}.{milliseconds:03}Z"


def utc_now(seconds_ago: float = 0) -> str:
    """Return the time as the API writes it."""
    return format_time(time.time() - seconds_ago)


def random_id(prefix: str) -> str:
    """Return an id that no one has used."""
    return f"{prefix}-{secrets.token_hex(8)}"
