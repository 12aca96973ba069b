"""Keys of a mailbox that changed hands: made once, whole, and old letters open. Spec: spec/identity.md, 8."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
import trio
import trio.testing

from node.errors import StateError
from node.vault import schema
from node.vault.database import Transaction
from node.vault.states import DeliveryState, LetterState
from protocol.logleaf import EventKind
from tests.post.harness import Institution, settled
from tests.post.sharing_scene import BRUNO, CARL, DORA, WARD, delegate, entry_of, events, hospital


async def test_power_cut_in_the_change_of_keys_leaves_all_or_nothing(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hospital(tmp_path, database=database_url) as (_, a, b):
        for person in (DORA, CARL):
            await b.node.sharing.add_member(b.people["ward"], person)
        letter = await a.send("anna", WARD)
        await settled()
        await b.node.sharing.remove_member(WARD, CARL)
        before = entry_of(b, WARD)
        ways = rows_of_ways(b)
        # Nothing else writes meanwhile: the torn transaction is the one that changes the keys.
        await a.stop()
        await b.stop()

        def torn(_tx: Transaction) -> None:
            raise OSError("power cut")

        # After all was written, before the commit: the way a crash leaves a transaction.
        with monkeypatch.context() as patch:
            patch.setattr(type(b.node.log.open(None, 0)), "flush", torn)  # type: ignore[arg-type]
            with pytest.raises(OSError, match="power cut"):
                await b.log_in("dora", "ward")
        assert (entry_of(b, WARD), rows_of_ways(b)) == (before, ways)
        await b.close()
        await b.open()
        await b.start()
        await b.log_in("dora", "ward", keep_as="dora as ward")
        assert entry_of(b, WARD).keys_follow_from(before)
        await b.read("dora as ward", letter)


def rows_of_ways(institution: Institution) -> list[object]:
    with institution.node.database.engines.reader.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.select(schema.mailbox_ways))]


async def test_two_members_who_find_new_keys_due_make_them_once(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with hospital(tmp_path) as (_, _a, b):
        for person in (BRUNO, DORA, CARL):
            await b.node.sharing.add_member(b.people["ward"], person)
        await b.node.sharing.remove_member(WARD, BRUNO)
        async with trio.open_nursery() as nursery:
            for name in ("dora", "carl"):
                nursery.start_soon(b.log_in, name, "ward")
        assert len(events(b, EventKind.KEYS_RENEWED)) == 1
        await b.log_in("dora", "ward")
        await b.log_in("carl", "ward")


async def test_a_session_without_the_new_keys_puts_nothing_on_record_as_unreadable(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with hospital(tmp_path) as (_, a, b):
        await delegate(b, "bruno", "dora")
        await b.node.sharing.revoke(BRUNO, DORA)
        stale = b.people["bruno"]
        await b.log_in("bruno", keep_as="bruno again")
        await settled()
        letter = await a.send("anna", BRUNO)
        await settled()
        [summary] = await b.inbox("bruno again")
        b.people["bruno"] = stale
        with pytest.raises(StateError, match="got new keys after this log-in"):
            await b.node.reading.open(stale, summary.stored)
        assert (await b.inbox("bruno again"))[0].stored.state is LetterState.UNREAD
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]


async def test_many_changes_keep_old_letters_readable(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """More changes than the entry lists keys for: what was opened stays open, what is under way for long does not."""
    async with hospital(tmp_path) as (_, a, b):
        letter = await a.send("anna", BRUNO, subject="Ancienne")
        written = await b.send("bruno", "anna@a.example")
        await settled()
        await a.read("anna", written)
        for _ in range(9):
            await delegate(b, "bruno", "dora")
            await b.node.sharing.revoke(BRUNO, DORA)
            await b.log_in("bruno")
        await settled()
        assert len(entry_of(a, BRUNO).former_keys) == 8
        assert (await b.read("bruno", letter)).letter.subject == "Ancienne"
        assert (await a.read("anna", written)).letter.sender.address == BRUNO
        assert len(b.people["bruno"].secrets.former) == 9
