"""Restoring a backup into an empty folder, and into an empty database. Spec: spec/backup.md, 6."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from node.backup.reading import BackupSummary, Unlock, check_backup, opened_backup
from node.backup.records import ArchivedFile, Begin, PayloadData, PayloadGone, PayloadStart, Rows
from node.config.settings import load_settings
from node.errors import BackupError, FolderError
from node.folder import Folder, sync_folder, write_private
from node.retention.erasure_list import check_erasure_list
from node.vault.engine import database_url, open_engines
from node.vault.migrate import create_schema
from node.vault.payloads import FilePayloadStore, IncomingPayload
from node.vault.states import LetterState
from protocol.payload import CHUNK_BYTES, TAG_BYTES

__all__ = ["restore_backup"]

_FILES: Final = frozenset({"coffre.toml", "head"})


def restore_backup(
    path: Path,
    target: Path,
    unlock: Unlock,
    *,
    erasures: Path | None = None,
    progress: Callable[[int], None] = lambda _done: None,
    checking: Callable[[int], None] = lambda _done: None,
) -> BackupSummary:
    """Restore a backup into a folder that is absent or empty. It blocks; call it in a thread.

    The whole file is checked before anything is written. The folder is made beside `target` and renamed at the end; a
    PostgreSQL database gets its rows in one transaction, committed just before. BackupError, FolderError, StoreError.
    """
    target = target.absolute()
    if os.path.lexists(target) and (not target.is_dir() or any(target.iterdir())):
        raise FolderError(f"{target} exists and is not empty", hint="restore into a new folder")
    if target.is_mount():
        raise FolderError(f"{target} is a mount point", hint="restore into a new folder below it")
    summary = check_backup(path, unlock, progress=checking)
    if erasures is not None:
        with opened_backup(path, unlock) as reader:
            check_erasure_list(erasures, node=reader.header.node, data_key=unlock(reader.header))
    temporary = target.with_name(f".{target.name}.{os.getpid()}.restoring")
    try:
        folder = Folder.create(temporary)
        _Restorer(folder).run(path, unlock, progress)
        write_private(folder.restored_file, f"{summary.epoch}\n".encode())
        write_private(folder.unheard_file, b"")
        if erasures is not None:
            write_private(folder.erasures_file, erasures.read_bytes())
        folder.finish()
        temporary.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        raise BackupError(f"{target} cannot be restored: {error.strerror}") from error
    finally:
        with suppress(FileNotFoundError):
            shutil.rmtree(temporary)
    return summary


class _Restorer:
    """Writes what a backup holds, record by record."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._store = FilePayloadStore(folder.payloads_folder)
        self._tables = sa.MetaData()
        self._payload: tuple[bytes, IncomingPayload] | None = None
        self._chunks = 0

    def run(self, path: Path, unlock: Unlock, progress: Callable[[int], None]) -> None:
        """Write keyring, settings and head; then rows and payloads, with the database's commit last."""
        with opened_backup(path, unlock, progress=progress) as reader:
            write_private(self._folder.keyring_file, reader.header.keyring)
            records = reader.records()
            begin = next(records)
            assert isinstance(begin, Begin)
            for _ in _FILES:
                record = next(records)
                if not isinstance(record, ArchivedFile) or record.name not in _FILES:
                    raise BackupError(f"{path} lacks the node's settings", hint="use another backup")
                write_private(self._folder.path / record.name, record.data)
            engines = open_engines(database_url(self._folder, load_settings(self._folder.settings_file)))
            try:
                with engines.writer.begin() as connection:
                    self._prepare(connection, begin.revision)
                    for record in records:
                        self._write(connection, record)
                    self._finish_payload()
            except SQLAlchemyError as error:
                reason = str(getattr(error, "orig", None) or error).splitlines()[0]
                raise BackupError(f"the database failed: {reason}", hint="nothing was restored") from error
            finally:
                engines.close()

    def _prepare(self, connection: sa.Connection, revision: str) -> None:
        if sa.inspect(connection).get_table_names():
            raise BackupError(
                "the database that coffre.toml names is not empty",
                hint="empty it, or name another one in COFFRE_STORAGE__DATABASE",
            )
        create_schema(connection, revision)
        # The tables as they were when the backup was made; the next start brings them up to date.
        self._tables.reflect(connection)

    def _write(self, connection: sa.Connection, record: object) -> None:
        match record:
            case Rows(name, rows):
                self._insert(connection, name, rows)
            case PayloadStart(name):
                self._finish_payload()
                self._payload, self._chunks = (name, self._store.begin(name)), 0
            case PayloadData(data) if self._payload is not None:
                if len(data) > CHUNK_BYTES + TAG_BYTES:
                    raise BackupError("a chunk is too long", hint="use another backup")
                self._payload[1].write_chunk(self._chunks, data)
                self._chunks += 1
            case PayloadGone(name) if self._payload is not None:
                self._payload[1].discard()
                self._payload = None
                self._forget(connection, name)

    def _insert(self, connection: sa.Connection, name: str, rows: list[dict[str, Any]]) -> None:
        table = self._tables.tables.get(name)
        if table is None or name == "alembic_version":
            raise BackupError(f"the backup has an unknown table {name[:40]!r}", hint="install a newer coffre")
        columns = table.columns.keys()
        if any(column not in columns for row in rows for column in row):
            raise BackupError(f"the backup has unknown columns in {name}", hint="install a newer coffre")
        connection.execute(table.insert(), [{column: row.get(column) for column in columns} for row in rows])

    def _finish_payload(self) -> None:
        if self._payload is not None:
            name, incoming = self._payload
            incoming.finish(name)
            self._payload = None

    def _forget(self, connection: sa.Connection, name: bytes) -> None:
        """A payload whose file was gone: its letters were removed while the backup was written, so they are here."""
        letters, outbox, payloads = (self._tables.tables[table] for table in ("letters", "outbox", "payloads"))
        values = {"payload": None, "state": int(LetterState.WITHDRAWN)}
        connection.execute(letters.update().where(letters.c.payload == name).values(**values))
        connection.execute(outbox.update().where(outbox.c.payload == name).values(payload=None))
        connection.execute(payloads.delete().where(payloads.c.id == name))
