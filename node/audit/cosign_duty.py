"""What the log asks of the running node beside the letters: heads chosen, days closed, evidence completed.

Spec: spec/cosigning.md, 3 and 5.
"""

from __future__ import annotations

from typing import Final

import trio

from node.audit.completion import Completion
from node.audit.cosigned_heads import CosignedHeads
from node.audit.daily_heads import DailyHeads
from node.supervision import keep_running
from node.vault.database import Database
from node.vault.signals import LOG

__all__ = ["CosignDuty"]

_COMPLETE_EVERY_S: Final = 15 * 60
_LOOK_EVERY_S: Final = 3600
_TELL_EVERY_S: Final = 24 * 3600


class CosignDuty:
    """One process of a node does it (claims)."""

    def __init__(self, database: Database, heads: CosignedHeads, daily: DailyHeads, completion: Completion) -> None:
        self._database = database
        self._heads = heads
        self._daily = daily
        self._completion = completion

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            for work in (self._choose, self._complete, self._tell):
                nursery.start_soon(keep_running, work)

    async def _choose(self) -> None:
        """One head in so many seconds while the log grows, whichever process lets it grow; else at rest."""
        every_s = self._heads.settings.cosign_every_s
        # What other processes commit to one PostgreSQL wakes nobody here.
        idle_s = _LOOK_EVERY_S if self._database.engines.is_sqlite else every_s
        while True:
            ticket = self._database.signals.ticket(LOG)
            now_ms = self._database.world.now_ms()
            if await self._database.read(self._daily.is_due, now_ms):
                await self._database.write(self._daily.make, None)
            if await self._database.read(self._heads.is_due, now_ms):
                await self._database.write(self._heads.choose, None)
            await trio.sleep(every_s)
            with trio.move_on_after(idle_s):
                await ticket.wait()

    async def _complete(self) -> None:
        while True:
            await trio.sleep(_COMPLETE_EVERY_S)
            while await self._database.read(self._completion.is_due):
                await self._database.write(self._completion.complete, None)

    async def _tell(self) -> None:
        while True:
            await trio.sleep(_COMPLETE_EVERY_S)
            await self._database.write(self._completion.tell_overdue, None)
            await trio.sleep(_TELL_EVERY_S - _COMPLETE_EVERY_S)
