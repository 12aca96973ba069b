"""A backup file: header, then one sealed stream of chunks. Spec: spec/backup.md, 2.

file = magic 16 ‖ u32 length ‖ header ‖ commitment 32 ‖ chunks. Chunks of 256 KiB are sealed with AES-256-GCM under a
fresh committed key that is bound to every byte before the commitment; nonces number them and mark the last one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol.codec import decode_map, encode
from protocol.crypto import Secret, aead_open, aead_seal, constant_time_equal, hkdf, sha256, stream_nonce
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import NodeId
from protocol.labels import Label

__all__ = [
    "CHUNK_BYTES",
    "COMMITMENT_BYTES",
    "MAX_HEADER_BYTES",
    "PREFIX_BYTES",
    "SEALED_CHUNK_BYTES",
    "BackupHeader",
    "BackupOpener",
    "BackupSealer",
    "decode_header",
    "header_length",
]

CHUNK_BYTES: Final = 256 * 1024
SEALED_CHUNK_BYTES: Final = CHUNK_BYTES + 16
COMMITMENT_BYTES: Final = 32
# The sealed keyring with 512 statements of 64 KiB would be more; a real one has some kilobytes.
MAX_HEADER_BYTES: Final = 5 * 1024 * 1024
_MAGIC: Final = b"coffre backup 1\n"
_SALT_BYTES: Final = 32
PREFIX_BYTES: Final = len(_MAGIC) + 4
"""Bytes to read before the header's length is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupHeader:
    """What stands in clear. made_at_ms: wall clock of the snapshot. keyring: the keyring file, sealed as it is.

    salt: 32 random bytes of this backup alone.
    """

    node: NodeId
    made_at_ms: int
    keyring: bytes
    salt: bytes

    def encode(self) -> bytes:
        """Magic, length and header."""
        fields = {"v": 1, "node": bytes(self.node), "made": self.made_at_ms, "keyring": self.keyring, "salt": self.salt}
        body = encode(fields)
        if len(self.salt) != _SALT_BYTES or len(body) > MAX_HEADER_BYTES:
            raise LocalProtocolError("a backup header has a salt of 32 bytes and at most 5 MiB")
        return _MAGIC + len(body).to_bytes(4, "big") + body


def header_length(prefix: bytes) -> int:
    """Bytes of the header that follow these PREFIX_BYTES. RemoteProtocolError: malformed, too_large."""
    if len(prefix) != PREFIX_BYTES or not prefix.startswith(_MAGIC):
        raise RemoteProtocolError(Reason.MALFORMED, "not a backup of Coffre")
    length = int.from_bytes(prefix[len(_MAGIC) :], "big")
    if length > MAX_HEADER_BYTES:
        raise RemoteProtocolError(Reason.TOO_LARGE, f"a header of {length} bytes")
    return length


def decode_header(body: bytes) -> BackupHeader:
    """The header after its prefix; authenticated only once a BackupOpener took it.

    RemoteProtocolError: too_large, malformed, not_canonical, unknown_version.
    """
    fields = decode_map(body, max_bytes=MAX_HEADER_BYTES)
    fields.version()
    header = BackupHeader(
        node=NodeId(fields.fixed("node", 32)),
        made_at_ms=fields.integer("made"),
        keyring=fields.binary("keyring", low=1, high=MAX_HEADER_BYTES),
        salt=fields.fixed("salt", _SALT_BYTES),
    )
    fields.done()
    return header


def _derive(data_key: Secret, header: BackupHeader) -> tuple[bytes, bytes]:
    info = Label.BACKUP.value + header.node + sha256(header.encode())
    okm = hkdf(data_key.reveal(), salt=header.salt, info=info, length=64)
    return okm[:32], okm[32:]


class BackupSealer:
    """Seals the content that is fed in order. data_key: the node's, from its keyring."""

    def __init__(self, data_key: Secret, header: BackupHeader) -> None:
        self._key, commitment = _derive(data_key, header)
        self.start = header.encode() + commitment
        """The file's first bytes."""
        self._pending = bytearray()
        self._count = 0

    def update(self, content: bytes) -> list[bytes]:
        """Take more content; return the sealed chunks that are certainly not the last one."""
        self._pending += content
        ready = []
        while len(self._pending) > CHUNK_BYTES:
            ready.append(self._seal(bytes(self._pending[:CHUNK_BYTES]), is_last=False))
            del self._pending[:CHUNK_BYTES]
        return ready

    def finish(self) -> bytes:
        """The last chunk."""
        return self._seal(bytes(self._pending), is_last=True)

    def _seal(self, chunk: bytes, *, is_last: bool) -> bytes:
        sealed = aead_seal(self._key, stream_nonce(self._count, is_last=is_last), chunk)
        self._count += 1
        return sealed


class BackupOpener:
    """Opens the chunks of one backup in order. Another key or header: RemoteProtocolError(bad_commitment) at once."""

    def __init__(self, data_key: Secret, header: BackupHeader, commitment: bytes) -> None:
        self._key, wanted = _derive(data_key, header)
        if not constant_time_equal(wanted, commitment):
            raise RemoteProtocolError(Reason.BAD_COMMITMENT, "the header is not the one that was written")
        self._count = 0

    def open(self, sealed: bytes, *, is_last: bool) -> bytes:
        """The next chunk's content. is_last: nothing follows in the file. RemoteProtocolError(bad_box)."""
        content = aead_open(self._key, stream_nonce(self._count, is_last=is_last), sealed)
        self._count += 1
        return content
