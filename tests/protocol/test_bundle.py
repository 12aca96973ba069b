"""Manifest, parts and archive of a bundle: what is written is read, in one form only."""

from __future__ import annotations

import io
import re
import tarfile
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.bundle import (
    BundleId,
    Manifest,
    Member,
    MemberKind,
    PartKey,
    decode_manifest,
    open_part_key,
    seal_part_key,
    sign_manifest,
)
from protocol.bundle_archive import ArchiveReader, encode_statements, member_name, tar_header
from protocol.bundle_items import MAX_READ_IDS, BundleItem, BundleState, decode_part, encode_parts
from protocol.crypto import Secret, sha256
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.ids import EnvelopeId, NodeId
from protocol.messages import Event, FeedOps, Offer, StatusQuery
from spec.vectors.sample_node import FROM_MS, SampleNode, seal_secret_of

_WRITER = SampleNode("writer")
_READER = SampleNode("reader")
_STATEMENTS = encode_statements(_WRITER.chain)
_FIRST = Member(MemberKind.STATEMENTS, len(_STATEMENTS), sha256(_STATEMENTS))
_digests = st.binary(min_size=32, max_size=32)
_sizes = st.integers(1, 2**33 - 1)
_nodes = st.builds(NodeId, _digests)


def _member(kind: MemberKind) -> st.SearchStrategy[Member]:
    return st.builds(Member, st.just(kind), _sizes, _digests)


@st.composite
def _tables(draw: st.DrawFn) -> tuple[Member, ...]:
    """Rows in the order that the archive has."""
    members = [draw(_member(MemberKind.STATEMENTS))]
    members += draw(st.lists(_member(MemberKind.PART), max_size=3))
    for _ in range(draw(st.integers(0, 4))):
        members.append(draw(_member(MemberKind.ENVELOPE)))
        if draw(st.booleans()):
            members.append(draw(_member(MemberKind.HASHES)))
        members.append(draw(_member(MemberKind.PAYLOAD)))
    return (*members, *draw(st.lists(_member(MemberKind.PART), max_size=2)))


@st.composite
def _manifests(draw: st.DrawFn) -> Manifest:
    sections = draw(st.integers(1, 64))
    return Manifest(
        bundle_id=BundleId(draw(st.binary(min_size=16, max_size=16))),
        section=draw(st.integers(1, sections)),
        sections=sections,
        sender=_WRITER.node_id,
        statement_number=0,
        destination=draw(_nodes),
        seal_fingerprint=draw(st.binary(min_size=8, max_size=8)),
        key_box=draw(st.binary(min_size=1168, max_size=1168)),
        commitment=draw(_digests),
        number=draw(st.integers(1, 2**53)),
        made_at_ms=FROM_MS,
        members=draw(_tables()),
    )


@given(manifest=_manifests())
def test_manifest_is_read_as_it_was_signed(manifest: Manifest) -> None:
    raw = sign_manifest(manifest, _WRITER.identity)
    signed = decode_manifest(raw)
    assert signed.manifest == manifest
    signed.verify(_WRITER.chain)
    with pytest.raises(RemoteProtocolError):
        signed.verify(_READER.chain)


@given(table=_tables(), data=st.data())
def test_another_order_is_refused(table: tuple[Member, ...], data: st.DataObject) -> None:
    shuffled = tuple(data.draw(st.permutations(table)))
    kinds = [member.kind for member in shuffled]
    raw = sign_manifest(_manifest(shuffled), _WRITER.identity)
    word = "".join("spehy"[kind - 1] for kind in kinds)
    if re.fullmatch("sp*(eh?y)*p*", word):
        assert decode_manifest(raw).manifest.members == shuffled
    else:
        with pytest.raises(RemoteProtocolError):
            decode_manifest(raw)


def test_no_envelope_comes_after_the_last_parts() -> None:
    kinds = (1, 3, 5, 2, 3, 5)
    members = tuple(Member(MemberKind(kind), 1, bytes(32)) for kind in kinds)
    with pytest.raises(RemoteProtocolError, match="envelope after part"):
        decode_manifest(sign_manifest(_manifest(members), _WRITER.identity))
    assert decode_manifest(sign_manifest(_manifest(members[:4]), _WRITER.identity)).manifest.members == members[:4]


def _manifest(members: tuple[Member, ...]) -> Manifest:
    return Manifest(
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
        members=members,
    )


_states = st.builds(
    BundleState,
    heads=st.lists(st.binary(min_size=1, max_size=99), max_size=2).map(tuple),
    seen=st.lists(st.binary(min_size=1, max_size=99), max_size=2).map(tuple),
    read=st.lists(st.binary(min_size=16, max_size=16).map(BundleId), max_size=MAX_READ_IDS).map(tuple),
    holds=st.dictionaries(_nodes, st.integers(0, 2**53), max_size=5),
)
_items = st.one_of(
    _states,
    st.builds(lambda env: BundleItem(StatusQuery(EnvelopeId(env))), _digests),
    st.builds(lambda data: BundleItem(Event(data)), st.binary(min_size=1, max_size=5000)),
    st.builds(
        lambda node, place, ops: BundleItem(FeedOps(tuple(ops), b"head", more=bool(ops)), node, place),
        _nodes,
        st.integers(0, 2**53),
        st.lists(st.binary(min_size=1, max_size=99), max_size=4),
    ),
)


@given(items=st.lists(_items, min_size=1, max_size=12))
def test_items_come_in_their_order(items: list[BundleState | BundleItem]) -> None:
    parts = list(encode_parts(items))
    assert [item for part in parts for item in decode_part(part)] == items


def test_parts_are_cut_where_they_are_full() -> None:
    items = [BundleItem(Event(bytes([at]) * 1500)) for at in range(200)] * 8
    parts = list(encode_parts(items))
    assert len(parts) == 3
    assert max(len(part) for part in parts) <= 1024 * 1024
    assert [item for part in parts for item in decode_part(part)] == items


def test_what_is_no_item() -> None:
    with pytest.raises(LocalProtocolError):
        BundleItem(StatusQuery(EnvelopeId(bytes(32))), _READER.node_id).fields()
    with pytest.raises(LocalProtocolError):
        BundleItem(FeedOps((), b"head", more=False)).fields()
    with pytest.raises(LocalProtocolError):
        BundleItem(Offer.__new__(Offer)).fields()


def test_the_key_opens_for_its_destination_alone() -> None:
    secret, seal_secret = Secret(bytes(range(32))), seal_secret_of("reader")
    names = (BundleId(bytes(16)), _WRITER.node_id, _READER.node_id)
    key = PartKey(secret, bundle_id=names[0], sender=names[1], destination=names[2])
    box = seal_part_key(
        secret, bundle_id=names[0], sender=names[1], destination=names[2], seal_key=seal_secret.seal_key
    )
    fingerprint = seal_secret.seal_key.fingerprint[:8]

    def manifest(**values: object) -> Manifest:
        base = replace(_manifest((_FIRST,)), key_box=box, seal_fingerprint=fingerprint, commitment=key.commitment)
        return replace(base, **values)  # type: ignore[arg-type]

    secrets = {fingerprint: seal_secret}
    assert open_part_key(manifest(), secrets).open(5, key.seal(5, b"content")) == b"content"
    for wrong, reason in (
        (manifest(seal_fingerprint=bytes(8)), "unknown_key"),
        (manifest(bundle_id=BundleId(b"x" * 16)), "bad_box"),
        (manifest(sender=_READER.node_id), "bad_box"),
        (manifest(commitment=bytes(32)), "bad_commitment"),
    ):
        with pytest.raises(RemoteProtocolError, match=reason):
            open_part_key(wrong, secrets)


@given(index=st.integers(0, 65534), kind=st.sampled_from(MemberKind), size=_sizes)
def test_headers_are_those_of_tar(index: int, kind: MemberKind, size: int) -> None:
    name = member_name(64, index, kind)
    header = tar_header(name, size)
    found = tarfile.TarInfo.frombuf(header, "ascii", "strict")
    assert (found.name, found.size, found.isreg(), found.mode, found.mtime) == (name, size, True, 0o600, 0)


def test_a_reader_never_asks_for_more_than_a_member() -> None:
    asked: list[int] = []
    manifest = sign_manifest(_manifest((_FIRST,)), _WRITER.identity)
    data = io.BytesIO(
        tar_header("01/manifest", len(manifest))
        + manifest
        + bytes(-len(manifest) % 512)
        + tar_header("01/00001.statements", len(_STATEMENTS))
        + _STATEMENTS
        + bytes(-len(_STATEMENTS) % 512)
        + bytes(1024)
    )

    def read(count: int) -> bytes:
        asked.append(count)
        return data.read(count)

    archive = ArchiveReader(read)
    assert archive.next_section() is not None
    assert archive.next_section() is None
    assert max(asked) == max(len(manifest), len(_STATEMENTS))
