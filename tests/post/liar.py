"""A program that holds a valid membership and lies: it speaks the link protocol and says what it is told to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import sqlalchemy as sa
import trio

from node.post.network import Connection
from node.vault.states import DeliveryState
from protocol.crypto import Secret, SigningSecret
from protocol.envelope import seal_envelope
from protocol.ids import LetterId, NodeId
from protocol.letter import LetterClass
from protocol.link import Link
from protocol.link_events import LinkEvent, PeerGoodbye, PeerHello, Reply, Request
from protocol.link_states import Role
from protocol.message import Message
from protocol.messages import Hello, Offer, Result
from protocol.payload import Descriptor, PayloadSealer
from protocol.slip import Slip, SlipRecipient, decode_signed_slip, seal_wrap, sign_slip
from tests.post.harness import EPOCH_MS, Federation, Institution, MemoryNetwork, settled

__all__ = ["LONG_MS", "Liar", "delivered_meanwhile", "liar_at", "rows", "seal", "true_slip", "with_a_third"]

LONG_MS = 3_600_000


class Liar:
    """Speaks the link protocol with a member's keys, and says what it is told to."""

    def __init__(self, member: Institution, connection: Connection) -> None:
        self.member = member
        self.stream = connection.stream
        self.link: Link
        self.events: list[LinkEvent] = []

    def now_ms(self) -> int:
        return int(trio.current_time() * 1000)

    async def greet(
        self, *, heads: tuple[bytes, ...] = (), node: NodeId | None = None, statement_number: int = 0
    ) -> None:
        hello = Hello(
            node=node or self.member.node.node_id,
            statement_number=statement_number,
            now_ms=EPOCH_MS,
            heads=heads,
            seen=(),
            max_offers=64,
        )
        self.link = Link(Role.DIALLER, hello, self.now_ms())
        await self.wait_for(PeerHello)
        await self.stream.send_all(self.link.start())

    async def wait_for(self, kind: type, *, seconds: float = 100) -> LinkEvent:
        with trio.fail_after(seconds):
            while True:
                for event in self.events:
                    if isinstance(event, kind):
                        self.events.remove(event)
                        return event
                data = await self.stream.receive_some(65536)
                if not data:
                    raise EOFError
                self.events += self.link.receive(bytes(data), self.now_ms())

    async def ask(self, message: Message) -> Message:
        _, data = self.link.request(message)
        await self.stream.send_all(data)
        event = await self.wait_for(Reply)
        assert isinstance(event, Reply)
        return event.message

    async def offer(self, envelope: bytes, inline: bytes | None = None) -> Result:
        """What the honest side says of an envelope at once."""
        answer = await self.ask(Offer(LetterClass.NORMAL, envelope, inline))
        assert isinstance(answer, Result)
        return answer

    async def replied(self, code: str) -> None:
        """The next answer refuses an envelope as a whole, with this code."""
        reply = await self.wait_for(Reply)
        assert isinstance(reply, Reply)
        assert isinstance(reply.message, Result)
        assert reply.message.code == code

    async def asked(self, *kinds: type[Message]) -> Request:
        """The honest side's next request of these kinds; others (it asks for the directory, too) stay unanswered."""
        while True:
            request = await self.wait_for(Request)
            assert isinstance(request, Request)
            if isinstance(request.message, kinds):
                return request

    async def answer(self, request: Request, *replies: Message) -> None:
        """Answer a request."""
        for reply in replies:
            await self.stream.send_all(self.link.reply(request.stream, reply))

    async def stay(self, *, seconds: float) -> None:
        """Keep the link alive, hear everything, answer nothing."""
        until = trio.current_time() + seconds
        while trio.current_time() < until:
            with trio.move_on_after(30):
                self.events += self.link.receive(bytes(await self.stream.receive_some(65536)), self.now_ms())
            await self.stream.send_all(self.link.handle_wakeup(self.now_ms()))

    async def end(self) -> str:
        """The code with which the honest side ends the link."""
        event = await self.wait_for(PeerGoodbye)
        assert isinstance(event, PeerGoodbye)
        return event.code


@asynccontextmanager
async def liar_at(tmp_path: Path) -> AsyncIterator[tuple[Federation, Institution, Liar, Slip, Descriptor, bytes]]:
    """An honest node `a`, a lying member `evil`, a true slip from it to a's `anna`, its descriptor and ciphertext."""
    async with Federation.opened(tmp_path) as federation:
        a, evil = await federation.make("a"), await federation.make("evil", listens=False)
        await a.add("anna")
        await evil.add("eve")
        await federation.acquaint()
        await a.start()
        await settled()
        hub = federation.hub
        network = MemoryNetwork(hub, evil.node.keyring.chain.certificates()[0])
        network.pin(a.node.keyring.chain.certificates())
        connection = await network.dial("a:1")
        slip, descriptor, ciphertext = true_slip(a, evil)
        yield federation, a, Liar(evil, connection), slip, descriptor, ciphertext


def true_slip(a: Institution, evil: Institution, to: str = "anna") -> tuple[Slip, Descriptor, bytes]:
    letter_id, key = LetterId(bytes(range(16))), Secret(bytes(32))
    sealer = PayloadSealer(key, letter_id, 1024)
    chunks = sealer.update(bytes(1024)) + sealer.finish()
    descriptor = sealer.descriptor
    anna = a.people[to]
    wrap = seal_wrap(
        key,
        seal_key=anna.secrets.read.seal_key,
        sender_node=evil.node.node_id,
        destination=a.node.node_id,
        mailbox=anna.id,
        letter_id=letter_id,
        payload_id=descriptor.payload_id,
    )
    now_ms = a.world.now_ms()
    slip = Slip(
        sender_node=evil.node.node_id,
        statement_number=0,
        destination=a.node.node_id,
        letter_id=letter_id,
        payload_id=descriptor.payload_id,
        letter_class=LetterClass.NORMAL,
        sent_at_ms=now_ms,
        expires_at_ms=now_ms + LONG_MS,
        reply_key=Secret(bytes(32)),
        recipients=(SlipRecipient(anna.id, wrap),),
    )
    return slip, descriptor, chunks[0]


def seal(slip: Slip, descriptor: Descriptor, to: Institution, identity: SigningSecret) -> bytes:
    signed = decode_signed_slip(sign_slip(slip, identity))
    return seal_envelope(signed, seal_key=to.node.keyring.chain.current.seal_keys[0], descriptor=descriptor)


def rows(institution: Institution, table: sa.Table) -> int:
    with institution.node.database.engines.reader.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


@asynccontextmanager
async def with_a_third(tmp_path: Path) -> AsyncIterator[tuple[Federation, Institution, Institution, Liar]]:
    """The honest node `a`, the liar on a link to it, and `b`, an honest peer of a's."""
    async with liar_at(tmp_path) as (federation, a, liar, _slip, _descriptor, _ciphertext):
        b = await federation.make("b")
        await b.add("bruno")
        await a.accept(b)
        await b.accept(a)
        await b.start()
        await liar.greet()
        yield federation, a, b, liar


async def delivered_meanwhile(a: Institution, b: Institution) -> None:
    """Letters between the honest ones arrive within seconds, both ways."""
    there, back = await a.send("anna", "bruno@b.example"), await b.send("bruno", "anna@a.example")
    await trio.sleep(5)
    assert await a.states("anna", there) == [DeliveryState.DEPOSITED]
    assert await b.states("bruno", back) == [DeliveryState.DEPOSITED]
