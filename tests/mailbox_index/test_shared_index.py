"""The index of a mailbox that several people open: members, who leaves, and deputies who may only read."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio.testing

from node.errors import StateError
from node.vault.access import OpenMailbox
from node.vault.filing import HOME, Mark
from node.vault.mailbox_index.terms import Query
from node.vault.states import LetterFolder, Place
from tests.post.harness import Institution, settled
from tests.post.sharing_scene import READ, delegate, hospital

WARD, DORA, CARL = "ward@b.example", "dora@b.example", "carl@b.example"


async def indexed(b: Institution, opened: OpenMailbox) -> None:
    while await b.node.index.update(opened, limit=5):
        pass


async def found(b: Institution, opened: OpenMailbox, text: str) -> list[str]:
    page = await b.node.lists.search(opened, Query.parse(text))
    return sorted(item.summary.subject for item in page.letters if item.summary is not None)


async def test_a_member_who_left_reads_nothing_of_what_is_indexed_later(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with hospital(tmp_path, database=database_url) as (_, a, b):
        for person in (DORA, CARL):
            await b.node.sharing.add_member(b.people["ward"], person)
        carl = await b.log_in("carl", "ward", keep_as="carl as ward")
        await a.send("anna", WARD, subject="ensemble")
        await settled()
        await indexed(b, carl)
        number = await b.node.mail_folders.create(carl, "Urgences")
        await b.node.sharing.remove_member(WARD, CARL)
        dora = await b.log_in("dora", "ward", keep_as="dora as ward")
        await a.send("anna", WARD, subject="sans Carl")
        await settled()
        await indexed(b, dora)
        assert await found(b, dora, "from:anna") == ["ensemble", "sans Carl"]
        assert [item.number for item in await b.node.mail_folders.all(dora)] == [number]
        for call in (b.node.index.update(carl, limit=1), b.node.lists.page(carl, Place.INBOX)):
            with pytest.raises(StateError):
                await call
        # Not even from the database itself, with the keys that he had.
        with b.node.database.engines.reader.connect() as connection:
            assert set(b.node.index.rows.find(connection, carl).by_generation) == {1}
            assert set(b.node.index.rows.find(connection, dora).by_generation) == {1, 2}


async def test_a_deputy_who_may_only_read_lists_and_searches_and_files_nothing(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with hospital(tmp_path, database=database_url) as (_, a, b):
        await a.send("anna", "bruno@b.example", subject="à lire")
        await settled()
        await delegate(b, "bruno", "dora", rights=READ)
        dora = await b.log_in("dora", "bruno", keep_as="dora as bruno")
        await indexed(b, dora)
        assert await found(b, dora, "lire") == ["à lire"]
        (line,) = (await b.node.lists.page(dora, Place.INBOX)).letters
        stored = await b.node.reading.find(dora, LetterFolder.INBOX, line.row.hex())
        for call in (
            b.node.filing.move(dora, [line.row], HOME),
            b.node.filing.mark(dora, [line.row], Mark.FLAGGED, is_set=True),
            b.node.mail_folders.create(dora, "Non"),
            b.node.trash.delete_all(dora, [stored]),
        ):
            with pytest.raises(StateError, match="does not allow to write"):
                await call
        await b.node.reading.open(dora, stored)
        await b.node.filing.mark(b.people["bruno"], [line.row], Mark.UNREAD, is_set=True)
        await b.node.filing.seen(dora, line.row)
        assert await b.node.lists.unread(b.people["bruno"]) == {Place.INBOX: 1}, "a reader leaves marks alone"
        # What the deputy indexed serves the owner.
        assert await found(b, b.people["bruno"], "lire") == ["à lire"]
