"""Named lists of recipients that a mailbox keeps, sealed to it. Spec: spec/web.md, 7.1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import sqlalchemy as sa

from directory_sync.words import fold, words
from node.errors import ConfigError, LimitError, NotFoundError, StateError
from node.vault import schema
from node.vault.access import Access, OpenMailbox
from node.vault.database import Database, Transaction
from node.vault.draft_rows import open_for_mailbox, seal_for_mailbox
from node.vault.sealing import RowKeys, new_row_id
from protocol.codec import decode_map, encode
from protocol.delegation import Right
from protocol.letter import MAX_RECIPIENTS, normalise_address
from protocol.texts import MAX_ADDRESS_BYTES, is_line

__all__ = [
    "MAX_GROUPS",
    "MAX_GROUP_NAME_CHARACTERS",
    "MAX_MEMBERS",
    "RecipientGroup",
    "RecipientGroups",
    "matching",
]

T = TypeVar("T")
MAX_GROUPS: Final = 100
"""Of one mailbox: the writing page names all of them, and opens each."""
MAX_MEMBERS: Final = MAX_RECIPIENTS
MAX_GROUP_NAME_CHARACTERS: Final = 80
_MAX_SEALED_BYTES: Final = MAX_MEMBERS * (MAX_ADDRESS_BYTES + 3) + 8192
_TABLE: Final = schema.recipient_groups


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientGroup:
    """A group. id: 16 bytes; members: 1 to MAX_MEMBERS addresses in their one form, each once."""

    id: bytes
    name: str = field(repr=False)
    members: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """id: None for a new group. name: empty to delete it."""

    opened: OpenMailbox
    id: bytes | None
    name: str = field(default="", repr=False)
    members: tuple[str, ...] = field(default=(), repr=False)


def matching(groups: Sequence[RecipientGroup], typed: str) -> list[RecipientGroup]:
    """Those whose name has, for each word typed, a word that begins with it."""
    wanted = words(typed)
    return [
        group for group in groups if wanted and all(any(w.startswith(t) for w in words(group.name)) for t in wanted)
    ]


class RecipientGroups:
    """Reads and writes groups of opened mailboxes. Every step asks whether whoever acts may write."""

    def __init__(self, database: Database, keys: RowKeys, access: Access) -> None:
        self._database = database
        self._keys = keys
        self._access = access

    # -- reading

    async def all(self, opened: OpenMailbox) -> list[RecipientGroup]:
        """The groups by name. StateError if whoever acts may not write."""
        return await self._database.read(self._all, opened)

    async def find(self, opened: OpenMailbox, group: bytes) -> RecipientGroup:
        """One of them. NotFoundError."""
        for item in await self.all(opened):
            if item.id == group:
                return item
        raise NotFoundError("this group is not there any more")

    async def named(self, opened: OpenMailbox, name: str) -> RecipientGroup:
        """The group of this name, however it is folded. NotFoundError."""
        for item in await self.all(opened):
            if fold(item.name) == fold(" ".join(name.split())):
                return item
        raise NotFoundError(
            f"{opened.address} has no group {name[:MAX_GROUP_NAME_CHARACTERS]}", hint="see: coffre mailbox group list"
        )

    def _all(self, connection: sa.Connection, opened: OpenMailbox) -> list[RecipientGroup]:
        self._access.check(connection, opened, Right.WRITE, self._database.world.now_ms())
        mailbox = self._keys.blind("mailbox", opened.id)
        rows = connection.execute(sa.select(_TABLE).where(_TABLE.c.mailbox == mailbox)).all()
        found = [self._open(opened, row.id, row.sealed) for row in rows]
        return sorted(found, key=lambda item: (fold(item.name), item.id))

    def _open(self, opened: OpenMailbox, row: bytes, sealed: bytes) -> RecipientGroup:
        box = self._keys.open_map("recipient_groups", row, "sealed", sealed).binary("box", high=_MAX_SEALED_BYTES)
        fields = decode_map(open_for_mailbox(self._keys, opened, row, box), max_bytes=_MAX_SEALED_BYTES)
        return RecipientGroup(
            id=bytes(row),
            name=fields.text("name", high=4 * MAX_GROUP_NAME_CHARACTERS),
            members=tuple(str(item) for item in fields.items("members", high=MAX_MEMBERS)),
        )

    # -- writing

    async def add(self, opened: OpenMailbox, name: str, members: Sequence[str]) -> bytes:
        """A new group; its id. members: addresses as typed.

        ConfigError: no good name, no member, or a member that is no address; LimitError: too many members or groups;
        StateError: the name is taken, or no right to write.
        """
        change = _Change(opened=opened, id=None, name=_checked(name), members=_addresses(members))
        return await self._database.write(self._save, change)

    async def change(self, opened: OpenMailbox, group: bytes, name: str, members: Sequence[str]) -> None:
        """Another name and other members. Errors as of `add`; NotFoundError."""
        change = _Change(opened=opened, id=group, name=_checked(name), members=_addresses(members))
        await self._database.write(self._save, change)

    async def delete(self, opened: OpenMailbox, group: bytes) -> None:
        """Delete a group. NotFoundError, StateError."""
        await self._database.write(self._delete, _Change(opened=opened, id=group))

    def _save(self, tx: Transaction, items: Sequence[_Change]) -> Sequence[bytes | Exception]:
        return _each(items, lambda item: self._save_one(tx, item))

    def _save_one(self, tx: Transaction, item: _Change) -> bytes:
        groups = self._lock(tx, item.opened)
        if any(fold(other.name) == fold(item.name) and other.id != item.id for other in groups):
            raise StateError(f"there is a group {item.name} already", hint="choose another name")
        mailbox = self._keys.blind("mailbox", item.opened.id)
        row = item.id or new_row_id(tx.now_ms, tx.world.random_bytes)
        plain = encode({"name": item.name, "members": list(item.members)})
        box = seal_for_mailbox(self._keys, item.opened, row, plain)
        values = {
            "updated_at_ms": tx.now_ms,
            "sealed": self._keys.seal_map("recipient_groups", row, "sealed", {"box": box}),
        }
        if item.id is None:
            if len(groups) >= MAX_GROUPS:
                raise LimitError(f"a mailbox has at most {MAX_GROUPS} groups", hint="delete one first")
            tx.connection.execute(_TABLE.insert().values(id=row, mailbox=mailbox, **values))
            return row
        changed = tx.connection.execute(
            _TABLE.update().where(_TABLE.c.id == row, _TABLE.c.mailbox == mailbox).values(**values)
        )
        if not changed.rowcount:
            raise NotFoundError("this group is not there any more")
        return row

    def _delete(self, tx: Transaction, items: Sequence[_Change]) -> Sequence[Exception | None]:
        return _each(items, lambda item: self._delete_one(tx, item))

    def _delete_one(self, tx: Transaction, item: _Change) -> None:
        self._lock(tx, item.opened)
        mailbox = self._keys.blind("mailbox", item.opened.id)
        gone = tx.connection.execute(_TABLE.delete().where(_TABLE.c.id == item.id, _TABLE.c.mailbox == mailbox))
        if not gone.rowcount:
            raise NotFoundError("this group is not there any more")

    def _lock(self, tx: Transaction, opened: OpenMailbox) -> list[RecipientGroup]:
        """The groups that there are; nobody else changes them in this transaction."""
        boxes = schema.mailboxes
        tx.connection.execute(sa.select(boxes.c.id).where(boxes.c.id == opened.id).with_for_update())
        return self._all(tx.connection, opened)


def _each(items: Sequence[_Change], work: Callable[[_Change], T]) -> list[T | Exception]:
    results: list[T | Exception] = []
    for item in items:
        try:
            results.append(work(item))
        except (LimitError, NotFoundError, StateError) as refused:
            results.append(refused)
    return results


def _checked(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > MAX_GROUP_NAME_CHARACTERS or not is_line(name) or not fold(name):
        raise ConfigError(f"a group's name has 1 to {MAX_GROUP_NAME_CHARACTERS} characters on one line")
    return name


def _addresses(typed: Sequence[str]) -> tuple[str, ...]:
    try:
        found = tuple(dict.fromkeys(normalise_address(text) for text in typed))
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if not found:
        raise ConfigError("a group has at least one member")
    if len(found) > MAX_MEMBERS:
        raise LimitError(f"a group has at most {MAX_MEMBERS} members")
    return found
