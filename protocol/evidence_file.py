"""The evidence of one letter as a text file that proves itself offline: writing and reading. Spec: spec/evidence.md, 9.

Notes ignore signature lines that they do not know, and a stray byte there would pass; so this file is stricter than
the formats that it holds: each line known, one way to write it, nothing after the end, a checksum over all of it.
`evidence_report.py` says what the file proves.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from protocol.checkpoint import peek_checkpoint
from protocol.codec import check_binary
from protocol.crypto import sha256
from protocol.details import MAX_DETAILS_BYTES
from protocol.entry import MAX_ENTRY_BYTES
from protocol.entry_evidence import EntryEvidence
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.evidence import Evidence
from protocol.feed import FEED_LEAF_BYTES
from protocol.ids import LetterId, NodeId
from protocol.logleaf import LEAF_BYTES, OPENING_BYTES
from protocol.note import decode_base64, parse_note
from protocol.statement import MAX_CHAIN, MAX_STATEMENT_BYTES
from protocol.tlogproof import TlogProof

__all__ = [
    "MAX_EVIDENCE_FILE_BYTES",
    "EvidenceFile",
    "NodeStatements",
    "parse_evidence_file",
    "write_evidence_file",
]

# A letter to 1,000 mailboxes, each deposited and opened, with their entries, takes 7 MB; the rest is for statements.
MAX_EVIDENCE_FILE_BYTES: Final = 16 * 1024 * 1024
_HEADER: Final = "coffre-evidence@v1"
_CHECKSUM: Final = re.compile(rb"sha256 [0-9a-f]{64}\n")
_CHECKSUM_BYTES: Final = len("sha256 \n") + 64
_SIGNED_STATEMENT_BYTES: Final = MAX_STATEMENT_BYTES + 1024


@dataclass(frozen=True, slots=True)
class NodeStatements:
    """A node and its signed statements as StatementChain.raw_list gives them; unverified when read from a file."""

    node: NodeId
    statements: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceFile:
    """What the file holds. nodes: each whose log or feed an item is from. events: one at least. entries: or none."""

    letter: LetterId
    nodes: tuple[NodeStatements, ...]
    events: tuple[Evidence, ...]
    entries: tuple[EntryEvidence, ...] = ()


def _encoded(word: str, data: bytes) -> str:
    return f"{word} {base64.b64encode(data).decode()}"


def _proof_lines(proof: TlogProof) -> list[str]:
    return [*proof.encode().decode().removesuffix("\n").split("\n"), "end"]


def _lines(file: EvidenceFile) -> Iterator[str]:
    yield _HEADER
    yield f"letter {file.letter.text}"
    for node in file.nodes:
        yield f"node {node.node.text}"
        for raw in node.statements:
            yield _encoded("statement", raw)
    for event in file.events:
        yield "event"
        yield _encoded("leaf", event.leaf)
        yield _encoded("opening", event.opening)
        yield _encoded("details", event.details)
        yield from _proof_lines(event.proof)
    for entry in file.entries:
        yield "entry"
        yield _encoded("leaf", entry.leaf)
        yield _encoded("opening", entry.opening)
        yield _encoded("published", entry.entry)
        yield from _proof_lines(entry.proof)


def _render(file: EvidenceFile) -> bytes:
    body = "".join(f"{line}\n" for line in _lines(file)).encode()
    return body + f"sha256 {sha256(body).hex()}\n".encode()


def write_evidence_file(file: EvidenceFile) -> bytes:
    """The file's bytes, UTF-8. LocalProtocolError if they could not be read back (nothing in it, too large, …)."""
    raw = _render(file)
    try:
        parse_evidence_file(raw)
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"not an evidence file: {error}") from error
    return raw


def _malformed(detail: str) -> RemoteProtocolError:
    return RemoteProtocolError(Reason.MALFORMED, detail)


class _Cursor:
    """The lines between header and checksum, taken one after the other."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._at = 0

    def next_is(self, word: str) -> bool:
        """Whether a line that begins with this word comes next."""
        return self._at < len(self._lines) and self._lines[self._at].partition(" ")[0] == word

    def take(self, word: str) -> str:
        """What stands after the word in the next line; empty for a line of the word alone."""
        if not self.next_is(word):
            raise _malformed(f"line {self._at + 2}: expected {word}")
        self._at += 1
        return self._lines[self._at - 1].removeprefix(word).removeprefix(" ")

    def take_binary(self, word: str, low: int, high: int) -> bytes:
        """The decoded value after the word, low to high bytes."""
        return check_binary(decode_base64(self.take(word)), word, low, high)

    def take_proof(self) -> TlogProof:
        """The lines of a proof, up to the line `end`."""
        try:
            end = self._lines.index("end", self._at)
        except ValueError:
            raise _malformed("a proof without an end") from None
        text = "".join(f"{line}\n" for line in self._lines[self._at : end])
        self._at = end + 1
        return _strict_proof(text.encode())

    @property
    def done(self) -> bool:
        """Whether every line was taken."""
        return self._at == len(self._lines)


def _strict_proof(raw: bytes) -> TlogProof:
    proof = TlogProof.decode(raw)
    origin = peek_checkpoint(proof.checkpoint).origin
    if [line.name for line in parse_note(proof.checkpoint).signatures] != [origin]:
        raise _malformed("a head has one signature line here, by its log")
    return proof


def _take_node(cursor: _Cursor) -> NodeStatements:
    try:
        node = NodeId.from_text(cursor.take("node"))
    except ValueError as error:
        raise _malformed(str(error)) from error
    statements: list[bytes] = []
    while cursor.next_is("statement"):
        statements.append(cursor.take_binary("statement", 1, _SIGNED_STATEMENT_BYTES))
    if not 0 < len(statements) <= MAX_CHAIN:
        raise _malformed(f"a node has 1 to {MAX_CHAIN} statements")
    return NodeStatements(node, tuple(statements))


def _take_event(cursor: _Cursor) -> Evidence:
    cursor.take("event")
    return Evidence(
        cursor.take_binary("leaf", LEAF_BYTES, LEAF_BYTES),
        cursor.take_binary("opening", OPENING_BYTES, OPENING_BYTES),
        cursor.take_binary("details", 1, MAX_DETAILS_BYTES),
        cursor.take_proof(),
    )


def _take_entry(cursor: _Cursor) -> EntryEvidence:
    cursor.take("entry")
    return EntryEvidence(
        cursor.take_binary("leaf", FEED_LEAF_BYTES, FEED_LEAF_BYTES),
        cursor.take_binary("opening", OPENING_BYTES, OPENING_BYTES),
        cursor.take_binary("published", 1, MAX_ENTRY_BYTES),
        cursor.take_proof(),
    )


def _checked_body(raw: bytes) -> str:
    """The text between header and checksum, once size, header and checksum hold."""
    if len(raw) > MAX_EVIDENCE_FILE_BYTES:
        raise RemoteProtocolError(Reason.TOO_LARGE, f"{len(raw)} bytes, limit {MAX_EVIDENCE_FILE_BYTES}")
    header = f"{_HEADER}\n".encode()
    if not raw.startswith(header):
        if raw.startswith(b"coffre-evidence@"):
            raise RemoteProtocolError(Reason.UNKNOWN_VERSION, "an evidence file of another version")
        raise _malformed(f"does not begin with {_HEADER}")
    body, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
    if not _CHECKSUM.fullmatch(checksum):
        raise _malformed("does not end in its checksum: cut short, or something stands after it")
    if checksum != f"sha256 {sha256(body).hex()}\n".encode():
        raise RemoteProtocolError(Reason.MISMATCH, "altered: the checksum is of another text")
    try:
        return body[len(header) :].decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed("not UTF-8") from error


def parse_evidence_file(raw: bytes) -> EvidenceFile:
    """Read a file; nothing in it is true before `verify_evidence_file`.

    RemoteProtocolError: too_large, unknown_version, malformed, mismatch (the checksum), not_canonical.
    """
    text = _checked_body(raw)
    cursor = _Cursor(text.removesuffix("\n").split("\n"))
    try:
        letter = LetterId.from_text(cursor.take("letter"))
    except ValueError as error:
        raise _malformed(str(error)) from error
    nodes, events, entries = [_take_node(cursor)], [], []
    while cursor.next_is("node"):
        nodes.append(_take_node(cursor))
    events.append(_take_event(cursor))
    while cursor.next_is("event"):
        events.append(_take_event(cursor))
    while cursor.next_is("entry"):
        entries.append(_take_entry(cursor))
    if not cursor.done:
        raise _malformed("a line of no known sort, or out of order")
    if len({item.node for item in nodes}) != len(nodes):
        raise _malformed("one node twice")
    for items in (*(node.statements for node in nodes), events, entries):
        if len(set(items)) != len(items):
            raise _malformed("one statement, event or entry twice")
    file = EvidenceFile(letter=letter, nodes=tuple(nodes), events=tuple(events), entries=tuple(entries))
    if _render(file) != raw:
        raise RemoteProtocolError(Reason.NOT_CANONICAL, "written in another way than the one allowed")
    return file
