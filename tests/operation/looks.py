"""Facts of a healthy node to bend, and the node of a harness with settings of [operation]."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from node.config.telling import OperationSettings, OperatorAlarmSettings
from node.operation.facts import (
    AlertFacts,
    CosignatureFacts,
    Endings,
    Facts,
    LogFacts,
    OutboxFacts,
)
from node.operation.findings import AlarmCode, Finding, Surroundings
from node.operation.watch import AlarmWatch
from tests.post.harness import Institution

__all__ = ["DAY_MS", "HEALTHY", "HOUR_MS", "NOW_MS", "QUIET", "facts", "finding", "look", "use_operation"]

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NOW_MS = 1_790_000_000_000
HEALTHY = Facts(
    at_ms=NOW_MS,
    outbox=OutboxFacts(counts={}, oldest_ms={}),
    peers=(),
    alerts=AlertFacts(counts={}, overdue_since_ms={}),
    log=LogFacts(epoch=0, size=10, signed_at_ms=NOW_MS - 1000, begun_at_ms=NOW_MS - DAY_MS),
    cosignatures=CosignatureFacts(wanted=2, held=2, overdue_own=0, overdue_peers=0),
    endings=Endings(keys_ms=NOW_MS + 300 * DAY_MS, certificate_ms=None, endorsement_ms=None),
    forks=(),
    backup_at_ms=NOW_MS - DAY_MS,
)
QUIET = Surroundings(percent_used=10.0, clock_offset_ms=None, failed_log_ins=0, keys_renew=True)


def facts(**changed: Any) -> Facts:
    """A healthy node's, but for these."""
    return replace(HEALTHY, **changed)


def finding(code: AlarmCode = AlarmCode.DISK, **fields: Any) -> Finding:
    """A finding with the figures that its text wants."""
    figures = {name: 3 for name in ("percent", "days", "hours", "waiting", "aside", "count", "seconds", "own", "peers")}
    return Finding(code=code, **{"figures": {**figures, "never": 0}, **fields})


def use_operation(institution: Institution, **alarms: Any) -> None:
    """Settings of [operation.alarms] of a node that does not run yet."""
    operation = OperationSettings(alarms=OperatorAlarmSettings(**alarms))
    institution.node.settings = institution.node.settings.model_copy(update={"operation": operation})


async def look(institution: Institution) -> int:
    """One look of a node that need not run; how many lines there were to tell."""
    return await AlarmWatch(institution.node, lambda: None).look()
