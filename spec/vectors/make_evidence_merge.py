"""Writes evidence_merge.json: two evidence files, the one that they make in either order, and what they disagree on.

expect: ok, the first sort of conflict, or why nothing is made.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from protocol.details import Details
from protocol.errors import RemoteProtocolError
from protocol.evidence_file import EvidenceFile, write_evidence_file
from protocol.evidence_merge import merge_evidence_files
from protocol.ids import LeafTag, LetterId
from protocol.logleaf import EventKind
from spec.vectors.common import write
from spec.vectors.sample_letter import SampleLetter
from spec.vectors.sample_node import FROM_MS, SampleNode
from spec.vectors.sample_timestamps import TOKEN

SPEC = "evidence.md, 15"


def _case(name: str, comment: str, one: EvidenceFile, other: EvidenceFile) -> dict[str, Any]:
    given = {"one": write_evidence_file(one).decode(), "other": write_evidence_file(other).decode()}
    head = {"name": name, "spec": SPEC, "comment": comment, "input": given}
    try:
        made = merge_evidence_files(one, other)
    except RemoteProtocolError as error:
        return {**head, "expect": error.reason.value}
    conflicts = [[item.kind.value, item.where] for item in made.conflicts]
    expect = conflicts[0][0] if conflicts else "ok"
    return {**head, "expect": expect, "merged": write_evidence_file(made.file).decode(), "conflicts": conflicts}


def _alerted(letter: SampleLetter, code: str, *, later: int = 0) -> EvidenceFile:
    """A file of an event that only the recipient's node holds. later: how many leaves follow."""
    details = replace(letter.at_recipient(), code=code)
    index = letter.recipient.log(EventKind.ALERTED, details, time_ms=FROM_MS + 2_500, tag=LeafTag(bytes(16)))
    for _ in range(later):
        node = letter.recipient
        node.log(EventKind.STARTED, Details(node=node.node_id), time_ms=FROM_MS + 9_999_999, tag=LeafTag(bytes(16)))
    nodes = (letter.recipient.statements,)
    return EvidenceFile(letter=letter.letter, nodes=nodes, events=(letter.recipient.evidence(index),))


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    letter = SampleLetter()
    file = letter.file()
    stamped = replace(file, timestamps=(TOKEN,))
    sent = replace(file, events=file.events[:2])
    renewed = SampleLetter()
    renewed.recipient.renew()
    forged = replace(file, events=(replace(file.events[1], opening=bytes(32)),))
    forged_entry = replace(file, entries=(replace(file.entries[0], opening=bytes(32)),))
    stranger = replace(letter.recipient.statements, statements=SampleNode("fictive-stranger").statements.statements)
    return [
        _case("same", "a file with itself", stamped, stamped),
        _case("both_sides", "what one side lacks the other has", sent, _alerted(SampleLetter(), "email")),
        _case("renewed", "the longer chain of a node's statements", file, _alerted(renewed, "email")),
        _case("stamped", "of two proofs of one leaf the stamped one", stamped, _alerted(letter, "email")),
        _case(
            "fork", "two histories of one size", _alerted(SampleLetter(), "email"), _alerted(SampleLetter(), "webhook")
        ),
        _case(
            "place",
            "two leaves at one place, heads of two sizes",
            _alerted(SampleLetter(), "email"),
            _alerted(SampleLetter(), "webhook", later=1),
        ),
        _case("opening", "one leaf, two openings", file, forged),
        _case("entry_opening", "one entry, two openings", file, forged_entry),
        _case("statements", "statements of another node", file, replace(file, nodes=(stranger,))),
        _case("two_letters", "nothing is made", file, replace(file, letter=LetterId(bytes(16)))),
    ]


if __name__ == "__main__":
    write("evidence_merge", SPEC, cases())
