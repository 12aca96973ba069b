"""Which cells of a line are hidden, so that no small one can be computed from what is shown.

Spec: spec/statistics.md, 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

__all__ = ["Cell", "Line", "could_be", "hide_line", "hide_nested"]

K = TypeVar("K")
_WIDE_ENOUGH: Final = 3


@dataclass(frozen=True, slots=True)
class Cell:
    """What one cell counts; people: how many made it up, None where that does not matter."""

    count: int
    people: int | None = None

    def is_small(self, threshold: int) -> bool:
        """Whether it may not be shown as it is."""
        few = self.people is not None and self.people < threshold
        return self.count > 0 and (self.count < threshold or few)


@dataclass(frozen=True, slots=True)
class Line(Generic[K]):
    """A line as it may be shown: a hidden cell, and a hidden sum, is None."""

    cells: dict[K, int | None]
    total: int | None

    @property
    def hidden(self) -> int:
        """How many cells are hidden."""
        return sum(value is None for value in self.cells.values())


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What a reader knows of one hidden cell before adding up: at least, at most (None: no bound)."""

    low: int
    high: int | None


def _bounds(cell: Cell, threshold: int, smallest_shown: int | None) -> _Bounds:
    if not cell.is_small(threshold):
        return _Bounds(threshold, smallest_shown)
    return _Bounds(1, threshold - 1 if cell.count < threshold else None)


def could_be(bounds: Sequence[tuple[int, int | None]], total: int) -> list[tuple[int, int]]:
    """For cells within bounds that add up to `total`: from what to what each could be."""
    lows = sum(low for low, _ in bounds)
    highs = [high for _, high in bounds]
    found = []
    for low, high in bounds:
        most = total - (lows - low)
        others = list(highs)
        others.remove(high)
        known = [item for item in others if item is not None]
        least = total - sum(known) if len(known) == len(others) else low
        found.append((max(low, least), most if high is None else min(high, most)))
    return found


def hide_line(cells: Mapping[K, Cell], total: int, *, threshold: int, total_people: int | None = None) -> Line[K]:
    """Hide what must be. total: the sum that is shown with the cells; not smaller than theirs together.

    What the sum has beyond the cells (an unknown rest) is the caller's to give as a cell of its own.
    """
    if Cell(total, total_people).is_small(threshold):
        return _all_hidden(cells)
    hidden = {key for key, cell in cells.items() if cell.is_small(threshold)}
    while hidden:
        shown = sorted((cell.count, at) for at, (key, cell) in enumerate(cells.items()) if _stays(key, cell, hidden))
        if _is_safe(cells, hidden, shown[0][0] if shown else None, threshold):
            break
        if not shown:
            return Line({key: _value(key, cell, hidden) for key, cell in cells.items()}, None)
        hidden.add(list(cells)[shown[0][1]])
    return Line({key: _value(key, cell, hidden) for key, cell in cells.items()}, total)


def _stays(key: K, cell: Cell, hidden: set[K]) -> bool:
    return key not in hidden and cell.count > 0


def _value(key: K, cell: Cell, hidden: set[K]) -> int | None:
    return None if key in hidden else cell.count


def _is_safe(cells: Mapping[K, Cell], hidden: set[K], smallest_shown: int | None, threshold: int) -> bool:
    keys = list(hidden)
    bounds = [_bounds(cells[key], threshold, smallest_shown) for key in keys]
    ranges = could_be([(item.low, item.high) for item in bounds], sum(cells[key].count for key in keys))
    wanted = min(_WIDE_ENOUGH, threshold - 1)
    return all(
        high - low + 1 >= wanted
        for key, (low, high) in zip(keys, ranges, strict=True)
        if cells[key].is_small(threshold)
    )


def hide_nested(
    groups: Mapping[K, Mapping[K, Cell]], totals: Mapping[K, int], total: int, *, threshold: int
) -> tuple[Line[K], dict[K, Line[K]]]:
    """Cells in groups whose sums are shown, too: each group a line, and the groups a line of their own.

    A group whose sum cannot be shown is a hidden cell of the upper line. Of one that the upper line hides nothing is
    shown: its cells would add up to it.
    """
    lines = {key: hide_line(cells, totals[key], threshold=threshold) for key, cells in groups.items()}
    # A sum that had to go is as good as a small cell: what is left must not give it back.
    upper = {key: Cell(totals[key], None if lines[key].total is not None or totals[key] == 0 else 0) for key in groups}
    line = hide_line(upper, total, threshold=threshold)
    for key, value in line.cells.items():
        if value is None:
            lines[key] = _all_hidden(groups[key])
    return line, lines


def _all_hidden(cells: Mapping[K, Cell]) -> Line[K]:
    return Line({key: 0 if cell.count == 0 else None for key, cell in cells.items()}, None)
