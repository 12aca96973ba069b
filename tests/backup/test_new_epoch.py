"""A restore is not a fork: the node goes on in a new epoch, peers raise no alarm, nothing is delivered twice.

Spec: spec/backup.md, 7.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from node.errors import StateError, StoreError
from node.opening import open_node
from node.vault.database import Transaction
from node.vault.states import DeliveryState
from protocol.details import Details
from protocol.letter import LetterClass
from protocol.logleaf import EventKind
from tests.backup.copies import drop_tables, restore, what_is_wrong, write_backup
from tests.backup.epochs import (
    LONG_S,
    alarms,
    deposited_epochs,
    first_leaf,
    held_epoch,
    log_kinds,
    own_heads,
    relink,
)
from tests.post.harness import Federation, settled


async def test_restored_node_goes_on_with_a_peer_that_knew_more(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b = await federation.make("a"), await federation.make("b", database=database_url)
        await a.add("anna")
        await b.add("bruno")
        await federation.acquaint()
        await federation.start()
        await settled()
        first = await a.send("anna", "bruno@b.example", subject="Avant")
        await settled()
        await federation.hub.cut()
        queued = await b.send("bruno", "anna@a.example", subject="En attente")
        write_backup(b, tmp_path / "b.backup")
        federation.hub.mend()
        await trio.sleep(LONG_S)

        # All of this is not in the backup; of the log, of the feed and of the letter the peer keeps a trace.
        lost = await a.send("anna", "bruno@b.example", subject="Perdue")
        taken_back = await a.send("anna", "bruno@b.example", subject="Reprise")
        await settled()
        await a.withdraw("anna", taken_back)
        await b.add("berta")
        await relink(federation)
        assert await b.states("bruno", queued) == [DeliveryState.DEPOSITED]
        assert await a.states("anna", taken_back) == [DeliveryState.WITHDRAWN]
        assert (held_epoch(a), len(await b.inbox("bruno"))) == (1, 3)
        before = own_heads(b)
        await b.stop()
        await b.close()

        if database_url.startswith("postgresql"):
            drop_tables(database_url)
        restore(b, tmp_path / "b.backup", tmp_path / "restored")
        await b.open()
        ended, opened = own_heads(b)
        assert (ended.epoch, ended.size < before[0].size, opened.epoch > 1) == (1, True, True)
        kind, details = first_leaf(b, opened.epoch)
        assert (kind, details.code) == (EventKind.EPOCH_OPENED, ended.code)
        with pytest.raises(StateError, match="no peer has said yet"):
            await b.add("basile")  # what is published now could contradict what peers hold
        await b.start()
        await trio.sleep(LONG_S)

        assert alarms(a, b) == []
        await b.add("basile")
        assert held_epoch(a) == opened.epoch
        assert EventKind.PEER_EPOCH in log_kinds(a)
        # The old epoch ends where the backup did.
        assert own_heads(b)[0] == ended
        assert len(own_heads(b)) == 2
        subjects = [item.letter.subject for item in await b.inbox("bruno") if item.letter is not None]
        assert sorted(subjects) == ["Avant", "Perdue"]
        assert await a.states("anna", first) == await a.states("anna", lost) == [DeliveryState.DEPOSITED]
        assert await a.states("anna", taken_back) == [DeliveryState.WITHDRAWN]
        assert deposited_epochs(a, b, first.letter_id) == [1]
        assert deposited_epochs(a, b, lost.letter_id) == [1, opened.epoch]
        # What had been delivered is offered, and known: one letter, and its evidence again.
        assert len(await a.inbox("anna")) == 1
        assert await b.states("bruno", queued) == [DeliveryState.DEPOSITED]
        assert deposited_epochs(b, a, queued.letter_id) == [1]
        assert b.node.database.read_now(b.node.directory.find, "berta@b.example").node == b.node.node_id

        later = await a.send("anna", "bruno@b.example", subject="Après")
        answer = await b.send("bruno", "anna@a.example", subject="Réponse")
        await relink(federation)
        assert await a.states("anna", later) == await b.states("bruno", answer) == [DeliveryState.DEPOSITED]
        assert deposited_epochs(a, b, later.letter_id) == [opened.epoch]
        assert alarms(a, b) == []
        assert await what_is_wrong(b) == []


async def test_what_was_lost_comes_again_past_its_deadline(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    """Two days after an urgent letter was deposited, its node is restored from a backup made before."""
    async with Federation.opened(tmp_path) as federation:
        a, b = await federation.make("a"), await federation.make("b", database=database_url)
        await a.add("anna")
        await b.add("bruno")
        await federation.acquaint()
        await federation.start()
        await settled()
        back = await a.send("anna", "bruno@b.example", subject="Reprise", letter_class=LetterClass.URGENT)
        await settled()
        write_backup(b, tmp_path / "b.backup")
        lost = await a.send("anna", "bruno@b.example", subject="Perdue", letter_class=LetterClass.URGENT)
        await a.withdraw("anna", back)
        await settled()
        assert await a.states("anna", lost) == [DeliveryState.DEPOSITED]
        assert await a.states("anna", back) == [DeliveryState.WITHDRAWN]
        await a.stop()
        await b.stop()
        await b.close()
        await trio.sleep(2 * 86_400)
        await a.start()
        if database_url.startswith("postgresql"):
            drop_tables(database_url)
        restore(b, tmp_path / "b.backup", tmp_path / "restored")
        await b.open()
        await b.start()
        await trio.sleep(LONG_S)
        subjects = [item.letter.subject for item in await b.inbox("bruno") if item.letter is not None]
        assert subjects == ["Perdue"]
        assert await a.states("anna", lost) == [DeliveryState.DEPOSITED]
        assert await a.states("anna", back) == [DeliveryState.WITHDRAWN]
        assert len(deposited_epochs(a, b, lost.letter_id)) == 2
        assert await what_is_wrong(b) == []


async def test_machine_put_back_learns_from_its_peer(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """A snapshot of the whole machine, head file included: nothing here tells that the log lost its end."""
    async with Federation.pair(tmp_path) as (federation, a, b):
        await b.stop()
        await b.close()
        shutil.copytree(b.path, tmp_path / "snapshot")
        await b.open()
        await b.start()
        await trio.sleep(LONG_S)
        lost = [await a.send("anna", "bruno@b.example", subject=f"Perdue {number}") for number in range(8)]
        await settled()
        await relink(federation)
        (known,) = own_heads(b)
        await b.stop()
        await b.close()
        b.path = tmp_path / "snapshot"
        await b.open()
        assert len(own_heads(b)) == 1
        await b.start()
        await trio.sleep(LONG_S)
        _, opened = own_heads(b)
        kind, details = first_leaf(b, opened.epoch)
        assert kind is EventKind.EPOCH_OPENED
        assert details.code is not None
        assert details.code.startswith("1/")
        assert int(details.code.split("/")[1]) <= known.size
        assert alarms(a, b) == []
        assert len(await b.inbox("bruno")) == len(lost)
        assert all(deposited_epochs(a, b, letter.letter_id) == [1, opened.epoch] for letter in lost)


async def test_new_epoch_reaches_a_peer_over_a_running_link(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """One peer tells of the loss; another, linked for a while, learns of the new epoch and offers again."""
    async with Federation.opened(tmp_path) as federation:
        a, b, c = [await federation.make(name) for name in ("a", "b", "c")]
        await a.add("anna")
        await b.add("bruno")
        await c.add("clara")
        await federation.acquaint()
        await federation.start()
        await settled()
        first = await a.send("anna", "bruno@b.example", subject="Avant")
        await settled()
        await a.stop()
        await b.stop()
        await b.close()
        shutil.copytree(b.path, tmp_path / "snapshot")
        await b.open()
        await b.start()
        await trio.sleep(LONG_S)
        for number in range(8):
            await c.send("clara", "bruno@b.example", subject=f"Lettre {number}")
        await settled()
        await relink(federation)
        await c.stop()
        await b.stop()
        await b.close()
        b.path = tmp_path / "snapshot"
        await b.open()
        await b.start()
        await a.start()
        await trio.sleep(LONG_S)
        second = await a.send("anna", "bruno@b.example", subject="Après")
        await settled()
        assert len(own_heads(b)) == 1
        await c.start()
        await trio.sleep(LONG_S)
        _, opened = own_heads(b)
        assert alarms(a, b, c) == []
        heads = [peer.log_head or b"" for one in (a, c) for peer in one.node.database.read_now(one.node.peers.all)]
        assert sum(f"/log/{opened.epoch}\n".encode() in head for head in heads) == 2
        assert len(await b.inbox("bruno")) == 10
        assert await a.states("anna", first) == await a.states("anna", second) == [DeliveryState.DEPOSITED]
        assert deposited_epochs(a, b, first.letter_id) == deposited_epochs(a, b, second.letter_id) == [1]


async def test_restored_twice_from_one_backup(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path) as (_federation, a, b):
        write_backup(b, tmp_path / "b.backup")
        epochs = []
        for number in range(2):
            await b.stop()
            await b.close()
            restore(b, tmp_path / "b.backup", tmp_path / f"restored-{number}")
            await b.open()
            await b.start()
            await trio.sleep(LONG_S)
            letter = await a.send("anna", "bruno@b.example", subject=f"Lettre {number}")
            await settled()
            assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]
            epochs.append(own_heads(b)[-1].epoch)
        assert epochs[0] < epochs[1] == held_epoch(a)
        assert alarms(a, b) == []
        assert len(await b.inbox("bruno")) == 2


async def test_node_that_stays_behind_is_an_alarm(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        await b.stop()
        await b.close()
        shutil.copytree(b.path, tmp_path / "snapshot")
        await b.open()
        await b.start()
        for number in range(8):
            await a.send("anna", "bruno@b.example", subject=f"Lettre {number}")
        await trio.sleep(LONG_S)
        await relink(federation)
        await b.stop()
        await b.close()
        b.path = tmp_path / "snapshot"
        await b.open()

        async def deaf(_notes: Sequence[bytes]) -> None:
            await trio.lowlevel.checkpoint()

        monkeypatch.setattr(b.node.history, "shown", deaf)
        await b.start()
        await trio.sleep(LONG_S)
        assert alarms(a) == ["b"]


async def test_head_file_ahead_opens_an_epoch_once(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        b = await federation.make("b")
        await b.close()
        shutil.copytree(b.path, tmp_path / "old")
        await b.open()
        await b.add("bruno")
        (known,) = own_heads(b)
        await b.close()
        b.path = tmp_path / "old"
        shutil.copy(tmp_path / "b" / "head", b.path / "head")
        for _ in range(2):
            await b.open()
            _, opened = own_heads(b)
            assert first_leaf(b, opened.epoch)[1].code == known.code
            await b.close()
        (b.path / "head").write_bytes(b"no head")

        async def open_it() -> None:
            async with open_node(b.path, world=b.world):
                pass

        with pytest.raises(BaseExceptionGroup) as refused:
            await open_it()
        assert refused.group_contains(StoreError, match="cannot be read")


async def test_epoch_opens_in_a_transaction_of_its_own(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """Written together with other events, the epoch's leaf is still the first of its epoch."""
    async with Federation.opened(tmp_path) as federation:
        b = await federation.make("b")
        (head,) = own_heads(b)

        def started(tx: Transaction, items: Sequence[EventKind]) -> Sequence[None]:
            for kind in items:
                tx.log.append(kind, Details(node=b.node.node_id))
            return [None] * len(items)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(b.node.database.write, started, EventKind.STARTED))
            nursery.start_soon(b.node.history.open_epoch, head)
            nursery.start_soon(b.node.history.open_epoch, head)
        ended, opened = own_heads(b)
        assert first_leaf(b, opened.epoch)[0] is EventKind.EPOCH_OPENED
        assert ended.size + opened.size == head.size + 2
        assert await what_is_wrong(b) == []
