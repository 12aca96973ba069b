"""What checks of the own log came to, kept beside the copy: for programs, and as pages. Spec: spec/desks.md, 4."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from node.auditor.findings import Checked, Finding
from node.auditor.places import write_whole
from node.errors import NotFoundError

if TYPE_CHECKING:
    from node.auditor.verifying import Audit

__all__ = ["KeptReport", "keep_report", "kept_report", "kept_reports", "report_page"]

_MOST_KEPT: Final = 50
_LANGUAGES: Final = ("en", "fr")


@dataclass(frozen=True, slots=True)
class KeptReport:
    """One check. status: 0 all holds, 1 a defect, 3 something is open. leaves: how many the log had."""

    made_at_ms: int
    status: int
    leaves: int
    checked: tuple[Checked, ...]
    findings: tuple[Finding, ...]


def keep_report(place: Path, audit: Audit) -> None:
    """Write what an audit came to, the file that lists find last; of older ones, the newest stay. ConfigError."""
    from node.auditor.reporting import render_audit

    name = str(audit.made_at_ms)
    for language in _LANGUAGES:
        page = render_audit(audit, language=language).encode()
        write_whole(place / f"{name}.{language}.html", page, private=True)
    checked = [*(done for item in audit.institutions for done in item.checked), *audit.checked]
    fields = {
        "status": audit.status,
        "leaves": sum(size for item in audit.institutions for size in item.sizes.values()),
        "checked": [asdict(item) for item in checked],
        "findings": [asdict(item) for item in audit.findings],
    }
    data = json.dumps(fields, ensure_ascii=False, default=str).encode()
    write_whole(place / f"{name}.json", data, private=True)
    for old in _times(place)[_MOST_KEPT:]:
        for path in place.glob(f"{old}.*"):
            path.unlink(missing_ok=True)


def _times(place: Path) -> list[int]:
    names = (path.stem for path in place.glob("*.json"))
    return sorted((int(name) for name in names if name.isascii() and name.isdigit()), reverse=True)


def kept_reports(place: Path) -> list[KeptReport]:
    """All that are kept, newest first."""
    return [kept_report(place, made_at_ms) for made_at_ms in _times(place)]


def kept_report(place: Path, made_at_ms: int) -> KeptReport:
    """One of them. NotFoundError."""
    try:
        fields: dict[str, Any] = json.loads((place / f"{made_at_ms}.json").read_bytes())
        return KeptReport(
            made_at_ms,
            int(fields["status"]),
            int(fields["leaves"]),
            tuple(Checked(**item) for item in _maps(fields["checked"])),
            tuple(Finding(**item) for item in _maps(fields["findings"])),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotFoundError("there is no such report any more", hint="check the log again") from error


def _maps(items: Iterable[Any]) -> list[dict[str, Any]]:
    return [dict(item) for item in items]


def report_page(place: Path, made_at_ms: int, language: str) -> bytes:
    """The report as a page. NotFoundError."""
    wanted = language if language in _LANGUAGES else _LANGUAGES[0]
    try:
        return (place / f"{made_at_ms}.{wanted}.html").read_bytes()
    except OSError as error:
        raise NotFoundError("there is no such report any more", hint="check the log again") from error
