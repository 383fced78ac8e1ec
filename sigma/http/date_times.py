"""Date-times: the forms that they may have, and the instant that each one means."""

import re
from datetime import date
from typing import NamedTuple

# RFC 3339, section 5.6: a date-time, whose T and Z may be lower-case, or a full-date alone.
DATE_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]|60)(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9])))?"
)
DAYS_OF_400_YEARS = 146_097  # after which the calendar repeats; RFC 3339 has a year 0, Python has not
YEAR_400 = date(400, 1, 1).toordinal()
MINUTES_OF_A_DAY = 24 * 60


class Instant(NamedTuple):
    """An exact point in time; of two instants, the greater one is later."""

    minute: int  # of UTC, counted from the beginning of the year 0
    second: str  # two digits and the fraction, without trailing zeros of the fraction


def _day_number(year: int, month: int, day: int) -> int:
    """Return how many days lie between the beginning of year 0 and a day. Raises ValueError if there is no such day."""
    cycle, year = divmod(year, 400)
    return date(400 + year, month, day).toordinal() - YEAR_400 + cycle * DAYS_OF_400_YEARS


def _may_have_leap_second(minute: int) -> bool:
    # All leap seconds so far ended the last minute of June or December.
    next_day, next_minute = divmod(minute + 1, MINUTES_OF_A_DAY)
    day = date.fromordinal(YEAR_400 + next_day % DAYS_OF_400_YEARS)
    return next_minute == 0 and (day.month, day.day) in ((1, 1), (7, 1))


def read_instant(text: str) -> Instant | None:
    """Return the instant that an RFC 3339 date-time means, or a date (midnight UTC); None for any other text."""
    match = DATE_TIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = match.groups(default="0")
    try:
        minutes = _day_number(int(year), int(month), int(day)) * MINUTES_OF_A_DAY + 60 * int(hour) + int(minute)
    except ValueError:
        return None
    offset = 60 * int(offset_hours) + int(offset_minutes)
    minutes += offset if sign == "-" else -offset
    if second == "60" and not _may_have_leap_second(minutes):
        return None
    return Instant(minutes, f"{int(second):02}.{fraction}".rstrip("0").rstrip("."))


def is_date_time(text: str) -> bool:
    """Return whether a text is an RFC 3339 date-time; a date alone is not one."""
    return len(text) > len("2026-03-01") and read_instant(text) is not None
