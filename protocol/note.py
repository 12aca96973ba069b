"""Signed notes (C2SP signed-note, Ed25519) as others' software reads them. Spec: spec/evidence.md, 3."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from protocol.crypto import SigningSecret, VerifyKey, sha256
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError

__all__ = [
    "MAX_NOTE_BYTES",
    "Note",
    "NoteSignature",
    "decode_base64",
    "keep_signature",
    "key_id",
    "parse_note",
    "sign_note",
    "verifier_key",
]

# A head, its signature, an ML-DSA line (3.3 kB) and many cosignatures fit; nothing larger is a note of ours.
MAX_NOTE_BYTES: Final = 16 * 1024
_MAX_SIGNATURES: Final = 64
_ED25519: Final = b"\x01"


def key_id(name: str, key: VerifyKey) -> bytes:
    """The 4 bytes that stand before a signature: SHA-256(name ‖ LF ‖ 0x01 ‖ key)[:4]."""
    return sha256(name.encode(), b"\n", _ED25519, key)[:4]


def verifier_key(name: str, key: VerifyKey) -> str:
    """The key in the text form that other note software takes: name+hash+base64."""
    return f"{name}+{key_id(name, key).hex()}+{base64.b64encode(_ED25519 + key).decode()}"


def decode_base64(text: str) -> bytes:
    """Canonical standard base64; RemoteProtocolError(malformed or not_canonical) otherwise."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RemoteProtocolError(Reason.MALFORMED, "not base64") from error
    if base64.b64encode(raw).decode() != text:
        raise RemoteProtocolError(Reason.NOT_CANONICAL, "base64 with stray bits")
    return raw


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: key name, 4-byte key id, signature bytes."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A parsed note; nothing about it is true before `verify`. text ends in a newline."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def verify(self, name: str, key: VerifyKey) -> None:
        """RemoteProtocolError(unknown_key) if no line is by this key, (bad_signature) if its line does not hold."""
        wanted = key_id(name, key)
        lines = [item for item in self.signatures if item.name == name and item.key_id == wanted]
        if not lines:
            raise RemoteProtocolError(Reason.UNKNOWN_KEY, f"no signature by {name[:80]}")
        for line in lines:
            key.verify_raw(self.text.encode(), line.signature)


def sign_note(text: str, *, name: str, secret: SigningSecret) -> bytes:
    """A note with one signature. text: lines without control characters, ending in a newline."""
    _check_name(name, LocalProtocolError("a key name is not empty and has neither space nor plus"))
    if not text.endswith("\n") or any(ord(character) < 0x20 and character != "\n" for character in text):
        raise LocalProtocolError("a note's text ends in a newline and has no control characters")
    signature = secret.sign_raw(text.encode())
    line = base64.b64encode(key_id(name, secret.verify_key) + signature).decode()
    return f"{text}\n\u2014 {name} {line}\n".encode()


def _check_name(name: str, error: Exception) -> None:
    if not name or "+" in name or any(character.isspace() for character in name):
        raise error


def parse_note(raw: bytes) -> Note:
    """Take a note apart. RemoteProtocolError: too_large, malformed, not_canonical."""
    if len(raw) > MAX_NOTE_BYTES:
        raise RemoteProtocolError(Reason.TOO_LARGE, f"note of {len(raw)} bytes")
    malformed = RemoteProtocolError(Reason.MALFORMED, "not a signed note")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise malformed from error
    if any(ord(character) < 0x20 and character != "\n" for character in text) or not text.endswith("\n"):
        raise malformed
    body, separator, tail = text.rpartition("\n\n")
    if not separator or not tail:
        raise malformed
    lines = tail[:-1].split("\n")
    if len(lines) > _MAX_SIGNATURES:
        raise RemoteProtocolError(Reason.TOO_LARGE, f"{len(lines)} signatures")
    signatures = []
    for line in lines:
        dash, _, rest = line.partition(" ")
        name, space, encoded = rest.partition(" ")
        if dash != "\u2014" or not space:
            raise malformed
        _check_name(name, malformed)
        blob = decode_base64(encoded)
        if len(blob) < 5:
            raise malformed
        signatures.append(NoteSignature(name, blob[:4], blob[4:]))
    return Note(body + "\n", tuple(signatures))


def keep_signature(raw: bytes, name: str) -> bytes:
    """The note with its first signature line of this name alone. LocalProtocolError if it has none."""
    note = parse_note(raw)
    for line in note.signatures:
        if line.name == name:
            encoded = base64.b64encode(line.key_id + line.signature).decode()
            return f"{note.text}\n\u2014 {name} {encoded}\n".encode()
    raise LocalProtocolError(f"the note has no signature by {name[:80]}")
