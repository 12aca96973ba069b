"""A node whose letters are in custody over the years, and what must be true of each purge. Spec: spec/retention.md."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import trio
from anyio.from_thread import start_blocking_portal
from hypothesis.stateful import RuleBasedStateMachine
from trio.testing import MockClock

from node.config.sections import RetentionSettings
from node.retention.holds import Hold
from node.retention.policy import KeepDays
from node.vault.states import LetterFolder, LetterState
from tests.backup.copies import what_is_wrong
from tests.post.harness import Federation, Institution
from tests.retention.purges import Seen, check_proof, see
from tests.retention.years import keep, release

__all__ = ["DAY_MS", "MOST_DAYS", "PEOPLE", "Custody"]

T = TypeVar("T")
DAY_MS = 86_400_000
WARN_DAYS = RetentionSettings().warn_days
PEOPLE = ("anna", "bruno", "berta")
# A node's keys end after 13 months, and it looks at them each ten minutes: here minutes are few.
MOST_DAYS = 250


class Custody(RuleBasedStateMachine):
    """One node, kept in step with what was decided; the node's clock runs only within a step."""

    def __init__(self, database: str = "") -> None:
        super().__init__()
        self.holds: list[Hold] = []
        self.keeps = {
            "anna": KeepDays(sent=20),
            "bruno": KeepDays(received=20, trash=3),
            "berta": KeepDays(received=100),
        }
        self.defaults = RetentionSettings()
        self.warned_at_ms: dict[bytes, int] = {}
        self.there: set[bytes] = set()
        self.days = 0.0
        self.is_broken = False
        with ExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="coffre-custody-")))
            self._clock = MockClock()
            self._portal = stack.enter_context(start_blocking_portal("trio", {"clock": self._clock}))
            federation = self._portal.wrap_async_context_manager(Federation.opened(folder))
            self._federation = stack.enter_context(federation)
            stack.callback(self._portal.call, self._let_time_pass, True)
            self.node_at: Institution = self._do(self._make, database)
            self._stack = stack.pop_all()

    # -- the loop, whose time passes within a step only

    async def _let_time_pass(self, passes: bool) -> None:
        self._clock.autojump_threshold = 0 if passes else math.inf

    def _do(self, work: Callable[..., Awaitable[T]], *args: Any) -> T:
        async def step() -> T:
            await self._let_time_pass(True)
            try:
                return await work(*args)
            except BaseException:
                self.is_broken = True
                raise
            finally:
                await self._let_time_pass(False)

        return self._portal.call(step)

    async def _make(self, database: str) -> Institution:
        made = await self._federation.make("a", database=database)
        for person in PEOPLE:
            await made.add(person)
            own = self.keeps[person]
            await keep(made, person, own.received, own.sent, own.trash)
        await made.start()
        await trio.sleep(10)
        return made

    # -- what was decided, and what follows from it

    def _who(self, row: Any) -> str:
        keys, people = self.node_at.node.keys, self.node_at.people
        (who,) = (name for name in PEOPLE if keys.blind("mailbox", people[name].id) == row.mailbox)
        return who

    def _is_held(self, row: Any) -> bool:
        mailbox = self.node_at.people[self._who(row)].id
        return any(
            item.new.letter in (None, row.id)
            and item.new.mailbox in (None, mailbox)
            and item.new.from_ms <= row.arrived_at_ms < item.new.until_ms
            for item in self.holds
        )

    def _due_at_ms(self, row: Any) -> float:
        """When it was kept for long enough; infinity for never."""
        own, default = self.keeps[self._who(row)], self.defaults
        is_sent = row.folder == LetterFolder.SENT
        kept, usual = (own.sent, default.sent_days) if is_sent else (own.received, default.received_days)
        kept = usual if kept is None else kept
        trash = default.trash_days if own.trash is None else own.trash
        ends = [row.arrived_at_ms + kept * DAY_MS] if kept else []
        if trash and row.trashed_at_ms:
            ends.append(row.trashed_at_ms + trash * DAY_MS)
        return float(min(ends, default=math.inf))

    def _goes_at_ms(self, row: Any) -> float:
        """When it may go, and goes; infinity for not before something changes."""
        due_ms = math.inf if self._is_held(row) else self._due_at_ms(row)
        if row.folder == LetterFolder.SENT or row.state != LetterState.UNREAD:
            return due_ms
        if row.id not in self.warned_at_ms:
            return math.inf
        return float(max(due_ms, row.erase_at_ms, self.warned_at_ms[row.id] + WARN_DAYS * DAY_MS))

    # -- looking

    async def _look(self) -> None:
        node = self.node_at.node
        begun_ms, seen = node.world.now_ms(), see(node)
        assert self.there <= seen.letters.keys(), "something went without a look"

        def erased(_count: int) -> None:
            nonlocal seen
            before, seen = seen, see(node)
            self._judge(before, seen)

        await node.retention.look(erased)
        await trio.sleep(10)
        now_ms, after = node.world.now_ms(), see(node)
        assert seen.letters.keys() == after.letters.keys()
        for row in after.letters.values():
            # A minute for the sender's side to hear of the warning; its own copies wait for their envelopes.
            if row.folder == LetterFolder.INBOX:
                assert self._goes_at_ms(row) > begun_ms - 60_000, "it was due, and stayed"
            if row.state == LetterState.WITHDRAWN and row.payload is not None:
                assert self._is_held(row)
            if row.state == LetterState.UNREAD and row.erase_at_ms:
                self.warned_at_ms.setdefault(row.id, now_ms)
            else:
                self.warned_at_ms.pop(row.id, None)
        self.there = set(after.letters)

    def _judge(self, before: Seen, after: Seen) -> None:
        """One transaction erased."""
        now_ms = self.node_at.world.now_ms()
        gone = [before.letters[row] for row in before.letters.keys() - after.letters.keys()]
        assert gone
        assert len({row.mailbox for row in gone}) == 1
        for row in gone:
            assert self._goes_at_ms(row) <= now_ms, f"a letter of {self._who(row)} went too early"
        check_proof(self.node_at.node, before, after)
        self.holds = [item for item in self.holds if item.new.letter not in {row.id for row in gone}]

    def _letters(self, *, received: bool | None = None) -> list[Any]:
        """Those that are there, as they came."""
        rows = see(self.node_at.node).letters
        return [
            row for _, row in sorted(rows.items()) if received is None or (row.folder == LetterFolder.INBOX) is received
        ]

    # -- time

    async def _wait(self, days: float) -> None:
        self.node_at.skew_ms += int(days * DAY_MS)
        await trio.sleep(10)

    # -- the end

    def teardown(self) -> None:
        try:
            if not self.is_broken:
                self._do(self._end)
        finally:
            self._stack.close()

    async def _end(self) -> None:
        """Without holds, all that is due goes, and what is left is for ever."""
        for held in self.holds:
            await release(self.node_at, held, "classé")
        self.holds.clear()
        await self._wait(130)
        await trio.sleep(3700)  # envelopes that were kept for recipients are forgotten each hour
        for _ in range(3):
            await self._look()
            await self._wait(WARN_DAYS + 2)
        await self._look()
        now_ms = self.node_at.world.now_ms()
        assert [row.id for row in self._letters() if self._due_at_ms(row) <= now_ms] == []
        assert await what_is_wrong(self.node_at) == []
