"""Rows of the own mailboxes: made, locked, given passwords, closed. Spec: spec/delivery.md, 8 and 14."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import sqlalchemy as sa

from node.errors import CoffreError, NotFoundError, StateError, StoreError
from node.vault import schema
from node.vault.database import Transaction
from node.vault.directory import Directory
from node.vault.lockout import locked_until_ms
from node.vault.log_codes import joined
from node.vault.sealing import RowKeys
from node.vault.session_rows import end_sessions
from node.vault.sharing_rows import SharingRows
from node.vault.way_rows import WayKind, WayRows
from protocol.codec import Value
from protocol.crypto import SealKey
from protocol.details import Details
from protocol.entry import EntryStatus, MailboxEntry
from protocol.ids import MailboxId
from protocol.logleaf import EventKind

__all__ = [
    "Closing",
    "EntryUpdate",
    "Mailbox",
    "MailboxRows",
    "NewPassword",
    "NewQuota",
    "NewRows",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """One own mailbox as lists show it. keys_due: somebody left, and the next log-in makes new keys."""

    id: MailboxId
    address: str
    status: str
    created_at_ms: int
    quota_bytes: int
    used_bytes: int
    failed_logins: int
    locked_until_ms: int
    keys_due: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRows:
    """What is stored of a new mailbox: the entry that is published, and its secrets, wrapped both ways."""

    entry: MailboxEntry
    password_way: dict[str, Value]
    recovery_way: dict[str, Value]
    quota_bytes: int


@dataclass(frozen=True, slots=True)
class EntryUpdate:
    """A change of what is published of a mailbox. update: from the entry in force to the one wanted; keys stay."""

    mailbox: MailboxId
    update: Callable[[MailboxEntry], MailboxEntry]


@dataclass(frozen=True, slots=True)
class NewPassword:
    """A password way that replaces the one there is. event: why, for the log.

    basis: the way whose secrets these are; None: they are those of seal_key.
    """

    mailbox: MailboxId
    fields: dict[str, Value]
    event: EventKind
    seal_key: SealKey
    basis: bytes | None = None


@dataclass(frozen=True, slots=True)
class NewQuota:
    """How much a mailbox may hold."""

    mailbox: MailboxId
    quota_bytes: int


@dataclass(frozen=True, slots=True)
class Closing:
    """A mailbox to close. moved_to: the address to write to instead; empty for none."""

    mailbox: Mailbox
    moved_to: str = ""


def changed_fields(before: MailboxEntry, after: MailboxEntry) -> list[str]:
    """The names of the fields of an entry that differ; never what they say."""
    return [item.name for item in fields(before) if getattr(before, item.name) != getattr(after, item.name)]


class MailboxRows:
    """Reads and writes mailboxes inside transactions, with their events in the log."""

    def __init__(self, keys: RowKeys, directory: Directory, ways: WayRows, sharing: SharingRows) -> None:
        self._keys = keys
        self._directory = directory
        self._ways = ways
        self._sharing = sharing

    def all(self, connection: sa.Connection) -> list[Mailbox]:
        """Every mailbox, closed ones included, by address."""
        return [_mailbox(row) for row in connection.execute(_SELECT.order_by(schema.mailboxes.c.address))]

    def find(self, connection: sa.Connection, address: str) -> Mailbox:
        """The mailbox with this address. NotFoundError."""
        found = connection.execute(_SELECT.where(schema.mailboxes.c.address == address)).one_or_none()
        if found is None:
            raise NotFoundError(f"no mailbox {address} on this node", hint="see: coffre mailbox list")
        return _mailbox(found)

    def find_all(self, connection: sa.Connection, mailboxes: Sequence[MailboxId]) -> list[Mailbox]:
        """The mailboxes with these ids, in their order. NotFoundError."""
        rows = connection.execute(_SELECT.where(schema.mailboxes.c.id.in_(mailboxes)))
        found = {MailboxId(row.id): _mailbox(row) for row in rows}
        for mailbox in mailboxes:
            if mailbox not in found:
                raise NotFoundError(f"no mailbox with the id {mailbox.text} on this node", hint="run: coffre doctor")
        return [found[mailbox] for mailbox in mailboxes]

    def create(self, tx: Transaction, items: Sequence[NewRows]) -> Sequence[Mailbox | Exception]:
        """Insert mailboxes, publish them, and log it. StateError for an address that is taken."""
        results: list[Mailbox | Exception] = []
        published: list[MailboxEntry] = []
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
            self._ways.insert(tx, mailbox, WayKind.PASSWORD, item.password_way)
            self._ways.insert(tx, mailbox, WayKind.RECOVERY, item.recovery_way)
            published.append(item.entry)
            self._log(tx, EventKind.MAILBOX_CREATED, mailbox)
            results.append(_mailbox(tx.connection.execute(_SELECT.where(schema.mailboxes.c.id == mailbox)).one()))
        self._directory.publish_mailboxes(tx, published)
        return results

    def update(self, tx: Transaction, items: Sequence[EntryUpdate]) -> Sequence[bool | Exception]:
        """Publish changed entries; whether each did change. What `update` raises is its item's result."""
        results: list[bool | Exception] = []
        published: dict[MailboxId, MailboxEntry] = {}
        for item in items:
            entry = published.get(item.mailbox) or self._directory.own_mailbox(tx.connection, item.mailbox)
            if entry is None or entry.status is not EntryStatus.OPEN:
                results.append(StateError(f"mailbox {item.mailbox.text} is not open", hint="see: coffre mailbox list"))
                continue
            try:
                changed = item.update(entry)
                self._refuse_kind(tx, entry, changed)
            except CoffreError as error:
                results.append(error)
                continue
            results.append(changed != entry)
            if changed != entry:
                published[item.mailbox] = changed
                if changed.absence != entry.absence:
                    self._note_absence(tx, changed)
                code = joined(changed_fields(entry, changed))
                details = Details(node=self._keys.node_id, mailbox=item.mailbox, code=code)
                tx.log.append(EventKind.MAILBOX_CHANGED, details)
        self._directory.publish_mailboxes(tx, list(published.values()))
        return results

    def set_quota(self, tx: Transaction, items: Sequence[NewQuota]) -> Sequence[Exception | None]:
        """Set quotas, on record. NotFoundError."""
        table, results = schema.mailboxes, list[Exception | None]()
        for item in items:
            changed = table.update().where(table.c.id == item.mailbox).values(quota_bytes=item.quota_bytes)
            if not tx.connection.execute(changed).rowcount:
                results.append(NotFoundError(f"no mailbox {item.mailbox.text} on this node"))
                continue
            details = Details(node=self._keys.node_id, mailbox=item.mailbox, code="quota")
            tx.log.append(EventKind.MAILBOX_CHANGED, details)
            results.append(None)
        return results

    @staticmethod
    def _note_absence(tx: Transaction, entry: MailboxEntry) -> None:
        """When to take it out of the entry again."""
        table, until_ms = schema.mailboxes, 0 if entry.absence is None else entry.absence.until_ms
        tx.connection.execute(table.update().where(table.c.id == entry.mailbox).values(absent_until_ms=until_ms))

    def _refuse_kind(self, tx: Transaction, entry: MailboxEntry, changed: MailboxEntry) -> None:
        """Members are a service's, deputies a person's, and both are persons (spec/identity.md, 8)."""
        if entry.kind is not changed.kind and self._sharing.has_any(tx.connection, entry.mailbox):
            raise StateError(
                f"{entry.address} has members or deputies, or is one, and stays a {entry.kind.value}'s mailbox",
                hint="end that first: coffre mailbox member list, coffre mailbox delegations",
            )

    def _log(self, tx: Transaction, kind: EventKind, mailbox: MailboxId) -> None:
        tx.log.append(kind, Details(node=self._keys.node_id, mailbox=mailbox))

    # -- as accounts (node/vault/accounts.py)

    noun: Final = "a mailbox"
    list_command: Final = "coffre mailbox second-factor list"

    def blinded(self, account: bytes) -> bytes:
        """Under which name sessions and second factors belong to a mailbox."""
        return self._keys.blind("mailbox", account)

    def lock_account(self, tx: Transaction, account: bytes) -> int:
        """Until when a mailbox is locked after failures, 0 if it is not; its row is this transaction's from now on."""
        table = schema.mailboxes
        query = sa.select(table.c.locked_until_ms).where(table.c.id == account).with_for_update()
        until_ms: int = tx.connection.execute(query).scalar_one()
        return until_ms

    def fail(self, tx: Transaction, account: bytes) -> None:
        """A wrong second factor counts as a wrong password."""
        self.record_failure(tx, [MailboxId(account)])

    def note_factor(self, tx: Transaction, kind: EventKind, account: bytes, code: str) -> None:
        """On record."""
        tx.log.append(kind, Details(node=self._keys.node_id, mailbox=MailboxId(account), code=code))

    # -- passwords

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
            until_ms = locked_until_ms(failures, tx.now_ms)
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

    def replace_password(self, tx: Transaction, items: Sequence[NewPassword]) -> Sequence[Exception | None]:
        """Put password ways in the place of the old ones, unlock, and log it.

        StateError where the secrets that were wrapped were replaced meanwhile: they would open nothing.
        """
        results: list[Exception | None] = []
        for item in items:
            if not self._is_present(tx, item):
                results.append(StateError("the mailbox got new keys at the same moment", hint="try again"))
                continue
            self._ways.delete_kind(tx, item.mailbox, WayKind.PASSWORD)
            self._ways.insert(tx, item.mailbox, WayKind.PASSWORD, item.fields)
            self._log(tx, item.event, item.mailbox)
            self.clear_failures(tx, [item.mailbox])
            results.append(None)
        return results

    def _is_present(self, tx: Transaction, item: NewPassword) -> bool:
        if item.basis is not None:
            return self._ways.recovery(tx.connection, item.mailbox).row == item.basis
        entry = self._directory.own_mailbox(tx.connection, item.mailbox)
        return entry is not None and entry.seal_key == item.seal_key

    def close(self, tx: Transaction, items: Sequence[Closing]) -> Sequence[Exception | None]:
        """Close mailboxes, publish it, end who acted for them and for whom they did, and log it.

        A closed one may be given a new address, or another one. StateError if nothing would change.
        """
        results: list[Exception | None] = []
        published: dict[MailboxId, MailboxEntry] = {}
        for item in items:
            mailbox = item.mailbox
            entry = published.get(mailbox.id) or self._directory.own_mailbox(tx.connection, mailbox.id)
            if entry is None:
                raise StoreError(f"mailbox {mailbox.id.text} has no entry in the own feed", hint="run: coffre doctor")
            was_open = mailbox.status == "open" and self._set_closed(tx, mailbox)
            if not was_open and (not item.moved_to or entry.moved_to == item.moved_to):
                results.append(StateError(f"{mailbox.address} is closed already"))
                continue
            refusal = self._refuse_notice(tx, item)
            if refusal is not None:
                raise refusal
            published[mailbox.id] = replace(entry, status=EntryStatus.CLOSED, moved_to=item.moved_to or None)
            if was_open:
                self._sharing.end_all(tx, mailbox.id)
                end_sessions(tx, self.blinded(mailbox.id))
            code = "moved" if item.moved_to else None
            tx.log.append(EventKind.MAILBOX_CLOSED, Details(node=self._keys.node_id, mailbox=mailbox.id, code=code))
            results.append(None)
        self._directory.publish_mailboxes(tx, list(published.values()))
        return results

    @staticmethod
    def _set_closed(tx: Transaction, mailbox: Mailbox) -> bool:
        table = schema.mailboxes
        query = table.update().where(table.c.id == mailbox.id, table.c.status == "open").values(status="closed")
        return tx.connection.execute(query).rowcount == 1

    def _refuse_notice(self, tx: Transaction, item: Closing) -> StateError | None:
        """An own address must be one that takes letters; others are for whoever sends to judge."""
        if not item.moved_to:
            return None
        if item.moved_to == item.mailbox.address:
            return StateError(f"{item.moved_to} is the mailbox that is to be closed")
        own = self._directory.institution(tx.connection, self._keys.node_id).domains
        if item.moved_to.rpartition("@")[2] not in own:
            return None
        table = schema.mailboxes
        found = tx.connection.execute(
            sa.select(table.c.id).where(table.c.address == item.moved_to, table.c.status == "open")
        ).one_or_none()
        if found is None:
            return StateError(f"{item.moved_to} is no open mailbox of this node", hint="make it first")
        return None


_SELECT: Final = sa.select(
    schema.mailboxes.c.id,
    schema.mailboxes.c.address,
    schema.mailboxes.c.status,
    schema.mailboxes.c.created_at_ms,
    schema.mailboxes.c.quota_bytes,
    schema.mailboxes.c.used_bytes,
    schema.mailboxes.c.failed_logins,
    schema.mailboxes.c.locked_until_ms,
    schema.mailboxes.c.renewal,
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
        keys_due=bool(row.renewal),
    )
