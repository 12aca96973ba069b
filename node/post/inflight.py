"""Which rows were being handled when a process died: the poison guard. Spec: spec/delivery.md, 3.

A file of 16-byte ids, written before a row is handled and cleared after. Not synced: it must survive the process, not
the machine, and a letter that brings down a whole machine is not found by counting.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from node.vault import schema
from node.vault.database import Transaction
from node.vault.states import OutboxState

__all__ = ["CRASHES_TO_SET_ASIDE", "InFlight", "count_crashes"]

CRASHES_TO_SET_ASIDE: Final = 3
_ID_BYTES: Final = 16
_SLOTS: Final = 4096


class InFlight:
    """Slots of ids in a file. More than 4,096 at a time are not noted: windows are far below that."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        content = os.pread(self._descriptor, _SLOTS * _ID_BYTES, 0)
        ids = (content[at : at + _ID_BYTES] for at in range(0, len(content), _ID_BYTES))
        self.left_behind = frozenset(item for item in ids if len(item) == _ID_BYTES and any(item))
        """What the last process was handling when it ended without clearing."""
        os.ftruncate(self._descriptor, 0)
        os.ftruncate(self._descriptor, _SLOTS * _ID_BYTES)
        self._free = list(range(_SLOTS - 1, -1, -1))
        self._slots: dict[bytes, int] = {}

    def begin(self, row: bytes) -> None:
        """About to handle this row."""
        if self._free and row not in self._slots:
            slot = self._slots[row] = self._free.pop()
            self._write(row, slot)

    def end(self, row: bytes) -> None:
        """Handled, well or badly, without dying."""
        slot = self._slots.pop(row, None)
        if slot is not None:
            self._write(bytes(_ID_BYTES), slot)
            self._free.append(slot)

    def _write(self, data: bytes, slot: int) -> None:
        # On a full disk nothing is noted: the guard is for letters that bring down a process, not for that.
        with suppress(OSError):
            os.pwrite(self._descriptor, data, slot * _ID_BYTES)

    def close(self) -> None:
        """A clean stop: nothing is left behind."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def count_crashes(tx: Transaction, items: Sequence[frozenset[bytes]]) -> Sequence[None]:
    """Of rows left behind; set aside those that were too often. For Database.write."""
    table = schema.outbox
    for left_behind in items:
        for row in left_behind:
            tx.connection.execute(table.update().where(table.c.id == row).values(crashes=table.c.crashes + 1))
            tx.connection.execute(
                table.update()
                .where(
                    table.c.id == row,
                    table.c.crashes >= CRASHES_TO_SET_ASIDE,
                    table.c.state == OutboxState.WAITING,
                )
                .values(state=int(OutboxState.SET_ASIDE))
            )
    return [None] * len(items)
