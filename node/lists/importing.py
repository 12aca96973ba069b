"""A list against the own mailboxes: what it would change, and changing it, in batches. Spec: spec/directory.md, 11.2.

The file is read twice: once to see all that it would do, so that people can look at it first; once to do it. Nothing
but the own feed is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, Protocol

import sqlalchemy as sa

from directory_sync.lists.addresses import AddressForm
from directory_sync.lists.listed import (
    BadRow,
    FieldChange,
    Listed,
    NoUsableEntry,
    changes_between,
    entry_with,
)
from directory_sync.lists.matching import Held, Matcher, Placed
from node.errors import LimitError, StateError
from node.lists.files import ListFile
from node.vault import ways
from node.vault.database import Database
from node.vault.directory import Directory
from node.vault.mailbox_rows import EntryUpdate
from node.vault.mailboxes import Mailboxes, NewMailbox
from protocol.crypto import Secret
from protocol.entry import EntryStatus, MailboxEntry
from protocol.ids import MailboxId

__all__ = ["BATCH", "Change", "Importer", "New", "Outcome", "PasswordKeeper", "Plan", "Step", "Unchanged"]

BATCH: Final = 500
"""Rows in one transaction: few enough for others to write in between, enough to share what each transaction costs."""
MAX_MAILBOXES: Final = 100_000
"""Followers refuse a feed with more live entries (spec/directory.md, 4)."""


@dataclass(frozen=True, slots=True)
class New:
    """A mailbox to be made. entry: as it will be published, but for its id and keys."""

    where: str
    entry: MailboxEntry


@dataclass(frozen=True, slots=True)
class Change:
    """A mailbox whose entry will be another one."""

    mailbox: MailboxId
    address: str
    row: Listed
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A mailbox that is as the list has it."""

    address: str


Step = New | Change | Unchanged | BadRow


@dataclass(slots=True)
class Plan:
    """All that a list would do. missing: open mailboxes that are not in it."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    bad: int = 0
    missing: tuple[Held, ...] = ()


@dataclass(slots=True)
class Outcome:
    """What was done. failed: what had changed under way, each with its reason."""

    new: int = 0
    changed: int = 0
    closed: int = 0
    failed: tuple[str, ...] = ()


class PasswordKeeper(Protocol):
    """Keeps first passwords until they are handed out."""

    def add(self, made: Sequence[tuple[MailboxEntry, Secret]]) -> None:
        """Keep some, before their mailboxes are made: a mailbox whose password is lost opens to nobody."""
        ...


class Importer:
    """Imports one list. quota_bytes: of each new mailbox. form: for rows without an address. draw: first passwords by
    address; at random unless told otherwise.
    """

    def __init__(
        self,
        file: ListFile,
        *,
        mailboxes: Mailboxes,
        directory: Directory,
        database: Database,
        form: AddressForm,
        quota_bytes: int,
        draw: Callable[[str], Secret] | None = None,
    ) -> None:
        self._file = file
        self._mailboxes = mailboxes
        self._directory = directory
        self._database = database
        self._world = database.world
        self._form = form
        self._quota_bytes = quota_bytes
        self._blank = mailboxes.prepare(address=f"blank@{file.domain}", name="blank", quota_bytes=0).entry
        self._held: tuple[Held, ...] = ()
        self._draw = draw or (lambda _address: ways.draw_first_password(self._world.random_bytes))

    # -- looking

    async def plan(self, show: Callable[[Step], None], come: Callable[[int], None]) -> Plan:
        """Go through the list and change nothing. show: told each step, in the list's order; come: bytes read.

        ConfigError for a file that is no list, LimitError if there would be more mailboxes than others take.
        """
        self._held = await self._world.run_blocking(self._load)
        found = Plan()
        with self._file.rows(come) as rows:
            matcher = self._matcher()
            while steps := await self._world.run_blocking(self._next, matcher, rows):
                for step in steps:
                    _count(found, step)
                    show(step)
        found.missing = tuple(matcher.missing(self._file.systems()))
        if matcher.open_count + found.new > MAX_MAILBOXES:
            raise LimitError(
                f"{matcher.open_count} mailboxes and {found.new} new ones are more than the {MAX_MAILBOXES} of a feed",
                hint="other nodes would not take it; split the institution",
            )
        return found

    def _load(self) -> tuple[Held, ...]:
        def load(connection: sa.Connection) -> tuple[Held, ...]:
            return tuple(
                Held(entry.mailbox, entry.address, entry.kind, entry.status is EntryStatus.OPEN, entry.identifiers)
                for entry in self._directory.own_mailboxes(connection)
            )

        return self._database.read_now(load)

    def _matcher(self) -> Matcher:
        return Matcher(self._held, self._file.domain, self._form)

    def _next(self, matcher: Matcher, rows: Iterator[Listed | BadRow]) -> list[Step]:
        placed = [row if isinstance(row, BadRow) else matcher.place(row) for row in islice(rows, BATCH)]
        wanted = [item.mailbox for item in placed if isinstance(item, Placed) and item.mailbox is not None]

        def entries(connection: sa.Connection) -> dict[MailboxId, MailboxEntry]:
            return {entry.mailbox: entry for entry in self._directory.own_mailboxes(connection, wanted)}

        held: dict[MailboxId, MailboxEntry] = self._database.read_now(entries) if wanted else {}
        return [item if isinstance(item, BadRow) else self._step(item, held) for item in placed]

    def _step(self, placed: Placed, held: dict[MailboxId, MailboxEntry]) -> Step:
        row = placed.row
        try:
            if placed.mailbox is None:
                return New(row.where, entry_with(replace(self._blank, address=placed.address), row))
            entry = held[placed.mailbox]
            fields = changes_between(entry, entry_with(entry, row))
        except NoUsableEntry as error:
            return BadRow(row.where, str(error))
        return Change(placed.mailbox, placed.address, row, fields) if fields else Unchanged(placed.address)

    # -- doing

    async def apply(
        self, come: Callable[[int], None], passwords: PasswordKeeper | None, close: Sequence[Held] = ()
    ) -> Outcome:
        """Go through the list again, and do what it says, batch by batch; what is done stays done if it is stopped.

        passwords: needed where there are new ones. close: mailboxes to close at the end.
        """
        done, failed = Outcome(), list[str]()
        matcher = self._matcher()
        with self._file.rows(come) as rows:
            while steps := await self._world.run_blocking(self._next, matcher, rows):
                await self._make([step for step in steps if isinstance(step, New)], passwords, done, failed)
                await self._change([step for step in steps if isinstance(step, Change)], done, failed)
        for begin in range(0, len(close), BATCH):
            some = close[begin : begin + BATCH]
            results = await self._mailboxes.close_all([item.mailbox for item in some])
            done.closed += len(list(_noted([item.address for item in some], results, failed)))
        done.failed = tuple(failed)
        return done

    async def _make(
        self, steps: Sequence[New], passwords: PasswordKeeper | None, done: Outcome, failed: list[str]
    ) -> None:
        if not steps:
            return
        if passwords is None:
            raise StateError("the file lists new mailboxes, and there is no file for their passwords")
        made = await self._world.run_blocking(self._secrets, steps)
        await self._world.run_blocking(passwords.add, [(new.entry, password) for new, password in made])
        results = await self._mailboxes.create_first(made)
        done.new += len(list(_noted([step.entry.address for step in steps], results, failed)))

    def _secrets(self, steps: Sequence[New]) -> list[tuple[NewMailbox, Secret]]:
        return [
            (
                self._mailboxes.prepare_like(step.entry, self._quota_bytes),
                self._draw(step.entry.address),
            )
            for step in steps
        ]

    async def _change(self, steps: Sequence[Change], done: Outcome, failed: list[str]) -> None:
        if not steps:
            return
        updates = [EntryUpdate(step.mailbox, _updater(step.row)) for step in steps]
        results = await self._mailboxes.update(updates)
        done.changed += sum(map(bool, _noted([step.address for step in steps], results, failed)))


def _updater(row: Listed) -> Callable[[MailboxEntry], MailboxEntry]:
    def update(entry: MailboxEntry) -> MailboxEntry:
        try:
            return entry_with(entry, row)
        except NoUsableEntry as error:
            raise StateError(f"{entry.address}: {error}") from None

    return update


def _noted(addresses: Sequence[str], results: Sequence[object], failed: list[str]) -> Iterator[object]:
    """The results that are none of a person's mistakes, which are noted. What failed for all ends the import."""
    for address, result in zip(addresses, results, strict=True):
        alone = len(results) == 1 or any(other is not result for other in results)
        if isinstance(result, StateError) and alone:
            failed.append(f"{address}: {result.message}")
        elif isinstance(result, Exception):
            raise result
        else:
            yield result


def _count(plan: Plan, step: Step) -> None:
    match step:
        case New():
            plan.new += 1
        case Change():
            plan.changed += 1
        case Unchanged():
            plan.unchanged += 1
        case BadRow():
            plan.bad += 1
