"""The rows of a letter that is sent: the sender's copy, one in the outbox per envelope, one delivery per recipient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from node.post.compose import ComposedEnvelope, ResolvedDraft, SealedLetter
from node.vault.database import Transaction
from node.vault.dedup import KEPT_AFTER_EXPIRY_MS
from node.vault.outbox_rows import OutboxItem, OutboxRows
from node.vault.payload_rows import PayloadRows
from node.vault.sealing import RowKeys
from node.vault.states import DeliveryState, LetterFolder, LetterState, OutboxState, Place
from protocol.ids import LeafTag
from protocol.letter import LetterClass

__all__ = ["SentRows", "Submission"]

_HOUR_MS: Final = 3_600_000
_FIRST_WARNING_MS: Final = {
    LetterClass.URGENT: 5 * 60_000,
    LetterClass.NORMAL: _HOUR_MS,
    LetterClass.BULK: 24 * _HOUR_MS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A letter ready to be written."""

    resolved: ResolvedDraft
    sealed: SealedLetter


class SentRows:
    """Makes the rows; whoever calls writes them."""

    def __init__(self, keys: RowKeys, payloads: PayloadRows, outbox: OutboxRows) -> None:
        self._keys = keys
        self._payloads = payloads
        self._outbox = outbox

    def sent_copy(self, tx: Transaction, item: Submission, row: bytes, tag: LeafTag) -> dict[str, object]:
        """Of `letters`: what the sender keeps."""
        sealed, sender = item.sealed, item.resolved.draft.sender
        fields = {"slip": sealed.own_slip, "mb": bytes(sender.id)}
        return {
            "id": row,
            "mailbox": self._keys.blind("mailbox", sender.id),
            "letter": self._keys.blind("letter", self._keys.node_id, sealed.letter_id),
            "folder": int(LetterFolder.SENT),
            "place": int(Place.SENT),
            "state": int(LetterState.OPENED),
            "arrived_at_ms": tx.now_ms,
            "payload": self._payloads.name(sealed.payload.descriptor.payload_id),
            "tag": tag,
            "sealed": self._keys.seal_map("letters", row, "sealed", fields),
        }

    def outbox_row(
        self, tx: Transaction, item: Submission, envelope: ComposedEnvelope, row: bytes, tag: LeafTag
    ) -> dict[str, object]:
        """Of `outbox`: an envelope on its way."""
        slip, resolved = envelope.slip, item.resolved
        new = OutboxItem(
            row=row,
            sender=self._keys.node_id,
            destination=slip.destination,
            envelope=envelope.envelope.raw,
            envelope_id=envelope.envelope.envelope_id,
            slip_id=envelope.signed_slip.slip_id,
            letter_id=slip.letter_id,
            payload_id=slip.payload_id,
            payload=self._payloads.name(slip.payload_id),
            reply_key=slip.reply_key,
            mailboxes=tuple(recipient.mailbox for recipient in slip.recipients),
            sender_mailbox=resolved.draft.sender.id,
            letter_class=slip.letter_class,
            sent_at_ms=resolved.sent_at_ms,
            expires_at_ms=resolved.expires_at_ms,
            tag=tag,
            state=OutboxState.WAITING,
            crashes=0,
            next_warning_at_ms=resolved.sent_at_ms + _FIRST_WARNING_MS[slip.letter_class],
            signed_slip=envelope.signed_slip.raw,
        )
        self._outbox.remember(new, item.sealed.payload.data)
        return self._outbox.new_row(new, kept_until_ms=resolved.expires_at_ms + KEPT_AFTER_EXPIRY_MS)

    def deliveries(
        self, tx: Transaction, item: Submission, envelope: ComposedEnvelope, outbox: bytes, tag: LeafTag
    ) -> list[dict[str, object]]:
        """Of `deliveries`: what the sender is shown of each recipient of an envelope."""
        order = {recipient.mailbox: at for at, recipient in enumerate(item.resolved.recipients)}
        rows = []
        for recipient in envelope.recipients:
            row = self._outbox.delivery_row(recipient.node, item.sealed.letter_id, recipient.mailbox)
            fields = {
                "node": bytes(recipient.node),
                "mb": bytes(recipient.mailbox),
                "address": recipient.address,
                "entry": recipient.entry_position,
                "at": order[recipient.mailbox],
            }
            rows.append(
                {
                    "id": row,
                    "outbox": outbox,
                    "tag": tag,
                    "state": int(DeliveryState.WAITING),
                    "changed_at_ms": tx.now_ms,
                    "sealed": self._keys.seal_map("deliveries", row, "sealed", fields),
                }
            )
        return rows
