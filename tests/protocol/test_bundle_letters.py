"""Envelopes with their payloads in the archive of a bundle: each checked before it is given out."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import pytest

from protocol.bundle import BundleId, Manifest, Member, MemberKind, sign_manifest
from protocol.bundle_archive import (
    ARCHIVE_END,
    ArchiveReader,
    SectionReader,
    encode_statements,
    manifest_name,
    member_name,
    padding_after,
    tar_header,
)
from protocol.codec import encode
from protocol.crypto import sha256
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.ids import NodeId
from protocol.merkle import leaf_hash, root_of
from protocol.padding import padded_length
from protocol.payload import Descriptor
from spec.vectors.sample_node import FROM_MS, SampleNode

_WRITER, _READER = SampleNode("writer"), SampleNode("reader")


@dataclass(frozen=True)
class _Letter:
    envelope: bytes
    hashes: bytes
    chunks: tuple[bytes, ...]
    descriptor: Descriptor


def _letter(content: int, to: NodeId = _READER.node_id) -> _Letter:
    bare = Descriptor(bytes(32), padded_length(content), bytes(32))
    chunks = tuple(bytes([at]) * bare.chunk_length(at) for at in range(bare.chunk_count))
    leaves = [leaf_hash(chunk) for chunk in chunks]
    descriptor = replace(bare, root=root_of(leaves))
    head = {"v": 1, "to": bytes(to), "seal": bytes(8), "class": "normal", "exp": 1, "pl": descriptor.encode()}
    envelope = encode([encode(head), bytes(1136 + 1024)])
    return _Letter(envelope, b"".join(leaves) if len(leaves) > 1 else b"", chunks, descriptor)


def _members(letter: _Letter) -> list[tuple[MemberKind, bytes]]:
    members = [(MemberKind.ENVELOPE, letter.envelope)]
    if letter.hashes:
        members.append((MemberKind.HASHES, letter.hashes))
    return [*members, (MemberKind.PAYLOAD, b"".join(letter.chunks))]


def _archive(members: list[tuple[MemberKind, bytes]], payload: Descriptor) -> bytes:
    whole = [(MemberKind.STATEMENTS, encode_statements(_WRITER.chain)), *members]
    rows = tuple(
        Member(kind, len(data), payload.payload_id if kind is MemberKind.PAYLOAD else sha256(data))
        for kind, data in whole
    )
    manifest = Manifest(
        bundle_id=BundleId(bytes(16)),
        section=1,
        sections=1,
        sender=_WRITER.node_id,
        statement_number=0,
        destination=_READER.node_id,
        seal_fingerprint=bytes(8),
        key_box=bytes(1168),
        commitment=bytes(32),
        number=1,
        made_at_ms=FROM_MS,
        members=rows,
    )
    named = [(manifest_name(1), sign_manifest(manifest, _WRITER.identity))]
    named += [(member_name(1, at, kind), data) for at, (kind, data) in enumerate(whole)]
    return (
        b"".join(tar_header(name, len(data)) + data + bytes(padding_after(len(data))) for name, data in named)
        + ARCHIVE_END
    )


def _section(data: bytes) -> tuple[ArchiveReader, SectionReader]:
    archive = ArchiveReader(io.BytesIO(data).read)
    section = archive.next_section()
    assert section is not None
    return archive, section


@pytest.mark.parametrize("content", [1024, 700_000])
@pytest.mark.parametrize("taken", ["nothing", "envelope", "all"])
def test_letter_is_given_out_or_passed_over(content: int, taken: str) -> None:
    letter = _letter(content)
    archive, section = _section(_archive(_members(letter), letter.descriptor))
    if taken != "nothing":
        found = section.next_member()
        assert found is not None
        envelope, hashes = section.envelope(found[0])
        assert (envelope.raw, b"".join(hashes)) == (letter.envelope, letter.hashes)
        if taken == "all":
            assert tuple(section.chunks()) == letter.chunks
            with pytest.raises(LocalProtocolError):
                next(section.chunks())
    assert archive.next_section() is None


def _refused(members: list[tuple[MemberKind, bytes]], payload: Descriptor) -> str:
    archive, _ = _section(_archive(members, payload))
    with pytest.raises(RemoteProtocolError) as caught:
        archive.next_section()
    return caught.value.reason.value


def test_what_does_not_belong_together() -> None:
    small, large = _letter(1024), _letter(700_000)
    elsewhere = _letter(1024, _WRITER.node_id)
    assert _refused(_members(elsewhere), elsewhere.descriptor) == "not_for_us"
    envelope, payload = _members(small)
    assert _refused([envelope, (MemberKind.HASHES, bytes(32)), payload], small.descriptor) == "mismatch"
    envelope, hashes, payload = _members(large)
    assert _refused([envelope, payload], large.descriptor) == "mismatch"
    swapped = (MemberKind.HASHES, hashes[1][32:] + hashes[1][:32])
    assert _refused([envelope, swapped, payload], large.descriptor) == "mismatch"
    assert _refused([envelope, hashes, payload], small.descriptor) == "mismatch"
    assert _refused([envelope, hashes, (MemberKind.PAYLOAD, payload[1][:-1])], large.descriptor) == "mismatch"
    changed = payload[1][:300_000] + b"x" + payload[1][300_001:]
    assert _refused([envelope, hashes, (MemberKind.PAYLOAD, changed)], large.descriptor) == "mismatch"
    junk = (MemberKind.ENVELOPE, b"junk")
    assert _refused([junk, *_members(small)[1:]], small.descriptor) == "malformed"


def test_payload_that_is_cut() -> None:
    letter = _letter(700_000)
    data = _archive(_members(letter), letter.descriptor)
    archive, section = _section(data[:-400_000])
    found = section.next_member()
    assert found is not None
    section.envelope(found[0])
    with pytest.raises(RemoteProtocolError, match="cut short"):
        list(section.chunks())
    assert archive.position == len(data) - 400_000
