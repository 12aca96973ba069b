"""Which published monthly totals count, and which are doubtful. Spec: spec/statistics.md, 4."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from protocol.entry import Totals, ended_ms, totals_subject
from protocol.errors import RemoteProtocolError
from protocol.feed import Operation

__all__ = ["Doubt", "Fault", "doubt_of", "fault_of", "read_totals"]

_DAY_MS: Final = 86_400_000
_MOST_LETTERS: Final = 10_000
"""In a month, of one person: one in four minutes, day and night."""
_MOST_DELIVERIES: Final = 100_000


class Fault(StrEnum):
    """Why totals count for nothing."""

    UNREADABLE = "unreadable"
    OTHER_SUBJECT = "other_subject"
    TOO_EARLY = "too_early"
    AHEAD = "ahead"
    BACKDATED = "backdated"
    NOT_HELD = "not_held"


class Doubt(StrEnum):
    """Why totals are left out of sums."""

    MORE_PEOPLE_THAN_MAILBOXES = "more_people_than_mailboxes"
    NOBODY_ACTIVE = "nobody_active"
    TOO_MANY = "too_many"
    CONTRADICTED = "contradicted"


def read_totals(operation: Operation, *, newest_at_ms: int) -> Totals | Fault:
    """The totals of an operation of kind 5, as far as the feed alone says whether they count.

    newest_at_ms: the latest time of totals that stand before it in the feed.
    """
    if operation.entry is None:
        return Fault.NOT_HELD
    try:
        totals = Totals.decode(operation.entry)
    except RemoteProtocolError:
        return Fault.UNREADABLE
    if totals_subject(totals.month) != operation.leaf.subject:
        return Fault.OTHER_SUBJECT
    if totals.at_ms < ended_ms(totals.month):
        return Fault.TOO_EARLY
    return Fault.BACKDATED if totals.at_ms < newest_at_ms else totals


def fault_of(totals: Totals, *, now_ms: int, began_ms: int) -> Fault | None:
    """What a clock and the institution's statements say against totals. began_ms: when the first was made."""
    if totals.at_ms > now_ms + _DAY_MS:
        return Fault.AHEAD
    return Fault.BACKDATED if ended_ms(totals.month) < began_ms - _DAY_MS else None


def doubt_of(totals: Totals, *, mailboxes: int, seen: int = 0, sent_before: int = 0) -> Doubt | None:
    """What speaks against believing totals. mailboxes: that the feed ever had.

    seen: envelopes that the reader itself got of this institution in that month; sent_before: what it published as sent
    in the month before, of which some came in this one.
    """
    people = totals.counts.get("people", 0)
    letters, sent = totals.counts.get("letters", 0), totals.counts.get("sent", 0)
    deliveries = max(sent, totals.counts.get("received", 0), totals.counts.get("opened", 0))
    if people > mailboxes:
        return Doubt.MORE_PEOPLE_THAN_MAILBOXES
    if letters and not people and "people" not in totals.few:
        return Doubt.NOBODY_ACTIVE
    most = max(people, totals.threshold if "people" in totals.few else 0, 1)
    if letters > _MOST_LETTERS * most or deliveries > _MOST_DELIVERIES * most:
        return Doubt.TOO_MANY
    if "sent" not in totals.few and seen > sent + sent_before + totals.threshold:
        return Doubt.CONTRADICTED
    return None
