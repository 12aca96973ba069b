"""Times of the day in a time zone: when a digest is due, when quiet hours end. Spec: spec/alerts.md, 2.

Pure: the clock is an argument. What is planned is a UTC time, so an hour that comes twice, or never, changes nothing
afterwards. A time that a spring night skips counts from the hour before; of one that comes twice, the first is meant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

__all__ = ["DAY_MINUTES", "clock_text", "next_time_ms", "parse_clock", "quiet_until_ms"]

DAY_MINUTES: Final = 24 * 60
_CLOCK: Final = re.compile(r"([01]?[0-9]|2[0-3])[:h]([0-5][0-9])")


def parse_clock(text: str) -> int:
    """Minutes since midnight of `08:00` or `8h00`. ValueError."""
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no time of the day, as 08:00 is one")
    return int(found[1]) * 60 + int(found[2])


def clock_text(minutes: int) -> str:
    """As 08:00."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _at_ms(day: date, minutes: int, zone: ZoneInfo) -> int:
    return int(datetime.combine(day, time(minutes // 60, minutes % 60), zone).timestamp() * 1000)


def _day_of(now_ms: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(now_ms / 1000, zone).date()


def next_time_ms(now_ms: int, times: Sequence[int], zone: ZoneInfo) -> int:
    """The next of some times of the day (minutes since midnight, at least one), later than now."""
    today = _day_of(now_ms, zone)
    moments = (_at_ms(today + timedelta(days), minutes, zone) for days in (0, 1, 2) for minutes in times)
    return min(moment for moment in moments if moment > now_ms)


def quiet_until_ms(now_ms: int, quiet: tuple[int, int], zone: ZoneInfo) -> int | None:
    """When the quiet hours that now is in end; None if it is in none. quiet: from, until, also over midnight."""
    begin, end = quiet
    today = _day_of(now_ms, zone)
    for day in (today - timedelta(1), today):
        from_ms = _at_ms(day, begin, zone)
        until_ms = _at_ms(day if begin < end else day + timedelta(1), end, zone)
        if from_ms <= now_ms < until_ms:
            return until_ms
    return None
