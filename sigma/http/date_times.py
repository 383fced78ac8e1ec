"""Date-times: the forms that values have, and the instant that each means."""

import re
from datetime import date
from typing import NamedTuple

# RFC 3339, section 5.6: a date-time, whose T and Z may be lower-case, or a full-date alone.
DATE_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]|60)(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9])))?"
)
DAYS_OF_400_YEARS = 146_097  # after which the calendar repeats itself: Python's knows no year 0, RFC 3339 does
YEAR_400 = date(400, 1, 1).toordinal()
MINUTES_OF_A_DAY = 24 * 60


class Instant(NamedTuple):
    """A moment, exactly; of two, the greater one is later."""

    minute: int  # in UTC, counted from the beginning of the year 0
    second: str  # two digits, with the fraction but without zeros at its end


def _day_number(year: int, month: int, day: int) -> int:
    """Return the number of a day, counted from the beginning of the year 0. Raises ValueError for no day of the calendar."""
    cycle, year = divmod(year, 400)
    return date(400 + year, month, day).toordinal() - YEAR_400 + cycle * DAYS_OF_400_YEARS


def _may_have_leap_second(minute: int) -> bool:
    """Return whether a minute may have a 61st second: the last of June or December, as all that had one so far."""
    tomorrow, first_minute = divmod(minute + 1, MINUTES_OF_A_DAY)
    day = date.fromordinal(YEAR_400 + tomorrow % DAYS_OF_400_YEARS)
    return first_minute == 0 and (day.month, day.day) in ((1, 1), (7, 1))


def read_instant(text: str) -> Instant | None:
    """Return the instant that a text means: a date-time of RFC 3339, or a date, which is midnight UTC; None for any other."""
    match = DATE_TIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, hours_ahead, minutes_ahead = match.groups(default="0")
    try:
        minutes = _day_number(int(year), int(month), int(day)) * MINUTES_OF_A_DAY + 60 * int(hour) + int(minute)
    except ValueError:
        return None
    ahead = 60 * int(hours_ahead) + int(minutes_ahead)
    minutes += ahead if sign == "-" else -ahead
    if second == "60" and not _may_have_leap_second(minutes):
        return None
    return Instant(minutes, f"{int(second):02}.{fraction}".rstrip("0").rstrip("."))


def is_date_time(text: str) -> bool:
    """Return whether a text is a date-time of RFC 3339, not a date alone."""
    return len(text) > len("2026-03-01") and read_instant(text) is not None
