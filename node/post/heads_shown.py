"""Heads that a peer shows: of its own log and feed held against what it showed before, others handed to following.

Spec: spec/delivery.md, 7; spec/evidence.md, 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import structlog
import trio

from directory_sync.news import FeedNews
from directory_sync.replica import Link
from directory_sync.taking import FeedTaker
from node.post.feed_replica import FeedReplica
from node.post.network import LinkError
from node.post.offer_again import OfferAgain
from node.post.results import Verifiers
from node.post.sender_side import SenderSide
from node.vault.database import Database
from node.vault.directory import Directory
from node.vault.feed_store import EPOCH
from node.vault.peers import PeerHead, PeerRows
from protocol.checkpoint import Checkpoint, CheckpointVerifier, parse_origin, peek_checkpoint
from protocol.errors import Reason, RemoteProtocolError
from protocol.fork_proof import prove_fork
from protocol.merkle import verify_consistency
from protocol.messages import LogProof, LogProofGet
from protocol.statement import StatementChain

__all__ = ["EndableLink", "HeadsShown"]

# Evidence brings newer heads all the time: they are held once a second.
_HEADS_EVERY_S: Final = 1
# A restored node answers within a round trip; with a feed to fetch back, within some seconds.
_MOVES_ON_S: Final = 60
_ANSWERS_S: Final = 10

_CONTRADICTIONS: Final = frozenset({Reason.ROLLBACK, Reason.FORK, Reason.BAD_PROOF})

_logger = structlog.get_logger(__name__)


class EndableLink(Link, Protocol):
    """A link that can be ended in good order."""

    async def goodbye(self, code: str) -> None:
        """Say goodbye, and end."""
        ...


class HeadsShown:
    """Of one peer over one link."""

    def __init__(
        self,
        link: EndableLink,
        *,
        database: Database,
        directory: Directory,
        peers: PeerRows,
        verifiers: Verifiers,
        sender: SenderSide,
        replica: FeedReplica,
        news: FeedNews,
        feeds: FeedTaker,
        offer_again: OfferAgain,
    ) -> None:
        self._link = link
        self._database = database
        self._directory = directory
        self._peers = peers
        self._verifiers = verifiers
        self._sender = sender
        self._replica = replica
        self._news = news
        self._feeds = feeds
        self._offer_again = offer_again
        self._taken = {"log": trio.Event(), "feed": trio.Event()}
        self._feed_size = 0
        """Of the largest head of the peer's own feed that was taken over this link."""
        self.is_forwarding = False
        """Set when mail goes over the link already: a new epoch then needs a new link."""
        feeds.peers_own_taken = lambda: self._note_taken("feed")

    async def chain(self) -> StatementChain:
        """The peer's statements. LinkError if it is accepted no longer."""
        chain = await self._database.read(self._directory.trusted_chain, self._link.peer)
        if chain is None:
            raise LinkError("not_accepted", "the peer is no longer accepted")
        return chain

    async def learn_statements(self, number: int) -> bool:
        """Ask the peer for its statements if it names a newer one than we hold, or, with -1, in any case; whether there
        was something new.

        RemoteProtocolError: it does not give what it names (mismatch), or what it gives is not its own; its newest one
        has ended (expired).
        """
        chain, now_ms = await self.chain(), self._database.world.now_ms()
        before = chain
        if number > chain.current.number or number < 0:
            # From the first one on: a recovery may have replaced some that we hold. Those we know change nothing.
            chain = await self._feeds.newer_statements(chain)
            if number > chain.current.number:
                raise RemoteProtocolError(Reason.MISMATCH, "the peer does not give the statements that it names")
        if chain != before:
            await self._database.write(self._peers.set_chain, chain)
        if chain.current.valid_until_ms <= now_ms:
            raise RemoteProtocolError(Reason.EXPIRED, "the peer's keys have ended, and it has not renewed them")
        return chain != before

    async def take(self, heads: Sequence[bytes], *, of_hello: bool = False) -> None:
        """Judge heads in this order. RemoteProtocolError for what no honest peer would show.

        of_hello: whether they were shown before any other over this link.
        """
        others: list[bytes] = []
        for note in heads:
            head = peek_checkpoint(note)
            kind, node, epoch = parse_origin(head.origin)
            if kind == "feed":
                self._news.heard(note)
            if node != self._link.peer:
                others.append(note)
                continue
            try:
                await self._take_own(kind, note, epoch)
            except RemoteProtocolError as error:
                if error.reason is Reason.ROLLBACK:
                    # Pushed while those of its hello were judged, a newer head may overtake them.
                    was_overtaken = of_hello and kind == "feed" and head.size < self._feed_size
                    if was_overtaken or await self._moves_on(kind):
                        continue
                elif kind == "feed" or error.reason not in (Reason.FORK, Reason.BAD_PROOF):
                    raise
                await self._alarm(note, kind, error)
            else:
                if kind == "feed":
                    self._feed_size = max(head.size, self._feed_size)
                self._note_taken(kind)
        await self._feeds.take(others)

    async def _take_own(self, kind: str, note: bytes, epoch: int) -> None:
        """A head of the peer's own log or feed. Under a key that is not known it may have renewed its keys just now."""
        for is_last in (False, True):
            try:
                if kind == "log":
                    await self._check_log_head(note, epoch)
                elif epoch == EPOCH:
                    await self._follow(note)
            except RemoteProtocolError as error:
                if error.reason is not Reason.UNKNOWN_KEY or is_last or not await self.learn_statements(-1):
                    raise
            else:
                return

    async def keep_log_head(self) -> None:
        """Hold the newest head that evidence showed, proved to go on from the one held: a peer whose log is put back
        must not find us remembering less than it showed us. While the link lasts.
        """
        while True:
            ticket = self._sender.head_ticket(self._link.peer)
            newest = self._sender.newest_head(self._link.peer)
            if newest is not None:
                head, note = newest
                held = await self._database.read(self._peers.log_head, self._link.peer)
                known = None if held is None else peek_checkpoint(held)
                if known is not None and known.origin == head.origin and known.size < head.size:
                    await self.take([note])
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
        """A head that contradicts one that we hold: kept as proof; mail on the known keys goes on.

        Without the tree, two heads of different sizes show to nobody else that the peer does not go on from one to the
        other; the alarm's code says so.
        """
        peer = self._link.peer
        if kind == "log":
            held = await self._database.read(self._peers.log_head, peer)
        else:
            held = await self._replica.held_note(peer)
        if not held or await self._replica.is_settled(peek_checkpoint(note)):
            return
        code = f"{kind}_{error.reason.value}"
        if await self._replica.keep_alarm(await self.chain(), prove_fork(held, note), code):
            _logger.error("two histories", peer=peer.text[:12], code=code)

    async def _check_log_head(self, note: bytes, epoch: int) -> None:
        # Another link, or another process, may hold a newer head meanwhile: then it is compared with that one.
        while not await self._check_against_held(note, epoch):
            pass

    async def _check_against_held(self, note: bytes, epoch: int) -> bool:
        chain = await self.chain()
        verifier = self._verifiers.of(chain)
        new = verifier.open(note)
        held_note = await self._database.read(self._peers.log_head, self._link.peer)
        if held_note is not None:
            held = CheckpointVerifier(chain.node_id, chain.log_keys()).open(held_note)
            if epoch > parse_origin(held.origin)[2]:
                return await self._enter_epoch(note, held_note)
            try:
                compared = await self._compare_log_heads(held, new, note, epoch)
                if compared is None:
                    return True
                note = compared
            except RemoteProtocolError as error:
                if error.reason not in _CONTRADICTIONS or not _is_lost(held_note, verifier):
                    raise
                _logger.warning("the log does not go on from a head of lost keys", peer=self._link.peer.text[:12])
        return await self._database.write(self._peers.set_head, PeerHead(self._link.peer, note, held_note))

    async def _compare_log_heads(self, held: Checkpoint, new: Checkpoint, note: bytes, epoch: int) -> bytes | None:
        """The head to hold from now on: the new one, or the one up to which the peer proved that its log goes on.

        None: what is held stays.
        """
        held_epoch = parse_origin(held.origin)[2]
        if epoch < held_epoch:
            raise RemoteProtocolError(Reason.ROLLBACK, f"log head of epoch {epoch} where {held_epoch} was shown")
        if held.origin == new.origin and held.size:
            if new.size < held.size:
                # Two links may overtake each other: a log that has what we hold has not gone back.
                with trio.move_on_after(_ANSWERS_S):
                    if isinstance(await self._link.ask(LogProofGet(epoch, held.size)), LogProof):
                        return None
                raise RemoteProtocolError(Reason.ROLLBACK, f"log head of {new.size} where {held.size} was shown")
            if new.size == held.size and new.root != held.root:
                raise RemoteProtocolError(Reason.FORK, f"another root of the log at {held.size}")
            reply = await self._link.ask(LogProofGet(epoch, held.size))
            if not isinstance(reply, LogProof):
                raise RemoteProtocolError(Reason.BAD_PROOF, "the peer cannot prove that its log goes on")
            note, new = reply.head, self._verifiers.of(await self.chain()).open(reply.head)
            verify_consistency(
                old_size=held.size,
                old_root=held.root,
                new_size=new.size,
                new_root=new.root,
                proof=reply.hashes,
            )
        return note

    async def _enter_epoch(self, note: bytes, held_note: bytes) -> bool:
        """The peer lost the end of its log, and what arrived with it: it is offered again."""
        if not await self._database.write(self._offer_again.take, PeerHead(self._link.peer, note, held_note)):
            return False
        _logger.warning("a peer opened a new epoch of its log", peer=self._link.peer.text[:12])
        if self.is_forwarding:
            # The next link begins from the first letter that waits.
            await self._link.goodbye("replaced")
        return True

    async def _follow(self, note: bytes) -> None:
        followed = await self._replica.find(self._link.peer)
        if followed is not None and not await self._feeds.follow(followed, note):
            raise RemoteProtocolError(Reason.ROLLBACK, "a head of its feed that is older than one that it showed")


def _is_lost(note: bytes, verifier: CheckpointVerifier) -> bool:
    """Whether a head stands under a key that a recovery replaced."""
    try:
        verifier.open(note)
    except RemoteProtocolError as error:
        return error.reason is Reason.UNKNOWN_KEY
    return False
