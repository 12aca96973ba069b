"""A log that lost its end: noticed by heads that others saw, and continued in a new epoch. Spec: spec/backup.md, 7."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa
import structlog

from node.audit.log import Head, Log
from node.audit.tiles import StoredTileReader
from node.errors import StoreError
from node.folder import Folder, sync_folder, write_private
from node.vault import schema
from node.vault.database import Database, Transaction
from node.vault.signals import FEED
from protocol.checkpoint import Checkpoint, CheckpointVerifier, parse_origin, peek_checkpoint
from protocol.details import Details
from protocol.errors import RemoteProtocolError
from protocol.logleaf import EventKind
from protocol.merkle import consistency_proof, verify_consistency
from protocol.statement import StatementChain

__all__ = ["LogHistory", "OwnHead"]

_MINUTE_MS: Final = 60_000
_ROOT_BYTES: Final = 16

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class OwnHead:
    """What a head of the own log says; the order is that of epoch and size."""

    epoch: int
    size: int
    root: bytes

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> OwnHead:
        """From a checkpoint whose origin is the own log's."""
        return cls(parse_origin(checkpoint.origin)[2], checkpoint.size, checkpoint.root)

    @property
    def code(self) -> str:
        """As the first leaf of the next epoch names it."""
        return f"{self.epoch}/{self.size}/{self.root[:_ROOT_BYTES].hex()}"


class LogHistory:
    """Compares the own log with what others saw of it, and opens the next epoch where its end is lost."""

    def __init__(self, *, folder: Folder, database: Database, log: Log, chain: Callable[[], StatementChain]) -> None:
        self._folder = folder
        self._database = database
        self._log = log
        self._chain = chain

    # -- the head outside the database

    async def write_head_file(self) -> None:
        """Write the last committed head beside the database, unless another process wrote a later one."""
        released = self._log.released
        if released is not None:
            try:
                await self._database.world.run_blocking(self._write_head, released)
            except OSError as error:
                raise StoreError(f"{self._folder.head_file} cannot be written: {error.strerror}") from error

    def _write_head(self, released: Head) -> None:
        with self._folder.head_file_alone():
            kept = self._kept_head()
            if kept is None or (kept.epoch, kept.size) < (released.epoch, released.size):
                write_private(self._folder.head_file, released.note)

    async def settle(self) -> None:
        """Before anything is signed after a start: open an epoch if the folder was restored, or the head file is ahead.

        StoreError for a head file that is damaged or another node's.
        """
        run = self._database.world.run_blocking
        found = await run(self._lost_head)
        if found is not None:
            await self.open_epoch(found)
        if await run(self._folder.restored_file.exists):
            await self._database.write(self._log_restored, await run(self._restored_epoch))
            await self.write_head_file()
            await run(self._remove_mark)

    def _log_restored(self, tx: Transaction, items: Sequence[int | None]) -> Sequence[None]:
        for epoch in items:
            tx.log.append(EventKind.BACKUP_RESTORED, Details(node=self._log.node_id, code=f"epoch {epoch}"))
        return [None] * len(items)

    def _lost_head(self) -> OwnHead | None:
        kept = self._kept_head()
        restored = self._restored_epoch()
        if kept is None and restored is None:
            return None
        stored = self._database.read_now(_stored_head)
        if kept is not None and self._database.read_now(_is_lost, kept):
            return max(kept, stored)
        return stored if restored is not None and stored.epoch <= restored else None

    def _kept_head(self) -> OwnHead | None:
        try:
            return self._own(self._folder.head_file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, RemoteProtocolError) as error:
            raise StoreError(f"{self._folder.head_file} cannot be read", hint="run: coffre doctor") from error

    def _restored_epoch(self) -> int | None:
        try:
            return int(self._folder.restored_file.read_text(encoding="ascii"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StoreError(f"{self._folder.restored_file} cannot be read", hint="restore the backup again") from error

    async def heard_from_a_peer(self) -> None:
        """A peer said what it holds of this node, and it was taken in: the own feed may go on."""
        run = self._database.world.run_blocking
        if await run(self._folder.unheard_file.exists):
            await run(self._remove, self._folder.unheard_file)

    def _remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        sync_folder(self._folder.path)

    def _remove_mark(self) -> None:
        self._remove(self._folder.restored_file)

    # -- heads that peers show

    def _own_or_none(self, note: bytes) -> OwnHead | None:
        try:
            kind = parse_origin(peek_checkpoint(note).origin)[0]
            return self._own(note) if kind == "log" else None
        except RemoteProtocolError:
            return None

    def _own(self, note: bytes) -> OwnHead:
        chain = self._chain()
        return OwnHead.of(CheckpointVerifier(chain.node_id, chain.log_keys()).open(note))

    async def shown(self, notes: Sequence[bytes]) -> None:
        """Peers hold these heads: open an epoch if the log does not go on from one of them.

        Passed over: heads of other logs and feeds, and what this node did not sign (a peer could show anything).
        """
        heads = [head for note in notes if (head := self._own_or_none(note)) is not None]
        lost = [head for head in heads if await self._database.read(_is_lost, head)]
        if lost:
            found = max(lost)
            _logger.error("a peer holds a head beyond the own log: a new epoch", found=found.code)
            await self.open_epoch(found)

    # -- the next epoch

    async def open_epoch(self, found: OwnHead) -> None:
        """Sign nothing more in the present epoch: open the next one, whose first leaf names the highest head found."""
        await self._database.write(self._open, found)

    def _open(self, tx: Transaction, items: Sequence[OwnHead]) -> Sequence[None]:
        for found in items:
            stored = _stored_head(tx.connection, lock=True)
            if stored.epoch > found.epoch:
                continue  # opened meanwhile, over another link or by another process
            highest = max(stored, found)
            # By the clock, so that two restores of one backup never open the same epoch.
            epoch = max(highest.epoch + 1, tx.now_ms // _MINUTE_MS)
            tx.log.open_epoch(epoch, highest.code)
            tx.wake(FEED)
        return [None] * len(items)


def _stored_head(connection: sa.Connection, *, lock: bool = False) -> OwnHead:
    table = schema.log_epochs
    query = sa.select(table.c.note).order_by(table.c.epoch.desc()).limit(1)
    note = connection.execute(query.with_for_update() if lock else query).scalar_one()
    return OwnHead.of(peek_checkpoint(note))


def _is_lost(connection: sa.Connection, found: OwnHead) -> bool:
    """Whether the present epoch does not go on from this head. Earlier epochs are closed: nothing follows there."""
    stored = _stored_head(connection)
    if found.epoch != stored.epoch:
        return found.epoch > stored.epoch
    if found.size > stored.size or not found.size:
        return found.size > stored.size
    proof = consistency_proof(found.size, stored.size, StoredTileReader(connection, stored.epoch))
    try:
        verify_consistency(
            old_size=found.size, old_root=found.root, new_size=stored.size, new_root=stored.root, proof=proof
        )
    except RemoteProtocolError:
        return True
    return False
