"""Reaching by way of a relay those who cannot be reached directly. Spec: spec/relay.md, 5."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import sqlalchemy as sa
import structlog
import trio

from node.post.inflight import InFlight
from node.post.peer_link import PeerLink, Pending
from node.post.sender_side import SenderSide
from node.relay.book import RelayBook, first_of_events
from node.vault.directory import Directory
from node.vault.outbox_rows import OutboxItem, OutboxRows
from node.vault.payload_rows import PayloadRows
from node.vault.returns import ReturnRows
from node.vault.signals import EXPIRIES, HEALTH, OUTBOX, PEERS, RETURNS, WITHDRAWALS
from node.vault.states import OutboxState
from protocol.crypto import SigningSecret
from protocol.errors import RemoteProtocolError
from protocol.ids import EnvelopeId, NodeId
from protocol.messages import Event, Offer, Pass, PassOk, Relayed, Result, StatusQuery, Withdraw, inline_fits
from protocol.withdrawal import seal_withdrawal

__all__ = ["RelaySender"]

# A direct link comes first: both sides dial when they start, and within this time they have found each other.
_DIRECT_FIRST_S: Final = 5
_LOOK_EVERY_S: Final = 600
# A request that was passed on may get lost behind the relay: it is asked anew as seldom as this.
_ASK_AGAIN_S: Final = 15 * 60

_logger = structlog.get_logger(__name__)


class RelaySender:
    """What this node sends over one link for others than its peer, until cancelled with the link."""

    def __init__(
        self,
        link: PeerLink,
        *,
        book: RelayBook,
        sender: SenderSide,
        directory: Directory,
        outbox: OutboxRows,
        payloads: PayloadRows,
        returns: ReturnRows,
        identity: Callable[[], SigningSecret],
        in_flight: InFlight,
    ) -> None:
        self._link = link
        self._book = book
        self._sender = sender
        self._database = sender.database
        self._directory = directory
        self._outbox = outbox
        self._payloads = payloads
        self._returns = returns
        self._identity = identity
        self._flying = in_flight
        self._busy: set[EnvelopeId] = set()
        self._wanted: dict[EnvelopeId, OutboxItem] = {}
        self._retry_at: dict[EnvelopeId, float] = {}
        self._asked_at: dict[bytes, float] = {}

    async def run(self) -> None:
        """Offer, ask and bring back for nodes that cannot be reached, as long as the peer is a relay for any."""
        self._busy.clear()
        self._retry_at.clear()
        await trio.sleep(_DIRECT_FIRST_S)
        async with trio.open_nursery() as nursery:
            while True:
                changed = self._book.changed
                if not (self._book.clients_of(self._link.peer) or self._link.peer in self._book.own_relays):
                    await changed.wait()
                    continue
                topics = (OUTBOX, WITHDRAWALS, RETURNS, EXPIRIES, PEERS, HEALTH)
                tickets = [self._database.signals.ticket(topic) for topic in topics]
                for node in await self._database.read(self._book.unreachable):
                    if self._link.peer in self._book.relays_of(node):
                        await self._offer_all(node, nursery)
                        await self._ask_all(node)
                    if self._book.is_between(self._link.peer, node):
                        await self._return_all(node)
                now = trio.current_time()
                soonest = min(self._retry_at.values(), default=math.inf)
                within_s = min(max(soonest - now, 1), _LOOK_EVERY_S)
                await first_of_events(*tickets, changed, within_s=within_s)
                for envelope in [item for item, at in self._retry_at.items() if at <= trio.current_time()]:
                    del self._retry_at[envelope]
                    self._busy.discard(envelope)

    # -- letters

    async def _offer_all(self, node: NodeId, nursery: trio.Nursery) -> None:
        for item in await self._database.read(self._outbox.with_state, OutboxState.WAITING, node):
            if item.envelope_id in self._busy:
                continue
            inline = await self._database.read(self._inline, item)
            await self._link.wait_offer(item.letter_class)
            # Nothing is awaited between the window's word and the request that relies on it.
            pending = self._link.begin(Offer(item.letter_class, item.envelope, inline))
            self._flying.begin(item.row)
            self._busy.add(item.envelope_id)
            nursery.start_soon(self._finish, item, pending)

    def _inline(self, connection: sa.Connection, item: OutboxItem) -> bytes | None:
        if item.payload is None:
            return None
        data = self._payloads.find_data(connection, [item.payload]).get(item.payload)
        return data if data is not None and inline_fits(item.envelope, len(data)) else None

    async def _finish(self, item: OutboxItem, pending: Pending) -> None:
        try:
            reply = await pending.next()
        finally:
            self._flying.end(item.row)
        match reply:
            case Relayed():
                await self._take(item, reply)
            case Result():
                self._not_taken(item, reply)
            case _:
                self._wanted[item.envelope_id] = item

    async def _take(self, item: OutboxItem, reply: Relayed) -> None:
        try:
            await self._sender.take_custody(item, self._link.peer, reply.evidence)
        except RemoteProtocolError as error:
            self._link.fail(error)

    def _not_taken(self, item: OutboxItem, result: Result) -> None:
        """A relay's no ends nothing: without `after` it is not asked again over this link."""
        _logger.info("relay does not take an envelope", code=result.code, envelope=item.envelope_id.text[:12])
        if result.after_ms:
            self._retry_at[item.envelope_id] = trio.current_time() + result.after_ms / 1000

    async def pushed(self, message: Result | Relayed) -> bool:
        """What follows a payload's transfer to the relay; False if it is about none of these letters."""
        item = self._wanted.pop(message.envelope_id, None)
        if item is None:
            return False
        if isinstance(message, Relayed):
            await self._take(item, message)
        else:
            self._not_taken(item, message)
        return True

    # -- questions and returns

    async def _pass(self, message: StatusQuery | Withdraw | Event, target: NodeId) -> bool:
        """Hand a message to the relay; whether it is stored there."""
        passed = Pass.of(message, source=self._outbox.node_id, target=target)
        reply = await self._link.ask(passed)
        assert isinstance(reply, PassOk)
        if reply.code:
            _logger.info("relay does not pass on", code=reply.code, peer=self._link.peer.text[:12])
        return not reply.code

    def _is_due(self, row: bytes) -> bool:
        return self._asked_at.get(row, -math.inf) + _ASK_AGAIN_S <= trio.current_time()

    async def _ask_all(self, node: NodeId) -> None:
        chain = await self._database.read(self._directory.trusted_chain, node)
        for item in await self._database.read(self._outbox.with_state, OutboxState.WITHDRAWING, node):
            if chain is None or not self._is_due(item.row):
                continue
            self._asked_at[item.row] = trio.current_time()
            withdrawal = item.withdrawal(self._database.world.now_ms())
            box = seal_withdrawal(withdrawal, identity=self._identity(), seal_key=chain.current.seal_keys[0])
            await self._pass(Withdraw(box), node)
        for item in await self._database.read(self._outbox.ended_without_word, node):
            if self._is_due(item.row):
                self._asked_at[item.row] = trio.current_time()
                for envelope_id, _ in item.sealings:
                    await self._pass(StatusQuery(envelope_id), node)

    async def _return_all(self, node: NodeId) -> None:
        while waiting := await self._database.read(self._returns.waiting_for, node):
            for row, boxed in waiting:
                if boxed is not None and not await self._pass(Event(boxed), node):
                    return
                await self._database.write(self._returns.done, row)
