"""When wrong passwords lock an account. Spec: spec/delivery.md, 8."""

from __future__ import annotations

from typing import Final

__all__ = ["FOREVER_MS", "HARD_LOCK_FAILURES", "locked_until_ms"]

# Typing errors are free; from then on each failure doubles the wait, up to an hour; who fails twenty times is guessing.
_FREE_FAILURES: Final = 5
HARD_LOCK_FAILURES: Final = 20
_STEP_MS: Final = 60_000
_CAP_MS: Final = 3_600_000
FOREVER_MS: Final = 2**62


def locked_until_ms(failures: int, now_ms: int) -> int:
    """Until when so many failures in a row lock an account; 0: they do not."""
    if failures >= HARD_LOCK_FAILURES:
        return FOREVER_MS
    if failures >= _FREE_FAILURES:
        return now_ms + min(_STEP_MS << (failures - _FREE_FAILURES), _CAP_MS)
    return 0
