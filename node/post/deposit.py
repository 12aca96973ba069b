"""Taking a letter in: the checks in their fixed order, then one transaction. Spec: spec/delivery.md, 4 and 8.

`Checker` runs in a thread over a batch of offers and reads only; `Depositor` writes batches inside the group commit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from node.audit.log import LeafRef, began_anew_at_ms
from node.config import LimitSettings
from node.vault import schema
from node.vault.alert_queue import AlertQueue, Occasion, letter_path
from node.vault.changes import mailbox_changed
from node.vault.database import AfterCommit, Transaction
from node.vault.dedup import KEPT_AFTER_EXPIRY_MS, Dedup, SeenDelivery, boxed_outcome
from node.vault.directory import Directory, named_relays
from node.vault.disk import DiskWatch
from node.vault.outcomes import MailboxOutcome, Outcome, RefusalCode
from node.vault.payload_rows import KeptPayload, PayloadRows
from node.vault.sealing import RowKeys, new_row_id
from node.vault.states import LetterFolder, LetterState
from protocol.crypto import SealSecret
from protocol.details import Details
from protocol.entry import EntryStatus, MailboxEntry
from protocol.envelope import Envelope, open_envelope
from protocol.errors import Reason, RemoteProtocolError
from protocol.evidence import Evidence
from protocol.ids import EnvelopeId, LeafTag, MailboxId, NodeId
from protocol.logleaf import EventKind
from protocol.payload import verify_chunk
from protocol.slip import MAX_LIFETIME_MS, SignedSlip, Slip, check_times
from protocol.statement import StatementChain

__all__ = ["Checked", "CheckedOffer", "Checker", "Depositor", "OfferedEnvelope", "Refusal"]

_RETRY_FULL_MS: Final = 15 * 60_000
_RETRY_UNKNOWN_KEY_MS: Final = 15_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """An envelope refused as a whole, before anything of it is attributable: a code, no evidence.

    retry_after_ms: 0 if it is final, else the sender may offer it again (its statement was not known yet).
    """

    code: str
    retry_after_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedOffer:
    """An envelope that passed the checks up to the signature, with what its mailboxes say so far.

    payload_here: all ciphertext is at hand (inline, or stored before). accepted: mailboxes that take it, pending quota.
    """

    envelope: Envelope
    signed_slip: SignedSlip
    inline: bytes | None
    payload_here: bool
    accepted: tuple[MailboxId, ...]
    refused: tuple[tuple[MailboxId, str], ...]
    deferred: tuple[tuple[MailboxId, str], ...]

    @property
    def slip(self) -> Slip:
        """The slip, checked."""
        return self.signed_slip.slip


@dataclass(frozen=True, slots=True)
class OfferedEnvelope:
    """What is to be checked: an envelope, its ciphertext if it came along, and the node that offers it."""

    envelope: Envelope
    inline: bytes | None
    peer: NodeId


Checked = CheckedOffer | Refusal | tuple[MailboxOutcome, ...]
"""What is to be deposited, why not, or what became of it when it came the last time."""


class _LookUp:
    """Directory look-ups of one batch, in one snapshot, each made once."""

    def __init__(self, connection: sa.Connection, directory: Directory) -> None:
        self.connection = connection
        self._directory = directory
        self._chains: dict[NodeId, StatementChain | None] = {}
        self._mailboxes: dict[MailboxId, MailboxEntry | None] = {}
        self._relays: tuple[NodeId, ...] | None = None

    def is_own_relay(self, node: NodeId) -> bool:
        """Whether this node named it as its relay: then it brings envelopes of others."""
        if self._relays is None:
            self._relays = named_relays(self.connection, self._directory, self._directory.node_id)
        return node in self._relays

    def chain(self, node: NodeId) -> StatementChain | None:
        """See Directory.trusted_chain."""
        if node not in self._chains:
            self._chains[node] = self._directory.trusted_chain(self.connection, node)
        return self._chains[node]

    def own_mailbox(self, mailbox: MailboxId) -> MailboxEntry | None:
        """See Directory.own_mailbox."""
        if mailbox not in self._mailboxes:
            self._mailboxes[mailbox] = self._directory.own_mailbox(self.connection, mailbox)
        return self._mailboxes[mailbox]


class Checker:
    """Checks 2 to 10 of spec/delivery.md, section 4."""

    def __init__(
        self,
        *,
        node_id: NodeId,
        seal_secrets: Callable[[], Mapping[bytes, SealSecret]],
        directory: Directory,
        dedup: Dedup,
        payloads: PayloadRows,
        limits: LimitSettings,
        disk: DiskWatch,
    ) -> None:
        self.node_id = node_id
        self._seal_secrets = seal_secrets
        self._directory = directory
        self._dedup = dedup
        self._payloads = payloads
        self._limits = limits
        self._disk = disk

    def check(self, connection: sa.Connection, offers: Sequence[OfferedEnvelope], now_ms: int) -> list[Checked]:
        """Check a batch of offers from authenticated peers, in one snapshot."""
        seen = self._dedup.seen(connection, [item.envelope.envelope_id for item in offers])
        look_up = _LookUp(connection, self._directory)
        return [self._one(look_up, item, item.envelope.envelope_id in seen, now_ms) for item in offers]

    def _one(self, look_up: _LookUp, offer: OfferedEnvelope, seen: bool, now_ms: int) -> Checked:
        if offer.envelope.head.destination != self.node_id:
            return Refusal(Reason.NOT_FOR_US.value)
        if not seen:
            return self._fresh(look_up, offer, now_ms)
        known, missing = self._dedup.outcomes(
            look_up.connection,
            offer.envelope.envelope_id,
            offer.peer,
            by_relay=look_up.is_own_relay(offer.peer),
        )
        if known and not missing:
            return known
        checked = self._fresh(look_up, offer, now_ms)
        if not (known and isinstance(checked, Refusal)):
            return checked
        # A refusal of the whole would say of the letters deposited before that they never came.
        return known + tuple(
            MailboxOutcome(mailbox=mailbox, outcome=Outcome.DEFERRED, code=checked.code, retry_after_ms=_RETRY_FULL_MS)
            for mailbox in missing
        )

    def _fresh(self, look_up: _LookUp, offer: OfferedEnvelope, now_ms: int) -> CheckedOffer | Refusal:
        envelope, inline, peer = offer.envelope, offer.inline, offer.peer
        try:
            signed = open_envelope(envelope, self._seal_secrets())
            if not self._was_lost(look_up.connection, signed.slip, now_ms):
                check_times(signed.slip, now_ms)
        except RemoteProtocolError as error:
            return Refusal(error.reason.value)
        slip = signed.slip
        if slip.sender_node != peer and not look_up.is_own_relay(peer):
            return Refusal(Reason.NOT_FOR_US.value)
        chain = look_up.chain(slip.sender_node)
        if chain is None:
            return Refusal(RefusalCode.UNKNOWN_SENDER)
        if slip.statement_number >= len(chain.statements):
            return Refusal(Reason.UNKNOWN_KEY.value, _RETRY_UNKNOWN_KEY_MS)
        if not chain.in_force(slip.statement_number, slip.sent_at_ms):
            return Refusal(Reason.UNKNOWN_KEY.value)
        try:
            signed.verify(chain.at(slip.statement_number).identity_key)
            if inline is not None:
                verify_chunk(envelope.head.descriptor, [], 0, inline)
        except RemoteProtocolError as error:
            return Refusal(error.reason.value)
        return self._check_mailboxes(look_up, envelope, signed, inline)

    @staticmethod
    def _was_lost(connection: sa.Connection, slip: Slip, now_ms: int) -> bool:
        """Whether this node may have had the letter and lost it with the end of its log (spec/backup.md, 7).

        It comes again when its deadline may have passed, but not after its dedup row might have been forgotten.
        """
        if not slip.expires_at_ms <= now_ms < slip.expires_at_ms + KEPT_AFTER_EXPIRY_MS:
            return False
        opened_ms = began_anew_at_ms(connection)
        return slip.sent_at_ms < opened_ms and slip.expires_at_ms <= slip.sent_at_ms + MAX_LIFETIME_MS

    def _check_mailboxes(
        self, look_up: _LookUp, envelope: Envelope, signed: SignedSlip, inline: bytes | None
    ) -> CheckedOffer:
        size = envelope.head.descriptor.ciphertext_length
        letter_class = signed.slip.letter_class
        accepted, refused, deferred = [], [], []
        disk_full = self._disk.refuses(letter_class, size)
        for recipient in signed.slip.recipients:
            mailbox = recipient.mailbox
            entry = look_up.own_mailbox(mailbox)
            code = self._refusal(entry, letter_class, size)
            if code:
                refused.append((mailbox, code))
            elif disk_full:
                deferred.append((mailbox, RefusalCode.DISK_FULL))
            else:
                accepted.append(mailbox)
        return CheckedOffer(
            envelope=envelope,
            signed_slip=signed,
            inline=inline,
            payload_here=inline is not None or self._payloads.is_complete(look_up.connection, envelope.head.descriptor),
            accepted=tuple(accepted),
            refused=tuple(refused),
            deferred=tuple(deferred),
        )

    def _refusal(self, entry: MailboxEntry | None, letter_class: str, size: int) -> str:
        if entry is None:
            return RefusalCode.UNKNOWN_MAILBOX
        if entry.status is not EntryStatus.OPEN:
            return RefusalCode.MOVED if entry.moved_to else RefusalCode.CLOSED
        if letter_class not in entry.accepts.classes:
            return RefusalCode.CLASS_NOT_ACCEPTED
        if size > min(entry.accepts.max_bytes, self._limits.letter_bytes) * 17 // 16 + 65536:
            return RefusalCode.TOO_LARGE
        return ""


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
                    MailboxOutcome(mailbox=mailbox, outcome=outcome, code=code, retry_after_ms=_RETRY_FULL_MS)
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
