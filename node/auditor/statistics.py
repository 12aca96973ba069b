"""Numbers of a log for reports: events by month and kind, and how long letters waited to be opened."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from protocol.logleaf import EventKind

__all__ = ["DELAY_STEPS_MS", "FAILURES", "Statistics", "kind_name", "month_of", "month_start_ms"]

DELAY_STEPS_MS = (600_000, 3_600_000, 4 * 3_600_000, 86_400_000, 3 * 86_400_000, 7 * 86_400_000)
"""Upper ends of the classes of opening delays; the last class is everything beyond."""

FAILURES = (EventKind.REFUSED, EventKind.EXPIRED, EventKind.UNREADABLE, EventKind.LOGIN_FAILED)


def kind_name(kind: int) -> str:
    """A kind's own name; its number if this version does not know it."""
    try:
        return EventKind(kind).word
    except ValueError:
        return str(kind)


def month_of(time_ms: int) -> int:
    """A month as a number: year times twelve, and the month from 0. UTC."""
    moment = datetime.fromtimestamp(min(time_ms, 253_402_300_799_000) / 1000, UTC)
    return moment.year * 12 + moment.month - 1


def month_start_ms(month: int) -> int:
    """When a month begins."""
    return int(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp() * 1000)


@dataclass(slots=True)
class Statistics:
    """Counts of one log, or of several added. by_month: month number to kind to count. delays_ms: of what was opened.

    unopened: tags with a deposit and no opening.
    """

    by_month: dict[int, Counter[int]] = field(default_factory=dict)
    delays_ms: array[int] = field(default_factory=lambda: array("q"))
    unopened: int = 0
    first_ms: int = 0
    last_ms: int = 0

    @property
    def kinds(self) -> Counter[int]:
        """Counts of all time, by kind."""
        total: Counter[int] = Counter()
        for counts in self.by_month.values():
            total.update(counts)
        return total

    @property
    def leaves(self) -> int:
        """Events in all."""
        return self.kinds.total()

    def months(self) -> list[int]:
        """Every month from the first to the last with an event."""
        return list(range(min(self.by_month), max(self.by_month) + 1)) if self.by_month else []

    def series(self, kind: EventKind) -> list[int]:
        """Counts of a kind, one for each of `months`."""
        empty: Counter[int] = Counter()
        return [self.by_month.get(month, empty)[kind] for month in self.months()]

    def delay_classes(self) -> list[int]:
        """How many openings fall into each class of DELAY_STEPS_MS, and beyond."""
        found = [0] * (len(DELAY_STEPS_MS) + 1)
        for delay in self.delays_ms:
            found[sum(delay > step for step in DELAY_STEPS_MS)] += 1
        return found

    def delay_at(self, share: float) -> int:
        """The delay that this share of openings does not exceed; 0 if there are none."""
        ordered = sorted(self.delays_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0

    def add(self, other: Statistics) -> None:
        """Take in the counts of another log."""
        for month, counts in other.by_month.items():
            self.by_month.setdefault(month, Counter()).update(counts)
        self.delays_ms.extend(other.delays_ms)
        self.unopened += other.unopened
        self.first_ms = min(filter(None, (self.first_ms, other.first_ms)), default=0)
        self.last_ms = max(self.last_ms, other.last_ms)
