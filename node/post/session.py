"""A link once it is open: hello compared, statements and feed fetched, then mail both ways.

Spec: spec/delivery.md, 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa
import structlog
import trio

from directory_sync.follow import FeedBatch, follow
from node.post.forward import Forwarder, SenderSide
from node.post.intake import result_frames
from node.post.network import LinkError, first_of
from node.post.peer_link import PeerLink
from node.post.results import Verifiers
from node.post.serve import Server
from node.post.turns import Turns
from node.post.withdraw import Withdrawals
from node.vault.database import Database, Transaction
from node.vault.dedup import Dedup
from node.vault.directory import EPOCH, Directory, load_feed, store_feed
from node.vault.peers import Peer, PeerFork, PeerHead, PeerRows
from node.vault.signals import FEED
from protocol.checkpoint import parse_origin, peek_checkpoint
from protocol.errors import Reason, RemoteProtocolError
from protocol.feed import FeedState, Operation
from protocol.ids import NodeId
from protocol.merkle import verify_consistency
from protocol.message import Message
from protocol.messages import (
    Event,
    EventOk,
    FeedGet,
    FeedOps,
    HashesGet,
    Heads,
    Hello,
    LogProof,
    LogProofGet,
    RangeGet,
    Result,
    Statements,
    StatementsGet,
    StatusQuery,
    Withdraw,
)
from protocol.statement import StatementChain

__all__ = ["FeedFollower", "Session"]

# One institution's live entries: a university hospital has some 20,000 people.
MAX_FEED_ENTRIES: Final = 100_000
MAX_FEED_BYTES: Final = 400 * 1024 * 1024

_logger = structlog.get_logger(__name__)


class _Commit:
    def __init__(
        self, node: NodeId, epoch: int, operations: Sequence[Operation], state: FeedState, head: bytes
    ) -> None:
        self.node, self.epoch, self.operations, self.state, self.head = node, epoch, operations, state, head


class FeedFollower:
    """The FeedStore and FeedSource of one peer's feed over one link."""

    def __init__(self, database: Database, link: PeerLink) -> None:
        self._database = database
        self._link = link

    async def load(self, node: NodeId, epoch: int) -> FeedState:
        """See FeedStore."""
        state, _ = await self._database.read(load_feed, node, epoch)
        return state

    async def commit(
        self, node: NodeId, epoch: int, operations: Sequence[Operation], state: FeedState, head: bytes
    ) -> None:
        """See FeedStore."""
        await self._database.write(_commit_feed, _Commit(node, epoch, operations, state, head))

    async def operations(self, node: NodeId, epoch: int, first: int) -> FeedBatch:
        """See FeedSource."""
        reply = await self._link.ask(FeedGet(node, epoch, first))
        if not isinstance(reply, FeedOps):
            raise RemoteProtocolError(Reason.MISMATCH, "the peer does not serve its own feed")
        return FeedBatch(reply.operations, reply.head, reply.more)


def _commit_feed(tx: Transaction, items: Sequence[_Commit]) -> Sequence[Exception | None]:
    results: list[Exception | None] = []
    for item in items:
        held, _ = load_feed(tx.connection, item.node, item.epoch, lock=True)
        if held.size + len(item.operations) == item.state.size:
            store_feed(tx.connection, item.node, item.epoch, list(item.operations), item.state, item.head)
        # Otherwise another link brought the same operations meanwhile; the next head is compared with those.
        results.append(None)
    return results


class Session:
    """Handles one peer over one link."""

    def __init__(
        self,
        link: PeerLink,
        peer: Peer,
        *,
        database: Database,
        directory: Directory,
        peers: PeerRows,
        verifiers: Verifiers,
        sender: SenderSide,
        server: Server,
        withdrawals: Withdrawals,
        dedup: Dedup,
        forwarder: Forwarder,
        turns: Turns,
    ) -> None:
        self._link = link
        self._peer = peer
        self._database = database
        self._directory = directory
        self._peers = peers
        self._verifiers = verifiers
        self._sender = sender
        self._server = server
        self._withdrawals = withdrawals
        self._dedup = dedup
        self._forwarder = forwarder
        self._turns = turns
        self._following = trio.Lock()

    # -- opening

    async def opened(self) -> None:
        """After the hellos: statements, heads, feed; then mail, until the link ends."""
        try:
            hello = self._link.peer_hello
            assert hello is not None
            await self._update_statements(hello)
            await self._take_heads(hello.heads)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._turns.take, self._link.peer, self._forwarder.run)
                nursery.start_soon(self._push_heads)
        except* RemoteProtocolError as group:
            self._link.fail(first_of(group))
        except* LinkError:
            pass  # the link ended; whoever runs it knows why

    async def _update_statements(self, hello: Hello) -> None:
        chain, first = await self._chain(), 0
        # From the first one on: a recovery may have replaced some that we hold. Those we know change nothing.
        while hello.statement_number > chain.current.number:
            reply = await self._link.ask(StatementsGet(self._link.peer, first))
            if not isinstance(reply, Statements) or not reply.statements:
                raise RemoteProtocolError(Reason.MISMATCH, "the peer does not give the statements that it names")
            for raw in reply.statements:
                chain = chain.extend(raw)
            first += len(reply.statements)
            await self._database.write(self._peers.set_chain, chain)

    async def _chain(self) -> StatementChain:
        chain = await self._database.read(self._directory.trusted_chain, self._link.peer)
        if chain is None:
            raise LinkError("not_accepted", "the peer is no longer accepted")
        return chain

    async def _take_heads(self, heads: Sequence[bytes]) -> None:
        for note in heads:
            kind, node, epoch = parse_origin(peek_checkpoint(note).origin)
            if node != self._link.peer:
                continue  # heads of third nodes: for wider replication
            try:
                if kind == "log":
                    await self._check_log_head(note, epoch)
                else:
                    await self._follow(note, epoch)
            except RemoteProtocolError as error:
                if error.reason not in (Reason.FORK, Reason.ROLLBACK, Reason.BAD_PROOF):
                    raise
                await self._alarm(note, kind, error)

    async def _alarm(self, note: bytes, kind: str, error: RemoteProtocolError) -> None:
        """A head that contradicts one that we hold: kept as proof; mail on the known keys goes on."""
        if kind == "log":
            peers = await self._database.read(self._peers.all)
            held = next((peer.log_head for peer in peers if peer.node_id == self._link.peer), None)
        else:
            _, held = await self._database.read(load_feed, self._link.peer, EPOCH)
        fork = PeerFork(self._link.peer, held or b"", note, f"{kind}_{error.reason.value}")
        await self._database.write(self._peers.set_fork, fork)
        _logger.error("two histories", peer=self._link.peer.text[:12], code=fork.code)

    async def _check_log_head(self, note: bytes, epoch: int) -> None:
        verifier = self._verifiers.of(await self._chain())
        new = verifier.open(note)
        peers = await self._database.read(self._peers.all)
        held_note = next((peer.log_head for peer in peers if peer.node_id == self._link.peer), None)
        if held_note is not None:
            held = verifier.open(held_note)
            if held.origin == new.origin and held.size:
                if new.size < held.size:
                    raise RemoteProtocolError(Reason.ROLLBACK, f"log head of {new.size} where {held.size} was shown")
                reply = await self._link.ask(LogProofGet(epoch, held.size))
                if not isinstance(reply, LogProof):
                    raise RemoteProtocolError(Reason.BAD_PROOF, "the peer cannot prove that its log goes on")
                note, new = reply.head, verifier.open(reply.head)
                verify_consistency(
                    old_size=held.size,
                    old_root=held.root,
                    new_size=new.size,
                    new_root=new.root,
                    proof=reply.hashes,
                )
        await self._database.write(self._peers.set_head, PeerHead(self._link.peer, note))

    async def _follow(self, note: bytes, epoch: int) -> None:
        async with self._following:
            follower = FeedFollower(self._database, self._link)
            result = await follow(
                self._link.peer,
                epoch,
                note,
                verifier=self._verifiers.of(await self._chain()),
                source=follower,
                store=follower,
                max_entries=MAX_FEED_ENTRIES,
                max_bytes=MAX_FEED_BYTES,
            )
        if result.added:
            _logger.info("feed followed", peer=self._link.peer.text[:12], added=result.added, size=result.size)

    async def _push_heads(self) -> None:
        last = await self._database.read(self._own_feed_head)
        while True:
            ticket = self._database.signals.ticket(FEED)
            note = await self._database.read(self._own_feed_head)
            if note != last:
                self._link.push_quietly(Heads((note,)))
                last = note
            await ticket.wait()

    def _own_feed_head(self, connection: sa.Connection) -> bytes:
        return load_feed(connection, self._directory.node_id, EPOCH)[1]

    # -- what the peer asks and tells

    async def request(self, stream: int, message: Message) -> None:
        """Answer one request of the peer."""
        link = self._link
        try:
            match message:
                case HashesGet():
                    await self._server.hashes(link, stream, message)
                case RangeGet():
                    await self._server.ranges(link, stream, message)
                case StatusQuery(envelope_id):
                    outcomes, _ = await self._database.read(self._dedup.outcomes, envelope_id, link.peer)
                    for frame in result_frames(envelope_id, outcomes):
                        link.reply(stream, frame)
                case Withdraw(box):
                    withdrawal, decided = await self._withdrawals.take(box, link.peer)
                    for frame in result_frames(withdrawal.envelope_id, decided):
                        link.reply(stream, frame)
                case Event():
                    await self._sender.take_event(link.peer, message)
                    link.reply(stream, EventOk())
                case StatementsGet():
                    await self._server.statements(link, stream, message)
                case FeedGet():
                    await self._server.feed(link, stream, message)
                case LogProofGet():
                    await self._server.log_proof(link, stream, message)
        except* RemoteProtocolError as group:
            link.fail(first_of(group))
        except* LinkError:
            pass  # the link ended while we were answering

    async def push(self, message: Message) -> None:
        """Take one push of the peer."""
        try:
            match message:
                case Result():
                    await self._forwarder.pushed(message)
                case Heads(heads):
                    await self._take_heads(heads)
        except* RemoteProtocolError as group:
            self._link.fail(first_of(group))
        except* LinkError:
            pass  # the link ended; the next one brings the same again
