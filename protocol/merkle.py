"""RFC 6962 Merkle trees over SHA-256: roots, compact ranges and proofs. Spec: spec/evidence.md, 2."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final, Protocol

from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError

__all__ = [
    "EMPTY_ROOT",
    "CompactRange",
    "HashReader",
    "ListReader",
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "node_hash",
    "proved_beginning",
    "root_of",
    "verify_consistency",
    "verify_inclusion",
]

EMPTY_ROOT: Final = sha256(b"").digest()
HASH_BYTES: Final = 32


def leaf_hash(data: bytes) -> bytes:
    """MTH of one leaf: SHA-256(0x00 ‖ data)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\x01" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes (or over equal subtrees); EMPTY_ROOT for none."""
    if not hashes:
        return EMPTY_ROOT
    level = list(hashes)
    while len(level) > 1:
        odd = level.pop() if len(level) % 2 else None
        # node_hash by hand: each snapshot of a large feed hashes tens of thousands.
        level = [sha256(b"\x01" + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=True)]
        if odd is not None:
            level.append(odd)
    return level[0]


class CompactRange:
    """The roots of the perfect subtrees that make up a tree, largest first: all that appending needs.

    size: leaves so far. hashes: as many as `size` has one-bits, 32 bytes each.
    """

    __slots__ = ("_hashes", "size")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        """LocalProtocolError unless there is one hash of 32 bytes for each one-bit of size."""
        if size < 0 or len(hashes) != size.bit_count() or any(len(item) != HASH_BYTES for item in hashes):
            raise LocalProtocolError(f"a compact range of size {size} has {size.bit_count()} hashes of 32 bytes")
        self.size = size
        self._hashes = list(hashes)

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """The subtree roots, largest subtree first."""
        return tuple(self._hashes)

    @classmethod
    def from_bytes(cls, size: int, joined: bytes) -> CompactRange:
        """The range whose hashes were stored joined."""
        return cls(size, [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)])

    def append(self, hashed: bytes) -> None:
        """Append one leaf hash."""
        size = self.size
        while size & 1:
            hashed = node_hash(self._hashes.pop(), hashed)
            size >>= 1
        self._hashes.append(hashed)
        self.size += 1

    def root(self) -> bytes:
        """The root of the tree so far."""
        if not self._hashes:
            return EMPTY_ROOT
        root = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            root = node_hash(left, root)
        return root

    def copy(self) -> CompactRange:
        """An independent copy."""
        return CompactRange(self.size, self._hashes)


class HashReader(Protocol):
    """Gives the roots of perfect subtrees of a stored tree."""

    def node(self, level: int, index: int) -> bytes:
        """Root of the subtree of 2^level leaves that starts at leaf index·2^level."""
        ...


class ListReader:
    """A HashReader over all leaf hashes in memory, for small trees."""

    def __init__(self, hashes: Sequence[bytes]) -> None:
        """hashes: those of the leaves, in order."""
        self._levels = [list(hashes)]

    def node(self, level: int, index: int) -> bytes:
        """See HashReader."""
        while len(self._levels) <= level:
            below = self._levels[-1]
            pairs = range(0, len(below) - 1, 2)
            self._levels.append([node_hash(below[at], below[at + 1]) for at in pairs])
        return self._levels[level][index]


def _range_root(start: int, end: int, reader: HashReader) -> bytes:
    """MTH(D[start:end]) where start is a multiple of the largest power of two below the length, as proofs need."""
    parts: list[bytes] = []
    at = start
    while at < end:
        level = (end - at).bit_length() - 1
        if at:
            level = min(level, (at & -at).bit_length() - 1)
        parts.append(reader.node(level, at >> level))
        at += 1 << level
    root = parts[-1]
    for left in reversed(parts[:-1]):
        root = node_hash(left, root)
    return root


def _split(size: int) -> int:
    """The largest power of two smaller than size."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_proof(index: int, size: int, reader: HashReader) -> list[bytes]:
    """RFC 6962 section 2.1.1: PATH(index, D[size]), from the leaf's sibling to the root's child."""
    if not 0 <= index < size:
        raise LocalProtocolError(f"leaf {index} is not in a tree of {size}")
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(_range_root(middle, end, reader))
            end = middle
        else:
            proof.append(_range_root(start, middle, reader))
            start = middle
    proof.reverse()
    return proof


def _bad(detail: str) -> RemoteProtocolError:
    return RemoteProtocolError(Reason.BAD_PROOF, detail)


def verify_inclusion(hashed: bytes, *, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf with this hash is at `index` of the tree of `size` with this root (RFC 9162 2.1.3.2)."""
    if not 0 <= index < size:
        raise _bad(f"index {index} is not in a tree of {size}")
    position, last = index, size - 1
    computed = hashed
    for item in proof:
        if last == 0:
            raise _bad("proof too long")
        if position & 1 or position == last:
            computed = node_hash(item, computed)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            computed = node_hash(computed, item)
        position >>= 1
        last >>= 1
    if last != 0:
        raise _bad("proof too short")
    if computed != root:
        raise _bad("proof leads to another root")


def consistency_proof(old: int, new: int, reader: HashReader) -> list[bytes]:
    """RFC 6962 section 2.1.2: PROOF(old, D[new]) for 0 < old <= new."""
    if not 0 < old <= new:
        raise LocalProtocolError(f"no consistency proof from {old} to {new}")
    proof: list[bytes] = []
    start, end, whole = 0, new, True
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            proof.append(_range_root(middle, end, reader))
            end = middle
        else:
            proof.append(_range_root(start, middle, reader))
            start, whole = middle, False
    if not whole:
        proof.append(_range_root(start, end, reader))
    proof.reverse()
    return proof


def verify_consistency(
    *, old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the tree of old_size is a beginning of the tree of new_size (RFC 9162 2.1.4.2)."""
    if not 0 <= old_size <= new_size:
        raise _bad(f"sizes {old_size} and {new_size} are out of order")
    if old_size in (0, new_size):
        if proof:
            raise _bad("proof too long")
        if old_size == new_size and old_root != new_root:
            raise _bad("one size, two roots")
        if old_size == 0 and old_root != EMPTY_ROOT:
            raise _bad("not the root of the empty tree")
        return
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if _both_roots(old_size, new_size, path) != (old_root, new_root):
        raise _bad("proof leads to other roots")


def proved_beginning(*, old_size: int, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> bytes | None:
    """The root at old_size of the tree with new_root, if a consistency proof tells it, None if it does not: where
    old_size is a power of two the proof leaves it out, and any other proof that does not hold tells nothing.
    """
    if not 0 < old_size < new_size or old_size & (old_size - 1) == 0:
        return None
    try:
        old_root, computed = _both_roots(old_size, new_size, proof)
    except RemoteProtocolError:
        return None
    return old_root if computed == new_root else None


def _both_roots(old_size: int, new_size: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    if not path:
        raise _bad("proof too short")
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old_computed = new_computed = path[0]
    for item in path[1:]:
        if last == 0:
            raise _bad("proof too long")
        if position & 1 or position == last:
            old_computed = node_hash(item, old_computed)
            new_computed = node_hash(item, new_computed)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            new_computed = node_hash(new_computed, item)
        position >>= 1
        last >>= 1
    if last != 0:
        raise _bad("proof too short")
    return old_computed, new_computed
