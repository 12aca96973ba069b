"""What a peer is told of feeds over one link: every head that arrived here since it last listened.

Spec: spec/directory.md, 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
import trio

from node.post.peer_link import PeerLink
from node.vault import schema
from node.vault.database import Database
from node.vault.signals import FEED
from protocol.checkpoint import peek_checkpoint
from protocol.crypto import sha256
from protocol.ids import NodeId
from protocol.messages import Cursor, Heads
from protocol.messages_link import MAX_HEADS

__all__ = ["FeedNews", "journal_id"]

_JOURNAL_BYTES: Final = 16
# A frame of heads holds them all, whatever their cosignatures.
_HEADS_BYTES: Final = 48 * 1024


@dataclass(frozen=True, slots=True)
class _News:
    heads: tuple[bytes, ...]
    arrival: int


def journal_id(connection: sa.Connection, node: NodeId) -> bytes:
    """The id of this node's journal of arrivals: another one in each epoch of its log, so after each loss."""
    epoch = connection.execute(sa.select(sa.func.max(schema.log_epochs.c.epoch))).scalar_one()
    return sha256(b"journal", node, int(epoch).to_bytes(4, "big"))[:_JOURNAL_BYTES]


class FeedNews:
    """Tells one peer. `heard` remembers what the peer itself showed, which it need not be told."""

    def __init__(self, link: PeerLink, *, database: Database, node: NodeId) -> None:
        self._link = link
        self._database = database
        self._node = node
        self._shown: dict[str, bytes] = {}

    def heard(self, note: bytes) -> None:
        """The peer showed this head."""
        self._shown[peek_checkpoint(note).origin] = note

    async def push(self, cursor: Cursor | None) -> None:
        """Tell what arrived since the peer's cursor, then whatever arrives, while the link lasts."""
        journal = await self._database.read(journal_id, self._node)
        told = cursor.sequence if cursor is not None and cursor.journal == journal else 0
        while True:
            ticket = self._database.signals.ticket(FEED)
            news = await self._database.read(_news_after, told)
            if news is None:
                await ticket.wait()
                continue
            heads = tuple(note for note in news.heads if self._shown.get(peek_checkpoint(note).origin) != note)
            told = news.arrival
            # Also where nothing is left to say: the peer's cursor moves on, and it is not told all of it next time.
            self._link.push_quietly(Heads(heads, Cursor(journal, told)))
            await trio.lowlevel.checkpoint()


def _news_after(connection: sa.Connection, told: int) -> _News | None:
    table = schema.feeds
    rows = connection.execute(
        sa.select(table.c.note, table.c.arrival)
        .where(table.c.arrival > told)
        .order_by(table.c.arrival)
        .limit(MAX_HEADS)
    ).all()
    heads: list[bytes] = []
    arrival = 0
    for row in rows:
        if heads and sum(map(len, heads)) + len(row.note) > _HEADS_BYTES:
            break
        heads.append(row.note)
        arrival = row.arrival
    return _News(tuple(heads), arrival) if heads else None
