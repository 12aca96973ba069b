"""spec/vectors/recovery.json, and halves of any key."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.crypto import Secret
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.recovery_file import (
    RecoveryHalf,
    RecoverySort,
    WholeRecovery,
    decode_recovery_file,
    encode_recovery_file,
    join_halves,
    split_recovery,
)
from tests.vectors.vector_files import load_cases, outcome

Parts = tuple[WholeRecovery | RecoveryHalf, ...]


def whole_of(files: list[str]) -> WholeRecovery:
    parts: Parts = tuple(part for text in files for part in decode_recovery_file(text))
    match parts:
        case (WholeRecovery() as whole,):
            return whole
        case (RecoveryHalf() as one, RecoveryHalf() as other):
            return join_halves(one, other)
    raise AssertionError(parts)


@pytest.mark.parametrize("case", load_cases("recovery"))
def test_recovery_files(case: dict[str, Any]) -> None:
    expect, whole = outcome(lambda: whole_of(case["input"]["files"]))
    assert expect == case["expect"]
    if expect != "ok":
        return
    assert (whole.sort.word, whole.secret.reveal().hex()) == (case["sort"], case["secret"])
    if "pad" in case:
        halves = split_recovery(whole, pad=bytes.fromhex(case["pad"]), pair=bytes.fromhex(case["pair"]))
        assert [encode_recovery_file(half, "a half").decode() for half in halves] == case["input"]["files"]


@st.composite
def wholes(draw: st.DrawFn) -> WholeRecovery:
    sort = draw(st.sampled_from(RecoverySort))
    return WholeRecovery(sort, Secret(draw(st.binary(min_size=sort.length, max_size=sort.length))))


@given(wholes(), st.data())
def test_any_key_comes_back_from_its_halves(whole: WholeRecovery, data: st.DataObject) -> None:
    pad = data.draw(st.binary(min_size=whole.sort.length, max_size=whole.sort.length))
    pair = data.draw(st.binary(min_size=8, max_size=8))
    halves = split_recovery(whole, pad=pad, pair=pair)
    files = [encode_recovery_file(half, "note", "another").decode() for half in halves]
    assert whole_of(files) == whole_of(files[::-1]) == whole_of(["\n".join(files).replace("\n", "\r\n")]) == whole
    assert whole_of([encode_recovery_file(whole, "note").decode()]) == whole
    # The first is the pad itself; the second is as random as the pad is.
    assert halves[0].share.reveal() == pad
    assert halves[1].share.reveal() == bytes(a ^ b for a, b in zip(pad, whole.secret.reveal(), strict=True))


@given(wholes(), st.data())
def test_no_character_of_a_half_can_be_changed(whole: WholeRecovery, data: st.DataObject) -> None:
    half = split_recovery(whole, pad=bytes(whole.sort.length), pair=bytes(8))[1]
    code = half.code()
    at = data.draw(st.integers(min_value=0, max_value=len(code) - 1))
    character = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz234567.-1\u0130ß"))
    if character == code[at]:
        return
    with pytest.raises(RemoteProtocolError):
        decode_recovery_file(code[:at] + character + code[at + 1 :])


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    for given_text in (text, "coffre-recovery-half-1." + text, "coffre-identity-recovery-1." + text):
        try:
            decode_recovery_file(given_text)
        except RemoteProtocolError:
            continue


def test_a_pad_of_another_length_is_refused_and_secrets_are_not_shown() -> None:
    whole = WholeRecovery(RecoverySort.IDENTITY, Secret(bytes(range(32))))
    with pytest.raises(LocalProtocolError):
        split_recovery(whole, pad=bytes(31), pair=bytes(8))
    half = split_recovery(whole, pad=bytes(32), pair=bytes(8))[1]
    for shown in (repr(whole), repr(half)):
        assert bytes(range(32)).hex() not in shown
        assert "hidden" in shown
