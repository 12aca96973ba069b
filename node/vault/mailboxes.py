"""Own mailboxes: making, opening by password, throttling, password change, closing. Spec: spec/delivery.md, 8 and 14.

New keys: node/vault/new_keys.py; the recovery key: node/vault/mailbox_recovery.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from node.errors import ConfigError, LockedError, StateError, WrongSecretError
from node.vault import ways
from node.vault.access import OpenMailbox
from node.vault.database import Database, Transaction
from node.vault.directory import Directory
from node.vault.lockout import FOREVER_MS, HARD_LOCK_FAILURES
from node.vault.log_ins import LogIns
from node.vault.mailbox_rows import Closing, EntryUpdate, Mailbox, MailboxRows, NewPassword, NewQuota, NewRows
from node.vault.new_keys import NewKeys
from node.vault.password_ways import PasswordWays, is_first_password
from node.vault.sealing import RowKeys
from node.vault.sharing_rows import SharingRows
from node.vault.way_rows import WayKind, WayRows
from node.vault.ways import MailboxSecrets
from node.world import World
from protocol.crypto import SealKey, Secret
from protocol.entry import Accepts, MailboxEntry, MailboxKind
from protocol.errors import LocalProtocolError
from protocol.ids import MailboxId
from protocol.logleaf import EventKind
from protocol.payload import MAX_ATTACHMENTS_BYTES

__all__ = ["Mailboxes", "NewMailbox"]

# 2^53 and more no browser and no JSON reader counts exactly.
_MAX_QUOTA_BYTES: Final = 2**53
_ALL_LETTERS: Final = Accepts(MAX_ATTACHMENTS_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMailbox:
    """A mailbox to be made: what will be published of it, and its fresh secrets."""

    entry: MailboxEntry
    secrets: MailboxSecrets
    quota_bytes: int


class Mailboxes:
    """The node's own mailboxes."""

    def __init__(
        self,
        *,
        database: Database,
        keys: RowKeys,
        directory: Directory,
        sharing: SharingRows,
        way_rows: WayRows,
        passwords: PasswordWays,
        new_keys: NewKeys,
        recovery_key: SealKey,
        world: World,
    ) -> None:
        self._database = database
        self._node = keys.node_id
        self._ways = way_rows
        self._sharing = sharing
        self._rows = MailboxRows(keys, directory, self._ways, sharing)
        self.passwords = passwords
        self._new_keys = new_keys
        self._recovery_key = recovery_key
        self._world = world
        self.log_ins = LogIns(database, keys)

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

        ConfigError if what is said of it cannot be published, and for a quota that is none.
        """
        if quota_bytes:  # 0: never made, but to see what would be published
            _check_quota(quota_bytes)
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

    def prepare_like(self, entry: MailboxEntry, quota_bytes: int) -> NewMailbox:
        """A new mailbox of which the same will be published, but for its id and keys, which are fresh."""
        secrets = ways.make_secrets(self._world.random_bytes)
        own = replace(
            entry,
            mailbox=MailboxId(self._world.random_bytes(MailboxId.LENGTH)),
            signing_key=secrets.sign.verify_key,
            seal_key=secrets.read.seal_key,
        )
        return NewMailbox(entry=own, secrets=secrets, quota_bytes=quota_bytes)

    async def create(self, new: NewMailbox, password: Secret) -> OpenMailbox:
        """Make a mailbox: wrap its secrets both ways, publish its entry, all in one transaction.

        StateError if the address is taken, WrongSecretError if the password is too short.
        """
        entry, secrets = new.entry, new.secrets
        rows = NewRows(
            entry=entry,
            password_way=await self.passwords.wrap(secrets, password, entry.mailbox),
            recovery_way=ways.wrap_for_recovery(secrets, self._recovery_key, node=self._node, mailbox=entry.mailbox),
            quota_bytes=new.quota_bytes,
        )
        made = await self._database.write(self._rows.create, rows)
        return OpenMailbox(made.id, made.address, secrets)

    def create_kept(self, tx: Transaction, new: NewMailbox) -> Mailbox | Exception:
        """Make a mailbox inside a transaction whose secrets the caller keeps: its password is drawn and forgotten."""
        password = ways.draw_first_password(self._world.random_bytes)
        return self._rows.create(tx, self._first_rows([(new, password)]))[0]

    async def create_first(self, made: Sequence[tuple[NewMailbox, Secret]]) -> list[Mailbox | Exception]:
        """Make mailboxes with drawn first passwords, in one transaction: each opens once, to set another one.

        An exception in place of a mailbox whose address is taken.
        """
        return await self._database.write_many(
            self._rows.create, await self._world.run_blocking(self._first_rows, made)
        )

    def _first_rows(self, made: Sequence[tuple[NewMailbox, Secret]]) -> list[NewRows]:
        return [
            NewRows(
                entry=new.entry,
                password_way=self.passwords.wrap_drawn(new.secrets, password, new.entry.mailbox),
                recovery_way=ways.wrap_for_recovery(
                    new.secrets, self._recovery_key, node=self._node, mailbox=new.entry.mailbox
                ),
                quota_bytes=new.quota_bytes,
            )
            for new, password in made
        ]

    # -- opening

    async def open(
        self, address: str, password: Secret, *, to_set_another: bool = False, halfway: bool = False
    ) -> OpenMailbox:
        """Unwrap the mailbox's secrets; new ones are made if they are due.

        to_set_another: by whom the password is changed next. For anything else a first password, which others have
        seen, opens nothing: StateError.
        halfway: more is asked than the password. Failures stay counted and no log-in is on record before `complete`.
        WrongSecretError, LockedError (with the time), NotFoundError, StateError.
        """
        await self._end_due()
        mailbox = await self.find(address)
        if mailbox.status != "open":
            raise StateError(f"{address} is closed", hint="an administrator can open its letters with the recovery key")
        self._refuse_locked(mailbox)
        way = await self._database.read(self._ways.newest, mailbox.id, WayKind.PASSWORD)
        if way is None:
            await self.passwords.spend_a_check(password)
            raise WrongSecretError(
                f"{address} has no password of its own any more",
                hint="its members open it (--as), or: coffre mailbox recover",
            )
        fields = self._ways.open(way)
        try:
            secrets = await self.passwords.open(fields, password, mailbox.id)
        except WrongSecretError:
            if is_first_password(fields):
                # A first password is checked in no time, and that must not tell which mailboxes still have theirs.
                await self.passwords.spend_a_check(password)
            locked_until_ms = await self._database.write(self._rows.record_failure, mailbox.id)
            if locked_until_ms > self._world.now_ms():
                raise self._locked(address, locked_until_ms) from None
            raise WrongSecretError(
                f"wrong password for {address}", hint="try again, or: coffre mailbox recover"
            ) from None
        opened = await self._new_keys.with_former(OpenMailbox(mailbox.id, address, secrets))
        if not halfway:
            await self._complete(opened, mailbox)
        if (is_first := is_first_password(fields)) and not to_set_another:
            raise StateError(
                f"{address} still has its first password, which others have seen",
                hint=f"set another one: coffre mailbox password {address}",
            )
        renewed = await self._new_keys.renewed(opened, way.row, password, is_first=is_first)
        if renewed is None:
            return await self.open(address, password, to_set_another=to_set_another, halfway=halfway)
        return renewed

    async def complete(self, opened: OpenMailbox) -> None:
        """All that is asked of a log-in was right: on record, and earlier failures are forgotten."""
        await self._complete(opened, await self.find(opened.address))

    async def _complete(self, opened: OpenMailbox, mailbox: Mailbox) -> None:
        if mailbox.failed_logins:
            await self._database.write(self._rows.clear_failures, mailbox.id)
        await self.log_ins.record(opened, after_failures=mailbox.failed_logins > 0)

    async def still_opens(self, opened: OpenMailbox, password: Secret) -> bool:
        """Whether this is the present password of a mailbox that is open: no try, so nothing is counted."""
        way = await self._database.read(self._ways.newest, opened.id, WayKind.PASSWORD)
        if way is None:
            return False
        fields = self._ways.open(way)
        try:
            await self.passwords.open(fields, password, opened.id)
        except WrongSecretError:
            return False
        return True

    async def has_first_password(self, mailbox: MailboxId) -> bool:
        """Whether its password is still the one that was handed out."""
        way = await self._database.read(self._ways.newest, mailbox, WayKind.PASSWORD)
        return way is not None and is_first_password(self._ways.open(way))

    @property
    def rows(self) -> MailboxRows:
        """For what counts failures in transactions of its own."""
        return self._rows

    async def _end_due(self) -> None:
        """A deputy's time may have ended while the node was not running."""
        now_ms = self._world.now_ms()
        if await self._database.read(self._sharing.due, now_ms):
            await self._database.write(self._sharing.end_due, now_ms)

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
        """Wrap the secrets under a new password; the old one opens nothing here any more. StateError for a deputy."""
        if opened.actor is not None:
            raise StateError(f"only {opened.address} itself changes its password", hint="log in with the present one")
        fields = await self.passwords.wrap(opened.secrets, password, opened.id)
        new = NewPassword(opened.id, fields, EventKind.PASSWORD_CHANGED, opened.secrets.read.seal_key)
        await self._database.write(self._rows.replace_password, new)

    async def update(self, updates: Sequence[EntryUpdate]) -> list[bool | Exception]:
        """Publish changed entries in one transaction; whether each did change, or why it could not."""
        return await self._database.write_many(self._rows.update, updates)

    async def set_quota(self, mailbox: MailboxId, quota_bytes: int) -> None:
        """How much a mailbox may hold from now on; what it holds stays. On record. ConfigError, NotFoundError."""
        _check_quota(quota_bytes)
        await self._database.write(self._rows.set_quota, NewQuota(mailbox, quota_bytes))

    async def close_all(self, mailboxes: Sequence[MailboxId]) -> list[Exception | None]:
        """Close mailboxes in one transaction; an exception in place of None for one that is closed."""
        found = await self._database.read(self._rows.find_all, mailboxes)
        return await self._database.write_many(self._rows.close, [Closing(mailbox) for mailbox in found])

    async def close(self, address: str, *, moved_to: str = "") -> None:
        """Close a mailbox: published as closed; nothing arrives, its letters stay.

        moved_to: the address to write to instead, which a closed mailbox may be given as well. StateError if it is
        closed and nothing changes, or the new address is no open mailbox of this node.
        """
        mailbox = await self.find(address)
        await self._database.write(self._rows.close, Closing(mailbox, moved_to))


def _check_quota(quota_bytes: int) -> None:
    if not 0 < quota_bytes < _MAX_QUOTA_BYTES:
        raise ConfigError("a quota is above 0, and below 8 PB", hint="for example 20 GB")
