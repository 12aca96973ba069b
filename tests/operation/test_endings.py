"""Endorsements that end are told of at 60, 30 and 7 days and at their end, once each, and no more once renewed: to the
operator of the institution, and at the maintainer's desk. Keys too. Spec: spec/operation.md, 4; spec/desks.md, 7.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from trio.testing import MockClock

from node.expiry import days_left, warned_within
from node.maintainer.coming_keys import renewed_key
from node.maintainer.overview import keys_warned_within
from node.maintainer.overview import warned_within as endorsement_warned_within
from node.operation.alarm_texts import alarm_text
from node.operation.findings import AlarmCode
from node.world import World
from protocol.entry import RevocationReason
from protocol.logleaf import EventKind
from tests.operation.looks import DAY_MS, HOUR_MS, NOW_MS, finding, look, use_operation
from tests.post.harness import Federation, Institution
from tests.retention.years import leaves
from tests.trust.region import PASSPHRASE, Region

HALF_A_DAY_MS = DAY_MS // 2
STEPS = [("raised", 59), ("raised", 29), ("raised", 6)]


async def each_day(institution: Institution, region: Region, first: int, last: int) -> list[tuple[str, int]]:
    """Two looks on each day, from so many left to so many; what was told, and with how many days left."""
    heard: list[tuple[str, int]] = []
    node = institution.node
    for left in range(first, last - 1, -1):
        (standing,) = region.desk.standings()
        assert standing.until_ms is not None
        institution.skew_ms += standing.until_ms - (left * DAY_MS + HALF_A_DAY_MS) - node.world.now_ms()
        for _ in range(2):
            before = len(await node.database.read(node.alerts.due, node.world.now_ms(), 1000))
            told = await look(institution)
            due = await node.database.read(node.alerts.due, node.world.now_ms(), 1000)
            new = due[before:]
            assert sum(len(alert.notice.lines) for alert in new if alert.notice is not None) == told
            for alert in new:
                assert alert.notice is not None
                heard += [(line.what, left) for line in alert.notice.lines]
            institution.skew_ms += HOUR_MS
    return heard


async def renew(institution: Institution, region: Region, days: int) -> None:
    """The maintainer prolongs its endorsement, and the institution learns it."""
    (standing,) = region.desk.standings()
    region.desk.publish([region.desk.renew(standing, region.offline, days=days)], region.online)
    await institution.node.trust.carry(region.desk.feed_file)


def raised(institution: Institution) -> list[str]:
    """On record of it, by code and level."""
    kinds = (EventKind.ALARM_RAISED, EventKind.ALARM_CLEARED)
    return [(details.code or "") for kind, details in leaves(institution) if kind in kinds and details is not None]


@pytest.mark.parametrize("repeat_hours", [0, 24])
async def test_the_institution_hears_of_its_endorsement_once_at_each_step(
    autojump_clock: MockClock, tmp_path: Path, database_url: str, repeat_hours: int
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a", database=database_url)
        region = Region(tmp_path / "region", a.world)
        region.endorse(a, days=64)
        await region.trusted_by(a)
        use_operation(a, email=("ops@a.example",), backup_days=0, repeat_hours=repeat_hours)
        reminders = [("reminder", left) for left in range(5, -1, -1)] if repeat_hours else []
        assert await each_day(a, region, 63, -1) == [*STEPS, *reminders, ("raised", -1)]
        await renew(a, region, 62)
        assert await each_day(a, region, 61, 40) == [("cleared", 61), ("raised", 59)]
        # Renewed between two steps: the one to come is of the new end.
        await renew(a, region, 100)
        assert await each_day(a, region, 99, 60) == [("cleared", 99)]
        code = AlarmCode.ENDORSEMENT_EXPIRING
        expected = [f"{code} {level}" for level in (1, 2, 3, 4, 4, 1, 1)]
        assert raised(a) == expected


async def test_an_endorsement_taken_back_is_told_of_as_over(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a")
        region, other = (Region(tmp_path / name, a.world, name) for name in ("region", "other"))
        use_operation(a, email=("ops@a.example",), backup_days=0, repeat_hours=0)
        await other.trusted_by(a)
        await region.trusted_by(a)
        assert await look(a) == 0, "nobody ever vouched for it"
        region.endorse(a)
        other.endorse(a)
        await region.published_at(a)
        await other.published_at(a)
        assert await look(a) == 0
        region.revoke(a, RevocationReason.LEFT)
        await region.published_at(a)
        assert await look(a) == 0, "the other one is enough"
        a.skew_ms += HOUR_MS
        other.suspend(a, days=3)
        await other.published_at(a)
        a.skew_ms += HOUR_MS
        assert await look(a) == 1
        assert await look(a) == 0
        other.endorse(a)
        await other.published_at(a)
        assert await look(a) == 1
        assert raised(a) == ["endorsement_expiring 4", "endorsement_expiring 4"]


async def test_the_desk_shows_each_step_and_nothing_of_suspensions(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a")
        region = Region(tmp_path / "region", a.world)
        region.endorse(a, days=64)

        def course(first: int, last: int) -> list[tuple[int, int | None]]:
            """Each day on which what the desk shows is another than on the day before."""
            (standing,) = region.desk.standings()
            assert standing.until_ms is not None
            seen: list[tuple[int, int | None]] = []
            for left in range(first, last - 1, -1):
                warned = endorsement_warned_within(standing, standing.until_ms - left * DAY_MS)
                if warned != (seen[-1][1] if seen else None):
                    seen.append((left, warned))
            return seen

        steps = [(59, 60), (29, 30), (6, 7), (-1, 0)]
        assert course(63, -100) == steps
        (standing,) = region.desk.standings()
        region.desk.publish([region.desk.renew(standing, region.offline, days=396)], region.online)
        assert course(395, 60) == []
        assert course(395, -1) == steps
        region.suspend(a, days=3)
        assert course(3, -1) == []
        region.revoke(a, RevocationReason.LEFT)
        (standing,) = region.desk.standings()
        assert endorsement_warned_within(standing, a.world.now_ms()) is None


async def test_the_desk_shows_the_end_of_its_own_keys(autojump_clock: MockClock, tmp_path: Path) -> None:
    now_ms = [NOW_MS]
    world = World(now_ms=lambda: now_ms[0])
    region = Region(tmp_path / "region", world)
    until_ms = region.desk.chain.current.valid_until_ms
    for left, expected in ((61, None), (60, None), (59, 60), (29, 30), (6, 7), (0, 7), (-1, 0)):
        assert keys_warned_within(region.desk, until_ms - left * DAY_MS) == expected
    now_ms[0] = until_ms - 50 * DAY_MS
    key = renewed_key(region.desk.chain, region.offline, world)
    assert key.coming is not None
    region.desk.take_keys(key.coming, PASSPHRASE)
    assert keys_warned_within(region.desk, now_ms[0]) is None


@pytest.mark.parametrize(
    ("days", "french", "english"),
    [
        (59, "dans 59 jours", "in 59 days"),
        (1, "dans 1 jour ", "in 1 day "),
        (0, "dans moins d'un jour", "in less than a day"),
        (-3, "c'est fini", "it is over"),
    ],
)
def test_words_of_an_end(days: int, french: str, english: str) -> None:
    ends = finding(AlarmCode.ENDORSEMENT_EXPIRING, figures={"days": days})
    assert french.strip() in alarm_text(ends, "fr")
    assert english.strip() in alarm_text(ends, "en")
    assert days_left(NOW_MS + days * DAY_MS, NOW_MS) == days
    assert warned_within(NOW_MS + 60 * DAY_MS, NOW_MS) is None
