"""Mail between own mailboxes: the same checks, deposit and evidence, without a link. Spec: spec/delivery.md, 3."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import trio

from node.post.checking import Refusal
from node.post.intake import result_frames
from node.post.parts import PostParts
from node.supervision import keep_running
from node.vault.outbox_rows import OutboxItem
from node.vault.signals import EXPIRIES, OUTBOX, RETURNS, WITHDRAWALS
from node.vault.states import CLASS_NUMBERS, OutboxState
from protocol.envelope import decode_envelope
from protocol.messages import Event, MailboxResult, Result

__all__ = ["OwnMail"]

_LOOK_EVERY_S: Final = 5


class OwnMail:
    """Delivers what this node's mailboxes send each other."""

    def __init__(self, parts: PostParts) -> None:
        self._parts = parts

    async def run(self) -> None:
        """Deliver, withdraw and bring evidence back until cancelled. One process of the node at a time."""
        async with trio.open_nursery() as nursery:
            for work in (self._deliver, self._withdraw, self._ask_again, self._return):
                nursery.start_soon(keep_running, work)

    async def _deliver(self) -> None:
        parts = self._parts
        deferred_until: dict[bytes, float] = {}
        own = parts.outbox.destination(parts.node_id)
        while True:
            ticket = parts.database.signals.ticket(OUTBOX, own)
            items = await parts.database.read(
                lambda connection: parts.outbox.waiting_for(
                    connection, parts.node_id, after={}, limit=100 * len(CLASS_NUMBERS)
                )
            )
            for item, _ in items:
                if deferred_until.get(item.row, 0) <= trio.current_time():
                    retry_ms = await self._deliver_one(item)
                    deferred_until[item.row] = trio.current_time() + retry_ms / 1000
            with trio.move_on_after(_LOOK_EVERY_S if deferred_until else 3600):
                await ticket.wait()
            waiting = {item.row for item, _ in items}
            deferred_until = {row: at for row, at in deferred_until.items() if row in waiting}

    async def _deliver_one(self, item: OutboxItem) -> int:
        parts = self._parts
        parts.in_flight.begin(item.row)
        outcomes = await parts.intake.deposit_own(decode_envelope(item.envelope), parts.node_id)
        parts.in_flight.end(item.row)
        if isinstance(outcomes, Refusal):
            if outcomes.retry_after_ms:
                return outcomes.retry_after_ms
            return await parts.sender.take_refusal(item, outcomes.code, item.envelope_id, wait_s=0)
        frames = result_frames(item.envelope_id, outcomes)
        return await parts.sender.take_results(item, _results(frames))

    async def _withdraw(self) -> None:
        parts = self._parts
        own = parts.outbox.destination(parts.node_id)
        while True:
            ticket = parts.database.signals.ticket(WITHDRAWALS, own)
            for item in await parts.database.read(
                lambda connection: parts.outbox.with_state(connection, OutboxState.WITHDRAWING, parts.node_id)
            ):
                await self._withdraw_one(item)
            await ticket.wait()

    async def _ask_again(self) -> None:
        """What expired while the node was down, between the deposit and taking note of it."""
        parts = self._parts
        own = parts.outbox.destination(parts.node_id)
        while True:
            ticket = parts.database.signals.ticket(EXPIRIES, own)
            for item in await parts.database.read(parts.outbox.ended_without_word, parts.node_id):
                for envelope_id, _ in item.sealings:
                    outcomes, _ = await parts.database.read(parts.dedup.outcomes, envelope_id, parts.node_id)
                    await parts.sender.take_results(item, _results(result_frames(envelope_id, outcomes)))
            await ticket.wait()

    async def _withdraw_one(self, item: OutboxItem) -> None:
        parts = self._parts
        withdrawal = item.withdrawal(parts.database.world.now_ms())
        frames = result_frames(item.envelope_id, await parts.withdrawals.decide(withdrawal))
        await parts.sender.take_results(item, _results(frames))

    async def _return(self) -> None:
        parts = self._parts
        while True:
            ticket = parts.database.signals.ticket(RETURNS, parts.outbox.destination(parts.node_id))
            waiting = await parts.database.read(parts.returns.waiting_for, parts.node_id)
            for row, boxed in waiting:
                if boxed is not None:
                    await parts.sender.take_event(parts.node_id, Event(boxed))
                await parts.database.write(parts.returns.done, row)
            if not waiting:
                await ticket.wait()


def _results(frames: Iterable[Result]) -> list[MailboxResult]:
    results: list[MailboxResult] = []
    for frame in frames:
        results.extend(frame.results)
    return results
