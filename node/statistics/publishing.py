"""Making the totals of ended months, publishing them in the own feed, taking them back. Spec: spec/statistics.md, 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
import structlog

from node.errors import StateError
from node.statistics.counts import Measure, MonthCounts
from node.statistics.durations import quantiles
from node.statistics.months import month_number, month_text
from node.statistics.rows import MonthRows
from node.vault import schema
from node.vault.database import Database, Transaction
from node.vault.directory import Directory
from node.vault.totals_rows import totals_made
from protocol.details import Details
from protocol.entry import COUNTS, MIN_THRESHOLD, Seconds, Totals, ended_ms
from protocol.logleaf import EventKind

__all__ = ["Publisher", "make_totals"]

_SETTLED_MS: Final = 30 * 3_600_000
"""After a month has ended on the earliest clocks: by then it has on all, and what stood in the log is counted."""
_MEASURES: Final = (
    Measure.LETTERS,
    Measure.SENT,
    Measure.RECEIVED,
    Measure.OPENED,
    Measure.REFUSED,
    Measure.EXPIRED,
)

_logger = structlog.get_logger(__name__)


def make_totals(month: str, counts: MonthCounts, *, at_ms: int, threshold: int, own: str) -> Totals:
    """What is published of a month. threshold: counts below it are only named. own: the own node's id as text."""
    known = {measure.value: counts.totals[measure] for measure in _MEASURES}
    known |= {"people": counts.people, "institutions": len(counts.institutions - {own})}
    alone = counts.people < threshold
    few = tuple(name for name in COUNTS if known[name] > 0 and (alone or known[name] < threshold))
    given = {name: known[name] for name in COUNTS if known[name] and name not in few}
    return Totals(
        month=month,
        at_ms=at_ms,
        threshold=threshold,
        counts=given,
        few=few,
        delivery=None if alone else _seconds(counts, "delivery", threshold),
        opening=None if alone else _seconds(counts, "opening", threshold),
    )


def _seconds(counts: MonthCounts, name: str, threshold: int) -> Seconds | None:
    found = quantiles(counts.durations.get(name, {}), at_least=threshold)
    return None if found is None else Seconds(found.median_s, found.p90_s)


@dataclass(frozen=True, slots=True)
class _Order:
    """Months to publish, `YYYY-MM`; withdrawn: with nothing in them."""

    months: tuple[str, ...]
    withdrawn: bool = False


class Publisher:
    """Publishes ended months."""

    def __init__(
        self, *, database: Database, directory: Directory, rows: MonthRows, threshold: int, is_on: bool
    ) -> None:
        """threshold: of the settings; what is published knows no less than MIN_THRESHOLD. is_on: if it publishes."""
        self._database = database
        self._directory = directory
        self._rows = rows
        self.threshold = max(MIN_THRESHOLD, threshold)
        self.is_on = is_on

    def due(self, connection: sa.Connection, now_ms: int) -> tuple[str, ...]:
        """The ended months that were counted and not published yet."""
        table = schema.statistics_months
        counted = connection.execute(sa.select(table.c.month).distinct().order_by(table.c.month)).scalars()
        made = totals_made(connection, self._directory.node_id)
        texts = map(month_text, counted)
        return tuple(month for month in texts if month not in made and _has_ended(month, now_ms))

    async def publish_due(self) -> tuple[str, ...]:
        """Publish what is due, if this node publishes and may go on with its feed; returns the months."""
        if not self.is_on or not await self._database.read(self._directory.may_publish):
            return ()
        months = await self._database.read(self.due, self._database.world.now_ms())
        if months:
            await self._database.write(self._write, _Order(months))
            _logger.info("monthly totals published", months=len(months))
        return months

    async def check(self, month: str) -> None:
        """StateError for a month that cannot be published: not ended, nothing counted, or not wished."""
        if not self.is_on:
            raise StateError(
                "this node publishes no totals", hint="set publish = true under [statistics] in coffre.toml"
            )
        if not _has_ended(month, self._database.world.now_ms()):
            raise StateError(f"{month} has not ended, and settled, yet")
        if not await self._database.read(self._rows.months, (month_number(month),)):
            raise StateError(f"nothing was counted in {month}")

    async def publish(self, month: str) -> None:
        """Publish a month, once more if it was. StateError as `check` has it."""
        await self.check(month)
        await self._database.write(self._write, _Order((month,)))

    async def withdraw(self, month: str) -> None:
        """Take back what was published of a month: who holds the feed shows it no more, and keeps that it was there."""
        if month not in await self._database.read(totals_made, self._directory.node_id):
            raise StateError(f"nothing was published of {month}")
        await self._database.write(self._write, _Order((month,), withdrawn=True))

    def _write(self, tx: Transaction, items: Sequence[_Order]) -> Sequence[None]:
        for order in items:
            counts = self._rows.months(tx.connection, map(month_number, order.months))
            made = [
                Totals(month=month, at_ms=tx.now_ms, threshold=self.threshold)
                if order.withdrawn
                else make_totals(
                    month,
                    counts[month_number(month)],
                    at_ms=tx.now_ms,
                    threshold=self.threshold,
                    own=self._directory.node_id.text,
                )
                for month in order.months
            ]
            self._directory.publish_totals(tx, made)
            for month in order.months:
                code = f"totals {month}{' withdrawn' if order.withdrawn else ''}"
                tx.log.append(EventKind.INSTITUTION_CHANGED, Details(node=self._directory.node_id, code=code))
        return [None] * len(items)


def _has_ended(month: str, now_ms: int) -> bool:
    return ended_ms(month) + _SETTLED_MS <= now_ms
