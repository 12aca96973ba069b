"""Published monthly totals of the feeds held: of each institution and month the newest, and the first one.

Spec: spec/statistics.md, 4. Written where a feed's operations are written; the months of a feed are few, whatever it
says, so its rows are, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from directory_sync.totals import Fault, read_totals
from node.vault import schema
from protocol.entry import Totals
from protocol.feed import Operation, OperationKind, stored_operation
from protocol.ids import NodeId

__all__ = [
    "FeedFaults",
    "PublishedMonth",
    "drop_totals",
    "feed_faults",
    "gather_totals",
    "keep_totals",
    "published",
    "totals_made",
]

_FAULTS = ""
"""In the place of a month: the operations that count for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedMonth:
    """What an institution published of a month. corrections: how often after the first time."""

    node: NodeId
    totals: Totals
    first: Totals
    corrections: int


@dataclass(frozen=True, slots=True)
class FeedFaults:
    """How many totals of a feed count for nothing, and what is wrong with the newest of them."""

    node: NodeId
    count: int
    newest: Fault


@dataclass(slots=True)
class _Month:
    position: int
    made: int
    at_ms: int
    entry: bytes
    first_entry: bytes
    fault: str = ""


def keep_totals(connection: sa.Connection, node: NodeId, operations: Sequence[Operation], first: int) -> None:
    """Keep what the new operations of a feed say, inside a transaction. first: the position of the first of them."""
    fresh = [(first + at, item) for at, item in enumerate(operations) if item.leaf.kind == OperationKind.TOTALS]
    if fresh:
        _keep(connection, node, fresh)


def _keep(connection: sa.Connection, node: NodeId, fresh: Iterable[tuple[int, Operation]]) -> None:
    table = schema.feed_totals
    rows = connection.execute(sa.select(table).where(table.c.node_id == node))
    held = {row.month: _Month(row.position, row.made, row.at_ms, row.entry, row.first_entry, row.fault) for row in rows}
    newest_at_ms = max((item.at_ms for item in held.values()), default=0)
    changed = set()
    for position, operation in fresh:
        totals = read_totals(operation, newest_at_ms=newest_at_ms)
        month, at_ms, entry, fault = _FAULTS, 0, b"", ""
        if isinstance(totals, Fault):
            fault = totals.value
        else:
            month, at_ms, entry = totals.month, totals.at_ms, operation.entry or b""
            newest_at_ms = at_ms
        known = held.setdefault(month, _Month(position, 0, at_ms, entry, entry))
        known.position, known.at_ms, known.entry, known.fault = position, at_ms, entry, fault
        known.made += 1
        changed.add(month)
    connection.execute(table.delete().where(table.c.node_id == node, table.c.month.in_(sorted(changed))))
    connection.execute(table.insert(), [_row(node, month, held[month]) for month in sorted(changed)])


def _row(node: NodeId, month: str, item: _Month) -> dict[str, Any]:
    return {
        "node_id": node,
        "month": month,
        "position": item.position,
        "made": item.made,
        "at_ms": item.at_ms,
        "entry": item.entry,
        "first_entry": item.first_entry,
        "fault": item.fault,
    }


def drop_totals(connection: sa.Connection, node: NodeId) -> None:
    """Forget a feed's totals, to take them anew with it."""
    table = schema.feed_totals
    connection.execute(table.delete().where(table.c.node_id == node))


def gather_totals(connection: sa.Connection) -> None:
    """Take the totals out of all operations held: a version from before kept them and passed them over."""
    operations, table = schema.feed_operations, schema.feed_totals
    connection.execute(table.delete())
    query = sa.select(operations.c.node_id, operations.c.position, operations.c.operation).where(
        sa.func.substr(operations.c.operation, 5, 1) == bytes([OperationKind.TOTALS])
    )
    by_node: dict[bytes, list[tuple[int, Operation]]] = {}
    for row in connection.execute(query.order_by(operations.c.node_id, operations.c.position)):
        by_node.setdefault(row.node_id, []).append((row.position, stored_operation(row.operation)))
    for node, fresh in by_node.items():
        _keep(connection, NodeId(node), fresh)


def published(connection: sa.Connection, months: Sequence[str], node: NodeId | None = None) -> list[PublishedMonth]:
    """What institutions published of these months, by node and month; of one institution, or of all."""
    table = schema.feed_totals
    query = sa.select(table).where(table.c.month.in_(months), table.c.month != _FAULTS)
    if node is not None:
        query = query.where(table.c.node_id == node)
    rows = connection.execute(query.order_by(table.c.node_id, table.c.month))
    return [
        PublishedMonth(
            node=NodeId(row.node_id),
            totals=Totals.decode(row.entry),
            first=Totals.decode(row.first_entry),
            corrections=row.made - 1,
        )
        for row in rows
    ]


def feed_faults(connection: sa.Connection) -> list[FeedFaults]:
    """The feeds with totals that count for nothing."""
    table = schema.feed_totals
    rows = connection.execute(sa.select(table).where(table.c.month == _FAULTS).order_by(table.c.node_id))
    return [FeedFaults(NodeId(row.node_id), row.made, Fault(row.fault)) for row in rows]


def totals_made(connection: sa.Connection, node: NodeId) -> dict[str, int]:
    """How often an institution published each month."""
    table = schema.feed_totals
    query = sa.select(table.c.month, table.c.made).where(table.c.node_id == node, table.c.month != _FAULTS)
    return {row.month: row.made for row in connection.execute(query)}
