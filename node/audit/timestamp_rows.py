"""Stamped heads of the own log in the database. Spec: spec/evidence.md, 14."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from node.audit.cosigned_heads import best_head
from node.audit.log import Head, LeafRef
from node.vault import schema
from node.vault.database import Transaction
from protocol.details import Details
from protocol.ids import NodeId
from protocol.logleaf import EventKind
from protocol.timestamp import Timestamp, read_timestamp

__all__ = ["StampedHead", "TimestampRows", "stamped_head_over"]


@dataclass(frozen=True, slots=True)
class StampedHead:
    """A head and the token over it. kept_at_ms: when it was kept, by the node's own clock."""

    head: Head
    token: bytes
    kept_at_ms: int

    @property
    def stamp(self) -> Timestamp:
        """What the token says."""
        return read_timestamp(self.token)


def stamped_head_over(connection: sa.Connection, ref: LeafRef) -> StampedHead | None:
    """The smallest stamped head above a leaf: the earliest moment at which it is shown to have been there."""
    table = schema.log_timestamps
    row = connection.execute(
        sa.select(table).where(table.c.epoch == ref.epoch, table.c.size > ref.position).order_by(table.c.size).limit(1)
    ).one_or_none()
    return None if row is None else StampedHead(Head(row.epoch, row.size, row.note), row.token, row.kept_at_ms)


class TimestampRows:
    """The table of stamped heads."""

    def __init__(self, node_id: NodeId) -> None:
        self._node_id = node_id

    def newest(self, connection: sa.Connection) -> StampedHead | None:
        """The newest stamped head."""
        found = self.list(connection, limit=1)
        return found[0] if found else None

    def list(self, connection: sa.Connection, *, limit: int) -> list[StampedHead]:
        """Stamped heads, newest first."""
        table = schema.log_timestamps
        rows = connection.execute(sa.select(table).order_by(table.c.epoch.desc(), table.c.size.desc()).limit(limit))
        return [StampedHead(Head(row.epoch, row.size, row.note), row.token, row.kept_at_ms) for row in rows]

    def newest_head(self, connection: sa.Connection) -> Head:
        """The newest committed head of the own log."""
        table = schema.log_epochs
        row = connection.execute(sa.select(table).order_by(table.c.epoch.desc()).limit(1)).one()
        return Head(row.epoch, row.size, row.note)

    def cosigned_head(self, connection: sa.Connection) -> Head:
        """The best cosigned head of the present epoch, so that evidence below it has both; the newest if none is."""
        newest = self.newest_head(connection)
        best = best_head(connection, newest.epoch)
        return newest if best is None or not best.cosigners else Head(best.epoch, best.size, best.note)

    def add(self, tx: Transaction, items: Sequence[StampedHead]) -> Sequence[bool]:
        """Batch handler: keep a token, and put it on record; False if this head has one."""
        table, results = schema.log_timestamps, []
        for item in items:
            here = sa.select(table.c.size).where(table.c.epoch == item.head.epoch, table.c.size == item.head.size)
            if tx.connection.execute(here).one_or_none() is not None:
                results.append(False)
                continue
            tx.connection.execute(
                table.insert().values(
                    epoch=item.head.epoch,
                    size=item.head.size,
                    note=item.head.note,
                    token=item.token,
                    kept_at_ms=item.kept_at_ms,
                )
            )
            code = f"{item.head.epoch}/{item.head.size} {item.stamp.time_ms}"
            tx.log.append(EventKind.HEAD_TIMESTAMPED, Details(node=self._node_id, code=code))
            results.append(True)
        return results
