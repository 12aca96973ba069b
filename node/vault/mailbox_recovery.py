"""A mailbox whose password was lost, or whose secrets somebody else may have: new ones.

Spec: spec/delivery.md, 8; spec/identity.md, 8.2; spec/staff.md, 6.2.
"""

from __future__ import annotations

from node.errors import StateError
from node.vault import ways
from node.vault.access import OpenMailbox
from node.vault.database import Database
from node.vault.mailbox_rows import Mailbox, NewPassword
from node.vault.mailboxes import Mailboxes
from node.vault.new_keys import NewKeys
from node.vault.password_ways import PasswordWays
from node.vault.renewal import LEAKED, RESET
from node.vault.way_rows import StoredWay, WayKind, WayRows
from node.vault.ways import MailboxSecrets
from protocol.crypto import SealSecret, Secret
from protocol.ids import NodeId
from protocol.logleaf import EventKind

__all__ = ["MailboxRecovery"]


class MailboxRecovery:
    """What a person, or the institution in its place, does about lost and stolen secrets."""

    def __init__(
        self,
        *,
        database: Database,
        node: NodeId,
        mailboxes: Mailboxes,
        way_rows: WayRows,
        passwords: PasswordWays,
        new_keys: NewKeys,
    ) -> None:
        self._database = database
        self._node = node
        self._mailboxes = mailboxes
        self._ways = way_rows
        self._passwords = passwords
        self._new_keys = new_keys

    async def recover(
        self, address: str, recovery: SealSecret, password: Secret, *, is_first: bool = False
    ) -> OpenMailbox:
        """Open a mailbox by the institution's recovery key and give it a new password. On record in the log.

        is_first: others have seen the password: it opens once, to set another one.
        """
        mailbox = await self._mailboxes.find(address)
        stored, secrets = await self._opened(mailbox, recovery)
        way = await self._passwords.wrap(secrets, password, mailbox.id, is_first=is_first)
        key = secrets.read.seal_key
        new = NewPassword(mailbox.id, way, EventKind.MAILBOX_RECOVERED, key, basis=stored.row)
        await self._database.write(self._mailboxes.rows.replace_password, new)
        opened = await self._new_keys.with_former(OpenMailbox(mailbox.id, address, secrets))
        renewed = await self._new_keys.renewed(opened, stored.row, password, is_first=is_first)
        return await self._mailboxes.open(address, password, to_set_another=is_first) if renewed is None else renewed

    async def renew_keys(self, address: str, password: Secret, new_password: Secret) -> OpenMailbox:
        """New keys and a new password at once: somebody else may know the present one, and an old backup opens with it.

        Letters under way to the former keys open. Errors as `open`; StateError where nothing may be published now.
        """
        opened = await self._mailboxes.open(address, password, to_set_another=True)
        way = await self._database.read(self._ways.newest, opened.id, WayKind.PASSWORD)
        return await self._new_keys.replaced(opened, b"" if way is None else way.row, new_password, LEAKED)

    async def reset_keys(
        self, address: str, recovery: SealSecret, new_password: Secret, *, is_first: bool = False
    ) -> OpenMailbox:
        """New keys by the institution, with its recovery key. The entry says so, and senders are told for 30 days.

        What was given to members and deputies ends. is_first, errors: as `recover`; StateError where nothing may be
        published.
        """
        mailbox = await self._mailboxes.find(address)
        if mailbox.status != "open":
            raise StateError(f"{address} is closed")
        stored, secrets = await self._opened(mailbox, recovery)
        opened = await self._new_keys.with_former(OpenMailbox(mailbox.id, address, secrets))
        made = await self._new_keys.replaced(opened, stored.row, new_password, RESET, is_first=is_first)
        await self._database.write(self._mailboxes.rows.clear_failures, mailbox.id)
        return made

    async def open(self, address: str, recovery: SealSecret) -> OpenMailbox:
        """A mailbox opened by the institution's recovery key, its password left as it is. The caller puts on record
        what for. WrongSecretError, NotFoundError.
        """
        mailbox = await self._mailboxes.find(address)
        _, secrets = await self._opened(mailbox, recovery)
        return await self._new_keys.with_former(OpenMailbox(mailbox.id, address, secrets))

    async def _opened(self, mailbox: Mailbox, recovery: SealSecret) -> tuple[StoredWay, MailboxSecrets]:
        stored: StoredWay = await self._database.read(self._ways.recovery, mailbox.id)
        fields = self._ways.open(stored)
        return stored, ways.open_by_recovery(fields, recovery, node=self._node, mailbox=mailbox.id)
