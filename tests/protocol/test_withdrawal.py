"""Withdrawals: sealed to one node, signed by one node, for a letter that may never have arrived."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.crypto import Secret
from protocol.errors import Reason, RemoteProtocolError
from protocol.ids import EnvelopeId, LetterId, MailboxId, NodeId
from protocol.withdrawal import MAX_SEALED_WITHDRAWAL_BYTES, Withdrawal, open_withdrawal, seal_withdrawal
from spec.vectors.sample_node import bytes_of, signing_secret_of
from spec.vectors.sample_sealing import DESTINATION, IDENTITY, NODE_SECRET
from tests.protocol.letter_strategies import fixed

SECRETS = {NODE_SECRET.seal_key.fingerprint[:8]: NODE_SECRET}

withdrawals = st.builds(
    Withdrawal,
    sender_node=fixed(NodeId),
    destination=st.just(DESTINATION),
    envelope_id=fixed(EnvelopeId),
    letter_id=fixed(LetterId),
    mailboxes=st.lists(fixed(MailboxId), min_size=1, max_size=40).map(tuple),
    expires_at_ms=st.integers(0, 2**62),
    time_ms=st.integers(0, 2**62),
    reply_key=st.binary(min_size=32, max_size=32).map(Secret),
)
SAMPLE = Withdrawal(
    sender_node=NodeId(bytes_of("node")),
    destination=DESTINATION,
    envelope_id=EnvelopeId(bytes_of("envelope")),
    letter_id=LetterId(bytes_of("letter", 16)),
    mailboxes=(MailboxId(bytes_of("mailbox", 16)),),
    expires_at_ms=2,
    time_ms=1,
    reply_key=Secret(bytes_of("reply key")),
)
SEALED = seal_withdrawal(SAMPLE, identity=IDENTITY, seal_key=NODE_SECRET.seal_key)


@settings(max_examples=50)
@given(withdrawal=withdrawals)
def test_a_request_comes_out_as_it_was_sealed(withdrawal: Withdrawal) -> None:
    sealed = seal_withdrawal(withdrawal, identity=IDENTITY, seal_key=NODE_SECRET.seal_key)
    signed = open_withdrawal(sealed, own=DESTINATION, secrets=SECRETS)
    assert signed.withdrawal == withdrawal
    assert len(sealed) <= MAX_SEALED_WITHDRAWAL_BYTES
    signed.verify(IDENTITY.verify_key)
    with pytest.raises(RemoteProtocolError) as caught:
        signed.verify(signing_secret_of("other").verify_key)
    assert caught.value.reason is Reason.BAD_SIGNATURE


@settings(max_examples=50)
@given(at=st.integers(0, len(SEALED) - 1), bit=st.integers(0, 7))
def test_no_bit_of_a_request_can_change(at: int, bit: int) -> None:
    changed = bytearray(SEALED)
    changed[at] ^= 1 << bit
    with pytest.raises(RemoteProtocolError) as caught:
        open_withdrawal(bytes(changed), own=DESTINATION, secrets=SECRETS)
    assert caught.value.reason is (Reason.UNKNOWN_KEY if at < 8 else Reason.BAD_BOX)


@given(junk=st.binary(max_size=1500))
def test_junk_is_refused(junk: bytes) -> None:
    for raw in (junk, SEALED[:8] + junk):
        with pytest.raises(RemoteProtocolError):
            open_withdrawal(raw, own=DESTINATION, secrets=SECRETS)
