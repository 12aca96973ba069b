"""Writes evidence_file.txt, a good file, and evidence_file.json: edits of it, and other files, with what they come to.

A case has either `file`, the whole text, or `replace`: pairs of old and new text, each old one replaced where it first
stands in evidence_file.txt; with `resealed` the checksum line is then made anew.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

from spec.vectors.common import write
from spec.vectors.evidence_file_defects import cosigner_cases, defect_cases
from spec.vectors.evidence_file_edits import (
    GOOD,
    SPEC,
    UNCONFIRMED,
    case,
    cosigned_file,
    good,
    unread,
)
from spec.vectors.sample_letter import SampleLetter
from spec.vectors.sample_node import FROM_MS, SampleNode
from spec.vectors.sample_timestamps import TOKEN


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
        good(
            "cosigned",
            "three heads of one log, one of them cosigned by two institutions",
            cosigned_file(letter, one, other),
            UNCONFIRMED,
            witnesses=[0, 2, 0],
        ),
        good(
            "cosigned_by_two_names",
            "two identities share a witness key: one witness",
            cosigned_file(letter, one, alias),
            UNCONFIRMED,
            witnesses=[0, 1, 0],
        ),
        good(
            "cosigned_by_unexpected",
            "the reader knows both nodes of the letter, and one of three witnesses",
            cosigned_file(letter, one, other, twin),
            UNCONFIRMED,
            expected_nodes=[*nodes, other.node_id.hex()],
            witnesses=[0, 1, 0],
        ),
        good(
            "lost_key_cosigned_before",
            "a key that was lost later: the cosignature is from before, and no doubt is left",
            replace(early.file(), nodes=(*early.file().nodes, one.statements), events=(dated,), entries=()),
            UNCONFIRMED,
            witnesses=[1],
        ),
        case("complete", "the good file as it is", {"replace": [], "resealed": False}, "ok", doubts=UNCONFIRMED),
        good("expected_nodes", "the reader knows both nodes", file, [], expected_nodes=nodes),
        good(
            "no_entries",
            "who opened cannot be checked",
            replace(file, entries=()),
            ["node_unconfirmed", "opener_unknown"],
        ),
        good(
            "no_institution",
            "nobody vouches for the domain of the address",
            replace(file, events=file.events[:1], entries=file.entries[1:]),
            ["domain_unconfirmed", "node_unconfirmed"],
        ),
        good(
            "lost_key",
            "head under a key that a recovery replaced",
            replace(recovered.file(), events=(lost,), entries=()),
            ["lost_key", "node_unconfirmed"],
        ),
        good(
            "proved_anew",
            "the same leaf under a head of the new key",
            replace(recovered.file(), events=(kept,), entries=()),
            UNCONFIRMED,
        ),
        good("timestamp", "read, and not verified", stamped, ["node_unconfirmed", "timestamp_unconfirmed"]),
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
        unread("empty", "no bytes", "malformed", (GOOD, ""), resealed=False),
        unread("other_version", "a version that is not known", "unknown_version", ("evidence@v1", "evidence@v2")),
        unread("other_header", "another first line", "malformed", ("coffre-evidence@v1", "evidence")),
        unread(
            "changed_byte",
            "one letter of the letter id, checksum as before",
            "mismatch",
            (letter_line, letter_line[:-1] + "q"),
            resealed=False,
        ),
        unread("cut", "the checksum line is missing", "malformed", (lines[-2] + "\n", ""), resealed=False),
        unread(
            "after_the_end",
            "an empty line after the checksum",
            "malformed",
            (lines[-2], lines[-2] + "\n"),
            resealed=False,
        ),
        unread(
            "upper_case_checksum",
            "one spelling only",
            "malformed",
            (lines[-2], "sha256 " + lines[-2][7:].upper()),
            resealed=False,
        ),
        unread("carriage_return", "a line end of another system", "malformed", (node_line, node_line + "\r")),
        unread("no_letter", "the letter line is missing", "malformed", (letter_line + "\n", "")),
        unread(
            "upper_case_letter",
            "one spelling only",
            "not_canonical",
            (letter_line, "letter " + letter_line[7:].upper()),
        ),
        unread("no_statements", "a node without its statements", "malformed", (statement_line + "\n", "")),
        unread(
            "node_twice", "one node, two lists", "malformed", (node_line, f"{node_line}\n{statement_line}\n{node_line}")
        ),
        unread("no_events", "nothing to prove", "malformed", (events, "")),
        unread("entries_first", "entries before events", "malformed", (events + entries, entries + events)),
        unread("unknown_line", "a line of no known sort", "malformed", (leaf_line, f"comment hello\n{leaf_line}")),
        unread("empty_line", "an empty line between items", "malformed", ("end\nevent", "end\n\nevent")),
        unread(
            "unknown_signature",
            "a note may have it, this file may not",
            "malformed",
            (f"{signature_line}\n", f"{signature_line}\n{foreign}"),
        ),
        unread(
            "extra", "a proof may have it, this file may not", "malformed", ("@v1\nindex", "@v1\nextra AAAA\nindex")
        ),
        unread("no_end", "a proof without its end", "malformed", ("end\nevent", "event")),
        unread("stray_bits", "base64 with unused bits that are not zero", "not_canonical", (padded, stray)),
        unread(
            "timestamp_before_entries",
            "timestamps come last",
            "malformed",
            (entries, f"timestamp {base64.b64encode(TOKEN).decode()}\n{entries}"),
        ),
        unread("short_leaf", "a leaf of 57 bytes", "malformed", (leaf_line, leaf_line[:-4])),
    ]


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    return [*_good_cases(), *_unread_cases(), *cosigner_cases(), *defect_cases()]


if __name__ == "__main__":
    Path(__file__).with_name("evidence_file.txt").write_text(GOOD, encoding="utf-8")
    write("evidence_file", SPEC, cases())
