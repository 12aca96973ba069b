"""A year of counts that nobody made: the same each time, for charts to look at. Spec: spec/statistics.md."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from directory_sync.words import fold
from node.statistics.counts import Measure, MonthCounts
from node.statistics.durations import class_of

__all__ = ["SEED", "Growth", "synthetic_months"]

SEED: Final = 2014
_SPECIALTIES: Final = (
    ("Cardiologie", 9, 0.26),
    ("Gériatrie", 7, 0.21),
    ("Oncologie", 6, 0.17),
    ("Médecine générale", 8, 0.16),
    ("Radiologie", 5, 0.12),
    ("Rhumatologie", 2, 0.05),
    ("", 6, 0.03),
)
_CLASSES: Final = (("normal", 0.83), ("urgent", 0.11), ("bulk", 0.06))
_DAYS: Final = 28


@dataclass(frozen=True, slots=True)
class Growth:
    """How an institution's letters grow: per month at the beginning and at the end of the year."""

    first: int
    last: int
    people: int

    def letters(self, at: int, months: int) -> float:
        """In month `at` of so many."""
        return self.first * math.pow(self.last / self.first, at / max(months - 1, 1))


def _shared(total: int, shares: Iterable[tuple[str, float]]) -> dict[str, int]:
    """A number in whole parts; what rounding leaves is the first one's."""
    parts = {name: math.floor(total * share) for name, share in shares}
    first = next(iter(parts))
    parts[first] += total - sum(parts.values())
    return parts


def synthetic_months(
    months: Iterable[int], growth: Growth, partners: Mapping[str, tuple[str, float]], *, seed: int = SEED
) -> dict[int, MonthCounts]:
    """Counts of these months. partners: of other institutions, by node id as text, the region's key and their share."""
    chance = random.Random(seed)  # noqa: S311 - the same picture each time
    found, numbers = {}, list(months)
    for at, month in enumerate(numbers):
        # August is quiet, as everywhere.
        season = 0.7 if month % 12 == 7 else 1.0
        written = round(growth.letters(at, len(numbers)) * season * chance.uniform(0.93, 1.07))
        found[month] = _month(chance, written, min(growth.people, 3 + written // 12), partners)
    return found


def _month(chance: random.Random, written: int, people: int, partners: Mapping[str, tuple[str, float]]) -> MonthCounts:
    counts = MonthCounts(people=people, services=min(4, people // 6))
    received = round(written * chance.uniform(0.9, 1.2))
    opened = round(received * chance.uniform(0.94, 0.99))
    counts.totals.update(
        {
            Measure.LETTERS: written,
            Measure.SENT: round(written * 1.15),
            Measure.RECEIVED: received,
            Measure.OPENED: opened,
            Measure.REFUSED: round(received * chance.uniform(0.001, 0.008)),
            Measure.EXPIRED: round(received * chance.uniform(0, 0.004)),
        }
    )
    for measure in (Measure.LETTERS, Measure.RECEIVED, Measure.OPENED):
        total = counts.totals[measure]
        counts.cells[measure, "class"].update(_shared(total, _CLASSES))
        counts.cells[measure, "mailbox"].update(_shared(total, (("person", 0.8), ("service", 0.2))))
        counts.cells[measure, "specialty"].update(_shared(total, ((name, share) for name, _, share in _SPECIALTIES)))
    for measure in (Measure.SENT, Measure.RECEIVED):
        if partners:
            by_node = _shared(counts.totals[measure], ((node, share) for node, (_, share) in partners.items()))
            counts.cells[measure, "institution"].update(by_node)
            for node, count in by_node.items():
                counts.cells[measure, "region"][partners[node][0]] += count
    counts.people_of.update({fold(name): min(number, people) for name, number, _ in _SPECIALTIES})
    for measure in (Measure.LETTERS, Measure.RECEIVED):
        for day, share in _by_day(chance, counts.totals[measure]).items():
            counts.days[day][measure] += share
    for _ in range(received):
        counts.durations["delivery"][class_of(round(chance.lognormvariate(1.5, 1.2) * 1000))] += 1
    for _ in range(opened):
        counts.durations["opening"][class_of(round(chance.lognormvariate(8.7, 1.3) * 1000))] += 1
    return counts


def _by_day(chance: random.Random, total: int) -> dict[int, int]:
    weights = [chance.uniform(0.6, 1.4) for _ in range(_DAYS)]
    return {
        int(day): share
        for day, share in _shared(
            total, ((str(at + 1), weight / sum(weights)) for at, weight in enumerate(weights))
        ).items()
    }
