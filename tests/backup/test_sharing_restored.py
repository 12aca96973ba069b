"""An old backup brings back who acted for a mailbox, and keys that were replaced. Spec: spec/identity.md, 8.4."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from node.errors import StateError
from node.vault.states import DeliveryState
from protocol.logleaf import EventKind
from tests.backup.copies import restore, write_backup
from tests.backup.epochs import LONG_S, alarms
from tests.post.harness import settled
from tests.post.sharing_scene import WRITE, delegate, entry_of, events, hospital

WARD, BRUNO, DORA, CARL = "ward@b.example", "bruno@b.example", "dora@b.example", "carl@b.example"


async def test_restored_wraps_open_nothing_and_lost_keys_are_reset(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with hospital(tmp_path) as (_, a, b):
        for person in (DORA, CARL):
            await b.node.sharing.add_member(b.people["ward"], person)
        await delegate(b, "bruno", "dora", rights=WRITE)
        before = await a.send("anna", WARD, subject="Avant")
        await settled()
        write_backup(b, tmp_path / "b.backup")
        # Not in the backup: carl leaves, dora is no deputy any more, both mailboxes get new keys.
        await b.node.sharing.remove_member(WARD, CARL)
        await b.node.sharing.revoke(BRUNO, DORA)
        await b.log_in("ward")
        await b.log_in("bruno")
        await settled()
        lost = await a.send("anna", WARD, subject="Aux clés perdues")
        await trio.sleep(LONG_S)
        stated = {mailbox: entry_of(a, mailbox) for mailbox in (WARD, BRUNO)}
        await b.stop()
        await b.close()

        restore(b, tmp_path / "b.backup", tmp_path / "restored")
        await b.open()
        # Nobody was heard: a log-in works, and publishes nothing.
        await b.log_in("ward")
        await b.start()
        await trio.sleep(LONG_S)
        assert {mailbox: entry_of(b, mailbox) for mailbox in stated} == stated  # a peer gave them back
        assert len(await b.node.sharing.members(WARD)) == 2  # as they were
        for person, mailbox in (("carl", "ward"), ("dora", "ward"), ("dora", "bruno")):
            with pytest.raises(StateError, match="made before keys that the directory states now"):
                await b.log_in(person, mailbox)

        for local, mailbox in (("ward", WARD), ("bruno", BRUNO)):
            await b.log_in(local)
            entry = entry_of(b, mailbox)
            assert entry.seal_key != stated[mailbox].seal_key
            assert entry.reset_at_ms is not None
            assert stated[mailbox].signing_key in [item.key for item in entry.former_keys]
        assert [details.code for _, details in events(b, EventKind.KEYS_RENEWED)][-2:] == ["reset", "reset"]
        assert await b.node.sharing.members(WARD) == await b.node.sharing.delegations(BRUNO) == []
        await trio.sleep(LONG_S)

        assert (await b.read("ward", before)).letter.subject == "Avant"
        fresh = await a.send("anna", WARD, subject="Après")
        await settled()
        await b.read("ward", fresh)
        [gone] = [item for item in await b.inbox("ward") if item.letter is None]
        assert gone.problem == "bad_box"
        assert await a.states("anna", lost) == [DeliveryState.DEPOSITED]
        await b.node.sharing.add_member(b.people["ward"], DORA)
        await b.log_in("dora", "ward")
        assert alarms(a, b) == []
