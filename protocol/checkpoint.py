"""Signed tree heads (C2SP tlog-checkpoint) of logs and feeds. Spec: spec/evidence.md, 3."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from protocol.crypto import SigningSecret, VerifyKey
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import NodeId
from protocol.note import decode_base64, parse_note, sign_note

__all__ = [
    "Checkpoint",
    "CheckpointVerifier",
    "feed_origin",
    "log_origin",
    "open_checkpoint",
    "parse_origin",
    "peek_checkpoint",
    "sign_checkpoint",
]

_MAX_SIZE: Final = 2**53
_REMEMBERED: Final = 256


def log_origin(node_id: NodeId, epoch: int) -> str:
    """The origin line, and key name, of one epoch of a node's log."""
    return f"coffre/{node_id.text}/log/{epoch}"


def feed_origin(node_id: NodeId, epoch: int) -> str:
    """The origin line, and key name, of one epoch of a node's feed."""
    return f"coffre/{node_id.text}/feed/{epoch}"


@lru_cache(maxsize=4096)
def parse_origin(origin: str) -> tuple[str, NodeId, int]:
    """("log" or "feed", node id, epoch); RemoteProtocolError(malformed) for any other origin."""
    parts = origin.split("/")
    try:
        node_id, kind, epoch = NodeId.from_text(parts[1]), parts[2], int(parts[3])
        # Rebuilt and compared: two spellings of one origin could hide two histories from those who compare heads.
        if kind in ("log", "feed") and f"coffre/{node_id.text}/{kind}/{epoch}" == origin and 0 < epoch < 2**31:
            return kind, node_id, epoch
    except (ValueError, IndexError):
        pass
    raise RemoteProtocolError(Reason.MALFORMED, "not an origin of this federation")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head: origin line, number of leaves, RFC 6962 root (32 bytes)."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The note text that is signed: three lines, no extensions."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def sign_checkpoint(checkpoint: Checkpoint, secret: SigningSecret) -> bytes:
    """The signed note; the key's name is the origin."""
    if len(checkpoint.root) != 32 or not 0 <= checkpoint.size < _MAX_SIZE:
        raise LocalProtocolError("a checkpoint has a 32-byte root and a size below 2^53")
    return sign_note(checkpoint.text, name=checkpoint.origin, secret=secret)


def _parse_text(text: str) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not lines[0]:
        raise RemoteProtocolError(Reason.MALFORMED, "a head has three lines")
    size_text = lines[1]
    if not (size_text.isascii() and size_text.isdigit()) or (size_text[0] == "0" and size_text != "0"):
        raise RemoteProtocolError(Reason.MALFORMED, "the size is no plain decimal")
    if len(size_text) > 16 or int(size_text) >= _MAX_SIZE:
        raise RemoteProtocolError(Reason.TOO_LARGE, "the size is 2^53 or more")
    root = decode_base64(lines[2])
    if len(root) != 32:
        raise RemoteProtocolError(Reason.MALFORMED, "the root has not 32 bytes")
    return Checkpoint(lines[0], int(size_text), root)


def peek_checkpoint(raw: bytes) -> Checkpoint:
    """What a head claims, unverified."""
    return _parse_text(parse_note(raw).text)


def open_checkpoint(raw: bytes, *, origin: str, keys: Sequence[VerifyKey]) -> Checkpoint:
    """A head verified under one of the keys that this origin ever had.

    RemoteProtocolError: malformed, mismatch (another origin), unknown_key, bad_signature.
    """
    note = parse_note(raw)
    checkpoint = _parse_text(note.text)
    if checkpoint.origin != origin:
        raise RemoteProtocolError(Reason.MISMATCH, "a head of another origin")
    failure = RemoteProtocolError(Reason.UNKNOWN_KEY, f"no known key for {origin[:80]}")
    for key in keys:
        try:
            note.verify(origin, key)
        except RemoteProtocolError as error:
            if error.reason is Reason.BAD_SIGNATURE:
                raise
            failure = error
        else:
            return checkpoint
    raise failure


class CheckpointVerifier:
    """Verifies heads of one node, remembering the last ones: a batch of evidence shares one head."""

    def __init__(self, node_id: NodeId, keys: Sequence[VerifyKey]) -> None:
        """keys: every log key that the node ever stated, in any order."""
        self.node_id = node_id
        self._keys = tuple(keys)
        self._known: dict[bytes, Checkpoint] = {}

    def open(self, raw: bytes) -> Checkpoint:
        """A head of this node's log or feed, verified. Errors as open_checkpoint, and mismatch for another node."""
        known = self._known.get(raw)
        if known is not None:
            return known
        claimed = peek_checkpoint(raw)
        _, node_id, _ = parse_origin(claimed.origin)
        if node_id != self.node_id:
            raise RemoteProtocolError(Reason.MISMATCH, "a head of another node")
        checkpoint = open_checkpoint(raw, origin=claimed.origin, keys=self._keys)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[raw] = checkpoint
        return checkpoint
