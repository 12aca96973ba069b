"""Days of forms, in the institution's time zone."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from node.errors import ConfigError

__all__ = ["day_begins_ms", "day_ends_ms", "day_text"]


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(f"{text[:40]!r} is no date, as 2027-08-01 is one") from None


def _ms(day: date, zone: ZoneInfo) -> int:
    return int(datetime.combine(day, time(), zone).timestamp() * 1000)


def day_begins_ms(text: str, zone: ZoneInfo) -> int:
    """When a day begins, milliseconds UTC. ConfigError."""
    return _ms(_day(text), zone)


def day_ends_ms(text: str, zone: ZoneInfo) -> int:
    """When a last day is over. ConfigError."""
    try:
        return _ms(_day(text) + timedelta(1), zone)
    except OverflowError:
        raise ConfigError(f"{text[:40]!r} is too far away") from None


def day_text(time_ms: int, zone: ZoneInfo) -> str:
    """The day of a time, as forms want it."""
    return datetime.fromtimestamp(time_ms / 1000, zone).date().isoformat()
