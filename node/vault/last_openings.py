"""In which month a mailbox last opened a letter from this institution. Spec: spec/directory.md, 14.

Known from evidence that came back, so to senders alone, and by the month: whoever chooses a recipient sees whether
somebody reads there, not when. A thief of the database learns how many mailboxes there are of each month.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa

from node.vault import schema
from node.vault.database import Transaction
from node.vault.sealing import RowKeys
from protocol.ids import MailboxId, NodeId

__all__ = ["LastOpenings", "Opening", "month_of"]

KEPT_MONTHS: Final = 24
"""Of an older opening nothing is said."""

Opening = tuple[NodeId, MailboxId, int]
"""The node of a mailbox, the mailbox, and the time of the opening in milliseconds."""


def month_of(time_ms: int) -> int:
    """The month of a time, in UTC: months since January of year 0."""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.year * 12 + moment.month - 1


class LastOpenings:
    """The last_openings table."""

    def __init__(self, keys: RowKeys) -> None:
        self._keys = keys

    def note(self, tx: Transaction, openings: Iterable[Opening]) -> None:
        """Note openings that evidence tells of, in its transaction. A time to come, by a wrong clock, counts as now."""
        table, newest = schema.last_openings, dict[bytes, int]()
        for node, mailbox, time_ms in openings:
            row, month = self._row(node, mailbox), month_of(min(time_ms, tx.now_ms))
            newest[row] = max(month, newest.get(row, 0))
        if not newest:
            return
        found = tx.connection.execute(sa.select(table).where(table.c.id.in_(list(newest))))
        known = {row.id: row.month for row in found}
        risen = {row: month for row, month in newest.items() if month > known.get(row, -1)}
        if risen:
            oldest = month_of(tx.now_ms) - KEPT_MONTHS
            gone = sa.or_(table.c.id.in_(list(risen)), table.c.month < oldest)
            tx.connection.execute(table.delete().where(gone))
            tx.connection.execute(table.insert(), [{"id": row, "month": month} for row, month in risen.items()])

    def find(self, connection: sa.Connection, node: NodeId, mailbox: MailboxId) -> tuple[int, int] | None:
        """Year and month (1 to 12) in which it last opened or collected a letter; None if nothing is known."""
        table = schema.last_openings
        month = connection.scalar(sa.select(table.c.month).where(table.c.id == self._row(node, mailbox)))
        return None if month is None else (month // 12, month % 12 + 1)

    def _row(self, node: NodeId, mailbox: MailboxId) -> bytes:
        return self._keys.blind("last opening", node, mailbox)
