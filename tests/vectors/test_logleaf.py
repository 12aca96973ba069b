"""spec/vectors/logleaf.json."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.details import Details, decode_details_of, encode_details
from protocol.logleaf import LogLeaf, make_leaf, verify_opening
from tests.vectors.vector_files import load_cases, outcome


@pytest.mark.parametrize("case", load_cases("logleaf"))
def test_logleaf(case: dict[str, Any]) -> None:
    raw, opening, encoded = (bytes.fromhex(case["input"][name]) for name in ("leaf", "opening", "details"))

    def read() -> tuple[LogLeaf, Details]:
        leaf = LogLeaf.decode(raw)
        verify_opening(leaf, opening, encoded)
        return leaf, decode_details_of(leaf.kind, encoded)

    expect, found = outcome(read)
    assert expect == case["expect"]
    if expect == "ok":
        leaf, details = found
        assert (leaf.kind.word, leaf.kind.value, leaf.time_ms, leaf.tag.hex()) == (
            case["kind"],
            case["number"],
            case["time_ms"],
            case["tag"],
        )
        assert encode_details(details) == encoded
        again = make_leaf(kind=leaf.kind, time_ms=leaf.time_ms, tag=leaf.tag, opening=opening, details=encoded)
        assert again.encode() == raw
