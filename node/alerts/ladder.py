"""The unread ladder: reminder, deputies or on-call mailbox, sender told. Spec: spec/alerts.md, 3.

A letter's row says which steps were made and when to look next, so nothing is in memory that a restart could lose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from node.config.telling import LadderSettings
from node.vault import schema
from node.vault.alert import Occasion, letter_path
from node.vault.alert_queue import AlertQueue
from node.vault.changes import mark_changed
from node.vault.database import Database, Transaction
from node.vault.directory import Directory
from node.vault.origins import Origin
from node.vault.returns import ReturnRows
from node.vault.sealing import RowKeys
from node.vault.states import LetterFolder, LetterState
from node.vault.way_rows import WayKind
from protocol.entry import EntryStatus
from protocol.ids import LeafTag, MailboxId
from protocol.letter import LetterClass
from protocol.logleaf import EventKind

__all__ = ["Ladder"]

_MINUTE_MS: Final = 60_000
_LATE_MS: Final = 5 * _MINUTE_MS
"""Later than ticks, a busy machine or a restart explain: the node was off."""
_AT_ONCE: Final = 100
_KINDS: Final = {1: EventKind.REMINDED, 2: EventKind.ESCALATED, 3: EventKind.SENDER_TOLD}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Letter:
    """An unread letter on the ladder."""

    row: bytes
    mailbox: MailboxId
    tag: LeafTag
    deposited_at_ms: int
    step: int
    origin: Origin


class Ladder:
    """Makes the steps that are due."""

    def __init__(
        self,
        *,
        database: Database,
        keys: RowKeys,
        alerts: AlertQueue,
        returns: ReturnRows,
        directory: Directory,
        settings: LadderSettings,
    ) -> None:
        self._database = database
        self._keys = keys
        self._alerts = alerts
        self._returns = returns
        self._directory = directory
        self._settings = settings

    def use(self, settings: LadderSettings) -> None:
        """From the next look on."""
        self._settings = settings

    async def look(self, now_ms: int) -> None:
        """Make every step that is due now: a clock that is set back meanwhile makes what was due wait again."""
        while due := await self._database.read(self._due, min(now_ms, self._database.world.now_ms())):
            await self._database.write_many(self.climb, due)

    @staticmethod
    def _due(connection: sa.Connection, now_ms: int) -> list[bytes]:
        table = schema.letters
        query = sa.select(table.c.id).where(table.c.ladder_at_ms > 0, table.c.ladder_at_ms <= now_ms)
        return list(connection.execute(query.order_by(table.c.ladder_at_ms).limit(_AT_ONCE)).scalars())

    def climb(self, tx: Transaction, items: Sequence[bytes]) -> Sequence[None]:
        """Batch handler: the next step of these letters (rows), under their rows' locks."""
        table = schema.letters
        rows = tx.connection.execute(
            sa.select(table).where(table.c.id.in_(items)).order_by(table.c.id).with_for_update()
        ).all()
        for row in rows:
            if 0 < row.ladder_at_ms <= tx.now_ms:
                step, at_ms = self._climb(tx, row)
                tx.connection.execute(
                    table.update().where(table.c.id == row.id).values(ladder_step=step, ladder_at_ms=at_ms)
                )
        return [None] * len(items)

    def _climb(self, tx: Transaction, row: sa.Row[Any]) -> tuple[int, int]:
        """The steps made now, and when to look again (0: never)."""
        if (row.folder, row.state) != (LetterFolder.INBOX, LetterState.UNREAD) or row.trashed_at_ms:
            return row.ladder_step, 0
        letter = self._letter(row)
        times = [minutes * _MINUTE_MS for minutes in self._minutes(tx, letter)]
        if not times:
            return letter.step, 0
        entry = self._directory.own_mailbox(tx.connection, letter.mailbox)
        is_absent = entry is not None and entry.absence_at(tx.now_ms) is not None
        step = letter.step + 1
        due_ms = letter.deposited_at_ms + times[step - 1]
        if step == 1 and is_absent:
            step = 2
        elif tx.now_ms < due_ms:
            return letter.step, due_ms  # looked at for the first time, or the plan was changed
        self._make(tx, letter, step)
        if step == len(times):
            return step, 0
        next_ms = letter.deposited_at_ms + times[step]
        if not is_absent and tx.now_ms - due_ms > _LATE_MS:
            next_ms = tx.now_ms + times[step] - times[step - 1]
        return step, max(next_ms, tx.now_ms + 1)

    def _letter(self, row: sa.Row[Any]) -> _Letter:
        fields = self._keys.open_map("letters", row.id, "sealed", row.sealed)
        return _Letter(
            row=row.id,
            mailbox=MailboxId(fields.fixed("mb", 16)),
            tag=LeafTag(row.tag),
            deposited_at_ms=row.arrived_at_ms,
            step=row.ladder_step,
            origin=Origin.read(fields),
        )

    def _minutes(self, tx: Transaction, letter: _Letter) -> tuple[int, ...]:
        letter_class = LetterClass(letter.origin.slip.letter_class)
        _, preferences = self._alerts.preferences(tx.connection, letter.mailbox)
        chosen = preferences.ladder.steps.get(letter_class)
        return self._settings.minutes(letter_class) if chosen is None else chosen

    def _make(self, tx: Transaction, letter: _Letter, step: int) -> None:
        if step == 1:
            self._alerts.queue(tx, [self._occasion(tx, letter, letter.mailbox, "unread_reminder")])
            self._log(tx, letter, step)
        elif step == 2:
            helpers = self._helpers(tx, letter.mailbox)
            self._alerts.queue(tx, [self._occasion(tx, letter, helper, "unread_of_other") for helper in helpers])
            if helpers:
                self._log(tx, letter, step, actor=helpers[0])
        else:
            self._log(tx, letter, step)

    def _helpers(self, tx: Transaction, mailbox: MailboxId) -> list[MailboxId]:
        """The deputies in force, else the on-call mailbox, if it is open and another one."""
        ways, boxes = schema.mailbox_ways, schema.mailboxes
        deputies = tx.connection.execute(
            sa.select(ways.c.holder)
            .join(boxes, boxes.c.id == ways.c.holder)
            .where(
                ways.c.mailbox == mailbox,
                ways.c.way == WayKind.DELEGATE,
                ways.c.from_ms <= tx.now_ms,
                ways.c.until_ms > tx.now_ms,
                boxes.c.status == EntryStatus.OPEN.value,
            )
            .order_by(ways.c.created_at_ms, ways.c.id)
        ).scalars()
        found = [MailboxId(holder) for holder in deputies if holder is not None]
        if found:
            return found
        _, preferences = self._alerts.preferences(tx.connection, mailbox)
        on_call = preferences.ladder.on_call or self._settings.on_call
        wanted = (boxes.c.address == on_call, boxes.c.status == EntryStatus.OPEN.value, boxes.c.id != mailbox)
        row = tx.connection.execute(sa.select(boxes.c.id).where(*wanted)).one_or_none() if on_call else None
        return [] if row is None else [MailboxId(row.id)]

    def _occasion(self, tx: Transaction, letter: _Letter, alerted: MailboxId, name: str) -> Occasion:
        slip = letter.origin.slip
        address, _ = self._alerts.preferences(tx.connection, letter.mailbox)
        return Occasion(
            alerted,
            name,
            slip.letter_id + letter.mailbox,
            LetterClass(slip.letter_class),
            letter=slip.letter_id,
            peer=slip.sender_node,
            tag=letter.tag,
            path=letter_path(letter.mailbox, letter.row),
            shown=address,
        )

    def _log(self, tx: Transaction, letter: _Letter, step: int, *, actor: MailboxId | None = None) -> None:
        minutes = f"{(tx.now_ms - letter.deposited_at_ms) // _MINUTE_MS} min"
        details = letter.origin.details(self._keys.node_id, letter.mailbox, code=minutes, actor=actor)
        ref = tx.log.append(_KINDS[step], details, tag=letter.tag)
        self._returns.queue(tx, letter.origin.answer(ref, letter.row))
        mark_changed(tx, self._keys, [letter.mailbox])
