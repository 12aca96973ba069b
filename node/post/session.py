"""A link once it is open: hello compared, statements and feed fetched, then mail both ways.

Spec: spec/delivery.md, 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog
import trio

from directory_sync.news import FeedNews
from directory_sync.taking import FeedTaker
from node.post.forward import Forwarder, SenderSide
from node.post.intake import result_frames
from node.post.network import LinkError, first_of
from node.post.offer_again import OfferAgain
from node.post.own_heads import OwnHeads
from node.post.peer_link import PeerLink
from node.post.results import Verifiers
from node.post.serve import Server
from node.post.turns import Turns
from node.post.withdraw import Withdrawals
from node.vault.claims import Claims
from node.vault.database import Database
from node.vault.dedup import Dedup
from node.vault.directory import Directory
from node.vault.feed_store import EPOCH, load_feed
from node.vault.peers import Peer, PeerFork, PeerHead, PeerRows
from node.vault.signals import PEERS
from protocol.checkpoint import parse_origin, peek_checkpoint
from protocol.errors import Reason, RemoteProtocolError
from protocol.merkle import verify_consistency
from protocol.message import Message
from protocol.messages import (
    Event,
    EventOk,
    FeedGet,
    HashesGet,
    Heads,
    Hello,
    LogProof,
    LogProofGet,
    NewsGet,
    RangeGet,
    Result,
    Statements,
    StatementsGet,
    StatusQuery,
    Withdraw,
)
from protocol.statement import StatementChain

__all__ = ["Session"]

# A restored node answers within a round trip; with a feed to fetch back, within some seconds.
# Often enough that little is forgotten, seldom enough that proofs cost nothing beside the letters.
_HEADS_EVERY_S: Final = 1
_MISSING_EVERY_S: Final = 5
_MOVES_ON_S: Final = 60

_logger = structlog.get_logger(__name__)


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
        claims: Claims,
        own: OwnHeads,
        news: FeedNews,
        feeds: FeedTaker,
        offer_again: OfferAgain,
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
        self._claims = claims
        self._own = own
        self._news = news
        self._feeds = feeds
        self._offer_again = offer_again
        self._following = trio.Lock()
        self._is_forwarding = False
        self._taken = {"log": trio.Event(), "feed": trio.Event()}
        feeds.peers_own_taken = lambda: self._note_taken("feed")

    # -- opening

    async def opened(self) -> None:
        """After the hellos: statements, heads, feed; then mail, until the link ends."""
        try:
            hello = self._link.peer_hello
            assert hello is not None
            await self._update_statements(hello)
            await self._own.compare(hello.seen)
            await self._take_heads(hello.heads)
            self._is_forwarding = True
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._turns.take, self._link.peer, self._forward)
                nursery.start_soon(self._own.push)
                nursery.start_soon(self._news.hint)
                nursery.start_soon(self._news.fetch)
                nursery.start_soon(self._fetch_missing)
                nursery.start_soon(self._keep_log_head)
        except* RemoteProtocolError as group:
            self._link.fail(first_of(group))
        except* LinkError:
            pass  # the link ended; whoever runs it knows why

    async def _fetch_missing(self) -> None:
        """Feeds of nodes that were accepted meanwhile, on whosever word: this peer may have them."""
        while True:
            ticket = self._database.signals.ticket(PEERS)
            await self._feeds.ask_missing()
            await ticket.wait()
            await trio.sleep(_MISSING_EVERY_S)

    async def _forward(self) -> None:
        """Of several processes of this node, each with a link to this peer, one forwards."""
        await self._claims.hold(self._forwarder.run, "forward", self._link.peer)

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
        others: list[bytes] = []
        for note in heads:
            kind, node, epoch = parse_origin(peek_checkpoint(note).origin)
            if kind == "feed":
                self._news.heard(note)
            if node != self._link.peer:
                others.append(note)
                continue
            try:
                if kind == "log":
                    await self._check_log_head(note, epoch)
                else:
                    await self._follow(note, epoch)
            except RemoteProtocolError as error:
                if error.reason not in (Reason.FORK, Reason.ROLLBACK, Reason.BAD_PROOF):
                    raise
                if error.reason is not Reason.ROLLBACK or not await self._moves_on(kind):
                    await self._alarm(note, kind, error)
            else:
                self._note_taken(kind)
        await self._feeds.take(others)

    async def _keep_log_head(self) -> None:
        """Hold the newest head that evidence showed, proved to go on from the one held: a peer whose log is put back
        must not find us remembering less than it showed us.
        """
        while True:
            ticket = self._sender.head_ticket(self._link.peer)
            newest = self._sender.newest_head(self._link.peer)
            if newest is not None:
                head, note = newest
                held = await self._database.read(self._peers.log_head, self._link.peer)
                known = None if held is None else peek_checkpoint(held)
                if known is not None and known.origin == head.origin and known.size < head.size:
                    await self._take_heads([note])
            await ticket.wait()
            await trio.sleep(_HEADS_EVERY_S)

    def _note_taken(self, kind: str) -> None:
        taken, self._taken[kind] = self._taken[kind], trio.Event()
        taken.set()

    async def _moves_on(self, kind: str) -> bool:
        """Whether a peer that showed an older head soon shows one that is not: it was restored, and learns from our
        hello what it had shown before.
        """
        taken = self._taken[kind]
        with trio.move_on_after(_MOVES_ON_S):
            await taken.wait()
        return taken.is_set()

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
            held_epoch = parse_origin(held.origin)[2]
            if epoch < held_epoch:
                raise RemoteProtocolError(Reason.ROLLBACK, f"log head of epoch {epoch} where {held_epoch} was shown")
            if epoch > held_epoch:
                await self._enter_epoch(note)
                return
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

    async def _enter_epoch(self, note: bytes) -> None:
        """The peer lost the end of its log, and what arrived with it: it is offered again."""
        await self._database.write(self._offer_again.take, PeerHead(self._link.peer, note))
        _logger.warning("a peer opened a new epoch of its log", peer=self._link.peer.text[:12])
        if self._is_forwarding:
            # The next link begins from the first letter that waits.
            await self._link.goodbye("replaced")

    async def _follow(self, note: bytes, epoch: int) -> None:
        if epoch != EPOCH or not await self._feeds.is_followed(self._link.peer):
            return
        async with self._following:
            await self._feeds.bring_up(self._link.peer, note, self._verifiers.of(await self._chain()))

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
                case NewsGet():
                    link.reply(stream, await self._news.answer(message))
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
                case Heads(heads, cursor):
                    await self._take_heads(heads)
                    if cursor is not None:
                        self._news.hinted()
        except* RemoteProtocolError as group:
            self._link.fail(first_of(group))
        except* LinkError:
            pass  # the link ended; the next one brings the same again
