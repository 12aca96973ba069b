"""A bundle in the place of a link: replication asks it, and it answers with what the stick brings next.

Spec: spec/bundle.md, 5. Feeds come whole and in order, so one frame of operations is in memory at a time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from node.post.network import LinkError
from protocol.bundle_items import BundleItem, BundleState
from protocol.checkpoint import parse_origin, peek_checkpoint
from protocol.ids import NodeId
from protocol.message import Message
from protocol.messages import (
    FeedGet,
    FeedOps,
    Gone,
    LogProof,
    LogProofGet,
    Statements,
    StatementsGet,
)

__all__ = ["ItemStream", "StickLink"]

_NOT_HERE = Gone("not_in_bundle")


class ItemStream:
    """Items in order, one of which can be put back."""

    def __init__(self, items: AsyncIterator[BundleState | BundleItem]) -> None:
        self._items = items
        self._back: BundleState | BundleItem | None = None

    async def next(self) -> BundleState | BundleItem | None:
        """The next item; None at the end of a run of parts."""
        item, self._back = self._back, None
        return item if item is not None else await anext(self._items, None)

    def put_back(self, item: BundleState | BundleItem) -> None:
        """`next` gives this one again."""
        self._back = item


class StickLink:
    """Answers questions from a bundle. What is not there is `gone`, as a peer would say of what it does not have."""

    def __init__(self, peer: NodeId, items: ItemStream) -> None:
        self.peer = peer
        self._items = items
        self._statements: tuple[NodeId, list[bytes]] | None = None
        self._proof: tuple[int, LogProof] | None = None
        self._feed: BundleItem | None = None

    # -- what the stick brought

    def keep_statements(self, item: BundleItem) -> None:
        """Statements of a node; those of the one before are let go."""
        assert isinstance(item.message, Statements)
        assert item.node is not None
        known = self._statements[1] if self._statements is not None and self._statements[0] == item.node else []
        if item.place == len(known):
            self._statements = (item.node, [*known, *item.message.statements])

    def keep_proof(self, item: BundleItem) -> None:
        """The proof that the writer's log goes on from a size."""
        assert isinstance(item.message, LogProof)
        self._proof = (item.place, item.message)

    def proves_from(self, size: int) -> bool:
        """Whether there is a proof from a log of this size on."""
        return self._proof is not None and self._proof[0] == size

    def begin_feed(self, item: BundleItem) -> None:
        """The first operations of a feed: those that follow are taken from the stick as they are asked for."""
        self._feed = item

    async def finish_feed(self) -> None:
        """Pass over what was not asked for."""
        while self._feed is not None and await self._go_on():
            pass
        self._feed = None

    async def _go_on(self) -> bool:
        """To the next operations of the same feed; False if these were the last ones."""
        before = self._feed
        assert before is not None
        assert isinstance(before.message, FeedOps)
        self._feed = None
        if not before.message.more:
            return False
        item = await self._items.next()
        if item is None:
            return False
        is_next = isinstance(item, BundleItem) and isinstance(item.message, FeedOps) and item.node == before.node
        if isinstance(item, BundleItem) and is_next and item.place == before.place + len(before.message.operations):
            self._feed = item
            return True
        self._items.put_back(item)
        return False

    # -- a link's face

    async def ask(self, message: Message) -> Message:
        """See directory_sync.replica.Link."""
        match message:
            case StatementsGet(node, first) if self._statements is not None and self._statements[0] == node:
                return Statements(tuple(self._statements[1][first:]), more=False)
            case LogProofGet(epoch, size) if self._proof is not None and self._proof[0] == size:
                proof = self._proof[1]
                return proof if parse_origin(peek_checkpoint(proof.head).origin)[2] == epoch else _NOT_HERE
            case FeedGet(node, _, first) if self._feed is not None and self._feed.node == node:
                return await self._operations(first)
        return _NOT_HERE

    async def _operations(self, first: int) -> Message:
        while self._feed is not None:
            item, message = self._feed, self._feed.message
            assert isinstance(message, FeedOps)
            if first < item.place:
                return _NOT_HERE
            if first < item.place + len(message.operations):
                return FeedOps(message.operations[first - item.place :], message.head, message.more)
            await self._go_on()
        return _NOT_HERE

    def push_quietly(self, message: Message) -> None:
        """Nothing is told to a stick."""

    async def goodbye(self, code: str) -> None:
        """A stick cannot be asked for another one."""
        raise LinkError(code, "a bundle ends where it ends")
