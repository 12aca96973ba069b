"""Evidence that was given before others had seen the head: sent again, and told of when it is overdue.

Spec: spec/cosigning.md, 3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa
import structlog

from node.audit.cosigned_heads import CosignedHeads
from node.audit.log import LeafRef, open_details
from node.vault import schema
from node.vault.database import Transaction
from node.vault.dedup import Dedup
from node.vault.returns import Return, ReturnRows
from node.vault.sealing import RowKeys
from protocol.details import Details, decode_details
from protocol.evidence import decode_evidence
from protocol.ids import NodeId
from protocol.logleaf import EventKind, LogLeaf

__all__ = ["OVERDUE_MS", "Completion", "end_before", "overdue_counts"]

OVERDUE_MS: Final = 7 * 86_400_000
_LEAVES_AT_ONCE: Final = 500
_TOLD_AT_ONCE: Final = 500
_GIVEN: Final = frozenset(
    {
        EventKind.DEPOSITED,
        EventKind.REFUSED,
        EventKind.WITHDRAWN,
        EventKind.WITHDRAW_TOO_LATE,
        EventKind.OPENED,
        EventKind.COLLECTED,
        EventKind.UNREADABLE,
    }
)

_logger = structlog.get_logger(__name__)


class Completion:
    """Sends evidence again once its head is cosigned, and puts on record what stays unwitnessed."""

    def __init__(self, *, keys: RowKeys, heads: CosignedHeads, dedup: Dedup, returns: ReturnRows) -> None:
        self._keys = keys
        self._heads = heads
        self._dedup = dedup
        self._returns = returns

    # -- sent again

    def is_due(self, connection: sa.Connection) -> bool:
        """Whether a cosigned head completes evidence that was not sent again."""
        return self._next(connection) is not None

    def _next(self, connection: sa.Connection) -> tuple[int, int, int] | None:
        """The oldest epoch in which there is something to complete, from which position, and up to which."""
        epochs = schema.log_epochs
        wanted = self._heads.wanted(connection)
        if wanted:
            for row in connection.execute(sa.select(epochs.c.epoch, epochs.c.completed).order_by(epochs.c.epoch)).all():
                end = self._heads.witnessed_size(connection, row.epoch, wanted)
                if end > row.completed:
                    return row.epoch, row.completed, end
        return None

    def complete(self, tx: Transaction, items: Sequence[None]) -> Sequence[None]:
        """Queue some of the evidence that a cosigned head completes."""
        epochs, leaves = schema.log_epochs, schema.log_leaves
        query = sa.select(epochs.c.epoch).order_by(epochs.c.epoch.desc()).limit(1)
        # One process at a time, whoever believes to hold the claim.
        tx.connection.execute(query.with_for_update()).one()
        due = self._next(tx.connection)
        if due is None:
            return [None] * len(items)
        epoch, first, end = due
        upto = min(end, first + _LEAVES_AT_ONCE)
        found = tx.connection.execute(
            sa.select(leaves.c.position, leaves.c.leaf, leaves.c.sealed).where(
                leaves.c.epoch == epoch,
                leaves.c.position >= first,
                leaves.c.position < upto,
                leaves.c.sealed.is_not(None),
            )
        )
        for leaf in found.all():
            if int.from_bytes(leaf.leaf[1:3], "big") in _GIVEN:
                ref = LeafRef(epoch, leaf.position)
                self._queue(tx, ref, decode_details(open_details(self._keys, ref, leaf.sealed)))
        tx.connection.execute(epochs.update().where(epochs.c.epoch == epoch).values(completed=upto))
        return [None] * len(items)

    def _queue(self, tx: Transaction, ref: LeafRef, details: Details) -> None:
        if details.peer is None or details.envelope is None or details.peer == self._keys.node_id:
            return
        reply_key = self._dedup.reply_key(tx.connection, details.envelope, details.peer)
        if reply_key is not None:
            item = Return(
                destination=details.peer, envelope=details.envelope, reply_key=reply_key, ref=ref, letter=None
            )
            self._returns.queue(tx, item)

    # -- overdue

    def tell_overdue(self, tx: Transaction, items: Sequence[None]) -> Sequence[None]:
        """Put on record what has lacked cosignatures for 7 days, once: of other nodes' evidence, and of the own log."""
        wanted = self._heads.wanted(tx.connection)
        if wanted:
            for node, count in sorted(self._tell_of_peers(tx, wanted).items()):
                self._say(tx, count, node)
            own = self._tell_of_own(tx, wanted)
            if own:
                self._say(tx, own, None)
        return [None] * len(items)

    def _say(self, tx: Transaction, count: int, node: NodeId | None) -> None:
        details = Details(node=self._keys.node_id, peer=node, code=str(count))
        tx.log.append(EventKind.EVIDENCE_UNWITNESSED, details)
        _logger.error("evidence without cosignatures for 7 days", node=node.text[:12] if node else "own", count=count)

    def _tell_of_peers(self, tx: Transaction, wanted: int) -> Counter[NodeId]:
        table, counts = schema.peer_evidence, Counter[NodeId]()
        overdue = (table.c.overdue_told == 0, table.c.time_ms < tx.now_ms - OVERDUE_MS)
        # What was completed in time is never looked at again.
        tx.connection.execute(table.update().where(*overdue, table.c.witnesses >= wanted).values(overdue_told=1))
        query = sa.select(table.c.id, table.c.sealed).where(*overdue).limit(_TOLD_AT_ONCE)
        while rows := tx.connection.execute(query).all():
            for row in rows:
                evidence = decode_evidence(self._keys.open("peer_evidence", row.id, "sealed", row.sealed))
                counts[decode_details(evidence.details).node] += 1
            told = table.c.id.in_([row.id for row in rows])
            tx.connection.execute(table.update().where(told).values(overdue_told=1))
        return counts

    def _tell_of_own(self, tx: Transaction, wanted: int) -> int:
        epochs, count = schema.log_epochs, 0
        for row in tx.connection.execute(sa.select(epochs.c.epoch, epochs.c.size, epochs.c.overdue_told)).all():
            low = max(self._heads.witnessed_size(tx.connection, row.epoch, wanted), row.overdue_told)
            end = end_before(tx.connection, row.epoch, low, row.size, tx.now_ms - OVERDUE_MS)
            if end > low:
                count += end - low
                tx.connection.execute(epochs.update().where(epochs.c.epoch == row.epoch).values(overdue_told=end))
        return count


# Built once: a search asks it a dozen times.
_LEAF: Final = sa.select(schema.log_leaves.c.leaf).where(
    schema.log_leaves.c.epoch == sa.bindparam("of_epoch"), schema.log_leaves.c.position == sa.bindparam("of_position")
)


def end_before(connection: sa.Connection, epoch: int, low: int, high: int, time_ms: int) -> int:
    """The position of the first leaf from `low` on that is not older than this; times rise with positions, nearly."""
    while low < high:
        middle = (low + high) // 2
        leaf = connection.execute(_LEAF, {"of_epoch": epoch, "of_position": middle}).scalar_one()
        if LogLeaf.decode(leaf).time_ms < time_ms:
            low = middle + 1
        else:
            high = middle
    return low


def overdue_counts(connection: sa.Connection, heads: CosignedHeads, now_ms: int, *, wanted: int) -> tuple[int, int]:
    """How many pieces of evidence have lacked the wanted cosignatures for 7 days: of other nodes, and own leaves.

    wanted: as `heads.wanted` says.
    """
    if not wanted:
        return 0, 0
    table, epochs = schema.peer_evidence, schema.log_epochs
    query = sa.select(sa.func.count()).where(table.c.witnesses < wanted, table.c.time_ms < now_ms - OVERDUE_MS)
    own = 0
    for row in connection.execute(sa.select(epochs.c.epoch, epochs.c.size)).all():
        low = heads.witnessed_size(connection, row.epoch, wanted)
        own += max(end_before(connection, row.epoch, low, row.size, now_ms - OVERDUE_MS) - low, 0)
    return int(connection.execute(query).scalar_one()), own
