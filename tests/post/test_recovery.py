"""What the simulation found: answers that were lost, clocks that were set, processes that died between two writes.

Spec: spec/delivery.md, 3 to 6.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from node.post.forward import Forwarder
from node.post.intake import Intake
from node.post.network import LinkError
from node.vault.states import DeliveryState
from protocol.logleaf import EventKind
from tests.post.harness import Federation, Institution, MemoryNetwork, settled

HOUR_S = 3600


def mute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Letters are deposited, and no answer leaves."""
    monkeypatch.setattr(Intake, "_frames", staticmethod(lambda _offer, _outcomes: iter(())))


async def kinds(institution: Institution, letter: Any) -> list[EventKind]:
    return [event.kind for event in (await institution.timeline("anna", letter)).events]


async def test_peer_that_is_being_dialled_is_not_looked_at(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        await b.stop()
        dial, looks = MemoryNetwork.dial, 0

        async def slow_dial(network: MemoryNetwork, endpoint: str, *, attempt: int = 0) -> Any:
            await trio.sleep(15)
            return await dial(network, endpoint, attempt=attempt)

        accepted = a.node.peers.accepted

        def look(connection: Any) -> Any:
            nonlocal looks
            looks += 1
            return accepted(connection)

        monkeypatch.setattr(MemoryNetwork, "dial", slow_dial)
        monkeypatch.setattr(a.node.peers, "accepted", look)
        await trio.sleep(HOUR_S / 4)
        assert looks < 200
        assert federation.hub.streams


async def test_clock_set_back_does_not_keep_a_peer_waiting(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b = await federation.make("a", listens=False), await federation.make("b")
        await a.add("anna")
        await b.add("bruno")
        await federation.acquaint()
        await federation.start()
        await settled()
        await federation.hub.cut()
        letter = await a.send("anna", "bruno@b.example")
        await settled()
        a.skew_ms -= 48 * HOUR_S * 1000
        federation.hub.mend()
        await trio.sleep(HOUR_S / 4)
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]


async def test_letter_after_the_clock_was_set_back_goes_over_the_same_link(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (_, a, _b):
        first = await a.send("anna", "bruno@b.example")
        await settled()
        a.skew_ms -= HOUR_S * 1000
        second = await a.send("anna", "bruno@b.example")
        assert second.row < first.row
        await settled()
        assert await a.states("anna", second) == [DeliveryState.DEPOSITED]


async def test_opening_of_one_recipient_does_not_end_the_withdrawal_from_another(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        await b.add("berta")
        await settled()
        letter = await a.send("anna", "bruno@b.example", "berta@b.example")
        await settled()
        await federation.hub.cut()
        await b.read("bruno", letter)
        await a.withdraw("anna", letter)
        withdraw = Forwarder._withdraw

        async def late(forwarder: Forwarder) -> None:
            await trio.sleep(30)
            await withdraw(forwarder)

        monkeypatch.setattr(Forwarder, "_withdraw", late)
        federation.hub.mend()
        await trio.sleep(HOUR_S / 4)
        assert await a.states("anna", letter) == [DeliveryState.OPENED, DeliveryState.WITHDRAWN]


@pytest.mark.parametrize("to", ["bruno@b.example", "alma@a.example"])
async def test_expired_here_and_deposited_there_is_asked_about(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        await a.add("alma")
        await settled()
        with monkeypatch.context() as patch:
            mute(patch)
            patch.setattr("node.post.own_mail.result_frames", lambda _envelope, _outcomes: [])
            letter = await a.send("anna", to)
            await settled()
            await federation.hub.cut()
            await a.stop()
        for institution in (a, b):
            institution.skew_ms += 74 * HOUR_S * 1000
        await a.start()
        await settled()
        federation.hub.mend()
        await trio.sleep(HOUR_S / 4)
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]
        assert EventKind.DEPOSITED in await kinds(a, letter)


async def test_refusal_of_an_envelope_spares_what_was_deposited_of_it(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        await b.add("petite", quota_bytes=1000)
        await settled()
        with monkeypatch.context() as patch:
            mute(patch)
            letter = await a.send("anna", "bruno@b.example", "petite@b.example")
            await settled()
            await federation.hub.cut()
        b.skew_ms += 96 * HOUR_S * 1000
        federation.hub.mend()
        await trio.sleep(HOUR_S / 4)
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED, DeliveryState.WAITING]
        a.skew_ms += 96 * HOUR_S * 1000
        await trio.sleep(HOUR_S / 4)
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED, DeliveryState.EXPIRED]


async def test_node_that_ends_at_once_does_not_wait_for_a_transfer(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = tmp_path / "scan.bin"
    big.write_bytes(bytes(9 * 1024 * 1024))
    with trio.CancelScope() as scope:
        async with Federation.pair(tmp_path) as (federation, a, _b):
            hub = federation.hub
            limit, count = hub.bytes_sent + 5 * 1024 * 1024, hub.sent

            def sent(number: int) -> None:
                count(number)
                if hub.bytes_sent > limit:
                    scope.cancel()

            monkeypatch.setattr(hub, "sent", sent)
            await a.send("anna", "bruno@b.example", files=[big])
            await settled()
    assert scope.cancelled_caught


async def test_payload_whose_file_was_lost_is_fetched_anew(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        big = tmp_path / "scan.bin"
        big.write_bytes(bytes(9 * 1024 * 1024))
        federation.hub.cut_after_bytes = federation.hub.bytes_sent + 5 * 1024 * 1024
        letter = await a.send("anna", "bruno@b.example", files=[big])
        await settled()
        [left] = (b.path / "payloads" / "incoming").iterdir()
        left.unlink()
        federation.hub.mend()
        await trio.sleep(HOUR_S / 4)
        opened = await b.read("bruno", letter)
        assert opened.content.save_attachment(0, tmp_path / "b", lambda _done: None).read_bytes() == big.read_bytes()


async def test_payload_that_was_whole_when_the_power_went_stays_whole(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        big = tmp_path / "scan.bin"
        big.write_bytes(bytes(600_000))
        complete = b.node.payloads.complete

        def fail(_tx: Any, items: Any) -> Any:
            return [LinkError("lost", "the power went") for _ in items]

        monkeypatch.setattr(b.node.payloads, "complete", fail)
        letter = await a.send("anna", "bruno@b.example", files=[big])
        await settled()
        monkeypatch.setattr(b.node.payloads, "complete", complete)
        await federation.hub.cut()
        federation.hub.mend()
        await trio.sleep(HOUR_S / 4)
        opened = await b.read("bruno", letter)
        assert opened.content.save_attachment(0, tmp_path / "b", lambda _done: None).read_bytes() == big.read_bytes()
