"""The sending side that all links of a node share: what destinations answer is verified and written down.

Spec: spec/delivery.md, 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa
import trio

from node.audit.log import began_anew_at_ms
from node.errors import StoreError
from node.post.resealing import Resealer, Verdict
from node.post.results import EndRefused, Finding, ResultWriter, Verifiers, check_result_evidence
from node.vault.database import Database
from node.vault.directory import Directory
from node.vault.outbox_rows import OutboxItem, OutboxRows
from node.vault.signals import PEERS
from protocol.checkpoint import Checkpoint, CheckpointVerifier
from protocol.details import Details
from protocol.errors import Reason, RemoteProtocolError
from protocol.evidence import boxed_envelope_id, decode_evidence, verify_evidence
from protocol.ids import EnvelopeId, NodeId
from protocol.logleaf import EventKind
from protocol.messages import Event, MailboxResult, Result

__all__ = ["SenderSide"]

# A round trip with a peer that has just renewed its keys.
_STATEMENT_WAIT_S: Final = 10
_FINDINGS_AT_ONCE: Final = 128
# What was sealed again is offered as soon as the row is read anew.
_AT_ONCE_MS: Final = 1
# The destination contradicts its own statements: it was restored, and will be recovered, or it lies.
_RETRY_NO_KEY_MS: Final = 15 * 60_000


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
        resealer: Resealer,
    ) -> None:
        self.database = database
        self._directory = directory
        self._outbox = outbox
        self.writer = writer
        self._verifiers = verifiers
        self.resealer = resealer
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
                    findings.append(self._verify(connection, boxed, item, self._verifiers.of(chain)))
            except RemoteProtocolError as error:
                errors.append(error)
        return findings

    def _verify(
        self, connection: sa.Connection, boxed: bytes, item: OutboxItem, verifier: CheckpointVerifier
    ) -> Finding:
        try:
            return check_result_evidence(boxed, item, verifier)
        except RemoteProtocolError as error:
            present = self._outbox.find(connection, item.row) if error.reason is Reason.MISMATCH else None
            if present is None:
                raise
        # It may have been sealed again since it was read. A node that was restored does not know how often it was.
        knows_sealings = present.sent_at_ms >= began_anew_at_ms(connection)
        return check_result_evidence(boxed, present, verifier, knows_sealings=knows_sealings)

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
        retry_ms, has_no_key = 0, False
        if len(results) == 1 and results[0].evidence:
            await self.take_evidence(item, results[0].evidence)
            return retry_ms
        async with trio.open_nursery() as nursery:
            for result in results:
                if result.evidence:
                    nursery.start_soon(self.take_evidence, item, result.evidence)
                elif result.status == "deferred":
                    retry_ms = max(retry_ms, result.after_ms or 60_000)
                    has_no_key = has_no_key or result.code == Reason.UNKNOWN_KEY.value
        if has_no_key and await self.resealer.refused(item) is Verdict.SEALED:
            return _AT_ONCE_MS
        return retry_ms

    async def take_refusal(
        self, item: OutboxItem, code: str, about: EnvelopeId, *, wait_s: float = _STATEMENT_WAIT_S
    ) -> int:
        """An envelope was refused as a whole, without evidence; returns the milliseconds after which to offer the
        letter again, 0 if it ended: then our own log records what we were told.

        about: the envelope refused, which the letter may not be any more. wait_s: how long to wait for a statement with
        a newer key, which may be on its way. Spec: spec/delivery.md, 15.
        """
        if about != item.envelope_id:
            return _AT_ONCE_MS
        has_no_key = code == Reason.UNKNOWN_KEY.value
        if has_no_key or code == Reason.BAD_SIGNATURE.value:
            match await self._seal_again(item, wait_s if has_no_key else 0):
                case Verdict.SEALED | Verdict.CHANGED:
                    return _AT_ONCE_MS
                case Verdict.NO_NEWER_KEY if has_no_key:
                    return _RETRY_NO_KEY_MS
        await self.database.write(self.writer.end_refused, EndRefused(item, code, about))
        return 0

    async def _seal_again(self, item: OutboxItem, wait_s: float) -> Verdict:
        verdict = Verdict.NO_NEWER_KEY
        with trio.move_on_after(wait_s) as waiting:
            # What was begun is finished: a cancelled write may have been committed.
            while True:
                ticket = self.database.signals.ticket(PEERS)
                with trio.CancelScope(shield=True):
                    verdict = await self.resealer.refused(item)
                if verdict is not Verdict.NO_NEWER_KEY or waiting.cancel_called:
                    break
                await ticket.wait()
        return verdict

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
