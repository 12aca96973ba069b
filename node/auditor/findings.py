"""What an audit says: findings, and what was checked. Spec: spec/audit.md, 3.

The texts are the English ones and stand in the catalogues; `words` shows a finding in a language.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from node.reports.rendering import N_, Language

__all__ = ["CHECKED", "Checked", "Finding", "Findings", "Severity", "code_words", "gravest", "severity_of"]

_MOST_OF_A_KIND: Final = 20


class Severity(StrEnum):
    """DEFECT: something is wrong. OPEN: it could not be checked. NOTE: unusual, with honest explanations too."""

    DEFECT = "defect"
    OPEN = "open"
    NOTE = "note"


_D, _O, _N = Severity.DEFECT, Severity.OPEN, Severity.NOTE

_CODES: Final[dict[str, tuple[Severity, str]]] = {
    "bad_statements": (_D, N_("the statements do not hold: {detail}")),
    "statements_withheld": (_D, N_("statements that were shown before are not shown any more")),
    "bad_head": (_D, N_("the head does not hold: {detail}")),
    "retired_key": (_D, N_("the head is signed by a key that was replaced on {since}, over leaves later than that")),
    "lost_key": (_D, N_("the head is signed by a key that a recovery cancelled")),
    "rollback": (_D, N_("the log shown has {size} leaves; a head of {seen} was signed before: its end was taken back")),
    "fork": (_D, N_("two heads that cannot both be true: of {first} and of {second} leaves")),
    "beyond_copy": (_O, N_("a head of {seen} leaves was seen, and the copy has {size}: fetch again")),
    "head_disagrees": (_D, N_("{who} holds a head of {size} leaves with another root: two histories were shown")),
    "missing_tile": (_D, N_("the tile is missing")),
    "missing_bundle": (_D, N_("the entry bundle is missing")),
    "tile_length": (_D, N_("the tile has {length} bytes instead of {expected}: cut or too long")),
    "bundle_length": (_D, N_("the entry bundle has {length} bytes instead of {expected}: cut or too long")),
    "bad_tile": (_D, N_("the tile's hashes are not those that the tree holds")),
    "bad_leaf": (_D, N_("the leaf is not the one that the tree holds: edited")),
    "moved_leaf": (_D, N_("the leaf is not the one that the tree holds: it is leaf {other}, moved or doubled")),
    "bad_root": (_D, N_("the tiles give another root than the head")),
    "unknown_leaf": (_D, N_("not a leaf of a log")),
    "later_kind": (_O, N_("an event of a kind that this version does not know ({kind})")),
    "no_epoch_opened": (_D, N_("the epoch's first leaf is {kind} instead of epoch_opened")),
    "epoch_opened_inside": (_D, N_("epoch_opened stands inside an epoch")),
    "time_back": (_D, N_("its time is {seconds} s before that of the leaf before, and no clock_jumped is on record")),
    "time_back_at_start": (_N, N_("the node started with its clock {seconds} s behind the leaf before")),
    "future_time": (_D, N_("its time is later than the auditor's clock: {moment}")),
    "silence": (_N, N_("no event for {days} days before it, while the node was running")),
    "not_stopped": (_N, N_("started without a stop on record: a crash, or several processes")),
    "opened_without_deposit": (_D, N_("{kind} of a letter whose deposit is not on record")),
    "epoch_unexplained": (_O, N_("why the epoch began was not disclosed")),
    "epoch_break": (
        _N,
        N_("the epoch says that history was lost: the former one had reached {seen}, {size} are shown"),
    ),
    "epoch_wrong": (_D, N_("the epoch names a head that the former one does not have: {named}")),
    "cosignature_wrong": (_D, N_("the line of cosigner {who} does not hold: {detail}")),
    "daily_wrong": (_D, N_("the ML-DSA line of a day's head does not hold: {detail}")),
    "cosigner_twice": (_D, N_("one key cosigns under two names, {who} and {other}: counted once")),
    "leaves_unread": (_O, N_("leaves were not read: kinds, times and pairs of events are unchecked (no admission?)")),
    "not_fetched": (_O, N_("nothing was fetched yet")),
    "unreachable": (_O, N_("could not be fetched: {detail}")),
    "too_slow": (_O, N_("the fetch ended: {detail}; what was checked is kept")),
    "too_many": (_O, N_("the log says that it has {size} leaves, more than the {limit} that are fetched")),
    "file_bad": (_D, N_("no valid file: {detail}")),
    "evidence_wrong": (_D, N_("event {number}: {detail}")),
    "evidence_left_out": (_D, N_("{kind} was signed by this node and is not in its log at {index}: left out")),
    "evidence_later": (_O, N_("evidence under a head of {size} leaves, later than the copy: fetch again")),
    "evidence_elsewhere": (_O, N_("{count} events are of node {who}, which is not in this folder")),
    "disclosure_wrong": (_D, N_("{detail}")),
    "disclosed_elsewhere": (_D, N_("{kind} was disclosed as a leaf that the log does not have there")),
    "disclosure_unrecorded": (_D, N_("the log does not have the disclosure on record as the file says: {detail}")),
    "disclosure_incomplete": (
        _D,
        N_("{kind} belongs to what was disclosed, and was neither opened nor named as erased"),
    ),
    "end_missing": (_D, N_("letter {letter}: {kind} in the log of {who} has no counterpart in the log of {other}")),
    "letter_unanswered": (_N, N_("letter {letter}: submitted to {other}, no end is on record")),
    "late_success": (_N, N_("letter {letter}: expired for {who}, deposited at {other}: a late success")),
    "clocks_apart": (_N, N_("letter {letter}: deposited {seconds} s before it was submitted, by two clocks")),
    "more": (_N, N_("{count} more of this sort: {code}")),
    "silent": (_N, N_("no new event since {moment}")),
}

CHECKED: Final[dict[str, str]] = {
    "statements": N_("{count} statements chain from the node's first one"),
    "heads": N_("{count} signed heads, seen between {first} and {last} leaves, are roots of this one tree"),
    "tiles": N_("{count} hash tiles of all levels recomputed"),
    "leaves": N_("{count} leaves hashed and compared with the tree"),
    "sanity": N_("kinds, times, epochs and pairs of {count} leaves"),
    "cosignatures": N_("{count} other nodes cosigned the newest cosigned head; {unknown} lines are by unknown keys"),
    "daily": N_("{count} heads of days bear an ML-DSA signature that holds"),
    "evidence": N_("{count} events of evidence files are in this log, each at its place"),
    "disclosures": N_("{count} disclosed events open their leaves"),
    "links": N_("{count} letters compared between the sender's and the recipient's side"),
    "others": N_("{count} heads held by others are roots of this log"),
}


def severity_of(code: str) -> Severity:
    """How grave a code is."""
    return _CODES[code][0]


def code_words(code: str) -> str:
    """A code's text in English, with its {names} unfilled."""
    return _CODES[code][1]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found. institution: whose log. place: which head, tile, leaf or file; empty for the log as a whole."""

    code: str
    institution: str
    place: str = ""
    values: dict[str, object] = field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        """How grave."""
        return severity_of(self.code)

    def words(self, language: Language) -> str:
        """What was found, without the place."""
        return language.text(code_words(self.code), **self.values)

    def to_json(self, language: Language) -> dict[str, object]:
        """For programs."""
        return {
            "code": self.code,
            "severity": self.severity.value,
            "institution": self.institution,
            "place": self.place,
            "values": self.values,
            "text": self.words(language),
        }


@dataclass(frozen=True, slots=True)
class Checked:
    """One thing that was checked and holds."""

    code: str
    institution: str
    values: dict[str, object]

    def words(self, language: Language) -> str:
        """What was checked."""
        shown = {
            name: language.number(value) if isinstance(value, int) else value for name, value in self.values.items()
        }
        return language.text(CHECKED[self.code], **shown)


class Findings:
    """Collects for one institution; of one code no more than 20 are kept, then their number."""

    def __init__(self, institution: str) -> None:
        """institution: its name, as it is shown."""
        self.institution = institution
        self.checked: list[Checked] = []
        self._found: list[Finding] = []
        self._counts: Counter[str] = Counter()

    def add(self, code: str, place: str = "", **values: object) -> None:
        """Something was found."""
        finding = Finding(code, self.institution, place, values)
        if finding in self._found:
            return
        self._counts[code] += 1
        if self._counts[code] <= _MOST_OF_A_KIND:
            self._found.append(finding)

    def holds(self, code: str, **values: object) -> None:
        """Something was checked."""
        self.checked.append(Checked(code, self.institution, values))

    def extend(self, findings: Iterable[Finding]) -> None:
        """Take over findings made elsewhere."""
        for item in findings:
            self.add(item.code, item.place, **item.values)

    @property
    def found(self) -> list[Finding]:
        """What was found, in order; the gravest keep their place. With the number of those not kept."""
        more = [
            Finding("more", self.institution, "", {"count": count - _MOST_OF_A_KIND, "code": code})
            for code, count in self._counts.items()
            if count > _MOST_OF_A_KIND
        ]
        return [*self._found, *more]


def gravest(findings: Iterable[Finding]) -> Severity | None:
    """DEFECT or OPEN if there is one; notes do not count."""
    found = {item.severity for item in findings}
    return next((item for item in (Severity.DEFECT, Severity.OPEN) if item in found), None)
