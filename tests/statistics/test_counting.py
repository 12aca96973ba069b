"""Statistics agree with the log, on both stores, whatever happens to the letters afterwards. Statistics, 1 and 2."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
import trio
from trio.testing import MockClock

from node.statistics.counts import Dimension, Measure, MonthCounts
from node.statistics.leaves import START
from node.statistics.months import month_at, month_text
from node.vault import schema
from protocol.entry import MailboxKind
from protocol.letter import LetterClass
from protocol.logleaf import EventKind, LogLeaf
from tests.post.harness import EPOCH_MS, Federation, Institution, settled
from tests.retention.years import DAY_S, erase, pair

PARIS = ZoneInfo("Europe/Paris")


def counted(institution: Institution) -> dict[int, MonthCounts]:
    """All months that are held."""
    rows = institution.node.statistics.rows
    return institution.node.database.read_now(rows.months, range(2000 * 12, 2100 * 12))


def recounted(institution: Institution) -> dict[int, Counter[str]]:
    """The sums of each month from the leaves alone, in another way than the node counts them."""
    table, months, seen = schema.log_leaves, dict[int, Counter[str]](), set[tuple[str, bytes]]()
    plain = {
        EventKind.SUBMITTED: "sent",
        EventKind.DEPOSITED: "received",
        EventKind.REFUSED: "refused",
        EventKind.EXPIRED: "expired",
        EventKind.WITHDRAWN: "withdrawn",
    }
    with institution.node.database.engines.reader.connect() as connection:
        for raw in connection.execute(sa.select(table.c.leaf).order_by(table.c.epoch, table.c.position)).scalars():
            leaf = LogLeaf.decode(raw)
            month = months.setdefault(month_at(leaf.time_ms, PARIS), Counter())
            month[plain.get(leaf.kind, "")] += 1
            for kind, name in ((EventKind.SUBMITTED, "letters"), (EventKind.OPENED, "opened")):
                if leaf.kind is kind and (name, bytes(leaf.tag)) not in seen:
                    seen.add((name, bytes(leaf.tag)))
                    month[name] += 1
    return {month: Counter({k: v for k, v in found.items() if k and v}) for month, found in months.items() if found}


def sums(institution: Institution) -> dict[int, Counter[str]]:
    """The same from the months held."""
    names = {"letters", "sent", "received", "opened", "refused", "expired", "withdrawn"}
    found = {
        month: Counter({k: v for k, v in c.totals.items() if k in names}) for month, c in counted(institution).items()
    }
    return {month: counts for month, counts in found.items() if counts}


def agree(institution: Institution) -> None:
    wanted = {month: counts for month, counts in recounted(institution).items() if counts}
    assert sums(institution) == wanted
    for counts in counted(institution).values():
        for (measure, _), cells in counts.cells.items():
            assert cells.total() <= counts.totals[measure]
        assert sum((day for day in counts.days.values()), Counter()) == counts.totals


async def correspond(a: Institution, b: Institution) -> None:
    """Some letters of each sort; half of those received are opened, an hour later."""
    for number in range(4):
        letter = await a.send("anna", "bruno@b.example", cc=("berta@b.example",), subject=f"Lettre {number}")
        if number % 2 == 0:
            await settled()
            for institution in (a, b):
                institution.skew_ms += 3_600_000
            await b.read("bruno", letter)
            await b.send("bruno", "anna@a.example", subject=f"Réponse {number}", letter_class=LetterClass.URGENT)
    await settled()


async def test_what_is_counted_agrees_with_the_log(
    tmp_path: Path, database_url: str, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pair(tmp_path, database_url) as (_, a, b):
        await correspond(a, b)
        for institution in (a, b):
            await institution.node.statistics.counting.catch_up()
            agree(institution)
        ((month, at_b),) = counted(b).items()
        assert month_text(month) == "2026-09"
        assert at_b.totals == {"letters": 2, "sent": 2, "received": 8, "opened": 2, "envelopes": 4}
        assert at_b.of(Measure.RECEIVED, Dimension.INSTITUTION) == {a.node.node_id.text: 8}
        assert at_b.of(Measure.LETTERS, Dimension.CLASS) == {"urgent": 2}
        assert at_b.of(Measure.RECEIVED, Dimension.MAILBOX) == {"person": 8}
        assert (at_b.people, at_b.services) == (1, 0)
        assert at_b.durations["delivery"].total() == 8
        # An hour and what it took to settle, between 2^(94/8) and 2^(96/8) seconds.
        assert at_b.durations["opening"].total() == 2
        assert at_b.durations["opening"].keys() <= {95, 96}

        # The same in steps of one leaf, by several at once.
        whole = at_b.to_map()
        monkeypatch.setattr("node.statistics.counting.LEAVES_AT_ONCE", 1)
        await b.node.database.write(b.node.statistics.rows.forget, None)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(b.node.statistics.counting.catch_up)
        assert [counts.to_map() for counts in counted(b).values()] == [whole]
        assert await b.node.statistics.counting.catch_up() == 0


async def test_erased_letters_go_and_their_number_stays(
    tmp_path: Path, database_url: str, autojump_clock: MockClock
) -> None:
    async with pair(tmp_path, database_url) as (_, a, b):
        for number in range(3):
            await a.send("anna", "bruno@b.example", subject=f"Lettre {number}")
        await settled()
        await erase(b, "bruno", "Lettre 1")
        await b.node.statistics.counting.catch_up()
        held = counted(b)
        agree(b)
        await erase(b, "bruno", "Lettre 2")
        await b.node.statistics.counting.catch_up()
        agree(b)
        after = counted(b)
        assert [c.totals["received"] for c in after.values()] == [3]
        assert [c.of(Measure.RECEIVED, Dimension.INSTITUTION).total() for c in after.values()] == [
            c.of(Measure.RECEIVED, Dimension.INSTITUTION).total() for c in held.values()
        ]
        # Counted anew, sums come back, and what was erased is nobody's any more.
        await b.node.statistics.counting.rebuild()
        agree(b)
        (again,) = counted(b).values()
        assert again.totals["received"] == 3
        assert again.of(Measure.RECEIVED, Dimension.INSTITUTION).total() == 1


async def test_a_batch_that_another_process_counted_is_left_out(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        await a.send("anna", "bruno@b.example")
        await settled()
        counter, rows, database = a.node.statistics.counting._counter, a.node.statistics.rows, a.node.database
        await database.write(rows.forget, None)
        batch = database.read_now(counter.batch, START, 1000)
        assert await database.write(rows.add, batch)
        assert not await database.write(rows.add, batch)
        agree(a)
        # A thief of the database reads neither with whom nor how much.
        with database.engines.reader.connect() as connection:
            for sealed in connection.execute(sa.select(schema.statistics_months.c.sealed)).scalars():
                assert b.node.node_id.text.encode() not in sealed
                assert b"letters" not in sealed


async def test_members_and_deputies_are_people_and_their_service_is_one(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        await b.add("ward", kind=MailboxKind.SERVICE)
        node = b.node
        await node.sharing.add_member(b.people["ward"], b.people["bruno"].address)
        await settled()
        letter = await a.send("anna", "ward@b.example")
        await settled()
        await b.log_in("bruno", acting_for="ward", keep_as="bruno for ward")
        await b.read("bruno for ward", letter)
        await settled()
        await node.statistics.counting.catch_up()
        (counts,) = counted(b).values()
        assert (counts.people, counts.services, counts.totals["opened"]) == (1, 1, 1)
        assert counts.of(Measure.OPENED, Dimension.MAILBOX) == {"service": 1}


async def test_months_part_by_the_institutions_clock_and_who_was_active_is_forgotten(
    tmp_path: Path, database_url: str, autojump_clock: MockClock
) -> None:
    async with pair(tmp_path, database_url) as (_, a, b):
        # To 23:30 of the last of September in Paris, where UTC has 21:30.
        await _jump(b, a, to_ms=1_790_803_800_000)
        await a.send("anna", "bruno@b.example")
        await settled()
        await _jump(b, a, to_ms=1_790_806_200_000)
        await a.send("anna", "bruno@b.example")
        await settled()
        await b.node.statistics.counting.catch_up()
        assert [month_text(month) for month in counted(b)] == ["2026-09", "2026-10"]
        assert [c.totals["received"] for c in counted(b).values()] == [1, 1]
        await _jump(b, a, to_ms=1_790_806_200_000 + 70 * DAY_S * 1000)
        letter = await a.send("anna", "bruno@b.example")
        await settled()
        await b.read("bruno", letter)
        await b.node.statistics.counting.catch_up()
        table = schema.statistics_months
        with b.node.database.engines.reader.connect() as connection:
            active = connection.execute(sa.select(table.c.month).where(table.c.part == 1)).scalars().all()
        assert [month_text(month) for month in active] == ["2026-12"]
        agree(b)


async def _jump(*institutions: Institution, to_ms: int) -> None:
    for institution in institutions:
        institution.skew_ms = to_ms - EPOCH_MS - int(trio.current_time() * 1000)
    await settled()
