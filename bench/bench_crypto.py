"""The cryptography alone: what no node on this machine can go below, whatever its storage and network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from bench.registry import benchmark, median_us
from protocol.box import SALT_BYTES, seal_box
from protocol.crypto import (
    ZERO_NONCE,
    SealSecret,
    SigningSecret,
    aead_open,
    aead_seal,
    argon2id,
    hash_labelled,
    hkdf_expand,
    hmac_sha256,
    hpke_open,
    hpke_seal,
    sha256,
)
from protocol.labels import Label
from protocol.merkle import leaf_hash, node_hash
from protocol.padding import padded_length
from protocol.payload import CHUNK_BYTES

__all__ = ["LetterWork"]

_KEY: Final = bytes(range(32))
_SALT: Final = bytes(SALT_BYTES)
_SIGNER: Final = SigningSecret(_KEY)
_SEALER: Final = SealSecret(bytes(range(96)))
_CHUNK: Final = bytes(range(256)) * (CHUNK_BYTES // 256)

# Sizes that a letter of 4 KiB of text to one mailbox has: spec/sealing.md for what travels, node/vault for the rows.
_LETTER_BYTES: Final = 4096 + 400
_SLIP_BYTES: Final = 1500
_DETAILS_BYTES: Final = 230
_LEAF_BYTES: Final = 59
_SENDER_ROWS: Final = (_SLIP_BYTES, 3200, 100, 32 + _DETAILS_BYTES, 900)
"""The sender's copy, the outbox row, the delivery, the log leaf, the evidence that comes back."""
_DESTINATION_ROWS: Final = (_SLIP_BYTES + 100, 250, 32 + _DETAILS_BYTES)
"""The letter, the envelope seen, the log leaf."""
_BLINDED_IDS: Final = 10
_PROOF_HASHES: Final = 20
"""A path in a log of a million leaves."""


@dataclass(slots=True)
class LetterWork:
    """The primitives for one letter of 4 KiB, in the order of node/post/compose.py, deposit.py and results.py.

    Left out: the signature of the log's head and its check, which a whole batch of letters shares.
    """

    letter: bytes = field(default=bytes(_LETTER_BYTES))
    slip: bytes = field(default=bytes(_SLIP_BYTES))
    details: bytes = field(default=bytes(_DETAILS_BYTES))

    def send(self) -> tuple[bytes, bytes, bytes]:
        """Compose and store; what travels: payload chunk, box of the slip, the slip's signature."""
        for _ in range(2):  # once blank, to know the length, once for good
            _SIGNER.sign(Label.LETTER, self.letter)
        content = bytes(padded_length(len(self.letter) + 4))
        okm = hkdf_expand(_KEY, info=Label.PAYLOAD.value, length=64)
        chunk = aead_seal(okm[:32], ZERO_NONCE, content)
        hash_labelled(Label.PAYLOAD_ID, leaf_hash(chunk))
        signature = b""
        for _ in range(2):  # to the destination, and to the sender's own copy
            hpke_seal(_SEALER.seal_key, info=Label.WRAP.value, plaintext=_KEY)
            signature = _SIGNER.sign(Label.SLIP, self.slip)
        padded = self.slip + bytes(padded_length(len(self.slip) + 4) - len(self.slip))
        box = hpke_seal(_SEALER.seal_key, info=Label.SLIP_BOX.value + _SEALER.seal_key.fingerprint, plaintext=padded)
        hash_labelled(Label.ENVELOPE, box)
        self._log_leaf()
        _seal_rows(_SENDER_ROWS)
        return chunk, box, signature

    def deposit(self, chunk: bytes, box: bytes, signature: bytes) -> bytes:
        """Check and store at the destination; the boxed evidence."""
        hash_labelled(Label.ENVELOPE, box)
        hpke_open(_SEALER, info=Label.SLIP_BOX.value + _SEALER.seal_key.fingerprint, box=box)
        _SIGNER.verify_key.verify(Label.SLIP, self.slip, signature)
        leaf_hash(chunk)
        for _ in range(_BLINDED_IDS):
            hmac_sha256(_KEY, self.details[:64])
        self._log_leaf()
        _seal_rows(_DESTINATION_ROWS)
        key = hkdf_expand(_KEY, info=Label.EVIDENCE.value, length=32)
        return aead_seal(key, ZERO_NONCE, bytes(_LEAF_BYTES + 32) + self.details)

    def take_evidence(self, box: bytes) -> None:
        """Open and verify at the sender what came back."""
        aead_open(hkdf_expand(_KEY, info=Label.EVIDENCE.value, length=32), ZERO_NONCE, box)
        self._log_leaf()
        for _ in range(_PROOF_HASHES):
            node_hash(_KEY, _KEY)

    def read(self, chunk: bytes, wrap: bytes, signature: bytes) -> None:
        """Open at the recipient's mailbox."""
        hpke_open(_SEALER, info=Label.WRAP.value, box=wrap)
        okm = hkdf_expand(_KEY, info=Label.PAYLOAD.value, length=64)
        aead_open(okm[:32], ZERO_NONCE, chunk)
        _SIGNER.verify_key.verify(Label.LETTER, self.letter, signature)
        hash_labelled(Label.LETTER_DIGEST, self.letter)

    def _log_leaf(self) -> None:
        hmac_sha256(_KEY, Label.LEAF.value, self.details)
        leaf_hash(self.details[:_LEAF_BYTES])


def _seal_rows(sizes: tuple[int, ...]) -> None:
    for size in sizes:
        seal_box(_KEY, info=Label.ROW.value, salt=_SALT, plaintext=bytes(size))


@benchmark("crypto_sign_us", "µs")
def sign() -> float:
    """Ed25519 signature of 4 KiB."""
    message = bytes(4096)
    return median_us(lambda: _SIGNER.sign(Label.LETTER, message))


@benchmark("crypto_verify_us", "µs")
def verify() -> float:
    """Check of an Ed25519 signature of 4 KiB."""
    message = bytes(4096)
    signature = _SIGNER.sign(Label.LETTER, message)
    return median_us(lambda: _SIGNER.verify_key.verify(Label.LETTER, message, signature))


@benchmark("crypto_hpke_seal_us", "µs")
def seal() -> float:
    """HPKE seal of 32 bytes to an X-Wing key."""
    return median_us(lambda: hpke_seal(_SEALER.seal_key, info=Label.WRAP.value, plaintext=_KEY))


@benchmark("crypto_hpke_open_us", "µs")
def open_box() -> float:
    """HPKE open of 32 bytes with an X-Wing secret."""
    box = hpke_seal(_SEALER.seal_key, info=Label.WRAP.value, plaintext=_KEY)
    return median_us(lambda: hpke_open(_SEALER, info=Label.WRAP.value, box=box))


@benchmark("crypto_chunk_seal_us", "µs")
def seal_chunk() -> float:
    """AES-256-GCM seal of a payload chunk of 256 KiB."""
    return median_us(lambda: aead_seal(_KEY, ZERO_NONCE, _CHUNK))


@benchmark("crypto_chunk_hash_us", "µs")
def hash_chunk() -> float:
    """SHA-256 of a payload chunk of 256 KiB."""
    return median_us(lambda: sha256(_CHUNK))


@benchmark("crypto_row_seal_us", "µs")
def seal_row() -> float:
    """Seal of a database row of 1 KiB under a key of its own."""
    row = bytes(1024)
    return median_us(lambda: seal_box(_KEY, info=Label.ROW.value, salt=_SALT, plaintext=row))


@benchmark("crypto_password_ms", "ms")
def password() -> float:
    """Argon2id with the cost that protects a keyring: 3 passes over 64 MiB."""
    return median_us(lambda: argon2id(b"a fictive passphrase", salt=bytes(16), operations=3, memory_kib=65536)) / 1000


@benchmark("crypto_letter_us", "µs")
def letter() -> float:
    """All cryptography of a 4 KiB letter to one mailbox: compose, deposit, evidence; both nodes together."""
    work = LetterWork()

    def once() -> None:
        work.take_evidence(work.deposit(*work.send()))

    return median_us(once)


@benchmark("crypto_read_us", "µs")
def read() -> float:
    """All cryptography of opening a 4 KiB letter in its mailbox."""
    work = LetterWork()
    chunk, _, _ = work.send()
    wrap = hpke_seal(_SEALER.seal_key, info=Label.WRAP.value, plaintext=_KEY)
    signature = _SIGNER.sign(Label.LETTER, work.letter)
    return median_us(lambda: work.read(chunk, wrap, signature))
