"""When the last backup was made: figures and alarms ask each minute, and the log would have to be read for it."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from node.vault.database import Transaction
from node.vault.node_state import NodeState

__all__ = ["last_backup_ms", "note_backup"]

_NAME: Final = "last_backup"


def note_backup(tx: Transaction, state: NodeState) -> None:
    """A backup was made now."""
    state.set(tx, _NAME, {"at": tx.now_ms})


def last_backup_ms(connection: sa.Connection, state: NodeState) -> int | None:
    """When the last one was made, milliseconds UTC; None before the first."""
    found = state.find(connection, _NAME)
    return None if found is None else found.integer("at")
