"""Deleting letters and putting them back, and downloads: each on record. Spec: spec/retention.md, 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from node.errors import StateError
from node.vault import schema
from node.vault.access import Access, OpenMailbox
from node.vault.changes import mark_changed
from node.vault.database import Database, Transaction
from node.vault.log_codes import joined
from node.vault.reading import StoredLetter
from node.vault.sealing import RowKeys
from node.vault.states import LetterFolder, LetterState
from protocol.delegation import Right
from protocol.details import Details
from protocol.logleaf import EventKind

__all__ = ["Trash"]


@dataclass(frozen=True, slots=True)
class _Change:
    opened: OpenMailbox
    stored: StoredLetter
    kind: EventKind
    code: str


class Trash:
    """Moves letters of opened mailboxes to the trash and back."""

    def __init__(self, *, database: Database, keys: RowKeys, access: Access) -> None:
        self._database = database
        self._keys = keys
        self._access = access

    async def delete(self, opened: OpenMailbox, stored: StoredLetter) -> None:
        """Delete a letter: lists show it no more; it is erased once it was in the trash for long enough.

        StateError if it is deleted already, or whoever acts may not write for the mailbox.
        """
        await self._database.write(self._change, self._moved(opened, stored, EventKind.DELETED))

    async def undelete(self, opened: OpenMailbox, stored: StoredLetter) -> None:
        """Put a deleted letter back. StateError as above."""
        await self._database.write(self._change, self._moved(opened, stored, EventKind.UNDELETED))

    async def delete_all(self, opened: OpenMailbox, stored: Sequence[StoredLetter]) -> list[bytes]:
        """Delete several letters in one transaction; the rows of those that were not deleted before.

        StateError if whoever acts may not write for the mailbox: then none is.
        """
        return await self._change_all(opened, stored, EventKind.DELETED)

    async def undelete_all(self, opened: OpenMailbox, stored: Sequence[StoredLetter]) -> list[bytes]:
        """Put several letters back; the rows of those that were in the trash. StateError as above."""
        return await self._change_all(opened, stored, EventKind.UNDELETED)

    async def _change_all(self, opened: OpenMailbox, stored: Sequence[StoredLetter], kind: EventKind) -> list[bytes]:
        await self._database.read(self._check_writes, opened)
        changes = [self._moved(opened, item, kind) for item in stored]
        results = await self._database.write_many(self._change, changes)
        changed = []
        for item, result in zip(stored, results, strict=True):
            if result is None:
                changed.append(item.row)
            elif not isinstance(result, StateError):
                raise result
        return changed

    def _check_writes(self, connection: sa.Connection, opened: OpenMailbox) -> None:
        self._access.check(connection, opened, Right.WRITE, self._database.world.now_ms())

    @staticmethod
    def _moved(opened: OpenMailbox, stored: StoredLetter, kind: EventKind) -> _Change:
        return _Change(opened, stored, kind, "sent" if stored.folder is LetterFolder.SENT else "received")

    async def downloaded(self, opened: OpenMailbox, stored: StoredLetter, numbers: Sequence[int], count: int) -> None:
        """Put on record that attachments are about to be handed out. numbers: which, from 1, of `count`. StateError."""
        code = "all" if len(numbers) == count else joined([str(number) for number in numbers])
        await self._database.write(self._change, _Change(opened, stored, EventKind.DOWNLOADED, code))

    def _change(self, tx: Transaction, items: Sequence[_Change]) -> Sequence[Exception | None]:
        """Batch handler, under the letter row's lock."""
        results: list[Exception | None] = []
        for item in items:
            try:
                self._change_one(tx, item)
            except StateError as refused:
                results.append(refused)
            else:
                results.append(None)
        return results

    def _change_one(self, tx: Transaction, item: _Change) -> None:
        table, opened, stored = schema.letters, item.opened, item.stored
        right = Right.READ if item.kind is EventKind.DOWNLOADED else Right.WRITE
        self._access.check(tx.connection, opened, right, tx.now_ms)
        row = tx.connection.execute(
            sa.select(table.c.state, table.c.trashed_at_ms).where(table.c.id == stored.row).with_for_update()
        ).one_or_none()
        if row is None:
            raise StateError(f"letter {stored.row.hex()} is not here any more")
        if item.kind is not EventKind.DOWNLOADED:
            wanted = item.kind is EventKind.DELETED
            if bool(row.trashed_at_ms) is wanted:
                state = "deleted already" if wanted else "not deleted"
                raise StateError(f"letter {stored.row.hex()} is {state}")
            tx.connection.execute(
                table.update().where(table.c.id == stored.row).values(trashed_at_ms=tx.now_ms if wanted else 0)
            )
            mark_changed(tx, self._keys, [opened.id])
        if row.state == LetterState.WITHDRAWN or stored.signed_slip is None:
            return  # a tombstone tells of nothing that could be proved
        slip = stored.slip
        details = Details(
            node=self._keys.node_id,
            peer=slip.sender_node,
            letter=slip.letter_id,
            payload=slip.payload_id,
            mailbox=opened.id,
            role=opened.role.value,
            actor=None if opened.actor is None else opened.actor.id,
            code=item.code,
        )
        tx.log.append(item.kind, details, tag=stored.tag)
