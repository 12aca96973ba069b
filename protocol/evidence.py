"""Evidence: an opened log leaf with its proof, and its boxed form on the way back. Spec: spec/evidence.md, 7."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol.checkpoint import Checkpoint, CheckpointVerifier, parse_origin
from protocol.codec import check_binary, decode, decode_map, encode
from protocol.crypto import ZERO_NONCE, Secret, VerifyKey, aead_open, aead_seal, hkdf_expand
from protocol.details import MAX_DETAILS_BYTES, Details, check_expected, decode_details_of, opened_statement
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import EnvelopeId
from protocol.labels import Label
from protocol.logleaf import LEAF_BYTES, OPENING_BYTES, EventKind, LogLeaf, verify_opening
from protocol.merkle import leaf_hash
from protocol.tlogproof import MAX_PROOF_BYTES, TlogProof

__all__ = [
    "MAX_EVIDENCE_BYTES",
    "Evidence",
    "VerifiedEvidence",
    "box_evidence",
    "boxed_envelope_id",
    "decode_evidence",
    "encode_evidence",
    "open_boxed",
    "verify_evidence",
    "verify_opened_signature",
]

MAX_EVIDENCE_BYTES: Final = MAX_PROOF_BYTES + MAX_DETAILS_BYTES + 512


@dataclass(frozen=True, slots=True)
class Evidence:
    """A leaf (59 bytes), its opening (32) and details, and the proof that the leaf is in the log."""

    leaf: bytes
    opening: bytes
    details: bytes
    proof: TlogProof


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedEvidence:
    """What a piece of evidence proves: this node's log, at this index under this head, says so."""

    kind: EventKind
    time_ms: int
    details: Details
    checkpoint: Checkpoint
    index: int


def encode_evidence(evidence: Evidence) -> bytes:
    """[leaf, opening, details, proof]: the stored form."""
    return encode([evidence.leaf, evidence.opening, evidence.details, evidence.proof.encode()])


def decode_evidence(raw: bytes) -> Evidence:
    """RemoteProtocolError: too_large, malformed, not_canonical."""
    parts = decode(raw, max_bytes=MAX_EVIDENCE_BYTES)
    if not isinstance(parts, list) or len(parts) != 4:
        raise RemoteProtocolError(Reason.MALFORMED, "expected [leaf, opening, details, proof]")
    return Evidence(
        check_binary(parts[0], "leaf", LEAF_BYTES, LEAF_BYTES),
        check_binary(parts[1], "opening", OPENING_BYTES, OPENING_BYTES),
        check_binary(parts[2], "details", 1, MAX_DETAILS_BYTES),
        TlogProof.decode(check_binary(parts[3], "proof", 1, MAX_PROOF_BYTES)),
    )


def _box_key(reply_key: Secret, hashed: bytes) -> bytes:
    return hkdf_expand(reply_key.reveal(), info=Label.EVIDENCE.value + hashed, length=32)


def box_evidence(evidence: Evidence, *, reply_key: Secret, envelope_id: EnvelopeId) -> bytes:
    """Evidence for the way back: relays and listeners see envelope id, leaf hash and proof, not the details.

    One leaf hash has one plaintext, so the key derived from it is used once and the zero nonce is safe.
    """
    hashed = leaf_hash(evidence.leaf)
    plaintext = encode([evidence.leaf, evidence.opening, evidence.details])
    box = aead_seal(_box_key(reply_key, hashed), ZERO_NONCE, plaintext)
    return encode({"env": bytes(envelope_id), "leaf": hashed, "box": box, "proof": evidence.proof.encode()})


def _open_outer(raw: bytes) -> tuple[EnvelopeId, bytes, bytes, bytes]:
    fields = decode_map(raw, max_bytes=MAX_EVIDENCE_BYTES)
    outer = (
        EnvelopeId(fields.fixed("env", 32)),
        fields.fixed("leaf", 32),
        fields.binary("box", low=16, high=MAX_EVIDENCE_BYTES),
        fields.binary("proof", low=1, high=MAX_PROOF_BYTES),
    )
    fields.done()
    return outer


def boxed_envelope_id(raw: bytes) -> EnvelopeId:
    """Which envelope a boxed piece of evidence speaks of: tells which reply key opens it."""
    return _open_outer(raw)[0]


def open_boxed(raw: bytes, *, reply_key: Secret) -> Evidence:
    """Open a boxed piece of evidence. RemoteProtocolError: malformed, bad_box, mismatch."""
    _, hashed, box, proof = _open_outer(raw)
    inner = decode(aead_open(_box_key(reply_key, hashed), ZERO_NONCE, box), max_bytes=MAX_EVIDENCE_BYTES)
    if not isinstance(inner, list) or len(inner) != 3:
        raise RemoteProtocolError(Reason.MALFORMED, "expected [leaf, opening, details]")
    leaf = check_binary(inner[0], "leaf", LEAF_BYTES, LEAF_BYTES)
    if leaf_hash(leaf) != hashed:
        raise RemoteProtocolError(Reason.MISMATCH, "the box holds another leaf")
    return Evidence(
        leaf,
        check_binary(inner[1], "opening", OPENING_BYTES, OPENING_BYTES),
        check_binary(inner[2], "details", 1, MAX_DETAILS_BYTES),
        TlogProof.decode(proof),
    )


def verify_evidence(
    evidence: Evidence, verifier: CheckpointVerifier, *, expected: Details | None = None
) -> VerifiedEvidence:
    """Check leaf, opening, proof and head, and that the details name the node whose log it is.

    expected: values that the details must have, None where any will do (our envelope, slip, letter, payload, mailbox).
    RemoteProtocolError: malformed, unknown_version, bad_commitment, bad_proof, bad_signature, unknown_key, mismatch.
    """
    leaf = LogLeaf.decode(evidence.leaf)
    verify_opening(leaf, evidence.opening, evidence.details)
    details = decode_details_of(leaf.kind, evidence.details)
    checkpoint = evidence.proof.verify(leaf_hash(evidence.leaf), verifier)
    kind, node_id, _ = parse_origin(checkpoint.origin)
    if kind != "log" or details.node != node_id:
        raise RemoteProtocolError(Reason.MISMATCH, "details and head name different logs")
    if expected is not None:
        check_expected(details, expected)
    return VerifiedEvidence(
        kind=leaf.kind, time_ms=leaf.time_ms, details=details, checkpoint=checkpoint, index=evidence.proof.index
    )


def verify_opened_signature(verified: VerifiedEvidence, key: VerifyKey) -> None:
    """Check the mailbox key's signature in an `opened` leaf; RemoteProtocolError(bad_signature, malformed)."""
    details = verified.details
    if verified.kind is not EventKind.OPENED:
        raise RemoteProtocolError(Reason.MALFORMED, "not the evidence of an opening")
    # verify_evidence has seen that an opening has all five.
    envelope, mailbox, digest = details.envelope, details.mailbox, details.digest
    role, signature = details.role, details.signature
    if envelope is None or mailbox is None or digest is None or role is None or signature is None:
        raise LocalProtocolError("evidence that was not verified")
    message = opened_statement(envelope=envelope, mailbox=mailbox, digest=digest, time_ms=verified.time_ms, role=role)
    key.verify(Label.OPENED, message, signature)
