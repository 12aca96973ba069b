"""Which of several links to one peer forwards: the one opened last.

Two nodes that dial each other at one moment have two links, and after a cut the old one may seem alive for a while.
Offering every letter over both is harmless, since the destination knows what it has, but doubles the work.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from protocol.ids import NodeId

__all__ = ["Turns"]


class _Turn:
    """One link's place in line: its scope is cancelled when a newer one comes, `back` is set when that one left."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.back = trio.Event()

    def resume(self) -> None:
        """The newer link left. A scope for the next run, so that one that comes before it begins still cancels it."""
        self.scope = trio.CancelScope()
        self.back.set()


class Turns:
    """Lines of links, one for each peer; the newest in a line has its turn."""

    def __init__(self) -> None:
        self._lines: dict[NodeId, list[_Turn]] = {}

    async def take(self, peer: NodeId, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` whenever this is the peer's newest link, cancelling it when it is not, until cancelled itself."""
        line = self._lines.setdefault(peer, [])
        if line:
            line[-1].scope.cancel()
        turn = _Turn()
        line.append(turn)
        try:
            while True:
                with turn.scope as scope:
                    await work()
                if not scope.cancelled_caught:
                    return
                await turn.back.wait()
                turn.back = trio.Event()
        finally:
            newest = line[-1] is turn
            line.remove(turn)
            if newest and line:
                line[-1].resume()
