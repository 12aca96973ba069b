"""Writes frame.json: bytes as received, and the frames in them."""

from __future__ import annotations

from typing import Any

from protocol.frames import encode_frame
from spec.vectors.common import write

SPEC = "wire.md, 3"


def _case(name: str, comment: str, data: bytes, expect: str, **out: object) -> dict[str, Any]:
    return {"name": name, "spec": SPEC, "comment": comment, "input": {"bytes": data.hex()}, "expect": expect, **out}


def _good(name: str, comment: str, *frames: tuple[int, int, bytes], rest: bytes = b"") -> dict[str, Any]:
    data = b"".join(encode_frame(*frame) for frame in frames) + rest
    found = [{"type": kind, "stream": stream, "body": body.hex()} for kind, stream, body in frames]
    return _case(name, comment, data, "ok", frames=found, rest=len(rest))


def _length(number: int, body: bytes = b"") -> bytes:
    return number.to_bytes(4, "big") + body


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    good = encode_frame(3, 0, b"")
    return [
        _good("empty_body", "the smallest frame: 9 bytes", (3, 0, b"")),
        _good("body", "type, stream and body, whatever they mean", (23, 0x01020304, b"\x00body")),
        _good("largest", "65,536 bytes in all", (23, 1, bytes(65_527))),
        _good("several", "one read may bring several frames", (3, 0, b""), (255, 2**32 - 1, b"x"), (0, 1, b"")),
        _good("incomplete_length", "three bytes of a length are kept", (3, 0, b""), rest=_length(5)[:3]),
        _good("incomplete_body", "a frame without its last byte is kept", rest=encode_frame(16, 1, b"body")[:-1]),
        _case("length_0", "a frame has a type and a stream at least", _length(0), "malformed"),
        _case("length_4", "one byte less than a header", _length(4, bytes(4)), "malformed"),
        _case("length_4_unread", "refused from the length alone", _length(4), "malformed"),
        _case(
            "length_65533",
            "one too many, refused from the length alone",
            _length(65_533),
            "too_large",
        ),
        _case("length_2_31", "a length with the highest bit", _length(2**31), "too_large"),
        _case("length_2_32_less_1", "the largest number", _length(2**32 - 1), "too_large"),
        _case("little_endian", "a length of 5 written the other way round", bytes.fromhex("05000000"), "too_large"),
        _case("second_length_0", "a good frame before does not help", good + _length(0), "malformed"),
        _case("second_too_large", "a good frame before does not help", good + _length(65_533), "too_large"),
    ]


if __name__ == "__main__":
    write("frame", SPEC, cases())
