"""Writes evidence_file.txt, a good file, and evidence_file.json: edits of it, and other files, with what they come to.

A case has either `file`, the whole text, or `replace`: pairs of old and new text, each old one replaced where it first
stands in evidence_file.txt; with `resealed` the checksum line is then made anew.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from protocol.checkpoint import log_origin
from protocol.cosignature import witness_name
from protocol.details import Details
from protocol.evidence import Evidence
from protocol.evidence_file import EvidenceFile, write_evidence_file
from protocol.ids import LeafTag, LetterId, NodeId, PayloadId
from protocol.logleaf import EventKind
from protocol.text_file import checksummed
from spec.vectors.common import write
from spec.vectors.sample_letter import SampleLetter
from spec.vectors.sample_node import FROM_MS, SampleNode, bytes_of
from spec.vectors.sample_timestamps import OTHER_TOKEN, TOKEN

SPEC = "evidence.md, 9 and 10"
GOOD = write_evidence_file(SampleLetter().file()).decode()
UNCONFIRMED = ["node_unconfirmed"]
Finding = tuple[str, int, str]


def _case(name: str, comment: str, given: dict[str, Any], expect: str, **out: Any) -> dict[str, Any]:
    return {"name": name, "spec": SPEC, "comment": comment, "input": given, "expect": expect, **out}


def _unread(name: str, comment: str, expect: str, *edits: tuple[str, str], resealed: bool = True) -> dict[str, Any]:
    """A file that is refused when it is read."""
    assert all(old in GOOD for old, _ in edits)
    return _case(name, comment, {"replace": [list(edit) for edit in edits], "resealed": resealed}, expect)


def _good(
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
    return _case(name, comment, given, "ok", doubts=list(doubts), **told)


def _cosigned_file(letter: SampleLetter, *witnesses: SampleNode) -> EvidenceFile:
    """The whole story; the head of the deposit is cosigned."""
    file = letter.file()
    deposit = letter.recipient.cosigned_evidence(letter.deposited, *witnesses, time_s=FROM_MS // 1000 + 60)
    events = (file.events[0], deposit, *file.events[2:])
    return replace(file, nodes=(*file.nodes, *(node.statements for node in witnesses)), events=events)


def _cosigned_edit(*edits: tuple[str, str]) -> dict[str, Any]:
    """The file with two witnesses, edited and its checksum made anew."""
    witnesses = SampleNode("fictive-witness"), SampleNode("fictive-other-witness")
    text = write_evidence_file(_cosigned_file(SampleLetter(), *witnesses)).decode()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    return {"file": checksummed(text.split("\n")[:-2]).decode()}


def _cosigner_lines() -> tuple[str, str]:
    """The two lines of the file with two witnesses."""
    text = str(_cosigned_edit()["file"])
    one, other = (line for line in text.split("\n") if "/wit " in line)
    return one, other


def _defects(name: str, comment: str, given: dict[str, Any], *findings: Finding) -> dict[str, Any]:
    """A file that is read, and whose report has these defects: part, number from 1, reason."""
    return _case(name, comment, given, findings[0][2], defects=[list(item) for item in findings])


def _edited(*edits: tuple[str, str]) -> dict[str, Any]:
    assert all(old in GOOD for old, _ in edits)
    return {"replace": [list(edit) for edit in edits], "resealed": True}


def _event_file(letter: SampleLetter, *events: Evidence) -> dict[str, Any]:
    """A file of these events alone."""
    file = replace(letter.file(), events=events, entries=())
    return {"file": write_evidence_file(file).decode()}


def _good_cases() -> list[dict[str, Any]]:
    letter = SampleLetter()
    file = letter.file()
    stamped = replace(file, timestamps=(TOKEN,))
    nodes = [letter.sender.node_id.hex(), letter.recipient.node_id.hex()]
    recovered = SampleLetter()
    lost = recovered.recipient.evidence(recovered.deposited)
    recovered.recipient.recover(bad_from_ms=FROM_MS)
    kept = recovered.recipient.evidence(recovered.deposited)
    one, other, twin = (SampleNode(f"fictive-{name}") for name in ("witness", "other-witness", "third-witness"))
    alias = SampleNode("fictive-alias", witness="fictive-witness")
    early = SampleLetter()
    dated = early.recipient.cosigned_evidence(early.deposited, one, time_s=FROM_MS // 1000 + 60)
    early.recipient.recover(bad_from_ms=FROM_MS + 3_600_000)
    return [
        _good(
            "cosigned",
            "three heads of one log, one of them cosigned by two institutions",
            _cosigned_file(letter, one, other),
            UNCONFIRMED,
            witnesses=[0, 2, 0],
        ),
        _good(
            "cosigned_by_two_names",
            "two identities share a witness key: one witness",
            _cosigned_file(letter, one, alias),
            UNCONFIRMED,
            witnesses=[0, 1, 0],
        ),
        _good(
            "cosigned_by_unexpected",
            "the reader knows both nodes of the letter, and one of three witnesses",
            _cosigned_file(letter, one, other, twin),
            UNCONFIRMED,
            expected_nodes=[*nodes, other.node_id.hex()],
            witnesses=[0, 1, 0],
        ),
        _good(
            "lost_key_cosigned_before",
            "a key that was lost later: the cosignature is from before, and no doubt is left",
            replace(early.file(), nodes=(*early.file().nodes, one.statements), events=(dated,), entries=()),
            UNCONFIRMED,
            witnesses=[1],
        ),
        _case("complete", "the good file as it is", {"replace": [], "resealed": False}, "ok", doubts=UNCONFIRMED),
        _good("expected_nodes", "the reader knows both nodes", file, [], expected_nodes=nodes),
        _good(
            "no_entries",
            "who opened cannot be checked",
            replace(file, entries=()),
            ["node_unconfirmed", "opener_unknown"],
        ),
        _good(
            "no_institution",
            "nobody vouches for the domain of the address",
            replace(file, events=file.events[:1], entries=file.entries[1:]),
            ["domain_unconfirmed", "node_unconfirmed"],
        ),
        _good(
            "lost_key",
            "head under a key that a recovery replaced",
            replace(recovered.file(), events=(lost,), entries=()),
            ["lost_key", "node_unconfirmed"],
        ),
        _good(
            "proved_anew",
            "the same leaf under a head of the new key",
            replace(recovered.file(), events=(kept,), entries=()),
            UNCONFIRMED,
        ),
        _good("timestamp", "read, and not verified", stamped, ["node_unconfirmed", "timestamp_unconfirmed"]),
    ]


def _unread_cases() -> list[dict[str, Any]]:
    lines = GOOD.split("\n")
    letter_line, node_line, statement_line = lines[1], lines[2], lines[3]
    leaf_line = next(line for line in lines if line.startswith("leaf "))
    signature_line = next(line for line in lines if line.startswith("\u2014 "))
    foreign = "\u2014 witness.example AAAAAHNpZ25hdHVyZQ==\n"
    padded = next(
        line for line in lines if line.startswith("details ") and line.endswith("=") and not line.endswith("==")
    )
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    stray = padded[:-2] + letters[letters.index(padded[-2]) | 1] + "="
    events = GOOD[GOOD.index("event\n") : GOOD.index("entry\n")]
    entries = GOOD[GOOD.index("entry\n") : GOOD.index("sha256 ")]
    return [
        _unread("empty", "no bytes", "malformed", (GOOD, ""), resealed=False),
        _unread("other_version", "a version that is not known", "unknown_version", ("evidence@v1", "evidence@v2")),
        _unread("other_header", "another first line", "malformed", ("coffre-evidence@v1", "evidence")),
        _unread(
            "changed_byte",
            "one letter of the letter id, checksum as before",
            "mismatch",
            (letter_line, letter_line[:-1] + "q"),
            resealed=False,
        ),
        _unread("cut", "the checksum line is missing", "malformed", (lines[-2] + "\n", ""), resealed=False),
        _unread(
            "after_the_end",
            "an empty line after the checksum",
            "malformed",
            (lines[-2], lines[-2] + "\n"),
            resealed=False,
        ),
        _unread(
            "upper_case_checksum",
            "one spelling only",
            "malformed",
            (lines[-2], "sha256 " + lines[-2][7:].upper()),
            resealed=False,
        ),
        _unread("carriage_return", "a line end of another system", "malformed", (node_line, node_line + "\r")),
        _unread("no_letter", "the letter line is missing", "malformed", (letter_line + "\n", "")),
        _unread(
            "upper_case_letter",
            "one spelling only",
            "not_canonical",
            (letter_line, "letter " + letter_line[7:].upper()),
        ),
        _unread("no_statements", "a node without its statements", "malformed", (statement_line + "\n", "")),
        _unread(
            "node_twice", "one node, two lists", "malformed", (node_line, f"{node_line}\n{statement_line}\n{node_line}")
        ),
        _unread("no_events", "nothing to prove", "malformed", (events, "")),
        _unread("entries_first", "entries before events", "malformed", (events + entries, entries + events)),
        _unread("unknown_line", "a line of no known sort", "malformed", (leaf_line, f"comment hello\n{leaf_line}")),
        _unread("empty_line", "an empty line between items", "malformed", ("end\nevent", "end\n\nevent")),
        _unread(
            "unknown_signature",
            "a note may have it, this file may not",
            "malformed",
            (f"{signature_line}\n", f"{signature_line}\n{foreign}"),
        ),
        _unread(
            "extra", "a proof may have it, this file may not", "malformed", ("@v1\nindex", "@v1\nextra AAAA\nindex")
        ),
        _unread("no_end", "a proof without its end", "malformed", ("end\nevent", "event")),
        _unread("stray_bits", "base64 with unused bits that are not zero", "not_canonical", (padded, stray)),
        _unread(
            "timestamp_before_entries",
            "timestamps come last",
            "malformed",
            (entries, f"timestamp {base64.b64encode(TOKEN).decode()}\n{entries}"),
        ),
        _unread("short_leaf", "a leaf of 57 bytes", "malformed", (leaf_line, leaf_line[:-4])),
    ]


def _cosigner_cases() -> list[dict[str, Any]]:
    one, other = _cosigner_lines()
    stranger = f"\u2014 {witness_name(SampleNode('fictive-stranger').node_id)} {one.split(' ')[2]}"
    own = f"\u2014 {witness_name(SampleLetter().recipient.node_id)} {one.split(' ')[2]}"
    blob = base64.b64decode(other.split(" ")[2])
    late = base64.b64encode(blob[:11] + bytes([blob[11] ^ 1]) + blob[12:]).decode()
    key = base64.b64encode(bytes([blob[0] ^ 1]) + blob[1:]).decode()
    short = base64.b64encode(blob[:-1]).decode()
    name = " ".join(other.split(" ")[:2])

    def unread(case_name: str, comment: str, *edits: tuple[str, str]) -> dict[str, Any]:
        return _case(case_name, comment, _cosigned_edit(*edits), "malformed")

    return [
        unread("cosigners_out_of_order", "lines are in the order of names", (f"{one}\n{other}", f"{other}\n{one}")),
        unread("cosigner_twice", "one witness, two lines", (one, f"{one}\n{one}")),
        unread("cosigner_first", "the log's own line comes first", *_swapped(one)),
        unread("cosigner_without_statements", "nobody could check it", (other, stranger)),
        unread("cosigned_by_itself", "the log's own node is no witness", (other, own)),
        unread("cosignature_short", "71 bytes", (other, f"{name} {short}")),
        unread("daily_line", "an ML-DSA line has no place here", (other, _pq_line())),
        _defects(
            "cosignature_flipped",
            "a byte of one cosignature",
            _cosigned_edit((other, _flipped(other))),
            ("event", 2, "bad_signature"),
        ),
        _defects(
            "cosignature_other_time",
            "another time than was signed",
            _cosigned_edit((other, f"{name} {late}")),
            ("event", 2, "bad_signature"),
        ),
        _defects(
            "cosignature_other_key",
            "a key that the node never stated",
            _cosigned_edit((other, f"{name} {key}")),
            ("event", 2, "unknown_key"),
        ),
    ]


def _swapped(line: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """Edits that put a cosigner's line before the log's."""
    text = str(_cosigned_edit()["file"])
    lines = text.split("\n")
    own = lines[lines.index(line) - 1]
    return (f"{own}\n{line}", "@@"), ("@@", f"{line}\n{own}")


def _pq_line() -> str:
    origin = log_origin(SampleLetter().recipient.node_id, 1)
    return f"\u2014 {origin} {base64.b64encode(bytes(4 + 8 + 2420)).decode()}"


def _defect_cases() -> list[dict[str, Any]]:
    letter = SampleLetter()
    sender, recipient = letter.sender, letter.recipient
    lines = GOOD.split("\n")
    openings = [line for line in lines if line.startswith("opening ")]
    other_letter, stranger = LetterId(bytes_of("other letter", 16)), SampleNode("fictive-stranger")
    hash_line = lines[lines.index("c2sp.org/tlog-proof@v1") + 2]
    signature_line = next(line for line in lines if line.startswith("\u2014 "))
    return [
        _defects(
            "unexpected_node",
            "the recipient's node is not the one that the reader knows",
            {"replace": [], "resealed": False, "expected_nodes": [sender.node_id.hex()]},
            ("node", 2, "mismatch"),
            *(("event", number, "unknown_key") for number in (2, 3)),
            *(("entry", number, "unknown_key") for number in (1, 2)),
        ),
        _defects(
            "other_node_id",
            "statements of another node than named",
            _edited((f"node {sender.node_id.text}", f"node {stranger.node_id.text}")),
            ("node", 1, "mismatch"),
            ("event", 1, "unknown_key"),
        ),
        _defects(
            "other_opening",
            "the opening of another event",
            _edited((openings[0], openings[1])),
            ("event", 1, "bad_commitment"),
        ),
        _defects(
            "other_hash",
            "a hash of the proof is another",
            _edited((hash_line, "A" * 43 + "=")),
            ("event", 1, "bad_proof"),
        ),
        _defects(
            "changed_signature",
            "a byte of the head's signature",
            _edited((signature_line, _flipped(signature_line))),
            ("event", 1, "bad_signature"),
        ),
        _defects(
            "entry_opening",
            "an entry with another opening",
            _edited((openings[3], openings[0])),
            ("entry", 1, "bad_commitment"),
        ),
        _defects(
            "other_letter",
            "evidence of another letter among them",
            _event_file(
                letter,
                sender.evidence(letter.submitted),
                _logged(letter, EventKind.DEPOSITED, replace(letter.at_recipient(), letter=other_letter)),
            ),
            ("event", 2, "mismatch"),
        ),
        _defects(
            "other_payload",
            "a deposit of another payload",
            _event_file(
                letter,
                sender.evidence(letter.submitted),
                _logged(letter, EventKind.DEPOSITED, replace(letter.at_recipient(), payload=PayloadId(bytes(32)))),
            ),
            ("event", 2, "mismatch"),
        ),
        _defects(
            "other_sending_node",
            "a deposit from another node",
            _event_file(
                letter,
                sender.evidence(letter.submitted),
                _logged(letter, EventKind.DEPOSITED, replace(letter.at_recipient(), peer=NodeId(bytes(32)))),
            ),
            ("event", 2, "mismatch"),
        ),
        _defects(
            "no_event_of_a_letter",
            "a kind that concerns no letter",
            _event_file(
                letter, _logged(letter, EventKind.STARTED, Details(node=recipient.node_id, letter=letter.letter))
            ),
            ("event", 1, "mismatch"),
        ),
        _defects(
            "relayed_other",
            "a relay's evidence of an envelope that no other item names",
            _relayed(letter),
            ("event", 2, "mismatch"),
        ),
        _forged_opening(),
        _fork(),
        _defects(
            "other_timestamp",
            "a timestamp over no head of the file",
            {"file": write_evidence_file(replace(letter.file(), timestamps=(OTHER_TOKEN,))).decode()},
            ("timestamp", 1, "mismatch"),
        ),
        _defects(
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
    return _event_file(letter, letter.sender.evidence(letter.submitted), _logged(letter, EventKind.RELAYED, details))


def _forged_opening() -> dict[str, Any]:
    letter = SampleLetter()
    forged = replace(letter.opened(), signature=bytes(64))
    index = letter.recipient.log(EventKind.OPENED, forged, time_ms=letter.opened_at_ms, tag=LeafTag(bytes(16)))
    file = replace(letter.file(), events=(letter.recipient.evidence(index),))
    given = {"file": write_evidence_file(file).decode()}
    return _defects(
        "forged_opening", "an opening that the mailbox's key did not sign", given, ("event", 1, "bad_signature")
    )


def _fork() -> dict[str, Any]:
    told, hidden = SampleLetter(), SampleLetter()
    for letter, code in ((told, "mail"), (hidden, "webhook")):
        details = Details(node=letter.recipient.node_id, mailbox=letter.mailbox, code=code)
        letter.recipient.log(EventKind.ALERTED, details, time_ms=FROM_MS, tag=LeafTag(bytes(16)))
    given = _event_file(told, told.recipient.evidence(told.deposited), hidden.recipient.evidence(hidden.deposited))
    return _defects("fork", "two heads of one size that cannot both be true", given, ("event", 2, "fork"))


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    return [*_good_cases(), *_unread_cases(), *_cosigner_cases(), *_defect_cases()]


if __name__ == "__main__":
    Path(__file__).with_name("evidence_file.txt").write_text(GOOD, encoding="utf-8")
    write("evidence_file", SPEC, cases())
