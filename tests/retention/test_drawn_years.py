"""Years as Hypothesis draws them: letters come, are opened, deleted, withdrawn, held, kept for longer and shorter; the
clock moves; the node looks. Nothing goes that is held or not due, all that is due goes, and each purge is proved.

Spec: spec/retention.md.
"""

from __future__ import annotations

import math
from contextlib import ExitStack, suppress

import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from node.config.sections import RetentionSettings
from node.errors import StateError
from node.retention.holds import NewHold
from node.retention.policy import KeepDays
from node.vault.states import LetterFolder, LetterState
from tests.databases import new_database
from tests.retention.custody import DAY_MS, MOST_DAYS, PEOPLE, Custody
from tests.retention.purges import see
from tests.retention.years import hold, keep, release

which = st.integers(0, 10_000)
kept_days = st.sampled_from([None, 0, 3, 20, 100])


class DrawnYears(Custody):
    """What may happen."""

    @rule(to=st.sampled_from([("bruno",), ("berta",), ("bruno", "berta")]))
    def send(self, to: tuple[str, ...]) -> None:
        async def work() -> None:
            before = set(see(self.node_at.node).letters)
            await self.node_at.send("anna", *(f"{name}@a.example" for name in to))
            await trio.sleep(10)
            came = set(see(self.node_at.node).letters) - before
            assert len(came) == 1 + len(to)
            self.there |= came

        self._do(work)

    @precondition(lambda self: self.there)
    @rule(number=which)
    def open(self, number: int) -> None:
        async def work() -> None:
            found = [row for row in self._letters(received=True) if row.state == LetterState.UNREAD]
            if found:
                row = found[number % len(found)]
                reading, opened = self.node_at.node.reading, self.node_at.people[self._who(row)]
                await reading.open(opened, await reading.find(opened, None, row.id.hex()))
                await trio.sleep(10)

        self._do(work)

    @precondition(lambda self: self.there)
    @rule(number=which)
    def delete_or_put_back(self, number: int) -> None:
        async def work() -> None:
            found = self._letters()
            row = found[number % len(found)]
            node, opened = self.node_at.node, self.node_at.people[self._who(row)]
            stored = await node.reading.find(opened, None, row.id.hex())
            await (node.trash.undelete if row.trashed_at_ms else node.trash.delete)(opened, stored)

        self._do(work)

    @precondition(lambda self: self.there)
    @rule(number=which)
    def withdraw(self, number: int) -> None:
        async def work() -> None:
            found = self._letters(received=False)
            if found:
                row, anna = found[number % len(found)], self.node_at.people["anna"]
                stored = await self.node_at.node.reading.find(anna, LetterFolder.SENT, row.id.hex())
                with suppress(StateError):  # asked for already, or opened
                    await self.node_at.node.withdrawals.request(anna, stored)
                await trio.sleep(10)

        self._do(work)

    @rule(number=which, scope=st.sampled_from(["letter", "mailbox", "all"]), days=st.sampled_from([None, 2, 30]))
    def hold(self, number: int, scope: str, days: int | None) -> None:
        async def work() -> None:
            found, now_ms = self._letters(), self.node_at.world.now_ms()
            period = {} if days is None else {"from_ms": now_ms - days * DAY_MS, "until_ms": now_ms + days * DAY_MS}
            letter = found[number % len(found)].id if found and scope == "letter" else None
            mailbox = self.node_at.people[PEOPLE[number % len(PEOPLE)]].id if scope == "mailbox" else None
            new = NewHold(reason="dossier 12/345", letter=letter, mailbox=mailbox, **period)
            self.holds.append(await hold(self.node_at, new))

        self._do(work)

    @precondition(lambda self: self.holds)
    @rule(number=which)
    def lift(self, number: int) -> None:
        held = self.holds.pop(number % len(self.holds))
        self._do(release, self.node_at, held, "classé")

    @rule(who=st.sampled_from(PEOPLE), received=kept_days, sent=kept_days, trash=kept_days)
    def keep(self, who: str, received: int | None, sent: int | None, trash: int | None) -> None:
        self.keeps[who] = KeepDays(received=received, sent=sent, trash=trash)
        self._do(keep, self.node_at, who, received, sent, trash)

    @rule(received=kept_days, trash=kept_days)
    def change_settings(self, received: int | None, trash: int | None) -> None:
        self.defaults = RetentionSettings(received_days=received or 0, trash_days=30 if trash is None else trash)
        self.node_at.node.policies.settings = self.defaults

    @precondition(lambda self: self.days < MOST_DAYS)
    @rule(days=st.sampled_from([0.05, 1, 8, 15, 40]), looks=st.booleans())
    def wait(self, days: float, looks: bool) -> None:
        self.days += days
        self._do(self._wait, days)
        if looks:
            self._do(self._look)

    @precondition(lambda self: self.there and self.days < MOST_DAYS)
    @rule(number=which, hours=st.sampled_from([-1, 1]))
    def wait_for_one(self, number: int, hours: int) -> None:
        """Look shortly before a letter's time, or shortly after."""

        async def work() -> None:
            found = [(row, at_ms) for row in self._letters() if (at_ms := self._goes_at_ms(row)) < math.inf]
            if found:
                _, at_ms = found[number % len(found)]
                days = max((at_ms - self.node_at.world.now_ms()) / DAY_MS + hours / 24, 0)
                self.days += days
                await self._wait(days)
                await self._look()

        self._do(work)


def played(share: int) -> settings:
    """So many of the examples that the profile wants, with half its steps: one takes a second, not a millisecond."""
    default = settings.default or settings()
    return settings(
        max_examples=max(default.max_examples // share, 1), stateful_step_count=default.stateful_step_count // 2
    )


def test_drawn_years() -> None:
    run_state_machine_as_test(DrawnYears, settings=played(25))


def test_drawn_years_on_postgresql(postgres_server: str) -> None:
    with ExitStack() as stack:

        class OnPostgresql(DrawnYears):
            def __init__(self) -> None:
                super().__init__(stack.enter_context(new_database(postgres_server, with_tables=True)))

        run_state_machine_as_test(OnPostgresql, settings=played(100))
