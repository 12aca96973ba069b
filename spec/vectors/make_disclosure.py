"""Writes disclosure.json: disclosures, edits of a good one, and what they come to.

A case has either `file`, the whole text, or `replace`: pairs of old and new text, each old one replaced where it first
stands in the file of the case `letter`; with `resealed` the checksum line is then made anew.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from protocol.disclosure import Disclosure, Scope, write_disclosure
from protocol.ids import EnvelopeId, LeafTag, LetterId, MailboxId, PayloadId, SlipId
from protocol.logleaf import EventKind
from spec.vectors.common import write
from spec.vectors.sample_log import SampleLog
from spec.vectors.sample_node import FROM_MS, SampleNode, bytes_of

SPEC = "audit.md, 4"
LETTER, MAILBOX = LetterId(bytes_of("letter", 16)), MailboxId(bytes_of("mailbox", 16))


def _log() -> SampleLog:
    """Leaves: epoch_opened, submitted, started, deposited, refused (of another mailbox), stopped."""
    log = SampleLog(SampleNode("fictive-clinic"))
    peer = SampleNode("fictive-hospital").node_id
    ids: dict[str, Any] = {
        "peer": peer,
        "envelope": EnvelopeId(bytes_of("envelope")),
        "slip": SlipId(bytes_of("slip")),
        "letter": LETTER,
        "payload": PayloadId(bytes_of("payload")),
    }
    tag = LeafTag(bytes_of("tag", 16))
    log.append(EventKind.SUBMITTED, tag=LeafTag(bytes_of("tag/other", 16)), **ids | {"letter": LetterId(bytes(16))})
    log.append(EventKind.STARTED)
    log.append(EventKind.DEPOSITED, tag=tag, mailbox=MAILBOX, **ids)
    log.append(EventKind.REFUSED, tag=tag, mailbox=MailboxId(bytes_of("other", 16)), code="mailbox_full", **ids)
    log.append(EventKind.STOPPED)
    return log


def _of_letter() -> Disclosure:
    return _log().disclose(Scope(letter=LETTER), [(1, 3), (1, 4)])


GOOD = write_disclosure(_of_letter()).decode()


def _case(name: str, comment: str, given: dict[str, Any], expect: str, **out: Any) -> dict[str, Any]:
    return {"name": name, "spec": SPEC, "comment": comment, "input": given, "expect": expect, **out}


def _file(name: str, comment: str, made: Disclosure, **out: Any) -> dict[str, Any]:
    return _case(name, comment, {"file": write_disclosure(made).decode()}, "ok", **out)


def _edit(name: str, comment: str, expect: str, *edits: tuple[str, str], resealed: bool = True) -> dict[str, Any]:
    assert all(old in GOOD for old, _ in edits)
    return _case(name, comment, {"replace": [list(edit) for edit in edits], "resealed": resealed}, expect)


def _line(word: str, number: int = 0) -> str:
    return [line for line in GOOD.split("\n") if line.startswith(f"{word} ") or line == word][number]


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    period = Scope(from_ms=FROM_MS + 2500, until_ms=FROM_MS + 4500)
    two = _log()
    two.open_epoch(29_000_000, "1/6/00112233445566778899aabbccddeeff")
    return [
        _file("letter", "all of a letter", _of_letter(), events=3, defects=[]),
        _file("period", "all of a time", _log().disclose(period, [(1, 2), (1, 3)]), events=3, defects=[]),
        _file(
            "mailbox",
            "what names a mailbox",
            _log().disclose(Scope(mailbox=MAILBOX, from_ms=0, until_ms=2**53 - 1), [(1, 3)]),
            events=2,
            defects=[],
        ),
        _file(
            "erased",
            "a leaf of the scope was erased; another auditor",
            _log().disclose(Scope(letter=LETTER), [(1, 3)], erased=[(1, 4)], to="00" * 16),
            events=2,
            defects=[],
        ),
        _file("epochs", "the first leaf of each epoch is there", two.disclose(period, []), events=2, defects=[]),
        _file(
            "outside",
            "an event of another letter",
            _log().disclose(Scope(letter=LETTER), [(1, 1), (1, 3)]),
            events=2,
            defects=["event 1/1"],
        ),
        _file(
            "another_record",
            "the record is of another disclosure",
            replace(_of_letter(), made_at_ms=FROM_MS),
            events=3,
            defects=["record"],
        ),
        _file(
            "opening_of_another_leaf",
            "two openings exchanged",
            _swapped(_of_letter()),
            events=1,
            defects=["event 1/3", "event 1/4", "record"],
        ),
        _edit("altered", "a changed digit, checksum as it was", "mismatch", ("made ", "made 1"), resealed=False),
        _edit("cut", "the checksum is missing", "malformed", (_line("sha256") + "\n", ""), resealed=False),
        _edit("version", "of a later version", "unknown_version", ("coffre-disclosure@v1", "coffre-disclosure@v2")),
        _edit("not_a_disclosure", "another header", "malformed", ("coffre-disclosure@v1", "coffre-evidence@v1")),
        _edit("unknown_line", "a line of no known sort", "malformed", ("\nrecord\n", "\nremark x\nrecord\n")),
        _edit("to_in_capitals", "another spelling of an id", "malformed", ("\nto -\n", f"\nto {'AA' * 16}\n")),
        _edit("leading_zero", "a number in another spelling", "malformed", ("event 1 3", "event 1 03")),
        _edit("events_out_of_order", "places must rise", "malformed", ("event 1 4", "event 1 2")),
        _edit("event_of_no_epoch", "an event without the head of its epoch", "malformed", ("event 1 4", "event 2 4")),
        _edit("scope_unknown", "another scope", "malformed", (_line("scope"), "scope all")),
        _edit("scope_empty", "a period that ends before it begins", "malformed", (_line("scope"), "scope period 5 5")),
        _edit("head_of_another_epoch", "the head is not of the epoch named", "mismatch", ("head 1", "head 2")),
        _edit("base64_stray_bits", "another spelling of base64", "not_canonical", _stray()),
        _edit(
            "opened_and_erased",
            "one leaf both",
            "malformed",
            ("\nrecord\n", "\nerased 1 4\nrecord\n"),
        ),
    ]


def _stray() -> tuple[str, str]:
    """The record's opening with a bit that base64 does not use: 32 bytes end in two bits of nothing and `=`."""
    line = _line("opening", -1)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = letters[letters.index(line[-2]) + 1]
    return line, line[:-2] + last + "="


def _swapped(made: Disclosure) -> Disclosure:
    first, one, other = made.events
    events = (first, replace(one, opening=other.opening), replace(other, opening=one.opening))
    return replace(made, events=events)


if __name__ == "__main__":
    write("disclosure", SPEC, cases())
