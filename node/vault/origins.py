"""Where a received letter came from, as its row tells: what evidence about it names, and to whom that goes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from node.audit.log import LeafRef
from node.vault.returns import Return
from protocol.codec import FieldReader
from protocol.details import Details
from protocol.ids import EnvelopeId, MailboxId, NodeId
from protocol.slip import SignedSlip, Slip, decode_signed_slip

__all__ = ["Origin", "read_slip"]

_MAX_SLIP_BYTES: Final = 65_536


def read_slip(fields: FieldReader) -> SignedSlip:
    """The slip among the opened fields of a received letter's row."""
    return decode_signed_slip(fields.binary("slip", high=_MAX_SLIP_BYTES))


@dataclass(frozen=True, slots=True)
class Origin:
    """The slip of a received letter, and the envelope that brought it."""

    signed: SignedSlip
    envelope: EnvelopeId

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """From the opened fields of the letter's row."""
        return cls(read_slip(fields), EnvelopeId(fields.fixed("env", 32)))

    @property
    def slip(self) -> Slip:
        """What the sender signed."""
        return self.signed.slip

    def details(
        self, node: NodeId, mailbox: MailboxId, *, code: str | None = None, actor: MailboxId | None = None
    ) -> Details:
        """Of an event about the letter in this mailbox of this node."""
        return Details(
            node=node,
            peer=self.slip.sender_node,
            envelope=self.envelope,
            slip=self.signed.slip_id,
            letter=self.slip.letter_id,
            payload=self.slip.payload_id,
            mailbox=mailbox,
            code=code,
            actor=actor,
        )

    def answer(self, ref: LeafRef, letter: bytes, *, is_warning: bool = False, is_last: bool = False) -> Return:
        """The evidence at this leaf, to bring back to the sender's node. letter: the letter's row."""
        return Return(
            destination=self.slip.sender_node,
            envelope=self.envelope,
            reply_key=self.slip.reply_key,
            ref=ref,
            letter=letter,
            is_warning=is_warning,
            is_last=is_last,
        )
