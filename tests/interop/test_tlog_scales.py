"""tlog-scales reads what we write, and we read what it writes: heads, proofs, whole logs."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from tlog_scales import cli
from tlog_scales.signing import PlainEd25519Signer, Vkey
from tlog_scales.tlog import Checkpoint, ConsistencyProof, InclusionProof, InclusionProofInvalid
from tlog_scales.writer import TilesWriter

from protocol.checkpoint import CheckpointVerifier, log_origin, open_checkpoint
from protocol.crypto import VerifyKey
from protocol.ids import NodeId
from protocol.merkle import ListReader, consistency_proof, inclusion_proof, leaf_hash, root_of
from protocol.note import verifier_key
from protocol.tlogproof import TlogProof
from spec.vectors.sample_letter import SampleLetter
from spec.vectors.sample_node import bytes_of

LETTER = SampleLetter()
EVIDENCE = LETTER.recipient.evidence(LETTER.deposited)
ORIGIN = log_origin(LETTER.recipient.node_id, 1)
HASHES = [leaf_hash(bytes([number])) for number in range(40)]


def test_our_heads_hold_for_it() -> None:
    text = EVIDENCE.proof.checkpoint.decode()
    key = Vkey.from_string(verifier_key(ORIGIN, LETTER.recipient.log_secret.verify_key))
    checkpoint = Checkpoint.from_text(text)
    checkpoint.verify(key)
    assert (checkpoint.origin, checkpoint.serialize()) == (ORIGIN, text)
    with pytest.raises(InvalidSignature):
        Checkpoint.from_text(text.replace("\n5\n", "\n6\n")).verify(key)


def test_our_evidence_holds_for_it() -> None:
    checkpoint = Checkpoint.from_text(EVIDENCE.proof.checkpoint.decode())
    proof = InclusionProof(EVIDENCE.proof.index, checkpoint.size, list(EVIDENCE.proof.hashes))
    proof.check(leaf_hash(EVIDENCE.leaf), checkpoint.root_hash)
    with pytest.raises(InclusionProofInvalid):
        proof.check(leaf_hash(EVIDENCE.details), checkpoint.root_hash)


@pytest.mark.parametrize("size", [1, 2, 5, 8, 21, 40])
def test_our_proofs_hold_for_it(size: int) -> None:
    reader, root = ListReader(HASHES), root_of(HASHES[:size])
    for index in range(size):
        InclusionProof(index, size, inclusion_proof(index, size, reader)).check(HASHES[index], root)
    for old in range(1, size + 1):
        ConsistencyProof(old, size, consistency_proof(old, size, reader)).check(root_of(HASHES[:old]), root)


def test_its_log_holds_for_us(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    signer = PlainEd25519Signer(ORIGIN, bytes_of("signer of tlog-scales"))
    key = VerifyKey.checked(signer.vkey.pubkey)
    leaves = [bytes_of(f"leaf {number}") for number in range(300)]
    folder = tmp_path / "log"
    writer = TilesWriter.create(folder, ORIGIN)
    for leaf in leaves:
        writer.add_leaf(leaf)
    writer.commit([signer])
    head = (folder / "checkpoint").read_bytes()
    checkpoint = open_checkpoint(head, origin=ORIGIN, keys=[key])
    assert (checkpoint.size, checkpoint.root) == (300, root_of([leaf_hash(leaf) for leaf in leaves]))
    verifier = CheckpointVerifier(NodeId(LETTER.recipient.node_id), [key])
    reader = ListReader([leaf_hash(leaf) for leaf in leaves])
    for index in (0, 255, 256, 299):
        cli.cmd_gen_proof(cli.build_parser().parse_args(["gen-proof", str(folder), str(index)]))
        text = capsys.readouterr().out.encode()
        assert text == TlogProof(index, tuple(inclusion_proof(index, 300, reader)), head).encode()
        assert TlogProof.decode(text).verify(leaf_hash(leaves[index]), verifier) == checkpoint
