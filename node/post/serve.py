"""Answers to what a peer asks for: payload ranges, statements, feed operations, proofs of the log.

Spec: spec/wire.md, 6 and 7.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import sqlalchemy as sa

from directory_sync.answers import feed_part, statements_part
from node.audit.tiles import StoredTileReader
from node.post.peer_link import PeerLink
from node.relay.book import RelayBook
from node.relay.custody import Custody
from node.trust.followed import Following
from node.vault import schema
from node.vault.database import Database
from node.vault.directory import Directory
from node.vault.feed_store import erased_subjects
from node.vault.outbox_rows import OutboxRows
from node.vault.payload_rows import PayloadRows, StoredPayload
from protocol.ids import NodeId, PayloadId
from protocol.merkle import consistency_proof
from protocol.messages import (
    FeedGet,
    FeedOps,
    Gone,
    HashesGet,
    LogProof,
    LogProofGet,
    RangeGet,
    StatementsGet,
    hashes_pieces,
    range_pieces,
)
from protocol.statement import StatementChain

__all__ = ["Server", "feed_operations", "log_proof"]

_FEED_BATCH: Final = 512
# Read in one thread hop.
_CHUNKS_AT_ONCE: Final = 4


class Server:
    """Serves one node's peers. Payloads are served only to nodes that have an envelope for them."""

    def __init__(
        self,
        *,
        database: Database,
        directory: Directory,
        following: Following,
        outbox: OutboxRows,
        payloads: PayloadRows,
        custody: Custody,
        book: RelayBook,
        refresh_own_keys: Callable[[], Awaitable[object]],
    ) -> None:
        self._refresh_own_keys = refresh_own_keys
        self._database = database
        self._directory = directory
        self._following = following
        self._outbox = outbox
        self._payloads = payloads
        self._custody = custody
        self._book = book

    # -- payloads

    def _payload(self, connection: sa.Connection, peer: NodeId, payload_id: PayloadId) -> StoredPayload | None:
        name = self._payloads.name(payload_id)
        # To its destination, to a relay of its destination, or by its relay.
        nodes = (peer, *self._book.clients_of(peer))
        is_offered = any(self._outbox.offers_payload(connection, node, name) for node in nodes)
        if not (is_offered or self._custody.offers_payload(connection, peer, name)):
            return None
        return self._payloads.find(connection, name)

    async def hashes(self, link: PeerLink, stream: int, request: HashesGet) -> None:
        """The chunk hashes of a payload, in pieces."""
        payload = await self._database.read(self._payload, link.peer, request.payload_id)
        if payload is None or payload.hashes is None:
            link.reply(stream, Gone("unknown_payload"))
            return
        for piece in hashes_pieces(payload.hashes):
            await link.reply_data(stream, piece)

    async def ranges(self, link: PeerLink, stream: int, request: RangeGet) -> None:
        """Ciphertext chunks, read one at a time, sent as the link takes them."""
        payload = await self._database.read(self._payload, link.peer, request.payload_id)
        if payload is None or request.first + request.count > payload.descriptor.chunk_count:
            link.reply(stream, Gone("unknown_payload"))
            return
        read_chunk = self._payloads.chunk_reader(payload)
        end = request.first + request.count

        def read(first: int) -> list[bytes]:
            return [read_chunk(index) for index in range(first, min(first + _CHUNKS_AT_ONCE, end))]

        for first in range(request.first, end, _CHUNKS_AT_ONCE):
            # One that lies in its row is here already.
            data = payload.data
            chunks = [data] if data is not None else await self._database.world.run_blocking(read, first)
            for index, chunk in enumerate(chunks, first):
                for piece in range_pieces(chunk, last=index == end - 1):
                    await link.reply_data(stream, piece)

    # -- statements and feeds

    async def statements(self, link: PeerLink, stream: int, request: StatementsGet) -> None:
        """The statements of this node or of one whose feed it follows."""
        if request.node == self._directory.node_id:
            # A command beside this process may have renewed the keys, and published it, a moment ago.
            await self._refresh_own_keys()
        chain = await self._database.read(self._chain_of, request.node)
        if chain is None:
            link.reply(stream, Gone("unknown_node"))
            return
        link.reply(stream, statements_part(chain.raw_list(), first=request.first))

    def _chain_of(self, connection: sa.Connection, node: NodeId) -> StatementChain | None:
        return self._directory.trusted_chain(connection, node) or self._following.chain(connection, node)

    async def feed(self, link: PeerLink, stream: int, request: FeedGet) -> None:
        """Operations of a feed held here, with its head."""
        link.reply(stream, await self._database.read(feed_operations, request))

    # -- the log

    async def log_proof(self, link: PeerLink, stream: int, request: LogProofGet) -> None:
        """Prove that our log begins with the head that the peer holds."""
        link.reply(stream, await self._database.read(log_proof, request))


def feed_operations(connection: sa.Connection, request: FeedGet) -> FeedOps | Gone:
    """Operations of a feed held here from an index on, with its head, as many as a frame takes."""
    feeds, journal = schema.feeds, schema.feed_operations
    row = connection.execute(
        sa.select(feeds.c.size, feeds.c.note, feeds.c.state).where(
            feeds.c.node_id == request.node, feeds.c.epoch == request.epoch
        )
    ).one_or_none()
    if row is None:
        return Gone("unknown_feed")
    rows = connection.execute(
        sa.select(journal.c.operation)
        .where(
            journal.c.node_id == request.node,
            journal.c.epoch == request.epoch,
            journal.c.position >= request.first,
            journal.c.position < row.size,
        )
        .order_by(journal.c.position)
        .limit(_FEED_BATCH)
    )
    return feed_part(
        rows.scalars(), first=request.first, size=row.size, head=row.note, erased=erased_subjects(row.state)
    )


def log_proof(connection: sa.Connection, request: LogProofGet) -> LogProof | Gone:
    """The newest head of an epoch of the own log, and that it goes on from a size."""
    table = schema.log_epochs
    row = connection.execute(sa.select(table.c.size, table.c.note).where(table.c.epoch == request.epoch)).one_or_none()
    if row is None or request.old_size > row.size:
        return Gone("unknown_head")
    hashes = consistency_proof(request.old_size, row.size, StoredTileReader(connection, request.epoch))
    return LogProof(row.note, tuple(hashes))
