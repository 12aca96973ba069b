"""spec/vectors/evidence_file.json, over spec/vectors/evidence_file.txt."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.crypto import sha256
from protocol.evidence_file import parse_evidence_file, write_evidence_file
from protocol.evidence_findings import EntryFinding, EventFinding, NodeFinding, Report, TimestampFinding
from protocol.evidence_report import verify_evidence_file
from protocol.ids import NodeId
from tests.vectors.vector_files import VECTORS, load_cases, outcome


def _file_of(given: dict[str, Any]) -> bytes:
    if "file" in given:
        return str(given["file"]).encode()
    text = (VECTORS / "evidence_file.txt").read_text(encoding="utf-8")
    for old, new in given["replace"]:
        assert old in text
        text = text.replace(old, new, 1)
    if given["resealed"]:
        body = text[: text.rindex("sha256 ")]
        text = f"{body}sha256 {sha256(body.encode()).hex()}\n"
    return text.encode()


def _defects(report: Report) -> list[list[Any]]:
    groups: tuple[tuple[str, tuple[NodeFinding | EventFinding | EntryFinding | TimestampFinding, ...]], ...] = (
        ("node", report.nodes),
        ("event", report.events),
        ("entry", report.entries),
        ("timestamp", report.timestamps),
    )
    return [
        [part, number, finding.defect.reason.value]
        for part, findings in groups
        for number, finding in enumerate(findings, 1)
        if finding.defect is not None
    ]


@pytest.mark.parametrize("case", load_cases("evidence_file"))
def test_evidence_file(case: dict[str, Any]) -> None:
    given, raw = case["input"], _file_of(case["input"])
    expected = [NodeId(bytes.fromhex(node)) for node in given["expected_nodes"]] if "expected_nodes" in given else None
    expect, file = outcome(lambda: parse_evidence_file(raw))
    if file is None:
        assert expect == case["expect"]
        return
    assert write_evidence_file(file) == raw
    report = verify_evidence_file(file, expected_nodes=expected)
    assert _defects(report) == case.get("defects", [])
    assert report.ok == (case["expect"] == "ok")
    if "witnesses" in case:
        assert [len(event.witnesses) for event in report.events] == case["witnesses"]
    if report.ok:
        assert sorted(report.doubts) == case["doubts"]
