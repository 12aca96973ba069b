"""Messages that fetch a payload: its chunk hashes and its ciphertext. Spec: spec/wire.md, 7.

Data travels raw, not as msgpack: read, it is copied once, written, not before it is joined with its frame's header.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from protocol.codec import FieldReader, Value
from protocol.errors import Reason, RemoteProtocolError
from protocol.frames import Buffer, encode_frame
from protocol.ids import PayloadId
from protocol.merkle import HASH_BYTES
from protocol.message import MapMessage, Message, check_own_code, read_code
from protocol.payload import CHUNK_BYTES, MAX_CONTENT_BYTES, TAG_BYTES

__all__ = [
    "CIPHERTEXT_CHUNK_BYTES",
    "MAX_CHUNKS",
    "MAX_RANGE_CHUNKS",
    "RANGE_PIECE_BYTES",
    "Gone",
    "HashesData",
    "HashesGet",
    "RangeData",
    "RangeGet",
    "hashes_pieces",
    "range_pieces",
]

CIPHERTEXT_CHUNK_BYTES: Final = CHUNK_BYTES + TAG_BYTES
MAX_CHUNKS: Final = -(-MAX_CONTENT_BYTES // CHUNK_BYTES)
# 4 MiB: one range may always be asked for, so it bounds what a peer can ask for beyond the window that we stated.
MAX_RANGE_CHUNKS: Final = 16
# A full ciphertext chunk, 262,160 bytes, is five equal frames.
RANGE_PIECE_BYTES: Final = 52_432
_HASHES_PIECE_BYTES: Final = 2000 * HASH_BYTES


@dataclass(frozen=True, slots=True)
class HashesGet(MapMessage):
    """The chunk hashes of a payload, please."""

    TYPE: ClassVar[int] = 20
    payload_id: PayloadId

    def fields(self) -> dict[str, Value]:
        """{pid}."""
        return {"pid": bytes(self.payload_id)}

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage."""
        return cls(PayloadId(fields.fixed("pid", PayloadId.LENGTH)))


@dataclass(frozen=True, slots=True)
class RangeGet(MapMessage):
    """Chunks `first` to `first + count − 1` of a payload, please."""

    TYPE: ClassVar[int] = 22
    payload_id: PayloadId
    first: int
    count: int

    @property
    def max_data_bytes(self) -> int:
        """What it asks for: the last chunk of a payload may be shorter."""
        return self.count * CIPHERTEXT_CHUNK_BYTES

    def fields(self) -> dict[str, Value]:
        """{pid, first, count}."""
        return {"pid": bytes(self.payload_id), "first": self.first, "count": self.count}

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage. RemoteProtocolError(malformed) also beyond the chunks that a payload can have."""
        message = cls(
            PayloadId(fields.fixed("pid", PayloadId.LENGTH)),
            fields.integer("first", high=MAX_CHUNKS - 1),
            fields.integer("count", low=1, high=MAX_RANGE_CHUNKS),
        )
        if message.first + message.count > MAX_CHUNKS:
            raise RemoteProtocolError(Reason.MALFORMED, "a range beyond the largest payload")
        return message


@dataclass(frozen=True, slots=True)
class _Piece(Message):
    """u8 last ‖ data. Every piece but the last is full, so that a trickle of small frames cannot keep a reader busy."""

    FULL_BYTES: ClassVar[int]
    data: Buffer
    last: bool

    def encode(self) -> bytes:
        """See Message."""
        return b"".join((self._flag(), self.data))

    def frame(self, stream: int) -> bytes:
        """See Message; without a copy between."""
        return encode_frame(self.TYPE, stream, self._flag(), self.data)

    def _flag(self) -> bytes:
        return b"\x01" if self.last else b"\x00"

    @classmethod
    def decode(cls, body: Buffer) -> Self:
        """See Message."""
        if len(body) < 2 or body[0] > 1:
            raise RemoteProtocolError(Reason.MALFORMED, "not a piece of data")
        last, length = body[0] == 1, len(body) - 1
        if length > cls.FULL_BYTES or (length < cls.FULL_BYTES and not last):
            raise RemoteProtocolError(Reason.MALFORMED, f"a piece of {length} bytes")
        return cls(bytes(body[1:]), last)


@dataclass(frozen=True, slots=True)
class HashesData(_Piece):
    """A piece of the list of chunk hashes: 2,000 of them, or what is left."""

    TYPE: ClassVar[int] = 21
    FULL_BYTES: ClassVar[int] = _HASHES_PIECE_BYTES

    @classmethod
    def decode(cls, body: Buffer) -> Self:
        """See Message."""
        if len(body) % HASH_BYTES != 1:
            raise RemoteProtocolError(Reason.MALFORMED, "not whole hashes")
        # Not super(): slots make the dataclass decorator build a second class, which the zero-argument form misses.
        return super(HashesData, cls).decode(body)


@dataclass(frozen=True, slots=True)
class RangeData(_Piece):
    """A piece of the ciphertext asked for, in order: 52,432 bytes, or what is left."""

    TYPE: ClassVar[int] = 23
    FULL_BYTES: ClassVar[int] = RANGE_PIECE_BYTES


@dataclass(frozen=True, slots=True)
class Gone(MapMessage):
    """What was asked for is not here, or cannot be read on: ends the replies to a request."""

    TYPE: ClassVar[int] = 24
    code: str

    def fields(self) -> dict[str, Value]:
        """{code}."""
        return {"code": check_own_code(self.code)}

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage."""
        return cls(read_code(fields))


def _pieces(data: Buffer, full_bytes: int) -> Iterator[tuple[Buffer, bool]]:
    view = memoryview(data)
    for start in range(0, len(view), full_bytes):
        yield view[start : start + full_bytes], start + full_bytes >= len(view)


def range_pieces(data: Buffer, *, last: bool) -> Iterator[RangeData]:
    """Cut ciphertext into frames' worth, without copying. data: whole chunks. last: the range ends with them."""
    for piece, is_end in _pieces(data, RANGE_PIECE_BYTES):
        yield RangeData(piece, last and is_end)


def hashes_pieces(hashes: Buffer) -> Iterator[HashesData]:
    """Cut a list of chunk hashes, joined, into frames' worth, without copying."""
    for piece, is_end in _pieces(hashes, _HASHES_PIECE_BYTES):
        yield HashesData(piece, is_end)
