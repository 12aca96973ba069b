"""The door to the cryptographic libraries (with certificate.py, mldsa.py). Standard constructions, none of our own.

Ed25519 and Argon2id: PyNaCl (libsodium). HPKE, AES-GCM, HKDF: cryptography. Spec: spec/encoding.md
"Signatures", spec/sealing.md. Every signature of the project goes through `verify_raw`, so one rule holds for
odd keys and points: libsodium's (small-order keys and non-canonical values refused).
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from typing import Final, Self, final

import nacl.bindings
import nacl.exceptions
import nacl.pwhash.argon2id
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import FixedBytes
from protocol.key_forms import is_mlkem768_key, is_small_order_x25519
from protocol.labels import Label

__all__ = [
    "HPKE_OVERHEAD_BYTES",
    "SIGNATURE_BYTES",
    "ZERO_NONCE",
    "SealKey",
    "SealSecret",
    "Secret",
    "SigningSecret",
    "VerifyKey",
    "aead_open",
    "aead_seal",
    "argon2id",
    "constant_time_equal",
    "hash_labelled",
    "hkdf",
    "hkdf_expand",
    "hmac_sha256",
    "hpke_open",
    "hpke_seal",
    "sha256",
    "stream_nonce",
]

ZERO_NONCE: Final = bytes(12)
SIGNATURE_BYTES: Final = 64
HPKE_OVERHEAD_BYTES: Final = 1120 + 16
"""enc (ML-KEM ciphertext 1088 ‖ X25519 32) and the AEAD tag."""


def sha256(*parts: bytes) -> bytes:
    """SHA-256 over the parts joined."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()


def hash_labelled(label: Label, *parts: bytes) -> bytes:
    """H(label, x) of the spec: SHA-256 over the label and the parts joined."""
    return sha256(label.value, *parts)


def hmac_sha256(key: bytes, *parts: bytes) -> bytes:
    """HMAC-SHA256 over the parts joined."""
    return hmac.digest(key, b"".join(parts), "sha256")


def constant_time_equal(left: bytes, right: bytes) -> bool:
    """Compare without telling by time where they differ."""
    return hmac.compare_digest(left, right)


def hkdf(secret: bytes, *, salt: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256, extract and expand (RFC 5869)."""
    return HKDF(SHA256(), length, salt, info).derive(secret)


def hkdf_expand(secret: bytes, *, info: bytes, length: int) -> bytes:
    """HKDF-Expand-SHA256 alone, for a secret that is uniform already (RFC 5869 section 3.3)."""
    return HKDFExpand(SHA256(), length, info).derive(secret)


def aead_seal(key: bytes, nonce: bytes, plaintext: bytes | bytearray | memoryview) -> bytes:
    """AES-256-GCM without associated data: ciphertext and 16-byte tag."""
    return AESGCM(key).encrypt(nonce, plaintext, None)


def aead_open(key: bytes, nonce: bytes, ciphertext: bytes) -> bytes:
    """The plaintext; RemoteProtocolError(bad_box) if tag, key or nonce is not the one used."""
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, None)
    except (InvalidTag, ValueError) as error:
        raise RemoteProtocolError(Reason.BAD_BOX, "does not open") from error


def stream_nonce(index: int, *, is_last: bool) -> bytes:
    """The nonce of one chunk of a stream: its number in 11 bytes ‖ 1 for the last chunk. Under a key used once."""
    return index.to_bytes(11, "big") + (b"\x01" if is_last else b"\x00")


def argon2id(password: bytes, *, salt: bytes, operations: int, memory_kib: int) -> bytes:
    """Argon2id (RFC 9106) of a password: 32 bytes. salt: 16 bytes. Takes 0.1 s and up: call it in a thread."""
    derived: bytes = nacl.pwhash.argon2id.kdf(32, password, salt, opslimit=operations, memlimit=memory_kib * 1024)
    return derived


class Secret:
    """Bytes that never show in repr, str, logs or tracebacks; `reveal()` is the only way to them."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The secret bytes; only for handing to a cryptographic function or to a sealed store."""
        return self._value

    def __repr__(self) -> str:
        return f"{type(self).__name__}(hidden)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return constant_time_equal(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> str:
        raise LocalProtocolError("secrets are not pickled")


@lru_cache(maxsize=4096)
def _is_valid_point(raw: bytes) -> bool:
    """Remembered: the check costs as much as a signature's, and a page of letters has few senders."""
    valid: bool = nacl.bindings.crypto_core_ed25519_is_valid_point(raw)
    return valid


@final
class VerifyKey(FixedBytes):
    """An Ed25519 public key, 32 bytes."""

    LENGTH = 32

    @classmethod
    def checked(cls, raw: bytes) -> Self:
        """Take a key from outside: RemoteProtocolError(bad_key) unless it is a point of the prime-order group."""
        if len(raw) != cls.LENGTH or not _is_valid_point(bytes(raw)):
            raise RemoteProtocolError(Reason.BAD_KEY, "not a valid Ed25519 point")
        return cls(raw)

    def verify(self, label: Label, message: bytes, signature: bytes) -> None:
        """Check Sign(key, label, message); RemoteProtocolError(bad_signature) if it does not hold."""
        self.verify_raw(label.value + message, signature)

    def verify_raw(self, message: bytes, signature: bytes) -> None:
        """Check an unlabelled Ed25519 signature (notes and cosignatures only)."""
        if len(signature) != SIGNATURE_BYTES:
            raise RemoteProtocolError(Reason.BAD_SIGNATURE, "an Ed25519 signature has 64 bytes")
        try:
            nacl.bindings.crypto_sign_open(signature + message, self)
        except nacl.exceptions.BadSignatureError as error:
            raise RemoteProtocolError(Reason.BAD_SIGNATURE, f"not signed by {self.text[:12]}") from error


@final
class SigningSecret(Secret):
    """An Ed25519 seed, 32 bytes."""

    __slots__ = ("_expanded", "verify_key")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != 32:
            raise LocalProtocolError("an Ed25519 seed has 32 bytes")
        super().__init__(seed)
        public, self._expanded = nacl.bindings.crypto_sign_seed_keypair(seed)
        self.verify_key = VerifyKey(public)

    def sign(self, label: Label, message: bytes) -> bytes:
        """Sign(key, label, message): 64 bytes."""
        return self.sign_raw(label.value + message)

    def sign_raw(self, message: bytes) -> bytes:
        """An unlabelled signature; only for keys used for nothing else (log, wit, link)."""
        signed: bytes = nacl.bindings.crypto_sign(message, self._expanded)
        return signed[:SIGNATURE_BYTES]


@final
class SealKey(FixedBytes):
    """A public X-Wing key: ML-KEM-768 1184 bytes ‖ X25519 32 bytes."""

    LENGTH = 1216

    @classmethod
    def checked(cls, raw: bytes) -> Self:
        """Take a key from outside: RemoteProtocolError(bad_key) unless both halves are good."""
        if len(raw) != cls.LENGTH:
            raise RemoteProtocolError(Reason.BAD_KEY, "a seal key has 1216 bytes")
        # A point of small order would make every shared secret the same.
        if not is_mlkem768_key(raw) or is_small_order_x25519(raw[1184:]):
            raise RemoteProtocolError(Reason.BAD_KEY, "not an ML-KEM-768 and X25519 key")
        return cls(raw)

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the key; its first 8 bytes stand in envelope heads."""
        return sha256(self)


@final
class SealSecret(Secret):
    """ML-KEM seed 64 bytes ‖ X25519 secret 32 bytes."""

    __slots__ = ("_key", "seal_key")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != 96:
            raise LocalProtocolError("a seal secret has 96 bytes")
        super().__init__(seed)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(seed[:64])
        x25519 = X25519PrivateKey.from_private_bytes(seed[64:])
        self._key = MLKEM768X25519PrivateKey(mlkem, x25519)
        public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        self.seal_key = SealKey(public)

    def key_object(self) -> MLKEM768X25519PrivateKey:
        """The library's key, for `hpke_open`."""
        return self._key


@lru_cache(maxsize=4096)
def _public_object(raw: bytes) -> MLKEM768X25519PublicKey:
    mlkem = MLKEM768PublicKey.from_public_bytes(raw[:1184])
    return MLKEM768X25519PublicKey(mlkem, X25519PublicKey.from_public_bytes(raw[1184:]))


_SUITE: Final = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def hpke_seal(key: SealKey, *, info: bytes, plaintext: bytes) -> bytes:
    """HPKE base mode (RFC 9180; KEM 0x647a, KDF 1, AEAD 2), one shot: enc ‖ ciphertext.

    info binds the context, fixed-length fields in the order of the spec. Draws its own randomness.
    """
    return _SUITE.encrypt(plaintext, _public_object(bytes(key)), info)


def hpke_open(secret: SealSecret, *, info: bytes, box: bytes) -> bytes:
    """The plaintext; RemoteProtocolError(bad_box) if key, context or a byte is another."""
    if len(box) < HPKE_OVERHEAD_BYTES:
        raise RemoteProtocolError(Reason.MALFORMED, "shorter than an HPKE box")
    try:
        return _SUITE.decrypt(box, secret.key_object(), info)
    except (InvalidTag, ValueError) as error:
        raise RemoteProtocolError(Reason.BAD_BOX, "HPKE box does not open") from error
