"""Own mailboxes: making, opening by password, throttling, password change, new keys, recovery, closing.

Spec: spec/delivery.md, 8 and 14; spec/identity.md, 8.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import trio

from node.errors import ConfigError, LockedError, StateError, WrongSecretError
from node.vault import ways
from node.vault.access import OpenMailbox
from node.vault.database import Database, Transaction
from node.vault.directory import Directory
from node.vault.lockout import FOREVER_MS, HARD_LOCK_FAILURES
from node.vault.log_ins import LogIns
from node.vault.mailbox_rows import (
    Closing,
    EntryUpdate,
    Mailbox,
    MailboxRows,
    NewPassword,
    NewQuota,
    NewRows,
)
from node.vault.passphrase import DEFAULT_COST
from node.vault.renewal import LEAKED, RESET, KeyChange, KeyRenewal
from node.vault.sealing import RowKeys
from node.vault.sharing_rows import SharingRows
from node.vault.way_rows import StoredWay, WayKind, WayRows
from node.vault.ways import MailboxSecrets
from node.world import World
from protocol.codec import Value
from protocol.crypto import SealKey, SealSecret, Secret, argon2id
from protocol.entry import Accepts, MailboxEntry, MailboxKind
from protocol.errors import LocalProtocolError
from protocol.ids import MailboxId
from protocol.logleaf import EventKind
from protocol.payload import MAX_ATTACHMENTS_BYTES

__all__ = ["EntryUpdate", "Mailbox", "Mailboxes", "NewMailbox", "OpenMailbox"]

# Two Argon2id at a time: each takes 64 MiB and a core.
_ARGON_AT_ONCE: Final = 2
# 2^53 and more no browser and no JSON reader counts exactly.
_MAX_QUOTA_BYTES: Final = 2**53
_ALL_LETTERS: Final = Accepts(MAX_ATTACHMENTS_BYTES)
# A way in that is only there to be replaced by its owner.
_FIRST: Final = "first"


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
        database: Database,
        keys: RowKeys,
        directory: Directory,
        sharing: SharingRows,
        recovery_key: SealKey,
        world: World,
    ) -> None:
        self._database = database
        self._node = keys.node_id
        self._ways = WayRows(keys, world.random_bytes)
        self._sharing = sharing
        self._rows = MailboxRows(keys, directory, self._ways, sharing)
        self._renewal = KeyRenewal(self._node, directory, self._ways, sharing, recovery_key)
        self._recovery_key = recovery_key
        self._world = world
        self.log_ins = LogIns(database, keys)
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
            password_way=await self._wrap(secrets, password, entry.mailbox),
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
                password_way={
                    **ways.wrap_by_password(
                        new.secrets,
                        password,
                        node=self._node,
                        mailbox=new.entry.mailbox,
                        random_bytes=self._world.random_bytes,
                        cost=ways.FIRST_COST,
                    ),
                    _FIRST: True,
                },
                recovery_way=ways.wrap_for_recovery(
                    new.secrets, self._recovery_key, node=self._node, mailbox=new.entry.mailbox
                ),
                quota_bytes=new.quota_bytes,
            )
            for new, password in made
        ]

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
            await self.spend_a_check(password)
            raise WrongSecretError(
                f"{address} has no password of its own any more",
                hint="its members open it (--as), or: coffre mailbox recover",
            )
        fields = self._ways.open(way)
        try:
            async with self._argon:
                secrets = await self._world.run_blocking(
                    lambda: ways.open_by_password(fields, password, node=self._node, mailbox=mailbox.id)
                )
        except WrongSecretError:
            if _FIRST in fields:
                # A first password is checked in no time, and that must not tell which mailboxes still have theirs.
                await self.spend_a_check(password)
            locked_until_ms = await self._database.write(self._rows.record_failure, mailbox.id)
            if locked_until_ms > self._world.now_ms():
                raise self._locked(address, locked_until_ms) from None
            raise WrongSecretError(
                f"wrong password for {address}", hint="try again, or: coffre mailbox recover"
            ) from None
        opened = await self._with_former(OpenMailbox(mailbox.id, address, secrets))
        if not halfway:
            await self._complete(opened, mailbox)
        if (is_first := _FIRST in fields) and not to_set_another:
            raise StateError(
                f"{address} still has its first password, which others have seen",
                hint=f"set another one: coffre mailbox password {address}",
            )
        renewed = await self.renewed(opened, way.row, password, is_first=is_first)
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
            async with self._argon:
                await self._world.run_blocking(
                    lambda: ways.open_by_password(fields, password, node=self._node, mailbox=opened.id)
                )
        except WrongSecretError:
            return False
        return True

    async def has_first_password(self, mailbox: MailboxId) -> bool:
        """Whether its password is still the one that was handed out."""
        way = await self._database.read(self._ways.newest, mailbox, WayKind.PASSWORD)
        return way is not None and _FIRST in self._ways.open(way)

    @property
    def rows(self) -> MailboxRows:
        """For what counts failures in transactions of its own."""
        return self._rows

    async def spend_a_check(self, password: Secret) -> None:
        """The work of checking a password, for a mailbox that does not exist: the time must not tell."""
        salt = self._world.random_bytes(16)
        cost = DEFAULT_COST
        async with self._argon:
            await self._world.run_blocking(
                lambda: argon2id(password.reveal(), salt=salt, operations=cost.operations, memory_kib=cost.memory_kib)
            )

    async def _end_due(self) -> None:
        """A deputy's time may have ended while the node was not running."""
        now_ms = self._world.now_ms()
        if await self._database.read(self._sharing.due, now_ms):
            await self._database.write(self._sharing.end_due, now_ms)

    async def _with_former(self, opened: OpenMailbox) -> OpenMailbox:
        former = await self._database.read(self._ways.former, opened.id, opened.secrets.read)
        return replace(opened, secrets=replace(opened.secrets, former=former))

    async def renewed(
        self, opened: OpenMailbox, basis: bytes, password: Secret | None, *, is_first: bool = False
    ) -> OpenMailbox | None:
        """The mailbox with new keys, if they are due; None if somebody else made them meanwhile.

        opened: with both secrets. basis: the way that they came from. password: None where a member logged in.
        is_first: it is a first password, and stays one under the new keys.
        """
        if not await self._database.read(self._renewal.cause, opened, basis):
            return opened
        new = ways.make_secrets(self._world.random_bytes)
        way = None if password is None else await self._wrap(new, password, opened.id)
        if way is not None and is_first:
            way[_FIRST] = True
        change = KeyChange(opened=opened, secrets=new, basis=basis, password_way=way)
        try:
            if not await self._database.write(self._renewal.renew, change):
                return None
        except StateError:
            # Restored, and no peer was heard: nothing may be published yet. They stay due.
            return opened
        return replace(opened, secrets=replace(new, former=opened.secrets.readers))

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
        fields = await self._wrap(opened.secrets, password, opened.id)
        new = NewPassword(opened.id, fields, EventKind.PASSWORD_CHANGED, opened.secrets.read.seal_key)
        await self._database.write(self._rows.replace_password, new)

    async def recover(
        self, address: str, recovery: SealSecret, password: Secret, *, is_first: bool = False
    ) -> OpenMailbox:
        """Open a mailbox by the institution's recovery key and give it a new password. On record in the log.

        is_first: others have seen the password: it opens once, to set another one.
        """
        mailbox = await self.find(address)
        stored: StoredWay = await self._database.read(self._ways.recovery, mailbox.id)
        secrets = ways.open_by_recovery(self._ways.open(stored), recovery, node=self._node, mailbox=mailbox.id)
        way = await self._wrap(secrets, password, mailbox.id)
        if is_first:
            way[_FIRST] = True
        key = secrets.read.seal_key
        new = NewPassword(mailbox.id, way, EventKind.MAILBOX_RECOVERED, key, basis=stored.row)
        await self._database.write(self._rows.replace_password, new)
        opened = await self._with_former(OpenMailbox(mailbox.id, address, secrets))
        renewed = await self.renewed(opened, stored.row, password, is_first=is_first)
        return await self.open(address, password, to_set_another=is_first) if renewed is None else renewed

    async def renew_keys(self, address: str, password: Secret, new_password: Secret) -> OpenMailbox:
        """New keys and a new password at once: somebody else may know the present one, and an old backup opens with it.

        Letters under way to the former keys open. Errors as `open`; StateError where nothing may be published now.
        """
        opened = await self.open(address, password, to_set_another=True)
        way = await self._database.read(self._ways.newest, opened.id, WayKind.PASSWORD)
        return await self._replaced(opened, None if way is None else way.row, new_password, LEAKED)

    async def reset_keys(
        self, address: str, recovery: SealSecret, new_password: Secret, *, is_first: bool = False
    ) -> OpenMailbox:
        """New keys by the institution, with its recovery key. The entry says so, and senders are told for 30 days.

        What was given to members and deputies ends. is_first, errors: as `recover`; StateError where nothing may be
        published.
        """
        mailbox = await self.find(address)
        if mailbox.status != "open":
            raise StateError(f"{address} is closed")
        stored: StoredWay = await self._database.read(self._ways.recovery, mailbox.id)
        secrets = ways.open_by_recovery(self._ways.open(stored), recovery, node=self._node, mailbox=mailbox.id)
        opened = await self._with_former(OpenMailbox(mailbox.id, address, secrets))
        made = await self._replaced(opened, stored.row, new_password, RESET, is_first=is_first)
        await self._database.write(self._rows.clear_failures, mailbox.id)
        return made

    async def _replaced(
        self, opened: OpenMailbox, basis: bytes | None, password: Secret, asked: str, *, is_first: bool = False
    ) -> OpenMailbox:
        new = ways.make_secrets(self._world.random_bytes)
        way = await self._wrap(new, password, opened.id)
        if is_first:
            way[_FIRST] = True
        change = KeyChange(opened=opened, secrets=new, basis=basis or b"", password_way=way, asked=asked)
        if not await self._database.write(self._renewal.renew, change):
            raise StateError(f"{opened.address} was changed by somebody else just now", hint="try again")
        return replace(opened, secrets=replace(new, former=opened.secrets.readers))

    async def open_by_recovery(self, address: str, recovery: SealSecret) -> OpenMailbox:
        """A mailbox opened by the institution's recovery key, its password left as it is. The caller puts on record
        what for. WrongSecretError, NotFoundError.
        """
        mailbox = await self.find(address)
        stored: StoredWay = await self._database.read(self._ways.recovery, mailbox.id)
        secrets = ways.open_by_recovery(self._ways.open(stored), recovery, node=self._node, mailbox=mailbox.id)
        return await self._with_former(OpenMailbox(mailbox.id, address, secrets))

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
