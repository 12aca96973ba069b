"""What a disclosure proves, with nothing but the file. Spec: spec/audit.md, 4."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.checkpoint import Checkpoint, CheckpointVerifier
from protocol.details import Details, decode_details_of
from protocol.disclosure import DisclosedEvent, Disclosure, Scope, disclosed_code
from protocol.errors import Reason, RemoteProtocolError
from protocol.evidence import verify_evidence
from protocol.ids import NodeId
from protocol.logleaf import EventKind, LogLeaf, verify_opening
from protocol.merkle import leaf_hash, verify_inclusion
from protocol.statement import StatementChain

__all__ = ["DisclosureReport", "OpenedEvent", "verify_disclosure"]


@dataclass(frozen=True, slots=True)
class OpenedEvent:
    """One event whose leaf, place and opening hold."""

    node: NodeId
    epoch: int
    index: int
    leaf: LogLeaf
    details: Details


@dataclass(frozen=True, slots=True)
class DisclosureReport:
    """What holds, and what does not. defects: place (`event 1/17`, `record`, …) and why."""

    node: NodeId
    scope: Scope
    heads: tuple[Checkpoint, ...]
    events: tuple[OpenedEvent, ...]
    defects: tuple[tuple[str, str], ...]
    record_index: int
    """Where the leaf `disclosed` stands in the newest epoch; -1 if the record does not hold."""

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.defects


def verify_disclosure(disclosure: Disclosure) -> DisclosureReport:
    """Check every item. RemoteProtocolError if the node's statements or a head do not hold: then nothing does."""
    chain = StatementChain.from_raw_list(disclosure.node.statements)
    if chain.node_id != disclosure.node.node:
        raise RemoteProtocolError(Reason.MISMATCH, "the statements are of another node")
    verifier = CheckpointVerifier(chain.node_id, chain.log_keys())
    heads = {item.epoch: verifier.open(item.note) for item in disclosure.heads}
    events, defects = [], []
    for item in disclosure.events:
        try:
            events.append(_check(item, heads[item.epoch], chain.node_id, disclosure.scope))
        except RemoteProtocolError as error:
            defects.append((f"event {item.epoch}/{item.index}", f"{error.reason.value}: {error.detail}"))
    record_index = -1
    try:
        said = verify_evidence(disclosure.record, verifier)
        if said.kind is not EventKind.DISCLOSED or said.details.code != disclosed_code(disclosure):
            raise RemoteProtocolError(Reason.MISMATCH, "the record is of another disclosure")
        record_index = said.index
    except RemoteProtocolError as error:
        defects.append(("record", f"{error.reason.value}: {error.detail}"))
    return DisclosureReport(
        chain.node_id, disclosure.scope, tuple(heads.values()), tuple(events), tuple(defects), record_index
    )


def _check(item: DisclosedEvent, head: Checkpoint, node: NodeId, scope: Scope) -> OpenedEvent:
    leaf = LogLeaf.decode(item.leaf)
    verify_opening(leaf, item.opening, item.details)
    details = decode_details_of(leaf.kind, item.details)
    verify_inclusion(leaf_hash(item.leaf), index=item.index, size=head.size, proof=list(item.hashes), root=head.root)
    if details.node != node:
        raise RemoteProtocolError(Reason.MISMATCH, "the details name another node")
    if item.index and not _is_in(scope, leaf, details):
        raise RemoteProtocolError(Reason.MISMATCH, "outside what was disclosed")
    return OpenedEvent(node, item.epoch, item.index, leaf, details)


def _is_in(scope: Scope, leaf: LogLeaf, details: Details) -> bool:
    if scope.letter is not None:
        # Alerts and custody know no letter; they are told by the tag, which the log shows.
        return details.letter in (scope.letter, None)
    is_then = scope.from_ms <= leaf.time_ms < scope.until_ms
    return is_then and (scope.mailbox is None or scope.mailbox in (details.mailbox, details.actor))
