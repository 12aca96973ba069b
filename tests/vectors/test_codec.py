"""spec/vectors/codec.json."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.codec import decode, encode
from spec.vectors.make_codec import plain
from tests.vectors.vector_files import load_cases, outcome


@pytest.mark.parametrize("case", load_cases("codec"))
def test_codec(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["input"]["bytes"])
    expect, value = outcome(lambda: decode(data, max_bytes=case["input"]["max_bytes"]))
    assert expect == case["expect"]
    if expect == "ok":
        assert plain(value) == case["value"]
        assert encode(value) == data
