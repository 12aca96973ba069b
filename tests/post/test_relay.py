"""Letters by way of a relay, between whole nodes on the mock clock. Spec: spec/relay.md."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import sqlalchemy as sa
import trio

from node.vault import schema
from node.vault.states import DeliveryState, LetterState
from protocol.letter import LetterClass
from protocol.logleaf import EventKind
from tests.post.harness import Institution, settled
from tests.post.relays import relayed

HOUR_S = 3600


async def kinds(institution: Institution, letter: object) -> list[EventKind]:
    timeline = await institution.timeline("anna", letter)  # type: ignore[arg-type]
    return [event.kind for event in timeline.events]


async def rows(institution: Institution, table: sa.Table) -> int:
    def count(connection: sa.Connection) -> int:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())

    return await institution.node.database.read(count)


async def test_letter_answer_and_opening_go_by_the_relay(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with relayed(tmp_path, database=database_url) as made:
        letter = await made.a.send("anna", "paul@p.example", subject="Compte rendu")
        await settled()
        assert await made.a.states("anna", letter) == [DeliveryState.DEPOSITED]
        opened = await made.p.read("paul", letter)
        assert opened.letter.subject == "Compte rendu"
        await settled()
        assert await kinds(made.a, letter) == [
            EventKind.SUBMITTED,
            EventKind.RELAYED,
            EventKind.DEPOSITED,
            EventKind.OPENED,
        ]
        assert await made.leaves_waiting() == [(0, 0)]
        assert await rows(made.r, schema.relay_messages) == 0
        assert await rows(made.r, schema.letters) == 0


async def test_large_payload_goes_by_the_relay(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    scan = tmp_path / "scan.bin"
    scan.write_bytes(os.urandom(3_000_000))
    async with relayed(tmp_path / "nodes") as made:
        letter = await made.a.send("anna", "paul@p.example", files=[scan])
        await settled()
        assert await made.a.states("anna", letter) == [DeliveryState.DEPOSITED]
        opened = await made.p.read("paul", letter)
        target = tmp_path / "saved"
        target.mkdir()
        saved = opened.content.save_attachment(0, target, lambda _done: None)
        assert saved.read_bytes() == scan.read_bytes()
        assert await made.leaves_waiting() == [(0, 0)]


async def test_practice_away_finds_its_letters_at_the_relay(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with relayed(tmp_path) as made:
        await made.p.stop()
        letter = await made.a.send("anna", "paul@p.example")
        await settled()
        assert await made.a.states("anna", letter) == [DeliveryState.WAITING]
        assert EventKind.RELAYED in await kinds(made.a, letter)
        ((used, letters),) = await made.leaves_waiting()
        assert letters == 1
        assert used > 1024
        await made.a.stop()
        await made.p.start()
        await settled()
        assert len(await made.p.inbox("paul")) == 1
        await made.a.start()
        await settled()
        assert await made.a.states("anna", letter) == [DeliveryState.DEPOSITED]


async def test_direct_link_is_used_where_there_is_one(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with relayed(tmp_path) as made:
        made.join()
        await trio.sleep(2 * HOUR_S)
        letter = await made.a.send("anna", "paul@p.example")
        await settled()
        assert await kinds(made.a, letter) == [EventKind.SUBMITTED, EventKind.DEPOSITED]
        assert await rows(made.r, schema.relay_envelopes) == 0


async def test_direct_and_relayed_copies_are_one_letter(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with relayed(tmp_path) as made:
        await made.p.stop()
        letter = await made.a.send("anna", "paul@p.example")
        await settled()
        assert (await made.leaves_waiting())[0][1] == 1
        made.join()
        await made.p.start()
        await trio.sleep(2 * HOUR_S)
        assert len(await made.p.inbox("paul")) == 1
        assert (await kinds(made.a, letter)).count(EventKind.DEPOSITED) == 1
        assert await made.leaves_waiting() == [(0, 0)]


@pytest.mark.parametrize(("admit", "name"), [(False, True), (True, False)])
async def test_nothing_is_relayed_unless_both_agree(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, admit: bool, name: bool
) -> None:
    async with relayed(tmp_path, admit=admit, name=name) as made:
        letter = await made.a.send("anna", "paul@p.example")
        await trio.sleep(HOUR_S // 2)
        assert await made.a.states("anna", letter) == [DeliveryState.WAITING]
        assert await kinds(made.a, letter) == [EventKind.SUBMITTED]
        assert await rows(made.r, schema.relay_envelopes) == 0


async def test_full_relay_takes_letters_again_when_there_is_room(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with relayed(tmp_path) as made:
        await made.admit(quota_letters=1)
        await made.p.stop()
        first = await made.a.send("anna", "paul@p.example")
        await settled()
        second = await made.a.send("anna", "paul@p.example")
        await settled()
        assert EventKind.RELAYED in await kinds(made.a, first)
        assert EventKind.RELAYED not in await kinds(made.a, second)
        await made.p.start()
        await trio.sleep(HOUR_S // 2)
        assert await made.a.states("anna", first) == await made.a.states("anna", second) == [DeliveryState.DEPOSITED]


async def test_withdrawal_goes_by_the_relay(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with relayed(tmp_path) as made:
        letter = await made.a.send("anna", "paul@p.example")
        await settled()
        await made.a.withdraw("anna", letter)
        await settled()
        assert await made.a.states("anna", letter) == [DeliveryState.WITHDRAWN]
        (summary,) = await made.p.inbox("paul")
        assert summary.stored.state is LetterState.WITHDRAWN


async def test_relay_killed_keeps_what_it_took(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with relayed(tmp_path, database=database_url) as made:
        await made.p.stop()
        letter = await made.a.send("anna", "paul@p.example")
        await settled()
        await made.r.stop()
        await made.r.close()
        await made.r.open()
        await made.r.start()
        await made.p.start()
        await trio.sleep(HOUR_S)
        assert await made.a.states("anna", letter) == [DeliveryState.DEPOSITED]


async def test_removed_client_loses_what_waited_and_the_sender_goes_on(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with relayed(tmp_path, database=database_url) as made:
        await made.p.stop()
        letter = await made.a.send("anna", "paul@p.example")
        await settled()
        await made.r.node.database.write(made.r.node.relay_clients.remove, made.p.node.node_id)
        assert await rows(made.r, schema.relay_envelopes) == 0
        await made.p.start()
        await settled()
        assert await made.a.states("anna", letter) == [DeliveryState.WAITING]
        made.join()
        await trio.sleep(2 * HOUR_S)
        assert await made.a.states("anna", letter) == [DeliveryState.DEPOSITED]


async def test_letter_expires_at_the_relay(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with relayed(tmp_path) as made:
        await made.p.stop()
        letter = await made.a.send("anna", "paul@p.example", letter_class=LetterClass.URGENT)
        await trio.sleep(27 * HOUR_S)
        assert await made.a.states("anna", letter) == [DeliveryState.EXPIRED]
        assert await rows(made.r, schema.relay_envelopes) == 0
        await made.p.start()
        await settled()
        assert await made.p.inbox("paul") == []
