"""The payload: all content of one letter, sealed once, verified chunk by chunk. Spec: spec/sealing.md, 4.

content = attachments in order ‖ zeros ‖ signed letter ‖ u32 length; its length is padded. Chunks of 256 KiB are sealed
with AES-256-GCM under a fresh committed key; the payload id commits to key, length and every ciphertext chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from protocol.crypto import (
    Secret,
    aead_open,
    aead_seal,
    constant_time_equal,
    hash_labelled,
    hkdf_expand,
    stream_nonce,
)
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import LetterId, PayloadId
from protocol.labels import Label
from protocol.merkle import leaf_hash, root_of
from protocol.padding import padded_length

__all__ = [
    "CHUNK_BYTES",
    "MAX_ATTACHMENTS_BYTES",
    "MAX_CONTENT_BYTES",
    "MAX_SIGNED_LETTER_BYTES",
    "TAG_BYTES",
    "Descriptor",
    "PayloadOpener",
    "PayloadSealer",
    "ReadContent",
    "check_padding",
    "content_length_for",
    "content_tail_pieces",
    "read_signed_letter",
    "verify_chunk",
    "verify_chunk_hashes",
]

# Small enough to hold a few in memory and to fetch again after a crash; large enough that tags and hashes cost 0.02 %.
CHUNK_BYTES: Final = 256 * 1024
TAG_BYTES: Final = 16
# Read as a whole at opening: this is the memory that an unopened letter can claim.
MAX_SIGNED_LETTER_BYTES: Final = 8 * 1024 * 1024
# A study of radiology; more is for other ways. 8,192 chunks have a hash list of 256 KiB.
MAX_ATTACHMENTS_BYTES: Final = 2 * 1024**3
_KEY_BYTES: Final = 32
_HASH_BYTES: Final = 32
_LENGTH_BYTES: Final = 4
MAX_CONTENT_BYTES: Final = padded_length(MAX_ATTACHMENTS_BYTES + MAX_SIGNED_LETTER_BYTES + _LENGTH_BYTES)
_ZEROS: Final = bytes(CHUNK_BYTES)


def content_length_for(attachments_bytes: int, signed_letter_bytes: int) -> int:
    """Length of the padded content. LocalProtocolError beyond the limits."""
    if not 0 < signed_letter_bytes <= MAX_SIGNED_LETTER_BYTES or not 0 <= attachments_bytes <= MAX_ATTACHMENTS_BYTES:
        raise LocalProtocolError("letter or attachments beyond the limits of a payload")
    return padded_length(attachments_bytes + signed_letter_bytes + _LENGTH_BYTES)


def content_tail_pieces(attachments_bytes: int, signed_letter: bytes) -> Iterator[bytes]:
    """What follows the attachments: zeros (in pieces), the signed letter, its length."""
    total = content_length_for(attachments_bytes, len(signed_letter))
    zeros = total - attachments_bytes - len(signed_letter) - _LENGTH_BYTES
    while zeros:
        piece = min(zeros, CHUNK_BYTES)
        yield _ZEROS[:piece]
        zeros -= piece
    yield signed_letter + len(signed_letter).to_bytes(_LENGTH_BYTES, "big")


@dataclass(frozen=True)
class Descriptor:
    """Key commitment, content length in bytes, RFC 6962 root over the ciphertext chunks: 72 bytes encoded."""

    commitment: bytes
    content_length: int
    root: bytes

    def __post_init__(self) -> None:
        if len(self.commitment) != _HASH_BYTES or len(self.root) != _HASH_BYTES:
            raise LocalProtocolError("commitment and root have 32 bytes each")
        if self.content_length > MAX_CONTENT_BYTES or padded_length(self.content_length) != self.content_length:
            raise LocalProtocolError(f"{self.content_length} is no length of padded content")

    def encode(self) -> bytes:
        """The 72 bytes: commitment 32 ‖ u64 content length ‖ root 32."""
        return self.commitment + self.content_length.to_bytes(8, "big") + self.root

    @classmethod
    def decode(cls, raw: bytes) -> Descriptor:
        """RemoteProtocolError: malformed, too_large, bad_padding (a length that no padded content has)."""
        if len(raw) != 72:
            raise RemoteProtocolError(Reason.MALFORMED, "a descriptor has 72 bytes")
        length = int.from_bytes(raw[32:40], "big")
        if length > MAX_CONTENT_BYTES:
            raise RemoteProtocolError(Reason.TOO_LARGE, f"content of {length} bytes")
        if padded_length(length) != length:
            raise RemoteProtocolError(Reason.BAD_PADDING, f"{length} is no padded length")
        return cls(raw[:32], length, raw[40:])

    @cached_property
    def payload_id(self) -> PayloadId:
        """H("payload-id", descriptor)."""
        return PayloadId(hash_labelled(Label.PAYLOAD_ID, self.encode()))

    @property
    def chunk_count(self) -> int:
        """Number of chunks, at least one."""
        return -(-self.content_length // CHUNK_BYTES)

    def chunk_length(self, index: int) -> int:
        """Ciphertext bytes of one chunk, tag included."""
        if not 0 <= index < self.chunk_count:
            raise LocalProtocolError(f"no chunk {index}")
        return min(CHUNK_BYTES, self.content_length - index * CHUNK_BYTES) + TAG_BYTES

    @property
    def ciphertext_length(self) -> int:
        """Bytes of all chunks."""
        return self.content_length + self.chunk_count * TAG_BYTES


def _derive(key: Secret, letter_id: LetterId) -> tuple[bytes, bytes]:
    secret = key.reveal()
    if len(secret) != _KEY_BYTES:
        raise LocalProtocolError("a payload key has 32 bytes")
    okm = hkdf_expand(secret, info=Label.PAYLOAD.value + letter_id, length=64)
    return okm[:32], okm[32:]


class PayloadSealer:
    """Seals content that is fed in order, once. key: 32 fresh random bytes, used for this payload alone."""

    def __init__(self, key: Secret, letter_id: LetterId, content_length: int) -> None:
        if padded_length(content_length) != content_length or content_length > MAX_CONTENT_BYTES:
            raise LocalProtocolError("content is padded before it is sealed")
        self._aes_key, self._commitment = _derive(key, letter_id)
        self._length = content_length
        self._count = -(-content_length // CHUNK_BYTES)
        self._pending = bytearray()
        self._taken = 0
        self.chunk_hashes: list[bytes] = []
        self._descriptor: Descriptor | None = None

    def update(self, content: bytes | memoryview) -> list[bytes]:
        """Take more content; return the ciphertext chunks that became complete, in order.

        Whole chunks are sealed where they lie; only what does not fill one is copied.
        """
        self._taken += len(content)
        if self._taken > self._length:
            raise LocalProtocolError("more content than announced")
        rest = memoryview(content)
        ready = []
        if self._pending:
            missing = CHUNK_BYTES - len(self._pending)
            self._pending += rest[:missing]
            rest = rest[missing:]
            if len(self._pending) < CHUNK_BYTES:
                return []
            ready.append(self._seal(self._pending))
            self._pending.clear()
        while len(rest) >= CHUNK_BYTES:
            ready.append(self._seal(rest[:CHUNK_BYTES]))
            rest = rest[CHUNK_BYTES:]
        self._pending += rest
        return ready

    def finish(self) -> list[bytes]:
        """The last chunk, if it is a short one. LocalProtocolError if content is missing."""
        if self._taken != self._length:
            raise LocalProtocolError(f"{self._taken} of {self._length} bytes of content")
        rest = [self._seal(self._pending)] if self._pending else []
        self._pending.clear()
        self._descriptor = Descriptor(self._commitment, self._length, root_of(self.chunk_hashes))
        return rest

    def _seal(self, plaintext: bytearray | memoryview) -> bytes:
        index = len(self.chunk_hashes)
        nonce = stream_nonce(index, is_last=index == self._count - 1)
        ciphertext = aead_seal(self._aes_key, nonce, plaintext)
        self.chunk_hashes.append(leaf_hash(ciphertext))
        return ciphertext

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor, once finished."""
        if self._descriptor is None:
            raise LocalProtocolError("the payload is not finished")
        return self._descriptor


def verify_chunk_hashes(descriptor: Descriptor, hashes: Sequence[bytes]) -> None:
    """Check a list of chunk hashes against the root; RemoteProtocolError(mismatch)."""
    if len(hashes) != descriptor.chunk_count or root_of(hashes) != descriptor.root:
        raise RemoteProtocolError(Reason.MISMATCH, "the chunk hashes are not those of this payload")


def verify_chunk(descriptor: Descriptor, hashes: Sequence[bytes], index: int, ciphertext: bytes) -> None:
    """Check one ciphertext chunk; RemoteProtocolError(mismatch).

    hashes: verified before; not needed where there is one chunk, since its hash is the root.
    """
    if not 0 <= index < descriptor.chunk_count or len(ciphertext) != descriptor.chunk_length(index):
        raise RemoteProtocolError(Reason.MISMATCH, f"chunk {index} has not the length of this payload's")
    wanted = descriptor.root if descriptor.chunk_count == 1 else hashes[index]
    if leaf_hash(ciphertext) != wanted:
        raise RemoteProtocolError(Reason.MISMATCH, f"chunk {index} is not this payload's")


class PayloadOpener:
    """Opens chunks in any order. RemoteProtocolError(bad_commitment) at once if the key is not this payload's."""

    def __init__(self, descriptor: Descriptor, key: Secret, letter_id: LetterId) -> None:
        self._aes_key, commitment = _derive(key, letter_id)
        if not constant_time_equal(commitment, descriptor.commitment):
            raise RemoteProtocolError(Reason.BAD_COMMITMENT, "the key is not the one committed to")
        self._descriptor = descriptor

    def open_chunk(self, index: int, ciphertext: bytes) -> bytes:
        """The content of one chunk; RemoteProtocolError(bad_box), also for a chunk that is too short or too long."""
        if len(ciphertext) != self._descriptor.chunk_length(index):
            raise RemoteProtocolError(Reason.BAD_BOX, f"chunk {index} has not the length of this payload's")
        nonce = stream_nonce(index, is_last=index == self._descriptor.chunk_count - 1)
        return aead_open(self._aes_key, nonce, ciphertext)


ReadContent = Callable[[int, int], bytes]
"""(offset, length) → that many bytes of content."""


def read_signed_letter(descriptor: Descriptor, read: ReadContent) -> tuple[bytes, int]:
    """The signed letter and its offset in the content. RemoteProtocolError(malformed) for an impossible length."""
    end = descriptor.content_length - _LENGTH_BYTES
    length = int.from_bytes(read(end, _LENGTH_BYTES), "big")
    if not 0 < length <= min(MAX_SIGNED_LETTER_BYTES, end):
        raise RemoteProtocolError(Reason.MALFORMED, f"a signed letter of {length} bytes cannot be in there")
    return read(end - length, length), end - length


def check_padding(descriptor: Descriptor, attachments_bytes: int, letter_start: int, read: ReadContent) -> None:
    """Check that content is attachments, the fewest zeros, letter. RemoteProtocolError(bad_padding).

    attachments_bytes: their sizes together as the letter states them. letter_start: from `read_signed_letter`.
    """
    signed_bytes = descriptor.content_length - _LENGTH_BYTES - letter_start
    if attachments_bytes > letter_start:
        raise RemoteProtocolError(Reason.BAD_PADDING, "attachments reach into the letter")
    if padded_length(attachments_bytes + signed_bytes + _LENGTH_BYTES) != descriptor.content_length:
        raise RemoteProtocolError(Reason.BAD_PADDING, "not the shortest padding")
    at = attachments_bytes
    while at < letter_start:
        piece = min(CHUNK_BYTES, letter_start - at)
        if read(at, piece) != _ZEROS[:piece]:
            raise RemoteProtocolError(Reason.BAD_PADDING, "padding that is not zero")
        at += piece
