"""Envelopes: a slip opens under its own head only, and neither number of mailboxes nor bytes stray beyond a frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codec import encode
from protocol.crypto import HPKE_OVERHEAD_BYTES, SealSecret
from protocol.envelope import MAX_ENVELOPE_BYTES, decode_envelope, open_envelope, seal_envelope
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.frames import MAX_FRAME_BYTES
from protocol.ids import MailboxId
from protocol.letter import LetterClass
from protocol.padding import padded_length
from protocol.payload import Descriptor
from protocol.slip import MAX_SLIP_RECIPIENTS, SignedSlip, Slip, SlipRecipient, decode_signed_slip, sign_slip
from spec.vectors.sample_node import FROM_MS, bytes_of, seal_secret_of
from spec.vectors.sample_sealing import (
    IDENTITY,
    NODE_SECRET,
    head_map,
    sample_envelope,
    sample_signed_slip,
    sealed_letter,
)
from tests.protocol.letter_strategies import slips

DESCRIPTOR = sealed_letter()[0]
ENVELOPE = sample_envelope()
SECRETS = {NODE_SECRET.seal_key.fingerprint[:8]: NODE_SECRET}


def signed_of(slip: Slip) -> SignedSlip:
    return decode_signed_slip(sign_slip(slip, IDENTITY))


def refusal(raw: bytes, secrets: dict[bytes, SealSecret] = SECRETS) -> Reason:
    with pytest.raises(RemoteProtocolError) as caught:
        open_envelope(decode_envelope(raw), secrets)
    return caught.value.reason


@settings(max_examples=50)
@given(slip=slips)
def test_a_slip_comes_out_as_it_was_sealed(slip: Slip) -> None:
    signed = signed_of(replace(slip, payload_id=DESCRIPTOR.payload_id))
    raw = seal_envelope(signed, seal_key=NODE_SECRET.seal_key, descriptor=DESCRIPTOR)
    envelope = decode_envelope(raw)
    assert envelope.raw == raw == encode([envelope.head_bytes, envelope.box])
    head = envelope.head
    assert (head.destination, head.letter_class, head.expires_at_ms, head.descriptor) == (
        slip.destination,
        slip.letter_class,
        slip.expires_at_ms,
        DESCRIPTOR,
    )
    assert open_envelope(envelope, SECRETS) == signed
    assert len(envelope.box) - HPKE_OVERHEAD_BYTES == padded_length(len(signed.raw) + 4)


def test_the_head_says_no_more_than_a_relay_needs() -> None:
    signed = decode_signed_slip(sample_signed_slip())
    for hidden in (signed.slip.sender_node, signed.slip.letter_id, *(item.mailbox for item in signed.slip.recipients)):
        assert bytes(hidden) not in ENVELOPE


def test_an_envelope_is_sealed_anew_each_time() -> None:
    signed = decode_signed_slip(sample_signed_slip())
    first, second = (
        decode_envelope(seal_envelope(signed, seal_key=NODE_SECRET.seal_key, descriptor=DESCRIPTOR)) for _ in range(2)
    )
    assert first.head == second.head
    assert first.envelope_id != second.envelope_id
    assert open_envelope(first, SECRETS) == open_envelope(second, SECRETS)


@settings(max_examples=200)
@given(at=st.integers(0, len(ENVELOPE) - 1), bit=st.integers(0, 7))
def test_no_bit_of_an_envelope_can_change(at: int, bit: int) -> None:
    changed = bytearray(ENVELOPE)
    changed[at] ^= 1 << bit
    with pytest.raises(RemoteProtocolError):
        open_envelope(decode_envelope(bytes(changed)), SECRETS)


@given(junk=st.binary(max_size=300), head=st.binary(min_size=1, max_size=300))
def test_junk_is_refused(junk: bytes, head: bytes) -> None:
    for raw in (junk, encode([head, bytes(HPKE_OVERHEAD_BYTES + 1024)])):
        with pytest.raises(RemoteProtocolError):
            decode_envelope(raw)


@pytest.mark.parametrize(
    "changed",
    [
        {"to": bytes(32)},
        {"class": "urgent"},
        {"exp": FROM_MS + 1},
        {"pl": Descriptor(bytes(32), 1024, bytes(32)).encode()},
    ],
    ids=["destination", "class", "deadline", "payload"],
)
def test_a_head_exchanged_on_the_way_is_noticed(changed: dict[str, Any]) -> None:
    box = decode_envelope(ENVELOPE).box
    assert refusal(encode([encode(head_map(**changed)), box])) is Reason.BAD_BOX


def test_a_sender_cannot_show_relays_another_head_than_the_destination() -> None:
    """Class and deadline outside decide what a relay does; those inside were signed."""
    slip = decode_signed_slip(sample_signed_slip()).slip
    for changed in ({"letter_class": LetterClass.URGENT}, {"expires_at_ms": slip.expires_at_ms + 1}):
        honest = signed_of(slip)
        lying = replace(honest, slip=replace(slip, **changed))
        raw = seal_envelope(lying, seal_key=NODE_SECRET.seal_key, descriptor=DESCRIPTOR)
        assert refusal(raw) is Reason.MISMATCH


def test_a_key_no_longer_kept_is_told() -> None:
    other = seal_secret_of("other")
    assert refusal(ENVELOPE, {}) is Reason.UNKNOWN_KEY
    assert refusal(ENVELOPE, {other.seal_key.fingerprint[:8]: other}) is Reason.UNKNOWN_KEY
    # Eight bytes find a key; the box alone proves that it is the one.
    assert refusal(ENVELOPE, {NODE_SECRET.seal_key.fingerprint[:8]: other}) is Reason.BAD_BOX


def test_an_envelope_carries_the_slip_of_its_payload() -> None:
    signed = decode_signed_slip(sample_signed_slip())
    with pytest.raises(LocalProtocolError, match="another payload"):
        seal_envelope(signed, seal_key=NODE_SECRET.seal_key, descriptor=replace(DESCRIPTOR, root=bytes(32)))


def test_the_largest_envelope_fits_a_frame() -> None:
    recipients = tuple(
        SlipRecipient(MailboxId(bytes_of(f"mailbox {number}", 16)), bytes(1168))
        for number in range(MAX_SLIP_RECIPIENTS)
    )
    slip = replace(decode_signed_slip(sample_signed_slip()).slip, recipients=recipients)
    raw = seal_envelope(signed_of(slip), seal_key=NODE_SECRET.seal_key, descriptor=DESCRIPTOR)
    assert len(raw) <= MAX_ENVELOPE_BYTES == 63_088
    # Room for the frame's own header and the map around the envelope.
    assert MAX_ENVELOPE_BYTES + 256 <= MAX_FRAME_BYTES
