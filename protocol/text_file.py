"""Text files that prove themselves: a header with a version, lines, a checksum. Spec: spec/evidence.md, 9.

What `evidence_file.py` and `fork_file.py` share: every line is known, and there is one way to write given content.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from protocol.checkpoint import parse_origin, peek_checkpoint
from protocol.codec import check_binary
from protocol.cosignature import COSIGNATURE_BYTES, cosigners_named, witness_name
from protocol.crypto import sha256
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError, malformed
from protocol.ids import NodeId
from protocol.note import decode_base64, parse_note
from protocol.statement import MAX_CHAIN, MAX_STATEMENT_BYTES

__all__ = [
    "LineCursor",
    "NodeStatements",
    "checked_text",
    "checksummed",
    "encoded_line",
    "read_back",
    "statement_lines",
    "strict_cosigned_head",
    "strict_head",
    "take_node",
]

_CHECKSUM: Final = re.compile(rb"sha256 [0-9a-f]{64}\n")
_CHECKSUM_BYTES: Final = len("sha256 \n") + 64
_SIGNED_STATEMENT_BYTES: Final = MAX_STATEMENT_BYTES + 1024


@dataclass(frozen=True, slots=True)
class NodeStatements:
    """A node and its signed statements as StatementChain.raw_list gives them; unverified when read from a file."""

    node: NodeId
    statements: tuple[bytes, ...]


def encoded_line(word: str, data: bytes) -> str:
    """A word and bytes in base64."""
    return f"{word} {base64.b64encode(data).decode()}"


def statement_lines(node: NodeStatements) -> list[str]:
    """The line of a node and those of its statements."""
    return [f"node {node.node.text}", *(encoded_line("statement", raw) for raw in node.statements)]


def checksummed(lines: Iterable[str]) -> bytes:
    """The lines as bytes, with the checksum as last line."""
    body = "".join(f"{line}\n" for line in lines).encode()
    return body + f"sha256 {sha256(body).hex()}\n".encode()


def read_back(raw: bytes, parse: Callable[[bytes], object], what: str) -> bytes:
    """The bytes of a file that was just written, if they can be read. LocalProtocolError if not.

    what: it is, as "a disclosure".
    """
    try:
        parse(raw)
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"not {what}: {error}") from error
    return raw


def checked_text(raw: bytes, *, name: str, max_bytes: int) -> LineCursor:
    """The lines between header and checksum, once size, header `<name>@v1` and checksum hold.

    RemoteProtocolError: too_large, unknown_version, malformed, mismatch (the checksum).
    """
    if len(raw) > max_bytes:
        raise RemoteProtocolError(Reason.TOO_LARGE, f"{len(raw)} bytes, limit {max_bytes}")
    header = f"{name}@v1\n".encode()
    if not raw.startswith(header):
        if raw.startswith(f"{name}@".encode()):
            raise RemoteProtocolError(Reason.UNKNOWN_VERSION, f"a {name} file of another version")
        raise malformed(f"does not begin with {name}@v1")
    body, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
    if not _CHECKSUM.fullmatch(checksum):
        raise malformed("does not end in its checksum: cut short, or something stands after it")
    if checksum != f"sha256 {sha256(body).hex()}\n".encode():
        raise RemoteProtocolError(Reason.MISMATCH, "altered: the checksum is of another text")
    try:
        text = body[len(header) :].decode("utf-8")
    except UnicodeDecodeError as error:
        raise malformed("not UTF-8") from error
    return LineCursor(text.removesuffix("\n").split("\n"))


class LineCursor:
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
            raise malformed(f"line {self._at + 2}: expected {word}")
        self._at += 1
        return self._lines[self._at - 1].removeprefix(word).removeprefix(" ")

    def take_binary(self, word: str, low: int, high: int) -> bytes:
        """The decoded value after the word, low to high bytes."""
        return check_binary(decode_base64(self.take(word)), word, low, high)

    def take_block(self, what: str) -> bytes:
        """The lines up to the line `end`, as they stand."""
        try:
            end = self._lines.index("end", self._at)
        except ValueError:
            raise malformed(f"a {what} without an end") from None
        text = "".join(f"{line}\n" for line in self._lines[self._at : end])
        self._at = end + 1
        return text.encode()

    @property
    def done(self) -> bool:
        """Whether every line was taken."""
        return self._at == len(self._lines)


def strict_head(note: bytes) -> bytes:
    """A head with exactly one signature line, by its own tree: notes ignore others, and a stray byte would pass."""
    origin = peek_checkpoint(note).origin
    if [line.name for line in parse_note(note).signatures] != [origin]:
        raise malformed("a head has one signature line here, by its log")
    return note


def strict_cosigned_head(note: bytes) -> bytes:
    """A head with one line by its own tree, then cosignatures by other nodes in the order of names, none twice."""
    origin, lines = peek_checkpoint(note).origin, parse_note(note).signatures
    cosigners = cosigners_named(note)
    names = [witness_name(node_id) for node_id in cosigners]
    if [line.name for line in lines] != [origin, *names] or names != sorted(set(names)):
        raise malformed("a head has one line by its log here, then cosignatures in the order of their names")
    if parse_origin(origin)[1] in cosigners:
        raise malformed("a node does not cosign its own head")
    if any(len(line.signature) != COSIGNATURE_BYTES for line in lines[1:]):
        raise malformed("a cosignature of another length")
    return note


def take_node(cursor: LineCursor) -> NodeStatements:
    """The lines of a node: its id and 1 to 512 statements, none twice."""
    try:
        node = NodeId.from_text(cursor.take("node"))
    except ValueError as error:
        raise malformed(str(error)) from error
    statements: list[bytes] = []
    while cursor.next_is("statement"):
        statements.append(cursor.take_binary("statement", 1, _SIGNED_STATEMENT_BYTES))
    if not 0 < len(statements) <= MAX_CHAIN:
        raise malformed(f"a node has 1 to {MAX_CHAIN} statements")
    if len(set(statements)) != len(statements):
        raise malformed("one statement twice")
    return NodeStatements(node, tuple(statements))
