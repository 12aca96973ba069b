"""Before an unread letter goes: its recipient is alerted, and again; its sender gets evidence of the day.

Spec: spec/retention.md, 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from node.retention.due import DAY_MS, due_at_ms, has_some, take_some, to_remind, to_unwarn, to_warn
from node.retention.policy import MailboxPolicy
from node.vault import schema
from node.vault.alert import Occasion, letter_path
from node.vault.alert_queue import AlertQueue
from node.vault.database import Transaction
from node.vault.origins import Origin
from node.vault.returns import ReturnRows
from node.vault.sealing import RowKeys
from protocol.ids import LeafTag
from protocol.logleaf import EventKind
from protocol.slip import Slip

__all__ = ["Warner"]


class Warner:
    """Warns of unread letters that will go."""

    def __init__(self, *, keys: RowKeys, alerts: AlertQueue, returns: ReturnRows, warn_days: int) -> None:
        self._keys = keys
        self._alerts = alerts
        self._returns = returns
        self._days = warn_days

    def has_work(self, connection: sa.Connection, policy: MailboxPolicy, now_ms: int) -> bool:
        """Whether somebody is to be warned, or a warning does not hold any more."""
        # One after the other: each is served by an index of its own.
        return any(has_some(connection, make(policy, self._days, now_ms)) for make in (to_warn, to_remind, to_unwarn))

    def work(self, tx: Transaction, items: Sequence[MailboxPolicy]) -> Sequence[int]:
        """Batch handler: do some of it; how many letters."""
        return [self._unwarn(tx, policy) + self._warn(tx, policy) + self._remind(tx, policy) for policy in items]

    def _unwarn(self, tx: Transaction, policy: MailboxPolicy) -> int:
        table, returns = schema.letters, schema.returns
        rows = [row.id for row in take_some(tx.connection, to_unwarn(policy, self._days, tx.now_ms))]
        # What was on its way to the sender speaks of a day that is none.
        tx.connection.execute(returns.delete().where(returns.c.letter.in_(rows), returns.c.is_warning))
        tx.connection.execute(
            table.update().where(table.c.id.in_(rows)).values(erase_at_ms=0, told_at_ms=0, warnings=0)
        )
        return len(rows)

    def _warn(self, tx: Transaction, policy: MailboxPolicy) -> int:
        table = schema.letters
        rows = take_some(tx.connection, to_warn(policy, self._days, tx.now_ms))
        for row in rows:
            origin = self._origin(row)
            due_ms = max(due_at_ms(policy, row.arrived_at_ms, row.trashed_at_ms), tx.now_ms + self._days * DAY_MS)
            erase_at_ms = -(-due_ms // DAY_MS) * DAY_MS
            day = datetime.fromtimestamp(erase_at_ms / 1000, UTC).strftime("%Y-%m-%d")
            details = origin.details(self._keys.node_id, policy.mailbox, code=day)
            ref = tx.log.append(EventKind.ERASURE_DUE, details, tag=LeafTag(row.tag))
            self._returns.queue(tx, origin.answer(ref, row.id, is_warning=True))
            tx.connection.execute(
                table.update().where(table.c.id == row.id).values(erase_at_ms=erase_at_ms, told_at_ms=0, warnings=1)
            )
            self._alert(tx, policy, origin.slip, row, erase_at_ms, 1)
        return len(rows)

    def _remind(self, tx: Transaction, policy: MailboxPolicy) -> int:
        table = schema.letters
        rows = take_some(tx.connection, to_remind(policy, self._days, tx.now_ms))
        for row in rows:
            tx.connection.execute(table.update().where(table.c.id == row.id).values(warnings=2))
            self._alert(tx, policy, self._origin(row).slip, row, row.erase_at_ms, 2)
        return len(rows)

    def _origin(self, row: sa.Row[Any]) -> Origin:
        return Origin.read(self._keys.open_map("letters", row.id, "sealed", row.sealed))

    def _alert(
        self, tx: Transaction, policy: MailboxPolicy, slip: Slip, row: sa.Row[Any], day_ms: int, number: int
    ) -> None:
        about = slip.letter_id + day_ms.to_bytes(8, "big") + bytes([number])
        occasion = Occasion(
            policy.mailbox,
            "erasure_due",
            about,
            slip.letter_class,
            letter=slip.letter_id,
            peer=slip.sender_node,
            tag=LeafTag(row.tag),
            path=letter_path(policy.mailbox, row.id),
        )
        self._alerts.queue(tx, [occasion])
