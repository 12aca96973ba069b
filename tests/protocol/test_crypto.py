"""Keys, signatures, hashes and boxes: standard constructions held against published values, odd keys refused."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.crypto import (
    HPKE_OVERHEAD_BYTES,
    ZERO_NONCE,
    SealKey,
    SealSecret,
    Secret,
    SigningSecret,
    VerifyKey,
    aead_open,
    aead_seal,
    argon2id,
    constant_time_equal,
    hash_labelled,
    hkdf,
    hkdf_expand,
    hmac_sha256,
    hpke_open,
    hpke_seal,
    sha256,
)
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.labels import Label
from spec.vectors.sample_node import seal_secret_of, signing_secret_of

SIGNER = signing_secret_of("signer")
RECIPIENT = seal_secret_of("recipient")
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493


def refusal(check: Callable[[], object]) -> Reason:
    with pytest.raises(RemoteProtocolError) as caught:
        check()
    return caught.value.reason


# -- hashes and derivation: values of the RFCs


def test_labels_are_distinct_and_none_begins_another() -> None:
    labels = [label.value for label in Label]
    assert len(set(labels)) == len(labels)
    assert all(label.startswith(b"coffre/v1/") and label.find(b"\0") == len(label) - 1 for label in labels)


def test_a_labelled_hash_is_the_hash_of_label_and_parts() -> None:
    wanted = hashlib.sha256(b"coffre/v1/node-id\0abc").digest()
    assert hash_labelled(Label.NODE_ID, b"ab", b"c") == sha256(b"coffre/v1/node-id\0", b"abc") == wanted


def test_hkdf_of_rfc_5869() -> None:
    """Test case 1 of appendix A."""
    salt, info = bytes(range(13)), bytes(range(0xF0, 0xFA))
    okm = bytes.fromhex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")
    prk = bytes.fromhex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5")
    assert hkdf(b"\x0b" * 22, salt=salt, info=info, length=42) == okm
    assert hkdf_expand(prk, info=info, length=42) == okm
    assert hmac_sha256(salt, b"\x0b" * 20, b"\x0b\x0b") == prk


@pytest.mark.parametrize(("operations", "memory_kib"), [(1, 64), (2, 64), (1, 72)])
def test_argon2id_is_that_of_another_implementation(operations: int, memory_kib: int) -> None:
    other = Argon2id(salt=bytes(range(16)), length=32, iterations=operations, lanes=1, memory_cost=memory_kib)
    ours = argon2id(b"password", salt=bytes(range(16)), operations=operations, memory_kib=memory_kib)
    assert ours == other.derive(b"password")


def test_comparing_compares() -> None:
    assert constant_time_equal(b"same", b"same")
    assert not constant_time_equal(b"same", b"samf")
    assert not constant_time_equal(b"same", b"sam")


# -- signatures


def test_a_signature_of_rfc_8032() -> None:
    """Test 2 of section 7.1, without a label."""
    secret = SigningSecret(bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert secret.verify_key.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert secret.sign_raw(b"\x72") == signature
    VerifyKey.checked(secret.verify_key).verify_raw(b"\x72", signature)


@given(message=st.binary(max_size=100), at=st.integers(0, 511))
def test_a_signature_with_another_bit_does_not_hold(message: bytes, at: int) -> None:
    signature = bytearray(SIGNER.sign(Label.SLIP, message))
    SIGNER.verify_key.verify(Label.SLIP, message, bytes(signature))
    signature[at // 8] ^= 1 << at % 8
    assert refusal(lambda: SIGNER.verify_key.verify(Label.SLIP, message, bytes(signature))) is Reason.BAD_SIGNATURE


def test_a_signature_holds_for_its_label_message_and_key_only() -> None:
    signature = SIGNER.sign(Label.SLIP, b"message")
    key, other = SIGNER.verify_key, signing_secret_of("other").verify_key
    assert refusal(lambda: key.verify(Label.LETTER, b"message", signature)) is Reason.BAD_SIGNATURE
    assert refusal(lambda: key.verify(Label.SLIP, b"message.", signature)) is Reason.BAD_SIGNATURE
    assert refusal(lambda: other.verify(Label.SLIP, b"message", signature)) is Reason.BAD_SIGNATURE
    assert refusal(lambda: key.verify_raw(b"message", signature)) is Reason.BAD_SIGNATURE
    key.verify_raw(Label.SLIP.value + b"message", signature)


@pytest.mark.parametrize("length", [0, 63, 65, 128])
def test_a_signature_of_another_length_does_not_hold(length: int) -> None:
    signature = (SIGNER.sign(Label.SLIP, b"") + bytes(64))[:length]
    assert refusal(lambda: SIGNER.verify_key.verify(Label.SLIP, b"", signature)) is Reason.BAD_SIGNATURE


def test_the_same_signature_spelt_with_a_larger_number_does_not_hold() -> None:
    """S and S + L satisfy the same equation; one spelling is allowed."""
    signature = SIGNER.sign(Label.SLIP, b"message")
    larger = (int.from_bytes(signature[32:], "little") + GROUP_ORDER).to_bytes(32, "little")
    spelt = signature[:32] + larger
    assert refusal(lambda: SIGNER.verify_key.verify(Label.SLIP, b"message", spelt)) is Reason.BAD_SIGNATURE


# The eight points of small order, and other bytes for some of them.
SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


@pytest.mark.parametrize("raw", SMALL_ORDER)
def test_a_key_of_small_order_is_refused_and_signs_nothing(raw: str) -> None:
    point = bytes.fromhex(raw)
    assert refusal(lambda: VerifyKey.checked(point)) is Reason.BAD_KEY
    # S = 0 and the point itself or the neutral one for R: some libraries take this as a signature of any message.
    for start in (raw, SMALL_ORDER[0]):
        with pytest.raises(RemoteProtocolError, match="bad_signature"):
            VerifyKey(point).verify_raw(b"", bytes.fromhex(start) + bytes(32))


@pytest.mark.parametrize(
    "raw",
    [b"", bytes(31), bytes(33), b"\x02" + bytes(31), b"\xff" * 32],
    ids=["empty", "short", "long", "off_the_curve", "not_canonical"],
)
def test_what_is_no_point_is_no_key(raw: bytes) -> None:
    assert refusal(lambda: VerifyKey.checked(raw)) is Reason.BAD_KEY


@given(raw=st.binary(min_size=32, max_size=32))
def test_any_bytes_are_a_key_or_refused(raw: bytes) -> None:
    """Most points lie outside the group of prime order: a key from outside is one in eight that are on the curve."""
    try:
        assert VerifyKey.checked(raw) == raw
    except RemoteProtocolError:
        assert refusal(lambda: VerifyKey.checked(raw)) is Reason.BAD_KEY


# -- secrets


@pytest.mark.parametrize("secret", [Secret(b"hidden text"), SIGNER, RECIPIENT], ids=["bytes", "signing", "seal"])
def test_a_secret_shows_itself_nowhere(secret: Secret) -> None:
    shown = f"{secret!r} {secret} {[secret]} {secret:}"
    assert "(hidden)" in shown
    assert str(secret.reveal())[2:-1] not in shown
    assert secret.reveal().hex() not in shown
    with pytest.raises(LocalProtocolError, match="not pickled"):
        pickle.dumps(secret)
    with pytest.raises(TypeError, match="unhashable"):
        hash(secret)


def test_secrets_are_equal_by_kind_and_bytes() -> None:
    assert Secret(bytes(32)) == Secret(bytes(32))
    assert Secret(bytes(32)) != Secret(bytes(31) + b"\1")
    assert Secret(bytes(32)) != SigningSecret(bytes(32))
    assert Secret(bytes(32)) != bytes(32)


@pytest.mark.parametrize(("kind", "length"), [(SigningSecret, 31), (SigningSecret, 64), (SealSecret, 95)])
def test_a_secret_of_another_length_is_our_mistake(kind: type[Secret], length: int) -> None:
    with pytest.raises(LocalProtocolError):
        kind(bytes(length))


# -- AES-GCM


def test_aes_gcm_of_its_specification() -> None:
    """Test case 14: zero key, zero nonce, a block of zeros."""
    box = aead_seal(bytes(32), ZERO_NONCE, bytes(16))
    assert box.hex() == "cea7403d4d606b6e074ec5d3baf39d18" + "d0d1c8a799996bf0265b98b5d48ab919"
    assert aead_open(bytes(32), ZERO_NONCE, box) == bytes(16)


@pytest.mark.parametrize("box", [b"", bytes(15), bytes(16)], ids=["empty", "short", "only_tag"])
def test_what_is_no_aes_gcm_box_does_not_open(box: bytes) -> None:
    assert refusal(lambda: aead_open(bytes(32), ZERO_NONCE, box)) is Reason.BAD_BOX


# -- HPKE


@settings(max_examples=25)
@given(plaintext=st.binary(max_size=200), info=st.binary(max_size=200), at=st.integers(0))
def test_a_sealed_box_opens_for_its_recipient_and_context_only(plaintext: bytes, info: bytes, at: int) -> None:
    box = hpke_seal(RECIPIENT.seal_key, info=info, plaintext=plaintext)
    assert len(box) == len(plaintext) + HPKE_OVERHEAD_BYTES
    assert hpke_open(RECIPIENT, info=info, box=box) == plaintext
    assert refusal(lambda: hpke_open(RECIPIENT, info=info + b".", box=box)) is Reason.BAD_BOX
    assert refusal(lambda: hpke_open(seal_secret_of("other"), info=info, box=box)) is Reason.BAD_BOX
    changed = bytearray(box)
    changed[at % len(box)] ^= 1
    assert refusal(lambda: hpke_open(RECIPIENT, info=info, box=bytes(changed))) is Reason.BAD_BOX


def test_a_box_shorter_than_its_key_share_is_malformed() -> None:
    assert refusal(lambda: hpke_open(RECIPIENT, info=b"", box=bytes(HPKE_OVERHEAD_BYTES - 1))) is Reason.MALFORMED


def test_two_boxes_of_one_text_differ() -> None:
    assert hpke_seal(RECIPIENT.seal_key, info=b"", plaintext=b"x") != hpke_seal(
        RECIPIENT.seal_key, info=b"", plaintext=b"x"
    )


def _with(raw: bytes, at: int, value: bytes) -> bytes:
    return raw[:at] + value + raw[at + len(value) :]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        RECIPIENT.seal_key[:-1],
        RECIPIENT.seal_key + b"\0",
        _with(RECIPIENT.seal_key, 0, b"\xff\xff\xff"),
        _with(RECIPIENT.seal_key, 1184, bytes(32)),
        _with(RECIPIENT.seal_key, 1184, b"\1" + bytes(31)),
    ],
    ids=["empty", "short", "long", "coefficient_above_q", "x25519_zero", "x25519_small_order"],
)
def test_what_is_no_seal_key_is_refused(raw: bytes) -> None:
    assert refusal(lambda: SealKey.checked(raw)) is Reason.BAD_KEY


def test_a_seal_key_and_its_fingerprint() -> None:
    key = SealKey.checked(bytes(RECIPIENT.seal_key))
    assert key == RECIPIENT.seal_key
    assert key.fingerprint == hashlib.sha256(RECIPIENT.seal_key).digest()
