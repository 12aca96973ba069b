"""Link and code of a letter to somebody outside: neither alone opens it. Spec: spec/pickup.md, 2."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from protocol.box import open_box, seal_box
from protocol.crypto import Secret, argon2id, hkdf
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import LetterId, NodeId
from protocol.labels import Label

__all__ = [
    "CODE_SALT_BYTES",
    "LINK_BYTES",
    "SHOWN_CODE_CHARACTERS",
    "SMS_CODE_CHARACTERS",
    "PickupLink",
    "code_key",
    "draw_code",
    "grouped",
    "link_text",
    "open_pickup",
    "parse_code",
    "parse_link",
    "seal_pickup",
]

LINK_BYTES: Final = 20
"""160 bits, and 32 letters of base32 without padding."""
CODE_SALT_BYTES: Final = 16
# Without what is read as another: 0/O, 1/I/L.
_ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
SHOWN_CODE_CHARACTERS: Final = 8
"""39.6 bits behind Argon2id: what can be dictated by telephone."""
SMS_CODE_CHARACTERS: Final = 12
"""59.4 bits, since nobody dictates it."""
_LENGTHS: Final = (SHOWN_CODE_CHARACTERS, SMS_CODE_CHARACTERS)
_GROUP: Final = 4
_ARGON_PASSES: Final = 3
_ARGON_KIB: Final = 64 * 1024
_LINK_CHARACTERS: Final = 32
_MAX_TYPED: Final = 500


def draw_code(random_bytes: Callable[[int], bytes], characters: int) -> Secret:
    """A fresh code. Each character is drawn evenly: bytes beyond 8 × 31 are dropped."""
    if characters not in _LENGTHS:
        raise LocalProtocolError(f"a code has {_LENGTHS} characters")
    drawn = bytearray()
    while len(drawn) < characters:
        drawn += bytes(ord(_ALPHABET[byte % 31]) for byte in random_bytes(32) if byte < 248)
    return Secret(bytes(drawn[:characters]))


def grouped(code: Secret) -> str:
    """A code as people read it: in groups of four."""
    text = code.reveal().decode()
    return "-".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))


def parse_code(typed: str) -> Secret | None:
    """A code as typed, in its one form; None for what cannot be one."""
    if len(typed) > _MAX_TYPED:
        return None
    text = "".join(letter for letter in typed.upper() if not letter.isspace() and letter not in "-‐‑–.")
    if len(text) not in _LENGTHS or any(letter not in _ALPHABET for letter in text):
        return None
    return Secret(text.encode())


def link_text(key: Secret) -> str:
    """A link key as it stands after # in the link."""
    return base64.b32encode(key.reveal()).decode().lower()


def parse_link(typed: str) -> Secret | None:
    """The link key of a whole link, or of its end alone; None for what cannot be one."""
    if len(typed) > _MAX_TYPED:
        return None
    text = typed.strip().rpartition("#")[2].strip().upper()
    if len(text) != _LINK_CHARACTERS or not text.isascii():
        return None
    try:
        return Secret(base64.b32decode(text))
    except (ValueError, binascii.Error):
        return None


@dataclass(frozen=True, slots=True)
class PickupLink:
    """What follows from a link key: the name of the letter's row, and half of the secret that opens it."""

    name: bytes
    half: Secret

    @classmethod
    def of(cls, key: Secret, node: NodeId) -> PickupLink:
        """The halves of a link key of LINK_BYTES."""
        raw = key.reveal()
        if len(raw) != LINK_BYTES:
            raise LocalProtocolError(f"a link key has {LINK_BYTES} bytes")
        derived = hkdf(raw, salt=bytes(32), info=Label.PICKUP.value + node + b"link", length=64)
        return cls(derived[:32], Secret(derived[32:]))


def code_key(code: Secret, salt: bytes) -> Secret:
    """The code's half of the secret: Argon2id. salt: CODE_SALT_BYTES. Takes 0.1 s and up: call it in a thread."""
    return Secret(argon2id(code.reveal(), salt=salt, operations=_ARGON_PASSES, memory_kib=_ARGON_KIB))


def _info(node: NodeId, letter: LetterId) -> bytes:
    return Label.PICKUP.value + node + letter


def seal_pickup(
    payload_key: Secret, *, link: PickupLink, code: Secret, node: NodeId, letter: LetterId, salt: bytes
) -> bytes:
    """The box that link and code open together. code: of `code_key`. salt: 32 random bytes for this box alone."""
    secret = link.half.reveal() + code.reveal()
    return seal_box(secret, info=_info(node, letter), salt=salt, plaintext=payload_key.reveal())


def open_pickup(box: bytes, *, link: PickupLink, code: Secret, node: NodeId, letter: LetterId) -> Secret:
    """The payload key. RemoteProtocolError(bad_commitment) for another link or code; malformed, bad_box."""
    plain = open_box(link.half.reveal() + code.reveal(), info=_info(node, letter), box=box)
    if len(plain) != 32:
        raise RemoteProtocolError(Reason.MALFORMED, "a payload key has 32 bytes")
    return Secret(plain)
