"""A head for each day, signed with ML-DSA-44 too. Spec: spec/cosigning.md, 5."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from node.audit.cosigned_heads import CosignedHeads
from node.vault import schema
from node.vault.database import Transaction
from protocol.logleaf import LogLeaf
from protocol.mldsa import PqSecret
from protocol.pq_line import add_pq_line

__all__ = ["DailyHead", "DailyHeads", "daily_heads", "day_lines", "day_number", "day_text"]

_DAY_MS: Final = 86_400_000
_EPOCH_DAY: Final = datetime.date(1970, 1, 1).toordinal()
_MAX_DAY: Final = datetime.date.max.toordinal() - _EPOCH_DAY
_TABLE: Final = schema.daily_heads


@dataclass(frozen=True, slots=True)
class DailyHead:
    """The head of one UTC day (days since 1970), with its ML-DSA line and the cosignatures that it has."""

    epoch: int
    day: int
    size: int
    note: bytes


def day_text(day: int) -> str:
    """As it is named: 2027-01-31."""
    return datetime.date.fromordinal(_EPOCH_DAY + min(day, _MAX_DAY)).isoformat()


def day_number(text: str) -> int | None:
    """The day that is so named; None for any other spelling."""
    try:
        day = datetime.date.fromisoformat(text).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    return day if day >= 0 and day_text(day) == text else None


def day_lines(heads: Iterable[DailyHead]) -> str:
    """The list of daily heads as it is published: a line each, its day and size."""
    return "".join(f"{day_text(item.day)} {item.size}\n" for item in heads)


def daily_heads(connection: sa.Connection, epoch: int | None = None, day: int | None = None) -> list[DailyHead]:
    """The daily heads of one epoch, or of all, oldest first; or that of one day."""
    query = sa.select(_TABLE.c.epoch, _TABLE.c.day, _TABLE.c.size, _TABLE.c.note).order_by(_TABLE.c.epoch, _TABLE.c.day)
    if epoch is not None:
        query = query.where(_TABLE.c.epoch == epoch)
    if day is not None:
        query = query.where(_TABLE.c.day == day)
    return [DailyHead(*row) for row in connection.execute(query)]


class DailyHeads:
    """Makes them, and has them cosigned."""

    def __init__(self, secret: Callable[[], PqSecret], heads: CosignedHeads) -> None:
        """secret: the log's ML-DSA key as it is now."""
        self._secret = secret
        self._heads = heads

    def is_due(self, connection: sa.Connection, now_ms: int) -> bool:
        """Whether a day ended since the last one, and the log grew before it ended."""
        epochs, leaves = schema.log_epochs, schema.log_leaves
        epoch = connection.execute(sa.select(sa.func.max(epochs.c.epoch))).scalar_one()
        last = connection.execute(
            sa.select(_TABLE.c.day, _TABLE.c.size).where(_TABLE.c.epoch == epoch).order_by(_TABLE.c.day.desc()).limit(1)
        ).one_or_none()
        today = now_ms // _DAY_MS
        first_new = connection.execute(
            sa.select(leaves.c.leaf).where(
                leaves.c.epoch == epoch, leaves.c.position == (0 if last is None else last.size)
            )
        ).scalar_one_or_none()
        grew = first_new is not None and LogLeaf.decode(first_new).time_ms < today * _DAY_MS
        return grew and (last is None or last.day < today - 1)

    def make(self, tx: Transaction, items: Sequence[None]) -> Sequence[bool]:
        """Sign the present head for the day that ended last, and choose it to be cosigned, if that is due."""
        epochs = schema.log_epochs
        query = sa.select(epochs.c.epoch, epochs.c.size, epochs.c.note).order_by(epochs.c.epoch.desc()).limit(1)
        row = tx.connection.execute(query.with_for_update()).one()
        if not self.is_due(tx.connection, tx.now_ms):
            return [False] * len(items)
        self._heads.put(tx, row.epoch, row.size, row.note)
        note = add_pq_line(row.note, self._secret(), time_s=max(tx.now_ms // 1000, 1))
        # What cosigned this head before it became that of a day.
        note += self._heads.lines(tx.connection, row.epoch, row.size)
        day = tx.now_ms // _DAY_MS - 1
        tx.connection.execute(_TABLE.insert().values(epoch=row.epoch, day=day, size=row.size, note=note))
        return [True] * len(items)
