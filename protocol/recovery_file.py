"""Recovery files: a code on one line, whole or as one of two halves. Spec: spec/identity.md, 10."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from enum import Enum
from typing import Final

from protocol.crypto import Secret, constant_time_equal, hash_labelled
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.labels import Label

__all__ = [
    "PAIR_BYTES",
    "RecoveryHalf",
    "RecoverySort",
    "WholeRecovery",
    "decode_recovery_file",
    "encode_recovery_file",
    "join_halves",
    "split_recovery",
]

PAIR_BYTES: Final = 8
_HALF_PREFIX: Final = "coffre-recovery-half-1."
_CHECK_BYTES: Final = 4
_MAX_FILE_CHARACTERS: Final = 16 * 1024


class RecoverySort(Enum):
    """What a recovery key is for: number in halves, prefix of a whole code, length of the secret in bytes."""

    IDENTITY = (1, "coffre-identity-recovery-1.", 32)
    MAILBOX = (2, "coffre-mailbox-recovery-1.", 96)

    @property
    def word(self) -> str:
        """identity, mailbox."""
        return self.name.lower()

    @property
    def number(self) -> int:
        """In a half."""
        return self.value[0]

    @property
    def prefix(self) -> str:
        """Of a whole code."""
        return self.value[1]

    @property
    def length(self) -> int:
        """Of the secret, in bytes."""
        return self.value[2]


@dataclass(frozen=True, slots=True)
class WholeRecovery:
    """A recovery key of one file."""

    sort: RecoverySort
    secret: Secret

    def code(self) -> str:
        """The line of its file."""
        return self.sort.prefix + _base32(self.secret.reveal())


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryHalf:
    """One of two shares. number: 1 or 2. pair: 8 random bytes that both halves of a pair have."""

    sort: RecoverySort
    number: int
    pair: bytes
    share: Secret

    def code(self) -> str:
        """The line of its file."""
        body = bytes((self.sort.number, self.number)) + self.pair + self.share.reveal()
        return _HALF_PREFIX + _base32(body + _check(body))


def _check(body: bytes) -> bytes:
    return hash_labelled(Label.RECOVERY_HALF, body)[:_CHECK_BYTES]


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()


def _bytes_of(code: str) -> bytes:
    try:
        data = base64.b32decode(code.upper() + "=" * (-len(code) % 8))
    except (binascii.Error, ValueError) as error:
        raise RemoteProtocolError(Reason.MALFORMED, "the code has characters that no code has, or too few") from error
    if _base32(data) != code:
        raise RemoteProtocolError(Reason.NOT_CANONICAL, "the code is written in another form")
    return data


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(left ^ right for left, right in zip(one, other, strict=True))


def split_recovery(whole: WholeRecovery, *, pad: bytes, pair: bytes) -> tuple[RecoveryHalf, RecoveryHalf]:
    """Two halves, of which each alone is random bytes.

    pad: fresh random bytes, as long as the secret, used once. pair: PAIR_BYTES random bytes. LocalProtocolError.
    """
    secret = whole.secret.reveal()
    if len(pad) != whole.sort.length or len(secret) != len(pad) or len(pair) != PAIR_BYTES:
        raise LocalProtocolError("pad, pair or secret has a wrong length")
    first = RecoveryHalf(sort=whole.sort, number=1, pair=pair, share=Secret(pad))
    second = RecoveryHalf(sort=whole.sort, number=2, pair=pair, share=Secret(_xor(secret, pad)))
    return first, second


def join_halves(one: RecoveryHalf, other: RecoveryHalf) -> WholeRecovery:
    """The key of two halves, in any order. RemoteProtocolError(mismatch) if they are not the two of one pair."""
    if (one.sort, one.pair) != (other.sort, other.pair):
        raise RemoteProtocolError(Reason.MISMATCH, "these two halves are not of one recovery file")
    if one.number == other.number:
        raise RemoteProtocolError(Reason.MISMATCH, f"this is half {one.number} twice")
    return WholeRecovery(one.sort, Secret(_xor(one.share.reveal(), other.share.reveal())))


def encode_recovery_file(part: WholeRecovery | RecoveryHalf, *notes: str) -> bytes:
    """A file: notes for who finds it, one line each, and the code."""
    return "".join((*(f"# {note}\n" for note in notes), part.code(), "\n")).encode()


def decode_recovery_file(text: str) -> tuple[WholeRecovery | RecoveryHalf, ...]:
    """The codes in a text, one in each line that is not empty and does not begin with #.

    RemoteProtocolError: too_large, malformed, not_canonical.
    """
    if len(text) > _MAX_FILE_CHARACTERS:
        raise RemoteProtocolError(Reason.TOO_LARGE, "longer than any recovery file")
    # People type codes from paper: capitals mean nothing.
    lines = (line.strip().lower() for line in text.replace("\r\n", "\n").split("\n"))
    return tuple(_decode(line) for line in lines if line and not line.startswith("#"))


def _decode(line: str) -> WholeRecovery | RecoveryHalf:
    for sort in RecoverySort:
        if line.startswith(sort.prefix):
            secret = _bytes_of(line.removeprefix(sort.prefix))
            if len(secret) != sort.length:
                raise RemoteProtocolError(Reason.MALFORMED, "the code is cut, or too long")
            return WholeRecovery(sort, Secret(secret))
    if not line.startswith(_HALF_PREFIX):
        raise RemoteProtocolError(Reason.MALFORMED, "no code of a recovery file")
    return _decode_half(_bytes_of(line.removeprefix(_HALF_PREFIX)))


def _decode_half(raw: bytes) -> RecoveryHalf:
    body, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
    if len(raw) < 2 + PAIR_BYTES + _CHECK_BYTES or not constant_time_equal(_check(body), check):
        raise RemoteProtocolError(Reason.MALFORMED, "the code is damaged: its check does not hold")
    sort = next((sort for sort in RecoverySort if sort.number == body[0]), None)
    share = body[2 + PAIR_BYTES :]
    if sort is None or body[1] not in (1, 2) or len(share) != sort.length:
        raise RemoteProtocolError(Reason.MALFORMED, "a half of a sort, a number or a length that there is not")
    return RecoveryHalf(sort=sort, number=body[1], pair=body[2 : 2 + PAIR_BYTES], share=Secret(share))
