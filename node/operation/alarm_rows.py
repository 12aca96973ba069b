"""Operator's alarms in the database: raised once, repeated, cleared, acknowledged. Spec: spec/operation.md, 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import sqlalchemy as sa

from node.errors import ConfigError, NotFoundError, StateError
from node.operation.alarm_texts import alarm_text
from node.operation.findings import AlarmCode, Finding, calm_ms
from node.vault import schema
from node.vault.alarm_notices import AlarmLine, AlarmNotice
from node.vault.alert_queue import AlertQueue
from node.vault.database import Transaction
from node.vault.log_codes import MAX_CODE_BYTES
from node.vault.sealing import RowKeys
from protocol.details import Details
from protocol.ids import NodeId, StaffId
from protocol.logleaf import EventKind

__all__ = ["MAX_REASON_BYTES", "Acknowledgement", "Look", "OperatorAlarm", "OperatorAlarms"]

_TABLE: Final = schema.operator_alarms
MAX_REASON_BYTES: Final = MAX_CODE_BYTES - max(len(code) for code in AlarmCode) - 2
_NODE_ID_BYTES: Final = 32
_LANGUAGES: Final = ("fr", "en")
# Built once: asked with each look.
_OPEN_BY_CODE: Final = (
    sa.select(_TABLE.c.code, sa.func.count())
    .where(_TABLE.c.raised_at_ms > 0, _TABLE.c.cleared_at_ms == 0)
    .group_by(_TABLE.c.code)
)
_NOT_CLEARED: Final = sa.select(_TABLE).where(_TABLE.c.cleared_at_ms == 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAlarm:
    """One alarm. since_ms: when it was first found; raised_at_ms: 0 while it is only watched. told_at_ms: of the last
    notice. away_since_ms: not found any more since then, 0 if it is. acknowledged_level: 0 if it is not.
    cleared_at_ms: 0 while it is open. texts: by language, as of the last notice.
    """

    id: bytes
    code: AlarmCode
    about: bytes
    level: int
    since_ms: int
    raised_at_ms: int
    told_at_ms: int
    away_since_ms: int
    acknowledged_level: int
    acknowledged_at_ms: int
    cleared_at_ms: int
    texts: dict[str, str]
    reason: str

    @property
    def is_open(self) -> bool:
        """Raised, and not cleared."""
        return bool(self.raised_at_ms) and not self.cleared_at_ms

    @property
    def is_acknowledged(self) -> bool:
        """Whether somebody knows of it as it is."""
        return self.acknowledged_level >= self.level

    @property
    def node_id(self) -> NodeId | None:
        """The node that it is about, if it is about one."""
        return NodeId(self.about) if len(self.about) == _NODE_ID_BYTES else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look found, and whom to tell. repeat_ms: 0 for no reminders."""

    findings: tuple[Finding, ...]
    emails: tuple[str, ...] = ()
    webhook: str = ""
    repeat_ms: int = 0


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Somebody knows of an alarm, and why it need not be told again. staff: whose account; None at the terminal."""

    alarm: bytes
    reason: str
    staff: StaffId | None = None


@dataclass(slots=True)
class _Plan:
    """What a look changes."""

    put: list[OperatorAlarm] = field(default_factory=list)
    drop: list[bytes] = field(default_factory=list)
    lines: list[AlarmLine] = field(default_factory=list)
    leaves: list[tuple[EventKind, OperatorAlarm]] = field(default_factory=list)

    def tell(self, what: str, alarm: OperatorAlarm) -> None:
        self.lines.append(
            AlarmLine(
                what=what,
                code=alarm.code.value,
                level=alarm.level,
                about="" if alarm.node_id is None else alarm.node_id.text,
                since_ms=alarm.since_ms,
                texts=alarm.texts,
            )
        )


class OperatorAlarms:
    """The operator_alarms table. alerts: the queue that notices leave by."""

    def __init__(self, keys: RowKeys, alerts: AlertQueue) -> None:
        self._keys = keys
        self._alerts = alerts

    # -- reading

    def all(self, connection: sa.Connection) -> list[OperatorAlarm]:
        """Every alarm that was ever raised: open ones first, newest first."""
        order = (_TABLE.c.cleared_at_ms > 0, _TABLE.c.raised_at_ms.desc())
        return [
            self._alarm(row)
            for row in connection.execute(sa.select(_TABLE).where(_TABLE.c.raised_at_ms > 0).order_by(*order))
        ]

    def find(self, connection: sa.Connection, text: str) -> OperatorAlarm:
        """An alarm by the beginning of its id, or by its code if it is the only open one. NotFoundError."""
        wanted = text.strip().lower()
        known = self.all(connection)
        found = [alarm for alarm in known if wanted and alarm.id.hex().startswith(wanted)]
        found = found or [alarm for alarm in known if alarm.code == wanted and alarm.is_open]
        if len(found) != 1:
            word = "no alarm is" if not found else "several alarms are"
            raise NotFoundError(f"{word} {text!r}", hint="see: coffre alarms")
        return found[0]

    def open_by_code(self, connection: sa.Connection) -> dict[str, int]:
        """How many are open, for each code there is."""
        counts = {row.code: int(row[1]) for row in connection.execute(_OPEN_BY_CODE)}
        return {code.value: counts.get(code.value, 0) for code in AlarmCode}

    def _known(self, connection: sa.Connection) -> dict[bytes, OperatorAlarm]:
        return {row.id: self._alarm(row) for row in connection.execute(_NOT_CLEARED)}

    def _alarm(self, row: sa.Row[Any]) -> OperatorAlarm:
        fields = self._keys.open_map("operator_alarms", row.id, "sealed", row.sealed)
        return OperatorAlarm(
            id=row.id,
            code=AlarmCode(row.code),
            about=row.about,
            level=row.level,
            since_ms=row.since_ms,
            raised_at_ms=row.raised_at_ms,
            told_at_ms=row.told_at_ms,
            away_since_ms=row.away_since_ms,
            acknowledged_level=row.acknowledged_level,
            acknowledged_at_ms=row.acknowledged_at_ms,
            cleared_at_ms=row.cleared_at_ms,
            texts={name: fields.text(name, high=2000) for name in _LANGUAGES},
            reason=fields.text("reason", high=MAX_REASON_BYTES),
        )

    # -- looking

    def changes(self, connection: sa.Connection, look: Look, now_ms: int) -> bool:
        """Whether writing this look would change anything: most look at what is as it was."""
        plan = self._plan(connection, look, now_ms)
        return bool(plan.put or plan.drop)

    def write(self, tx: Transaction, items: Sequence[Look]) -> Sequence[int]:
        """Batch handler: raise, remind, clear; on record, and notices queued. How many lines there are to tell."""
        told = []
        for look in items:
            plan = self._plan(tx.connection, look, tx.now_ms)
            for alarm in plan.put:
                self._put(tx, alarm)
            if plan.drop:
                tx.connection.execute(_TABLE.delete().where(_TABLE.c.id.in_(plan.drop)))
            for kind, alarm in plan.leaves:
                details = Details(node=self._keys.node_id, peer=alarm.node_id, code=f"{alarm.code.value} {alarm.level}")
                tx.log.append(kind, details)
            self._queue(tx, look, plan.lines)
            told.append(len(plan.lines))
        return told

    def test(self, tx: Transaction, items: Sequence[Look]) -> Sequence[int]:
        """Batch handler: a notice that says that it is a test, on every way; on how many there are."""
        counts = []
        for look in items:
            texts = {"fr": "Message d'essai : rien à faire", "en": "A test message: there is nothing to do"}
            line = AlarmLine(what="test", code="test", level=0, about="", since_ms=tx.now_ms, texts=texts)
            counts.append(self._queue(tx, look, [line]))
        return counts

    def _queue(self, tx: Transaction, look: Look, lines: Sequence[AlarmLine]) -> int:
        ways = [*(("email", email) for email in look.emails), *((("webhook", look.webhook),) if look.webhook else ())]
        if lines:
            reference = tx.world.random_bytes(16)
            for channel, target in ways:
                self._alerts.queue_notice(tx, channel, target, AlarmNotice(reference=reference, lines=tuple(lines)))
        return len(ways)

    def _plan(self, connection: sa.Connection, look: Look, now_ms: int) -> _Plan:
        plan, known = _Plan(), self._known(connection)
        found = {self._keys.blind("operator-alarm", item.code.encode(), item.about): item for item in look.findings}
        for row, finding in found.items():
            self._found(plan, row, finding, known.get(row), look.repeat_ms, now_ms)
        for row, alarm in known.items():
            if row not in found:
                _away(plan, alarm, now_ms)
        return plan

    def _found(
        self,
        plan: _Plan,
        row: bytes,
        finding: Finding,
        before: OperatorAlarm | None,
        repeat_ms: int,
        now_ms: int,
    ) -> None:
        alarm = before or _first_seen(row, finding, now_ms)
        # A time to come is from a clock that was set back since.
        since_ms = min(alarm.since_ms, now_ms)
        texts = {name: alarm_text(finding, name) for name in _LANGUAGES}
        seen = replace(alarm, since_ms=since_ms, away_since_ms=0, level=finding.level)
        told = replace(seen, texts=texts, told_at_ms=now_ms)
        if not alarm.raised_at_ms and now_ms - since_ms < finding.patience_ms:
            if before is None or seen != before:
                plan.put.append(seen)
        elif not alarm.raised_at_ms or finding.level > alarm.level:
            told = replace(told, raised_at_ms=now_ms)
            plan.put.append(told)
            plan.leaves.append((EventKind.ALARM_RAISED, told))
            plan.tell("raised", told)
        elif (
            repeat_ms
            and finding.is_repeated
            and not seen.is_acknowledged
            and now_ms - min(alarm.told_at_ms, now_ms) >= repeat_ms
        ):
            plan.put.append(told)
            plan.tell("reminder", told)
        elif seen != alarm:
            plan.put.append(replace(seen, texts=texts))

    def _put(self, tx: Transaction, alarm: OperatorAlarm) -> None:
        values = {
            "code": alarm.code.value,
            "about": alarm.about,
            "level": alarm.level,
            "since_ms": alarm.since_ms,
            "raised_at_ms": alarm.raised_at_ms,
            "told_at_ms": alarm.told_at_ms,
            "away_since_ms": alarm.away_since_ms,
            "acknowledged_level": alarm.acknowledged_level,
            "acknowledged_at_ms": alarm.acknowledged_at_ms,
            "cleared_at_ms": alarm.cleared_at_ms,
            "sealed": self._keys.seal_map(
                "operator_alarms", alarm.id, "sealed", {**alarm.texts, "reason": alarm.reason}
            ),
        }
        if not tx.connection.execute(_TABLE.update().where(_TABLE.c.id == alarm.id).values(**values)).rowcount:
            tx.connection.execute(_TABLE.insert().values(id=alarm.id, **values))

    # -- people

    def acknowledge(self, tx: Transaction, items: Sequence[Acknowledgement]) -> Sequence[Exception | None]:
        """Batch handler: somebody knows; no more reminders at this level. On record.

        ConfigError for a reason that cannot be kept, StateError for an alarm that is not open.
        """
        return [self._acknowledge(tx, item) for item in items]

    def _acknowledge(self, tx: Transaction, item: Acknowledgement) -> Exception | None:
        reason = item.reason.strip()
        if not 0 < len(reason.encode()) <= MAX_REASON_BYTES or not reason.isprintable():
            return ConfigError(f"a reason is one line of 1 to {MAX_REASON_BYTES} bytes", hint="give --reason TEXT")
        alarm = self._known(tx.connection).get(item.alarm)
        if alarm is None or not alarm.is_open:
            return StateError(f"alarm {item.alarm.hex()[:12]} is not open")
        self._put(
            tx,
            replace(alarm, acknowledged_level=alarm.level, acknowledged_at_ms=max(tx.now_ms, 1), reason=reason),
        )
        code = f"{alarm.code.value}: {reason}"
        details = Details(node=self._keys.node_id, peer=alarm.node_id, staff=item.staff, code=code)
        tx.log.append(EventKind.ALARM_ACKNOWLEDGED, details)
        return None


def _first_seen(row: bytes, finding: Finding, now_ms: int) -> OperatorAlarm:
    return OperatorAlarm(
        id=row,
        code=finding.code,
        about=finding.about,
        level=finding.level,
        since_ms=now_ms,
        raised_at_ms=0,
        told_at_ms=0,
        away_since_ms=0,
        acknowledged_level=0,
        acknowledged_at_ms=0,
        cleared_at_ms=0,
        texts=dict.fromkeys(_LANGUAGES, ""),
        reason="",
    )


def _away(plan: _Plan, alarm: OperatorAlarm, now_ms: int) -> None:
    """A finding that was there is not: its alarm is cleared, or what was only watched forgotten, after a while."""
    away_ms = now_ms - min(alarm.away_since_ms or now_ms, now_ms)
    if away_ms < calm_ms(alarm.code):
        if not alarm.away_since_ms:
            plan.put.append(replace(alarm, away_since_ms=max(now_ms, 1)))
    elif not alarm.raised_at_ms:
        plan.drop.append(alarm.id)
    else:
        cleared = replace(alarm, cleared_at_ms=max(now_ms, 1))
        plan.put.append(cleared)
        plan.leaves.append((EventKind.ALARM_CLEARED, cleared))
        plan.tell("cleared", cleared)
