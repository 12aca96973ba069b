"""Writes bundle.json: whole bundles with one section, and the contents of their sealed parts.

The tar is put together here byte by byte, apart from the code that reads it; what HPKE draws comes from a fixed box.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from protocol.bundle import (
    BundleId,
    Manifest,
    Member,
    MemberKind,
    PartKey,
    sign_manifest,
)
from protocol.bundle_items import BundleState
from protocol.codec import encode
from protocol.crypto import Secret
from protocol.fork_proof import ForkProof
from protocol.ids import EnvelopeId
from protocol.messages import Event, FeedOps, Fork, LogProof, Result, Statements, StatusQuery, Withdraw
from spec.vectors.common import case, write
from spec.vectors.sample_node import FROM_MS, SampleNode, bytes_of

SPEC = "bundle.md"
_SENDER = SampleNode("fictive-writer")
_DESTINATION = SampleNode("fictive-reader")
_ID = BundleId(bytes_of("bundle/id", 16))
_SECRET = Secret(bytes_of("bundle/secret"))
_ENV = EnvelopeId(bytes_of("bundle/envelope"))


def _header(name: str, size: int, *, kind: bytes = b"0", mode: int = 0o600) -> bytes:
    """POSIX ustar, field by field."""
    fields = [
        name.encode().ljust(100, b"\0"),
        b"%07o\0" % mode,
        b"0000000\0",
        b"0000000\0",
        b"%011o\0" % size,
        b"00000000000\0",
        b"        ",
        kind,
        bytes(100),
        b"ustar\x0000",
        bytes(32),
        bytes(32),
        bytes(16),
        bytes(155),
        bytes(12),
    ]
    block = bytearray(b"".join(fields))
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _tar(members: Sequence[tuple[str, bytes]], *, end: bytes = bytes(1024)) -> bytes:
    return b"".join(_header(name, len(data)) + data + bytes(-len(data) % 512) for name, data in members) + end


_KEY = PartKey(_SECRET, bundle_id=_ID, sender=_SENDER.node_id, destination=_DESTINATION.node_id)
_STATEMENTS = encode(_SENDER.chain.raw_list())
_CONTENT = encode([{"type": 0, "body": BundleState(heads=(b"head",)).encode()}])
_PART = _KEY.seal(1, _CONTENT)


def _row(kind: MemberKind, data: bytes) -> Member:
    return Member(kind, len(data), hashlib.sha256(data).digest())


_MANIFEST = Manifest(
    bundle_id=_ID,
    section=1,
    sections=1,
    sender=_SENDER.node_id,
    statement_number=0,
    destination=_DESTINATION.node_id,
    seal_fingerprint=bytes_of("bundle/seal", 8),
    key_box=bytes_of("bundle/box", 1168),
    commitment=_KEY.commitment,
    number=3,
    made_at_ms=FROM_MS + 5,
    members=(_row(MemberKind.STATEMENTS, _STATEMENTS), _row(MemberKind.PART, _PART)),
)


def _bundle(
    change: Callable[[Manifest], Manifest] = lambda manifest: manifest,
    *,
    signer: SampleNode = _SENDER,
    statements: bytes = _STATEMENTS,
    part: bytes = _PART,
) -> bytes:
    manifest = sign_manifest(change(_MANIFEST), signer.identity)
    return _tar([("01/manifest", manifest), ("01/00001.statements", statements), ("01/00002.part", part)])


def _with(**values: Any) -> bytes:
    return _bundle(lambda manifest: replace(manifest, **values))


def _one_part_of(size: int) -> bytes:
    return _with(members=(_MANIFEST.members[0], Member(MemberKind.PART, size, bytes(32))))


def _archives() -> list[dict[str, Any]]:
    good = _bundle()
    manifest = sign_manifest(_MANIFEST, _SENDER.identity)
    rest = good[512 + len(manifest) + -len(manifest) % 512 :]
    padded = bytearray(good)
    padded[512 + len(manifest)] = 1
    rows = _MANIFEST.members
    other_chain = encode(_DESTINATION.chain.raw_list())
    flipped = _PART[:-1] + bytes([_PART[-1] ^ 1])
    second = _header("02/manifest", len(manifest)) + good[512:]
    lone_envelope = _with(members=(*rows, Member(MemberKind.ENVELOPE, 1, bytes(32))))
    listed: list[tuple[str, str, bytes, str]] = [
        ("whole", "statements and one part", good, "ok"),
        ("empty", "no bytes", b"", "malformed"),
        ("zeros", "an archive of nothing", bytes(1024), "malformed"),
        ("cut", "one byte short", good[:-1], "malformed"),
        ("cut_member", "ends in a member", good[: len(good) - 1500], "malformed"),
        ("after_the_end", "one byte more", good + b"\0", "malformed"),
        ("lone_end", "one block of zeros", good[:-512], "malformed"),
        ("padding", "padding that is not zero", bytes(padded), "malformed"),
        ("symlink", "a link", _header("01/manifest", len(manifest), kind=b"2") + good[512:], "malformed"),
        ("mode", "another mode", _header("01/manifest", len(manifest), mode=0o644) + good[512:], "malformed"),
        ("name", "another name", _header("../manifest", len(manifest)) + good[512:], "malformed"),
        ("second_section", "the first section is missing", second, "malformed"),
        ("huge_manifest", "more than a manifest has", _header("01/manifest", 2**32) + good[512:], "malformed"),
        ("no_manifest", "begins with the statements", rest, "malformed"),
        ("sections_missing", "one of two sections", _with(sections=2), "malformed"),
        ("wrong_section", "section 2 in the place of 1", _with(section=2, sections=2), "mismatch"),
        ("other_bytes", "a part that is not in the manifest", _bundle(part=flipped), "mismatch"),
        ("forged", "signed by the destination", _bundle(signer=_DESTINATION), "bad_signature"),
        (
            "other_statements",
            "statements of another node",
            _bundle(
                lambda item: replace(item, members=(_row(MemberKind.STATEMENTS, other_chain), rows[1])),
                statements=other_chain,
            ),
            "mismatch",
        ),
        ("unknown_statement", "a statement that is not there", _with(statement_number=1), "unknown_key"),
        ("before_its_time", "made before its statement", _with(made_at_ms=FROM_MS - 1), "unknown_key"),
        ("no_statements", "begins with a part", _with(members=rows[1:]), "malformed"),
        ("envelope_alone", "an envelope without payload", lone_envelope, "malformed"),
        ("part_of_two_mib", "a part beyond its limit", _one_part_of(2**21), "too_large"),
        ("empty_member", "a member of no bytes", _one_part_of(0), "malformed"),
    ]
    return [
        case(f"archive_{name}", f"{SPEC}, 2 and 3", comment, {"bundle": data}, expect)
        for name, comment, data, expect in listed
    ]


def _item(kind: int, body: bytes, **more: Any) -> dict[str, Any]:
    return {"type": kind, "body": body, **more}


def _parts() -> list[dict[str, Any]]:
    node = bytes(_SENDER.node_id)
    query = _item(19, StatusQuery(_ENV).encode())
    statements = Statements(tuple(_SENDER.chain.raw_list()), more=False).encode()
    operations = FeedOps((b"operation",), b"head", more=False).encode()
    state = BundleState(
        heads=(b"log head", b"feed head"), seen=(b"seen",), read=(_ID,), holds={_SENDER.node_id: 7}
    ).encode()
    proof = LogProof(b"head", (bytes(32),)).encode()
    every = [
        _item(0, state),
        _item(55, proof, place=4),
        _item(17, Result(_ENV, code="expired").encode()),
        _item(26, Event(b"evidence").encode()),
        _item(25, Withdraw(b"box").encode()),
        query,
        _item(49, statements, node=node, place=0),
        _item(51, operations, node=node, place=9),
        _item(60, Fork(ForkProof(first=b"first", second=b"second", prefix=None, hashes=())).encode()),
    ]
    row = node + (7).to_bytes(8, "big")

    def held(packed: bytes) -> bytes:
        return encode([_item(0, encode({"heads": [], "seen": [], "read": [], "holds": packed}))])

    listed: list[tuple[str, str, bytes, str]] = [
        ("every_item", "one of each", encode(every), "ok"),
        ("nothing", "no items", encode([]), "malformed"),
        ("no_list", "a map", encode({}), "malformed"),
        ("offer", "a message that is not carried", encode([_item(16, b"x")]), "malformed"),
        ("no_node", "operations of nobody", encode([_item(51, operations, place=9)]), "malformed"),
        ("no_place", "operations from nowhere", encode([_item(51, operations, node=node)]), "malformed"),
        ("needless_node", "a query about a node", encode([{**query, "node": node}]), "malformed"),
        ("broken_body", "a body of another message", encode([_item(19, b"\x80")]), "malformed"),
        ("held_twice", "a feed held twice", held(row * 2), "not_canonical"),
        ("held_broken", "a row cut short", held(row[:-1]), "malformed"),
        ("held_too_much", "more operations than there can be", held(node + b"\xff" * 8), "malformed"),
        ("order", "keys out of order", b"\x91\x82\xa4type\x13\xa4body\xc4\x01\x80", "not_canonical"),
    ]
    return [case(f"part_{name}", f"{SPEC}, 5", text, {"part": data}, expect) for name, text, data, expect in listed]


def _seals() -> list[dict[str, Any]]:
    given = {
        "secret": _SECRET.reveal(),
        "id": bytes(_ID),
        "from": bytes(_SENDER.node_id),
        "to": bytes(_DESTINATION.node_id),
        "index": 1,
    }
    flipped = bytes([_PART[0] ^ 1]) + _PART[1:]
    commitment = _KEY.commitment
    return [
        case("seal", f"{SPEC}, 4", "a part", {**given, "part": _PART}, content=_CONTENT, commitment=commitment),
        case("seal_place", f"{SPEC}, 4", "in another place", {**given, "index": 2, "part": _PART}, "bad_box"),
        case("seal_byte", f"{SPEC}, 4", "one bit changed", {**given, "part": flipped}, "bad_box"),
        case("seal_id", f"{SPEC}, 4", "of another bundle", {**given, "id": bytes(16), "part": _PART}, "bad_box"),
        case(
            "seal_destination", f"{SPEC}, 4", "for another node", {**given, "to": bytes(32), "part": _PART}, "bad_box"
        ),
    ]


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    return [*_archives(), *_parts(), *_seals()]


if __name__ == "__main__":
    write("bundle", SPEC, cases())
