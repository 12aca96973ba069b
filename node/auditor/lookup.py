"""A file that somebody brings, against the own log; nothing of it is kept. Spec: spec/desks.md, 5."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

from node.audit.publication import list_epochs
from node.audit.tiles import StoredTileReader
from node.auditor.files import TakenFiles, take_data
from node.vault import schema
from protocol.checkpoint import Checkpoint, parse_origin, peek_checkpoint
from protocol.errors import RemoteProtocolError
from protocol.evidence_findings import EventFinding
from protocol.ids import NodeId
from protocol.logleaf import EventKind
from protocol.merkle import consistency_proof, verify_consistency

__all__ = ["LookedUp", "LookedUpEvent", "Place", "Sort", "look_up"]


class Sort(StrEnum):
    """What a file is."""

    EVIDENCE = "evidence"
    DISCLOSURE = "disclosure"
    FORK = "fork"
    HEADS = "heads"


class Place(StrEnum):
    """Whether an event or head is what the own log has there."""

    THERE = "there"
    OTHER = "other"
    """The log has another one there: it was left out or changed."""
    BEYOND = "beyond"
    """Later than the log's end: the end was taken back, or a backup was restored."""
    ELSEWHERE = "elsewhere"
    """Of another node's log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedUpEvent:
    """One event. defect: why it must not be believed, empty if it holds; then the rest says nothing."""

    kind: EventKind | None
    time_ms: int
    node: NodeId | None
    epoch: int
    index: int
    defect: str
    place: Place | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedUp:
    """heads: for each signed head in it, whether the own log goes on from it. defects: of the file as a whole."""

    sort: Sort
    events: tuple[LookedUpEvent, ...]
    heads: tuple[tuple[Checkpoint, Place], ...]
    defects: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        """Whether everything holds, and nothing contradicts the own log."""
        good = (Place.THERE, Place.ELSEWHERE)
        return (
            not self.defects
            and self.sort is not Sort.FORK
            and all(not event.defect and event.place in good for event in self.events)
            and all(place in good for _, place in self.heads)
        )


def look_up(connection: sa.Connection, own: NodeId, name: str, data: bytes) -> LookedUp:
    """Check a file; blocks. RemoteProtocolError if it is none that this program knows, or damaged."""
    taken = take_data(name, data)
    if taken.evidence:
        sort = Sort.EVIDENCE
    elif taken.disclosures:
        sort = Sort.DISCLOSURE
    else:
        sort = Sort.FORK if taken.forks else Sort.HEADS
    unique = {(head.origin, head.size, head.root): (node, head) for _, node, head in taken.heads}
    return LookedUp(
        sort=sort,
        events=tuple(_events(connection, own, taken)),
        heads=tuple((head, _head_place(connection, own, node, head)) for node, head in unique.values()),
        defects=tuple(_defects(taken)),
    )


def _events(connection: sa.Connection, own: NodeId, taken: TakenFiles) -> Iterator[LookedUpEvent]:
    for evidence in taken.evidence:
        for item, finding in zip(evidence.file.events, evidence.report.events, strict=True):
            verified = finding.verified
            if verified is None:
                defect = "" if finding.defect is None else finding.defect.detail or finding.defect.reason.value
                yield LookedUpEvent(kind=None, time_ms=0, node=None, epoch=0, index=0, defect=defect, place=None)
                continue
            node, epoch = verified.details.node, parse_origin(verified.checkpoint.origin)[2]
            yield LookedUpEvent(
                kind=verified.kind,
                time_ms=verified.time_ms,
                node=node,
                epoch=epoch,
                index=verified.index,
                defect="",
                place=_leaf_place(connection, own, node, epoch, verified.index, item.leaf),
            )
    for _, report, _ in taken.disclosures:
        for event in report.events:
            yield LookedUpEvent(
                kind=event.leaf.kind,
                time_ms=event.leaf.time_ms,
                node=event.node,
                epoch=event.epoch,
                index=event.index,
                defect="",
                place=_leaf_place(connection, own, event.node, event.epoch, event.index, event.leaf.encode()),
            )


def _defects(taken: TakenFiles) -> Iterator[str]:
    for evidence in taken.evidence:
        for finding in evidence.report.findings:
            # Events have lines of their own.
            if finding.defect is not None and not isinstance(finding, EventFinding):
                yield finding.defect.detail or finding.defect.reason.value
    for _, report, _ in taken.disclosures:
        yield from (f"{place}: {detail}" for place, detail in report.defects)


def _leaf_place(connection: sa.Connection, own: NodeId, node: NodeId, epoch: int, index: int, leaf: bytes) -> Place:
    if node != own:
        return Place.ELSEWHERE
    table = schema.log_leaves
    query = sa.select(table.c.leaf).where(table.c.epoch == epoch, table.c.position == index)
    held = connection.execute(query).scalar_one_or_none()
    if held is None:
        return Place.BEYOND
    return Place.THERE if held == leaf else Place.OTHER


def _head_place(connection: sa.Connection, own: NodeId, node: NodeId, head: Checkpoint) -> Place:
    origin = parse_origin(head.origin)
    if node != own or origin[0] != "log":
        return Place.ELSEWHERE
    present = {item.epoch: item for item in list_epochs(connection)}.get(origin[2])
    if present is None or present.size < head.size:
        return Place.BEYOND
    root = peek_checkpoint(present.note).root
    proof: list[bytes] = []
    if head.size:
        proof = consistency_proof(head.size, present.size, StoredTileReader(connection, origin[2]))
    try:
        verify_consistency(old_size=head.size, old_root=head.root, new_size=present.size, new_root=root, proof=proof)
    except RemoteProtocolError:
        return Place.OTHER
    return Place.THERE
