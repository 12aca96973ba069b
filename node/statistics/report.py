"""The own institution's statistics as they may be shown: small counts hidden. Spec: spec/statistics.md, 3."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from directory_sync.words import fold
from node.statistics.counts import Dimension, Measure, MonthCounts
from node.statistics.durations import Quantiles, quantiles
from node.statistics.hiding import Cell, Line, hide_line, hide_nested
from node.statistics.months import MonthRange

__all__ = ["SHOWN", "UNKNOWN", "Report", "Row", "Times", "make_report"]

SHOWN: Final = tuple(measure for measure in Measure if measure is not Measure.ENVELOPES)
"""The measures that people are shown."""
_PLAIN: Final = (Dimension.CLASS, Dimension.MAILBOX, Dimension.SPECIALTY)
_AT_INSTITUTIONS: Final = (Measure.SENT, Measure.RECEIVED, Measure.REFUSED, Measure.EXPIRED)
_MOST_DAYS: Final = 31
UNKNOWN: Final = "?"
"""The key of what nobody knows any more; no node id, region, word or specialty is written so."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table. values: by month, None for a hidden one. name: as people know it, empty for none."""

    key: str
    name: str
    values: tuple[int | None, ...]

    @property
    def total(self) -> int:
        """The sum of what is shown."""
        return sum(value for value in self.values if value is not None)

    @property
    def is_partial(self) -> bool:
        """Whether something is hidden, so that the sum is "at least"."""
        return None in self.values


@dataclass(frozen=True, slots=True)
class Times:
    """How long something took, by month and over all of them; None with too few values."""

    months: tuple[Quantiles | None, ...]
    whole: Quantiles | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Statistics of some months.

    months: `YYYY-MM`. totals: by measure. people, services, institutions: who is active. breakdowns: by measure and
    dimension, the largest rows first. days: of a range of one month, by measure. times: `delivery` and `opening`.
    threshold: below it a count is hidden. is_empty: nothing was counted in these months.
    """

    months: tuple[str, ...]
    threshold: int
    is_empty: bool
    totals: dict[Measure, Row]
    people: Row
    services: Row
    institutions: Row
    breakdowns: dict[tuple[Measure, Dimension], tuple[Row, ...]]
    times: dict[str, Times]
    days: dict[Measure, tuple[int | None, ...]] = field(default_factory=dict)

    def rows(self, measure: Measure, dimension: Dimension) -> tuple[Row, ...]:
        """A breakdown; no rows where there is none."""
        return self.breakdowns.get((measure, dimension), ())


def make_report(
    chosen: MonthRange,
    months: Mapping[int, MonthCounts],
    *,
    threshold: int,
    own: str,
    institution_names: Mapping[str, str],
    region_of: Mapping[str, str],
    region_names: Mapping[str, str],
) -> Report:
    """Hide what is small in these months. own: the own node's id; names and regions by node id as text."""
    counts = [months.get(month, MonthCounts()) for month in chosen.months]
    breakdowns: dict[tuple[Measure, Dimension], tuple[Row, ...]] = {}
    for measure in SHOWN:
        if measure in _AT_INSTITUTIONS:
            institutions, regions = _institutions(counts, measure, region_of, threshold)
            breakdowns[measure, Dimension.INSTITUTION] = _rows(institutions, institution_names)
            breakdowns[measure, Dimension.REGION] = _rows(regions, region_names)
        for dimension in _PLAIN:
            spelt = [_spelt(item, measure, dimension) for item in counts]
            lines = [
                _line(item, cells, measure, dimension, threshold)
                for item, (cells, _) in zip(counts, spelt, strict=True)
            ]
            names = {key: name for _, some in reversed(spelt) for key, name in some.items()}
            breakdowns[measure, dimension] = _rows(lines, names)
    return Report(
        months=chosen.texts,
        threshold=threshold,
        is_empty=not any(item.totals for item in counts),
        totals={measure: _total(measure, counts, threshold) for measure in SHOWN},
        people=_plain("people", [item.people for item in counts], threshold),
        services=_plain("services", [item.services for item in counts], threshold),
        # Whoever reads this sees the institutions by name: their number hides nobody.
        institutions=_plain("institutions", [len(item.institutions - {own}) for item in counts], 1),
        breakdowns={place: rows for place, rows in breakdowns.items() if rows},
        times={name: _times(counts, name, threshold) for name in ("delivery", "opening")},
        days=_days(counts[0], chosen.first, threshold) if len(counts) == 1 else {},
    )


def _shown(count: int, threshold: int) -> int | None:
    return None if Cell(count).is_small(threshold) else count


def _plain(name: str, values: Sequence[int], threshold: int) -> Row:
    return Row(name, "", tuple(_shown(value, threshold) for value in values))


def _total(measure: Measure, counts: Sequence[MonthCounts], threshold: int) -> Row:
    return _plain(measure, [item.totals[measure] for item in counts], threshold)


def _with_rest(cells: Mapping[str, Cell], total: int) -> dict[str, Cell]:
    """The cells, and what the sum has beyond them."""
    rest = total - sum(cell.count for cell in cells.values())
    return {**cells, UNKNOWN: Cell(rest)} if rest > 0 else dict(cells)


def _spelt(counts: MonthCounts, measure: Measure, dimension: Dimension) -> tuple[Counter[str], dict[str, str]]:
    """Counts by folded key, and how each is written most often."""
    merged: Counter[str] = Counter()
    spellings: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for key, count in counts.of(measure, dimension).items():
        merged[fold(key)] += count
        spellings[fold(key)][key] += count
    return merged, {key: found.most_common(1)[0][0] for key, found in spellings.items()}


def _line(
    counts: MonthCounts, cells: Mapping[str, int], measure: Measure, dimension: Dimension, threshold: int
) -> Line[str]:
    is_of_people = dimension is Dimension.SPECIALTY
    known = {key: Cell(count, counts.people_of[key] if is_of_people and key else None) for key, count in cells.items()}
    total = counts.totals[measure]
    return hide_line(_with_rest(known, total), total, threshold=threshold)


def _institutions(
    counts: Sequence[MonthCounts], measure: Measure, region_of: Mapping[str, str], threshold: int
) -> tuple[list[Line[str]], list[Line[str]]]:
    """By month, the lines of institutions and of regions."""
    institutions, regions = [], []
    for item in counts:
        groups: defaultdict[str, dict[str, Cell]] = defaultdict(dict)
        for node, count in item.of(measure, Dimension.INSTITUTION).items():
            groups[region_of.get(node, "")][node] = Cell(count)
        total = item.totals[measure]
        sums = {key: sum(cell.count for cell in cells.values()) for key, cells in groups.items()}
        rest = total - sum(sums.values())
        if rest > 0:
            groups[UNKNOWN], sums[UNKNOWN] = {UNKNOWN: Cell(rest)}, rest
        upper, lines = hide_nested(groups, sums, total, threshold=threshold)
        regions.append(upper)
        cells = {key: value for line in lines.values() for key, value in line.cells.items()}
        institutions.append(Line(cells, upper.total))
    return institutions, regions


def _rows(lines: Sequence[Line[str]], names: Mapping[str, str]) -> tuple[Row, ...]:
    keys: Iterable[str] = dict.fromkeys(key for line in lines for key in line.cells)
    rows = [Row(key, names.get(key, ""), tuple(line.cells.get(key, 0) for line in lines)) for key in keys]
    return tuple(sorted(rows, key=lambda row: (-row.total, not row.is_partial, row.name, row.key)))


def _times(counts: Sequence[MonthCounts], name: str, threshold: int) -> Times:
    whole: Counter[int] = Counter()
    for item in counts:
        whole.update(item.durations.get(name, Counter()))
    months = tuple(quantiles(item.durations.get(name, Counter()), at_least=threshold) for item in counts)
    return Times(months, quantiles(whole, at_least=threshold))


def _days(counts: MonthCounts, month: int, threshold: int) -> dict[Measure, tuple[int | None, ...]]:
    """By measure, each day of the month under the month's sum."""
    last = 1 + max((day for day, values in counts.days.items() if values), default=0)
    found: dict[Measure, tuple[int | None, ...]] = {}
    for measure in SHOWN:
        cells = {day: Cell(counts.days[day][measure]) for day in range(1, last) if day <= _MOST_DAYS}
        if counts.totals[measure]:
            line = hide_line(cells, counts.totals[measure], threshold=threshold)
            found[measure] = tuple(line.cells[day] for day in cells)
    return found
