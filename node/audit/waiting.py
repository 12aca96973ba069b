"""Waiting until others have cosigned the own log. Spec: spec/cosigning.md, 3."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
import trio

from node.audit.cosigned_heads import CosignedHeads, newest_size
from node.errors import StateError
from node.vault.database import Database

__all__ = ["wait_cosigned"]

# Another process keeps the cosignatures, which wakes nobody here; one question by an index costs it nothing.
_LOOK_EVERY_S: Final = 0.5


async def wait_cosigned(
    database: Database, heads: CosignedHeads, *, cosigners: int, size: int | None, within_s: float
) -> None:
    """Return once so many others cosigned one head of the own log that has at least `size` entries.

    size: None for as many as the newest epoch has when this is called, or when it begins.
    StateError if there are not so many others at all, or if time is over.
    """
    others = await database.read(heads.possible)
    if others < cosigners:
        raise StateError(
            f"{cosigners} others cannot cosign this log: {others} are accepted", hint="see: coffre peers, coffre trust"
        )
    epoch, wanted = 0, 0

    def reached(connection: sa.Connection) -> bool:
        nonlocal epoch, wanted
        newest, entries = newest_size(connection)
        if newest != epoch:
            epoch, wanted = newest, entries if size is None else size
        return heads.witnessed_size(connection, epoch, cosigners) >= wanted

    with trio.move_on_after(within_s):
        while not await database.read(reached):
            await trio.sleep(_LOOK_EVERY_S)
        return
    raise StateError(
        f"the first {wanted} entries were not cosigned by {cosigners} within {within_s:g} s",
        hint="does the node run, and are they linked? see: coffre peers",
    )
