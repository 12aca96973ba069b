"""Own mailboxes: making, opening by password, throttling, password change, recovery, closing.

Spec: spec/delivery.md, 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import trio

from node.errors import ConfigError, LockedError, StateError, WrongSecretError
from node.vault import ways
from node.vault.database import Database
from node.vault.directory import Directory
from node.vault.mailbox_rows import FOREVER_MS, HARD_LOCK_FAILURES, Mailbox, MailboxRows, NewPassword, NewRows
from node.vault.sealing import RowKeys
from node.vault.ways import MailboxSecrets
from node.world import World
from protocol.codec import Value
from protocol.crypto import SealKey, SealSecret, Secret
from protocol.entry import Accepts, MailboxEntry, MailboxKind
from protocol.errors import LocalProtocolError
from protocol.ids import MailboxId
from protocol.logleaf import EventKind
from protocol.payload import MAX_ATTACHMENTS_BYTES

__all__ = ["Mailbox", "Mailboxes", "NewMailbox", "OpenMailbox"]

# Two Argon2id at a time: each takes 64 MiB and a core.
_ARGON_AT_ONCE: Final = 2
_ALL_LETTERS: Final = Accepts(MAX_ATTACHMENTS_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMailbox:
    """A mailbox to be made: what will be published of it, and its fresh secrets."""

    entry: MailboxEntry
    secrets: MailboxSecrets
    quota_bytes: int


@dataclass(frozen=True, slots=True)
class OpenMailbox:
    """A mailbox whose secrets are unwrapped. Lives as long as the session that opened it, in memory only."""

    id: MailboxId
    address: str
    secrets: MailboxSecrets


class Mailboxes:
    """The node's own mailboxes."""

    def __init__(
        self, database: Database, keys: RowKeys, directory: Directory, recovery_key: SealKey, world: World
    ) -> None:
        self._database = database
        self._node = keys.node_id
        self._rows = MailboxRows(keys, directory, world.random_bytes)
        self._recovery_key = recovery_key
        self._world = world
        self._argon = trio.CapacityLimiter(_ARGON_AT_ONCE)

    # -- finding

    async def all(self) -> list[Mailbox]:
        """Every mailbox, closed ones included, by address."""
        return await self._database.read(self._rows.all)

    async def find(self, address: str) -> Mailbox:
        """The mailbox with this address. NotFoundError."""
        return await self._database.read(self._rows.find, address)

    # -- making

    def prepare(
        self,
        *,
        address: str,
        name: str,
        quota_bytes: int,
        kind: MailboxKind = MailboxKind.PERSON,
        accepts: Accepts = _ALL_LETTERS,
        profession: str = "",
        specialty: str = "",
        unit: str = "",
        town: str = "",
    ) -> NewMailbox:
        """A new mailbox with fresh keys, for `create`; nothing is stored yet.

        ConfigError if what is said of it cannot be published.
        """
        secrets = ways.make_secrets(self._world.random_bytes)
        entry = MailboxEntry(
            mailbox=MailboxId(self._world.random_bytes(MailboxId.LENGTH)),
            kind=kind,
            address=address,
            name=name,
            signing_key=secrets.sign.verify_key,
            seal_key=secrets.read.seal_key,
            accepts=accepts,
            profession=profession,
            specialty=specialty,
            unit=unit,
            town=town,
        )
        try:
            entry.encode()
        except LocalProtocolError as error:
            raise ConfigError(f"{address}: {error}") from None
        return NewMailbox(entry=entry, secrets=secrets, quota_bytes=quota_bytes)

    async def create(self, new: NewMailbox, password: Secret) -> OpenMailbox:
        """Make a mailbox: wrap its secrets both ways, publish its entry, all in one transaction.

        StateError if the address is taken, WrongSecretError if the password is too short.
        """
        entry, secrets = new.entry, new.secrets
        rows = NewRows(
            entry=entry,
            password_way=await self._wrap(secrets, password, entry.mailbox),
            recovery_way=ways.wrap_for_recovery(secrets, self._recovery_key, node=self._node, mailbox=entry.mailbox),
            quota_bytes=new.quota_bytes,
        )
        made = await self._database.write(self._rows.create, rows)
        return OpenMailbox(made.id, made.address, secrets)

    async def _wrap(self, secrets: MailboxSecrets, password: Secret, mailbox: MailboxId) -> dict[str, Value]:
        if len(password.reveal().decode("utf-8", "replace")) < ways.MIN_PASSWORD_CHARACTERS:
            raise WrongSecretError(
                f"a password has at least {ways.MIN_PASSWORD_CHARACTERS} characters", hint="choose a longer one"
            )

        def wrap() -> dict[str, Value]:
            return ways.wrap_by_password(
                secrets,
                password,
                node=self._node,
                mailbox=mailbox,
                random_bytes=self._world.random_bytes,
            )

        async with self._argon:
            return await self._world.run_blocking(wrap)

    # -- opening

    async def open(self, address: str, password: Secret) -> OpenMailbox:
        """Unwrap the mailbox's secrets. WrongSecretError, LockedError (with the time), NotFoundError, StateError."""
        mailbox = await self.find(address)
        if mailbox.status != "open":
            raise StateError(f"{address} is closed", hint="an administrator can open its letters with the recovery key")
        self._refuse_locked(mailbox)
        fields = await self._database.read(self._rows.read_way, mailbox.id, "password")
        try:
            async with self._argon:
                secrets = await self._world.run_blocking(
                    lambda: ways.open_by_password(fields, password, node=self._node, mailbox=mailbox.id)
                )
        except WrongSecretError:
            locked_until_ms = await self._database.write(self._rows.record_failure, mailbox.id)
            if locked_until_ms > self._world.now_ms():
                raise self._locked(address, locked_until_ms) from None
            raise WrongSecretError(
                f"wrong password for {address}", hint="try again, or: coffre mailbox recover"
            ) from None
        if mailbox.failed_logins:
            await self._database.write(self._rows.clear_failures, mailbox.id)
        return OpenMailbox(mailbox.id, address, secrets)

    def _refuse_locked(self, mailbox: Mailbox) -> None:
        if mailbox.locked_until_ms > self._world.now_ms():
            raise self._locked(mailbox.address, mailbox.locked_until_ms)

    def _locked(self, address: str, until_ms: int) -> LockedError:
        if until_ms >= FOREVER_MS:
            return LockedError(
                f"{address} is locked after {HARD_LOCK_FAILURES} wrong passwords", hint="coffre mailbox recover"
            )
        seconds = max(1, (until_ms - self._world.now_ms() + 999) // 1000)
        return LockedError(f"{address} is locked after wrong passwords", hint=f"try again in {seconds} s")

    # -- changing

    async def change_password(self, opened: OpenMailbox, password: Secret) -> None:
        """Wrap the secrets under a new password; the old one opens nothing here any more."""
        fields = await self._wrap(opened.secrets, password, opened.id)
        await self._database.write(
            self._rows.replace_password, NewPassword(opened.id, fields, EventKind.PASSWORD_CHANGED)
        )

    async def recover(self, address: str, recovery: SealSecret, password: Secret) -> OpenMailbox:
        """Open a mailbox by the institution's recovery key and give it a new password. On record in the log."""
        mailbox = await self.find(address)
        fields = await self._database.read(self._rows.read_way, mailbox.id, "recovery")
        secrets = ways.open_by_recovery(fields, recovery, node=self._node, mailbox=mailbox.id)
        way = await self._wrap(secrets, password, mailbox.id)
        await self._database.write(
            self._rows.replace_password, NewPassword(mailbox.id, way, EventKind.MAILBOX_RECOVERED)
        )
        return OpenMailbox(mailbox.id, address, secrets)

    async def close(self, address: str) -> None:
        """Close a mailbox: published as closed; nothing arrives, its letters stay. StateError if it is closed."""
        mailbox = await self.find(address)
        await self._database.write(self._rows.close, mailbox)
