"""A relay that lies, and a client that floods. Spec: spec/relay.md, 1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
import trio

from node.audit.log import LeafRef, read_evidence
from node.vault.states import DeliveryState
from protocol.evidence import encode_evidence
from protocol.ids import MailboxId
from protocol.letter import LetterClass
from protocol.messages import Event, MailboxResult, Message, Offer, Pass, PassOk, Relayed, Result
from tests.post.harness import Institution, MemoryNetwork
from tests.post.liar import Liar
from tests.post.relays import Trio, relayed
from tests.post.test_relay import kinds

HOUR_S = 3600


async def dialled(member: Institution, to: Institution, made: Trio) -> Liar:
    """The member's own node is off; in its place a program with its keys."""
    await member.stop()
    network = MemoryNetwork(made.federation.hub, member.node.keyring.chain.certificates()[0])
    network.pin(to.node.keyring.chain.certificates())
    liar = Liar(member, await network.dial(f"{to.name}:1"))
    await liar.greet()
    return liar


async def true_evidence_of_something_else(relay: Institution) -> bytes:
    """The relay's first leaf: signed, in its log, and about no envelope."""

    def read(connection: sa.Connection) -> bytes:
        evidence = read_evidence(connection, relay.node.keys, LeafRef(1, 0))
        assert evidence is not None
        return encode_evidence(evidence)

    return await relay.node.database.read(read)


def junk(_offer: Offer) -> Message:
    return Relayed(_offer.envelope_id, b"\x90")


def deposited(offer: Offer) -> Message:
    part = MailboxResult(mailbox=MailboxId(bytes(16)), status="deposited", evidence=b"\x90")
    return Result(offer.envelope_id, (part,))


def refused(offer: Offer) -> Message:
    return Result(offer.envelope_id, code="not_for_us")


@pytest.mark.parametrize("lie", [junk, deposited, refused, None])
async def test_relay_that_lies_causes_delay_and_expiry_and_nothing_else(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, lie: Callable[[Offer], Message] | None
) -> None:
    async with relayed(tmp_path) as made:
        await made.p.stop()
        liar = await dialled(made.r, made.a, made)
        letter = await made.a.send("anna", "paul@p.example", letter_class=LetterClass.URGENT)
        request = await liar.asked(Offer)
        offer = request.message
        assert isinstance(offer, Offer)
        if lie is None:
            other = await true_evidence_of_something_else(made.r)
            await liar.answer(request, Relayed(offer.envelope_id, other))
        else:
            await liar.answer(request, lie(offer))
        if lie in (junk, None):
            assert await liar.end() in {"malformed", "mismatch"}
        else:
            await liar.stay(seconds=300)
        assert await made.a.states("anna", letter) == [DeliveryState.WAITING]
        await liar.stream.aclose()
        await trio.sleep(27 * HOUR_S)
        assert await made.a.states("anna", letter) == [DeliveryState.EXPIRED]
        assert {kind.word for kind in await kinds(made.a, letter)} == {"submitted", "delayed", "expired"}


async def test_invented_answers_count_for_nothing(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with relayed(tmp_path) as made:
        await made.p.stop()
        liar = await dialled(made.r, made.a, made)
        letter = await made.a.send("anna", "paul@p.example")
        request = await liar.asked(Offer)
        offer = request.message
        assert isinstance(offer, Offer)
        p, a = made.p.node.node_id, made.a.node.node_id
        false = MailboxResult(mailbox=made.p.people["paul"].id, status="deposited", evidence=b"\x90")
        for message in (Result(offer.envelope_id, (false,)), Result(offer.envelope_id, code="closed"), Event(b"\x90")):
            assert await liar.ask(Pass.of(message, source=p, target=a)) == PassOk()
        assert await made.a.states("anna", letter) == [DeliveryState.WAITING]
        # Of a node that did not name it, and between two others, it passes nothing.
        assert await liar.ask(Pass.of(Event(b"\x90"), source=p, target=p)) == PassOk("not_for_us")
        await made.p.node.database.write(made.p.node.relay_clients.leave, made.r.node.node_id)
        await liar.stream.aclose()


async def test_client_that_floods_is_bounded(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with relayed(tmp_path) as made:
        await made.admit(quota_letters=2)
        await made.a.stop()
        liar = await dialled(made.p, made.r, made)
        p, a = made.p.node.node_id, made.a.node.node_id
        answers = [await liar.ask(Pass.of(Event(b"\x90"), source=p, target=a)) for _ in range(80)]
        assert [answer == PassOk() for answer in answers] == [True] * 72 + [False] * 8
        assert answers[-1].code == "relay_full"  # type: ignore[attr-defined]
        assert await liar.ask(Pass.of(Event(b"\x90"), source=a, target=p)) == PassOk("not_for_us")
        await liar.stream.aclose()


async def test_stranger_to_the_relay_passes_nothing(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with relayed(tmp_path, admit=False) as made:
        liar = await dialled(made.p, made.r, made)
        p, a = made.p.node.node_id, made.a.node.node_id
        assert await liar.ask(Pass.of(Event(b"\x90"), source=p, target=a)) == PassOk("not_for_us")
        await liar.stream.aclose()
