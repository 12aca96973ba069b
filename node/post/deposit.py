"""Taking in letters that passed the checks (node/post/checking.py), batches inside the group commit.

Spec: spec/delivery.md, 4 and 8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from node.audit.log import LeafRef
from node.post.checking import RETRY_FULL_MS, CheckedOffer
from node.vault import schema
from node.vault.alert import Occasion, letter_path
from node.vault.alert_queue import AlertQueue
from node.vault.changes import mailbox_changed
from node.vault.database import AfterCommit, Transaction
from node.vault.dedup import KEPT_AFTER_EXPIRY_MS, Dedup, SeenDelivery, boxed_outcome
from node.vault.outcomes import MailboxOutcome, Outcome, RefusalCode
from node.vault.payload_rows import KeptPayload, PayloadRows
from node.vault.sealing import RowKeys, new_row_id
from node.vault.states import LetterFolder, LetterState
from protocol.details import Details
from protocol.evidence import Evidence
from protocol.ids import EnvelopeId, LeafTag, MailboxId
from protocol.logleaf import EventKind
from protocol.slip import Slip

__all__ = ["Depositor"]


class Depositor:
    """Writes deposits: letter rows, payload, dedup rows, leaves, alerts, in one transaction for a batch."""

    def __init__(
        self,
        *,
        keys: RowKeys,
        dedup: Dedup,
        payloads: PayloadRows,
        alerts: AlertQueue,
        old_evidence: Callable[[LeafRef], Evidence | None],
    ) -> None:
        self._keys = keys
        self._dedup = dedup
        self._payloads = payloads
        self._alerts = alerts
        self._old_evidence = old_evidence

    def deposit(self, tx: Transaction, items: Sequence[CheckedOffer]) -> Sequence[AfterCommit | Exception]:
        """The batch handler. Each result becomes a tuple of MailboxOutcome, in the order of the slip."""
        keys = [self._delivery_keys(item) for item in items]
        seen = self._dedup.find(tx.connection, [key for of_item in keys for key in of_item.values()])
        room = _Room(tx.connection, {mailbox for item in items for mailbox in item.accepted})
        batch = _Batch(seen=seen, room=room)
        results: list[AfterCommit | Exception] = [self._one(tx, item, keys[at], batch) for at, item in enumerate(items)]
        self._payloads.keep(tx, batch.payloads)
        self._alerts.queue(tx, batch.occasions)
        if batch.letters:
            tx.connection.execute(schema.letters.insert(), batch.letters)
        room.write(tx, self._keys)
        self._dedup.remember(tx.connection, batch.fresh)
        self._dedup.remember_envelopes(tx, batch.envelopes)
        return results

    def _delivery_keys(self, item: CheckedOffer) -> dict[MailboxId, bytes]:
        slip = item.slip
        return {
            recipient.mailbox: self._dedup.key(slip.sender_node, slip.letter_id, recipient.mailbox)
            for recipient in slip.recipients
        }

    def _one(self, tx: Transaction, item: CheckedOffer, keys: Mapping[MailboxId, bytes], batch: _Batch) -> AfterCommit:
        slip, size = item.slip, item.envelope.head.descriptor.ciphertext_length
        refused, deferred = dict(item.refused), dict(item.deferred)
        tag = LeafTag(tx.world.random_bytes(LeafTag.LENGTH))
        pending: list[tuple[MailboxId, Outcome, str, LeafRef | None]] = []
        stored = 0
        for mailbox, key in keys.items():
            if (known := batch.seen.get(key)) is not None:
                pending.append((mailbox, known.outcome, "", known.ref))
                continue
            code = refused.get(mailbox) or (mailbox not in deferred and batch.room.refusal(mailbox)) or ""
            if not code:
                wait = deferred.get(mailbox) or ("" if batch.room.take(mailbox, size) else RefusalCode.MAILBOX_FULL)
                if wait:
                    pending.append((mailbox, Outcome.DEFERRED, wait, None))
                    continue
            outcome = Outcome.REFUSED if code else Outcome.DEPOSITED
            kind = EventKind.REFUSED if code else EventKind.DEPOSITED
            ref = tx.log.append(kind, self._details(item, mailbox, code), tag=tag)
            row = SeenDelivery(key, outcome, ref, slip.expires_at_ms + KEPT_AFTER_EXPIRY_MS)
            batch.seen[key] = row
            batch.fresh.append(row)
            pending.append((mailbox, outcome, code, ref))
            if not code:
                letter_row = new_row_id(tx.now_ms, tx.world.random_bytes)
                batch.letters.append(self._letter_row(tx, item, mailbox, tag, letter_row))
                batch.occasions.append(self._occasion(slip, mailbox, tag, letter_row))
                stored += 1
        if any(ref is not None for _, _, _, ref in pending):
            batch.envelopes.append((item.envelope.envelope_id, slip))
        if stored:
            batch.payloads.append(KeptPayload(item.envelope.head.descriptor, item.inline, uses=stored))
        return AfterCommit(lambda: self._outcomes(tx, item, pending))

    @staticmethod
    def _occasion(slip: Slip, mailbox: MailboxId, tag: LeafTag, row: bytes) -> Occasion:
        return Occasion(
            mailbox,
            "deposited",
            slip.letter_id,
            slip.letter_class,
            letter=slip.letter_id,
            peer=slip.sender_node,
            tag=tag,
            path=letter_path(mailbox, row),
        )

    def _details(self, item: CheckedOffer, mailbox: MailboxId, code: str) -> Details:
        slip = item.slip
        return Details(
            node=self._keys.node_id,
            peer=slip.sender_node,
            envelope=item.envelope.envelope_id,
            slip=item.signed_slip.slip_id,
            letter=slip.letter_id,
            payload=slip.payload_id,
            mailbox=mailbox,
            code=code or None,
        )

    def _letter_row(
        self, tx: Transaction, item: CheckedOffer, mailbox: MailboxId, tag: LeafTag, row: bytes
    ) -> dict[str, object]:
        fields = {"slip": item.signed_slip.raw, "env": bytes(item.envelope.envelope_id), "mb": bytes(mailbox)}
        return {
            "id": row,
            "mailbox": self._keys.blind("mailbox", mailbox),
            "letter": self._keys.blind("letter", item.slip.sender_node, item.slip.letter_id),
            "folder": int(LetterFolder.INBOX),
            "state": int(LetterState.UNREAD),
            "arrived_at_ms": tx.now_ms,
            "payload": self._payloads.name(item.slip.payload_id),
            "tag": tag,
            "ladder_at_ms": tx.now_ms,
            "sealed": self._keys.seal_map("letters", row, "sealed", fields),
        }

    def _outcomes(
        self, tx: Transaction, item: CheckedOffer, pending: Sequence[tuple[MailboxId, Outcome, str, LeafRef | None]]
    ) -> tuple[MailboxOutcome, ...]:
        """After the commit: evidence of fresh leaves comes from the transaction, of older ones from the log."""
        results = []
        for mailbox, outcome, code, ref in pending:
            if ref is None:
                results.append(
                    MailboxOutcome(mailbox=mailbox, outcome=outcome, code=code, retry_after_ms=RETRY_FULL_MS)
                )
                continue
            evidence = tx.log.evidence_of(ref) or self._old_evidence(ref)
            results.append(
                boxed_outcome(
                    mailbox,
                    outcome,
                    evidence,
                    reply_key=item.slip.reply_key,
                    envelope_id=item.envelope.envelope_id,
                )
            )
        return tuple(results)


@dataclass(slots=True)
class _Batch:
    """What one transaction gathers over its offers."""

    seen: dict[bytes, SeenDelivery]
    room: _Room
    payloads: list[KeptPayload] = field(default_factory=list)
    occasions: list[Occasion] = field(default_factory=list)
    letters: list[dict[str, object]] = field(default_factory=list)
    fresh: list[SeenDelivery] = field(default_factory=list)
    envelopes: list[tuple[EnvelopeId, Slip]] = field(default_factory=list)


class _Room:
    """Quotas of the mailboxes in a batch, locked, counted in memory, written once."""

    def __init__(self, connection: sa.Connection, mailboxes: set[MailboxId]) -> None:
        table = schema.mailboxes
        self._connection = connection
        rows = connection.execute(
            sa.select(table.c.id, table.c.status, table.c.quota_bytes, table.c.used_bytes)
            .where(table.c.id.in_(sorted(mailboxes)))
            .order_by(table.c.id)
            .with_for_update()
        )
        self._rows = {MailboxId(row.id): row for row in rows}
        self._taken: dict[MailboxId, int] = {}

    def refusal(self, mailbox: MailboxId) -> str:
        """A code if the mailbox was closed since the checks."""
        row = self._rows.get(mailbox)
        return "" if row is not None and row.status == "open" else RefusalCode.CLOSED

    def take(self, mailbox: MailboxId, size: int) -> bool:
        """Count `size` bytes against the quota; False if there is no room."""
        row, taken = self._rows[mailbox], self._taken.get(mailbox, 0)
        if row.used_bytes + taken + size > row.quota_bytes:
            return False
        self._taken[mailbox] = taken + size
        return True

    def write(self, tx: Transaction, keys: RowKeys) -> None:
        """Write what was taken, and that there is something new."""
        table = schema.mailboxes
        for mailbox, taken in self._taken.items():
            values = {"used_bytes": table.c.used_bytes + taken, "changes": table.c.changes + 1}
            self._connection.execute(table.update().where(table.c.id == mailbox).values(values))
            mailbox_changed(tx, keys, mailbox)
