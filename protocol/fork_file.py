"""A fork as a text file that proves itself offline. Spec: spec/evidence.md, 13."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from protocol.checkpoint import CheckpointVerifier
from protocol.errors import Reason, RemoteProtocolError
from protocol.evidence_findings import Doubt
from protocol.fork_proof import MAX_FORK_HASHES, ForkProof, VerifiedFork
from protocol.merkle import HASH_BYTES
from protocol.statement import StatementChain
from protocol.text_file import (
    LineCursor,
    NodeStatements,
    checked_text,
    checksummed,
    encoded_line,
    read_back,
    statement_lines,
    strict_head,
    take_node,
)

__all__ = ["MAX_FORK_FILE_BYTES", "ForkFile", "ForkReport", "is_fork_file", "parse_fork_file", "write_fork_file"]

MAX_FORK_FILE_BYTES: Final = 16 * 1024 * 1024
"""512 statements of the largest size take 12 MB; with two of the usual size the file has 10 kB."""
_NAME: Final = "coffre-fork"


@dataclass(frozen=True, slots=True)
class ForkReport:
    """What a file proves. doubts: what the file alone cannot answer."""

    found: VerifiedFork
    doubts: tuple[Doubt, ...]


@dataclass(frozen=True, slots=True)
class ForkFile:
    """A node's statements and two of its heads."""

    node: NodeStatements
    proof: ForkProof

    def verify(self) -> ForkReport:
        """Check it with nothing but itself.

        RemoteProtocolError: as StatementChain.from_raw_list; mismatch (statements of another node); as
        ForkProof.verify.
        """
        chain = StatementChain.from_raw_list(self.node.statements)
        if chain.node_id != self.node.node:
            raise RemoteProtocolError(Reason.MISMATCH, "the statements are of another node")
        found = self.proof.verify(CheckpointVerifier(chain.node_id, chain.log_keys()))
        doubts = [Doubt.NODE_UNCONFIRMED]
        try:
            self.proof.verify(CheckpointVerifier(chain.node_id, chain.trusted_log_keys()))
        except RemoteProtocolError:
            # A thief of the key could have signed one of the two.
            doubts.append(Doubt.LOST_KEY)
        return ForkReport(found, tuple(doubts))


def _lines(file: ForkFile) -> Iterator[str]:
    yield f"{_NAME}@v1"
    yield from statement_lines(file.node)
    for note in (file.proof.first, file.proof.second):
        yield "head"
        yield from note.decode().removesuffix("\n").split("\n")
        yield "end"
    if file.proof.prefix is not None:
        yield encoded_line("prefix", file.proof.prefix)
        for item in file.proof.hashes:
            yield encoded_line("hash", item)


def write_fork_file(file: ForkFile) -> bytes:
    """The file's bytes, UTF-8. LocalProtocolError if they could not be read back."""
    return read_back(checksummed(_lines(file)), parse_fork_file, "a fork file")


def is_fork_file(raw: bytes) -> bool:
    """Whether this begins as a fork file of any version."""
    return raw.startswith(f"{_NAME}@".encode())


def _take_head(cursor: LineCursor) -> bytes:
    if cursor.take("head"):
        raise RemoteProtocolError(Reason.MALFORMED, "a head begins on a line of its own")
    return strict_head(cursor.take_block("head"))


def parse_fork_file(raw: bytes) -> ForkFile:
    """Read a file; nothing in it is true before `ForkFile.verify`.

    RemoteProtocolError: too_large, unknown_version, malformed, mismatch (the checksum; heads of two trees),
    not_canonical.
    """
    cursor = checked_text(raw, name=_NAME, max_bytes=MAX_FORK_FILE_BYTES)
    node = take_node(cursor)
    first, second = _take_head(cursor), _take_head(cursor)
    prefix: bytes | None = None
    hashes: list[bytes] = []
    if cursor.next_is("prefix"):
        prefix = cursor.take_binary("prefix", HASH_BYTES, HASH_BYTES)
        while cursor.next_is("hash") and len(hashes) < MAX_FORK_HASHES:
            hashes.append(cursor.take_binary("hash", HASH_BYTES, HASH_BYTES))
    if not cursor.done:
        raise RemoteProtocolError(Reason.MALFORMED, "a line of no known sort, or out of order")
    proof = ForkProof(first=first, second=second, prefix=prefix, hashes=tuple(hashes))
    proof.check_shape()
    file = ForkFile(node, proof)
    if checksummed(_lines(file)) != raw:
        raise RemoteProtocolError(Reason.NOT_CANONICAL, "written in another way than the one allowed")
    return file
