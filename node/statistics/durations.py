"""How long things took, as counts in classes that add up. Spec: spec/statistics.md, 1."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["LAST_CLASS", "Quantiles", "class_of", "quantiles"]

_PER_OCTAVE: Final = 8
LAST_CLASS: Final = 216
"""2^(215/8) seconds and more: beyond three years."""


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Median and 90th percentile, whole seconds, of `count` values."""

    count: int
    median_s: int
    p90_s: int


def class_of(duration_ms: int) -> int:
    """The class of a duration; what seems to have taken less than nothing, by two clocks, took nothing."""
    if duration_ms < 1000:
        return 0
    return min(LAST_CLASS, math.floor(math.log2(duration_ms / 1000) * _PER_OCTAVE) + 1)


def _middle_s(number: int) -> int:
    if number == 0:
        return 1
    half = 0.0 if number >= LAST_CLASS else 0.5
    return round(2 ** ((number - 1 + half) / _PER_OCTAVE))


def quantiles(classes: Mapping[int, int], *, at_least: int) -> Quantiles | None:
    """The quantiles of what was counted; None with fewer than `at_least` values, or none at all."""
    counted = Counter({number: count for number, count in classes.items() if count > 0})
    total = counted.total()
    if total == 0 or total < at_least:
        return None
    return Quantiles(total, _value(counted, math.ceil(total / 2)), _value(counted, math.ceil(total * 9 / 10)))


def _value(counted: Counter[int], rank: int) -> int:
    for number in sorted(counted):
        rank -= counted[number]
        if rank <= 0:
            return _middle_s(number)
    raise AssertionError("a rank beyond the count")
