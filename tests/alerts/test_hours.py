"""Times of the day, over nights that are an hour longer or shorter. Spec: spec/alerts.md, 1 and 2."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.alerts.hours import DAY_MINUTES, clock_text, next_time_ms, parse_clock, quiet_until_ms

PARIS = ZoneInfo("Europe/Paris")


def ms(text: str) -> int:
    """Of a time with its offset."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("now", "times", "expected"),
    [
        ("2026-11-28T07:59:59+01:00", ["08:00", "13:00"], "2026-11-28T08:00:00+01:00"),
        ("2026-11-28T08:00:00+01:00", ["08:00", "13:00"], "2026-11-28T13:00:00+01:00"),
        ("2026-11-28T23:59:00+01:00", ["08:00"], "2026-11-29T08:00:00+01:00"),
        # The clock goes forward on 29 March 2026 at 02:00: the day has 23 hours, and 02:30 does not come.
        ("2026-03-28T08:00:00+01:00", ["08:00"], "2026-03-29T08:00:00+02:00"),
        ("2026-03-29T00:00:00+01:00", ["02:30"], "2026-03-29T03:30:00+02:00"),
        # It goes back on 25 October 2026 at 03:00: 02:30 comes twice, and the first is meant.
        ("2026-10-25T00:00:00+02:00", ["02:30"], "2026-10-25T02:30:00+02:00"),
        ("2026-10-25T02:30:00+02:00", ["02:30"], "2026-10-26T02:30:00+01:00"),
    ],
)
def test_a_digest_is_due_at_the_next_of_its_times(now: str, times: list[str], expected: str) -> None:
    assert next_time_ms(ms(now), [parse_clock(text) for text in times], PARIS) == ms(expected)


@pytest.mark.parametrize(
    ("now", "quiet", "expected"),
    [
        ("2026-11-28T19:59:59+01:00", "20:00-07:00", None),
        ("2026-11-28T20:00:00+01:00", "20:00-07:00", "2026-11-29T07:00:00+01:00"),
        ("2026-11-29T06:59:59+01:00", "20:00-07:00", "2026-11-29T07:00:00+01:00"),
        ("2026-11-29T07:00:00+01:00", "20:00-07:00", None),
        ("2026-11-29T12:30:00+01:00", "12:00-14:00", "2026-11-29T14:00:00+01:00"),
        ("2026-03-28T23:00:00+01:00", "20:00-07:00", "2026-03-29T07:00:00+02:00"),
        ("2026-10-25T02:30:00+01:00", "20:00-07:00", "2026-10-25T07:00:00+01:00"),
    ],
)
def test_quiet_hours_end_in_the_morning_whatever_the_night(now: str, quiet: str, expected: str | None) -> None:
    begin, _, end = quiet.partition("-")
    found = quiet_until_ms(ms(now), (parse_clock(begin), parse_clock(end)), PARIS)
    assert found == (None if expected is None else ms(expected))


@given(
    st.integers(0, 2**41),
    st.lists(st.integers(0, DAY_MINUTES - 1), min_size=1, max_size=8),
    st.sampled_from(["Europe/Paris", "America/Martinique", "Pacific/Noumea", "Australia/Lord_Howe", "UTC"]),
)
def test_the_next_time_is_later_and_within_a_day_and_some_hours(now_ms: int, times: list[int], zone: str) -> None:
    found = next_time_ms(now_ms, times, ZoneInfo(zone))
    assert now_ms < found <= now_ms + 26 * 3_600_000


@given(
    st.integers(0, 2**41),
    st.tuples(st.integers(0, DAY_MINUTES - 1), st.integers(0, DAY_MINUTES - 1)).filter(lambda pair: pair[0] != pair[1]),
)
def test_when_quiet_hours_end_it_is_not_quiet(now_ms: int, quiet: tuple[int, int]) -> None:
    until_ms = quiet_until_ms(now_ms, quiet, PARIS)
    assert until_ms is None or (until_ms > now_ms and quiet_until_ms(until_ms, quiet, PARIS) is None)


@pytest.mark.parametrize("text", ["24:00", "8", "08:60", "", "08:00:00", "huit heures"])
def test_what_is_no_time_of_the_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="time of the day"):
        parse_clock(text)


def test_a_time_is_written_as_it_is_read() -> None:
    assert [clock_text(parse_clock(text)) for text in ("8h05", "08:05", "23:59")] == ["08:05", "08:05", "23:59"]
