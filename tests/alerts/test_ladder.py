"""The unread ladder: who is told when, and what is on record on both sides. Spec: spec/alerts.md, 3 and 4."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
import trio
import trio.testing

from node.alerts.ladder import Ladder
from node.vault import schema
from node.vault.alert_preferences import AlertPreferences, LadderChoice
from node.vault.timeline import TimelineEvent
from protocol.delegation import Right
from protocol.entry import Absence
from protocol.letter import LetterClass
from protocol.logleaf import EventKind
from tests.post.harness import Institution, settled
from tests.retention.years import leaves, pair, rows

URGENT = LetterClass.URGENT
LADDER = (EventKind.REMINDED, EventKind.ESCALATED, EventKind.SENDER_TOLD)
DAY_MS = 86_400_000


def told(institution: Institution) -> list[tuple[str, str]]:
    """Whom the ladder alerted, and of what."""
    keys, names = institution.node.keys, {bytes(item.id): name for name, item in institution.people.items()}
    found = []
    for row in rows(institution, schema.alerts):
        fields = keys.open_map("alerts", row.id, "sealed", row.sealed)
        occasion = fields.text("occasion", high=40)
        if occasion in ("unread_reminder", "unread_of_other", "not_opened"):
            found.append((occasion, names[fields.fixed("box", 16)]))
    return sorted(found)


async def prefer(institution: Institution, *names: str, ladder: LadderChoice | None = None) -> None:
    wanted = AlertPreferences(webhook="https://hooks.example/x", ladder=ladder or LadderChoice())
    for name in names:
        item = (institution.people[name].id, wanted)
        await institution.node.database.write(institution.node.alerts.set_preferences, item)


async def delegate(institution: Institution) -> None:
    now_ms = institution.world.now_ms()
    await institution.node.sharing.delegate(
        institution.people["bruno"], "berta@b.example", rights=(Right.READ,), from_ms=now_ms, until_ms=now_ms + DAY_MS
    )


async def steps(a: Institution, letter: object) -> list[TimelineEvent]:
    timeline = await a.timeline("anna", letter)  # type: ignore[arg-type]
    return [event for event in timeline.events if event.kind in LADDER]


async def test_nobody_opens_an_urgent_letter(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (_, a, b):
        await prefer(a, "anna")
        await prefer(b, "bruno", "berta")
        await delegate(b)
        letter = await a.send("anna", "bruno@b.example", letter_class=URGENT)
        await trio.sleep(14 * 60)
        assert told(b) == []
        await trio.sleep(2.5 * 60)
        assert told(b) == [("unread_reminder", "bruno")]
        await b.stop()
        await b.start()
        await trio.sleep(15 * 60)
        assert told(b) == [("unread_of_other", "berta"), ("unread_reminder", "bruno")]
        assert told(a) == []
        await trio.sleep(31 * 60)
        assert told(a) == [("not_opened", "anna")]
        found = await steps(a, letter)
        assert [(event.kind, event.code) for event in found] == list(
            zip(LADDER, ("15 min", "30 min", "60 min"), strict=True)
        )
        assert [event.actor for event in found] == ["", "berta@b.example", ""]
        assert all(not event.own and event.address == "bruno@b.example" for event in found)
        await trio.sleep(3600)
        assert [kind for kind, _ in leaves(b) if kind in LADDER] == list(LADDER)
        # The state is as before, and opening it is still the end.
        await b.read("bruno", letter)
        await trio.sleep(60)
        assert [state.word for state in await a.states("anna", letter)] == ["opened"]


async def test_who_opens_a_letter_ends_its_ladder(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with pair(tmp_path, "") as (_, a, b):
        await prefer(b, "bruno")
        letter = await a.send("anna", "bruno@b.example", letter_class=URGENT)
        await trio.sleep(17 * 60)
        await b.read("bruno", letter)
        await trio.sleep(2 * 3600)
        assert [event.kind for event in await steps(a, letter)] == [EventKind.REMINDED]
        assert [row.ladder_at_ms for row in rows(b, schema.letters)] == [0]


async def test_the_deputies_of_who_is_absent_are_alerted_at_once(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (_, a, b):
        await prefer(b, "bruno", "berta")
        await delegate(b)
        now_ms = b.world.now_ms()
        away = Absence(from_ms=now_ms, until_ms=now_ms + 3_600_000, french="En congé", instead="berta@b.example")
        await b.node.absences.set(b.people["bruno"].id, away)
        await trio.sleep(60)
        (caution,) = await a.node.cautions.about(a.people["anna"].id, ["bruno@b.example"])
        assert (caution.kind.value, caution.asks, caution.others) == ("absent", False, ("berta@b.example",))
        assert "En congé" in caution.text
        letter = await a.send("anna", "bruno@b.example", letter_class=URGENT)
        await trio.sleep(90)
        assert told(b) == [("unread_of_other", "berta")]
        (line,) = (await a.timeline("anna", letter)).recipients
        assert line.absence == away
        assert [event.kind for event in await steps(a, letter)] == [EventKind.ESCALATED]
        await trio.sleep(3600)
        assert [event.kind for event in await steps(a, letter)] == [EventKind.ESCALATED, EventKind.SENDER_TOLD]
        # It ended by itself, on record, and nobody is told any more.
        assert await b.node.absences.of(b.people["bruno"].id) is None
        changes = [details.code for kind, details in leaves(b) if kind is EventKind.MAILBOX_CHANGED and details]
        assert changes == ["absence", "absence"]
        assert await a.node.cautions.about(a.people["anna"].id, ["bruno@b.example"]) == []
        (line,) = (await a.timeline("anna", letter)).recipients
        assert line.absence is None


async def test_steps_that_were_due_while_the_node_was_off_keep_their_distance(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with pair(tmp_path, "") as (_, a, b):
        await prefer(b, "bruno", "berta")
        await delegate(b)
        letter = await a.send("anna", "bruno@b.example", letter_class=URGENT)
        await trio.sleep(60)
        await b.stop()
        b.skew_ms += 5 * 3_600_000
        await b.start()
        await trio.sleep(90)
        assert [kind for kind, _ in leaves(b) if kind in LADDER] == [EventKind.REMINDED]
        await trio.sleep(16 * 60)
        assert [kind for kind, _ in leaves(b) if kind in LADDER] == [EventKind.REMINDED, EventKind.ESCALATED]
        await trio.sleep(31 * 60)
        assert [event.kind for event in await steps(a, letter)] == list(LADDER)


async def test_without_deputy_the_one_on_call_is_alerted_and_without_that_nobody(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with pair(tmp_path, "") as (_, a, b):
        await prefer(b, "berta", "bruno", ladder=LadderChoice(on_call="berta@b.example"))
        helped = await a.send("anna", "bruno@b.example", letter_class=URGENT)
        # Berta is on call for herself: nobody else is.
        alone = await a.send("anna", "berta@b.example", letter_class=URGENT)
        await trio.sleep(62 * 60)
        assert ("unread_of_other", "berta") in told(b)
        assert [event.kind for event in await steps(a, helped)] == list(LADDER)
        assert [event.kind for event in await steps(a, alone)] == [EventKind.REMINDED, EventKind.SENDER_TOLD]


async def test_a_mailbox_has_its_own_ladder_or_none(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with pair(tmp_path, "") as (_, a, b):
        await prefer(b, "bruno", ladder=LadderChoice(steps={URGENT: ()}))
        await prefer(b, "berta", ladder=LadderChoice(steps={LetterClass.BULK: (2, 4, 6)}))
        off = await a.send("anna", "bruno@b.example", letter_class=URGENT)
        own = await a.send("anna", "berta@b.example", letter_class=LetterClass.BULK)
        await trio.sleep(62 * 60)
        assert await steps(a, off) == []
        assert [event.code for event in await steps(a, own)] == ["2 min", "6 min"]


async def test_a_clock_set_back_while_it_climbs_ends_the_look(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (_, a, b):
        await a.send("anna", "bruno@b.example", letter_class=URGENT)
        await settled()
        ladder, looks = b.node.ladder, 0
        due = Ladder._due

        def counted(connection: sa.Connection, now_ms: int) -> list[bytes]:
            nonlocal looks
            looks += 1
            assert looks < 9, "it looks without end"
            return due(connection, now_ms)

        monkeypatch.setattr(ladder, "_due", counted)
        # By the clock as it was when the look began, the first step is due; by the clock as it is now, it is not.
        await ladder.look(b.world.now_ms() + DAY_MS)
        assert looks == 1
