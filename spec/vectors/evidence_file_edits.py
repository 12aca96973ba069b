"""A good evidence file, edits of it, and what cases of evidence_file.json are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from protocol.evidence import Evidence
from protocol.evidence_file import EvidenceFile, write_evidence_file
from protocol.text_file import checksummed
from spec.vectors.sample_letter import SampleLetter
from spec.vectors.sample_node import FROM_MS, SampleNode

__all__ = [
    "GOOD",
    "SPEC",
    "UNCONFIRMED",
    "Finding",
    "case",
    "cosigned_edit",
    "cosigned_file",
    "cosigner_lines",
    "defects",
    "edited",
    "event_file",
    "good",
    "unread",
]

SPEC = "evidence.md, 9 and 10"
GOOD = write_evidence_file(SampleLetter().file()).decode()
UNCONFIRMED = ["node_unconfirmed"]
Finding = tuple[str, int, str]


def case(name: str, comment: str, given: dict[str, Any], expect: str, **out: Any) -> dict[str, Any]:
    """A case, as all of them are written."""
    return {"name": name, "spec": SPEC, "comment": comment, "input": given, "expect": expect, **out}


def unread(name: str, comment: str, expect: str, *edits: tuple[str, str], resealed: bool = True) -> dict[str, Any]:
    """A file that is refused when it is read."""
    assert all(old in GOOD for old, _ in edits)
    return case(name, comment, {"replace": [list(edit) for edit in edits], "resealed": resealed}, expect)


def good(
    name: str,
    comment: str,
    file: EvidenceFile,
    doubts: Sequence[str],
    witnesses: Sequence[int] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """witnesses: how many for each event, 0 if not told."""
    given = {"file": write_evidence_file(file).decode(), **more}
    told = {} if witnesses is None else {"witnesses": list(witnesses)}
    return case(name, comment, given, "ok", doubts=list(doubts), **told)


def cosigned_file(letter: SampleLetter, *witnesses: SampleNode) -> EvidenceFile:
    """The whole story; the head of the deposit is cosigned."""
    file = letter.file()
    deposit = letter.recipient.cosigned_evidence(letter.deposited, *witnesses, time_s=FROM_MS // 1000 + 60)
    events = (file.events[0], deposit, *file.events[2:])
    return replace(file, nodes=(*file.nodes, *(node.statements for node in witnesses)), events=events)


def cosigned_edit(*edits: tuple[str, str]) -> dict[str, Any]:
    """The file with two witnesses, edited and its checksum made anew."""
    witnesses = SampleNode("fictive-witness"), SampleNode("fictive-other-witness")
    text = write_evidence_file(cosigned_file(SampleLetter(), *witnesses)).decode()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    return {"file": checksummed(text.split("\n")[:-2]).decode()}


def cosigner_lines() -> tuple[str, str]:
    """The two lines of the file with two witnesses."""
    text = str(cosigned_edit()["file"])
    one, other = (line for line in text.split("\n") if "/wit " in line)
    return one, other


def defects(name: str, comment: str, given: dict[str, Any], *findings: Finding) -> dict[str, Any]:
    """A file that is read, and whose report has these defects: part, number from 1, reason."""
    return case(name, comment, given, findings[0][2], defects=[list(item) for item in findings])


def edited(*edits: tuple[str, str]) -> dict[str, Any]:
    """Edits of the good file, its checksum made anew."""
    assert all(old in GOOD for old, _ in edits)
    return {"replace": [list(edit) for edit in edits], "resealed": True}


def event_file(letter: SampleLetter, *events: Evidence) -> dict[str, Any]:
    """A file of these events alone."""
    file = replace(letter.file(), events=events, entries=())
    return {"file": write_evidence_file(file).decode()}
