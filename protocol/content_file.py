"""What opens one letter's content to a third party, as a text file: key and the chunks that hold the signed letter.

Spec: spec/evidence.md, 16. It proves nothing by itself; `content_report.py` holds it against an evidence file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from protocol.crypto import Secret
from protocol.entry_evidence import EntryEvidence
from protocol.errors import Reason, RemoteProtocolError, malformed
from protocol.evidence_file import entry_lines, take_entry
from protocol.ids import LetterId
from protocol.payload import CHUNK_BYTES, TAG_BYTES
from protocol.text_file import (
    LineCursor,
    NodeStatements,
    checked_text,
    checksummed,
    encoded_line,
    read_back,
    statement_lines,
    take_node,
)

__all__ = [
    "MAX_CONTENT_FILE_BYTES",
    "ContentFile",
    "SentChunk",
    "parse_content_file",
    "write_content_file",
]

# The longest signed letter lies in 34 chunks, 12 MB in base64; the rest is for statements and entries.
MAX_CONTENT_FILE_BYTES: Final = 16 * 1024 * 1024
_MAX_CHUNKS: Final = 34
# A payload has at most 8,448 chunks.
_MAX_PATH: Final = 14
_NAME: Final = "coffre-content"
_KEY_BYTES: Final = 32
_HASH_BYTES: Final = 32
_DESCRIPTOR_BYTES: Final = 72


@dataclass(frozen=True, slots=True)
class SentChunk:
    """One chunk as it was sent (ciphertext and tag), and its inclusion path in the descriptor's root."""

    data: bytes = field(repr=False)
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentFile:
    """What opens the letter. chunks: the last ones of the payload, in order. key: opens the attachments as well.

    nodes, entries: whom the sender's institution published the sender as.
    """

    letter: LetterId
    descriptor: bytes
    key: Secret
    chunks: tuple[SentChunk, ...]
    nodes: tuple[NodeStatements, ...] = ()
    entries: tuple[EntryEvidence, ...] = ()


def _lines(content: ContentFile) -> Iterator[str]:
    yield f"{_NAME}@v1"
    yield f"letter {content.letter.text}"
    yield encoded_line("descriptor", content.descriptor)
    yield encoded_line("key", content.key.reveal())
    for chunk in content.chunks:
        yield encoded_line("chunk", chunk.data)
        for hashed in chunk.path:
            yield encoded_line("hash", hashed)
    for node in content.nodes:
        yield from statement_lines(node)
    for entry in content.entries:
        yield from entry_lines(entry)


def write_content_file(content: ContentFile) -> bytes:
    """The file's bytes: a secret. LocalProtocolError for what `parse_content_file` would refuse."""
    return read_back(checksummed(_lines(content)), parse_content_file, "a content file")


def _take_chunk(cursor: LineCursor) -> SentChunk:
    data = cursor.take_binary("chunk", TAG_BYTES + 1, CHUNK_BYTES + TAG_BYTES)
    path: list[bytes] = []
    while cursor.next_is("hash"):
        path.append(cursor.take_binary("hash", _HASH_BYTES, _HASH_BYTES))
    if len(path) > _MAX_PATH:
        raise RemoteProtocolError(Reason.TOO_LARGE, "more hashes than any payload needs")
    return SentChunk(data, tuple(path))


def parse_content_file(raw: bytes) -> ContentFile:
    """Read a file; nothing in it is true before `verify_content`.

    RemoteProtocolError: too_large, unknown_version, malformed, mismatch (the checksum), not_canonical.
    """
    cursor = checked_text(raw, name=_NAME, max_bytes=MAX_CONTENT_FILE_BYTES)
    try:
        letter = LetterId.from_text(cursor.take("letter"))
    except ValueError as error:
        raise malformed(str(error)) from error
    descriptor = cursor.take_binary("descriptor", _DESCRIPTOR_BYTES, _DESCRIPTOR_BYTES)
    key = Secret(cursor.take_binary("key", _KEY_BYTES, _KEY_BYTES))
    chunks, nodes, entries = [_take_chunk(cursor)], [], []
    while cursor.next_is("chunk"):
        chunks.append(_take_chunk(cursor))
    if len(chunks) > _MAX_CHUNKS:
        raise RemoteProtocolError(Reason.TOO_LARGE, "more chunks than any signed letter fills")
    while cursor.next_is("node"):
        nodes.append(take_node(cursor))
    while cursor.next_is("entry"):
        entries.append(take_entry(cursor))
    if not cursor.done:
        raise malformed("a line of no known sort, or out of order")
    if len({item.node for item in nodes}) != len(nodes) or len(set(entries)) != len(entries):
        raise malformed("one node or entry twice")
    content = ContentFile(
        letter=letter,
        descriptor=descriptor,
        key=key,
        chunks=tuple(chunks),
        nodes=tuple(nodes),
        entries=tuple(entries),
    )
    if checksummed(_lines(content)) != raw:
        raise RemoteProtocolError(Reason.NOT_CANONICAL, "written in another way than the one allowed")
    return content
