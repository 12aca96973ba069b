"""Writes envelope.json: envelopes as their destination opens them, as far as the shape of the slip inside."""

from __future__ import annotations

from typing import Any

from protocol.codec import Value, encode
from protocol.crypto import sha256
from protocol.envelope import MAX_ENVELOPE_BYTES
from protocol.ids import MailboxId, NodeId, PayloadId
from protocol.labels import Label
from protocol.letter import LetterClass
from protocol.slip import SlipRecipient
from spec.vectors.common import case, write
from spec.vectors.sample_node import FROM_MS, bytes_of, seal_secret_of
from spec.vectors.sample_sealing import (
    NODE_SECRET,
    head_map,
    padded_slip,
    sample_envelope,
    sample_signed_slip,
)

SPEC = "sealing.md, 8"
SLIP = sample_signed_slip()
ENVELOPE = sample_envelope()


def _given(envelope: bytes, **changed: Any) -> dict[str, Any]:
    """What the destination has: the envelope, and the secrets of its seal keys."""
    return {"envelope": envelope, "seal_secrets": [NODE_SECRET.reveal()], **changed}


def _good(name: str, comment: str, envelope: bytes, signed: bytes = SLIP, **changed: Any) -> dict[str, Any]:
    out: dict[str, Any] = {"envelope_id": sha256(Label.ENVELOPE.value, envelope), "signed_slip": signed}
    return case(name, SPEC, comment, _given(envelope, **changed), **out)


def _bad(name: str, comment: str, expect: str, envelope: bytes = ENVELOPE, **changed: Any) -> dict[str, Any]:
    return case(name, SPEC, comment, _given(envelope, **changed), expect)


def _slip(name: str, comment: str, expect: str, **changed: Any) -> dict[str, Any]:
    """The sample head over another slip."""
    return _bad(name, comment, expect, sample_envelope(padded_slip(sample_signed_slip(**changed))))


def _head(name: str, comment: str, expect: str = "malformed", /, **changed: Value) -> dict[str, Any]:
    """The sample slip under a head with one field changed; the box is bound to that head."""
    return _bad(name, comment, expect, sample_envelope(head=head_map(**changed)))


def _bound(name: str, comment: str, **changed: Value) -> dict[str, Any]:
    """The head of an envelope exchanged for another on the way."""
    return _bad(name, comment, "bad_box", sample_envelope(head=head_map(**changed), info_head=encode(head_map())))


def _without(field: str) -> dict[str, Any]:
    rest = {name: value for name, value in head_map().items() if name != field}
    return _bad(f"no_{field}", "field of the head missing", "malformed", sample_envelope(head=rest))


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    descriptor = head_map()["pl"]
    long_slip = sample_signed_slip(recipients=_recipients())
    box_start = len(ENVELOPE) - (1136 + len(padded_slip(SLIP)))
    head, box = encode(head_map()), ENVELOPE[box_start:]

    def flipped(at: int) -> bytes:
        return ENVELOPE[:at] + bytes([ENVELOPE[at] ^ 1]) + ENVELOPE[at + 1 :]

    return [
        _good("envelope", "the sample slip", ENVELOPE),
        _good(
            "forty_mailboxes",
            "the longest slip that a letter needs",
            sample_envelope(padded_slip(long_slip)),
            long_slip,
        ),
        _good(
            "old_key",
            "sealed to one of two keys",
            ENVELOPE,
            seal_secrets=[seal_secret_of("new").reveal(), NODE_SECRET.reveal()],
        ),
        _bad("no_key", "sealed to a key no longer kept", "unknown_key", seal_secrets=[seal_secret_of("new").reveal()]),
        _bad("changed_enc", "first byte of the box", "bad_box", flipped(box_start)),
        _bad("changed_tag", "last byte of the box", "bad_box", flipped(len(ENVELOPE) - 1)),
        _bound("other_destination_outside", "head.to", to=bytes(32)),
        _bound("other_class_outside", "head.class", **{"class": "urgent"}),
        _bound("other_deadline_outside", "head.exp", exp=FROM_MS + 1),
        _bound("other_payload_outside", "head.pl", pl=descriptor[:40] + bytes(32)),
        _bad("padding_not_zero", "a one before the slip", "bad_padding", sample_envelope(_hidden())),
        _bad("padding_long", "the next padded length", "bad_padding", sample_envelope(padded_slip(SLIP, length=1600))),
        _bad(
            "padding_short",
            "1,500 is no padded length",
            "bad_padding",
            sample_envelope(padded_slip(SLIP, length=1500)),
        ),
        _bad("slip_too_long", "a length beyond the plaintext", "bad_padding", sample_envelope(_with_length(2000))),
        _bad("slip_of_nothing", "a length of zero", "malformed", sample_envelope(bytes(1024))),
        _bad("slip_cut", "a slip without its last byte", "malformed", sample_envelope(padded_slip(SLIP[:-1]))),
        _slip("other_destination_inside", "slip.to", "not_for_us", destination=NodeId(bytes(32))),
        _slip("other_class_inside", "slip.class", "mismatch", letter_class=LetterClass.URGENT),
        _slip("other_deadline_inside", "slip.exp", "mismatch", expires_at_ms=FROM_MS + 1),
        _slip("other_payload_inside", "slip.pid", "mismatch", payload_id=PayloadId(bytes(32))),
        _head("other_payload_in_head", "head.pl, bound to the box", "mismatch", pl=descriptor[:40] + bytes(32)),
        *map(_without, ("v", "to", "seal", "class", "exp", "pl")),
        _head("unknown_field", "in the head", more=1),
        _head("version_2", "a later one", "unknown_version", v=2),
        _head("other_class", "none of the three", **{"class": "high"}),
        _head("short_to", "31 bytes", to=bytes(31)),
        _head("short_seal", "7 bytes", seal=bytes(7)),
        _head("long_seal", "the whole fingerprint", seal=sha256(NODE_SECRET.seal_key)),
        _head("short_descriptor", "71 bytes", pl=descriptor[:71]),
        _head("bad_length", "1,025 bytes of content", "bad_padding", pl=_with_content(descriptor, 1025)),
        _head("huge_length", "2^63 bytes of content", "too_large", pl=_with_content(descriptor, 2**63)),
        _head("negative_deadline", "before 1970", exp=-1),
        _bad("no_box", "an array of one", "malformed", encode([head])),
        _bad("short_box", "no padded slip is that short", "malformed", encode([head, bytes(1136 + 1023)])),
        _bad("head_as_map", "not as bytes", "malformed", encode([head_map(), box])),
        _bad("cut", "without the last byte", "malformed", ENVELOPE[:-1]),
        _bad("more", "a byte after the end", "malformed", ENVELOPE + b"\0"),
        _bad("nothing", "no byte", "malformed", b""),
        _bad("long_array", "length of the array in two bytes", "not_canonical", b"\xdc\x00\x02" + ENVELOPE[1:]),
        _bad("too_large", "a byte above the limit", "too_large", bytes(MAX_ENVELOPE_BYTES + 1)),
    ]


def _recipients() -> tuple[Any, ...]:
    return tuple(
        SlipRecipient(MailboxId(bytes_of(f"sealing/mailbox {number}", 16)), bytes_of(f"sealing/wrap {number}", 1168))
        for number in range(40)
    )


def _hidden() -> bytes:
    plaintext = padded_slip(SLIP)
    at = len(plaintext) - 4 - len(SLIP) - 1
    return plaintext[:at] + b"\x01" + plaintext[at + 1 :]


def _with_length(length: int) -> bytes:
    return padded_slip(SLIP)[:-4] + length.to_bytes(4, "big")


def _with_content(descriptor: bytes, length: int) -> bytes:
    return descriptor[:32] + length.to_bytes(8, "big") + descriptor[40:]


if __name__ == "__main__":
    write("envelope", SPEC, cases())
