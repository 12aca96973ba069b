"""Many feeds at once: large ones wait for each other, and the cursor never goes beyond what was taken."""

from __future__ import annotations

from functools import partial

import anyio
import anyio.lowlevel
import pytest
import trio
import trio.testing

from directory_sync.memory import MemoryStore
from directory_sync.news import FeedNews
from directory_sync.replica import FeedLocks, Limits
from directory_sync.taking import FeedTaker
from protocol.feed import FeedState
from protocol.ids import NodeId
from protocol.message import Message
from protocol.messages import FeedGet, NewsGet
from tests.directory.test_replication import BACKENDS, READER, Publisher, reader_of

FEEDS = 40


async def settle() -> None:
    for _ in range(200):
        await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("backend", BACKENDS)
def test_feeds_beyond_the_room_wait_in_turn(backend: str) -> None:
    async def body() -> None:
        locks, entered, leave = FeedLocks(100), list[str](), {name: anyio.Event() for name in "abcd"}

        async def hold(name: str, operations: int) -> None:
            async with locks.room(operations):
                entered.append(name)
                await leave[name].wait()

        async with anyio.create_task_group() as group:
            # d alone is larger than the room: it has all of it.
            for name, operations in (("a", 60), ("b", 40), ("c", 70), ("d", 1000)):
                group.start_soon(hold, name, operations)
                await settle()
            assert entered == ["a", "b"]
            leave["b"].set()
            await settle()
            assert entered == ["a", "b"]
            leave["a"].set()
            await settle()
            assert entered == ["a", "b", "c"]
            leave["c"].set()
            await settle()
            assert entered == ["a", "b", "c", "d"]
            leave["d"].set()

    anyio.run(body, backend=backend)


async def test_only_feeds_that_stand_still_lose_their_room(autojump_clock: trio.testing.MockClock) -> None:
    locks, entered = FeedLocks(100), dict[str, float]()

    async def hold(name: str, *, moves: int) -> None:
        async with locks.room(100) as place:
            entered[name] = trio.current_time()
            for _ in range(moves):
                await trio.sleep(50)
                place.moved()
            if not moves:
                await trio.sleep_forever()

    begin = trio.current_time()
    async with trio.open_nursery() as nursery:
        for name, moves in (("slow", 10), ("silent", 0), ("next", 2), ("last", 1)):
            nursery.start_soon(partial(hold, name, moves=moves))
            await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(3000)
        nursery.cancel_scope.cancel()
    # Whoever gets on is waited for, however long; whoever does not is passed over within two minutes.
    assert entered["slow"] == begin
    assert entered["silent"] == begin + 500
    assert 60 <= entered["next"] - entered["silent"] <= 120
    assert entered["last"] - entered["next"] == 100


@pytest.mark.parametrize("backend", BACKENDS)
def test_room_is_given_back_by_who_was_cancelled(backend: str) -> None:
    async def body() -> None:
        locks = FeedLocks(10)
        async with anyio.create_task_group() as group:

            async def hold() -> None:
                async with locks.room(10):
                    await anyio.sleep_forever()

            group.start_soon(hold)
            group.start_soon(hold)
            await settle()
            group.cancel_scope.cancel()
        with anyio.fail_after(60):
            async with locks.room(10):
                pass

    anyio.run(body, backend=backend)


class Direct:
    """A link that asks a store in this program; what was asked is kept."""

    def __init__(self, holder: Publisher) -> None:
        self.peer = holder.node
        self.asked: list[Message] = []
        self._holder = holder.store
        feeds = FeedTaker(self, holder.store, locks=FeedLocks(), own=holder.node, limits=Limits())
        self._news = FeedNews(self, holder.store, feeds, own=holder.node, told=b"", limits=Limits(), jitter=lambda: 0.5)

    async def ask(self, message: Message) -> Message:
        self.asked.append(message)
        await anyio.lowlevel.checkpoint()
        return await self._news.answer(message) if isinstance(message, NewsGet) else self._holder.answer(message)

    def push_quietly(self, message: Message) -> None:
        """Nobody listens."""


class Slow(MemoryStore):
    """A store in which one feed waits to be read."""

    def __init__(self, slow: NodeId) -> None:
        super().__init__(READER, bytes(16))
        self.slow, self.go_on = slow, anyio.Event()

    async def load(self, node: NodeId, epoch: int) -> FeedState:
        if node == self.slow:
            await self.go_on.wait()
        return await super().load(node, epoch)


def one_slow(which: int) -> tuple[Publisher, list[Publisher], Slow, Direct, FeedNews]:
    """A peer that tells of many others' feeds, and a reader in whose store this one of them is slow."""
    peer, others = Publisher(1), [Publisher(seed) for seed in range(2, FEEDS + 2)]
    peer.publish(1)
    for other in others:
        peer.store.follow(other.chain)
        other.publish(2, into=peer.store)
    store = Slow(others[which].node)
    for publisher in (peer, *others):
        store.follow(publisher.chain)
    link = Direct(peer)
    feeds = FeedTaker(link, store, locks=FeedLocks(), own=READER, limits=Limits())
    news = FeedNews(link, store, feeds, own=READER, told=b"", limits=Limits(), jitter=lambda: 0.5)
    return peer, others, store, link, news


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_feed_that_is_slow_holds_back_the_cursor_and_no_other_feed(backend: str) -> None:
    async def body() -> None:
        peer, others, store, _, news = one_slow(0)
        async with anyio.create_task_group() as group:
            group.start_soon(news.fetch_now)
            await settle()
            taken = [other for other in others if store.size(other.node) == 2]
            assert taken == others[1:]
            assert await store.cursor(peer.node) is None
            store.go_on.set()
        cursor = await store.cursor(peer.node)
        assert cursor is not None
        assert cursor.sequence == FEEDS + 1
        assert store.digest() == peer.store.digest()

    anyio.run(body, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_was_cut_off_is_taken_the_next_time(backend: str) -> None:
    async def body() -> None:
        peer, others, store, link, news = one_slow(20)
        async with anyio.create_task_group() as group:
            group.start_soon(news.fetch_now)
            await settle()
            group.cancel_scope.cancel()
        cursor = await store.cursor(peer.node)
        assert cursor is not None
        assert cursor.sequence < 21  # that of the answer before the one with the slow feed
        store.go_on.set()
        link.asked.clear()
        await news.fetch_now()
        # Of what is held already nothing is asked again.
        assert [message.node for message in link.asked if isinstance(message, FeedGet)] == [others[20].node]
        assert store.digest() == peer.store.digest()

    anyio.run(body, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_feed_that_is_missing_is_asked_for_once(backend: str) -> None:
    async def body() -> None:
        peer = Publisher(1)
        peer.publish(3)
        store, _ = reader_of(peer.chain)
        link = Direct(peer)
        feeds = FeedTaker(link, store, locks=FeedLocks(), own=READER, limits=Limits())
        await feeds.ask_missing()
        assert store.size(peer.node) == 3
        assert link.asked == [FeedGet(peer.node, 1, 0)]
        await feeds.ask_missing()
        assert len(link.asked) == 1

    anyio.run(body, backend=backend)
