"""spec/vectors/tlogproof.json."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.checkpoint import CheckpointVerifier
from protocol.crypto import VerifyKey
from protocol.ids import NodeId
from protocol.tlogproof import TlogProof
from tests.vectors.vector_files import load_cases, outcome


@pytest.mark.parametrize("case", load_cases("tlogproof"))
def test_tlogproof(case: dict[str, Any]) -> None:
    given, raw = case["input"], bytes.fromhex(case["input"]["proof"])
    keys = [VerifyKey(bytes.fromhex(key)) for key in given["keys"]]
    verifier = CheckpointVerifier(NodeId(bytes.fromhex(given["node"])), keys)

    def read() -> TlogProof:
        proof = TlogProof.decode(raw)
        proof.verify(bytes.fromhex(given["leaf_hash"]), verifier)
        return proof

    expect, proof = outcome(read)
    assert expect == case["expect"]
    if expect == "ok":
        assert proof.encode() == raw
