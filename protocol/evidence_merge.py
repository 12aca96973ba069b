"""Two evidence files of one letter made into one: each side holds leaves that the other does not.

Spec: spec/evidence.md, 15.

The same two files give the same bytes in either order, and a file merged again changes nothing. Nothing is verified
here and nothing is thrown away but doubles: what the two do not agree on stays in the file, where verifying finds it,
and is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from protocol.checkpoint import peek_checkpoint
from protocol.entry_evidence import EntryEvidence
from protocol.errors import Reason, RemoteProtocolError
from protocol.evidence import Evidence
from protocol.evidence_file import EvidenceFile, NodeStatements
from protocol.ids import NodeId
from protocol.note import parse_note
from protocol.statement import StatementChain
from protocol.timestamp import head_imprint, read_timestamp
from protocol.tlogproof import TlogProof

__all__ = ["Conflict", "ConflictKind", "Merged", "merge_evidence_files"]

Item = TypeVar("Item", Evidence, EntryEvidence)


class ConflictKind(StrEnum):
    """What two files do not agree on."""

    STATEMENTS = "statements"
    """The statements of a node in the two files make no chain: those of one file were kept."""
    PLACE = "place"
    """Two leaves at one place of one log or feed: that cannot both be true."""
    HEADS = "heads"
    """Two heads of one size with different roots: a fork."""
    OPENING = "opening"
    """One leaf with two openings or contents: at most one of them fits."""


@dataclass(frozen=True, slots=True, order=True)
class Conflict:
    """where: the node's id, or the place in a log or feed: its origin, a slash, an index or size."""

    kind: ConflictKind
    where: str


@dataclass(frozen=True, slots=True)
class Merged:
    """One file of both, and what the two did not agree on."""

    file: EvidenceFile
    conflicts: tuple[Conflict, ...]


def merge_evidence_files(one: EvidenceFile, other: EvidenceFile) -> Merged:
    """All that two files of one letter hold. RemoteProtocolError(mismatch) for files of two letters."""
    if one.letter != other.letter:
        raise RemoteProtocolError(Reason.MISMATCH, f"two letters: {one.letter.text} and {other.letter.text}")
    conflicts: set[Conflict] = set()
    tokens = sorted({*one.timestamps, *other.timestamps})
    stamped = _imprints(tokens)

    def value(proof: TlogProof) -> tuple[int, bool, int, bytes]:
        """Of two proofs of one leaf the one is kept whose head more have signed, that is stamped, that is larger."""
        note = parse_note(proof.checkpoint)
        size = peek_checkpoint(proof.checkpoint).size
        return len(note.signatures), head_imprint(proof.checkpoint) in stamped, size, proof.encode()

    events = _best([*one.events, *other.events], lambda item: (item.opening, item.details), value, conflicts)
    entries = _best([*one.entries, *other.entries], lambda item: (item.opening, item.entry), value, conflicts)
    proofs = [*(item.proof for item in events), *(item.proof for item in entries)]
    _compare_heads(proofs, conflicts)
    kept = {head_imprint(proof.checkpoint) for proof in proofs}
    file = EvidenceFile(
        letter=one.letter,
        nodes=tuple(_nodes([*one.nodes, *other.nodes], conflicts)),
        events=tuple(events),
        entries=tuple(entries),
        # One over a head that no proof needs any more says nothing; one that cannot be read is not ours to drop.
        timestamps=tuple(token for token in tokens if (imprint := _imprint(token)) is None or imprint in kept),
    )
    return Merged(file.arranged(), tuple(sorted(conflicts)))


def _imprint(token: bytes) -> bytes | None:
    try:
        return read_timestamp(token).imprint
    except RemoteProtocolError:
        return None


def _imprints(tokens: Iterable[bytes]) -> frozenset[bytes]:
    return frozenset(imprint for token in tokens if (imprint := _imprint(token)) is not None)


def _best(
    items: list[Item],
    content: Callable[[Item], tuple[bytes, bytes]],
    value: Callable[[TlogProof], tuple[int, bool, int, bytes]],
    conflicts: set[Conflict],
) -> list[Item]:
    """Each leaf with each content once, under the best of its proofs."""
    kept: dict[tuple[str, bytes, tuple[bytes, bytes]], Item] = {}
    contents: dict[tuple[str, bytes], tuple[bytes, bytes]] = {}
    places: dict[tuple[str, int], bytes] = {}
    for item in items:
        origin, index = peek_checkpoint(item.proof.checkpoint).origin, item.proof.index
        if contents.setdefault((origin, item.leaf), content(item)) != content(item):
            conflicts.add(Conflict(ConflictKind.OPENING, f"{origin}/{index}"))
        if places.setdefault((origin, index), item.leaf) != item.leaf:
            conflicts.add(Conflict(ConflictKind.PLACE, f"{origin}/{index}"))
        key = origin, item.leaf, content(item)
        before = kept.get(key)
        if before is None or value(before.proof) < value(item.proof):
            kept[key] = item
    return list(kept.values())


def _compare_heads(proofs: Iterable[TlogProof], conflicts: set[Conflict]) -> None:
    roots: dict[tuple[str, int], bytes] = {}
    for proof in proofs:
        head = peek_checkpoint(proof.checkpoint)
        if roots.setdefault((head.origin, head.size), head.root) != head.root:
            conflicts.add(Conflict(ConflictKind.HEADS, f"{head.origin}/{head.size}"))


def _nodes(items: Iterable[NodeStatements], conflicts: set[Conflict]) -> Iterable[NodeStatements]:
    kept: dict[NodeId, NodeStatements] = {}
    for item in sorted(items, key=lambda item: (item.node, len(item.statements), item.statements)):
        before = kept.get(item.node)
        try:
            kept[item.node] = item if before is None else _joined(before, item)
        except RemoteProtocolError:
            conflicts.add(Conflict(ConflictKind.STATEMENTS, item.node.text))
            kept[item.node] = _sounder(before or item, item)
    return kept.values()


def _joined(one: NodeStatements, other: NodeStatements) -> NodeStatements:
    """The chain of both. RemoteProtocolError if one is no chain, or the two are not of one."""
    if one == other:
        return one
    chain = StatementChain.from_raw_list(one.statements)
    for raw in other.statements:
        chain = chain.extend(raw)
    return NodeStatements(one.node, tuple(chain.raw_list()))


def _sounder(one: NodeStatements, other: NodeStatements) -> NodeStatements:
    """The one whose statements make the node's chain; the first of the two if both or neither do."""
    for item in (one, other):
        try:
            if StatementChain.from_raw_list(item.statements).node_id == item.node:
                return item
        except RemoteProtocolError:
            continue
    return one
