"""spec/vectors/evidence.json."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.checkpoint import CheckpointVerifier
from protocol.crypto import Secret, VerifyKey
from protocol.details import Details
from protocol.evidence import (
    Evidence,
    VerifiedEvidence,
    box_evidence,
    boxed_envelope_id,
    decode_evidence,
    encode_evidence,
    open_boxed,
    verify_evidence,
    verify_opened_signature,
)
from protocol.ids import EnvelopeId, MailboxId, NodeId
from protocol.logleaf import EventKind
from tests.vectors.vector_files import load_cases, outcome


@pytest.mark.parametrize("case", load_cases("evidence"))
def test_evidence(case: dict[str, Any]) -> None:
    given, boxed = case["input"], bytes.fromhex(case["input"]["boxed"])
    node, reply_key = NodeId(bytes.fromhex(given["node"])), Secret(bytes.fromhex(given["reply_key"]))
    verifier = CheckpointVerifier(node, [VerifyKey(bytes.fromhex(key)) for key in given["keys"]])
    expected = Details(node=node, mailbox=MailboxId(bytes.fromhex(given["mailbox"])))

    def read() -> tuple[Evidence, VerifiedEvidence]:
        evidence = open_boxed(boxed, reply_key=reply_key)
        verified = verify_evidence(evidence, verifier, expected=expected)
        if verified.kind is EventKind.OPENED:
            verify_opened_signature(verified, VerifyKey(bytes.fromhex(given["mailbox_key"])))
        return evidence, verified

    expect, found = outcome(read)
    assert expect == case["expect"]
    if expect == "ok":
        evidence, verified = found
        parts = (evidence.leaf.hex(), evidence.opening.hex(), evidence.details.hex(), verified.kind.word)
        assert parts == (case["leaf"], case["opening"], case["details"], case["kind"])
        assert boxed_envelope_id(boxed).hex() == case["envelope"]
        envelope = EnvelopeId(bytes.fromhex(case["envelope"]))
        assert box_evidence(evidence, reply_key=reply_key, envelope_id=envelope) == boxed
        assert decode_evidence(encode_evidence(evidence)) == evidence
