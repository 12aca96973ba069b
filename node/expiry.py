"""When people hear of something that ends: 60, 30 and 7 days before, and at its end. Spec: spec/operation.md, 4."""

from __future__ import annotations

from typing import Final

__all__ = ["DAY_MS", "WARNED_DAYS", "days_left", "warned_within"]

DAY_MS: Final = 86_400_000
WARNED_DAYS: Final = (60, 30, 7)


def days_left(until_ms: int, now_ms: int) -> int:
    """Whole days until it ends, negative once it has."""
    return (until_ms - now_ms) // DAY_MS


def warned_within(until_ms: int, now_ms: int) -> int | None:
    """The smallest of WARNED_DAYS within which it ends, 0 once it has ended; None if it lasts longer."""
    left = days_left(until_ms, now_ms)
    return 0 if left < 0 else next((days for days in sorted(WARNED_DAYS) if left < days), None)
