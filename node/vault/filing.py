"""Moving letters between the folders of a mailbox, and marking them. Spec: spec/mailbox-index.md, 2.

None of it is evidence: where a mailbox files a letter, and what it marks, is nobody else's concern.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import sqlalchemy as sa

from node.errors import NotFoundError, StateError
from node.vault import schema
from node.vault.access import Access, OpenMailbox
from node.vault.database import Database, Transaction
from node.vault.sealing import RowKeys
from node.vault.states import LetterFolder, LetterState, Place
from protocol.delegation import Right

__all__ = ["HOME", "Filing", "Mark"]

HOME: Final = -1
"""Where a letter lay first: a received one in the inbox, a sent copy in sent."""
_LETTERS: Final = schema.letters


class Mark(Enum):
    """What a letter can be marked as, and have taken away."""

    FLAGGED = "flagged"
    UNREAD = "marked_unread"


@dataclass(frozen=True, slots=True)
class _Move:
    opened: OpenMailbox
    rows: tuple[bytes, ...]
    place: int


@dataclass(frozen=True, slots=True)
class _Marking:
    opened: OpenMailbox
    rows: tuple[bytes, ...]
    mark: Mark
    is_set: bool


class Filing:
    """Moves and marks letters of opened mailboxes. Rows that are not the mailbox's are as if they were not there."""

    def __init__(self, *, database: Database, keys: RowKeys, access: Access) -> None:
        self._database = database
        self._keys = keys
        self._access = access

    async def move(self, opened: OpenMailbox, rows: Sequence[bytes], place: int) -> list[tuple[bytes, int]]:
        """Put letters into a place (Place.ARCHIVE, an own folder's number, or HOME).

        Returns which moved, and from where, so that it can be undone. NotFoundError: no such folder. StateError: no
        right to write.
        """
        moved: list[tuple[bytes, int]] = await self._database.write(self._move, _Move(opened, tuple(rows), place))
        return moved

    async def mark(self, opened: OpenMailbox, rows: Sequence[bytes], mark: Mark, *, is_set: bool) -> int:
        """Mark letters, or take the mark away; how many changed. Only letters that were opened can be marked unread."""
        return await self._database.write(self._mark, _Marking(opened, tuple(rows), mark, is_set))

    async def seen(self, opened: OpenMailbox, row: bytes) -> None:
        """A letter was opened: it is no longer marked as unread. Nothing, where whoever opened it may not write."""
        rights = (Right.WRITE,) if opened.actor is None else opened.actor.rights
        if Right.WRITE in rights:
            await self.mark(opened, [row], Mark.UNREAD, is_set=False)

    def _mine(self, opened: OpenMailbox, rows: Sequence[bytes]) -> tuple[sa.ColumnElement[bool], ...]:
        mailbox = self._keys.blind("mailbox", opened.id)
        return (_LETTERS.c.mailbox == mailbox, _LETTERS.c.id.in_(rows), _LETTERS.c.trashed_at_ms == 0)

    def _move(self, tx: Transaction, items: Sequence[_Move]) -> Sequence[Any]:
        results: list[Any] = []
        for item in items:
            try:
                results.append(self._move_one(tx, item))
            except (StateError, NotFoundError) as error:
                results.append(error)
        return results

    def _move_one(self, tx: Transaction, item: _Move) -> list[tuple[bytes, int]]:
        self._access.check(tx.connection, item.opened, Right.WRITE, tx.now_ms)
        if item.place not in (HOME, Place.ARCHIVE):
            folders = schema.mail_folders
            mailbox = self._keys.blind("mailbox", item.opened.id)
            look = sa.select(folders.c.id).where(folders.c.mailbox == mailbox, folders.c.number == item.place)
            if tx.connection.execute(look.with_for_update()).one_or_none() is None:
                raise NotFoundError("this folder is not there any more")
        mine = self._mine(item.opened, item.rows)
        target: Any = _LETTERS.c.folder if item.place == HOME else item.place
        found = tx.connection.execute(
            sa.select(_LETTERS.c.id, _LETTERS.c.place).where(*mine, _LETTERS.c.place != target).with_for_update()
        ).all()
        tx.connection.execute(_LETTERS.update().where(*mine).values(place=target))
        return [(bytes(row.id), row.place) for row in found]

    def _mark(self, tx: Transaction, items: Sequence[_Marking]) -> Sequence[Any]:
        results: list[Any] = []
        for item in items:
            try:
                self._access.check(tx.connection, item.opened, Right.WRITE, tx.now_ms)
            except StateError as error:
                results.append(error)
                continue
            column = _LETTERS.c[item.mark.value]
            conditions = [*self._mine(item.opened, item.rows), column != int(item.is_set)]
            if item.mark is Mark.UNREAD and item.is_set:
                # An unread letter shows so by itself; a sent copy was never to be read.
                conditions += [_LETTERS.c.state == LetterState.OPENED, _LETTERS.c.folder == LetterFolder.INBOX]
            change = _LETTERS.update().where(*conditions).values({column: int(item.is_set)})
            results.append(tx.connection.execute(change).rowcount)
        return results
