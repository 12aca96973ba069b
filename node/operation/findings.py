"""What in a look at a node an operator should hear of. Spec: spec/operation.md, 4."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from node.config.sections import LimitSettings
from node.config.telling import OperatorAlarmSettings
from node.expiry import DAY_MS, WARNED_DAYS, days_left
from node.operation.facts import Facts
from node.vault.states import OutboxState

__all__ = [
    "CLOCK_BEHIND_MS",
    "AlarmCode",
    "Finding",
    "Surroundings",
    "calm_ms",
    "expiry_level",
    "find",
]

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS
# A node that renews by itself does so on the 60th day: what is not done on the 59th does not work.
_RENEWAL_DAYS: Final = (59, 30, 7)
CLOCK_BEHIND_MS: Final = 60_000
"""So far behind the log's newest head a clock is wrong, whatever the network does."""
_CLOCK_OFF_MS: Final = 10 * _MINUTE_MS
_DISK_CALM_PERCENT: Final = 2
_ALERTS_OVERDUE_MS: Final = _HOUR_MS
# So long what comes and goes must be away before it counts as gone.
_CALM_MS: Final = 10 * _MINUTE_MS


class AlarmCode(StrEnum):
    """The codes of operator's alarms."""

    LETTERS_STUCK = "letters_stuck"
    KEYS_EXPIRING = "keys_expiring"
    CERTIFICATE_EXPIRING = "certificate_expiring"
    ENDORSEMENT_EXPIRING = "endorsement_expiring"
    FAILED_LOG_INS = "failed_log_ins"
    DISK = "disk"
    CLOCK = "clock"
    BACKUP_OLD = "backup_old"
    FORK_SEEN = "fork_seen"
    PEER_UNREACHABLE = "peer_unreachable"
    COSIGNATURES_MISSING = "cosignatures_missing"
    ALERTS_STUCK = "alerts_stuck"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """about: a node's id, a word, or empty. name: what people call it. level: from 1. patience_ms: so long it must be
    there without a break before it is raised. is_repeated: whether people are reminded of it. figures: for its text.
    """

    code: AlarmCode
    about: bytes = b""
    name: str = ""
    level: int = 1
    patience_ms: int = 0
    is_repeated: bool = True
    figures: dict[str, int] = field(default_factory=dict)


def calm_ms(code: AlarmCode) -> int:
    """How long a finding must be away before its alarm is cleared."""
    return _CALM_MS if code is AlarmCode.PEER_UNREACHABLE else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a look found outside the database. clock_offset_ms: None where too few peers are linked to tell.

    failed_log_ins: within the last hour. keys_renew: whether the node renews its keys by itself.
    """

    percent_used: float
    clock_offset_ms: int | None
    failed_log_ins: int
    keys_renew: bool


def find(
    facts: Facts,
    around: Surroundings,
    *,
    limits: LimitSettings,
    settings: OperatorAlarmSettings,
    open_codes: Collection[str],
) -> list[Finding]:
    """All findings. open_codes: of the alarms that are open: their thresholds lie lower, so that none flutters."""
    return [
        *_letters(facts, settings),
        *_endings(facts, around),
        *_log_ins(around, settings, open_codes),
        *_disk(around, limits, open_codes),
        *_clock(facts, around, open_codes),
        *_backup(facts, settings),
        *_forks(facts),
        *_peers(facts, settings),
        *_cosignatures(facts),
        *_alerts(facts),
    ]


def _letters(facts: Facts, settings: OperatorAlarmSettings) -> Iterator[Finding]:
    aside = facts.outbox.of_state(OutboxState.SET_ASIDE)
    late = {
        word: since_ms
        for word, since_ms in facts.outbox.oldest_ms.items()
        if facts.at_ms - since_ms >= settings.stuck_minutes_of(word) * _MINUTE_MS
    }
    if aside or late:
        hours = (facts.at_ms - min(late.values(), default=facts.at_ms)) // _HOUR_MS
        waiting = facts.outbox.of_state(OutboxState.WAITING)
        yield Finding(code=AlarmCode.LETTERS_STUCK, figures={"waiting": waiting, "aside": aside, "hours": hours})


def expiry_level(left: int, steps: tuple[int, ...] = WARNED_DAYS) -> int:
    """0 far from the end, then 1 more at each step; beyond the last once it is over. left: whole days, -1 is over."""
    return sum(left < step for step in steps) + (left < 0)


def _endings(facts: Facts, around: Surroundings) -> Iterator[Finding]:
    ends = (
        (AlarmCode.KEYS_EXPIRING, facts.endings.keys_ms, _RENEWAL_DAYS if around.keys_renew else WARNED_DAYS),
        (AlarmCode.CERTIFICATE_EXPIRING, facts.endings.certificate_ms, WARNED_DAYS),
        (AlarmCode.ENDORSEMENT_EXPIRING, facts.endings.endorsement_ms, WARNED_DAYS),
    )
    for code, end_ms, steps in ends:
        if end_ms is not None:
            days = days_left(end_ms, facts.at_ms)
            level = expiry_level(days, steps)
            if level:
                # The next step is the reminder of the one before; daily ones for two months would only dull.
                is_repeated = level >= len(steps)
                yield Finding(code=code, level=level, is_repeated=is_repeated, figures={"days": days})


def _log_ins(around: Surroundings, settings: OperatorAlarmSettings, open_codes: Collection[str]) -> Iterator[Finding]:
    least = settings.failed_log_ins
    if AlarmCode.FAILED_LOG_INS in open_codes:
        least = (least + 1) // 2
    if least and around.failed_log_ins >= least:
        yield Finding(code=AlarmCode.FAILED_LOG_INS, figures={"count": around.failed_log_ins})


def _disk(around: Surroundings, limits: LimitSettings, open_codes: Collection[str]) -> Iterator[Finding]:
    calm = _DISK_CALM_PERCENT if AlarmCode.DISK in open_codes else 0
    level = 0
    if around.percent_used >= limits.disk_bulk_percent - calm:
        level = 1
    if around.percent_used >= limits.disk_all_percent:
        level = 2
    if level:
        yield Finding(code=AlarmCode.DISK, level=level, figures={"percent": int(around.percent_used)})


def _clock(facts: Facts, around: Surroundings, open_codes: Collection[str]) -> Iterator[Finding]:
    half = 2 if AlarmCode.CLOCK in open_codes else 1
    behind_ms = facts.log.signed_at_ms - facts.at_ms
    offset_ms = around.clock_offset_ms or 0
    if behind_ms >= CLOCK_BEHIND_MS // half or abs(offset_ms) >= _CLOCK_OFF_MS // half:
        yield Finding(code=AlarmCode.CLOCK, figures={"seconds": max(behind_ms, offset_ms, -offset_ms) // 1000})


def _backup(facts: Facts, settings: OperatorAlarmSettings) -> Iterator[Finding]:
    since_ms = facts.backup_at_ms if facts.backup_at_ms is not None else facts.log.begun_at_ms
    days = (facts.at_ms - since_ms) // DAY_MS
    if settings.backup_days and since_ms and days >= settings.backup_days:
        yield Finding(code=AlarmCode.BACKUP_OLD, figures={"days": days, "never": int(facts.backup_at_ms is None)})


def _forks(facts: Facts) -> Iterator[Finding]:
    names = {peer.node_id: peer.institution for peer in facts.peers}
    for node in facts.forks:
        yield Finding(code=AlarmCode.FORK_SEEN, about=bytes(node), name=names.get(node, f"{node.text[:12]}…"))


def _peers(facts: Facts, settings: OperatorAlarmSettings) -> Iterator[Finding]:
    for peer in facts.peers:
        if settings.peer_hours and peer.failures:
            yield Finding(
                code=AlarmCode.PEER_UNREACHABLE,
                about=bytes(peer.node_id),
                name=peer.institution,
                patience_ms=settings.peer_hours * _HOUR_MS,
                figures={"hours": settings.peer_hours},
            )


def _cosignatures(facts: Facts) -> Iterator[Finding]:
    own, peers = facts.cosignatures.overdue_own, facts.cosignatures.overdue_peers
    if own or peers:
        yield Finding(code=AlarmCode.COSIGNATURES_MISSING, figures={"own": own, "peers": peers})


def _alerts(facts: Facts) -> Iterator[Finding]:
    for channel, since_ms in facts.alerts.overdue_since_ms.items():
        overdue_ms = facts.at_ms - since_ms
        if overdue_ms >= _ALERTS_OVERDUE_MS:
            figures = {"hours": overdue_ms // _HOUR_MS, "waiting": facts.alerts.counts.get((channel, "waiting"), 0)}
            yield Finding(code=AlarmCode.ALERTS_STUCK, about=channel.encode(), name=channel, figures=figures)
