"""The envelope: a slip sealed to a node, under a head that relays may see. Spec: spec/sealing.md, 8."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from protocol.codec import check_binary, decode, decode_map, encode
from protocol.crypto import HPKE_OVERHEAD_BYTES, SealKey, SealSecret, hash_labelled, hpke_open, hpke_seal, sha256
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import EnvelopeId, NodeId
from protocol.labels import Label
from protocol.letter import LetterClass
from protocol.padding import padded_length
from protocol.payload import Descriptor
from protocol.slip import MAX_SIGNED_SLIP_BYTES, SignedSlip, decode_signed_slip

__all__ = ["MAX_ENVELOPE_BYTES", "Envelope", "Head", "decode_envelope", "open_envelope", "seal_envelope"]

_MAX_HEAD_BYTES: Final = 512
_MAX_PADDED_SLIP_BYTES: Final = padded_length(MAX_SIGNED_SLIP_BYTES + 4)
MAX_ENVELOPE_BYTES: Final = _MAX_PADDED_SLIP_BYTES + HPKE_OVERHEAD_BYTES + _MAX_HEAD_BYTES
"""63,088 bytes: fits one frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a relay sees: destination, which of its seal keys (8 bytes), class, deadline, payload descriptor."""

    destination: NodeId
    seal_fingerprint: bytes
    letter_class: LetterClass
    expires_at_ms: int
    descriptor: Descriptor


@dataclass(frozen=True)
class Envelope:
    """An envelope taken apart; raw is sent and hashed as it is."""

    head: Head
    head_bytes: bytes = field(repr=False)
    box: bytes = field(repr=False)
    raw: bytes = field(repr=False)

    @classmethod
    def seal(cls, signed: SignedSlip, *, seal_key: SealKey, descriptor: Descriptor) -> Envelope:
        """Seal a signed slip to its destination's current seal key, padded like content.

        LocalProtocolError if descriptor is not that of the slip's payload.
        """
        slip = signed.slip
        if descriptor.payload_id != slip.payload_id:
            raise LocalProtocolError("the slip names another payload")
        head = Head(
            destination=slip.destination,
            seal_fingerprint=seal_key.fingerprint[:8],
            letter_class=slip.letter_class,
            expires_at_ms=slip.expires_at_ms,
            descriptor=descriptor,
        )
        head_bytes = _encode_head(head)
        zeros = padded_length(len(signed.raw) + 4) - len(signed.raw) - 4
        plaintext = bytes(zeros) + signed.raw + len(signed.raw).to_bytes(4, "big")
        box = hpke_seal(seal_key, info=_info(slip.destination, seal_key, head_bytes), plaintext=plaintext)
        return cls(head, head_bytes, box, encode([head_bytes, box]))

    @cached_property
    def envelope_id(self) -> EnvelopeId:
        """H("envelope", envelope bytes)."""
        return EnvelopeId(hash_labelled(Label.ENVELOPE, self.raw))


def _info(destination: NodeId, seal_key: SealKey, head_bytes: bytes) -> bytes:
    return Label.SLIP_BOX.value + destination + seal_key.fingerprint + sha256(head_bytes)


def seal_envelope(signed: SignedSlip, *, seal_key: SealKey, descriptor: Descriptor) -> bytes:
    """The envelope as it travels; see Envelope.seal."""
    return Envelope.seal(signed, seal_key=seal_key, descriptor=descriptor).raw


def _encode_head(head: Head) -> bytes:
    return encode(
        {
            "v": 1,
            "to": bytes(head.destination),
            "seal": head.seal_fingerprint,
            "class": head.letter_class.value,
            "exp": head.expires_at_ms,
            "pl": head.descriptor.encode(),
        }
    )


def decode_envelope(raw: bytes) -> Envelope:
    """Take an envelope apart: at most 63,088 bytes.

    RemoteProtocolError: too_large, too_deep, malformed, not_canonical, unknown_version, bad_padding.
    """
    outer = decode(raw, max_bytes=MAX_ENVELOPE_BYTES)
    if not isinstance(outer, list) or len(outer) != 2:
        raise RemoteProtocolError(Reason.MALFORMED, "expected [head, box]")
    head_bytes = check_binary(outer[0], "head", 1, _MAX_HEAD_BYTES)
    box = check_binary(outer[1], "box", HPKE_OVERHEAD_BYTES + 1024, HPKE_OVERHEAD_BYTES + _MAX_PADDED_SLIP_BYTES)
    fields = decode_map(head_bytes, max_bytes=_MAX_HEAD_BYTES)
    fields.version()
    head = Head(
        destination=NodeId(fields.fixed("to", NodeId.LENGTH)),
        seal_fingerprint=fields.fixed("seal", 8),
        letter_class=LetterClass(fields.choice("class", tuple(LetterClass))),
        expires_at_ms=fields.integer("exp", high=2**62),
        descriptor=Descriptor.decode(fields.fixed("pl", 72)),
    )
    fields.done()
    return Envelope(head, head_bytes, box, raw)


def open_envelope(envelope: Envelope, secrets: Mapping[bytes, SealSecret]) -> SignedSlip:
    """Open the box and check that slip and head agree. The slip's signature is not yet checked.

    secrets: the node's seal secrets by 8-byte fingerprint. RemoteProtocolError: unknown_key, bad_box, bad_padding,
    not_for_us, mismatch, and what decoding a slip raises.
    """
    head = envelope.head
    secret = secrets.get(head.seal_fingerprint)
    if secret is None:
        raise RemoteProtocolError(Reason.UNKNOWN_KEY, "sealed to a key that this node does not hold")
    info = _info(head.destination, secret.seal_key, envelope.head_bytes)
    plaintext = hpke_open(secret, info=info, box=envelope.box)
    length = int.from_bytes(plaintext[-4:], "big")
    zeros = len(plaintext) - 4 - length
    if zeros < 0 or padded_length(length + 4) != len(plaintext) or plaintext[:zeros].strip(b"\0"):
        raise RemoteProtocolError(Reason.BAD_PADDING, "the slip is not padded as it must be")
    signed = decode_signed_slip(plaintext[zeros:-4])
    slip = signed.slip
    if slip.destination != head.destination:
        raise RemoteProtocolError(Reason.NOT_FOR_US, "slip and head name different nodes")
    agree = (slip.letter_class, slip.expires_at_ms, slip.payload_id)
    if agree != (head.letter_class, head.expires_at_ms, head.descriptor.payload_id):
        raise RemoteProtocolError(Reason.MISMATCH, "slip and head do not agree")
    return signed
