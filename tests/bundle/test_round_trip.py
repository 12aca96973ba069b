"""Two nodes without any network: everything goes by files. Spec: spec/bundle.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
import trio

from node.post.submit import Accepted
from node.vault import schema
from node.vault.database import Transaction
from node.vault.feed_store import EPOCH, drop_feed
from node.vault.states import DeliveryState, LetterFolder, OutboxState
from protocol.letter import LetterClass
from tests.bundle.sticks import apart
from tests.post.harness import Institution


def _count(institution: Institution, table: sa.Table) -> int:
    def read(connection: sa.Connection) -> int:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())

    return institution.node.database.read_now(read)


async def _words(institution: Institution, letter: Accepted) -> list[str]:
    """A sent letter's timeline, in words."""
    return [event.kind.word for event in (await institution.timeline("anna", letter)).events]


def _waiting(institution: Institution) -> int:
    return institution.node.database.read_now(
        lambda connection: len(institution.node.outbox.with_state(connection, OutboxState.WAITING))
    )


async def test_letter_goes_and_evidence_comes_back(tmp_path: Path, database_url: str, autojump_clock: object) -> None:
    async with apart(tmp_path, database=database_url) as (a, b, stick):
        letter = await a.send("anna", "bruno@b.example", subject="Par la clé", text="Sans réseau")
        there = await stick.carry(a, b)
        assert (there.deposited, there.complete, there.problems) == (1, True, [])
        # Nothing left the queue: it may have been lost on the way.
        assert _waiting(a) == 1
        assert await a.states("anna", letter) == [DeliveryState.WAITING]

        back = await stick.carry(b, a)
        assert (back.results, back.acknowledged, back.problems) == (1, 2, [])
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]
        assert _waiting(a) == 0

        opened = await b.read("bruno", letter)
        assert (opened.letter.subject, opened.letter.text) == ("Par la clé", "Sans réseau")
        back = await stick.carry(b, a)
        assert back.returns == 1
        assert await a.states("anna", letter) == [DeliveryState.OPENED]
        assert await _words(a, letter) == ["submitted", "deposited", "opened"]
        # What went back ends at b once it learns that it was read.
        assert _count(b, schema.returns) == 1
        await stick.carry(a, b)
        assert _count(b, schema.returns) == 0
        assert _count(b, schema.bundle_answers) == 0


async def test_large_and_many(tmp_path: Path, database_url: str, autojump_clock: object) -> None:
    document = tmp_path / "scanner.bin"
    document.write_bytes(bytes(range(256)) * 8192)
    async with apart(tmp_path, database=database_url) as (a, b, stick):
        small = [await a.send("anna", "bruno@b.example", subject=f"petit {at}") for at in range(70)]
        large = await a.send("anna", "bruno@b.example", subject="grand", files=[document])
        urgent = await a.send("anna", "bruno@b.example", subject="urgent", letter_class=LetterClass.URGENT)
        there = await stick.carry(a, b)
        assert (there.deposited, there.problems) == (72, [])
        opened = await b.read("bruno", large)
        assert opened.letter.attachments[0].size == document.stat().st_size
        await stick.carry(b, a)
        for letter in (*small, urgent):
            assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]


async def test_read_twice_and_out_of_order(tmp_path: Path, autojump_clock: object) -> None:
    async with apart(tmp_path) as (a, b, stick):
        one = await a.send("anna", "bruno@b.example", subject="un")
        first = await stick.write(a, b)
        two = await a.send("anna", "bruno@b.example", subject="deux")
        await a.add("nouvelle")
        second = await stick.write(a, b)
        later = await stick.read(b, second)
        assert (later.deposited, later.known, later.feeds) == (2, 0, 1)
        older = await stick.read(b, first)
        assert (older.deposited, older.known, older.problems, older.read_before) == (0, 1, [], False)
        again = await stick.read(b, second)
        assert (again.deposited, again.known, again.problems, again.read_before) == (0, 2, [], True)
        assert len(await b.inbox("bruno")) == 2
        back = await stick.carry(b, a)
        assert back.acknowledged == 3
        for letter in (one, two):
            assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]
        # The own evidence is on record once, however often it came.
        assert await _words(a, one) == ["submitted", "deposited"]
        assert not (await b.node.database.read(b.node.peers.find, "a.example")).alarm


async def test_directory_changes_travel(tmp_path: Path, autojump_clock: object) -> None:
    async with apart(tmp_path) as (a, b, stick):
        await b.add("clara")
        report = await stick.carry(b, a)
        assert (report.feeds, report.operations) == (1, 1)
        letter = await a.send("anna", "clara@b.example")
        await stick.carry(a, b)
        assert (await b.read("clara", letter)).letter.subject == "Essai"
        # What is known to be held is not sent again.
        await stick.carry(a, b)
        quiet = await stick.carry(b, a)
        assert (quiet.feeds, quiet.operations) == (0, 0)


async def test_gap_in_the_directory_waits(tmp_path: Path, autojump_clock: object) -> None:
    async with apart(tmp_path, directories=False) as (a, b, stick):
        await stick.write(b, a)
        # a tells what it holds of b: nothing. Then it learns of b's directory, tells that, and forgets it.
        await stick.carry(b, a)
        await stick.carry(a, b)
        await b.add("clara")

        def forget(tx: Transaction, items: Sequence[None]) -> Sequence[None]:
            drop_feed(tx.connection, b.node.node_id, EPOCH)
            return items

        await a.node.database.write(forget, None)
        report = await stick.carry(b, a)
        assert len(report.problems) == 1
        assert "begins at" in report.problems[0]
        assert report.complete
        # The next one begins where a says that it stands.
        await stick.carry(a, b)
        report = await stick.carry(b, a)
        assert (report.feeds, report.problems) == (1, [])


async def test_withdrawal_by_stick(tmp_path: Path, database_url: str, autojump_clock: object) -> None:
    async with apart(tmp_path, database=database_url) as (a, b, stick):
        unread, opened, unsent = [await a.send("anna", "bruno@b.example", subject=text) for text in ("a", "b", "c")]
        await a.withdraw("anna", unsent)
        there = await stick.carry(a, b)
        assert (there.deposited, there.withdrawals) == (2, 1)
        await b.read("bruno", opened)
        for letter in (unread, opened):
            await a.withdraw("anna", letter)
        there = await stick.carry(a, b)
        assert (there.withdrawals, there.deposited) == (3, 0)
        back = await stick.carry(b, a)
        assert not back.problems
        assert await a.states("anna", unread) == [DeliveryState.WITHDRAWN]
        assert await a.states("anna", unsent) == [DeliveryState.WITHDRAWN]
        assert await a.states("anna", opened) == [DeliveryState.OPENED]


async def test_by_stick_and_over_a_link_at_once(tmp_path: Path, autojump_clock: object) -> None:
    async with apart(tmp_path) as (a, b, stick):
        letter = await a.send("anna", "bruno@b.example")
        path = await stick.write(a, b)
        await a.start()
        await b.start()
        # The nodes run: a command beside each of them reads.
        report = await stick.read(b, path)
        await trio.sleep(600)
        assert report.deposited + report.known == 1
        assert len(await b.inbox("bruno")) == 1
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]
        back = await stick.carry(b, a)
        assert not back.problems
        assert await _words(a, letter) == ["submitted", "deposited"]


async def test_what_fits_goes_urgent_first(tmp_path: Path, autojump_clock: object) -> None:
    async with apart(tmp_path) as (a, b, stick):
        normal = [await a.send("anna", "bruno@b.example", subject=f"n{at}") for at in range(5)]
        urgent = await a.send("anna", "bruno@b.example", subject="u", letter_class=LetterClass.URGENT)
        whole = await stick.write(a, b)
        path = await stick.write(a, b, max_bytes=whole.stat().st_size // 2)
        section = stick.summary.sections[0]
        assert path.stat().st_size <= whole.stat().st_size // 2
        assert section.letters + section.left == 6
        assert 0 < section.letters < 6
        await stick.read(b, path)
        subjects = [item.letter.subject for item in await b.inbox("bruno") if item.letter is not None]
        assert "u" in subjects
        assert len(subjects) == section.letters
        await stick.carry(b, a)
        await stick.carry(a, b)
        assert len(await b.inbox("bruno")) == 6
        assert len({letter.letter_id for letter in (*normal, urgent)}) == 6


async def test_several_destinations_in_one_file(tmp_path: Path, autojump_clock: object) -> None:
    async with apart(tmp_path) as (a, b, stick):
        federation = a._federation
        c = await federation.make("c")
        await c.add("carla")
        for one, other in ((a, c), (c, a)):
            await one.accept(other)
        await stick.carry(c, a)
        to_b = await a.send("anna", "bruno@b.example")
        to_c = await a.send("anna", "carla@c.example")
        path = await stick.write(a, b, c)
        for reader in (b, c):
            report = await stick.read(reader, path)
            assert (report.deposited, report.for_others, report.complete) == (1, 1, True)
        for writer in (b, c):
            await stick.carry(writer, a)
        assert await a.states("anna", to_b) == await a.states("anna", to_c) == [DeliveryState.DEPOSITED]


async def test_full_mailbox_is_deferred(tmp_path: Path, autojump_clock: object) -> None:
    async with apart(tmp_path) as (a, b, stick):
        await b.add("petit", quota_bytes=10)
        await stick.carry(b, a)
        letter = await a.send("anna", "petit@b.example")
        report = await stick.carry(a, b)
        assert dict(report.deferred) == {"mailbox_full": 1}
        await stick.carry(b, a)
        assert await a.states("anna", letter) == [DeliveryState.WAITING]


async def test_reader_says_what_it_saw_and_read_is_on_record(tmp_path: Path, autojump_clock: object) -> None:
    async with apart(tmp_path) as (a, b, stick):
        await a.send("anna", "bruno@b.example")
        before = b.node.database.read_now(b.node.own_log_head)
        await stick.carry(a, b)
        # submitted, written at a; deposited, read at b
        after = b.node.database.read_now(b.node.own_log_head)
        assert before != after
        held = (await b.node.database.read(b.node.peers.find, "a.example")).log_head
        await stick.carry(b, a)
        await a.send("anna", "bruno@b.example")
        await stick.carry(a, b)
        # The log's head moves on, since a proves it from what b showed to hold.
        assert (await b.node.database.read(b.node.peers.find, "a.example")).log_head != held
        assert len(await b.node.reading.page(b.people["bruno"], LetterFolder.INBOX)) == 2
