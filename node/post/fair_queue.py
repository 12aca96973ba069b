"""A line in which everybody is served in turn: who brings a thousand items waits for itself, and nobody else does.

Spec: spec/wire.md, 9.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

__all__ = ["FairQueue"]

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Items of several owners. Those of one owner keep their order; of the owners each gives one in turn."""

    def __init__(self) -> None:
        self._lines: dict[Hashable, deque[T]] = {}

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._lines)

    def put(self, owner: Hashable, item: T) -> None:
        """One more item, behind its owner's others."""
        self._lines.setdefault(owner, deque()).append(item)

    def put_back(self, items: Sequence[tuple[Hashable, T]]) -> None:
        """What was taken and could not be served, as `take` gave it: before its owners' others."""
        for owner, item in reversed(items):
            self._lines.setdefault(owner, deque()).appendleft(item)

    def take(self, limit: int) -> list[tuple[Hashable, T]]:
        """The next items with their owners, so many at most."""
        taken: list[tuple[Hashable, T]] = []
        while self._lines and len(taken) < limit:
            owner = next(iter(self._lines))
            line = self._lines.pop(owner)
            taken.append((owner, line.popleft()))
            if line:  # its next turn comes after everybody else's
                self._lines[owner] = line
        return taken
