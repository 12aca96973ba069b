"""Payload, letter, slip and envelope together: the true way opens, and every moved or altered part is noticed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import encode
from protocol.crypto import SealSecret, Secret, SigningSecret
from protocol.envelope import decode_envelope, open_envelope, seal_envelope
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import LetterId, MailboxId, NodeId, PayloadId, ThreadId
from protocol.labels import Label
from protocol.letter import Attachment, Letter, LetterClass, Recipient, Sender, decode_signed_letter, sign_letter
from protocol.padding import padded_length
from protocol.payload import (
    CHUNK_BYTES,
    Descriptor,
    PayloadOpener,
    PayloadSealer,
    check_padding,
    content_length_for,
    content_tail_pieces,
    read_signed_letter,
    verify_chunk,
    verify_chunk_hashes,
)
from protocol.slip import Slip, SlipRecipient, check_times, decode_signed_slip, open_wrap, seal_wrap, sign_slip

RANDOM = random.Random(7)
A, B, C = (NodeId(RANDOM.randbytes(32)) for _ in range(3))
ANNA, BRUNO = (MailboxId(RANDOM.randbytes(16)) for _ in range(2))
SIGNING, IDENTITY = (SigningSecret(RANDOM.randbytes(32)) for _ in range(2))
MAILBOX_SEAL, NODE_SEAL, OTHER_SEAL = (SealSecret(RANDOM.randbytes(96)) for _ in range(3))
LETTER_ID = LetterId(RANDOM.randbytes(16))
KEY = Secret(RANDOM.randbytes(32))
NOW_MS = 1_790_000_000_000


def letter(**changes: object) -> Letter:
    made = Letter(
        letter_id=LETTER_ID,
        sender=Sender(node=A, mailbox=ANNA, key=SIGNING.verify_key, address="anna@a.example"),
        to=(Recipient(node=B, mailbox=BRUNO, address="bruno@b.example"),),
        subject="Compte rendu",
        text="Bonjour",
        thread=ThreadId(LETTER_ID),
        time_ms=NOW_MS,
        letter_class=LetterClass.NORMAL,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Sealed:
    descriptor: Descriptor
    chunks: list[bytes]
    hashes: list[bytes]
    signed: bytes


def sealed(attachment: bytes = b"", signed: bytes | None = None) -> Sealed:
    signed = signed or sign_letter(letter(), SIGNING)
    sealer = PayloadSealer(KEY, LETTER_ID, content_length_for(len(attachment), len(signed)))
    chunks = sealer.update(attachment)
    for piece in content_tail_pieces(len(attachment), signed):
        chunks += sealer.update(piece)
    chunks += sealer.finish()
    return Sealed(sealer.descriptor, chunks, sealer.chunk_hashes, signed)


def reader(made: Sealed) -> Callable[[int, int], bytes]:
    opener = PayloadOpener(made.descriptor, KEY, LETTER_ID)
    content = b"".join(opener.open_chunk(index, chunk) for index, chunk in enumerate(made.chunks))
    return lambda offset, length: content[offset : offset + length]


def slip_for(descriptor: Descriptor, **changes: object) -> Slip:
    wrap = seal_wrap(
        KEY,
        seal_key=MAILBOX_SEAL.seal_key,
        sender_node=A,
        destination=B,
        mailbox=BRUNO,
        letter_id=LETTER_ID,
        payload_id=descriptor.payload_id,
    )
    made = Slip(
        sender_node=A,
        statement_number=0,
        destination=B,
        letter_id=LETTER_ID,
        payload_id=descriptor.payload_id,
        letter_class=LetterClass.NORMAL,
        sent_at_ms=NOW_MS,
        expires_at_ms=NOW_MS + 1000,
        reply_key=Secret(bytes(32)),
        recipients=(SlipRecipient(BRUNO, wrap),),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def reason_of(call: Callable[[], object]) -> Reason:
    with pytest.raises(RemoteProtocolError) as caught:
        call()
    return caught.value.reason


@pytest.mark.parametrize("size", [0, 1, 1000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_payload_of_any_size_opens(size: int) -> None:
    attachment = RANDOM.randbytes(size)
    made = sealed(attachment)
    verify_chunk_hashes(made.descriptor, made.hashes)
    for index, chunk in enumerate(made.chunks):
        verify_chunk(made.descriptor, made.hashes, index, chunk)
    read = reader(made)
    signed, start = read_signed_letter(made.descriptor, read)
    assert signed == made.signed
    check_padding(made.descriptor, size, start, read)
    assert read(0, size) == attachment
    assert Descriptor.decode(made.descriptor.encode()) == made.descriptor
    assert sum(map(len, made.chunks)) == made.descriptor.ciphertext_length


def test_another_key_or_letter_does_not_open() -> None:
    made = sealed()
    assert reason_of(lambda: PayloadOpener(made.descriptor, Secret(bytes(32)), LETTER_ID)) is Reason.BAD_COMMITMENT
    assert reason_of(lambda: PayloadOpener(made.descriptor, KEY, LetterId(bytes(16)))) is Reason.BAD_COMMITMENT


def test_chunks_cannot_be_exchanged_or_altered() -> None:
    made = sealed(RANDOM.randbytes(3 * CHUNK_BYTES))
    opener = PayloadOpener(made.descriptor, KEY, LETTER_ID)
    assert reason_of(lambda: opener.open_chunk(0, made.chunks[1])) is Reason.BAD_BOX
    assert reason_of(lambda: verify_chunk(made.descriptor, made.hashes, 0, made.chunks[1])) is Reason.MISMATCH
    altered = bytes([made.chunks[0][0] ^ 1]) + made.chunks[0][1:]
    assert reason_of(lambda: verify_chunk(made.descriptor, made.hashes, 0, altered)) is Reason.MISMATCH
    assert reason_of(lambda: verify_chunk_hashes(made.descriptor, made.hashes[:-1])) is Reason.MISMATCH


def test_padding_must_be_zero_and_shortest() -> None:
    made = sealed(b"abc")
    read = reader(made)
    _, start = read_signed_letter(made.descriptor, read)
    assert reason_of(lambda: check_padding(made.descriptor, 2, start, read)) is Reason.BAD_PADDING
    assert reason_of(lambda: check_padding(made.descriptor, start + 1, start, read)) is Reason.BAD_PADDING
    assert reason_of(lambda: Descriptor.decode(bytes(32) + (1025).to_bytes(8, "big") + bytes(32))) is Reason.BAD_PADDING


@given(st.integers(1, 2**31))
def test_padded_length_is_idempotent_and_small(length: int) -> None:
    padded = padded_length(length)
    assert padded >= max(length, 1024)
    assert padded_length(padded) == padded
    assert padded == 1024 or (padded - length) / length < 0.0626


def test_slip_and_envelope_open_at_their_place_only() -> None:
    made = sealed()
    signed = decode_signed_slip(sign_slip(slip_for(made.descriptor), IDENTITY))
    raw = seal_envelope(signed, seal_key=NODE_SEAL.seal_key, descriptor=made.descriptor)
    envelope = decode_envelope(raw)
    secrets = {NODE_SEAL.seal_key.fingerprint[:8]: NODE_SEAL}
    opened = open_envelope(envelope, secrets)
    opened.verify(IDENTITY.verify_key)
    assert opened.raw == signed.raw
    wrap = opened.wrap_for(BRUNO)
    assert open_wrap(wrap, secret=MAILBOX_SEAL, slip=opened.slip, mailbox=BRUNO) == KEY
    assert reason_of(lambda: open_envelope(envelope, {})) is Reason.UNKNOWN_KEY
    assert reason_of(lambda: opened.verify(SIGNING.verify_key)) is Reason.BAD_SIGNATURE
    moved_slips = (
        replace(opened.slip, sender_node=C),
        replace(opened.slip, destination=C),
        replace(opened.slip, letter_id=LetterId(bytes(16))),
        replace(opened.slip, payload_id=PayloadId(bytes(32))),
    )
    for moved in moved_slips:
        with pytest.raises(RemoteProtocolError, match="bad_box"):
            open_wrap(wrap, secret=MAILBOX_SEAL, slip=moved, mailbox=BRUNO)
    assert reason_of(lambda: open_wrap(wrap, secret=MAILBOX_SEAL, slip=opened.slip, mailbox=ANNA)) is Reason.BAD_BOX
    assert reason_of(lambda: open_wrap(wrap, secret=OTHER_SEAL, slip=opened.slip, mailbox=BRUNO)) is Reason.BAD_BOX


def test_head_of_an_envelope_cannot_be_exchanged() -> None:
    made, other = sealed(), sealed(b"other")
    signed = decode_signed_slip(sign_slip(slip_for(made.descriptor), IDENTITY))
    with pytest.raises(LocalProtocolError):
        seal_envelope(signed, seal_key=NODE_SEAL.seal_key, descriptor=other.descriptor)
    raw = seal_envelope(signed, seal_key=NODE_SEAL.seal_key, descriptor=made.descriptor)
    head_bytes, box = decode_envelope(raw).head_bytes, decode_envelope(raw).box
    exchanged = head_bytes.replace(made.descriptor.encode(), other.descriptor.encode())
    assert exchanged != head_bytes
    secrets = {NODE_SEAL.seal_key.fingerprint[:8]: NODE_SEAL}
    assert reason_of(lambda: open_envelope(decode_envelope(encode([exchanged, box])), secrets)) is Reason.BAD_BOX


def test_every_altered_byte_of_an_envelope_is_noticed() -> None:
    made = sealed()
    signed = decode_signed_slip(sign_slip(slip_for(made.descriptor), IDENTITY))
    raw = seal_envelope(signed, seal_key=NODE_SEAL.seal_key, descriptor=made.descriptor)
    secrets = {NODE_SEAL.seal_key.fingerprint[:8]: NODE_SEAL}
    for position in range(0, len(raw), 7):
        altered = raw[:position] + bytes([raw[position] ^ 0x10]) + raw[position + 1 :]
        with pytest.raises(RemoteProtocolError):
            open_envelope(decode_envelope(altered), secrets)


@given(st.binary(max_size=300))
def test_junk_raises_only_the_declared_error(junk: bytes) -> None:
    for decode in (decode_envelope, decode_signed_slip, decode_signed_letter, Descriptor.decode):
        try:
            decode(junk)
        except RemoteProtocolError:
            continue


def test_letter_is_bound_to_signer_and_recipients() -> None:
    signed = decode_signed_letter(sign_letter(letter(), SIGNING))
    signed.verify([SIGNING.verify_key])
    signed.check_addressed_to(B, BRUNO)
    assert reason_of(lambda: signed.verify([IDENTITY.verify_key])) is Reason.UNKNOWN_KEY
    assert reason_of(lambda: signed.check_addressed_to(B, ANNA)) is Reason.NOT_ADDRESSED
    assert reason_of(lambda: signed.check_addressed_to(C, BRUNO)) is Reason.NOT_ADDRESSED
    with pytest.raises(LocalProtocolError):
        sign_letter(letter(), IDENTITY)
    forged = decode_signed_letter(encode([signed.letter_bytes, IDENTITY.sign(Label.LETTER, signed.letter_bytes)]))
    assert reason_of(lambda: forged.verify([SIGNING.verify_key])) is Reason.BAD_SIGNATURE


@pytest.mark.parametrize(
    "changes",
    [
        {"to": ()},
        {"subject": "two\nlines"},
        {"subject": "x" * 999},
        {"text": "nul\0"},
        {"attachments": (Attachment(name="../etc", media_type="text/plain", size=1, sha256=bytes(32)),)},
        {"attachments": (Attachment(name="a", media_type="text", size=1, sha256=bytes(32)),)},
        {"attachments": (Attachment(name="a", media_type="text/plain", size=2**32, sha256=bytes(32)),)},
    ],
    ids=["nobody", "two_lines", "long_subject", "nul", "path", "type", "size"],
)
def test_letters_beyond_the_limits_are_not_made(changes: dict[str, object]) -> None:
    with pytest.raises(LocalProtocolError):
        sign_letter(letter(**changes), SIGNING)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sent_at_ms": NOW_MS + 600_001, "expires_at_ms": NOW_MS + 700_000}, Reason.NOT_YET_VALID),
        ({"expires_at_ms": NOW_MS}, Reason.EXPIRED),
        ({"expires_at_ms": NOW_MS + 31 * 86_400_000}, Reason.MALFORMED),
    ],
)
def test_times_of_a_slip(changes: dict[str, object], reason: Reason) -> None:
    descriptor = sealed().descriptor
    check_times(slip_for(descriptor), NOW_MS)
    assert reason_of(lambda: check_times(slip_for(descriptor, **changes), NOW_MS)) is reason


def test_secrets_do_not_show() -> None:
    for secret in (KEY, SIGNING, MAILBOX_SEAL):
        assert "hidden" in repr(secret)
        assert secret.reveal().hex() not in f"{secret!r}{secret}"
