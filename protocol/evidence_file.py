"""The evidence of one letter as a text file that proves itself offline: writing and reading. Spec: spec/evidence.md, 9.

Notes ignore signature lines that they do not know, and a stray byte there would pass; so this file is stricter than
the formats that it holds: each line known, one way to write it, nothing after the end, a checksum over all of it.
`evidence_report.py` says what the file proves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from protocol.checkpoint import peek_checkpoint
from protocol.cosignature import cosigners_named
from protocol.details import MAX_DETAILS_BYTES
from protocol.entry import MAX_ENTRY_BYTES
from protocol.entry_evidence import EntryEvidence
from protocol.errors import Reason, RemoteProtocolError, malformed
from protocol.evidence import Evidence
from protocol.feed import FEED_LEAF_BYTES
from protocol.ids import LetterId
from protocol.logleaf import LEAF_BYTES, OPENING_BYTES
from protocol.text_file import (
    LineCursor,
    NodeStatements,
    checked_text,
    checksummed,
    encoded_line,
    read_back,
    statement_lines,
    strict_cosigned_head,
    strict_head,
    take_node,
)
from protocol.timestamp import MAX_TOKEN_BYTES
from protocol.tlogproof import TlogProof

__all__ = [
    "MAX_EVIDENCE_FILE_BYTES",
    "MAX_TIMESTAMPS",
    "EvidenceFile",
    "NodeStatements",
    "entry_lines",
    "parse_evidence_file",
    "take_entry",
    "write_evidence_file",
]

# A letter to 1,000 mailboxes, each deposited and opened, with their entries, takes 7 MB; the rest is for statements.
MAX_EVIDENCE_FILE_BYTES: Final = 16 * 1024 * 1024
# One a day for each log of a letter's way would be two or three; merged files may bring more.
MAX_TIMESTAMPS: Final = 64
_NAME: Final = "coffre-evidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceFile:
    """What the file holds. nodes: each whose log or feed an item is from, or that cosigned a head of it.

    events: one at least. entries: or none. timestamps: RFC 3161 tokens over heads of these proofs.
    """

    letter: LetterId
    nodes: tuple[NodeStatements, ...]
    events: tuple[Evidence, ...]
    entries: tuple[EntryEvidence, ...] = ()
    timestamps: tuple[bytes, ...] = ()

    @property
    def proofs(self) -> tuple[TlogProof, ...]:
        """The proofs of all events and entries."""
        return (*(item.proof for item in self.events), *(item.proof for item in self.entries))

    def arranged(self) -> EvidenceFile:
        """The same, in the order in which files are written: events by time, entries by their place."""
        return replace(
            self,
            nodes=tuple(sorted(self.nodes, key=lambda item: item.node)),
            events=tuple(sorted(self.events, key=_moment)),
            entries=tuple(sorted(self.entries, key=_place)),
            timestamps=tuple(sorted(self.timestamps)),
        )


def _moment(event: Evidence) -> tuple[bytes, ...]:
    return event.leaf[3:11], event.leaf, event.opening, event.details, event.proof.encode()


def _place(entry: EntryEvidence) -> tuple[str, int, bytes, bytes, bytes]:
    origin = peek_checkpoint(entry.proof.checkpoint).origin
    return origin, entry.proof.index, entry.leaf, entry.opening, entry.entry


def _proof_lines(proof: TlogProof) -> list[str]:
    return [*proof.encode().decode().removesuffix("\n").split("\n"), "end"]


def entry_lines(entry: EntryEvidence) -> Iterator[str]:
    """The lines of an entry, from `entry` to `end`."""
    yield "entry"
    yield encoded_line("leaf", entry.leaf)
    yield encoded_line("opening", entry.opening)
    yield encoded_line("published", entry.entry)
    yield from _proof_lines(entry.proof)


def _lines(file: EvidenceFile) -> Iterator[str]:
    yield f"{_NAME}@v1"
    yield f"letter {file.letter.text}"
    for node in file.nodes:
        yield from statement_lines(node)
    for event in file.events:
        yield "event"
        yield encoded_line("leaf", event.leaf)
        yield encoded_line("opening", event.opening)
        yield encoded_line("details", event.details)
        yield from _proof_lines(event.proof)
    for entry in file.entries:
        yield from entry_lines(entry)
    for token in file.timestamps:
        yield encoded_line("timestamp", token)


def _render(file: EvidenceFile) -> bytes:
    return checksummed(_lines(file))


def write_evidence_file(file: EvidenceFile) -> bytes:
    """The file's bytes, UTF-8. LocalProtocolError if they could not be read back (nothing in it, too large, …)."""
    return read_back(_render(file), parse_evidence_file, "an evidence file")


def _take_proof(cursor: LineCursor, strict: Callable[[bytes], bytes]) -> TlogProof:
    proof = TlogProof.decode(cursor.take_block("proof"))
    strict(proof.checkpoint)
    return proof


def _take_event(cursor: LineCursor) -> Evidence:
    cursor.take("event")
    return Evidence(
        cursor.take_binary("leaf", LEAF_BYTES, LEAF_BYTES),
        cursor.take_binary("opening", OPENING_BYTES, OPENING_BYTES),
        cursor.take_binary("details", 1, MAX_DETAILS_BYTES),
        _take_proof(cursor, strict_cosigned_head),
    )


def take_entry(cursor: LineCursor) -> EntryEvidence:
    """The entry whose lines come next. RemoteProtocolError: malformed, not_canonical, too_large, unknown_version."""
    cursor.take("entry")
    return EntryEvidence(
        cursor.take_binary("leaf", FEED_LEAF_BYTES, FEED_LEAF_BYTES),
        cursor.take_binary("opening", OPENING_BYTES, OPENING_BYTES),
        cursor.take_binary("published", 1, MAX_ENTRY_BYTES),
        _take_proof(cursor, strict_head),
    )


def parse_evidence_file(raw: bytes) -> EvidenceFile:
    """Read a file; nothing in it is true before `verify_evidence_file`.

    RemoteProtocolError: too_large, unknown_version, malformed, mismatch (the checksum), not_canonical.
    """
    cursor = checked_text(raw, name=_NAME, max_bytes=MAX_EVIDENCE_FILE_BYTES)
    try:
        letter = LetterId.from_text(cursor.take("letter"))
    except ValueError as error:
        raise malformed(str(error)) from error
    nodes, events, entries = [take_node(cursor)], [], []
    while cursor.next_is("node"):
        nodes.append(take_node(cursor))
    events.append(_take_event(cursor))
    while cursor.next_is("event"):
        events.append(_take_event(cursor))
    while cursor.next_is("entry"):
        entries.append(take_entry(cursor))
    timestamps = []
    while cursor.next_is("timestamp"):
        timestamps.append(cursor.take_binary("timestamp", 1, MAX_TOKEN_BYTES))
    if not cursor.done:
        raise malformed("a line of no known sort, or out of order")
    if len({item.node for item in nodes}) != len(nodes):
        raise malformed("one node twice")
    named = {node for event in events for node in cosigners_named(event.proof.checkpoint)}
    if not named <= {item.node for item in nodes}:
        raise malformed("a cosignature by a node without statements here")
    if len(timestamps) > MAX_TIMESTAMPS:
        raise RemoteProtocolError(Reason.TOO_LARGE, f"more than {MAX_TIMESTAMPS} timestamps")
    for items in (events, entries, timestamps):
        if len(set(items)) != len(items):
            raise malformed("one event, entry or timestamp twice")
    file = EvidenceFile(
        letter=letter,
        nodes=tuple(nodes),
        events=tuple(events),
        entries=tuple(entries),
        timestamps=tuple(timestamps),
    )
    if _render(file) != raw:
        raise RemoteProtocolError(Reason.NOT_CANONICAL, "written in another way than the one allowed")
    return file
