"""Heads that others cosign, and evidence completed by them, between whole nodes. Spec: spec/cosigning.md."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
import trio

from node.audit.completion import OVERDUE_MS
from node.audit.cosigned_heads import CosignedHead, best_head
from node.audit.daily_heads import daily_heads, day_number, day_text
from node.doctor import examine
from node.vault import schema
from node.vault.evidence_export import export_evidence
from protocol.evidence_file import parse_evidence_file, write_evidence_file
from protocol.evidence_report import verify_evidence_file
from protocol.logleaf import EventKind
from protocol.pq_line import pq_signed_at_s
from tests.backup.epochs import alarms, log_kinds
from tests.post.harness import EPOCH_MS, Federation, Institution

QUARTER_S = 15 * 60 + 70
DAY_S = 86_400


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


async def test_each_day_has_a_head_with_an_ml_dsa_line(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, _, _ = await three(federation)
        database = a.node.database
        assert database.read_now(daily_heads) == []
        await trio.sleep(DAY_S)
        [first] = database.read_now(daily_heads)
        await trio.sleep(DAY_S)
        assert database.read_now(daily_heads) == [first]  # nothing happened on the second day
        await a.add("alma")
        await trio.sleep(DAY_S + 3600)
        first, second = database.read_now(daily_heads, 1)
        today = EPOCH_MS // 86_400_000
        assert (first.day, second.day) == (today, today + 2)
        assert second.size > first.size
        for head in (first, second):
            assert pq_signed_at_s(head.note, a.node.keyring.chain.pq_keys()) * 1000 >= (head.day + 1) * 86_400_000
            assert len(a.node.cosigned.keys.cosignatures(database.engines.reader.connect(), head.note)) == 2
            assert day_number(day_text(head.day)) == head.day


@pytest.mark.parametrize("text", ["2027-1-31", "20270131", "2027-02-30", "days", "1969-12-31", "2027-W04-7", ""])
def test_days_have_one_spelling(text: str) -> None:
    assert day_number(text) is None


async def test_what_nobody_cosigns_is_told_of_after_a_week(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        letter = await a.send("anna", "bruno@b.example")
        await trio.sleep(2)
        assert [event.witnesses for event in (await a.timeline("anna", letter)).events] == [0, 0]
        await b.stop()
        await federation.hub.cut()
        # What was cosigned until then is forgotten: as if no peer had ever answered.
        with a.node.database.engines.writer.begin() as connection:
            connection.execute(schema.cosigned_heads.update().values(cosigners=0))
        await trio.sleep(OVERDUE_MS / 1000 + 2 * DAY_S)
        assert EventKind.EVIDENCE_UNWITNESSED in log_kinds(a)
        told = log_kinds(a).count(EventKind.EVIDENCE_UNWITNESSED)
        assert told == 2  # b's evidence, and the own log
        [check] = [item for item in await examine(a.node) if item.name == "witnesses"]
        assert not check.ok
        with a.node.database.engines.reader.connect() as connection:
            flags = connection.scalars(sa.select(schema.peer_evidence.c.overdue_told)).all()
        assert set(flags) == {1}
