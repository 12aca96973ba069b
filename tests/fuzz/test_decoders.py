"""Bytes from outside raise the declared error or nothing: vectors with bytes changed, and junk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.decoders import DECODERS


@st.composite
def _changed(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A seed with a few pieces changed, cut out, doubled, or taken from another seed."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["set", "cut", "insert", "double", "splice"])):
            case "set" if at < len(data):
                data[at] = draw(st.integers(0, 255))
            case "cut":
                del data[at : at + draw(st.integers(1, 64))]
            case "double":
                data[at:at] = data[at : at + draw(st.integers(1, 64))]
            case "splice":
                other = draw(st.sampled_from(seeds))
                data[at:] = other[min(at, len(other)) :]
            case _:
                data[at:at] = draw(st.binary(max_size=16))
    return bytes(data)


@pytest.mark.parametrize("name", DECODERS)
def test_changed_vectors(name: str) -> None:
    decoder = DECODERS[name]
    for seed in decoder.seeds:
        decoder.read(seed)

    @given(data=_changed(decoder.seeds) | st.binary(max_size=300))
    def read(data: bytes) -> None:
        decoder.read(data)

    read()
