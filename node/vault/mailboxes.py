"""Own mailboxes: making, opening by password, throttling, password change, recovery, closing.

Spec: spec/delivery.md, 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
import trio

from node.errors import LockedError, NotFoundError, StateError, StoreError, WrongSecretError
from node.vault import schema, ways
from node.vault.database import Database, Transaction
from node.vault.directory import Directory
from node.vault.sealing import RowKeys, new_row_id
from node.vault.ways import MailboxSecrets
from node.world import World
from protocol.codec import FieldReader, Value
from protocol.crypto import SealKey, SealSecret, Secret
from protocol.details import Details
from protocol.entry import MailboxEntry
from protocol.ids import MailboxId
from protocol.logleaf import EventKind

__all__ = ["Mailbox", "Mailboxes", "NewMailbox", "OpenMailbox"]

# Two Argon2id at a time: each takes 64 MiB and a core.
_ARGON_AT_ONCE: Final = 2
_FREE_FAILURES: Final = 5
_HARD_LOCK_FAILURES: Final = 20
_LOCK_STEP_MS: Final = 60_000
_LOCK_CAP_MS: Final = 3_600_000
_FOREVER_MS: Final = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMailbox:
    """What makes a mailbox: the profile that will be published, without keys."""

    profile: MailboxEntry
    secrets: MailboxSecrets
    password_way: dict[str, Value]
    recovery_way: dict[str, Value]
    quota_bytes: int


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


@dataclass(frozen=True, slots=True)
class OpenMailbox:
    """A mailbox whose secrets are unwrapped. Lives as long as the session that opened it, in memory only."""

    id: MailboxId
    address: str
    secrets: MailboxSecrets


@dataclass(frozen=True, slots=True)
class _Failure:
    mailbox: MailboxId
    locked_until_ms: int


@dataclass(frozen=True, slots=True)
class _NewWay:
    mailbox: MailboxId
    fields: dict[str, Value]
    event: EventKind


class Mailboxes:
    """The node's own mailboxes."""

    def __init__(
        self, database: Database, keys: RowKeys, directory: Directory, recovery_key: SealKey, world: World
    ) -> None:
        self._database = database
        self._keys = keys
        self._directory = directory
        self._recovery_key = recovery_key
        self._world = world
        self._argon = trio.CapacityLimiter(_ARGON_AT_ONCE)

    # -- finding

    async def all(self) -> list[Mailbox]:
        """Every mailbox, closed ones included, by address."""

        def rows(connection: sa.Connection) -> list[Mailbox]:
            return [_mailbox(row) for row in connection.execute(_SELECT.order_by(schema.mailboxes.c.address))]

        return await self._database.read(rows)

    async def find(self, address: str) -> Mailbox:
        """The mailbox with this address; NotFoundError with the known ones alike."""

        def row(connection: sa.Connection) -> Mailbox | None:
            found = connection.execute(_SELECT.where(schema.mailboxes.c.address == address)).one_or_none()
            return None if found is None else _mailbox(found)

        mailbox = await self._database.read(row)
        if mailbox is None:
            raise NotFoundError(f"no mailbox {address} on this node", hint="see: coffre mailbox list")
        return mailbox

    # -- making

    async def create(
        self, profile: MailboxEntry, secrets: MailboxSecrets, password: Secret, *, quota_bytes: int
    ) -> Mailbox:
        """Make a mailbox, wrap its secrets both ways, publish its entry, all in one transaction.

        profile: the entry to publish; its id and keys are those of `secrets`. StateError if the address is taken.
        """
        node, mailbox = self._keys.node_id, profile.mailbox
        item = NewMailbox(
            profile=profile,
            secrets=secrets,
            password_way=await self._wrap(secrets, password, mailbox),
            recovery_way=ways.wrap_for_recovery(secrets, self._recovery_key, node=node, mailbox=mailbox),
            quota_bytes=quota_bytes,
        )
        return await self._database.write(self._create, item)

    async def _wrap(self, secrets: MailboxSecrets, password: Secret, mailbox: MailboxId) -> dict[str, Value]:
        if len(password.reveal().decode("utf-8", "replace")) < ways.MIN_PASSWORD_CHARACTERS:
            raise WrongSecretError(
                f"a password has at least {ways.MIN_PASSWORD_CHARACTERS} characters", hint="choose a longer one"
            )

        def wrap() -> dict[str, Value]:
            return ways.wrap_by_password(
                secrets,
                password,
                node=self._keys.node_id,
                mailbox=mailbox,
                random_bytes=self._world.random_bytes,
            )

        async with self._argon:
            return await self._world.run_blocking(wrap)

    def _create(self, tx: Transaction, items: Sequence[NewMailbox]) -> Sequence[Mailbox | Exception]:
        results: list[Mailbox | Exception] = []
        for item in items:
            address = item.profile.address
            taken = tx.connection.execute(
                sa.select(schema.mailboxes.c.id).where(schema.mailboxes.c.address == address)
            ).one_or_none()
            if taken is not None:
                results.append(StateError(f"{address} exists already", hint="see: coffre mailbox list"))
                continue
            mailbox = item.profile.mailbox
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
            self._directory.publish_mailbox(tx, item.profile)
            self._log(tx, EventKind.MAILBOX_CREATED, mailbox)
            results.append(_mailbox(tx.connection.execute(_SELECT.where(schema.mailboxes.c.id == mailbox)).one()))
        return results

    def _insert_way(self, tx: Transaction, mailbox: MailboxId, way: str, fields: dict[str, Value]) -> None:
        row = new_row_id(tx.now_ms, self._world.random_bytes)
        sealed = self._keys.seal_map("mailbox_ways", row, "sealed", {**fields, "mb": mailbox})
        tx.connection.execute(
            schema.mailbox_ways.insert().values(
                id=row, mailbox=mailbox, way=way, created_at_ms=tx.now_ms, sealed=sealed
            )
        )

    def _log(self, tx: Transaction, kind: EventKind, mailbox: MailboxId) -> None:
        tx.log.append(kind, Details(node=self._keys.node_id, mailbox=mailbox))

    # -- opening

    async def open(self, address: str, password: Secret) -> OpenMailbox:
        """Unwrap the mailbox's secrets. WrongSecretError, LockedError (with the time), NotFoundError, StateError."""
        mailbox = await self.find(address)
        if mailbox.status != "open":
            raise StateError(f"{address} is closed", hint="an administrator can open its letters with the recovery key")
        self._refuse_locked(mailbox)
        fields = await self._database.read(self._read_way, mailbox.id, "password")
        node = self._keys.node_id
        try:
            async with self._argon:
                secrets = await self._world.run_blocking(
                    lambda: ways.open_by_password(fields, password, node=node, mailbox=mailbox.id)
                )
        except WrongSecretError:
            locked_until_ms = await self._database.write(self._record_failure, mailbox.id)
            if locked_until_ms > self._world.now_ms():
                raise self._locked(address, locked_until_ms) from None
            raise WrongSecretError(
                f"wrong password for {address}", hint="try again, or: coffre mailbox recover"
            ) from None
        if mailbox.failed_logins:
            await self._database.write(self._clear_failures, mailbox.id)
        return OpenMailbox(mailbox.id, address, secrets)

    def _refuse_locked(self, mailbox: Mailbox) -> None:
        if mailbox.locked_until_ms > self._world.now_ms():
            raise self._locked(mailbox.address, mailbox.locked_until_ms)

    def _locked(self, address: str, until_ms: int) -> LockedError:
        if until_ms >= _FOREVER_MS:
            return LockedError(
                f"{address} is locked after {_HARD_LOCK_FAILURES} wrong passwords", hint="coffre mailbox recover"
            )
        seconds = max(1, (until_ms - self._world.now_ms() + 999) // 1000)
        return LockedError(f"{address} is locked after wrong passwords", hint=f"try again in {seconds} s")

    def _read_way(self, connection: sa.Connection, mailbox: MailboxId, way: str) -> FieldReader:
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

    def _record_failure(self, tx: Transaction, items: Sequence[MailboxId]) -> Sequence[int]:
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
            if failures >= _HARD_LOCK_FAILURES:
                until_ms = _FOREVER_MS
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

    def _clear_failures(self, tx: Transaction, items: Sequence[MailboxId]) -> Sequence[None]:
        table = schema.mailboxes
        tx.connection.execute(table.update().where(table.c.id.in_(items)).values(failed_logins=0, locked_until_ms=0))
        return [None] * len(items)

    # -- changing

    async def change_password(self, opened: OpenMailbox, password: Secret) -> None:
        """Wrap the secrets under a new password; the old one opens nothing here any more."""
        fields = await self._wrap(opened.secrets, password, opened.id)
        await self._database.write(self._replace_password, _NewWay(opened.id, fields, EventKind.PASSWORD_CHANGED))

    async def recover(self, address: str, recovery: SealSecret, password: Secret) -> OpenMailbox:
        """Open a mailbox by the institution's recovery key and give it a new password. On record in the log."""
        mailbox = await self.find(address)
        fields = await self._database.read(self._read_way, mailbox.id, "recovery")
        node = self._keys.node_id
        secrets = ways.open_by_recovery(fields, recovery, node=node, mailbox=mailbox.id)
        way = await self._wrap(secrets, password, mailbox.id)
        await self._database.write(self._replace_password, _NewWay(mailbox.id, way, EventKind.MAILBOX_RECOVERED))
        return OpenMailbox(mailbox.id, address, secrets)

    def _replace_password(self, tx: Transaction, items: Sequence[_NewWay]) -> Sequence[None]:
        table = schema.mailbox_ways
        for item in items:
            tx.connection.execute(table.delete().where(table.c.mailbox == item.mailbox, table.c.way == "password"))
            self._insert_way(tx, item.mailbox, "password", item.fields)
            self._log(tx, item.event, item.mailbox)
        self._clear_failures(tx, [item.mailbox for item in items])
        return [None] * len(items)

    async def close(self, address: str) -> None:
        """Close a mailbox: published as closed; nothing arrives, its letters stay. StateError if it is closed."""
        mailbox = await self.find(address)
        await self._database.write(self._close, mailbox)

    def _close(self, tx: Transaction, items: Sequence[Mailbox]) -> Sequence[Exception | None]:
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
