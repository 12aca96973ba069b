"""Alerts waiting to be sent, written in the transaction of what they tell of. Spec: spec/delivery.md, 10;
spec/alerts.md, 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from node.errors import NotFoundError
from node.vault import schema
from node.vault.alarm_notices import AlarmNotice, line_fields, read_notice
from node.vault.alert import OPERATORS, Alert, Occasion, PickupMail
from node.vault.alert_preferences import CHANNELS, AlertPreferences
from node.vault.database import Transaction
from node.vault.sealing import RowKeys
from node.vault.signals import ALERTS
from node.vault.states import AlertState
from protocol.codec import Value
from protocol.crypto import Secret
from protocol.details import Details
from protocol.ids import LeafTag, LetterId, MailboxId, NodeId
from protocol.letter import LetterClass
from protocol.logleaf import EventKind

__all__ = ["ALERT_LIFETIME_MS", "AlertQueue"]

ALERT_LIFETIME_MS: Final = 3 * 86_400_000
_NOT_MAILED: Final = -1


class AlertQueue:
    """The alerts table and the preferences of mailboxes. zone: of times of the day."""

    def __init__(self, keys: RowKeys, zone: ZoneInfo) -> None:
        self._keys = keys
        self.zone = zone
        self._open_settings = lru_cache(maxsize=4096)(self._decode_settings)

    # -- preferences

    def _decode_settings(self, mailbox: bytes, sealed: bytes) -> AlertPreferences:
        return AlertPreferences.read(self._keys.open_map("mailboxes", mailbox, "settings", sealed))

    def preferences(self, connection: sa.Connection, mailbox: MailboxId) -> tuple[str, AlertPreferences]:
        """Address and preferences of a mailbox."""
        table = schema.mailboxes
        row = connection.execute(
            sa.select(table.c.address, table.c.settings).where(table.c.id == mailbox)
        ).one_or_none()
        if row is None:
            raise NotFoundError(f"no mailbox {mailbox.text} on this node")
        return row.address, self._open_settings(bytes(mailbox), row.settings)

    def set_preferences(self, tx: Transaction, items: Sequence[tuple[MailboxId, AlertPreferences]]) -> Sequence[None]:
        """Batch handler: store preferences; on record which channels there are now, if anything is another.

        What waits for a digest or the end of quiet hours is planned anew.
        """
        table = schema.mailboxes
        for mailbox, wanted in items:
            if self.preferences(tx.connection, mailbox)[1] == wanted:
                continue
            sealed = self._keys.seal_map("mailboxes", mailbox, "settings", wanted.fields())
            tx.connection.execute(table.update().where(table.c.id == mailbox).values(settings=sealed))
            code = ",".join(wanted.channels) or "none"
            tx.log.append(EventKind.ALERTS_CHANGED, Details(node=self._keys.node_id, mailbox=mailbox, code=code))
            self._plan_anew(tx, mailbox, wanted)
        return [None] * len(items)

    def _plan_anew(self, tx: Transaction, mailbox: MailboxId, wanted: AlertPreferences) -> None:
        table = schema.alerts
        keys = [self._digest(mailbox, channel) for channel in CHANNELS]
        waiting = (table.c.digest.in_(keys), table.c.state == AlertState.WAITING)
        for row in tx.connection.execute(sa.select(table).where(*waiting)).all():
            alert = self._alert(row)
            at_ms = wanted.planned_ms(tx.now_ms, alert.letter_class, self.zone)
            tx.connection.execute(
                table.update()
                .where(table.c.id == row.id)
                .values(next_attempt_at_ms=at_ms, expires_at_ms=at_ms + ALERT_LIFETIME_MS)
            )
        tx.wake(ALERTS)

    def _digest(self, mailbox: bytes, channel: str) -> bytes:
        return self._keys.blind("alert-digest", mailbox, channel.encode())

    # -- queueing

    def queue(self, tx: Transaction, occasions: Sequence[Occasion]) -> None:
        """Queue alerts on each channel that a mailbox's owner chose; once for each occasion, letter and channel."""
        wanted: dict[MailboxId, tuple[str, AlertPreferences]] = {}
        for item in occasions:
            if item.mailbox not in wanted:
                wanted[item.mailbox] = self.preferences(tx.connection, item.mailbox)
            address, preferences = wanted[item.mailbox]
            if item.name == "deposited" and item.letter_class not in preferences.classes:
                continue
            at_ms = preferences.planned_ms(tx.now_ms, item.letter_class, self.zone)
            for channel in CHANNELS:
                target = preferences.target(channel)
                if target:
                    self._insert(tx, channel, target, address, item, at_ms)

    def _insert(self, tx: Transaction, channel: str, target: str, address: str, occasion: Occasion, at_ms: int) -> None:
        table = schema.alerts
        reference = self._keys.blind("alert", occasion.mailbox, occasion.about, occasion.name.encode())
        row = self._keys.blind("alert-row", reference, channel.encode())
        if tx.connection.execute(sa.select(table.c.id).where(table.c.id == row)).one_or_none() is not None:
            return
        fields = {
            "to": target,
            "mb": occasion.shown or address,
            "occasion": occasion.name,
            "class": occasion.letter_class.value,
            "ref": reference,
            "box": bytes(occasion.mailbox),
            "lid": bytes(occasion.letter),
            "peer": bytes(occasion.peer),
            "path": occasion.path or f"/box/{occasion.mailbox.hex()}/inbox",
        }
        tx.connection.execute(
            table.insert().values(
                id=row,
                channel=channel,
                state=int(AlertState.WAITING),
                attempts=0,
                next_attempt_at_ms=at_ms,
                expires_at_ms=at_ms + ALERT_LIFETIME_MS,
                sealed=self._keys.seal_map("alerts", row, "sealed", fields),
                tag=occasion.tag,
                digest=None if at_ms <= tx.now_ms else self._digest(occasion.mailbox, channel),
            )
        )
        tx.wake(ALERTS)

    def queue_pickup(
        self, tx: Transaction, row: bytes, *, target: str, mail: PickupMail, outside: MailboxId, occasion: Occasion
    ) -> None:
        """Queue the e-mail of a pick-up, under that row's id. occasion: the sender's, should it not be sent."""
        fields: dict[str, Value] = {
            "to": target,
            "mb": "",
            "occasion": "pickup",
            "class": occasion.letter_class.value,
            "ref": self._keys.blind("pickup-mail", row),
            "box": bytes(outside),
            "lid": bytes(occasion.letter),
            "peer": bytes(occasion.peer),
            "sender": bytes(occasion.mailbox),
            "link": mail.link.reveal(),
            "lang": mail.language,
            "until": mail.until_ms,
        }
        tx.connection.execute(
            schema.alerts.insert().values(
                id=row,
                channel="email",
                state=int(AlertState.WAITING),
                attempts=0,
                next_attempt_at_ms=tx.now_ms,
                expires_at_ms=min(tx.now_ms + ALERT_LIFETIME_MS, mail.until_ms),
                sealed=self._keys.seal_map("alerts", row, "sealed", fields),
                tag=occasion.tag,
            )
        )
        tx.wake(ALERTS)

    def queue_notice(self, tx: Transaction, channel: str, target: str, notice: AlarmNotice) -> None:
        """Queue what operators are told; at most a thousand lines of it."""
        row = self._keys.blind("alarm-notice", notice.reference, channel.encode(), b"\0", target.encode())
        fields: dict[str, Value] = {
            "to": target,
            "mb": "",
            "occasion": OPERATORS,
            "class": LetterClass.NORMAL.value,
            "ref": notice.reference,
            "box": bytes(16),
            "lines": line_fields(notice),
        }
        tx.connection.execute(
            schema.alerts.insert().values(
                id=row,
                channel=channel,
                state=int(AlertState.WAITING),
                attempts=0,
                next_attempt_at_ms=tx.now_ms,
                expires_at_ms=tx.now_ms + ALERT_LIFETIME_MS,
                sealed=self._keys.seal_map("alerts", row, "sealed", fields),
            )
        )
        tx.wake(ALERTS)

    def withdraw_pickup(self, tx: Transaction, row: bytes) -> None:
        """The e-mail of a pick-up that ended: it leaves no more, if it did not, and the link goes with it."""
        table = schema.alerts
        tx.connection.execute(table.delete().where(table.c.id == row, table.c.state == AlertState.WAITING))

    def _end_pickup(self, tx: Transaction, row: bytes, sealed: bytes, *, sent: bool) -> None:
        """The e-mail left, or never will: the link is forgotten here, and the pick-up says so."""
        fields = self._keys.open_map("alerts", row, "sealed", sealed)
        kept: dict[str, Value] = {
            "to": fields.text("to", high=2000),
            "mb": "",
            "occasion": "pickup",
            "class": fields.text("class", high=10),
            "ref": fields.fixed("ref", 16),
            "box": fields.fixed("box", 16),
            "lid": fields.fixed("lid", 16),
            "peer": fields.fixed("peer", 32),
        }
        alerts, pickups = schema.alerts, schema.pickups
        without = self._keys.seal_map("alerts", row, "sealed", kept)
        tx.connection.execute(alerts.update().where(alerts.c.id == row).values(sealed=without))
        tx.connection.execute(
            pickups.update().where(pickups.c.id == row).values(mailed_at_ms=tx.now_ms if sent else _NOT_MAILED)
        )

    # -- sending

    def due(self, connection: sa.Connection, now_ms: int, limit: int) -> list[Alert]:
        """Alerts whose time has come, oldest first; those of one digest as one."""
        table = schema.alerts
        is_due = (table.c.state == AlertState.WAITING, table.c.next_attempt_at_ms <= now_ms)
        rows = connection.execute(sa.select(table).where(*is_due).order_by(table.c.next_attempt_at_ms).limit(limit))
        found: list[Alert] = []
        gathered: set[bytes] = set()
        for row in rows.all():
            if row.digest is None:
                found.append(self._at_present(connection, self._alert(row)))
            elif row.digest not in gathered:
                gathered.add(row.digest)
                together = sa.select(table).where(*is_due, table.c.digest == row.digest)
                order = (table.c.next_attempt_at_ms, table.c.id)
                found.append(self._as_one(connection, connection.execute(together.order_by(*order)).all()))
        return found

    def _as_one(self, connection: sa.Connection, rows: Sequence[sa.Row[Any]]) -> Alert:
        alerts = [self._alert(row) for row in rows]
        first = self._at_present(connection, alerts[0])
        if len(alerts) == 1:
            return first
        address, _ = self.preferences(connection, MailboxId(first.box))
        return replace(
            first,
            mailbox_address=address,
            # Made of all of them: what joins after a failure makes another message.
            reference=self._keys.blind("alert-digest-of", *(alert.id for alert in alerts)),
            path=f"/box/{first.box.hex()}/inbox",
            attempts=max(alert.attempts for alert in alerts),
            expires_at_ms=min(alert.expires_at_ms for alert in alerts),
            more=tuple((alert.id, alert.occasion) for alert in alerts[1:]),
        )

    def _at_present(self, connection: sa.Connection, alert: Alert) -> Alert:
        """With the address that its person has now; someone outside has the one that the sender wrote, operators have
        that of the settings.
        """
        if not alert.is_for_a_mailbox:
            return alert
        _, preferences = self.preferences(connection, MailboxId(alert.box))
        return replace(alert, target=preferences.target(alert.channel))

    def _alert(self, row: sa.Row[Any]) -> Alert:
        fields = self._keys.open_map("alerts", row.id, "sealed", row.sealed)
        reference = fields.fixed("ref", 16)
        return Alert(
            id=row.id,
            channel=row.channel,
            target=fields.text("to", high=2000),
            mailbox_address=fields.text("mb", high=254),
            occasion=fields.text("occasion", high=40),
            letter_class=LetterClass(fields.text("class", high=10)),
            reference=reference,
            attempts=row.attempts,
            expires_at_ms=row.expires_at_ms,
            pickup=None
            if "link" not in fields
            else PickupMail(
                link=Secret(fields.binary("link", high=2000)),
                language=fields.text("lang", high=8),
                until_ms=fields.integer("until"),
            ),
            notice=read_notice(reference, fields) if "lines" in fields else None,
            path=fields.text("path", high=200) if "path" in fields else "",
            box=fields.fixed("box", 16),
        )

    def next_due_ms(self, connection: sa.Connection) -> int | None:
        """When the next waiting alert is due."""
        table = schema.alerts
        due: int | None = connection.execute(
            sa.select(sa.func.min(table.c.next_attempt_at_ms)).where(table.c.state == AlertState.WAITING)
        ).scalar_one()
        return due

    def mark_sent(self, tx: Transaction, items: Sequence[Alert]) -> Sequence[bool]:
        """Batch handler: claim alerts as sent, on record; False for one of which nothing is waiting any more (another
        process has it, or its letter is gone).
        """
        return [any([self._mark_sent(tx, row) for row in alert.ids]) for alert in items]

    def _mark_sent(self, tx: Transaction, row: bytes) -> bool:
        table = schema.alerts
        claimed = tx.connection.execute(
            table.update()
            .where(table.c.id == row, table.c.state == AlertState.WAITING)
            .values(state=int(AlertState.SENT))
        )
        if claimed.rowcount != 1:
            return False
        alert = tx.connection.execute(sa.select(table).where(table.c.id == row)).one()
        fields = self._keys.open_map("alerts", row, "sealed", alert.sealed)
        if alert.tag is not None:
            details = Details(
                node=self._keys.node_id,
                peer=NodeId(fields.fixed("peer", 32)),
                letter=LetterId(fields.fixed("lid", 16)),
                mailbox=MailboxId(fields.fixed("box", 16)),
                code=f"{alert.channel}, {fields.text('occasion', high=40)}",
            )
            tx.log.append(EventKind.ALERTED, details, tag=LeafTag(alert.tag))
        if "link" in fields:
            self._end_pickup(tx, row, alert.sealed, sent=True)
        return True

    def mark_failed(self, tx: Transaction, items: Sequence[tuple[Alert, int | None]]) -> Sequence[None]:
        """Batch handler: try again at the given time, or after the quiet hours it is in; or give up (None)."""
        table = schema.alerts
        for alert, again_at_ms in items:
            state = AlertState.FAILED if again_at_ms is None else AlertState.WAITING
            if again_at_ms is not None:
                again_at_ms = self._after_quiet_ms(tx.connection, alert, again_at_ms)
            tx.connection.execute(
                table.update()
                .where(table.c.id.in_(alert.ids), table.c.state == AlertState.WAITING)
                .values(state=int(state), attempts=alert.attempts + 1, next_attempt_at_ms=again_at_ms or 0)
            )
            if alert.pickup is not None and again_at_ms is None:
                self._give_pickup_up(tx, alert.id)
        return [None] * len(items)

    def _give_pickup_up(self, tx: Transaction, row: bytes) -> None:
        """The e-mail cannot be sent: its sender is told."""
        table = schema.alerts
        found = tx.connection.execute(sa.select(table.c.sealed, table.c.tag).where(table.c.id == row)).one_or_none()
        if found is None:
            return  # the letter was erased meanwhile
        fields = self._keys.open_map("alerts", row, "sealed", found.sealed)
        if "link" not in fields:
            return
        self._end_pickup(tx, row, found.sealed, sent=False)
        occasion = Occasion(
            MailboxId(fields.fixed("sender", 16)),
            "pickup_unsent",
            row,
            LetterClass(fields.text("class", high=10)),
            letter=LetterId(fields.fixed("lid", 16)),
            peer=NodeId(fields.fixed("peer", 32)),
            tag=LeafTag(found.tag),
        )
        self.queue(tx, [occasion])

    def _after_quiet_ms(self, connection: sa.Connection, alert: Alert, at_ms: int) -> int:
        if not alert.is_for_a_mailbox:
            return at_ms  # nobody outside has quiet hours here, and operators want none
        _, preferences = self.preferences(connection, MailboxId(alert.box))
        return preferences.after_quiet_ms(at_ms, alert.letter_class, self.zone)

    def prune(self, tx: Transaction, items: Sequence[int]) -> Sequence[None]:
        """Batch handler: forget finished alerts that expired before the given time."""
        table = schema.alerts
        for before_ms in items:
            tx.connection.execute(
                table.delete().where(table.c.expires_at_ms < before_ms, table.c.state != AlertState.WAITING)
            )
        return [None] * len(items)
