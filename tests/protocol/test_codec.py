"""The strict subset of msgpack: one value, one encoding, and nothing else gets in."""

from __future__ import annotations

import math
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.codec import MAX_DEPTH, MAX_VALUES, FieldReader, check_binary, check_text, decode, decode_map, encode
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import LetterId

LIMIT = 1 << 20

scalars = st.one_of(st.booleans(), st.integers(-(2**63), 2**64 - 1), st.binary(max_size=40), st.text(max_size=40))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=17) | st.dictionaries(st.text(max_size=6), inner, max_size=17),
    max_leaves=20,
).filter(lambda value: depth_of(value) <= MAX_DEPTH)


def depth_of(value: Any) -> int:
    if not isinstance(value, list | dict):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth_of, inner), default=0)


def nested(depth: int, innermost: Any = 1) -> Any:
    value: Any = innermost
    for _ in range(depth):
        value = [value]
    return value


def refusal(data: bytes, *, max_bytes: int = LIMIT) -> Reason:
    with pytest.raises(RemoteProtocolError) as caught:
        decode(data, max_bytes=max_bytes)
    return caught.value.reason


@given(value=values)
def test_a_value_reads_back_as_it_was_written(value: Any) -> None:
    data = encode(value)
    again = decode(data, max_bytes=LIMIT)
    assert again == value
    assert encode(again) == data


@given(pairs=st.lists(st.tuples(st.text(max_size=10), st.integers(0, 9)), unique_by=lambda pair: pair[0]))
def test_the_order_in_which_a_map_was_built_does_not_show(pairs: list[tuple[str, int]]) -> None:
    data = encode(dict(pairs))
    assert data == encode(dict(reversed(pairs)))
    assert list(decode(data, max_bytes=LIMIT)) == sorted(dict(pairs), key=str.encode)


@pytest.mark.parametrize("size", [31, 32, 255, 256, 65_535, 65_536])
def test_lengths_take_the_shortest_form(size: int) -> None:
    keys = (f"{number:05d}" for number in range(min(size, MAX_VALUES // 2 - 1)))
    for value in (bytes(size), "x" * size, [0] * size, dict.fromkeys(keys, 0)):
        data = encode(value)
        assert data == msgpack.packb(value)
        assert decode(data, max_bytes=LIMIT) == value


@given(data=st.binary(max_size=200))
@example(b"\xc7\x00\x01")
@example(b"\x81\x90\x01")
@example(b"\x81\xc4\x01a\x01")
@example(b"\xd9")
@example(b"\xa2\xed\xa0")
def test_whatever_bytes_come_they_are_refused_or_are_the_one_encoding(data: bytes) -> None:
    try:
        value = decode(data, max_bytes=LIMIT)
    except RemoteProtocolError:
        return
    assert encode(value) == data


@given(value=values, at=st.integers(0), byte=st.integers(0, 255))
def test_a_changed_byte_is_refused_or_changes_the_value(value: Any, at: int, byte: int) -> None:
    data = bytearray(encode(value))
    at %= len(data)
    was, data[at] = data[at], byte
    try:
        changed = decode(bytes(data), max_bytes=LIMIT)
    except RemoteProtocolError:
        return
    assert (encode(changed) == encode(value)) == (was == byte)


@given(value=values.filter(lambda value: isinstance(value, list | dict | bytes | str)), cut=st.integers(1))
def test_a_cut_value_is_malformed(value: Any, cut: int) -> None:
    data = encode(value)
    assert refusal(data[: -(1 + cut % len(data))]) is Reason.MALFORMED


@given(value=values, more=st.binary(min_size=1, max_size=5))
def test_bytes_after_the_end_are_malformed(value: Any, more: bytes) -> None:
    assert refusal(encode(value) + more) is Reason.MALFORMED


@given(value=values)
def test_another_encoding_of_the_same_value_is_refused(value: Any) -> None:
    """What msgpack itself writes, keys reversed: it differs exactly where the order of keys does."""

    def reverse(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: reverse(item[key]) for key in sorted(item, key=str.encode, reverse=True)}
        return [reverse(inner) for inner in item] if isinstance(item, list) else item

    data = msgpack.packb(reverse(value))
    if data == encode(value):
        assert decode(data, max_bytes=LIMIT) == value
    else:
        assert refusal(data) is Reason.NOT_CANONICAL


def test_the_limit_is_the_callers_and_comes_first() -> None:
    assert decode(b"\xa3abc", max_bytes=4) == "abc"
    assert refusal(b"\xa3abc", max_bytes=3) is Reason.TOO_LARGE
    assert refusal(b"\xc1" * 4, max_bytes=3) is Reason.TOO_LARGE


@pytest.mark.parametrize("innermost", [1, "x", [], {}], ids=["integer", "text", "list", "map"])
def test_depth_counts_lists_and_maps_on_both_sides(innermost: Any) -> None:
    deepest = MAX_DEPTH if not isinstance(innermost, list | dict) else MAX_DEPTH - 1
    data = encode(nested(deepest, innermost))
    assert decode(data, max_bytes=LIMIT) == nested(deepest, innermost)
    with pytest.raises(LocalProtocolError, match="nested deeper"):
        encode(nested(deepest + 1, innermost))
    assert refusal(b"\x91" + data) is Reason.TOO_DEEP


def test_a_depth_that_would_exhaust_the_stack_is_refused() -> None:
    assert refusal(b"\x91" * 1_000_000) is Reason.TOO_DEEP


def test_the_number_of_values_is_bounded() -> None:
    fits = b"\xdd" + (MAX_VALUES - 1).to_bytes(4, "big") + bytes(MAX_VALUES - 1)
    assert len(decode(fits, max_bytes=LIMIT)) == MAX_VALUES - 1
    more = b"\xdd" + MAX_VALUES.to_bytes(4, "big") + bytes(MAX_VALUES)
    assert refusal(more) is Reason.TOO_LARGE
    halves = MAX_VALUES // 2
    spread = b"\x92" + 2 * (b"\xdd" + halves.to_bytes(4, "big") + bytes(halves))
    assert refusal(spread) is Reason.TOO_LARGE


@pytest.mark.parametrize("token", ["dc", "dd", "de", "df"])
def test_a_count_that_the_bytes_cannot_hold_is_refused_unread(token: str) -> None:
    width = 2 if token in ("dc", "de") else 4
    assert refusal(bytes.fromhex(token) + b"\xff" * width) is Reason.MALFORMED


@pytest.mark.parametrize(
    "value",
    [
        None,
        1.5,
        math.nan,
        2**64,
        -(2**63) - 1,
        {1: "key"},
        {b"k": 1},
        {1, 2},
        object(),
        bytearray(b"x"),
        memoryview(b"x"),
    ],
    ids=["none", "float", "nan", "above", "below", "int_key", "bytes_key", "set", "object", "bytearray", "memoryview"],
)
def test_what_the_subset_has_no_form_for_is_our_mistake(value: Any) -> None:
    with pytest.raises(LocalProtocolError):
        encode(value)
    with pytest.raises(LocalProtocolError):
        encode({"inner": [value]})


@pytest.mark.parametrize("value", ["\ud800", {"\ud800": 1}, ["a", {"b": "\udfff"}]], ids=["text", "key", "inner"])
def test_text_without_a_utf8_form_is_our_mistake(value: Any) -> None:
    with pytest.raises(LocalProtocolError, match="UTF-8"):
        encode(value)


def test_own_types_are_written_as_what_they_are() -> None:
    assert encode(LetterId(bytes(16))) == encode(bytes(16))
    assert encode((Reason.EXPIRED, True)) == encode(["expired", True])


# -- FieldReader


def reader(**fields: Any) -> FieldReader:
    return decode_map(encode(fields), max_bytes=LIMIT)


GOOD: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "integer": (7, "integer", {"low": 7, "high": 7}),
    "negative": (-7, "integer", {"low": -7}),
    "boolean": (False, "boolean", {}),
    "binary": (b"ab", "binary", {"low": 2, "high": 2}),
    "fixed": (b"ab", "fixed", {"length": 2}),
    "text": ("é", "text", {"low": 2, "high": 2}),
    "choice": ("b", "choice", {"allowed": ["a", "b"]}),
    "items": ([1, "x"], "items", {"low": 2, "high": 2}),
}
BAD: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "integer_low": (6, "integer", {"low": 7, "high": 9}),
    "integer_high": (10, "integer", {"low": 7, "high": 9}),
    "integer_negative": (-1, "integer", {}),
    "integer_boolean": (True, "integer", {}),
    "integer_text": ("7", "integer", {}),
    "boolean_integer": (1, "boolean", {}),
    "binary_short": (b"a", "binary", {"low": 2, "high": 3}),
    "binary_long": (b"abcd", "binary", {"low": 2, "high": 3}),
    "binary_text": ("ab", "binary", {"low": 2, "high": 3}),
    "fixed_short": (b"a", "fixed", {"length": 2}),
    "fixed_long": (b"abc", "fixed", {"length": 2}),
    "text_bytes_counted": ("é", "text", {"high": 1}),
    "text_short": ("", "text", {"low": 1, "high": 9}),
    "text_nul": ("a\0", "text", {"high": 9}),
    "text_binary": (b"a", "text", {"high": 9}),
    "choice_other": ("c", "choice", {"allowed": ["a", "b"]}),
    "choice_list": (["a"], "choice", {"allowed": ["a", "b"]}),
    "items_few": ([], "items", {"low": 1, "high": 2}),
    "items_many": ([1, 2, 3], "items", {"low": 1, "high": 2}),
    "items_map": ({"a": 1}, "items", {"high": 2}),
}


@pytest.mark.parametrize(("value", "method", "limits"), GOOD.values(), ids=GOOD)
def test_a_field_that_fits_is_taken(value: Any, method: str, limits: dict[str, Any]) -> None:
    fields = reader(field=value)
    assert "field" in fields
    assert getattr(fields, method)("field", **limits) == value
    assert "field" not in fields
    fields.done()


@pytest.mark.parametrize(("value", "method", "limits"), BAD.values(), ids=BAD)
def test_a_field_that_does_not_fit_is_malformed(value: Any, method: str, limits: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError, match="field") as caught:
        getattr(reader(field=value), method)("field", **limits)
    assert caught.value.reason is Reason.MALFORMED


def test_a_missing_field_is_named() -> None:
    with pytest.raises(RemoteProtocolError, match="field lid is missing") as caught:
        reader(v=1).fixed("lid", 16)
    assert caught.value.reason is Reason.MALFORMED


def test_what_is_left_over_is_refused_or_kept() -> None:
    fields = reader(known=1, later="x")
    fields.integer("known")
    with pytest.raises(RemoteProtocolError, match="unknown field 'later'") as caught:
        fields.done()
    assert caught.value.reason is Reason.MALFORMED
    assert fields.rest() == {"later": "x"}
    fields.done()


@pytest.mark.parametrize(
    ("value", "reason"), [(2, Reason.UNKNOWN_VERSION), (0, Reason.UNKNOWN_VERSION), ("1", Reason.MALFORMED)]
)
def test_another_version_is_told_apart(value: Any, reason: Reason) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        reader(v=value).version()
    assert caught.value.reason is reason


def test_a_map_inside_is_read_alike() -> None:
    inner = reader(field={"a": 1}).map("field")
    assert inner.integer("a") == 1
    inner.done()


@given(value=values.filter(lambda value: not isinstance(value, dict)))
def test_what_is_no_map_is_malformed(value: Any) -> None:
    with pytest.raises(RemoteProtocolError, match="expected a map") as caught:
        decode_map(encode(value), max_bytes=LIMIT)
    assert caught.value.reason is Reason.MALFORMED


@given(value=values)
def test_checks_of_single_items_return_what_they_checked(value: Any) -> None:
    for check, kind in ((check_binary, bytes), (check_text, str)):
        if isinstance(value, kind) and not (isinstance(value, str) and "\0" in value):
            assert check(value, "item", 0, LIMIT) is value
        else:
            with pytest.raises(RemoteProtocolError, match="item is no"):
                check(value, "item", 0, LIMIT)
