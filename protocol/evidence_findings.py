"""What is said of an evidence file: findings, defects and doubts. Spec: spec/evidence.md, 10.

A defect means that an item must not be believed. A doubt means that it holds, and that the file alone cannot answer a
question which the reader should ask.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from protocol.checkpoint import Checkpoint
from protocol.cosignature import Cosignature
from protocol.entry_evidence import VerifiedEntry
from protocol.errors import Reason, RemoteProtocolError
from protocol.evidence import VerifiedEvidence
from protocol.ids import LetterId, NodeId
from protocol.timestamp import Timestamp

__all__ = ["Defect", "Doubt", "EntryFinding", "EventFinding", "NodeFinding", "Report", "TimestampFinding"]


class Doubt(StrEnum):
    """A question that the file leaves open."""

    NODE_UNCONFIRMED = "node_unconfirmed"
    """Nobody said which nodes to expect: compare the node's 30 digits with what its institution says."""
    LOST_KEY = "lost_key"
    """The head is signed by a key that a recovery replaced, saying since when the old keys are not to be believed."""
    OPENER_UNKNOWN = "opener_unknown"
    """The opener's signature could not be checked: the file encloses no entry of that mailbox."""
    DOMAIN_UNCONFIRMED = "domain_unconfirmed"
    """No entry of the institution in the file claims the domain of this mailbox's address."""
    TIMESTAMP_UNCONFIRMED = "timestamp_unconfirmed"
    """No certificate of a timestamping authority was given to check the timestamp with."""
    CLOCK_AHEAD = "clock_ahead"
    """The event's time is later than a timestamp over its head: the node's clock ran ahead, or was set so."""


@dataclass(frozen=True, slots=True)
class Defect:
    """Why an item must not be believed. detail: for people; names fields and sizes, never content."""

    reason: Reason
    detail: str

    @classmethod
    def of(cls, error: RemoteProtocolError) -> Self:
        """The defect that a failed check found."""
        return cls(error.reason, error.detail)


@dataclass(frozen=True, slots=True)
class NodeFinding:
    """One node of the file; its current statement says until when its keys are stated."""

    node: NodeId
    defect: Defect | None
    doubts: tuple[Doubt, ...] = ()


@dataclass(frozen=True, slots=True)
class EventFinding:
    """One event of the file; verified is None where there is a defect.

    existed_at_ms: when a timestamping authority that the reader trusts saw the head above it; None if none did.
    witnesses: who cosigned the head that it stands under, each institution and each key once; none: unwitnessed.
    """

    verified: VerifiedEvidence | None
    defect: Defect | None
    doubts: tuple[Doubt, ...] = ()
    existed_at_ms: int | None = None
    witnesses: tuple[Cosignature, ...] = ()


@dataclass(frozen=True, slots=True)
class EntryFinding:
    """One directory entry of the file; verified is None where there is a defect."""

    verified: VerifiedEntry | None
    defect: Defect | None
    doubts: tuple[Doubt, ...] = ()


@dataclass(frozen=True, slots=True)
class TimestampFinding:
    """One timestamp of the file, and the head that it stamps; stamp is None where there is a defect."""

    stamp: Timestamp | None
    head: Checkpoint | None
    defect: Defect | None
    doubts: tuple[Doubt, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Findings in the order of the file."""

    letter: LetterId
    nodes: tuple[NodeFinding, ...]
    events: tuple[EventFinding, ...]
    entries: tuple[EntryFinding, ...]
    timestamps: tuple[TimestampFinding, ...] = ()

    @property
    def findings(self) -> tuple[NodeFinding | EventFinding | EntryFinding | TimestampFinding, ...]:
        """All of them."""
        return (*self.nodes, *self.events, *self.entries, *self.timestamps)

    @property
    def ok(self) -> bool:
        """Whether no item has a defect."""
        return all(finding.defect is None for finding in self.findings)

    @property
    def doubts(self) -> frozenset[Doubt]:
        """Every question left open."""
        return frozenset(doubt for finding in self.findings for doubt in finding.doubts)
