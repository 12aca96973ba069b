"""Identifiers: bytes of one length, and their form in text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import LocalProtocolError
from protocol.ids import LetterId, NodeId


@given(raw=st.binary(min_size=32, max_size=32))
def test_an_id_reads_back_from_its_text(raw: bytes) -> None:
    node = NodeId(raw)
    assert (NodeId.from_text(node.text), NodeId.from_text(node.text.upper())) == (node, node)
    assert len(node.text) == 52
    assert node.text.islower() or node.text.isdigit()


@pytest.mark.parametrize("length", [0, 15, 17, 32])
def test_an_id_of_another_length_is_our_mistake(length: int) -> None:
    with pytest.raises(LocalProtocolError, match="LetterId takes 16 bytes"):
        LetterId(bytes(length))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a" * 25, "has 26 characters"),
        ("a" * 27, "has 26 characters"),
        ("a" * 25 + "1", "a-z and 2-7 only"),
        ("a" * 25 + "é", "a-z and 2-7 only"),
        ("a" * 25 + "=", "a-z and 2-7 only"),
        ("a" * 25 + "b", "unused bits"),
    ],
    ids=["short", "long", "one", "accent", "padding", "unused_bits"],
)
def test_another_text_is_refused_with_the_form_wanted(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LetterId.from_text(text)


def test_the_representation_is_short_and_names_the_kind() -> None:
    assert repr(LetterId(bytes(16))) == str(LetterId(bytes(16))) == "LetterId(aaaaaaaaaaaa…)"
