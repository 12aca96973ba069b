"""What serves one link, wired: the two directions of mail, feeds, heads, cosigning, relaying."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from directory_sync.forks import ForkNews
from directory_sync.news import FeedNews
from directory_sync.replica import FeedLocks
from directory_sync.taking import FeedTaker
from node.post.cosigning import Cosigning
from node.post.feed_replica import FEED_LIMITS, FeedReplica, log_feed_event
from node.post.forward import Forwarder
from node.post.heads_shown import HeadsShown
from node.post.offer_again import OfferAgain
from node.post.own_heads import OwnHeads
from node.post.parts import PostParts
from node.post.peer_link import PeerLink
from node.post.session import Session
from node.post.turns import Turns
from node.relay.keeping import RelayKeeper
from node.relay.sending import RelaySender
from node.vault.feed_store import feed_head
from node.vault.peers import Peer
from protocol.messages import Hello

__all__ = ["Sessions"]

# Enough to fill a batch while the one before it is on its way; at 64 KiB each, 8 MiB for a peer that sends no faster.
_MAX_OFFERS: Final = 128


class Sessions:
    """Makes the session of each link."""

    def __init__(self, parts: PostParts) -> None:
        self._parts = parts
        self._turns = Turns()
        self._feed_locks = FeedLocks()
        self.replica = FeedReplica(
            parts.database, parts.following, parts.peers, parts.node_id, lists=parts.feed_process.lists
        )

    def hello(self, connection: sa.Connection, peer: Peer) -> Hello:
        """What this node says first on a link to a peer."""
        parts = self._parts
        # In this order: what is told later is compared with them.
        heads = (parts.own_log_head(connection), feed_head(connection, parts.node_id))
        held_log = parts.peers.log_head(connection, peer.node_id)
        seen = [held_log] if held_log is not None else []
        held_feed = feed_head(connection, peer.node_id)
        return Hello(
            node=parts.node_id,
            statement_number=parts.directory.own_chain().current.number,
            now_ms=parts.database.world.now_ms(),
            heads=tuple(note for note in heads if note),
            seen=tuple(note for note in (*seen, held_feed) if note),
            max_offers=_MAX_OFFERS,
        )

    def of(self, link: PeerLink, peer: Peer, hello: Hello) -> Session:
        """What serves this link. hello: what was said on it."""
        parts = self._parts
        forwarder = Forwarder(
            link,
            sender=parts.sender,
            directory=parts.directory,
            outbox=parts.outbox,
            payloads=parts.payloads,
            returns=parts.returns,
            identity=parts.own_keys.identity,
            node_id=parts.node_id,
            in_flight=parts.in_flight,
        )
        feeds = FeedTaker(
            link,
            self.replica,
            locks=self._feed_locks,
            own=parts.node_id,
            limits=FEED_LIMITS,
            verifiers=parts.verifiers.of,
            say=log_feed_event,
            check=parts.feed_process.check,
        )
        news = FeedNews(
            link,
            self.replica,
            feeds,
            own=parts.node_id,
            told=hello.heads[-1],
            limits=FEED_LIMITS,
            jitter=parts.database.world.jitter,
        )
        heads = HeadsShown(
            link,
            database=parts.database,
            directory=parts.directory,
            peers=parts.peers,
            verifiers=parts.verifiers,
            sender=parts.sender,
            replica=self.replica,
            news=news,
            feeds=feeds,
            offer_again=OfferAgain(parts.peers, parts.outbox),
        )
        return Session(
            link,
            peer,
            database=parts.database,
            peers=parts.peers,
            sender=parts.sender,
            server=parts.server,
            withdrawals=parts.withdrawals,
            dedup=parts.dedup,
            forwarder=forwarder,
            turns=self._turns,
            claims=parts.claims,
            own=OwnHeads(
                link,
                feeds=feeds,
                database=parts.database,
                directory=parts.directory,
                history=parts.history,
                log_head=parts.own_log_head,
                told=hello.heads,
                adopt=parts.adopt_statements,
            ),
            news=news,
            feeds=feeds,
            forks=ForkNews(
                link,
                self.replica,
                feeds,
                own=parts.node_id,
                verifiers=parts.verifiers.of,
                say=log_feed_event,
            ),
            heads=heads,
            cosigning=Cosigning(link, parts.cosigning, shown=heads, replica=self.replica),
            relay_sender=RelaySender(
                link,
                book=parts.book,
                sender=parts.sender,
                directory=parts.directory,
                outbox=parts.outbox,
                payloads=parts.payloads,
                returns=parts.returns,
                identity=parts.own_keys.identity,
                in_flight=parts.in_flight,
            ),
            relay_keeper=RelayKeeper(
                link,
                node_id=parts.node_id,
                book=parts.book,
                custody=parts.custody,
                sender=parts.sender,
                payloads=parts.payloads,
                withdrawals=parts.withdrawals,
                dedup=parts.dedup,
            ),
        )
