"""News of feeds over one link: what arrived here is told, what arrived at the peer is fetched.

Spec: spec/directory.md, 8.
Each side fetches at its own pace, so that neither a newcomer nor a week's absence floods anybody.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
import trio

from node.post.feed_taker import FeedTaker
from node.post.peer_link import PeerLink
from node.vault import schema
from node.vault.database import Database
from node.vault.peers import PeerCursor, PeerRows
from node.vault.signals import FEED
from protocol.checkpoint import peek_checkpoint
from protocol.crypto import sha256
from protocol.errors import Reason, RemoteProtocolError
from protocol.ids import NodeId
from protocol.messages import Cursor, Heads, News, NewsGet
from protocol.messages_link import MAX_HEADS

__all__ = ["FeedNews"]

_JOURNAL_BYTES: Final = 16
# A frame holds them all, whatever their cosignatures.
_HEADS_BYTES: Final = 48 * 1024


def _journal_id(connection: sa.Connection, node: NodeId) -> bytes:
    """The id of this node's journal of arrivals: another one in each epoch of its log, so after each loss."""
    epoch = connection.execute(sa.select(sa.func.max(schema.log_epochs.c.epoch))).scalar_one()
    return sha256(b"journal", node, int(epoch).to_bytes(4, "big"))[:_JOURNAL_BYTES]


class FeedNews:
    """Both directions of one link."""

    def __init__(
        self, link: PeerLink, *, database: Database, peers: PeerRows, feeds: FeedTaker, node: NodeId, told: bytes
    ) -> None:
        """told: the head of the own feed in the hello that this node sent."""
        self._link = link
        self._told = told
        self._database = database
        self._peers = peers
        self._feeds = feeds
        self._node = node
        self._shown: dict[str, bytes] = {}
        self._hinted = trio.Event()

    # -- telling

    def heard(self, note: bytes) -> None:
        """The peer showed this head: it need not be told of it."""
        self._shown[peek_checkpoint(note).origin] = note

    async def answer(self, stream: int, request: NewsGet) -> None:
        """What arrived here after the peer's cursor."""
        self._link.reply(stream, await self._database.read(self._after, request.cursor))

    def _after(self, connection: sa.Connection, cursor: Cursor | None) -> News:
        journal = _journal_id(connection, self._node)
        told = cursor.sequence if cursor is not None and cursor.journal == journal else 0
        table = schema.feeds
        rows = connection.execute(
            sa.select(table.c.node_id, table.c.note, table.c.arrival)
            .where(table.c.arrival > told)
            .order_by(table.c.arrival)
            .limit(MAX_HEADS + 1)
        ).all()
        heads: list[bytes] = []
        taken = 0
        for row in rows[:MAX_HEADS]:
            if sum(map(len, heads)) + len(row.note) > _HEADS_BYTES:
                break
            taken, told = taken + 1, row.arrival
            # Its own it says always: after a restore the peer waits for its word.
            if row.node_id == self._node or self._shown.get(peek_checkpoint(row.note).origin) != row.note:
                heads.append(row.note)
        return News(tuple(heads), Cursor(journal, told), more=taken < len(rows))

    async def hint(self) -> None:
        """Say that there is something new, whenever there is, while the link lasts; the own head at once, since a peer
        that knew more of a restored node waits for it.
        """
        hinted = -1
        while True:
            ticket = self._database.signals.ticket(FEED)
            journal, arrival, own = await self._database.read(self._newest)
            if own != self._told or arrival > hinted >= 0:
                self._link.push_quietly(Heads((own,) if own != self._told else (), Cursor(journal, arrival)))
            hinted, self._told = arrival, own
            await ticket.wait()

    def _newest(self, connection: sa.Connection) -> tuple[bytes, int, bytes]:
        """The journal, how far it reaches, and the head of the own feed."""
        table = schema.feeds
        arrival = connection.execute(sa.select(sa.func.max(table.c.arrival))).scalar_one() or 0
        own = connection.execute(sa.select(table.c.note).where(table.c.node_id == self._node)).scalar_one()
        return _journal_id(connection, self._node), arrival, own

    # -- fetching

    def hinted(self) -> None:
        """The peer says that there is something new."""
        self._hinted.set()

    async def fetch(self) -> None:
        """Take what is new at the peer, now and whenever it says that there is something, while the link lasts."""
        while True:
            self._hinted = trio.Event()
            more = True
            while more:
                more = await self._fetch_some()
            await self._hinted.wait()

    async def _fetch_some(self) -> bool:
        cursor = await self._database.read(self._peers.cursor, self._link.peer)
        reply = await self._link.ask(NewsGet(cursor))
        if not isinstance(reply, News):
            raise RemoteProtocolError(Reason.MISMATCH, "no news, but another answer")
        for note in reply.heads:
            self.heard(note)
        await self._feeds.take(reply.heads)
        if reply.cursor != cursor:
            await self._database.write(self._peers.set_cursor, PeerCursor(self._link.peer, reply.cursor))
        return reply.more
