"""Rows of the ways into own mailboxes, and of the seal secrets that these had. Spec: spec/identity.md, 8."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from node.errors import StoreError
from node.vault import schema, ways
from node.vault.database import Transaction
from node.vault.sealing import RowKeys, new_row_id
from node.vault.session_rows import end_sessions
from node.vault.ways import MailboxSecrets
from protocol.codec import FieldReader, Value
from protocol.crypto import SealSecret
from protocol.ids import MailboxId

__all__ = ["StoredWay", "WayKind", "WayRows"]


class WayKind(StrEnum):
    """How a mailbox is opened. The values stand in the table."""

    PASSWORD = "password"
    RECOVERY = "recovery"
    MEMBER = "member"
    DELEGATE = "delegate"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWay:
    """One way in. holder: of a member's or deputy's. from_ms, until_ms: of a deputy's, else 0."""

    row: bytes
    mailbox: MailboxId
    kind: WayKind
    created_at_ms: int
    holder: MailboxId | None
    from_ms: int
    until_ms: int
    sealed: bytes


_TABLE: Final = schema.mailbox_ways


class WayRows:
    """Reads and writes ways inside transactions."""

    def __init__(self, keys: RowKeys, random_bytes: Callable[[int], bytes]) -> None:
        self._keys = keys
        self._random_bytes = random_bytes

    # -- reading

    def find(self, connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[StoredWay]:
        """The ways for which all conditions on the table hold, the newest first."""
        rows = connection.execute(sa.select(_TABLE).where(*conditions).order_by(_TABLE.c.id.desc()))
        return [_stored(row) for row in rows]

    def of_mailbox(self, connection: sa.Connection, mailbox: MailboxId, kind: WayKind) -> list[StoredWay]:
        """A mailbox's ways of one kind, the newest first."""
        return self.find(connection, _TABLE.c.mailbox == mailbox, _TABLE.c.way == kind)

    def held_by(self, connection: sa.Connection, holder: MailboxId) -> list[StoredWay]:
        """The memberships and deputyships of a person."""
        return self.find(connection, _TABLE.c.holder == holder)

    def newest(self, connection: sa.Connection, mailbox: MailboxId, kind: WayKind) -> StoredWay | None:
        """The way of this kind that counts; None if there is none."""
        found = self.of_mailbox(connection, mailbox, kind)
        return found[0] if found else None

    def recovery(self, connection: sa.Connection, mailbox: MailboxId) -> StoredWay:
        """The way of the recovery key. StoreError if it is missing."""
        found = self.newest(connection, mailbox, WayKind.RECOVERY)
        if found is None:
            raise StoreError(f"mailbox {mailbox.text} has no recovery way", hint="run: coffre doctor")
        return found

    def open(self, way: StoredWay) -> FieldReader:
        """The fields of a way."""
        fields = self._keys.open_map("mailbox_ways", way.row, "sealed", way.sealed)
        fields.fixed("mb", MailboxId.LENGTH)
        return fields

    # -- writing

    def insert(
        self,
        tx: Transaction,
        mailbox: MailboxId,
        kind: WayKind,
        fields: dict[str, Value],
        *,
        holder: MailboxId | None = None,
        from_ms: int = 0,
        until_ms: int = 0,
    ) -> None:
        """Add a way."""
        row = new_row_id(tx.now_ms, self._random_bytes)
        tx.connection.execute(
            _TABLE.insert().values(
                id=row,
                mailbox=mailbox,
                way=kind,
                created_at_ms=tx.now_ms,
                sealed=self._keys.seal_map("mailbox_ways", row, "sealed", {**fields, "mb": mailbox}),
                holder=holder,
                from_ms=from_ms,
                until_ms=until_ms,
            )
        )

    def rewrite(self, tx: Transaction, way: StoredWay, fields: dict[str, Value]) -> None:
        """Put other fields into a way, which stays what it is."""
        sealed = self._keys.seal_map("mailbox_ways", way.row, "sealed", {**fields, "mb": way.mailbox})
        tx.connection.execute(_TABLE.update().where(_TABLE.c.id == way.row).values(sealed=sealed))

    def delete(self, tx: Transaction, way: StoredWay) -> None:
        """Remove a way."""
        tx.connection.execute(_TABLE.delete().where(_TABLE.c.id == way.row))

    def delete_kind(self, tx: Transaction, mailbox: MailboxId, kind: WayKind) -> None:
        """Remove a mailbox's ways of one kind; with the password end the log-ins to the pages that it opened."""
        tx.connection.execute(_TABLE.delete().where(_TABLE.c.mailbox == mailbox, _TABLE.c.way == kind))
        if kind is WayKind.PASSWORD:
            end_sessions(tx, self._keys.blind("mailbox", mailbox))

    # -- former secrets

    def keep_former(self, tx: Transaction, mailbox: MailboxId, former: SealSecret, following: MailboxSecrets) -> None:
        """Keep a replaced seal secret, sealed to the one that follows it."""
        row = new_row_id(tx.now_ms, self._random_bytes)
        box = ways.wrap_former(former, following.read.seal_key, node=self._keys.node_id, mailbox=mailbox)
        fields: dict[str, Value] = {"mb": mailbox, "following": following.read.seal_key.fingerprint, "box": box}
        tx.connection.execute(
            schema.mailbox_former_keys.insert().values(
                id=row,
                mailbox=mailbox,
                replaced_at_ms=tx.now_ms,
                sealed=self._keys.seal_map("mailbox_former_keys", row, "sealed", fields),
            )
        )

    def former(self, connection: sa.Connection, mailbox: MailboxId, present: SealSecret) -> tuple[SealSecret, ...]:
        """The seal secrets that a mailbox had, the newest first: each opens the one before it."""
        table = schema.mailbox_former_keys
        boxes = {}
        for row in connection.execute(sa.select(table.c.id, table.c.sealed).where(table.c.mailbox == mailbox)):
            fields = self._keys.open_map("mailbox_former_keys", row.id, "sealed", row.sealed)
            boxes[fields.fixed("following", 32)] = fields.binary("box", high=4096)
        found: list[SealSecret] = []
        following = present
        while (box := boxes.pop(following.seal_key.fingerprint, None)) is not None:
            following = ways.open_former(box, following, node=self._keys.node_id, mailbox=mailbox)
            found.append(following)
        return tuple(found)


def _stored(row: sa.Row[Any]) -> StoredWay:
    return StoredWay(
        row=row.id,
        mailbox=MailboxId(row.mailbox),
        kind=WayKind(row.way),
        created_at_ms=row.created_at_ms,
        holder=None if row.holder is None else MailboxId(row.holder),
        from_ms=row.from_ms,
        until_ms=row.until_ms,
        sealed=row.sealed,
    )
