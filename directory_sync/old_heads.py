"""Heads that were found to be old, so that each is compared once, however often and by whomever it is shown.

Spec: spec/directory.md, 12. To compare one, all operations up to it are hashed: a frame with 16 old heads of a large
feed would else cost its receiver seconds, each time.
"""

from __future__ import annotations

from typing import Final

from protocol.checkpoint import Checkpoint

__all__ = ["OldHeads"]

# Some 600 bytes each. A hospital's feed has some hundred heads a month.
_MAX_HEADS: Final = 10_000


class OldHeads:
    """Remembers the newest of them, each with the head that was held when it was compared: that may be replaced."""

    def __init__(self, limit: int = _MAX_HEADS) -> None:
        self._limit = limit
        self._known: dict[tuple[Checkpoint, Checkpoint], None] = {}

    def has(self, head: Checkpoint, held: Checkpoint) -> bool:
        """Whether this head was found to be old when that one was held."""
        return (head, held) in self._known

    def add(self, head: Checkpoint, held: Checkpoint) -> None:
        """It was."""
        self._known[head, held] = None
        if len(self._known) > self._limit:
            del self._known[next(iter(self._known))]
