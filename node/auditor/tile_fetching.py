"""The tiles and bundles of one epoch: from the top down, each checked before it is kept. Spec: spec/audit.md, 2."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

import trio

from node.auditor.findings import Findings
from node.auditor.forks import write_fork
from node.auditor.places import AuditFolder, LogCopy, write_whole
from node.auditor.sources import Origin, Source
from node.auditor.tree import ENTRY_BYTES, TileReader, leaf_hashes_of, root_at, tile_root
from node.errors import CoffreError, NotFoundError, StoreError
from protocol.checkpoint import Checkpoint
from protocol.merkle import HASH_BYTES
from protocol.statement import StatementChain
from protocol.tile_paths import MAX_LEVEL, TILE_WIDTH, TilePath, tiles_between

__all__ = ["EpochTiles", "Fetching", "Stop"]

# A server answers several at once; more would only queue there.
_AT_ONCE: Final = 8


class Stop(Exception):
    """This epoch goes no further: the finding was made."""


class Fetching(Protocol):
    """What the fetch of one log shares with its epochs. admitted: whether leaves are given out, as far as is known."""

    folder: AuditFolder
    copy: LogCopy
    origin: Origin
    findings: Findings
    repair: bool
    admitted: bool
    advanced: Callable[[int, int], None]

    async def get(self, source: Source, path: str, max_bytes: int) -> bytes | None:
        """As Source.get; counts the bytes."""
        ...


class EpochTiles:
    """The tiles and bundles of one epoch up to one head."""

    def __init__(self, fetch: Fetching, source: Source, epoch: int, head: Checkpoint) -> None:
        self._fetch = fetch
        self._source = source
        self._epoch = epoch
        self._head = head
        self._upper: dict[tuple[int, int], bytes] = {}
        self._uses_copy = True
        self._done = 0

    def _width(self, level: int, number: int) -> int:
        return min(TILE_WIDTH, (self._head.size >> (8 * level)) - number * TILE_WIDTH)

    def _place(self, tile: TilePath) -> str:
        return f"epoch {self._epoch}, tile {tile.text}"

    async def run(self, held: Checkpoint | None, held_note: bytes | None, note: bytes, chain: StatementChain) -> None:
        """Bring the copy from the head held to the new one. Stop if something is wrong: the finding was made."""
        copy, findings, head = self._fetch.copy, self._fetch.findings, self._head
        start = 0 if held is None else held.size
        try:
            await self._edge(head.size)
            if root_at(self._known, head.size) != head.root:
                # Partial tiles of the copy may be another history's: what this head is over, the source alone tells.
                self._upper.clear()
                self._uses_copy = False
                await self._edge(head.size)
                self._uses_copy = True
            if root_at(self._known, head.size) != head.root:
                findings.add("bad_root", f"epoch {self._epoch}, head")
                raise Stop
            looked_from = 0 if self._fetch.repair else start
            for level in range(MAX_LEVEL, 0, -1):
                await self._level(level, looked_from)
            await self._edge(start)
            if held is not None and root_at(self._known, start) != held.root:
                findings.add("fork", f"epoch {self._epoch}, head", first=start, second=head.size)
                write_fork(self._fetch.folder, copy, chain, held_note or b"", note, tiles=TileReader(self._known))
                raise Stop
            for (level, number), data in self._upper.items():
                self._store(TilePath(level, number, self._width(level, number)), data)
            await self._ground(looked_from)
        finally:
            self._upper.clear()
        if note != held_note:
            write_whole(copy.checkpoint(self._epoch), note)
        _remove_partials(copy, self._epoch, start, head.size, with_leaves=self._fetch.admitted)

    def _known(self, level: int, number: int) -> bytes:
        try:
            return self._upper[level, number]
        except KeyError:
            raise StoreError(f"tile {level}/{number} was not fetched") from None

    async def _edge(self, size: int) -> None:
        """Have the tiles at the right edge of this size, checked against the level above (at the head: its root)."""
        for level in range(MAX_LEVEL, -1, -1):
            number, width = divmod(size >> (8 * level), TILE_WIDTH)
            if width and (level, number) not in self._upper:
                tile = TilePath(level, number, self._width(level, number))
                self._upper[level, number] = await self._hashes(tile)

    async def _level(self, level: int, start: int) -> None:
        """The new full tiles of an upper level."""
        for tile in tiles_between(level, start >> (8 * level), self._head.size >> (8 * level)):
            if (level, tile.number) not in self._upper:
                self._upper[level, tile.number] = await self._hashes(tile)

    async def _hashes(self, tile: TilePath) -> bytes:
        """A hash tile, from the copy or the source; a full one is what the tile above says, or the fetch ends here."""
        copy = self._fetch.copy
        kept = copy.read(copy.tile(self._epoch, tile)) if self._uses_copy else None
        if kept is not None and self._fits(tile, kept):
            return kept
        found = await self._bring(tile, HASH_BYTES)
        if found is None:
            self._fetch.findings.add("missing_tile", self._place(tile))
            raise Stop
        if len(found) != tile.width * HASH_BYTES:
            expected = tile.width * HASH_BYTES
            self._fetch.findings.add("tile_length", self._place(tile), length=len(found), expected=expected)
            raise Stop
        if not self._fits(tile, found):
            self._fetch.findings.add("bad_tile", self._place(tile))
            raise Stop
        return found

    def _fits(self, tile: TilePath, data: bytes) -> bool:
        """Whether these are the hashes that the tile above promises. Partial ones the root vouches for."""
        if len(data) != tile.width * HASH_BYTES or tile.level is None:
            return False
        if tile.width < TILE_WIDTH:
            return True
        above, offset = divmod(tile.number, TILE_WIDTH)
        parent = self._upper.get((tile.level + 1, above))
        if parent is None:
            return tile.level == MAX_LEVEL
        return tile_root(data) == parent[offset * HASH_BYTES : (offset + 1) * HASH_BYTES]

    async def _bring(self, tile: TilePath, each: int) -> bytes | None:
        """A tile from the source; a full one stands in for a partial one that is gone."""
        get, path = self._fetch.get, f"{self._epoch}/tile/{tile.text}"
        found = await get(self._source, path, tile.width * each)
        if found is None and tile.width < TILE_WIDTH:
            full = TilePath(tile.level, tile.number, TILE_WIDTH)
            whole = await get(self._source, f"{self._epoch}/tile/{full.text}", TILE_WIDTH * each)
            found = None if whole is None else whole[: tile.width * each]
        return found

    async def _ground(self, start: int) -> None:
        """Level 0 and the leaves: several at once. Bundles that an earlier fetch did not get are fetched now."""
        copy, size = self._fetch.copy, self._head.size
        numbers = [
            tile.number
            for tile in tiles_between(0, 0, size)
            if tile.number >= start // TILE_WIDTH
            or not copy.tile(self._epoch, tile).exists()
            or (self._fetch.admitted and not copy.tile(self._epoch, TilePath(None, tile.number, tile.width)).exists())
        ]
        total = len(numbers)
        waiting = iter(numbers)
        failed: list[Exception] = []

        async def work() -> None:
            for number in waiting:
                if failed:
                    return
                try:
                    await self._both(number)
                except (Stop, CoffreError) as error:
                    failed.append(error)
                    return
                self._done += 1
                self._fetch.advanced(self._done * TILE_WIDTH, total * TILE_WIDTH)

        async with trio.open_nursery() as nursery:
            for _ in range(min(_AT_ONCE, total)):
                nursery.start_soon(work)
        if failed:
            raise failed[0]

    async def _both(self, number: int) -> None:
        tile = TilePath(0, number, self._width(0, number))
        hashes = self._upper.get((0, number)) or await self._hashes(tile)
        self._store(tile, hashes)
        bundle = TilePath(None, number, tile.width)
        kept = self._fetch.copy.read(self._fetch.copy.tile(self._epoch, bundle))
        if not self._fetch.admitted or (kept is not None and leaf_hashes_of(kept, tile.width) == hashes):
            return
        try:
            found = await self._bring(bundle, ENTRY_BYTES)
        except NotFoundError:
            self._without_leaves()
            return
        if found is None and self._fetch.origin.has_no_entries(self._epoch):
            self._without_leaves()
            return
        if found is None:
            self._fetch.findings.add("missing_bundle", self._place(bundle))
            raise Stop
        if len(found) != tile.width * ENTRY_BYTES:
            expected = tile.width * ENTRY_BYTES
            self._fetch.findings.add("bundle_length", self._place(bundle), length=len(found), expected=expected)
            raise Stop
        computed = leaf_hashes_of(found, tile.width)
        if computed != hashes:
            at = _first_difference(computed, hashes)
            self._fetch.findings.add("bad_leaf", f"{self._place(bundle)}, leaf {number * TILE_WIDTH + at}")
            raise Stop
        self._store(bundle, found)

    def _without_leaves(self) -> None:
        self._fetch.admitted = False
        self._fetch.findings.add("leaves_unread")

    def _store(self, tile: TilePath, data: bytes) -> None:
        path = self._fetch.copy.tile(self._epoch, tile)
        if self._fetch.copy.read(path) != data:
            # Not flushed one by one: a tile that a power cut spoils is found by its hash, and fetched again.
            write_whole(path, data, durable=False)


def _first_difference(computed: bytes | None, hashes: bytes) -> int:
    if computed is None:
        return 0
    pairs = range(0, len(hashes), HASH_BYTES)
    return next(at // HASH_BYTES for at in pairs if computed[at : at + HASH_BYTES] != hashes[at : at + HASH_BYTES])


def _remove_partials(copy: LogCopy, epoch: int, start: int, size: int, *, with_leaves: bool) -> None:
    """Partial tiles at the former right edge that fuller ones replaced."""
    levels: Iterable[int | None] = (*range(MAX_LEVEL + 1), *((None,) if with_leaves else ()))
    for level in levels:
        shift = 8 * (level or 0)
        number, width = divmod(start >> shift, TILE_WIDTH)
        if width and start >> shift != size >> shift:
            path = copy.tile(epoch, TilePath(level, number, width))
            path.unlink(missing_ok=True)
            if path.parent.is_dir() and not any(path.parent.iterdir()):
                path.parent.rmdir()
