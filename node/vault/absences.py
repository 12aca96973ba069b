"""Absence notices: published in the mailbox's entry, taken out when they are over. Spec: spec/alerts.md, 4."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import sqlalchemy as sa

from node.errors import ConfigError
from node.vault import schema
from node.vault.database import Database
from node.vault.directory import Directory
from node.vault.mailbox_rows import EntryUpdate
from node.vault.mailboxes import Mailboxes
from protocol.entry import MAX_ABSENCE_MS, Absence, MailboxEntry
from protocol.errors import LocalProtocolError
from protocol.ids import MailboxId
from protocol.letter import normalise_address

__all__ = ["Absences"]


class Absences:
    """Sets and ends absences of own mailboxes."""

    def __init__(self, database: Database, directory: Directory, mailboxes: Mailboxes) -> None:
        self._database = database
        self._directory = directory
        self._mailboxes = mailboxes

    async def of(self, mailbox: MailboxId) -> Absence | None:
        """What the entry says, also if it is to come."""
        entry = await self._database.read(self._directory.own_mailbox, mailbox)
        return None if entry is None else entry.absence

    async def set(self, mailbox: MailboxId, absence: Absence) -> Absence:
        """Publish an absence in place of any there is; as published. ConfigError for one that cannot be published."""
        if absence.until_ms <= self._database.world.now_ms():
            raise ConfigError("this absence is over already", hint="choose a later end")
        if not absence.from_ms < absence.until_ms <= absence.from_ms + MAX_ABSENCE_MS:
            raise ConfigError("an absence ends after it begins, and lasts up to 400 days")
        if absence.instead:
            try:
                absence = replace(absence, instead=normalise_address(absence.instead))
            except ValueError:
                raise ConfigError(f"{absence.instead!r} is no address, as name@hospital.example is one") from None
        checked = absence

        def update(entry: MailboxEntry) -> MailboxEntry:
            changed = replace(entry, absence=checked)
            if checked.instead == entry.address:
                raise ConfigError("one cannot stand in for oneself")
            try:
                changed.encode()
            except LocalProtocolError as error:
                raise ConfigError(f"{entry.address}: {error}", hint="a text is one line of at most 200 bytes") from None
            return changed

        await self._update(mailbox, update)
        return checked

    async def end(self, mailbox: MailboxId) -> bool:
        """Take the absence out of the entry; whether there was one."""
        return await self._update(mailbox, lambda entry: replace(entry, absence=None))

    async def end_due(self, now_ms: int) -> None:
        """Take out what is over."""
        for mailbox in await self._database.read(self._over, now_ms):
            # Where nothing may be published now (StateError), the next look tries again.
            await self._mailboxes.update([EntryUpdate(mailbox, _without)])

    async def _update(self, mailbox: MailboxId, update: Callable[[MailboxEntry], MailboxEntry]) -> bool:
        (result,) = await self._mailboxes.update([EntryUpdate(mailbox, update)])
        if isinstance(result, Exception):
            raise result
        return result

    @staticmethod
    def _over(connection: sa.Connection, now_ms: int) -> list[MailboxId]:
        table = schema.mailboxes
        query = sa.select(table.c.id).where(table.c.absent_until_ms > 0, table.c.absent_until_ms <= now_ms)
        return [MailboxId(mailbox) for mailbox in connection.execute(query).scalars()]


def _without(entry: MailboxEntry) -> MailboxEntry:
    return replace(entry, absence=None)
