"""Heads of feeds that a peer shows, its own and those of others: followed if the store follows them, judged always.

Spec: spec/directory.md, 4 and 8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import anyio

from directory_sync.compare import fetch_leaf_hashes
from directory_sync.follow import Check, FeedBatch, FeedSource, FollowResult, check_held, check_here, follow
from directory_sync.replica import EPOCH, FeedLocks, Followed, Limits, Link, Place, Say, Store, say_nothing
from protocol.checkpoint import CheckpointVerifier, parse_origin, peek_checkpoint
from protocol.errors import Reason, RemoteProtocolError
from protocol.fork_proof import ForkProof, prove_fork
from protocol.ids import NodeId
from protocol.merkle import root_of
from protocol.messages import FeedGet, FeedOps, Statements, StatementsGet
from protocol.statement import MAX_CHAIN, StatementChain

__all__ = ["FeedTaker", "verifier_of"]

# What following says of operations that do not go on from what is held.
_NOT_GOING_ON: Final = frozenset({Reason.BAD_PROOF, Reason.MISMATCH, Reason.MALFORMED, Reason.TOO_LARGE})
_CONTRADICTIONS: Final = frozenset({Reason.BAD_PROOF, Reason.MISMATCH, Reason.FORK, Reason.ROLLBACK})


def verifier_of(chain: StatementChain) -> CheckpointVerifier:
    """Verifies heads under every log key that these statements ever named."""
    return CheckpointVerifier(chain.node_id, chain.log_keys())


class _Held:
    """A source that tells the room it is held in that something arrived."""

    def __init__(self, source: FeedSource, place: Place) -> None:
        self._source = source
        self._place = place

    async def operations(self, node: NodeId, epoch: int, first: int) -> FeedBatch:
        """See FeedSource."""
        batch = await self._source.operations(node, epoch, first)
        self._place.moved()
        return batch


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
        check: Check = check_here,
    ) -> None:
        """own: whose heads are never taken from others. verifiers: may remember what they verified. check: may work
        elsewhere.
        """
        self._link = link
        self._store = store
        self._locks = locks
        self._own = own
        self._quota = limits
        self._verifiers = verifiers
        self._say = say
        self._check = check
        self._room = anyio.Semaphore(limits.at_once)
        # What `ask_missing` got of a feed before it knew the head.
        self._begun: dict[NodeId, FeedBatch] = {}
        self.peers_own_taken: Callable[[], None] = lambda: None
        """Called when the peer showed a head of its own feed that goes on from what is held."""

    async def take(self, notes: Sequence[bytes]) -> None:
        """Take heads of third nodes, some at a time. RemoteProtocolError for what no honest peer would pass on."""
        async with anyio.create_task_group() as group:
            for note in notes:
                # Before its task is made: a peer may push heads without end.
                await self._room.acquire()
                group.start_soon(self._take_one, note)

    async def _take_one(self, note: bytes) -> None:
        try:
            kind, node, epoch = parse_origin(peek_checkpoint(note).origin)
            if kind != "feed" or epoch != EPOCH or node == self._own:
                return
            followed = await self._store.find(node)
            if followed is not None:
                await self.follow(followed, note)
        finally:
            self._room.release()

    async def bring_up(self, node: NodeId, note: bytes, verifier: CheckpointVerifier) -> FollowResult:
        """Bring a feed up to a head that the peer showed. Errors as `directory_sync.follow.follow`."""
        quota = self._quota
        # Of a feed whose head is held already nothing is read: several links show it, and so does `ask_missing`.
        size = peek_checkpoint(note).size
        held = await self._store.held_note(node)
        # Before the feed is read: whoever shows old heads of a large one must not have it read for each.
        if held and (note == held or check_held(verifier.open(note), peek_checkpoint(held))):
            return FollowResult(0, size)
        async with self._locks.room(size) as place:
            result = await follow(
                node,
                EPOCH,
                note,
                verifier=verifier,
                source=_Held(self, place),
                store=self._store,
                max_entries=quota.max_entries,
                max_bytes=quota.max_bytes,
                max_operations=quota.max_operations,
                check=self._check,
            )
        if result.added:
            self._say("feed followed", node, f"{result.added} more, {result.size} now")
        return result

    async def operations(self, node: NodeId, epoch: int, first: int) -> FeedBatch:
        """See FeedSource."""
        begun = self._begun.pop(node, None)
        if begun is not None and first == 0:
            return begun
        reply = await self._link.ask(FeedGet(node, epoch, first))
        if not isinstance(reply, FeedOps):
            raise RemoteProtocolError(Reason.MISMATCH, "the peer does not serve a feed that it showed")
        return FeedBatch(reply.operations, reply.head, reply.more)

    async def follow(self, followed: Followed, note: bytes) -> bool:
        """Bring a feed up to this head; False if the head is older than what is held.

        A contradiction is kept as an alarm; of a frozen feed nothing is taken. RemoteProtocolError for what is the
        peer's fault: a head that its owner did not sign, operations that are not those of the head.
        """
        node = followed.node_id
        async with self._locks.of(node):
            if followed.is_frozen:
                await self._learn_while_frozen(followed, note)
                return True
            if followed.was_alarmed and await self._store.is_settled(peek_checkpoint(note)):
                return True
            try:
                await self._follow(followed, note)
            except RemoteProtocolError as error:
                if error.reason is Reason.UNKNOWN_KEY:
                    await self._follow_with_newer_keys(followed, note)
                elif error.reason in _CONTRADICTIONS and await self._is_of_a_lost_key(followed):
                    self._say("feed of lost keys forgotten", node, error.reason.value)
                    await self._store.forget(node)
                    await self._follow(followed, note)
                elif error.reason is Reason.ROLLBACK:
                    return await self._contradicts(followed, note)
                elif error.reason is Reason.FORK:
                    await self._alarm(followed, prove_fork(await self._store.held_note(node), note))
                elif error.reason in _NOT_GOING_ON:
                    await self._judge(followed, note, error)
                else:
                    raise
        return True

    async def _learn_while_frozen(self, followed: Followed, note: bytes) -> None:
        """Of a frozen feed nothing is taken but statements, which prove themselves: a recovery may settle it."""
        try:
            self._verifiers(followed.chain).open(note)
        except RemoteProtocolError as error:
            if error.reason is not Reason.UNKNOWN_KEY:
                raise
            chain = await self.newer_statements(followed.chain)
            if chain != followed.chain:
                await self._store.keep_chain(followed, chain)

    async def _is_of_a_lost_key(self, followed: Followed) -> bool:
        """Whether what is held stands under a key that a recovery replaced: its owner need not go on from that."""
        held = await self._store.held_note(followed.node_id)
        keys = followed.chain.trusted_log_keys()
        try:
            CheckpointVerifier(followed.node_id, keys).open(held)
        except RemoteProtocolError as error:
            return error.reason is Reason.UNKNOWN_KEY
        return False

    async def _judge(self, followed: Followed, note: bytes, error: RemoteProtocolError) -> None:
        """Operations that do not lead from what is held to the head: the owner's second history, or the peer's lie."""
        head = self._verifiers(followed.chain).open(note)
        held = await self._store.held_note(followed.node_id)
        if held and peek_checkpoint(held).size < head.size <= self._quota.max_operations:
            hashes = await fetch_leaf_hashes(head, self)
            known = peek_checkpoint(held)
            if root_of(hashes[: known.size]) != known.root:
                await self._alarm(followed, prove_fork(held, note, hashes))
                return
        if error.reason is not Reason.TOO_LARGE:
            raise error
        # Its owner signed it: the peer that passes it on is not to blame, and its other feeds go on.
        self._say("feed beyond its quota", followed.node_id, str(error))

    async def _follow(self, followed: Followed, note: bytes) -> None:
        if followed.was_alarmed and not await self._is_the_chosen_one(followed, note):
            return
        result = await self.bring_up(followed.node_id, note, self._verifiers(followed.chain))
        if followed.node_id == self._link.peer:
            self.peers_own_taken()
        if not result.added and followed.is_maintainer:
            await self._store.refresh(followed, note)

    async def _follow_with_newer_keys(self, followed: Followed, note: bytes) -> None:
        """The head is signed by a key that we do not know: the peer may know the newer statement."""
        chain = await self.newer_statements(followed.chain)
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

    async def _is_the_chosen_one(self, followed: Followed, note: bytes) -> bool:
        """After an alarm people may have chosen another history than the one held, which is fetched anew."""
        node = followed.node_id
        chosen = await self._store.chosen(node)
        if chosen is None or await self._store.held_note(node):
            return True
        head = self._verifiers(followed.chain).open(note)
        if head.size < chosen.size:
            return False
        hashes = await fetch_leaf_hashes(head, self)
        return root_of(hashes[: chosen.size]) == chosen.root

    async def newer_statements(self, chain: StatementChain) -> StatementChain:
        """A node's statements with those that the peer knows beyond them."""
        first, more, is_forked = 0, True, False
        while more:
            if first >= MAX_CHAIN:
                raise RemoteProtocolError(Reason.OVERLOAD, f"more than {MAX_CHAIN} statements of one node")
            reply = await self._link.ask(StatementsGet(chain.node_id, first))
            if not isinstance(reply, Statements):
                return chain
            for raw in reply.statements:
                try:
                    chain = chain.extend(raw)
                except RemoteProtocolError as error:
                    if error.reason is Reason.FORK:
                        # Who brings it is not to blame: two of the node's own signatures contradict each other.
                        is_forked = True
                        await self._store.keep_rival(chain.node_id, raw)
                    elif error.reason is not Reason.MISMATCH or not is_forked:
                        raise
            first, more = first + len(reply.statements), reply.more
        return chain

    async def _contradicts(self, followed: Followed, note: bytes) -> bool:
        """A head of fewer operations than we hold is old (False), or of another history (an alarm, True)."""
        head = self._verifiers(followed.chain).open(note)
        held = await self._store.held_note(followed.node_id)
        if not held:  # forgotten meanwhile
            return False
        known, old_heads = peek_checkpoint(held), self._locks.old_heads
        if old_heads.has(head, known):
            return False
        hashes = await self._store.leaf_hashes(followed.node_id)
        if root_of(hashes[: head.size]) == head.root:
            old_heads.add(head, known)
            return False
        await self._alarm(followed, prove_fork(held, note, hashes))
        return True

    async def _alarm(self, followed: Followed, proof: ForkProof) -> None:
        if await self._store.keep_alarm(followed.chain, proof, "feed_fork"):
            self._say("two histories", followed.node_id, proof.id.hex()[:12])

    async def ask_missing(self) -> None:
        """Fetch from this peer the feeds that the store follows and holds nothing of: newly accepted nodes."""
        # Ids alone: the statements of a country's nodes would stay in memory until the last feed is here.
        for node in [followed.node_id for followed in await self._store.missing()]:
            followed = await self._store.find(node)
            if followed is None or await self._store.held_note(node):
                continue  # not followed any more, or it came with the news meanwhile
            reply = await self._link.ask(FeedGet(node, EPOCH, 0))
            if isinstance(reply, FeedOps):
                self._begun[node] = FeedBatch(reply.operations, reply.head, reply.more)
                try:
                    await self.follow(followed, reply.head)
                finally:
                    self._begun.pop(node, None)
