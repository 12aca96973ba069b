"""Whether bytes are a public key that may be used: the two halves of a seal key. Spec: spec/encoding.md, 4.

The library's own checks build a key for use, at 40 µs; a newcomer reads a million of them and seals to a few. These
ask the same of the bytes alone, at 3 µs (tests/protocol/test_key_forms.py holds them to the library).
"""

from __future__ import annotations

from typing import Final

__all__ = ["is_mlkem768_key", "is_small_order_x25519"]

_COEFFICIENTS: Final = 768
_COEFFICIENT_BYTES: Final = _COEFFICIENTS * 12 // 8
_Q: Final = 3329


def _in_each_lane(value: int) -> int:
    """`value` in each of 384 lanes of 24 bits, two coefficients wide."""
    return int.from_bytes(value.to_bytes(3, "little") * (_COEFFICIENTS // 2), "little")


_LOW: Final = _in_each_lane(0xFFF)
# Added to a coefficient it carries into the bit above, if the coefficient is q or more.
_BEYOND_Q: Final = _in_each_lane(2**12 - _Q)
_CARRY: Final = _in_each_lane(2**12)


def is_mlkem768_key(raw: bytes) -> bool:
    """The modulus check of FIPS 203, 7.2: every coefficient of the 1,184 bytes is below q. All of them at once."""
    packed = int.from_bytes(raw[:_COEFFICIENT_BYTES], "little")
    even, odd = packed & _LOW, (packed >> 12) & _LOW
    return not ((even + _BEYOND_Q) | (odd + _BEYOND_Q)) & _CARRY


# The u of points of order 1, 2, 4 and 8 on curve and twist, as libsodium lists them; 0 and 1 also in their other form.
_SMALL: Final = tuple(
    bytes.fromhex(text)
    for text in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)
# RFC 7748, 5: the highest bit is not looked at.
_SMALL_ORDER: Final = frozenset(_SMALL) | {key[:31] + bytes([key[31] | 0x80]) for key in _SMALL}


def is_small_order_x25519(raw: bytes) -> bool:
    """Whether an exchange with this key of 32 bytes gives zero, whatever the secret."""
    return raw in _SMALL_ORDER
