"""Heads that somebody holds, as a text file for others to compare with. Spec: spec/audit.md, 5."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.text_file import (
    NodeStatements,
    checked_text,
    checksummed,
    statement_lines,
    strict_head,
    take_node,
)

__all__ = ["MAX_HEADS_FILE_BYTES", "HeldHeads", "is_heads_file", "parse_heads_file", "write_heads_file"]

MAX_HEADS_FILE_BYTES: Final = 64 * 1024 * 1024
"""Some hundred thousand heads of 400 bytes, with the statements of three thousand nodes."""
_NAME: Final = "coffre-heads"


@dataclass(frozen=True, slots=True)
class HeldHeads:
    """A node, its statements, and the heads of its logs that somebody holds, each with one signature line."""

    node: NodeStatements
    heads: tuple[bytes, ...]


def _lines(held: Iterable[HeldHeads]) -> Iterator[str]:
    yield f"{_NAME}@v1"
    for item in held:
        yield from statement_lines(item.node)
        for note in item.heads:
            yield "head"
            yield from note.decode().removesuffix("\n").split("\n")
            yield "end"


def is_heads_file(raw: bytes) -> bool:
    """Whether a file begins as one."""
    return raw.startswith(f"{_NAME}@".encode())


def write_heads_file(held: Iterable[HeldHeads]) -> bytes:
    """The file's bytes. LocalProtocolError if they could not be read back (no node, one twice, too large)."""
    raw = checksummed(_lines(held))
    try:
        parse_heads_file(raw)
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"not a file of heads: {error}") from error
    return raw


def parse_heads_file(raw: bytes) -> list[HeldHeads]:
    """Read a file; no signature in it is checked.

    RemoteProtocolError: too_large, unknown_version, malformed, mismatch (checksum), not_canonical.
    """
    cursor = checked_text(raw, name=_NAME, max_bytes=MAX_HEADS_FILE_BYTES)
    held: list[HeldHeads] = []
    while not held or not cursor.done:
        node, heads = take_node(cursor), []
        while cursor.next_is("head"):
            if cursor.take("head"):
                raise RemoteProtocolError(Reason.MALFORMED, "nothing stands after head")
            heads.append(strict_head(cursor.take_block("head")))
        held.append(HeldHeads(node, tuple(heads)))
    if len({item.node.node for item in held}) != len(held):
        raise RemoteProtocolError(Reason.MALFORMED, "one node twice")
    if checksummed(_lines(held)) != raw:
        raise RemoteProtocolError(Reason.NOT_CANONICAL, "written in another way than the one allowed")
    return held
