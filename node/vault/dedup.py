"""Dedup rows: what became of each delivery, and which envelopes were seen. Spec: spec/delivery.md, 4."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from node.audit.log import LeafRef, read_evidence
from node.vault import schema
from node.vault.database import Transaction
from node.vault.outcomes import MailboxOutcome, Outcome
from node.vault.sealing import RowKeys
from protocol.codec import check_binary
from protocol.crypto import Secret
from protocol.details import decode_details
from protocol.evidence import Evidence, box_evidence
from protocol.ids import EnvelopeId, LetterId, MailboxId, NodeId
from protocol.slip import Slip

__all__ = ["KEPT_AFTER_EXPIRY_MS", "Dedup", "SeenDelivery", "boxed_outcome"]

KEPT_AFTER_EXPIRY_MS: Final = 7 * 86_400_000
_LOOKUP_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class SeenDelivery:
    """The final result of one delivery and where its leaf stands."""

    key: bytes
    outcome: Outcome
    ref: LeafRef
    kept_until_ms: int


def boxed_outcome(
    mailbox: MailboxId, outcome: Outcome, evidence: Evidence | None, *, reply_key: Secret, envelope_id: EnvelopeId
) -> MailboxOutcome:
    """A final outcome with its evidence boxed for the sender; without, if the evidence was erased since."""
    if evidence is None:
        return MailboxOutcome(mailbox=mailbox, outcome=outcome)
    code = decode_details(evidence.details).code or ""
    boxed = box_evidence(evidence, reply_key=reply_key, envelope_id=envelope_id)
    return MailboxOutcome(mailbox=mailbox, outcome=outcome, code=code, evidence=boxed)


class Dedup:
    """The two dedup tables."""

    def __init__(self, keys: RowKeys) -> None:
        self._keys = keys

    def key(self, sender: NodeId, letter: LetterId, mailbox: MailboxId) -> bytes:
        """The blinded identity of a delivery."""
        return self._keys.blind("delivery", sender, letter, mailbox)

    def find(self, connection: sa.Connection, keys: Iterable[bytes]) -> dict[bytes, SeenDelivery]:
        """The deliveries among `keys` that have a final result."""
        table, wanted = schema.seen_deliveries, list(keys)
        found: dict[bytes, SeenDelivery] = {}
        for start in range(0, len(wanted), _LOOKUP_AT_ONCE):
            part = wanted[start : start + _LOOKUP_AT_ONCE]
            for row in connection.execute(sa.select(table).where(table.c.id.in_(part))):
                ref = LeafRef(row.epoch, row.position)
                found[row.id] = SeenDelivery(row.id, Outcome(row.outcome), ref, row.kept_until_ms)
        return found

    def remember(self, connection: sa.Connection, rows: Sequence[SeenDelivery]) -> None:
        """Insert final results; a key is inserted once (callers looked it up in the same transaction)."""
        if rows:
            connection.execute(
                schema.seen_deliveries.insert(),
                [
                    {
                        "id": row.key,
                        "outcome": int(row.outcome),
                        "epoch": row.ref.epoch,
                        "position": row.ref.position,
                        "kept_until_ms": row.kept_until_ms,
                    }
                    for row in rows
                ],
            )

    def remember_envelopes(self, tx: Transaction, items: Iterable[tuple[EnvelopeId, Slip]]) -> None:
        """Insert envelopes that have a result, so that repeats are answered without opening them."""
        table = schema.seen_envelopes
        rows = {}
        for envelope_id, slip in items:
            row = self._keys.blind("envelope", envelope_id)
            fields = {
                "from": bytes(slip.sender_node),
                "lid": bytes(slip.letter_id),
                "rk": slip.reply_key.reveal(),
                "mbs": [bytes(item.mailbox) for item in slip.recipients],
            }
            rows[row] = {
                "id": row,
                "kept_until_ms": slip.expires_at_ms + KEPT_AFTER_EXPIRY_MS,
                "sealed": self._keys.seal_map("seen_envelopes", row, "sealed", fields),
            }
        if not rows:
            return
        known = set(tx.connection.execute(sa.select(table.c.id).where(table.c.id.in_(list(rows)))).scalars())
        fresh = [values for row, values in rows.items() if row not in known]
        if fresh:
            tx.connection.execute(table.insert(), fresh)

    def seen(self, connection: sa.Connection, envelope_ids: Sequence[EnvelopeId]) -> frozenset[EnvelopeId]:
        """Which of these envelopes have a result: `outcomes` is asked for those alone."""
        table = schema.seen_envelopes
        names = {self._keys.blind("envelope", item): item for item in envelope_ids}
        rows = connection.execute(sa.select(table.c.id).where(table.c.id.in_(list(names)))).scalars()
        return frozenset(names[row] for row in rows)

    def outcomes(
        self, connection: sa.Connection, envelope_id: EnvelopeId, peer: NodeId, *, by_relay: bool = False
    ) -> tuple[tuple[MailboxOutcome, ...], tuple[MailboxId, ...]]:
        """The final results of an envelope of this peer, and its mailboxes that have none; empty if it is not known.

        by_relay: the peer is a relay of this node, which brings envelopes of others.
        """
        table = schema.seen_envelopes
        row = connection.execute(
            sa.select(table.c.id, table.c.sealed).where(table.c.id == self._keys.blind("envelope", envelope_id))
        ).one_or_none()
        if row is None:
            return (), ()
        fields = self._keys.open_map("seen_envelopes", row.id, "sealed", row.sealed)
        sender, letter = NodeId(fields.fixed("from", 32)), LetterId(fields.fixed("lid", 16))
        reply_key = Secret(fields.fixed("rk", 32))
        mailboxes = [MailboxId(check_binary(item, "mb", 16, 16)) for item in fields.items("mbs", high=40)]
        if sender != peer and not by_relay:
            return (), ()
        keys = {mailbox: self.key(sender, letter, mailbox) for mailbox in mailboxes}
        seen = self.find(connection, keys.values())
        known = tuple(
            boxed_outcome(
                mailbox,
                seen[key].outcome,
                read_evidence(connection, self._keys, seen[key].ref),
                reply_key=reply_key,
                envelope_id=envelope_id,
            )
            for mailbox, key in keys.items()
            if key in seen
        )
        return known, tuple(mailbox for mailbox, key in keys.items() if key not in seen)

    def reply_key(self, connection: sa.Connection, envelope_id: EnvelopeId, sender: NodeId) -> Secret | None:
        """The key under which evidence about an envelope of this node goes back; None once it is forgotten."""
        table = schema.seen_envelopes
        row = connection.execute(
            sa.select(table.c.id, table.c.sealed).where(table.c.id == self._keys.blind("envelope", envelope_id))
        ).one_or_none()
        if row is None:
            return None
        fields = self._keys.open_map("seen_envelopes", row.id, "sealed", row.sealed)
        return Secret(fields.fixed("rk", 32)) if fields.fixed("from", 32) == sender else None

    def prune(self, tx: Transaction, items: Sequence[int]) -> Sequence[None]:
        """Batch handler: forget what could not be accepted again before the given time."""
        for before_ms in items:
            for table in (schema.seen_deliveries, schema.seen_envelopes):
                tx.connection.execute(table.delete().where(table.c.kept_until_ms < before_ms))
        return [None] * len(items)
