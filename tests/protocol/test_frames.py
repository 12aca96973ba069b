"""protocol/frames.py."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.frames import HEADER_BYTES, MAX_BODY_BYTES, MAX_FRAME_BYTES, FrameReader, encode_frame

_frames = st.lists(st.tuples(st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=300)), max_size=12)


def _read(reader: FrameReader, data: bytes) -> list[tuple[int, int, bytes]]:
    return [(frame.type, frame.stream, bytes(frame.body)) for frame in reader.feed(data)]


def test_layout() -> None:
    assert encode_frame(0x10, 0x01020304, b"ab", memoryview(b"c")).hex() == "000000081001020304616263"


@given(_frames, st.lists(st.integers(0, 4000), max_size=20))
def test_frames_come_out_however_the_bytes_are_cut(frames: list[tuple[int, int, bytes]], cuts: list[int]) -> None:
    data = b"".join(encode_frame(*frame) for frame in frames)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    reader = FrameReader()
    found = []
    for start, end in pairwise(edges):
        found += _read(reader, data[start:end])
    assert found == frames
    assert reader.is_empty


@given(_frames)
def test_byte_by_byte_each_frame_comes_with_its_last_byte(frames: list[tuple[int, int, bytes]]) -> None:
    reader = FrameReader()
    for frame in frames:
        data = encode_frame(*frame)
        for at in range(len(data) - 1):
            assert _read(reader, data[at : at + 1]) == []
            assert not reader.is_empty
        assert _read(reader, data[-1:]) == [frame]
        assert reader.is_empty


def test_the_largest_frame() -> None:
    data = encode_frame(1, 2, bytes(MAX_BODY_BYTES))
    assert len(data) == MAX_FRAME_BYTES == 65_536
    assert _read(FrameReader(), data) == [(1, 2, bytes(MAX_BODY_BYTES))]
    with pytest.raises(LocalProtocolError):
        encode_frame(1, 2, bytes(MAX_BODY_BYTES), b"x")


@pytest.mark.parametrize(
    ("length", "reason"),
    [
        (MAX_FRAME_BYTES - 3, Reason.TOO_LARGE),
        (2**32 - 1, Reason.TOO_LARGE),
        (HEADER_BYTES - 5, Reason.MALFORMED),
        (0, Reason.MALFORMED),
    ],
    ids=["one_too_many", "largest_number", "one_too_few", "zero"],
)
@pytest.mark.parametrize("cut", [0, 1, 3], ids=["at_once", "after_one", "after_three"])
def test_a_bad_length_is_refused_from_its_four_bytes(length: int, reason: Reason, cut: int) -> None:
    data, reader = length.to_bytes(4, "big"), FrameReader()
    assert _read(reader, data[:cut]) == []
    with pytest.raises(RemoteProtocolError) as caught:
        _read(reader, data[cut:])
    assert caught.value.reason is reason


def test_what_came_before_a_bad_length_is_given_first() -> None:
    frames = FrameReader().feed(encode_frame(1, 0, b"good") + bytes(4))
    assert bytes(next(frames).body) == b"good"
    with pytest.raises(RemoteProtocolError):
        next(frames)


def test_a_frame_that_lies_whole_in_one_read_is_not_copied() -> None:
    data = encode_frame(1, 0, b"body")
    (frame,) = FrameReader().feed(data)
    assert frame.body.obj is data
