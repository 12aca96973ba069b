"""The checks of a letter that is offered, in their fixed order; what passes is deposited (node/post/deposit.py).

Spec: spec/delivery.md, 4. It runs in a thread over a batch of offers, and reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from node.audit.log import began_anew_at_ms
from node.config.sections import LimitSettings
from node.vault.dedup import KEPT_AFTER_EXPIRY_MS, Dedup
from node.vault.directory import Directory, named_relays
from node.vault.disk import DiskWatch
from node.vault.outcomes import MailboxOutcome, Outcome, RefusalCode
from node.vault.payload_rows import PayloadRows
from protocol.crypto import SealSecret
from protocol.entry import EntryStatus, MailboxEntry
from protocol.envelope import Envelope, open_envelope
from protocol.errors import Reason, RemoteProtocolError
from protocol.ids import MailboxId, NodeId
from protocol.payload import verify_chunk
from protocol.slip import MAX_LIFETIME_MS, SignedSlip, Slip, check_times
from protocol.statement import StatementChain

__all__ = ["RETRY_FULL_MS", "Checked", "CheckedOffer", "Checker", "OfferedEnvelope", "Refusal"]

RETRY_FULL_MS: Final = 15 * 60_000
"""After which what found a mailbox or the disk full may be offered again."""
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
            MailboxOutcome(mailbox=mailbox, outcome=Outcome.DEFERRED, code=checked.code, retry_after_ms=RETRY_FULL_MS)
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
