"""Months and days as the institution's clock has them. Spec: spec/statistics.md, 1.

A month is a number, year times twelve and the month from 0: what is stored and added up; a text, `YYYY-MM`, elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from node.errors import ConfigError

__all__ = ["MAX_MONTHS", "MonthRange", "month_at", "month_day_at", "month_end_ms", "month_number", "month_text"]

MAX_MONTHS: Final = 120
_TEXT: Final = re.compile(r"(2[01][0-9]{2})-(0[1-9]|1[0-2])")
_LAST_MS: Final = 253_402_300_799_000


def month_day_at(time_ms: int, zone: ZoneInfo) -> tuple[int, int]:
    """The month and the day of the month, from 1, of a time."""
    moment = datetime.fromtimestamp(min(time_ms, _LAST_MS) / 1000, zone)
    return moment.year * 12 + moment.month - 1, moment.day


def month_at(time_ms: int, zone: ZoneInfo) -> int:
    """The month of a time."""
    return month_day_at(time_ms, zone)[0]


def month_text(month: int) -> str:
    """`YYYY-MM`."""
    return f"{month // 12:04}-{month % 12 + 1:02}"


def month_number(text: str) -> int:
    """The month that a text names. ConfigError if it names none."""
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"{text!r} is no month", hint="write it as 2026-03")
    return int(found[1]) * 12 + int(found[2]) - 1


def month_end_ms(month: int) -> int:
    """When a month ends in UTC, milliseconds."""
    return int(datetime((month + 1) // 12, (month + 1) % 12 + 1, 1, tzinfo=UTC).timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class MonthRange:
    """Months from `first` to `last`, both included; at most MAX_MONTHS."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ConfigError(f"{month_text(self.last)} is before {month_text(self.first)}")
        if self.last - self.first >= MAX_MONTHS:
            raise ConfigError(f"at most {MAX_MONTHS} months at once")

    @property
    def months(self) -> range:
        """Each month."""
        return range(self.first, self.last + 1)

    @property
    def texts(self) -> tuple[str, ...]:
        """Each month, `YYYY-MM`."""
        return tuple(map(month_text, self.months))

    @classmethod
    def chosen(cls, first: str, last: str, *, now_ms: int, zone: ZoneInfo) -> MonthRange:
        """Of two texts; an empty one means: to the running month, and the twelve that end with the last."""
        end = month_number(last) if last else month_at(now_ms, zone)
        return cls(month_number(first) if first else end - 11, end)
