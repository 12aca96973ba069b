"""What a peer may show again and again, or without end, costs its receiver little. Spec: spec/directory.md, 12."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import anyio.lowlevel
import pytest
import trio.testing

from directory_sync.memory import MemoryStore
from directory_sync.old_heads import OldHeads
from directory_sync.replica import FeedLocks, Limits
from directory_sync.taking import FeedTaker
from protocol.checkpoint import Checkpoint
from protocol.errors import Reason, RemoteProtocolError
from protocol.feed import FeedState
from protocol.ids import NodeId
from protocol.message import Message
from protocol.messages import Statements, StatementsGet
from protocol.statement import MAX_CHAIN
from tests.directory.test_many_feeds import settle
from tests.directory.test_replication import BACKENDS, READER, Publisher


class Counting(MemoryStore):
    """A store that counts what of it is read."""

    def __init__(self) -> None:
        super().__init__(READER, bytes(16))
        self.loaded = self.hashed = 0

    async def load(self, node: NodeId, epoch: int) -> FeedState:
        self.loaded += 1
        return await super().load(node, epoch)

    async def leaf_hashes(self, node: NodeId) -> Sequence[bytes]:
        self.hashed += 1
        return await super().leaf_hashes(node)


class Silent:
    """A link on which nothing is answered but statements: one, and more to come, whatever was asked."""

    def __init__(self, peer: Publisher) -> None:
        self.peer = peer.node
        self.asked = 0
        self._statement = peer.chain.raw_list()[0]

    async def ask(self, message: Message) -> Message:
        assert isinstance(message, StatementsGet)
        self.asked += 1
        await anyio.lowlevel.checkpoint()
        return Statements((self._statement,), more=True)

    def push_quietly(self, message: Message) -> None:
        """Nobody listens."""


def taker(store: MemoryStore, peer: Publisher, *, at_once: int = 128) -> FeedTaker:
    return FeedTaker(Silent(peer), store, locks=FeedLocks(), own=READER, limits=Limits(at_once=at_once))


@pytest.mark.parametrize("backend", BACKENDS)
def test_old_heads_are_compared_once_each_and_the_feed_is_not_read_for_them(backend: str) -> None:
    async def body() -> None:
        peer, owner, store = Publisher(1), Publisher(2), Counting()
        store.follow(owner.chain)
        olds = []
        for _ in range(4):
            owner.publish(3, into=store)
            olds.append(store.head(owner.node))
        feeds = taker(store, peer)
        for _ in range(5):
            await feeds.take(olds)
        assert (store.loaded, store.hashed) == (0, 3)
        # What is held is another head now: they are compared with that one.
        owner.publish(1, into=store)
        await feeds.take(olds[:1])
        assert (store.loaded, store.hashed) == (0, 4)
        assert not store.alarms

    anyio.run(body, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_another_history_is_found_however_often_its_head_was_not_compared(backend: str) -> None:
    async def body() -> None:
        peer, owner, store, other = Publisher(1), Publisher(2), Counting(), Publisher(2)
        store.follow(owner.chain)
        owner.publish(9, into=store)
        other.publish(2)
        other.erase(0)
        await taker(store, peer).take([other.store.head(other.node)])
        assert [code for _, code in store.alarms.values()] == ["feed_fork"]

    anyio.run(body, backend=backend)


def test_memory_of_old_heads_is_bounded() -> None:
    heads = [Checkpoint("origin", size, bytes(32)) for size in range(1, 12)]
    held = heads[-1]
    known = OldHeads(limit=4)
    for head in heads[:-1]:
        known.add(head, held)
    assert [known.has(head, held) for head in heads[:-1]] == [False] * 6 + [True] * 4
    assert not known.has(heads[-2], heads[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_statements_without_end_end_the_link(backend: str) -> None:
    async def body() -> None:
        peer = Publisher(1)
        link = Silent(peer)
        feeds = FeedTaker(link, MemoryStore(READER, bytes(16)), locks=FeedLocks(), own=READER, limits=Limits())
        with pytest.raises(RemoteProtocolError) as raised, anyio.fail_after(60):
            await feeds.newer_statements(peer.chain)
        assert raised.value.reason is Reason.OVERLOAD
        assert link.asked == MAX_CHAIN

    anyio.run(body, backend=backend)


async def test_heads_that_wait_have_no_task_of_their_own(autojump_clock: trio.testing.MockClock) -> None:
    """A push holds 16 heads, and 256 pushes may be under way on each link."""
    peer, owner = Publisher(1), Publisher(2)
    owner.publish(1)

    class Stuck(MemoryStore):
        async def find(self, node: NodeId) -> None:
            await anyio.sleep_forever()

    feeds = taker(Stuck(READER, bytes(16)), peer, at_once=4)
    before = trio.lowlevel.current_statistics().tasks_living
    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(feeds.take, [owner.store.head(owner.node)] * 16)
        await settle()
        assert trio.lowlevel.current_statistics().tasks_living - before <= 10 + 4
        group.cancel_scope.cancel()
