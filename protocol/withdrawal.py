"""Taking a letter back: a signed request of the sending node, sealed to the destination. Spec: spec/sealing.md, 9."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from protocol.codec import check_binary, decode, decode_map, encode
from protocol.crypto import (
    HPKE_OVERHEAD_BYTES,
    SealKey,
    SealSecret,
    Secret,
    SigningSecret,
    VerifyKey,
    hpke_open,
    hpke_seal,
)
from protocol.errors import Reason, RemoteProtocolError
from protocol.ids import EnvelopeId, LetterId, MailboxId, NodeId
from protocol.labels import Label

__all__ = [
    "MAX_SEALED_WITHDRAWAL_BYTES",
    "MIN_SEALED_WITHDRAWAL_BYTES",
    "SignedWithdrawal",
    "Withdrawal",
    "open_withdrawal",
    "seal_withdrawal",
]

# 40 mailboxes of 18 bytes and under 300 bytes of fixed fields.
MAX_WITHDRAWAL_BYTES: Final = 2048
_FINGERPRINT_BYTES: Final = 8
MIN_SEALED_WITHDRAWAL_BYTES: Final = _FINGERPRINT_BYTES + HPKE_OVERHEAD_BYTES
MAX_SEALED_WITHDRAWAL_BYTES: Final = MIN_SEALED_WITHDRAWAL_BYTES + MAX_WITHDRAWAL_BYTES
_MAX_MAILBOXES: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """Which deliveries are taken back. expires_at_ms: the letter's deadline (how long a tombstone must stand).
    reply_key: the slip's, since the slip itself may never have arrived.
    """

    sender_node: NodeId
    destination: NodeId
    envelope_id: EnvelopeId
    letter_id: LetterId
    mailboxes: tuple[MailboxId, ...]
    expires_at_ms: int
    time_ms: int
    reply_key: Secret


@dataclass(frozen=True, slots=True)
class SignedWithdrawal:
    """A request as opened; its signature is not yet checked."""

    withdrawal: Withdrawal
    request: bytes
    signature: bytes

    def verify(self, identity_key: VerifyKey) -> None:
        """Check the sending node's signature; RemoteProtocolError(bad_signature)."""
        identity_key.verify(Label.WITHDRAW, self.request, self.signature)


def _info(destination: NodeId, key: SealKey) -> bytes:
    return Label.WITHDRAW.value + destination + key.fingerprint


def seal_withdrawal(withdrawal: Withdrawal, *, identity: SigningSecret, seal_key: SealKey) -> bytes:
    """Sign and seal a request. The box is preceded by the first 8 bytes of the seal key's fingerprint."""
    request = encode(
        {
            "v": 1,
            "from": bytes(withdrawal.sender_node),
            "to": bytes(withdrawal.destination),
            "env": bytes(withdrawal.envelope_id),
            "lid": bytes(withdrawal.letter_id),
            "mbs": [bytes(mailbox) for mailbox in withdrawal.mailboxes],
            "exp": withdrawal.expires_at_ms,
            "time": withdrawal.time_ms,
            "rk": withdrawal.reply_key.reveal(),
        }
    )
    plaintext = encode([request, identity.sign(Label.WITHDRAW, request)])
    box = hpke_seal(seal_key, info=_info(withdrawal.destination, seal_key), plaintext=plaintext)
    return seal_key.fingerprint[:_FINGERPRINT_BYTES] + box


def open_withdrawal(raw: bytes, *, own: NodeId, secrets: Mapping[bytes, SealSecret]) -> SignedWithdrawal:
    """Open a request sealed to this node. RemoteProtocolError: unknown_key, bad_box, not_for_us, malformed, …"""
    secret = secrets.get(raw[:_FINGERPRINT_BYTES])
    if secret is None:
        raise RemoteProtocolError(Reason.UNKNOWN_KEY, "sealed to a key that this node does not hold")
    plaintext = hpke_open(secret, info=_info(own, secret.seal_key), box=raw[_FINGERPRINT_BYTES:])
    outer = decode(plaintext, max_bytes=MAX_WITHDRAWAL_BYTES)
    if not isinstance(outer, list) or len(outer) != 2:
        raise RemoteProtocolError(Reason.MALFORMED, "expected [request, signature]")
    request = check_binary(outer[0], "request", 1, MAX_WITHDRAWAL_BYTES)
    signature = check_binary(outer[1], "signature", 64, 64)
    fields = decode_map(request, max_bytes=MAX_WITHDRAWAL_BYTES)
    fields.version()
    withdrawal = Withdrawal(
        sender_node=NodeId(fields.fixed("from", 32)),
        destination=NodeId(fields.fixed("to", 32)),
        envelope_id=EnvelopeId(fields.fixed("env", 32)),
        letter_id=LetterId(fields.fixed("lid", 16)),
        mailboxes=tuple(
            MailboxId(check_binary(item, "mb", 16, 16)) for item in fields.items("mbs", low=1, high=_MAX_MAILBOXES)
        ),
        expires_at_ms=fields.integer("exp", high=2**62),
        time_ms=fields.integer("time", high=2**62),
        reply_key=Secret(fields.fixed("rk", 32)),
    )
    fields.done()
    if withdrawal.destination != own:
        raise RemoteProtocolError(Reason.NOT_FOR_US, "a withdrawal for another node")
    return SignedWithdrawal(withdrawal, request, signature)
