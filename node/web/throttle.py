"""How often one address of a client may fail. Spec: spec/pickup.md, 4.

In memory of each process: it bounds the work that a stranger can ask for. How many codes a letter takes is bounded in
the database.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from node.vault.login_tries import network_of

__all__ = ["Throttle"]

_BURST: Final = 10
_EVERY_S: Final = 6
_MAX_ADDRESSES: Final = 4096


class Throttle:
    """Counts failures by address: ten at once, then one in six seconds. clock: seconds that only rise."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # For each address the time at which all its failures are forgotten.
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def wait_s(self, address: str) -> int:
        """How long this address has to wait, in whole seconds; 0 if it may try."""
        over = self._full_at.get(network_of(address), 0.0) - self._clock() - (_BURST - 1) * _EVERY_S
        return max(0, int(over + 0.999))

    def failed(self, address: str) -> None:
        """One more failure. Of very many addresses those longest silent are forgotten."""
        key = network_of(address)
        self._full_at[key] = max(self._full_at.pop(key, 0.0), self._clock()) + _EVERY_S
        while len(self._full_at) > _MAX_ADDRESSES:
            self._full_at.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """What was counted before was no failure."""
        key = network_of(address)
        if key in self._full_at:
            self._full_at[key] -= _EVERY_S
