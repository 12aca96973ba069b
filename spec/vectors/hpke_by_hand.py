"""HPKE base mode with X-Wing written out from RFC 9180 and the X-Wing draft: a second implementation to compare with.

Only hashes, HMAC, X25519, ML-KEM-768 and AES-GCM are taken from libraries, none of their HPKE. Sealing takes its
randomness from the caller, so that vectors come out the same each time; for vectors and tests only.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["KEM_ID", "XWING_LABEL", "Context", "open_by_hand", "receive", "seal_by_hand", "seal_to_zero"]

KEM_ID = 0x647A
KDF_ID = 0x0001
AEAD_ID = 0x0002
MODE_BASE = b"\x00"
XWING_LABEL = rb"\.//^" + b"\\"
CIPHERTEXT_BYTES = 1088
ENC_BYTES = CIPHERTEXT_BYTES + 32


@dataclass(frozen=True, slots=True)
class Context:
    """What both sides derive, step by step; each is 32 bytes but for the nonce's 12."""

    ss_mlkem: bytes
    ss_x25519: bytes
    shared_secret: bytes
    key: bytes
    nonce: bytes


def _suite_id(kem_id: int) -> bytes:
    return b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (kem_id, KDF_ID, AEAD_ID))


def _labeled_extract(suite_id: bytes, salt: bytes, label: bytes, secret: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite_id + label + secret, "sha256")


def _labeled_expand(suite_id: bytes, secret: bytes, label: bytes, info: bytes, length: int) -> bytes:
    labeled_info = length.to_bytes(2, "big") + b"HPKE-v1" + suite_id + label + info
    # No more than 32 bytes are ever asked for: HKDF-Expand ends after its first block.
    return hmac.digest(secret, labeled_info + b"\x01", "sha256")[:length]


def _key_schedule(shared_secret: bytes, info: bytes, kem_id: int) -> tuple[bytes, bytes]:
    suite_id = _suite_id(kem_id)
    psk_id_hash = _labeled_extract(suite_id, b"", b"psk_id_hash", b"")
    info_hash = _labeled_extract(suite_id, b"", b"info_hash", info)
    context = MODE_BASE + psk_id_hash + info_hash
    secret = _labeled_extract(suite_id, shared_secret, b"secret", b"")
    key = _labeled_expand(suite_id, secret, b"key", context, 32)
    return key, _labeled_expand(suite_id, secret, b"base_nonce", context, 12)


def _combine(ss_mlkem: bytes, ss_x25519: bytes, ct_x25519: bytes, pk_x25519: bytes, label: bytes) -> bytes:
    return hashlib.sha3_256(ss_mlkem + ss_x25519 + ct_x25519 + pk_x25519 + label).digest()


def _public_x25519(secret: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def receive(
    seal_secret: bytes, enc: bytes, info: bytes, *, kem_id: int = KEM_ID, label: bytes = XWING_LABEL
) -> Context:
    """What the recipient derives from enc. seal_secret: 96 bytes. ValueError for an all-zero X25519 result."""
    mlkem = MLKEM768PrivateKey.from_seed_bytes(seal_secret[:64])
    x25519 = X25519PrivateKey.from_private_bytes(seal_secret[64:])
    ct_mlkem, ct_x25519 = enc[:CIPHERTEXT_BYTES], enc[CIPHERTEXT_BYTES:]
    ss_mlkem = mlkem.decapsulate(ct_mlkem)
    ss_x25519 = x25519.exchange(X25519PublicKey.from_public_bytes(ct_x25519))
    shared_secret = _combine(ss_mlkem, ss_x25519, ct_x25519, _public_x25519(seal_secret[64:]), label)
    return Context(ss_mlkem, ss_x25519, shared_secret, *_key_schedule(shared_secret, info, kem_id))


def open_by_hand(seal_secret: bytes, info: bytes, box: bytes) -> bytes:
    """The plaintext; cryptography's InvalidTag or ValueError if the box does not open."""
    context = receive(seal_secret, box[:ENC_BYTES], info)
    return AESGCM(context.key).decrypt(context.nonce, box[ENC_BYTES:], None)


def seal_by_hand(
    seal_secret: bytes,
    info: bytes,
    plaintext: bytes,
    *,
    ct_mlkem: bytes,
    ephemeral: bytes,
    kem_id: int = KEM_ID,
    label: bytes = XWING_LABEL,
) -> bytes:
    """A box for the holder of seal_secret.

    ct_mlkem: any 1,088 bytes, whose ML-KEM secret is read with the recipient's own key. ephemeral: an X25519 secret.
    Another kem_id or label makes a box that MUST NOT open.
    """
    enc = ct_mlkem + _public_x25519(ephemeral)
    context = receive(seal_secret, enc, info, kem_id=kem_id, label=label)
    return enc + AESGCM(context.key).encrypt(context.nonce, plaintext, None)


def seal_to_zero(seal_secret: bytes, info: bytes, plaintext: bytes, *, ct_mlkem: bytes) -> bytes:
    """A box whose X25519 half is the point zero: consistent in itself, and to be refused all the same."""
    ss_mlkem = MLKEM768PrivateKey.from_seed_bytes(seal_secret[:64]).decapsulate(ct_mlkem)
    zero = bytes(32)
    shared_secret = _combine(ss_mlkem, zero, zero, _public_x25519(seal_secret[64:]), XWING_LABEL)
    key, nonce = _key_schedule(shared_secret, info, KEM_ID)
    return ct_mlkem + zero + AESGCM(key).encrypt(nonce, plaintext, None)
