"""The life of a letter between whole nodes, on the mock clock. Spec: spec/delivery.md."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
import trio

from node.errors import LimitError, RecipientError, StateError
from node.post.waiting import retry_now
from node.vault import schema
from node.vault.evidence_export import export_evidence
from node.vault.states import DeliveryState, LetterFolder, LetterState
from protocol.entry import Accepts
from protocol.evidence_report import verify_evidence_file
from protocol.letter import LetterClass
from protocol.logleaf import EventKind
from tests.post.harness import Federation, settled

HOUR_S = 3600


def kinds(timeline: object) -> list[EventKind]:
    return [event.kind for event in timeline.events]  # type: ignore[attr-defined]


async def test_letter_is_deposited_opened_and_proved(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        letter = await a.send("anna", "bruno@b.example", subject="Compte rendu", text="Bonjour Bruno")
        await settled()
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]
        opened = await b.read("bruno", letter)
        assert (opened.letter.subject, opened.letter.text) == ("Compte rendu", "Bonjour Bruno")
        await settled()
        timeline = await a.timeline("anna", letter)
        assert kinds(timeline) == [EventKind.SUBMITTED, EventKind.DEPOSITED, EventKind.OPENED]
        assert [event.own for event in timeline.events] == [True, False, False]
        assert timeline.recipients[0].role == "owner"


async def test_several_institutions_cc_and_own_mailboxes(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b, c = [await federation.make(name) for name in "abc"]
        await a.add("anna")
        await a.add("alma")
        await b.add("bruno")
        await c.add("clara")
        await federation.acquaint()
        await federation.start()
        await settled()
        letter = await a.send("anna", "bruno@b.example", "clara@c.example", cc=("alma@a.example",))
        await settled()
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED] * 3
        for institution, person in ((b, "bruno"), (c, "clara"), (a, "alma")):
            opened = await institution.read(person, letter)
            assert [item.address for item in opened.letter.cc] == ["alma@a.example"]
        await settled()
        assert await a.states("anna", letter) == [DeliveryState.OPENED] * 3


async def test_opening_twice_is_on_record_once(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        letter = await a.send("anna", "bruno@b.example")
        await settled()
        await b.read("bruno", letter)
        await b.read("bruno", letter)
        await settled()
        assert kinds(await a.timeline("anna", letter)).count(EventKind.OPENED) == 1


async def test_letter_waits_for_a_node_that_is_down(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        await b.stop()
        letter = await a.send("anna", "bruno@b.example")
        await trio.sleep(5 * HOUR_S)
        assert await a.states("anna", letter) == [DeliveryState.WAITING]
        assert EventKind.DELAYED in kinds(await a.timeline("anna", letter))
        await b.start()
        await settled()
        # b greets its peers when it comes back: nobody waits for a's next attempt.
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]


async def test_letter_expires_with_warnings_and_a_signed_end(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        await b.stop()
        letter = await a.send("anna", "bruno@b.example")
        await trio.sleep(72.5 * HOUR_S)
        assert await a.states("anna", letter) == [DeliveryState.WAITING]
        await trio.sleep(1 * HOUR_S)
        assert await a.states("anna", letter) == [DeliveryState.EXPIRED]
        timeline = await a.timeline("anna", letter)
        assert kinds(timeline) == [EventKind.SUBMITTED, EventKind.DELAYED, EventKind.DELAYED, EventKind.EXPIRED]
        await b.start()
        await settled()
        assert await b.inbox("bruno") == []


async def test_dial_out_only_node_receives(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path, b_listens=False) as (_, a, b):
        letter = await a.send("anna", "bruno@b.example")
        await settled()
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]
        assert (await b.read("bruno", letter)).letter.letter_id == letter.letter_id


async def test_full_mailbox_defers_until_there_is_room(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        await b.add("petite", quota_bytes=1000)
        await settled()
        letter = await a.send("anna", "petite@b.example")
        await trio.sleep(2 * HOUR_S)
        assert await a.states("anna", letter) == [DeliveryState.WAITING]

        def enlarge(connection: sa.Connection) -> None:
            connection.execute(schema.mailboxes.update().values(quota_bytes=10**9))
            connection.commit()

        with b.node.database.engines.writer.connect() as connection:
            enlarge(connection)
        await trio.sleep(HOUR_S / 2)
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]


async def test_an_administrator_need_not_wait_as_long_as_the_destination_said(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        await b.add("petite", quota_bytes=1000)
        await settled()
        letter = await a.send("anna", "petite@b.example")
        await trio.sleep(2 * HOUR_S + 300)  # full mailboxes are tried every quarter of an hour
        with b.node.database.engines.writer.begin() as connection:
            connection.execute(schema.mailboxes.update().values(quota_bytes=10**9))
        await trio.sleep(1)
        assert await a.states("anna", letter) == [DeliveryState.WAITING]
        assert await retry_now(a.node.database, a.node.outbox, a.node.peers, None) == 1
        await trio.sleep(1)
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]


async def test_mailbox_closed_on_the_way_refuses_with_evidence(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        await federation.hub.cut()
        letter = await a.send("anna", "bruno@b.example")
        await b.node.mailboxes.close("bruno@b.example")
        federation.hub.mend()
        await trio.sleep(HOUR_S)
        line = (await a.timeline("anna", letter)).recipients[0]
        assert (line.state, line.code) == (DeliveryState.REFUSED, "closed")
        with pytest.raises(RecipientError, match="closed"):
            await a.send("anna", "bruno@b.example")


async def test_class_and_size_are_refused_before_anything_is_read(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        await b.add("calme", accepts=Accepts(1000, ("urgent", "normal")))
        await settled()
        with pytest.raises(RecipientError, match="no bulk"):
            await a.send("anna", "calme@b.example", letter_class=LetterClass.BULK)
        big = tmp_path / "big.bin"
        big.write_bytes(bytes(1001))
        big.chmod(0o000)
        with pytest.raises(LimitError, match="at most 1000 bytes"):
            await a.send("anna", "calme@b.example", files=[big])


async def test_unknown_recipient_offers_the_nearest(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path) as (_, a, _b):
        with pytest.raises(RecipientError) as caught:
            await a.send("anna", "brunno@b.example")
        assert caught.value.nearest[0] == "bruno@b.example"


async def test_large_payload_is_pulled_and_resumes_after_a_cut(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        size = 24 * 1024 * 1024
        big = tmp_path / "scan.bin"
        big.write_bytes(a._random.randbytes(size))
        hub = federation.hub
        before = hub.bytes_sent
        hub.cut_after_bytes = before + 14 * 1024 * 1024
        letter = await a.send("anna", "bruno@b.example", files=[big])
        await settled()
        assert hub.is_down
        assert await a.states("anna", letter) == [DeliveryState.WAITING]
        hub.mend()
        await trio.sleep(HOUR_S)
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]
        # Everything once, at most 4 MiB again, and a little for the protocol.
        assert hub.bytes_sent - before < size * 1.005 + 4 * 1024 * 1024
        opened = await b.read("bruno", letter)
        saved = opened.content.save_attachment(0, tmp_path / "a", lambda _done: None)
        assert saved.read_bytes() == big.read_bytes()


async def test_withdrawn_before_opening(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        letter = await a.send("anna", "bruno@b.example")
        await settled()
        await a.withdraw("anna", letter)
        await settled()
        assert await a.states("anna", letter) == [DeliveryState.WITHDRAWN]
        [summary] = await b.inbox("bruno")
        assert (summary.letter, summary.stored.state) == (None, LetterState.WITHDRAWN)
        with pytest.raises(StateError, match="withdrawn"):
            await b.node.reading.open(b.people["bruno"], summary.stored)


async def test_withdrawal_after_opening_is_too_late(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        letter = await a.send("anna", "bruno@b.example")
        await settled()
        await federation.hub.cut()
        await b.read("bruno", letter)
        await a.withdraw("anna", letter)
        federation.hub.mend()
        await trio.sleep(HOUR_S)
        assert await a.states("anna", letter) == [DeliveryState.OPENED]
        assert EventKind.WITHDRAW_TOO_LATE in kinds(await a.timeline("anna", letter))
        with pytest.raises(StateError, match="nothing to withdraw"):
            await a.withdraw("anna", letter)


async def test_withdrawal_overtakes_the_letter(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        await federation.hub.cut()
        letter = await a.send("anna", "bruno@b.example")
        await a.withdraw("anna", letter)
        federation.hub.mend()
        await trio.sleep(HOUR_S)
        assert await a.states("anna", letter) == [DeliveryState.WITHDRAWN]
        assert await b.inbox("bruno") == []


async def test_urgent_letter_goes_before_those_that_waited(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        await federation.hub.cut()
        for number in range(60):
            await a.send("anna", "bruno@b.example", subject=f"bulk {number}", letter_class=LetterClass.BULK)
        await a.send("anna", "bruno@b.example", subject="urgent", letter_class=LetterClass.URGENT)
        federation.hub.mend()
        await trio.sleep(HOUR_S)
        inbox = await b.node.reading.page(b.people["bruno"], LetterFolder.INBOX, limit=100)
        arrived = {}
        for summary in inbox:
            assert summary.letter is not None
            with b.node.database.engines.reader.connect() as connection:
                # Its first event is the deposit; reminders that it is unread come after.
                leaves = schema.log_leaves.c
                query = sa.select(sa.func.min(leaves.position)).where(leaves.tag == summary.stored.tag)
                arrived[connection.execute(query).scalar_one()] = summary.letter.subject
        assert len(arrived) == 61
        assert "urgent" in [arrived[position] for position in sorted(arrived)][:3]


async def test_new_mailbox_becomes_known_without_reconnecting(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        with pytest.raises(RecipientError):
            await a.send("anna", "nouveau@b.example")
        await b.add("nouveau")
        await settled()
        letter = await a.send("anna", "nouveau@b.example")
        await settled()
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]


async def test_restart_between_every_step_loses_nothing(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        await a.stop()
        letter = await a.send("anna", "bruno@b.example")
        await a.start()
        await settled()
        await b.stop()
        await a.stop()
        await b.read("bruno", letter)
        await b.start()
        await a.start()
        await settled()
        assert await a.states("anna", letter) == [DeliveryState.OPENED]
        assert len(await b.inbox("bruno")) == 1


async def test_removed_peer_is_cut_off_at_once(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        await b.node.database.write(b.node.peers.remove, a.node.node_id)
        await settled()
        letter = await a.send("anna", "bruno@b.example")
        await settled()
        assert await a.states("anna", letter) == [DeliveryState.WAITING]
        await b.accept(a)
        await trio.sleep(2 * HOUR_S)
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]


async def test_a_peer_leaves_only_so_much_unfinished(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b = await federation.make("a"), await federation.make("b")
        await a.add("anna")
        await b.add("bruno")
        limits = b.node.settings.limits.model_copy(update={"peer_unfinished_bytes": 1})
        b.node.settings = b.node.settings.model_copy(update={"limits": limits})
        await federation.acquaint()
        await federation.start()
        await settled()
        big = tmp_path / "scan.bin"
        big.write_bytes(bytes(600_000))
        letters = [await a.send("anna", "bruno@b.example", files=[big]) for _ in range(2)]
        await trio.sleep(5 * 60)
        for letter in letters:
            assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]


async def test_evidence_of_an_opening_verifies_while_the_clock_runs(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """The opener signs the time of the leaf, however long the transaction takes."""
    async with Federation.pair(tmp_path) as (_, a, b):
        letter = await a.send("anna", "bruno@b.example")
        await settled()
        b.tick_ms = 1
        await b.read("bruno", letter)
        b.tick_ms = 0
        await settled()
        node = a.node
        file = await export_evidence(node.database, node.keys, node.directory, node.outbox, letter.row.hex())
        report = verify_evidence_file(file)
        assert report.ok
        assert EventKind.OPENED in [item.verified.kind for item in report.events if item.verified]
