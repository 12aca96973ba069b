"""Go's own verifier of notes and transparency logs accepts ours, and refuses what we spoil.

It is part of every Go distribution, as source: nothing is fetched. Without the `go` command the tests are skipped.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from protocol.checkpoint import log_origin, peek_checkpoint
from protocol.merkle import ListReader, consistency_proof, inclusion_proof, leaf_hash, root_of
from protocol.note import verifier_key
from spec.vectors.sample_letter import SampleLetter

GO = shutil.which("go")
pytestmark = pytest.mark.skipif(GO is None, reason="the go command is not installed")
PROGRAM = Path(__file__).with_name("sumdb") / "main.go"
HASHES = [leaf_hash(bytes([number])) for number in range(24)]
OTHER = leaf_hash(b"another")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checking program, built from the two packages in Go's own source tree."""
    assert GO is not None
    folder = tmp_path_factory.mktemp("sumdb")
    environment = os.environ | {"GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    facts = subprocess.run(
        [GO, "env", "GOROOT", "GOVERSION"], check=True, capture_output=True, text=True, env=environment
    )
    root, version = facts.stdout.split()
    language = f"go {version.removeprefix('go')}"
    library = folder / "mod"
    for package in ("note", "tlog"):
        source = Path(root) / "src/cmd/vendor/golang.org/x/mod/sumdb" / package
        shutil.copytree(source, library / "sumdb" / package)
    (library / "go.mod").write_text(f"module golang.org/x/mod\n\n{language}\n")
    program = folder / "program"
    program.mkdir()
    shutil.copy(PROGRAM, program)
    (program / "go.mod").write_text(
        f"module sumdb\n\n{language}\n\nrequire golang.org/x/mod v0.0.0\n\nreplace golang.org/x/mod => ../mod\n"
    )
    subprocess.run([GO, "build", "-o", "verify", "."], check=True, cwd=program, env=environment)
    return program / "verify"


def _run(verifier: Path, requests: list[dict[str, Any]]) -> list[str]:
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
        "root": _text(checkpoint.root),
    }
    cosigned = good | {"note": good["note"] + f"\u2014 witness.example {_text(bytes(76))}\n"}
    changed = good | {"note": good["note"].replace("\n5\n", "\n6\n")}
    other_key = good | {"key": verifier_key(log_origin(node.node_id, 1), letter.sender.log_secret.verify_key)}
    answers = _run(verifier, [good, cosigned, changed, other_key])
    assert answers[:2] == ["ok", "ok"]
    assert "invalid signature" in answers[2]
    assert "no verifiable signatures" in answers[3]


def test_inclusion_proofs(verifier: Path) -> None:
    reader = ListReader(HASHES)
    requests = [
        {
            "check": "inclusion",
            "proof": [_text(item) for item in inclusion_proof(index, size, reader)],
            "size": size,
            "root": _text(root_of(HASHES[:size])),
            "index": index,
            "leaf": _text(HASHES[index]),
        }
        for size in range(1, len(HASHES) + 1)
        for index in range(size)
    ]
    assert set(_run(verifier, requests)) == {"ok"}
    spoiled = [request | {"leaf": _text(OTHER)} for request in requests]
    assert "ok" not in _run(verifier, spoiled)


def test_consistency_proofs(verifier: Path) -> None:
    reader = ListReader(HASHES)
    requests = [
        {
            "check": "consistency",
            "proof": [_text(item) for item in consistency_proof(old, new, reader)],
            "size": new,
            "root": _text(root_of(HASHES[:new])),
            "oldSize": old,
            "oldRoot": _text(root_of(HASHES[:old])),
        }
        for new in range(1, len(HASHES) + 1)
        for old in range(1, new + 1)
    ]
    assert set(_run(verifier, requests)) == {"ok"}
    spoiled = [request | {"oldRoot": _text(OTHER)} for request in requests]
    assert "ok" not in _run(verifier, spoiled)


def test_evidence(verifier: Path) -> None:
    letter = SampleLetter()
    evidence = letter.recipient.evidence(letter.opening)
    checkpoint = peek_checkpoint(evidence.proof.checkpoint)
    request = {
        "check": "inclusion",
        "proof": [_text(item) for item in evidence.proof.hashes],
        "size": checkpoint.size,
        "root": _text(checkpoint.root),
        "index": evidence.proof.index,
        "leaf": _text(leaf_hash(evidence.leaf)),
    }
    assert _run(verifier, [request]) == ["ok"]
