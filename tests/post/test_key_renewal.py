"""A node renews its keys while letters are under way: whole nodes. Spec: spec/identity.md, 9."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from node.errors import StateError
from node.identity.key_change import DAY_MS, KEPT_MS, RENEWED_BEFORE_MS, STATEMENT_LIFETIME_MS, renew
from node.vault.keyring import Keyring, load_keyring, save_keyring
from node.vault.passphrase import ArgonCost
from node.vault.states import DeliveryState
from protocol.checkpoint import CheckpointVerifier
from protocol.crypto import Secret, SigningSecret
from protocol.errors import RemoteProtocolError
from protocol.invite import decode_invite
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


def pass_time(federation: Federation, ms: int) -> None:
    """The wall clock goes on; nothing else happens meanwhile."""
    for institution in federation.institutions:
        institution.skew_ms += ms


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
        chain = a.node.keyring.chain
        new_key, all_keys = (
            CheckpointVerifier(chain.node_id, keys) for keys in ([chain.current.log_key], chain.log_keys())
        )
        assert new_key.open(newer).origin == all_keys.open(head).origin
        with pytest.raises(RemoteProtocolError):
            new_key.open(head)
        # Evidence given before the change is shown after it.
        await a.read("anna", old)
        await settled()
        kinds = [item.kind for item in (await b.timeline("bruno", old)).events]
        assert {EventKind.DEPOSITED, EventKind.OPENED} <= set(kinds)
        entry = await b.node.database.read(b.node.directory.institution, a.node.node_id)
        assert entry.statement == 1


async def test_both_renew_while_they_are_apart(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        await federation.hub.cut()
        letter = await a.send("anna", "bruno@b.example")
        await a.node.key_keeper.renew()
        await b.node.key_keeper.renew()
        back = await b.send("bruno", "anna@a.example")
        pass_time(federation, 2 * DAY_MS)
        federation.hub.mend()
        await trio.sleep(7200)
        # Sealed to the key before, signed by the key before: both still count.
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]
        assert await b.states("bruno", back) == [DeliveryState.DEPOSITED]
        assert (await b.read("bruno", letter)).letter.subject == "Essai"
        assert (await known(a, b)).current.number == (await known(b, a)).current.number == 1


async def test_after_sixty_days_the_new_certificate_is_shown_and_former_secrets_are_gone(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        old_seal = next(iter(a.node.keyring.seal_secrets()))
        await a.node.key_keeper.renew()
        await settled()
        with pytest.raises(StateError, match="renewed lately"):
            await a.node.key_keeper.renew()
        pass_time(federation, KEPT_MS - DAY_MS)
        await trio.sleep(1200)
        assert old_seal in a.node.own_keys.seal_secrets()
        pass_time(federation, DAY_MS)
        assert old_seal not in a.node.own_keys.seal_secrets()
        await trio.sleep(1200)
        [kept] = a.node.keyring.seal
        assert kept.kept_until_ms == 0
        assert a.node.keyring.former_link is None
        assert federation.hub.listeners["a:1"][0].certificates == a.node.keyring.chain.certificates()[:1]
        await federation.hub.cut()
        federation.hub.mend()
        await trio.sleep(600)
        await both_ways(a, b)


async def test_a_peer_that_was_away_too_long_comes_back_with_an_invitation(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        await b.stop()
        await a.node.key_keeper.renew()
        pass_time(federation, KEPT_MS + DAY_MS)
        await trio.sleep(1200)
        await b.start()
        await trio.sleep(7200)
        assert (await known(b, a)).current.number == 0
        await b.accept(a)
        await trio.sleep(7200)
        await both_ways(a, b)
        assert (await known(b, a)).current.number == 1


async def test_a_third_institution_brings_the_statement(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b, _c = [await federation.make(name) for name in "abc"]
        await a.add("anna")
        await b.add("bruno")
        await federation.acquaint()
        await federation.start()
        await settled()
        await b.stop()
        await a.node.key_keeper.renew()
        await settled()
        pass_time(federation, KEPT_MS + DAY_MS)
        await trio.sleep(1200)
        await b.start()
        await trio.sleep(7200)
        assert (await known(b, a)).current.number == 1
        await both_ways(a, b)


async def test_an_old_invitation_takes_nothing_back(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        old = decode_invite(a.node.invitation())
        await a.node.key_keeper.renew()
        await settled()
        await b.node.database.write(b.node.peers.accept, old)
        assert (await known(b, a)).current.number == 1


@pytest.mark.parametrize("renews", [True, False])
async def test_the_running_node_renews_sixty_days_before_the_end_unless_told_not_to(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renews: bool
) -> None:
    monkeypatch.setenv("COFFRE_KEYS__RENEW", str(renews).lower())
    async with Federation.pair(tmp_path) as (federation, a, b):
        pass_time(federation, STATEMENT_LIFETIME_MS - RENEWED_BEFORE_MS - DAY_MS)
        await trio.sleep(1200)
        assert a.node.keyring.chain.current.number == 0
        pass_time(federation, DAY_MS)
        await trio.sleep(1200)
        assert a.node.keyring.chain.current.number == (await known(b, a)).current.number == int(renews)
        if renews:
            await both_ways(a, b)


async def test_a_peer_whose_keys_have_ended_is_not_served(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COFFRE_KEYS__RENEW", "false")
    async with Federation.pair(tmp_path) as (federation, a, b):
        pass_time(federation, STATEMENT_LIFETIME_MS + DAY_MS)
        await federation.hub.cut()
        federation.hub.mend()
        # What nobody would take is not accepted from its writer.
        with pytest.raises(StateError, match="keys have ended"):
            await a.send("anna", "bruno@b.example")
        await trio.sleep(3600)
        [peer] = await a.node.database.read(a.node.peers.accepted)
        assert peer.failures
        # Renewed by hand, each brings its new statement over the certificate that the other still pins.
        await a.node.key_keeper.renew()
        await b.node.key_keeper.renew()
        await trio.sleep(7200)
        await both_ways(a, b)


# -- the keyring file


class _Cut(BaseException):
    """The power went."""


def test_a_power_cut_at_any_step_leaves_the_old_keyring_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from node.setup import make_keyring
    from node.world import World
    from protocol.crypto import SealSecret

    world = World()
    path, passphrase, cost = tmp_path / "keyring", Secret(b"quatre mots"), ArgonCost(operations=1, memory_kib=1024)
    old = make_keyring(world, SigningSecret(world.random_bytes(32)), SealSecret(world.random_bytes(96)))
    new = renew(old, now_ms=world.now_ms(), random_bytes=world.random_bytes)

    def save(keyring: Keyring) -> None:
        save_keyring(path, keyring, passphrase, random_bytes=world.random_bytes, cost=cost)

    steps = (("open", True), ("fsync", True), ("fsync", False), ("replace", True), ("replace", False))
    for step, before in steps:
        save(old)
        with monkeypatch.context() as patched:
            owner = Path if step == "replace" else os
            real = getattr(owner, step)

            def cut(*arguments: object, real: object = real, before: bool = before, **named: object) -> object:
                if not before:
                    real(*arguments, **named)  # type: ignore[operator]
                raise _Cut

            patched.setattr(owner, step, cut)
            with pytest.raises(_Cut):
                save(new)
        found = load_keyring(path, passphrase)
        assert found in (old, new)
        assert found.identity.verify_key == found.chain.current.identity_key
    save(new)
    assert load_keyring(path, passphrase) == new


async def test_a_crash_between_the_keyring_and_the_directory_is_made_good_at_the_next_start(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        await a.stop()
        now_ms, random_bytes = a.world.now_ms(), a.world.random_bytes
        a.node.own_keys.change(lambda keyring: renew(keyring, now_ms=now_ms, random_bytes=random_bytes))
        assert (await a.node.database.read(a.node.directory.institution, a.node.node_id)).statement == 0
        await a.close()
        await a.open()
        assert a.node.keyring.chain.current.number == 1
        assert (await a.node.database.read(a.node.directory.institution, a.node.node_id)).statement == 1
        await a.start()
        await trio.sleep(600)
        await both_ways(a, b)
