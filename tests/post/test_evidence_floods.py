"""A destination, or a relay's client, that says the same again and again, each time truly signed: little of it is kept.

Spec: spec/evidence.md, 7; spec/relay.md, 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
import trio
from trio.testing import MockClock

from node.audit.log import LeafRef, read_evidence
from node.vault import schema
from node.vault.database import Transaction
from node.vault.outbox_rows import OutboxItem
from node.vault.states import DeliveryState, OutboxState
from protocol.details import Details
from protocol.evidence import box_evidence
from protocol.ids import MailboxId
from protocol.logleaf import EventKind
from protocol.messages import Event, EventOk, MailboxResult, Offer, Result
from tests.post.harness import Federation, Institution, MemoryNetwork, settled
from tests.post.liar import Liar, rows
from tests.post.relays import relayed
from tests.post.test_relay_hostile import dialled


async def signed_again(b: Institution, item: OutboxItem, mailbox: MailboxId) -> bytes:
    """One more leaf `deposited` of b's log about this delivery, and its boxed evidence."""
    details = Details(
        node=item.destination,
        peer=item.sender,
        envelope=item.envelope_id,
        slip=item.slip_id,
        letter=item.letter_id,
        payload=item.payload_id,
        mailbox=mailbox,
    )

    def append(tx: Transaction, items: Sequence[Details]) -> Sequence[LeafRef]:
        return [tx.log.append(EventKind.DEPOSITED, details) for details in items]

    ref = await b.node.database.write(append, details)

    def read(connection: sa.Connection) -> bytes:
        evidence = read_evidence(connection, b.node.keys, ref)
        assert evidence is not None
        return box_evidence(evidence, reply_key=item.reply_key, envelope_id=item.envelope_id)

    return await b.node.database.read(read)


async def test_evidence_without_end_about_a_letter_under_way(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b = await federation.make("a"), await federation.make("b")
        await a.add("anna")
        await b.add("bruno")
        await b.add("carla", quota_bytes=1)
        await federation.acquaint()
        await federation.start()
        await settled()
        letter = await a.send("anna", "bruno@b.example", "carla@b.example")
        await settled()
        # Carla's mailbox is full: her part waits, so the letter is under way.
        states = await a.states("anna", letter)
        assert set(states) == {DeliveryState.WAITING, DeliveryState.DEPOSITED}
        await b.stop()
        (item,) = await a.node.database.read(a.node.outbox.with_state, OutboxState.WAITING)
        network = MemoryNetwork(federation.hub, b.node.keyring.chain.certificates()[0])
        network.pin(a.node.keyring.chain.certificates())
        liar = Liar(b, await network.dial("a:1"))
        await liar.greet()
        for _ in range(40):
            await trio.sleep(1)
            assert await liar.ask(Event(await signed_again(b, item, b.people["bruno"].id))) == EventOk()
        assert 2 <= rows(a, schema.peer_evidence) <= 16
        assert await a.states("anna", letter) == states
        await trio.aclose_forcefully(liar.stream)


async def test_partial_answers_of_a_relays_client_are_bounded(autojump_clock: MockClock, tmp_path: Path) -> None:
    """It never ends its envelope, and each time has something else to tell the sender, who is off."""
    async with relayed(tmp_path) as made:
        await made.admit(quota_letters=1)
        await made.p.stop()
        await made.a.send("anna", "paul@p.example")
        await settled()
        assert await made.leaves_waiting() != [(0, 0)]
        await made.a.stop()
        liar = await dialled(made.p, made.r, made)
        parts = (
            MailboxResult(mailbox=MailboxId(bytes(16)), status="deposited", evidence=bytes(2000)),
            MailboxResult(mailbox=MailboxId(bytes([1]) * 16), status="deferred", code="busy", after_ms=1),
        )
        for _ in range(100):
            offer = await liar.asked(Offer)
            assert isinstance(offer.message, Offer)
            await liar.answer(offer, Result(offer.message.envelope_id, parts))
        assert rows(made.r, schema.relay_messages) == 4 + 64
        assert await made.leaves_waiting() != [(0, 0)]
        # What ends the envelope is told whatever else waits, once.
        offer = await liar.asked(Offer)
        assert isinstance(offer.message, Offer)
        await liar.answer(offer, Result(offer.message.envelope_id, parts[:1]))
        await settled()
        assert rows(made.r, schema.relay_messages) == 4 + 64 + 1
        assert await made.leaves_waiting() == [(0, 0)]
        await liar.stream.aclose()
