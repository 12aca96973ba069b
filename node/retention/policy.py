"""How long a mailbox keeps its letters: the institution's settings, and what was decided for one mailbox.

Spec: spec/retention.md, 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from node.config.sections import RetentionSettings
from node.errors import NotFoundError
from node.vault import schema
from node.vault.database import Transaction
from node.vault.sealing import RowKeys
from protocol.details import Details
from protocol.ids import MailboxId
from protocol.logleaf import EventKind

__all__ = ["KeepDays", "MailboxPolicy", "Policies"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepDays:
    """Days that one mailbox keeps letters; None: as the settings say, 0: for ever."""

    received: int | None = None
    sent: int | None = None
    trash: int | None = None

    @property
    def code(self) -> str:
        """As the log names it."""
        named = (("received", self.received), ("sent", self.sent), ("trash", self.trash))
        return ",".join(f"{name}={'default' if days is None else days}" for name, days in named)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxPolicy:
    """What holds for one mailbox, in days; 0: for ever. own: what was decided for it alone. blind: as in letters."""

    mailbox: MailboxId
    address: str
    blind: bytes
    received: int
    sent: int
    trash: int
    own: KeepDays


class Policies:
    """Reads and sets how long mailboxes keep letters."""

    def __init__(self, keys: RowKeys, settings: RetentionSettings) -> None:
        self._keys = keys
        self.settings = settings

    def all(self, connection: sa.Connection) -> list[MailboxPolicy]:
        """Of every mailbox, closed ones included, by address."""
        table = schema.mailboxes
        return [self._policy(row) for row in connection.execute(sa.select(*_COLUMNS).order_by(table.c.address))]

    def of(self, connection: sa.Connection, mailbox: MailboxId) -> MailboxPolicy:
        """Of one mailbox. NotFoundError."""
        table = schema.mailboxes
        row = connection.execute(sa.select(*_COLUMNS).where(table.c.id == mailbox)).one_or_none()
        if row is None:
            raise NotFoundError(f"no mailbox {mailbox.text} on this node")
        return self._policy(row)

    def _policy(self, row: Any) -> MailboxPolicy:
        values = row._mapping
        mailbox = MailboxId(values["id"])
        own = KeepDays(
            received=values["keep_received_days"], sent=values["keep_sent_days"], trash=values["keep_trash_days"]
        )
        settings = self.settings
        return MailboxPolicy(
            mailbox=mailbox,
            address=values["address"],
            blind=self._keys.blind("mailbox", mailbox),
            received=settings.received_days if own.received is None else own.received,
            sent=settings.sent_days if own.sent is None else own.sent,
            trash=settings.trash_days if own.trash is None else own.trash,
            own=own,
        )

    def set(self, tx: Transaction, items: Sequence[tuple[MailboxId, KeepDays]]) -> Sequence[None]:
        """Batch handler: what one mailbox keeps from now on; on record if it is another."""
        table = schema.mailboxes
        for mailbox, keep in items:
            if self.of(tx.connection, mailbox).own == keep:
                continue
            tx.connection.execute(
                table.update()
                .where(table.c.id == mailbox)
                .values(keep_received_days=keep.received, keep_sent_days=keep.sent, keep_trash_days=keep.trash)
            )
            details = Details(node=self._keys.node_id, mailbox=mailbox, code=keep.code)
            tx.log.append(EventKind.RETENTION_CHANGED, details)
        return [None] * len(items)


_COLUMNS: Final = (
    schema.mailboxes.c.id,
    schema.mailboxes.c.address,
    schema.mailboxes.c.keep_received_days,
    schema.mailboxes.c.keep_sent_days,
    schema.mailboxes.c.keep_trash_days,
)
