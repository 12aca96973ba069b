"""Letters kept for so long: warnings on both sides, erasure, holds, the trash. Whole nodes over years, both databases.

Spec: spec/retention.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
import trio.testing

from node.errors import NotFoundError, StateError
from node.retention.holds import NewHold
from node.vault import schema
from node.vault.alert_preferences import AlertPreferences
from node.vault.database import Transaction
from node.vault.states import DeliveryState, LetterFolder, LetterState
from protocol.logleaf import EventKind
from tests.backup.copies import what_is_wrong
from tests.post.harness import Institution, settled
from tests.retention.years import days, every_byte, hold, keep, leaves, pair, release, rows, stored

BIG = 600_000


def document(folder: Path) -> Path:
    path = folder / "scan.bin"
    path.write_bytes(bytes(range(256)) * (BIG // 256))
    return path


def occasions(institution: Institution) -> list[str]:
    """What alerts were about, in the order in which they were made."""
    keys = institution.node.keys
    return [
        keys.open_map("alerts", row.id, "sealed", row.sealed).text("occasion", high=40)
        for row in rows(institution, schema.alerts)
    ]


async def wants_alerts(institution: Institution, local: str) -> None:
    wanted = AlertPreferences(webhook="https://hooks.example/x")
    await institution.node.database.write(
        institution.node.alerts.set_preferences, (institution.people[local].id, wanted)
    )


async def test_nothing_is_erased_unless_somebody_said_so(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (federation, a, b):
        letter = await a.send("anna", "bruno@b.example")
        await settled()
        await days(federation, 400)
        assert (await b.read("bruno", letter)).letter.subject == "Essai"
        assert EventKind.ERASED not in [kind for kind, _ in leaves(b)]


async def test_an_opened_letter_goes_with_all_that_tells_of_it(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (federation, a, b):
        await keep(b, "bruno", received=365)
        letter = await a.send("anna", "bruno@b.example", files=[document(tmp_path)])
        await settled()
        await b.read("bruno", letter)
        await settled()
        there = await stored(b, "bruno")
        (leaf_openings,) = {
            bytes(row.sealed) for row in rows(b, schema.log_leaves) if bytes(row.tag) == there.tag and row.sealed
        } and [[bytes(row.sealed) for row in rows(b, schema.log_leaves) if bytes(row.tag) == there.tag]]
        (letter_row,) = rows(b, schema.letters)
        (payload,) = rows(b, schema.payloads)
        file = b.node.store._path(payload.id)
        ciphertext = file.read_bytes()[:64]
        gone = [*leaf_openings, letter_row.sealed, payload.hashes, ciphertext]
        before = list(every_byte(b))
        assert all(any(secret in data for _, data in before) for secret in gone)
        await days(federation, 364)
        assert (await stored(b, "bruno")).state is LetterState.OPENED
        await days(federation, 2)
        assert rows(b, schema.letters) == []
        assert rows(b, schema.payloads) == []
        assert rows(b, schema.erased_files) == []
        assert not file.exists()
        for name, data in every_byte(b):
            assert not any(secret in data for secret in gone), f"something of the letter is left in {name}"
        assert b.node.database.read_now(lambda connection: rows(b, schema.mailboxes))[0].used_bytes == 0
        kinds = leaves(b)
        (proof,) = (details for kind, details in kinds if kind is EventKind.ERASED)
        assert proof is not None
        assert proof.code == f"1 letters, {len(leaf_openings)} leaves"
        assert sum(details is None for _, details in kinds) == len(leaf_openings)
        assert await what_is_wrong(b) == []
        # The sender's copy is another one, and its evidence verifies as before.
        assert await a.states("anna", letter) == [DeliveryState.OPENED]
        assert (await stored(a, "anna", LetterFolder.SENT)).row == letter.row


async def test_both_sides_are_warned_before_an_unread_letter_goes(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (federation, a, b):
        await wants_alerts(a, "anna")
        await wants_alerts(b, "bruno")
        await keep(b, "bruno", received=90)
        letter = await a.send("anna", "bruno@b.example")
        await days(federation, 75)
        assert "erasure_due" not in occasions(b)
        await days(federation, 2)
        there = await stored(b, "bruno")
        assert there.erase_at_ms >= there.arrived_at_ms + 90 * 86_400_000
        assert occasions(b).count("erasure_due") == 1
        assert "unread_there" in occasions(a)
        (warning,) = (
            event for event in (await a.timeline("anna", letter)).events if event.kind is EventKind.ERASURE_DUE
        )
        assert len(warning.code) == len("2026-12-24")
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]
        await days(federation, 12)
        (row,) = rows(b, schema.letters)
        assert row.warnings == 2
        assert (await stored(b, "bruno")).state is LetterState.UNREAD
        await days(federation, 4)
        assert await b.inbox("bruno") == []
        assert await a.states("anna", letter) == [DeliveryState.ERASED_UNREAD]
        assert "erased_unread" in occasions(a)
        # With the sender's answer the last opening of the letter is gone as well.
        assert all(details is None for kind, details in leaves(b) if kind is EventKind.ERASED_UNREAD)
        assert rows(b, schema.returns) == []


async def test_an_unread_letter_stays_as_long_as_its_sender_cannot_be_told(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (federation, a, b):
        await keep(b, "bruno", received=30)
        letter = await a.send("anna", "bruno@b.example")
        await settled()
        await federation.hub.cut()
        await days(federation, 300)
        assert len(await b.inbox("bruno")) == 1
        federation.hub.mend()
        await days(federation, 1)
        assert EventKind.ERASURE_DUE in [event.kind for event in (await a.timeline("anna", letter)).events]
        await days(federation, 12)
        assert len(await b.inbox("bruno")) == 1
        await days(federation, 2)
        assert await b.inbox("bruno") == []
        assert await a.states("anna", letter) == [DeliveryState.ERASED_UNREAD]


async def test_a_letter_opened_after_the_warning_is_read_and_goes_in_its_time(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (federation, a, b):
        await keep(b, "bruno", received=30)
        letter = await a.send("anna", "bruno@b.example")
        await days(federation, 20)
        await b.read("bruno", letter)
        await days(federation, 12)
        assert await b.inbox("bruno") == []
        assert await a.states("anna", letter) == [DeliveryState.OPENED]


async def test_a_hold_keeps_what_its_owner_deletes_and_its_sender_withdraws(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (federation, a, b):
        await keep(b, "bruno", received=30, trash=10)
        await a.send("anna", "bruno@b.example", subject="une")
        await settled()
        held = await hold(b, NewHold(reason="dossier 12/345", letter=(await stored(b, "bruno")).row))
        await b.node.trash.delete(b.people["bruno"], await stored(b, "bruno"))
        with pytest.raises(StateError, match="deleted already"):
            await b.node.trash.delete(b.people["bruno"], await stored(b, "bruno"))
        assert await b.inbox("bruno") == []
        await days(federation, 500)
        assert len(rows(b, schema.letters)) == 1
        assert EventKind.ERASURE_DUE not in [kind for kind, _ in leaves(b)]
        await release(b, held, "classé")
        with pytest.raises(StateError, match="removed already"):
            await release(b, held, "classé")
        await days(federation, 0.1)
        await days(federation, 13)
        assert len(rows(b, schema.letters)) == 1, "it was unread: the warnings come first"
        await days(federation, 4)
        assert rows(b, schema.letters) == []
        assert rows(b, schema.holds) == []


async def test_a_withdrawn_letter_under_a_hold_is_hidden_and_kept(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (federation, a, b):
        letter = await a.send("anna", "bruno@b.example")
        await settled()
        held = await hold(b, NewHold(reason="r", mailbox=b.people["bruno"].id))
        await a.withdraw("anna", letter)
        await settled()
        assert await a.states("anna", letter) == [DeliveryState.WITHDRAWN]
        (summary,) = await b.inbox("bruno")
        assert (summary.letter, summary.problem) == (None, "withdrawn")
        with pytest.raises(StateError, match="withdrawn"):
            await b.node.reading.open(b.people["bruno"], summary.stored)
        (row,) = rows(b, schema.letters)
        assert row.payload is not None
        await release(b, held, "fin")
        await days(federation, 1)
        (row,) = rows(b, schema.letters)
        assert row.payload is None
        assert await what_is_wrong(b) == []


async def test_a_hold_over_a_period_keeps_the_letters_of_that_time(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (federation, a, b):
        await keep(b, "bruno", received=20)
        for subject in ("avant", "pendant", "après"):
            letter = await a.send("anna", "bruno@b.example", subject=subject)
            await settled()
            await b.read("bruno", letter)
            await days(federation, 5)
        arrived = sorted(row.arrived_at_ms for row in rows(b, schema.letters))
        await hold(b, NewHold(reason="enquête", from_ms=arrived[1], until_ms=arrived[2]))
        await days(federation, 30)
        (summary,) = await b.inbox("bruno")
        assert summary.letter is not None
        assert summary.letter.subject == "pendant"


async def test_a_deleted_letter_comes_back_until_it_is_erased(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (federation, a, b):
        letter = await a.send("anna", "bruno@b.example")
        await settled()
        await b.read("bruno", letter)
        bruno = b.people["bruno"]
        await b.node.trash.delete(bruno, await stored(b, "bruno"))
        await days(federation, 29)
        with pytest.raises(StateError, match="not deleted"):
            await b.node.trash.undelete(bruno, (await _undeleted(b)))
        await days(federation, 29)
        await b.node.trash.delete(bruno, await stored(b, "bruno"))
        await days(federation, 31)
        assert rows(b, schema.letters) == []
        kinds = [kind for kind, _ in leaves(b)]
        assert [kinds.count(kind) for kind in (EventKind.DELETED, EventKind.UNDELETED)] == [2, 1]


async def _undeleted(b: Institution):  # type: ignore[no-untyped-def]
    there = await stored(b, "bruno")
    await b.node.trash.undelete(b.people["bruno"], there)
    return there


async def test_a_sent_copy_goes_with_its_evidence_and_the_recipients_letter_stays(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (federation, a, b):
        await keep(b, "berta", sent=10)
        letter = await b.send("berta", "anna@a.example", "bruno@b.example", files=[document(tmp_path)])
        await settled()
        await days(federation, 8)
        assert len(rows(b, schema.deliveries)) == 2
        await days(federation, 3)
        # Sent for ever ago, by its setting; but the envelope is kept until a week after its deadline.
        await days(federation, 8)
        assert rows(b, schema.deliveries) == rows(b, schema.peer_evidence) == rows(b, schema.outbox) == []
        assert (await b.read("bruno", letter)).content.signed.letter.attachments[0].size == BIG // 256 * 256
        await a.read("anna", letter)
        await settled()
        assert await what_is_wrong(b) == []


async def test_the_same_letter_in_two_mailboxes_of_a_node_is_erased_from_one(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (federation, a, b):
        await keep(b, "bruno", received=20)
        letter = await a.send("anna", "bruno@b.example", "berta@b.example", files=[document(tmp_path)])
        await settled()
        await b.read("bruno", letter)
        await settled()
        await days(federation, 22)
        assert await b.inbox("bruno") == []
        opened = await b.read("berta", letter)
        assert opened.content.save_attachment(0, tmp_path / "b", lambda _done: None).stat().st_size == BIG // 256 * 256
        await settled()
        assert sorted(await a.states("anna", letter)) == [DeliveryState.OPENED, DeliveryState.OPENED]
        assert await what_is_wrong(b) == []


async def test_a_hold_on_a_letter_that_is_gone_is_refused(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (_, _a, b):
        with pytest.raises(NotFoundError, match="not here any more"):
            await hold(b, NewHold(reason="r", letter=bytes(16)))


async def test_a_moved_clock_erases_nothing_for_a_day(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (federation, a, b):
        await keep(b, "bruno", received=3)
        letter = await a.send("anna", "bruno@b.example")
        await settled()
        await b.read("bruno", letter)
        await settled()
        b.skew_ms += 40 * 86_400_000
        await trio.sleep(20 * 3600)
        assert len(await b.inbox("bruno")) == 1
        b.skew_ms -= 40 * 86_400_000
        await trio.sleep(6 * 3600)
        assert len(await b.inbox("bruno")) == 1
        await days(federation, 5)
        assert await b.inbox("bruno") == []


async def test_many_letters_go_a_hundred_at_a_time_and_mail_goes_on(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (_, a, b):
        for number in range(210):
            await a.send("anna", "bruno@b.example", subject=str(number))
        await settled()
        assert len(rows(b, schema.letters)) == 210

        def read_and_deleted(tx: Transaction, items: Sequence[None]) -> Sequence[None]:
            tx.connection.execute(schema.letters.update().values(state=int(LetterState.OPENED), trashed_at_ms=1))
            return items

        await b.node.database.write(read_and_deleted, None)
        so_far: list[int] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(b.node.retention.look, so_far.append)
            letter = await a.send("anna", "bruno@b.example", subject="entre-temps")
            await settled()
        assert so_far == [100, 200, 210]
        (summary,) = await b.inbox("bruno")
        assert summary.letter is not None
        assert summary.letter.letter_id == letter.letter_id
        codes = [details.code for kind, details in leaves(b) if kind is EventKind.ERASED and details is not None]
        assert codes == ["100 letters, 100 leaves", "100 letters, 100 leaves", "10 letters, 10 leaves"]
        assert len(rows(b, schema.erased_letters)) == 210
        assert await what_is_wrong(b) == []
