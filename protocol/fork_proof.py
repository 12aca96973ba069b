"""Two signed heads of one tree that cannot both be true, and what shows it. Spec: spec/evidence.md, 13."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protocol.checkpoint import CheckpointVerifier, parse_origin, peek_checkpoint
from protocol.crypto import sha256
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import NodeId
from protocol.merkle import (
    HASH_BYTES,
    ListReader,
    consistency_proof,
    proved_beginning,
    root_of,
    verify_consistency,
)
from protocol.note import keep_signature

__all__ = ["MAX_FORK_HASHES", "ForkProof", "VerifiedFork", "fork_shown", "prove_fork"]

MAX_FORK_HASHES: Final = 54
"""A consistency proof in a tree of fewer than 2^53 leaves needs no more."""


@dataclass(frozen=True, slots=True)
class VerifiedFork:
    """What a pair of heads that verify comes to.

    kind: "log" or "feed". sizes, roots: of the two heads, the smaller one first. is_fork: the two cannot both be true,
    whoever looks. Else they were shown the wrong way round, which their bytes do not prove: a rollback.
    """

    node_id: NodeId
    kind: str
    epoch: int
    sizes: tuple[int, int]
    roots: tuple[bytes, bytes]
    is_fork: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkProof:
    """Two heads of one origin, the smaller one first, each a signed note of one signature line.

    prefix, hashes: where the sizes differ, the root that the larger tree has at the smaller size, with the RFC 6962
    consistency proof between the two; None and none where the sizes are equal, or where nothing shows a fork.
    """

    first: bytes
    second: bytes
    prefix: bytes | None = None
    hashes: tuple[bytes, ...] = ()

    @property
    def id(self) -> bytes:
        """What names this pair: 32 bytes, the same for whoever holds it, however the heads were cosigned."""
        first, second = peek_checkpoint(self.first), peek_checkpoint(self.second)
        texts = sorted((first.text, second.text)) if first.size == second.size else [first.text, second.text]
        return sha256("\n".join(texts).encode())

    @property
    def node_id(self) -> NodeId:
        """Whose heads these claim to be, unverified."""
        return parse_origin(peek_checkpoint(self.first).origin)[1]

    def check_shape(self) -> None:
        """RemoteProtocolError(malformed, mismatch) unless this may be a pair: shape alone, no signature."""
        first, second = peek_checkpoint(self.first), peek_checkpoint(self.second)
        if first.origin != second.origin:
            raise RemoteProtocolError(Reason.MISMATCH, "two heads of different trees")
        parse_origin(first.origin)
        if first.size > second.size:
            raise RemoteProtocolError(Reason.MALFORMED, "the smaller head comes first")
        if self.prefix is None and self.hashes:
            raise RemoteProtocolError(Reason.MALFORMED, "hashes without the root that they prove")
        if self.prefix is not None and first.size == second.size:
            raise RemoteProtocolError(Reason.MALFORMED, "heads of one size need no further proof")
        if len(self.hashes) > MAX_FORK_HASHES:
            raise RemoteProtocolError(Reason.TOO_LARGE, f"{len(self.hashes)} hashes")
        if any(len(item) != HASH_BYTES for item in (*self.hashes, *((self.prefix,) if self.prefix else ()))):
            raise RemoteProtocolError(Reason.MALFORMED, "a hash has not 32 bytes")

    def verify(self, verifier: CheckpointVerifier) -> VerifiedFork:
        """Check both signatures and the contradiction, under log keys of the node.

        RemoteProtocolError: as check_shape; as CheckpointVerifier.open; bad_proof; mismatch if the two agree.
        """
        self.check_shape()
        first, second = verifier.open(self.first), verifier.open(self.second)
        if first.size == second.size:
            if first.root == second.root:
                raise RemoteProtocolError(Reason.MISMATCH, "one head twice: nothing contradicts")
        elif self.prefix is not None:
            verify_consistency(
                old_size=first.size,
                old_root=self.prefix,
                new_size=second.size,
                new_root=second.root,
                proof=self.hashes,
            )
            if self.prefix == first.root:
                raise RemoteProtocolError(Reason.MISMATCH, "the larger tree goes on from the smaller one")
        kind, node_id, epoch = parse_origin(first.origin)
        return VerifiedFork(
            node_id=node_id,
            kind=kind,
            epoch=epoch,
            sizes=(first.size, second.size),
            roots=(first.root, second.root),
            is_fork=first.size == second.size or self.prefix is not None,
        )


def prove_fork(one: bytes, other: bytes, leaf_hashes: Sequence[bytes] | None = None) -> ForkProof:
    """The proof from two heads of one origin that were verified.

    leaf_hashes: of the larger head's tree, all of them; needed where the sizes differ, else only a rollback is shown.
    LocalProtocolError if the two do not contradict each other, or the hashes are of another tree.
    """
    first, second = sorted((one, other), key=lambda note: peek_checkpoint(note).size)
    small, large = peek_checkpoint(first), peek_checkpoint(second)
    prefix: bytes | None = None
    hashes: tuple[bytes, ...] = ()
    if small.size != large.size and leaf_hashes is not None:
        if root_of(leaf_hashes[: large.size]) != large.root:
            raise LocalProtocolError("the leaf hashes are of another tree than the larger head")
        prefix = root_of(leaf_hashes[: small.size])
        hashes = tuple(consistency_proof(small.size, large.size, ListReader(leaf_hashes[: large.size])))
        if prefix == small.root:
            raise LocalProtocolError("the larger tree goes on from the smaller one")
    origin = small.origin
    return ForkProof(
        first=keep_signature(first, origin), second=keep_signature(second, origin), prefix=prefix, hashes=hashes
    )


def fork_shown(one: bytes, other: bytes, hashes: Sequence[bytes]) -> ForkProof | None:
    """The proof of a fork from two heads that were verified and a consistency proof between them that did not hold: it
    may be that of a tree which begins otherwise. None if it shows nothing.
    """
    first, second = sorted((one, other), key=lambda note: peek_checkpoint(note).size)
    small, large = peek_checkpoint(first), peek_checkpoint(second)
    prefix = proved_beginning(old_size=small.size, new_size=large.size, new_root=large.root, proof=hashes)
    if prefix is None or prefix == small.root:
        return None
    origin = small.origin
    first, second = keep_signature(first, origin), keep_signature(second, origin)
    return ForkProof(first=first, second=second, prefix=prefix, hashes=tuple(hashes))
