"""Writes totals.json: monthly totals as they stand in feeds, good and with one defect each."""

from __future__ import annotations

from typing import Any

from protocol.codec import Value, encode
from protocol.entry import totals_subject
from spec.vectors.common import case, write

__all__ = ["MONTH", "TOTALS", "cases"]

SPEC = "statistics.md, 4"
MONTH = "2026-08"
TOTALS: dict[str, Value] = {
    "v": 1,
    "month": MONTH,
    "at": 1_788_220_800_000,
    "k": 5,
    "letters": 4700,
    "sent": 5120,
    "received": 6033,
    "opened": 5871,
    "refused": 12,
    "people": 214,
    "institutions": 45,
    "few": ["expired"],
    "delivery": [3, 41],
    "opening": [7200, 90000],
}


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""

    def with_changes(name: str, comment: str, expect: str = "ok", **changes: Value) -> dict[str, Any]:
        fields = {name: value for name, value in {**TOTALS, **changes}.items() if value is not None}
        outputs: dict[str, Any] = {}
        if expect == "ok":
            month = str(fields["month"])
            outputs = {"month": month, "subject": totals_subject(month), "says_nothing": False}
        return case(name, SPEC, comment, {"entry": encode(fields)}, expect, **outputs)

    hidden: dict[str, Value] = {"v": 1, "month": MONTH, "at": 1_788_220_800_000, "k": 5}
    few: list[Value] = ["letters", "sent", "people"]
    whole = encode(TOTALS)
    return [
        with_changes("totals", "a month of an institution; fewer than five letters expired"),
        case(
            "few_people",
            SPEC,
            "fewer than five were active: counts are named, not given",
            {"entry": encode({**hidden, "few": few})},
            month=MONTH,
            subject=totals_subject(MONTH),
            says_nothing=False,
        ),
        case(
            "withdrawn",
            SPEC,
            "neither counts nor few",
            {"entry": encode(hidden)},
            month=MONTH,
            subject=totals_subject(MONTH),
            says_nothing=True,
        ),
        with_changes("january_2020", "the first month that there may be", month="2020-01"),
        with_changes("largest", "a thousand million letters", letters=10**9),
        with_changes("later_field", "unknown fields are kept", zz=[1, 2]),
        with_changes("same_times", "median and 90th percentile alike", delivery=[3, 3]),
        with_changes("version_2", "another version", "unknown_version", v=2),
        with_changes("no_month", "of no month", "malformed", month=None),
        with_changes("month_13", "no such month", "malformed", month="2026-13"),
        with_changes("month_2019", "before the first one", "malformed", month="2019-12"),
        with_changes("month_as_number", "a month is text", "malformed", month=202608),
        with_changes("month_of_one_digit", "a month has one form", "malformed", month="2026-8"),
        with_changes("no_time", "made at no time", "malformed", at=None),
        with_changes("threshold_4", "a threshold below five hides too little", "malformed", k=4),
        with_changes("beyond", "more than a thousand million", "malformed", letters=10**9 + 1),
        with_changes("zero", "zero is written by absence only", "malformed", refused=0),
        with_changes("negative", "fewer than none", "malformed", letters=-1),
        with_changes("both", "given, and said to be small", "malformed", few=["expired", "people"]),
        with_changes("few_of_nothing", "empty is written by absence only", "malformed", few=[]),
        with_changes("few_twice", "one name twice", "malformed", few=["expired", "expired"]),
        with_changes("few_unordered", "in another order", "malformed", people=None, few=["people", "expired"]),
        with_changes("few_unknown", "a count of nobody", "malformed", few=["secrets"]),
        with_changes("p90_below_median", "the order of times", "malformed", delivery=[41, 3]),
        with_changes("three_times", "a pair has two", "malformed", delivery=[1, 2, 3]),
        with_changes("times_as_text", "seconds are numbers", "malformed", opening=["1", "2"]),
        case("cut", SPEC, "without its last byte", {"entry": whole[:-1]}, "malformed"),
        case(
            "not_canonical",
            SPEC,
            "the version in two bytes",
            {"entry": whole.replace(b"\xa1v\x01", b"\xa1v\xcc\x01")},
            "not_canonical",
        ),
        case("too_large", SPEC, "8,193 bytes", {"entry": bytes(8193)}, "too_large"),
    ]


if __name__ == "__main__":
    write("totals", SPEC, cases())
