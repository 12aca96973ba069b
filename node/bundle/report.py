"""What reading a bundle did, for a person and for programs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from node.vault.outcomes import MailboxOutcome, Outcome

__all__ = ["ReadReport"]

_MAX_PROBLEMS: Final = 50


@dataclass(slots=True)
class ReadReport:
    """Counts. deposited, known: deliveries, new ones and those that were here. refused, deferred: deliveries by code,
    an envelope refused as a whole counting once.

    results, returns: evidence taken about own letters; unknown: about envelopes that are not known here. acknowledged:
    own bundles of which the writer says that it read them. alarms: proofs, new here, that a node showed two histories.
    broken: why the file could not be read to its end.
    """

    institution: str = ""
    node: str = ""
    number: int = 0
    made_at_ms: int = 0
    read_before: bool = False
    deposited: int = 0
    known: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    deferred: Counter[str] = field(default_factory=Counter)
    results: int = 0
    returns: int = 0
    unknown: int = 0
    withdrawals: int = 0
    queries: int = 0
    acknowledged: int = 0
    feeds: int = 0
    operations: int = 0
    alarms: int = 0
    for_others: int = 0
    evidence_refused: int = 0
    problems: list[str] = field(default_factory=list)
    broken: str = ""
    complete: bool = False

    def problem(self, text: str) -> None:
        """Something that was left, and why; beyond some dozens only that there is more."""
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(text)
        elif len(self.problems) == _MAX_PROBLEMS:
            self.problems.append("and more like these")

    def refuse_evidence(self, text: str) -> None:
        """The same, of evidence: the writer keeps it, and the bundle does not count as read."""
        self.evidence_refused += 1
        self.problem(text)

    def count(self, outcomes: tuple[MailboxOutcome, ...], *, were_here: bool) -> None:
        """The deliveries of one envelope."""
        for item in outcomes:
            if item.outcome is Outcome.DEFERRED:
                self.deferred[item.code] += 1
            elif were_here:
                self.known += 1
            elif item.outcome is Outcome.DEPOSITED:
                self.deposited += 1
            else:
                self.refused[item.code or item.outcome.status] += 1

    def as_map(self) -> dict[str, Any]:
        """For `--json`."""
        names = self.__slots__
        found = {name: getattr(self, name) for name in names}
        return {**found, "refused": dict(self.refused), "deferred": dict(self.deferred)}
