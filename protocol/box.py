"""The one construct at rest: AES-256-GCM under a fresh committed key. Spec: spec/sealing.md, 2.

box = salt 32 ‖ commitment 32 ‖ ciphertext and tag, with key ‖ commitment = HKDF(secret, salt, info, 64).
The key is fresh with each salt, so the zero nonce is used once; info binds the place, so a box moved to
another row, owner or purpose does not open; the commitment makes one box open under one secret only.
"""

from __future__ import annotations

from typing import Final

from protocol.crypto import ZERO_NONCE, aead_open, aead_seal, constant_time_equal, hkdf
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError

__all__ = ["BOX_OVERHEAD_BYTES", "SALT_BYTES", "open_box", "seal_box"]

SALT_BYTES: Final = 32
BOX_OVERHEAD_BYTES: Final = 32 + 32 + 16


def seal_box(secret: bytes, *, info: bytes, salt: bytes, plaintext: bytes) -> bytes:
    """Seal `plaintext`. salt: 32 random bytes, drawn by the caller for this box alone."""
    if len(salt) != SALT_BYTES:
        raise LocalProtocolError("a salt has 32 bytes")
    okm = hkdf(secret, salt=salt, info=info, length=64)
    return salt + okm[32:] + aead_seal(okm[:32], ZERO_NONCE, plaintext)


def open_box(secret: bytes, *, info: bytes, box: bytes) -> bytes:
    """The plaintext. RemoteProtocolError: malformed (too short), bad_commitment (other secret or place), bad_box."""
    if len(box) < BOX_OVERHEAD_BYTES:
        raise RemoteProtocolError(Reason.MALFORMED, "shorter than a box")
    okm = hkdf(secret, salt=box[:32], info=info, length=64)
    if not constant_time_equal(okm[32:], box[32:64]):
        raise RemoteProtocolError(Reason.BAD_COMMITMENT, "box made under another secret or for another place")
    return aead_open(okm[:32], ZERO_NONCE, box[64:])
