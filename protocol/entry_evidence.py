"""A directory entry shown to a third party: feed leaf, opening, entry, proof. Spec: spec/evidence.md, 8.

It ties a mailbox id, which is all that log evidence names, to the address, the name and the keys that the institution
published for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.checkpoint import Checkpoint, CheckpointVerifier, parse_origin
from protocol.codec import encode
from protocol.entry import InstitutionEntry, MailboxEntry
from protocol.errors import Reason, RemoteProtocolError
from protocol.feed import OperationKind, decode_operation
from protocol.ids import NodeId
from protocol.merkle import leaf_hash
from protocol.tlogproof import TlogProof

__all__ = ["EntryEvidence", "VerifiedEntry", "verify_entry_evidence"]


@dataclass(frozen=True, slots=True)
class EntryEvidence:
    """A feed leaf (54 bytes), its opening (32) and entry, and the proof that the leaf is in the feed."""

    leaf: bytes
    opening: bytes
    entry: bytes
    proof: TlogProof


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedEntry:
    """What was proved: this node's feed held this entry, as this version of its subject, at this index.

    That no later version replaced it is not proved: that needs the rest of the feed.
    """

    node: NodeId
    entry: InstitutionEntry | MailboxEntry
    version: int
    index: int
    checkpoint: Checkpoint


def verify_entry_evidence(evidence: EntryEvidence, verifier: CheckpointVerifier) -> VerifiedEntry:
    """Check leaf, opening, entry, proof and head, in this order, and that the entry is that of the leaf's subject.

    RemoteProtocolError: malformed, unknown_version, too_large, not_canonical, bad_commitment, bad_key, bad_signature,
    bad_proof, unknown_key, mismatch.
    """
    operation = decode_operation(encode([evidence.leaf, evidence.opening, evidence.entry]))
    entry: InstitutionEntry | MailboxEntry
    if operation.leaf.kind == OperationKind.MAILBOX:
        entry = MailboxEntry.decode(evidence.entry)
        if entry.mailbox != operation.leaf.subject:
            raise RemoteProtocolError(Reason.MISMATCH, "the entry is of another mailbox than its leaf")
    elif operation.leaf.kind == OperationKind.INSTITUTION:
        entry = InstitutionEntry.decode(evidence.entry)
    else:
        raise RemoteProtocolError(Reason.MALFORMED, "a leaf that publishes no entry")
    checkpoint = evidence.proof.verify(leaf_hash(evidence.leaf), verifier)
    kind, node_id, _ = parse_origin(checkpoint.origin)
    if kind != "feed":
        raise RemoteProtocolError(Reason.MISMATCH, "an entry under the head of a log")
    return VerifiedEntry(
        node=node_id,
        entry=entry,
        version=operation.leaf.version,
        index=evidence.proof.index,
        checkpoint=checkpoint,
    )
