"""What replication needs around it: where feeds are kept, and a link to one peer. Spec: spec/directory.md, 8.

The library has no disk, no socket, no wall clock and no randomness of its own. Waiting goes by the event loop's clock
(trio's MockClock in tests); randomness is handed in as `jitter`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import anyio

from directory_sync.follow import MAX_OPERATIONS, FeedStore
from directory_sync.old_heads import OldHeads
from protocol.checkpoint import Checkpoint
from protocol.fork_proof import ForkProof
from protocol.ids import NodeId
from protocol.message import Message
from protocol.messages import Cursor
from protocol.statement import StatementChain

__all__ = [
    "EPOCH",
    "Arrival",
    "FeedLocks",
    "Followed",
    "Limits",
    "Link",
    "Newest",
    "Place",
    "Say",
    "Store",
    "Ticket",
    "say_nothing",
]

EPOCH: Final = 1
"""Feeds have one epoch: what was lost of one is fetched back from its followers."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A node whose feed is followed. is_frozen: it showed two histories, so nothing more of it is taken.

    was_alarmed: it did so once, whatever people decided then.
    """

    chain: StatementChain
    is_maintainer: bool
    is_frozen: bool
    was_alarmed: bool = False

    @property
    def node_id(self) -> NodeId:
        """Whose feed it is."""
        return self.chain.node_id


@dataclass(frozen=True, slots=True)
class Arrival:
    """A head in the journal of arrivals: whose it is, the head, its number."""

    node: NodeId
    note: bytes
    number: int


@dataclass(frozen=True, slots=True)
class Newest:
    """How far a journal of arrivals reaches; own: the head of the own feed, empty where there is none."""

    journal: bytes
    number: int
    own: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Quota of one feed's live entries and of its whole history, and how many feeds are taken at once over one link.

    100,000 entries: a university hospital has some 20,000 people. at_once: most feeds are a practice's, with ten
    entries, and share a transaction; what large ones take of memory is limited by FeedLocks.
    pull_every_s: a peer is asked so often, a fifth more or less, even if it never says that there is something new.
    """

    max_entries: int = 100_000
    max_bytes: int = 400 * 1024 * 1024
    max_operations: int = MAX_OPERATIONS
    at_once: int = 128
    pull_every_s: float = 600


class Ticket(Protocol):
    """Something to wait for."""

    async def wait(self) -> object:
        """Until it happened."""
        ...


class Link(Protocol):
    """A link to one authenticated peer. Errors of the transport pass through the library as they are."""

    peer: NodeId

    async def ask(self, message: Message) -> Message:
        """Send a request that has one reply, and wait for it."""
        ...

    def push_quietly(self, message: Message) -> None:
        """Send a message that wants no answer, if the link still lives."""
        ...


class Store(FeedStore, Protocol):
    """Where followed feeds, the journal of arrivals and the cursors at peers are kept."""

    async def find(self, node: NodeId) -> Followed | None:
        """How a node's feed is followed; None if it is not."""
        ...

    async def missing(self) -> list[Followed]:
        """Those that are followed and of which nothing is held yet."""
        ...

    async def held_note(self, node: NodeId) -> bytes:
        """The head under which the operations held of a feed stand; empty for none."""
        ...

    async def leaf_hashes(self, node: NodeId) -> Sequence[bytes]:
        """The leaf hashes of all operations held of a feed, in order."""
        ...

    async def keep_chain(self, followed: Followed, chain: StatementChain) -> None:
        """Keep newer statements of a followed node."""
        ...

    async def keep_rival(self, node: NodeId, statement: bytes) -> None:
        """Keep a signed statement that contradicts one held of a followed node, and freeze its feed."""
        ...

    async def forget(self, node: NodeId) -> None:
        """Forget what is held of a feed: it will be fetched anew from its beginning."""
        ...

    async def find_or_own(self, node: NodeId) -> Followed | None:
        """As `find`; of this node itself its own statements."""
        ...

    async def keep_alarm(self, chain: StatementChain, proof: ForkProof, code: str) -> bool:
        """Keep the proof that a node showed two histories, and freeze its feed; False for what is known.

        code: feed_fork or log_fork.
        """
        ...

    async def open_forks(self) -> Sequence[ForkProof]:
        """Proofs that nobody decided about yet: they are handed on."""
        ...

    def alarmed(self) -> Ticket:
        """Happens when there may be another open proof."""
        ...

    async def is_settled(self, head: Checkpoint) -> bool:
        """Whether people decided already against this very head."""
        ...

    async def chosen(self, node: NodeId) -> Checkpoint | None:
        """The head that people chose: a feed that is fetched anew must agree with it. None if none was chosen."""
        ...

    async def refresh(self, followed: Followed, note: bytes) -> None:
        """Keep a head of the size held if it is dated later; it arrives anew."""
        ...

    async def arrivals(self, after: int, limit: int) -> tuple[bytes, Sequence[Arrival]]:
        """The journal's id, and the heads that arrived after this number, in order, `limit` at most."""
        ...

    async def newest(self) -> Newest:
        """How far the journal reaches."""
        ...

    def changed(self) -> Ticket:
        """Happens when a head arrives after this call."""
        ...

    async def cursor(self, peer: NodeId) -> Cursor | None:
        """How far this peer's journal was taken; None for not at all."""
        ...

    async def set_cursor(self, peer: NodeId, cursor: Cursor) -> None:
        """Remember how far it was taken."""
        ...


Say = Callable[[str, NodeId, str], None]
"""Told what happened, to whose feed, and a detail, for a program's log."""


def say_nothing(_event: str, _node: NodeId, _detail: str) -> None:
    """A Say that keeps quiet."""


# Longer than a slow line takes for one answer.
_STANDS_STILL_S: Final = 60


class Place:
    """Room that one feed holds. moved(): to be called whenever something of it arrives."""

    def __init__(self, operations: int) -> None:
        self.operations = operations
        self.moved()

    def moved(self) -> None:
        """Something of the feed arrived just now."""
        self.moved_at = anyio.current_time()


class FeedLocks:
    """One lock for each feed, and room for the operations of some, shared by all links of a node: two peers that show
    one head do not both send it, and large feeds wait for each other. old_heads: what was found about heads that
    several may show.
    """

    def __init__(self, operations: int = 10_000) -> None:
        """operations: held in memory at once, at some 5 kB each; a feed of more is taken while no other is."""
        self._locks: dict[NodeId, anyio.Lock] = {}
        self._size = self._free = operations
        self._turn = anyio.Lock()
        self._left = anyio.Event()
        self._held: set[Place] = set()
        self.old_heads = OldHeads()

    def of(self, node: NodeId) -> anyio.Lock:
        """The lock of this node's feed."""
        return self._locks.setdefault(node, anyio.Lock())

    @asynccontextmanager
    async def room(self, operations: int) -> AsyncIterator[Place]:
        """Waits, in turn, until there is room for so many operations, and holds it as long as the block lasts.

        A feed of which nothing arrives for a minute loses its room: a peer that shows a large one and then sends
        nothing holds up no other. How long all of them take together does not matter: on a slow machine they wait.
        """
        place = Place(min(operations, self._size))
        async with self._turn:
            while place.operations > self._free:
                with anyio.move_on_after(_STANDS_STILL_S):
                    await self._left.wait()
                self._pass_over_idle()
        self._free -= place.operations
        self._held.add(place)
        place.moved()
        try:
            yield place
        finally:
            self._held.discard(place)
            self._free += place.operations
            self._left.set()
            self._left = anyio.Event()

    def _pass_over_idle(self) -> None:
        latest = anyio.current_time() - _STANDS_STILL_S
        for place in self._held:
            if place.moved_at <= latest:
                self._free += place.operations
                place.operations = 0
