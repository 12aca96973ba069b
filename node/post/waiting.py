"""What waits in the outbox, why and until when, for people; trying again, and giving up. Spec: spec/delivery.md, 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from node.errors import NotFoundError, StateError
from node.post.results import EndRefused, ResultWriter
from node.vault import schema
from node.vault.database import Database, Transaction
from node.vault.outbox_rows import OutboxItem, OutboxRows
from node.vault.outcomes import RefusalCode
from node.vault.peers import Peer, PeerRows
from node.vault.signals import HEALTH, OUTBOX
from node.vault.states import OutboxState
from protocol.details import Details
from protocol.ids import NodeId
from protocol.logleaf import EventKind

__all__ = ["WaitingLetter", "find_waiting", "give_up", "list_waiting", "retry_mark", "retry_now"]


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


async def find_waiting(database: Database, outbox: OutboxRows, peers: PeerRows, prefix: str) -> WaitingLetter:
    """The one row whose id begins so. NotFoundError."""
    waiting = await list_waiting(database, outbox, peers, outbox.node_id)
    found = [item for item in waiting if item.row.hex().startswith(prefix.lower())]
    if len(found) != 1:
        raise NotFoundError(f"no single row of the outbox has the id {prefix}", hint="see: coffre outbox")
    return found[0]


def retry_mark(connection: sa.Connection, node: NodeId) -> int:
    """Changes for a linked node whenever `retry_now` is called, here or in another process."""
    peers = schema.peers
    mark = connection.scalar(sa.select(peers.c.next_attempt_at_ms).where(peers.c.node_id == node))
    return 0 if mark is None else int(mark)


async def retry_now(database: Database, outbox: OutboxRows, peers: PeerRows, prefix: str | None) -> int:
    """Reset waiting times and take up what was set aside; returns how many rows wait. NotFoundError for a wrong id."""
    if prefix is None:
        chosen = await list_waiting(database, outbox, peers, outbox.node_id)
    else:
        chosen = [await find_waiting(database, outbox, peers, prefix)]

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
        tx.wake(HEALTH)
        return [len(rows) for rows in items]

    return await database.write(write, chosen)


async def give_up(database: Database, outbox: OutboxRows, writer: ResultWriter, row: bytes) -> None:
    """Forward a letter no more: its sender is told so. On record in the letter's evidence.

    What its destination has already, or answers yet, still counts (spec/delivery.md, 2.9). NotFoundError where nothing
    waits under this id; StateError for one that its sender is withdrawing.
    """

    def find(connection: sa.Connection) -> OutboxItem:
        for state in (OutboxState.WAITING, OutboxState.SET_ASIDE, OutboxState.WITHDRAWING):
            for item in outbox.with_state(connection, state):
                if item.row == row:
                    return item
        raise NotFoundError(f"nothing waits under the id {row.hex()}", hint="see: coffre outbox")

    item = await database.read(find)
    if item.state is OutboxState.WITHDRAWING:
        raise StateError("its sender is withdrawing it already", hint="it ends when its destination answers")
    await database.write(writer.end_refused, EndRefused(item, RefusalCode.GIVEN_UP))
