"""Letters on a stick whose key was lost meanwhile, and evidence of what they were before: spec/delivery.md, 15."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from trio.testing import MockClock

from node.errors import BundleError
from node.identity.key_change import DAY_MS
from node.recovery_files import read_identity_recovery_file
from node.vault.states import DeliveryState
from protocol.logleaf import EventKind
from tests.bundle.sticks import apart
from tests.post.harness import Institution
from tests.post.sharing_scene import events


async def recover(b: Institution, tmp_path: Path, *, bad_from_ms: int) -> None:
    key = read_identity_recovery_file(tmp_path / "b.recovery" / "identity-recovery.key")
    await b.node.key_keeper.recover(key, bad_from_ms=bad_from_ms, new_recovery_key=None)


async def test_both_sealings_arrive_and_the_evidence_of_the_first_ends_the_delivery(
    autojump_clock: MockClock, tmp_path: Path, database_url: str
) -> None:
    async with apart(tmp_path, database=database_url) as (a, b, stick):
        before_ms = b.world.now_ms()
        a.skew_ms += DAY_MS
        b.skew_ms += DAY_MS
        await b.node.key_keeper.renew()
        await stick.carry(b, a)
        letter = await a.send("anna", "bruno@b.example")
        first = await stick.write(a, b)
        await recover(b, tmp_path, bad_from_ms=before_ms)
        await stick.carry(b, a)
        second = await stick.write(a, b)
        assert [details.code for _, details in events(a, EventKind.RESEALED)] == ["destination_key"]
        for path in (first, second):
            report = await stick.read(b, path)
            assert not report.problems
        assert len(events(b, EventKind.DEPOSITED)) == 1
        report = await stick.carry(b, a)
        assert not report.problems
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]
        # What follows names the first sealing, too.
        await b.read("bruno", letter)
        await stick.carry(b, a)
        assert await a.states("anna", letter) == [DeliveryState.OPENED]


async def test_a_refusal_that_comes_back_with_the_statements_leads_to_a_new_envelope(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with apart(tmp_path) as (a, b, stick):
        letter = await a.send("anna", "bruno@b.example")
        first = await stick.write(a, b)
        await b.node.key_keeper.renew()
        b.node.own_keys.change(lambda keyring: replace(keyring, seal=keyring.seal[:1]))
        with pytest.raises(BundleError, match="unknown_key"):
            await stick.read(b, first)
        await stick.carry(b, a)
        # The stick is sealed to the new key, the letter in it is not.
        await stick.carry(a, b)
        await stick.carry(b, a)
        assert await a.states("anna", letter) == [DeliveryState.WAITING]
        await stick.carry(a, b)
        await stick.carry(b, a)
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]
