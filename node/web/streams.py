"""How many live pages there are at once, and what ends them. Spec: spec/alerts.md, 5."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio

__all__ = ["MAX_OF_SESSION", "Streams", "wait_any"]

MAX_OF_SESSION: Final = 10
"""Tabs of one person; the eleventh asks once a minute instead."""
MAX_STREAMS: Final = 2000
"""Of one process: about 30 kB each."""


class Streams:
    """Counts open streams. stop: set when the node stops; None where nothing does (tests without a server)."""

    def __init__(self, stop: trio.Event | None) -> None:
        self.stop = trio.Event() if stop is None else stop
        self._of_session: Counter[bytes] = Counter()

    @property
    def count(self) -> int:
        """How many there are."""
        return self._of_session.total()

    def has_room(self, session: bytes) -> bool:
        """Whether this session (its row) may have one more."""
        return self._of_session[session] < MAX_OF_SESSION and self.count < MAX_STREAMS

    @contextmanager
    def one_of(self, session: bytes) -> Iterator[None]:
        """Count a stream of this session while it lasts."""
        self._of_session[session] += 1
        try:
            yield
        finally:
            self._of_session[session] -= 1
            if not self._of_session[session]:
                del self._of_session[session]


async def wait_any(*events: trio.Event) -> None:
    """Return when one of them is set."""
    async with trio.open_nursery() as nursery:

        async def wait(event: trio.Event) -> None:
            await event.wait()
            nursery.cancel_scope.cancel()

        for event in events:
            nursery.start_soon(wait, event)
