"""Tiles and bundles, hashed, and roots from them. Spec: spec/audit.md, 2 and 3; publishing.md, 1."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final

from node.auditor.places import LogCopy
from node.errors import StoreError
from protocol.logleaf import LEAF_BYTES
from protocol.merkle import HASH_BYTES, CompactRange, root_of
from protocol.tile_paths import MAX_LEVEL, TILE_WIDTH, TilePath

__all__ = [
    "ENTRY_BYTES",
    "CopiedTiles",
    "TileReader",
    "leaf_hashes_of",
    "root_at",
    "tile_root",
]

ENTRY_BYTES: Final = LEAF_BYTES + 2
_LENGTH: Final = LEAF_BYTES.to_bytes(2, "big")


def tile_root(hashes: bytes) -> bytes:
    """The root over a full tile's 256 hashes, given joined. The loop of an audit: half of all hashing is here."""
    hashed = sha256
    while len(hashes) > HASH_BYTES:
        hashes = b"".join(
            [hashed(b"\x01" + hashes[at : at + 64]).digest() for at in range(0, len(hashes), 2 * HASH_BYTES)]
        )
    return hashes


def leaf_hashes_of(bundle: bytes, width: int) -> bytes | None:
    """The joined hashes of an entry bundle's leaves; None unless it is exactly `width` leaves of 59 bytes."""
    if len(bundle) != width * ENTRY_BYTES:
        return None
    if bundle[0::ENTRY_BYTES] != _LENGTH[:1] * width or bundle[1::ENTRY_BYTES] != _LENGTH[1:] * width:
        return None
    hashed = sha256
    return b"".join(
        [hashed(b"\0" + bundle[at + 2 : at + ENTRY_BYTES]).digest() for at in range(0, len(bundle), ENTRY_BYTES)]
    )


def split(joined: bytes) -> list[bytes]:
    """Joined hashes, one by one."""
    return [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]


def range_of(pending: Sequence[Iterable[bytes]], size: int) -> CompactRange:
    """The compact range of a tree from the hashes at its right edge, those of level 0 first."""
    hashes: list[bytes] = []
    for level in reversed(pending):
        part = CompactRange()
        for item in level:
            part.append(item)
        hashes += part.hashes
    return CompactRange(size, hashes)


class TileReader:
    """A HashReader over tiles that a function gives: level and number to joined hashes."""

    def __init__(self, tile: Callable[[int, int], bytes]) -> None:
        """tile: raises StoreError for what is not there."""
        self.tile = tile

    def node(self, level: int, index: int) -> bytes:
        """See HashReader."""
        tile_level, rest = divmod(level, 8)
        number, offset = divmod(index << rest, TILE_WIDTH)
        hashes = self.tile(tile_level, number)[offset * HASH_BYTES : (offset + (1 << rest)) * HASH_BYTES]
        return root_of(split(hashes))


class CopiedTiles(TileReader):
    """The hashes of one epoch's copy, read when asked for."""

    def __init__(self, copy: LogCopy, epoch: int, size: int) -> None:
        """size: of the copy's head; tells how wide the last tile of each level is."""
        self._copy = copy
        self._epoch = epoch
        self._size = size
        super().__init__(lru_cache(maxsize=64)(self._read_tile))

    def _read_tile(self, level: int, number: int) -> bytes:
        width = max(0, min(TILE_WIDTH, (self._size >> (8 * level)) - number * TILE_WIDTH))
        path = TilePath(level, number, width)
        found = self._copy.read(self._copy.tile(self._epoch, path)) if width else b""
        if found is None or len(found) != width * HASH_BYTES:
            raise StoreError(f"tile {self._epoch}/{path.text} is missing or cut", hint="fetch again")
        return found

    def leaf_hash(self, index: int) -> bytes:
        """The hash of one leaf."""
        return self.node(0, index)


def root_at(tile: Callable[[int, int], bytes], size: int) -> bytes:
    """The root at a size, from the tiles at that size's right edge. tile: level and number to joined hashes."""
    pending: list[list[bytes]] = []
    for level in range(MAX_LEVEL + 1):
        number, width = divmod(size >> (8 * level), TILE_WIDTH)
        pending.append(split(tile(level, number)[: width * HASH_BYTES]) if width else [])
    return range_of(pending, size).root()
