"""Offline proofs that a leaf is in a log: C2SP tlog-proof without `extra`. Spec: spec/evidence.md, 4."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

from protocol.checkpoint import Checkpoint, CheckpointVerifier
from protocol.errors import Reason, RemoteProtocolError
from protocol.merkle import verify_inclusion
from protocol.note import MAX_NOTE_BYTES, decode_base64

__all__ = ["MAX_PROOF_BYTES", "TlogProof"]

_HEADER: Final = "c2sp.org/tlog-proof@v1"
# A tree below 2^53 leaves needs at most 53 hashes of 45 bytes a line.
_MAX_HASHES: Final = 53
MAX_PROOF_BYTES: Final = MAX_NOTE_BYTES + 4096


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A leaf's index, its inclusion path (leaf's sibling first) and the signed head, verbatim."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes

    def encode(self) -> bytes:
        """The text form."""
        lines = [_HEADER, f"index {self.index}", *(base64.b64encode(item).decode() for item in self.hashes)]
        return "\n".join(lines).encode() + b"\n\n" + self.checkpoint

    @classmethod
    def decode(cls, raw: bytes) -> TlogProof:
        """Parse the text form. RemoteProtocolError: too_large, malformed, not_canonical, unknown_version."""
        if len(raw) > MAX_PROOF_BYTES:
            raise RemoteProtocolError(Reason.TOO_LARGE, f"proof of {len(raw)} bytes")
        malformed = RemoteProtocolError(Reason.MALFORMED, "not a proof")
        head, separator, checkpoint = raw.partition(b"\n\n")
        try:
            lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError as error:
            raise malformed from error
        if lines[0] != _HEADER:
            reason = Reason.UNKNOWN_VERSION if lines[0].startswith("c2sp.org/tlog-proof@") else Reason.MALFORMED
            raise RemoteProtocolError(reason, "not a tlog-proof v1")
        if not separator or len(lines) < 2 or not lines[1].startswith("index "):
            raise malformed
        digits = lines[1].removeprefix("index ")
        if not digits.isdigit() or (digits[0] == "0" and digits != "0") or len(digits) > 16:
            raise malformed
        if len(lines) - 2 > _MAX_HASHES:
            raise RemoteProtocolError(Reason.TOO_LARGE, "more hashes than any tree needs")
        hashes = tuple(decode_base64(line) for line in lines[2:])
        if any(len(item) != 32 for item in hashes):
            raise malformed
        return cls(int(digits), hashes, checkpoint)

    def verify(self, hashed: bytes, verifier: CheckpointVerifier) -> Checkpoint:
        """The verified head that includes the leaf with this hash. RemoteProtocolError otherwise."""
        checkpoint = verifier.open(self.checkpoint)
        verify_inclusion(hashed, index=self.index, size=checkpoint.size, proof=self.hashes, root=checkpoint.root)
        return checkpoint
