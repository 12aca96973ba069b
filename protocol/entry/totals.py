"""The numbers of an ended month that an institution publishes in its feed. Spec: spec/statistics.md, 4."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Self

from protocol.codec import FieldReader, Value, decode_map
from protocol.crypto import hash_labelled
from protocol.entry.fields import MAX_ENTRY_BYTES, check_pattern, encode_entry, malformed, optional_items, required
from protocol.labels import Label

__all__ = ["COUNTS", "MIN_THRESHOLD", "Seconds", "Totals", "ended_ms", "totals_subject"]

COUNTS: Final = ("letters", "sent", "received", "opened", "refused", "expired", "people", "institutions")
"""What is counted, in the order in which `few` names them."""
MIN_THRESHOLD: Final = 5
_MAX_THRESHOLD: Final = 1000
_MAX_COUNT: Final = 10**9
_MONTH: Final = re.compile(r"2(?:0[2-9]|1[0-9])[0-9]-(?:0[1-9]|1[0-2])")
_MONTH_BYTES: Final = 7
_MAX_TIME_MS: Final = 2**62
_AHEAD_OF_UTC_MS: Final = 14 * 3_600_000


def totals_subject(month: str) -> bytes:
    """The subject of a month's totals, 16 bytes. month: `YYYY-MM`."""
    return hash_labelled(Label.TOTALS, month.encode())[:16]


def ended_ms(month: str) -> int:
    """When a month has ended where clocks are furthest ahead of UTC, milliseconds UTC. month: `YYYY-MM`."""
    year, number = divmod(int(month[:4]) * 12 + int(month[5:]), 12)
    return int(datetime(year, number + 1, 1, tzinfo=UTC).timestamp() * 1000) - _AHEAD_OF_UTC_MS


@dataclass(frozen=True, slots=True)
class Seconds:
    """How long something took: the median and the 90th percentile, in whole seconds."""

    median: int
    p90: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """One month. Source: spec/statistics.md, 4.

    month: `YYYY-MM`. at_ms: when it was made, milliseconds UTC. threshold: counts below it are only named, in `few`.
    counts: by name (COUNTS); one that is absent is zero, or in `few`. extra: fields of later versions, kept.
    """

    month: str
    at_ms: int
    threshold: int
    counts: dict[str, int] = field(default_factory=dict)
    few: tuple[str, ...] = ()
    delivery: Seconds | None = None
    opening: Seconds | None = None
    extra: dict[str, Value] = field(default_factory=dict)

    @property
    def says_nothing(self) -> bool:
        """Whether the month was withdrawn, or nothing happened in it."""
        return not self.counts and not self.few

    def count(self, name: str) -> int | None:
        """A count; None where it is only said to be small."""
        return None if name in self.few else self.counts.get(name, 0)

    def encode(self) -> bytes:
        """The bytes to publish. LocalProtocolError if they would not decode to these totals."""
        fields: dict[str, Value] = {
            "v": 1,
            "month": self.month,
            "at": self.at_ms,
            "k": self.threshold,
            **self.counts,
            "few": list(self.few),
            "delivery": _times(self.delivery),
            "opening": _times(self.opening),
        }
        return encode_entry(self, fields)

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Read totals from outside. RemoteProtocolError: too_large, malformed, not_canonical, unknown_version."""
        fields = decode_map(raw, max_bytes=MAX_ENTRY_BYTES)
        fields.version()
        few = optional_items(fields, "few", len(COUNTS), _check_name)
        if list(few) != [name for name in COUNTS if name in few]:
            raise malformed("few names counts in another order")
        counts = {name: fields.integer(name, low=1, high=_MAX_COUNT) for name in COUNTS if name in fields}
        if counts.keys() & set(few):
            raise malformed("a count is given, and said to be small")
        return cls(
            month=required(fields, "month", _check_month),
            at_ms=fields.integer("at", high=_MAX_TIME_MS),
            threshold=fields.integer("k", low=MIN_THRESHOLD, high=_MAX_THRESHOLD),
            counts=counts,
            few=few,
            delivery=_seconds(fields, "delivery"),
            opening=_seconds(fields, "opening"),
            extra=fields.rest(),
        )


def _times(seconds: Seconds | None) -> list[Value] | None:
    return None if seconds is None else [seconds.median, seconds.p90]


def _seconds(fields: FieldReader, name: str) -> Seconds | None:
    if name not in fields:
        return None
    median, p90 = fields.items(name, low=2, high=2)
    for value in (median, p90):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_COUNT:
            raise malformed(f"{name} is no pair of seconds")
    assert isinstance(median, int)
    assert isinstance(p90, int)
    if median > p90:
        raise malformed(f"the median of {name} is above its 90th percentile")
    return Seconds(median, p90)


def _check_month(value: Value, name: str) -> str:
    return check_pattern(value, name, _MONTH, _MONTH_BYTES)


def _check_name(value: Value, name: str) -> str:
    if value not in COUNTS:
        raise malformed(f"{name} names no count")
    return str(value)
