"""Feeds: the log of an institution's directory operations, followed by others. Spec: spec/directory.md, 2.

Leaf = kind, subject, version, commitment; the entry and its opening travel beside it. Who follows recomputes the root
and compares it with the signed head: inclusion and consistency are proved with no proof bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from protocol.checkpoint import Checkpoint
from protocol.codec import check_binary, decode, encode
from protocol.crypto import constant_time_equal, hmac_sha256
from protocol.entry import (
    MAX_ENTRY_BYTES,
    InstitutionEntry,
    MailboxEntry,
    MaintainerEntry,
    SignedStanding,
    standing_subject,
)
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.labels import Label
from protocol.merkle import CompactRange, leaf_hash, root_of

__all__ = [
    "FEED_LEAF_BYTES",
    "MAX_OPERATION_BYTES",
    "SNAPSHOT_EVERY",
    "FeedLeaf",
    "FeedState",
    "LiveEntry",
    "Operation",
    "OperationKind",
    "check_operation",
    "decode_operation",
    "make_operation",
    "snapshot_operation",
    "stored_operation",
    "withheld",
]

FEED_LEAF_BYTES: Final = 54
SUBJECT_BYTES: Final = 16
OPENING_BYTES: Final = 32
MAX_OPERATION_BYTES: Final = MAX_ENTRY_BYTES + 256
# A newcomer takes the live set and at most this tail.
SNAPSHOT_EVERY: Final = 256
# Each one costs every follower a sort and a hash of the live set.
SNAPSHOT_AT_LEAST_AFTER: Final = 16
NO_SUBJECT: Final = bytes(SUBJECT_BYTES)
_VERSION: Final = b"\x01"
_MAX_VERSION: Final = 2**32 - 1


class OperationKind(IntEnum):
    """What an operation does. Numbers are never used again for something else; 6 to 15 are kept for later ones."""

    SNAPSHOT = 0
    INSTITUTION = 1
    MAILBOX = 2
    STANDING = 3
    MAINTAINER = 4
    TOTALS = 5
    ERASE = 16


# What makes the live set. Totals came later and stay outside of it: readers from before compute the same snapshots.
_LIVE_KINDS: Final = frozenset(OperationKind) - {OperationKind.TOTALS}


@dataclass(frozen=True, slots=True)
class FeedLeaf:
    """0x01 ‖ u8 kind ‖ subject 16 ‖ u32 version ‖ commitment 32: 54 bytes."""

    kind: int
    """An OperationKind, or a number of a later version: such leaves count in the tree and mean nothing here."""
    subject: bytes
    version: int
    commitment: bytes

    def encode(self) -> bytes:
        """The 54 bytes."""
        return self.header() + self.commitment

    def header(self) -> bytes:
        """The 22 bytes before the commitment."""
        return _VERSION + bytes([self.kind]) + self.subject + self.version.to_bytes(4, "big")

    @classmethod
    def decode(cls, raw: bytes) -> FeedLeaf:
        """RemoteProtocolError: malformed, unknown_version."""
        if len(raw) != FEED_LEAF_BYTES:
            raise RemoteProtocolError(Reason.MALFORMED, "a feed leaf has 54 bytes")
        if raw[:1] != _VERSION:
            raise RemoteProtocolError(Reason.UNKNOWN_VERSION, "not a feed leaf of version 1")
        return cls(raw[1], raw[2:18], int.from_bytes(raw[18:22], "big"), raw[22:])


@dataclass(frozen=True, slots=True)
class Operation:
    """A leaf, and the entry with its opening where they are given (not for erased or unlisted ones)."""

    leaf: FeedLeaf
    opening: bytes | None
    entry: bytes | None
    checked: object | None = field(default=None, compare=False, repr=False)
    """Not of the bytes: what was read from the entry by who checked it, for who keeps it; None: to be checked."""

    def encode(self) -> bytes:
        """[leaf] or [leaf, opening, entry]."""
        parts = [self.leaf.encode()]
        if self.opening is not None and self.entry is not None:
            parts += [self.opening, self.entry]
        return encode(parts)


def decode_operation(raw: bytes) -> Operation:
    """Take an operation apart and check that the leaf commits to the entry, where one is given.

    RemoteProtocolError: too_large, malformed, not_canonical, unknown_version, bad_commitment.
    """
    parts = _parts(raw) or decode(raw, max_bytes=MAX_OPERATION_BYTES)
    if not isinstance(parts, list) or len(parts) not in (1, 3):
        raise RemoteProtocolError(Reason.MALFORMED, "expected [leaf] or [leaf, opening, entry]")
    leaf = FeedLeaf.decode(check_binary(parts[0], "leaf", FEED_LEAF_BYTES, FEED_LEAF_BYTES))
    if len(parts) == 1:
        return Operation(leaf, None, None)
    if leaf.kind in (OperationKind.SNAPSHOT, OperationKind.ERASE):
        raise RemoteProtocolError(Reason.MALFORMED, "an entry where the operation has none")
    opening = check_binary(parts[1], "opening", OPENING_BYTES, OPENING_BYTES)
    entry = check_binary(parts[2], "entry", 1, MAX_ENTRY_BYTES)
    if not constant_time_equal(_commit(opening, leaf.header(), entry), leaf.commitment):
        raise RemoteProtocolError(Reason.BAD_COMMITMENT, "the leaf commits to another entry")
    return Operation(leaf, opening, entry)


def _parts(raw: bytes) -> list[bytes] | None:
    """The parts of [leaf, opening, entry] in its one encoding, by its layout, at a fifth of the time; None for any
    other bytes, whose fault `decode` finds.
    """
    if raw[:3] != b"\x93\xc4\x36" or raw[57:59] != b"\xc4\x20":
        return None
    start = 91 + _ENTRY_HEADS.get(raw[91:92], 0)
    size = len(raw) - start
    # Of the two heads the shorter one that tells the length, and the length that is there.
    if not 0 < size <= MAX_ENTRY_BYTES or start != (93 if size < 256 else 94):
        return None
    return [raw[3:57], raw[59:91], raw[start:]] if int.from_bytes(raw[92:start], "big") == size else None


def stored_operation(raw: bytes) -> Operation:
    """An operation that was checked when it was stored: taken apart by its layout, a tenth of the time.

    LocalProtocolError for bytes that no operation of ours has.
    """
    if raw[1:3] != b"\xc4\x36" or raw[:1] not in (b"\x91", b"\x93"):
        raise LocalProtocolError("a stored operation is damaged")
    leaf = FeedLeaf(raw[4], raw[5:21], int.from_bytes(raw[21:25], "big"), raw[25:57])
    if raw[:1] == b"\x91":
        return Operation(leaf, None, None)
    head = _ENTRY_HEADS.get(raw[91:92], 0)
    return Operation(leaf, raw[59:91], raw[91 + head :])


# The entry's msgpack header: a binary of up to 255, and up to 65,535 bytes.
_ENTRY_HEADS: Final = {b"\xc4": 2, b"\xc5": 3}


def _commit(opening: bytes, header: bytes, entry: bytes) -> bytes:
    return hmac_sha256(opening, Label.ENTRY.value, header, entry)


def make_operation(kind: OperationKind, subject: bytes, version: int, entry: bytes, opening: bytes) -> Operation:
    """An operation that publishes (or, with an empty entry and kind ERASE, erases) one subject."""
    if len(subject) != SUBJECT_BYTES or subject == NO_SUBJECT or not 0 < version <= _MAX_VERSION:
        raise LocalProtocolError("an operation has a subject of 16 bytes and a version above 0")
    if len(opening) != OPENING_BYTES:
        raise LocalProtocolError("an opening has 32 bytes")
    blank = FeedLeaf(kind, subject, version, b"")
    leaf = FeedLeaf(kind, subject, version, _commit(opening, blank.header(), entry))
    return Operation(leaf, None, None) if kind is OperationKind.ERASE else Operation(leaf, opening, entry)


def check_operation(operation: Operation) -> Operation:
    """With its entry checked, if it was not: one of its kind, a mailbox's that of the subject. `checked` is then a
    mailbox's MailboxEntry, True of all others. A withheld entry, and one outside of the live set, is not looked at.

    RemoteProtocolError: mismatch, and as the entries' `decode`.
    """
    if operation.checked is not None:
        return operation
    mailbox = _check_entry(operation.leaf, operation.entry)
    return Operation(operation.leaf, operation.opening, operation.entry, mailbox or True)


def _check_entry(leaf: FeedLeaf, entry: bytes | None) -> MailboxEntry | None:
    if entry is None or leaf.kind not in _LIVE_KINDS:
        return None
    if leaf.kind == OperationKind.INSTITUTION:
        InstitutionEntry.decode(entry)
    elif leaf.kind == OperationKind.MAINTAINER:
        MaintainerEntry.decode(entry)
    elif leaf.kind == OperationKind.STANDING:
        if standing_subject(SignedStanding.decode(entry).standing.node) != leaf.subject:
            raise RemoteProtocolError(Reason.MISMATCH, "the standing of another node")
    else:
        mailbox = MailboxEntry.decode(entry)
        if mailbox.mailbox != leaf.subject:
            raise RemoteProtocolError(Reason.MISMATCH, "the entry of another mailbox")
        return mailbox
    return None


@dataclass(frozen=True, slots=True)
class LiveEntry:
    """The newest operation of a subject that is not erased. position: its index in the feed."""

    position: int
    operation: Operation
    hashed: bytes | None = None
    """The hash of its leaf, where it is known: each snapshot asks for that of all live ones."""


def _snapshot_root(live: Mapping[bytes, LiveEntry]) -> bytes:
    items = [live[subject] for subject in sorted(live)]
    return root_of([item.hashed or leaf_hash(item.operation.leaf.encode()) for item in items])


def withheld(operation: bytes) -> bytes:
    """The leaf of a stored operation alone, as it is given once its subject is erased."""
    return Operation(decode_operation(operation).leaf, None, None).encode()


def snapshot_operation(live: Mapping[bytes, LiveEntry]) -> Operation:
    """The snapshot leaf over a live set: version = number of live leaves, commitment = root over them by subject."""
    return Operation(FeedLeaf(OperationKind.SNAPSHOT, NO_SUBJECT, len(live), _snapshot_root(live)), None, None)


class FeedState:
    """A feed as far as it is known: compact range, live set, last versions of erased subjects, last snapshot.

    Start with `FeedState()` or from what was stored; `apply` operations; `check_head` before believing any of them.
    """

    def __init__(
        self,
        tree: CompactRange | None = None,
        live: Iterable[tuple[int, Operation]] = (),
        erased: Iterable[bytes] = (),
        last_snapshot: int = -1,
    ) -> None:
        self.tree = tree or CompactRange()
        self.live = {operation.leaf.subject: LiveEntry(position, operation) for position, operation in live}
        self._live_bytes = sum(len(item.operation.entry or b"") for item in self.live.values())
        self.erased = set(erased)
        self.last_snapshot = last_snapshot

    @property
    def size(self) -> int:
        """Number of operations so far."""
        return self.tree.size

    @property
    def needs_snapshot(self) -> bool:
        """Whether the next operation must be a snapshot."""
        return self.size - self.last_snapshot >= SNAPSHOT_EVERY

    def copy(self) -> FeedState:
        """An independent copy, to try operations on."""
        twin = FeedState(self.tree.copy(), (), self.erased, self.last_snapshot)
        twin.live = dict(self.live)
        twin._live_bytes = self._live_bytes
        return twin

    def apply(self, operations: Sequence[Operation], *, max_entries: int, max_bytes: int) -> None:
        """Apply operations in order. Use a copy: after an error the state is half changed.

        max_entries, max_bytes: quota of the live set. RemoteProtocolError: mismatch (version not rising, change
        after erase, a second institution, wrong or missing snapshot, entry withheld), too_large.
        """
        for operation in operations:
            leaf = operation.leaf
            hashed = leaf_hash(leaf.encode())
            if leaf.kind == OperationKind.SNAPSHOT:
                if self.size - self.last_snapshot < SNAPSHOT_AT_LEAST_AFTER:
                    raise RemoteProtocolError(Reason.MISMATCH, f"a snapshot too soon after another, at {self.size}")
                if leaf != snapshot_operation(self.live).leaf:
                    raise RemoteProtocolError(Reason.MISMATCH, f"wrong snapshot at {self.size}")
                self.last_snapshot = self.size
            elif self.needs_snapshot:
                raise RemoteProtocolError(Reason.MISMATCH, f"a snapshot is due at {self.size}")
            elif leaf.kind in _LIVE_KINDS:
                self._apply_one(operation, hashed)
            self.tree.append(hashed)
        if len(self.live) > max_entries:
            raise RemoteProtocolError(Reason.TOO_LARGE, f"{len(self.live)} entries, limit {max_entries}")
        if self._live_bytes > max_bytes:
            raise RemoteProtocolError(Reason.TOO_LARGE, f"entries beyond {max_bytes} bytes")

    def _apply_one(self, operation: Operation, hashed: bytes) -> None:
        leaf = operation.leaf
        if leaf.subject == NO_SUBJECT or leaf.subject in self.erased:
            raise RemoteProtocolError(Reason.MISMATCH, "an operation on no subject, or on an erased one")
        known = self.live.get(leaf.subject)
        wanted = 1 if known is None else known.operation.leaf.version + 1
        if leaf.version != wanted:
            raise RemoteProtocolError(Reason.MISMATCH, f"version {leaf.version} where {wanted} follows")
        if leaf.kind == OperationKind.ERASE:
            if known is None:
                raise RemoteProtocolError(Reason.MISMATCH, "erases what is not there")
            self._forget(leaf.subject)
            self.erased.add(leaf.subject)
        else:
            if known is not None and known.operation.leaf.kind != leaf.kind:
                raise RemoteProtocolError(Reason.MISMATCH, "a subject that changes its kind")
            if leaf.kind == OperationKind.INSTITUTION and known is None and self._has_institution:
                raise RemoteProtocolError(Reason.MISMATCH, "a second institution in one feed")
            self._forget(leaf.subject)
            self.live[leaf.subject] = LiveEntry(self.size, check_operation(operation), hashed)
            self._live_bytes += len(operation.entry or b"")

    @property
    def _has_institution(self) -> bool:
        return any(item.operation.leaf.kind == OperationKind.INSTITUTION for item in self.live.values())

    def _forget(self, subject: bytes) -> None:
        known = self.live.pop(subject, None)
        if known is not None:
            self._live_bytes -= len(known.operation.entry or b"")

    def check_head(self, head: Checkpoint) -> None:
        """Compare with a verified head. RemoteProtocolError: rollback (smaller), fork (other root), mismatch."""
        if head.size < self.size:
            raise RemoteProtocolError(Reason.ROLLBACK, f"head of {head.size} where {self.size} was known")
        if head.size != self.size:
            raise RemoteProtocolError(Reason.MISMATCH, f"{self.size} operations under a head of {head.size}")
        if head.root != self.tree.root():
            raise RemoteProtocolError(Reason.FORK, f"another root at size {head.size}")
