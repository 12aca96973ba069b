"""The published files of the own log, straight from the database: what an auditor of this node copies.

Spec: spec/publishing.md, 1; spec/desks.md, 4.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Final

import sqlalchemy as sa

from node.audit.cosigned_heads import best_head
from node.audit.daily_heads import daily_heads, day_lines, day_number
from node.audit.publication import entry_bundle, hash_tile, list_epochs, read_checkpoint, tile_path
from node.errors import LimitError
from node.vault.database import Database
from protocol.statement import StatementChain

__all__ = ["StoredSource"]

_MAX_EPOCH: Final = 2**31 - 1


class StoredSource:
    """See Source (node/auditor/sources.py)."""

    def __init__(self, database: Database, chain: Callable[[], StatementChain]) -> None:
        self._database = database
        self._chain = chain

    async def get(self, path: str, max_bytes: int) -> bytes | None:
        """The file below `log/`; None if there is none. LimitError."""
        data = await self._database.read_batch(self._read, path)
        if data is not None and len(data) > max_bytes:
            raise LimitError(f"log/{path} has more than the {max_bytes} bytes that it can have")
        return data

    def _read(self, connection: sa.Connection, path: str) -> bytes | None:
        if path == "epochs":
            return "".join(f"{item.epoch} {item.size}\n" for item in list_epochs(connection)).encode()
        if path == "statements":
            return b"".join(base64.b64encode(raw) + b"\n" for raw in self._chain().raw_list())
        number, _, name = path.partition("/")
        epoch = int(number) if number.isascii() and number.isdigit() and len(number) < 11 else 0
        return None if not 0 < epoch <= _MAX_EPOCH else self._of_epoch(connection, epoch, name)

    def _of_epoch(self, connection: sa.Connection, epoch: int, name: str) -> bytes | None:
        if name == "checkpoint":
            return read_checkpoint(connection, epoch)
        if name == "cosigned":
            best = best_head(connection, epoch)
            return None if best is None else best.note
        if name.startswith("daily/"):
            day = day_number(name.removeprefix("daily/"))
            if day is None:
                return day_lines(daily_heads(connection, epoch)).encode() if name == "daily/days" else None
            found = daily_heads(connection, epoch, day)
            return found[0].note if found else None
        tile = tile_path(name.removeprefix("tile/")) if name.startswith("tile/") else None
        if tile is None:
            return None
        return (entry_bundle if tile.level is None else hash_tile)(connection, epoch, tile)
