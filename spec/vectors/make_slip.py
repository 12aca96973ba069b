"""Writes slip.json: signed slips as a destination checks them, and the wraps inside as a mailbox opens them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from protocol.codec import Value, encode
from protocol.crypto import sha256
from protocol.ids import LetterId, MailboxId, NodeId, PayloadId
from protocol.labels import Label
from protocol.letter import LetterClass
from protocol.slip import MAX_SIGNED_SLIP_BYTES, Slip, SlipRecipient
from spec.vectors.common import case, write
from spec.vectors.sample_node import FROM_MS, bytes_of, seal_secret_of, signing_secret_of
from spec.vectors.sample_sealing import (
    IDENTITY,
    MAILBOX,
    MAILBOX_SECRET,
    PAYLOAD_KEY,
    map_inside,
    sample_signed_slip,
    sample_slip,
    sample_wrap,
    signed_map,
    wrap_info,
)

SPEC = "sealing.md, 7"
SIGNED = sample_signed_slip()
FIELDS = map_inside(SIGNED)
NOW_MS = FROM_MS + 1_000
DAY_MS = 86_400_000


def _given(signed: bytes, **changed: Any) -> dict[str, Any]:
    """What the destination has: the slip, the sender's identity key, its clock; and the mailbox with its secret."""
    own = {"mailbox": MAILBOX, "seal_secret": MAILBOX_SECRET.reveal()}
    return {"signed_slip": signed, "identity_key": IDENTITY.verify_key, "now_ms": NOW_MS, **own, **changed}


def _good(name: str, comment: str, signed: bytes, **changed: Any) -> dict[str, Any]:
    return case(name, SPEC, comment, _given(signed, **changed), **_outputs(signed))


def _outputs(signed: bytes) -> dict[str, Any]:
    return {
        "slip_id": sha256(Label.SLIP_ID.value, signed),
        "payload_key": PAYLOAD_KEY.reveal(),
        "wrap_info": wrap_info(sample_slip()),
    }


def _bad(name: str, comment: str, expect: str, signed: bytes = SIGNED, **changed: Any) -> dict[str, Any]:
    return case(name, SPEC, comment, _given(signed, **changed), expect)


def _field(name: str, comment: str, field: str, value: Value, expect: str = "malformed") -> dict[str, Any]:
    """The sample slip with one field changed, signed again: only the field is wrong."""
    return _bad(name, comment, expect, signed_map(FIELDS | {field: value}, Label.SLIP, IDENTITY))


def _without(field: str) -> dict[str, Any]:
    rest = {name: value for name, value in FIELDS.items() if name != field}
    return _bad(f"no_{field}", "field missing", "malformed", signed_map(rest, Label.SLIP, IDENTITY))


def _moved(name: str, comment: str, **changed: Any) -> dict[str, Any]:
    """The sample's wrap in another slip: it MUST NOT open there."""
    slip: Slip = replace(sample_slip(), **changed)
    mailbox = slip.recipients[0].mailbox
    return _bad(name, comment, "bad_box", sample_signed_slip(**changed), mailbox=mailbox)


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    slip, wrap = encode(FIELDS), sample_wrap(sample_slip())
    recipient = FIELDS["rcp"][0]
    two = (SlipRecipient(MailboxId(bytes_of("sealing/other mailbox", 16)), bytes(1168)), SlipRecipient(MAILBOX, wrap))
    many = [recipient | {"mb": bytes_of(f"sealing/mailbox {number}", 16)} for number in range(41)]
    return [
        _good("slip", "one mailbox", SIGNED),
        _good("two_mailboxes", "the second one opens its own wrap", sample_signed_slip(recipients=two)),
        _good("at_clock_limit", "sent ten minutes ahead of the clock", SIGNED, now_ms=FROM_MS - 600_000),
        _good("longest", "a deadline of 30 days", sample_signed_slip(expires_at_ms=FROM_MS + 30 * DAY_MS)),
        _good("last_moment", "a millisecond before it expires", SIGNED, now_ms=FROM_MS + 3 * DAY_MS - 1),
        _bad("ahead_of_clock", "a millisecond beyond ten minutes", "not_yet_valid", now_ms=FROM_MS - 600_001),
        _bad("expired", "exp is now", "expired", now_ms=FROM_MS + 3 * DAY_MS),
        _bad(
            "too_long",
            "a millisecond beyond 30 days",
            "malformed",
            sample_signed_slip(expires_at_ms=FROM_MS + 30 * DAY_MS + 1),
        ),
        _bad("other_signature", "last byte", "bad_signature", SIGNED[:-1] + bytes([SIGNED[-1] ^ 1])),
        _bad(
            "other_identity", "the key of another node", "bad_signature", identity_key=signing_secret_of("x").verify_key
        ),
        _bad("signed_as_letter", "another label", "bad_signature", encode([slip, IDENTITY.sign(Label.LETTER, slip)])),
        _bad("other_mailbox", "not named", "not_for_us", mailbox=bytes(16)),
        _bad("other_secret", "another mailbox's", "bad_box", seal_secret=seal_secret_of("other").reveal()),
        _moved("wrap_of_other_sender", "from", sender_node=NodeId(bytes(32))),
        _moved("wrap_of_other_destination", "to", destination=NodeId(bytes(32))),
        _moved("wrap_of_other_letter", "lid", letter_id=LetterId(bytes(16))),
        _moved("wrap_of_other_payload", "pid", payload_id=PayloadId(bytes(32))),
        _moved("wrap_of_other_mailbox", "mb", recipients=(SlipRecipient(MailboxId(bytes(16)), wrap),)),
        _bad("class_changed", "urgent, under the signature of a normal one", "bad_signature", _urgent()),
        *map(_without, ("v", "from", "ks", "to", "lid", "pid", "class", "sent", "exp", "rk", "rcp")),
        _field("unknown_field", "refused in what is signed", "more", 1),
        _field("version_2", "a later one", "v", 2, "unknown_version"),
        _field("other_class", "none of the three", "class", "high"),
        _field("short_reply_key", "31 bytes", "rk", bytes(31)),
        _field("short_node", "31 bytes", "from", bytes(31)),
        _field("large_statement", "above 2^31 - 1", "ks", 2**31),
        _field("time_as_text", "not a number", "sent", "now"),
        _field("no_mailbox", "rcp is empty", "rcp", []),
        _field("many_mailboxes", "41", "rcp", many),
        _field("mailbox_twice", "named twice", "rcp", [recipient, recipient]),
        _field("short_wrap", "1,167 bytes", "rcp", [recipient | {"wrap": wrap[:-1]}]),
        _field("long_wrap", "1,169 bytes", "rcp", [recipient | {"wrap": wrap + b"\0"}]),
        _field("recipient_unknown_field", "in rcp", "rcp", [recipient | {"name": "x"}]),
        _bad("short_signature", "63 bytes", "malformed", encode([slip, SIGNED[-63:]])),
        _bad("no_signature", "an array of one", "malformed", encode([slip])),
        _bad("cut", "without the last byte", "malformed", SIGNED[:-1]),
        _bad("more", "a byte after the end", "malformed", SIGNED + b"\0"),
        _bad("long_array", "length of the array in two bytes", "not_canonical", b"\xdc\x00\x02" + SIGNED[1:]),
        _bad("too_large", "a byte above the limit", "too_large", bytes(MAX_SIGNED_SLIP_BYTES + 1)),
    ]


def _urgent() -> bytes:
    return encode([encode(FIELDS | {"class": LetterClass.URGENT.value}), SIGNED[-64:]])


if __name__ == "__main__":
    write("slip", SPEC, cases())
