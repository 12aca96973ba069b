"""Proofs as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Reason, RemoteProtocolError
from protocol.tlogproof import TlogProof
from spec.vectors.sample_letter import SampleLetter

HASHES = st.lists(st.binary(min_size=32, max_size=32), max_size=53).map(tuple)


@given(index=st.integers(0, 10**16 - 1), hashes=HASHES, checkpoint=st.binary(max_size=200))
def test_a_proof_reads_back(index: int, hashes: tuple[bytes, ...], checkpoint: bytes) -> None:
    proof = TlogProof(index, hashes, checkpoint)
    assert TlogProof.decode(proof.encode()) == proof


@given(raw=st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: b"c2sp.org/tlog-proof@v1\n" + tail))
def test_junk_is_refused_or_is_the_one_encoding(raw: bytes) -> None:
    try:
        proof = TlogProof.decode(raw)
    except RemoteProtocolError:
        return
    assert proof.encode() == raw


@pytest.mark.parametrize("digits", ["\u0661", "1e3", "0x1", "1 ", "", "-1"])
def test_an_index_is_a_plain_number(digits: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        TlogProof.decode(f"c2sp.org/tlog-proof@v1\nindex {digits}\n\nhead\n".encode())
    assert caught.value.reason is Reason.MALFORMED


def test_the_text_form_is_the_one_that_others_read() -> None:
    letter = SampleLetter()
    proof = letter.recipient.evidence(letter.deposited).proof
    head, hashes, checkpoint = proof.encode().partition(b"\n\n")[0].split(b"\n"), proof.hashes, proof.checkpoint
    assert head[:2] == [b"c2sp.org/tlog-proof@v1", b"index 1"]
    assert len(head) == 2 + len(hashes)
    assert proof.encode().endswith(b"\n\n" + checkpoint)
