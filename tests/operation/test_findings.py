"""What of a look becomes a finding, and at which level. Spec: spec/operation.md, 4."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.config.sections import LimitSettings
from node.config.telling import OperatorAlarmSettings
from node.operation.alarm_texts import alarm_text, alarm_title
from node.operation.facts import (
    AlertFacts,
    CosignatureFacts,
    Endings,
    Facts,
    LogFacts,
    OutboxFacts,
    PeerFacts,
)
from node.operation.findings import AlarmCode, Surroundings, expiry_level, find
from protocol.ids import NodeId
from tests.operation.looks import DAY_MS, HEALTHY, HOUR_MS, NOW_MS, QUIET, facts, finding

PEER = PeerFacts(node_id=NodeId(bytes(32)), institution="Clinique du Pont", failures=3, alarmed=False)
MINUTE_MS = 60_000


def levels(
    seen: Facts = HEALTHY,
    around: Surroundings = QUIET,
    *,
    open_codes: frozenset[str] = frozenset(),
    **settings: Any,
) -> dict[str, int]:
    """Code and level of everything found."""
    found = find(
        seen, around, limits=LimitSettings(), settings=OperatorAlarmSettings(**settings), open_codes=open_codes
    )
    for item in found:
        assert "{" not in alarm_text(item, "fr") + alarm_text(item, "en")
    return {item.code.value: item.level for item in found}


def test_a_healthy_node_has_none() -> None:
    assert levels() == {}


@pytest.mark.parametrize(
    ("days", "level"), [(61, 0), (60, 0), (59, 1), (30, 1), (29, 2), (7, 2), (6, 3), (0, 3), (-1, 4), (-100, 4)]
)
def test_what_ends_is_told_at_60_30_and_7_days_and_at_its_end(days: int, level: int) -> None:
    assert expiry_level(days) == level
    end_ms = NOW_MS + days * DAY_MS
    endings = Endings(keys_ms=NOW_MS + 300 * DAY_MS, certificate_ms=end_ms, endorsement_ms=end_ms)
    expected = {"certificate_expiring": level, "endorsement_expiring": level} if level else {}
    assert levels(facts(endings=endings)) == expected


@pytest.mark.parametrize(("renews", "level"), [(True, 0), (False, 1)])
def test_keys_that_renew_by_themselves_have_a_day_to_do_it(renews: bool, level: int) -> None:
    endings = Endings(keys_ms=NOW_MS + 59 * DAY_MS + HOUR_MS, certificate_ms=None, endorsement_ms=None)
    found = levels(facts(endings=endings), replace(QUIET, keys_renew=renews))
    assert found == ({"keys_expiring": level} if level else {})


@pytest.mark.parametrize(
    ("letter_class", "minutes", "stuck"),
    [
        ("urgent", 29, False),
        ("urgent", 30, True),
        ("normal", 719, False),
        ("normal", 720, True),
        ("bulk", 2879, False),
        ("bulk", 2880, True),
    ],
)
def test_letters_are_stuck_by_their_class(letter_class: str, minutes: int, stuck: bool) -> None:
    outbox = OutboxFacts(counts={(letter_class, "waiting"): 4}, oldest_ms={letter_class: NOW_MS - minutes * MINUTE_MS})
    assert levels(facts(outbox=outbox)) == ({"letters_stuck": 1} if stuck else {})


def test_a_letter_set_aside_is_stuck_at_once() -> None:
    assert levels(facts(outbox=OutboxFacts(counts={("normal", "set_aside"): 1}, oldest_ms={}))) == {"letters_stuck": 1}


@pytest.mark.parametrize(
    ("percent", "open_codes", "level"),
    [
        (84.9, (), 0),
        (85.0, (), 1),
        (83.5, ("disk",), 1),
        (82.9, ("disk",), 0),
        (95.0, (), 2),
        (94.0, ("disk",), 1),
    ],
)
def test_the_disk_is_told_of_at_both_marks_and_does_not_flutter(
    percent: float, open_codes: tuple[str, ...], level: int
) -> None:
    found = levels(around=replace(QUIET, percent_used=percent), open_codes=frozenset(open_codes))
    assert found == ({"disk": level} if level else {})


@pytest.mark.parametrize(
    ("count", "least", "open_codes", "found"),
    [
        (19, 20, (), False),
        (20, 20, (), True),
        (10, 20, ("failed_log_ins",), True),
        (9, 20, ("failed_log_ins",), False),
        (500, 0, (), False),
    ],
)
def test_failed_log_ins_within_an_hour(count: int, least: int, open_codes: tuple[str, ...], found: bool) -> None:
    around = replace(QUIET, failed_log_ins=count)
    assert ("failed_log_ins" in levels(around=around, open_codes=frozenset(open_codes), failed_log_ins=least)) is found


@pytest.mark.parametrize(
    ("behind_ms", "offset_ms", "wrong"),
    [(59_999, None, False), (60_000, None, True), (-5, 599_999, False), (-5, -600_000, True), (-5, 600_000, True)],
)
def test_a_clock_behind_the_log_or_off_from_its_peers_is_wrong(
    behind_ms: int, offset_ms: int | None, wrong: bool
) -> None:
    log = LogFacts(epoch=0, size=1, signed_at_ms=NOW_MS + behind_ms, begun_at_ms=NOW_MS - DAY_MS)
    assert ("clock" in levels(facts(log=log), replace(QUIET, clock_offset_ms=offset_ms))) is wrong


def test_backups_are_too_old_after_a_week_also_where_none_was_ever_made() -> None:
    begun = LogFacts(epoch=0, size=1, signed_at_ms=NOW_MS, begun_at_ms=NOW_MS - 7 * DAY_MS)
    assert levels(facts(backup_at_ms=NOW_MS - 7 * DAY_MS)) == {"backup_old": 1}
    assert levels(facts(backup_at_ms=NOW_MS - 7 * DAY_MS + 1)) == {}
    assert levels(facts(backup_at_ms=None, log=begun)) == {"backup_old": 1}
    assert levels(facts(backup_at_ms=None)) == {}, "a node of a day need not have one"
    assert levels(facts(backup_at_ms=None, log=begun), backup_days=0) == {}


def test_forks_cosignatures_and_alerts_that_do_not_leave() -> None:
    missing = CosignatureFacts(wanted=2, held=0, overdue_own=1, overdue_peers=0)
    stuck = AlertFacts(counts={("email", "waiting"): 9}, overdue_since_ms={"email": NOW_MS - HOUR_MS})
    seen = facts(forks=(NodeId(bytes(32)),), cosignatures=missing, alerts=stuck)
    assert levels(seen) == {"fork_seen": 1, "cosignatures_missing": 1, "alerts_stuck": 1}


def test_unreachable_peers_are_one_finding_each_and_wait_for_a_day() -> None:
    other = replace(PEER, node_id=NodeId(b"\1" * 32), failures=0)
    found = find(
        facts(peers=(PEER, other)),
        QUIET,
        limits=LimitSettings(),
        settings=OperatorAlarmSettings(),
        open_codes=frozenset(),
    )
    assert [(item.code, item.about, item.patience_ms) for item in found] == [
        (AlarmCode.PEER_UNREACHABLE, bytes(32), DAY_MS)
    ]
    assert levels(facts(peers=(PEER,)), peer_hours=0) == {}


def test_every_code_has_words_in_both_languages_and_stands_in_the_specification() -> None:
    text = Path("spec/operation.md").read_text("utf-8")
    for code in AlarmCode:
        assert f"| `{code.value}` |" in text
        assert alarm_title(code, "fr") != alarm_title(code, "en")
        assert alarm_text(finding(code, name="X"), "fr").startswith(alarm_title(code, "fr"))
