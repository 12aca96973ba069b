"""A feed fetched over one link: operations from the peer, written in one transaction. Spec: spec/directory.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from directory_sync.follow import FeedBatch, FollowResult, follow
from node.post.peer_link import PeerLink
from node.vault.database import Database, Transaction
from node.vault.feed_store import held_size, load_feed, store_feed
from node.vault.search.index import IndexBatch
from node.vault.signals import FEED
from protocol.checkpoint import CheckpointVerifier
from protocol.errors import Reason, RemoteProtocolError
from protocol.feed import FeedState, Operation
from protocol.ids import NodeId
from protocol.messages import FeedGet, FeedOps

__all__ = ["FeedFollower"]

# One institution's live entries: a university hospital has some 20,000 people.
MAX_FEED_ENTRIES: Final = 100_000
MAX_FEED_BYTES: Final = 400 * 1024 * 1024


class _Commit:
    def __init__(
        self, node: NodeId, epoch: int, operations: Sequence[Operation], state: FeedState, head: bytes
    ) -> None:
        self.node, self.epoch, self.operations, self.state, self.head = node, epoch, operations, state, head


class FeedFollower:
    """The FeedStore and FeedSource of feeds that one peer holds, over one link."""

    def __init__(self, database: Database, link: PeerLink) -> None:
        self._database = database
        self._link = link

    async def follow(self, node: NodeId, epoch: int, head: bytes, verifier: CheckpointVerifier) -> FollowResult:
        """Bring a feed up to a head that the peer showed. Errors as `directory_sync.follow.follow`."""
        return await follow(
            node,
            epoch,
            head,
            verifier=verifier,
            source=self,
            store=self,
            max_entries=MAX_FEED_ENTRIES,
            max_bytes=MAX_FEED_BYTES,
        )

    async def load(self, node: NodeId, epoch: int) -> FeedState:
        """See FeedStore."""
        state, _ = await self._database.read(load_feed, node, epoch)
        return state

    async def commit(
        self, node: NodeId, epoch: int, operations: Sequence[Operation], state: FeedState, head: bytes
    ) -> None:
        """See FeedStore."""
        await self._database.write(_commit_feed, _Commit(node, epoch, operations, state, head))

    async def operations(self, node: NodeId, epoch: int, first: int) -> FeedBatch:
        """See FeedSource."""
        reply = await self._link.ask(FeedGet(node, epoch, first))
        if not isinstance(reply, FeedOps):
            raise RemoteProtocolError(Reason.MISMATCH, "the peer does not serve a feed that it showed")
        return FeedBatch(reply.operations, reply.head, reply.more)


def _commit_feed(tx: Transaction, items: Sequence[_Commit]) -> Sequence[Exception | None]:
    results: list[Exception | None] = []
    index = IndexBatch(tx.connection)
    for item in items:
        held = held_size(tx.connection, item.node, item.epoch, lock=True)
        if held + len(item.operations) == item.state.size:
            operations = list(item.operations)
            store_feed(tx.connection, item.node, item.epoch, operations, item.state, item.head, index)
            tx.wake(FEED)
        # Otherwise another link brought the same operations meanwhile; the next head is compared with those.
        results.append(None)
    index.write()
    return results
