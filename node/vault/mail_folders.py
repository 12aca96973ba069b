"""A mailbox's own folders: numbers for the database, names for those who have the mailbox.

Spec: spec/mailbox-index.md, 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from directory_sync.words import fold
from node.errors import ConfigError, NotFoundError, StateError
from node.vault import schema
from node.vault.access import Access, OpenMailbox
from node.vault.database import Database, Transaction
from node.vault.mailbox_index.index import MailboxIndex
from node.vault.sealing import RowKeys, new_row_id
from node.vault.states import Place
from protocol.box import SALT_BYTES
from protocol.delegation import Right
from protocol.errors import RemoteProtocolError
from protocol.ids import MailboxId
from protocol.texts import is_line

__all__ = ["MAX_NAME_CHARACTERS", "MailFolders", "NameTakenError", "OwnFolder"]

MAX_NAME_CHARACTERS: Final = 80
MAX_FOLDERS: Final = 200
"""Of one mailbox: the pages name all of them."""
_TABLE: Final = schema.mail_folders


class NameTakenError(StateError):
    """Another folder of the mailbox has this name, as it is folded."""


@dataclass(frozen=True, slots=True)
class OwnFolder:
    """An own folder. number: what `letters.place` holds. name: empty where its key is lost; it can be named anew."""

    number: int
    name: str


@dataclass(frozen=True, slots=True)
class _Change:
    opened: OpenMailbox
    number: int
    name: str


class MailFolders:
    """Makes, names and removes own folders of opened mailboxes."""

    def __init__(self, *, database: Database, keys: RowKeys, index: MailboxIndex, access: Access) -> None:
        self._database = database
        self._keys = keys
        self._index = index
        self._access = access

    # -- reading

    async def all(self, opened: OpenMailbox) -> list[OwnFolder]:
        """The own folders by name. StateError as of `Reading.page`."""
        return await self._database.read(self.all_now, opened)

    def all_now(self, connection: sa.Connection, opened: OpenMailbox) -> list[OwnFolder]:
        """The same, on a reading connection."""
        self._access.check(connection, opened, Right.READ, self._database.world.now_ms())
        mailbox = self._index.rows.blind(opened.id)
        rows = connection.execute(sa.select(_TABLE).where(_TABLE.c.mailbox == mailbox)).all()
        if not rows:
            return []
        keys, found = self._index.rows.find(connection, opened).by_generation, []
        for row in rows:
            fields = self._keys.open_map("mail_folders", row.id, "sealed", row.sealed)
            fields.fixed("mb", MailboxId.LENGTH)
            key, box = keys.get(fields.integer("gen")), fields.binary("box", high=4096)
            try:
                name = "" if key is None else key.open(b"folder" + bytes(row.id), box).decode()
            except RemoteProtocolError:
                name = ""
            found.append(OwnFolder(row.number, name))
        return sorted(found, key=lambda item: (fold(item.name), item.number))

    async def find(self, opened: OpenMailbox, name: str) -> OwnFolder:
        """The folder of this name, however it is folded. NotFoundError."""
        for folder in await self.all(opened):
            if fold(folder.name) == fold(name):
                return folder
        raise NotFoundError(f"{opened.address} has no folder {name[:MAX_NAME_CHARACTERS]}")

    # -- writing

    async def create(self, opened: OpenMailbox, name: str) -> int:
        """A new folder; its number. ConfigError: no good name; StateError: taken, too many, or no right to write."""
        await self._index.prepare(opened)
        return await self._database.write(self._create, _Change(opened, 0, _checked(name)))

    async def rename(self, opened: OpenMailbox, number: int, name: str) -> None:
        """Another name for a folder. Errors as of `create`; NotFoundError if there is none of this number."""
        await self._index.prepare(opened)
        await self._database.write(self._rename, _Change(opened, number, _checked(name)))

    async def delete(self, opened: OpenMailbox, number: int) -> None:
        """Remove a folder; its letters go back into inbox and sent. NotFoundError, StateError."""
        await self._database.write(self._delete, _Change(opened, number, ""))

    def _create(self, tx: Transaction, items: Sequence[_Change]) -> Sequence[int | Exception]:
        results: list[int | Exception] = []
        for item in items:
            try:
                taken = self._taken(tx, item)
                if len(taken) >= MAX_FOLDERS:
                    raise StateError(f"{item.opened.address} has {MAX_FOLDERS} folders, and no more is possible")
                number = max((folder.number for folder in taken), default=Place.FIRST_OWN - 1) + 1
                row = new_row_id(tx.now_ms, tx.world.random_bytes)
                mailbox = self._index.rows.blind(item.opened.id)
                sealed = self._sealed(tx, item, row)
                tx.connection.execute(_TABLE.insert().values(id=row, mailbox=mailbox, number=number, sealed=sealed))
                results.append(number)
            except (StateError, NotFoundError) as error:
                results.append(error)
        return results

    def _rename(self, tx: Transaction, items: Sequence[_Change]) -> Sequence[Exception | None]:
        results: list[Exception | None] = []
        for item in items:
            try:
                self._taken(tx, item)
                row = self._row(tx, item)
                change = _TABLE.update().where(_TABLE.c.id == row).values(sealed=self._sealed(tx, item, row))
                tx.connection.execute(change)
                results.append(None)
            except (StateError, NotFoundError) as error:
                results.append(error)
        return results

    def _delete(self, tx: Transaction, items: Sequence[_Change]) -> Sequence[Exception | None]:
        results: list[Exception | None] = []
        letters = schema.letters
        for item in items:
            try:
                self._lock(tx, item.opened)
                row = self._row(tx, item)
                mailbox = self._index.rows.blind(item.opened.id)
                inside = (letters.c.mailbox == mailbox, letters.c.place == item.number)
                tx.connection.execute(letters.update().where(*inside).values(place=letters.c.folder))
                tx.connection.execute(_TABLE.delete().where(_TABLE.c.id == row))
                results.append(None)
            except (StateError, NotFoundError) as error:
                results.append(error)
        return results

    def _lock(self, tx: Transaction, opened: OpenMailbox) -> None:
        self._access.check(tx.connection, opened, Right.WRITE, tx.now_ms)
        state = schema.mailbox_indexes
        mailbox = self._index.rows.blind(opened.id)
        tx.connection.execute(sa.select(state.c.mailbox).where(state.c.mailbox == mailbox).with_for_update())

    def _taken(self, tx: Transaction, item: _Change) -> list[OwnFolder]:
        """The folders that there are. StateError if another one has the name."""
        self._lock(tx, item.opened)
        folders = self.all_now(tx.connection, item.opened)
        if any(fold(other.name) == fold(item.name) and other.number != item.number for other in folders):
            raise NameTakenError(f"there is a folder {item.name} already")
        return folders

    def _row(self, tx: Transaction, item: _Change) -> bytes:
        mailbox = self._index.rows.blind(item.opened.id)
        query = sa.select(_TABLE.c.id).where(_TABLE.c.mailbox == mailbox, _TABLE.c.number == item.number)
        row = tx.connection.execute(query).scalar_one_or_none()
        if row is None:
            raise NotFoundError("this folder is not there any more")
        return bytes(row)

    def _sealed(self, tx: Transaction, item: _Change, row: bytes) -> bytes:
        key = self._index.rows.find(tx.connection, item.opened).current
        if key is None:
            raise StateError(f"{item.opened.address} got new keys after this log-in", hint="log in again")
        box = key.seal(b"folder" + row, item.name.encode(), tx.world.random_bytes(SALT_BYTES))
        fields = {"mb": bytes(item.opened.id), "gen": key.generation, "box": box}
        return self._keys.seal_map("mail_folders", row, "sealed", {**fields})


def _checked(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > MAX_NAME_CHARACTERS or not is_line(name) or not fold(name):
        raise ConfigError(f"a folder's name has 1 to {MAX_NAME_CHARACTERS} characters")
    return name
