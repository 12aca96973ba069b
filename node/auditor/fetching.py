"""Copying what is new of a published log; each byte is checked before it is kept. Spec: spec/audit.md, 2."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import trio

from node.auditor.findings import Finding, Findings, Severity
from node.auditor.forks import write_fork
from node.auditor.heads import signed_head
from node.auditor.places import AuditFolder, LogCopy, chain_or_reason, statement_lines, statement_list, write_whole
from node.auditor.sources import Origin, Source, SourceError, opened_source
from node.auditor.tree import ENTRY_BYTES, TileReader, leaf_hashes_of, root_at, tile_root
from node.errors import CoffreError, LimitError, NotFoundError, StoreError
from node.reports.rendering import language_of
from protocol.checkpoint import Checkpoint, peek_checkpoint
from protocol.errors import Reason, RemoteProtocolError
from protocol.merkle import HASH_BYTES
from protocol.note import MAX_NOTE_BYTES
from protocol.statement import MAX_CHAIN, MAX_STATEMENT_BYTES, StatementChain
from protocol.tile_paths import MAX_LEVEL, TILE_WIDTH, TilePath, tiles_between

__all__ = ["MAX_LEAVES", "Fetched", "fetch_log"]

MAX_LEAVES: Final = 100_000_000
_MAX_EPOCHS_BYTES: Final = 64 * 1024
_MAX_STATEMENTS_BYTES: Final = MAX_CHAIN * (MAX_STATEMENT_BYTES + 1024) * 4 // 3
_MAX_EPOCHS: Final = 4096
# A server answers several at once; more would only queue there.
_AT_ONCE: Final = 8


@dataclass(slots=True)
class Fetched:
    """What a fetch did: leaves that are new, by epoch from where to where; bytes that came; what was found wrong."""

    institution: str
    new: list[tuple[int, int, int]] = field(default_factory=list)
    bytes: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def leaves(self) -> int:
        """New leaves."""
        return sum(end - start for _, start, end in self.new)

    def has(self, severity: Severity) -> bool:
        """Whether anything of this gravity was found."""
        return any(item.severity is severity for item in self.findings)


class _Stop(Exception):
    """This epoch goes no further: the finding was made."""


async def fetch_log(
    folder: AuditFolder,
    origin: Origin,
    *,
    now_ms: int,
    max_leaves: int = MAX_LEAVES,
    repair: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Fetched:
    """Bring the copy up to date. What is wrong with the log, or could not be had, is in the findings.

    repair: look at every file of the copy, and fetch again what is missing or damaged.
    progress: leaves done, of so many that are new.
    """
    copy = folder.copy_of(origin.node)
    fetch = _Fetch(folder, copy, origin, max_leaves, progress, repair=repair)
    if not copy.source_file.exists() or copy.read(copy.source_file) != origin.raw:
        write_whole(copy.source_file, origin.raw, private=True)
    try:
        async with opened_source(origin) as source:
            await fetch.run(source)
    except SourceError as error:
        fetch.findings.add("unreachable", detail=error.message)
    except (LimitError, NotFoundError) as error:
        fetch.findings.add("too_slow", detail=error.message)
    fetch.fetched.findings = fetch.findings.found
    last = [item.to_json(language_of("en")) for item in fetch.fetched.findings]
    if not fetch.fetched.has(Severity.OPEN):
        copy.remember(fetched_at_ms=now_ms, fetch=last)
    else:
        copy.remember(fetch=last)
    return fetch.fetched


class _Fetch:
    def __init__(
        self,
        folder: AuditFolder,
        copy: LogCopy,
        origin: Origin,
        max_leaves: int,
        progress: Callable[[int, int], None],
        *,
        repair: bool,
    ) -> None:
        self.folder = folder
        self.copy = copy
        self.origin = origin
        self.findings = Findings(origin.name)
        self.fetched = Fetched(origin.name)
        self._max_leaves = max_leaves
        self.advanced = progress
        self.repair = repair
        self.admitted = True

    async def get(self, source: Source, path: str, max_bytes: int) -> bytes | None:
        found = await source.get(path, max_bytes)
        self.fetched.bytes += len(found or b"")
        return found

    async def run(self, source: Source) -> None:
        chain = await self._chain(source)
        if chain is None:
            return
        for epoch in await self._epochs(source):
            try:
                await self._epoch(source, epoch, chain)
            except _Stop:
                continue

    async def _chain(self, source: Source) -> StatementChain | None:
        raw = await self.get(source, "statements", _MAX_STATEMENTS_BYTES)
        held, reason = chain_or_reason(self.copy)
        held = held or self.origin.chain
        try:
            if raw is None:
                raise RemoteProtocolError(Reason.MALFORMED, reason or "there are none")
            shown = StatementChain.from_raw_list(statement_list(raw))
            if shown.node_id != self.copy.node:
                raise RemoteProtocolError(Reason.MISMATCH, "they are another node's")
            both = shown
            for item in () if held is None else held.raw_list():
                both = both.extend(item)
        except RemoteProtocolError as error:
            self.findings.add("bad_statements", "log/statements", detail=error.detail or error.reason.value)
            return None
        if len(both.raw_list()) > len(shown.raw_list()):
            self.findings.add("statements_withheld", "log/statements")
        write_whole(self.copy.log / "statements", statement_lines(both))
        return both

    async def _epochs(self, source: Source) -> list[int]:
        raw = await self.get(source, "epochs", _MAX_EPOCHS_BYTES)
        numbers = []
        for line in (raw or b"").decode("ascii", "replace").splitlines()[:_MAX_EPOCHS]:
            number = line.partition(" ")[0]
            if number.isascii() and number.isdigit() and 0 < int(number) < 2**31:
                numbers.append(int(number))
        if not numbers:
            self.findings.add("bad_head", "log/epochs", detail="no epoch is named")
        return sorted(set(numbers))

    async def _epoch(self, source: Source, epoch: int, chain: StatementChain) -> None:
        place = f"epoch {epoch}, head"
        note = await self.get(source, f"{epoch}/checkpoint", MAX_NOTE_BYTES)
        try:
            if note is None:
                raise RemoteProtocolError(Reason.MALFORMED, "there is none")
            head = signed_head(note, chain, epoch)
        except RemoteProtocolError as error:
            self.findings.add("bad_head", place, detail=error.detail or error.reason.value)
            return
        known_note = self.copy.read(self.copy.checkpoint(epoch))
        held = None if known_note is None else peek_checkpoint(known_note)
        largest = self.copy.largest_head(epoch)
        self.copy.keep_head(head, note)
        start = 0 if held is None else held.size
        if head.size < max(largest, start):
            self.findings.add("rollback", place, size=head.size, seen=max(largest, start))
        if head.size < start:
            return
        if held is not None and head.size == start and head.root != held.root:
            write_fork(self.folder, self.copy, chain, known_note or b"", note)
            self.findings.add("fork", place, first=start, second=head.size)
            return
        if head.size - start > self._max_leaves:
            self.findings.add("too_many", place, size=head.size, limit=self._max_leaves)
            return
        await _Tiles(self, source, epoch, head).run(held, known_note, note, chain)
        if head.size > start:
            self.fetched.new.append((epoch, start, head.size))


class _Tiles:
    """The tiles and bundles of one epoch up to one head."""

    def __init__(self, fetch: _Fetch, source: Source, epoch: int, head: Checkpoint) -> None:
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
                raise _Stop
            looked_from = 0 if self._fetch.repair else start
            for level in range(MAX_LEVEL, 0, -1):
                await self._level(level, looked_from)
            await self._edge(start)
            if held is not None and root_at(self._known, start) != held.root:
                findings.add("fork", f"epoch {self._epoch}, head", first=start, second=head.size)
                write_fork(self._fetch.folder, copy, chain, held_note or b"", note, tiles=TileReader(self._known))
                raise _Stop
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
            raise _Stop
        if len(found) != tile.width * HASH_BYTES:
            expected = tile.width * HASH_BYTES
            self._fetch.findings.add("tile_length", self._place(tile), length=len(found), expected=expected)
            raise _Stop
        if not self._fits(tile, found):
            self._fetch.findings.add("bad_tile", self._place(tile))
            raise _Stop
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
                except (_Stop, CoffreError) as error:
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
            raise _Stop
        if len(found) != tile.width * ENTRY_BYTES:
            expected = tile.width * ENTRY_BYTES
            self._fetch.findings.add("bundle_length", self._place(bundle), length=len(found), expected=expected)
            raise _Stop
        computed = leaf_hashes_of(found, tile.width)
        if computed != hashes:
            at = _first_difference(computed, hashes)
            self._fetch.findings.add("bad_leaf", f"{self._place(bundle)}, leaf {number * TILE_WIDTH + at}")
            raise _Stop
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
