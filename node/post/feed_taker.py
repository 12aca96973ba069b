"""Heads of feeds that a peer shows, its own and those of others: followed if this node follows them, judged always.

Spec: spec/directory.md, 4 and 8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import structlog
import trio

from node.post.feed_follower import FeedFollower
from node.post.network import LinkError
from node.post.peer_link import PeerLink
from node.post.results import Verifiers
from node.trust.followed import Followed, Following, HeadRefresh
from node.vault.database import Database
from node.vault.feed_store import EPOCH
from protocol.checkpoint import parse_origin, peek_checkpoint
from protocol.errors import Reason, RemoteProtocolError
from protocol.ids import NodeId
from protocol.messages import FeedGet, FeedOps, Statements, StatementsGet
from protocol.statement import StatementChain

__all__ = ["FeedLocks", "FeedTaker"]

# Their commits gather into few transactions; operations of that many feeds are in memory.
_AT_ONCE: Final = 16

_logger = structlog.get_logger(__name__)


class FeedLocks:
    """One lock for each feed, shared by all links of a node: two peers that show one head do not both send it."""

    def __init__(self) -> None:
        self._locks: dict[NodeId, trio.Lock] = {}

    def of(self, node: NodeId) -> trio.Lock:
        """The lock of this node's feed."""
        return self._locks.setdefault(node, trio.Lock())


class FeedTaker:
    """Takes heads over one link."""

    def __init__(
        self,
        link: PeerLink,
        *,
        database: Database,
        following: Following,
        verifiers: Verifiers,
        locks: FeedLocks,
        own: NodeId,
    ) -> None:
        self._link = link
        self._database = database
        self._following = following
        self._verifiers = verifiers
        self._locks = locks
        self._own = own
        self._limit = trio.CapacityLimiter(_AT_ONCE)
        self.peers_own_taken: Callable[[], None] = lambda: None
        """Called when the peer showed a head of its own feed that goes on from what is held."""

    async def take(self, notes: Sequence[bytes]) -> None:
        """Take heads of third nodes, some at a time. RemoteProtocolError for what no honest peer would pass on."""
        async with trio.open_nursery() as nursery:
            for note in notes:
                nursery.start_soon(self._take_one, note)

    async def _take_one(self, note: bytes) -> None:
        async with self._limit:
            kind, node, epoch = parse_origin(peek_checkpoint(note).origin)
            if kind != "feed" or epoch != EPOCH or node == self._own:
                return
            followed = await self._database.read(self._following.find, node)
            if followed is not None and not followed.is_frozen:
                await self.follow(followed, note)

    async def follow(self, followed: Followed, note: bytes) -> None:
        """Bring a feed up to this head. A contradiction is kept as an alarm; what is merely old is passed over."""
        node = followed.node_id
        async with self._locks.of(node):
            try:
                await self._follow(followed, note)
            except RemoteProtocolError as error:
                if error.reason is Reason.UNKNOWN_KEY:
                    await self._follow_with_newer_keys(followed, note)
                elif error.reason is Reason.ROLLBACK:
                    await self._compare_with_older(followed, note)
                elif error.reason in (Reason.FORK, Reason.BAD_PROOF):
                    await self._alarm(followed, note, error)
                else:
                    raise

    async def _follow(self, followed: Followed, note: bytes) -> None:
        verifier = self._verifiers.of(followed.chain)
        result = await FeedFollower(self._database, self._link).follow(followed.node_id, EPOCH, note, verifier)
        if followed.node_id == self._link.peer:
            self.peers_own_taken()
        if result.added:
            _logger.info("feed followed", node=followed.node_id.text[:12], added=result.added, size=result.size)
        elif followed.is_maintainer:
            await self._database.write(self._following.refresh, HeadRefresh(followed.chain, note))

    async def _follow_with_newer_keys(self, followed: Followed, note: bytes) -> None:
        """The head is signed by a key that we do not know: the peer may know the newer statement."""
        chain = await self._newer(followed.chain)
        if chain == followed.chain:
            _logger.warning("head of a feed by an unknown key", node=followed.node_id.text[:12])
            return
        await self._following.keep_chain(self._database, followed, chain)
        renewed = await self._database.read(self._following.find, followed.node_id)
        if renewed is not None:
            try:
                await self._follow(renewed, note)
            except RemoteProtocolError as error:
                if error.reason is not Reason.UNKNOWN_KEY:
                    raise

    async def _newer(self, chain: StatementChain) -> StatementChain:
        first, more = 0, True
        while more:
            reply = await self._link.ask(StatementsGet(chain.node_id, first))
            if not isinstance(reply, Statements):
                return chain
            for raw in reply.statements:
                chain = chain.extend(raw)
            first, more = first + len(reply.statements), reply.more
        return chain

    async def _compare_with_older(self, followed: Followed, note: bytes) -> None:
        """A head of fewer operations than we hold is old, or of another history: our own journal tells."""
        head = self._verifiers.of(followed.chain).open(note)
        root = await self._database.read(self._following.root_at, followed.node_id, head.size)
        if root != head.root:
            error = RemoteProtocolError(Reason.FORK, f"another root at size {head.size}")
            await self._alarm(followed, note, error)

    async def _alarm(self, followed: Followed, note: bytes, error: RemoteProtocolError) -> None:
        await self._following.alarm(self._database, followed, note, f"feed_{error.reason.value}")
        _logger.error("two histories", node=followed.node_id.text[:12], code=error.reason.value)

    async def ask_missing(self) -> None:
        """Fetch from this peer the feeds that this node follows and holds nothing of: newly accepted nodes."""
        for followed in await self._database.read(self._following.missing):
            try:
                reply = await self._link.ask(FeedGet(followed.node_id, EPOCH, 0))
                if isinstance(reply, FeedOps):
                    await self.follow(followed, reply.head)
            except LinkError:
                return
