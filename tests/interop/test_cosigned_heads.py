"""Heads with cosignatures and a daily ML-DSA line, as software that is not ours reads them."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from tlog_scales.signing import Ed25519CosignatureVerifier, MLDSA44CosignatureVerifier, Vkey
from tlog_scales.tlog import Checkpoint

from protocol.checkpoint import log_origin, peek_checkpoint
from protocol.cosignature import cosign, witness_name
from protocol.mldsa import PqSecret
from protocol.note import parse_note, verifier_key
from protocol.pq_line import add_pq_line, pq_verifier_key
from spec.vectors.sample_letter import SampleLetter
from spec.vectors.sample_node import SampleNode, bytes_of
from tests.interop.test_go_sumdb import run_checks

LETTER = SampleLetter()
NODE, WITNESSES = LETTER.recipient, (SampleNode("one"), SampleNode("two"))
ORIGIN = log_origin(NODE.node_id, 1)
PQ = PqSecret(bytes_of("interop"))
TIME_S = 1_790_000_000


def daily_head() -> bytes:
    """A head with an ML-DSA line and two cosignatures."""
    head = add_pq_line(NODE.log_head(), PQ, time_s=TIME_S)
    for node in WITNESSES:
        head = cosign(head, name=witness_name(node.node_id), secret=node.witness_secret, time_s=TIME_S)
    assert len(parse_note(head).signatures) == 4
    return head


def test_tlog_scales_reads_each_line() -> None:
    text = daily_head().decode()
    checkpoint = Checkpoint.from_text(text)
    checkpoint.verify(Vkey.from_string(verifier_key(ORIGIN, NODE.log_secret.verify_key)))
    pq_line = parse_note(daily_head()).signatures[1].signature
    pq = MLDSA44CosignatureVerifier(Vkey.from_string(pq_verifier_key(ORIGIN, PQ.verify_key)))
    pq.verify(pq_line, checkpoint)
    for node, line in zip(WITNESSES, parse_note(daily_head()).signatures[2:], strict=True):
        name, key = witness_name(node.node_id), node.witness_secret.verify_key
        Ed25519CosignatureVerifier(Vkey(name, None, 4, bytes(key))).verify(line.signature, checkpoint)
    with pytest.raises(InvalidSignature):
        pq.verify(pq_line, Checkpoint.from_text(text.replace("\n5\n", "\n6\n")))


def test_go_reads_the_head_among_lines_that_it_does_not_know(verifier: Path) -> None:
    head = daily_head()
    checkpoint = peek_checkpoint(head)
    good = {
        "check": "head",
        "key": verifier_key(ORIGIN, NODE.log_secret.verify_key),
        "note": head.decode(),
        "size": checkpoint.size,
        "root": base64.b64encode(checkpoint.root).decode(),
    }
    answers = run_checks(verifier, [good, good | {"note": head.decode().replace("\n5\n", "\n6\n")}])
    assert answers[0] == "ok"
    assert "invalid signature" in answers[1]
