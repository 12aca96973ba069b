"""Dated signatures under a head: others' and a maintainer's own (C2SP tlog-cosignature). Spec: spec/evidence.md, 3.

A line of the note: SHA-256(name, LF, 0x04, key)[:4], u64 seconds since 1970, Ed25519 over "cosignature/v1", the time
and the head's text.
"""

from __future__ import annotations

import base64
from typing import Final

from protocol.checkpoint import peek_checkpoint
from protocol.crypto import SigningSecret, VerifyKey, sha256
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import NodeId
from protocol.note import MAX_NOTE_BYTES, parse_note

__all__ = ["cosign", "cosignature_key_id", "cosigned_at_s", "witness_name"]

_ALGORITHM: Final = b"\x04"
_BLOB_BYTES: Final = 4 + 8 + 64
_MAX_TIME_S: Final = 2**53


def witness_name(node_id: NodeId) -> str:
    """The key name of a node's witness key."""
    return f"coffre/{node_id.text}/wit"


def cosignature_key_id(name: str, key: VerifyKey) -> bytes:
    """The 4 bytes before a cosignature."""
    return sha256(name.encode(), b"\n", _ALGORITHM, key)[:4]


def _message(text: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def cosign(note: bytes, *, name: str, secret: SigningSecret, time_s: int) -> bytes:
    """The head with one more line, or with this key's line replaced. time_s: seconds since 1970, not 0.

    LocalProtocolError if it would grow beyond a note; RemoteProtocolError for what is no head.
    """
    head = peek_checkpoint(note)
    if not 0 < time_s < _MAX_TIME_S:
        raise LocalProtocolError("a cosignature's time is after 1970")
    wanted = cosignature_key_id(name, secret.verify_key)
    signature = secret.sign_raw(_message(head.text, time_s))
    blob = wanted + time_s.to_bytes(8, "big") + signature
    kept = [
        f"\u2014 {item.name} {base64.b64encode(item.key_id + item.signature).decode()}"
        for item in parse_note(note).signatures
        if (item.name, item.key_id) != (name, wanted)
    ]
    lines = "\n".join([*kept, f"\u2014 {name} {base64.b64encode(blob).decode()}"])
    made = f"{head.text}\n{lines}\n".encode()
    if len(made) > MAX_NOTE_BYTES:
        raise LocalProtocolError(f"a note of {len(made)} bytes, limit {MAX_NOTE_BYTES}")
    return made


def cosigned_at_s(note: bytes, *, name: str, key: VerifyKey) -> int:
    """When this key last cosigned the head, seconds since 1970.

    RemoteProtocolError: malformed, unknown_key (no line by it), bad_signature.
    """
    parsed = parse_note(note)
    wanted = cosignature_key_id(name, key)
    times = []
    for item in parsed.signatures:
        if (item.name, item.key_id) != (name, wanted):
            continue
        if len(item.key_id) + len(item.signature) != _BLOB_BYTES:
            raise RemoteProtocolError(Reason.MALFORMED, "a cosignature of another length")
        time_s = int.from_bytes(item.signature[:8], "big")
        key.verify_raw(_message(parsed.text, time_s), item.signature[8:])
        times.append(time_s)
    if not times:
        raise RemoteProtocolError(Reason.UNKNOWN_KEY, f"no cosignature by {name[:80]}")
    return max(times)
