"""The library's HPKE is the one that the spec writes out: its boxes open by hand, and the other way round."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.crypto import SealSecret, Secret, hpke_open, hpke_seal, sha256
from protocol.envelope import decode_envelope, seal_envelope
from protocol.slip import decode_signed_slip, seal_wrap
from spec.vectors.encapsulations import TO_MAILBOX, TO_MAILBOX_SECRET, TO_NODE, TO_NODE_SECRET
from spec.vectors.hpke_by_hand import open_by_hand, seal_by_hand
from spec.vectors.sample_sealing import (
    DESTINATION,
    MAILBOX,
    MAILBOX_SECRET,
    NODE_SECRET,
    PAYLOAD_KEY,
    padded_slip,
    sample_signed_slip,
    sample_slip,
    sealed_letter,
    wrap_info,
)

secrets = st.builds(SealSecret, st.binary(min_size=96, max_size=96))


@settings(max_examples=25)
@given(secret=secrets, info=st.binary(max_size=300), plaintext=st.binary(max_size=300))
def test_a_box_of_the_library_opens_by_hand(secret: SealSecret, info: bytes, plaintext: bytes) -> None:
    box = hpke_seal(secret.seal_key, info=info, plaintext=plaintext)
    assert open_by_hand(secret.reveal(), info, box) == plaintext


@settings(max_examples=25)
@given(
    secret=secrets,
    info=st.binary(max_size=300),
    plaintext=st.binary(max_size=300),
    ct_mlkem=st.binary(min_size=1088, max_size=1088),
    ephemeral=st.binary(min_size=32, max_size=32),
)
def test_a_box_made_by_hand_opens_in_the_library(
    secret: SealSecret, info: bytes, plaintext: bytes, ct_mlkem: bytes, ephemeral: bytes
) -> None:
    box = seal_by_hand(secret.reveal(), info, plaintext, ct_mlkem=ct_mlkem, ephemeral=ephemeral)
    assert hpke_open(secret, info=info, box=box) == plaintext


def test_the_kept_encapsulations_are_true_ones() -> None:
    for secret, ciphertext, shared in (
        (MAILBOX_SECRET, TO_MAILBOX, TO_MAILBOX_SECRET),
        (NODE_SECRET, TO_NODE, TO_NODE_SECRET),
    ):
        assert MLKEM768PrivateKey.from_seed_bytes(secret.reveal()[:64]).decapsulate(ciphertext) == shared


def test_a_wrap_is_bound_as_the_spec_says() -> None:
    slip = sample_slip()
    wrap = seal_wrap(
        PAYLOAD_KEY,
        seal_key=MAILBOX_SECRET.seal_key,
        sender_node=slip.sender_node,
        destination=slip.destination,
        mailbox=MAILBOX,
        letter_id=slip.letter_id,
        payload_id=slip.payload_id,
    )
    assert len(wrap) == 1168
    assert Secret(open_by_hand(MAILBOX_SECRET.reveal(), wrap_info(slip), wrap)) == PAYLOAD_KEY


def test_an_envelope_is_bound_as_the_spec_says() -> None:
    signed = decode_signed_slip(sample_signed_slip())
    raw = seal_envelope(signed, seal_key=NODE_SECRET.seal_key, descriptor=sealed_letter()[0])
    envelope = decode_envelope(raw)
    info = b"coffre/v1/slip-box\0" + DESTINATION + sha256(NODE_SECRET.seal_key) + sha256(envelope.head_bytes)
    assert open_by_hand(NODE_SECRET.reveal(), info, envelope.box) == padded_slip(signed.raw)
