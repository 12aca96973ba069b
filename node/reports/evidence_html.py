"""The printable report on an evidence file: one HTML page that carries all it needs. Spec: spec/evidence.md, 17."""

from __future__ import annotations

import hashlib
from typing import Final

from node.reports.evidence_story import tell
from node.reports.rendering import language_of, render
from protocol.content_report import DisclosedLetter
from protocol.evidence_file import EvidenceFile
from protocol.evidence_findings import Report

__all__ = ["MAX_ENCLOSED_BYTES", "evidence_html"]

# 60 printed pages; what is larger is handed over as a file.
MAX_ENCLOSED_BYTES: Final = 256 * 1024


def evidence_html(
    raw: bytes,
    file: EvidenceFile,
    report: Report,
    *,
    language: str,
    made_at_ms: int,
    enclosed: bool,
    content: DisclosedLetter | None = None,
    file_name: str = "evidence.txt",
) -> str:
    """The page. raw: the evidence file as it stands; file, report: the same, read and verified.

    enclosed: whether the file stands in the report as text; one of more than MAX_ENCLOSED_BYTES never does.
    content: what was disclosed of the letter. ConfigError for an unknown language.
    """
    story = tell(file, report, language_of(language), content=content)
    return render(
        "evidence.html",
        language,
        story=story,
        made_at_ms=made_at_ms,
        sha256=hashlib.sha256(raw).hexdigest(),
        size=len(raw),
        file_name=file_name,
        enclosed=raw.decode() if enclosed and len(raw) <= MAX_ENCLOSED_BYTES else "",
        is_too_large=enclosed and len(raw) > MAX_ENCLOSED_BYTES,
    )
