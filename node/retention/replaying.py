"""Keeps the list of erasures beside the database, and erases again what an old database brings back.

Spec: spec/retention.md, 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from node.errors import BackupError, StoreError
from node.folder import Folder
from node.retention.erasing import Eraser
from node.retention.erasure_list import Erasure, ErasureListReader, append_records
from node.vault import schema
from node.vault.database import Database, Transaction
from node.vault.node_state import NodeState
from protocol.crypto import Secret
from protocol.details import Details
from protocol.ids import NodeId
from protocol.logleaf import EventKind

__all__ = ["ErasureKeeper"]

# Records replayed in one transaction: some thousand letters, which are erased in transactions of their own.
_REPLAYED_AT_ONCE: Final = 20
_LOOKED_UP: Final = 100
_REPLAYED: Final = "erasures_replayed"


class ErasureKeeper:
    """The file `erasures` in the node's folder, beside the head file."""

    def __init__(
        self,
        *,
        folder: Folder,
        database: Database,
        node_id: NodeId,
        data_key: Secret,
        eraser: Eraser,
        state: NodeState,
    ) -> None:
        self._folder = folder
        self._database = database
        self._node = node_id
        self._key = data_key
        self._eraser = eraser
        self._state = state
        # The own file as it was last read or written: read anew if another process made it longer.
        self._written: tuple[ErasureListReader, set[bytes]] | None = None

    async def settle(self) -> None:
        """At a start, before anything is handed out: replay what the database does not know, and bring the file up to
        date. BackupError for a damaged file.
        """
        run = self._database.world.run_blocking
        if not await run(self._is_current):
            if await run(self._folder.erasures_file.exists):
                await self._replay(await run(self._unknown, self._reader(self._folder.erasures_file, is_own=True)))
            await self.write()
        if await self._database.read(self._is_pending):
            await self.erase_listed()

    async def replay(self, path: Path) -> int:
        """Erase what an exported list says and this database does not know; how many. BackupError."""
        reader = self._reader(path, is_own=False)
        unknown: list[Erasure] = await self._database.world.run_blocking(self._unknown, reader)
        await self._replay(unknown)
        await self.write()
        await self.erase_listed()
        return len(unknown)

    def _is_current(self) -> bool:
        """Whether file and database say the same: a command beside the running node should not read all of it."""
        path = self._folder.erasures_file
        count = self._database.read_now(_count)
        if not path.exists():
            return not count
        found, last = self._reader(path, is_own=True).last()
        return found == count and (last is None or last.id in self._database.read_now(_ids))

    def _is_pending(self, connection: sa.Connection) -> bool:
        fields = self._state.find(connection, _REPLAYED)
        return fields is not None and bool(fields.integer("pending"))

    def was_replayed(self, connection: sa.Connection) -> bool:
        """Whether this database was once behind the list: what it says may be offered again by peers."""
        return self._state.find(connection, _REPLAYED) is not None

    def _reader(self, path: Path, *, is_own: bool) -> ErasureListReader:
        return ErasureListReader(path, node=self._node, data_key=self._key, is_own=is_own)

    def _unknown(self, reader: ErasureListReader) -> list[Erasure]:
        known = self._database.read_now(_ids)
        return [item for item in reader if item.id not in known]

    async def _replay(self, unknown: Sequence[Erasure]) -> None:
        for at in range(0, len(unknown), _REPLAYED_AT_ONCE):
            await self._database.write(self._learn, unknown[at : at + _REPLAYED_AT_ONCE])

    def _learn(self, tx: Transaction, items: Sequence[Sequence[Erasure]]) -> Sequence[None]:
        """Batch handler: from now on these letters are to be erased, whenever one of them is here."""
        known = _ids(tx.connection)
        table = schema.erased_letters
        for erasures in items:
            count = 0
            for item in erasures:
                if item.id in known:
                    continue
                known.add(item.id)
                letters = [letter for _, _, letter in item.keys]
                rows = tx.connection.execute(
                    sa.select(table.c.mailbox, table.c.folder, table.c.letter).where(table.c.letter.in_(letters))
                )
                here = {tuple(row) for row in rows}
                tx.connection.execute(
                    schema.erasures.insert().values(id=item.id, made_at_ms=item.made_at_ms, letters=len(item.keys))
                )
                fresh = [key for key in item.keys if key not in here]
                names = ("mailbox", "folder", "letter")
                if fresh:
                    rows_to_add = [{**dict(zip(names, key, strict=True)), "erasure": item.id} for key in fresh]
                    tx.connection.execute(table.insert(), rows_to_add)
                count += len(item.keys)
            self._state.set(tx, _REPLAYED, {"pending": 1})
            tx.log.append(EventKind.ERASURES_REPLAYED, Details(node=self._node, code=f"{count} letters"))
        return [None] * len(items)

    async def erase_listed(self) -> int:
        """Erase what is here again; how many letters."""
        total = 0
        while await self._database.read(self._eraser.has_listed):
            total += await self._database.write(self._eraser.erase_listed, None)
        while await self._database.read(self._eraser.has_files):
            await self._database.write(self._eraser.unlink_files, None)
        if await self._database.read(self._is_pending):
            await self._database.write(self._done, None)
        return total

    def _done(self, tx: Transaction, items: Sequence[None]) -> Sequence[None]:
        self._state.set(tx, _REPLAYED, {"pending": 0})
        return list(items)

    async def write(self) -> None:
        """Add to the file what the database has beyond it. StoreError."""
        try:
            await self._database.world.run_blocking(self._write)
        except OSError as error:
            raise StoreError(f"{self._folder.erasures_file} cannot be written: {error.strerror}") from error

    def _write(self) -> None:
        ids = self._database.read_now(_ids)
        path = self._folder.erasures_file
        if not ids and not path.exists():
            return
        with self._folder.head_file_alone():
            size = path.stat().st_size if path.exists() else 0
            if self._written is None or self._written[0].end != size:
                fresh = self._reader(path, is_own=True)
                self._written = (fresh, {item.id for item in fresh} if size else set())
            reader, written = self._written
            missing = self._database.read_now(_erasures, ids - written)
            if missing or not reader.end:
                append_records(path, reader, missing, node=self._node, data_key=self._key)
                written.update(item.id for item in missing)

    async def export(self, target: Path) -> int:
        """Write all of the list to another file; how many erasures it holds. BackupError, StoreError."""
        await self.write()
        return await self._database.world.run_blocking(self._export, target)

    def _export(self, target: Path) -> int:
        if target.exists():
            raise BackupError(f"{target} exists; a list is never overwritten", hint="name a new file")
        erasures = self._database.read_now(lambda connection: _erasures(connection, _ids(connection)))
        try:
            append_records(target, self._reader(target, is_own=False), erasures, node=self._node, data_key=self._key)
        except OSError as error:
            raise BackupError(f"{target} cannot be written: {error.strerror}") from error
        return len(erasures)


def _count(connection: sa.Connection) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(schema.erasures)).scalar_one())


def _ids(connection: sa.Connection) -> set[bytes]:
    return set(connection.execute(sa.select(schema.erasures.c.id)).scalars())


def _erasures(connection: sa.Connection, ids: set[bytes]) -> list[Erasure]:
    if not ids:
        return []
    keys: dict[bytes, list[tuple[bytes, int, bytes]]] = {}
    table, erasures = schema.erased_letters, schema.erasures
    query = sa.select(table)
    if len(ids) <= _LOOKED_UP:
        query = query.where(table.c.erasure.in_(ids))
    for row in connection.execute(query.order_by(table.c.mailbox, table.c.folder, table.c.letter)):
        if row.erasure in ids:
            keys.setdefault(row.erasure, []).append((row.mailbox, row.folder, row.letter))
    rows = connection.execute(sa.select(erasures.c.id, erasures.c.made_at_ms).order_by(erasures.c.id))
    return [Erasure(row.id, row.made_at_ms, tuple(keys.get(row.id, ()))) for row in rows if row.id in ids]
