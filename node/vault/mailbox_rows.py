"""Rows of the own mailboxes and of the ways into them. Spec: spec/delivery.md, 8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from node.errors import NotFoundError, StateError, StoreError
from node.vault import schema
from node.vault.database import Transaction
from node.vault.directory import Directory
from node.vault.sealing import RowKeys, new_row_id
from protocol.codec import FieldReader, Value
from protocol.details import Details
from protocol.entry import MailboxEntry
from protocol.ids import MailboxId
from protocol.logleaf import EventKind

__all__ = ["FOREVER_MS", "HARD_LOCK_FAILURES", "Mailbox", "MailboxRows", "NewPassword", "NewRows"]

# Typing errors are free; from then on each failure doubles the wait, up to an hour; who fails twenty times is guessing.
_FREE_FAILURES: Final = 5
HARD_LOCK_FAILURES: Final = 20
_LOCK_STEP_MS: Final = 60_000
_LOCK_CAP_MS: Final = 3_600_000
FOREVER_MS: Final = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """One own mailbox as lists show it."""

    id: MailboxId
    address: str
    status: str
    created_at_ms: int
    quota_bytes: int
    used_bytes: int
    failed_logins: int
    locked_until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRows:
    """What is stored of a new mailbox: the entry that is published, and its secrets, wrapped both ways."""

    entry: MailboxEntry
    password_way: dict[str, Value]
    recovery_way: dict[str, Value]
    quota_bytes: int


@dataclass(frozen=True, slots=True)
class NewPassword:
    """A password way that replaces the one there is. event: why, for the log."""

    mailbox: MailboxId
    fields: dict[str, Value]
    event: EventKind


class MailboxRows:
    """Reads and writes mailboxes inside transactions, with their events in the log."""

    def __init__(self, keys: RowKeys, directory: Directory, random_bytes: Callable[[int], bytes]) -> None:
        self._keys = keys
        self._directory = directory
        self._random_bytes = random_bytes

    def all(self, connection: sa.Connection) -> list[Mailbox]:
        """Every mailbox, closed ones included, by address."""
        return [_mailbox(row) for row in connection.execute(_SELECT.order_by(schema.mailboxes.c.address))]

    def find(self, connection: sa.Connection, address: str) -> Mailbox:
        """The mailbox with this address. NotFoundError."""
        found = connection.execute(_SELECT.where(schema.mailboxes.c.address == address)).one_or_none()
        if found is None:
            raise NotFoundError(f"no mailbox {address} on this node", hint="see: coffre mailbox list")
        return _mailbox(found)

    def create(self, tx: Transaction, items: Sequence[NewRows]) -> Sequence[Mailbox | Exception]:
        """Insert mailboxes, publish them, and log it. StateError for an address that is taken."""
        results: list[Mailbox | Exception] = []
        for item in items:
            address = item.entry.address
            taken = tx.connection.execute(
                sa.select(schema.mailboxes.c.id).where(schema.mailboxes.c.address == address)
            ).one_or_none()
            if taken is not None:
                results.append(StateError(f"{address} exists already", hint="see: coffre mailbox list"))
                continue
            mailbox = item.entry.mailbox
            tx.connection.execute(
                schema.mailboxes.insert().values(
                    id=mailbox,
                    address=address,
                    status="open",
                    created_at_ms=tx.now_ms,
                    quota_bytes=item.quota_bytes,
                    used_bytes=0,
                    failed_logins=0,
                    locked_until_ms=0,
                    settings=self._keys.seal_map("mailboxes", mailbox, "settings", {}),
                )
            )
            self._insert_way(tx, mailbox, "password", item.password_way)
            self._insert_way(tx, mailbox, "recovery", item.recovery_way)
            self._directory.publish_mailbox(tx, item.entry)
            self._log(tx, EventKind.MAILBOX_CREATED, mailbox)
            results.append(_mailbox(tx.connection.execute(_SELECT.where(schema.mailboxes.c.id == mailbox)).one()))
        return results

    def _insert_way(self, tx: Transaction, mailbox: MailboxId, way: str, fields: dict[str, Value]) -> None:
        row = new_row_id(tx.now_ms, self._random_bytes)
        sealed = self._keys.seal_map("mailbox_ways", row, "sealed", {**fields, "mb": mailbox})
        tx.connection.execute(
            schema.mailbox_ways.insert().values(
                id=row, mailbox=mailbox, way=way, created_at_ms=tx.now_ms, sealed=sealed
            )
        )

    def _log(self, tx: Transaction, kind: EventKind, mailbox: MailboxId) -> None:
        tx.log.append(kind, Details(node=self._keys.node_id, mailbox=mailbox))

    def read_way(self, connection: sa.Connection, mailbox: MailboxId, way: str) -> FieldReader:
        """The fields of a way. way: password or recovery. StoreError if it is missing."""
        table = schema.mailbox_ways
        row = connection.execute(
            sa.select(table.c.id, table.c.sealed)
            .where(table.c.mailbox == mailbox, table.c.way == way)
            .order_by(table.c.id.desc())
            .limit(1)
        ).one_or_none()
        if row is None:
            raise StoreError(f"mailbox {mailbox.text} has no {way} way", hint="run: coffre doctor")
        fields = self._keys.open_map("mailbox_ways", row.id, "sealed", row.sealed)
        fields.fixed("mb", MailboxId.LENGTH)
        return fields

    def record_failure(self, tx: Transaction, items: Sequence[MailboxId]) -> Sequence[int]:
        """One more wrong password; the time until which the mailbox is locked, 0 if it is not."""
        table = schema.mailboxes
        results = []
        for mailbox in items:
            failures = (
                1
                + tx.connection.execute(
                    sa.select(table.c.failed_logins).where(table.c.id == mailbox).with_for_update()
                ).scalar_one()
            )
            until_ms = 0
            if failures >= HARD_LOCK_FAILURES:
                until_ms = FOREVER_MS
            elif failures >= _FREE_FAILURES:
                until_ms = tx.now_ms + min(_LOCK_STEP_MS << (failures - _FREE_FAILURES), _LOCK_CAP_MS)
            tx.connection.execute(
                table.update().where(table.c.id == mailbox).values(failed_logins=failures, locked_until_ms=until_ms)
            )
            self._log(tx, EventKind.LOGIN_FAILED, mailbox)
            if until_ms:
                self._log(tx, EventKind.MAILBOX_LOCKED, mailbox)
            results.append(until_ms)
        return results

    def clear_failures(self, tx: Transaction, items: Sequence[MailboxId]) -> Sequence[None]:
        """Forget the wrong passwords: a right one came."""
        table = schema.mailboxes
        tx.connection.execute(table.update().where(table.c.id.in_(items)).values(failed_logins=0, locked_until_ms=0))
        return [None] * len(items)

    def replace_password(self, tx: Transaction, items: Sequence[NewPassword]) -> Sequence[None]:
        """Put password ways in the place of the old ones, unlock, and log it."""
        table = schema.mailbox_ways
        for item in items:
            tx.connection.execute(table.delete().where(table.c.mailbox == item.mailbox, table.c.way == "password"))
            self._insert_way(tx, item.mailbox, "password", item.fields)
            self._log(tx, item.event, item.mailbox)
        self.clear_failures(tx, [item.mailbox for item in items])
        return [None] * len(items)

    def close(self, tx: Transaction, items: Sequence[Mailbox]) -> Sequence[Exception | None]:
        """Close mailboxes, publish it, and log it. StateError for one that is closed."""
        table = schema.mailboxes
        results: list[Exception | None] = []
        for item in items:
            closed = tx.connection.execute(
                table.update().where(table.c.id == item.id, table.c.status == "open").values(status="closed")
            )
            if closed.rowcount != 1:
                results.append(StateError(f"{item.address} is closed already"))
                continue
            self._directory.close_mailbox(tx, item.id)
            self._log(tx, EventKind.MAILBOX_CLOSED, item.id)
            results.append(None)
        return results


_SELECT: Final = sa.select(
    schema.mailboxes.c.id,
    schema.mailboxes.c.address,
    schema.mailboxes.c.status,
    schema.mailboxes.c.created_at_ms,
    schema.mailboxes.c.quota_bytes,
    schema.mailboxes.c.used_bytes,
    schema.mailboxes.c.failed_logins,
    schema.mailboxes.c.locked_until_ms,
)


def _mailbox(row: sa.Row[*tuple[Any, ...]]) -> Mailbox:
    return Mailbox(
        id=MailboxId(row.id),
        address=row.address,
        status=row.status,
        created_at_ms=row.created_at_ms,
        quota_bytes=row.quota_bytes,
        used_bytes=row.used_bytes,
        failed_logins=row.failed_logins,
        locked_until_ms=row.locked_until_ms,
    )
