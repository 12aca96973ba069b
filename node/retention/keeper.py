"""The duty of a running node: warn, erase what was kept long enough, prove it. Spec: spec/retention.md, 3, 4 and 6."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
import structlog
import trio

from node.retention.due import goes
from node.retention.erasing import Eraser
from node.retention.holds import is_held
from node.retention.policy import MailboxPolicy, Policies
from node.retention.replaying import ErasureKeeper
from node.retention.warning import Warner
from node.vault import schema
from node.vault.database import Database

__all__ = ["Done", "MailboxOverview", "Retention"]

_EVERY_S: Final = 3600
# A clock that was moved is in doubt: a day for somebody to notice it, before letters go that seem old.
_CLOCK_DOUBT_MS: Final = 600_000
_DOUBT_ROUNDS: Final = 24

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Done:
    """What one look did. warned: letters whose warnings were made, repeated or taken back."""

    erased: int
    warned: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxOverview:
    """How a mailbox stands: letters here, those in the trash, held ones, warned ones, and those that go now."""

    policy: MailboxPolicy
    letters: int
    deleted: int
    held: int
    warned: int
    due: int


class Retention:
    """Looks each hour at what has been kept long enough."""

    def __init__(
        self, *, database: Database, policies: Policies, eraser: Eraser, warner: Warner, erasures: ErasureKeeper
    ) -> None:
        self._database = database
        self._policies = policies
        self._eraser = eraser
        self._warner = warner
        self._erasures = erasures

    async def run(self) -> None:
        """Until cancelled. The first look is an hour after the start; after the clock was moved none for a day."""
        world, doubts = self._database.world, 0
        while True:
            wall_ms, clock = world.now_ms(), trio.current_time()
            await trio.sleep(_EVERY_S)
            moved_ms = world.now_ms() - wall_ms - int((trio.current_time() - clock) * 1000)
            doubts = _DOUBT_ROUNDS if abs(moved_ms) > _CLOCK_DOUBT_MS else max(0, doubts - 1)
            if not doubts:
                done = await self.look()
                if done.erased:
                    _logger.info("letters erased", letters=done.erased)

    async def look(self, progress: Callable[[int], None] = lambda _erased: None) -> Done:
        """Warn and erase all that is due now, a hundred letters in a transaction. progress: letters erased so far."""
        database = self._database
        erased = warned = 0
        if await database.read(self._erasures.was_replayed):
            erased += await self._erasures.erase_listed()
        while await database.read(self._eraser.has_withdrawn):
            await database.write(self._eraser.drop_withdrawn, None)
        for policy in await database.read(self._policies.all):
            while await database.read(self._warner.has_work, policy, database.world.now_ms()):
                warned += await database.write(self._warner.work, policy)
            while await database.read(self._eraser.has_due, policy, database.world.now_ms()):
                erased += await database.write(self._eraser.erase_due, policy)
                await self._erasures.write()
                await self._unlink()
                progress(erased)
        await self._unlink()
        if erased:
            await database.world.run_blocking(database.engines.shrink_journal)
        return Done(erased, warned)

    async def _unlink(self) -> None:
        while await self._database.read(self._eraser.has_files):
            await self._database.write(self._eraser.unlink_files, None)

    async def overview(self) -> list[MailboxOverview]:
        """How each mailbox stands."""
        return await self._database.read(self._overview, self._database.world.now_ms())

    def _overview(self, connection: sa.Connection, now_ms: int) -> list[MailboxOverview]:
        table, warn_days = schema.letters, self._policies.settings.warn_days
        found = []
        for policy in self._policies.all(connection):

            def count(*conditions: sa.ColumnElement[bool], of: MailboxPolicy = policy) -> Any:
                query = sa.select(sa.func.count()).select_from(table).where(table.c.mailbox == of.blind, *conditions)
                return connection.execute(query).scalar_one()

            found.append(
                MailboxOverview(
                    policy=policy,
                    letters=count(),
                    deleted=count(table.c.trashed_at_ms > 0),
                    held=count(is_held()),
                    warned=count(table.c.erase_at_ms > 0),
                    due=count(goes(policy, warn_days, now_ms)),
                )
            )
        return found
