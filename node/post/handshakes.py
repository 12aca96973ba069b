"""Handshakes under way with whoever connected: bounded, and the newest always has its chance.

Spec: spec/wire.md, 2. Strangers may open connections and say nothing. Who comes when all places are taken gets the
place of who has had one longest: an honest handshake takes milliseconds, and behind a proxy of TCP everybody has one
address.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio

__all__ = ["Handshakes"]

_MAX_ALL: Final = 512
_MAX_OF_ONE: Final = 32


class Handshakes:
    """of_one: under way with one address at most. in_all: with all of them."""

    def __init__(self, *, of_one: int = _MAX_OF_ONE, in_all: int = _MAX_ALL) -> None:
        self._of_one, self._in_all = of_one, in_all
        self._under_way: dict[str, dict[trio.CancelScope, None]] = {}

    @contextmanager
    def place(self, remote: str) -> Iterator[None]:
        """Take a place, from another one if need be, for as long as the block lasts, which may be cut short."""
        if len(self._under_way.get(remote, ())) >= self._of_one:
            self._end_oldest(remote)
        elif sum(map(len, self._under_way.values())) >= self._in_all:
            self._end_oldest(max(self._under_way, key=lambda address: len(self._under_way[address])))
        with trio.CancelScope() as scope:
            self._under_way.setdefault(remote, {})[scope] = None
            try:
                yield
            finally:
                self._leave(remote, scope)

    def _end_oldest(self, remote: str) -> None:
        oldest = next(iter(self._under_way[remote]))
        oldest.cancel()
        self._leave(remote, oldest)

    def _leave(self, remote: str, scope: trio.CancelScope) -> None:
        scopes = self._under_way.get(remote, {})
        scopes.pop(scope, None)
        if not scopes:
            self._under_way.pop(remote, None)
