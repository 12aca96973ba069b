"""Strict msgpack: one value, one encoding. The only module that knows msgpack. Spec: spec/encoding.md.

msgpack alone is too kind: duplicate keys, any key order, over-long integers and deep nesting decode, and
an array header may claim more items than memory holds. So `decode` walks the tokens first (types, depth,
counts against what is left), then lets the library decode, then re-encodes and compares.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import msgpack

from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError, malformed

__all__ = [
    "MAX_DEPTH",
    "MAX_VALUES",
    "FieldReader",
    "Value",
    "check_binary",
    "check_text",
    "decode",
    "decode_map",
    "encode",
]

# Deeper than any format here (hello: 4); shallow enough for recursion to be harmless.
MAX_DEPTH: Final = 8
# A value of one byte takes up to a hundred in memory. The largest value of any format here, a letter with 1,000
# recipients and 10,000 attachments, has 97,037; 8 MiB of empty maps would take 1.2 GB and 20 s.
MAX_VALUES: Final = 2**17
_MAX_UNSIGNED: Final = 2**64 - 1

Value = Any
"""bool, int (0 to 2^64-1 or negative to -2^63), str, bytes, list of values, dict from str to value."""


# Types that are packed as they are; asked for first, since most values of any map are of them.
_PLAIN: Final = frozenset({bytes, str, bool})


def _canonical(value: Value, depth: int) -> Value:
    """The same value with sorted maps; LocalProtocolError for what the subset has no form for."""
    if type(value) in _PLAIN or isinstance(value, bytes | str):
        return value
    if isinstance(value, int):
        if not -(2**63) <= value <= _MAX_UNSIGNED:
            raise LocalProtocolError("integer outside 64 bits")
        return value
    if depth > MAX_DEPTH:
        raise LocalProtocolError(f"value nested deeper than {MAX_DEPTH}")
    below = depth + 1
    if isinstance(value, dict):
        try:
            keys = sorted(value)
        except TypeError as error:
            raise LocalProtocolError("map keys are strings") from error
        # UTF-8 keeps the order of code points, so that of the strings is that of their bytes.
        if keys and not (isinstance(keys[0], str) and isinstance(keys[-1], str)):
            raise LocalProtocolError("map keys are strings")
        return {key: item if type(item := value[key]) in _PLAIN else _canonical(item, below) for key in keys}
    # Not any sequence: a memoryview or bytearray would become a list of integers.
    if isinstance(value, list | tuple):
        return [item if type(item) in _PLAIN else _canonical(item, below) for item in value]
    raise LocalProtocolError(f"no encoding for {type(value).__name__}")


def encode(value: Value) -> bytes:
    """The one encoding of `value`. LocalProtocolError for floats, None, foreign types or over-deep values."""
    try:
        packed: bytes = msgpack.packb(_canonical(value, 1), use_bin_type=True)
    except UnicodeEncodeError as error:
        # A lone surrogate, as in the name of a file that is no UTF-8.
        raise LocalProtocolError("text that has no UTF-8 form") from error
    return packed


# Lengths of the length field that follows each token of variable size.
_SIZED: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_COUNTED: Final = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
_FIXED: Final = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}


def _scan(data: bytes) -> None:
    """Walk the tokens without building anything: types of the subset, depth, counts, number of values, exact end.

    Every item takes at least one byte, so a count larger than the bytes left is a lie and is refused
    before the library would reserve memory for it.
    """
    position, end = 0, len(data)
    values = 1
    pending = [1]
    while pending:
        if pending[-1] == 0:
            pending.pop()
            continue
        pending[-1] -= 1
        if position >= end:
            raise malformed("truncated")
        token = data[position]
        position += 1
        if token <= 0x7F or token >= 0xE0 or token in (0xC2, 0xC3):
            continue
        if 0xA0 <= token <= 0xBF:
            position += token & 0x1F
        elif token in _FIXED:
            position += _FIXED[token]
        elif token in _SIZED:
            width = _SIZED[token]
            position += width + int.from_bytes(data[position : position + width], "big")
        elif token <= 0x9F or token in _COUNTED:
            if token <= 0x9F:
                items = (token & 0x0F) * (2 if token <= 0x8F else 1)
            else:
                width, each = _COUNTED[token]
                items = int.from_bytes(data[position : position + width], "big") * each
                position += width
            if items > end - position:
                raise malformed("count larger than the bytes left")
            if len(pending) > MAX_DEPTH:
                raise RemoteProtocolError(Reason.TOO_DEEP, f"nested deeper than {MAX_DEPTH}")
            values += items
            if values > MAX_VALUES:
                raise RemoteProtocolError(Reason.TOO_LARGE, f"more than {MAX_VALUES} values")
            pending.append(items)
        else:
            raise malformed(f"token 0x{token:02x} is outside the subset")
    if position != end:
        raise malformed("truncated" if position > end else "bytes after the end")


def _ordered_map(pairs: list[tuple[Value, Value]]) -> dict[str, Value]:
    """A map whose keys are strings in rising order, which leaves no room for one twice."""
    last: str | None = None
    for key, _ in pairs:
        if not isinstance(key, str):
            raise malformed("map keys are strings")
        if last is not None and key <= last:
            raise RemoteProtocolError(Reason.NOT_CANONICAL, "map keys are not in order, each once")
        last = key
    return dict(pairs)


def decode(data: bytes, *, max_bytes: int) -> Value:
    """Decode bytes from outside that must be the one encoding of a value.

    max_bytes: the limit that the caller's format gives; larger input is refused unread.
    Raises RemoteProtocolError (too_large, too_deep, malformed, not_canonical) and nothing else.
    """
    if len(data) > max_bytes:
        raise RemoteProtocolError(Reason.TOO_LARGE, f"{len(data)} bytes, limit {max_bytes}")
    _scan(data)
    try:
        value = msgpack.unpackb(data, raw=False, strict_map_key=True, use_list=True, object_pairs_hook=_ordered_map)
        again = msgpack.packb(value, use_bin_type=True)
    except (ValueError, msgpack.UnpackException, UnicodeDecodeError) as error:
        raise malformed("not strict msgpack") from error
    if again != data:
        raise RemoteProtocolError(Reason.NOT_CANONICAL, "re-encoding gives other bytes")
    return value


def decode_map(data: bytes, *, max_bytes: int) -> FieldReader:
    """Decode a map and hand it over as a FieldReader."""
    return FieldReader(decode(data, max_bytes=max_bytes))


class FieldReader:
    """Takes the fields of one decoded map, checking type and range, and refuses what is left over.

    Each method takes the field away; `done()` refuses unknown fields, `rest()` returns them (directory
    entries and statements keep what they do not know). RemoteProtocolError(malformed) for every misfit.
    """

    __slots__ = ("_fields",)

    def __init__(self, value: Value) -> None:
        if not isinstance(value, dict):
            raise malformed("expected a map")
        self._fields: dict[str, Value] = dict(value)

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def _take(self, name: str) -> Value:
        try:
            return self._fields.pop(name)
        except KeyError:
            raise malformed(f"field {name} is missing") from None

    def integer(self, name: str, *, low: int = 0, high: int = _MAX_UNSIGNED) -> int:
        """An integer between low and high, both included."""
        value = self._take(name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise malformed(f"field {name} is no integer from {low} to {high}")
        return value

    def version(self, name: str = "v", *, known: int = 1) -> None:
        """The format's version number; another one is RemoteProtocolError(unknown_version)."""
        if self.integer(name) != known:
            raise RemoteProtocolError(Reason.UNKNOWN_VERSION, f"this node speaks version {known}")

    def boolean(self, name: str) -> bool:
        """True or false."""
        value = self._take(name)
        if not isinstance(value, bool):
            raise malformed(f"field {name} is no boolean")
        return value

    def binary(self, name: str, *, low: int = 0, high: int) -> bytes:
        """Bytes of low to high length."""
        return check_binary(self._take(name), name, low, high)

    def fixed(self, name: str, length: int) -> bytes:
        """Exactly `length` bytes."""
        return check_binary(self._take(name), name, length, length)

    def text(self, name: str, *, low: int = 0, high: int) -> str:
        """UTF-8 text of low to high bytes, without NUL."""
        return check_text(self._take(name), name, low, high)

    def choice(self, name: str, allowed: Collection[str]) -> str:
        """One of the allowed words."""
        value = self._take(name)
        if not isinstance(value, str) or value not in allowed:
            raise malformed(f"field {name} is none of {', '.join(allowed)}")
        return value

    def items(self, name: str, *, low: int = 0, high: int) -> list[Value]:
        """A list of low to high items, not checked further."""
        value = self._take(name)
        if not isinstance(value, list) or not low <= len(value) <= high:
            raise malformed(f"field {name} is no list of {low} to {high} items")
        return value

    def map(self, name: str) -> FieldReader:
        """A map inside this one."""
        return FieldReader(self._take(name))

    def done(self) -> None:
        """Refuse whatever was not taken."""
        if self._fields:
            raise malformed(f"unknown field {next(iter(self._fields))[:40]!r}")

    def rest(self) -> dict[str, Value]:
        """What was not taken, for formats that keep unknown fields."""
        rest, self._fields = self._fields, {}
        return rest


def check_binary(value: Value, name: str, low: int, high: int) -> bytes:
    """`value` if it is bytes of low to high length; RemoteProtocolError(malformed) otherwise."""
    if not isinstance(value, bytes) or not low <= len(value) <= high:
        raise malformed(f"{name} is not {low} to {high} bytes")
    return value


def check_text(value: Value, name: str, low: int, high: int) -> str:
    """`value` if it is text of low to high UTF-8 bytes without NUL; RemoteProtocolError otherwise."""
    if not isinstance(value, str) or not low <= len(value.encode()) <= high or "\0" in value:
        raise malformed(f"{name} is no text of {low} to {high} bytes")
    return value
