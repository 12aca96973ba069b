"""What time brings: warnings to senders, expiry, the end of delegations, and forgetting what is past use.

Spec: spec/delivery.md, 3 and 5; spec/identity.md, 8.4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import sqlalchemy as sa
import structlog
import trio

from node.alerts.ladder import Ladder
from node.outside.offering import Outside
from node.post.due import EXPIRY_GRACE_MS, anything_due
from node.relay.custody import Custody
from node.vault import schema
from node.vault.absences import Absences
from node.vault.access import OpenMailbox
from node.vault.alert_queue import AlertQueue
from node.vault.changes import mark_changed
from node.vault.correspondents import Correspondents
from node.vault.database import Database, Transaction
from node.vault.dedup import Dedup
from node.vault.draft_rows import DraftRows
from node.vault.login_tries import LoginTries
from node.vault.outbox_rows import OutboxItem, OutboxRows
from node.vault.payload_rows import PayloadRows
from node.vault.returns import ReturnRows
from node.vault.sealing import RowKeys
from node.vault.session_rows import SessionRows
from node.vault.sharing_rows import SharingRows
from node.vault.signals import EXPIRIES
from node.vault.states import DeliveryState, OutboxState
from protocol.details import Details
from protocol.letter import LetterClass
from protocol.logleaf import EventKind

__all__ = ["Deadlines"]

_TICK_S: Final = 30
_PRUNE_EVERY_S: Final = 3600
_SECOND_WARNING_MS: Final = 24 * 3_600_000
_NEVER_MS: Final = 2**62
_ORPHAN_PAYLOAD_MS: Final = 24 * 3_600_000
# A clock that jumped by more than this is in doubt: nothing is expired or forgotten until it was looked at twice.
_CLOCK_DOUBT_MS: Final = 600_000
_BATCH: Final = 100


class Deadlines:
    """Wakes every half minute, looks at what is due, and writes it down."""

    def __init__(
        self,
        *,
        database: Database,
        keys: RowKeys,
        outbox: OutboxRows,
        payloads: PayloadRows,
        returns: ReturnRows,
        dedup: Dedup,
        alerts: AlertQueue,
        sharing: SharingRows,
        custody: Custody,
        sessions: SessionRows[OpenMailbox],
        login_tries: LoginTries,
        session_idle_ms: int,
        correspondents: Correspondents,
        drafts: DraftRows,
        outside: Outside,
        ladder: Ladder,
        absences: Absences,
        sweep: Callable[[], None],
    ) -> None:
        self._database = database
        self._keys = keys
        self._outbox = outbox
        self._payloads = payloads
        self._returns = returns
        self._dedup = dedup
        self._alerts = alerts
        self._sharing = sharing
        self._custody = custody
        self._sessions = sessions
        self._login_tries = login_tries
        self._session_idle_ms = session_idle_ms
        self._correspondents = correspondents
        self._drafts = drafts
        self._outside = outside
        self._ladder = ladder
        self._absences = absences
        self._sweep = sweep

    async def run(self) -> None:
        """Until cancelled."""
        world = self._database.world
        next_prune = trio.current_time()
        wall_ms, clock = world.now_ms(), trio.current_time()
        while True:
            jump_ms = (world.now_ms() - wall_ms) - int((trio.current_time() - clock) * 1000)
            wall_ms, clock = world.now_ms(), trio.current_time()
            if abs(jump_ms) > _CLOCK_DOUBT_MS:
                await self._database.write(self._log_jump, jump_ms)
            else:
                await self.look(wall_ms)
                if clock >= next_prune:
                    next_prune = clock + _PRUNE_EVERY_S
                    await self._prune(wall_ms)
            await trio.sleep(_TICK_S)

    def _log_jump(self, tx: Transaction, items: Sequence[int]) -> Sequence[None]:
        for jump_ms in items:
            tx.log.append(EventKind.CLOCK_JUMPED, Details(node=self._keys.node_id, code=f"{jump_ms} ms"))
        return [None] * len(items)

    # -- deadlines

    async def look(self, now_ms: int) -> None:
        """Warn, expire, end delegations and absences, climb the unread ladder: what is due now."""
        if not await self._database.read(anything_due, now_ms, self._session_idle_ms):
            return
        while due := await self._database.read(self._due_warnings, now_ms):
            await self._database.write_many(self._warn, due)
        while due := await self._database.read(self._due_expiries, now_ms):
            await self._database.write_many(self._expire, due)
        if await self._database.read(self._sharing.due, now_ms):
            await self._database.write(self._sharing.end_due, now_ms)
        if await self._database.read(self._sessions.any_past, now_ms, self._session_idle_ms):
            await self._database.write(self._sessions.end_past, self._session_idle_ms)
        await self._outside.look(now_ms)
        await self._ladder.look(now_ms)
        await self._absences.end_due(now_ms)

    def _due_warnings(self, connection: sa.Connection, now_ms: int) -> list[OutboxItem]:
        table = schema.outbox
        query = sa.select(table).where(
            table.c.state == OutboxState.WAITING, table.c.next_warning_at_ms <= now_ms, table.c.expires_at_ms > now_ms
        )
        return [self._outbox.open(row) for row in connection.execute(query.limit(_BATCH))]

    def _warn(self, tx: Transaction, items: Sequence[OutboxItem]) -> Sequence[None]:
        table = schema.outbox
        for item in items:
            second_ms = item.sent_at_ms + _SECOND_WARNING_MS
            has_second = item.letter_class is LetterClass.NORMAL and item.next_warning_at_ms < second_ms
            tx.connection.execute(
                table.update()
                .where(table.c.id == item.row)
                .values(next_warning_at_ms=second_ms if has_second else _NEVER_MS)
            )
            tx.log.append(EventKind.DELAYED, item.details(self._keys.node_id), tag=item.tag)
            if item.sender_mailbox is not None:
                about = item.letter_id + item.next_warning_at_ms.to_bytes(8, "big")
                self._alerts.queue(tx, [item.occasion("delayed", about)])
        return [None] * len(items)

    def _due_expiries(self, connection: sa.Connection, now_ms: int) -> list[OutboxItem]:
        table = schema.outbox
        query = sa.select(table).where(
            table.c.state != OutboxState.ENDED, table.c.expires_at_ms <= now_ms - EXPIRY_GRACE_MS
        )
        return [self._outbox.open(row) for row in connection.execute(query.limit(_BATCH))]

    def _expire(self, tx: Transaction, items: Sequence[OutboxItem]) -> Sequence[None]:
        table = schema.deliveries
        for item in items:
            for mailbox in item.mailboxes:
                row = self._outbox.delivery_row(item.destination, item.letter_id, mailbox)
                ended = tx.connection.execute(
                    table.update()
                    .where(table.c.id == row, table.c.state == DeliveryState.WAITING)
                    .values(state=int(DeliveryState.EXPIRED), changed_at_ms=tx.now_ms)
                )
                if not ended.rowcount:
                    continue
                tx.log.append(EventKind.EXPIRED, item.details(self._keys.node_id, mailbox=mailbox), tag=item.tag)
                if item.sender_mailbox is not None:
                    self._alerts.queue(tx, [item.occasion("expired", item.letter_id)])
                    mark_changed(tx, self._keys, [item.sender_mailbox])
            self._outbox.set_state(tx, item.row, OutboxState.ENDED)
            tx.wake(EXPIRIES, self._outbox.destination(item.destination))
        return [None] * len(items)

    # -- forgetting

    async def _prune(self, now_ms: int) -> None:
        database = self._database
        await database.write(self._prune_outbox, now_ms)
        await database.write(self._dedup.prune, now_ms)
        await database.write(self._returns.prune, now_ms)
        await database.write(self._alerts.prune, now_ms)
        await database.write(self._custody.prune, now_ms)
        await database.write(self._correspondents.prune, now_ms)
        await database.write(self._login_tries.prune, now_ms)
        if await database.read(self._drafts.any_over, now_ms):
            await database.write(self._drafts.prune, now_ms)
        names = await database.write(self._payloads.prune, now_ms - _ORPHAN_PAYLOAD_MS)

        def unlink() -> None:
            for name in names:
                self._payloads.store.delete(name)
            self._sweep()

        await database.world.run_blocking(unlink)
        structlog.get_logger(__name__).debug("pruned", payloads=len(names))

    def _prune_outbox(self, tx: Transaction, items: Sequence[int]) -> Sequence[None]:
        """The envelope goes, the line that the sender is shown stays (deliveries keep their row as its key)."""
        table = schema.outbox
        for now_ms in items:
            rows = tx.connection.execute(
                sa.select(table.c.id, table.c.payload).where(
                    table.c.kept_until_ms < now_ms, table.c.payload.is_not(None), table.c.state == OutboxState.ENDED
                )
            ).all()
            for row in rows:
                self._outbox.forget_envelope(tx, row.id)
                self._payloads.release(tx, row.payload)
        return [None] * len(items)
