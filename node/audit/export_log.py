"""The published log as a folder of files. Spec: spec/publishing.md, 3."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from node.audit.cosigned_heads import best_head
from node.audit.daily_heads import daily_heads, day_lines, day_text
from node.audit.publication import (
    TILE_WIDTH,
    EpochHead,
    TilePath,
    entry_bundle,
    hash_tile,
    list_epochs,
)
from node.audit.tiles import StoredTileReader
from node.errors import ConfigError, StateError, StoreError
from protocol.checkpoint import CheckpointVerifier, peek_checkpoint
from protocol.errors import RemoteProtocolError
from protocol.merkle import consistency_proof, verify_consistency
from protocol.statement import StatementChain

__all__ = ["LogExport", "LogExporter"]

_MAX_LEVEL: Final = 6
_ELSEWHERE: Final = "export into another folder, and find out which of the two logs others know"


@dataclass(frozen=True, slots=True)
class LogExport:
    """What an export did: epochs it covers, leaves they have, files written now."""

    epochs: int
    leaves: int
    files: int


class LogExporter:
    """Writes the layout of the published log into a folder; blocks. with_entries: also the leaves."""

    def __init__(self, connection: sa.Connection, chain: StatementChain, folder: Path, *, with_entries: bool) -> None:
        self._connection = connection
        self._chain = chain
        self._folder = folder / "log"
        self._with_entries = with_entries
        self._files = 0

    def run(self, progress: Callable[[int], None] = lambda _done: None) -> LogExport:
        """Write what is new. progress: leaves covered so far.

        StateError if the folder holds another log, or a head that this log does not extend; ConfigError if it cannot
        be written.
        """
        epochs = list_epochs(self._connection)
        done = 0
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for item in epochs:
                self._export_epoch(item, done, progress)
                done += item.size
            statements = [base64.b64encode(raw) + b"\n" for raw in self._chain.raw_list()]
            self._write(self._folder / "statements", b"".join(statements))
            self._write(self._folder / "epochs", "".join(f"{e.epoch} {e.size}\n" for e in epochs).encode())
        except OSError as error:
            raise ConfigError(f"{self._folder} cannot be written: {error.strerror}") from error
        return LogExport(len(epochs), done, self._files)

    def _export_epoch(self, item: EpochHead, before: int, progress: Callable[[int], None]) -> None:
        folder = self._folder / str(item.epoch)
        old_size = self._size_there(folder / "checkpoint", item)
        for path in self._new_tiles(old_size, item.size):
            data = (entry_bundle if path.level is None else hash_tile)(self._connection, item.epoch, path)
            if data is None:
                raise StoreError(f"log tile {item.epoch}/{path.text} is missing", hint="run: coffre doctor")
            self._write(folder / "tile" / path.text, data)
            if path.level == 0:
                progress(before + path.number * TILE_WIDTH + path.width)
        daily = daily_heads(self._connection, item.epoch)
        for head in daily:
            self._write(folder / "daily" / day_text(head.day), head.note)
        if daily:
            self._write(folder / "daily" / "days", day_lines(daily).encode())
        best = best_head(self._connection, item.epoch)
        if best is not None:
            self._write(folder / "cosigned", best.note)
        self._write(folder / "checkpoint", item.note)

    def _size_there(self, file: Path, item: EpochHead) -> int:
        """The size of the head that an earlier export left; the present log must extend it."""
        try:
            note = file.read_bytes()
        except FileNotFoundError:
            return 0
        try:
            old = CheckpointVerifier(self._chain.node_id, self._chain.trusted_log_keys()).open(note)
            present = peek_checkpoint(item.note)
            if old.size > item.size or old.origin != present.origin:
                raise StateError(f"{file} is not a head of this log, or of more of it than there is", hint=_ELSEWHERE)
            proof: list[bytes] = []
            if old.size:
                proof = consistency_proof(old.size, item.size, StoredTileReader(self._connection, item.epoch))
            verify_consistency(
                old_size=old.size, old_root=old.root, new_size=item.size, new_root=present.root, proof=proof
            )
        except RemoteProtocolError as error:
            raise StateError(
                f"{file} is no head that this log extends ({error.reason.value})", hint=_ELSEWHERE
            ) from error
        return old.size

    def _new_tiles(self, old_size: int, size: int) -> Iterator[TilePath]:
        if self._with_entries:
            # Bundles that an export without entries left out are written by the first one with them.
            yield from _tiles_of(None, 0, size)
        for level in range(_MAX_LEVEL + 1):
            count = size >> (8 * level)
            if count:
                yield from _tiles_of(level, old_size >> (8 * level), count)

    def _write(self, path: Path, data: bytes) -> None:
        """Whole or not at all; a file that says the same already is left alone."""
        if path.exists() and path.read_bytes() == data:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".new")
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        self._files += 1


def _tiles_of(level: int | None, start: int, end: int) -> Iterator[TilePath]:
    """The tiles that hold hashes or entries from `start` (rounded down to a tile) to `end`."""
    for number in range(start // TILE_WIDTH, -(-end // TILE_WIDTH)):
        yield TilePath(level, number, min(TILE_WIDTH, end - number * TILE_WIDTH))
