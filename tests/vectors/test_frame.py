"""spec/vectors/frame.json."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.frames import Frame, FrameReader, encode_frame
from tests.vectors.vector_files import load_cases, outcome


@pytest.mark.parametrize("case", load_cases("frame"))
def test_frame(case: dict[str, Any]) -> None:
    data, reader = bytes.fromhex(case["input"]["bytes"]), FrameReader()
    expect, frames = outcome(lambda: list(reader.feed(data)))
    assert expect == case["expect"]
    if expect == "ok":
        wanted = [(item["type"], item["stream"], bytes.fromhex(item["body"])) for item in case["frames"]]
        assert frames == [Frame(kind, stream, memoryview(body)) for kind, stream, body in wanted]
        again = b"".join(encode_frame(*item) for item in wanted)
        assert data.startswith(again)
        assert len(data) - len(again) == case["rest"]
        assert reader.is_empty == (case["rest"] == 0)
