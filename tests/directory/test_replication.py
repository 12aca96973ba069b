"""Replication as a library: two programs joined by memory, on trio and on asyncio."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest
from anyio.streams.stapled import StapledObjectStream

from directory_sync.memory import MemoryStore
from directory_sync.replica import Limits
from directory_sync.stream_link import LinkEndedError
from directory_sync.watch import follow_peer
from protocol.checkpoint import Checkpoint, feed_origin, sign_checkpoint
from protocol.crypto import SigningSecret
from protocol.errors import RemoteProtocolError
from protocol.feed import FeedState, Operation, OperationKind, make_operation, snapshot_operation
from protocol.ids import MailboxId, NodeId
from protocol.link_states import Role
from protocol.messages import Hello
from protocol.statement import StatementChain
from spec.vectors.make_feed import OPENING, mailbox
from tests.directory.test_following import chain_of

BACKENDS = ["trio", "asyncio"]


def log_key(seed: int) -> SigningSecret:
    return SigningSecret(bytes([seed, 3]) * 16)


class Publisher:
    """The owner of a feed, and the store in which it stands."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chain = chain_of(seed)
        self.state = FeedState()
        self.store = MemoryStore(self.chain.node_id, bytes([seed]) * 16)
        self.store.follow(self.chain)

    @property
    def node(self) -> NodeId:
        return self.chain.node_id

    def publish(self, count: int, *, into: MemoryStore | None = None) -> None:
        operations: list[Operation] = []
        for _ in range(count):
            if self.state.needs_snapshot:
                self._apply(snapshot_operation(self.state.live), operations)
            subject = MailboxId(self.state.size.to_bytes(15, "big") + b"\x01")
            entry = mailbox(subject).encode()
            self._apply(make_operation(OperationKind.MAILBOX, subject, 1, entry, OPENING), operations)
        head = Checkpoint(feed_origin(self.node, 1), self.state.size, self.state.tree.root())
        (into or self.store).put(self.node, operations, self.state.copy(), sign_checkpoint(head, log_key(self.seed)))

    def change(self, count: int, *, into: MemoryStore) -> None:
        """Publish the mailbox of operation 0 again and again, each time the same."""
        operations: list[Operation] = []
        subject = MailboxId(bytes(15) + b"\x01")
        for version in range(2, count + 2):
            if self.state.needs_snapshot:
                self._apply(snapshot_operation(self.state.live), operations)
            entry = mailbox(subject).encode()
            self._apply(make_operation(OperationKind.MAILBOX, subject, version, entry, OPENING), operations)
        head = Checkpoint(feed_origin(self.node, 1), self.state.size, self.state.tree.root())
        into.put(self.node, operations, self.state.copy(), sign_checkpoint(head, log_key(self.seed)))

    def erase(self, number: int) -> None:
        """Erase the entry published as operation `number`."""
        operations: list[Operation] = []
        subject = MailboxId(number.to_bytes(15, "big") + b"\x01")
        self._apply(make_operation(OperationKind.ERASE, subject, 2, b"", OPENING), operations)
        head = Checkpoint(feed_origin(self.node, 1), self.state.size, self.state.tree.root())
        self.store.put(self.node, operations, self.state.copy(), sign_checkpoint(head, log_key(self.seed)))

    def _apply(self, operation: Operation, operations: list[Operation]) -> None:
        self.state.apply([operation], max_entries=10**7, max_bytes=10**10)
        operations.append(operation)


class Bytes:
    """A memory stream of bytes objects as a byte stream, counted."""

    def __init__(self, inner: StapledObjectStream[bytes]) -> None:
        self._inner = inner
        self.sent = 0

    async def receive(self, max_bytes: int = 65536) -> bytes:
        return await self._inner.receive()

    async def send(self, item: bytes) -> None:
        if item:
            self.sent += len(item)
            await self._inner.send(item)

    async def aclose(self) -> None:
        await self._inner.aclose()


def joined() -> tuple[Bytes, Bytes]:
    one_in, one_out = anyio.create_memory_object_stream[bytes](1000)
    two_in, two_out = anyio.create_memory_object_stream[bytes](1000)
    return Bytes(StapledObjectStream(one_in, two_out)), Bytes(StapledObjectStream(two_in, one_out))


def hello_of(store_node: NodeId, head: bytes = b"") -> Hello:
    return Hello(node=store_node, statement_number=0, now_ms=1, heads=(head,) if head else (), seen=())


async def exchange(
    reader: MemoryStore,
    reader_node: NodeId,
    holder: MemoryStore,
    holder_node: NodeId,
    limits: Limits | None = None,
    *,
    hello_from: NodeId | None = None,
) -> int:
    """The reader takes once all that the holder has; bytes that the holder sent."""
    here, there = joined()

    async def serve() -> None:
        try:
            await follow_peer(
                there,  # type: ignore[arg-type]
                holder,
                peer=reader_node,
                hello=hello_of(hello_from or holder_node, holder.head(holder_node)),
                jitter=lambda: 0.5,
                role=Role.ACCEPTOR,
                until=lambda: False,
            )
        except* LinkEndedError:
            pass  # the reader has what it wanted

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        await follow_peer(
            here,  # type: ignore[arg-type]
            reader,
            peer=holder_node,
            hello=hello_of(reader_node),
            jitter=lambda: 0.5,
            limits=limits,
        )
    return there.sent


def reader_of(*chains: StatementChain) -> tuple[MemoryStore, list[tuple[NodeId, int]]]:
    seen: list[tuple[NodeId, int]] = []

    def show(node: NodeId, operations: Sequence[Operation]) -> None:
        seen.append((node, len(operations)))

    store = MemoryStore(chain_of(99).node_id, bytes(16), on_change=show)
    for chain in chains:
        store.follow(chain)
    return store, seen


READER = chain_of(99).node_id


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_program_takes_feeds_from_one_peer_and_ends_in_a_digest(backend: str) -> None:
    async def body() -> None:
        peer, third = Publisher(1), Publisher(2)
        peer.publish(300)
        peer.store.follow(third.chain)
        third.publish(5, into=peer.store)
        store, seen = reader_of(peer.chain, third.chain)
        first = await exchange(store, READER, peer.store, peer.node)
        assert sorted(count for _, count in seen) == [5, 301]
        assert store.digest() == peer.store.digest()
        peer.publish(1)
        assert store.digest() != peer.store.digest()
        later = await exchange(store, READER, peer.store, peer.node)
        assert store.digest() == peer.store.digest()
        assert seen[2:] == [(peer.node, 1)]
        assert later < first / 20

    anyio.run(body, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_one_peer_withholds_another_supplies(backend: str) -> None:
    async def body() -> None:
        owner, withholding, honest = Publisher(1), Publisher(2), Publisher(3)
        for relay in (withholding, honest):
            relay.publish(1)
            relay.store.follow(owner.chain)
        owner.publish(3)
        for relay in (withholding, honest):
            await exchange(relay.store, relay.node, owner.store, owner.node)
        owner.publish(2)
        await exchange(honest.store, honest.node, owner.store, owner.node)
        store, _ = reader_of(owner.chain)
        for relay in (withholding, honest, withholding):
            await exchange(store, READER, relay.store, relay.node)
        assert store.size(owner.node) == 5
        assert not store.alarms

    anyio.run(body, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_junk_is_stopped_at_the_quota_and_takes_nothing_else_along(backend: str) -> None:
    async def body() -> None:
        peer, flooder = Publisher(1), Publisher(2)
        peer.publish(4)
        peer.store.follow(flooder.chain)
        flooder.publish(2000, into=peer.store)
        store, _ = reader_of(peer.chain, flooder.chain)
        sent = await exchange(store, READER, peer.store, peer.node, Limits(max_entries=50))
        assert (store.size(peer.node), store.size(flooder.node)) == (4, 0)
        assert sent < 1_000_000

    anyio.run(body, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("limits", [Limits(max_operations=60), Limits(max_bytes=150_000)])
def test_one_mailbox_changed_for_ever_is_stopped_and_takes_nothing_else_along(backend: str, limits: Limits) -> None:
    async def body() -> None:
        peer, flooder = Publisher(1), Publisher(2)
        peer.store.follow(flooder.chain)
        flooder.publish(3, into=peer.store)
        store, _ = reader_of(peer.chain, flooder.chain)
        await exchange(store, READER, peer.store, peer.node, limits)
        assert store.size(flooder.node) == 3
        # Live are three all the time.
        flooder.change(300, into=peer.store)
        peer.publish(4)
        sent = await exchange(store, READER, peer.store, peer.node, limits)
        assert (store.size(peer.node), store.size(flooder.node)) == (4, 3)
        assert not store.alarms
        assert sent < 1_000_000

    anyio.run(body, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_histories_are_kept_as_proof_and_freeze_the_feed(backend: str) -> None:
    async def body() -> None:
        owner, copy, relay = Publisher(1), Publisher(1), Publisher(3)
        relay.publish(1)
        relay.store.follow(owner.chain)
        owner.publish(3)
        copy.publish(2)
        copy.state.erased.add(bytes(16))
        store, _ = reader_of(owner.chain)
        await exchange(store, READER, owner.store, owner.node)
        forged = sign_checkpoint(Checkpoint(feed_origin(owner.node, 1), 3, bytes(32)), log_key(1))
        relay.store.put(owner.node, [], owner.state, forged)
        await exchange(store, READER, relay.store, relay.node)
        ((proof, code),) = store.alarms.values()
        assert (proof.node_id, code) == (owner.node, "feed_fork")
        owner.publish(1)
        await exchange(store, READER, owner.store, owner.node)
        assert store.size(owner.node) == 3

    anyio.run(body, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_who_comes_after_an_erasure_verifies_the_feed_and_never_sees_the_entry(backend: str) -> None:
    async def body() -> None:
        owner = Publisher(1)
        owner.publish(300)
        early, _ = reader_of(owner.chain)
        await exchange(early, READER, owner.store, owner.node)
        owner.erase(7)
        given: list[Operation] = []
        late = MemoryStore(READER, bytes(16), on_change=lambda _node, operations: given.extend(operations))
        late.follow(owner.chain)
        for store in (early, late):
            await exchange(store, READER, owner.store, owner.node)
            assert store.digest() == owner.store.digest()
        subject = MailboxId((7).to_bytes(15, "big") + b"\x01")
        assert [operation.entry for operation in given if operation.leaf.subject == subject] == [None, None]
        assert sum(operation.entry is not None for operation in given) == 299

    anyio.run(body, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_changes_are_pushed_while_the_link_lasts(backend: str) -> None:
    async def body() -> None:
        owner = Publisher(1)
        owner.publish(1)
        store, seen = reader_of(owner.chain)
        here, there = joined()

        async def serve() -> None:
            try:
                await follow_peer(
                    there,  # type: ignore[arg-type]
                    owner.store,
                    peer=READER,
                    hello=hello_of(owner.node, owner.store.head(owner.node)),
                    jitter=lambda: 0.5,
                    role=Role.ACCEPTOR,
                    until=lambda: False,
                )
            except* LinkEndedError:
                pass

        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(serve)

                async def publish_when_linked() -> None:
                    while not seen:
                        await anyio.sleep(0.01)
                    owner.publish(1)

                group.start_soon(publish_when_linked)
                await follow_peer(
                    here,  # type: ignore[arg-type]
                    store,
                    peer=owner.node,
                    hello=hello_of(READER),
                    jitter=lambda: 0.5,
                    until=lambda: store.size(owner.node) == 2,
                )
        assert seen == [(owner.node, 1), (owner.node, 1)]

    anyio.run(body, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_peer_that_is_another_node_is_refused(backend: str) -> None:
    async def body() -> None:
        owner = Publisher(1)
        owner.publish(1)
        store, _ = reader_of(owner.chain)
        with pytest.raises(ExceptionGroup) as caught:
            await exchange(store, READER, owner.store, owner.node, hello_from=chain_of(7).node_id)
        assert caught.group_contains(RemoteProtocolError, match="another node than was dialled")
        assert store.size(owner.node) == 0

    anyio.run(body, backend=backend)
