"""Heads that others cosign, and evidence completed by them, between whole nodes. Spec: spec/cosigning.md."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from node.audit.completion import OVERDUE_MS, Completion
from node.audit.cosigned_heads import CosignedHead, best_head, newest_size
from node.audit.daily_heads import DailyHeads, daily_heads, day_number, day_text
from node.audit.waiting import wait_cosigned
from node.doctor import examine
from node.errors import StateError
from node.vault import schema
from node.vault.evidence_export import export_evidence
from protocol.evidence_file import parse_evidence_file, write_evidence_file
from protocol.evidence_report import verify_evidence_file
from protocol.logleaf import EventKind, LogLeaf
from protocol.pq_line import pq_signed_at_s
from tests.backup.epochs import alarms, log_kinds
from tests.post.harness import EPOCH_MS, Federation, Institution

QUARTER_S = 15 * 60 + 70
DAY_S = 86_400
DAY_MS = DAY_S * 1000


def cosigned(institution: Institution) -> CosignedHead | None:
    return institution.node.database.read_now(best_head, 1)


async def three(federation: Federation, *, database: str = "") -> tuple[Institution, Institution, Institution]:
    """Three institutions that know each other, running, with anna at a and bruno at b."""
    a = await federation.make("a")
    b = await federation.make("b", database=database)
    c = await federation.make("c")
    await a.add("anna")
    await b.add("bruno")
    await federation.acquaint()
    await federation.start()
    await trio.sleep(130)
    return a, b, c


async def test_evidence_is_completed_with_the_cosignatures_of_two_others(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b, _ = await three(federation, database=database_url)
        letter = await a.send("anna", "bruno@b.example")
        await trio.sleep(5)
        first = {event.kind: event.witnesses for event in (await a.timeline("anna", letter)).events}
        assert first[EventKind.DEPOSITED] == 0  # mail did not wait for it
        await b.read("bruno", letter)
        await trio.sleep(2 * QUARTER_S)
        now = {event.kind: event.witnesses for event in (await a.timeline("anna", letter)).events}
        assert now == {EventKind.SUBMITTED: 2, EventKind.DEPOSITED: 2, EventKind.OPENED: 2}
        head = cosigned(b)
        assert head is not None
        assert head.cosigners == 2

        node = a.node
        made = await export_evidence(node.database, node.keys, node.directory, node.outbox, letter.row.hex())
        report = verify_evidence_file(parse_evidence_file(write_evidence_file(made)))
        assert report.ok
        assert [len(event.witnesses) for event in report.events] == [2, 2, 2]
        assert alarms(*federation.institutions) == []
        assert all(check.ok for check in await examine(node))


async def test_waiting_for_cosignatures_ends_with_them_or_with_its_time(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b, c = await three(federation, database=database_url)
        node = b.node
        await b.add("berthe")
        _, size = node.database.read_now(newest_size)
        await wait_cosigned(node.database, node.cosigned, cosigners=2, size=None, within_s=600)
        head = cosigned(b)
        assert head is not None
        assert (head.cosigners, head.size >= size) == (2, True)
        with pytest.raises(StateError, match="3 others cannot cosign this log: 2 are accepted"):
            await wait_cosigned(node.database, node.cosigned, cosigners=3, size=None, within_s=600)

        await a.stop()
        await c.stop()
        await b.add("bernard")
        started = trio.current_time()
        with pytest.raises(StateError, match="not cosigned by 1 within 90 s"):
            await wait_cosigned(node.database, node.cosigned, cosigners=1, size=None, within_s=90)
        assert trio.current_time() - started == pytest.approx(90)


async def test_nodes_at_rest_stay_at_rest(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """Cosigning makes no log grow: it ends when everything is cosigned."""
    async with Federation.opened(tmp_path) as federation:
        institutions = await three(federation)
        await trio.sleep(300)
        sizes = [item.node.database.read_now(item.node.own_log_head) for item in institutions]
        sent = federation.hub.bytes_sent
        await trio.sleep(1800)
        assert [item.node.database.read_now(item.node.own_log_head) for item in institutions] == sizes
        # Keep-alives and questions for news alone; one head offered to one peer takes 500 bytes.
        assert federation.hub.bytes_sent - sent < 5_000
        for item in institutions:
            head = cosigned(item)
            assert head is not None
            assert head.note.startswith(item.node.database.read_now(item.node.own_log_head).partition(b"\n\n")[0])


async def test_each_day_has_a_head_with_an_ml_dsa_line(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b = await federation.make("a"), await federation.make("b")
        await federation.acquaint()
        # Five minutes before midnight.
        for item in (a, b):
            item.skew_ms = DAY_MS - EPOCH_MS % DAY_MS - 300_000
        await a.add("anna")
        await federation.start()
        await trio.sleep(200)
        database = a.node.database
        assert database.read_now(daily_heads) == []
        await trio.sleep(3800)
        [first] = database.read_now(daily_heads, 1)
        assert first.day == EPOCH_MS // DAY_MS
        signed_at_s = pq_signed_at_s(first.note, a.node.keyring.chain.pq_keys())
        assert 0 <= signed_at_s * 1000 - (first.day + 1) * DAY_MS <= 3_600_000
        with database.engines.reader.connect() as connection:
            assert len(a.node.cosigned.keys.cosignatures(connection, first.note)) == 1


async def test_a_day_has_one_head_and_a_quiet_one_none(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a", database=database_url)
        database, node = a.node.database, a.node
        daily = DailyHeads(node.own_keys.post_quantum, node.cosigned)
        assert await database.write(daily.make, None) is False  # the log began today
        a.skew_ms += DAY_MS
        assert [await database.write(daily.make, None) for _ in range(2)] == [True, False]
        a.skew_ms += DAY_MS
        assert await database.write(daily.make, None) is False  # nothing happened
        await a.add("anna")
        a.skew_ms += DAY_MS
        assert await database.write(daily.make, None) is True
        first, second = database.read_now(daily_heads, 1)
        assert (second.day - first.day, second.size > first.size) == (2, True)
        assert day_number(day_text(second.day)) == second.day


@pytest.mark.parametrize("text", ["2027-1-31", "20270131", "2027-02-30", "days", "1969-12-31", "2027-W04-7", ""])
def test_days_have_one_spelling(text: str) -> None:
    assert day_number(text) is None


async def test_what_nobody_cosigns_is_told_of_after_a_week(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (federation, a, _b):
        await a.send("anna", "bruno@b.example")
        await trio.sleep(2)
        await federation.hub.cut()
        # As if no peer had ever answered.
        with a.node.database.engines.writer.begin() as connection:
            connection.execute(schema.cosigned_heads.update().values(cosigners=0))
        node = a.node
        completion = Completion(keys=node.keys, heads=node.cosigned, dedup=node.dedup, returns=node.returns)
        await node.database.write(completion.tell_overdue, None)
        assert EventKind.EVIDENCE_UNWITNESSED not in log_kinds(a)
        a.skew_ms += OVERDUE_MS + 1000
        for _ in range(2):  # once, of each
            await node.database.write(completion.tell_overdue, None)
        with node.database.engines.reader.connect() as connection:
            leaves = connection.scalars(schema.log_leaves.select().with_only_columns(schema.log_leaves.c.leaf)).all()
        kinds = [LogLeaf.decode(leaf).kind for leaf in leaves]
        assert kinds.count(EventKind.EVIDENCE_UNWITNESSED) == 2  # b's evidence, and the own log
        [check] = [item for item in await examine(node) if item.name == "witnesses"]
        assert not check.ok
        assert "lack cosignatures" in check.message
