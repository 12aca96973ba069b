"""Dated signatures under a head: others' and a maintainer's own (C2SP tlog-cosignature). Spec: spec/evidence.md, 3.

A line of the note: SHA-256(name, LF, 0x04, key)[:4], u64 seconds since 1970, Ed25519 over "cosignature/v1", the time
and the head's text.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from protocol.checkpoint import parse_origin, peek_checkpoint
from protocol.crypto import SigningSecret, VerifyKey, sha256
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import NodeId
from protocol.note import MAX_NOTE_BYTES, keep_signature, parse_note

__all__ = [
    "COSIGNATURE_BYTES",
    "MAX_COSIGNED_S",
    "Cosignature",
    "add_cosignature",
    "cosign",
    "cosignature_key_id",
    "cosignature_of",
    "cosigned_at_s",
    "cosigners_named",
    "verified_cosignatures",
    "verify_cosignature",
    "with_cosigners",
    "witness_name",
]

_ALGORITHM: Final = b"\x04"
COSIGNATURE_BYTES: Final = 8 + 64
"""u64 seconds ‖ Ed25519 signature: what stands after the key id in a line."""
_BLOB_BYTES: Final = 4 + COSIGNATURE_BYTES
MAX_COSIGNED_S: Final = 2**53


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A cosignature that verifies. time_s: when its witness says that it made it, seconds since 1970."""

    node_id: NodeId
    key: VerifyKey
    time_s: int


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
    made = cosignature_of(note, secret=secret, time_s=time_s)
    return _with_line(note, name, cosignature_key_id(name, secret.verify_key), made)


def cosignature_of(note: bytes, *, secret: SigningSecret, time_s: int) -> bytes:
    """The cosignature of a head without a line around it: COSIGNATURE_BYTES. Errors as `cosign`."""
    if not 0 < time_s < MAX_COSIGNED_S:
        raise LocalProtocolError("a cosignature's time is after 1970")
    return time_s.to_bytes(8, "big") + secret.sign_raw(_message(peek_checkpoint(note).text, time_s))


def verify_cosignature(note: bytes, cosignature: bytes, key: VerifyKey) -> int:
    """Check a cosignature that came without its line; its time. RemoteProtocolError: malformed, bad_signature."""
    if len(cosignature) != COSIGNATURE_BYTES:
        raise RemoteProtocolError(Reason.MALFORMED, "a cosignature of another length")
    time_s = int.from_bytes(cosignature[:8], "big")
    if not 0 < time_s < MAX_COSIGNED_S:
        raise RemoteProtocolError(Reason.MALFORMED, "a cosignature without a time")
    key.verify_raw(_message(peek_checkpoint(note).text, time_s), cosignature[8:])
    return time_s


def add_cosignature(note: bytes, *, name: str, key: VerifyKey, cosignature: bytes) -> bytes:
    """The head with a line for a cosignature, or with this key's line replaced. Errors as `verify_cosignature`, and
    LocalProtocolError if it would grow beyond a note.
    """
    verify_cosignature(note, cosignature, key)
    return _with_line(note, name, cosignature_key_id(name, key), cosignature)


def _with_line(note: bytes, name: str, wanted: bytes, cosignature: bytes) -> bytes:
    head, blob = peek_checkpoint(note), wanted + cosignature
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


def _named(name: str) -> NodeId | None:
    """The node whose witness key bears this name; None for any other name, in any other spelling."""
    parts = name.split("/")
    if len(parts) != 3:
        return None
    try:
        node_id = NodeId.from_text(parts[1])
    except ValueError:
        return None
    return node_id if witness_name(node_id) == name else None


def cosigners_named(note: bytes) -> list[NodeId]:
    """The nodes under whose names lines stand, in their order; nothing is verified. RemoteProtocolError: no note."""
    named = (_named(line.name) for line in parse_note(note).signatures)
    return [node_id for node_id in named if node_id is not None]


def verified_cosignatures(
    note: bytes, keys_of: Callable[[NodeId], Sequence[VerifyKey]], *, strict: bool = False
) -> tuple[Cosignature, ...]:
    """The cosignatures of a head by other nodes than its own, each node and each key once, in the order of the lines.

    keys_of: the witness keys of a node that count; none for a node that is not known. Two names under one key are one
    witness: an institution does not become two by a second name.
    strict: RemoteProtocolError(unknown_key, bad_signature, malformed) for a line of a node's witness key that is not
    known or does not verify. Otherwise such lines are passed over, as notes want it.
    """
    parsed = parse_note(note)
    own = parse_origin(peek_checkpoint(note).origin)[1]
    found: dict[NodeId, Cosignature] = {}
    seen: set[VerifyKey] = set()
    for line in parsed.signatures:
        node_id = _named(line.name)
        if node_id is None:
            continue
        key = next((key for key in keys_of(node_id) if cosignature_key_id(line.name, key) == line.key_id), None)
        try:
            if key is None:
                raise RemoteProtocolError(Reason.UNKNOWN_KEY, f"a cosignature by no known key of {node_id.text[:12]}")
            time_s = verify_cosignature(note, line.signature, key)
        except RemoteProtocolError:
            if strict:
                raise
            continue
        if node_id not in found and key not in seen and node_id != own:
            found[node_id] = Cosignature(node_id, key, time_s)
            seen.add(key)
    return tuple(found.values())


def with_cosigners(note: bytes, cosignatures: Collection[Cosignature]) -> bytes:
    """The head with its own signature first and the lines of these cosignatures, in the order of their names: the one
    way to write it in an evidence file.
    """
    kept = {
        (witness_name(item.node_id), cosignature_key_id(witness_name(item.node_id), item.key)) for item in cosignatures
    }
    own = keep_signature(note, peek_checkpoint(note).origin)
    lines = {
        line.name: f"\u2014 {line.name} {base64.b64encode(line.key_id + line.signature).decode()}\n"
        for line in parse_note(note).signatures
        if (line.name, line.key_id) in kept
    }
    return own + "".join(lines[name] for name in sorted(lines)).encode()
