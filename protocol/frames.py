"""Frames: u32 length of what follows ‖ u8 type ‖ u32 stream ‖ body. Spec: spec/wire.md, 3. Vectors: frame.json."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError

__all__ = ["HEADER_BYTES", "MAX_BODY_BYTES", "MAX_FRAME_BYTES", "Buffer", "Frame", "FrameReader", "encode_frame"]

Buffer = bytes | memoryview

# Small enough that an urgent letter waits for no more than a few hundred µs behind payload data.
MAX_FRAME_BYTES: Final = 64 * 1024
_HEADER: Final = struct.Struct(">IBI")
HEADER_BYTES: Final = _HEADER.size
MAX_BODY_BYTES: Final = MAX_FRAME_BYTES - HEADER_BYTES
_LENGTH_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: type number, stream number, body. The body is a view of the bytes received: no copy was made."""

    type: int
    stream: int
    body: memoryview


def encode_frame(frame_type: int, stream: int, *parts: Buffer) -> bytes:
    """The bytes of a frame whose body is the parts joined. LocalProtocolError if the body is too large."""
    length = sum(map(len, parts))
    if length > MAX_BODY_BYTES:
        raise LocalProtocolError(f"frame body of {length} bytes, limit {MAX_BODY_BYTES}")
    return b"".join((_HEADER.pack(length + HEADER_BYTES - _LENGTH_BYTES, frame_type, stream), *parts))


def _frame_bytes(data: Buffer) -> int:
    """The whole length of the frame that begins with these 4 bytes; RemoteProtocolError(too_large, malformed)."""
    length = int.from_bytes(data, "big")
    if length > MAX_FRAME_BYTES - _LENGTH_BYTES:
        raise RemoteProtocolError(Reason.TOO_LARGE, f"frame of {length + _LENGTH_BYTES} bytes")
    if length < HEADER_BYTES - _LENGTH_BYTES:
        raise RemoteProtocolError(Reason.MALFORMED, "frame shorter than its header")
    return _LENGTH_BYTES + length


def _frame(view: memoryview) -> Frame:
    _, frame_type, stream = _HEADER.unpack_from(view)
    return Frame(frame_type, stream, view[HEADER_BYTES:])


class FrameReader:
    """Cuts received bytes into frames, however they were cut on the way; holds one incomplete frame at most.

    What lies whole in one read is never copied; of a frame that two reads share, each byte is copied twice.
    """

    __slots__ = ("_partial",)

    def __init__(self) -> None:
        self._partial = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take bytes, give the frames that are complete now. Take all of them before feeding again.

        RemoteProtocolError(too_large, malformed) as soon as the 4 bytes of a length are there; nothing after it.
        """
        view, position, end = memoryview(data), 0, len(data)
        while self._partial:
            missing = self._missing()
            if missing == 0:
                whole = bytes(self._partial)
                self._partial.clear()
                yield _frame(memoryview(whole))
            elif position == end:
                return
            else:
                self._partial += view[position : position + missing]
                position = min(position + missing, end)
        while end - position >= _LENGTH_BYTES:
            after = position + _frame_bytes(view[position : position + _LENGTH_BYTES])
            if after > end:
                break
            yield _frame(view[position:after])
            position = after
        self._partial += view[position:]

    def _missing(self) -> int:
        """Bytes that the incomplete frame lacks, or its length field while that is incomplete."""
        held = len(self._partial)
        if held < _LENGTH_BYTES:
            return _LENGTH_BYTES - held
        return _frame_bytes(bytes(self._partial[:_LENGTH_BYTES])) - held

    @property
    def is_empty(self) -> bool:
        """Whether nothing of an incomplete frame is held."""
        return not self._partial
