"""A node renews its keys while letters are under way: whole nodes. Spec: spec/identity.md, 9."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from node.vault.states import DeliveryState
from protocol.checkpoint import CheckpointVerifier
from protocol.errors import RemoteProtocolError
from protocol.logleaf import EventKind
from protocol.statement import StatementChain
from tests.post.harness import Federation, Institution, settled


async def known(at: Institution, of: Institution) -> StatementChain:
    """The statements of another node as they are held here."""
    chain = await at.node.database.read(at.node.directory.trusted_chain, of.node.node_id)
    assert chain is not None
    return chain


async def delivered(sender: Institution, name: str, to: str) -> None:
    letter = await sender.send(name, to)
    await settled()
    assert await sender.states(name, letter) == [DeliveryState.DEPOSITED]


async def both_ways(a: Institution, b: Institution) -> None:
    await delivered(a, "anna", "bruno@b.example")
    await delivered(b, "bruno", "anna@a.example")


async def test_peers_learn_at_once_and_letters_go_on(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        before = a.node.keyring
        links = a.node.keyring.chain.certificates()
        await both_ways(a, b)
        await a.node.key_keeper.renew()
        await trio.sleep(5)
        after = a.node.keyring
        assert after.chain.current.number == 1
        assert after.chain.certificates()[1:] == links
        for name in ("identity", "link", "log", "witness"):
            assert getattr(before, name).verify_key != getattr(after, name).verify_key
        assert (await known(b, a)).current == after.chain.current
        await both_ways(a, b)
        await b.node.key_keeper.renew()
        await both_ways(a, b)
        assert (await known(a, b)).current.number == 1


async def test_log_and_feed_go_on_under_the_new_key_in_the_same_epoch(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        old = await b.send("bruno", "anna@a.example")
        await settled()
        head = a.node.database.read_now(a.node.own_log_head)
        await a.node.key_keeper.renew()
        await both_ways(a, b)
        newer = a.node.database.read_now(a.node.own_log_head)
        verifier = CheckpointVerifier(a.node.node_id, [a.node.keyring.log.verify_key])
        assert (
            verifier.open(newer).origin
            == CheckpointVerifier(a.node.node_id, a.node.keyring.chain.log_keys()).open(head).origin
        )
        with pytest.raises(RemoteProtocolError):
            verifier.open(head)
        # Evidence given before the change, and asked for anew after it.
        assert await b.states("bruno", old) == [DeliveryState.DEPOSITED]
        [event] = [item for item in (await b.timeline("bruno", old)).events if item.kind is EventKind.DEPOSITED]
        assert event.time_ms
        assert a.node.directory.institution(a.node.database.engines.reader.connect(), a.node.node_id).statement == 1
