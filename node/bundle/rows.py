"""What is remembered of bundles: written, read, answers that go back, what a peer holds. Spec: spec/bundle.md, 8.

A queue's row ends only when its destination names a bundle that held it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from node.vault import schema
from node.vault.database import Transaction
from node.vault.sealing import RowKeys, new_row_id
from protocol.bundle import BundleId
from protocol.bundle_items import MAX_READ_IDS, BundleState
from protocol.codec import check_binary
from protocol.details import Details
from protocol.ids import EnvelopeId, NodeId
from protocol.logleaf import EventKind
from protocol.messages import Result

__all__ = ["Answer", "BundleRows", "PeerBundles", "ReadBundle", "ShownState", "WrittenBundle"]

_ROW_ID_BYTES: Final = 16
# Longer than any letter may wait and be asked about (30 d and 7 d).
_KEPT_MS: Final = 45 * 86_400_000
_MAX_FRAMES: Final = 80
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class PeerBundles:
    """What earlier bundles tell of a peer. number: of the next one for it. state: None before its first bundle."""

    number: int
    state: BundleState | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenBundle:
    """A bundle for one destination, and the rows that end when it was read."""

    node: NodeId
    bundle_id: BundleId
    number: int
    returns: tuple[bytes, ...]
    answers: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBundle:
    """A bundle of a peer, read to its end."""

    node: NodeId
    bundle_id: BundleId


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is answered to something that a bundle brought. about: the sort of question (offer, withdrawal, query)."""

    node: NodeId
    about: str
    envelope_id: EnvelopeId
    frames: tuple[Result, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownState:
    """The state that a peer's bundle shows, and when it was made by the peer's clock."""

    node: NodeId
    made_at_ms: int
    state: BundleState


class BundleRows:
    """The four tables of bundles."""

    def __init__(self, keys: RowKeys) -> None:
        self._keys = keys

    def _written(self, bundle_id: BundleId, node: NodeId) -> bytes:
        return self._keys.blind("bundle", bundle_id, node)

    # -- reading

    def peer(self, connection: sa.Connection, node: NodeId) -> PeerBundles:
        """What earlier bundles tell of a peer."""
        table = schema.bundle_peers
        row = connection.execute(sa.select(table).where(table.c.node_id == node)).one_or_none()
        if row is None:
            return PeerBundles(1, None)
        return PeerBundles(row.written + 1, None if row.state is None else BundleState.decode(row.state))

    def read_ids(self, connection: sa.Connection, node: NodeId) -> tuple[BundleId, ...]:
        """The newest bundles of a peer that were read to their end."""
        table = schema.bundles_read
        query = sa.select(table.c.bundle).where(table.c.node_id == node).order_by(table.c.read_at_ms.desc())
        return tuple(BundleId(item) for item in connection.execute(query.limit(MAX_READ_IDS)).scalars())

    def was_read(self, connection: sa.Connection, node: NodeId, bundle_id: BundleId) -> bool:
        """Whether this bundle was read to its end before."""
        table = schema.bundles_read
        query = sa.select(table.c.bundle).where(table.c.node_id == node, table.c.bundle == bundle_id)
        return connection.execute(query).one_or_none() is not None

    def answers(self, connection: sa.Connection, node: NodeId) -> list[tuple[bytes, list[Result]]]:
        """What waits to be answered to a peer: row id and result frames, oldest first."""
        table = schema.bundle_answers
        rows = connection.execute(
            sa.select(table.c.id, table.c.sealed)
            .where(table.c.destination == self._keys.blind("destination", node))
            .order_by(table.c.id)
        )
        found = []
        for row in rows:
            fields = self._keys.open_map("bundle_answers", row.id, "sealed", row.sealed)
            bodies = [check_binary(item, "frame", 1, 65536) for item in fields.items("frames", high=_MAX_FRAMES)]
            found.append((row.id, [Result.decode(body) for body in bodies]))
        return found

    # -- batch handlers

    def written(self, tx: Transaction, items: Sequence[WrittenBundle]) -> Sequence[None]:
        """Remember what bundles hold; on record. Old rows, whose sticks are lost, are forgotten."""
        peers, table = schema.bundle_peers, schema.bundles_written
        for item in items:
            updated = tx.connection.execute(
                peers.update().where(peers.c.node_id == item.node).values(written=item.number)
            )
            if not updated.rowcount:
                values = {"node_id": item.node, "written": item.number, "state_made_at_ms": 0}
                tx.connection.execute(peers.insert().values(**values))
            row = self._written(item.bundle_id, item.node)
            fields = {"returns": b"".join(item.returns), "answers": b"".join(item.answers)}
            sealed = self._keys.seal_map("bundles_written", row, "sealed", fields)
            tx.connection.execute(table.insert().values(id=row, made_at_ms=tx.now_ms, sealed=sealed))
            self._record(tx, EventKind.BUNDLE_WRITTEN, item.node, item.bundle_id)
        self._forget_old(tx)
        return [None] * len(items)

    def _record(self, tx: Transaction, kind: EventKind, node: NodeId, bundle_id: BundleId) -> None:
        tx.log.append(kind, Details(node=self._keys.node_id, peer=node, code=bundle_id.hex()))

    @staticmethod
    def _forget_old(tx: Transaction) -> None:
        before_ms = tx.now_ms - _KEPT_MS
        for table, column in (
            (schema.bundles_written, schema.bundles_written.c.made_at_ms),
            (schema.bundles_read, schema.bundles_read.c.read_at_ms),
            (schema.bundle_answers, schema.bundle_answers.c.made_at_ms),
        ):
            tx.connection.execute(table.delete().where(column < before_ms))

    def finish(self, tx: Transaction, items: Sequence[ReadBundle]) -> Sequence[bool]:
        """Note bundles as read; on record once. Tells for which it is the first time."""
        results = []
        for item in items:
            is_new = not self.was_read(tx.connection, item.node, item.bundle_id)
            if is_new:
                values = {"node_id": item.node, "bundle": item.bundle_id, "read_at_ms": tx.now_ms}
                tx.connection.execute(schema.bundles_read.insert().values(**values))
                self._record(tx, EventKind.BUNDLE_READ, item.node, item.bundle_id)
            results.append(is_new)
        self._forget_old(tx)
        return results

    def answer(self, tx: Transaction, items: Sequence[Answer]) -> Sequence[None]:
        """Keep answers; a newer one replaces the one before."""
        table = schema.bundle_answers
        for item in items:
            about = self._keys.blind(f"bundle-{item.about}", item.node, item.envelope_id)
            row = new_row_id(tx.now_ms, tx.world.random_bytes)
            fields = {"frames": [frame.encode() for frame in item.frames]}
            tx.connection.execute(table.delete().where(table.c.about == about))
            tx.connection.execute(
                table.insert().values(
                    id=row,
                    about=about,
                    destination=self._keys.blind("destination", item.node),
                    made_at_ms=tx.now_ms,
                    sealed=self._keys.seal_map("bundle_answers", row, "sealed", fields),
                )
            )
        return [None] * len(items)

    def show(self, tx: Transaction, items: Sequence[ShownState]) -> Sequence[int]:
        """Take a peer's state: what it has read ends here. Tells how many bundles that were.

        What it holds is kept unless a bundle that it made later was read before.
        """
        results = []
        for item in items:
            results.append(self._end_read(tx, item))
            self._keep_state(tx, item)
        return results

    def _end_read(self, tx: Transaction, item: ShownState) -> int:
        table = schema.bundles_written
        rows = [self._written(bundle_id, item.node) for bundle_id in item.state.read]
        ended = tx.connection.execute(sa.select(table.c.id, table.c.sealed).where(table.c.id.in_(rows))).all()
        for row in ended:
            fields = self._keys.open_map("bundles_written", row.id, "sealed", row.sealed)
            for queue, name in ((schema.returns, "returns"), (schema.bundle_answers, "answers")):
                ids = _split(fields.binary(name, high=2**30))
                for start in range(0, len(ids), _AT_ONCE):
                    tx.connection.execute(queue.delete().where(queue.c.id.in_(ids[start : start + _AT_ONCE])))
        tx.connection.execute(table.delete().where(table.c.id.in_([row.id for row in ended])))
        return len(ended)

    @staticmethod
    def _keep_state(tx: Transaction, item: ShownState) -> None:
        table = schema.bundle_peers
        # A clock that once ran ahead must not make its later states count for nothing.
        made_at_ms = min(item.made_at_ms, tx.now_ms)
        values = {"state": item.state.encode(), "state_made_at_ms": made_at_ms}
        known = tx.connection.execute(
            sa.select(table.c.state_made_at_ms).where(table.c.node_id == item.node)
        ).scalar_one_or_none()
        if known is None:
            tx.connection.execute(table.insert().values(node_id=item.node, written=0, **values))
        elif known < made_at_ms:
            tx.connection.execute(table.update().where(table.c.node_id == item.node).values(**values))


def _split(joined: bytes) -> list[bytes]:
    return [joined[at : at + _ROW_ID_BYTES] for at in range(0, len(joined), _ROW_ID_BYTES)]
