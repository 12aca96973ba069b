"""Stolen keys: recovery, the thief on a link, a rival renewal. Whole nodes. Spec: spec/identity.md, 9.3 and 9.4."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from node.doctor import examine
from node.errors import RecipientError, StateError
from node.identity.key_change import DAY_MS, FreshKeys, next_chain
from node.post.network import LinkError
from node.recovery_files import read_identity_recovery_file
from node.vault import schema
from node.vault.evidence_export import export_evidence
from node.vault.keyring import Keyring
from node.vault.rival_rows import are_keys_forked
from node.vault.states import DeliveryState
from protocol.evidence_findings import Doubt
from protocol.evidence_report import verify_evidence_file
from protocol.invite import decode_invite
from protocol.letter import LetterClass
from protocol.logleaf import EventKind
from protocol.messages import Offer, Result, Statements, StatementsGet
from tests.post.harness import Federation, Institution, MemoryNetwork, settled
from tests.post.liar import Liar, rows, seal, true_slip
from tests.post.test_key_renewal import both_ways, delivered, known, pass_time


async def recovered(a: Institution, *, bad_from_ms: int | None = None, recovery: Path | None = None) -> None:
    """What the administrator does: stop, recover with the file from the safe, start."""
    await a.stop()
    key = read_identity_recovery_file(recovery or a.path.with_name("a.recovery") / "identity-recovery.key")
    await a.node.key_keeper.recover(key, bad_from_ms=bad_from_ms, new_recovery_key=None)
    await a.start()


def thief_of(a: Institution, federation: Federation, keys: Keyring) -> MemoryNetwork:
    """Somebody with a copy of a's keyring, on the network."""
    network = MemoryNetwork(federation.hub, b"")
    network.present([keys.link])
    network.pin(list(federation.hub.networks))
    return network


def rival_of(a: Institution, keys: Keyring) -> bytes:
    """A renewal that the thief signs with the stolen identity key."""
    fresh = FreshKeys.draw(a.world.random_bytes)
    chain = next_chain(keys.chain, keys.identity, fresh, now_ms=a.world.now_ms())
    return chain.statements[-1].raw


async def test_peers_take_the_recovery_and_the_thiefs_link_ends(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        await both_ways(a, b)
        stolen = a.node.keyring
        thief = thief_of(a, federation, stolen)
        liar = Liar(a, await thief.dial("b:1"))
        await liar.greet()
        await recovered(a)
        # The thief stays on the line until the recovery comes, over another link, and not a moment longer.
        with trio.fail_after(30):
            while await liar.stream.receive_some(65536):
                pass
        with pytest.raises(LinkError):
            await thief.dial("b:1")
        chain = await known(b, a)
        assert chain.statements[-1].by_recovery
        assert chain.certificates() == a.node.keyring.chain.certificates()
        assert len(chain.certificates()) == 1
        await trio.sleep(600)
        await both_ways(a, b)
        assert b.node.keyring.chain.current.number == 0


async def test_a_recovery_reaches_who_dials_and_who_is_dialled(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path, b_listens=False) as (_, a, b):
        await recovered(a)
        await trio.sleep(7200)
        # b can only dial, and does not know the certificate that answers there: the invitation tells it.
        assert (await known(b, a)).current.number == 0
        await b.accept(a)
        await trio.sleep(7200)
        await both_ways(a, b)


async def test_what_the_lost_key_signs_after_the_theft_is_refused(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        stolen = a.node.keyring
        slip, descriptor, ciphertext = true_slip(b, a, "bruno")
        await recovered(a)
        await trio.sleep(600)
        network = MemoryNetwork(federation.hub, b"")
        network.present([a.node.keyring.link])
        network.pin(list(federation.hub.networks))
        liar = Liar(a, await network.dial("b:1"))
        await liar.greet()
        late = replace(slip, sent_at_ms=a.world.now_ms())
        answer = await liar.ask(Offer(LetterClass.NORMAL, seal(late, descriptor, b, stolen.identity), ciphertext))
        assert isinstance(answer, Result)
        assert answer.code == "unknown_key"
        assert rows(b, schema.letters) == 0


async def test_a_rival_renewal_freezes_new_trust_until_the_recovery(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        stolen, before_ms = a.node.keyring, a.world.now_ms()
        pass_time(federation, DAY_MS)
        rival = rival_of(a, stolen)
        await a.node.key_keeper.renew()
        await settled()
        renewed = await known(b, a)
        # The thief comes with the certificate that stands in both, and names statements that b does not know.
        liar = Liar(a, await thief_of(a, federation, stolen).dial("b:1"))
        await liar.greet(statement_number=2)
        request = await liar.asked(StatementsGet)
        await liar.answer(request, Statements((stolen.chain.statements[0].raw, rival), more=False))
        assert await liar.end() == "mismatch"
        assert await b.node.database.read(are_keys_forked, a.node.node_id)
        assert (await known(b, a)).statements == renewed.statements
        # Letters on the keys that are known go on; what a publishes is not taken.
        await trio.sleep(600)
        await delivered(b, "bruno", "anna@a.example")
        await a.add("alma")
        await settled()
        with pytest.raises(RecipientError):
            await b.send("bruno", "alma@a.example")
        checks = {check.name: check for check in await examine(b.node)}
        assert not checks["peers"].ok
        assert "two successors" in checks["peers"].message
        with pytest.raises(StateError, match="two successors of one key"):
            await b.node.database.write(b.node.peers.accept, decode_invite(a.node.invitation()))

        await recovered(a, bad_from_ms=before_ms)
        await trio.sleep(7200)
        chain = await known(b, a)
        assert [item.by_recovery for item in chain.statements] == [False, True]
        assert {item.raw for item in chain.superseded} == {renewed.statements[1].raw, rival}
        assert not await b.node.database.read(are_keys_forked, a.node.node_id)
        await delivered(b, "bruno", "alma@a.example")
        await both_ways(a, b)
        kinds = await b.node.database.read(kinds_on_record)
        assert kinds.count(EventKind.STATEMENT_FORK_SEEN) == kinds.count(EventKind.STATEMENT_FORK_SETTLED) == 1


def kinds_on_record(connection: object) -> list[EventKind]:
    import sqlalchemy as sa

    from protocol.logleaf import LogLeaf

    leaves = connection.execute(sa.select(schema.log_leaves.c.leaf)).scalars()  # type: ignore[attr-defined]
    return [LogLeaf.decode(raw).kind for raw in leaves]


async def test_evidence_under_the_lost_key_is_doubted_and_under_the_new_one_not(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        before = await b.send("bruno", "anna@a.example")
        await settled()
        await recovered(a)
        await trio.sleep(600)
        after = await b.send("bruno", "anna@a.example")
        await settled()
        assert await b.states("bruno", after) == [DeliveryState.DEPOSITED]
        for letter, doubted in ((before, True), (after, False)):
            file = await export_evidence(
                b.node.database, b.node.keys, b.node.directory, b.node.outbox, letter.row.hex()
            )
            report = verify_evidence_file(file)
            deposits = [
                item
                for item in report.events
                if item.verified is not None and item.verified.kind is EventKind.DEPOSITED
            ]
            assert deposits
            assert all(item.defect is None for item in deposits)
            assert [Doubt.LOST_KEY in item.doubts for item in deposits] == [doubted] * len(deposits)
