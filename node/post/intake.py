"""Offers coming in: gathered into batches, checked in a thread, deposited in one transaction, answered.

Spec: spec/delivery.md, 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa
import structlog
import trio

from node.errors import StoreError
from node.post.allowance import Allowance
from node.post.checking import Checked, CheckedOffer, Checker, OfferedEnvelope, Refusal
from node.post.deposit import Depositor
from node.post.fair_queue import FairQueue
from node.post.network import LinkError, first_of
from node.post.peer_link import PeerLink
from node.post.pull import PayloadPuller
from node.relay.custody import Custody, CustodyOffer
from node.supervision import keep_running
from node.vault.database import Database
from node.vault.outcomes import MailboxOutcome, RefusalCode
from protocol.envelope import Envelope, decode_envelope
from protocol.errors import Reason, RemoteProtocolError
from protocol.frames import MAX_BODY_BYTES
from protocol.ids import EnvelopeId, NodeId
from protocol.messages import MailboxResult, Offer, Relayed, Result, Wanted, split_results

__all__ = ["Intake", "result_frames"]

_BATCH: Final = 64
# A batch is checked while the one before it is being committed.
_WORKERS: Final = 2
_RETRY_PAYLOAD_MS: Final = 30_000
# From one peer: a slow one must not keep the others waiting.
_PULLS_AT_ONCE: Final = 64
# Of mailboxes of one sender: each refusal is a leaf for ever. More than an old address list brings; beyond it some
# 40 MB a day.
_REFUSALS_AT_ONCE: Final = 1000
_REFUSALS_PER_S: Final = 0.25
_TELL_EVERY_S: Final = 3600

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    link: PeerLink
    stream: int
    offer: Offer


_Verdict = Checked | CustodyOffer | Relayed


def result_frames(
    envelope_id: EnvelopeId, outcomes: Sequence[MailboxOutcome], *, room: int = MAX_BODY_BYTES
) -> list[Result]:
    """The outcomes of one envelope as frames, as many as they need. room: see split_results."""
    return split_results(
        envelope_id,
        (
            MailboxResult(
                mailbox=outcome.mailbox,
                status=outcome.outcome.status,
                code=outcome.code,
                after_ms=outcome.retry_after_ms,
                evidence=outcome.evidence,
            )
            for outcome in outcomes
        ),
        room=room,
    )


class Intake:
    """Takes offers from all links of the node."""

    def __init__(
        self,
        *,
        database: Database,
        checker: Checker,
        depositor: Depositor,
        puller: PayloadPuller,
        custody: Custody,
        peer_unfinished_bytes: int,
    ) -> None:
        self._database = database
        self._checker = checker
        self._depositor = depositor
        self._puller = puller
        self._custody = custody
        self._peer_unfinished_bytes = peer_unfinished_bytes
        self._unfinished: dict[NodeId, int] = {}
        self._waiting = FairQueue[_Waiting]()
        self._arrived = trio.Event()
        self._slots: dict[NodeId, trio.Semaphore] = {}
        self._refusals: dict[NodeId, Allowance] = {}
        self._refusals_told: dict[NodeId, Allowance] = {}

    def take(self, link: PeerLink, stream: int, offer: Offer) -> None:
        """Put an offer in line. The link's window bounds how many there are; peers are served in turn."""
        self._waiting.put(link.peer, _Waiting(link, stream, offer))
        self._arrived.set()
        self._arrived = trio.Event()

    async def run(self) -> None:
        """Handle offers until cancelled."""
        async with trio.open_nursery() as pulls, trio.open_nursery() as workers:
            for _ in range(_WORKERS):
                workers.start_soon(keep_running, self._work, pulls)

    async def _work(self, pulls: trio.Nursery) -> None:
        while True:
            while not self._waiting:
                await self._arrived.wait()
            taken = self._waiting.take(_BATCH)
            try:
                checked, broken = await self._database.read_batch(self._check_batch, [item for _, item in taken])
            except StoreError:
                self._waiting.put_back(taken)
                raise
            for item, error in broken:
                item.link.fail(error)
            await self._handle(checked, pulls)

    def _check_batch(
        self, connection: sa.Connection, batch: Sequence[_Waiting]
    ) -> tuple[list[tuple[_Waiting, Envelope, _Verdict]], list[tuple[_Waiting, RemoteProtocolError]]]:
        """Each envelope with what is to become of it; and what is no envelope, with the reason."""
        items, offered = [], []
        foreign: list[tuple[_Waiting, Envelope, _Verdict]] = []
        now_ms = self._database.world.now_ms()
        broken: list[tuple[_Waiting, RemoteProtocolError]] = []
        for item in batch:
            try:
                envelope = decode_envelope(item.offer.envelope)
                if envelope.head.letter_class is not item.offer.letter_class:
                    raise RemoteProtocolError(Reason.MISMATCH, "offer and envelope name different classes")
            except RemoteProtocolError as error:
                broken.append((item, error))
                continue
            offer = OfferedEnvelope(envelope, item.offer.inline, item.link.peer)
            if envelope.head.destination != self._checker.node_id:
                foreign.append((item, envelope, self._custody.check(connection, offer, now_ms)))
                continue
            items.append(item)
            offered.append(offer)
        checked = self._checker.check(connection, offered, now_ms)
        envelopes = [offer.envelope for offer in offered]
        return [*zip(items, envelopes, checked, strict=True), *foreign], broken

    async def _handle(self, batch: Sequence[tuple[_Waiting, Envelope, _Verdict]], pulls: trio.Nursery) -> None:
        ready: list[tuple[_Waiting, CheckedOffer]] = []
        to_keep: list[tuple[_Waiting, CustodyOffer]] = []
        for item, envelope, result in batch:
            match result:
                case Refusal(code, retry_after_ms):
                    envelope_id = envelope.envelope_id
                    _logger.info("envelope refused", code=code, envelope=envelope_id.text[:12])
                    item.link.reply(item.stream, Result(envelope_id, code=code, after_ms=retry_after_ms))
                case CheckedOffer():
                    offer = self._within_bounds(result)
                    if offer.accepted and not offer.payload_here:
                        self._want(item, offer, pulls)
                    else:
                        ready.append((item, offer))
                case Relayed():
                    item.link.reply(item.stream, result)
                case CustodyOffer() if not result.payload_here:
                    self._want(item, result, pulls)
                case CustodyOffer():
                    to_keep.append((item, result))
                case _:
                    for part in result_frames(envelope.envelope_id, result):
                        item.link.reply(item.stream, part)
        results = await self._database.write_many(self._depositor.deposit, [offer for _, offer in ready])
        for (item, offer), outcomes in zip(ready, results, strict=True):
            for frame in self._frames(offer, outcomes):
                item.link.reply(item.stream, frame)
        kept = await self._keep([offer for _, offer in to_keep])
        for (item, custody), answer in zip(to_keep, kept, strict=True):
            for frame in self._frames(custody, answer):
                item.link.reply(item.stream, frame)

    def _within_bounds(self, offer: CheckedOffer) -> CheckedOffer:
        """The offer, with mailboxes that would be refused deferred instead where their sender had too many refused."""
        sender = offer.slip.sender_node
        refusals = self._refusals.setdefault(sender, Allowance(_REFUSALS_AT_ONCE, per_s=_REFUSALS_PER_S))
        if not offer.refused or refusals.take(len(offer.refused)):
            return offer
        if self._refusals_told.setdefault(sender, Allowance(1, per_s=1 / _TELL_EVERY_S)).take():
            _logger.warning("too many refused: put off", peer=sender.text[:12], code=offer.refused[0][1])
        put_off = tuple((mailbox, RefusalCode.BUSY) for mailbox, _ in offer.refused)
        return replace(offer, refused=(), deferred=(*offer.deferred, *put_off))

    def _want(self, item: _Waiting, offer: CheckedOffer | CustodyOffer, pulls: trio.Nursery) -> None:
        """Ask for the payload, unless this peer has announced more than it may leave unfinished; one it always may."""
        peer, size = item.link.peer, offer.envelope.head.descriptor.ciphertext_length
        unfinished = self._unfinished.get(peer, 0)
        envelope_id = offer.envelope.envelope_id
        if unfinished and unfinished + size > self._peer_unfinished_bytes:
            item.link.reply(item.stream, Result(envelope_id, code=RefusalCode.BUSY, after_ms=_RETRY_PAYLOAD_MS))
            return
        self._unfinished[peer] = unfinished + size
        pulls.start_soon(self._pull, item, offer)

    @staticmethod
    def _frames(
        offer: CheckedOffer | CustodyOffer, outcomes: tuple[MailboxOutcome, ...] | Refusal | Relayed | Exception
    ) -> Iterator[Result | Relayed]:
        envelope_id = offer.envelope.envelope_id
        if isinstance(outcomes, Relayed):
            yield outcomes
            return
        if isinstance(outcomes, Refusal):
            yield Result(envelope_id, code=outcomes.code, after_ms=outcomes.retry_after_ms)
            return
        if isinstance(outcomes, Exception):
            _logger.error("deposit failed", envelope=envelope_id.text[:12], error=type(outcomes).__name__)
            yield Result(envelope_id, code=RefusalCode.BUSY, after_ms=_RETRY_PAYLOAD_MS)
        else:
            yield from result_frames(envelope_id, outcomes)

    async def _pull(self, item: _Waiting, offer: CheckedOffer | CustodyOffer) -> None:
        """Fetch the payload, deposit, tell on the link if it still lives; a repeated offer learns it anyway.

        The offer is answered when its turn comes: until then it counts in the peer's window, so that no more of them
        gather here than a window and the transfers under way.
        """
        inline, done, link = None, False, item.link
        size = offer.envelope.head.descriptor.ciphertext_length
        try:
            async with self._slots.setdefault(link.peer, trio.Semaphore(_PULLS_AT_ONCE)):
                kept_bytes = self._peer_unfinished_bytes - self._unfinished[link.peer]
                descriptor = offer.envelope.head.descriptor
                await self._puller.drop_leftovers(link.peer, kept_bytes=kept_bytes, wanted=descriptor)
                link.reply(item.stream, Wanted(offer.envelope.envelope_id))
                inline = await self._puller.pull(link, descriptor)
            done = True
        except* LinkError as lost:
            _logger.info("payload interrupted", code=first_of(lost).code, peer=link.peer.text[:12])
        except* RemoteProtocolError as broken:
            link.fail(first_of(broken))
        except* StoreError as failed:
            _logger.error("payload not kept", reason=first_of(failed).message)
            busy = Result(offer.envelope.envelope_id, code=RefusalCode.BUSY, after_ms=_RETRY_PAYLOAD_MS)
            link.push_quietly(busy)
        finally:
            self._unfinished[link.peer] -= size
        if not done:
            return
        whole = replace(offer, inline=inline or offer.inline, payload_here=True)
        outcomes: tuple[MailboxOutcome, ...] | Refusal | Relayed | Exception
        if isinstance(whole, CustodyOffer):
            (outcomes,) = await self._keep([whole])
        else:
            outcomes = await self.deposit(whole)
        for frame in self._frames(offer, outcomes):
            link.push_quietly(frame)

    async def _keep(self, offers: Sequence[CustodyOffer]) -> Sequence[Refusal | Relayed | Exception]:
        """Take envelopes for clients into custody."""
        kept: Sequence[Refusal | Relayed | Exception] = await self._database.write_many(self._custody.keep, offers)
        return kept

    async def deposit(self, offer: CheckedOffer) -> tuple[MailboxOutcome, ...] | Exception:
        """Deposit one checked offer whose payload is here."""
        results = await self._database.write_many(self._depositor.deposit, [offer])
        return results[0]

    async def deposit_own(self, envelope: Envelope, own: NodeId) -> tuple[MailboxOutcome, ...] | Refusal:
        """The same checks and the same deposit for a letter between two mailboxes of this node."""
        offer = OfferedEnvelope(envelope, None, own)
        (checked,) = await self._database.read(self._checker.check, [offer], self._database.world.now_ms())
        if not isinstance(checked, CheckedOffer):
            return checked
        outcomes = await self.deposit(checked)
        if isinstance(outcomes, Exception):
            raise outcomes
        return outcomes
