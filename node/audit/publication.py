"""The own log as others may read it: epochs, heads, hash tiles, entry bundles. Spec: spec/publishing.md, 1.

Everything is read from committed rows. A tile of a partial width is a beginning of the one stored, so readers of an
older head find what they expect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from node.vault import schema
from protocol.merkle import HASH_BYTES
from protocol.tile_paths import TILE_WIDTH, TilePath, tile_path

__all__ = [
    "TILE_WIDTH",
    "EpochHead",
    "TilePath",
    "entry_bundle",
    "hash_tile",
    "list_epochs",
    "read_checkpoint",
    "tile_path",
]


@dataclass(frozen=True, slots=True)
class EpochHead:
    """One epoch of the log: how many leaves it has, and the signed head that says so."""

    epoch: int
    size: int
    note: bytes


_EPOCHS: Final = schema.log_epochs
_COSIGNED: Final = schema.cosigned_heads
_HEADS: Final = sa.select(
    _EPOCHS.c.epoch, _EPOCHS.c.size, _EPOCHS.c.note, _COSIGNED.c.note.label("cosigned")
).outerjoin(_COSIGNED, sa.and_(_COSIGNED.c.epoch == _EPOCHS.c.epoch, _COSIGNED.c.size == _EPOCHS.c.size))


def list_epochs(connection: sa.Connection) -> list[EpochHead]:
    """All epochs with their newest committed heads, oldest first, with the cosignatures that these have."""
    rows = connection.execute(_HEADS.order_by(schema.log_epochs.c.epoch))
    return [EpochHead(row.epoch, row.size, row.cosigned or row.note) for row in rows]


def read_checkpoint(connection: sa.Connection, epoch: int) -> bytes | None:
    """The newest committed head of an epoch, with the cosignatures that it has; None if there is no such epoch."""
    row = connection.execute(_HEADS.where(schema.log_epochs.c.epoch == epoch)).one_or_none()
    return None if row is None else row.cosigned or row.note


def hash_tile(connection: sa.Connection, epoch: int, path: TilePath) -> bytes | None:
    """The hashes of a tile; None beyond what is committed."""
    table = schema.log_tiles
    hashes: bytes | None = connection.execute(
        sa.select(table.c.hashes).where(
            table.c.epoch == epoch, table.c.level == path.level, table.c.position == path.number
        )
    ).scalar_one_or_none()
    wanted = path.width * HASH_BYTES
    return None if hashes is None or len(hashes) < wanted else hashes[:wanted]


def entry_bundle(connection: sa.Connection, epoch: int, path: TilePath) -> bytes | None:
    """The leaves of a tile, each after its length; None beyond what is committed."""
    table = schema.log_leaves
    first = path.number * TILE_WIDTH
    leaves = connection.execute(
        sa.select(table.c.leaf)
        .where(table.c.epoch == epoch, table.c.position >= first, table.c.position < first + path.width)
        .order_by(table.c.position)
    ).scalars()
    parts = [len(leaf).to_bytes(2, "big") + leaf for leaf in leaves]
    return b"".join(parts) if len(parts) == path.width else None
