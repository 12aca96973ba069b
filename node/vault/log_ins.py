"""Log-ins on record: one of those that follow each other within minutes, so that reading a hundred letters by a hundred
commands is one leaf. Spec: spec/evidence.md, 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from node.vault import schema
from node.vault.access import OpenMailbox
from node.vault.database import Database, Transaction
from node.vault.sealing import RowKeys
from protocol.details import Details
from protocol.ids import MailboxId
from protocol.logleaf import EventKind

__all__ = ["LogIns"]

# One sitting. A wrong password before it is on record by itself, and the right one after it always.
_SITTING_MS: Final = 15 * 60_000
_OWNER: Final = bytes(16)


class LogIns:
    """The log_ins table."""

    def __init__(self, database: Database, keys: RowKeys) -> None:
        self._database = database
        self._keys = keys

    async def record(self, opened: OpenMailbox, *, after_failures: bool = False) -> None:
        """Put a log-in on record, or the going on from there to a mailbox that its owner acts for."""
        if after_failures or await self._database.read(self._is_new, opened):
            await self._database.write(self._write, opened)

    def _is_new(self, connection: sa.Connection, opened: OpenMailbox) -> bool:
        table = schema.log_ins
        at_ms = connection.execute(
            sa.select(table.c.at_ms).where(table.c.mailbox == opened.id, table.c.actor == _actor(opened))
        ).scalar_one_or_none()
        # A time to come is from a clock that was set back since.
        return at_ms is None or not 0 <= self._database.world.now_ms() - at_ms < _SITTING_MS

    def _write(self, tx: Transaction, items: Sequence[OpenMailbox]) -> Sequence[None]:
        table = schema.log_ins
        for opened in items:
            here = (table.c.mailbox == opened.id, table.c.actor == _actor(opened))
            if not tx.connection.execute(table.update().where(*here).values(at_ms=tx.now_ms)).rowcount:
                values = {"mailbox": opened.id, "actor": _actor(opened), "at_ms": tx.now_ms}
                tx.connection.execute(table.insert().values(**values))
            details = Details(
                node=self._keys.node_id,
                mailbox=opened.id,
                role=opened.role.value,
                actor=None if opened.actor is None else opened.actor.id,
            )
            tx.log.append(EventKind.LOGGED_IN, details)
        return [None] * len(items)


def _actor(opened: OpenMailbox) -> bytes:
    return _OWNER if opened.actor is None else MailboxId(opened.actor.id)
