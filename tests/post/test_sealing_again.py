"""Letters under way whose keys are gone: sealed again, delivered once. Whole nodes. Spec: spec/delivery.md, 15."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
import trio
from trio.testing import MockClock

from node.identity.key_change import DAY_MS
from node.post.results import EndRefused
from node.post.sender_side import SenderSide
from node.post.submit import Accepted
from node.recovery_files import read_identity_recovery_file
from node.vault import schema
from node.vault.alert import Occasion
from node.vault.alert_queue import AlertQueue
from node.vault.evidence_export import export_evidence
from node.vault.outbox_rows import MAX_SEALINGS, OutboxItem
from node.vault.states import DeliveryState, OutboxState
from protocol.crypto import SealSecret
from protocol.evidence_report import verify_evidence_file
from protocol.logleaf import EventKind
from tests.backup.copies import drop_tables, restore, write_backup
from tests.post.harness import Federation, Institution, settled
from tests.post.relays import relayed
from tests.post.sharing_scene import events
from tests.post.test_key_recovery import recovered
from tests.post.test_key_renewal import pass_time
from tests.post.test_recovery import mute

RESEALED = EventKind.RESEALED


async def lose_keys(a: Institution, tmp_path: Path, *, change: int = 0) -> None:
    """What the administrator does after the machine died: restore the backup, recover, start."""
    await a.stop()
    await a.close()
    restore(a, tmp_path / "a.backup", tmp_path / f"restored-{change}")
    await a.open()
    await recovered(a, recovery=tmp_path / "a.recovery" / "identity-recovery.key")


def destroy_former(a: Institution) -> None:
    """A node that does not keep its former secrets."""
    a.node.own_keys.change(lambda keyring: replace(keyring, seal=keyring.seal[:1]))


async def waiting(b: Institution, state: OutboxState = OutboxState.WAITING) -> list[OutboxItem]:
    return await b.node.database.read(lambda connection: b.node.outbox.with_state(connection, state))


async def has_arrived_once(a: Institution, b: Institution, letter: Accepted) -> None:
    """anna, of a, has bruno's letter once, and opens it; the evidence of it all holds."""
    assert await b.states("bruno", letter) == [DeliveryState.DEPOSITED]
    await a.log_in("anna")
    assert len(await a.inbox("anna")) == 1
    assert (await a.read("anna", letter)).letter.subject == "Essai"
    await settled()
    assert await b.states("bruno", letter) == [DeliveryState.OPENED]
    node = b.node
    file = await export_evidence(node.database, node.keys, node.directory, node.outbox, letter.row.hex())
    report = verify_evidence_file(file)
    assert [item.defect for item in report.events if item.defect is not None] == []
    assert report.ok
    shown = [item.verified.kind for item in report.events if item.verified is not None]
    assert {EventKind.SUBMITTED, RESEALED, EventKind.DEPOSITED, EventKind.OPENED} <= set(shown)


async def test_letter_to_a_key_that_was_lost_with_the_machine(
    autojump_clock: MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b = await federation.make("a"), await federation.make("b", database=database_url)
        await a.add("anna")
        await b.add("bruno")
        await federation.acquaint()
        await federation.start()
        await settled()
        write_backup(a, tmp_path / "a.backup")
        await a.node.key_keeper.renew()
        await settled()
        await a.stop()
        letter = await b.send("bruno", "anna@a.example")
        await lose_keys(a, tmp_path)
        await trio.sleep(7200)
        await has_arrived_once(a, b, letter)
        [(_, details)] = events(b, RESEALED)
        assert details.code == "destination_key"
        with b.node.database.engines.reader.connect() as connection:
            assert connection.scalar(sa.select(sa.func.count()).select_from(schema.former_envelopes)) == 1


async def test_a_letter_from_an_earlier_version_goes_as_it_is(
    autojump_clock: MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b = await federation.make("a"), await federation.make("b", database=database_url)
        await a.add("anna")
        await b.add("bruno")
        await federation.acquaint()
        await federation.start()
        await settled()
        write_backup(a, tmp_path / "a.backup")
        await a.stop()
        kept = await b.send("bruno", "anna@a.example")
        await forget_slips(b)
        await a.start()
        await trio.sleep(7200)
        assert await b.states("bruno", kept) == [DeliveryState.DEPOSITED]
        # Its keys are gone: it ends, and its sender is told.
        await a.node.key_keeper.renew()
        await settled()
        await a.stop()
        lost = await b.send("bruno", "anna@a.example")
        await forget_slips(b)
        await lose_keys(a, tmp_path)
        await trio.sleep(7200)
        assert await b.states("bruno", lost) == [DeliveryState.REFUSED]
        assert events(b, RESEALED) == []


async def forget_slips(b: Institution) -> None:
    """What waits at b is as versions wrote it that did not keep the slip, and b has started anew."""
    table, keys = schema.outbox, b.node.keys
    with b.node.database.engines.writer.begin() as connection:
        for row in connection.execute(sa.select(table).where(table.c.state == int(OutboxState.WAITING))).all():
            fields = keys.open_map("outbox", row.id, "sealed", row.sealed).rest()
            old = {name: value for name, value in fields.items() if name not in ("slp", "was")}
            sealed = keys.seal_map("outbox", row.id, "sealed", old)
            connection.execute(table.update().where(table.c.id == row.id).values(sealed=sealed))
    await b.stop()
    await b.close()
    await b.open()
    await b.start()


async def test_the_machine_is_lost_twice(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        write_backup(a, tmp_path / "a.backup")
        await a.node.key_keeper.renew()
        await settled()
        await a.stop()
        letter = await b.send("bruno", "anna@a.example")
        # b learns of the first recovery, and the machine is lost again before the letter is offered: it is full.
        table = schema.mailboxes
        full = {"quota_bytes": 0}
        await lose_keys(a, tmp_path)
        await a.stop()
        with a.node.database.engines.writer.begin() as connection:
            connection.execute(table.update().values(**full))
        await a.start()
        await trio.sleep(3600)
        assert [len(item.former) for item in await waiting(b)] == [1]
        destroy_former(a)
        key = read_identity_recovery_file(tmp_path / "a.recovery" / "identity-recovery.key")
        await a.node.key_keeper.recover(key, bad_from_ms=None, new_recovery_key=None)
        destroy_former(a)
        await a.stop()
        with a.node.database.engines.writer.begin() as connection:
            connection.execute(table.update().values(quota_bytes=2**40))
        await a.start()
        await trio.sleep(7200)
        await has_arrived_once(a, b, letter)
        assert len(events(b, RESEALED)) == 2


async def test_letter_to_a_key_that_was_destroyed_is_sealed_again_when_it_is_refused(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        await federation.hub.cut()
        letter = await b.send("bruno", "anna@a.example")
        await a.node.key_keeper.renew()
        destroy_former(a)
        federation.hub.mend()
        await trio.sleep(3600)
        await has_arrived_once(a, b, letter)


async def test_letters_of_a_node_whose_own_keys_were_stolen_are_signed_anew(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        await b.add("boris")
        await federation.hub.cut()
        letter = await b.send("bruno", "anna@a.example")
        pass_time(federation, 2 * DAY_MS)
        # Since they were made, says the recovery: nothing that the former key signed is believed.
        key = b.path.with_name("b.recovery") / "identity-recovery.key"
        await b.stop()
        own = await b.send("bruno", "boris@b.example")
        await recovered(b, recovery=key)
        federation.hub.mend()
        await trio.sleep(7200)
        await has_arrived_once(a, b, letter)
        assert await b.states("bruno", own) == [DeliveryState.DEPOSITED]
        assert [details.code for _, details in events(b, RESEALED)] == ["own_key", "own_key"]


async def test_a_sender_restored_from_before_the_sealing_takes_the_evidence_of_it(
    autojump_clock: MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b = await federation.make("a"), await federation.make("b", database=database_url)
        await a.add("anna")
        await b.add("bruno")
        await federation.acquaint()
        await federation.start()
        await settled()
        await federation.hub.cut()
        letter = await b.send("bruno", "anna@a.example")
        write_backup(b, tmp_path / "b.backup")
        await a.node.key_keeper.renew()
        destroy_former(a)
        federation.hub.mend()
        await trio.sleep(3600)
        assert await b.states("bruno", letter) == [DeliveryState.DEPOSITED]
        await b.stop()
        await b.close()
        if database_url.startswith("postgresql"):
            drop_tables(database_url)
        restore(b, tmp_path / "b.backup", tmp_path / "restored")
        await b.open()
        await b.start()
        await trio.sleep(3600)
        # The letter was deposited as an envelope that b has forgotten, and its opening will name that one, too.
        await has_arrived_once(a, b, letter)
        [(_, details)] = events(b, RESEALED)
        assert details.code == "destination_key"
        assert not await waiting(b)


async def test_evidence_of_a_sealing_that_another_process_made_meanwhile(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        await federation.hub.cut()
        letter = await b.send("bruno", "anna@a.example")
        [read_before] = await waiting(b)
        await a.node.key_keeper.renew()
        destroy_former(a)
        take = SenderSide.take_evidence

        async def take_late(sender: SenderSide, _item: OutboxItem, boxed: bytes) -> None:
            await take(sender, read_before, boxed)

        monkeypatch.setattr(SenderSide, "take_evidence", take_late)
        federation.hub.mend()
        await trio.sleep(3600)
        await has_arrived_once(a, b, letter)


@pytest.mark.parametrize("to", ["anna@a.example", "boris@b.example"])
@pytest.mark.parametrize("hours", [74, -1], ids=["expired", "refused"])
async def test_what_was_deposited_before_it_was_sealed_again_and_ended_is_asked_about(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str, hours: int
) -> None:
    async with Federation.pair(tmp_path) as (federation, _, b):
        await b.add("boris")
        with monkeypatch.context() as patch:
            mute(patch)
            patch.setattr("node.post.own_mail.result_frames", lambda _envelope, _outcomes: [])
            letter = await b.send("bruno", to)
            await settled()
            await federation.hub.cut()
            await b.stop()
        key = b.path.with_name("b.recovery") / "identity-recovery.key"
        await b.node.key_keeper.recover(read_identity_recovery_file(key), bad_from_ms=None, new_recovery_key=None)
        [item] = await waiting(b)
        assert await b.node.resealer.look(item.destination) == 1
        # The deadline passes; or the clocks are set back, and the letter is refused, for it is of a time to come.
        pass_time(federation, hours * 3_600_000)
        await b.start()
        await settled()
        federation.hub.mend()
        await trio.sleep(7200)
        assert await b.states("bruno", letter) == [DeliveryState.DEPOSITED]


async def test_envelope_and_slip_are_forgotten_with_the_payload_and_evidence_still_counts(
    autojump_clock: MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b = await federation.make("a"), await federation.make("b", database=database_url)
        await a.add("anna")
        await b.add("bruno")
        await federation.acquaint()
        await federation.start()
        await settled()
        await federation.hub.cut()
        letter = await b.send("bruno", "anna@a.example")
        await a.node.key_keeper.renew()
        destroy_former(a)
        federation.hub.mend()
        await trio.sleep(3600)
        [kept] = await waiting(b, OutboxState.ENDED)
        assert len(kept.sealings) == 2
        pass_time(federation, 11 * DAY_MS)
        await trio.sleep(2 * 3600)
        [forgotten] = await waiting(b, OutboxState.ENDED)
        assert (forgotten.envelope, forgotten.signed_slip, forgotten.payload) == (b"", b"", None)
        assert forgotten.sealings == kept.sealings
        await has_arrived_once(a, b, letter)


async def test_the_refusal_of_a_letter_that_was_deposited_tells_nobody_anything(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was offered again to a destination that was restored, and that does not want it any more."""
    async with Federation.pair(tmp_path) as (_, _, b):
        letter = await b.send("bruno", "anna@a.example")
        await settled()
        [item] = await waiting(b, OutboxState.ENDED)
        told: list[Occasion] = []
        monkeypatch.setattr(AlertQueue, "queue", lambda _self, _tx, occasions: told.extend(occasions))
        refused = EndRefused(item, "unknown_key", item.envelope_id)
        await b.node.database.write(b.node.result_writer().end_refused, refused)
        assert await b.states("bruno", letter) == [DeliveryState.DEPOSITED]
        assert told == []


async def test_a_recovery_that_takes_the_number_of_the_statement_that_signed(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        before_ms = b.world.now_ms()
        pass_time(federation, DAY_MS)
        await b.node.key_keeper.renew()
        await settled()
        await federation.hub.cut()
        letter = await b.send("bruno", "anna@a.example")
        key = b.path.with_name("b.recovery") / "identity-recovery.key"
        await recovered(b, bad_from_ms=before_ms, recovery=key)
        assert b.node.keyring.chain.current.number == 1
        federation.hub.mend()
        await trio.sleep(7200)
        await has_arrived_once(a, b, letter)


class Deaf:
    """A destination that says of every envelope that it has no key for it."""

    def __init__(self, a: Institution, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.is_deaf = True
        self._true: Callable[[], Mapping[bytes, SealSecret]] = a.node.own_keys.seal_secrets
        monkeypatch.setattr(a.node.own_keys, "seal_secrets", self._secrets)

    def _secrets(self) -> Mapping[bytes, SealSecret]:
        self.asked += 1
        return {} if self.is_deaf else self._true()


async def test_a_destination_that_has_no_key_for_ever_is_asked_seldom_and_ends_expired(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        await a.stop()
        deaf = Deaf(a, monkeypatch)
        await a.start()
        letter = await b.send("bruno", "anna@a.example")
        await trio.sleep(24 * 3600)
        assert await b.states("bruno", letter) == [DeliveryState.WAITING]
        assert deaf.asked <= 24 * 4 + 1
        assert EventKind.DELAYED in [item.kind for item in (await b.timeline("bruno", letter)).events]
        await trio.sleep(50 * 3600)
        assert await b.states("bruno", letter) == [DeliveryState.EXPIRED]
        assert not events(b, RESEALED)


async def test_a_destination_that_finds_its_key_again_gets_the_letter(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        await a.stop()
        deaf = Deaf(a, monkeypatch)
        await a.start()
        letter = await b.send("bruno", "anna@a.example")
        await trio.sleep(3600)
        deaf.is_deaf = False
        await trio.sleep(3600)
        assert await b.states("bruno", letter) == [DeliveryState.DEPOSITED]
        assert not events(b, RESEALED)


async def test_a_destination_that_changes_keys_without_end_is_followed_eight_times(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        await a.stop()
        Deaf(a, monkeypatch)
        await a.start()
        letter = await b.send("bruno", "anna@a.example")
        await settled()
        for _ in range(MAX_SEALINGS + 2):
            # It forgets that it renewed lately, as no honest node does.
            a.node.own_keys.change(lambda keyring: replace(keyring, former_link=None))
            await a.node.key_keeper.renew()
            await trio.sleep(3600)
        assert len(events(b, RESEALED)) == MAX_SEALINGS - 1
        assert await b.states("bruno", letter) == [DeliveryState.REFUSED]


async def test_a_withdrawal_meets_the_letter_that_was_sealed_again(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        await federation.hub.cut()
        letter = await b.send("bruno", "anna@a.example")
        await a.node.key_keeper.renew()
        destroy_former(a)
        await b.withdraw("bruno", letter)
        federation.hub.mend()
        await trio.sleep(3600)
        assert await b.states("bruno", letter) == [DeliveryState.WITHDRAWN]
        assert not events(b, RESEALED)


async def test_letter_in_a_relays_keeping_is_sealed_again_when_the_recovery_is_known(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with relayed(tmp_path) as scene:
        a, p = scene.a, scene.p
        write_backup(p, tmp_path / "p.backup")
        await p.node.key_keeper.renew()
        await trio.sleep(600)
        await p.stop()
        letter = await a.send("anna", "paul@p.example")
        await trio.sleep(600)
        assert EventKind.RELAYED in [item.kind for item in (await a.timeline("anna", letter)).events]
        await p.close()
        restore(p, tmp_path / "p.backup", tmp_path / "restored")
        await p.open()
        await recovered(p, recovery=tmp_path / "p.recovery" / "identity-recovery.key")
        # It only dials, and the others know another certificate: an invitation tells them.
        for other in (scene.r, a):
            await other.accept(p)
        scene.part()
        await trio.sleep(4 * 3600)
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]
        await p.log_in("paul")
        assert len(await p.inbox("paul")) == 1
        assert len(events(a, RESEALED)) == 1
