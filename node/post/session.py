"""A link once it is open: hello compared, statements and feed fetched, then mail both ways.

Spec: spec/delivery.md, 7.
"""

from __future__ import annotations

from typing import Final

import structlog
import trio

from directory_sync.forks import ForkNews
from directory_sync.news import FeedNews
from directory_sync.taking import FeedTaker
from node.post.cosigning import Cosigning
from node.post.forward import Forwarder
from node.post.heads_shown import HeadsShown
from node.post.intake import result_frames
from node.post.network import LinkError, first_of
from node.post.own_heads import OwnHeads
from node.post.peer_link import PeerLink
from node.post.sender_side import SenderSide
from node.post.serve import Server
from node.post.turns import Turns
from node.post.withdraw import Withdrawals
from node.relay.keeping import RelayKeeper
from node.relay.sending import RelaySender
from node.vault.claims import Claims
from node.vault.database import Database
from node.vault.dedup import Dedup
from node.vault.peers import Peer, PeerRows
from node.vault.signals import PEERS
from protocol.errors import RemoteProtocolError
from protocol.message import Message
from protocol.messages import (
    CosignGet,
    Event,
    EventOk,
    FeedGet,
    Fork,
    HashesGet,
    Heads,
    HeldGet,
    LogProofGet,
    NewsGet,
    Pass,
    RangeGet,
    Relayed,
    Result,
    StatementsGet,
    StatusQuery,
    Withdraw,
)

__all__ = ["Session"]

# Often enough that little is forgotten, seldom enough that proofs cost nothing beside the letters.
_MISSING_EVERY_S: Final = 5

_logger = structlog.get_logger(__name__)


class Session:
    """Handles one peer over one link."""

    def __init__(
        self,
        link: PeerLink,
        peer: Peer,
        *,
        database: Database,
        peers: PeerRows,
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
        forks: ForkNews,
        heads: HeadsShown,
        cosigning: Cosigning,
        relay_sender: RelaySender,
        relay_keeper: RelayKeeper,
    ) -> None:
        self._link = link
        self._peer = peer
        self._database = database
        self._peers = peers
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
        self._forks = forks
        self._heads = heads
        self._cosigning = cosigning
        self._relay_sender = relay_sender
        self._relay_keeper = relay_keeper

    # -- opening

    async def met(self) -> bool:
        """After the hellos: learn the peer's newest statements; False if it cannot show one that holds now.

        Only a peer that can counts as reached: two that refuse each other must not dial each other without end.
        """
        hello = self._link.peer_hello
        assert hello is not None
        is_met = False
        try:
            await self._heads.learn_statements(hello.statement_number)
            is_met = True
        except* RemoteProtocolError as group:
            self._link.fail(first_of(group))
        except* LinkError:
            pass  # the link ended; whoever runs it knows why
        return is_met

    async def opened(self) -> None:
        """After that: heads, feed; then mail, until the link ends."""
        try:
            hello = self._link.peer_hello
            assert hello is not None
            await self._own.compare(hello.seen)
            await self._heads.take(hello.heads, of_hello=True)
            self._heads.is_forwarding = True
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._turns.take, self._link.peer, self._forward)
                nursery.start_soon(self._own.push)
                nursery.start_soon(self._news.hint)
                nursery.start_soon(self._news.fetch)
                nursery.start_soon(self._fetch_missing)
                nursery.start_soon(self._forks.push)
                nursery.start_soon(self._heads.keep_log_head)
                nursery.start_soon(self._cosigning.learn)
                nursery.start_soon(self._cosigning.offer)
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
        await self._claims.hold(self._forward_all, "forward", self._link.peer)

    async def _forward_all(self) -> None:
        async with trio.open_nursery() as nursery:
            for work in (self._forwarder.run, self._relay_sender.run, self._relay_keeper.run):
                nursery.start_soon(work)

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
                case Pass():
                    await self._relay_keeper.take(stream, message)
                case StatementsGet():
                    await self._server.statements(link, stream, message)
                case FeedGet():
                    await self._server.feed(link, stream, message)
                case NewsGet():
                    link.reply(stream, await self._news.answer(message))
                case CosignGet():
                    link.reply(stream, await self._cosigning.answer(message))
                case HeldGet():
                    link.reply(stream, await self._cosigning.held(message))
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
                    if not (await self._relay_sender.pushed(message) or await self._relay_keeper.pushed(message)):
                        await self._forwarder.pushed(message)
                case Relayed():
                    await self._relay_sender.pushed(message)
                case Fork(proof):
                    await self._forks.take(proof)
                case Heads(heads, cursor):
                    await self._heads.take(heads)
                    if cursor is not None:
                        self._news.hinted()
        except* RemoteProtocolError as group:
            self._link.fail(first_of(group))
        except* LinkError:
            pass  # the link ended; the next one brings the same again
