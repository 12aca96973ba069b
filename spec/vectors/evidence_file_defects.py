"""Evidence files that are read, and whose report has defects: cases of evidence_file.json."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

from protocol.checkpoint import log_origin
from protocol.cosignature import witness_name
from protocol.details import Details
from protocol.evidence import Evidence
from protocol.evidence_file import write_evidence_file
from protocol.ids import LeafTag, LetterId, NodeId, PayloadId
from protocol.logleaf import EventKind
from spec.vectors.evidence_file_edits import (
    GOOD,
    case,
    cosigned_edit,
    cosigner_lines,
    defects,
    edited,
    event_file,
)
from spec.vectors.sample_letter import SampleLetter
from spec.vectors.sample_node import FROM_MS, SampleNode, bytes_of
from spec.vectors.sample_timestamps import OTHER_TOKEN

__all__ = ["cosigner_cases", "defect_cases"]


def cosigner_cases() -> list[dict[str, Any]]:
    """Heads that others cosigned, or did not."""
    one, other = cosigner_lines()
    stranger = f"\u2014 {witness_name(SampleNode('fictive-stranger').node_id)} {one.split(' ')[2]}"
    own = f"\u2014 {witness_name(SampleLetter().recipient.node_id)} {one.split(' ')[2]}"
    blob = base64.b64decode(other.split(" ")[2])
    late = base64.b64encode(blob[:11] + bytes([blob[11] ^ 1]) + blob[12:]).decode()
    key = base64.b64encode(bytes([blob[0] ^ 1]) + blob[1:]).decode()
    short = base64.b64encode(blob[:-1]).decode()
    name = " ".join(other.split(" ")[:2])

    def unread(case_name: str, comment: str, *edits: tuple[str, str]) -> dict[str, Any]:
        return case(case_name, comment, cosigned_edit(*edits), "malformed")

    return [
        unread("cosigners_out_of_order", "lines are in the order of names", (f"{one}\n{other}", f"{other}\n{one}")),
        unread("cosigner_twice", "one witness, two lines", (one, f"{one}\n{one}")),
        unread("cosigner_first", "the log's own line comes first", *_swapped(one)),
        unread("cosigner_without_statements", "nobody could check it", (other, stranger)),
        unread("cosigned_by_itself", "the log's own node is no witness", (other, own)),
        unread("cosignature_short", "71 bytes", (other, f"{name} {short}")),
        unread("daily_line", "an ML-DSA line has no place here", (other, _pq_line())),
        defects(
            "cosignature_flipped",
            "a byte of one cosignature",
            cosigned_edit((other, _flipped(other))),
            ("event", 2, "bad_signature"),
        ),
        defects(
            "cosignature_other_time",
            "another time than was signed",
            cosigned_edit((other, f"{name} {late}")),
            ("event", 2, "bad_signature"),
        ),
        defects(
            "cosignature_other_key",
            "a key that the node never stated",
            cosigned_edit((other, f"{name} {key}")),
            ("event", 2, "unknown_key"),
        ),
    ]


def _swapped(line: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """Edits that put a cosigner's line before the log's."""
    text = str(cosigned_edit()["file"])
    lines = text.split("\n")
    own = lines[lines.index(line) - 1]
    return (f"{own}\n{line}", "@@"), ("@@", f"{line}\n{own}")


def _pq_line() -> str:
    origin = log_origin(SampleLetter().recipient.node_id, 1)
    return f"\u2014 {origin} {base64.b64encode(bytes(4 + 8 + 2420)).decode()}"


def defect_cases() -> list[dict[str, Any]]:
    """Everything else that is wrong with what a file says."""
    letter = SampleLetter()
    sender, recipient = letter.sender, letter.recipient
    lines = GOOD.split("\n")
    openings = [line for line in lines if line.startswith("opening ")]
    other_letter, stranger = LetterId(bytes_of("other letter", 16)), SampleNode("fictive-stranger")
    hash_line = lines[lines.index("c2sp.org/tlog-proof@v1") + 2]
    signature_line = next(line for line in lines if line.startswith("\u2014 "))
    return [
        defects(
            "unexpected_node",
            "the recipient's node is not the one that the reader knows",
            {"replace": [], "resealed": False, "expected_nodes": [sender.node_id.hex()]},
            ("node", 2, "mismatch"),
            *(("event", number, "unknown_key") for number in (2, 3)),
            *(("entry", number, "unknown_key") for number in (1, 2)),
        ),
        defects(
            "other_node_id",
            "statements of another node than named",
            edited((f"node {sender.node_id.text}", f"node {stranger.node_id.text}")),
            ("node", 1, "mismatch"),
            ("event", 1, "unknown_key"),
        ),
        defects(
            "other_opening",
            "the opening of another event",
            edited((openings[0], openings[1])),
            ("event", 1, "bad_commitment"),
        ),
        defects(
            "other_hash",
            "a hash of the proof is another",
            edited((hash_line, "A" * 43 + "=")),
            ("event", 1, "bad_proof"),
        ),
        defects(
            "changed_signature",
            "a byte of the head's signature",
            edited((signature_line, _flipped(signature_line))),
            ("event", 1, "bad_signature"),
        ),
        defects(
            "entry_opening",
            "an entry with another opening",
            edited((openings[3], openings[0])),
            ("entry", 1, "bad_commitment"),
        ),
        defects(
            "other_letter",
            "evidence of another letter among them",
            event_file(
                letter,
                sender.evidence(letter.submitted),
                _logged(letter, EventKind.DEPOSITED, replace(letter.at_recipient(), letter=other_letter)),
            ),
            ("event", 2, "mismatch"),
        ),
        defects(
            "other_payload",
            "a deposit of another payload",
            event_file(
                letter,
                sender.evidence(letter.submitted),
                _logged(letter, EventKind.DEPOSITED, replace(letter.at_recipient(), payload=PayloadId(bytes(32)))),
            ),
            ("event", 2, "mismatch"),
        ),
        defects(
            "other_sending_node",
            "a deposit from another node",
            event_file(
                letter,
                sender.evidence(letter.submitted),
                _logged(letter, EventKind.DEPOSITED, replace(letter.at_recipient(), peer=NodeId(bytes(32)))),
            ),
            ("event", 2, "mismatch"),
        ),
        defects(
            "no_event_of_a_letter",
            "a kind that concerns no letter",
            event_file(
                letter, _logged(letter, EventKind.STARTED, Details(node=recipient.node_id, letter=letter.letter))
            ),
            ("event", 1, "mismatch"),
        ),
        defects(
            "relayed_other",
            "a relay's evidence of an envelope that no other item names",
            _relayed(letter),
            ("event", 2, "mismatch"),
        ),
        _forged_opening(),
        _fork(),
        defects(
            "other_timestamp",
            "a timestamp over no head of the file",
            {"file": write_evidence_file(replace(letter.file(), timestamps=(OTHER_TOKEN,))).decode()},
            ("timestamp", 1, "mismatch"),
        ),
        defects(
            "no_timestamp",
            "bytes that are none",
            {"file": write_evidence_file(replace(letter.file(), timestamps=(b"no token",))).decode()},
            ("timestamp", 1, "malformed"),
        ),
    ]


def _flipped(line: str) -> str:
    at = len(line) - 20
    return line[:at] + ("A" if line[at] != "A" else "B") + line[at + 1 :]


def _logged(letter: SampleLetter, kind: EventKind, details: Details) -> Evidence:
    return letter.recipient.evidence(letter.recipient.log(kind, details, time_ms=FROM_MS, tag=LeafTag(bytes(16))))


def _relayed(letter: SampleLetter) -> dict[str, Any]:
    details = Details(node=letter.recipient.node_id, envelope=type(letter.envelope)(bytes(32)))
    return event_file(letter, letter.sender.evidence(letter.submitted), _logged(letter, EventKind.RELAYED, details))


def _forged_opening() -> dict[str, Any]:
    letter = SampleLetter()
    forged = replace(letter.opened(), signature=bytes(64))
    index = letter.recipient.log(EventKind.OPENED, forged, time_ms=letter.opened_at_ms, tag=LeafTag(bytes(16)))
    file = replace(letter.file(), events=(letter.recipient.evidence(index),))
    given = {"file": write_evidence_file(file).decode()}
    return defects(
        "forged_opening", "an opening that the mailbox's key did not sign", given, ("event", 1, "bad_signature")
    )


def _fork() -> dict[str, Any]:
    told, hidden = SampleLetter(), SampleLetter()
    for letter, code in ((told, "mail"), (hidden, "webhook")):
        details = Details(node=letter.recipient.node_id, mailbox=letter.mailbox, code=code)
        letter.recipient.log(EventKind.ALERTED, details, time_ms=FROM_MS, tag=LeafTag(bytes(16)))
    given = event_file(told, told.recipient.evidence(told.deposited), hidden.recipient.evidence(hidden.deposited))
    return defects("fork", "two heads of one size that cannot both be true", given, ("event", 2, "fork"))
