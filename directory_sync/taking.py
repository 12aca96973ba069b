"""Heads of feeds that a peer shows, its own and those of others: followed if the store follows them, judged always.

Spec: spec/directory.md, 4 and 8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio

from directory_sync.follow import FeedBatch, FollowResult, follow
from directory_sync.replica import EPOCH, FeedLocks, Followed, Limits, Link, Say, Store, say_nothing
from protocol.checkpoint import CheckpointVerifier, parse_origin, peek_checkpoint
from protocol.errors import Reason, RemoteProtocolError
from protocol.ids import NodeId
from protocol.messages import FeedGet, FeedOps, Statements, StatementsGet
from protocol.statement import StatementChain

__all__ = ["FeedTaker", "verifier_of"]


def verifier_of(chain: StatementChain) -> CheckpointVerifier:
    """Verifies heads under every log key that these statements ever named."""
    return CheckpointVerifier(chain.node_id, chain.log_keys())


class FeedTaker:
    """Takes heads over one link."""

    def __init__(
        self,
        link: Link,
        store: Store,
        *,
        locks: FeedLocks,
        own: NodeId,
        limits: Limits,
        verifiers: Callable[[StatementChain], CheckpointVerifier] = verifier_of,
        say: Say = say_nothing,
    ) -> None:
        """own: whose heads are never taken from others. verifiers: may remember what they verified."""
        self._link = link
        self._store = store
        self._locks = locks
        self._own = own
        self._quota = limits
        self._verifiers = verifiers
        self._say = say
        self._limit = anyio.CapacityLimiter(limits.at_once)
        self.peers_own_taken: Callable[[], None] = lambda: None
        """Called when the peer showed a head of its own feed that goes on from what is held."""

    async def take(self, notes: Sequence[bytes]) -> None:
        """Take heads of third nodes, some at a time. RemoteProtocolError for what no honest peer would pass on."""
        async with anyio.create_task_group() as group:
            for note in notes:
                group.start_soon(self._take_one, note)

    async def _take_one(self, note: bytes) -> None:
        async with self._limit:
            kind, node, epoch = parse_origin(peek_checkpoint(note).origin)
            if kind != "feed" or epoch != EPOCH or node == self._own:
                return
            followed = await self._store.find(node)
            if followed is not None and not followed.is_frozen:
                await self.follow(followed, note)

    async def is_followed(self, node: NodeId) -> bool:
        """Whether anything of this node's feed is kept here."""
        return await self._store.find(node) is not None

    async def bring_up(self, node: NodeId, note: bytes, verifier: CheckpointVerifier) -> FollowResult:
        """Bring a feed up to a head that the peer showed. Errors as `directory_sync.follow.follow`."""
        quota = self._quota
        result = await follow(
            node,
            EPOCH,
            note,
            verifier=verifier,
            source=self,
            store=self._store,
            max_entries=quota.max_entries,
            max_bytes=quota.max_bytes,
        )
        if result.added:
            self._say("feed followed", node, f"{result.added} more, {result.size} now")
        return result

    async def operations(self, node: NodeId, epoch: int, first: int) -> FeedBatch:
        """See FeedSource."""
        reply = await self._link.ask(FeedGet(node, epoch, first))
        if not isinstance(reply, FeedOps):
            raise RemoteProtocolError(Reason.MISMATCH, "the peer does not serve a feed that it showed")
        return FeedBatch(reply.operations, reply.head, reply.more)

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
                elif error.reason is Reason.TOO_LARGE:
                    # Its owner signed it: the peer that passes it on is not to blame, and its other feeds go on.
                    self._say("feed beyond its quota", node, str(error))
                else:
                    raise

    async def _follow(self, followed: Followed, note: bytes) -> None:
        result = await self.bring_up(followed.node_id, note, self._verifiers(followed.chain))
        if followed.node_id == self._link.peer:
            self.peers_own_taken()
        if not result.added and followed.is_maintainer:
            await self._store.refresh(followed, note)

    async def _follow_with_newer_keys(self, followed: Followed, note: bytes) -> None:
        """The head is signed by a key that we do not know: the peer may know the newer statement."""
        chain = await self._newer(followed.chain)
        if chain == followed.chain:
            self._say("head of a feed by an unknown key", followed.node_id, "")
            return
        await self._store.keep_chain(followed, chain)
        renewed = await self._store.find(followed.node_id)
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
        head = self._verifiers(followed.chain).open(note)
        root = await self._store.root_at(followed.node_id, head.size)
        if root != head.root:
            await self._alarm(followed, note, RemoteProtocolError(Reason.FORK, f"another root at size {head.size}"))

    async def _alarm(self, followed: Followed, note: bytes, error: RemoteProtocolError) -> None:
        await self._store.keep_alarm(followed, note, f"feed_{error.reason.value}")
        self._say("two histories", followed.node_id, error.reason.value)

    async def ask_missing(self) -> None:
        """Fetch from this peer the feeds that the store follows and holds nothing of: newly accepted nodes."""
        for followed in await self._store.missing():
            reply = await self._link.ask(FeedGet(followed.node_id, EPOCH, 0))
            if isinstance(reply, FeedOps):
                await self.follow(followed, reply.head)
