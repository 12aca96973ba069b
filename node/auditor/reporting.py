"""An audit as an HTML report with charts, in French or English. Spec: spec/audit.md, 3."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from markupsafe import Markup, escape

from node.auditor.agreement import Said
from node.auditor.findings import Finding, Severity, gravest
from node.auditor.log_audit import InstitutionAudit
from node.auditor.statistics import DELAY_STEPS_MS, FAILURES, Statistics, month_start_ms
from node.auditor.verifying import Audit
from node.reports.charts import NARROW, Series, Shape, columns, fitting, rows
from node.reports.kinds import kind_words
from node.reports.rendering import N_, Language, language_of, render
from protocol.ids import NodeId
from protocol.logleaf import EventKind

__all__ = ["place_words", "render_audit"]

_MOST_ROWS: Final = 14
_MOST_MONTHS: Final = 24
_LETTERS: Final = (EventKind.SUBMITTED, EventKind.DEPOSITED, EventKind.OPENED)
_ALARMS: Final = (
    EventKind.FORK_SEEN,
    EventKind.MAILBOX_LOCKED,
    EventKind.CLOCK_JUMPED,
    EventKind.PEER_STOPPED,
    EventKind.PEER_LAPSED,
)
_VERDICTS: Final = {
    None: N_("Everything that was checked holds."),
    Severity.OPEN: N_("No defect was found; not everything could be checked."),
    Severity.DEFECT: N_("Defects were found."),
}
_SEVERITIES: Final = {Severity.DEFECT: N_("defect"), Severity.OPEN: N_("open"), Severity.NOTE: N_("note")}
_CLASSES: Final = {None: "good", Severity.OPEN: "open", Severity.DEFECT: "bad", Severity.NOTE: "soft"}


_PLACES: Final = (N_("epoch"), N_("leaf"), N_("tile"), N_("head"), N_("against"), N_("event"), N_("record"))
# Where they stand as words of a place, not inside the name of a file.
_PLACE_WORD: Final = re.compile(rf"(?:(?<=^)|(?<=, ))(?:{'|'.join(_PLACES)})(?= |,|$)")


@dataclass(frozen=True, slots=True)
class _Chart:
    title: str
    picture: Markup


@dataclass(frozen=True, slots=True)
class _Row:
    """A finding, ready to be shown."""

    style: str
    severity: str
    place: str
    words: str
    code: str


def render_audit(audit: Audit, *, language: str, auditor: str = "") -> str:
    """The report, one page of HTML that needs nothing else. auditor: who made it, for the head of the page."""
    chosen = language_of(language)
    return render(
        "audit.html",
        language,
        audit=audit,
        auditor=auditor,
        verdict=chosen.text(_VERDICTS[gravest(audit.findings)]),
        style=_CLASSES[gravest(audit.findings)],
        institutions=[_institution(item, audit.said, chosen) for item in audit.institutions],
        general=[_row(item, chosen) for item in audit.general],
        general_checked=[item.words(chosen) for item in audit.checked],
    )


def place_words(item: Finding, language: Language) -> str:
    """Where a finding was made: which head, tile, leaf or file."""
    return _PLACE_WORD.sub(lambda found: language.text(found[0]), item.place)


def _row(item: Finding, language: Language) -> _Row:
    return _Row(
        _CLASSES[item.severity],
        language.text(_SEVERITIES[item.severity]),
        place_words(item, language),
        item.words(language),
        item.code,
    )


def _institution(item: InstitutionAudit, said: Sequence[Said], language: Language) -> dict[str, Any]:
    ordered = sorted(item.findings, key=lambda finding: list(Severity).index(finding.severity))
    return {
        "audit": item,
        "style": _CLASSES[item.verdict],
        "verdict": language.text(_VERDICTS[item.verdict]),
        "findings": [_row(finding, language) for finding in ordered],
        "checked": [done.words(language) for done in item.checked],
        "charts": _charts(item.statistics, language) if item.statistics.leaves else [],
        "median_ms": item.statistics.delay_at(0.5),
        "slow_ms": item.statistics.delay_at(0.9),
        "codes": _codes(item.node, said),
        "mailboxes": _mailboxes(item.node, said),
    }


def _charts(statistics: Statistics, language: Language) -> list[_Chart]:
    months = statistics.months()[-_MOST_MONTHS:]
    labels = [language.month(month_start_ms(month)) for month in months]

    def by_month(title: str, kinds: Sequence[EventKind]) -> _Chart:
        series = [Series(kind_words(kind, language), statistics.series(kind)[-len(months) :]) for kind in kinds]
        if not any(statistics.kinds[kind] for kind in kinds):
            return _Chart(title, escape(language.text(N_("none on record"))))
        axis, unit = language.text(N_("month")), language.text(N_("events"))
        return _Chart(
            title,
            fitting(lambda shape: columns(title, labels, series, language=language, unit=unit, axis=axis, shape=shape)),
        )

    kinds = statistics.kinds.most_common(_MOST_ROWS)
    by_kind = language.text(N_("Events by kind"))
    names, counts = [kind_words(kind, language) for kind, _ in kinds], [number for _, number in kinds]
    return [
        by_month(language.text(N_("Letters by month")), _LETTERS),
        by_month(language.text(N_("Failures by month")), FAILURES),
        by_month(language.text(N_("Alarms by month")), [kind for kind in _ALARMS if statistics.kinds[kind]]),
        _delays(statistics, language),
        _Chart(by_kind, fitting(lambda shape: rows(by_kind, names, counts, language=language, shape=shape))),
    ]


def _delays(statistics: Statistics, language: Language) -> _Chart:
    title = language.text(N_("From deposit to opening"))
    steps = [f"≤ {language.duration(step)}" for step in DELAY_STEPS_MS]
    labels = [*steps, f"> {language.duration(DELAY_STEPS_MS[-1])}", language.text(N_("unopened"))]
    values = [*statistics.delay_classes(), statistics.unopened]
    axis, unit = language.text(N_("time from deposit to first opening")), language.text(N_("letters"))

    def draw(shape: Shape) -> Markup:
        if shape is NARROW:  # so many names do not fit beside each other
            return rows(title, labels, values, language=language, shape=shape)
        series = [Series(unit, values)]
        return columns(title, labels, series, language=language, unit=unit, axis=axis, all_labels=True)

    return _Chart(title, fitting(draw))


def _codes(node: NodeId, said: Sequence[Said]) -> list[tuple[str, int]]:
    """Refusal codes of disclosed events, the most frequent first."""
    refused = (item for item in said if item.node == node and item.kind is EventKind.REFUSED)
    return Counter(item.details.code or "" for item in refused).most_common()


def _mailboxes(node: NodeId, said: Sequence[Said]) -> list[dict[str, Any]]:
    """Of each mailbox in disclosed events: letters, openings, and how long they waited."""
    deposited: dict[tuple[bytes, bytes], int] = {}
    delays: dict[bytes, list[int]] = defaultdict(list)
    for item in sorted(said, key=lambda event: event.time_ms):
        mailbox, letter = item.details.mailbox, item.details.letter
        if item.node != node or mailbox is None or letter is None:
            continue
        if item.kind is EventKind.DEPOSITED:
            deposited.setdefault((mailbox, letter), item.time_ms)
        elif item.kind is EventKind.OPENED and (at := deposited.get((mailbox, letter))) is not None:
            delays[mailbox].append(item.time_ms - at)
    found: Counter[bytes] = Counter(mailbox for mailbox, _ in deposited)
    names = {bytes(item.details.mailbox): item.details.mailbox.text for item in said if item.details.mailbox}
    return [
        {
            "mailbox": names[mailbox],
            "letters": count,
            "opened": len(delays[mailbox]),
            "median_ms": int(median(delays[mailbox])) if delays[mailbox] else 0,
        }
        for mailbox, count in found.most_common(100)
    ]
