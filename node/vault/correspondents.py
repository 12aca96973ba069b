"""Whom a mailbox wrote to before: pairs, blinded and sealed. Spec: spec/directory.md, 13; spec/delivery.md, "At rest".

A thief of the database learns how many pairs there are, and of a mailbox how many, as from the letters themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from directory_sync.spellings import name_key
from node.vault import schema
from node.vault.database import Transaction
from node.vault.sealing import RowKeys
from protocol.codec import check_text
from protocol.ids import MailboxId, NodeId
from protocol.texts import MAX_ADDRESS_BYTES

__all__ = ["KEPT_MS", "Correspondents", "Pair"]

_DAY_MS: Final = 86_400_000
KEPT_MS: Final = 2 * 365 * _DAY_MS
"""Whom one has not written to for two years one has to look at again."""
# A pair is written again so long after the last time: not with each letter.
_FRESH_MS: Final = 30 * _DAY_MS
_NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class Pair:
    """A sender, and a mailbox that it writes to with its address and name as they are now."""

    sender: MailboxId
    node: NodeId
    mailbox: MailboxId
    address: str
    name: str


class Correspondents:
    """The correspondents table."""

    def __init__(self, keys: RowKeys) -> None:
        self._keys = keys

    def knows(self, connection: sa.Connection, sender: MailboxId, node: NodeId, mailbox: MailboxId) -> bool:
        """Whether this sender wrote to this mailbox in the last two years."""
        table = schema.correspondents
        row = self._row(sender, node, mailbox)
        return connection.scalar(sa.select(table.c.id).where(table.c.id == row)) is not None

    def named(self, connection: sa.Connection, sender: MailboxId, name: str) -> list[str]:
        """Addresses, as they were, of mailboxes of this `name_key` that this sender wrote to; 20 at most."""
        table = schema.correspondents
        query = sa.select(table.c.id, table.c.sealed).where(table.c.name == self._name(sender, name)).limit(_NAMED)
        found = []
        for row in connection.execute(query):
            fields = self._keys.open_map("correspondents", row.id, "sealed", row.sealed)
            found.append(check_text(fields.text("address", high=MAX_ADDRESS_BYTES), "address", 3, MAX_ADDRESS_BYTES))
        return sorted(found)

    def remember(self, tx: Transaction, pairs: Iterable[Pair]) -> None:
        """Note whom a letter just went to, in its transaction."""
        table = schema.correspondents
        by_row = {self._row(pair.sender, pair.node, pair.mailbox): pair for pair in pairs}
        fresh = sa.select(table.c.id).where(
            table.c.id.in_(list(by_row)), table.c.kept_until_ms > tx.now_ms + KEPT_MS - _FRESH_MS
        )
        for row in tx.connection.scalars(fresh).all():
            del by_row[row]
        if not by_row:
            return
        tx.connection.execute(table.delete().where(table.c.id.in_(list(by_row))))
        tx.connection.execute(table.insert(), [self._values(row, pair, tx.now_ms) for row, pair in by_row.items()])

    def prune(self, tx: Transaction, items: Sequence[int]) -> Sequence[None]:
        """Batch handler: forget pairs that end before the given time."""
        table = schema.correspondents
        for now_ms in items:
            tx.connection.execute(table.delete().where(table.c.kept_until_ms < now_ms))
        return [None] * len(items)

    def _row(self, sender: MailboxId, node: NodeId, mailbox: MailboxId) -> bytes:
        return self._keys.blind("correspondent", sender, node, mailbox)

    def _name(self, sender: MailboxId, name: str) -> bytes:
        return self._keys.blind("correspondent name", sender, name.encode())

    def _values(self, row: bytes, pair: Pair, now_ms: int) -> dict[str, object]:
        fields = {"address": pair.address}
        return {
            "id": row,
            "mailbox": self._keys.blind("mailbox", pair.sender),
            "name": self._name(pair.sender, name_key(pair.name)),
            "kept_until_ms": now_ms + KEPT_MS,
            "sealed": self._keys.seal_map("correspondents", row, "sealed", fields),
        }
