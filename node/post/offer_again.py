"""What a peer may have lost with the end of its log is offered to it again. Spec: spec/backup.md, 7."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from node.vault import schema
from node.vault.database import Transaction
from node.vault.outbox_rows import OutboxRows
from node.vault.peers import PeerHead, PeerRows
from node.vault.signals import OUTBOX, WITHDRAWALS
from node.vault.states import DeliveryState, OutboxState
from protocol.checkpoint import parse_origin, peek_checkpoint
from protocol.details import Details
from protocol.logleaf import EventKind

__all__ = ["OfferAgain"]

_ARRIVED: Final = (DeliveryState.DEPOSITED, DeliveryState.OPENED, DeliveryState.COLLECTED, DeliveryState.UNREADABLE)
# The letter arrived once: nobody is warned that it waits.
_NEVER_MS: Final = 2**62


class OfferAgain:
    """Batch handler for peers that opened a new epoch."""

    def __init__(self, peers: PeerRows, outbox: OutboxRows) -> None:
        self._peers = peers
        self._outbox = outbox

    def take(self, tx: Transaction, items: Sequence[PeerHead]) -> Sequence[bool]:
        """Hold the head of the new epoch; let kept envelopes wait again, and stand by withdrawals. False if another
        head was taken meanwhile.

        States that the sender is shown stay. Whatever the peer still has it answers from its dedup rows.
        """
        taken = self._peers.set_head(tx, items)
        for item in (item for item, was_taken in zip(items, taken, strict=True) if was_taken):
            self._put_on_record(tx, item)
            destination = self._outbox.destination(item.node_id)
            self._wake(tx, destination, (DeliveryState.WITHDRAWN,), OutboxState.WITHDRAWING)
            self._wake(tx, destination, _ARRIVED, OutboxState.WAITING)
            tx.wake(OUTBOX, destination)
            tx.wake(WITHDRAWALS, destination)
        return taken

    def _put_on_record(self, tx: Transaction, item: PeerHead) -> None:
        """A peer may have lost the end of its log, or want to be rid of it: either way that it began anew is known."""
        if item.over is None:
            return
        before, after = peek_checkpoint(item.over), peek_checkpoint(item.note)
        code = f"{parse_origin(before.origin)[2]}/{before.size} {parse_origin(after.origin)[2]}"
        tx.log.append(EventKind.PEER_EPOCH, Details(node=self._outbox.node_id, peer=item.node_id, code=code))

    @staticmethod
    def _wake(tx: Transaction, destination: bytes, shown: Sequence[DeliveryState], state: OutboxState) -> None:
        outbox, deliveries = schema.outbox, schema.deliveries
        some = sa.exists().where(
            deliveries.c.outbox == outbox.c.id, deliveries.c.state.in_([int(item) for item in shown])
        )
        tx.connection.execute(
            outbox.update()
            .where(
                outbox.c.destination == destination,
                outbox.c.state == int(OutboxState.ENDED),
                outbox.c.payload.is_not(None),
                some,
            )
            # Past its deadline, too: what was lost after it arrived is taken again for as long as it is kept.
            .values(state=int(state), next_warning_at_ms=_NEVER_MS, expires_at_ms=outbox.c.kept_until_ms)
        )
