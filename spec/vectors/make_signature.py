"""Writes signature.json: the one rule for Ed25519 keys and signatures, where libraries differ."""

from __future__ import annotations

import hashlib
from typing import Any

import nacl.bindings

from protocol.crypto import SigningSecret
from protocol.labels import Label
from spec.vectors.common import write
from spec.vectors.sample_node import signing_secret_of

SPEC = "encoding.md, 4"
ORDER = 2**252 + 27742317777372353535851937790883648493
SECRET = signing_secret_of("signer")
MESSAGE = Label.SLIP.value + b"message"
NEUTRAL = b"\1" + bytes(31)
ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
# Two of the published tests of RFC 8032, 7.1: seed, message.
PUBLISHED = (
    ("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", ""),
    ("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "72"),
)


def _case(
    name: str, comment: str, key: bytes, signature: bytes, expect: str, message: bytes = MESSAGE
) -> dict[str, Any]:
    given = {"key": key.hex(), "message": message.hex(), "signature": signature.hex()}
    return {"name": name, "spec": SPEC, "comment": comment, "input": given, "expect": expect}


def _challenge(start: bytes, key: bytes) -> int:
    return int.from_bytes(hashlib.sha512(start + key + MESSAGE).digest(), "little") % ORDER


def _scalar() -> int:
    """The secret scalar of SECRET (RFC 8032, 5.1.5)."""
    digest = hashlib.sha512(SECRET.reveal()).digest()[:32]
    return int.from_bytes(bytes([digest[0] & 248, *digest[1:31], digest[31] & 127 | 64]), "little")


def _signature(start: bytes, secret_of_start: int) -> bytes:
    """The signature by SECRET that begins with this point, whose part in the prime-order group has this scalar."""
    number = (secret_of_start + _challenge(start, SECRET.verify_key) * _scalar()) % ORDER
    return start + number.to_bytes(32, "little")


def _point(scalar: int) -> bytes:
    point: bytes = nacl.bindings.crypto_scalarmult_ed25519_base_noclamp(scalar.to_bytes(32, "little"))
    return point


def _added(left: bytes, right: bytes) -> bytes:
    total: bytes = nacl.bindings.crypto_core_ed25519_add(left, right)
    return total


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    key, good = SECRET.verify_key, SECRET.sign_raw(MESSAGE)
    start, number = good[:32], int.from_bytes(good[32:], "little")
    published = [(SigningSecret(bytes.fromhex(seed)), bytes.fromhex(message)) for seed, message in PUBLISHED]
    mixed_start = _added(_point(7), ORDER_8)
    bad_keys = [
        ("key_neutral", "the neutral point", NEUTRAL),
        ("key_order_2", "the point of order 2", bytes.fromhex("ec" + "ff" * 30 + "7f")),
        ("key_order_4", "y = 0", bytes(32)),
        ("key_order_8", "a point of order 8", ORDER_8),
        ("key_mixed", "a good key plus a point of order 8", _added(key, ORDER_8)),
        ("key_off_curve", "y = 2 is no point", b"\2" + bytes(31)),
        ("key_y_above_p", "y = p + 1, the neutral point in other bytes", bytes.fromhex("ee" + "ff" * 30 + "7f")),
        ("key_minus_0", "x = 0 with the sign bit", b"\1" + bytes(30) + b"\x80"),
        ("key_short", "31 bytes", key[:31]),
    ]
    return [
        *[
            _case(f"rfc_8032_test_{index}", "published", secret.verify_key, secret.sign_raw(message), "ok", message)
            for index, (secret, message) in enumerate(published, 1)
        ],
        _case("labelled", "a label before the message", key, good, "ok"),
        _case("chosen_start", "R need not be derived as signers do", key, _signature(_point(7), 7), "ok"),
        *[_case(name, comment, point, good, "bad_key") for name, comment, point in bad_keys],
        _case("other_message", "another message", key, good, "bad_signature", MESSAGE + b"."),
        _case("without_label", "verified without the label", key, good, "bad_signature", b"message"),
        _case("other_key", "another key", signing_secret_of("other").verify_key, good, "bad_signature"),
        _case("short", "63 bytes", key, good[:-1], "bad_signature"),
        _case("long", "65 bytes", key, good + b"\0", "bad_signature"),
        _case(
            "s_plus_l",
            "S + L: the same number to the curve",
            key,
            start + (number + ORDER).to_bytes(32, "little"),
            "bad_signature",
        ),
        _case(
            "start_neutral",
            "R is the neutral point, and the equation holds",
            key,
            _signature(NEUTRAL, 0),
            "bad_signature",
        ),
        _case(
            "start_order_8",
            "R is of order 8, and the equation holds when multiplied by 8",
            key,
            _signature(ORDER_8, 0),
            "bad_signature",
        ),
        _case(
            "start_mixed",
            "R has a part of order 8: the equation holds when multiplied by 8 only",
            key,
            _signature(mixed_start, 7),
            "bad_signature",
        ),
        _case(
            "start_y_above_p",
            "R is the neutral point in other bytes",
            key,
            _signature(bytes.fromhex("ee" + "ff" * 30 + "7f"), 0),
            "bad_signature",
        ),
        _case("zero", "64 zeros", key, bytes(64), "bad_signature"),
    ]


if __name__ == "__main__":
    write("signature", SPEC, cases())
