"""A country of nodes under a mock clock: the real replication (directory_sync), simulated surroundings.

Real: cursors, hints, pulls, heads, operations, roots and signatures, quotas, locks: the code that a node runs, and the
frames that it would send, encoded and counted. Simulated: links are calls with a delay (TLS and TCP headers are not
counted), stores are in memory, computing takes no time, and who is linked with whom is drawn: a ring and random chords.
All nodes follow the same few feeds, those that change; a feed at rest costs nothing on a link (spec/directory.md, 8).
A signature is verified once for all nodes, since time does not pass meanwhile anyway.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import trio

from bench.federation import Institution, federation
from directory_sync.memory import MemoryStore
from directory_sync.news import FeedNews
from directory_sync.replica import EPOCH, FeedLocks, Limits
from directory_sync.taking import FeedTaker, verifier_of
from node.setup import make_keyring
from node.world import World
from protocol.checkpoint import Checkpoint, CheckpointVerifier, feed_origin, sign_checkpoint
from protocol.crypto import SealSecret, SigningSecret, sha256
from protocol.entry import Act, RevocationReason, Standing, sign_standing, standing_subject
from protocol.feed import FeedState, Operation, OperationKind, make_operation, snapshot_operation
from protocol.ids import NodeId
from protocol.message import Message
from protocol.messages import FeedGet, Heads, NewsGet
from protocol.statement import StatementChain

__all__ = ["Country", "Spread", "Writer"]

# One way, in seconds: within a country, some of them on mobile lines.
_DELAY_S: Final = (0.005, 0.08)
_QUOTA: Final = 10**7


class Writer:
    """Whoever writes a feed: an institution of the fictional country, or a maintainer."""

    def __init__(self, world: World, institution: Institution) -> None:
        self._keyring = make_keyring(world, SigningSecret(world.random_bytes(32)), SealSecret(world.random_bytes(96)))
        self._members = institution.members()
        self._random_bytes = world.random_bytes
        self.state = FeedState()

    @property
    def chain(self) -> StatementChain:
        """The statements under which the feed stands."""
        return self._keyring.chain

    @property
    def node(self) -> NodeId:
        """Whose feed it is."""
        return self.chain.node_id

    def add_mailbox(self) -> tuple[list[Operation], bytes]:
        """One more mailbox: its operations and the new head."""
        member = next(self._members)
        entry = member.entry
        return self._write(OperationKind.MAILBOX, entry.mailbox, entry.encode())

    def revoke(self, node: NodeId) -> tuple[list[Operation], bytes]:
        """Take back what was said of a node: the operations and the new head."""
        standing = Standing(act=Act.REVOKE, by=self.node, node=node, time_ms=1, reason=RevocationReason.COMPROMISED)
        return self._write(
            OperationKind.STANDING, standing_subject(node), sign_standing(standing, self._keyring.identity)
        )

    def _write(self, kind: OperationKind, subject: bytes, entry: bytes) -> tuple[list[Operation], bytes]:
        state = self.state.copy()
        operations = [snapshot_operation(state.live)] if state.needs_snapshot else []
        operations.append(make_operation(kind, subject, 1, entry, self._random_bytes(32)))
        state.apply(operations, max_entries=_QUOTA, max_bytes=2**40)
        self.state = state
        head = Checkpoint(feed_origin(self.node, EPOCH), state.size, state.tree.root())
        return operations, sign_checkpoint(head, self._keyring.log)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How one change spread. reached_s: when each node had it, in seconds after the change, in order; rounds: the most
    nodes that it passed through on its way to one; bytes: of all frames on all links meanwhile, requests included.
    """

    reached_s: tuple[float, ...]
    rounds: int
    bytes: int


class _Node:
    def __init__(self, country: Country, number: int) -> None:
        self.id = NodeId(sha256(b"gossip", number.to_bytes(4, "big")))
        self._country = country
        self.store = MemoryStore(self.id, sha256(self.id)[:16], on_change=self._changed)
        self.locks = FeedLocks()
        self.came_over: dict[NodeId, int] = {}
        self.rounds: dict[NodeId, int] = {}
        self.reached_at: dict[NodeId, float] = {}

    def _changed(self, feed: NodeId, _operations: Sequence[Operation]) -> None:
        self.rounds[feed] = self.came_over.get(feed, 0)
        self.reached_at[feed] = trio.current_time()


class _Side:
    """One side of a link: a Link of directory_sync that calls the other side after a delay."""

    def __init__(self, country: Country, own: _Node, other: _Node, delay_s: float) -> None:
        self.peer = other.id
        self.own, self._other = own, other
        self._country = country
        self._delay_s = delay_s
        self.nursery: trio.Nursery
        self.partner: _Side
        feeds = FeedTaker(
            self, own.store, locks=own.locks, own=own.id, limits=country.limits, verifiers=country.verifier_of
        )
        self.news = FeedNews(
            self, own.store, feeds, own=own.id, told=b"", limits=country.limits, jitter=country.random.random
        )

    async def ask(self, message: Message) -> Message:
        """See directory_sync.replica.Link."""
        if isinstance(message, FeedGet):
            self.own.came_over[message.node] = self._other.rounds.get(message.node, 0) + 1
        self._country.count(message)
        await trio.sleep(self._delay_s)
        reply = (
            await self.partner.news.answer(message)
            if isinstance(message, NewsGet)
            else self._other.store.answer(message)
        )
        self._country.count(reply)
        await trio.sleep(self._delay_s)
        return reply

    def push_quietly(self, message: Message) -> None:
        """See directory_sync.replica.Link."""
        self._country.count(message)
        self.nursery.start_soon(self._arrive, message)

    async def _arrive(self, message: Message) -> None:
        await trio.sleep(self._delay_s)
        if isinstance(message, Heads):
            self.partner.news.hinted()


class Country:
    """Nodes and the links between them. Use within `trio.run(..., clock=MockClock(autojump_threshold=0))`."""

    def __init__(self, nodes: int, degree: int, seed: int, nursery: trio.Nursery, feeds: int = 5) -> None:
        self.random = random.Random(seed)  # noqa: S311 (a seed that can be had again)
        self.limits = Limits()
        self.bytes = 0
        self._nursery = nursery
        world = World(random_bytes=self.random.randbytes)
        self.writers = [Writer(world, institution) for institution in [next(federation(1, 8000))] * feeds]
        self._verifiers = {writer.node: verifier_of(writer.chain) for writer in self.writers}
        self.nodes = [_Node(self, number) for number in range(nodes)]
        self._scopes: dict[tuple[int, int], trio.CancelScope | None] = dict.fromkeys(self._pairs(nodes, degree))
        for writer in self.writers:
            operations, head = writer.add_mailbox()
            for node in self.nodes:
                node.store.follow(writer.chain)
                node.store.put(writer.node, operations, writer.state, head)

    def verifier_of(self, chain: StatementChain) -> CheckpointVerifier:
        """One for all nodes."""
        return self._verifiers[chain.node_id]

    def count(self, message: Message) -> None:
        """A frame goes over a link."""
        self.bytes += len(message.frame(1))

    @property
    def links(self) -> int:
        """How many links there are, open or cut."""
        return len(self._scopes)

    def _pairs(self, nodes: int, degree: int) -> list[tuple[int, int]]:
        pairs = {(number, (number + 1) % nodes) for number in range(nodes)}
        wanted = nodes * degree // 2
        while len(pairs) < wanted:
            one, other = self.random.randrange(nodes), self.random.randrange(nodes)
            if one != other and (other, one) not in pairs:
                pairs.add((one, other))
        return sorted(pairs)

    # -- links

    def connect(self) -> None:
        """Open every link that is not open."""
        for pair, scope in self._scopes.items():
            if scope is None:
                self._scopes[pair] = trio.CancelScope()
                self._nursery.start_soon(self._run_link, pair)

    def cut(self, here: frozenset[int]) -> None:
        """Cut every link between these nodes and the others, until `connect`."""
        for pair, scope in self._scopes.items():
            if scope is not None and (pair[0] in here) != (pair[1] in here):
                scope.cancel()
                self._scopes[pair] = None

    async def _run_link(self, pair: tuple[int, int]) -> None:
        scope = self._scopes[pair]
        assert scope is not None
        delay_s = self.random.uniform(*_DELAY_S)
        one, other = self.nodes[pair[0]], self.nodes[pair[1]]
        sides = _Side(self, one, other, delay_s), _Side(self, other, one, delay_s)
        sides[0].partner, sides[1].partner = sides[1], sides[0]
        with scope:
            async with trio.open_nursery() as nursery:
                for side in sides:
                    side.nursery = nursery
                    nursery.start_soon(side.news.hint)
                    nursery.start_soon(side.news.fetch)

    # -- changes

    def write(self, writer: Writer, at: int, change: tuple[list[Operation], bytes]) -> None:
        """A change of this feed comes to node number `at`, from its owner's hand."""
        node = self.nodes[at]
        node.came_over[writer.node] = 0
        node.store.put(writer.node, change[0], writer.state, change[1])

    def agree(self) -> bool:
        """Whether all nodes hold the same."""
        return len({node.store.digest() for node in self.nodes}) == 1

    async def spread(self, writer: Writer, at: int, change: tuple[list[Operation], bytes]) -> Spread:
        """Let a change spread for a minute. RuntimeError if it does not reach everybody in it."""
        begun, bytes_before = trio.current_time(), self.bytes
        self.write(writer, at, change)
        await trio.sleep(60)
        if any(node.store.size(writer.node) != writer.state.size for node in self.nodes):
            raise RuntimeError("a change did not reach every node within a minute")
        return Spread(
            reached_s=tuple(sorted(node.reached_at[writer.node] - begun for node in self.nodes)),
            rounds=max(node.rounds[writer.node] for node in self.nodes),
            bytes=self.bytes - bytes_before,
        )
