"""The duty of counting: from the cursor to the log's end, each minute and before statistics are shown.

Spec: spec/statistics.md, 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
import trio

from node.errors import CoffreError
from node.statistics.leaves import LeafCounter
from node.statistics.rows import MonthRows
from node.vault.database import Database
from node.vault.signals import LOG

__all__ = ["Counting"]

_EVERY_S: Final = 60
_AT_LEAST_EVERY_S: Final = 6 * 3600
LEAVES_AT_ONCE: Final = 2000

_logger = structlog.get_logger(__name__)


class Counting:
    """Counts the log on. publish: what else the duty does, once all is counted."""

    def __init__(self, *, database: Database, counter: LeafCounter, rows: MonthRows) -> None:
        self._database = database
        self._counter = counter
        self._rows = rows

    async def run(self, afterwards: Callable[[], object]) -> None:
        """Until cancelled. afterwards: an async function, called after each round."""
        while True:
            ticket = self._database.signals.ticket(LOG)
            try:
                await self.catch_up()
                waiting = afterwards()
                if hasattr(waiting, "__await__"):
                    await waiting
            except CoffreError as error:
                _logger.warning("statistics not counted", error=str(error))
            await trio.sleep(_EVERY_S)
            # A node at rest is left alone; but a month ends there, too.
            with trio.move_on_after(_AT_LEAST_EVERY_S):
                await ticket.wait()

    async def catch_up(self, progress: Callable[[int], None] = lambda _leaves: None) -> int:
        """Count all that the log has and the months have not; returns how many leaves. progress: how many so far."""
        database, done = self._database, 0
        while True:
            begin = await database.read(self._rows.cursor)
            counted = await database.read_batch(self._counter.batch, begin, LEAVES_AT_ONCE)
            if not counted.leaves:
                return done
            if await database.write(self._rows.add, counted):
                done += counted.leaves
                progress(done)

    async def rebuild(self, progress: Callable[[int], None] = lambda _leaves: None) -> int:
        """Forget all months and count the whole log; of what was erased since only sums come back."""
        await self._database.write(self._rows.forget, None)
        return await self.catch_up(progress)
