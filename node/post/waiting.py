"""What waits in the outbox, why and until when, for people; and trying again now. Spec: spec/delivery.md, 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from node.errors import NotFoundError
from node.vault import schema
from node.vault.database import Database, Transaction
from node.vault.outbox_rows import OutboxRows
from node.vault.peers import Peer, PeerRows
from node.vault.signals import OUTBOX, PEERS
from node.vault.states import OutboxState
from protocol.details import Details
from protocol.ids import NodeId
from protocol.logleaf import EventKind

__all__ = ["WaitingLetter", "list_waiting", "retry_now"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingLetter:
    """One outbox row as people see it."""

    row: bytes
    institution: str
    state: str
    letter_class: str
    recipients: int
    sent_at_ms: int
    expires_at_ms: int
    reason: str
    next_attempt_at_ms: int


def _reason(state: OutboxState, peer: Peer | None, own: bool) -> str:
    if state is OutboxState.SET_ASIDE:
        return "set aside after three crashes while it was handled"
    if state is OutboxState.WITHDRAWING:
        return "being withdrawn"
    if own:
        return "waits for this node to run"
    if peer is None or peer.status != "accepted":
        return "its institution is no longer accepted"
    if peer.failures:
        return peer.last_error or "its node was not reached"
    if not peer.endpoints:
        return "waits for its node to call"
    return "not yet confirmed by its node" if peer.last_contact_at_ms else "waits for this node to run"


async def list_waiting(database: Database, outbox: OutboxRows, peers: PeerRows, own: NodeId) -> list[WaitingLetter]:
    """All rows that have not ended, oldest first."""

    def read(connection: sa.Connection) -> list[WaitingLetter]:
        known = {peer.node_id: peer for peer in peers.all(connection)}
        found = []
        for state in (OutboxState.WAITING, OutboxState.WITHDRAWING, OutboxState.SET_ASIDE):
            for item in outbox.with_state(connection, state):
                peer = known.get(item.destination)
                is_own = item.destination == own
                found.append(
                    WaitingLetter(
                        row=item.row,
                        institution="this node" if is_own else peer.institution if peer else "unknown",
                        state=state.name.lower(),
                        letter_class=item.letter_class.value,
                        recipients=len(item.mailboxes),
                        sent_at_ms=item.sent_at_ms,
                        expires_at_ms=item.expires_at_ms,
                        reason=_reason(state, peer, is_own),
                        next_attempt_at_ms=peer.next_attempt_at_ms if peer else 0,
                    )
                )
        return sorted(found, key=lambda item: item.row)

    return await database.read(read)


async def retry_now(database: Database, outbox: OutboxRows, peers: PeerRows, prefix: str | None) -> int:
    """Reset waiting times and take up what was set aside; returns how many rows wait. NotFoundError for a wrong id."""
    waiting = await list_waiting(database, outbox, peers, outbox.node_id)
    chosen = [item for item in waiting if prefix is None or item.row.hex().startswith(prefix.lower())]
    if prefix is not None and len(chosen) != 1:
        raise NotFoundError(f"no single row of the outbox has the id {prefix}", hint="see: coffre outbox")

    def write(tx: Transaction, items: Sequence[list[WaitingLetter]]) -> Sequence[int]:
        # Now, not 0: SQLite tells a running node of a commit only if it changed something.
        tx.connection.execute(schema.peers.update().values(failures=0, next_attempt_at_ms=tx.now_ms))
        table = schema.outbox
        for rows in items:
            set_aside = [item.row for item in rows if item.state == "set_aside"]
            tx.connection.execute(
                table.update().where(table.c.id.in_(set_aside)).values(state=int(OutboxState.WAITING), crashes=0)
            )
        count = sum(len(rows) for rows in items)
        tx.log.append(EventKind.OUTBOX_RETRIED, Details(node=outbox.node_id, code=f"{count} letters"))
        tx.wake(OUTBOX)
        tx.wake(PEERS)
        return [len(rows) for rows in items]

    return await database.write(write, chosen)
