"""The node's own log inside a transaction: indexes, tiles, head. Spec: spec/evidence.md; design in spec/delivery.md.

The row of the current epoch is the fence: the first append of a transaction locks it, so that indexes and heads have
one order, also with several processes on one PostgreSQL. The head is signed before the commit and leaves after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from node.audit.tiles import TileReader, extend_tiles
from node.errors import StoreError
from node.vault import schema
from node.vault.sealing import RowKeys
from node.world import World
from protocol.checkpoint import Checkpoint, log_origin, sign_checkpoint
from protocol.crypto import SigningSecret
from protocol.details import Details, check_details, decode_details, encode_details
from protocol.evidence import Evidence
from protocol.ids import LeafTag, NodeId
from protocol.logleaf import EventKind, LogLeaf, make_leaf
from protocol.merkle import CompactRange, inclusion_proof, leaf_hash
from protocol.tlogproof import TlogProof

__all__ = ["NO_TAG", "Head", "LeafRef", "Log", "LogAppender", "read_details", "read_evidence", "row_name"]

NO_TAG: Final = LeafTag(bytes(16))
OPENING_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class LeafRef:
    """Where a leaf stands in the own log."""

    epoch: int
    position: int


@dataclass(frozen=True, slots=True)
class _Appended:
    ref: LeafRef
    leaf: bytes
    opening: bytes
    details: bytes
    tag: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """A signed head of the own log."""

    epoch: int
    size: int
    note: bytes


class Log:
    """The log of one node: makes the appender of each transaction, remembers the last head that was committed."""

    def __init__(self, *, node_id: NodeId, log_secret: SigningSecret, keys: RowKeys, world: World) -> None:
        self.node_id = node_id
        self._secret = log_secret
        self.keys = keys
        self._world = world
        self.released: Head | None = None

    def open(self, connection: sa.Connection, now_ms: int) -> LogAppender:
        """The appender of one transaction."""
        return LogAppender(self, connection, now_ms)

    def sign(self, epoch: int, size: int, root: bytes) -> bytes:
        """A signed checkpoint of an epoch."""
        return sign_checkpoint(Checkpoint(log_origin(self.node_id, epoch), size, root), self._secret)

    def random_bytes(self, count: int) -> bytes:
        """Randomness for openings."""
        return self._world.random_bytes(count)


# Built once: every transaction runs them, and building one costs more than running it.
_EPOCHS: Final = schema.log_epochs
_LOCK_HEAD: Final = (
    sa.select(_EPOCHS.c.epoch, _EPOCHS.c.size, _EPOCHS.c.frontier)
    .order_by(_EPOCHS.c.epoch.desc())
    .limit(1)
    .with_for_update()
)
_SET_HEAD: Final = (
    _EPOCHS.update()
    .where(_EPOCHS.c.epoch == sa.bindparam("of_epoch"))
    .values({name: sa.bindparam(name) for name in ("size", "frontier", "note", "signed_at_ms")})
)


class LogAppender:
    """Appends leaves within one transaction."""

    def __init__(self, log: Log, connection: sa.Connection, now_ms: int) -> None:
        self._log = log
        self._connection = connection
        self._now_ms = now_ms
        self._epoch = 0
        self._start = 0
        self._range: CompactRange | None = None
        self._appended: list[_Appended] = []
        self._hashes: list[bytes] = []
        self._head: Head | None = None
        self._reader: TileReader | None = None

    def _lock_head(self) -> CompactRange:
        if self._range is None:
            row = self._connection.execute(_LOCK_HEAD).one_or_none()
            if row is None:
                raise StoreError("the log has no epoch", hint="the database was not made by coffre init")
            released = self._log.released
            if released is not None and (row.epoch, row.size) < (released.epoch, released.size):
                raise StoreError(
                    f"the log ends at entry {row.size} of epoch {row.epoch}, but more of it was signed and shown",
                    hint="an older copy of the database took its place; restart the node",
                )
            self._epoch, self._start = row.epoch, row.size
            self._range = CompactRange.from_bytes(row.size, row.frontier)
        return self._range

    def append(self, kind: EventKind, details: Details, *, tag: LeafTag = NO_TAG) -> LeafRef:
        """Append one event; its time is the transaction's. The leaf counts once the transaction has committed."""
        check_details(kind, details)
        tree = self._lock_head()
        opening = self._log.random_bytes(OPENING_BYTES)
        encoded = encode_details(details)
        leaf = make_leaf(kind=kind, time_ms=self._now_ms, tag=tag, opening=opening, details=encoded).encode()
        ref = LeafRef(self._epoch, tree.size)
        hashed = leaf_hash(leaf)
        tree.append(hashed)
        self._hashes.append(hashed)
        self._appended.append(_Appended(ref, leaf, opening, encoded, tag))
        return ref

    def open_epoch(self, epoch: int, code: str) -> LeafRef:
        """Begin an epoch; its first leaf says why. Later leaves of this transaction follow it.

        StoreError if leaves were appended before in this transaction: then it is tried again alone.
        """
        if self._appended:
            raise StoreError("an epoch begins in a transaction of its own")
        self._connection.execute(
            schema.log_epochs.insert().values(
                epoch=epoch,
                size=0,
                frontier=b"",
                note=self._log.sign(epoch, 0, CompactRange().root()),
                signed_at_ms=self._now_ms,
            )
        )
        self._range = None
        return self.append(EventKind.EPOCH_OPENED, Details(node=self._log.node_id, code=code))

    def flush(self) -> Callable[[], None] | None:
        """Write leaves, tiles and the signed head; None if nothing was appended."""
        if not self._appended:
            return None
        tree, keys = self._lock_head(), self._log.keys
        self._connection.execute(
            schema.log_leaves.insert(),
            [
                {
                    "epoch": item.ref.epoch,
                    "position": item.ref.position,
                    "leaf": item.leaf,
                    "tag": item.tag,
                    "sealed": keys.seal("log_leaves", row_name(item.ref), "sealed", item.opening + item.details),
                }
                for item in self._appended
            ],
        )
        extend_tiles(self._connection, self._epoch, self._start, self._hashes)
        note = self._log.sign(self._epoch, tree.size, tree.root())
        head = {
            "of_epoch": self._epoch,
            "size": tree.size,
            "frontier": b"".join(tree.hashes),
            "note": note,
            "signed_at_ms": self._now_ms,
        }
        self._connection.execute(_SET_HEAD, head)
        # Tiles are read inside the transaction for the proofs that are handed out after it.
        self._head = Head(self._epoch, tree.size, note)
        self._reader = TileReader.load(self._connection, self._epoch, tree.size, first=self._start)
        return self._release

    def _release(self) -> None:
        self._log.released = self._head

    def evidence_of(self, ref: LeafRef) -> Evidence | None:
        """The evidence of a leaf appended here, None for an older one. Call it after the commit only (AfterCommit)."""
        if ref.epoch != self._epoch or not self._start <= ref.position < self._start + len(self._appended):
            return None
        if self._head is None or self._reader is None:
            raise StoreError("evidence asked for before the commit")
        item = self._appended[ref.position - self._start]
        proof = inclusion_proof(ref.position, self._head.size, self._reader)
        return Evidence(item.leaf, item.opening, item.details, TlogProof(ref.position, tuple(proof), self._head.note))


def row_name(ref: LeafRef) -> bytes:
    """What the sealed column of a leaf is bound to."""
    return ref.epoch.to_bytes(4, "big") + ref.position.to_bytes(8, "big")


def began_anew_at_ms(connection: sa.Connection) -> int:
    """When the present epoch was opened after a loss (spec/backup.md, 7), by the own clock; 0 if it was not."""
    leaves, epochs = schema.log_leaves, schema.log_epochs
    newest = sa.select(sa.func.max(epochs.c.epoch)).scalar_subquery()
    raw = connection.execute(
        sa.select(leaves.c.leaf).where(leaves.c.epoch == newest, leaves.c.position == 0)
    ).scalar_one_or_none()
    first = None if raw is None else LogLeaf.decode(raw)
    return first.time_ms if first is not None and first.kind == EventKind.EPOCH_OPENED else 0


def read_evidence(connection: sa.Connection, keys: RowKeys, ref: LeafRef) -> Evidence | None:
    """The evidence of an older leaf under the present head of its epoch; None once it was erased."""
    leaves, epochs = schema.log_leaves, schema.log_epochs
    row = connection.execute(
        sa.select(leaves.c.leaf, leaves.c.sealed).where(leaves.c.epoch == ref.epoch, leaves.c.position == ref.position)
    ).one_or_none()
    head = connection.execute(sa.select(epochs.c.size, epochs.c.note).where(epochs.c.epoch == ref.epoch)).one_or_none()
    if row is None or head is None:
        raise StoreError(f"log leaf {ref.epoch}/{ref.position} is missing", hint="run: coffre doctor")
    if row.sealed is None:
        return None
    opened = keys.open("log_leaves", row_name(ref), "sealed", row.sealed)
    reader = TileReader.load(connection, ref.epoch, head.size, first=ref.position, last=ref.position)
    proof = inclusion_proof(ref.position, head.size, reader)
    return Evidence(
        row.leaf, opened[:OPENING_BYTES], opened[OPENING_BYTES:], TlogProof(ref.position, tuple(proof), head.note)
    )


def read_details(connection: sa.Connection, keys: RowKeys, tag: LeafTag, kind: EventKind) -> list[Details]:
    """What the leaves of one letter say of one kind of event; those that were erased are left out."""
    table = schema.log_leaves
    query = sa.select(table.c.epoch, table.c.position, table.c.leaf, table.c.sealed).where(
        table.c.tag == tag, table.c.sealed.is_not(None)
    )
    found = []
    for row in connection.execute(query):
        if LogLeaf.decode(row.leaf).kind is kind:
            opened = keys.open("log_leaves", row_name(LeafRef(row.epoch, row.position)), "sealed", row.sealed)
            found.append(decode_details(opened[OPENING_BYTES:]))
    return found
