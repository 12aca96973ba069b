"""One pass over the whole tree of a copy, tile by tile, in bounded memory. Spec: spec/audit.md, 3."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from node.auditor.findings import Findings
from node.auditor.places import LogCopy
from node.auditor.tree import ENTRY_BYTES, leaf_hashes_of, range_of, split, tile_root
from protocol.logleaf import LEAF_BYTES
from protocol.merkle import HASH_BYTES, CompactRange
from protocol.tile_paths import MAX_LEVEL, TILE_WIDTH, TilePath

__all__ = ["TreeCheck", "check_tree"]

_MOST_NAMED: Final = 8
_LENGTH: Final = LEAF_BYTES.to_bytes(2, "big")


@dataclass(slots=True)
class TreeCheck:
    """What one pass over an epoch found: the root, and the roots at the sizes asked for."""

    root: bytes = b""
    roots: dict[int, bytes] = field(default_factory=dict)
    tiles: int = 0
    leaves: int = 0
    whole: bool = True
    """Whether every hash was there, so that the roots are those of the copy."""


class _Levels:
    """The levels above the leaves, growing as tiles of level 0 are done. done: leaves before the tile at hand."""

    def __init__(self, copy: LogCopy, epoch: int, size: int, findings: Findings, check: TreeCheck) -> None:
        self._copy = copy
        self._epoch = epoch
        self._size = size
        self._findings = findings
        self._check = check
        self._rising: list[list[bytes]] = [[] for _ in range(MAX_LEVEL + 1)]
        self.done = 0

    def place(self, tile: TilePath) -> str:
        """How a finding names a tile."""
        return f"epoch {self._epoch}, tile {tile.text}"

    def stored(self, tile: TilePath) -> bytes | None:
        """A tile or bundle as it lies in the copy, of the right length; else None, and it is said."""
        found = self._copy.read(self._copy.tile(self._epoch, tile))
        word = "bundle" if tile.level is None else "tile"
        if found is None:
            self._findings.add(f"missing_{word}", self.place(tile))
            return None
        expected = tile.width * (ENTRY_BYTES if tile.level is None else HASH_BYTES)
        if len(found) != expected:
            self._findings.add(f"{word}_length", self.place(tile), length=len(found), expected=expected)
            return None
        return found

    def parent(self, number: int) -> bytes | None:
        """What the stored tile of level 1 says of the full tile `number` of level 0."""
        above, offset = divmod(number, TILE_WIDTH)
        width = min(TILE_WIDTH, (self._size >> 8) - above * TILE_WIDTH)
        if offset >= width:
            return None
        path = TilePath(1, above, width)
        found = self._copy.read(self._copy.tile(self._epoch, path))
        if found is None or len(found) != width * HASH_BYTES:
            return None
        return found[offset * HASH_BYTES : (offset + 1) * HASH_BYTES]

    def rise(self, root: bytes) -> None:
        """One tile of level 0 is full."""
        for level in range(1, MAX_LEVEL + 1):
            self._rising[level].append(root)
            if len(self._rising[level]) < TILE_WIDTH:
                return
            number = (self.done >> (8 * level)) // TILE_WIDTH
            joined = b"".join(self._rising[level])
            self.compare(TilePath(level, number, TILE_WIDTH), joined)
            self._rising[level].clear()
            root = tile_root(joined)

    def compare(self, tile: TilePath, joined: bytes) -> None:
        """A stored tile against the computed one."""
        found = self.stored(tile)
        self._check.tiles += 1
        if found is None or found == joined or tile.level is None:
            return
        # Which of the two is wrong the tile itself does not say: both are named.
        first = tile.number * TILE_WIDTH
        below = [first + at for at, (a, b) in enumerate(zip(split(found), split(joined), strict=True)) if a != b]
        names = ", ".join(TilePath(tile.level - 1, number, TILE_WIDTH).text for number in below[:_MOST_NAMED])
        self._findings.add("bad_tile", f"{self.place(tile)}, against {names}")

    def edge(self, leaves: Sequence[bytes]) -> list[list[bytes]]:
        """The hashes at the right edge now, with these leaf hashes of an unfinished tile."""
        return [list(leaves), *self._rising[1:]]

    def finish(self) -> None:
        """The partial tiles of the upper levels."""
        for level in range(1, MAX_LEVEL + 1):
            hashes = self._rising[level]
            if hashes:
                number = (self._size >> (8 * level)) // TILE_WIDTH
                self.compare(TilePath(level, number, len(hashes)), b"".join(hashes))


def check_tree(
    copy: LogCopy,
    epoch: int,
    size: int,
    findings: Findings,
    *,
    sizes: Iterable[int] = (),
    with_leaves: bool,
    on_bundle: Callable[[int, bytes], None] = lambda _first, _bundle: None,
    progress: Callable[[int], None] = lambda _done: None,
) -> TreeCheck:
    """Hash every leaf and every tile of an epoch's copy; name each file and leaf that is not what the tree holds.

    sizes: at which the roots are wanted too. with_leaves: whether there are bundles; without, level 0 is the ground.
    on_bundle: gets each good bundle with the index of its first leaf. Blocks.
    """
    check = TreeCheck()
    levels = _Levels(copy, epoch, size, findings, check)
    wanted = sorted({item for item in sizes if 0 <= item <= size}, reverse=True)
    for number in range(-(-size // TILE_WIDTH)):
        first = number * TILE_WIDTH
        width = min(TILE_WIDTH, size - first)
        levels.done = first
        hashes = _ground(levels, number, width, findings, check, with_leaves=with_leaves, on_bundle=on_bundle)
        is_known = hashes is not None
        if hashes is None:
            hashes = bytes(width * HASH_BYTES)
            check.whole = False
        while wanted and wanted[-1] < first + width:
            at = wanted.pop()
            edge = levels.edge(split(hashes[: (at - first) * HASH_BYTES]))
            check.roots[at] = range_of(edge, at).root()
        if width == TILE_WIDTH:
            levels.rise(tile_root(hashes) if is_known else (levels.parent(number) or bytes(HASH_BYTES)))
            tail = b""
        else:
            tail = hashes
        progress(first + width)
        if first + width == size:
            levels.finish()
            check.root = range_of(levels.edge(split(tail)), size).root()
    if size == 0:
        check.root = CompactRange().root()
    for at in wanted:
        check.roots[at] = check.root if at == size else CompactRange().root()
    return check


def _ground(
    levels: _Levels,
    number: int,
    width: int,
    findings: Findings,
    check: TreeCheck,
    *,
    with_leaves: bool,
    on_bundle: Callable[[int, bytes], None],
) -> bytes | None:
    """The hashes of one tile of level 0, from its leaves where they can be had; None if nothing holds."""
    tile = TilePath(0, number, width)
    stored = levels.stored(tile)
    check.tiles += 1
    if not with_leaves:
        return stored
    bundle = levels.stored(TilePath(None, number, width))
    if bundle is None:
        return stored
    computed = leaf_hashes_of(bundle, width)
    if computed is not None and (stored is None or computed == stored):
        check.leaves += width
        on_bundle(number * TILE_WIDTH, bundle)
        return computed
    if stored is None:
        return None
    said = levels.parent(number) if width == TILE_WIDTH else None
    if computed is not None and said is not None and tile_root(computed) == said:
        findings.add("bad_tile", levels.place(tile))
        check.leaves += width
        on_bundle(number * TILE_WIDTH, bundle)
        return computed
    if computed is None:
        computed = b"".join(sha256(b"\0" + item).digest() for item in _entries(bundle))
    _name_leaves(number * TILE_WIDTH, split(stored), split(computed), levels, findings)
    return stored


def _entries(bundle: bytes) -> list[bytes]:
    """The leaves of a bundle whose lengths are not all right: each where it should stand."""
    return [
        bundle[at + 2 : at + ENTRY_BYTES] if bundle[at : at + 2] == _LENGTH else bundle[at : at + ENTRY_BYTES]
        for at in range(0, len(bundle), ENTRY_BYTES)
    ]


def _name_leaves(first: int, stored: list[bytes], computed: list[bytes], levels: _Levels, findings: Findings) -> None:
    """Say which leaves of a bundle are not the tree's, and where one that was moved belongs."""
    places = {hashed: first + offset for offset, hashed in enumerate(stored)}
    for offset, (right, found) in enumerate(zip(stored, computed, strict=False)):
        if right == found:
            continue
        place = f"{levels.place(TilePath(None, first // TILE_WIDTH, len(stored)))}, leaf {first + offset}"
        if (other := places.get(found)) is not None:
            findings.add("moved_leaf", place, other=other)
        else:
            findings.add("bad_leaf", place)
