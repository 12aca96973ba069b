"""What an evidence file proves, item by item, with nothing but the file. Spec: spec/evidence.md, 10."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Final

from protocol.checkpoint import Checkpoint, CheckpointVerifier, parse_origin, peek_checkpoint
from protocol.cosignature import Cosignature, verified_cosignatures
from protocol.details import Details
from protocol.entry import InstitutionEntry, MailboxEntry
from protocol.entry_evidence import EntryEvidence, VerifiedEntry, verify_entry_evidence
from protocol.errors import Reason, RemoteProtocolError
from protocol.evidence import Evidence, VerifiedEvidence, verify_evidence, verify_opened_signature
from protocol.evidence_file import EvidenceFile, NodeStatements
from protocol.evidence_findings import Defect, Doubt, EntryFinding, EventFinding, NodeFinding, Report
from protocol.evidence_timestamps import StampedHeads
from protocol.ids import EnvelopeId, LetterId, MailboxId, NodeId, PayloadId
from protocol.logleaf import EventKind
from protocol.statement import StatementChain
from protocol.timestamp import TsaRoots
from protocol.tlogproof import TlogProof

__all__ = ["verify_evidence_file"]

_AT_SENDER: Final = frozenset(
    {
        EventKind.SUBMITTED,
        EventKind.DELAYED,
        EventKind.RESEALED,
        EventKind.EXPIRED,
        EventKind.WITHDRAW_REQUESTED,
        EventKind.PICKUP_OFFERED,
        EventKind.PICKUP_REVOKED,
        EventKind.PICKED_UP,
        EventKind.PICKUP_FAILED,
    }
)
_AT_RECIPIENT: Final = frozenset(
    {
        EventKind.DEPOSITED,
        EventKind.WITHDRAWN,
        EventKind.WITHDRAW_TOO_LATE,
        EventKind.OPENED,
        EventKind.COLLECTED,
        EventKind.UNREADABLE,
        EventKind.ERASURE_DUE,
        EventKind.ERASED_UNREAD,
        EventKind.REMINDED,
        EventKind.ESCALATED,
        EventKind.SENDER_TOLD,
        EventKind.DOWNLOADED,
        EventKind.DELETED,
        EventKind.UNDELETED,
    }
)
# A refusal of one mailbox is logged by the destination, one of the whole envelope by the sender that was told of it.
_ELSEWHERE: Final = frozenset({EventKind.REFUSED, EventKind.RELAYED, EventKind.ALERTED})
# What clocks that people set differ by (spec/sealing.md, 6).
_CLOCK_TOLERANCE_MS: Final = 600_000
_OF_LETTERS: Final = _AT_SENDER | _AT_RECIPIENT | _ELSEWHERE


def verify_evidence_file(
    file: EvidenceFile, *, expected_nodes: Collection[NodeId] | None = None, tsa_roots: TsaRoots | None = None
) -> Report:
    """Check every item of a parsed file.

    expected_nodes: the nodes that the reader knows to be those of the institutions concerned; another one in the file
    is a defect, unless it only cosigned: then it does not count. None: any node will do, and each is reported as
    unconfirmed.
    tsa_roots: the timestamping authorities that the reader trusts. None: timestamps are reported as unconfirmed.
    Raises nothing for what is in the file: the report says it.
    """
    signers = {_claimed(proof) for proof in file.proofs}
    nodes = [_check_node(item, expected_nodes, is_signer=item.node in signers) for item in file.nodes]
    stamped = StampedHeads(file.timestamps, [proof.checkpoint for proof in file.proofs], tsa_roots)
    heads = _Heads((node for node, _ in nodes if node is not None), stamped)
    entries = _check_domains([_check_entry(item, heads) for item in file.entries])
    known = [item.verified for item in entries if item.verified is not None]
    events = [_check_event(item, heads, known) for item in file.events]
    return Report(
        letter=file.letter,
        nodes=tuple(finding for _, finding in nodes),
        events=tuple(_agree(events, file.letter)),
        entries=entries,
        timestamps=stamped.findings,
    )


def _claimed(proof: TlogProof) -> NodeId | None:
    """Whose head a proof is under, unverified."""
    try:
        return parse_origin(peek_checkpoint(proof.checkpoint).origin)[1]
    except RemoteProtocolError:
        return None


class _Node:
    """A node whose statements hold: verifies heads under all its keys, and tells those under lost ones.

    counts: whether its cosignatures do.
    """

    def __init__(self, chain: StatementChain, *, counts: bool) -> None:
        self.node_id = chain.node_id
        self.witness_keys = chain.witness_keys()
        self.trusted_witness_keys = chain.trusted_witness_keys() if counts else ()
        self.verifier = CheckpointVerifier(chain.node_id, chain.log_keys())
        recoveries = [at for at, item in enumerate(chain.statements) if item.statement.bad_from_ms is not None]
        kept = chain.statements[recoveries[-1] :] if recoveries else chain.statements
        self._bad_from_ms = kept[0].statement.bad_from_ms or 0
        self._kept = CheckpointVerifier(chain.node_id, [item.statement.log_key for item in kept])

    def doubts(self, raw: bytes, existed_at_ms: int | None, witnesses: Sequence[Cosignature] = ()) -> tuple[Doubt, ...]:
        """What to ask about a head that verifies. Who cosigned or stamped it before the key was lost settles it.

        existed_at_ms: since when a timestamp proves the head.
        """
        try:
            self._kept.open(raw)
        except RemoteProtocolError:
            times = [item.time_s * 1000 for item in witnesses]
            times += [] if existed_at_ms is None else [existed_at_ms]
            return () if any(time_ms < self._bad_from_ms for time_ms in times) else (Doubt.LOST_KEY,)
        return ()


class _Heads:
    """The heads of a file: whose they are, and whether two of them contradict each other."""

    def __init__(self, nodes: Iterable[_Node], stamped: StampedHeads) -> None:
        self._nodes = {node.node_id: node for node in nodes}
        self.stamped = stamped
        self._roots: dict[tuple[str, int], bytes] = {}

    def node_of(self, proof: TlogProof) -> _Node:
        """The node whose head this claims to be. RemoteProtocolError(unknown_key) if the file has no such node."""
        _, node_id, _ = parse_origin(peek_checkpoint(proof.checkpoint).origin)
        try:
            return self._nodes[node_id]
        except KeyError:
            raise RemoteProtocolError(Reason.UNKNOWN_KEY, "no valid statements of this node in the file") from None

    def witnesses(self, note: bytes) -> tuple[Cosignature, ...]:
        """Who cosigned a verified head. Each line must hold; those under a lost key do not count.

        RemoteProtocolError: unknown_key, bad_signature.
        """
        known = {node_id: node.witness_keys for node_id, node in self._nodes.items()}
        verified_cosignatures(note, lambda node_id: known.get(node_id, ()), strict=True)
        trusted = {node_id: node.trusted_witness_keys for node_id, node in self._nodes.items()}
        return verified_cosignatures(note, lambda node_id: trusted.get(node_id, ()))

    def add(self, head: Checkpoint) -> None:
        """Remember a verified head. RemoteProtocolError(fork) if one of the same size had another root."""
        if self._roots.setdefault((head.origin, head.size), head.root) != head.root:
            raise RemoteProtocolError(Reason.FORK, f"two heads of size {head.size} with different roots")


def _check_node(
    item: NodeStatements, expected: Collection[NodeId] | None, *, is_signer: bool
) -> tuple[_Node | None, NodeFinding]:
    is_expected = expected is not None and item.node in expected
    try:
        chain = StatementChain.from_raw_list(item.statements)
        if chain.node_id != item.node:
            raise RemoteProtocolError(Reason.MISMATCH, "the statements are of another node")
        if expected is not None and is_signer and not is_expected:
            raise RemoteProtocolError(Reason.MISMATCH, "not one of the expected nodes")
    except RemoteProtocolError as error:
        return None, NodeFinding(item.node, Defect.of(error))
    doubts = () if is_expected else (Doubt.NODE_UNCONFIRMED,)
    return _Node(chain, counts=expected is None or is_expected), NodeFinding(item.node, None, doubts)


def _check_entry(item: EntryEvidence, heads: _Heads) -> EntryFinding:
    try:
        node = heads.node_of(item.proof)
        verified = verify_entry_evidence(item, node.verifier)
        heads.add(verified.checkpoint)
    except RemoteProtocolError as error:
        return EntryFinding(None, Defect.of(error))
    head = item.proof.checkpoint
    return EntryFinding(verified, None, node.doubts(head, heads.stamped.existed_at_ms(head)))


def _check_domains(findings: list[EntryFinding]) -> tuple[EntryFinding, ...]:
    verified = [item.verified for item in findings if item.verified is not None]
    claims = {
        (item.node, domain)
        for item in verified
        if isinstance(item.entry, InstitutionEntry)
        for domain in item.entry.domains
    }
    return tuple(
        replace(item, doubts=(*item.doubts, Doubt.DOMAIN_UNCONFIRMED))
        if item.verified is not None
        and isinstance(item.verified.entry, MailboxEntry)
        and (item.verified.node, item.verified.entry.domain) not in claims
        else item
        for item in findings
    )


def _check_event(item: Evidence, heads: _Heads, entries: list[VerifiedEntry]) -> EventFinding:
    try:
        node = heads.node_of(item.proof)
        verified = verify_evidence(item, node.verifier)
        heads.add(verified.checkpoint)
        witnesses = heads.witnesses(item.proof.checkpoint)
        if verified.kind not in _OF_LETTERS:
            raise RemoteProtocolError(Reason.MISMATCH, f"{verified.kind.word} is no event of a letter")
        existed_at_ms = heads.stamped.existed_at_ms(item.proof.checkpoint)
        doubts = node.doubts(item.proof.checkpoint, existed_at_ms, witnesses)
        if existed_at_ms is not None and verified.time_ms > existed_at_ms + _CLOCK_TOLERANCE_MS:
            doubts += (Doubt.CLOCK_AHEAD,)
        if verified.kind is EventKind.OPENED:
            doubts += _check_opener(verified, entries)
    except RemoteProtocolError as error:
        return EventFinding(None, Defect.of(error))
    return EventFinding(verified, None, doubts, existed_at_ms, witnesses)


def _check_opener(verified: VerifiedEvidence, entries: list[VerifiedEntry]) -> tuple[Doubt, ...]:
    """The signature of who opened: the mailbox itself, or the one that acted for it (a mailbox of the same node)."""
    details = verified.details
    opener: MailboxId | None = details.actor or details.mailbox
    keys = {
        key
        for found in entries
        if isinstance(found.entry, MailboxEntry) and (found.node, found.entry.mailbox) == (details.node, opener)
        for key in found.entry.signing_keys_at(verified.time_ms)
    }
    if not keys:
        return (Doubt.OPENER_UNKNOWN,)
    for key in keys:
        try:
            verify_opened_signature(verified, key)
        except RemoteProtocolError:
            continue
        return ()
    raise RemoteProtocolError(Reason.BAD_SIGNATURE, "the opening is signed by no key of the entries enclosed")


def _sending_node(verified: VerifiedEvidence) -> NodeId | None:
    """Which node sent the letter, where the kind of event tells."""
    if verified.kind in _AT_SENDER:
        return verified.details.node
    return verified.details.peer if verified.kind in _AT_RECIPIENT else None


def _agree(findings: list[EventFinding], letter: LetterId) -> list[EventFinding]:
    """The findings, with a defect for each event that speaks of another letter than the file, or of another sending.

    One letter has one id, one sending node and one payload; the first event that names one settles it.
    """
    verified = [item.verified for item in findings if item.verified is not None]
    ours = [item for item in verified if item.details.letter == letter]
    sender = next((found for item in ours if (found := _sending_node(item)) is not None), None)
    payload = next((item.details.payload for item in ours if item.details.payload is not None), None)
    envelopes = {item.details.envelope for item in ours}
    return [_agree_one(item, letter, sender, payload, envelopes) for item in findings]


def _agree_one(
    finding: EventFinding,
    letter: LetterId,
    sender: NodeId | None,
    payload: PayloadId | None,
    envelopes: set[EnvelopeId | None],
) -> EventFinding:
    verified = finding.verified
    if verified is None:
        return finding
    details: Details = verified.details
    if verified.kind is EventKind.RELAYED:
        # A relay sees envelopes, not letters.
        defect = None if details.envelope in envelopes else "an envelope that no other event names"
    elif details.letter != letter:
        defect = "names another letter, or none"
    elif _sending_node(verified) not in (None, sender):
        defect = "names another sending node"
    elif verified.kind is EventKind.REFUSED and sender not in (None, details.node, details.peer):
        defect = "a refusal between other nodes"
    elif details.payload not in (None, payload):
        defect = "names another payload"
    else:
        defect = None
    return finding if defect is None else EventFinding(None, Defect(Reason.MISMATCH, defect))
