"""The node's own log inside a transaction: indexes, tiles, head. Spec: spec/evidence.md; design in spec/delivery.md.

The row of the current epoch is the fence: the first append of a transaction locks it, so that indexes and heads have
one order, also with several processes on one PostgreSQL. The head is signed before the commit and leaves after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa

from node.audit.tiles import StoredTileReader, TileReader, extend_tiles
from node.errors import StoreError
from node.vault import schema
from node.vault.sealing import RowKeys
from node.world import World
from protocol.checkpoint import Checkpoint, log_origin, sign_checkpoint
from protocol.crypto import SigningSecret
from protocol.details import Details, check_details, decode_details, encode_details
from protocol.evidence import Evidence
from protocol.ids import LeafTag, NodeId, StaffId
from protocol.logleaf import EventKind, LogLeaf, make_leaf
from protocol.merkle import CompactRange, inclusion_proof, leaf_hash
from protocol.tlogproof import TlogProof

__all__ = [
    "NO_TAG",
    "Head",
    "LeafRef",
    "Log",
    "LogAppender",
    "TaggedLeaf",
    "erase_leaf",
    "open_details",
    "read_details",
    "read_evidence",
    "row_name",
    "tagged_leaves",
]

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

    def __init__(
        self, *, node_id: NodeId, log_secret: Callable[[], SigningSecret], keys: RowKeys, world: World
    ) -> None:
        """log_secret: asked at each signature, since it is renewed."""
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
        return sign_checkpoint(Checkpoint(log_origin(self.node_id, epoch), size, root), self._secret())

    def sign_ended_epochs(self, connection: sa.Connection) -> None:
        """Sign the last heads of earlier epochs anew: after a recovery nobody believes the key before."""
        newest = connection.execute(sa.select(sa.func.max(_EPOCHS.c.epoch))).scalar_one()
        ended = connection.execute(
            sa.select(_EPOCHS.c.epoch, _EPOCHS.c.size, _EPOCHS.c.frontier).where(_EPOCHS.c.epoch < newest)
        ).all()
        for row in ended:
            root = CompactRange.from_bytes(row.size, row.frontier).root()
            note = self.sign(row.epoch, row.size, root)
            connection.execute(_EPOCHS.update().where(_EPOCHS.c.epoch == row.epoch).values(note=note))

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
        self._staff: StaffId | None = None

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

    def acts(self, staff: StaffId | None) -> None:
        """Leaves that follow bear this account, unless they belong to a letter or name one themselves."""
        self._staff = staff

    def append(self, kind: EventKind, details: Details, *, tag: LeafTag = NO_TAG) -> LeafRef:
        """Append one event; its time is the transaction's. The leaf counts once the transaction has committed."""
        # Evidence of a letter goes to other nodes, which have no use for who works here.
        if self._staff is not None and details.staff is None and not kind.is_of_letter:
            details = replace(details, staff=self._staff)
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


def open_details(keys: RowKeys, ref: LeafRef, sealed: bytes) -> bytes:
    """The details of an own leaf that was not erased."""
    return keys.open("log_leaves", row_name(ref), "sealed", sealed)[OPENING_BYTES:]


def read_evidence(connection: sa.Connection, keys: RowKeys, ref: LeafRef, under: Head | None = None) -> Evidence | None:
    """The evidence of an older leaf; None once it was erased.

    Under the head that includes it and has most cosignatures, or under the present head of its epoch if none has any.
    under: another head of that epoch, above the leaf, instead.
    """
    leaves = schema.log_leaves
    row = connection.execute(
        sa.select(leaves.c.leaf, leaves.c.sealed).where(leaves.c.epoch == ref.epoch, leaves.c.position == ref.position)
    ).one_or_none()
    head = _head_for(connection, ref)
    if row is None or head is None:
        raise StoreError(f"log leaf {ref.epoch}/{ref.position} is missing", hint="run: coffre doctor")
    if row.sealed is None:
        return None
    opened = keys.open("log_leaves", row_name(ref), "sealed", row.sealed)
    size, note = (head.size, head.note) if under is None else (under.size, under.note)
    reader: TileReader = StoredTileReader(connection, ref.epoch)
    if under is None:
        reader = TileReader.load(connection, ref.epoch, size, first=ref.position, last=ref.position)
    proof = inclusion_proof(ref.position, size, reader)
    return Evidence(
        row.leaf, opened[:OPENING_BYTES], opened[OPENING_BYTES:], TlogProof(ref.position, tuple(proof), note)
    )


def _head_for(connection: sa.Connection, ref: LeafRef) -> Head | None:
    cosigned, epochs = schema.cosigned_heads, schema.log_epochs
    best = connection.execute(
        sa.select(cosigned.c.size, cosigned.c.note)
        .where(cosigned.c.epoch == ref.epoch, cosigned.c.size > ref.position, cosigned.c.cosigners > 0)
        .order_by(cosigned.c.cosigners.desc(), cosigned.c.size.desc())
        .limit(1)
    ).one_or_none()
    query = sa.select(epochs.c.size, epochs.c.note).where(epochs.c.epoch == ref.epoch)
    row = best or connection.execute(query).one_or_none()
    return None if row is None else Head(ref.epoch, row.size, row.note)


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


@dataclass(frozen=True, slots=True)
class TaggedLeaf:
    """A leaf of a letter that was not erased: where it stands, its bytes, and what it commits to."""

    ref: LeafRef
    leaf: bytes
    details: Details


def tagged_leaves(connection: sa.Connection, keys: RowKeys, tag: LeafTag) -> list[TaggedLeaf]:
    """All leaves with this tag that were not erased, in the order of the log."""
    table = schema.log_leaves
    query = sa.select(table.c.epoch, table.c.position, table.c.leaf, table.c.sealed).where(
        table.c.tag == tag, table.c.sealed.is_not(None)
    )
    found = []
    for row in connection.execute(query.order_by(table.c.epoch, table.c.position)):
        ref = LeafRef(row.epoch, row.position)
        opened = keys.open("log_leaves", row_name(ref), "sealed", row.sealed)
        found.append(TaggedLeaf(ref, row.leaf, decode_details(opened[OPENING_BYTES:])))
    return found


def erase_leaf(connection: sa.Connection, ref: LeafRef) -> None:
    """Destroy a leaf's opening and details, and its tag's place in the index. The leaf stays: the tree rests on it."""
    table = schema.log_leaves
    connection.execute(
        table.update()
        .where(table.c.epoch == ref.epoch, table.c.position == ref.position)
        .values(sealed=None, tag=bytes(NO_TAG))
    )
