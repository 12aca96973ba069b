"""Looks at the node every five minutes, and has operators told. Spec: spec/operation.md, 4."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
import structlog
import trio

from node.operation.alarm_rows import Look
from node.operation.event_counts import count_since
from node.operation.facts import gather
from node.operation.findings import AlarmCode, Surroundings, find
from protocol.logleaf import EventKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.app import Node
    from node.config.telling import OperatorAlarmSettings

__all__ = ["AlarmWatch", "empty_look", "look_at"]

# What it looks for comes in hours and days; a look costs some fifteen queries, in one reading.
_EVERY_S: Final = 300
_HOUR_MS: Final = 3_600_000
_FAILED_LOG_INS: Final = (EventKind.LOGIN_FAILED, EventKind.STAFF_LOGIN_FAILED)

_logger = structlog.get_logger(__name__)


def empty_look(settings: OperatorAlarmSettings) -> Look:
    """Whom to tell, and of nothing."""
    return Look(
        findings=(),
        emails=settings.email,
        webhook=settings.webhook,
        repeat_ms=settings.repeat_hours * _HOUR_MS,
    )


def look_at(connection: sa.Connection, node: Node, clock_offset_ms: int | None = None) -> Look:
    """One look. clock_offset_ms: as PostOffice tells it, None where no node runs."""
    settings = node.settings.operation.alarms
    facts = gather(connection, node)
    failed = count_since(connection, _FAILED_LOG_INS, facts.at_ms - _HOUR_MS) if settings.failed_log_ins else 0
    around = Surroundings(
        percent_used=node.disk.percent_used(),
        clock_offset_ms=clock_offset_ms,
        failed_log_ins=failed,
        keys_renew=node.settings.keys.renew,
    )
    open_codes = frozenset(
        AlarmCode(code) for code, count in node.operator_alarms.open_by_code(connection).items() if count
    )
    found = find(facts, around, limits=node.settings.limits, settings=settings, open_codes=open_codes)
    return replace(empty_look(settings), findings=tuple(found))


class AlarmWatch:
    """The duty of a running node. clock_offset_ms: asked at each look."""

    def __init__(self, node: Node, clock_offset_ms: Callable[[], int | None]) -> None:
        self._node = node
        self._clock_offset_ms = clock_offset_ms

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await trio.sleep(_EVERY_S)

    async def look(self) -> int:
        """One look and what follows; how many lines there were to tell."""
        node = self._node
        look = await node.database.read(self._changes, self._clock_offset_ms())
        if look is None:
            return 0
        told = await node.database.write(node.operator_alarms.write, look)
        if told:
            codes = sorted({finding.code.value for finding in look.findings})
            _logger.warning("operator's alarms changed", count=told, alarm=",".join(codes) or "none")
        return told

    def _changes(self, connection: sa.Connection, clock_offset_ms: int | None) -> Look | None:
        """A look; None where writing it would change nothing."""
        look = look_at(connection, self._node, clock_offset_ms)
        changes = self._node.operator_alarms.changes(connection, look, self._node.world.now_ms())
        return look if changes else None
