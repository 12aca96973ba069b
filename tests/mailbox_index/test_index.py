"""The sealed index of a mailbox against a plain look at its letters. Spec: spec/mailbox-index.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa
import trio.testing

from node.errors import ConfigError, NotFoundError, StateError
from node.vault import schema
from node.vault.access import OpenMailbox
from node.vault.database import Transaction
from node.vault.filing import HOME, Mark
from node.vault.mailbox_index.index import INDEX_VERSION, Indexed
from node.vault.mailbox_index.lists import Cursor, Listed, View
from node.vault.mailbox_index.terms import Query
from node.vault.states import LetterFolder, LetterState, Place
from tests.post.harness import PASSWORD, Institution, settled
from tests.retention.years import erase, every_byte, pair


async def indexed(b: Institution, opened: OpenMailbox) -> None:
    while await b.node.index.update(opened, limit=7):
        pass


def subjects(letters: list[Listed]) -> list[str]:
    return [item.summary.subject if item.summary is not None else f"({item.problem})" for item in letters]


async def found(b: Institution, opened: OpenMailbox, text: str) -> list[str]:
    return subjects((await b.node.lists.search(opened, Query.parse(text))).letters)


async def test_lists_searches_and_threads(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    document = tmp_path / "Échographie Œdème.pdf"
    document.write_bytes(b"%PDF-1.4")
    async with pair(tmp_path, database_url) as (_, a, b):
        bruno = b.people["bruno"]
        for number in range(12):
            files = [document] if number == 3 else []
            await a.send("anna", "bruno@b.example", subject=f"Lettre {number}", files=files)
        await settled()
        page = await b.node.lists.page(bruno, Place.INBOX)
        assert len(page.letters) == 12, "before there is an index, letters are opened"
        await indexed(b, bruno)
        assert (await b.node.index.progress(bruno)).done == 12
        assert (await b.node.index.progress(bruno)).waiting == 0
        first = await b.node.lists.page(bruno, Place.INBOX, limit=5)
        second = await b.node.lists.page(bruno, Place.INBOX, limit=5, before=Cursor.parse(first.following))
        third = await b.node.lists.page(bruno, Place.INBOX, limit=5, before=Cursor.parse(second.following))
        assert (len(first.letters), len(second.letters), len(third.letters), third.following) == (5, 5, 2, "")
        rows = [item.row for item in (*first.letters, *second.letters, *third.letters)]
        assert rows == [item.row for item in page.letters]
        assert await found(b, bruno, "lettre 3") == ["Lettre 3"]
        assert await found(b, bruno, "ECHO oedeme") == ["Lettre 3"]
        assert await found(b, bruno, "has:file") == ["Lettre 3"]
        assert await found(b, bruno, "fichier:echogr") == ["Lettre 3"]
        assert await found(b, bruno, "file:lettre") == []
        assert len(await found(b, bruno, "from:anna")) == 12
        assert await found(b, bruno, "to:anna") == []
        assert await found(b, bruno, "introuvable") == []
        assert await found(b, bruno, "") == []
        # By number, a page at a time.
        one = await b.node.lists.search(bruno, Query.parse("lettre"), limit=8)
        two = await b.node.lists.search(bruno, Query.parse("lettre"), limit=8, before=int(one.following))
        assert [item.row for item in (*one.letters, *two.letters)] == rows
        assert two.following == ""
        summary = page.letters[0].summary
        assert summary is not None
        assert subjects(await b.node.lists.thread(bruno, summary.thread)) == [summary.subject]


async def test_filing_marks_and_own_folders(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (_, a, b):
        node, bruno, berta = b.node, b.people["bruno"], b.people["berta"]
        for number in range(3):
            await a.send("anna", "bruno@b.example", subject=f"Lettre {number}")
        await b.send("bruno", "anna@a.example", subject="Réponse")
        await settled()
        await indexed(b, bruno)
        rows = [item.row for item in (await node.lists.page(bruno, Place.INBOX)).letters]
        (sent,) = (await node.lists.page(bruno, Place.SENT)).letters
        assert await node.lists.unread(bruno) == {Place.INBOX: 3}
        number = await node.mail_folders.create(bruno, "  Cardio   logie ")
        with pytest.raises(StateError):
            await node.mail_folders.create(bruno, "CARDIO LOGIE")
        for bad in ("", "x" * 81, "\u202e", "a\x00b"):
            with pytest.raises(ConfigError):
                await node.mail_folders.create(bruno, bad)
        moved = await node.filing.move(bruno, [rows[0], sent.row], number)
        assert sorted(moved) == sorted([(rows[0], Place.INBOX), (sent.row, Place.SENT)])
        assert {item.row for item in (await node.lists.page(bruno, number)).letters} == {rows[0], sent.row}
        assert await node.lists.unread(bruno) == {Place.INBOX: 2, number: 1}
        # Somebody else's rows, and somebody else's folders, are as if they were not there.
        assert await node.filing.move(berta, [rows[1]], Place.ARCHIVE) == []
        with pytest.raises(NotFoundError):
            await node.filing.move(berta, [rows[1]], number)
        assert await node.filing.mark(berta, [rows[1]], Mark.FLAGGED, is_set=True) == 0
        assert await node.mail_folders.all(berta) == []
        await node.mail_folders.rename(bruno, number, "Néphrologie")
        assert [(item.number, item.name) for item in await node.mail_folders.all(bruno)] == [(number, "Néphrologie")]
        assert (await node.mail_folders.find(bruno, "nephrologie")).number == number
        await node.mail_folders.delete(bruno, number)
        assert len((await node.lists.page(bruno, Place.INBOX)).letters) == 3
        assert len((await node.lists.page(bruno, Place.SENT)).letters) == 1
        with pytest.raises(NotFoundError):
            await node.mail_folders.delete(bruno, number)
        # An unread mark is for opened letters, and opening is on record once.
        assert await node.filing.mark(bruno, [rows[0]], Mark.UNREAD, is_set=True) == 0
        await node.reading.open(bruno, await node.reading.find(bruno, LetterFolder.INBOX, rows[0].hex()))
        assert await node.lists.unread(bruno) == {Place.INBOX: 2}
        assert await node.filing.mark(bruno, [rows[0]], Mark.UNREAD, is_set=True) == 1
        assert await node.lists.unread(bruno) == {Place.INBOX: 3}
        assert len((await node.lists.page(bruno, Place.INBOX, unread=True)).letters) == 3
        await node.filing.seen(bruno, rows[0])
        assert [item.row for item in (await node.lists.page(bruno, Place.INBOX, unread=True)).letters] == rows[1:]
        await node.filing.mark(bruno, rows, Mark.FLAGGED, is_set=True)
        assert len((await node.lists.page(bruno, View.FLAGGED)).letters) == 3
        await node.filing.move(bruno, rows[:1], Place.ARCHIVE)
        await node.trash.delete(bruno, await node.reading.find(bruno, LetterFolder.INBOX, rows[0].hex()))
        assert [item.row for item in (await node.lists.page(bruno, View.TRASH)).letters] == rows[:1]
        assert len(await found(b, bruno, "lettre")) == 2
        await node.trash.undelete(bruno, await node.reading.find(bruno, LetterFolder.INBOX, rows[0].hex()))
        assert [item.row for item in (await node.lists.page(bruno, Place.ARCHIVE)).letters] == rows[:1]
        await node.filing.move(bruno, rows, HOME)
        assert len((await node.lists.page(bruno, Place.INBOX)).letters) == 3


async def test_no_word_lies_in_the_database(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    words = ("Polykystose", "Échographie", "Klinefelterbrief", "Tubulopathie")
    document = tmp_path / "Klinefelterbrief.pdf"
    document.write_bytes(b"%PDF-1.4")
    async with pair(tmp_path, database_url) as (_, a, b):
        bruno = b.people["bruno"]
        await a.send("anna", "bruno@b.example", subject="Polykystose Échographie", files=[document])
        await settled()
        await indexed(b, bruno)
        await b.node.mail_folders.create(bruno, "Tubulopathie")
        assert await found(b, bruno, "polykyst file:klinefelter") == ["Polykystose Échographie"]
        await b.stop()
        node_key = b.node.keys
        forms = [form.encode() for word in words for form in (word, word.lower(), word.lower().replace("é", "e"))]
        for place, value in every_byte(b):
            assert not any(form in value for form in forms), place
        # Nor behind the node's own seal: of the tables that the index has, every column that it opens.
        with b.node.database.engines.reader.connect() as connection:
            for name in ("mail_folders", "mailbox_index_keys"):
                for row in connection.execute(sa.select(schema.metadata.tables[name])).all():
                    inside = node_key.open(name, row.id, "sealed", row.sealed)
                    assert not any(form in inside for form in forms)
        await b.start()


async def test_what_is_withdrawn_or_erased_leaves_the_index(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (_, a, b):
        bruno = b.people["bruno"]
        await a.send("anna", "bruno@b.example", subject="reprise")
        await a.send("anna", "bruno@b.example", subject="effacée")
        await a.send("anna", "bruno@b.example", subject="gardée")
        await settled()
        await indexed(b, bruno)
        anna = a.people["anna"]
        (taken,) = [
            item.stored
            for item in await a.node.reading.page(anna, LetterFolder.SENT)
            if item.letter is not None and item.letter.subject == "reprise"
        ]
        await a.node.withdrawals.request(anna, taken)
        await settled()
        await erase(b, "bruno", "effacée")
        with b.node.database.engines.reader.connect() as connection:
            assert len(connection.execute(sa.select(schema.letter_summaries)).all()) == 1
        assert sorted(subjects((await b.node.lists.page(bruno, Place.INBOX)).letters)) == ["(withdrawn)", "gardée"]
        assert await found(b, bruno, "reprise") == []
        assert await found(b, bruno, "effacee") == []
        assert await found(b, bruno, "from:anna") == ["gardée"]
        await b.node.index.rebuild(bruno)
        assert await found(b, bruno, "gardee") == []
        await indexed(b, bruno)
        assert await found(b, bruno, "gardee") == ["gardée"]


async def test_a_piece_that_others_overtook_is_not_written(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (_, a, b):
        bruno = b.people["bruno"]
        for number in range(6):
            await a.send("anna", "bruno@b.example", subject=f"Lettre {number}")
        await settled()
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(indexed, b, bruno)
        with b.node.database.engines.reader.connect() as connection:
            numbers = connection.execute(sa.select(schema.letter_summaries.c.number)).scalars().all()
        assert len(set(numbers)) == len(numbers) == 6
        assert len(await found(b, bruno, "lettre")) == 6


async def test_new_keys_make_a_new_generation(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (_, a, b):
        await a.send("anna", "bruno@b.example", subject="avant")
        await settled()
        before = b.people["bruno"]
        await indexed(b, before)
        number = await b.node.mail_folders.create(before, "Dossier")
        after = await b.node.mailbox_recovery.renew_keys("bruno@b.example", PASSWORD, PASSWORD)
        b.people["bruno"] = after
        with pytest.raises(StateError):
            await b.node.index.update(before, limit=1)
        await a.send("anna", "bruno@b.example", subject="après")
        await settled()
        await indexed(b, after)
        assert await found(b, after, "avant") == ["avant"]
        assert await found(b, after, "apres") == ["après"]
        assert [(item.number, item.name) for item in await b.node.mail_folders.all(after)] == [(number, "Dossier")]
        with b.node.database.engines.reader.connect() as connection:
            old = b.node.index.rows.find(connection, before)
            assert set(old.by_generation) == {1}, "who has the former keys alone does not open what came later"
            assert set(b.node.index.rows.find(connection, after).by_generation) == {1, 2}


async def test_a_lost_index_and_another_version_are_made_anew(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (_, a, b):
        bruno = b.people["bruno"]
        await a.send("anna", "bruno@b.example", subject="courrier")
        await settled()
        await indexed(b, bruno)

        def lose(tx: Transaction, items: Sequence[bool]) -> list[None]:
            for is_version in items:
                state = schema.mailbox_indexes
                if is_version:
                    tx.connection.execute(state.update().values(version="0/old"))
                else:  # what a restored backup is like
                    for table in (schema.letter_summaries, schema.letter_postings, state):
                        tx.connection.execute(table.delete())
            return [None] * len(items)

        for is_version in (True, False):
            await b.node.database.write(lose, is_version)
            assert len((await b.node.lists.page(bruno, Place.INBOX)).letters) == 1
            await indexed(b, bruno)
            assert await found(b, bruno, "courrier") == ["courrier"]
            with b.node.database.engines.reader.connect() as connection:
                assert connection.execute(sa.select(schema.mailbox_indexes.c.version)).scalar_one() == INDEX_VERSION
                state = connection.execute(
                    sa.select(schema.letters.c.indexed).where(schema.letters.c.state != LetterState.WITHDRAWN)
                )
                assert state.scalars().all() == [Indexed.DONE]
