"""Hash tiles of the own log (layout of C2SP tlog-tiles, height 8): appending, and reading nodes for proofs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from node.errors import StoreError
from node.vault import schema
from protocol.merkle import root_of

__all__ = ["StoredTileReader", "TileReader", "extend_tiles"]

TILE_WIDTH: Final = 256
_HEIGHT: Final = 8
_HASH: Final = 32


# Built once: every transaction that appends runs them.
_TILES: Final = schema.log_tiles
_AT: Final = (
    _TILES.c.epoch == sa.bindparam("of_epoch"),
    _TILES.c.level == sa.bindparam("of_level"),
    _TILES.c.position == sa.bindparam("of_position"),
)
_TILE: Final = sa.select(_TILES.c.hashes).where(*_AT)
_SET_TILE: Final = _TILES.update().where(*_AT).values(hashes=sa.bindparam("hashes"))
_TILES_OF_LEVEL: Final = sa.select(_TILES.c.position, _TILES.c.hashes).where(
    _TILES.c.epoch == sa.bindparam("of_epoch"),
    _TILES.c.level == sa.bindparam("of_level"),
    sa.or_(
        _TILES.c.position.between(sa.bindparam("low"), sa.bindparam("high")),
        _TILES.c.position == sa.bindparam("end"),
    ),
)


def _split(tile: bytes) -> list[bytes]:
    return [tile[at : at + _HASH] for at in range(0, len(tile), _HASH)]


def extend_tiles(connection: sa.Connection, epoch: int, start: int, hashes: Sequence[bytes]) -> None:
    """Append leaf hashes from index `start` on: fill tiles, and put the root of each full one a level up."""
    level, position = 0, start
    rising = list(hashes)
    while rising:
        full_roots: list[bytes] = []
        first_full = position // TILE_WIDTH
        taken = 0
        while taken < len(rising):
            tile, offset = divmod(position + taken, TILE_WIDTH)
            piece = rising[taken : taken + TILE_WIDTH - offset]
            taken += len(piece)
            where = {"of_epoch": epoch, "of_level": level, "of_position": tile}
            before = b""
            if offset:
                before = connection.execute(_TILE, where).scalar_one()[: offset * _HASH]
            content = before + b"".join(piece)
            if offset:
                connection.execute(_SET_TILE, {**where, "hashes": content})
            else:
                row = {"epoch": epoch, "level": level, "position": tile, "hashes": content}
                connection.execute(_TILES.insert(), row)
            if len(content) == TILE_WIDTH * _HASH:
                full_roots.append(root_of(_split(content)))
        level, position, rising = level + 1, first_full, full_roots


class TileReader:
    """The HashReader of one tree size, over tiles read beforehand; remembers the inner nodes that it computed."""

    def __init__(self, tiles: dict[tuple[int, int], list[bytes]]) -> None:
        self._tiles = tiles
        self._nodes: dict[tuple[int, int], bytes] = {}

    @classmethod
    def load(
        cls, connection: sa.Connection, epoch: int, size: int, *, first: int, last: int | None = None
    ) -> TileReader:
        """Read the tiles that proofs for leaves `first` to `last` (default: to the end) at this size need."""
        last = size - 1 if last is None else last
        tiles: dict[tuple[int, int], list[bytes]] = {}
        level, count = 0, size
        while count > 0:
            wanted = {
                "of_epoch": epoch,
                "of_level": level,
                "low": first >> (_HEIGHT * (level + 1)),
                "high": last >> (_HEIGHT * (level + 1)),
                "end": (count - 1) // TILE_WIDTH,
            }
            for row in connection.execute(_TILES_OF_LEVEL, wanted):
                tiles[level, row.position] = _split(row.hashes)
            level, count = level + 1, count // TILE_WIDTH
        return cls(tiles)

    def node(self, level: int, index: int) -> bytes:
        """Root of the perfect subtree of 2^level leaves that starts at leaf index·2^level."""
        known = self._nodes.get((level, index))
        if known is not None:
            return known
        tile_level, rest = divmod(level, _HEIGHT)
        tile, offset = divmod(index << rest, TILE_WIDTH)
        try:
            hashes = self._tiles[tile_level, tile]
        except KeyError:
            raise StoreError(f"log tile {tile_level}/{tile} is missing", hint="run: coffre doctor") from None
        found = hashes[offset] if rest == 0 else root_of(hashes[offset : offset + (1 << rest)])
        self._nodes[level, index] = found
        return found


class StoredTileReader(TileReader):
    """A HashReader that reads each tile when it is first asked for: for single proofs over old sizes."""

    def __init__(self, connection: sa.Connection, epoch: int) -> None:
        super().__init__({})
        self._connection = connection
        self._epoch = epoch

    def node(self, level: int, index: int) -> bytes:
        """See TileReader."""
        tile_level, rest = divmod(level, _HEIGHT)
        tile = (index << rest) // TILE_WIDTH
        if (tile_level, tile) not in self._tiles:
            where = {"of_epoch": self._epoch, "of_level": tile_level, "of_position": tile}
            content = self._connection.execute(_TILE, where).scalar_one_or_none()
            if content is not None:
                self._tiles[tile_level, tile] = _split(content)
        return super().node(level, index)
