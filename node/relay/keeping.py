"""The relay's side of a link: bringing a client what waits for it, and taking what is to be passed on.

Spec: spec/relay.md, 4 and 6.
"""

from __future__ import annotations

import math
from typing import Final

import sqlalchemy as sa
import structlog
import trio

from node.post.checking import Refusal
from node.post.intake import result_frames
from node.post.peer_link import PeerLink, Pending
from node.post.sender_side import SenderSide
from node.post.withdraw import Withdrawals
from node.relay.book import RelayBook, first_of_events
from node.relay.custody import MAX_RESULT_BYTES, Custody, KeptEnvelope, Settled
from node.vault.dedup import Dedup
from node.vault.payload_rows import PayloadRows
from node.vault.signals import RELAY
from protocol.errors import Reason, RemoteProtocolError
from protocol.ids import EnvelopeId, NodeId
from protocol.messages import (
    Event,
    MailboxResult,
    Offer,
    Pass,
    PassOk,
    Result,
    StatusQuery,
    Wanted,
    Withdraw,
    inline_fits,
)

__all__ = ["RelayKeeper"]

_RETRY_S: Final = 60

_logger = structlog.get_logger(__name__)


class RelayKeeper:
    """Serves one peer over one link: a client, or whoever writes to one."""

    def __init__(
        self,
        link: PeerLink,
        *,
        node_id: NodeId,
        book: RelayBook,
        custody: Custody,
        sender: SenderSide,
        payloads: PayloadRows,
        withdrawals: Withdrawals,
        dedup: Dedup,
    ) -> None:
        self._link = link
        self._node_id = node_id
        self._book = book
        self._custody = custody
        self._sender = sender
        self._database = sender.database
        self._payloads = payloads
        self._withdrawals = withdrawals
        self._dedup = dedup
        self._busy: set[bytes] = set()
        self._retry_at: dict[bytes, float] = {}
        self._wanted: dict[EnvelopeId, KeptEnvelope] = {}
        self._moved = trio.Event()
        self._about = custody.clients.blind(link.peer)

    async def run(self) -> None:
        """Bring what waits for the peer, until cancelled with the link."""
        self._busy.clear()
        self._retry_at.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._bring_envelopes, nursery)
            nursery.start_soon(self._bring_messages)

    # -- envelopes in custody

    async def _bring_envelopes(self, nursery: trio.Nursery) -> None:
        while True:
            ticket, changed, moved = self._ticket(), self._book.changed, self._moved
            now_ms = self._database.world.now_ms()
            for kept in await self._database.read(self._custody.waiting_for, self._link.peer, now_ms):
                if kept.row in self._busy:
                    continue
                inline = await self._database.read(self._inline, kept)
                await self._link.wait_offer(kept.letter_class)
                # Nothing is awaited between the window's word and the request that relies on it.
                pending = self._link.begin(Offer(kept.letter_class, kept.envelope, inline))
                self._busy.add(kept.row)
                nursery.start_soon(self._finish, kept, pending)
            soonest = min(self._retry_at.values(), default=math.inf)
            within_s = max(soonest - trio.current_time(), 0.1)
            await first_of_events(ticket, changed, moved, within_s=within_s)
            for row in [row for row, at in self._retry_at.items() if at <= trio.current_time()]:
                del self._retry_at[row]
                self._busy.discard(row)

    def _ticket(self) -> trio.Event:
        return self._database.signals.ticket(RELAY, self._about)

    def _inline(self, connection: sa.Connection, kept: KeptEnvelope) -> bytes | None:
        if kept.payload is None:
            return None
        data = self._payloads.find_data(connection, [kept.payload]).get(kept.payload)
        return data if data is not None and inline_fits(kept.envelope, len(data)) else None

    async def _finish(self, kept: KeptEnvelope, pending: Pending) -> None:
        results: list[MailboxResult] = []
        reply = await pending.next()
        while isinstance(reply, Result) and reply.more:
            results.extend(reply.results)
            reply = await pending.next()
        if isinstance(reply, Result):
            await self._settle(kept, reply, [*results, *reply.results])
        elif isinstance(reply, Wanted):
            self._wanted[kept.envelope_id] = kept
        else:
            self._link.fail(RemoteProtocolError(Reason.WRONG_STATE, "custody of what was brought to its destination"))

    async def _settle(self, kept: KeptEnvelope, reply: Result, results: list[MailboxResult]) -> None:
        """What is final goes back. A refusal of the whole shows no evidence, so nobody is told: it only ends here."""
        waits = [result.after_ms or _RETRY_S * 1000 for result in results if not result.evidence]
        if reply.after_ms or not (reply.code or results):
            waits.append(reply.after_ms or _RETRY_S * 1000)
        await self._database.write(self._custody.settle, Settled(kept, tuple(results), ends=not waits))
        if waits:
            self._retry_at[kept.row] = trio.current_time() + max(waits) / 1000
        self._moved.set()
        self._moved = trio.Event()

    async def pushed(self, result: Result) -> bool:
        """A client's result after a payload's transfer; False if it is about nothing kept here."""
        kept = self._wanted.get(result.envelope_id)
        if kept is None:
            return False
        if not result.more:
            del self._wanted[result.envelope_id]
        await self._settle(kept, result, list(result.results))
        return True

    # -- messages

    async def _bring_messages(self) -> None:
        while True:
            ticket = self._ticket()
            waiting = await self._database.read(self._custody.messages_for, self._link.peer)
            for message in waiting:
                reply = await self._link.ask(message.passed)
                assert isinstance(reply, PassOk)
                if reply.after_ms:
                    await trio.sleep(reply.after_ms / 1000)
                    break
                await self._database.write(self._custody.passed, message.row)
            if not waiting:
                await ticket.wait()

    async def take(self, stream: int, message: Pass) -> None:
        """Take what the peer passes on: to be kept for another node, or for this one."""
        if message.target == self._node_id:
            await self._arrived(stream, message)
        elif message.source == self._link.peer != message.target:
            refusal = await self._database.write(self._custody.pass_on, message)
            refusal = refusal or Refusal("")
            self._link.reply(stream, PassOk(refusal.code, refusal.retry_after_ms))
        else:
            self._link.reply(stream, PassOk(Reason.NOT_FOR_US.value))

    async def _arrived(self, stream: int, message: Pass) -> None:
        """What it says counts by its own signature or evidence, never by who brought it."""
        if not self._book.is_between(self._link.peer, message.source):
            self._link.reply(stream, PassOk(Reason.NOT_FOR_US.value))
            return
        answers: list[Result] = []
        try:
            answers = await self._act_on(message)
        except* RemoteProtocolError as group:
            # Who is to blame cannot be told, the relay or its client: it counts for nothing.
            reasons = [str(error) for error in group.exceptions]
            _logger.warning("passed message is not true", reasons=reasons[:1], peer=self._link.peer.text[:12])
        self._link.reply(stream, PassOk())
        for answer in answers:
            await self._link.ask(Pass.of(answer, source=self._node_id, target=message.source))

    async def _act_on(self, message: Pass) -> list[Result]:
        match message.opened():
            case Result() as result:
                item = await self._sender.find(result, message.source)
                if item is not None:
                    await self._sender.take_results(item, [part for part in result.results if part.evidence])
            case Event() as event:
                await self._sender.take_event(message.source, event)
            case Withdraw(box):
                withdrawal, decided = await self._withdrawals.take(box, message.source)
                return result_frames(withdrawal.envelope_id, decided, room=MAX_RESULT_BYTES)
            case StatusQuery(envelope_id):
                outcomes, _ = await self._database.read(self._dedup.outcomes, envelope_id, message.source)
                return result_frames(envelope_id, outcomes, room=MAX_RESULT_BYTES) if outcomes else []
        return []
