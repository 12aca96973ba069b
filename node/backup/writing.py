"""Writing a backup beside a running node: one snapshot, sealed as it is read. Spec: spec/backup.md, 3 and 5."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from node.backup.reading import BackupSummary, check_backup
from node.backup.records import (
    ArchivedFile,
    Begin,
    End,
    PayloadData,
    PayloadGone,
    PayloadStart,
    Record,
    Rows,
    encode_record,
)
from node.errors import BackupError, StoreError
from node.folder import Folder, sync_folder
from node.vault import schema
from node.vault.engine import Engines
from node.vault.migrate import HEAD_REVISION
from node.vault.payloads import PayloadStore
from node.vault.states import PayloadState
from node.world import World
from protocol.backup import BackupHeader, BackupSealer
from protocol.crypto import Secret
from protocol.ids import NodeId
from protocol.payload import Descriptor

__all__ = ["BackupSource", "BackupWriter"]

# Rows fetched at once: with payloads of one chunk in them, 13 MB at the most.
_FETCH_ROWS: Final = 50
_RECORD_BYTES: Final = 128 * 1024
_RECORD_ROWS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSource:
    """What is backed up. data_key: from the node's keyring."""

    node_id: NodeId
    institution: str
    folder: Folder
    engines: Engines
    store: PayloadStore
    data_key: Secret
    world: World


class BackupWriter:
    """Writes one backup. All methods block: call them in a thread.

    removed: payloads whose letters were removed while the backup was written. missing: payloads whose file is not
    there although the database still counts on it.
    """

    def __init__(self, source: BackupSource, path: Path) -> None:
        self._source = source
        self._path = path.absolute()
        self._written = 0
        self.removed: list[bytes] = []
        self.missing: list[bytes] = []

    def estimate_bytes(self) -> int:
        """About how many bytes the backup will have, for a progress bar."""
        engines = self._source.engines
        with engines.reader.connect() as connection:
            total = engines.size_bytes(connection)
            return total + sum(descriptor.ciphertext_length for _, descriptor in _payload_files(connection))

    def write(
        self, *, progress: Callable[[int], None] = lambda _done: None, checking: Callable[[int], None] = lambda _: None
    ) -> BackupSummary:
        """Write the backup, read it back, then give it its name. BackupError; after an error nothing is left of it.

        progress: called with the bytes written. checking: with the bytes read back.
        """
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.new")
        try:
            self._refuse_to_overwrite()
            self._remove_leftovers()
            try:
                descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as stream:
                    for part in self._parts():
                        stream.write(part)
                        self._written += len(part)
                        progress(self._written)
                    stream.flush()
                    os.fsync(stream.fileno())
                    # So that reading back reads the disk, not what the kernel remembers of it.
                    os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                summary = check_backup(temporary, lambda _header: self._source.data_key, progress=checking)
                self._refuse_to_overwrite()
                temporary.rename(self._path)
                sync_folder(self._path.parent)
            finally:
                with suppress(FileNotFoundError):
                    temporary.unlink()
        except OSError as error:
            raise BackupError(f"the backup cannot be written to {self._path}: {error.strerror}") from error
        return summary

    def _remove_leftovers(self) -> None:
        """What processes that were killed in mid-backup left under this name; those that live are spared."""
        for path in self._path.parent.glob(f".{glob.escape(self._path.name)}.*.new"):
            number = path.name.removesuffix(".new").rpartition(".")[2]
            if number.isdigit() and not Path(f"/proc/{number}").exists():
                path.unlink(missing_ok=True)

    def _refuse_to_overwrite(self) -> None:
        if os.path.lexists(self._path):
            raise BackupError(f"{self._path} exists; a backup is never overwritten", hint="name a new file")

    def _parts(self) -> Iterator[bytes]:
        source = self._source
        header = BackupHeader(
            node=source.node_id,
            made_at_ms=source.world.now_ms(),
            keyring=source.folder.keyring_file.read_bytes(),
            salt=source.world.random_bytes(32),
        )
        sealer = BackupSealer(source.data_key, header)
        yield sealer.start
        with _snapshot(source.engines) as connection:
            for record in self._records(connection, header.made_at_ms):
                yield from sealer.update(encode_record(record))
        yield sealer.finish()

    def _records(self, connection: sa.Connection, now_ms: int) -> Iterator[Record]:
        source, epochs = self._source, schema.log_epochs
        head = connection.execute(sa.select(epochs).order_by(epochs.c.epoch.desc()).limit(1)).one()
        yield Begin(
            node=source.node_id,
            made_at_ms=now_ms,
            revision=HEAD_REVISION,
            institution=source.institution,
            epoch=head.epoch,
            size=head.size,
        )
        yield ArchivedFile("coffre.toml", source.folder.settings_file.read_bytes())
        yield ArchivedFile("head", head.note)
        rows = 0
        for table in schema.metadata.sorted_tables:
            if table in schema.NOT_BACKED_UP:
                continue
            for record in _table(connection, table):
                rows += len(record.rows)
                yield record
        payloads = 0
        for name, descriptor in _payload_files(connection):
            yield PayloadStart(name)
            try:
                for index in range(descriptor.chunk_count):
                    yield PayloadData(source.store.read_chunk(name, index, descriptor.chunk_length(index)))
            except StoreError:
                yield PayloadGone(name)
                (self.missing if self._is_counted_on(name) else self.removed).append(name)
            else:
                payloads += 1
        yield End(rows=rows, payloads=payloads, gone=len(self.missing) + len(self.removed))

    def _is_counted_on(self, name: bytes) -> bool:
        """Whether the row of a payload is still there now, outside the snapshot."""
        table = schema.payloads
        with self._source.engines.reader.connect() as connection:
            return connection.execute(sa.select(table.c.id).where(table.c.id == name)).one_or_none() is not None


@contextmanager
def _snapshot(engines: Engines) -> Iterator[sa.Connection]:
    """A connection that sees the database as it is now until it is given back, and holds up no writer."""
    with engines.reader.connect() as connection:
        if not engines.is_sqlite:
            connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        yield connection


def _table(connection: sa.Connection, table: sa.Table) -> Iterator[Rows]:
    query = sa.select(table)
    if table is schema.payloads:
        # What is still arriving is offered again; chunks that lie in no finished file are not part of a backup.
        query = query.where(table.c.state == int(PayloadState.COMPLETE))
    pending: list[dict[str, Any]] = []
    size = 0
    for row in connection.execute(query, execution_options={"yield_per": _FETCH_ROWS}).mappings():
        values = {name: value for name, value in row.items() if value is not None}
        pending.append(values)
        size += sum(len(value) for value in values.values() if isinstance(value, bytes | str))
        if size >= _RECORD_BYTES or len(pending) >= _RECORD_ROWS:
            yield Rows(table.name, pending)
            pending, size = [], 0
    if pending:
        yield Rows(table.name, pending)


def _payload_files(connection: sa.Connection) -> Iterator[tuple[bytes, Descriptor]]:
    table = schema.payloads
    query = sa.select(table.c.id, table.c.descriptor).where(
        table.c.state == int(PayloadState.COMPLETE), table.c.data.is_(None)
    )
    for row in connection.execute(query, execution_options={"yield_per": _FETCH_ROWS}):
        yield row.id, Descriptor.decode(row.descriptor)
