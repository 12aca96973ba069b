"""Evidence on its way back, and what it proves later."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.checkpoint import CheckpointVerifier
from protocol.crypto import Secret
from protocol.details import Details
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.evidence import (
    MAX_EVIDENCE_BYTES,
    box_evidence,
    boxed_envelope_id,
    decode_evidence,
    encode_evidence,
    open_boxed,
    verify_evidence,
    verify_opened_signature,
)
from protocol.ids import LeafTag, MailboxId
from protocol.logleaf import EventKind
from spec.vectors.sample_letter import SampleLetter
from spec.vectors.sample_node import FROM_MS, SampleNode, signing_secret_of

LETTER = SampleLetter()
DEPOSITED = LETTER.recipient.evidence(LETTER.deposited)
BOXED = box_evidence(DEPOSITED, reply_key=LETTER.reply_key, envelope_id=LETTER.envelope)


def verifier_of(node: SampleNode) -> CheckpointVerifier:
    return CheckpointVerifier(node.node_id, node.chain.log_keys())


def test_the_sender_reads_what_the_recipient_boxed() -> None:
    assert boxed_envelope_id(BOXED) == LETTER.envelope
    evidence = open_boxed(BOXED, reply_key=LETTER.reply_key)
    verified = verify_evidence(evidence, verifier_of(LETTER.recipient), expected=LETTER.at_recipient())
    assert evidence == DEPOSITED
    assert (verified.kind, verified.time_ms, verified.index) == (EventKind.DEPOSITED, FROM_MS + 2_000, LETTER.deposited)
    assert verified.details == LETTER.at_recipient()


@pytest.mark.parametrize("name", ["peer", "slip", "letter", "payload", "mailbox"])
def test_a_listener_does_not_see_the_details(name: str) -> None:
    assert bytes(getattr(LETTER.at_recipient(), name)) not in BOXED


@pytest.mark.parametrize("name", ["node", "peer", "envelope", "slip", "letter", "payload", "mailbox"])
def test_evidence_about_something_else_is_a_mismatch(name: str) -> None:
    ours = LETTER.at_recipient()
    value = getattr(ours, name)
    expected = replace(ours, **{name: type(value)(bytes(len(value)))})
    with pytest.raises(RemoteProtocolError) as caught:
        verify_evidence(DEPOSITED, verifier_of(LETTER.recipient), expected=expected)
    assert (caught.value.reason, name in caught.value.detail) == (Reason.MISMATCH, True)


@given(data=st.data())
def test_no_byte_of_boxed_evidence_can_change(data: st.DataObject) -> None:
    at, bit = data.draw(st.integers(0, len(BOXED) - 1)), 1 << data.draw(st.integers(0, 7))
    changed = BOXED[:at] + bytes([BOXED[at] ^ bit]) + BOXED[at + 1 :]
    try:
        evidence = open_boxed(changed, reply_key=LETTER.reply_key)
        verify_evidence(evidence, verifier_of(LETTER.recipient), expected=LETTER.at_recipient())
    except RemoteProtocolError:
        return
    # The envelope id outside only tells which key opens the box; the one inside counts.
    assert boxed_envelope_id(changed) != LETTER.envelope
    assert evidence == DEPOSITED


@given(raw=st.binary(max_size=300))
def test_junk_is_refused(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        open_boxed(raw, reply_key=Secret(bytes(32)))
    with pytest.raises(RemoteProtocolError):
        decode_evidence(raw)


def test_what_is_larger_than_any_evidence_is_not_looked_at() -> None:
    for read in (lambda raw: open_boxed(raw, reply_key=Secret(bytes(32))), decode_evidence):
        with pytest.raises(RemoteProtocolError) as caught:
            read(bytes(MAX_EVIDENCE_BYTES + 1))
        assert caught.value.reason is Reason.TOO_LARGE


@pytest.mark.parametrize("raw", [b"\xc0", b"\x01", b"\x90", b"\x93\x01\x02\x03", b"\x80"])
def test_other_shapes_are_refused(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_evidence(raw)
    assert caught.value.reason is Reason.MALFORMED


def test_the_stored_form_reads_back() -> None:
    assert decode_evidence(encode_evidence(DEPOSITED)) == DEPOSITED


def test_a_later_head_proves_the_same_leaf_anew() -> None:
    letter = SampleLetter()
    first = letter.recipient.evidence(letter.deposited)
    letter.recipient.log(
        EventKind.STOPPED, Details(node=letter.recipient.node_id), time_ms=FROM_MS, tag=LeafTag(bytes(16))
    )
    later = letter.recipient.evidence(letter.deposited)
    assert (later.leaf, later.opening, later.details) == (first.leaf, first.opening, first.details)
    assert later.proof.checkpoint != first.proof.checkpoint
    verifier = verifier_of(letter.recipient)
    assert verify_evidence(first, verifier).details == verify_evidence(later, verifier).details


def test_evidence_from_before_a_change_of_key_still_holds() -> None:
    letter = SampleLetter()
    before = letter.recipient.evidence(letter.deposited)
    letter.recipient.recover(bad_from_ms=FROM_MS)
    after = letter.recipient.evidence(letter.deposited)
    verifier = verifier_of(letter.recipient)
    assert verify_evidence(before, verifier).index == verify_evidence(after, verifier).index


def test_the_opener_s_signature_is_by_the_mailbox_key_alone() -> None:
    verified = verify_evidence(LETTER.recipient.evidence(LETTER.opening), verifier_of(LETTER.recipient))
    verify_opened_signature(verified, LETTER.mailbox_secret.verify_key)
    with pytest.raises(RemoteProtocolError) as caught:
        verify_opened_signature(verified, signing_secret_of("somebody else").verify_key)
    assert caught.value.reason is Reason.BAD_SIGNATURE


@pytest.mark.parametrize(
    "change",
    [
        {"time_ms": FROM_MS},
        {"details": replace(LETTER.opened(), role="deputy")},
        {"details": replace(LETTER.opened(), digest=bytes(32))},
        {"details": replace(LETTER.opened(), mailbox=MailboxId(bytes(16)))},
    ],
    ids=["time", "role", "digest", "mailbox"],
)
def test_the_opener_signs_time_role_digest_and_mailbox(change: dict[str, object]) -> None:
    verified = verify_evidence(LETTER.recipient.evidence(LETTER.opening), verifier_of(LETTER.recipient))
    with pytest.raises(RemoteProtocolError) as caught:
        verify_opened_signature(replace(verified, **change), LETTER.mailbox_secret.verify_key)  # type: ignore[arg-type]
    assert caught.value.reason is Reason.BAD_SIGNATURE


def test_only_an_opening_has_an_opener() -> None:
    verified = verify_evidence(DEPOSITED, verifier_of(LETTER.recipient))
    with pytest.raises(RemoteProtocolError) as caught:
        verify_opened_signature(verified, LETTER.mailbox_secret.verify_key)
    assert caught.value.reason is Reason.MALFORMED
    unverified = replace(verified, kind=EventKind.OPENED)
    with pytest.raises(LocalProtocolError):
        verify_opened_signature(unverified, LETTER.mailbox_secret.verify_key)
