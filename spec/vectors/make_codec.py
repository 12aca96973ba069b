"""Writes codec.json: strict msgpack, the values that it stands for and what is refused."""

from __future__ import annotations

from typing import Any

from protocol.codec import encode
from spec.vectors.common import write

SPEC = "encoding.md, 1"
MAX_BYTES = 65_536


def plain(value: Any) -> dict[str, Any]:
    """A value in JSON: its kind and, for integers, decimal text; maps as pairs, in the order of the bytes."""
    match value:
        case bool():
            return {"bool": value}
        case int():
            return {"int": str(value)}
        case str():
            return {"text": value}
        case bytes():
            return {"bytes": value.hex()}
        case list():
            return {"list": [plain(item) for item in value]}
    return {"map": [[key, plain(value[key])] for key in sorted(value, key=str.encode)]}


def _case(name: str, comment: str, data: bytes, expect: str, max_bytes: int = MAX_BYTES, **out: Any) -> dict[str, Any]:
    given = {"bytes": data.hex(), "max_bytes": max_bytes}
    return {"name": name, "spec": SPEC, "comment": comment, "input": given, "expect": expect, **out}


def _good(name: str, comment: str, value: Any) -> dict[str, Any]:
    return _case(name, comment, encode(value), "ok", value=plain(value))


def _bad(name: str, comment: str, data: str, expect: str) -> dict[str, Any]:
    return _case(name, comment, bytes.fromhex(data), expect)


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def _good_cases() -> list[dict[str, Any]]:
    edges = [0, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**64 - 1]
    below = [-1, -32, -33, -128, -129, -32_768, -32_769, -(2**31), -(2**31) - 1, -(2**63)]
    return [
        _good("map", "keys in the order of their bytes", {"v": 1, "id": b"\0\1", "é": True, "a": "text"}),
        _good("key_order", "bytes of UTF-8, a prefix first", {"b": 1, "a": 1, "ab": 1, "\ue000": 1, "\U00010000": 1}),
        _good("empty_map", "", {}),
        _good("integers", "each in its shortest form, at both ends of each", edges),
        _good("negative_integers", "likewise", below),
        _good("booleans", "", [False, True]),
        _good("texts", "of 0, 31, 32, 255 and 256 bytes", ["", "x" * 31, "x" * 32, "x" * 255, "x" * 256]),
        _good("binaries", "of 0, 255 and 256 bytes", [b"", bytes(255), bytes(256)]),
        _good("lists", "of 15 and 16 items", [[0] * 15, [0] * 16]),
        _good("sixteen_fields", "a map with a 2-byte count", {f"{number:02d}": number for number in range(16)}),
        _good("text_with_nul", "text may hold NUL here; the formats refuse it field by field", "a\0b"),
        _good("depth_8", "eight lists, one in another", _nested(8)),
        _good("depth_8_filled", "a value in the innermost does not count", [[[[[[[["x"]]]]]]]]),
    ]


def _other_forms() -> list[dict[str, Any]]:
    """The same values in other words."""
    return [
        _bad("long_1", "1 in two bytes", "cc01", "not_canonical"),
        _bad("long_255", "255 in three bytes", "cd00ff", "not_canonical"),
        _bad("long_65535", "65,535 in five bytes", "ce0000ffff", "not_canonical"),
        _bad("long_2_32", "2^32 − 1 in nine bytes", "cf00000000ffffffff", "not_canonical"),
        _bad("signed_1", "1 as a signed integer", "d001", "not_canonical"),
        _bad("signed_2_31", "2^31 − 1 as a signed integer", "d27fffffff", "not_canonical"),
        _bad("long_minus_1", "−1 in two bytes", "d0ff", "not_canonical"),
        _bad("long_minus_128", "−128 in three bytes", "d1ff80", "not_canonical"),
        _bad("long_text", "one character after a 1-byte length", "d90178", "not_canonical"),
        _bad("long_binary", "one byte after a 2-byte length", "c5000100", "not_canonical"),
        _bad("long_list", "one item after a 2-byte count", "dc000101", "not_canonical"),
        _bad("long_map", "one field after a 2-byte count", "de0001a17601", "not_canonical"),
        _bad("keys_unordered", "b before a", "82a16201a16101", "not_canonical"),
        _bad("keys_by_length", "b before aa: not by length", "82a16201a2616101", "not_canonical"),
        _bad("key_twice", "a twice, the values alike", "82a16101a16101", "not_canonical"),
        _bad("key_twice_apart", "a twice, the values different", "82a16101a16102", "not_canonical"),
        _bad("inner_not_canonical", "a long integer deep inside", "81a1619192cc0100", "not_canonical"),
    ]


def _outside() -> list[dict[str, Any]]:
    """What the subset has no place for."""
    return [
        _bad("nil", "nil: absence says it", "c0", "malformed"),
        _bad("nil_field", "nil as a value", "81a161c0", "malformed"),
        _bad("float32", "a float", "ca3f800000", "malformed"),
        _bad("float64", "a float", "cb3ff0000000000000", "malformed"),
        _bad("never_used", "0xc1", "c1", "malformed"),
        _bad("fixext", "an extension of one byte", "d40100", "malformed"),
        _bad("ext8", "an extension", "c7010100", "malformed"),
        _bad("timestamp", "the extension for times", "d6ff00000000", "malformed"),
        _bad("integer_key", "a key that is an integer", "810101", "malformed"),
        _bad("binary_key", "a key that is bytes", "81c4016101", "malformed"),
        _bad("list_key", "a key that is a list", "819001", "malformed"),
        _bad("not_utf8", "text of a lone 0xff", "a1ff", "malformed"),
        _bad("overlong_utf8", "text with / in two bytes", "a2c0af", "malformed"),
        _bad("surrogate", "text with U+D800", "a3eda080", "malformed"),
    ]


def _lengths() -> list[dict[str, Any]]:
    good = encode({"a": 1})
    return [
        _bad("empty", "no bytes", "", "malformed"),
        _bad("cut_integer", "one byte of two", "cd01", "malformed"),
        _bad("cut_text", "two of three characters", "a36161", "malformed"),
        _bad("cut_length", "a length without its second byte", "c501", "malformed"),
        _bad("cut_list", "one of two items", "9201", "malformed"),
        _bad("cut_map", "a key without value", "81a161", "malformed"),
        _case("more", "a byte after the end", good + b"\0", "malformed"),
        _bad("huge_list", "2^32 − 1 items, none there", "ddffffffff", "malformed"),
        _bad("huge_map", "2^31 fields, none there", "df80000000", "malformed"),
        _bad("huge_text", "2^32 − 1 bytes, none there", "dbffffffff", "malformed"),
        _bad("depth_9", "nine lists, one in another", "91" * 8 + "90", "too_deep"),
        _bad("depth_9_map", "a map in eight lists", "91" * 8 + "80", "too_deep"),
        _case("above_limit", "one byte more than the format allows", good, "too_large", len(good) - 1),
        _case("above_limit_first", "the limit comes before the shape", b"\xc1" * 4, "too_large", 3),
    ]


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    return [*_good_cases(), *_other_forms(), *_outside(), *_lengths()]


if __name__ == "__main__":
    write("codec", SPEC, cases())
