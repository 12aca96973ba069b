"""What a look at a node shows of letters and of its log, and whether a purge between two looks stands in it with its
proof. Spec: spec/retention.md, 6.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from node.app import Node
from node.audit.log import LeafRef, read_evidence
from node.vault import schema
from protocol.crypto import hash_labelled
from protocol.details import decode_details
from protocol.labels import Label
from protocol.logleaf import EventKind, LogLeaf
from protocol.merkle import leaf_hash

__all__ = ["Seen", "check_proof", "see"]


@dataclass(frozen=True, slots=True)
class Seen:
    """letters: by row. leaves: of the log, in its order; opened: those whose opening and details are there."""

    letters: dict[bytes, Any]
    leaves: dict[LeafRef, bytes]
    opened: frozenset[LeafRef]


def see(node: Node) -> Seen:
    """Look now."""
    letters, table = schema.letters, schema.log_leaves
    with node.database.engines.reader.connect() as connection:
        rows = connection.execute(sa.select(table).order_by(table.c.epoch, table.c.position)).all()
        return Seen(
            letters={bytes(row.id): row for row in connection.execute(sa.select(letters))},
            leaves={LeafRef(row.epoch, row.position): bytes(row.leaf) for row in rows},
            opened=frozenset(LeafRef(row.epoch, row.position) for row in rows if row.sealed is not None),
        )


def check_proof(node: Node, before: Seen, after: Seen) -> None:
    """One purge lies between the two looks: the log goes on from what it was, and one new leaf proves the purge."""
    old = list(before.leaves.items())
    assert list(after.leaves.items())[: len(old)] == old
    new = [ref for ref in after.leaves if ref not in before.leaves]
    (proof,) = (ref for ref in new if LogLeaf.decode(after.leaves[ref]).kind is EventKind.ERASED)
    with node.database.engines.reader.connect() as connection:
        evidence = read_evidence(connection, node.keys, proof)
    assert evidence is not None
    details = decode_details(evidence.details)
    lost = sorted(before.opened - after.opened, key=lambda ref: (ref.epoch, ref.position))
    # The word that a letter went unread loses its opening once its sender knows: that is no purge.
    kinds = {ref: LogLeaf.decode(after.leaves[ref]).kind for ref in lost}
    told = [ref for ref in lost if kinds[ref] is not EventKind.ERASED_UNREAD]
    gone = len(before.letters.keys() - after.letters.keys())
    assert any(
        details.digest == _digest(refs, after) and details.code == f"{gone} letters, {len(refs)} leaves"
        for refs in (lost, told)
    )


def _digest(refs: Iterable[LeafRef], seen: Seen) -> bytes:
    return hash_labelled(
        Label.ERASURE,
        *(ref.epoch.to_bytes(4, "big") + ref.position.to_bytes(8, "big") + leaf_hash(seen.leaves[ref]) for ref in refs),
    )
