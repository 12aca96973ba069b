"""Events counted by the leaves that the log gained: also those that commands beside the running node wrote.

Spec: spec/operation.md, 2 and 4.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa

from node.audit.completion import end_before
from node.vault import schema
from protocol.logleaf import EventKind

__all__ = ["EventCounter", "count_since"]

_LEAVES: Final = schema.log_leaves
# Bytes 1 and 2 of a leaf, counted from 0 (spec/evidence.md, 5): it need not be decoded, nor leave the database.
_KIND: Final = sa.func.substr(_LEAVES.c.leaf, 2, 2)


def _counts(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> Counter[EventKind]:
    query = sa.select(_KIND.label("kind"), sa.func.count()).where(*where).group_by(_KIND)
    return Counter({EventKind(int.from_bytes(row.kind, "big")): int(row[1]) for row in connection.execute(query)})


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
                    new = (_LEAVES.c.epoch == epoch, _LEAVES.c.position >= before, _LEAVES.c.position < size)
                    self._counts += _counts(connection, *new)
        self._sizes = sizes
        return {kind: self._counts[kind] for kind in EventKind}


def count_since(connection: sa.Connection, kinds: Iterable[EventKind], since_ms: int) -> int:
    """How many leaves of these kinds the present epoch has from a time on; times rise with positions, nearly."""
    row = connection.execute(
        sa.select(schema.log_epochs.c.epoch, schema.log_epochs.c.size)
        .order_by(schema.log_epochs.c.epoch.desc())
        .limit(1)
    ).one()
    low = end_before(connection, row.epoch, 0, int(row.size), since_ms)
    counts = _counts(connection, _LEAVES.c.epoch == row.epoch, _LEAVES.c.position >= low)
    return sum(counts[kind] for kind in kinds)
