"""Slips and wraps: one encoding, keys that do not show, and what binds a wrap to its place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codec import encode
from protocol.crypto import Secret
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import LetterId, MailboxId, NodeId, PayloadId
from protocol.letter import LetterClass, decode_signed_letter
from protocol.slip import (
    MAX_CLOCK_SKEW_MS,
    MAX_LIFETIME_MS,
    MAX_SIGNED_SLIP_BYTES,
    MAX_SLIP_RECIPIENTS,
    WRAP_BYTES,
    Slip,
    SlipRecipient,
    check_letter_against_slip,
    check_times,
    decode_signed_slip,
    open_wrap,
    seal_wrap,
    sign_slip,
)
from spec.vectors.sample_node import FROM_MS, bytes_of, seal_secret_of
from spec.vectors.sample_sealing import (
    IDENTITY,
    MAILBOX,
    MAILBOX_SECRET,
    PAYLOAD_KEY,
    sample_signed_letter,
    sample_signed_slip,
    sample_slip,
    sample_wrap,
)
from tests.protocol.letter_strategies import slips
from tests.vectors.vector_files import outcome

SLIP = sample_slip()
SIGNED = sample_signed_slip()
WRAP = sample_wrap(SLIP)


def reason_of_wrap(wrap: bytes, slip: Slip = SLIP, mailbox: MailboxId = MAILBOX, **how: Any) -> Reason:
    with pytest.raises(RemoteProtocolError) as caught:
        open_wrap(wrap, secret=how.get("secret", MAILBOX_SECRET), slip=slip, mailbox=mailbox)
    return caught.value.reason


@settings(max_examples=50)
@given(slip=slips)
def test_a_slip_reads_back_as_it_was_signed(slip: Slip) -> None:
    raw = sign_slip(slip, IDENTITY)
    signed = decode_signed_slip(raw)
    assert signed.slip == slip
    assert signed.raw == raw == encode([signed.slip_bytes, signed.signature])
    signed.verify(IDENTITY.verify_key)
    assert [signed.wrap_for(item.mailbox) for item in slip.recipients] == [item.wrap for item in slip.recipients]


@settings(max_examples=200)
@given(at=st.integers(0, len(SIGNED) - 1), bit=st.integers(0, 7))
def test_no_bit_of_a_signed_slip_can_change(at: int, bit: int) -> None:
    changed = bytearray(SIGNED)
    changed[at] ^= 1 << bit
    with pytest.raises(RemoteProtocolError):
        decode_signed_slip(bytes(changed)).verify(IDENTITY.verify_key)


@given(junk=st.binary(max_size=300), inner=st.binary(max_size=300))
def test_junk_is_refused(junk: bytes, inner: bytes) -> None:
    for raw in (junk, encode([inner, bytes(64)])):
        with pytest.raises(RemoteProtocolError):
            decode_signed_slip(raw)


def recipients(count: int) -> tuple[SlipRecipient, ...]:
    return tuple(SlipRecipient(MailboxId(number.to_bytes(16, "big")), WRAP) for number in range(count))


REFUSED: dict[str, dict[str, Any]] = {
    "nobody": {"recipients": ()},
    "too_many": {"recipients": recipients(MAX_SLIP_RECIPIENTS + 1)},
    "twice": {"recipients": recipients(1) * 2},
    "short_wrap": {"recipients": (SlipRecipient(MAILBOX, WRAP[:-1]),)},
    "short_reply_key": {"reply_key": Secret(bytes(31))},
    "negative_statement": {"statement_number": -1},
    "late": {"expires_at_ms": 2**62 + 1},
    "beyond_64_bits": {"sent_at_ms": 2**64},
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_slip_that_would_be_refused_is_not_signed(name: str) -> None:
    with pytest.raises(LocalProtocolError):
        sign_slip(replace(SLIP, **REFUSED[name]), IDENTITY)


def test_a_slip_for_as_many_as_it_may_name_is_within_its_limit() -> None:
    largest = replace(
        SLIP,
        recipients=recipients(MAX_SLIP_RECIPIENTS),
        statement_number=2**31 - 1,
        sent_at_ms=2**62,
        expires_at_ms=2**62,
    )
    raw = sign_slip(largest, IDENTITY)
    assert len(raw) < MAX_SIGNED_SLIP_BYTES
    assert decode_signed_slip(raw).slip == largest


def test_keys_do_not_show() -> None:
    signed = decode_signed_slip(SIGNED)
    shown = f"{signed!r} {signed} {signed.slip!r}"
    key = SLIP.reply_key.reveal()
    assert "reply_key=Secret(hidden)" in shown
    for hidden in (key.hex(), repr(key)[2:20], repr(WRAP)[2:20], repr(signed.signature)[2:20]):
        assert hidden not in shown


# -- times


@pytest.mark.parametrize("since_sent_ms", [-MAX_CLOCK_SKEW_MS, 0, 72 * 3_600_000 - 1])
def test_a_slip_is_taken_until_it_expires(since_sent_ms: int) -> None:
    check_times(SLIP, FROM_MS + since_sent_ms)


@given(sent=st.integers(0, 2**41), life=st.integers(-(2**33), 2**33), since=st.integers(-(2**33), 2**33))
def test_times_are_checked_in_their_order(sent: int, life: int, since: int) -> None:
    slip, now = replace(SLIP, sent_at_ms=sent, expires_at_ms=sent + life), sent + since
    expected = "ok"
    if since < -MAX_CLOCK_SKEW_MS:
        expected = Reason.NOT_YET_VALID.value
    elif since >= life:
        expected = Reason.EXPIRED.value
    elif life > MAX_LIFETIME_MS:
        expected = Reason.MALFORMED.value
    assert outcome(lambda: check_times(slip, now))[0] == expected


# -- wraps


def test_a_wrap_opens_at_its_place() -> None:
    assert len(WRAP) == WRAP_BYTES == 1168
    assert open_wrap(WRAP, secret=MAILBOX_SECRET, slip=SLIP, mailbox=MAILBOX) == PAYLOAD_KEY


MOVED: dict[str, dict[str, Any]] = {
    "sender": {"sender_node": NodeId(bytes_of("other"))},
    "destination": {"destination": NodeId(bytes_of("other"))},
    "letter": {"letter_id": LetterId(bytes_of("other", 16))},
    "payload": {"payload_id": PayloadId(bytes_of("other"))},
    "sides": {"sender_node": SLIP.destination, "destination": SLIP.sender_node},
}


@pytest.mark.parametrize("name", MOVED)
def test_a_wrap_does_not_open_in_another_slip(name: str) -> None:
    assert reason_of_wrap(WRAP, replace(SLIP, **MOVED[name])) is Reason.BAD_BOX


def test_a_wrap_does_not_open_for_another_mailbox_or_key() -> None:
    assert reason_of_wrap(WRAP, mailbox=MailboxId(bytes(16))) is Reason.BAD_BOX
    assert reason_of_wrap(WRAP, secret=seal_secret_of("other")) is Reason.BAD_BOX


def test_a_wrap_stays_good_when_the_deadline_moves() -> None:
    """An envelope is sealed again for a new deadline; its wraps need not be."""
    later = replace(SLIP, expires_at_ms=SLIP.expires_at_ms + 1, letter_class=LetterClass.URGENT)
    assert open_wrap(WRAP, secret=MAILBOX_SECRET, slip=later, mailbox=MAILBOX) == PAYLOAD_KEY


@settings(max_examples=30)
@given(at=st.integers(0, WRAP_BYTES - 1), bit=st.integers(0, 7))
def test_no_bit_of_a_wrap_can_change(at: int, bit: int) -> None:
    changed = bytearray(WRAP)
    # The last bit of an X25519 key is ignored in the exchange, but not in the key that is derived.
    changed[at] ^= 1 << bit
    assert reason_of_wrap(bytes(changed)) is Reason.BAD_BOX


@pytest.mark.parametrize("wrap", [b"", WRAP[:-1], WRAP + b"\0"], ids=["nothing", "short", "long"])
def test_a_wrap_has_one_length(wrap: bytes) -> None:
    assert reason_of_wrap(wrap) is Reason.MALFORMED


def test_only_a_whole_payload_key_is_wrapped() -> None:
    with pytest.raises(LocalProtocolError, match="32 bytes"):
        seal_wrap(
            Secret(bytes(16)),
            seal_key=MAILBOX_SECRET.seal_key,
            sender_node=SLIP.sender_node,
            destination=SLIP.destination,
            mailbox=MAILBOX,
            letter_id=SLIP.letter_id,
            payload_id=SLIP.payload_id,
        )


# -- the letter that a slip brought


DISAGREE: dict[str, dict[str, Any]] = {
    "node": {"sender_node": NodeId(bytes_of("other"))},
    "letter": {"letter_id": LetterId(bytes_of("other", 16))},
    "class": {"letter_class": LetterClass.BULK},
    "early": {"sent_at_ms": FROM_MS - MAX_CLOCK_SKEW_MS - 1},
    "late": {"sent_at_ms": FROM_MS + MAX_CLOCK_SKEW_MS + 1},
}


@pytest.mark.parametrize("name", DISAGREE)
def test_a_letter_that_another_slip_brought_is_a_mismatch(name: str) -> None:
    letter = decode_signed_letter(sample_signed_letter())
    check_letter_against_slip(letter, SLIP)
    with pytest.raises(RemoteProtocolError) as caught:
        check_letter_against_slip(letter, replace(SLIP, **DISAGREE[name]))
    assert caught.value.reason is Reason.MISMATCH
