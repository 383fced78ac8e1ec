"""Times and ids as the API writes them."""

import re
import time
from types import SimpleNamespace

import pytest
from cases import each

from sigma.http import stamps


@pytest.fixture
def set_clock(monkeypatch):
    """Return a function that makes it a certain time for the module."""

    def set_clock(now):
        clock = SimpleNamespace(time=lambda: now, strftime=time.strftime, gmtime=time.gmtime)
        monkeypatch.setattr(stamps, "time", clock)

    return set_clock


@each(
    ("now", "seconds_ago", "text"),
    [
        (0.0, 0, "1970-01-01T00:00:00.000Z"),
        (1764126245.0, 0, "2025-11-26T03:04:05.000Z"),
        (1764126245.0019, 0, "2025-11-26T03:04:05.001Z"),
        (1764126245.9999, 0, "2025-11-26T03:04:05.999Z"),
        (1764126245.25, 1, "2025-11-26T03:04:04.250Z"),
        (1764126245.25, 0.5, "2025-11-26T03:04:04.750Z"),
        (1735689599.999, 0, "2024-12-31T23:59:59.999Z"),
    ],
)
def test_a_time_is_written_in_utc_with_milliseconds(set_clock, now, seconds_ago, text):
    set_clock(now)
    assert stamps.utc_now(seconds_ago) == text


def test_the_zone_of_the_machine_does_not_matter(monkeypatch, set_clock):
    set_clock(1764126245.0)
    stamps.whole_second.cache_clear()
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Pacific/Auckland")
        time.tzset()
        assert stamps.utc_now() == "2025-11-26T03:04:05.000Z"
    time.tzset()


def test_ids_are_random_and_say_what_they_are_of():
    ids = {stamps.random_id("ent") for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch("ent-[0-9a-f]{16}", id) for id in ids)
