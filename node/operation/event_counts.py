"""Events counted by the leaves that the log gained: also those that commands beside the running node wrote.

Spec: spec/operation.md, 2 and 4.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa

from node.audit.completion import end_before
from node.audit.cosigned_heads import newest_size
from node.vault import schema
from protocol.logleaf import EventKind

__all__ = ["EventCounter", "count_since"]

_LEAVES: Final = schema.log_leaves
# Bytes 1 and 2 of a leaf, counted from 0 (spec/evidence.md, 5): it need not be decoded, nor leave the database.
_KIND: Final = sa.func.substr(_LEAVES.c.leaf, 2, 2)


_COUNTS: Final = (
    sa.select(_KIND.label("kind"), sa.func.count())
    .where(
        _LEAVES.c.epoch == sa.bindparam("of_epoch"),
        _LEAVES.c.position >= sa.bindparam("low"),
        _LEAVES.c.position < sa.bindparam("high"),
    )
    .group_by(_KIND)
)


def _counts(connection: sa.Connection, epoch: int, low: int, high: int) -> Counter[EventKind]:
    """Of the leaves of an epoch from one position to before another."""
    if low >= high:
        return Counter()
    rows = connection.execute(_COUNTS, {"of_epoch": epoch, "low": low, "high": high})
    return Counter({EventKind(int.from_bytes(row.kind, "big")): int(row[1]) for row in rows})


class EventCounter:
    """Counts from the first look on. Not for two threads at once."""

    def __init__(self) -> None:
        self._counts: Counter[EventKind] = Counter()
        self._sizes: dict[int, int] | None = None

    def look(self, connection: sa.Connection) -> dict[EventKind, int]:
        """The counts so far, all kinds among them."""
        table = schema.log_epochs
        sizes = {row.epoch: int(row.size) for row in connection.execute(sa.select(table.c.epoch, table.c.size))}
        if self._sizes is not None:
            for epoch, size in sizes.items():
                before = self._sizes.get(epoch, 0)
                if size > before:
                    self._counts += _counts(connection, epoch, before, size)
        self._sizes = sizes
        return {kind: self._counts[kind] for kind in EventKind}


def count_since(connection: sa.Connection, kinds: Iterable[EventKind], since_ms: int) -> int:
    """How many leaves of these kinds the present epoch has from a time on; times rise with positions, nearly."""
    epoch, size = newest_size(connection)
    low = end_before(connection, epoch, 0, size, since_ms)
    counts = _counts(connection, epoch, low, size)
    return sum(counts[kind] for kind in kinds)
