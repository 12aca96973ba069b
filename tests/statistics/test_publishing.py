"""Published totals over real links: signed, verified, corrected, and what liars get for it. Statistics, 4 and 5."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from trio.testing import MockClock

from directory_sync.totals import Doubt, Fault
from node.errors import StateError
from node.statistics.counts import Measure, MonthCounts
from node.statistics.months import month_number
from node.statistics.publishing import make_totals
from node.statistics.region import RegionReport
from node.vault import schema
from node.vault.database import Transaction
from protocol.checkpoint import CheckpointVerifier
from protocol.entry import Seconds, Totals, totals_subject
from protocol.feed import FeedState, Operation, OperationKind, decode_operation
from protocol.ids import MailboxId
from protocol.logleaf import EventKind
from tests.post.harness import EPOCH_MS, Federation, Institution, settled
from tests.retention.years import leaves

MONTHS = ("2026-09", "2026-10")
NOW_MS = 1_793_900_000_000
"""The fifth of November; the nodes are made in September."""


def counts(letters: int, people: int) -> MonthCounts:
    """A month's counts."""
    made = MonthCounts(people=people)
    made.totals.update({"letters": letters, "sent": letters, "received": letters + 3, "opened": letters - 1})
    made.durations["opening"][95] = letters
    return made


@asynccontextmanager
async def publishing(folder: Path, database: str = "") -> AsyncIterator[tuple[Institution, Institution]]:
    """`a`, which publishes September and October, and `b`, which follows it; seven mailboxes at a."""
    async with Federation.opened(folder) as federation:
        a, b = await federation.make("a"), await federation.make("b", database=database)
        await a.add("anna")
        await list_colleagues(a, 6)
        await b.add("bruno")
        await federation.acquaint()
        a.node.statistics.publisher.is_on = True
        months = [(month_number(month), counts(100 * at + 40, people=6)) for at, month in enumerate(MONTHS)]
        await a.node.database.write_many(a.node.statistics.rows.put, months)
        for institution in (a, b):
            institution.skew_ms = NOW_MS - EPOCH_MS
        await federation.start()
        await settled()
        yield a, b


async def list_colleagues(a: Institution, count: int) -> None:
    """Entries like Anna's, without the cost of passwords."""

    def write(tx: Transaction, items: Sequence[int]) -> Sequence[None]:
        (anna,) = a.node.directory.own_mailboxes(tx.connection)
        for number in items:
            colleagues = [
                replace(anna, mailbox=MailboxId(bytes([at]) * 16), address=f"doctor{at}@a.example")
                for at in range(1, number + 1)
            ]
            a.node.directory.publish_mailboxes(tx, colleagues)
        return [None] * len(items)

    await a.node.database.write(write, count)


async def region_at(institution: Institution) -> RegionReport:
    """The region as this node sees it, over 2026."""
    statistics = institution.node.statistics
    return await statistics.regional(statistics.chosen("2026-01", "2026-12"))


async def publish(a: Institution, *entries: tuple[str, bytes]) -> None:
    """As a liar would: any bytes, under the subject of any month."""

    def write(tx: Transaction, items: Sequence[None]) -> Sequence[None]:
        published = [(OperationKind.TOTALS, totals_subject(month), raw) for month, raw in entries]
        a.node.directory._publish(tx, published)
        return [None] * len(items)

    await a.node.database.write(write, None)
    await settled()


def totals(month: str, at_ms: int = NOW_MS + 3_600_000, **given: int) -> bytes:
    return Totals(month=month, at_ms=at_ms, threshold=5, counts=given).encode()


async def test_totals_are_signed_with_the_feed_and_add_up_elsewhere(
    tmp_path: Path, database_url: str, autojump_clock: MockClock
) -> None:
    async with publishing(tmp_path, database_url) as (a, b):
        seen = await region_at(b)
        (territory,) = seen.territories
        assert {month: sums.letters for month, sums in territory.months.items()} == {"2026-09": 40, "2026-10": 140}
        assert (territory.institutions, seen.known, seen.total("2026-10").people) == (1, 2, 6)
        (institution,) = seen.institutions
        assert institution.node == a.node.node_id
        shown = institution.months["2026-10"].published.totals
        assert (shown.counts["received"], shown.opening) == (143, Seconds(median=3597, p90=3597))
        # What b holds verifies as the whole feed does: under a's signed head.
        operations, head = _held(b, a)
        state = FeedState()
        state.apply(operations, max_entries=100, max_bytes=10**6)
        chain = a.node.keyring.chain
        state.check_head(CheckpointVerifier(chain.node_id, chain.log_keys()).open(head))
        assert [item.leaf.kind for item in operations].count(OperationKind.TOTALS) == 2
        # On record at a, and published once: the next round finds nothing to do.
        assert await a.node.statistics.publisher.publish_due() == ()
        assert EventKind.INSTITUTION_CHANGED in [kind for kind, _ in leaves(a)]


def _held(at: Institution, of: Institution) -> tuple[list[Operation], bytes]:
    """The operations of a feed as a node holds them, and their head."""
    operations, feeds = schema.feed_operations, schema.feeds
    with at.node.database.engines.reader.connect() as connection:
        query = sa.select(operations.c.operation).where(operations.c.node_id == of.node.node_id)
        rows = connection.execute(query.order_by(operations.c.position)).scalars().all()
        head = connection.execute(sa.select(feeds.c.note).where(feeds.c.node_id == of.node.node_id)).scalar_one()
    return [decode_operation(raw) for raw in rows], head


async def test_a_month_is_corrected_and_taken_back_in_sight(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with publishing(tmp_path) as (a, b):
        publisher, rows = a.node.statistics.publisher, a.node.statistics.rows
        await a.node.database.write(rows.put, (month_number("2026-10"), counts(990, people=6)))
        await publisher.publish("2026-10")
        await settled()
        (institution,) = (await region_at(b)).institutions
        october = institution.months["2026-10"].published
        assert (october.totals.counts["letters"], october.first.counts["letters"]) == (990, 140)
        assert (october.corrections, institution.months["2026-09"].published.corrections) == (1, 0)
        await publisher.withdraw("2026-10")
        await settled()
        seen = await region_at(b)
        assert seen.institutions[0].months["2026-10"].published.corrections == 2
        assert not seen.institutions[0].months["2026-10"].counts
        assert seen.total("2026-10").letters == 0
        for refused in ("2026-11", "2026-07"):
            with pytest.raises(StateError):
                await publisher.publish(refused)
        with pytest.raises(StateError, match="nothing was published"):
            await publisher.withdraw("2026-07")
        publisher.is_on = False
        with pytest.raises(StateError, match="publishes no totals"):
            await publisher.publish("2026-10")


LIES = {
    Fault.UNREADABLE: ("2026-10", b"\xff nonsense"),
    Fault.OTHER_SUBJECT: ("2026-10", totals("2026-09", letters=900)),
    Fault.TOO_EARLY: ("2026-12", totals("2026-12", letters=900)),
    Fault.BACKDATED: ("2026-10", totals("2026-10", NOW_MS - 86_400_000, letters=900)),
}
DOUBTFUL = {
    Doubt.MORE_PEOPLE_THAN_MAILBOXES: {"letters": 900, "people": 8},
    Doubt.NOBODY_ACTIVE: {"letters": 900},
    Doubt.TOO_MANY: {"received": 10**8, "people": 6},
}


async def test_what_is_wrong_counts_for_nothing_and_the_feed_goes_on(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with publishing(tmp_path) as (a, b):
        for number, (fault, lie) in enumerate(LIES.items(), 1):
            await publish(a, lie)
            seen = await region_at(b)
            assert seen.total("2026-10").letters == 140
            faults = seen.institutions[0].faults
            assert faults is not None
            assert (faults.count, faults.newest) == (number, fault)
        assert len(_held(b, a)[0]) == len(_held(a, a)[0])
        for number, (doubt, given) in enumerate(DOUBTFUL.items(), 1):
            await publish(a, ("2026-10", totals("2026-10", **given)))
            seen = await region_at(b)
            october = seen.institutions[0].months["2026-10"]
            assert (october.doubt, october.counts, october.published.corrections) == (doubt, False, number)
            assert (seen.total("2026-09").letters, seen.total("2026-10").letters) == (40, 0)


async def test_other_clocks_and_a_past_that_was_not(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with publishing(tmp_path) as (a, b):
        await publish(a, ("2026-08", totals("2026-08", letters=900, people=6)))
        assert (await region_at(b)).institutions[0].months["2026-08"].fault is Fault.BACKDATED
        await publish(a, ("2026-10", totals("2026-10", NOW_MS + 3 * 86_400_000, letters=900, people=6)))
        assert (await region_at(b)).institutions[0].months["2026-10"].fault is Fault.AHEAD
        b.skew_ms += 3 * 86_400_000
        assert (await region_at(b)).total("2026-10").letters == 900


async def test_fewer_than_this_node_itself_got_is_doubted(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with publishing(tmp_path) as (a, b):
        seen = MonthCounts()
        seen.cells[Measure.ENVELOPES, "institution"][a.node.node_id.text] = 186
        await b.node.database.write(b.node.statistics.rows.put, (month_number("2026-10"), seen))
        october = (await region_at(b)).institutions[0].months["2026-10"]
        assert october.doubt is Doubt.CONTRADICTED


async def test_a_flood_of_totals_is_a_few_rows(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with publishing(tmp_path) as (a, b):
        for _ in range(4):
            await publish(a, *[("2026-10", totals("2026-10", letters=at + 1, people=6)) for at in range(150)])
            await publish(a, *[("2026-12", totals("2026-12", letters=at + 1)) for at in range(150)])
        seen = await region_at(b)
        assert seen.institutions[0].months["2026-10"].published.corrections == 600
        assert seen.institutions[0].faults is not None
        assert seen.institutions[0].faults.count == 600
        table = schema.feed_totals
        with b.node.database.engines.reader.connect() as connection:
            assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 3


async def test_totals_that_an_earlier_version_passed_over_are_found(
    tmp_path: Path, database_url: str, autojump_clock: MockClock
) -> None:
    async with publishing(tmp_path, database_url) as (_, b):
        before = (await region_at(b)).territories

        def forget(tx: Transaction, items: Sequence[None]) -> Sequence[None]:
            tx.connection.execute(schema.feed_totals.delete())
            table = schema.node_state
            tx.connection.execute(table.delete().where(table.c.name == "totals_gathered"))
            return [None] * len(items)

        await b.node.database.write(forget, None)
        assert (await region_at(b)).territories == before


def test_few_people_publish_that_they_were_there_and_no_more() -> None:
    made = make_totals("2026-10", counts(300, people=4), at_ms=NOW_MS, threshold=5, own="")
    assert (made.counts, made.few) == ({}, ("letters", "sent", "received", "opened", "people"))
    assert made.opening is None
    assert Totals.decode(made.encode()) == made


def test_small_counts_are_named() -> None:
    month = counts(300, people=9)
    month.totals["refused"] = 4
    made = make_totals("2026-10", month, at_ms=NOW_MS, threshold=5, own="")
    assert made.few == ("refused",)
    assert made.count("refused") is None
    assert made.count("expired") == 0


def test_a_month_in_which_nothing_happened_says_nothing() -> None:
    assert make_totals("2026-10", MonthCounts(), at_ms=NOW_MS, threshold=5, own="").says_nothing
