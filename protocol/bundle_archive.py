"""The archive of a bundle: a POSIX tar of one form only, read from its beginning to its end in bounded memory.

Spec: spec/bundle.md, 2 and 6. The reader is handed a function that reads; it never seeks, and what it gives out was
checked against the signed manifest before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from protocol.bundle import (
    MAX_MANIFEST_BYTES,
    MAX_PART_BYTES,
    PART_OVERHEAD_BYTES,
    Manifest,
    Member,
    MemberKind,
    SignedManifest,
    decode_manifest,
)
from protocol.codec import check_binary, decode, encode
from protocol.crypto import sha256
from protocol.envelope import MAX_ENVELOPE_BYTES, Envelope, decode_envelope
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.messages_directory import MAX_SIGNED_STATEMENT_BYTES
from protocol.payload import Descriptor, verify_chunk, verify_chunk_hashes
from protocol.statement import MAX_CHAIN, StatementChain

__all__ = [
    "ARCHIVE_END",
    "BLOCK_BYTES",
    "ArchiveReader",
    "SectionReader",
    "decode_statements",
    "encode_statements",
    "manifest_name",
    "member_name",
    "padding_after",
    "tar_header",
]

BLOCK_BYTES: Final = 512
ARCHIVE_END: Final = bytes(2 * BLOCK_BYTES)
_MAX_STATEMENTS_BYTES: Final = MAX_CHAIN * (MAX_SIGNED_STATEMENT_BYTES + 5) + 8
_HASH_BYTES: Final = 32
_SIZE_FIELD: Final = slice(124, 135)
_LIMITS: Final = {
    MemberKind.STATEMENTS: _MAX_STATEMENTS_BYTES,
    MemberKind.PART: MAX_PART_BYTES + PART_OVERHEAD_BYTES,
    MemberKind.ENVELOPE: MAX_ENVELOPE_BYTES,
    MemberKind.HASHES: 8448 * _HASH_BYTES,
}

Read = Callable[[int], bytes]
"""At most so many of the next bytes; fewer only at the end."""


def tar_header(name: str, size: int) -> bytes:
    """The one header that a member of this name and size has: ustar, mode 0600, no owner, no time."""
    raw = name.encode("ascii")
    if len(raw) > 99 or not 0 <= size < 2**33:
        raise LocalProtocolError(f"no header for {name} of {size} bytes")
    block = bytearray(BLOCK_BYTES)
    block[: len(raw)] = raw
    for at, text in (
        (100, b"0000600"),
        (108, b"0000000"),
        (116, b"0000000"),
        (124, b"%011o" % size),
        (136, b"00000000000"),
        (148, b" " * 8),
        (156, b"0"),
        (257, b"ustar\x0000"),
    ):
        block[at : at + len(text)] = text
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padding_after(size: int) -> int:
    """Zero bytes between a member's end and the next header."""
    return -size % BLOCK_BYTES


def manifest_name(section: int) -> str:
    """`01/manifest`."""
    return f"{section:02}/manifest"


def member_name(section: int, index: int, kind: MemberKind) -> str:
    """`01/00001.statements`: index counts from 1."""
    return f"{section:02}/{index + 1:05}.{kind.word}"


def encode_statements(chain: StatementChain) -> bytes:
    """The first member: a list of signed statements."""
    return encode(chain.raw_list())


def decode_statements(raw: bytes) -> StatementChain:
    """RemoteProtocolError: what decoding and checking a chain raises."""
    values = decode(raw, max_bytes=_MAX_STATEMENTS_BYTES)
    if not isinstance(values, list):
        raise RemoteProtocolError(Reason.MALFORMED, "expected a list of statements")
    raws = [check_binary(value, "statement", 1, MAX_SIGNED_STATEMENT_BYTES) for value in values]
    return StatementChain.from_raw_list(raws)


class _Input:
    """The bytes of the file, counted."""

    __slots__ = ("_read", "position")

    def __init__(self, read: Read) -> None:
        self._read = read
        self.position = 0

    def take(self, count: int) -> bytes:
        """Exactly so many bytes. RemoteProtocolError(malformed) if the file ends before."""
        data = self._read(count)
        self.position += len(data)
        if len(data) != count:
            raise RemoteProtocolError(Reason.MALFORMED, f"the file is cut short after {self.position} bytes")
        return data

    def header(self, name: str, size: int) -> None:
        """The next block must be this header and nothing else."""
        if self.take(BLOCK_BYTES) != tar_header(name, size):
            raise RemoteProtocolError(Reason.MALFORMED, f"no plain header of {name} where it must be")

    def padding(self, size: int) -> None:
        """The zeros after a member."""
        if self.take(padding_after(size)).strip(b"\0"):
            raise RemoteProtocolError(Reason.MALFORMED, "padding that is not zero")

    def end(self) -> None:
        """One block of zeros was read: one more, and nothing after it."""
        if self.take(BLOCK_BYTES) != bytes(BLOCK_BYTES) or self._read(1):
            raise RemoteProtocolError(Reason.MALFORMED, "the end of the archive is not as it must be")


class SectionReader:
    """One section, its manifest verified. Members are taken in order; `next` first finishes the one before."""

    def __init__(self, source: _Input, signed: SignedManifest, chain: StatementChain) -> None:
        self.signed = signed
        self.chain = chain
        """The sender's statements as the bundle brings them: they verify its signature. Whether the sender is who it
        should be is for the caller to say.
        """
        self._source = source
        self._index = 1
        self._open: tuple[Descriptor, tuple[bytes, ...]] | None = None

    @property
    def manifest(self) -> Manifest:
        """The manifest, its signature checked."""
        return self.signed.manifest

    def next_member(self) -> tuple[int, Member] | None:
        """The next member's place and row; None after the last. Call `small` or `envelope` for it."""
        if self._open is not None:
            for _ in self.chunks():
                pass
        if self._index == len(self.manifest.members):
            return None
        index = self._index
        self._index += 1
        return index, self.manifest.members[index]

    def small(self, index: int) -> bytes:
        """A member of bounded size, checked. RemoteProtocolError: too_large, mismatch, malformed."""
        return _small(self._source, self.manifest, index)

    def envelope(self, index: int) -> tuple[Envelope, tuple[bytes, ...]]:
        """An envelope with the chunk hashes of its payload, which `chunks` then gives. All of it checked.

        hashes: empty for a payload of one chunk. RemoteProtocolError: what `small` and decoding raise, not_for_us,
        mismatch (a payload that is not the envelope's).
        """
        envelope = decode_envelope(self.small(index))
        if envelope.head.destination != self.manifest.destination:
            raise RemoteProtocolError(Reason.NOT_FOR_US, "an envelope to another node than the manifest names")
        descriptor = envelope.head.descriptor
        hashes: tuple[bytes, ...] = ()
        member = self.manifest.members[self._index]
        if member.kind is MemberKind.HASHES:
            joined = self.small(self._index)
            hashes = tuple(joined[at : at + _HASH_BYTES] for at in range(0, len(joined), _HASH_BYTES))
            self._index += 1
            member = self.manifest.members[self._index]
        if bool(hashes) is not (descriptor.chunk_count > 1):
            raise RemoteProtocolError(Reason.MISMATCH, "chunk hashes where there is one chunk, or none where there are")
        if hashes:
            verify_chunk_hashes(descriptor, hashes)
        if (member.size, member.digest) != (descriptor.ciphertext_length, descriptor.payload_id):
            raise RemoteProtocolError(Reason.MISMATCH, "a payload that is not the envelope's")
        self._source.header(member_name(self.manifest.section, self._index, MemberKind.PAYLOAD), member.size)
        self._index += 1
        self._open = (descriptor, hashes)
        return envelope, hashes

    def chunks(self) -> Iterator[bytes]:
        """The ciphertext chunks of the envelope's payload, each checked before it is given. To be taken to the end."""
        if self._open is None:
            raise LocalProtocolError("no payload is open")
        descriptor, hashes = self._open
        self._open = None
        for index in range(descriptor.chunk_count):
            chunk = self._source.take(descriptor.chunk_length(index))
            verify_chunk(descriptor, hashes, index, chunk)
            yield chunk
        self._source.padding(descriptor.ciphertext_length)

    def take(self, index: int, member: Member) -> None:
        """Read and check a member, and hand out nothing of it."""
        if member.kind is not MemberKind.ENVELOPE:
            self.small(index)
            return
        self.envelope(index)
        for _ in self.chunks():
            pass


def _small(source: _Input, manifest: Manifest, index: int) -> bytes:
    member = manifest.members[index]
    if member.size > _LIMITS.get(member.kind, 0):
        raise RemoteProtocolError(Reason.TOO_LARGE, f"{member.kind.word} of {member.size} bytes")
    source.header(member_name(manifest.section, index, member.kind), member.size)
    data = source.take(member.size)
    source.padding(member.size)
    if sha256(data) != member.digest:
        raise RemoteProtocolError(Reason.MISMATCH, f"{member.kind.word} {index + 1} is not what the manifest names")
    return data


class ArchiveReader:
    """A bundle from its first byte on. `next_section` until None: then the file is whole and ends where it must."""

    def __init__(self, read: Read) -> None:
        self._source = _Input(read)
        self._last: Manifest | None = None
        self._section: SectionReader | None = None

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._source.position

    def next_section(self) -> SectionReader | None:
        """The next section, its signature verified by the statements that it brings.

        What was not taken of the one before is read and checked first. RemoteProtocolError for whatever is not as the
        spec says.
        """
        if self._section is not None:
            while (member := self._section.next_member()) is not None:
                self._section.take(*member)
            self._section = None
        block = self._source.take(BLOCK_BYTES)
        if block == bytes(BLOCK_BYTES):
            if self._last is None or self._last.section != self._last.sections:
                raise RemoteProtocolError(Reason.MALFORMED, "the archive ends before its last section")
            self._source.end()
            return None
        number = 1 if self._last is None else self._last.section + 1
        raw = self._manifest(block, number)
        signed = decode_manifest(raw)
        manifest = signed.manifest
        self._check_place(manifest, number)
        chain = decode_statements(_small(self._source, manifest, 0))
        signed.verify(chain)
        self._last = manifest
        self._section = SectionReader(self._source, signed, chain)
        return self._section

    def _manifest(self, block: bytes, number: int) -> bytes:
        try:
            size = int(block[_SIZE_FIELD].decode("ascii"), 8)
        except ValueError as error:
            raise RemoteProtocolError(Reason.MALFORMED, "not a bundle of Coffre") from error
        if not 0 < size <= MAX_MANIFEST_BYTES or block != tar_header(manifest_name(number), size):
            raise RemoteProtocolError(Reason.MALFORMED, "not a bundle of Coffre, or no manifest where one must be")
        raw = self._source.take(size)
        self._source.padding(size)
        return raw

    def _check_place(self, manifest: Manifest, number: int) -> None:
        if manifest.section != number:
            raise RemoteProtocolError(Reason.MISMATCH, f"section {manifest.section} in the place of {number}")
        last = self._last
        if last is None:
            return
        same = (last.bundle_id, last.sections, last.sender, last.statement_number, last.made_at_ms)
        here = (
            manifest.bundle_id,
            manifest.sections,
            manifest.sender,
            manifest.statement_number,
            manifest.made_at_ms,
        )
        if same != here:
            raise RemoteProtocolError(Reason.MISMATCH, "sections of two bundles in one file")
