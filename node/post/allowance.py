"""How often something may be done: some at once, then so many in a second."""

from __future__ import annotations

import trio

__all__ = ["Allowance"]


class Allowance:
    """at_once: what may be taken after a rest. per_s: what comes back of it in a second of the event loop's clock."""

    def __init__(self, at_once: int, *, per_s: float) -> None:
        self._most = self._left = float(at_once)
        self._per_s = per_s
        self._looked_at = trio.current_time()

    def take(self, amount: int = 1) -> bool:
        """Take so much; False, with nothing taken, if there is less."""
        now = trio.current_time()
        self._left = min(self._left + (now - self._looked_at) * self._per_s, self._most)
        self._looked_at = now
        if amount > self._left:
            return False
        self._left -= amount
        return True
