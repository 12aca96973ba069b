"""Frames: u32 length of what follows ‖ u8 type ‖ u32 stream ‖ body. Spec: spec/wire.md, 3."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError

__all__ = ["HEADER_BYTES", "MAX_BODY_BYTES", "MAX_FRAME_BYTES", "Frame", "FrameReader", "encode_frame"]

# Small enough that an urgent letter waits for no more than a few hundred µs behind payload data.
MAX_FRAME_BYTES: Final = 64 * 1024
HEADER_BYTES: Final = 9
MAX_BODY_BYTES: Final = MAX_FRAME_BYTES - HEADER_BYTES


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: type number, stream number, body bytes."""

    type: int
    stream: int
    body: bytes


def encode_frame(frame_type: int, stream: int, body: bytes) -> bytes:
    """The bytes of a frame. LocalProtocolError if the body is too large."""
    if len(body) > MAX_BODY_BYTES:
        raise LocalProtocolError(f"frame body of {len(body)} bytes, limit {MAX_BODY_BYTES}")
    return (len(body) + 5).to_bytes(4, "big") + bytes([frame_type]) + stream.to_bytes(4, "big") + body


class FrameReader:
    """Cuts received bytes into frames; holds at most one incomplete frame and what one read brought."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take bytes, give the frames that are complete. RemoteProtocolError(too_large, malformed) from the length alone."""
        self._buffer += data
        position, buffer = 0, self._buffer
        while len(buffer) - position >= 4:
            length = int.from_bytes(buffer[position : position + 4], "big")
            if length > MAX_FRAME_BYTES - 4:
                raise RemoteProtocolError(Reason.TOO_LARGE, f"frame of {length} bytes")
            if length < 5:
                raise RemoteProtocolError(Reason.MALFORMED, "frame shorter than its header")
            end = position + 4 + length
            if len(buffer) < end:
                break
            stream = int.from_bytes(buffer[position + 5 : position + 9], "big")
            frame = Frame(buffer[position + 4], stream, bytes(buffer[position + 9 : end]))
            position = end
            yield frame
        del self._buffer[:position]

    @property
    def is_empty(self) -> bool:
        """Whether nothing of an incomplete frame is held."""
        return not self._buffer
