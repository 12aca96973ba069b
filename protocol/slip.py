"""The slip: what the destination's node must know of a letter, signed by the sending node. Spec: spec/sealing.md, 7."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from protocol.codec import FieldReader, Value, check_binary, decode, decode_map, encode
from protocol.crypto import (
    HPKE_OVERHEAD_BYTES,
    SealKey,
    SealSecret,
    Secret,
    SigningSecret,
    VerifyKey,
    hash_labelled,
    hpke_open,
    hpke_seal,
)
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import LetterId, MailboxId, NodeId, PayloadId, SlipId
from protocol.labels import Label
from protocol.letter import LetterClass, SignedLetter

__all__ = [
    "MAX_CLOCK_SKEW_MS",
    "MAX_LIFETIME_MS",
    "MAX_SIGNED_SLIP_BYTES",
    "MAX_SLIP_RECIPIENTS",
    "WRAP_BYTES",
    "SignedSlip",
    "Slip",
    "SlipRecipient",
    "check_letter_against_slip",
    "check_times",
    "decode_signed_slip",
    "open_wrap",
    "seal_wrap",
    "sign_slip",
]

# So that an envelope fits one 64 KiB frame: 40 wraps of 1,168 bytes are 48 kB.
MAX_SLIP_RECIPIENTS: Final = 40
MAX_SIGNED_SLIP_BYTES: Final = 60 * 1024 - 4
_KEY_BYTES: Final = 32
WRAP_BYTES: Final = HPKE_OVERHEAD_BYTES + _KEY_BYTES
# Clocks set by hand differ by minutes; more than that is noticed and named rather than accepted.
MAX_CLOCK_SKEW_MS: Final = 10 * 60_000
# Bounds the time for which deliveries are remembered: a replay after it has expired anyway.
MAX_LIFETIME_MS: Final = 30 * 86_400_000
_MAX_STATEMENT_NUMBER: Final = 2**31 - 1
_MAX_TIME_MS: Final = 2**62


@dataclass(frozen=True, slots=True)
class SlipRecipient:
    """A mailbox of the destination, and the payload key sealed to it."""

    mailbox: MailboxId
    wrap: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """What the destination's node is told. Times: milliseconds UTC.

    statement_number: of the sender's statement whose identity key signs. reply_key: 32 bytes under which
    evidence returns, drawn for this slip alone. recipients: 1 to 40 mailboxes, each once.
    """

    sender_node: NodeId
    statement_number: int
    destination: NodeId
    letter_id: LetterId
    payload_id: PayloadId
    letter_class: LetterClass
    sent_at_ms: int
    expires_at_ms: int
    reply_key: Secret
    recipients: tuple[SlipRecipient, ...]


@dataclass(frozen=True)
class SignedSlip:
    """A slip with its signature; raw is what travels sealed, and the proof of origin that the destination keeps.

    Its bytes hold the reply key, so they stay out of repr.
    """

    slip: Slip
    slip_bytes: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    raw: bytes = field(repr=False)

    @classmethod
    def sign(cls, slip: Slip, identity: SigningSecret) -> SignedSlip:
        """Sign with the node's identity key. LocalProtocolError if a recipient would refuse the slip's shape."""
        data = _encode_slip(slip)
        signature = identity.sign(Label.SLIP, data)
        return cls(slip, data, signature, encode([data, signature]))

    @cached_property
    def slip_id(self) -> SlipId:
        """H("slip-id", signed slip)."""
        return SlipId(hash_labelled(Label.SLIP_ID, self.raw))

    def verify(self, identity_key: VerifyKey) -> None:
        """Check the sending node's signature; RemoteProtocolError(bad_signature)."""
        identity_key.verify(Label.SLIP, self.slip_bytes, self.signature)

    def wrap_for(self, mailbox: MailboxId) -> bytes:
        """The wrap of one mailbox; RemoteProtocolError(not_for_us) if the slip does not name it."""
        for item in self.slip.recipients:
            if item.mailbox == mailbox:
                return item.wrap
        raise RemoteProtocolError(Reason.NOT_FOR_US, "the slip does not name this mailbox")


def sign_slip(slip: Slip, identity: SigningSecret) -> bytes:
    """The signed slip as it travels, [slip, signature]; see SignedSlip.sign."""
    return SignedSlip.sign(slip, identity).raw


def _encode_slip(slip: Slip) -> bytes:
    fields: dict[str, Value] = {
        "v": 1,
        "from": bytes(slip.sender_node),
        "ks": slip.statement_number,
        "to": bytes(slip.destination),
        "lid": bytes(slip.letter_id),
        "pid": bytes(slip.payload_id),
        "class": slip.letter_class.value,
        "sent": slip.sent_at_ms,
        "exp": slip.expires_at_ms,
        "rk": slip.reply_key.reveal(),
        "rcp": [{"mb": bytes(item.mailbox), "wrap": item.wrap} for item in slip.recipients],
    }
    data = encode(fields)
    try:
        _read_slip(FieldReader(fields))
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"this slip cannot be sent: {error.detail}") from error
    return data


def decode_signed_slip(raw: bytes) -> SignedSlip:
    """Take a signed slip apart; its signature is not yet checked.

    raw: at most 60 KiB - 4. RemoteProtocolError: too_large, too_deep, malformed, not_canonical, unknown_version.
    """
    outer = decode(raw, max_bytes=MAX_SIGNED_SLIP_BYTES)
    if not isinstance(outer, list) or len(outer) != 2:
        raise RemoteProtocolError(Reason.MALFORMED, "expected [slip, signature]")
    data = check_binary(outer[0], "slip", 1, MAX_SIGNED_SLIP_BYTES)
    signature = check_binary(outer[1], "signature", 64, 64)
    slip = _read_slip(decode_map(data, max_bytes=MAX_SIGNED_SLIP_BYTES))
    return SignedSlip(slip, data, signature, raw)


def _read_slip(fields: FieldReader) -> Slip:
    fields.version()
    recipients = []
    for item in fields.items("rcp", low=1, high=MAX_SLIP_RECIPIENTS):
        reader = FieldReader(item)
        mailbox = MailboxId(reader.fixed("mb", MailboxId.LENGTH))
        recipients.append(SlipRecipient(mailbox, reader.fixed("wrap", WRAP_BYTES)))
        reader.done()
    if len({item.mailbox for item in recipients}) != len(recipients):
        raise RemoteProtocolError(Reason.MALFORMED, "a mailbox is named twice")
    slip = Slip(
        sender_node=NodeId(fields.fixed("from", NodeId.LENGTH)),
        statement_number=fields.integer("ks", high=_MAX_STATEMENT_NUMBER),
        destination=NodeId(fields.fixed("to", NodeId.LENGTH)),
        letter_id=LetterId(fields.fixed("lid", LetterId.LENGTH)),
        payload_id=PayloadId(fields.fixed("pid", PayloadId.LENGTH)),
        letter_class=LetterClass(fields.choice("class", tuple(LetterClass))),
        sent_at_ms=fields.integer("sent", high=_MAX_TIME_MS),
        expires_at_ms=fields.integer("exp", high=_MAX_TIME_MS),
        reply_key=Secret(fields.fixed("rk", _KEY_BYTES)),
        recipients=tuple(recipients),
    )
    fields.done()
    return slip


def check_times(slip: Slip, now_ms: int) -> None:
    """The destination's check against its wall clock. RemoteProtocolError: not_yet_valid, expired, malformed."""
    if slip.sent_at_ms > now_ms + MAX_CLOCK_SKEW_MS:
        raise RemoteProtocolError(Reason.NOT_YET_VALID, "sent in the future: one of the clocks is wrong")
    if slip.expires_at_ms <= now_ms:
        raise RemoteProtocolError(Reason.EXPIRED, "past its deadline")
    if slip.expires_at_ms > slip.sent_at_ms + MAX_LIFETIME_MS:
        raise RemoteProtocolError(Reason.MALFORMED, "a deadline more than 30 days away")


def check_letter_against_slip(signed: SignedLetter, slip: Slip) -> None:
    """The letter is the one that the slip brought: node, letter id, class, time. RemoteProtocolError(mismatch)."""
    letter = signed.letter
    same = (letter.sender.node, letter.letter_id, letter.letter_class)
    if same != (slip.sender_node, slip.letter_id, slip.letter_class):
        raise RemoteProtocolError(Reason.MISMATCH, "letter and slip do not agree")
    if abs(letter.time_ms - slip.sent_at_ms) > MAX_CLOCK_SKEW_MS:
        raise RemoteProtocolError(Reason.MISMATCH, "letter and slip were not made at one time")


def _wrap_info(
    sender_node: NodeId,
    destination: NodeId,
    mailbox: MailboxId,
    letter_id: LetterId,
    payload_id: PayloadId,
    seal_key: SealKey,
) -> bytes:
    return Label.WRAP.value + sender_node + destination + mailbox + letter_id + payload_id + seal_key.fingerprint


def seal_wrap(
    payload_key: Secret,
    *,
    seal_key: SealKey,
    sender_node: NodeId,
    destination: NodeId,
    mailbox: MailboxId,
    letter_id: LetterId,
    payload_id: PayloadId,
) -> bytes:
    """Seal a payload key (32 bytes) to a mailbox, bound to its whole context: 1,168 bytes."""
    if len(payload_key.reveal()) != _KEY_BYTES:
        raise LocalProtocolError("a payload key has 32 bytes")
    info = _wrap_info(sender_node, destination, mailbox, letter_id, payload_id, seal_key)
    return hpke_seal(seal_key, info=info, plaintext=payload_key.reveal())


def open_wrap(wrap: bytes, *, secret: SealSecret, slip: Slip, mailbox: MailboxId) -> Secret:
    """The payload key. RemoteProtocolError(bad_box) if mailbox, letter, payload, node or key is another.

    wrap: 1,168 bytes; malformed otherwise.
    """
    if len(wrap) != WRAP_BYTES:
        raise RemoteProtocolError(Reason.MALFORMED, f"a wrap has {WRAP_BYTES} bytes")
    info = _wrap_info(slip.sender_node, slip.destination, mailbox, slip.letter_id, slip.payload_id, secret.seal_key)
    return Secret(hpke_open(secret, info=info, box=wrap))
