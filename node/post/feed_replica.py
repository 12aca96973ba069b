"""The Store that directory_sync replicates into: this node's database. Spec: spec/directory.md, 8."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import sqlalchemy as sa
import structlog
import trio

from directory_sync.replica import Arrival, Followed, Limits, Newest, Ticket
from node.trust.alarm_rows import NewAlarm
from node.trust.followed import Following, HeadRefresh
from node.vault import schema
from node.vault.database import Database, Transaction
from node.vault.feed_store import EPOCH, drop_feed, feed_head, held_size, leaf_hashes_of, load_feed, store_feed
from node.vault.key_marks import MARKED_AT_ONCE, mark_waiting, unmarked
from node.vault.peers import PeerCursor, PeerRows
from node.vault.search.index import IndexBatch
from node.vault.search.listing import LISTED_AT_ONCE, Waiting, read_waiting, unlisted, write_lists
from node.vault.search.lists import Key
from node.vault.signals import FEED, PEERS, TRUST
from protocol.checkpoint import Checkpoint
from protocol.crypto import sha256
from protocol.feed import FeedState, Operation
from protocol.fork_proof import ForkProof
from protocol.ids import NodeId
from protocol.messages import Cursor
from protocol.statement import StatementChain

__all__ = ["FEED_LIMITS", "FeedReplica", "log_feed_event"]

FEED_LIMITS: Final = Limits()
_JOURNAL_BYTES: Final = 16
# Operations in one transaction from which on new mailboxes are left to `keep_indexes`: a newcomer's, or a large feed.
_MANY: Final = 500
# How long they are not found, but by their address: the longer, the fewer lists are written again.
_LIST_EVERY_S: Final = 5
_PASSED_OVER: Final = 6

_logger = structlog.get_logger(__name__)


def log_feed_event(event: str, node: NodeId, detail: str) -> None:
    """What replication tells goes to the program's log."""
    _logger.info(event, node=node.text[:12], detail=detail)


class _Commit:
    def __init__(
        self, node: NodeId, epoch: int, operations: Sequence[Operation], state: FeedState, head: bytes
    ) -> None:
        self.node, self.epoch, self.operations, self.state, self.head = node, epoch, operations, state, head


def _write_lists(tx: Transaction, items: Sequence[tuple[Waiting, Mapping[Key, bytes]]]) -> Sequence[bool]:
    return [write_lists(tx.connection, waiting, lists) for waiting, lists in items]


def _write_marks(tx: Transaction, items: Sequence[None]) -> Sequence[None]:
    mark_waiting(tx.connection)
    return items


class FeedReplica:
    """One for a node; all its links share it."""

    def __init__(
        self,
        database: Database,
        following: Following,
        peers: PeerRows,
        node: NodeId,
        *,
        lists: Callable[[Waiting], Awaitable[Mapping[Key, bytes]]] | None = None,
    ) -> None:
        """lists: makes those of documents that wait, elsewhere than in a thread."""
        self._database = database
        self._following = following
        self._peers = peers
        self._node = node
        self._lists = lists or self._lists_here
        self._keeps_indexes = False
        # How many documents were left waiting at the last look, and how often that was so.
        self._left = self._passed_over = 0

    async def keep_indexes(self) -> None:
        """Bring into the indexes what large transactions left out: lists of words, and marks of keys, until cancelled.
        Without it they leave nothing out.
        """
        self._keeps_indexes = True
        try:
            while True:
                ticket = self.changed()
                while await self._list_waiting():
                    await self._mark_waiting(MARKED_AT_ONCE)
                    await trio.sleep(_LIST_EVERY_S)
                await self._mark_waiting(1)
                await ticket.wait()
                await trio.sleep(_LIST_EVERY_S)
        finally:
            self._keeps_indexes = False

    async def _mark_waiting(self, least: int) -> None:
        """Mark the keys of feeds that wait for it, if so many operations do."""
        while sum(size for _, size in await self._database.read(unmarked)) >= least:
            await self._database.write(_write_marks, None)

    async def _list_waiting(self) -> bool:
        """List what waits; False if nothing is left. While documents pour in, a batch that is not full is left for the
        next time: it costs nearly as much as a full one.
        """
        listed, left = 0, self._left
        while (waiting := await self._database.read(read_waiting)) is not None:
            count = len(waiting.documents)
            if count < LISTED_AT_ONCE and (listed or left) and count != left and self._passed_over < _PASSED_OVER:
                self._left, self._passed_over = count, self._passed_over + 1
                return True
            await self._database.write(_write_lists, (waiting, await self._lists(waiting)))
            listed, left = listed + count, 0
        self._left = self._passed_over = 0
        return False

    async def _lists_here(self, waiting: Waiting) -> Mapping[Key, bytes]:
        return await self._database.world.run_blocking(waiting.lists)

    async def load(self, node: NodeId, epoch: int) -> FeedState:
        """See FeedStore."""
        state, _ = await self._database.read(load_feed, node, epoch)
        return state

    async def commit(
        self, node: NodeId, epoch: int, operations: Sequence[Operation], state: FeedState, head: bytes
    ) -> None:
        """See FeedStore."""
        await self._database.write(self._store, _Commit(node, epoch, operations, state, head))

    def _store(self, tx: Transaction, items: Sequence[_Commit]) -> Sequence[Exception | None]:
        results: list[Exception | None] = []
        many = sum(len(item.operations) for item in items) > _MANY or unlisted(tx.connection) > 0
        index = IndexBatch(tx.connection, defers=self._keeps_indexes and many)
        trusted = self._following.trusted(tx.connection)
        for item in items:
            held = held_size(tx.connection, item.node, item.epoch, lock=True)
            if held + len(item.operations) == item.state.size:
                operations = list(item.operations)
                store_feed(tx.connection, item.node, item.epoch, operations, item.state, item.head, index)
                tx.wake(FEED)
                if item.node in trusted:
                    tx.wake(TRUST)
            # Otherwise another link brought the same operations meanwhile; the next head is compared with those.
            results.append(None)
        index.write()
        return results

    async def find(self, node: NodeId) -> Followed | None:
        """See Store."""
        return await self._database.read(self._following.find, node)

    async def missing(self) -> list[Followed]:
        """See Store."""
        return await self._database.read(self._following.missing)

    async def find_or_own(self, node: NodeId) -> Followed | None:
        """See Store."""
        return await self._database.read(self._following.find_or_own, node)

    async def held_note(self, node: NodeId) -> bytes:
        """See Store."""
        return await self._database.read(feed_head, node)

    async def leaf_hashes(self, node: NodeId) -> Sequence[bytes]:
        """See Store."""
        return await self._database.read(leaf_hashes_of, node, EPOCH)

    async def keep_chain(self, followed: Followed, chain: StatementChain) -> None:
        """See Store."""
        await self._following.keep_chain(self._database, followed, chain)

    async def keep_rival(self, node: NodeId, statement: bytes) -> None:
        """See Store."""
        await self._database.write(self._following.keep_rivals, (node, statement))

    async def forget(self, node: NodeId) -> None:
        """See Store."""
        await self._database.write(self._forget, node)

    def _forget(self, tx: Transaction, items: Sequence[NodeId]) -> Sequence[None]:
        for node in items:
            drop_feed(tx.connection, node, EPOCH)
            tx.wake(FEED)
        return [None] * len(items)

    async def keep_alarm(self, chain: StatementChain, proof: ForkProof, code: str) -> bool:
        """See Store; code may also be that of a head which contradicts another one without proving it to others."""
        return await self._database.write(self._following.alarms.raise_alarms, NewAlarm(chain, proof, code))

    async def open_forks(self) -> Sequence[ForkProof]:
        """See Store."""
        return await self._database.read(self._following.alarms.proofs)

    def alarmed(self) -> Ticket:
        """See Store."""
        return self._database.signals.ticket(PEERS)

    async def is_settled(self, head: Checkpoint) -> bool:
        """See Store."""
        return await self._database.read(self._following.alarms.is_settled, head)

    async def chosen(self, node: NodeId) -> Checkpoint | None:
        """See Store."""
        return await self._database.read(self._following.alarms.chosen, node)

    async def refresh(self, followed: Followed, note: bytes) -> None:
        """See Store."""
        await self._database.write(self._following.refresh, HeadRefresh(followed.chain, note))

    async def arrivals(self, after: int, limit: int) -> tuple[bytes, Sequence[Arrival]]:
        """See Store."""
        return await self._database.read(self._arrivals, after, limit)

    def _arrivals(self, connection: sa.Connection, after: int, limit: int) -> tuple[bytes, Sequence[Arrival]]:
        table = schema.feeds
        rows = connection.execute(
            sa.select(table.c.node_id, table.c.note, table.c.arrival)
            .where(table.c.arrival > after)
            .order_by(table.c.arrival)
            .limit(limit)
        )
        found = [Arrival(NodeId(row.node_id), row.note, row.arrival) for row in rows]
        return self._journal_id(connection), found

    def _journal_id(self, connection: sa.Connection) -> bytes:
        """The id of this node's journal of arrivals: another one in each epoch of its log, so after each loss."""
        epoch = connection.execute(sa.select(sa.func.max(schema.log_epochs.c.epoch))).scalar_one()
        return sha256(b"journal", self._node, int(epoch).to_bytes(4, "big"))[:_JOURNAL_BYTES]

    async def newest(self) -> Newest:
        """See Store."""
        return await self._database.read(self._newest)

    def _newest(self, connection: sa.Connection) -> Newest:
        table = schema.feeds
        arrival = connection.execute(sa.select(sa.func.max(table.c.arrival))).scalar_one() or 0
        own = connection.execute(sa.select(table.c.note).where(table.c.node_id == self._node)).scalar_one()
        return Newest(self._journal_id(connection), arrival, own)

    def changed(self) -> Ticket:
        """See Store."""
        return self._database.signals.ticket(FEED)

    async def cursor(self, peer: NodeId) -> Cursor | None:
        """See Store."""
        return await self._database.read(self._peers.cursor, peer)

    async def set_cursor(self, peer: NodeId, cursor: Cursor) -> None:
        """See Store."""
        await self._database.write(self._peers.set_cursor, PeerCursor(peer, cursor))
