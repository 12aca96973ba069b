"""When a peer that could not be reached is tried again. Spec: spec/delivery.md, 7."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
import structlog

from node.post.network import LinkError
from node.vault import schema
from node.vault.database import Database
from node.vault.outbox_rows import OutboxRows
from node.vault.peers import BACKOFF_CAP_MS, BACKOFF_CAP_URGENT_MS, BACKOFF_START_MS, Peer, PeerHealth, PeerRows
from node.vault.states import OutboxState
from protocol.ids import NodeId

__all__ = ["Backoff", "wait_ms"]

_JITTER: Final = 0.2

_logger = structlog.get_logger(__name__)


def wait_ms(peer: Peer, now_ms: int) -> int:
    """Until the next attempt. A longer wait than is ever set means that the clock was set back: it is over."""
    left_ms = peer.next_attempt_at_ms - now_ms
    return left_ms if left_ms <= BACKOFF_CAP_MS * (1 + _JITTER) else 0


class Backoff:
    """Doubles the wait with each failure in a row, up to a cap that is lower while an urgent letter waits."""

    def __init__(self, database: Database, peers: PeerRows, outbox: OutboxRows) -> None:
        self._database = database
        self._peers = peers
        self._outbox = outbox

    async def failed(self, peer: Peer, error: LinkError) -> None:
        """Set down that it could not be reached, and when it is tried again."""
        urgent = await self._database.read(self._urgent_waits, peer.node_id)
        failures = peer.failures + 1
        cap_ms = BACKOFF_CAP_URGENT_MS if urgent else BACKOFF_CAP_MS
        after_ms = min(BACKOFF_START_MS << min(failures - 1, 20), cap_ms)
        after_ms = int(after_ms * (1 - _JITTER + 2 * _JITTER * self._database.world.jitter()))
        health = PeerHealth(peer.node_id, failures, self._database.world.now_ms() + after_ms, error.message)
        _logger.info("peer not reached", peer=peer.node_id.text[:12], code=error.code, failures=failures)
        await self._database.write(self._peers.set_health, health)

    def _urgent_waits(self, connection: sa.Connection, node: NodeId) -> bool:
        table = schema.outbox
        query = sa.select(table.c.id).where(
            table.c.state == OutboxState.WAITING,
            table.c.destination == self._outbox.destination(node),
            table.c.letter_class == 0,
        )
        return connection.execute(query.limit(1)).one_or_none() is not None
