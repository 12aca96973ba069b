"""Feeds in memory: for a program that looks at them and keeps nothing, for tests and simulations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import anyio

from directory_sync.answers import feed_part, statements_part
from directory_sync.replica import EPOCH, Arrival, Followed, Newest, Ticket
from protocol.checkpoint import Checkpoint
from protocol.cosignature import cosigned_at_s, witness_name
from protocol.crypto import hash_labelled
from protocol.errors import RemoteProtocolError
from protocol.feed import FeedState, Operation
from protocol.fork_proof import ForkProof
from protocol.ids import NodeId
from protocol.labels import Label
from protocol.merkle import leaf_hash
from protocol.message import Message
from protocol.messages import Cursor, FeedGet, FeedOps, Gone, Statements, StatementsGet
from protocol.statement import StatementChain

__all__ = ["MemoryStore"]

Changed = Callable[[NodeId, Sequence[Operation]], None]


@dataclass(slots=True)
class _Feed:
    state: FeedState
    note: bytes
    arrival: int
    operations: list[Operation] = field(default_factory=list)


class MemoryStore:
    """A Store (directory_sync/replica.py) that ends with the program.

    own: whose feed is written here, if any. journal: 16 bytes, random at each start, since the arrivals are lost.
    on_change: told of the operations that came to a feed.
    """

    def __init__(self, own: NodeId, journal: bytes, *, on_change: Changed = lambda _node, _operations: None) -> None:
        self._own = own
        self._journal = journal
        self._on_change = on_change
        self._followed: dict[NodeId, Followed] = {}
        self._feeds: dict[NodeId, _Feed] = {}
        self._cursors: dict[NodeId, Cursor] = {}
        self._newest = 0
        self._changed = anyio.Event()
        self.alarms: dict[bytes, tuple[ForkProof, str]] = {}
        """By their ids, proofs that a node showed two histories, with the code."""
        self.rivals: dict[NodeId, set[bytes]] = {}
        """Signed statements that contradict those held of a node."""

    def follow(self, chain: StatementChain, *, is_maintainer: bool = False) -> None:
        """Follow this node's feed from now on."""
        self._followed[chain.node_id] = Followed(chain, is_maintainer, is_frozen=False)

    def size(self, node: NodeId) -> int:
        """How many operations of a feed are held."""
        held = self._feeds.get(node)
        return 0 if held is None else held.state.size

    def digest(self) -> bytes:
        """One value for all that is held: two programs with the same one hold the same. Spec: spec/directory.md, 8."""
        parts = [
            node + held.state.size.to_bytes(8, "big") + held.state.tree.root()
            for node, held in sorted(self._feeds.items())
        ]
        return hash_labelled(Label.DIRECTORY, *parts)

    # -- answering

    def answer(self, request: Message) -> Message:
        """Operations and statements that a peer asks for."""
        match request:
            case FeedGet(node, epoch, first):
                held = self._feeds.get(node)
                if held is None or epoch != EPOCH:
                    return Gone("unknown_feed")
                raws = (operation.encode() for operation in held.operations[first:])
                answer: FeedOps | Statements = feed_part(
                    raws, first=first, size=held.state.size, head=held.note, erased=held.state.erased
                )
                return answer
            case StatementsGet(node, first):
                followed = self._followed.get(node)
                if followed is None:
                    return Gone("unknown_node")
                return statements_part(followed.chain.raw_list(), first=first)
            case _:
                return Gone("not_served")

    # -- Store

    async def load(self, node: NodeId, epoch: int) -> FeedState:
        """See FeedStore."""
        held = self._feeds.get(node)
        return FeedState() if held is None else held.state

    async def commit(
        self, node: NodeId, epoch: int, operations: Sequence[Operation], state: FeedState, head: bytes
    ) -> None:
        """See FeedStore."""
        self.put(node, operations, state, head)

    def put(self, node: NodeId, operations: Sequence[Operation], state: FeedState, head: bytes) -> None:
        """Keep the operations that lead to this state and its head."""
        held = self._feeds.setdefault(node, _Feed(state, head, 0))
        held.state = state
        held.operations.extend(operations)
        self._arrive(held, head)
        self._on_change(node, operations)

    def _arrive(self, held: _Feed, head: bytes) -> None:
        self._newest += 1
        held.note, held.arrival = head, self._newest
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def find(self, node: NodeId) -> Followed | None:
        """See Store."""
        return self._followed.get(node)

    async def missing(self) -> list[Followed]:
        """See Store."""
        return [followed for node, followed in self._followed.items() if node not in self._feeds]

    async def keep_rival(self, node: NodeId, statement: bytes) -> None:
        """See Store."""
        self.rivals.setdefault(node, set()).add(statement)
        followed = self._followed.get(node)
        if followed is not None:
            self._followed[node] = replace(followed, is_frozen=True)

    async def forget(self, node: NodeId) -> None:
        """See Store."""
        self._feeds.pop(node, None)

    async def find_or_own(self, node: NodeId) -> Followed | None:
        """See Store."""
        return self._followed.get(node)

    async def held_note(self, node: NodeId) -> bytes:
        """See Store."""
        return self.head(node)

    async def leaf_hashes(self, node: NodeId) -> Sequence[bytes]:
        """See Store."""
        return [leaf_hash(operation.leaf.encode()) for operation in self._feeds[node].operations]

    async def keep_chain(self, followed: Followed, chain: StatementChain) -> None:
        """See Store."""
        self._followed[chain.node_id] = replace(followed, chain=chain)

    async def keep_alarm(self, chain: StatementChain, proof: ForkProof, code: str) -> bool:
        """See Store."""
        is_new = proof.id not in self.alarms
        self.alarms.setdefault(proof.id, (proof, code))
        followed = self._followed.get(chain.node_id)
        if followed is not None:
            self._followed[chain.node_id] = replace(followed, chain=chain, is_frozen=True)
        self._wake()
        return is_new

    async def open_forks(self) -> Sequence[ForkProof]:
        """See Store."""
        return [proof for proof, _ in self.alarms.values()]

    def alarmed(self) -> Ticket:
        """See Store."""
        return self._changed

    async def is_settled(self, _head: Checkpoint) -> bool:
        """See Store. Nobody decides here: a program that looks on ends with what it saw."""
        return False

    async def chosen(self, _node: NodeId) -> Checkpoint | None:
        """See Store."""
        return None

    async def refresh(self, followed: Followed, note: bytes) -> None:
        """See Store."""
        held = self._feeds[followed.node_id]
        if _dated_s(followed.chain, note) > _dated_s(followed.chain, held.note):
            self._arrive(held, note)

    async def arrivals(self, after: int, limit: int) -> tuple[bytes, Sequence[Arrival]]:
        """See Store."""
        found = [Arrival(node, held.note, held.arrival) for node, held in self._feeds.items() if held.arrival > after]
        return self._journal, sorted(found, key=lambda item: item.number)[:limit]

    async def newest(self) -> Newest:
        """See Store."""
        own = self._feeds.get(self._own)
        return Newest(self._journal, self._newest, b"" if own is None else own.note)

    def changed(self) -> Ticket:
        """See Store."""
        return self._changed

    async def cursor(self, peer: NodeId) -> Cursor | None:
        """See Store."""
        return self._cursors.get(peer)

    async def set_cursor(self, peer: NodeId, cursor: Cursor) -> None:
        """See Store."""
        self._cursors[peer] = cursor

    def head(self, node: NodeId) -> bytes:
        """The head held of a feed, empty if none is."""
        held = self._feeds.get(node)
        return b"" if held is None else held.note


def _dated_s(chain: StatementChain, note: bytes) -> int:
    try:
        return cosigned_at_s(note, name=witness_name(chain.node_id), key=chain.current.witness_key)
    except RemoteProtocolError:
        return 0
