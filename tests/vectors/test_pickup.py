"""spec/vectors/pickup.json, and what people may type."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.crypto import Secret
from protocol.errors import LocalProtocolError
from protocol.ids import LetterId, NodeId
from protocol.pickup import (
    SHOWN_CODE_CHARACTERS,
    SMS_CODE_CHARACTERS,
    PickupLink,
    code_key,
    draw_code,
    grouped,
    link_text,
    open_pickup,
    parse_code,
    parse_link,
    seal_pickup,
)
from tests.vectors.vector_files import load_cases, outcome


@pytest.mark.parametrize("case", load_cases("pickup"))
def test_pickup(case: dict[str, Any]) -> None:
    values = {name: bytes.fromhex(value) for name, value in case["input"].items()}
    node, letter = NodeId(values["node"]), LetterId(values["letter"])
    link = PickupLink.of(Secret(values["link"]), node)
    code = code_key(Secret(values["code"]), values["code_salt"])
    expect, key = outcome(lambda: open_pickup(values["box"], link=link, code=code, node=node, letter=letter))
    assert expect == case["expect"]
    if expect == "ok":
        assert key.reveal().hex() == case["payload_key"]
        assert link.name.hex() == case["name_of_row"]
        assert link_text(Secret(values["link"])).encode().hex() == case["link_text"]
        salt = bytes.fromhex(case["salt"])
        assert seal_pickup(key, link=link, code=code, node=node, letter=letter, salt=salt) == values["box"]


@given(st.binary(min_size=20, max_size=20), st.sampled_from(["", "https://a.example/pickup#", " \n"]))
def test_links_come_back_as_they_were(key: bytes, before: str) -> None:
    text = before + link_text(Secret(key))
    assert parse_link(text) == parse_link(text.upper() + "  ") == Secret(key)


@given(st.text(max_size=600))
def test_anything_typed_is_a_link_or_none(text: str) -> None:
    link, code = parse_link(text), parse_code(text)
    assert link is None or len(link.reveal()) == 20
    assert code is None or len(code.reveal()) in (8, 12)


@given(st.randoms(use_true_random=False), st.sampled_from([SHOWN_CODE_CHARACTERS, SMS_CODE_CHARACTERS]))
def test_codes_are_read_as_people_type_them(random: Any, characters: int) -> None:
    code = draw_code(random.randbytes, characters)
    assert len(code.reveal()) == characters
    shown = grouped(code)
    for typed in (shown, shown.lower().replace("-", " "), code.reveal().decode()):
        assert parse_code(typed) == code


def test_what_is_no_code_is_none() -> None:
    for typed in ("", "2222222", "222222222", "2222222O", "2222222I", "2222222\u0000", "２２２２２２２２", "2" * 501):
        assert parse_code(typed) is None
    with pytest.raises(LocalProtocolError):
        draw_code(lambda count: bytes(count), 4)
    with pytest.raises(LocalProtocolError):
        PickupLink.of(Secret(b"short"), NodeId(bytes(32)))


def test_secrets_of_a_link_are_not_shown() -> None:
    key = Secret(bytes(range(20)))
    link = PickupLink.of(key, NodeId(bytes(32)))
    assert link.half.reveal().hex() not in repr(link)
