"""How many connections the web server holds at once: never so many that the node has no file left to open.

Spec: spec/web.md, 11.
"""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
import trio

from node.vault.login_tries import network_of

__all__ = ["Places", "most_connections"]

_MOST: Final = 4000
"""About 60 kB each before anything is asked for."""
_SAY_EVERY_S: Final = 60

_logger = structlog.get_logger(__name__)


def most_connections() -> int:
    """Half of the files that this process may open: the rest is for the database, payloads and peers."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if allowed == resource.RLIM_INFINITY else max(1, min(_MOST, allowed // 2))


class Places:
    """Counts open connections, and knows them. share: of all places for one client's network; None: all of them."""

    def __init__(self, most: int, *, share: float | None = None) -> None:
        self._most = most
        self._most_of_one = most if share is None else max(1, int(most * share))
        self._open: set[trio.SocketStream] = set()
        self._of_network: Counter[str] = Counter()
        self._changed = trio.Event()
        self._said_at = -float(_SAY_EVERY_S)

    @contextmanager
    def one(self, accepted: trio.SocketStream) -> Iterator[bool]:
        """Hold a place while a connection lasts; False: there is none, and it is to be closed at once."""
        network = _network(accepted)
        if len(self._open) >= self._most or self._of_network[network] >= self._most_of_one:
            self._say_full()
            yield False
            return
        self._open.add(accepted)
        self._of_network[network] += 1
        try:
            yield True
        finally:
            self._open.discard(accepted)
            self._of_network[network] -= 1
            if not self._of_network[network]:
                del self._of_network[network]
            self._changed.set()

    async def empty(self) -> None:
        """Wait until no connection is open."""
        while self._open:
            self._changed = trio.Event()
            await self._changed.wait()

    def cut(self) -> None:
        """End those that are left, also in the middle of what they are sent."""
        for accepted in self._open:
            accepted.socket.close()

    def _say_full(self) -> None:
        now_s = trio.current_time()
        if now_s - self._said_at >= _SAY_EVERY_S:
            self._said_at = now_s
            _logger.warning("connections to the pages were turned away", open=len(self._open), most=self._most)


def _network(accepted: trio.SocketStream) -> str:
    try:
        return network_of(str(accepted.socket.getpeername()[0]))
    except OSError:  # gone already
        return ""
