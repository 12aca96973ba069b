"""News of feeds over one link: what arrived here is told, what arrived at the peer is fetched.

Spec: spec/directory.md, 8.
Each side fetches at its own pace, so that neither a newcomer nor a week's absence floods anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio

from directory_sync.replica import Limits, Link, Store
from directory_sync.taking import FeedTaker
from protocol.checkpoint import peek_checkpoint
from protocol.errors import Reason, RemoteProtocolError
from protocol.ids import NodeId
from protocol.messages import Cursor, Heads, News, NewsGet
from protocol.messages_link import MAX_HEADS

__all__ = ["FeedNews"]

# A frame holds them all, whatever their cosignatures.
_HEADS_BYTES: Final = 48 * 1024
_JITTER: Final = 0.2
# Of 16 heads each: as many feeds as are taken at once.
_ANSWERS_AT_ONCE: Final = 8


class FeedNews:
    """Both directions of one link."""

    def __init__(
        self,
        link: Link,
        store: Store,
        feeds: FeedTaker,
        *,
        own: NodeId,
        told: bytes,
        limits: Limits,
        jitter: Callable[[], float],
    ) -> None:
        """told: the head of the own feed in the hello that was sent, or empty. jitter: 0 to 1, drawn at each wait."""
        self._link = link
        self._told = told
        self._store = store
        self._feeds = feeds
        self._own = own
        self._pull_every_s = limits.pull_every_s
        self._jitter = jitter
        self._shown: dict[str, bytes] = {}
        self._hinted = anyio.Event()

    # -- telling

    def heard(self, note: bytes) -> None:
        """The peer showed this head: it need not be told of it."""
        self._shown[peek_checkpoint(note).origin] = note

    async def answer(self, request: NewsGet) -> News:
        """What arrived here after the peer's cursor."""
        cursor = request.cursor
        told = cursor.sequence if cursor is not None else 0
        journal, arrivals = await self._store.arrivals(told, MAX_HEADS + 1)
        if cursor is not None and cursor.journal != journal and told:
            told = 0
            journal, arrivals = await self._store.arrivals(0, MAX_HEADS + 1)
        heads: list[bytes] = []
        taken = size = 0
        for arrival in arrivals[:MAX_HEADS]:
            if size + len(arrival.note) > _HEADS_BYTES:
                break
            taken, told = taken + 1, arrival.number
            # Its own it says always: after a restore the peer waits for its word.
            origin = peek_checkpoint(arrival.note).origin
            if arrival.node == self._own or self._shown.get(origin) != arrival.note:
                heads.append(arrival.note)
                size += len(arrival.note)
        return News(tuple(heads), Cursor(journal, told), more=taken < len(arrivals))

    async def hint(self) -> None:
        """Say that there is something new, whenever there is, while the link lasts; the own head at once, since a peer
        that knew more of a restored node waits for it.
        """
        hinted = -1
        while True:
            ticket = self._store.changed()
            newest = await self._store.newest()
            is_own_new = newest.own != self._told
            if is_own_new or newest.number > hinted >= 0:
                cursor = Cursor(newest.journal, newest.number)
                self._link.push_quietly(Heads((newest.own,) if is_own_new else (), cursor))
            hinted, self._told = newest.number, newest.own
            await ticket.wait()

    # -- fetching

    def hinted(self) -> None:
        """The peer says that there is something new."""
        self._hinted.set()

    async def fetch(self) -> None:
        """Take what is new at the peer: now, whenever it says that there is something, and from time to time anyway,
        while the link lasts.
        """
        while True:
            self._hinted = anyio.Event()
            await self.fetch_now()
            wait_s = self._pull_every_s * (1 - _JITTER + 2 * _JITTER * self._jitter())
            with anyio.move_on_after(wait_s):
                await self._hinted.wait()

    async def fetch_now(self) -> None:
        """Take all that is new. While the feeds of some answers are being taken the next answers are asked for."""
        cursor = await self._store.cursor(self._link.peer)
        room = anyio.Semaphore(_ANSWERS_AT_ONCE)
        before, more = anyio.Event(), True
        before.set()
        async with anyio.create_task_group() as group:
            while more:
                await room.acquire()
                reply = await self._link.ask(NewsGet(cursor))
                if not isinstance(reply, News):
                    raise RemoteProtocolError(Reason.MISMATCH, "no news, but another answer")
                for note in reply.heads:
                    self.heard(note)
                done = anyio.Event()
                group.start_soon(self._take, reply, reply.cursor != cursor, room, before, done)
                cursor, more, before = reply.cursor, reply.more, done

    async def _take(
        self, news: News, moves: bool, room: anyio.Semaphore, before: anyio.Event, done: anyio.Event
    ) -> None:
        """Take one answer's feeds. The cursor is kept only when those of the answers before it were taken too."""
        await self._feeds.take(news.heads)
        await before.wait()
        if moves:
            await self._store.set_cursor(self._link.peer, news.cursor)
        done.set()
        room.release()
