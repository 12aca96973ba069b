"""The manifest of a bundle: what one node sends another on a stick, signed, and the key of its sealed parts.

Spec: spec/bundle.md, 3 and 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from protocol.codec import check_binary, decode, decode_map, encode
from protocol.crypto import (
    SealKey,
    SealSecret,
    Secret,
    SigningSecret,
    aead_open,
    aead_seal,
    constant_time_equal,
    hkdf_expand,
    hpke_open,
    hpke_seal,
    stream_nonce,
)
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import FixedBytes, NodeId
from protocol.labels import Label
from protocol.statement import StatementChain

__all__ = [
    "MAX_MANIFEST_BYTES",
    "MAX_MEMBERS",
    "MAX_PART_BYTES",
    "MAX_SECTIONS",
    "PART_OVERHEAD_BYTES",
    "BundleId",
    "Manifest",
    "Member",
    "MemberKind",
    "PartKey",
    "SignedManifest",
    "decode_manifest",
    "open_part_key",
    "seal_part_key",
    "sign_manifest",
]

MAX_SECTIONS: Final = 64
"""Destinations of one file."""
MAX_MEMBERS: Final = 65_535
"""Of one section: some 30,000 letters with their payloads."""
MAX_PART_BYTES: Final = 1024 * 1024
"""Of what a sealed part holds: a reader has one in memory, and a message of 64 KiB always fits."""
PART_OVERHEAD_BYTES: Final = 16
_ROW_BYTES: Final = 41
_MAX_TABLE_BYTES: Final = MAX_MEMBERS * _ROW_BYTES
MAX_MANIFEST_BYTES: Final = _MAX_TABLE_BYTES + 4096
_KEY_BOX_BYTES: Final = 1168
_SIGNATURE_BYTES: Final = 64
# As in a letter's payload: no file of an archive is larger, so none needs a header of another sort.
_MAX_MEMBER_BYTES: Final = 2**33 - 1


class BundleId(FixedBytes):
    """A bundle's id: 16 random bytes, shared by all sections of one file."""

    LENGTH = 16


class MemberKind(IntEnum):
    """What a member of the archive is. Numbers stand in the manifest, words in the names."""

    STATEMENTS = 1
    PART = 2
    ENVELOPE = 3
    HASHES = 4
    PAYLOAD = 5

    @property
    def word(self) -> str:
        """As in the member's name."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Member:
    """One row of the manifest's table. digest: SHA-256 of the member; of a payload its payload id."""

    kind: MemberKind
    size: int
    digest: bytes

    def encode(self) -> bytes:
        """u8 kind ‖ u64 size ‖ digest 32."""
        return bytes([self.kind]) + self.size.to_bytes(8, "big") + self.digest

    @classmethod
    def decode(cls, raw: bytes) -> Member:
        """RemoteProtocolError(malformed): unknown kind, empty, or larger than any member."""
        size = int.from_bytes(raw[1:9], "big")
        if raw[0] not in _KINDS or not 0 < size <= _MAX_MEMBER_BYTES:
            raise RemoteProtocolError(Reason.MALFORMED, f"member of kind {raw[0]} and {size} bytes")
        return cls(MemberKind(raw[0]), size, raw[9:])


_KINDS: Final = frozenset(MemberKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One section of a bundle: from one node to another.

    section, sections: this one of so many in the file, from 1. statement_number: of the sender's statement whose
    identity key signs. seal_fingerprint: first 8 bytes of the destination's seal key used. key_box, commitment: the
    wrapped key of the sealed parts and its commitment. number: counts the sender's bundles for this destination.
    """

    bundle_id: BundleId
    section: int
    sections: int
    sender: NodeId
    statement_number: int
    destination: NodeId
    seal_fingerprint: bytes
    key_box: bytes
    commitment: bytes
    number: int
    made_at_ms: int
    members: tuple[Member, ...]

    def encode(self) -> bytes:
        """What is signed."""
        if len(self.members) > MAX_MEMBERS:
            raise LocalProtocolError(f"a section has at most {MAX_MEMBERS} members")
        return encode(
            {
                "v": 1,
                "id": bytes(self.bundle_id),
                "at": self.section,
                "of": self.sections,
                "from": bytes(self.sender),
                "ks": self.statement_number,
                "to": bytes(self.destination),
                "seal": self.seal_fingerprint,
                "key": self.key_box,
                "commit": self.commitment,
                "n": self.number,
                "made": self.made_at_ms,
                "table": b"".join(member.encode() for member in self.members),
            }
        )


@dataclass(frozen=True, slots=True)
class SignedManifest:
    """A manifest as it was read, with its signature, which is not yet checked."""

    manifest: Manifest
    manifest_bytes: bytes
    signature: bytes

    def verify(self, chain: StatementChain) -> None:
        """Check sender and signature. RemoteProtocolError: mismatch, unknown_key, bad_signature.

        unknown_key: a statement that is not known, or was not in force when the bundle was made.
        """
        manifest = self.manifest
        if chain.node_id != manifest.sender:
            raise RemoteProtocolError(Reason.MISMATCH, "statements of another node than the manifest's sender")
        if not chain.in_force(manifest.statement_number, manifest.made_at_ms):
            detail = f"statement {manifest.statement_number} is not known, or was not in force then"
            raise RemoteProtocolError(Reason.UNKNOWN_KEY, detail)
        key = chain.at(manifest.statement_number).identity_key
        key.verify(Label.BUNDLE, self.manifest_bytes, self.signature)


def sign_manifest(manifest: Manifest, identity: SigningSecret) -> bytes:
    """[manifest, signature], as it stands in the archive."""
    raw = manifest.encode()
    return encode([raw, identity.sign(Label.BUNDLE, raw)])


def _check_order(members: Sequence[Member]) -> None:
    """statements, parts, then (envelope, hashes?, payload)*, then parts: what is needed comes before its use."""
    if not members or members[0].kind is not MemberKind.STATEMENTS:
        raise RemoteProtocolError(Reason.MALFORMED, "the first member is not the sender's statements")
    before = MemberKind.PART
    after = {
        MemberKind.PART: (MemberKind.PART, MemberKind.ENVELOPE),
        MemberKind.ENVELOPE: (MemberKind.HASHES, MemberKind.PAYLOAD),
        MemberKind.HASHES: (MemberKind.PAYLOAD,),
        MemberKind.PAYLOAD: (MemberKind.PART, MemberKind.ENVELOPE),
    }
    is_over = False
    for member in members[1:]:
        # The parts after all envelopes: nothing but parts comes after them.
        is_over = is_over or (before is MemberKind.PAYLOAD and member.kind is MemberKind.PART)
        if member.kind not in after[before] or (is_over and member.kind is not MemberKind.PART):
            raise RemoteProtocolError(Reason.MALFORMED, f"{member.kind.word} after {before.word}")
        before = member.kind
    if before in (MemberKind.ENVELOPE, MemberKind.HASHES):
        raise RemoteProtocolError(Reason.MALFORMED, "an envelope without its payload")


def decode_manifest(raw: bytes) -> SignedManifest:
    """Take a signed manifest apart; its signature is not yet checked.

    RemoteProtocolError: too_large, malformed, not_canonical, unknown_version.
    """
    outer = decode(raw, max_bytes=MAX_MANIFEST_BYTES)
    if not isinstance(outer, list) or len(outer) != 2:
        raise RemoteProtocolError(Reason.MALFORMED, "expected [manifest, signature]")
    manifest_bytes = check_binary(outer[0], "manifest", 1, MAX_MANIFEST_BYTES)
    signature = check_binary(outer[1], "signature", _SIGNATURE_BYTES, _SIGNATURE_BYTES)
    fields = decode_map(manifest_bytes, max_bytes=MAX_MANIFEST_BYTES)
    fields.version()
    sections = fields.integer("of", low=1, high=MAX_SECTIONS)
    table = fields.binary("table", low=_ROW_BYTES, high=_MAX_TABLE_BYTES)
    if len(table) % _ROW_BYTES:
        raise RemoteProtocolError(Reason.MALFORMED, "a table of broken rows")
    members = tuple(Member.decode(table[at : at + _ROW_BYTES]) for at in range(0, len(table), _ROW_BYTES))
    _check_order(members)
    manifest = Manifest(
        bundle_id=BundleId(fields.fixed("id", BundleId.LENGTH)),
        section=fields.integer("at", low=1, high=sections),
        sections=sections,
        sender=NodeId(fields.fixed("from", NodeId.LENGTH)),
        statement_number=fields.integer("ks", high=2**31),
        destination=NodeId(fields.fixed("to", NodeId.LENGTH)),
        seal_fingerprint=fields.fixed("seal", 8),
        key_box=fields.fixed("key", _KEY_BOX_BYTES),
        commitment=fields.fixed("commit", 32),
        number=fields.integer("n", low=1, high=2**53),
        made_at_ms=fields.integer("made", high=2**62),
        members=members,
    )
    fields.done()
    return SignedManifest(manifest, manifest_bytes, signature)


# -- sealed parts


class PartKey:
    """Seals and opens the parts of one section. index: the member's place in the table; each is used once."""

    __slots__ = ("_key", "commitment")

    def __init__(self, secret: Secret, *, bundle_id: BundleId, sender: NodeId, destination: NodeId) -> None:
        info = Label.BUNDLE_PART.value + bundle_id + sender + destination
        okm = hkdf_expand(secret.reveal(), info=info, length=64)
        self._key = okm[:32]
        self.commitment = okm[32:]

    def seal(self, index: int, content: bytes) -> bytes:
        """AES-256-GCM, nonce = 11-byte index ‖ 0x00."""
        return aead_seal(self._key, stream_nonce(index, is_last=False), content)

    def open(self, index: int, sealed: bytes) -> bytes:
        """The content. RemoteProtocolError: too_large, bad_box."""
        if len(sealed) > MAX_PART_BYTES + PART_OVERHEAD_BYTES:
            raise RemoteProtocolError(Reason.TOO_LARGE, f"a part of {len(sealed)} bytes")
        return aead_open(self._key, stream_nonce(index, is_last=False), sealed)


def _info(bundle_id: BundleId, sender: NodeId, destination: NodeId, seal_key: SealKey) -> bytes:
    return Label.BUNDLE_KEY.value + bundle_id + sender + destination + seal_key.fingerprint


def seal_part_key(
    secret: Secret, *, bundle_id: BundleId, sender: NodeId, destination: NodeId, seal_key: SealKey
) -> bytes:
    """The manifest's `key`: 32 fresh random bytes sealed to the destination."""
    info = _info(bundle_id, sender, destination, seal_key)
    return hpke_seal(seal_key, info=info, plaintext=secret.reveal())


def open_part_key(manifest: Manifest, secrets: Mapping[bytes, SealSecret]) -> PartKey:
    """The key of a section's parts, for its destination.

    secrets: the node's seal secrets by 8-byte fingerprint. RemoteProtocolError: unknown_key, bad_box, malformed,
    bad_commitment.
    """
    seal_secret = secrets.get(manifest.seal_fingerprint)
    if seal_secret is None:
        raise RemoteProtocolError(Reason.UNKNOWN_KEY, "sealed to a key that this node does not hold")
    plaintext = hpke_open(
        seal_secret,
        info=_info(manifest.bundle_id, manifest.sender, manifest.destination, seal_secret.seal_key),
        box=manifest.key_box,
    )
    if len(plaintext) != 32:
        raise RemoteProtocolError(Reason.MALFORMED, "a key of another length")
    key = PartKey(
        Secret(plaintext),
        bundle_id=manifest.bundle_id,
        sender=manifest.sender,
        destination=manifest.destination,
    )
    if not constant_time_equal(key.commitment, manifest.commitment):
        raise RemoteProtocolError(Reason.BAD_COMMITMENT, "the key is not the one committed to")
    return key
