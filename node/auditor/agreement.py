"""What both sides of a letter say: evidence and disclosures against the copies, and against each other.

Spec: spec/audit.md, 3 and 4.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from node.auditor.files import EvidenceTaken
from node.auditor.findings import Findings
from node.auditor.tree import CopiedTiles
from node.errors import StoreError
from protocol.checkpoint import parse_origin
from protocol.details import Details
from protocol.disclosure import Scope
from protocol.disclosure_report import DisclosureReport, OpenedEvent
from protocol.evidence_findings import EventFinding
from protocol.ids import LetterId, MailboxId, NodeId
from protocol.logleaf import EventKind, LogLeaf
from protocol.merkle import leaf_hash

__all__ = ["Copied", "Said", "check_disclosure", "check_evidence", "check_letters"]

_SKEW_MS: Final = 300_000
_AT_SENDER: Final = frozenset(
    {
        EventKind.SUBMITTED,
        EventKind.RESEALED,
        EventKind.EXPIRED,
        EventKind.DELAYED,
        EventKind.WITHDRAW_REQUESTED,
    }
)
_ARRIVED: Final = frozenset({EventKind.DEPOSITED, EventKind.REFUSED})
_ENDED: Final = _ARRIVED | {EventKind.EXPIRED, EventKind.WITHDRAWN}


@dataclass(frozen=True, slots=True)
class Said:
    """One event that a log says, opened: by whose log, when. From a disclosure, or from evidence."""

    node: NodeId
    kind: EventKind
    time_ms: int
    details: Details


@dataclass(slots=True)
class Copied:
    """The copy of one log as it was just verified: sizes and last times of its epochs, tiles."""

    node: NodeId
    name: str
    findings: Findings
    sizes: dict[int, int]
    last_ms: dict[int, int]
    tiles: dict[int, CopiedTiles]
    leaves: dict[int, dict[int, bytes]]
    """Of each epoch, leaves by index that a disclosure could be incomplete about; filled by `wanted`."""

    def has(self, epoch: int, index: int, leaf: bytes) -> bool | None:
        """Whether this leaf stands there; None where the copy has nothing to tell by."""
        if index >= self.sizes.get(epoch, 0):
            return None
        try:
            return self.tiles[epoch].leaf_hash(index) == leaf_hash(leaf)
        except StoreError:
            return None


# -- evidence files


def check_evidence(taken: EvidenceTaken, copies: Mapping[NodeId, Copied], general: Findings) -> Iterator[Said]:
    """Each event of a file: does it hold, and is it in the log that it names? Yields those that do."""
    elsewhere: dict[NodeId, int] = defaultdict(int)
    for number, (item, finding) in enumerate(zip(taken.file.events, taken.report.events, strict=True), 1):
        if finding.verified is None:
            assert finding.defect is not None
            detail = finding.defect.detail or finding.defect.reason.value
            general.add("evidence_wrong", taken.name, number=number, detail=detail)
            continue
        node = finding.verified.details.node
        copied = copies.get(node)
        if copied is None:
            elsewhere[node] += 1
            continue
        if _is_in_log(taken.name, item.leaf, finding, copied):
            yield Said(node, finding.verified.kind, finding.verified.time_ms, finding.verified.details)
    for finding_of_node in taken.report.nodes:
        if finding_of_node.defect is not None:
            detail = finding_of_node.defect.detail or finding_of_node.defect.reason.value
            general.add("evidence_wrong", taken.name, number=0, detail=detail)
    for node, count in elsewhere.items():
        general.add("evidence_elsewhere", taken.name, count=count, who=node.text[:16])


def _is_in_log(name: str, leaf: bytes, finding: EventFinding, copied: Copied) -> bool:
    verified = finding.verified
    assert verified is not None
    epoch = parse_origin(verified.checkpoint.origin)[2]
    place = f"{name}, epoch {epoch}, leaf {verified.index}"
    known = copied.has(epoch, verified.index, leaf)
    if known:
        return True
    size = copied.sizes.get(epoch, 0)
    if known is False:
        copied.findings.add("evidence_left_out", place, kind=verified.kind.word, index=verified.index)
    elif verified.time_ms < copied.last_ms.get(epoch, 0):
        # Signed before what the log now ends with, and beyond its end: the end was taken back.
        copied.findings.add("rollback", place, size=size, seen=verified.checkpoint.size)
    else:
        copied.findings.add("evidence_later", place, size=verified.checkpoint.size)
    return False


# -- disclosures


def check_disclosure(
    name: str,
    report: DisclosureReport,
    erased: frozenset[tuple[int, int]],
    copied: Copied,
    leaves: Mapping[int, Mapping[int, bytes]],
) -> Iterator[Said]:
    """Each opened event: is it at its place in the copy, and is nothing missing that the scope promises?

    leaves: of the copy, by epoch and index: those that may be in the scope.
    """
    findings = copied.findings
    for place, detail in report.defects:
        code = "disclosure_unrecorded" if place == "record" else "disclosure_wrong"
        findings.add(code, f"{name}, {place}", detail=detail)
    shown = set(erased)
    tags = set()
    for event in report.events:
        shown.add((event.epoch, event.index))
        there = copied.has(event.epoch, event.index, event.leaf.encode())
        if there is False:
            place = f"{name}, epoch {event.epoch}, leaf {event.index}"
            findings.add("disclosed_elsewhere", place, kind=event.leaf.kind.word)
            continue
        if there is None:
            findings.add("evidence_later", f"{name}, epoch {event.epoch}", size=event.index + 1)
            continue
        if report.scope.letter is not None and event.details.letter == report.scope.letter:
            tags.add(bytes(event.leaf.tag))
        yield Said(event.node, event.leaf.kind, event.leaf.time_ms, event.details)
    sizes = {parse_origin(head.origin)[2]: head.size for head in report.heads}
    for epoch, index, leaf in _owed(report.scope, tags, leaves):
        if (epoch, index) not in shown and index < sizes.get(epoch, 0):
            word = LogLeaf.decode(leaf).kind.word
            findings.add("disclosure_incomplete", f"{name}, epoch {epoch}, leaf {index}", kind=word)


def _owed(
    scope: Scope, tags: set[bytes], leaves: Mapping[int, Mapping[int, bytes]]
) -> Iterator[tuple[int, int, bytes]]:
    """The leaves that a complete disclosure has; of a mailbox nobody can tell."""
    if scope.mailbox is not None:
        return
    for epoch, of_epoch in leaves.items():
        for index, leaf in of_epoch.items():
            time_ms, tag = int.from_bytes(leaf[3:11], "big"), leaf[11:27]
            if tag in tags if scope.letter is not None else scope.from_ms <= time_ms < scope.until_ms:
                yield epoch, index, leaf


def epoch_links(copied: Copied, opened: Iterable[OpenedEvent]) -> None:
    """What each epoch after the first says of the one before. An epoch without a disclosure is open."""
    codes = {item.epoch: item.details.code for item in opened if item.index == 0}
    epochs = sorted(copied.sizes)
    for before, epoch in pairwise(epochs):
        place, code = f"epoch {epoch}, leaf 0", codes.get(epoch)
        if code is None:
            copied.findings.add("epoch_unexplained", place)
            continue
        named = code.split("/")
        if len(named) != 3 or not all(part.isascii() and part.isdigit() for part in named[:2]):
            copied.findings.add("epoch_wrong", place, named=code)
            continue
        named_epoch, seen, size = int(named[0]), int(named[1]), copied.sizes[before]
        if named_epoch == before and seen == size:
            continue
        if named_epoch > before or (named_epoch == before and seen > size):
            copied.findings.add("epoch_break", place, seen=f"{named_epoch}/{seen}", size=f"{before}/{size}")
        else:
            copied.findings.add("epoch_wrong", place, named=code)


# -- both sides of a letter


@dataclass(frozen=True, slots=True)
class _Way:
    """One letter on its way to one mailbox at one node."""

    letter: LetterId
    sender: NodeId
    recipient: NodeId
    mailbox: MailboxId | None


def check_letters(
    said: Iterable[Said], copies: Mapping[NodeId, Copied], covered: Mapping[NodeId, set[LetterId]], general: Findings
) -> int:
    """Compare what sender and recipient say. covered: letters that a node disclosed whole. Returns how many letters."""
    by_letter: dict[LetterId, list[Said]] = defaultdict(list)
    for item in said:
        if item.details.letter is not None:
            by_letter[item.details.letter].append(item)
    compared = 0
    for letter, events in by_letter.items():
        compared += len({event.node for event in events}) > 1
        for way in sorted(_ways(letter, events), key=repr):
            _check_way(way, events, copies, covered, general)
    return compared


def _ways(letter: LetterId, events: list[Said]) -> set[_Way]:
    ways = set()
    for event in events:
        peer = event.details.peer
        if peer is None:
            continue
        if event.kind is EventKind.SUBMITTED:
            ways.add(_Way(letter, event.node, peer, None))
        elif event.kind is EventKind.DEPOSITED:
            ways.add(_Way(letter, peer, event.node, event.details.mailbox))
    return ways


def _check_way(
    way: _Way,
    events: list[Said],
    copies: Mapping[NodeId, Copied],
    covered: Mapping[NodeId, set[LetterId]],
    general: Findings,
) -> None:
    def of(node: NodeId, other: NodeId, kinds: Iterable[EventKind]) -> list[Said]:
        return [item for item in events if item.node == node and item.details.peer == other and item.kind in kinds]

    def name(node: NodeId) -> str:
        copied = copies.get(node)
        return node.text[:16] if copied is None else copied.name

    sent = of(way.sender, way.recipient, {EventKind.SUBMITTED})
    arrived = of(way.recipient, way.sender, _ARRIVED)
    expired = of(way.sender, way.recipient, {EventKind.EXPIRED})
    short = way.letter.text[:12]
    if way.mailbox is None:
        if not arrived and way.letter in covered.get(way.recipient, set()):
            general.add("end_missing", letter=short, kind="submitted", who=name(way.sender), other=name(way.recipient))
        elif not of(way.recipient, way.sender, _ENDED) and not of(way.sender, way.recipient, _ENDED):
            general.add("letter_unanswered", letter=short, other=name(way.recipient))
        return
    if not sent and way.letter in covered.get(way.sender, set()):
        general.add("end_missing", letter=short, kind="deposited", who=name(way.recipient), other=name(way.sender))
    here = [item for item in arrived if item.kind is EventKind.DEPOSITED and item.details.mailbox == way.mailbox]
    for item in expired:
        if item.details.mailbox == way.mailbox and here:
            general.add("late_success", letter=short, who=name(way.sender), other=name(way.recipient))
    if sent and here and here[0].time_ms < sent[0].time_ms - _SKEW_MS:
        general.add("clocks_apart", letter=short, seconds=(sent[0].time_ms - here[0].time_ms) // 1000)
