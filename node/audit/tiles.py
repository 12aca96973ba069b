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


def _split(tile: bytes) -> list[bytes]:
    return [tile[at : at + _HASH] for at in range(0, len(tile), _HASH)]


def extend_tiles(connection: sa.Connection, epoch: int, start: int, hashes: Sequence[bytes]) -> None:
    """Append leaf hashes from index `start` on: fill tiles, and put the root of each full one a level up."""
    table = schema.log_tiles
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
            where = (table.c.epoch == epoch, table.c.level == level, table.c.position == tile)
            before = b""
            if offset:
                before = connection.execute(sa.select(table.c.hashes).where(*where)).scalar_one()[: offset * _HASH]
            content = before + b"".join(piece)
            if offset:
                connection.execute(table.update().where(*where).values(hashes=content))
            else:
                connection.execute(table.insert().values(epoch=epoch, level=level, position=tile, hashes=content))
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
        table = schema.log_tiles
        last = size - 1 if last is None else last
        wanted: list[sa.ColumnElement[bool]] = []
        level, count = 0, size
        while count > 0:
            low, high, end = (
                first >> (_HEIGHT * (level + 1)),
                last >> (_HEIGHT * (level + 1)),
                (count - 1) // TILE_WIDTH,
            )
            wanted.append(
                sa.and_(
                    table.c.level == level,
                    sa.or_(table.c.position.between(low, high), table.c.position == end),
                )
            )
            level, count = level + 1, count // TILE_WIDTH
        rows = connection.execute(
            sa.select(table.c.level, table.c.position, table.c.hashes).where(table.c.epoch == epoch, sa.or_(*wanted))
        )
        return cls({(row.level, row.position): _split(row.hashes) for row in rows})

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
            table = schema.log_tiles
            content = self._connection.execute(
                sa.select(table.c.hashes).where(
                    table.c.epoch == self._epoch, table.c.level == tile_level, table.c.position == tile
                )
            ).scalar_one_or_none()
            if content is not None:
                self._tiles[tile_level, tile] = _split(content)
        return super().node(level, index)
