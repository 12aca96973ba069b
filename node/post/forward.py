"""Offering what waits for one peer, and taking in what it answers. Spec: spec/delivery.md, 3."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
import structlog
import trio

from node.errors import StoreError
from node.post.inflight import InFlight
from node.post.network import first_of
from node.post.peer_link import PeerLink, Pending
from node.post.results import EndRefused, Finding, ResultWriter, Verifiers, check_result_evidence
from node.vault.database import Database
from node.vault.directory import Directory
from node.vault.outbox_rows import OutboxItem, OutboxRows
from node.vault.payload_rows import PayloadRows
from node.vault.returns import ReturnRows
from node.vault.signals import EXPIRIES, OUTBOX, PEERS, RETURNS, WITHDRAWALS
from node.vault.states import OutboxState
from protocol.checkpoint import Checkpoint
from protocol.crypto import SigningSecret
from protocol.details import Details
from protocol.errors import Reason, RemoteProtocolError
from protocol.evidence import boxed_envelope_id, decode_evidence, verify_evidence
from protocol.ids import EnvelopeId, NodeId
from protocol.letter import LetterClass
from protocol.logleaf import EventKind
from protocol.message import Message
from protocol.messages import Event, EventOk, MailboxResult, Offer, Result, StatusQuery, Withdraw, inline_fits
from protocol.withdrawal import Withdrawal, seal_withdrawal

__all__ = ["Forwarder", "SenderSide"]

# An urgent letter that comes waits behind at most this many that were read before it.
_READ_AHEAD: Final = 64
# Rows whose payload is on its way, remembered until the result is pushed; others are read again.
_WANTED_ROWS: Final = 256
# A round trip with a peer that has just renewed its keys.
_STATEMENT_WAIT_S: Final = 10
_FINDINGS_AT_ONCE: Final = 128

_logger = structlog.get_logger(__name__)


class SenderSide:
    """What all links of a node share on the sending side: verifying evidence and writing it down in batches."""

    def __init__(
        self,
        *,
        database: Database,
        directory: Directory,
        outbox: OutboxRows,
        writer: ResultWriter,
        verifiers: Verifiers,
    ) -> None:
        self.database = database
        self._directory = directory
        self._outbox = outbox
        self.writer = writer
        self._verifiers = verifiers
        self._waiting: list[tuple[OutboxItem, bytes, trio.Event, list[Exception]]] = []
        self._arrived = trio.Event()
        self._heads: dict[NodeId, tuple[Checkpoint, bytes]] = {}
        self._head_came: dict[NodeId, trio.Event] = {}

    async def run(self) -> None:
        """Verify and write what links hand over, in batches, until cancelled."""
        while True:
            while not self._waiting:
                self._arrived = trio.Event()
                await self._arrived.wait()
            batch, self._waiting = self._waiting[:_FINDINGS_AT_ONCE], self._waiting[_FINDINGS_AT_ONCE:]
            failed: Exception | None = None
            try:
                findings = await self.database.read_batch(self._verify_batch, batch)
                results = await self.database.write_many(self.writer.write, findings)
                failed = next((item for item in results if isinstance(item, Exception)), None)
            except StoreError as error:
                failed = error
            else:
                self._note_heads(findings)
            for _, _, done, errors in batch:
                if failed is not None:
                    errors.append(failed)
                done.set()

    # -- heads that evidence shows

    def _note_heads(self, findings: Sequence[Finding]) -> None:
        for finding in findings:
            node, head = finding.item.destination, finding.verified.checkpoint
            known = self._heads.get(node)
            if known is None or known[0].origin != head.origin or known[0].size < head.size:
                self._heads[node] = (head, finding.evidence.proof.checkpoint)
                event = self._head_came.pop(node, None)
                if event is not None:
                    event.set()

    def newest_head(self, node: NodeId) -> tuple[Checkpoint, bytes] | None:
        """The newest head of a peer's log that verified evidence showed, and its note."""
        return self._heads.get(node)

    def head_ticket(self, node: NodeId) -> trio.Event:
        """Set when a newer one comes. Take it before looking, then wait for it."""
        return self._head_came.setdefault(node, trio.Event())

    def _verify_batch(
        self, connection: sa.Connection, batch: Sequence[tuple[OutboxItem, bytes, trio.Event, list[Exception]]]
    ) -> list[Finding]:
        findings = []
        destinations = {item.destination for item, _, _, _ in batch}
        chains = {node: self._directory.known_chain(connection, node) for node in destinations}
        for item, boxed, _, errors in batch:
            chain = chains[item.destination]
            try:
                if chain is not None:
                    findings.append(check_result_evidence(boxed, item, self._verifiers.of(chain)))
            except RemoteProtocolError as error:
                errors.append(error)
        return findings

    async def take_evidence(self, item: OutboxItem, boxed: bytes) -> None:
        """Verify boxed evidence about an outbox item and write it down. RemoteProtocolError if it is not true.

        Under a key that is not known the destination may have renewed its keys just now: its statement is on its way.
        """
        deadline = trio.current_time() + _STATEMENT_WAIT_S
        while True:
            ticket = self.database.signals.ticket(PEERS)
            done, errors = trio.Event(), list[Exception]()
            self._waiting.append((item, boxed, done, errors))
            self._arrived.set()
            await done.wait()
            if not errors:
                return
            error = errors[0]
            if not isinstance(error, RemoteProtocolError) or error.reason is not Reason.UNKNOWN_KEY:
                raise error
            with trio.move_on_at(deadline) as waiting:
                await ticket.wait()
            if waiting.cancelled_caught:
                raise error

    async def take_custody(self, item: OutboxItem, relay: NodeId, raw: bytes) -> None:
        """Verify a relay's evidence of custody and write it down; it ends nothing. RemoteProtocolError if not true."""
        chain = await self.database.read(self._directory.known_chain, relay)
        if chain is None:
            return
        evidence = decode_evidence(raw)
        expected = Details(node=relay, envelope=item.envelope_id)
        verified = verify_evidence(evidence, self._verifiers.of(chain), expected=expected)
        if verified.kind is not EventKind.RELAYED:
            raise RemoteProtocolError(Reason.MISMATCH, "custody shown by evidence of another kind")
        await self.database.write(self.writer.write, Finding(item, item.mailboxes[0], evidence, verified))

    async def take_results(self, item: OutboxItem, results: Sequence[MailboxResult]) -> int:
        """Take the results of an envelope; returns the milliseconds after which to offer it again, 0 for not at all."""
        retry_ms = 0
        if len(results) == 1 and results[0].evidence:
            await self.take_evidence(item, results[0].evidence)
            return retry_ms
        async with trio.open_nursery() as nursery:
            for result in results:
                if result.evidence:
                    nursery.start_soon(self.take_evidence, item, result.evidence)
                elif result.status == "deferred":
                    retry_ms = max(retry_ms, result.after_ms or 60_000)
        return retry_ms

    async def take_refusal(self, item: OutboxItem, code: str) -> None:
        """The envelope was refused as a whole, without evidence: our own log records what we were told."""
        await self.database.write(self.writer.end_refused, EndRefused(item, code))

    async def take_event(self, peer: NodeId, event: Event) -> None:
        """Later evidence from a destination. Unknown envelopes are passed over: our rows may be gone by right."""
        envelope_id = boxed_envelope_id(event.evidence)
        found = await self.database.read(self._outbox.by_envelope, [envelope_id])
        item = found.get(envelope_id)
        if item is not None and item.destination == peer:
            await self.take_evidence(item, event.evidence)

    async def find(self, result: Result, peer: NodeId) -> OutboxItem | None:
        """The outbox item that a pushed result speaks of."""
        found = await self.database.read(self._outbox.by_envelope, [result.envelope_id])
        item = found.get(result.envelope_id)
        return item if item is not None and item.destination == peer else None


@dataclass(slots=True)
class _Retry:
    at: float


class Forwarder:
    """Forwards to one peer over one link, until cancelled with the link."""

    def __init__(
        self,
        link: PeerLink,
        *,
        sender: SenderSide,
        directory: Directory,
        outbox: OutboxRows,
        payloads: PayloadRows,
        returns: ReturnRows,
        identity: Callable[[], SigningSecret],
        node_id: NodeId,
        in_flight: InFlight,
    ) -> None:
        self._link = link
        self._sender = sender
        self._database = sender.database
        self._directory = directory
        self._outbox = outbox
        self._payloads = payloads
        self._returns = returns
        self._identity = identity
        self._node_id = node_id
        self._flying = in_flight
        self._after: dict[LetterClass, bytes] = {}
        self._busy: set[bytes] = set()
        self._wanted: dict[EnvelopeId, OutboxItem] = {}
        self._retries: dict[bytes, _Retry] = {}
        self._moved = trio.Event()
        self._destination = outbox.destination(link.peer)

    async def run(self) -> None:
        """Offer letters, ask for withdrawals and lost answers, bring back returns; all anew whenever it is run."""
        self._after.clear()
        self._busy.clear()
        self._retries.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._forward, nursery)
            nursery.start_soon(self._withdraw)
            nursery.start_soon(self._ask_again)
            nursery.start_soon(self._return)

    # -- offers

    async def _forward(self, nursery: trio.Nursery) -> None:
        while True:
            ticket = self._database.signals.ticket(OUTBOX, self._destination)
            moved = self._moved
            items = await self._database.read_batch(self._read_ahead, dict(self._after))
            for item, inline in items:
                if item.row not in self._busy:
                    await self._link.wait_offer(item.letter_class)
                    # Nothing is awaited between the window's word and the request that relies on it.
                    pending = self._link.begin(Offer(item.letter_class, item.envelope, inline))
                    self._flying.begin(item.row)
                    self._busy.add(item.row)
                    nursery.start_soon(self._finish_offer, item, pending)
                self._after[item.letter_class] = max(self._after.get(item.letter_class, b""), item.row)
            if not items:
                # Ids follow the clock, and only nearly the order of commits: a row may lie before those already read.
                if await self._database.read(self._outbox.waiting_ids, self._link.peer) <= self._busy:
                    await self._wait(ticket, moved)
                else:
                    self._after.clear()
            self._reset_due()

    def _read_ahead(
        self, connection: sa.Connection, after: dict[LetterClass, bytes]
    ) -> list[tuple[OutboxItem, bytes | None]]:
        items = self._outbox.waiting_for(connection, self._link.peer, after=after, limit=_READ_AHEAD)
        names = [item.payload for item, data in items if data is None and item.payload is not None]
        small = self._payloads.find_data(connection, names) if names else {}
        return [(item, _inline(item, data or small.get(item.payload or b""))) for item, data in items]

    async def _wait(self, ticket: trio.Event, moved: trio.Event) -> None:
        next_retry = min((retry.at for retry in self._retries.values()), default=math.inf)
        with trio.CancelScope(deadline=next_retry):
            async with trio.open_nursery() as nursery:

                async def until(event: trio.Event) -> None:
                    await event.wait()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(until, ticket)
                nursery.start_soon(until, moved)

    def _reset_due(self) -> None:
        now = trio.current_time()
        due = [row for row, retry in self._retries.items() if retry.at <= now]
        for row in due:
            del self._retries[row]
            self._busy.discard(row)
        if due:
            self._after.clear()

    async def _finish_offer(self, item: OutboxItem, pending: Pending) -> None:
        results: list[MailboxResult] = []
        try:
            reply = await pending.next()
            while isinstance(reply, Result):
                results.extend(reply.results)
                if not reply.more:
                    break
                reply = await pending.next()
        finally:
            self._flying.end(item.row)
        if isinstance(reply, Result):
            await self._settle(item, reply, results)
        else:
            # Wanted: the peer fetches the payload; its result comes as a push, or the next link asks again.
            if len(self._wanted) >= _WANTED_ROWS:
                self._wanted.pop(next(iter(self._wanted)))
            self._wanted[item.envelope_id] = item

    async def _settle(self, item: OutboxItem, reply: Result, results: Sequence[MailboxResult]) -> None:
        if reply.code and not reply.after_ms:
            await self._sender.take_refusal(item, reply.code)
            return
        retry_ms = 0
        try:
            retry_ms = max(reply.after_ms, await self._sender.take_results(item, results))
        except* RemoteProtocolError as group:
            self._link.fail(first_of(group))
        if retry_ms:
            self._retries[item.row] = _Retry(trio.current_time() + retry_ms / 1000)
            self._moved.set()
            self._moved = trio.Event()

    async def pushed(self, result: Result) -> None:
        """A result pushed on stream 0: the end of a payload's transfer."""
        item = self._wanted.pop(result.envelope_id, None) or await self._sender.find(result, self._link.peer)
        if item is not None:
            await self._settle(item, result, result.results)

    # -- withdrawals and returns

    async def _withdraw(self) -> None:
        asked: set[bytes] = set()
        while True:
            ticket = self._database.signals.ticket(WITHDRAWALS, self._destination)
            items = await self._database.read(
                lambda connection: self._outbox.with_state(connection, OutboxState.WITHDRAWING, self._link.peer)
            )
            for item in items:
                if item.row in asked:
                    continue
                asked.add(item.row)
                await self._ask_withdrawal(item)
            await ticket.wait()

    async def _ask_withdrawal(self, item: OutboxItem) -> None:
        chain = await self._database.read(self._directory.trusted_chain, item.destination)
        if chain is None:
            return
        withdrawal = Withdrawal(
            sender_node=self._node_id,
            destination=item.destination,
            envelope_id=item.envelope_id,
            letter_id=item.letter_id,
            mailboxes=item.mailboxes,
            expires_at_ms=item.expires_at_ms,
            time_ms=self._database.world.now_ms(),
            reply_key=item.reply_key,
        )
        box = seal_withdrawal(withdrawal, identity=self._identity(), seal_key=chain.current.seal_keys[0])
        await self._ask_results(item, Withdraw(box))

    async def _ask_results(self, item: OutboxItem, request: Message) -> None:
        """Send a request about an envelope that is answered by its results, and take them."""
        results: list[MailboxResult] = []
        pending, more = await self._link.begin_when_free(request), True
        while more:
            reply = await pending.next()
            assert isinstance(reply, Result)
            results.extend(reply.results)
            more = reply.more
        try:
            await self._sender.take_results(item, results)
        except* RemoteProtocolError as group:
            self._link.fail(first_of(group))

    async def _ask_again(self) -> None:
        """What ended without a word from its destination may have arrived there, and the answer was lost."""
        asked: set[bytes] = set()
        while True:
            ticket = self._database.signals.ticket(EXPIRIES, self._destination)
            for item in await self._database.read(self._outbox.ended_without_word, self._link.peer):
                if item.row not in asked:
                    asked.add(item.row)
                    await self._ask_results(item, StatusQuery(item.envelope_id))
            await ticket.wait()

    async def _return(self) -> None:
        while True:
            ticket = self._database.signals.ticket(RETURNS, self._destination)
            waiting = await self._database.read(self._returns.waiting_for, self._link.peer)
            for row, boxed in waiting:
                if boxed is not None:
                    reply = await self._link.ask(Event(boxed))
                    assert isinstance(reply, EventOk)
                await self._database.write(self._returns.done, row)
            if not waiting:
                await ticket.wait()


def _inline(item: OutboxItem, data: bytes | None) -> bytes | None:
    """The ciphertext, if it fits into the offer."""
    return data if data is not None and inline_fits(item.envelope, len(data)) else None
