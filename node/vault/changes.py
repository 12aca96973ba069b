"""What a mailbox's pages show has changed: counted in the transaction, told to live pages. Spec: spec/alerts.md, 5."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from node.errors import StateError
from node.vault import schema
from node.vault.access import Access, OpenMailbox
from node.vault.database import Transaction
from node.vault.sealing import RowKeys
from node.vault.signals import LETTERS
from protocol.delegation import Right
from protocol.ids import MailboxId

__all__ = ["MAX_COUNTED", "Changes", "News", "mailbox_changed", "mark_changed"]

MAX_COUNTED: Final = 1000
"""Unread letters beyond are not counted one by one: nobody reads the difference, and each page would pay for it."""
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What live pages ask for. changes: the counter; unread: letters in the inbox, at most MAX_COUNTED.

    newest: the row of the newest unread letter, if there is one.
    """

    changes: int
    unread: int
    newest: bytes | None


def mark_changed(tx: Transaction, keys: RowKeys, mailboxes: Iterable[MailboxId]) -> None:
    """Count a change of these own mailboxes, and wake their pages after the commit. Ids of others do nothing."""
    table, wanted = schema.mailboxes, sorted(set(mailboxes))
    for start in range(0, len(wanted), _AT_ONCE):
        some = wanted[start : start + _AT_ONCE]
        tx.connection.execute(table.update().where(table.c.id.in_(some)).values(changes=table.c.changes + 1))
    for mailbox in wanted:
        mailbox_changed(tx, keys, mailbox)


def mailbox_changed(tx: Transaction, keys: RowKeys, mailbox: MailboxId) -> None:
    """Wake the pages of a mailbox whose counter was raised by the caller, with other columns of its row."""
    tx.wake(LETTERS, keys.blind("mailbox", mailbox))


class Changes:
    """Reads what live pages compare."""

    def __init__(self, keys: RowKeys, access: Access) -> None:
        self._keys = keys
        self._access = access

    def topic(self, opened: OpenMailbox) -> bytes:
        """What `Signals.ticket(LETTERS, …)` takes for this mailbox."""
        return self._keys.blind("mailbox", opened.id)

    def news(self, connection: sa.Connection, opened: OpenMailbox, now_ms: int) -> News:
        """The news of an opened mailbox. StateError where whoever acts for it may not any more."""
        self._access.check(connection, opened, Right.READ, now_ms)
        table, letters = schema.mailboxes, schema.letters
        changes = connection.execute(sa.select(table.c.changes).where(table.c.id == opened.id)).scalar_one_or_none()
        if changes is None:
            raise StateError(f"{opened.address} is not here any more")
        unread = sa.and_(letters.c.mailbox == self.topic(opened), sa.text(schema.UNREAD))
        first = sa.select(letters.c.id).where(unread).order_by(letters.c.id.desc()).limit(MAX_COUNTED)
        rows = connection.execute(first).scalars().all()
        return News(changes=changes, unread=len(rows), newest=rows[0] if rows else None)
