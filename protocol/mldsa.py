"""ML-DSA-44 (FIPS 204), for daily heads alone; a door to the cryptographic library. Spec: spec/evidence.md, 3."""

from __future__ import annotations

from typing import Final, final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from protocol.crypto import Secret
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import FixedBytes

__all__ = ["PQ_SIGNATURE_BYTES", "PqKey", "PqSecret"]

PQ_SIGNATURE_BYTES: Final = 2420


@final
class PqKey(FixedBytes):
    """An ML-DSA-44 public key, 1,312 bytes."""

    LENGTH = 1312

    def verify_raw(self, message: bytes, signature: bytes) -> None:
        """Check an unlabelled signature with an empty context; RemoteProtocolError(bad_signature, bad_key)."""
        if len(signature) != PQ_SIGNATURE_BYTES:
            raise RemoteProtocolError(Reason.BAD_SIGNATURE, f"an ML-DSA-44 signature has {PQ_SIGNATURE_BYTES} bytes")
        try:
            key = MLDSA44PublicKey.from_public_bytes(bytes(self))
        except ValueError as error:
            raise RemoteProtocolError(Reason.BAD_KEY, "not an ML-DSA-44 key") from error
        try:
            key.verify(signature, message)
        except InvalidSignature as error:
            raise RemoteProtocolError(Reason.BAD_SIGNATURE, "not signed by this ML-DSA-44 key") from error


@final
class PqSecret(Secret):
    """An ML-DSA-44 seed, 32 bytes. Signing draws randomness of its own (the hedged variant of FIPS 204)."""

    __slots__ = ("_key", "verify_key")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != 32:
            raise LocalProtocolError("an ML-DSA-44 seed has 32 bytes")
        super().__init__(seed)
        self._key = MLDSA44PrivateKey.from_seed_bytes(seed)
        self.verify_key = PqKey(self._key.public_key().public_bytes_raw())

    def sign_raw(self, message: bytes) -> bytes:
        """An unlabelled signature with an empty context, 2,420 bytes: over a day's head and nothing else."""
        return self._key.sign(message)
