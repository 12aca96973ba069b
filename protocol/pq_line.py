"""The ML-DSA-44 line of a day's head (C2SP tlog-cosignature, subtree/v1, by the log itself). Spec: spec/evidence.md, 3.

A line of the note: SHA-256(name, LF, 0x06, key)[:4], u64 seconds since 1970, signature. Signed is not the text but its
content in binary; a head has no extension lines, so nothing of it is left out.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Final

from protocol.checkpoint import Checkpoint, peek_checkpoint
from protocol.crypto import sha256
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.mldsa import PQ_SIGNATURE_BYTES, PqKey, PqSecret
from protocol.note import parse_note

__all__ = ["add_pq_line", "pq_key_id", "pq_signed_at_s", "pq_verifier_key"]

_ALGORITHM: Final = b"\x06"
_LABEL: Final = b"subtree/v1\n\0"
_MAX_TIME_S: Final = 2**53
_MAX_NAME_BYTES: Final = 255


def pq_key_id(name: str, key: PqKey) -> bytes:
    """The 4 bytes before the signature."""
    return sha256(name.encode(), b"\n", _ALGORITHM, key)[:4]


def pq_verifier_key(name: str, key: PqKey) -> str:
    """The key in the text form that other note software takes: name+hash+base64."""
    return f"{name}+{pq_key_id(name, key).hex()}+{base64.b64encode(_ALGORITHM + key).decode()}"


def _message(head: Checkpoint, time_s: int) -> bytes:
    name = head.origin.encode()
    if len(name) > _MAX_NAME_BYTES:
        raise RemoteProtocolError(Reason.MALFORMED, "an origin too long to be signed")
    counted = len(name).to_bytes(1, "big") + name
    parts = (_LABEL, counted, time_s.to_bytes(8, "big"), counted, bytes(8), head.size.to_bytes(8, "big"), head.root)
    return b"".join(parts)


def add_pq_line(note: bytes, secret: PqSecret, *, time_s: int) -> bytes:
    """The head with one more line by the log's ML-DSA key, under the origin's name. time_s: since 1970, not 0."""
    head = peek_checkpoint(note)
    if not 0 < time_s < _MAX_TIME_S:
        raise LocalProtocolError("a day's head is signed after 1970")
    blob = pq_key_id(head.origin, secret.verify_key) + time_s.to_bytes(8, "big")
    blob += secret.sign_raw(_message(head, time_s))
    return note + f"\u2014 {head.origin} {base64.b64encode(blob).decode()}\n".encode()


def pq_signed_at_s(note: bytes, keys: Sequence[PqKey]) -> int:
    """When one of these keys signed the head, seconds since 1970. Lines by other keys are passed over.

    RemoteProtocolError: malformed, unknown_key (no line by any), bad_signature.
    """
    parsed, head = parse_note(note), peek_checkpoint(note)
    for key in keys:
        wanted = pq_key_id(head.origin, key)
        for line in parsed.signatures:
            if (line.name, line.key_id) != (head.origin, wanted):
                continue
            if len(line.signature) != 8 + PQ_SIGNATURE_BYTES:
                raise RemoteProtocolError(Reason.MALFORMED, "an ML-DSA line of another length")
            time_s = int.from_bytes(line.signature[:8], "big")
            key.verify_raw(_message(head, time_s), line.signature[8:])
            return time_s
    raise RemoteProtocolError(Reason.UNKNOWN_KEY, "no ML-DSA line by a known key")
