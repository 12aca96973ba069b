"""Offering what waits for one peer, over one link. Spec: spec/delivery.md, 3."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
import structlog
import trio

from node.post.inflight import InFlight
from node.post.network import first_of
from node.post.peer_link import PeerLink, Pending
from node.post.sender_side import SenderSide
from node.post.waiting import retry_mark
from node.vault.directory import Directory
from node.vault.outbox_rows import OutboxItem, OutboxRows
from node.vault.payload_rows import PayloadRows
from node.vault.returns import ReturnRows
from node.vault.signals import EXPIRIES, OUTBOX, RETURNS, WITHDRAWALS
from node.vault.states import OutboxState
from protocol.crypto import SigningSecret
from protocol.errors import RemoteProtocolError
from protocol.ids import EnvelopeId, NodeId
from protocol.letter import LetterClass
from protocol.message import Message
from protocol.messages import Event, EventOk, MailboxResult, Offer, Result, StatusQuery, Withdraw, inline_fits
from protocol.withdrawal import seal_withdrawal

__all__ = ["Forwarder"]

# An urgent letter that comes waits behind at most this many that were read before it.
_READ_AHEAD: Final = 64
# Rows whose payload is on its way, remembered until the result is pushed; others are read again.
_WANTED_ROWS: Final = 256

_logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Retry:
    at: float


class Forwarder:
    """Forwards to one peer over one link, until cancelled with the link."""

    def __init__(
        self,
        link: PeerLink,
        *,
        sender: SenderSide,
        directory: Directory,
        outbox: OutboxRows,
        payloads: PayloadRows,
        returns: ReturnRows,
        identity: Callable[[], SigningSecret],
        node_id: NodeId,
        in_flight: InFlight,
    ) -> None:
        self._link = link
        self._sender = sender
        self._database = sender.database
        self._directory = directory
        self._outbox = outbox
        self._payloads = payloads
        self._returns = returns
        self._identity = identity
        self._node_id = node_id
        self._flying = in_flight
        self._after: dict[LetterClass, bytes] = {}
        self._busy: set[bytes] = set()
        self._wanted: dict[EnvelopeId, OutboxItem] = {}
        self._retries: dict[bytes, _Retry] = {}
        self._moved = trio.Event()
        self._retry_mark = 0
        self._destination = outbox.destination(link.peer)

    async def run(self) -> None:
        """Offer letters, ask for withdrawals and lost answers, bring back returns; all anew whenever it is run."""
        self._after.clear()
        self._busy.clear()
        self._retries.clear()
        self._retry_mark = await self._database.read(retry_mark, self._link.peer)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._forward, nursery)
            nursery.start_soon(self._withdraw)
            nursery.start_soon(self._ask_again)
            nursery.start_soon(self._return)

    # -- offers

    async def _forward(self, nursery: trio.Nursery) -> None:
        while True:
            ticket = self._database.signals.ticket(OUTBOX, self._destination)
            moved = self._moved
            items = await self._database.read_batch(self._read_ahead, dict(self._after))
            for item, inline in items:
                if item.row not in self._busy:
                    await self._link.wait_offer(item.letter_class)
                    # Nothing is awaited between the window's word and the request that relies on it.
                    pending = self._link.begin(Offer(item.letter_class, item.envelope, inline))
                    self._flying.begin(item.row)
                    self._busy.add(item.row)
                    nursery.start_soon(self._finish_offer, item, pending)
                self._after[item.letter_class] = max(self._after.get(item.letter_class, b""), item.row)
            if not items:
                # Ids follow the clock, and only nearly the order of commits: a row may lie before those already read.
                if await self._database.read(self._outbox.waiting_ids, self._link.peer) <= self._busy:
                    await self._wait(ticket, moved)
                else:
                    self._after.clear()
            if self._retries and await self._is_retry_asked():
                self._retries = {row: _Retry(trio.current_time()) for row in self._retries}
            self._reset_due()

    def _read_ahead(
        self, connection: sa.Connection, after: dict[LetterClass, bytes]
    ) -> list[tuple[OutboxItem, bytes | None]]:
        items = self._outbox.waiting_for(connection, self._link.peer, after=after, limit=_READ_AHEAD)
        names = [item.payload for item, data in items if data is None and item.payload is not None]
        small = self._payloads.find_data(connection, names) if names else {}
        return [(item, _inline(item, data or small.get(item.payload or b""))) for item, data in items]

    async def _wait(self, ticket: trio.Event, moved: trio.Event) -> None:
        next_retry = min((retry.at for retry in self._retries.values()), default=math.inf)
        with trio.CancelScope(deadline=next_retry):
            async with trio.open_nursery() as nursery:

                async def until(event: trio.Event) -> None:
                    await event.wait()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(until, ticket)
                nursery.start_soon(until, moved)

    async def _is_retry_asked(self) -> bool:
        """Whether an administrator wants what waits to be tried now, whenever the peer said."""
        before, self._retry_mark = self._retry_mark, await self._database.read(retry_mark, self._link.peer)
        return self._retry_mark != before

    def _reset_due(self) -> None:
        now = trio.current_time()
        due = [row for row, retry in self._retries.items() if retry.at <= now]
        for row in due:
            del self._retries[row]
            self._busy.discard(row)
        if due:
            self._after.clear()

    async def _finish_offer(self, item: OutboxItem, pending: Pending) -> None:
        results: list[MailboxResult] = []
        try:
            reply = await pending.next()
            while isinstance(reply, Result):
                results.extend(reply.results)
                if not reply.more:
                    break
                reply = await pending.next()
        finally:
            self._flying.end(item.row)
        if isinstance(reply, Result):
            await self._settle(item, reply, results)
        else:
            # Wanted: the peer fetches the payload; its result comes as a push, or the next link asks again.
            if len(self._wanted) >= _WANTED_ROWS:
                self._wanted.pop(next(iter(self._wanted)))
            self._wanted[item.envelope_id] = item

    async def _settle(self, item: OutboxItem, reply: Result, results: Sequence[MailboxResult]) -> None:
        retry_ms = 0
        try:
            if reply.code and not reply.after_ms:
                retry_ms = await self._sender.take_refusal(item, reply.code, reply.envelope_id)
            else:
                retry_ms = max(reply.after_ms, await self._sender.take_results(item, results))
        except* RemoteProtocolError as group:
            self._link.fail(first_of(group))
        if retry_ms:
            self._retries[item.row] = _Retry(trio.current_time() + retry_ms / 1000)
            self._moved.set()
            self._moved = trio.Event()

    async def pushed(self, result: Result) -> None:
        """A result pushed on stream 0: the end of a payload's transfer."""
        item = self._wanted.pop(result.envelope_id, None) or await self._sender.find(result, self._link.peer)
        if item is not None:
            await self._settle(item, result, result.results)

    # -- withdrawals and returns

    async def _withdraw(self) -> None:
        asked: set[bytes] = set()
        while True:
            ticket = self._database.signals.ticket(WITHDRAWALS, self._destination)
            items = await self._database.read(
                lambda connection: self._outbox.with_state(connection, OutboxState.WITHDRAWING, self._link.peer)
            )
            for item in items:
                if item.row in asked:
                    continue
                asked.add(item.row)
                await self._ask_withdrawal(item)
            await ticket.wait()

    async def _ask_withdrawal(self, item: OutboxItem) -> None:
        chain = await self._database.read(self._directory.trusted_chain, item.destination)
        if chain is None:
            return
        withdrawal = item.withdrawal(self._database.world.now_ms())
        box = seal_withdrawal(withdrawal, identity=self._identity(), seal_key=chain.current.seal_keys[0])
        await self._ask_results(item, Withdraw(box))

    async def _ask_results(self, item: OutboxItem, request: Message) -> None:
        """Send a request about an envelope that is answered by its results, and take them."""
        results: list[MailboxResult] = []
        pending, more = await self._link.begin_when_free(request), True
        while more:
            reply = await pending.next()
            assert isinstance(reply, Result)
            results.extend(reply.results)
            more = reply.more
        try:
            await self._sender.take_results(item, results)
        except* RemoteProtocolError as group:
            self._link.fail(first_of(group))

    async def _ask_again(self) -> None:
        """What ended without a word from its destination may have arrived there, and the answer was lost."""
        asked: set[bytes] = set()
        while True:
            ticket = self._database.signals.ticket(EXPIRIES, self._destination)
            for item in await self._database.read(self._outbox.ended_without_word, self._link.peer):
                if item.row not in asked:
                    asked.add(item.row)
                    for envelope_id, _ in item.sealings:
                        await self._ask_results(item, StatusQuery(envelope_id))
            await ticket.wait()

    async def _return(self) -> None:
        while True:
            ticket = self._database.signals.ticket(RETURNS, self._destination)
            waiting = await self._database.read(self._returns.waiting_for, self._link.peer)
            for row, boxed in waiting:
                if boxed is not None:
                    reply = await self._link.ask(Event(boxed))
                    assert isinstance(reply, EventOk)
                await self._database.write(self._returns.done, row)
            if not waiting:
                await ticket.wait()


def _inline(item: OutboxItem, data: bytes | None) -> bytes | None:
    """The ciphertext, if it fits into the offer."""
    return data if data is not None and inline_fits(item.envelope, len(data)) else None
