"""Months and cursor in the database. Spec: spec/statistics.md, 2.

One sealed row of sums for each month, one of who was active in it for the newest months, and the cursor in node_state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from node.statistics.counts import Actives, MonthCounts
from node.statistics.leaves import START, Counted, Cursor
from node.vault import schema
from node.vault.database import Transaction
from node.vault.node_state import NodeState
from node.vault.sealing import RowKeys
from protocol.codec import FieldReader, Value

__all__ = ["MonthRows"]

_SUMS: Final = 0
_ACTIVES: Final = 1
_KEPT_MONTHS: Final = 2
"""For how many months it is kept who was active, the running one included."""
_STATE: Final = "statistics"


class MonthRows:
    """Reads and writes them."""

    def __init__(self, keys: RowKeys, state: NodeState) -> None:
        self._keys = keys
        self._state = state

    # -- reading

    def cursor(self, connection: sa.Connection) -> Cursor:
        """How far the log was counted."""
        fields = self._state.find(connection, _STATE)
        if fields is None:
            return START
        return Cursor(
            fields.integer("epoch"), fields.integer("at") - 1, fields.fixed("sent", 16), fields.fixed("got", 16)
        )

    def months(self, connection: sa.Connection, months: Iterable[int]) -> dict[int, MonthCounts]:
        """The sums of those months that have any."""
        table = schema.statistics_months
        query = sa.select(table.c.month, table.c.sealed).where(table.c.part == _SUMS, table.c.month.in_(sorted(months)))
        rows = connection.execute(query.order_by(table.c.month))
        return {row.month: MonthCounts.from_map(self._open(row.month, _SUMS, row.sealed)) for row in rows}

    def first_month(self, connection: sa.Connection) -> int | None:
        """The first month in which something was counted."""
        table = schema.statistics_months
        found: int | None = connection.execute(sa.select(sa.func.min(table.c.month))).scalar_one()
        return found

    def is_empty(self, connection: sa.Connection) -> bool:
        """Whether nothing was ever counted."""
        return self.first_month(connection) is None

    # -- writing

    def add(self, tx: Transaction, items: Sequence[Counted]) -> Sequence[bool]:
        """Batch handler: add to the months and move the cursor, if it still stands where the counting began."""
        return [self._add(tx, item) for item in items]

    def _add(self, tx: Transaction, item: Counted) -> bool:
        self._lock(tx)
        if self.cursor(tx.connection) != item.begin:
            return False  # another process counted the same leaves meanwhile
        touched = set(item.months) | set(item.actives)
        held = self.months(tx.connection, touched)
        for month in sorted(touched):
            counts = held.get(month, MonthCounts())
            counts.add(item.months.get(month, MonthCounts()))
            if month in item.actives:
                self._add_actives(tx, month, counts, item.actives[month])
            self._put(tx, month, _SUMS, counts.to_map())
        if touched:
            table = schema.statistics_months
            kept = max(touched) - _KEPT_MONTHS + 1
            tx.connection.execute(table.delete().where(table.c.part == _ACTIVES, table.c.month < kept))
        self._move(tx, item.end)
        return True

    def _add_actives(self, tx: Transaction, month: int, counts: MonthCounts, fresh: Actives) -> None:
        table = schema.statistics_months
        query = sa.select(table.c.sealed).where(table.c.month == month, table.c.part == _ACTIVES)
        sealed = tx.connection.execute(query).scalar_one_or_none()
        if sealed is None and (counts.people or counts.services):
            return  # counted up and let go: a leaf this late, by a clock that was moved, changes no number of people
        actives = Actives() if sealed is None else Actives.from_map(self._open(month, _ACTIVES, sealed))
        if not actives.add(fresh):
            return
        counts.people, counts.services = len(actives.people), len(actives.services)
        counts.people_of.clear()
        counts.people_of.update(actives.people.values())
        self._put(tx, month, _ACTIVES, actives.to_map())

    def forget(self, tx: Transaction, items: Sequence[None]) -> Sequence[None]:
        """Batch handler: forget all months, and count the log from its beginning again."""
        self._lock(tx)
        tx.connection.execute(schema.statistics_months.delete())
        self._move(tx, START)
        return [None] * len(items)

    def put(self, tx: Transaction, items: Sequence[tuple[int, MonthCounts]]) -> Sequence[None]:
        """Batch handler: put months in the place of what is there, as the demonstration does."""
        for month, counts in items:
            self._put(tx, month, _SUMS, counts.to_map())
        return [None] * len(items)

    def _lock(self, tx: Transaction) -> None:
        table = schema.node_state
        tx.connection.execute(sa.select(table.c.name).where(table.c.name == _STATE).with_for_update())

    def _move(self, tx: Transaction, cursor: Cursor) -> None:
        fields: dict[str, Value] = {
            "epoch": cursor.epoch,
            "at": cursor.position + 1,
            "sent": cursor.submitted,
            "got": cursor.deposited,
        }
        self._state.set(tx, _STATE, fields)

    # -- sealing

    def _open(self, month: int, part: int, sealed: bytes) -> FieldReader:
        return self._keys.open_map("statistics_months", _name(month, part), "sealed", sealed)

    def _put(self, tx: Transaction, month: int, part: int, fields: dict[str, Value]) -> None:
        table = schema.statistics_months
        sealed = self._keys.seal_map("statistics_months", _name(month, part), "sealed", fields)
        place: list[sa.ColumnElement[Any]] = [table.c.month == month, table.c.part == part]
        if not tx.connection.execute(table.update().where(*place).values(sealed=sealed)).rowcount:
            tx.connection.execute(table.insert().values(month=month, part=part, sealed=sealed))


def _name(month: int, part: int) -> bytes:
    return month.to_bytes(4, "big") + bytes([part])
