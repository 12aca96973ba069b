"""Forms of public keys: the check of the bytes says what the library says when it builds the key."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from protocol.crypto import SealSecret
from protocol.key_forms import is_mlkem768_key, is_small_order_x25519

P = 2**255 - 19
GOOD = bytes(SealSecret(bytes(range(96))).seal_key[:1184])


def library_takes_mlkem(raw: bytes) -> bool:
    try:
        MLKEM768PublicKey.from_public_bytes(raw)
    except ValueError:
        return False
    return True


def library_exchanges(raw: bytes, secret: bytes = bytes(range(32))) -> bool:
    try:
        X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(raw))
    except ValueError:
        return False
    return True


def with_coefficient(raw: bytes, place: int, value: int) -> bytes:
    packed = int.from_bytes(raw[:1152], "little") & ~(0xFFF << 12 * place) | value << 12 * place
    return packed.to_bytes(1152, "little") + raw[1152:]


@pytest.mark.parametrize("value", [0, 3328, 3329, 4095])
def test_every_coefficient_is_looked_at(value: int) -> None:
    for place in range(768):
        raw = with_coefficient(GOOD, place, value)
        assert is_mlkem768_key(raw) is (value < 3329), place
        assert library_takes_mlkem(raw) is (value < 3329), place


@given(st.lists(st.tuples(st.integers(0, 767), st.integers(0, 4095)), max_size=6), st.binary(min_size=32, max_size=32))
def test_says_of_mlkem_keys_what_the_library_says(changes: list[tuple[int, int]], seed: bytes) -> None:
    raw = GOOD[:1152] + seed
    for place, value in changes:
        raw = with_coefficient(raw, place, value)
    assert is_mlkem768_key(raw) is library_takes_mlkem(raw)


def small_order() -> set[bytes]:
    """All u whose doubling chain ends at the neutral point within three steps, found by solving, in all their bytes.

    Doubling: u' = (u^2 - 1)^2 / 4u(u^2 + Au + 1). The neutral point is doubled from u = 0 and from the roots of
    u^2 + Au + 1 (not in the field); 0 from u = 1 and -1; those from the roots of (u^2 - 1)^2 = ±4u(u^2 + Au + 1).
    """
    a = 486_662
    found = {0, 1, P - 1}
    # (u^2 - 1)^2 = 4u(u^2 + Au + 1), divided by u^2, is (u + 1/u - 2)^2 = 4(A + 2): with a root c of the right side,
    # u + 1/u = 2 + c. Likewise with -1.
    for sign in (1, -1):
        c = root(4 * (a + 2 * sign))
        for d in () if c is None else (c, -c):
            middle = (2 * sign + d) * pow(2, -1, P) % P
            square = root(middle * middle - 1)
            found |= set() if square is None else {(middle + square) % P, (middle - square) % P}
    encodings = {value + more for value in found for more in (0, P) if value + more < 2**255}
    return {(value | high << 255).to_bytes(32, "little") for value in encodings for high in (0, 1)}


def root(value: int) -> int | None:
    value %= P
    candidate = pow(value, (P + 3) // 8, P)
    for factor in (1, pow(2, (P - 1) // 4, P)):
        if pow(candidate * factor, 2, P) == value:
            return candidate * factor % P
    return None


def test_knows_all_points_of_small_order() -> None:
    small = small_order()
    assert len(small) == 14
    for raw in small:
        assert is_small_order_x25519(raw)
        assert not library_exchanges(raw)
        assert not library_exchanges(raw, bytes(range(7, 39)))


@given(st.one_of(st.binary(min_size=32, max_size=32), st.integers(0, 300).map(lambda n: n.to_bytes(32, "little"))))
def test_says_of_exchange_keys_what_the_library_says(raw: bytes) -> None:
    assert is_small_order_x25519(raw) is not library_exchanges(raw)
